"""The process that runs a student's code, inside the sandbox: it does what the grader asks.

It is asked to run a cell, or to call a function that the cells defined. Whatever it answers is
only a claim about what the function returned.
"""

import ast
import os
import resource
import sys
import types
from typing import Any

import torch

import wire

ROOM = 4 << 30  # bytes that a student's code may take, beside what torch takes by itself
THREADS = 64  # that it may start in a sandbox; the kernel does not hold root to this
FILES = 64 << 20  # bytes of the largest file that it may write


class Shell:
    """What a notebook's magics find in place of IPython: all of them do nothing."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (a function of anything)
        """Returns a function that does nothing."""
        return lambda *args, **kwargs: None


def limit() -> None:
    """Bounds what this process may take from now on."""
    with open("/proc/self/statm", encoding="utf-8") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, taken + ROOM),
        (resource.RLIMIT_FSIZE, FILES),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
        *([(resource.RLIMIT_NPROC, THREADS)] if __file__.startswith("/grader/") else []),
    ):
        resource.setrlimit(what, (most, most))


def told(error: BaseException) -> str:
    """Returns an error in a line."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith("cell "):
            line = f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    text = f"{type(error).__name__}: {error}"[:300]
    return f"{text} ({line})" if line else text


def run(cell: str, name: str, names: dict[str, Any]) -> str | None:
    """Runs a cell, and returns its error."""
    try:
        exec(compile(ast.parse(cell, name), name, "exec"), names)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: the cell is over
        return told(error)
    return None


def serve(channel: wire.Channel) -> None:
    """Does what comes in, until the pipe ends."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    names = module.__dict__
    names |= {"display": lambda *args, **kwargs: None, "get_ipython": Shell}

    def callback(number: wire.Json) -> Any:  # noqa: ANN401 (a function of the test)
        def ask(*args: object, **kwargs: object) -> Any:  # noqa: ANN401 (what it returns)
            channel.send(wire.encode({"call": number, "args": list(args), "kwargs": kwargs}))
            reply = channel.receive()
            if "raised" in reply:
                raise RuntimeError(reply["raised"])
            return reply["value"]

        return ask

    while True:
        try:
            asked = channel.receive(called=callback)
        except EOFError:
            return
        reply: dict[str, Any]
        if "cell" in asked:
            reply = {"error": run(asked["cell"], asked["name"], names)}
        elif "names" in asked:
            reply = {"names": [name for name, value in names.items() if callable(value)]}
        else:
            try:
                reply = {"value": names[asked["function"]](*asked["args"], **asked["kwargs"])}
                channel.send(wire.encode(reply))
                continue
            except wire.WireError as error:
                reply = {"error": f"the answer should be made of tensors and numbers, not {error}"}
            except BaseException as error:  # whatever a student's code raises
                reply = {"error": told(error)}
        channel.send(wire.encode(reply))


def main() -> None:
    """Keeps the two pipes for itself, and gives the student's code none."""
    channel = wire.Channel(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for end in (0, 1, 2):
        os.dup2(nothing, end)
    torch.set_num_threads(1)
    import minidiff.check  # noqa: F401 (what every notebook imports, before the limits)

    limit()
    channel.send(wire.encode({"ready": True}))
    serve(channel)


if __name__ == "__main__":
    main()

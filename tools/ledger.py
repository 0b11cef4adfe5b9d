"""Ties every labelled equation of the book to the code and to the tests that name it.

python tools/ledger.py            writes book/equations.md from the last test run's own report
python tools/ledger.py --check    and exits with 1 where the thread is broken
"""

import ast
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import derivations

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "_build/tests.json"  # written by tests/conftest.py
PAGE = ROOT / "book/equations.md"
LABEL = re.compile(r"(?<![\w-])eq-[a-z0-9]+(?:-[a-z0-9]+)*")
CODE = re.compile(r"^(```+|~~~+).*?^\1|`[^`\n]+`", re.DOTALL | re.MULTILINE)
DISPLAY = re.compile(
    r"\$\$(.+?)\$\$(?:[ \t]*\(([^\s)]+)\))?"
    r"|\\begin\{((?:align|equation|gather)\*?)\}.+?\\end\{\3\}",
    re.DOTALL,
)


class Chapter(NamedTuple):
    """A page of the book: its labelled displays as (label, TeX), and how many have no label."""

    name: str
    title: str
    equations: list[tuple[str, str]]
    unlabelled: int


def fingerprint(*paths: str) -> str:
    """Returns a hash of the contents of files and folders, given relative to the repository."""
    digest = hashlib.sha256()
    for path in (ROOT / path for path in paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                name = file.relative_to(ROOT).as_posix()
                digest.update(f"{name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def tested_sources() -> str:
    """Returns the fingerprint of what a test report speaks of."""
    return fingerprint("minidiff", "tests", "requirements.txt")


def text_of(path: Path) -> str:
    """Returns the prose of a page: a Markdown file, or the Markdown cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return text


def displays() -> dict[Path, list[re.Match[str]]]:
    """Returns path -> displays, for every page of the book that displays an equation."""
    pages = sorted(PAGE.parent.glob("*.ipynb")) + sorted(PAGE.parent.glob("*.md"))
    found = {path: list(DISPLAY.finditer(CODE.sub("", text_of(path)))) for path in pages}
    return {path: shown for path, shown in found.items() if shown and path != PAGE}


def chapters() -> list[Chapter]:
    """Returns every page of the book that displays an equation."""
    found = []
    for path, shown in displays().items():
        title = re.search(r"^# (.+)$", text_of(path), re.MULTILINE)
        labelled = [(m[2], m[1].strip()) for m in shown if m[2]]
        bare = len(shown) - len(labelled)
        found.append(Chapter(path.stem, title[1] if title else path.stem, labelled, bare))
    return found


def stated() -> dict[str, list[str]]:
    """Returns page -> the relations that its displays state, labelled or not."""
    shown = displays().items()
    return {p.stem: derivations.relations(m[1] or m[0] for m in found) for p, found in shown}


def definitions(body: list[ast.stmt], name: str) -> list[tuple[range, str]]:
    """Returns (lines, dotted name) of the functions, classes and methods, outermost first."""
    out = []
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            inner = f"{name}.{node.name}"
            out.append((range(node.lineno, (node.end_lineno or 0) + 1), inner))
            out += definitions(node.body, inner) if isinstance(node, ast.ClassDef) else []
    return out


def implementations() -> dict[str, list[str]]:
    """Returns label -> dotted names of what names it in the package."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "minidiff").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        source = path.read_text(encoding="utf-8")
        owners = definitions(ast.parse(source).body, module)
        for number, line in enumerate(source.splitlines(), 1):
            for label in LABEL.findall(line):
                owner = [module, *(name for lines, name in owners if number in lines)][-1]
                if owner not in found[label]:
                    found[label].append(owner)
    return found


def read_report() -> dict[str, Any]:
    """Returns the last test run's report; an empty one where there is none."""
    if not REPORT.exists():
        return {"command": "none yet", "sources": "", "tests": {}}
    return dict(json.loads(REPORT.read_text(encoding="utf-8")))


def marked(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns label -> {test: its record} for the tests of the report."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for test, record in report["tests"].items():
        for label in record["equations"]:
            found[label][test] = record
    return found


def verifying(tests: dict[str, Any]) -> dict[str, Any]:
    """Returns the tests that passed and asserted something; none of them where one failed."""
    if any(record["outcome"] == "failed" for record in tests.values()):
        return {}
    return {t: r for t, r in tests.items() if r["outcome"] == "passed" and r["asserts"]}


def problems() -> list[str]:
    """Returns what is wrong, one line each; an empty list when every thread holds."""
    report, code = read_report(), implementations()
    tests = marked(report)
    labels = [label for chapter in chapters() for label, _ in chapter.equations]
    out = []
    if report["sources"] != tested_sources():
        out.append("the last test run was of other sources: run make unit")
    out += [f"{label}: labels {n} equations" for label, n in Counter(labels).items() if n > 1]
    out += [f"{label}: not of the form eq-name" for label in labels if not LABEL.fullmatch(label)]
    for label in sorted(set(labels)):
        if not verifying(tests[label]):
            ran = [f"{t}: {r['outcome']}, {r['asserts']} asserts" for t, r in tests[label].items()]
            out.append(f"{label}: no passed test ({'; '.join(ran) or 'none is marked with it'})")
    for kind, where in (("named by", code), ("marked on", tests)):
        for label in sorted(set(where) - set(labels)):
            out.append(f"{label}: {kind} {', '.join(where[label])}, but labels no equation")
    for test, record in report["tests"].items():
        if record["equations"] and record["outcome"] == "passed" and not record["asserts"]:
            out.append(f"{test}: marked with {', '.join(record['equations'])}, asserts nothing")
    return out


def card(label: str, tex: str, code: list[str], tests: dict[str, Any]) -> str:
    """Returns the page's entry for one equation."""
    good = verifying(tests)
    asserts = sum(record["asserts"] for record in good.values())
    names = Counter(re.sub(r"^tests/|\[.*", "", test) for test in good)
    ways = [f"`{name}`" + (f" × {n}" if n > 1 else "") for name, n in names.items()]
    links = [f"`{name}`" if "._" in name else f"{{py:obj}}`{name}`" for name in code]
    return f"""\
::::{{card}}
:::{{card-header}}
{{eq}}`{label}` `{label}` {f"✓ verified, assertions: {asserts}" if good else "✗ **not verified**"}
:::

$$
{tex}
$$

:::{{card-footer}}
Code: {", ".join(links) or "none, a step of the derivation"}

Tests: {", ".join(ways) or "none"}
:::
::::
"""


def lines(report: dict[str, Any], titles: dict[str, str]) -> str:
    """Returns the table of what the displays of each page state, relation by relation."""
    passed = {t for t, r in report["tests"].items() if r["outcome"] == "passed" and r["asserts"]}
    out = ["| Page | Relations | Checked | Definitions | Neither |", "|:--|--:|--:|--:|--:|"]
    for name, relations in stated().items():
        twin = f"tests/test_derivations.py::test_twin[{name}-"
        good = {test.removeprefix(twin)[:-1] for test in passed if test.startswith(twin)}
        counts = " | ".join(map(str, derivations.count(name, relations, good)))
        out.append(f"| {{doc}}`{titles[name]} <{name}>` | {len(relations)} | {counts} |")
    return "\n".join(out)


def page() -> str:
    """Returns the Markdown of the page that shows all of it."""
    report, code, book = read_report(), implementations(), chapters()
    tests = marked(report)
    labels = {label for chapter in book for label, _ in chapter.equations}
    done = sum(bool(verifying(tests[label])) for label in labels)
    out = [
        f"""\
# The equation ledger

Every equation that the text relies on has a label.
Here each stands beside the code that implements it and the tests that check it against something
independent, as the last test run reported them.
A test that was skipped, failed or asserted nothing verifies nothing.

**{done} of {len(labels)} labelled equations are verified.**

## Every equals sign

A display that reads $A = B = C$ asks for belief twice, so here every relation of every display is
counted, $A = B$ and $B = C$ apart.
It is *checked* if a twin, a function in `tests/derivations` that computes both of its sides, each
without the other, passed in the last test run; a *definition* or a convention leaves nothing to
check; and what is *neither* has no twin, though a labelled equation has tests of its own, below.

{lines(report, {chapter.name: chapter.title for chapter in book})}
"""
    ]
    for name, title, equations, bare in book:
        counts = f"Equations with a label: {len(equations)}, displays without: {bare}."
        out.append(f"## {title}\n\n{{doc}}`Go to the page <{name}>`. {counts}\n")
        out += [card(label, tex, code.get(label, []), tests[label]) for label, tex in equations]
    return "\n".join(out)


def main(check: bool) -> int:
    """Writes the page; with check, lists what is wrong and returns 1 if anything is."""
    PAGE.write_text(page(), encoding="utf-8")
    wrong = problems() if check else []
    for line in wrong:
        print(f"ledger: {line}")
    if wrong:
        print(f"ledger: {len(wrong)} problems; the last test run was: {read_report()['command']}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))

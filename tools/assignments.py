"""Makes everything of the assignments from their masters in assignments/src.

python tools/assignments.py              makes all, in assignments/dist, assignments/release and
                                         minidiff/public_tests
python tools/assignments.py --check      makes them aside, and fails where what is kept differs,
                                         or where a student would get what they must not
python tools/assignments.py private DIR  copies the masters into a folder outside of the repository
                                         and gives the hidden tests of the copies other numbers
python tools/assignments.py from DIR     makes all from the masters of that folder instead, and
                                         writes into its dist/ only

Otter Assign divides a master into what students get and what graders get. What students get is
committed; the solution, all tests and the zip for Gradescope go to a dist folder that is not.
"""

import itertools
import json
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jupytext
import yaml

import notebooks

ROOT = notebooks.ROOT
HOME = ROOT / "assignments"
SOURCES, RELEASE, DIST = HOME / "src", HOME / "release", HOME / "dist"
PUBLIC = ROOT / "minidiff/public_tests"
SOLUTION = re.compile(r"^ +# BEGIN SOLUTION\n(.*?)^ +# END SOLUTION", re.DOTALL | re.MULTILINE)
HIDDEN = re.compile(r"^hidden: true$", re.MULTILINE)
SPACE = re.compile(r"[\s'\"]")
SEED = re.compile(r"(?<=manual_seed\()\d+(?=\))")
OTTER = "from otter.test_files import test_case"


def masters(folder: Path = SOURCES) -> list[Path]:
    """Returns the masters of a folder, in their order."""
    return sorted(folder.glob("*.py"))


def divide(master: Path, made: Path) -> None:
    """Makes one assignment in an empty folder.

    Args:
        master: Its text.
        made: Where ``student.ipynb``, ``solution.ipynb``, ``autograder.zip``, ``tests/`` and
            ``public/`` go, and ``written.json``, what a person marks.
    """
    made.mkdir(parents=True)
    book = json.loads(jupytext.writes(jupytext.read(master), fmt="ipynb"))
    book = notebooks.with_install_cell(book, notebooks.public_address())
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        shutil.copy(HOME / "common.yml", scratch)
        path = scratch / f"{master.stem}.ipynb"
        path.write_text(json.dumps(book), encoding="utf-8")
        command = [sys.executable, "-m", "otter", "assign", "--no-run-tests", path.name, "out"]
        run = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.exit(f"assignments: {master.name}: {run.stdout[-2000:]}{run.stderr[-2000:]}")
        for name, source in (("student", "student"), ("solution", "autograder")):
            found = json.loads((scratch / "out" / source / path.name).read_text("utf-8"))
            write(made / f"{name}.ipynb", tidy(found))
        parts = json.dumps(written_parts(book), indent=1, ensure_ascii=False)
        (made / "written.json").write_text(parts, encoding="utf-8")
        (zipped,) = (scratch / "out/autograder").glob("*.zip")
        shutil.copy(zipped, made / "autograder.zip")
        with zipfile.ZipFile(zipped) as archive:
            tests = {
                Path(name).name: archive.read(name).decode()
                for name in archive.namelist()
                if re.fullmatch(r"tests/\w+\.py", name)
            }
        given = (scratch / "out/student/tests").glob("*.py")
        shown = {path.name: path.read_text(encoding="utf-8") for path in given}
    for folder_name, texts in (("tests", tests), ("public", shown)):
        (made / folder_name).mkdir()
        for name, text in texts.items():
            (made / folder_name / name).write_text(as_module(master, text), encoding="utf-8")
    title = f'"""The tests of {master.stem} that students see."""\n'
    (made / "public/__init__.py").write_text(title, encoding="utf-8")
    formatted = [sys.executable, "-m", "ruff", "format", "--quiet", "--config"]
    subprocess.run([*formatted, ROOT / "pyproject.toml", made / "public"], check=True)


def written_parts(book: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns {question: {"points", "text", "answer"}} of the questions that a person marks."""
    parts: dict[str, dict[str, Any]] = {}
    name, before = "", ""
    for cell in book["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "raw" and "# BEGIN QUESTION" in text:
            question = yaml.safe_load(text)
            name = question["name"] if question.get("manual") else ""
            if name:
                parts[name] = {"points": question["points"], "text": "", "answer": ""}
        elif cell["cell_type"] == "raw" and "# END QUESTION" in text:
            name = ""
        elif cell["cell_type"] == "markdown" and name:
            parts[name]["answer" if "# BEGIN SOLUTION" in before else "text"] += text
        before = text
    return parts


def as_module(master: Path, text: str) -> str:
    """Returns a test file of Otter as a module that needs no Otter."""
    if OTTER not in text:
        sys.exit(f"assignments: {master.name}: a test file without {OTTER}")
    text = text.replace(OTTER, "from minidiff.check import test_case")
    text = text.replace("OK_FORMAT = False\n", "")
    return f'"""Generated from assignments/src/{master.name}: edit that."""\n\n{text}'


def tidy(book: dict[str, Any]) -> dict[str, Any]:
    """Returns a notebook without what differs from run to run, and without Otter's own marks."""
    cells = []
    for number, cell in enumerate(book["cells"]):
        tags = {"tags": cell["metadata"]["tags"]} if cell["metadata"].get("tags") else {}
        text = "".join(cell["source"]).strip("\n")
        cell |= {"id": f"c{number:02d}", "metadata": tags}
        cell["source"] = text.splitlines(keepends=True)
        if "ADDRESS = " in text:
            cell["id"] = "install"
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        if text:
            cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def write(path: Path, book: dict[str, Any]) -> None:
    """Writes a notebook as this repository keeps them."""
    text = json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8")


def make(sources: Path, made: Path) -> None:
    """Makes all assignments of a folder, two at a time."""
    if not masters(sources):
        sys.exit(f"assignments: no masters in {sources}")
    shutil.rmtree(made, ignore_errors=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda master: divide(master, made / master.stem), masters(sources)))


def for_students(made: Path) -> dict[Path, str]:
    """Returns what students get, as the repository keeps it: {path: text}."""
    files = {}
    for folder in sorted(path for path in made.iterdir() if path.is_dir()):
        files[RELEASE / f"{folder.name}.ipynb"] = (folder / "student.ipynb").read_text("utf-8")
        for path in sorted((folder / "public").glob("*.py")):
            files[PUBLIC / folder.name / path.name] = path.read_text("utf-8")
    return files


def kept() -> set[Path]:
    """Returns the files that the repository keeps for students."""
    return set(RELEASE.glob("*.ipynb")) | set(PUBLIC.glob("*/*.py"))


def secrets_of(master: Path) -> set[str]:
    """Returns the lines of a master that no student may get: of solutions and of hidden tests.

    They are longer than 12 characters, and stand nowhere else in the master.
    """
    text = master.read_text(encoding="utf-8")
    cells = re.split(r"(?m)^(?=# %%)", text)
    secret = SOLUTION.findall(text)
    secret += [cell for cell in cells if HIDDEN.search(cell)]
    secret += [
        cell
        for before, cell in itertools.pairwise(cells)
        if "# # BEGIN SOLUTION" in before and cell.startswith("# %% [markdown]")
    ]
    for part in secret:
        text = text.replace(part, "")
    lines = {line.removeprefix("# ").strip() for part in secret for line in part.splitlines()}
    return {line for line in lines if len(line) > 12 and line not in text}


def leaks(master: Path, texts: dict[Path, str]) -> list[str]:
    """Returns what is given away of a master in what students get, which should be nothing.

    Otter prints tests anew from their syntax trees, so spaces and quotes do not count.
    """
    secret = {line: SPACE.sub("", line) for line in secrets_of(master)}
    secret |= {mark: mark for mark in ("hidden=True", "BEGINSOLUTION")}
    found = []
    for path, text in texts.items():
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells)
            found += [f"{path.name}: an output" for cell in cells if cell.get("outputs")]
        seen = SPACE.sub("", text)
        found += [f"{path.name}: {line}" for line, bare in secret.items() if bare in seen]
    return found


def check() -> int:
    """Fails where what is kept is not what the masters give, or gives something away."""
    with tempfile.TemporaryDirectory() as folder:
        make(SOURCES, Path(folder, "made"))
        files = for_students(Path(folder, "made"))
    wrong = [f"{p.relative_to(ROOT)} differs: run make assignments" for p in files.keys() ^ kept()]
    for path in files.keys() & kept():
        if path.read_text(encoding="utf-8") != files[path]:
            wrong.append(f"{path.relative_to(ROOT)} differs: run make assignments")
    for master in masters():
        wrong += [f"given away: {leak}" for leak in leaks(master, files)]
    for line in wrong:
        print(f"assignments: {line}")
    return int(bool(wrong))


def private(folder: Path) -> None:
    """Copies the masters, with the solutions' and hidden tests' numbers drawn anew."""
    if folder.resolve().is_relative_to(ROOT):
        sys.exit("assignments: name a folder outside of this repository, which may be public")
    (folder / "src").mkdir(parents=True)
    for master in masters():
        cells = re.split(r"(?m)^(?=# %%)", master.read_text(encoding="utf-8"))
        for i, cell in enumerate(cells):
            if HIDDEN.search(cell):
                cells[i] = SEED.sub(lambda _: str(secrets.randbelow(10**9)), cell)
        (folder / "src" / master.name).write_text("".join(cells), encoding="utf-8")
    print(f"assignments: the masters are in {folder / 'src'}; edit them, then make all from them:")
    print(f"    python tools/assignments.py from {folder}")


def main(args: list[str]) -> int:
    """Does what the command line says."""
    match args:
        case []:
            make(SOURCES, DIST)
            files = for_students(DIST)
            for path in kept() - files.keys():
                path.unlink()
            for path, text in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            print(f"assignments: {len(masters())} made; what graders need is in {DIST}")
        case ["--check"]:
            return check()
        case ["private", folder]:
            private(Path(folder))
        case ["from", folder]:
            make(Path(folder, "src"), Path(folder, "dist"))
        case _:
            sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

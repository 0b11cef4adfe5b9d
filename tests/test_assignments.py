"""The assignments: one source, right and wrong answers, and nothing given away."""

import importlib.util
import inspect
import json
import subprocess
import sys
from functools import cache

import nbclient
import nbformat
import pytest

import assignments
import notebooks
import sandbox
from minidiff import check

NAMES = [path.stem for path in assignments.masters()]
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="session")
def made(tmp_path_factory, worker_id):
    """All assignments, made aside."""
    folder = tmp_path_factory.mktemp("assignments") / "dist"
    assignments.make(assignments.SOURCES, folder)
    return folder


def load(path):
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def answers(name):
    return load(assignments.HOME / "answers" / f"{name}.py")


def code_of(path):
    book = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code"]


def defined(cells):
    """Returns what the cells with functions define, run in this process."""
    names = {}
    for cell in cells:
        if not cell.startswith(("%%", "check(", "# Install")):
            exec(compile(cell, "cell", "exec"), names)
    return names


def questions(folder):
    return {path.stem: load(path) for path in sorted((folder / "tests").glob("*.py"))}


def asked(module):
    """Returns the names of the functions that a question's tests call."""
    tests = [test for _, test in check.tests_of(module)]
    return {name for test in tests for name in inspect.signature(test).parameters}


def lost(modules, names):
    """Returns {question: points lost}, of those where any are."""
    failed = {
        question: sum(
            test.points for _, test in check.tests_of(module) if check.failure(test, names)
        )
        for question, module in modules.items()
    }
    return {question: points for question, points in failed.items() if points}


def test_there_are_four_of_ten_points(made):
    assert len(NAMES) == 4
    for name in NAMES:
        by_hand = json.loads((made / name / "written.json").read_text(encoding="utf-8"))
        coded = questions(made / name)
        for question, module in coded.items():
            tests = list(check.tests_of(module))
            assert sum(test.points for _, test in tests) == module.points, (name, question)
            assert sum(test.points for _, test in tests if test.hidden) >= module.points / 2
            assert len(tests) >= 3, "two points of evidence that students see, and one more"
        total = sum(module.points for module in coded.values())
        assert total + sum(part["points"] for part in by_hand.values()) == 10
        assert all(part["text"] and "**Rubric.**" in part["answer"] for part in by_hand.values())


def test_what_is_kept_is_what_the_masters_give(made):
    files = assignments.for_students(made)
    assert files.keys() == assignments.kept()
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run make assignments"


def test_nothing_is_given_away(made):
    files = assignments.for_students(made)
    for master in assignments.masters():
        assert len(assignments.secrets_of(master)) > 30
        assert assignments.leaks(master, files) == []


def test_the_scan_finds_what_is_given_away(made):
    """The solution notebook gives all away, and so does a hidden test among the public ones."""
    for master in assignments.masters():
        shown = {made / "x.ipynb": (made / master.stem / "solution.ipynb").read_text("utf-8")}
        assert len(assignments.leaks(master, shown)) > 10
        whole = {made / "q1.py": (made / master.stem / "tests/q1.py").read_text("utf-8")}
        assert len(assignments.leaks(master, whole)) > 2


@each
def test_the_reference_is_right_and_a_blank_earns_nothing(name, made):
    modules = questions(made / name)
    assert lost(modules, defined(code_of(made / name / "solution.ipynb"))) == {}
    points = {question: module.points for question, module in modules.items()}
    blank = defined(code_of(assignments.RELEASE / f"{name}.ipynb"))
    assert lost(modules, blank) == points
    assert lost(modules, {}) == points


@each
def test_constants_earn_nothing(name, made):
    modules = questions(made / name)
    functions = {function for module in modules.values() for function in asked(module)}
    for value in (0.0, 1.0, True, float("nan"), "right", [], (0.0, 0.0)):
        names = {function: lambda *args, value=value: value for function in functions}
        points = {question: module.points for question, module in modules.items()}
        assert lost(modules, names) == points, value


def wrong_answers():
    for name in NAMES:
        for question, wrong in answers(name).WRONG.items():
            for what, old, new in wrong:
                yield pytest.param(name, question, old, new, id=f"{name}-{question}-{what}")


@cache
def modules_and_cells(folder):
    return questions(folder), code_of(folder / "solution.ipynb")


@pytest.mark.parametrize(("name", "question", "old", "new"), list(wrong_answers()))
def test_a_wrong_answer_loses_marks_in_its_question_alone(name, question, old, new, made):
    modules, cells = modules_and_cells(made / name)
    own = asked(modules[question])
    places = [i for i, c in enumerate(cells) if any(f"def {function}(" in c for function in own)]
    assert sum(cells[i].count(old) for i in places) == 1, "the text to be changed"
    cells = [c.replace(old, new) if i in places else c for i, c in enumerate(cells)]
    assert lost(modules, defined(cells)).keys() == {question}


def test_there_are_enough_wrong_answers(made):
    counts = [len(wrong) for name in NAMES for wrong in answers(name).WRONG.values()]
    assert min(counts) >= 3 and sum(counts) >= 40
    for name in NAMES:
        assert answers(name).WRONG.keys() == questions(made / name).keys()


@each
def test_students_see_most_of_what_is_wrong_themselves(name, made):
    """The tests that are shown find at least four of five wrong answers."""
    modules, cells = modules_and_cells(made / name)
    found = []
    for question, wrong in answers(name).WRONG.items():
        shown = [test for _, test in check.tests_of(modules[question]) if not test.hidden]
        for _, old, new in wrong:
            names = defined([c.replace(old, new) if old in c else c for c in cells])
            found.append(any(check.failure(test, names) for test in shown))
    assert sum(found) >= 0.8 * len(found)


@each
def test_right_answers_that_are_written_otherwise_are_right(name, made):
    modules, cells = modules_and_cells(made / name)
    assert answers(name).RIGHT.keys() == modules.keys()
    for question, ways in answers(name).RIGHT.items():
        assert len(ways) >= 3
        for way in ways:
            names = defined(cells)
            exec(way, names)
            assert lost(modules, names) == {}, (question, way)


@each
@pytest.mark.slow
def test_the_marks_hold_with_other_numbers(name, made, tmp_path):
    """A teacher's private copy asks the same with other numbers."""
    assignments.private(tmp_path / "own")
    copy = tmp_path / "own/src" / f"{name}.py"
    master = assignments.SOURCES / f"{name}.py"
    assert copy.read_text(encoding="utf-8") != master.read_text(encoding="utf-8")
    assignments.divide(copy, tmp_path / "made")
    modules = questions(tmp_path / "made")
    cells = code_of(tmp_path / "made/solution.ipynb")
    assert lost(modules, defined(cells)) == {}
    given = assignments.RELEASE / f"{name}.ipynb"
    assert (tmp_path / "made/student.ipynb").read_bytes() == given.read_bytes()
    for question, wrong in answers(name).WRONG.items():
        for what, old, new in wrong:
            names = defined([c.replace(old, new) if old in c else c for c in cells])
            assert question in lost(modules, names), what


def test_a_private_copy_is_not_made_where_it_may_be_published():
    with pytest.raises(SystemExit, match="outside of this repository"):
        assignments.private(assignments.HOME / "own")


@each
def test_a_students_notebook_starts_like_the_books(name):
    book = json.loads((assignments.RELEASE / f"{name}.ipynb").read_text(encoding="utf-8"))
    first = next(cell for cell in book["cells"] if cell["cell_type"] == "code")
    assert first == notebooks.install_cell(notebooks.public_address())
    text = "".join("".join(cell["source"]) for cell in book["cells"])
    assert "otter" not in text.lower(), "students need no Otter"


@each
@pytest.mark.slow
def test_a_students_notebook_runs_before_anything_is_written(name, tmp_path):
    book = nbformat.read(assignments.RELEASE / f"{name}.ipynb", 4)
    options = {"timeout": 120, "kernel_name": "python3"}
    nbclient.NotebookClient(book, resources={"metadata": {"path": tmp_path}}, **options).execute()
    said = "".join(out.get("text", "") for cell in book.cells for out in cell.get("outputs", []))
    assert "its body is still to be written" in said


@each
@pytest.mark.slow
def test_the_solution_draws_its_pictures(name, made, tmp_path):
    book = nbformat.read(made / name / "solution.ipynb", 4)
    options = {"timeout": 300, "kernel_name": "python3"}
    nbclient.NotebookClient(book, resources={"metadata": {"path": tmp_path}}, **options).execute()
    drawn = [out for cell in book.cells for out in cell.get("outputs", []) if "data" in out]
    assert any("text/html" in out["data"] for out in drawn)


@each
@pytest.mark.slow
def test_otter_gives_the_reference_all_and_a_blank_nothing(name, made, tmp_path):
    """The zip for Gradescope, run by Otter itself."""
    for which, share in (("solution", 1.0), ("student", 0.0)):
        folder = tmp_path / which
        folder.mkdir()
        book = json.loads((made / name / f"{which}.ipynb").read_text(encoding="utf-8"))
        # The pictures are looked at above.
        book["cells"] = [c for c in book["cells"] if not "".join(c["source"]).startswith("%%time")]
        (folder / "handed-in.ipynb").write_text(json.dumps(book), encoding="utf-8")
        command = [sys.executable, "-m", "otter", "run", "-a", made / name / "autograder.zip"]
        command += ["-o", folder, folder / "handed-in.ipynb"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        marks = {
            test["name"]: (test["score"], test["max_score"])
            for test in results["tests"]
            if test.get("max_score")
        }
        coded = {key: value for key, value in marks.items() if key.startswith("q")}
        assert len(coded) == len(questions(made / name)), marks
        assert all(got == share * most for got, most in coded.values()), marks


@each
@pytest.mark.slow
def test_our_grader_agrees(name, made, tmp_path):
    """Reference, blank, three ways to be right, and a wrong answer of each question."""
    if sandbox_missing():
        pytest.skip("no sandbox on this machine")
    modules, cells = modules_and_cells(made / name)
    handed = tmp_path / "handed in"
    handed.mkdir()

    def hand_in(who, cells):
        parts = [{"cell_type": "code", "metadata": {}, "source": c} for c in cells]
        (handed / f"{who}.ipynb").write_text(json.dumps({"cells": parts}), encoding="utf-8")

    hand_in("reference", cells)
    hand_in("blank", code_of(assignments.RELEASE / f"{name}.ipynb"))
    for i in range(3):
        hand_in(f"right{i}", [*cells, *(ways[i] for ways in answers(name).RIGHT.values())])
    for question, wrong in answers(name).WRONG.items():
        _, old, new = wrong[0]
        own = asked(modules[question])
        hand_in(
            f"wrong-{question}",
            [c.replace(old, new) if any(f"def {f}(" in c for f in own) else c for c in cells],
        )
    command = [sys.executable, assignments.HOME / "grader", "grade", made / name, handed]
    run = [*command, "-o", tmp_path / "out", "-j", "1"]
    subprocess.run(run, check=True, capture_output=True)
    most = {question: module.points for question, module in modules.items()}
    for path in handed.iterdir():
        record = json.loads((tmp_path / "out/marks" / f"{path.stem}.json").read_text("utf-8"))
        got = {
            q: sum(test["points"] for test in tests if test["failed"] is None)
            for q, tests in record["questions"].items()
        }
        if path.stem == "blank":
            assert got == dict.fromkeys(most, 0)
        elif path.stem.startswith("wrong"):
            question = path.stem.removeprefix("wrong-")
            assert {q for q in most if got[q] < most[q]} == {question}
        else:
            assert got == most, record


def sandbox_missing():
    try:
        sandbox.try_it()
    except sandbox.NoSandbox:
        return True
    return False

"""The grader: what it marks, what it survives, and what it hands on."""

import csv
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

import assignments
import classroom
import grade
import lms
import pages
import sandbox
import wire

GRADER = assignments.HOME / "grader"
NAME = "score_matching"


def hostile():
    path = assignments.HOME / "hostile.py"
    spec = importlib.util.spec_from_file_location("hostile", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """What graders have of assignment 1."""
    made = tmp_path_factory.mktemp("grader") / NAME
    assignments.divide(assignments.SOURCES / f"{NAME}.py", made)
    return made


@pytest.fixture(scope="session")
def boxed():
    """Skips where there is no sandbox, unless one is demanded."""
    try:
        sandbox.try_it()
    except sandbox.NoSandbox as error:
        if "REQUIRE_SANDBOX" in os.environ:
            raise
        pytest.skip(str(error))


def run(*args, check=True, **kwargs):
    command = [sys.executable, GRADER, *args]
    return subprocess.run(command, check=check, capture_output=True, text=True, **kwargs)


def rows(path):
    with path.open(encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


# The wire.


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -2.5,
        "text",
        [1, [2.0, None]],
        (1, "x"),
        {"a": 1, "b": [True]},
        torch.arange(6).view(2, 3),
        torch.linspace(-1, 2, 6, dtype=torch.float64).view(2, 1, 3).transpose(0, 2),
        torch.tensor(1.5),
        torch.tensor([True, False]),
        torch.zeros(0, 4, dtype=torch.float16),
        torch.tensor([1.5, -2], dtype=torch.bfloat16),
    ],
    ids=str,
)
def test_a_message_comes_back(value):
    length, size = wire.HEADER.unpack(wire.encode(value)[: wire.HEADER.size])
    rest = wire.encode(value)[wire.HEADER.size :]
    back = wire.decode(rest[:length], rest[length:])
    assert len(rest) == length + size and type(back) is type(value)
    if isinstance(value, torch.Tensor):
        assert back.dtype == value.dtype and torch.equal(back, value)
    else:
        assert back == value


def test_a_callable_goes_by_its_number_and_only_where_that_is_meant():
    message = wire.encode([len], lambda value: {"call": 7})
    text = message[wire.HEADER.size :]
    assert wire.decode(text, b"", lambda number: f"function {number}") == ["function 7"]
    with pytest.raises(wire.WireError):
        wire.decode(text, b"")


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", 1j, torch.zeros(2, dtype=torch.complex64), len]
)
def test_other_values_are_refused(value):
    with pytest.raises(wire.WireError, match=type(value).__name__.split(".")[-1].lower()):
        wire.encode(value)


def test_what_is_too_long_or_too_deep_is_refused():
    with pytest.raises(wire.WireError, match="bytes"):
        wire.encode(torch.zeros(wire.LIMIT))
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(wire.WireError, match="deep"):
        wire.encode(deep)


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b"garbage", b""),
        (b"\xff\xfe", b""),
        (b"[" * 100_000, b""),
        (b"9" * 100_000, b""),
        (b'{"tensor": ["float64", [3]]}', b"1234567"),
        (b'{"tensor": ["float64", [100000000000]]}', b"12345678"),
        (b'{"tensor": ["float64", [-1]]}', b"12345678"),
        (b'{"tensor": ["float64", [1.0]]}', b"12345678"),
        (b'{"tensor": ["float64", [true]]}', b"12345678"),
        (b'{"tensor": ["float64", 1]}', b"12345678"),
        (b'{"tensor": ["object", [1]]}', b"12345678"),
        (b'{"tensor": [["float64"], [1]]}', b"12345678"),
        (b'{"tensor": ["float64", [0, 2097152, 2097152, 2097152, 2097152]]}', b""),
        (b'{"pickle": "cos"}', b""),
        (b'{"tuple": 3}', b""),
        (b'{"dict": [1]}', b""),
        (b'{"tensor": ["float64", []], "tuple": []}', b"12345678"),
    ],
)
def test_what_is_no_message_is_refused(text, body):
    with pytest.raises(wire.WireError):
        wire.decode(text, body)


def test_a_channel_waits_no_longer_than_it_was_told():
    read, write = os.pipe()
    channel = wire.Channel(read, write)
    start = time.monotonic()
    with pytest.raises(wire.TooLate):
        channel.receive(start + 0.2)
    with pytest.raises(wire.TooLate):  # the pipe is full, and nobody reads
        channel.send(bytes(1 << 22), time.monotonic() + 0.2)
    assert time.monotonic() - start < 5


def test_a_length_that_is_too_long_is_refused_before_it_is_read():
    read, write = os.pipe()
    os.write(write, wire.HEADER.pack(2 << 30, 0))
    with pytest.raises(wire.WireError, match="too long"):
        wire.Channel(read, write).receive(time.monotonic() + 1)
    os.close(write)
    with pytest.raises(EOFError):
        wire.Channel(read, read).receive(time.monotonic() + 1)


# The sandbox.


@pytest.mark.slow
def test_without_a_sandbox_it_refuses_to_start(folder, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(folder / "student.ipynb", tmp_path / "in/a.ipynb")
    command = ["grade", folder, tmp_path / "in", "-o", tmp_path / "out"]
    bare = os.environ | {"PATH": str(tmp_path)}
    refused = run(*command, check=False, env=bare)
    assert refused.returncode == 1 and "bubblewrap is not installed" in refused.stderr
    assert "--unsafe" in refused.stderr and not (tmp_path / "out").exists()
    run(*command, "--unsafe", env=bare)
    assert rows(tmp_path / "out/grades.csv")["a"]["q1"] == "0"


def test_a_sandbox_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    false = tmp_path / "bwrap"
    false.write_text("#!/bin/sh\necho 'no user namespaces here' >&2\nexit 1\n")
    false.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(sandbox.NoSandbox, match="no user namespaces here"):
        sandbox.try_it()


def test_an_unknown_machine_has_no_filter():
    assert sandbox.no_processes("x86_64") != sandbox.no_processes("aarch64")
    with pytest.raises(sandbox.NoSandbox, match="mips"):
        sandbox.no_processes("mips")


def test_what_is_searched_for_would_be_found_outside(folder):
    """The search of the hostile set is a search: beside the tests it finds them."""
    text = hostile().SEARCH.replace('os.walk("/")', f"os.walk({str(folder)!r})")
    with pytest.raises(RuntimeError, match=r"found [1-9]"):
        exec(text.replace('"/usr", ', ""), {})


@pytest.fixture
def server():
    """A server that no student may reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.slow
def test_no_attack_gains_a_mark_and_nothing_is_left_behind(folder, tmp_path, boxed, server):
    module = hostile()
    attacks = module.attacks(folder, server.getsockname()[1])
    (tmp_path / "in").mkdir()
    for number, attack in enumerate(attacks.values()):
        (tmp_path / "in" / f"{number}.ipynb").write_bytes(attack.content)
    start = time.monotonic()
    limits = ["--cell", "12", "--call", "6", "--whole", "90"]
    command = ["grade", folder, tmp_path / "in", "-o", tmp_path / "out", "-j", "3", *limits]
    run(*command, cwd=tmp_path)
    assert time.monotonic() - start < 30 * len(attacks)
    grades, wrong = rows(tmp_path / "out/grades.csv"), {}
    for number, (name, attack) in enumerate(attacks.items()):
        got = {question: float(grades[str(number)][question]) for question in module.FULL}
        record = json.loads((tmp_path / f"out/marks/{number}.json").read_text("utf-8"))
        if got != attack.marks or attack.note not in "\n".join(record["notes"]):
            wrong[name] = got, record["notes"]
        assert len(json.dumps(record)) < 20_000, f"{name}: what is kept of it is long"
    assert wrong == {}
    with pytest.raises(BlockingIOError):
        server.accept()
    left = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    assert not [line for line in left if "98765" in line or str(folder) in line]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


# A class.


@pytest.fixture
def handed_in(folder, tmp_path):
    """A folder with the reference and a blank, and where the marks go."""
    (tmp_path / "in").mkdir()
    shutil.copy(folder / "solution.ipynb", tmp_path / "in/ann.ipynb")
    shutil.copy(folder / "student.ipynb", tmp_path / "in/bob.ipynb")
    return tmp_path / "in", tmp_path / "out"


@pytest.mark.slow
def test_only_what_is_missing_is_marked(folder, handed_in, boxed):
    submissions, out = handed_in
    command = ["grade", folder, submissions, "-o", out, "-j", "2"]
    assert "2 of them to be marked" in run(*command).stdout
    first = (out / "grades.csv").read_bytes()
    assert "0 of them to be marked" in run(*command).stdout
    assert (out / "grades.csv").read_bytes() == first
    (out / "marks/bob.json").unlink()
    assert "1 of them to be marked" in run(*command).stdout
    book = json.loads((submissions / "bob.ipynb").read_text("utf-8"))
    book["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "My *words*."})
    (submissions / "bob.ipynb").write_text(json.dumps(book), encoding="utf-8")
    assert "1 of them to be marked" in run(*command).stdout
    assert json.loads((out / "marks/bob.json").read_text("utf-8"))["written"] == "My *words*."


@pytest.mark.slow
def test_a_grader_that_is_killed_goes_on_where_it_was(folder, handed_in, boxed):
    submissions, out = handed_in
    for number in range(4):
        shutil.copy(submissions / "ann.ipynb", submissions / f"x{number}.ipynb")
    command = [sys.executable, GRADER, "grade", folder, submissions, "-o", out]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with process:
        deadline = time.monotonic() + 120
        while len(list(out.glob("marks/*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    done = {path: path.read_bytes() for path in (out / "marks").glob("*.json")}
    assert 2 <= len(done) < 6 and all(json.loads(text) for text in done.values())
    said = run("grade", folder, submissions, "-o", out).stdout
    assert f"6 submissions, {6 - len(done)} of them to be marked" in said
    assert all(path.read_bytes() == text for path, text in done.items())
    assert len(rows(out / "grades.csv")) == 6
    assert psutil.wait_procs(started, timeout=30)[1] == []


def test_other_tests_mark_anew(folder, handed_in, tmp_path):
    submissions, out = handed_in
    found = classroom.submissions(submissions, None)
    assignment = grade.Assignment.read(folder)
    records = classroom.Records(out, assignment)
    for name, path in found.items():
        record = {"submission": grade.digest(path.read_bytes()), "tests": assignment.digest}
        records.add(name, record)
    assert classroom.Records(out, assignment).missing(found) == {}
    other = shutil.copytree(folder, tmp_path / "other")
    with (other / "tests/q1.py").open("a") as file:
        file.write("# other numbers\n")
    assert classroom.Records(out, grade.Assignment.read(other)).missing(found) == found


@pytest.mark.slow
def test_shards_together_are_the_class(folder, handed_in, boxed):
    submissions, out = handed_in
    command = ["grade", folder, submissions, "-o", out]
    assert "1 submissions, 1 of them" in run(*command, "--shard", "1/2").stdout
    assert "1 submissions, 1 of them" in run(*command, "--shard", "2/2").stdout
    assert not (out / "grades.csv").exists(), "shards would overwrite each other's"
    assert "2 submissions, 0 of them" in run(*command).stdout
    assert list(rows(out / "grades.csv")) == ["ann", "bob"]
    refused = run(*command, "--shard", "3/2", check=False)
    assert refused.returncode == 1 and "--shard: expected I/N" in refused.stderr


@pytest.mark.slow
def test_marks_by_hand_are_kept_and_counted(folder, handed_in, boxed):
    submissions, out = handed_in
    command = ["grade", folder, submissions, "-o", out]
    run(*command)
    assert rows(out / "written.csv")["ann"] == {"student": "ann", "w1": "", "w1 comment": ""}
    assert rows(out / "grades.csv")["ann"]["total"] == ""
    with pytest.raises(ValueError, match="2 written answers are not marked yet, of ann, bob"):
        lms.totals(out / "grades.csv")
    text = 'student,w1,w1 comment\nann,1.5,"clear, but <b>short</b>"\nbob,0,\n'
    (out / "written.csv").write_text(text, encoding="utf-8-sig")
    run(*command)
    assert lms.totals(out / "grades.csv") == {"ann": "9.5", "bob": "0"}
    assert rows(out / "written.csv")["ann"]["w1 comment"] == "clear, but <b>short</b>"
    page = (out / "feedback/ann.html").read_text("utf-8")
    assert "<strong>9.5</strong> of 10" in page and "clear, but &lt;b&gt;short" in page
    (out / "marks/bob.json").unlink()  # as where another shard has it
    records = classroom.Records(out, grade.Assignment.read(folder))
    records.publish()
    assert list(rows(out / "grades.csv")) == ["ann"]
    assert rows(out / "written.csv")["bob"]["w1"] == "0"
    (out / "written.csv").write_text("student;w1\nann;1,5\n", encoding="utf-8")
    with pytest.raises(ValueError, match="expected the columns student, w1, with commas"):
        records.by_hand()
    (out / "written.csv").write_text("student,w1\nann,3\n", encoding="utf-8")
    refused = run(*command, check=False)
    assert refused.returncode == 1
    assert "ann, w1: expected a number from 0 to 2, got '3'" in refused.stderr
    assert (out / "written.csv").read_text("utf-8") == "student,w1\nann,3\n"


def test_what_students_write_is_text_on_every_page(folder):
    assignment = grade.Assignment.read(folder)
    harm = "<script>alert(1)</script>"
    test = {"title": "a", "points": 1, "hidden": True, "failed": harm}
    record = {"questions": {"q1": [test]}, "notes": [harm], "written": harm}
    marks = {"w1": {"mark": "", "comment": harm}}
    for page in (
        pages.feedback(assignment, harm, record, marks),
        pages.written(assignment, {harm: harm}),
    ):
        assert "<script" not in page and "&lt;script&gt;" in page


@pytest.mark.slow
def test_the_written_answer_is_what_the_student_added(folder, boxed):
    book = json.loads((folder / "student.ipynb").read_text("utf-8"))
    text = "The loss is a distance plus a constant."
    book["cells"][-1:-1] = [{"cell_type": "markdown", "metadata": {}, "source": [text]}]
    assignment = grade.Assignment.read(folder)
    record = grade.mark(json.dumps(book).encode(), assignment, grade.Limits(), unsafe=False)
    assert record["written"] == text and record["notes"] == []


@pytest.mark.slow
def test_an_import_that_may_answer_a_question_is_noticed(folder, boxed):
    book = json.loads((folder / "student.ipynb").read_text("utf-8"))
    text = "from minidiff import score_matching, viz\nimport minidiff.gmm"
    book["cells"].append({"cell_type": "code", "metadata": {}, "source": text, "outputs": []})
    assignment = grade.Assignment.read(folder)
    notes = grade.mark(json.dumps(book).encode(), assignment, grade.Limits(), False)["notes"]
    assert notes == [
        f"imports minidiff.{name}, which the assignment does not"
        for name in ("gmm", "score_matching")
    ]


def test_links_and_other_things_are_no_submissions(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "solution.ipynb").touch()
    (tmp_path / "in/._a.ipynb").touch()  # what macOS leaves in archives
    link = tmp_path / "in/a.ipynb"
    link.symlink_to(tmp_path / "solution.ipynb")
    with pytest.raises(ValueError, match="a.ipynb' is no file of its own"):
        classroom.submissions(tmp_path / "in", None)
    link.unlink()
    link.mkdir()
    with pytest.raises(ValueError, match="is no file of its own"):
        classroom.submissions(tmp_path / "in", None)


def test_arrays_and_ranges_are_lists_of_numbers():
    for value in (np.array([3, 2, 0]), range(3, -1, -1), [np.int64(3)], np.float32(0.5)):
        length, size = wire.HEADER.unpack(wire.encode(value)[: wire.HEADER.size])
        text = wire.encode(value)[wire.HEADER.size :]
        assert wire.decode(text[:length], text[length:]) == (
            list(value) if isinstance(value, np.ndarray | range | list) else 0.5
        )


@pytest.mark.slow
def test_magics_are_not_run_but_capture_changes_nothing(folder, boxed):
    right = "def loss_floor(c, sigma, d):\n    return d / 2 * c**2 / (c**2 + sigma**2)"
    assignment = grade.Assignment.read(folder)
    for first, points in (("%%capture out", 2), ("%%time", 0), ("%matplotlib inline", 2)):
        cell = {"cell_type": "code", "metadata": {}, "source": f"{first}\n{right}"}
        book = json.dumps({"cells": [cell]}).encode()
        record = grade.mark(book, assignment, grade.Limits(), unsafe=False)
        assert grade.earned(record)["q4"] == points
        assert bool(record["notes"]) == (points == 0)


def test_a_worker_that_does_not_start_is_not_the_students_fault(folder, monkeypatch):
    assignment = grade.Assignment.read(folder)
    monkeypatch.setattr(grade, "STARTING", 0.0)
    with pytest.raises(RuntimeError, match="a worker did not start"):
        grade.mark(b'{"cells": []}', assignment, grade.Limits(), unsafe=True)
    record = grade.unmarked(assignment, "that")
    records = classroom.Records(folder.parent / "by-hand", assignment)
    records.add("ann", record)
    records.publish()
    row = rows(folder.parent / "by-hand/grades.csv")["ann"]
    assert row["q1"] == row["total"] == "" and row["notes"] == "1"


def test_a_grader_that_ends_is_said_and_the_rest_goes_on(folder, monkeypatch):
    marker = classroom.Marker(folder, grade.Limits(), True)
    monkeypatch.setattr(classroom, "PATIENCE", 0.0)
    marker.settings = folder, grade.Limits(whole=0.0), True
    record = marker.mark(b"{}")
    assert record["notes"] == ["Mark this one by hand: the grader itself ended on it."]
    assert sum(grade.earned(record).values()) == 0 and marker.process is None


def test_students_are_read_off_the_paths(tmp_path):
    for name in ("ann_123_9_a.ipynb", "sub/bob_45_8_a.ipynb", ".ipynb_checkpoints/x.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(classroom.submissions(tmp_path, r"_(\d+)_")) == ["123", "45"]
    with pytest.raises(ValueError, match="does not match 'ann_123_9_a.ipynb'"):
        classroom.submissions(tmp_path, r"-(\d+)-")
    for pattern in (r"_\d+_", r"(_)(\d+)_"):
        with pytest.raises(ValueError, match="a pattern with one group"):
            classroom.submissions(tmp_path, pattern)
    with pytest.raises(ValueError, match="no name for a student"):
        classroom.submissions(tmp_path, r"_\d+_9_a|(x?)")
    (tmp_path / "late_123_7_a.ipynb").touch()
    with pytest.raises(ValueError, match="two notebooks of 123"):
        classroom.submissions(tmp_path, r"_(\d+)_")
    with pytest.raises(ValueError, match="no notebook in"):
        classroom.submissions(tmp_path / "nothing", None)


@pytest.mark.slow
def test_a_folder_that_is_no_assignment_is_said(tmp_path):
    (tmp_path / "a.ipynb").touch()
    refused = run("grade", tmp_path, tmp_path, "-o", tmp_path / "o", "--unsafe", check=False)
    assert refused.returncode == 1 and "run make assignments" in refused.stderr


# The learning platforms.

CANVAS = (
    "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,DDPM (555),Other (556)\r\n"
    "    Points Possible,,,,,10,5\r\n"
    '"Lee, Ann",123,u1,ann,"A, and B",,4\r\n'
    "Bob,45,u2,bob,A,3,\r\n"
    "Cai,67,u3,cai,A,7,\r\n"
)
MOODLE = (
    "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,"
    "Last modified (submission),Last modified (grade),Feedback comments\n"
    'Participant 123,Ann Lee,a@b.c,Submitted,,"10,00",Yes,"Monday, 1 June",-,\n'
    'Participant 45,Bob,b@b.c,Submitted,,"10,00",Yes,-,-,"kept, as is"\n'
)


def test_canvas_gets_its_own_file_back(tmp_path):
    (tmp_path / "in.csv").write_bytes(CANVAS.encode())
    found, out = {"123": "9.5", "45": "8", "99": "1"}, tmp_path / "out.csv"
    empty, left = lms.merge(found, tmp_path / "in.csv", out, "ID", "DDPM (555)", None)
    assert (empty, left) == (["67"], ["99"])
    wanted = CANVAS.replace('B",,4', 'B",9.5,4').replace("bob,A,3,", "bob,A,8,")
    assert out.read_bytes() == wanted.encode()


def test_moodle_gets_its_own_file_back(tmp_path):
    (tmp_path / "in.csv").write_text(MOODLE, encoding="utf-8", newline="")
    out = tmp_path / "out.csv"
    merged = lms.merge({"123": "9.5"}, tmp_path / "in.csv", out, "Identifier", "Grade", 10.0)
    assert merged == (["45"], [])
    with out.open(encoding="utf-8", newline="") as file:
        got = list(csv.reader(file))
    old = list(csv.reader(MOODLE.splitlines()))
    old[1][4] = "9.5"
    assert got == old


def test_what_does_not_fit_is_refused(tmp_path):
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_bytes(CANVAS.encode())
    with pytest.raises(ValueError, match=r"expected a column 'DDPM \(9\)', got Student, ID"):
        lms.merge({}, path, out, "ID", "DDPM (9)", None)
    path.write_bytes(CANVAS.replace("Bob,45", "Bob,123").encode())
    with pytest.raises(ValueError, match="123 is there twice"):
        lms.merge({}, path, out, "ID", "DDPM (555)", None)
    path.write_text(MOODLE, encoding="utf-8")
    with pytest.raises(ValueError, match="Maximum Grade: expected 20, got 10,00"):
        lms.merge({}, path, out, "Identifier", "Grade", 20.0)
    assert not out.exists()


@pytest.mark.slow
def test_grades_go_to_the_platforms_by_one_command(tmp_path):
    (tmp_path / "grades.csv").write_text("student,q1,total,notes\n123,2,2,\n45,1,1,\n")
    (tmp_path / "canvas.csv").write_bytes(CANVAS.encode())
    (tmp_path / "moodle.csv").write_text(MOODLE, encoding="utf-8")
    said = run(
        "canvas", tmp_path, tmp_path / "canvas.csv", "DDPM (555)", tmp_path / "up.csv"
    ).stdout
    assert "2 grades are in" in said and "1 without a submission: 67" in said
    said = run("moodle", tmp_path, tmp_path / "moodle.csv", tmp_path / "up2.csv").stdout
    assert "2 grades are in" in said
    refused = run("moodle", tmp_path, tmp_path / "canvas.csv", tmp_path / "x.csv", check=False)
    assert refused.returncode == 1 and "expected a column 'Identifier'" in refused.stderr

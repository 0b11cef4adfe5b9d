"""Marks a class: several submissions at once, each record written as soon as it is there."""

import csv
import io
import json
import multiprocessing
import re
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from pathlib import Path

import torch

import pages
from grade import LONGEST, Assignment, Limits, Record, digest, earned, mark, unmarked
from minidiff.train import write_atomically

ROOM = 2 << 30  # bytes that a marking process may take for what students' code sends to tests
LONGEST_NAME = 200  # bytes of a student's name, as a part of file names
PATIENCE = 60.0  # seconds beyond the limits, after which it is the grader that hangs


def submissions(folder: Path, student: str | None) -> dict[str, Path]:
    """Returns {student: notebook} of a folder and the folders in it.

    Args:
        folder: Where the notebooks are.
        student: A regular expression whose group is the student's identifier in a path below the
            folder; None for the file's name without its ending.

    Raises:
        ValueError: There is no notebook, a path does not match, or two notebooks are one
            student's.
    """
    found: dict[str, Path] = {}
    home = folder.resolve()
    if student is not None and re.compile(student).groups != 1:
        raise ValueError(f"student: expected a pattern with one group, got {student!r}")
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts or path.name.startswith("._"):
            continue
        if path.is_symlink() or not path.is_file() or not path.resolve().is_relative_to(home):
            raise ValueError(f"submissions: {str(path)!r} is no file of its own")
        if student is None:
            name = path.stem
        elif (match := re.search(student, path.relative_to(folder).as_posix())) is not None:
            name = match[1]
        else:
            raise ValueError(
                f"student: {student!r} does not match {str(path.relative_to(folder))!r}"
            )
        name = re.sub(r"[^\w.@ -]", "_", name or "")
        if not 0 < len(name.encode()) <= LONGEST_NAME:
            raise ValueError(f"submissions: no name for a student in {str(path)!r}")
        if name in found:
            raise ValueError(f"two notebooks of {name}: {str(found[name])!r} and {str(path)!r}")
        found[name] = path
    if not found:
        raise ValueError(f"submissions: no notebook in {folder}")
    return found


class Marker:
    """A process that marks one submission after the other, and is replaced if it ends.

    Args:
        folder: The assignment's.
        limits: How long a student's code may take.
        unsafe: Whether there is no sandbox.
    """

    def __init__(self, folder: Path, limits: Limits, unsafe: bool) -> None:
        self.settings = folder, limits, unsafe
        self.assignment = Assignment.read(folder)
        self.process: multiprocessing.process.BaseProcess | None = None

    def mark(self, content: bytes) -> Record:
        """Returns the record of a submission; one that ends the process is for a person."""
        try:
            if self.process is None:
                context = multiprocessing.get_context("spawn")
                self.connection, other = context.Pipe()
                self.process = context.Process(target=_serve, args=(other, *self.settings))
                self.process.start()
                other.close()
            self.connection.send_bytes(content)
            if self.connection.poll(self.settings[1].whole + PATIENCE):
                return json.loads(self.connection.recv_bytes())  # type: ignore[no-any-return]
        except (EOFError, OSError):
            pass
        self.stop()
        return unmarked(self.assignment, "the grader itself ended on it")

    def stop(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _serve(connection: Connection, folder: Path, limits: Limits, unsafe: bool) -> None:
    torch.set_num_threads(1)
    assignment = Assignment.read(folder)
    with open("/proc/self/statm", encoding="utf-8") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    # The soft limit alone: workers inherit it, and set their own.
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, hard))
    while True:
        try:
            content = connection.recv_bytes()
        except EOFError:
            return
        record = mark(content, assignment, limits, unsafe)
        connection.send_bytes(json.dumps(record).encode())


class Records:
    """The folder with all that is known of a class's submissions.

    ``marks/`` has a record for each; ``written.csv`` is for people to fill in; ``grades.csv``,
    ``written.html`` and ``feedback/`` follow from these two.

    Args:
        folder: The folder; it is made.
        assignment: What was asked.
    """

    def __init__(self, folder: Path, assignment: Assignment) -> None:
        self.folder, self.assignment = folder, assignment
        for part in ("marks", "feedback"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self.records = {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((folder / "marks").glob("*.json"))
        }
        self.records = {
            student: record
            for student, record in self.records.items()
            if record["tests"] == assignment.digest  # others are of other questions
        }

    def missing(self, found: dict[str, Path]) -> dict[str, Path]:
        """Returns the submissions without a record of this notebook and these tests."""
        return {name: path for name, path in found.items() if not self._has(name, path)}

    def _has(self, student: str, path: Path) -> bool:
        record = self.records.get(student, {})
        with path.open("rb") as file:
            return bool(record.get("submission") == digest(file.read(LONGEST + 1)))

    def add(self, student: str, record: Record) -> None:
        """Writes a record."""
        # What a student wrote need not be Unicode; what is kept of it is.
        text = json.dumps(record, indent=1, ensure_ascii=False).encode("utf-8", "replace")
        self.records[student] = json.loads(text)
        write_atomically(self.folder / "marks" / f"{student}.json", text)

    def by_hand(self) -> dict[str, dict[str, dict[str, str]]]:
        """Returns {student: {question: {"mark", "comment"}}}, as written.csv has it.

        Raises:
            ValueError: A column is missing, a student has two rows, or a mark is no number from
                0 to the question's points.
        """
        path = self.folder / "written.csv"
        rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        if rows and not {"student", *self.assignment.written} <= rows[0].keys():
            raise ValueError(
                f"{path}: expected the columns student, {', '.join(self.assignment.written)}, "
                f"with commas between them, got {', '.join(map(str, rows[0]))}"
            )
        given = {row["student"]: row for row in rows}
        if len(given) < len(rows):
            raise ValueError(f"{path}: a student has two rows")
        marks = {}
        for student in sorted(self.records.keys() | given.keys()):
            row = given.get(student, {})
            marks[student] = {
                question: {
                    "mark": (row.get(question) or "").strip(),
                    "comment": (row.get(f"{question} comment") or "").strip(),
                }
                for question in self.assignment.written
            }
            for question, part in marks[student].items():
                most = self.assignment.points[question]
                if part["mark"] and not _is_mark(part["mark"], most):
                    raise ValueError(
                        f"{path}: {student}, {question}: expected a number from 0 to {most:g}, "
                        f"got {part['mark']!r}"
                    )
        return marks

    def publish(self) -> None:
        """Writes what follows from the records and the marks given by hand."""
        hand = self.by_hand()
        asked = list(self.assignment.written)
        header = ["student", *(c for q in asked for c in (q, f"{q} comment"))]
        rows = [
            [student, *(text for q in asked for text in (m[q]["mark"], m[q]["comment"]))]
            for student, m in hand.items()
        ]
        if asked:
            self._write_csv("written.csv", header, rows)
        header, rows = ["student", *self.assignment.points, "total", "notes"], []
        for student, marks in hand.items():
            if student not in self.records:  # another shard's, for now
                continue
            record = self.records[student]
            got = dict.fromkeys(self.assignment.points, "")
            if not record.get("by_hand"):
                got |= {q: f"{points:g}" for q, points in earned(record).items()}
            got |= {question: part["mark"] for question, part in marks.items()}
            total = f"{sum(map(float, got.values())):g}" if all(got.values()) else ""
            rows.append([student, *got.values(), total, str(len(record["notes"]) or "")])
        self._write_csv("grades.csv", header, rows)
        for student in self.records:
            marks = hand[student]
            page = pages.feedback(self.assignment, student, self.records[student], marks)
            write_atomically(self.folder / "feedback" / f"{student}.html", page.encode())
        answers = {student: record["written"] for student, record in self.records.items()}
        page = pages.written(self.assignment, answers)
        write_atomically(self.folder / "written.html", page.encode())

    def _write_csv(self, name: str, header: list[str], rows: list[list[str]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows([header, *rows])
        write_atomically(self.folder / name, text.getvalue().encode())


def _is_mark(text: str, most: float) -> bool:
    return re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) is not None and float(text) <= most


def mark_all(
    records: Records, found: dict[str, Path], folder: Path, limits: Limits, unsafe: bool, jobs: int
) -> Iterator[str]:
    """Marks submissions, several at once, and yields each student whose record is written.

    Args:
        records: Where the records go.
        found: {student: notebook}.
        folder: The assignment's.
        limits: How long a student's code may take.
        unsafe: Whether there is no sandbox.
        jobs: How many at once.
    """
    own = threading.local()
    markers: list[Marker] = []

    def work(path: Path) -> Record:
        if not hasattr(own, "marker"):
            own.marker = Marker(folder, limits, unsafe)
            markers.append(own.marker)
        with path.open("rb") as file:
            return own.marker.mark(file.read(LONGEST + 1))  # type: ignore[no-any-return]

    pool = ThreadPoolExecutor(jobs)
    try:
        waiting = {pool.submit(work, path): name for name, path in found.items()}
        for done in as_completed(waiting):
            try:
                record = done.result()
            except Exception as error:
                record = unmarked(records.assignment, f"{type(error).__name__}: {error}")
            records.add(waiting[done], record)
            yield waiting[done]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for marker in markers:
            marker.stop()

"""Puts grades into the file that a learning platform exported, for it to import again."""

import csv
import io
from pathlib import Path

from minidiff.train import write_atomically


def totals(grades: Path) -> dict[str, str]:
    """Returns {student: total} of a grades.csv.

    Raises:
        ValueError: A total is missing: a written answer is not marked yet.
    """
    with grades.open(encoding="utf-8") as file:
        found = {row["student"]: row["total"] for row in csv.DictReader(file)}
    if waiting := [student for student, total in found.items() if not total]:
        raise ValueError(
            f"{len(waiting)} written answers are not marked yet, of {', '.join(waiting[:5])}: "
            "fill in written.csv and run the grader once more"
        )
    return found


def merge(
    found: dict[str, str], export: Path, target: Path, key: str, column: str, most: float | None
) -> tuple[list[str], list[str]]:
    """Writes the export with the grades filled in, and everything else as it was.

    Args:
        found: {student: total}.
        export: What the platform exported, as CSV.
        target: The file to write.
        key: The column with the students' identifiers; what counts is its last word.
        column: The column that the grades go to.
        most: The most points of a grade; where the export has a column "Maximum Grade", it must
            say the same.

    Returns:
        The students of the export without a grade, and those with a grade who are not in it.

    Raises:
        ValueError: A column is missing, two rows are one student's, or the maximum differs.
    """
    content = export.read_bytes()
    mark = "\ufeff" if content.startswith(b"\xef\xbb\xbf") else ""
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    header = list(reader.fieldnames or [])
    for name in (key, column):
        if name not in header:
            raise ValueError(f"{export}: expected a column {name!r}, got {', '.join(header)}")
    rows, empty, left = list(reader), [], dict(found)
    seen: set[str] = set()
    for row in rows:
        student = " ".join((row[key] or "").split()[-1:])
        if not student:  # such as Canvas's row of the points possible
            continue
        if student in seen:
            raise ValueError(f"{export}: {student} is there twice")
        seen.add(student)
        scale = row.get("Maximum Grade")
        if most is not None and scale and float(scale.replace(",", ".")) != most:
            raise ValueError(f"{export}: Maximum Grade: expected {most:g}, got {scale}")
        if student in left:
            row[column] = left.pop(student)
        else:
            empty.append(student)
    text = io.StringIO()
    writer = csv.DictWriter(text, header)
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(target, (mark + text.getvalue()).encode())
    return empty, list(left)

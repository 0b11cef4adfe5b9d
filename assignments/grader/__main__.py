"""Grades a class, and hands the grades on.

python assignments/grader grade assignments/dist/ddpm submissions/ -o grades/ -j 8
python assignments/grader canvas grades/ export.csv "DDPM (555)" upload.csv
python assignments/grader moodle grades/ worksheet.csv upload.csv
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

import classroom
import lms
import sandbox
from grade import Assignment, Limits


def arguments() -> argparse.Namespace:
    """Returns what the command line says."""
    parser = argparse.ArgumentParser(
        prog="grader", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    grade = commands.add_parser("grade", help="mark every notebook of a folder")
    grade.add_argument("assignment", type=Path, help="a folder of assignments/dist")
    grade.add_argument("submissions", type=Path, help="a folder with notebooks")
    grade.add_argument("-o", "--out", type=Path, required=True, help="where the marks go")
    grade.add_argument("-j", "--jobs", type=int, default=1, help="how many at once")
    grade.add_argument(
        "--student",
        metavar="REGEX",
        help="its group is the student's identifier in a path; the file's name without this",
    )
    grade.add_argument(
        "--shard", metavar="I/N", default="1/1", help="only every N-th notebook, from the I-th"
    )
    grade.add_argument("--cell", type=float, default=Limits.cell, help="seconds for a cell")
    grade.add_argument("--call", type=float, default=Limits.call, help="seconds for a call")
    grade.add_argument("--whole", type=float, default=Limits.whole, help="seconds for a notebook")
    grade.add_argument(
        "--unsafe", action="store_true", help="no sandbox: students' code can do what you can"
    )
    canvas = commands.add_parser("canvas", help="fill in the gradebook that Canvas exported")
    moodle = commands.add_parser("moodle", help="fill in Moodle's offline grading worksheet")
    for platform, key in ((canvas, "ID"), (moodle, "Identifier")):
        platform.add_argument("grades", type=Path, help="the folder with grades.csv")
        platform.add_argument("export", type=Path, help="the file that the platform exported")
        platform.add_argument("--key", default=key, help=f"the students' column ({key})")
    canvas.add_argument("column", help='the assignment\'s column, such as "DDPM (555)"')
    moodle.add_argument("--column", default="Grade", help="the grades' column (Grade)")
    for platform in (canvas, moodle):
        platform.add_argument("target", type=Path, help="the file to upload")
        platform.add_argument("--most", type=float, help="the most points that there are")
    return parser.parse_args()


def grade(args: argparse.Namespace) -> None:
    """Marks what is not marked yet."""
    if not args.unsafe:
        sandbox.try_it()
    assignment = Assignment.read(args.assignment)
    records = classroom.Records(args.out, assignment)
    index, count = map(int, args.shard.split("/"))
    if not 1 <= index <= count:
        raise ValueError(f"--shard: expected I/N with I in 1..N, got {args.shard}")
    every = classroom.submissions(args.submissions, args.student)
    found = dict(list(every.items())[index - 1 :: count])
    todo = records.missing(found)
    print(f"grader: {len(found)} submissions, {len(todo)} of them to be marked", flush=True)
    limits = Limits(args.cell, args.call, args.whole)
    run = classroom.mark_all(records, todo, args.assignment, limits, args.unsafe, args.jobs)
    for _ in tqdm(run, total=len(todo), unit="submission"):
        pass
    if count > 1:
        print(f"grader: the marks of this shard are in {args.out / 'marks'}")
        return
    records.publish()
    print(f"grader: {args.out / 'grades.csv'}, and for students {args.out / 'feedback'}")


def merge(args: argparse.Namespace) -> None:
    """Fills in a platform's own file, and says who is left over."""
    found = lms.totals(args.grades / "grades.csv")
    empty, left = lms.merge(found, args.export, args.target, args.key, args.column, args.most)
    print(f"grader: {len(found) - len(left)} grades are in {args.target}")
    for what, students in (("without a submission", empty), ("not in the export", left)):
        if students:
            print(f"grader: {len(students)} {what}: {', '.join(students)}")


def main() -> None:
    """Does what the command line says; an error of the input is told in a line."""
    args = arguments()
    try:
        grade(args) if args.command == "grade" else merge(args)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"grader: {error}")
    except sandbox.NoSandbox as error:
        sys.exit(
            f"grader: {error}.\nStudents' code is run in a sandbox or not at all; "
            "--unsafe runs it without one, where it can do whatever you can."
        )


if __name__ == "__main__":
    main()

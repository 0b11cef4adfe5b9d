"""Executes the notebooks and renders the book, strictly: a warning is an error.

Only notebooks without a stored result are executed, by nbval, two at a time. The ledger must hold
before anything is rendered.
"""

import os
import shutil
import subprocess
import sys

from jupyter_book.cli.main import main as jupyter_book

import executed
import ledger

NBVAL = ["--nbval-lax", "-W", "default", "-n", "2", "--dist", "loadfile"]


def run_pytest(*options: str) -> int:
    """Runs it in two processes of one thread each, and returns its exit code."""
    own = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.run(command, cwd=ledger.ROOT, env=own, check=False).returncode


def execute() -> None:
    """Runs the notebooks that have no stored result; stops if a cell fails."""
    paths = [str(path) for path in executed.missing()]
    if paths:
        print(f"== book: executing {len(paths)} notebooks", flush=True)
        if run_pytest(*NBVAL, *paths):
            sys.exit("book: not rendered, since a notebook does not run")


def check_equations() -> None:
    """Stops unless every labelled equation has a passed test; runs those tests if need be."""
    if ledger.problems():
        print("== book: running the tests of the equations")
        run_pytest("-n", "2", "-m", "equation or twin", "tests", "--ignore-glob=tests/test_pages*")
    if ledger.main(check=True):
        sys.exit("book: not rendered, since the ledger does not hold")


def main() -> None:
    """Builds the book and says where it is."""
    check_equations()
    execute()
    print("== book: rendering", flush=True)
    shutil.rmtree(executed.BUILD / "html", ignore_errors=True)  # or pages that are gone would stay
    options = ["--all", "-W", "--keep-going", "-n"]
    jupyter_book(["build", str(ledger.ROOT), *options], standalone_mode=False)
    print(f"== book: open {(executed.BUILD / 'html/book/index.html').as_uri()}")


if __name__ == "__main__":
    main()

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

NBVAL = ["-m", "pytest", "--nbval-lax", "-W", "default", "-n", "2", "--dist", "loadfile"]


def execute() -> None:
    """Runs the notebooks that have no stored result; stops if a cell fails."""
    paths = [str(path) for path in executed.missing()]
    if paths:
        print(f"== book: executing {len(paths)} notebooks", flush=True)
        own = os.environ | {"OMP_NUM_THREADS": "1"}
        if subprocess.run([sys.executable, *NBVAL, *paths], cwd=ledger.ROOT, env=own).returncode:
            sys.exit("book: not rendered, since a notebook does not run")


def check_equations() -> None:
    """Stops unless every labelled equation has a passed test; runs those tests if need be."""
    if ledger.problems():
        print("== book: running the tests of the equations")
        command = [sys.executable, "-m", "pytest", "-q", "-m", "equation or twin", "tests"]
        subprocess.run(
            [*command, "--ignore-glob=tests/test_pages*.py"], cwd=ledger.ROOT, check=False
        )
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

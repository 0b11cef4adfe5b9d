"""Executes the notebooks and renders the book, strictly: a warning is an error.

The execution cache of jupyter-book knows only a notebook's own code, so it is dropped here when
anything that the notebooks import has changed. The ledger must hold before anything is rendered.
"""

import shutil
import subprocess
import sys

from jupyter_book.cli.main import main as jupyter_book

import ledger

BUILD = ledger.ROOT / "_build"
STAMP = BUILD / "executed-with"


def drop_stale_results() -> None:
    """Forgets the notebooks' stored results if they were made by other sources."""
    now = ledger.fingerprint("minidiff", "requirements.txt")
    if not STAMP.exists() or STAMP.read_text() != now:
        print("== book: the package changed, every notebook is executed again")
        for folder in (".jupyter_cache", "jupyter_execute"):
            shutil.rmtree(BUILD / folder, ignore_errors=True)
        BUILD.mkdir(exist_ok=True)
        STAMP.write_text(now)


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
    drop_stale_results()
    check_equations()
    print("== book: executing and rendering", flush=True)
    shutil.rmtree(BUILD / "html", ignore_errors=True)  # or pages that are gone would stay
    options = ["--all", "-W", "--keep-going", "-n"]
    jupyter_book(["build", str(ledger.ROOT), *options], standalone_mode=False)
    print(f"== book: open {(BUILD / 'html/book/index.html').as_uri()}")


if __name__ == "__main__":
    main()

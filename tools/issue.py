"""Opens an issue about a weekly check that failed; adds to the open one if there is one.

It stands alone, on the standard library: the environment may be what failed. GitHub sets the
variables that say which job of which run it was.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

FAILED = Path(__file__).resolve().parents[1] / "_build/failed.txt"  # see tools/publish.py


def gh(*command: str) -> str:
    """Runs GitHub's own command and returns what it printed."""
    run = subprocess.run(["gh", *command], check=True, text=True, stdout=subprocess.PIPE)
    return run.stdout


def main() -> None:
    """Opens the issue, or says what it would have said."""
    server, repository, run, job = (
        os.environ.get(f"GITHUB_{name}", "?")
        for name in ("SERVER_URL", "REPOSITORY", "RUN_ID", "JOB")
    )
    title = f"Weekly check failed: {job}"
    names = FAILED.read_text(encoding="utf-8") if FAILED.exists() else ""
    body = f"{server}/{repository}/actions/runs/{run}\n\n```\n{names or 'see the log'}\n```\n"
    if shutil.which("gh") is None or "GH_TOKEN" not in os.environ:
        sys.exit(f"issue: NOT OPENED, no gh or no GH_TOKEN. It would have been:\n{title}\n{body}")
    found = json.loads(gh("issue", "list", "--state", "open", "--json", "number,title"))
    same = [str(issue["number"]) for issue in found if issue["title"] == title]
    if same:
        gh("issue", "comment", same[0], "--body", body)
    else:
        gh("issue", "create", "--title", title, "--body", body)


if __name__ == "__main__":
    main()

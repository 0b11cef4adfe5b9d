"""Runs the notebooks as Colab would: a fresh environment without minidiff, an empty folder.

The environment holds what Colab brings. Copies of the notebooks get a public address that does not
exist, and git is told to read a local clone of the working tree in its place; the notebooks' own
first cell must install minidiff from there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import notebooks

BROUGHT = ["torch", "numpy", "matplotlib", "ipywidgets", "scikit-learn", "tqdm", "safetensors"]
BROUGHT += ["ipykernel", "nbclient"]
ADDRESS = "https://stand-in.invalid/minidiff"
RUN = """
import sys, nbclient, nbformat
book = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(book, timeout=600, kernel_name="python3").execute()
"""
WHERE = "import minidiff; print(minidiff.__file__)"
VERSIONS = "from importlib.metadata import version as v; print(v('torch'), v('numpy'))"


def output(*command: str | Path, cwd: Path | None = None, clone: Path | None = None) -> str:
    """Runs a command, without this environment's paths, and returns what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if clone is not None:
        env |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": ADDRESS}
        env |= {"GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf"}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, check=True, text=True, stdout=-1
    ).stdout.strip()


def commit_to(target: Path) -> None:
    """Commits the working tree, as git would see it, to a new repository."""
    listed = output("git", "ls-files", "-co", "--exclude-standard", cwd=notebooks.ROOT)
    for name in listed.splitlines():
        if (notebooks.ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((notebooks.ROOT / name).read_bytes())
    name, email = "user.name=colab", "user.email=colab@example.org"
    output("git", "init", "-q", cwd=target)
    output("git", "add", "-A", cwd=target)
    output("git", "-c", name, "-c", email, "commit", "-q", "-m", "stand-in", cwd=target)


def main() -> None:
    """Builds the environment, runs every notebook, and checks that torch was left alone."""
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch, "clone")
        commit_to(clone)
        python = Path(scratch, "env/bin/python")
        print("== colab: a fresh environment", flush=True)
        output(sys.executable, "-m", "venv", python.parents[1])
        pins = notebooks.ROOT / "requirements.txt"
        output(python, "-m", "pip", "install", "-q", "-c", pins, *BROUGHT)
        before = output(python, "-c", VERSIONS)
        for path in notebooks.notebooks():
            empty = Path(scratch, path.stem)
            empty.mkdir()
            book = json.loads(path.read_text(encoding="utf-8"))
            copy = empty / path.name
            copy.write_text(json.dumps(notebooks.with_install_cell(book, ADDRESS)))
            start = time.monotonic()
            output(python, "-c", RUN, copy.name, cwd=empty, clone=clone)
            print(f"== colab: {path.name} ran in {time.monotonic() - start:.0f} s", flush=True)
        found = output(python, "-c", WHERE, cwd=Path(scratch))
        assert found.startswith(scratch), f"minidiff came from {found}"
        after = output(python, "-c", VERSIONS)
        assert after == before, f"torch, numpy were {before}, are {after}"
        print(f"== colab: torch, numpy still {after}")


if __name__ == "__main__":
    main()

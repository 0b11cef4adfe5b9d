"""Runs the notebooks as Colab would: fresh environments without minidiff, empty folders.

python tools/colab.py           in every environment
python tools/colab.py 3.13 ...  in those of that name: a Python, `oldest` or `pinned`

An environment holds what Colab brings. There is one for each Python on this machine, with the
newest versions, one with the lowest that pyproject.toml allows, and one with those of
requirements.txt. Git is told to read a local clone of the working tree in place of the public
address, and may ask no other place; each notebook's own first cell must install minidiff from
there. The notebook whose RETRAIN costs least is also run with it, in the first environment.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import notebooks

ADDRESS = "https://stand-in.invalid/minidiff"  # while the book has no public address
ASKED = ("3.11", "3.13")  # beside the newest that is here; a missing one is said loudly
RUNNER = ["ipykernel", "nbclient"]  # what executes a notebook
PYTHON = re.compile(r"python3\.\d+")
RETRAIN = re.compile(r"^RETRAIN = False\b", re.MULTILINE)
RUN = """
import sys, nbclient, nbformat
book = nbformat.read(sys.argv[1], 4)
options = {"timeout": 1800, "startup_timeout": 600}  # seconds, and for a machine that is busy
nbclient.NotebookClient(book, kernel_name="python3", **options).execute()
"""
WHERE = """
import json
from importlib import metadata, util
source = json.loads(metadata.distribution("minidiff").read_text("direct_url.json"))
print(util.find_spec("minidiff").origin, source["vcs_info"]["commit_id"])
"""
VERSIONS = """
import sys
from importlib.metadata import version
print(*(f"{name}=={version(name)}" for name in sys.argv[1:] or ["torch", "numpy"]))
"""
USABLE = "import ensurepip, ssl, venv"


def output(*command: str | Path, cwd: Path | None = None, clone: Path | None = None) -> str:
    """Runs a command, without this environment's paths, and returns what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if clone is not None:
        env |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf"}
        env |= {"GIT_CONFIG_VALUE_0": notebooks.public_address() or ADDRESS}
        env |= {"GIT_ALLOW_PROTOCOL": "file"}  # a guessed address fails, whoever may own it
        env |= {"CUDA_VISIBLE_DEVICES": ""}
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


def candidates() -> list[Path]:
    """Returns what is called python3.x on the path and among pyenv's versions, and this Python."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    root = os.environ.get("PYENV_ROOT", "")
    if not root and shutil.which("pyenv"):
        root = output("pyenv", "root")
    if root:  # on the path, a version that is not selected has nothing but a shim that refuses
        folders += sorted(Path(root, "versions").glob("*/bin"))
    paths = [path for folder in folders for path in sorted(folder.glob("python3.*"))]
    paths.append(Path(sys.executable).resolve())
    return [path for path in paths if PYTHON.fullmatch(path.name) and os.access(path, os.X_OK)]


def order(version: str) -> list[int]:
    """Returns what puts versions in order, 3.9 before 3.10."""
    return [int(part) for part in version.split(".")]


def pythons(found: Iterable[Path], lowest: str) -> dict[str, Path]:
    """Returns the first usable Python of each minor version from the lowest on, in order."""
    usable: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for path in found:
        name = path.name.removeprefix("python")
        if name not in usable and order(name) >= order(lowest):
            run = subprocess.run([path, "-c", USABLE], capture_output=True, text=True, check=False)
            if run.returncode == 0:
                usable[name] = path
            else:
                refused[name] = f"{path}: {run.stderr.strip()[-300:]}"
    for name in refused.keys() - usable.keys():
        print(f"== colab: PYTHON {name} IS SKIPPED, it makes no environment: {refused[name]}")
    return dict(sorted(usable.items(), key=lambda item: order(item[0])))


def environments(
    found: dict[str, Path], dependencies: list[str]
) -> dict[str, tuple[Path, list[str]]]:
    """Returns for each environment its Python and what pip is asked for.

    Args:
        found: The Pythons, the lowest first.
        dependencies: Of minidiff, each a name and a lower bound.
    """
    lowest = next(iter(found.values()))
    newest = [line.partition(">=")[0] for line in dependencies]
    made = {name: (path, newest) for name, path in found.items()}
    made["oldest"] = (lowest, [line.replace(">=", "==") for line in dependencies])
    made["pinned"] = (lowest, ["-c", str(notebooks.ROOT / "requirements.txt"), *newest])
    return made


def source(book: dict[str, Any]) -> str:
    """Returns the code of a notebook."""
    return "\n".join("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")


def replaced(book: dict[str, Any], pattern: str | re.Pattern[str], text: str) -> dict[str, Any]:
    """Returns the notebook with the pattern replaced wherever its code has it."""
    cells = [dict(cell) for cell in book["cells"]]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell["source"] = re.sub(pattern, lambda _: text, "".join(cell["source"]))
    return book | {"cells": cells}


def at_stand_in(book: dict[str, Any]) -> dict[str, Any]:
    """Returns the notebook with the stand-in's address where it says that there is none yet."""
    return replaced(book, r'(?m)^ADDRESS = ""', f'ADDRESS = "{ADDRESS}"')


def training_seconds(book: dict[str, Any], manifest: dict[str, Any]) -> float:
    """Returns what RETRAIN costs a notebook, by the manifest of the weights; inf if it cannot."""
    trained = set(re.findall(r"zoo\.train\(\s*[\"']([\w-]+)", source(book)))
    if not RETRAIN.search(source(book)) or not trained:
        return float("inf")
    return float(sum(manifest[name]["seconds"] for name in trained))


def cheapest(books: dict[str, dict[str, Any]], manifest: dict[str, Any]) -> str:
    """Returns the name of the notebook that trains its networks again at the least cost."""
    seconds = {name: training_seconds(book, manifest) for name, book in books.items()}
    name = min(seconds, key=seconds.__getitem__)
    assert seconds[name] < float("inf"), "no notebook has RETRAIN = False and calls zoo.train"
    return name


def environment(python: Path, wanted: list[str], folder: Path) -> Path:
    """Makes an environment and returns its Python."""
    output(python, "-m", "venv", folder)
    own = folder / "bin/python"
    output(own, "-m", "pip", "install", "-q", *wanted, *RUNNER)
    return own


def run_notebooks(own: Path, brought: list[str], retrain: bool, scratch: Path) -> None:
    """Runs every notebook in an environment, and checks that each left the environment alone.

    Args:
        own: The environment's Python.
        brought: The packages whose versions must stay.
        retrain: Whether the cheapest training runs as well.
        scratch: An empty folder to work in.

    Raises:
        CalledProcessError: A notebook failed.
        AssertionError: minidiff came from elsewhere, or a version is another one.
    """
    clone = scratch / "clone"
    clone.mkdir()
    commit_to(clone)
    commit = output("git", "rev-parse", "HEAD", cwd=clone)
    before = output(own, "-c", VERSIONS, *brought)
    print(f"   {output(own, '--version')}: {before}", flush=True)
    paths = notebooks.notebooks() + notebooks.handouts()
    books = {path.name: json.loads(path.read_text("utf-8")) for path in paths}
    if retrain:
        manifest = notebooks.ROOT / "minidiff/weights/manifest.json"
        name = cheapest(books, json.loads(manifest.read_text("utf-8")))
        books[f"retrain-{name}"] = replaced(books[name], RETRAIN, "RETRAIN = True")
    for name, book in books.items():
        empty = scratch / name.removesuffix(".ipynb")
        empty.mkdir()
        (empty / name).write_text(json.dumps(at_stand_in(book)), "utf-8")
        start = time.monotonic()
        output(own, "-c", RUN, name, cwd=empty, clone=clone)
        seconds = time.monotonic() - start
        origin, came = output(own, "-c", WHERE, cwd=empty).rsplit(" ", 1)
        assert Path(origin).is_relative_to(own.parents[1]), f"{name}: minidiff is {origin}"
        assert came == commit, f"{name}: minidiff is {came}, the stand-in {commit}"
        after = output(own, "-c", VERSIONS, *brought)
        assert after == before, f"{name}: there was {before}, there is {after}"
        # Colab gives every notebook a machine of its own, so the next one must install it too.
        output(own, "-m", "pip", "uninstall", "-q", "-y", "minidiff")
        print(f"   {name} ran in {seconds:.0f} s and replaced nothing", flush=True)


def main(chosen: list[str]) -> int:
    """Runs the chosen environments, all where none is named, and says which of them failed."""
    text = (notebooks.ROOT / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)["project"]
    found = pythons(candidates(), project["requires-python"].removeprefix(">="))
    made = environments(found, project["dependencies"])
    if unknown := sorted(set(chosen) - set(made)):
        sys.exit(f"colab: no environment {', '.join(unknown)} here, there are {', '.join(made)}")
    brought = [line.partition(">=")[0] for line in project["dependencies"]]
    failed = []
    for name in chosen or made:
        print(f"== colab: {name}, a fresh environment", flush=True)
        python, wanted = made[name]
        try:
            # Removed before the next is made: what torch brings for CUDA weighs gigabytes.
            with tempfile.TemporaryDirectory() as folder:
                scratch = Path(folder).resolve()
                own = environment(python, wanted, scratch / "env")
                run_notebooks(own, brought, name == next(iter(made)), scratch)
        except (subprocess.CalledProcessError, AssertionError) as error:
            print(f"== colab: {name} FAILED: {error}", flush=True)
            failed.append(name)
    for name in sorted(set(ASKED) - set(found)):
        print(f"== colab: NOT RUN WITH PYTHON {name}, there is none on this machine")
    green = [name for name in chosen or made if name not in failed]
    print(f"== colab: green: {', '.join(green) or 'none'}; failed: {', '.join(failed) or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How the house is built: imports point one way, importing is light, pins agree."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import assignments
import ledger

ROOT = ledger.ROOT
PACKAGE = ROOT / "minidiff"

# What each room may import of the package; all may import _validate and their own room.
GROUND = {"schedule", "forward"}
STEPS = GROUND | {"ddpm", "ddim"}
BELOW_ZOO = STEPS | {"data", "metrics", "nets", "train", "score_matching", "langevin"}
ROOMS = {
    "_validate": set(),
    "check": {"public_tests"},
    "public_tests": {"check"},
    "schedule": set(),
    "forward": {"schedule"},
    "score_matching": set(),
    "langevin": {"score_matching"},
    "gmm": GROUND | {"score_matching"},
    "ddpm": GROUND,
    "ddim": GROUND | {"ddpm"},
    "guidance": GROUND,
    "sampling": STEPS,
    "data": set(),
    "metrics": set(),
    "nets": set(),
    "train": set(),
    "apps": STEPS | {"sampling", "nets"},
    "recipes": BELOW_ZOO | {"sampling", "apps"},
    "zoo": {"recipes", "train"},
    "evaluate": BELOW_ZOO | {"gmm", "sampling", "apps", "recipes", "zoo"},
    "__init__": BELOW_ZOO | {"gmm", "sampling", "zoo"},
    "viz": BELOW_ZOO | {"gmm", "sampling", "zoo"},
    "__main__": BELOW_ZOO | {"gmm", "sampling", "recipes", "zoo", "viz", "evaluate"},
}
ONLY_IN = {"matplotlib": {"viz"}, "ipywidgets": {"viz"}, "IPython": {"viz"}, "tqdm": {"__main__"}}


@cache
def imports(path):
    """Returns the full names that a module imports, lazily or not."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path):
    here = room(path)
    assert here in ROOMS, f"{here}: give it a room in ROOMS"
    own = {name.split(".")[1] for name in imports(path) if name.startswith("minidiff.")}
    assert own & set(ROOMS) <= ROOMS[here] | {here, "_validate"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_heavy_libraries_stay_in_their_room(path):
    for name in imports(path):
        assert room(path) in ONLY_IN.get(name.split(".")[0], {room(path)}), name


def test_importing_brings_nothing_slow():
    """What it costs in milliseconds is not for a test to say; what it drags in is."""
    script = """
import sys
import torch
before = set(sys.modules)
import minidiff
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    slow = {
        "matplotlib",
        "sklearn",
        "ipywidgets",
        "IPython",
        "tqdm",
        "scipy",
        "safetensors",
        "PIL",
    }
    assert "minidiff" in run.stdout.split() and not slow & set(run.stdout.split())


def test_requirements_and_pyproject_agree():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    locked = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pins = {canonicalize_name(r.name): str(r.specifier) for r in locked}
    assert len(pins) == len(locked), "a name is pinned twice"
    for name, pin in pins.items():
        assert re.fullmatch(r"==[\w.]+", pin), f"{name}{pin}: one public version"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in project["dependencies"]:
        need = Requirement(line)
        assert [s.operator for s in need.specifier] == [">="], f"{line}: a lower bound and no more"
        assert need.specifier.contains(pins[canonicalize_name(need.name)][2:]), line


def test_no_file_names_a_path_of_this_machine():
    path = re.compile(rb"(?<![\w.:/)}-])/(?:home|root|work|Users|tmp|opt)/")
    files = [p for p in ROOT.iterdir() if p.is_file() and not p.name.startswith(".cov")]
    for folder in ("minidiff", "book", "tests", "tools", "assignments", ".ci", ".github"):
        files += [p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix != ".pyc"]
    files = [p for p in files if assignments.DIST not in p.parents]  # made, and never committed
    assert len(files) > 20
    wrong = {p.relative_to(ROOT).as_posix(): path.findall(p.read_bytes()) for p in files}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_no_coverage_exemption_without_a_reason():
    for path in MODULES:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "no cover" not in line or re.search(r"no cover\b.{10,}", line), line

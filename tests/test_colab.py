"""What `make colab` decides before it makes an environment; the rest of it is the run itself."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import colab
import notebooks

PROJECT = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text())["project"]
MANIFEST = json.loads((notebooks.ROOT / "minidiff/weights/manifest.json").read_text())
FIRST = notebooks.install_cell("")


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def book(*code):
    return {"cells": [{"cell_type": "code", "source": text.splitlines(True)} for text in code]}


def test_pythons_are_found_on_the_path_and_in_pyenv(tmp_path, monkeypatch, capsys):
    pyenv = tmp_path / "pyenv/versions"
    shim = executable(tmp_path / "shims/python3.21", "echo not selected >&2; exit 127")
    real = executable(pyenv / "3.21.4/bin/python3.21", "exit 0")
    executable(pyenv / "3.9.1/bin/python3.9", "exit 0")
    executable(pyenv / "3.100.0/bin/python3.100", "exit 0")
    executable(pyenv / "3.100.0/bin/python3.100-config", "exit 0")
    executable(tmp_path / "bin/python3.22", "echo no module named ssl >&2; exit 1")
    (tmp_path / "bin/python3.23").symlink_to(tmp_path / "gone")
    monkeypatch.setenv("PATH", f"{shim.parent}:{tmp_path / 'bin'}:{tmp_path / 'no such folder'}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    found = colab.pythons(colab.candidates(), "3.11")
    said = capsys.readouterr().out
    assert list(found)[-2:] == ["3.21", "3.100"] and found["3.21"] == real
    assert not found.keys() & {"3.9", "3.22", "3.23"}
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in found  # the one that runs this
    assert "PYTHON 3.22 IS SKIPPED" in said and "no module named ssl" in said
    assert "3.21" not in said and "3.9" not in said


def test_pyenv_says_where_it_is(tmp_path, monkeypatch):
    executable(tmp_path / "bin/pyenv", f'test "$1" = root && echo {tmp_path}/own')
    there = executable(tmp_path / "own/versions/3.21.4/bin/python3.21", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    assert there in colab.candidates()


def test_the_oldest_environment_has_the_lower_bounds():
    found = {"3.11": Path("python3.11"), "3.13": Path("python3.13")}
    made = colab.environments(found, PROJECT["dependencies"])
    assert list(made) == ["3.11", "3.13", "oldest", "pinned"]
    assert made["oldest"][0] == made["pinned"][0] == found["3.11"]
    assert made["oldest"][1][:2] == ["torch==2.5", "numpy==1.26"]
    assert len(made["oldest"][1]) == len(PROJECT["dependencies"])
    assert made["3.13"] == (found["3.13"], [name.split("==")[0] for name in made["oldest"][1]])
    assert made["pinned"][1][1].endswith("requirements.txt")


def test_the_first_cell_is_unchanged_but_for_an_address_that_is_not_there_yet():
    here = book("".join(FIRST["source"]), 'print("ADDRESS = \\"\\"")')
    there = colab.source(colab.at_stand_in(here)).splitlines()
    changed = [
        (a, b) for a, b in zip(colab.source(here).splitlines(), there, strict=True) if a != b
    ]
    (old, new), *others = changed
    assert not others and new == old.replace('""', f'"{colab.ADDRESS}"')
    public = book("".join(notebooks.install_cell("https://example.org/book")["source"]))
    assert colab.source(colab.at_stand_in(public)) == colab.source(public)


def test_git_knows_the_stand_in_and_asks_nobody_else(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    clone.mkdir()
    colab.commit_to(clone)
    address = notebooks.public_address() or colab.ADDRESS
    head = colab.output("git", "ls-remote", address, "HEAD", clone=clone)
    assert head.split()[0] == colab.output("git", "rev-parse", "HEAD", cwd=clone)
    for guess in ("https://example.invalid/minidiff", "git@example.invalid:minidiff"):
        with pytest.raises(subprocess.CalledProcessError):
            colab.output("git", "ls-remote", guess, clone=clone)


def test_the_cheapest_training_is_run():
    digits = 'RETRAIN = False  # minutes\nif RETRAIN:\n    zoo.train("digits", device=device)'
    points = digits.replace("digits", "eight-gaussians")
    live = points.replace("False", "True")
    books = {"a": book(digits), "b": book(points), "c": book(live), "d": book("RETRAIN = False")}
    assert MANIFEST["eight-gaussians"]["seconds"] < MANIFEST["digits"]["seconds"]
    assert colab.cheapest(books, MANIFEST) == "b"
    assert colab.source(colab.replaced(books["b"], colab.RETRAIN, "RETRAIN = True")) == live
    with pytest.raises(AssertionError, match="no notebook"):
        colab.cheapest({"c": books["c"], "d": books["d"]}, MANIFEST)


def test_a_notebook_of_the_book_can_train_again():
    books = {p.name: json.loads(p.read_text("utf-8")) for p in notebooks.notebooks()}
    name = colab.cheapest(books, MANIFEST)
    again = colab.source(colab.replaced(books[name], colab.RETRAIN, "RETRAIN = True"))
    assert len(re.findall(r"(?m)^RETRAIN = True", again)) == 1 and not colab.RETRAIN.search(again)


def test_an_unknown_environment_is_refused():
    with pytest.raises(SystemExit, match="no environment 2.7 here, there are .*oldest, pinned"):
        colab.main(["2.7", "oldest"])

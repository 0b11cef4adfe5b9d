"""The command line, on a recipe of a second."""

import runpy
import sys

import pytest
import torch
from test_zoo import TINY

from minidiff import __main__ as cli
from minidiff import zoo

SAMPLES = cli.SAMPLES  # of the numbers that are shipped; the other tests take fewer


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(zoo.RECIPES, "tiny", TINY)
    monkeypatch.setattr(cli, "SAMPLES", 30)


def test_list(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert out[0].startswith("digits: ") and "frechet_distance" in out[0]
    assert out[1] == "tiny: 4 steps of 8: not trained"


def test_list_without_a_quality(tmp_path, capsys, monkeypatch):
    zoo.save("tiny", TINY.net(), tmp_path)
    manifest = zoo.manifest(tmp_path)
    monkeypatch.setattr(zoo, "manifest", lambda: manifest)
    assert cli.main(["list"]) == 0
    assert "tiny: 4 steps of 8: not measured\n" in capsys.readouterr().out


def test_quality_of_the_shipped_weights_is_what_the_manifest_says(monkeypatch):
    monkeypatch.setattr(cli, "SAMPLES", SAMPLES)
    measured = cli.quality(zoo.load("digits"), zoo.recipe("digits"))
    quality = zoo.manifest()["digits"]["quality"]
    assert measured.keys() == quality.keys()
    assert measured["frechet_distance"] == pytest.approx(quality["frechet_distance"], abs=0.003)
    for name in ("energy_distance", "marginal_energy_distance"):
        assert measured[name] == pytest.approx(quality[name], abs=0.0005)


def test_train(tmp_path, capsys):
    assert cli.main(["train", "tiny", "--out", str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "manifest.json",
        "tiny.safetensors",
    ]
    *_, last = zoo.train("tiny")
    net = zoo.load("tiny", tmp_path / "new")
    for key, value in last.ema.state_dict().items():
        assert torch.equal(net.state_dict()[key], value.half().float())
    entry = zoo.manifest(tmp_path / "new")["tiny"]
    assert entry["seconds"] >= 0 and entry["resumed"] is False
    assert entry["final_loss_over"] == 4
    assert entry["quality"]["frechet_distance"] > 1 and entry["quality"]["energy_distance"] > 0.1
    captured = capsys.readouterr()
    assert str(tmp_path / "new/tiny.safetensors") in captured.out
    assert "tiny: 100%" in captured.err


def test_an_interrupted_run_is_neither_lost_nor_repeated(tmp_path, capsys, monkeypatch):
    save = zoo.save

    def crash(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(zoo, "save", crash)
    assert cli.main(["train", "tiny", "--out", str(tmp_path)]) == 1
    assert "minidiff: no space left on device" in capsys.readouterr().err
    assert cli.main(["train", "tiny", "--out", str(tmp_path)]) == 1
    path = tmp_path / "tiny.checkpoint"
    message = f"minidiff: {path} is there: run again with --resume, or delete it\n"
    assert capsys.readouterr().err == message
    monkeypatch.setattr(zoo, "save", save)
    assert cli.main(["train", "tiny", "--resume", "--out", str(tmp_path)]) == 0
    assert not path.exists()
    entry = zoo.manifest(tmp_path)["tiny"]
    assert entry["resumed"] is True and entry["final_loss_over"] == 1
    assert cli.main(["train", "tiny", "--resume", "--out", str(tmp_path)]) == 1
    assert f"{path} is not there: run again without --resume" in capsys.readouterr().err


def test_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minidiff", "list"])
    monkeypatch.delitem(sys.modules, "minidiff.__main__")
    with pytest.raises(SystemExit) as info:
        runpy.run_module("minidiff", run_name="__main__")
    assert info.value.code == 0
    assert "digits: " in capsys.readouterr().out


def test_refuses_an_unknown_name(capsys):
    with pytest.raises(SystemExit) as info:
        cli.main(["train", "faces"])
    assert info.value.code == 2
    assert "invalid choice: 'faces'" in capsys.readouterr().err

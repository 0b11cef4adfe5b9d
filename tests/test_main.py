"""The command line, on a recipe of a second."""

import runpy
import sys

import numpy
import pytest
import torch
from PIL import Image
from test_zoo import TINY

from minidiff import __main__ as cli
from minidiff import evaluate, zoo


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(zoo.RECIPES, "tiny", TINY)
    monkeypatch.setitem(evaluate.QUALITY, "tiny", lambda net: {"weights": len(net.state_dict())})


def test_list(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == len(zoo.RECIPES)
    assert [line.partition(":")[0] for line in out] == sorted(zoo.RECIPES)
    assert any(line.startswith("digits: ") and "frechet_distance" in line for line in out)
    assert "tiny: 4 steps of 8: not trained" in out


def test_list_without_a_quality(tmp_path, capsys, monkeypatch):
    zoo.save("tiny", TINY.net(), tmp_path)
    manifest = zoo.manifest(tmp_path)
    monkeypatch.setattr(zoo, "manifest", lambda: manifest)
    assert cli.main(["list"]) == 0
    assert "tiny: 4 steps of 8: not measured\n" in capsys.readouterr().out


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
    assert entry["quality"] == {"weights": len(last.ema.state_dict())}
    assert entry["processes"] == 1 and entry["threads"] == torch.get_num_threads()
    assert entry["bfloat16"] is False
    captured = capsys.readouterr()
    assert str(tmp_path / "new/tiny.safetensors") in captured.out
    assert "tiny: 100%" in captured.err


def test_train_in_bfloat16(tmp_path):
    assert cli.main(["train", "tiny", "--out", str(tmp_path), "--bfloat16"]) == 0
    assert zoo.manifest(tmp_path)["tiny"]["bfloat16"] is True


@pytest.mark.parametrize(
    ("given", "side", "images"),
    [([], 2 * (3 * 8 + 2), 7), (["--label", "3"], 2 * (3 * 8 + 2), 7), (["--n", "1"], 2 * 8, 1)],
)
def test_sample(tmp_path, capsys, given, side, images):
    out = tmp_path / "grid.png"
    name = "digits-class" if "--label" in given else "digits"
    asked = ["sample", name, "--n", "7", "--steps", "3", "--out", str(out), *given]
    assert cli.main(asked) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n" and "3/3" in captured.err
    picture = Image.open(out).convert("RGBA")
    assert picture.size == (side, side)
    blocks = torch.tensor(numpy.asarray(picture))[..., 3].unfold(0, 16, 18).unfold(1, 16, 18)
    assert (blocks.flatten(2).amin(2) == 255).sum() == images
    first = out.read_bytes()
    assert cli.main(asked) == 0 and out.read_bytes() == first
    assert cli.main([*asked, "--seed", "1"]) == 0 and out.read_bytes() != first
    assert cli.main([*asked, "--steps", "4"]) == 0 and out.read_bytes() != first


def test_sample_says_what_is_wrong(tmp_path, capsys):
    out = ["--out", str(tmp_path / "grid.png")]
    for given, message in (
        (["digits", "--n", "0"], "n: expected an int >= 1, got 0"),
        (["digits-class", "--n", "-5", "--label", "1"], "n: expected an int >= 1, got -5"),
        (["digits", "--label", "1"], "label: expected none, the network has no classes, got one"),
        (["digits-class", "--label", "10"], "label: expected entries in -1..9"),
        (["digits", "--steps", "201"], "n: expected an int in 1..200, got 201"),
        (["tiny"], "expected weights and their entry in manifest.json, got none"),
    ):
        assert cli.main(["sample", *given, *out]) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["sample", "face-attributes", *out])
    assert "invalid choice: 'face-attributes'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


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
        cli.main(["train", "cats"])
    assert info.value.code == 2
    assert "invalid choice: 'cats'" in capsys.readouterr().err

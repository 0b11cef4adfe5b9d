"""Training in several processes: one network, one loss curve, and it resumes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import together
import torch

from minidiff import zoo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs together.py in two processes, as on two machines, and returns what they wrote."""
    folder = tmp_path_factory.mktemp("together")
    script = Path(__file__).with_name("together.py")
    path = os.pathsep.join([str(script.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        + [script, folder],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def seen(folder):
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_shares_of_a_batch_make_the_steps_of_the_whole(seen):
    assert [one["processes"] for one in seen] == [[0, 2], [1, 2]]
    losses, average, _ = together.run(0)  # here, alone
    for one in seen:
        got, its_average, _ = one["one batch"]
        assert list(got.values()) == pytest.approx(list(losses.values()), rel=1e-5)
        for a, b in zip(its_average, average, strict=True):
            assert torch.allclose(torch.tensor(a), torch.tensor(b), atol=1e-5)
    assert seen[0]["one batch"][1] == seen[1]["one batch"][1]


def test_processes_with_their_own_numbers_stay_one_network(seen):
    a, b = (one["own numbers"] for one in seen)
    assert a[0] == b[0] and a[1] == b[1]  # the losses and the average are everybody's,
    assert a[2] != b[2]  # the random numbers each one's own


def test_processes_resume_bit_for_bit(seen):
    for one in seen:
        assert list(one["stopped"][0]) == [str(k) for k in range(1, 21)]
        assert list(one["resumed"][0]) == [str(k) for k in range(14, 31)]
        assert one["own numbers"][0] == one["stopped"][0] | one["resumed"][0]
        assert one["own numbers"][1:] == one["resumed"][1:]


def test_a_checkpoint_of_two_processes_is_not_one_of_one(folder):
    with pytest.raises(ValueError) as info:
        together.run(0, folder / "a")
    assert "expected a checkpoint of this run, processes = 1, got processes = 2" in str(info.value)


def test_the_command_trains_together(seen, folder, monkeypatch):
    monkeypatch.setitem(zoo.RECIPES, "tiny", together.TINY)
    assert [one["status"] for one in seen] == [0, 0]
    entry = zoo.manifest(folder / "out")["tiny"]
    assert entry["processes"] == 2 and not zoo.load("tiny", folder / "out").training
    assert sorted(os.listdir(folder / "out")) == ["manifest.json", "tiny.safetensors"]
    message = "expected a number of processes that divides the batch, 9, got 2"
    assert [one["odd"] for one in seen] == [message, message]

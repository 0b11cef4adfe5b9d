"""The training loop: its fixed recipe, its average, and that it survives anything."""

import hashlib
import io
import math
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from minidiff import train
from minidiff.train import fit

STEPS = 60
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


class Line(nn.Module):
    """One weight, whose gradient the test chooses; a counter and a statistic as buffers."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("seen", torch.tensor(0.0))


def push(net, slope):
    net.count += 1
    net.seen.fill_(slope)
    return slope * net.w.expand(4)


def regression(device="cpu"):
    """A small run whose every random number comes from torch's global generator."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.BatchNorm1d(8), nn.Linear(8, 1))

    def loss(net, x):
        return (net(x)[:, 0] - x.sum(1)).square()

    return net.to(device), loss, lambda: torch.randn(16, 3, device=device)


def run(checkpoint=None, device="cpu", stop=STEPS):
    """Runs the regression up to ``stop``; returns all that it did, to the last bit."""
    net, loss, draw = regression(device)
    seen = {}
    for p in fit(net, loss, draw, steps=STEPS, lr=0.01, checkpoint=checkpoint, every=7):
        seen[p.step] = p.loss
        torch.rand(1)  # what a caller does between two steps belongs to the run
        if p.step == stop:
            break
    state = [*net.state_dict().values(), *p.ema.state_dict().values(), torch.get_rng_state()]
    return seen, state


def same(a, b):
    return len(a) == len(b) and all(map(torch.equal, a, b))


def test_learning_rate_and_clipping():
    # Gradients of any size are clipped to 1, and Adam divides a gradient that never changes by
    # itself: what is left of each step is the learning rate.
    slopes = [1.0, 50.0, 3.0, 1e4] * 10
    net, weights = Line(), [2.0]
    for _ in fit(net, push, iter(slopes).__next__, steps=40, lr=0.1):
        weights.append(net.w.item())
    moved = [a - b for a, b in zip(weights, weights[1:], strict=False)]
    cosine = [(1 + math.cos(math.pi * n / 40)) / 2 for n in range(40)]
    expected = [0.1 * min(c, w) for c, w in zip(cosine, [0.5] + [1] * 39, strict=True)]
    assert moved == pytest.approx(expected, abs=2e-6)


def test_learning_rate_in_numbers():
    # A gradient that never changes moves the weight by the learning rate. 250 steps have 13 of
    # warm-up (12.5, rounded up): (n + 1) / 13, or (1 + cos(pi n / 250)) / 2 where that is less.
    net, weights = Line().double(), [2.0]
    for _ in fit(net, push, lambda: 1.0, steps=250, lr=0.1):
        weights.append(net.w.item())
    expected = {0: 0.0076923077, 1: 0.0153846154, 5: 0.0461538462, 11: 0.0923076923}
    expected |= {12: 0.0994325872, 62: 0.0855767839, 125: 0.05, 249: 0.0000039478}
    for n, lr in expected.items():
        assert weights[n] - weights[n + 1] == pytest.approx(lr, abs=1e-8)


def test_three_steps_of_adam_by_hand():
    # Betas 0.9 and 0.99, gradients 0.5, -0.25 and 0.75, learning rates 0.1, 0.075 and 0.025:
    #   m = 0.05, 0.02, 0.093        over 1 - 0.9^n  = 0.1, 0.19, 0.271
    #   v = 0.0025, 0.0031, 0.008694 over 1 - 0.99^n = 0.01, 0.0199, 0.029701
    # and each step is the learning rate times m over the root of v.
    net, slopes, weights = Line().double(), [0.5, -0.25, 0.75], []
    for _ in fit(net, push, iter(slopes).__next__, steps=3, lr=0.1):
        weights.append(net.w.item())
    assert weights == pytest.approx([1.9, 1.8799975428, 1.8641402376], abs=1e-7)


@pytest.mark.parametrize("ema", [0.0, 0.5, 0.999])
def test_average_in_closed_form(ema):
    net, weights = Line(), []
    for p in fit(net, push, lambda: 1.0, steps=30, lr=0.1, ema=ema):
        weights.append(net.w.item())
        # Written out: the average is the sum of all weights so far, each with the share it got
        # when it came, times what every later average left of it; the last step is in it.
        decay = [min(ema, (1 + n) / (10 + n)) for n in range(p.step)]
        shares = [(1 - d) * math.prod(decay[n + 1 :]) for n, d in enumerate(decay)]
        average = math.prod(decay) * 2.0 + sum(s * w for s, w in zip(shares, weights, strict=True))
        assert p.ema.w.item() == pytest.approx(average, abs=1e-6)
    assert p.step == 30 and p.loss == pytest.approx(weights[-2])


def test_constant_weights_are_a_fixed_point_of_the_average():
    net = Line()
    for p in fit(net, lambda net, x: 0 * net.w.expand(3), lambda: None, steps=20, lr=0.1):
        assert p.ema.w.item() == 2.0


def test_buffers_are_copied_and_the_average_is_one_frozen_module():
    net, slopes = Line(), [1.0, 2.0, 4.0]
    modules = set()
    for p in fit(net, push, iter(slopes).__next__, steps=3, lr=0.1):
        assert p.ema.count == p.step and p.ema.seen == slopes[p.step - 1]
        modules.add(p.ema)
    assert len(modules) == 1 and net not in modules
    assert not p.ema.training and not p.ema.w.requires_grad
    assert net.training and net.w.requires_grad


@pytest.mark.parametrize("device", DEVICES)
def test_learns(device):
    torch.manual_seed(0)
    net = nn.Linear(3, 1).to(device)
    *_, p = fit(
        net,
        lambda net, x: (net(x)[:, 0] - x.sum(1) - 1).square(),
        lambda: torch.randn(32, 3, device=device),
        steps=300,
        lr=0.05,
        ema=0.9,
    )
    assert p.loss < 1e-4
    assert torch.allclose(p.ema.weight.cpu(), torch.ones(1, 3), atol=1e-2)


def test_stops_at_a_loss_that_is_not_finite():
    net, slopes = Line(), iter([1.0, 1.0, math.nan])
    weights = []
    with pytest.raises(FloatingPointError) as info:
        for _ in fit(net, push, slopes.__next__, steps=9, lr=0.1):
            weights.append(net.w.item())
    assert str(info.value) == "loss: expected a finite number, got nan at step 3"
    assert len(weights) == 2 and net.w.item() == weights[-1]


def test_stops_at_a_gradient_that_is_not_finite():
    class Cliff(torch.autograd.Function):  # finite itself, its slope is not
        @staticmethod
        def forward(_, x):
            return x.clone()

        @staticmethod
        def backward(_, slope):
            return slope * math.inf

    def loss(net, step):
        return (Cliff.apply(net.w) if step == 3 else net.w).expand(4)

    net, weights = Line(), []
    with pytest.raises(FloatingPointError) as info:
        for _ in fit(net, loss, iter([1, 2, 3, 4]).__next__, steps=9, lr=0.1):
            weights.append(net.w.item())
    assert str(info.value) == "gradient: expected a finite norm, got inf at step 3"
    assert len(weights) == 2 and net.w.item() == weights[-1]


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda w: None, TypeError, "expected a floating-point tensor, got None (NoneType)"),
        (lambda w: 0.5, TypeError, "expected a floating-point tensor, got 0.5 (float)"),
        (lambda w: w.detach().expand(4), ValueError, "expected a gradient, got a detached tensor"),
    ],
)
def test_refuses_what_is_no_loss(answer, error, message):
    with pytest.raises(error) as info:
        next(fit(Line(), lambda net, x: answer(net.w), lambda: None, steps=9, lr=0.1))
    assert str(info.value) == f"loss(net, batch): {message}"


def test_refuses_a_mean_for_a_loss():
    with pytest.raises(ValueError) as info:
        next(fit(Line(), lambda net, x: net.w * 1, lambda: None, steps=9, lr=0.1))
    assert "loss(net, batch): expected shape (B,), got a tensor of shape ()" in str(info.value)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps: expected an int >= 1, got 0"),
        ({"steps": 1e3}, TypeError, "steps: expected an int, got 1000.0 (float)"),
        ({"lr": 0.0}, ValueError, "lr: expected a number > 0, got 0.0"),
        ({"lr": math.nan}, ValueError, "lr: expected a number > 0, got nan"),
        ({"ema": 1.0}, ValueError, "ema: expected a number in [0, 1), got 1.0"),
        ({"ema": -0.1}, ValueError, "ema: expected a number in [0, 1), got -0.1"),
        ({"every": 0}, ValueError, "every: expected an int >= 1, got 0"),
        ({"run": {"net": nn}}, TypeError, "Object of type module is not JSON serializable"),
    ],
)
def test_refuses_bad_numbers_before_it_is_asked_for_a_step(given, error, message):
    with pytest.raises(error) as info:
        fit(Line(), push, lambda: 1.0, **{"steps": 3, "lr": 0.1} | given)
    assert str(info.value) == message


def test_refuses_a_place_for_a_checkpoint_before_it_is_asked_for_a_step(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "none" / "a", tmp_path / "file" / "a"):
        with pytest.raises(ValueError) as info:
            fit(Line(), push, lambda: 1.0, steps=3, lr=0.1, checkpoint=path)
        message = f"checkpoint: expected a file in a folder that exists, got {path}"
        assert str(info.value) == message


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stop", [7, 20, 21])
def test_resumes_bit_for_bit(tmp_path, device, stop):
    losses, state = run(device=device)
    before, _ = run(tmp_path / "a", device, stop=stop)
    after, resumed = run(tmp_path / "a", device)
    assert min(after) == stop // 7 * 7 and max(after) == STEPS
    assert before | after == losses
    assert same(resumed, state)
    again, finished = run(tmp_path / "a", device)  # a finished run yields its end again
    assert again == {STEPS: losses[STEPS]}
    assert same(finished, state)
    assert os.listdir(tmp_path) == ["a"]


def test_the_seconds_of_all_runs_are_counted(tmp_path, monkeypatch):
    clock = iter(range(100, 1000))
    monkeypatch.setattr(train.time, "monotonic", lambda: next(clock))
    net, path = Line(), tmp_path / "a"

    def go(stop):
        seen = []
        for p in fit(net, push, lambda: 1.0, steps=6, lr=0.1, checkpoint=path, every=2):
            seen.append(p.seconds)
            if p.step == stop:
                break
        return seen

    # The clock ticks once whenever it is asked: at the start, in a checkpoint, and for a yield.
    assert go(5) == [1, 3, 4, 6, 7]
    assert go(6) == [5, 6, 8]  # the first is what the checkpoint of step 4 says


@pytest.mark.slow
def test_resumes_bit_for_bit_after_kill_9(tmp_path):
    code = (
        "import sys, time, test_train\n"
        "net, loss, draw = test_train.regression()\n"
        "for p in test_train.fit(net, loss, draw, steps=test_train.STEPS, lr=0.01,\n"
        "                        checkpoint=sys.argv[1], every=7):\n"
        "    test_train.torch.rand(1)\n"
        "    print(p.step, flush=True)\n"
        "    time.sleep(0.005)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "a"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    ) as child:
        for line in child.stdout:
            if int(line) == 25:
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    losses, state = run()
    after, resumed = run(tmp_path / "a")
    assert 21 <= min(after) < STEPS
    assert after == {step: losses[step] for step in after}
    assert same(resumed, state)


def test_any_damage_to_a_checkpoint_is_refused(tmp_path):
    path = tmp_path / "a"
    next(fit(Line(), push, lambda: 1.0, steps=1, lr=0.1, checkpoint=path))
    whole = path.read_bytes()

    def refused(content):
        path.write_bytes(content)
        with pytest.raises(ValueError) as info:
            next(fit(Line(), push, lambda: 1.0, steps=1, lr=0.1, checkpoint=path))
        return f"{path}: expected a checkpoint" in str(info.value) and "delete it" in str(
            info.value
        )

    generator = torch.Generator().manual_seed(0)
    places = torch.randint(len(whole), (200,), generator=generator).tolist()
    for n, place in enumerate([*range(40), *places]):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << n % 8
        assert refused(bytes(flipped))
    for length in (0, 1, 31, 32, 33, len(whole) // 2, len(whole) - 1):
        assert refused(whole[:length])
    assert refused(whole + b"\0")
    path.write_bytes(whole)
    assert next(fit(Line(), push, lambda: 1.0, steps=1, lr=0.1, checkpoint=path)).step == 1


class Trap:
    """What a pickle may hold: a call."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_runs_no_code(tmp_path):
    path, content = tmp_path / "a", io.BytesIO()
    torch.save({"recipe": Trap(tmp_path / "sprung")}, content)
    path.write_bytes(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
    with pytest.raises(pickle.UnpicklingError):
        next(fit(Line(), push, lambda: 1.0, steps=1, lr=0.1, checkpoint=path))
    assert os.listdir(tmp_path) == ["a"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "a"
    recipe = {"steps": 5, "lr": 0.1, "ema": 0.9, "checkpoint": path}
    recipe |= {"run": {"batch": 3, "steps": "five"}}
    net = nn.Linear(2, 1)

    def start(net, **changed):
        return next(
            fit(net, lambda net, x: net(x)[:, 0], lambda: torch.ones(3, 2), **recipe | changed)
        )

    start(net, every=1)
    for changed, message in (
        ({"steps": 6}, "steps = 6, got steps = 5"),
        ({"lr": 0.2}, "lr = 0.2, got lr = 0.1"),
        ({"ema": 0.8}, "ema = 0.8, got ema = 0.9"),
        ({"run": {"batch": 4, "steps": "five"}}, "run's batch = 4, got run's batch = 3"),
        ({"run": {"batch": 3}}, "run's steps = None, got run's steps = \"five\""),
        ({"run": None}, "run's batch = None, got run's batch = 3"),
    ):
        with pytest.raises(ValueError) as info:
            start(net, **changed)
        assert f"{path}: expected a checkpoint of this run, {message}: train with" in str(
            info.value
        )
    for other, message in (
        (nn.Linear(2, 3), "shape of weight = [3, 2], got shape of weight = [1, 2]"),
        (nn.Linear(2, 1, bias=False), "shape of bias = None, got shape of bias = [1]"),
    ):
        with pytest.raises(ValueError) as info:
            start(other)
        assert message in str(info.value)


def test_a_write_that_fails_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a"
    train.write_atomically(path, b"old")

    def fail(*_):
        raise OSError("no space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError):
                train.write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
    train.write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a"]

"""The loop. Oracle: with the true noise, every level must be hit exactly, down and up.

And the arc between two noises. Oracle: a rotation in the plane of the two."""

import math
from functools import partial

import pytest
import torch

from minidiff import ddim, ddpm
from minidiff.forward import EpsFn, q_sample
from minidiff.sampling import Step, invert, last, sample, slerp
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule

F64 = torch.float64
WALKS = [
    *((linear_schedule(50), n) for n in range(1, 51)),
    *((linear_schedule(200), n) for n in range(1, 201)),
    *(
        (linear_schedule(1000), n)
        for n in (*range(1, 20, 2), 37, 50, 99, 250, 333, 500, 667, 777, 999, 1000)
    ),
    *((cosine_schedule(10), n) for n in range(1, 11)),
]


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return (
        torch.rand(2, 3, dtype=F64, generator=g) * 2 - 1,
        torch.randn(2, 3, dtype=F64, generator=g),
    )


def oracle(eps: torch.Tensor) -> EpsFn:
    return lambda x, t: eps


@pytest.mark.equation("eq-ddim-step")
def test_oracle_noise_hits_every_level_down_and_up() -> None:
    x0, eps = pair()
    for s, n in WALKS:
        grid = s.grid(n)
        levels = {t: q_sample(x0, t, eps, s) for t in grid}
        worst = 0.0
        for step in sample(oracle(eps), levels[s.T], s, grid):
            worst = max(worst, (step.x - levels[step.s]).abs().max().item())
        assert worst < 1e-12
        for step in invert(oracle(eps), x0, s, grid):
            worst = max(worst, (step.x - levels[step.s]).abs().max().item())
        assert worst < 1e-12 and step.s == s.T


def test_the_loop_asks_steps_hooks_and_yields_in_order() -> None:
    s, calls = linear_schedule(50), []
    x = torch.randn(2, 1, 3, 3)

    def eps_fn(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        assert t.dtype == torch.int64 and t.shape == (2,)
        calls.append(("eps", int(t[0])))
        return x / 2

    def hook(x: torch.Tensor, level: int) -> torch.Tensor:
        calls.append(("hook", level))
        return x + 1

    states = []
    for state in sample(eps_fn, x, s, [50, 20, 0], hook=hook):
        calls.append(("yield", state.s))
        states.append(state)
    assert calls == [
        *(("eps", 50), ("hook", 20), ("yield", 20)),
        *(("eps", 20), ("hook", 0), ("yield", 0)),
    ]
    assert isinstance(states[0], Step) and states[0].t == 50 and states[1].t == 20
    assert torch.equal(states[1].x, states[1].x0 + 1)  # at s = 0 the step is x0, then the hook
    for before, state in zip((x, states[0].x), states, strict=True):
        assert torch.equal(state.eps, before / 2)
        again, x0 = ddim.step(before, state.t, state.s, before / 2, s)
        assert torch.equal(state.x0, x0) and torch.equal(state.x, again + 1)


def test_the_final_state_is_the_prediction_bit_for_bit() -> None:
    s = linear_schedule(200)
    x = torch.randn(4, 2)
    for step in (None, ddpm.step, partial(ddpm.step, variance=ddpm.large_variance)):
        kw = {} if step is None else {"step": step}
        states = list(sample(lambda x, t: x / 2, x, s, s.grid(9), **kw))
        assert torch.equal(states[-1].x, states[-1].x0)


def test_grad_mode_does_not_leak() -> None:
    s, x = linear_schedule(50), torch.full((1, 1), 0.7, dtype=F64)
    w = torch.tensor(0.3, dtype=F64, requires_grad=True)

    def fails(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("a network that fails")

    for outside in (True, False):
        with torch.set_grad_enabled(outside):
            assert not last(sample(lambda x, t: w * x, x, s, s.grid(3))).requires_grad
            for grad in (True, False):
                for state in sample(lambda x, t: w * x, x, s, s.grid(3), grad=grad):
                    assert torch.is_grad_enabled() == outside
                    assert state.x.requires_grad == state.eps.requires_grad == grad
                assert torch.is_grad_enabled() == outside
                for _ in sample(lambda x, t: w * x, x, s, s.grid(3), grad=grad):
                    break
                assert torch.is_grad_enabled() == outside
                with pytest.raises(RuntimeError, match="fails"):
                    last(sample(fails, x, s, s.grid(3), grad=grad))
                assert torch.is_grad_enabled() == outside


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_gradients_are_finite_differences(eta: float) -> None:
    """With respect to where the walk starts and to the parameters of the noise prediction."""
    s = linear_schedule(50)
    g = torch.Generator().manual_seed(0)
    x, bias, z = (torch.randn(2, 3, dtype=F64, generator=g) for _ in range(3))
    w = torch.tensor(0.3, dtype=F64)

    def run(x: torch.Tensor, w: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        step = partial(ddim.step, eta=eta, noise=lambda _: z)
        return last(sample(lambda x, t: (w * x + bias).tanh(), x, s, s.grid(6), step, grad=True))

    inputs = [a.clone().requires_grad_() for a in (x, w, bias)]
    assert torch.autograd.gradcheck(run, inputs, eps=1e-6, rtol=1e-6, atol=1e-8)
    assert all((a.abs() > 1e-3).all() for a in torch.autograd.grad(run(*inputs).sum(), inputs))


def test_the_walk_of_one_point_has_no_step() -> None:
    s, x = linear_schedule(50), torch.ones(1, 1)
    assert list(sample(lambda x, t: x, x, s, [7])) == []
    assert last(sample(lambda x, t: x, x, s, [7]), x) is x
    with pytest.raises(ValueError, match="steps: expected at least one step"):
        last([])


def test_no_random_numbers_and_no_device_of_its_own() -> None:
    s = linear_schedule(50)
    state = torch.get_rng_state()
    last(sample(lambda x, t: x, torch.ones(2, 2), s, s.grid(5)))
    assert torch.equal(state, torch.get_rng_state())

    def same_device(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        assert t.device == x.device
        return x

    meta = last(sample(same_device, torch.ones(2, 2, device="meta"), s, s.grid(5)))
    assert meta.device.type == "meta"


S = linear_schedule(50)
X = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("grid", "error", "words"),
    [
        ([], ValueError, "grid: expected strictly (monotone|decreasing) times, got"),
        ([50, 50, 0], ValueError, "grid: expected strictly (monotone|decreasing)"),
        ([50, 10, 20], ValueError, "grid: expected strictly (monotone|decreasing)"),
        ([10, 20, 5], ValueError, "grid: expected strictly (monotone|decreasing)"),
        ([10, 20, 20], ValueError, "grid: expected strictly (monotone|decreasing)"),
        ([51, 0], ValueError, "grid: expected an int in 0..50, got 51"),
        ([50, -1], ValueError, "grid: expected an int in 0..50, got -1"),
        ([50, 0.5], TypeError, "grid: expected an int, got 0.5"),
    ],
)
def test_a_bad_grid_is_refused_before_the_first_step(grid, error, words) -> None:  # noqa: ANN001
    for f in (sample, invert):
        with pytest.raises(error, match=words):
            f(lambda x, t: x, X, S, grid)


def test_bad_states_are_refused() -> None:
    for bad, error in ((torch.zeros(3), ValueError), (X.long(), TypeError), (None, TypeError)):
        with pytest.raises(error, match="x: expected"):
            sample(lambda x, t: x, bad, S, [50, 0])
    with pytest.raises(ValueError, match="eps: expected the shape of x_t"):
        last(sample(lambda x, t: x[:, :1], X, S, [50, 0]))


def test_inversion_takes_the_grid_of_generation() -> None:
    for grid in ([0, 20, 50], [50, 50, 0]):
        with pytest.raises(ValueError, match="^grid: expected strictly decreasing"):
            invert(lambda x, t: x, X, S, grid)
    assert list(invert(lambda x, t: x, X, S, [7])) == []


def test_a_hook_returns_a_state() -> None:
    for bad, error in ((lambda x, s: None, TypeError), (lambda x, s: x[:1], ValueError)):
        with pytest.raises(error, match=r"^hook\(x, s\): expected (a fl|the shape of x, )"):
            last(sample(lambda x, t: x, X, S, [50, 0], hook=bad))


def test_any_schedule_of_two_levels() -> None:
    s = Schedule(torch.tensor([1, 1e-6], dtype=F64))
    x0, eps = pair()
    got = last(sample(oracle(eps), q_sample(x0, 1, eps, s), s, [1, 0]))
    assert (got - x0).abs().max() < 1e-9


def test_noise_does_not_go_upwards() -> None:
    walk = sample(lambda x, t: x, X, S, [20, 50], partial(ddim.step, eta=1.0))
    with pytest.raises(ValueError, match="s: expected s < t where eta > 0"):
        next(walk)


@pytest.mark.equation("eq-slerp")
def test_the_arc_keeps_the_length_of_noise_and_the_line_does_not() -> None:
    d = 10_000
    x, y = torch.randn(2, 4, d, dtype=F64, generator=torch.Generator().manual_seed(0))
    spread = 4 / math.sqrt(2 * d)  # of a length over sqrt(d), and of a cosine by the root of 2
    for w in (0.1, 0.5, 0.8):
        arc, line = (z.norm(dim=1) / d**0.5 for z in (slerp(x, y, w), (1 - w) * x + w * y))
        assert (arc - 1).abs().max() < spread
        assert (line - math.hypot(1 - w, w)).abs().max() < spread
    arc = slerp(x, y, 0.5).norm(dim=1).mean() / d**0.5
    line = (x + y).norm(dim=1).mean() / 2 / d**0.5
    assert abs(arc - 0.997) < 0.01 and abs(line - 0.704) < 0.01


@pytest.mark.equation("eq-slerp")
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (4, 1, 3, 3)])
def test_the_arc_is_a_rotation_at_constant_speed(shape: tuple[int, ...]) -> None:
    x, y = torch.randn(2, *shape, dtype=F64, generator=torch.Generator().manual_seed(1))
    for k in range(len(x)):
        q, r = torch.linalg.qr(torch.stack([x[k].flatten(), y[k].flatten()], 1))
        if r[0, 0] < 0:
            q, r = -q, -r  # the first axis is the direction of x
        psi = math.atan2(abs(r[1, 1].item()), r[0, 1].item())
        up = math.copysign(1, r[1, 1].item()) * q[:, 1]
        lengths = x[k].norm(), y[k].norm()
        for w in (0.0, 0.25, 0.5, 0.9, 1.0):
            # Unit vectors turn evenly; the weights that do that apply to the vectors themselves.
            turned = math.cos(w * psi) * q[:, 0] + math.sin(w * psi) * up
            both = torch.stack([x[k].flatten() / lengths[0], y[k].flatten() / lengths[1]], 1)
            weights = torch.linalg.lstsq(both, turned[:, None]).solution[:, 0]
            want = (weights[0] * x[k] + weights[1] * y[k]).flatten()
            got = slerp(x, y, w)[k]
            assert (got.flatten() - want).abs().max() < 1e-12
            equal = slerp(x / lengths[0], y / lengths[1], w)[k].flatten()
            assert (equal - turned).abs().max() < 1e-12 and abs(equal.norm() - 1) < 1e-12
    assert torch.equal(slerp(x, y, 0), x) and torch.equal(slerp(x, y, 1), y)
    assert (slerp(x, y, 0.3) - slerp(y, x, 0.7)).abs().max() < 1e-12


@pytest.mark.equation("eq-slerp")
def test_the_arc_between_parallel_vectors_is_the_line() -> None:
    x = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=F64)
    y = torch.tensor([[6.0, 8.0], [0.0, 2.0]], dtype=F64)
    want = torch.tensor([[4.5, 6.0], [0.5**0.5, 2**0.5]], dtype=F64)
    assert (slerp(x, y, 0.5) - want).abs().max() < 1e-14
    assert torch.equal(slerp(x, x, 0.3), 0.7 * x + 0.3 * x)
    for turn in (1e-3, 1e-9, 1e-15):  # an inner product would be exactly 1 from 1e-8 on
        y = torch.tensor([[math.cos(turn), math.sin(turn)]], dtype=F64)
        got = slerp(x[1:], y, 0.25)
        assert abs(got[0, 1].item() / math.sin(turn / 4) - 1) < 1e-9
    for turn in (1e-5, 1e-2):  # and almost opposite: still one shortest way
        y = torch.tensor([[-math.cos(turn), math.sin(turn)]], dtype=F64)
        got = slerp(x[1:], y, 0.5)
        want = torch.tensor([[math.sin(turn / 2), math.cos(turn / 2)]], dtype=F64)
        assert (got - want).abs().max() < 1e-9
    x = x.requires_grad_()
    slerp(x, x.detach(), 0.25).sum().backward()
    assert x.grad.isfinite().all()  # where() does not stop a NaN on its way back


NEARLY = torch.tensor([-1.0, -1.0, -1.00001])  # the way around would be rounding error


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: slerp(x, -2.3 * x, 0.5), ValueError, "y: expected no sample opposite"),
        (lambda x: slerp(x, x * NEARLY, 0.5), ValueError, "y: expected no sample opposite"),
        (lambda x: slerp(x, 0 * x, 0.5), ValueError, "y: expected samples of finite length > 0"),
        (lambda x: slerp(x / 0, x, 0.5), ValueError, "x: expected samples of finite length > 0"),
        (lambda x: slerp(0 * x / 0, x, 0.5), ValueError, "x: expected samples of .* got nan..nan"),
        (lambda x: slerp(x, x, -0.1), ValueError, r"w: expected a number in 0..1, got -0.1"),
        (lambda x: slerp(x, x, 1.1), ValueError, r"w: expected a number in 0..1, got 1.1"),
        (lambda x: slerp(x, x, "1"), TypeError, "w: expected a number, got '1'"),
        (lambda x: slerp(x, x[:1], 0.5), ValueError, "y: expected the shape of x"),
        (lambda x: slerp(x, x.double(), 0.5), TypeError, "y: expected the dtype of x"),
        (lambda x: slerp(x[0], x[0], 0.5), ValueError, r"x: expected shape \(B, ...\)"),
        (lambda x: slerp(x.long(), x, 0.5), TypeError, "x: expected a floating-point tensor"),
    ],
)
def test_bad_ends_of_an_arc(call, error, words) -> None:  # noqa: ANN001
    with pytest.raises(error, match=words):
        call(torch.tensor([[0.1, 0.7, -0.3], [2.0, 0.5, 0.4]]))

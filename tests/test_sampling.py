"""The loop. Oracle: with the true noise, every level must be hit exactly, down and up."""

from functools import partial

import pytest
import torch

from minidiff import ddim, ddpm
from minidiff.forward import EpsFn, q_sample
from minidiff.sampling import Step, invert, last, sample
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


def test_grad_mode_does_not_leak_and_gradients_are_right() -> None:
    s = linear_schedule(50)
    x = torch.full((1, 1), 0.7, dtype=F64)
    w = torch.tensor(0.3, dtype=F64, requires_grad=True)

    def run(weight: torch.Tensor, grad: bool) -> torch.Tensor:
        return last(sample(lambda x, t: weight * x.tanh(), x, s, s.grid(6), grad=grad))

    for state in sample(lambda x, t: w * x, x, s, s.grid(3)):
        assert torch.is_grad_enabled() and not state.x.requires_grad
    with torch.no_grad():
        for state in sample(lambda x, t: w * x, x, s, s.grid(3), grad=True):
            assert not torch.is_grad_enabled() and state.x.requires_grad
    assert not run(w, False).requires_grad
    (slope,) = torch.autograd.grad(run(w, True).sum(), w)
    h = 1e-6
    difference = (run(w.detach() + h, False) - run(w.detach() - h, False)).item() / (2 * h)
    assert abs(slope.item() / difference - 1) < 1e-8


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
        with pytest.raises(ValueError, match="grid: expected strictly (decreasing|monotone)"):
            invert(lambda x, t: x, X, S, grid)
    assert list(invert(lambda x, t: x, X, S, [7])) == []


def test_a_hook_returns_a_state() -> None:
    for bad, error in ((lambda x, s: None, TypeError), (lambda x, s: x[:1], ValueError)):
        with pytest.raises(error, match=r"hook\(x, s\): expected"):
            last(sample(lambda x, t: x, X, S, [50, 0], hook=bad))


def test_any_schedule_of_two_levels() -> None:
    s = Schedule(torch.tensor([1, 1e-6], dtype=F64))
    x0, eps = pair()
    got = last(sample(oracle(eps), q_sample(x0, 1, eps, s), s, [1, 0]))
    assert (got - x0).abs().max() < 1e-9

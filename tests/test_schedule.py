"""Schedules: golden values, coefficients, grids. Oracles: facts computed in float64 elsewhere."""

import math

import pytest
import torch

from minidiff import _validate as check
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule

F64 = torch.float64


def every_schedule() -> list[Schedule]:
    linear = [linear_schedule(T) for T in (21, 50, 200, 1000)]
    return linear + [cosine_schedule(T) for T in (1, 10, 100, 1000)]


@pytest.mark.equation("eq-linear-schedule", "eq-ddpm-forward")
def test_linear_goldens() -> None:
    ab = linear_schedule(1000).alpha_bar
    want = {1: 0.9999, 10: 0.99810520, 100: 0.89701815, 250: 0.52408537, 500: 0.078587243}
    assert all(abs(ab[t].item() - value) < 1e-8 for t, value in want.items())
    # The same by the definition, one product at a time.
    product = 1.0
    for t in range(1, 1001):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * (t - 1) / 999)
        assert abs(ab[t].item() - product) < 1e-12
    assert abs(ab[750].item() - 0.0033505504) < 1e-10
    assert abs(ab[1000].item() - 4.0358298e-05) < 1e-12
    assert ab[259] > 0.5 > ab[260]
    assert abs(ab[1:].mean().item() - 0.27551323) < 1e-8


@pytest.mark.equation("eq-linear-schedule")
def test_linear_is_rescaled_for_short_chains() -> None:
    want = {50: 7.7e-6, 100: 2.0e-5, 200: 3.0e-5, 400: 3.6e-5}
    for T, value in want.items():
        s = linear_schedule(T)
        assert abs(s.alpha_bar[T].item() - value) < 0.05e-5
        assert abs(s.beta[T].item() - 20 / T) < 1e-12
    unscaled = Schedule.from_betas(torch.linspace(1e-4, 0.02, 100, dtype=F64))
    assert abs(unscaled.alpha_bar[100].item() - 0.364) < 5e-4  # the trap


@pytest.mark.equation("eq-cosine-schedule")
def test_cosine_goldens() -> None:
    s = cosine_schedule(1000)
    assert abs(s.alpha_bar[500].item() - 0.49384) < 5e-6
    assert abs(s.alpha_bar[1000].item() / 2.43e-9 - 1) < 2e-3
    for T, beta_1 in ((1000, 4.13e-5), (100, 6.31e-4), (50, 1.75e-3)):
        assert abs(cosine_schedule(T).beta[1].item() / beta_1 - 1) < 3e-3
        assert (cosine_schedule(T).beta > 0.998).sum().item() == 1  # one is clipped: the last
    # Its log-derivative by finite differences is -pi/(1+s) tan(...), which no code here types.
    u = 0.3
    slope = (s.alpha_bar[301] / s.alpha_bar[299]).log().item() / 0.002
    assert abs(slope + math.pi / 1.008 * math.tan((u + 0.008) / 1.008 * math.pi / 2)) < 1e-4


@pytest.mark.equation("eq-cosine-schedule")
def test_cosine_keeps_the_digits_of_float64() -> None:
    """The product telescopes to f(t) / f(0); only the last factor is clipped."""
    ab = cosine_schedule(100).alpha_bar.tolist()
    f = [math.cos((t / 100 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(100)]
    assert all(abs(ab[t] / (f[t] / f[0]) - 1) < 1e-11 for t in range(100))


@pytest.mark.equation("eq-ddpm-forward")
def test_single_precision_betas_are_multiplied_in_double() -> None:
    betas = torch.full((1000,), 0.01)
    exact = math.prod([1 - betas[0].item()] * 1000)
    assert abs(Schedule.from_betas(betas).alpha_bar[1000].item() / exact - 1) < 1e-11


def test_a_schedule_has_a_thousand_steps_unless_told_otherwise() -> None:
    assert linear_schedule().T == cosine_schedule().T == 1000


@pytest.mark.equation("eq-ddpm-posterior-var")
def test_derived_arrays() -> None:
    s = linear_schedule(1000)
    assert s.beta[0] == 0 and s.alpha[0] == 1 and s.snr[0] == math.inf and s.posterior_var[0] == 0
    goldens = {
        2: 5.4531877e-05,
        10: 2.3818203e-04,
        100: 2.0345963e-03,
        1000: 1.9999984e-02,
    }
    assert s.posterior_var[1] == 0
    for t, value in goldens.items():
        assert abs(s.posterior_var[t].item() / value - 1) < 1e-7
    assert all(len(a) == 1001 for a in (s.beta, s.alpha, s.snr, s.posterior_var))
    assert abs(s.snr[1].item() - 9999) < 1e-6 and s.T == 1000
    gap = s.beta - s.posterior_var
    assert (gap[1:] > 0).all()


def test_every_schedule_starts_at_one_and_decreases() -> None:
    for s in every_schedule():
        assert s.alpha_bar[0] == 1 and (s.alpha_bar.diff() < 0).all() and s.alpha_bar[-1] > 0
        assert s.alpha_bar.dtype == F64


def test_float32_coefficients_keep_seven_digits() -> None:
    for s in every_schedule():
        like, t = torch.zeros(s.T + 1, 1, 2), torch.arange(s.T + 1)
        for got, exact in zip(
            s.coefs(t, like), (s.alpha_bar.sqrt(), (1 - s.alpha_bar).sqrt()), strict=True
        ):
            assert isinstance(got, torch.Tensor)
            assert got.dtype == torch.float32 and got.shape == (s.T + 1, 1, 1)
            error = (got.flatten().double() - exact).abs()
            assert (error <= 1e-7 * exact).all()


def test_an_int_and_a_batch_of_times_agree_and_half_precision_is_harmless() -> None:
    s = linear_schedule(1000)
    before = s.alpha_bar.clone()
    for t in (0, 1, 17, 1000):
        a, b = s.coefs(t, torch.zeros(3, 2))
        assert isinstance(a, float) and abs(a * a + b * b - 1) < 1e-15
        rows = s.coefs(torch.tensor([t, 0, t]), torch.zeros(3, 2, dtype=F64))
        assert isinstance(rows[0], torch.Tensor) and isinstance(rows[1], torch.Tensor)
        assert rows[0][0, 0] == a and rows[1][2, 0] == b and rows[0].shape == (3, 1)
    half = s.coefs(torch.tensor([1]), torch.zeros(1, 2, dtype=torch.float16))[1]
    assert isinstance(half, torch.Tensor) and half.dtype == torch.float16 and half.item() > 0.0099
    assert torch.equal(s.alpha_bar, before)


def test_a_schedule_does_not_follow_an_edited_tensor() -> None:
    ab = torch.tensor([1, 0.9, 0.5], dtype=F64)
    s = Schedule(ab)
    ab[1] = 0.6
    assert s.alpha_bar[1] == 0.9 and s.coefs(1, torch.zeros(1, 1))[0] == 0.9**0.5


def test_grid_for_all_n() -> None:
    for T in (1, 2, 10, 50, 200, 1000):
        s = cosine_schedule(T)
        for n in range(1, T + 1):
            grid = s.grid(n)
            assert len(grid) == n + 1 and grid[0] == T and grid[-1] == 0
            assert all(t - u >= 1 for t, u in zip(grid, grid[1:], strict=False))
            spread = [t - u for t, u in zip(grid, grid[1:], strict=False)]
            assert max(spread) - min(spread) <= 1  # evenly spread
    s = linear_schedule(1000)
    assert s.grid(1000) == list(range(1000, -1, -1))
    assert s.grid(4, start=500, stop=100) == [500, 400, 300, 200, 100]
    assert s.grid(7, start=0) == [0] and s.grid(3, start=9, stop=9) == [9]
    for stop in range(0, 40, 7):
        for n in range(1, 61 - stop):
            grid = s.grid(n, start=60, stop=stop)
            assert grid[0] == 60 and grid[-1] == stop and sorted(set(grid), reverse=True) == grid


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Schedule(torch.ones(3)), TypeError, "alpha_bar: expected a float64"),
        (lambda: Schedule([1, 0.5]), TypeError, "alpha_bar"),
        (lambda: Schedule(torch.ones(1, dtype=F64)), ValueError, r"\(T\+1,\)"),
        (lambda: Schedule(torch.ones(2, 2, dtype=F64)), ValueError, r"\(T\+1,\)"),
        (lambda: Schedule(torch.tensor([0.9, 0.5], dtype=F64)), ValueError, "== 1, got 0.9"),
        (lambda: Schedule(torch.tensor([1, 0.5, 0.5], dtype=F64)), ValueError, "1, 0.5, ..., 0.5"),
        (lambda: Schedule(torch.tensor([1, 0.5, 0.0], dtype=F64)), ValueError, "0.5, ..., 0$"),
        (lambda: Schedule(torch.tensor([1, math.nan], dtype=F64)), ValueError, "decreasing"),
        (lambda: Schedule.from_betas(torch.tensor([1, 2])), TypeError, "betas: expected a fl"),
        (lambda: Schedule.from_betas(torch.tensor([0.1, 1.0])), ValueError, "^betas: expected ev"),
        (lambda: Schedule.from_betas(torch.tensor([0.0, 0.5])), ValueError, r"\(0, 1\), got"),
        (lambda: Schedule.from_betas(torch.zeros(0)), ValueError, r"betas: expected shape"),
        (lambda: Schedule.from_betas(torch.full((2, 2), 0.1)), ValueError, r"betas: expected sh"),
        (lambda: linear_schedule(20), ValueError, "T: expected an int >= 21, got 20"),
        (lambda: linear_schedule(100.0), TypeError, "T: expected an int, got 100.0"),
        (lambda: cosine_schedule(0), ValueError, "^T: expected an int >= 1, got 0"),
        (lambda: linear_schedule(50).grid(51), ValueError, "n: expected an int in 1..50, got 51"),
        (lambda: linear_schedule(50).grid(0), ValueError, "^n: expected an int"),
        (lambda: linear_schedule(50).grid(5, start=10, stop=6), ValueError, r"n: .*1\.\.4, got 5"),
        (lambda: linear_schedule(50).grid(5, start=51), ValueError, "^start: expected an"),
        (lambda: linear_schedule(50).grid(5, start=5, stop=6), ValueError, "^stop: exp"),
        (lambda: linear_schedule(50).grid(True), TypeError, "n: expected an int, got True"),
        (lambda: linear_schedule(50).grid(0, start=0), ValueError, "n: expected an int >= 1"),
        (lambda: linear_schedule(50).coefs(51, torch.zeros(1, 1)), ValueError, "0..50, got 51"),
        (lambda: linear_schedule(50).coefs(-1, torch.zeros(1, 1)), ValueError, "0..50, got -1"),
        (
            lambda: linear_schedule(50).coefs(torch.tensor([0, 51]), torch.zeros(2, 1)),
            ValueError,
            "t: expected entries in 0..50, got 0..51",
        ),
        (
            lambda: linear_schedule(50).coefs(torch.tensor([-1, 3]), torch.zeros(2, 1)),
            ValueError,
            "t: expected entries in 0..50, got -1..3",
        ),
        (
            lambda: linear_schedule(50).coefs(torch.tensor([1, 2, 3]), torch.zeros(2, 1)),
            ValueError,
            r"t: expected one entry for each of the batch, shape \(2,\), got shape \(3,\)",
        ),
        (
            lambda: linear_schedule(50).coefs(torch.tensor([1]), torch.zeros(())),
            ValueError,
            r"like: expected shape \(B, ...\)",
        ),
        (
            lambda: linear_schedule(50).coefs(torch.tensor([1.0]), torch.zeros(1, 1)),
            TypeError,
            r"t: expected an int64 tensor of shape \(B,\)",
        ),
        (
            lambda: linear_schedule(50).coefs(1.0, torch.zeros(1, 1)),
            TypeError,
            r"t: expected an int or an int64 tensor of shape \(B,\), got 1.0",
        ),
        (
            lambda: linear_schedule(50).coefs(torch.tensor(1), torch.zeros(1, 1)),
            TypeError,
            r"t: expected an int64 tensor of shape \(B,\)",
        ),
        (
            lambda: linear_schedule(50).coefs(torch.tensor([1]), torch.tensor([[1]])),
            TypeError,
            "like: expected a floating-point tensor",
        ),
    ],
)
def test_bad_input(call, error, words) -> None:  # noqa: ANN001
    with pytest.raises(error, match=words):
        call()


def test_coefficients_of_no_samples() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    for coefficient in linear_schedule(50).coefs(none, torch.zeros(0, 3)):
        assert coefficient.shape == (0, 1)
    check.index("t", none, 1, 50)  # nothing is out of range


def test_times_on_another_device_are_checked_before_they_are_looked_up(monkeypatch):
    """There a time out of range would end the process, instead of raising."""
    asked = []
    monkeypatch.setattr(check, "index", lambda *given: asked.append(given))
    table, t, x = (torch.zeros(shape, device="meta") for shape in ((51, 1), (3,), (3, 2)))
    t = t.to(torch.int64)
    assert check.looked_up(table, "t", t, x).shape == (3, 1)
    assert asked == [("t", t, 0, 50)]

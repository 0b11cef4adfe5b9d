"""The DDIM step. Oracles: moment recursions, the closed form for Gaussian data, DDPM itself."""

import math

import pytest
import torch

from minidiff import ddim, ddpm
from minidiff.forward import eps_from_x0, q_sample
from minidiff.gmm import GaussianMixture
from minidiff.sampling import invert, last, sample
from minidiff.schedule import Schedule, linear_schedule

F64 = torch.float64
S = linear_schedule(1000)
ONE, ZERO = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)


def probe(t: int, s: int, schedule: Schedule, eta: float) -> tuple[float, float, float]:
    """(x_0, eps, z) coefficients of a step from x_t = sqrt(ab) x_0 + sqrt(1-ab) eps."""
    out = []
    for x0, eps, z in ((ONE, ZERO, ZERO), (ZERO, ONE, ZERO), (ZERO, ZERO, ONE)):
        x_t = q_sample(x0, t, eps, schedule)
        x_s, _ = ddim.step(x_t, t, s, eps, schedule, eta=eta, noise=lambda _, z=z: z)
        out.append(x_s.item())
    return out[0], out[1], out[2]


def test_every_eta_keeps_the_marginals() -> None:
    for t, s in ((1000, 999), (800, 300), (2, 1), (5, 0)):
        for eta in (0.0, 0.3, 1.0):
            c_0, c_eps, sigma = probe(t, s, S, eta)
            ab = S.alpha_bar[s].item()
            assert abs(c_0 - ab**0.5) < 1e-12
            assert abs(c_eps**2 + sigma**2 - (1 - ab)) < 1e-12


def test_eta_scales_the_standard_deviation() -> None:
    full = probe(800, 300, S, 1.0)[2]
    assert abs(full**2 - ddpm.small_variance(800, 300, S)) < 1e-14
    for eta in (0.0, 0.5, 0.9):
        assert abs(probe(800, 300, S, eta)[2] - eta * full) < 1e-14


def test_eta_one_is_the_ancestral_step_with_and_without_clipping() -> None:
    g = torch.Generator().manual_seed(0)
    x, eps, z = (torch.randn(5, 3, dtype=F64, generator=g) for _ in range(3))
    for t, s in ((1000, 999), (900, 200), (3, 0)):
        for clip in (None, 0.5):
            mine = ddim.step(x, t, s, eps, S, eta=1.0, clip=clip, noise=lambda _: z)
            theirs = ddpm.step(x, t, s, eps, S, clip=clip, noise=lambda _: z)
            assert (mine[0] - theirs[0]).abs().max() < 1e-11
            assert (mine[1] - theirs[1]).abs().max() < 1e-11


def test_clipping_derives_the_noise_again() -> None:
    g = torch.Generator().manual_seed(1)
    x, eps = (torch.randn(50, 1, dtype=F64, generator=g) for _ in range(2))
    x_s, x0 = ddim.step(x, 700, 699, eps, S, clip=1.0)
    assert x0.abs().max() == 1
    explained = (x_s - S.alpha_bar[699].sqrt() * x0) / (1 - S.alpha_bar[699]).sqrt()
    assert (explained - eps_from_x0(x0, x, 700, S)).abs().max() < 1e-12
    assert (q_sample(x0, 700, explained, S) - x).abs().max() < 1e-12


def test_gaussian_data_gives_a_product_of_cosines() -> None:
    m, c = 0.3, 0.5
    data = GaussianMixture(torch.ones(1), ONE * m, (c * c) * ONE.view(1, 1, 1))
    goldens = {5: 0.52508, 10: 0.73990, 20: 0.86272, 50: 0.94279, 100: 0.97088, 1000: 0.99698}
    theta = torch.atan2((1 - S.alpha_bar).sqrt(), c * S.alpha_bar.sqrt())
    v_end = (S.alpha_bar[-1] * c * c + 1 - S.alpha_bar[-1]).item()
    for n, golden in goldens.items():
        grid, x_end = S.grid(n), ONE * 1.7
        cosines = math.prod(
            math.cos(theta[t].item() - theta[s].item())
            for t, s in zip(grid, grid[1:], strict=False)
        )
        want = m + c * cosines * (1.7 - S.alpha_bar[-1].item() ** 0.5 * m) / v_end**0.5
        got = last(sample(data.eps_fn(S), x_end, S, grid)).item()
        assert abs(got - want) < 1e-12 and abs(cosines - golden) < 1e-5


def test_inversion_is_the_same_step_upwards() -> None:
    data = GaussianMixture(torch.ones(1), ZERO, 0.25 * ONE.view(1, 1, 1))
    goldens = {10: 0.45255, 20: 0.25571, 40: 0.13690, 80: 0.07109, 160: 0.03648}
    for n, golden in goldens.items():
        grid = S.grid(n)
        latent = last(invert(data.eps_fn(S), ONE, S, grid))
        back = last(sample(data.eps_fn(S), latent, S, grid)).item()
        assert abs(1 - back - golden) < 1e-5


def test_point_mass_is_exact_in_one_step_and_eta_zero_draws_nothing() -> None:
    g = torch.Generator().manual_seed(2)
    x = torch.randn(7, 2, dtype=F64, generator=g)
    mu = torch.tensor([[0.4, -0.9]], dtype=F64)
    eps = eps_from_x0(mu.expand_as(x), x, 1000, S)

    def forbidden(_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("eta = 0 must not draw noise")

    x_s, _ = ddim.step(x, 1000, 0, eps, S, noise=forbidden)
    assert (x_s - mu).abs().max() < 1e-12
    state = torch.get_rng_state()
    ddim.step(x, 1000, 500, eps, S)
    assert torch.equal(state, torch.get_rng_state())
    ddim.step(x, 1000, 500, eps, S, eta=1.0)
    assert not torch.equal(state, torch.get_rng_state())


X = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ddim.step(X, 5, 6, X, S, eta=0.1), ValueError, "s: expected s < t"),
        (lambda: ddim.step(X, 5, 5, X, S, eta=1.0), ValueError, "s: expected s < t"),
        (lambda: ddim.step(X, 5, 4, X, S, eta=-0.1), ValueError, "eta: expected a number >= 0"),
        (lambda: ddim.step(X, 5, 4, X, S, eta=math.nan), ValueError, "eta: expected a number"),
        (lambda: ddim.step(X, 5, 4, X, S, eta=math.inf), ValueError, "eta: expected a number"),
        (lambda: ddim.step(X, 5, 0, X, S, eta="1"), TypeError, "eta: expected a number, got '1'"),
        (lambda: ddim.step(X, 5, 4, X, S, clip=math.nan), ValueError, "clip: expected a number"),
        (
            lambda: ddim.step(X, 5, 4, X, S, eta=1.0, noise=lambda x: x[:1]),
            ValueError,
            r"noise\(x\): expected the shape of x",
        ),
        (lambda: ddim.step(X, 2, 1, X, S, eta=1.5), ValueError, "eta: expected sigma"),
        (lambda: ddim.step(X, 1001, 4, X, S), ValueError, "t: expected an int in 0..1000"),
        (lambda: ddim.step(X, 5, 1001, X, S), ValueError, "s: expected an int in 0..1000"),
        (lambda: ddim.step(X, 5, -1, X, S), ValueError, "s: expected an int in 0..1000, got -1"),
        (lambda: ddim.step(X, 0, 5, X, S, clip=1.0), ValueError, "t: expected an int in 1..1000"),
        (lambda: ddim.step(X, 5, 4, X[:1], S), ValueError, "eps: expected the shape of x_t"),
        (lambda: ddim.step(X.int(), 5, 4, X, S), TypeError, "x_t: expected a floating-point"),
    ],
)
def test_bad_input(call, error, words) -> None:  # noqa: ANN001
    with pytest.raises(error, match=words):
        call()

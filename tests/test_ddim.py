"""The DDIM step. Oracles: moment recursions, Bayes, Gaussian algebra, the closed forms for
Gaussian data, sympy, finite differences, and the exact laws of mixtures."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import sympy
import torch
from torch import distributions as dist

from minidiff import ddim, ddpm
from minidiff.forward import eps_from_x0, q_sample
from minidiff.gmm import GaussianMixture
from minidiff.sampling import invert, last, sample
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule

F64 = torch.float64
S = linear_schedule(1000)
ONE, ZERO = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)
SCHEDULES = pytest.mark.parametrize("schedule", [S, cosine_schedule(1000)], ids=["linear", "cos"])


def gaussian(mean: float, var: float) -> GaussianMixture:
    return GaussianMixture(ONE.view(1), mean * ONE, var * ONE.view(1, 1, 1))


def angles(schedule: Schedule, c: float = 1.0) -> list[float]:
    """theta_t = arctan(sqrt(1 - ab) / (c sqrt(ab))), by time."""
    return [math.atan2((1 - ab) ** 0.5, c * ab**0.5) for ab in schedule.alpha_bar.tolist()]


def turns(grid: list[int], schedule: Schedule, c: float = 1.0) -> list[float]:
    theta = angles(schedule, c)
    return [theta[t] - theta[s] for t, s in zip(grid, grid[1:], strict=False)]


def walked_std(grid: list[int], schedule: Schedule, c: float) -> float:
    """std(x_0)/c after the walk from x_T of the exact law N(0, V_T), for data N(0, c^2)."""
    ab = schedule.alpha_bar[-1].item()
    x = ONE * (ab * c * c + 1 - ab) ** 0.5  # one standard deviation: the walk is linear
    return last(sample(gaussian(0.0, c * c).eps_fn(schedule), x, schedule, grid)).item() / c


def probe(
    t: int, s: int, schedule: Schedule, eta: float, step: Callable = ddim.step
) -> tuple[float, float, float]:
    """(x_t, x_0, z) coefficients of a step told the true direction (x_t - a x_0) / b."""
    a, b = schedule.coefs(t, ONE)
    out = []
    for x_t, x0, z in ((ONE, ZERO, ZERO), (ZERO, ONE, ZERO), (ZERO, ZERO, ONE)):
        eps = (x_t - a * x0) / b
        x_s, _ = step(x_t, t, s, eps, schedule, eta=eta, noise=lambda _, z=z: z)
        out.append(x_s.item())
    return out[0], out[1], out[2]


def posterior_variance(t: int, s: int, schedule: Schedule) -> float:
    """Var(x_s | x_t, x_0): the precisions of the two Gaussians that Bayes multiplies, added."""
    ab_t, ab_s = schedule.alpha_bar[t].item(), schedule.alpha_bar[s].item()
    r = ab_t / ab_s
    return 1 / (r / (1 - r) + 1 / (1 - ab_s)) if s else 0.0


def marginal_errors(
    grid: list[int], etas: list[float], schedule: Schedule, step: Callable = ddim.step
) -> list[tuple[float, float]]:
    """(mean, variance) of x_s given x_0 = 1, less those of q(x_s | x_0), level by level."""
    ab = schedule.alpha_bar[grid[0]].item()
    mean, var, out = ab**0.5, 1 - ab, []
    for t, s, eta in zip(grid, grid[1:], etas, strict=False):
        c_t, c_0, sigma = probe(t, s, schedule, eta, step)
        mean, var = c_t * mean + c_0, c_t**2 * var + sigma**2
        ab = schedule.alpha_bar[s].item()
        out.append((mean - ab**0.5, var - (1 - ab)))
    return out


def inflated(
    x: torch.Tensor,
    t: int,
    s: int,
    eps: torch.Tensor,
    schedule: Schedule,
    *,
    eta: float,
    noise: Callable,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mistake to refuse: noise is added, and the direction keeps its whole length."""
    sigma = probe(t, s, schedule, eta)[2]
    x_s, x0 = ddim.step(x, t, s, eps, schedule)
    return x_s + sigma * noise(x), x0


@pytest.mark.equation("eq-ddim-family", "eq-ddim-marginals", "eq-ddim-inflate")
@SCHEDULES
def test_random_sigmas_keep_every_marginal(schedule: Schedule) -> None:
    g = torch.Generator().manual_seed(0)
    for n in (1000, 37, 5):
        grid = schedule.grid(n)
        share = torch.rand(n, dtype=F64, generator=g).tolist()  # of the largest legal sigma^2
        etas = [
            math.sqrt(u * (1 - schedule.alpha_bar[s].item()) / posterior_variance(t, s, schedule))
            if s
            else u
            for u, t, s in zip(share, grid, grid[1:], strict=False)
        ]
        assert n == 5 or max(etas) > 2  # not between the ends of the family only
        constant = [[eta] * n for eta in (0.0, 0.5, 1.0)] if n == 37 else []
        for chosen in (etas, *constant):
            errors = torch.tensor(marginal_errors(grid, chosen, schedule), dtype=F64)
            assert errors.abs().max() < 1e-12
        wrong = torch.tensor(marginal_errors(grid, etas, schedule, inflated), dtype=F64)
        assert wrong[:, 0].abs().max() < 1e-12 and wrong[:, 1].max() > 0.01


@pytest.mark.equation("eq-ddim-inflate")
def test_the_inflated_step_is_wrong_by_the_variance_of_its_noise() -> None:
    for t, s in ((1000, 999), (800, 300), (2, 1)):
        for eta in (0.3, 1.0):
            ((mean, var),) = marginal_errors([t, s], [eta], S, inflated)
            assert abs(mean) < 1e-12
            assert abs(var - eta**2 * posterior_variance(t, s, S)) < 1e-12 and var > 1e-6


@pytest.mark.equation("eq-ddim-family", "eq-ddim-legal")
def test_the_largest_sigma_forgets_x_t() -> None:
    """sigma^2 = 1 - ab_s draws x_s from q(x_s | x_0) afresh."""
    for t, s in [(1000, 999), (800, 300), *((t, t - 1) for t in range(2, 1000, 7))]:
        left = 1 - S.alpha_bar[s].item()
        eta = math.sqrt(left / posterior_variance(t, s, S))  # legal, however it rounds
        c_t, c_0, sigma = probe(t, s, S, eta)
        assert abs(c_t) < 1e-6 and abs(c_0 - S.alpha_bar[s].item() ** 0.5) < 1e-6
        assert abs(sigma**2 / left - 1) < 1e-12
        with pytest.raises(ValueError, match="eta: expected sigma"):
            probe(t, s, S, eta * (1 + 1e-12))


@pytest.mark.equation("eq-ddim-legal")
def test_the_large_variance_of_ddpm_is_no_member() -> None:
    """beta_2 of the linear schedule exceeds 1 - alpha_bar_1, so fixed large is not a member."""
    beta, left = S.beta[2].item(), 1 - S.alpha_bar[1].item()
    assert abs(beta - 1.199199e-4) < 1e-10 and abs(left - 1e-4) < 1e-12
    eta = math.sqrt(beta / posterior_variance(2, 1, S))
    with pytest.raises(ValueError, match=r"<= 1 - alpha_bar_s = 0.0001 at s = 1, got .*0.0001199"):
        ddim.step(ONE, 2, 1, ONE, S, eta=eta)
    # ddpm keeps the mean of eta = 1 and enlarges the noise alone: the marginal gains the excess.
    large = partial(ddpm.step, variance=ddpm.large_variance)
    for t in (2, 300, 1000):
        ((mean, var),) = marginal_errors(
            [t, t - 1], [1.0], S, lambda *a, eta, noise: large(*a, noise=noise)
        )
        assert abs(mean) < 1e-12
        assert abs(var - (S.beta[t].item() - posterior_variance(t, t - 1, S))) < 1e-12


@pytest.mark.equation("eq-ddim-sigma", "eq-ddim-eta-one")
@SCHEDULES
@pytest.mark.parametrize("n", [1000, 50, 7])
def test_eta_one_is_the_posterior_of_the_chain_with_these_steps(
    schedule: Schedule, n: int
) -> None:
    """Coefficient by coefficient, on a chain made anew from the betas between the kept levels,
    with the textbook formula for neighbours."""
    grid = schedule.grid(n)
    kept = schedule.alpha_bar[torch.tensor(grid[::-1])]
    beta = 1 - kept[1:] / kept[:-1]
    chain = Schedule.from_betas(beta)
    bar = torch.cumprod(1 - beta, 0).tolist()
    for k in {n, n - 1, n // 2, 2, 1}:
        t, s = grid[n - k], grid[n - k + 1]
        b, ab, ab_before = beta[k - 1].item(), bar[k - 1], bar[k - 2] if k > 1 else 1.0
        want = (
            math.sqrt(1 - b) * (1 - ab_before) / (1 - ab),
            math.sqrt(ab_before) * b / (1 - ab),
            math.sqrt((1 - ab_before) / (1 - ab) * b),
        )
        got = probe(t, s, schedule, 1.0)
        assert max(abs(i - j) for i, j in zip(got, want, strict=True)) < 1e-10
        assert abs(got[2] ** 2 - posterior_variance(t, s, schedule)) < 1e-14
        assert abs(got[2] ** 2 - chain.posterior_var[k].item()) < 1e-11


@pytest.mark.equation("eq-ddim-sigma")
def test_eta_scales_the_standard_deviation() -> None:
    for t, s in ((800, 300), (1000, 999), (2, 1)):
        ab_t, ab_s = S.alpha_bar[t].item(), S.alpha_bar[s].item()
        for eta in (0.0, 0.5, 0.9, 1.0):
            sigma = probe(t, s, S, eta)[2]
            want = eta * math.sqrt((1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s))
            assert abs(sigma - want) < 1e-13
        assert abs(probe(t, s, S, 0.5)[2] / probe(t, s, S, 1.0)[2] - 0.5) < 1e-14


@pytest.mark.equation("eq-ddim-eta-one")
def test_eta_one_is_the_ancestral_step_with_and_without_clipping() -> None:
    g = torch.Generator().manual_seed(0)
    x, eps, z = (torch.randn(5, 3, dtype=F64, generator=g) for _ in range(3))
    for t, s in ((1000, 999), (900, 200), (3, 0)):
        for clip in (None, 0.5):
            mine = ddim.step(x, t, s, eps, S, eta=1.0, clip=clip, noise=lambda _: z)
            theirs = ddpm.step(x, t, s, eps, S, clip=clip, noise=lambda _: z)
            assert (mine[0] - theirs[0]).abs().max() < 1e-11
            assert (mine[1] - theirs[1]).abs().max() < 1e-11


@pytest.mark.equation("eq-ddim-step")
def test_clipping_derives_the_noise_again() -> None:
    g = torch.Generator().manual_seed(1)
    x, eps = (torch.randn(50, 1, dtype=F64, generator=g) for _ in range(2))
    x_s, x0 = ddim.step(x, 700, 699, eps, S, clip=1.0)
    assert x0.abs().max() == 1
    explained = (x_s - S.alpha_bar[699].sqrt() * x0) / (1 - S.alpha_bar[699]).sqrt()
    assert (explained - eps_from_x0(x0, x, 700, S)).abs().max() < 1e-12
    assert (q_sample(x0, 700, explained, S) - x).abs().max() < 1e-12


@pytest.mark.equation("eq-ddim-cosines")
def test_gaussian_data_gives_a_product_of_cosines() -> None:
    m, c = 0.3, 0.5
    goldens = {5: 0.52508, 10: 0.73990, 20: 0.86272, 50: 0.94279, 100: 0.97088, 1000: 0.99698}
    v_end = (S.alpha_bar[-1] * c * c + 1 - S.alpha_bar[-1]).item()
    for n, golden in goldens.items():
        grid = S.grid(n)
        cosines = math.prod(map(math.cos, turns(grid, S, c)))
        want = m + c * cosines * (1.7 - S.alpha_bar[-1].item() ** 0.5 * m) / v_end**0.5
        got = last(sample(gaussian(m, c * c).eps_fn(S), ONE * 1.7, S, grid)).item()
        assert abs(got - want) < 1e-12 and abs(cosines - golden) < 1e-5
        assert abs(walked_std(grid, S, c) - cosines) < 1e-12


@pytest.mark.equation("eq-ddim-gauss-step")
def test_one_step_on_gaussian_data_turns_by_the_angle_between() -> None:
    m, c = -0.4, 0.5
    data, theta = gaussian(m, c * c), angles(S, c)
    for t, s in ((1000, 700), (300, 299), (40, 0), (0, 40), (200, 900)):
        (a_t, b_t), (a_s, b_s) = S.coefs(t, ONE), S.coefs(s, ONE)
        v_t, v_s = (c * a_t) ** 2 + b_t**2, (c * a_s) ** 2 + b_s**2
        x = ONE * 0.9
        got, _ = ddim.step(x, t, s, data.eps_fn(S)(x, torch.tensor([t])), S)
        want = a_s * m + math.sqrt(v_s / v_t) * math.cos(theta[t] - theta[s]) * (0.9 - a_t * m)
        assert abs(got.item() - want) < 1e-12


@pytest.mark.equation("eq-ddim-equal-angles")
@pytest.mark.parametrize(("n", "golden"), [(10, 0.883485), (50, 0.975624)])
def test_equal_angles_reach_the_bound(n: int, golden: float) -> None:
    assert abs(math.cos(math.pi / 2 / n) ** n - golden) < 1e-6
    whole = math.pi / 2 - 1e-6  # alpha_bar_T = 0 is no schedule
    levels = [math.cos(whole * k / n) ** 2 for k in range(n + 1)]
    s = Schedule(torch.tensor(levels, dtype=F64))
    got = walked_std(s.grid(n), s, 1.0)
    assert abs(got - math.cos(whole / n) ** n) < 1e-9 and abs(got - golden) < 2e-6


@pytest.mark.equation("eq-ddim-cosines", "eq-ddim-equal-angles")
def test_gaussian_data_is_never_over_dispersed() -> None:
    """On any grid and for any data variance; equal angles are the best that n steps can do."""
    rng = np.random.default_rng(0)
    for schedule in (S, cosine_schedule(100)):
        for _ in range(30):
            n, c = int(rng.integers(1, 30)), float(10 ** rng.uniform(-2, 1))
            between = rng.choice(np.arange(1, schedule.T), n - 1, replace=False).tolist()
            grid = [schedule.T, *sorted(between, reverse=True), 0]
            got = walked_std(grid, schedule, c)
            best = math.cos(angles(schedule, c)[-1] / n) ** n
            assert 0 < got <= best + 1e-12 and best < 1


@pytest.mark.equation("eq-ddim-cosines")
def test_the_error_falls_like_one_over_the_number_of_steps() -> None:
    steps = [50, 100, 200, 250, 500, 1000]
    errors = [1 - walked_std(S.grid(n), S, 0.5) for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope + 1) < 0.03 and abs(slope + 0.982) < 5e-4


@pytest.mark.equation("eq-ddim-inversion-error")
def test_inversion_and_back_multiplies_by_squared_cosines() -> None:
    data, asked = gaussian(0.0, 0.25), []

    def eps_fn(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(t.item())
        return data.eps_fn(S)(x, t)

    goldens = {10: 0.45255, 20: 0.25571, 40: 0.13690, 80: 0.07109, 160: 0.03648, 1000: 0.0060399}
    for n, golden in goldens.items():
        grid = S.grid(n)
        asked.clear()
        latent = last(invert(eps_fn, ONE, S, grid))
        assert asked == grid[:0:-1] and asked[0] == 0  # at the end with less noise, first at 0
        back = last(sample(eps_fn, latent, S, grid)).item()
        assert abs(1 - back - golden) < (1e-5 if n < 1000 else 1e-7)
        assert abs(back - math.prod(math.cos(turn) ** 2 for turn in turns(grid, S, 0.5))) < 1e-12


@pytest.mark.equation("eq-ddim-step")
def test_a_point_mass_is_exact_in_one_step() -> None:
    g = torch.Generator().manual_seed(2)
    x = torch.randn(7, 2, dtype=F64, generator=g)
    mu = torch.tensor([[0.4, -0.9]], dtype=F64)
    data = GaussianMixture(torch.ones(1), mu, torch.zeros(1, 2, 2))
    for grid in ([1000, 0], [300, 0], S.grid(7)):
        assert (last(sample(data.eps_fn(S), x, S, grid)) - mu).abs().max() < 1e-12


@pytest.mark.equation("eq-ddim-step")
def test_eta_zero_draws_nothing_and_does_not_depend_on_the_seed() -> None:
    g = torch.Generator().manual_seed(2)
    x = torch.randn(7, 2, dtype=F64, generator=g)

    def forbidden(_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("eta = 0 must not draw noise")

    ddim.step(x, 1000, 0, x, S, noise=forbidden)
    state = torch.get_rng_state()
    ddim.step(x, 1000, 500, x, S)
    assert torch.equal(state, torch.get_rng_state())
    ddim.step(x, 1000, 500, x, S, eta=1.0)
    assert not torch.equal(state, torch.get_rng_state())

    def run(seed: int, eta: float) -> torch.Tensor:
        torch.manual_seed(seed)
        step = partial(ddim.step, eta=eta)
        return last(sample(lambda x, t: x.tanh(), x, S, S.grid(20), step))

    assert torch.equal(run(0, 0.0), run(1, 0.0))
    assert torch.equal(run(0, 1.0), run(0, 1.0))
    assert (run(0, 1.0) - run(1, 1.0)).abs().min() > 1e-3


@pytest.mark.equation("eq-ddim-euler")
@SCHEDULES
def test_it_is_an_euler_step_in_the_noise_to_signal_ratio(schedule: Schedule) -> None:
    g = torch.Generator().manual_seed(3)
    x, eps = (torch.randn(5, 3, dtype=F64, generator=g) for _ in range(2))
    for t, s in ((1000, 400), (999, 998), (500, 20), (300, 0), (0, 300), (100, 900)):
        ab_t, ab_s = schedule.alpha_bar[t].item(), schedule.alpha_bar[s].item()
        sig_t, sig_s = math.sqrt((1 - ab_t) / ab_t), math.sqrt((1 - ab_s) / ab_s)
        got = ddim.step(x, t, s, eps, schedule)[0] / math.sqrt(ab_s)
        want = x / math.sqrt(ab_t) + (sig_s - sig_t) * eps
        # Rounding is relative to the largest term, which is 1e4 at the end of the cosine.
        scale = max(1, ab_t**-0.5, ab_s**-0.5)
        assert (got - want).abs().max() < 1e-14 * scale


@pytest.mark.equation("eq-ddim-ode")
def test_it_is_the_first_order_dpm_solver_and_the_ode_in_the_limit() -> None:
    """Symbolically, in continuous time: alpha_bar(u) = exp(-B(u)) with beta = B'."""
    u, v, x, eps = sympy.symbols("u v x epsilon", real=True)
    a, a_s, b, b_s = sympy.symbols("a a_s b b_s", positive=True)  # of x_t = a x_0 + b eps
    step = a_s * (x - b * eps) / a + b_s * eps
    h = sympy.log(a_s / b_s) - sympy.log(a / b)
    assert sympy.simplify(step - (a_s / a * x - b_s * (sympy.exp(h) - 1) * eps)) == 0
    big = sympy.Function("B", positive=True)
    at = {
        a: sympy.exp(-big(u) / 2),
        a_s: sympy.exp(-big(v) / 2),
        b: sympy.sqrt(1 - sympy.exp(-big(u))),
        b_s: sympy.sqrt(1 - sympy.exp(-big(v))),
    }
    rate = step.subs(at).diff(v).subs(v, u).doit()
    score = -eps / at[b]
    assert sympy.simplify(rate + big(u).diff(u) / 2 * (x + score)) == 0
    # The code's step is the same polynomial in x and eps.
    for t, s in ((700, 300), (2, 1), (100, 101)):
        numbers = {a: S.alpha_bar[t].item() ** 0.5, a_s: S.alpha_bar[s].item() ** 0.5}
        numbers |= {b: (1 - S.alpha_bar[t].item()) ** 0.5, b_s: (1 - S.alpha_bar[s].item()) ** 0.5}
        got, _ = ddim.step(ONE * 0.3, t, s, ONE * -1.2, S)
        assert abs(got.item() - float(step.subs(numbers | {x: 0.3, eps: -1.2}))) < 1e-12


@pytest.mark.equation("eq-ddim-ode")
def test_short_steps_follow_the_probability_flow() -> None:
    """Numerically, beta(u) = 0.1 + 19.9 u: a step up less a step down, over 2 h, is the drift."""
    data, x = gaussian(0.3, 0.25), ONE * 0.8

    def level(u: float) -> float:
        return math.exp(-(0.1 * u + 19.9 * u * u / 2))

    for u in (0.1, 0.4, 0.8):
        errors = []
        for h in (1e-2, 1e-3):
            s = Schedule(torch.tensor([1, *map(level, (u - h, u, u + h))], dtype=F64))
            eps = data.eps_fn(s)(x, torch.tensor([2]))
            up, down = (ddim.step(x, 2, k, eps, s)[0] for k in (3, 1))
            score = data.diffused(level(u)).score(x)
            drift = -0.5 * (0.1 + 19.9 * u) * (x + score)
            errors.append(((up - down) / (2 * h) - drift).abs().item())
        assert errors[1] < 1e-3 and 80 < errors[0] / errors[1] < 125  # of second order


@pytest.mark.equation("eq-ddim-rotation", "eq-ddim-velocity")
@SCHEDULES
def test_it_is_a_rotation_by_the_velocity(schedule: Schedule) -> None:
    g = torch.Generator().manual_seed(4)
    x, eps = (torch.randn(5, 3, dtype=F64, generator=g) for _ in range(2))
    theta = angles(schedule)
    for t, s in ((900, 400), (500, 499), (300, 0), (0, 300), (2, 1)):
        x_s, x0 = ddim.step(x, t, s, eps, schedule)
        turn = theta[t] - theta[s]
        # v = d/dtheta (cos theta x_0 + sin theta eps), by differences
        h = 1e-5
        ends = [math.cos(theta[t] + d) * x0 + math.sin(theta[t] + d) * eps for d in (-h, h)]
        slope = (ends[1] - ends[0]) / (2 * h)
        v = math.cos(theta[t]) * eps - math.sin(theta[t]) * x0
        assert (slope - v).abs().max() < 1e-8
        assert (x_s - (math.cos(turn) * x - math.sin(turn) * v)).abs().max() < 1e-12


@pytest.mark.equation("eq-ddim-elbo")
@pytest.mark.parametrize("eta", [0.2, 0.5, 1.0])
def test_the_bound_is_a_weight_times_the_error_of_the_noise(eta: float) -> None:
    """KL(q_sigma(x_s|x_t,x_0) || q_sigma(x_s|x_t,x0_hat)), every sigma the same regression."""
    g = torch.Generator().manual_seed(5)
    for t, s in ((1000, 900), (300, 299), (2, 1)):
        (a_t, b_t), (a_s, b_s) = S.coefs(t, ONE), S.coefs(s, ONE)
        gain = ddim.step(ZERO, t, s, ONE, S, eta=eta, noise=torch.zeros_like)[0].item()
        sigma = probe(t, s, S, eta)[2]
        weight = gain**2 / (2 * sigma**2)
        closed = (math.sqrt(b_s**2 - sigma**2) - a_s * b_t / a_t) ** 2 / (2 * sigma**2)
        assert abs(weight / closed - 1) < 1e-8
        if eta == 1 and s == t - 1:  # the weight of the ancestral bound
            beta = S.beta[t].item()
            ho = beta**2 / (2 * posterior_variance(t, s, S) * (1 - beta) * b_t**2)
            assert abs(weight / ho - 1) < 1e-6
        for _ in range(3):
            x, eps, eps_hat = torch.randn(3, 1, 4, dtype=F64, generator=g)
            laws = [
                dist.Normal(
                    ddim.step(x, t, s, e, S, eta=eta, noise=torch.zeros_like)[0],
                    torch.tensor(sigma, dtype=F64),
                )
                for e in (eps, eps_hat)
            ]
            divergence = dist.kl_divergence(*laws).sum().item()
            assert abs(divergence / (weight * (eps_hat - eps).square().sum().item()) - 1) < 1e-8


MIXTURE = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    torch.tensor([[-1.0, 0.0], [0.8, 0.5]], dtype=F64),
    torch.tensor([[[0.05, 0.02], [0.02, 0.04]], [[0.04, 0.0], [0.0, 0.09]]], dtype=F64),
)


def follows(x: torch.Tensor, law: GaussianMixture, direction: torch.Tensor) -> bool:
    """Kolmogorov's test of a projection against the exact distribution function, at 0.1 %."""
    along, n = (x @ direction).sort().values, len(x)
    std = (direction @ law.covs @ direction).sqrt()
    parts = dist.Normal(law.means @ direction, std).cdf(along[:, None])
    cdf = (law.weights * parts).sum(1)
    rank = torch.arange(n + 1, dtype=F64) / n
    distance = torch.maximum(cdf - rank[:-1], rank[1:] - cdf).max().item()
    return distance < 1.95 / n**0.5


DIRECTIONS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]], dtype=F64)


@pytest.mark.equation("eq-ddim-step")
def test_both_ends_of_the_family_sample_a_mixture() -> None:
    s, n = linear_schedule(300), 4000
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, dtype=F64, generator=g)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, dtype=F64, generator=g)

    def run(steps: int, eta: float) -> list[bool]:
        step = partial(ddim.step, eta=eta, noise=noise)
        out = last(sample(MIXTURE.eps_fn(s), x, s, s.grid(steps), step))
        return [follows(out, MIXTURE, direction) for direction in DIRECTIONS]

    assert all(run(300, 0.0)) and all(run(300, 1.0))
    assert not any(run(5, 0.0)) and not any(run(5, 1.0))  # the test sees what few steps miss


@pytest.mark.equation("eq-ddim-family", "eq-ddim-marginals")
def test_a_step_has_the_law_and_not_only_its_two_moments() -> None:
    """x_0 of the mixture, the true direction: x_s must follow the diffused mixture."""
    n, t, s = 20_000, 1000, 400
    g = torch.Generator().manual_seed(1)
    x0 = MIXTURE.sample(n, g)
    x_t = q_sample(x0, t, torch.randn(n, 2, dtype=F64, generator=g), S)
    eps, law = eps_from_x0(x0, x_t, t, S), MIXTURE.diffused(S.alpha_bar[s].item())

    def gauss(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, dtype=F64, generator=g)

    def uniform(like: torch.Tensor) -> torch.Tensor:
        return (torch.rand(like.shape, dtype=F64, generator=g) * 2 - 1) * 3**0.5

    def verdict(eta: float, noise: Callable) -> list[bool]:
        x_s, _ = ddim.step(x_t, t, s, eps, S, eta=eta, noise=noise)
        return [follows(x_s, law, direction) for direction in DIRECTIONS[:2]]

    assert all(verdict(0.0, gauss) + verdict(0.5, gauss) + verdict(1.0, gauss))
    assert not any(verdict(1.0, uniform))
    torch.manual_seed(0)  # what it draws unless told otherwise
    x_s, _ = ddim.step(x_t, t, s, eps, S, eta=1.0)
    assert all(follows(x_s, law, direction) for direction in DIRECTIONS)


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

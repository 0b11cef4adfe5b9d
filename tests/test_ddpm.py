"""The reverse process. Oracles: Bayes on a grid, Gaussian algebra, quadrature, sympy."""

import math
from functools import partial

import pytest
import sympy
import torch
from torch import distributions as dist

from minidiff import ddpm
from minidiff.ddpm import large_variance, posterior, small_variance
from minidiff.forward import eps_from_score, eps_from_x0, q_sample, x0_from_eps
from minidiff.gmm import GaussianMixture
from minidiff.sampling import last, sample
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule

F64 = torch.float64
S = linear_schedule(1000)
ONE, ZERO = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)


def normal(mean: torch.Tensor | float, std: torch.Tensor | float) -> dist.Normal:
    """In float64, whatever comes in: torch.distributions takes Python floats for float32."""
    return dist.Normal(torch.as_tensor(mean, dtype=F64), torch.as_tensor(std, dtype=F64))


def gaussian(mean: float, var: float) -> GaussianMixture:
    one = torch.ones(1, dtype=F64)
    return GaussianMixture(one, mean * one.view(1, 1), var * one.view(1, 1, 1))


def coefficients(t: int, s: int, schedule: Schedule) -> tuple[float, float, float]:
    """(c_t, c_0, variance) of the posterior, read off the code by probing it."""
    c_t, var = posterior(ZERO, ONE, t, s, schedule)
    c_0, _ = posterior(ONE, ZERO, t, s, schedule)
    return c_t.item(), c_0.item(), var


PAIRS = [(1000, 999), (300, 299), (300, 120), (2, 1), (1000, 1), (500, 499), (40, 3)]


@pytest.mark.equation("eq-ddpm-posterior-mean", "eq-ddpm-posterior-var", "eq-ddpm-bayes")
@pytest.mark.parametrize(("t", "s"), PAIRS)
@pytest.mark.parametrize("schedule", [S, cosine_schedule(1000)], ids=["linear", "cosine"])
def test_posterior_is_bayes_on_a_grid(t: int, s: int, schedule: Schedule) -> None:
    """prior times likelihood, normalised by a sum: no formula of the posterior is used."""
    ab_t, ab_s = schedule.alpha_bar[t].item(), schedule.alpha_bar[s].item()
    x0, x_t = 0.7, -0.4
    prior_std, r = math.sqrt(1 - ab_s), ab_t / ab_s
    centre = math.sqrt(ab_s) * x0
    # The window follows the two factors: their product is nowhere else.
    near = x_t / math.sqrt(r) if r > 1e-6 else centre
    width = 1 / math.sqrt(1 / prior_std**2 + r / (1 - r))
    middle = width**2 * (centre / prior_std**2 + near * r / (1 - r))
    x = torch.linspace(middle - 14 * width, middle + 14 * width, 40001, dtype=F64)
    log_w = normal(centre, prior_std).log_prob(x)
    log_w = log_w + normal(math.sqrt(r) * x, math.sqrt(1 - r)).log_prob(
        torch.tensor(x_t, dtype=F64)
    )
    w = log_w.softmax(0)
    mean = (w * x).sum()
    var = (w * (x - mean) ** 2).sum()
    got, got_var = posterior(ONE * x0, ONE * x_t, t, s, schedule)
    assert abs(got.item() - mean.item()) < 1e-9
    assert abs(got_var - var.item()) < 1e-9
    third = (w * ((x - mean) / var.sqrt()) ** 3).sum().item()
    assert abs(third) < 1e-6  # it is a Gaussian, not only two moments


@pytest.mark.equation("eq-ddpm-posterior-mean", "eq-ddpm-posterior-var")
def test_posterior_golden_and_last_step() -> None:
    mean, var = posterior(ONE * 0.7, ONE * -0.4, 300, 299, S)
    assert abs(mean.item() + 0.39275553812) < 1e-11 and abs(var - 0.00603182133) < 1e-11
    mean, var = posterior(ONE * 0.7, ONE * -0.4, 300, 0, S)
    assert mean.item() == 0.7 and var == 0.0  # at s = 0 all that is left is x_0
    assert abs(small_variance(100, 99, S) / S.posterior_var[100].item() - 1) < 1e-12
    assert abs(large_variance(100, 99, S) / S.beta[100].item() - 1) < 1e-12
    assert large_variance(1, 0, S) == 0.0 and small_variance(1, 0, S) == 0.0


@pytest.mark.equation("eq-ddpm-checks")
def test_posterior_keeps_the_marginals() -> None:
    for schedule in (S, cosine_schedule(10)):
        for t, s in ((schedule.T, 1), (5, 4), (9, 2), (7, 0)):
            c_t, c_0, var = coefficients(t, s, schedule)
            ab_t, ab_s = schedule.alpha_bar[t].item(), schedule.alpha_bar[s].item()
            assert abs(c_t * ab_t**0.5 + c_0 - ab_s**0.5) < 1e-13
            assert abs(c_t**2 * (1 - ab_t) + var - (1 - ab_s)) < 1e-13


@pytest.mark.equation("eq-ddpm-mean-eps")
def test_the_mean_in_terms_of_the_noise() -> None:
    x_t, eps = ONE * 0.3, ONE * -1.2
    for t in (1, 2, 300, 1000):
        got, _ = posterior(x0_from_eps(eps, x_t, t, S), x_t, t, t - 1, S)
        beta, ab = S.beta[t].item(), S.alpha_bar[t].item()
        want = (0.3 - beta / math.sqrt(1 - ab) * -1.2) / math.sqrt(1 - beta)
        assert abs(got.item() - want) < 1e-12


@pytest.mark.equation("eq-ddpm-total")
def test_the_true_reverse_is_a_mixture_over_x0() -> None:
    """Two-point data, quadrature: q(x_{t-1}|x_t) by Bayes equals the posterior averaged over x_0,
    and is not the Gaussian that any single x_0 gives (errata A8)."""
    s = cosine_schedule(10)
    t, x_t = 3, 0.05
    x = torch.linspace(-6, 6, 24001, dtype=F64)
    step = (x[1] - x[0]).item()
    ab = s.alpha_bar
    prior = sum(
        0.5 * normal(p * ab[t - 1].sqrt(), (1 - ab[t - 1]).sqrt()).log_prob(x).exp()
        for p in (-1, 1)
    )
    like = (
        normal(s.alpha[t].sqrt() * x, s.beta[t].sqrt())
        .log_prob(torch.tensor(x_t, dtype=F64))
        .exp()
    )
    bayes = prior * like / (prior * like).sum() / step
    evidence = torch.stack(
        [
            normal(p * ab[t].sqrt(), (1 - ab[t]).sqrt()).log_prob(torch.tensor(x_t, dtype=F64))
            for p in (-1, 1)
        ]
    ).softmax(0)
    mixture = torch.zeros_like(x)
    for p, w in zip((-1.0, 1.0), evidence, strict=True):
        mean, var = posterior(ONE * p, ONE * x_t, t, t - 1, s)
        mixture += w * normal(mean.item(), var**0.5).log_prob(x).exp()
    assert (bayes - mixture).abs().max() < 1e-9
    mean = (bayes * x).sum() * step
    var = ((x - mean) ** 2 * bayes).sum() * step
    kurtosis = ((x - mean) ** 4 * bayes).sum() * step / var**2
    assert var.item() > 4 * small_variance(t, t - 1, s) and abs(kurtosis.item() - 3) > 1


@pytest.mark.equation("eq-ddpm-reverse-gauss")
def test_reverse_variance_of_gaussian_data() -> None:
    """Joint Gaussian (x_{t-1}, x_t) conditioned by its covariance matrix."""
    for c2 in (1.0, 0.25, 0.01):
        for t in (2, 100, 1000):
            v_s = (S.alpha_bar[t - 1] * c2 + 1 - S.alpha_bar[t - 1]).item()
            joint = torch.tensor([[v_s, S.alpha[t].sqrt() * v_s], [0, 0]], dtype=F64)
            joint[1] = torch.stack([joint[0, 1], S.alpha[t] * v_s + S.beta[t]])
            exact = 1 / torch.linalg.inv(joint)[0, 0].item()
            v_t = (S.alpha_bar[t] * c2 + 1 - S.alpha_bar[t]).item()
            assert abs(exact / (S.beta[t].item() * v_s / v_t) - 1) < 1e-9
            # law of total variance with the package's posterior: the same number
            _, c_0, var = coefficients(t, t - 1, S)
            left = c2 * (1 - S.alpha_bar[t].item()) / v_t  # Var(x_0 | x_t)
            assert abs((var + c_0**2 * left) / exact - 1) < 1e-9
            assert var < exact
            if c2 == 1:
                assert abs(exact / S.beta[t].item() - 1) < 1e-9


@pytest.mark.equation("eq-optimal-var")
def test_the_best_variance_adds_what_x0_leaves_open() -> None:
    """For a mixture, by quadrature: the variance that minimises E KL is the mean square error."""
    s = cosine_schedule(10)
    t = 6
    m = GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=F64),
        torch.tensor([[-2.0], [1.0]], dtype=F64),
        torch.tensor([0.2, 0.1], dtype=F64).view(2, 1, 1),
    )
    at = m.diffused(s.alpha_bar[t].item())
    x_t = torch.linspace(-7, 7, 4001, dtype=F64)[:, None]
    w = at.log_prob(x_t).softmax(0)
    x0_hat = x0_from_eps(m.eps_fn(s)(x_t, torch.full((4001,), t)), x_t, t, s)
    _, c_0, var = coefficients(t, t - 1, s)
    mean_var = (m.weights[:, None] * (m.covs[:, 0] + m.means**2)).sum().item()
    left = mean_var - (w[:, None] * x0_hat**2).sum().item()  # E Var(x_0|x_t) by total variance
    claimed = var + c_0**2 * left
    # Independently: E (x_{t-1} - model mean)^2 from the joint law of (x_{t-1}, x_t).
    before = m.diffused(s.alpha_bar[t - 1].item())
    x_s = torch.linspace(-7, 7, 4001, dtype=F64)
    joint = (
        before.log_prob(x_s[:, None]).exp()[None, :]
        * normal(s.alpha[t].sqrt() * x_s, s.beta[t].sqrt()).log_prob(x_t).exp()
    )
    mean, _ = posterior(x0_hat, x_t, t, t - 1, s)
    error = (joint * (x_s[None, :] - mean) ** 2).sum() / joint.sum()
    assert abs(error.item() - claimed) < 1e-7


def affine(t: int, s: int, schedule: Schedule, data: GaussianMixture, **kw) -> tuple[float, float]:  # noqa: ANN003
    """(scale, std) of one exact step on centred Gaussian data, read off the code by probing."""

    def one(x: torch.Tensor, z: torch.Tensor) -> float:
        eps = data.eps_fn(schedule)(x, torch.tensor([t]))
        return ddpm.step(x, t, s, eps, schedule, noise=lambda _: z, **kw)[0].item()

    return one(ONE, ZERO), one(ZERO, ONE)


@pytest.mark.equation("eq-ddpm-step", "eq-ddpm-variances", "eq-chain-variance")
@pytest.mark.parametrize(
    ("c2", "small", "large"),
    [
        (1.0, 0.991067, 0.999900),
        (0.25, 0.984501, 1.003008),
        (0.01, 0.927586, 1.015374),
        (1e-4, 0.430486, 0.704960),
    ],
)
def test_variance_of_the_whole_chain(c2: float, small: float, large: float) -> None:
    data, grid = gaussian(0.0, c2), S.grid(1000)

    def best(t: int, s: int, schedule: Schedule) -> float:
        v = [(schedule.alpha_bar[k] * c2 + 1 - schedule.alpha_bar[k]).item() for k in (s, t)]
        return (
            large_variance(t, s, schedule) * v[0] / v[1]
            if s
            else small_variance(t, s, schedule) + (c2 * (1 - schedule.alpha_bar[t].item()) / v[1])
        )

    for variance, want in ((small_variance, small), (large_variance, large), (best, 1.0)):
        var = 1.0 if want != 1.0 else (S.alpha_bar[-1] * c2 + 1 - S.alpha_bar[-1]).item()
        for t, s in zip(grid, grid[1:], strict=False):
            scale, std = affine(t, s, S, data, variance=variance)
            var = scale**2 * var + std**2
        assert abs(var / c2 - want) < (1e-6 if want != 1.0 else 1e-9)


@pytest.mark.equation("eq-ddpm-step")
def test_respaced_chain_error_falls_like_one_over_n() -> None:
    data, errors = gaussian(0.0, 0.25), {}
    for n in (50, 100, 200):
        var = 1.0
        grid = S.grid(n)
        for t, s in zip(grid, grid[1:], strict=False):
            scale, std = affine(t, s, S, data)
            var = scale**2 * var + std**2
        errors[n] = 1 - var / 0.25
    assert 1.7 < errors[50] / errors[100] < 2.3 and 1.7 < errors[100] / errors[200] < 2.3


def looks_normal(z: torch.Tensor) -> bool:
    """Mean, variance, kurtosis and the whole distribution function of standard normals."""
    z, n = z.flatten().sort().values, z.numel()
    grid = (torch.arange(n, dtype=F64) + 0.5) / n
    ks = (normal(0.0, 1.0).cdf(z) - grid).abs().max().item()
    kurtosis = (z - z.mean()).pow(4).mean() / z.var() ** 2
    small = abs(z.mean().item()) < 4 / n**0.5 and abs(z.var().item() - 1) < 4 * (2 / n) ** 0.5
    return small and abs(kurtosis.item() - 3) < 4 * (24 / n) ** 0.5 and ks < 1.95 / n**0.5


@pytest.mark.equation("eq-ddpm-step")
def test_one_step_has_the_law_and_not_only_its_two_moments() -> None:
    g = torch.Generator().manual_seed(0)
    x, eps = torch.full((200_000, 1), 0.3, dtype=F64), torch.full((200_000, 1), -0.8, dtype=F64)

    def gauss(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, dtype=like.dtype, generator=g)

    def product(like: torch.Tensor) -> torch.Tensor:  # mean 0, variance 1, kurtosis 9
        return gauss(like) * gauss(like)

    def uniform(like: torch.Tensor) -> torch.Tensor:
        return 12**0.5 * (torch.rand(like.shape, dtype=like.dtype, generator=g) - 0.5)

    for t, s in ((500, 499), (500, 200)):
        mean, var = posterior(x0_from_eps(eps, x, t, S), x, t, s, S)
        verdict = {}
        for noise in (gauss, product, uniform):
            x_s, _ = ddpm.step(x, t, s, eps, S, noise=noise)
            verdict[noise.__name__] = looks_normal((x_s - mean) / var**0.5)
        assert verdict == {"gauss": True, "product": False, "uniform": False}
    torch.manual_seed(0)
    x_s, _ = ddpm.step(x, t, s, eps, S)
    assert looks_normal((x_s - mean) / var**0.5)


def test_the_last_step_is_the_prediction_and_clipping_reaches_it() -> None:
    x, eps = torch.randn(4, 1, 3, 3), torch.randn(4, 1, 3, 3)
    for variance in (small_variance, large_variance):
        x_s, x0 = ddpm.step(x, 7, 0, eps, S, variance=variance)
        assert torch.equal(x_s, x0)
    x_s, x0 = ddpm.step(x, 900, 0, eps, S, clip=1.0)
    assert x0.abs().max() == 1 and torch.equal(x_s, x0)
    assert ddpm.step(x, 900, 0, eps, S)[1].abs().max() > 1


def test_whole_chain_samples_a_mixture() -> None:
    """Exact noise, every step: a projection of the result follows the mixture's law."""
    m = GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=F64),
        torch.tensor([[-1.0, 0.0], [0.8, 0.5]], dtype=F64),
        0.04 * torch.eye(2, dtype=F64).repeat(2, 1, 1),
    )
    s, n = linear_schedule(200), 5_000
    g = torch.Generator().manual_seed(0)
    noise = partial(torch.randn, dtype=F64, generator=g)
    x = noise(n, 2)
    x = last(
        sample(m.eps_fn(s), x, s, s.grid(200), partial(ddpm.step, noise=lambda a: noise(a.shape)))
    )
    left = (x[:, 0] < -0.1).double().mean().item()
    assert abs(left - 0.3) < 4 * (0.21 / n) ** 0.5 + 0.01
    var, grid = 1.0, s.grid(200)  # the chain narrows a mode, by exactly this much
    for t, u in zip(grid, grid[1:], strict=False):
        scale, std = affine(t, u, s, gaussian(0.0, 0.04))
        var = scale**2 * var + std**2
    right = x[x[:, 0] > -0.1]
    assert (right.mean(0) - m.means[1]).abs().max() < 0.02
    assert (right.std(0) - var**0.5).abs().max() < 4 * 0.2 / (1.4 * n) ** 0.5
    z = ((right[:, 1] - right[:, 1].mean()) / right[:, 1].std()).sort().values
    cdf = normal(0.0, 1.0).cdf(z)
    assert (cdf - (torch.arange(len(z)) + 0.5) / len(z)).abs().max() < 1.95 / len(z) ** 0.5


@pytest.mark.equation("eq-elbo", "eq-kl-terms")
@pytest.mark.parametrize(("c2", "gap"), [(1.0, 0.0), (0.3, 0.0054939245)])
def test_the_bound_is_tight_for_gaussian_data(c2: float, gap: float) -> None:
    """Exact Gaussian reverse kernels: the terms must add up to the entropy of the data, plus the
    divergence of q(x_T) from N(0, I) where the prior is not exact."""
    s = Schedule.from_betas(torch.linspace(0.05, 0.4, 6, dtype=F64))
    v = [(a * c2 + 1 - a) for a in s.alpha_bar.tolist()]
    total = 0.0
    for t in range(1, 7):
        gain = math.sqrt(s.alpha[t].item()) * v[t - 1] / v[t]  # E[x_{t-1} | x_t] = gain x_t
        var_p = s.beta[t].item() * v[t - 1] / v[t]
        if t == 1:  # -E log p(x_0 | x_1)
            total += 0.5 * math.log(2 * math.pi * var_p) + 0.5
            continue
        c_t, c_0, var_q = coefficients(t, t - 1, s)
        cov = math.sqrt(s.alpha_bar[t].item()) * c2
        square = (c_t - gain) ** 2 * v[t] + c_0**2 * c2 + 2 * (c_t - gain) * c_0 * cov
        total += 0.5 * (math.log(var_p / var_q) + (var_q + square) / var_p - 1)
    prior = normal(0.0, 1.0)
    a = s.alpha_bar[6].item()
    total += 0.5 * (a * c2 + (1 - a) - 1 - math.log(1 - a))  # E KL(q(x_T|x_0) || N(0, 1))
    entropy = normal(0.0, math.sqrt(c2)).entropy().item()
    exact = normal(0.0, math.sqrt(v[6]))
    assert abs(total - entropy - gap) < 1e-8
    assert abs(total - entropy - dist.kl_divergence(exact, prior).item()) < 1e-12
    if c2 == 1:
        assert abs(total - 1.41893853320) < 1e-10


@pytest.mark.equation("eq-kl-gauss")
def test_divergence_of_two_gaussians_of_known_variance() -> None:
    t, mean_p, var_p = 300, 0.1, 0.02
    mean_q, var_q = posterior(ONE * 0.7, ONE * -0.4, t, t - 1, S)
    x = torch.linspace(-3, 3, 60001, dtype=F64)
    q, p = normal(mean_q.item(), var_q**0.5), normal(mean_p, var_p**0.5)
    grid = ((q.log_prob(x) - p.log_prob(x)) * q.log_prob(x).exp()).sum() * (x[1] - x[0])
    constant = 0.5 * (math.log(var_p / var_q) + var_q / var_p - 1)
    assert abs(grid.item() - ((mean_q.item() - mean_p) ** 2 / (2 * var_p) + constant)) < 1e-6
    assert constant > 0


@pytest.mark.equation("eq-kl-eps", "eq-weights", "eq-kl-x0")
def test_weights_of_the_bound() -> None:
    """Symbolically: the squared difference of two means, over 2 sigma^2, is a weight times the
    squared difference of the noises, or of the x_0; numerically: the code's means obey it."""
    a, p, x, e1, e2 = sympy.symbols("a p x e1 e2", positive=True)  # a = ab_t, p = ab_{t-1}
    beta = 1 - a / p
    x0 = [(x - sympy.sqrt(1 - a) * e) / sympy.sqrt(a) for e in (e1, e2)]
    mean = [
        sympy.sqrt(a / p) * (1 - p) / (1 - a) * x + sympy.sqrt(p) * beta / (1 - a) * y for y in x0
    ]
    var = (1 - p) / (1 - a) * beta
    square = (mean[0] - mean[1]) ** 2 / (2 * var)
    w_eps = beta**2 / (2 * var * (a / p) * (1 - a))
    assert sympy.simplify(square - w_eps * (e1 - e2) ** 2) == 0
    w_x0 = (p / (1 - p) - a / (1 - a)) / 2
    assert sympy.simplify(square - w_x0 * (x0[0] - x0[1]) ** 2) == 0
    for t in (2, 300, 1000):
        eps = (ONE * 0.5, ONE * -0.25)
        means = [posterior(x0_from_eps(e, ONE, t, S), ONE, t, t - 1, S)[0].item() for e in eps]
        got = (means[0] - means[1]) ** 2 / (2 * small_variance(t, t - 1, S))
        at = {a: S.alpha_bar[t].item(), p: S.alpha_bar[t - 1].item()}
        assert abs(got / (float(w_eps.subs(at)) * 0.75**2) - 1) < 1e-8
        assert abs((S.snr[t - 1] - S.snr[t]).item() / 2 / float(w_x0.subs(at)) - 1) < 1e-8


@pytest.mark.equation("eq-simple-loss", "eq-loss-floor")
def test_the_loss_at_its_optimum_is_not_zero() -> None:
    data, n = gaussian(0.0, 1.0), 200_000
    g = torch.Generator().manual_seed(0)
    x0 = data.sample(n, g)
    t = torch.randint(1, 1001, (n,), generator=g)

    def noise(x: torch.Tensor) -> torch.Tensor:
        return torch.randn(x.shape, dtype=F64, generator=g)

    best = ddpm.loss(data.eps_fn(S), x0, S, t=t, noise=noise)
    assert best.shape == (n,)
    assert abs(best.mean().item() - 0.27551323) < 4 * (best.std() / n**0.5).item()
    nothing = ddpm.loss(lambda x, t: torch.zeros_like(x), x0, S, t=t, noise=noise)
    assert abs(nothing.mean().item() - 1) < 4 * (2 / n) ** 0.5
    # At one time, for another variance: ab c^2 / (ab c^2 + 1 - ab), by quadrature over x_t.
    c2, time = 0.25, 300
    ab, narrow = S.alpha_bar[time].item(), gaussian(0.0, 0.25)
    v = ab * c2 + 1 - ab
    x = torch.linspace(-8, 8, 20001, dtype=F64)[:, None] * v**0.5
    w = narrow.diffused(ab).log_prob(x).softmax(0)
    hat = narrow.eps_fn(S)(x, torch.full((20001,), time))
    floor = 1 - (w[:, None] * hat**2).sum().item()  # E eps^2 - E eps_hat^2
    assert abs(floor - ab * c2 / v) < 1e-9


@pytest.mark.equation("eq-weights", "eq-simple-loss")
def test_a_weight_makes_it_the_regression_of_v_or_x0_or_the_score() -> None:
    g = torch.Generator().manual_seed(0)
    x0 = torch.rand(64, 1, 4, 4, dtype=F64, generator=g) * 2 - 1
    eps = torch.randn(x0.shape, dtype=F64, generator=g)
    t = torch.randint(1, 1001, (64,), generator=g)
    a, b = S.coefs(t, x0)
    v, hat = a * eps - b * x0, torch.randn(x0.shape, dtype=F64, generator=g)
    v_loss = (hat - v).square().mean((1, 2, 3))
    kw = {"t": t, "noise": lambda _: eps}
    got = ddpm.loss(lambda x, t: b * x + a * hat, x0, S, weight=1 / S.alpha_bar, **kw)
    assert (got / v_loss - 1).abs().max() < 1e-9
    score_loss = (hat + eps / b).square().mean((1, 2, 3))
    weight = 1 / (1 - S.alpha_bar)
    got = ddpm.loss(lambda x, t: eps_from_score(hat, x, t, S), x0, S, weight=weight, **kw)
    assert (got / score_loss - 1).abs().max() < 1e-9
    x0_loss = (hat - x0).square().mean((1, 2, 3))
    weight = (1 - S.alpha_bar) / S.alpha_bar
    got = ddpm.loss(lambda x, t: eps_from_x0(hat, x, t, S), x0, S, weight=weight, **kw)
    assert (got / x0_loss - 1).abs().max() < 1e-9


def test_the_loss_has_the_precision_of_the_data() -> None:
    x0, t = torch.zeros(2, 3), torch.tensor([1, 2])
    for weight in (None, 1 / S.alpha_bar):
        assert ddpm.loss(lambda x, t: x, x0, S, weight=weight, t=t).dtype == torch.float32


def test_times_and_noise_are_drawn_where_not_given() -> None:
    torch.manual_seed(0)
    seen = []

    def spy(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    short = cosine_schedule(5)
    value = ddpm.loss(spy, torch.zeros(5000, 3), short)
    counts = torch.bincount(seen[0], minlength=6)
    assert counts[0] == 0 and len(counts) == 6
    assert ((counts[1:] - 1000).abs() < 4 * 800**0.5).all()
    assert abs(value.mean().item() - 1) < 4 * (2 / 15000) ** 0.5
    assert ddpm.loss(spy, torch.zeros(1, 3), short).shape == (1,)
    ddpm.loss(spy, torch.zeros(2, 3, device="meta"), short, t=torch.tensor([1, 2]))


X = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ddpm.step(X, 5, 5, X, S), ValueError, "s: expected s < t where noise is added"),
        (lambda: ddpm.step(X, 5, 6, X, S), ValueError, "s: expected s < t"),
        (lambda: ddpm.step(X, 5, -1, X, S), ValueError, "s: expected an int >= 0, got -1"),
        (lambda: ddpm.step(X, 0, 0, X, S), ValueError, "t: expected an int in 1..1000, got 0"),
        (lambda: ddpm.step(X, 1001, 0, X, S), ValueError, "t: .*got 1001"),
        (
            lambda: ddpm.step(X, 5.0, 0, X, S),
            TypeError,
            "t: expected an int or an int64 tensor.*got 5.0",
        ),
        (lambda: ddpm.step(X, 5, 4, torch.zeros(2, 1), S), ValueError, "eps: expected the shape"),
        (lambda: ddpm.step(X, 5, 4, X, S, clip=-1.0), ValueError, "clip: expected a number >= 0"),
        (lambda: ddpm.step(X, 5, 4, X, S, clip="x"), TypeError, "clip: expected a number, got"),
        (lambda: ddpm.step(X, 5, 4, X, S, variance=lambda *_: -1.0), ValueError, r"^variance\(t"),
        (lambda: ddpm.step(X, 5, 4, X, S, noise=lambda x: x[:1]), ValueError, "the shape of x, "),
        (lambda: ddpm.step(X, 5, 4, X, S, noise=lambda x: x.double()), TypeError, r"^noise\(x\)"),
        (lambda: ddpm.step(X, 5, 4, X.double(), S), TypeError, "eps: expected the dtype of x_t"),
        (lambda: ddpm.step(X.long(), 5, 4, X, S), TypeError, "x_t: expected a floating-point"),
        (lambda: posterior(X, X, 5, 5, S), ValueError, "s: expected s < t"),
        (lambda: posterior(X[:1], X, 5, 4, S), ValueError, "x0: expected the shape of x_t"),
        (lambda: posterior(X, X.long(), 5, 4, S), TypeError, "^x_t: expected a floating-point"),
        (lambda: small_variance(3, 7, S), ValueError, "s: expected s < t"),
        (lambda: large_variance(3, 3, S), ValueError, "s: expected s < t"),
        (lambda: ddpm.loss(lambda x, t: x, X.long(), S), TypeError, "x0: expected a floating"),
        (
            lambda: ddpm.loss(lambda x, t: x[:, :1], X, S),
            ValueError,
            r"x_t, t\): .* shape of x0, ",
        ),
        (
            lambda: ddpm.loss(lambda x, t: x, X, S, weight=torch.ones(1001).long()),
            TypeError,
            "^weight: expected a floating-point tensor",
        ),
        (
            lambda: ddpm.loss(lambda x, t: x, X, S, weight=torch.ones(1000)),
            ValueError,
            r"weight: .* schedule.alpha_bar, \(1001,\), got a tensor of shape \(1000,\)",
        ),
        (
            lambda: ddpm.loss(lambda x, t: x, X, S, t=torch.tensor([0, 1])),
            ValueError,
            "t: expected entries in 1..1000, got 0..1",
        ),
        (lambda: ddpm.loss(lambda x, t: x, X, S, t=3), TypeError, "t: expected an int64 tensor"),
        (
            lambda: ddpm.loss(lambda x, t: x, X, S, t=torch.tensor([1])),
            ValueError,
            "t: expected one entry for each of the batch",
        ),
    ],
)
def test_bad_input(call, error, words) -> None:  # noqa: ANN001
    with pytest.raises(error, match=words):
        call()


def test_large_variance_is_finite_on_every_grid() -> None:
    x = torch.randn(2, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    s = linear_schedule(200)
    m = gaussian(0.0, 0.25)
    m = GaussianMixture(m.weights, torch.zeros(1, 2), 0.25 * torch.eye(2).view(1, 2, 2))
    for n in (1, 7, 50, 200):
        step = partial(ddpm.step, variance=large_variance)
        assert last(sample(m.eps_fn(s), x, s, s.grid(n), step)).isfinite().all()
    assert q_sample(x, 3, x, s).isfinite().all()

"""The exact mixture. Oracles: torch.distributions under autograd, quadrature, mpmath."""

import math

import mpmath
import pytest
import torch
from torch import distributions as dist

from minidiff.forward import q_sample, x0_from_eps
from minidiff.gmm import GaussianMixture
from minidiff.schedule import Schedule, linear_schedule

F64 = torch.float64
S = linear_schedule(1000)


def mixture(k: int = 3, d: int = 2, seed: int = 0) -> GaussianMixture:
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(k, d, d, dtype=F64, generator=g)
    w = torch.rand(k, dtype=F64, generator=g) + 0.1
    means = 3 * torch.randn(k, d, dtype=F64, generator=g)
    return GaussianMixture(w / w.sum(), means, 0.3 * a @ a.mT + 0.1 * torch.eye(d, dtype=F64))


def reference(m: GaussianMixture, alpha_bar: float = 1.0) -> dist.Distribution:
    """The same law, written with another library's parts."""
    eye = torch.eye(m.means.shape[1], dtype=F64)
    cov = alpha_bar * m.covs + (1 - alpha_bar) * eye
    parts = dist.MultivariateNormal(alpha_bar**0.5 * m.means, covariance_matrix=cov)
    return dist.MixtureSameFamily(dist.Categorical(m.weights), parts)


@pytest.mark.equation("eq-gmm-score")
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 2), (5, 4)])
def test_density_and_score_agree_with_autograd(k: int, d: int) -> None:
    m = mixture(k, d)
    x = (
        4 * torch.randn(50, d, dtype=F64, generator=torch.Generator().manual_seed(1))
    ).requires_grad_()
    log_p = reference(m).log_prob(x)
    (score,) = torch.autograd.grad(log_p.sum(), x)
    assert (m.log_prob(x.detach()) - log_p).abs().max() < 1e-10
    assert (m.score(x.detach()) - score).abs().max() < 1e-10


@pytest.mark.equation("eq-gmm-diffused", "eq-gmm-eps", "eq-score-eps")
def test_noise_prediction_honours_a_time_for_every_sample() -> None:
    m = mixture()
    t = torch.tensor([0, 1, 10, 250, 500, 1000])
    x = torch.randn(6, 2, dtype=F64, generator=torch.Generator().manual_seed(2))
    got = m.eps_fn(S)(x, t)
    for i, time in enumerate(t.tolist()):
        ab = S.alpha_bar[time].item()
        row = x[i : i + 1].clone().requires_grad_()
        (score,) = torch.autograd.grad(reference(m, ab).log_prob(row).sum(), row)
        assert (got[i] + (1 - ab) ** 0.5 * score[0]).abs().max() < 1e-10
        assert (m.diffused(ab).score(x[i : i + 1]) - score).abs().max() < 1e-10
    assert (got[0] == 0).all()
    single = m.eps_fn(S)(x.float(), t)
    assert single.dtype == torch.float32 and (single - got).abs().max() < 1e-4


@pytest.mark.equation("eq-gmm-diffused")
def test_diffused_is_the_law_of_q_sample() -> None:
    """Moments of every order at once: the characteristic function, by the definition of x_t."""
    m, ab = mixture(), 0.37
    w = torch.tensor([[0.3, -0.7], [1.1, 0.4], [-0.2, 0.9]], dtype=F64)

    def characteristic(g: GaussianMixture, at: torch.Tensor) -> torch.Tensor:
        phase = torch.polar(torch.ones(len(at), len(g.weights), dtype=F64), at @ g.means.T)
        decay = torch.exp(-0.5 * torch.einsum("nd,kde,ne->nk", at, g.covs, at))
        return (g.weights * decay * phase).sum(1)

    noise = torch.exp(-0.5 * (1 - ab) * w.square().sum(1))
    want = characteristic(m, ab**0.5 * w) * noise  # independent x_0 and eps: a product
    assert (characteristic(m.diffused(ab), w) - want).abs().max() < 1e-14
    assert torch.equal(m.diffused(1.0).means, m.means) and (m.diffused(0.0).means == 0).all()


@pytest.mark.equation("eq-score-eps", "eq-gmm-eps", "eq-x0-from-eps", "eq-tweedie")
def test_tweedie_against_quadrature() -> None:
    s = Schedule(torch.tensor([1, 0.37], dtype=F64))
    w, mu = torch.tensor([0.3, 0.7], dtype=F64), torch.tensor([[-2.0], [1.0]], dtype=F64)
    m = GaussianMixture(w, mu, torch.tensor([0.25, 0.09], dtype=F64).view(2, 1, 1))
    x_t = torch.tensor([[0.4]], dtype=F64)
    got = x0_from_eps(m.eps_fn(s)(x_t, torch.tensor([1])), x_t, 1, s).item()
    x0 = torch.linspace(-8, 8, 20001, dtype=F64)
    weight = reference(m).log_prob(x0[:, None]).exp()
    weight = weight * torch.exp(-0.5 * (0.4 - 0.37**0.5 * x0) ** 2 / 0.63)
    assert abs(got - (weight * x0).sum().item() / weight.sum().item()) < 1e-9
    assert abs(got - 0.8109882) < 1e-7


def slope(m: dist.Distribution, x: torch.Tensor) -> torch.Tensor:
    """The score, by autograd."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(m.log_prob(x).sum(), x)[0]


@pytest.mark.equation("eq-score", "eq-gmm-score")
def test_scores_agree_with_finite_differences() -> None:
    """Of the log density, for a Gaussian, a mixture, and a mixture under noise of both kinds."""
    x = 2 * torch.randn(8, 3, dtype=F64, generator=torch.Generator().manual_seed(3))
    s = Schedule(torch.tensor([1, 0.37, 1e-12], dtype=F64))
    for m in (mixture(1, 3), mixture(4, 3)):
        eps_fn, score_fn = m.eps_fn(s), m.score_fn()
        predicted = -eps_fn(x, torch.full((8,), 1)) / 0.63**0.5
        for law, got in [
            (reference(m), m.score(x)),
            (reference(m, 0.37), predicted),
            (reference(m.noised(1.7)), score_fn(x, torch.full((8,), 1.7, dtype=F64))),
        ]:
            for i, e in enumerate(1e-5 * torch.eye(3, dtype=F64)):
                rise = (law.log_prob(x + e) - law.log_prob(x - e)) / 2e-5
                assert (got[:, i] - rise).abs().max() < 1e-7
        assert (m.diffused(1.0).score(x) - m.score(x)).abs().max() < 1e-12
        assert (m.diffused(0.0).score(x) + x).abs().max() < 1e-12
        assert (eps_fn(x, torch.full((8,), 2)) - x).abs().max() < 1e-4  # all noise: score is -x
    one = mixture(1, 3)
    want = torch.linalg.solve(one.covs[0], (one.means[0] - x).T).T
    assert (one.score(x) - want).abs().max() < 1e-12


# Two humps in 1-D, for quadrature over the clean data x_0.
W1, MU1, VAR1 = (torch.tensor(a, dtype=F64) for a in ([0.3, 0.7], [-2.0, 1.0], [0.25, 0.09]))
HUMPS = GaussianMixture(W1, MU1.view(2, 1), VAR1.view(2, 1, 1))
X0 = torch.linspace(-8, 8, 20001, dtype=F64)
P0 = (W1 * dist.Normal(MU1, VAR1.sqrt()).log_prob(X0[:, None]).exp()).sum(1) * (16 / 20000)


def joint(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """p(x_0) N(x; x_0, sigma^2) on the grid of x_0, for every x: (B, 20001)."""
    std = torch.tensor(sigma, dtype=F64)
    return P0 * dist.Normal(X0, std).log_prob(x.view(-1, 1)).exp()


@pytest.mark.equation("eq-gmm-noised")
@pytest.mark.parametrize("sigma", [0.05, 0.8, 6.0])
def test_noised_is_the_convolution_with_the_noise(sigma: float) -> None:
    x = torch.tensor([-2.2, -0.3, 0.4, 1.5], dtype=F64).view(4, 1)
    q = joint(x, sigma)
    density = q.sum(1)
    assert (HUMPS.noised(sigma).log_prob(x) - density.log()).abs().max() < 1e-10
    want = (q * (X0 - x)).sum(1) / (sigma**2 * density)  # the derivative under the integral
    assert (HUMPS.noised(sigma).score(x)[:, 0] - want).abs().max() < 1e-9
    got = HUMPS.score_fn()(x, torch.full((4,), sigma, dtype=F64))
    assert (got[:, 0] - want).abs().max() < 1e-9
    assert torch.equal(HUMPS.noised(0.0).covs, HUMPS.covs)


@pytest.mark.equation("eq-gmm-noised", "eq-score-eps")
def test_score_honours_a_sigma_for_every_sample() -> None:
    m = mixture(4, 3)
    g = torch.Generator().manual_seed(4)
    sigma = torch.tensor([1e-3, 0.1, 1, 5, 40, 200], dtype=F64)
    x = 3 * torch.randn(6, 3, dtype=F64, generator=g)
    got = m.score_fn()(x, sigma)
    for i, level in enumerate(sigma.tolist()):
        row = x[i : i + 1]
        cov = m.covs + level**2 * torch.eye(3, dtype=F64)
        parts = dist.MultivariateNormal(m.means, covariance_matrix=cov)
        want = slope(dist.MixtureSameFamily(dist.Categorical(m.weights), parts), row)
        assert (got[i] - want).abs().max() < 1e-10
        assert (m.noised(level).score(row) - want).abs().max() < 1e-10
    # It is the noise prediction of the x_t that the same x is, but for scale.
    t = torch.tensor([1, 10, 100, 300, 600, 1000])
    ab = S.alpha_bar[t]
    x_t = torch.randn(6, 3, dtype=F64, generator=g)
    std = ((1 - ab) / ab).sqrt()
    score = m.score_fn()(x_t / ab.sqrt()[:, None], std)
    assert (m.eps_fn(S)(x_t, t) + std[:, None] * score).abs().max() < 1e-10
    single = m.score_fn()(x.float(), sigma.float())
    assert single.dtype == torch.float32
    assert ((single - got).abs() < 1e-4 * (1 + got.abs())).all()


@pytest.mark.equation("eq-tweedie", "eq-tweedie-cov", "eq-gmm-posterior")
def test_posterior_against_quadrature() -> None:
    ab, x_t = 0.37, 0.4
    sigma = ((1 - ab) / ab) ** 0.5
    for at, level in [(x_t / ab**0.5, sigma), (-1.1, 0.2), (7.0, 3.0), (0.3, 1.0)]:
        x = torch.tensor([[at]], dtype=F64)
        q = joint(x, level)[0]
        mean = (q @ X0 / q.sum()).item()
        var = (q @ (X0 - mean).square() / q.sum()).item()
        got, cov = HUMPS.posterior(x, level)
        assert got.shape == (1, 1) and cov.shape == (1, 1, 1)
        assert abs(got.item() - mean) < 1e-9 and abs(cov.item() - var) < 1e-9
    got, cov = HUMPS.posterior(torch.tensor([[x_t / ab**0.5]], dtype=F64), sigma)
    assert abs(got.item() - 0.8109882) < 1e-7 and abs(cov.item() - 0.5186253) < 1e-7


@pytest.mark.equation("eq-tweedie", "eq-tweedie-cov")
@pytest.mark.parametrize("sigma", [0.3, 1.0, 8.0])
def test_posterior_is_tweedie_by_autograd(sigma: float) -> None:
    """Mean x + sigma^2 grad log q, covariance sigma^2 (I + sigma^2 Hessian of log q)."""
    m, eye = mixture(3, 2), torch.eye(2, dtype=F64)
    cov = m.covs + sigma**2 * eye
    parts = dist.MultivariateNormal(m.means, covariance_matrix=cov)
    q = dist.MixtureSameFamily(dist.Categorical(m.weights), parts)
    x = 3 * torch.randn(12, 2, dtype=F64, generator=torch.Generator().manual_seed(6))
    mean, spread = m.posterior(x, sigma)
    assert (mean - x - sigma**2 * slope(q, x)).abs().max() < 1e-9
    for i in range(12):
        hessian = torch.autograd.functional.hessian(lambda x: q.log_prob(x[None])[0], x[i])
        assert (spread[i] - sigma**2 * (eye + sigma**2 * hessian)).abs().max() < 1e-9
    assert (spread - spread.mT).abs().max() < 1e-12
    assert torch.linalg.eigvalsh(spread).min() > 0
    single, _ = m.posterior(x.float(), sigma)
    assert single.dtype == torch.float32 and (single - mean).abs().max() < 1e-4


@pytest.mark.equation("eq-gmm-posterior")
def test_posterior_far_from_the_modes() -> None:
    """Only the component whose noised law is the widest is left: Bayes' rule of two Gaussians."""
    for far in (-1e3, 1e4, 1e6):
        mean, cov = HUMPS.posterior(torch.tensor([[far]], dtype=F64), 0.7)
        gain = 0.25 / (0.25 + 0.49)
        assert math.isclose(mean.item(), -2 + gain * (far + 2), rel_tol=1e-9)
        assert math.isclose(cov.item(), 0.49 * gain, rel_tol=1e-6)
    for x in (torch.tensor([[1e6, -1e6]]), torch.tensor([[1e100, 1e100]], dtype=F64)):
        assert all(a.isfinite().all() for a in mixture().posterior(x, 0.5))


@pytest.mark.equation("eq-gmm-posterior", "eq-finite-data")
def test_posterior_and_score_of_a_finite_data_set() -> None:
    g = torch.Generator().manual_seed(0)
    data, n = torch.randn(6, 2, dtype=F64, generator=g), 5
    m = GaussianMixture(torch.full((6,), 1 / 6, dtype=F64), data, torch.zeros(6, 2, 2, dtype=F64))
    x = torch.randn(n, 2, dtype=F64, generator=g)
    for sigma in (0.1, 1.0, 30.0):
        mean, cov = m.posterior(x, sigma)
        score = m.score_fn()(x, torch.full((n,), sigma, dtype=F64))
        for i in range(n):
            r = (-0.5 * (x[i] - data).square().sum(1) / sigma**2).softmax(0)
            want = (r[:, None] * data).sum(0)
            assert (mean[i] - want).abs().max() < 1e-9
            spread = torch.cov(data.T, correction=0, aweights=r)
            assert (cov[i] - spread).abs().max() < 1e-9
            assert (score[i] - (want - x[i]) / sigma**2).abs().max() < 1e-9


@pytest.mark.equation("eq-finite-data")
def test_zero_covariance_is_the_exact_denoiser_of_a_data_set() -> None:
    g = torch.Generator().manual_seed(0)
    data = torch.randn(6, 2, dtype=F64, generator=g)
    m = GaussianMixture(torch.full((6,), 1 / 6, dtype=F64), data, torch.zeros(6, 2, 2, dtype=F64))
    x = torch.randn(5, 2, dtype=F64, generator=g)
    for t in (1, 50, 400, 1000):
        ab = S.alpha_bar[t].item()
        logits = -0.5 * torch.cdist(x, ab**0.5 * data).square() / (1 - ab)
        want = torch.stack([(row.softmax(0)[:, None] * data).sum(0) for row in logits])
        got = x0_from_eps(m.eps_fn(S)(x, torch.full((5,), t)), x, t, S)
        assert (got - want).abs().max() < 1e-9
    assert all((row == data).all(1).any() for row in m.sample(20, g))
    with pytest.raises(ValueError, match="singular"):
        m.eps_fn(S)(x, torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match="singular"):
        m.log_prob(x)


@pytest.mark.equation("eq-gmm-score")
def test_far_from_the_modes_against_mpmath() -> None:
    m = mixture(2, 1)
    for far in (-1e3, 1e3, 1e6):
        x = torch.tensor([[far]], dtype=F64)
        with mpmath.workdps(60):
            density = mpmath.mpf(0)
            slope = mpmath.mpf(0)
            for w, mu, c in zip(
                m.weights.tolist(),
                m.means.flatten().tolist(),
                m.covs.flatten().tolist(),
                strict=True,
            ):
                term = w * mpmath.npdf(far, mu, mpmath.sqrt(c))
                density, slope = density + term, slope + term * (mu - mpmath.mpf(far)) / c
            log_p, score = float(mpmath.log(density)), float(slope / density)
        assert math.isclose(m.log_prob(x).item(), log_p, rel_tol=1e-12)
        assert math.isclose(m.score(x).item(), score, rel_tol=1e-12)
    single = m.score(torch.tensor([[1e6]]))
    assert single.isfinite().all() and m.log_prob(torch.tensor([[-1e6]])).isfinite().all()


def test_rank_deficient_covariances_are_legal() -> None:
    """Their zero eigenvalues come out of the decomposition as about -1e-16 of their scale."""
    v = 1e3 * torch.randn(9, 6, dtype=F64, generator=torch.Generator().manual_seed(5))
    m = GaussianMixture(torch.full((9,), 1 / 9), torch.zeros(9, 6), v[:, :, None] * v[:, None])
    assert torch.linalg.eigvalsh(m.covs).min() < 0
    x = m.sample(50, torch.Generator().manual_seed(0))
    assert torch.linalg.matrix_rank(x[:2]).item() <= 2
    assert m.eps_fn(S)(x, torch.full((50,), 3)).isfinite().all()


def test_each_covariance_is_judged_by_its_own_scale() -> None:
    """What is rounding for a wide component would be a fault of a narrow one."""
    wide = 1e12 * torch.tensor([[1.0, 0.5], [0.5 + 1e-12, 1.0]], dtype=F64)
    GaussianMixture(W, M, torch.stack([wide, torch.eye(2, dtype=F64)]))
    with pytest.raises(ValueError, match="covs: expected symmetric"):
        GaussianMixture(W, M, torch.stack([wide / 1e12 + wide.triu(1) / 1e20, wide]))


def test_single_precision_is_taken_for_double() -> None:
    m = GaussianMixture(W, M, C)
    assert m.weights.dtype == m.means.dtype == m.covs.dtype == F64


def test_samples_follow_the_law() -> None:
    m, n = mixture(3, 3), 200_000  # in 2-D eigenvectors may form a symmetric matrix by chance
    x = m.sample(n, torch.Generator().manual_seed(0))
    mean = m.weights @ m.means
    second = (m.weights[:, None, None] * (m.covs + m.means[:, :, None] * m.means[:, None])).sum(0)
    cov = second - mean[:, None] * mean
    assert x.shape == (n, 3) and x.dtype == F64
    assert ((x.mean(0) - mean).abs() < 4 * (cov.diag() / n).sqrt()).all()
    assert ((x.T.cov() - cov).abs() < 0.02 * cov.diag().max()).all()
    # Beyond two moments: the probability integral transform of a projection must be uniform.
    line = torch.tensor([0.48, 0.64, 0.6], dtype=F64)
    std = torch.einsum("d,kde,e->k", line, m.covs, line).sqrt()
    z = ((x @ line)[:, None] - m.means @ line) / std
    u = (m.weights * dist.Normal(0.0, 1.0).cdf(z)).sum(1).sort().values
    ks = (u - (torch.arange(n) + 0.5) / n).abs().max().item()
    assert ks < 1.95 / n**0.5
    again = m.sample(5, torch.Generator().manual_seed(7))
    assert torch.equal(again, m.sample(5, torch.Generator().manual_seed(7)))


def test_samples_are_drawn_with_all_the_digits_of_float64() -> None:
    x = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1)).sample(20)
    assert (x != x.float()).any()


def test_q_sample_of_samples_has_the_diffused_law() -> None:
    m, n, t = mixture(), 200_000, 200
    g = torch.Generator().manual_seed(3)
    x0 = m.sample(n, g)
    x_t = q_sample(x0, t, torch.randn(n, 2, dtype=F64, generator=g), S)
    at = m.diffused(S.alpha_bar[t].item())
    w = torch.tensor([0.8, -0.5], dtype=F64)
    phase = (x_t @ w).cos().mean().item()
    want = (
        (
            at.weights
            * torch.exp(-0.5 * torch.einsum("d,kde,e->k", w, at.covs, w))
            * (at.means @ w).cos()
        )
        .sum()
        .item()
    )
    assert abs(phase - want) < 4 / n**0.5


def scored(x: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
    return GaussianMixture(W, M, C).score_fn()(x, sigma)


@pytest.mark.parametrize(("dtype", "sigma"), [(torch.float32, 1e4), (F64, 1e8)])
def test_posterior_keeps_its_digits_under_much_noise(dtype: torch.dtype, sigma: float) -> None:
    m = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1))
    mean, cov = m.posterior(torch.tensor([[sigma]], dtype=dtype), sigma)
    assert mean.dtype == dtype and math.isclose(mean.item(), 1 / sigma, rel_tol=1e-6)
    assert math.isclose(cov.item(), 1, rel_tol=1e-6)  # the prior's: x says nothing


W, M, C = torch.tensor([0.5, 0.5]), torch.zeros(2, 2), torch.eye(2).repeat(2, 1, 1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: GaussianMixture([0.5], M, C), TypeError, "weights: expected a floating-point"),
        (lambda: GaussianMixture(W, M.long(), C), TypeError, "means: expected a floating-point"),
        (lambda: GaussianMixture(W, M, C.long()), TypeError, "^covs: expected a floating-point"),
        (lambda: GaussianMixture(W, torch.zeros(3, 2), C), ValueError, "means: expected shape"),
        (lambda: GaussianMixture(W, torch.zeros(2), C), ValueError, "means: expected shape"),
        (lambda: GaussianMixture(W[None], M, C), ValueError, "means: expected shape"),
        (lambda: GaussianMixture(W, M, torch.eye(2)), ValueError, "covs: expected shape"),
        (lambda: GaussianMixture(W * 1.1, M, C), ValueError, "weights: expected positive"),
        (lambda: GaussianMixture(torch.tensor([1.5, -0.5]), M, C), ValueError, "weights: exp"),
        (lambda: GaussianMixture(torch.tensor([1.0, 0.0]), M, C), ValueError, "weights: exp"),
        (lambda: GaussianMixture(W, M, -C), ValueError, "covs: expected symmetric positive"),
        (
            lambda: GaussianMixture(W, M[:, :1], torch.tensor([1e12, -1.0]).view(2, 1, 1)),
            ValueError,
            "covs: expected symmetric positive",
        ),
        (lambda: GaussianMixture(W, M / 0, C), ValueError, "means: expected finite entries"),
        (lambda: GaussianMixture(W, M, C * math.inf), ValueError, "covs: expected finite entr"),
        (lambda: GaussianMixture(W, M[:, :0], C[:, :0, :0]), ValueError, "means: expected at l"),
        (
            lambda: GaussianMixture(W, M, C).eps_fn(S)(torch.zeros(2, 2), torch.tensor([1])),
            ValueError,
            "t: expected one entry for each of the batch",
        ),
        (
            lambda: GaussianMixture(W, M, C).eps_fn(S)(torch.zeros(2, 2), 1),
            TypeError,
            r"t: expected an int64 tensor of shape \(B,\), got 1",
        ),
        (
            lambda: GaussianMixture(W, M, torch.tensor([[1.0, 0.5], [0.0, 1.0]]).repeat(2, 1, 1)),
            ValueError,
            "covs: expected symmetric positive",
        ),
        (lambda: GaussianMixture(W, M, C).diffused(1.5), ValueError, "alpha_bar: expected a num"),
        (lambda: GaussianMixture(W, M, C).diffused(-0.1), ValueError, "alpha_bar: expected a n"),
        (lambda: GaussianMixture(W, M, C).diffused(W), TypeError, "alpha_bar: expected a number"),
        (lambda: GaussianMixture(W, M, C).sample(0), ValueError, "n: expected an int >= 1"),
        (lambda: GaussianMixture(W, M, C).score(torch.zeros(3, 3)), ValueError, r"x: .*\(B, 2\)"),
        (lambda: GaussianMixture(W, M, C).score(torch.zeros(3)), ValueError, r"x: .*\(B, 2\)"),
        (lambda: GaussianMixture(W, M, C).log_prob([[0.0, 0.0]]), TypeError, "x: expected a flo"),
        (
            lambda: GaussianMixture(W, M, C).eps_fn(S)(torch.zeros(1, 2), torch.tensor([1001])),
            ValueError,
            "t: expected entries in 0..1000, got 1001..1001",
        ),
        (lambda: GaussianMixture(W, M, C).noised(-0.1), ValueError, "sigma: expected a number >"),
        (lambda: GaussianMixture(W, M, C).noised(math.inf), ValueError, "sigma: expected a numb"),
        (lambda: GaussianMixture(W, M, C).noised(math.nan), ValueError, "sigma: expected a numb"),
        (lambda: GaussianMixture(W, M, C).noised(W), TypeError, "sigma: expected a number, got"),
        (lambda: scored(M, 1.0), TypeError, "sigma: expected a floating-point tensor, got 1.0"),
        (lambda: scored(M, W.double()), TypeError, "sigma: expected the dtype of the batch"),
        (lambda: scored(M, W[:1]), ValueError, r"sigma: expected the shape of the batch, \(2,\)"),
        (lambda: scored(M, 0 * W), ValueError, r"sigma: expected finite entries > 0, got 0\.\.0"),
        (lambda: scored(M, W / 0), ValueError, "sigma: expected finite entries > 0, got inf"),
        (lambda: scored(M[:, :1], W), ValueError, r"x: expected shape \(B, 2\), got a tensor of"),
        (
            lambda: scored(M[0], W[:1]),
            ValueError,
            r"x: expected shape \(B, \.\.\.\), got a tensor",
        ),
        (lambda: scored(M.long(), W), TypeError, "x: expected a floating-point tensor"),
        (lambda: GaussianMixture(W, M, C).posterior(M, 0.0), ValueError, "sigma: expected a num"),
        (lambda: GaussianMixture(W, M, C).posterior(M, math.inf), ValueError, "sigma: expected"),
        (lambda: GaussianMixture(W, M, C).posterior(M, W), TypeError, "sigma: expected a number"),
        (lambda: GaussianMixture(W, M, C).posterior(M[0], 1.0), ValueError, r"x: .*\(B, 2\)"),
        (lambda: GaussianMixture(W, M, C).posterior([0.0], 1.0), TypeError, "x: expected a floa"),
    ],
)
def test_bad_input(call, error, words) -> None:  # noqa: ANN001
    with pytest.raises(error, match=words):
        call()

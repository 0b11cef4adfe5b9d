"""Langevin sampling. Oracles: recursions of mean and variance read off the code, sympy, grids."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import sympy
import torch
from torch import Tensor
from torch import distributions as dist

from minidiff.gmm import GaussianMixture
from minidiff.langevin import annealed, geometric_sigmas, mala, ula
from minidiff.score_matching import Score

F64 = torch.float64
VAR = 1.7  # of the Gaussian target; its mean is 0 where none is said
CHAIN = Callable[[Tensor, Callable[[Tensor], Tensor]], Iterator[Tensor]]


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def toward(var: float, mean: float = 0.0) -> Score:
    """The score of N(mean, var)."""
    return lambda x: (mean - x) / var


def normal(mean: Tensor | float, std: float) -> dist.Normal:
    return dist.Normal(torch.as_tensor(mean, dtype=F64), torch.tensor(std, dtype=F64))


def probe(chain: CHAIN) -> list[tuple[float, float]]:
    """(r, c) of every step x -> r x + c z of a linear chain, read off by running it twice."""
    one, zero = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)
    # A decaying state is read relative to the last one; noise of 1 enters from 0.
    still = [1.0] + [x.item() for x in chain(one, torch.zeros_like)]
    moved = [0.0] + [x.item() for x in chain(zero, torch.ones_like)]
    ratios = [b / a for a, b in zip(still[:-1], still[1:], strict=True)]
    kicks = [b - r * a for r, a, b in zip(ratios, moved[:-1], moved[1:], strict=True)]
    return list(zip(ratios, kicks, strict=True))


def variance(steps: list[tuple[float, float]], v: float) -> float:
    for r, c in steps:
        v = r * r * v + c * c
    return v


def one_step(delta: float, score: Score | None = None) -> tuple[float, float]:
    return probe(lambda x, noise: ula(score or toward(VAR), x, delta, 1, noise))[0]


def limit(delta: float, score: Score | None = None, steps: int = 100_000) -> float:
    """The stationary variance, by going on until it stops changing."""
    r, c = one_step(delta, score)
    v, last = 1.0, math.inf
    for _ in range(steps):
        if v == last:
            break
        v, last = r * r * v + c * c, v
    return v


def two_humps() -> GaussianMixture:
    return GaussianMixture(
        double(0.3, 0.7), double(-1.5, 1).view(2, 1), double(0.5, 0.3).view(2, 1, 1)
    )


def humps_log_prob(x: Tensor) -> Tensor:
    """Of the same law, by another library."""
    parts = dist.Normal(double(-1.5, 1), double(0.5, 0.3).sqrt())
    return dist.MixtureSameFamily(dist.Categorical(double(0.3, 0.7)), parts).log_prob(x[:, 0])


@pytest.mark.equation("eq-langevin-sde", "eq-ula")
def test_one_step_has_the_moments_of_the_sde() -> None:
    """E[X_h - x] = h/2 score + O(h^2) and Var = h + O(h^2), of dX = score/2 dt + dW."""
    z, w = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(5))
    w = w / w.sum()
    for at in (-2.0, -0.3, 1.4):
        point = double(at).view(1, 1).requires_grad_()
        (drift,) = torch.autograd.grad(humps_log_prob(point).sum() / 2, point)
        x = torch.full((5, 1), at, dtype=F64)
        for delta in (0.3, 1e-3):
            (y,) = ula(two_humps().score, x, delta, 1, lambda _: z[:, None])
            mean = w @ y[:, 0]
            assert abs(mean.item() - at - delta * drift.item()) < 1e-13
            assert abs((w @ (y[:, 0] - mean).square()).item() - delta) < 1e-13
    # Exact where the transition is known, that of the Ornstein-Uhlenbeck process.
    mean_error, var_error = [], []
    for delta in (0.02, 0.01):
        r, c = one_step(delta)
        mean_error.append(r - math.exp(-delta / (2 * VAR)))
        var_error.append(c * c - VAR * (1 - math.exp(-delta / VAR)))
    assert 3.9 < mean_error[0] / mean_error[1] < 4.1 and 3.9 < var_error[0] / var_error[1] < 4.1


@pytest.mark.equation("eq-langevin-sde")
def test_chain_follows_the_sde_at_a_fixed_time() -> None:
    """The law at time k delta = 2, from a point: the error is O(delta)."""
    time, mean_error, var_error = 2.0, [], []
    for k in (100, 200, 400, 800):
        steps = probe(lambda x, noise, k=k: ula(toward(VAR), x, time / k, k, noise))
        assert len(steps) == k
        mean_error.append(math.prod(r for r, _ in steps) - math.exp(-time / (2 * VAR)))
        var_error.append(variance(steps, 0.0) - VAR * (1 - math.exp(-time / VAR)))
    for error in (mean_error, var_error):
        assert abs(error[-1]) < 2e-3
        for a, b in zip(error[:-1], error[1:], strict=True):
            assert abs(a / b - 2) < 0.05


@pytest.mark.equation("eq-fokker-planck")
def test_target_is_stationary_for_fokker_planck() -> None:
    x, y, t = sympy.symbols("x y t", real=True)
    f, g = sympy.Function("f")(x), sympy.Function("g")(x, y)
    for variables, p in [((x,), sympy.exp(-f)), ((x, y), sympy.exp(-g))]:

        def flow(rho: sympy.Expr, p: sympy.Expr = p, variables: tuple = variables) -> sympy.Expr:
            return sum(
                -sympy.diff(rho * sympy.diff(sympy.log(p), v), v) / 2 + sympy.diff(rho, v, 2) / 2
                for v in variables
            )

        assert sympy.simplify(flow(p)) == 0
        assert sympy.simplify(flow(p**2)) != 0
    # And it is the equation of the chain's limit: the law from a point satisfies it.
    s, v = sympy.symbols("s v", positive=True)
    v = s**2 * (1 - sympy.exp(-t / s**2))
    rho = sympy.exp(-((x - y * sympy.exp(-t / (2 * s**2))) ** 2) / (2 * v)) / sympy.sqrt(v)
    moved = sympy.diff(rho * x / s**2, x) / 2 + sympy.diff(rho, x, 2) / 2 - sympy.diff(rho, t)
    assert sympy.simplify(moved / rho) == 0


@pytest.mark.equation("eq-kl-decay")
def test_divergence_decays_at_half_the_fisher_divergence() -> None:
    t, v0, s = sympy.symbols("t v0 s", positive=True)
    m0, x = sympy.symbols("m0 x", real=True)
    m, v = m0 * sympy.exp(-t / (2 * s**2)), s**2 + (v0 - s**2) * sympy.exp(-t / s**2)
    log_ratio = -((x - m) ** 2) / (2 * v) - sympy.log(v) / 2 + x**2 / (2 * s**2) + sympy.log(s)

    def mean(polynomial: sympy.Expr) -> sympy.Expr:
        """Over N(m, v), by its moments."""
        raw = [1, m, m**2 + v]
        terms = sympy.Poly(sympy.expand(polynomial), x).all_coeffs()[::-1]
        return sum(c * raw[i] for i, c in enumerate(terms))

    rate = sympy.diff(mean(log_ratio), t)
    assert sympy.simplify(rate + mean(sympy.diff(log_ratio, x) ** 2) / 2) == 0


@pytest.mark.equation("eq-ula-variance")
@pytest.mark.parametrize(
    ("var", "delta"), [(1.7, 2.0), (1.7, 0.01), (1.7, 6.7), (0.09, 0.1), (40.0, 5.0)]
)
def test_stationary_variance_at_a_fixed_step(var: float, delta: float) -> None:
    want = var / (1 - delta / (4 * var))
    assert math.isclose(limit(delta, toward(var)), want, rel_tol=1e-12)
    r, c = one_step(delta, toward(var))
    assert math.isclose(r, 1 - delta / (2 * var), abs_tol=1e-15)
    assert math.isclose(c, delta**0.5, rel_tol=1e-15)
    if (var, delta) == (1.7, 2.0):
        assert abs(want - 2.408333) < 1e-6
    # The mean is exact: it is where nothing moves.
    start = torch.full((1, 1), 9.0, dtype=F64)
    states = ula(toward(var, 0.6), start, delta, 20_000, torch.zeros_like)
    assert any(abs(x.item() - 0.6) < 1e-12 for x in states)


@pytest.mark.equation("eq-ula")
def test_eta_form_is_the_same_chain() -> None:
    """X + eta score + sqrt(2 eta) z with delta = 2 eta: to the bit, with the same noise."""
    eta, m = 0.35, two_humps()
    x = 3 * torch.randn(50, 1, dtype=F64, generator=generator(0))
    z = torch.randn(30, 50, 1, dtype=F64, generator=generator(1))
    draws = iter(z)
    other = x
    states = list(ula(m.score, x, 2 * eta, 30, lambda _: next(draws)))
    for state, drawn in zip(states, z, strict=True):
        other = other + eta * m.score(other) + math.sqrt(2 * eta) * drawn
        assert torch.equal(state, other)
    assert math.isclose(limit(2 * eta), VAR / (1 - eta / (2 * VAR)), rel_tol=1e-12)


@pytest.mark.equation("eq-ula-transient")
@pytest.mark.parametrize("v0", [0.0, 1.0, 25.0])
def test_transient_variance(v0: float) -> None:
    for delta in (0.05, 2.0, 6.0):
        steps = probe(lambda x, noise, delta=delta: ula(toward(VAR), x, delta, 40, noise))
        r, end = 1 - delta / (2 * VAR), VAR / (1 - delta / (4 * VAR))
        for k in (1, 2, 7, 40):
            want = end + r ** (2 * k) * (v0 - end)
            assert math.isclose(variance(steps[:k], v0), want, rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.equation("eq-ula-variance")
def test_correlated_target_and_the_longest_step() -> None:
    """Directions decouple along the eigenvectors; the narrowest one bounds the step."""
    cov = double(1.3, 0.6, 0.6, 0.5).view(2, 2)
    var, axes = torch.linalg.eigh(cov)

    def score(x: Tensor) -> Tensor:
        return -torch.linalg.solve(cov, x.T).T

    def matrix(delta: float) -> Tensor:
        """What one step does to the unit vectors."""
        (rows,) = ula(score, torch.eye(2, dtype=F64), delta, 1, torch.zeros_like)
        return rows.T

    def end(delta: float, v: Tensor, steps: int = 4000) -> Tensor:
        a = matrix(delta)
        for _ in range(steps):
            v = a @ v @ a.T + delta * torch.eye(2, dtype=F64)
        return v

    for delta in (0.01, 0.3, 3.99 * var[0].item()):
        want = axes @ (var / (1 - delta / (4 * var))).diag() @ axes.T
        got = end(delta, torch.zeros(2, 2, dtype=F64))
        assert (got - want).abs().max() < 1e-9 * want.abs().max()
    assert end(4.01 * var[0].item(), torch.eye(2, dtype=F64)).abs().max() > 1e12
    best = 4 / (1 / var[0] + 1 / var[1]).item()
    rate = [torch.linalg.matrix_norm(matrix(best * k), 2).item() for k in (0.99, 1.0, 1.01)]
    assert rate[1] < rate[0] and rate[1] < rate[2]
    # One sample path: it explodes above the bound, and does not below.
    for delta, stable in [(3.9 * VAR, True), (4.1 * VAR, False)]:
        one = torch.ones(1, 1, dtype=F64)
        *_, x = ula(toward(VAR), one, delta, 3000, torch.ones_like)
        assert (abs(x.item()) < 1e3) == stable


@pytest.mark.equation("eq-ula-bias")
def test_orders_of_the_bias() -> None:
    s = VAR**0.5
    excess, w2, kl = [], [], []
    for delta in (0.02, 0.01, 0.005):
        v, u = limit(delta), delta / (4 * VAR)
        excess.append(v / VAR - 1)
        w2.append(math.sqrt(v) - s)  # the distance of two centred Gaussians
        kl.append(0.5 * (v / VAR - 1 - math.log(v / VAR)))
        assert abs(excess[-1] - u) < 2 * u**2
        assert abs(w2[-1] / (delta / (8 * s)) - 1) < 2 * u
        assert abs(kl[-1] - u**2 / 4 - u**3 / 3) < u**4
    for a, order in [(excess, 2), (w2, 2), (kl, 4)]:
        assert abs(a[0] / a[1] / order - 1) < 0.01 and abs(a[1] / a[2] / order - 1) < 0.005
    # The W2 formula itself, by its definition: an integral over quantiles.
    q = normal(0.0, 1.0).icdf((torch.arange(200_000, dtype=F64) + 0.5) / 200_000)
    v = limit(2.0)
    assert abs(((v**0.5 - s) * q).square().mean().sqrt().item() - (v**0.5 - s)) < 1e-4


@pytest.mark.equation("eq-temperature")
def test_mixing_the_two_conventions_is_another_temperature() -> None:
    delta = 0.01
    cold = limit(delta, lambda x: -2 * x / VAR)  # drift delta, noise sqrt(delta): p^2
    assert math.isclose(cold, delta / (1 - (1 - delta / VAR) ** 2), rel_tol=1e-9)
    assert abs(cold - 0.853) < 1e-3 and abs(cold / (VAR / 2) - 1) < 0.01
    r, c = probe(lambda x, z: ula(toward(VAR), x, delta, 1, lambda x: 2**0.5 * z(x)))[0]
    hot = c * c / (1 - r * r)  # drift delta/2, noise sqrt(2 delta): p^(1/2)
    assert math.isclose(hot, 2 * VAR / (1 - delta / (4 * VAR)), rel_tol=1e-9)
    for k in (0.5, 3.0, 7.0):  # p^k is the Gaussian of variance VAR / k
        assert abs(limit(1e-3, lambda x, k=k: -k * x / VAR) * k / VAR - 1) < 2e-3
    # Its score is k times that of p, for any p.
    x = double(-1.0, 0.3, 2.0).view(3, 1).requires_grad_()
    (power,) = torch.autograd.grad((humps_log_prob(x).exp() ** 2).log().sum(), x)
    assert (power - 2 * two_humps().score(x.detach())).abs().max() < 1e-12


@pytest.mark.equation("eq-uniform-noise")
def test_uniform_noise_in_place_of_normal() -> None:
    """torch.rand_like has mean 1/2 and variance 1/12: a shift that grows as the step shrinks."""
    for delta in (1.0, 0.1):
        r, c = one_step(delta)
        mean, var = 0.0, 0.0
        for _ in range(3000):
            mean, var = r * mean + c / 2, r * r * var + c * c / 12
        assert math.isclose(mean, delta**0.5 * 0.5 / (delta / (2 * VAR)), rel_tol=1e-12)
        assert math.isclose(mean, VAR / delta**0.5, rel_tol=1e-12)
        factor = 1 - delta / (2 * VAR)
        assert math.isclose(var, delta / 12 / (1 - factor**2), rel_tol=1e-12)
    n = 200_000
    torch.manual_seed(0)
    *_, x = ula(toward(VAR), torch.full((n, 1), VAR, dtype=F64), 1.0, 30, torch.rand_like)
    var = 1 / 12 / (1 - (1 - 1 / (2 * VAR)) ** 2)
    assert abs(x.mean().item() - VAR) < 4 * (var / n) ** 0.5
    assert abs(x.var().item() - var) < 4 * var * (2 / n) ** 0.5


@pytest.mark.equation("eq-ula")
def test_default_noise_is_standard_normal() -> None:
    """One step from 0 is sqrt(delta) z, for both samplers that draw it."""
    n = 200_000
    torch.manual_seed(0)
    x = torch.zeros(n, 1, dtype=F64)
    (free,) = ula(torch.zeros_like, x, 0.25, 1)
    ((tried, moved),) = mala(lambda x: 0 * x[:, 0], torch.zeros_like, x, 0.25, 1)
    (level,) = annealed(lambda x, _: 0 * x, x, double(3.0), 0.25, 1, denoise=False)
    assert moved.all()
    for got in (free, tried, level):
        u = normal(0.0, 0.5).cdf(got[:, 0]).sort().values
        assert (u - (torch.arange(n) + 0.5) / n).abs().max().item() < 1.95 / n**0.5


@pytest.mark.equation("eq-mala")
def test_adjusted_chain_is_exact_at_a_long_step() -> None:
    """Where the unadjusted one has variance 2.41: from a point, with the default draws."""
    n, delta = 200_000, 2.0
    target = normal(0.0, VAR**0.5)
    torch.manual_seed(0)
    start = torch.full((n, 1), 0.5, dtype=F64)
    steps = mala(lambda x: -x[:, 0].square() / (2 * VAR), toward(VAR), start, delta, 25)
    *_, (x, moved) = steps
    assert abs(x.mean().item()) < 4 * (VAR / n) ** 0.5
    assert abs(x.var().item() - VAR) < 4 * VAR * (2 / n) ** 0.5
    u = target.cdf(x[:, 0]).sort().values
    assert (u - (torch.arange(n) + 0.5) / n).abs().max().item() < 1.95 / n**0.5
    # Its acceptance, by quadrature over x and the proposal.
    at = torch.linspace(-9, 9, 601, dtype=F64)
    p, drifted = target.log_prob(at), at * (1 - delta / (2 * VAR))
    forth = normal(drifted[:, None], delta**0.5).log_prob(at)
    flow = p[:, None] + forth
    rate = torch.minimum(flow, flow.T).exp().sum().item() * 0.03**2
    accepted = moved.double().mean().item()
    assert abs(rate - 0.90) < 0.005 and abs(accepted - rate) < 4 * (rate * (1 - rate) / n) ** 0.5


def acceptance(
    log_prob: Callable[[Tensor], Tensor], score: Score, x: Tensor, to: Tensor, delta: float
) -> Tensor:
    """The chance that the step x -> to is taken, by bisection on the uniform number."""
    z = (to - x - delta / 2 * score(x)) / delta**0.5
    low, high = torch.zeros(len(x), dtype=F64), torch.ones(len(x), dtype=F64)
    for _ in range(34):  # to 6e-11
        mid = (low + high) / 2
        ((state, moved),) = mala(log_prob, score, x, delta, 1, lambda _: z, lambda _: mid)  # noqa: B023
        want = torch.where(moved[:, None], to, x)
        assert (state - want).abs().max() < 1e-9 and torch.equal(state[~moved], x[~moved])
        low, high = torch.where(moved, mid, low), torch.where(moved, high, mid)
    return high


@pytest.mark.equation("eq-mala")
@pytest.mark.parametrize("delta", [0.05, 0.8, 3.0])
def test_adjusted_kernel_is_in_detailed_balance(delta: float) -> None:
    m = two_humps()
    at = torch.linspace(-4, 3.5, 51, dtype=F64)
    x, to = at.repeat_interleave(51)[:, None], at.repeat(51)[:, None]
    taken = acceptance(m.log_prob, m.score, x, to, delta).view(51, 51)

    def density(x: Tensor, to: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(humps_log_prob(x).sum(), x)
        return normal((x + delta / 2 * slope).detach()[:, 0], delta**0.5).log_prob(to[:, 0])

    p, q = humps_log_prob(at[:, None]), density(x, to).view(51, 51)
    ratio = (p[None, :] + q.T - p[:, None] - q).exp()
    assert (taken - ratio.clamp(max=1)).abs().max() < 1e-9
    assert (taken < 0.99).float().mean() > 0.1
    plain = (p[:, None] + q).exp()
    flow = plain * taken  # off the diagonal; on it, balance is no condition
    assert ((flow - flow.T).abs() <= 1e-10 * (plain + plain.T)).all()
    assert (plain - plain.T).abs().max() > 1e-3  # what acceptance mends
    if delta == 0.05:  # as the step vanishes so does the need
        near = (x - to).abs().view(51, 51) < 0.4
        assert taken[near].min() > 0.9


@pytest.mark.equation("eq-mala")
def test_acceptance_in_two_dimensions() -> None:
    cov = double(1.0, 0.5, 0.5, 0.8).view(2, 2)
    m = GaussianMixture(
        double(0.4, 0.6), double(-1, 0, 1, 1).view(2, 2), torch.stack([cov, 0.3 * cov])
    )
    parts = dist.MultivariateNormal(m.means, covariance_matrix=m.covs)
    log_p = dist.MixtureSameFamily(dist.Categorical(m.weights), parts).log_prob
    delta, g = 0.6, generator(0)
    x, to = 1.5 * torch.randn(2, 400, 2, dtype=F64, generator=g)

    def log_q(to: Tensor, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(log_p(x).sum(), x)
        eye = delta * torch.eye(2, dtype=F64)
        step = dist.MultivariateNormal((x + delta / 2 * slope).detach(), covariance_matrix=eye)
        return step.log_prob(to)

    want = (log_p(to) + log_q(x, to) - log_p(x) - log_q(to, x)).exp().clamp(max=1)
    got = acceptance(m.log_prob, m.score, x, to, delta)
    assert (got - want).abs().max() < 1e-9 and 0.1 < (want == 1).double().mean() < 0.9


def test_adjusted_chain_does_not_see_the_normaliser_nor_its_own_memory() -> None:
    """The same moves with log p + c; n steps at once are n steps one at a time."""
    m, g = two_humps(), generator(0)
    x = torch.randn(300, 1, dtype=F64, generator=g)
    z = torch.randn(12, 300, 1, dtype=F64, generator=g)
    u = torch.rand(12, 300, dtype=F64, generator=g)

    def run(log_prob: Callable[[Tensor], Tensor]) -> list[tuple[Tensor, Tensor]]:
        noise, uniform = iter(z), iter(u)
        return list(
            mala(log_prob, m.score, x, 1.5, 12, lambda _: next(noise), lambda _: next(uniform))
        )

    states = run(m.log_prob)
    for (a, moved), (b, also) in zip(states, run(lambda x: m.log_prob(x) + 64.0), strict=True):
        assert torch.equal(a, b) and torch.equal(moved, also)
    assert moved.dtype == torch.bool and moved.shape == (300,)
    one = x
    for k, (state, moved) in enumerate(states):
        ((one, also),) = mala(
            m.log_prob,
            m.score,
            one,
            1.5,
            1,
            lambda _: z[k],  # noqa: B023
            lambda _: u[k],  # noqa: B023
        )
        assert torch.equal(one, state) and torch.equal(moved, also)
        assert 0 < moved.sum() < 300


def test_adjusted_chain_stays_where_the_density_is_positive() -> None:
    """The half of N(0, 1) on the right: outside, log p is -inf and the score not a number."""
    n = 100_000

    def log_prob(x: Tensor) -> Tensor:
        return torch.where(x > 0, -0.5 * x.square(), -math.inf)[:, 0]

    def score(x: Tensor) -> Tensor:
        return torch.where(x > 0, -x, math.nan)

    torch.manual_seed(0)
    for x, moved in mala(log_prob, score, torch.ones(n, 1, dtype=F64), 0.7, 60):
        assert (x > 0).all() and not moved.all()
    u = (2 * normal(0.0, 1.0).cdf(x[:, 0]) - 1).sort().values
    assert (u - (torch.arange(n) + 0.5) / n).abs().max().item() < 1.95 / n**0.5


def test_what_has_no_density_is_not_accepted_even_by_the_least_random_number() -> None:
    def log_prob(x: Tensor) -> Tensor:
        return torch.where(x > 0, -x, -math.inf)[:, 0]

    walk = mala(log_prob, lambda x: -x, X + 1, 0.1, 1, lambda x: x - 90, torch.zeros_like)
    _, moved = next(walk)
    assert not moved.any()


def test_samplers_take_images_and_record_no_gradient() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=F64, generator=generator(0))
    factor = torch.ones(1, dtype=F64, requires_grad=True)
    scale = torch.arange(1.0, 121, dtype=F64).view(2, 3, 4, 5)

    def noise(x: Tensor) -> Tensor:
        return scale

    (got,) = ula(lambda x: -factor * x, x, 0.5, 1, noise)
    assert (got - (0.75 * x + 0.5**0.5 * scale)).abs().max() < 1e-12 and not got.requires_grad
    flat = x.flatten(1)
    pictures = mala(
        lambda x: -0.5 * factor * x.square().flatten(1).sum(1), lambda x: -factor * x, x, 0.5, 5
    )
    vectors = mala(lambda x: -0.5 * x.square().sum(1), lambda x: -x, flat, 0.5, 5)
    torch.manual_seed(0)
    tall = list(pictures)
    torch.manual_seed(0)
    for (a, moved), (b, also) in zip(tall, vectors, strict=True):
        assert torch.equal(a.flatten(1), b) and torch.equal(moved, also)
        assert a.shape == x.shape and not a.requires_grad
    levels = annealed(lambda x, s: -factor * x / s.view(-1, 1, 1, 1) ** 2, x, double(2, 1), 0.1, 1)
    for state in levels:
        assert state.shape == x.shape and not state.requires_grad
        # Between two states the caller's own mode holds: gradients are his to record.
        assert torch.is_grad_enabled()
    for make in (
        lambda: ula(lambda x: -factor * x, x, 0.5, 3),
        lambda: mala(lambda x: 0 * factor * x[:, 0, 0, 0], lambda x: -factor * x, x, 0.5, 3),
    ):
        for _ in make():
            assert torch.is_grad_enabled() and (2 * factor).requires_grad
    assert list(ula(lambda x: x, x, 0.1, 0)) == []
    single = [*ula(lambda x: -x, x.float(), 0.1, 1)]
    assert single[0].dtype == torch.float32


@pytest.mark.equation("eq-geometric")
def test_geometric_levels() -> None:
    got = geometric_sigmas(1.0, 0.01, 10)
    assert got.shape == (10,) and got.dtype == F64
    assert torch.equal(got[0], double(1.0)[0]) and abs(got[-1].item() - 0.01) < 1e-15
    assert ((got[1:] / got[:-1]) - 0.5994843).abs().max() < 5e-8
    assert abs(got[2].item() - 0.3594) < 5e-5
    want = np.geomspace(50, 0.01, 232)
    assert np.allclose(geometric_sigmas(50, 0.01, 232).numpy(), want, rtol=1e-12)
    assert np.allclose(geometric_sigmas(20, 1, 2).numpy(), [20, 1])


@pytest.mark.equation("eq-annealed-step")
def test_annealed_visits_the_levels_in_order() -> None:
    sigmas, eps, n = double(3, 1.2, 0.5), 0.02, 4
    x = torch.zeros(2, 3, dtype=F64)
    seen = []

    def silent(x: Tensor, sigma: Tensor) -> Tensor:
        assert sigma.dtype == x.dtype and not torch.is_grad_enabled()
        seen.append(sigma.tolist())
        return torch.zeros_like(x)

    states = [x, *annealed(silent, x, sigmas, eps, n, torch.ones_like)]
    assert len(states) == 1 + n * 3 + 1
    assert seen == [[s, s] for s in (3, 1.2, 0.5) for _ in range(n)] + [[0.5, 0.5]]
    kicks = [(b - a)[0, 0].item() for a, b in zip(states[:-1], states[1:], strict=True)]
    steps = [kick**2 for kick in kicks[:-1]]  # a step delta has noise of variance delta
    for i, level in enumerate((3, 1.2, 0.5)):
        for step in steps[n * i : n * (i + 1)]:
            assert math.isclose(step / level**2, eps / 0.5**2, rel_tol=1e-9)
    assert kicks[-1] == 0  # the denoising step draws nothing
    states = list(annealed(silent, x, sigmas.float(), eps, n, torch.ones_like, denoise=False))
    assert len(states) == n * 3
    assert next(annealed(lambda x, s: x, x.float(), sigmas, eps, 1)).dtype == torch.float32


@pytest.mark.equation("eq-annealed-ratio")
def test_drift_and_noise_keep_their_proportion() -> None:
    """Of a score of size 1 / sigma, as that of one point seen through noise."""
    sigmas = geometric_sigmas(1, 0.01, 10)
    zero = torch.zeros(1, 1, dtype=F64)

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return (1 / sigma).view(1, 1)

    drift, both = (
        torch.cat([zero, *annealed(score, zero, sigmas, 2e-5, 1, noise, denoise=False)]).diff(
            dim=0
        )
        for noise in (torch.zeros_like, torch.ones_like)
    )
    ratio = drift / (both - drift)
    assert (ratio - 0.2236068).abs().max() < 1e-7
    assert (ratio - math.sqrt(2e-5) / (2 * 0.01)).abs().max() < 1e-9


def ladder(high: float, low: float, count: int, n: int, eps: float, var: float) -> list:
    """The steps of the annealed chain on N(0, var)."""
    sigmas = geometric_sigmas(high, low, count)

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return -x / (var + sigma.view(-1, 1) ** 2)

    return probe(lambda x, noise: annealed(score, x, sigmas, eps, n, noise, denoise=False))


@pytest.mark.equation("eq-annealed-variance")
def test_variance_over_the_levels_for_one_point() -> None:
    """The rule of NCSNv2 (technique 4), in its configuration for CIFAR-10."""
    steps = ladder(50, 0.01, 232, 5, 2 * 6.2e-6, 0.0)  # eta = 6.2e-6 there
    gamma, r = (50 / 0.01) ** (1 / 231), 6.2e-6 / 0.01**2
    w = 1 / (1 - r / 2)
    want = (1 - r) ** 10 * (gamma**2 - w) + w
    assert abs(want - 1.0554746) < 5e-8 and abs(gamma - 1.03756) < 1e-5
    sigmas = [50 * gamma**-i for i in range(232)]
    for level in (1, 100, 231):
        # It enters a level with the variance of the level before.
        end = variance(steps[5 * level : 5 * level + 5], sigmas[level - 1] ** 2)
        assert math.isclose(end / sigmas[level] ** 2, want, rel_tol=1e-9)


@pytest.mark.equation("eq-annealed-step")
@pytest.mark.parametrize(("eps", "want"), [(2e-5, 0.2654093), (4e-5, 0.2579088)])
def test_annealed_variance_for_gaussian_data(eps: float, want: float) -> None:
    steps = ladder(1, 0.01, 10, 100, eps, 0.25)
    assert len(steps) == 1000 and abs(variance(steps, 1.0) - want) < 5e-8


SPREAD = GaussianMixture(
    double(0.2, 0.8), double(-5, -5, 5, 5).view(2, 2), torch.eye(2, dtype=F64).repeat(2, 1, 1)
)


@pytest.mark.equation("eq-annealed-denoise")
def test_last_step_is_the_posterior_mean() -> None:
    x = 4 * torch.randn(20, 2, dtype=F64, generator=generator(0))
    sigmas = double(3, 1, 0.7)
    torch.manual_seed(0)
    *_, noisy, clean = annealed(SPREAD.score_fn(), x, sigmas, 0.05, 3)
    mean, _ = SPREAD.posterior(noisy, 0.7)
    assert (clean - mean).abs().max() < 1e-12 and (clean - noisy).abs().max() > 0.1
    torch.manual_seed(0)
    *_, kept = annealed(SPREAD.score_fn(), x, sigmas, 0.05, 3, denoise=False)
    assert torch.equal(kept, noisy)


def weight_of_the_right_mode(
    high: float, low: float, delta_min: float, n: int, chains: int = 2000
) -> float:
    torch.manual_seed(0)
    x = 16 * torch.rand(chains, 2) - 8
    sigmas = geometric_sigmas(high, low, 10)
    *_, x = annealed(SPREAD.score_fn(), x, sigmas, delta_min, n)
    return (x.sum(1) > 0).float().mean().item() if x.isfinite().all() else math.nan


def test_one_level_keeps_the_weights_of_the_start() -> None:
    torch.manual_seed(0)
    x = 16 * torch.rand(2000, 2) - 8
    *_, x = ula(SPREAD.score, x, 0.1, 1000)
    right = x.sum(1) > 0
    assert abs(right.float().mean().item() - 0.5) < 4 * 0.5 / 2000**0.5
    assert (x[right] - 5).abs().mean() < 1 and (x[~right] + 5).abs().mean() < 1


def test_annealing_recovers_the_weights() -> None:
    error = 4 * (0.8 * 0.2 / 2000) ** 0.5
    for high, low, delta_min, want in [(20, 1, 0.1, 0.778), (10, 0.1, 2e-3, 0.782)]:
        share = weight_of_the_right_mode(high, low, delta_min, 100)
        assert abs(share - 0.8) < 0.05 and abs(share - want) < error
    assert weight_of_the_right_mode(20, 1, 0.1, 10) < 0.74  # too few steps a level
    # At sigma = 10 that step is 1000, and the longest that is stable 4 (1 + sigma^2) = 404.
    assert math.isnan(weight_of_the_right_mode(10, 0.1, 0.1, 100, chains=2))


X, LEVELS = torch.zeros(4, 2), torch.tensor([2.0, 1.0])


def log_p(x: Tensor) -> Tensor:
    return -0.5 * x.square().sum(1)


def pull(x: Tensor) -> Tensor:
    return -x


def pull_at(x: Tensor, sigma: Tensor) -> Tensor:
    return -x


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ula(pull, X, 0.0, 3), ValueError, "delta: expected a number > 0, got 0.0"),
        (lambda: ula(pull, X, -1.0, 3), ValueError, "delta: expected a number > 0, got -1.0"),
        (lambda: ula(pull, X, math.nan, 3), ValueError, "delta: expected a number .*got nan"),
        (lambda: ula(pull, X, math.inf, 3), ValueError, "delta: expected a number .*got inf"),
        (lambda: ula(pull, X, torch.ones(1), 3), TypeError, "delta: expected a number, got a t"),
        (lambda: ula(pull, X, 0.1, -1), ValueError, "n: expected an int >= 0, got -1"),
        (lambda: ula(pull, X, 0.1, 2.0), TypeError, "n: expected an int, got 2.0"),
        (lambda: ula(pull, X.long(), 0.1, 2), TypeError, "x: expected a floating-point tensor"),
        (lambda: ula(pull, X[:, 0], 0.1, 2), ValueError, r"x: expected shape \(B, \.\.\.\)"),
        (lambda: [*ula(lambda x: x[:1], X, 0.1, 2)], ValueError, r"score\(x\): expected the sh"),
        (lambda: [*ula(lambda x: x.double(), X, 0.1, 2)], TypeError, r"score\(x\): .*dtype of"),
        (
            lambda: [*ula(pull, X, 0.1, 2, lambda x: x[:, :1])],
            ValueError,
            r"noise\(x\): expected the shape of x, \(4, 2\)",
        ),
        (lambda: [*ula(pull, X, 0.1, 2, lambda x: 1.0)], TypeError, r"noise\(x\): expected a f"),
        (lambda: mala(log_p, pull, X, 0.0, 3), ValueError, "delta: expected a number > 0"),
        (lambda: mala(log_p, pull, X, math.inf, 3), ValueError, "delta: expected a number"),
        (lambda: mala(log_p, pull, X, "a", 3), TypeError, "delta: expected a number, got 'a'"),
        (lambda: mala(log_p, pull, X, 0.1, -1), ValueError, "n: expected an int >= 0, got -1"),
        (lambda: mala(log_p, pull, X, 0.1, True), TypeError, "n: expected an int, got True"),
        (lambda: mala(log_p, pull, X.long(), 0.1, 3), TypeError, "x: expected a floating-poi"),
        (lambda: mala(log_p, pull, X[:, 0], 0.1, 3), ValueError, r"x: expected shape \(B, \.\."),
        (
            lambda: [*mala(lambda x: log_p(x).log(), pull, X - 1, 0.1, 3)],
            ValueError,
            r"x: expected finite log_prob\(x\) where the chains start",
        ),
        (
            lambda: [*mala(lambda x: x[:, 0].log(), pull, X, 0.1, 3)],
            ValueError,
            r"x: expected finite log_prob\(x\) where the chains start",
        ),
        (
            lambda: [*mala(lambda x: x[:, :1], pull, X, 0.1, 3)],
            ValueError,
            r"log_prob\(x\): expected the shape of the batch, \(4,\)",
        ),
        (
            lambda: [*mala(lambda x: log_p(x).double(), pull, X, 0.1, 3)],
            TypeError,
            r"log_prob\(x\): expected the dtype of the batch",
        ),
        (lambda: [*mala(log_p, lambda x: x[0], X, 0.1, 3)], ValueError, r"score\(x\): expected"),
        (
            lambda: [*mala(log_p, pull, X, 0.1, 3, noise=lambda x: x[:1])],
            ValueError,
            r"noise\(x\): expected the shape of x, \(4, 2\)",
        ),
        (
            lambda: [*mala(log_p, pull, X, 0.1, 3, uniform=lambda x: x[:1])],
            ValueError,
            r"uniform\(log_prob\(x\)\): expected the shape of log_prob\(x\), \(4,\)",
        ),
        (
            lambda: [*mala(log_p, pull, X, 0.1, 3, uniform=lambda x: x.double())],
            TypeError,
            r"uniform\(log_prob\(x\)\): expected the dtype",
        ),
        (lambda: geometric_sigmas(1.0, 0.0, 5), ValueError, "low: expected a number > 0, got"),
        (lambda: geometric_sigmas(1.0, -0.1, 5), ValueError, "low: expected a number > 0"),
        (lambda: geometric_sigmas(math.inf, 1.0, 5), ValueError, "high: expected a number >= 0"),
        (lambda: geometric_sigmas(math.nan, 1.0, 5), ValueError, "high: expected a number >= 0"),
        (lambda: geometric_sigmas(0.1, 1.0, 5), ValueError, "low: expected low < high, got low"),
        (lambda: geometric_sigmas(1.0, 1.0, 5), ValueError, "low: expected low < high, got low"),
        (lambda: geometric_sigmas(1.0, 0.1, 1), ValueError, "n: expected an int >= 2, got 1"),
        (lambda: geometric_sigmas(1.0, 0.1, 5.0), TypeError, "n: expected an int, got 5.0"),
        (lambda: geometric_sigmas("a", 0.1, 5), TypeError, "high: expected a number, got 'a'"),
        (lambda: geometric_sigmas(1.0, LEVELS, 5), TypeError, "low: expected a number, got a"),
        (lambda: annealed(pull_at, X.long(), LEVELS, 0.1, 2), TypeError, "x: expected a float"),
        (lambda: annealed(pull_at, X[0], LEVELS, 0.1, 2), ValueError, "x: expected shape"),
        (lambda: annealed(pull_at, X, [2.0, 1.0], 0.1, 2), TypeError, "sigmas: expected a flo"),
        (lambda: annealed(pull_at, X, LEVELS.long(), 0.1, 2), TypeError, "sigmas: expected a f"),
        (lambda: annealed(pull_at, X, LEVELS[:0], 0.1, 2), ValueError, r"sigmas: .*\(L,\), L >="),
        (lambda: annealed(pull_at, X, LEVELS[None], 0.1, 2), ValueError, "sigmas: expected sha"),
        (lambda: annealed(pull_at, X, LEVELS.sum(), 0.1, 2), ValueError, "sigmas: expected sha"),
        (lambda: annealed(pull_at, X, LEVELS.flip(0), 0.1, 2), ValueError, "strictly decreasing"),
        (lambda: annealed(pull_at, X, 0 * LEVELS + 1, 0.1, 2), ValueError, "strictly decreasing"),
        (lambda: annealed(pull_at, X, LEVELS - 1, 0.1, 2), ValueError, "expected positive and s"),
        (lambda: annealed(pull_at, X, LEVELS - 1.5, 0.1, 2), ValueError, "expected positive and"),
        (
            lambda: annealed(pull_at, X, torch.tensor([math.inf, 1.0]), 0.1, 2),
            ValueError,
            r"sigmas: expected positive and strictly decreasing, got \[inf, 1.0\]",
        ),
        (
            lambda: annealed(pull_at, X, torch.tensor([2.0, math.nan]), 0.1, 2),
            ValueError,
            "sigmas: expected positive and strictly decreasing, got",
        ),
        (lambda: annealed(pull_at, X, LEVELS, 0.0, 2), ValueError, "delta_min: expected a numb"),
        (lambda: annealed(pull_at, X, LEVELS, -0.1, 2), ValueError, "delta_min: expected a num"),
        (lambda: annealed(pull_at, X, LEVELS, math.nan, 2), ValueError, "delta_min: expected a"),
        (lambda: annealed(pull_at, X, LEVELS, LEVELS, 2), TypeError, "delta_min: expected a nu"),
        (lambda: annealed(pull_at, X, LEVELS, 0.1, 0), ValueError, "n: expected an int >= 1"),
        (lambda: annealed(pull_at, X, LEVELS, 0.1, 1.0), TypeError, "n: expected an int, got 1"),
        (
            lambda: [*annealed(lambda x, s: x[:1], X, LEVELS, 0.1, 1)],
            ValueError,
            r"score\(x\): expected the shape of x",
        ),
        (
            lambda: [*annealed(pull_at, X, LEVELS, 0.1, 1, noise=lambda x: x[:1])],
            ValueError,
            r"noise\(x\): expected the shape of x",
        ),
    ],
)
def test_bad_input(call, error, words) -> None:  # noqa: ANN001
    with pytest.raises(error, match=words):
        call()

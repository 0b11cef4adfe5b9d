"""Score matching. Oracles: autograd of torch.distributions, quadrature, sympy, enumeration."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import sympy
import torch
from torch import Tensor
from torch import distributions as dist

from minidiff.gmm import GaussianMixture
from minidiff.score_matching import Score, dsm_loss, esm_loss, ism_loss, rademacher, ssm_loss

F64 = torch.float64


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(var: float) -> GaussianMixture:
    return GaussianMixture(double(1), double(0).view(1, 1), double(var).view(1, 1, 1))


M = GaussianMixture(
    double(0.35, 0.65),
    double(-1.0, 0.5, 1.2, -0.4).view(2, 2),
    double(0.6, 0.2, 0.2, 0.5, 0.5, -0.3, -0.3, 0.9).view(2, 2, 2),
)


def reference(m: GaussianMixture, sigma: float = 0.0) -> dist.Distribution:
    """The law of x + sigma eps, written with another library's parts."""
    cov = m.covs + sigma**2 * torch.eye(m.means.shape[1], dtype=F64)
    parts = dist.MultivariateNormal(m.means, covariance_matrix=cov)
    return dist.MixtureSameFamily(dist.Categorical(m.weights), parts)


def slope(log_p: Callable[[Tensor], Tensor]) -> Score:
    """The score of a log density, by autograd."""

    def score(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(log_p(x).sum(), x)[0]

    return score


def hermite(n: int, d: int = 1) -> tuple[Tensor, Tensor]:
    """Points (n^d, d) and weights under N(0, I): exact for polynomials of degree 2 n - 1."""
    x, w = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(n))
    nodes = torch.cartesian_prod(*[x] * d).view(-1, d)
    return nodes, torch.cartesian_prod(*[w / w.sum()] * d).view(-1, d).prod(1)


def lattice(half: float, step: float) -> Tensor:
    """Points (n, 2) of the trapezoid rule: for densities like these it is exact to rounding."""
    x = torch.arange(-half, half + step / 2, step, dtype=F64)
    return torch.cartesian_prod(x, x)


def network(seed: int = 0) -> tuple[Score, list[Tensor]]:
    """A small score network in 2-D, and its parameters."""
    g = generator(seed)
    shapes = [(2, 2), (2, 3), (3, 2), (3,)]
    a, b, w, c = theta = [
        (0.5 * torch.randn(shape, dtype=F64, generator=g)).requires_grad_() for shape in shapes
    ]
    return lambda x: x @ a.T + torch.tanh(x @ w.T + c) @ b.T, theta


def gradient(loss: Tensor, theta: list[Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, theta)])


@pytest.mark.equation("eq-score")
def test_score_does_not_see_the_normaliser() -> None:
    x = double(-1.3, 0.2, 0.9, 2.5).view(4, 1)

    def bump(x: Tensor) -> Tensor:
        return (torch.exp(-x.square()) + 0.3 * torch.exp(-(x.abs() ** 3))).sum(1)

    score = slope(lambda x: bump(x).log())(x)
    for c in (1e-3, 7.0, 1e5):
        assert (slope(lambda x, c=c: (c * bump(x)).log())(x) - score).abs().max() < 1e-13
    assert (slope(bump)(x) / bump(x)[:, None] - score).abs().max() < 1e-13
    p = gaussian(0.5)  # exp(-x^2) is p but for the normaliser
    assert (p.score(x) - slope(lambda x: -x.square().sum(1))(x)).abs().max() < 1e-13


@pytest.mark.equation("eq-esm", "eq-ism")
def test_implicit_is_explicit_less_a_constant_in_symbols() -> None:
    x, s, tau = sympy.symbols("x s tau", positive=True)
    p = sympy.exp(-(x**2) / (2 * s**2)) / (s * sympy.sqrt(2 * sympy.pi))
    score, truth = -x / tau**2, sympy.diff(sympy.log(p), x)

    def mean(f: sympy.Expr) -> sympy.Expr:
        return 2 * sympy.integrate(sympy.expand(f) * p, (x, 0, sympy.oo))  # f is even

    explicit = mean((score - truth) ** 2 / 2)
    implicit = mean(sympy.diff(score, x) + score**2 / 2)
    assert sympy.simplify(implicit - explicit + mean(truth**2) / 2) == 0
    assert sympy.simplify(implicit - (s**2 / (2 * tau**4) - 1 / tau**2)) == 0
    assert sympy.solve(sympy.diff(implicit, tau), tau) == [s]
    assert sympy.simplify(implicit.subs(tau, s) + 1 / (2 * s**2)) == 0
    z, w = hermite(3)
    for at_s, at_tau in [(1.3, 0.7), (0.4, 0.4), (2.0, 5.0)]:
        at = {s: at_s, tau: at_tau}
        got = w @ ism_loss(lambda x, at_tau=at_tau: -x / at_tau**2, at_s * z)
        assert math.isclose(got.item(), implicit.subs(at), rel_tol=1e-12)
        target = gaussian(at_s**2).score
        got = w @ esm_loss(lambda x, at_tau=at_tau: -x / at_tau**2, target, at_s * z)
        assert math.isclose(got.item(), explicit.subs(at), rel_tol=1e-12, abs_tol=1e-15)


@pytest.mark.equation("eq-ism-uniform")
def test_implicit_loss_is_wrong_where_the_density_jumps() -> None:
    """U(0, 1), s(x) = a x + b: its minimiser is the Gaussian's with the same two moments."""
    x, w = np.polynomial.legendre.leggauss(4)
    x, w = torch.tensor((x + 1) / 2)[:, None], torch.tensor(w / 2)

    def minimiser(loss: Callable[[Score], Tensor]) -> Tensor:
        def mean(ab: Tensor) -> Tensor:
            return w @ loss(lambda x: ab[0] * x + ab[1])

        zero = torch.zeros(2, dtype=F64, requires_grad=True)
        (g,) = torch.autograd.grad(mean(zero), zero)
        return -torch.linalg.solve(torch.autograd.functional.hessian(mean, zero), g)

    implicit = minimiser(lambda s: ism_loss(s, x))
    assert (implicit - double(-12, 6)).abs().max() < 1e-10
    assert minimiser(lambda s: esm_loss(s, torch.zeros_like, x)).abs().max() < 1e-12
    # What is dropped is the boundary term: it is 0 for a score that vanishes where p jumps.
    bump = [lambda x: x * (1 - x) * (3 - x), lambda x: torch.sin(math.pi * x) * 0.1]
    x, w = np.polynomial.legendre.leggauss(20)
    x, w = torch.tensor((x + 1) / 2)[:, None], torch.tensor(w / 2)
    for s in bump:
        gap = w @ (ism_loss(s, x) - esm_loss(s, torch.zeros_like, x))
        assert abs(gap.item()) < 1e-12


@pytest.mark.equation("eq-ism", "eq-ssm", "eq-ssm-vr")
@pytest.mark.parametrize("seed", [0, 1])
def test_implicit_and_sliced_gradients_equal_the_explicit_one(seed: int) -> None:
    """On a mixture, entry by entry, with no randomness left: a grid of x, all signs of v."""
    score, theta = network(seed)
    x = lattice(8, 0.25)
    p = reference(M).log_prob(x).exp() * 0.25**2
    target = slope(reference(M).log_prob)
    assert abs(p.sum().item() - 1) < 1e-12
    explicit = p @ esm_loss(score, target, x)
    constant = 0.5 * (p @ target(x).square().sum(1))
    want = gradient(explicit, theta)
    assert want.abs().min() > 1e-3
    implicit = p @ ism_loss(score, x)
    assert abs((implicit - explicit + constant).item()) < 1e-9
    assert (gradient(implicit, theta) - want).abs().max() < 1e-9
    for reduce_variance in (True, False):
        sliced = [
            p @ ssm_loss(score, x, projection=v.expand_as, reduce_variance=reduce_variance) / 4
            for v in torch.cartesian_prod(double(-1, 1), double(-1, 1))
        ]
        total = torch.stack(sliced).sum()
        assert abs((total - implicit).item()) < 1e-12
        assert (gradient(total, theta) - want).abs().max() < 1e-9


@pytest.mark.equation("eq-dsm", "eq-dsm-constant")
@pytest.mark.parametrize("sigma", [0.6, 1.5])
def test_denoising_gradient_equals_the_explicit_one_of_the_noised_law(sigma: float) -> None:
    """Both sides by quadrature: over the clean x and the noise, and over the noised x alone."""
    clean, eps = lattice(7.6, 0.4), lattice(7.2, 0.6)
    p = reference(M).log_prob(clean).exp() * 0.4**2
    q = torch.exp(-0.5 * eps.square().sum(1)) * 0.6**2 / (2 * math.pi)
    weight = (p[:, None] * q).flatten()
    x = clean.repeat_interleave(len(eps), 0)
    z, sigmas = eps.repeat(len(clean), 1), torch.full((len(x),), sigma, dtype=F64)
    y = lattice(14, 0.25)
    noised = reference(M, sigma).log_prob(y).exp() * 0.25**2
    target = slope(reference(M, sigma).log_prob)
    c = 0.5 * (2 / sigma**2 - (noised @ target(y).square().sum(1)).item())
    for seed in (0, 1):
        score, theta = network(seed)
        explicit = noised @ esm_loss(score, target, y)
        denoising = weight @ dsm_loss(lambda x, _: score(x), x, sigmas, lambda x: z) / sigma**2  # noqa: B023
        assert abs((denoising - explicit).item() - c) < 1e-8
        want = gradient(explicit, theta)
        assert want.abs().min() > 1e-4
        assert (gradient(denoising, theta) - want).abs().max() < 1e-8
    exact = weight @ dsm_loss(M.score_fn(), x, sigmas, lambda x: z) / sigma**2
    assert c > 0.1 and abs(exact.item() - c) < 1e-8  # the loss does not fall to 0


@pytest.mark.equation("eq-dsm", "eq-dsm-constant")
@pytest.mark.parametrize(("s", "sigma"), [(1.0, 0.5), (0.3, 2.0), (2.0, 0.1)])
def test_denoising_constant_for_gaussian_data(s: float, sigma: float) -> None:
    """The mean loss of s(x) = a x is a parabola in a: its vertex from three values."""
    nodes, w = hermite(3, 2)
    x, eps = s * nodes[:, :1], nodes[:, 1:]
    sigmas = torch.full((9,), sigma, dtype=F64)

    def mean(a: float) -> float:
        return (w @ dsm_loss(lambda x, _: a * x, x, sigmas, lambda x: eps)).item() / sigma**2

    low, mid, high = mean(-1), mean(0), mean(1)
    bend, tilt = low + high - 2 * mid, (high - low) / 2
    best = -tilt / bend
    assert math.isclose(best, -1 / (s**2 + sigma**2), rel_tol=1e-9)
    c = s**2 / (2 * sigma**2 * (s**2 + sigma**2))
    assert math.isclose(mid - tilt**2 / (2 * bend), c, rel_tol=1e-9)
    assert math.isclose(mean(best), c, rel_tol=1e-9)
    data, noise = sympy.symbols("data noise", positive=True)  # 1/2 (d / sigma^2 - E|score|^2)
    fisher = 1 / (data + noise)
    assert sympy.simplify((1 / noise - fisher) / 2 - data / (2 * noise * (data + noise))) == 0


@pytest.mark.equation("eq-dsm-constant", "eq-ncsn")
def test_denoising_loss_of_random_draws() -> None:
    """With the default noise and a sigma for every sample, on samples of the mixture."""
    n, levels = 200_000, double(0.3, 1.0, 4.0)
    torch.manual_seed(0)
    sigma = levels.repeat_interleave(n)
    loss = dsm_loss(M.score_fn(), M.sample(3 * n, generator(1)), sigma).view(3, n)
    y = lattice(30, 0.25)
    for level, row in zip(levels.tolist(), loss, strict=True):
        density = reference(M, level).log_prob(y).exp() * 0.25**2
        fisher = density @ slope(reference(M, level).log_prob)(y).square().sum(1)
        want = 1 - 0.5 * level**2 * fisher.item()  # sigma^2 C, in d = 2
        assert abs(row.mean().item() - want) < 4 * row.std().item() / n**0.5


@pytest.mark.equation("eq-ncsn")
def test_weight_sigma_squared_gives_every_level_one_scale() -> None:
    g = generator(0)
    x, eps = torch.randn(2, 5, 3, 2, 2, dtype=F64, generator=g)
    sigma = double(1e-3, 0.1, 1, 7, 50)
    answer = torch.randn(5, 3, 2, 2, dtype=F64, generator=g)
    seen = []

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append((x, sigma))
        return answer

    got = dsm_loss(score, x, sigma, lambda x: eps)
    for i, level in enumerate(sigma.tolist()):
        gaps = (answer[i] + eps[i] / level).flatten().tolist()
        want = 0.5 * level**2 * math.fsum(gap**2 for gap in gaps)
        assert math.isclose(got[i].item(), want, rel_tol=1e-12)
        assert (seen[0][0][i] - (x[i] + level * eps[i])).abs().max() < 1e-14
    assert torch.equal(seen[0][1], sigma)
    # It is noise prediction by eps_theta = -sigma score.
    mse = torch.nn.functional.mse_loss(-sigma.view(5, 1, 1, 1) * answer, eps, reduction="none")
    assert (got - 0.5 * mse.flatten(1).sum(1)).abs().max() < 1e-9
    nodes, w = hermite(2, 4)  # a score of 0 costs d/2 at every level
    for level in sigma:
        zero = dsm_loss(lambda x, _: torch.zeros_like(x), nodes, level.expand(16), lambda x: nodes)
        assert abs((w @ zero).item() - 2) < 1e-12


@pytest.mark.equation("eq-ism", "eq-ssm", "eq-ssm-vr")
def test_trace_of_a_jacobian_in_any_shape() -> None:
    g = generator(0)
    kernel = torch.randn(3, 3, 3, 3, dtype=F64, generator=g)
    x = torch.randn(4, 3, 2, 2, dtype=F64, generator=g)
    v = torch.randn(4, 3, 2, 2, dtype=F64, generator=g)

    def score(x: Tensor) -> Tensor:
        return torch.tanh(torch.nn.functional.conv2d(x, kernel, padding=1)) * x

    for reduce_variance in (True, False):
        sliced = ssm_loss(score, x, projection=lambda x: v, reduce_variance=reduce_variance)
        for i in range(4):
            jacobian = torch.func.jacrev(lambda x: score(x[None])[0])(x[i]).view(12, 12)
            s, direction = score(x[i : i + 1]).flatten(), v[i].flatten()
            want = jacobian.trace() + 0.5 * s @ s
            assert abs((ism_loss(score, x)[i] - want).item()) < 1e-12
            last = s @ s if reduce_variance else (direction @ s) ** 2
            want = direction @ jacobian @ direction + 0.5 * last
            assert abs((sliced[i] - want).item()) < 1e-12


A = double(1.0, 0.5, -2.0, 0.5, -0.3, 0.7, -2.0, 0.7, 2.0).view(3, 3)


def curvature(v: Tensor) -> Tensor:
    """v^T A v for every row of v, by the sliced loss of s(x) = A x at x = 0."""
    return ssm_loss(lambda x: x @ A.T, torch.zeros_like(v), projection=lambda x: v)


def moments(value: Tensor, weight: Tensor) -> tuple[float, float]:
    mean = (weight @ value).item()
    return mean, (weight @ (value - mean).square()).item()


@pytest.mark.equation("eq-hutchinson")
def test_hutchinson_mean_and_variance() -> None:
    off = A - A.diag().diag()
    signs = torch.cartesian_prod(*[double(-1, 1)] * 3)
    mean, var = moments(curvature(signs), torch.full((8,), 1 / 8, dtype=F64))
    assert abs(mean - A.trace().item()) < 1e-12
    assert abs(var - 2 * off.square().sum().item()) < 1e-12
    nodes, w = hermite(3, 3)
    mean, var = moments(curvature(nodes), w)
    assert abs(mean - A.trace().item()) < 1e-12
    assert abs(var - 2 * A.square().sum().item()) < 1e-11
    axes = torch.cat([torch.eye(3, dtype=F64), -torch.eye(3, dtype=F64)])  # as a unit sphere
    assert abs(curvature(axes).mean().item() - A.trace().item() / 3) < 1e-12


@pytest.mark.equation("eq-hutchinson")
def test_the_draws_have_unit_covariance() -> None:
    n = 200_000
    torch.manual_seed(0)
    x = torch.zeros(n, 3, dtype=F64)
    v = rademacher(x)
    assert v.dtype == F64 and v.shape == x.shape and (v.abs() == 1).all()
    assert rademacher(x[:2].float()).dtype == torch.float32
    assert (v.mean(0).abs() < 4 / n**0.5).all()
    pairs = v[:, [0, 0, 1]] * v[:, [1, 2, 2]]
    assert (pairs.mean(0).abs() < 4 / n**0.5).all()
    off = A - A.diag().diag()
    for draw, var in [
        (rademacher, 2 * off.square().sum().item()),
        (torch.randn_like, 2 * A.square().sum().item()),
    ]:
        loss = ssm_loss(lambda x: x @ A.T, x, projection=draw)
        assert abs(loss.mean().item() - A.trace().item()) < 4 * (var / n) ** 0.5
        error = (loss - loss.mean()).square().std().item() / n**0.5
        assert abs(loss.var().item() - var) < 4 * error
    default = ssm_loss(lambda x: x @ A.T, x)
    assert abs(default.var().item() / (2 * off.square().sum().item()) - 1) < 0.03


@pytest.mark.equation("eq-ssm", "eq-ssm-vr")
def test_reduced_form_has_the_same_mean_and_here_less_variance() -> None:
    """x and v both by quadrature, for the score of N(0, I) in 4-D."""
    nodes, w = hermite(3, 4)
    signs = torch.cartesian_prod(*[double(-1, 1)] * 4)
    for v, q in [(signs, torch.full((16,), 1 / 16, dtype=F64)), (nodes, w)]:
        x, both = nodes.repeat_interleave(len(v), 0), (w[:, None] * q).flatten()
        direction = v.repeat(len(nodes), 1)
        (plain, spread), (reduced, less) = (
            moments(
                ssm_loss(
                    lambda x: -x,
                    x,
                    projection=lambda x: direction,  # noqa: B023
                    reduce_variance=flag,
                ),
                both,
            )
            for flag in (False, True)
        )
        assert abs(plain + 2) < 1e-11 and abs(reduced + 2) < 1e-11  # -d/2, as for ISM
        assert spread > 1.3 * less


@pytest.mark.equation("eq-ssm-vr")
def test_the_variance_is_reduced_unless_told_otherwise() -> None:
    """At (3, 3) the score x is 18 long, squared, and has nothing along v = (1, -1)."""
    v, x = double(1, -1), double(3, 3).view(1, 2)
    assert ssm_loss(lambda x: x, x, projection=v.expand_as).item() == 2 + 18 / 2
    plain = ssm_loss(lambda x: x, x, projection=v.expand_as, reduce_variance=False)
    assert plain.item() == 2


@pytest.mark.equation("eq-esm", "eq-fisher-blind")
def test_fisher_divergence_is_blind_to_the_weights() -> None:
    x = torch.linspace(-20, 20, 40_001, dtype=F64)[:, None]
    laws = []
    for weights in ((0.2, 0.8), (0.8, 0.2)):
        means, covs = double(-5, 5).view(2, 1), torch.ones(2, 1, 1, dtype=F64)
        laws.append(GaussianMixture(double(*weights), means, covs))
    log_p, log_q = (reference(m).log_prob(x) for m in laws)
    p = log_p.exp() * 1e-3
    assert abs((p @ (log_p - log_q)).item() - 0.83178) < 5e-6
    divergence = 2 * (p @ esm_loss(laws[1].score, slope(reference(laws[0]).log_prob), x)).item()
    assert abs(divergence - 2.0756e-5) < 5e-10
    # Noise that joins the modes shows the weights again.
    p, q = (m.noised(5.0) for m in laws)
    weight = reference(p).log_prob(x).exp() * 1e-3
    assert (weight @ esm_loss(q.score, p.score, x)).item() > 1e-3


def test_losses_train_and_leave_their_input_alone() -> None:
    x = torch.randn(6, 2, dtype=F64, generator=generator(0), requires_grad=True)
    score, theta = network()
    for loss in (
        lambda: ism_loss(score, x),
        lambda: ssm_loss(score, x),
        lambda: ssm_loss(score, x, reduce_variance=False),
    ):
        value = loss()
        assert value.shape == (6,) and value.requires_grad
        value.sum().backward()
        assert x.grad is None and all(p.grad is not None for p in theta)
        for p in theta:
            p.grad = None
    linear = ism_loss(lambda x: -x, x)  # its derivative does not depend on x
    assert (linear + 2 - 0.5 * x.square().sum(1)).abs().max() < 1e-12


def test_derivatives_are_taken_under_no_grad() -> None:
    """As when a trained network is evaluated."""
    x = torch.randn(6, 2, dtype=F64, generator=generator(0))
    score, _ = network()
    sliced = ssm_loss(score, x, projection=torch.ones_like)
    plain = ssm_loss(score, x, projection=torch.ones_like, reduce_variance=False)
    want = torch.stack([ism_loss(score, x), sliced, plain])
    with torch.no_grad():
        sliced = ssm_loss(score, x, projection=torch.ones_like)
        plain = ssm_loss(score, x, projection=torch.ones_like, reduce_variance=False)
        assert torch.equal(torch.stack([ism_loss(score, x), sliced, plain]), want)


X, SIGMA = torch.zeros(4, 2), torch.ones(4)
BIAS = torch.zeros(2, requires_grad=True)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: esm_loss(lambda x: x[:, :1], lambda x: x, X), ValueError, r"e\(x\): .* of x, \("),
        (lambda: esm_loss(lambda x: x, lambda x: x[:2], X), ValueError, r"t\(x\): .* of x, \(4,"),
        (lambda: esm_loss(lambda x: x, lambda x: x.double(), X), TypeError, r"target\(x\): exp"),
        (lambda: esm_loss(lambda x: x, lambda x: x, X.long()), TypeError, "x: expected a float"),
        (lambda: esm_loss(lambda x: x, lambda x: x, X[0]), ValueError, r"x: .*shape \(B, \.\.\."),
        (lambda: ism_loss(lambda x: x, X.long()), TypeError, "x: expected a floating-point ten"),
        (lambda: ism_loss(lambda x: x, X[0]), ValueError, r"x: expected shape \(B, \.\.\.\)"),
        (lambda: ism_loss(lambda x: x.sum(1), X), ValueError, r"score\(x\): .* shape of x, "),
        (lambda: ism_loss(lambda x: 0, X), TypeError, r"score\(x\): expected a floating-point"),
        (lambda: ism_loss(lambda x: x.detach(), X), ValueError, "that autograd can follow back"),
        (lambda: ism_loss(lambda x: BIAS.expand(4, 2), X), ValueError, "autograd can follow"),
        (lambda: ssm_loss(lambda x: x.detach(), X), ValueError, "that autograd can follow back"),
        (lambda: ssm_loss(lambda x: BIAS.expand(4, 2), X), ValueError, "autograd can follow"),
        (lambda: ssm_loss(lambda x: x[:1], X), ValueError, r"score\(x\): expected the shape"),
        (lambda: ssm_loss(lambda x: x, X[0]), ValueError, r"x: expected shape \(B, \.\.\.\)"),
        (
            lambda: ssm_loss(lambda x: x, X, projection=lambda x: x[:, :1]),
            ValueError,
            r"projection\(x\): expected the shape of x, \(4, 2\)",
        ),
        (
            lambda: ssm_loss(lambda x: x, X, projection=lambda x: x.long()),
            TypeError,
            r"projection\(x\): expected a floating-point tensor",
        ),
        (lambda: dsm_loss(lambda x, s: x, X.long(), SIGMA), TypeError, "x: expected a floating"),
        (lambda: dsm_loss(lambda x, s: x, X[0], SIGMA), ValueError, "x: expected shape"),
        (lambda: dsm_loss(lambda x, s: x, X, 1.0), TypeError, "sigma: expected a floating-poi"),
        (lambda: dsm_loss(lambda x, s: x, X, SIGMA[:1]), ValueError, "sigma: expected the shape"),
        (lambda: dsm_loss(lambda x, s: x, X, SIGMA[:, None]), ValueError, "sigma: expected the"),
        (lambda: dsm_loss(lambda x, s: x, X, SIGMA.double()), TypeError, "sigma: expected the d"),
        (lambda: dsm_loss(lambda x, s: x, X, 0 * SIGMA), ValueError, "sigma: .* > 0, got 0..0"),
        (lambda: dsm_loss(lambda x, s: x, X, SIGMA / 0), ValueError, "sigma: expected finite"),
        (lambda: dsm_loss(lambda x, s: x, X, SIGMA * math.nan), ValueError, "sigma: expected fi"),
        (lambda: dsm_loss(lambda x, s: x[0], X, SIGMA), ValueError, r"sigma\): .* shape of x, "),
        (
            lambda: dsm_loss(lambda x, s: x, X, SIGMA, noise=lambda x: x[0]),
            ValueError,
            r"noise\(x\): expected the shape of x",
        ),
        (
            lambda: dsm_loss(lambda x, s: x, X, SIGMA, noise=lambda x: x.double()),
            TypeError,
            r"noise\(x\): expected the dtype of x",
        ),
    ],
)
def test_bad_input(call, error, words) -> None:  # noqa: ANN001
    with pytest.raises(error, match=words):
        call()

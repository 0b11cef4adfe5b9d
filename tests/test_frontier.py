"""Chapter 10: the equations of the frontier, each against something that does not contain it.

Oracles: exact mixtures under autograd, closed forms of Gaussian data, sympy, enumeration, orders
of convergence, Monte Carlo. What a formula of the page says is written here once, in the test.
"""

import itertools
import math

import pytest
import sympy as sp
import torch

from minidiff import ddim, ddpm
from minidiff.forward import eps_from_x0, q_sample, v_from_eps
from minidiff.gmm import GaussianMixture
from minidiff.guidance import cfg, classifier_guidance
from minidiff.sampling import last, sample
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule

F64 = torch.float64
S = linear_schedule(1000)
PAIR = GaussianMixture(
    torch.tensor([0.4, 0.6], dtype=F64),
    torch.tensor([[-1.0], [1.0]], dtype=F64),
    torch.full((2, 1, 1), 0.09, dtype=F64),
)


def gauss(mean, var):
    """N(mean, var) on the line."""
    return GaussianMixture(
        torch.ones(1, dtype=F64),
        torch.tensor([[mean]], dtype=F64),
        torch.tensor([[[var]]], dtype=F64),
    )


def noise_in(law):
    """(x, sigma) -> E[eps | x], variance exploding."""
    score = law.score_fn()
    return lambda x, sigma: -sigma * score(x, torch.full((len(x),), float(sigma), dtype=F64))


def solve(step, eps, x, grid):
    for a, b in itertools.pairwise(grid.tolist()):
        x = step(eps, x, a, b)
    return x


def euler(eps, x, a, b):
    return x + (b - a) * eps(x, a)


def heun(eps, x, a, b):
    """eq-solver-heun."""
    first = eps(x, a)
    return x + (b - a) / 2 * (first + eps(x + (b - a) * first, b))


def midpoint(eps, x, a, b):
    """eq-solver-two."""
    m = math.sqrt(a * b)
    return x + (b - a) * eps(euler(eps, x, a, m), m)


# ---------------------------------------------------------------- which equation


@pytest.mark.equation("eq-sde-forward")
def test_short_steps_of_the_chain_have_the_laws_of_the_equation():
    def rate(u):
        return 0.1 + 19.9 * u

    errors = []
    for T in (1000, 2000, 4000):
        # The chain's own product against e^-integral, here 0.1 u + 9.95 u^2.
        beta = rate((torch.arange(T, dtype=F64) + 0.5) / T) / T
        u = torch.arange(T + 1, dtype=F64) / T
        chain = Schedule.from_betas(beta).alpha_bar
        errors.append((chain - (-(0.1 * u + 9.95 * u**2)).exp()).abs().max().item())
    assert errors[0] < 5e-3
    assert all(1.9 < a / b < 2.1 for a, b in itertools.pairwise(errors))
    # Ito for the moments of x: m' = -beta m / 2, V' = -beta V + beta; and of x / sqrt(alpha_bar).
    t, m0, v0 = sp.symbols("t m0 v0", positive=True)
    b = sp.Function("b")(t)
    total = sp.Function("B")(t)  # the integral of beta
    ab = sp.exp(-total)
    flat = {sp.Derivative(total, t): b}
    mean, var = sp.sqrt(ab) * m0, ab * v0 + 1 - ab
    assert sp.simplify(sp.diff(mean, t).subs(flat) + b * mean / 2) == 0
    assert sp.simplify(sp.diff(var, t).subs(flat) + b * var - b) == 0
    sigma2 = (1 - ab) / ab
    assert sp.simplify(sp.diff(var / ab, t) - sp.diff(sigma2, t)) == 0  # noise alone: V' = g^2
    assert sp.simplify(sp.diff(mean / sp.sqrt(ab), t)) == 0


def density(x, t):
    """A mixture of two Gaussians under dx = -x/2 dt + dW, in sympy."""

    def normal(mean, var):
        return sp.exp(-((x - mean) ** 2) / (2 * var)) / sp.sqrt(2 * sp.pi * var)

    a = sp.exp(-t)
    return sum(
        w * normal(m * sp.sqrt(a), v * a + 1 - a)
        for w, m, v in ((sp.Rational(2, 5), -1, sp.Rational(1, 10)), (sp.Rational(3, 5), 1, 2))
    )


def points():
    return [(0.3, 0.2), (-1.1, 0.5), (2.0, 1.0), (-0.2, 3.0)]


@pytest.mark.equation("eq-sde-fokker-planck")
def test_a_diffused_mixture_obeys_the_fokker_planck_equation():
    x, t = sp.symbols("x t", real=True)
    q = density(x, t)
    drift, g2 = -x / 2, 1
    right = -sp.diff(drift * q, x) + sp.Rational(1, 2) * g2 * sp.diff(q, x, 2)
    gap = sp.lambdify((x, t), sp.diff(q, t) - right)
    size = sp.lambdify((x, t), sp.diff(q, t))
    for at in points():
        assert abs(gap(*at)) < 1e-12 and abs(size(*at)) > 1e-4


@pytest.mark.equation("eq-sde-reverse")
@pytest.mark.parametrize("lam", [0, 1, sp.Rational(5, 2)])
def test_every_reverse_walk_carries_the_same_densities(lam):
    x, t = sp.symbols("x t", real=True)
    q, drift, g2 = density(x, t), -x / 2, 1
    back = -(drift - (1 + lam**2) * g2 * sp.diff(sp.log(q), x) / 2)  # dtau = -dt
    # The Fokker-Planck equation in tau must be solved by the film run backwards.
    right = -sp.diff(back * q, x) + lam**2 * g2 * sp.diff(q, x, 2) / 2
    gap = sp.lambdify((x, t), -sp.diff(q, t) - right)
    for at in points():
        assert abs(gap(*at)) < 1e-12


@pytest.mark.equation("eq-sde-reverse")
@pytest.mark.parametrize("lam", [0.0, 1.0, 2.0])
def test_simulated_reverse_walks_share_their_law_in_the_middle_and_at_the_end(lam):
    torch.manual_seed(0)
    n, eps = 4000, noise_in(PAIR)
    x = PAIR.noised(10.0).sample(n)
    grid = torch.logspace(1, -1.7, 801, dtype=F64)
    z = torch.linspace(-60, 60, 60001, dtype=F64)
    for k, (a, b) in enumerate(itertools.pairwise(grid.tolist())):
        h = a**2 - b**2
        noise = lam * math.sqrt(h) * torch.randn_like(x)
        x = x - (1 + lam**2) / 2 * h * eps(x, a) / a + noise
        if k in (300, 799):  # Kolmogorov-Smirnov at the 0.1 % level, and a step's bias
            mass = PAIR.noised(b).log_prob(z[:, None]).softmax(0).cumsum(0)
            there = mass[torch.searchsorted(z, x[:, 0].sort().values)]
            even = torch.arange(1, n + 1, dtype=F64) / n
            assert (there - even).abs().max() < 1.95 / math.sqrt(n) + 0.01, (k, lam)


def test_for_short_steps_lambda_is_the_eta_of_ddim():
    # One DDIM step minus one at eta = 0 is eta^2 g^2 h score / 2 plus eta g sqrt(h) z.
    t, x, z = 500, torch.tensor([[0.7]], dtype=F64), torch.tensor([[0.0]], dtype=F64)
    fine = Schedule(torch.cat([S.alpha_bar[:500], S.alpha_bar[500] + torch.tensor([1e-6, 0.0])]))
    eps = PAIR.diffused(fine.alpha_bar[501].item()).score(x) * -((1 - fine.alpha_bar[501]).sqrt())
    h = fine.beta[501].item()
    assert 0 < h < 1e-4 and t == 500
    for eta in (0.5, 1.0):
        one, _ = ddim.step(x, 501, 500, eps, fine, eta=eta, noise=lambda _: z)
        none, _ = ddim.step(x, 501, 500, eps, fine)
        score = -eps / (1 - fine.alpha_bar[501]).sqrt()
        assert ((one - none) / (eta**2 * h / 2 * score) - 1).abs().max() < 1e-3


@pytest.mark.equation("eq-sde-likelihood")
def test_the_divergence_along_the_flow_gives_the_log_likelihood():
    x0 = torch.tensor([[-1.3], [0.0], [0.2], [1.1]], dtype=F64)
    eps = noise_in(PAIR)

    def rates(x, sigma):  # of x, and of log q along the path
        x = x.detach().requires_grad_()
        u = eps(x, sigma)
        (slope,) = torch.autograd.grad(u.sum(), x)
        return u.detach(), -slope[:, 0]

    grid = torch.logspace(-2, 2, 2001, dtype=F64).tolist()
    x, log_ratio = x0, torch.zeros(4, dtype=F64)
    for a, b in itertools.pairwise(grid):
        u, r = rates(x, a)
        u2, r2 = rates(x + (b - a) * u, b)
        x, log_ratio = x + (b - a) / 2 * (u + u2), log_ratio + (b - a) / 2 * (r + r2)
    found = PAIR.noised(100.0).log_prob(x) - log_ratio
    assert (found - PAIR.noised(0.01).log_prob(x0)).abs().max() < 1e-3


# ---------------------------------------------------------------- EDM, flow matching


def scales(sigma, c):
    """eq-edm-scales."""
    total = sigma**2 + c**2
    return c**2 / total, sigma * c / total**0.5, 1 / total**0.5


@pytest.mark.equation("eq-edm-scales", "eq-edm-denoiser")
def test_edm_scales_are_those_of_unit_variance_and_least_amplification():
    torch.manual_seed(0)
    c, n = 0.5, 400_000
    # Two values with mean 0 and variance c^2: nothing Gaussian about them.
    x0 = c * torch.where(torch.rand(n, dtype=F64) < 0.2, 2.0, -0.5)
    for sigma in (0.05, 0.7, 6.0):
        x = x0 + sigma * torch.randn(n, dtype=F64)
        skip, out, into = scales(sigma, c)
        target = (x0 - skip * x) / out
        for name, value in (("input", into * x), ("target", target)):
            fourth = (value**2 - 1).square().mean().sqrt() / math.sqrt(n)
            assert abs(value.square().mean() - 1) < 4 * fourth, (name, sigma)
        assert ((skip * x + out * target) - x0).abs().max() < 1e-9
        # What is left for the network, for every skip: least at this one, and then out^2.
        others = torch.linspace(-0.5, 1.5, 20001, dtype=F64)
        left = x0.square().mean() * (1 - others) ** 2 + others**2 * sigma**2
        assert abs(others[left.argmin()] - skip) < 0.01
        assert abs(left.min() / out**2 - 1) < 0.02


@pytest.mark.equation("eq-edm-v")
@pytest.mark.parametrize("t", [1, 300, 1000])
def test_edm_with_unit_data_is_v_prediction_up_to_sign(t):
    x0, eps, wrong = torch.randn(3, 4, 16, dtype=F64)
    x_t = q_sample(x0, t, eps, S)
    sigma = ((1 - S.alpha_bar[t]) / S.alpha_bar[t]).sqrt().item()
    skip, out, into = scales(sigma, 1.0)
    assert (into * (x0 + sigma * eps) - x_t).abs().max() < 1e-12  # what the network sees
    f = (x0 - skip * (x0 + sigma * eps)) / out
    v = v_from_eps(eps, x_t, t, S)
    assert (f + v).abs().max() < 1e-9
    x0_hat = x0 + wrong
    v_hat = v_from_eps(eps_from_x0(x0_hat, x_t, t, S), x_t, t, S)
    weighted = wrong.square().sum() / out**2
    assert abs(weighted / (v_hat - v).square().sum() - 1) < 1e-9


def line(law, u):
    """The law of (1 - u) x_0 + u eps."""
    eye = torch.eye(law.means.shape[1], dtype=F64)
    return GaussianMixture(law.weights, (1 - u) * law.means, (1 - u) ** 2 * law.covs + u**2 * eye)


def velocity(law, x, u):
    """eq-flow-velocity."""
    return (-u * line(law, u).score(x) - x) / (1 - u)


@pytest.mark.equation("eq-flow-velocity", "eq-flow-line")
def test_the_velocity_is_the_regression_of_noise_minus_data():
    # Gaussian data: a regression of two jointly Gaussian numbers; the golden value of the sheet.
    m, c, u = 0.7, 0.5, 0.6
    var = (1 - u) ** 2 * c**2 + u**2
    slope = (u - (1 - u) * c**2) / var
    x = torch.tensor([[0.3], [-2.0], [1.4]], dtype=F64)
    want = -m + slope * (x - (1 - u) * m)
    got = velocity(gauss(m, c * c), x, u)
    assert (got - want).abs().max() < 1e-12 and abs(got[0, 0] + 0.6750) < 1e-4
    # A mixture: the mean over x_0 on a grid, with Bayes' rule by hand.
    x0 = torch.linspace(-4, 4, 16001, dtype=F64)
    log_prior = PAIR.log_prob(x0[:, None])
    for u in (0.2, 0.9):
        for at in (-0.4, 0.1, 1.0):
            eps = (at - (1 - u) * x0) / u
            weight = (log_prior - eps**2 / 2).softmax(0)
            got = velocity(PAIR, torch.tensor([[at]], dtype=F64), u)
            assert abs(got.item() - (weight * (eps - x0)).sum()) < 1e-8


@pytest.mark.equation("eq-flow-euler")
def test_an_euler_step_of_flow_matching_is_a_ddim_step():
    us = torch.tensor([0.0, 0.2, 0.55, 0.8, 0.99], dtype=F64)
    size = ((1 - us) ** 2 + us**2).sqrt()
    U = Schedule((1 - us) ** 2 / size**2)
    x = torch.randn(20, 1, dtype=F64)
    theirs = last(sample(PAIR.eps_fn(U), x / size[4], U, [4, 3, 2, 1, 0]))
    for u, r in itertools.pairwise(us.flip(0).tolist()):
        x = x + (r - u) * velocity(PAIR, x, u)
    assert (x - theirs).abs().max() < 1e-10


def test_the_flow_to_one_point_is_straight_and_to_two_is_not():
    point, x = gauss(0.5, 0.0), torch.randn(50, 1, dtype=F64)
    u = 0.999
    assert (x - u * velocity(point, x, u) - 0.5).abs().max() < 2e-3 * x.abs().max()
    one = x - u * velocity(PAIR, x, u)
    assert (one - PAIR.weights @ PAIR.means).abs().max() < 0.02  # the mean of the data


# ---------------------------------------------------------------- solvers


@pytest.mark.equation("eq-solver-exact", "eq-solver-one")
def test_the_exact_linear_part_and_its_first_order_which_is_ddim():
    # Exact: for Gaussian data the path is known, and the integral is done by quadrature.
    c2, t, s = 0.25, 700, 200
    level = ((1 - S.alpha_bar) / S.alpha_bar).sqrt()
    start = 1.3

    def path(lam):  # x-bar and eps at -log(sigma), on the path through ``start`` at t
        sigma = torch.exp(-lam)
        x = start * ((c2 + sigma**2) / (c2 + level[t] ** 2)).sqrt()
        return x, sigma * x / (c2 + sigma**2)

    lam_t, lam_s = -level[t].log(), -level[s].log()
    lam = torch.linspace(lam_t, lam_s, 20001, dtype=F64)
    _, eps = path(lam)
    integral = torch.trapezoid((-lam).exp() * eps, lam)
    a_t, a_s = S.alpha_bar[t].sqrt(), S.alpha_bar[s].sqrt()
    exact = a_s / a_t * (a_t * start) - a_s * integral
    assert abs(exact - a_s * path(lam_s)[0]) < 1e-7
    # One step with a constant eps.
    x, eps = torch.randn(2, 5, 3, dtype=F64)
    one = a_s / a_t * x - (1 - S.alpha_bar[s]).sqrt() * (torch.exp(lam_s - lam_t) - 1) * eps
    assert (one - ddim.step(x, t, s, eps, S)[0]).abs().max() < 1e-12


def consistency(x, sigma, m, c, e):
    """eq-consistency-gauss."""
    return m + math.sqrt((c**2 + e**2) / (c**2 + sigma**2)) * (x - m)


@pytest.mark.equation("eq-solver-heun", "eq-solver-two", "eq-consistency-gauss")
def test_orders_of_convergence_to_the_closed_form():
    m, c, high, low = 0.7, 0.5, 20.0, 0.05
    eps, x = noise_in(gauss(m, c * c)), torch.tensor([[13.0], [-4.0]], dtype=F64)
    truth = consistency(x, high, m, c, low)
    for step, order in ((euler, 1), (heun, 2), (midpoint, 2)):
        errors = []
        for n in (64, 128, 256, 512):
            grid = torch.linspace(high ** (1 / 7), low ** (1 / 7), n + 1, dtype=F64) ** 7
            errors.append((solve(step, eps, x, grid) - truth).abs().max().item())
        slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
        assert abs(slopes[-1] - order) < 0.08, (step.__name__, slopes)


@pytest.mark.equation("eq-consistency-gauss")
def test_the_consistency_function_is_constant_along_paths_and_keeps_the_law():
    m, c, e = 0.7, 0.5, 0.01
    eps = noise_in(gauss(m, c * c))
    x = torch.tensor([[5.0], [-2.0]], dtype=F64)
    assert (consistency(x, e, m, c, e) - x).abs().max() < 1e-12  # the boundary
    lower = solve(heun, eps, x, torch.logspace(0.5, -0.5, 4001, dtype=F64))
    first, second = (consistency(x, 10**0.5, m, c, e), consistency(lower, 10**-0.5, m, c, e))
    assert (first - second).abs().max() < 1e-6
    torch.manual_seed(0)
    law = consistency(gauss(m, c * c).noised(7.0).sample(100_000), 7.0, m, c, e)
    assert abs(law.mean() - m) < 4 * c / math.sqrt(1e5)
    assert abs(law.var() / (c**2 + e**2) - 1) < 4 * math.sqrt(2 / 1e5)


@pytest.mark.equation("eq-consistency-boundary")
def test_the_boundary_is_built_in_and_the_rest_is_of_unit_variance():
    c, e = 0.5, 0.002

    def parts(sigma):
        return c**2 / ((sigma - e) ** 2 + c**2), c * (sigma - e) / math.sqrt(sigma**2 + c**2)

    assert parts(e) == (1, 0)
    # Near the boundary they are smooth, and far above it EDM's, as if the start were at 0.
    for sigma in (1.0, 20.0):
        for mine, edm in zip(parts(sigma), scales(sigma, c), strict=False):
            assert abs(mine / edm - 1) < 2.2 * e / sigma * (1 + sigma**2 / (c**2 + sigma**2))
    # Leaving the boundary, x stays to second order and the network enters to first.
    e, step = 0.3, 1e-5
    assert abs(parts(e + step)[0] - 1) < 2 * (step / c) ** 2
    assert abs(parts(e + step)[1] / step - math.cos(math.atan2(e, c))) < 1e-4


@pytest.mark.equation("eq-distill-target")
def test_one_step_to_the_target_is_two_steps_of_the_teacher():
    C = cosine_schedule(1000)
    eps, x = PAIR.eps_fn(C), torch.randn(30, 1, dtype=F64)
    for t, m, s in ((999, 700, 400), (600, 300, 100), (200, 100, 0)):
        two = last(sample(eps, x, C, [t, m, s]))
        a_t, a_s = (C.alpha_bar[i].sqrt() for i in (t, s))
        rho = ((1 - C.alpha_bar[s]) / (1 - C.alpha_bar[t])).sqrt()
        target = (two - rho * x) / (a_s - rho * a_t)
        one, _ = ddim.step(x, t, s, eps_from_x0(target, x, t, C), C)
        assert (one - two).abs().max() < 1e-9, (t, m, s)


def test_a_student_is_as_wrong_as_its_teacher():
    angle = torch.arange(65, dtype=F64) * math.pi / 128
    angle[-1] -= 1e-6
    E = Schedule(angle.cos() ** 2)
    x = torch.ones(1, 1, dtype=F64)
    got = last(sample(gauss(0.0, 1.0).eps_fn(E), x, E, E.grid(64))).item()
    assert abs(got - math.cos(math.pi / 128) ** 64) < 1e-5 and abs(got - 0.981) < 1e-3


# ---------------------------------------------------------------- guidance


@pytest.mark.equation("eq-cfg-scale")
def test_the_two_conventions_of_guidance():
    x, t = torch.randn(20, 1, dtype=F64), torch.full((20,), 400)
    cond, uncond = gauss(1.0, 0.25).eps_fn(S), PAIR.eps_fn(S)
    c, u = cond(x, t), uncond(x, t)
    for scale, want in ((0, u), (1, c), (2, 2 * c - u)):
        assert (u + scale * (c - u) - want).abs().max() < 1e-12
        assert (cfg(cond, uncond, scale - 1)(x, t) - want).abs().max() < 1e-12


@pytest.mark.equation("eq-cfg-gauss")
@pytest.mark.parametrize("t", [1, 200, 600, 1000])
def test_with_equal_covariances_guidance_is_the_score_of_one_gaussian_at_every_level(t):
    mean = torch.tensor([[1.5, -0.5]], dtype=F64)
    cov = torch.tensor([[[1.0, 0.6], [0.6, 2.0]]], dtype=F64)  # I on the page; any will do
    one, w = torch.ones(1, dtype=F64), 2.5
    told, untold = (GaussianMixture(one, m, cov) for m in (mean, 0 * mean))
    x, times = torch.randn(20, 2, dtype=F64), torch.full((20,), t)
    got = cfg(told.eps_fn(S), untold.eps_fn(S), w)(x, times)
    # torch.distributions under autograd, for N((1 + w) mean, cov), noised.
    ab = S.alpha_bar[t]
    noised = torch.distributions.MultivariateNormal(
        ab.sqrt() * (1 + w) * mean[0], ab * cov[0] + (1 - ab) * torch.eye(2, dtype=F64)
    )
    y = x.clone().requires_grad_()
    (score,) = torch.autograd.grad(noised.log_prob(y).sum(), y)
    assert (got + (1 - ab).sqrt() * score).abs().max() < 1e-9


@pytest.mark.equation("eq-cfg-tilted")
def test_at_the_data_the_guided_score_is_that_of_the_tilted_law():
    w, x = 1.5, torch.tensor([[-0.3], [0.4], [1.2]], dtype=F64, requires_grad=True)
    right = gauss(1.0, 0.09)
    # p(x | c) p(c | x)^w, the posterior of the class taken from the two densities.
    both = torch.stack([gauss(-1.0, 0.09).log_prob(x), right.log_prob(x)])
    posterior = (both + torch.tensor([[0.4], [0.6]], dtype=F64).log()).log_softmax(0)[1]
    (slope,) = torch.autograd.grad((right.log_prob(x) + w * posterior).sum(), x)
    eps = cfg(noise_in(right), noise_in(PAIR), w)(x.detach(), 1e-4)
    assert (-eps / 1e-4 - slope).abs().max() < 1e-3


def end_variance(a, b, w, lam):
    """The variance in which guided walks of Gaussian data end: a recursion, no formula."""
    v, grid = 1e5, torch.logspace(5, -5, 40001, dtype=F64).tolist()  # of sigma^2
    for y, below in itertools.pairwise(grid):
        precision, h = (1 + w) / (a + y) - w / (b + y), y - below  # of the noised, tilted
        v = (1 - (1 + lam**2) / 2 * precision * h) ** 2 * v + lam**2 * h
    return v


@pytest.mark.equation("eq-cfg-variance")
@pytest.mark.parametrize(("a", "b", "w"), [(0.25, 1.0, 1), (0.5, 1.5, 2), (1.2, 1.0, 0.5)])
def test_guidance_of_centred_gaussians_is_narrower_than_the_tilted_law(a, b, w):
    # The walk asks exact mixtures: Heun on cfg, from far up.
    eps = cfg(noise_in(gauss(0.0, a)), noise_in(gauss(0.0, b)), w)
    high = 200.0
    grid = torch.linspace(high ** (1 / 7), 1e-3 ** (1 / 7), 1501, dtype=F64) ** 7
    end = solve(heun, eps, torch.tensor([[high]], dtype=F64), grid).item()
    assert abs(end**2 / (a ** (1 + w) * b**-w) - 1) < 2e-3
    # The tilted law's variance on a grid.
    z = torch.linspace(-12, 12, 24001, dtype=F64)[:, None]
    weight = ((1 + w) * gauss(0.0, a).log_prob(z) - w * gauss(0.0, b).log_prob(z)).softmax(0)
    tilted = (weight * z[:, 0] ** 2).sum().item()
    assert abs(tilted * ((1 + w) / a - w / b) - 1) < 1e-6
    assert end**2 < tilted


def test_what_guidance_samples_depends_on_the_sampler():
    flow, noisy, more = (end_variance(0.25, 1.0, 1, lam) for lam in (0, 1, 3))
    assert abs(flow - 1 / 16) < 3e-4 and abs(noisy - 28 / 256) < 3e-4
    assert flow < noisy < more < 1 / 7


def test_guidance_leaves_a_cluster_that_the_tilted_law_stays_in():
    right, w = gauss(1.0, 0.25), 4
    both = GaussianMixture(torch.tensor([0.5, 0.5], dtype=F64), PAIR.means, PAIR.covs / 0.09 / 4)
    q = (torch.arange(2000, dtype=F64) + 0.5) / 2000
    x = 40 * torch.distributions.Normal(0.0, 1.0).icdf(q)[:, None]
    grid = torch.linspace(40 ** (1 / 7), 0.01 ** (1 / 7), 201, dtype=F64) ** 7
    x = solve(heun, cfg(noise_in(right), noise_in(both), w), x, grid)
    z = torch.linspace(-3, 6, 9001, dtype=F64)[:, None]
    tilted = ((1 + w) * right.log_prob(z) - w * both.log_prob(z)).softmax(0)
    mean = (tilted * z[:, 0]).sum()
    assert 1.0 < mean < 1.1 and x.mean() > 1.7 and x.std() < 0.3


# ---------------------------------------------------------------- measurements


@pytest.mark.equation("eq-dps-exact", "eq-dps-gradient")
def test_gradients_of_a_linear_measurement_of_gaussian_data():
    cov = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=F64)
    law = GaussianMixture(
        torch.ones(1, dtype=F64), torch.tensor([[0.2, -0.3]], dtype=F64), cov[None]
    )
    A = torch.tensor([[1.0, 0.5]], dtype=F64)
    y, noise_var, eye = 1.1, 0.25, torch.eye(2, dtype=F64)
    for sigma in (0.3, 2.0):
        x = torch.randn(6, 2, dtype=F64, requires_grad=True)
        # p(y | x) from the joint law of (x, y) alone, by the ratio of two Gaussian densities.
        mean = torch.cat([law.means[0], law.means[0] @ A.T])
        cross = cov @ A.T
        joint = torch.cat(
            [
                torch.cat([cov + sigma**2 * eye, cross], 1),
                torch.cat([cross.T, A @ cov @ A.T + noise_var], 1),
            ]
        )
        whole = torch.distributions.MultivariateNormal(mean, joint)
        both = torch.cat([x, torch.full((6, 1), y, dtype=F64)], 1)
        log_p = whole.log_prob(both) - law.noised(sigma).log_prob(x)
        (want,) = torch.autograd.grad(log_p.sum(), x)
        x0, S0 = law.posterior(x.detach(), sigma)
        gain, rest = S0[0] @ A.T / sigma**2, y - x0 @ A.T
        exact = rest @ torch.linalg.inv(A @ S0[0] @ A.T + noise_var) @ gain.T
        assert (exact - want).abs().max() < 1e-9
        # DPS: differentiate through the denoiser, Tweedie's formula.
        hat = x + sigma**2 * law.noised(sigma).score(x)
        log_dps = -((y - hat @ A.T) ** 2).sum() / (2 * noise_var)
        (through,) = torch.autograd.grad(log_dps, x)
        assert (rest @ gain.T / noise_var - through).abs().max() < 1e-9
        assert (through.norm(dim=1) > want.norm(dim=1)).all()


def test_the_exact_gradient_samples_the_posterior_and_the_short_one_overshoots():
    cov = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=F64)
    law = GaussianMixture(torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64), cov[None])
    eps, ends = law.eps_fn(S), {}
    for keep in (1, 0):

        def log_likelihood(x, t, keep=keep):
            ab = S.alpha_bar[t[0]].item()
            x0 = (x - math.sqrt(1 - ab) * eps(x, t)) / math.sqrt(ab)
            rest = law.posterior(x[:1].detach() / math.sqrt(ab), math.sqrt((1 - ab) / ab))[1]
            return -0.5 * (1 - x0[:, 0]) ** 2 / (0.25 + keep * rest[0, 0, 0])

        torch.manual_seed(0)
        guided = classifier_guidance(eps, log_likelihood, S)
        start = torch.randn(2000, 2, dtype=F64)
        x = last(sample(guided, start, S, S.grid(150), lambda *a: ddim.step(*a, eta=1.0)))
        ends[keep] = x[:, 1].mean().item(), x[:, 1].var().item()
    # Kalman by hand: the second given the first measured as 1 with variance 1/4.
    mean, var = 0.8 / 1.25, 1 - 0.64 / 1.25
    assert abs(ends[1][0] - mean) < 0.06 and abs(ends[1][1] - var) < 0.06
    assert ends[0][0] > mean + 0.2 and ends[0][1] < var - 0.08


# ---------------------------------------------------------------- spaces


@pytest.mark.equation("eq-space-shift")
def test_an_enlarged_picture_shows_its_coarse_part_k_squared_times_as_clearly():
    torch.manual_seed(0)
    small, ab = torch.randn(400, 1, 8, 8, dtype=F64), 0.3
    snr = ab / (1 - ab)
    for k in (2, 4):
        shifted = math.exp(math.log(snr) - 2 * math.log(k))
        a = shifted / (1 + shifted)
        large = small.repeat_interleave(k, 2).repeat_interleave(k, 3)
        x = math.sqrt(a) * large + math.sqrt(1 - a) * torch.randn_like(large)
        coarse = torch.nn.functional.avg_pool2d(x, k)
        signal = math.sqrt(a) * small
        found = signal.square().mean() / (coarse - signal).square().mean()
        size = (small.square().mean() * snr).item()
        assert abs(found / size - 1) < 4 * math.sqrt(2 / small.numel())


@pytest.mark.equation("eq-d3pm-posterior")
def test_the_posterior_of_a_chain_of_symbols_by_enumeration_of_paths():
    g = torch.Generator().manual_seed(0)
    Q = torch.rand(3, 4, 4, dtype=F64, generator=g).softmax(2)  # three steps, four symbols
    t = 3
    bar, before = Q[0] @ Q[1] @ Q[2], Q[0] @ Q[1]
    for i, k in itertools.product(range(4), repeat=2):
        paths = torch.zeros(4, dtype=F64)
        for one, two in itertools.product(range(4), repeat=2):
            paths[two] += Q[0][i, one] * Q[1][one, two] * Q[2][two, k]
        got = Q[t - 1][:, k] * before[i] / bar[i, k]
        assert (got - paths / paths.sum()).abs().max() < 1e-12
        assert abs(got.sum() - 1) < 1e-12


def masked_chain(keep):
    """The matrices of a chain on symbols 0, 1, 2 and the mask 3; ``keep`` per step."""
    out = []
    for k in keep:
        Q = torch.diag(torch.tensor([k, k, k, 1.0], dtype=F64))
        Q[:3, 3] = 1 - k
        out.append(Q)
    return out


@pytest.mark.equation("eq-mask-posterior", "eq-mask-loss")
def test_masking_uncovers_by_bayes_rule_and_its_divergence_is_a_cross_entropy():
    keep = [0.9, 0.7, 0.6, 0.5]
    Q = masked_chain(keep)
    bar = [torch.eye(4, dtype=F64)]
    for step in Q:
        bar.append(bar[-1] @ step)
    ab = torch.tensor([1.0, *torch.tensor(keep, dtype=F64).cumprod(0).tolist()], dtype=F64)
    guess = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    for s, t in ((3, 4), (1, 4), (0, 2)):
        between = torch.linalg.multi_dot([torch.eye(4, dtype=F64), *Q[s:t]])
        uncover = (ab[s] - ab[t]) / (1 - ab[t])
        post = torch.stack([between[:, 3] * bar[s][i] / bar[t][i, 3] for i in range(3)])
        for i in range(3):
            assert abs(post[i, i] - uncover) < 1e-12 and abs(post[i, 3] - (1 - uncover)) < 1e-12
            # The model: the same posterior, with x_0 drawn from its guess.
            model = guess @ post
            both = (post[i] > 0) & (model > 0)
            kl = (post[i][both] * (post[i][both] / model[both]).log()).sum()
            assert abs(kl + uncover * guess[i].log()) < 1e-12
            # An uncovered symbol says everything: the posterior is the symbol itself.
            seen = between[:, i] * bar[s][i] / bar[t][i, i]
            assert abs(seen[i] - 1) < 1e-12


@pytest.mark.equation("eq-mask-steps")
@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_symbols_that_are_uncovered_together_lose_their_covariance(steps):
    joint = torch.tensor([[0.5, 0.1], [0.05, 0.35]], dtype=F64)
    first, second = joint.sum(1), joint.sum(0)
    # Walk down the exact chain: the law of the pair with None for a mask, level by level.
    law = {(None, None): 1.0}
    for t in range(steps, 0, -1):
        p = 1 / t  # (ab_s - ab_t) / (1 - ab_t) for even levels
        new: dict = {}
        for (a, b), mass in law.items():
            pa = {a: 1.0}
            if a is None:
                told = first if b is None else joint[:, b] / second[b]
                pa = {None: 1 - p, 0: p * told[0].item(), 1: p * told[1].item()}
            pb = {b: 1.0}
            if b is None:
                told = second if a is None else joint[a] / first[a]
                pb = {None: 1 - p, 0: p * told[0].item(), 1: p * told[1].item()}
            for (i, x), (j, y) in itertools.product(pa.items(), pb.items()):
                new[i, j] = new.get((i, j), 0.0) + mass * x * y
        law = new
    drawn = torch.zeros(2, 2, dtype=F64)
    for (a, b), mass in law.items():
        if a is not None and b is not None:
            drawn[a, b] = mass
    assert abs(drawn.sum() - 1) < 1e-12
    assert (drawn.sum(1) - first).abs().max() < 1e-12

    def covariance(p):
        return (p[1, 1] - p[1].sum() * p[:, 1].sum()).item()

    assert abs(covariance(drawn) - (1 - 1 / steps) * covariance(joint)) < 1e-12


@pytest.mark.equation("eq-edict")
def test_coupled_walks_come_back_to_rounding_where_ddim_does_not():
    eps, grid = noise_in(PAIR), torch.logspace(0, 1.3, 8, dtype=F64)
    x = y = PAIR.sample(50, torch.Generator().manual_seed(0))
    start = x
    for low, high in itertools.pairwise(grid.tolist()):  # up: the lower line of the equation
        h = low - high
        y = y - h * eps(x, high)
        x = x - h * eps(y, high)
    assert (x - start).abs().max() > 0.5 and not torch.equal(x, y)
    for high, low in itertools.pairwise(grid.flip(0).tolist()):
        h = low - high
        x = x + h * eps(y, high)
        y = y + h * eps(x, high)
    assert (x - start).abs().max() < 1e-10 and (y - start).abs().max() < 1e-10
    plain = solve(euler, eps, solve(euler, eps, start, grid), grid.flip(0))
    assert (plain - start).abs().max() > 0.05
    # With fine steps both follow the flow; what parts them grows like 1 / sigma on the way down.
    x = y = want = 3 * torch.randn(20, 1, dtype=F64)
    fine = torch.logspace(math.log10(3), 0, 2001, dtype=F64)
    want = solve(heun, eps, want, fine)
    for high, low in itertools.pairwise(fine.tolist()):
        x = x + (low - high) * eps(y, high)
        y = y + (low - high) * eps(x, high)
    assert (x - want).abs().max() < 0.02 and (y - want).abs().max() < 0.02


def test_heun_with_its_second_question_at_the_wrong_level_is_of_first_order():
    def slipped(eps, x, a, b):
        first = eps(x, a)
        return x + (b - a) / 2 * (first + eps(x + (b - a) * first, a))

    eps, x = noise_in(gauss(0.7, 0.25)), torch.tensor([[13.0]], dtype=F64)
    truth, errors = consistency(x, 20.0, 0.7, 0.5, 0.05), []
    for n in (256, 512, 1024):
        grid = torch.linspace(20 ** (1 / 7), 0.05 ** (1 / 7), n + 1, dtype=F64) ** 7
        errors.append((solve(slipped, eps, x, grid) - truth).abs().item())
    assert all(1.8 < a / b < 2.3 for a, b in itertools.pairwise(errors))


def test_the_weight_of_flow_matching_is_that_of_v_up_to_a_factor_of_two():
    x0, eps, wrong = torch.randn(3, 4, 5, dtype=F64)
    for u in (0.1, 0.5, 0.9):
        x = (1 - u) * x0 + u * eps
        off = ((eps + wrong) - (x - u * (eps + wrong)) / (1 - u)) - (eps - x0)
        weight = (off.square().sum() / wrong.square().sum()).item()
        assert abs(weight * (1 - u) ** 2 - 1) < 1e-9
        ab = (1 - u) ** 2 / ((1 - u) ** 2 + u**2)
        assert 0.5 - 1e-9 <= (1 / ab) / weight <= 1


def test_the_ancestral_step_is_the_reverse_equation_for_short_steps():
    # Its mean is sqrt(1 - beta) undone plus beta times the score: drift and lambda = 1.
    x = torch.tensor([[0.4]], dtype=F64)
    for t in (200, 700):
        score = PAIR.diffused(S.alpha_bar[t].item()).score(x)
        eps = -(1 - S.alpha_bar[t]).sqrt() * score
        mean, _ = ddpm.step(x, t, t - 1, eps, S, noise=torch.zeros_like)
        beta = S.beta[t].item()
        assert abs((mean - x - beta * (x / 2 + score)).item()) < 2 * beta**2 * (1 + score.abs())

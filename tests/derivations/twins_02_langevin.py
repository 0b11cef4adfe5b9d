"""Twins of chapter 2: densities as symbols or on the line, chains by their recursion."""

import itertools

import numpy as np
import sympy
from sides import LINE, MU, VAR, W, hermite, integral, mixture, normal, order, same, slope

from derivations import twin

DEFINITIONS = {
    r"X_{t+h} = X_t + \frac{h}{2} \nabla \log p(X_t) + \sqrt{h} z": "introduces the step",
    r"z \sim \mathcal{N}(0, I)": "says what z is",
    r"dX = \tfrac12 \nabla \log p(X) dt + dW": (
        "a name for the limit of the step; what it does to a density is the next relation"
    ),
    r"x_k = x_{k-1} + \frac{\delta}{2} \nabla \log p(x_{k-1}) + \sqrt{\delta} z_k": (
        "introduces the algorithm"
    ),
    r"\sigma_i = \sigma_1 (\frac{\sigma_L}{\sigma_1})^{(i - 1)/(L - 1)}": (
        "a sequence of levels, chosen"
    ),
    r"i = 1, \dots, L": "the range of an index",
    r"\delta_i = \delta_{\min} \frac{\sigma_i^2}{\sigma_L^2}": "a sequence of steps, chosen",
    r"\kappa = \frac{\delta_{\min}}{2 \sigma_L^2}": "introduces kappa",
    r"x \leftarrow x + \sigma_L^2 s(x, \sigma_L)": "the last step of the sampler, chosen",
}

RNG = np.random.default_rng(2)
SCORE = slope(lambda x: np.log(mixture(x)), LINE)
RHO = normal(LINE, 0.4, 1.3)  # a law that is on its way


def log_p_slope(x):
    """Returns the score of the mixture in closed form, for what is stepped far out."""
    r = W * normal(x[..., None], MU, VAR)
    return (r * (MU - x[..., None]) / VAR).sum(-1) / r.sum(-1)


def probe(x):
    return np.exp(-((x - 0.7) ** 2)) * (1 + x)


def slopes(f, x):
    """Returns f' and f''."""
    return slope(f, x), slope(lambda y: slope(f, y, 0.02), x, 0.02)


@twin(
    r"\mathbb{E} \varphi(X_{t+h}) = \mathbb{E} \varphi(X_t) + h \mathbb{E}"
    r" [\tfrac12 \langle \nabla \log p, \nabla \varphi \rangle + \tfrac12 \Delta \varphi]"
    r" + O(h^2)"
)
def one_step_expanded():
    """The remainder falls by four when h is halved."""
    nodes, weights = hermite(60)
    start, inner = probe(LINE), slopes(probe, LINE)
    first = integral(RHO * (0.5 * SCORE * inner[0] + 0.5 * inner[1]))

    def remainder(h):
        after = LINE[:, None] + h / 2 * SCORE[:, None] + np.sqrt(h) * nodes
        left = integral(RHO * (probe(after) @ weights))
        return left - (integral(RHO * start) + h * first)

    order(remainder, power=2)


@twin(
    r"\frac{\partial \rho_t}{\partial t} = -\tfrac12 \nabla \cdot (\rho_t \nabla \log p)"
    r" + \tfrac12 \Delta \rho_t",
    r"-\tfrac12 \nabla \cdot (\rho_t \nabla \log p) + \tfrac12 \Delta \rho_t"
    r" = \tfrac12 \nabla \cdot (\rho_t \nabla \log \frac{\rho_t}{p})",
)
def fokker_planck():
    """The equation for a Gaussian target whose laws at all times are known, in symbols.

    Then for any target, weakly: the left side is how fast E phi changes in one short step. The
    two forms are one in symbols, for any two positive functions of two variables.
    """
    x, t = sympy.symbols("x t", real=True)
    c, a, b = sympy.Rational(4, 5), sympy.Rational(3, 2), sympy.Rational(1, 3)
    decay = sympy.exp(-t / (2 * c**2))
    var = c**2 + (b - c**2) * decay**2
    rho = sympy.exp(-((x - a * decay) ** 2) / (2 * var)) / sympy.sqrt(2 * sympy.pi * var)
    right = sympy.diff(rho * x / c**2, x) / 2 + sympy.diff(rho, x, 2) / 2
    ratio = sympy.lambdify((x, t), sympy.diff(rho, t) / right)
    same(ratio(RNG.normal(size=9), RNG.uniform(0.1, 2, size=9)), np.ones(9))

    change = []
    nodes, weights = hermite(60)
    for h in (0.01, 0.005, 0.0025):
        after = LINE[:, None] + h / 2 * SCORE[:, None] + np.sqrt(h) * nodes
        change.append(integral(RHO * (probe(after) @ weights - probe(LINE))) / h)
    rate = (8 * change[2] - 6 * change[1] + change[0]) / 3  # as h goes to 0

    def flow(y):
        return normal(y, 0.4, 1.3) * log_p_slope(y)

    law_2 = slopes(lambda y: normal(y, 0.4, 1.3), LINE)[1]
    same(rate, integral(probe(LINE) * (-slope(flow, LINE) / 2 + law_2 / 2)), rel=1e-4)

    u, v = sympy.symbols("u v", real=True)
    rho, p = (sympy.Function(name, positive=True)(u, v) for name in ("rho", "p"))
    first = sum(
        -sympy.diff(rho * sympy.diff(sympy.log(p), y), y) / 2 + sympy.diff(rho, y, 2) / 2
        for y in (u, v)
    )
    second = sum(sympy.diff(rho * sympy.diff(sympy.log(rho / p), y), y) / 2 for y in (u, v))
    assert sympy.simplify(first - second) == 0


@twin(
    r"\frac{d}{dt} \mathrm{KL}(\rho_t \| p)"
    r" = \int \frac{\partial \rho_t}{\partial t} \log \frac{\rho_t}{p} dx",
    r"\int \frac{\partial \rho_t}{\partial t} \log \frac{\rho_t}{p} dx = \tfrac12 \int"
    r" \nabla \cdot (\rho_t \nabla \log \frac{\rho_t}{p}) \log \frac{\rho_t}{p} dx",
    r"\tfrac12 \int \nabla \cdot (\rho_t \nabla \log \frac{\rho_t}{p})"
    r" \log \frac{\rho_t}{p} dx"
    r" = -\tfrac12 \int \rho_t \| \nabla \log \frac{\rho_t}{p} \|^2 dx",
)
def decay_of_the_divergence():
    """A Gaussian target, for which the law at every time is known; then the last step for any."""
    c, a, b, t = 0.8, 1.1, 0.3, 0.4

    def law(x, t):
        decay = np.exp(-t / (2 * c**2))
        return normal(x, a * decay, c**2 + (b - c**2) * decay**2)

    x = LINE[200:-200]  # where the logarithms are numbers

    def kl(t):
        return integral(law(x, t) * np.log(law(x, t) / normal(x, 0, c**2)))

    def log(y):
        return np.log(law(y, t) / normal(y, 0, c**2))

    in_time = slope(lambda t: law(x, t), t)
    current = slope(lambda y: law(y, t) * slope(log, y, 0.01), x, 0.01)
    same(
        slope(kl, t),
        integral(in_time * log(x)),
        0.5 * integral(current * log(x)),
        -0.5 * integral(law(x, t) * slope(log, x) ** 2),
        rel=1e-7,
    )

    def other(y):
        return np.log(normal(y, 0.4, 1.3) / mixture(y))

    current = slope(lambda y: normal(y, 0.4, 1.3) * slope(other, y, 0.01), x, 0.01)
    right = -0.5 * integral(normal(x, 0.4, 1.3) * slope(other, x) ** 2)
    same(0.5 * integral(current * other(x)), right, rel=1e-5)


@twin(
    r"x_k - m = r (x_{k-1} - m) + \sqrt{\delta} z_k",
    r"r = 1 - \frac{\delta}{2 c^2}",
)
def the_step_for_a_gaussian():
    """The algorithm itself, with the score as a difference of the logarithm."""
    for c, m, delta in [(0.7, 0.4, 0.3), (1.5, -1.0, 5.0)]:
        x, z = RNG.normal(size=(2, 5))
        score = slope(lambda y, m=m, v=c**2: np.log(normal(y, m, v)), x)
        after = x + delta / 2 * score + np.sqrt(delta) * z
        same(after - m, (1 - delta / (2 * c**2)) * (x - m) + np.sqrt(delta) * z, rel=1e-8)


def variances(c, delta, v, n):
    """Returns the variance of the chain after 0..n steps: of a linear step with fresh noise."""
    out = [v]
    for _ in range(n):
        ends = np.array([-1.0, 1.0]) * np.sqrt(out[-1])  # two points with this variance
        out.append((ends - delta / 2 * ends / c**2).var() + delta)
    return np.array(out)


@twin(
    r"V_\infty = \frac{c^2}{1 - \delta / 4 c^2}",
    r"\text{stable if and only if } 0 < \delta",
    r"\delta < 4 c^2",
    r"V_k = V_\infty + r^{2k} (V_0 - V_\infty)",
)
def variance_of_the_chain():
    c = 0.9
    for share in (0.05, 0.5, 0.9):
        delta = share * 4 * c**2
        limit = c**2 / (1 - delta / (4 * c**2))
        chain = variances(c, delta, 0.2, 400)
        same(chain[-1], limit)
        r = 1 - delta / (2 * c**2)
        k = np.arange(401)
        same(chain, limit + r ** (2 * k) * (0.2 - limit))
    for share, stable in [(-0.01, False), (0.0, False), (0.01, True), (0.99, True), (1.01, False)]:
        delta, x, y = share * 4 * c**2, 0.3, 1.0  # two chains that are given the same noise
        for z in RNG.normal(size=300):
            kick = np.sqrt(abs(delta)) * z
            x, y = (one - delta / 2 * one / c**2 + kick for one in (x, y))
        assert (abs(x - y) < 0.1) == stable, share
    assert np.diff(variances(c, 4 * c**2, 0.2, 50)).min() > 0  # at the limit it grows for ever


@twin(
    r"\frac{V_\infty}{c^2} - 1 = \frac{u}{1 - u}",
    r"\frac{u}{1 - u} = u + O(u^2)",
    r"W_2 = c (\frac{1}{\sqrt{1 - u}} - 1)",
    r"c (\frac{1}{\sqrt{1 - u}} - 1) = \frac{c u}{2} + O(u^2)",
    r"\mathrm{KL} = \tfrac12 (\frac{u}{1 - u} + \log(1 - u))",
    r"\tfrac12 (\frac{u}{1 - u} + \log(1 - u)) = \frac{u^2}{4} + O(u^3)",
)
def bias_of_the_step():
    """The limit by its recursion, W_2 by matching quantiles, KL on the line; then the orders."""
    c = 1.2
    nodes, weights = hermite(20)  # the quantiles of both laws are multiples of these
    for u in (0.1, 0.4):
        v = variances(c, u * 4 * c**2, 1.0, 400)[-1]
        same(v / c**2 - 1, u / (1 - u))
        w2 = np.sqrt(weights @ (np.sqrt(v) * nodes - c * nodes) ** 2)
        same(w2, c * (1 / np.sqrt(1 - u) - 1))
        log = np.log(c**2 / v) / 2 - LINE**2 / (2 * v) + LINE**2 / (2 * c**2)
        same(integral(normal(LINE, 0, v) * log), (u / (1 - u) + np.log(1 - u)) / 2, rel=1e-7)
    order(lambda u: u / (1 - u) - u, power=2)
    order(lambda u: c * (1 / np.sqrt(1 - u) - 1) - c * u / 2, power=2)
    order(lambda u: (u / (1 - u) + np.log1p(-u)) / 2 - u**2 / 4, power=3)


@twin(
    r"p(x) q(x' \mid x) a(x, x') = p(x') q(x \mid x') a(x', x)",
    r"a(x, x') = \min(1, \frac{p(x') q(x \mid x')}{p(x) q(x' \mid x)})",
)
def detailed_balance():
    """With this a both flows agree, and none larger would do: in one direction a is 1."""
    delta = 0.5
    x, y = RNG.normal(size=(2, 50)) * 2

    def proposal(to, at):
        return normal(to, at + delta / 2 * log_p_slope(at), delta)

    def accept(x, y):
        return np.minimum(1, mixture(y) * proposal(x, y) / (mixture(x) * proposal(y, x)))

    there = mixture(x) * proposal(y, x) * accept(x, y)
    back = mixture(y) * proposal(x, y) * accept(y, x)
    same(there / back, np.ones(50))
    same(np.maximum(accept(x, y), accept(y, x)), np.ones(50))
    assert 5 < (accept(x, y) < 1).sum() < 45


@twin(r"\rho \propto p^{2b / \nu}")
def powers_of_the_density():
    """In symbols: this power stands still under drift b and noise nu, in two dimensions."""
    x, y, b, nu, k = sympy.symbols("x y b nu k", positive=True)
    log_p = sympy.Function("f", real=True)(x, y)

    def motion(power):
        rho = sympy.exp(power * log_p)
        return sum(
            -b * sympy.diff(rho * sympy.diff(log_p, z), z) + nu / 2 * sympy.diff(rho, z, 2)
            for z in (x, y)
        )

    assert sympy.simplify(motion(2 * b / nu)) == 0
    assert sympy.simplify(motion(k)) != 0


@twin(
    r"\mathbb{E} x_\infty = m + \frac{\sqrt{\delta} / 2}{1 - r}",
    r"m + \frac{\sqrt{\delta} / 2}{1 - r} = m + \frac{c^2}{\sqrt{\delta}}",
    r"\mathrm{Var} x_\infty = \frac{\delta / 12}{1 - r^2}",
    r"\frac{\delta / 12}{1 - r^2} = \frac{V_\infty}{12}",
)
def uniform_noise():
    """The chain's mean and variance step by step, with those of the uniform law by quadrature."""
    u, w = np.polynomial.legendre.leggauss(4)
    u, w = (u + 1) / 2, w / 2
    m, c = 0.6, 0.8
    for delta in (0.1, 0.7):
        mean, var = 0.0, 0.3
        for _ in range(600):
            ends = mean + np.array([-1.0, 1.0]) * np.sqrt(var)
            after = ends - delta / 2 * (ends - m) / c**2
            mean = after.mean() + np.sqrt(delta) * (w @ u)
            var = after.var() + delta * (w @ (u - w @ u) ** 2)
        r = 1 - delta / (2 * c**2)
        same(mean, m + np.sqrt(delta) / 2 / (1 - r), m + c**2 / np.sqrt(delta))
        limit = variances(c, delta, 1.0, 600)[-1]
        same(var, delta / 12 / (1 - r**2), limit / 12)


@twin(
    r"\frac{\| \frac{\delta_i}{2} \nabla \log q_{\sigma_i} \|}{\| \sqrt{\delta_i} z \|}"
    r" \approx \frac{\sqrt{\delta_i}}{2 \sigma_i}",
    r"\frac{\sqrt{\delta_i}}{2 \sigma_i} = \frac{\sqrt{\delta_{\min}}}{2 \sigma_L}",
)
def drift_against_noise():
    """Data at one point; the more coordinates, the closer the two: to 4 / sqrt(d) at least."""
    sigmas, least = np.geomspace(8, 0.4, 5), 0.1
    for sigma in sigmas:
        delta = least * sigma**2 / sigmas[-1] ** 2
        right = np.sqrt(delta) / (2 * sigma)
        for d in (1_000, 100_000):
            x, z = sigma * RNG.normal(size=d), RNG.normal(size=d)
            score = -x / sigma**2
            left = np.linalg.norm(delta / 2 * score) / np.linalg.norm(np.sqrt(delta) * z)
            assert abs(left / right - 1) < 4 / np.sqrt(d)
        same(right, np.sqrt(least) / (2 * sigmas[-1]))


@twin(
    r"\frac{V_n}{\sigma_i^2} = (1 - \kappa)^{2n} (\gamma^2 - \frac{V_\infty}{\sigma_i^2})"
    r" + \frac{V_\infty}{\sigma_i^2}",
    r"\frac{V_\infty}{\sigma_i^2} = \frac{1}{1 - \kappa/2}",
)
def variance_after_a_level():
    """The recursion, from the variance that the level before left behind."""
    sigmas, least = np.geomspace(8, 0.4, 5), 0.1
    kappa = least / (2 * sigmas[-1] ** 2)
    for before, sigma in itertools.pairwise(sigmas):
        delta = least * sigma**2 / sigmas[-1] ** 2
        gamma = before / sigma
        chain = variances(sigma, delta, before**2, 400)
        limit = chain[-1] / sigma**2
        same(limit, 1 / (1 - kappa / 2))
        n = np.arange(401)
        same(chain / sigma**2, (1 - kappa) ** (2 * n) * (gamma**2 - limit) + limit)

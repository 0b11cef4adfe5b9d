"""Twins of chapter 10: limits by their order, laws on the line, flows by a solver."""

import itertools

import numpy as np
from sides import (
    LINE,
    MU,
    VAR,
    W,
    hermite,
    integral,
    mixture,
    normal,
    order,
    same,
    schedule,
    slope,
)

from derivations import twin

DEFINITIONS = {
    r"\text{for any } \lambda \ge 0": "the range of a parameter",
    r"D(\bar x; \varsigma) = c_{\text{skip}} \bar x + c_{\text{out}} F(c_{\text{in}} \bar x)": (
        "introduces the scales"
    ),
    r"x_u = (1 - u) x_0 + u \epsilon": "introduces the line",
    r"\xi(x, u) = \mathbb{E}[\epsilon - x_0 \mid x_u = x]": "introduces the velocity",
    r"u \in [0, 1]": "the range of a parameter",
    r"\bar x_* = \bar x + (\varsigma' - \varsigma) \hat\epsilon(\bar x, \varsigma)": (
        "introduces where to ask again"
    ),
    r"\bar x_* = \bar x + (\varsigma_m - \varsigma) \hat\epsilon(\bar x, \varsigma)": (
        "introduces where to ask again"
    ),
    r"\varsigma_m = \sqrt{\varsigma \varsigma'}": "introduces the middle",
    r"\psi = c_{\text{skip}} \bar x + c_{\text{out}} F": "introduces the scales",
    r"\omega = 1 + w": "introduces omega",
    r"c_{\text{skip}} = \frac{c^2}{(\varsigma - e)^2 + c^2}": "a scale, prescribed; it is 1 at e",
    r"c_{\text{out}} = \frac{c (\varsigma - e)}{\sqrt{\varsigma^2 + c^2}}": (
        "a scale, prescribed; it is 0 at e"
    ),
    r"p_w(x) \propto p(x \mid c)^{1 + w} p(x)^{-w}": "introduces the tilted law",
    r"\bar x' = \bar x + h \hat\epsilon(\bar y, \varsigma)": "a step of the method, chosen",
    r"\bar y' = \bar y + h \hat\epsilon(\bar x', \varsigma)": "a step of the method, chosen",
    r"\hat\epsilon_w = \hat\epsilon + (1 + w) (\hat\epsilon_c - \hat\epsilon)": (
        "introduces the guided prediction"
    ),
}

RNG = np.random.default_rng(10)
BETA, BAR = schedule(RNG)


def noised(x, level):
    """Returns the density of x_0 + level * eps at x, by adding up over x_0."""
    return integral(mixture(LINE) * normal(np.asarray(x)[..., None], LINE, level**2))


def guess(x, level):
    """Returns E[eps | x] at a level, by adding up over eps."""
    law = normal(LINE, 0, 1) * mixture(np.asarray(x)[..., None] - level * LINE)
    return integral(law * LINE) / integral(law)


def follow(f, x, start, stop, n):
    """Returns where dx/du = f(x, u) takes x, by Runge and Kutta's rule."""
    h = (stop - start) / n
    for i in range(n):
        u = start + i * h
        a = f(x, u)
        b = f(x + h / 2 * a, u + h / 2)
        c = f(x + h / 2 * b, u + h / 2)
        x = x + h / 6 * (a + 2 * b + 2 * c + f(x + h * c, u + h))
    return x


def rate(t):
    return 1.5 + t


@twin(
    r"dx = -\tfrac12 \beta(t) x dt + \sqrt{\beta(t)} dW",
    r"d \bar x = \sqrt{\frac{d \varsigma^2}{dt}} dW",
    r"\bar\alpha(t) = e^{-\int_0^t \beta}",
)
def the_limit_of_short_steps():
    """Mean and variance at t = 1: chapter 3's steps against Euler's steps of the equations.

    They differ by the order of the step, and so does the product from the exponential.
    """
    total = 2.0  # the integral of the rate from 0 to 1

    def bar(t):
        return np.exp(-(1.5 * t + t**2 / 2))

    def gaps(h):
        times = np.arange(0, 1, h)
        mean, var, mean_e, var_e, in_units = 1.0, 0.2, 1.0, 0.2, 0.2
        for t in times:
            beta = rate(t) * h
            mean, var = np.sqrt(1 - beta) * mean, (1 - beta) * var + beta
            factor = 1 - 0.5 * rate(t) * h
            mean_e, var_e = factor * mean_e, factor**2 * var_e + np.sqrt(rate(t)) ** 2 * h
            in_units += slope(lambda u: 1 / bar(u) - 1, t) * h
        share = np.prod(1 - rate(times) * h)
        away = var / mean**2 - in_units  # in units of x / sqrt(bar alpha), where nothing drifts
        return np.array([mean - mean_e, var - var_e, away, share - np.exp(-total)])

    for i in range(4):
        order(lambda h, i=i: gaps(h)[i], power=1, at=2.0**-8)


@twin(r"\frac{\partial q_t}{\partial t} = -\nabla \cdot (f q_t) + \tfrac12 g^2 \Delta q_t")
def fokker_planck():
    """How fast E phi changes in a short step with any drift, against the right side and phi."""
    g, (nodes, weights) = 1.3, hermite(60)

    def drift(x):
        return np.sin(x) - 0.5 * x

    def phi(x):
        return np.exp(-((x - 0.7) ** 2)) * (1 + x)

    change = []
    for h in (0.01, 0.005, 0.0025):
        after = LINE[:, None] + h * drift(LINE)[:, None] + g * np.sqrt(h) * nodes
        change.append(integral(mixture(LINE) * (phi(after) @ weights - phi(LINE))) / h)
    left = (8 * change[2] - 6 * change[1] + change[0]) / 3  # as h goes to 0
    bend = slope(lambda x: slope(mixture, x, 0.02), LINE, 0.02)
    flow = slope(lambda x: drift(x) * mixture(x), LINE)
    same(left, integral(phi(LINE) * (-flow + g**2 / 2 * bend)), rel=1e-4)


SPEED = 0.8  # a constant beta, so that bar alpha is exp(-SPEED t)


def law(x, t):
    bar = np.exp(-SPEED * t)
    return mixture(x, np.sqrt(bar) * MU, bar * VAR + 1 - bar)


def log_slope(x, t):
    """Returns the score of the law at t in closed form, for what is stepped far out."""
    bar = np.exp(-SPEED * t)
    means, variances = np.sqrt(bar) * MU, bar * VAR + 1 - bar
    away = means - x[..., None]
    log = np.log(W / np.sqrt(variances)) - away**2 / (2 * variances)
    r = np.exp(log - log.max(-1, keepdims=True))
    return (r * away / variances).sum(-1) / r.sum(-1)


@twin(
    r"dx = [f - \tfrac12 (1 + \lambda^2) g^2 \nabla \log q_t] dt + \lambda g d\bar W",
)
def the_film_backwards():
    """One step down from the law at t misses that at t - h by the second order, at any noise."""
    t, (nodes, weights) = 0.9, hermite(60)

    def phi(x):
        return np.exp(-((x - 0.7) ** 2)) * (1 + x)

    for noise in (0.0, 0.7, 1.0):

        def miss(h, noise=noise):
            drift = -SPEED / 2 * LINE - (1 + noise**2) / 2 * SPEED * log_slope(LINE, t)
            after = (LINE - h * drift)[:, None] + noise * np.sqrt(SPEED * h) * nodes
            return integral(law(LINE, t) * (phi(after) @ weights) - law(LINE, t - h) * phi(LINE))

        order(miss, power=2)


@twin(
    r"\frac{d}{dt} \log q_t(x_t) = \frac{\partial_t q_t + \langle f_0, \nabla q_t \rangle}{q_t}",
    r"\frac{\partial_t q_t + \langle f_0, \nabla q_t \rangle}{q_t} = - \nabla \cdot f_0(x_t, t)",
)
def density_along_the_flow():
    x, t = np.array([-1.5, 0.2, 1.8]), 0.7

    def u(x, t):
        return -SPEED / 2 * x - SPEED / 2 * slope(lambda y: np.log(law(y, t)), x)

    def along(h):
        end = follow(u, x, t, t + h, 4)
        return np.log(law(end, t + h))

    both = slope(lambda s: law(x, s), t) + u(x, t) * slope(lambda y: law(y, t), x)
    same(slope(along, 0.0, 0.01), both / law(x, t), -slope(lambda y: u(y, t), x, 0.01), rel=1e-7)


@twin(
    r"c_{\text{out}}^2 = \mathrm{Var}(x_0 - c_{\text{skip}} \bar x)",
    r"\mathrm{Var}(x_0 - c_{\text{skip}} \bar x)"
    r" = (1 - c_{\text{skip}})^2 c^2 + c_{\text{skip}}^2 \varsigma^2",
    r"c_{\text{skip}} = \frac{c^2}{\varsigma^2 + c^2}",
    r"c_{\text{out}} = \frac{\varsigma c}{\sqrt{\varsigma^2 + c^2}}",
    r"c_{\text{in}} = \frac{1}{\sqrt{\varsigma^2 + c^2}}",
)
def scales_of_the_network():
    """Variances by Gauss's rule over data and noise; the skip is where the variance is least."""
    nodes, weights = hermite(3)
    for c, level in [(0.5, 0.3), (1.4, 2.0)]:
        x0, eps = c * nodes[:, None], nodes
        seen = x0 + level * eps

        def var(skip, x0=x0, seen=seen):
            return weights @ (x0 - skip * seen) ** 2 @ weights

        same(var(0.37), (1 - 0.37) ** 2 * c**2 + 0.37**2 * level**2)
        skip = c**2 / (level**2 + c**2)
        assert abs(slope(var, skip)) < 1e-9 and var(skip + 0.1) > var(skip) < var(skip - 0.1)
        out = level * c / np.sqrt(level**2 + c**2)
        same(out**2, var(skip))
        inner = 1 / np.sqrt(level**2 + c**2)
        same(weights @ (inner * seen) ** 2 @ weights, 1.0)
        same(weights @ ((x0 - skip * seen) / out) ** 2 @ weights, 1.0)


@twin(
    r"F = -v",
    r"\frac{1}{c_{\text{out}}^2} \|\hat x_0 - x_0\|^2 = \|\hat v - v\|^2",
)
def the_network_predicts_the_velocity():
    """For data of variance 1: what the network has to answer, and what its error weighs."""
    x0, eps, wrong = RNG.normal(size=(3, 5))
    for angle in (0.3, 1.1):
        level = np.tan(angle)
        seen = x0 + level * eps
        skip, out = 1 / (level**2 + 1), level / np.sqrt(level**2 + 1)
        v = slope(lambda u: np.cos(u) * x0 + np.sin(u) * eps, angle)
        same((x0 - skip * seen) / out, -v)
        guessed = wrong, (seen - wrong) / level  # they explain the same input
        v_hat = np.cos(angle) * guessed[1] - np.sin(angle) * guessed[0]
        same(((wrong - x0) ** 2).sum() / out**2, ((v_hat - v) ** 2).sum())


@twin(
    r"\frac{d}{du} [(1 - u) \bar x]"
    r" = -\bar x + \frac{1 - u}{(1 - u)^2} \mathbb{E}[\epsilon \mid \bar x]",
    r"-\bar x + \frac{1 - u}{(1 - u)^2} \mathbb{E}[\epsilon \mid \bar x]"
    r" = \frac{\mathbb{E}[\epsilon \mid x_u] - x_u}{1 - u}",
    r"\xi(x, u) = \frac{- u \nabla \log q_u(x) - x}{1 - u}",
)
def straight_lines_are_the_same_flow():
    """Left: points are carried along the probability flow; xi is added up over the noise."""
    x = np.array([-1.5, 0.2, 1.8])
    for u in (0.3, 0.6):

        def state(r, u=u):
            start, stop = u / (1 - u), r / (1 - r)
            return (1 - r) * follow(guess, x, start, stop, 4)

        left = slope(state, u, 0.01)
        level = u / (1 - u)
        middle = -x + (1 - u) / (1 - u) ** 2 * guess(x, level)
        xu = (1 - u) * x
        x0 = (xu[:, None] - u * LINE) / (1 - u)
        weight = normal(LINE, 0, 1) * mixture(x0)
        noise = integral(weight * LINE) / integral(weight)
        same(left, middle, (noise - xu) / (1 - u), rel=1e-7)

        def log_q(y, u=u):
            return np.log(integral(mixture(LINE) * normal(y[:, None], (1 - u) * LINE, u**2)))

        xi = integral(weight * (LINE - x0)) / integral(weight)
        same(xi, (-u * slope(log_q, xu) - xu) / (1 - u), rel=1e-7)


@twin(
    r"x_{u'} = x_u + (u' - u) (\hat\epsilon - \hat x_0)",
    r"x_u + (u' - u) (\hat\epsilon - \hat x_0) = (1 - u') \hat x_0 + u' \hat\epsilon",
)
def the_steps_are_ddim():
    """Left: a DDIM step in chapter 4's units, on the levels of the straight lines."""
    x0, eps = RNG.normal(size=(2, 5))
    for u, r in [(0.8, 0.5), (0.4, 0.1)]:
        xu = (1 - u) * x0 + u * eps
        left = (1 - r) * (xu / (1 - u) + (r / (1 - r) - u / (1 - u)) * eps)
        same(left, xu + (r - u) * (eps - x0), (1 - r) * x0 + r * eps)


@twin(
    r"\bar x' = \bar x + \frac{\varsigma' - \varsigma}{2}"
    r" (\hat\epsilon(\bar x, \varsigma) + \hat\epsilon(\bar x_*, \varsigma'))",
    r"\bar x' = \bar x + (\varsigma' - \varsigma) \hat\epsilon(\bar x_*, \varsigma_m)",
)
def steps_of_second_order():
    """What they claim: one step misses the flow by the third order, and by no higher one."""
    x, level = np.array([0.7]), 1.2

    def heun(h):
        first = guess(x, level)
        y = x + h * first
        return x + h / 2 * (first + guess(y, level + h))

    def middle(h):
        m = np.sqrt(level * (level + h))
        y = x + (m - level) * guess(x, level)
        return x + h * guess(y, m)

    def flow(h):
        return follow(guess, x, level, level + h, 4)

    for step in (heun, middle):
        order(lambda h, f=step: (f(-h) - flow(-h))[0], power=3, at=0.1)


@twin(
    r"x_s = \sqrt{\frac{\bar\alpha_s}{\bar\alpha_t}} x_t - \sqrt{\bar\alpha_s}"
    r" \int_{\lambda_t}^{\lambda_s} e^{-\lambda} \hat\epsilon(x_\lambda, \lambda) d\lambda",
    r"x_s = \sqrt{\frac{\bar\alpha_s}{\bar\alpha_t}} x_t"
    r" - \sqrt{1 - \bar\alpha_s} (e^h - 1) \hat\epsilon",
)
def linear_part_solved():
    """The path is walked in bar x; then a constant prediction, against the step of chapter 4."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    for t, s in [(5, 2), (3, 1)]:
        levels = [np.sqrt((1 - BAR[i]) / BAR[i]) for i in (t, s)]
        ends = [-np.log(level) for level in levels]
        h = ends[1] - ends[0]
        x = np.array([-1.2, 0.4])
        total = 0.0
        for node, weight in zip(ends[0] + h * (nodes + 1) / 2, weights * h / 2, strict=True):
            at = follow(guess, x, levels[0], np.exp(-node), 20)
            total = total + weight * np.exp(-node) * guess(at, np.exp(-node))
        xt = np.sqrt(BAR[t]) * x
        left = np.sqrt(BAR[s]) * follow(guess, x, *levels, 40)
        same(left, np.sqrt(BAR[s] / BAR[t]) * xt - np.sqrt(BAR[s]) * total, rel=1e-6)
        eps = RNG.normal(size=2)
        x0 = (xt - np.sqrt(1 - BAR[t]) * eps) / np.sqrt(BAR[t])
        ddim = np.sqrt(BAR[s]) * x0 + np.sqrt(1 - BAR[s]) * eps
        right = np.sqrt(BAR[s] / BAR[t]) * xt - np.sqrt(1 - BAR[s]) * (np.exp(h) - 1) * eps
        same(ddim, right)


@twin(r"\tilde x = \frac{x_s - \rho x_t}{\sqrt{\bar\alpha_s} - \rho \sqrt{\bar\alpha_t}}")
def target_of_the_student():
    """A student's one DDIM step with this prediction ends where the teacher's two steps end."""

    def ddim(x, x0, t, s):
        eps = (x - np.sqrt(BAR[t]) * x0) / np.sqrt(1 - BAR[t])
        return np.sqrt(BAR[s]) * x0 + np.sqrt(1 - BAR[s]) * eps

    x, first, second = RNG.normal(size=(3, 5))
    for t, m, s in [(6, 4, 1), (4, 3, 2)]:
        end = ddim(ddim(x, first, t, m), second, m, s)
        rho = np.sqrt((1 - BAR[s]) / (1 - BAR[t]))
        target = (end - rho * x) / (np.sqrt(BAR[s]) - rho * np.sqrt(BAR[t]))
        same(ddim(x, target, t, s), end)


@twin(r"\psi(\bar x, \varsigma) = m + \sqrt{\frac{c^2 + e^2}{c^2 + \varsigma^2}} (\bar x - m)")
def end_of_the_path_for_gaussian_data():
    """The flow is walked with predictions that are added up over the noise."""
    m, c, e, level = 0.6, 0.8, 0.2, 1.7

    def noise(x, level):
        weight = normal(LINE, 0, 1) * normal(x[:, None] - level * LINE, m, c**2)
        return integral(weight * LINE) / integral(weight)

    x = np.array([-2.0, 0.1, 1.9])
    right = m + np.sqrt((c**2 + e**2) / (c**2 + level**2)) * (x - m)
    same(follow(noise, x, level, e, 60), right, rel=1e-6)


@twin(
    r"\hat\epsilon + (1 + w) (\hat\epsilon_c - \hat\epsilon)"
    r" = (1 + w) \hat\epsilon_c - w \hat\epsilon",
    r"\hat\epsilon_w = \hat\epsilon + \omega (\hat\epsilon_c - \hat\epsilon)",
    r"-(1 + w) (x - \sqrt{\bar\alpha_t} \mu) + w x = - (x - \sqrt{\bar\alpha_t} \omega \mu)",
)
def guidance_in_two_conventions():
    """Both are off at no guidance; the last is also the slope of the guided log-densities."""
    told, plain, x = RNG.normal(size=(3, 5))
    for w in (0.0, 0.7, 3.0):
        omega = 1 + w
        guided = plain + (1 + w) * (told - plain)
        same(guided, (1 + w) * told - w * plain, plain + omega * (told - plain))
        mu, a = 0.8, np.sqrt(BAR[3])
        left = -(1 + w) * (x - a * mu) + w * x
        same(left, -(x - a * omega * mu))
        scores = [slope(lambda y, m=m: np.log(normal(y, m, 1)), x) for m in (a * mu, 0.0)]
        same((1 + w) * scores[0] - w * scores[1], left, rel=1e-8)


@twin(r"p(x \mid c)^{1 + w} p(x)^{-w} \propto p(x \mid c) p(c \mid x)^w")
def the_tilted_law():
    """Three classes, one a component; what is proportional has a constant ratio."""
    x = np.linspace(-3, 3, 25)
    joint = W * normal(x[:, None], MU, VAR)
    for c, w in [(0, 0.5), (2, 3.0)]:
        own = normal(x, MU[c], VAR[c])
        left = own ** (1 + w) * mixture(x) ** -w
        ratio = left / (own * (joint[:, c] / joint.sum(1)) ** w)
        same(ratio / ratio[0], np.ones(25))


@twin(r"a^{1 + w} b^{-w} \text{against} (\frac{1 + w}{a} - \frac{w}{b})^{-1}")
def two_variances():
    """The flow is integrated from far up; the tilted law's variance is added up on the line."""
    u = np.linspace(0, np.arcsinh(1e4), 40001)
    level = np.sinh(u)
    for a, b, w in [(0.25, 1.0, 1.0), (0.6, 0.9, 2.0)]:
        pull = (1 + w) * level / (a + level**2) - w * level / (b + level**2)
        total = np.trapezoid(pull * np.cosh(u), u)
        same(level[-1] ** 2 * np.exp(-2 * total), a ** (1 + w) * b**-w, rel=1e-5)
        tilted = normal(LINE, 0, a) ** (1 + w) * normal(LINE, 0, b) ** -w
        same(integral(tilted * LINE**2) / integral(tilted), 1 / ((1 + w) / a - w / b))


@twin(
    r"\nabla_{\bar x} \log p(y \mid \bar x) = \frac{1}{\varsigma^2} \Sigma A^\top"
    r" (A \Sigma A^\top + \sigma_y^2 I)^{-1} (y - A \hat x_0)",
    r"\nabla_{\bar x} \log p(y \mid \hat x_0(\bar x))"
    r" = \frac{1}{\varsigma^2 \sigma_y^2} \Sigma A^\top (y - A \hat x_0)",
)
def gradients_of_a_measurement():
    """Left: the slope of the law of y given bar x, by the joint Gaussian; Sigma by precisions."""
    A, root = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 3))
    C, level, sigma = root @ root.T + 0.3 * np.eye(3), 0.8, 0.5
    y, x = RNG.normal(size=2), RNG.normal(size=3)
    seen = C + level**2 * np.eye(3)
    gain = A @ C @ np.linalg.inv(seen)
    spread = A @ C @ A.T + sigma**2 * np.eye(2) - gain @ C @ A.T
    Sigma = np.linalg.inv(np.linalg.inv(C) + np.eye(3) / level**2)

    def answer(x):
        return Sigma @ x / level**2  # the mean of x_0 given bar x: precisions add

    def exact(h, axis):
        off = y - gain @ (x + h * axis)
        return -0.5 * off @ np.linalg.solve(spread, off)

    def dps(h, axis):
        off = y - A @ answer(x + h * axis)
        return -0.5 * off @ off / sigma**2

    left, without = (
        [slope(lambda h, e=e, f=f: f(h, e), 0.0) for e in np.eye(3)] for f in (exact, dps)
    )
    off = y - A @ answer(x)
    inner = np.linalg.inv(A @ Sigma @ A.T + sigma**2 * np.eye(2))
    same(left, Sigma @ A.T @ inner @ off / level**2, rel=1e-7)
    same(without, Sigma @ A.T @ off / (level**2 * sigma**2), rel=1e-7)


@twin(r"\log \mathrm{SNR}_t \to \log \mathrm{SNR}_t - 2 \log k")
def larger_pictures():
    """Coarse content in a picture k times as large: its SNR after the shift is what it was."""
    for k, bar in [(2, 0.6), (4, 0.9)]:
        snr = bar / (1 - bar)
        moved = np.exp(np.log(snr) - 2 * np.log(k))
        shifted = moved / (1 + moved)
        weights = np.full(k * k, 1 / k**2)  # of the mean over a block of independent noises
        noise = (1 - shifted) * (weights**2).sum()
        same(shifted * weights.sum() ** 2 / noise, snr)


@twin(
    r"q(x_{t-1} = j \mid x_t = k, x_0 = i)"
    r" = \frac{(Q_t)_{jk} (\bar Q_{t-1})_{ij}}{(\bar Q_t)_{ik}}"
)
def posterior_of_symbols():
    """Left: every path of three steps over four symbols, by its probability."""
    Q = RNG.dirichlet(np.ones(4), size=(3, 4))
    joint = np.zeros((4, 4, 4))  # x_0, x_2, x_3
    for i, a, j, k in itertools.product(range(4), repeat=4):
        joint[i, j, k] += Q[0][i, a] * Q[1][a, j] * Q[2][j, k]
    before, whole = Q[0] @ Q[1], Q[0] @ Q[1] @ Q[2]
    for i, j, k in itertools.product(range(4), repeat=3):
        right = Q[2][j, k] * before[i, j] / whole[i, k]
        same(joint[i, j, k] / joint[i, :, k].sum(), right)


@twin(
    r"q(x_s = x_0 \mid x_t = \text{mask}, x_0)"
    r" = \frac{\bar\alpha_s - \bar\alpha_t}{1 - \bar\alpha_t}",
    r"\mathrm{KL} = \frac{\bar\alpha_s - \bar\alpha_t}{1 - \bar\alpha_t}"
    r" (- \log p_\theta(x_0 \mid x_t)) \text{where } x_t \text{ is masked, and 0 elsewhere}",
)
def masking():
    """The chain as matrices of one step each, with the mask as the last symbol."""

    def steps(s, t):
        out = np.eye(4)
        for i in range(s + 1, t + 1):
            one = np.diag([1 - BETA[i]] * 3 + [1])
            one[:3, 3] = BETA[i]
            out = out @ one
        return out

    model = RNG.dirichlet(np.ones(3))
    for t, s in [(4, 1), (6, 5)]:
        up, on = steps(0, s), steps(s, t)
        back = [up[i] * on[:, 3] / (up @ on)[i, 3] for i in range(3)]  # x_s given the mask, x_0
        share = (BAR[s] - BAR[t]) / (1 - BAR[t])
        for i in range(3):
            same(back[i][i], share)
            drawn = model @ np.array(back)
            kept = back[i] > 0
            kl = (back[i][kept] * np.log(back[i][kept] / drawn[kept])).sum()
            same(kl, share * -np.log(model[i]))
            certain = up[i] * on[:, i] / (up @ on)[i, i]  # uncovered: model and truth agree
            same(certain, np.eye(4)[i])


@twin(r"(1 - \frac1n) \gamma")
def symbols_in_the_same_step():
    """Two binary symbols, every pair of steps in which they are uncovered, every outcome."""
    pair = RNG.dirichlet(np.ones(4)).reshape(2, 2)
    first, second = pair.sum(1), pair.sum(0)
    gamma = pair[1, 1] - first[1] * second[1]
    for n in (1, 2, 5):
        both = 0.0
        for one, other in itertools.product(range(n), repeat=2):
            if one == other:  # neither sees the other
                both += first[1] * second[1] / n**2
            else:  # the later one is drawn given the earlier one
                both += first[1] * (pair[1, 1] / first[1]) / n**2
        same(both - first[1] * second[1], (1 - 1 / n) * gamma)


@twin(
    r"\bar y = \bar y' - h \hat\epsilon(\bar x', \varsigma)",
    r"\bar x = \bar x' - h \hat\epsilon(\bar y, \varsigma)",
)
def there_and_back():
    """Whatever the network says."""
    x, y = RNG.normal(size=(2, 5))
    M = RNG.normal(size=(5, 5))

    def network(v):
        return np.sin(M @ v) + v**2

    h = -0.4
    x_new = x + h * network(y)
    y_new = y + h * network(x_new)
    y_back = y_new - h * network(x_new)
    same(y_back, y)
    same(x_new - h * network(y_back), x)

"""Twins of chapter 3. The oracle of nearly all of them is the walk itself, one step at a time."""

import itertools

import numpy as np
import torch
from sides import (
    LINE,
    MU,
    VAR,
    W,
    conditioned,
    expected,
    hermite,
    integral,
    mixture,
    normal,
    posterior,
    same,
    schedule,
    slope,
)

from derivations import twin
from minidiff import ddpm
from minidiff.gmm import GaussianMixture
from minidiff.schedule import Schedule

DEFINITIONS = {
    r"q(x_t \mid x_{t-1}) = \mathcal{N}(x_t; \sqrt{\alpha_t} x_{t-1}, \beta_t I)": (
        "the step of the forward process, chosen"
    ),
    r"\alpha_t = 1 - \beta_t": "introduces alpha",
    r"t = 1, \dots, T": "the range of an index",
    r"\epsilon \sim \mathcal{N}(0, I)": "says what epsilon is",
    r"r = \frac{\bar\alpha_t}{\bar\alpha_s}": "introduces r",
    r"\beta_t = \frac{1000}{T} (10^{-4} + \frac{t - 1}{T - 1} (0.02 - 10^{-4}))": (
        "a schedule, prescribed"
    ),
    r"\bar\alpha_t = \frac{f(t/T)}{f(0)}": "a schedule, prescribed",
    r"f(u) = \cos^2(\frac{u + 0.008}{1.008} \cdot \frac{\pi}{2})": "introduces f",
    r"\beta_t = \min\{1 - \frac{\bar\alpha_t}{\bar\alpha_{t-1}}, 0.999\}": ("a cap, prescribed"),
    r"\theta_t = \arctan \frac{\sqrt{1 - \bar\alpha_t}}{\sqrt{\bar\alpha_t}}": "introduces theta",
    r"v = \frac{d x_t}{d \theta_t}": "introduces v",
    r"L_{\text{simple}} = \mathbb{E}_{t \sim U\{1..T\}, x_0, \epsilon} \tfrac{1}{d}"
    r" \|\hat\epsilon(\sqrt{\bar\alpha_t} x_0 + \sqrt{1 - \bar\alpha_t} \epsilon, t)"
    r" - \epsilon\|^2": "a loss, chosen",
    r"L_w = \mathbb{E} w_t \tfrac{1}{d} \|\hat\epsilon - \epsilon\|^2": "a loss, chosen",
    r'\sigma_t^2 = \tilde\sigma^2_{t \to s} \text{("small")} \text{or}': "a choice of variance",
    r'\sigma_t^2 = 1 - \frac{\bar\alpha_t}{\bar\alpha_s} \text{("large", } \beta_t'
    r" \text{ for neighbours)}": "a choice of variance",
    r"V_t = \bar\alpha_t c^2 + 1 - \bar\alpha_t": "introduces V",
    r"x_s = \tilde\mu_{t \to s}(x_t, \hat x_0) + \sigma_t z": "the step of the sampler, chosen",
    r"z \sim \mathcal{N}(0, I)": "says what z is",
    r"\sigma_t = 0 \text{ at } s = 0": "a convention of the sampler",
    r"W_T = 1": "the start of a recursion",
    r"F(a, b) = \|m_a - m_b\|^2 + \mathrm{tr}(C_a + C_b - 2(C_a^{1/2} C_b C_a^{1/2})^{1/2})": (
        "introduces the Fréchet distance"
    ),
    r"E(a, b) = \frac{\sum_p (2 \mathbb{E}|X_p - Y_p| - \mathbb{E}|X_p - X'_p|"
    r" - \mathbb{E}|Y_p - Y'_p|)}{\sum_p \mathrm{std}(Y_p)}": "introduces the energy distance",
}

RNG = np.random.default_rng(3)
BETA, BAR = schedule(RNG)  # bar alpha falls from 1 to about .2 in six steps
PAIRS = [(4, 1), (5, 2), (6, 5), (3, 2)]  # (t, s)
NEIGHBOURS = [(t, t - 1) for t in range(2, 7)]


def draws(n=5):
    """Returns x_0, epsilon and a guess of x_0, n numbers each."""
    return RNG.normal(size=(3, n))


def walk(x0, s, t):
    """Returns the density of x_t on the line, given x_s = x0, by adding up all the ways there."""
    density = normal(LINE, np.sqrt(1 - BETA[s + 1]) * x0, BETA[s + 1])
    for i in range(s + 2, t + 1):
        kernel = normal(LINE[:, None], np.sqrt(1 - BETA[i]) * LINE[None, :], BETA[i])
        density = integral(kernel * density)
    return density


@twin(r"q(x_t \mid x_0) = \mathcal{N}(x_t; \sqrt{\bar\alpha_t} x_0, (1 - \bar\alpha_t) I)")
def forward_in_one_draw():
    x0 = 0.9
    for t in (1, 2, 4):
        same(walk(x0, 0, t), normal(LINE, np.sqrt(BAR[t]) * x0, 1 - BAR[t]))


@twin(r"q(x_t \mid x_s) = \mathcal{N}(x_t; \sqrt{r} x_s, (1 - r) I)")
def forward_from_any_level():
    xs = -1.3
    for t, s in [(3, 1), (4, 2)]:
        r = BAR[t] / BAR[s]
        same(walk(xs, s, t), normal(LINE, np.sqrt(r) * xs, 1 - r))


@twin(r"\bar\alpha_t = \prod_{i=1}^{t} (1 - \beta_i)")
def survivors():
    """The left side as the text says it: the share of the data's variance left after t steps."""
    with_data, without = 2.5, 0.0
    for t in range(1, 7):
        with_data = (1 - BETA[t]) * with_data + BETA[t]
        without = (1 - BETA[t]) * without + BETA[t]
        product = np.exp(np.log1p(-BETA[1 : t + 1]).sum())
        same((with_data - without) / 2.5, product)
        same(Schedule.from_betas(torch.tensor(BETA[1:])).alpha_bar[t], product)


@twin(r"x_t = \sqrt{\bar\alpha_t} x_0 + \sqrt{1 - \bar\alpha_t} \epsilon")
def sample_in_one_draw():
    """Moments up to the fourth of the right side, against those of the walk's law on the line."""
    nodes, weights = hermite(8)
    for x0, t in [(0.7, 3), (-1.1, 4)]:
        xt = np.sqrt(BAR[t]) * x0 + np.sqrt(1 - BAR[t]) * nodes
        law = walk(x0, 0, t)
        for k in range(1, 5):
            same(integral(law * LINE**k), weights @ xt**k)


@twin(r"x_t = \sqrt{\alpha_t} x_{t-1} + \sqrt{\beta_t} z")
def step_as_a_random_variable():
    """The density of z, carried along by the change of variables, is that of the step."""
    before, t = 0.4, 3
    z = LINE / 2
    x = np.sqrt(1 - BETA[t]) * before + np.sqrt(BETA[t]) * z
    jacobian = np.gradient(x, z)
    same(normal(z, 0, 1) / jacobian, normal(x, np.sqrt(1 - BETA[t]) * before, BETA[t]))


@twin(
    r"\sqrt{\alpha_t} x_{t-1} + \sqrt{\beta_t} z = \sqrt{\alpha_t \bar\alpha_{t-1}} x_0"
    r" + \sqrt{\alpha_t (1 - \bar\alpha_{t-1})} e + \sqrt{\beta_t} z"
)
def induction_step():
    for t in range(1, 7):
        x0, e, z = draws()
        before = np.sqrt(BAR[t - 1]) * x0 + np.sqrt(1 - BAR[t - 1]) * e  # the hypothesis
        a = 1 - BETA[t]
        right = np.sqrt(a * BAR[t - 1]) * x0 + np.sqrt(a * (1 - BAR[t - 1])) * e
        same(np.sqrt(a) * before + np.sqrt(BETA[t]) * z, right + np.sqrt(BETA[t]) * z)


@twin(r"q(x_{t-1} \mid x_t) = \int q(x_{t-1} \mid x_t, x_0) q(x_0 \mid x_t) dx_0")
def total_probability():
    """Left by Bayes' rule for x_{t-1}, right through x_0, for data that are not Gaussian."""
    t, s, xt = 3, 2, 0.8
    x0 = LINE[:, None]
    marginal = mixture(LINE, np.sqrt(BAR[s]) * MU, BAR[s] * VAR + 1 - BAR[s])
    left = normal(xt, np.sqrt(1 - BETA[t]) * LINE, BETA[t]) * marginal
    left /= integral(left)
    weight = mixture(LINE) * normal(xt, np.sqrt(BAR[t]) * LINE, 1 - BAR[t])
    weight /= integral(weight)
    inner = normal(LINE[None, :], *posterior(BETA, x0, xt, t, s))
    same(left, integral(inner * weight[:, None], 0))


def bayes(xs, xt, x0, t, s):
    """Returns the right side of Bayes' rule for x_s given x_t and x_0, as written."""
    r = BAR[t] / BAR[s]
    ways = normal(xt, np.sqrt(r) * xs, 1 - r) * normal(xs, np.sqrt(BAR[s]) * x0, 1 - BAR[s])
    return ways / normal(xt, np.sqrt(BAR[t]) * x0, 1 - BAR[t])


@twin(r"q(x_s \mid x_t, x_0) = \frac{q(x_t \mid x_s) q(x_s \mid x_0)}{q(x_t \mid x_0)}")
def bayes_rule():
    for t, s in PAIRS:
        xs, xt, x0 = draws()
        same(normal(xs, *posterior(BETA, x0, xt, t, s)), bayes(xs, xt, x0, t, s))


@twin(
    r"-\frac{1}{2} [\frac{\| x_t - \sqrt{r} x_s \|^2}{1 - r}"
    r" + \frac{\| x_s - \sqrt{\bar\alpha_s} x_0 \|^2}{1 - \bar\alpha_s}] + \text{const}"
)
def logarithm_of_the_posterior():
    """As a function of x_s, in three dimensions; the constant drops out of differences."""
    for t, s in PAIRS:
        xt, x0 = RNG.normal(size=(2, 3))
        xs = RNG.normal(size=(7, 3))
        r = BAR[t] / BAR[s]
        page = -0.5 * (
            ((xt - np.sqrt(r) * xs) ** 2).sum(1) / (1 - r)
            + ((xs - np.sqrt(BAR[s]) * x0) ** 2).sum(1) / (1 - BAR[s])
        )
        log = np.log(normal(xs, *posterior(BETA, x0, xt, t, s))).sum(1)
        same(np.diff(log), np.diff(page))


@twin(
    r"\frac{1}{\tilde\sigma^2} = \frac{r}{1 - r} + \frac{1}{1 - \bar\alpha_s}",
    r"\frac{r}{1 - r} + \frac{1}{1 - \bar\alpha_s}"
    r" = \frac{r (1 - \bar\alpha_s) + 1 - r}{(1 - r)(1 - \bar\alpha_s)}",
    r"\frac{r (1 - \bar\alpha_s) + 1 - r}{(1 - r)(1 - \bar\alpha_s)}"
    r" = \frac{1 - \bar\alpha_t}{(1 - r)(1 - \bar\alpha_s)}",
)
def posterior_precision():
    for t, s in PAIRS:
        a, r = BAR[s], BAR[t] / BAR[s]
        same(
            1 / posterior(BETA, 0.3, 0.5, t, s)[1],
            r / (1 - r) + 1 / (1 - a),
            (r * (1 - a) + 1 - r) / ((1 - r) * (1 - a)),
            (1 - BAR[t]) / ((1 - r) * (1 - a)),
        )


@twin(
    r"\frac{\tilde\mu}{\tilde\sigma^2} = \frac{\sqrt{r} x_t}{1 - r}"
    r" + \frac{\sqrt{\bar\alpha_s} x_0}{1 - \bar\alpha_s}"
)
def posterior_mean_times_precision():
    for t, s in PAIRS:
        x0, xt, _ = draws()
        mean, var = posterior(BETA, x0, xt, t, s)
        r = BAR[t] / BAR[s]
        same(mean / var, np.sqrt(r) * xt / (1 - r) + np.sqrt(BAR[s]) * x0 / (1 - BAR[s]))


@twin(
    r"\tilde\sigma^2_{t \to s} = \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}"
    r" (1 - \frac{\bar\alpha_t}{\bar\alpha_s})",
    r"\tilde\mu_{t \to s}(x_t, x_0) = \frac{\sqrt{r} (1 - \bar\alpha_s)}{1 - \bar\alpha_t} x_t"
    r" + \frac{\sqrt{\bar\alpha_s} (1 - r)}{1 - \bar\alpha_t} x_0",
)
def posterior_moments():
    """Against the moments of numerator over denominator on the line, and against the walk."""
    for t, s in PAIRS:
        x0, xt = 0.6, -0.9
        r = BAR[t] / BAR[s]
        var = (1 - BAR[s]) / (1 - BAR[t]) * (1 - BAR[t] / BAR[s])
        mean = np.sqrt(r) * (1 - BAR[s]) / (1 - BAR[t]) * xt
        mean += np.sqrt(BAR[s]) * (1 - r) / (1 - BAR[t]) * x0
        law = bayes(LINE, xt, x0, t, s)
        on_line = integral(law * LINE)
        same([on_line, integral(law * (LINE - on_line) ** 2)], [mean, var])
        same(posterior(BETA, x0, xt, t, s), [mean, var])


def coefficients(t, s):
    """Returns c_t, c_0 and the variance of the posterior, whose mean is linear, off the walk."""
    c_t, c_0 = (posterior(BETA, *ends, t, s)[0] for ends in ((0.0, 1.0), (1.0, 0.0)))
    return c_t, c_0, posterior(BETA, 0.0, 0.0, t, s)[1]


@twin(
    r"c_t \sqrt{\bar\alpha_t} + c_0 = \sqrt{\bar\alpha_s}",
    r"c_t^2 (1 - \bar\alpha_t) + \tilde\sigma^2_{t \to s} = 1 - \bar\alpha_s",
    r"c_t \sqrt{\bar\alpha_t} + c_0 = \frac{\sqrt{\bar\alpha_s} B}{1 - \bar\alpha_t}",
    r"\frac{\sqrt{\bar\alpha_s} B}{1 - \bar\alpha_t} = \sqrt{\bar\alpha_s}",
    r"c_t^2 (1 - \bar\alpha_t) + \tilde\sigma^2 = \frac{(1 - \bar\alpha_s) B}{1 - \bar\alpha_t}",
    r"\frac{(1 - \bar\alpha_s) B}{1 - \bar\alpha_t} = 1 - \bar\alpha_s",
)
def two_checks():
    for t, s in PAIRS:
        c_t, c_0, var = coefficients(t, s)
        r = BAR[t] / BAR[s]
        big = r * (1 - BAR[s]) + 1 - r
        mean = c_t * np.sqrt(BAR[t]) + c_0
        same(mean, np.sqrt(BAR[s]) * big / (1 - BAR[t]), np.sqrt(BAR[s]))
        total = c_t**2 * (1 - BAR[t]) + var
        same(total, (1 - BAR[s]) * big / (1 - BAR[t]), 1 - BAR[s])


@twin(
    r"x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t} \epsilon}{\sqrt{\bar\alpha_t}}",
    r"\frac{d x_t}{d \theta_t} = \sqrt{\bar\alpha_t} \epsilon - \sqrt{1 - \bar\alpha_t} x_0",
    r"x_0 = \sqrt{\bar\alpha_t} x_t - \sqrt{1 - \bar\alpha_t} v",
    r"\epsilon = \sqrt{1 - \bar\alpha_t} x_t + \sqrt{\bar\alpha_t} v",
)
def readings():
    """x_t and its derivative are taken along the curve of the angle, the rest in bar alpha."""
    for t in range(1, 7):
        x0, eps, _ = draws()
        a, b = np.sqrt(BAR[t]), np.sqrt(1 - BAR[t])
        angle = np.arccos(a)

        def curve(u, x0=x0, eps=eps):
            return np.cos(u) * x0 + np.sin(u) * eps

        xt, v = curve(angle), slope(curve, angle)
        same((xt - b * eps) / a, x0)
        same(v, a * eps - b * x0)
        same(a * xt - b * v, x0)
        same(b * xt + a * v, eps)


@twin(
    r"\arctan \frac{\sqrt{1 - \bar\alpha_t}}{\sqrt{\bar\alpha_t}} \in [0, \tfrac{\pi}{2}]",
)
def angles():
    """At both ends, between them, and in order."""
    share = np.linspace(1, 0, 1001)
    with np.errstate(divide="ignore"):
        angle = np.arctan(np.sqrt(1 - share) / np.sqrt(share))
    assert angle[0] == 0 and abs(angle[-1] - np.pi / 2) < 1e-15
    assert (np.diff(angle) > 0).all()


def noised(x, t):
    """Returns q_t(x) of the mixture, by adding up over x_0."""
    x = np.atleast_1d(x)[:, None]
    return integral(mixture(LINE) * normal(x, np.sqrt(BAR[t]) * LINE, 1 - BAR[t]))


def best_noise(xt, t):
    """Returns E[eps | x_t], by adding up over eps: x_0 is then (x_t - b eps) / a."""
    a, b = np.sqrt(BAR[t]), np.sqrt(1 - BAR[t])
    weight = normal(LINE, 0, 1) * mixture((xt[:, None] - b * LINE) / a)
    return integral(weight * LINE) / integral(weight)


@twin(
    r"\nabla \log q_t(x_t) = \int q(x_0 \mid x_t) \nabla \log q(x_t \mid x_0) dx_0",
    r"\int q(x_0 \mid x_t) \nabla \log q(x_t \mid x_0) dx_0"
    r" = - \frac{\mathbb{E}[\epsilon \mid x_t]}{\sqrt{1 - \bar\alpha_t}}",
    r"\hat\epsilon(x_t, t) = -\sqrt{1 - \bar\alpha_t} \nabla \log q_t(x_t)",
)
def score_and_noise():
    xt = np.array([-2.0, -0.3, 0.5, 1.7])
    for t in (1, 3, 6):
        score = slope(lambda x, t=t: np.log(noised(x, t)), xt)
        var = 1 - BAR[t]
        joint = mixture(LINE) * normal(xt[:, None], np.sqrt(BAR[t]) * LINE, var)
        centre = np.sqrt(BAR[t]) * LINE
        inner = slope(lambda x, m=centre, v=var: -((x - m) ** 2) / 2 / v, xt[:, None])
        average = integral(joint * inner) / integral(joint)
        noise = best_noise(xt, t)
        same(score, average, -noise / np.sqrt(var), rel=1e-8)
        same(noise, -np.sqrt(var) * score, rel=1e-8)


@twin(
    r"\|\hat\epsilon - \epsilon\|^2 = \mathrm{SNR}_t \|\hat x_0 - x_0\|^2",
    r"\|\hat v - v\|^2 = (1 + \mathrm{SNR}_t) \|\hat x_0 - x_0\|^2",
    r"w_t = \underbrace{1}_{\epsilon, \text{simple}} , \underbrace{\frac{1}{\bar\alpha_t}}_{v} ,"
    r" \underbrace{\frac{1 - \bar\alpha_t}{\bar\alpha_t}}_{x_0} ,"
    r" \underbrace{\frac{\beta_t^2}{2 \sigma_t^2 \alpha_t (1 - \bar\alpha_t)}}_{\text{bound}}",
)
def errors_and_weights():
    """Every prediction is the one that explains the same x_t; SNR is a ratio of variances."""
    for t, s in NEIGHBOURS:
        x0, eps, guess = draws()
        a, b = np.sqrt(BAR[t]), np.sqrt(1 - BAR[t])
        xt = a * x0 + b * eps
        eps_hat = (xt - a * guess) / b
        angle = np.arccos(a)
        v, v_hat = np.cos(angle) * eps - b * x0, np.cos(angle) * eps_hat - b * guess
        snr = (a * RNG.permutation([3.0, -3.0])).var() / (b * np.array([3.0, -3.0])).var()
        off = ((guess - x0) ** 2).sum()
        same(((eps_hat - eps) ** 2).sum(), snr * off)
        same(((v_hat - v) ** 2).sum(), (1 + snr) * off)
        noise, sigma2 = ((eps_hat - eps) ** 2).sum(), 0.37
        means = [posterior(BETA, start, xt, t, s)[0] for start in (x0, guess)]
        bound = ((means[0] - means[1]) ** 2).sum() / (2 * sigma2)
        objectives = [noise, ((v_hat - v) ** 2).sum(), off, bound]
        weights = [1, 1 / BAR[t], (1 - BAR[t]) / BAR[t]]
        weights.append(BETA[t] ** 2 / (2 * sigma2 * (1 - BETA[t]) * (1 - BAR[t])))
        same(objectives, np.array(weights) * noise)


# A model of the way back in one dimension: x_{t-1} given x_t is N(K x_t + L, M).
K, L, M = RNG.uniform(0.7, 0.95, 4), RNG.normal(0, 0.2, 4), RNG.uniform(0.2, 0.5, 4)


def log_normal(x, mean, var):
    return -((x - mean) ** 2) / (2 * var) - np.log(2 * np.pi * var) / 2


def paths(x0, T, n):
    """Returns nodes x_1..x_T and weights of the forward walk from x_0, by Gauss's rule."""
    nodes, weights = hermite(n)
    grid = list(itertools.product(range(n), repeat=T))
    z, w = nodes[grid], weights[grid].prod(1)
    x = [np.full(len(grid), x0)]
    for t in range(1, T + 1):
        x.append(np.sqrt(1 - BETA[t]) * x[-1] + np.sqrt(BETA[t]) * z[:, t - 1])
    return x, w


def log_ratio(x, T):
    """Returns log q(x_{1:T} | x_0) - log p(x_{0:T}) at the paths x."""
    out = -log_normal(x[T], 0, 1)
    for t in range(1, T + 1):
        out += log_normal(x[t], np.sqrt(1 - BETA[t]) * x[t - 1], BETA[t])
        out -= log_normal(x[t - 1], K[t - 1] * x[t] + L[t - 1], M[t - 1])
    return out


@twin(
    r"-\log p_\theta(x_0) = -\log \mathbb{E}_q [\frac{p_\theta(x_{0:T})}{q(x_{1:T} \mid x_0)}]",
    r"-\log \mathbb{E}_q [\frac{p_\theta(x_{0:T})}{q(x_{1:T} \mid x_0)}]"
    r" \le \mathbb{E}_q [\log \frac{q(x_{1:T} \mid x_0)}{p_\theta(x_{0:T})}]",
)
def jensen():
    """The likelihood of a linear Gaussian model is a Gaussian that needs no path."""
    T = 2
    mean, var = 0.0, 1.0
    for t in range(T, 0, -1):
        mean, var = K[t - 1] * mean + L[t - 1], K[t - 1] ** 2 * var + M[t - 1]
    for x0 in (-1.2, 0.3, 2.0):
        x, w = paths(x0, T, 80)
        ratio = log_ratio(x, T)
        middle = -np.log(w @ np.exp(-ratio))
        same(-log_normal(x0, mean, var), middle, rel=1e-7)
        assert middle < w @ ratio - 0.01


@twin(
    r"q(x_t \mid x_{t-1})"
    r" = \frac{q(x_{t-1} \mid x_t, x_0) q(x_t \mid x_0)}{q(x_{t-1} \mid x_0)}"
)
def a_step_turned_around():
    for t, s in NEIGHBOURS:
        x0, xt, xs = draws()
        left = normal(xt, np.sqrt(1 - BETA[t]) * xs, BETA[t])
        given_0 = [normal(x, np.sqrt(BAR[i]) * x0, 1 - BAR[i]) for x, i in ((xt, t), (xs, s))]
        same(left, normal(xs, *posterior(BETA, x0, xt, t, s)) * given_0[0] / given_0[1])


@twin(
    r"\underbrace{\mathrm{KL}(q(x_T \mid x_0) \| p(x_T))}_{L_T}"
    r" \underbrace{{}- \mathbb{E}_q \log p_\theta(x_0 \mid x_1)}_{L_0} + \sum_{t=2}^{T}"
    r" \underbrace{\mathbb{E}_q \mathrm{KL}(q(x_{t-1} \mid x_t, x_0) \|"
    r" p_\theta(x_{t-1} \mid x_t))}_{L_{t-1}}"
)
def three_kinds_of_terms():
    """The sum is the bound: all logarithms are quadratic, so four nodes a step are exact."""
    T, x0 = 4, 0.8
    x, w = paths(x0, T, 4)
    nodes, weights = hermite(4)

    def kl(mean, var, mean_p, var_p):
        at = np.asarray(mean)[..., None] + np.sqrt(var) * nodes
        log_p = log_normal(at, np.asarray(mean_p)[..., None], var_p)
        return (log_normal(at, np.asarray(mean)[..., None], var) - log_p) @ weights

    total = kl(np.sqrt(BAR[T]) * x0, 1 - BAR[T], 0.0, 1.0)
    total -= w @ log_normal(x0, K[0] * x[1] + L[0], M[0])
    for t in range(2, T + 1):
        mean, var = posterior(BETA, x0, x[t], t, t - 1)
        total += w @ kl(mean, var, K[t - 1] * x[t] + L[t - 1], M[t - 1])
    same(w @ log_ratio(x, T), total)


@twin(
    r"\mathrm{KL} = \frac{\|\tilde\mu - \mu_\theta\|^2}{2 \sigma_t^2} + \frac{d}{2}"
    r" [\frac{\tilde\sigma^2}{\sigma_t^2} - 1 - \log \frac{\tilde\sigma^2}{\sigma_t^2}]"
)
def divergence_of_gaussians():
    """The integral of q log(q / p), coordinate by coordinate, in three dimensions."""
    for var, var_p in [(0.3, 0.5), (0.9, 0.4), (0.6, 0.6)]:
        means = RNG.normal(size=(2, 3))
        left = 0.0
        for m, m_p in means.T:
            q = normal(LINE, m, var)
            left += integral(q * (log_normal(LINE, m, var) - log_normal(LINE, m_p, var_p)))
        right = ((means[0] - means[1]) ** 2).sum() / (2 * var_p)
        same(left, right + 3 / 2 * (var / var_p - 1 - np.log(var / var_p)))


@twin(
    r"\mu_\theta(x_t, t) = \frac{1}{\sqrt{\alpha_t}}"
    r" (x_t - \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}} \hat\epsilon)",
    r"\frac{\|\tilde\mu - \mu_\theta\|^2}{2\sigma_t^2}"
    r" = \frac{\beta_t^2}{2 \sigma_t^2 \alpha_t (1 - \bar\alpha_t)} \|\hat\epsilon - \epsilon\|^2",
    r"\frac{\|\tilde\mu - \mu_\theta\|^2}{2\tilde\sigma^2}"
    r" = \frac{\mathrm{SNR}_{t-1} - \mathrm{SNR}_t}{2} \|\hat x_0 - x_0\|^2",
)
def the_mean_in_terms_of_the_noise():
    """The means are those of the walk, with x_0 and with a guess in its place."""
    for t, s in NEIGHBOURS:
        x0, eps, eps_hat = draws()
        a, b = np.sqrt(BAR[t]), np.sqrt(1 - BAR[t])
        xt = a * x0 + b * eps
        guess = (xt - b * eps_hat) / a
        (truth, var), (model, _) = (posterior(BETA, x, xt, t, s) for x in (x0, guess))
        same(model, (xt - BETA[t] / b * eps_hat) / np.sqrt(1 - BETA[t]))
        gap, sigma2 = ((truth - model) ** 2).sum(), 0.23
        weight = BETA[t] ** 2 / (2 * sigma2 * (1 - BETA[t]) * (1 - BAR[t]))
        same(gap / (2 * sigma2), weight * ((eps_hat - eps) ** 2).sum())
        snr_t, snr_s = (BAR[i] / (1 - BAR[i]) for i in (t, s))
        same(gap / (2 * var), (snr_s - snr_t) / 2 * ((guess - x0) ** 2).sum())


@twin(
    r"\min \tfrac{1}{d} \mathbb{E} \|\hat\epsilon - \epsilon\|^2"
    r" = 1 - \frac{1 - \bar\alpha_t}{V_t}",
    r"1 - \frac{1 - \bar\alpha_t}{V_t}"
    r" = \frac{\bar\alpha_t c^2}{\bar\alpha_t c^2 + 1 - \bar\alpha_t}",
)
def floor_of_the_loss():
    """What is left of the noise's variance is added up over the line, given each x_t."""
    c = 0.7
    for t in (1, 4):
        a, b = np.sqrt(BAR[t]), np.sqrt(1 - BAR[t])
        xt = LINE[:, None]
        joint = normal(LINE[None, :], 0, 1) * normal((xt - b * LINE) / a, 0, c**2) / a
        law = integral(joint)
        best = integral(joint * LINE) / np.maximum(law, 1e-300)
        left = integral(integral(joint * (LINE - best[:, None]) ** 2))
        V = BAR[t] * c**2 + 1 - BAR[t]
        same(left, 1 - (1 - BAR[t]) / V, BAR[t] * c**2 / (BAR[t] * c**2 + 1 - BAR[t]))


@twin(
    r"\mathbb{E}[x_0 \mid x_t] = \sum_i w_i x^{(i)}",
    r"w_i \propto \exp(- \frac{\|x_t - \sqrt{\bar\alpha_t} x^{(i)}\|^2}{2 (1 - \bar\alpha_t)})",
)
def the_memoriser():
    """Left by Tweedie's formula from the slope of log q_t, right by weights that sum to 1."""
    data = RNG.normal(size=(6, 3))
    for t in (2, 5):
        xt, var = RNG.normal(size=3), 1 - BAR[t]

        def log_q(h, axis, xt=xt, t=t, var=var):
            return np.log(normal(xt + h * axis, np.sqrt(BAR[t]) * data, var).prod(1).mean())

        score = np.array([slope(lambda h, e=e, f=log_q: f(h, e), 0.0) for e in np.eye(3)])
        w = np.exp(-((xt - np.sqrt(BAR[t]) * data) ** 2).sum(1) / (2 * var))
        same((xt + var * score) / np.sqrt(BAR[t]), w / w.sum() @ data, rel=1e-8)


@twin(
    r"\sigma_t^{*2} = \tilde\sigma^2_{t \to s}"
    r" + c_0^2 \tfrac{1}{d} \mathbb{E} \mathrm{tr} \mathrm{Cov}[x_0 \mid x_t]"
)
def best_variance():
    """Left: the variance with the least expected divergence from x_s given x_t and x_0.

    The data are not Gaussian; expectations over x_0 and x_t are added up on the line.
    """
    t, s = 4, 2
    x0, xt = LINE[:, None], LINE[None, :]
    joint = mixture(x0) * normal(xt, np.sqrt(BAR[t]) * x0, 1 - BAR[t])
    joint /= joint.sum()
    law = np.maximum(joint.sum(0), 1e-300)
    guess = (joint * x0).sum(0) / law
    truth, var = posterior(BETA, x0, xt, t, s)
    gap = (joint * (truth - posterior(BETA, guess, xt[0], t, s)[0]) ** 2).sum()

    def expected_divergence(log_v):
        v = np.exp(log_v)
        return (gap + var) / (2 * v) - 0.5 * np.log(var / v) - 0.5

    lo, hi = np.log(1e-3), np.log(10)
    while hi - lo > 1e-9:  # where its slope changes sign
        mid = (lo + hi) / 2
        lo, hi = (lo, mid) if slope(expected_divergence, mid) > 0 else (mid, hi)
    cov = (law * ((joint * x0**2).sum(0) / law - guess**2)).sum()
    same(np.exp(lo), var + coefficients(t, s)[1] ** 2 * cov, rel=1e-6)


@twin(
    r"\sigma_t^{*2} = \mathrm{Var}(x_{t-1} \mid x_t)",
    r"\mathrm{Var}(x_{t-1} \mid x_t) = \beta_t \frac{V_{t-1}}{V_t}",
)
def reverse_variance_of_gaussian_data():
    """Left: small variance and the covariance of x_0; middle: the pair (x_{t-1}, x_t)."""
    c = 0.6
    for t, s in NEIGHBOURS:
        V_t, V_s = (BAR[i] * c**2 + 1 - BAR[i] for i in (t, s))
        _, c_0, small = coefficients(t, s)
        cross = np.sqrt(BAR[t]) * c**2
        _, left_over = conditioned((0, 0), ((c**2, cross), (cross, V_t)), 0.0)
        pair = np.sqrt(1 - BETA[t]) * V_s
        grown = (1 - BETA[t]) * V_s + BETA[t]
        _, middle = conditioned((0, 0), ((V_s, pair), (pair, grown)), 0.0)
        same(small + c_0**2 * left_over, middle, BETA[t] * V_s / V_t)


@twin(r"W_s = k^2 W_t + \sigma_t^2")
def variance_of_a_chain():
    """The package's own step, with the exact noise prediction, on 200,000 states at once."""
    c, n = 0.6, 200_000
    S = Schedule.from_betas(torch.tensor(BETA[1:]))
    one = torch.ones(1, dtype=torch.double)
    data = GaussianMixture(one, 0 * one[:, None], c**2 * one[:, None, None])
    eps_fn = data.eps_fn(S)
    g = torch.Generator().manual_seed(0)
    for t, s, W_t in [(6, 5, 1.0), (5, 2, 0.7), (2, 1, 0.5)]:
        x = W_t**0.5 * torch.randn(n, 1, generator=g, dtype=torch.double)
        eps = eps_fn(x, torch.full((n,), t))
        xs, _ = ddpm.step(
            x, t, s, eps, S, noise=lambda x: torch.randn(x.shape, generator=g, dtype=x.dtype)
        )
        V_t, V_s = (BAR[i] * c**2 + 1 - BAR[i] for i in (t, s))
        k = np.sqrt(BAR[t] / BAR[s]) * V_s / V_t
        small = posterior(BETA, 0.0, 0.0, t, s)[1]
        expected(xs.numpy().ravel() ** 2, k**2 * W_t + small)


@twin(
    r"q_t = \sum_k w_k"
    r" \mathcal{N}(\sqrt{\bar\alpha_t} \mu_k, \bar\alpha_t C_k + (1 - \bar\alpha_t) I)"
)
def a_mixture_diffused():
    x = np.linspace(-4, 4, 41)
    for t in (1, 4):
        parts = normal(x[:, None], np.sqrt(BAR[t]) * MU, BAR[t] * VAR + (1 - BAR[t]))
        same(noised(x, t), parts @ W)

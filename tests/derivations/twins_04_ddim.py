"""Twins of chapter 4: steps of the family, from the walk, and the package's loop on known laws."""

from math import erf

import numpy as np
import torch
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
    posterior,
    same,
    schedule,
    slope,
)

from derivations import twin
from minidiff import sampling
from minidiff.gmm import GaussianMixture
from minidiff.schedule import cosine_schedule

DEFINITIONS = {
    r"\epsilon \sim \mathcal{N}(0, I)": "says what epsilon is",
    r"e_t = \frac{x_t - \sqrt{\bar\alpha_t} x_0}{\sqrt{1 - \bar\alpha_t}}": "introduces e",
    r"q_\sigma(x_s \mid x_t, x_0) = \mathcal{N}(\sqrt{\bar\alpha_s} x_0"
    r" + \sqrt{1 - \bar\alpha_s - \sigma^2} e_t , \sigma^2 I)": (
        "introduces the family; what it is for is the relation after it"
    ),
    r"0 \le \sigma^2": "a condition: sigma is real",
    r"\sigma(\eta) = \eta \sqrt{\frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}"
    r" (1 - \frac{\bar\alpha_t}{\bar\alpha_s})}": "introduces eta",
    r"x_s = \sqrt{\bar\alpha_s}"
    r" \underbrace{\frac{x_t - \sqrt{1 - \bar\alpha_t} \hat\epsilon}{\sqrt{\bar\alpha_t}}}"
    r"_{\hat x_0} + \sqrt{1 - \bar\alpha_s - \sigma^2} \hat\epsilon + \sigma z": (
        "the step of the sampler, chosen"
    ),
    r"v = \frac{dx}{d\theta}": "introduces v",
    r"(1 + w) \hat\epsilon(x_t, c) - w \hat\epsilon(x_t)": "introduces the guided prediction",
}

RNG = np.random.default_rng(4)
BETA, BAR = schedule(RNG)
PAIRS = [(4, 1), (5, 2), (6, 5), (3, 2)]  # (t, s)
M, C = 0.7, 0.6  # Gaussian data N(M, C^2)


def member(xt, x0, t, s, sigma, z=0.0):
    """Returns x_s as the family says it."""
    e = (xt - np.sqrt(BAR[t]) * x0) / np.sqrt(1 - BAR[t])
    return np.sqrt(BAR[s]) * x0 + np.sqrt(1 - BAR[s] - sigma**2) * e + sigma * z


@twin(r"x_{t-1} = \sqrt{\bar\alpha_{t-1}} x_0 + \sqrt{1 - \bar\alpha_{t-1}} \epsilon")
def the_first_display_of_the_notes():
    """Given x_0, its law is that of the walk at t - 1 (and does not see x_t, as the text says)."""
    x0, (nodes, weights) = 0.9, hermite(6)
    for t in range(2, 7):
        mean, var = x0, 0.0
        for i in range(1, t):
            mean, var = np.sqrt(1 - BETA[i]) * mean, (1 - BETA[i]) * var + BETA[i]
        x = np.sqrt(BAR[t - 1]) * x0 + np.sqrt(1 - BAR[t - 1]) * nodes
        same([weights @ x, weights @ (x - mean) ** 2], [mean, var])


@twin(
    r"q_\sigma(x_s \mid x_0) = \mathcal{N}(\sqrt{\bar\alpha_s} x_0, (1 - \bar\alpha_s) I)"
    r" \text{for every } \sigma \text{ with}"
)
def every_member_keeps_the_marginals():
    """All ways from x_T to x_s are added up on the line, over two steps of different members."""
    x0, x = 0.8, LINE
    for share in (0.1, 0.5, 0.9):
        law = normal(x, np.sqrt(BAR[6]) * x0, 1 - BAR[6])
        for t, s in [(6, 4), (4, 1)]:
            sigma2 = share * (1 - BAR[s])
            kernel = normal(x[:, None], member(x[None, :], x0, t, s, sigma2**0.5), sigma2)
            law = integral(kernel * law)
        same(law, normal(x, np.sqrt(BAR[1]) * x0, 1 - BAR[1]))


@twin(r"\sigma^2 \le 1 - \bar\alpha_s")
def the_legal_range():
    """Beyond it no coefficient of e_t gives the variance 1 - bar alpha_s; up to it, one does."""
    b = np.linspace(-3, 3, 60001)
    for s in (1, 3, 5):
        for share, exists in [(0.2, True), (0.999, True), (1.001, False), (1.5, False)]:
            total = b**2 + share * (1 - BAR[s])  # of b e_t + sigma z
            assert (total.min() <= 1 - BAR[s] <= total.max()) == exists


@twin(r"W_s = \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t} W_t + \sigma^2")
def noise_without_shrinking():
    """The second moment of the next state, over x_t and the fresh noise, by Gauss's rule."""
    x0, (nodes, weights) = 0.4, hermite(3)
    for (t, s), W_t, sigma in [(PAIRS[0], 0.5, 0.3), (PAIRS[2], 1.4, 0.6)]:
        xt = np.sqrt(BAR[t]) * x0 + np.sqrt(W_t) * nodes[:, None]
        e = (xt - np.sqrt(BAR[t]) * x0) / np.sqrt(1 - BAR[t])
        xs = np.sqrt(BAR[s]) * x0 + np.sqrt(1 - BAR[s]) * e + sigma * nodes
        left = weights @ (xs - np.sqrt(BAR[s]) * x0) ** 2 @ weights
        same(left, (1 - BAR[s]) / (1 - BAR[t]) * W_t + sigma**2)


@twin(
    r"1 - \bar\alpha_s - \sigma(1)^2"
    r" = (1 - \bar\alpha_s) \frac{(1 - \bar\alpha_t) - (1 - r)}{1 - \bar\alpha_t}",
    r"(1 - \bar\alpha_s) \frac{(1 - \bar\alpha_t) - (1 - r)}{1 - \bar\alpha_t}"
    r" = (1 - \bar\alpha_s) \frac{r - r \bar\alpha_s}{1 - \bar\alpha_t}",
    r"(1 - \bar\alpha_s) \frac{r - r \bar\alpha_s}{1 - \bar\alpha_t}"
    r" = \frac{r (1 - \bar\alpha_s)^2}{1 - \bar\alpha_t}",
    r"\frac{\sqrt{1 - \bar\alpha_s - \sigma(1)^2}}{\sqrt{1 - \bar\alpha_t}}"
    r" = \frac{\sqrt{r} (1 - \bar\alpha_s)}{1 - \bar\alpha_t}",
)
def eta_one_is_the_posterior():
    """sigma(1)^2 and the coefficient of x_t are those of the walk."""
    for t, s in PAIRS:
        sigma2 = posterior(BETA, 0.0, 0.0, t, s)[1]
        a, r = BAR[s], BAR[t] / BAR[s]
        left = 1 - a - sigma2
        same(
            left,
            (1 - a) * ((1 - BAR[t]) - (1 - r)) / (1 - BAR[t]),
            (1 - a) * (r - r * a) / (1 - BAR[t]),
            r * (1 - a) ** 2 / (1 - BAR[t]),
        )
        coefficient = np.sqrt(r) * (1 - a) / (1 - BAR[t])
        same(np.sqrt(left) / np.sqrt(1 - BAR[t]), coefficient)
        same(posterior(BETA, 0.0, 1.0, t, s)[0], coefficient)


@twin(
    r"\mathrm{KL} = w_\sigma \| \hat\epsilon - e_t \|^2",
    r"w_\sigma = \frac{1}{2 \sigma^2} (\sqrt{1 - \bar\alpha_s - \sigma^2}"
    r" - \frac{\sqrt{\bar\alpha_s} \sqrt{1 - \bar\alpha_t}}{\sqrt{\bar\alpha_t}})^2",
)
def weights_of_the_bound():
    """The divergence is added up on the line; both predictions explain the same x_t."""
    for t, s in PAIRS:
        x0, e, eps_hat = RNG.normal(size=3)
        xt = np.sqrt(BAR[t]) * x0 + np.sqrt(1 - BAR[t]) * e
        guess = (xt - np.sqrt(1 - BAR[t]) * eps_hat) / np.sqrt(BAR[t])
        sigma2 = 0.6 * (1 - BAR[s])
        mean, model = (member(xt, x, t, s, sigma2**0.5) for x in (x0, guess))
        log = ((LINE - model) ** 2 - (LINE - mean) ** 2) / (2 * sigma2)
        kl = integral(normal(LINE, mean, sigma2) * log)
        bracket = np.sqrt(1 - BAR[s] - sigma2)
        bracket -= np.sqrt(BAR[s]) * np.sqrt(1 - BAR[t]) / np.sqrt(BAR[t])
        same(kl, bracket**2 / (2 * sigma2) * (eps_hat - e) ** 2, rel=1e-8)


@twin(
    r"\frac{dx}{d\theta} = \cos\theta \epsilon - \sin\theta x_0",
    r"x_0 = \cos\theta x - \sin\theta v",
    r"\epsilon = \sin\theta x + \cos\theta v",
)
def velocity_along_the_ellipse():
    """x and its derivative are taken in bar alpha, by the chain rule, the rest in the angle."""
    x0, eps = RNG.normal(size=(2, 5))
    for bar in (0.9, 0.5, 0.1):
        angle = np.arctan2(np.sqrt(1 - bar), np.sqrt(bar))

        def state(a):
            return np.sqrt(a) * x0 + np.sqrt(1 - a) * eps

        x = state(bar)
        v = slope(state, bar) / slope(lambda a: np.arccos(np.sqrt(a)), bar)
        same(v, np.cos(angle) * eps - np.sin(angle) * x0, rel=1e-7)
        same(np.cos(angle) * x - np.sin(angle) * v, x0, rel=1e-7)
        same(np.sin(angle) * x + np.cos(angle) * v, eps, rel=1e-7)


@twin(
    r"x_s = \cos(\theta_t - \theta_s) x_t - \sin(\theta_t - \theta_s) \hat v",
    r"\bar x_s = \bar x_t + (\varsigma_s - \varsigma_t) \hat\epsilon",
)
def a_rotation_and_an_euler_step():
    """Against the deterministic member, with a prediction in the place of x_0."""
    for t, s in [*PAIRS, (3, 0), (2, 4)]:
        xt, guess = RNG.normal(size=(2, 5))
        xs = member(xt, guess, t, s, 0.0)
        eps = (xt - np.sqrt(BAR[t]) * guess) / np.sqrt(1 - BAR[t])
        theta_t, theta_s = (np.arccos(np.sqrt(BAR[i])) for i in (t, s))
        v = np.sqrt(BAR[t]) * eps - np.sqrt(1 - BAR[t]) * guess
        same(xs, np.cos(theta_t - theta_s) * xt - np.sin(theta_t - theta_s) * v)
        noise = [np.sqrt((1 - BAR[i]) / BAR[i]) for i in (t, s)]
        same(xs / np.sqrt(BAR[s]), xt / np.sqrt(BAR[t]) + (noise[1] - noise[0]) * eps)


def best(xt, t):
    """Returns E[x_0 | x_t] and E[eps | x_t] for the Gaussian data, each added up on its own."""
    a, b = np.sqrt(BAR[t]), np.sqrt(1 - BAR[t])
    xt = xt[:, None]
    data = normal(LINE, M, C**2) * normal(xt, a * LINE, b**2)
    noise = normal(LINE, 0, 1) * normal(xt - b * LINE, a * M, a**2 * C**2)
    return [integral(law * LINE) / integral(law) for law in (data, noise)]


@twin(
    r"\hat x_0 - m = \frac{\sqrt{\bar\alpha_t} c^2}{V_t} \xi_t",
    r"\hat\epsilon = \frac{\sqrt{1 - \bar\alpha_t}}{V_t} \xi_t",
    r"\frac{\xi_s}{\sqrt{V_s}} = (\cos\phi_s \cos\phi_t + \sin\phi_s \sin\phi_t)"
    r" \frac{\xi_t}{\sqrt{V_t}}",
    r"(\cos\phi_s \cos\phi_t + \sin\phi_s \sin\phi_t) \frac{\xi_t}{\sqrt{V_t}}"
    r" = \cos(\phi_t - \phi_s) \frac{\xi_t}{\sqrt{V_t}}",
)
def a_step_on_gaussian_data():
    xt = np.array([-1.5, 0.2, 1.9])
    for t, s in PAIRS:
        x0_hat, eps_hat = best(xt, t)
        V_t, V_s = (BAR[i] * C**2 + 1 - BAR[i] for i in (t, s))
        xi_t = xt - np.sqrt(BAR[t]) * M
        same(x0_hat - M, np.sqrt(BAR[t]) * C**2 / V_t * xi_t)
        same(eps_hat, np.sqrt(1 - BAR[t]) / V_t * xi_t)
        xs = np.sqrt(BAR[s]) * x0_hat + np.sqrt(1 - BAR[s]) * eps_hat
        cos_t, cos_s = (C * np.sqrt(BAR[i] / V) for i, V in ((t, V_t), (s, V_s)))
        sin_t, sin_s = (np.sqrt((1 - BAR[i]) / V) for i, V in ((t, V_t), (s, V_s)))
        turn = np.arctan2(sin_t, cos_t) - np.arctan2(sin_s, cos_s)
        same(
            (xs - np.sqrt(BAR[s]) * M) / np.sqrt(V_s),
            (cos_s * cos_t + sin_s * sin_t) * xi_t / np.sqrt(V_t),
            np.cos(turn) * xi_t / np.sqrt(V_t),
        )


def gaussian_walk(grid, x, down=True):
    """Returns where the package's loop ends on the Gaussian data, and the angles of its grid."""
    S = cosine_schedule(200)
    one = torch.ones(1, dtype=torch.double)
    data = GaussianMixture(one, M * one[:, None], C**2 * one[:, None, None])
    walk = sampling.sample if down else sampling.invert
    out = sampling.last(walk(data.eps_fn(S), torch.tensor(x)[:, None], S, grid))
    bar = S.alpha_bar.numpy()[np.sort(grid)]
    return out.numpy()[:, 0], np.arctan2(np.sqrt(1 - bar), C * np.sqrt(bar)), bar[-1]


@twin(
    r"x_0 = m + c [\prod_{i=1}^{n} \cos(\phi_{\tau_i} - \phi_{\tau_{i-1}})]"
    r" \frac{x_T - \sqrt{\bar\alpha_T} m}{\sqrt{V_T}}"
)
def a_walk_on_gaussian_data():
    x = np.array([-1.0, 0.3, 2.2])
    for grid in ([200, 150, 60, 10, 0], [200, 0], list(range(200, -1, -8))):
        x0, phi, bar = gaussian_walk(grid, x)
        shrink = np.exp(np.log(np.cos(np.diff(phi))).sum())
        V = bar * C**2 + 1 - bar
        same(x0, M + C * shrink * (x - np.sqrt(bar) * M) / np.sqrt(V))


@twin(r"x_0' - m = [\prod_{i=1}^{n} \cos^2(\phi_{\tau_i} - \phi_{\tau_{i-1}})] (x_0 - m)")
def up_and_down_again():
    x = np.array([-1.0, 0.3, 2.2])
    for grid in ([200, 150, 60, 10, 0], list(range(200, -1, -8))):
        up, phi, _ = gaussian_walk(grid, x, down=False)
        back = gaussian_walk(grid, up)[0]
        same(back - M, np.prod(np.cos(np.diff(phi)) ** 2) * (x - M))


@twin(r"(\cos \frac{\pi}{2n})^n \approx 1 - \frac{\pi^2}{8 n}")
def equal_angles():
    """The two differ by a term of the order 1/n^2, one order beyond the last that is shown."""
    order(lambda h: np.cos(np.pi / 2 * h) ** (1 / h) - (1 - np.pi**2 / 8 * h), power=2)


def spread(x, noise):
    """Returns the density of x_0 + noise * eps at x, by adding up over x_0."""
    return integral(mixture(LINE) * normal(np.asarray(x)[..., None], LINE, noise**2))


@twin(
    r"\frac{d \bar x}{d \varsigma} = \mathbb{E}[\epsilon \mid \bar x]",
    r"\mathbb{E}[\epsilon \mid \bar x] = -\varsigma \nabla \log q_\varsigma(\bar x)",
)
def the_equation_and_its_flow():
    """The flow of the field E[eps | x] carries one noised law into the next.

    A solver of order 4 follows points from one level to another; the share of the law to the left
    of each must not change.
    """

    def noise(x, level):
        law = normal(LINE, 0, 1) * mixture(x[:, None] - level * LINE)
        return integral(law * LINE) / integral(law)

    x = start = np.array([-3.0, -1.2, 0.1, 2.0])
    for level in (0.5, 1.3):
        score = slope(lambda y, level=level: np.log(spread(y, level)), x)
        same(noise(x, level), -level * score, rel=1e-7)

    def share(x, level):
        units = (x[:, None] - MU) / np.sqrt(2 * (VAR + level**2))
        return 0.5 + 0.5 * np.vectorize(erf)(units) @ W

    h, levels = 0.1, np.arange(20, 5, -1) * 0.1
    for level in levels:
        a = noise(x, level)
        b = noise(x - h / 2 * a, level - h / 2)
        c = noise(x - h / 2 * b, level - h / 2)
        d = noise(x - h * c, level - h)
        x = x - h / 6 * (a + 2 * b + 2 * c + d)
    same(share(x, levels[-1] - h), share(start, levels[0]), rel=1e-5)
    assert abs(x - start).max() > 0.3, "nothing moved"


@twin(r"z(w) = \frac{\sin((1 - w) \psi)}{\sin\psi} z_1 + \frac{\sin(w \psi)}{\sin\psi} z_2")
def walking_on_the_sphere():
    """What "on the sphere" means: at w it has turned by w psi from z_1, and its length is kept."""
    z1, z2 = RNG.normal(size=(2, 6))
    z1, z2 = 1.7 * z1 / np.linalg.norm(z1), 1.7 * z2 / np.linalg.norm(z2)
    psi = np.arccos(z1 @ z2 / 1.7**2)
    for w in (0.0, 0.2, 0.5, 0.9, 1.0):
        z = np.sin((1 - w) * psi) / np.sin(psi) * z1 + np.sin(w * psi) / np.sin(psi) * z2
        same([z @ z, z @ z1, z @ z2], 1.7**2 * np.cos([0, w * psi, (1 - w) * psi]))


@twin(r"W_s = \bar\alpha_s \frac{\bar\alpha_t c^4}{V_t^2} W_t + 1 - \bar\alpha_s")
def the_most_forgetful_member():
    """The guess of x_0 is added up on the line, the next state by Gauss's rule."""
    nodes, weights = hermite(3)
    for (t, s), W_t in [(PAIRS[0], 0.8), (PAIRS[2], 1.3)]:
        xt = np.sqrt(W_t) * nodes
        law = normal(LINE, 0, C**2) * normal(xt[:, None], np.sqrt(BAR[t]) * LINE, 1 - BAR[t])
        guess = integral(law * LINE) / integral(law)
        xs = np.sqrt(BAR[s]) * guess[:, None] + np.sqrt(1 - BAR[s]) * nodes
        V_t = BAR[t] * C**2 + 1 - BAR[t]
        right = BAR[s] * BAR[t] * C**4 / V_t**2 * W_t + 1 - BAR[s]
        same(weights @ xs**2 @ weights, right)

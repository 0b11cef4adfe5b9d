"""Twins of chapter 6: finite channels, and Gaussian ones on the line."""

import numpy as np
from sides import LINE, integral, mixture, normal, same

from derivations import twin

DEFINITIONS = {
    r"y_s \sim q(y_s \mid y_0)": "a law to draw from, chosen",
    r"s \sim \mathcal{U}\{0, \dots, s_{\max}\} \text{ in training}": "a law to draw from, chosen",
    r"L = \mathbb{E} w_t \| \epsilon - \hat\epsilon(x_t, y_s, \theta_s, c, \theta_t) \|^2": (
        "a loss, chosen"
    ),
    r"\text{not truncated:} y_0 \sim p'(y_0)": "a way to draw y_s, described",
    r"y_s \sim q(y_s \mid y_0) ; \text{truncated:}": "a way to draw y_s, described",
    r"y_T \sim \mathcal{N}(0, I) , \text{reverse steps from } T \text{ down to } s": (
        "a way to draw y_s, described"
    ),
}

RNG = np.random.default_rng(6)


def kl(p, q):
    return float((p * np.log(p / q)).sum())


@twin(r"p(x_0 \mid c) = \int p(x_0 \mid y_0, c) p(y_0 \mid c) dy_0")
def two_factors():
    """A finite joint law of x_0, y_0 and c: counts on the left, factors on the right."""
    joint = RNG.dirichlet(np.ones(4 * 3 * 2)).reshape(4, 3, 2)
    for c in (0, 1):
        first = joint[:, :, c] / joint[:, :, c].sum(0)
        second = joint[:, :, c].sum(0) / joint[:, :, c].sum()
        same(joint[:, :, c].sum(1) / joint[:, :, c].sum(), first @ second)


@twin(
    r"\mathrm{KL}(p'(x_0, y_s) \| p(x_0, y_s)) = \mathrm{KL}(p'(y_s) \| p(y_s))"
    r" + \underbrace{\mathbb{E}_{p'} \mathrm{KL}(p(x_0 \mid y_s) \| p(x_0 \mid y_s))}_{0}",
    r"\mathrm{KL}(p'(y_s) \| p(y_s))"
    r" + \underbrace{\mathbb{E}_{p'} \mathrm{KL}(p(x_0 \mid y_s) \| p(x_0 \mid y_s))}_{0}"
    r" = \mathrm{KL}(p'_s(x_0) \| p(x_0))"
    r" + \underbrace{\mathbb{E}_{p'} \mathrm{KL}(p'(y_s \mid x_0) \| p(y_s \mid x_0))}_{\ge 0}",
    r"\mathrm{KL}(p'_s(x_0) \| p(x_0)) \le \mathrm{KL}(p'(y_s) \| p(y_s))",
    r"\mathrm{KL}(p'(y_{s'}) \| p(y_{s'})) \le \mathrm{KL}(p'(y_s) \| p(y_s))",
)
def a_channel_brings_laws_together():
    """A finite channel, twenty times; then noise on the line, between two of its levels."""
    for _ in range(20):
        channel = RNG.dirichlet(np.ones(5), size=3).T  # p(x_0 | y_s)
        real, drawn = RNG.dirichlet(np.ones(3), size=2)
        joint, joint_drawn = channel * real, channel * drawn
        x, x_drawn = joint.sum(1), joint_drawn.sum(1)
        back, back_drawn = (joint.T / x).T, (joint_drawn.T / x_drawn).T
        inner = sum(drawn[y] * kl(channel[:, y], channel[:, y]) for y in range(3))
        last = sum(x_drawn[i] * kl(back_drawn[i], back[i]) for i in range(5))
        same(kl(joint_drawn, joint), kl(drawn, real) + inner, kl(x_drawn, x) + last)
        assert inner == 0 and last > 0 and kl(x_drawn, x) < kl(drawn, real)
    before = np.inf
    for bar in (0.9, 0.7, 0.4, 0.1):
        noise = normal(LINE[:, None], np.sqrt(bar) * LINE, 1 - bar)
        real, drawn = (integral(noise * p) for p in (mixture(LINE), normal(LINE, 0.7, 0.5)))
        keep = (real > 1e-200) & (drawn > 1e-200)
        now = integral(np.where(keep, drawn * np.log(drawn / np.where(keep, real, 1)), 0))
        assert 0 < now < before
        before = now


@twin(
    r"\mathbb{E}[x_0'] = \rho \bar\alpha_s m",
    r"\mathrm{Var}[x_0'] = 1 - \rho^2 \bar\alpha_s^2 (1 - v)",
    r"I(x_0; y_s) = -\tfrac12 \log(1 - \rho^2 \bar\alpha_s)",
)
def the_toy():
    """p(x_0 | y_s) by Bayes' rule through y_0, then what the base draws is put through it."""
    rho, m, v = 0.8, 0.6, 0.4
    for bar in (0.9, 0.4):
        given = normal(LINE[:, None], rho * LINE, 1 - rho**2) * normal(LINE, 0, 1)  # x_0, y_0
        noise = normal(LINE[:, None], np.sqrt(bar) * LINE, 1 - bar)  # y_s, y_0
        joint = (given @ noise.T) * (LINE[1] - LINE[0])  # x_0, y_s
        inside = np.abs(LINE) < 8
        joint, x = joint[np.ix_(inside, inside)], LINE[inside]
        y = integral(joint, 0)
        drawn = (noise @ normal(LINE, m, v))[inside] * (LINE[1] - LINE[0])
        out = integral(joint / y * drawn)
        mean = integral(out * x)
        same(mean, rho * bar * m, rel=1e-6)
        same(integral(out * (x - mean) ** 2), 1 - rho**2 * bar**2 * (1 - v), rel=1e-6)
        apart = np.outer(integral(joint), y)
        information = integral(integral(joint * np.log(joint / apart)))
        same(information, -0.5 * np.log(1 - rho**2 * bar), rel=1e-6)


@twin(
    r"\mathrm{KL}(p'(y_s) \| p(y_s))"
    r" \le \frac{\bar\alpha_s}{2 (1 - \bar\alpha_s)} \mathbb{E} \|y' - y\|^2"
)
def how_fast_two_laws_meet():
    """Pairs at random; and two single points, for which the bound is the divergence."""
    for bar in (0.8, 0.5, 0.1):
        for n in (1, 6):
            pairs = RNG.normal(size=(2, n))
            noised = [normal(LINE[:, None], np.sqrt(bar) * p, 1 - bar).mean(1) for p in pairs]
            floor = [np.maximum(law, 1e-290) for law in noised]
            left = integral(noised[1] * np.log(floor[1] / floor[0]))
            right = bar / (2 * (1 - bar)) * ((pairs[1] - pairs[0]) ** 2).mean()
            if n == 1:
                same(left, right, rel=1e-7)
            else:
                assert left < right

"""Twins of chapter 5: laws on a grid or a finite set, and the package's step."""

import itertools

import numpy as np
import torch
from sides import same, schedule

from derivations import twin
from minidiff import ddpm
from minidiff.schedule import Schedule

DEFINITIONS = {
    r"y = D x_0": "introduces y",
    r"(D x)_{ij} = \frac{1}{k^2} \sum_{a=0}^{k-1} \sum_{b=0}^{k-1} x_{ki + a, kj + b}": (
        "introduces D"
    ),
    r"\mathrm{MMSE} = \mathbb{E} \mathrm{tr} \mathrm{Cov}[x_0 \mid y]": "introduces the MMSE",
    r"L = \mathbb{E} w_t \| \epsilon - \hat\epsilon(x_t, y, \theta_t) \|^2": "a loss, chosen",
    r"t \sim \mathcal{U}\{1, \dots, T\}": "a law to draw from, chosen",
    r"\bar\alpha \sim \mathcal{U}(\bar\alpha_t, \bar\alpha_{t-1})": "a law to draw from, chosen",
}

RNG = np.random.default_rng(5)

# A finite world: 7 pictures of 3 pixels, 4 small pictures, and the share of every pair.
PICTURES = RNG.normal(size=(7, 3))
SHARE = RNG.dirichlet(np.ones(28)).reshape(7, 4)
GIVEN = SHARE / SHARE.sum(0)  # p(x_0 | y), a column for each y
MU = np.einsum("iy,id->yd", GIVEN, PICTURES)


def mean(f, law=GIVEN, copies=1):
    """Returns E f(x_0, x', x'', ..., y): every choice of pictures, one at a time, by its share."""
    total = 0.0
    for y in range(4):
        weight_y = SHARE[:, y].sum()
        for at in itertools.product(range(7), repeat=1 + copies):
            weight = weight_y * GIVEN[at[0], y] * np.prod([law[i, y] for i in at[1:]])
            total += weight * f(*PICTURES[list(at)], y)
    return total


def square(v):
    return float(v @ v)


MMSE = sum(
    SHARE[:, y].sum() * np.trace(np.cov(PICTURES.T, aweights=GIVEN[:, y], ddof=0))
    for y in range(4)
)


@twin(
    r"\mathbb{E} \|f(y) - x_0\|^2 = \mathbb{E} \|f(y) - \mu(y)\|^2"
    r" + \mathbb{E} \|\mu(y) - x_0\|^2"
    r" + 2 \mathbb{E} [(f(y) - \mu(y))^\top (\mu(y) - x_0)]",
    r"\arg\min_f \mathbb{E} \|f(y) - x_0\|^2 = \mathbb{E}[x_0 \mid y]",
)
def the_best_single_answer():
    """The minimum is found by descent, on every number of the answer at once."""
    f = RNG.normal(size=(4, 3))
    left = mean(lambda x, y: square(f[y] - x), copies=0)
    right = mean(lambda x, y: square(f[y] - MU[y]), copies=0)
    right += mean(lambda x, y: square(MU[y] - x), copies=0)
    right += 2 * mean(lambda x, y: (f[y] - MU[y]) @ (MU[y] - x), copies=0)
    same(left, right)
    answer = f.copy()
    for _ in range(400):
        pull = sum(SHARE[i][:, None] * (answer - PICTURES[i]) for i in range(7))
        answer -= pull / SHARE.sum(0)[:, None] / 2
    same(answer, MU)


@twin(
    r"\mathbb{E} \|x' - x_0\|^2 = \mathbb{E} \|x' - \mu\|^2 + \mathbb{E} \|x_0 - \mu\|^2",
    r"\mathbb{E} \|x' - \mu\|^2 + \mathbb{E} \|x_0 - \mu\|^2 = 2 \mathrm{MMSE}",
    r"\mathbb{E} \| \frac1n \sum_{i=1}^n x'_i - x_0 \|^2 = (1 + \frac1n) \mathrm{MMSE}",
    r"\mathbb{E} (x' - x_0)^\top (x'' - x_0) = \mathbb{E} \|\mu - x_0\|^2",
    r"\mathbb{E} \|\mu - x_0\|^2 = \mathrm{MMSE}",
)
def exact_samples():
    same(
        mean(lambda x, a, y: square(a - x)),
        mean(lambda x, a, y: square(a - MU[y])) + mean(lambda x, a, y: square(x - MU[y])),
        2 * MMSE,
    )
    for n in (1, 2, 3):
        left = mean(lambda x, *rest: square(sum(rest[:-1]) / len(rest[:-1]) - x), copies=n)
        same(left, (1 + 1 / n) * MMSE)
    left = mean(lambda x, a, b, y: (a - x) @ (b - x), copies=2)
    same(left, mean(lambda x, y: square(MU[y] - x), copies=0), MMSE)


@twin(
    r"\mathbb{E} \|x' - x_0\|^2 = \mathbb{E} \|x' - m\|^2 + \mathbb{E} \|m - x_0\|^2",
    r"\mathbb{E} \|x' - m\|^2 + \mathbb{E} \|m - x_0\|^2 = (1 + \rho) \mathbb{E} \|m - x_0\|^2",
)
def samples_that_are_not_exact():
    """They follow another law; half the mean squared difference of two is their variance."""
    law = RNG.dirichlet(np.ones(7), size=4).T
    m = np.einsum("iy,id->yd", law, PICTURES)
    spread = mean(lambda x, a, b, y: square(a - b), law, copies=2) / 2
    error = mean(lambda x, y: square(m[y] - x), copies=0)
    middle = mean(lambda x, a, y: square(a - m[y]), law) + error
    same(mean(lambda x, a, y: square(a - x), law), middle, (1 + spread / error) * error)


@twin(
    r"x_{t-1} = \frac{1}{\sqrt{\alpha_t}} (x_t - \frac{1 - \alpha_t}{\sqrt{1 - \bar\alpha_t}}"
    r" \hat\epsilon) + \sqrt{1 - \alpha_t} z"
)
def the_step_of_the_paper():
    """It is the package's step with the larger variance, whose mean is the posterior's."""
    beta, bar = schedule(RNG)
    S = Schedule.from_betas(torch.tensor(beta[1:]))
    for t in (2, 4, 6):
        x, eps, z = RNG.normal(size=(3, 5))
        alpha = 1 - beta[t]
        right = (x - (1 - alpha) / np.sqrt(1 - bar[t]) * eps) / np.sqrt(alpha)
        right += np.sqrt(1 - alpha) * z
        states = (torch.tensor(v)[:, None] for v in (x, eps))
        left, _ = ddpm.step(
            next(states),
            t,
            t - 1,
            next(states),
            S,
            variance=ddpm.large_variance,
            noise=lambda like, z=z: torch.tensor(z).reshape(like.shape),
        )
        same(left.numpy()[:, 0], right)

"""Twins of chapter 8: filters as matrices, and two Gaussian pixels."""

import numpy as np
import torch
from sides import LINE, integral, mixture, normal, posterior, same, schedule, slope

from derivations import twin
from minidiff import ddpm
from minidiff.gmm import GaussianMixture
from minidiff.schedule import Schedule

DEFINITIONS = {
    r"R_N(y) = \{x : \phi_N(x) = \phi_N(y)\}": "introduces R",
    r"x_s = x'_s + \phi_N(y_s) - \phi_N(x'_s)": "the step of the method, chosen",
    r"(\phi_N x)_{ij} = \frac{1}{N^2} \sum_{(k, l) \text{in the block of} (i, j)} x_{kl}": (
        "introduces the block average"
    ),
    r"G_t = \sqrt{\bar\alpha_t} C V_t^{-1}": "introduces G",
    r"\mu_T = 0": "the start of a recursion",
    r"x_s \to x_t": "a walk, described",
    r"\sqrt{\bar\alpha_t / \bar\alpha_s} x_s + \sqrt{1 - \bar\alpha_t / \bar\alpha_s} z \to x_s": (
        "a walk, described"
    ),
    r"x_s \to \dots": "a walk, described",
    r"w = 1": "the weight that Bayes' rule gives; its name is for other weights",
}

RNG = np.random.default_rng(8)
BETA, BAR = schedule(RNG)


def blocks(n, side=8):
    """Returns the block average of pictures of side x side as a matrix, pixel by pixel."""
    at = [(i // n, j // n) for i in range(side) for j in range(side)]
    return np.array([[(a == b) / n**2 for b in at] for a in at])


def blur(side=8):
    """Returns a filter that is no projector: each pixel's mean with its neighbours, in a ring."""
    row = sum(np.roll(np.eye(side), k, 1) for k in (-1, 0, 1)) / 3
    return np.kron(row, row)


def exchange(phi, x, y):
    return x + phi @ y - phi @ x


@twin(
    r"\phi(x_s) - \phi(y_s) = \phi(x'_s) + \phi^2(y_s) - \phi^2(x'_s) - \phi(y_s)",
    r"\phi(x'_s) + \phi^2(y_s) - \phi^2(x'_s) - \phi(y_s) = (\phi^2 - \phi)(y_s - x'_s)",
    r"\phi^2 = \phi",
)
def when_the_promise_is_kept():
    """For any matrix; and the residual vanishes for block averages, not for a blur."""
    x, y = RNG.normal(size=(2, 64))
    for phi in (RNG.normal(size=(64, 64)), blur(), blocks(4)):
        left = phi @ exchange(phi, x, y) - phi @ y
        middle = phi @ x + phi @ (phi @ y) - phi @ (phi @ x) - phi @ y
        same(left, middle, (phi @ phi - phi) @ (y - x), tiny=1e-10)
    for phi, keeps in [(blocks(2), True), (blocks(4), True), (blur(), False)]:
        residual = np.abs(phi @ exchange(phi, x, y) - phi @ y).max()
        assert (residual < 1e-12) == keeps == (np.abs(phi @ phi - phi).max() < 1e-12)


@twin(r"(I - \phi)(I - \phi)^\top + \phi \phi^\top (\text{times } 1 - \bar\alpha_s)")
def noise_of_the_state():
    """The exchange is asked what it makes of each single pixel of either noise."""
    for phi in (RNG.normal(size=(9, 9)), blocks(4)):
        n, var = len(phi), 0.3
        nothing = np.zeros(n)
        columns = [exchange(phi, np.sqrt(var) * e, nothing) for e in np.eye(n)]
        columns += [exchange(phi, nothing, np.sqrt(var) * e) for e in np.eye(n)]
        cov = sum(np.outer(c, c) for c in columns)
        rest = np.eye(n) - phi
        same(cov, var * (rest @ rest.T + phi @ phi.T))


@twin(
    r"x'_s - \nabla_{x'_s} \tfrac12 \| \phi(x'_s - y_s) \|^2 = x'_s - \phi(x'_s - y_s)",
    r"x'_s - \phi(x'_s - y_s) = x_s",
)
def a_step_of_descent():
    phi = blocks(4)
    x, y = RNG.normal(size=(2, 64))
    gradient = [
        slope(lambda h, e=e: 0.5 * ((phi @ (x + h * e - y)) ** 2).sum(), 0.0) for e in np.eye(64)
    ]
    same(x - np.array(gradient), x - phi @ (x - y), exchange(phi, x, y), rel=1e-8)


@twin(r"\phi_M \phi_N = \phi_M", r"\implies R_N(y) \subset R_M(y)")
def nested_sets():
    """A picture that shares the finer blocks of y is made, and shares the coarser ones."""
    for n, m in [(1, 2), (2, 4), (2, 8)]:
        same(blocks(m) @ blocks(n), blocks(m))
        y, free = RNG.normal(size=(2, 64))
        x = free + np.linalg.pinv(blocks(n)) @ (blocks(n) @ (y - free))
        same(blocks(n) @ x, blocks(n) @ y)
        same(blocks(m) @ x, blocks(m) @ y)
    assert np.abs(blocks(2) @ blocks(4) - blocks(2)).max() > 0.01  # the other way round it fails


COV = np.array([[1.0, 0.8], [0.8, 1.0]])
TWO = np.eye(2)


def pixels():
    """Returns the schedule and the law of the two pixels, as the package has them."""
    one, mean = torch.ones(1).double(), torch.zeros(1, 2).double()
    S = Schedule.from_betas(torch.tensor(BETA[1:]))
    return S, GaussianMixture(one, mean, torch.tensor(COV)[None])


def gain(t):
    return np.sqrt(BAR[t]) * COV @ np.linalg.inv(BAR[t] * COV + (1 - BAR[t]) * TWO)


@twin(r"\mu_s = c_0 (G_t (\sqrt{\bar\alpha_t} y_1, \mu_t)^\top)_2 + c_t \mu_t")
def the_mean_of_the_free_pixel():
    """The package's step without its noise, on the mean: everything is linear."""
    S, data = pixels()
    eps_fn = data.eps_fn(S)
    y, mu = 0.9, 0.0
    x = torch.tensor([[np.sqrt(BAR[6]) * y, mu]])
    for t, s in [(6, 4), (4, 3), (3, 1)]:
        eps = eps_fn(x, torch.tensor([t]))
        x, _ = ddpm.step(x, t, s, eps, S, noise=torch.zeros_like)
        x[0, 0] = np.sqrt(BAR[s]) * y
        c_t, c_0 = (posterior(BETA, *ends, t, s)[0] for ends in ((0.0, 1.0), (1.0, 0.0)))
        mu = c_0 * (gain(t) @ [np.sqrt(BAR[t]) * y, mu])[1] + c_t * mu
        same(float(x[0, 1]), mu)


@twin(r"x_t = \sqrt{\bar\alpha_t / \bar\alpha_s} x_s + \sqrt{1 - \bar\alpha_t / \bar\alpha_s} z")
def back_up():
    """Mean and variance of the walk from s to t, a step at a time."""
    for t, s in [(4, 1), (6, 5)]:
        mean, var = 0.7, 0.0
        for i in range(s + 1, t + 1):
            mean, var = np.sqrt(1 - BETA[i]) * mean, (1 - BETA[i]) * var + BETA[i]
        same([np.sqrt(BAR[t] / BAR[s]) * 0.7, 1 - BAR[t] / BAR[s]], [mean, var])


@twin(
    r"\nabla_{x_t} \log p(x_t \mid y)"
    r" = \nabla_{x_t} \log p(x_t) + \nabla_{x_t} \log p(y \mid x_t)",
    r"\hat\epsilon(x_t, t \mid y)"
    r" = \hat\epsilon(x_t, t) - w \sqrt{1 - \bar\alpha_t} \nabla_{x_t} \log p(y \mid x_t)",
)
def guidance():
    """The data are no Gaussian, and y is a measurement of x_0; all by sums over the line."""
    y, at = 0.6, np.array([-1.5, 0.1, 1.2])

    def told(x0):
        return normal(y, np.tanh(x0), 0.3)

    for t in (2, 5):
        a, b = np.sqrt(BAR[t]), np.sqrt(1 - BAR[t])

        def joint(x, a=a, b=b):
            return mixture(LINE) * normal(np.asarray(x)[:, None], a * LINE, b**2)

        def given(x):
            joined = integral(joint(x) * told(LINE))
            return joined / integral(mixture(LINE) * told(LINE))

        def likelihood(x):
            return integral(joint(x) * told(LINE)) / integral(joint(x))

        pull = slope(lambda x, f=likelihood: np.log(f(x)), at)
        plain = slope(lambda x, f=joint: np.log(integral(f(x))), at)
        same(slope(lambda x, f=given: np.log(f(x)), at), plain + pull, rel=1e-8)
        x0 = (at[:, None] - b * LINE) / a
        law = normal(LINE, 0, 1) * mixture(x0)
        free, held = (integral(w * LINE) / integral(w) for w in (law, law * told(x0)))
        same(held, free - 1 * b * pull, rel=1e-8)


@twin(r"\hat\epsilon - \sqrt{1 - \bar\alpha_t} \nabla_{x_t} \log p(y_1 \mid x_t)")
def the_gradient_for_two_pixels():
    """It is E[eps | x_t, y_1], by conditioning the five Gaussian numbers on the last three."""
    S, data = pixels()
    y = 0.9
    for t in (2, 5):
        x = RNG.normal(size=2)
        a, b = np.sqrt(BAR[t]), np.sqrt(1 - BAR[t])
        # (eps, x_t, y_1) as a linear map of (x_0, eps)
        maps = np.block([[0 * TWO, TWO], [a * TWO, b * TWO], [TWO[:1], 0 * TWO[:1]]])
        source = np.block([[COV, 0 * TWO], [0 * TWO, TWO]])
        cov = maps @ source @ maps.T
        left = cov[:2, 2:] @ np.linalg.solve(cov[2:, 2:], [*x, y])
        G = gain(t)
        var = (COV - a * G @ COV)[0, 0]

        def log_p(h, e, x=x, G=G, var=var):
            return np.log(normal(y, (G @ (x + h * e))[0], var))

        pull = [slope(lambda h, e=e, f=log_p: f(h, e), 0.0) for e in TWO]
        eps = data.eps_fn(S)(torch.tensor(x)[None], torch.tensor([t])).numpy()[0]
        same(left, eps - b * np.array(pull), rel=1e-8)


@twin(r"\mathbb{E}[x_{t,1}] = \sqrt{\bar\alpha_t} y_1 \text{ for all } t")
def projecting_the_prediction():
    """The step with the prediction replaced, from its right mean at the top, down to the data."""
    y = 0.9
    mean = np.sqrt(BAR[6]) * y
    for t, s in [(6, 4), (4, 3), (3, 1)]:
        mean = posterior(BETA, y, mean, t, s)[0]
        same(mean, np.sqrt(BAR[s]) * y)

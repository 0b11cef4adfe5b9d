"""What the twins share: a way to compare sides, quadrature, and the Gaussian laws of the book."""

import numpy as np

LINE = np.linspace(-14, 14, 701)  # a sum over it is exact to rounding if all is smooth
STEP = LINE[1] - LINE[0]

# A law of x_0 in one dimension that is not Gaussian.
W, MU, VAR = np.array([0.3, 0.5, 0.2]), np.array([-1.6, 0.4, 2.1]), np.array([0.5, 0.3, 0.9])


def same(*sides, rel=1e-9, tiny=1e-11):
    """Asserts that neighbouring sides of a chain agree, and that there is something to compare."""
    for left, right in zip(sides, sides[1:], strict=False):
        left, right = np.asarray(left, float), np.asarray(right, float)
        assert left.size and np.isfinite(left).all() and np.isfinite(right).all()
        assert np.abs(left - right).max() <= rel * np.abs(right).max() + tiny, (left, right)


def expected(samples, exact, errors=4):
    """Asserts that the mean of independent samples is the exact one, within standard errors."""
    se = samples.std() / np.sqrt(len(samples))
    assert abs(samples.mean() - exact) <= errors * se, (samples.mean(), exact, se)
    assert se <= 0.02 * abs(exact) + 1e-3, "too few samples to say anything"


def order(error, power, at=2.0**-6):
    """Asserts that halving h divides error(h) by 2^power: the order is this one and no other."""
    ratio = error(at) / error(at / 2)
    assert abs(np.log2(abs(ratio)) - power) < 0.1, ratio


def normal(x, mean, var):
    return np.exp(-((x - mean) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)


def mixture(x, means=MU, variances=VAR):
    """Returns the density at x of the law of x_0, or of the mixture with other components."""
    return sum(w * normal(x, m, v) for w, m, v in zip(W, means, variances, strict=True))


def integral(values, axis=-1):
    return values.sum(axis) * STEP


def hermite(n):
    """Returns n nodes and weights: the expectation under N(0, 1) of any polynomial below 2n."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return nodes, weights / weights.sum()


def slope(f, x, h=1e-3):
    """Returns f'(x) by a difference of order 6."""
    a, b, c = (f(x + k * h) - f(x - k * h) for k in (1, 2, 3))
    return (45 * a - 9 * b + c) / (60 * h)


def conditioned(mean, cov, value):
    """Returns mean and variance of the first of two jointly Gaussian numbers, given the second."""
    gain = cov[0][1] / cov[1][1]
    return mean[0] + gain * (value - mean[1]), cov[0][0] - gain * cov[1][0]


def schedule(rng, T=6):
    """Returns beta and bar alpha at 0..T, with random betas (beta[0] is 0)."""
    beta = np.concatenate([[0.0], rng.uniform(0.05, 0.4, T)])
    return beta, np.array([np.prod(1 - beta[1 : t + 1]) for t in range(T + 1)])


def posterior(beta, x0, xt, t, s):
    """Returns mean and variance of x_s given x_t and x_0, from the walk alone.

    The walk is followed step by step: no formula for a jump or for a posterior is used.
    """
    mean, var = x0, 0.0
    for i in range(1, s + 1):
        mean, var = np.sqrt(1 - beta[i]) * mean, (1 - beta[i]) * var + beta[i]
    mean_t, var_t, cov = mean, var, var
    for i in range(s + 1, t + 1):
        root = np.sqrt(1 - beta[i])
        mean_t, var_t, cov = root * mean_t, root**2 * var_t + beta[i], root * cov
    return conditioned((mean, mean_t), ((var, cov), (cov, var_t)), xt)

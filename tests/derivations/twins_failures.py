"""Twins of the page of failures: moments of a chain, and a line of a sampler."""

import numpy as np
from sides import same

from derivations import twin

RNG = np.random.default_rng(0)


@twin(
    r"\frac{K}{V^2} = \kappa_z \frac{(1 - r^2)^2}{1 - r^4}",
    r"\kappa_z \frac{(1 - r^2)^2}{1 - r^4} = \kappa_z \frac{1 - r^2}{1 + r^2}",
)
def kurtosis_of_a_chain():
    """Second and fourth moments, not cumulants, are followed until they stand still."""
    for r, scale, fourth in [(0.6, 0.9, 9.0), (-0.8, 0.5, 1.0), (0.3, 1.2, 1.8)]:
        second, m4 = 1.0, 3.0
        for _ in range(400):
            m4 = r**4 * m4 + 6 * r**2 * second * scale**2 + scale**4 * fourth
            second = r**2 * second + scale**2
        excess = fourth - 3
        middle = excess * (1 - r**2) ** 2 / (1 - r**4)
        same(m4 / second**2 - 3, middle, excess * (1 - r**2) / (1 + r**2))


@twin(
    r"\sqrt{\bar\alpha_s} \frac{x_t - \sqrt{1 - \bar\alpha_s} \hat\epsilon}{\sqrt{\bar\alpha_s}}"
    r" + \sqrt{1 - \bar\alpha_s} \hat\epsilon = x_t"
)
def the_sampler_that_stands_still():
    for bar in (0.9, 0.3, 0.01):
        x, eps = RNG.normal(size=(2, 5))
        guess = (x - np.sqrt(1 - bar) * eps) / np.sqrt(bar)
        same(np.sqrt(bar) * guess + np.sqrt(1 - bar) * eps, x)

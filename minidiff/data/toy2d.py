"""Points of the plane whose law can be seen: four toys of roughly unit scale.

Each function draws ``n`` independent points from one law, given in its docstring. Below, U(a, b)
is the uniform law and z standard normal, in two dimensions, independent of everything else.
"""

import math

import torch
from torch import Tensor

from minidiff import _validate as check


def _uniform(n: int, low: float, high: float, generator: torch.Generator | None) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def two_moons(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws from two interleaved half circles of radius 1.

    With a ~ U(0, pi): either (cos a - 1/2, sin a - 1/4) or (1/2 - cos a, 1/4 - sin a), with
    probability 1/2 each, plus 0.05 z. The law is symmetric about the origin.

    Args:
        n: The number of points, >= 0.
        generator: Where the random numbers come from; torch's global one unless given.

    Returns:
        (n, 2) float32.

    Raises:
        TypeError: ``n`` is not an int.
        ValueError: ``n`` is negative.

    Source: the shape of ``sklearn.datasets.make_moons``, centred.
    """
    check.integer("n", n, 0)
    a = _uniform(n, 0, math.pi, generator)
    sign = torch.randint(2, (n, 1), generator=generator) * 2 - 1
    moon = torch.stack([a.cos() - 0.5, a.sin() - 0.25], dim=1)
    return sign * moon + 0.05 * torch.randn(n, 2, generator=generator)


def swiss_roll(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws from a spiral of one and a half turns.

    r (cos a, sin a) + 0.03 z, with a ~ U(3 pi/2, 9 pi/2) and r = a / (3 pi): the radius grows
    from 1/2 to 3/2, the turns are 2/3 apart.

    Args and errors as ``two_moons``. Source: the shape of ``sklearn.datasets.make_swiss_roll``.
    """
    check.integer("n", n, 0)
    a = _uniform(n, 1.5 * math.pi, 4.5 * math.pi, generator)
    spiral = (a / (3 * math.pi))[:, None] * torch.stack([a.cos(), a.sin()], dim=1)
    return spiral + 0.03 * torch.randn(n, 2, generator=generator)


def eight_gaussians(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws from eight equal Gaussians on a circle.

    sqrt(2) (cos a, sin a) + 0.1 z, with a = k pi/4 and k uniform on 0..7. The mean is 0 and the
    covariance 1.01 I.

    Args and errors as ``two_moons``.
    """
    check.integer("n", n, 0)
    a = torch.randint(8, (n,), generator=generator) * (math.pi / 4)
    centre = math.sqrt(2) * torch.stack([a.cos(), a.sin()], dim=1)
    return centre + 0.1 * torch.randn(n, 2, generator=generator)


def checkerboard(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws uniformly from the eight dark unit squares of a 4x4 board on [-2, 2)^2.

    A square is dark where floor(x) + floor(y) is even. The density is 1/8 there, 0 elsewhere.

    Args and errors as ``two_moons``.
    """
    check.integer("n", n, 0)
    column = torch.randint(4, (n,), generator=generator)
    row = 2 * torch.randint(2, (n,), generator=generator) + column % 2
    corner = torch.stack([column, row], dim=1) - 2
    return corner + torch.rand(n, 2, generator=generator)

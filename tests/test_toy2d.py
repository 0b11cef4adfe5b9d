"""The four toys: each law as its docstring states it."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from minidiff.data import checkerboard, eight_gaussians, swiss_roll, two_moons

N = 5_000
TOYS = [two_moons, swiss_roll, eight_gaussians, checkerboard]


def draw(toy):
    return toy(N, generator=torch.Generator().manual_seed(0)).double()


def farthest_from(cdf, x):
    """Kolmogorov's statistic times sqrt(n): above 1.95 in one of a thousand samples."""
    x = x.sort().values
    n = len(x)
    ranks = torch.arange(n, dtype=x.dtype)
    gap = torch.maximum(cdf(x) - ranks / n, (ranks + 1) / n - cdf(x)).max()
    return math.sqrt(n) * gap.item()


@pytest.mark.parametrize("toy", TOYS)
def test_shape_scale_and_generator(toy):
    x = toy(1000, generator=torch.Generator().manual_seed(0))
    assert x.shape == (1000, 2) and x.dtype == torch.float32
    assert torch.equal(x, toy(1000, generator=torch.Generator().manual_seed(0)))
    torch.manual_seed(1)  # another test may have left it at 0
    assert not torch.equal(x, toy(1000))
    assert toy(0).shape == (0, 2)
    assert (x.mean(0).abs() < 0.3).all() and ((x.std(0) > 0.4) & (x.std(0) < 1.3)).all()


@pytest.mark.parametrize("toy", TOYS)
def test_refuses_what_is_no_number_of_points(toy):
    with pytest.raises(ValueError) as info:
        toy(-1)
    assert str(info.value) == "n: expected an int >= 0, got -1"
    with pytest.raises(TypeError) as info:
        toy(2.0)
    assert "n: expected an int, got 2.0" in str(info.value)


def test_two_moons_are_half_circles_with_noise():
    x = draw(two_moons)
    # Undone by its symmetry, every point belongs to the upper moon, about (-1/2, -1/4). A point
    # belongs to the moon whose arc is nearer: they are 0.25 apart, five standard deviations.
    arc = torch.linspace(0, math.pi, 1001, dtype=x.dtype)
    upper = torch.stack([arc.cos() - 0.5, arc.sin() - 0.25], dim=1)
    gaps = torch.stack([torch.cdist(x, upper).amin(1), torch.cdist(x, -upper).amin(1)])
    first = gaps[0] < gaps[1]
    assert abs(first.double().mean() - 0.5) < 3 * 0.5 / math.sqrt(N)
    assert gaps.amin(0).max() < 0.05 * 5
    own = torch.where(first[:, None], x, -x) + torch.tensor([0.5, 0.25], dtype=x.dtype)
    angle = torch.atan2(own[:, 1], own[:, 0])
    inside = (angle > 0.5) & (angle < math.pi - 0.5)  # away from the ends, where noise blurs it
    assert farthest_from(lambda a: (a - 0.5) / (math.pi - 1), angle[inside]) < 1.95
    # Of two-dimensional noise with std 0.05 on a circle of radius 1: Rice's law, all but normal.
    radius = own[inside].norm(dim=1)
    assert farthest_from(Normal(math.sqrt(1 + 0.05**2), 0.05).cdf, radius) < 1.95


def test_swiss_roll_is_a_spiral_with_noise():
    x = draw(swiss_roll)
    a = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 2001, dtype=x.dtype)
    spiral = (a / (3 * math.pi))[:, None] * torch.stack([a.cos(), a.sin()], dim=1)
    gap, nearest = torch.cdist(x, spiral).min(1)
    # Turns are 2/3 apart, so the nearest point of the spiral is where a point came from, but for
    # the noise along it; across it the noise is |N(0, 0.03^2)|.
    inside = (nearest > 100) & (nearest < 1900)
    folded = Normal(0.0, 0.03)
    assert farthest_from(lambda g: 2 * folded.cdf(g) - 1, gap[inside]) < 1.95
    assert farthest_from(lambda k: (k - 100) / 1800, nearest[inside].double()) < 1.95


def test_eight_gaussians_are_that_mixture():
    x = draw(eight_gaussians)
    k = torch.arange(8, dtype=x.dtype) * math.pi / 4
    centres = math.sqrt(2) * torch.stack([k.cos(), k.sin()], dim=1)
    gaps = torch.cdist(x, centres)
    # Modes are 1.08 apart, eleven standard deviations: a point's mode is beyond doubt.
    gap, mode = gaps.min(1)
    expected = N / 8
    chi2 = ((mode.bincount(minlength=8) - expected) ** 2 / expected).sum()
    assert chi2 < 24.3  # the 99.9th percentile for 7 degrees of freedom
    assert farthest_from(lambda r: 1 - (-(r**2) / (2 * 0.1**2)).exp(), gap) < 1.95  # Rayleigh
    # The mean log-density is minus the entropy, log 8 + log(2 pi e 0.01).
    mixture = MixtureSameFamily(
        Categorical(torch.ones(8, dtype=x.dtype)), Independent(Normal(centres, 0.1), 1)
    )
    assert abs(mixture.log_prob(x).mean() + math.log(8 * 2 * math.pi * math.e * 0.01)) < 0.06


def test_checkerboard_is_uniform_on_dark_squares():
    x = draw(checkerboard)
    cell = x.floor()
    assert ((cell >= -2) & (cell < 2)).all()
    assert (cell.sum(1) % 2 == 0).all()
    counts = ((cell[:, 0] + 2) * 4 + cell[:, 1] + 2).long().bincount(minlength=16)
    counts = counts[counts > 0]
    assert len(counts) == 8
    assert ((counts - N / 8) ** 2 / (N / 8)).sum() < 24.3
    for axis in range(2):
        assert farthest_from(lambda u: u, (x - cell)[:, axis]) < 1.95

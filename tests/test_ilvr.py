"""ILVR: its filters as matrices, and its bias for a Gaussian whose conditional is known."""

import functools
import math

import pytest
import torch

from minidiff import ddim
from minidiff.apps import ilvr
from minidiff.forward import q_between, q_sample
from minidiff.guidance import classifier_guidance
from minidiff.sampling import last, sample
from minidiff.schedule import linear_schedule

F64 = torch.float64
SIDE = 16
S = linear_schedule(1000)
FILTERS = [ilvr.block_average, ilvr.nearest, ilvr.bilinear, ilvr.bicubic]


def matrix(phi, n):
    units = torch.eye(SIDE**2, dtype=F64).view(-1, 1, SIDE, SIDE)
    return phi(units, n).flatten(1).T


@pytest.mark.equation("eq-ilvr-block")
def test_block_average_is_the_mean_of_each_block():
    x = torch.randn(2, 3, 12, 8, dtype=F64)
    out = ilvr.block_average(x, 4)
    for i in range(12):
        for j in range(8):
            block = x[..., i // 4 * 4 : i // 4 * 4 + 4, j // 4 * 4 : j // 4 * 4 + 4]
            assert (out[..., i, j] - block.mean((2, 3))).abs().max() < 1e-14


@pytest.mark.parametrize("phi", FILTERS)
def test_filters_are_linear_and_keep_constants(phi):
    x, y = torch.randn(2, 3, 2, SIDE, SIDE, dtype=F64)
    for n in (1, 2, 4, 8, 16):
        assert (phi(2 * x - y, n) - 2 * phi(x, n) + phi(y, n)).abs().max() < 1e-12
        assert (phi(torch.full_like(x, 0.7), n) - 0.7).abs().max() < 1e-12
    assert (phi(x, 1) - x).abs().max() < 1e-12


@pytest.mark.parametrize("phi", FILTERS)
def test_filters_treat_rows_as_columns(phi):
    x = torch.randn(2, 3, 8, 12, dtype=F64)
    assert (phi(x.mT, 2).mT - phi(x, 2)).abs().max() < 1e-12


@pytest.mark.parametrize("phi", [ilvr.bilinear, ilvr.bicubic])
def test_resizing_keeps_straight_lines_off_the_edges(phi):
    ramp = torch.arange(32, dtype=F64).expand(1, 1, 32, 32)
    assert (phi(ramp, 2) - ramp)[..., 8:-8].abs().max() < 1e-12


@pytest.mark.equation("eq-ilvr-projector")
def test_which_filters_are_projectors():
    for n in (2, 4, 8):
        for phi in FILTERS:
            m = matrix(phi, n)
            repeats = (m @ m - m).abs().max().item()
            if phi in (ilvr.block_average, ilvr.nearest):
                assert repeats < 1e-15
                assert abs(m.trace() - (SIDE // n) ** 2) < 1e-12
                assert torch.linalg.matrix_rank(m) == (SIDE // n) ** 2
            else:
                assert repeats > 1e-3
    block, near = matrix(ilvr.block_average, 4), matrix(ilvr.nearest, 4)
    assert (block - block.T).abs().max() < 1e-15 and (near - near.T).abs().max() == 1
    # What white noise becomes, per pixel; and by how much a picture can be stretched.
    assert abs(block.square().sum(1) - 1 / 16).max() < 1e-14
    assert abs(near.square().sum(1) - 1).max() < 1e-14
    assert abs(torch.linalg.matrix_norm(block, 2) - 1) < 1e-12
    assert abs(torch.linalg.matrix_norm(near, 2) - 4) < 1e-12


@pytest.mark.equation("eq-ilvr-nested")
def test_a_coarser_match_contains_a_finer_one():
    for phi in (ilvr.block_average, ilvr.nearest):
        fine, coarse = matrix(phi, 2), matrix(phi, 4)
        assert (coarse @ fine - coarse).abs().max() < 1e-15
    fine, coarse = matrix(ilvr.bicubic, 2), matrix(ilvr.bicubic, 4)
    assert (coarse @ fine - coarse).abs().max() > 1e-3


@pytest.mark.equation("eq-ilvr-hook", "eq-ilvr-residual", "eq-ilvr-descent")
@pytest.mark.parametrize("phi", FILTERS)
def test_what_is_left_after_matching(phi):
    torch.manual_seed(0)
    y, x, z = torch.randn(3, 4, 2, SIDE, SIDE, dtype=F64)
    n, s = 4, 300
    hook = ilvr.matching(functools.partial(phi, n=n), y, S, noise=lambda _: z)
    a, b = S.alpha_bar[s].sqrt(), (1 - S.alpha_bar[s]).sqrt()
    m, flat = matrix(phi, n), (lambda v: v.reshape(8, -1).T)
    want = (m @ m - m) @ flat(a * y + b * z - x)
    got = m @ flat(hook(x, s)) - m @ flat(a * y + b * z)
    assert (got - want).abs().max() < 1e-12
    if phi is ilvr.block_average:
        assert got.abs().max() < 1e-12
        # A unit step down the gradient of 1/2 |phi(x - y)|^2, by autograd.
        v = x.clone().requires_grad_()
        (0.5 * phi(v - (a * y + b * z), n).square().sum()).backward()
        assert (hook(x, s) - (x - v.grad)).abs().max() < 1e-12
    if phi is ilvr.nearest:
        v = x.clone().requires_grad_()
        (0.5 * phi(v - (a * y + b * z), n).square().sum()).backward()
        assert (hook(x, s) - (x - v.grad)).abs().max() > 0.1


def normal(x, t):
    """E[eps | x_t] of N(0, I): white pixels."""
    return S.coefs(int(t[0]), x)[1] * x


def test_the_ends_of_n():
    torch.manual_seed(1)
    y = torch.randn(3, 2, 8, 8)
    grid = S.grid(20)
    same = last(ilvr.refine(normal, functools.partial(ilvr.block_average, n=1), y, S, grid))
    assert (same - y).abs().max() < 1e-6
    means = last(ilvr.refine(normal, functools.partial(ilvr.block_average, n=8), y, S, grid))
    assert (means.mean((2, 3)) - y.mean((2, 3))).abs().max() < 1e-6
    assert (means - y).abs().mean() > 0.5


@pytest.mark.equation("eq-ilvr-set")
def test_the_residual_of_a_walk():
    torch.manual_seed(2)
    y = torch.randn(3, 2, SIDE, SIDE)
    for phi, low, high in ((ilvr.block_average, 0, 1e-10), (ilvr.bicubic, 1e-7, 1)):
        walk = ilvr.refine(normal, functools.partial(phi, n=4), y, S, S.grid(20))
        left = (phi(last(walk), 4) - phi(y, 4)).square().mean()
        assert low <= left < high


def test_only_the_levels_named_are_matched():
    y, phi = torch.ones(2, 1, 4, 4), functools.partial(ilvr.block_average, n=2)
    hook = ilvr.matching(phi, y, S, low=100, high=200, noise=torch.zeros_like)
    x = torch.zeros(2, 1, 4, 4)
    for s, matched in ((99, False), (100, True), (200, True), (201, False)):
        assert (hook(x, s).abs().max() > 0) == matched
    for high, last_matched in ((None, 1000), (0, 0)):
        hook = ilvr.matching(phi, y, S, high=high, noise=torch.zeros_like)
        assert (hook(x, 0) == 1).all() and (hook(x, last_matched) > 0).all()


def test_a_walk_matches_the_levels_named_alone():
    seen = []

    def phi(x):
        seen.append(x)
        return x

    y = torch.ones(1, 1, 2, 2)
    last(ilvr.refine(normal, phi, y, S, [1000, 750, 500, 250, 0], low=100, high=500))
    assert len(seen) == 4  # the reference and the state, at 500 and at 250


def test_a_walk_starts_from_normal_noise_unless_told_otherwise():
    torch.manual_seed(8)
    y = torch.ones(5000, 1, 2, 2)
    at = next(ilvr.refine(normal, lambda x: x, y, S, [1000, 0]))
    a, b = S.coefs(1000, y)
    x = a * at.x0 + b * at.eps  # where the walk was
    moments = torch.stack([x.pow(k).mean() for k in (1, 2, 3, 4)])
    assert (moments - torch.tensor([0.0, 1.0, 0.0, 3.0])).abs().max() < 0.15


# The Gaussian of two correlated pixels: everything is linear, so a recursion is exact.


def recursion(rho, repeat=1, project_x0=False, grid=None, start=0.0):
    """Returns E[x_2] and Var[x_2] given y_1 = 1: matrices, no samples.

    ``start`` is the mean of x_1 at T.

    The state is (x_1, x_2); the eps-function of N(0, C) is b (a^2 C + b^2 I)^-1 x.
    """
    cov = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=F64)
    mean, var = torch.tensor([start, 0.0], dtype=F64), torch.eye(2, dtype=F64)
    free = torch.diag(torch.tensor([0.0, 1.0], dtype=F64))
    one = torch.tensor([1.0, 0.0], dtype=F64)
    eye, ab = torch.eye(2, dtype=F64), S.alpha_bar
    grid = list(range(1000, -1, -1)) if grid is None else grid
    for t, s in zip(grid[:-1], grid[1:], strict=True):
        at, a_s = ab[t].item(), ab[s].item()
        ratio = at / a_s
        sigma2 = (1 - a_s) / (1 - at) * (1 - ratio)
        to_x0 = math.sqrt(at) * cov @ torch.linalg.inv(at * cov + (1 - at) * eye)
        c0 = math.sqrt(a_s) * (1 - ratio) / (1 - at)
        c1 = math.sqrt(ratio) * (1 - a_s) / (1 - at)
        for again in range(repeat):
            if project_x0:
                gain = c0 * free @ to_x0 + c1 * eye
                mean, var = gain @ mean + c0 * one, gain @ var @ gain.T + sigma2 * eye
            else:
                gain = free @ (c0 * to_x0 + c1 * eye)
                mean = gain @ mean + math.sqrt(a_s) * one
                var = gain @ var @ gain.T + sigma2 * free + (1 - a_s) * (eye - free)
            if again < repeat - 1:
                mean, var = math.sqrt(ratio) * mean, ratio * var + (1 - ratio) * eye
    return mean[1].item(), var[1, 1].item()


def two_pixels(rho):
    """Returns the eps-function of N(0, C), pixels (B, 1, 1, 2)."""
    cov = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=F64)

    def predict(x, t):
        a, b = S.coefs(int(t[0]), x)
        return b * torch.linalg.solve(a**2 * cov + b**2 * torch.eye(2, dtype=F64), x.mT).mT

    return predict


def first(x):
    return x * torch.tensor([1.0, 0.0], dtype=x.dtype)


@pytest.mark.equation("eq-ilvr-bias")
def test_it_is_a_projection_and_not_a_posterior_sample():
    for rho, mean, var in ((0.5, 0.267, 0.817), (0.8, 0.499, 0.490), (0.95, 0.723, 0.186)):
        got = recursion(rho)
        assert abs(got[0] - mean) < 1e-3 and abs(got[1] - var) < 1e-3
    torch.manual_seed(3)
    y = torch.ones(20000, 1, 2, dtype=F64)
    walk = ilvr.refine(two_pixels(0.8), first, y, S, S.grid(100))
    x = last(walk)[..., 1]
    mean, var = recursion(0.8, grid=S.grid(100))
    assert abs(x.mean() - mean) < 0.02 and abs(x.var() - var) < 0.02


@pytest.mark.equation("eq-ilvr-resampling")
def test_resampling_each_level_brings_the_mean_to_the_conditional():
    for repeat, mean, var in ((5, 0.734, 0.375), (10, 0.768, 0.358), (50, 0.794, 0.330)):
        got = recursion(0.8, repeat)
        assert abs(got[0] - mean) < 1e-3 and abs(got[1] - var) < 1e-3
    # The outer loop of the page, over grids of two and q_between, against the recursion.
    torch.manual_seed(4)
    grid, y = S.grid(50), torch.ones(20000, 1, 2, dtype=F64)
    hook, x = ilvr.matching(first, y, S), torch.randn(20000, 1, 2, dtype=F64)
    for t, s in zip(grid[:-1], grid[1:], strict=True):
        for again in range(5):
            x = last(sample(two_pixels(0.8), x, S, [t, s], ilvr.step, hook))
            if again < 4:
                x = q_between(x, s, t, torch.randn_like(x), S)
    mean, var = recursion(0.8, 5, grid=grid)
    assert abs(x[..., 1].mean() - mean) < 0.02 and abs(x[..., 1].var() - var) < 0.02


@pytest.mark.equation("eq-ilvr-x0")
def test_projecting_the_prediction_has_the_same_mean():
    start = S.alpha_bar[1000].sqrt().item()  # where x_1 of both is N(sqrt(ab) y_1, 1 - ab) at once
    projected, matched = (recursion(0.8, project_x0=p, start=start) for p in (True, False))
    assert abs(projected[0] - matched[0]) < 1e-12
    assert abs(projected[1] - 0.534) < 1e-3 and matched[1] < projected[1]


def test_a_walk_with_projected_predictions_ends_where_the_recursion_does():
    def projected(x, t, s, eps, schedule):
        a, b = schedule.coefs(t, x)
        x0 = (x - b * eps) / a
        x0[..., 0] = 1.0
        return ilvr.step(x, t, s, (x - a * x0) / b, schedule)

    torch.manual_seed(6)
    grid, y = S.grid(100), torch.randn(20000, 1, 2, dtype=F64)
    x = last(sample(two_pixels(0.8), y, S, grid, projected))[..., 1]
    mean, var = recursion(0.8, project_x0=True, grid=grid)
    assert abs(x.mean() - mean) < 0.02 and abs(x.var() - var) < 0.02


@pytest.mark.equation("eq-ilvr-noise")
@pytest.mark.parametrize(
    ("phi", "stretched"), [(ilvr.block_average, 1.0), (ilvr.nearest, 2.875), (ilvr.bilinear, 0.98)]
)
def test_what_noise_a_state_has_after_the_exchange(phi, stretched):
    """Measured on the hook: white noise goes in on both sides."""
    torch.manual_seed(7)
    s, zero = 500, torch.zeros(4000, 1, SIDE, SIDE, dtype=F64)
    b = S.coefs(s, zero)[1]
    hook = ilvr.matching(functools.partial(phi, n=4), zero, S)
    seen = (hook(b * torch.randn_like(zero), s) / b).flatten(1)
    assert abs(seen.var(0).mean() - stretched) < 0.02
    m = matrix(phi, 4)
    eye = torch.eye(SIDE**2, dtype=F64)
    want = m @ m.T + (eye - m) @ (eye - m).T
    assert (seen.T.cov() - want).abs().max() < 0.12 * want.max()


@pytest.mark.equation("eq-ilvr-gradient")
def test_the_gradient_of_the_likelihood_is_exact():
    """log p(y_1 | x_t) of the Gaussian: by guidance the walk ends at N(.8, .36)."""
    rho = 0.8
    cov = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=F64)

    def log_prob(x, t):
        a, b = S.coefs(int(t[0]), x)
        gain = a * torch.linalg.solve(a**2 * cov + b**2 * torch.eye(2, dtype=F64), cov[:, 0])
        mean, var = (x @ gain).squeeze(), 1 - a * cov[0] @ gain
        return -0.5 * (1 - mean) ** 2 / var

    torch.manual_seed(5)
    guided = classifier_guidance(two_pixels(rho), log_prob, S)
    step = functools.partial(ddim.step, eta=1.0)
    x = last(sample(guided, torch.randn(10000, 1, 2, dtype=F64), S, S.grid(1000), step))
    assert abs(x[..., 0].mean() - 1) < 0.02 and x[..., 0].std() < 0.05
    assert abs(x[..., 1].mean() - 0.8) < 0.02 and abs(x[..., 1].var() - 0.36) < 0.02


X = torch.zeros(2, 1, 6, 9)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ilvr.block_average(X, 2), ValueError, "n: expected a divisor of H and W, got 2"),
        (lambda: ilvr.nearest(X.mT, 2), ValueError, "n: expected a divisor of H and W, got 2"),
        (lambda: ilvr.nearest(X, 0), ValueError, "n: expected an int >= 1"),
        (lambda: ilvr.bilinear(X[0], 3), ValueError, r"x: expected shape \(B, C, H, W\)"),
        (lambda: ilvr.bicubic(X.int(), 3), TypeError, "x: expected a floating"),
        (lambda: ilvr.bicubic(X, 1.5), TypeError, "n: expected an int"),
        (lambda: ilvr.matching(first, X.int(), S), TypeError, "y: expected a floating"),
        (lambda: ilvr.matching(first, X, S, low=5, high=4), ValueError, "low: expected an int in"),
        (lambda: ilvr.matching(first, X, S, high=1001), ValueError, "high: expected an int in"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_where_the_walk_starts_and_what_it_matches_are_drawn_by_noise():
    y, seen = torch.randn(2, 1, 4, 4), []

    def noise(x):
        seen.append(x.shape)
        return torch.zeros_like(x)

    walk = ilvr.refine(
        normal, functools.partial(ilvr.nearest, n=2), y, S, S.grid(4), step=ddim.step, noise=noise
    )
    x = last(walk)
    assert len(seen) == 5 and (ilvr.nearest(x, 2) - ilvr.nearest(y, 2)).abs().max() < 1e-6
    assert q_sample(y, 0, noise(y), S).equal(y)

"""SR3 without training: the network is the exact posterior of a Gaussian, known in closed form."""

import functools
import math

import pytest
import torch

from minidiff import ddim
from minidiff.apps import sr3
from minidiff.forward import noise_level
from minidiff.nets import UNet
from minidiff.sampling import last
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule

F64 = torch.float64
SIDE, FACTOR = 4, 2
D = SIDE**2
S = cosine_schedule(1000)


def linear(f, rows, cols):
    """Returns the matrix of a linear map between images, one column for each unit image."""
    units = torch.eye(rows * rows, dtype=F64).view(-1, 1, rows, rows)
    return f(units).reshape(-1, cols * cols).T


def blocks(x):
    return x.unflatten(2, (-1, FACTOR)).unflatten(4, (-1, FACTOR)).mean((3, 5))


# Neighbouring pixels resemble each other: covariance rho^distance in either direction.
_LINE = 0.8 ** (torch.arange(SIDE)[:, None] - torch.arange(SIDE)).abs().double()
COV = torch.kron(_LINE, _LINE)
DOWN = linear(blocks, SIDE, SIDE // FACTOR)
UP = linear(functools.partial(sr3.up, factor=FACTOR), SIDE // FACTOR, SIDE)
GAIN = COV @ DOWN.T @ torch.linalg.inv(DOWN @ COV @ DOWN.T)  # E[x | low] = GAIN low
LEFT = COV - GAIN @ DOWN @ COV  # Cov[x | low], of rank 12
MMSE = LEFT.trace().item() / D


def exact(x_t, level, image):
    """The velocity that a perfect network predicts: that of E[x | x_t, low], by Bayes' rule."""
    a, b = math.cos(level[0]), math.sin(level[0])
    low = image.flatten(1) @ torch.linalg.pinv(UP).T
    mean, x = low @ GAIN.T, x_t.flatten(1)
    seen = LEFT * a**2 + torch.eye(D, dtype=F64) * b**2
    x0 = mean + a * torch.linalg.solve(seen, (x - a * mean).T).T @ LEFT
    return (a * (x - a * x0) / b - b * x0).view_as(x_t)


def pairs(n):
    generator = torch.Generator().manual_seed(0)
    root = torch.linalg.cholesky(COV)
    high = torch.randn(n, D, dtype=F64, generator=generator) @ root.T
    return high.view(n, 1, SIDE, SIDE), (high @ DOWN.T).view(n, 1, SIDE // 2, SIDE // 2)


def draws(low, grid=None, schedule=S, **options):
    grid = schedule.grid(250) if grid is None else grid
    return last(sr3.upscale(exact, low, FACTOR, schedule, grid, **options))


def mse(a, b):
    return (a - b).square().mean().item()


@pytest.mark.equation("eq-sr3-down")
def test_down_is_the_mean_of_blocks():
    x = torch.randn(3, 2, 12, 8, dtype=F64)
    means = [[x[:, :, i : i + 4, j : j + 4].mean((2, 3)) for j in (0, 4)] for i in (0, 4, 8)]
    want = torch.stack([torch.stack(row, 2) for row in means], 2)
    assert (sr3.down(x, 4) - want).abs().max() < 1e-14
    assert sr3.down(x, 1).equal(x)


def test_up_is_bicubic_and_keeps_what_is_constant():
    low = torch.full((2, 3, 4, 6), 0.7, dtype=F64)
    assert (sr3.up(low, 4) - 0.7).abs().max() < 1e-14 and sr3.up(low, 4).shape == (2, 3, 16, 24)
    ramp = torch.arange(8, dtype=F64).expand(1, 1, 8, 8)  # a cubic reproduces it, off the edges
    at = (torch.arange(16, dtype=F64) + 0.5) / 2 - 0.5
    assert (sr3.up(ramp, 2)[0, 0, 0, 4:-4] - at[4:-4]).abs().max() < 1e-12


@pytest.mark.equation("eq-sr3-mean")
def test_the_answer_at_pure_noise_is_the_posterior_mean():
    high, low = pairs(2000)
    mean = sr3.regress(exact, low, FACTOR, S)
    by_hand = (low.flatten(1) @ GAIN.T).view_as(high)
    assert (mean - by_hand).abs().max() < 1e-3  # sqrt(alpha_bar_T) = 5e-5 of x_T shows through
    assert abs(mse(mean, high) / MMSE - 1) < 0.05
    better = mean + 0.1 * torch.randn_like(mean)
    assert mse(better, high) > mse(mean, high)


@pytest.mark.equation("eq-sr3-two", "eq-sr3-average", "eq-sr3-product")
def test_an_exact_sample_has_twice_the_error_of_the_mean():
    torch.manual_seed(0)
    high, low = pairs(3000)
    samples = torch.stack([draws(low) for _ in range(4)])
    for n, want in ((1, 2.0), (2, 1.5), (4, 1.25)):
        assert abs(mse(samples[:n].mean(0), high) / MMSE - want) < 0.08, n
    product = ((samples[0] - high) * (samples[1] - high)).mean().item()
    assert abs(product / MMSE - 1) < 0.08


@pytest.mark.equation("eq-sr3-levels")
def test_samples_follow_the_posterior_and_keep_the_small_image():
    torch.manual_seed(1)
    _, low = pairs(1)
    x = draws(low.expand(4000, -1, -1, -1)).flatten(1)
    assert (x.mean(0) - low.flatten(1) @ GAIN.T).abs().max() < 0.05
    assert (x.T.cov() - LEFT).abs().max() < 0.05
    kept = sr3.down(x.view(-1, 1, SIDE, SIDE), FACTOR) - low
    assert kept.abs().max() < 0.05  # no noise is added on the last step


@pytest.mark.equation("eq-sr3-shrunk")
def test_few_deterministic_steps_lose_variance_and_so_less_than_three_decibels():
    torch.manual_seed(2)
    high, low = pairs(3000)
    step, errors = functools.partial(ddim.step, eta=0.0), []
    for n in (1, 2, 4, 50):
        one, two = (draws(low, S.grid(n), step=step) for _ in range(2))
        errors.append(mse(one, high) / MMSE)
        rho = 0.5 * mse(one, two) / MMSE  # two draws for one input: twice their variance
        assert abs(errors[-1] - 1 - rho) < 0.06, n
    assert abs(errors[0] - 1) < 0.05 and errors == sorted(errors) and errors[-1] < 2.05


@pytest.mark.equation("eq-sr3-step")
def test_the_step_is_that_of_the_paper():
    """Their gamma is our alpha_bar; over a longer stride alpha is the ratio of two of them."""
    x, eps, z = torch.randn(3, 5, 2, 4, 4, dtype=F64)
    for t, s in ((1000, 999), (700, 650), (20, 1), (3, 0)):
        alpha, gamma = (S.alpha_bar[t] / S.alpha_bar[s]).item(), S.alpha_bar[t].item()
        want = (x - (1 - alpha) / (1 - gamma) ** 0.5 * eps) / alpha**0.5
        if s > 0:
            want = want + (1 - alpha) ** 0.5 * z
        got, _ = sr3.step(x, t, s, eps, S, noise=lambda _: z)
        assert (got / want - 1).abs().max() < 1e-9


def test_another_schedule_than_that_of_training():
    torch.manual_seed(3)
    high, low = pairs(2000)
    other = linear_schedule(200)
    assert abs(mse(draws(low, other.grid(200), other), high) / MMSE - 2) < 0.15


@pytest.mark.equation("eq-sr3-levels")
def test_levels_are_uniform_within_their_segments():
    torch.manual_seed(4)
    few = Schedule(torch.tensor([1.0, 0.9, 0.5, 0.01], dtype=F64))
    drawn = torch.cat([sr3.levels(few, 30).alpha_bar[1:] for _ in range(400)])
    for high, low in ((1.0, 0.9), (0.9, 0.5), (0.5, 0.01)):
        inside = (drawn - low) / (high - low)
        inside = inside[(inside >= 0) & (inside < 1)]
        assert len(inside) == 400 * 10
        # Kolmogorov-Smirnov: 1.63 / sqrt(n) at one per cent, for independent draws.
        at = torch.arange(1, len(inside) + 1) / len(inside)
        assert (inside.sort().values - at).abs().max() < 1.63 / len(inside) ** 0.5
    one = sr3.levels(few, 1)
    assert one.T == 1 and one.alpha_bar[0] == 1


def test_a_share_of_the_levels_lies_at_the_top():
    torch.manual_seed(7)
    few = Schedule(torch.tensor([1.0, 0.9, 0.5, 0.01], dtype=F64))
    for top, want in ((0.0, [10, 10, 10]), (0.2, [8, 8, 14]), (1.0, [0, 0, 30])):
        drawn = sr3.levels(few, 30, top).alpha_bar[1:]
        counts = [
            int(((drawn >= a) & (drawn < b)).sum()) for b, a in few.alpha_bar.unfold(0, 2, 1)
        ]
        assert counts == want
        asked = asked_of_the_loss(few, top=top)  # once at each level that was drawn
        assert torch.histogram(asked, noise_level(few.alpha_bar).float()).hist.tolist() == want
    plain = asked_of_the_loss(few)
    assert torch.histogram(plain, noise_level(few.alpha_bar).float()).hist.tolist() == [10] * 3


def told(asked, x_t, level, image):
    asked.append((x_t, level))
    return torch.zeros_like(x_t)


def asked_of_the_loss(schedule, **options):
    asked = []
    images = torch.zeros(30, 1, 4, 4)
    sr3.loss(functools.partial(told, asked), images, factor=2, schedule=schedule, **options)
    return asked[0][1]


@pytest.mark.equation("eq-sr3-levels")
def test_levels_are_spread_evenly_and_never_twice_the_same():
    one = Schedule(torch.tensor([1.0, 0.5], dtype=F64))
    u = 2 * (1 - sr3.levels(one, 7).alpha_bar[1:])
    assert (u.diff() - 1 / 7).abs().max() < 1e-14
    assert 2 * (1 - sr3.levels(one, 1).alpha_bar[1]) * 2**24 % 1 > 0  # drawn in double precision
    torch.manual_seed(0)
    assert sr3.levels(one, 20_000, 1.0).T == 20_000  # in single, a dozen would meet


def test_the_largest_random_number_is_still_within_the_last_segment(monkeypatch):
    largest = 1 - 2**-53
    monkeypatch.setattr(torch, "rand", lambda *size, dtype: torch.full(size, largest, dtype=dtype))
    few = Schedule(torch.tensor([1.0, 0.9, 0.5, 0.01], dtype=F64))
    assert sr3.levels(few, 1, 1.0).alpha_bar[1] == 0.01


@pytest.mark.equation("eq-sr3-loss")
def test_the_loss_of_a_perfect_network_is_the_variance_that_is_left():
    """|v_hat - v|^2 = |x0_hat - x_0|^2 / b^2: its mean is tr(LEFT seen^-1) / d, by eigenvalues."""
    torch.manual_seed(5)
    high, _ = pairs(4000)
    flat = Schedule(torch.tensor([1.0, 0.5], dtype=F64))

    def told(x_t, level, image):
        return torch.stack(
            [
                exact(x[None], at[None], z[None])[0]
                for x, at, z in zip(x_t, level, image, strict=True)
            ]
        )

    got = sr3.loss(told, high, factor=FACTOR, schedule=flat, top=0.5)  # there is one segment
    ab = 0.5 + 0.5 * (torch.arange(20000, dtype=F64) + 0.5) / 20000
    left = torch.linalg.eigvalsh(LEFT).clamp(min=0)
    want = (left / (ab[:, None] * left + 1 - ab[:, None])).sum(1).mean() / D
    assert got.shape == (4000,)
    assert abs(got.mean() / want - 1) < 0.03


def test_a_network_is_told_the_small_image_alone():
    """What it is told does not depend on the noise, nor on what is lost by going down."""
    seen = []

    def net(x_t, level, image):
        seen.append(image)
        return torch.zeros_like(x_t)

    high, low = pairs(5)
    sr3.loss(net, high, factor=FACTOR, schedule=S)
    assert (seen[0].flatten(1) - low.flatten(1) @ UP.T).abs().max() < 1e-12
    list(sr3.upscale(net, low, FACTOR, S, S.grid(3)))
    assert len(seen) == 4 and all(torch.allclose(image, seen[0]) for image in seen)


def test_where_the_walk_starts_is_drawn_by_noise():
    _, low = pairs(3)
    first = next(
        sr3.upscale(
            exact, low, FACTOR, S, S.grid(4), step=ddim.step, noise=lambda x: torch.ones_like(x)
        )
    )
    a, b = S.coefs(1000, first.x)
    assert ((first.x0 * a + first.eps * b) - 1).abs().max() < 1e-12


def test_walks_start_from_normal_noise_and_take_the_step_of_the_paper():
    asked, low = [], torch.zeros(5000, 1, 2, 2)
    net = functools.partial(told, asked)
    torch.manual_seed(0)
    sr3.regress(net, low, 2, S)
    first = next(sr3.upscale(net, low, 2, S, [1000, 500]))
    for x, _ in asked:  # the first four moments of a normal number
        moments = torch.stack([x.pow(k).mean() for k in (1, 2, 3, 4)])
        assert (moments - torch.tensor([0.0, 1.0, 0.0, 3.0])).abs().max() < 0.15
    a, b = S.coefs(500, first.x)
    assert (first.x - a * first.x0 - b * first.eps).std() > 0.9  # without noise it would be 0


def test_the_network_of_the_recipes_fits():
    net = UNet(3, 16, (1, 2), image_channels=3, patch=2)
    high = torch.rand(2, 3, 16, 16) * 2 - 1
    assert sr3.loss(net, high, factor=4, schedule=S).shape == (2,)
    walk = sr3.upscale(net.eval(), sr3.down(high, 4), 4, S, S.grid(2))
    assert last(walk).shape == high.shape
    assert sr3.regress(net, sr3.down(high, 4), 4, S).shape == high.shape


IMAGES = torch.zeros(2, 1, 6, 9)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sr3.down(IMAGES, 2), ValueError, "factor: expected a divisor of H and W, got 2"),
        (lambda: sr3.down(IMAGES.mT, 2), ValueError, "factor: expected a divisor of H and W"),
        (lambda: sr3.down(IMAGES, 0), ValueError, "factor: expected an int >= 1, got 0"),
        (lambda: sr3.down(IMAGES[0], 3), ValueError, r"x: expected shape \(B, C, H, W\)"),
        (lambda: sr3.down(IMAGES.int(), 3), TypeError, "x: expected a floating-point"),
        (lambda: sr3.up(IMAGES, 0), ValueError, "factor: expected an int >= 1"),
        (lambda: sr3.up(IMAGES, 1.5), TypeError, "factor: expected an int"),
        (lambda: sr3.up(IMAGES[0], 2), ValueError, r"low: expected shape \(B, C, H, W\)"),
        (lambda: sr3.levels(S, 0), ValueError, "n: expected an int >= 1"),
        (lambda: sr3.levels(S, 4, 1.5), ValueError, "top: expected a number in 0..1"),
        (lambda: sr3.loss(exact, IMAGES, factor=4, schedule=S), ValueError, "factor"),
        (lambda: sr3.upscale(exact, IMAGES[0], 2, S, [1000, 0]), ValueError, "low"),
        (lambda: sr3.upscale(exact, IMAGES, 2, S, [0, 1001]), ValueError, "grid"),
        (lambda: sr3.regress(exact, IMAGES, 0, S), ValueError, "factor"),
        (
            lambda: last(sr3.upscale(UNet(1, 16, image_channels=2), IMAGES, 2, S, [1000, 0])),
            ValueError,
            "image: expected shape",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()

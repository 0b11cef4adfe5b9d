"""Cascades without training: every stage is the exact posterior of a Gaussian.

The toy of one pixel: z ~ N(0, 1) and x given z ~ N(rho z, 1 - rho^2), so that x ~ N(0, 1) too. The
base model is wrong and draws z' ~ N(.5, .6).
"""

import functools
import math

import pytest
import torch

from minidiff import ddim, ddpm
from minidiff.apps import cdm
from minidiff.forward import noise_level, q_sample
from minidiff.nets import UNet
from minidiff.sampling import last, sample
from minidiff.schedule import Schedule, cosine_schedule

F64 = torch.float64
RHO, BASE = 0.9, (0.5, 0.6)  # mean and variance of what the base draws
S = cosine_schedule(1000)
LABEL = torch.zeros(1, dtype=torch.int64)


def exact(x_t, level, image, image_level, label, rho=RHO):
    """The velocity of a perfect stage: x given z_s is a Gaussian of known mean and variance."""
    shape = (-1, 1, 1, 1)
    a, b = level.cos().view(shape), level.sin().view(shape)
    seen = rho * image_level.cos().view(shape)
    mean, var = seen * image, 1 - seen**2
    x0 = mean + a * var / (a**2 * var + b**2) * (x_t - a * mean)
    return a * (x_t - a * x0) / b - b * x0


def time_of(alpha_bar):
    return int((S.alpha_bar - alpha_bar).abs().argmin())


def kl(mean, var):
    """KL(N(mean, var) || N(0, 1))."""
    return 0.5 * (var + mean**2 - 1 - math.log(var))


def generated(s):
    """Returns mean and variance of z'_s."""
    ab = S.alpha_bar[s].item()
    return BASE[0] * ab**0.5, BASE[1] * ab + 1 - ab


def stage(z, s, **options):
    options = {"s_max": 1000, "factor": 1, "grid": S.grid(1000)} | options
    label = LABEL.expand(len(z))
    return last(cdm.stage(exact, z, s, label, S, options.pop("grid"), **options))


def draw_base(n):
    return BASE[0] + BASE[1] ** 0.5 * torch.randn(n, 1, 1, 1, dtype=F64)


def integrate(mean, var, given, left):
    """Returns mean and variance of x' on a grid: x' = given z + noise of variance left."""
    z = torch.linspace(-12, 12, 4001, dtype=F64)
    x = torch.linspace(-9, 9, 1801, dtype=F64)[:, None]
    weight = torch.softmax(-0.5 * (z - mean) ** 2 / var, 0)
    density = (weight * torch.exp(-0.5 * (x - given * z) ** 2 / left)).sum(1)
    density, x = density / density.sum(), x[:, 0]
    centre = (density * x).sum()
    return centre.item(), (density * (x - centre) ** 2).sum().item()


@pytest.mark.equation("eq-cdm-toy", "eq-cdm-processing")
@pytest.mark.slow
def test_more_noise_brings_an_exact_cascade_nearer_to_the_data():
    """The three figures of each line: alpha_bar_s, KL of the samples, information kept."""
    torch.manual_seed(0)
    before = math.inf
    for ab, want, information in (
        (1.0, 0.135, 0.83),
        (0.7, 0.057, 0.42),
        (0.2, 0.0041, 0.09),
        (0.01, 1e-5, 0.004),
    ):
        s = time_of(ab)
        ab = S.alpha_bar[s].item()
        mean, var = integrate(*generated(s), RHO * ab**0.5, 1 - RHO**2 * ab)
        of_x, of_z = kl(mean, var), kl(*generated(s))
        assert abs(of_x - want) < 0.02 * want + 2e-6, ab
        assert abs(-0.5 * math.log(1 - RHO**2 * ab) - information) < 0.006
        assert of_x <= of_z and of_x < before
        before = of_x
        z = q_sample(draw_base(20000), s, torch.randn(20000, 1, 1, 1, dtype=F64), S)
        x = stage(z, s)
        assert abs(x.mean() - mean) < 0.03 and abs(x.var() - var) < 0.03


@pytest.mark.equation("eq-cdm-factor")
def test_a_cascade_of_exact_models_is_exact():
    torch.manual_seed(4)
    z = torch.randn(20000, 1, 1, 1, dtype=F64)
    x = stage(z, 0)
    assert abs(x.mean()) < 0.03 and abs(x.var() - 1) < 0.03
    assert abs(torch.stack([x, z]).flatten(1).corrcoef()[0, 1] - RHO) < 0.01


@pytest.mark.equation("eq-cdm-truncated")
def test_truncated_and_not_truncated_are_one_law_where_the_base_is_exact():
    torch.manual_seed(1)
    s = time_of(0.5)

    def base(x_t, t):  # E[eps | x_t] for z ~ N(.5, .6)
        a, b = S.coefs(t, x_t)
        return b * (x_t - a * BASE[0]) / (a**2 * BASE[1] + b**2)

    noise = torch.randn(20000, 1, 1, 1, dtype=F64)
    z_s = last(sample(base, noise, S, S.grid(300, stop=s)))
    mean, var = generated(s)
    assert abs(z_s.mean() - mean) < 0.02 and abs(z_s.var() - var) < 0.02
    stopped, noised = stage(z_s, s), stage(q_sample(draw_base(20000), s, noise, S), s)
    assert abs(stopped.mean() - noised.mean()) < 0.04 and abs(stopped.var() - noised.var()) < 0.04


@pytest.mark.equation("eq-cdm-loss", "eq-cdm-augmentation")
def test_the_loss_of_a_perfect_stage_is_the_variance_that_is_left():
    """With factor 1 the small image is the large one, and noise alone hides something of it."""
    torch.manual_seed(2)
    s_max, high = 300, torch.randn(60000, 1, 1, 1, dtype=F64)
    flat = Schedule(torch.cat([S.alpha_bar[:1], S.alpha_bar[s_max:]]))
    assert flat.T == 701
    seen = []

    def net(x_t, level, image, image_level, label):
        seen.append((image, image_level, label))
        return exact(x_t, level, image, image_level, label, rho=1.0)

    label = torch.arange(len(high)) % 8
    corrupt = functools.partial(cdm.gaussian, s_max)
    got = cdm.loss(corrupt, net, high, label, schedule=S, factor=1)
    # |v_hat - v|^2 = |x0_hat - x_0|^2 / b^2, averaged over s and over the angle's segments.
    left = (1 - S.alpha_bar[: s_max + 1])[:, None]
    ab = (S.alpha_bar[1:] + S.alpha_bar[:-1]) / 2
    want = (left / (ab * left + 1 - ab)).mean().item()
    assert got.shape == (60000,) and abs(got.mean().item() / want - 1) < 0.03
    (image, level, told), _ = seen[0], seen
    assert told.equal(label)
    levels = level.unique(sorted=True)
    assert levels[0] == 0 and len(levels) == s_max + 1  # 0 and s_max included
    assert (levels - noise_level(S.alpha_bar[: s_max + 1])).abs().max() < 1e-15
    # x and z_s of the pairs are what the level says: their correlation is its cosine.
    for near in ((0, 0.05), (0.2, 0.25), (0.4, 0.45)):
        some = (level >= near[0]) & (level <= near[1])
        both = torch.stack([high[some].flatten(), image[some].flatten()])
        assert abs(both.corrcoef()[0, 1] - level[some].cos().mean()) < 0.02


def test_a_stage_is_told_the_level_of_its_images():
    seen = []

    def net(x_t, level, image, image_level, label):
        seen.append((image, image_level, label))
        return torch.zeros_like(x_t)

    z, label = torch.randn(3, 2, 4, 4), torch.tensor([4, 0, 7])
    for s in (0, 250):
        walk = cdm.stage(net, z, s, label, S, S.grid(2), s_max=250)
        assert last(walk).shape == (3, 2, 8, 8)
        image, level, told = seen.pop()
        assert image.shape == (3, 2, 8, 8) and told is label
        assert (level - math.acos(S.alpha_bar[s].item() ** 0.5)).abs().max() < 1e-6
        assert level.shape == (3,) and level.dtype == z.dtype
    cdm.loss(cdm.clean, net, torch.randn(3, 2, 8, 8), label, schedule=S)
    _, level, _ = seen.pop()
    assert level.dtype == torch.float32 and (level == 0).all()


def test_the_step_is_ddim_unless_told_otherwise():
    z = torch.randn(4, 1, 1, 1, dtype=F64)
    ones = torch.ones_like
    plain, again = (stage(z, 0, noise=ones) for _ in range(2))
    other = stage(z, 0, noise=ones, step=ddpm.step)
    by_hand = stage(z, 0, noise=ones, step=functools.partial(ddim.step, eta=0.0))
    assert plain.equal(again) and plain.equal(by_hand) and not plain.equal(other)


def test_half_of_the_images_are_blurred_each_by_a_width_of_its_own():
    torch.manual_seed(3)
    z = torch.zeros(2000, 3, 7, 9)
    z[:, :, 3, 4] = 1
    soft, s = cdm.blurred(z, S)
    assert s.equal(torch.zeros(2000, dtype=torch.int64)) and soft.dtype == z.dtype
    hit = soft[:, 0, 3, 4] < 1
    assert soft[~hit].equal(z[~hit]) and abs(hit.float().mean() - 0.5) < 0.05
    soft = soft[hit]
    assert (soft.sum((2, 3)) - 1).abs().max() < 1e-5
    assert soft.std(1).max() < 1e-7  # the channels of an image alike
    patch = soft[:, 0, 2:5, 3:6]
    assert patch.sum((1, 2)).allclose(torch.ones(len(patch)), atol=1e-5)  # and nothing beyond 3x3
    beside = patch[:, 1, 0] / patch[:, 1, 1]
    assert (patch[:, 0, 0] / patch[:, 1, 1] - beside**2).abs().max() < 1e-6
    sigma = (-0.5 / beside.log()).sqrt()
    assert abs(sigma.min() - 0.4) < 0.005 and abs(sigma.max() - 0.6) < 0.005
    assert abs(sigma.mean() - 0.5) < 0.01
    even = torch.full((50, 2, 5, 5), 0.3)  # the edge is continued, not darkened
    assert (cdm.blurred(even, S)[0] - 0.3).abs().max() < 1e-6
    assert cdm.blurred(even.double(), S)[0].dtype == F64


def test_clean_leaves_everything():
    z = torch.randn(4, 3, 5, 5)
    same, s = cdm.clean(z, S)
    assert same is z and s.equal(torch.zeros(4, dtype=torch.int64))


def test_corrupted_images_stay_where_they_are():
    z = torch.zeros(4, 3, 8, 8, device="meta")
    for corrupt in (cdm.blurred, cdm.clean):
        assert [out.device.type for out in corrupt(z, S)] == ["meta", "meta"]


NET = UNet(1, 16, (1, 2), image_channels=1, classes=8)
Z, EIGHT = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 8, 8)


def run(z=Z, s=0, label=(0, 1), grid=(1000, 0), **options):
    options = {"s_max": 300} | options
    return last(cdm.stage(NET, z, s, torch.tensor(label), S, list(grid), **options))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: run(s=301), ValueError, "s: expected an int in 0..300, got 301"),
        (lambda: run(s=-1), ValueError, "s: expected an int in 0..300, got -1"),
        (lambda: run(s=0.5), TypeError, "s: expected an int"),
        (lambda: run(s_max=1001), ValueError, "s_max: expected an int in 0..1000"),
        (lambda: run(label=(0, 8)), ValueError, "label: expected entries in -1..7, got 0..8"),
        (lambda: run(label=(0,)), ValueError, "label: expected one entry for each"),
        (lambda: run(z=Z[0]), ValueError, r"low: expected shape \(B, C, H, W\)"),
        (lambda: run(factor=0), ValueError, "factor: expected an int >= 1"),
        (lambda: cdm.gaussian(1001, Z, S), ValueError, "s_max: expected an int in 0..1000"),
        (
            lambda: cdm.loss(cdm.clean, NET, EIGHT[..., :7], torch.tensor([0, 1]), schedule=S),
            ValueError,
            "factor: expected a divisor",
        ),
        (
            lambda: cdm.loss(cdm.clean, NET, EIGHT, torch.tensor([0, 9]), schedule=S),
            ValueError,
            "label: expected entries in -1..7",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()

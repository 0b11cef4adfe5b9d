"""SDEdit on Gaussian data, where every state of the walk has a law that a recursion gives."""

import functools
import math

import pytest
import torch

from minidiff import ddim
from minidiff.apps import sdedit
from minidiff.forward import q_sample
from minidiff.sampling import last
from minidiff.schedule import cosine_schedule, linear_schedule

F64 = torch.float64
S = linear_schedule(1000)
M, C2, G, T0 = 0.3, 0.25, -1.2, 300
KAPPA = S.alpha_bar[T0].item() * C2 / (S.alpha_bar[T0].item() * C2 + 1 - S.alpha_bar[T0].item())


def exact(x, t):
    """E[eps | x_t] of N(M, C2): from the joint Gaussian of x_t and eps."""
    a, b = S.coefs(int(t[0]), x)
    return b * (x - a * M) / (a**2 * C2 + b**2)


def moments(grid, eta=1.0, guide=G):
    """Returns mean and variance at the end. The walk is affine in its noises, so rows tell all:

    the first is drawn without any, and each other has a single noise of 1, at a call of its own.
    """
    calls = iter(range(len(grid)))

    def noise(x):
        return (torch.arange(len(x)) == next(calls) + 1).to(x).view(-1, 1)

    step = functools.partial(ddim.step, eta=eta, noise=noise)
    x = torch.full((len(grid) + 1 if eta else 2, 1), guide, dtype=F64)
    x = last(sdedit.edit(exact, x, S, grid, step=step, noise=noise))
    return x[0].item(), (x[1:] - x[0]).square().sum().item()


@pytest.mark.equation("eq-sdedit-gauss")
def test_the_mean_is_exact_for_every_number_of_steps_and_the_variance_to_first_order():
    want_mean, want_var = M + KAPPA * (G - M), C2 * (1 - KAPPA**2)
    assert abs(want_mean - 0.0884) < 1e-4 and abs(want_var - 0.2450) < 1e-4
    errors = []
    for n in (10, 20, 40, 75, 150, 300):
        mean, var = moments(S.grid(n, start=T0))
        assert abs(mean - want_mean) < 1e-12, n
        errors.append(want_var - var)
    assert abs(want_var - errors[-1] - 0.2412) < 1e-4
    slopes = [math.log2(a / b) for a, b in zip(errors[2:-1], errors[3:], strict=True)]
    assert 0.7 < min(slopes) and slopes[-1] < 1.1, slopes


@pytest.mark.equation("eq-sdedit-deterministic")
def test_without_noise_the_guide_is_kept_by_the_root_of_kappa():
    mean, var = moments(S.grid(300, start=T0), eta=0.0)
    assert abs(mean - (M + math.sqrt(KAPPA) * (G - M))) < 2e-3 and abs(mean + 0.262) < 2e-3
    assert abs(var - C2 * (1 - KAPPA)) < 2e-3


@pytest.mark.equation("eq-sdedit-tradeoff")
def test_faithfulness_falls_and_realism_grows_with_t0():
    """By Monte Carlo on the walk; W2 from sorted samples, which is exact in one dimension."""
    far, unreal, n = [], [], 20000
    torch.manual_seed(0)
    guide = torch.full((n, 1), G, dtype=F64)
    data = M + math.sqrt(C2) * torch.randn(n, 1, dtype=F64)
    for t0 in (50, 150, 300, 500, 900):
        x = last(sdedit.edit(exact, guide, S, S.grid(t0, start=t0)))
        far.append((x - guide).square().mean().item())
        unreal.append((x.sort(0).values - data.sort(0).values).square().mean().item())
        ab = S.alpha_bar[t0].item()
        k = ab * C2 / (ab * C2 + 1 - ab)
        want = (1 - k) ** 2 * (G - M) ** 2 + C2 * (1 - k**2)
        assert abs(far[-1] / want - 1) < 0.08
        want = k**2 * (G - M) ** 2 + C2 * (1 - math.sqrt(1 - k**2)) ** 2
        assert abs(unreal[-1] - want) < 0.05 * want + 0.01
    assert far == sorted(far) and unreal == sorted(unreal, reverse=True)


@pytest.mark.equation("eq-sdedit-repeats")
def test_k_repeats_keep_kappa_to_the_k():
    grid = S.grid(300, start=T0)
    mean, total = G, 0.0
    for k in (1, 2, 3):
        slope = moments(grid, guide=1.0)[0] - moments(grid, guide=0.0)[0]
        mean, var = moments(grid, guide=mean)
        total = slope**2 * total + var
        assert abs(mean - (M + KAPPA**k * (G - M))) < 1e-12
        assert abs(total - C2 * (1 - KAPPA ** (2 * k))) < 5e-3


@pytest.mark.equation("eq-sdedit-start")
@pytest.mark.parametrize("off", [0, 1])
def test_told_the_true_noise_it_returns_the_reference(monkeypatch, off):
    """A network that knows the noise, and not the picture: any level but the right one tells."""
    torch.manual_seed(1)
    reference, eps = torch.randn(2, 3, 1, 8, 8, dtype=F64)
    right = sdedit.q_sample
    monkeypatch.setattr(sdedit, "q_sample", lambda x, t, z, s: right(x, t - off, z, s))
    plain = functools.partial(ddim.step, eta=0.0)
    walk = sdedit.edit(
        lambda x, t: eps, reference, S, S.grid(20, start=400), step=plain, noise=lambda x: eps
    )
    assert bool((last(walk) - reference).abs().max() < 1e-12) is (off == 0)


def test_at_zero_the_guide_comes_back_bit_by_bit():
    guide = torch.randn(2, 3, 8, 8)
    assert not list(sdedit.edit(exact, guide, S, S.grid(5, start=0)))
    assert q_sample(guide, 0, torch.randn_like(guide), S).equal(guide)


@pytest.mark.equation("eq-sdedit-mask")
def test_kept_pixels_are_the_guides_at_every_level_and_exact_at_the_end():
    torch.manual_seed(2)
    guide = 0.5 * torch.ones(4000, 1, 2, 2, dtype=F64)
    keep = torch.tensor([[True, False], [False, True]])
    for at in sdedit.edit(exact, guide, S, S.grid(6, start=T0), keep=keep):
        a, b = S.coefs(at.s, at.x)
        kept = at.x[..., keep]
        assert abs(kept.mean() - 0.5 * a) < 0.03 * b + 1e-12  # not the level the step came from
        assert abs(kept.std() - b) < 0.03 * b + 1e-12
    assert at.x[..., keep].equal(guide[..., keep])
    free = at.x[..., ~keep]
    assert abs(free.mean() - 0.5) > 0.05
    walk = sdedit.edit(exact, guide, S, S.grid(6, start=T0), keep=keep, noise=torch.zeros_like)
    for at in walk:
        assert (at.x[..., keep] - 0.5 * S.coefs(at.s, at.x)[0]).abs().max() < 1e-15


def test_what_is_kept_is_noised_by_normal_numbers_unless_told_otherwise():
    torch.manual_seed(4)
    guide = torch.zeros(5000, 4, dtype=F64)
    x = sdedit.composite(torch.tensor(True), guide, S)(guide, 1000)
    moments = torch.stack([x.pow(k).mean() for k in (1, 2, 3, 4)])
    assert (moments - torch.tensor([0.0, 1.0, 0.0, 3.0])).abs().max() < 0.15


@pytest.mark.equation("eq-sdedit-snr", "eq-sdedit-crossing")
def test_frequencies_drown_when_their_signal_to_noise_ratio_does():
    """Spectrum 1/f^2 of mean 1 on 32x32: the powers of noised data, measured by FFT."""
    f = torch.fft.fftfreq(32, dtype=F64)
    square = f[:, None] ** 2 + f**2
    power = torch.where(square > 0, 1 / square, 0.0)
    power[0, 0] = power[0, 1]
    power = power / power.mean()
    ab = S.alpha_bar
    snr = ab[1:] / (1 - ab[1:])
    crossing = [1 + int((snr * power[0, k] < 1).nonzero()[0]) for k in (1, 4, 8, 16)]
    assert crossing == [618, 367, 231, 126]
    torch.manual_seed(3)
    white = torch.randn(3000, 32, 32, dtype=F64)
    data = torch.fft.ifft2(torch.fft.fft2(white) * power.sqrt()).real
    for k, t in zip((1, 4, 8), crossing[:3], strict=True):
        noised = q_sample(data, t, torch.randn_like(data), S)
        both = torch.fft.fft2(torch.stack([data * ab[t].sqrt(), noised])).abs().square()
        signal, total = both.mean(1)[:, 0, k]
        assert abs(signal / (total - signal) - 1) < 0.15, k


@pytest.mark.equation("eq-sdedit-wiener")
def test_each_frequency_is_kept_by_its_wiener_weight():
    """A Gaussian field of spectrum 1/f^2 on a ring of 16 pixels: by its covariance, no FFT."""
    side, torch_pi = 16, 2 * math.pi / 16
    power = torch.tensor([4.0, *(4.0 / k**2 for k in range(1, 9))], dtype=F64)
    power = torch.cat([power, power[1:8].flip(0)])
    lag = (torch.arange(side)[:, None] - torch.arange(side)).double()
    k = torch.arange(side, dtype=F64)
    cov = (power * torch.cos(torch_pi * lag[..., None] * k)).mean(-1)

    def field(x, t):
        a, b = S.coefs(int(t[0]), x)
        return b * torch.linalg.solve(a**2 * cov + b**2 * torch.eye(side, dtype=F64), x.T).T

    snr = (S.alpha_bar[T0] / (1 - S.alpha_bar[T0])).item()
    for freq in (1, 3, 8):
        wave = torch.cos(torch_pi * freq * torch.arange(side, dtype=F64))[None]
        step = functools.partial(ddim.step, eta=1.0, noise=torch.zeros_like)  # the mean
        x = last(
            sdedit.edit(field, wave, S, S.grid(30, start=T0), step=step, noise=torch.zeros_like)
        )
        signal = snr * power[freq].item()
        assert (x - signal / (1 + signal) * wave).abs().max() < 1e-10, freq


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"keep": torch.ones(8, 8)}, TypeError, "keep: expected a boolean tensor"),
        ({"keep": torch.ones(4, 4, dtype=torch.bool)}, ValueError, "keep: expected a shape"),
        ({"guide": torch.zeros(2, 1, 8, 8).int()}, TypeError, "guide: expected a floating"),
        ({"grid": []}, ValueError, "grid: expected strictly monotone"),
        ({"grid": [1001, 0]}, ValueError, "expected an int in 0..1000"),
    ],
)
def test_bad_input(change, error, words):
    given = {"guide": torch.zeros(2, 1, 8, 8), "grid": [300, 0]} | change
    with pytest.raises(error, match=words):
        last(sdedit.edit(exact, given.pop("guide"), S, given.pop("grid"), **given))


def test_the_cosine_schedule_has_its_times_at_the_levels_named():
    ab = cosine_schedule(1000).alpha_bar
    for level in (0.97, 0.90, 0.78, 0.49):
        assert (ab - level).abs().min() < 2e-3

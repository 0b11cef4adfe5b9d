"""Chapter 6: cascaded diffusion, a small model and others that enlarge what it draws.

Each stage learns from small images that are real and is run on ones that are generated. What it
is told is therefore corrupted on purpose, alike in both, and it is told how much.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from minidiff import _validate as check
from minidiff import ddim
from minidiff.apps import sr3
from minidiff.forward import NoiseFn, noise_level, q_sample
from minidiff.sampling import Step, StepFn
from minidiff.schedule import Schedule

Corrupt = Callable[[Tensor, Schedule], tuple[Tensor, Tensor]]  # z (B, ...) -> (z', s (B,))


def gaussian(s_max: int, z: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Returns z_s ~ q(z_s | z_0), s uniform on 0..s_max, and s. (eq-cdm-augmentation)

    Source: Ho et al. 2022 (CDM).
    """
    check.integer("s_max", s_max, 0, schedule.T)
    s = torch.randint(s_max + 1, z.shape[:1], device=z.device)
    return q_sample(z, s, torch.randn_like(z), schedule), s


def blurred(z: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Returns the images, half of them blurred by 3x3, sigma uniform on 0.4..0.6, as if clean.

    Nothing is blurred when the stage is sampled.

    Source: Ho et al. 2022 (CDM).
    """
    n, channels = z.shape[:2]
    side = torch.exp(-0.5 / (0.4 + 0.2 * torch.rand(n, device=z.device)) ** 2)
    row = torch.stack([side, torch.ones_like(side), side], dim=1) / (1 + 2 * side[:, None])
    kernels = (row[:, :, None] * row[:, None]).to(z).repeat_interleave(channels, dim=0)
    padded = F.pad(z, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[None]
    soft = F.conv2d(padded, kernels[:, None], groups=n * channels).view_as(z)
    chosen = torch.rand(n, 1, 1, 1, device=z.device) < 0.5
    return soft.where(chosen, z), clean(z, schedule)[1]


def clean(z: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Returns the images as they are: no augmentation."""
    return z, torch.zeros(len(z), dtype=torch.int64, device=z.device)


def loss(
    corrupt: Corrupt,
    net: Callable[..., Tensor],
    high: Tensor,
    label: Tensor,
    *,
    schedule: Schedule,
    factor: int = 2,
) -> Tensor:
    """Returns the loss of each image, for a stage that predicts v. (eq-cdm-loss)

    As ``sr3.loss``, but the small image is corrupted, and the stage is told by how much, and the
    class.

    Args:
        corrupt: (z, schedule) -> (z', s): ``gaussian`` with its s_max, ``blurred`` or ``clean``.
        net: Called as ``net(x_t, level, image=..., image_level=..., label=...)``.
        high: (B, C, H, W) clean images.
        label: (B,) int64 their classes.
        schedule: The noise schedule.
        factor: By which the small images are smaller, divides H and W.

    Raises:
        TypeError: ``high`` is not floating point, or ``factor`` is not an int.
        ValueError: ``high`` is not (B, C, H, W), ``factor`` does not divide its sides, or a label
            is not one of the network's.

    Source: Ho et al. 2022 (CDM).
    """
    z, s = corrupt(sr3.down(high, factor), schedule)
    told = functools.partial(
        net, image=sr3.up(z, factor), image_level=_level(s, z, schedule), label=label
    )
    return sr3.denoising(told, high, sr3.levels(schedule, len(high)))


def stage(
    net: Callable[..., Tensor],
    z: Tensor,
    s: int,
    label: Tensor,
    schedule: Schedule,
    grid: Sequence[int],
    *,
    s_max: int,
    factor: int = 2,
    step: StepFn = ddim.step,
    noise: NoiseFn = torch.randn_like,
) -> Iterator[Step]:
    """Walks from noise to a sample of p(x | z_s, label): one stage of the cascade.

    Args:
        net: A stage, as in ``loss``.
        z: (B, C, h, w) images at level s: those of the stage before, noised by ``q_sample`` (not
            truncated), or its walk stopped at s (truncated).
        s: Their level, 0..s_max.
        label: (B,) int64 their classes.
        schedule: The noise schedule.
        grid: Times, strictly decreasing from T.
        s_max: Up to where the stage has learnt.
        factor: By which to enlarge.
        step: DDIM with eta = 0 unless told otherwise.
        noise: Draws where the walk starts, given an image of its shape.

    Returns:
        An iterator of ``Step``.

    Raises:
        TypeError: ``z`` is not floating point, or ``s`` is not an int.
        ValueError: ``s`` leaves 0..s_max, or what ``sr3.upscale`` or the network raises.

    Source: Ho et al. 2022 (CDM).
    """
    check.integer("s_max", s_max, 0, schedule.T)
    check.integer("s", s, 0, s_max)
    level = _level(torch.full(z.shape[:1], s), z, schedule)
    told = functools.partial(net, image_level=level, label=label)
    return sr3.upscale(told, z, factor, schedule, grid, step=step, noise=noise)


def _level(s: Tensor, z: Tensor, schedule: Schedule) -> Tensor:
    return noise_level(schedule.alpha_bar)[s.cpu()].to(z)

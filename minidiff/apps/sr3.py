"""Chapter 5: SR3, which samples an image that a small one may come from, instead of their mean.

The small image, enlarged, is concatenated to x_t; the forward process knows nothing of it. So the
loss and the steps are those of chapter 3, and the network one that takes an ``image``.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from minidiff import _validate as check
from minidiff import ddpm
from minidiff.forward import NoiseFn, eps_fn, noise_level, x0_from_v
from minidiff.sampling import Step, StepFn, sample
from minidiff.schedule import Schedule

# The paper's step: DDPM's, with the larger variance, beta (eq-sr3-step).
step: StepFn = functools.partial(ddpm.step, variance=ddpm.large_variance)


def down(x: Tensor, factor: int) -> Tensor:
    """Returns the mean of each ``factor`` x ``factor`` block. (eq-sr3-down)

    Args:
        x: (B, C, H, W).
        factor: >= 1, divides H and W.

    Raises:
        TypeError: ``x`` is not floating point, or ``factor`` is not an int.
        ValueError: ``x`` is not (B, C, H, W), or ``factor`` does not divide its sides.
    """
    _images("x", x)
    check.integer("factor", factor, 1)
    if x.shape[2] % factor or x.shape[3] % factor:
        raise ValueError(
            f"factor: expected a divisor of H and W, got {factor} for {check.describe(x)}"
        )
    return F.avg_pool2d(x, factor)


def up(low: Tensor, factor: int) -> Tensor:
    """Returns the image enlarged by bicubic interpolation, (B, C, factor H, factor W).

    Raises:
        TypeError: ``low`` is not floating point, or ``factor`` is not an int.
        ValueError: ``low`` is not (B, C, H, W), or ``factor < 1``.
    """
    _images("low", low)
    check.integer("factor", factor, 1)
    # With antialias the kernel is the usual one (a = -0.5), which reproduces straight lines.
    return F.interpolate(low, scale_factor=factor, mode="bicubic", antialias=True)


def levels(schedule: Schedule, n: int, top: float = 0.0) -> Schedule:
    """Returns a schedule of n levels drawn from between those of ``schedule``. (eq-sr3-levels)

    Each alpha_bar is uniform within a segment (alpha_bar_t, alpha_bar_{t-1}), t uniform on 1..T
    and spread evenly over the n. A network that learns at such levels can be asked at any, so
    that the number of steps and the schedule may be chosen when it is sampled.

    Args:
        schedule: The noise schedule.
        n: The number of levels, >= 1: the size of a batch.
        top: The share of them, 0..1, that lie in the last segment, t = T, instead: what is
            learnt there is the regression (eq-sr3-mean), which the paper trains by itself.

    Raises:
        TypeError: ``n`` is not an int.
        ValueError: ``n < 1``, or ``top`` leaves 0..1.

    Source: Saharia et al. 2023 (SR3); their gamma is our alpha_bar.
    """
    check.integer("n", n, 1)
    check.number("top", top, 0, 1)
    ab, last = schedule.alpha_bar, round(top * n)
    even = torch.arange(n - last, dtype=ab.dtype) / (n - last)
    u = ((torch.rand(1, dtype=ab.dtype) + even) % 1) * schedule.T
    above = torch.rand(last, dtype=ab.dtype) + schedule.T - 1
    u = torch.cat([u, above]).sort().values
    t = u.long().clamp(max=schedule.T - 1)  # u may round up to T
    return Schedule(torch.cat([ab[:1], torch.lerp(ab[t], ab[t + 1], u - t)]))


def loss(
    net: Callable[..., Tensor],
    high: Tensor,
    *,
    factor: int,
    schedule: Schedule,
    top: float = 0.0,
) -> Tensor:
    """Returns the loss of each image, for a network that predicts v. (eq-sr3-loss)

    It is ``ddpm.loss`` with the enlarged small image as a condition, at ``levels`` of the
    schedule: |eps_hat(x_t, up(down(x_0)), level) - eps|^2 / (d alpha_bar), the regression of v.

    Args:
        net: Called as ``net(x_t, level, image=...)``.
        high: (B, C, H, W) clean images.
        factor: By which the small ones are smaller, divides H and W.
        schedule: The noise schedule.
        top: As for ``levels``.

    Raises:
        TypeError: ``high`` is not floating point, or ``factor`` is not an int.
        ValueError: ``high`` is not (B, C, H, W), ``factor`` does not divide its sides, or ``top``
            leaves 0..1.

    Source: Saharia et al. 2023 (SR3), with p = 2.
    """
    told = functools.partial(net, image=up(down(high, factor), factor))
    return denoising(told, high, levels(schedule, len(high), top))


def denoising(told: Callable[..., Tensor], x0: Tensor, drawn: Schedule) -> Tensor:
    """Returns the loss of each image, each at a level of ``drawn``, for a net that predicts v."""
    t, weight = torch.arange(1, drawn.T + 1, device=x0.device), 1 / drawn.alpha_bar
    return ddpm.loss(eps_fn(told, drawn), x0, drawn, weight=weight, t=t)


def upscale(
    net: Callable[..., Tensor],
    low: Tensor,
    factor: int,
    schedule: Schedule,
    grid: Sequence[int],
    *,
    step: StepFn = step,
    noise: NoiseFn = torch.randn_like,
) -> Iterator[Step]:
    """Walks from noise to a sample of p(high | low): the one loop, told the small image.

    Args:
        net: A network that predicts v, called as ``net(x_t, level, image=...)``.
        low: (B, C, h, w) small images.
        factor: By which to enlarge them.
        schedule: The noise schedule; not necessarily the one of the training.
        grid: Times, strictly decreasing from T.
        step: The paper's, with variance beta, unless told otherwise.
        noise: Draws where the walk starts, given an image of its shape.

    Returns:
        An iterator of ``Step``.

    Raises:
        TypeError: ``low`` is not floating point, or ``factor`` is not an int.
        ValueError: ``low`` is not (B, C, h, w), ``factor < 1``, or what ``sample`` raises.

    Source: Saharia et al. 2023 (SR3).
    """
    image = up(low, factor)
    return sample(eps_fn(net, schedule, image=image), noise(image), schedule, grid, step)


@torch.no_grad()
def regress(
    net: Callable[..., Tensor],
    low: Tensor,
    factor: int,
    schedule: Schedule,
    *,
    noise: NoiseFn = torch.randn_like,
) -> Tensor:
    """Returns the network's posterior mean E[high | low]: its x0_hat at t = T. (eq-sr3-mean)

    There x_T says nothing of the image, so that what is left to predict from is ``low``: this is
    what a network trained to minimise |net(low) - high|^2 would answer.

    Args and errors as ``upscale``.
    """
    image = up(low, factor)
    x, t = noise(image), schedule.T
    level = noise_level(schedule.alpha_bar[t]).to(x).expand(len(x))
    return x0_from_v(net(x, level, image=image), x, t, schedule)


def _images(name: str, x: object) -> None:
    check.floating(name, x)
    assert isinstance(x, Tensor)
    if x.ndim != 4:
        raise ValueError(f"{name}: expected shape (B, C, H, W), got {check.describe(x)}")

"""Chapter 8: ILVR, which gives every state the low frequencies of a noised reference."""

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from minidiff import _validate as check
from minidiff import ddim
from minidiff.forward import EpsFn, NoiseFn, q_sample
from minidiff.sampling import Hook, Step, StepFn, sample
from minidiff.schedule import Schedule

Filter = Callable[[Tensor], Tensor]  # phi: linear, (B, C, H, W) -> the same shape

step: StepFn = functools.partial(ddim.step, eta=1.0)


def block_average(x: Tensor, n: int) -> Tensor:
    """Returns the mean of each n x n block in all of its pixels. (eq-ilvr-block)

    An orthogonal projector: what it returns, it leaves as it is, and what it takes away is
    orthogonal to that.

    Args:
        x: (B, C, H, W).
        n: >= 1, divides H and W.

    Raises:
        TypeError: ``x`` is not floating point, or ``n`` is not an int.
        ValueError: ``x`` is not (B, C, H, W), or ``n`` does not divide its sides.
    """
    _divides(x, n)
    return _repeat(F.avg_pool2d(x, n), n)


def nearest(x: Tensor, n: int) -> Tensor:
    """Returns the first pixel of each n x n block in all of its pixels.

    A projector, but not an orthogonal one: it keeps single pixels, noise and all.
    Args and errors as ``block_average``.
    """
    _divides(x, n)
    return _repeat(x[..., ::n, ::n], n)


def bilinear(x: Tensor, n: int) -> Tensor:
    """Returns the picture made smaller n times and larger again, both bilinear with antialias.

    No projector. Args and errors as ``block_average``.
    """
    return _resized(x, n, "bilinear")


def bicubic(x: Tensor, n: int) -> Tensor:
    """Returns the picture made smaller n times and larger again, both bicubic with antialias.

    No projector; the paper's filter. Args and errors as ``block_average``.
    """
    return _resized(x, n, "bicubic")


def matching(
    phi: Filter,
    y: Tensor,
    schedule: Schedule,
    *,
    low: int = 0,
    high: int | None = None,
    noise: NoiseFn = torch.randn_like,
) -> Hook:
    """Returns the hook x_s + phi(y_s) - phi(x_s), y_s ~ q(y_s | y), for low <= s <= high.

    Afterwards phi(x_s) - phi(y_s) = (phi^2 - phi)(y_s - x_s) (eq-ilvr-residual): the two agree
    where phi is a projector. (eq-ilvr-hook)

    Args:
        phi: The filter, linear.
        y: (B, ...) the reference.
        schedule: The noise schedule.
        low: The last level that is matched; above 0, the end of the walk is free.
        high: The first one; T unless given.
        noise: Draws noise given an image of its shape.

    Raises:
        TypeError: ``y`` is not floating point, or ``low`` or ``high`` not an int.
        ValueError: Not 0 <= low <= high <= T; when called, phi changes the shape.

    Source: Choi et al. 2021 (ILVR), algorithm 1, at the level of the new sample.
    """
    check.batch("y", y)
    high = schedule.T if high is None else high
    check.integer("high", high, 0, schedule.T)
    check.integer("low", low, 0, high)

    def hook(x: Tensor, s: int) -> Tensor:
        if not low <= s <= high:
            return x
        y_s = q_sample(y, s, noise(y), schedule)
        return x + phi(y_s) - phi(x)

    return hook


def refine(
    eps_fn: EpsFn,
    phi: Filter,
    y: Tensor,
    schedule: Schedule,
    grid: Sequence[int],
    *,
    low: int = 0,
    high: int | None = None,
    step: StepFn = step,
    noise: NoiseFn = torch.randn_like,
) -> Iterator[Step]:
    """Walks from noise to a sample whose low frequencies are the reference's: ``matching``.

    Args:
        eps_fn: (x_t, t) -> eps_hat, of a model of what the result should look like.
        phi: The filter, linear.
        y: (B, ...) the reference.
        schedule: The noise schedule.
        grid: Times, strictly decreasing from T.
        low: The last level that is matched.
        high: The first one; T unless given.
        step: DDIM with eta = 1 unless told otherwise.
        noise: Draws noise given an image of its shape.

    Returns:
        An iterator of ``Step``.

    Raises:
        TypeError: As ``matching``.
        ValueError: As ``matching`` and ``sample``.

    Source: Choi et al. 2021 (ILVR), algorithm 1.
    """
    hook = matching(phi, y, schedule, low=low, high=high, noise=noise)
    return sample(eps_fn, noise(y), schedule, grid, step, hook)


def _divides(x: Tensor, n: int) -> None:
    check.floating("x", x)
    if x.ndim != 4:
        raise ValueError(f"x: expected shape (B, C, H, W), got {check.describe(x)}")
    check.integer("n", n, 1)
    if x.shape[2] % n or x.shape[3] % n:
        raise ValueError(f"n: expected a divisor of H and W, got {n} for {check.describe(x)}")


def _repeat(small: Tensor, n: int) -> Tensor:
    return small.repeat_interleave(n, dim=2).repeat_interleave(n, dim=3)


def _resized(x: Tensor, n: int, mode: str) -> Tensor:
    _divides(x, n)
    size = x.shape[2] // n, x.shape[3] // n
    small = F.interpolate(x, size=size, mode=mode, antialias=True)
    return F.interpolate(small, size=x.shape[2:], mode=mode, antialias=True)

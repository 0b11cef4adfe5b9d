"""The one loop. Sub-sequences, a late start and inversion are only other grids."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff import ddim
from minidiff.forward import EpsFn
from minidiff.schedule import Schedule

Hook = Callable[[Tensor, int], Tensor]  # (x_s, s) -> x_s
StepFn = Callable[[Tensor, int, int, Tensor, Schedule], tuple[Tensor, Tensor]]


class Step(NamedTuple):
    """What the loop yields after each step.

    Attributes:
        x: (B, ...) the state x_s, after the hook.
        t: Where the step started.
        s: Where it ended.
        x0: (B, ...) the prediction of clean data that the step used.
        eps: (B, ...) what ``eps_fn`` answered, before any clipping in the step.
    """

    x: Tensor
    t: int
    s: int
    x0: Tensor
    eps: Tensor


def sample(
    eps_fn: EpsFn,
    x: Tensor,
    schedule: Schedule,
    grid: Sequence[int],
    step: StepFn = ddim.step,
    hook: Hook | None = None,
    grad: bool = False,
) -> Iterator[Step]:
    """Walks along ``grid``: at each pair (t, s) ask for the noise, step, hook, yield.

    It draws no random numbers of its own, moves nothing between devices and leaves the network's
    mode and the caller's grad mode alone.

    Args:
        eps_fn: (x_t (B,...), t (B,) int64) -> eps_hat (B,...).
        x: (B, ...) the state at ``grid[0]``.
        schedule: The noise schedule.
        grid: Times in 0..T, strictly decreasing (sampling) or increasing (inversion).
        step: (x, t, s, eps, schedule) -> (x_s, x0_hat): ``ddim.step``, ``ddpm.step``, or either
            with arguments bound by ``functools.partial``.
        hook: (x_s, s) -> x_s, applied after each step.
        grad: Whether to record gradients through the walk.

    Returns:
        An iterator of ``Step``, one for each pair of neighbours in ``grid``.

    Raises:
        TypeError: ``x`` is not floating point, or a time is not an int.
        ValueError: ``grid`` is empty, leaves 0..T or is not strictly monotone.

    Source: Ho et al. 2020, algorithm 2; Song et al. 2021 (DDIM), section 4.
    """
    check.batch("x", x)
    for time in grid:
        check.integer("grid", time, 0, schedule.T)
    pairs = list(pairwise(grid))
    if not grid or not (all(t > s for t, s in pairs) or all(t < s for t, s in pairs)):
        raise ValueError(f"grid: expected strictly monotone times, got {list(grid)}")
    return _walk(eps_fn, x, schedule, pairs, step, hook, grad)


def _walk(
    eps_fn: EpsFn,
    x: Tensor,
    schedule: Schedule,
    pairs: list[tuple[int, int]],
    step: StepFn,
    hook: Hook | None,
    grad: bool,
) -> Iterator[Step]:
    starts = torch.tensor([t for t, _ in pairs], device=x.device)
    for (t, s), times in zip(pairs, starts[:, None].repeat(1, len(x)), strict=True):
        with torch.set_grad_enabled(grad):
            eps = eps_fn(x, times)
            x, x0 = step(x, t, s, eps, schedule)
            if hook is not None:
                hooked = hook(x, s)
                check.like("hook(x, s)", hooked, "x", x)
                x = hooked
        yield Step(x, t, s, x0, eps)  # outside the block: a generator would leak its grad mode


def invert(eps_fn: EpsFn, x0: Tensor, schedule: Schedule, grid: Sequence[int]) -> Iterator[Step]:
    """Walks from data to noise: ``sample`` along the reversed grid, deterministically.

    The first question is asked at ``grid[-1]``, t = 0 for a whole grid.

    Args:
        eps_fn: (x_t (B,...), t (B,) int64) -> eps_hat (B,...).
        x0: (B, ...) the state at ``grid[-1]``.
        schedule: The noise schedule.
        grid: The grid that generation would walk, strictly decreasing.

    Returns:
        An iterator of ``Step``.

    Raises:
        TypeError: As ``sample``.
        ValueError: As ``sample``.
    """
    if any(t <= s for t, s in pairwise(grid)):
        raise ValueError(f"grid: expected strictly decreasing times, got {list(grid)}")
    return sample(eps_fn, x0, schedule, grid[::-1])


def last(steps: Iterable[Step], x: Tensor | None = None) -> Tensor:
    """Runs a walk to its end and returns where it ended.

    Args:
        steps: A walk.
        x: What to return for a walk without a step.

    Raises:
        ValueError: The walk has no step and no ``x`` was given.
    """
    for each in steps:
        x = each.x
    if x is None:
        raise ValueError("steps: expected at least one step, or x to return for none, got neither")
    return x


def slerp(x: Tensor, y: Tensor, w: float) -> Tensor:
    """Interpolates on the great circle: (sin((1-w) psi) x + sin(w psi) y) / sin psi.

    psi is the angle between the two, each sample taken as one vector (eq-slerp). Independent
    noises have almost the same length and almost a right angle, so every point of the arc is
    again as long as noise; halfway along the straight line only the length over sqrt(2) is left.

    Args:
        x: (B, ...) where w = 0.
        y: (B, ...) where w = 1.
        w: How far along, 0..1; between vectors of one length, the angle grows evenly with it.

    Returns:
        (B, ...): the point on the straight line where a sample of ``x`` and ``y`` are parallel.

    Raises:
        TypeError: A tensor is not floating point, the dtypes differ, or ``w`` is not a number.
        ValueError: Shapes differ, ``w`` leaves 0..1, a sample is zero or not finite, or the two
            point in opposite directions, where every great circle is as short.

    Source: Shoemake 1985.
    """
    check.batch("x", x)
    check.like("y", y, "x", x)
    check.number("w", w, 0, 1)
    units = []
    for name, value in (("x", x), ("y", y)):
        flat = value.flatten(1)
        length = flat.norm(dim=1, keepdim=True)
        if not ((length > 0) & length.isfinite()).all():
            raise ValueError(
                f"{name}: expected samples of finite length > 0, "
                f"got {length.min().item():g}..{length.max().item():g}"
            )
        units.append(flat / length)
    # Not arccos of the inner product: it loses half the digits where the two are almost parallel.
    apart, along = ((units[0] + sign * units[1]).norm(dim=1) for sign in (-1, 1))
    if (along < torch.finfo(x.dtype).eps ** 0.5).any():  # which way around is rounding
        raise ValueError("y: expected no sample opposite to that of x, got an angle of pi")
    psi = 2 * torch.atan2(apart, along).view((-1,) + (1,) * (x.ndim - 1))
    parallel = psi == 0
    sin = torch.where(parallel, 1.0, psi.sin())
    w_x = torch.where(parallel, 1 - w, ((1 - w) * psi).sin() / sin)
    w_y = torch.where(parallel, w, (w * psi).sin() / sin)
    return w_x * x + w_y * y

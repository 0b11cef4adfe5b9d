"""The one loop. Sub-sequences, a late start and inversion are only other grids."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
    pairs = list(zip(grid[:-1], grid[1:], strict=True))
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
    for t, s in pairs:
        with torch.set_grad_enabled(grad):
            eps = eps_fn(x, torch.full(x.shape[:1], t, device=x.device))
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
    if any(t <= s for t, s in zip(grid[:-1], grid[1:], strict=True)):
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

"""Chapter 7: SDEdit, which noises a guide halfway and walks back from there."""

import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff import ddim
from minidiff.forward import EpsFn, NoiseFn, q_sample
from minidiff.sampling import Hook, Step, StepFn, sample
from minidiff.schedule import Schedule

step: StepFn = functools.partial(ddim.step, eta=1.0)


def edit(
    eps_fn: EpsFn,
    guide: Tensor,
    schedule: Schedule,
    grid: Sequence[int],
    *,
    keep: Tensor | None = None,
    step: StepFn = step,
    noise: NoiseFn = torch.randn_like,
) -> Iterator[Step]:
    """Walks down from q(x_t0 | guide), t0 = ``grid[0]``. (eq-sdedit-start)

    At t0 = 0 there is no step, and ``last(edit(...), guide)`` is the guide. Repeats are a loop
    around it: ``for _ in range(k): x = last(edit(eps_fn, x, ...))``.

    Args:
        eps_fn: (x_t, t) -> eps_hat, of a model of what the result should look like.
        guide: (B, ...) what to start from.
        schedule: The noise schedule.
        grid: Times, strictly decreasing: ``schedule.grid(n, start=t0)``.
        keep: Boolean, of a shape that broadcasts to the guide's: True where the guide is kept,
            composited after each step at the level of the new sample (eq-sdedit-mask), so that
            at t = 0 it is the guide itself. None to keep nothing.
        step: DDIM with eta = 1 unless told otherwise.
        noise: Draws noise given an image of its shape.

    Returns:
        An iterator of ``Step``.

    Raises:
        TypeError: ``guide`` is not floating point, or ``keep`` is not boolean.
        ValueError: ``keep`` does not broadcast to the guide, or what ``sample`` raises.

    Source: Meng et al. 2022 (SDEdit).
    """
    check.batch("guide", guide)
    hook = None if keep is None else composite(keep, guide, schedule, noise=noise)
    start = q_sample(guide, grid[0] if grid else 0, noise(guide), schedule)
    return sample(eps_fn, start, schedule, grid, step, hook)


def composite(
    keep: Tensor, guide: Tensor, schedule: Schedule, *, noise: NoiseFn = torch.randn_like
) -> Hook:
    """Returns the hook that puts the guide, noised to the level of x_s, where ``keep`` is True.

    Raises:
        TypeError: ``keep`` is not boolean.
        ValueError: ``keep`` does not broadcast to the shape of the guide.

    (eq-sdedit-mask)
    """
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool:
        raise TypeError(f"keep: expected a boolean tensor, got {check.describe(keep)}")
    try:
        keep = keep.expand_as(guide)
    except RuntimeError:
        raise ValueError(
            f"keep: expected a shape that broadcasts to {tuple(guide.shape)}, "
            f"got {check.describe(keep)}"
        ) from None
    return lambda x, s: torch.where(keep, q_sample(guide, s, noise(guide), schedule), x)

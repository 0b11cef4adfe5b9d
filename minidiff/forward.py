"""The forward process: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, rearranged.

Given x_t, any one of x_0, the noise eps, the velocity v and the score fixes the other three.
The functions here are those rearrangements; each takes what is known first, then x_t, t and the
schedule. Networks meet the samplers at one edge, ``eps_fn``.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.schedule import Schedule

EpsFn = Callable[[Tensor, Tensor], Tensor]  # (x_t (B,*), t (B,) int64) -> eps_hat (B,*)
NoiseFn = Callable[[Tensor], Tensor]  # x -> noise of its shape; torch.randn_like by default
# (what a network answered, x_t, t, schedule) -> eps
Read = Callable[[Tensor, Tensor, int | Tensor, Schedule], Tensor]


def q_sample(x0: Tensor, t: int | Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    """Draws x_t given x_0: sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps. (eq-ddpm-sample)

    Args:
        x0: (B, ...) clean data.
        t: An int, or (B,) int64; in 0..T.
        eps: (B, ...) standard normal noise.
        schedule: The noise schedule.

    Returns:
        x_t, of the shape of ``x0``.

    Raises:
        TypeError: ``x0`` or ``eps`` is not floating point, ``t`` is not an int or (B,) int64.
        ValueError: Shapes differ, or ``t`` leaves 0..T.

    Source: Ho et al. 2020, eq. 4.
    """
    check.batch("x0", x0)
    check.like("eps", eps, "x0", x0)
    a, b = schedule.coefs(t, x0)
    return a * x0 + b * eps


def q_between(
    x_s: Tensor, s: int | Tensor, t: int | Tensor, eps: Tensor, schedule: Schedule
) -> Tensor:
    """Draws x_t given x_s, s <= t: sqrt(r) x_s + sqrt(1 - r) eps. (eq-ddpm-jump)

    Here r = alpha_bar_t / alpha_bar_s; with s = t-1 it is alpha_t, and the jump is one step of the
    chain (eq-ddpm-forward-step).

    Args:
        x_s: (B, ...) data at level s.
        s: Where it is: an int, or (B,) int64.
        t: Where it goes: an int, or (B,) int64; ``t >= s``, in 0..T.
        eps: (B, ...) standard normal noise, independent of ``x_s``.
        schedule: The noise schedule.

    Returns:
        x_t, of the shape of ``x_s``.

    Raises:
        TypeError: ``x_s`` or ``eps`` is not floating point, ``s`` or ``t`` not an int or (B,).
        ValueError: Shapes differ, a time leaves 0..T, or s > t.

    Source: Ho et al. 2020, eq. 2, for a jump of any length.
    """
    check.batch("x_s", x_s)
    check.like("eps", eps, "x_s", x_s)
    for name, time in (("s", s), ("t", t)):
        if isinstance(time, Tensor):
            check.times(name, time, x_s, 0, schedule.T)
        else:
            check.index(name, time, 0, schedule.T)
    s, t = torch.as_tensor(s).cpu(), torch.as_tensor(t).cpu()
    if (s > t).any():
        raise ValueError(f"s: expected s <= t, got s = {s.tolist()} and t = {t.tolist()}")
    ratio = schedule.alpha_bar[t] / schedule.alpha_bar[s]
    ratio = ratio.view((-1,) + (1,) * (x_s.ndim - 1))
    return ratio.sqrt().to(x_s) * x_s + (1 - ratio).sqrt().to(x_s) * eps


def x0_from_eps(eps: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """Returns x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t). (eq-x0-from-eps)

    Args:
        eps: (B, ...) the noise, or a prediction of it.
        x_t: (B, ...) data at level t.
        t: An int, or (B,) int64; in 0..T.
        schedule: The noise schedule.

    Returns:
        x_0, or the prediction x0_hat that belongs to eps_hat.

    Raises:
        TypeError: A tensor is not floating point, or ``t`` is not an int or (B,) int64.
        ValueError: Shapes differ, or ``t`` leaves 0..T.
    """
    check.batch("x_t", x_t)
    check.like("eps", eps, "x_t", x_t)
    a, b = schedule.coefs(t, x_t)
    return (x_t - b * eps) / a


def eps_from_x0(x0: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """Returns eps = (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t). (eq-x0-from-eps)

    Args and errors as ``x0_from_eps``, with ``t`` in 1..T: at t = 0 there is no noise to read.
    """
    check.batch("x_t", x_t)
    check.like("x0", x0, "x_t", x_t)
    check.index("t", t, 1, schedule.T)
    a, b = schedule.coefs(t, x_t)
    return (x_t - a * x0) / b


def score_from_eps(eps: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """Returns the score, -eps / sqrt(1 - alpha_bar_t). (eq-score-eps)

    With eps = E[eps | x_t] this is grad log q_t(x_t), exactly.
    Args and errors as ``x0_from_eps``, with ``t`` in 1..T.
    """
    check.batch("x_t", x_t)
    check.like("eps", eps, "x_t", x_t)
    check.index("t", t, 1, schedule.T)
    _, b = schedule.coefs(t, x_t)
    return -eps / b


def eps_from_score(score: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """Returns eps = -sqrt(1 - alpha_bar_t) score. (eq-score-eps)

    Args and errors as ``x0_from_eps``.
    """
    check.batch("x_t", x_t)
    check.like("score", score, "x_t", x_t)
    _, b = schedule.coefs(t, x_t)
    return -b * score


def v_from_eps(eps: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """Returns v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 from eps and x_t. (eq-velocity)

    In terms of x_t it is (eps - sqrt(1 - alpha_bar_t) x_t) / sqrt(alpha_bar_t).
    Args and errors as ``x0_from_eps``. Source: Salimans & Ho 2022, appendix D.
    """
    check.batch("x_t", x_t)
    check.like("eps", eps, "x_t", x_t)
    a, b = schedule.coefs(t, x_t)
    return (eps - b * x_t) / a


def eps_from_v(v: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """Returns eps = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v. (eq-velocity-back)

    Args and errors as ``x0_from_eps``.
    """
    check.batch("x_t", x_t)
    check.like("v", v, "x_t", x_t)
    a, b = schedule.coefs(t, x_t)
    return b * x_t + a * v


def x0_from_v(v: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """Returns x_0 = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v. (eq-velocity-back)

    Args and errors as ``x0_from_eps``.
    """
    check.batch("x_t", x_t)
    check.like("v", v, "x_t", x_t)
    a, b = schedule.coefs(t, x_t)
    return a * x_t - b * v


def noise_level(alpha_bar: Tensor) -> Tensor:
    """Returns atan2(sqrt(1 - alpha_bar), sqrt(alpha_bar)), what networks are told. (eq-angle)

    The angle runs from 0 (clean) to pi/2 (pure noise) and is finite at both ends, so a network
    can be asked at t = 0. It is a level and not a step number: any schedule and any grid can be
    used with a trained network afterwards.

    Args:
        alpha_bar: Any shape, floating point, in [0, 1].

    Raises:
        TypeError: ``alpha_bar`` is not a floating-point tensor.
        ValueError: An entry leaves [0, 1].
    """
    check.floating("alpha_bar", alpha_bar)
    if not ((alpha_bar >= 0) & (alpha_bar <= 1)).all():
        raise ValueError(
            "alpha_bar: expected entries in [0, 1], "
            f"got {alpha_bar.min().item():g}..{alpha_bar.max().item():g}"
        )
    return torch.atan2((1 - alpha_bar).sqrt(), alpha_bar.sqrt())


def eps_fn(
    net: Callable[..., Tensor],
    schedule: Schedule,
    read: Read = eps_from_v,
    **cond: Any,  # noqa: ANN401 (whatever the network takes: a label, an image, their levels)
) -> EpsFn:
    """Turns a network into a noise prediction: the one edge where the two meet.

    Args:
        net: Called as ``net(x_t, level, **cond)``, ``level`` (B,) the angle of ``noise_level``.
        schedule: Gives a time its level.
        read: How to read eps from the network's answer: ``eps_from_v`` for a network that
            predicts v, ``eps_from_x0``, ``eps_from_score``, or ``as_eps`` for eps itself.
        **cond: Passed on to the network at every call.

    Returns:
        A function (x_t (B,...), t (B,) int64) -> eps_hat (B,...). It raises TypeError where ``t``
        is not int64 of shape (B,), ValueError where an entry leaves 0..T, and what ``read`` raises
        where the network's answer has not the shape and the dtype of ``x_t``.
    """
    angles = noise_level(schedule.alpha_bar)

    @cache  # a sampler asks at every step
    def levels(dtype: torch.dtype, device: torch.device) -> Tensor:
        return angles.to(device, dtype)

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        check.batch("x_t", x_t)
        level = check.looked_up(levels(x_t.dtype, x_t.device), "t", t, x_t)
        return read(net(x_t, level, **cond), x_t, t, schedule)

    return predict


def as_eps(eps: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """Returns ``eps`` as it is: how a network that predicts eps is read.

    Args and errors as ``x0_from_eps``; ``t`` and ``schedule`` do not matter.
    """
    check.like("eps", eps, "x_t", x_t)
    return eps

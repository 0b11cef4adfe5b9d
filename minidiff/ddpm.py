"""Chapter 3: the reverse of the forward process, its training loss, and its ancestral step.

The posterior q(x_s | x_t, x_0) is Gaussian for any s < t, so every function here takes both ends
of a step; the paper's formulas are the case s = t - 1.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.forward import EpsFn, NoiseFn, q_sample, x0_from_eps
from minidiff.schedule import Schedule

VarianceFn = Callable[[int, int, Schedule], float]  # (t, s, schedule) -> variance of the noise


def large_variance(t: int, s: int, schedule: Schedule) -> float:
    """Returns 1 - alpha_bar_t/alpha_bar_s, for s = t-1 the paper's beta_t. (eq-ddpm-variances)

    It is the optimal variance for data N(0, I). At s = 0 it is defined as 0: the last step adds
    no noise.

    Args:
        t: Where the step starts, 1..T.
        s: Where it ends, 0..t-1.
        schedule: The noise schedule.

    Raises:
        TypeError: ``t`` or ``s`` is not an int.
        ValueError: ``t`` leaves 1..T or ``s`` leaves 0..t-1.

    Source: Ho et al. 2020, section 3.2 ("fixed large").
    """
    _interval(t, s, schedule)
    return _added_variance(t, s, schedule) if s > 0 else 0.0


def small_variance(t: int, s: int, schedule: Schedule) -> float:
    """Returns the variance of q(x_s | x_t, x_0). (eq-ddpm-posterior-var)

    (1 - alpha_bar_s)/(1 - alpha_bar_t) (1 - alpha_bar_t/alpha_bar_s), the optimal variance for
    data at a single point. It vanishes at s = 0 by arithmetic. Args and errors as
    ``large_variance``. Source: Ho et al. 2020, eq. 7 ("fixed small").
    """
    _interval(t, s, schedule)
    ab = schedule.alpha_bar
    return _added_variance(t, s, schedule) * ((1 - ab[s]) / (1 - ab[t])).item()


def posterior(x0: Tensor, x_t: Tensor, t: int, s: int, schedule: Schedule) -> tuple[Tensor, float]:
    """Returns the mean and the variance of the Gaussian q(x_s | x_t, x_0), s < t.

    With r = alpha_bar_t / alpha_bar_s, the mean is sqrt(r) (1 - alpha_bar_s)/(1 - alpha_bar_t) x_t
    + sqrt(alpha_bar_s) (1 - r)/(1 - alpha_bar_t) x_0 (eq-ddpm-posterior-mean), the variance that
    of ``small_variance`` (eq-ddpm-posterior-var).

    Args:
        x0: (B, ...) clean data, or a prediction of it.
        x_t: (B, ...) data at level t.
        t: Where the step starts, 1..T.
        s: Where it ends, 0..t-1.
        schedule: The noise schedule.

    Returns:
        The mean, of the shape of ``x_t``, and the variance of every coordinate.

    Raises:
        TypeError: A tensor is not floating point, or a time is not an int.
        ValueError: Shapes differ, ``t`` leaves 1..T or ``s`` leaves 0..t-1.

    Source: Ho et al. 2020, eq. 6 and 7.
    """
    check.batch("x_t", x_t)
    check.like("x0", x0, "x_t", x_t)
    var = small_variance(t, s, schedule)
    ab_t, ab_s = schedule.alpha_bar[t].item(), schedule.alpha_bar[s].item()
    c_t = (ab_t / ab_s) ** 0.5 * (1 - ab_s) / (1 - ab_t)
    c_0 = ab_s**0.5 * _added_variance(t, s, schedule) / (1 - ab_t)
    return c_t * x_t + c_0 * x0, var


def loss(
    eps_fn: EpsFn,
    x0: Tensor,
    schedule: Schedule,
    *,
    weight: Tensor | None = None,
    t: Tensor | None = None,
    noise: NoiseFn = torch.randn_like,
) -> Tensor:
    """Returns the denoising loss of each sample, weight[t] |eps_hat - eps|^2 / d. (eq-simple-loss)

    The weight says which objective of the papers it is (eq-weights): 1 is L_simple,
    1/alpha_bar_t the regression of v, (1 - alpha_bar_t)/alpha_bar_t that of x_0.

    Args:
        eps_fn: (x_t (B,...), t (B,)) -> eps_hat (B,...).
        x0: (B, ...) clean data.
        schedule: The noise schedule.
        weight: (T+1,) weights by time; None for 1.
        t: (B,) int64 times in 1..T; None to draw them uniformly.
        noise: Draws eps given x0.

    Returns:
        (B,): the mean over coordinates of the squared error, times the weight.

    Raises:
        TypeError: ``x0`` or ``weight`` is not floating point, ``t`` is not (B,) int64.
        ValueError: A shape is off, or ``t`` leaves 1..T.

    Source: Ho et al. 2020, eq. 14.
    """
    check.batch("x0", x0)
    if t is None:
        t = torch.randint(1, schedule.T + 1, x0.shape[:1], device=x0.device)
    check.times("t", t, x0, 1, schedule.T)
    eps = noise(x0)
    eps_hat = eps_fn(q_sample(x0, t, eps, schedule), t)
    check.like("eps_fn(x_t, t)", eps_hat, "x0", x0)
    error = (eps_hat - eps).square().flatten(1).mean(1)
    if weight is None:
        return error
    check.floating("weight", weight)
    if weight.shape != schedule.alpha_bar.shape:
        raise ValueError(
            f"weight: expected the shape of schedule.alpha_bar, ({schedule.T + 1},), "
            f"got {check.describe(weight)}"
        )
    return weight.to(error)[t] * error


def step(
    x: Tensor,
    t: int,
    s: int,
    eps: Tensor,
    schedule: Schedule,
    *,
    variance: VarianceFn = small_variance,
    clip: float | None = None,
    noise: NoiseFn = torch.randn_like,
) -> tuple[Tensor, Tensor]:
    """Takes one ancestral step from t to s < t: mean of q(x_s | x_t, x0_hat), plus noise.

    x_s = mean(x_t, x0_hat) + sqrt(variance) z (eq-ddpm-step), with x0_hat from eps_hat.

    Args:
        x: (B, ...) the state x_t.
        t: Where the step starts, 1..T.
        s: Where it ends, 0..t-1.
        eps: (B, ...) the predicted noise in ``x``.
        schedule: The noise schedule.
        variance: (t, s, schedule) -> variance: ``small_variance`` or ``large_variance``.
        clip: Holds x0_hat within [-clip, clip]; None to leave it alone.
        noise: Draws z given x.

    Returns:
        x_s and x0_hat, both of the shape of ``x``.

    Raises:
        TypeError: A tensor is not floating point, or a time is not an int.
        ValueError: Shapes differ, ``t`` leaves 1..T, ``s`` leaves 0..t-1, or ``clip`` or the
            variance is negative.

    Source: Ho et al. 2020, algorithm 2.
    """
    x0 = x0_from_eps(eps, x, t, schedule)
    if clip is not None:
        check.number("clip", clip, 0)
        x0 = x0.clamp(-clip, clip)
    mean, _ = posterior(x0, x, t, s, schedule)
    var, z = variance(t, s, schedule), noise(x)
    check.number("variance(t, s, schedule)", var, 0)
    check.like("noise(x)", z, "x", x)
    return mean + math.sqrt(var) * z, x0


def _added_variance(t: int, s: int, schedule: Schedule) -> float:
    return (1 - schedule.alpha_bar[t] / schedule.alpha_bar[s]).item()


def _interval(t: int, s: int, schedule: Schedule) -> None:
    check.integer("t", t, 1, schedule.T)
    check.integer("s", s, 0)
    check.earlier(t, s, "noise is added")

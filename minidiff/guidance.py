"""Guidance: the gradient of a log-probability, added to the score.

Chapter 8 takes it from a classifier of noisy data, chapter 10 from two noise predictions.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.forward import EpsFn
from minidiff.schedule import Schedule

LogProbFn = Callable[[Tensor, Tensor], Tensor]  # (x_t (B,*), t (B,) int64) -> log p(c | x_t) (B,)


def classifier_guidance(
    eps_fn: EpsFn, log_prob: LogProbFn, schedule: Schedule, w: float = 1.0
) -> EpsFn:
    """Returns eps_hat - w sqrt(1 - alpha_bar_t) grad log p(c | x_t). (eq-guidance)

    By Bayes' rule the score of p(x_t | c) is that of p(x_t) plus the gradient, so with w = 1 and
    an exact classifier of *noisy* data the walk samples p(x_0 | c). Gradients are enabled here:
    the loop runs without.

    Args:
        eps_fn: (x_t, t) -> eps_hat, unconditional.
        log_prob: (x_t, t) -> log p(c | x_t), (B,), differentiable in x_t; an additive constant
            does not matter.
        schedule: The noise schedule.
        w: The weight of the gradient, >= 0; 0 is ``eps_fn`` itself.

    Raises:
        TypeError: ``w`` is not a number.
        ValueError: ``w < 0``; when called, ``log_prob`` answers with another shape than (B,), or
            with what does not depend on x_t.

    Source: Dhariwal & Nichol 2021, algorithm 2.
    """
    check.number("w", w, 0)

    def guided(x_t: Tensor, t: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            told = log_prob(x, t)
            if told.shape != x.shape[:1] or not told.requires_grad:
                raise ValueError(
                    f"log_prob: expected shape {tuple(x.shape[:1])}, differentiable in x_t, "
                    f"got {check.describe(told)}"
                )
            (slope,) = torch.autograd.grad(told.sum(), x)
        return eps_fn(x_t, t) - w * schedule.coefs(t, x_t)[1] * slope

    return guided


def cfg(cond: EpsFn, uncond: EpsFn, w: float) -> EpsFn:
    """Returns (1 + w) cond - w uncond: classifier-free guidance. (eq-cfg)

    By Bayes' rule the difference of the two is what ``classifier_guidance`` takes from a
    classifier, so this is ``classifier_guidance(uncond, ..., w=1 + w)`` without one. Others count
    from the unconditional end: uncond + scale (cond - uncond) with scale = 1 + w. At w > 0 the
    guided prediction is that of no noised law, but for Gaussians of equal covariance, and what a
    walk with it samples depends on the walk.

    Args:
        cond: (x_t, t) -> eps_hat, told the condition.
        uncond: (x_t, t) -> eps_hat, told nothing.
        w: >= -1; 0 is off, which is ``cond`` itself, and -1 is ``uncond``.

    Raises:
        TypeError: ``w`` is not a number; when called, ``uncond`` answers in another dtype.
        ValueError: ``w < -1``; when called, ``uncond`` answers in another shape than ``cond``.

    Source: Ho & Salimans 2022, eq. 6.
    """
    check.number("w", w, -1)

    def guided(x_t: Tensor, t: Tensor) -> Tensor:
        told, untold = cond(x_t, t), uncond(x_t, t)
        check.like("uncond(x_t, t)", untold, "cond(x_t, t)", told)
        return told + w * (told - untold)  # in this order: at w = 0 cond to the bit

    return guided

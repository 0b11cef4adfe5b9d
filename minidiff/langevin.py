"""Chapter 2: sampling with nothing but the score.

One convention throughout, and the argument's name says which: a step ``delta`` means the drift
delta/2 score and the noise sqrt(delta) z. (Code with ``x + eta score + sqrt(2 eta) z`` takes the
same step with delta = 2 eta.) Every sampler yields the states after its steps; gradients are not
recorded.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.score_matching import Score, ScoreFn

NoiseFn = Callable[[Tensor], Tensor]  # x -> random numbers of its shape


def ula(
    score: Score, x: Tensor, delta: float, n: int, noise: NoiseFn = torch.randn_like
) -> Iterator[Tensor]:
    """Takes n steps of the unadjusted Langevin algorithm, x + delta/2 score(x) + sqrt(delta) z.

    It is a step of the Langevin equation dX = score/2 dt + dW (eq-langevin-sde, eq-ula). At a
    fixed step its stationary law is not p: for N(m, c^2) the variance is c^2/(1 - delta/(4 c^2)),
    and it diverges for delta >= 4 c^2 (eq-ula-variance, eq-ula-transient, eq-ula-bias).

    Args:
        score: x (B, ...) -> grad log p (B, ...).
        x: (B, ...) where the chains start.
        delta: > 0, the variance of one step's noise; it has the units of x squared.
        n: How many steps, >= 0.
        noise: Draws z given x.

    Returns:
        An iterator of the n states (B, ...) after each step.

    Raises:
        TypeError: ``x`` is not floating point, ``n`` not an int, ``delta`` not a number.
        ValueError: ``delta`` is not positive and finite, ``n < 0``, or, at the step, a shape is
            off.

    Source: Roberts & Tweedie 1996, section 1.4.1; Song & Ermon 2019, eq. 4.
    """
    check.batch("x", x)
    check.positive("delta", delta)
    check.integer("n", n, 0)
    return _ula(score, x, delta, n, noise)


def _ula(score: Score, x: Tensor, delta: float, n: int, noise: NoiseFn) -> Iterator[Tensor]:
    for _ in range(n):
        with torch.no_grad():
            x = _drifted(score, x, delta) + math.sqrt(delta) * _drawn(noise, x)
        yield x


def mala(
    log_prob: Callable[[Tensor], Tensor],
    score: Score,
    x: Tensor,
    delta: float,
    n: int,
    noise: NoiseFn = torch.randn_like,
    uniform: NoiseFn = torch.rand_like,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Takes n Metropolis-adjusted Langevin steps: the proposal of ``ula``, accepted or not.

    x' is accepted with probability min(1, p(x') q(x | x') / (p(x) q(x' | x))), where q is the
    Gaussian of the proposal (eq-mala); else the chain stays. The stationary law is p exactly,
    at any step; a long step only makes acceptance rare.

    Args:
        log_prob: x (B, ...) -> log p (B,), up to a constant. The score alone does not suffice.
        score: x (B, ...) -> grad log p (B, ...).
        x: (B, ...) where the chains start; p must be positive there.
        delta: > 0, the variance of the proposal's noise.
        n: How many steps, >= 0.
        noise: Draws z given x.
        uniform: Draws U(0, 1) numbers of the shape of its argument (B,).

    Returns:
        An iterator of n pairs of the states (B, ...) and whether each moved, (B,) bool.

    Raises:
        TypeError: ``x`` is not floating point, ``n`` not an int, ``delta`` not a number.
        ValueError: ``delta`` is not positive and finite, ``n < 0``; once asked, p is not
            positive at ``x``, or a shape is off.

    Source: Roberts & Tweedie 1996, section 1.4.2.
    """
    check.batch("x", x)
    check.positive("delta", delta)
    check.integer("n", n, 0)
    return _mala(log_prob, score, x, delta, n, noise, uniform)


def _mala(
    log_prob: Callable[[Tensor], Tensor],
    score: Score,
    x: Tensor,
    delta: float,
    n: int,
    noise: NoiseFn,
    uniform: NoiseFn,
) -> Iterator[tuple[Tensor, Tensor]]:
    def at(x: Tensor) -> tuple[Tensor, Tensor]:
        log_p = log_prob(x)
        check.like("log_prob(x)", log_p, "the batch", x.flatten(1)[:, 0])
        return log_p, _drifted(score, x, delta)

    def log_q(to: Tensor, drifted: Tensor) -> Tensor:
        return -(to - drifted).square().flatten(1).sum(1) / (2 * delta)

    with torch.no_grad():
        log_p, drifted = at(x)
    if not log_p.isfinite().all():
        raise ValueError(
            "x: expected finite log_prob(x) where the chains start, "
            f"got {log_p.min().item():g}..{log_p.max().item():g}"
        )
    for _ in range(n):
        with torch.no_grad():
            proposal = drifted + math.sqrt(delta) * _drawn(noise, x)
            log_p_new, drifted_new = at(proposal)
            ratio = log_p_new + log_q(x, drifted_new) - log_p - log_q(proposal, drifted)
            u = uniform(log_p)
            check.like("uniform(log_prob(x))", u, "log_prob(x)", log_p)
            moved = u.log() < ratio
            each = moved.view((-1,) + (1,) * (x.ndim - 1))
            x = torch.where(each, proposal, x)
            drifted = torch.where(each, drifted_new, drifted)
            log_p = torch.where(moved, log_p_new, log_p)
        yield x, moved


def geometric_sigmas(high: float, low: float, n: int) -> Tensor:
    """Returns n noise levels (n,) from high down to low with one ratio between neighbours.

    sigma_i = high (low/high)^((i-1)/(n-1)) (eq-geometric), in float64.

    Args:
        high: The first and largest.
        low: The last and smallest, > 0.
        n: How many, >= 2.

    Raises:
        TypeError: ``high`` or ``low`` is not a number, or ``n`` not an int.
        ValueError: Not 0 < low < high, or ``n < 2``.

    Source: Song & Ermon 2019, section 4.2.
    """
    check.positive("low", low)
    check.positive("high", high)
    check.integer("n", n, 2)
    if not low < high:
        raise ValueError(f"low: expected low < high, got low = {low} and high = {high}")
    powers = torch.arange(n, dtype=torch.float64) / (n - 1)
    return high * (low / high) ** powers


def annealed(
    score_fn: ScoreFn,
    x: Tensor,
    sigmas: Tensor,
    delta_min: float,
    n: int,
    noise: NoiseFn = torch.randn_like,
    denoise: bool = True,
) -> Iterator[Tensor]:
    """Takes n steps of ``ula`` at every noise level, from the largest to the smallest.

    The step at level sigma_i is delta_min (sigma_i / sigma_L)^2, so that drift and noise keep
    their proportion (eq-annealed-step); the mixture of scales lets the chain cross from mode to
    mode while sigma is large.

    Args:
        score_fn: (x (B, ...), sigma (B,)) -> grad log q_sigma (B, ...).
        x: (B, ...) where the chains start.
        sigmas: (L,) noise levels, strictly decreasing, > 0, as ``geometric_sigmas`` makes them.
        delta_min: > 0, the step at the last level; drift delta/2, noise sqrt(delta).
        n: Steps at each level, >= 1.
        noise: Draws z given x.
        denoise: Whether to end with x + sigma_L^2 score_fn(x, sigma_L), the mean of the clean
            data given x (eq-annealed-denoise).

    Returns:
        An iterator of the states (B, ...) after each of the n L steps, and of the denoised one.

    Raises:
        TypeError: ``x`` or ``sigmas`` is not floating point, ``n`` not an int, ``delta_min`` not
            a number.
        ValueError: ``sigmas`` is not (L,), strictly decreasing and positive, ``delta_min`` is not
            positive and finite, ``n < 1``, or, at the step, a shape is off.

    Source: Song & Ermon 2019, algorithm 1; the last step is Song & Ermon 2020's.
    """
    check.batch("x", x)
    check.floating("sigmas", sigmas)
    if sigmas.ndim != 1 or len(sigmas) == 0:
        raise ValueError(f"sigmas: expected shape (L,), L >= 1, got {check.describe(sigmas)}")
    if not (sigmas.isfinite().all() and (sigmas > 0).all() and (sigmas.diff() < 0).all()):
        raise ValueError(
            f"sigmas: expected positive and strictly decreasing, got {sigmas.tolist()}"
        )
    check.positive("delta_min", delta_min)
    check.integer("n", n, 1)
    return _annealed(score_fn, x, sigmas.tolist(), delta_min, n, noise, denoise)


def _annealed(
    score_fn: ScoreFn,
    x: Tensor,
    sigmas: list[float],
    delta_min: float,
    n: int,
    noise: NoiseFn,
    denoise: bool,
) -> Iterator[Tensor]:
    for sigma in sigmas:

        def score(x: Tensor, sigma: float = sigma) -> Tensor:
            return score_fn(x, torch.full_like(x.flatten(1)[:, 0], sigma))

        for state in _ula(score, x, delta_min * (sigma / sigmas[-1]) ** 2, n, noise):
            yield state
            x = state
    if denoise:
        with torch.no_grad():
            x = _drifted(score, x, 2 * sigmas[-1] ** 2)
        yield x


def _drifted(score: Score, x: Tensor, delta: float) -> Tensor:
    answer = score(x)
    check.like("score(x)", answer, "x", x)
    return x + delta / 2 * answer


def _drawn(noise: NoiseFn, x: Tensor) -> Tensor:
    z = noise(x)
    check.like("noise(x)", z, "x", x)
    return z

"""Chapter 1: losses whose minimiser is the score of the data, grad log p.

Every loss is half a sum over coordinates, one value for each sample, so that all of them have the
same scale: up to a constant that the network cannot change, each has the expectation of
``esm_loss``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minidiff import _validate as check

Score = Callable[[Tensor], Tensor]  # x (B,*) -> score (B,*)
ScoreFn = Callable[[Tensor, Tensor], Tensor]  # (x (B,*), sigma (B,)) -> score (B,*)


def rademacher(x: Tensor) -> Tensor:
    """Returns independent signs, -1 or 1 with equal chances, of the shape and dtype of ``x``."""
    return torch.randint_like(x, 2) * 2 - 1


def esm_loss(score: Score, target: Score, x: Tensor) -> Tensor:
    """Returns the explicit loss |score(x) - target(x)|^2 / 2. (eq-esm)

    Its mean over x ~ p with target = grad log p is half the Fisher divergence. It needs what is
    to be learned: it is for data whose score is known.

    Args:
        score: x (B, ...) -> (B, ...), to be judged.
        target: x (B, ...) -> (B, ...), the true score.
        x: (B, ...) samples of p.

    Returns:
        (B,): the loss of each sample.

    Raises:
        TypeError: ``x`` or an answer is not floating point.
        ValueError: An answer has not the shape of ``x``.

    Source: Hyvärinen 2005, eq. 2.
    """
    check.batch("x", x)
    answer, truth = score(x), target(x)
    check.like("score(x)", answer, "x", x)
    check.like("target(x)", truth, "x", x)
    return _half_square(answer - truth)


@torch.enable_grad()
def ism_loss(score: Score, x: Tensor) -> Tensor:
    """Returns the implicit loss tr(grad score(x)) + |score(x)|^2 / 2. (eq-ism)

    It is ``esm_loss`` less a constant, in expectation, if p(x) score(x) vanishes at infinity. The
    trace takes one backward pass for each of the d coordinates. Gradients are recorded even
    under ``torch.no_grad``, since the loss itself is made of derivatives.

    Args:
        score: x (B, ...) -> (B, ...); a sample's answer depends on that sample alone.
        x: (B, ...) samples of p.

    Returns:
        (B,): the loss of each sample; it may be negative.

    Raises:
        TypeError: ``x`` or the answer is not floating point.
        ValueError: The answer has not the shape of ``x``, or autograd cannot follow it back
            to ``x``.

    Source: Hyvärinen 2005, eq. 4.
    """
    x, answer = _recorded(score, x)
    flat = answer.flatten(1)
    trace = torch.zeros_like(flat[:, 0])
    for i in range(flat.shape[1]):
        trace = trace + _pulled_back(flat[:, i].sum(), x).flatten(1)[:, i]
    return trace + _half_square(answer)


@torch.enable_grad()
def ssm_loss(
    score: Score,
    x: Tensor,
    *,
    projection: Callable[[Tensor], Tensor] = rademacher,
    reduce_variance: bool = True,
) -> Tensor:
    """Returns the sliced loss v.(grad score(x)) v + |score(x)|^2 / 2. (eq-ssm-vr)

    v is a random direction with E[v v^T] = I, so the first term is the trace of ``ism_loss`` in
    expectation (eq-hutchinson), for one backward pass instead of d.

    Args:
        score: x (B, ...) -> (B, ...); a sample's answer depends on that sample alone.
        x: (B, ...) samples of p.
        projection: Draws v given x: ``rademacher``, or ``torch.randn_like``.
        reduce_variance: False for the plain form, with (v . score(x))^2 / 2 as its last term
            (eq-ssm): the same expectation, in high dimension more variance.

    Returns:
        (B,): the loss of each sample; it may be negative.

    Raises:
        TypeError: ``x``, the answer or v is not floating point.
        ValueError: The answer or v has not the shape of ``x``, or autograd cannot follow the
            answer back to ``x``.

    Source: Song et al. 2019 (sliced score matching), eq. 7 and 8.
    """
    x, answer = _recorded(score, x)
    v = projection(x.detach())
    check.like("projection(x)", v, "x", x)
    curvature = (v * _pulled_back((v * answer).sum(), x)).flatten(1).sum(1)
    if reduce_variance:
        return curvature + _half_square(answer)
    return curvature + 0.5 * (v * answer).flatten(1).sum(1).square()


def dsm_loss(
    score_fn: ScoreFn,
    x: Tensor,
    sigma: Tensor,
    noise: Callable[[Tensor], Tensor] = torch.randn_like,
) -> Tensor:
    """Returns the denoising loss |sigma score(x + sigma eps, sigma) + eps|^2 / 2. (eq-ncsn)

    Its minimiser is the score of the noised law q_sigma, not of p. The factor sigma^2 that is
    within gives every noise level the same scale; the loss over sigma^2 is the ``esm_loss`` of
    q_sigma plus a constant (eq-dsm, eq-dsm-constant), which is why it does not fall to 0. With
    noise levels drawn from a list it trains a noise-conditional network; with one level the
    network may ignore its second argument.

    Args:
        score_fn: (x (B, ...), sigma (B,)) -> (B, ...).
        x: (B, ...) clean samples.
        sigma: (B,) > 0, the standard deviation of the noise, in units of x.
        noise: Draws eps given x.

    Returns:
        (B,): the loss of each sample.

    Raises:
        TypeError: A tensor is not floating point, or has not the dtype of ``x``.
        ValueError: A shape is off, or an entry of ``sigma`` is not positive and finite.

    Source: Vincent 2011, eq. 9; Song & Ermon 2019, eq. 5 and 6, with lambda(sigma) = sigma^2.
    """
    check.batch("x", x)
    check.levels("sigma", sigma, x)
    eps = noise(x)
    check.like("noise(x)", eps, "x", x)
    std = sigma.view((-1,) + (1,) * (x.ndim - 1))
    answer = score_fn(x + std * eps, sigma)
    check.like("score_fn(x, sigma)", answer, "x", x)
    return _half_square(std * answer + eps)


def _half_square(x: Tensor) -> Tensor:
    return 0.5 * x.square().flatten(1).sum(1)


def _recorded(score: Score, x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns x as a leaf of a new graph, and the answer to it."""
    check.batch("x", x)
    x = x.detach().requires_grad_()
    answer = score(x)
    check.like("score(x)", answer, "x", x)
    return x, answer


def _pulled_back(y: Tensor, x: Tensor) -> Tensor:
    """Returns dy/dx for a scalar y, recorded for the next derivative."""
    grad = None
    if y.requires_grad:
        (grad,) = torch.autograd.grad(y, x, create_graph=True, allow_unused=True)
    if grad is None:
        raise ValueError(
            "score(x): expected an answer that autograd can follow back to x, "
            "got one without a gradient"
        )
    return grad

"""Chapter 4: the DDIM step, one formula for the whole family between ODE and ancestral chain."""

import math

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.ddpm import small_variance
from minidiff.forward import NoiseFn, eps_from_x0, x0_from_eps
from minidiff.schedule import Schedule


def step(
    x: Tensor,
    t: int,
    s: int,
    eps: Tensor,
    schedule: Schedule,
    *,
    eta: float = 0.0,
    clip: float | None = None,
    noise: NoiseFn = torch.randn_like,
) -> tuple[Tensor, Tensor]:
    """Takes one DDIM step from t to s.

    x_s = sqrt(alpha_bar_s) x0_hat + sqrt(1 - alpha_bar_s - sigma^2) eps_hat + sigma z, where
    sigma is ``eta`` times the standard deviation of q(x_s | x_t, x_0) (eq-ddim-step,
    eq-ddim-sigma). eta = 1 is the ancestral step of ``ddpm`` (eq-ddim-eta-one); eta = 0 is
    deterministic, a rotation (eq-ddim-rotation) and an Euler step (eq-ddim-euler), and with s > t
    it is inversion: the same line.

    Args:
        x: (B, ...) the state x_t.
        t: Where the step starts, 0..T.
        s: Where it ends, 0..T; below ``t`` where ``eta > 0``.
        eps: (B, ...) the predicted noise in ``x``.
        schedule: The noise schedule.
        eta: >= 0, multiplies the standard deviation; sigma^2 <= 1 - alpha_bar_s must hold
            (eq-ddim-legal).
        clip: Holds x0_hat within [-clip, clip], with eps_hat derived from it again, so that the
            two still explain x_t; needs t >= 1. None to leave it alone.
        noise: Draws z given x; called only where eta > 0.

    Returns:
        x_s and x0_hat, both of the shape of ``x``.

    Raises:
        TypeError: A tensor is not floating point, or a time is not an int.
        ValueError: Shapes differ, a time leaves its range, ``clip`` or ``eta`` is negative, sigma
            is illegal, or s >= t where eta > 0.

    Source: Song et al. 2021 (DDIM), eq. 12 and 16; their alpha is our alpha_bar.
    """
    check.integer("t", t, 0, schedule.T)
    check.integer("s", s, 0, schedule.T)
    x0 = x0_from_eps(eps, x, t, schedule)
    if clip is not None:
        check.number("clip", clip, 0)
        x0 = x0.clamp(-clip, clip)
        eps = eps_from_x0(x0, x, t, schedule)
    a, b = schedule.coefs(s, x)
    var = _sigma_variance(t, s, eta, b**2, schedule)
    x_s = a * x0 + math.sqrt(b**2 - var) * eps
    if eta == 0:
        return x_s, x0
    z = noise(x)
    check.like("noise(x)", z, "x", x)
    return x_s + math.sqrt(var) * z, x0


def _sigma_variance(t: int, s: int, eta: float, max_var: float, schedule: Schedule) -> float:
    check.number("eta", eta, 0)
    if eta == 0:
        return 0.0
    check.earlier(t, s, "eta > 0")
    var = eta**2 * small_variance(t, s, schedule)
    if var > max_var * (1 + 1e-12):  # the largest sigma, asked for by its eta, may round up
        raise ValueError(
            f"eta: expected sigma^2 <= 1 - alpha_bar_s = {max_var:.6g} at s = {s}, "
            f"got sigma^2 = {var:.6g} with eta = {eta}"
        )
    return min(var, max_var)

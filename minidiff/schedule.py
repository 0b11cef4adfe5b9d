"""Noise schedules: how much of the data is left at each time, and which times a sampler visits.

A schedule is one array, alpha_bar[0..T]: the share of the data's variance that survives until t.
Everything else (beta, alpha, the signal-to-noise ratio, the posterior variance) follows from it.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import torch
from torch import Tensor

from minidiff import _validate as check


@dataclass(frozen=True, eq=False)
class Schedule:
    """A discrete noise schedule: ``alpha_bar`` is (T+1,), and everything else is read off it.

    Attributes:
        alpha_bar: (T+1,) float64 on the CPU, ``alpha_bar[0] == 1``, strictly decreasing, > 0.

    Raises:
        TypeError: ``alpha_bar`` is not a float64 tensor.
        ValueError: ``alpha_bar`` is not one-dimensional with at least two entries, does not
            start at 1, does not strictly decrease, or reaches 0.
    """

    alpha_bar: Tensor

    def __post_init__(self) -> None:
        """Refuses what is not a schedule."""
        ab = self.alpha_bar
        if not isinstance(ab, Tensor) or ab.dtype != torch.float64 or ab.device.type != "cpu":
            raise TypeError(
                f"alpha_bar: expected a float64 tensor on the CPU, got {check.describe(ab)}"
            )
        if ab.ndim != 1 or len(ab) < 2:
            raise ValueError(
                f"alpha_bar: expected shape (T+1,) with T >= 1, got {check.describe(ab)}"
            )
        if ab[0] != 1:
            raise ValueError(f"alpha_bar: expected alpha_bar[0] == 1, got {ab[0].item()}")
        if not (ab.diff() < 0).all() or not ab[-1] > 0:
            raise ValueError(
                "alpha_bar: expected strictly decreasing entries > 0, "
                f"got {ab[0].item():g}, {ab[1].item():g}, ..., {ab[-1].item():g}"
            )
        # A copy: the derived arrays are cached, and must not part from a tensor edited outside.
        object.__setattr__(self, "alpha_bar", ab.detach().clone())

    @classmethod
    def from_betas(cls, betas: Tensor) -> "Schedule":
        """Builds the schedule with alpha_bar_t = prod_{i<=t} (1 - beta_i). (eq-ddpm-forward)

        Args:
            betas: (T,) floating point, entry i is beta_{i+1}, each in (0, 1).

        Raises:
            TypeError: ``betas`` is not a floating-point tensor.
            ValueError: ``betas`` is not (T,), or an entry is outside (0, 1).
        """
        check.floating("betas", betas)
        if betas.ndim != 1 or len(betas) == 0:
            raise ValueError(f"betas: expected shape (T,), got {check.describe(betas)}")
        if not ((betas > 0) & (betas < 1)).all():
            raise ValueError(
                "betas: expected every entry in (0, 1), "
                f"got entries in {betas.min().item():g}..{betas.max().item():g}"
            )
        alpha = 1 - betas.to("cpu", torch.float64)
        return cls(torch.cat([alpha.new_ones(1), alpha.cumprod(0)]))

    @cached_property
    def T(self) -> int:  # noqa: N802 (the papers' name)
        """The number of steps; times run over 0..T."""
        return len(self.alpha_bar) - 1

    @cached_property
    def alpha(self) -> Tensor:
        """(T+1,): alpha_t = alpha_bar_t / alpha_bar_{t-1}; entry 0 is 1."""
        ab = self.alpha_bar
        return torch.cat([ab[:1], ab[1:] / ab[:-1]])

    @cached_property
    def beta(self) -> Tensor:
        """(T+1,): beta_t = 1 - alpha_t, the variance added by step t; entry 0 is 0."""
        return 1 - self.alpha

    @cached_property
    def snr(self) -> Tensor:
        """(T+1,): alpha_bar_t / (1 - alpha_bar_t), a ratio of variances; entry 0 is inf."""
        return self.alpha_bar / (1 - self.alpha_bar)

    @cached_property
    def posterior_var(self) -> Tensor:
        """(T+1,): the variance of q(x_{t-1} | x_t, x_0); entry 0 is 0. (eq-ddpm-posterior-var)"""
        ab, out = self.alpha_bar, torch.zeros_like(self.alpha_bar)
        out[1:] = self.beta[1:] * (1 - ab[:-1]) / (1 - ab[1:])
        return out

    @cached_property
    def _roots(self) -> tuple[Tensor, Tensor]:
        # The roots are taken in float64 and cast afterwards: 1 - alpha_bar_1 taken in float32
        # would already be wrong by 8e-5.
        return self.alpha_bar.sqrt(), (1 - self.alpha_bar).sqrt()

    # A sampler asks at every step, where reading a number out of a tensor, or casting a table,
    # costs more than the step's arithmetic.
    @cached_property
    def _numbers(self) -> list[tuple[float, float]]:
        signal, noise = self._roots
        return list(zip(signal.tolist(), noise.tolist(), strict=True))

    @cached_property
    def _tables(self) -> dict[tuple[torch.dtype, torch.device, int], tuple[Tensor, Tensor]]:
        return {}

    @overload
    def coefs(self, t: int, like: Tensor) -> tuple[float, float]: ...
    @overload
    def coefs(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]: ...
    @overload
    def coefs(
        self, t: int | Tensor, like: Tensor
    ) -> tuple[float, float] | tuple[Tensor, Tensor]: ...
    def coefs(self, t: int | Tensor, like: Tensor) -> tuple[float, float] | tuple[Tensor, Tensor]:
        """Returns (sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t)), ready to multiply ``like``.

        Args:
            t: An int, which gives two Python floats; or (B,) int64, which gives two tensors of
                shape (B, 1, ..., 1) in the dtype and on the device of ``like``. In 0..T.
            like: (B, ...) floating point: the tensor that the coefficients will multiply.

        Raises:
            TypeError: ``t`` is neither an int nor a (B,) int64 tensor; ``like`` is not floating.
            ValueError: ``t`` leaves 0..T, or has another batch size than ``like``.
        """
        if not isinstance(t, Tensor):
            check.index("t", t, 0, self.T)
            return self._numbers[t]
        check.batch("like", like)
        kind = like.dtype, like.device, like.ndim
        if kind not in self._tables:
            shape = (-1,) + (1,) * (like.ndim - 1)
            signal, noise = (root.to(like).view(shape) for root in self._roots)
            self._tables[kind] = signal, noise
        signal, noise = self._tables[kind]
        return check.looked_up(signal, "t", t, like), noise.index_select(0, t)

    def grid(self, n: int, start: int | None = None, stop: int = 0) -> list[int]:
        """Returns n+1 times from ``start`` down to ``stop``, both included, evenly spread.

        Entry k is round(stop + (start - stop) (n - k) / n). It strictly decreases, so that a
        sampler never stands still; with ``n = start - stop`` it visits every time.

        Args:
            n: The number of steps, 1..start-stop.
            start: Where the walk begins; T unless told otherwise.
            stop: Where it ends.

        Returns:
            n+1 ints; ``[start]``, a walk without a step, where ``start == stop``.

        Raises:
            TypeError: An argument is not an int.
            ValueError: ``start`` or ``stop`` leaves 0..T, ``stop > start``, or ``n`` is not in
                1..start-stop.
        """
        start = self.T if start is None else start
        check.integer("start", start, 0, self.T)
        check.integer("stop", stop, 0, start)
        check.integer("n", n, 1, None if start == stop else start - stop)
        if start == stop:
            return [start]
        return [round(stop + (start - stop) * (n - k) / n) for k in range(n + 1)]


def linear_schedule(T: int = 1000) -> Schedule:  # noqa: N803
    """Returns beta_t rising linearly from 1e-4 to 0.02, scaled by 1000/T. (eq-linear-schedule)

    The scaling keeps alpha_bar_T near 0: with T = 100 and the unscaled betas a third of the
    data's variance would still be there at the end. (Ho et al. 2020, section 4; the scaling as
    in Nichol & Dhariwal 2021.)

    Args:
        T: The number of steps, > 20: at 20 the last beta would be 1.

    Raises:
        TypeError: ``T`` is not an int.
        ValueError: ``T <= 20``.
    """
    check.integer("T", T, 21)
    return Schedule.from_betas(torch.linspace(1e-4, 0.02, T, dtype=torch.float64) * 1000 / T)


def cosine_schedule(T: int = 1000) -> Schedule:  # noqa: N803
    """Returns alpha_bar_t = f(t/T)/f(0), f(u) = cos^2(pi/2 (u+s)/(1+s)). (eq-cosine-schedule)

    s = 0.008 keeps the first steps from being too small, and beta is held at 0.999 or below,
    which touches the last step only. (Nichol & Dhariwal 2021, eq. 17.)

    Args:
        T: The number of steps, >= 1.

    Raises:
        TypeError: ``T`` is not an int.
        ValueError: ``T < 1``.
    """
    check.integer("T", T, 1)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = ((u + 0.008) / 1.008 * (math.pi / 2)).cos() ** 2
    return Schedule.from_betas((1 - f[1:] / f[:-1]).clamp(max=0.999))

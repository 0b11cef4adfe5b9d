"""The checks that public functions share.

Each error names the argument, what was expected and what came.
"""

import torch
from torch import Tensor


def describe(value: object) -> str:
    """Returns what a caller passed, in a few words, for an error message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"{value!r} ({type(value).__name__})"


def floating(name: str, value: object) -> None:
    """Raises TypeError unless ``value`` is a floating-point tensor."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point tensor, got {describe(value)}")


def batch(name: str, value: object) -> None:
    """Raises unless ``value`` is a floating-point tensor with a batch axis and one more."""
    floating(name, value)
    assert isinstance(value, Tensor)
    if value.ndim < 2:
        raise ValueError(f"{name}: expected shape (B, ...), got {describe(value)}")


def like(name: str, value: object, reference_name: str, reference: Tensor) -> None:
    """Raises unless ``value`` is a floating-point tensor of the reference's shape."""
    floating(name, value)
    assert isinstance(value, Tensor)
    if value.shape != reference.shape:
        raise ValueError(
            f"{name}: expected the shape of {reference_name}, {tuple(reference.shape)}, "
            f"got {describe(value)}"
        )


def integer(name: str, value: object, low: int, high: int | None = None) -> None:
    """Raises unless ``value`` is an int in low..high (no upper end where ``high`` is None)."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an int, got {describe(value)}")
    if value < low or (high is not None and value > high):
        span = f">= {low}" if high is None else f"in {low}..{high}"
        raise ValueError(f"{name}: expected an int {span}, got {value}")


def index(name: str, value: int | Tensor, low: int, high: int) -> None:
    """Raises unless ``value`` is an int, or a (B,) int64 tensor, with entries in low..high."""
    if not isinstance(value, Tensor):
        integer(name, value, low, high)
        return
    if value.ndim != 1 or value.dtype != torch.int64:
        raise TypeError(
            f"{name}: expected an int or an int64 tensor of shape (B,), got {describe(value)}"
        )
    if value.numel() and (value.min() < low or value.max() > high):
        raise ValueError(
            f"{name}: expected entries in {low}..{high}, "
            f"got {int(value.min())}..{int(value.max())}"
        )


def earlier(t: int, s: int, why: str) -> None:
    """Raises unless s < t."""
    if s >= t:
        raise ValueError(f"s: expected s < t where {why}, got s = {s} and t = {t}")

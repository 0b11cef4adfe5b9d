"""The checks that public functions share.

Each error names the argument, what was expected and what came.
"""

import math

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
    """Raises unless ``value`` is a tensor of the reference's shape and floating-point dtype."""
    dtype(name, value, reference_name, reference)
    assert isinstance(value, Tensor)
    if value.shape != reference.shape:
        raise ValueError(
            f"{name}: expected the shape of {reference_name}, {tuple(reference.shape)}, "
            f"got {describe(value)}"
        )


def dtype(name: str, value: object, reference_name: str, reference: Tensor) -> None:
    """Raises unless ``value`` is a tensor of the reference's floating-point dtype."""
    floating(name, value)
    assert isinstance(value, Tensor)
    if value.dtype != reference.dtype:
        raise TypeError(
            f"{name}: expected the dtype of {reference_name}, {reference.dtype}, "
            f"got {describe(value)}"
        )


def number(name: str, value: object, low: float, high: float = math.inf) -> None:
    """Raises unless ``value`` is a finite int or float in low..high."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {describe(value)}")
    if not (low <= value <= high and math.isfinite(value)):
        span = f">= {low:g}" if high == math.inf else f"in {low:g}..{high:g}"
        raise ValueError(f"{name}: expected a number {span}, got {value}")


def positive(name: str, value: object) -> None:
    """Raises unless ``value`` is a finite int or float above 0."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
        raise ValueError(f"{name}: expected a number > 0, got {value}")
    number(name, value, 0)


def levels(name: str, value: object, x: Tensor) -> None:
    """Raises unless ``value`` holds one noise level > 0 for each sample of ``x``, in its dtype."""
    like(name, value, "the batch", x.flatten(1)[:, 0])
    assert isinstance(value, Tensor)
    if not (value.isfinite().all() and (value > 0).all()):
        raise ValueError(
            f"{name}: expected finite entries > 0, got {value.min():g}..{value.max():g}"
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
    if isinstance(value, int):
        integer(name, value, low, high)
        return
    if not isinstance(value, Tensor) or value.ndim != 1 or value.dtype != torch.int64:
        raise TypeError(
            f"{name}: expected an int or an int64 tensor of shape (B,), got {describe(value)}"
        )
    if value.numel():
        first, last = value.aminmax()
        if first < low or last > high:
            raise _out_of_range(name, value, low, high)


def _out_of_range(name: str, value: Tensor, low: int, high: int) -> ValueError:
    first, last = (int(x) for x in value.aminmax())
    return ValueError(f"{name}: expected entries in {low}..{high}, got {first}..{last}")


def times(name: str, value: object, x: Tensor, low: int, high: int) -> None:
    """Raises unless ``value`` holds one int64 time in low..high for each sample of ``x``."""
    index(name, _one_for_each(name, value, x), low, high)


def looked_up(table: Tensor, name: str, value: object, x: Tensor) -> Tensor:
    """Returns ``table[value]``, one entry for each sample of ``x``, or raises as ``times`` does.

    Samplers look up at every step. On the CPU the look-up itself notices a time that is out of
    range, which saves a search for the smallest and the largest; elsewhere it would end the
    process.
    """
    t = _one_for_each(name, value, x)
    if t.device.type != "cpu":
        index(name, t, 0, len(table) - 1)
    try:
        return table.index_select(0, t)
    except IndexError:
        raise _out_of_range(name, t, 0, len(table) - 1) from None


def _one_for_each(name: str, value: object, x: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.dtype != torch.int64 or value.ndim != 1:
        raise TypeError(f"{name}: expected an int64 tensor of shape (B,), got {describe(value)}")
    if len(value) != len(x):
        raise ValueError(
            f"{name}: expected one entry for each of the batch, shape {tuple(x.shape[:1])}, "
            f"got shape {tuple(value.shape)}"
        )
    return value


def earlier(t: int, s: int, why: str) -> None:
    """Raises unless s < t."""
    if s >= t:
        raise ValueError(f"s: expected s < t where {why}, got s = {s} and t = {t}")

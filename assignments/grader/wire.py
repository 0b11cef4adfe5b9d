"""Messages between the grader and the process that runs a student's code.

A message is a value: None, a bool, an int, a float, a string, a tensor, or a list, tuple or dict
of those. On the wire it is JSON, and beside that the bytes of its tensors. Nothing that comes in
is executed, and nothing is unpickled; what is not of this form is refused.
"""

import json
import math
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Json: TypeAlias = Any  # what json gives

LIMIT = 8 << 20  # bytes of a message: a million numbers, and no test needs as many
HEADER = struct.Struct(">QQ")
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    )
}


class WireError(Exception):
    """What came is not a message."""


class TooLate(Exception):
    """Nothing came in time."""


def encode(value: object, named: Callable[[object], Json | None] = lambda _: None) -> bytes:
    """Returns a message as bytes.

    Args:
        value: The message.
        named: Returns what stands for a value that is not of the form, such as a callable.

    Raises:
        WireError: The value is not of the form, or is larger than ``LIMIT``.
    """
    blobs: list[bytes] = []

    def plain(value: object) -> Json:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.ndarray | np.generic | range):
            return plain(list(value) if isinstance(value, range) else value.tolist())
        if isinstance(value, Tensor):
            name = str(value.dtype).removeprefix("torch.")
            if name not in DTYPES:
                raise WireError(f"a tensor of dtype {name}")
            flat = value.detach().to("cpu").contiguous().reshape(-1)
            blobs.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
            return {"tensor": [name, list(value.shape)]}
        if isinstance(value, list | tuple):
            items = [plain(item) for item in value]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, dict):
            return {"dict": [[str(key), plain(item)] for key, item in value.items()]}
        if (form := named(value)) is not None:
            return form
        raise WireError(f"a value of type {type(value).__name__}")

    try:
        text = json.dumps(plain(value)).encode()
    except RecursionError:
        raise WireError("a value nested too deeply") from None
    body = b"".join(blobs)
    if len(text) + len(body) > LIMIT:
        raise WireError(f"a message of {len(text) + len(body)} bytes")
    return HEADER.pack(len(text), len(body)) + text + body


def decode(text: bytes, body: bytes, called: Callable[[Json], object] | None = None) -> Any:  # noqa: ANN401 (any message)
    """Returns the message that the bytes hold.

    Args:
        text: JSON.
        body: The bytes of its tensors, in order.
        called: Returns what ``{"call": …}`` stands for; without it, that is refused.

    Raises:
        WireError: The bytes hold no message.
    """
    start = 0

    def tensor(name: object, shape: object) -> Tensor:
        nonlocal start
        if not isinstance(name, str) or name not in DTYPES:
            raise WireError("an unknown dtype")
        if not isinstance(shape, list) or len(shape) > 16:
            raise WireError("no shape")
        if not all(type(side) is int and 0 <= side <= LIMIT for side in shape):
            raise WireError("no shape")
        size = math.prod(shape) * DTYPES[name].itemsize
        if size > len(body) - start:
            raise WireError("a tensor without its bytes")
        part, start = bytearray(body[start : start + size]), start + size
        flat = torch.frombuffer(part, dtype=DTYPES[name]) if size else torch.empty(0)
        return flat.to(DTYPES[name]).reshape(shape)

    def value(found: Json) -> object:
        if isinstance(found, list):
            return [value(item) for item in found]
        if not isinstance(found, dict):
            return found
        match list(found.items()):
            case [("tensor", [name, shape])]:
                return tensor(name, shape)
            case [("tuple", list(items))]:
                return tuple(value(item) for item in items)
            case [("dict", list(items))]:
                return {str(key): value(item) for key, item in items}
            case [("call", number)] if called is not None:
                return called(number)
        raise WireError("an unknown form")

    try:
        return value(json.loads(text))
    except (ValueError, TypeError, RuntimeError) as error:
        raise WireError(f"no message: {type(error).__name__}") from None


class Channel:
    """Two pipes with messages on them.

    Args:
        read_end: A file descriptor to read from.
        write_end: One to write to.
    """

    def __init__(self, read_end: int, write_end: int) -> None:
        self.read_end, self.write_end = read_end, write_end
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)

    def send(self, message: bytes, deadline: float = math.inf) -> None:
        """Writes an encoded message; raises TooLate, or OSError where nobody reads."""
        view = memoryview(message)
        while view:
            self._wait([], [self.write_end], deadline)
            view = view[os.write(self.write_end, view[:65536]) :]

    def receive(
        self, deadline: float = math.inf, called: Callable[[Json], object] | None = None
    ) -> Any:  # noqa: ANN401 (any message)
        """Reads a message; raises TooLate, WireError, or EOFError where the pipe has ended."""
        length, size = HEADER.unpack(self._read(HEADER.size, deadline))
        if length + size > LIMIT:
            raise WireError("a message that is too long")
        return decode(self._read(length, deadline), self._read(size, deadline), called)

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait([self.read_end], [], deadline)
            part = os.read(self.read_end, min(size - len(parts), 65536))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    @staticmethod
    def _wait(read: list[int], write: list[int], deadline: float) -> None:
        left = None if deadline == math.inf else deadline - time.monotonic()
        if left is not None and left <= 0 or not any(select.select(read, write, [], left)):
            raise TooLate

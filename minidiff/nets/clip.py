"""A small CLIP: pictures and sentences as unit vectors of one space, for chapter 9."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from minidiff import _validate as check
from minidiff.nets.judge import convolutions


class TextImageEncoder(Protocol):
    """What chapter 9 asks of a CLIP: two methods, so that any can be put in the place of ours."""

    def encode_image(self, x: Tensor) -> Tensor:
        """Returns (B, D) unit vectors of (B, 3, H, W) pictures in [-1, 1], differentiable."""

    def encode_text(self, captions: Sequence[str]) -> Tensor:
        """Returns (B, D) unit vectors of B sentences."""


class Clip(nn.Module):
    """Convolutions for pictures and a transformer for sentences, both to unit vectors.

    Sentences are words of a closed vocabulary, in lower case and divided by blanks; commas are
    not read. They are trained together so that the inner product of a picture and its caption,
    times ``exp(log_scale)``, is larger than that with the captions of others (eq-clip-loss).

    Args:
        words: The vocabulary.
        length: The most words of a sentence.
        size: The side of a picture in pixels, a multiple of 8.
        width: Channels after the first convolution, a multiple of 8.
        dim: The length of the vectors, a multiple of 8.

    Raises:
        TypeError: A size is not an int.
        ValueError: A size is out of its range, or the vocabulary is empty or repeats a word.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        length: int = 32,
        size: int = 32,
        width: int = 32,
        dim: int = 64,
    ) -> None:
        super().__init__()
        check.integer("length", length, 1)
        for name, value in (("size", size), ("width", width), ("dim", dim)):
            check.integer(name, value, 8)
            if value % 8:
                raise ValueError(f"{name}: expected a multiple of 8, got {value}")
        if not words or len(set(words)) < len(words):
            raise ValueError(f"words: expected different words, at least one, got {tuple(words)}")
        self.words, self.length, self.shape = tuple(words), length, (3, size, size)
        self.image = nn.Sequential(convolutions(3, size, width, 128), nn.Linear(128, dim))
        self.word = nn.Embedding(len(words) + 1, dim, padding_idx=0)
        self.place = nn.Parameter(0.02 * torch.randn(length, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, 0.0, batch_first=True, norm_first=True)
        self.text = nn.TransformerEncoder(layer, 2, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.out = nn.Linear(dim, dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Returns (B, length) int64: the place of each word in the vocabulary plus 1, then 0.

        Raises:
            TypeError: ``captions`` is one string, and not several.
            ValueError: A caption is empty, too long, or has a word that is not known.
        """
        if isinstance(captions, str):
            raise TypeError(f"captions: expected a list of sentences, got {captions!r}")
        place = {word: i for i, word in enumerate(self.words, 1)}
        rows = torch.zeros(len(captions), self.length, dtype=torch.int64)
        for row, caption in zip(rows, captions, strict=True):
            said = caption.lower().replace(",", " ").split()
            if not 1 <= len(said) <= self.length:
                raise ValueError(
                    f"captions: expected 1..{self.length} words, got {len(said)} in {caption!r}"
                )
            unknown = [word for word in said if word not in place]
            if unknown:
                raise ValueError(
                    f"captions: expected known words, got {', '.join(map(repr, unknown))} in "
                    f"{caption!r}; known are {', '.join(self.words)}"
                )
            row[: len(said)] = torch.tensor([place[word] for word in said])
        return rows

    def encode_image(self, x: Tensor) -> Tensor:
        """Returns (B, D) unit vectors.

        Args:
            x: (B, 3, size, size) pictures in [-1, 1].

        Raises:
            TypeError: ``x`` is not of the dtype of the parameters.
            ValueError: ``x`` has another shape.
        """
        check.dtype("x", x, "the network", self.place)
        if x.ndim != 4 or x.shape[1:] != self.shape:
            shape = ", ".join(map(str, self.shape))
            raise ValueError(f"x: expected shape (B, {shape}), got {check.describe(x)}")
        return normalize(self.image(x), dim=1)

    def encode_text(self, captions: Sequence[str]) -> Tensor:
        """Returns (B, D) unit vectors. Errors as ``tokens``."""
        return self.encode_tokens(self.tokens(captions).to(self.place.device))

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Returns (B, D) unit vectors of (B, length) tokens: a mean over words, projected."""
        blank = tokens == 0
        seen = self.text(self.word(tokens) + self.place, src_key_padding_mask=blank)
        seen = seen.masked_fill(blank[:, :, None], 0).sum(1) / (~blank).sum(1, keepdim=True)
        return normalize(self.out(seen), dim=1)

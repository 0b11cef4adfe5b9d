"""A small CLIP: pictures and sentences as unit vectors of one space, for chapter 9."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

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
    times ``exp(log_scale)``, is larger than that with the captions of others (eq-clip-contrast).

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
        _several(captions)
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


# Of the pictures that OpenAI's CLIP was trained on, in [0, 1], by colour.
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class PretrainedClip:
    """A CLIP of the transformers library, in the place of ours.

    Args:
        model: A ``transformers.CLIPModel``; its weights are frozen.
        tokenizer: The ``transformers.CLIPTokenizer`` that belongs to it.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:  # noqa: ANN401 (not installed here)
        self.model, self.tokenizer = model.eval().requires_grad_(False), tokenizer

    @classmethod
    def load(cls, name: str) -> Self:
        """Returns the CLIP of that name, as "openai/clip-vit-base-patch32", or in that folder.

        Raises:
            ImportError: transformers is not installed.
            OSError: There is no such model, or no way to fetch it.
        """
        from transformers import CLIPModel, CLIPTokenizer  # large, and not needed by the book

        return cls(CLIPModel.from_pretrained(name), CLIPTokenizer.from_pretrained(name))

    def encode_image(self, x: Tensor) -> Tensor:
        """Returns (B, D) unit vectors of (B, 3, H, W) pictures in [-1, 1], of any size.

        Raises:
            TypeError: ``x`` is not floating point.
            ValueError: ``x`` has another shape.
        """
        check.floating("x", x)
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"x: expected shape (B, 3, H, W), got {check.describe(x)}")
        size = self.model.config.vision_config.image_size
        x = interpolate((x + 1) / 2, (size, size), mode="bicubic", antialias=True)
        mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
        return _unit(self.model.get_image_features(pixel_values=(x - mean) / std))

    def encode_text(self, captions: Sequence[str]) -> Tensor:
        """Returns (B, D) unit vectors of B sentences.

        Raises:
            TypeError: ``captions`` is one string, and not several.
            ValueError: A caption is empty.
        """
        _several(captions)
        if not all(caption.strip() for caption in captions):
            raise ValueError(f"captions: expected words in each, got {list(captions)}")
        told = self.tokenizer(list(captions), padding=True, return_tensors="pt")
        return _unit(self.model.get_text_features(**told.to(self.model.device)))


def _several(captions: Sequence[str]) -> None:
    if isinstance(captions, str):
        raise TypeError(f"captions: expected a list of sentences, got {captions!r}")


def _unit(answer: Any) -> Tensor:  # noqa: ANN401 (a tensor, or since transformers 5 more)
    return normalize(getattr(answer, "pooler_output", answer), dim=1)

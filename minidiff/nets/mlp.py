"""A network for points of the plane, or of any other small dimension."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minidiff import _validate as check
from minidiff.nets.embedding import LevelEmbedding, check_level, zeroed


class _Layer(nn.Module):
    """x + W2 silu(W1 silu(x + embedding))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), zeroed(nn.Linear(width, width))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x + emb))))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Residual multilayer perceptron for (B, D) data; answers 0 before it is trained.

    Args:
        dim: D, the dimension of the data.
        width: The number of features within.
        depth: The number of residual layers.
        classes: The number of classes, for a network that may be told a label.

    Raises:
        TypeError: An argument is not an int.
        ValueError: An argument is not positive.
    """

    def __init__(
        self, dim: int = 2, width: int = 128, depth: int = 3, *, classes: int | None = None
    ) -> None:
        super().__init__()
        for name, value in (("dim", dim), ("width", width), ("depth", depth)):
            check.integer(name, value, 1)
        self.dim, self.classes = dim, classes
        self.level = LevelEmbedding(width)
        if classes is not None:
            check.integer("classes", classes, 1)
            self.label = nn.Embedding(classes + 1, width)  # row 0: no label
        self.input = nn.Linear(dim, width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(depth))
        self.output = zeroed(nn.Linear(width, dim))

    def forward(self, x: Tensor, level: Tensor, *, label: Tensor | None = None) -> Tensor:
        """Returns the answer, of the shape of ``x``: eps, v, x_0 or a score, as it was trained.

        Args:
            x: (B, D) points at that noise level.
            level: (B,) floating point, in 0..pi/2: ``forward.noise_level`` of alpha_bar.
            label: (B,) int64 in -1..classes-1, where -1 says nothing; None says nothing to all.

        Raises:
            TypeError: ``x`` or ``level`` is not of the dtype of the parameters, or ``label`` not
                int64.
            ValueError: A shape is off, a label leaves its range, or the network has no classes.
        """
        check.dtype("x", x, "the network", next(self.parameters()))
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"x: expected shape (B, {self.dim}), got {check.describe(x)}")
        check_level("level", level, x)
        emb = self.level(level)
        if label is not None:
            if self.classes is None:
                raise ValueError("label: expected none, the network has no classes, got one")
            check.times("label", label, x, -1, self.classes - 1)
        if self.classes is not None:
            row = torch.zeros_like(level, dtype=torch.int64) if label is None else label + 1
            emb = emb + self.label(row)
        h = self.input(x)
        for layer in self.layers:
            h = layer(h, emb)
        out: Tensor = self.output(F.silu(h))
        return out

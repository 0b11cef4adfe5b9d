"""How a network is told the noise level."""

import math

import torch
from torch import Tensor, nn

from minidiff import _validate as check

_FREQUENCIES = 16


class LevelEmbedding(nn.Module):
    """Sines and cosines of the noise level, with a small network on top.

    The level is the angle of ``forward.noise_level``, from 0 (clean) to pi/2 (nothing but noise).
    Its features are sin(f_k level) and cos(f_k level) for 16 frequencies f_k, spaced evenly in
    their logarithm from 1 to 100. The slowest grows all the way from one end to the other; the
    fastest tells 0.01 from 0.02, the lowest levels of a fine schedule, where the angle itself
    hardly moves.

    Args:
        width: The number of features that come out.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0, math.log(100), _FREQUENCIES))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, level: Tensor) -> Tensor:
        """Returns the features (B, width) of levels (B,), angles in 0..pi/2."""
        angle = level[:, None] * self.frequencies
        features: Tensor = self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))
        return features


def check_level(name: str, level: Tensor, x: Tensor) -> None:
    """Raises unless ``level`` holds one number of the dtype of ``x`` for every sample of it."""
    # An integer here is nearly always a step number; networks are told a level instead.
    check.dtype(name, level, "x", x)
    if level.shape != x.shape[:1]:
        raise ValueError(
            f"{name}: expected shape {tuple(x.shape[:1])}, one level a sample, "
            f"got {check.describe(level)}"
        )


def zeroed(layer: nn.Module) -> nn.Module:
    """Sets a layer's parameters to zero: where a branch, or a network, begins by saying nothing.

    Every residual block is then the identity at first, however many there are, and the first
    steps of the training cannot blow up.
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer

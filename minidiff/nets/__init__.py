"""Networks: told a noise level, never a step number."""

from minidiff.nets.mlp import MLP
from minidiff.nets.unet import UNet

__all__ = ["MLP", "UNet"]

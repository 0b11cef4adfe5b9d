"""Networks: denoisers, told a noise level and never a step number, and a judge of pictures."""

from minidiff.nets.clip import Clip, PretrainedClip, TextImageEncoder
from minidiff.nets.judge import Judge
from minidiff.nets.low_rank import LowRank
from minidiff.nets.mlp import MLP
from minidiff.nets.unet import UNet

__all__ = ["MLP", "Clip", "Judge", "LowRank", "PretrainedClip", "TextImageEncoder", "UNet"]

"""Chapter 9: DiffusionCLIP, which teaches a diffusion model an edit that is said in words."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.forward import EpsFn, eps_fn
from minidiff.nets import TextImageEncoder
from minidiff.sampling import invert, last, sample
from minidiff.schedule import Schedule


def direction(clip: TextImageEncoder, source: Sequence[str], target: Sequence[str]) -> Tensor:
    """Returns the unit vector from the mean of the source sentences to that of the target's. (D,)"""
    with torch.no_grad():
        step = clip.encode_text(target).mean(0) - clip.encode_text(source).mean(0)
    return step / step.norm()


def directional_loss(edited: Tensor, source: Tensor, direction: Tensor) -> Tensor:
    """Returns -log((1 + cos) / 2), cos between edited - source and the direction. (eq-clip-direction)

    Args:
        edited, source: (B, D) encoded pictures.
        direction: (D,) the way from one sentence to the other.
    """
    cos = torch.cosine_similarity(edited - source, direction[None], dim=1)
    return -torch.log(((1 + cos) / 2).clamp(min=1e-6))


def mix(*parts: tuple[float, EpsFn]) -> EpsFn:
    """Returns the weighted sum of predictions, sum_i w_i eps_i with weights that sum to 1."""


def loss(net, latent, source, *, schedule, grid, objective) -> Tensor:
    """Mean over the walk of the objective at x0_hat, the state detached between steps."""
    walk = sample(eps_fn(net, schedule), latent, schedule, grid, hook=lambda x, s: x.detach(), grad=True)
    return torch.stack([objective(at.x0, source) for at in walk]).mean(0)

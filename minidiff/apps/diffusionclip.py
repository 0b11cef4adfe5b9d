"""Chapter 9: DiffusionCLIP, which teaches a diffusion model an edit that is said in words."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from minidiff import _validate as check
from minidiff.forward import EpsFn
from minidiff.nets import TextImageEncoder
from minidiff.sampling import invert, last, sample
from minidiff.schedule import Schedule


def direction(clip: TextImageEncoder, source: Sequence[str], target: Sequence[str]) -> Tensor:
    """Returns the unit vector from the mean of some sentences to the mean of others, (D,).

    (eq-clip-direction)

    Args:
        clip: Encodes sentences.
        source: What is said of the pictures as they are.
        target: What shall be said of them.

    Raises:
        ValueError: Both say the same: there is no direction.
    """
    with torch.no_grad():
        step = clip.encode_text(target).mean(0) - clip.encode_text(source).mean(0)
    if not step.norm() > 0:
        raise ValueError(f"target: expected another meaning than {list(source)}, got the same")
    unit: Tensor = step / step.norm()
    return unit


def directional_loss(cos: Tensor) -> Tensor:
    """Returns -log((1 + cos) / 2), cos the cosine of an edit and its direction.

    0 where the two agree, log 2 where they have nothing to do with each other, and held at
    13.8 where they are opposite. (eq-clip-loss)

    Args:
        cos: (B,) in [-1, 1].

    Raises:
        TypeError: ``cos`` is not floating point.

    Source: Kim et al. 2022 (DiffusionCLIP), its published code.
    """
    check.floating("cos", cos)
    return -torch.log(((1 + cos) / 2).clamp(min=1e-6))


def alignment(clip: TextImageEncoder, x: Tensor, source: Tensor, toward: Tensor) -> Tensor:
    """Returns the cosine of E(x) - E(source) and a direction, (B,). (eq-clip-cosine)

    Args:
        clip: Encodes pictures.
        x: (B, C, H, W) edited pictures.
        source: (B, C, H, W) what they were.
        toward: (D,) what ``direction`` gives.

    Raises:
        ValueError: ``source`` is not of the shape of ``x``, or ``toward`` is not a vector as
            long as those of the pictures.
    """
    check.like("source", source, "x", x)
    with torch.no_grad():
        before = clip.encode_image(source)
    if toward.shape != before.shape[1:]:
        raise ValueError(
            f"toward: expected shape {tuple(before.shape[1:])}, got {check.describe(toward)}"
        )
    return cosine_similarity(clip.encode_image(x) - before, toward[None], dim=1)


def edit(
    eps_fn: EpsFn, edited: EpsFn, x: Tensor, schedule: Schedule, grid: Sequence[int]
) -> Tensor:
    """Walks up with one network and down with another. (eq-clip-edit)

    Args:
        eps_fn: (x_t, t) -> eps_hat, of the model as it was.
        edited: (x_t, t) -> eps_hat, of the model that has learnt the edit, or of ``mix``.
        x: (B, ...) pictures.
        schedule: The noise schedule.
        grid: Times of the way down, ``schedule.grid(n, start=t0)``; the way up is the same.

    Raises:
        TypeError: As ``sample``.
        ValueError: As ``sample``.
    """
    latent = last(invert(eps_fn, x, schedule, grid), x)
    return last(sample(edited, latent, schedule, grid), latent)


def mix(*parts: tuple[float, EpsFn]) -> EpsFn:
    """Returns the weighted mean of predictions, sum_i w_i eps_i. (eq-clip-mix)

    ``mix((1 - w, before), (w, after))`` is an edit of strength w; what has the weight 0 is not
    asked.

    Args:
        *parts: Weights that sum to 1, and (x_t, t) -> eps_hat for each.

    Raises:
        ValueError: The weights do not sum to 1.
    """
    total = sum(w for w, _ in parts)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"parts: expected weights that sum to 1, got {total}")
    asked = [part for part in parts if part[0] != 0]

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        return torch.stack([w * eps_fn(x_t, t) for w, eps_fn in asked]).sum(0)

    return predict

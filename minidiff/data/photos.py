"""Scikit-learn's two sample photographs, and patches of them: the one thing here nobody drew."""

import torch
from torch import Tensor

from minidiff import _validate as check


def photos() -> Tensor:
    """Returns a temple in China and a flower, (2, 3, 427, 640) float32 in [-1, 1].

    Source: ``sklearn.datasets.load_sample_images``.
    """
    from sklearn.datasets import load_sample_images  # slow to import

    images = torch.stack([torch.tensor(image) for image in load_sample_images().images])
    return images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def patches(
    images: Tensor, n: int, size: int = 32, *, generator: torch.Generator | None = None
) -> Tensor:
    """Returns n squares cut out at random, each of them mirrored left to right or not.

    Args:
        images: (N, C, H, W), each as likely as any other.
        n: The number of squares, >= 1.
        size: Their side, 1..min(H, W).
        generator: Where the randomness comes from; torch's global state by default.

    Returns:
        (n, C, size, size).

    Raises:
        TypeError: ``images`` is not floating point, or a number is not an int.
        ValueError: ``images`` is not (N, C, H, W), or a number is out of its range.
    """
    check.floating("images", images)
    if images.ndim != 4:
        raise ValueError(f"images: expected shape (N, C, H, W), got {check.describe(images)}")
    height, width = images.shape[2:]
    check.integer("n", n, 1)
    check.integer("size", size, 1, min(height, width))

    def below(end: int) -> Tensor:
        return torch.randint(end, (n, 1, 1), generator=generator)

    along, mirrored = torch.arange(size), below(2).bool()
    which, top, left = below(len(images)), below(height - size + 1), below(width - size + 1)
    columns = left + torch.where(mirrored, along.flip(0), along)
    return images[which, :, top + along[:, None], columns].permute(0, 3, 1, 2)

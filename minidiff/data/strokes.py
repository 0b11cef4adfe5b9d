"""Stroke paintings made from pictures: guides of which the true picture is known."""

import numpy as np
import torch
from torch import Tensor

from minidiff import _validate as check


def strokes(images: Tensor, size: int = 5, colors: int = 6) -> Tensor:
    """Returns each picture as a painter with few colours and a wide brush would leave it.

    A median filter of ``size`` x ``size`` takes away what is thin; then every pixel gets the
    nearest of ``colors`` colours, chosen for the picture by median cut. SDEdit's simulated
    strokes are made so, with 23 x 23 and six colours at 256 pixels.

    Args:
        images: (N, 3, H, W) in [-1, 1].
        size: The side of the filter, odd, >= 1.
        colors: The number of colours, 1..256.

    Returns:
        (N, 3, H, W) in [-1, 1], in steps of 1/127.5.

    Raises:
        TypeError: ``images`` is not floating point, or a number is not an int.
        ValueError: ``images`` is not (N, 3, H, W), ``size`` is even, or a number is out of range.

    Source: Meng et al. 2022 (SDEdit).
    """
    from PIL import Image, ImageFilter  # slow to import

    check.floating("images", images)
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images: expected shape (N, 3, H, W), got {check.describe(images)}")
    check.integer("size", size, 1)
    check.integer("colors", colors, 1, 256)
    if size % 2 == 0:
        raise ValueError(f"size: expected an odd number, got {size}")
    bytes_ = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    painted = [
        Image.fromarray(pixels.cpu().numpy())
        .filter(ImageFilter.MedianFilter(size))
        .quantize(colors)
        .convert("RGB")
        for pixels in bytes_
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in painted]))
    return (pixels.permute(0, 3, 1, 2).to(images) / 127.5 - 1).contiguous()

"""Scikit-learn's handwritten digits: 1,797 real scans of 8x8 pixels, shipped with the library."""

from typing import NamedTuple

import torch
from torch import Tensor

_TRAIN = 1500


class Digits(NamedTuple):
    """The digits, split once for the whole book.

    Attributes:
        train: (1500, 1, 8, 8) float32 in [-1, 1]; -1 is paper, 1 is ink.
        train_labels: (1500,) int64 in 0..9.
        test: (297, 1, 8, 8) float32 in [-1, 1].
        test_labels: (297,) int64 in 0..9.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def digits() -> Digits:
    """Returns the digits, their grey values 0..16 mapped to [-1, 1] as x = grey / 8 - 1.

    The split is ``torch.randperm(1797)`` of a generator seeded with 0: the first 1,500 train.

    Source: Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), the test
    part, as in ``sklearn.datasets.load_digits``.
    """
    from sklearn.datasets import load_digits  # slow to import

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).to(torch.float32)[:, None] / 8 - 1
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, test = order[:_TRAIN], order[_TRAIN:]
    return Digits(images[train], labels[train], images[test], labels[test])

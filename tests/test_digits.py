"""The digits: the scans of scikit-learn, and the split of the whole book."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from minidiff.data import digits


def test_shapes_and_ranges():
    d = digits()
    assert d.train.shape == (1500, 1, 8, 8) and d.test.shape == (297, 1, 8, 8)
    assert d.train.dtype == d.test.dtype == torch.float32
    assert d.train_labels.shape == (1500,) and d.test_labels.shape == (297,)
    assert d.train_labels.dtype == d.test_labels.dtype == torch.int64
    for x in (d.train, d.test):
        assert x.min() == -1 and x.max() == 1
        assert torch.equal(x * 8, (x * 8).round())  # 17 grey values
    assert d.train_labels.unique().tolist() == d.test_labels.unique().tolist() == list(range(10))


def test_the_split_is_the_documented_one():
    d = digits()
    pixels, labels = load_digits(return_X_y=True)  # by another road: flat, and not an attribute
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0)).numpy()
    images = torch.cat([d.train, d.test]).flatten(1).numpy()
    assert np.array_equal(images, (pixels[order] / 8 - 1).astype("float32"))
    assert np.array_equal(torch.cat([d.train_labels, d.test_labels]).numpy(), labels[order])
    # Frozen: another order, from another torch, would change every number of the book.
    assert order[:6].tolist() == [362, 1568, 1440, 1761, 815, 1792]

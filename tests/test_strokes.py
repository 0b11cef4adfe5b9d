"""Stroke paintings: few colours, nothing thin, and otherwise the picture."""

import pytest
import torch

from minidiff import data


def test_few_colours_and_nothing_thin():
    images = data.faces(8, generator=torch.Generator().manual_seed(0)).images
    for colors in (2, 6):
        painted = data.strokes(images, colors=colors)
        assert painted.shape == images.shape and painted.dtype == images.dtype
        for picture in painted:
            assert len(picture.flatten(1).T.unique(dim=0)) <= colors
    assert (painted - images).square().mean() < 0.3 * images.var()
    lined = torch.zeros(1, 3, 16, 16)
    lined[..., 8] = 1.0  # one pixel wide
    assert data.strokes(lined).unique().numel() == 1
    wide = -torch.ones(1, 3, 16, 16)
    wide[..., 8:] = 1.0  # an edge stays where it is
    assert data.strokes(wide).equal(wide)


def test_one_pixel_and_many_colours_leave_almost_everything():
    ramp = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    assert (data.strokes(ramp, 1, 256) - ramp).abs().max() <= 1 / 127.5


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"images": torch.zeros(3, 8, 8)}, ValueError, r"images: expected shape \(N, 3, H, W\)"),
        ({"images": torch.zeros(2, 1, 8, 8)}, ValueError, "images: expected shape"),
        ({"images": torch.zeros(2, 3, 8, 8).int()}, TypeError, "images: expected a floating"),
        ({"size": 4}, ValueError, "size: expected an odd number, got 4"),
        ({"size": 2.0}, TypeError, "size: expected an int"),
        ({"colors": 0}, ValueError, "colors: expected an int in 1..256"),
    ],
)
def test_bad_input(change, error, words):
    with pytest.raises(error, match=words):
        data.strokes(**{"images": torch.zeros(2, 3, 8, 8)} | change)

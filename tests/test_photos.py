"""The two photographs and their patches."""

import pytest
import torch

from minidiff.data import patches, photos


def test_there_are_two_photographs():
    images = photos()
    assert images.shape == (2, 3, 427, 640) and images.dtype == torch.float32
    assert images.min() == -1 and images.max() == 1
    # The sky over the temple is blue; the flower is red on green.
    sky = images[0, :, 5, 5]
    assert sky[2] > sky[0]


def test_a_patch_is_a_square_of_the_photograph_or_its_mirror_image():
    at = torch.arange(3 * 7 * 9, dtype=torch.float64).view(3, 1, 7, 9)  # a pixel tells its place
    cut = patches(at, 3000, 4, generator=torch.Generator().manual_seed(0))
    assert cut.shape == (3000, 1, 4, 4)
    mirrored = cut[:, 0, 0, 1] < cut[:, 0, 0, 0]
    upright = torch.where(mirrored[:, None, None, None], cut.flip(3), cut)
    corner = upright[:, 0, 0, 0].long()
    which, top, left = corner // 63, corner % 63 // 9, corner % 9
    assert upright.equal(
        torch.stack(
            [at[w, :, i : i + 4, j : j + 4] for w, i, j in zip(which, top, left, strict=True)]
        )
    )
    places = (which * 4 + top) * 6 + left
    counts = places.bincount(minlength=72)
    assert len(counts) == 72 and counts.min() > 15 and counts.max() < 75  # 3000 / 72 = 42
    assert abs(mirrored.double().mean() - 0.5) < 0.05


def test_patches_come_from_the_generator_or_else_from_torch():
    images = torch.rand(1, 2, 6, 6)
    one, same = (patches(images, 5, 2, generator=torch.Generator().manual_seed(1)) for _ in "12")
    assert one.equal(same)
    torch.manual_seed(1)
    assert patches(images, 5, 2).equal(one)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: patches(torch.zeros(3, 6, 6), 1), ValueError, r"expected shape \(N, C, H, W\)"),
        (lambda: patches(torch.zeros(1, 1, 6, 6).int(), 1), TypeError, "images"),
        (lambda: patches(torch.zeros(1, 1, 6, 9), 1, 7), ValueError, "size: .* in 1..6, got 7"),
        (lambda: patches(torch.zeros(1, 1, 6, 6), 0, 3), ValueError, "n: expected an int >= 1"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()

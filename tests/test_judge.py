"""The judge: one answer for every attribute, all of them linear in its features."""

import pytest
import torch

from minidiff.nets import Judge


def test_answers_are_linear_in_the_features():
    torch.manual_seed(0)
    judge = Judge({"hat": 2, "skin": 5}, ["smile"], channels=1, size=16, width=8, features=7)
    x = torch.randn(3, 1, 16, 16)
    seen, answers = judge.features(x), judge(x)
    assert seen.shape == (3, 7)
    assert {name: tuple(a.shape) for name, a in answers.items()} == {
        "hat": (3, 2),
        "skin": (3, 5),
        "smile": (3,),
    }
    joined = torch.cat([answers["hat"], answers["skin"], answers["smile"][:, None]], dim=1)
    matrix = torch.cat([judge.heads[name].weight for name in ("hat", "skin", "smile")])
    bias = torch.cat([judge.heads[name].bias for name in ("hat", "skin", "smile")])
    assert torch.allclose(joined, seen @ matrix.T + bias, atol=1e-6)


def test_each_picture_is_judged_alone_and_every_pixel_counts():
    torch.manual_seed(0)
    judge = Judge({"hat": 2}, size=16, width=8).double()
    x = torch.randn(2, 3, 16, 16).double().requires_grad_()
    judge(x)["hat"][0, 0].backward()
    assert (x.grad[0] != 0).all() and (x.grad[1] == 0).all()
    assert torch.allclose(judge(x)["hat"][1:], judge(x[1:])["hat"], atol=1e-12)


X = torch.zeros(2, 3, 32, 32)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X[:, :1], ValueError, "x: expected shape (B, 3, 32, 32), got a tensor of shape (2, 1,"),
        (X[0], ValueError, "x: expected shape (B, 3, 32, 32), got a tensor of shape (3, 32, 32)"),
        (X[..., :16], ValueError, "x: expected shape (B, 3, 32, 32)"),
        (X.double(), TypeError, "x: expected the dtype of the network, torch.float32"),
        (X.long(), TypeError, "x: expected a floating-point tensor"),
    ],
)
def test_refuses_other_pictures(x, error, message):
    judge = Judge({"hat": 2}, width=8)
    for ask in (judge, judge.features):
        with pytest.raises(error) as info:
            ask(x)
        assert message in str(info.value)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"channels": 0}, ValueError, "channels: expected an int >= 1, got 0"),
        ({"features": 0}, ValueError, "features: expected an int >= 1, got 0"),
        ({"size": 4}, ValueError, "size: expected an int >= 8, got 4"),
        ({"size": 20}, ValueError, "size: expected a multiple of 8, got 20"),
        ({"width": 12}, ValueError, "width: expected a multiple of 8, got 12"),
        ({"width": 8.0}, TypeError, "width: expected an int, got 8.0 (float)"),
        ({"categories": {"hat": 1}}, ValueError, "categories['hat']: expected an int >= 2, got 1"),
        (
            {"categories": {}},
            ValueError,
            "categories, numbers: expected at least one attribute, got none",
        ),
    ],
)
def test_refuses_bad_sizes(given, error, message):
    with pytest.raises(error) as info:
        Judge(**{"categories": {"hat": 2}} | given)
    assert str(info.value) == message

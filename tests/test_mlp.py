"""The network for points, and the embedding that both networks share."""

import math

import pytest
import torch

from minidiff.nets import MLP
from minidiff.nets.embedding import LevelEmbedding


def stirred(net, seed=0):
    """The network with every parameter random: as built it answers 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    return net


def test_answers_zero_before_training():
    x = torch.randn(5, 3)
    out = MLP(dim=3, width=16, depth=2)(x, torch.rand(5))
    assert out.shape == x.shape and out.dtype == x.dtype
    assert (out == 0).all()


def test_every_parameter_and_input_matters():
    net = stirred(MLP(dim=2, width=16, depth=2))
    x, level = torch.randn(4, 2, requires_grad=True), torch.rand(4, requires_grad=True)
    out = net(x, level)
    out.square().sum().backward()
    for tensor in (x, level, *net.parameters()):
        assert tensor.grad is not None and (tensor.grad != 0).any()
    assert torch.allclose(net(x[2:3], level[2:3]), out[2:3], atol=1e-5)  # samples stay apart


def test_a_label_is_told_and_minus_one_tells_nothing():
    net = stirred(MLP(width=16, depth=2, classes=3))
    x, level = torch.randn(1, 2).expand(4, 2), torch.full((4,), 0.7)
    out = net(x, level, label=torch.tensor([-1, 0, 1, 2]))
    assert torch.pdist(out).min() > 1e-3  # each its own answer
    assert torch.allclose(net(x, level), out[:1].expand(4, 2))
    assert torch.equal(net(x, level, label=None), net(x, level))
    out.square().sum().backward()
    assert (net.label.weight.grad != 0).any(1).all() and len(net.label.weight) == 4


def test_classes_leave_the_other_networks_alone():
    torch.manual_seed(0)
    plain = MLP(width=8)
    torch.manual_seed(0)
    assert torch.equal(MLP(width=8, classes=None).output.weight, plain.output.weight)
    assert not [name for name in plain.state_dict() if "label" in name]
    labelled = MLP(width=8, classes=2).state_dict()
    assert labelled.keys() - plain.state_dict().keys() == {"label.weight"}


@pytest.mark.parametrize(
    ("classes", "label", "error", "message"),
    [
        (None, torch.zeros(4).long(), ValueError, "label: expected none, the network has no cla"),
        (3, torch.tensor([0, 1, 2, 3]), ValueError, "label: expected entries in -1..2, got 0..3"),
        (3, torch.tensor([0, 1, 2, -2]), ValueError, "label: expected entries in -1..2"),
        (3, torch.zeros(4), TypeError, "label: expected an int64 tensor of shape (B,)"),
        (3, torch.zeros(3).long(), ValueError, "label: expected one entry for each of the batch"),
    ],
)
def test_refuses_bad_labels(classes, label, error, message):
    with pytest.raises(error) as info:
        MLP(classes=classes)(torch.zeros(4, 2), torch.zeros(4), label=label)
    assert message in str(info.value)


def test_depth_is_counted():
    assert len(MLP(depth=5).layers) == 5


def test_levels_are_sines_and_cosines_of_the_angle():
    net = LevelEmbedding(8)
    net.layers = torch.nn.Identity()
    level = torch.tensor([0.0, 0.01, 0.02, 1.0, math.pi / 2])
    features = net(level)
    assert features.shape == (5, 32)
    assert (features[0, :16] == 0).all() and (features[0, 16:] == 1).all()
    k = torch.arange(16) / 15
    assert torch.allclose(features[:, :16], (level[:, None] * 100**k).sin(), atol=1e-4)
    assert torch.allclose(features.square().sum(1), torch.full((5,), 16.0))
    # Neighbouring levels of a fine schedule are told apart; the slowest sine orders all levels.
    assert (features[1] - features[2]).norm() > 1
    assert (features[:, 0].diff() > 0).all()


def test_the_answer_is_pinned():
    net = stirred(MLP(dim=3, width=16, depth=2).double())
    out = net((torch.arange(12).double() / 5).cos().view(4, 3), torch.linspace(0, 1.5, 4).double())
    assert (out.flatten() * torch.arange(12).cos()).sum().item() == pytest.approx(
        -0.174445, abs=1e-4
    )


def test_is_at_home_in_float64():
    net = stirred(MLP(width=8)).double()
    assert net(torch.randn(2, 2).double(), torch.rand(2).double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("x", "level", "error", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4), ValueError, "x: expected shape (B, 2), got a tensor"),
        (torch.zeros(2), torch.zeros(2), ValueError, "x: expected shape (B, 2), got a tensor"),
        (torch.zeros(4, 2).long(), torch.zeros(4), TypeError, "x: expected a floating-point"),
        (
            torch.zeros(4, 2).double(),
            torch.zeros(4),
            TypeError,
            "x: expected the dtype of the net",
        ),
        (torch.zeros(4, 2), torch.zeros(4).double(), TypeError, "level: expected the dtype of x"),
        (torch.zeros(4, 2), torch.zeros(3), ValueError, "level: expected shape (4,), one level"),
        (torch.zeros(4, 2), torch.zeros(4, 1), ValueError, "level: expected shape (4,)"),
        (torch.zeros(4, 2), torch.arange(4), TypeError, "level: expected a floating-point"),
        (torch.zeros(4, 2), 0.5, TypeError, "level: expected a floating-point tensor, got 0.5"),
    ],
)
def test_refuses_bad_input(x, level, error, message):
    with pytest.raises(error) as info:
        MLP()(x, level)
    assert message in str(info.value)


def test_refuses_bad_sizes():
    for name in ("dim", "width", "depth", "classes"):
        with pytest.raises(ValueError) as info:
            MLP(**{name: 0})
        assert str(info.value) == f"{name}: expected an int >= 1, got 0"

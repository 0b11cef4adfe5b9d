"""Updates of low rank: what they change, what they leave, and what they cost."""

import copy

import pytest
import torch
from torch import nn

from minidiff.nets import LowRank, UNet


def below():
    torch.manual_seed(0)
    net = UNet(channels=1, width=16, mults=(1, 1))
    for x in net.parameters():
        nn.init.normal_(x, std=0.1)
    return net


X, LEVEL = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 1.2])


@pytest.mark.equation("eq-clip-rank")
def test_begins_as_the_network_below_and_leaves_it_alone():
    net = below()
    before = copy.deepcopy(net.state_dict())
    update = LowRank(net, 2)
    assert torch.equal(update(X, LEVEL), net(X, LEVEL))
    update(X, LEVEL).square().sum().backward()
    assert all(x.grad is None for x in net.parameters())
    assert any((x.grad != 0).any() for x in update.b.values())
    for x in update.b.values():
        nn.init.normal_(x)
    assert not torch.allclose(update(X, LEVEL), net(X, LEVEL), atol=1e-2)
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())


@pytest.mark.equation("eq-clip-rank")
def test_is_the_network_with_each_weight_changed_by_a_matrix_of_that_rank():
    net, rank = below(), 2
    update = LowRank(net, rank)
    for x in update.b.values():
        nn.init.normal_(x)
    other = copy.deepcopy(net)
    changed = 0
    for name, weight in other.named_parameters():
        if weight.ndim < 2:
            continue
        a, b = update.a[name.replace(".", "/")], update.b[name.replace(".", "/")]
        change = torch.zeros(len(weight), weight[0].numel())
        for k in range(rank):  # a sum of outer products
            change += b[:, k].outer(a[k]).detach()
        assert torch.linalg.matrix_rank(change) == min(rank, *change.shape)
        weight.data += change.view_as(weight)
        changed += 1
    assert changed == len(update.a)
    assert torch.allclose(update(X, LEVEL), other(X, LEVEL), atol=1e-5)


def test_stores_the_update_alone():
    net, update = below(), LowRank(below(), 2)
    assert not set(net.state_dict()) & set(update.state_dict())
    assert {len(x) for x in update.a.values()} == {2}


def test_refuses_what_has_no_rank():
    with pytest.raises(ValueError, match="rank: expected an int >= 1, got 0"):
        LowRank(below(), 0)
    with pytest.raises(TypeError, match="rank: expected an int"):
        LowRank(below(), 2.0)
    with pytest.raises(ValueError, match="net: expected one with weight matrices, got SiLU"):
        LowRank(nn.SiLU())

"""The U-Net: any size, every condition, nothing at first."""

import pytest
import torch
from test_mlp import stirred

from minidiff.nets import UNet

SIZES = [(4, 4), (5, 7), (7, 7), (15, 15), (27, 27), (28, 28), (30, 4), (32, 9), (8, 31)]


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mults", [(1,), (1, 2), (1, 2, 1, 1)])
def test_any_size(size, mults):
    net = stirred(UNet(channels=2, width=16, mults=mults))
    x = images(1, 2, *size)
    with torch.no_grad():
        out = net(x, torch.tensor([0.3]))
    assert out.shape == x.shape
    assert out.isfinite().all() and (out != 0).any()


def test_answers_zero_before_training():
    net = UNet(channels=3, width=16, classes=4, image_channels=2)
    x, level = images(2, 3, 8, 8), torch.tensor([0.1, 1.5])
    out = net(x, level, label=torch.tensor([0, 3]), image=images(2, 2, 8, 8))
    assert (out == 0).all()
    # Every branch does: the blocks pass on what they are given, even where the end speaks.
    torch.nn.init.ones_(net.output.weight)
    still = net(x, torch.zeros(2), label=torch.tensor([1, -1]), image=images(2, 2, 8, 8))
    again = net(x, torch.ones(2), label=torch.tensor([2, 2]), image=images(2, 2, 8, 8))
    assert torch.equal(still, again) and (still != 0).any()


def test_every_parameter_and_input_matters():
    net = stirred(UNet(channels=1, width=16, mults=(1, 2), classes=3, image_channels=2))
    x, level = images(3, 1, 6, 5).requires_grad_(), torch.rand(3).requires_grad_()
    image = images(3, 2, 6, 5, seed=1).requires_grad_()
    image_level = torch.rand(3).requires_grad_()
    label = torch.tensor([-1, 0, 2])
    out = net(x, level, label=label, image=image, image_level=image_level)
    out.square().sum().backward()
    for tensor in (x, level, image, image_level, *net.parameters()):
        assert tensor.grad is not None and (tensor.grad != 0).any()
    # Rows of labels that nobody named are left alone: the null label is the first.
    assert (net.label.weight.grad != 0).any(1).tolist() == [True, True, False, True]
    alone = net(
        x[1:2], level[1:2], label=label[1:2], image=image[1:2], image_level=image_level[1:2]
    )
    assert torch.allclose(alone, out[1:2], atol=1e-4)  # samples stay apart


def test_what_is_not_said():
    net = stirred(UNet(width=16, classes=3, image_channels=1))
    x, level, image = images(2, 1, 8, 8), torch.rand(2), images(2, 1, 8, 8, seed=1)
    out = net(x, level, image=image)
    null = torch.tensor([-1, -1])
    assert torch.equal(out, net(x, level, image=image, label=null))
    assert torch.equal(out, net(x, level, image=image, image_level=torch.zeros(2)))
    assert not torch.equal(out, net(x, level, image=image, label=torch.tensor([0, 0])))
    assert not torch.equal(out, net(x, level, image=image, image_level=torch.ones(2)))
    assert not torch.equal(out, net(x, level, image=-image))


def test_every_pixel_sees_every_other():
    net = stirred(UNet(width=16, mults=(1, 1)))
    x = images(1, 1, 32, 32).requires_grad_()
    net(x, torch.tensor([0.5]))[0, 0, 0, 0].backward()
    assert (x.grad[0, 0, -1, -1] != 0).all()


def test_attention_is_over_pixels():
    attend = stirred(UNet(width=16, mults=(1, 2))).attention[0]
    x = images(2, 32, 4, 4).requires_grad_()
    out = attend(x)
    (out - x)[0, :, 0, 0].sum().backward()
    assert (x.grad[0] != 0).all() and (x.grad[1] == 0).all()  # every pixel, of its own image
    # Pixels that change places take their answers along.
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    moved = attend(x.flatten(2)[..., order].view_as(x))
    assert torch.allclose(moved, out.flatten(2)[..., order].view_as(x), atol=1e-5)
    # All pixels twice change no average over pixels; a product over pixels would double.
    assert torch.allclose(attend(x.repeat(1, 1, 1, 2)), out.repeat(1, 1, 1, 2), atol=1e-5)


def test_the_answer_is_pinned():
    net = stirred(UNet(2, 16, (1, 2), classes=3, image_channels=1).double())
    x, image = ((torch.arange(n).double() / 5).cos().view(2, -1, 5, 6) for n in (120, 60))
    level, image_level = torch.tensor([[0.2, 1.4], [0.0, 0.7]]).double()
    label = torch.tensor([-1, 2])
    out = net(x, level, label=label, image=image, image_level=image_level)
    assert (out.flatten() * torch.arange(120).cos()).sum().item() == pytest.approx(
        2.720993, abs=1e-4
    )


def test_patches_are_blocks_of_pixels():
    # Channel 4 c + 2 i + j of a patch network's core is channel c of pixel (2 y + i, 2 x + j).
    whole, core = UNet(2, 16, (1, 2), patch=2), UNet(8, 16, (1, 2))
    core.load_state_dict(stirred(whole).state_dict())
    x, level = torch.randn(2, 2, 8, 12), torch.tensor([0.3, 1.2])
    blocks = torch.stack(
        [x[:, c, i::2, j::2] for c in range(2) for i in range(2) for j in range(2)], dim=1
    )
    answer, out = core(blocks, level), whole(x, level)
    assert out.shape == x.shape and (answer != 0).all()
    for c, i, j in ((0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 1)):
        assert torch.allclose(out[:, c, i::2, j::2], answer[:, 4 * c + 2 * i + j], atol=1e-6)
    image = torch.randn(2, 1, 8, 8)
    conditional = stirred(UNet(2, 16, (1,), patch=2, image_channels=1))
    told = conditional(x[..., :8], level, image=image)
    assert told.shape == (2, 2, 8, 8)
    assert not torch.allclose(told, conditional(x[..., :8], level, image=-image))


def test_autocast_leaves_normalisation_and_attention_in_full_precision():
    net = stirred(UNet(1, 16, (1, 2)))
    x, level = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 1.2])
    seen = []
    parts = [m for m in net.modules() if isinstance(m, (torch.nn.GroupNorm, torch.nn.Conv2d))]
    for part in parts:
        part.register_forward_hook(lambda part, given, out: seen.append((type(part), out.dtype)))
    net.attention[0].out.register_forward_pre_hook(
        lambda _, given: seen.append(("attention", given[0].dtype))
    )
    with torch.autocast("cpu", torch.bfloat16):
        out = net(x, level)
    assert {dtype for kind, dtype in seen if kind is torch.nn.Conv2d} == {torch.bfloat16}
    norms = {dtype for kind, dtype in seen if kind is not torch.nn.Conv2d}
    assert norms == {torch.float32}
    assert torch.allclose(out.float(), net(x, level), atol=0.05)


X, LEVEL, LABEL = torch.zeros(2, 1, 8, 8), torch.zeros(2), torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("net", "given", "error", "message"),
    [
        ({}, {"x": X[:, 0]}, ValueError, "x: expected shape (B, 1, H, W) with H, W >= 4, got a"),
        ({}, {"x": X.expand(2, 3, 8, 8)}, ValueError, "x: expected shape (B, 1, H, W)"),
        ({}, {"x": X[..., :3]}, ValueError, "got a tensor of shape (2, 1, 8, 3)"),
        ({}, {"x": X.long()}, TypeError, "x: expected a floating-point tensor"),
        ({"patch": 3}, {"x": X}, ValueError, "with H, W >= 12, multiples of 3, got a"),
        ({"patch": 2}, {"x": X[..., :7, :]}, ValueError, "with H, W >= 8, multiples of 2, got a"),
        ({}, {"level": LEVEL[:1]}, ValueError, "level: expected shape (2,), one level a sample"),
        ({}, {"level": LABEL}, TypeError, "level: expected a floating-point tensor"),
        ({}, {"label": LABEL}, ValueError, "label: expected none"),
        ({"classes": 3}, {"label": LABEL + 3}, ValueError, "label: expected entries in -1..2"),
        ({"classes": 3}, {"label": LABEL - 2}, ValueError, "label: expected entries in -1..2"),
        (
            {"classes": 3},
            {"label": LABEL[:1]},
            ValueError,
            "label: expected one entry for each of",
        ),
        ({"classes": 3}, {"label": LEVEL}, TypeError, "label: expected an int64 tensor of shape"),
        ({"classes": 3}, {"label": 1}, TypeError, "label: expected an int64 tensor of shape (B,)"),
        ({"classes": 3}, {"label": LABEL.int()}, TypeError, "label: expected an int64 tensor"),
        ({}, {"x": X.double()}, TypeError, "x: expected the dtype of the network, torch.float32"),
        (
            {},
            {"level": LEVEL.double()},
            TypeError,
            "level: expected the dtype of x, torch.float32",
        ),
        ({"image_channels": 1}, {"image": X.half()}, TypeError, "image: expected the dtype of x"),
        (
            {"image_channels": 1},
            {"image": X, "image_level": LEVEL.half()},
            TypeError,
            "image_level: expected the dtype of x",
        ),
        ({}, {"image": X}, ValueError, "image: expected none"),
        ({}, {"image_level": LEVEL}, ValueError, "image: expected none"),
        ({"image_channels": 1}, {}, ValueError, "image: expected shape (2, 1, 8, 8), got None"),
        ({"image_channels": 2}, {"image": X}, ValueError, "image: expected shape (2, 2, 8, 8)"),
        ({"image_channels": 1}, {"image": X.long()}, TypeError, "image: expected a floating"),
        (
            {"image_channels": 1},
            {"image": X, "image_level": LEVEL[:1]},
            ValueError,
            "image_level: expected shape (2,)",
        ),
    ],
)
def test_refuses_bad_input(net, given, error, message):
    with pytest.raises(error) as info:
        UNet(width=16, **net)(**{"x": X, "level": LEVEL} | given)
    assert message in str(info.value)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"channels": 0}, "channels: expected an int >= 1, got 0"),
        ({"width": 8}, "width: expected an int >= 16, got 8"),
        ({"width": 20}, "width: expected a multiple of 8, got 20"),
        ({"mults": ()}, "mults: expected at least one multiple, got none"),
        ({"mults": (1, 0)}, "mults: expected an int >= 1, got 0"),
        ({"classes": 0}, "classes: expected an int >= 1, got 0"),
        ({"image_channels": -1}, "image_channels: expected an int >= 0, got -1"),
        ({"patch": 0}, "patch: expected an int >= 1, got 0"),
    ],
)
def test_refuses_bad_sizes(sizes, message):
    with pytest.raises(ValueError) as info:
        UNet(**sizes)
    assert str(info.value) == message

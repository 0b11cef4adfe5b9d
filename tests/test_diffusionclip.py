"""DiffusionCLIP: the losses by their limits, the walk by exact models, a short training."""

import dataclasses
import functools
import math

import pytest
import torch
from torch import nn

from minidiff import data, evaluate, recipes, zoo
from minidiff.apps import diffusionclip as dc
from minidiff.data.faces import WORDS
from minidiff.forward import eps_fn
from minidiff.nets import Clip, LowRank
from minidiff.sampling import invert, last, sample
from minidiff.schedule import cosine_schedule

F64 = torch.float64
S = cosine_schedule(1000)


class Linear:
    """A CLIP of which everything is known: pictures through a matrix, sentences by a table."""

    def __init__(self, matrix, **said):
        self.matrix, self.said = matrix, said

    def encode_image(self, x):
        return x.flatten(1) @ self.matrix

    def encode_text(self, captions):
        return torch.stack([torch.tensor(self.said[c], dtype=F64) for c in captions])


PLANE = Linear(
    torch.eye(12, 2, dtype=F64),
    here=[0.0, 1.0],
    there=[3.0, 5.0],
    near=[0.003, 1.004],
    beyond=[6.0, 9.0],
    up=[0.0, 2.0],
)
X = torch.randn(4, 3, 2, 2, dtype=F64, generator=torch.Generator().manual_seed(0))


@pytest.mark.equation("eq-clip-direction")
def test_the_direction_is_the_unit_vector_between_means():
    for target in (["there"], ["near"], ["beyond"], ["there", "beyond"]):
        got = dc.direction(PLANE, ["here"], target)
        assert torch.allclose(got, torch.tensor([0.6, 0.8], dtype=F64), atol=1e-15)
    # here, there: mean (1.5, 3); to up: (-1.5, -1).
    got = dc.direction(PLANE, ["here", "there"], ["up"])
    assert torch.allclose(got, -torch.tensor([1.5, 1.0], dtype=F64) / math.hypot(1.5, 1))
    with pytest.raises(ValueError, match=r"target: expected another meaning than \['here'\]"):
        dc.direction(PLANE, ["here"], ["here"])


def moved(x, dx, dy):
    change = torch.zeros(12, dtype=F64)
    change[0], change[1], change[2:] = dx, dy, 7.0  # the last ten are nothing to PLANE
    return x + change.view(3, 2, 2)


@pytest.mark.equation("eq-clip-cosine", "eq-clip-loss")
@pytest.mark.parametrize(
    ("change", "cos"), [((3, 4), 1), ((-4, 3), 0), ((-3, -4), -1), ((1, 0), 0.6), ((0, -1), -0.8)]
)
def test_the_loss_sees_the_angle_and_nothing_else(change, cos):
    toward = dc.direction(PLANE, ["here"], ["there"])
    for length in (1e-3, 1.0, 50.0):  # invariant to the length of the step
        x = moved(X, length * change[0], length * change[1])
        got = dc.alignment(PLANE, x, X, toward)
        assert torch.allclose(got, torch.full((4,), float(cos), dtype=F64), atol=1e-9)
        want = {1: 0.0, 0: math.log(2), -1: -math.log(1e-6), 0.6: math.log(1.25)}
        want[-0.8] = math.log(10)
        assert (dc.directional_loss(got) - want[cos]).abs().max() < 1e-6


def test_no_gradient_flows_through_the_source():
    source, x = X.clone().requires_grad_(), moved(X, 1, 2).requires_grad_()
    dc.alignment(PLANE, x, source, dc.direction(PLANE, ["here"], ["there"])).sum().backward()
    assert source.grad is None and x.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="source: expected the shape of x"):
        dc.alignment(PLANE, x, source[:2], torch.ones(2, dtype=F64))
    with pytest.raises(ValueError, match=r"toward: expected shape \(2,\), got a tensor of shape"):
        dc.alignment(PLANE, x, source, torch.ones(3, dtype=F64))
    with pytest.raises(TypeError, match="cos: expected a floating-point tensor"):
        dc.directional_loss(torch.tensor([1]))


@pytest.mark.equation("eq-clip-global")
def test_free_pixels_convince_the_clip_and_not_the_judge():
    clip, judge = zoo.load("face-clip").requires_grad_(False), zoo.load("face-attributes")
    x = data.faces(12, generator=torch.Generator().manual_seed(5), glasses=False).images
    free, wanted = x.clone().requires_grad_(), clip.encode_text(["a person with glasses"])[0]
    optimiser, losses = torch.optim.Adam([free], lr=0.01), []
    for _ in range(150):
        seen = clip.encode_image(free)
        loss = 1 - seen @ wanted
        # Of unit vectors: half the squared distance.
        assert torch.allclose(loss, (seen - wanted).square().sum(1) / 2, atol=1e-5)
        losses.append(loss.mean().item())
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]
    fooled = free.detach().clamp(-1, 1)
    assert (evaluate.named(clip, fooled, "glasses") == 1).all()
    assert (evaluate.verdict(judge, fooled)[0]["glasses"] == 1).float().mean() <= 0.5


@pytest.mark.equation("eq-clip-pmi")
def test_the_contrastive_loss_is_least_at_the_log_ratio():
    # Three pictures, three captions, batches of two: every batch is written out.
    joint = torch.tensor([[0.2, 0.05, 0.1], [0.05, 0.25, 0.05], [0.1, 0.05, 0.15]], dtype=F64)
    rows, columns = joint.sum(1), joint.sum(0)

    def loss(scores):  # the side that looks for the caption of a picture
        total = torch.zeros((), dtype=F64)
        for i in range(3):
            for j in range(3):
                for k in range(3):  # the other caption of the batch
                    pair = torch.stack([scores[i, j], scores[i, k]])
                    total = total - joint[i, j] * columns[k] * pair.log_softmax(0)[0]
        return total

    ratio = (joint / rows[:, None] / columns).log()
    for shift in (torch.zeros(3, 1, dtype=F64), torch.randn(3, 1, dtype=F64)):
        best = (ratio + shift).requires_grad_()  # each picture's scores up to a constant
        loss(best).backward()
        assert best.grad.abs().max() < 1e-15
    torch.manual_seed(0)
    for _ in range(20):
        assert loss(ratio + 0.3 * torch.randn(3, 3, dtype=F64)) > loss(ratio)
    off = (joint / rows[:, None]).log().requires_grad_()  # log p(c | x), without p(c)
    loss(off).backward()
    assert off.grad.abs().max() > 1e-3


def gaussian(m, c, schedule):
    def predict(x, t):
        a, b = schedule.coefs(int(t[0]), x)
        return b * (x - a * m) / (a**2 * c**2 + b**2)

    return predict


@pytest.mark.equation("eq-clip-edit")
def test_between_gaussians_the_edit_is_the_map_that_moves_one_onto_the_other():
    # Both walks together are x -> m' + (c'/c) (x - m) where no signal is left at the top.
    before, after = gaussian(0.3, 0.5, S), gaussian(-0.4, 0.8, S)
    x = torch.linspace(-1, 1, 9, dtype=F64)[:, None]
    want, errors = -0.4 + 1.6 * (x - 0.3), []
    for n in (125, 250, 500, 1000):
        got = dc.edit(before, after, x, S, S.grid(n))
        errors.append((got - want).abs().max().item())
    assert errors[-1] < 0.01
    assert all(1.8 < a / b < 2.2 for a, b in zip(errors, errors[1:], strict=False))  # first order


@pytest.mark.equation("eq-clip-error")
def test_the_round_trip_is_of_first_order_and_worse_from_higher_up():
    predict = gaussian(0.0, 0.5, S)
    x = torch.ones(1, 1, dtype=F64)
    errors = {
        (t0, n): (dc.edit(predict, predict, x, S, S.grid(n, start=t0)) - x).abs().item()
        for t0 in (320, 640, 960)
        for n in (20, 40, 80, 160)
    }
    for t0 in (320, 640, 960):
        some = [errors[t0, n] for n in (20, 40, 80, 160)]
        assert all(1.8 < a / b < 2.2 for a, b in zip(some, some[1:], strict=False))
    assert errors[320, 40] < errors[640, 40] < errors[960, 40]


@pytest.mark.equation("eq-clip-error")
@pytest.mark.slow
def test_the_round_trip_of_faces_loses_most_at_the_bottom():
    predict, fine = eps_fn(zoo.load("faces"), S), cosine_schedule(100_000)
    x = data.faces(4, generator=torch.Generator().manual_seed(1)).images

    def error(predict, grid, schedule):
        return (dc.edit(predict, predict, x, schedule, grid) - x).square().mean().item()

    even = [error(predict, S.grid(n, start=640), S) for n in (20, 40, 80, 160)]
    assert all(a > 2.2 * b for a, b in zip(even, even[1:], strict=False))
    grown = [error(predict, S.grid(40, start=t0), S) for t0 in (320, 640, 960)]
    assert grown[0] < grown[1] < grown[2]
    # With short steps where there is little noise, the order of the method shows.
    predict, square = eps_fn(zoo.load("faces"), fine), []
    for n in (20, 40, 80):
        grid = [round(64_000 * (i / n) ** 2) for i in range(n, -1, -1)]
        square.append(error(predict, grid, fine))
    assert all(a > 3.5 * b for a, b in zip(square, square[1:], strict=False))
    assert all(a > 4 * b for a, b in zip(even, square, strict=False))


@pytest.mark.equation("eq-clip-mix")
def test_equal_models_mix_to_themselves_and_weights_must_sum_to_one():
    one, other = gaussian(0.3, 0.5, S), gaussian(-0.4, 0.8, S)
    x, t = torch.randn(5, 2, dtype=F64), torch.full((5,), 400)
    assert torch.allclose(dc.mix((0.3, one), (0.9, one), (-0.2, one))(x, t), one(x, t), atol=1e-14)
    half = dc.mix((0.5, one), (0.5, other))(x, t)
    assert torch.allclose(half - one(x, t), other(x, t) - half, atol=1e-14)
    for weights in ((0.5, 0.4), (1.0, 1.0)):
        with pytest.raises(ValueError, match="parts: expected weights that sum to 1, got"):
            dc.mix(*((w, one) for w in weights))


def test_strength_0_is_plain_reconstruction_to_the_bit_and_asks_one_network():
    def broken(x, t):
        raise AssertionError

    one, grid = gaussian(0.3, 0.5, S), S.grid(20, start=640)
    x = torch.randn(5, 2)
    plain = last(sample(one, last(invert(one, x, S, grid)), S, grid))
    assert torch.equal(dc.edit(one, dc.mix((1.0, one), (0.0, broken)), x, S, grid), plain)
    assert torch.equal(dc.edit(one, one, x, S, [0]), x)


SAID = (("a person with no hat",), ("a person with a hat",))


class Seen(Clip):
    """A CLIP whose pictures are encoded as the mean colour."""

    def encode_image(self, x):
        return torch.cat([x.mean((2, 3)), torch.zeros(len(x), 5)], 1)


@pytest.mark.equation("eq-clip-total")
def test_the_loss_of_an_edit_has_its_three_parts():
    torch.manual_seed(0)
    x = data.faces(2, generator=torch.Generator().manual_seed(3)).images
    faces, judge = zoo.load("faces"), zoo.load("face-identity")
    latents = last(invert(eps_fn(faces, S), x, S, S.grid(20, start=recipes.EDIT_FROM)))
    clip, net = Seen(WORDS, width=8, dim=8), LowRank(faces, 1)
    walk = sample(eps_fn(faces, S), latents, S, S.grid(6, start=recipes.EDIT_FROM))
    walked = last(walk).detach()
    away, step = (walked - x).abs().mean((1, 2, 3)), (walked - x).mean((2, 3))

    def loss(towards, **weights):
        unit = torch.cat([towards * step[0], torch.zeros(5)])
        clip.encode_text = lambda said: unit[None] * float(said == SAID[1])
        told = {"schedule": S, "used": [faces, clip, judge], "words": SAID}
        return recipes.editing(net, latents, x, **told, **{"l1": 0.0, "identity": 0.0} | weights)

    # Sentences that say, and deny, what the first picture's step is.
    angle = torch.cosine_similarity(step[1], step[0], dim=0).item()
    for towards, first in ((1.0, 0.0), (-1.0, -3 * math.log(1e-6))):
        got = loss(towards)
        assert abs(got[0].item() - first) < 1e-2
        assert abs(got[1].item() + 3 * math.log((1 + towards * angle) / 2)) < 1e-3
    assert torch.allclose(loss(1.0, l1=2.0) - loss(1.0), 2 * away, atol=1e-4)
    with torch.no_grad():
        one, other = judge.features(walked), judge.features(x)
        angles = torch.linalg.vecdot(one, other) / one.norm(dim=1) / other.norm(dim=1)
    assert torch.allclose(loss(1.0, identity=5.0) - loss(1.0), 5 - 5 * angles, atol=1e-4)
    loss(-1.0).sum().backward()
    assert any((b.grad != 0).any() for b in net.b.values())


def test_the_lean_walk_keeps_one_step_for_the_gradient():
    # What DiffusionCLIP's lean variant saves: the graph of all steps but one.
    torch.manual_seed(0)
    net = nn.Linear(2, 2)
    x = torch.randn(3, 2)
    kept = []
    for hook in (None, lambda x, s: x.detach()):
        sizes = []
        save = torch.autograd.graph.saved_tensors_hooks
        with save(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x):
            walk = sample(lambda x, t: net(x), x, S, S.grid(6), hook=hook, grad=True)
            if hook is None:
                last(walk).sum().backward()
                kept.append(sum(sizes))
            else:
                most = []
                for at in walk:
                    at.x0.sum().backward()
                    most.append(sum(sizes))
                    sizes.clear()
                kept.append(max(most))
    assert kept[1] <= kept[0] / 5


def test_an_edit_is_trained_like_any_network(monkeypatch):
    it = recipes.RECIPES["edit-glasses"]
    few = functools.partial(recipes.inverted_faces, n=2, seed=0, fixed={})
    tiny = dataclasses.replace(it, data=few, steps=2, batch=2)
    monkeypatch.setitem(zoo.RECIPES, "edit-glasses", tiny)
    seen = [progress.loss for progress in zoo.train("edit-glasses")]
    assert len(seen) == 2 and all(map(math.isfinite, seen))

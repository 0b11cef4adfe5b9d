"""What each network of the package is trained on, and how: all that a training run depends on."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from minidiff import _validate as check
from minidiff import data, ddpm
from minidiff.apps import cdm, diffusionclip, sr3
from minidiff.data.faces import CATEGORIES, STYLES, WORDS
from minidiff.forward import eps_fn, q_sample
from minidiff.nets import MLP, Clip, Judge, LowRank, UNet
from minidiff.sampling import invert, last, sample
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule


@dataclass(frozen=True)
class Recipe:
    """All that a training run depends on.

    Attributes:
        data: () -> tensors with one row for each sample: what ``loss`` takes after the network.
            It is given the networks of ``uses``.
        net: () -> the network before training. It is given the networks of ``uses``.
        loss: ``(net, *rows) -> (B,)``, the loss of each sample of a batch; it is told
            ``schedule=`` where there is one, and ``used=`` where there are some.
        steps: The number of optimiser steps.
        batch: Samples in a step, drawn with replacement.
        lr: The highest learning rate.
        ema: The decay of the average.
        seed: Of every random number of the run.
        schedule: () -> the noise schedule of a diffusion model; None for any other network.
        shape: Of what a diffusion model denoises.
        parent: The recipe of the network that this one starts from; None for a fresh start.
        stop: After which step the run ends early; None for all of them.
        uses: The recipes of trained networks that ``data``, ``net`` and ``loss`` are given.
    """

    data: Callable[..., Sequence[Tensor]]
    net: Callable[..., nn.Module]
    loss: Callable[..., Tensor]
    steps: int
    batch: int
    lr: float
    ema: float = 0.999
    seed: int = 0
    schedule: Callable[[], Schedule] | None = None
    shape: tuple[int, ...] | None = None
    parent: str | None = None
    stop: int | None = None
    uses: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Returns the recipe as JSON can hold it, a function as the call that it makes.

        ``parent``, ``stop`` and ``uses`` are there only where they are set.

        Raises:
            ValueError: A function has no name, as a lambda: nothing would tell it from another.
        """
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        said = {
            name: _call(x) if callable(x) else x
            for name, x in values
            if x not in (None, ()) or name not in ("parent", "stop", "uses")
        }
        return json.loads(json.dumps(said))  # type: ignore[no-any-return]


def _call(function: Callable[..., Any]) -> str:
    arguments = []
    if isinstance(function, functools.partial):
        arguments += [_call(x) if callable(x) else repr(x) for x in function.args]
        arguments += [f"{name}={x!r}" for name, x in function.keywords.items()]
        function = function.func
    name = getattr(function, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ValueError(f"recipe: expected a function with a name, got {function!r}")
    return f"{name}({', '.join(arguments)})"


# What to learn from. A function, not a tensor: nothing is drawn before it is asked for.


def digits_to_learn() -> tuple[Tensor]:
    """Returns the 1,500 training digits, (1500, 1, 8, 8) in [-1, 1]."""
    return (data.digits().train,)


def labelled_digits() -> tuple[Tensor, Tensor]:
    """Returns the 1,500 training digits and their labels, (1500,) int64 in 0..9."""
    return data.digits()[:2]


def points(n: int, seed: int) -> tuple[Tensor]:
    """Returns n points of ``data.eight_gaussians``, (n, 2)."""
    return (data.eight_gaussians(n, torch.Generator().manual_seed(seed)),)


def labelled_points(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns n points of each of ``TOYS``, (4n, 2), and which of them each is of, (4n,) int64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.cat([toy(n, generator) for toy in TOYS])
    return drawn, torch.arange(len(TOYS)).repeat_interleave(n)


def labelled_faces(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns n faces, (n, 3, 32, 32) in [-1, 1], and their labels, (n,) int64 in 0..7."""
    drawn = data.faces(n, generator=torch.Generator().manual_seed(seed))
    return drawn.images, drawn.attributes.label


def unlabelled_faces(n: int, seed: int) -> tuple[Tensor]:
    """Returns the images of ``labelled_faces`` alone."""
    return labelled_faces(n, seed)[:1]


def small_faces(n: int, seed: int, size: int) -> tuple[Tensor, Tensor]:
    """Returns ``labelled_faces`` brought down to ``size`` x ``size`` pixels, and their labels."""
    images, label = labelled_faces(n, seed)
    return sr3.down(images, images.shape[-1] // size), label


def photo_patches(n: int, seed: int) -> tuple[Tensor]:
    """Returns n patches of ``data.photos``, (n, 3, 32, 32), half of them mirrored.

    All lie in the left three quarters of a photograph; the rest is for testing.
    """
    photos, generator = data.photos(), torch.Generator().manual_seed(seed)
    return (data.patches(photos[..., : 3 * photos.shape[-1] // 4], n, generator=generator),)


def described_faces(n: int, seed: int) -> tuple[Tensor, ...]:
    """Returns n faces and their attributes in the order in which ``face_judge`` names them."""
    drawn = data.faces(n, generator=torch.Generator().manual_seed(seed))
    return drawn.images, *(getattr(drawn.attributes, name) for name in (*CATEGORIES, "smile"))


def styled_faces(n: int, seed: int) -> tuple[Tensor, ...]:
    """Returns n faces, a quarter in each style, as ``style_judge`` names them."""
    parts = [_in_style(style, n // 4, seed) for style in STYLES]
    truth = [torch.cat([getattr(part.attributes, name) for part in parts]) for name in CATEGORIES]
    style = torch.arange(len(STYLES)).repeat_interleave(n // 4)
    smile = torch.cat([part.attributes.smile for part in parts])
    return torch.cat([part.images for part in parts]), *truth, style, smile


def captioned_faces(n: int, seed: int, each: int = 8) -> tuple[Tensor, Tensor]:
    """Returns n faces, a quarter in each style, and the tokens of some captions of each.

    One caption alone would be learnt by heart.
    """
    parts, clip = [_in_style(style, n // 4, seed) for style in STYLES], face_clip()
    generator = torch.Generator().manual_seed(seed)
    tokens = []
    for part, style in zip(parts, STYLES, strict=True):
        lists = [data.captions(part.attributes, style, generator) for _ in range(each)]
        tokens.append(torch.stack([clip.tokens(some) for some in lists], 1))
    return torch.cat([part.images for part in parts]), torch.cat(tokens)


def inverted_faces(
    faces: nn.Module, *_: nn.Module, n: int, seed: int, fixed: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    """Returns n faces at ``EDIT_FROM``, walked up there in 40 steps by a network, and as drawn."""
    images = data.faces(n, generator=torch.Generator().manual_seed(seed), **fixed).images
    schedule = cosine_schedule(1000)
    grid = schedule.grid(40, start=EDIT_FROM)
    return last(invert(eps_fn(faces, schedule), images, schedule, grid)), images


def _in_style(style: str, n: int, seed: int) -> data.Faces:
    generator = torch.Generator().manual_seed(100 * seed + STYLES.index(style))
    return data.faces(n, style=style, generator=generator)


# What is learnt.


def velocity(
    net: nn.Module,
    x0: Tensor,
    label: Tensor | None = None,
    *,
    schedule: Schedule,
    withheld: float = 0.1,
) -> Tensor:
    """Returns the loss of a network that predicts v, the times spread evenly over the batch.

    A share of the labels is withheld (-1), so that the network can also do without.

    Raises:
        ValueError: ``withheld`` leaves 0..1, or what ``ddpm.loss`` raises.
    """
    check.number("withheld", withheld, 0, 1)
    cond: dict[str, Any] = {}
    if label is not None:
        cond = {"label": label.where(torch.rand(label.shape, device=label.device) >= withheld, -1)}
    # Stratified: every batch has its times spread evenly over 1..T, each of them uniform.
    n = len(x0)
    u = (torch.rand(1, device=x0.device) + torch.arange(n, device=x0.device) / n) % 1
    t = (u * schedule.T).long() + 1
    weight = 1 / schedule.alpha_bar  # makes the loss of eps that of v (eq-weights)
    return ddpm.loss(eps_fn(net, schedule, **cond), x0, schedule, weight=weight, t=t)


def naming(judge: Judge, images: Tensor, *truth: Tensor) -> Tensor:
    """Returns the loss of a judge: cross-entropies, and 4 times the squared errors of numbers.

    ``truth`` holds the categories in the judge's order, then the numbers.
    """
    answers, loss = judge(images), torch.zeros(len(images), device=images.device)
    for (name, answer), true in zip(answers.items(), truth, strict=True):
        if name in judge.categories:
            loss = loss + cross_entropy(answer, true, reduction="none")
        else:
            loss = loss + 4 * (answer - true).square()
    return loss


def naming_noised(judge: Judge, images: Tensor, *truth: Tensor, schedule: Schedule) -> Tensor:
    """Returns ``naming`` of noised pictures, at times uniform on 1..T."""
    t = torch.randint(1, schedule.T + 1, images.shape[:1], device=images.device)
    return naming(judge, q_sample(images, t, torch.randn_like(images), schedule), *truth)


def pairing(clip: Clip, images: Tensor, tokens: Tensor) -> Tensor:
    """Returns the contrastive loss of each pair of picture and caption. (eq-clip-contrast)

    Half the cross-entropy of finding the caption among those of the batch, and half that of
    finding the picture. Of each picture's captions, (B, captions, length), one is drawn.

    Source: Radford et al. 2021 (CLIP).
    """
    own = torch.arange(len(images), device=images.device)
    said = tokens[own, torch.randint(tokens.shape[1], own.shape, device=images.device)]
    alike = clip.encode_image(images) @ clip.encode_tokens(said).T * clip.log_scale.exp()
    one, other = (cross_entropy(x, own, reduction="none") for x in (alike, alike.T))
    return (one + other) / 2


def editing(
    net: nn.Module,
    latents: Tensor,
    images: Tensor,
    *,
    schedule: Schedule,
    used: Sequence[nn.Module],
    words: tuple[Sequence[str], Sequence[str]],
    l1: float,
    identity: float,
    steps: int = 6,
) -> Tensor:
    """Returns the loss of an edit after a short walk down from inverted pictures. (eq-clip-total)

    3 (-log((1 + cos) / 2)) + l1 mean |x - image| + identity (1 - cos'), cos that of
    ``diffusionclip.alignment`` and cos' that of the features of a judge, the third network used.

    Source: Kim et al. 2022 (DiffusionCLIP), its published code.
    """
    _, clip, judge = used
    assert isinstance(clip, Clip) and isinstance(judge, Judge)
    grid = schedule.grid(steps, start=EDIT_FROM)
    x = last(sample(eps_fn(net, schedule), latents, schedule, grid, grad=True))
    cos = diffusionclip.alignment(clip, x, images, diffusionclip.direction(clip, *words))
    away = (x - images).abs().flatten(1).mean(1)
    alike = cosine_similarity(judge.features(x), judge.features(images), dim=1)
    return 3 * diffusionclip.directional_loss(cos) + l1 * away + identity * (1 - alike)


# Networks that need more than a constructor.


def channels_last(build: Callable[[], nn.Module]) -> nn.Module:
    """Returns the network with its weights in the layout in which convolutions are fastest."""
    # mypy does not know this overload of Module.to.
    return build().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def face_judge(width: int) -> Judge:
    """Returns an untrained judge of all categorical attributes of a face, and of its smile."""
    return Judge({name: len(x) for name, x in CATEGORIES.items()}, ["smile"], width=width)


def style_judge(width: int) -> Judge:
    """Returns an untrained judge of faces in all styles: attributes, style and smile."""
    categories = {name: len(x) for name, x in CATEGORIES.items()} | {"style": len(STYLES)}
    return Judge(categories, ["smile"], width=width)


def update(net: nn.Module, *_: nn.Module, rank: int) -> LowRank:
    """Returns an untrained update of the first network, and of none of the others."""
    return LowRank(net, rank)


def face_clip() -> Clip:
    """Returns an untrained CLIP of the words of the captions."""
    return Clip(WORDS, width=24)


TOYS = (data.two_moons, data.swiss_roll, data.eight_gaussians, data.checkerboard)
EDIT_FROM = 640  # where the edits of chapter 9 start: alpha_bar = .28
S_MAX = 500  # what the stages of the cascade learn up to: alpha_bar = .49

# The network of ``faces``, with an image beside what it denoises.
TOLD_FACES = functools.partial(
    channels_last,
    functools.partial(UNet, 3, 48, (1, 2), classes=8, image_channels=3, patch=2, depth=2),
)
SR3_FACES = Recipe(
    data=functools.partial(unlabelled_faces, 24_000, seed=0),
    net=TOLD_FACES,
    loss=functools.partial(sr3.loss, factor=4, top=0.25),
    schedule=functools.partial(cosine_schedule, 1000),
    shape=(3, 32, 32),
    parent="faces",
    steps=16_000,
    batch=64,
    lr=2e-3,
)
CDM_8 = Recipe(
    data=functools.partial(small_faces, 24_000, seed=0, size=8),
    net=functools.partial(channels_last, functools.partial(UNet, 3, 48, (1, 2), classes=8)),
    loss=functools.partial(velocity, withheld=0),
    schedule=functools.partial(cosine_schedule, 1000),
    shape=(3, 8, 8),
    steps=12_000,
    batch=64,
    lr=2e-3,
)
CDM_16 = Recipe(
    data=functools.partial(small_faces, 24_000, seed=0, size=16),
    net=functools.partial(
        channels_last,
        functools.partial(UNet, 3, 48, (1, 2), classes=8, image_channels=3, patch=2),
    ),
    loss=functools.partial(cdm.loss, functools.partial(cdm.gaussian, S_MAX)),
    schedule=functools.partial(cosine_schedule, 1000),
    shape=(3, 16, 16),
    steps=12_000,
    batch=64,
    lr=2e-3,
)


def _edit(
    source: Sequence[str],
    target: Sequence[str],
    *,
    fixed: Mapping[str, Any],
    l1: float = 0.3,
    identity: float = 0.0,
    steps: int = 120,
    lr: float = 3e-3,
) -> Recipe:
    """Returns the recipe of an edit, from what one sentence says to what the other says."""
    words = tuple(source), tuple(target)
    return Recipe(
        data=functools.partial(inverted_faces, n=48, seed=7, fixed=fixed),
        net=functools.partial(update, rank=4),
        loss=functools.partial(editing, words=words, l1=l1, identity=identity),
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(3, 32, 32),
        uses=("faces", "face-clip", "face-identity"),
        steps=steps,
        batch=16,
        lr=lr,
        ema=0.9,
    )


RECIPES = {
    "eight-gaussians": Recipe(
        data=functools.partial(points, 50_000, seed=0),
        net=MLP,
        loss=velocity,
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(2,),
        steps=10_000,
        batch=256,
        lr=2e-3,
    ),
    # Small enough to run in a browser.
    "toys": Recipe(
        data=functools.partial(labelled_points, 50_000, seed=0),
        net=functools.partial(MLP, width=64, classes=4),
        loss=velocity,
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(2,),
        steps=40_000,
        batch=512,
        lr=2e-3,
    ),
    "digits": Recipe(
        data=digits_to_learn,
        net=functools.partial(UNet, channels=1, width=32, mults=(1, 1)),
        loss=velocity,
        schedule=functools.partial(linear_schedule, 200),
        shape=(1, 8, 8),
        steps=8000,
        batch=64,
        lr=2e-3,
    ),
    "digits-class": Recipe(
        data=labelled_digits,
        net=functools.partial(UNet, channels=1, width=32, mults=(1, 1), classes=10),
        loss=velocity,
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(1, 8, 8),
        steps=8000,
        batch=64,
        lr=2e-3,
    ),
    "faces": Recipe(
        data=functools.partial(labelled_faces, 24_000, seed=0),
        net=functools.partial(
            channels_last, functools.partial(UNet, 3, 48, (1, 2), classes=8, patch=2, depth=2)
        ),
        # Half of the labels, since most chapters use it without.
        loss=functools.partial(velocity, withheld=0.5),
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(3, 32, 32),
        steps=48_000,
        batch=64,
        lr=3e-3,
    ),
    "sr3-faces": SR3_FACES,
    # The regression: the same network on the same pictures, learning at t = T alone.
    "sr3-faces-regression": dataclasses.replace(
        SR3_FACES, loss=functools.partial(sr3.loss, factor=4, top=1.0)
    ),
    "sr3-photos": Recipe(
        data=functools.partial(photo_patches, 20_000, seed=0),
        net=functools.partial(
            channels_last, functools.partial(UNet, 3, 32, (1, 2), image_channels=3, patch=2)
        ),
        loss=functools.partial(sr3.loss, factor=2, top=0.25),
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(3, 32, 32),
        steps=8000,
        batch=64,
        lr=2e-3,
    ),
    "cdm-8": CDM_8,
    # The same run, ended early: a base that makes mistakes.
    "cdm-8-early": dataclasses.replace(CDM_8, stop=600),
    "cdm-16": CDM_16,
    "cdm-16-blur": dataclasses.replace(CDM_16, loss=functools.partial(cdm.loss, cdm.blurred)),
    "cdm-16-clean": dataclasses.replace(CDM_16, loss=functools.partial(cdm.loss, cdm.clean)),
    "cdm-32": Recipe(
        data=functools.partial(labelled_faces, 24_000, seed=0),
        net=TOLD_FACES,
        loss=functools.partial(cdm.loss, functools.partial(cdm.gaussian, S_MAX)),
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(3, 32, 32),
        parent="faces",
        steps=12_000,
        batch=64,
        lr=2e-3,
    ),
    # Judges learn from faces that no diffusion model learns from.
    "face-attributes": Recipe(
        data=functools.partial(described_faces, 24_000, seed=2),
        net=functools.partial(face_judge, 24),
        loss=naming,
        steps=4000,
        batch=64,
        lr=2e-3,
    ),
    "face-identity": Recipe(
        data=functools.partial(described_faces, 24_000, seed=3),
        net=functools.partial(face_judge, 32),
        loss=naming,
        steps=4000,
        batch=64,
        lr=2e-3,
        seed=1,
    ),
    # The classifier of noisy faces that guides in chapter 8.
    "face-noisy": Recipe(
        data=functools.partial(described_faces, 24_000, seed=4),
        net=functools.partial(face_judge, 24),
        loss=naming_noised,
        schedule=functools.partial(cosine_schedule, 1000),
        steps=4000,
        batch=64,
        lr=2e-3,
    ),
    # For chapter 9: a judge of all styles, and the CLIP.
    "face-styles": Recipe(
        data=functools.partial(styled_faces, 24_000, seed=6),
        net=functools.partial(style_judge, 24),
        loss=naming,
        steps=4000,
        batch=64,
        lr=2e-3,
    ),
    "face-clip": Recipe(
        data=functools.partial(captioned_faces, 48_000, seed=5),
        net=face_clip,
        loss=pairing,
        steps=6000,
        batch=128,
        lr=1e-3,
    ),
    # Edits of faces, from words to words, learnt from faces of which the first words are true.
    "edit-smile": _edit(
        ["a calm person", "a serious person"],
        ["a happy person", "a smiling person"],
        fixed={"smile": 0.0},
    ),
    "edit-glasses": _edit(
        ["a person with no glasses"], ["a person with glasses"], fixed={"glasses": False}
    ),
    "edit-red": _edit(
        ["a person with brown hair"],
        ["a person with red hair"],
        fixed={"hair_color": "brown"},
        identity=0.3,
    ),
    "edit-hat": _edit(["a person with no hat"], ["a person with a hat"], fixed={"hat": False}),
    # To a style that ``faces`` has never seen, nor the judge.
    "edit-sketch": _edit(
        ["a photo of a person"],
        ["a sketch of a person", "a pencil drawing of a person"],
        fixed={},
        l1=0.03,
        steps=160,
        lr=5e-3,
    ),
    "edit-neon": _edit(
        ["a photo of a person"],
        ["a neon sign of a person", "a neon picture of a person"],
        fixed={},
        l1=0.03,
        steps=160,
        lr=5e-3,
    ),
}

"""How good a trained network is: what the manifest records, and a table shows.

Samples are those of DDIM with eta = 0 on the network's weights as they are stored. Each function
that ends in ``_quality`` takes a network of its recipe and gives numbers that JSON can hold.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minidiff import _validate as check
from minidiff import data, ddim, metrics, recipes, zoo
from minidiff.apps import cdm, diffusionclip, sr3
from minidiff.data.faces import CATEGORIES, STYLES
from minidiff.forward import eps_fn, q_sample
from minidiff.gmm import GaussianMixture
from minidiff.nets import Clip, Judge, TextImageEncoder
from minidiff.recipes import RECIPES, Recipe
from minidiff.sampling import Hook, StepFn, last, sample
from minidiff.schedule import cosine_schedule

SAMPLES, STEPS = 1000, 50  # of every figure here, unless it says otherwise
SURE = 0.9  # a judge is sure where it gives more than this to one value
HELD_OUT = 1  # the seed of the faces that no network learns from
_BATCH = 250


def generate(
    net: nn.Module,
    recipe: Recipe,
    n: int = SAMPLES,
    *,
    steps: int = STEPS,
    seed: int = 1,
    label: Tensor | None = None,
    step: StepFn = ddim.step,
    hook: Hook | None = None,
) -> Tensor:
    """Returns n samples of a diffusion model: DDIM, eta = 0, unless told otherwise.

    Args:
        net: A network of the recipe.
        recipe: Says what the network denoises, and on which schedule.
        n: The number of samples, >= 1.
        steps: The number of steps, 1..T.
        seed: Of the noise that the samples start from.
        label: (n,) int64, what the network is told; None for nothing.
        step: As for ``sampling.sample``.
        hook: As for ``sampling.sample``; it is called after each step of each batch.

    Raises:
        ValueError: The recipe is not one of a diffusion model, or a number is out of its range.
    """
    check.integer("n", n, 1)
    if recipe.schedule is None or recipe.shape is None:
        raise ValueError("recipe: expected one of a diffusion model, got one without schedule")
    schedule = recipe.schedule()
    noise = torch.randn(n, *recipe.shape, generator=torch.Generator().manual_seed(seed))
    labels = [None] * batches(n) if label is None else label.tensor_split(batches(n))
    done = []
    for x, told in zip(noise.tensor_split(batches(n)), labels, strict=True):
        cond: dict[str, Any] = {} if told is None else {"label": told}
        predict = eps_fn(net, schedule, **cond)
        walk = sample(predict, x, schedule, schedule.grid(steps), step, hook)
        done.append(last(walk))
    return torch.cat(done)


def batches(n: int) -> int:
    """Returns in how many batches ``generate`` draws n samples."""
    return math.ceil(n / _BATCH)


@torch.no_grad()
def verdict(judge: Judge, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Returns what a judge takes each picture for, and of what it is sure.

    Args:
        judge: A trained judge.
        x: (B, ...) pictures as it takes them.

    Returns:
        The likeliest value of each category and the numbers, (B,) by name; and (B,) bool, where
        the judge gives more than 0.9 to one value in every category at once.
    """
    parts = [judge(some) for some in x.tensor_split(batches(len(x)))]
    answers = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    sure = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for name in judge.categories:
        chance, value = answers[name].softmax(dim=1).max(dim=1)
        answers[name], sure = value, sure & (chance > SURE)
    return answers, sure


@torch.no_grad()
def features(judge: Judge, x: Tensor) -> Tensor:
    """Returns what the judge sees in each picture, (B, features): the Fréchet distance's space."""
    return in_batches(judge.features, x)


@torch.no_grad()
def points_quality(net: nn.Module, seed: int = 1) -> dict[str, float]:
    """Measures a network for ``data.eight_gaussians`` against the exact noise prediction.

    ``eps_error`` is the root of the mean of (eps_hat - E[eps | x_t])^2 over 20,000 points at
    times spread evenly; the energy distance is that of 1,000 samples to 1,000 points.
    """
    recipe, generator = RECIPES["eight-gaussians"], torch.Generator().manual_seed(seed)
    x0 = data.eight_gaussians(20_000, generator)
    error, x = _eps_error(net, recipe, x0, generator), generate(net, recipe, seed=seed)
    return {
        "eps_error": error,
        "energy_distance": round(metrics.energy_distance(x, x0[:SAMPLES]), 4),
    }


@torch.no_grad()
def toys_quality(net: nn.Module, seed: int = 1, n: int = 4 * SAMPLES) -> dict[str, float]:
    """Measures a network for all of ``recipes.TOYS``, told which.

    Returns:
        For each toy the energy distance of n samples to n points; ``dark``, the share of the
        samples of the checkerboard that lie in its dark squares; and ``eps_error`` as in
        ``points_quality``, of the network told that the points are of the eight Gaussians.
    """
    recipe, generator = RECIPES["toys"], torch.Generator().manual_seed(seed)
    measured, x = {}, torch.empty(0)
    for k, toy in enumerate(recipes.TOYS):
        x = generate(net, recipe, n, seed=seed, label=torch.full((n,), k))
        measured[toy.__name__] = round(metrics.energy_distance(x, toy(n, generator)), 4)
    on_board = (x.abs() < 2).all(1) & (x.floor().sum(1) % 2 == 0)  # the last of them
    k, x0 = recipes.TOYS.index(data.eight_gaussians), data.eight_gaussians(20_000, generator)
    return measured | {
        "dark": round(on_board.float().mean().item(), 4),
        "eps_error": _eps_error(net, recipe, x0, generator, label=torch.full((len(x0),), k)),
    }


def _eps_error(
    net: nn.Module,
    recipe: Recipe,
    x0: Tensor,
    generator: torch.Generator,
    **cond: Any,  # noqa: ANN401 (as for ``forward.eps_fn``)
) -> float:
    assert recipe.schedule is not None
    schedule, angle = recipe.schedule(), torch.arange(8) * (math.pi / 4)
    means = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], dim=1)
    exact = GaussianMixture(torch.full((8,), 1 / 8), means, 0.01 * torch.eye(2).repeat(8, 1, 1))
    t = torch.arange(len(x0)) % schedule.T + 1
    x_t = q_sample(x0, t, torch.randn(x0.shape, generator=generator), schedule)
    error = eps_fn(net, schedule, **cond)(x_t, t) - exact.eps_fn(schedule)(x_t, t)
    return round(error.square().mean().sqrt().item(), 4)


def digits_quality(
    net: nn.Module, seed: int = 1, n: int = SAMPLES, name: str = "digits"
) -> dict[str, float]:
    """Measures the distances between n samples and the digits that the network learnt from.

    The Fréchet distance is taken in their first 20 principal coordinates, the energy distances
    among pixels.
    """
    images = data.digits().train
    project, x = metrics.pca(images, 20), generate(net, RECIPES[name], n, seed=seed)
    return {
        "frechet_distance": round(metrics.frechet_distance(project(x), project(images)), 3),
        "energy_distance": round(metrics.energy_distance(x, images), 4),
        "marginal_energy_distance": round(metrics.marginal_energy_distance(x, images), 4),
    }


def digits_class_quality(net: nn.Module, seed: int = 1, n: int = SAMPLES) -> dict[str, float]:
    """As ``digits_quality``, told nothing; and what a linear classifier makes of labelled samples.

    ``agreement`` is the share of n samples, all labels equally often, that get their label from a
    logistic regression fitted to the training digits, ``agreement_of_scans`` that of the test
    digits.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    scans, label = data.digits(), torch.arange(n) % 10
    reader = LogisticRegression(max_iter=1000).fit(scans.train.flatten(1), scans.train_labels)
    x = generate(net, RECIPES["digits-class"], n, seed=seed, label=label)
    return digits_quality(net, seed, n, "digits-class") | {
        "agreement": round(reader.score(x.flatten(1), label), 3),
        "agreement_of_scans": round(reader.score(scans.test.flatten(1), scans.test_labels), 3),
    }


def judge_quality(judge: nn.Module, n: int = 4000) -> dict[str, float]:
    """Measures a judge on n faces that no network learns from.

    Returns:
        The share of right answers in each category, R^2 of the smile, and the share of faces of
        which it is sure.
    """
    return _judged(judge, *recipes.described_faces(n, HELD_OUT))


def _judged(judge: nn.Module, images: Tensor, *truth: Tensor) -> dict[str, float]:
    """Marks a judge by the values of its categories and, last, the smiles."""
    assert isinstance(judge, Judge)
    answers, sure = verdict(judge, images)
    *values, smile = truth
    right = {
        name: round((answers[name] == true).float().mean().item(), 4)
        for name, true in zip(judge.categories, values, strict=True)
    }
    missed = (answers["smile"] - smile).square().mean() / smile.var(correction=0)
    return right | {
        "smile_r2": round(1 - missed.item(), 4),
        "sure": round(sure.float().mean().item(), 4),
    }


def noisy_judge_quality(judge: nn.Module, n: int = 4000) -> dict[str, float]:
    """Returns the share of right backgrounds and hair colours of n faces at three levels."""
    assert isinstance(judge, Judge)
    drawn = data.faces(n, generator=torch.Generator().manual_seed(HELD_OUT))
    schedule, measured = cosine_schedule(1000), {}
    torch.manual_seed(1)
    for alpha_bar in (0.9, 0.5, 0.1):
        t = int((schedule.alpha_bar - alpha_bar).abs().argmin())
        x_t = q_sample(drawn.images, t, torch.randn_like(drawn.images), schedule)
        answers = verdict(judge, x_t)[0]
        for name in ("background", "hair_color"):
            right = (answers[name] == getattr(drawn.attributes, name)).float().mean().item()
            measured[f"{name} at {alpha_bar}"] = round(right, 4)
    return measured


def style_judge_quality(judge: nn.Module, n: int = 4000) -> dict[str, float]:
    """As ``judge_quality``, on n faces of all styles alike; and the share of right styles."""
    return _judged(judge, *recipes.styled_faces(n, HELD_OUT))


_SENTENCES = {
    "skin": ("a person with {} skin",),
    "hair_color": ("a person with {} hair", "a person with a {} beard"),
    "hair_style": ("a {} person", "a person with {} hair"),
    "glasses": ("a person with {}glasses",),
    "hat": ("a person with {} hat",),
    "background": ("a person on a {} background", "a person in front of a {} wall"),
    "clothes": ("a person in a {} shirt", "a person wearing a {} shirt"),
}
_WORDS = {
    "glasses": ("no ", ""),
    "hat": ("no", "a"),
    "hair_style": ("bald", "short", "long", "curly"),
}


@torch.no_grad()
def named(clip: TextImageEncoder, x: Tensor, name: str) -> Tensor:
    """Returns for each picture the value whose sentences are most like it, (B,)."""
    values = _WORDS.get(name, CATEGORIES[name])
    texts = torch.stack(
        [
            clip.encode_text([sentence.format(value) for sentence in _SENTENCES[name]]).sum(0)
            for value in values
        ]
    )
    return (in_batches(clip.encode_image, x) @ texts.T).argmax(1)


@torch.no_grad()
def clip_quality(clip: nn.Module, n: int = 4000) -> dict[str, float]:
    """Measures a CLIP on n faces of all styles that it has not seen.

    Returns:
        For each attribute the share of faces of which a sentence about it is named rightly; and
        ``retrieval``, the share of captions whose picture is the first of 100.
    """
    assert isinstance(clip, Clip)
    images, *truth = recipes.styled_faces(n, HELD_OUT)
    right = {
        name: round((named(clip, images, name) == true).float().mean().item(), 4)
        for name, true in zip(CATEGORIES, truth, strict=False)
    }
    images, tokens = recipes.captioned_faces(n, HELD_OUT, each=1)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    found = [
        (clip.encode_tokens(tokens[some, 0]) @ clip.encode_image(images[some]).T).argmax(1)
        == torch.arange(len(some))
        for some in order.tensor_split(n // 100)
    ]
    return right | {"retrieval": round(torch.cat(found).float().mean().item(), 4)}


def edit_quality(
    net: nn.Module, name: str, answer: str, value: int, n: int = 100
) -> dict[str, float]:
    """Measures an edit on n faces that it has not seen.

    Returns:
        ``done``, the share in which a judge sees what was said; and ``cosine``, that of the step
        of the pictures and of the sentences in the CLIP's eyes.
    """
    recipe, clip, judge = RECIPES[name], zoo.load("face-clip"), zoo.load("face-styles")
    assert isinstance(clip, Clip) and isinstance(judge, Judge)
    assert isinstance(recipe.data, functools.partial) and isinstance(
        recipe.loss, functools.partial
    )
    generator = torch.Generator().manual_seed(HELD_OUT)
    x = data.faces(n, generator=generator, **recipe.data.keywords["fixed"]).images
    schedule = cosine_schedule(1000)
    grid = schedule.grid(40, start=recipes.EDIT_FROM)
    before, after = (eps_fn(one, schedule) for one in (zoo.load("faces"), net))
    edited = diffusionclip.edit(before, after, x, schedule, grid)
    toward = diffusionclip.direction(clip, *recipe.loss.keywords["words"])
    with torch.no_grad():
        cos = diffusionclip.alignment(clip, edited, x, toward)
    seen = verdict(judge, edited)[0][answer].round().long()
    return {
        "done": round((seen == value).float().mean().item(), 4),
        "cosine": round(cos.mean().item(), 4),
    }


def faces_quality(net: nn.Module, seed: int = 1) -> dict[str, float]:
    """Returns ``faces_marks`` of 1,000 samples of a network that is told nothing."""
    return faces_marks(generate(net, RECIPES["faces"], seed=seed))


def faces_marks(x: Tensor, label: Tensor | None = None) -> dict[str, float]:
    """Measures n samples against n faces that no network learns from.

    Args:
        x: (n, 3, 32, 32) samples, n >= 2.
        label: (n,) int64, what each of them was told; None for nothing.

    Returns:
        ``sure``: the share of which the judge is sure; ``sure_of_drawn``: that of the faces.
        ``frechet_distance``: among the judge's features; ``frechet_floor``: that of n other
        faces. ``frequency_error``: by how much the share of any value of any category differs
        most from its share by construction. ``agreement``, if labelled: the share of samples
        that the judge gives the label that they were told.
    """
    n, judge = len(x), zoo.load("face-attributes")
    assert isinstance(judge, Judge)
    drawn = data.faces(2 * n, generator=torch.Generator().manual_seed(HELD_OUT)).images
    answers, sure = verdict(judge, x)
    seen, others = features(judge, drawn).chunk(2)
    errors = [
        (answers[name].bincount(minlength=len(values)) / n - 1 / len(values)).abs().max()
        for name, values in CATEGORIES.items()
    ]
    measured = {
        "sure": sure.float().mean().item(),
        "sure_of_drawn": verdict(judge, drawn)[1].float().mean().item(),
        "frechet_distance": metrics.frechet_distance(features(judge, x), seen),
        "frechet_floor": metrics.frechet_distance(others, seen),
        "frequency_error": max(errors).item(),
    }
    if label is not None:
        measured["agreement"] = agreement(answers, label)
    return {name: round(value, 4) for name, value in measured.items()}


def agreement(answers: dict[str, Tensor], label: Tensor) -> float:
    """Returns the share of faces whose hair style and glasses a verdict gives as labelled."""
    return (2 * answers["hair_style"] + answers["glasses"] == label).float().mean().item()


def in_batches(draw: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """Returns ``draw`` of all rows, a few at a time."""
    parts = (row.tensor_split(batches(len(row))) for row in rows)
    return torch.cat([draw(*some) for some in zip(*parts, strict=True)])


def pooled_psnr(x: Tensor, truth: Tensor) -> float:
    """Returns the signal-to-noise ratio of all images together, in dB, from one mean square."""
    return metrics.psnr(x[None], truth[None]).item()


def unseen_patches(n: int) -> Tensor:
    """Returns n patches, (n, 3, 32, 32), of the right quarter of the photographs."""
    images = data.photos()
    generator = torch.Generator().manual_seed(HELD_OUT)
    return data.patches(images[..., 3 * images.shape[-1] // 4 :], n, generator=generator)


def upscaling_quality(
    name: str, net: nn.Module, seed: int = 1, n: int = 200, steps: int = STEPS
) -> dict[str, float]:
    """Measures a network of chapter 5 on n images that it has not learnt from.

    Returns:
        ``psnr_bicubic``, ``psnr_mean`` (of its posterior mean), ``psnr_sample`` (of the paper's
        sampler), in dB, pooled; ``consistency_...`` of each, the mean square by which the
        picture, made small again, differs from the small one.
    """
    faces = name == "sr3-faces"
    high = recipes.unlabelled_faces(n, HELD_OUT)[0] if faces else unseen_patches(n)
    factor = 4 if faces else 2
    schedule, low = cosine_schedule(1000), sr3.down(high, factor)
    torch.manual_seed(seed)

    def draw(z: Tensor) -> Tensor:
        return last(sr3.upscale(net, z, factor, schedule, schedule.grid(steps)))

    measured = {}
    for kind, x in (
        ("bicubic", sr3.up(low, factor)),
        ("mean", in_batches(lambda z: sr3.regress(net, z, factor, schedule), low)),
        ("sample", in_batches(draw, low)),
    ):
        lost = (sr3.down(x, factor) - low).square().mean().item()
        measured[f"psnr_{kind}"] = round(pooled_psnr(x, high), 3)
        measured[f"consistency_{kind}"] = round(lost, 7)
    return measured


def regression_quality(net: nn.Module, n: int = 200) -> dict[str, float]:
    """Returns ``psnr`` and ``consistency``, as ``upscaling_quality`` does, of a regression."""
    high = recipes.unlabelled_faces(n, HELD_OUT)[0]
    low = sr3.down(high, 4)
    torch.manual_seed(1)
    x = in_batches(lambda z: sr3.regress(net, z, 4, cosine_schedule(1000)), low)
    lost = (sr3.down(x, 4) - low).square().mean().item()
    return {"psnr": round(pooled_psnr(x, high), 3), "consistency": round(lost, 7)}


def base_quality(net: nn.Module, seed: int = 1, n: int = SAMPLES) -> dict[str, float]:
    """Measures the base of chapter 6: ``frechet_distance`` of n samples, all classes alike.

    It is taken in the first 20 principal coordinates of 2 n held-out faces of 8x8 pixels, to the
    first n of them; ``frechet_floor`` is that of the others.
    """
    drawn = recipes.small_faces(2 * n, HELD_OUT, 8)[0]
    x = generate(net, RECIPES["cdm-8"], n, seed=seed, label=torch.arange(n) % 8)
    return _distances(x, drawn)


def stage_quality(
    size: int, net: nn.Module, seed: int = 1, n: int = SAMPLES, steps: int = STEPS
) -> dict[str, float]:
    """Measures a stage of chapter 6 on real small images, without noise, and their classes.

    Returns:
        ``psnr``: of n samples, pooled; ``frechet_distance``, ``frechet_floor``: as in
        ``base_quality``, at the size that the stage enlarges to.
    """
    drawn, label = recipes.small_faces(2 * n, HELD_OUT, size)
    schedule = cosine_schedule(1000)
    torch.manual_seed(seed)

    def draw(z: Tensor, c: Tensor) -> Tensor:
        return last(cdm.stage(net, z, 0, c, schedule, schedule.grid(steps), s_max=0))

    x = in_batches(draw, sr3.down(drawn[:n], 2), label[:n])
    return {"psnr": round(pooled_psnr(x, drawn[:n]), 3)} | _distances(x, drawn)


def _distances(x: Tensor, drawn: Tensor) -> dict[str, float]:
    project, (seen, others) = metrics.pca(drawn, 20), drawn.chunk(2)
    return {
        "frechet_distance": round(metrics.frechet_distance(project(x), project(seen)), 4),
        "frechet_floor": round(metrics.frechet_distance(project(others), project(seen)), 4),
    }


QUALITY: dict[str, Callable[[nn.Module], dict[str, float]]] = {
    "eight-gaussians": points_quality,
    "toys": toys_quality,
    "digits": digits_quality,
    "digits-class": digits_class_quality,
    "faces": faces_quality,
    "sr3-faces": functools.partial(upscaling_quality, "sr3-faces"),
    "sr3-faces-regression": regression_quality,
    "sr3-photos": functools.partial(upscaling_quality, "sr3-photos"),
    "cdm-8": base_quality,
    "cdm-8-early": base_quality,
    "cdm-16": functools.partial(stage_quality, 16),
    "cdm-16-blur": functools.partial(stage_quality, 16),
    "cdm-16-clean": functools.partial(stage_quality, 16),
    "cdm-32": functools.partial(stage_quality, 32),
    "face-attributes": judge_quality,
    "face-identity": judge_quality,
    "face-noisy": noisy_judge_quality,
    "face-styles": style_judge_quality,
    "face-clip": clip_quality,
    **{
        f"edit-{name}": functools.partial(
            edit_quality, name=f"edit-{name}", answer=answer, value=value
        )
        for name, answer, value in (
            ("smile", "smile", 1),
            ("glasses", "glasses", 1),
            ("red", "hair_color", CATEGORIES["hair_color"].index("red")),
            ("hat", "hat", 1),
            ("sketch", "style", STYLES.index("sketch")),
            ("neon", "style", STYLES.index("neon")),
        )
    },
}

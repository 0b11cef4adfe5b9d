"""Measures the edits of chapter 9: a quarter of an hour.

Writes ``minidiff/weights/tables/diffusionclip.json``: each edit beside its true answer, what it
does to faces that were not meant, and two ways of editing without training.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from minidiff import data, ddim, evaluate, recipes, zoo
from minidiff.apps import diffusionclip, sdedit
from minidiff.data.faces import CATEGORIES, STYLES
from minidiff.forward import EpsFn, eps_fn, x0_from_eps
from minidiff.guidance import classifier_guidance
from minidiff.nets import Clip, Judge
from minidiff.recipes import EDIT_FROM, RECIPES
from minidiff.sampling import last
from minidiff.schedule import cosine_schedule

N, STEPS, SCHEDULE = 100, 40, cosine_schedule(1000)
GRID = SCHEDULE.grid(STEPS, start=EDIT_FROM)
# What the faces have before, what they have after, and faces that were not meant.
EDITS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "smile": ({"smile": 0.0}, {"smile": 1.0}, {"smile": -1.0}),
    "glasses": ({"glasses": False}, {"glasses": True}, {"glasses": True}),
    "red": ({"hair_color": "brown"}, {"hair_color": "red"}, {"hair_color": "blond"}),
    "hat": ({"hat": False}, {"hat": True}, {"hat": True}),
}
KEPT_BY_STYLE = ("hair_style", "glasses", "hat")


def drawn(fixed: dict[str, Any], style: str = "photo") -> data.Faces:
    """Returns N faces that no network has seen."""
    generator = torch.Generator().manual_seed(evaluate.HELD_OUT)
    return data.faces(N, style=style, generator=generator, **fixed)


def l1(x: Tensor, y: Tensor) -> float:
    """Returns the mean absolute difference."""
    return (x - y).abs().mean().item()


def smile_of(judge: Judge, x: Tensor) -> Tensor:
    """Returns which of sad, calm and happy a judge takes each face for: 0, 1 or 2."""
    return evaluate.verdict(judge, x)[0]["smile"].clamp(-1, 1).round().long() + 1


def agreement(judge: Judge, x: Tensor, want: data.FaceAttributes) -> dict[str, Tensor]:
    """Returns for each attribute where the judge sees what is wanted, (N,) bool each."""
    answers, _ = evaluate.verdict(judge, x)
    same = {name: answers[name] == getattr(want, name) for name in CATEGORIES}
    return same | {"smile": smile_of(judge, x) == want.smile.round().long() + 1}


def share(where: Tensor) -> float:
    """Returns the share of True."""
    return where.float().mean().item()


def told_by(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the sentences of an edit, from its recipe."""
    loss = RECIPES[f"edit-{name}"].loss
    assert isinstance(loss, functools.partial)
    words: tuple[tuple[str, ...], tuple[str, ...]] = loss.keywords["words"]
    return words


def marks(
    judge: Judge, name: str, x: Tensor, before: data.Faces, after: data.Faces
) -> dict[str, float]:
    """Returns whether an edit is done, and whether all else is kept."""
    attribute = {"red": "hair_color"}.get(name, name)
    same = agreement(judge, x, after.attributes)
    was = agreement(judge, x, before.attributes)
    others = [value for key, value in was.items() if key not in (attribute, "smile")]
    return {"done": share(same[attribute]), "kept": share(torch.stack(others).all(0))}


def pixels(clip: Clip, x: Tensor, name: str) -> Tensor:
    """Returns pictures whose pixels are moved until CLIP sees the edit."""
    toward = diffusionclip.direction(clip, *told_by(name))
    free = x.clone().requires_grad_()
    optimiser = torch.optim.Adam([free], lr=0.01)
    for _ in range(100):
        cos = diffusionclip.alignment(clip, free, x, toward)
        optimiser.zero_grad()
        diffusionclip.directional_loss(cos).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return free.detach().clamp(-1, 1)


def guided(predict: EpsFn, clip: Clip, x: Tensor, name: str, w: float) -> Tensor:
    """Returns SDEdit from the level of the edits, guided by the cosine at x0_hat."""
    toward = diffusionclip.direction(clip, *told_by(name))

    def log_prob(x_t: Tensor, t: Tensor) -> Tensor:
        x0 = x0_from_eps(predict(x_t, t), x_t, t, SCHEDULE)
        return diffusionclip.alignment(clip, x0, x, toward)

    walk = classifier_guidance(predict, log_prob, SCHEDULE, w)
    torch.manual_seed(1)
    step = functools.partial(ddim.step, eta=1.0, clip=1.0)
    return last(sdedit.edit(walk, x, SCHEDULE, GRID, step=step))


def main() -> None:
    """Measures, prints and stores."""
    clip, judge, other = (
        zoo.load(name).requires_grad_(False)
        for name in ("face-clip", "face-attributes", "face-identity")
    )
    styles = zoo.load("face-styles")
    assert isinstance(clip, Clip) and isinstance(judge, Judge)
    assert isinstance(other, Judge) and isinstance(styles, Judge)
    predict = eps_fn(zoo.load("faces"), SCHEDULE)
    rows: dict[str, Any] = {"n": N, "steps": STEPS}
    rows |= {"edits": {}, "styles": {}, "leaks": {}, "baselines": {}}

    def edit(name: str, x: Tensor) -> Tensor:
        new = eps_fn(zoo.load(f"edit-{name}"), SCHEDULE)
        return diffusionclip.edit(predict, new, x, SCHEDULE, GRID)

    def cosine(name: str, x: Tensor, source: Tensor) -> float:
        toward = diffusionclip.direction(clip, *told_by(name))
        with torch.no_grad():
            return diffusionclip.alignment(clip, x, source, toward).mean().item()

    def alike(x: Tensor, y: Tensor) -> float:
        one, two = evaluate.features(other, x), evaluate.features(other, y)
        return torch.cosine_similarity(one, two).mean().item()

    def store(table: str, name: str, row: dict[str, float] | float) -> None:
        digits = {k: round(v, 4) for k, v in row.items()} if isinstance(row, dict) else row
        rows[table][name] = digits
        print(table, name, digits, flush=True)

    for name, (have, want, unmeant) in EDITS.items():
        before, after = drawn(have), drawn(want)
        x, true = before.images, after.images
        back, new = diffusionclip.edit(predict, predict, x, SCHEDULE, GRID), edit(name, x)
        row = marks(judge, name, new, before, after)
        row |= {"cos": cosine(name, new, x) / cosine(name, true, x), "off": l1(new, true)}
        row |= {"bound": 2 * (l1(back, x) + l1(true, x))}
        row |= {"identity": alike(new, x), "identity_true": alike(true, x)}
        store("edits", name, row)
        others = drawn(unmeant)
        moved = edit(name, others.images)
        same = agreement(judge, moved, others.attributes)
        said = next(iter(unmeant.values()))
        changed = ~torch.stack(list(same.values())).all(0)
        store("leaks", f"{name}, of {said}", round(share(changed), 4))

    for style in ("sketch", "neon"):
        before, after = drawn({}), drawn({}, style)
        x, true, new = before.images, after.images, edit(style, before.images)
        answers, _ = evaluate.verdict(styles, new)
        same = agreement(styles, new, before.attributes)
        nearer = (new - true).abs().mean((1, 2, 3)) < (x - true).abs().mean((1, 2, 3))
        row = {f"kept {k}": share(same[k]) for k in (*KEPT_BY_STYLE, "smile")}
        row |= {"style": share(answers["style"] == STYLES.index(style))}
        row |= {"kept": share(torch.stack([same[k] for k in (*KEPT_BY_STYLE, "smile")]).all(0))}
        row |= {"cos": cosine(style, new, x) / cosine(style, true, x), "nearer": share(nearer)}
        store("styles", style, row | {"off": l1(new, true), "photo": l1(x, true)})

    for name in ("glasses", "hat"):
        have, want, _ = EDITS[name]
        before, after = drawn(have), drawn(want)
        ways = {"DiffusionCLIP": edit(name, before.images)}
        ways["pixels"] = pixels(clip, before.images, name)
        for w in (30.0, 100.0, 300.0):
            ways[f"SDEdit, w = {w:g}"] = guided(predict, clip, before.images, name, w)
        for way, new in ways.items():
            row = marks(judge, name, new, before, after)
            row["convinced"] = share(evaluate.named(clip, new, name) == 1)
            store("baselines", f"{name}: {way}", row)
    networks = ["faces", "face-clip", "face-attributes", "face-identity", "face-styles"]
    edits = [name for name in recipes.RECIPES if name.startswith("edit-")]
    print(zoo.save_table("diffusionclip", rows, networks + edits))


if __name__ == "__main__":
    main()

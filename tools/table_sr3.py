"""Measures the super-resolution networks for chapter 5: minutes.

Writes ``minidiff/weights/tables/sr3.json``: marks of three seeds at two sizes, errors over steps
and samplers, what a reader of 8x8 pixels can and cannot read, and the photographs.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

from minidiff import data, ddim, evaluate, metrics, recipes, zoo
from minidiff.apps import sr3
from minidiff.data.faces import CATEGORIES
from minidiff.nets import Judge
from minidiff.sampling import StepFn, last
from minidiff.schedule import cosine_schedule

SEEDS = (1, 2, 3)
SIZES = (100, 400)
JUDGED = 1000  # for Fréchet distances
FEW = 200  # for the tables of steps and of photographs
DRAWS, MANY, STEPS = 8, 32, 50
SCHEDULE = cosine_schedule(1000)
GRID = (4, 10, 20, 50, 100)
SAMPLERS: dict[str, StepFn] = {
    "beta": sr3.step,
    "eta 1": functools.partial(ddim.step, eta=1.0),
    "eta 0": ddim.step,
}


def drawer(
    net: nn.Module, factor: int, steps: int = STEPS, step: StepFn = sr3.step
) -> Callable[[Tensor], Tensor]:
    """Returns what draws a sample for each small image."""
    grid = SCHEDULE.grid(steps)

    def draw(low: Tensor) -> Tensor:
        return last(sr3.upscale(net, low, factor, SCHEDULE, grid, step=step))

    return lambda low: evaluate.in_batches(draw, low)


def regress(net: nn.Module, low: Tensor, factor: int) -> Tensor:
    """Returns the network's x0_hat at t = T for each small image."""
    return evaluate.in_batches(lambda z: sr3.regress(net, z, factor, SCHEDULE), low)


def errors(high: Tensor, drawn: Tensor, factor: int, **others: Tensor) -> dict[str, float]:
    """Returns the figures of n images in dB and mean squares: drawn is (draws, n, ...).

    ``psnr mean`` is that of the mean of endless samples: two samples err independently around
    it, so the mean product of their errors is the mean square of its error.
    """
    low, draws = sr3.down(high, factor), len(drawn)
    pictures = {"bicubic": sr3.up(low, factor), **others, "sample": drawn[0]}
    if draws > 2:
        pictures[f"mean of {draws}"] = drawn.mean(0)
    rows = {f"psnr {name}": evaluate.pooled_psnr(x, high) for name, x in pictures.items()}
    variance, square = drawn.var(0).mean().item(), (drawn - high).square().mean().item()
    rows["psnr mean"] = 10 * math.log10(4 / (square - variance))
    rows["rho"] = variance / (square - variance)
    for name, x in pictures.items():
        rows[f"consistency {name}"] = (sr3.down(x, factor) - low).square().mean().item()
    return {name: round(value, 7) for name, value in rows.items()}


def frechet(judge: Judge, high: Tensor, **pictures: Tensor) -> dict[str, float]:
    """Returns the Fréchet distances of pictures to the faces that they were made from."""
    n = len(high)
    others = recipes.unlabelled_faces(2 * n, evaluate.HELD_OUT)[0][n:]
    seen = evaluate.features(judge, others)
    return {
        name: round(metrics.frechet_distance(evaluate.features(judge, x), seen), 3)
        for name, x in ({"truth": high} | pictures).items()
    }


def reading(judge: Judge, drawn: Tensor, n: int) -> dict[str, dict[str, float]]:
    """Returns for each attribute what is read at 8x8, and how the samples keep it.

    ``small``: the share of held-out faces that a linear reader of 8x8 pixels names rightly (for
    the smile R^2); ``kept``: the share of samples that the judge names as their faces are.
    """
    learnt = data.faces(6000, generator=torch.Generator().manual_seed(4))
    tested = data.faces(n, generator=torch.Generator().manual_seed(evaluate.HELD_OUT))
    small = [sr3.down(faces.images, 4).flatten(1).numpy() for faces in (learnt, tested)]
    answers = evaluate.verdict(judge, drawn[0])[0]
    rows = {}
    for name in CATEGORIES:
        train, true = (getattr(faces.attributes, name) for faces in (learnt, tested))
        reader = LogisticRegression(max_iter=3000, C=10).fit(small[0], train.numpy())
        rows[name] = {
            "small": round(float(reader.score(small[1], true.numpy())), 4),
            "kept": round((answers[name] == true).float().mean().item(), 4),
        }
    smile = Ridge(1.0).fit(small[0], learnt.attributes.smile.numpy())
    several = torch.stack([evaluate.verdict(judge, x)[0]["smile"] for x in drawn])
    rows["smile"] = {
        "small": round(float(smile.score(small[1], tested.attributes.smile.numpy())), 4),
        "std over samples": round(several.std(0).mean().item(), 4),
        "std over faces": round(tested.attributes.smile.std().item(), 4),
    }
    return rows


def faces(rows: dict[str, Any]) -> None:
    """Adds the figures of drawn faces."""
    net, judge = zoo.load("sr3-faces"), zoo.load("face-attributes")
    assert isinstance(judge, Judge)
    nets = {"regression": zoo.load("sr3-faces-regression"), "at T": net}
    high = recipes.unlabelled_faces(JUDGED, evaluate.HELD_OUT)[0]
    low, draw, n = sr3.down(high, 4), drawer(net, 4), max(SIZES)
    for seed in SEEDS:
        torch.manual_seed(seed)
        others = {name: regress(net, low, 4) for name, net in nets.items()}
        drawn = torch.stack([draw(low[:n]) for _ in range(DRAWS)])
        for size in SIZES:
            some = {name: x[:size] for name, x in others.items()}
            found = errors(high[:size], drawn[:, :size], 4, **some)
            rows.setdefault(f"n = {size}", []).append(found)
            print(seed, size, found, flush=True)
        whole = torch.cat([drawn[0], draw(low[n:])])
        found = frechet(judge, high, bicubic=sr3.up(low, 4), **others, sample=whole)
        rows.setdefault("frechet", []).append(found)
        print(found, flush=True)
        if seed == SEEDS[0]:
            rows["reading"] = reading(judge, drawn, n)
            print(rows["reading"], flush=True)
            more = torch.stack([draw(low[:FEW]) for _ in range(MANY - DRAWS)])
            mean = torch.cat([drawn[:, :FEW], more]).mean(0)
            rows[f"psnr mean of {MANY}"] = round(evaluate.pooled_psnr(mean, high[:FEW]), 4)
            rows[f"psnr one of {MANY}"] = round(
                evaluate.pooled_psnr(drawn[0, :FEW], high[:FEW]), 4
            )
            print(rows[f"psnr mean of {MANY}"], rows[f"psnr one of {MANY}"], flush=True)


def samplers(rows: dict[str, Any]) -> None:
    """Adds the figures of three samplers at several numbers of steps."""
    high, net = recipes.unlabelled_faces(FEW, evaluate.HELD_OUT)[0], zoo.load("sr3-faces")
    low, table = sr3.down(high, 4), {}
    for name, step in SAMPLERS.items():
        for steps in GRID:
            torch.manual_seed(SEEDS[0])
            two = torch.stack([drawer(net, 4, steps, step)(low) for _ in range(2)])
            table[f"{name}, {steps} steps"] = errors(high, two, 4)
            print(name, steps, table[f"{name}, {steps} steps"], flush=True)
    rows["steps"] = table


def photographs(rows: dict[str, Any]) -> None:
    """Adds the figures of patches of photographs."""
    net = zoo.load("sr3-photos")
    tested, learnt = evaluate.unseen_patches(FEW), recipes.photo_patches(FEW, 1)[0]
    for name, patches in (("unseen", tested), ("learnt", learnt)):
        torch.manual_seed(SEEDS[0])
        small = sr3.down(patches, 2)
        others = {"at T": regress(net, small, 2)}
        drawn = torch.stack([drawer(net, 2)(small) for _ in range(DRAWS)])
        rows[f"photos, {name}"] = errors(patches, drawn, 2, **others)
        print("photos", name, rows[f"photos, {name}"], flush=True)


def main() -> None:
    """Measures, prints and stores."""
    rows: dict[str, Any] = {"seeds": SEEDS, "sizes": SIZES, "judged": JUDGED, "few": FEW}
    rows |= {"draws": DRAWS, "steps of a sample": STEPS}
    faces(rows)
    samplers(rows)
    photographs(rows)
    names = ["sr3-faces", "sr3-faces-regression", "sr3-photos", "face-attributes"]
    print(zoo.save_table("sr3", rows, names))


if __name__ == "__main__":
    main()

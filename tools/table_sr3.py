"""Measures the super-resolution networks for chapter 5: minutes.

Writes ``minidiff/weights/tables/sr3.json``: marks of three seeds at two sizes, errors over steps
and samplers, what a reader of 8x8 pixels can and cannot read, and the photographs.
"""

import functools
from collections.abc import Callable

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
SIZES = (100, 1000)
DRAWS, STEPS = 8, 50
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
    recipe = zoo.recipe("sr3-faces" if factor == 4 else "sr3-photos")
    assert recipe.schedule is not None
    schedule = recipe.schedule()
    grid = schedule.grid(steps)

    def draw(low: Tensor) -> Tensor:
        return last(sr3.upscale(net, low, factor, schedule, grid, step=step))

    return lambda low: evaluate.in_batches(draw, low)


def errors(high: Tensor, mean: Tensor, drawn: Tensor, factor: int) -> dict[str, float]:
    """Returns the figures of n images: drawn is (DRAWS, n, ...), in dB and mean squares."""
    low = sr3.down(high, factor)
    pictures = {
        "bicubic": sr3.up(low, factor),
        "mean": mean,
        "sample": drawn[0],
        f"mean of {len(drawn)}": drawn.mean(0),
    }
    rows = {f"psnr {name}": evaluate.pooled_psnr(x, high) for name, x in pictures.items()}
    for name, x in pictures.items():
        lost = (sr3.down(x, factor) - low).square().mean().item()
        rows[f"consistency {name}"] = lost
    rows["variance over error of the mean"] = (
        drawn.var(0).mean() / (mean - high).square().mean()
    ).item()
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


def main() -> None:
    """Measures, prints and stores."""
    torch.set_num_threads(2)
    net, judge = zoo.load("sr3-faces"), zoo.load("face-attributes")
    assert isinstance(judge, Judge)
    schedule = cosine_schedule(1000)
    rows: dict[str, object] = {"seeds": SEEDS, "sizes": SIZES, "draws": DRAWS, "steps": STEPS}
    high = recipes.unlabelled_faces(max(SIZES), evaluate.HELD_OUT)[0]
    low, draw = sr3.down(high, 4), drawer(net, 4)
    for seed in SEEDS:
        torch.manual_seed(seed)
        mean = evaluate.in_batches(lambda z: sr3.regress(net, z, 4, schedule), low)
        drawn = torch.stack([draw(low) for _ in range(DRAWS)])
        for n in SIZES:
            marks = errors(high[:n], mean[:n], drawn[:, :n], 4)
            key = f"n = {n}"
            rows[key] = [*rows.get(key, []), marks]  # type: ignore[misc]
            print(seed, n, marks, flush=True)
        distances = frechet(judge, high, bicubic=sr3.up(low, 4), mean=mean, sample=drawn[0])
        rows["frechet"] = [*rows.get("frechet", []), distances]  # type: ignore[misc]
        print(distances, flush=True)
        if seed == SEEDS[0]:
            rows["reading"] = reading(judge, drawn, max(SIZES))
            print(rows["reading"], flush=True)

    few, table = slice(250), {}
    for name, step in SAMPLERS.items():
        for steps in GRID:
            torch.manual_seed(SEEDS[0])
            two = torch.stack([drawer(net, 4, steps, step)(low[few]) for _ in range(2)])
            table[f"{name}, {steps} steps"] = errors(high[few], mean[few], two, 4)
            print(name, steps, table[f"{name}, {steps} steps"], flush=True)
    rows["steps"] = table
    rows["images of the steps"] = few.stop

    net = zoo.load("sr3-photos")
    tested, learnt = evaluate.unseen_patches(1000), recipes.photo_patches(1000, 1)[0]
    for name, patches in (("unseen", tested), ("learnt", learnt)):
        torch.manual_seed(SEEDS[0])
        small = sr3.down(patches, 2)
        mean = evaluate.in_batches(lambda z: sr3.regress(net, z, 2, schedule), small)  # noqa: B023
        drawn = torch.stack([drawer(net, 2)(small) for _ in range(DRAWS)])
        rows[f"photos, {name}"] = errors(patches, mean, drawn, 2)
        print("photos", name, rows[f"photos, {name}"], flush=True)
    print(zoo.save_table("sr3", rows, ["sr3-faces", "sr3-photos", "face-attributes"]))


if __name__ == "__main__":
    main()

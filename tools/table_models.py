"""Measures the faces network for the page "Drawn faces and trained networks": minutes.

Writes ``minidiff/weights/tables/models.json``: the marks of three seeds at two sizes, in which
category the judge is unsure, the distance after 5 to 100 steps, the marks of a stochastic walk,
and how near samples come to the faces that were learnt.
"""

import functools

import torch
from torch import Tensor

from minidiff import data, ddim, evaluate, metrics, zoo
from minidiff.nets import Judge

SEEDS = (1, 2, 3)
SIZES = (100, 1000)
STEPS = (5, 10, 20, 100)  # 50 is in the marks
BINS = 40


def nearest(x: Tensor, learnt: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the rms difference to the nearest row of ``learnt``, and which it is."""
    flat, rows = x.flatten(1), learnt.flatten(1)
    found = [torch.cdist(some, rows).min(1) for some in flat.tensor_split(len(flat) // 50)]
    distance = torch.cat([near for near, _ in found]) / flat.shape[1] ** 0.5
    return distance, torch.cat([index for _, index in found])


def main() -> None:
    """Measures, prints and stores."""
    net, judge, recipe = zoo.load("faces"), zoo.load("face-attributes"), zoo.recipe("faces")
    assert isinstance(judge, Judge)
    rows: dict[str, object] = {"seeds": SEEDS, "sizes": SIZES, "bins": BINS}
    sampled = {}
    for told, label in (("nothing", None), ("a label", torch.arange(max(SIZES)) % 8)):
        for seed in SEEDS:
            sampled[told, seed] = evaluate.generate(
                net, recipe, max(SIZES), seed=seed, label=label
            )
        for n in SIZES:
            some = None if label is None else label[:n]
            marks = [evaluate.faces_marks(sampled[told, seed][:n], some) for seed in SEEDS]
            rows[f"told {told}, n = {n}"] = marks
            print(f"told {told}, n = {n}", *marks, sep="\n  ", flush=True)

    with torch.no_grad():
        answers = judge(sampled["nothing", SEEDS[0]])
    rows["sure in each category"] = {
        name: round((answers[name].softmax(1).amax(1) > evaluate.SURE).float().mean().item(), 3)
        for name in judge.categories
    }
    rows["frequency of each skin"] = [
        round(share, 3)
        for share in (answers["skin"].argmax(1).bincount(minlength=5) / max(SIZES)).tolist()
    ]
    torch.manual_seed(0)  # of the noise in the steps
    walk = evaluate.generate(
        net, recipe, max(SIZES), steps=100, step=functools.partial(ddim.step, eta=1.0)
    )
    rows["eta = 1, 100 steps"] = evaluate.faces_marks(walk)
    for name in ("sure in each category", "frequency of each skin", "eta = 1, 100 steps"):
        print(name, rows[name], flush=True)

    generator = torch.Generator().manual_seed(evaluate.HELD_OUT)
    drawn = data.faces(max(SIZES), generator=generator).images
    seen, distances = evaluate.features(judge, drawn), {}
    for steps in STEPS:
        x = evaluate.generate(net, recipe, max(SIZES), steps=steps)
        distances[steps] = metrics.frechet_distance(evaluate.features(judge, x), seen)
        print(steps, "steps:", distances[steps], flush=True)
    rows["frechet distance after steps"] = distances

    learnt = recipe.data()[0]
    for name, images in (("samples", sampled["nothing", SEEDS[0]]), ("held-out faces", drawn)):
        distance, index = nearest(images, learnt)
        rows[f"nearest to {name}"] = {
            "histogram": distance.histc(BINS, 0, 1).int().tolist(),
            "median": round(distance.median().item(), 4),
            "smallest": round(distance.min().item(), 4),
            "first distances": [round(d, 4) for d in distance[:8].tolist()],
            "first learnt": index[:8].tolist(),
        }
        print(name, rows[f"nearest to {name}"], flush=True)
    print(zoo.save_table("models", rows, ["faces", "face-attributes"]))


if __name__ == "__main__":
    main()

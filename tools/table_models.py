"""Measures the faces network for the page "Drawn faces and trained networks": minutes.

Writes ``minidiff/weights/tables/models.json``: each quality for three seeds at two sizes, the
distance after 10 to 100 steps, and how near samples come to the faces that were learnt.
"""

import torch
from torch import Tensor

from minidiff import data, evaluate, metrics, zoo
from minidiff.nets import Judge

SEEDS = (1, 2, 3)
SIZES = (100, 1000)
STEPS = (10, 20, 50, 100)
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
    for told, labelled in (("told nothing", False), ("told a label", True)):
        for n in SIZES:
            measured = [evaluate.faces_quality(net, seed, labelled, n) for seed in SEEDS]
            rows[f"{told}, n = {n}"] = measured
            print(told, n, *measured, sep="\n  ", flush=True)

    generator = torch.Generator().manual_seed(evaluate.HELD_OUT)
    drawn = data.faces(evaluate.SAMPLES, generator=generator).images
    seen = evaluate.features(judge, drawn)
    distances = {}
    for steps in STEPS:
        sampled = [evaluate.generate(net, recipe, steps=steps, seed=seed) for seed in SEEDS]
        distances[steps] = [
            round(metrics.frechet_distance(evaluate.features(judge, x), seen), 2) for x in sampled
        ]
        print(steps, "steps:", distances[steps], flush=True)
    rows["frechet distance after steps"] = distances

    learnt = recipe.data()[0]
    x = evaluate.generate(net, recipe)
    for name, images in (("samples", x), ("held-out faces", drawn)):
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

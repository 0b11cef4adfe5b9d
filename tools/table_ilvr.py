"""Measures ILVR for chapter 8: a quarter of an hour.

Writes ``minidiff/weights/tables/ilvr.json``: diversity over N, the distance to faces for three
filters, and ILVR beside guidance by a classifier of noisy faces.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minidiff import data, ddim, evaluate, metrics, zoo
from minidiff.apps import ilvr
from minidiff.forward import EpsFn, eps_fn
from minidiff.guidance import classifier_guidance
from minidiff.nets import Judge
from minidiff.sampling import last, sample
from minidiff.schedule import cosine_schedule

SEEDS, N, STEPS = (1, 2, 3), 500, 50
SCHEDULE = cosine_schedule(1000)
GRID = SCHEDULE.grid(STEPS)
FILTERS = (ilvr.block_average, ilvr.nearest, ilvr.bicubic)
WANTED = ("background", "hair_color")


def refined(
    predict: EpsFn, y: Tensor, filter_: Callable[..., Tensor], n: int, seed: int
) -> Tensor:
    """Returns one sample for each reference."""
    phi = functools.partial(filter_, n=n)

    def draw(some: Tensor) -> Tensor:
        return last(ilvr.refine(predict, phi, some, SCHEDULE, GRID))

    torch.manual_seed(seed)
    return evaluate.in_batches(draw, y)


def diversity(predict: EpsFn, y: Tensor, n: int, each: int, seed: int) -> float:
    """Returns the root mean square distance per pixel between samples of one reference."""
    x = refined(predict, y.repeat_interleave(each, 0), ilvr.block_average, n, seed)
    variance = x.view(len(y), each, -1).var(1).mean().item()
    return round(math.sqrt(2 * variance), 4)


def guided(
    predict: EpsFn, noisy: Judge, y: Tensor, w: float, seed: int, clip: float | None = 1.0
) -> Tensor:
    """Returns one sample for each reference, guided to what the classifier sees in it.

    At T the prediction is the state over sqrt(alpha_bar) = 5e-5, and so is every error of the
    gradient: without ``clip`` it sets the first step.
    """
    step = functools.partial(ddim.step, eta=1.0, clip=clip)
    with torch.no_grad():
        answers = evaluate.verdict(noisy, y)[0]

    def draw(some: Tensor, *wanted: Tensor) -> Tensor:
        def log_prob(x: Tensor, t: Tensor) -> Tensor:
            said = noisy(x)
            logs = [said[name].log_softmax(1) for name in WANTED]
            terms = [log.gather(1, c[:, None]) for log, c in zip(logs, wanted, strict=True)]
            return torch.cat(terms, 1).sum(1)

        walk = classifier_guidance(predict, log_prob, SCHEDULE, w)
        return last(sample(walk, torch.randn_like(some), SCHEDULE, GRID, step))

    torch.manual_seed(seed)
    return evaluate.in_batches(draw, y, *(answers[name] for name in WANTED))


def main() -> None:
    """Measures, prints and stores."""
    judge, noisy = zoo.load("face-attributes"), zoo.load("face-noisy")
    assert isinstance(judge, Judge) and isinstance(noisy, Judge)
    drawn = data.faces(2 * N, generator=torch.Generator().manual_seed(evaluate.HELD_OUT))
    y, predict = drawn.images[:N], eps_fn(zoo.load("faces"), SCHEDULE)
    seen = evaluate.features(judge, drawn.images[N:])

    def distance(x: Tensor) -> float:
        return round(metrics.frechet_distance(evaluate.features(judge, x), seen), 2)

    rows: dict[str, Any] = {"seeds": SEEDS, "n": N, "steps": STEPS}
    rows["frechet of faces"] = distance(y)
    rows["diversity"] = {
        n: [diversity(predict, y[:8], n, 16, seed) for seed in SEEDS] for n in (2, 4, 8, 16)
    }
    rows["diversity of few"] = {8: diversity(predict, y[:4], 8, 4, SEEDS[0])}
    print(rows, flush=True)
    rows["frechet"] = {}
    for filter_ in FILTERS:
        for n in (2, 4, 8):
            found = [distance(refined(predict, y, filter_, n, seed)) for seed in SEEDS]
            rows["frechet"][f"{filter_.__name__}, N = {n}"] = found
            print(filter_.__name__, n, found, flush=True)

    tasks: dict[str, Callable[[], Tensor]] = {
        "ILVR, N = 8": lambda: refined(predict, y, ilvr.block_average, 8, SEEDS[0])
    }
    walk = functools.partial(guided, predict, noisy, y, seed=SEEDS[0])
    for w in (1.0, 3.0, 10.0):
        tasks[f"guidance, w = {w:g}"] = functools.partial(walk, w=w)
    tasks["the same, w = 1, x0 free"] = functools.partial(walk, w=1.0, clip=None)
    rows["task"] = {}
    for name, draw in tasks.items():
        start = time.perf_counter()
        x = draw()
        seconds = (time.perf_counter() - start) / N
        answers = evaluate.verdict(judge, x)[0]
        same = [answers[k] == getattr(drawn.attributes, k)[:N] for k in WANTED]
        rows["task"][name] = {
            "agreement": round(torch.stack(same).all(0).float().mean().item(), 4),
            "frechet_distance": distance(x),
            "calls": STEPS if name.startswith("ILVR") else 3 * STEPS,
            "seconds": round(seconds, 4),
        }
        print(name, rows["task"][name], flush=True)
    print(zoo.save_table("ilvr", rows, ["faces", "face-noisy", "face-attributes"]))


if __name__ == "__main__":
    main()

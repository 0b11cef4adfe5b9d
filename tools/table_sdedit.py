"""Measures SDEdit for chapter 7: a quarter of an hour.

Writes ``minidiff/weights/tables/sdedit.json``: how far edits are from their guides and from faces,
over t0, with and without noise in the walk, and after repeats.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from minidiff import data, ddim, evaluate, metrics, zoo
from minidiff.apps import sdedit
from minidiff.data.faces import FaceAttributes
from minidiff.forward import EpsFn, eps_fn
from minidiff.nets import Judge
from minidiff.sampling import StepFn, last
from minidiff.schedule import cosine_schedule

SEEDS, N, FEW, STEPS = (1, 2, 3), 1000, 100, 40
LEVELS = (0.97, 0.90, 0.78, 0.49)  # alpha_bar at t0
MEANT = ("background", "hair_color", "clothes")
SCHEDULE = cosine_schedule(1000)


def time_of(alpha_bar: float) -> int:
    """Returns the time whose alpha_bar is nearest."""
    return int((SCHEDULE.alpha_bar - alpha_bar).abs().argmin())


def edited(
    predict: EpsFn, guides: Tensor, level: float, seed: int, step: StepFn, repeats: int = 1
) -> Tensor:
    """Returns the edits of all guides, the same noise at every level."""
    grid = SCHEDULE.grid(STEPS, start=time_of(level))

    def draw(some: Tensor) -> Tensor:
        for _ in range(repeats):
            some = last(sdedit.edit(predict, some, SCHEDULE, grid, step=step))
        return some

    torch.manual_seed(seed)
    return evaluate.in_batches(draw, guides)


def marks(
    judge: Judge, x: Tensor, guides: Tensor, meant: FaceAttributes, seen: Tensor
) -> dict[str, float]:
    """Returns the figures of the edits of n guides."""
    answers, sure = evaluate.verdict(judge, x)
    same = [answers[name] == getattr(meant, name) for name in MEANT]
    measured = {
        "l2": (x - guides).square().mean().item(),
        "frechet_distance": metrics.frechet_distance(evaluate.features(judge, x), seen),
        "kept": torch.stack(same).all(0).float().mean().item(),
        "sure": sure.float().mean().item(),
    }
    return {name: round(value, 4) for name, value in measured.items()}


def main() -> None:
    """Measures, prints and stores."""
    judge = zoo.load("face-attributes")
    assert isinstance(judge, Judge)
    drawn = data.faces(2 * N, generator=torch.Generator().manual_seed(evaluate.HELD_OUT))
    guides, others = data.strokes(drawn.images[:N]), drawn.images[N:]
    meant = FaceAttributes(*(values[:N] for values in drawn.attributes))
    seen = evaluate.features(judge, others)
    predict = eps_fn(zoo.load("faces"), SCHEDULE)
    figures: dict[str, list[dict[str, float]]] = {}
    few: dict[str, float] = {}

    def measure(name: str, x: Tensor) -> None:
        figures.setdefault(name, []).append(marks(judge, x, guides, meant, seen))
        print(name, figures[name][-1], flush=True)

    measure("guides", guides)
    measure("faces meant", drawn.images[:N])
    plain: StepFn = functools.partial(ddim.step, eta=0.0)
    for seed in SEEDS:
        for level in LEVELS:
            x = edited(predict, guides, level, seed, sdedit.step)
            measure(f"alpha_bar {level}", x)
            if seed == SEEDS[0]:
                few[str(level)] = round((x[:FEW] - guides[:FEW]).square().mean().item(), 4)
                measure(f"alpha_bar {level}, eta 0", edited(predict, guides, level, seed, plain))
        if seed == SEEDS[0]:
            for repeats in (2, 3):
                x = edited(predict, guides, 0.90, seed, sdedit.step, repeats)
                measure(f"alpha_bar 0.9, {repeats} rounds", x)
    rows: dict[str, Any] = {"seeds": SEEDS, "n": N, "steps": STEPS, "levels": LEVELS}
    rows |= {"figures": figures, f"l2 of {FEW}": few}
    print(zoo.save_table("sdedit", rows, ["faces", "face-attributes"]))


if __name__ == "__main__":
    main()

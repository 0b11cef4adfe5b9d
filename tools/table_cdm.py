"""Measures the cascade for chapter 6: half an hour.

Writes ``minidiff/weights/tables/cdm.json``: the sweep over s with a good and an under-trained
base, what is left of real small images, three ways of augmentation on the 8 -> 16 stage,
truncated against not, and the single network of full size beside them.
"""

import time
from typing import Any

import torch
from torch import Tensor, nn

from minidiff import evaluate, metrics, recipes, zoo
from minidiff.apps import cdm, sr3
from minidiff.forward import eps_fn, q_sample
from minidiff.nets import Judge
from minidiff.recipes import S_MAX
from minidiff.sampling import last, sample
from minidiff.schedule import cosine_schedule

SEEDS = (1, 2, 3)
SIZES = (100, 1000)
STEPS = 25  # of every stage
LEVELS = (0, 50, 150, 300, 500)
BASES = ("cdm-8", "cdm-8-early")
SCHEDULE = cosine_schedule(1000)
GRID = SCHEDULE.grid(STEPS)


def enlarged(net: nn.Module, small: Tensor, s: int, label: Tensor) -> Tensor:
    """Returns a sample of a stage for each small image, noised to level s."""

    def draw(z: Tensor, c: Tensor) -> Tensor:
        z = q_sample(z, s, torch.randn_like(z), SCHEDULE)
        return last(cdm.stage(net, z, s, c, SCHEDULE, GRID, s_max=S_MAX))

    return evaluate.in_batches(draw, small, label)


def cascaded(nets: dict[str, nn.Module], small: Tensor, s: int, label: Tensor) -> Tensor:
    """Returns what both stages make of small images, the same s at both."""
    middle = enlarged(nets["cdm-16"], small, s, label)
    return enlarged(nets["cdm-32"], middle, s, label)


def based(net: nn.Module, n: int, seed: int, label: Tensor) -> Tensor:
    """Returns n samples of a base."""
    return evaluate.generate(net, zoo.recipe("cdm-8"), n, steps=STEPS, seed=seed, label=label)


def marks(judge: Judge, x: Tensor, small: Tensor, label: Tensor, seen: Tensor) -> dict[str, float]:
    """Returns the marks of n samples that were made from ``small``.

    ``own``, ``other``: the signal-to-noise ratio of the sample, made small, against the small
    image that it was made from, and against that of another sample of the same class.
    """
    answers, sure = evaluate.verdict(judge, x)
    back = sr3.down(x, 4)
    measured = {
        "frechet_distance": metrics.frechet_distance(
            evaluate.features(judge, x), evaluate.features(judge, seen)
        ),
        "agreement": evaluate.agreement(answers, label),
        "sure": sure.float().mean().item(),
        "own": evaluate.pooled_psnr(back, small),
        "other": evaluate.pooled_psnr(back, small.roll(8, 0)),  # the labels repeat after 8
    }
    return {name: round(value, 4) for name, value in measured.items()}


def sweep(nets: dict[str, nn.Module], judge: Judge, faces: Tensor) -> dict[str, Any]:
    """Returns the marks of both bases at every s, for each seed and size."""
    n = max(SIZES)
    label = torch.arange(n) % 8
    rows: dict[str, list[dict[str, float]]] = {}
    for base in BASES:
        for seed in SEEDS:
            small = based(nets[base], n, seed, label)
            for s in LEVELS:
                torch.manual_seed(seed)
                x = cascaded(nets, small, s, label)
                for size in SIZES:
                    some = slice(size)
                    found = marks(judge, x[some], small[some], label[some], faces[some])
                    rows.setdefault(f"{base}, s = {s}, n = {size}", []).append(found)
                print(base, seed, s, found, flush=True)
    return rows


def kept(nets: dict[str, nn.Module], faces: Tensor, label: Tensor) -> dict[str, float]:
    """Returns the signal-to-noise ratio of what is made of real small images, for every s."""
    rows = {}
    for s in LEVELS:
        torch.manual_seed(SEEDS[0])
        x = cascaded(nets, sr3.down(faces, 4), s, label)
        rows[str(s)] = round(evaluate.pooled_psnr(x, faces), 4)
        print("real small images", s, rows[str(s)], flush=True)
    return rows


def augmentations(nets: dict[str, nn.Module], middle: Tensor) -> dict[str, float]:
    """Returns Fréchet distances at 16 pixels, after the first stage, for each augmentation."""
    n = len(middle) // 2
    project, label, rows = metrics.pca(middle, 20), torch.arange(n) % 8, {}
    ways = [("none", "cdm-16-clean", 0), ("blur", "cdm-16-blur", 0)]
    ways += [(f"gaussian, s = {s}", "cdm-16", s) for s in LEVELS]
    for base in BASES:
        small = based(nets[base], n, SEEDS[0], label)
        for way, name, s in ways:
            torch.manual_seed(SEEDS[0])
            x = enlarged(nets[name], small, s, label)
            far = metrics.frechet_distance(project(x), project(middle[:n]))
            rows[f"{base}, {way}"] = round(far, 4)
            print(base, way, rows[f"{base}, {way}"], flush=True)
    rows["floor"] = round(metrics.frechet_distance(*map(project, middle.chunk(2))), 4)
    return rows


def truncated(nets: dict[str, nn.Module], judge: Judge, faces: Tensor, s: int) -> dict[str, Any]:
    """Returns the distance of the cascade whose base is stopped at s, and of the other one."""
    n = max(SIZES)
    label, seen, rows = torch.arange(n) % 8, evaluate.features(judge, faces), {}
    for base in BASES:
        noise = torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(SEEDS[0]))
        small = based(nets[base], n, SEEDS[0], label)

        def stopped(x: Tensor, c: Tensor) -> Tensor:
            predict = eps_fn(nets[base], SCHEDULE, label=c)  # noqa: B023
            z = last(sample(predict, x, SCHEDULE, SCHEDULE.grid(STEPS, stop=s)))
            return last(cdm.stage(nets["cdm-16"], z, s, c, SCHEDULE, GRID, s_max=S_MAX))

        torch.manual_seed(SEEDS[0])
        for way, middle in (
            ("truncated", evaluate.in_batches(stopped, noise, label)),
            ("not truncated", enlarged(nets["cdm-16"], small, s, label)),
        ):
            x = enlarged(nets["cdm-32"], middle, s, label)
            far = metrics.frechet_distance(evaluate.features(judge, x), seen)
            rows[f"{base}, {way}"] = round(far, 4)
            print(base, way, rows[f"{base}, {way}"], flush=True)
    return rows


def single(judge: Judge, faces: Tensor) -> dict[str, Any]:
    """Returns the marks of the network ``faces``, told the same labels."""
    n = max(SIZES)
    label, net = torch.arange(n) % 8, zoo.load("faces")
    x = evaluate.generate(net, zoo.recipe("faces"), n, steps=STEPS, seed=SEEDS[0], label=label)
    found = marks(judge, x, sr3.down(x, 4), label, faces)
    return {name: found[name] for name in ("frechet_distance", "agreement", "sure")}


def seconds(nets: dict[str, nn.Module]) -> dict[str, float]:
    """Returns the milliseconds of a call for one of 100 images, by network."""
    rows = {}
    for name, net, size in (
        ("cdm-8", nets["cdm-8"], 8),
        ("cdm-16", nets["cdm-16"], 16),
        ("cdm-32", nets["cdm-32"], 32),
        ("faces", zoo.load("faces"), 32),
    ):
        x, level = torch.randn(100, 3, size, size), torch.ones(100)
        told = {"image": x} if name in ("cdm-16", "cdm-32") else {}
        with torch.no_grad():
            net(x, level, **told)
            start = time.perf_counter()
            for _ in range(5):
                net(x, level, **told)
        rows[name] = round(1e3 * (time.perf_counter() - start) / 500, 4)
    return rows


def main() -> None:
    """Measures, prints and stores."""
    torch.set_num_threads(2)
    names = [*BASES, "cdm-16", "cdm-16-blur", "cdm-16-clean", "cdm-32"]
    nets, judge = {name: zoo.load(name) for name in names}, zoo.load("face-attributes")
    assert isinstance(judge, Judge)
    n = max(SIZES)
    faces, label = recipes.labelled_faces(2 * n, evaluate.HELD_OUT)
    rows: dict[str, Any] = {"seeds": SEEDS, "sizes": SIZES, "steps": STEPS, "levels": LEVELS}
    rows |= {"milliseconds": seconds(nets), "single": single(judge, faces[:n])}
    print(rows, flush=True)
    rows["floor"] = metrics.frechet_distance(*evaluate.features(judge, faces).chunk(2))
    rows["agreement of real faces"] = evaluate.agreement(evaluate.verdict(judge, faces)[0], label)
    rows["sweep"] = sweep(nets, judge, faces[:n])
    rows["real small images"] = kept(nets, faces[:n], label[:n])
    rows["augmentations"] = augmentations(nets, sr3.down(faces, 2))
    rows["truncated"] = truncated(nets, judge, faces[:n], 200)
    print(zoo.save_table("cdm", rows, [*names, "faces", "face-attributes"]))


if __name__ == "__main__":
    main()

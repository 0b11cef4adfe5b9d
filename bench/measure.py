"""The rows of the table: what is timed, how often, and in which order.

Libraries take turns within every round, in an order that rotates, so that whatever else the
machine does meanwhile falls on all of them. A cell is the median of the rounds with its quartiles.
"""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from libraries import ALPHA_BAR, Library, T, Walk
from torch import Tensor, nn

from minidiff.data import eight_gaussians
from minidiff.forward import noise_level
from minidiff.metrics import energy_distance
from minidiff.nets import MLP, UNet

Row = dict[str, Any]  # what report.py turns into a line of the table
Values = dict[str, list[float]]  # by library, one for each round

BATCH = 256  # of the training rows
RATES = (2e-3, 1e-3, 4e-3)  # that a loop may start or peak with
CLOCKS = {"wall": "perf_counter", "cpu": "process_time"}  # names in the module time
CLOCK = "wall"  # run.py may choose the other one


def clock() -> float:
    """Reads the chosen clock, in seconds."""
    return float(getattr(time, CLOCKS[CLOCK])())


def seconds(call: Callable[[], object]) -> float:
    """Times one call, with the garbage collector held off as ``timeit`` does."""
    gc.collect()
    gc.disable()
    try:
        start = clock()
        call()
        return clock() - start
    finally:
        gc.enable()


def turns(libraries: Sequence[Library], rounds: int) -> Iterator[Sequence[Library]]:
    """Yields the order of each round: everyone once, another one first every time."""
    for k in range(rounds):
        k %= len(libraries)
        yield [*libraries[k:], *libraries[:k]]


def row(key: str, title: str, unit: str, values: Values, **more: object) -> Row:
    """Returns a row of the table with its medians and quartiles.

    ``higher`` says that more is better, ``goal`` is the number that minidiff is held to.
    """
    cells = {}
    for name, drawn in values.items():
        q1, median, q3 = np.percentile(drawn, [25, 50, 75]).tolist()
        cells[name] = {"median": median, "q1": q1, "q3": q3, "n": len(drawn)}
    return {"key": key, "title": title, "unit": unit, "cells": cells} | more


def outspoken(net: nn.Module) -> nn.Module:
    """Fills the layers that start at zero, so that an untrained network says something."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return net.eval()


def agreement(libraries: Sequence[Library]) -> dict[str, float]:
    """Returns how far the libraries' samples are from minidiff's, and stops where that is far.

    A comparison of times means nothing unless the same thing is computed. They start from the same
    noise and ask the same network. azula's schedule stops at sigma = 0.001 instead of 0, and
    diffusers rounds its betas to float32: hence the room.
    """
    net = outspoken(UNet(1, 32, (1, 1)))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    ends = {each.name: each.sampler(net, 50)(x) for each in libraries}
    ours = ends["minidiff"]
    far = {name: float((end - ours).abs().max() / ours.std()) for name, end in ends.items()}
    for name, distance in far.items():
        if not distance < 0.02:
            sys.exit(f"bench: {name}: expected the samples of minidiff, got some {distance} away")
    return far


def sampler_over_raw(libraries: Sequence[Library], quick: bool) -> Iterator[Row]:
    """Row 1: the time of a DDIM walk of 50 steps over that of 50 calls of its U-Net."""
    steps, rounds = 50, 3 if quick else 32
    net = outspoken(UNet(1, 32, (1, 1)))
    x = torch.randn(16, 1, 8, 8)
    level = noise_level(ALPHA_BAR)[T // 2].float().expand(len(x)).clone()
    walks = {each.name: each.sampler(net, steps) for each in libraries}

    def raw() -> None:
        with torch.no_grad():
            for _ in range(steps):
                net(x, level)

    values: Values = {each.name: [] for each in libraries}
    for walk in walks.values():
        walk(x)
    calls = [seconds(raw)]
    for order in turns(libraries, rounds):
        for each in order:
            took = seconds(lambda walk=walks[each.name]: walk(x))
            calls.append(seconds(raw))
            values[each.name].append(2 * took / (calls[-2] + calls[-1]))
    note = f"A raw call took {1e3 * float(np.median(calls)) / steps:.2f} ms."
    title = "DDIM, 50 steps of a U-Net (16x1x8x8), over 50 raw calls"
    yield row("sampler", title, "ratio", values, goal=1.03, note=note)


def microseconds_a_step(libraries: Sequence[Library], quick: bool) -> Iterator[Row]:
    """Row 2: what the loop itself costs, around a network that answers at once."""
    steps, rounds = 100 if quick else 1000, 3 if quick else 32
    for shape, goal in (((1, 2), 20.0), ((16, 3, 32, 32), None)):
        x, answer = torch.randn(shape), torch.zeros(shape)
        walks = {each.name: each.idle(answer, steps) for each in libraries}
        size = "x".join(map(str, shape))
        title = f"DDIM, {steps} steps of a null network ({size})"
        yield row(f"step-{size}", title, "µs/step", _each_step(walks, x, steps, rounds), goal=goal)


def _each_step(walks: dict[str, Walk], x: Tensor, steps: int, rounds: int) -> Values:
    values: Values = {name: [] for name in walks}
    for walk in walks.values():
        walk(x)
    names = list(walks)
    for k in range(rounds):
        for i in range(len(names)):
            name = names[(i + k) % len(names)]
            took = seconds(lambda walk=walks[name]: walk(x))
            values[name].append(1e6 * took / steps)
    return values


def drawer() -> Callable[[], Tensor]:
    """Returns what draws a batch of points, the same and as cheap for everyone."""
    points = eight_gaussians(50_000, torch.Generator().manual_seed(0))
    return lambda: points[torch.randint(len(points), (BATCH,))]


def fresh(seed: int) -> MLP:
    """Returns the network of the training rows as it is before training."""
    torch.manual_seed(seed)
    return MLP()


def advance(run: Iterator[nn.Module], steps: int) -> None:
    """Takes that many steps of a training loop."""
    for _ in range(steps):
        next(run)


def training_speed(libraries: Sequence[Library], quick: bool) -> Iterator[Row]:
    """Row 3: optimiser steps a second, each loop with everything that it does."""
    block, rounds, warm = (10, 3, 5) if quick else (50, 32, 50)
    length = warm + rounds * block + 1
    runs = {each.name: each.train(fresh(0), drawer(), length, RATES[0]) for each in libraries}
    for run in runs.values():
        advance(run, warm)
    values: Values = {name: [] for name in runs}
    for order in turns(libraries, rounds):
        for each in order:
            took = seconds(lambda run=runs[each.name]: advance(run, block))
            values[each.name].append(block / took)
    title = f"training, MLP, batches of {BATCH} points"
    yield row("training", title, "steps/s", values, higher=True)


def imports(libraries: Sequence[Library], quick: bool) -> Iterator[Row]:
    """Row 4: what an import adds to ``import torch``, in fresh interpreters.

    Each interpreter imports torch first and then starts the clock: the difference is the same as
    between two interpreters with and without, less the spread of torch's own second.
    """
    rounds = 2 if quick else 11
    for key, title, goal in (
        ("bare", "import of the package, after torch", 20.0),
        ("needed", "import of what a DDIM walk needs, after torch", 20.0),
    ):
        values: Values = {each.name: [] for each in libraries}
        for each in libraries:
            import_milliseconds(getattr(each, key))  # compiles, and fills the disk's cache
        for order in turns(libraries, rounds):
            for each in order:
                values[each.name].append(import_milliseconds(getattr(each, key)))
        yield row(f"import-{key}", title, "ms", values, goal=goal)


def import_milliseconds(statement: str) -> float:
    """Times an import statement in an interpreter of its own."""
    script = (
        "import time, torch, stub\n"
        "with stub.torchvision():\n"
        f"    start = time.{CLOCKS[CLOCK]}()\n"
        f"    {statement}\n"
        f"    print(1e3 * (time.{CLOCKS[CLOCK]}() - start))\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    # pip compiled the peers when it installed them; minidiff's own tree is compiled on first use.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(run.stdout)


def distance_by_time(libraries: Sequence[Library], quick: bool) -> Iterator[Row]:
    """Row 5: how close to eight Gaussians the samples are after so many seconds of training.

    Which rate is best depends on the loop, on whether it falls most of all: each library is given
    the same three and judged by the best of them, budget by budget.
    """
    budgets, seeds, rates = ((1.0,), 1, RATES[:1]) if quick else ((5.0, 10.0, 20.0), 3, RATES)
    for budget in budgets:
        tried: dict[str, dict[float, list[tuple[float, int]]]] = {
            each.name: {rate: [] for rate in rates} for each in libraries
        }
        for seed, order in enumerate(turns(libraries, seeds)):
            for rate in rates:
                for each in order:
                    net, steps = trained(each, budget, rate, seed)
                    far = 1e3 * distance(each.sampler(net, 50), seed)
                    tried[each.name][rate].append((far, steps))
        yield _best_rates(f"distance-{budget:g}", budget, tried)


def _best_rates(
    key: str, budget: float, tried: dict[str, dict[float, list[tuple[float, int]]]]
) -> Row:
    values, notes = {}, []
    for name, by_rate in tried.items():
        medians = {rate: np.median(drawn, axis=0) for rate, drawn in by_rate.items()}
        best = min(medians, key=lambda rate: float(medians[rate][0]))
        values[name] = [far for far, _ in by_rate[best]]
        notes.append(f"{name} {medians[best][1]:.0f} at {best:g}")
    title = f"energy distance after {budget:g} s of training, x 1000"
    note = f"Steps taken, at the best of the rates: {', '.join(notes)}."
    every = {n: {f"{r:g}": drawn for r, drawn in tried[n].items()} for n in tried}
    return row(key, title, "x 1000", values, note=note, tried=every)


def trained(library: Library, budget: float, lr: float, seed: int) -> tuple[nn.Module, int]:
    """Returns the network after that many seconds of training, and the steps it took.

    Loops whose rate falls to 0 have to be told their length, so each is first timed for a moment,
    and then trained for what fits into the budget: the clock stops it if that was too much.
    """
    draw = drawer()
    probe = library.train(fresh(seed), draw, 200, lr)
    advance(probe, 20)
    a_step = seconds(lambda: advance(probe, 100)) / 100
    steps, taken = max(1, int(budget / a_step)), 0
    run, start = library.train(fresh(seed), draw, steps, lr), clock()
    while taken < steps and clock() - start < budget:
        net, taken = next(run), taken + 1
    return net, taken


def distance(walk: Walk, seed: int) -> float:
    """Returns the energy distance between 2,000 samples and 2,000 points, over five such pairs."""
    generator = torch.Generator().manual_seed(1000 + seed)
    pairs = []
    for _ in range(5):
        points, noise = eight_gaussians(2000, generator), torch.randn(2000, 2, generator=generator)
        pairs.append(energy_distance(walk(noise), points))
    return float(np.mean(pairs))


def floor() -> list[float]:
    """Returns the spread of ``distance``, times 1000, where the samples are the data's own."""
    generator = torch.Generator().manual_seed(0)

    def again(noise: Tensor) -> Tensor:
        return eight_gaussians(len(noise), generator)

    drawn = [1e3 * distance(again, seed) for seed in range(20)]
    q1, median, q3 = np.percentile(drawn, [25, 50, 75]).tolist()
    return [q1, median, q3]


ROWS: dict[str, Callable[[Sequence[Library], bool], Iterator[Row]]] = {
    "sampler": sampler_over_raw,
    "step": microseconds_a_step,
    "training": training_speed,
    "import": imports,
    "distance": distance_by_time,
}

"""The command line: ``python -m minidiff list`` and ``python -m minidiff train NAME``."""

import argparse
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from minidiff import metrics, zoo
from minidiff.forward import eps_fn
from minidiff.sampling import last, sample

SAMPLES = 1000  # what the quality in the manifest is measured on


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status, 0, or 1 for what could not be done."""
    parser = argparse.ArgumentParser(prog="python -m minidiff")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the recipes, and how good their weights are")
    command = commands.add_parser("train", help="run a recipe and store its weights")
    command.add_argument("name", choices=sorted(zoo.RECIPES), metavar="NAME")
    command.add_argument("--resume", action="store_true", help="continue an interrupted run")
    command.add_argument("--out", type=Path, default=zoo.WEIGHTS, help="folder (%(default)s)")
    command.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    asked = parser.parse_args(argv)
    try:
        if asked.command == "list":
            show()
        else:
            train(asked.name, asked.out, asked.device, asked.resume)
    except (OSError, ValueError, FloatingPointError) as error:
        print(f"minidiff: {error}", file=sys.stderr)
        return 1
    return 0


def show() -> None:
    """Prints every recipe, and what the manifest says of its weights."""
    entries = zoo.manifest()
    for name, recipe in sorted(zoo.RECIPES.items()):
        entry = entries.get(name, {"quality": "not trained"})
        quality = entry.get("quality", "not measured")
        print(f"{name}: {recipe.steps} steps of {recipe.batch}: {quality}")


def train(name: str, out: Path, device: str, resume: bool) -> None:
    """Runs a recipe, with a checkpoint in ``out`` while it lasts, and stores the weights there.

    Raises:
        ValueError: There is a checkpoint and ``resume`` is not set, or the other way round.
    """
    from tqdm import tqdm

    recipe, checkpoint = zoo.recipe(name), out / f"{name}.checkpoint"
    if checkpoint.exists() != resume:
        found = "is" if checkpoint.exists() else "is not"
        advice = "without --resume" if resume else "with --resume, or delete it"
        raise ValueError(f"{checkpoint} {found} there: run again {advice}")
    out.mkdir(parents=True, exist_ok=True)
    begin, losses, net = time.monotonic(), deque[float](maxlen=200), None
    with tqdm(total=recipe.steps, desc=name) as bar:
        for progress in zoo.train(name, device=device, checkpoint=checkpoint):
            net = progress.ema
            losses.append(progress.loss)
            bar.update(progress.step - bar.n)
            bar.set_postfix(loss=f"{progress.loss:.3f}", refresh=False)
    assert net is not None  # a run has at least one step
    facts = {
        "seconds": round(time.monotonic() - begin),
        "resumed": resume,  # then the seconds are those since
        "final_loss": round(sum(losses) / len(losses), 4),  # the mean of the last steps ...
        "final_loss_over": len(losses),  # ... 200 of them, or fewer where it was resumed late
        "quality": quality(net.cpu().half().float(), recipe),  # as it will be read
    }
    print(f"{zoo.save(name, net, out, **facts)}: {facts}")
    checkpoint.unlink()


def quality(net: nn.Module, recipe: zoo.Recipe) -> dict[str, float]:
    """Returns the distances between 1,000 samples and the recipe's data.

    The samples are those of DDIM with eta = 0 in 50 steps; the Fréchet distance is taken in the
    first 20 principal coordinates of the data, the energy distances among pixels.
    """
    images, schedule = recipe.data(), recipe.schedule()
    noise = torch.randn(SAMPLES, *images.shape[1:], generator=torch.Generator().manual_seed(1))
    x = last(sample(eps_fn(net, schedule), noise, schedule, schedule.grid(50)))
    project = metrics.pca(images, 20)
    return {
        "frechet_distance": round(metrics.frechet_distance(project(x), project(images)), 3),
        "energy_distance": round(metrics.energy_distance(x, images), 4),
        "marginal_energy_distance": round(metrics.marginal_energy_distance(x, images), 4),
    }


if __name__ == "__main__":
    sys.exit(main())

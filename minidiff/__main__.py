"""The command line: ``python -m minidiff list``, ``train NAME`` and ``sample NAME``.

Under ``torchrun`` the processes of ``train`` share the batch.
"""

import argparse
import math
import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from minidiff import _validate as check
from minidiff import evaluate, zoo
from minidiff.recipes import RECIPES
from minidiff.train import processes, write_atomically


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status, 0, or 1 for what could not be done."""
    parser = argparse.ArgumentParser(prog="python -m minidiff")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the recipes, and how good their weights are")
    command = commands.add_parser("train", help="run a recipe and store its weights")
    command.add_argument("name", choices=sorted(RECIPES), metavar="NAME")
    command.add_argument("--resume", action="store_true", help="continue an interrupted run")
    command.add_argument("--out", type=Path, default=zoo.WEIGHTS, help="folder (%(default)s)")
    command.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    command.add_argument(
        "--bfloat16",
        action="store_true",
        help="compute in bfloat16, where hardware is made for it",
    )
    command = commands.add_parser("sample", help="draw pictures with trained weights")
    command.add_argument("name", choices=_pictured(), metavar="NAME")
    command.add_argument("--n", type=int, default=64, help="how many (%(default)s)")
    command.add_argument("--steps", type=int, default=50, help="of DDIM (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="of the noise (%(default)s)")
    command.add_argument("--label", type=int, help="the class (none)")
    command.add_argument("--out", type=Path, required=True, help="the picture, a PNG file")
    asked = parser.parse_args(argv)
    try:
        if asked.command == "list":
            show()
        elif asked.command == "sample":
            draw(asked.name, asked.n, asked.steps, asked.seed, asked.label, asked.out)
        else:
            train(asked.name, asked.out, asked.device, asked.bfloat16, asked.resume)
    except (OSError, ValueError, FloatingPointError) as error:
        print(f"minidiff: {error}", file=sys.stderr)
        return 1
    return 0


def _pictured() -> list[str]:
    """Returns the recipes whose samples are pictures."""
    return sorted(name for name, it in RECIPES.items() if it.shape and len(it.shape) == 3)


def show() -> None:
    """Prints every recipe, and what the manifest says of its weights."""
    entries = zoo.manifest()
    for name, recipe in sorted(RECIPES.items()):
        entry = entries.get(name, {"quality": "not trained"})
        quality = entry.get("quality", "not measured")
        print(f"{name}: {recipe.steps} steps of {recipe.batch}: {quality}")


def train(name: str, out: Path, device: str, bfloat16: bool, resume: bool) -> None:
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
    if dist.is_available() and dist.is_torchelastic_launched():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
        device = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
    rank, together = processes()
    losses, net, seconds = deque[float](maxlen=200), None, 0.0
    steps = zoo.train(name, device=device, bfloat16=bfloat16, checkpoint=checkpoint)
    with tqdm(total=recipe.stop or recipe.steps, desc=name, disable=rank > 0) as bar:
        for progress in steps:
            net, seconds = progress.ema, progress.seconds
            losses.append(progress.loss)
            bar.update(progress.step - bar.n)
            bar.set_postfix(loss=f"{progress.loss:.3f}", refresh=False)
    assert net is not None  # a run has at least one step
    if together > 1:
        dist.destroy_process_group()
    if rank:
        return
    facts: dict[str, Any] = {
        "seconds": round(seconds),
        "resumed": resume,
        "threads": torch.get_num_threads(),
        "processes": together,
        "bfloat16": bfloat16,
        "final_loss": round(sum(losses) / len(losses), 4),  # the mean of the last steps ...
        "final_loss_over": len(losses),  # ... 200 of them, or fewer where it was resumed late
    }
    print(f"measuring {name} ...", flush=True)
    facts["quality"] = evaluate.QUALITY[name](net.cpu().half().float())  # as it will be read
    print(f"{zoo.save(name, net, out, **facts)}: {facts}")
    checkpoint.unlink()


def draw(name: str, n: int, steps: int, seed: int, label: int | None, out: Path) -> None:
    """Draws samples and writes them as one picture, as many rows as columns.

    Raises:
        ValueError: A number is out of its range, or the network has no classes.
    """
    from tqdm import tqdm

    from minidiff.viz.picture import enlarge, image_grid

    check.integer("n", n, 1)
    told = None if label is None else torch.full((n,), label)
    with tqdm(total=steps * evaluate.batches(n), desc=name) as bar:

        def advance(x: Tensor, _: int) -> Tensor:
            bar.update()
            return x

        x = evaluate.generate(
            zoo.load(name), zoo.recipe(name), n, steps=steps, seed=seed, label=told, hook=advance
        )
    write_atomically(out, enlarge(image_grid(x, math.isqrt(n - 1) + 1), 2))
    print(out)


if __name__ == "__main__":
    sys.exit(main())

"""The one training loop: a generator, so that the caller decides what to show and when to stop.

It imports nothing of the diffusion. What is learned is the loss, a function that is passed in.
"""

import copy
import hashlib
import io
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from minidiff import _validate as check

_Batch = TypeVar("_Batch")
_Net = TypeVar("_Net", bound=nn.Module)


class Progress(NamedTuple):
    """What the loop yields after each step.

    Attributes:
        step: The number of optimiser steps taken, 1..steps.
        loss: The mean loss of this step's batch, before the step.
        ema: The averaged network: in eval mode, without gradients, the same object every time.
            It is the one to sample from.
        seconds: What the steps so far took, those of earlier runs from the checkpoint included.
    """

    step: int
    loss: float
    ema: nn.Module
    seconds: float


def fit(
    net: _Net,
    loss: Callable[[_Net, _Batch], Tensor],
    draw: Callable[[], _Batch],
    *,
    steps: int,
    lr: float,
    ema: float = 0.999,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 500,
    run: Mapping[str, Any] | None = None,
) -> Iterator[Progress]:
    """Trains ``net`` in place, and yields after each optimiser step and average.

    The recipe is fixed: AdamW (betas 0.9 and 0.99, no weight decay), gradients clipped to norm 1,
    the learning rate rising linearly over the first twentieth of the steps and falling to 0 along
    a cosine. The average of the weights follows them by a <- d a + (1 - d) w with
    d = min(ema, (1 + n) / (10 + n)) after n earlier steps, so that it soon forgets the random
    start. Buffers are copied, not averaged.

    With ``checkpoint``, the whole state is written there every ``every`` steps and at the end, in
    one piece or not at all. If the file exists, the run continues from it, bit for bit as if it
    had never stopped, and yields first what it yielded when the file was written; a finished run
    yields its end again. For this ``draw`` and ``loss`` must take their random numbers from
    torch's global generators, and nowhere else.

    Where ``torch.distributed`` is initialised, its processes train one network: each calls this
    with a share of the batch and with random numbers of its own, the gradients are averaged over
    all, and the first process writes the checkpoint, to a file that all can read.

    Args:
        net: On any device; ``draw`` gives batches on the same.
        loss: (net, batch) -> (B,), the loss of each sample.
        draw: () -> batch.
        steps: The length of the run, >= 1.
        lr: The highest learning rate, > 0.
        ema: The decay of the average, in [0, 1); 0 is no averaging.
        checkpoint: A file.
        every: Steps between two checkpoints, >= 1.
        run: What else identifies the run, as JSON can hold it; a checkpoint of another is refused.

    Returns:
        An iterator of ``Progress``; nothing happens until it is asked.

    Raises:
        TypeError: ``steps`` or ``every`` is not an int, or JSON cannot hold ``run``; while it
            runs, ``loss`` did not return a floating-point tensor.
        ValueError: A number is out of its range, or ``checkpoint`` cannot be a file; while it
            runs, ``loss`` did not return (B,) or is detached from the parameters, or the
            checkpoint is damaged or belongs to another run.
        FloatingPointError: While it runs, the loss or its gradient is not finite. The weights are
            then those of the step before.

    Source: Ho et al. 2020 (average, clipping); the warm-up of the average is TensorFlow's.
    """
    check.integer("steps", steps, 1)
    check.integer("every", every, 1)
    if not lr > 0:
        raise ValueError(f"lr: expected a number > 0, got {lr}")
    if not 0 <= ema < 1:
        raise ValueError(f"ema: expected a number in [0, 1), got {ema}")
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise ValueError(f"checkpoint: expected a file in a folder that exists, got {path}")
    recipe: dict[str, Any] = {"steps": steps, "lr": lr, "ema": ema, "processes": processes()[1]}
    recipe |= {f"run's {key}": json.dumps(value) for key, value in (run or {}).items()}
    return _run(net, loss, draw, recipe, path, every)


def processes() -> tuple[int, int]:
    """Returns the number of this process, from 0, and of all that train together: 0, 1 alone."""
    together = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if together else (0, 1)


def _run(
    net: _Net,
    loss: Callable[[_Net, _Batch], Tensor],
    draw: Callable[[], _Batch],
    recipe: dict[str, Any],
    checkpoint: Path | None,
    every: int,
) -> Iterator[Progress]:
    steps, lr, ema = recipe["steps"], recipe["lr"], recipe["ema"]
    rank, together = processes()
    if together > 1:
        for tensor in net.state_dict().values():
            dist.broadcast(tensor, 0)
    average = copy.deepcopy(net).eval().requires_grad_(False)
    weights: list[Tensor] = list(net.parameters())
    averages: list[Tensor] = list(average.parameters())
    optimiser = torch.optim.AdamW(weights, lr=lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    recipe |= {f"shape of {name}": list(x.shape) for name, x in net.state_dict().items()}
    done, begin = 0, time.monotonic()
    if checkpoint is not None and checkpoint.exists():
        state = _read(checkpoint, recipe)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        cpu, cuda = state["random"][rank]
        torch.set_rng_state(cpu)
        torch.cuda.set_rng_state_all(cuda[: torch.cuda.device_count()])
        done, begin = state["step"], begin - state["seconds"]
        yield Progress(done, state["loss"], average, state["seconds"])

    for step in range(done + 1, steps + 1):
        values = loss(net, draw())
        check.floating("loss(net, batch)", values)
        if values.ndim != 1:
            raise ValueError(
                f"loss(net, batch): expected shape (B,), got {check.describe(values)}"
            )
        if not values.requires_grad:
            raise ValueError("loss(net, batch): expected a gradient, got a detached tensor")
        mean = values.mean()
        optimiser.zero_grad()
        mean.backward()  # type: ignore[no-untyped-call]
        mean = mean.detach()
        if together > 1:
            shared = [mean, *(p.grad for p in weights if p.grad is not None)]
            # One message: a hundred small ones cost more than the step itself.
            message = torch.cat([x.flatten() for x in shared])
            dist.all_reduce(message)
            sizes = [x.numel() for x in shared]
            totals = message.split(sizes)  # type: ignore[no-untyped-call]
            for x, total in zip(shared, totals, strict=True):
                x.copy_(total.view(x.shape) / together)
        if not mean.isfinite():
            raise FloatingPointError(f"loss: expected a finite number, got {mean} at step {step}")
        norm = nn.utils.clip_grad_norm_(weights, 1.0)
        if not norm.isfinite():
            raise FloatingPointError(
                f"gradient: expected a finite norm, got {norm} at step {step}"
            )
        for group in optimiser.param_groups:
            group["lr"] = lr * _lr_factor(step - 1, steps)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1 - min(ema, step / (9 + step)))
            for buffer, now in zip(average.buffers(), net.buffers(), strict=True):
                buffer.copy_(now)  # an average of counters or running statistics means nothing

        if checkpoint is not None and (step % every == 0 or step == steps):
            # Before the yield: whatever the caller then does with random numbers, it does again
            # after a resumption, from the same state.
            random = [(torch.get_rng_state(), torch.cuda.get_rng_state_all())] * together
            if together > 1:
                dist.all_gather_object(random, random[0])
            state = {
                "recipe": recipe,
                "step": step,
                "loss": mean.item(),
                "seconds": time.monotonic() - begin,
                "net": net.state_dict(),
                "ema": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "random": random,
            }
            if rank == 0:
                _write(checkpoint, state)
        yield Progress(step, mean.item(), average, time.monotonic() - begin)


def _lr_factor(n: int, steps: int) -> float:
    """The learning rate after n of the steps, as a share of its highest value."""
    return min((n + 1) / math.ceil(steps / 20), 0.5 + 0.5 * math.cos(math.pi * n / steps))


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file in one piece: whatever happens meanwhile, the old or the new one is there."""
    draft = path.with_name(path.name + ".tmp")
    with open(draft, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def _write(path: Path, state: dict[str, Any]) -> None:
    payload = io.BytesIO()
    torch.save(state, payload)
    content = payload.getvalue()
    write_atomically(path, hashlib.sha256(content).digest() + content)


def _read(path: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    content = path.read_bytes()
    digest, payload = content[:32], content[32:]
    # torch.load alone would not do: it reads files with a flipped bit without a word.
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError(
            f"{path}: expected a checkpoint with the SHA-256 written before it, got another: "
            "the file is damaged; restore a copy, or delete it to train from the start"
        )
    state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    for key in recipe | state["recipe"]:
        ours, its = recipe.get(key), state["recipe"].get(key)
        if ours != its:
            raise ValueError(
                f"{path}: expected a checkpoint of this run, {key} = {ours}, got {key} = {its}: "
                "train with that recipe, or to another file"
            )
    return state

"""Trained networks: name -> recipe -> weights, with a manifest that says where they came from.

A recipe is all that a training run depends on. Its weights lie beside this file as safetensors;
``manifest.json`` records for each the recipe, what the run cost, how good the network is and the
SHA-256 of the file.
"""

import functools
import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minidiff import data, ddpm
from minidiff.forward import eps_fn
from minidiff.nets import UNet
from minidiff.schedule import Schedule, linear_schedule
from minidiff.train import Progress, fit, write_atomically

WEIGHTS = Path(__file__).parent / "weights"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Recipe:
    """All that a training run depends on: its network predicts v.

    Attributes:
        data: () -> (N, C, H, W), what to learn, in [-1, 1].
        net: () -> the network before training.
        schedule: () -> the noise schedule.
        steps: The number of optimiser steps.
        batch: Samples in a step, drawn with replacement.
        lr: The highest learning rate.
        ema: The decay of the average.
        seed: Of every random number of the run.
    """

    data: Callable[[], Tensor]
    net: Callable[[], nn.Module]
    schedule: Callable[[], Schedule]
    steps: int
    batch: int
    lr: float
    ema: float = 0.999
    seed: int = 0

    def describe(self) -> dict[str, int | float | str]:
        """Returns the recipe as JSON can hold it, a function as the call that it makes.

        Raises:
            ValueError: A function has no name, as a lambda: nothing would tell it from another.
        """
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: _call(x) if callable(x) else x for name, x in values}


def _call(function: Callable[[], Any]) -> str:
    arguments = []
    if isinstance(function, functools.partial):
        arguments += [repr(x) for x in function.args]
        arguments += [f"{name}={x!r}" for name, x in function.keywords.items()]
        function = function.func
    name = getattr(function, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ValueError(f"recipe: expected a function with a name, got {function!r}")
    return f"{name}({', '.join(arguments)})"


def digits_to_learn() -> Tensor:
    """Returns the 1,500 training digits, (1500, 1, 8, 8) in [-1, 1]."""
    return data.digits().train


RECIPES = {
    "digits": Recipe(
        data=digits_to_learn,
        net=functools.partial(UNet, channels=1, width=32, mults=(1, 1)),
        schedule=functools.partial(linear_schedule, 200),
        steps=8000,
        batch=64,
        lr=2e-3,
    ),
}


def recipe(name: str) -> Recipe:
    """Returns the recipe of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in RECIPES:
        raise ValueError(f"name: expected one of {', '.join(sorted(RECIPES))}, got {name!r}")
    return RECIPES[name]


def train(
    name: str,
    *,
    device: torch.device | str = "cpu",
    checkpoint: str | os.PathLike[str] | None = None,
) -> Iterator[Progress]:
    """Runs a recipe: v-prediction, a noise level for every sample.

    At the first step it seeds torch's global generators, from which everything random in the run
    is drawn.

    Args:
        name: Of the recipe.
        device: Where to train.
        checkpoint: As for ``train.fit``: a file that exists is continued, if it is this recipe's.

    Returns:
        An iterator of ``Progress``; the last one's ``ema`` is the trained network.

    Raises:
        ValueError: There is no such recipe; while it runs, what ``train.fit`` raises.
    """
    it = recipe(name)
    return _train(it, it.describe(), device, checkpoint)


def _train(
    it: Recipe,
    run: dict[str, int | float | str],
    device: torch.device | str,
    checkpoint: str | os.PathLike[str] | None,
) -> Iterator[Progress]:
    torch.manual_seed(it.seed)
    net, images, schedule = it.net().to(device), it.data().to(device), it.schedule()
    weight = 1 / schedule.alpha_bar  # makes the loss of eps that of v

    def draw() -> Tensor:
        return images[torch.randint(len(images), (it.batch,), device=images.device)]

    def loss(net: nn.Module, x0: Tensor) -> Tensor:
        # Stratified: every batch has its times spread evenly over 1..T, each of them uniform.
        u = (torch.rand(1, device=device) + torch.arange(it.batch, device=device) / it.batch) % 1
        t = (u * schedule.T).long() + 1
        return ddpm.loss(eps_fn(net, schedule), x0, schedule, weight=weight, t=t)

    yield from fit(
        net, loss, draw, steps=it.steps, lr=it.lr, ema=it.ema, checkpoint=checkpoint, run=run
    )


def manifest(folder: str | os.PathLike[str] = WEIGHTS) -> dict[str, dict[str, Any]]:
    """Returns what the manifest says of each trained network; empty where there is none.

    Raises:
        ValueError: The file is not a manifest, or an entry is not what was written there.
    """
    path = Path(folder) / _MANIFEST
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got {error}: restore the file") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: expected an object, got {type(entries).__name__}")
    for name, entry in entries.items():
        if (
            not isinstance(entry, dict)
            or not re.fullmatch("[0-9a-f]{64}", str(entry.get("sha256")))
            or not isinstance(entry.get("recipe"), dict)
        ):
            raise ValueError(
                f"{path}: expected an object with sha256 and recipe as {name!r}, got {entry!r}"
            )
        if entry.get("entry_sha256") != _seal(name, entry):
            raise ValueError(
                f"{path}: expected the SHA-256 {entry.get('entry_sha256')} of the entry {name!r}, "
                f"got {_seal(name, entry)}: the file is damaged; restore it"
            )
    return entries


def _seal(name: str, entry: dict[str, Any]) -> str:
    """Returns the SHA-256 of an entry and its name, the seal itself left out."""
    rest = {key: value for key, value in entry.items() if key != "entry_sha256"}
    return hashlib.sha256(json.dumps([name, rest], sort_keys=True).encode()).hexdigest()


def save(
    name: str,
    net: nn.Module,
    folder: str | os.PathLike[str] = WEIGHTS,
    **facts: Any,  # noqa: ANN401 (whatever is worth knowing: loss, seconds, quality)
) -> Path:
    """Writes a trained network in float16, and its entry in the manifest.

    Args:
        name: Of its recipe.
        net: The network, built by the recipe.
        folder: Where to; made if missing.
        **facts: What else to record, as JSON can hold it.

    Returns:
        The path of the weights, ``folder/name.safetensors``.

    Raises:
        ValueError: There is no such recipe, the network is not the recipe's, float16 cannot hold
            its weights, or the manifest there is damaged.
    """
    from safetensors.torch import save as to_bytes

    it, entries, state = recipe(name), manifest(folder), net.state_dict()
    with torch.device("meta"):  # the shapes alone: no memory, no random numbers
        shapes = {key: x.shape for key, x in it.net().state_dict().items()}
    for key in shapes | state:
        ours, its = shapes.get(key), state[key].shape if key in state else None
        if ours != its:
            raise ValueError(f"net: expected the recipe's, {key} of {ours}, got {key} of {its}")
    kind = next(iter(state.values())).device.type
    state = {key: x.half() if x.is_floating_point() else x for key, x in state.items()}
    for key, x in state.items():
        if not x.isfinite().all():
            raise ValueError(f"net: expected weights that float16 can hold, got others in {key}")
    content = to_bytes({key: x.cpu().contiguous() for key, x in state.items()})
    # Through JSON, as it will be read: the seal must not depend on what JSON turns into what.
    entry = json.loads(
        json.dumps(
            {
                **facts,
                "sha256": hashlib.sha256(content).hexdigest(),
                "recipe": it.describe(),
                "machine": f"{os.cpu_count()}-core {platform.machine()}, {kind}",
                "torch": torch.__version__,
            }
        )
    )
    entries[name] = entry | {"entry_sha256": _seal(name, entry)}
    path = Path(folder) / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    # A crash in between leaves weights that the old manifest refuses, never a wrong pair.
    write_atomically(path, content)
    write_atomically(path.with_name(_MANIFEST), (json.dumps(entries, indent=2) + "\n").encode())
    return path


def load(name: str, folder: str | os.PathLike[str] = WEIGHTS) -> nn.Module:
    """Returns a trained network: in eval mode, float32, on the CPU.

    Args:
        name: Of its recipe.
        folder: Where its weights and their manifest are.

    Raises:
        FileNotFoundError: There are no such weights.
        ValueError: There is no such recipe, the weights are not the ones in the manifest (a
            single changed byte is refused), or they were trained by another recipe.
    """
    from safetensors.torch import load as from_bytes

    it, entry = recipe(name), manifest(folder).get(name)
    path = Path(folder) / f"{name}.safetensors"
    if entry is None or not path.exists():
        raise FileNotFoundError(
            f"{path}: expected weights and their entry in {_MANIFEST}, got none: "
            f"train them with `python -m minidiff train {name}`"
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry["sha256"]:
        raise ValueError(
            f"{path}: expected SHA-256 {entry['sha256']}, got {digest}: the file is damaged or "
            f"was replaced; restore it, or train again: `python -m minidiff train {name}`"
        )
    if entry["recipe"] != it.describe():
        raise ValueError(
            f"{path}: expected weights of today's recipe, {it.describe()}, "
            f"got those of {entry['recipe']}: train again"
        )
    with torch.random.fork_rng(devices=[]):  # its random weights are about to be replaced
        net = it.net()
    net.load_state_dict(from_bytes(content))
    return net.eval()

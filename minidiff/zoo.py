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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from minidiff import data, ddpm
from minidiff.data.faces import CATEGORIES
from minidiff.forward import eps_fn
from minidiff.nets import MLP, Judge, UNet
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule
from minidiff.train import Progress, fit, processes, write_atomically

WEIGHTS = Path(__file__).parent / "weights"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Recipe:
    """All that a training run depends on.

    Attributes:
        data: () -> tensors with one row for each sample: what ``loss`` takes after the network.
        net: () -> the network before training.
        loss: (net, *rows) -> (B,), the loss of each sample of a batch; it is told ``schedule=``
            where there is one.
        steps: The number of optimiser steps.
        batch: Samples in a step, drawn with replacement.
        lr: The highest learning rate.
        ema: The decay of the average.
        seed: Of every random number of the run.
        schedule: () -> the noise schedule of a diffusion model; None for any other network.
        shape: Of what a diffusion model denoises.
    """

    data: Callable[[], Sequence[Tensor]]
    net: Callable[[], nn.Module]
    loss: Callable[..., Tensor]
    steps: int
    batch: int
    lr: float
    ema: float = 0.999
    seed: int = 0
    schedule: Callable[[], Schedule] | None = None
    shape: tuple[int, ...] | None = None

    def describe(self) -> dict[str, Any]:
        """Returns the recipe as JSON can hold it, a function as the call that it makes.

        Raises:
            ValueError: A function has no name, as a lambda: nothing would tell it from another.
        """
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        said = {name: _call(x) if callable(x) else x for name, x in values}
        return json.loads(json.dumps(said))  # type: ignore[no-any-return]


def _call(function: Callable[..., Any]) -> str:
    arguments = []
    if isinstance(function, functools.partial):
        arguments += [_call(x) if callable(x) else repr(x) for x in function.args]
        arguments += [f"{name}={x!r}" for name, x in function.keywords.items()]
        function = function.func
    name = getattr(function, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ValueError(f"recipe: expected a function with a name, got {function!r}")
    return f"{name}({', '.join(arguments)})"


# What to learn from. A function, not a tensor: nothing is drawn before it is asked for.


def digits_to_learn() -> tuple[Tensor]:
    """Returns the 1,500 training digits, (1500, 1, 8, 8) in [-1, 1]."""
    return (data.digits().train,)


def labelled_digits() -> tuple[Tensor, Tensor]:
    """Returns the 1,500 training digits and their labels, (1500,) int64 in 0..9."""
    return data.digits()[:2]


def points(n: int, seed: int) -> tuple[Tensor]:
    """Returns n points of ``data.eight_gaussians``, (n, 2)."""
    return (data.eight_gaussians(n, torch.Generator().manual_seed(seed)),)


def labelled_faces(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns n faces, (n, 3, 32, 32) in [-1, 1], and their labels, (n,) int64 in 0..7."""
    drawn = data.faces(n, generator=torch.Generator().manual_seed(seed))
    return drawn.images, drawn.attributes.label


def described_faces(n: int, seed: int) -> tuple[Tensor, ...]:
    """Returns n faces and their attributes in the order in which ``face_judge`` names them."""
    drawn = data.faces(n, generator=torch.Generator().manual_seed(seed))
    return drawn.images, *(getattr(drawn.attributes, name) for name in (*CATEGORIES, "smile"))


# What is learnt.


def velocity(
    net: nn.Module, x0: Tensor, label: Tensor | None = None, *, schedule: Schedule
) -> Tensor:
    """Returns the loss of a network that predicts v, the times spread evenly over the batch.

    Of the labels one in ten is withheld (-1), so that the network can also do without.
    """
    cond: dict[str, Any] = {}
    if label is not None:
        cond = {"label": label.where(torch.rand(label.shape, device=label.device) >= 0.1, -1)}
    # Stratified: every batch has its times spread evenly over 1..T, each of them uniform.
    n = len(x0)
    u = (torch.rand(1, device=x0.device) + torch.arange(n, device=x0.device) / n) % 1
    t = (u * schedule.T).long() + 1
    weight = 1 / schedule.alpha_bar  # makes the loss of eps that of v (eq-weights)
    return ddpm.loss(eps_fn(net, schedule, **cond), x0, schedule, weight=weight, t=t)


def naming(judge: Judge, images: Tensor, *truth: Tensor) -> Tensor:
    """Returns the loss of a judge: cross-entropies, and 4 times the squared errors of numbers.

    ``truth`` holds the categories in the judge's order, then the numbers.
    """
    answers, loss = judge(images), torch.zeros(len(images), device=images.device)
    for (name, answer), true in zip(answers.items(), truth, strict=True):
        if name in judge.categories:
            loss = loss + cross_entropy(answer, true, reduction="none")
        else:
            loss = loss + 4 * (answer - true).square()
    return loss


# Networks that need more than a constructor.


def channels_last(build: Callable[[], nn.Module]) -> nn.Module:
    """Returns the network with its weights in the layout in which convolutions are fastest."""
    # mypy does not know this overload of Module.to.
    return build().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def face_judge(width: int) -> Judge:
    """Returns an untrained judge of all categorical attributes of a face, and of its smile."""
    return Judge({name: len(x) for name, x in CATEGORIES.items()}, ["smile"], width=width)


RECIPES = {
    "eight-gaussians": Recipe(
        data=functools.partial(points, 50_000, seed=0),
        net=MLP,
        loss=velocity,
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(2,),
        steps=10_000,
        batch=256,
        lr=2e-3,
    ),
    "digits": Recipe(
        data=digits_to_learn,
        net=functools.partial(UNet, channels=1, width=32, mults=(1, 1)),
        loss=velocity,
        schedule=functools.partial(linear_schedule, 200),
        shape=(1, 8, 8),
        steps=8000,
        batch=64,
        lr=2e-3,
    ),
    "digits-class": Recipe(
        data=labelled_digits,
        net=functools.partial(UNet, channels=1, width=32, mults=(1, 1), classes=10),
        loss=velocity,
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(1, 8, 8),
        steps=8000,
        batch=64,
        lr=2e-3,
    ),
    "faces": Recipe(
        data=functools.partial(labelled_faces, 24_000, seed=0),
        net=functools.partial(
            channels_last, functools.partial(UNet, 3, 56, (1, 2), classes=8, patch=2)
        ),
        loss=velocity,
        schedule=functools.partial(cosine_schedule, 1000),
        shape=(3, 32, 32),
        steps=24_000,
        batch=64,
        lr=1.5e-3,
    ),
    # Judges learn from faces that no diffusion model learns from.
    "face-attributes": Recipe(
        data=functools.partial(described_faces, 24_000, seed=2),
        net=functools.partial(face_judge, 24),
        loss=naming,
        steps=4000,
        batch=64,
        lr=2e-3,
    ),
    "face-identity": Recipe(
        data=functools.partial(described_faces, 24_000, seed=3),
        net=functools.partial(face_judge, 32),
        loss=naming,
        steps=4000,
        batch=64,
        lr=2e-3,
        seed=1,
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
    bfloat16: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Iterator[Progress]:
    """Runs a recipe.

    At the first step it seeds torch's global generators, from which everything random in the run
    is drawn. Where ``torch.distributed`` is initialised, each process takes an equal share of the
    batch, and random numbers of its own.

    Args:
        name: Of the recipe.
        device: Where to train.
        bfloat16: Whether the network computes in bfloat16, twice as fast on hardware made for it;
            weights, loss and average stay in float32.
        checkpoint: As for ``train.fit``: a file that exists is continued, if it is this recipe's.

    Returns:
        An iterator of ``Progress``; the last one's ``ema`` is the trained network.

    Raises:
        ValueError: There is no such recipe, its batch has no equal share for each process, or
            ``bfloat16`` is asked of a judge; while it runs, what ``train.fit`` raises.
    """
    it = recipe(name)
    if bfloat16 and it.schedule is None:
        raise ValueError(f"bfloat16: expected a diffusion model, got {name}: train it without")
    if it.batch % processes()[1]:
        raise ValueError(
            f"expected a number of processes that divides the batch, {it.batch}, "
            f"got {processes()[1]}"
        )
    return _train(it, it.describe(), torch.device(device), bfloat16, checkpoint)


def _train(
    it: Recipe,
    run: dict[str, Any],
    device: torch.device,
    bfloat16: bool,
    checkpoint: str | os.PathLike[str] | None,
) -> Iterator[Progress]:
    torch.manual_seed(it.seed)
    net = it.net().to(device)
    rows = [column.to(device) for column in it.data()]
    told = {} if it.schedule is None else {"schedule": it.schedule()}
    rank, together = processes()
    if rank:
        torch.manual_seed(it.seed + rank)  # the first one's numbers stay those of a run alone

    def draw() -> list[Tensor]:
        n = it.batch // together
        chosen = torch.randint(len(rows[0]), (n,), device=device)
        return [column[chosen] for column in rows]

    def loss(net: nn.Module, batch: list[Tensor]) -> Tensor:
        return it.loss(_in_bfloat16(net, device) if bfloat16 else net, *batch, **told)

    yield from fit(
        net,
        loss,
        draw,
        steps=it.steps,
        lr=it.lr,
        ema=it.ema,
        checkpoint=checkpoint,
        run=run | {"bfloat16": bfloat16},
    )


def _in_bfloat16(net: nn.Module, device: torch.device) -> Callable[..., Tensor]:
    def call(*args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 (whatever the network takes)
        with torch.autocast(device.type, torch.bfloat16):
            answer: Tensor = net(*args, **kwargs)
        return answer.float()

    return call


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

"""Trained networks: name -> recipe -> weights, with a manifest that says where they came from.

The weights of a recipe lie beside this file as safetensors; ``manifest.json`` records for each the
recipe, what the run cost, how good the network is and the SHA-256 of the file.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minidiff.recipes import RECIPES, Recipe
from minidiff.train import Progress, fit, processes, write_atomically

WEIGHTS = Path(__file__).parent / "weights"
_MANIFEST = "manifest.json"


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
        bfloat16: Whether the network computes in bfloat16, which is faster on hardware made for
            it; weights, loss and average stay in float32.
        checkpoint: As for ``train.fit``: a file that exists is continued, if it is this recipe's.

    Returns:
        An iterator of ``Progress``; the last one's ``ema`` is the trained network.

    Raises:
        ValueError: There is no such recipe, its batch has no equal share for each process, or
            ``bfloat16`` is asked of a judge; while it runs, what ``train.fit`` raises.
    """
    it = recipe(name)
    if bfloat16 and it.shape is None:
        raise ValueError(f"bfloat16: expected a diffusion model, got {name}: train it without")
    if it.batch % processes()[1]:
        raise ValueError(
            f"expected a number of processes that divides the batch, {it.batch}, "
            f"got {processes()[1]}"
        )
    parent = None if it.parent is None else load(it.parent)
    used = [load(other).requires_grad_(False) for other in it.uses]
    run = it.describe() | {"bfloat16": bfloat16}
    if it.parent is not None:
        run["parent's sha256"] = _digest(it.parent, WEIGHTS)
    run |= {f"sha256 of {other}": _digest(other, WEIGHTS) for other in it.uses}
    return _train(it, run, parent, used, torch.device(device), bfloat16, checkpoint)


def _train(
    it: Recipe,
    run: dict[str, Any],
    parent: nn.Module | None,
    used: list[nn.Module],
    device: torch.device,
    bfloat16: bool,
    checkpoint: str | os.PathLike[str] | None,
) -> Iterator[Progress]:
    torch.manual_seed(it.seed)
    used = [other.to(device) for other in used]
    net = it.net(*used)
    if parent is not None:
        inherit(net, parent)
    net = net.to(device)
    rows = [column.to(device) for column in it.data(*used)]
    told: dict[str, Any] = {} if it.schedule is None else {"schedule": it.schedule()}
    told |= {"used": used} if used else {}
    rank, together = processes()
    if rank:
        torch.manual_seed(it.seed + rank)  # the first one's numbers stay those of a run alone

    def draw() -> list[Tensor]:
        n = it.batch // together
        chosen = torch.randint(len(rows[0]), (n,), device=device)
        return [column[chosen] for column in rows]

    def loss(net: nn.Module, batch: list[Tensor]) -> Tensor:
        return it.loss(_in_bfloat16(net, device) if bfloat16 else net, *batch, **told)

    walk = fit(
        net, loss, draw, steps=it.steps, lr=it.lr, ema=it.ema, checkpoint=checkpoint, run=run
    )
    for progress in walk:
        yield progress
        if progress.step == it.stop:
            return


@torch.no_grad()
def inherit(net: nn.Module, parent: nn.Module) -> None:
    """Gives a network the weights of one that it extends.

    A first layer with more channels than the parent's begins by ignoring those behind the
    parent's, so that a U-Net with an image beside it answers what its parent answers.

    Args:
        net: Has all that ``parent`` has, under the same names; changed in place.
        parent: A trained network.

    Raises:
        ValueError: A tensor of the parent is missing, or fits nowhere.
    """
    ours = net.state_dict()
    for name, its in parent.state_dict().items():
        mine = ours.get(name)
        if (
            mine is None
            or mine.shape[:1] + mine.shape[2:] != its.shape[:1] + its.shape[2:]
            or mine.shape[1:2] < its.shape[1:2]
        ):
            came = "none" if mine is None else tuple(mine.shape)
            raise ValueError(
                f"net: expected what extends its parent's {name} {tuple(its.shape)}, got {came}"
            )
        mine.zero_()
        mine[tuple(slice(n) for n in its.shape)] = its


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
    used = [load(other) for other in it.uses]
    with torch.device("meta"):  # the shapes alone: no memory, no random numbers
        shapes = {key: x.shape for key, x in it.net(*used).state_dict().items()}
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
    if it.parent is not None:
        facts["parent_sha256"] = _digest(it.parent, WEIGHTS)
    if it.uses:
        facts["uses_sha256"] = {other: _digest(other, WEIGHTS) for other in it.uses}
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
            single changed byte is refused), or they were trained by another recipe or beside
            other weights of the networks that it uses.
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
    for other, its in entry.get("uses_sha256", {}).items():
        if its != _digest(other, WEIGHTS):
            raise ValueError(
                f"{path}: expected weights trained beside today's {other}, "
                f"{_digest(other, WEIGHTS)}, got those beside {its}: train again"
            )
    used = [load(other) for other in it.uses]
    with torch.random.fork_rng(devices=[]):  # its random weights are about to be replaced
        net = it.net(*used)
    net.load_state_dict(from_bytes(content))
    return net.eval()


def save_table(
    name: str,
    rows: dict[str, Any],
    networks: Sequence[str],
    folder: str | os.PathLike[str] = WEIGHTS,
) -> Path:
    """Writes measurements of trained networks, with the SHA-256 of each network's weights.

    Args:
        name: Of the table.
        rows: What was measured, as JSON can hold it.
        networks: The recipes whose weights it was measured on.
        folder: Where the weights and their manifest are.

    Returns:
        The path of the table, ``folder/tables/name.json``.

    Raises:
        ValueError: The manifest does not know one of the networks.
    """
    content = {"weights": {it: _digest(it, folder) for it in networks}, "rows": rows}
    path = Path(folder) / "tables" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def table(name: str, folder: str | os.PathLike[str] = WEIGHTS) -> dict[str, Any]:
    """Returns stored measurements: what was too long to compute on a page.

    Args:
        name: Of the table.
        folder: Where the weights and their manifest are.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: It was measured on other weights than are there now.
    """
    path = Path(folder) / "tables" / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a table, got none")
    content = json.loads(path.read_bytes())
    for it, digest in content["weights"].items():
        if digest != _digest(it, folder):
            raise ValueError(
                f"{path}: expected measurements of {it} with SHA-256 {_digest(it, folder)}, "
                f"got those of {digest}: measure again"
            )
    rows: dict[str, Any] = content["rows"]
    return rows


def _digest(name: str, folder: str | os.PathLike[str]) -> str:
    entry = manifest(folder).get(name)
    if entry is None:
        raise ValueError(f"{Path(folder) / _MANIFEST}: expected an entry {name!r}, got none")
    return str(entry["sha256"])

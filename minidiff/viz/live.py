"""A trained network that runs in the reader's browser.

Like a player it is plain HTML with its data and ``live.js``, and needs no kernel, no library and
no network connection; but its frames are not stored, they are computed while the reader watches.
"""

import base64
import copy
import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.forward import eps_fn, noise_level
from minidiff.nets import MLP
from minidiff.sampling import last, sample
from minidiff.schedule import Schedule
from minidiff.viz import picture, player
from minidiff.viz.picture import Picture
from minidiff.viz.style import PALETTE

_POINTS = 600  # that move, here and in live.js
_STEPS = (1, 2, 3, 5, 10, 20, 50, 100)
_RANGES = {  # name: (least, greatest, step, at first)
    "steps": (0, len(_STEPS) - 1, 1, _STEPS.index(20)),
    "eta": (0, 1, 0.25, 0),
    "w": (0, 4, 0.5, 0),
}


def live_points(
    net: MLP,
    schedule: Schedule,
    clouds: Mapping[str, Tensor],
    alt: str,
    *,
    limits: tuple[float, float],
    caption: str | None = None,
) -> Picture:
    """Lets the reader sample points of the plane with a network, on the page itself.

    The reader chooses what the network is told, the number of steps, eta and the weight w of
    guidance, (1 + w) eps_hat(told) - w eps_hat(not told), and watches 600 points walk from noise
    to data by the steps of ``ddim.step``. The same choices and the same noise draw the same points
    on every machine. Without a script there is the end of a walk of 50 steps, told the first
    label.

    Args:
        net: Trained to predict v in two dimensions, with a class for each of ``clouds``. Its
            weights are rounded to float16, as the package stores them, and take 2.7 bytes each.
        schedule: The noise schedule to walk down, T >= 100.
        clouds: For each label its name and points, (M, 2), that stay, drawn faintly.
        alt: What there is to see.
        limits: The square's least and greatest coordinate, on both axes.
        caption: Plain text below the picture.

    Raises:
        TypeError: A cloud is not a floating-point tensor.
        ValueError: ``net`` has another dimension or not a class for each cloud, float16 cannot
            hold its weights, a cloud has another shape or a coordinate that is not finite,
            ``schedule`` has fewer than 100 steps, ``limits`` are not increasing, or ``alt`` is
            empty.

    Source: Ho & Salimans 2022 for the guidance.
    """
    if net.dim != 2 or net.classes != len(clouds):
        raise ValueError(
            f"net: expected one of 2 dimensions and {len(clouds)} classes, a class for each of "
            f"clouds, got one of {net.dim} dimensions and {net.classes} classes"
        )
    state = {name: x.detach().cpu().half() for name, x in net.state_dict().items()}
    wrong = [name for name, x in state.items() if not x.isfinite().all()]
    if wrong:
        raise ValueError(f"net: expected weights that float16 can hold, got others in {wrong[0]}")
    check.integer("schedule.T", schedule.T, max(_STEPS))
    for name, cloud in clouds.items():
        player._check_points(f"clouds[{name!r}]", cloud, "M", "2")
    low, high = limits
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(f"limits: expected (low, high) with low < high, got {limits!r}")

    rounded = copy.deepcopy(net).cpu().float().eval()
    rounded.load_state_dict(state)
    end, first = _sample(rounded, schedule), next(iter(clouds.values()))
    paths = [player._path(cloud, low, high) for cloud in clouds.values()]
    body = (
        f'<svg viewBox="0 0 {player._BOX} {player._BOX}" role="img" '
        f'aria-label="{html.escape(alt)}" style="display:block;width:100%;'
        f"max-width:{player._WIDTH}px;height:auto;fill:none;stroke-width:{player._POINT};"
        'stroke-linecap:round"><path d="M1 1h998v998h-998z" '
        'style="stroke:currentColor;stroke-width:2;opacity:.4"/>'
        f'<path class="cloud" stroke="{PALETTE["data"]}" opacity="{player._FAINT}" '
        f'd="{paths[0]}"/><path class="frame" stroke="{PALETTE["model"]}" '
        f'd="{player._path(end, low, high)}"/></svg>'
    )
    told = {"clouds": paths, "walks": _walks(schedule), "limits": limits} | _packed(state)
    told["frequencies"] = net.level.frequencies.tolist()
    script = resources.files(__package__).joinpath("live.js").read_text(encoding="utf-8")
    page = picture.figure_html(
        f'<div class="minidiff-live">{body}{_controls(list(clouds))}'
        f'<script type="application/json">{json.dumps(told, separators=(",", ":"))}</script>'
        f"<script>{script}</script></div>",
        caption,
    )
    still = player._still(end, [PALETTE["model"]] * _POINTS, first, limits)
    return Picture(page, still, alt)


def _sample(net: MLP, schedule: Schedule) -> Tensor:
    """Returns where points end that are told the first label: DDIM, eta = 0, 50 steps."""
    start = torch.randn(_POINTS, 2, generator=torch.Generator().manual_seed(0))
    first = eps_fn(net, schedule, label=torch.zeros(_POINTS, dtype=torch.int64))
    return last(sample(first, start, schedule, schedule.grid(50)))


def _walks(schedule: Schedule) -> list[list[tuple[int, float]]]:
    """Returns the time and the level of each state, for each number of steps."""
    level = noise_level(schedule.alpha_bar).tolist()
    return [[(t, level[t]) for t in schedule.grid(n)] for n in _STEPS]


def _packed(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Returns names and shapes of a network's tensors, and all their numbers in base64."""
    shapes = [(name, len(x), x[0].numel()) for name, x in state.items()]
    content = b"".join(x.numpy().astype("<f2").tobytes() for x in state.values())
    return {"shapes": shapes, "weights": base64.b64encode(content).decode()}


def _controls(labels: Sequence[str]) -> str:
    """Returns what the reader can set; the script shows it."""
    keys, row = player._OWN_KEYS, '<output style="grid-column:3;min-width:11ch">{}</output>'
    slider = (
        f'<input type="range" {keys} aria-label="{{}}" min="{{}}" max="{{}}" step="{{}}" '
        'value="{}" autocomplete="off" style="grid-column:2;width:100%;min-width:0;margin:0">'
    )
    chosen = "".join(f"<option>{html.escape(name)}</option>" for name in labels)
    return (
        '<div class="controls" role="group" aria-label="Sampler" style="display:none;'
        "grid-template-columns:auto 1fr auto;gap:.5em .75em;align-items:center;"
        f'max-width:{player._WIDTH}px;margin-top:.5em">'
        f'<button type="button" {keys}>Play</button>{slider.format("t", 0, 1, 1, 0)}'
        f'{row.format("")}<button type="button" {keys}>New noise</button>'
        f'<select {keys} aria-label="data" autocomplete="off" style="min-width:0;font:inherit">'
        f"{chosen}</select>{row.format('')}"
        + "".join(
            slider.format(name, *numbers) + row.format("") for name, numbers in _RANGES.items()
        )
        + "</div>"
    )

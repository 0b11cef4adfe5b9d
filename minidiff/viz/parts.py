"""What players and live samplers are made of: points in a square, controls, data and scripts."""

import html
import json
import math
from collections.abc import Sequence
from importlib import resources

import matplotlib.pyplot as plt
from torch import Tensor

from minidiff import _validate as check
from minidiff.viz import picture
from minidiff.viz.style import PALETTE

WIDTH = 420  # the side in CSS pixels of the square, and the width of the controls
_BOX = 1000  # the side of the square in which points have integer coordinates
_POINT = 12  # their diameter
_FAINT = 0.6  # the opacity of what stays
_OWN_KEYS = 'data-lm-suppress-shortcuts="true"'  # or JupyterLab would take the arrow keys


def check_points(name: str, x: Tensor, *axes: str) -> None:
    """Raises unless ``x`` is floating point, (*axes) with 2 coordinates, all finite."""
    check.floating(name, x)
    if x.ndim != len(axes) or x.shape[-1] != 2:
        raise ValueError(f"{name}: expected shape ({', '.join(axes)}), got {check.describe(x)}")
    if not x.isfinite().all():
        bad = int((~x.isfinite()).sum())
        raise ValueError(f"{name}: expected finite coordinates, got {bad} that are not")


def check_limits(limits: tuple[float, float]) -> None:
    """Raises unless ``limits`` are those of a square."""
    low, high = limits
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(f"limits: expected (low, high) with low < high, got {limits!r}")


def dots(points: Tensor, limits: tuple[float, float]) -> str:
    """Returns (n, 2) as an SVG path of dots: about 8 characters a point."""
    low, high = limits
    x = (points.detach().cpu().double() - low) / (high - low)
    x = x[((0 <= x) & (x <= 1)).all(dim=1)]
    x[:, 1] = 1 - x[:, 1]  # SVG's y points down
    at, path = (0, 0), []
    # A dot is a line of length 0 with round ends. Sorted, so that the moves between are short.
    for to in sorted({(i, j) for i, j in (x * _BOX).round().int().tolist()}):
        path.append(f"m{to[0] - at[0]}{to[1] - at[1]:+d}h0")
        at = to
    return "".join(path)


def square(alt: str, background: str, frame: str) -> str:
    """Returns an ``<svg>`` of dots: those that stay, and above them ``<path>``s that move."""
    return (
        f'<svg viewBox="0 0 {_BOX} {_BOX}" role="img" aria-label="{html.escape(alt)}" '
        f'style="display:block;width:100%;max-width:{WIDTH}px;height:auto;fill:none;'
        f'stroke-width:{_POINT};stroke-linecap:round">'
        f'<path d="M1 1h998v998h-998z" style="stroke:currentColor;stroke-width:2;opacity:.4"/>'
        f'<path class="cloud" stroke="{PALETTE["data"]}" opacity="{_FAINT}" d="{background}"/>'
        f"{frame}</svg>"
    )


def moving(color: str, path: str) -> str:
    """Returns a ``<path>`` that a script moves."""
    return f'<path class="frame" stroke="{color}" d="{path}"/>'


def square_png(
    points: Tensor, colors: Sequence[str], background: Tensor, limits: tuple[float, float]
) -> bytes:
    """Returns the same as a PNG."""
    fig = plt.figure(figsize=(WIDTH / 96, WIDTH / 96), layout="none")
    ax = fig.add_axes((0.01, 0.01, 0.98, 0.98), xlim=limits, ylim=limits, xticks=[], yticks=[])
    size = (72 / 96 * WIDTH * _POINT / _BOX) ** 2
    for x, color, alpha in ((background, PALETTE["data"], _FAINT), (points, colors, 1.0)):
        i, j = x.detach().cpu().T.numpy()
        ax.scatter(i, j, s=size, c=color, alpha=alpha, linewidths=0)
    png = picture.figure_png(fig)
    plt.close(fig)
    return png


def slider(name: str, low: float, high: float, step: float = 1, value: float = 0) -> str:
    """Returns a range; what it says stands on its right, in an ``<output>``."""
    return (
        f'<input type="range" {_OWN_KEYS} aria-label="{html.escape(name)}" min="{low}" '
        f'max="{high}" step="{step}" value="{value}" autocomplete="off" '
        'style="grid-column:2;width:100%;min-width:0;margin:0">'
    )


def choice(name: str, options: Sequence[str]) -> str:
    """Returns a menu."""
    inner = "".join(f"<option>{html.escape(option)}</option>" for option in options)
    style = 'style="min-width:0;font:inherit"'
    label = html.escape(name)
    return f'<select {_OWN_KEYS} aria-label="{label}" autocomplete="off" {style}>{inner}</select>'


def button(text: str) -> str:
    """Returns a button."""
    return f'<button type="button" {_OWN_KEYS}>{html.escape(text)}</button>'


def controls(name: str, first: str, inner: str) -> str:
    """Returns a group of controls in three columns, which the script shows.

    Args:
        name: What a screen reader calls it.
        first: The width of the first column, of buttons.
        inner: The controls.
    """
    return (
        f'<div class="controls" role="group" aria-label="{name}" style="display:none;'
        f"grid-template-columns:{first} 1fr auto;gap:.5em .75em;align-items:center;"
        f'max-width:{WIDTH}px;margin-top:.5em">{inner}</div>'
    )


def data(content: object, attribute: str = "") -> str:
    """Returns a script element with JSON, whatever texts are in it."""
    text = json.dumps(content, separators=(",", ":")).replace("<", r"\u003c")
    return f'<script type="application/json"{attribute}>{text}</script>'


def script(*names: str) -> str:
    """Returns a script element with files of this package, which share their names alone."""
    folder = resources.files(__package__)
    files = [folder.joinpath(name).read_text(encoding="utf-8") for name in names]
    return f"<script>{{\n{''.join(files)}}}</script>"

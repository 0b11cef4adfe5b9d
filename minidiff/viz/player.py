"""The one interactive figure of the book: frames, a range for each axis, and a play button.

A player is plain HTML, its data as JSON, and ``player.js``; it needs no kernel, no library and
no network. Controls are the browser's own, so that they work by keyboard and are read aloud. It
starts paused, and where a reader asks for reduced motion its button takes one step at a time.
"""

import html
import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from minidiff import _validate as check
from minidiff.viz import parts, picture
from minidiff.viz.picture import Picture
from minidiff.viz.style import PALETTE


def play_images(
    frames: Tensor,
    axes: Mapping[str, Sequence[object]],
    alt: str,
    *,
    cols: int | None = None,
    scale: float | None = None,
    row_titles: Sequence[str] | None = None,
    column_titles: Sequence[str] | None = None,
    caption: str | None = None,
) -> Picture:
    """Shows a grid of images that changes with one or several ranges.

    Args:
        frames: (F, N, C, H, W), C is 1 or 3, in [-1, 1]; what lies outside is clipped for display.
        axes: for each range its name and its values, in words or numbers. There is a frame for
            each combination, the last axis changing fastest; the button runs through the first.
        alt: what there is to see.
        cols: images in a row; N, but at most 10, unless given.
        scale: the size of a pixel in CSS pixels; the grid shrinks with a narrower page. Unless
            given, an image is about 56 CSS pixels wide.
        row_titles: one text for each row, shown on its left.
        column_titles: one text for each column, shown above it.
        caption: plain text below the picture.

    Raises:
        TypeError: if ``frames`` is not a floating-point tensor, or ``cols`` not an int.
        ValueError: if ``frames`` has another shape or holds NaN, ``axes`` does not fit it,
            ``cols`` or ``scale`` is not positive, there is not one title for each row or
            column, or ``alt`` is empty.
    """
    picture.check_images("frames", frames, "F", "N", "C", "H", "W")
    _check_axes(axes, len(frames))
    n = frames.shape[1]
    cols = min(n, 10) if cols is None else cols
    scale = picture.default_scale(frames) if scale is None else scale
    pngs = [picture.image_grid(frame, cols) for frame in frames]
    body = picture.image_html(pngs[0], alt, scale, -(-n // cols), cols, row_titles, column_titles)
    player = _player_html(body, axes, [[picture.data_uri(png)] for png in pngs], caption)
    return Picture(player, picture.enlarge(pngs[0], scale), alt)


def play_points(
    frames: Tensor,
    axes: Mapping[str, Sequence[object]],
    alt: str,
    *,
    limits: tuple[float, float],
    color: Tensor | None = None,
    background: Tensor | None = None,
    caption: str | None = None,
) -> Picture:
    """Shows points in a square of the plane that move with one or several ranges.

    Args:
        frames: (F, N, 2); points outside the square are not shown.
        axes: for each range its name and its values, in words or numbers. There is a frame for
            each combination, the last axis changing fastest; the button runs through the first.
        alt: what there is to see.
        limits: the square's least and greatest coordinate, on both axes.
        color: (N,) of dtype int64: the class of each point, an index into ``PALETTE``. Unless
            given, all have the model's colour.
        background: (M, 2): points that stay, drawn faintly in the data's colour.
        caption: plain text below the picture.

    Raises:
        TypeError: if ``frames`` or ``background`` is not a floating-point tensor, or ``color``
            not an int64 one.
        ValueError: if ``frames``, ``background`` or ``color`` has another shape or other entries,
            a coordinate is not finite, ``axes`` does not fit ``frames``, ``limits`` are not
            increasing, or ``alt`` is empty.
    """
    parts.check_points("frames", frames, "F", "N", "2")
    _check_axes(axes, len(frames))
    n = frames.shape[1]
    background = frames.new_zeros(0, 2) if background is None else background
    parts.check_points("background", background, "M", "2")
    parts.check_limits(limits)
    colors = list(PALETTE.values())
    if color is None:
        color = torch.full((n,), list(PALETTE).index("model"))
    if color.shape != (n,):
        raise ValueError(f"color: expected shape ({n},), got {check.describe(color)}")
    check.index("color", color, 0, len(colors) - 1)

    classes = sorted(set(color.tolist()))
    paths = [[parts.dots(frame[color == k], limits) for k in classes] for frame in frames]
    slots = [parts.moving(colors[k], path) for k, path in zip(classes, paths[0], strict=True)]
    body = parts.square(alt, parts.dots(background, limits), "".join(slots))
    still = parts.square_png(frames[0], [colors[k] for k in color.tolist()], background, limits)
    return Picture(_player_html(body, axes, paths, caption), still, alt)


def play_figures(
    figs: Sequence[Figure],
    axes: Mapping[str, Sequence[object]],
    alt: str,
    *,
    caption: str | None = None,
) -> Picture:
    """Shows matplotlib figures that change with one or several ranges, and closes them.

    Each frame is drawn as :func:`minidiff.viz.show` draws it, and takes as much of the page: about
    15 KB, and 0.2 KB for each arrow of a quiver. Only the data moves if all have the same limits.

    Args:
        figs: the frames, all of one size; its width in inches is their natural width on the page.
            On a narrower page they shrink to 0.7 of that, and then scroll within their own box.
        axes: for each range its name and its values, in words or numbers. There is a figure for
            each combination, the last axis changing fastest; the button runs through the first.
        alt: what there is to see.
        caption: plain text below the picture.

    Raises:
        ValueError: if ``axes`` does not fit ``figs``, these differ in size, or ``alt`` is empty.
    """
    _check_axes(axes, len(figs))
    sizes = dict.fromkeys("{:g} x {:g}".format(*fig.get_size_inches()) for fig in figs)
    if len(sizes) > 1:
        raise ValueError(f"figs: expected one size in inches, got {', '.join(sizes)}")
    svgs, png = [picture.figure_svg(fig, alt) for fig in figs], picture.figure_png(figs[0])
    for fig in figs:
        plt.close(fig)
    body = f'<div class="frame" style="overflow-x:auto">{svgs[0]}</div>'
    return Picture(_player_html(body, axes, [[svg] for svg in svgs], caption), png, alt)


def _check_axes(axes: Mapping[str, Sequence[object]], frames: int) -> None:
    sizes = {name: len(values) for name, values in axes.items()}
    if not sizes or 0 in sizes.values() or math.prod(sizes.values()) != frames:
        raise ValueError(f"axes: expected a value for each of {frames} frames, got {sizes}")


def _player_html(
    body: str,
    axes: Mapping[str, Sequence[object]],
    frames: list[list[str]],
    caption: str | None,
) -> str:
    """Puts controls below the first frame, and the other frames where the script finds them."""
    words = {name: [str(value) for value in values] for name, values in axes.items()}
    rows = []
    for name, values in words.items():
        longest = len(name) + 3 + max(map(len, values))
        first = html.escape(f"{name} = {values[0]}")
        rows.append(
            parts.slider(name, 0, len(values) - 1)
            + f'<output style="min-width:{longest}ch">{first}</output>'
        )
    controls = parts.controls("Frames", "5em", parts.button("Play") + "".join(rows))
    data = parts.data({"axes": list(words.items()), "frames": frames})
    return picture.figure_html(
        f'<div class="minidiff-player">{body}{controls}{data}{parts.script("player.js")}</div>',
        caption,
    )

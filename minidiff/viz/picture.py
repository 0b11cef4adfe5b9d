"""Still pictures: matplotlib figures as inline SVG, images as one small lossless WebP."""

import base64
import hashlib
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn import functional

from minidiff import _validate as check


@dataclass(frozen=True, repr=False)
class Picture:
    """What a notebook shows: HTML, a PNG where HTML cannot be shown, and words for both.

    Attributes:
        html: a self-contained fragment of a page.
        png: the same picture (of a player, its first frame) as a PNG file.
        alt: what there is to see, for readers who do not see it.

    Raises:
        ValueError: if ``alt`` is empty.
    """

    html: str
    png: bytes
    alt: str

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"alt: expected a description of the picture, got {self.alt!r}")

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        return self.html

    def _repr_png_(self) -> bytes:
        return self.png


def show(fig: Figure, alt: str, caption: str | None = None) -> Picture:
    """Turns a matplotlib figure into inline SVG, and closes it.

    Black ink takes the text colour of the page around it, so that one picture is right on a light
    page and on a dark one. Letters are drawn as paths: a reader's machine need not have the
    fonts, and the parts of a formula stay where matplotlib put them. An image shown with
    ``interpolation="none"`` keeps its own pixels; thousands of markers want ``rasterized=True``.

    Args:
        fig: the figure; its width in inches is its natural width on the page. On a narrower
            page it shrinks to 0.7 of that, and then scrolls within its own box.
        alt: what there is to see.
        caption: plain text below the picture.

    Raises:
        ValueError: if ``alt`` is empty.
    """
    svg, png = figure_svg(fig, alt), figure_png(fig)
    plt.close(fig)
    return Picture(figure_html(svg, caption, "overflow-x:auto"), png, alt)


def images(
    x: Tensor,
    alt: str,
    *,
    cols: int | None = None,
    scale: float | None = None,
    row_titles: Sequence[str] | None = None,
    column_titles: Sequence[str] | None = None,
    caption: str | None = None,
) -> Picture:
    """Shows a batch of images as a grid, filled row by row, with crisp pixels.

    Args:
        x: (N, C, H, W), N >= 1, C is 1 or 3, in [-1, 1]; what lies outside is clipped for display.
        alt: what there is to see.
        cols: images in a row; N, but at most 10, unless given.
        scale: the size of a pixel in CSS pixels; the grid shrinks with a narrower page. Unless
            given, an image is about 56 CSS pixels wide.
        row_titles: one text for each row, shown on its left.
        column_titles: one text for each column, shown above it.
        caption: plain text below the picture.

    Raises:
        TypeError: if ``x`` is not a floating-point tensor, or ``cols`` not an int.
        ValueError: if ``x`` has another shape or holds NaN, ``cols`` or ``scale`` is not
            positive, there is not one title for each row or column, or ``alt`` is empty.
    """
    check_images("x", x, "N", "C", "H", "W")
    cols = min(len(x), 10) if cols is None else cols
    png = image_grid(x, cols)
    rows = -(-len(x) // cols)
    scale = default_scale(x) if scale is None else scale
    body = image_html(png, alt, scale, rows, cols, row_titles, column_titles)
    return Picture(figure_html(body, caption), enlarge(png, scale), alt)


# Shared with the other modules here.


def figure_svg(fig: Figure, alt: str) -> str:
    """Returns a matplotlib figure as an ``<svg>`` element: see :func:`show`."""
    file = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "minidiff"}):
        fig.savefig(file, format="svg", transparent=True, dpi=200, metadata=no_metadata)
    return _inline_svg(file.getvalue(), alt, 96 * fig.get_figwidth())


def figure_png(fig: Figure) -> bytes:
    """Returns a matplotlib figure as a PNG file, on white."""
    file = io.BytesIO()
    fig.savefig(file, format="png", facecolor="white", dpi=144, metadata={"Software": None})
    return file.getvalue()


def figure_html(body: str, caption: str | None, style: str = "") -> str:
    """Wraps a picture; the class is what ``book/_assets/book.css`` knows it by."""
    words = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="minidiff" style="margin:0;{style}">{body}{words}</figure>'


def data_uri(png: bytes) -> str:
    """Returns a PNG's pixels, every one, as an address that needs no file: WebP, half as long."""
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).save(file, "WEBP", lossless=True, quality=100, method=6)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def check_images(name: str, x: Tensor, *axes: str) -> None:
    """Raises unless ``x`` is floating point, (*axes) with C in (1, 3), not empty, without NaN."""
    check.floating(name, x)
    if x.ndim != len(axes) or x.shape[-3] not in (1, 3) or x.numel() == 0:
        raise ValueError(
            f"{name}: expected shape ({', '.join(axes)}), none of them 0 and C = 1 or 3, "
            f"got {check.describe(x)}"
        )
    if x.isnan().any():
        raise ValueError(f"{name}: expected numbers, got {int(x.isnan().sum())} NaN")


def default_scale(x: Tensor) -> float:
    """Returns the CSS pixels for a pixel that make an image about 56 of them wide."""
    return max(1, round(56 / x.shape[-1]))


def image_grid(x: Tensor, cols: int) -> bytes:
    """Returns (N, C, H, W) as one PNG of cols images a row, with transparent gaps."""
    check.integer("cols", cols, 1)
    n, _, height, width = x.shape
    gap = max(1, width // 16)
    rows = -(-n // cols)
    x = ((x.detach().cpu().double().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    x = torch.cat([x, torch.full_like(x[:, :1], 255)], dim=1)  # opaque; the padding is not
    x = functional.pad(x, (0, gap, 0, gap, 0, 0, 0, rows * cols - n))
    x = x.reshape(rows, cols, *x.shape[1:]).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return _png(Image.fromarray(x[:-gap, :-gap].contiguous().numpy()))


def width(png: bytes) -> int:
    """Returns the pixels in a row of a PNG."""
    return Image.open(io.BytesIO(png)).width


def enlarge(png: bytes, scale: float) -> bytes:
    """Returns the PNG at the size at which the page shows it."""
    image = Image.open(io.BytesIO(png))
    size = (round(image.width * scale), round(image.height * scale))
    return _png(image.resize(size, Image.Resampling.NEAREST))


def image_html(
    png: bytes,
    alt: str,
    scale: float,
    rows: int,
    cols: int,
    row_titles: Sequence[str] | None,
    column_titles: Sequence[str] | None,
) -> str:
    """Returns an ``<img>`` of rows x cols images with its titles around it."""
    if not scale > 0:
        raise ValueError(f"scale: expected a positive number, got {scale!r}")
    for name, titles, n in (
        ("row_titles", row_titles, rows),
        ("column_titles", column_titles, cols),
    ):
        if titles is not None and len(titles) != n:
            raise ValueError(f"{name}: expected {n} texts, got {len(titles)}")
    cell = '<span style="grid-area:{} / {};{}">{}</span>'
    left = "align-self:center;padding-right:.5em;white-space:nowrap"  # one line, as high as a row
    small = f"text-align:center;font-size:min(1em,{24 / cols:g}vw)"  # fits a phone's columns
    titles = "".join(
        cell.format(1, j, small, html.escape(title))
        for j, title in enumerate(column_titles or (), start=2)
    ) + "".join(
        cell.format(i, 1, left, html.escape(title))
        for i, title in enumerate(row_titles or (), start=2)
    )
    column = width(png) * scale / cols
    # The page's own rules for images (dimmed and on white in the dark) are for photographs.
    style = (
        f"grid-area:2 / 2 / span {rows} / span {cols};display:block;width:100%;height:auto;"
        "image-rendering:pixelated;margin:0;padding:0;background:none;filter:none;border-radius:0"
    )
    return (
        '<div style="display:grid;justify-content:start;line-height:1.3;'
        f"grid-template-columns:auto repeat({cols},minmax(0,{column:g}px));"
        f'grid-template-rows:auto repeat({rows},1fr)">'
        f'{titles}<img alt="{html.escape(alt)}" src="{data_uri(png)}" style="{style}"></div>'
    )


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _inline_svg(svg: str, alt: str, width: float) -> str:
    """Makes matplotlib's SVG file a part of a page: see :func:`show`."""
    key = hashlib.sha256(svg.encode()).hexdigest()[:8]
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    # The file's style element would restyle every SVG of the page.
    body = re.sub(r"<!--.*?-->|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"\n *", "", body).replace("<defs></defs>", "")
    body = body.replace("#000000", "currentColor").replace("xlink:href", "href")
    png = r"data:image/png;base64,([^\"]*)"
    body = re.sub(png, lambda m: data_uri(base64.b64decode(m[1])), body)
    # A hundredth of a point is enough for a position (though not for a scale).
    body = re.sub(r' [xy]="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), body)
    body = re.sub(r' d="([^"]*)"', lambda m: f' d="{_short_path(m[1])}"', body)
    # Ids are shared by all that is on a page: keep those in use, and make them this figure's own.
    reference = r'((?:href="|url\()#)([^")]+)'
    ids = {m[2]: f"{key}-{i}" for i, m in enumerate(re.finditer(reference, body))}
    body = re.sub(reference, lambda m: m[1] + ids[m[2]], body)
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{ids[m[1]]}"' if m[1] in ids else "", body)
    return (
        f'<svg {view[0]} role="img" aria-label="{html.escape(alt)}" style="display:block;'
        f"width:100%;max-width:{width:g}px;min-width:{0.7 * width:g}px;height:auto;"
        f'fill:currentColor;stroke-linejoin:round">{body}'
    )


def _short_path(path: str) -> str:
    """Writes matplotlib's path as steps of whole hundredths of a point: shorter, and no drift."""
    at = start = (0, 0)
    short = []
    for letter, words in re.findall(r"([MLQCz])([^MLQCz]*)", path):
        numbers = [round(100 * float(word)) for word in words.split()]
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        steps = [
            f"{(b - a) / 100:.10g}" for point in points for a, b in zip(at, point, strict=True)
        ]
        short.append(letter.lower() + " ".join(steps).replace(" -", "-"))
        at = points[-1] if points else start  # z leads back
        start = at if letter == "M" else start
    return re.sub(r"(?<!\d)0\.", ".", "".join(short))

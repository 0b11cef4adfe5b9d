"""Pictures: their HTML read back with a parser, and, where Chromium is present, played with."""

import base64
import io
import itertools
import json
import os
import re
import shutil
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from minidiff import viz

mpl.use("agg")


@pytest.fixture(autouse=True, scope="module")
def style():
    with mpl.rc_context():
        viz.use_style()
        yield


DIGIT = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)


class Tags(HTMLParser):
    """Collects (tag, attributes) and the text of each script."""

    def __init__(self, html):
        super().__init__()
        self.found, self.scripts, self.inside = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.inside = tag == "script"

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)
            self.inside = False

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def pixels(source):
    """The array behind a PNG file, or the WebP file in a data URI."""
    if isinstance(source, str):
        head, data = source.split(",")
        assert head == "data:image/webp;base64"
        source = base64.b64decode(data)
    return np.array(Image.open(io.BytesIO(source)))


def ids_in(html):
    """The ids that the HTML defines; those of a figure depend on all that it shows."""
    return re.findall(r' id="([^"]+)"', html)


def dots(path):
    """The absolute coordinates that a path of relative dots draws."""
    moves = re.findall(r"m(-?\d+)([+-]\d+)h0", path)
    assert "".join(f"m{x}{y}h0" for x, y in moves) == path
    return np.cumsum(np.array(moves, dtype=int).reshape(-1, 2), axis=0).tolist()


def curve(top=1):
    fig, ax = plt.subplots()
    ax.plot([0, 1, 2], [0, top, 0], label=r"$\bar\alpha_t$")
    ax.set_xlim(0.5, 1.5)
    ax.legend()
    return fig


def digit():
    fig, ax = plt.subplots()
    ax.imshow(DIGIT[0, 0].numpy(), cmap="gray", interpolation="none")
    return fig


# --- style ---


def luminance(colour):
    """Of a linear RGB triple, relative to white (WCAG 2)."""
    return float(colour @ np.array([0.2126, 0.7152, 0.0722]))


def linear_rgb(hex_colour):
    c = np.array(mpl.colors.to_rgb(hex_colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    low, high = sorted((luminance(linear_rgb(a)), luminance(linear_rgb(b))))
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira and Fernandes (2009), severity 1.
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(rgb):
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x = np.array(to_xyz) @ rgb / np.array([0.9505, 1, 1.089])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("page", ["#ffffff", "#14181e", "#121212"])
def test_palette_is_legible(page):
    assert min(contrast(colour, page) for colour in viz.PALETTE.values()) >= 3


@pytest.mark.parametrize("vision", VISION)
def test_palette_stays_apart(vision):
    seen = [
        lab(np.clip(np.array(VISION[vision]) @ linear_rgb(colour), 0, 1))
        for colour in viz.PALETTE.values()
    ]
    # A difference of 2.3 can just be noticed.
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


def test_use_style_is_idempotent():
    with mpl.rc_context():
        viz.use_style()
        once = dict(mpl.rcParams)
        viz.use_style()
        assert dict(mpl.rcParams) == once
        colours = [entry["color"] for entry in mpl.rcParams["axes.prop_cycle"]]
        assert colours == list(viz.PALETTE.values())


# --- show ---


def test_show_gives_every_form_and_closes():
    fig = curve()
    picture = viz.show(fig, 'Up & "down".', caption="a < b")
    assert not plt.fignum_exists(fig.number)
    bundle, _ = DisplayFormatter().format(picture)  # what a notebook makes of it
    assert bundle["text/plain"] == repr(picture) == picture.alt == 'Up & "down".'
    assert bundle["image/png"] == picture.png
    assert (pixels(picture.png)[0, 0] == 255).all()  # on white, for paper
    (svg,) = Tags(bundle["text/html"]).all("svg")
    assert svg["role"] == "img" and svg["aria-label"] == 'Up & "down".'
    assert "<figcaption>a &lt; b</figcaption>" in picture.html


def test_show_takes_the_ink_of_the_page():
    html = viz.show(curve(), "A curve.").html
    assert "stroke: currentColor" in html and "fill:currentColor" in html
    assert "#000000" not in html and "#ffffff" not in html
    assert "<style" not in html and "<?xml" not in html and "<metadata" not in html
    assert "figcaption" not in html


def test_show_needs_no_fonts():
    tags = {tag for tag, _ in Tags(viz.show(curve(), "A curve.").html).found}
    assert "text" not in tags and "use" in tags


def test_show_ids_are_its_own():
    a, b, again = (viz.show(f(), "Alt.").html for f in (curve, digit, curve))
    assert a == again
    ids = [ids_in(html) for html in (a, b)]
    for html, names in zip((a, b), ids, strict=True):
        assert len(names) == len(set(names)) > 0
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', html)) == set(names)
    assert not set(ids[0]) & set(ids[1])


def test_show_keeps_pixels():
    (image,) = Tags(viz.show(digit(), "A digit.").html).all("image")
    assert "pixelated" in image["style"]
    got = pixels(image["href"])[..., 0]
    assert got.shape == (8, 8) and got[0, 0] == 0 and got[-1, -1] == 255


def test_show_keeps_positions():
    """Every point that matplotlib writes, read back from the steps between them."""
    fig, ax = plt.subplots()
    ax.fill_between(np.linspace(0, 1, 300), np.random.default_rng(0).normal(size=300))
    ax.add_patch(mpl.patches.Circle((0.5, 0.5), 0.2, fill=False))
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "path"}):
        fig.savefig(file, format="svg", transparent=True)

    def paths(svg):
        return re.findall(r'\sd="([^"]*)"', svg[svg.index("<g") :])

    def numbers(words):
        return [float(number) for number in re.findall(r"-?[\d.]+", words)]

    seen = ""
    for want, path in zip(paths(file.getvalue()), paths(viz.show(fig, "A.").html), strict=True):
        at, start, got = np.zeros(2), None, []
        for letter, words in re.findall("([mlqcz])([^mlqcz]*)", path):
            points = at + np.array(numbers(words)).reshape(-1, 2)
            got += points.tolist()
            at = points[-1] if len(points) else start  # z leads back
            start = at if letter == "m" else start
            seen += letter
        assert got == pytest.approx(np.array(numbers(want)).reshape(-1, 2), abs=0.006)
    assert set(seen) == set("mlqcz")


def test_show_is_small():
    assert len(viz.show(curve(), "A curve.").html) < 10_000
    fig, ax = plt.subplots()
    ax.scatter(*np.random.default_rng(0).normal(size=(2, 5000)), s=2, rasterized=True)
    assert len(viz.show(fig, "A cloud.").html) < 120_000  # four times that as vectors


# --- images ---


def test_images_grid():
    x = torch.stack([torch.full((1, 8, 8), v) for v in (-1.0, 0.0, 1.0, 7.0, -7.0)])
    (img,) = Tags(viz.images(x.requires_grad_(), "Five.", cols=3).html).all("img")
    assert img["alt"] == "Five." and "pixelated" in img["style"]
    got = pixels(img["src"])
    assert got.shape == (17, 26, 4)  # gaps of one pixel
    assert [got[0, j, 0] for j in (0, 9, 18)] == [0, 128, 255]
    assert [got[9, j, 0] for j in (0, 9)] == [255, 0]  # clipped
    assert (got[:, 8, 3] == 0).all() and (got[8, :, 3] == 0).all()  # the gaps
    assert (got[9:, 18:, 3] == 0).all()  # the place that is left
    assert (got[:8, :8, 3] == 255).all()


def test_images_orientation_and_colour():
    x = torch.rand(2, 3, 32, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    picture = viz.images(x, "Two.", scale=2)
    got = pixels(Tags(picture.html).all("img")[0]["src"])
    want = ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert got.shape == (32, 41, 4)
    assert (got[:, :20, :3] == want[0]).all() and (got[:, 21:, :3] == want[1]).all()
    assert pixels(picture.png).shape == (64, 82, 4)


def test_images_titles():
    picture = viz.images(
        DIGIT.expand(4, 1, 8, 8),
        "Four.",
        cols=2,
        row_titles=["a<", "b"],
        column_titles=["c", "d"],
        caption="e",
    )
    cells = re.findall(r'<span style="grid-area:(\d) / (\d);.*?">(.*?)</span>', picture.html)
    assert cells == [("1", "2", "c"), ("1", "3", "d"), ("2", "1", "a&lt;"), ("3", "1", "b")]
    assert "span 2 / span 2" in picture.html
    assert "<figcaption>e</figcaption>" in picture.html


def test_images_cols_and_scale_by_default():
    html = viz.images(DIGIT.expand(12, 1, 8, 8), "Twelve.").html
    assert pixels(Tags(html).all("img")[0]["src"]).shape == (17, 89, 4)
    assert "repeat(10,minmax(0,62.3px))" in html
    assert "repeat(1,minmax(0,100px))" in viz.images(torch.zeros(1, 1, 100, 100), "One.").html


@pytest.mark.parametrize(
    ("x", "kwargs", "error", "message"),
    [
        (DIGIT, {"alt": " "}, ValueError, "alt: expected a description"),
        (DIGIT.byte(), {}, TypeError, "x: expected a floating-point tensor"),
        (DIGIT[0], {}, ValueError, r"x: expected shape \(N, C, H, W\).* got a tensor of shape"),
        (DIGIT.expand(1, 2, 8, 8), {}, ValueError, "C = 1 or 3"),
        (DIGIT[:0], {}, ValueError, "none of them 0"),
        (DIGIT * float("nan"), {}, ValueError, "x: expected numbers, got 64 NaN"),
        (DIGIT, {"cols": 0}, ValueError, "cols: expected an int >= 1, got 0"),
        (DIGIT, {"cols": 2.0}, TypeError, "cols: expected an int"),
        (DIGIT, {"scale": 0}, ValueError, "scale: expected a positive number, got 0"),
        (DIGIT, {"row_titles": "ab"}, ValueError, "row_titles: expected 1 texts, got 2"),
        (DIGIT, {"column_titles": []}, ValueError, "column_titles: expected 1 texts, got 0"),
    ],
)
def test_images_refuses(x, kwargs, error, message):
    with pytest.raises(error, match=message) as raised:
        viz.images(x, **{"alt": "A digit."} | kwargs)
    assert raised.type is error


# --- players ---

AXES = {"steps": [5, 10, 20], "<eta>": ["0", "</script>"]}
SIX = torch.linspace(-1, 1, 6).reshape(6, 1, 1, 1, 1).expand(6, 2, 1, 8, 8)


def player_data(html):
    """The frames, by an independent reading of the page."""
    data, script = Tags(html).scripts
    assert "querySelectorAll" in script and "http" not in html
    return json.loads(data)


def test_play_images():
    picture = viz.play_images(SIX, AXES, "Two squares.", caption="c")
    data = player_data(picture.html)
    assert data["axes"] == [["steps", ["5", "10", "20"]], ["<eta>", ["0", "</script>"]]]
    shades = [pixels(src)[0, 0, 0] for (src,) in data["frames"]]
    assert shades == [0, 51, 102, 153, 204, 255]
    tags = Tags(picture.html)
    (img,) = tags.all("img")
    assert img["alt"] == "Two squares." and [img["src"]] == data["frames"][0]
    ranges = tags.all("input")
    assert [r["aria-label"] for r in ranges] == ["steps", "<eta>"]
    assert [r["max"] for r in ranges] == ["2", "1"]
    controls = ranges + tags.all("button")
    assert all(control["data-lm-suppress-shortcuts"] == "true" for control in controls)
    assert pixels(picture.png).shape == (56, 119, 2)
    assert picture.html.count("</script>") == 2
    assert "<figcaption>c</figcaption>" in picture.html


def test_play_images_layout():
    html = viz.play_images(SIX, AXES, "A.", cols=1, scale=3, row_titles=["a", "b"]).html
    assert pixels(player_data(html)["frames"][0][0]).shape == (17, 8, 4)
    assert "repeat(1,minmax(0,24px))" in html


def test_play_points():
    x = torch.tensor(
        [[[-1.0, -1.0], [1.0, 1.0], [0.0, 0.5]], [[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]]
    )
    picture = viz.play_points(
        x,
        {"t": [1, 0]},
        "Three.",
        limits=(-1, 1),
        color=torch.tensor([4, 0, 4]),
        background=torch.tensor([[1.0, -1.0]]),
    )
    frames = player_data(picture.html)["frames"]
    # y points down; classes in the palette's order; one dot for equal points, none outside.
    assert [[dots(path) for path in frame] for frame in frames] == [
        [[[1000, 0]], [[0, 1000], [500, 250]]],
        [[[500, 500]], [[500, 500]]],
    ]
    tags = Tags(picture.html)
    first = [path for path in tags.all("path") if path.get("class") == "frame"]
    assert [path["d"] for path in first] == frames[0]
    assert [path["stroke"] for path in first] == [viz.PALETTE["data"], viz.PALETTE["noise"]]
    (background,) = [path for path in tags.all("path") if "opacity" in path]
    assert dots(background["d"]) == [[1000, 1000]]
    assert tags.all("svg")[0]["aria-label"] == "Three."
    assert pixels(picture.png).shape == (630, 630, 4)


def test_play_points_is_small():
    x = torch.randn(41, 500, 2, generator=torch.Generator().manual_seed(0))
    html = viz.play_points(x, {"t": range(41)}, "A cloud.", limits=(-3, 3)).html
    assert len(html) < 41 * 500 * 8.5
    assert f'stroke="{viz.PALETTE["model"]}"' in html


POINTS = torch.zeros(2, 3, 2)


@pytest.mark.parametrize(
    ("frames", "kwargs", "error", "message"),
    [
        (POINTS, {"alt": ""}, ValueError, "alt: expected a description"),
        (POINTS.long(), {}, TypeError, "frames: expected a floating-point tensor"),
        (POINTS[0], {}, ValueError, r"frames: expected shape \(F, N, 2\)"),
        (POINTS[..., :1], {}, ValueError, r"frames: expected shape \(F, N, 2\)"),
        (POINTS / 0, {}, ValueError, "frames: expected finite coordinates, got 12 that are not"),
        (POINTS, {"background": POINTS}, ValueError, r"background: expected shape \(M, 2\)"),
        (POINTS, {"axes": {}}, ValueError, "axes: expected a value for each of 2 frames, got {}"),
        (POINTS, {"axes": {"t": [0]}}, ValueError, "axes: expected .* 2 frames, got {'t': 1}"),
        (POINTS[:0], {"axes": {"t": []}}, ValueError, "axes: expected .* 0 frames, got {'t': 0}"),
        (POINTS, {"limits": (1, 1)}, ValueError, r"limits: expected .*, got \(1, 1\)"),
        (POINTS, {"limits": (0, float("inf"))}, ValueError, "limits: expected"),
        (POINTS, {"color": torch.zeros(2).long()}, ValueError, r"color: expected shape \(3,\)"),
        (POINTS, {"color": torch.zeros(3)}, TypeError, "color: expected .* int64"),
        (POINTS, {"color": torch.tensor([0, 1, 5])}, ValueError, r"color: .* in 0\.\.4"),
        (POINTS, {"color": torch.tensor([0, 1, -1])}, ValueError, r"color: .* in 0\.\.4"),
    ],
)
def test_play_points_refuses(frames, kwargs, error, message):
    with pytest.raises(error, match=message) as raised:
        viz.play_points(
            frames, **{"axes": {"t": [1, 0]}, "alt": "Points.", "limits": (-1, 1)} | kwargs
        )
    assert raised.type is error


@pytest.mark.parametrize(
    ("frames", "axes", "message"),
    [
        (SIX[0], AXES, r"frames: expected shape \(F, N, C, H, W\)"),
        (SIX[:0], {"t": []}, "frames: expected shape"),
        (SIX, {"t": range(5)}, "axes: expected .* 6 frames, got {'t': 5}"),
    ],
)
def test_play_images_refuses(frames, axes, message):
    with pytest.raises(ValueError, match=message) as raised:
        viz.play_images(frames, axes, "Squares.")
    assert raised.type is ValueError


def test_play_figures():
    figs = [curve(top) for top in range(1, 7)]
    picture = viz.play_figures(figs, AXES, 'Up & "down".', caption="c")
    assert not any(plt.fignum_exists(fig.number) for fig in figs)
    data = player_data(picture.html)
    assert [name for name, _ in data["axes"]] == list(AXES)
    stills = [viz.show(curve(top), 'Up & "down".') for top in range(1, 7)]
    assert all(svg in still.html for (svg,), still in zip(data["frames"], stills, strict=True))
    tags = Tags(picture.html)
    (svg,) = tags.all("svg")  # the others are in the data
    assert svg["role"] == "img" and svg["aria-label"] == 'Up & "down".'
    assert [div for div in tags.all("div") if div.get("class") == "frame"]
    assert f'auto">{data["frames"][0][0]}</div>' in picture.html
    assert picture.png == stills[0].png
    assert "<figcaption>c</figcaption>" in picture.html


def test_play_figures_ids_are_its_own():
    a, b = (
        viz.play_figures([curve(top) for top in tops], {"top": tops}, "A.").html
        for tops in ((1, 2), (3, 4))
    )
    ids = [ids_in(svg) for html in (a, b) for (svg,) in player_data(html)["frames"]]
    assert all(ids) and len(set(sum(ids, []))) == sum(map(len, ids))


def test_play_figures_closes_what_it_drew():
    fig = curve()
    with pytest.raises(ValueError, match="alt: expected a description"):
        viz.play_figures([fig], {"t": [0]}, " ")
    assert not plt.fignum_exists(fig.number)


@pytest.mark.parametrize(
    ("widths", "axes", "message"),
    [
        ([], {"t": []}, "axes: expected .* 0 frames, got {'t': 0}"),
        ([], {"t": [0]}, "axes: expected .* 0 frames, got {'t': 1}"),
        ([5, 5], {"t": [0, 1, 2]}, "axes: expected .* 2 frames, got {'t': 3}"),
        ([5, 5, 4.5], {"t": [0, 1, 2]}, "figs: expected one size in inches, got 5 x 2, 4.5 x 2$"),
    ],
)
def test_play_figures_refuses(widths, axes, message):
    figs = [plt.figure(figsize=(width, 2)) for width in widths]
    with pytest.raises(ValueError, match=message) as raised:
        viz.play_figures(figs, axes, "Figures.")
    assert raised.type is ValueError
    plt.close("all")


# --- in a browser ---


def missing(reason):
    if "REQUIRE_BROWSER" in os.environ:
        pytest.fail(reason)
    pytest.skip(f"THE PLAYERS WERE NOT PLAYED WITH: {reason}")


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing("no Chromium, install it with the system's package manager")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """Figures and players on one page, one of them twice."""
    walk = torch.linspace(-2, 2, 5).reshape(5, 1, 1).expand(5, 4, 2)
    shown = [
        viz.show(curve(), "A curve."),
        viz.show(digit(), "A digit."),
        viz.images(DIGIT.expand(20, 1, 8, 8), "Twenty.", row_titles=["one", "two"]),
        viz.play_images(SIX, AXES, "Two squares."),
        viz.play_images(SIX, AXES, "Two squares."),
        viz.play_points(walk, {"t": range(5)}, "Four points.", limits=(-3, 3)),
        viz.play_figures([curve(1), curve(2), curve(3)], {"top": [1, 2, 3]}, "Three curves."),
        viz.play_figures([curve(2), digit()], {"which": [0, 1]}, "A curve, a digit."),
    ]
    path = tmp_path_factory.mktemp("viz") / "page.html"
    head = "<!doctype html><meta charset=utf-8><meta name=viewport content=width=device-width>"
    head += "<meta name=color-scheme content='light dark'>"
    path.write_text(head + "".join(picture.html for picture in shown), encoding="utf-8")
    return path


@pytest.fixture
def tab(browser, page_file, request):
    context = browser.new_context(**getattr(request, "param", {}), offline=True)
    tab = context.new_page()
    tab.wrong = []
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.on("console", lambda message: tab.wrong.append(message.text))
    tab.on("request", lambda r: r.url.startswith("data:") or tab.wrong.append(r.url))
    tab.goto(page_file.as_uri())
    assert tab.wrong == [page_file.as_uri()]
    yield tab
    assert tab.wrong == [page_file.as_uri()]
    context.close()


def shade(player):
    return int(pixels(player.locator("img").get_attribute("src"))[0, 0, 0])


@pytest.mark.slow
def test_browser_keyboard(tab):
    first, second = (tab.locator(".minidiff-player").nth(i) for i in (0, 1))
    steps, eta = (first.locator("input").nth(i) for i in (0, 1))
    assert shade(first) == 0 and first.locator("output").first.inner_text() == "steps = 5"
    steps.focus()
    tab.keyboard.press("ArrowRight")
    assert shade(first) == 102 and steps.get_attribute("aria-valuetext") == "10"
    tab.keyboard.press("Tab")
    tab.keyboard.press("End")
    assert shade(first) == 153 and eta.get_attribute("aria-valuetext") == "</script>"
    assert first.locator("output").nth(1).inner_text() == "<eta> = </script>"
    assert shade(second) == 0  # each has its own state


@pytest.mark.slow
def test_browser_plays_to_the_end(tab):
    player = tab.locator(".minidiff-player").nth(2)
    button, output = player.locator("button"), player.locator("output")
    path = player.locator(".frame")
    start = path.get_attribute("d")
    tab.wait_for_timeout(1000)
    assert button.inner_text() == "Play" and path.get_attribute("d") == start  # starts paused
    button.focus()
    tab.keyboard.press("Space")
    assert button.inner_text() == "Pause" and output.get_attribute("aria-live") == "off"
    assert output.inner_text() == "t = 1"
    tab.wait_for_function("o => o.textContent === 't = 4'", arg=output.element_handle())
    assert button.inner_text() == "Play" and output.get_attribute("aria-live") == "polite"
    assert dots(path.get_attribute("d")) == [[833, 167]] != dots(start)
    tab.keyboard.press("Space")  # from the beginning
    assert output.inner_text() == "t = 0" and button.inner_text() == "Pause"
    tab.keyboard.press("Space")
    tab.wait_for_timeout(1000)
    assert output.inner_text() == "t = 0" and button.inner_text() == "Play"


@pytest.mark.parametrize("tab", [{"reduced_motion": "reduce"}], indirect=True)
@pytest.mark.slow
def test_browser_reduced_motion(tab):
    player = tab.locator(".minidiff-player").nth(2)
    button, output = player.locator("button"), player.locator("output")
    for t in (1, 2, 3, 4, 0):
        assert button.inner_text() == "Step"
        button.click()
        assert output.inner_text() == f"t = {t}"
    tab.wait_for_timeout(1000)
    assert output.inner_text() == "t = 0"


@pytest.mark.slow
def test_browser_turns_figures(tab):
    first, second = (tab.locator(".minidiff-player").nth(i) for i in (3, 4))
    slots = [player.locator(".frame") for player in (first, second)]
    want = [
        [
            ids_in(svg)
            for (svg,) in json.loads(player.locator("script").first.text_content())["frames"]
        ]
        for player in (first, second)
    ]
    assert [ids_in(slot.inner_html()) for slot in slots] == [want[0][0], want[1][0]]
    looks = [first.locator("svg").screenshot()]
    first.locator("input").focus()
    for k in (1, 2):
        tab.keyboard.press("ArrowRight")
        assert ids_in(slots[0].inner_html()) == want[0][k]
        assert first.locator("output").inner_text() == f"top = {k + 1}"
        looks.append(first.locator("svg").screenshot())
    assert len(set(looks)) == 3 and first.locator("svg").count() == 1
    assert ids_in(slots[1].inner_html()) == want[1][0]
    tab.keyboard.press("Home")
    assert first.locator("svg").screenshot() == looks[0]
    second.locator("button").click()
    assert ids_in(slots[1].inner_html()) == want[1][1]
    assert second.locator("svg").get_attribute("aria-label") == "A curve, a digit."


@pytest.mark.parametrize(
    ("tab", "ink"),
    [({"color_scheme": "light"}, (0, 0, 0)), ({"color_scheme": "dark"}, (255, 255, 255))],
    indirect=["tab"],
)
@pytest.mark.slow
def test_browser_ink_is_that_of_the_page(tab, ink):
    player = tab.locator(".minidiff-player").nth(3)
    for key in ("Home", "End"):
        player.locator("input").press(key)
        seen = pixels(player.locator("svg").screenshot())[..., :3]
        assert np.abs(seen[0, 0] - np.array(ink)).min() > 200  # the page itself
        assert (seen == ink).all(axis=-1).sum() > 100


@pytest.mark.parametrize("tab", [{"viewport": {"width": 320, "height": 800}}], indirect=True)
@pytest.mark.slow
def test_browser_scrolls_a_figure_not_its_controls(tab):
    player = tab.locator(".minidiff-player").nth(3)
    box = player.locator(".frame")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert round(player.locator("svg").bounding_box()["width"]) == round(0.7 * 5.2 * 96)
    box.evaluate("box => box.scrollLeft = 20")
    player.locator("input").press("End")
    assert box.evaluate("box => box.scrollLeft") == 20  # still where the reader looks
    controls = player.locator(".controls").bounding_box()
    assert controls["x"] >= 0 and controls["x"] + controls["width"] <= 320


@pytest.mark.parametrize("tab", [{"java_script_enabled": False}], indirect=True)
@pytest.mark.slow
def test_browser_without_a_script(tab):
    assert tab.locator("svg").last.is_visible()
    assert tab.locator("img").nth(1).is_visible() and not tab.locator("button").first.is_visible()


@pytest.mark.parametrize(
    "tab", [{"viewport": {"width": width, "height": 800}} for width in (1280, 390)], indirect=True
)
@pytest.mark.slow
def test_browser_nothing_overflows(tab):
    page = "document.documentElement.scrollWidth <= innerWidth"
    assert tab.evaluate(page)
    boxes = [figure.bounding_box() for figure in tab.locator("figure").all()]
    assert len(boxes) == 8 and all(box["height"] > 40 for box in boxes)

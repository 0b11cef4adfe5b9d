"""What a reader's browser makes of the rendered book, opened from disk, with no network.

Needs a built book and Chromium; without them everything here is skipped, or fails where
REQUIRE_BROWSER is set. Where SCREENSHOTS is set, they are left in _build/screenshots.
"""

import os
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import (
    HTML,
    PATIENCE,
    THEMES,
    WIDTHS,
    chromium,
    looked_at,
    missing,
    rendered,
    report,
    wait_for_maths,
    watch,
)

import ledger

SHOTS = ledger.ROOT / "_build/screenshots"

# MathJax would print an undefined command in red and go on; this makes it an error.
STRICT_MATHJAX = """
let config;
Object.defineProperty(window, 'MathJax', {configurable: true, get: () => config, set: (value) => {
  if (!value.version) {
    value.tex = {...value.tex, packages: {'[-]': ['noundefined', 'noerrors']}};
  }
  config = value;
}});
"""
FACTS = r"""() => ({
  maths: document.querySelectorAll('mjx-container').length,
  unrendered: document.querySelectorAll('.math').length
    - new Set([...document.querySelectorAll('mjx-container')].map(e => e.closest('.math'))
        .filter(e => e)).size,
  errors: [...document.querySelectorAll('mjx-merror, merror')].map(e => e.dataset.mjxError
    || e.getAttribute('title') || e.textContent),
  mute: [...document.querySelectorAll('article img, article svg, article canvas')]
    .filter(e => !e.closest('mjx-container, [aria-hidden=true], a.headerlink, button, summary'))
    .filter(e => {
      const text = e.getAttribute('alt') || e.getAttribute('aria-label')
        || e.closest('[role=img]')?.getAttribute('aria-label') || '';
      return !text.trim() || /[.](png|svg|jpe?g|gif)$/.test(text);
    }).map(e => e.outerHTML.slice(0, 120)),
  stderr: [...document.querySelectorAll('.output.stderr, .output.traceback')]
    .map(e => e.textContent.slice(0, 120)),
  raw: document.querySelector('article')?.innerText
    .match(/^:::.*|\{(eq|cite|doc|ref|prf|numref)[:\w]*\}`/gm) || [],
  icons: [...document.querySelectorAll('.fa-solid, .fas, .fab')]
    .filter(e => !getComputedStyle(e).getPropertyValue('--icon')).map(e => e.className),
  equations: Object.fromEntries([...document.querySelectorAll('.math[id^=equation-]')]
    .map(e => [e.id, e.querySelector('.eqno')?.textContent.match(/[(].+[)]/)[0]])),
  references: [...document.querySelectorAll('a[href*="#equation-"]:not(.headerlink)')]
    .map(e => [e.href, e.textContent]),
  players: document.querySelectorAll('.minidiff-player').length,
  links: [...document.querySelectorAll('a[href]')].map(e => e.href),
  ids: [...document.querySelectorAll('[id], a[name]')].map(e => e.id || e.name),
})"""
WIDE = """() => {
  const page = document.documentElement, room = page.clientWidth;
  const scrolls = e =>
    e && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
  const cut = [...document.querySelectorAll('mjx-container:not([display])')]  // formulas in a line
    .filter(e => e.getBoundingClientRect().right
      > e.closest('p, li, td, dd, h1, h2, h3')?.getBoundingClientRect().right + 1)
    .map(e => e.parentElement.textContent.slice(0, 120));
  return page.scrollWidth <= room ? cut : [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > room + 1 && !scrolls(e.parentElement))
    .map(e => e.outerHTML.slice(0, 120)).slice(0, 5);
}"""


@dataclass
class Page:
    """What was seen on one page."""

    facts: dict
    errors: list[str]
    foreign: list[str] = field(default_factory=list)
    wide: dict[int, list[str]] = field(default_factory=dict)


@contextmanager
def without_network():
    with chromium() as browser:
        context = browser.new_context(offline=True)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(STRICT_MATHJAX)
        yield context


@pytest.fixture(scope="module")
def context():
    with without_network() as context:
        yield context


def visit(context, path):
    """Loads a page once, and looks at it in two widths."""
    tab = context.new_page()
    requests, errors = watch(tab)
    tab.set_viewport_size({"width": WIDTHS[0], "height": 900})
    tab.goto(path.as_uri())
    wait_for_maths(tab)
    page = Page(tab.evaluate(FACTS), errors)
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        page.wide[width] = tab.evaluate(WIDE)
        if os.environ.get("SCREENSHOTS") and HTML in path.parents:
            name = "-".join(path.relative_to(HTML).with_suffix("").parts)
            for theme in THEMES:
                tab.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
                shot = SHOTS / f"{name}-{width}-{theme}.png"
                tab.screenshot(path=shot, full_page=True, style="* {transition: none !important}")
    tab.close()
    own = ("file", "data", "blob")
    page.foreign = [r.url for r in requests if urlsplit(r.url).scheme not in own]
    return page


@pytest.fixture(scope="module")
def pages(context):
    shutil.rmtree(SHOTS, ignore_errors=True)
    return {path: visit(context, path) for path in looked_at()}


def test_no_request_to_another_host(pages):
    assert report({path: page.foreign for path, page in pages.items()}) == {}


def loads_from_another_host(path):
    """Returns what a source would load from elsewhere, whether or not a browser got to it."""
    host = r"""["']?(?:https?:)?//"""
    loads = [
        r"<(?:script|img|iframe|source)[^>]+\bsrc=",
        r"<link[^>]+stylesheet[^>]+href=",
        r"url\(",
    ]
    return re.findall("|".join(start + host for start in loads), path.read_text("utf-8"))


def test_no_source_names_another_host():
    if not HTML.exists():
        missing("no rendered book, run make book")
    files = [p for p in HTML.rglob("*") if p.suffix in (".html", ".css")]
    assert report({path: loads_from_another_host(path) for path in files}) == {}


def test_no_error_on_the_console(pages):
    assert report({path: page.errors for path, page in pages.items()}) == {}


def test_mathematics_is_rendered(pages):
    wrong = {path: page.facts["errors"] for path, page in pages.items()}
    assert report(wrong) == {}
    assert report({path: page.facts["unrendered"] for path, page in pages.items()}) == {}
    assert pages[HTML / "book/03-ddpm.html"].facts["maths"] > 0


def test_nothing_overflows(pages):
    assert report({path: sum(page.wide.values(), []) for path, page in pages.items()}) == {}


def test_no_warning_and_no_raw_directive_is_shown(pages):
    assert report({path: page.facts["stderr"] for path, page in pages.items()}) == {}
    assert report({path: page.facts["raw"] for path, page in pages.items()}) == {}


def test_figures_have_a_text(pages):
    assert report({path: page.facts["mute"] for path, page in pages.items()}) == {}


def test_the_front_door_leads_to_the_book(context):
    tab = context.new_page()
    tab.goto((HTML / "index.html").as_uri())
    tab.wait_for_url((HTML / "book/index.html").as_uri())
    tab.close()


def test_links_resolve(pages):
    ids = {path: Counter(page.facts["ids"]) for path, page in pages.items()}
    wrong = {path: [] for path in pages}
    for path, page in pages.items():
        for link in set(page.facts["links"]):
            url = urlsplit(link)
            target, anchor = Path(unquote(url.path)), unquote(url.fragment)
            if url.scheme == "file" and not target.is_file():
                wrong[path].append(link)
            elif url.scheme == "file" and anchor and target in ids and anchor not in ids[target]:
                wrong[path].append(link)
    assert report(wrong) == {}


def test_references_show_the_number_of_their_equation(pages):
    wrong = {path: [] for path in pages}
    for path, page in pages.items():
        for link, text in page.facts["references"]:
            url = urlsplit(link)
            number = pages[Path(unquote(url.path))].facts["equations"].get(url.fragment)
            if number is None or text != number:
                wrong[path].append((link, text, number))
    assert report(wrong) == {}
    assert len(pages[HTML / "book/03-ddpm.html"].facts["references"]) > 10


def test_the_package_leads_to_the_chapters():
    """No label is left in a docstring, and the page of a chapter's module names the chapter."""
    for path in rendered():
        if HTML / "book/api" in path.parents:
            text = re.sub(r"<[^>]+>", "", path.read_text("utf-8").split("<article", 1)[1])
            assert ledger.LABEL.findall(text) == [], path.name
    page = (HTML / "book/api/ddim.html").read_text("utf-8")
    assert re.search(r'In the book: <a [^>]*href="../04-ddim.html">.*4. From DDPM to DDIM', page)
    assert 'href="../04-ddim.html#equation-eq-ddim-step"' in page


def test_every_icon_is_drawn(pages):
    assert report({path: page.facts["icons"] for path, page in pages.items()}) == {}


def test_pages_load_what_the_theme_loads_but_its_icons():
    theme = resources.files("pydata_sphinx_theme").joinpath("theme/pydata_sphinx_theme")
    macros = theme.joinpath("static/webpack-macros.html").read_text("utf-8")
    want = ["".join(m) for m in re.findall(r"'(_static/[^']+)', 1\) }}(\?\w+=\w+)", macros)]
    icons = [name for name in want if "fontawesome.js" in name]
    assert len(icons) == 1 and macros.count("_static/") == len(want)
    for path in rendered():
        loaded = re.findall(r'"(?:\.\./)*(_static/[^"]+)"', path.read_text(encoding="utf-8"))
        assert set(want) - set(loaded) == set(icons), path.name


def players(context, pages, **media):
    """Opens each page that has figures to play with, without its maths, and yields these."""
    for path, page in pages.items():
        if page.facts["players"]:
            tab = context.new_page()
            tab.emulate_media(**media)
            tab.route("**/mathjax/**", lambda route: route.abort())
            tab.goto(path.as_uri())
            yield from tab.locator(".minidiff-player").all()
            tab.close()


def test_the_chapter_has_a_player(pages):
    assert pages[HTML / "book/03-ddpm.html"].facts["players"] > 0


def test_sliders_follow_the_keyboard(context, pages):
    for player in players(context, pages):
        for slider in player.locator("input[type=range]").all():
            slider.press("Home")
            picture = player.locator("img, svg").first
            first = picture.screenshot()
            slider.press("End")
            assert slider.input_value() == slider.get_attribute("max")
            assert picture.screenshot() != first
            slider.press("ArrowLeft")
            assert int(slider.input_value()) == int(slider.get_attribute("max")) - 1


def test_play_plays_and_starts_paused(context, pages):
    for player in players(context, pages):
        slider = player.locator("input[type=range]").first
        assert slider.input_value() == "0"
        player.page.wait_for_timeout(500)
        assert slider.input_value() == "0"
        player.get_by_role("button", name="Play").press("Space")
        player.page.wait_for_timeout(500)
        assert int(slider.input_value()) > 0


def test_a_network_is_loaded_on_a_click(context):
    """And not before: it is a file beside the pages."""
    tab = context.new_page()
    requests, errors = watch(tab)
    tab.goto((HTML / "book/04-ddim.html").as_uri())
    wait_for_maths(tab)
    offer = tab.get_by_role("button", name="Load the network")
    for loaded in (0, 1):
        networks = [r.url for r in requests if "/_static/told-" in r.url]
        assert len(networks) == loaded and errors == []
        if not loaded:
            offer.click()
            tab.locator(".minidiff-live canvas").wait_for()
    assert networks[0].startswith(HTML.as_uri())
    tab.close()


def test_reduced_motion_is_honoured(context, pages):
    for player in players(context, pages, reduced_motion="reduce"):
        scroll = "getComputedStyle(document.documentElement).scrollBehavior"
        assert player.page.evaluate(scroll) == "auto"
        slider, button = player.locator("input[type=range]").first, player.locator("button")
        assert button.inner_text() == "Step"
        button.press("Enter")
        assert slider.input_value() == "1"
        player.page.wait_for_timeout(500)
        assert slider.input_value() == "1"

"""axe-core on every kind of page, light and dark, on a desk and on a phone.

What the theme gets wrong and this book cannot mend is written down in THEME, with the reason.
"""

import itertools
from importlib import resources

import pytest
from browser import (
    HTML,
    PATIENCE,
    THEMES,
    WIDTHS,
    chapters,
    chromium,
    rendered,
    report,
    wait_for_maths,
)

KINDS = ["book/index", "book/notation", "book/equations", "book/errata", "book/bibliography"]
KINDS += ["book/api/index", "book/api/forward", "book/api/viz", "_modules/minidiff/forward"]
KINDS += ["_modules/index", "genindex", "py-modindex", "search"]

# (rule, where): why it stays. An entry that no page needs any more is an error too.
THEME = {
    (
        "region",
        ".sidebar-primary-items__start",
    ): "the book's title lies in no landmark, and only the theme's template could give it one",
    (
        "definition-list",
        " > dl",
    ): "Sphinx writes the arguments of a long signature as definitions without terms",
}

ALL_LOOKS = list(itertools.product(WIDTHS, THEMES))
# Formulas have a text of their own and are left out, but kept in their sizes: of the longest
# chapter they are two thirds of what axe would walk through.
HOLLOW = """() => {
  const formulas = [...document.querySelectorAll('mjx-math')];
  const sizes = formulas.map(e => e.getBoundingClientRect());
  formulas.forEach((e, i) => {
    const blank = document.createElement('span');
    Object.assign(blank.style, {display: 'inline-block', width: `${sizes[i].width}px`,
      height: `${sizes[i].height}px`});
    e.replaceWith(blank);
  });
}"""
COLOURS = ["color-contrast", "link-in-text-block"]
AXE = """async only => {
  const what = {resultTypes: ['violations'], ...(only && {runOnly: only})};
  const found = await axe.run({exclude: ['mjx-container > *']}, what);
  return found.violations.flatMap(rule => rule.nodes.map(node =>
    [rule.id, node.target.flat().join(' '), node.html.slice(0, 160)]));
}"""
STILL = "* { transition: none !important; animation: none !important; }"


def look_at(browser, path, looks):
    """Returns {(rule, selector, html): [in which width and theme]} of one page.

    The second look at a width is in the other theme, and asks for colours alone.
    """
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    tab = browser.new_page(offline=True)
    tab.set_default_timeout(PATIENCE)
    tab.goto(path.as_uri())
    wait_for_maths(tab)
    tab.add_style_tag(content=STILL)
    tab.add_script_tag(content=axe)
    tab.evaluate(HOLLOW)
    found, seen = {}, None
    for width, theme in looks:
        tab.emulate_media(color_scheme=theme)
        tab.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
        if width != seen:
            tab.set_viewport_size({"width": width, "height": 900})
            tab.wait_for_timeout(1000)  # the theme sees what scrolls a moment after a resize
        for violation in tab.evaluate(AXE, COLOURS if width == seen else None):
            found.setdefault(tuple(violation), []).append(f"{width} {theme}")
        seen = width
    tab.close()
    return found


@pytest.fixture(scope="module")
def violations():
    """Returns {page: what axe finds there}."""
    found = {}
    with chromium() as browser:
        for path in [*chapters(), *(HTML / f"{kind}.html" for kind in KINDS)]:
            assert path in rendered(), f"{path.name}: no such page"
            # Each in all four ways; of the chapters, which are long and alike, the first alone.
            looks = zip(WIDTHS, THEMES, strict=True) if path in chapters()[1:] else ALL_LOOKS
            found[path] = look_at(browser, path, looks)
    return found


def allowed(rule, selector):
    return [key for key in THEME if key[0] == rule and key[1] in selector]


def test_axe_finds_nothing_of_ours(violations):
    ours = {
        path: {what: where for what, where in found.items() if not allowed(*what[:2])}
        for path, found in violations.items()
    }
    assert report(ours) == {}


def test_the_list_of_what_the_theme_gets_wrong_is_no_longer_than_it_must_be(violations):
    needed = [allowed(*what[:2]) for found in violations.values() for what in found]
    assert set(THEME) == set(sum(needed, []))

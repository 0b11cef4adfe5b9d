"""The rendered book over http, each page as on a first visit: what it asks for, what it weighs.

Leaves _build/crawl.json, and the same as a table in _build/crawl.md.
"""

import json
from collections import Counter
from dataclasses import dataclass

import pytest
from browser import (
    HTML,
    PATIENCE,
    chromium,
    looked_at,
    report,
    served,
    wait_for_maths,
    watch,
)

import ledger

BAR = 700  # kB, compressed, that a page may cost on a first visit, figures included
KINDS = ("document", "script", "stylesheet", "font", "image", "other")


@dataclass
class Visit:
    """What one page cost, and what went wrong."""

    urls: list[str]
    sizes: dict[str, int]  # bytes by kind of file
    maths: int
    errors: list[str]

    @property
    def kb(self):
        return sum(self.sizes.values()) / 1000


def visit(browser, address, page):
    """Loads a page with an empty cache, and unrolls it: nothing waits to be scrolled to."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    requests, errors = watch(tab)
    tab.goto(f"{address}/{page}")
    wait_for_maths(tab)
    height = tab.evaluate("document.documentElement.scrollHeight")
    tab.set_viewport_size({"width": 1280, "height": height})
    tab.wait_for_load_state("networkidle")
    asked = [request for request in requests if not request.url.startswith("data:")]
    sizes = Counter()
    for request in asked:
        kind = request.resource_type if request.resource_type in KINDS else "other"
        if not request.failure:
            size = request.sizes()
            sizes[kind] += size["responseHeadersSize"] + size["responseBodySize"]
    maths = tab.evaluate("document.querySelectorAll('mjx-container').length")
    context.close()
    urls = [request.url.removeprefix(address) for request in asked]
    errors = [error.replace(address, "") for error in errors]  # its port is another in every run
    return Visit(urls, sizes, maths, errors)


@pytest.fixture(scope="module")
def visits():
    with served() as address, chromium() as browser:
        seen = {p: visit(browser, address, p.relative_to(HTML).as_posix()) for p in looked_at()}
    write_report({path.relative_to(HTML).as_posix(): found for path, found in seen.items()})
    return seen


def write_report(seen):
    rows = [
        {
            "page": page,
            "requests": len(found.urls),
            "kB": round(found.kb, 1),
            "kB by kind": {kind: round(found.sizes[kind] / 1000, 1) for kind in KINDS},
            "formulas": found.maths,
            "errors": found.errors,
        }
        for page, found in seen.items()
    ]
    build = ledger.ROOT / "_build"
    (build / "crawl.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    head = ["page", "requests", "kB", *KINDS, "formulas", "errors"]
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    lines += [
        [row["page"], row["requests"], row["kB"], *row["kB by kind"].values()]
        + [row["formulas"], len(row["errors"])]
        for row in rows
    ]
    table = "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)
    text = f"A first visit to each page, compressed. A page may cost {BAR} kB.\n\n{table}"
    (build / "crawl.md").write_text(text, encoding="utf-8")


def test_no_request_to_another_host(visits):
    away = {p: [url for url in v.urls if not url.startswith("/")] for p, v in visits.items()}
    assert report(away) == {}


def test_no_error_and_no_missing_file(visits):
    assert report({path: found.errors for path, found in visits.items()}) == {}


def heavy(visits):
    return report({path: found.kb for path, found in visits.items() if found.kb > BAR})


def test_a_page_is_light(visits):
    assert heavy(visits) == {}


def test_the_icon_font_is_not_loaded(visits):
    icons = {p: [u for u in v.urls if "fontawesome" in u] for p, v in visits.items()}
    assert report(icons) == {}

"""Prints the whole rendered book into one file, _build/minidiff.pdf, with Chromium.

The pages are put one after the other into one document, in the order of their "next" buttons, so
that links, bookmarks and page numbers come from the browser. What is wider than the paper is set
smaller; where that is not enough it is named, and nothing is written.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import ledger

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HTML = ledger.ROOT / "_build/html"
PDF = ledger.ROOT / "_build/minidiff.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["headless", "disable-gpu", "disable-background-networking", "disable-component-update"]
FLAGS += ["disable-sync", "no-first-run", "no-sandbox"]
FLAGS += ["host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # no network but our own
NEXT = re.compile(r'<link rel="next" title="[^"]*" href="([^"]+)"')

MARGIN, SCALE = 18, 0.84  # mm on each side of A4; the text of the pages is 12 points
WIDTH = int((210 - 2 * MARGIN) / 25.4 * 96 / SCALE)  # what is left for it, in CSS pixels
SMALLEST = 0.55  # of the text around it; what would be set smaller than that cannot be read
FOOTER = '<p class="pageNumber" style="width: 100%; text-align: center; font: 9px sans-serif"></p>'

# Ids get the name of their page in front, but those inside of a picture, which only it uses.
JOIN = """async pages => {
  const place = document.querySelector('.bd-article-container');
  place.replaceChildren();
  const names = new Map(pages.map(([name, url]) => [url, name]));
  const anchor = (name, id) => id ? `${name}:${id}` : name;
  const sheets = new Set([...document.styleSheets].map(sheet => sheet.href));
  const loads = [];
  for (const [name, url, html] of pages) {
    const page = new DOMParser().parseFromString(html, 'text/html');
    for (const link of page.querySelectorAll('link[rel=stylesheet]')) {
      const href = new URL(link.getAttribute('href'), url).href;
      if (!sheets.has(href)) {
        const sheet = document.createElement('link');
        Object.assign(sheet, {rel: 'stylesheet', href});
        loads.push(new Promise(done => { sheet.onload = sheet.onerror = done; }));
        document.head.append(sheet);
        sheets.add(href);
      }
    }
    const article = document.adoptNode(page.querySelector('article'));
    article.querySelectorAll('a.headerlink, script').forEach(e => e.remove());
    for (const e of article.querySelectorAll('[id]')) {
      if (!e.closest('svg')) e.id = anchor(name, e.id);
    }
    article.id = name;
    for (const link of article.querySelectorAll('a[href]')) {
      const target = new URL(link.getAttribute('href'), url);
      const to = names.get(target.href.replace(/#.*/, ''));
      if (to) {
        link.setAttribute('href', '#' + anchor(to, decodeURIComponent(target.hash.slice(1))));
      } else if (target.protocol === 'file:') {
        link.removeAttribute('href');  // a page that is not in the book, such as the sources
      }
    }
    for (const image of article.querySelectorAll('img')) {
      const src = new URL(image.getAttribute('src'), url).href;
      loads.push(new Promise((done, fail) => {
        image.onload = done;
        image.onerror = () => fail(`${name}: no picture ${src.slice(0, 160)}`);
      }));
      Object.assign(image, {loading: 'eager', src});
    }
    place.append(article);
  }
  dispatchEvent(new Event('beforeprint'));
  await Promise.all(loads);
  await MathJax.startup.promise;
  await MathJax.typesetPromise();
  await document.fonts.ready;
}"""
# A box that is as wide as the text but whose content is not; or what sticks out of the text.
FIT = """smallest => {
  const boxes = 'mjx-container[display], .pst-scrollable-table-container, .text_html, table';
  const room = document.querySelector('article').getBoundingClientRect();
  const spare = e => Math.min(e.clientWidth, Math.ceil(room.width)) / e.scrollWidth;
  for (let pass = 0; pass < 4; pass++) {  // the room for it changes a little as it shrinks
    const wide = [...document.querySelectorAll(boxes)].filter(e => spare(e) < 1)
      .map(e => [e, spare(e) * parseFloat(getComputedStyle(e).fontSize)]);
    for (const [box, size] of wide) {
      const text = parseFloat(getComputedStyle(box.parentElement).fontSize);
      box.style.fontSize = `${Math.max(smallest * text, 0.99 * size)}px`;
    }
  }
  const wide = e => e.getBoundingClientRect().right > room.right + 1
    || (e.clientWidth && e.scrollWidth > e.clientWidth + 1  // 0 is an element within a line
      && getComputedStyle(e).overflowX !== 'visible');
  const inner = 'span.math, mjx-container *, svg *, .visually-hidden';
  return [...document.querySelectorAll('article *')].filter(e => !e.matches(inner) && wide(e))
    .map(e => `${e.closest('article').id}: ${e.outerHTML.slice(0, 160)}`);
}"""


def reading_order() -> list[Path]:
    """Returns the rendered pages from the first to the last, as their "next" buttons lead."""
    page, pages = HTML / "book/index.html", []
    while page not in pages:
        pages.append(page)
        found = NEXT.search(page.read_text(encoding="utf-8"))
        if found:
            page = (page.parent / found[1]).resolve()
    return pages


def print_book(browser: "Browser", pages: list[Path]) -> list[str]:
    """Writes the file, or returns what is wider than the paper."""
    tab = browser.new_page(viewport={"width": WIDTH, "height": 1000}, offline=True)
    tab.set_default_timeout(0)  # however busy the machine is
    tab.emulate_media(media="print", color_scheme="light")
    tab.goto(pages[0].as_uri())
    texts = [(p.relative_to(HTML).as_posix(), p.as_uri(), p.read_text("utf-8")) for p in pages]
    tab.evaluate(JOIN, texts)
    wide = list(tab.evaluate(FIT, SMALLEST))
    if not wide:
        edge = f"{MARGIN}mm"
        tab.pdf(
            path=PDF,
            format="A4",
            scale=SCALE,
            margin={"top": edge, "right": edge, "bottom": edge, "left": edge},
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
            print_background=True,
            outline=True,
            tagged=True,
        )
    return wide


def main() -> None:
    """Prints the book and says where it is."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        names = ", ".join(BROWSERS)
        sys.exit(f"pdf: NOT WRITTEN: no Chromium, install it with the system's packages ({names})")
    from playwright.sync_api import sync_playwright  # here, for tests that skip without it

    PDF.unlink(missing_ok=True)
    with sync_playwright() as playwright:
        flags = [f"--{flag}" for flag in FLAGS]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        wide = print_book(browser, reading_order())
        browser.close()
    if wide:
        sys.exit("\n".join(["pdf: NOT WRITTEN: wider than the paper:", *wide[:20]]))
    print(f"== pdf: open {PDF.as_uri()}")


if __name__ == "__main__":
    main()

"""Chromium and a small web server, for the tests that look at the rendered book."""

import gzip
import os
import shutil
import threading
from contextlib import contextmanager
from functools import cache, partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pdf import BROWSERS, FLAGS, HTML

WIDTHS = (1280, 390)
THEMES = ("light", "dark")
PATIENCE = 120_000  # ms for a page to load, on a machine that has other things to do


def missing(reason):
    if os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(f"the rendered book was NOT checked: {reason}")
    pytest.skip(f"THE RENDERED BOOK WAS NOT CHECKED: {reason}")


def rendered():
    """Returns the rendered pages; skips loudly where there are none."""
    if not (HTML / "book/index.html").exists():
        missing("no rendered book, run make book")
    paths = set(HTML.rglob("*.html")) - {HTML / "index.html"}  # which only leads to book/index
    return sorted(path for path in paths if HTML / "_static" not in path.parents)


def looked_at():
    """Returns the pages; of the listings of code, which are all alike, the first alone."""
    pages = rendered()
    listings = [path for path in pages if HTML / "_modules" in path.parents]
    return [path for path in pages if path not in listings[1:]]


def chapters():
    return sorted((HTML / "book").glob("[0-9][0-9]-*.html"))


@contextmanager
def chromium():
    rendered()
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        missing("no Chromium, install it with the system's package manager")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        flags = [f"--{flag}" for flag in FLAGS]
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


def watch(tab):
    """Returns (requests, errors), which grow while the tab is used."""
    requests, errors = [], []
    tab.on("request", lambda request: requests.append(request))
    tab.on("requestfailed", lambda request: errors.append(f"{request.failure}: {request.url}"))
    tab.on("response", lambda r: r.status >= 400 and errors.append(f"{r.status}: {r.url}"))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda m: m.type == "error" and errors.append(m.text))
    return requests, errors


def wait_for_maths(tab):
    tab.evaluate("window.MathJax?.startup?.promise?.then(() => document.fonts.ready)")


def report(wrong):
    """Returns {page: what is wrong there} for the pages where anything is."""
    return {os.path.relpath(path, HTML): what for path, what in wrong.items() if what}


class Pages(SimpleHTTPRequestHandler):
    """Serves files as GitHub Pages does: text is compressed, pictures and fonts are not."""

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind = self.guess_type(path)
        body = contents(path, kind.startswith("text/") or kind in COMPRESSED)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if body[:2] == b"\x1f\x8b":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


COMPRESSED = ("application/javascript", "application/json", "image/svg+xml")


@cache
def contents(path, compress):
    body = path.read_bytes()
    return gzip.compress(body, compresslevel=6) if compress else body


@contextmanager
def served(root=HTML):
    """Serves the book on a free port of this machine, and yields its address."""
    contents.cache_clear()  # of what another test served under the same names
    handler = partial(Pages, directory=root)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

"""The book on paper: small pages printed by tools/pdf.py, and the order of the real ones."""

import pytest
from browser import HTML, chromium, rendered

import pdf

PAGE = """<html><script>
MathJax = {startup: {promise: Promise.resolve()}, typesetPromise: async () => {}};
</script><div class="bd-article-container"><article>%s</article></div></html>"""
TABLE = '<table><tr><td style="white-space: nowrap">%s</td></tr></table>'


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def print_pages(browser, tmp_path, monkeypatch):
    """Returns a function that prints pages with these bodies, and returns what is too wide."""
    monkeypatch.setattr(pdf, "HTML", tmp_path)
    monkeypatch.setattr(pdf, "PDF", tmp_path / "book.pdf")

    def run(*bodies):
        pages = [tmp_path / f"{number}.html" for number in range(len(bodies))]
        for page, body in zip(pages, bodies, strict=True):
            page.write_text(PAGE % body, encoding="utf-8")
        return pdf.print_book(browser, pages)

    return run


def test_what_is_a_little_too_wide_is_set_smaller(print_pages):
    assert print_pages("<h1>One</h1>", TABLE % ("word " * 25)) == []
    assert pdf.PDF.read_bytes()[:5] == b"%PDF-"


@pytest.mark.parametrize(
    "body", [TABLE % ("word " * 90), '<div style="width: 3000px"><p>A</p></div>']
)
def test_what_stays_wider_than_the_paper_is_named_and_nothing_is_written(print_pages, body):
    wide = print_pages("<h1>One</h1>", body)
    assert wide and all(line.startswith("1.html: <") for line in wide)
    assert not pdf.PDF.exists()


def test_links_lead_to_the_other_page_and_to_no_file(print_pages):
    links = '<a href="1.html#here">there</a> <a href="2.html">not in the book</a>'
    assert print_pages(links, '<p id="here">Here.</p>') == []
    content = pdf.PDF.read_bytes()
    assert b"1.html:here" in content and b"file:" not in content


def test_the_order_is_that_of_the_book():
    rendered()
    order = pdf.reading_order()
    written = [page for part in ("book", "assignments") for page in (HTML / part).rglob("*.html")]
    assert sorted(order) == sorted(written)
    names = [page.relative_to(HTML).as_posix() for page in order]
    assert names[:3] == [f"book/{n}.html" for n in ("index", "notation", "01-score-matching")]
    assert names[-2:] == ["book/api/viz.html", "book/bibliography.html"]


def test_it_says_that_chromium_is_missing(monkeypatch):
    monkeypatch.setattr(pdf, "BROWSERS", ())
    with pytest.raises(SystemExit, match="no Chromium"):
        pdf.main()

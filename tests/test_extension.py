"""A docstring leads to its equations, and to the chapters that use what it documents."""

import ast
import re
import subprocess
import sys

import minidiff_book
import pytest

import ledger

ROOT = ledger.ROOT
MODULES = sorted((ROOT / "minidiff").rglob("*.py"))
LABELS = {label for chapter in ledger.chapters() for label, _ in chapter.equations}
LINK = re.compile(r":eq:`([^`]+)`")

CONF = f"""
import sys
sys.path[:0] = [{str(ROOT / "book/_ext")!r}, "."]
from minidiff_book import lead_to_the_book
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
def setup(app):
    app.connect("autodoc-process-docstring", lead_to_the_book)
"""
PAGE = """
# Page

$$ a = b $$ (eq-first)

$$ b = c $$ (eq-second)

```{eval-rst}
.. automodule:: planted
   :members:
```
"""


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("a sum. (eq-a)", "a sum. :eq:`eq-a`"),
        ("both (eq-a,\n    eq-b-2), here", "both :eq:`eq-a`,\n    :eq:`eq-b-2`, here"),
        ("Equation: eq-a.", "Equation: :eq:`eq-a`."),
        ("(as eq-a says)", "(as :eq:`eq-a` says)"),
        ("``(eq-a)`` and ``eq-a``, seq-a", "``(eq-a)`` and ``eq-a``, seq-a"),
    ],
)
def test_labels_become_links(text, linked):
    assert minidiff_book.link_equations(text) == linked


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_label_of_a_docstring_becomes_a_link_to_an_equation(path):
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    nodes = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, kinds)]
    for text in filter(None, map(ast.get_docstring, nodes)):
        links = LINK.findall(minidiff_book.link_equations(text))
        assert links == ledger.LABEL.findall(text)
        assert set(links) <= LABELS


@pytest.mark.slow
@pytest.mark.parametrize("label", ["eq-second", "eq-wrong"])
def test_a_label_of_no_equation_stops_the_build(tmp_path, label):
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "index.md").write_text(PAGE)
    (tmp_path / "planted.py").write_text(f'"""A module. (eq-first)\n\nMore: {label}."""\n')
    run = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", ".", "html"]
    done = subprocess.run(run, cwd=tmp_path, text=True, capture_output=True)
    if label == "eq-wrong":
        assert done.returncode != 0 and "equation not found: eq-wrong" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        page = (tmp_path / "html/index.html").read_text()
        assert re.search(r'<a [^>]*href="#equation-eq-first">\(1\)</a>', page)
        assert re.search(r'More: <a [^>]*href="#equation-eq-second">\(2\)</a>\.', page)


def test_code_mentions_what_it_imports_and_what_it_reaches_through_that():
    code = "from minidiff import ddpm, viz as v\nfrom torch import nn\nv.show(x.y, nn.Module)"
    assert set(minidiff_book.mentions(code)) == {
        "minidiff.ddpm",
        "minidiff.viz",
        "minidiff.viz.show",
    }


def test_a_name_leads_to_the_chapters_that_use_it_or_derive_it():
    pages = minidiff_book.pages_of
    assert pages("minidiff.nets.unet.UNet") == ["02-langevin", "03-ddpm"]  # as minidiff.nets.UNet
    assert pages("minidiff.sampling.slerp") == ["04-ddim"]
    assert pages("minidiff.forward.q_between")[0] == "03-ddpm"  # which derives it: no cell uses it
    assert pages("minidiff.gmm.GaussianMixture")[0] == "01-score-matching"
    assert pages("minidiff.nowhere") == []


def test_the_line_about_chapters_stands_below_the_docstring():
    lines = ["Takes one step (eq-ddim-step)."]
    thing = minidiff_book.pkgutil.resolve_name("minidiff.sampling.slerp")
    minidiff_book.lead_to_the_book(None, "function", "minidiff.sampling.slerp", thing, None, lines)
    assert lines == [
        "Takes one step :eq:`eq-ddim-step`.",
        "",
        "In the book: :doc:`/book/04-ddim`.",
        "",
    ]
    for what, text in (("method", ["Text."]), ("function", [])):
        lines = list(text)
        minidiff_book.lead_to_the_book(None, what, "minidiff.sampling.slerp", thing, None, lines)
        assert lines == text

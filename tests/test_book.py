"""What the pages promise, as far as it can be read off their sources."""

import json
import re
import statistics

import pytest
import yaml

import ledger
import notebooks

BOOK = ledger.ROOT / "book"
NOTEBOOKS = notebooks.notebooks()
PAGES = [p for p in sorted(BOOK.glob("*.md")) if p != ledger.PAGE]
CHAPTERS = [path for path in NOTEBOOKS if re.match(r"\d\d-", path.name)]

# LaTeX that draws the same in the book, Jupyter, Colab, VS Code and on GitHub.
COMMANDS = set(
    """
    alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau
    phi varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell nabla partial infty
    bar hat tilde vec dot overline underline overbrace underbrace widehat mathbb mathbf mathcal
    mathrm mathit boldsymbol text operatorname
    frac tfrac dfrac sqrt sum prod int log exp sin cos tan arctan min max arg det lim sup inf Pr
    left right big Big bigl bigr Bigl Bigr bigg Bigg biggl biggr Biggl Biggr mid middle
    varsigma oint iint lVert rVert lvert rvert langle rangle lfloor rfloor lceil rceil Vert
    cdot cdots ldots dots vdots ddots times div pm mp circ square odot oplus otimes ast star
    le leq ge geq ne neq ll gg approx sim simeq equiv propto in notin subset subseteq cup cap
    to mapsto gets rightarrow leftarrow Rightarrow Leftarrow Leftrightarrow longrightarrow
    implies iff forall exists neg land lor perp parallel top
    quad qquad begin end tag boxed limits nolimits displaystyle textstyle substack
    """.split()
)
TEX = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$[^$\n]+\$|\\begin\{(\w+\*?)\}.+?\\end\{\1\}", re.DOTALL)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
TEXTS = NOTEBOOKS + notebooks.handouts() + PAGES
each_page = pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.stem)


def cells(path, kind):
    """Returns [(id, text, tags, cell)] of the cells of a kind."""
    all_cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        (c["id"], "".join(c["source"]), set(c["metadata"].get("tags", [])), c)
        for c in all_cells
        if c["cell_type"] == kind
    ]


def test_there_is_a_chapter():
    assert CHAPTERS


def test_every_page_of_the_table_of_contents_exists():
    def files(node):
        here = [node[key] for key in ("root", "file") if key in node]
        for key in ("parts", "chapters", "sections"):
            for child in node.get(key, []):
                here += files(child)
        return here

    toc = files(yaml.safe_load((ledger.ROOT / "_toc.yml").read_text(encoding="utf-8")))
    sources = [*NOTEBOOKS, *notebooks.handouts(), *PAGES, ledger.PAGE]
    sources += (BOOK / "api").glob("*.md")
    names = [path.relative_to(ledger.ROOT).with_suffix("").as_posix() for path in sources]
    assert sorted(toc) == sorted(names)


@each_notebook
def test_the_first_code_cell_installs(path):
    first = cells(path, "code")[0][3]
    assert first == notebooks.install_cell(notebooks.public_address()), "run tools/notebooks.py"


@each_notebook
def test_cell_ids_are_unique(path):
    ids = [cell[0] for kind in ("markdown", "code", "raw") for cell in cells(path, kind)]
    assert len(ids) == len(set(ids))


@each_notebook
def test_outputs_are_stored_only_where_they_are_compared(path):
    for name, _, tags, cell in cells(path, "code"):
        if "nbval-check-output" in tags:
            assert cell["outputs"] and cell["execution_count"], f"{name}: nothing to compare with"
            assert "keep_output" in tags, f"{name}: its output would be stripped"
        else:
            assert cell["outputs"] == [] and cell["execution_count"] is None, (
                f"{name}: not stripped"
            )


@each_page
def test_mathematics_uses_plain_latex(path):
    text = ledger.CODE.sub("", ledger.text_of(path))
    used = {c for m in TEX.finditer(text) for c in re.findall(r"\\([A-Za-z]+)", m[0])}
    assert used - COMMANDS == set()


@each_notebook
def test_directives_are_colon_fences(path):
    for name, text, _, _ in cells(path, "markdown"):
        assert not re.search(r"^\s*(```+|~~~+)\s*\{", text, re.MULTILINE), name


@each_notebook
def test_one_sentence_a_line(path):
    end = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bet al)(?<!\b[Ee]q)(?<!\bvs)[.!?] +[A-Z][a-z]+ ")
    for name, text, _, _ in cells(path, "markdown"):
        for line in TEX.sub("$", ledger.CODE.sub("`", text)).splitlines():
            listed = re.match(r"\s*([-*|>#:]|\d+\.)", line)
            assert listed or not end.search(line), f"{name}: {line}"


def test_the_errata_name_tests_that_exist():
    text = (BOOK / "errata.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    assert len(named) >= 8
    for file, test in named:
        assert f"def {test}(" in (ledger.ROOT / "tests" / file).read_text(encoding="utf-8"), test


@each_chapter
def test_code_fits_the_page(path):
    lines = [(name, x) for name, text, _, _ in cells(path, "code") for x in text.splitlines()]
    assert [(name, x) for name, x in lines if len(x) > 88 and name != "install"] == []


@each_chapter
def test_code_cells_are_short(path):
    sizes = {
        name: sum(bool(line.strip()) for line in text.splitlines())
        for name, text, _, _ in cells(path, "code")
        if name != "install"
    }
    assert {name: n for name, n in sizes.items() if n > 25} == {}
    assert statistics.median(sizes.values()) <= 8


@each_chapter
def test_a_chapter_is_a_chapter_long(path):
    text = TEX.sub("", ledger.CODE.sub("", ledger.text_of(path)))
    assert 1500 <= len(re.findall(r"\b[A-Za-z][\w'-]*", text)) <= 3500


def test_the_bibliography_lists_what_is_cited():
    text = "\n".join(ledger.text_of(path) for path in TEXTS)
    roles = re.findall(r"\{cite[a-z:]*\}`([^`]+)`", text)
    cited = {key.strip() for keys in roles for key in keys.split(",")}
    listed = re.findall(r"(?m)^@\w+\{([^,]+),", (BOOK / "references.bib").read_text("utf-8"))
    assert sorted(listed) == sorted(cited)

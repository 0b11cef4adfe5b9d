"""Every equals sign of the derivations has a twin that checks it, or a reason to have none."""

import importlib
import sys

import numpy as np
import pytest

import derivations
import ledger

sys.path.append(str(derivations.TWINS))
pytest.register_assert_rewrite(*(path.stem for path in derivations.TWINS.glob("*.py")))

STATED = ledger.stated()
CLAIMS = {page: derivations.claims(page) for page in STATED}
TWINS = [(page, name) for page, claims in CLAIMS.items() for name in claims.twins]

each_page = pytest.mark.parametrize("page", [p for p, c in CLAIMS.items() if any(c)])


def keys(relations):
    return {derivations.key(relation): relation for relation in relations}


def without(relations, *others):
    """Returns the relations that none of the others repeats."""
    known = {key for other in others for key in keys(other)}
    return [relation for key, relation in keys(relations).items() if key not in known]


@pytest.mark.twin
@pytest.mark.parametrize(("page", "name"), TWINS, ids=["-".join(one) for one in TWINS])
def test_twin(page, name):
    module = importlib.import_module(derivations.module(page))
    module.RNG = np.random.default_rng(0)  # the same draws, whatever ran before
    getattr(module, name)()


@each_page
def test_a_twin_checks_what_its_page_says(page):
    tied = [relation for relations in CLAIMS[page].twins.values() for relation in relations]
    changed = without(tied, STATED[page])
    assert changed == [], "\n".join(["the line changed: look at its twin again", *changed])
    assert len(keys(tied)) == len(tied), "two twins for one relation"


@each_page
def test_a_definition_is_still_on_its_page(page):
    claims = CLAIMS[page]
    changed = without(claims.definitions, STATED[page])
    assert changed == [], "\n".join(["no longer on the page", *changed])
    tied = [relation for relations in claims.twins.values() for relation in relations]
    assert len(without(claims.definitions, tied)) == len(claims.definitions), "checked as well"
    assert all(len(reason) > 10 for reason in claims.definitions.values())


@each_page
def test_no_relation_is_left_over(page):
    claims = CLAIMS[page]
    left = without(STATED[page], claims.definitions, *claims.twins.values())
    assert left == [], "\n".join(["each needs a twin, or a reason in DEFINITIONS", *left])


def test_every_file_of_twins_belongs_to_a_page():
    files = {path.stem for path in derivations.TWINS.glob("twins_*.py")}
    assert files == {derivations.module(page) for page, claims in CLAIMS.items() if any(claims)}


@pytest.mark.parametrize(
    ("display", "relations"),
    [
        ("a = b = c", ["a = b", "b = c"]),
        (r"a &= b \\ &= c + d ,", ["a = b", "b = c + d"]),
        (r"a &= b + c \\ &\quad + d", ["a = b + c + d"]),
        (r"\begin{aligned} a &= b , \\ c &\le d . \end{aligned}", ["a = b", r"c \le d"]),
        (r"\sum_{i=1}^n p(x = i) = 1", [r"\sum_{i=1}^n p(x = i) = 1"]),
        (r"\Big[ a = b \Big]_0^1 \approx \big\{ c < d \big\}", None),
        (r"x = 1 , \qquad y \sim \mathcal{N}(0, I) .", ["x = 1", r"y \sim \mathcal{N}(0, I)"]),
        (r"w = 1 , \quad 2 , \quad 3", ["w = 1 , 2 , 3"]),
        (r"\sigma = 0 \text{ at } s = 0", [r"\sigma = 0 \text{ at } s = 0"]),
        (r"a = 1 , \qquad \text{if } b > 0", ["a = 1", r"\text{if } b > 0"]),
        (r"\text{so } a = b = c", [r"\text{so } a = b", "b = c"]),
        (r"a + b , \quad c", ["a + b , c"]),
        (r"\text{so:} \quad a = b : \\ c < d", [r"\text{so:} a = b", "c < d"]),
        (r"a = c_{\text{in}} = b", [r"a = c_{\text{in}}", r"c_{\text{in}} = b"]),
        (r"a = b \implies c \subset d", ["a = b", r"\implies c \subset d"]),
        (r"a = b \quad \implies \quad c < d", ["a = b", r"\implies c < d"]),
        (r"= a = b", ["= a", "a = b"]),
    ],
)
def test_a_display_is_taken_apart(display, relations):
    found = derivations.relations([display])
    assert found == relations or relations is None and len(found) == 1


def test_a_relation_is_known_by_what_it_says():
    key = derivations.key
    assert key(r"\frac{a}{b}\, x \;=\; \left( y \right)") == key(r"\frac{a}{b} x = (y)")
    assert key(r"\alpha t") == key(r"\alpha  t") != key(r"\alphat")
    assert key("a = b") != key("a = b'")
    assert derivations.relations([r"a\, b = c", "a b = c ."]) == ["a b = c"]


def test_what_is_said_about_a_page_is_read_off_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(derivations, "TWINS", tmp_path)
    assert derivations.claims("07-x") == ({}, {})
    text = """
DEFINITIONS = {r"a = 1": "introduces " "a"}
@twin(r"a = b", r"b" r" = c")
def both(): ...
@twin(r"c = d")
def last(): ...
def helper(): ...
"""
    (tmp_path / "twins_07_x.py").write_text(text)
    claims = derivations.claims("07-x")
    assert claims.twins == {"both": ["a = b", "b = c"], "last": ["c = d"]}
    assert claims.definitions == {"a = 1": "introduces a"}
    stated = ["a = 1", "a=b", "b = c", "c = d", "d = e"]
    assert derivations.count("07-x", stated, {"both", "last"}) == (3, 1, 1)
    assert derivations.count("07-x", stated, {"last"}) == (1, 1, 3)


def test_the_ledger_counts_a_twin_that_passed(tmp_path, monkeypatch):
    """A twin that was skipped, failed or asserted nothing checks nothing."""
    monkeypatch.setattr(derivations, "TWINS", tmp_path)
    (tmp_path / "twins_07_x.py").write_text('@twin("a = b")\ndef one(): ...\n')
    monkeypatch.setattr(ledger, "stated", lambda: {"07-x": ["a = b", "b = c"]})
    for outcome, asserts, row in [
        ("passed", 1, "1 | 0 | 1"),
        ("passed", 0, "0 | 0 | 2"),
        ("failed", 1, "0 | 0 | 2"),
        ("skipped", 1, "0 | 0 | 2"),
    ]:
        record = {"outcome": outcome, "asserts": asserts, "equations": []}
        report = {"tests": {"tests/test_derivations.py::test_twin[07-x-one]": record}}
        last = ledger.lines(report, {"07-x": "Seven"}).splitlines()[-1]
        assert last == f"| {{doc}}`Seven <07-x>` | 2 | {row} |"


def test_the_ledger_shows_the_counts_of_every_page():
    rows = ledger.page().split("## Every equals sign")[1].split("##")[0].splitlines()
    named = {row.split("<")[1].split(">")[0] for row in rows if row.startswith("| {doc}")}
    assert named == set(STATED) == {chapter.name for chapter in ledger.chapters()}


def test_twin_leaves_a_function_alone():
    assert derivations.twin("a = b")(keys) is keys

"""The failure gallery: the page, the table of bugs and the tests that see them, held together."""

import ast
import json
import math
import re
import types
from pathlib import Path

import pytest
import torch

import failures
from failures import FAILURES
from minidiff import ddim, langevin
from minidiff.schedule import cosine_schedule, linear_schedule

PAGE = failures.ROOT / "book/failures.ipynb"
F64 = torch.float64
each = pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.name)


def cells(kind):
    page = json.loads(PAGE.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in page["cells"] if c["cell_type"] == kind]


def broken_on_the_page():
    """(module, right, wrong) of every call of ``broken`` in the code of the page."""
    return [
        (node.args[0].id, node.args[1].value, node.args[2].value)
        for text in cells("code")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "broken"
    ]


def twin(name):
    """The module with the bug of that name in it."""
    failure = next(f for f in FAILURES if f.name == name)
    module = types.ModuleType(Path(failure.path).stem)
    exec(failures.broken(failure), module.__dict__)
    return module


@each
def test_the_line_is_there_once_and_its_bug_is_python(failure):
    source = failures.broken(failure)
    assert source.count(failure.wrong) >= 1 or not failure.wrong
    assert source != (failures.ROOT / failure.path).read_text(encoding="utf-8")
    ast.parse(source)


@each
def test_the_named_test_exists_and_the_page_names_it(failure):
    path, name = failure.test.split("::")
    text = (failures.ROOT / path).read_text(encoding="utf-8")
    assert len(re.findall(rf"^def {name}\(", text, re.MULTILINE)) == 1
    assert f"`{Path(path).name}::{name}`" in "\n".join(cells("markdown"))


def test_the_page_names_no_other_test():
    named = re.findall(r"`(test_\w+\.py::test_\w+)`", "\n".join(cells("markdown")))
    assert set(named) == {Path(f.test).name for f in FAILURES}


def test_the_page_runs_the_bugs_of_the_table_and_no_others():
    table = [(Path(f.path).stem, f.right, f.wrong) for f in FAILURES]
    assert sorted(broken_on_the_page()) == sorted(table)
    assert len({f.name for f in FAILURES}) == len(FAILURES)


def test_a_line_that_has_changed_is_said():
    gone = FAILURES[0]._replace(right="no such text")
    with pytest.raises(ValueError, match="expected 'no such text' once, got it 0 times"):
        failures.broken(gone)
    with pytest.raises(SystemExit, match="no such bug"):
        failures.main(["no such bug"])


@pytest.mark.slow
def test_bugs_are_seen_by_the_tests_that_are_named_for_them():
    """Every third here; `make mutants` asks all."""
    assert failures.check(FAILURES[::3]) == []


@pytest.mark.slow
def test_a_bug_that_is_no_bug_is_reported():
    harmless = FAILURES[0]._replace(wrong="n: int, noise: NoiseFn = (torch.randn_like)")
    assert failures.check([harmless]) == [f"{harmless.name}: not noticed by {harmless.test}"]


@pytest.mark.equation("eq-failures-kurtosis")
@pytest.mark.parametrize("delta", [2.0, 1.0, 0.4])
def test_a_chain_dilutes_the_kurtosis_of_its_noise(delta):
    """By enumeration: noise of a few values and weights, whose law after k steps is a product.

    The values are +-3 with weight 1/18 each, else 0: variance 1, kurtosis 9, like the product of
    two Gaussians. The state is linear in its noises, so the fourth power can be summed exactly.
    """
    values, weights = torch.tensor([-3.0, 0.0, 3.0], dtype=F64), [1 / 18, 8 / 9, 1 / 18]
    steps = 120  # by then nothing is left of the start
    # The coefficients of the noises, read off the code: a single noise of 1, at each step in turn.
    calls = iter(range(steps))

    def single(x):
        return (torch.arange(steps) == next(calls)).to(x).view(-1, 1)

    *_, x = langevin.ula(lambda x: -x, torch.zeros(steps, 1, dtype=F64), delta, steps, single)
    second = fourth = 0.0
    for c in x[:, 0].tolist():
        two = sum(p * (c * v) ** 2 for p, v in zip(weights, values.tolist(), strict=True))
        four = sum(p * (c * v) ** 4 for p, v in zip(weights, values.tolist(), strict=True))
        fourth += 6 * second * two + four  # E (s + z)^4 of independent, symmetric s and z
        second += two
    r = 1 - delta / 2
    assert fourth / second**2 - 3 == pytest.approx(6 * (1 - r**2) / (1 + r**2), abs=1e-9)


@pytest.mark.equation("eq-failures-kurtosis")
def test_the_diluted_kurtosis_by_drawing_it():
    """Chains with the product of two Gaussians, at four standard errors from twenty batches."""
    generator = torch.Generator().manual_seed(0)

    def product(x):
        a, b = torch.randn(2, *x.shape, dtype=F64, generator=generator)
        return a * b

    start = torch.zeros(400_000, 1, dtype=F64)
    *_, x = langevin.ula(lambda x: -x, start, 1.0, 12, product)
    batches = x.view(20, -1)
    excess = batches.pow(4).mean(1) / batches.square().mean(1) ** 2 - 3
    error = excess.std().item() / math.sqrt(20)
    assert abs(excess.mean().item() - 3.6) < 4 * error < 0.5


@pytest.mark.equation("eq-failures-still")
@pytest.mark.parametrize("schedule", [linear_schedule(200), cosine_schedule(1000)])
def test_with_the_wrong_index_the_state_stands_still(schedule):
    wrong = twin("alpha_bar at the wrong index")
    x, eps = torch.randn(2, 5, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    for t, s in ((200, 199), (200, 50), (7, 1), (1, 0)):
        assert torch.allclose(wrong.step(x, t, s, eps, schedule)[0], x, atol=1e-12)
        assert (ddim.step(x, t, s, eps, schedule)[0] - x).abs().max() > 1e-3

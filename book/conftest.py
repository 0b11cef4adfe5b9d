"""Keeps what nbval gets from a notebook whose cells have all passed: the book shows it."""

from collections.abc import Generator

import pytest
from nbval.plugin import IPyNbCell

import executed

SECONDS = pytest.StashKey[dict[int, float]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forgets results of other sources, before any process of the run stores a new one."""
    if not hasattr(session.config, "workerinput"):
        executed.drop_stale()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes a cell's outputs, and stores the notebook after its last cell."""
    report = yield
    if isinstance(item, IPyNbCell) and report.when == "call" and report.passed:
        took = item.parent.stash.setdefault(SECONDS, {})
        took[item.cell_num] = report.duration
        item.cell.outputs = item.test_outputs
        item.cell.execution_count = len(took)
        cells = item.parent.nb.cells
        if len(took) == sum(cell.cell_type == "code" for cell in cells):
            executed.keep(item.path, item.parent.nb, sum(took.values()))
    return report

"""Reports every test run to the equation ledger: what ran, how it ended, how much it asserted.

The report lies in `_build/tests.json`. A run without any marked test leaves the last report alone.
"""

import json
import os

import pytest

import ledger

ASSERTS = pytest.StashKey[int]()
TESTS: dict[str, dict] = {}


def pytest_assertion_pass(item):
    item.stash[ASSERTS] = item.stash.get(ASSERTS, 0) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    if call.when == "setup":  # user_properties travel from an xdist worker to the controller
        labels = [label for mark in item.iter_markers("equation") for label in mark.args]
        item.user_properties.append(("equations", labels))
    elif call.when == "call":
        item.user_properties.append(("asserts", item.stash.get(ASSERTS, 0)))


def pytest_runtest_logreport(report):
    record = TESTS.setdefault(report.nodeid, {"equations": [], "outcome": "passed", "asserts": 0})
    record |= dict(report.user_properties)
    if report.outcome != "passed" and record["outcome"] != "failed":
        record["outcome"] = report.outcome


def pytest_sessionfinish(session):
    worker = hasattr(session.config, "workerinput")
    if not worker and any(record["equations"] for record in TESTS.values()):
        command = " ".join(["pytest", *session.config.invocation_params.args])
        report = {"command": command, "sources": ledger.tested_sources(), "tests": TESTS}
        ledger.REPORT.parent.mkdir(exist_ok=True)
        draft = ledger.REPORT.with_suffix(".tmp")
        draft.write_text(json.dumps(report, indent=1))
        os.replace(draft, ledger.REPORT)

"""Measures minidiff beside diffusers, smalldiffusion and azula, and writes down the table.

python bench/run.py [--quick] [--clock cpu] [row ...]

All rows together write bench/results.json and bench/results.md. With --quick, which is for seeing
that everything works, or with rows chosen by name, the page is printed and nothing is written.
--clock cpu counts the seconds that the process computes instead of those that go by: on a machine
that does something else too, that is the better guess, though not as good as a quiet machine.
"""

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import libraries
import measure
import report
import torch


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Measures minidiff beside its peers.")
    parser.add_argument("rows", nargs="*", metavar="row", help=", ".join(measure.ROWS))
    parser.add_argument("--quick", action="store_true", help="few rounds, for a smoke test")
    parser.add_argument("--clock", choices=measure.CLOCKS, default="wall", help="what is read")
    given = parser.parse_args()
    for name in given.rows:
        if name not in measure.ROWS:
            parser.error(f"row: expected one of {', '.join(measure.ROWS)}, got {name}")
    return given


def about(everyone: list[libraries.Library], quick: bool) -> dict[str, Any]:
    """Returns what a reader must know of the circumstances, and nothing that names a machine."""
    return {
        "libraries": {each.name: version(each.name) for each in everyone},
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()}-core {platform.machine()}",
        "threads": torch.get_num_threads(),
        "clock": measure.CLOCK,
        "quick": quick,
        "load": [os.getloadavg()[0]],
    }


def main() -> int:
    """Measures, and writes or prints the page."""
    given = arguments()
    torch.set_num_threads(1)
    measure.CLOCK = given.clock
    everyone = libraries.everyone()
    results: dict[str, Any] = {"about": about(everyone, given.quick)}
    results["agreement"] = measure.agreement(everyone)
    results["rows"] = []
    for name in given.rows or measure.ROWS:
        start = time.perf_counter()
        for row in measure.ROWS[name](everyone, given.quick):
            results["rows"].append(row)
            cells = ", ".join(f"{each} {report.cell(row, each)}" for each in row["cells"])
            print(f"{row['title']} [{row['unit']}]: {cells}", file=sys.stderr, flush=True)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        if name == "distance":
            results["floor"] = measure.floor()
    results["about"]["load"].append(os.getloadavg()[0])

    page = report.page(results)
    if given.quick or given.rows:
        print(page)
        return 0
    folder = Path(__file__).parent
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    (folder / "results.json").write_text(text, encoding="utf-8")
    (folder / "results.md").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

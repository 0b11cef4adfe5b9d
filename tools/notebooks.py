"""Keeps the first code cell of every notebook: it installs minidiff where that is missing.

python tools/notebooks.py            writes the cell, with the public address of _config.yml
python tools/notebooks.py --check    and writes nothing, exits with 1 where a notebook differs
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = """\
# Install minidiff where it is missing, as on Colab. The book hides this cell.
import importlib.util
import subprocess
import sys

ADDRESS = "{address}"  # the book's public git repository
if importlib.util.find_spec("minidiff") is None:
    if not ADDRESS:
        raise ModuleNotFoundError(
            "minidiff is not installed, and this book has no public address yet. "
            "Install it from a clone or a wheel: pip install PATH, then run this cell again."
        )
    subprocess.check_call(
        [sys.executable, "-m", "pip", "install", "-q", f"minidiff @ git+{{ADDRESS}}"]
    )
    importlib.invalidate_caches()"""


def notebooks() -> list[Path]:
    """Returns the notebooks of the book."""
    return sorted((ROOT / "book").glob("*.ipynb"))


def handouts() -> list[Path]:
    """Returns the notebooks of the assignments, as students get them."""
    return sorted((ROOT / "assignments/release").glob("*.ipynb"))


def public_address() -> str:
    """Returns the address of the book's repository, empty while there is none."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return str(config["repository"]["url"] or "")


def install_cell(address: str) -> dict[str, Any]:
    """Returns the cell that every notebook starts its code with."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "install",
        "metadata": {"tags": ["remove-cell"]},
        "outputs": [],
        "source": TEMPLATE.format(address=address).splitlines(keepends=True),
    }


def with_install_cell(notebook: dict[str, Any], address: str) -> dict[str, Any]:
    """Returns the notebook with this install cell, before its first code cell if it had none."""
    cells = [cell for cell in notebook["cells"] if cell["id"] != "install"]
    kinds = [cell["cell_type"] for cell in cells]
    first = kinds.index("code") if "code" in kinds else len(kinds)
    return notebook | {"cells": [*cells[:first], install_cell(address), *cells[first:]]}


def main(check: bool) -> int:
    """Writes, or checks, the install cell of every notebook."""
    wrong = 0
    for path in notebooks() + handouts():
        old = json.loads(path.read_text(encoding="utf-8"))
        new = with_install_cell(old, public_address())
        if new != old:
            wrong += 1
            print(f"notebooks: {path.name}: install cell {'differs' if check else 'written'}")
            if not check:
                text = json.dumps(new, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
                path.write_text(text, encoding="utf-8")
    return int(check and wrong > 0)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))

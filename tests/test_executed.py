"""What nbval got from a notebook is kept for the book, if every cell passed."""

import shutil
import subprocess
import sys

import nbformat
import pytest

import ledger

MISSING = "import executed; print(*(path.stem for path in executed.missing()))"


def write(tree, name, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tree / f"book/{name}.ipynb")


def python(tree, *command, cwd="."):
    run = subprocess.run(
        [sys.executable, *command], cwd=tree / cwd, capture_output=True, text=True
    )
    return run.stdout.split("\n")[-2], run.stderr


@pytest.fixture
def tree(tmp_path):
    for folder in ("tools", "book", "minidiff"):
        (tmp_path / folder).mkdir()
    (tmp_path / "minidiff/thing.py").touch()
    parts = ("executed.py", "ledger.py", "notebooks.py", "derivations.py")
    for name in (*(f"tools/{part}" for part in parts), "book/conftest.py"):
        shutil.copy(ledger.ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "requirements.txt", "_config.yml"):
        shutil.copy(ledger.ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_a_notebook_is_kept_if_every_cell_passed(tree):
    write(tree, "good", "print(6 * 7)", "1 + 1")
    write(tree, "bad", "1 + 1", "1 / 0")
    assert python(tree, "-c", MISSING, cwd="tools") == ("bad good", "")
    summary, _ = python(tree, "-m", "pytest", "--nbval-lax", "-W", "default", "book")
    assert "1 failed, 3 passed" in summary
    assert python(tree, "-c", MISSING, cwd="tools") == ("bad", "")
    show = "import executed; _, book = executed.cache().merge_match_into_file(executed.BUILD"
    show += ".parent / 'book/good.ipynb'); print(book.cells[0].outputs[0].text.strip(), "
    show += "book.cells[1].outputs[0].data['text/plain'])"
    assert python(tree, "-c", show, cwd="tools") == ("42 2", "")

    write(tree, "good", "print(6 * 7)", "1 + 2")
    assert python(tree, "-c", MISSING, cwd="tools")[0] == "bad good"
    write(tree, "good", "print(6 * 7)", "1 + 1")
    assert python(tree, "-c", MISSING, cwd="tools")[0] == "bad"
    (tree / "minidiff/thing.py").write_text("changed = True\n")
    assert python(tree, "-c", MISSING, cwd="tools")[0] == "bad good"

"""The notebooks' results: nbval runs them, and what it got is what the book shows.

They lie in the execution cache of jupyter-book. That knows only a notebook's own code, so it is
dropped when anything that the notebooks import has changed.
"""

import shutil
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract

import ledger
import notebooks

BUILD = ledger.ROOT / "_build"
STAMP = BUILD / "executed-with"


def cache() -> JupyterCacheAbstract:
    """Returns the execution cache of the book."""
    return get_cache(BUILD / ".jupyter_cache")


def _sources() -> str:
    return ledger.fingerprint("minidiff", "requirements.txt")


def are_of_these_sources() -> bool:
    """Says whether the stored results were made by the package as it is."""
    return STAMP.exists() and STAMP.read_text() == _sources()


def drop_stale() -> None:
    """Forgets the stored results if they were made by other sources."""
    if not are_of_these_sources():
        for folder in (".jupyter_cache", "jupyter_execute"):
            shutil.rmtree(BUILD / folder, ignore_errors=True)
        BUILD.mkdir(exist_ok=True)
        STAMP.write_text(_sources())


def missing() -> list[Path]:
    """Returns the notebooks of the book without a stored result."""
    drop_stale()
    results = cache()

    def stored(path: Path) -> bool:
        try:
            results.match_cache_file(str(path))
        except KeyError:
            return False
        return True

    return [path for path in notebooks.notebooks() if not stored(path)]


def keep(path: Path, book: nbformat.NotebookNode, seconds: float) -> None:
    """Stores a notebook with the outputs of a run without an error."""
    bundle = CacheBundleIn(book, str(path), data={"execution_seconds": seconds})
    cache().cache_notebook_bundle(bundle, overwrite=True)

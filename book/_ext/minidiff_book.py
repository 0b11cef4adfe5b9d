"""What this book adds to Sphinx: MathJax from an installed package, and an honest Colab button."""

import importlib.util
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.fileutil import copy_asset

MATHJAX = ["tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions"]


def copy_mathjax(app: Sphinx) -> None:
    """Copies the parts of MathJax that the pages load into the rendered book."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline: see requirements.txt")
    for part in MATHJAX:
        source = Path(spec.origin).parent / "static/mathjax" / part
        target = Path(app.outdir) / "_static/mathjax" / part
        copy_asset(source, target if source.is_dir() else target.parent)


def set_buttons(app: Sphinx, config: Config) -> None:
    """Shows what needs a public address only where there is one."""
    options = config.html_theme_options
    if options.get("repository_url"):
        options |= {"use_repository_button": True, "use_issues_button": True}
    else:
        options.pop("launch_buttons", None)


def add_colab_label(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Says in the launch menu of a notebook that Colab cannot find the book yet."""
    if context.get("page_source_suffix") == ".ipynb" and not context["theme_repository_url"]:
        label = {
            "type": "javascript",
            "javascript": "",
            "text": "Colab: no public address yet",
            "label": "colab-unset disabled",
        }
        menu = {"type": "group", "icon": "fas fa-rocket", "buttons": [label]}
        menu |= {"tooltip": "Launch interactive content", "label": "launch-buttons"}
        context["header_buttons"].insert(0, menu)


def keep_bars(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Keeps |x| in a docstring what it is, an absolute value, and no markup."""
    lines[:] = [re.sub(r"(``.*?``)|\|(?=\S)", lambda m: m[1] or r"\|", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the above."""
    app.config["mathjax_path"] = "mathjax/tex-chtml.js"
    app.connect("config-inited", set_buttons, priority=400)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", add_colab_label, priority=502)
    app.connect("autodoc-process-docstring", keep_bars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

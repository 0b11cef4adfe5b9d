"""What this book adds to Sphinx: MathJax from a package, an honest Colab button, lighter pages."""

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.fileutil import copy_asset

# MathJax without its menu, which would be two fifths of it. core.js and the font's tables are
# what the loader fetches for the components; the extensions it fetches where a formula needs one.
COMPONENTS = ["input/tex", "output/chtml", "a11y/assistive-mml"]
MATHJAX = ["startup.js", "core.js", *(f"{name}.js" for name in COMPONENTS)]
MATHJAX += ["output/chtml/fonts/tex.js", "output/chtml/fonts/woff-v2", "input/tex/extensions"]


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


def drop_unused(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Leaves out what a page has no use for: states of live widgets, the styles of cards."""
    cards = "sd-card" in context.get("body", "")
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file
            for file in context[kind]
            if "widget-state" not in getattr(file, "attributes", {}).get("type", "")
            and (cards or not re.search("sphinx-design|design-tabs", str(file.filename)))
        ]


def mend_list(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Makes the bibliography a list of list items; docutils gives them a role that is obsolete."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def drop_icon_font(app: Sphinx, error: Exception | None) -> None:
    """Takes the theme's icon font out of the rendered book; icons.css draws the icons instead."""
    static = Path(app.outdir) / "_static"
    sheet = static / "styles/pydata-sphinx-theme.css"
    if sheet.exists():
        rules = r"@font-face\{[^}]*fontawesome[^}]*\}|(?:\.fa-[\w-]+:before,?)+\{content:[^}]*\}"
        sheet.write_text(re.sub(rules, "", sheet.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(static / "vendor", ignore_errors=True)
    for file in static.glob("scripts/fontawesome.js*"):
        file.unlink()


def keep_bars(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Keeps |x| in a docstring what it is, an absolute value, and no markup."""
    lines[:] = [re.sub(r"(``.*?``)|\|(?=\S)", lambda m: m[1] or r"\|", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the above."""
    app.config["mathjax_path"] = "mathjax/startup.js"
    app.config["mathjax3_config"] = {"loader": {"load": COMPONENTS}}
    app.connect("config-inited", set_buttons, priority=400)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", add_colab_label, priority=502)
    app.connect("html-page-context", drop_unused, priority=900)
    app.connect("html-page-context", mend_list)
    app.connect("build-finished", drop_icon_font)
    app.connect("autodoc-process-docstring", keep_bars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

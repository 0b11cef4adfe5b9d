"""What this book adds to Sphinx: MathJax from a package, an honest Colab button, lighter pages.

And threads from the documentation of the package to the text: a docstring's labels of equations
become links, and a line says which chapters use or derive what it documents.
"""

import ast
import hashlib
import importlib.util
import json
import pkgutil
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.fileutil import copy_asset

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
import ledger  # noqa: E402

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


def move_out(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Moves what a page needs on a click alone into files, and leaves their addresses.

    That is JSON which ``viz/live.js`` then loads, as a script: other files a page may not read
    where it is opened from disk.
    """

    def move(found: re.Match[str]) -> str:
        content = f"document.currentScript.told = {found[2]};\n"
        key = hashlib.sha256(content.encode()).hexdigest()[:12]
        file = Path(app.outdir) / "_static" / f"told-{key}.js"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        return f'{found[1]}"{context["pathto"](f"_static/{file.name}", 1)}">{found[3]}'

    if "body" in context:
        told = r'(<script type="application/json" data-onclick=)"">(.*?)(</script>)'
        context["body"] = re.sub(told, move, context["body"], flags=re.DOTALL)


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


def link_equations(text: str) -> str:
    """Returns a docstring in which labels are links, (eq-a, eq-b) being (1), (2) on the page."""
    label = ledger.LABEL.pattern
    alone = re.compile(rf"``.*?``|\(({label}(?:,\s+{label})*)\)", re.DOTALL)
    text = alone.sub(lambda m: m[1] or m[0], text)  # a number brings its own brackets
    return re.sub(rf"(``.*?``)|{label}", lambda m: m[1] or f":eq:`{m[0]}`", text)


def home(name: str) -> str:
    """Returns the name of a thing where it is defined, whatever module passes it on."""
    thing = pkgutil.resolve_name(name)
    if isinstance(thing, ModuleType):
        return thing.__name__
    return f"{thing.__module__}.{thing.__qualname__}" if hasattr(thing, "__qualname__") else name


def mentions(code: str) -> Iterator[str]:
    """Yields the dotted names of the package that a notebook's code imports or uses."""
    nodes = list(ast.walk(ast.parse(code)))
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minidiff"):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    yield from names.values()
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in names:
                yield f"{names[node.value.id]}.{node.attr}"


@cache
def chapters_of() -> dict[str, list[str]]:
    """Returns dotted name -> the pages that mention it in code, or show an equation it names."""
    found: dict[str, set[str]] = defaultdict(set)
    equations, code = ledger.chapters(), ledger.implementations()
    for page, _, labelled, _ in equations:
        for label, _ in labelled:
            for name in code.get(label, []):
                found[name].add(page)
    for path in ledger.PAGE.parent.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code_cells = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
        for name in mentions("\n".join(code_cells)):
            found[home(name)].add(path.stem)
    return {name: sorted(pages) for name, pages in found.items()}


def pages_of(name: str) -> list[str]:
    """Returns the pages of a function, or of a class or module and of all that it contains."""
    inner = [p for n, p in chapters_of().items() if n == name or n.startswith(f"{name}.")]
    return sorted(set().union(*inner))


def lead_to_the_book(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Ties a docstring to the equations that it names and to the chapters of what it documents."""
    if not lines:
        return
    lines[:] = link_equations("\n".join(lines)).split("\n")
    pages = pages_of(home(name)) if what in ("module", "class", "function") else []
    if pages:
        lines += ["", f"In the book: {', '.join(f':doc:`/book/{page}`' for page in pages)}.", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the above."""
    app.config["mathjax_path"] = "mathjax/startup.js"
    # One size of formulas for all readers: matched to the font of the text, which is another on
    # every system, some would be too wide for a phone. This is a little below what suits Arial.
    font = {"matchFontHeight": False, "scale": 1.15}
    app.config["mathjax3_config"] = {"loader": {"load": COMPONENTS}, "chtml": font}
    app.connect("config-inited", set_buttons, priority=400)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", add_colab_label, priority=502)
    app.connect("html-page-context", drop_unused, priority=900)
    app.connect("html-page-context", mend_list)
    app.connect("html-page-context", move_out)
    app.connect("build-finished", drop_icon_font)
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("autodoc-process-docstring", lead_to_the_book)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

r"""Takes the displays of a page apart into the relations that a reader must believe one by one.

A chain A = B = C states two, A = B and B = C; a line that starts with "&=" goes on from the line
above. A display without a relation sign states one thing, itself. Signs inside braces or brackets,
as in \sum_{i=1} or p(x = 1), state nothing.

What checks them stands in tests/derivations, in a file named after the page: functions marked
@twin(relation, ...), and a table DEFINITIONS of the relations that leave nothing to check.
"""

import ast
import re
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

TWINS = Path(__file__).resolve().parents[1] / "tests/derivations"
TEXT = r"\\(?:text|tag)\s*\{(?:[^{}]|\{[^{}]*\})*\}"
TOKEN = re.compile(
    rf"(\s*)({TEXT}|\\(?:begin|end)\s*\{{[a-z]+\*?\}}|\\[A-Za-z]+|\\.|[^\s\\])", re.DOTALL
)
ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{(?:align|equation|gather|split)")
LAYOUT = re.compile(  # what changes how a line looks, and not what it says
    r"[&~]|\\[,;:! ]|\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits)"
)
BREAKS = {r"\\", r"\quad", r"\qquad"}  # between two statements
OPEN = {"{", "(", "[", r"\{", r"\langle", r"\lfloor", r"\lceil"}
CLOSE = {"}", ")", "]", r"\}", r"\rangle", r"\rfloor", r"\rceil"}
SIGNS = set(
    r"""
    = < > \le \leq \ge \geq \ll \gg \ne \neq \approx \sim \simeq \equiv \propto \in \notin \subset
    \to \mapsto \gets \leftarrow \rightarrow \longrightarrow
    """.split()
)
WORDS = {r"\implies", r"\iff", r"\Rightarrow", r"\Leftrightarrow"}  # between two statements, too
F = TypeVar("F", bound=Callable[..., object])


class Claims(NamedTuple):
    """What is said about the relations of a page: by twins, and by the table of definitions."""

    twins: dict[str, list[str]]  # name of a function: the relations that it checks
    definitions: dict[str, str]  # relation: why there is nothing to check


class Count(NamedTuple):
    """How many relations of a page are checked by a twin, are definitions, are neither."""

    checked: int
    defined: int
    neither: int


def twin(*relations: str) -> Callable[[F], F]:
    """Marks a function as the check of these relations of its page; it is read, never run."""
    return lambda function: function


def tokens(tex: str) -> list[tuple[str, str]]:
    """Returns the TeX as (white space before, token), without layout; text is one token."""
    out, space = [], ""
    for before, token in TOKEN.findall(tex):
        space += before
        if LAYOUT.fullmatch(token) or ENVIRONMENT.match(token):
            space += " "
        else:
            out.append((" " if space else "", token))
            space = ""
    return out


def tidy(side: Iterable[tuple[str, str]]) -> str:
    """Returns the text of a side: no layout, single blanks, no punctuation at its end."""
    return re.sub(r"[.,;:\s]+$", "", "".join(space + token for space, token in side)).strip()


def key(relation: str) -> str:
    """Returns what two spellings of a relation share: its tokens, without white space."""
    out = ""
    for _, token in tokens(relation):
        word = re.search(r"\\[A-Za-z]+$", out) and token[0].isalpha()
        out += " " + token if word else token
    return out


def statements(display: str) -> list[list[tuple[str, str]]]:
    """Splits a display where one statement ends: at line breaks and wide spaces.

    A part without a sign belongs to the part before it, as does one that starts with a sign; words
    that stand alone belong to the part after them. So nothing that a display shows is lost.
    """
    parts: list[list[tuple[str, str]]] = [[]]
    depth = 0
    for space, token in tokens(display):
        depth += (token in OPEN or token.startswith(r"\begin")) - (
            token in CLOSE or token.startswith(r"\end")
        )
        if depth <= 0 and token in BREAKS | WORDS:
            parts.append([])
        if depth > 0 or token not in BREAKS:
            parts[-1].append((space, token))
    out: list[list[tuple[str, str]]] = []
    for part in filter(None, parts):
        signs = split(part)[1]
        first = part[0][1]
        waiting = bool(out) and all(t in WORDS or t.startswith(r"\text") for _, t in out[-1])
        if out and (waiting or (first in SIGNS or not signs) and first not in WORDS):
            out[-1] += [(" ", first), *part[1:]]
        else:
            out.append(part)
    return out


def split(statement: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Returns the sides of a statement and the signs between them, at the top level alone."""
    sides: list[list[tuple[str, str]]] = [[]]
    signs: list[str] = []
    depth, said = 0, False
    for space, token in statement:
        depth += (token in OPEN or token.startswith(r"\begin")) - (
            token in CLOSE or token.startswith(r"\end")
        )
        said |= depth <= 0 and bool(signs) and token.startswith(r"\text")
        if depth <= 0 and token in SIGNS and not said:  # what follows words is a condition
            signs.append(token)
            sides.append([])
        else:
            sides[-1].append((space, token))
    return [tidy(side) for side in sides], signs


def relations(displays: Iterable[str]) -> list[str]:
    """Returns the relations that the displays state, each once and in the order of the page."""
    found: dict[str, str] = {}
    for display in displays:
        for statement in statements(display):
            sides, signs = split(statement)
            steps = zip(sides, signs, sides[1:], strict=False)
            for relation in [f"{a} {sign} {b}".strip() for a, sign, b in steps] or sides:
                found.setdefault(key(relation), relation)
    return list(found.values())


def module(page: str) -> str:
    """Returns the name of the module in tests/derivations that holds the twins of a page."""
    return f"twins_{page.replace('-', '_')}"


def claims(page: str) -> Claims:
    """Returns what tests/derivations says about a page, read off the file without running it."""
    path = TWINS / f"{module(page)}.py"
    twins: dict[str, list[str]] = {}
    definitions: dict[str, str] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body if path.exists() else []:
        match node:
            case ast.FunctionDef(name=name, decorator_list=[ast.Call(ast.Name("twin"), tied)]):
                twins[name] = [ast.literal_eval(relation) for relation in tied]
            case ast.Assign([ast.Name("DEFINITIONS")], value):
                definitions = ast.literal_eval(value)
    return Claims(twins, definitions)


def count(page: str, stated: Iterable[str], passed: Container[str]) -> Count:
    """Counts the relations of a page; a twin checks nothing unless it has passed."""
    twins, definitions = claims(page)
    checked = {key(r) for name, tied in twins.items() if name in passed for r in tied}
    defined = {key(r) for r in definitions}
    keys = {key(r) for r in stated}
    return Count(len(keys & checked), len(keys & defined), len(keys - checked - defined))

"""Breaks the package one expression at a time in a scratch copy: does a test notice? By mutmut.

python tools/mutants.py [module ...]

pyproject.toml says which modules, and which tests are asked. To the mutants of mutmut this adds
those that a formula needs: a root, a square or a power is dropped, and normal numbers become
uniform ones, defaults included. Decorated functions, which mutmut passes by, take part: in the
copy the decorator is applied below the function. What changes nothing but the words of an error
is counted apart. A survivor is a line that no test holds; book/limits.md says which are known.
"""

import ast
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import libcst as cst
from mutmut.__main__ import cli
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parents[1]
PARTS = ["minidiff", "tests", "tools", "pyproject.toml", "requirements.txt"]
KEPT = {"overload", "staticmethod", "classmethod"}  # mutmut mutates beneath these, or need not
LAWS = {"randn": "rand", "randn_like": "rand_like", "rand": "randn", "rand_like": "randn_like"}
NOT_NOTICED = (0, 5, 33)  # pytest's "passed" and "no tests", and mutmut's "no tests"


def dropped(node: cst.Call) -> Iterator[cst.BaseExpression]:
    """Turns x.sqrt() and torch.sqrt(x) into x, and the same for square."""
    if isinstance(node.func, cst.Attribute) and node.func.attr.value in ("sqrt", "square"):
        yield node.args[0].value if node.args else node.func.value


def base(node: cst.BinaryOperation) -> Iterator[cst.BaseExpression]:
    """Turns x**k into x."""
    if isinstance(node.operator, cst.Power):
        yield node.left


def law(node: cst.Attribute) -> Iterator[cst.Attribute]:
    """Turns normal numbers into uniform ones, and back."""
    if node.attr.value in LAWS:
        yield node.with_changes(attr=cst.Name(LAWS[node.attr.value]))


def defaults(node: cst.Parameters) -> Iterator[cst.Parameters]:
    """Does the same to the defaults of arguments, which mutmut leaves alone."""
    for kind in ("params", "kwonly_params"):
        given = getattr(node, kind)
        for i, one in enumerate(given):
            for other in law(one.default) if isinstance(one.default, cst.Attribute) else ():
                wrong = one.with_changes(default=other)
                yield node.with_changes(**{kind: [*given[:i], wrong, *given[i + 1 :]]})


OPERATORS = [
    (cst.Call, dropped),
    (cst.BinaryOperation, base),
    (cst.Attribute, law),
    (cst.Parameters, defaults),
]


def undecorated(source: str) -> str:
    """Writes ``@d`` above a function f as ``f = d(f)`` below it."""
    tree, lines = ast.parse(source), source.split("\n")
    classes = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    functions = [
        n for body in (tree.body, *classes) for n in body if isinstance(n, ast.FunctionDef)
    ]
    for node in sorted(functions, key=lambda node: -node.lineno):
        for decorator in map(ast.unparse, node.decorator_list):
            if decorator not in KEPT:
                assert len(node.decorator_list) == 1 and node.end_lineno
                below = f"{node.name} = {decorator}({node.name})"
                lines.insert(node.end_lineno, " " * node.col_offset + below)
                del lines[node.decorator_list[0].lineno - 1]
    return "\n".join(lines)


class Wordless(ast.NodeTransformer):
    """Takes the words of errors out of a function: of a raise, and the names told to checks."""

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:  # noqa: N802 (ast's name)
        """Leaves the kind of the error."""
        if isinstance(node.exc, ast.Call):
            node.exc.args = []
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:  # noqa: N802 (ast's name)
        """Empties the words among the first three arguments of a check."""
        self.generic_visit(node)
        if ast.unparse(node.func).startswith(("check.", "_images")):
            for i, given in enumerate(node.args[:3]):
                if isinstance(given, ast.Constant) and isinstance(given.value, str | None):
                    node.args[i] = ast.Constant("")
        return node


def results(path: Path) -> Iterator[tuple[bool, bool, str]]:
    """Yields (noticed, words alone, what was changed) for every mutant of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    codes = json.loads(path.with_suffix(".py.meta").read_text(encoding="utf-8"))[
        "exit_code_by_key"
    ]
    for key, code in codes.items():
        if code is None:  # of a module that was not asked for
            continue
        name = key.rpartition(".")[2]
        texts = []
        for one in (name.rpartition("_")[0] + "_orig", name):
            functions[one].name = "f"
            texts.append(ast.unparse(functions[one]))
        words = len({ast.dump(Wordless().visit(ast.parse(text))) for text in texts}) == 1
        old, new = (text.split("\n") for text in texts)
        change = next(
            f"{a.strip()}  ->  {b.strip()}" for a, b in zip(old, new, strict=False) if a != b
        )
        yield code not in NOT_NOTICED, words, f"{name.rpartition('__mutmut')[0]}: {change}"


def main(modules: list[str]) -> None:
    """Runs the mutants, two at a time, and prints the table and the survivors."""
    mutation_operators.extend(OPERATORS)  # type: ignore[attr-defined]
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, part)
        for path in Path("minidiff").rglob("*.py"):
            path.write_text(undecorated(path.read_text(encoding="utf-8")), encoding="utf-8")
        names = [f"minidiff.{name}.*" for name in modules]
        cli(["run", "--max-children", "2", *names], standalone_mode=False)
        print("module | mutants | noticed | score | words alone: mutants | noticed")
        survivors = []
        for path in sorted(Path("mutants/minidiff").rglob("*.py")):
            if path.with_suffix(".py.meta").exists() and (found := list(results(path))):
                kinds = [[n for n, words, _ in found if words is kind] for kind in (False, True)]
                (n, hit), (m, seen) = ((len(k), sum(k)) for k in kinds)
                print(f"{path.stem} | {n} | {hit} | {hit / n:.1%} | {m} | {seen}")
                survivors += [f"{path.stem}.{s}" for ok, words, s in found if not (ok or words)]
        print(*survivors, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Breaks one formula at a time in a scratch copy, and counts how often a test notices.

python tools/mutants.py [module ...]

Flips + and -, * and /; drops a minus sign, a square or a square root; turns 1/2 into 1 and normal
noise into uniform, defaults included. Left alone: the sign of fresh noise, which does not change
its law; the sign of an integer constant, which is an index; errors, their messages, annotations
and docstrings. A survivor is a formula that no test holds.
"""

import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
# Whose formulas are broken, and whose tests are asked.
MODULES = ["schedule", "forward", "gmm", "score_matching", "langevin", "ddpm", "ddim", "sampling"]
DRAWS = {"noise", "randn", "randn_like"}
SWAP: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Div(),
    ast.Div: ast.Mult(),
}
LAWS = {"randn": "rand", "randn_like": "rand_like", "rand": "randn", "rand_like": "randn_like"}
TIMEOUT = 120  # seconds; a mutant that hangs counts as noticed


def is_noise(node: ast.AST, fresh: set[str]) -> bool:
    """Says whether a summand is fresh noise: a draw, a name for one, or a multiple of these."""
    match node:
        case ast.BinOp(left, ast.Mult() | ast.Div(), right):
            return is_noise(left, fresh) or is_noise(right, fresh)
        case ast.Call(ast.Name(name) | ast.Attribute(_, name)) if name in DRAWS:
            return True
        case ast.Call(ast.Attribute(_, "einsum"), arguments):
            return any(is_noise(part, fresh) for part in arguments)
        case ast.Name(name):
            return name in fresh
    return False


def fresh_noise(function: ast.FunctionDef) -> set[str]:
    """Returns the names for a draw that are used once: noise met twice has a sign that matters."""
    drawn = {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and is_noise(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    reads = [n.id for n in ast.walk(function) if isinstance(n, ast.Name) and n.id in drawn]
    return {name for name in drawn if reads.count(name) == 2}  # the assignment, and one use


def formulas(tree: ast.Module) -> Iterator[tuple[ast.expr, set[str]]]:
    """Yields every expression of a function's body and defaults, with its names of fresh noise."""

    def walk(node: ast.AST) -> Iterator[ast.expr]:
        if isinstance(node, ast.expr):
            yield node
        if not isinstance(node, ast.Raise | ast.JoinedStr | ast.FunctionDef):
            for name, value in ast.iter_fields(node):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST) and name != "annotation":
                        yield from walk(child)

    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            fresh = fresh_noise(function)
            defaults = [node for node in function.args.kw_defaults if node is not None]
            for part in [*function.args.defaults, *defaults, *function.body]:
                for expression in walk(part):
                    yield expression, fresh


def mutation(node: ast.expr, fresh: set[str]) -> ast.expr | None:
    """Returns a wrong version of an expression, or None where it has nothing to break."""
    match node:
        case ast.BinOp(left, (ast.Add() | ast.Sub()), right):
            wrong = ast.BinOp(left, SWAP[type(node.op)], right)
            return None if is_noise(right, fresh) else wrong
        case ast.BinOp(left, (ast.Mult() | ast.Div()), right):
            return ast.BinOp(left, SWAP[type(node.op)], right)
        case ast.BinOp(left, ast.Pow(), ast.Constant(0.5 | 2)):
            return left
        case ast.Constant(0.5):
            return ast.Constant(1.0)
        case ast.Attribute(owner, name) if name in LAWS:
            return ast.Attribute(owner, LAWS[name], node.ctx)
        case ast.UnaryOp(ast.USub(), operand):
            whole = isinstance(operand, ast.Constant) and isinstance(operand.value, int)
            return None if whole else operand
        case ast.Call(ast.Attribute(owner, "sqrt" | "square"), arguments):
            return arguments[0] if arguments else owner
    return None


def mutants(module: str) -> Iterator[tuple[str, str]]:
    """Yields (where and what, source) for every mutant of a module."""
    path = f"minidiff/{module}.py"
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for number, (node, fresh) in enumerate(formulas(tree)):
        if mutation(node, fresh) is not None:
            twin = copy.deepcopy(tree)
            target, _ = list(formulas(twin))[number]
            wrong = mutation(target, fresh)
            assert wrong is not None
            text = f"{path}:{node.lineno}: {ast.unparse(node)}  ->  {ast.unparse(wrong)}"
            for parent in ast.walk(twin):
                for name, value in ast.iter_fields(parent):
                    if value is target:
                        setattr(parent, name, wrong)
                    elif isinstance(value, list) and target in value:
                        value[value.index(target)] = wrong
            yield text, ast.unparse(ast.fix_missing_locations(twin))


def red(folder: Path, module: str) -> bool:
    """Says whether a test fails there, asking the module's own tests first."""
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    env["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    first = sorted(MODULES, key=lambda name: name != module)
    command += [f"tests/test_{name}.py" for name in first]
    try:
        run = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return True
    if run.returncode not in (0, 1, 2):  # 2: a test file that the mutant keeps from being read
        sys.exit(run.stdout.decode() + run.stderr.decode())
    return run.returncode != 0


def main(modules: list[str]) -> int:
    """Runs every mutant, two at a time; returns 1 if any survives."""
    survivors = 0
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        free: Queue[Path] = Queue()
        for name in ("a", "b"):
            for part in ("minidiff", "tests", "tools"):
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / part, Path(scratch, name, part), ignore=skip)
            for part in ("pyproject.toml", "requirements.txt"):
                shutil.copy(ROOT / part, Path(scratch, name, part))
            free.put(Path(scratch, name))

        def noticed(module: str, source: str) -> bool:
            folder = free.get()
            path = folder / f"minidiff/{module}.py"
            path.write_text(source, encoding="utf-8")
            try:
                return red(folder, module)
            finally:
                shutil.copy(ROOT / f"minidiff/{module}.py", path)
                free.put(folder)

        for module in modules:
            sound = ast.unparse(ast.parse((ROOT / f"minidiff/{module}.py").read_text()))
            if noticed(module, sound):
                sys.exit(f"mutants: {module}: a test fails before anything is broken")
            jobs = [(what, pool.submit(noticed, module, code)) for what, code in mutants(module)]
            alive = [what for what, job in jobs if not job.result()]
            survivors += len(alive)
            print(f"{module}: {len(jobs) - len(alive)} of {len(jobs)} noticed", flush=True)
            for what in alive:
                print(f"  SURVIVED {what}", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or MODULES))

"""What a student's notebook calls: it says which properties of an answer hold.

The tests that it runs are in ``minidiff.public_tests``, one module a question. They say what is
wrong and why it matters, never the expected value. Marks come from a grader, which has further
tests.
"""

import importlib
import inspect
import pkgutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from minidiff import public_tests

Test = Callable[..., None]


class Answer:
    """A student's function, as the tests call it: an answer that is not there is said plainly.

    Args:
        name: The function's name.
        function: The function.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function

    def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 (what the student returns)
        """Returns the function's answer to copies of tensors and lists: it may change its own.

        Raises:
            AssertionError: The answer is None, as from a body that is still to be written.
        """
        value = self.function(*map(_copied, args), **kwargs)
        assert value is not None, f"{self.name} returned None: its body is still to be written."
        return value


def _copied(value: object) -> object:
    if isinstance(value, Tensor):
        return value.clone()
    return list(value) if isinstance(value, list) else value


def test_case(
    points: float | None = None, hidden: bool = False, **messages: str
) -> Callable[[Test], Test]:
    """Marks a function as a test of a question, as Otter's decorator of this name does.

    Args:
        points: What it counts.
        hidden: Whether students see it.
        **messages: Otter's; not used here, since an assertion says what it has to say.
    """

    def mark(test: Test) -> Test:
        test.points, test.hidden = points, hidden  # type: ignore[attr-defined]
        return test

    return mark


def close(value: object, truth: Tensor, tolerance: float = 1e-9) -> bool:
    """Says whether a value is a tensor of the truth's shape and nowhere further off than this.

    Args:
        value: What a student's function returned.
        truth: What it should be.
        tolerance: The largest difference, relative to 1 or to the truth's size if that is more.
    """
    if not isinstance(value, Tensor) or value.shape != truth.shape:
        return False
    gap = (value.detach().to(truth) - truth).abs()
    return bool((gap <= tolerance * truth.abs().clamp(min=1)).all())


def tests_of(module: ModuleType) -> Iterator[tuple[str, Test]]:
    """Yields the tests of a question's module, each with its title in words."""
    for name, value in vars(module).items():
        if hasattr(value, "points"):
            yield name.removeprefix("test_").replace("_", " "), value


def failure(test: Test, names: Mapping[str, Any]) -> str | None:
    """Runs a test on the student's names, and returns why it failed; None if it passed.

    Args:
        test: A function whose arguments are names that the student defined.
        names: All that the student defined.
    """
    wanted = list(inspect.signature(test).parameters)
    if missing := [name for name in wanted if name not in names]:
        return f"{', '.join(missing)} is not defined: run the cell that defines it."
    try:
        test(*(Answer(name, names[name]) for name in wanted))
    except AssertionError as error:
        return str(error) or "it does not hold."
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = "".join(traceback.format_exception_only(error)).strip()
        return f"{told} (in {where.name}, line {where.lineno}: {where.line})"
    return None


def assignment(name: str, names: Mapping[str, Any]) -> Callable[[str], bool]:
    """Returns the notebook's ``check``: ``check("q1")`` prints what holds of an answer.

    Args:
        name: The assignment's name, as in its file's.
        names: What the notebook has defined: ``globals()``.

    Returns:
        A function of a question's name. It prints one line a test, and returns whether all passed.

    Raises:
        ValueError: There is no such assignment, or, from ``check``, no such question in it.
    """
    known = [module.name for module in pkgutil.iter_modules(public_tests.__path__)]
    if name not in known:
        raise ValueError(f"name: expected one of {', '.join(known)}, got {name!r}")
    package = importlib.import_module(f"minidiff.public_tests.{name}")
    questions = [module.name for module in pkgutil.iter_modules(package.__path__)]

    def check(question: str) -> bool:
        if question not in questions:
            raise ValueError(f"question: expected one of {', '.join(questions)}, got {question!r}")
        module = importlib.import_module(f"minidiff.public_tests.{name}.{question}")
        state = torch.get_rng_state()  # a check must not change what the next cell draws
        results = {title: failure(test, names) for title, test in tests_of(module)}
        torch.set_rng_state(state)
        held = sum(reason is None for reason in results.values())
        print(f"{question}: {held} of {len(results)} properties hold")
        for title, reason in results.items():
            print(f"  ✓ {title}" if reason is None else f"  ✗ {title}\n      {reason}")
        return held == len(results)

    return check

"""The bugs of the book's failure gallery, each a line of the package, and the test that sees it.

python tools/failures.py [name ...]

Writes each bug into a scratch copy, runs the one test that is named for it there, and demands that
it fails; on the sound source all of these tests have to pass. The page `book/failures.ipynb` runs
the same lines, and tests/test_failures.py holds page and table together.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 120  # seconds; a test that hangs has not said what is wrong


class Failure(NamedTuple):
    """A bug: in the file, ``right`` occurs once, and ``wrong`` in its place is the bug."""

    name: str
    path: str
    right: str
    wrong: str
    test: str


FAILURES = [
    Failure(
        "uniform noise",
        "minidiff/langevin.py",
        "n: int, noise: NoiseFn = torch.randn_like",
        "n: int, noise: NoiseFn = torch.rand_like",
        "tests/test_langevin.py::test_default_noise_is_standard_normal",
    ),
    Failure(
        "product of two Gaussians",
        "minidiff/ddpm.py",
        "schedule), noise(x)",
        "schedule), noise(x) * noise(x)",
        "tests/test_ddpm.py::test_one_step_has_the_law_and_not_only_its_two_moments",
    ),
    Failure(
        "variance for standard deviation",
        "minidiff/ddpm.py",
        "math.sqrt(var) * z",
        "var * z",
        "tests/test_ddpm.py::test_variance_of_the_whole_chain",
    ),
    Failure(
        "no root of 1 - alpha_bar",
        "minidiff/schedule.py",
        "(1 - self.alpha_bar).sqrt()",
        "(1 - self.alpha_bar)",
        "tests/test_forward.py::test_single_steps_compose_to_the_closed_form",
    ),
    Failure(
        "alpha_bar at the wrong index",
        "minidiff/ddim.py",
        "x0 = x0_from_eps(eps, x, t, schedule)",
        "x0 = x0_from_eps(eps, x, s, schedule)",
        "tests/test_sampling.py::test_oracle_noise_hits_every_level_down_and_up",
    ),
    Failure(
        "unscaled betas",
        "minidiff/schedule.py",
        " * 1000 / T",
        "",
        "tests/test_schedule.py::test_linear_is_rescaled_for_short_chains",
    ),
    Failure(
        "sign of the drift",
        "minidiff/langevin.py",
        "x + delta / 2 * answer",
        "x - delta / 2 * answer",
        "tests/test_langevin.py::test_one_step_has_the_moments_of_the_sde",
    ),
    Failure(
        "direction that does not shrink",
        "minidiff/ddim.py",
        "math.sqrt(b**2 - var) * eps",
        "b * eps",
        "tests/test_ddim.py::test_random_sigmas_keep_every_marginal",
    ),
    Failure(
        "clipped without a new eps",
        "minidiff/ddim.py",
        "eps = eps_from_x0(x0, x, t, schedule)",
        "pass",
        "tests/test_ddim.py::test_clipping_derives_the_noise_again",
    ),
    Failure(
        "level of the first sample",
        "minidiff/nets/embedding.py",
        "level[:, None] * self.frequencies",
        "level[:1, None] * self.frequencies",
        "tests/test_mlp.py::test_every_parameter_and_input_matters",
    ),
    Failure(
        "level that does not arrive",
        "minidiff/nets/mlp.py",
        "F.silu(x + emb)",
        "F.silu(x)",
        "tests/test_mlp.py::test_every_parameter_and_input_matters",
    ),
    Failure(
        "eps where colours need v",
        "minidiff/recipes.py",
        "weight = 1 / schedule.alpha_bar",
        "weight = schedule.alpha_bar**0",
        "tests/test_zoo.py::test_training_is_the_regression_of_v",
    ),
    Failure(
        "average without a warm-up",
        "minidiff/train.py",
        "1 - min(ema, step / (9 + step))",
        "1 - ema",
        "tests/test_train.py::test_average_in_closed_form",
    ),
    Failure(
        "mask one level off",
        "minidiff/apps/sdedit.py",
        "q_sample(guide, s, noise(guide), schedule)",
        "q_sample(guide, s + 1, noise(guide), schedule)",
        "tests/test_sdedit.py::test_kept_pixels_are_the_guides_at_every_level_and_exact_at_the_end",
    ),
]


def broken(failure: Failure) -> str:
    """Returns the source of the failure's file with the bug in it.

    Raises:
        ValueError: The right text does not occur exactly once.
    """
    source = (ROOT / failure.path).read_text(encoding="utf-8")
    times = source.count(failure.right)
    if times != 1:
        raise ValueError(f"{failure.path}: expected {failure.right!r} once, got it {times} times")
    return source.replace(failure.right, failure.wrong)


def failed(folder: Path, tests: Sequence[str]) -> set[str]:
    """Runs tests in a copy of the repository and returns those that failed, without parameters.

    Of a single test the first parameters that fail are enough.

    Raises:
        RuntimeError: pytest could not run them, as where a file cannot be imported.
    """
    # Coverage would count the copy's lines as the package's.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    env |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider"]
    command += ["-x"] if len(tests) == 1 else []
    run = subprocess.run(
        [*command, *tests], cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT
    )
    if run.returncode not in (0, 1) or re.search(r"^ERROR ", run.stdout, re.MULTILINE):
        raise RuntimeError(run.stdout + run.stderr)
    return set(re.findall(r"^FAILED ([^\s\[]+)", run.stdout, re.MULTILINE))


def check(failures: Sequence[Failure]) -> list[str]:
    """Tries every bug, two at a time, and returns what is wrong: one line for each."""
    problems = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        free: Queue[Path] = Queue()
        for name in ("a", "b"):
            for part in ("minidiff", "tests", "tools"):
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / part, Path(scratch, name, part), ignore=skip)
            for part in ("pyproject.toml", "requirements.txt"):
                shutil.copy(ROOT / part, Path(scratch, name, part))
            free.put(Path(scratch, name))

        def red(failure: Failure | None) -> set[str]:
            folder = free.get()
            try:
                if failure is None:
                    return failed(folder, sorted({each.test for each in failures}))
                (folder / failure.path).write_text(broken(failure), encoding="utf-8")
                return failed(folder, [failure.test])
            finally:
                if failure is not None:
                    shutil.copy(ROOT / failure.path, folder / failure.path)
                free.put(folder)

        sound, jobs = pool.submit(red, None), [pool.submit(red, each) for each in failures]
        problems += [f"{test}: fails before anything is broken" for test in sorted(sound.result())]
        for failure, job in zip(failures, jobs, strict=True):
            if job.result() != {failure.test}:
                problems.append(f"{failure.name}: not noticed by {failure.test}")
    return problems


def main(names: list[str]) -> int:
    """Tries the bugs of these names, or all; returns 1 if one goes unnoticed."""
    unknown = set(names) - {failure.name for failure in FAILURES}
    if unknown:
        sys.exit(f"failures: no {', '.join(sorted(unknown))}")
    chosen = [failure for failure in FAILURES if not names or failure.name in names]
    problems = check(chosen)
    for problem in problems:
        print(f"failures: {problem}")
    print(f"failures: {len(chosen) - len(problems)} of {len(chosen)} noticed")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The steps against HuggingFace diffusers, whose answers lie in parity/diffusers.json.

parity/make.py wrote them; neither diffusers nor a network is needed here. Diffusers keeps its
tables in float32. With float64 tables in their place the formulas must agree to 1e-12; with its
own they agree to what forty roundings of float32 leave, a relative 3e-6 at most.
"""

import json
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest
import torch

from minidiff import ddim, ddpm
from minidiff.forward import q_sample, x0_from_eps
from minidiff.sampling import Step, last, sample
from minidiff.schedule import Schedule, linear_schedule

F64 = torch.float64
STORED = json.loads((Path(__file__).parent / "parity/diffusers.json").read_text(encoding="utf-8"))
S = Schedule.from_betas(torch.tensor(STORED["betas"], dtype=F64))
X, EPS, NOISE = (torch.tensor(STORED[name], dtype=F64) for name in ("x", "eps", "noise"))
VARIANCES = {"fixed_small": ddpm.small_variance, "fixed_large": ddpm.large_variance}


def walk(grid: list[int], step: Callable, **kw: object) -> list[Step]:
    """The k-th noise prediction and the k-th noise are entry k modulo 10, as in make.py."""
    hats, draws = cycle(EPS), cycle(NOISE)
    bound = partial(step, noise=lambda _: next(draws), **kw)
    return list(sample(lambda x, t: next(hats), X, S, grid, bound))


def name(case: dict) -> str:
    clip = "-clip" if case["clip"] else ""
    how = f"eta{case['eta']:g}" if case["variance"] is None else case["variance"]
    return f"{case['scheduler'][:4]}-{how}-{len(case['grid']) - 1}{clip}"


@pytest.mark.equation("eq-ddim-step", "eq-ddim-eta-one")
@pytest.mark.parametrize("case", STORED["same"], ids=name)
def test_every_state_of_a_walk(case: dict) -> None:
    if case["scheduler"] == "DDIMScheduler":
        got = walk(case["grid"], ddim.step, eta=case["eta"], clip=case["clip"])
    else:
        variance = VARIANCES[case["variance"]]
        got = walk(case["grid"], ddpm.step, variance=variance, clip=case["clip"])
    states = torch.stack([step.x for step in got])
    error = (states - torch.tensor(case["states"], dtype=F64)).abs()
    assert error[:-1].max() < 1e-12
    # DDPMScheduler holds its variance above 1e-20, so that its last step adds noise of 1e-10.
    floor = 1e-10 * NOISE.abs().max() if case["scheduler"] == "DDPMScheduler" else 0
    assert error[-1].max() < 1e-12 + floor
    own_tables = torch.tensor(case["float32"], dtype=F64)
    assert (states[-1] / own_tables - 1).abs().max() < 1e-5


def test_their_grids_are_ours_where_n_divides_the_steps() -> None:
    grids = {len(case["grid"]) - 1: case["grid"] for case in STORED["same"]}
    assert all(grids[n] == S.grid(n) for n in (10, 40)) and {7, 5} < set(grids)
    assert all(grid[0] == S.T and grid[-1] == 0 for grid in grids.values())


def test_their_default_grid_never_sees_the_last_time() -> None:
    theirs = STORED["different"]["leading"]
    assert theirs["T"] == 1000 and theirs["timesteps"] == list(range(980, -1, -20))
    s = linear_schedule(theirs["T"])
    ours = s.grid(len(theirs["timesteps"]))
    assert ours[0] == s.T and ours[-1] == 0 and len(ours) == 51
    assert theirs["timesteps"][0] + 1 == 981 < s.T


def test_steps_that_end_where_the_next_does_not_start() -> None:
    """Oracle noise: a consistent walk returns to x_0 from any grid. Theirs does not."""
    theirs = STORED["different"]["uneven"]
    grid = [i + 1 for i in theirs["timesteps"]] + [0]
    assert len(grid) == 8 and grid[0] == S.T
    x_end = q_sample(X, S.T, EPS[0], S)
    ours = last(sample(lambda x, t: EPS[0], x_end, S, grid))
    assert (ours - X).abs().max() < 1e-12
    assert (torch.tensor(theirs["end"], dtype=F64) - X).abs().max() > 0.1


def test_their_large_variance_leaves_noise_on_the_result() -> None:
    theirs = STORED["different"]["noisy_end"]
    states = torch.tensor(theirs["states"], dtype=F64)
    grid = [i + 1 for i in theirs["timesteps"]] + [0]
    ours = walk(grid, ddpm.step, variance=ddpm.large_variance)
    assert (torch.stack([step.x for step in ours[:-1]]) - states[:-1]).abs().max() < 1e-12
    added = (1 - S.alpha_bar[grid[-2]]).sqrt() * NOISE[len(states) - 1]
    assert (ours[-1].x + added - states[-1]).abs().max() < 1e-12 and added.abs().max() > 0.05


def test_their_default_keeps_the_noise_that_clipping_has_disproved() -> None:
    theirs = STORED["different"]["stale_noise"]
    t, s = S.grid(10)[:2]
    x_s, x0 = ddim.step(X, t, s, EPS[0], S, clip=0.8)
    assert (x0 - torch.tensor(theirs["x0"], dtype=F64)).abs().max() < 1e-12
    a, b = S.coefs(s, X)
    state = torch.tensor(theirs["state"], dtype=F64)
    assert (a * x0 + b * EPS[0] - state).abs().max() < 1e-12
    assert (x_s - state).abs().max() > 0.1
    explained = (x_s - a * x0) / b  # ours: the two still explain x_t
    assert (x0_from_eps(explained, X, t, S) - x0).abs().max() < 1e-12

# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [raw]
# # ASSIGNMENT CONFIG
# config_file: common.yml

# %% [markdown]
# # Assignment 4. DDIM, and an application
#
# *Write the step that serves a whole family of samplers, walk it up and down, and turn a painting of sixteen squares into faces.*
#
# This goes with [chapter 4](../../book/04-ddim.ipynb); question 4 takes the hook from the first two sections of [chapter 8](../../book/08-ilvr.ipynb).
# Four functions, 2 points each, and a written question, 2 points: 60 to 90 minutes.
#
# A function is right if it has the properties that its text states; there is more than one way to write it.
# Use torch and Python's standard library, and no other module of minidiff than the cells below import.
# No function changes its arguments.
# Before you hand the notebook in, restart it and run all of it from top to bottom: that is how it is marked.
# `check("q1")` tells which properties hold; the marks come from those and from others that it does not show.
# Cells that begin with `%%time` draw pictures, and are not marked.
#
# Throughout, `alpha_bar` is a float64 tensor of shape `(T+1,)`, decreasing from `alpha_bar[0] = 1` and above 0.
# Its index is the time: `alpha_bar[t]` is $\bar\alpha_t$, and at $t = 0$ the data are clean.
# Times are Python ints, and states are batches of shape `(B, ...)`: points, images or anything else.

# %%
import torch

from minidiff.check import assignment

torch.manual_seed(0)
check = assignment("ddim", globals())

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: 2
# check_cell: false

# %% [markdown]
# ## Question 1. One step for the whole family (2 points)
#
# Write `ddim_step(x_t, t, s, eps_hat, alpha_bar, eta, z)`, the chapter's general step from level $t$ down to a level $s < t$, which need not be $t - 1$.
# `eps_hat` is the prediction of the noise in `x_t`, `z` is fresh noise; both have the shape of `x_t`, as has the answer $x_s$.
# The number `eta` measures the standard deviation of the fresh noise in units of that of the posterior $q(x_s \mid x_t, x_0)$ of chapter 3: at 0 the step is deterministic, at 1 it is DDPM's, and values between lie between.
#
# For every `eta` from 0 to 1 the marginal law must be kept: if the prediction were the true noise, then, given $x_0$, the answer would have the law $q(x_s \mid x_0)$.

# %% [raw]
# # BEGIN SOLUTION

# %%
def ddim_step(x_t, t, s, eps_hat, alpha_bar, eta, z):
    """Returns x_s; x_t, eps_hat, z (B, ...), t > s >= 0, eta in 0..1."""
    # BEGIN SOLUTION
    ab_t, ab_s = alpha_bar[t], alpha_bar[s]
    x0_hat = (x_t - (1 - ab_t).sqrt() * eps_hat) / ab_t.sqrt()
    variance = eta**2 * (1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)
    direction = (1 - ab_s - variance).sqrt() * eps_hat
    return ab_s.sqrt() * x0_hat + direction + variance.sqrt() * z
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %%
check("q1")

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_the_law_of_the_next_level_is_right(ddim_step):
    import torch
    from minidiff.check import close
    alpha_bar = torch.linspace(1, 0.1, 10, dtype=torch.float64) ** 2
    clean = torch.tensor([2.0, -1.0], dtype=torch.float64)
    eps = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)[:, None].repeat(1, 2)
    z = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)[:, None].repeat(1, 2)
    for t, s in ((9, 3), (4, 3), (5, 0)):
        noised = alpha_bar[t].sqrt() * clean + (1 - alpha_bar[t]).sqrt() * eps
        for eta in (0.0, 0.5, 1.0):
            x_s = ddim_step(noised, t, s, eps, alpha_bar, eta, z)
            assert x_s.shape == (4, 2), "The answer should have the shape of x_t."
            assert x_s.isfinite().all(), "The answer is not a number: somewhere a root is taken of what is below zero, or something is divided by 0. No eta from 0 to 1 adds more variance than level s has."
            assert close(x_s.mean(0), alpha_bar[s].sqrt() * clean), "Where the noise is predicted rightly, the mean of x_s should be as much of the clean data as is left at level s: look at how x_0 is found in x_t, and at the level to which it is brought."
            right = close(x_s.var(0, correction=0), (1 - alpha_bar[s]).expand(2))
            assert right or eta > 0, "Where the noise is predicted rightly, x_s should be as noisy as level s is. Already at eta = 0 it is not: look at how much noise is taken out of x_t, and how much is put back."
            assert right, "At eta = 0 the answer is as noisy as level s is, and above 0 it is not: the predicted and the fresh noise share one variance, and what one gets the other gives up."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_eta_says_how_much_of_the_noise_is_fresh(ddim_step):
    import torch
    from minidiff.check import close
    alpha_bar = torch.tensor([1.0, 0.9, 0.6, 0.3, 2e-12, 1e-12], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    clean, eps, z = torch.randn(3, 4, 2, generator=g, dtype=torch.float64)

    def fresh(t, s, eta):
        with_z, without = (ddim_step(clean + eps, t, s, eps, alpha_bar, eta, noise) for noise in (z, 0 * z))
        return with_z - without

    assert close(fresh(3, 1, 0.0), 0 * z), "At eta = 0 the step is deterministic: fresh noise must not matter."
    full = fresh(3, 1, 1.0)
    assert full.abs().min() > 1e-6, "At eta = 1 fresh noise should enter wherever s is above 0."
    assert close(fresh(3, 1, 0.5), full / 2), "Half of eta should be half of the fresh noise: eta multiplies a standard deviation."
    assert close(fresh(3, 0, 1.0), 0 * z), "At s = 0 the data are clean, so a step that ends there adds no noise."
    ends = [ddim_step(1e-6 * clean + e, 5, 2, e, alpha_bar, 1.0, z) for e in (eps, -eps)]
    assert close(ends[0], ends[1], 1e-4), "Here x_t is pure noise, and at eta = 1 that noise should tell nothing of the noise in x_s, which is then all fresh: the amount depends on both ends of the step, t and s."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_the_posterior_at_one_end_and_a_rotation_at_the_other(ddim_step):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(401)
    for shape, t, s in (((3, 3), 8, 2), ((2, 1, 3, 3), 5, 4), ((4,), 6, 0)):
        left = torch.rand(8, generator=g, dtype=torch.float64) * 0.5 + 0.45
        alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), left.cumprod(0)])
        clean, e, z = torch.randn(3, *shape, generator=g, dtype=torch.float64)
        angle = alpha_bar.sqrt().acos()
        start = angle[t].cos() * clean + angle[t].sin() * e
        velocity = angle[t].cos() * e - angle[t].sin() * clean
        turned = (angle[t] - angle[s]).cos() * start - (angle[t] - angle[s]).sin() * velocity
        assert close(ddim_step(start, t, s, e, alpha_bar, 0.0, z), turned, 1e-7), "At eta = 0 the step differs from a rotation by the difference of the two noise angles."
        # The joint Gaussian of (x_s, x_t) given x_0, conditioned on x_t.
        gain, spread = torch.zeros(2, dtype=torch.float64)
        if s > 0:
            factors = left[s:t].prod()
            joint = torch.stack([angle[s].sin() ** 2, factors.sqrt() * angle[s].sin() ** 2, factors.sqrt() * angle[s].sin() ** 2, angle[t].sin() ** 2]).view(2, 2)
            precision = torch.linalg.inv(joint)
            gain, spread = -precision[0, 1] / precision[0, 0], precision[0, 0] ** -0.5
        mean = angle[s].cos() * clean + gain * (start - angle[t].cos() * clean)
        assert close(ddim_step(start, t, s, e, alpha_bar, 1.0, z), mean + spread * z, 1e-7), "At eta = 1 the step differs from the joint Gaussian of x_s and x_t, given x_0, conditioned on x_t."
        eta = torch.rand((), generator=g, dtype=torch.float64).item() * 0.6 + 0.2
        middle = ddim_step(start, t, s, e, alpha_bar, eta, 0 * z)
        added = ddim_step(start, t, s, e, alpha_bar, eta, z) - middle
        assert close(added, eta * spread * z, 1e-7), "Between 0 and 1 the fresh noise is not eta times that of the posterior."
        kept = (middle - angle[s].cos() * clean) / e
        square = kept**2 + (added / z) ** 2
        assert (kept > -1e-7).all() and close(square, (angle[s].sin() ** 2).expand(shape), 1e-6), "Between 0 and 1 the two noises together do not have the variance of level s."

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: 2
# check_cell: false

# %% [markdown]
# ## Question 2. A grid with both ends (2 points)
#
# Write `time_grid(T, n)`, which returns the times that a walk of `n` steps visits, in the order in which sampling visits them: a list of ints.
# Neither end may be missing, no time may come twice, and the steps should be as even as whole numbers allow: the longest is at most 1 longer than the shortest.
# Which way you round is up to you; `n` is between 1 and `T`, and need not divide it.

# %% [raw]
# # BEGIN SOLUTION

# %%
def time_grid(T, n):
    """Returns the times of a walk of n steps, a list of ints."""
    # BEGIN SOLUTION
    return [round(T * k / n) for k in range(n, -1, -1)]
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %%
check("q2")

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_it_leads_from_noise_to_data(time_grid):
    import torch
    for T, n in ((1000, 10), (1000, 7), (200, 60), (10, 10), (50, 1)):
        times = torch.as_tensor(time_grid(T, n))
        assert not times.is_floating_point(), "A time is an index into alpha_bar, and so an int."
        times = times.tolist()
        assert times[:1] == [T], "The walk starts from pure noise, and that is the law at T and at no other level."
        assert times[-1] == 0, "The walk ends at clean data: a grid that stops above time 0 leaves noise on every sample."
        assert len(times) == n + 1, "A walk of n steps visits one time more than it has steps, also where n does not divide T."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_it_falls_in_even_steps(time_grid):
    import torch
    for T, n in ((1000, 10), (10, 10), (1000, 7), (1000, 300), (200, 60), (10, 7)):
        times = torch.as_tensor(time_grid(T, n))
        times = times.tolist()
        falls = [t - s for t, s in zip(times[:-1], times[1:], strict=True)]
        assert len(falls) > 0, "There should be more than one time: a step has two ends."
        assert min(falls) > 0, "Every time should be below the one before it: sampling goes down, and a step that stands still is a question to the network for nothing."
        assert T % n or max(falls) == min(falls), "Where n divides T, all steps can have one length, and should."
        assert max(falls) - min(falls) < 1.5, "The steps should be as even as whole numbers allow. Where n does not divide T, the remainder should be spread over the walk and not pile up in one step."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_even_for_any_numbers(time_grid):
    import torch
    g = torch.Generator().manual_seed(402)
    for _ in range(20):
        T = int(torch.randint(20, 2000, (), generator=g))
        n = int(torch.randint(2, T, (), generator=g))
        times = torch.as_tensor(time_grid(T, n))
        assert not times.is_floating_point(), "A time is an index into alpha_bar, and so an int."
        times = times.tolist()
        assert times[:1] == [T] and times[-1] == 0, "One of the two ends, T or 0, is not where it should be."
        falls = sorted(t - s for t, s in zip(times[:-1], times[1:]))
        short, longer = T // n, T % n
        assert falls == [short] * (n - longer) + [short + 1] * longer, "The n steps are not as even as whole numbers allow."

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: 2
# check_cell: false

# %% [markdown]
# ## Question 3. Up to the noise (2 points)
#
# Write `invert(eps_fn, x0, times, alpha_bar)`.
# It walks the deterministic step of the chapter backwards, from the data `x0` at time 0 up to `times[0]`, and returns the state there, the noise that belongs to `x0`.
# `times` is a grid as in question 2, the chapter's $\tau_n, \dots, \tau_0$, decreasing and with 0 at its end; the walk visits all of it.
#
# `eps_fn(x, t)` predicts the noise in a batch `x`; its `t` is a tensor of shape `(B,)` and of dtype `torch.int64`, one time for each sample.
# It is asked once in each step, where the chapter says.
#
# It need not call `ddim_step`, which goes down: at $t = 0$ its posterior would divide by $1 - \bar\alpha_0 = 0$.

# %% [raw]
# # BEGIN SOLUTION

# %%
def invert(eps_fn, x0, times, alpha_bar):
    """Returns the state at times[0], in the shape of x0, (B, ...)."""
    # BEGIN SOLUTION
    x, up = x0, times[::-1]
    for here, there in zip(up[:-1], up[1:]):
        eps = eps_fn(x, torch.full((len(x),), here))
        clean = (x - (1 - alpha_bar[here]).sqrt() * eps) / alpha_bar[here].sqrt()
        x = alpha_bar[there].sqrt() * clean + (1 - alpha_bar[there]).sqrt() * eps
    return x
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %%
check("q3")

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_it_asks_once_a_step_at_the_cleaner_end(invert):
    import torch
    from minidiff.check import close
    alpha_bar = torch.linspace(1, 0.1, 10, dtype=torch.float64) ** 2
    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]], dtype=torch.float64)
    asked = []

    def eps_fn(x, t):
        asked.append((x, t))
        return torch.tanh(x) + 1

    latent = invert(eps_fn, x0, [9, 6, 4, 1, 0], alpha_bar)
    assert latent.isfinite().all(), "The answer is not a number. The walk starts at time 0, where 1 - alpha_bar is 0: what is divided by it? A step without fresh noise needs no such quotient."
    assert len(asked) == 4, "Five times are four steps, and each should ask the network once: is the first step or the last left out?"
    for _, t in asked:
        assert isinstance(t, torch.Tensor) and t.shape == (3,) and t.dtype == torch.int64, "The network should be told a time for each sample: a tensor of shape (B,) and dtype int64."
    told = [int(t[0]) for _, t in asked]
    assert told == sorted(told), "Inversion goes up, from the data to the noise, so the times at which it asks should rise."
    assert told[0] == 0 and told[-1] < 9, "Each step should ask at the end where it is, the less noisy one: the other end is a state that it does not have yet."
    assert told == [0, 1, 4, 6], "The walk should stop at the times of the grid, all of them and no others."
    assert close(asked[0][0], x0), "At time 0 the state is the data, and the first question is about it."
    assert not any(close(x, x0) for x, _ in asked[1:]), "After the first step the question should be about the state that the walk has reached, and no longer about x0."
    assert latent.shape == x0.shape, "The noise has the shape of the data."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_a_prediction_that_never_changes_makes_any_grid_exact(invert):
    import torch
    from minidiff.check import close
    alpha_bar = torch.tensor([1.0, 0.9, 0.7, 0.4, 0.1, 1e-12], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 3, 2, generator=g, dtype=torch.float64)
    one, many = (invert(lambda x, t: eps, x0, times, alpha_bar) for times in ([4, 0], [4, 3, 2, 1, 0]))
    assert one.isfinite().all(), "The answer is not a number. The walk starts at time 0, where 1 - alpha_bar is 0: what is divided by it? A step without fresh noise needs no such quotient."
    assert not close(one, x0), "The state should move away from the data."
    assert close(one, many), "If the predicted noise is the same everywhere, Euler steps are exact, and four short ones should lead to where one long one does: look at the coefficients of data and noise, at their levels and their roots."
    noise = invert(lambda x, t: eps, x0, [5, 4, 3, 2, 1, 0], alpha_bar)
    assert close(noise, eps, 1e-4), "At the last time nothing of the data is left, so the state there should be the noise that the network saw in them all the way."
    still = invert(lambda x, t: 0 * x, x0, [3, 2, 0], alpha_bar)
    ratio = still / x0
    assert (ratio > 0).all() and close(ratio, ratio[0, 0].expand(3, 2)), "Where the network sees no noise, all data should shrink by one factor."
    assert abs((ratio[0, 0] ** 2).item() - 0.4) < 1e-9, "Where the network sees no noise, as much of the data's variance should be left as alpha_bar says."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_gaussian_data_shrink_by_every_cosine(invert):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(403)
    for shape, times in (((3, 3), [9, 7, 4, 3, 0]), ((2, 1, 3, 3), [8, 7, 2, 1, 0])):
        left = torch.rand(9, generator=g, dtype=torch.float64) * 0.4 + 0.5
        alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), left.cumprod(0)])
        x0 = torch.randn(shape, generator=g, dtype=torch.float64)
        told_shapes = set()
        m, c, w = (torch.rand(3, generator=g, dtype=torch.float64) + 0.4).tolist()

        def column(t):
            return alpha_bar[t].view(-1, *[1] * (len(shape) - 1))

        def gaussian(x, t):
            told_shapes.add(tuple(t.shape))
            ab = column(t)
            return (1 - ab).sqrt() / (ab * c**2 + 1 - ab) * (x - ab.sqrt() * m)

        angle = torch.atan2((1 - alpha_bar).sqrt(), c * alpha_bar.sqrt())
        lost, T = 1.0, times[0]
        for t, s in zip(times[:-1], times[1:]):
            lost = lost * (angle[t] - angle[s]).cos()
        unit = (alpha_bar[T] * c**2 + 1 - alpha_bar[T]).sqrt()
        truth = alpha_bar[T].sqrt() * m + unit * lost * (x0 - m) / c
        assert close(invert(gaussian, x0, times, alpha_bar), truth), "For Gaussian data the answer differs from the product of the cosines of all steps."
        assert told_shapes == {shape[:1]}, "The network should be told a time for each sample of the batch."

        def bent(x, t):
            return torch.sin(x + w * column(t)) + 0.3

        # Euler's steps in x / sqrt(alpha_bar) along the tangent of the noise angle.
        tangent = alpha_bar.sqrt().acos().tan()
        bar = x0
        for s, t in zip(reversed(times[1:]), reversed(times[:-1])):
            told = torch.full(shape[:1], s)
            bar = bar + (tangent[t] - tangent[s]) * bent(bar * alpha_bar[s].sqrt(), told)
        assert close(invert(bent, x0, times, alpha_bar), alpha_bar[T].sqrt() * bar, 1e-7), "For a prediction that changes with state and time the answer differs from Euler's steps of the probability flow."

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: 2
# check_cell: false

# %% [markdown]
# ## Question 4. The hook that shares the coarse (2 points)
#
# ILVR ([chapter 8](../../book/08-ilvr.ipynb), its first two sections) corrects the state after each step, so that its coarse part is that of a reference $y$, and leaves the fine part to the network.
# Write `ilvr_hook(x, y, s, alpha_bar, phi, z)`: `x` is the state after the step, the chapter's $x'_s$, and the answer its $x_s$.
# `phi` is a linear filter that maps a batch `(B, ...)` to one of the same shape; `y` is the clean reference, and `z` the noise with which it is brought to the level of the state; both have the shape of `x`.
#
# Where `phi` is a projector, the low-pass of the answer is that of the noised reference, and the rest of the answer is that of `x`.
# At $s = 0$ the reference is clean.

# %% [raw]
# # BEGIN SOLUTION

# %%
def ilvr_hook(x, y, s, alpha_bar, phi, z):
    """Returns the state with the coarse part of the reference; x, y, z (B, ...)."""
    # BEGIN SOLUTION
    y_s = alpha_bar[s].sqrt() * y + (1 - alpha_bar[s]).sqrt() * z
    return x + phi(y_s) - phi(x)
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %%
check("q4")

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_coarse_from_the_reference_and_fine_from_the_state(ilvr_hook):
    import torch
    from minidiff.check import close
    alpha_bar = torch.linspace(1, 0.1, 10, dtype=torch.float64) ** 2
    g = torch.Generator().manual_seed(0)
    x, y, z = torch.randn(3, 2, 1, 8, generator=g, dtype=torch.float64)

    def phi(x):
        return x.view(-1, 1, 4, 2).mean(3, keepdim=True).expand(-1, 1, 4, 2).reshape(-1, 1, 8)

    for s in (0, 1, 6):
        answer = ilvr_hook(x, y, s, alpha_bar, phi, z)
        assert answer.shape == x.shape, "The answer should have the shape of the state."
        assert close(answer - phi(answer), x - phi(x)), "What the filter does not see should be left as it is: the hook takes from the state its coarse part, all of it and nothing else, and gives it that of the noised reference."
    assert close(ilvr_hook(y, y, 0, alpha_bar, phi, z), y), "At s = 0 the reference is clean, and a state that equals it should be left alone."
    clean = ilvr_hook(x, y, 0, alpha_bar, phi, z)
    assert close(phi(clean), phi(y)), "At s = 0 the coarse part of the answer should be that of the clean reference: the promise of the method is about the last state of the walk."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_the_reference_is_brought_to_the_level_of_the_state(ilvr_hook):
    import torch
    from minidiff.check import close
    # The filter that sees everything shows the reference itself.
    nearly = torch.tensor([1.0, 1 - 1e-12, 1e-12], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    x, y, z = torch.randn(3, 2, 4, generator=g, dtype=torch.float64)
    early, late = (ilvr_hook(x, y, s, nearly, lambda x: x, z) for s in (1, 2))
    assert close(early, y, 1e-4) and close(late, z, 1e-4), "On this schedule level 1 is nearly clean and level 2 nearly pure noise, and the filter sees everything: at level 1 the answer should be nearly y, and at level 2 nearly z."
    alpha_bar = torch.linspace(1, 0.1, 10, dtype=torch.float64) ** 2
    y, z = torch.eye(2, dtype=torch.float64)[:, None]
    for s in (1, 5, 9):
        answer = ilvr_hook(0 * y, y, s, alpha_bar, lambda x: x, z)
        assert close(answer.square().sum(1), torch.ones(1, dtype=torch.float64)), "Reference and noise have the same size here and nothing in common, so at every level what they make should have that size again: their variances add up to 1."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_the_nearest_state_that_keeps_the_promise(ilvr_hook):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(404)
    left = torch.rand(8, generator=g, dtype=torch.float64) * 0.5 + 0.45
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), left.cumprod(0)])
    angle = alpha_bar.sqrt().acos()
    down = torch.linalg.qr(torch.randn(6, 2, generator=g, dtype=torch.float64))[0].T
    down = torch.tensor([[1.5, 0.4], [-0.3, 0.8]], dtype=torch.float64) @ down
    onto = torch.linalg.pinv(down) @ down
    mix = torch.randn(6, 6, generator=g, dtype=torch.float64)
    for s in (0, 1, 5, 8):
        x, y, z = torch.randn(3, 3, 6, generator=g, dtype=torch.float64)
        noised = angle[s].cos() * y + angle[s].sin() * z
        # The nearest u with (down u) = (down noised): the stationary point of its Lagrangian.
        system = torch.zeros(8, 8, dtype=torch.float64)
        system[:6, :6], system[:6, 6:], system[6:, :6] = torch.eye(6, dtype=torch.float64), down.T, down
        truth = torch.linalg.solve(system, torch.cat([x, noised @ down.T], 1).T)[:6].T
        answer = ilvr_hook(x, y, s, alpha_bar, lambda x: x @ onto.T, z)
        assert close(answer, truth, 1e-7), "For an orthogonal projector the answer is not the nearest state with the coarse part of the reference at level s."
        answer = ilvr_hook(x, y, s, alpha_bar, lambda x: x @ mix.T, z)
        rest = (noised - x) @ (mix @ mix - mix).T
        assert close((answer - noised) @ mix.T, rest, 1e-6), "For a filter that is no projector the coarse parts differ by something else than the chapter says."

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: w1
# points: 2
# manual: true

# %% [markdown]
# ## Question 5. In words (2 points)
#
# A classmate inverts data from $\mathcal{N}(0, 0.5^2)$ with the exact noise prediction, on the linear schedule with $T = 1000$, and walks down again at $\eta = 0$.
# With 10, 20 and 40 steps each way, 45 %, 26 % and 14 % of the distance from the mean are lost.
# Then they do the same to faces with a trained network: after 20 steps up and 20 down most come back with another background, and some in other clothes.
#
# "The network is not good enough", they say.
# "And with $\eta = 1$ on the way down the faces are crisp, so that is the repair."
#
# Say in a few sentences where the loss comes from and whether it shows that the network is bad; about how many steps each way would lose 2 % of the Gaussian; whether $\eta = 1$ repairs the round trip; and by how much the standard deviation is off if Gaussian samples are drawn from fresh noise with 20 steps at $\eta = 0$.

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# With the exact prediction no network can be to blame.
# A deterministic step is an Euler step: going up it asks for the noise at the cleaner end, going down at the noisier one, and so the way down does not undo the way up.
# For Gaussian data every step shrinks the state, in units of its standard deviation, by the cosine of the angle that it spans, up as well as down, and the round trip multiplies by all cosines squared.
# The faces may suffer from the same; whether the network is bad as well is told by more steps: what goes away with them is the solver's.
#
# The method is of first order: twice the steps, nearly half the loss (45, 26, 14).
# From 14 % at 40 steps to 2 % is a factor of 7, so 280 steps or a few more, since doubling does not quite halve yet: with 300 the loss is 2.0 %.
#
# At $\eta = 1$ fresh noise enters in every step, and the noise from which a walk starts no longer decides where it ends.
# The faces may be crisp, but they are other faces; a round trip needs a deterministic way down.
#
# Samples from fresh noise go one way only and lose the product of the cosines once: $\sqrt{1 - 0.26} = 0.86$, so their standard deviation is 14 % too small.
#
# **Rubric.** ½ point: the loss is that of Euler's steps (up and down ask at different ends, or: each way shrinks by cosines), and does not show that the network is bad.
# ½ point: first order, and so 250 to 350 steps.
# ½ point: $\eta = 1$ draws fresh noise, so it gives another face and not the same one back.
# ½ point: one way instead of two, so the root of 0.74: 14 % too small (13 to 15 %); half of 26 % with the reason that the walk is one way instead of two counts, 26 % does not.

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION

# %% [markdown]
# ## Your code at work
#
# Once questions 1, 2 and 4 are right, you can paint.
# Each block of letters below is a painting of 4 × 4 squares; your `ilvr_hook` hands its mean colours to the network of faces, and your `ddim_step` invents the rest along your `time_grid`.
# Change the letters and run the cell again: another background, another shirt, a hat, hair on one side only.
#
# Three faces for each painting share its colours only until $\bar\alpha = 0.5$, and the network may move them afterwards, as in chapter 8.
# For the last row the hook works to the end, and the colours are forced on the face, also those that no face has.

# %%
# %%time
if check("q1") and check("q2") and check("q4"):
    from minidiff import viz, zoo
    from minidiff.apps.ilvr import block_average
    from minidiff.forward import eps_fn
    from minidiff.schedule import cosine_schedule

    colours = {
        "g": (140, 203, 136), "v": (181, 151, 224), "p": (247, 168, 188),  # green, violet, pink
        "y": (251, 224, 138), "s": (134, 197, 240), "e": (180, 185, 191),  # yellow, sky, grey
        "k": (43, 37, 48), "w": (243, 239, 236), "r": (216, 50, 74),  # black, white, red
        "b": (44, 74, 154), "c": (212, 83, 28), "t": (31, 138, 91),  # blue, copper, teal
        "l": (250, 212, 184), "m": (221, 165, 116), "d": (130, 85, 60),  # skin: light to dark
    }
    paintings = """
        gggg  vvvv  pppp  yrry  ssss  ettw
        gkkg  vllv  pccp  yrry  swws  ettw
        gmmg  vllv  cllc  yddy  smms  ellw
        gwwg  rrrr  cbbc  ywwy  sbbs  kkww
    """
    lines = [line.split() for line in paintings.split("\n") if line.strip()]
    squares = torch.tensor([[[colours[c] for c in row] for row in rows] for rows in zip(*lines)])
    squares = squares.permute(0, 3, 1, 2) / 127.5 - 1
    y = squares.repeat_interleave(8, 2).repeat_interleave(8, 3)

    schedule = cosine_schedule(1000)
    alpha_bar, predict = schedule.alpha_bar, eps_fn(zoo.load("faces"), schedule)
    half = int((alpha_bar - 0.5).abs().argmin())

    @torch.no_grad()
    def faces_like(y, low):
        x, times = torch.randn_like(y), time_grid(1000, 40)
        for t, s in zip(times[:-1], times[1:]):
            eps_hat = predict(x, torch.full((len(x),), t))
            x = ddim_step(x, t, s, eps_hat, alpha_bar, 1.0, torch.randn_like(x)).float()
            if s >= low:
                z = torch.randn_like(x)
                x = ilvr_hook(x, y, s, alpha_bar, lambda x: block_average(x, 8), z).float()
        return x

    torch.manual_seed(0)
    display(viz.images(
        torch.cat([y, faces_like(y.repeat(3, 1, 1, 1), half), faces_like(y, 0)]),
        "Six paintings of sixteen squares. Under each, three different faces that follow "
        "its colours, and in the last row one in whose colours the squares still show.",
        cols=len(y), scale=3,
        row_titles=["painting", "a face", "another", "a third", "to the end"],
    ))

# %% [markdown]
# With questions 1 to 3 you can also take faces apart into noise and draw them again.
# What few steps lose is to be seen in the backgrounds first: many turn grey, the one nearest to the mean of all.
# The row after that starts from the same noise, and draws with $\eta = 1$.
# The last one walks on the sphere, from the noise of one face to that of another: set `a` and `b`, counted from 0.

# %%
# %%time
if check("q1") and check("q2") and check("q3"):
    from minidiff import data, viz, zoo
    from minidiff.forward import eps_fn
    from minidiff.sampling import slerp
    from minidiff.schedule import cosine_schedule

    a, b = 2, 5
    schedule = cosine_schedule(1000)
    alpha_bar, predict = schedule.alpha_bar, eps_fn(zoo.load("faces"), schedule)
    people = data.faces(8, generator=torch.Generator().manual_seed(3)).images

    @torch.no_grad()
    def redraw(x, n, eta):
        times = time_grid(1000, n)
        for t, s in zip(times[:-1], times[1:]):
            eps_hat = predict(x, torch.full((len(x),), t))
            x = ddim_step(x, t, s, eps_hat, alpha_bar, eta, torch.randn_like(x)).float()
        return x

    torch.manual_seed(0)
    rows = [people]
    for n in (10, 20, 40):
        with torch.no_grad():
            noise = invert(predict, people, time_grid(1000, n), alpha_bar).float()
        rows.append(redraw(noise, n, 0.0))
    rows.append(redraw(noise, n, 1.0))
    arc = [slerp(noise[a : a + 1], noise[b : b + 1], k / 7) for k in range(8)]
    rows.append(redraw(torch.cat(arc), n, 0.0))
    display(viz.images(
        torch.cat(rows),
        "Eight faces, and below them what comes back after 10, 20 and 40 steps: more and "
        "more the same people. With eta 1 others come. Last, one face turns into another.",
        cols=8, scale=3,
        row_titles=["faces", "10 steps", "20 steps", "40 steps", "η = 1", "a to b"],
    ))

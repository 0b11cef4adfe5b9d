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
# # Assignment 2. Langevin dynamics
#
# *Sample with nothing but a score: a step, its error, the test that removes the error, and the annealing that no test replaces.*
#
# This goes with [chapter 2](../../book/02-langevin.ipynb), and everything it asks follows from that chapter.
# Four functions, 2 points each, and a written question, 2 points: 60 to 120 minutes.
#
# A function is right if it has the properties that its text states; there is more than one way to write it.
# Use torch and Python's standard library, and no other module of minidiff than the cells below import.
# No function changes its arguments.
# Before you hand the notebook in, restart it and run all of it from top to bottom: that is how it is marked.
# `check("q1")` tells which properties hold; the marks come from those and from others that it does not show.
# Cells that begin with `%%time` draw pictures, and are not marked.
#
# Throughout, `score(x)` is $\nabla \log p(x)$ in the shape of `x`, and $\delta$ is a step in the chapter's convention: with `delta` goes a noise of variance $\delta$.
# No function draws random numbers of its own: they are handed in.

# %%
import torch

from minidiff.check import assignment

torch.manual_seed(0)
check = assignment("langevin", globals())

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: 2
# check_cell: false

# %% [markdown]
# ## Question 1. One step (2 points)
#
# Write `ula_step(score, x, delta, z)`, which takes one step of the unadjusted Langevin algorithm from `x` and returns where it ends.
# `z` is standard normal noise, drawn for this step, in the shape of `x`.
#
# There are two ways to write the same chain; this is the one in which a step on flat ground is a random walk with variance $\delta$ in each coordinate.
# Samples of $p$ must stay samples of $p$, up to an error that vanishes faster than $\delta$.

# %% [raw]
# # BEGIN SOLUTION

# %%
def ula_step(score, x, delta, z):
    """Returns the state after one step of ULA; x, z (B, ...), delta a float > 0."""
    # BEGIN SOLUTION
    return x + delta / 2 * score(x) + delta**0.5 * z
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
def test_on_flat_ground_it_is_a_random_walk(ula_step):
    import torch
    from minidiff.check import close
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    z = torch.tensor([[0.4, 1.1], [-0.7, 0.3]], dtype=torch.float64)

    def flat(x):
        return 0 * x

    still = ula_step(flat, x, 1.0, 0 * z)
    assert still.shape == x.shape, "The answer should have the shape of x: every point takes its step."
    assert close(still, x), "Without a slope and without noise a point should stay where it is: a step is added to x."
    one = ula_step(flat, x, 1.0, z)
    assert close(one, x + z), "Where the density is flat, a step of delta = 1 should add noise of variance 1 and do no more: in this chapter's convention delta is the variance of a step's noise."
    far = ula_step(flat, x, 4.0, z)
    assert close(far - x, 2 * (one - x)), "Variances add up, so delta = 4 is as much noise as four steps of delta = 1, and that carries a point twice as far, not four times."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_samples_of_the_law_stay_samples_of_it(ula_step):
    import torch
    from minidiff.check import close
    # Four equally likely pairs: x has mean 3 and variance 1, z mean 0 and variance 1.
    x = torch.tensor([[2.0], [2.0], [4.0], [4.0]], dtype=torch.float64)
    z = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]], dtype=torch.float64)
    asked = []

    def score(x):
        asked.append(x)
        return 3 - x

    after = ula_step(score, x, 0.01, z)
    assert asked, "The score was never asked, and without it nothing tells the points which law to keep."
    assert close(asked[0], x), "The score should be asked where the step starts: the noise is drawn independently of it."
    assert after.shape == x.shape, "The answer should have the shape of x: every point takes its step."
    assert abs(after.mean() - 3) < 1e-4, "The mean of N(3, 1) is 3, and a step should leave it there."
    variance = (after - 3).square().mean()
    assert variance < 1 + 1e-4, "Points with the variance of N(3, 1) spread in one small step: its noise outweighs the drift, or the drift leads away from the peak."
    assert variance > 1 - 1e-4, "Points with the variance of N(3, 1) shrink together in one small step: its drift outweighs the noise."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_for_a_gaussian_it_is_the_linear_recursion(ula_step):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(201)
    for shape in ((4, 4), (3, 1, 2, 2)):
        x, z, mean = torch.randn(3, *shape, generator=g, dtype=torch.float64)
        var = torch.rand(shape, generator=g, dtype=torch.float64) + 0.5
        delta = 0.1 + 1.5 * torch.rand((), generator=g, dtype=torch.float64).item()
        r = 1 - delta / (2 * var)
        walked = torch.sign(z) * (delta * z * z).sqrt()
        after = ula_step(lambda y: (mean - y) / var, x, delta, z)
        assert close(after, mean + r * (x - mean) + walked), "For a Gaussian law the distance from the mean should shrink by the chapter's factor, and the noise come on top."

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
# ## Question 2. What the chain samples instead (2 points)
#
# The target is $\mathcal{N}(m, c^2)$ in one dimension, and a chain takes steps of ULA at a fixed $\delta$ without end.
# Its law settles at a Gaussian, whose variance $V_\infty$ is not $c^2$.
# Derive that variance, on paper, from what one step does to a variance.
# Then write `ula_variance(c2, delta)`, which returns it as a number.
#
# Where the variance does not settle, return `float("inf")`; at the limit of stability itself it does not settle either.

# %% [raw]
# # BEGIN SOLUTION

# %%
def ula_variance(c2, delta):
    """Returns the variance that ULA with steps delta settles at for the target N(m, c^2)."""
    # BEGIN SOLUTION
    if delta >= 4 * c2:
        return float("inf")
    return c2 / (1 - delta / (4 * c2))
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
def test_half_the_step_makes_half_the_error(ula_variance):
    tiny = float(ula_variance(1.7, 0.0017))
    assert abs(tiny - 1.7) < 0.0017, "With tiny steps the chain should all but sample the target, and have its variance."
    small, large = (float(ula_variance(1.7, delta)) - 1.7 for delta in (0.017, 0.034))
    assert small > 0 and large > 0, "A step of finite length leaves the variance too large: neither exact nor too small."
    assert 1.9 < large / small < 2.1, "Half the step should halve what the variance has too much: that error is of first order in delta."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_it_has_a_limit_and_no_unit_of_length(ula_variance):
    import math
    one = float(ula_variance(1.0, 1.5))
    assert abs(float(ula_variance(9.0, 13.5)) - 9 * one) < 1e-9, "A variance and a step both nine times as large are the same chain in another unit of length: delta is measured in the unit of a variance."
    assert math.isfinite(float(ula_variance(1.0, 3.9))) and float(ula_variance(1.0, 3.9)) > 1, "At delta = 3.9 c^2 the chain still settles, at a variance that is finite and too large."
    assert abs(float(ula_variance(0.7, 1.4)) - 1.4) < 1e-9, "At delta = 2 c^2 the drift leads from anywhere to the mean in one step, so that nothing is left in the state but the mean and the noise of the last step."
    assert float(ula_variance(0.7, 3.5)) == math.inf, "At delta = 5 c^2 every step overshoots the mean by more than it was away from it, so the variance grows without end."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_where_the_variance_comes_to_rest(ula_variance):
    import torch
    g = torch.Generator().manual_seed(202)
    for least in (0.05, 0.55, 0.05, 0.55):
        c2, part = torch.rand(2, generator=g, dtype=torch.float64).tolist()
        c2, part = 0.3 + 2 * c2, least + 0.4 * part
        delta = 4 * c2 * part
        # How steep the score is, by autograd; then 3,000 steps of the chain's variance.
        x, std = torch.tensor([1.0, c2**0.5], dtype=torch.float64).requires_grad_().unbind()
        law = torch.distributions.Normal(torch.zeros_like(std), std)
        (slope,) = torch.autograd.grad(law.log_prob(x), x)
        v = 0.1
        for _ in range(3000):
            v = (1 + delta / 2 * slope.item()) ** 2 * v + delta
        assert abs(float(ula_variance(c2, delta)) - v) < 1e-9 * v, "The answer is not where the variance of the chain comes to rest."
        assert float(ula_variance(c2, delta / part * (1 + part))) == float("inf"), "Beyond the limit of stability the variance grows without end."
        assert float(ula_variance(c2, 4 * c2)) > 1e9, "At the limit of stability itself every step adds to the variance, so it grows without end."

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
# ## Question 3. A test that removes the error (2 points)
#
# A chain stands at `x`, and one step of ULA of length `delta` proposes `y`, the chapter's $x'$.
# Write `log_accept(log_prob, score, x, y, delta)`, which returns the logarithm of the fraction in MALA's acceptance probability, `(B,)`, one number for each chain.
# It is not cut off at 0 yet: the chain goes to `y` where the logarithm of a uniform random number is below it, and else it stays.
#
# With this rule as much mass must flow from $x$ to $y$ as back, for every pair.
# `log_prob(x)` returns $\log p(x)$ as `(B,)`, up to a constant that nobody knows.

# %% [raw]
# # BEGIN SOLUTION

# %%
def log_accept(log_prob, score, x, y, delta):
    """Returns the logarithm of MALA's fraction for going from x to y, (B,); x, y (B, D)."""
    # BEGIN SOLUTION
    def log_q(to, start):
        gap = to - start - delta / 2 * score(start)
        return -gap.square().sum(1) / (2 * delta)

    return log_prob(y) + log_q(x, y) - log_prob(x) - log_q(y, x)
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
def test_the_way_back_has_the_opposite_sign(log_accept):
    import torch
    from minidiff.check import close

    def log_prob(x):
        return -x.pow(4).sum(1) / 4

    def score(x):
        return -x.pow(3)

    x = torch.tensor([[1.0, -0.5], [0.2, 1.3], [-1.1, 0.4]], dtype=torch.float64)
    y = torch.tensor([[0.3, -0.9], [1.0, 1.6], [-0.2, 0.1]], dtype=torch.float64)
    there = log_accept(log_prob, score, x, y, 0.5)
    assert there.shape == (3,), "There should be one number for each chain: every chain decides for itself whether it moves."
    assert there.abs().min() > 0, "These pairs of points are not equally likely, so going there and coming back are not accepted alike."
    assert close(log_accept(log_prob, score, x, x, 0.5), torch.zeros(3, dtype=torch.float64)), "To stay is to lose nothing: for y = x the fraction is 1, and its logarithm 0."
    assert close(log_accept(log_prob, score, y, x, 0.5), -there), "On the way back the fraction is upside down, so its logarithm changes sign. That needs both proposals, each with the drift of the place where it starts, and no cut at 0."
    alone = torch.cat([log_accept(log_prob, score, x[i : i + 1], y[i : i + 1], 0.5) for i in range(3)])
    assert close(alone, there), "A chain should get the same number alone as among others: a fraction belongs to one chain."
    parts = [log_accept(log_prob, score, x[:, i : i + 1], y[:, i : i + 1], 0.5) for i in (0, 1)]
    assert close(parts[0] + parts[1], there), "The coordinates of this density are independent, so the fractions of the two multiply, and their logarithms add up."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_short_steps_are_nearly_always_accepted(log_accept):
    import torch
    from minidiff.check import close
    x = torch.tensor([[1.0, -0.5], [0.3, 2.0]], dtype=torch.float64)
    z = torch.tensor([[0.7, 0.4], [-0.6, 1.2]], dtype=torch.float64)

    def log_prob(x):
        return 7 - x.square().sum(1) / 2

    def score(x):
        return -x

    short = log_accept(log_prob, score, x, x + 0.01 * z, 1e-4)
    assert short.shape == (2,), "There should be one number for each chain: every chain decides for itself whether it moves."
    assert short.abs().max() < 1e-5, "What the step gains in density it should nearly lose again in the proposals: a step uphill is the likelier one. For a short step the fraction is then close to 1. Look at which density and which proposal stand above and which below, and at the proposals' mean and variance."
    inward = log_accept(log_prob, score, x, x / 2, 0.5)
    assert (inward > 0).all(), "For a Gaussian, ULA spreads too far, so a proposal that lies nearer to the peak should always be accepted: is the fraction the right way up, and does each proposal start where it should?"
    level = log_accept(lambda x: 0 * x[:, 0] + 7, lambda x: 0 * x, x, x + z, 0.5)
    assert close(level, torch.zeros(2, dtype=torch.float64)), "Where the density is flat, there and back are equally likely, and every step is accepted."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_as_much_mass_flows_back(log_accept):
    import torch
    from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
    from minidiff.check import close
    g = torch.Generator().manual_seed(203)
    for d in (1, 3):
        weights = torch.rand(2, generator=g, dtype=torch.float64) + 0.2
        means = torch.randn(2, d, generator=g, dtype=torch.float64)
        stds = torch.rand(2, d, generator=g, dtype=torch.float64) + 0.6
        law = MixtureSameFamily(Categorical(weights), Independent(Normal(means, stds), 1))

        def score(x):
            with torch.enable_grad():
                place = x.detach().clone().requires_grad_()
                (slope,) = torch.autograd.grad(law.log_prob(place).sum(), place)
            return slope

        x, y = torch.randn(2, 5, d, generator=g, dtype=torch.float64)
        delta = 0.2 + torch.rand((), generator=g, dtype=torch.float64).item()
        flows = []
        for a, b in ((x, y), (y, x)):
            step = Independent(Normal(a + 0.5 * delta * score(a), delta**0.5), 1)
            flows.append(law.log_prob(a) + step.log_prob(b))
        answer = log_accept(law.log_prob, score, x, y, delta)
        assert answer.shape == (5,), "There should be one number for each chain."
        there = flows[0] + answer.clamp(max=0)
        back = flows[1] + (-answer).clamp(max=0)
        assert close(there, back, 1e-8), "With this fraction more mass flows one way than the other, so p would not stand still."

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
# ## Question 4. From coarse to fine (2 points)
#
# Write `annealed(score_fn, x, sigmas, delta_min, n, noise)`, which runs Langevin dynamics on $q_\sigma$ from level to level and returns the last state, without the final step of Tweedie's formula.
# `sigmas` is `(L,)`, a tensor from the largest level to the smallest; `score_fn(x, sigma)` with `sigma` of shape `(B,)` is the score of $q_\sigma$; `noise(x)` draws standard normal noise in the shape of `x`.
#
# At each level the chains take `n` steps of one length, each with noise of its own and one question to `score_fn`, and go on from where they were.
# Where the noise dominates, drift and noise must keep the same proportion at every level; at the last level the step is `delta_min`.
#
# It need not call `ula_step`: if it does, an error there counts here too.

# %% [raw]
# # BEGIN SOLUTION

# %%
def annealed(score_fn, x, sigmas, delta_min, n, noise):
    """Returns the last state; x (B, ...), sigmas (L,), delta_min a float, n an int."""
    # BEGIN SOLUTION
    for sigma in sigmas:
        delta = delta_min * (sigma / sigmas[-1]) ** 2
        for _ in range(n):
            drift = delta / 2 * score_fn(x, sigma.expand(len(x)))
            x = x + drift + delta.sqrt() * noise(x)
    return x
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
def test_the_steps_fit_the_levels(annealed):
    import torch
    from minidiff.check import close
    x = torch.tensor([[1.0, -2.0, 0.5], [0.5, 3.0, -1.0]], dtype=torch.float64)
    sigmas = torch.tensor([4.0, 2.0, 0.5], dtype=torch.float64)
    places, levels, drawn = [], [], []

    def flat(x, sigma):
        places.append(x.clone())
        levels.append(sigma)
        return 0 * x

    def noise(x):
        drawn.append(x.shape)
        return torch.ones_like(x)

    last = annealed(flat, x, sigmas, 0.09, 3, noise)
    assert last.shape == x.shape, "The last state should have the shape of the first."
    assert len(places) == 3 * 3, "Every level should have n steps, each of which asks score_fn once, and nothing comes after the last level."
    assert len(drawn) == 3 * 3, "Every step should draw its noise with noise(x), once: noise from elsewhere may have another law, and the same noise again is not independent."
    for level in levels:
        assert isinstance(level, torch.Tensor) and level.shape == (2,), "score_fn should be told a level for each sample of the batch, as a tensor (B,)."
    assert close(torch.stack(levels).view(3, 3, 2), sigmas.view(3, 1, 1).expand(3, 3, 2), 1e-6), "score_fn should be told the sigma of the level that it is asked at, in the order from the largest to the smallest: the weights are settled where the noise is large."
    moves = torch.stack([*places, last]).diff(dim=0).view(3, 3, 2, 3)
    assert close(moves, moves[:, :1, :1, :1].expand(3, 3, 2, 3), 1e-6), "With a flat score and noise(x) that is always 1, all steps of a level should be alike. A step goes on from where the one before ended, also from level to level, and takes its noise from noise(x)."
    assert close(moves[2, 0] ** 2, torch.full((2, 3), 0.09, dtype=torch.float64), 1e-6), "At the last level the noise of a step should have the variance delta_min."
    assert close(moves[:, 0, 0, 0] * 0.5, moves[2, 0, 0, 0] * sigmas, 1e-6), "At a level twice as large a step's noise should carry twice as far: then it is as large at every level beside the law that is sampled there, and so is the drift."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_data_at_one_point_are_found(annealed):
    import torch
    g = torch.Generator().manual_seed(0)
    sigmas = torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    x = torch.full((1000, 2), 20.0, dtype=torch.float64)

    def score_fn(x, sigma):
        return (3 - x) / sigma.view(-1, 1) ** 2

    def noise(x):
        return torch.randn(x.shape, generator=g, dtype=torch.float64)

    last = annealed(score_fn, x, sigmas, 0.2, 20, noise)
    assert last.shape == x.shape, "The last state should have the shape of the first."
    assert abs(last.mean() - 3) < 0.2, "All data lie at one point, and after all levels the chains should lie around it: the drift leads there, and each level goes on with what the one before has reached."
    variance = (last - 3).square().mean()
    assert variance > 0.9, "At the end the chains should still have the noise of the last level: either the final step of Tweedie's formula was taken, or drift and noise are out of proportion."
    assert variance < 1.3, "At the end the chains should have no more than the noise of the last level and ULA's small excess: is the last level sampled, with enough steps, and are drift and noise in proportion?"

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_for_points_it_is_a_sum_of_the_noises(annealed):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(204)
    for shape in ((4, 4), (3, 1, 2, 2)):
        x, point = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        sigmas = (torch.rand(3, generator=g, dtype=torch.float64) + 0.3).flip(0).cumsum(0).flip(0)
        kappa = 0.05 + 0.4 * torch.rand((), generator=g, dtype=torch.float64).item()
        n, last = 4, sigmas[-1].item()
        z = torch.randn(3 * n, *shape, generator=g, dtype=torch.float64)
        count, told = iter(range(3 * n)), []

        def score_fn(x, sigma):
            told.append(len(sigma.flatten()))
            return (point - x) / sigma.view(-1, *[1] * (x.ndim - 1)).to(x) ** 2

        answer = annealed(score_fn, x, sigmas, 2 * kappa * last**2, n, lambda x: z[next(count)])
        assert set(told) == {len(x)}, "score_fn should be told a level for each sample of the batch."
        # In the unit of its level every step contracts alike, so the state is a weighted sum.
        truth = point + (1 - kappa) ** (3 * n) * (x - point)
        for k in range(3 * n):
            size = (2 * kappa) ** 0.5 * sigmas[k // n]
            truth = truth + (1 - kappa) ** (3 * n - 1 - k) * size * z[k]
        assert close(answer, truth, 1e-6), "For data at one point the last state differs from the sum of all noises, each shrunk by the steps after it."

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
# A friend knows the exact score of a law in the plane: two round Gaussians of standard deviation 1 around $(-5, 0)$ and $(5, 0)$, with the weights $0.8$ and $0.2$.
# 2,000 chains start uniformly in a square that holds both, and take 10,000 steps of your `ula_step` with $\delta = 0.1$.
# A picture of either mode looks perfect, but 52 % of the chains end in the left one.
# The friend blames the step, and takes $\delta = 0.01$ and 100,000 steps: 52 % again.
# "Then I shall add your Metropolis test, which makes the sampler exact."
#
# Say in a few sentences why the share is not 80 %, why the second run changed nothing, what the Metropolis test will do to the share, and what annealing does differently, and under which conditions it succeeds.

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# Near a mode the density is the weight times one Gaussian, and the gradient of the logarithm drops the factor: the score there is the same for every weight.
# The weights show in the score only in the valley, where the density is about $5 \cdot 10^{-6}$ of the left peak's and no chain is; so the chains keep the shares of the two sides that they started on (98 % are where they began).
# Neither the step's error nor a lack of steps is the cause in practice: both runs last the same time $n \delta = 1000$, and the time to cross grows exponentially with the depth of the valley.
# The step's error is the variance within a mode, 2.6 % at $\delta = 0.1$.
# The Metropolis test removes that error and no other.
# Its stationary law is exactly $p$, but its proposals are the same short steps, nearly all accepted (99.6 %), and the time to get there is as long as before: 52 %.
# Annealing begins with $q_\sigma$ for a large $\sigma$, where the valley is full, so that the chains cross and settle at the right shares, and carries these shares down.
# It needs a first level as wide as the modes are apart, neighbouring levels that overlap, and enough steps at the levels where the valley opens: with 10 levels from 10 to 0.1 and 100 steps at each one gets 79 %, with 10 steps at each 72 %.
#
# **Rubric.** ½ point: near a mode the score does not know the weight, and the share is that of the starting points.
# ½ point: chains must cross the valley, which takes exponentially long; shorter steps make the step's error smaller, which is not the trouble (or: the second run lasts no longer).
# ½ point: the Metropolis test leaves the share at about 52 %, since it corrects the law of the step and proposes no crossing; "it is exact, so 80 %" gets none.
# ½ point: annealing crosses while the noise fills the valley and carries the shares down, with one condition at least (the first level wide enough, levels that overlap, enough steps where the modes part).

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION

# %% [markdown]
# ## Your code at work
#
# Here the data are 220 dots that make a face, so that the score of the noisy dots can be written down exactly.
# Once questions 1 and 4 are right, your `annealed` turns a cloud of noise into the face.
# For comparison your `ula_step` takes as many steps from the same cloud, all with the score and the step of the last level; the second slider switches between the two.
# Look at the eyes and the mouth: 41 % of the dots are there, and most of the cloud begins outside the rim of the face.
# Then put other curves in the place of `dots`.

# %%
# %%time
if check("q1") and check("q4"):
    def arc(x, y, radius, start, end, n):
        angle = torch.linspace(start, end, n, dtype=torch.float64).deg2rad()
        return torch.stack([x + radius * angle.cos(), y + radius * angle.sin()], dim=1)

    dots = torch.cat([arc(0, 0, 2.0, 0, 360, 130), arc(0, 0, 1.2, 200, 340, 50),
                      arc(-0.7, 0.6, 0.2, 0, 360, 20), arc(0.7, 0.6, 0.2, 0, 360, 20)])
    seen = []

    def face_score(x, sigma):
        seen.append(x.clone())
        var = sigma[:, None] ** 2
        # How likely x comes from each dot; what is the same for all dots is left out.
        likely = ((x @ dots.T - dots.square().sum(1) / 2) / var).softmax(1)
        return (likely @ dots - x) / var  # Tweedie's formula, solved for the score

    torch.manual_seed(0)
    cloud = 4 * torch.randn(800, 2, dtype=torch.float64)
    levels = torch.logspace(2, -5, 16, base=2, dtype=torch.float64)  # from 4 to 1/32
    delta_min = 0.2 * levels[-1].item() ** 2
    seen.append(annealed(face_score, cloud, levels, delta_min, 20, torch.randn_like))
    hot, seen = seen[::20], []
    x, lowest = cloud, levels[-1:].expand(800)
    for _ in range(320):
        x = ula_step(lambda y: face_score(y, lowest), x, delta_min, torch.randn_like(x))
    cold = [*seen[::20], x]
    for name, points in {"dots": dots, "annealed": hot[-1], "plain": x}.items():
        share = (points.norm(dim=1) < 1.6).double().mean()
        print(f"{name:8s} in the eyes and the mouth: {share:.2f}")

# %%
# %%time
if check("q1") and check("q4"):
    from minidiff import viz

    picture = viz.play_points(
        torch.stack([state for pair in zip(hot, cold) for state in pair]),
        {"step": list(range(0, 321, 20)), "sampler": ["annealed", "plain"]},
        "A cloud of points. Annealed, it gathers slowly and becomes a face whose eyes, mouth and "
        "outline are evenly filled; plain Langevin piles up on the outline at once, stays there, "
        "and leaves few points for the eyes and the mouth.",
        limits=(-3, 3), background=dots,
    )
    display(picture)

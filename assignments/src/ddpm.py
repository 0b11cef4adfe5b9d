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
# # Assignment 3. DDPM
#
# *Write the way to noise, the step back and the loss, and draw digits with them.*
#
# This goes with [chapter 3](../../book/03-ddpm.ipynb), and everything it asks follows from that chapter.
# Four functions, 2 points each, and a written question, 2 points: 60 to 90 minutes.
#
# A function is right if it has the properties that its text states; there is more than one way to write it.
# Use torch and Python's standard library, and no other module of minidiff than the cells below import.
# No function changes its arguments.
# Before you hand the notebook in, restart it and run all of it from top to bottom: that is how it is marked.
# `check("q1")` tells which properties hold; the marks come from those and from others that it does not show.
# Cells that begin with `%%time` draw pictures, and are not marked.
#
# Throughout, `alpha_bar` is the schedule: a `(T+1,)` tensor in float64 that falls from `alpha_bar[0] = 1`.
# Its index is the time, so `alpha_bar[t]` is $\bar\alpha_t$, and there is no other table.
# Data, states and noises `x0`, `x_t`, `eps` and `z` are of one shape, `(B, ...)`.

# %%
import torch

from minidiff.check import assignment

torch.manual_seed(0)
check = assignment("ddpm", globals())

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: 2
# check_cell: false

# %% [markdown]
# ## Question 1. The way there (2 points)
#
# Write `q_sample(x0, t, eps, alpha_bar)`, which takes each sample of a batch to a time of its own in one draw.
# It returns the states $x_t$ that the forward process reaches from `x0` at the times `t`, `(B,)` int64 in $0 \dots T$, if `eps` is the noise that was drawn.
#
# Time 0 is the data, unchanged, and data of variance 1 keep that variance at every time.
# It must hold for any shape `(B, ...)`, also where the batch is as large as another axis.

# %% [raw]
# # BEGIN SOLUTION

# %%
def q_sample(x0, t, eps, alpha_bar):
    """Returns x_t for each sample; x0, eps (B, ...), t (B,) int64, alpha_bar (T+1,)."""
    # BEGIN SOLUTION
    kept = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps
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
def test_it_leads_from_the_data_to_the_noise(q_sample):
    import torch
    from minidiff.check import close
    x0 = torch.tensor([[1.0, -2.0, 0.5], [0.3, 3.0, -1.0], [2.0, 0.7, 1.5]], dtype=torch.float64)
    eps = torch.tensor([[0.4, 1.1, -0.6], [-1.0, 0.3, 0.8], [0.2, -0.9, 1.3]], dtype=torch.float64)
    alpha_bar = torch.tensor([1.0, 0.6, 0.3, 0.1, 1e-22], dtype=torch.float64)
    first = q_sample(x0, torch.tensor([0, 0, 0]), eps, alpha_bar)
    assert first.shape == x0.shape, "The states should have the shape of the data."
    assert close(first, x0), "At t = 0 nothing has been added yet, so the data themselves should come back. Which entry of alpha_bar belongs to time t?"
    final = q_sample(x0, torch.tensor([4, 4, 4]), eps, alpha_bar)
    assert close(final, eps), "Where nothing of the data is left, the state should be the noise itself: at full size, and with its own sign."
    mixed = q_sample(x0, torch.tensor([0, 4, 0]), eps, alpha_bar)
    assert close(mixed, torch.stack([x0[0], eps[1], x0[2]])), "Each sample should be taken to its own time, as a whole: along which axis are the times laid?"

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_variance_one_is_kept(q_sample):
    import torch
    g = torch.Generator().manual_seed(0)
    alpha_bar = torch.tensor([1.0, 0.4, 0.3, 0.25, 0.2, 0.15], dtype=torch.float64)
    x0, eps = torch.randn(2, 250, 40, generator=g, dtype=torch.float64)
    last = 0.0
    for time in range(1, 6):
        t = torch.full((250,), time)
        noise = q_sample(0 * x0, t, eps, alpha_bar).var().item()
        assert noise > last, "The noise in a state is that of all steps so far, so there should be more of it at each later time."
        last = noise
        total = q_sample(x0, t, eps, alpha_bar).var().item()
        assert total > 0.95, "Data of variance 1 should keep it, and the states' came out smaller. The variances of data and noise add up: is what they are multiplied with a variance, or a standard deviation?"
        assert total < 1.05, "Data of variance 1 should keep it, and the states' came out larger. The variances of data and noise add up: do the two shares make 1?"

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_where_the_chain_arrives(q_sample):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(301)
    for shape in ((4, 4), (3, 2, 5, 5)):
        x0, eps = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        alpha = 0.5 + 0.45 * torch.rand(7, generator=g, dtype=torch.float64)
        alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), alpha.cumprod(0)])
        t = torch.randperm(8, generator=g)[: shape[0]]
        truth = []
        for x, e, time in zip(x0, eps, t.tolist()):
            mean, variance = x, 0.0
            for a in alpha[:time].tolist():
                mean, variance = a**0.5 * mean, a * variance + 1 - a
            truth.append(mean + variance**0.5 * e)
        assert close(q_sample(x0, t, eps, alpha_bar), torch.stack(truth)), "The answer is not where the forward process arrives step by step; each sample should meet its own time."

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
# ## Question 2. Between two known ends (2 points)
#
# Write `posterior(x0, x_t, t, alpha_bar)` for one time `t`, an int in $1 \dots T$.
# It returns a pair, the mean and the variance of $q(x_{t-1} \mid x_t, x_0)$: the mean in the shape of `x_t`, the variance, which all coordinates share, as a number.
#
# The step from $t = 1$ ends at $x_0$, which is known, so there is nothing left to chance.
# At every $t$, drawing $x_t$ from $x_0$ and then $x_{t-1}$ from this posterior must give what the forward process gives at $t - 1$, in mean and in variance.

# %% [raw]
# # BEGIN SOLUTION

# %%
def posterior(x0, x_t, t, alpha_bar):
    """Returns (mean, variance) of q(x_{t-1} | x_t, x_0); x0, x_t (B, ...), t an int >= 1."""
    # BEGIN SOLUTION
    now, before = alpha_bar[t].item(), alpha_bar[t - 1].item()
    alpha = now / before
    total = alpha**0.5 * (1 - before) * x_t + before**0.5 * (1 - alpha) * x0
    return total / (1 - now), (1 - alpha) * (1 - before) / (1 - now)
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
def test_only_the_step_to_time_zero_is_certain(posterior):
    import torch
    from minidiff.check import close
    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.2, 0.8]], dtype=torch.float64)
    x_t = torch.tensor([[0.3, 1.4], [-1.2, 0.6], [2.0, -0.5]], dtype=torch.float64)
    alpha_bar = torch.tensor([1.0, 0.7, 0.4, 0.1], dtype=torch.float64)
    answer = posterior(x0, x_t, 1, alpha_bar)
    assert isinstance(answer, (tuple, list)) and len(answer) == 2, "Two things should come back, the mean and the variance."
    assert answer[0].shape == x_t.shape, "The mean is a state, and has the shape of one."
    assert answer[0].isfinite().all(), "At t = 1 the variance of x_0 given x_0 is 0: a formula that divides by it has no value there."
    assert close(answer[0], x0), "From t = 1 the step ends at time 0, and what lies there is given: the mean should be x_0, whatever x_1 is."
    assert abs(float(answer[1])) < 1e-12, "At t = 1 nothing is left to chance, so the variance should be 0. How much a step back leaves open is not how much the step there added."
    mean, variance = posterior(x0, x_t, 3, alpha_bar)
    assert float(variance) > 1e-6, "Between two ends that are further apart the state is not certain, so the variance should be above 0."
    moved, _ = posterior(x0, x_t + 1, 3, alpha_bar)
    assert (moved > mean).all(), "Before t = 1 the mean lies between both ends: where x_t moves, it should follow."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_there_and_one_step_back_is_the_forward_process(posterior):
    import torch
    from minidiff.check import close
    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    alpha_bar = torch.tensor([1.0, 0.9216, 0.64, 0.36, 0.0784], dtype=torch.float64)
    signal, noise = [1.0, 0.96, 0.8, 0.6, 0.28], [0.0, 0.28, 0.6, 0.8, 0.96]
    for t in (2, 3, 4):
        answer = posterior(x0, signal[t] * x0, t, alpha_bar)
        assert isinstance(answer, (tuple, list)) and len(answer) == 2, "Two things should come back, the mean and the variance."
        assert close(answer[0], signal[t - 1] * x0), "Drawn from x_0, the states x_t have a mean, and going back from there should lead to the mean of the states at t - 1. One of the two coefficients is off, or both are."
        pull, variance = posterior(0 * x0, torch.ones_like(x0), t, alpha_bar)
        spread = ((noise[t] * pull) ** 2).mean() + float(variance)
        assert spread < noise[t - 1] ** 2 + 1e-9, "There and one step back, the spread came out larger than the forward process has it at t - 1. What x_t's own spread brings along and the posterior's variance add up, so look at both, and at whether the second is a variance."
        assert spread > noise[t - 1] ** 2 - 1e-9, "There and one step back, the spread came out smaller than the forward process has it at t - 1. What x_t's own spread brings along and the posterior's variance add up, so look at both."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_a_joint_gaussian_conditioned(posterior):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(302)
    for shape in ((3,), (2, 4, 4)):
        x0, x_t = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        alpha = 0.4 + 0.5 * torch.rand(5, generator=g, dtype=torch.float64)
        alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), alpha.cumprod(0)])
        for t in (1, 2, 4, 5):
            # Each state is a row: what it holds of x_0, and of the normal noise of every step.
            rows = [torch.eye(6, dtype=torch.float64)[0]]
            for i, a in enumerate(alpha[:t], start=1):
                new = a.sqrt() * rows[-1]
                new[i] = (1 - a).sqrt()
                rows.append(new)
            pair = torch.stack([rows[t - 1], rows[t]])
            joint = pair[:, 1:] @ pair[:, 1:].T
            gain = joint[0, 1] / joint[1, 1]
            truth = pair[0, 0] * x0 + gain * (x_t - pair[1, 0] * x0)
            left = joint[0, 0] - gain * joint[1, 0]
            answer = posterior(x0, x_t, t, alpha_bar)
            assert isinstance(answer, (tuple, list)) and len(answer) == 2, "Two things should come back, the mean and the variance."
            assert close(answer[0], truth), "The mean is not that of the joint Gaussian of two neighbours in the chain, one of which is given."
            assert abs(float(answer[1]) - left.item()) < 1e-9, "The variance is not what the joint Gaussian of two neighbours in the chain leaves of the one if the other is given."

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
# ## Question 3. One step of the sampler (2 points)
#
# Write `ancestral_step(x_t, t, eps_hat, alpha_bar, z)`, which takes a batch of states from time `t` to `t - 1`, `t` an int in $1 \dots T$.
# `eps_hat` is the noise that a network predicts in `x_t`; the guess $\hat x_0$ that belongs to it stands in the place of $x_0$ in the posterior.
# The step draws from that posterior, with the chapter's small variance and the given normal `z`, and returns $x_{t-1}$.
#
# If all data lie at one point and `eps_hat` is the noise that is in `x_t`, the step turns the law of $x_t$ into that of $x_{t-1}$.
# At $t = 1$ it returns $\hat x_0$, and `z` does not matter.
#
# It need not call `posterior`: if it does, an error there counts here too.

# %% [raw]
# # BEGIN SOLUTION

# %%
def ancestral_step(x_t, t, eps_hat, alpha_bar, z):
    """Returns x_{t-1}, in the shape of x_t; x_t, eps_hat, z (B, ...), t an int >= 1."""
    # BEGIN SOLUTION
    now, before = alpha_bar[t].item(), alpha_bar[t - 1].item()
    beta = 1 - now / before
    mean = (x_t - beta / (1 - now) ** 0.5 * eps_hat) / (1 - beta) ** 0.5
    std = (beta * (1 - before) / (1 - now)) ** 0.5
    return mean + std * z
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
def test_the_last_step_ends_at_the_guess(ancestral_step):
    import torch
    from minidiff.check import close
    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.2, 0.8]], dtype=torch.float64)
    eps = torch.tensor([[0.4, 1.1], [-1.0, 0.3], [0.7, -0.6]], dtype=torch.float64)
    alpha_bar = torch.tensor([1.0, 0.64, 0.3], dtype=torch.float64)
    x_1 = 0.8 * x0 + 0.6 * eps
    quiet = ancestral_step(x_1, 1, eps, alpha_bar, 0 * eps)
    assert quiet.shape == x0.shape, "A step leads from states to states of the same shape."
    assert close(quiet, x0), "At t = 1, told exactly which noise is in x_1, the step should return the clean data: that noise is to be taken out, in the size that it has there, and what remains brought back to the size of the data."
    loud = ancestral_step(x_1, 1, eps, alpha_bar, torch.ones_like(eps))
    assert close(loud, quiet), "The last step should add no noise, since nothing comes after it that would take it out."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_data_at_one_point_keep_to_the_forward_process(ancestral_step):
    import torch
    from minidiff.check import close
    alpha_bar = torch.tensor([1.0, 0.9216, 0.64, 0.36, 0.0784], dtype=torch.float64)
    signal, noise = [1.0, 0.96, 0.8, 0.6, 0.28], [0.0, 0.28, 0.6, 0.8, 0.96]
    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    zero, one = torch.zeros_like(x0), torch.ones_like(x0)
    for t in (2, 3, 4):
        path = ancestral_step(signal[t] * x0, t, zero, alpha_bar, zero)
        assert close(path, signal[t - 1] * x0), "A state that is x_0 shrunk, without noise, should come back as x_0 shrunk as much as it is at t - 1."
        fresh = ancestral_step(zero, t, zero, alpha_bar, one)
        assert fresh.abs().min() > 0, "Before the last step there is something to draw: z should matter, or all walks run to the mean."
        old = ancestral_step(noise[t] * one, t, one, alpha_bar, zero)
        spread = (old**2 + fresh**2).mean()
        assert spread < noise[t - 1] ** 2 + 1e-9, "Data at one point, their noise told exactly: after the step there is more noise in the states than the forward process has at t - 1. What is left of the old noise and what z adds make it up, so look at both, and at which of the chapter's two variances is meant."
        assert spread > noise[t - 1] ** 2 - 1e-9, "Data at one point, their noise told exactly: after the step there is less noise in the states than the forward process has at t - 1. What is left of the old noise and what z adds make it up, so look at both, and at whether z meets a variance or a standard deviation."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_draws_from_the_posterior_of_the_guess(ancestral_step):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(303)
    for shape in ((4, 4), (2, 1, 3, 3)):
        eps_hat, x_t, z = torch.randn(3, *shape, generator=g, dtype=torch.float64)
        alpha = 0.4 + 0.5 * torch.rand(5, generator=g, dtype=torch.float64)
        alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), alpha.cumprod(0)])
        for t in (1, 2, 3, 5):
            # The law of (x_{t-1}, x_t) given x_0, walked there: shares of x_0, and covariances.
            share, variance = 1.0, 0.0
            for a in alpha[: t - 1].tolist():
                share, variance = a**0.5 * share, a * variance + 1 - a
            a = alpha[t - 1].item()
            both = variance * a**0.5
            later = a * variance + 1 - a
            guess = (x_t - later**0.5 * eps_hat) / (a**0.5 * share)
            mean = share * guess + both / later * (x_t - a**0.5 * share * guess)
            left = max(variance - both**2 / later, 0.0)
            truth = mean + left**0.5 * z
            answer = ancestral_step(x_t, t, eps_hat, alpha_bar, z)
            assert close(answer, truth), "The answer is not a draw from the law of x_{t-1} given x_t and the guess of x_0, as conditioning a joint Gaussian gives it."

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
# ## Question 4. The simple loss (2 points)
#
# Write `ddpm_loss(eps_fn, x0, t, eps, alpha_bar)`, what $L_{\text{simple}}$ is the mean of.
# It makes the states that belong to `x0`, the times `t`, `(B,)` int64 in $1 \dots T$, and the noise `eps`, asks `eps_fn(x_t, t)` about them, once for the whole batch, and returns `(B,)`, the loss of each sample.
#
# A network that answers the noise itself loses 0.
# One that always answers 0 loses the mean square of the noise: about 1, at every time and for pictures of every size.
#
# It need not call `q_sample`: if it does, an error there counts here too.

# %% [raw]
# # BEGIN SOLUTION

# %%
def ddpm_loss(eps_fn, x0, t, eps, alpha_bar):
    """Returns the loss of each sample, (B,); x0, eps (B, ...), t (B,) int64."""
    # BEGIN SOLUTION
    share = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = share.sqrt() * x0 + (1 - share).sqrt() * eps
    return (eps_fn(x_t, t) - eps).square().flatten(1).mean(1)
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
def test_the_network_is_asked_at_the_states(ddpm_loss):
    import torch
    from minidiff.check import close
    x0 = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.7, -1.0]], dtype=torch.float64)
    eps = torch.tensor([[0.0, 2.0], [0.0, 2.0], [0.4, 1.1]], dtype=torch.float64)
    t = torch.tensor([2, 1, 4])
    alpha_bar = torch.tensor([1.0, 0.6, 0.3, 0.1, 1e-22], dtype=torch.float64)
    asked = []

    def eps_fn(x, time):
        asked.append((x, time))
        return 0 * x

    loss = ddpm_loss(eps_fn, x0, t, eps, alpha_bar)
    assert len(asked) == 1, "eps_fn should be called once for the whole batch."
    x, time = asked[0]
    assert x.shape == x0.shape, "The network should be asked at states of the shape of the data."
    assert (x - x0).abs().max() > 1e-6, "The network should be asked at the noisy states: in clean data there is no noise to find."
    assert close(time, t), "The network should be told at which times the states are, the same numbers that alpha_bar is indexed with."
    assert close(x[2], eps[2]), "Where nothing of the data is left, the network should be asked about the noise itself. Which entry of alpha_bar belongs to time t?"
    assert close(x[:2].norm(dim=1), x0[:2].norm(dim=1)), "In these two samples data and noise are equally long and at right angles, and so the states should be as long: it is squares that add up, as variances do."
    assert loss.shape == (3,), "There should be one loss for each sample, so that times can be weighed and compared."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_a_network_that_answers_zero_loses_one(ddpm_loss):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(0)
    alpha_bar = torch.tensor([1.0, 0.99, 0.5, 0.01], dtype=torch.float64)
    t = torch.arange(3).repeat(100) + 1
    for shape in ((300, 20), (300, 1, 8, 10)):
        x0, eps = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        knowing = ddpm_loss(lambda x, time: eps, x0, t, eps, alpha_bar)
        assert knowing.shape == (300,), "There should be one loss for each sample, so that times can be weighed and compared."
        assert knowing.abs().max() < 1e-9, "A network that answers the noise itself should lose nothing: what is its answer compared with?"
        silent = ddpm_loss(lambda x, time: 0 * x, x0, t, eps, alpha_bar)
        for time in (1, 2, 3):
            mean = silent[t == time].mean()
            assert 0.9 < mean < 1.1, "A network that answers 0 should lose the mean square of normal noise: the same at every time, and for samples of any size."
    twice = ddpm_loss(lambda x, time: 0 * x, x0, t, 2 * eps, alpha_bar)
    assert close(twice, 4 * silent), "The error counts by its square: twice the noise missed is four times the loss."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_the_mean_squared_error_of_the_noise(ddpm_loss):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(304)
    for shape in ((4, 4), (3, 1, 4, 4)):
        x0, eps = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        alpha = 0.5 + 0.45 * torch.rand(6, generator=g, dtype=torch.float64)
        alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), alpha.cumprod(0)])
        t = torch.randperm(6, generator=g)[: shape[0]] + 1
        slope = 0.3 + torch.rand((), generator=g, dtype=torch.float64)

        def eps_fn(x, time):
            return slope * x + time.to(x).view(-1, *[1] * (x.ndim - 1)) / 10

        truth = []
        for x, e, time in zip(x0, eps, t.tolist()):
            mean, variance = x, 0.0
            for a in alpha[:time].tolist():
                mean, variance = a**0.5 * mean, a * variance + 1 - a
            gap = slope * (mean + variance**0.5 * e) + time / 10 - e
            truth.append((gap * gap).sum() / gap.numel())
        loss = ddpm_loss(eps_fn, x0, t, eps, alpha_bar)
        assert close(loss, torch.stack(truth)), "For a network that is linear in the state and knows the time, the loss is not the mean squared error of its answer at the states where the forward process arrives."

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
# Two classmates draw 1,000 digits each, with the same trained network and the linear schedule of $T = 1000$.
# One gives the step the variance $\beta_t$, because the forward step added that much; the other gives it the variance of $q(x_{t-1} \mid x_t, x_0)$, because Bayes' rule says so.
# With all 1,000 steps both have a Fréchet distance near $0.09$ and an energy distance near $0.005$, and nobody can tell their digits apart.
# Then both skip: 10 steps, each from $t$ to $s = t - 100$, with the chapter's large and small variance for such a step.
# Now the first has the distances $0.32$ and $0.033$, the second $0.50$ and $0.024$.
# Each is sure that the other's variance is a bug.
#
# Who is right?
# Say in a few sentences for which data each of the two variances is the right one and where between these two kinds the scans lie, why 1,000 steps hide the difference and 10 do not, and whether some other number for the variance would make the 10 steps exact.

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# Neither has a bug, and for the scans neither has the right number.
# The best variance of a step is the posterior's plus a term for what $x_t$ leaves open about $x_0$ (chapter 3, two variances).
# If $x_t$ determines $x_0$, as for data at a single point, the term is 0 and the small variance is right; for data $\mathcal{N}(0, I)$ the sum is the large one.
# The scans are neither: their pixels have a variance of $0.29$ on average, so the best variance lies between the two (from 300 to 200: small $0.225$, large $0.398$, best about $0.265$ by the squared error of the network's guess of $x_0$).
#
# The ratio of the small variance to the large one is $(1 - \bar\alpha_s) / (1 - \bar\alpha_t)$.
# For neighbours among 1,000 steps it is $0.98$ at $t = 100$ and nearer to 1 above; it is far from 1 only at the last few steps ($0.45$ at $t = 2$), where both variances are of the order of $10^{-4}$.
# Among 10 steps it is $0.56$ from 300 to 200 and $0.30$ from 200 to 100, so the two walk through states that differ in their noise.
#
# No number makes the 10 steps exact.
# Over a long step $q(x_s \mid x_t)$ is a mixture over all $x_0$ that may have led to $x_t$, and not a Gaussian, whatever its variance; it is only over short steps that a Gaussian comes near.
# With the best variances the 10 steps have about $0.43$ and $0.024$, which is no cure.
# That one distance prefers the large variance and the other the small one says which errors each of them sees, and not who is right.
#
# **Rubric.** ½ point: the small variance is right where $x_t$ determines $x_0$ (a single point), the large one for $\mathcal{N}(0, I)$.
# ½ point: the scans lie between, so neither is right and neither is a bug.
# ½ point: with short steps the two agree but for the last steps, where both are tiny; with long steps they do not.
# ½ point: no variance makes long steps exact, because the law of $x_s$ given $x_t$ is a mixture and not Gaussian.

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION

# %% [markdown]
# ## Your code at work
#
# Once your step is right, it draws digits with the network of the package, from $t = 200$ down to 0.
# The three rows start from the same noise and get the same `z`, the second only a fifth of it and the third none.
#
# Without `z` every step goes to the mean of all places that the state may have come from, and all walks run into one: twelve times the same figure, whatever noise they began with.
# A fifth of it is enough for some to part, into nines and eights for the most.
# Put other numbers into `factors`, and look for the least with which you would believe the digits.

# %%
# %%time
if check("q3"):
    from minidiff import viz, zoo
    from minidiff.forward import eps_fn

    torch.set_num_threads(1)  # for pictures this small, more would hardly help
    factors = [1, 0.2, 0]
    schedule = zoo.recipe("digits").schedule()
    predict = eps_fn(zoo.load("digits"), schedule)
    factor = torch.tensor(factors).repeat_interleave(12).view(-1, 1, 1, 1)

    torch.manual_seed(0)
    x = torch.randn(12, 1, 8, 8).repeat(len(factors), 1, 1, 1)
    states = [x]
    for t in range(schedule.T, 0, -1):
        with torch.no_grad():
            eps_hat = predict(x, torch.full((len(x),), t))
        z = factor * torch.randn(12, 1, 8, 8).repeat(len(factors), 1, 1, 1)
        x = ancestral_step(x, t, eps_hat, schedule.alpha_bar, z).float()
        states.append(x)

# %%
# %%time
if check("q3"):
    times = list(range(200, -1, -8))
    picture = viz.play_images(
        torch.stack([states[schedule.T - t] for t in times]), {"t": times},
        "Three times the same twelve squares of noise. With z they become twelve digits, with "
        "a fifth of it a few figures again and again, and without it twelve times the same one.",
        cols=12, row_titles=[f"{f:g} z" for f in factors],
    )
    display(picture)

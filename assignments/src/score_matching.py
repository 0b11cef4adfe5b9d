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
# # Assignment 1. Score matching
#
# *Write a loss that learns a score, and use the score to take noise away.*
#
# This goes with [chapter 1](../../book/01-score-matching.ipynb), and everything it asks follows from that chapter.
# Four functions, 2 points each, and a written question, 2 points: 60 to 90 minutes.
#
# A function is right if it has the properties that its text states; there is more than one way to write it.
# Use torch and Python's standard library, and no other module of minidiff than the cells below import.
# No function changes its arguments.
# Before you hand the notebook in, restart it and run all of it from top to bottom: that is how it is marked.
# `check("q1")` tells which properties hold; the marks come from those and from others that it does not show.
# Cells that begin with `%%time` draw pictures, and are not marked.
#
# Throughout, a batch `clean` holds $x$ and `noisy` holds $\tilde x = x + \sigma \epsilon$, both of shape `(B, ...)`: points, images or anything else.
# `sigma` is `(B,)`: each sample has a noise level of its own.

# %%
import torch

from minidiff.check import assignment

torch.manual_seed(0)
check = assignment("score_matching", globals())

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: 2
# check_cell: false

# %% [markdown]
# ## Question 1. The score of the kernel (2 points)
#
# Given $x$, the noisy $\tilde x$ has the law $\mathcal{N}(x, \sigma^2 I)$.
# Write `kernel_score(noisy, clean, sigma)`, which returns the gradient of the logarithm of that law's density with respect to $\tilde x$, in the shape of `noisy`.
#
# It must hold for any shape `(B, ...)`, also where the batch is as large as another axis.

# %% [raw]
# # BEGIN SOLUTION

# %%
def kernel_score(noisy, clean, sigma):
    """Returns the gradient of log q(noisy | clean); noisy, clean (B, ...), sigma (B,)."""
    # BEGIN SOLUTION
    variance = sigma.view(-1, *[1] * (noisy.ndim - 1)) ** 2
    return (clean - noisy) / variance
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
def test_it_points_from_the_noisy_sample_to_the_clean_one(kernel_score):
    import torch
    clean = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    noisy = clean + torch.tensor([[0.3, -0.1], [-0.2, 0.4]], dtype=torch.float64)
    sigma = torch.tensor([0.7, 1.5], dtype=torch.float64)
    score = kernel_score(noisy, clean, sigma)
    assert score.shape == noisy.shape, "The answer should have the shape of noisy: a score is a vector at each sample."
    along = (score * (clean - noisy)).sum(1)
    assert (along > 0).all(), "The density rises towards the clean sample, and so must the score: look at its sign."
    rest = score - along[:, None] * (clean - noisy) / (clean - noisy).square().sum(1, keepdim=True)
    assert rest.abs().max() < 1e-9, "The kernel is round, so its score lies on the line from the noisy sample to the clean one. Is each sample divided by its own sigma, all coordinates alike?"

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_it_falls_as_the_noise_grows(kernel_score):
    import torch
    from minidiff.check import close
    clean = torch.zeros(3, 2, dtype=torch.float64)
    noisy = torch.tensor([[0.3, -0.1], [0.3, -0.1], [0.6, -0.2]], dtype=torch.float64)
    score = kernel_score(noisy, clean, torch.tensor([0.5, 1.0, 1.0], dtype=torch.float64))
    assert score.shape == noisy.shape and score[1].abs().min() > 0, "Away from the clean sample the density has a slope, in each coordinate."
    assert close(score[2], 2 * score[1]), "Twice as far, the slope of a Gaussian's logarithm is twice as steep."
    assert close(score[0], 4 * score[1]), "Half the sigma should make the score four times as large: the logarithm of the density holds a variance, not a standard deviation."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_the_gradient_of_the_log_density(kernel_score):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(101)
    for shape in ((4, 4), (3, 2, 5, 5)):
        clean = torch.randn(shape, generator=g, dtype=torch.float64)
        noisy = (clean + torch.randn(shape, generator=g, dtype=torch.float64)).requires_grad_()
        sigma = torch.rand(shape[0], generator=g, dtype=torch.float64) + 0.3
        total = 0
        for x, y, s in zip(clean, noisy, sigma):
            total = total + torch.distributions.Normal(x, s).log_prob(y).sum()
        (truth,) = torch.autograd.grad(total, noisy)
        score = kernel_score(noisy.detach(), clean, sigma)
        assert close(score, truth), "The answer differs from the gradient that autograd finds of the Gaussian's log density; each sample should meet its own sigma."

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
# ## Question 2. The denoising loss (2 points)
#
# Write `dsm_loss(score_fn, clean, sigma, eps)`.
# It makes the noisy samples from `clean` and the given `eps`, asks `score_fn(noisy, sigma)` about them, and compares the answer with the score of the kernel, as in the chapter's loss for many levels with $\lambda(\sigma) = \sigma^2$.
# It need not call `kernel_score`: if it does, an error there counts here too.
# It returns `(B,)`, the loss of each sample.
#
# The weight $\sigma^2$ gives all noise levels the same scale: a network that always answers 0 should lose as much at $\sigma = 0.01$ as at $\sigma = 10$.

# %% [raw]
# # BEGIN SOLUTION

# %%
def dsm_loss(score_fn, clean, sigma, eps):
    """Returns the weighted denoising loss, (B,); clean, eps (B, ...), sigma (B,)."""
    # BEGIN SOLUTION
    std = sigma.view(-1, *[1] * (clean.ndim - 1))
    error = std * score_fn(clean + std * eps, sigma) + eps
    return 0.5 * error.square().flatten(1).sum(1)
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
def test_the_network_is_asked_at_the_noisy_samples(dsm_loss):
    import torch
    from minidiff.check import close
    clean = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]], dtype=torch.float64)
    eps = torch.tensor([[0.4, 0.1], [-1.0, 0.3], [0.2, 0.2]], dtype=torch.float64)
    sigma = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    asked = []

    def score_fn(x, level):
        asked.append((x, level))
        return 0 * x

    loss = dsm_loss(score_fn, clean, sigma, eps)
    assert len(asked) == 1, "score_fn should be called once for the whole batch."
    distance = asked[0][0] - clean
    assert distance.abs().max() > 0, "The network should be asked at the noisy samples: at the clean ones there is no noise to find."
    assert close(distance[1], eps[1]) and close(distance[0], eps[0] / 2), "The noise of a sample should be as large as its own sigma says, and no larger."
    assert close(asked[0][1], sigma), "The network should be told the noise levels, or it could not tell a near sample from a far one."
    assert loss.shape == (3,), "There should be one loss for each sample, so that noise levels can be weighed and compared."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_every_noise_level_has_the_same_scale(dsm_loss):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(0)
    clean, eps = torch.randn(2, 2000, 3, generator=g, dtype=torch.float64)
    one = torch.ones(2000, dtype=torch.float64)
    knowing = dsm_loss(lambda x, level: (clean - x) / level[:, None] ** 2, clean, 0.3 * one, eps)
    assert knowing.abs().max() < 1e-9, "A network that knew the noise would lose nothing: is the sign of the noise right?"
    small = dsm_loss(lambda x, level: 0 * x, clean, 0.01 * one, eps)
    large = dsm_loss(lambda x, level: 0 * x, clean, 10 * one, eps)
    assert close(small, large), "A network that answers 0 should lose the same at every noise level: without the weight sigma^2 the small levels drown the others."
    assert 1.3 < small.mean() < 1.7, "Summed over 3 coordinates, and halved: a sample with more coordinates has more to lose."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_half_the_squared_distance(dsm_loss):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(102)
    for shape in ((4, 4), (3, 1, 4, 4)):
        clean, eps = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        sigma = torch.rand(shape[0], generator=g, dtype=torch.float64) + 0.3
        slope = -torch.rand((), generator=g, dtype=torch.float64)
        loss = dsm_loss(lambda x, level: slope * x, clean, sigma, eps)
        truth = []
        for x, e, s in zip(clean, eps, sigma):
            gap = slope * (x + s * e) - (-e / s)
            truth.append(s**2 * (gap * gap).sum() / 2)
        assert close(loss, torch.stack(truth)), "For a linear score the loss differs from the weighted squared distance to the score of the kernel."

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
# ## Question 3. What the score is good for (2 points)
#
# By Tweedie's formula the score of the noisy samples' law tells the mean of all clean samples that a noisy one may come from.
# Write `denoise(score_fn, noisy, sigma)`, which returns $\mathbb{E}[x \mid \tilde x]$ for each sample, where `score_fn(noisy, sigma)` is the score of the law of $\tilde x$.
#
# If the data are a single point, the answer is that point, whatever the noise.

# %% [raw]
# # BEGIN SOLUTION

# %%
def denoise(score_fn, noisy, sigma):
    """Returns E[clean | noisy], of the shape of noisy; noisy (B, ...), sigma (B,)."""
    # BEGIN SOLUTION
    variance = sigma.view(-1, *[1] * (noisy.ndim - 1)) ** 2
    return noisy + variance * score_fn(noisy, sigma)
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
def test_data_at_one_point_are_found(denoise):
    import torch
    from minidiff.check import close
    point = torch.tensor([2.0, -1.0], dtype=torch.float64)
    noisy = torch.tensor([[0.0, 0.0], [3.0, 1.0], [2.5, -4.0]], dtype=torch.float64)
    sigma = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    answer = denoise(lambda x, level: (point - x) / level[:, None] ** 2, noisy, sigma)
    assert answer.shape == noisy.shape, "A denoised sample has the shape of the noisy one."
    assert close(answer[1], point), "All data lie at one point, so that point is the mean: the score leads from the noisy sample to it, all the way, and neither half of it nor away."
    assert close(answer, point.expand(3, 2)), "At sigma = 1 the answer is right and elsewhere not: how far to go along the score is told by the variance of the noise."

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_without_a_slope_nothing_moves(denoise):
    import torch
    from minidiff.check import close
    noisy = torch.tensor([[0.3, -2.0], [1.0, 0.7]], dtype=torch.float64)
    answer = denoise(lambda x, level: 0 * x, noisy, torch.ones(2, dtype=torch.float64))
    assert close(answer, noisy), "Where the density is flat every direction is as good as its opposite, so the mean is the noisy sample itself."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_the_posterior_mean_of_two_points(denoise):
    import torch
    from minidiff.check import close
    g = torch.Generator().manual_seed(103)
    a, b = torch.randn(2, 4, generator=g, dtype=torch.float64)
    noisy = torch.randn(4, 4, generator=g, dtype=torch.float64)
    sigma = torch.rand(4, generator=g, dtype=torch.float64) + 0.4

    def mean(x, level):
        near = torch.stack([-(x - p).square().sum(1) / (2 * level**2) for p in (a, b)])
        w = near.softmax(0)[..., None]
        return w[0] * a + w[1] * b

    def score_fn(x, level):
        return (mean(x, level) - x) / level[:, None] ** 2

    answer = denoise(score_fn, noisy, sigma)
    assert close(answer, mean(noisy, sigma)), "For data at two points the answer differs from the mean that Bayes' rule gives; each sample should meet its own sigma."

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
# ## Question 4. Why the loss does not reach zero (2 points)
#
# Data come from $\mathcal{N}(m, c^2 I)$ in $d$ dimensions.
# No network, however large, can bring the expectation of your `dsm_loss` at one noise level, over fresh data and fresh noise, below a certain number.
# Derive it, on paper, from the chapter's theorem on the denoising loss, or from the score of the noisy data.
# Then write `loss_floor(c, sigma, d)`, which returns it as a number; `c` and `sigma` are standard deviations.

# %% [raw]
# # BEGIN SOLUTION

# %%
def loss_floor(c, sigma, d):
    """Returns the least mean of dsm_loss for data N(m, c^2 I) in d dimensions."""
    # BEGIN SOLUTION
    return d / 2 * c**2 / (c**2 + sigma**2)
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
def test_it_falls_from_hopeless_to_nothing(loss_floor):
    low, high = loss_floor(1.0, 1e-4, 2), loss_floor(1.0, 1e4, 2)
    assert 0 <= high < 1e-6, "At very large noise a noisy sample is nearly all noise, so a network can read the noise off it: the floor should be near 0."
    assert abs(low - 1) < 1e-6, "At very small noise nothing can be guessed, and the best answer loses what the answer 0 loses: half of the variance of eps, in each dimension. Is the weight sigma^2 of dsm_loss in it?"

# %%
""" # BEGIN TEST CONFIG
points: 0.5
""" # END TEST CONFIG
def test_it_knows_no_unit_of_length(loss_floor):
    one = loss_floor(1.0, 0.5, 2)
    assert one > 0, "For data that are not at one point the floor is above zero."
    assert abs(loss_floor(10.0, 5.0, 2) - one) < 1e-9, "Data and noise ten times as large are the same problem in another unit: only the ratio of the two can matter. Is the weight sigma^2 of dsm_loss in it?"
    assert abs(loss_floor(1.0, 0.5, 6) - 3 * one) < 1e-9, "The dimensions of this Gaussian are independent, so three times as many have three times the floor."

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_it_is_what_the_best_score_loses(loss_floor):
    import torch
    g = torch.Generator().manual_seed(104)
    for _ in range(3):
        c, sigma = (torch.rand(2, generator=g, dtype=torch.float64) + 0.5).tolist()
        # On a grid of (x, eps): the mean of (sigma s(x + sigma eps) + eps)^2 / 2 for the best
        # slope among many, with Gauss-Hermite weights, exact for squares.
        x, eps = torch.cartesian_prod(*[torch.tensor([-3.0**0.5, 0.0, 3.0**0.5], dtype=torch.float64)] * 2).T
        w = torch.cartesian_prod(*[torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=torch.float64)] * 2).prod(1)
        slopes = torch.linspace(-8, 0, 400001, dtype=torch.float64)[:, None]
        best = ((sigma * slopes * (c * x + sigma * eps) + eps) ** 2 * w).sum(1).min() / 2
        assert abs(loss_floor(c, sigma, 3) - 3 * best.item()) < 1e-6, "The answer is not what the best linear score loses, and for Gaussian data no other is better."

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
# A friend trains a network with your `dsm_loss` on two moons, $d = 2$, at the single level $\sigma = 0.1$.
# The loss levels off near $0.6$, where a network that always answers 0 loses $1$.
# Ten times as many steps change nothing, and the friend concludes that the network is too small.
#
# Is that so?
# Say in a few sentences what the number $0.6$ is made of, how one could find out whether the network is good, and whether the same number at $\sigma = 3$ would worry you.

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# The mean of the loss is the weighted distance to the true score plus a constant that no network can change (chapter 1, the theorem on the denoising loss).
# At a small level that constant is nearly all of it: from $\tilde x$ one can tell the noise across the thin direction of a moon, and not the noise along it, which alone leaves $\frac12$ of the $1$; for the exact score of these moons it is $0.59$.
# So a loss that stays is no sign of a small network.
# To judge the network, compare with the truth and not with 0: with the floor of question 4 or that of a mixture whose score is known, with the same loss of the exact score of the noisy data, or look at what `denoise` makes of noisy points.
# At $\sigma = 3$ the moons are small beside the noise, the floor is near 0 (for a Gaussian of the same size $c \approx 0.7$: about $0.05$), so $0.6$ would mean that the network has learnt almost nothing.
#
# **Rubric.** ½ point: the loss is distance plus a constant, and the constant is large here.
# ½ point: the conclusion "too small a network" does not follow.
# ½ point: a way to find out that compares with the floor or with a known score, or looks at what `denoise` makes of noisy points; "train longer" is none.
# ½ point: at $\sigma = 3$ the floor is near 0, so yes, worrying.

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION

# %% [markdown]
# ## Your code at work
#
# Once the first three questions are right, this trains a small network with your loss, at many noise levels at once, and lets your `denoise` clean up moons.
# Look at where the denoised points land at large noise, and at which ones land *between* the moons: a mean of two possible origins lies on neither.

# %%
# %%time
if check("q1") and check("q2") and check("q3"):
    from minidiff import viz
    from minidiff.data import two_moons
    from minidiff.nets import MLP
    from minidiff.train import fit

    data = two_moons(5000)
    levels = torch.tensor([0.1, 0.3, 1.0])

    def score_of(net):
        return lambda x, sigma: net(x, sigma.log()) / sigma[:, None]

    def loss(net, x):
        sigma = levels[torch.randint(3, (len(x),))]
        return dsm_loss(score_of(net), x, sigma, torch.randn_like(x))

    *_, end = fit(MLP(2, 64, 2), loss, lambda: data[torch.randint(5000, (256,))],
                  steps=1500, lr=0.01, ema=0.99)

# %%
# %%time
if check("q1") and check("q2") and check("q3"):
    frames = []
    for level in levels:
        sigma = level.expand(1000)
        noisy = data[:1000] + level * torch.randn(1000, 2)
        frames += [noisy, denoise(score_of(end.ema), noisy, sigma).detach()]
    picture = viz.play_points(
        torch.stack(frames), {"sigma": levels.tolist(), "shown": ["noisy", "denoised"]},
        "Noisy points and their denoised places. At small noise the moons come back; at "
        "large noise the points fall onto a curve between them.",
        limits=(-3, 3), background=data[:1000],
    )
    display(picture)

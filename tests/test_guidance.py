"""Guidance against the exact conditional of a mixture."""

import functools
import math

import pytest
import torch

from minidiff import ddim
from minidiff.gmm import GaussianMixture
from minidiff.guidance import cfg, classifier_guidance
from minidiff.sampling import last, sample
from minidiff.schedule import cosine_schedule, linear_schedule

F64 = torch.float64
S = cosine_schedule(1000)
MIXTURE = GaussianMixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=F64),
    torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.5, -1.0]], dtype=F64),
    torch.stack([v * torch.eye(2, dtype=F64) for v in (0.1, 0.05, 0.08)]),
)
# Component by component, from the densities: not through the score that guidance adds to.
PARTS = [
    GaussianMixture(torch.ones(1, dtype=F64), MIXTURE.means[k : k + 1], MIXTURE.covs[k : k + 1])
    for k in range(3)
]


def classifier(k, schedule=S):
    """Returns log p(component = k | x_t) of the exact mixture, by Bayes' rule on densities."""

    def log_prob(x, t):
        ab = schedule.alpha_bar[t[0]].item()
        logs = torch.stack([part.diffused(ab).log_prob(x) for part in PARTS])
        joint = logs + MIXTURE.weights.log()[:, None]
        return joint[k] - joint.logsumexp(0)

    return log_prob


@pytest.mark.equation("eq-guidance")
def test_with_an_exact_classifier_it_is_the_conditional_score():
    x = torch.randn(50, 2, dtype=F64)
    for t in (1, 100, 500, 999):
        times = torch.full((50,), t)
        got = classifier_guidance(MIXTURE.eps_fn(S), classifier(1), S)(x, times)
        assert (got - PARTS[1].eps_fn(S)(x, times)).abs().max() < 1e-9, t


@pytest.mark.equation("eq-guidance")
def test_a_guided_walk_samples_the_conditional_although_the_loop_has_no_gradients():
    torch.manual_seed(0)
    guided = classifier_guidance(MIXTURE.eps_fn(S), classifier(2), S)
    step = functools.partial(ddim.step, eta=1.0)
    walk = sample(guided, torch.randn(4000, 2, dtype=F64), S, S.grid(200), step)
    with torch.no_grad():
        x = last(walk)
    assert not x.requires_grad
    assert (x.mean(0) - MIXTURE.means[2]).abs().max() < 0.02
    assert (x.T.cov() - MIXTURE.covs[2]).abs().max() < 0.01
    # More than two moments: the radii of a round Gaussian are exponential in their squares.
    radius = (x - MIXTURE.means[2]).square().sum(1) / (2 * 0.08)
    at = torch.arange(1, 4001) / 4000
    assert ((1 - (-radius.sort().values).exp()) - at).abs().max() < 1.95 / math.sqrt(4000)


def test_the_weight_scales_the_gradient_alone():
    x, t = torch.randn(8, 2, dtype=F64), torch.full((8,), 300)
    eps = MIXTURE.eps_fn(S)
    none, one, three = (classifier_guidance(eps, classifier(0), S, w)(x, t) for w in (0, 1, 3))
    assert none.equal(eps(x, t))
    assert ((three - none) - 3 * (one - none)).abs().max() < 1e-12


def test_gradients_stay_inside():
    x = torch.randn(4, 2, dtype=F64, requires_grad=True)
    with torch.no_grad():
        out = classifier_guidance(MIXTURE.eps_fn(S), classifier(0), S)(x, torch.full((4,), 10))
    assert not out.requires_grad and x.grad is None


@pytest.mark.parametrize(
    ("log_prob", "w", "error", "words"),
    [
        (classifier(0), -1, ValueError, "w: expected a number >= 0, got -1"),
        (classifier(0), "1", TypeError, "w: expected a number"),
        (lambda x, t: x.sum(), 1.0, ValueError, r"log_prob: expected shape \(5,\)"),
        (lambda x, t: torch.zeros(5), 1.0, ValueError, "differentiable in x_t"),
    ],
)
def test_bad_input(log_prob, w, error, words):
    linear = linear_schedule(100)
    with pytest.raises(error, match=words):
        guided = classifier_guidance(MIXTURE.eps_fn(linear), log_prob, linear, w)
        guided(torch.zeros(5, 2, dtype=F64), torch.ones(5, dtype=torch.int64))


@pytest.mark.equation("eq-cfg")
@pytest.mark.parametrize("w", [-1, 0, 0.5, 3])
def test_without_a_classifier_it_is_guidance_with_the_exact_one(w):
    # The classifier is made of densities and differentiated: no noise prediction is subtracted.
    x = torch.randn(50, 2, dtype=F64)
    for t in (1, 100, 500, 999):
        times = torch.full((50,), t)
        got = cfg(PARTS[1].eps_fn(S), MIXTURE.eps_fn(S), w)(x, times)
        right = classifier_guidance(MIXTURE.eps_fn(S), classifier(1), S, 1 + w)(x, times)
        assert (got - right).abs().max() < 1e-9 * (1 + right.abs().max()), t


def test_off_is_the_conditional_to_the_bit():
    x, t = torch.randn(8, 2, dtype=F64), torch.full((8,), 300)
    cond, uncond = PARTS[0].eps_fn(S), MIXTURE.eps_fn(S)
    assert cfg(cond, uncond, 0)(x, t).equal(cond(x, t))
    assert cfg(cond, cond, 7.5)(x, t).equal(cond(x, t))


@pytest.mark.parametrize(
    ("uncond", "w", "error", "words"),
    [
        (torch.zeros(5, 2), -1.5, ValueError, "w: expected a number >= -1, got -1.5"),
        (torch.zeros(5, 2), math.nan, ValueError, "w: expected a number >= -1, got nan"),
        (torch.zeros(5, 2), "1", TypeError, "w: expected a number"),
        (torch.zeros(5, 1), 1.0, ValueError, r"uncond\(x_t, t\): expected the shape of cond"),
        (torch.zeros(5, 2, dtype=F64), 1.0, TypeError, r"uncond\(x_t, t\): expected the dtype"),
    ],
)
def test_bad_input_without_a_classifier(uncond, w, error, words):
    with pytest.raises(error, match=words):
        cfg(lambda x, t: x, lambda x, t: uncond, w)(torch.zeros(5, 2), torch.ones(5))

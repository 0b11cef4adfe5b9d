"""Twins of chapter 9: a finite world of pictures and captions, and a round trip."""

import itertools

import numpy as np
import torch
from sides import same

from derivations import twin
from minidiff import sampling
from minidiff.gmm import GaussianMixture
from minidiff.schedule import Schedule

DEFINITIONS = {
    r"\ell_i = - \tfrac12 \log \frac{e^{a_{ii}}}{\sum_j e^{a_{ij}}}"
    r" - \tfrac12 \log \frac{e^{a_{ii}}}{\sum_j e^{a_{ji}}}": "a loss, chosen",
    r"x_{t_0} = \mathrm{up}_{\hat\epsilon}(x_0)": "introduces the latent",
    r"x_0' = \mathrm{down}_{\hat\epsilon'}(x_{t_0})": "introduces the edit",
    r"\ell_{\text{global}} = 1 - \langle E(x_0'), E(c_{\text{target}}) \rangle": "a loss, chosen",
    r"u = \frac{E(c_{\text{target}}) - E(c_{\text{source}})}"
    r"{\| E(c_{\text{target}}) - E(c_{\text{source}}) \|}": "introduces u",
    r"\cos = \frac{\langle E(x_0') - E(x_0), u \rangle}{\| E(x_0') - E(x_0) \|}": (
        "introduces the cosine"
    ),
    r"\ell_{\text{dir}} = - \log \frac{1 + \cos}{2}": "a loss, chosen",
    r"\ell = 3 \ell_{\text{dir}} + \lambda_1 \tfrac1d \| x_0' - x_0 \|_1"
    r" + \lambda_2 (1 - \cos(f(x_0'), f(x_0)))": "a loss, chosen",
    r"W + B A": "introduces the update of low rank",
    r"B \in \mathbb{R}^{\text{out} \times 4}": "the shape of a matrix",
    r"A \in \mathbb{R}^{4 \times \text{in}}": "the shape of a matrix",
    r"\hat\epsilon_{\text{mix}} = \sum_i w_i \hat\epsilon_i": "introduces the mixture of edits",
    r"\sum_i w_i = 1": "a condition on the weights",
}

RNG = np.random.default_rng(9)
JOINT = RNG.dirichlet(np.ones(12)).reshape(3, 4)  # p(x, c) of 3 pictures and 4 captions
CAPTION = JOINT.sum(0)
GIVEN = JOINT / JOINT.sum(1, keepdims=True)  # p(c | x), a row for each x


@twin(
    r"P(\text{place } i \mid x, c_1, \dots, c_n) = \frac{p(c_i \mid x) \prod_{k \ne i} p(c_k)}"
    r"{\sum_j p(c_j \mid x) \prod_{k \ne j} p(c_k)}",
    r"\frac{p(c_i \mid x) \prod_{k \ne i} p(c_k)}{\sum_j p(c_j \mid x) \prod_{k \ne j} p(c_k)}"
    r" = \frac{p(c_i \mid x) / p(c_i)}{\sum_j p(c_j \mid x) / p(c_j)}",
)
def which_caption_is_the_true_one():
    """Left: the whole game, every outcome with its probability; then the share of each place."""
    n = 3
    outcomes = {}
    for place in range(n):
        for captions in itertools.product(range(4), repeat=n):
            for x in range(3):
                laws = [GIVEN[x] if k == place else CAPTION for k in range(n)]
                chance = np.prod([laws[k][captions[k]] for k in range(n)])
                chance *= JOINT[x].sum() / n
                outcomes.setdefault((x, captions), np.zeros(n))[place] += chance
    for (x, captions), chances in outcomes.items():
        top = [
            GIVEN[x][captions[i]] * np.prod([CAPTION[captions[k]] for k in range(n) if k != i])
            for i in range(n)
        ]
        ratios = [GIVEN[x][c] / CAPTION[c] for c in captions]
        same(chances / chances.sum(), np.array(top) / sum(top), np.array(ratios) / sum(ratios))


@twin(r"a(x, c) = \log \frac{p(c \mid x)}{p(c)} + \text{a function of } x \text{ alone}")
def what_the_contrast_learns():
    """The expected first half of the loss, over all games of three, is least there."""
    n = 3
    games = [
        (x, c, JOINT[x, c[0]] * CAPTION[c[1]] * CAPTION[c[2]])
        for x in range(3)
        for c in itertools.product(range(4), repeat=n)
    ]

    def loss(a):
        return -sum(w * (a[x, c[0]] - np.log(np.exp(a[x, list(c)]).sum())) for x, c, w in games)

    best = np.log(GIVEN / CAPTION) + RNG.normal(size=(3, 1))
    least = loss(best)
    for _ in range(20):
        way = RNG.normal(size=(3, 4))
        way -= way.mean(1, keepdims=True)  # of x alone it may move
        assert loss(best + 0.1 * way) > least
        down, up = loss(best - 1e-4 * way), loss(best + 1e-4 * way)
        assert abs(up - down) / 2e-4 < 1e-7
    same(loss(best + RNG.normal(size=(3, 1))), least)


@twin(
    r"\| \mathrm{down}(\mathrm{up}(x_0)) - x_0 \| = n \cdot O(1/n^2)",
    r"n \cdot O(1/n^2) = O(1/n)",
)
def round_trip():
    """The package's walks on a mixture, evenly spaced: twice the steps, half the error."""
    levels = np.linspace(0, 2, 1601)
    S = Schedule(torch.tensor(1 / (1 + levels**2)))
    data = GaussianMixture(
        torch.tensor([0.4, 0.6]).double(),
        torch.tensor([[-0.8], [0.9]]).double(),
        torch.tensor([[[0.4]], [[0.3]]]).double(),
    )
    eps_fn = data.eps_fn(S)
    x = torch.tensor([[-1.2], [0.1], [1.4]]).double()

    def error(n):
        up = sampling.last(sampling.invert(eps_fn, x, S, S.grid(n)))
        return (sampling.last(sampling.sample(eps_fn, up, S, S.grid(n))) - x).norm()

    errors = [float(error(n)) for n in (100, 200, 400)]
    for coarse, fine in itertools.pairwise(errors):
        assert 1.9 < coarse / fine < 2.1

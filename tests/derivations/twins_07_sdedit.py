"""Twins of chapter 7: Gaussian data on the line, drawn and noised step by step."""

import numpy as np
import torch
from sides import LINE, conditioned, hermite, integral, normal, same

from derivations import twin
from minidiff import sampling
from minidiff.gmm import GaussianMixture
from minidiff.schedule import cosine_schedule

DEFINITIONS = {
    r"x_{t_0} = \sqrt{\bar\alpha_{t_0}} g + \sqrt{1 - \bar\alpha_{t_0}} z": (
        "the start of the method, chosen"
    ),
    r"x_{t_0} \to \dots": "the walk of the method, described",
    r"\dots \to x_0 \text{ by the reverse walk.}": "the walk of the method, described",
    r"\kappa = \frac{\bar\alpha c^2}{\bar\alpha c^2 + 1 - \bar\alpha}": "introduces kappa",
    r"x_s \leftarrow \Omega x_s + (1 - \Omega)"
    r" (\sqrt{\bar\alpha_s} g + \sqrt{1 - \bar\alpha_s} z)": "a step of the method, chosen",
}

RNG = np.random.default_rng(7)
M, C = 0.5, 0.8


def kept(bar, c=C):
    return bar * c**2 / (bar * c**2 + 1 - bar)


@twin(
    r"\mathrm{SNR}_t(f) = \frac{\bar\alpha_t}{1 - \bar\alpha_t} P(f)",
    r"t(f) = \min \{t : \bar\alpha_t < \frac{1}{1 + P(f)}\}",
)
def which_frequency_drowns():
    """Signals of known spectrum are noised and transformed: their powers are averages."""
    n, d = 20_000, 16
    filters = np.fft.ifft(1 / (1 + np.minimum(np.arange(d), d - np.arange(d)))).real
    x0 = np.fft.ifft(np.fft.fft(RNG.normal(size=(n, d))) * np.fft.fft(filters)).real * 2 + 1
    noise = RNG.normal(size=(n, d))
    power = (np.abs(np.fft.fft(x0 - 1, norm="ortho")) ** 2).mean(0)
    bar = 1 - np.arange(1, 40) / 40
    drowned = []
    for a in bar:
        signal = np.abs(np.fft.fft(np.sqrt(a) * (x0 - 1), norm="ortho")) ** 2
        other = np.abs(np.fft.fft(np.sqrt(1 - a) * noise, norm="ortho")) ** 2
        ratio = signal.mean(0) / other.mean(0)
        assert np.allclose(ratio, a / (1 - a) * power, rtol=0.06)  # 4 standard errors of a ratio
        drowned.append(signal.mean(0) < (1 - a))
    first = np.argmax(np.array(drowned), 0)
    page = [min(t for t in range(len(bar)) if bar[t] < 1 / (1 + p)) for p in power]
    assert first.tolist() == page and len(set(page)) > 4


@twin(
    r"\frac{\kappa^2}{\bar\alpha} (1 - \bar\alpha) + c^2 (1 - \kappa)"
    r" = c^2 \kappa (1 - \kappa) + c^2 (1 - \kappa)",
    r"c^2 \kappa (1 - \kappa) + c^2 (1 - \kappa) = c^2 (1 - \kappa^2)",
    r"\mathrm{SDEdit}(g; t_0) \sim \mathcal{N}(m + \kappa (g - m), c^2 (1 - \kappa^2) I)",
)
def the_law_of_an_edit():
    """The guide is noised, and the posterior is drawn from by Bayes' rule, all on the line."""
    g = -0.7
    for bar in (0.8, 0.3):
        start = normal(LINE, np.sqrt(bar) * g, 1 - bar)
        joint = normal(LINE, M, C**2)[:, None] * normal(
            LINE, np.sqrt(bar) * LINE[:, None], 1 - bar
        )
        posterior = joint / np.maximum(integral(joint, 0), 1e-290)
        law = integral(posterior * start)
        k = kept(bar)
        var = C**2 * (1 - k**2)
        same(law, normal(LINE, M + k * (g - M), var), rel=1e-7)
        left = k**2 / bar * (1 - bar) + C**2 * (1 - k)
        same(left, C**2 * k * (1 - k) + C**2 * (1 - k), var)


@twin(r"\kappa(f) = \frac{\mathrm{SNR}_{t_0}(f)}{1 + \mathrm{SNR}_{t_0}(f)}")
def wiener_filter():
    """Per frequency: the factor by which the best linear guess of x_0 keeps what was there."""
    for power, bar in [(0.2, 0.7), (3.0, 0.4)]:
        gain = conditioned(
            (0, 0), ((power, np.sqrt(bar) * power), (0, bar * power + 1 - bar)), 1.0
        )
        snr = bar / (1 - bar) * power
        same(gain[0] * np.sqrt(bar), snr / (1 + snr))


@twin(r"m + \sqrt{\kappa} (g - m) , \text{with variance } c^2 (1 - \kappa)")
def the_deterministic_walk():
    """The package's own walk, of many steps: it comes as near as its first order lets it."""
    g, (nodes, weights) = -0.7, hermite(3)
    S = cosine_schedule(1000)
    one = torch.ones(1, dtype=torch.double)
    data = GaussianMixture(one, M * one[:, None], C**2 * one[:, None, None])
    for t0 in (300, 700):
        bar = float(S.alpha_bar[t0])
        noised = torch.tensor(np.sqrt(bar) * g + np.sqrt(1 - bar) * nodes)[:, None]
        walks = [sampling.sample(data.eps_fn(S), noised, S, S.grid(n, t0)) for n in (t0, t0 // 2)]
        fine, coarse = (sampling.last(walk).numpy()[:, 0] for walk in walks)
        out = 2 * fine - coarse  # the error of first order cancels
        k, mean = kept(bar), weights @ out
        same(mean, M + np.sqrt(k) * (g - M), rel=1e-4)
        same(weights @ (out - mean) ** 2, C**2 * (1 - k), rel=1e-4)


@twin(
    r"\mathbb{E} \|x_0 - g\|^2 = (1 - \kappa)^2 \|g - m\|^2 + d c^2 (1 - \kappa^2)",
    r"W_2^2 = \kappa^2 \|g - m\|^2 + d c^2 (1 - \sqrt{1 - \kappa^2})^2",
)
def the_bargain():
    """Three coordinates: moments of the edit on the line, and quantiles matched node by node."""
    guide = np.array([-0.7, 0.1, 1.9])
    nodes, weights = hermite(9)
    for bar in (0.8, 0.3):
        k = kept(bar)
        away = moved = 0.0
        for g in guide:
            edit = normal(LINE, M + k * (g - M), C**2 * (1 - k**2))
            away += integral(edit * (LINE - g) ** 2)
            mean = integral(edit * LINE)
            spread = np.sqrt(integral(edit * (LINE - mean) ** 2))
            moved += weights @ (mean + spread * nodes - (M + C * nodes)) ** 2
        off = ((guide - M) ** 2).sum()
        same(away, (1 - k) ** 2 * off + 3 * C**2 * (1 - k**2))
        same(moved, k**2 * off + 3 * C**2 * (1 - np.sqrt(1 - k**2)) ** 2)


@twin(
    r"\mathrm{SDEdit}^K(g; t_0) \sim"
    r" \mathcal{N}(m + \kappa^K (g - m), c^2 (1 - \kappa^{2K}) I)"
)
def rounds():
    """Each round noises what the last returned, and draws from the posterior by Bayes' rule."""
    bar, g = 0.6, 1.9
    forward = normal(LINE[None, :], np.sqrt(bar) * LINE[:, None], 1 - bar)  # x_0, x_t
    joint = normal(LINE, M, C**2)[:, None] * forward
    back = joint / np.maximum(integral(joint, 0), 1e-290)
    noised = normal(LINE, np.sqrt(bar) * g, 1 - bar)
    for K in (1, 2, 3):
        law = integral(back * noised)
        k = kept(bar)
        same(law, normal(LINE, M + k**K * (g - M), C**2 * (1 - k ** (2 * K))), rel=1e-7)
        noised = integral(forward.T * law)

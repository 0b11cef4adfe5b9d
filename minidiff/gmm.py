"""Gaussian mixtures: data whose density, score and noise prediction are known exactly.

Diffusing a mixture gives a mixture again, so what a network has to learn from samples is here a
formula. It is the oracle of the book: with it, the error of a sampler is seen apart from the
error of a network.
"""

import math

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.forward import EpsFn
from minidiff.schedule import Schedule
from minidiff.score_matching import ScoreFn


class GaussianMixture:
    """The law with density sum_k w_k N(x; mu_k, C_k), for any K and D, in float64.

    Zero covariances are allowed: K points of equal weight are then a finite data set, and
    ``eps_fn`` is the exact minimiser of the training loss over it (eq-finite-data).

    Attributes:
        weights: (K,) positive, summing to 1.
        means: (K, D).
        covs: (K, D, D) symmetric, positive semi-definite.

    Raises:
        TypeError: An argument is not a floating-point tensor.
        ValueError: Shapes do not agree, a weight is not positive, the weights do not sum to 1,
            or a covariance is not symmetric positive semi-definite.
    """

    def __init__(self, weights: Tensor, means: Tensor, covs: Tensor) -> None:
        for name, value in (("weights", weights), ("means", means), ("covs", covs)):
            check.floating(name, value)
        if weights.ndim != 1 or means.ndim != 2 or len(weights) != len(means):
            raise ValueError(
                "means: expected shape (K, D) with K as in weights (K,), "
                f"got {tuple(means.shape)} and weights {tuple(weights.shape)}"
            )
        k, d = means.shape
        if k == 0 or d == 0:
            raise ValueError(f"means: expected at least one of each, got shape {(k, d)}")
        if covs.shape != (k, d, d):
            raise ValueError(f"covs: expected shape {(k, d, d)}, got {tuple(covs.shape)}")
        self.weights, self.means, self.covs = (
            a.detach().to("cpu", torch.float64) for a in (weights, means, covs)
        )
        for name in ("weights", "means", "covs"):
            if not getattr(self, name).isfinite().all():
                raise ValueError(f"{name}: expected finite entries, got NaN or infinity")
        total = self.weights.sum().item()
        if not (self.weights > 0).all() or abs(total - 1) > 1e-6:
            raise ValueError(f"weights: expected positive entries summing to 1, got sum {total}")
        # Rounding leaves a little asymmetry, and zero eigenvalues a little below zero.
        slack = 1e-9 * self.covs.abs().amax((1, 2))
        skew = (self.covs - self.covs.mT).abs().amax((1, 2))
        self._var, self._axes = torch.linalg.eigh(self.covs)  # (K, D) and (K, D, D)
        if (skew > slack).any() or (self._var[:, 0] < -slack).any():
            raise ValueError(
                "covs: expected symmetric positive semi-definite ones, got asymmetry up to "
                f"{skew.max().item():g} and eigenvalues down to {self._var.min().item():g}"
            )
        self._var = self._var.clamp(min=0)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws n points.

        Args:
            n: How many, >= 1.
            generator: Where the randomness comes from; torch's global state by default.

        Returns:
            (n, D) float64.

        Raises:
            TypeError: ``n`` is not an int.
            ValueError: ``n < 1``.
        """
        check.integer("n", n, 1)
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        return self.means[k] + torch.einsum("nde,ne->nd", self._axes[k], self._var[k].sqrt() * z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Returns log p(x) (B,), taken in log space: finite far from the modes.

        Far means as far as the square of the distance is finite in the dtype of x (B, D).

        Raises:
            TypeError: ``x`` is not floating point.
            ValueError: ``x`` is not (B, D), or a covariance is singular: there is no density.
        """
        log_joint, _ = self._terms(x, *self._clean(x))
        return log_joint.logsumexp(1)

    def score(self, x: Tensor) -> Tensor:
        """Returns grad log p(x) (B, D): sum_k r_k(x) C_k^-1 (mu_k - x). (eq-gmm-score)

        The responsibilities r_k are the posterior probabilities of the components.
        Errors as ``log_prob``.
        """
        return self._score(x, *self._clean(x))

    def diffused(self, alpha_bar: float) -> "GaussianMixture":
        """Returns the law of x_t: weights w_k, means sqrt(ab) mu_k, covariances ab C_k + (1-ab) I.

        Args:
            alpha_bar: How much of the data's variance is left, in [0, 1].

        Raises:
            TypeError: ``alpha_bar`` is not a number.
            ValueError: ``alpha_bar`` leaves [0, 1].

        Equation: eq-gmm-diffused.
        """
        check.number("alpha_bar", alpha_bar, 0, 1)
        eye = torch.eye(self.means.shape[1], dtype=torch.float64)
        return GaussianMixture(
            self.weights,
            math.sqrt(alpha_bar) * self.means,
            alpha_bar * self.covs + (1 - alpha_bar) * eye,
        )

    def noised(self, sigma: float) -> "GaussianMixture":
        """Returns the law of x + sigma eps: weights w_k, means mu_k, covariances C_k + sigma^2 I.

        Args:
            sigma: The standard deviation of the noise, >= 0.

        Raises:
            TypeError: ``sigma`` is not a number.
            ValueError: ``sigma`` is negative or not finite.

        Equation: eq-gmm-noised.
        """
        check.number("sigma", sigma, 0)
        eye = torch.eye(self.means.shape[1], dtype=torch.float64)
        return GaussianMixture(self.weights, self.means, self.covs + sigma**2 * eye)

    def eps_fn(self, schedule: Schedule) -> EpsFn:
        """Returns the exact noise prediction E[eps | x_t] = -sqrt(1 - ab_t) grad log q_t(x_t).

        It is what a perfect network would answer (eq-gmm-eps). Every sample of a batch may have
        its own t. At t = 0 it needs covariances that are not singular.

        Returns:
            A function (x_t (B, D), t (B,) int64) -> eps (B, D). It raises TypeError where ``t``
            is not int64 of shape (B,), ValueError where an entry leaves 0..T, ``x_t`` is not
            (B, D), or a covariance is singular at t = 0.
        """

        def predict(x_t: Tensor, t: Tensor) -> Tensor:
            check.batch("x_t", x_t)
            check.times("t", t, x_t, 0, schedule.T)
            alpha_bar = schedule.alpha_bar.to(x_t.device)[t]
            score = self._score(x_t, alpha_bar.sqrt(), 1 - alpha_bar)
            return -(1 - alpha_bar).sqrt().to(x_t).unsqueeze(1) * score

        return predict

    def score_fn(self) -> ScoreFn:
        """Returns the exact score of the noised law, grad log q_sigma (eq-gmm-noised).

        It is what a perfect noise-conditional network would answer: variance-exploding, of
        x + sigma eps, where ``eps_fn`` is variance-preserving. Every sample of a batch may have
        its own sigma.

        Returns:
            A function (x (B, D), sigma (B,) > 0) -> score (B, D). It raises TypeError where
            ``sigma`` has not the dtype of ``x``, ValueError where a shape is off or an entry of
            ``sigma`` is not positive and finite.
        """

        def score(x: Tensor, sigma: Tensor) -> Tensor:
            check.batch("x", x)
            check.levels("sigma", sigma, x)
            var = sigma.double().square()
            return self._score(x, torch.ones_like(var), var)

        return score

    def posterior(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Returns the mean and the covariance of clean data x_0 given x_0 + sigma eps = x.

        Component by component Bayes' rule is that of two Gaussians: mean mu_k + G_k (x - mu_k)
        and covariance sigma^2 G_k with G_k = C_k (C_k + sigma^2 I)^-1; the responsibilities at x
        weigh them (eq-gmm-posterior). The same two follow from the score of the noised law by
        Tweedie's formulas (eq-tweedie, eq-tweedie-cov).
        For a variance-preserving x_t ask at x_t / sqrt(ab_t), sigma = sqrt((1 - ab_t) / ab_t).

        Args:
            x: (B, D) noised data.
            sigma: The standard deviation of the noise, > 0.

        Returns:
            The means (B, D) and the covariances (B, D, D).

        Raises:
            TypeError: ``x`` is not floating point, or ``sigma`` not a number.
            ValueError: ``x`` is not (B, D), or ``sigma`` is not positive and finite.
        """
        check.positive("sigma", sigma)
        one, _ = self._clean(x)
        log_joint, _ = self._terms(x, one, torch.full_like(one, sigma**2))
        r = log_joint.softmax(1)
        # Not by Tweedie's formulas: at a large sigma they are differences of large numbers.
        gain, axes, means = self._var / (self._var + sigma**2), self._axes, self.means.to(x)
        g = torch.einsum("kde,ke,kfe->kdf", axes, gain, axes).to(x)
        part = means + torch.einsum("kde,bke->bkd", g, x.unsqueeze(1) - means)
        mean = (r.unsqueeze(-1) * part).sum(1)
        within = sigma**2 * torch.einsum("bk,kde->bde", r, g)
        gap = part - mean.unsqueeze(1)
        return mean, within + torch.einsum("bk,bkd,bke->bde", r, gap, gap)

    @staticmethod
    def _clean(x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scale 1 and added variance 0."""
        check.floating("x", x)
        one = torch.ones(1, dtype=torch.float64, device=x.device)
        return one, torch.zeros_like(one)

    def _score(self, x: Tensor, scale: Tensor, added: Tensor) -> Tensor:
        log_joint, pull = self._terms(x, scale, added)
        return (log_joint.softmax(1).unsqueeze(-1) * pull).sum(1)

    def _terms(self, x: Tensor, scale: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
        """Looks at the law of scale x_0 + sqrt(added) eps; scale and added are (B,) or (1,).

        Returns log w_k N_k(x) (B, K) and C_k^-1 (mu_k - x) (B, K, D) of that law.
        """
        if x.ndim != 2 or x.shape[1] != self.means.shape[1]:
            raise ValueError(
                f"x: expected shape (B, {self.means.shape[1]}), got {check.describe(x)}"
            )
        scale, added = scale[:, None, None], added[:, None, None]
        var = scale**2 * self._var.to(x.device) + added  # (B, K, D), taken in float64
        if not (var > 0).all():
            raise ValueError("covs: expected positive definite ones at t = 0, got a singular one")
        var, axes = var.to(x), self._axes.to(x)
        delta = scale.to(x) * self.means.to(x) - x.unsqueeze(1)  # (B, K, D)
        along = torch.einsum("kde,bkd->bke", axes, delta)
        log_joint = self.weights.log().to(x) - 0.5 * (
            along.square() / var + (2 * math.pi * var).log()
        ).sum(-1)
        return log_joint, torch.einsum("kde,bke->bkd", axes, along / var)

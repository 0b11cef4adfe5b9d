"""How far samples are from data: distances between point clouds, and between images.

They are computed in float64. The three distances between clouds look at different things: the
Fréchet distance sees means and covariances and nothing else; the marginal energy distance sees
the law of every pixel, but not how pixels go together; the energy distance sees everything in
principle, and in many dimensions little of it, since there all distances are nearly equal.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minidiff import _validate as check


def pca(x: Tensor, k: int) -> Callable[[Tensor], Tensor]:
    """Returns the projection onto the first k principal components of ``x``: (y - mean) V_k.

    The columns of V_k are the eigenvectors of the covariance of ``x`` with the k largest
    eigenvalues. Their signs are arbitrary, and no distance depends on them.

    Args:
        x: (n, ...) floating point, flattened to (n, d).
        k: 1..min(n, d).

    Returns:
        A function (m, ...) -> (m, k) float64, for data of the shape of ``x``.

    Raises:
        TypeError: ``x`` is not floating point, or ``k`` is not an int.
        ValueError: ``x`` has no sample axis, or a number that is not finite, or ``k`` is out of
            range; the projection raises it for such data, and for data of another size.
    """
    flat = _flat("x", x)
    check.integer("k", k, 1, min(flat.shape))
    mean = flat.mean(0)
    components: Tensor = torch.linalg.svd(flat - mean, full_matrices=False).Vh[:k].T

    def project(y: Tensor) -> Tensor:
        y = _flat("y", y)
        if y.shape[1] != len(mean):
            raise ValueError(f"y: expected {len(mean)} numbers a sample, got {y.shape[1]}")
        return (y - mean.to(y)) @ components.to(y)

    return project


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Returns |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2). (eq-frechet)

    It is the squared Wasserstein-2 distance between the Gaussians with the means m and the
    covariances C of the two clouds; what is not Gaussian about them goes unseen. With n samples
    it is biased upwards by about a constant over n: compare equal n only.

    Args:
        a: (n, ...) floating point, n >= 2, flattened to (n, d): pixels or features.
        b: (m, ...), m >= 2, of the same d.

    Returns:
        A distance >= 0 (up to rounding), in the square of the data's unit.

    Raises:
        TypeError: ``a`` or ``b`` is not floating point.
        ValueError: Fewer than two samples, a number is not finite, or the dimensions differ.

    Source: Dowson & Landau 1982; Heusel et al. 2017 for its use.
    """
    a, b = _pair(a, b)
    cov_a, cov_b = _covariance(a), _covariance(b)
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    # The product below is symmetric and has the eigenvalues of C_a C_b, which is not.
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    return float(shift + cov_a.trace() + cov_b.trace() - 2 * cross)


def energy_distance(a: Tensor, b: Tensor) -> float:
    """Returns the unbiased estimate of 2 E|X - Y| - E|X - X'| - E|Y - Y'|.

    The means over X, X' and Y, Y' leave out the pairs of a sample with itself, so the estimate is
    zero on average where the laws are equal, and slightly negative about half of the time.

    Args:
        a: (n, ...) floating point, n >= 2, flattened to (n, d).
        b: (m, ...), m >= 2, of the same d.

    Returns:
        A distance in the data's unit (it is not the square root that some texts take).

    Raises:
        TypeError: ``a`` or ``b`` is not floating point.
        ValueError: Fewer than two samples, a number is not finite, or the dimensions differ.

    Source: Székely & Rizzo 2013.
    """
    a, b = _pair(a, b)
    between = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").mean()
    within_a = torch.nn.functional.pdist(a).mean()
    within_b = torch.nn.functional.pdist(b).mean()
    return float(2 * between - within_a - within_b)


def marginal_energy_distance(a: Tensor, b: Tensor) -> float:
    """Returns the energy distances of all coordinates, in standard deviations. (eq-energy)

    The sum over coordinates of 2 E|X - Y| - E|X - X'| - E|Y - Y'|, without bias, over the sum of
    the standard deviations of ``b``. For one coordinate the numerator is twice the integral of
    (F - G)^2, of the two distribution functions: it sees every histogram, however many
    coordinates there are, and no dependence between them.

    Args:
        a: (n, ...) floating point, n >= 2, flattened to (n, d): samples.
        b: (m, ...), m >= 2, of the same d: the data, not all equal.

    Returns:
        A distance without unit, slightly negative about half of the time for equal laws.

    Raises:
        TypeError: ``a`` or ``b`` is not floating point.
        ValueError: Fewer than two samples, a number is not finite, the dimensions differ, or
            all samples of ``b`` are equal.

    Source: Székely & Rizzo 2013.
    """
    a, b = _pair(a, b)
    if (b == b[0]).all():
        raise ValueError("b: expected samples that differ, got one repeated")
    n, m = len(a), len(b)
    in_a, in_b = _pair_sums(a), _pair_sums(b)
    across = _pair_sums(torch.cat([a, b])) - in_a - in_b
    each = across / (n * m) - in_a / (n * (n - 1)) - in_b / (m * (m - 1))
    return float(2 * each.sum() / b.std(0).sum())


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Returns the peak signal-to-noise ratio of each image, 10 log10(4 / mse).

    4 is the square of the range of images in [-1, 1], mse the mean over an image's pixels of
    (a - b)^2.

    Args:
        a: (B, ...) images in [-1, 1].
        b: The same shape.

    Returns:
        (B,) float64, in dB; inf where the images are equal.

    Raises:
        TypeError: ``a`` or ``b`` is not floating point.
        ValueError: The shapes differ, or there is no axis beside the batch's.
    """
    check.batch("a", a)
    check.like("b", b, "a", a)
    mse = (a.double() - b.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / mse)


def _flat(name: str, x: Tensor) -> Tensor:
    check.batch(name, x)
    if not x.isfinite().all():
        raise ValueError(f"{name}: expected finite numbers, got some that are not")
    return x.detach().flatten(1).double()


def _pair_sums(x: Tensor) -> Tensor:
    """Sums |x_i - x_j| over all pairs i < j, coordinate by coordinate."""
    # Sorted, the i-th of n numbers is the larger one of i pairs and the smaller one of n - 1 - i.
    n = len(x)
    signs = 2 * torch.arange(n, device=x.device, dtype=x.dtype) - (n - 1)
    return (signs[:, None] * x.sort(dim=0).values).sum(0)


def _covariance(x: Tensor) -> Tensor:
    x = x - x.mean(0)
    return x.T @ x / (len(x) - 1)


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _flat("a", a), _flat("b", b)
    if a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            "a, b: expected at least two samples each, of equal size, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    return a, b

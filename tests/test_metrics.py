"""Distances: closed forms, and what each of the two cannot see."""

import math

import pytest
import torch

from minidiff.data import digits
from minidiff.metrics import energy_distance, frechet_distance, marginal_energy_distance, pca, psnr


def cloud(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(x):
    """The cloud moved so that its mean is 0 and its covariance I, to rounding."""
    x = x - x.mean(0)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(x.T.cov()), x.T, upper=False).T


def test_pca_finds_the_axes_of_an_ellipsoid():
    q = torch.linalg.qr(cloud(5, 5)).Q
    spread = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
    x = whitened(cloud(50, 5, seed=1)) * spread @ q.T + 7
    y = pca(x, 3)(x)
    assert y.shape == (50, 3)
    assert torch.allclose(y.mean(0), torch.zeros(3, dtype=y.dtype), atol=1e-12)
    assert torch.allclose(y.T.cov(), torch.diag(spread[:3] ** 2), atol=1e-10)
    assert torch.allclose(y.abs(), ((x - 7) @ q[:, :3]).abs(), atol=1e-10)


def test_pca_keeps_distances_when_it_keeps_everything():
    x = cloud(30, 2, 2).float()
    project = pca(x, 4)
    y = project(x)
    assert y.dtype == torch.float64
    assert torch.allclose(
        torch.cdist(y, y), torch.cdist(x.flatten(1), x.flatten(1)).double(), atol=1e-3
    )
    assert torch.equal(project(x[:3]), y[:3])


def test_pca_refuses():
    x = cloud(6, 4)
    for k in (0, 5):
        with pytest.raises(ValueError) as info:
            pca(x, k)
        assert str(info.value) == f"k: expected an int in 1..4, got {k}"
    with pytest.raises(ValueError) as info:
        pca(x, 2)(cloud(6, 3))
    assert str(info.value) == "y: expected 4 numbers a sample, got 3"


@pytest.mark.equation("eq-frechet")
def test_frechet_closed_form():
    z = whitened(cloud(100, 2))
    # N(0, I) against N((1, 1), 4 I): 2 from the means, (2 - 1)^2 from each of two axes.
    assert frechet_distance(z, 2 * z + 1) == pytest.approx(4, abs=1e-12)
    # Commuting covariances: the distance of the standard deviations, axis by axis.
    s, r = torch.tensor([1.0, 0.5]).double(), torch.tensor([0.2, 3.0]).double()
    q = torch.linalg.qr(cloud(2, 2, seed=3)).Q
    expected = ((s - r) ** 2).sum().item()
    assert frechet_distance(z * s @ q, z * r @ q) == pytest.approx(expected, abs=1e-12)


@pytest.mark.equation("eq-frechet")
def test_frechet_when_covariances_do_not_commute():
    a, b = cloud(40, 3) @ cloud(3, 3, seed=1), cloud(60, 3, seed=2) @ cloud(3, 3, seed=3)
    # The eigenvalues of C_a C_b by another road: the product itself, which is not symmetric.
    product = a.T.cov() @ b.T.cov()
    cross = torch.linalg.eigvals(product).real.sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-10)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-10)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)
    # Fewer samples than dimensions: singular covariances are no obstacle.
    flat = torch.cat([a, a], dim=1)
    assert frechet_distance(flat, flat + 1) == pytest.approx(6, abs=1e-6)
    assert frechet_distance(a[:2], a[:2] + 1) == pytest.approx(3, abs=1e-6)


def test_energy_by_hand():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [5.0]])
    assert energy_distance(a, b) == 2 * (3 + 5 + 2 + 4) / 4 - 1 - 2
    # Images are flattened: the distance is that of all their pixels together.
    a = torch.zeros(2, 1, 2, 2)
    b = torch.ones(2, 1, 2, 2)
    assert energy_distance(a, b) == 2 * 2


def test_energy_closed_form_for_normals():
    def mean_abs(m, v):  # E|N(m, v)|
        s = math.sqrt(v)
        return s * math.sqrt(2 / math.pi) * math.exp(-m * m / (2 * v)) + m * math.erf(
            m / s / 2**0.5
        )

    expected = 2 * mean_abs(1, 5) - mean_abs(0, 2) - mean_abs(0, 8)  # N(0, 1) and N(1, 4)
    repeats = [
        energy_distance(cloud(500, 1, seed=k), 1 + 2 * cloud(400, 1, seed=900 + k))
        for k in range(40)
    ]
    repeats = torch.tensor(repeats)
    assert abs(repeats.mean() - expected) < 4 * repeats.std() / 40**0.5
    assert repeats.std() / 40**0.5 < 0.04 * expected


def test_energy_is_unbiased_and_symmetric():
    # With pairs (x, x) left in, the mean for equal laws in 4 dimensions would be 2 * 2.7 / 8.
    repeats = torch.tensor(
        [energy_distance(cloud(8, 4, seed=k), cloud(8, 4, seed=5000 + k)) for k in range(1000)]
    )
    assert abs(repeats.mean()) < 4 * repeats.std() / 1000**0.5
    assert repeats.std() / 1000**0.5 < 0.01
    a, b = cloud(8, 4), cloud(5, 4, seed=1)
    assert energy_distance(a, b) == pytest.approx(energy_distance(b, a), rel=1e-12)


@pytest.mark.equation("eq-energy")
def test_marginal_energy_is_that_of_each_coordinate():
    a, b = cloud(30, 2, 3), cloud(20, 2, 3, seed=1) + 0.5
    each = [
        energy_distance(x[:, None], y[:, None])
        for x, y in zip(a.flatten(1).T, b.flatten(1).T, strict=True)
    ]
    spread = sum(y.std().item() for y in b.flatten(1).T)
    assert marginal_energy_distance(a, b) == pytest.approx(sum(each) / spread, rel=1e-12)
    assert marginal_energy_distance(8 * a + 3, 8 * b + 3) == pytest.approx(sum(each) / spread)
    # Uniform on [0, 1] and on [0, 2]: the integral of (F - G)^2 is 1/12 below 1 and above it.
    u = (torch.arange(4000, dtype=torch.float64)[:, None] + 0.5) / 4000
    assert marginal_energy_distance(u, 2 * u) == pytest.approx(1 / 3 / (2 / 12**0.5), abs=2e-3)


@pytest.mark.parametrize("distance", [frechet_distance, energy_distance, marginal_energy_distance])
def test_distances_refuse(distance):
    x = cloud(4, 3)
    with pytest.raises(ValueError) as info:
        distance(x[:1], x)
    assert "two samples each, of equal size, got (1, 3) and (4, 3)" in str(info.value)
    for bad in (math.nan, math.inf):
        broken = x.clone()
        broken[1, 2] = bad
        for name, pair in (("a", (broken, x)), ("b", (x, broken))):
            with pytest.raises(ValueError) as info:
                distance(*pair)
            message = f"{name}: expected finite numbers, got some that are not"
            assert str(info.value) == message
    for other in (x[:1], x[:, :2]):
        with pytest.raises(ValueError) as info:
            distance(x, other)
        assert "a, b: expected at least two samples each, of equal size" in str(info.value)
        assert f"got (4, 3) and {tuple(other.shape)}" in str(info.value)
    with pytest.raises(TypeError) as info:
        distance(x, x.long())
    assert "b: expected a floating-point tensor" in str(info.value)


@pytest.mark.parametrize("distance", [frechet_distance, energy_distance, marginal_energy_distance])
def test_distances_take_what_has_a_gradient(distance):
    a, b = cloud(4, 3), cloud(5, 3, seed=1)
    graph = a.clone().requires_grad_()
    assert distance(graph, b) == distance(a, b)
    assert distance(b, 1 * graph) == distance(b, a)
    assert not pca(graph, 2)(graph).requires_grad


def test_marginal_energy_refuses_data_without_a_spread():
    constant = torch.full((4, 3), 0.1)
    with pytest.raises(ValueError) as info:
        marginal_energy_distance(cloud(4, 3), constant)
    assert str(info.value) == "b: expected samples that differ, got one repeated"
    assert marginal_energy_distance(constant, cloud(4, 3)) > 0


def test_psnr():
    a = torch.zeros(3, 1, 4, 4)
    b = a + torch.tensor([2.0, 0.2, 0.0])[:, None, None, None]
    assert psnr(a, b).tolist() == pytest.approx([0, 20, math.inf], abs=1e-6)
    assert psnr(a, b).dtype == torch.float64
    with pytest.raises(ValueError) as info:
        psnr(a, b[:2])
    assert "b: expected the shape of a" in str(info.value)


@pytest.mark.equation("eq-frechet", "eq-energy")
def test_what_each_distance_sees_on_digits():
    d = digits()
    project = pca(d.train, 20)
    flat = d.train.flatten(1).double()
    values, vectors = torch.linalg.eigh(flat.T.cov())
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    gauss = (flat.mean(0) + cloud(1000, 64) @ root).view(-1, 1, 8, 8)
    frechet = {
        name: frechet_distance(project(x), project(d.train))
        for name, x in (("gauss", gauss), ("test", d.test), ("noise", cloud(1000, 1, 8, 8)))
    }
    # A Gaussian with the data's moments, 1,000 samples, beats 297 real digits.
    assert frechet["gauss"] < 0.12 < 0.2 < frechet["test"] < 0.25 < 9 < frechet["noise"]
    # The energy distance has them the right way round, by little: its own spread, for 297 samples
    # of the same law, is 0.005. Pixel by pixel there is no doubt.
    assert energy_distance(d.test, d.train) < 0 < 0.005 < energy_distance(gauss, d.train) < 0.012
    assert abs(marginal_energy_distance(d.test, d.train)) < 0.004
    assert 0.075 < marginal_energy_distance(gauss, d.train) < 0.085

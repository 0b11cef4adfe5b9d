"""Twins of chapter 1: expectations are sums over the plane or the line, slopes differences."""

import itertools

import numpy as np
from sides import LINE, MU, VAR, W, hermite, integral, mixture, normal, same, slope

from derivations import twin

DEFINITIONS = {
    r"s(x) = \nabla_x \log p(x)": "introduces the score",
    r"r_k(x) = \frac{w_k p_k(x)}{\sum_j w_j p_j(x)}": "introduces the responsibilities",
    r"J_{\text{ESM}}(\theta)"
    r" = \tfrac{1}{2} \mathbb{E}_{x \sim p} \| s_\theta(x) - \nabla \log p(x) \|^2": (
        "introduces the explicit objective"
    ),
    r"J_{\text{ISM}}(\theta) = \mathbb{E}_{x \sim p}"
    r" [\mathrm{tr} \nabla s_\theta(x) + \tfrac12 \| s_\theta(x) \|^2]": (
        "introduces the implicit objective"
    ),
    r"J_{\text{SSM}}(\theta) = \mathbb{E}_{v} \mathbb{E}_{x \sim p}"
    r" [v^\top \nabla s_\theta(x) v + \tfrac12 (v^\top s_\theta(x))^2]": (
        "introduces the sliced objective"
    ),
    r"J_{\text{SSM-VR}}(\theta) = \mathbb{E}_{v} \mathbb{E}_{x \sim p}"
    r" [v^\top \nabla s_\theta(x) v + \tfrac12 \| s_\theta(x) \|^2]": (
        "introduces its variance-reduced form"
    ),
    r"q_\sigma(\tilde x) = \int q_\sigma(\tilde x \mid x) p(x) dx": "introduces the noised law",
    r"q_\sigma(\tilde x \mid x) = \mathcal{N}(\tilde x; x, \sigma^2 I)": "introduces the kernel",
    r"J_{\text{DSM}}(\theta) = \tfrac12 \mathbb{E}_{x, \epsilon}"
    r" \| s_\theta(x + \sigma \epsilon) + \frac{\epsilon}{\sigma} \|^2": (
        "introduces the denoising objective"
    ),
    r"m_k = \mu_k + G_k (\tilde x - \mu_k)": "introduces m",
    r"\mathbb{E}_p \|\nabla \log p - \nabla \log p'\|^2 \text{against}"
    r" \mathbb{E}_p [\log p - \log p']": "states nothing: two quantities that are compared",
    r"J(\theta) = \frac1L \sum_{i=1}^{L} \lambda(\sigma_i) \tfrac12 \mathbb{E}"
    r" \| s_\theta(x + \sigma_i \epsilon, \sigma_i) + \frac{\epsilon}{\sigma_i} \|^2": (
        "a loss, chosen"
    ),
    r"\lambda(\sigma) = \sigma^2": "a weight, chosen",
    r"m(\tilde x) = \mathbb{E}[x \mid \tilde x]": "introduces m",
}

RNG = np.random.default_rng(1)

# A mixture in the plane with full covariances, and a field that is no gradient.
MEANS = np.array([[-1.2, 0.4], [0.9, 1.1], [0.5, -1.3]])
COVS = np.array([[[0.6, 0.2], [0.2, 0.4]], [[0.3, -0.1], [-0.1, 0.5]], [[0.4, 0.0], [0.0, 0.7]]])
PARTS = list(zip(MEANS, COVS, strict=True))
AXIS = np.linspace(-7.5, 7.5, 126)
PLANE = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), -1).reshape(-1, 2)
CELL = (AXIS[1] - AXIS[0]) ** 2


def parts(x, covs=COVS):
    """Returns the density of each component at the points x, times its weight."""
    away = x[:, None] - MEANS
    square = np.einsum("nki,kij,nkj->nk", away, np.linalg.inv(covs), away)
    return W * np.exp(-square / 2) / (2 * np.pi * np.sqrt(np.linalg.det(covs)))


def density(x, covs=COVS):
    return parts(x, covs).sum(1)


def gradient(f, x):
    """Returns the gradient of f at the points x, one difference an axis; f may have components."""
    return np.stack([slope(lambda h, e=e: f(x + h * e), 0.0) for e in np.eye(2)], -1)


def field(x):
    a, b = x[:, 0], x[:, 1]
    return np.stack([np.tanh(a - 0.5 * b) - 0.3 * b, np.sin(b) + 0.2 * a * b], -1)


def trace(x):
    """Returns the divergence of the field, differentiated by hand."""
    a, b = x[:, 0], x[:, 1]
    return 1 - np.tanh(a - 0.5 * b) ** 2 + np.cos(b) + 0.2 * a


def plane(values):
    return values.sum(0) * CELL


@twin(r"\nabla_x \log p(x) = \frac{\nabla_x p(x)}{p(x)}")
def score_is_relative_slope():
    x = RNG.normal(size=(6, 2))
    left = gradient(lambda y: np.log(density(y)), x)
    same(left, gradient(density, x) / density(x)[:, None], rel=1e-8)


@twin(r"\nabla \log p(x) = \sum_k r_k(x) C_k^{-1} (\mu_k - x)")
def score_of_a_mixture():
    x = RNG.normal(size=(6, 2))
    r = parts(x) / density(x)[:, None]
    own = [np.linalg.solve(c, (m - x).T).T for m, c in PARTS]
    same(gradient(lambda y: np.log(density(y)), x), np.einsum("nk,kni->ni", r, own), rel=1e-8)


@twin(
    r"-\mathbb{E} \langle s_\theta, \nabla \log p \rangle"
    r" = -\int p \langle s_\theta, \frac{\nabla p}{p} \rangle dx",
    r"-\int p \langle s_\theta, \frac{\nabla p}{p} \rangle dx"
    r" = -\int \langle s_\theta, \nabla p \rangle dx",
    r"\mathbb{E}_{x \sim p} [\mathrm{tr} \nabla s_\theta(x) + \tfrac12 \| s_\theta(x) \|^2]"
    r" = J_{\text{ESM}}(\theta) - \tfrac12 \mathbb{E} \|\nabla \log p\|^2",
)
def implicit_is_explicit():
    """The expectations are taken component by component with Gauss's rule, the integrals not."""
    nodes, weights = hermite(40)
    pairs = np.array(list(itertools.product(nodes, repeat=2)))
    weight = np.outer(weights, weights).ravel()

    def mean(f):
        roots = np.linalg.cholesky(COVS)
        return sum(
            w * (weight @ f(m + pairs @ c.T)) for w, m, c in zip(W, MEANS, roots, strict=True)
        )

    def score(x):
        return gradient(lambda y: np.log(density(y)), x)

    p, slopes = density(PLANE), gradient(density, PLANE)
    ratio = slopes / np.maximum(p, 1e-290)[:, None]
    same(
        -mean(lambda x: (field(x) * score(x)).sum(1)),
        -plane(p * (field(PLANE) * ratio).sum(1)),
        -plane((field(PLANE) * slopes).sum(1)),
        rel=1e-4,
    )
    explicit = 0.5 * mean(lambda x: ((field(x) - score(x)) ** 2).sum(1))
    implicit = plane(p * (trace(PLANE) + 0.5 * (field(PLANE) ** 2).sum(1)))
    same(implicit, explicit - 0.5 * mean(lambda x: (score(x) ** 2).sum(1)), rel=1e-4)


@twin(
    r"-\int_{\|x\| < R} \langle s_\theta, \nabla p \rangle dx"
    r" = \int_{\|x\| < R} p \mathrm{tr}(\nabla s_\theta) dx"
    r" - \oint_{\|x\| = R} p \langle s_\theta, n \rangle dS"
)
def parts_in_a_ball():
    """A disc through the middle of the mixture: its surface term is not small."""
    R = 1.4
    u, w = np.polynomial.legendre.leggauss(40)
    radius, w = R * (u + 1) / 2, R * w / 2
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    normals = np.stack([np.cos(angle), np.sin(angle)], -1)
    x = (radius[:, None, None] * normals).reshape(-1, 2)
    area = np.repeat(w * radius, 80) * 2 * np.pi / 80
    left = -area @ (field(x) * gradient(density, x)).sum(1)
    rim = R * normals
    surface = R * 2 * np.pi / 80 * (density(rim) * (field(rim) * normals).sum(1)).sum()
    assert abs(surface) > 0.05
    same(left, area @ (density(x) * trace(x)) - surface, rel=1e-8)


@twin(
    r"J_{\text{ISM}}(a, b) = \int_0^1 (a + \tfrac12 (a x + b)^2) dx",
    r"\int_0^1 (a + \tfrac12 (a x + b)^2) dx"
    r" = a + \frac{a^2}{6} + \frac{a b}{2} + \frac{b^2}{2}",
)
def uniform_data():
    """Left the definition with the slope of the model as a difference, middle Simpson's rule."""
    u, w = np.polynomial.legendre.leggauss(5)
    x, w = (u + 1) / 2, w / 2
    for a, b in RNG.normal(size=(4, 2)):

        def model(x, a=a, b=b):
            return a * x + b

        left = w @ (slope(model, x) + 0.5 * model(x) ** 2)
        ends = [a + 0.5 * (a * y + b) ** 2 for y in (0, 0.5, 1)]
        middle = (ends[0] + 4 * ends[1] + ends[2]) / 6  # exact for a parabola
        same(left, middle, a + a**2 / 6 + a * b / 2 + b**2 / 2)


@twin(
    r"\mathbb{E}[v^\top A v] = \mathrm{tr}(A \mathbb{E}[v v^\top])",
    r"\mathrm{tr}(A \mathbb{E}[v v^\top]) = \mathrm{tr} A",
    r"v^\top A v - \mathrm{tr} A = \sum_i A_{ii} (v_i^2 - 1) + 2 \sum_{i < j} A_{ij} v_i v_j",
)
def random_directions():
    """All vectors of signs, and Gauss's rule for normal ones; A is symmetric at the end alone."""
    nodes, weights = hermite(3)
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=4)))
    gauss = np.array(list(itertools.product(nodes, repeat=4)))
    by = np.array(list(itertools.product(weights, repeat=4))).prod(1)
    A = RNG.normal(size=(4, 4))
    for v, w in ((signs, np.full(16, 1 / 16)), (gauss, by)):
        mean = w @ np.einsum("ni,ij,nj->n", v, A, v)
        second = np.einsum("n,ni,nj->ij", w, v, v)
        same(mean, np.trace(A @ second), A[0, 0] + A[1, 1] + A[2, 2] + A[3, 3])
    A = A + A.T
    for v in RNG.normal(size=(5, 4)):
        diagonal = sum(A[i, i] * (v[i] ** 2 - 1) for i in range(4))
        above = sum(A[i, j] * v[i] * v[j] for i, j in itertools.combinations(range(4), 2))
        same(v @ A @ v - np.trace(A), diagonal + 2 * above)


@twin(
    r"\nabla_{\tilde x} \log q_\sigma(\tilde x \mid x) = - (\tilde x - x) / \sigma^2",
    r"- (\tilde x - x) / \sigma^2 = - \epsilon / \sigma",
)
def score_of_the_kernel():
    for sigma in (0.3, 1.7):
        x, eps = RNG.normal(size=(2, 5))
        noised = x + sigma * eps
        left = slope(lambda y, x=x, v=sigma**2: np.log(normal(y, x, v)), noised)
        same(left, -(noised - x) / sigma**2, -eps / sigma, rel=1e-8)


def one(x):
    """Returns a network's answer in one dimension."""
    return np.sin(1.3 * x) - 0.4 * x + 0.2


def noised(x, sigma):
    """Returns q_sigma on the line or at the points x, by adding up over the data."""
    return integral(mixture(LINE) * normal(np.atleast_1d(x)[..., None], LINE, sigma**2))


@twin(
    r"J_{\text{DSM}}(\theta) = \tfrac12 \mathbb{E}_{\tilde x \sim q_\sigma}"
    r" \| s_\theta(\tilde x) - \nabla \log q_\sigma(\tilde x) \|^2 + K_\sigma",
    r"K_\sigma = \tfrac12 (\frac{d}{\sigma^2}"
    r" - \mathbb{E}_{\tilde x \sim q_\sigma} \| \nabla \log q_\sigma(\tilde x) \|^2)",
    r"\mathbb{E}_{q_\sigma} \langle s_\theta, \nabla \log q_\sigma \rangle = \int \langle"
    r" s_\theta(\tilde x), \nabla_{\tilde x} \int q_\sigma(\tilde x \mid x) p(x) dx"
    r" \rangle d\tilde x",
    r"\int \langle s_\theta(\tilde x), \nabla_{\tilde x} \int q_\sigma(\tilde x \mid x) p(x) dx"
    r" \rangle d\tilde x = \iint p(x) q_\sigma(\tilde x \mid x) \langle s_\theta(\tilde x),"
    r" \nabla_{\tilde x} \log q_\sigma(\tilde x \mid x) \rangle dx d\tilde x",
)
def denoising_is_explicit():
    """J over (x, epsilon); K as the value of a perfect network; the rest over the noised line."""
    for sigma in (0.5, 1.2):
        x = LINE[:, None]
        joint = mixture(x) * normal(LINE, 0, 1)  # of x, and epsilon along the second axis

        def loss(s, x=x, joint=joint, sigma=sigma):
            square = (s(x + sigma * LINE) + LINE / sigma) ** 2
            return 0.5 * integral(integral(joint * square))

        q = noised(LINE, sigma)
        flow = slope(lambda y, s=sigma: noised(y, s), LINE)
        score = flow / np.maximum(q, 1e-290)

        def exact(y, sigma=sigma):  # the closed form, for the perfect network alone
            y = np.asarray(y)[..., None]
            v = VAR + sigma**2
            r = W * normal(y, MU, v)
            return (r * (MU - y) / v).sum(-1) / np.maximum(r.sum(-1), 1e-290)

        constant = 0.5 * (1 / sigma**2 - integral(q * score**2))
        same(loss(exact), constant, rel=1e-7)
        explicit = 0.5 * integral(q * (one(LINE) - score) ** 2)
        same(loss(one), explicit + constant, rel=1e-7)
        left = integral(noised(LINE, sigma) * one(LINE) * exact(LINE))
        outer = integral(one(LINE) * flow)
        kernel = normal(LINE[None, :], x, sigma**2)
        inner = one(LINE) * -(LINE - x) / sigma**2
        same(left, outer, integral(integral(mixture(x) * kernel * inner)), rel=1e-7)


@twin(r"q_\sigma = \sum_k w_k \mathcal{N}(\mu_k, C_k + \sigma^2 I)")
def a_mixture_noised():
    """Added up over the plane of the data, at a few points."""
    for sigma in (0.4, 1.1):
        at = RNG.normal(size=(5, 2))
        kernel = normal(at[:, None], PLANE, sigma**2).prod(-1)
        same(plane((kernel * density(PLANE)).T), density(at, COVS + sigma**2 * np.eye(2)))


@twin(
    r"\mathbb{E}[x \mid \tilde x] = \tilde x + \sigma^2 \nabla \log q_\sigma(\tilde x)",
    r"\mathrm{Cov}[x \mid \tilde x]"
    r" = \sigma^2 (I + \sigma^2 \nabla^2 \log q_\sigma(\tilde x))",
    r"\mathbb{E}[x \mid \tilde x] = \sum_k r_k m_k",
    r"\mathrm{Cov}[x \mid \tilde x] = \sum_k r_k (\sigma^2 G_k + m_k m_k^\top)"
    r" - \mathbb{E}[x \mid \tilde x] \mathbb{E}[x \mid \tilde x]^\top",
    r"\mathbb{E}[x \mid \tilde x]"
    r" = \frac{1}{q_\sigma(\tilde x)} \int x p(x) q_\sigma(\tilde x \mid x) dx",
    r"\nabla m = \frac{1}{\sigma^2} (\mathbb{E}[x x^\top \mid \tilde x] - m m^\top)",
    r"\frac{1}{\sigma^2} (\mathbb{E}[x x^\top \mid \tilde x] - m m^\top)"
    r" = \frac{1}{\sigma^2} \mathrm{Cov}[x \mid \tilde x]",
)
def posterior_moments_of_a_noised_mixture():
    """The left sides of the first four are sums over the plane, normalised by themselves."""
    sigma = 0.7
    p, wide, steps = density(PLANE), COVS + sigma**2 * np.eye(2), np.eye(2)

    def joint(y):
        return p * normal(y, PLANE, sigma**2).prod(-1)

    def mean(y):
        return joint(y) @ PLANE / joint(y).sum()

    def along(f, e, h=1e-3):
        return lambda y: slope(lambda k: f(y + k * e), 0.0, h)

    def log_q(y):
        return np.log(plane(joint(y)))

    for at in np.array([[0.3, -0.2], [-1.5, 1.0], [1.8, -0.6]]):
        law = joint(at) / joint(at).sum()
        m = mean(at)
        cov = np.einsum("n,ni,nj->ij", law, PLANE - m, PLANE - m)
        second = np.einsum("n,ni,nj->ij", law, PLANE, PLANE)
        same(m, at + sigma**2 * np.array([along(log_q, e)(at) for e in steps]), rel=1e-8)
        rows = [[along(along(log_q, e, 0.02), f, 0.02)(at) for f in steps] for e in steps]
        same(cov, sigma**2 * (np.eye(2) + sigma**2 * np.array(rows)), rel=1e-6)
        r = parts(at[None], wide)[0]
        r = r / r.sum()
        G = COVS @ np.linalg.inv(wide)
        m_k = MEANS + np.einsum("kij,kj->ki", G, at - MEANS)
        same(m, r @ m_k)
        inner = sigma**2 * G + np.einsum("ki,kj->kij", m_k, m_k)
        same(cov, np.einsum("k,kij->ij", r, inner) - np.outer(r @ m_k, r @ m_k))
        q = density(at[None], wide)[0]
        same(m, plane(PLANE * joint(at)[:, None]) / q)
        jacobian = np.stack([along(mean, e)(at) for e in steps], -1)
        same(jacobian, (second - np.outer(m, m)) / sigma**2, cov / sigma**2, rel=1e-8)


@twin(
    r"J_{\text{ESM}} = \tfrac{c^2}{2} (u - 1/c^2)^2",
    r"\tfrac{c^2}{2} (u - 1/c^2)^2 = \tfrac{1}{2} c^2 u^2 - u + \tfrac{1}{2 c^2}",
)
def the_best_gaussian():
    for c, u in [(0.8, 0.5), (1.7, 1.1)]:
        p = normal(LINE, 0, c**2)
        score = slope(lambda x, c=c: np.log(normal(x, 0, c**2)), LINE)
        left = 0.5 * integral(p * (-u * LINE - score) ** 2)
        middle = c**2 / 2 * (u - 1 / c**2) ** 2
        same(left, middle, 0.5 * c**2 * u**2 - u + 1 / (2 * c**2), rel=1e-8)


@twin(
    r"\frac12 (\frac{1}{\sigma^2} - \frac{1}{c^2 + \sigma^2})"
    r" = \frac{c^2}{2 \sigma^2 (c^2 + \sigma^2)}",
    r"\frac{c^2}{2 \sigma^2 (c^2 + \sigma^2)} = K_\sigma",
)
def the_constant_for_gaussian_data():
    """K from its definition, with the slope of log q_sigma on the line."""
    for c, sigma in [(0.8, 0.5), (1.4, 1.1)]:
        q = normal(LINE, 0, c**2 + sigma**2)
        score = slope(lambda x, v=c**2 + sigma**2: np.log(normal(x, 0, v)), LINE)
        constant = 0.5 * (1 / sigma**2 - integral(q * score**2))
        left = 0.5 * (1 / sigma**2 - 1 / (c**2 + sigma**2))
        same(left, c**2 / (2 * sigma**2 * (c**2 + sigma**2)), constant, rel=1e-8)

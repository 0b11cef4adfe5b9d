"""Answers that must lose marks, and answers that must not: assignment 1.

Each wrong one is (what is wrong, the solution's text, what stands there instead); each right one
is a whole function that is written in another way.
"""

WRONG = {
    "q1": [
        ("a standard deviation for a variance", "* (noisy.ndim - 1)) ** 2", "* (noisy.ndim - 1))"),
        ("the sign of the score", "(clean - noisy) / variance", "(noisy - clean) / variance"),
        ("the clean sample forgotten", "(clean - noisy) / variance", "-noisy / variance"),
        ("sigma along the last axis", "sigma.view(-1, *[1] * (noisy.ndim - 1)) ** 2", "sigma**2"),
    ],
    "q2": [
        (
            "no weight",
            "std * score_fn(clean + std * eps, sigma) + eps",
            "score_fn(clean + std * eps, sigma) + eps / std",
        ),
        ("the sign of the noise", "sigma) + eps", "sigma) - eps"),
        (
            "asked at the clean samples",
            "score_fn(clean + std * eps, sigma)",
            "score_fn(clean, sigma)",
        ),
        ("noise of size one", "clean + std * eps", "clean + eps"),
        ("a mean for a sum", "flatten(1).sum(1)", "flatten(1).mean(1)"),
        ("the mean of the batch", "flatten(1).sum(1)", "flatten(1).sum(1).mean()"),
        ("no half", "0.5 * error", "error"),
    ],
    "q3": [
        ("a standard deviation for a variance", "* (noisy.ndim - 1)) ** 2", "* (noisy.ndim - 1))"),
        ("away from the data", "noisy + variance", "noisy - variance"),
        ("a Langevin drift", "noisy + variance *", "noisy + variance / 2 *"),
        ("the noisy sample forgotten", "noisy + variance *", "variance *"),
    ],
    "q4": [
        ("no half", "d / 2 *", "d *"),
        ("the noise's share for the data's", "c**2 / (c**2", "sigma**2 / (c**2"),
        ("standard deviations for variances", "c**2 / (c**2 + sigma**2)", "c / (c + sigma)"),
        ("the dimension forgotten", "d / 2 *", "1 / 2 *"),
    ],
}

RIGHT = {
    "q1": [
        """
def kernel_score(noisy, clean, sigma):
    flat = (noisy - clean).reshape(len(noisy), -1)
    return (-flat / sigma[:, None].square()).reshape(noisy.shape)
""",
        """
def kernel_score(noisy, clean, sigma):
    rows = []
    for i in range(len(noisy)):
        eps = (noisy[i] - clean[i]) / sigma[i]
        rows.append(-eps / sigma[i])
    return torch.stack(rows)
""",
        """
def kernel_score(noisy, clean, sigma):
    y = noisy.detach().clone().requires_grad_(True)
    square = ((y - clean) ** 2).flatten(1).sum(1)
    log_density = (-square / (2 * sigma**2)).sum()
    return torch.autograd.grad(log_density, y)[0]
""",
    ],
    "q2": [
        """
def dsm_loss(score_fn, clean, sigma, eps):
    s = sigma.reshape([len(sigma)] + [1] * (clean.dim() - 1))
    noisy = clean + s * eps
    target = -(noisy - clean) / s**2
    gap = score_fn(noisy, sigma) - target
    return sigma**2 * (gap**2).reshape(len(clean), -1).sum(dim=1) / 2
""",
        """
def dsm_loss(score_fn, clean, sigma, eps):
    noisy = torch.stack([c + s * e for c, s, e in zip(clean, sigma, eps)])
    answer = score_fn(noisy, sigma)
    return torch.stack(
        [0.5 * torch.sum((s * a + e) ** 2) for s, a, e in zip(sigma, answer, eps)]
    )
""",
        """
def dsm_loss(score_fn, clean, sigma, eps):
    std = sigma
    while std.dim() < clean.dim():
        std = std.unsqueeze(-1)
    residual = (std * score_fn(clean + std * eps, sigma) + eps).flatten(1)
    return torch.linalg.vector_norm(residual, dim=1).pow(2).div(2)
""",
    ],
    "q3": [
        """
def denoise(score_fn, noisy, sigma):
    step = torch.einsum("b...,b->b...", score_fn(noisy, sigma), sigma**2)
    return noisy + step
""",
        """
def denoise(score_fn, noisy, sigma):
    eps = -score_fn(noisy, sigma).flatten(1) * sigma[:, None]
    return noisy - (sigma[:, None] * eps).view_as(noisy)
""",
        """
def denoise(score_fn, noisy, sigma):
    answer = score_fn(noisy, sigma)
    return torch.stack([x + s**2 * a for x, s, a in zip(noisy, sigma, answer)])
""",
    ],
    "q4": [
        """
def loss_floor(c, sigma, d):
    return 0.5 * d * (1 - sigma**2 / (c**2 + sigma**2))
""",
        """
def loss_floor(c, sigma, d):
    noisy_variance = c**2 + sigma**2
    score_square = d / noisy_variance
    return sigma**2 * (d / sigma**2 - score_square) / 2
""",
        """
def loss_floor(c, sigma, d):
    ratio = sigma / c
    return torch.tensor(d / 2 / (1 + ratio**2))
""",
    ],
}

"""Answers that must lose marks, and answers that must not: assignment 3.

Each wrong one is (what is wrong, the solution's text, what stands there instead); each right one
is a whole function that is written in another way.
"""

WRONG = {
    "q1": [
        ("a table that starts at t = 1", "alpha_bar[t]", "alpha_bar[t - 1]"),
        ("no root on the signal", "kept.sqrt() * x0", "kept * x0"),
        ("no root on the noise", "(1 - kept).sqrt()", "(1 - kept)"),
        ("no root at all", "kept.sqrt() * x0 + (1 - kept).sqrt()", "kept * x0 + (1 - kept)"),
        ("t along the last axis", ".view(-1, *[1] * (x0.ndim - 1))", ""),
        (
            "beta for 1 - alpha_bar",
            "(1 - kept).sqrt()",
            "(1 - kept / alpha_bar[(t - 1).clamp(min=0)].view_as(kept)).sqrt()",
        ),
        ("a root that is one minus a root", "(1 - kept).sqrt()", "(1 - kept.sqrt())"),
        (
            "signal and noise exchanged",
            "kept.sqrt() * x0 + (1 - kept).sqrt() * eps",
            "kept.sqrt() * eps + (1 - kept).sqrt() * x0",
        ),
        ("the signal not shrunk", "kept.sqrt() * x0", "x0"),
        ("one time for all", "alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))", "alpha_bar[t[0]]"),
    ],
    "q2": [
        ("beta for the posterior variance", "(1 - alpha) * (1 - before) / (1 - now)", "1 - alpha"),
        (
            "a standard deviation for a variance",
            "(1 - alpha) * (1 - before) / (1 - now)",
            "((1 - alpha) * (1 - before) / (1 - now)) ** 0.5",
        ),
        ("alpha_bar_t for alpha_bar_{t-1} before x_0", "before**0.5", "now**0.5"),
        ("no root on alpha", "alpha**0.5", "alpha"),
        ("no root before x_0", "before**0.5", "before"),
        (
            "the coefficients exchanged",
            "alpha**0.5 * (1 - before) * x_t + before**0.5 * (1 - alpha) * x0",
            "alpha**0.5 * (1 - before) * x0 + before**0.5 * (1 - alpha) * x_t",
        ),
        ("alpha_bar_t for alpha for the step", "alpha = now / before", "alpha = now"),
        (
            "a time too late",
            "alpha_bar[t].item(), alpha_bar[t - 1].item()",
            "alpha_bar[min(t + 1, len(alpha_bar) - 1)].item(), alpha_bar[t].item()",
        ),
        ("the denominator forgotten", "total / (1 - now)", "total"),
        (
            "the variance upside down",
            "(1 - alpha) * (1 - before) / (1 - now)",
            "(1 - alpha) * (1 - now) / max(1 - before, 1e-20)",
        ),
    ],
    "q3": [
        ("no noise", "mean + std * z", "mean"),
        ("noise at full size", "mean + std * z", "mean + z"),
        (
            "a variance for a standard deviation",
            "(beta * (1 - before) / (1 - now)) ** 0.5",
            "beta * (1 - before) / (1 - now)",
        ),
        ("beta for the small variance", "(beta * (1 - before) / (1 - now)) ** 0.5", "beta**0.5"),
        (
            "beta, and nothing at t = 1",
            "(beta * (1 - before) / (1 - now)) ** 0.5",
            "beta**0.5 * (t > 1)",
        ),
        (
            "noise at t = 1",
            "(beta * (1 - before)",
            "(beta * (1 - alpha_bar[max(t - 1, 1)].item())",
        ),
        ("no root below beta", "beta / (1 - now) ** 0.5", "beta / (1 - now)"),
        ("no root on alpha", "/ (1 - beta) ** 0.5", "/ (1 - beta)"),
        ("no division by alpha's root", " / (1 - beta) ** 0.5", ""),
        ("the noise added", "x_t - beta", "x_t + beta"),
        ("all of the noise taken out at once", "beta / (1 - now) ** 0.5 *", "(1 - now) ** 0.5 *"),
        (
            "a table that starts at t = 1",
            "alpha_bar[t].item(), alpha_bar[t - 1].item()",
            "alpha_bar[t - 1].item(), alpha_bar[t - 2].item()",
        ),
    ],
    "q4": [
        ("a sum for a mean", ".mean(1)", ".sum(1)"),
        ("the mean of the batch", ".flatten(1).mean(1)", ".mean()"),
        ("compared with the data", "- eps)", "- x0)"),
        ("compared with the state", "- eps)", "- x_t)"),
        ("asked at the clean data", "eps_fn(x_t, t)", "eps_fn(x0, t)"),
        ("told t - 1", "eps_fn(x_t, t)", "eps_fn(x_t, t - 1)"),
        ("a table that starts at t = 1", "alpha_bar[t]", "alpha_bar[t - 1]"),
        ("no root on the noise", "(1 - share).sqrt()", "(1 - share)"),
        ("no root on the signal", "share.sqrt() * x0", "share * x0"),
        ("half", "return (", "return 0.5 * ("),
        ("no square", ".square()", ".abs()"),
        ("the root of the mean", ".mean(1)", ".mean(1).sqrt()"),
        ("weighted as v", "return (", "return 1 / alpha_bar[t] * ("),
    ],
}

RIGHT = {
    "q1": [
        """
def q_sample(x0, t, eps, alpha_bar):
    states = []
    for x, time, e in zip(x0, t.tolist(), eps):
        left = float(alpha_bar[time])
        states.append(left**0.5 * x + (1 - left) ** 0.5 * e)
    return torch.stack(states)
""",
        """
def q_sample(x0, t, eps, alpha_bar):
    angle = torch.atan2(torch.sqrt(1 - alpha_bar), torch.sqrt(alpha_bar)).gather(0, t)
    signal = torch.einsum("b,b...->b...", torch.cos(angle), x0)
    return signal + torch.einsum("b,b...->b...", torch.sin(angle), eps)
""",
        """
def q_sample(x0, t, eps, alpha_bar):
    signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    flat = signal[t, None] * x0.flatten(1) + noise[t, None] * eps.flatten(1)
    return flat.reshape(x0.shape)
""",
    ],
    "q2": [
        """
def posterior(x0, x_t, t, alpha_bar):
    if t == 1:
        return x0.clone(), 0.0
    prior_variance = 1 - alpha_bar[t - 1]
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    precision = 1 / prior_variance + alpha / (1 - alpha)
    weighted = alpha_bar[t - 1].sqrt() * x0 / prior_variance + alpha.sqrt() * x_t / (1 - alpha)
    return weighted / precision, 1 / precision
""",
        """
def posterior(x0, x_t, t, alpha_bar):
    a_t, a_s = alpha_bar[t].tolist(), alpha_bar[t - 1].tolist()
    gain = (a_t / a_s) ** 0.5 * (1 - a_s) / (1 - a_t)
    surprise = x_t - a_t**0.5 * x0
    return [a_s**0.5 * x0 + gain * surprise, (1 - a_s) - gain**2 * (1 - a_t)]
""",
        """
def posterior(x0, x_t, t, alpha_bar):
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    eps = (x_t - alpha_bar[t].sqrt() * x0) / (1 - alpha_bar[t]).sqrt()
    direction = (1 - alpha_bar[t - 1] - variance).clamp(min=0).sqrt()
    return alpha_bar[t - 1].sqrt() * x0 + direction * eps, variance
""",
    ],
    "q3": [
        """
def ancestral_step(x_t, t, eps_hat, alpha_bar, z):
    a_t, a_s = alpha_bar[t], alpha_bar[t - 1]
    guess = (x_t - (1 - a_t).sqrt() * eps_hat) / a_t.sqrt()
    if t == 1:
        return guess
    r = a_t / a_s
    mean = (r.sqrt() * (1 - a_s) * x_t + a_s.sqrt() * (1 - r) * guess) / (1 - a_t)
    return mean + ((1 - a_s) * (1 - r) / (1 - a_t)).sqrt() * z
""",
        """
def ancestral_step(x_t, t, eps_hat, alpha_bar, z):
    a_t, a_s = alpha_bar[t].item(), alpha_bar[t - 1].item()
    guess = (x_t - (1 - a_t) ** 0.5 * eps_hat) / a_t**0.5
    variance = (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
    return a_s**0.5 * guess + max(1 - a_s - variance, 0) ** 0.5 * eps_hat + variance**0.5 * z
""",
        """
def ancestral_step(x_t, t, eps_hat, alpha_bar, z):
    alpha = torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    beta = 1 - alpha
    earlier = torch.cat([alpha_bar[:1], alpha_bar[:-1]])
    var = beta * (1 - earlier) / (1 - alpha_bar).clamp(min=1e-20)
    coefficient = beta[t] / torch.sqrt(1 - alpha_bar[t])
    mean = torch.rsqrt(alpha[t]) * (x_t - coefficient * eps_hat)
    return torch.addcmul(mean, torch.sqrt(var[t]), z)
""",
    ],
    "q4": [
        """
def ddpm_loss(eps_fn, x0, t, eps, alpha_bar):
    a = alpha_bar[t]
    while a.dim() < x0.dim():
        a = a.unsqueeze(-1)
    answer = eps_fn(torch.sqrt(a) * x0 + torch.sqrt(1 - a) * eps, t)
    error = torch.nn.functional.mse_loss(answer, eps, reduction="none")
    return error.mean(dim=tuple(range(1, x0.dim())))
""",
        """
def ddpm_loss(eps_fn, x0, t, eps, alpha_bar):
    states = [
        alpha_bar[i] ** 0.5 * x + (1 - alpha_bar[i]) ** 0.5 * e for x, i, e in zip(x0, t, eps)
    ]
    answer = eps_fn(torch.stack(states), t)
    return torch.stack([torch.mean((a - e) ** 2) for a, e in zip(answer, eps)])
""",
        """
def ddpm_loss(eps_fn, x0, t, eps, alpha_bar):
    angle = torch.arccos(alpha_bar.sqrt())[t].reshape([len(t)] + [1] * (x0.dim() - 1))
    gap = (eps - eps_fn(angle.cos() * x0 + angle.sin() * eps, t)).reshape(len(t), -1)
    return torch.linalg.vector_norm(gap, dim=1) ** 2 / gap.shape[1]
""",
    ],
}

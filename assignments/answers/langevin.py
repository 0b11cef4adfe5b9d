"""Answers that must lose marks, and answers that must not: assignment 2.

Each wrong one is (what is wrong, the solution's text, what stands there instead); each right one
is a whole function that is written in another way.
"""

FRACTION = "log_prob(y) + log_q(x, y) - log_prob(x) - log_q(y, x)"

WRONG = {
    "q1": [
        ("a variance for a standard deviation", "delta**0.5 * z", "delta * z"),
        ("the drift of the other convention", "delta / 2 * score", "delta * score"),
        ("the noise of the other convention", "delta**0.5 * z", "(2 * delta) ** 0.5 * z"),
        (
            "the other convention",
            "delta / 2 * score(x) + delta**0.5",
            "delta * score(x) + (2 * delta) ** 0.5",
        ),
        ("downhill", "x + delta / 2", "x - delta / 2"),
        ("the score of the shaken point", "score(x)", "score(x + delta**0.5 * z)"),
        ("no noise", " + delta**0.5 * z", ""),
        ("the drift like the noise", "delta / 2 * score", "delta**0.5 / 2 * score"),
        ("the move without the place", "x + delta / 2", "delta / 2"),
    ],
    "q2": [
        ("the target's variance", "c2 / (1 - delta / (4 * c2))", "c2"),
        ("the step of the other convention", "1 - delta / (4 * c2)", "1 - delta / (2 * c2)"),
        (
            "too small for too large",
            "c2 / (1 - delta / (4 * c2))",
            "c2 * (1 - delta / (4 * c2))",
        ),
        ("to first order only", "c2 / (1 - delta / (4 * c2))", "c2 + delta / 4"),
        (
            "after one step",
            "c2 / (1 - delta / (4 * c2))",
            "(1 - delta / (2 * c2)) ** 2 * c2 + delta",
        ),
        (
            "r for its square",
            "c2 / (1 - delta / (4 * c2))",
            "delta / (1 - (1 - delta / (2 * c2)))",
        ),
        ("a standard deviation for a variance", "delta / (4 * c2)", "delta / (4 * c2**0.5)"),
        (
            "a standard deviation returned",
            "c2 / (1 - delta / (4 * c2))",
            "(c2 / (1 - delta / (4 * c2))) ** 0.5",
        ),
        ("no limit of stability", "delta >= 4 * c2", "delta == 4 * c2"),
        ("the limit itself counted as stable", "delta >= 4 * c2", "delta > 4 * c2"),
        ("the limit where r turns negative", "delta >= 4 * c2", "delta >= 2 * c2"),
    ],
    "q3": [
        (
            "the proposals exchanged",
            FRACTION,
            "log_prob(y) + log_q(y, x) - log_prob(x) - log_q(x, y)",
        ),
        ("plain Metropolis", FRACTION, "log_prob(y) - log_prob(x)"),
        (
            "the densities exchanged",
            FRACTION,
            "log_prob(x) + log_q(x, y) - log_prob(y) - log_q(y, x)",
        ),
        ("upside down", FRACTION, "log_prob(x) + log_q(y, x) - log_prob(y) - log_q(x, y)"),
        ("the proposals alone", FRACTION, "log_q(x, y) - log_q(y, x)"),
        ("cut off at 0", FRACTION, f"({FRACTION}).clamp(max=0)"),
        ("the fraction for its logarithm", FRACTION, f"({FRACTION}).exp()"),
        ("the variance of the other convention", "(2 * delta)", "(4 * delta)"),
        ("no half", "(2 * delta)", "delta"),
        ("a standard deviation for a variance", "(2 * delta)", "(2 * delta**0.5)"),
        ("the drift of the other convention", "delta / 2 * score", "delta * score"),
        ("the score where the step ends", "score(start)", "score(to)"),
        ("one drift for both ways", "score(start)", "score(x)"),
        ("a mean for a sum", ".sum(1)", ".mean(1)"),
        ("the sum of the batch", ".sum(1)", ".sum()"),
    ],
    "q4": [
        ("steps like sigma", "(sigma / sigmas[-1]) ** 2", "(sigma / sigmas[-1])"),
        ("steps against sigma", "(sigma / sigmas[-1]) ** 2", "(sigmas[-1] / sigma) ** 2"),
        ("one step for all levels", " * (sigma / sigmas[-1]) ** 2", " * (sigma / sigma)"),
        ("from fine to coarse", "for sigma in sigmas:", "for sigma in sigmas.flip(0):"),
        (
            "anew at each level",
            "for sigma in sigmas:",
            "first = x\n    for sigma in sigmas:\n        x = first",
        ),
        ("n steps in all", "range(n)", "range(n // len(sigmas))"),
        ("one step too few", "range(n)", "range(n - 1)"),
        ("the last level left out", "for sigma in sigmas:", "for sigma in sigmas[:-1]:"),
        ("delta_min at the first level", "sigmas[-1]", "sigmas[0]"),
        ("uniform noise", "noise(x)", "torch.rand_like(x)"),
        (
            "the same noise at each step",
            "for _ in range(n):",
            "z = noise(x)\n        noise = lambda x: z\n        for _ in range(n):",
        ),
        ("a variance for a standard deviation", "delta.sqrt()", "delta"),
        ("the drift of the other convention", "delta / 2 *", "delta *"),
        ("downhill", "x + drift", "x - drift"),
        ("the score of the last level", "sigma.expand", "sigmas[-1].expand"),
        ("a variance for a level", "sigma.expand(len(x))", "(sigma**2).expand(len(x))"),
        ("one level for the whole batch", "sigma.expand(len(x))", "sigma"),
        (
            "denoised at the end",
            "return x",
            "return x + sigma**2 * score_fn(x, sigma.expand(len(x)))",
        ),
    ],
}

RIGHT = {
    "q1": [
        """
def ula_step(score, x, delta, z):
    eta = delta / 2
    return x + eta * score(x) + (2 * eta) ** 0.5 * z
""",
        """
def ula_step(score, x, delta, z):
    delta = torch.tensor(delta, dtype=x.dtype)
    return torch.add(x, score(x), alpha=float(delta) / 2).addcmul(delta.sqrt(), z)
""",
        """
def ula_step(score, x, delta, z):
    slope, root = score(x), delta**0.5
    rows = [x[i] + root * (root * slope[i] / 2 + z[i]) for i in range(len(x))]
    return torch.stack(rows)
""",
    ],
    "q2": [
        """
def ula_variance(c2, delta):
    r = 1 - delta / (2 * c2)
    return delta / (1 - r**2) if abs(r) < 1 else float("inf")
""",
        """
def ula_variance(c2, delta):
    u = torch.tensor(delta / c2, dtype=torch.float64)
    answer = 4 * c2 / (4 - u)
    return torch.where(u < 4, answer, torch.tensor(float("inf"), dtype=torch.float64))
""",
        """
def ula_variance(c2, delta):
    square = (1 - delta / c2 / 2) ** 2
    if square >= 1:
        return float("inf")
    total = delta
    for _ in range(60):  # doubles the number of steps each time
        total, square = total * (1 + square), square**2
    return total
""",
    ],
    "q3": [
        """
def log_accept(log_prob, score, x, y, delta):
    there = torch.distributions.Normal(x + delta / 2 * score(x), delta**0.5)
    back = torch.distributions.Normal(y + delta / 2 * score(y), delta**0.5)
    gain = log_prob(y) - log_prob(x)
    return gain + (back.log_prob(x) - there.log_prob(y)).sum(-1)
""",
        """
def log_accept(log_prob, score, x, y, delta):
    sx, sy = score(x), score(y)
    cross = ((y - x) * (sx + sy)).sum(1) / 2
    squares = delta / 8 * (sx.square().sum(1) - sy.square().sum(1))
    return log_prob(y) - log_prob(x) - cross + squares
""",
        """
def log_accept(log_prob, score, x, y, delta):
    px, py, sx, sy = log_prob(x), log_prob(y), score(x), score(y)
    answer = []
    for i in range(len(x)):
        there = torch.dist(y[i], x[i] + delta / 2 * sx[i]) ** 2
        back = torch.dist(x[i], y[i] + delta / 2 * sy[i]) ** 2
        answer.append(py[i] - px[i] + (there - back) / (2 * delta))
    return torch.stack(answer)
""",
    ],
    "q4": [
        """
def annealed(score_fn, x, sigmas, delta_min, n, noise):
    last = float(sigmas[-1])
    for i in range(len(sigmas) * n):
        sigma = float(sigmas[i // n])
        delta = delta_min * sigma**2 / last**2
        z = noise(x)
        s = score_fn(x, torch.full((x.shape[0],), sigma, dtype=x.dtype))
        x = x + delta / 2 * s + delta**0.5 * z
    return x
""",
        """
def annealed(score_fn, x, sigmas, delta_min, n, noise):
    ratio = delta_min**0.5 / sigmas[-1]
    for sigma in sigmas.tolist():
        size = ratio * sigma
        level = sigma * torch.ones(len(x))
        for _ in range(n):
            x = x + size * (size / 2 * score_fn(x, level) + noise(x))
    return x
""",
        """
def annealed(score_fn, x, sigmas, delta_min, n, noise):
    state = x.clone()
    deltas = delta_min * torch.square(sigmas / sigmas.min())
    for sigma, delta in zip(sigmas, deltas):
        for _ in range(n):
            moved = delta * score_fn(state, sigma.repeat(len(x))) / 2
            state += moved + torch.sqrt(delta) * noise(state)
    return state
""",
    ],
}

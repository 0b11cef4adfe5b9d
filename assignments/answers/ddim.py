"""Answers that must lose marks, and answers that must not: assignment 4.

Each wrong one is (what is wrong, the solution's text, what stands there instead); each right one
is a whole function that is written in another way.
"""

WRONG = {
    "q1": [
        ("the direction is not shrunk", "(1 - ab_s - variance).sqrt()", "(1 - ab_s).sqrt()"),
        (
            "shrunk by the standard deviation",
            "(1 - ab_s - variance)",
            "(1 - ab_s - variance.sqrt())",
        ),
        ("eta on the variance", "eta**2 *", "eta *"),
        ("the level t - 1 for s", "alpha_bar[s]", "alpha_bar[t - 1]"),
        ("a variance for a standard deviation", "+ variance.sqrt() * z", "+ variance * z"),
        (
            "the noise in x_t without its root",
            "(1 - ab_t).sqrt() * eps_hat",
            "(1 - ab_t) * eps_hat",
        ),
        ("x_0 divided without a root", "/ ab_t.sqrt()", "/ ab_t"),
        ("alpha_t for the ratio", "(1 - ab_t / ab_s)", "(1 - ab_t / alpha_bar[t - 1])"),
        (
            "beta of the whole jump for the posterior",
            "(1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)",
            "(1 - ab_t / ab_s)",
        ),
        ("the prediction is not brought to level s", "ab_s.sqrt() * x0_hat", "x0_hat"),
        ("no fresh noise", "variance.sqrt() * z", "0 * z"),
    ],
    "q2": [
        ("the data's end missing", "range(n, -1, -1)", "range(n, 0, -1)"),
        ("the noise's end missing", "range(n, -1, -1)", "range(n - 1, -1, -1)"),
        ("rising", "range(n, -1, -1)", "range(n + 1)"),
        (
            "a fixed stride",
            "[round(T * k / n) for k in range(n, -1, -1)]",
            "list(range(T, -1, -(T // n)))",
        ),
        (
            "the remainder in the last step",
            "[round(T * k / n) for k in range(n, -1, -1)]",
            "[T - k * (T // n) for k in range(n)] + [0]",
        ),
        ("indices of an array without time 0", "round(T * k / n)", "round((T - 1) * k / n)"),
        ("quadratic", "round(T * k / n)", "round(T * (k / n) ** 2)"),
        ("no whole numbers", "round(T * k / n)", "T * k / n"),
    ],
    "q3": [
        (
            "asked at the destination's time",
            "torch.full((len(x),), here)",
            "torch.full((len(x),), there)",
        ),
        ("walked downwards", "times[::-1]", "times"),
        ("the last step left out", "times[::-1]", "times[:0:-1]"),
        ("the first step left out", "times[::-1]", "times[-2::-1]"),
        ("always asked about the data", "eps_fn(x, ", "eps_fn(x0, "),
        ("always stepped from the data", "(x - (1", "(x0 - (1"),
        (
            "the noise of the old level",
            "(1 - alpha_bar[there]).sqrt()",
            "(1 - alpha_bar[here]).sqrt()",
        ),
        ("noise of size one", "+ (1 - alpha_bar[there]).sqrt() * eps", "+ eps"),
        ("no root", "(1 - alpha_bar[there]).sqrt()", "(1 - alpha_bar[there])"),
        ("one time for the batch", "torch.full((len(x),), here)", "torch.tensor(here)"),
    ],
    "q4": [
        ("a clean reference", "alpha_bar[s].sqrt() * y + (1 - alpha_bar[s]).sqrt() * z", "y"),
        (
            "the level below",
            "alpha_bar[s].sqrt() * y + (1 - alpha_bar[s]).sqrt() * z",
            "alpha_bar[s - 1].sqrt() * y + (1 - alpha_bar[s - 1]).sqrt() * z",
        ),
        (
            "the level that the step came from",
            "alpha_bar[s].sqrt() * y + (1 - alpha_bar[s]).sqrt() * z",
            "alpha_bar[s + 1].sqrt() * y + (1 - alpha_bar[s + 1]).sqrt() * z",
        ),
        ("the sign", "phi(y_s) - phi(x)", "phi(x) - phi(y_s)"),
        ("the state's coarse part stays", " - phi(x)", ""),
        (
            "the noise is not filtered",
            "phi(y_s)",
            "phi(alpha_bar[s].sqrt() * y) + (1 - alpha_bar[s]).sqrt() * z",
        ),
        ("the fine part is lost", "x + phi(y_s) - phi(x)", "phi(y_s)"),
        ("all of the reference", "phi(y_s) - phi(x)", "y_s - phi(x)"),
        ("noise without its root", "(1 - alpha_bar[s]).sqrt() * z", "(1 - alpha_bar[s]) * z"),
        ("signal without its root", "alpha_bar[s].sqrt() * y", "alpha_bar[s] * y"),
        ("filtered twice", "phi(y_s) - phi(x)", "phi(phi(y_s)) - phi(phi(x))"),
    ],
}

RIGHT = {
    "q1": [
        """
def ddim_step(x_t, t, s, eps_hat, alpha_bar, eta, z):
    a, b = alpha_bar[t].item(), alpha_bar[s].item()
    std = eta * ((1 - b) * (b - a) / (b * (1 - a))) ** 0.5
    x0 = x_t * a**-0.5 - (1 / a - 1) ** 0.5 * eps_hat
    return b**0.5 * x0 + max(1 - b - std**2, 0.0) ** 0.5 * eps_hat + std * z
""",
        """
def ddim_step(x_t, t, s, eps_hat, alpha_bar, eta, z):
    theta = torch.atan2((1 - alpha_bar).sqrt(), alpha_bar.sqrt())
    x0 = (x_t - torch.sin(theta[t]) * eps_hat) / torch.cos(theta[t])
    lost = torch.sin(theta[s]) / torch.sin(theta[t])
    share = eta * lost * torch.sqrt(1 - alpha_bar[t] / alpha_bar[s])
    noise = torch.sqrt(torch.clamp(torch.sin(theta[s]) ** 2 - share**2, min=0))
    return torch.cos(theta[s]) * x0 + noise * eps_hat + share * z
""",
        """
def ddim_step(x_t, t, s, eps_hat, alpha_bar, eta, z):
    r = 1.0
    for i in range(s + 1, t + 1):
        r = r * (alpha_bar[i] / alpha_bar[i - 1])
    variance = (1 - alpha_bar[s]) * (1 - r) / (1 - alpha_bar[t]) * eta * eta
    keep = torch.sqrt(1 - alpha_bar[s] - variance)
    rows = []
    for x, e, noise in zip(x_t, eps_hat, z):
        level = torch.sqrt(1 / alpha_bar[t] - 1)
        x0 = x / torch.sqrt(alpha_bar[t]) - level * e
        rows.append(torch.sqrt(alpha_bar[s]) * x0 + keep * e + torch.sqrt(variance) * noise)
    return torch.stack(rows)
""",
    ],
    "q2": [
        """
def time_grid(T, n):
    return [T - T * k // n for k in range(n + 1)]
""",
        """
def time_grid(T, n):
    return torch.linspace(T, 0, n + 1, dtype=torch.float64).round().long().tolist()
""",
        """
def time_grid(T, n):
    short, longer = divmod(T, n)
    times = [T]
    for k in range(n):
        times.append(times[-1] - short - (1 if k < longer else 0))
    return times
""",
    ],
    "q3": [
        """
def invert(eps_fn, x0, times, alpha_bar):
    sigma = ((1 - alpha_bar) / alpha_bar).sqrt()
    bar = x0 / alpha_bar[times[-1]].sqrt()
    for i in range(len(times) - 1, 0, -1):
        s, t = times[i], times[i - 1]
        asked = torch.full((x0.shape[0],), s, dtype=torch.int64)
        bar = bar + (sigma[t] - sigma[s]) * eps_fn(alpha_bar[s].sqrt() * bar, asked)
    return alpha_bar[times[0]].sqrt() * bar
""",
        """
def invert(eps_fn, x0, times, alpha_bar):
    x = x0.clone()
    rising = sorted(times)
    for s, t in zip(rising, rising[1:]):
        a, b = alpha_bar[s].item(), alpha_bar[t].item()
        eps = eps_fn(x, s * torch.ones(len(x), dtype=torch.long))
        x = (b / a) ** 0.5 * x + ((1 - b) ** 0.5 - (b * (1 - a) / a) ** 0.5) * eps
    return x
""",
        """
def invert(eps_fn, x0, times, alpha_bar):
    theta = torch.acos(alpha_bar.sqrt())
    x, s = x0, times[-1]
    for t in list(reversed(times))[1:]:
        eps = eps_fn(x, torch.tensor([s] * len(x)))
        v = (eps - theta[s].sin() * x) / theta[s].cos()
        turn = theta[t] - theta[s]
        x, s = turn.cos() * x + turn.sin() * v, t
    return x
""",
    ],
    "q4": [
        """
def ilvr_hook(x, y, s, alpha_bar, phi, z):
    a = alpha_bar[s].item()
    return x - phi(x - a**0.5 * y - (1 - a) ** 0.5 * z)
""",
        """
def ilvr_hook(x, y, s, alpha_bar, phi, z):
    fine = x - phi(x)
    theta = torch.atan2((1 - alpha_bar[s]).sqrt(), alpha_bar[s].sqrt())
    return fine + theta.cos() * phi(y) + theta.sin() * phi(z)
""",
        """
def ilvr_hook(x, y, s, alpha_bar, phi, z):
    rows = []
    for i in range(len(x)):
        row = x[i : i + 1]
        noised = alpha_bar[s] ** 0.5 * y[i : i + 1] + (1 - alpha_bar[s]) ** 0.5 * z[i : i + 1]
        rows.append(row + (phi(noised) - phi(row)))
    return torch.cat(rows)
""",
    ],
}

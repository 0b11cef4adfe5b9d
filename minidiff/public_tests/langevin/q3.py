"""Generated from assignments/src/langevin.py: edit that."""

from minidiff.check import test_case


name = "q3"
points = 2


@test_case(points=0.5, hidden=False)
def test_the_way_back_has_the_opposite_sign(log_accept):
    import torch
    from minidiff.check import close

    def log_prob(x):
        return -x.pow(4).sum(1) / 4

    def score(x):
        return -x.pow(3)

    x = torch.tensor([[1.0, -0.5], [0.2, 1.3], [-1.1, 0.4]], dtype=torch.float64)
    y = torch.tensor([[0.3, -0.9], [1.0, 1.6], [-0.2, 0.1]], dtype=torch.float64)
    there = log_accept(log_prob, score, x, y, 0.5)
    assert there.shape == (3,), (
        "There should be one number for each chain: every chain decides for itself whether it moves."
    )
    assert there.abs().min() > 0, (
        "These pairs of points are not equally likely, so going there and coming back are not accepted alike."
    )
    assert close(log_accept(log_prob, score, x, x, 0.5), torch.zeros(3, dtype=torch.float64)), (
        "To stay is to lose nothing: for y = x the fraction is 1, and its logarithm 0."
    )
    assert close(log_accept(log_prob, score, y, x, 0.5), -there), (
        "On the way back the fraction is upside down, so its logarithm changes sign. That needs both proposals, each with the drift of the place where it starts, and no cut at 0."
    )
    alone = torch.cat(
        [log_accept(log_prob, score, x[i : i + 1], y[i : i + 1], 0.5) for i in range(3)]
    )
    assert close(alone, there), (
        "A chain should get the same number alone as among others: a fraction belongs to one chain."
    )
    parts = [log_accept(log_prob, score, x[:, i : i + 1], y[:, i : i + 1], 0.5) for i in (0, 1)]
    assert close(parts[0] + parts[1], there), (
        "The coordinates of this density are independent, so the fractions of the two multiply, and their logarithms add up."
    )


@test_case(points=0.5, hidden=False)
def test_short_steps_are_nearly_always_accepted(log_accept):
    import torch
    from minidiff.check import close

    x = torch.tensor([[1.0, -0.5], [0.3, 2.0]], dtype=torch.float64)
    z = torch.tensor([[0.7, 0.4], [-0.6, 1.2]], dtype=torch.float64)

    def log_prob(x):
        return 7 - x.square().sum(1) / 2

    def score(x):
        return -x

    short = log_accept(log_prob, score, x, x + 0.01 * z, 0.0001)
    assert short.shape == (2,), (
        "There should be one number for each chain: every chain decides for itself whether it moves."
    )
    assert short.abs().max() < 1e-05, (
        "What the step gains in density it should nearly lose again in the proposals: a step uphill is the likelier one. For a short step the fraction is then close to 1. Look at which density and which proposal stand above and which below, and at the proposals' mean and variance."
    )
    inward = log_accept(log_prob, score, x, x / 2, 0.5)
    assert (inward > 0).all(), (
        "For a Gaussian, ULA spreads too far, so a proposal that lies nearer to the peak should always be accepted: is the fraction the right way up, and does each proposal start where it should?"
    )
    level = log_accept(lambda x: 0 * x[:, 0] + 7, lambda x: 0 * x, x, x + z, 0.5)
    assert close(level, torch.zeros(2, dtype=torch.float64)), (
        "Where the density is flat, there and back are equally likely, and every step is accepted."
    )

"""Generated from assignments/src/langevin.py: edit that."""

from minidiff.check import test_case


name = "q4"
points = 2


@test_case(points=0.5, hidden=False)
def test_the_steps_fit_the_levels(annealed):
    import torch
    from minidiff.check import close

    x = torch.tensor([[1.0, -2.0, 0.5], [0.5, 3.0, -1.0]], dtype=torch.float64)
    sigmas = torch.tensor([4.0, 2.0, 0.5], dtype=torch.float64)
    places, levels, drawn = ([], [], [])

    def flat(x, sigma):
        places.append(x.clone())
        levels.append(sigma)
        return 0 * x

    def noise(x):
        drawn.append(x.shape)
        return torch.ones_like(x)

    last = annealed(flat, x, sigmas, 0.09, 3, noise)
    assert last.shape == x.shape, "The last state should have the shape of the first."
    assert len(places) == 3 * 3, (
        "Every level should have n steps, each of which asks score_fn once, and nothing comes after the last level."
    )
    assert len(drawn) == 3 * 3, (
        "Every step should draw its noise with noise(x), once: noise from elsewhere may have another law, and the same noise again is not independent."
    )
    for level in levels:
        assert isinstance(level, torch.Tensor) and level.shape == (2,), (
            "score_fn should be told a level for each sample of the batch, as a tensor (B,)."
        )
    assert close(torch.stack(levels).view(3, 3, 2), sigmas.view(3, 1, 1).expand(3, 3, 2), 1e-06), (
        "score_fn should be told the sigma of the level that it is asked at, in the order from the largest to the smallest: the weights are settled where the noise is large."
    )
    moves = torch.stack([*places, last]).diff(dim=0).view(3, 3, 2, 3)
    assert close(moves, moves[:, :1, :1, :1].expand(3, 3, 2, 3), 1e-06), (
        "With a flat score and noise(x) that is always 1, all steps of a level should be alike. A step goes on from where the one before ended, also from level to level, and takes its noise from noise(x)."
    )
    assert close(moves[2, 0] ** 2, torch.full((2, 3), 0.09, dtype=torch.float64), 1e-06), (
        "At the last level the noise of a step should have the variance delta_min."
    )
    assert close(moves[:, 0, 0, 0] * 0.5, moves[2, 0, 0, 0] * sigmas, 1e-06), (
        "At a level twice as large a step's noise should carry twice as far: then it is as large at every level beside the law that is sampled there, and so is the drift."
    )


@test_case(points=0.5, hidden=False)
def test_data_at_one_point_are_found(annealed):
    import torch

    g = torch.Generator().manual_seed(0)
    sigmas = torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    x = torch.full((1000, 2), 20.0, dtype=torch.float64)

    def score_fn(x, sigma):
        return (3 - x) / sigma.view(-1, 1) ** 2

    def noise(x):
        return torch.randn(x.shape, generator=g, dtype=torch.float64)

    last = annealed(score_fn, x, sigmas, 0.2, 20, noise)
    assert last.shape == x.shape, "The last state should have the shape of the first."
    assert abs(last.mean() - 3) < 0.2, (
        "All data lie at one point, and after all levels the chains should lie around it: the drift leads there, and each level goes on with what the one before has reached."
    )
    variance = (last - 3).square().mean()
    assert variance > 0.9, (
        "At the end the chains should still have the noise of the last level: either the final step of Tweedie's formula was taken, or drift and noise are out of proportion."
    )
    assert variance < 1.3, (
        "At the end the chains should have no more than the noise of the last level and ULA's small excess: is the last level sampled, with enough steps, and are drift and noise in proportion?"
    )

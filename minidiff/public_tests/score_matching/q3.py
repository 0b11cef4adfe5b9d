"""Generated from assignments/src/score_matching.py: edit that."""

from minidiff.check import test_case


name = "q3"
points = 2


@test_case(points=0.5, hidden=False)
def test_data_at_one_point_are_found(denoise):
    import torch
    from minidiff.check import close

    point = torch.tensor([2.0, -1.0], dtype=torch.float64)
    noisy = torch.tensor([[0.0, 0.0], [3.0, 1.0], [2.5, -4.0]], dtype=torch.float64)
    sigma = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    answer = denoise(lambda x, level: (point - x) / level[:, None] ** 2, noisy, sigma)
    assert answer.shape == noisy.shape, "A denoised sample has the shape of the noisy one."
    assert close(answer[1], point), (
        "All data lie at one point, so that point is the mean: the score leads from the noisy sample to it, all the way, and neither half of it nor away."
    )
    assert close(answer, point.expand(3, 2)), (
        "At sigma = 1 the answer is right and elsewhere not: how far to go along the score is told by the variance of the noise."
    )


@test_case(points=0.5, hidden=False)
def test_without_a_slope_nothing_moves(denoise):
    import torch
    from minidiff.check import close

    noisy = torch.tensor([[0.3, -2.0], [1.0, 0.7]], dtype=torch.float64)
    answer = denoise(lambda x, level: 0 * x, noisy, torch.ones(2, dtype=torch.float64))
    assert close(answer, noisy), (
        "Where the density is flat every direction is as good as its opposite, so the mean is the noisy sample itself."
    )

"""Generated from assignments/src/score_matching.py: edit that."""

from minidiff.check import test_case


name = "q1"
points = 2


@test_case(points=0.5, hidden=False)
def test_it_points_from_the_noisy_sample_to_the_clean_one(kernel_score):
    import torch

    clean = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    noisy = clean + torch.tensor([[0.3, -0.1], [-0.2, 0.4]], dtype=torch.float64)
    sigma = torch.tensor([0.7, 1.5], dtype=torch.float64)
    score = kernel_score(noisy, clean, sigma)
    assert score.shape == noisy.shape, (
        "The answer should have the shape of noisy: a score is a vector at each sample."
    )
    along = (score * (clean - noisy)).sum(1)
    assert (along > 0).all(), (
        "The density rises towards the clean sample, and so must the score: look at its sign."
    )
    rest = score - along[:, None] * (clean - noisy) / (clean - noisy).square().sum(1, keepdim=True)
    assert rest.abs().max() < 1e-09, (
        "The kernel is round, so its score lies on the line from the noisy sample to the clean one. Is each sample divided by its own sigma, all coordinates alike?"
    )


@test_case(points=0.5, hidden=False)
def test_it_falls_as_the_noise_grows(kernel_score):
    import torch
    from minidiff.check import close

    clean = torch.zeros(3, 2, dtype=torch.float64)
    noisy = torch.tensor([[0.3, -0.1], [0.3, -0.1], [0.6, -0.2]], dtype=torch.float64)
    score = kernel_score(noisy, clean, torch.tensor([0.5, 1.0, 1.0], dtype=torch.float64))
    assert score.shape == noisy.shape and score[1].abs().min() > 0, (
        "Away from the clean sample the density has a slope, in each coordinate."
    )
    assert close(score[2], 2 * score[1]), (
        "Twice as far, the slope of a Gaussian's logarithm is twice as steep."
    )
    assert close(score[0], 4 * score[1]), (
        "Half the sigma should make the score four times as large: the logarithm of the density holds a variance, not a standard deviation."
    )

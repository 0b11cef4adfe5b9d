"""Generated from assignments/src/score_matching.py: edit that."""

from minidiff.check import test_case


name = "q4"
points = 2

@test_case(points=0.5, hidden=False)
def test_it_falls_from_hopeless_to_nothing(loss_floor):
    low, high = (loss_floor(1.0, 0.0001, 2), loss_floor(1.0, 10000.0, 2))
    assert 0 <= high < 1e-06, 'At very large noise a noisy sample is nearly all noise, so a network can read the noise off it: the floor should be near 0.'
    assert abs(low - 1) < 1e-06, 'At very small noise nothing can be guessed, and the best answer loses what the answer 0 loses: half of the variance of eps, in each dimension.'

@test_case(points=0.5, hidden=False)
def test_it_knows_no_unit_of_length(loss_floor):
    one = loss_floor(1.0, 0.5, 2)
    assert one > 0, 'For data that are not at one point the floor is above zero.'
    assert abs(loss_floor(10.0, 5.0, 2) - one) < 1e-09, 'Data and noise ten times as large are the same problem in another unit: only the ratio of the two can matter.'
    assert abs(loss_floor(1.0, 0.5, 6) - 3 * one) < 1e-09, 'The dimensions of this Gaussian are independent, so three times as many have three times the floor.'

@test_case(points=1, hidden=True)
def test_it_is_what_the_best_score_loses(loss_floor):
    import torch
    g = torch.Generator().manual_seed(104)
    for _ in range(3):
        c, sigma = (torch.rand(2, generator=g, dtype=torch.float64) + 0.5).tolist()
        x, eps = torch.cartesian_prod(*[torch.tensor([-3.0 ** 0.5, 0.0, 3.0 ** 0.5], dtype=torch.float64)] * 2).T
        w = torch.cartesian_prod(*[torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=torch.float64)] * 2).prod(1)
        slopes = torch.linspace(-8, 0, 400001, dtype=torch.float64)[:, None]
        best = ((sigma * slopes * (c * x + sigma * eps) + eps) ** 2 * w).sum(1).min() / 2
        assert abs(loss_floor(c, sigma, 3) - 3 * best.item()) < 1e-06, 'The answer is not what the best linear score loses, and for Gaussian data no other is better.'


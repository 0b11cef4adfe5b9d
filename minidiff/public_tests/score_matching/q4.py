"""Generated from assignments/src/score_matching.py: edit that."""

from minidiff.check import test_case


name = "q4"
points = 2


@test_case(points=0.5, hidden=False)
def test_it_falls_from_hopeless_to_nothing(loss_floor):
    low, high = (loss_floor(1.0, 0.0001, 2), loss_floor(1.0, 10000.0, 2))
    assert 0 <= high < 1e-06, (
        "At very large noise a noisy sample is nearly all noise, so a network can read the noise off it: the floor should be near 0."
    )
    assert abs(low - 1) < 1e-06, (
        "At very small noise nothing can be guessed, and the best answer loses what the answer 0 loses: half of the variance of eps, in each dimension. Is the weight sigma^2 of dsm_loss in it?"
    )


@test_case(points=0.5, hidden=False)
def test_it_knows_no_unit_of_length(loss_floor):
    one = loss_floor(1.0, 0.5, 2)
    assert one > 0, "For data that are not at one point the floor is above zero."
    assert abs(loss_floor(10.0, 5.0, 2) - one) < 1e-09, (
        "Data and noise ten times as large are the same problem in another unit: only the ratio of the two can matter. Is the weight sigma^2 of dsm_loss in it?"
    )
    assert abs(loss_floor(1.0, 0.5, 6) - 3 * one) < 1e-09, (
        "The dimensions of this Gaussian are independent, so three times as many have three times the floor."
    )

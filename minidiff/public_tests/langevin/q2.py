"""Generated from assignments/src/langevin.py: edit that."""

from minidiff.check import test_case


name = "q2"
points = 2


@test_case(points=0.5, hidden=False)
def test_half_the_step_makes_half_the_error(ula_variance):
    tiny = float(ula_variance(1.7, 0.0017))
    assert abs(tiny - 1.7) < 0.0017, (
        "With tiny steps the chain should all but sample the target, and have its variance."
    )
    small, large = (float(ula_variance(1.7, delta)) - 1.7 for delta in (0.017, 0.034))
    assert small > 0 and large > 0, (
        "A step of finite length leaves the variance too large: neither exact nor too small."
    )
    assert 1.9 < large / small < 2.1, (
        "Half the step should halve what the variance has too much: that error is of first order in delta."
    )


@test_case(points=0.5, hidden=False)
def test_it_has_a_limit_and_no_unit_of_length(ula_variance):
    import math

    one = float(ula_variance(1.0, 1.5))
    assert abs(float(ula_variance(9.0, 13.5)) - 9 * one) < 1e-09, (
        "A variance and a step both nine times as large are the same chain in another unit of length: delta is measured in the unit of a variance."
    )
    assert math.isfinite(float(ula_variance(1.0, 3.9))) and float(ula_variance(1.0, 3.9)) > 1, (
        "At delta = 3.9 c^2 the chain still settles, at a variance that is finite and too large."
    )
    assert abs(float(ula_variance(0.7, 1.4)) - 1.4) < 1e-09, (
        "At delta = 2 c^2 the drift leads from anywhere to the mean in one step, so that nothing is left in the state but the mean and the noise of the last step."
    )
    assert float(ula_variance(0.7, 3.5)) == math.inf, (
        "At delta = 5 c^2 every step overshoots the mean by more than it was away from it, so the variance grows without end."
    )

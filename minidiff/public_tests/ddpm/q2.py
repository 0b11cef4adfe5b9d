"""Generated from assignments/src/ddpm.py: edit that."""

from minidiff.check import test_case


name = "q2"
points = 2


@test_case(points=0.5, hidden=False)
def test_only_the_step_to_time_zero_is_certain(posterior):
    import torch
    from minidiff.check import close

    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.2, 0.8]], dtype=torch.float64)
    x_t = torch.tensor([[0.3, 1.4], [-1.2, 0.6], [2.0, -0.5]], dtype=torch.float64)
    alpha_bar = torch.tensor([1.0, 0.7, 0.4, 0.1], dtype=torch.float64)
    answer = posterior(x0, x_t, 1, alpha_bar)
    assert isinstance(answer, (tuple, list)) and len(answer) == 2, (
        "Two things should come back, the mean and the variance."
    )
    assert answer[0].shape == x_t.shape, "The mean is a state, and has the shape of one."
    assert answer[0].isfinite().all(), (
        "At t = 1 the variance of x_0 given x_0 is 0: a formula that divides by it has no value there."
    )
    assert close(answer[0], x0), (
        "From t = 1 the step ends at time 0, and what lies there is given: the mean should be x_0, whatever x_1 is."
    )
    assert abs(float(answer[1])) < 1e-12, (
        "At t = 1 nothing is left to chance, so the variance should be 0. How much a step back leaves open is not how much the step there added."
    )
    mean, variance = posterior(x0, x_t, 3, alpha_bar)
    assert float(variance) > 1e-06, (
        "Between two ends that are further apart the state is not certain, so the variance should be above 0."
    )
    moved, _ = posterior(x0, x_t + 1, 3, alpha_bar)
    assert (moved > mean).all(), (
        "Before t = 1 the mean lies between both ends: where x_t moves, it should follow."
    )


@test_case(points=0.5, hidden=False)
def test_there_and_one_step_back_is_the_forward_process(posterior):
    import torch
    from minidiff.check import close

    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    alpha_bar = torch.tensor([1.0, 0.9216, 0.64, 0.36, 0.0784], dtype=torch.float64)
    signal, noise = ([1.0, 0.96, 0.8, 0.6, 0.28], [0.0, 0.28, 0.6, 0.8, 0.96])
    for t in (2, 3, 4):
        answer = posterior(x0, signal[t] * x0, t, alpha_bar)
        assert isinstance(answer, (tuple, list)) and len(answer) == 2, (
            "Two things should come back, the mean and the variance."
        )
        assert close(answer[0], signal[t - 1] * x0), (
            "Drawn from x_0, the states x_t have a mean, and going back from there should lead to the mean of the states at t - 1. One of the two coefficients is off, or both are."
        )
        pull, variance = posterior(0 * x0, torch.ones_like(x0), t, alpha_bar)
        spread = ((noise[t] * pull) ** 2).mean() + float(variance)
        assert spread < noise[t - 1] ** 2 + 1e-09, (
            "There and one step back, the spread came out larger than the forward process has it at t - 1. What x_t's own spread brings along and the posterior's variance add up, so look at both, and at whether the second is a variance."
        )
        assert spread > noise[t - 1] ** 2 - 1e-09, (
            "There and one step back, the spread came out smaller than the forward process has it at t - 1. What x_t's own spread brings along and the posterior's variance add up, so look at both."
        )

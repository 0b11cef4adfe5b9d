"""Generated from assignments/src/ddpm.py: edit that."""

from minidiff.check import test_case


name = "q3"
points = 2


@test_case(points=0.5, hidden=False)
def test_the_last_step_ends_at_the_guess(ancestral_step):
    import torch
    from minidiff.check import close

    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.2, 0.8]], dtype=torch.float64)
    eps = torch.tensor([[0.4, 1.1], [-1.0, 0.3], [0.7, -0.6]], dtype=torch.float64)
    alpha_bar = torch.tensor([1.0, 0.64, 0.3], dtype=torch.float64)
    x_1 = 0.8 * x0 + 0.6 * eps
    quiet = ancestral_step(x_1, 1, eps, alpha_bar, 0 * eps)
    assert quiet.shape == x0.shape, "A step leads from states to states of the same shape."
    assert close(quiet, x0), (
        "At t = 1, told exactly which noise is in x_1, the step should return the clean data: that noise is to be taken out, in the size that it has there, and what remains brought back to the size of the data."
    )
    loud = ancestral_step(x_1, 1, eps, alpha_bar, torch.ones_like(eps))
    assert close(loud, quiet), (
        "The last step should add no noise, since nothing comes after it that would take it out."
    )


@test_case(points=0.5, hidden=False)
def test_data_at_one_point_keep_to_the_forward_process(ancestral_step):
    import torch
    from minidiff.check import close

    alpha_bar = torch.tensor([1.0, 0.9216, 0.64, 0.36, 0.0784], dtype=torch.float64)
    signal, noise = ([1.0, 0.96, 0.8, 0.6, 0.28], [0.0, 0.28, 0.6, 0.8, 0.96])
    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    zero, one = (torch.zeros_like(x0), torch.ones_like(x0))
    for t in (2, 3, 4):
        path = ancestral_step(signal[t] * x0, t, zero, alpha_bar, zero)
        assert close(path, signal[t - 1] * x0), (
            "A state that is x_0 shrunk, without noise, should come back as x_0 shrunk as much as it is at t - 1."
        )
        fresh = ancestral_step(zero, t, zero, alpha_bar, one)
        assert fresh.abs().min() > 0, (
            "Before the last step there is something to draw: z should matter, or all walks run to the mean."
        )
        old = ancestral_step(noise[t] * one, t, one, alpha_bar, zero)
        spread = (old**2 + fresh**2).mean()
        assert spread < noise[t - 1] ** 2 + 1e-09, (
            "Data at one point, their noise told exactly: after the step there is more noise in the states than the forward process has at t - 1. What is left of the old noise and what z adds make it up, so look at both, and at which of the chapter's two variances is meant."
        )
        assert spread > noise[t - 1] ** 2 - 1e-09, (
            "Data at one point, their noise told exactly: after the step there is less noise in the states than the forward process has at t - 1. What is left of the old noise and what z adds make it up, so look at both, and at whether z meets a variance or a standard deviation."
        )

"""Generated from assignments/src/ddim.py: edit that."""

from minidiff.check import test_case


name = "q1"
points = 2


@test_case(points=0.5, hidden=False)
def test_the_law_of_the_next_level_is_right(ddim_step):
    import torch
    from minidiff.check import close

    alpha_bar = torch.linspace(1, 0.1, 10, dtype=torch.float64) ** 2
    clean = torch.tensor([2.0, -1.0], dtype=torch.float64)
    eps = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)[:, None].repeat(1, 2)
    z = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)[:, None].repeat(1, 2)
    for t, s in ((9, 3), (4, 3), (5, 0)):
        noised = alpha_bar[t].sqrt() * clean + (1 - alpha_bar[t]).sqrt() * eps
        for eta in (0.0, 0.5, 1.0):
            x_s = ddim_step(noised, t, s, eps, alpha_bar, eta, z)
            assert x_s.shape == (4, 2), "The answer should have the shape of x_t."
            assert x_s.isfinite().all(), (
                "The answer is not a number: somewhere a root is taken of what is below zero, or something is divided by 0. No eta from 0 to 1 adds more variance than level s has."
            )
            assert close(x_s.mean(0), alpha_bar[s].sqrt() * clean), (
                "Where the noise is predicted rightly, the mean of x_s should be as much of the clean data as is left at level s: look at how x_0 is found in x_t, and at the level to which it is brought."
            )
            right = close(x_s.var(0, correction=0), (1 - alpha_bar[s]).expand(2))
            assert right or eta > 0, (
                "Where the noise is predicted rightly, x_s should be as noisy as level s is. Already at eta = 0 it is not: look at how much noise is taken out of x_t, and how much is put back."
            )
            assert right, (
                "At eta = 0 the answer is as noisy as level s is, and above 0 it is not: the predicted and the fresh noise share one variance, and what one gets the other gives up."
            )


@test_case(points=0.5, hidden=False)
def test_eta_says_how_much_of_the_noise_is_fresh(ddim_step):
    import torch
    from minidiff.check import close

    alpha_bar = torch.tensor([1.0, 0.9, 0.6, 0.3, 2e-12, 1e-12], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    clean, eps, z = torch.randn(3, 4, 2, generator=g, dtype=torch.float64)

    def fresh(t, s, eta):
        with_z, without = (
            ddim_step(clean + eps, t, s, eps, alpha_bar, eta, noise) for noise in (z, 0 * z)
        )
        return with_z - without

    assert close(fresh(3, 1, 0.0), 0 * z), (
        "At eta = 0 the step is deterministic: fresh noise must not matter."
    )
    full = fresh(3, 1, 1.0)
    assert full.abs().min() > 1e-06, "At eta = 1 fresh noise should enter wherever s is above 0."
    assert close(fresh(3, 1, 0.5), full / 2), (
        "Half of eta should be half of the fresh noise: eta multiplies a standard deviation."
    )
    assert close(fresh(3, 0, 1.0), 0 * z), (
        "At s = 0 the data are clean, so a step that ends there adds no noise."
    )
    ends = [ddim_step(1e-06 * clean + e, 5, 2, e, alpha_bar, 1.0, z) for e in (eps, -eps)]
    assert close(ends[0], ends[1], 0.0001), (
        "Here x_t is pure noise, and at eta = 1 that noise should tell nothing of the noise in x_s, which is then all fresh: the amount depends on both ends of the step, t and s."
    )

"""Generated from assignments/src/ddpm.py: edit that."""

from minidiff.check import test_case


name = "q1"
points = 2


@test_case(points=0.5, hidden=False)
def test_it_leads_from_the_data_to_the_noise(q_sample):
    import torch
    from minidiff.check import close

    x0 = torch.tensor([[1.0, -2.0, 0.5], [0.3, 3.0, -1.0], [2.0, 0.7, 1.5]], dtype=torch.float64)
    eps = torch.tensor([[0.4, 1.1, -0.6], [-1.0, 0.3, 0.8], [0.2, -0.9, 1.3]], dtype=torch.float64)
    alpha_bar = torch.tensor([1.0, 0.6, 0.3, 0.1, 1e-22], dtype=torch.float64)
    first = q_sample(x0, torch.tensor([0, 0, 0]), eps, alpha_bar)
    assert first.shape == x0.shape, "The states should have the shape of the data."
    assert close(first, x0), (
        "At t = 0 nothing has been added yet, so the data themselves should come back. Which entry of alpha_bar belongs to time t?"
    )
    final = q_sample(x0, torch.tensor([4, 4, 4]), eps, alpha_bar)
    assert close(final, eps), (
        "Where nothing of the data is left, the state should be the noise itself: at full size, and with its own sign."
    )
    mixed = q_sample(x0, torch.tensor([0, 4, 0]), eps, alpha_bar)
    assert close(mixed, torch.stack([x0[0], eps[1], x0[2]])), (
        "Each sample should be taken to its own time, as a whole: along which axis are the times laid?"
    )


@test_case(points=0.5, hidden=False)
def test_variance_one_is_kept(q_sample):
    import torch

    g = torch.Generator().manual_seed(0)
    alpha_bar = torch.tensor([1.0, 0.4, 0.3, 0.25, 0.2, 0.15], dtype=torch.float64)
    x0, eps = torch.randn(2, 250, 40, generator=g, dtype=torch.float64)
    last = 0.0
    for time in range(1, 6):
        t = torch.full((250,), time)
        noise = q_sample(0 * x0, t, eps, alpha_bar).var().item()
        assert noise > last, (
            "The noise in a state is that of all steps so far, so there should be more of it at each later time."
        )
        last = noise
        total = q_sample(x0, t, eps, alpha_bar).var().item()
        assert total > 0.95, (
            "Data of variance 1 should keep it, and the states' came out smaller. The variances of data and noise add up: is what they are multiplied with a variance, or a standard deviation?"
        )
        assert total < 1.05, (
            "Data of variance 1 should keep it, and the states' came out larger. The variances of data and noise add up: do the two shares make 1?"
        )

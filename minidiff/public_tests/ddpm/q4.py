"""Generated from assignments/src/ddpm.py: edit that."""

from minidiff.check import test_case


name = "q4"
points = 2


@test_case(points=0.5, hidden=False)
def test_the_network_is_asked_at_the_states(ddpm_loss):
    import torch
    from minidiff.check import close

    x0 = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.7, -1.0]], dtype=torch.float64)
    eps = torch.tensor([[0.0, 2.0], [0.0, 2.0], [0.4, 1.1]], dtype=torch.float64)
    t = torch.tensor([2, 1, 4])
    alpha_bar = torch.tensor([1.0, 0.6, 0.3, 0.1, 1e-22], dtype=torch.float64)
    asked = []

    def eps_fn(x, time):
        asked.append((x, time))
        return 0 * x

    loss = ddpm_loss(eps_fn, x0, t, eps, alpha_bar)
    assert len(asked) == 1, "eps_fn should be called once for the whole batch."
    x, time = asked[0]
    assert x.shape == x0.shape, "The network should be asked at states of the shape of the data."
    assert (x - x0).abs().max() > 1e-06, (
        "The network should be asked at the noisy states: in clean data there is no noise to find."
    )
    assert close(time, t), (
        "The network should be told at which times the states are, the same numbers that alpha_bar is indexed with."
    )
    assert close(x[2], eps[2]), (
        "Where nothing of the data is left, the network should be asked about the noise itself. Which entry of alpha_bar belongs to time t?"
    )
    assert close(x[:2].norm(dim=1), x0[:2].norm(dim=1)), (
        "In these two samples data and noise are equally long and at right angles, and so the states should be as long: it is squares that add up, as variances do."
    )
    assert loss.shape == (3,), (
        "There should be one loss for each sample, so that times can be weighed and compared."
    )


@test_case(points=0.5, hidden=False)
def test_a_network_that_answers_zero_loses_one(ddpm_loss):
    import torch
    from minidiff.check import close

    g = torch.Generator().manual_seed(0)
    alpha_bar = torch.tensor([1.0, 0.99, 0.5, 0.01], dtype=torch.float64)
    t = torch.arange(3).repeat(100) + 1
    for shape in ((300, 20), (300, 1, 8, 10)):
        x0, eps = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        knowing = ddpm_loss(lambda x, time: eps, x0, t, eps, alpha_bar)
        assert knowing.shape == (300,), (
            "There should be one loss for each sample, so that times can be weighed and compared."
        )
        assert knowing.abs().max() < 1e-09, (
            "A network that answers the noise itself should lose nothing: what is its answer compared with?"
        )
        silent = ddpm_loss(lambda x, time: 0 * x, x0, t, eps, alpha_bar)
        for time in (1, 2, 3):
            mean = silent[t == time].mean()
            assert 0.9 < mean < 1.1, (
                "A network that answers 0 should lose the mean square of normal noise: the same at every time, and for samples of any size."
            )
    twice = ddpm_loss(lambda x, time: 0 * x, x0, t, 2 * eps, alpha_bar)
    assert close(twice, 4 * silent), (
        "The error counts by its square: twice the noise missed is four times the loss."
    )

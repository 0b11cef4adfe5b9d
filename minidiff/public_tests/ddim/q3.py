"""Generated from assignments/src/ddim.py: edit that."""

from minidiff.check import test_case


name = "q3"
points = 2


@test_case(points=0.5, hidden=False)
def test_it_asks_once_a_step_at_the_cleaner_end(invert):
    import torch
    from minidiff.check import close

    alpha_bar = torch.linspace(1, 0.1, 10, dtype=torch.float64) ** 2
    x0 = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]], dtype=torch.float64)
    asked = []

    def eps_fn(x, t):
        asked.append((x, t))
        return torch.tanh(x) + 1

    latent = invert(eps_fn, x0, [9, 6, 4, 1, 0], alpha_bar)
    assert latent.isfinite().all(), (
        "The answer is not a number. The walk starts at time 0, where 1 - alpha_bar is 0: what is divided by it? A step without fresh noise needs no such quotient."
    )
    assert len(asked) == 4, (
        "Five times are four steps, and each should ask the network once: is the first step or the last left out?"
    )
    for _, t in asked:
        assert isinstance(t, torch.Tensor) and t.shape == (3,) and (t.dtype == torch.int64), (
            "The network should be told a time for each sample: a tensor of shape (B,) and dtype int64."
        )
    told = [int(t[0]) for _, t in asked]
    assert told == sorted(told), (
        "Inversion goes up, from the data to the noise, so the times at which it asks should rise."
    )
    assert told[0] == 0 and told[-1] < 9, (
        "Each step should ask at the end where it is, the less noisy one: the other end is a state that it does not have yet."
    )
    assert told == [0, 1, 4, 6], (
        "The walk should stop at the times of the grid, all of them and no others."
    )
    assert close(asked[0][0], x0), (
        "At time 0 the state is the data, and the first question is about it."
    )
    assert not any((close(x, x0) for x, _ in asked[1:])), (
        "After the first step the question should be about the state that the walk has reached, and no longer about x0."
    )
    assert latent.shape == x0.shape, "The noise has the shape of the data."


@test_case(points=0.5, hidden=False)
def test_a_prediction_that_never_changes_makes_any_grid_exact(invert):
    import torch
    from minidiff.check import close

    alpha_bar = torch.tensor([1.0, 0.9, 0.7, 0.4, 0.1, 1e-12], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 3, 2, generator=g, dtype=torch.float64)
    one, many = (
        invert(lambda x, t: eps, x0, times, alpha_bar) for times in ([4, 0], [4, 3, 2, 1, 0])
    )
    assert one.isfinite().all(), (
        "The answer is not a number. The walk starts at time 0, where 1 - alpha_bar is 0: what is divided by it? A step without fresh noise needs no such quotient."
    )
    assert not close(one, x0), "The state should move away from the data."
    assert close(one, many), (
        "If the predicted noise is the same everywhere, Euler steps are exact, and four short ones should lead to where one long one does: look at the coefficients of data and noise, at their levels and their roots."
    )
    noise = invert(lambda x, t: eps, x0, [5, 4, 3, 2, 1, 0], alpha_bar)
    assert close(noise, eps, 0.0001), (
        "At the last time nothing of the data is left, so the state there should be the noise that the network saw in them all the way."
    )
    still = invert(lambda x, t: 0 * x, x0, [3, 2, 0], alpha_bar)
    ratio = still / x0
    assert (ratio > 0).all() and close(ratio, ratio[0, 0].expand(3, 2)), (
        "Where the network sees no noise, all data should shrink by one factor."
    )
    assert abs((ratio[0, 0] ** 2).item() - 0.4) < 1e-09, (
        "Where the network sees no noise, as much of the data's variance should be left as alpha_bar says."
    )

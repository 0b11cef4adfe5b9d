"""Generated from assignments/src/langevin.py: edit that."""

from minidiff.check import test_case


name = "q1"
points = 2


@test_case(points=0.5, hidden=False)
def test_on_flat_ground_it_is_a_random_walk(ula_step):
    import torch
    from minidiff.check import close

    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    z = torch.tensor([[0.4, 1.1], [-0.7, 0.3]], dtype=torch.float64)

    def flat(x):
        return 0 * x

    still = ula_step(flat, x, 1.0, 0 * z)
    assert still.shape == x.shape, (
        "The answer should have the shape of x: every point takes its step."
    )
    assert close(still, x), (
        "Without a slope and without noise a point should stay where it is: a step is added to x."
    )
    one = ula_step(flat, x, 1.0, z)
    assert close(one, x + z), (
        "Where the density is flat, a step of delta = 1 should add noise of variance 1 and do no more: in this chapter's convention delta is the variance of a step's noise."
    )
    far = ula_step(flat, x, 4.0, z)
    assert close(far - x, 2 * (one - x)), (
        "Variances add up, so delta = 4 is as much noise as four steps of delta = 1, and that carries a point twice as far, not four times."
    )


@test_case(points=0.5, hidden=False)
def test_samples_of_the_law_stay_samples_of_it(ula_step):
    import torch
    from minidiff.check import close

    x = torch.tensor([[2.0], [2.0], [4.0], [4.0]], dtype=torch.float64)
    z = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]], dtype=torch.float64)
    asked = []

    def score(x):
        asked.append(x)
        return 3 - x

    after = ula_step(score, x, 0.01, z)
    assert asked, (
        "The score was never asked, and without it nothing tells the points which law to keep."
    )
    assert close(asked[0], x), (
        "The score should be asked where the step starts: the noise is drawn independently of it."
    )
    assert after.shape == x.shape, (
        "The answer should have the shape of x: every point takes its step."
    )
    assert abs(after.mean() - 3) < 0.0001, (
        "The mean of N(3, 1) is 3, and a step should leave it there."
    )
    variance = (after - 3).square().mean()
    assert variance < 1 + 0.0001, (
        "Points with the variance of N(3, 1) spread in one small step: its noise outweighs the drift, or the drift leads away from the peak."
    )
    assert variance > 1 - 0.0001, (
        "Points with the variance of N(3, 1) shrink together in one small step: its drift outweighs the noise."
    )

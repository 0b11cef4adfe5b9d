"""Generated from assignments/src/score_matching.py: edit that."""

from minidiff.check import test_case


name = "q2"
points = 2


@test_case(points=0.5, hidden=False)
def test_the_network_is_asked_at_the_noisy_samples(dsm_loss):
    import torch
    from minidiff.check import close

    clean = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]], dtype=torch.float64)
    eps = torch.tensor([[0.4, 0.1], [-1.0, 0.3], [0.2, 0.2]], dtype=torch.float64)
    sigma = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    asked = []

    def score_fn(x, level):
        asked.append((x, level))
        return 0 * x

    loss = dsm_loss(score_fn, clean, sigma, eps)
    assert len(asked) == 1, "score_fn should be called once for the whole batch."
    distance = asked[0][0] - clean
    assert distance.abs().max() > 0, (
        "The network should be asked at the noisy samples: at the clean ones there is no noise to find."
    )
    assert close(distance[1], eps[1]) and close(distance[0], eps[0] / 2), (
        "The noise of a sample should be as large as its own sigma says, and no larger."
    )
    assert close(asked[0][1], sigma), (
        "The network should be told the noise levels, or it could not tell a near sample from a far one."
    )
    assert loss.shape == (3,), (
        "There should be one loss for each sample, so that noise levels can be weighed and compared."
    )


@test_case(points=0.5, hidden=False)
def test_every_noise_level_has_the_same_scale(dsm_loss):
    import torch
    from minidiff.check import close

    g = torch.Generator().manual_seed(0)
    clean, eps = torch.randn(2, 2000, 3, generator=g, dtype=torch.float64)
    one = torch.ones(2000, dtype=torch.float64)
    knowing = dsm_loss(lambda x, level: (clean - x) / level[:, None] ** 2, clean, 0.3 * one, eps)
    assert knowing.abs().max() < 1e-09, (
        "A network that knew the noise would lose nothing: is the sign of the noise right?"
    )
    small = dsm_loss(lambda x, level: 0 * x, clean, 0.01 * one, eps)
    large = dsm_loss(lambda x, level: 0 * x, clean, 10 * one, eps)
    assert close(small, large), (
        "A network that answers 0 should lose the same at every noise level: without the weight sigma^2 the small levels drown the others."
    )
    assert 1.3 < small.mean() < 1.7, (
        "Summed over 3 coordinates, and halved: a sample with more coordinates has more to lose."
    )

"""Generated from assignments/src/ddim.py: edit that."""

from minidiff.check import test_case


name = "q4"
points = 2


@test_case(points=0.5, hidden=False)
def test_coarse_from_the_reference_and_fine_from_the_state(ilvr_hook):
    import torch
    from minidiff.check import close

    alpha_bar = torch.linspace(1, 0.1, 10, dtype=torch.float64) ** 2
    g = torch.Generator().manual_seed(0)
    x, y, z = torch.randn(3, 2, 1, 8, generator=g, dtype=torch.float64)

    def phi(x):
        return x.view(-1, 1, 4, 2).mean(3, keepdim=True).expand(-1, 1, 4, 2).reshape(-1, 1, 8)

    for s in (0, 1, 6):
        answer = ilvr_hook(x, y, s, alpha_bar, phi, z)
        assert answer.shape == x.shape, "The answer should have the shape of the state."
        assert close(answer - phi(answer), x - phi(x)), (
            "What the filter does not see should be left as it is: the hook takes from the state its coarse part, all of it and nothing else, and gives it that of the noised reference."
        )
    assert close(ilvr_hook(y, y, 0, alpha_bar, phi, z), y), (
        "At s = 0 the reference is clean, and a state that equals it should be left alone."
    )
    clean = ilvr_hook(x, y, 0, alpha_bar, phi, z)
    assert close(phi(clean), phi(y)), (
        "At s = 0 the coarse part of the answer should be that of the clean reference: the promise of the method is about the last state of the walk."
    )


@test_case(points=0.5, hidden=False)
def test_the_reference_is_brought_to_the_level_of_the_state(ilvr_hook):
    import torch
    from minidiff.check import close

    nearly = torch.tensor([1.0, 1 - 1e-12, 1e-12], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    x, y, z = torch.randn(3, 2, 4, generator=g, dtype=torch.float64)
    early, late = (ilvr_hook(x, y, s, nearly, lambda x: x, z) for s in (1, 2))
    assert close(early, y, 0.0001) and close(late, z, 0.0001), (
        "On this schedule level 1 is nearly clean and level 2 nearly pure noise, and the filter sees everything: at level 1 the answer should be nearly y, and at level 2 nearly z."
    )
    alpha_bar = torch.linspace(1, 0.1, 10, dtype=torch.float64) ** 2
    y, z = torch.eye(2, dtype=torch.float64)[:, None]
    for s in (1, 5, 9):
        answer = ilvr_hook(0 * y, y, s, alpha_bar, lambda x: x, z)
        assert close(answer.square().sum(1), torch.ones(1, dtype=torch.float64)), (
            "Reference and noise have the same size here and nothing in common, so at every level what they make should have that size again: their variances add up to 1."
        )

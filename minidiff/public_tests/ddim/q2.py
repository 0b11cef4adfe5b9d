"""Generated from assignments/src/ddim.py: edit that."""

from minidiff.check import test_case


name = "q2"
points = 2


@test_case(points=0.5, hidden=False)
def test_it_leads_from_noise_to_data(time_grid):
    import torch

    for T, n in ((1000, 10), (1000, 7), (200, 60), (10, 10), (50, 1)):
        times = torch.as_tensor(time_grid(T, n))
        assert not times.is_floating_point(), "A time is an index into alpha_bar, and so an int."
        times = times.tolist()
        assert times[:1] == [T], (
            "The walk starts from pure noise, and that is the law at T and at no other level."
        )
        assert times[-1] == 0, (
            "The walk ends at clean data: a grid that stops above time 0 leaves noise on every sample."
        )
        assert len(times) == n + 1, (
            "A walk of n steps visits one time more than it has steps, also where n does not divide T."
        )


@test_case(points=0.5, hidden=False)
def test_it_falls_in_even_steps(time_grid):
    import torch

    for T, n in ((1000, 10), (10, 10), (1000, 7), (1000, 300), (200, 60), (10, 7)):
        times = torch.as_tensor(time_grid(T, n))
        times = times.tolist()
        falls = [t - s for t, s in zip(times[:-1], times[1:], strict=True)]
        assert len(falls) > 0, "There should be more than one time: a step has two ends."
        assert min(falls) > 0, (
            "Every time should be below the one before it: sampling goes down, and a step that stands still is a question to the network for nothing."
        )
        assert T % n or max(falls) == min(falls), (
            "Where n divides T, all steps can have one length, and should."
        )
        assert max(falls) - min(falls) < 1.5, (
            "The steps should be as even as whole numbers allow. Where n does not divide T, the remainder should be spread over the walk and not pile up in one step."
        )

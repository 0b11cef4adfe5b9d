"""Draws the picture of the book's first page with the shipped network: noise becomes digits."""

import torch

from ledger import ROOT
from minidiff import viz, zoo
from minidiff.forward import eps_fn
from minidiff.sampling import sample

ROWS, COLUMNS, SEED = 4, 12, 6


def main() -> None:
    """Writes book/_assets/cover.png: each row is one walk, every other level of 24 steps."""
    recipe = zoo.recipe("digits")
    assert recipe.schedule is not None
    schedule = recipe.schedule()
    noise = torch.randn(ROWS, 1, 8, 8, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        net = eps_fn(zoo.load("digits"), schedule)
        walk = [noise, *(step.x for step in sample(net, noise, schedule, schedule.grid(24)))]
    # The last levels change most to the eye, so the row ends with every one of them.
    shown = [walk[k] for k in (0, 9, 12, 14, 16, 18, 19, 20, 21, 22, 23, 24)]
    grid = torch.stack(shown, 1).flatten(0, 1)
    picture = viz.images(grid, "Noise becomes digits.", cols=COLUMNS, scale=9)
    (ROOT / "book/_assets/cover.png").write_bytes(picture.png)


if __name__ == "__main__":
    main()

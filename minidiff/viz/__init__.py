"""Pictures: what a chapter shows, in light and dark, on a phone and on paper.

Every function returns a :class:`Picture`, which a notebook draws when it is the last value of
a cell. Its HTML asks no other file or host for anything::

    from minidiff import viz

    viz.use_style()
    fig, ax = plt.subplots()
    ax.plot(losses, color=viz.PALETTE["model"])
    viz.show(fig, "The loss falls from 1 to 0.2 in 2,000 steps.")

    viz.images(samples, "Forty samples.", cols=10)
    viz.play_images(walk, {"t": grid}, "Noise turns into digits.")
    viz.play_points(walk, {"t": grid}, "Noise turns into two moons.", limits=(-3, 3))
    viz.play_figures(fields, {"t": grid}, "The arrows turn towards the two moons.")

This is the only package here that imports matplotlib, and nothing below it imports this one.
"""

from minidiff.viz.live import live_images, live_points
from minidiff.viz.picture import Picture, images, show
from minidiff.viz.player import play_figures, play_images, play_points
from minidiff.viz.style import PALETTE, use_style

__all__ = [
    "PALETTE",
    "Picture",
    "images",
    "live_images",
    "live_points",
    "play_figures",
    "play_images",
    "play_points",
    "show",
    "use_style",
]

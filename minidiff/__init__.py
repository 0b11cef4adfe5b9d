"""minidiff: diffusion models, one equation at a time.

Each chapter of the book has a module here, and each module says which equations it implements::

    from minidiff import ddpm, ddim
    from minidiff.schedule import linear_schedule
    from minidiff.sampling import sample, last

Time follows the papers everywhere: ``t`` runs over 1..T, clean data is ``t = 0`` and
``alpha_bar[0] = 1``. Images are floating-point tensors in [-1, 1].
"""

from minidiff import ddim, ddpm, forward, gmm, langevin, sampling, schedule, score_matching

__all__ = [
    "ddim",
    "ddpm",
    "forward",
    "gmm",
    "langevin",
    "sampling",
    "schedule",
    "score_matching",
]
__version__ = "0.1.0"

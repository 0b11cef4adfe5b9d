"""Trained networks that run in the reader's browser.

Like a player a live sampler is plain HTML with its data and scripts, and needs no kernel, no
library and no network connection; but its frames are not stored, they are computed while the
reader watches. ``nets.js`` holds the networks, ``live.js`` the sampler and the page.
"""

import base64
import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from minidiff import _validate as check
from minidiff.forward import eps_fn, noise_level
from minidiff.nets import MLP, UNet
from minidiff.sampling import last, sample
from minidiff.schedule import Schedule
from minidiff.viz import parts, picture
from minidiff.viz.picture import Picture
from minidiff.viz.style import PALETTE

_POINTS = 600  # that move
_STEPS = (1, 2, 3, 5, 10, 20, 50, 100)
_RANGES = {  # name: (least, greatest, step, at first)
    "steps": (0, len(_STEPS) - 1, 1, _STEPS.index(20)),
    "eta": (0, 1, 0.25, 0),
    "w": (0, 4, 0.5, 0),
}


def live_points(
    net: MLP,
    schedule: Schedule,
    clouds: Mapping[str, Tensor],
    alt: str,
    *,
    limits: tuple[float, float],
    caption: str | None = None,
) -> Picture:
    """Lets the reader sample points of the plane with a network, on the page itself.

    The reader chooses what the network is told, the number of steps, eta and the weight w of
    guidance, (1 + w) eps_hat(told) - w eps_hat(not told), and watches 600 points walk from noise
    to data by the steps of ``ddim.step``. The same choices and the same noise draw the same points
    on every machine. Without a script there is the end of a walk of 50 steps, told the first
    label.

    Args:
        net: Trained to predict v in two dimensions, with a class for each of ``clouds``. Its
            weights are rounded to float16, as the package stores them, and take 2.7 bytes each.
        schedule: The noise schedule to walk down, T >= 100.
        clouds: For each label its name and points, (M, 2), that stay, drawn faintly.
        alt: What there is to see.
        limits: The square's least and greatest coordinate, on both axes.
        caption: Plain text below the picture.

    Raises:
        TypeError: A cloud is not a floating-point tensor.
        ValueError: ``net`` has another dimension or not a class for each cloud, float16 cannot
            hold its weights, a cloud has another shape or a coordinate that is not finite,
            ``schedule`` has fewer than 100 steps, ``limits`` are not increasing, or ``alt`` is
            empty.

    Source: Ho & Salimans 2022 for the guidance.
    """
    if net.dim != 2 or net.classes != len(clouds):
        raise ValueError(
            f"net: expected one of 2 dimensions and {len(clouds)} classes, a class for each of "
            f"clouds, got one of {net.dim} dimensions and {net.classes} classes"
        )
    rounded = _rounded(net)
    check.integer("schedule.T", schedule.T, max(_STEPS))
    for name, cloud in clouds.items():
        parts.check_points(f"clouds[{name!r}]", cloud, "M", "2")
    parts.check_limits(limits)

    end, first = _sample(rounded, schedule, _POINTS, 2), next(iter(clouds.values()))
    paths = [parts.dots(cloud, limits) for cloud in clouds.values()]
    moving = parts.moving(PALETTE["model"], parts.dots(end, limits))
    body = parts.square(alt, paths[0], moving) + _controls(list(clouds))
    told = _told(rounded, schedule) | {"net": "MLP", "shape": [1, _POINTS, 2]}
    page = _html(body + parts.data(told | {"clouds": paths, "limits": limits}), caption)
    still = parts.square_png(end, [PALETTE["model"]] * _POINTS, first, limits)
    return Picture(page, still, alt)


def live_images(
    net: UNet,
    schedule: Schedule,
    labels: Sequence[str],
    alt: str,
    *,
    size: tuple[int, int],
    n: int = 8,
    cols: int = 4,
    caption: str | None = None,
) -> Picture:
    """Lets the reader sample images with a network, on the page itself, once it is asked for.

    As ``live_points``, for a grid of images that are all told one label. Such a network is large,
    so it does not run before a button is pressed; the book's pages do not even load it before.
    Until then, and without a script, there is the end of a walk of 50 steps, told the first label.

    Args:
        net: Trained to predict v, with a class for each of ``labels``; its weights are rounded to
            float16. It works on whole images alone: no other image and no patches.
        schedule: The noise schedule to walk down, T >= 100.
        labels: The name of each label.
        alt: What there is to see.
        size: Height and width of an image, >= 4.
        n: The number of images.
        cols: Images in a row.
        caption: Plain text below the picture.

    Raises:
        TypeError: ``n``, ``cols`` or an entry of ``size`` is not an int.
        ValueError: ``net`` has not a class for each label, other channels than 1 or 3, patches or
            a conditioning image, float16 cannot hold its weights, ``schedule`` has fewer than 100
            steps, ``n``, ``cols`` or ``size`` is too small, or ``alt`` is empty.

    Source: Ho & Salimans 2022 for the guidance.
    """
    is_plain = net.patch == 1 and net.image_channels == 0 and net.channels in (1, 3)
    if not is_plain or net.classes != len(labels):
        raise ValueError(
            f"net: expected one of {len(labels)} classes, a class for each of labels, 1 or 3 "
            "channels, no image_channels and patch 1, "
            f"got one of {net.classes} classes, {net.channels} channels, "
            f"{net.image_channels} image_channels and patch {net.patch}"
        )
    rounded = _rounded(net)
    check.integer("schedule.T", schedule.T, max(_STEPS))
    check.integer("n", n, 1)
    for side in size:
        check.integer("size", side, 4)

    end = _sample(rounded, schedule, n, net.channels, *size)
    png = picture.image_grid(end, cols)
    scale = parts.WIDTH / picture.width(png)
    kilobytes = sum(x.numel() for x in rounded.state_dict().values()) * 2 / 1000
    button = parts.button(f"Load the network ({kilobytes:.0f} kB)")
    offer = '<div class="offer" aria-live="polite" style="display:none;margin-top:.5em">'
    body = picture.image_html(png, alt, scale, -(-n // cols), cols, None, None)
    body += f"{offer}{button}</div>{_controls(labels)}"
    told = _told(rounded, schedule) | {"net": "UNet", "shape": [n, *size, net.channels]}
    page = _html(body + parts.data(told | {"cols": cols}, ' data-onclick=""'), caption)
    return Picture(page, picture.enlarge(png, scale), alt)


_Net = MLP | UNet


def _rounded(net: _Net) -> _Net:
    """Returns a copy with the weights that the page will have."""
    state = {name: x.detach().cpu().half() for name, x in net.state_dict().items()}
    wrong = [name for name, x in state.items() if not x.isfinite().all()]
    if wrong:
        raise ValueError(f"net: expected weights that float16 can hold, got others in {wrong[0]}")
    rounded = copy.deepcopy(net).cpu().float().eval()
    rounded.load_state_dict(state)
    return rounded


def _sample(net: _Net, schedule: Schedule, *shape: int) -> Tensor:
    """Returns the end of a walk that is told the first label: DDIM, eta = 0, 50 steps."""
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    first = eps_fn(net, schedule, label=torch.zeros(len(start), dtype=torch.int64))
    return last(sample(first, start, schedule, schedule.grid(50)))


def _told(net: _Net, schedule: Schedule) -> dict[str, Any]:
    """Returns names and shapes of a network's tensors, and all their numbers in base64.

    And the time and the level of each state, for each number of steps.
    """
    level, state = noise_level(schedule.alpha_bar).tolist(), net.state_dict()
    content = b"".join(x.half().numpy().astype("<f2").tobytes() for x in state.values())
    return {
        "shapes": [(name, len(x), x[0].numel()) for name, x in state.items()],
        "weights": base64.b64encode(content).decode(),
        "frequencies": net.level.frequencies.tolist(),
        "walks": [[(t, level[t]) for t in schedule.grid(steps)] for steps in _STEPS],
    }


def _controls(labels: Sequence[str]) -> str:
    """Returns what the reader can set."""
    row = '<output style="grid-column:3;min-width:11ch"></output>'
    play, again = parts.button("Play"), parts.button("New noise")
    ranges = [parts.slider(name, *numbers) + row for name, numbers in _RANGES.items()]
    return parts.controls(
        "Sampler",
        "auto",
        f"{play}{parts.slider('t', 0, 1)}{row}"
        f"{again}{parts.choice('label', labels)}{row}{''.join(ranges)}",
    )


def _html(body: str, caption: str | None) -> str:
    script = parts.script("nets.js", "live.js")
    return picture.figure_html(f'<div class="minidiff-live">{body}{script}</div>', caption)

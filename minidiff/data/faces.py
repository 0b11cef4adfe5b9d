"""Cartoon portraits drawn in code: images whose every attribute is known, and can be changed.

A face is a row of uniform random numbers. Some become its attributes, some choose the words of
its caption; :func:`faces` draws the attributes with signed distance functions (negative inside a
shape, positive outside) on a canvas of 128x128 points, and averages it down to the size asked
for. So the same numbers give the same face at every size, in every style, and with one attribute
changed: the true counterfactual of an edit.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from minidiff import _validate as check

SIZES = (8, 16, 32, 64)
STYLES = ("photo", "sketch", "neon", "mosaic")

# The values of each categorical attribute, equally likely; an attribute holds their positions.
CATEGORIES: dict[str, tuple[str | bool, ...]] = {
    "skin": ("pale", "light", "tan", "brown", "dark"),
    "hair_color": ("black", "brown", "blond", "red", "white", "blue"),
    "hair_style": ("bald", "short", "long", "curly"),
    "glasses": (False, True),
    "hat": (False, True),
    "background": ("green", "blue", "yellow", "pink", "purple", "gray"),
    "clothes": ("red", "navy", "green", "white", "black"),
}
# The interval of each continuous attribute, on which it is uniform.
RANGES = {
    "smile": (-1.0, 1.0),
    "freckles": (0.0, 1.0),
    "texture": (0.0, 1.0),
    "shift_x": (-0.08, 0.08),
    "shift_y": (-0.08, 0.08),
    "scale": (0.95, 1.15),
    "tilt": (-0.15, 0.15),
}


class FaceAttributes(NamedTuple):
    """What is drawn in each of n faces; every attribute shows in every face.

    Categorical ones are (n,) int64 positions in ``CATEGORIES[name]``, continuous ones (n,)
    float32 in ``RANGES[name]``. Lengths are in half image sides.

    Attributes:
        skin: its tone.
        hair_color: of hair and eyebrows; who is bald has a beard of this colour.
        hair_style: a hat leaves it to be seen at the sides.
        glasses: 0 or 1.
        hat: 0 or 1; the hat goes with the clothes.
        background: its colour.
        clothes: the shirt's colour.
        smile: from a frown, -1, to an open-mouthed smile, 1.
        freckles: how dark they are. They show at size 64, and next to nothing below.
        texture: where the strands of the hair, its loops and the freckles lie; likewise.
        shift_x: how far the person is moved to the right.
        shift_y: how far the person is moved down.
        scale: how large the person is.
        tilt: how far the head leans to the right, in radians.
    """

    skin: Tensor
    hair_color: Tensor
    hair_style: Tensor
    glasses: Tensor
    hat: Tensor
    background: Tensor
    clothes: Tensor
    smile: Tensor
    freckles: Tensor
    texture: Tensor
    shift_x: Tensor
    shift_y: Tensor
    scale: Tensor
    tilt: Tensor

    @property
    def label(self) -> Tensor:
        """The class that a class-conditional model is told, 2 hair_style + glasses, (n,) int64."""
        return 2 * self.hair_style + self.glasses


class Faces(NamedTuple):
    """Drawn portraits.

    Attributes:
        images: (n, 3, size, size) float32 in [-1, 1].
        attributes: what is in them.
        captions: a true sentence about each, which names some of its attributes.
    """

    images: Tensor
    attributes: FaceAttributes
    captions: list[str]


_SIDE = 128  # points of the canvas, per side: two for each pixel of the largest size
_CHUNK = 16  # faces drawn at once: so few that a layer of them stays in the processor's cache


def _colors(*codes: int) -> Tensor:
    return torch.tensor([[code >> shift & 255 for shift in (16, 8, 0)] for code in codes]) / 255


_SKIN = _colors(0xFFE3D0, 0xF6C7A0, 0xDDA574, 0xB0744F, 0x734838)
_HAIR = _colors(0x2B2530, 0x86501A, 0xF2C84B, 0xD4531C, 0xF2F0EC, 0x3F7FE0)
_BACKGROUND = _colors(0x8CCB88, 0x86C5F0, 0xFBE08A, 0xF7A8BC, 0xB597E0, 0xB4B9BF)
_CLOTHES = _colors(0xD8324A, 0x2C4A9A, 0x1F8A5B, 0xF5F3EE, 0x33323A)
_WHITE, _INK, _LIPS, _MOUTH, _PAPER, _NIGHT = (
    _colors(code)[:, :, None, None]
    for code in (0xFFFFFF, 0x2A2228, 0x28070C, 0xA83240, 0xFAF6EC, 0x0B0820)
)


class _View(NamedTuple):
    """A part of the canvas: colours (B, 3, H, W), and coordinates (B, H, W) of its points."""

    image: Tensor
    x: Tensor
    y: Tensor

    def part(self, left: float, top: float, right: float, bottom: float) -> "_View":
        """Returns the window outside which a feature never lies, whatever the pose."""
        a, b, c, d = (round((v + 1) / 2 * _SIDE) for v in (left, top, right, bottom))
        return _View(self.image[..., b:d, a:c], self.x[:, b:d, a:c], self.y[:, b:d, a:c])

    def paint(self, distance: Tensor, color: Tensor, opacity: float | Tensor = 1.0) -> None:
        """Covers what lies inside a shape, its edge blended over one point of the canvas."""
        cover = (0.5 - distance * (_SIDE / 2)).clamp_(0, 1) * opacity
        self.image.lerp_(color, cover[:, None])

    def model(self, distance: Tensor, color: Tensor, rim: float, tone: float | Tensor = 1) -> None:
        """Paints a shape that darkens by ``rim`` towards its edge, as if it were round."""
        edge = (1 + distance * 8).clamp_(0, 1)
        shade = (1 - rim * edge.square()) * tone
        self.paint(distance, color * shade[:, None])


# Below, the face's middle is (0, 0), y points down, and lengths are in half image sides.


def _ellipse(x: Tensor, y: Tensor, rx: float, ry: float) -> Tensor:
    return ((x / rx).square() + (y / ry).square()).sqrt_().sub_(1) * min(rx, ry)


def _box(x: Tensor, y: Tensor, rx: float, ry: float, corner: float) -> Tensor:
    dx, dy = x.abs() - (rx - corner), y.abs() - (ry - corner)
    return torch.hypot(dx.relu(), dy.relu()) + torch.maximum(dx, dy).clamp_(max=0) - corner


def _glow(x: Tensor, y: Tensor, width: float) -> Tensor:
    """A soft spot of light or colour: 1 in the middle, 0 from ``width`` on."""
    return (1 - (x.square() + y.square()) / width**2).relu_().square()


def _strands(x: Tensor, y: Tensor, texture: Tensor) -> Tensor:
    """Dark and light lines that run down hair, too fine for 32 pixels."""
    bend = x + 0.06 * torch.sin(5 * y + 40 * texture)
    return 1 + 0.13 * torch.sin(75 * bend + 60 * texture)


def _loops(x: Tensor, y: Tensor, texture: Tensor) -> Tensor:
    """The same for curls."""
    across = torch.sin(42 * x + 2 * torch.sin(13 * y) + 60 * texture)
    return 1 + 0.18 * across * torch.sin(42 * y + 2 * torch.sin(11 * x) + 40 * texture)


def _wall(view: _View, color: Tensor) -> None:
    light = 1.06 - 0.16 * ((view.x + 0.4).square() + (view.y + 0.6).square()) / 2
    view.image.copy_((color * light[:, None]).clamp_(max=1))


def _long_hair_behind(head: _View, color: Tensor, texture: Tensor) -> None:
    x, y = head.x, head.y
    fall = _box(x, y - 0.28, 0.56, 0.46, 0.2)
    shape = torch.minimum(_ellipse(x, y + 0.06, 0.54, 0.60), fall)
    head.model(shape, color, 0.35, 0.86 * _strands(x, y, texture))


def _curls_behind(head: _View, color: Tensor, texture: Tensor) -> None:
    x, y = head.x, head.y + 0.14
    scallops = 0.05 * torch.cos(6.5 * torch.atan2(x, -y)).abs()
    shape = torch.maximum(_ellipse(x, y, 0.56, 0.56) - scallops, y - 0.40)
    head.model(shape, color, 0.3, 0.9 * _loops(x, y, texture))


def _shirt(body: _View, skin: Tensor, color: Tensor) -> None:
    x, y = body.x, body.y
    body.paint(_box(x, y - 0.5, 0.17, 0.3, 0.05), skin * 0.82)  # the neck
    body.model(_box(x, y - 1.1, 0.74, 0.44, 0.3), color, 0.25)
    body.paint(_ellipse(x, y - 0.62, 0.25, 0.14), color * 0.72)
    body.paint(_ellipse(x, y - 0.59, 0.20, 0.13), skin * 0.86)


def _head(head: _View, skin: Tensor, freckles: Tensor, texture: Tensor) -> None:
    x, y = head.x, head.y
    for side in (-1, 1):
        head.model(_ellipse(x - side * 0.43, y - 0.05, 0.085, 0.11), skin * 0.94, 0.25)
    light = 1.0 + 0.08 * _glow(x + 0.12, y + 0.2, 0.7)
    head.model(_ellipse(x * (1 + 0.12 * y), y, 0.43, 0.50), skin, 0.16, light)
    cheeks = head.part(-0.66, -0.25, 0.66, 0.52)
    x, y = cheeks.x, cheeks.y - 0.17
    red = torch.tensor([0.93, 0.36, 0.33])[:, None, None] * (0.35 + 0.65 * skin)
    cheeks.image.lerp_(red, 0.36 * _glow(x.abs() - 0.26, y, 0.18)[:, None])
    dots = torch.sin(80 * x + 4 * torch.sin(21 * y + 60 * texture))
    dots = dots * torch.sin(80 * y + 4 * torch.sin(19 * x + 40 * texture))
    where = (2 * _glow(0.7 * (x.abs() - 0.22), y, 0.14)).clamp_(max=1)
    spots = (4 * dots - 1.2).clamp_(0, 1) * where
    cheeks.image.lerp_(red * 0.55, (0.9 * freckles * spots)[:, None])


def _eyes(head: _View, hair: Tensor) -> None:
    x, y = head.x.abs() - 0.175, head.y - 0.02
    head.paint(_ellipse(x, y, 0.082, 0.098), _WHITE)
    head.paint(_ellipse(x + 0.010, y - 0.008, 0.054, 0.072), _INK)
    head.paint(_ellipse(x + 0.03 * head.x.sign(), y + 0.032, 0.022, 0.026), _WHITE)
    brow = _box(x, y + 0.185 + 1.2 * x.square(), 0.105, 0.034, 0.03)
    head.paint(brow, hair * 0.85)


def _nose(head: _View, skin: Tensor) -> None:
    head.paint(_ellipse(head.x, head.y - 0.150, 0.052, 0.038), skin * 0.76)
    head.paint(_ellipse(head.x + 0.008, head.y - 0.137, 0.046, 0.034), skin)


def _mouth(head: _View, smile: Tensor) -> None:
    """Lies between two parabolas: its corners turn up, then the lips part, as a smile grows."""
    x, y = head.x, head.y - 0.305
    bow = (1 - (x / 0.22).square()).relu_()
    curve = smile + 0.12  # a calm face is a friendly one
    gap = 0.05 * smile.relu() * bow.sqrt()  # half of what lies between the lips
    middle = y + curve * (0.06 - 0.115 * bow) - gap
    ends = x.abs() - 0.21
    head.paint(torch.maximum(middle.abs() - gap - 0.022 - 0.014 * bow, ends), _LIPS)
    inside = torch.maximum(middle.abs() - gap + 0.006, ends)
    head.paint(inside, _MOUTH)
    head.paint(torch.maximum(inside, middle + gap - 0.05), _WHITE)  # teeth


def _beard(head: _View, color: Tensor, texture: Tensor) -> None:
    x, y = head.x, head.y
    line = 0.40 - 1.3 * (x.abs() - 0.17).relu()
    shape = torch.maximum(_ellipse(x * (1 + 0.12 * y), y - 0.04, 0.45, 0.53), line - y)
    head.model(shape, color, 0.25, _strands(x, y, texture))


def _short_hair(head: _View, color: Tensor, texture: Tensor) -> None:
    x, y = head.x, head.y
    side = ((x.abs() - 0.30) / 0.12).clamp(0, 1)
    line = -0.27 - 0.10 * torch.sin(4 * x + 0.6) * (1 - side) + 0.34 * side
    shape = torch.maximum(_ellipse(x, y + 0.02, 0.48, 0.58), (y - line) * 0.8)
    shine = 1 + 0.25 * _glow(x + 0.15, y + 0.42, 0.25)
    head.model(shape, color, 0.25, shine * _strands(x, y, texture))


def _long_hair(head: _View, color: Tensor, texture: Tensor) -> None:
    x, y = head.x, head.y
    line = -0.38 + 0.9 * (x.abs() - 0.03).relu() + 8 * (x.abs() - 0.37).relu()
    shape = torch.maximum(_ellipse(x, y + 0.03, 0.51, 0.59), (y - line) * 0.5)
    shape = torch.maximum(shape, y - 0.4)
    shine = 1 + 0.25 * _glow(x.abs() - 0.2, y + 0.40, 0.22)
    head.model(shape, color, 0.25, shine * _strands(x, y, texture))


def _curls(head: _View, color: Tensor, texture: Tensor) -> None:
    x, y = head.x, head.y
    scallops = 0.05 * torch.cos(14 * x).abs()
    shape = torch.maximum(_ellipse(x, y + 0.14, 0.50, 0.48), y + 0.27 - scallops)
    shine = 1 + 0.2 * _glow(x + 0.2, y + 0.45, 0.3)
    head.model(shape, color, 0.2, shine * _loops(x, y + 0.14, texture))


def _glasses(head: _View) -> None:
    x, y = head.x.abs() - 0.19, head.y - 0.03
    lens = _box(x, y, 0.165, 0.15, 0.12)
    head.paint(lens, _WHITE, 0.08)
    bridge = _box(head.x, y + 0.02, 0.05, 0.018, 0.0)
    arm = _box(x - 0.2, y + 0.03, 0.06, 0.018, 0.0)
    head.paint(torch.minimum(lens.abs() - 0.019, torch.minimum(bridge, arm)), _INK)


def _hat(head: _View, color: Tensor) -> None:
    """A knitted hat with a bobble."""
    x, y = head.x, head.y
    ribs = 1 + 0.10 * torch.sin(58 * x)
    head.model(_ellipse(x, y + 0.69, 0.11, 0.10), 0.4 * color + 0.58, 0.3)
    dome = torch.maximum(_ellipse(x, y + 0.20, 0.49, 0.50), y + 0.25)
    head.model(dome, color, 0.3, ribs)
    head.model(_box(x, y + 0.31, 0.51, 0.085, 0.07), 0.75 * color + 0.22, 0.25, ribs)


def _photo(a: FaceAttributes) -> Tensor:
    """Returns the photos of a chunk of faces on the canvas, (B, 3, 128, 128) in [0, 1]."""
    grid = (torch.arange(_SIDE) + 0.5) * (2 / _SIDE) - 1
    number = {name: getattr(a, name)[:, None, None] for name in RANGES}
    tables = (_SKIN, a.skin), (_HAIR, a.hair_color), (_BACKGROUND, a.background)
    skin, hair, wall, cloth = (
        table[rows][:, :, None, None] for table, rows in (*tables, (_CLOTHES, a.clothes))
    )
    x = ((grid[None, None, :] - number["shift_x"]) / number["scale"]).expand(-1, _SIDE, -1)
    y = ((grid[None, :, None] - number["shift_y"]) / number["scale"]).expand(-1, -1, _SIDE)
    cos, sin, neck = number["tilt"].cos(), number["tilt"].sin(), 0.5
    image = torch.empty(len(a.skin), 3, _SIDE, _SIDE)
    body = _View(image, x, y)
    head = _View(image, cos * x + sin * (y - neck), cos * (y - neck) - sin * x + neck)
    texture = number["texture"]

    def only(rows: Tensor, view: _View, draw: Callable[..., None], *rest: Tensor) -> None:
        """Draws in the chosen faces what the others do not have."""
        some = _View(*(part[rows] for part in view))
        draw(some, *(part[rows] for part in rest))
        view.image[rows] = some.image

    bald, short, long, curly = (a.hair_style == k for k in range(4))
    _wall(body, wall)
    only(long, head, _long_hair_behind, hair, texture)
    only(curly, head, _curls_behind, hair, texture)
    _shirt(body.part(-1, 0.1, 1, 1), skin, cloth)
    _head(head, skin, number["freckles"], texture)
    only(bald, head.part(-0.8, -0.4, 0.8, 1), _beard, hair, texture)
    _eyes(head.part(-0.66, -0.45, 0.66, 0.36), hair)
    _nose(head.part(-0.3, -0.1, 0.3, 0.5), skin)
    _mouth(head.part(-0.4, 0.0, 0.4, 0.7), number["smile"])
    only(short, head, _short_hair, hair, texture)
    only(long, head, _long_hair, hair, texture)
    only(curly, head, _curls, hair, texture)
    only(a.glasses == 1, head.part(-0.7, -0.45, 0.7, 0.4), _glasses)
    only(a.hat == 1, head.part(-0.85, -1, 0.85, 0.2), _hat, cloth)
    return image.clamp_(0, 1)


def _edges(image: Tensor, least: float, gain: float) -> Tensor:
    """How much the colour changes from a point to the next, beyond ``least``, in 0..1."""
    padded = pad(image, (0, 1, 0, 1), mode="replicate")
    right, down = padded[:, :, :-1, 1:] - image, padded[:, :, 1:, :-1] - image
    change = (right.square() + down.square()).sum(1, keepdim=True).sqrt()
    return ((change - least) * gain).clamp_(0, 1)


def _sketch(image: Tensor) -> Tensor:
    """Coloured pencils on paper: slanted strokes, denser where it is dark, and dark outlines."""
    step = torch.arange(_SIDE)
    strokes = 0.5 + 0.5 * torch.sin((step[:, None] + step) * 1.1)
    pressure = (1.35 - image.mean(1, keepdim=True)) * (0.3 + 0.7 * strokes)
    colored = _PAPER + (image - _PAPER) * pressure.clamp(max=1)
    return colored + (_INK - colored) * (0.8 * _edges(image, 0.12, 2.5))


def _neon(image: Tensor) -> Tensor:
    """Glowing tubes along the outlines, in the photo's colours, at night."""
    low, high = image.amin(1, keepdim=True), image.amax(1, keepdim=True)
    vivid = (image - 0.8 * low) / (high - 0.8 * low)
    tube = _edges(image, 0.09, 5)
    halo = avg_pool2d(avg_pool2d(tube, 9, 1, 4), 9, 1, 4)
    return _NIGHT + 0.3 * image.square() + vivid * (tube + 0.8 * halo) + 0.2 * tube


def _mosaic(image: Tensor) -> Tensor:
    """Vivid square stones, nearly of one colour each, lit from the upper left; dark joints."""
    stones = avg_pool2d(image, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    place = torch.arange(_SIDE) % 8
    light = 1.08 - 0.015 * (place[:, None] + place)
    light[place == 0] *= 0.5
    light[:, place == 0] *= 0.5
    return (1.3 * (stones + 0.4 * (image - stones)) - 0.15) * light


_MEDIUM = {"sketch": _sketch, "neon": _neon, "mosaic": _mosaic}

_OPENINGS = {
    "photo": ("", "a photo of ", "a picture of ", "a portrait of "),
    "sketch": ("a sketch of ", "a pencil drawing of "),
    "neon": ("a neon sign of ", "a neon picture of "),
    "mosaic": ("a mosaic of ", "a tile picture of "),
}
_MOODS = (("sad", "frowning"), ("calm", "serious"), ("happy", "smiling"))


# All words of all captions.
WORDS = tuple(
    "a and background bald beard black blond blue brown calm curly dark drawing front frowning "
    "glasses gray green hair happy hat in light long mosaic navy neon no of on pale pencil person "
    "photo picture pink portrait purple red sad serious shirt short sign sketch skin smiling tan "
    "tile wall wearing white with yellow".split()
)


def _caption(face: dict[str, str | bool | float], style: str, draws: list[float]) -> str:
    """Says what is in a face; each attribute but freckles, texture and pose with odds of 1/2."""
    draw = iter(draws)

    def pick(options: Sequence[str]) -> str:
        return options[int(next(draw) * len(options))]

    def maybe(words: object) -> str:
        return pick(("", str(words)))

    # Whatever there is to say, one number is drawn for each decision.
    opening, mood = pick(_OPENINGS[style]), maybe(pick(_MOODS[round(float(face["smile"])) + 1]))
    hair, color, skin = (maybe(face[name]) for name in ("hair_style", "hair_color", "skin"))
    glasses = maybe("glasses" if face["glasses"] else "no glasses")
    hat = maybe("a hat" if face["hat"] else "no hat")
    shirt = maybe(pick((" in a {} shirt", " wearing a {} shirt"))).format(face["clothes"])
    wall = maybe(pick((" on a {} background", " in front of a {} wall")))
    if face["hair_style"] == "bald":
        person, hair = " ".join(filter(None, (mood, hair, "person"))), color and f"a {color} beard"
    else:
        person = f"{mood} person".strip()
        hair = " ".join(filter(None, (hair, color, "hair"))) if hair or color else ""
    parts = [part for part in (hair, skin and f"{skin} skin", glasses, hat) if part]
    listed = " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
    having = f" with {listed}" if listed else ""
    return f"{opening}a {person}{having}{shirt}{wall.format(face['background'])}"


_DRAWS = 32  # random numbers for each face: an attribute's, then those of its caption; some spare


def _one_of(name: str, value: object, options: Sequence[str | bool | int]) -> None:
    """Raises unless ``value`` is one of the options, and of their very type."""
    problem = f"{name}: expected one of {options}, got {check.describe(value)}"
    if type(value) is not type(options[0]):
        raise TypeError(problem)
    if value not in options:
        raise ValueError(problem)


def _check(n: int, size: int, style: str, fixed: Mapping[str, str | bool | float]) -> None:
    check.integer("n", n, 1)
    _one_of("size", size, SIZES)
    _one_of("style", style, STYLES)
    for name, value in fixed.items():
        if name in CATEGORIES:
            _one_of(name, value, CATEGORIES[name])
        elif name in RANGES:
            check.number(name, value, *RANGES[name])
        else:
            known = ", ".join(FaceAttributes._fields)
            raise TypeError(f"expected attributes among {known}, got {name!r}")


def faces(
    n: int,
    size: int = 32,
    style: str = "photo",
    generator: torch.Generator | None = None,
    **fixed: str | bool | float,
) -> Faces:
    """Draws n portraits, attributes independent and uniform but for those that are fixed.

    ``faces(n, generator=g, glasses=True)`` is what ``faces(n, generator=g)`` is from the same
    state of g, with glasses put on everybody. The first m of n faces are the faces of m.

    Args:
        n: The number of faces, >= 1.
        size: Their side in pixels, one of ``SIZES``; a smaller face is the mean of a larger.
        style: What they are drawn in, one of ``STYLES``.
        generator: Where the random numbers come from; torch's global one unless given.
        **fixed: An attribute's value for all faces: of ``CATEGORIES``, or a number in ``RANGES``.

    Returns:
        The images, what is in them, and a caption for each.

    Raises:
        TypeError: An argument has another type, or an attribute is unknown.
        ValueError: ``n`` is below 1, or a size, a style or an attribute has no such value.
    """
    _check(n, size, style, fixed)
    u = torch.rand(n, _DRAWS, generator=generator)
    columns = dict(zip(FaceAttributes._fields, u.unbind(1), strict=False))
    for name, options in CATEGORIES.items():
        chosen = (columns[name] * len(options)).long()
        columns[name] = chosen.fill_(options.index(fixed[name])) if name in fixed else chosen
    for name, (low, high) in RANGES.items():
        value = low + (high - low) * columns[name]
        columns[name] = value.fill_(float(fixed[name])) if name in fixed else value
    attributes = FaceAttributes(**columns)
    images = torch.empty(n, 3, size, size)
    for start in range(0, n, _CHUNK):
        some = slice(start, start + _CHUNK)
        canvas = _photo(FaceAttributes(*(value[some] for value in attributes)))
        canvas = _MEDIUM[style](canvas).clamp_(0, 1) if style in _MEDIUM else canvas
        images[some] = avg_pool2d(canvas, _SIDE // size) * 2 - 1
    return Faces(images, attributes, _said(attributes, style, u[:, len(attributes) :]))


def captions(
    attributes: FaceAttributes, style: str = "photo", generator: torch.Generator | None = None
) -> list[str]:
    """Says what is in each face once more: another choice of what to say, in other words.

    Args:
        attributes: Of the faces.
        style: What they are drawn in, one of ``STYLES``.
        generator: Where the random numbers come from; torch's global one unless given.

    Raises:
        TypeError: ``style`` is not a string.
        ValueError: There is no such style.
    """
    _one_of("style", style, STYLES)
    return _said(attributes, style, torch.rand(len(attributes.skin), _DRAWS, generator=generator))


def _said(attributes: FaceAttributes, style: str, draws: Tensor) -> list[str]:
    rows = zip(*(value.tolist() for value in attributes), strict=True)
    words = [dict(zip(FaceAttributes._fields, row, strict=True)) for row in rows]
    for face in words:
        face.update({name: options[face[name]] for name, options in CATEGORIES.items()})
    return [_caption(face, style, row) for face, row in zip(words, draws.tolist(), strict=True)]

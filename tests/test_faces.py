"""The portraits: every attribute shows, alone, at every size; captions are true English."""

import hashlib
import importlib
import itertools
import math
import re
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

from minidiff.data.faces import CATEGORIES, RANGES, SIZES, STYLES, FaceAttributes, faces

module = importlib.import_module("minidiff.data.faces")  # whatever else has its name


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(n, *args, seed=0, **kwargs):
    return faces(n, *args, generator=seeded(seed), **kwargs)


def close(a, b, atol=1e-5):
    return torch.allclose(a, b, rtol=0, atol=atol)


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves the drawing out, where only attributes and captions matter."""
    blank = torch.zeros(()).expand(module._CHUNK, 3, module._SIDE, module._SIDE)
    monkeypatch.setattr(module, "_photo", lambda attributes: blank[: len(attributes.skin)])


def test_shapes_types_and_ranges():
    got = draw(20)
    assert got.images.shape == (20, 3, 32, 32) and got.images.dtype == torch.float32
    assert got.images.min() >= -1 and got.images.max() <= 1
    assert got.images.amax((1, 2, 3)).min() > 0.5 and got.images.amin((1, 2, 3)).max() < -0.3
    assert len(got.captions) == 20
    assert set(FaceAttributes._fields) == CATEGORIES.keys() | RANGES.keys()
    for name, value in got.attributes._asdict().items():
        assert value.shape == (20,)
        assert value.dtype == (torch.int64 if name in CATEGORIES else torch.float32)


def test_random_numbers_come_from_the_generator_or_else_from_torch():
    state = torch.get_rng_state()
    first = draw(2, 8)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert torch.equal(faces(2, 8).images, first.images)
        assert not torch.equal(faces(2, 8).images, first.images)


def test_a_face_does_not_depend_on_how_many_are_drawn():
    many = draw(module._CHUNK + 5)
    few = draw(3)
    generator = seeded()
    faces(3, generator=generator)
    rest = faces(module._CHUNK + 2, generator=generator)
    assert close(torch.cat([few.images, rest.images]), many.images)
    assert few.captions + rest.captions == many.captions
    for a, b, c in zip(few.attributes, rest.attributes, many.attributes, strict=True):
        assert torch.equal(torch.cat([a, b]), c)


@pytest.mark.parametrize("style", STYLES)
def test_every_size_is_the_mean_of_a_larger_one(style):
    large = draw(3, 64, style)
    for size in SIZES:
        small = draw(3, size, style)
        assert close(small.images, avg_pool2d(large.images, 64 // size))
        assert small.captions == large.captions
        assert all(map(torch.equal, small.attributes, large.attributes))


def test_styles_draw_the_same_faces():
    drawn = {style: draw(6, style=style) for style in STYLES}
    photo = drawn["photo"]
    for one, other in itertools.combinations(drawn.values(), 2):
        assert (one.images - other.images).abs().mean((1, 2, 3)).min() > 0.1
        assert all(map(torch.equal, one.attributes, other.attributes))

    def steps(x):  # where there are outlines, blurred so far that their width does not matter
        step = x.diff(dim=2)[..., :-1].abs() + x.diff(dim=3)[:, :, :-1].abs()
        step = avg_pool2d(step.mean(1, keepdim=True), 5, 2).flatten(1)
        return step - step.mean(1, keepdim=True)

    for style in STYLES:
        likeness = torch.cosine_similarity(steps(drawn[style].images), steps(photo.images))
        assert likeness.min() > 0.5, style
        # What a caption says is said of the person, whatever the medium.
        for a, b in zip(drawn[style].captions, photo.captions, strict=True):
            assert parse(a)[0] == style and parse(a)[1:] == parse(b)[1:]


# At 32 pixels; the fine texture is made to vanish below 64.
SIZE = dict.fromkeys(FaceAttributes._fields, 32) | {"freckles": 64, "texture": 64}
VALUES = CATEGORIES | {name: (low, (low + high) / 2, high) for name, (low, high) in RANGES.items()}


@pytest.mark.parametrize("name", VALUES)
def test_every_value_shows_in_every_face_and_changes_nothing_else(name):
    drawn = [draw(8, SIZE[name], seed=1, **{name: value}) for value in VALUES[name]]
    free = draw(8, SIZE[name], seed=1)
    for value, got in zip(VALUES[name], drawn, strict=True):
        kept = got.attributes._asdict()
        stored = CATEGORIES[name].index(value) if name in CATEGORIES else value
        assert (kept[name] == torch.tensor(stored)).all()
        for other, expected in free.attributes._asdict().items():
            assert other == name or torch.equal(kept[other], expected)
        if name in CATEGORIES:  # and whom it does not change is drawn as before
            same = free.attributes._asdict()[name] == stored
            assert close(got.images[same], free.images[same])
    for one, other in itertools.combinations(drawn, 2):
        change = (one.images - other.images).abs().amax((1, 2, 3))
        assert change.min() > 0.1, name


@pytest.mark.parametrize(
    "name, rows, cols",  # where alone, at 32 pixels, the attribute may be seen
    [
        ("glasses", (8, 25), (3, 29)),
        ("hat", (0, 17), (2, 30)),
        ("smile", (13, 28), (8, 24)),
        ("freckles", (9, 27), (4, 28)),
        ("skin", (2, 32), (2, 30)),
        ("hair_color", (0, 32), (1, 31)),
        ("hair_style", (0, 32), (1, 31)),
        ("tilt", (0, 32), (0, 32)),
    ],
)
def test_an_attribute_changes_its_own_place_only(name, rows, cols):
    first, last = (
        draw(16, seed=2, **{name: v}).images for v in (VALUES[name][0], VALUES[name][-1])
    )
    seen = ((first - last).abs() > 1e-5).any(1)
    seen[:, rows[0] : rows[1], cols[0] : cols[1]] = False
    assert not seen.any()


def test_fine_texture_shows_only_at_high_frequency():
    plain, other = (draw(10, 64, seed=3, texture=value).images for value in (0.0, 0.37))
    change = other - plain
    fine = change.square().mean().sqrt()
    assert avg_pool2d(change, 2).square().mean().sqrt() < 0.6 * fine
    assert avg_pool2d(change, 4).square().mean().sqrt() < 0.3 * fine


def test_windows_never_cut_a_shape(monkeypatch):
    poses = [
        dict(zip(("shift_x", "shift_y", "scale", "tilt"), pose, strict=True))
        for pose in itertools.product(
            *(RANGES[k] for k in ("shift_x", "shift_y", "scale", "tilt"))
        )
    ]
    shown = dict(glasses=True, hat=True, hair_style="bald", smile=1.0)
    cut = [draw(1, 64, **shown, **pose).images for pose in poses]
    monkeypatch.setattr(module._View, "part", lambda view, *window: view)
    for pose, image in zip(poses, cut, strict=True):
        assert close(image, draw(1, 64, **shown, **pose).images, atol=1e-6), pose


def test_attributes_are_uniform_and_independent(undrawn):
    n = 4000
    got = draw(n, 8).attributes._asdict()
    for name, options in CATEGORIES.items():
        counts = got[name].bincount(minlength=len(options))
        expected = n / len(options)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert len(counts) == len(options) and chi2 < 20.5  # 99.9 % for 5 degrees of freedom
    for name, (low, high) in RANGES.items():
        u = ((got[name] - low) / (high - low)).sort().values
        assert (u - torch.arange(n) / n).abs().max() < 1.95 / math.sqrt(n)  # Kolmogorov, 99.9 %
    table = torch.stack([value.float() for value in got.values()])
    off_diagonal = torch.corrcoef(table) - torch.eye(len(table))
    assert off_diagonal.abs().max() < 4 / math.sqrt(n)


def words(name):
    return "|".join(CATEGORIES[name])


CAPTION = re.compile(
    r"(?P<opening>|an? [a-z ]+? of )a "
    r"(?:(?P<mood>sad|frowning|calm|serious|happy|smiling) )?(?:(?P<bald>bald) )?person"
    r"(?P<having> with .+?)??"
    rf"(?: (?:in|wearing) a (?P<clothes>{words('clothes')}) shirt)?"
    rf"(?: (?:on|in front of) a (?P<background>{words('background')}) (?:background|wall))?"
)
PART = re.compile(
    rf"a (?P<beard>{words('hair_color')}) beard"
    r"|(?:(?P<hair_style>short|long|curly) ?)?"
    rf"(?:(?P<hair_color>{words('hair_color')}) ?)?(?<= )hair"
    rf"|(?P<skin>{words('skin')}) skin|(?P<glasses>no |)glasses|(?P<hat>no|a) hat"
)


def parse(caption):
    """Returns the medium and what the caption says of each attribute; fails on other English."""
    whole = CAPTION.fullmatch(caption)
    assert whole, caption
    said = {k: v for k, v in whole.groupdict().items() if v and k not in ("opening", "having")}
    listed = (whole["having"] or "").removeprefix(" with ")
    parts = re.split(r", | and ", listed) if listed else []
    if parts:  # commas, and one "and" before the last
        assert listed == " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))), caption
    for part in parts:
        match = PART.fullmatch(part)
        assert match, caption
        new = {k: v for k, v in match.groupdict().items() if v is not None}
        assert new and not new.keys() & said.keys(), caption
        said |= new
    medium = {o: style for style, openings in module._OPENINGS.items() for o in openings}
    return medium[whole["opening"]], said


def test_captions_are_true_and_name_a_random_subset(undrawn):
    n = 300
    got = draw(n, 8)
    named = dict.fromkeys(
        ("mood", "hair_style", "hair_color", "skin", "glasses", "hat", "clothes", "background"), 0
    )
    for k, caption in enumerate(got.captions):
        style, said = parse(caption)
        face = {
            name: CATEGORIES[name][int(value[k])] if name in CATEGORIES else float(value[k])
            for name, value in got.attributes._asdict().items()
        }
        bald = face["hair_style"] == "bald"
        assert style == "photo"
        assert ("bald" in said) <= bald and ("beard" in said) <= bald
        assert not (bald and {"hair_style", "hair_color"} & said.keys()), caption
        for name in ("skin", "hair_color", "hair_style", "clothes", "background"):
            assert said.get(name, face[name]) == face[name], caption
        assert said.get("beard", face["hair_color"]) == face["hair_color"]
        assert said.get("glasses", "no " * (not face["glasses"])) == "no " * (not face["glasses"])
        assert said.get("hat", "a" if face["hat"] else "no") == ("a" if face["hat"] else "no")
        mood = said.get("mood")
        assert (mood in ("happy", "smiling")) <= (face["smile"] >= 0.5)
        assert (mood in ("sad", "frowning")) <= (face["smile"] <= -0.5)
        assert (mood in ("calm", "serious")) <= (abs(face["smile"]) <= 0.5)
        said |= {"hair_style": 1} if "bald" in said else {}
        said |= {"hair_color": 1} if "beard" in said else {}
        for name in named:
            named[name] += name in said
    for name, count in named.items():
        assert abs(count / n - 0.5) < 4 * 0.5 / math.sqrt(n), name
    assert len(set(got.captions)) > 0.9 * n
    vocabulary = set(" ".join(got.captions).replace(",", "").split())
    assert len(vocabulary) < 60


def test_a_fixed_attribute_changes_its_own_words_only(undrawn):
    with_, without = (draw(200, 8, glasses=value).captions for value in (True, False))
    assert [c.replace("no glasses", "glasses") for c in without] == with_
    assert sum("glasses" in c for c in with_) > 60


FROZEN = Path(__file__).with_name("faces.png")


def test_the_drawing_is_frozen():
    """A redraw voids every network that learnt from the faces: it is no small change.

    faces.png holds 24 faces in each style. Computers
    may round differently by one grey level; the words and the picture itself may not change.
    """
    digest = hashlib.sha256(FROZEN.read_bytes()).hexdigest()
    assert digest == "0f7460c9409ac25e595399b4c421cf329599ba2f5da7aedc4a44e09928d4cf7e"
    frozen = torch.tensor(numpy.asarray(Image.open(FROZEN))).int()
    drawn, words = [], []
    for style in STYLES:
        got = draw(24, 32, style, seed=5)
        images = ((got.images + 1) * 127.5).round().int()
        drawn.append(images.permute(2, 0, 3, 1).flatten(1, 2))
        words += got.captions
    assert (torch.cat(drawn) - frozen).abs().max() <= 1
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
    assert digest == "16f9f1ff0ce78ace5ad676f75094901d371697df3097e0682dbe7bf01fd944bb"


def test_spectrum_falls_off_like_that_of_photographs():
    gray = draw(48, 64, seed=4).images.mean(1)
    power = torch.fft.fft2(gray - gray.mean((1, 2), keepdim=True)).abs().square().mean(0)
    f = torch.fft.fftfreq(64) * 64
    ring = (f[:, None].square() + f.square()).sqrt().round()
    k = torch.arange(2, 32).double()
    level = torch.stack([power[ring == r].mean() for r in k]).double().log()
    x = k.log() - k.log().mean()
    slope = (x * level).sum() / x.square().sum()
    assert -3 < slope < -2  # power ~ 1 / f^2: about -2 for photographs of the world


@pytest.mark.parametrize(
    "error, said, args",
    [
        (ValueError, "n: expected an int >= 1, got 0", dict(n=0)),
        (TypeError, "n: expected an int, got 2.0 (float)", dict(n=2.0)),
        (ValueError, "size: expected one of (8, 16, 32, 64), got 24 (int)", dict(size=24)),
        (TypeError, "size: expected one of (8, 16, 32, 64), got 32.0 (float)", dict(size=32.0)),
        (
            ValueError,
            "style: expected one of ('photo', 'sketch', 'neon', 'mosaic'), got 'oil' (str)",
            dict(style="oil"),
        ),
        (TypeError, "style: expected one of ('photo',", dict(style=0)),
        (TypeError, "expected attributes among skin, hair_color, ", dict(beard=True)),
        (TypeError, "tilt, got 'beard'", dict(beard=True)),
        (
            ValueError,
            "clothes: expected one of ('red', 'navy', 'green', 'white', 'black'), "
            "got 'pink' (str)",
            dict(clothes="pink"),
        ),
        (TypeError, "glasses: expected one of (False, True), got 1 (int)", dict(glasses=1)),
        (ValueError, "smile: expected a number in -1..1, got 1.5", dict(smile=1.5)),
        (TypeError, "smile: expected a number, got 'happy' (str)", dict(smile="happy")),
        (ValueError, "scale: expected a number in 0.95..1.15, got nan", dict(scale=math.nan)),
    ],
)
def test_errors_name_what_was_expected_and_what_came(error, said, args):
    state = torch.get_rng_state()
    with pytest.raises(error) as info:
        faces(**{"n": 1} | args)
    assert said in str(info.value)
    assert torch.equal(torch.get_rng_state(), state)  # before anything is drawn

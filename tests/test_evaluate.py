"""What is measured of trained networks: exact where the answer is known, and as recorded."""

import math

import pytest
import torch

from minidiff import data, evaluate, recipes, zoo
from minidiff.data.faces import CATEGORIES
from minidiff.forward import noise_level, v_from_eps
from minidiff.gmm import GaussianMixture
from minidiff.schedule import cosine_schedule

POINTS = zoo.recipe("eight-gaussians")


def still(x, level, label=None):
    """Predicts v of N(0, I), which is 0: a DDIM step then shrinks x by the cosine of its angle."""
    return torch.zeros_like(x)


def test_every_recipe_is_measured():
    assert evaluate.QUALITY.keys() == zoo.RECIPES.keys()


def test_generate_walks_from_the_noise_of_its_seed():
    noise = torch.randn(601, 2, generator=torch.Generator().manual_seed(4))
    calls = []

    def count(x, s):
        calls.append((len(x), s))
        return x

    x = evaluate.generate(still, POINTS, 601, steps=2, seed=4, hook=count)
    angle = noise_level(cosine_schedule(1000).alpha_bar[[1000, 500, 0]])
    assert torch.allclose(x, noise * angle.diff().cos().prod().float(), atol=3e-4)
    assert [s for _, s in calls] == [500, 0] * 3 and evaluate.batches(601) == 3
    assert sum(n for n, _ in calls) == 2 * 601


def test_generate_tells_each_sample_its_label():
    told = []

    def listen(x, level, label):
        told.append(label)
        return torch.zeros_like(x)

    label = torch.arange(501)
    evaluate.generate(listen, POINTS, 501, steps=1, label=label)
    assert torch.equal(torch.cat(told), label)


def test_generate_refuses():
    for net, recipe, n, steps, message in (
        (still, zoo.recipe("face-attributes"), 1, 1, "recipe: expected one of a diffusion model"),
        (still, POINTS, 0, 1, "n: expected an int >= 1, got 0"),
        (still, POINTS, 1, 1001, "n: expected an int in 1..1000, got 1001"),
    ):
        with pytest.raises(ValueError) as info:
            evaluate.generate(net, recipe, n, steps=steps)
        assert message in str(info.value)


def test_verdict_is_sure_where_every_category_is():
    def logits(*chances):
        return torch.tensor([[math.log(p), math.log(1 - p)] for p in chances])

    answers = {"hat": logits(0.91, 0.89, 0.05, 0.95), "glasses": logits(0.02, 0.99, 0.98, 0.85)}
    answers["smile"] = torch.tensor([0.1, 0.2, 0.3, 0.4])

    class Fake:
        categories = {"hat": 2, "glasses": 2}

        def __call__(self, x):
            return {name: value[x[:, 0].long()] for name, value in answers.items()}

    values, sure = evaluate.verdict(Fake(), torch.arange(4.0)[:, None])
    assert values["hat"].tolist() == [0, 0, 1, 0] and values["glasses"].tolist() == [1, 0, 0, 0]
    assert torch.equal(values["smile"], answers["smile"])
    assert sure.tolist() == [True, False, True, False]


def test_points_quality_of_the_exact_answer_and_of_none():
    angle = torch.arange(8) * (math.pi / 4)
    means = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], dim=1)
    exact = GaussianMixture(torch.full((8,), 1 / 8), means, 0.01 * torch.eye(2).repeat(8, 1, 1))
    schedule = cosine_schedule(1000)
    eps, levels = exact.eps_fn(schedule), noise_level(schedule.alpha_bar).float()

    def perfect(x, level):
        t = torch.searchsorted(levels, level.float() - 1e-6).clamp(1, schedule.T)
        return v_from_eps(eps(x, t), x, t, schedule)

    best, none = evaluate.points_quality(perfect), evaluate.points_quality(still)
    assert best["eps_error"] <= 0.001 and best["energy_distance"] < 0.01
    assert none["eps_error"] > 0.3 and none["energy_distance"] > 0.05


def test_toys_quality_of_a_network_that_knows_the_data_by_heart():
    """It answers, for each label, with the noise prediction of some drawn points."""
    points, labels = recipes.labelled_points(400, seed=5)
    asked = []

    def by_heart(x, level, label):
        a, b = level[:, None].cos(), level[:, None].sin()
        asked.append(label.unique().item())
        known = points[labels == asked[-1]]
        far = (x[:, None] - a[:, None] * known).square().sum(2)
        x0 = (-far / (2 * b.square().clamp(min=1e-6))).softmax(1) @ known
        return (a * x - x0) / b.clamp(min=1e-3)

    got = evaluate.toys_quality(by_heart, n=200)
    names = [toy.__name__ for toy in recipes.TOYS]
    assert list(got) == [*names, "dark", "eps_error"]
    assert max(got[name] for name in names) < 0.03 and got["dark"] > 0.97
    assert sorted(set(asked)) == [0, 1, 2, 3] and names[asked[-1]] == "eight_gaussians"
    none = evaluate.toys_quality(still, n=200)
    assert none["dark"] < 0.6 and all(none[name] > 0.01 + got[name] for name in names)
    assert 0.01 < got["eps_error"] < 0.3 < none["eps_error"]


def test_the_shipped_network_of_toys_draws_all_four():
    quality = zoo.manifest()["toys"]["quality"]
    names = [toy.__name__ for toy in recipes.TOYS]
    assert max(quality[name] for name in names) < 0.003
    assert quality["dark"] > 0.85 and quality["eps_error"] < 0.1
    measured = evaluate.toys_quality(zoo.load("toys"), n=500)
    assert max(measured[name] for name in names) < 0.015  # three standard errors of 500 points
    assert measured["dark"] == pytest.approx(quality["dark"], abs=0.06)
    assert measured["eps_error"] == pytest.approx(quality["eps_error"], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "eight-gaussians"])
def test_quality_of_the_shipped_weights_is_what_the_manifest_says(name):
    measured = evaluate.QUALITY[name](zoo.load(name))
    quality = zoo.manifest()[name]["quality"]
    assert measured.keys() == quality.keys()
    for key, value in measured.items():
        assert value == pytest.approx(quality[key], abs=0.003 if "frechet" in key else 0.0015), key


def test_labelled_digits_are_read_as_their_labels():
    measured = evaluate.digits_class_quality(zoo.load("digits-class"), n=100)
    quality = zoo.manifest()["digits-class"]["quality"]
    assert measured.keys() == quality.keys()
    assert quality["agreement"] >= 0.95 and measured["agreement"] >= 0.9
    assert quality["frechet_distance"] <= 0.2 and measured["frechet_distance"] <= 1.5


@pytest.mark.parametrize("name", ["face-attributes", "face-identity"])
def test_judges_know_faces_that_they_never_saw(name):
    quality = zoo.manifest()[name]["quality"]
    assert min(quality[key] for key in CATEGORIES) >= 0.98 and quality["smile_r2"] >= 0.95
    measured = evaluate.judge_quality(zoo.load(name), n=500)
    assert min(measured[key] for key in CATEGORIES) >= 0.98 and measured["smile_r2"] >= 0.95
    assert measured["sure"] == pytest.approx(quality["sure"], abs=0.02)


def test_noisy_judge_quality_counts_right_answers(monkeypatch):
    drawn = data.faces(40, generator=torch.Generator().manual_seed(evaluate.HELD_OUT))
    truth = drawn.attributes._asdict()
    seen = []

    def says(judge, x):
        seen.append((x - drawn.images).square().mean().item())
        said = {name: truth[name].clone() for name in ("background", "hair_color")}
        said["hair_color"][: 10 * len(seen)] = -1
        return said, None

    monkeypatch.setattr(evaluate, "verdict", says)
    got = evaluate.noisy_judge_quality(zoo.recipe("face-noisy").net(), n=40)
    assert [got[f"background at {level}"] for level in (0.9, 0.5, 0.1)] == [1.0, 1.0, 1.0]
    assert [got[f"hair_color at {level}"] for level in (0.9, 0.5, 0.1)] == [0.75, 0.5, 0.25]
    assert seen == sorted(seen) and seen[0] > 0.09  # 1 - alpha_bar of noise, and less picture


def test_judge_quality_counts_right_answers(monkeypatch):
    drawn = data.faces(40, 32, "photo", torch.Generator().manual_seed(evaluate.HELD_OUT))
    truth = drawn.attributes._asdict()
    said = {name: truth[name].clone() for name in (*CATEGORIES, "smile")}
    said["hat"][:10] = 1 - said["hat"][:10]
    said["smile"] = truth["smile"] + 0.1
    sure = torch.arange(40) < 30
    monkeypatch.setattr(evaluate, "verdict", lambda judge, x: (said, sure))
    got = evaluate.judge_quality(zoo.recipe("face-attributes").net(), n=40)
    assert got.pop("hat") == 0.75 and got.pop("sure") == 0.75
    r2 = 1 - 0.01 / truth["smile"].var(correction=0).item()
    assert got.pop("smile_r2") == pytest.approx(r2, abs=1e-4)
    assert set(got.values()) == {1.0}


@pytest.mark.parametrize("labelled", [False, True])
def test_marks_of_drawn_faces(labelled):
    """Samples that are drawn faces: nothing but their number keeps them from perfection."""
    n = 160
    drawn = data.faces(n, generator=torch.Generator().manual_seed(77))
    told = torch.arange(n) % 8 if labelled else None
    got = evaluate.faces_marks(drawn.images, told)
    assert got["sure"] > 0.95 and got["sure_of_drawn"] > 0.95
    assert 0.5 < got["frechet_distance"] / got["frechet_floor"] < 2
    errors = [
        (getattr(drawn.attributes, name).bincount(minlength=len(values)) / n - 1 / len(values))
        for name, values in CATEGORIES.items()
    ]
    worst = max(error.abs().max().item() for error in errors)
    assert got["frequency_error"] == pytest.approx(worst, abs=0.02)
    if labelled:
        hits = (drawn.attributes.label == told).float().mean().item()
        assert got["agreement"] == pytest.approx(hits, abs=0.03)
    else:
        assert "agreement" not in got


def test_faces_quality_is_that_of_samples(monkeypatch):
    drawn, asked = data.faces(20, generator=torch.Generator().manual_seed(77)).images, []

    def generate(net, recipe, *, seed):
        asked.append((net, recipe, seed))
        return drawn

    monkeypatch.setattr(evaluate, "generate", generate)
    assert evaluate.faces_quality(still, seed=3) == evaluate.faces_marks(drawn)
    assert asked == [(still, zoo.recipe("faces"), 3)]


def test_marks_tell_faces_from_what_is_none():
    x = data.faces(100, generator=torch.Generator().manual_seed(77)).images
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    one = data.faces(100, generator=torch.Generator().manual_seed(78), hat=True).images
    marks, of_noise, of_hats = (evaluate.faces_marks(images) for images in (x, noise, one))
    assert of_noise["sure"] < 0.5 * marks["sure"]
    assert of_noise["frechet_distance"] > 3 * marks["frechet_distance"]
    assert of_hats["frequency_error"] == 0.5
    assert of_hats["frechet_distance"] > 1.3 * marks["frechet_distance"]


def interpolates(x, level, *, image, **told):
    """Predicts the v that belongs to x_0 = image: it enlarges, and adds nothing."""
    a, b = (f(level)[:, None, None, None] for f in (torch.cos, torch.sin))
    return (a * x - image) / b


@pytest.mark.parametrize(("name", "factor"), [("sr3-faces", 4), ("sr3-photos", 2)])
def test_upscaling_quality_of_what_only_interpolates(name, factor):
    got = evaluate.upscaling_quality(name, interpolates, n=12, steps=2)
    if factor == 4:
        high = data.faces(12, generator=torch.Generator().manual_seed(evaluate.HELD_OUT)).images
    else:
        high = evaluate.unseen_patches(12)
    low = torch.nn.functional.avg_pool2d(high, factor)
    kernel = {"mode": "bicubic", "antialias": True}
    up = torch.nn.functional.interpolate(low, scale_factor=factor, **kernel)
    psnr = 10 * math.log10(4 / (up - high).square().mean().item())
    lost = (torch.nn.functional.avg_pool2d(up, factor) - low).square().mean().item()
    for kind in ("bicubic", "mean", "sample"):
        assert got[f"psnr_{kind}"] == pytest.approx(psnr, abs=0.02), kind
        assert got[f"consistency_{kind}"] == pytest.approx(lost, rel=0.02, abs=2e-7), kind


def test_regression_quality_of_what_only_interpolates():
    both = evaluate.upscaling_quality("sr3-faces", interpolates, n=12, steps=1)
    got = evaluate.regression_quality(interpolates, n=12)
    assert got["psnr"] == pytest.approx(both["psnr_bicubic"], abs=0.02)
    assert got["consistency"] == pytest.approx(both["consistency_bicubic"], rel=0.02)


def test_unseen_patches_come_from_the_right_quarter():
    photos = data.photos()
    assert evaluate.unseen_patches(3).shape == (3, 3, 32, 32)
    learnt, cut = data.patches, []

    def spy(images, n, **options):
        cut.append(images)
        return learnt(images, n, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "patches", spy)
        evaluate.unseen_patches(1)
        zoo.recipe("sr3-photos").data.func(1, seed=0)
    right, left = cut
    assert right.shape[-1] + left.shape[-1] == photos.shape[-1] == 640 and left.shape[-1] == 480
    assert torch.equal(torch.cat([left, right], dim=3), photos)


def test_stage_quality_of_what_only_interpolates():
    got = evaluate.stage_quality(16, interpolates, n=60, steps=2)
    drawn = zoo.recipe("cdm-16").data.func(60, seed=evaluate.HELD_OUT, size=16)[0]
    low = torch.nn.functional.avg_pool2d(drawn, 2)
    up = torch.nn.functional.interpolate(low, scale_factor=2, mode="bicubic", antialias=True)
    psnr = 10 * math.log10(4 / (up - drawn).square().mean().item())
    assert got["psnr"] == pytest.approx(psnr, abs=0.02)
    assert 0 < got["frechet_distance"] < got["frechet_floor"]  # the first 60 against themselves


def test_base_quality_of_what_draws_noise():
    got = evaluate.base_quality(still, n=60)
    assert got["frechet_distance"] > 5 * got["frechet_floor"] > 0


def test_in_batches_gives_every_row_once():
    rows = torch.arange(1001.0)[:, None]
    assert torch.equal(evaluate.in_batches(lambda a, b: a + b, rows, rows), 2 * rows)
    sizes = []
    evaluate.in_batches(lambda a: sizes.append(len(a)) or a, rows)
    assert len(sizes) == 5 and max(sizes) - min(sizes) <= 1


@pytest.mark.slow
def test_shipped_faces():
    """The numbers of the run, and a small sample of today."""
    quality = zoo.manifest()["faces"]["quality"]
    assert quality["frechet_distance"] <= 3 * quality["frechet_floor"]
    x = evaluate.generate(zoo.load("faces"), zoo.recipe("faces"), 40)
    marks = evaluate.faces_marks(x)
    assert marks["sure"] == pytest.approx(quality["sure"], abs=0.2)  # three standard errors
    assert marks["frechet_distance"] <= 3 * marks["frechet_floor"]


@pytest.mark.xfail(
    strict=True, reason="skins and hair between two colours: see the page of models"
)
def test_what_is_asked_of_shipped_faces_and_not_reached():
    quality = zoo.manifest()["faces"]["quality"]
    assert (
        quality["sure"] >= 0.95 * quality["sure_of_drawn"] and quality["frequency_error"] <= 0.05
    )


def test_a_judge_of_styles_is_measured():
    judge = zoo.load("face-styles")
    got = evaluate.style_judge_quality(judge, n=40)
    assert got["style"] == 1.0 and got.keys() >= {"skin", "hat", "smile_r2", "sure"}
    lost = evaluate.style_judge_quality(zoo.recipe("face-styles").net(), n=40)
    assert lost["style"] < 0.6


@pytest.mark.slow
def test_a_clip_is_measured_by_what_it_names_and_finds():
    got = evaluate.clip_quality(zoo.load("face-clip"), n=100)
    assert min(value for name, value in got.items() if name != "retrieval") >= 0.9
    assert got["retrieval"] > 0.6
    torch.manual_seed(0)
    lost = evaluate.clip_quality(recipes.face_clip().eval(), n=100)
    assert lost["retrieval"] < 0.1 and lost["skin"] < 0.6


@pytest.mark.slow
def test_an_edit_is_measured_against_doing_nothing():
    told = {"name": "edit-glasses", "answer": "glasses", "value": 1, "n": 6}
    nothing = evaluate.edit_quality(zoo.load("faces"), **told)
    done = evaluate.edit_quality(zoo.load("edit-glasses"), **told)
    assert nothing["done"] == 0 and done["done"] > 0.6
    assert done["cosine"] > 0.8 > nothing["cosine"]


def test_what_is_shipped_names_attributes_and_edits_as_asked():
    entries = zoo.manifest()
    named = {k: v for k, v in entries["face-clip"]["quality"].items() if k != "retrieval"}
    assert min(named.values()) >= 0.95
    assert entries["face-styles"]["quality"]["style"] >= 0.99
    for name in ("smile", "glasses", "red", "hat", "sketch"):
        assert entries[f"edit-{name}"]["quality"]["done"] >= 0.8, name
    for name in entries:
        if name.startswith("edit-"):
            assert (zoo.WEIGHTS / f"{name}.safetensors").stat().st_size <= 0.3e6


def test_captions_say_again_what_is_there():
    drawn = data.faces(200, size=8, generator=torch.Generator().manual_seed(0))
    again = data.captions(drawn.attributes, generator=torch.Generator().manual_seed(1))
    assert again == data.captions(drawn.attributes, generator=torch.Generator().manual_seed(1))
    assert sum(a != b for a, b in zip(again, drawn.captions, strict=True)) > 150
    hats = [hat for hat, line in zip(drawn.attributes.hat, again, strict=True) if "a hat" in line]
    assert len(hats) > 20 and all(hats)
    sketched = data.captions(drawn.attributes, "sketch")
    assert all("sketch" in line or "drawing" in line for line in sketched)
    with pytest.raises(ValueError, match="style: expected one of"):
        data.captions(drawn.attributes, "oil")

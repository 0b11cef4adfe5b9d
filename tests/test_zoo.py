"""The zoo: recipes that can be run, weights that are what the manifest says."""

import copy
import dataclasses
import functools
import hashlib
import json
import math

import pytest
import torch

from minidiff import data, ddpm, evaluate, recipes, zoo
from minidiff.data import digits
from minidiff.forward import eps_fn
from minidiff.nets import LowRank, UNet
from minidiff.schedule import linear_schedule
from minidiff.train import fit

TINY = recipes.Recipe(
    data=recipes.digits_to_learn,
    net=functools.partial(UNet, width=16, mults=(1,)),
    loss=recipes.velocity,
    schedule=functools.partial(linear_schedule, 50),
    shape=(1, 8, 8),
    steps=4,
    batch=8,
    lr=1e-3,
    seed=5,
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(zoo.RECIPES, "tiny", TINY)


def trained(name="tiny"):
    *_, last = zoo.train(name)
    return last.ema


def test_a_recipe_describes_itself_in_json():
    description = zoo.recipe("tiny").describe()
    assert json.loads(json.dumps(description)) == description
    assert description == {
        "data": "digits_to_learn()",
        "net": "UNet(width=16, mults=(1,))",
        "loss": "velocity()",
        "schedule": "linear_schedule(50)",
        "shape": [1, 8, 8],
        "steps": 4,
        "batch": 8,
        "lr": 1e-3,
        "ema": 0.999,
        "seed": 5,
    }
    with pytest.raises(ValueError) as info:
        zoo.recipe("cats")
    names = ", ".join(sorted(zoo.RECIPES))
    assert "digits, digits-class, " in names and ", tiny" in names
    assert str(info.value) == f"name: expected one of {names}, got 'cats'"
    assert dataclasses.replace(TINY, parent="digits", stop=2).describe() == description | {
        "parent": "digits",
        "stop": 2,
    }
    for nameless in (lambda: UNet(), functools.partial(lambda w: UNet(width=w), 16), UNet()):
        with pytest.raises(ValueError) as info:
            dataclasses.replace(TINY, net=nameless).describe()
        assert str(info.value).startswith("recipe: expected a function with a name, got ")


def test_training_is_the_regression_of_v(tmp_path):
    torch.manual_seed(0)
    steps = list(zoo.train("tiny"))
    assert [p.step for p in steps] == [1, 2, 3, 4]
    # The untrained network answers 0, so the first loss is the mean of v^2 over the batch, which
    # the same draws give by hand.
    torch.manual_seed(5)
    TINY.net()
    x0 = digits().train[torch.randint(1500, (8,))]
    u = (torch.rand(1) + torch.arange(8) / 8) % 1
    t = (u * 50).long() + 1
    assert t.diff().ne(0).all() and t.min() >= 1 and t.max() <= 50
    ab = linear_schedule(50).alpha_bar[t].float()[:, None, None, None]
    v = ab.sqrt() * torch.randn_like(x0) - (1 - ab).sqrt() * x0
    assert steps[0].loss == pytest.approx(v.square().mean().item(), rel=1e-4)
    # Its seed is all that it depends on.
    assert [p.loss for p in zoo.train("tiny", checkpoint=tmp_path / "a")] == [
        p.loss for p in steps
    ]


def test_training_is_fit_with_the_numbers_of_the_recipe(monkeypatch):
    other = dataclasses.replace(TINY, lr=0.03, ema=0.15, seed=11)
    monkeypatch.setitem(zoo.RECIPES, "tiny", other)
    ours = zoo.train("tiny")
    torch.rand(1)  # what happens between the call and the first step changes nothing
    ours = [(p.loss, p.ema.output.weight.clone()) for p in ours]

    torch.manual_seed(11)
    net, x0, schedule = UNet(width=16, mults=(1,)), digits().train, linear_schedule(50)

    def loss(net, x0):
        t = (((torch.rand(1) + torch.arange(8) / 8) % 1) * 50).long() + 1
        return ddpm.loss(eps_fn(net, schedule), x0, schedule, weight=1 / schedule.alpha_bar, t=t)

    def draw():
        return x0[torch.randint(1500, (8,))]

    direct = fit(net, loss, draw, steps=4, lr=0.03, ema=0.15)
    for (value, weight), p in zip(ours, direct, strict=True):
        assert value == p.loss and torch.equal(weight, p.ema.output.weight)
    assert (weight != 0).any()


def child_of(parent, **more):
    net = functools.partial(UNet, width=32, mults=(1, 1), image_channels=1)
    return dataclasses.replace(TINY, net=net, loss=told_itself, parent=parent, **more)


def told_itself(net, x0, *, schedule):
    return recipes.velocity(functools.partial(net, image=x0), x0, schedule=schedule)


def test_a_network_starts_as_the_one_that_it_extends(monkeypatch, tmp_path):
    monkeypatch.setitem(zoo.RECIPES, "child", child_of("digits"))
    net, parent = zoo.recipe("child").net(), zoo.load("digits")
    zoo.inherit(net, parent)
    x, level = torch.randn(5, 1, 8, 8), torch.linspace(0, 1.5, 5)
    with torch.no_grad():
        want = parent(x, level)
        for image, image_level in ((torch.randn_like(x), None), (x, torch.ones(5))):
            assert torch.allclose(net(x, level, image=image, image_level=image_level), want)
    # From there it learns: its first loss is the parent's, and then it looks at the image.
    first = next(zoo.train("child"))
    assert first.loss < 0.5 and first.loss < 0.7 * next(zoo.train("tiny")).loss
    assert (trained("child").input.weight[:, 1] != 0).any()
    # The manifest says from which weights.
    zoo.save("child", trained("child"), tmp_path)
    entry = zoo.manifest(tmp_path)["child"]
    assert entry["parent_sha256"] == zoo.manifest()["digits"]["sha256"]
    assert entry["recipe"]["parent"] == "digits"


def test_a_network_that_extends_no_parent():
    parent = UNet(width=16, mults=(1,))
    for net, message in (
        (UNet(width=24, mults=(1,)), "what extends its parent's level.layers.0.weight (64, 32)"),
        (torch.nn.Linear(1, 1), "got none"),
    ):
        with pytest.raises(ValueError) as info:
            zoo.inherit(net, parent)
        assert message in str(info.value)
    with pytest.raises(ValueError, match=r"input.weight \(16, 2, 3, 3\), got \(16, 1, 3, 3\)"):
        zoo.inherit(parent, UNet(width=16, mults=(1,), channels=2))


def test_every_recipe_extends_its_parent():
    children = [it for it in zoo.RECIPES.values() if it.parent is not None]
    for it in children:
        zoo.inherit(it.net(), zoo.load(it.parent))
    assert children


def test_a_run_that_ends_early_is_the_beginning_of_the_other(monkeypatch, tmp_path):
    whole = list(zoo.train("tiny"))
    monkeypatch.setitem(zoo.RECIPES, "early", dataclasses.replace(TINY, stop=2))
    early = list(zoo.train("early", checkpoint=tmp_path / "a"))
    assert [p.loss for p in early] == [p.loss for p in whole[:2]]


def test_training_refuses_before_it_starts(tmp_path, monkeypatch):
    with pytest.raises(ValueError):
        zoo.train("cats")
    # A checkpoint of another recipe, even where steps, rates and shapes agree.
    path = tmp_path / "a"
    list(zoo.train("tiny", checkpoint=path))
    monkeypatch.setitem(zoo.RECIPES, "tiny", dataclasses.replace(TINY, batch=16))
    with pytest.raises(ValueError) as info:
        next(zoo.train("tiny", checkpoint=path))
    assert "run's batch = 16, got run's batch = 8" in str(info.value)


def test_a_run_continues_from_the_parent_that_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setitem(zoo.RECIPES, "child", child_of("digits"))
    list(zoo.train("child", checkpoint=tmp_path / "a"))
    digest = zoo._digest
    monkeypatch.setattr(zoo, "_digest", lambda name, folder: digest(name, folder)[::-1])
    with pytest.raises(ValueError, match="run's parent's sha256 = "):
        next(zoo.train("child", checkpoint=tmp_path / "a"))


def test_weights_come_back_as_they_were_saved(tmp_path):
    net = trained()
    path = zoo.save("tiny", net, tmp_path / "new", final_loss=0.5)
    back = zoo.load("tiny", tmp_path / "new")
    assert not back.training
    for key, value in net.state_dict().items():
        assert torch.equal(back.state_dict()[key], value.half().float())
    assert path == tmp_path / "new/tiny.safetensors"
    entry = zoo.manifest(tmp_path / "new")["tiny"]
    assert entry["recipe"] == TINY.describe() and entry["final_loss"] == 0.5
    assert entry["machine"].endswith(", cpu") and entry["torch"] == torch.__version__
    # A second network joins the first one's manifest.
    zoo.RECIPES["other"] = TINY
    try:
        zoo.save("other", net, tmp_path / "new")
        assert set(zoo.manifest(tmp_path / "new")) == {"tiny", "other"}
    finally:
        del zoo.RECIPES["other"]


def digits_as_seen(digits_net, n):
    with torch.no_grad():
        return (digits_net(torch.zeros(n, 1, 8, 8), torch.zeros(n)),)


def update_of(digits_net, rank):
    return LowRank(digits_net, rank)


def like_the_used(net, rows, *, schedule, used):
    assert not any(x.requires_grad for x in used[0].parameters())
    return (net(rows, torch.zeros(len(rows))) - used[0](rows, torch.zeros(len(rows)))).sum(
        (1, 2, 3)
    )


USER = dataclasses.replace(
    TINY,
    data=functools.partial(digits_as_seen, n=8),
    net=functools.partial(update_of, rank=1),
    loss=like_the_used,
    uses=("digits",),
)


def test_a_network_is_trained_beside_those_that_its_recipe_uses(monkeypatch, tmp_path):
    assert "uses" not in TINY.describe() and USER.describe()["uses"] == ["digits"]
    monkeypatch.setitem(zoo.RECIPES, "user", USER)
    net = [p.ema for p in zoo.train("user", checkpoint=tmp_path / "a")][-1]
    zoo.save("user", net, tmp_path)
    digest = zoo.manifest()["digits"]["sha256"]
    assert zoo.manifest(tmp_path)["user"]["uses_sha256"] == {"digits": digest}
    x, level = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 1.2])
    with torch.no_grad():
        assert torch.allclose(zoo.load("user", tmp_path)(x, level), net(x, level), atol=1e-2)
    # Beside other weights the update means nothing, and a run of theirs is another run.
    real = zoo._digest
    monkeypatch.setattr(zoo, "_digest", lambda name, folder: real(name, folder)[::-1])
    with pytest.raises(ValueError, match="expected weights trained beside today's digits, "):
        zoo.load("user", tmp_path)
    with pytest.raises(ValueError, match="run's sha256 of digits = "):
        next(zoo.train("user", checkpoint=tmp_path / "a"))


def test_any_damage_to_weights_is_refused(tmp_path):
    path = zoo.save("tiny", trained(), tmp_path)
    whole = path.read_bytes()
    places = torch.randint(len(whole), (100,), generator=torch.Generator().manual_seed(0)).tolist()
    damaged = [whole[:-1], whole[: len(whole) // 2], b"", whole + b"\0"]
    for n, place in enumerate([*range(20), *places]):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << n % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError) as info:
            zoo.load("tiny", tmp_path)
        assert f"{path}: expected SHA-256" in str(info.value)
        assert "python -m minidiff train tiny" in str(info.value)
    path.write_bytes(whole)
    assert not zoo.load("tiny", tmp_path).training


def test_weights_of_another_recipe_are_refused(tmp_path, monkeypatch):
    path = zoo.save("tiny", trained(), tmp_path)
    monkeypatch.setitem(zoo.RECIPES, "tiny", dataclasses.replace(TINY, seed=6))
    with pytest.raises(ValueError) as info:
        zoo.load("tiny", tmp_path)
    assert f"{path}: expected weights of today's recipe" in str(info.value)


def test_missing_weights(tmp_path):
    for _ in range(2):
        with pytest.raises(FileNotFoundError) as info:
            zoo.load("tiny", tmp_path)
        assert "train them with `python -m minidiff train tiny`" in str(info.value)
        zoo.save("tiny", TINY.net(), tmp_path).unlink()  # an entry without its file


def test_what_is_not_the_recipe_s_network_is_not_saved(tmp_path):
    folder = tmp_path / "new"
    wide, none = UNet(width=24, mults=(1,)), TINY.net()
    none.output = torch.nn.Identity()
    more = TINY.net()
    more.extra = torch.nn.Linear(1, 1)
    large = TINY.net()
    torch.nn.init.constant_(large.output.bias, 1e5)
    for name, net, message in (
        ("cats", TINY.net(), "name: expected one of "),
        (
            "tiny",
            wide,
            "net: expected the recipe's, level.layers.0.weight of torch.Size([64, 32])",
        ),
        ("tiny", none, "output.weight of torch.Size([1, 16, 3, 3]), got output.weight of None"),
        ("tiny", more, "extra.weight of None, got extra.weight of torch.Size([1, 1])"),
        ("tiny", large, "net: expected weights that float16 can hold, got others in output.bias"),
    ):
        with pytest.raises(ValueError) as info:
            zoo.save(name, net, folder)
        assert message in str(info.value)
        assert not folder.exists()
    with pytest.raises(TypeError):
        zoo.save("tiny", TINY.net(), folder, quality=torch)  # JSON cannot hold it
    assert not folder.exists()


def counting():
    return torch.nn.BatchNorm1d(2)


def test_only_floating_point_is_halved_and_no_random_number_is_used(tmp_path, monkeypatch):
    monkeypatch.setitem(zoo.RECIPES, "tiny", dataclasses.replace(TINY, net=counting))
    net = counting()
    net.num_batches_tracked.fill_(100_001)  # float16 would make it inf
    zoo.save("tiny", net, tmp_path)
    assert zoo.load("tiny", tmp_path).num_batches_tracked == 100_001
    monkeypatch.setitem(zoo.RECIPES, "tiny", TINY)
    net = TINY.net()
    before = torch.get_rng_state()
    zoo.save("tiny", net, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_facts_never_hide_what_is_needed(tmp_path):
    facts = {"sha256": "0", "recipe": {}, "entry_sha256": "1", "table": {10: 1, 9: (2, 3)}}
    zoo.save("tiny", TINY.net(), tmp_path, **facts)
    assert zoo.manifest(tmp_path)["tiny"]["table"] == {"10": 1, "9": [2, 3]}
    zoo.load("tiny", tmp_path)


def test_a_crash_while_saving_never_pairs_weights_with_another_manifest(tmp_path, monkeypatch):
    old, new = TINY.net(), trained()
    path, write = zoo.save("tiny", old, tmp_path), zoo.write_atomically

    def crash(at):
        def fail(place, content):
            if place.name == at:
                raise OSError("no space left on device")
            write(place, content)

        with monkeypatch.context() as patch:
            patch.setattr(zoo, "write_atomically", fail)
            with pytest.raises(OSError):
                zoo.save("tiny", new, tmp_path)

    crash("tiny.safetensors")
    assert (zoo.load("tiny", tmp_path).output.weight == 0).all()  # the old ones, whole
    crash("manifest.json")
    with pytest.raises(ValueError) as info:
        zoo.load("tiny", tmp_path)
    assert f"{path}: expected SHA-256" in str(info.value)
    zoo.save("tiny", new, tmp_path)
    assert (zoo.load("tiny", tmp_path).output.weight != 0).any()


def test_any_flipped_bit_of_a_manifest_is_refused(tmp_path):
    facts = {"seconds": 990, "quality": {"energy_distance": 0.0019}}
    zoo.save("tiny", TINY.net(), tmp_path, **facts)
    path = tmp_path / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError) as info:
            zoo.manifest(tmp_path)
        assert str(path) in str(info.value)


def test_a_damaged_manifest_is_refused(tmp_path):
    digest = hashlib.sha256().hexdigest()
    for entry in (
        "1",
        "{}",
        '{"sha256": "12", "recipe": {}}',
        f'{{"sha256": "{digest}x", "recipe": {{}}}}',
        f'{{"sha256": "{digest.upper()}", "recipe": {{}}}}',
        f'{{"sha256": "{digest}"}}',
        f'{{"sha256": "{digest}", "recipe": 1}}',
    ):
        (tmp_path / "manifest.json").write_text(f'{{"tiny": {entry}}}')
        with pytest.raises(ValueError) as info:
            zoo.manifest(tmp_path)
        message = "expected an object with sha256 and recipe as 'tiny', got "
        assert f"{tmp_path / 'manifest.json'}: {message}" in str(info.value)
    (tmp_path / "manifest.json").write_text(
        f'{{"tiny": {{"sha256": "{digest}", "recipe": {{}}}}}}'
    )
    with pytest.raises(ValueError) as info:
        zoo.manifest(tmp_path)
    assert "expected the SHA-256 None of the entry 'tiny', got " in str(info.value)
    for content, message in (
        (b"{", "expected JSON, got "),
        (b"[]", "expected an object, got list"),
    ):
        (tmp_path / "manifest.json").write_bytes(content)
        with pytest.raises(ValueError) as info:
            zoo.load("tiny", tmp_path)
        assert f"{tmp_path / 'manifest.json'}: {message}" in str(info.value)


# Measured for a table of chapter 6, that no page loads: four megabytes less to ship.
MEASURED_ALONE = {"cdm-16-blur", "cdm-16-clean"}


def test_what_is_shipped():
    entries = zoo.manifest()
    assert sorted(entries) == sorted(set(zoo.RECIPES) - {"tiny"})
    files = sorted(path.stem for path in zoo.WEIGHTS.glob("*.safetensors"))
    assert files == sorted(set(entries) - MEASURED_ALONE)
    sizes = [path.stat().st_size for path in zoo.WEIGHTS.glob("*.safetensors")]
    assert max(sizes) <= 5.5e6 and sum(sizes) < 25e6
    for name in files:
        zoo.load(name)  # whole, and of today's recipe
    for entry in entries.values():
        assert {"seconds", "final_loss", "quality", "machine"} <= entry.keys()


def test_shipped_digits_predict_v_of_digits_they_never_saw():
    net, schedule, test = zoo.load("digits"), zoo.recipe("digits").schedule(), digits().test
    quality = zoo.manifest()["digits"]["quality"]
    assert quality["frechet_distance"] <= 0.2 and quality["energy_distance"] <= 0.01
    assert quality["marginal_energy_distance"] <= 0.01
    generator = torch.Generator().manual_seed(0)
    t = torch.randint(1, schedule.T + 1, (len(test),), generator=generator)
    with torch.no_grad():
        loss = ddpm.loss(
            eps_fn(net, schedule),
            test,
            schedule,
            weight=1 / schedule.alpha_bar,
            t=t,
            noise=lambda x: torch.randn(x.shape, generator=generator),
        ).mean()
    # Better than any Gaussian's denoiser could be on the data it was fitted to: an eigenvalue l of
    # the covariance adds l / (alpha_bar l + 1 - alpha_bar). An untrained network has about 0.8.
    values = torch.linalg.eigvalsh(digits().train.flatten(1).double().T.cov())
    ab = schedule.alpha_bar[1:, None]
    gaussian = (values / (ab * values + 1 - ab)).mean()
    assert 0.33 < gaussian < 0.331
    assert 0.2 < loss < 0.95 * gaussian
    assert loss.item() == pytest.approx(0.282018, abs=1e-4)


def test_loading_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    zoo.load("digits")
    assert torch.equal(before, torch.get_rng_state())


def test_a_table_belongs_to_its_weights(tmp_path):
    rows = {"n": [100, 1000], "frechet_distance": [0.5, 0.25]}
    with pytest.raises(ValueError) as info:
        zoo.save_table("quality", rows, ["tiny"], tmp_path)
    assert "expected an entry 'tiny', got none" in str(info.value)
    with pytest.raises(FileNotFoundError) as info:
        zoo.table("quality", tmp_path)
    path = tmp_path / "tables" / "quality.json"
    assert str(info.value) == f"{path}: expected a table, got none"
    zoo.save("tiny", TINY.net(), tmp_path)
    assert zoo.save_table("quality", rows, ["tiny"], tmp_path) == path
    assert zoo.table("quality", tmp_path) == rows
    zoo.save("tiny", trained(), tmp_path)
    with pytest.raises(ValueError) as info:
        zoo.table("quality", tmp_path)
    assert f"{path}: expected measurements of tiny with SHA-256 " in str(info.value)


def test_tables_that_are_shipped():
    for path in zoo.WEIGHTS.glob("tables/*.json"):
        assert zoo.table(path.stem)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_labels_is_withheld(share):
    told = []

    def net(x, level, label):
        told.append(label)
        return torch.zeros_like(x)

    torch.manual_seed(0)
    label = torch.arange(8).repeat(500)
    loss = recipes.velocity if share == 0.1 else functools.partial(recipes.velocity, withheld=0.5)
    loss(net, torch.zeros(4000, 2), label, schedule=linear_schedule(50))
    withheld = told[0] == -1
    assert abs(withheld.float().mean() - share) < 4 * math.sqrt(share * (1 - share) / 4000)
    assert torch.equal(told[0][~withheld], label[~withheld])
    for k in range(8):  # whatever the label
        assert abs(withheld[label == k].float().mean() - share) < 4 * math.sqrt(
            share * (1 - share) / 500
        )


def test_a_share_is_a_number_from_0_to_1():
    with pytest.raises(ValueError) as info:
        recipes.velocity(TINY.net(), digits().train[:2], schedule=linear_schedule(50), withheld=2)
    assert str(info.value) == "withheld: expected a number in 0..1, got 2"


def test_naming_by_hand():
    class Fake:
        categories = {"hat": 2, "skin": 3}

        def __call__(self, images):
            hat = torch.tensor([[0.2, 0.8], [0.5, 0.5]]).log()
            skin = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]).log()
            return {"hat": hat, "skin": skin, "smile": torch.tensor([0.5, -1.0])}

    truth = torch.tensor([1, 0]), torch.tensor([0, 2]), torch.tensor([0.0, -0.5])
    loss = recipes.naming(Fake(), torch.zeros(2, 1), *truth)
    expected = [-math.log(0.8 * 0.1) + 4 * 0.25, -math.log(0.5 * 0.4) + 4 * 0.25]
    assert loss.tolist() == pytest.approx(expected, rel=1e-6)


def test_what_the_recipes_learn_from():
    drawn = data.faces(5, generator=torch.Generator().manual_seed(3))
    images, label = recipes.labelled_faces(5, seed=3)
    assert torch.equal(images, drawn.images)
    hair, glasses = drawn.attributes.hair_style, drawn.attributes.glasses
    assert label.tolist() == [2 * h + g for h, g in zip(hair, glasses, strict=True)]
    images, *truth = recipes.described_faces(5, seed=3)
    assert torch.equal(images, drawn.images)
    names = list(recipes.face_judge(8)(images))  # in the order in which the judge answers
    assert len(names) == len(truth) == 8
    for name, value in zip(names, truth, strict=True):
        assert torch.equal(value, getattr(drawn.attributes, name))
    scans = digits()
    images, label = recipes.labelled_digits()
    assert torch.equal(images, scans.train) and torch.equal(label, scans.train_labels)
    (points,) = recipes.points(5, seed=3)
    assert torch.equal(points, data.eight_gaussians(5, torch.Generator().manual_seed(3)))
    points, label = recipes.labelled_points(5000, seed=3)
    assert torch.equal(points, recipes.labelled_points(5000, seed=3)[0])
    assert not torch.equal(points, recipes.labelled_points(5000, seed=4)[0])
    assert label.bincount().tolist() == [5000] * 4 and len(points) == 20_000
    moons, roll, ring, board = (points[label == k] for k in range(4))
    assert (moons.square().sum(1).sqrt().min() < 0.4) and (moons[:, 1].abs() < 1).all()
    assert 0.35 < roll.norm(dim=1).min() < 0.5 and 1.45 < roll.norm(dim=1).max() < 1.65
    assert ring.norm(dim=1).mean().item() == pytest.approx(math.sqrt(2), abs=0.02)
    assert (board.floor().sum(1) % 2 == 0).all() and (board.abs() <= 2).all()


def test_no_network_learns_from_the_faces_that_measure_it():
    seeds = {
        name: recipe.data.keywords["seed"]
        for name, recipe in zoo.RECIPES.items()
        if "face" in name or "edit" in name
    }
    # The networks that draw faces share one, and so do the edits; no two judges do.
    assert len(set(seeds.values())) == 7 and evaluate.HELD_OUT not in seeds.values()
    for name in zoo.RECIPES:  # the small ones of chapter 6 are the same faces
        if name.startswith("cdm-"):
            assert zoo.RECIPES[name].data.keywords["seed"] == seeds["faces"]


def test_a_judge_is_trained_like_any_network(monkeypatch):
    recipe = recipes.Recipe(
        data=functools.partial(recipes.described_faces, 40, seed=0),
        net=functools.partial(recipes.face_judge, 8),
        loss=recipes.naming,
        steps=30,
        batch=20,
        lr=1e-2,
    )
    monkeypatch.setitem(zoo.RECIPES, "tiny", recipe)
    losses = [p.loss for p in zoo.train("tiny")]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    with pytest.raises(ValueError) as info:
        zoo.train("tiny", bfloat16=True)
    assert str(info.value) == "bfloat16: expected a diffusion model, got tiny: train it without"


def test_bfloat16_is_coarser_and_no_more(monkeypatch):
    monkeypatch.setitem(zoo.RECIPES, "tiny", dataclasses.replace(TINY, steps=30, lr=1e-2))
    whole, half = (list(zoo.train("tiny", bfloat16=b)) for b in (False, True))
    losses, coarse = ([p.loss for p in run] for run in (whole, half))
    assert losses != coarse and losses == pytest.approx(coarse, rel=0.05)
    assert {x.dtype for x in half[-1].ema.state_dict().values()} == {torch.float32}


def test_channels_last_is_a_layout_and_no_more():
    net = TINY.net()
    torch.nn.init.normal_(net.output.weight)
    same = recipes.channels_last(lambda: copy.deepcopy(net))
    conv = same.down[0].conv1.weight
    assert conv.is_contiguous(memory_format=torch.channels_last) and not conv.is_contiguous()
    x, level = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 1.0])
    assert torch.allclose(same(x, level), net(x, level), atol=1e-5)


def test_a_judge_of_noised_pictures_sees_all_levels_alike():
    torch.manual_seed(0)
    shares = []

    class Spy(torch.nn.Module):
        categories: dict[str, int] = {}

        def forward(self, x):
            shares.append(x.square().mean((1, 2, 3)))
            return {"size": torch.zeros(len(x), requires_grad=True)}

    schedule, images = linear_schedule(100), torch.zeros(5000, 3, 4, 4)
    loss = recipes.naming_noised(Spy(), images, torch.ones(5000), schedule=schedule)
    assert loss.shape == (5000,) and loss.unique() == 4  # 4 times a squared error of 1
    want = (1 - schedule.alpha_bar[1:]).mean().item()  # of a black picture noise alone is left
    assert abs(shares[0].mean().item() - want) < 0.02
    assert shares[0].min() < 0.02 and shares[0].max() > 1

"""The comparison of sketchers by what models learn from their drawings."""

import importlib
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sketchforge.errors import UsageError
from sketchforge.shards.open_shard import OpenShard
from sketchforge.shards.shard_set import open_shards
from tests.helpers.commands import ROOT
from tests.helpers.stored import png, store
from trainers.autoencoder import recipe as ae_recipe

PARTS = ("data", "sets", "retrieval", "autoencoder", "results", "tables", "images")


@pytest.fixture(scope="module")
def study():
    """The study's files, as its command imports them: study.data is utility_data.py, and so on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks/studies"))
        yield SimpleNamespace(**{part: importlib.import_module(f"utility_{part}") for part in PARTS})
    for part in PARTS:
        del sys.modules[f"utility_{part}"]


@pytest.fixture
def tiny(study):
    return replace(study.retrieval.RETRIEVAL, size=16, dim=16, steps=40, batch_size=8, dropout=0.0)


@pytest.fixture
def world(tmp_path):
    """DATA with two tested photos, two drawings of each, and others to train on; one of them twice."""
    photos, sketches = tmp_path / "data/photos/pacs/cat", tmp_path / "data/sketches"
    sketches.mkdir(parents=True)
    rows = ["sketch\tphoto"]
    for folder in (photos, *(tmp_path / f"data/photos/bsds500/{part}" for part in ("train", "val"))):
        folder.mkdir(parents=True)

    def save(path, image):
        cv2.imwrite(str(path), image[..., ::-1])

    for name, number in (("a", 1), ("b", 2)):
        save(photos / f"{name}.png", patches(number))
        for which in (1, 2):
            save(sketches / f"{name}-{which}.png", patches(number))
            rows.append(f"sketches/{name}-{which}.png\tphotos/pacs/cat/{name}.png")
    save(photos / "c.png", patches(3))
    save(photos / "d.png", patches(1)[:, ::-1])  # a, mirrored
    brighter = np.clip(patches(3).astype(int) + 5, 0, 255).astype(np.uint8)  # c, again
    save(tmp_path / "data/photos/bsds500/train/e.png", brighter)
    save(tmp_path / "data/photos/bsds500/val/f.png", patches(4))
    (tmp_path / "data/photo_sketch_pairs.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path / "data"


def patches(seed, side=48):
    """uint8 HxWx3: a coarse random pattern."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_NEAREST)


def strokes(seed, side=16):
    """uint8 HxW of 0 and 255: two random lines."""
    draw, sketch = np.random.default_rng(seed), np.full((side, side), 255, np.uint8)
    for _ in range(2):
        interval = draw.integers(0, side, 4).tolist()
        cv2.line(sketch, tuple(interval[:2]), tuple(interval[2:]), 0)
    return sketch


def rendered(study, work, keys=("one", "two", "three")):
    """Small shard folders as `render` leaves them, every sketch another."""
    for number, (folder, count) in enumerate(study.sets.SETS["mixed"].folders):
        samples = [
            {"key": key, "sketches": [png(strokes([number, at, n], 8)) for n in range(count)]}
            for at, key in enumerate(keys)
        ]
        store(work / folder, [samples], [f"{folder}-{n}" for n in range(count)])


def test_nothing_tested_is_trained_on_and_nothing_is_there_twice(study, world):
    chosen = [path.name for path in study.data.training_photos(world)]
    assert chosen == ["c.png", "f.png"]


def test_images_are_told_apart_by_content(study):
    def small(seed):
        image = patches(seed, 16).astype(float)
        image -= image.mean()
        return image / np.linalg.norm(image)

    found = [small(1), small(2), small(1)[:, ::-1], small(2), small(3)]
    assert study.data.distinct([], found) == [0, 1, 4]
    assert study.data.distinct([small(3)], found) == [0, 1]


def test_development_and_test_share_no_photo(study):
    photos = [f"{number:03d}" for number in range(258)]
    seen = study.data.development(photos)
    assert len(seen) == 120
    assert {"000", "001", "004", "005", "008", "009"} <= seen
    assert not {"002", "003", "006", "007"} & seen


def test_sets_hold_the_first_sketches_of_their_folders(study, tmp_path):
    rendered(study, tmp_path)
    mixed = study.sets.sketches_of(tmp_path, "mixed", 8)
    assert mixed.shape == (3, 13, 8, 8)
    assert mixed.dtype == np.uint8
    parts = {name: study.sets.sketches_of(tmp_path, name, 8) for name in study.sets.SETS}
    for name, sketch_set in study.sets.SETS.items():
        assert parts[name].shape[1] == sketch_set.num_sketches
    assert (mixed[:, :10] == parts["tom10"]).all()
    assert (mixed[:, :1] == parts["tom1"]).all()
    for column, name in ((10, "canny"), (11, "pidinet"), (12, "teed")):
        assert (mixed[:, column : column + 1] == parts[name]).all()


def test_a_set_becomes_shards_that_training_reads(study, tmp_path):
    rendered(study, tmp_path)
    for name in ("canny", "tom1", "mixed"):
        shards = open_shards(study.sets.assemble(tmp_path, name, study.sets.SETS[name])).require(sketches=2)
        stored = OpenShard(shards, 0).read(1, range(len(shards.styles)))
        expected = study.sets.sketches_of(tmp_path, name, 8)[1]
        assert stored.key == "two"
        assert (np.stack(stored.sketches)[: len(expected)] == expected).all()
        assert len(stored.sketches) == (13 if name == "mixed" else 2)
    assert (stored.sketches[0] != 255).any()


def test_without_weights_an_edge_network_and_what_needs_it_are_left_out(study, world, tmp_path):
    assert list(study.sets.methods_at_hand(world)) == ["canny", "tom"]
    for folder in study.sets.methods_at_hand(world):
        (tmp_path / "work" / folder).mkdir(parents=True)
    assert study.sets.sets_at_hand(tmp_path / "work") == ["tom10", "tom1", "canny"]


def test_info_nce_by_hand(study):
    """Orthogonal pairs at scale s: every row is log(1 + (B-1) exp(-s)); pairs all alike: log B."""
    one_hot, scale = torch.eye(4), 3.0
    wanted = np.log(1 + 3 * np.exp(-scale))
    assert float(study.retrieval.info_nce(one_hot, one_hot, scale)) == pytest.approx(wanted, rel=1e-5)
    same = F.normalize(torch.ones(4, 4), dim=1)
    assert float(study.retrieval.info_nce(same, same, scale)) == pytest.approx(np.log(4), rel=1e-5)
    assert study.retrieval.info_nce(one_hot, one_hot.roll(1, 0), scale) > np.log(4)


def test_ranks_by_hand(study):
    """A tie counts against: a network that finds all photos equally similar has found nothing."""
    found = torch.tensor([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.3, 0.3, 0.3]])
    assert study.retrieval.ranks(found, [0, 1, 2]) == [1, 3, 3]


def test_blank_sketches_stay_white_paper(study, tiny):
    sketch = np.full((16, 16), 255, np.uint8)
    draw = np.random.default_rng(0)
    assert all((study.retrieval.augmented(sketch, bool(n % 2), draw, tiny) == 255).all() for n in range(20))


def test_flips_are_of_sketch_and_photo_alike(study, tiny):
    still = replace(tiny, rotation=0.0, zoom=(1.0, 1.0), shift=0.0)
    sketch = strokes(5)
    seen = set()
    for seed in range(20):
        plain, flipped = (
            study.retrieval.augmented(sketch, flip, np.random.default_rng(seed), still)
            for flip in (False, True)
        )
        assert (plain[:, ::-1] == flipped).all()
        seen.add(plain.tobytes())
    assert len(seen) == 4  # thin, as it is, bolder, boldest


def test_towers_learn_what_goes_with_what(study, tiny):
    """Eight photos with random features, each with its own strokes: found again, but not at once."""
    sketches = np.stack([strokes(seed)[None] for seed in range(8)])
    features = (
        torch.randn(8, 1, 20, generator=torch.Generator().manual_seed(0)).expand(-1, 2, -1).contiguous()
    )
    recipe = replace(tiny, rotation=0.0, zoom=(1.0, 1.0), shift=0.0)

    def first(steps):
        towers = study.retrieval.train_retrieval(sketches, features, 0, replace(recipe, steps=steps))
        found = study.retrieval.similarities(towers, sketches[:, 0], features[:, 0])
        return sum(rank == 1 for rank in study.retrieval.ranks(found, range(8)))

    assert first(1) < 5
    assert first(40) == 8


def test_training_is_a_function_of_its_arguments(study, tiny):
    sketches = np.stack([strokes(seed)[None] for seed in range(8)])
    features = torch.randn(8, 2, 20, generator=torch.Generator().manual_seed(0))

    def weights(seed):
        towers = study.retrieval.train_retrieval(sketches, features, seed, replace(tiny, steps=3))
        return torch.cat([weight.flatten() for tower in towers for weight in tower.parameters()])

    once = weights(1)
    torch.rand(3)
    np.random.rand(3)
    assert torch.equal(once, weights(1))
    assert not torch.equal(once, weights(2))


def test_more_sketches_do_not_change_which_photos_a_step_sees(study, tiny, monkeypatch):
    """All sets see the same photos, flips and moves: only the drawings differ."""
    seen = []
    monkeypatch.setattr(
        study.retrieval, "augmented", lambda sketch, flip, *_: seen.append((sketch[0, 0], flip)) or sketch
    )
    features = torch.randn(8, 2, 20, generator=torch.Generator().manual_seed(0))
    numbered = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None, None, None], (8, 5, 16, 16))
    recipe = replace(tiny, steps=2, batch_size=4)
    for count in (1, 5):
        study.retrieval.train_retrieval(numbered[:, :count], features, 0, recipe)
    assert seen[:8] == seen[8:]
    assert len(seen) == 16


def test_intervals_hold_the_mean_and_narrow_with_photos(study):
    values = np.random.default_rng(0).random((5, 400))
    wide, narrow = study.results.estimate(values[:, :25]), study.results.estimate(values)
    for found in (wide, narrow):
        assert found.low < found.value < found.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2
    alike = study.results.estimate(np.ones((5, 10)))
    assert (alike.value, alike.low, alike.high) == pytest.approx((1, 1, 1))


def test_intervals_are_over_trainings_too(study):
    """Photos all alike, seeds far apart: the interval is that of five numbers."""
    values = np.repeat(np.arange(5.0)[:, None], 50, axis=1)
    found = study.results.estimate(values)
    assert found.value == 2
    assert found.low < 1.0
    assert found.high > 3.0


def test_recalls_by_hand(study):
    drawings = [study.data.Drawing(sketch, photo) for sketch, photo in (("1", "a"), ("2", "a"), ("3", "b"))]
    found = [{"as they are": {"ranks": [1, 11, 10]}}, {"as they are": {"ranks": [2, 3, 40]}}]
    at = {k: study.results.recalls(found, "as they are", k, drawings, ["b", "a"]).tolist() for k in (1, 10)}
    assert at[1] == [[0.0, 0.5], [0.0, 0.0]]
    assert at[10] == [[1.0, 0.5], [0.0, 1.0]]


def test_right_kinds_by_hand(study):
    photos = ["cat/a", "cat/b", "dog/c"]
    drawings = [study.data.Drawing(str(n), photo) for n, photo in enumerate(("cat/a", "cat/a", "dog/c"))]
    found = [
        {"as they are": {"first": [[1, 0], [2, 0], [0, 1]]}},
        {"as they are": {"first": [[0, 2], [1, 2], [2, 0]]}},
    ]
    shares = study.results.right_kind(found, drawings, photos, ["cat/a", "dog/c"])
    assert shares.tolist() == [[0.5, 0.0], [1.0, 1.0]]


def test_the_auto_encoder_is_measured_against_other_drawings(study):
    """A model that returns the sketch as grey: the distance tells whose drawing it was given."""
    levels = [torch.full((1, 1, 4, 4), level) for level in (-1.0, -1.0, 1.0, 1.0)]
    photos = [level.expand(1, 3, 4, 4) for level in levels]

    def perceive(a, b):
        return (a - b).abs().mean((1, 2, 3))

    def model(sketch, style):
        return sketch.expand(-1, 3, -1, -1)

    found = study.autoencoder.ae_distances(model, levels, photos, perceive)
    assert found == {"matched": [0.0] * 4, "mismatched": [2.0] * 4}


def test_the_auto_encoder_trains_on_a_set_and_draws_out_drawings(study, world, tmp_path, monkeypatch):
    """From rendered folders to one distance for every one of people's drawings."""
    tiny = replace(ae_recipe.RECIPES["demo"], batch_size=2, width=0.0625, style_dim=32)
    monkeypatch.setitem(ae_recipe.RECIPES, "demo", tiny)
    lpips = SimpleNamespace(distance=lambda a, b: (a - b).square().mean((1, 2, 3)))
    monkeypatch.setattr(study.autoencoder, "open_lpips", lambda *given: lpips)
    rendered(study, tmp_path / "work")
    found = study.autoencoder.auto_encoder("canny", 0, world, tmp_path / "work", steps=1)
    assert found["set"] == "canny"
    assert found["steps"] == 1
    for how in ("matched", "mismatched"):
        assert len(found[how]) == 4
        assert all(0 < distance < 4 for distance in found[how])
    assert found["matched"] != found["mismatched"]


def test_retrieval_leaves_a_rank_for_every_drawing(study, world, tmp_path, tiny, monkeypatch):
    """Photos described by a stand-in: what is left has a rank for every drawing, as it is and normalised."""
    monkeypatch.setattr(
        study.retrieval, "photo_features", lambda weights, photos, cells: torch.randn(len(photos), 2, 20)
    )
    rendered(study, tmp_path / "work")
    found = study.retrieval.retrieval("tom10", 1, world, tmp_path / "work", replace(tiny, steps=1))
    assert (found["set"], found["seed"], found["photos"]) == ("tom10", 1, 3)
    for how in ("as they are", "normalised"):
        assert set(found[how]["ranks"]) <= {1, 2}
        assert len(found[how]["ranks"]) == 4
        assert all(sorted(first) == [0, 1] for first in found[how]["first"])


def results(study, work, tested, better):
    """What `retrieval` leaves: two seeds of each set; TOM × 10 has the photo tenth, `better` first."""
    for name in study.sets.SETS:
        for seed in range(2):
            ranks = [{better: 1, study.sets.FIRST: 10}.get(name, 20)] * tested
            how = {"ranks": ranks, "first": [[0, 1]] * tested}
            path = study.results.result_path(work, "retrieval", study.retrieval.RETRIEVAL.steps, name, seed)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"photos": 3, "as they are": how, "normalised": how}))


def test_the_table_and_the_plot_show_what_is_there(study, world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study.tables, "development", lambda photos: {photos[1]})
    results(study, tmp_path, 4, "canny")
    study.tables.table(world, tmp_path)
    printed = capsys.readouterr().out
    assert "300 steps, 2 seeds, 3 photos trained on, 2 searched for people's drawings of 1" in printed
    assert "| Canny | 1 | 100.0 [100.0 100.0] | 100.0 [100.0 100.0] | +0.0 [+0.0 +0.0] | 100.0" in printed
    assert "| TOM × 10 | 10 | 0.0 [0.0 0.0] | 100.0 [100.0 100.0] |  |" in printed
    assert "| TEED | 1 | 0.0 [0.0 0.0] | 0.0 [0.0 0.0] | -100.0 [-100.0 -100.0] |" in printed
    assert "| recall@10 | cat (1) |" in printed
    plot = (tmp_path / f"retrieval-{study.retrieval.RETRIEVAL.steps}.svg").read_text()
    assert plot.startswith("<svg")
    assert plot.count("<circle") == len(study.sets.SETS)


def test_nothing_to_tabulate_is_one_clear_line(study, world, tmp_path):
    with pytest.raises(UsageError, match="run `retrieval` first") as error:
        study.tables.table(world, tmp_path)
    assert "\n" not in str(error.value)


def test_work_is_shared_and_not_done_twice(study, tmp_path):
    result = tmp_path / "deep" / "one.json"
    with study.results.claimed(result) as ours:
        assert ours
        with study.results.claimed(result) as again:
            assert not again
        result.write_text("{}")
    with study.results.claimed(result) as later:
        assert not later
    assert [path.name for path in result.parent.iterdir()] == ["one.json"]


def test_an_interrupted_claim_is_given_up(study, tmp_path):
    with pytest.raises(KeyboardInterrupt), study.results.claimed(tmp_path / "one.json"):
        raise KeyboardInterrupt
    with study.results.claimed(tmp_path / "one.json") as ours:
        assert ours

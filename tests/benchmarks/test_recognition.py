"""The test of what sketches teach about people's drawings: halves, classifiers, figures, and what is withheld."""

import importlib
import json
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.sketchers.base import Drawing
from tests.helpers.commands import ROOT
from tests.helpers.stored import png, store

UTILITY = ("data", "sets", "retrieval", "autoencoder", "results", "tables", "images")
PARTS = ("data", "canny", "kept", "features", "classifier", "retrieval", "sets", "results", "runs", "tables")
KINDS = ("cat", "cow", "crow", "horse")
NUM_PHOTOS = 150  # tested; every kind has one of four


@pytest.fixture(scope="module")
def study():
    """The study's files, as its command imports them: study.data is recognition_data.py, and so on."""
    names = [f"recognition_{part}" for part in PARTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks/studies"))
        modules = {part: importlib.import_module(name) for part, name in zip(PARTS, names, strict=True)}
        yield SimpleNamespace(**modules, command=importlib.import_module("recognition"))
    for name in (*names, "recognition", *(f"utility_{part}" for part in UTILITY)):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """DATA: photos of four kinds that people drew from, two drawings each, and ten more of each kind."""
    data = tmp_path_factory.mktemp("data")
    rows = ["sketch\tphoto"]
    (data / "sketches").mkdir()
    for folder in ("photos/bsds500/train", "photos/bsds500/val", *(f"photos/pacs/{kind}" for kind in KINDS)):
        (data / folder).mkdir(parents=True)
    for number in range(NUM_PHOTOS):
        kind = KINDS[number % 4]
        save(data / f"photos/pacs/{kind}/a{number:03d}.png", patches(number))
        for which in (1, 2):
            name = f"sketches/{kind}-{number:03d}-{which}.png"
            save(data / name, np.repeat(line_drawing(number % 4, 2 * number + which)[..., None], 3, axis=2))
            rows.append(f"{name}\tphotos/pacs/{kind}/a{number:03d}.png")
    for number in range(40):
        save(data / f"photos/pacs/{KINDS[number % 4]}/b{number:03d}.png", patches(1000 + number))
    (data / "photo_sketch_pairs.tsv").write_text("\n".join(rows) + "\n")
    return data


def save(path, image):
    cv2.imwrite(str(path), image[..., ::-1])


def patches(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (32, 32), interpolation=cv2.INTER_NEAREST)


def line_drawing(kind, seed, side=40):
    """uint8 side×side of 0 and 255: lines whose direction tells the kind."""
    draw, sketch = np.random.default_rng(seed), np.full((side, side), 255, np.uint8)
    step = ((1, 0), (0, 1), (1, 1), (1, -1))[kind]
    for _ in range(4):
        middle = draw.integers(12, 28, 2)
        ends = [tuple(int(at) for at in middle + sign * 9 * np.array(step)) for sign in (-1, 1)]
        cv2.line(sketch, *ends, 0)
    return sketch


def shapes(network, images, data, work):
    """A stand-in for the frozen networks: float32 (N,D)."""
    greys = images if images.ndim == 3 else images[..., 0]
    gradients = [np.abs(np.diff(greys.astype(np.float32), axis=axis)).mean((1, 2)) for axis in (1, 2)]
    diagonals = [
        np.abs(greys[:, 1:, 1:].astype(np.float32) - greys[:, :-1, :-1]).mean((1, 2)),
        np.abs(greys[:, 1:, :-1].astype(np.float32) - greys[:, :-1, 1:]).mean((1, 2)),
    ]
    return np.stack(gradients + diagonals, axis=1)


# Halves and kinds


def test_no_photo_is_in_both_halves(study, world):
    tested = study.data.tested_drawings(world)
    photos = np.array(tested.photos)
    assert not set(photos[tested.is_development]) & set(photos[~tested.is_development])
    assert len(set(photos[tested.is_development])) == 120


def test_tuning_sees_neither_the_test_half_nor_the_unseen_kind(study, world):
    tested = study.data.tested_drawings(world)
    shown = [tested.drawings[at].photo for at in tested.tuning]
    assert shown
    assert not any("/horse/" in photo for photo in shown)
    assert all(tested.is_development[tested.tuning])
    assert len(tested.tuning) == sum(tested.is_development & ~tested.is_unseen)


def test_no_tested_photo_is_trained_on(study, world):
    names = [path.name for path in study.data.labelled_photos(world)]
    assert len(names) == 40
    assert all(name.startswith("b") for name in names)


def test_every_seed_leaves_out_another_fifth_of_each_kind(study, world):
    photos = study.data.labelled_photos(world)
    left = [set(photos) - set(study.data.kept_photos(photos, seed)) for seed in range(5)]
    assert set.union(*left) == set(photos)
    assert sum(map(len, left)) == len(photos)
    for out in left:
        assert sorted(study.data.kind_of(photo) for photo in out) == sorted(2 * KINDS)


def test_development_photos_show_no_unseen_kind(study, world):
    photos = study.command.development_photos(world, 0)
    assert {study.data.kind_of(photo) for photo in photos} == set(KINDS) - {"horse"}


# Preparation


def test_the_inks_box_is_put_into_the_middle_at_one_size(study):
    sketch = np.full((200, 100), 255, np.uint8)
    sketch[10:60, 20:40] = 0
    ink = study.data.ink_square(sketch, 100) < 128
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    assert len(rows) == pytest.approx(79, abs=2)
    assert len(columns) == pytest.approx(32, abs=2)
    assert rows[0] + rows[-1] == pytest.approx(99, abs=2)
    assert columns[0] + columns[-1] == pytest.approx(99, abs=2)


def test_place_and_size_of_a_drawing_do_not_matter(study):
    small, large = np.full((90, 90), 255, np.uint8), np.full((300, 300), 255, np.uint8)
    drawing = line_drawing(2, 5)
    small[3:43, 2:42] = drawing
    large[100:260, 130:290] = cv2.resize(drawing, (160, 160), interpolation=cv2.INTER_NEAREST)
    one, other = (study.data.ink_square(sketch, 64).astype(int) for sketch in (small, large))
    assert (
        np.abs(cv2.blur(one.astype(np.float32), (5, 5)) - cv2.blur(other.astype(np.float32), (5, 5))).max()
        < 80
    )


def test_a_sketch_without_ink_is_blank_paper(study):
    assert (study.data.ink_square(np.full((50, 40), 255, np.uint8), 32) == 255).all()


# Classifiers


def test_auc_by_hand(study):
    """Of six pairs four are won and one is equal."""
    assert study.classifier.auc(np.array([3.0, 1.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx(4.5 / 6)


def test_mean_auc_is_each_kind_against_the_rest(study):
    scores = np.array([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5], [0.5, 0.5, 0.5]])
    assert study.classifier.mean_auc(scores, np.array([0, 1, 2])) == pytest.approx((1 + 1 + 0.5) / 3)


def test_c_falls_with_the_number_of_sketches_a_photo(study, monkeypatch):
    seen = []
    fit = study.classifier.fit_logistic
    monkeypatch.setattr(study.classifier, "fit_logistic", lambda x, y, c: seen.append(c) or fit(x, y, c))
    features = np.random.default_rng(0).normal(size=(30, 4))
    labels = np.arange(30) % 3
    study.classifier.logistic_answers(features, labels, 10, features)
    assert seen == pytest.approx([1e-5, 1e-4, 1e-3])


def test_sketches_that_are_there_ten_times_teach_as_one_does(study):
    features = np.random.default_rng(0).normal(size=(30, 4))
    labels = np.arange(30) % 3
    once = study.classifier.fit_logistic(features, labels, 1e-2).probabilities(features)
    often = study.classifier.fit_logistic(features.repeat(10, 0), labels.repeat(10), 1e-3).probabilities(
        features
    )
    assert np.abs(once - often).max() < 1e-3


def test_answers_are_the_mean_of_all_strengths(study, monkeypatch):
    fitted = iter(np.eye(3)[[0, 1, 1]])
    stand_in = lambda *_: SimpleNamespace(probabilities=lambda asked, row=next(fitted): row[None])  # noqa: E731
    monkeypatch.setattr(study.classifier, "fit_logistic", stand_in)
    answers = study.classifier.logistic_answers(np.zeros((3, 2)), np.arange(3), 1, np.zeros((1, 2)))
    assert answers.tolist() == [pytest.approx([1 / 3, 2 / 3, 0])]


def test_folds_keep_a_photos_drawings_together(study):
    photos = [f"{number // 2}" for number in range(40)]
    folds = study.classifier.folds_of(photos, np.arange(40) // 2 % 2, 5)
    assert all(folds[at] == folds[at + 1] for at in range(0, 40, 2))
    assert {(fold, at // 2 % 2) for at, fold in enumerate(folds)} == {
        (f, k) for f in range(5) for k in (0, 1)
    }


def cnn_answers(study, seed, passes):
    """What a small network trained from scratch on 24 sketches of four kinds answers of 16 others."""
    sketches = np.stack([[line_drawing(n % 4, n, 64)] for n in range(24)])
    asked = np.stack([line_drawing(n % 4, 100 + n, 64) for n in range(16)])
    return study.classifier.cnn_answers(sketches, np.arange(24) % 4, asked, seed, passes)


def test_a_cnn_learns_kinds_from_scratch(study):
    assert study.classifier.mean_auc(cnn_answers(study, 0, 25), np.arange(16) % 4) > 0.7


def test_a_cnn_is_a_function_of_its_seed(study):
    once, again, other = (cnn_answers(study, seed, 3) for seed in (0, 0, 1))
    assert (once == again).all()
    assert not (once == other).all()


def test_maps_find_photos_by_sketches(study):
    draw = np.random.default_rng(0)
    photos = draw.normal(size=(40, 8)).astype(np.float32)
    sketches = (photos @ draw.normal(size=(8, 12)))[:, None].astype(np.float32)
    arguments = sketches, photos, sketches[:, 0], photos, list(range(40)), 0
    trained, fresh = (np.mean(study.retrieval.retrieved_ranks(*arguments, steps=n)) for n in (150, 0))
    assert trained < 4 < 12 < fresh


# Sketches


def test_kept_sketches_are_those_of_the_sketcher_and_drawn_once(study, tmp_path):
    drawn = []

    class Inverter:
        method, styles, digests = "inverter", ("one", "two"), {}

        def draw(self, pixels):
            drawn.append(len(pixels))
            return Drawing(lambda: [np.stack([255 - image[..., 0], image[..., 1]]) for image in pixels])

    pixels = np.stack([patches(n) for n in range(3)])
    kept = study.kept.KeptSketcher(Inverter(), tmp_path)
    first = kept.draw(pixels[:2]).result()
    both = kept.draw(pixels).result()
    assert drawn == [2, 1]
    assert (first == Inverter().draw(pixels[:2]).result()).all()
    assert (both == Inverter().draw(pixels).result()).all()


def test_hands_on_kept_sketches_are_the_bytes_of_render(study, tmp_path):
    photo = tmp_path / "photo.png"
    save(photo, cv2.resize(patches(3), (64, 64)))
    (tmp_path / "photos.txt").write_text(f"{photo}\n")

    def options(name, **others):
        return RenderOptions(
            tmp_path / name,
            str(tmp_path / "photos.txt"),
            method="canny",
            size=64,
            workers=1,
            threads=1,
            **others,
        )

    render(options("wanted", hands="builtin", hands_seed=3))
    study.kept.render_kept(options("plain"), tmp_path / "kept")
    study.kept.render_kept(options("hands", hands="builtin", hands_seed=3), tmp_path / "kept")
    tars = [sorted((tmp_path / name).glob("*.tar")) for name in ("wanted", "hands")]
    assert [path.read_bytes() for path in tars[0]] == [path.read_bytes() for path in tars[1]]


def test_parts_are_picked_by_photo_and_sketch(study):
    squares = np.arange(12, dtype=np.uint8).reshape(4, 3, 1, 1)
    drawn = study.sets.Drawn(squares, np.array([2, 0]), np.array([[1], [2]]))
    assert drawn.pick(squares)[..., 0, 0].tolist() == [[7], [2]]
    assert (study.sets.Drawn.whole(squares).pick(squares) == squares).all()


def test_a_random_choice_of_hands_differs_by_photo_and_not_by_call(study, world, tmp_path, monkeypatch):
    monkeypatch.setattr(
        study.sets,
        "source_squares",
        lambda source, seed, size, photos, *_: np.zeros((len(photos), 10, 4, 4), np.uint8),
    )
    (part,), kinds = study.sets.sketches_for("hands4", 0, 4, world, tmp_path)
    (again,), _ = study.sets.sketches_for("hands4", 0, 4, world, tmp_path)
    assert (part.chosen == again.chosen).all()
    assert len({tuple(row) for row in part.chosen.tolist()}) > 10
    assert all(len(set(row)) == 4 for row in part.chosen.tolist())
    assert len(kinds) == 32


def test_a_source_without_the_photos_is_one_clear_line(study, world, tmp_path):
    samples = [{"key": "a", "sketches": [png(line_drawing(0, 1, 8))], "source": "elsewhere.png"}]
    store(tmp_path / "shards", [samples], ["one"])
    with pytest.raises(UsageError, match="has no sketches of .*b000") as error:
        study.sets.shard_squares(tmp_path / "shards", 8, study.data.labelled_photos(world)[:1])
    assert "\n" not in str(error.value)


def test_random_canny_differs_from_draw_to_draw_and_is_black_on_white(study):
    pixels = cv2.resize(patches(3), (96, 96), interpolation=cv2.INTER_CUBIC)
    edges = [study.canny.random_canny(pixels, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert (edges[0] == edges[1]).all()
    assert (edges[0] != edges[2]).any()
    assert set(np.unique(edges[0])) == {0, 255}
    assert (edges[0] == 255).mean() > 0.5
    blank = study.canny.random_canny(np.full((32, 32, 3), 90, np.uint8), np.random.default_rng(0))
    assert (blank == 255).all()


def test_the_largest_components_that_hold_the_share_are_kept(study):
    edges = np.zeros((60, 60), bool)
    edges[5, :50], edges[15, :30], edges[25, :20], edges[35, :3] = True, True, True, True
    assert study.canny.keep_components(edges, 0.5).sum() == 80  # 50 of 103 are too few
    assert study.canny.keep_components(edges, 1.0).sum() == 100  # three pixels are a speck


# Results and figures


def test_answers_survive_their_file(study):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 300)
    answers = study.results.Answers.of(probabilities)
    back = study.results.Answers.from_json(json.loads(json.dumps(answers.to_json())))
    assert (back.predicted == probabilities.argmax(1)).all()
    assert (back.scores == answers.scores).all()
    labels = np.arange(300) % 4
    exact, stored = (study.classifier.mean_auc(scores, labels) for scores in (probabilities, back.scores))
    assert stored == pytest.approx(exact, abs=1e-3)


def question(study, labels, task="three", at=None):
    photos = tuple(f"{number // 2:03d}" for number in range(len(labels)))
    return study.results.Question(
        task, np.arange(len(labels)) if at is None else at, np.asarray(labels), photos
    )


def test_accuracy_and_auc_are_the_samples_own_and_inside_their_intervals(study):
    draw = np.random.default_rng(0)
    labels = np.arange(120) // 2 % 3
    scores = draw.normal(size=(2, 120, 3)) + 0.5 * np.eye(3)[labels]
    asked = question(study, labels)
    accuracy = study.results.accuracies(scores.argmax(2), asked)
    assert accuracy[0] == pytest.approx((scores.argmax(2) == labels).mean())
    found = study.results.mean_aucs(scores, asked)
    assert found[0] == pytest.approx(np.mean([study.classifier.mean_auc(row, labels) for row in scores]))
    for figures in (accuracy, found):
        interval = study.results.interval(figures)
        assert interval.low < interval.value < interval.high


def test_a_set_differs_from_itself_by_nothing_and_differences_are_paired(study):
    draw = np.random.default_rng(1)
    labels = np.arange(120) // 2 % 3
    asked = question(study, labels)
    scores = draw.normal(size=(1, 120, 3)) + np.eye(3)[labels]
    better = scores + 0.05 * draw.normal(size=scores.shape)
    first, again = (study.results.mean_aucs(scores, asked) for _ in range(2))
    assert (first == again).all()
    alone = study.results.interval(first)
    pair = study.results.interval(study.results.mean_aucs(better, asked) - first)
    assert pair.high - pair.low < (alone.high - alone.low) / 2


def result(study, world, name, seed, good):
    """A result file's content: of a classifier that is right about `good` of the drawings."""
    tested = study.data.tested_drawings(world)

    def answers(labels, num_kinds):
        draw = np.random.default_rng([seed, len(name)])
        right = draw.random(len(labels)) < good
        probabilities = np.eye(num_kinds)[np.where(right, labels, (labels + 1) % num_kinds)]
        return study.results.Answers.of(probabilities + 0.01 * draw.random(probabilities.shape)).to_json()

    both = {
        "three": answers(tested.labels[tested.tuning], 3),
        "four": answers(tested.labels, 4),
        "ranks": " ".join(["1"] * len(tested.labels)),
    }
    content = {"set": name, "seed": seed, "sketches": 1, **dict.fromkeys(study.tables.CLASSIFIERS, both)}
    return content | ({"hands": "same"} if name.startswith("hands") else {})


@pytest.fixture
def results(study, world, tmp_path):
    for name, good in (("tom10", 0.5), ("canny", 0.2), ("hands10", 0.9)):
        for seed in range(2):
            path = study.results.result_file(tmp_path / "results", name, seed)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(result(study, world, name, seed, good)))
    return tmp_path / "results"


def test_the_test_half_is_withheld_until_the_end(study, world, results, capsys):
    study.tables.print_tables(world, results, is_final=False)
    printed = capsys.readouterr().out
    assert "for development, three kinds" in printed
    assert "test half" not in printed
    assert "horse" not in printed
    assert "four" not in printed


def test_what_is_withheld_changes_nothing_in_the_table_for_development(study, world, results, capsys):
    """Answers about the test half and the unseen kind may be any: the table is the same."""
    study.tables.print_tables(world, results, is_final=False)
    before = capsys.readouterr().out
    withheld = np.setdiff1d(np.arange(2 * NUM_PHOTOS), study.data.tested_drawings(world).tuning)
    for path in results.iterdir():
        content = json.loads(path.read_text())
        for classifier in study.tables.CLASSIFIERS:
            content[classifier]["four"] = result(study, world, "other", 7, 0.0)[classifier]["four"]
            ranks = np.array(content[classifier]["ranks"].split(), int)
            ranks[withheld] = 99
            content[classifier]["ranks"] = " ".join(map(str, ranks))
        path.write_text(json.dumps(content))
    study.tables.print_tables(world, results, is_final=False)
    assert capsys.readouterr().out == before


def test_the_final_tables_are_of_the_test_half_and_the_unseen_kind(study, world, results, capsys):
    study.tables.print_tables(world, results, is_final=True)
    printed = capsys.readouterr().out
    assert "test half, four kinds: 60 drawings of 30 photos" in printed
    assert "The unseen kind, horse" in printed
    assert "for development" not in printed
    row = next(line for line in printed.splitlines() if line.startswith("| hands × 10"))
    assert 80 < float(row.split("|")[3].split()[0]) < 100


def test_nothing_to_tabulate_is_one_clear_line(study, world, tmp_path):
    with pytest.raises(UsageError, match="run `recognition.py run` first") as error:
        study.tables.print_tables(world, tmp_path, is_final=False)
    assert "\n" not in str(error.value)


def test_results_of_other_hands_are_made_again(study, tmp_path):
    path = tmp_path / "hands10-0.json"
    path.write_text(json.dumps({"hands": study.sets.hands_digest("builtin")}))
    study.command.remove_outdated(path, "builtin")
    assert path.exists()
    mine = tmp_path / "mine.toml"
    mine.write_text("# another file\n")
    study.command.remove_outdated(path, str(mine))
    assert not path.exists()


def test_from_sketches_to_answers(study, world, tmp_path, monkeypatch):
    """Lines whose direction tells the kind, as sketches and as people's drawings: all are recognised."""

    def squares(source, seed, size, photos, *_):
        kinds = [KINDS.index(study.data.kind_of(photo)) for photo in photos]
        drawings = [line_drawing(kind, 900 + n) for n, kind in enumerate(kinds)]
        return np.stack([[study.data.ink_square(drawing, size)] for drawing in drawings])

    monkeypatch.setattr(study.sets, "source_squares", squares)
    monkeypatch.setattr(study.runs, "describe", shapes)
    monkeypatch.setattr(
        study.runs,
        "cnn_answers",
        lambda sketches, labels, asked, seed: np.ones((len(asked), labels.max() + 1)),
    )
    found = study.runs.recognition("canny", 0, world, tmp_path)
    tested = study.data.tested_drawings(world)
    assert found["photos"] == 32
    assert found["sketches"] == 1
    assert len(found["content"]) == 16
    for network in study.features.NETWORKS:
        four = study.results.Answers.from_json(found[network]["four"])
        three = study.results.Answers.from_json(found[network]["three"])
        assert study.classifier.mean_auc(four.scores, tested.labels) > 0.9
        assert three.scores.shape == (len(tested.tuning), 3)
        assert len(found[network]["ranks"].split()) == 2 * NUM_PHOTOS
    top = study.runs.ceiling(world, tmp_path)
    assert top["photos"] == 120
    assert set(top) >= set(study.tables.CLASSIFIERS)
    three = study.results.Answers.from_json(top["mobilenet"]["three"])
    assert study.classifier.mean_auc(three.scores, tested.labels[tested.tuning]) > 0.9


def test_develop_compares_a_shard_folder_on_the_drawings_that_may_be_looked_at(
    study, world, results, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(study.runs, "describe", shapes)
    study.runs.described_drawings.cache_clear()
    photos = study.command.development_photos(world, 0)
    kinds = [KINDS.index(study.data.kind_of(photo)) for photo in photos]
    samples = [
        {
            "key": f"{n:02d}",
            "sketches": [png(line_drawing(kind, 500 + n))],
            "source": str(photos[n]),
        }
        for n, kind in enumerate(kinds)
    ]
    store(tmp_path / "shards", [samples], ["one"])
    arguments = ["develop", "--data", str(world), "--work", str(tmp_path / "work"), "--results", str(results)]
    monkeypatch.setattr(sys, "argv", ["recognition.py", *arguments, "--shards", str(tmp_path / "shards")])
    study.command.main()
    study.runs.described_drawings.cache_clear()
    printed = capsys.readouterr().out
    assert "MobileNetV2, 1 sketches a photo, seed 0" in printed
    assert "horse" not in printed
    accuracy = float(printed.split("  accuracy ")[1].split()[0])
    assert accuracy > 80
    for title in ("TOM × 10", "hands × 10"):
        other, difference = printed.split(f"beside {title}: accuracy ")[1].split()[:2]
        assert float(other) + float(difference.strip("(")) == pytest.approx(accuracy, abs=0.11)


def test_features_are_cell_means_kept_by_content(study, tmp_path, monkeypatch):
    asked = []

    def trunk(squares):
        asked.append(len(squares))
        return squares.float()[:, :2]

    network = study.features.Describer("stand-in", 6, lambda weights: trunk)
    monkeypatch.setitem(study.features.NETWORKS, "stand-in", network)
    images = np.zeros((40, 6, 6), np.uint8)
    images[:, :2, :2] = 90
    found = study.features.describe("stand-in", images, tmp_path, tmp_path)
    again = study.features.describe("stand-in", images.copy(), tmp_path, tmp_path)
    assert found.shape == (40, 18)
    assert found[0, 0] == 90
    assert found[0, 1:9].sum() == 0
    assert (found == again).all()
    assert asked == [32, 8]
    images[0, 5, 5] = 9
    study.features.describe("stand-in", images, tmp_path, tmp_path)
    assert asked == [32, 8, 32, 8]


def test_features_are_scaled_by_the_drawings_for_development(study):
    scale = study.features.Scale.of(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert scale(np.array([[2.0, 5.0]])).tolist() == [[0.0, 0.0]]
    assert scale(np.array([[2.0, 6.0]]))[0, 1] == pytest.approx(1 / np.sqrt(0.5))


def test_torch_is_left_as_it_was(study):
    before = torch.random.get_rng_state()
    study.classifier.cnn_answers(
        np.full((3, 1, 64, 64), 255, np.uint8), np.arange(3), np.full((1, 64, 64), 255, np.uint8), 0, 1
    )
    assert torch.equal(before, torch.random.get_rng_state())

"""The measurement of sketches put together: what is compared with what, and on which images."""

import numpy as np
import pytest

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.metrics.estimates import estimate_all, interval
from sketchforge.metrics.sketches.evaluate import evaluate_sketches
from sketchforge.metrics.sketches.inputs import find_annotations, find_drawings, find_shards, style_names
from sketchforge.metrics.sketches.measure_sets import Measured, Measuring
from sketchforge.metrics.sketches.measure_sketch import two_tone
from sketchforge.metrics.sketches.result import COMPARED, PEOPLE, SketchEvaluation, as_json
from sketchforge.metrics.sketches.statistics import estimate_auc, mean_area, ranked_pairs, wasserstein
from sketchforge.metrics.sketches.strokes import compare_strokes, measure_strokes
from sketchforge.metrics.sketches.summary import split_halves
from sketchforge.metrics.sketches.two_sample_test import TwoSampleResult, two_sample_test
from sketchforge.options import EvalSketchesOptions, RenderOptions
from sketchforge.render.encode import encode_sketches, sketch_tone
from sketchforge.sketchers.canny import CannySketcher
from sketchforge.utils.progress import Progress
from sketchforge.utils.seeding import derive_seed
from tests.helpers.annotations import (
    SIDE,
    SUBJECTS,
    annotate,
    columns,
    drawings_in,
    fewer_resamplings,
    measured,
    reasons,
    row_of,
    samples,
    shards_of,
)
from tests.helpers.photos import scene
from tests.helpers.recorded_progress import RecordedProgress
from tests.helpers.stored import store


def value(evaluation: SketchEvaluation, row: str, block: str, name: str) -> float:
    return row_of(evaluation, row).figures[block][name].value


# --- content


def test_content_by_hand(tmp_path):
    """Three lines of 40 pixels drawn, two of them annotated; of one image nobody has annotated anything."""
    folder = shards_of(tmp_path / "out", {"a": [columns(5, 20, 35)], "b": [columns(9)]}, ["style"])
    annotate(tmp_path / "truth" / "a.mat", columns(5, 12, 20, 28) == 0)
    found = measured(folder, boundaries=tmp_path / "truth")
    content = row_of(found, "style").figures["content"]
    assert content["precision"].value == pytest.approx(2 / 3)
    assert content["recall"].value == pytest.approx(2 / 4)
    assert (
        content["f_ods"].value == content["f_ois"].value == pytest.approx(2 * 2 / 3 * 1 / 2 / (2 / 3 + 1 / 2))
    )
    assert content["f_ods"].images == 1
    assert content["f_ods"].low is None
    assert reasons(found, "style", "content") == ["no annotation for this key: 1 of 2"]
    assert reasons(found, PEOPLE, "content") == ["only one annotator: 1 image"]


def test_people_are_measured_against_each_other(tmp_path):
    """One drew lines 5 and 20, the other 20 only: right are 40 of 80 and 40 of 40, found likewise."""
    folder = shards_of(tmp_path / "out", {key: [columns(5)] for key in "ab"}, ["style"])
    for key in "ab":
        annotate(tmp_path / "truth" / f"{key}.mat", columns(5, 20) == 0, columns(20) == 0)
    found = measured(folder, boundaries=tmp_path / "truth")
    people = row_of(found, PEOPLE).figures["content"]
    assert people["precision"].value == people["recall"].value == pytest.approx((40 + 40) / (80 + 40))
    assert people["f_ods"].images == 2
    assert people["f_ods"].low == people["f_ods"].high == pytest.approx(2 / 3)  # both images are the same


def test_grey_sketches_have_their_best_threshold(tmp_path):
    """The annotated line is black, a false one light: at a threshold between them precision is 1."""
    sketch = np.minimum(columns(10), columns(11, 30, level=150))
    grey = shards_of(tmp_path / "grey", {"a": [sketch]}, ["grey"], sketch_format="png", method="tom")
    annotate(tmp_path / "truth" / "a.mat", columns(10) == 0)
    found = measured(grey, boundaries=tmp_path / "truth")
    assert value(found, "grey", "content", "precision") == 1
    assert row_of(found, "grey").threshold == 0.5
    # The rest is measured in two tones: what is light is ink beside the black line, and no line by itself.
    assert value(found, "grey", "strokes", "ink") == pytest.approx(2 / SIDE)
    assert as_json(found)["thresholds"]["binarised"] == {
        str(grey): {"threshold": 0.65, "low_threshold": 0.15}
    }


def test_greys_are_measured_as_render_would_have_stored_them(tmp_path):
    """All but content: what is measured of them is the same as of `render`'s black and white."""
    rng = np.random.default_rng(0)

    def dark_and_faint() -> np.ndarray:
        dark, faint, across = (rng.integers(0, SIDE, 3) for _ in range(3))
        sketch = np.minimum(columns(*dark), columns(*faint, level=150))
        sketch[across, :12] = np.minimum(sketch[across, :12], 140)  # some of them touch the dark lines
        return sketch

    drawn = {key: np.stack([dark_and_faint(), dark_and_faint()]) for key in "ab"}
    pairs = {key: list(pair) for key, pair in drawn.items()}
    grey = shards_of(tmp_path / "grey", pairs, ["s", "t"], sketch_format="png", method="tom")
    tone = sketch_tone(RenderOptions(tmp_path, method="tom"))
    stored = [
        {"key": key, "size": (SIDE, SIDE), "sketches": encode_sketches(pair, tone).pngs}
        for key, pair in drawn.items()
    ]
    bits = store(tmp_path / "bits", [stored], ["s", "t"], fit="keep")
    measuring = Measuring(0, True, None, Progress())
    found = [measuring.shards(*find_shards([folder], 0), {}, people=False).styles for folder in (grey, bits)]
    for ours, theirs in zip(*found, strict=True):
        assert ours.strokes == theirs.strokes
        for kind in ("patches", "features", "styles"):
            assert len(getattr(ours, kind)) == 2
            np.testing.assert_array_equal(*(np.concatenate(getattr(one, kind)) for one in (ours, theirs)))


def test_drawings_and_sketches_of_one_bit_are_cut_at_mid_grey():
    assert two_tone(np.array([[127, 128]], np.uint8), None).tolist() == [[0, 255]]


def test_annotations_follow_size_and_fit(tmp_path):
    """A photo of 80 x 40 pixels, cropped to its middle: its column 30 is the sketch's column 10."""
    sketches = samples({"a": [columns(10)]}, original_size=(80, SIDE))
    folder = store(tmp_path / "out", [sketches], ["style"], fit="crop", size=SIDE)
    boundaries = np.zeros((SIDE, 2 * SIDE), bool)
    boundaries[:, 30] = True
    annotate(tmp_path / "truth" / "a.mat", boundaries)
    found = measured(folder, boundaries=tmp_path / "truth")
    assert value(found, "style", "content", "f_ods") == 1


def test_annotations_are_found_by_key_then_by_the_stem_of_the_source(tmp_path):
    one = samples({"k": [columns(1)]}, source="cats/7.png") + samples(
        {"8": [columns(1)]}, source="cats/9.jpg"
    )
    twins = samples({"x": [columns(1)]}, source="a/5.jpg") + samples({"y": [columns(1)]}, source="b/5.jpg")
    sets = find_shards([store(tmp_path / "out", [one + twins], ["s"], fit="keep")], 0)
    for name in ("5", "7", "8"):
        annotate(tmp_path / "truth" / f"{name}.mat", columns(1) == 0)
    (found,) = find_annotations(tmp_path / "truth", sets)
    assert {key: path.name for key, path in found.items()} == {
        "k": "7.mat",
        "8": "8.mat",
    }  # 5.mat could be either's
    (tmp_path / "other").mkdir()
    annotate(tmp_path / "other" / "z.mat", columns(1) == 0)
    with pytest.raises(
        UsageError, match=r"no annotation for any of 4 samples of .*; looked for k.mat or 7.mat"
    ):
        find_annotations(tmp_path / "other", sets)


def test_annotations_of_another_image_are_refused(tmp_path):
    folder = shards_of(tmp_path / "out", {"a": [columns(5)]}, ["style"])
    annotate(tmp_path / "truth" / "a.mat", np.zeros((SIDE, SIDE + 1), bool))
    with pytest.raises(SketchforgeError, match=r"a.mat: 41 x 40 pixels, but the photo of a has 40 x 40"):
        measured(folder, boundaries=tmp_path / "truth")


# --- whom sketches are compared with


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> SketchEvaluation:
    """Sketches that are the references; their inverse; Canny's of made-up scenes; and other drawings."""
    folder = tmp_path_factory.mktemp("compared")
    drawn = list(drawings_in(folder / "people", subjects=SUBJECTS[:6]).values())
    drawings_in(folder / "others", ("marker",), SUBJECTS[:3])
    edges = [
        np.where(CannySketcher(blur=1.0).edges(scene(seed, 96, 96)), 0, 255) for seed in range(len(drawn))
    ]
    keys = [f"k{number:02d}" for number in range(len(drawn))]
    own = shards_of(
        folder / "own", {key: [one, 255 - one // 2] for key, one in zip(keys, drawn)}, ["same", "inverse"]
    )
    canny = shards_of(
        folder / "canny", {key: [one.astype(np.uint8)] for key, one in zip(keys, edges)}, ["canny"]
    )
    progress = RecordedProgress()
    options = EvalSketchesOptions((own, canny), references=(folder / "people", folder / "others"), workers=1)
    with fewer_resamplings():
        result = evaluate_sketches(options, progress)
    assert (progress.begun, len(progress.figures), progress.open) == ([("sketch", 6 * 3 + 6 + 3, 0)], 27, 0)
    return result


def test_a_set_equal_to_the_references_scores_best(compared):
    for block, name in (
        ("realism", "auc"),
        ("realism", "kid"),
        *(("strokes", f"distance_{part}") for part in COMPARED),
    ):
        figures = {row.name: row.figure(block, name) for row in compared.of_kind("style", "reference")}
        values = {
            row: figure.value for row, figure in figures.items() if figure and row != "people (drawings)"
        }
        assert len(values) >= 3, (name, values)
        assert min(values, key=values.get) == "same", (name, values)
    assert {value(compared, "same", "strokes", f"distance_{part}") for part in COMPARED} == {0}


def test_rows_name_what_they_rest_on(compared):
    assert [(row.kind, row.name) for row in compared.rows] == [
        ("style", "same"),
        ("style", "inverse"),
        ("style", "canny"),
        ("folder", "own"),
        ("reference", "people (drawings)"),
        ("reference", "others (drawings)"),
        ("pairs", "people (drawings of one photo)"),
    ]
    assert row_of(compared, "canny").figures["strokes"]["ink"].images == 6
    people = row_of(compared, "people (drawings)").figures
    assert people["strokes"]["ink"].images == 6  # all of them
    assert people["strokes"]["distance_ink"].images == people["realism"]["kid"].images == 6  # halved
    assert row_of(compared, "others (drawings)").figures["realism"]["kid"].images == 3
    assert 1 < value(compared, "own", "variety", "vendi") <= 2


def test_intervals_hold_their_figures(compared):
    for row in compared.rows:
        for figures in row.figures.values():
            for name, figure in figures.items():
                if name == "kid" or name.startswith("distance"):
                    continue  # resampled sets are less alike than the sets themselves
                assert figure.low <= figure.value <= figure.high, (row.name, name)


def test_gaps_are_named(compared):
    assert reasons(compared, "", "content") == ["no --boundaries"]
    assert reasons(compared, "canny", "variety") == ["one style only"]
    assert not reasons(compared, "", "realism")


def test_without_references_and_boundaries_strokes_and_variety_remain(tmp_path):
    blank = np.full((SIDE, SIDE), 255, np.uint8)
    folder = shards_of(
        tmp_path / "out", {"a": [columns(5), blank], "b": [columns(9), columns(9)]}, ["s", "t"]
    )
    found = measured(folder)
    assert reasons(found, "", "realism") == ["no --references"]
    assert reasons(found, "", "content") == ["no --boundaries"]
    assert reasons(found, "t", "strokes") == ["blank, so only ink and fragments count: 1 of 2"]
    strokes = row_of(found, "t").figures["strokes"]
    assert (strokes["ink"].images, strokes["width"].images) == (2, 1)
    assert strokes["ink"].value == pytest.approx(0.5 / SIDE)
    assert strokes["width"].value == 1
    assert not any(name.startswith("distance") for name in strokes)
    assert row_of(found, "out").figures["variety"]["vendi"].value == pytest.approx(1.5, abs=0.5)


def test_too_few_references_are_a_gap(tmp_path):
    folder = shards_of(tmp_path / "out", {key: [columns(5, 20)] for key in "ab"}, ["s"])
    drawings_in(tmp_path / "people", subjects=("cat",))
    (tmp_path / "people" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = measured(folder, references=(tmp_path / "people",))
    assert [reason.split(":")[0] for reason in reasons(found, "s", "realism")] == [
        "two-sample test",
        "kernel distance",
    ]
    assert reasons(found, "people (drawings)", "realism") == ["no floor: all drawings are of one photo"]
    assert reasons(found, "people (drawings)", "drawings") == ["cannot be read: 1 of 2"]
    assert "realism" not in row_of(found, "s").figures


# --- which images


def test_folders_are_measured_on_the_keys_they_share(tmp_path):
    first = shards_of(tmp_path / "first", {f"k{number}": [columns(5)] for number in range(9)}, ["s"])
    second = shards_of(tmp_path / "second", {f"k{number}": [columns(7)] for number in range(2, 12)}, ["s"])
    sets = find_shards([first, second], 3)
    assert [one.chosen for one in sets] == [("k2", "k5", "k8")] * 2
    assert style_names(sets) == [["first/s"], ["second/s"]]
    found = measured(first, second, samples=3)
    assert reasons(found, "first", "samples") == ["not in all folders, left out: 2 of 9"]
    assert value(found, "second/s", "strokes", "ink") == pytest.approx(1 / SIDE)
    assert len(find_shards([first], 0)[0].chosen) == 9
    with pytest.raises(UsageError, match="named twice"):
        find_shards([first, tmp_path / "second" / ".." / "first"], 3)


def test_drawings_of_one_photo_stay_together(tmp_path):
    drawings_in(tmp_path / "people", ("pencil", "marker"), SUBJECTS[:5])
    found = find_drawings(tmp_path / "people", 0)
    assert sorted(set(found.photos)) == sorted(SUBJECTS[:5])
    assert len(found.drawings) == 10
    for seed in range(20):
        first, second = split_halves(found.photos, seed, 0)
        sides = [{found.photos[index] for index in side} for side in (first, second)]
        assert sorted(first + second) == list(range(10))
        assert not sides[0] & sides[1]
        assert [len(side) for side in sides] == [2, 3]
    for ways in ([(seed, 0) for seed in range(20)], [(0, turn) for turn in range(20)]):
        assert len({str(split_halves(found.photos, *way)) for way in ways}) > 5


def test_a_numbered_series_is_not_one_photo(tmp_path):
    for number in range(21):
        (tmp_path / f"drawing-{number:02d}.png").write_bytes(b"never read")
    assert len(set(find_drawings(tmp_path, 0).photos)) == 21
    assert len(find_drawings(tmp_path, 5).drawings) == 5


# --- resampling


def test_figures_have_the_percentile_bootstrap_s_middle_95_percent_of_1000():
    values = np.random.default_rng(5).normal(size=12)
    statistics = {"mean": np.mean, "largest": np.max}

    def of(drawn: np.ndarray) -> dict[str, float]:
        return {name: float(statistic(values[drawn])) for name, statistic in statistics.items()}

    for name, figure in estimate_all(12, of, 1).items():
        low, high = interval(values, statistics[name], 1, "images", 1000, 0.95)
        assert (figure.value, figure.low, figure.high) == (of(np.arange(12))[name], low, high)
    for without in (estimate_all(12, of, 1, resampled=False), estimate_all(1, of, 1)):
        assert all(figure.low is None is figure.high for figure in without.values())


def test_resampled_distances_are_those_of_strokes_compare():
    drawn = [
        measure_strokes(draw(subject, "pencil", 56 + 8 * index)) for index, subject in enumerate(SUBJECTS * 2)
    ]
    ours, theirs = drawn[:7], drawn[7:]
    rng = np.random.default_rng(0)
    for part in COMPARED:
        values, reference = (np.array([getattr(one, part) for one in side]) for side in (ours, theirs))
        distance = wasserstein(values, reference)
        for indices in (np.arange(7), rng.integers(7, size=7), np.array([3])):
            again = compare_strokes([ours[index] for index in indices], theirs)[part]
            assert distance(indices) == pytest.approx(again), part


def test_resampled_distances_leave_out_what_has_no_value():
    from scipy.stats import wasserstein_distance  # slow to import

    distance = wasserstein(np.array([1.0, np.nan, 4.0]), np.array([0.0, np.nan, 2.0]))
    assert distance(np.array([0, 1, 2, 2])) == pytest.approx(wasserstein_distance([1, 4, 4], [0, 2]))
    assert np.isnan(distance(np.array([1, 1])))


def test_resampled_areas_are_those_of_the_two_sample_test():
    rng = np.random.default_rng(1)
    labels = np.repeat([True, False], [60, 50])
    groups = np.where(labels, rng.integers(0, 9, 110).astype(str), "people")
    result = TwoSampleResult(rng.integers(0, 12, 110).astype(float), labels, groups, rng.integers(0, 3, 110))
    wins, pairs = ranked_pairs(result, np.array([*map(str, range(9))]))
    assert wins.sum() / pairs.sum() == pytest.approx(result.auc)
    for _ in range(5):
        drawn = rng.integers(9, size=9)
        weights = dict(zip(map(str, range(9)), np.bincount(drawn, minlength=9)))
        assert wins[drawn].sum() / pairs[drawn].sum() == pytest.approx(result.resampled_auc(weights))


def test_an_auc_is_the_mean_over_runs_and_its_interval_that_of_the_mean(monkeypatch):
    """By brute force: every run by itself, every resampling by weights."""
    rng = np.random.default_rng(2)
    sets = []
    for shift, images in ((0.4, 6), (0.0, 7)):
        patches = [rng.normal(shift, 1, (5, 4)) for _ in range(images)]
        for one in patches:
            one[:, 0] = rng.integers(20, 90, 5)  # line pixels
        sets.append(Measured([f"{shift}-{number}" for number in range(images)], patches=patches))
    flat = [(np.concatenate(one.patches), [photo for photo in one.photos for _ in range(5)]) for one in sets]
    monkeypatch.setattr("sketchforge.metrics.estimates.RESAMPLINGS", 100)
    seeds = [derive_seed(3, "two-sample test", run) for run in range(5)]
    runs = [two_sample_test(*flat[0], *flat[1], seed) for seed in seeds]
    figure = estimate_auc(*sets, "s", 3, [], True, 5)["auc"]
    assert figure.value == pytest.approx(np.mean([run.auc for run in runs]))
    assert figure.images == 6
    assert len({run.auc for run in runs}) > 1

    def mean(drawn: list[str]) -> float:
        weights = {photo: drawn.count(photo) for photo in sets[0].photos}
        return np.nanmean([run.resampled_auc(weights) for run in runs])

    low, high = interval(sets[0].photos, mean, 3, "images", 100)
    assert (figure.low, figure.high) == (pytest.approx(low), pytest.approx(high))


def test_a_run_without_patches_of_the_images_drawn_does_not_count():
    wins, pairs = np.array([[3.0, 1.0], [0.0, 4.0]]), np.array([[4.0, 4.0], [0.0, 8.0]])
    assert mean_area(wins, pairs) == pytest.approx((4 / 8 + 4 / 8) / 2)
    assert mean_area(wins[:, :1], pairs[:, :1]) == 3 / 4
    assert np.isnan(mean_area(wins[1:, :1], pairs[1:, :1]))

"""Boundaries are matched one-to-one within the radius, and counted as BSDS500's benchmark counts them."""

import itertools
import os
from pathlib import Path

import cv2
import networkx
import numpy as np
import pytest
from scipy.io import savemat

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import read_image
from sketchforge.images.resize import fit_square
from sketchforge.metrics.sketches.boundaries import (
    THRESHOLDS,
    BoundaryCounts,
    boundary_counts,
    fit_boundaries,
    human_agreement,
    match,
    read_boundaries,
    summarize_boundaries,
)
from sketchforge.utils.seeding import numpy_generator

DATA = Path(os.environ.get("SKETCHFORGE_TEST_DATA", "")) / "photos" / "bsds500"
needs_data = pytest.mark.skipif(
    "SKETCHFORGE_TEST_DATA" not in os.environ, reason="SKETCHFORGE_TEST_DATA is not set"
)


def noise(key: int, shape: tuple[int, int], share: float) -> np.ndarray:
    return numpy_generator(0, "boundaries", key).random(shape) < share


def column(at: int, shape: tuple[int, int] = (30, 40)) -> np.ndarray:
    """A vertical line, clear of the upper and lower border."""
    mask = np.zeros(shape, bool)
    mask[5:-5, at] = True
    return mask


def drawn(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 0, 255).astype(np.uint8)


def score(mask: np.ndarray, *annotations: np.ndarray, tolerance: float = 0.0075):
    return summarize_boundaries([boundary_counts(drawn(mask), annotations, tolerance=tolerance)])


def rows(counts: BoundaryCounts) -> list[tuple[int, ...]]:
    fields = (counts.matched_predicted, counts.predicted, counts.matched_truth, counts.truth)
    return list(zip(*(field.tolist() for field in fields), strict=True))


def distances(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.argwhere(predicted)[:, None] - np.argwhere(truth)[None], axis=2)


@pytest.mark.parametrize("key", range(12))
def test_as_many_pairs_as_an_independent_maximum_matching(key):
    share, radius = (0.05, 0.15, 0.4)[key % 3], (0, 1, 1.5, 2.9)[key % 4]
    predicted, truth = noise(key, (14, 17), share), noise(100 + key, (14, 17), share)
    apart = distances(predicted, truth)
    graph = networkx.Graph()
    graph.add_nodes_from(("p", i) for i in range(len(apart)))
    graph.add_edges_from((("p", i), ("t", j)) for i, j in np.argwhere(apart <= radius))
    upper = [("p", i) for i in range(len(apart))]
    largest = len(networkx.bipartite.maximum_matching(graph, top_nodes=upper)) // 2
    taken, found = match(predicted, truth, radius)
    assert taken.sum() == found.sum() == largest
    assert not (taken & ~predicted).any()
    assert not (found & ~truth).any()


@pytest.mark.parametrize("key", range(6))
def test_what_is_paired_can_be_paired_within_the_radius(key):
    predicted, truth, radius = noise(key, (12, 12), 0.3), noise(50 + key, (12, 12), 0.2), 2.3
    taken, found = match(predicted, truth, radius)
    graph = networkx.Graph()
    near = np.argwhere(distances(taken, found) <= radius)
    graph.add_edges_from((("p", i), ("t", j)) for i, j in near)
    assert len(networkx.max_weight_matching(graph, maxcardinality=True)) == taken.sum()


@pytest.mark.parametrize("key", range(40))
def test_the_nearest_are_paired_among_the_largest_matchings(key):
    predicted, truth = noise(key, (4, 5), 0.2), noise(70 + key, (4, 5), 0.25)
    radius = 2.3
    apart = distances(predicted, truth)
    small, large = sorted(apart.shape)
    apart = apart if len(apart) == small else apart.T
    best = (0, 0.0)
    for chosen in itertools.permutations(range(large), small):  # pairs too far apart stay alone
        pairs = apart[range(small), chosen]
        pairs = pairs[pairs <= radius]
        best = max(best, (len(pairs), -round(float(pairs.sum()), 6)))
    taken, found = match(predicted, truth, radius)
    assert taken.sum() == found.sum() == best[0]
    if best[0]:
        between = distances(taken, found)
        sums = [
            sum(between[range(best[0]), order])
            for order in itertools.permutations(range(best[0]))
            if (between[range(best[0]), order] <= radius).all()
        ]
        assert min(sums) == pytest.approx(-best[1], abs=0.01 * best[0])


def test_a_pixel_may_give_way_so_that_more_are_paired():
    predicted, truth = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
    predicted[0, [3, 4]] = True
    truth[0, [3, 1]] = True  # 3 lies on 3, but 4 reaches only 3, so 3 has to take 1
    taken, found = match(predicted, truth, 2)
    assert (taken == predicted).all()
    assert (found == truth).all()


def test_one_pixel_is_not_shared():
    truth = column(20)
    taken, found = match(column(19) | column(21), truth, 3)
    assert taken.sum() == found.sum() == truth.sum()


def test_the_number_of_pairs_is_symmetric():
    for key in range(5):
        one, other = noise(key, (20, 20), 0.2), noise(30 + key, (20, 20), 0.1)
        assert match(one, other, 2)[0].sum() == match(other, one, 2)[0].sum()


@pytest.mark.parametrize(("predicted", "truth"), [(0, 0), (0, 1), (1, 0)], ids=["both", "predicted", "truth"])
def test_nothing_is_paired_with_nothing(predicted, truth):
    masks = np.full((5, 6), bool(predicted)), np.full((5, 6), bool(truth))
    taken, found = match(*masks, 2)
    assert not taken.any()
    assert not found.any()


def test_pixels_do_not_reach_around_the_border():
    left, right = np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    left[:, 0] = right[:, -1] = True
    assert not match(left, right, 1.5)[0].any()
    assert match(left, right, 50)[0].sum() == 6  # a radius beyond the image is just everything


@pytest.mark.parametrize(("radius", "pairs"), [(4.99, 0), (5, 1)])
def test_the_radius_belongs_to_the_circle(radius, pairs):
    predicted, truth = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    predicted[1, 1] = truth[4, 5] = True  # 3 down, 4 right
    assert match(predicted, truth, radius)[0].sum() == pairs


@pytest.mark.parametrize(
    "call",
    [
        lambda mask: match(mask, mask[1:], 2),
        lambda mask: match(mask.astype(np.uint8), mask, 2),
        lambda mask: match(mask[0], mask[0], 2),
        lambda mask: match(mask, mask, -1),
        lambda mask: match(mask, mask, float("nan")),
        lambda mask: boundary_counts(mask, [mask]),
        lambda mask: boundary_counts(drawn(mask), []),
        lambda mask: boundary_counts(drawn(mask), [mask], thresholds=()),
        lambda mask: boundary_counts(drawn(mask), [mask], thresholds=(0, 0.5)),
        lambda mask: boundary_counts(drawn(mask), [mask], thresholds=(0.5, 0.4)),
        lambda mask: boundary_counts(drawn(mask), [mask], thresholds=(0.5, 1.1)),
        lambda mask: human_agreement([mask]),
        lambda mask: summarize_boundaries([]),
        lambda mask: summarize_boundaries(
            [boundary_counts(drawn(mask), [mask], t) for t in ((0.5,), (0.4,))]
        ),
        lambda mask: fit_boundaries(drawn(mask), 9, "crop"),
        lambda mask: fit_boundaries(mask, 9, "stretch"),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(ValueError, match=r"expected|found"):
        call(column(20))


def test_an_annotation_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(SketchforgeError, match=r"40 x 30 .* 256 x 128"):
        boundary_counts(drawn(column(20)), [column(20), column(20, (128, 256))])


def test_counts_by_hand():
    # Diagonal 50, tolerance 0.04: radius 2. Columns of 20 pixels at 20 and, half of it, at 22 and at 35.
    sketch, one, other = column(20), column(20), column(22)
    other[15:] = False
    other |= column(35)
    counts = boundary_counts(drawn(sketch), [one, other], thresholds=(0.5,), tolerance=0.04)
    assert rows(counts) == [(20, 20, 20 + 10, 20 + 30)]
    counts = boundary_counts(drawn(sketch | column(10)), [other], thresholds=(0.5,), tolerance=0.04)
    assert rows(counts) == [(10, 40, 10, 30)]
    result = summarize_boundaries([counts])
    assert (result.precision, result.recall) == (10 / 40, 10 / 30)
    assert result.f_ods == result.f_ois == pytest.approx(2 * (1 / 4) * (1 / 3) / (1 / 4 + 1 / 3))


def test_a_pixel_is_right_once_however_many_annotators_take_it():
    line = column(20)
    assert rows(boundary_counts(drawn(line), [line] * 3, (0.5,))) == [(20, 20, 60, 60)]
    # Of two lines beside each other, the nearer to the annotators is right for all of them.
    counts = boundary_counts(drawn(column(20) | column(22)), [line] * 3, (0.5,), tolerance=0.04)
    assert rows(counts) == [(20, 40, 60, 60)]


@pytest.mark.parametrize("shift", [1, 2, 3, -3])
def test_a_shift_beyond_the_radius_turns_right_into_wrong(shift):
    line, radius = column(20), abs(shift)
    inside = score(column(20 + shift), line, tolerance=(radius + 0.01) / 50)
    outside = score(column(20 + shift), line, tolerance=(radius - 0.01) / 50)
    assert (inside.precision, inside.recall, inside.f_ods, inside.f_ois) == (1, 1, 1, 1)
    assert (outside.precision, outside.recall, outside.f_ods, outside.f_ois) == (0, 0, 0, 0)


@pytest.mark.parametrize("thick", [1, 3, 5, 9])
def test_thick_strokes_count_as_their_centre_line(thick):
    stroke, line = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)
    for width, mask in ((thick, stroke), (1, line)):
        mask[30 - width // 2 : 31 + width // 2, 10:70] = 1
    # Thinning may shorten a stroke by about its own width; the radius is less than a pixel.
    result = boundary_counts(drawn(stroke > 0), [line > 0], (0.5,), tolerance=0.009)
    ((right, predicted, found, truth),) = rows(result)
    assert right == predicted == found
    assert truth - thick <= found <= truth


def test_blank_paper_and_full_ink_have_no_lines():
    line = column(20)
    assert rows(boundary_counts(np.full(line.shape, 255, np.uint8), [line, line])) == [(0, 0, 0, 40)] * 15
    blank = score(np.zeros_like(line), line)
    assert (blank.precision, blank.recall, blank.f_ods, blank.f_ois) == (0, 0, 0, 0)
    right, predicted, found, truth = rows(boundary_counts(np.zeros(line.shape, np.uint8), [line]))[0]
    # ink everywhere thins to next to nothing
    assert predicted < 60
    assert right == found <= truth == 20
    empty = score(line, np.zeros_like(line))
    assert (empty.precision, empty.recall, empty.f_ods) == (0, 0, 0)


def test_a_perfect_sketch_scores_one_and_chance_does_not():
    lines = column(8) | column(20) | column(32)
    assert score(lines, lines) == summarize_boundaries([boundary_counts(drawn(lines), [lines], (0.5,))])
    assert score(lines, lines).f_ods == 1
    assert score(noise(3, (30, 40), 0.1), lines).f_ods < 0.5


def test_the_order_of_annotators_does_not_matter():
    sketch, people = drawn(noise(1, (40, 50), 0.1)), [noise(2 + k, (40, 50), 0.05) for k in range(3)]
    every = {
        tuple(rows(boundary_counts(sketch, order, tolerance=0.03)))
        for order in itertools.permutations(people)
    }
    assert len(every) == 1
    agreement = {tuple(rows(human_agreement(order, 0.03))) for order in itertools.permutations(people)}
    assert len(agreement) == 1


def test_mirrored_and_turned_images_find_as_much():
    sketch, truth = column(9) | column(20), column(10) | column(30)
    expected = rows(boundary_counts(drawn(sketch), [truth], (0.5,), tolerance=0.03))
    for turn in (np.fliplr, np.flipud, np.rot90, np.transpose):
        counts = boundary_counts(drawn(turn(sketch)), [turn(truth)], (0.5,), tolerance=0.03)
        assert rows(counts) == expected


def test_a_sweep_agrees_with_single_thresholds():
    grey = cv2.GaussianBlur(drawn(noise(1, (40, 50), 0.08)), (0, 0), 1.2)
    people = [noise(2, (40, 50), 0.05), noise(3, (40, 50), 0.05)]
    sweep = boundary_counts(grey, people, tolerance=0.03)
    assert sweep.thresholds.tolist() == list(THRESHOLDS)
    assert len(set(rows(sweep))) > 5
    for threshold, row in zip(THRESHOLDS, rows(sweep), strict=True):
        assert rows(boundary_counts(grey, people, (threshold,), tolerance=0.03)) == [row]


@pytest.mark.parametrize(
    ("value", "threshold", "ink"),
    [(127, 0.5, 1), (128, 0.5, 0), (0, 1, 1), (1, 1, 0), (204, 0.2, 1), (205, 0.2, 0)],
)
def test_ink_has_at_least_the_threshold_in_darkness(value, threshold, ink):
    line = column(20)
    sketch = np.where(line, value, 255).astype(np.uint8)
    assert boundary_counts(sketch, [line], (threshold,)).predicted.tolist() == [20 * ink]


def test_a_bilevel_sketch_is_the_same_at_all_thresholds_and_counted_once(monkeypatch):
    from sketchforge.metrics.sketches import boundaries

    calls = []
    monkeypatch.setattr(boundaries, "match", lambda *masks: calls.append(masks) or match(*masks))
    counts = boundary_counts(drawn(column(20)), [column(20), column(21)])
    assert len(set(rows(counts))) == 1
    assert len(calls) == 2
    assert summarize_boundaries([counts]).threshold == 0.5


def counts_of(*table: tuple[int, int, int, int]) -> BoundaryCounts:
    thresholds = np.arange(1, len(table) + 1) / (len(table) + 1)
    return BoundaryCounts(thresholds, *np.array(table, np.int64).T)


def test_ods_has_one_threshold_for_all_and_ois_one_for_each():
    first = counts_of((10, 10, 5, 10), (8, 8, 2, 10))  # F 2/3 and 1/3
    second = counts_of((1, 20, 1, 30), (20, 20, 30, 30))  # F about 0.04 and 1
    result = summarize_boundaries([first, second])
    precision, recall = 28 / 28, 32 / 40  # the second threshold for both
    assert (result.threshold, result.precision, result.recall) == (2 / 3, precision, recall)
    assert result.f_ods == pytest.approx(2 * precision * recall / (precision + recall))
    precision, recall = 30 / 30, 35 / 40  # the first for one, the second for the other
    assert result.f_ois == pytest.approx(2 * precision * recall / (precision + recall))
    assert summarize_boundaries([second, first]) == result


def test_images_weigh_by_their_pixels():
    small, large = counts_of((1, 1, 1, 1)), counts_of((0, 99, 0, 99))
    assert summarize_boundaries([small]).precision == summarize_boundaries([small]).recall == 1
    assert (
        summarize_boundaries([small, large]).precision == summarize_boundaries([small, large]).recall == 0.01
    )


def test_people_are_compared_with_each_other():
    line, far = column(10), column(30)
    agreed = human_agreement([line, line, line])
    assert rows(agreed) == [(60, 60, 120, 120)]
    assert agreed.thresholds.tolist() == [0.5]
    # One of three sees another line: two agree with each other, and the third with nobody.
    assert rows(human_agreement([line, line, far])) == [(40, 60, 40, 120)]
    assert rows(human_agreement([line, far])) == [(0, 40, 0, 40)]
    assert rows(human_agreement([line, far], tolerance=0.41)) == [(40, 40, 40, 40)]


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [40, 64, 100, 150])  # smaller, the image's height, its width, larger
@pytest.mark.parametrize("shape", [(64, 100), (100, 64)])
def test_annotations_go_where_the_photo_goes(fit, size, shape):
    line = np.zeros(shape, np.uint8)
    cv2.line(line, (25, 22), (45, 50), 1)
    cv2.line(line, (30, 40), (50, 25), 1)
    photo = cv2.GaussianBlur(drawn(line > 0).astype(np.float32), (0, 0), 1).astype(np.uint8)
    fitted = fit_boundaries(line > 0, size, fit)
    assert fitted.shape == (size, size)
    assert fitted.dtype == bool
    image = fit_square(photo, size, fit)
    # The dark of the photo has its centre where the boundary has, and every boundary pixel touches the dark.
    dark = 255.0 - image
    centre = [(dark.sum(axis=axis) * np.arange(size)).sum() / dark.sum() for axis in (1, 0)]
    assert np.abs(np.argwhere(fitted).mean(axis=0) - centre).max() < 0.75
    assert cv2.dilate(dark, np.ones((3, 3)))[fitted].min() > 0.4 * dark.max()
    # And all of the dark has a boundary near.
    away = cv2.distanceTransform((~fitted).astype(np.uint8), cv2.DIST_L2, 5)
    assert away[dark > 0.7 * dark.max()].max() < 1.5 + size / 60
    # Lines stay lines: one pixel wide, and in one piece.
    assert not (fitted[1:, 1:] & fitted[:-1, 1:] & fitted[1:, :-1] & fitted[:-1, :-1]).any()
    assert cv2.connectedComponents(fitted.astype(np.uint8), connectivity=8)[0] == 2


def test_a_fitted_drawing_scores_against_its_fitted_annotation():
    truth = np.zeros((120, 180), np.uint8)
    cv2.circle(truth, (90, 60), 40, 1)
    cv2.line(truth, (60, 100), (140, 20), 1)
    thick = cv2.dilate(truth, np.ones((3, 3), np.uint8))
    for fit, size in (("crop", 80), ("pad", 90), ("keep", 0), ("crop", 240), ("pad", 300)):
        sketch = fit_square(drawn(thick > 0), size, fit)
        result = summarize_boundaries(
            [boundary_counts(sketch, [fit_boundaries(truth > 0, size, fit)], (0.5,), 0.015)]
        )
        assert result.f_ods > 0.95, (fit, size, result)


def test_enlarged_corners_have_no_holes():
    mask = np.zeros((12, 12), bool)
    mask[2, 2:9] = mask[2:9, 2] = mask[2:9, 8] = True
    fitted = fit_boundaries(mask, 96, "crop")
    background = (~fitted).astype(np.uint8)
    assert cv2.connectedComponents(background, connectivity=4)[0] == 2
    assert fitted.sum() == pytest.approx(mask.sum() * 8, rel=0.1)


def test_what_is_cropped_away_is_gone_and_kept_ones_stay():
    mask = np.zeros((20, 40), bool)
    mask[:, 3] = mask[10, 20] = True
    assert np.argwhere(fit_boundaries(mask, 20, "crop")).tolist() == [[10, 10]]
    assert fit_boundaries(mask, 7, "keep") is mask
    padded = fit_boundaries(mask, 40, "pad")
    assert (padded[10:30] == mask).all()
    assert padded.sum() == mask.sum()


def test_pixels_that_fall_together_are_one():
    mask = np.zeros((16, 16), bool)
    assert not fit_boundaries(mask, 8, "crop").any()
    assert not fit_boundaries(mask, 40, "pad").any()
    mask[4, 4] = mask[5, 5] = mask[10, 3] = True
    assert np.argwhere(fit_boundaries(mask, 8, "crop")).tolist() == [[2, 2], [5, 1]]


def cells(*entries) -> np.ndarray:
    array = np.empty((1, len(entries)), object)
    for index, entry in enumerate(entries):
        array[0, index] = entry
    return array


def store(path: Path, *masks: np.ndarray) -> Path:
    people = cells(*({"Boundaries": mask.astype(np.uint8), "Segmentation": mask * 2} for mask in masks))
    savemat(path, {"groundTruth": people}, do_compression=True)  # as MATLAB does, checksums included
    return path


def test_annotations_are_read_as_they_were_stored(tmp_path):
    masks = [noise(key, (12, 15), 0.2) for key in range(3)]
    found = read_boundaries(store(tmp_path / "a.mat", *masks))
    assert len(found) == 3
    assert all(mask.dtype == bool for mask in found)
    assert all((one == other).all() for one, other in zip(found, masks, strict=True))
    assert (read_boundaries(str(store(tmp_path / "one", masks[0])))[0] == masks[0]).all()


def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path):
    mask = noise(0, (12, 15), 0.2)
    whole = store(tmp_path / "whole.mat", mask, mask).read_bytes()
    foreign = {
        "empty": b"",
        "text": b"hello, this is no matrix at all, but a line of text\n" * 9,
        "half": whole[: len(whole) // 2],
        "hdf5": b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400),
    }
    for name, data in foreign.items():
        (tmp_path / name).write_bytes(data)
    savemat(tmp_path / "other.mat", {"boundaries": mask})
    savemat(tmp_path / "plain.mat", {"groundTruth": mask.astype(np.uint8)})
    savemat(tmp_path / "field.mat", {"groundTruth": cells({"Segmentation": mask})})
    savemat(tmp_path / "none.mat", {"groundTruth": np.empty((1, 0), object)})
    store(tmp_path / "sizes.mat", mask, mask[1:])
    names = [*foreign, "other.mat", "plain.mat", "field.mat", "none.mat", "sizes.mat", "missing.mat", "."]
    for name in names:
        with pytest.raises(SketchforgeError) as caught:
            read_boundaries(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value), name
        assert "\n" not in str(caught.value), name
    reasons = {"missing.mat": "No such file", "half": "BSDS500", "other.mat": "BSDS500"}
    reasons["sizes.mat"] = "11 x 15, 12 x 15"
    for name, reason in reasons.items():
        with pytest.raises(SketchforgeError, match=reason):
            read_boundaries(tmp_path / name)


@pytest.mark.parametrize("key", range(60))
def test_a_file_with_flipped_bytes_is_read_or_refused(tmp_path, key):
    random = numpy_generator(0, "damage", key)
    data = bytearray(store(tmp_path / "a.mat", noise(0, (12, 15), 0.2)).read_bytes())
    for place in random.integers(124, len(data), 3):
        data[place] = random.integers(256)
    (tmp_path / "a.mat").write_bytes(data)
    try:
        assert read_boundaries(tmp_path / "a.mat")[0].ndim == 2
    except SketchforgeError as error:
        assert "a.mat" in str(error)


@needs_data
def test_people_agree_on_real_photos_and_a_random_shift_does_not():
    paths = sorted((DATA / "boundaries_val").glob("*.mat"))[:3]
    people = [read_boundaries(path) for path in paths]
    for path, annotations in zip(paths, people, strict=True):
        assert annotations[0].shape == read_image(DATA / "val" / f"{path.stem}.jpg").shape[:2]
    agreed = summarize_boundaries([human_agreement(annotations[:3]) for annotations in people])
    assert 0.6 < agreed.f_ods < 0.95
    apart = [
        boundary_counts(drawn(np.roll(annotations[0], (60, 90), (0, 1))), annotations[1:3], (0.5,))
        for annotations in people
    ]
    assert summarize_boundaries(apart).f_ods < agreed.f_ods - 0.2

"""The two-sample test on stroke patches: what it must not see, what it must, and that it never peeks."""

from functools import cache

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from sketchforge.errors import UsageError
from sketchforge.metrics.sketches.patches import (
    FEATURES,
    PATCH_SIDE,
    WORKING_SIDE,
    describe_patches,
    normalize_lines,
    stroke_patches,
)
from sketchforge.metrics.sketches.two_sample_test import (
    INK_STRATA,
    TwoSampleResult,
    match_by_ink,
    two_sample_test,
)

SUBPIXELS = 16


def arcs(seed: int, pen: float = 0.013, side: int = 227, wobble: float = 0.0) -> np.ndarray:
    """A sketch of a few arcs, the same for one seed at whatever pen (share of the side) and size."""
    rng = np.random.default_rng(seed)
    sketch = np.full((side, side), 255, np.uint8)
    for _ in range(6):
        centre, radius, start = rng.uniform(0.3, 0.7, 2), rng.uniform(0.1, 0.28), rng.uniform(0, 7)
        angles = np.linspace(start, start + rng.uniform(2, 5), 80)
        radii = radius + wobble * rng.standard_normal(80)
        points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        fixed = np.round((points * side - 0.5) * SUBPIXELS).astype(np.int32)
        cv2.polylines(sketch, [fixed], False, 0, max(1, round(pen * side)), cv2.LINE_AA, 4)
    return sketch


def described(sketches: dict[str, np.ndarray], count: int = 12) -> tuple[np.ndarray, list[str]]:
    found = {name: describe_patches(stroke_patches(s, count, 0, name)) for name, s in sketches.items()}
    return np.concatenate(list(found.values())), [name for name, rows in found.items() for _ in rows]


@cache
def plain(count: int) -> tuple[np.ndarray, list[str]]:
    """The patches of so many sketches, described."""
    return described({f"{i}": arcs(i) for i in range(count)})


def blots(*rows: str) -> np.ndarray:
    """One patch of `#` for ink, as uint8 (1, P, P)."""
    return np.array([[[0 if mark == "#" else 255 for mark in row] for row in rows]], np.uint8)


# --- patches


def test_patches_are_centred_on_lines_and_hold_one_pixel_pens():
    patches = stroke_patches(arcs(0, pen=0.03), 25, seed=1)
    assert patches.shape == (25, PATCH_SIDE, PATCH_SIDE)
    assert patches.dtype == np.uint8
    assert set(np.unique(patches)) == {0, 255}
    assert (patches[:, PATCH_SIDE // 2, PATCH_SIDE // 2] == 0).all()
    assert ((patches == 0).mean(axis=(1, 2)) < 0.2).all()


def test_blank_and_narrow_sketches_have_no_patches():
    assert stroke_patches(np.full((90, 60), 255, np.uint8), 5, 0).shape == (0, PATCH_SIDE, PATCH_SIDE)
    assert len(stroke_patches(np.zeros((20, 400), np.uint8), 5, 0)) == 0


def test_lines_at_the_edge_are_left_out():
    framed = np.full((200, 200), 255, np.uint8)
    framed[:3] = framed[-3:] = 0
    framed[:, :3] = framed[:, -3:] = 0
    assert len(stroke_patches(framed, 50, 0)) == 0


def test_patches_depend_on_seed_and_key_only():
    sketch = arcs(3)
    first = stroke_patches(sketch, 8, 5, "a")
    assert np.array_equal(first, stroke_patches(sketch.copy(), 8, 5, "a"))
    assert not np.array_equal(first, stroke_patches(sketch, 8, 5, "b"))
    assert not np.array_equal(first, stroke_patches(sketch, 8, 6, "a"))


def test_no_point_is_drawn_twice():
    dot = np.full((227, 227), 255, np.uint8)
    cv2.circle(dot, (110, 110), 2, 0, -1)
    assert 1 <= len(stroke_patches(dot, 100, 0)) < 10


@pytest.mark.parametrize(
    "other", [{"pen": 0.005}, {"pen": 0.022}, {"side": 454}, {"side": 160}, {"side": 1024}]
)
def test_lines_do_not_depend_on_pen_or_size(other):
    """All lines of either are within 2 px of the other's, but for 6 % where strokes meet."""
    for seed in range(3):
        pair = normalize_lines(arcs(seed)), normalize_lines(arcs(seed, **other))
        assert max(pair[0].shape) == max(pair[1].shape) == WORKING_SIDE
        for a, b in (pair, pair[::-1]):
            assert (distance_transform_edt(~b)[a] <= 2).mean() > 0.94


def test_lines_keep_their_place():
    """To a pixel: thinning leans to one side by half of one, and a line's ends by a little more."""
    scale = WORKING_SIDE / 400
    for at in range(60, 90):
        sketch = np.full((400, 150), 255, np.uint8)
        sketch[at - 1 : at + 2, 30:120] = 0
        rows, columns = np.nonzero(normalize_lines(sketch))
        assert abs(np.median(rows) + 0.5 - (at + 0.5) * scale) <= 1
        assert abs(columns.min() - 30 * scale) <= 3
        assert abs(columns.max() + 1 - 120 * scale) <= 3


@pytest.mark.parametrize("slope", [1, -1])
def test_diagonals_keep_their_place(slope):
    sketch = np.full((WORKING_SIDE, WORKING_SIDE), 255, np.uint8)
    steps = np.arange(-50, 51)
    sketch[80 + steps, 80 + slope * steps] = 0
    rows, columns = np.nonzero(normalize_lines(sketch))
    assert abs((rows - 80 - slope * (columns - 80)).mean()) < 0.1


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), bool), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_other_arrays_are_refused(bad):
    with pytest.raises(ValueError, match="uint8 HxW"):
        stroke_patches(bad, 1, 0)


# --- description


def test_a_patch_by_hand():
    """A cross of 9 pixels with four free ends beside a closed ring of 4: two pieces, one hole."""
    cross_and_ring = blots(
        ".............",
        "...#.........",
        "...#.........",
        ".#####...#...",
        "...#....#.#..",
        "...#.....#...",
        ".............",
    )
    row = dict(zip(FEATURES, describe_patches(cross_and_ring)[0]))
    assert row["ink"] == 13
    assert row["ends"] == pytest.approx(4 / 13)
    assert row["junctions"] == pytest.approx(5 / 13)  # the crossing and the four about it
    assert row["pieces"] == pytest.approx(2 / 13)
    assert row["holes"] == pytest.approx(1 / 13)


def test_lines_that_leave_the_patch_do_not_end():
    row = dict(zip(FEATURES, describe_patches(blots(".....", ".....", "#####", ".....", "....."))[0]))
    assert row["ends"] == 0


def test_pieces_touch_at_corners_and_patches_do_not_touch_each_other():
    two = np.concatenate([blots("#..", ".#.", "..#"), blots("#..", "...", "..#")])
    rows = describe_patches(two)
    assert rows[0, FEATURES.index("pieces")] == pytest.approx(1 / 3)
    assert rows[1, FEATURES.index("pieces")] == pytest.approx(2 / 2)


def test_straight_lines_are_coherent_and_scribbles_are_not():
    straight = np.full((1, 32, 32), 255, np.uint8)
    straight[0, 16] = 0
    scribble = np.where(np.random.default_rng(0).random((1, 32, 32)) < 0.2, 0, 255).astype(np.uint8)
    for name in FEATURES:
        if name.startswith("coherence") and "spread" not in name:
            at = FEATURES.index(name)
            assert describe_patches(straight)[0, at] > 0.95 > 0.75 > describe_patches(scribble)[0, at]


def test_description_is_blind_to_quarter_turns_and_mirrors():
    patches = stroke_patches(arcs(1), 10, 0)
    expected = describe_patches(patches)
    quarter, transposed = np.rot90(patches, axes=(1, 2)), patches.swapaxes(1, 2)
    for turned in (quarter, transposed, patches[:, ::-1], patches[:, :, ::-1]):
        np.testing.assert_allclose(describe_patches(turned), expected, atol=1e-4)


def test_every_patch_is_described_by_itself():
    patches = stroke_patches(arcs(1), 6, 0)
    one_by_one = np.concatenate([describe_patches(patch[None]) for patch in patches])
    np.testing.assert_allclose(describe_patches(patches), one_by_one, atol=1e-6)


def test_blank_patches_are_refused_and_no_patches_are_no_rows():
    with pytest.raises(ValueError, match="patch 1 is blank"):
        describe_patches(np.stack([np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)]))
    assert describe_patches(np.empty((0, 32, 32), np.uint8)).shape == (0, len(FEATURES))


# --- matching


def test_matched_sides_are_equally_large_and_equally_inky():
    rng = np.random.default_rng(0)
    a, b = rng.normal(50, 15, 3000).round(), rng.normal(65, 15, 2000).round()
    rows_a, rows_b = match_by_ink(a, b, seed=0)
    assert len(rows_a) == len(rows_b) == len(set(rows_a)) == len(set(rows_b)) > 700
    assert abs(a[rows_a].mean() - b[rows_b].mean()) < 1.0 < abs(a.mean() - b.mean())


def test_sides_without_ink_in_common_do_not_match():
    a, b = match_by_ink(np.arange(50), np.arange(100, 150), seed=0)
    assert len(a) == len(b) <= 50 // (INK_STRATA // 2)  # the stratum at the border may hold both
    assert [len(side) for side in match_by_ink(np.empty(0), np.arange(3), seed=0)] == [0, 0]


# --- the test


def normal(
    images: int, patches: int, shift: float, seed: int, prefix: str = ""
) -> tuple[np.ndarray, list[str]]:
    """Made-up features: ink alike, the rest normal about `shift`."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((images * patches, 6)) + shift
    features[:, 0] = rng.integers(20, 60, len(features))
    return features, [f"{prefix}{i:03d}" for i in range(images) for _ in range(patches)]


def test_drawings_of_one_hand_cannot_be_told_apart():
    a, b = (described({f"{i}": arcs(i) for i in range(n, n + 40)}) for n in (0, 40))
    assert two_sample_test(*a, *b, seed=0).auc == pytest.approx(0.5, abs=0.08)


def test_wobbly_drawings_are_told_from_smooth_ones_and_the_more_so_the_more_they_wobble():
    aucs = [
        two_sample_test(*described({f"{i}": arcs(i, wobble=w) for i in range(20)}), *plain(20), seed=0).auc
        for w in (0.008, 0.016, 0.03)
    ]
    assert 0.5 < aucs[0] < aucs[1] < aucs[2]
    assert aucs[2] > 0.9


@pytest.mark.parametrize("other", [{"pen": 0.005}, {"pen": 0.022}, {"side": 454}, {"side": 160}])
def test_pen_and_size_cannot_be_told(other):
    stored_otherwise = described({f"{i}": arcs(i, **other) for i in range(40)})
    assert two_sample_test(*stored_otherwise, *plain(40), seed=0).auc == pytest.approx(0.5, abs=0.08)


def test_ink_alone_tells_nothing():
    dense, sparse = normal(30, 10, 0.0, 1), normal(30, 10, 0.0, 2)
    dense[0][:, 0] += 15
    result = two_sample_test(*dense, *sparse, seed=0)
    assert result.auc == pytest.approx(0.5, abs=0.08)
    for side in (dense, sparse):
        side[0][:, 0] **= 3  # the same strata
    assert np.array_equal(result.scores, two_sample_test(*dense, *sparse, seed=0).scores)


@pytest.mark.parametrize("shift", [0.0, 0.5, 4.0])
def test_sides_are_alike(shift):
    a, b = normal(20, 8, 0.0, 1, "a"), normal(25, 8, shift, 2, "b")
    there, back = two_sample_test(*a, *b, seed=3), two_sample_test(*b, *a, seed=3)
    assert there.auc == pytest.approx(back.auc, abs=1e-3)
    assert there.labels.sum() == (~there.labels).sum()
    assert shift != 4 or there.auc > 0.999


def test_the_same_call_gives_the_same_numbers():
    sides = *normal(10, 8, 0.0, 1), *normal(10, 8, 0.3, 2)
    first, again, other = (two_sample_test(*sides, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.scores, again.scores)
    assert np.array_equal(first.folds, again.folds)
    assert not np.array_equal(first.scores, other.scores)


def test_a_source_image_is_in_one_fold_on_both_sides():
    result = two_sample_test(*normal(17, 6, 0.0, 1), *normal(23, 6, 0.2, 2), seed=0)
    assert len(set(result.groups[result.labels]) & set(result.groups[~result.labels])) > 10
    assert len(set(result.folds)) == 5
    for group in set(result.groups):
        assert len(set(result.folds[result.groups == group])) == 1


def test_quirks_of_single_images_are_no_difference_of_sets():
    """Images have quirks, the sets have none: who has seen an image knows its set, and nobody else does."""
    grouped, leaking = [], []
    for seed in range(12):
        sides = []
        for side in (0, 1):
            features, groups = normal(6, 20, 0.0, 2 * seed + side, "ab"[side])
            quirks = np.random.default_rng(1000 + 2 * seed + side).standard_normal((6, 11)) * 5
            rest = features[:, 1:2] + np.repeat(quirks, 20, axis=0)
            sides.append((np.hstack([features[:, :1], rest]), groups))
        (a, groups_a), (b, groups_b) = sides
        grouped.append(two_sample_test(a, groups_a, b, groups_b, seed).auc)
        own = [[f"{side}{i}" for i in range(len(groups_a))] for side in "ab"]
        leaking.append(two_sample_test(a, own[0], b, own[1], seed).auc)
    assert np.mean(leaking) > 0.9
    assert np.mean(grouped) == pytest.approx(0.5, abs=0.15)


def test_auc_is_that_of_all_pairs_within_folds():
    rng = np.random.default_rng(0)
    n = 60
    result = TwoSampleResult(
        scores=rng.integers(0, 8, n) / 8,  # many ties
        labels=rng.random(n) < 0.4,
        groups=np.array([f"g{i}" for i in rng.integers(0, 9, n)]),
        folds=rng.integers(0, 3, n),
    )
    weights = {f"g{i}": int(count) for i, count in enumerate(rng.integers(0, 4, 9))}
    wins = pairs = 0.0
    for i in np.flatnonzero(result.labels):
        for j in np.flatnonzero(~result.labels):
            if result.folds[i] == result.folds[j]:
                weight = weights[result.groups[i]] * weights[result.groups[j]]
                one, other = result.scores[i], result.scores[j]
                wins += weight * ((one > other) + (one == other) / 2)
                pairs += weight
    assert result.resampled_auc(weights) == pytest.approx(wins / pairs, abs=1e-12)
    from sklearn.metrics import roc_auc_score  # slow to import

    one_fold = TwoSampleResult(result.scores, result.labels, result.groups, np.zeros(n, int))
    assert one_fold.auc == pytest.approx(roc_auc_score(result.labels, result.scores), abs=1e-12)
    assert np.isnan(result.resampled_auc(dict.fromkeys(weights, 0)))


def test_too_few_images_are_refused():
    with pytest.raises(UsageError, match="found 1 and 9 source images"):
        two_sample_test(*normal(1, 20, 0.0, 1), *normal(9, 20, 0.0, 2), seed=0)
    apart = normal(9, 20, 0.0, 1, "a")
    apart[0][:, 0] += 1000
    with pytest.raises(UsageError, match="like density"):
        two_sample_test(*apart, *normal(9, 20, 0.0, 2), seed=0)


def test_features_of_other_shapes_are_refused():
    features, groups = normal(5, 4, 0.0, 1)
    with pytest.raises(ValueError, match="expected features"):
        two_sample_test(features, groups, features[:, :3], groups, seed=0)
    with pytest.raises(ValueError, match="expected features"):
        two_sample_test(features, groups[:-1], features, groups, seed=0)

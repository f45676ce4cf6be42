"""Hands: what they take, how they move it, what their pens leave; and the file they come from."""

import dataclasses

import cv2
import numpy as np
import pytest

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.strokes.choosing import StrokeFeatures, choose_strokes, weigh_strokes
from sketchforge.strokes.draw import draw_hands, trace_picture
from sketchforge.strokes.foreground import find_foreground
from sketchforge.strokes.hands import Hand, pick_hands, read_hands
from sketchforge.strokes.moving import FILL, draw_lines, move_strokes
from sketchforge.strokes.painting import paint_strokes
from sketchforge.strokes.strokes import StrokeSet

SIDE = 256
PLAIN = Hand("plain", taste=0, frame=0)


def lines(*pieces) -> StrokeSet:
    return StrokeSet.of(
        [np.array(piece, float) for piece in pieces], np.zeros(len(pieces), bool), (SIDE, SIDE)
    )


def straight(x0, y0, x1, y1, count=41) -> np.ndarray:
    return np.stack([np.linspace(x0, x1, count), np.linspace(y0, y1, count)], 1)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_strokes_measure_their_lengths_and_means():
    strokes = lines([(0, 0), (3, 4), (3, 10)], [(100, 0), (100, 7)])
    assert strokes.lengths().tolist() == [11.0, 7.0]
    assert strokes.means(np.array([1, 2, 6, 10, 20])).tolist() == [3.0, 15.0]
    assert strokes.owner.tolist() == [0, 0, 0, 1, 1]


def test_a_picture_is_sampled_at_x_and_y():
    image = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    assert lines([(5, 2), (6.5, 2)]).sample(image).tolist() == [2 * SIDE + 5, 2 * SIDE + 6.5]


def test_salience_by_hand():
    length, darkness, foreground, centre, frame = (np.array([value]) for value in (0.25, 0.8, 0.6, 0.5, 0.5))
    features = StrokeFeatures(length, darkness, np.array([[0.25, 0.75]]), foreground, centre, frame)
    hand = Hand("h", long=2.0, foreground=0.5, frame=0.4, own=0.4, taste=0.0)
    agreement = 0.6 * 0.5 + 0.4 * 0.25
    wanted = 0.25**2 * agreement * 0.8 * (0.5 + 0.5 * 0.36) * (1 - 0.4 * 0.5) * (0.4 + 0.6 * 0.5)
    assert weigh_strokes(features, np.array([False]), hand, rng())[0] == pytest.approx(wanted)
    assert weigh_strokes(features, np.array([True]), hand, rng())[0] == pytest.approx(1.5 * wanted)


@pytest.mark.parametrize(("number", "own", "wanted"), [
    (0, 1.0, [0.0, 0.8]), (1, 1.0, [1.0, 0.2]), (2, 1.0, [0.0, 0.8]), (0, 0.0, [0.5, 0.5]), (1, 0.0, [0.5, 0.5]),
])  # fmt: skip
def test_a_hand_goes_by_its_own_sketch_as_far_as_it_says(number, own, wanted):
    ones = np.ones(2)
    features = StrokeFeatures(ones, ones, np.array([[0, 1.0], [0.8, 0.2]]), ones, ones, np.zeros(2))
    hand = Hand("h", number, own=own, taste=0.0)
    assert weigh_strokes(features, np.zeros(2, bool), hand, rng()) == pytest.approx(wanted)


def test_the_fewest_strokes_are_taken_that_hold_the_share():
    salience = np.array([1.0, 6.0, 2.0, 1.0])
    assert choose_strokes(salience, 0.6).tolist() == [1]
    assert choose_strokes(salience, 0.61).tolist() == [1, 2]
    assert choose_strokes(salience, 1.0).tolist() == [0, 1, 2, 3]
    assert choose_strokes(np.zeros(0), 0.9).tolist() == []


def test_a_hand_without_movement_leaves_strokes_where_they_are():
    strokes = lines(straight(20, 30, 200, 90))
    assert np.allclose(move_strokes(strokes, PLAIN, rng()).points, strokes.points, atol=1e-4)


def test_a_turn_keeps_lengths_and_turns_about_the_middle():
    strokes = lines(straight(20, 127.5, 235, 127.5))
    moved = move_strokes(strokes, dataclasses.replace(PLAIN, turn=5.0), rng())
    assert moved.lengths() == pytest.approx(strokes.lengths(), rel=1e-4)
    assert np.allclose(moved.points.mean(0), 127.5, atol=1e-3)
    assert abs(moved.points[0, 1] - moved.points[-1, 1]) > 1


def test_a_field_bends_smoothly_by_its_std():
    strokes = lines(*(straight(0, y, 255, y) for y in range(0, 256, 5)))
    shifts = [
        move_strokes(strokes, dataclasses.replace(PLAIN, field=0.02), np.random.default_rng(seed)).points
        - strokes.points
        for seed in range(20)
    ]
    # Between the grid's points a cubic interpolation of independent numbers has a smaller std than at them.
    assert 0.5 * 0.02 * SIDE < np.std(shifts) < 1.1 * 0.02 * SIDE
    along = np.diff(shifts[0].reshape(-1, 41, 2), axis=1)
    assert np.abs(along).max() < 2.5, "pixels within six: no jumps"


def test_filling_the_paper_centres_the_ink():
    moved = move_strokes(lines(straight(10, 10, 60, 30)), dataclasses.replace(PLAIN, fills_paper=True), rng())
    low, high = moved.points.min(0), moved.points.max(0)
    assert (high - low).max() == pytest.approx(FILL * SIDE, rel=1e-3)
    assert (low + high) / 2 == pytest.approx([127.5, 127.5], abs=0.01)


def test_straightened_lines_stay_within_their_tolerance_and_have_few_corners():
    turn = np.linspace(0, np.pi, 60)
    arc = np.stack([128 + 80 * np.cos(turn), 128 + 80 * np.sin(turn)], 1)
    moved = move_strokes(lines(arc), dataclasses.replace(PLAIN, straighten=0.014), rng())
    assert 4 <= len(moved.points) <= 12
    radii = np.hypot(*(moved.points - 128).T)
    assert np.allclose(radii, 80, atol=0.014 * SIDE)


def test_overshoot_runs_on_in_the_same_direction():
    strokes = lines(straight(100, 50, 150, 50))
    moved = draw_lines(strokes, dataclasses.replace(PLAIN, overshoot=0.05), rng())
    assert np.allclose(moved.points[:, 1], 50)
    assert 100 - 0.05 * SIDE <= moved.points[:, 0].min() < 100
    assert 150 < moved.points[:, 0].max() <= 150 + 0.05 * SIDE


def test_doubled_strokes_are_drawn_twice_and_lifts_cut_them():
    strokes = lines(*(straight(10, y, 240, y) for y in range(20, 240, 10)))
    doubled = draw_lines(strokes, dataclasses.replace(PLAIN, doubled=1.0), rng())
    assert len(doubled) == 2 * len(strokes)
    lifted = draw_lines(strokes, dataclasses.replace(PLAIN, lifts=0.5), rng())
    assert len(lifted) > 1.5 * len(strokes)
    assert lifted.lengths().sum() < strokes.lengths().sum()
    assert lifted.lengths().sum() > 0.8 * strokes.lengths().sum()


@pytest.mark.parametrize("pen", [0.008, 0.016, 0.032])
def test_the_pen_has_its_width(pen):
    sketch = paint_strokes(
        lines(straight(20, 128, 235, 128)), dataclasses.replace(PLAIN, pen=pen), None, rng(), (SIDE, SIDE)
    )
    ink = (255.0 - sketch[:, 60:200]).sum(0).mean() / 255
    assert ink == pytest.approx(pen * SIDE, abs=0.45), "widths come in steps of two thirds of a pixel"


@pytest.mark.parametrize("y", [100, 100.25, 100.5, 100.75])
def test_the_thinnest_pen_leaves_an_unbroken_line(y):
    hand = dataclasses.replace(PLAIN, pen=0.001)
    sketch = paint_strokes(lines(straight(20, y, 235, y)), hand, None, rng(), (SIDE, SIDE))
    assert (sketch[:, 22:234] < 128).any(0).all()


def test_a_line_is_painted_where_it_is():
    sketch = paint_strokes(lines(straight(20, 100, 235, 100)), PLAIN, None, rng(), (SIDE, SIDE))
    rows = np.arange(SIDE) @ (255.0 - sketch).sum(1) / (255.0 - sketch).sum()
    assert rows == pytest.approx(100, abs=0.15)


def test_a_sketch_of_twice_the_size_is_the_same_drawing():
    strokes = lines(straight(20, 40, 200, 190), straight(60, 200, 220, 30))
    small, large = (paint_strokes(strokes, PLAIN, None, rng(), (side, side)) for side in (SIDE, 2 * SIDE))
    reduced = cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(int) - small).mean() < 2


def test_tapered_ends_are_thinner():
    hand = dataclasses.replace(PLAIN, pen=0.03, taper=0.8)
    sketch = paint_strokes(lines(straight(28, 128, 228, 128)), hand, None, rng(), (SIDE, SIDE))
    ink = (255.0 - sketch).sum(0) / 255
    assert ink[120:136].mean() > 2 * ink[34:40].mean()


def test_gaps_leave_out_their_share():
    strokes = lines(*(straight(10, y, 240, y, 60) for y in range(20, 240, 10)))
    whole = paint_strokes(strokes, PLAIN, None, rng(), (SIDE, SIDE))
    gapped = paint_strokes(strokes, dataclasses.replace(PLAIN, gaps=0.2), None, rng(), (SIDE, SIDE))
    share = 1 - (255.0 - gapped).sum() / (255.0 - whole).sum()
    assert 0.08 < share < 0.3


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A red ball on grey ground with a line far from it: (greys, pixels)."""
    pixels = np.full((SIDE, SIDE, 3), 120, np.uint8)
    cv2.circle(pixels, (128, 128), 60, (220, 30, 20), -1)
    grey = np.full((SIDE, SIDE), 255, np.uint8)
    cv2.circle(grey, (128, 128), 60, 0, 2)
    cv2.line(grey, (5, 240), (250, 240), 0, 2)
    return np.stack([grey] * 3), pixels


def test_the_foreground_is_what_differs_from_the_border():
    _, pixels = picture()
    mask = find_foreground(pixels)
    assert mask[128, 128] == 1 and mask[5, 5] == 0
    assert 0.15 < mask.mean() < 0.3, "the ball covers .17"


def test_a_picture_of_one_colour_is_all_foreground():
    assert (find_foreground(np.full((64, 80, 3), 90, np.uint8)) == 1).all()


def sketches_of(traced, hands, seed: int = 0, key: str = "a") -> np.ndarray:
    size = traced.darkness.shape
    return np.stack([drawing.sketch for drawing in draw_hands(traced, hands, seed, key, size)])


def test_it_is_known_which_sketches_have_a_stroke():
    greys, pixels = picture()
    greys[1:, 225:] = 255  # the line is in the first one alone
    traced = trace_picture(greys, find_foreground(pixels))
    line = [number for number, piece in enumerate(traced.strokes) if piece[:, 1].min() > 225]
    ball = [number for number in range(len(traced.strokes)) if number not in line]
    assert np.allclose(traced.features.presence[line], [1, 0, 0])
    assert np.allclose(traced.features.presence[ball], 1)


def test_surroundings_are_left_out_by_the_hands_that_do_so():
    greys, pixels = picture()
    traced = trace_picture(greys, find_foreground(pixels))
    outline, careful = pick_hands(read_hands(), ["outline", "careful"])
    sketches = sketches_of(traced, [outline, careful])
    assert (sketches[0, 225:] > 128).all()
    assert (sketches[1, 225:] < 128).any()
    assert (sketches[0, 50:200] < 128).any()


def test_equal_keys_give_equal_sketches_and_others_do_not():
    greys, pixels = picture()
    traced = trace_picture(greys, find_foreground(pixels))
    hands = read_hands()
    first = sketches_of(traced, hands)
    assert np.array_equal(first, sketches_of(traced, hands))
    moving = [number for number, hand in enumerate(hands) if hand.field]
    for other in (
        sketches_of(traced, hands, seed=1),
        sketches_of(traced, hands, key="b"),
    ):
        assert all((first[number] != other[number]).any() for number in moving)


def test_a_hand_draws_the_same_whoever_draws_beside_it():
    greys, pixels = picture()
    traced = trace_picture(greys, find_foreground(pixels))
    together = sketches_of(traced, read_hands())
    alone = sketches_of(traced, pick_hands(read_hands(), ["naive", "brush", "naive"]))
    assert np.array_equal(alone[0], together[4])
    assert np.array_equal(alone[1], together[3])
    assert (alone[2] != alone[0]).any(), "a name given twice is a second drawing"


def test_a_blank_picture_gives_blank_sketches():
    traced = trace_picture(np.full((2, 64, 64), 255, np.uint8), np.ones((64, 64), np.float32))
    assert (sketches_of(traced, read_hands()) == 255).all()


def test_ten_hands_ship_the_most_careful_first():
    hands = read_hands()
    assert len(hands) == len({hand.name for hand in hands}) == 10
    assert hands[0].name == "careful"
    assert not (hands[0].field or hands[0].taste or hands[0].foreground)


HEAD = 'format = "sketchforge-hands"\nversion = 1\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\n", "expected format"),
        (HEAD, "holds no hand"),
        (HEAD + "[a]\nkeeps = 1\n", r"\[a\] keeps: no such parameter"),
        (HEAD + "[a]\nkeep = 'x'\n", "expected a float"),
        (HEAD + "[a]\nkeep = true\n", "expected a float"),
        (HEAD + "[a]\nkeep = 1.5\n", r"keep in \(0, 1\]"),
        (HEAD + "[a]\ntaste = -1\n", "not negative"),
        (HEAD + "[a]\nkeep = nan\n", "keep"),
        (HEAD + "[a]\nfield = nan\n", "at most 100"),
        (HEAD + "[a]\nfield = 1e308\n", "at most 100"),
        (HEAD + "[a]\npen = 0.3\n", r"pen in \(0, .25\]"),
        (HEAD + "a = 3\n", "a is not a table"),
        ("[a\n", "cannot be read as TOML"),
    ],
)
def test_a_file_of_hands_that_is_wrong_is_one_line(tmp_path, text, message):
    path = tmp_path / "h.toml"
    path.write_text(text)
    with pytest.raises(SketchforgeError, match=message):
        read_hands(path)


def test_a_file_of_ones_own_is_read(tmp_path):
    path = tmp_path / "h.toml"
    path.write_text(HEAD + "[mine]\nkeep = 1\npen = 0.02\nfills_paper = true\n")
    assert read_hands(path) == [Hand("mine", keep=1.0, pen=0.02, fills_paper=True)]
    with pytest.raises(UsageError, match="no such file"):
        read_hands(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="no such hand; there are mine"):
        pick_hands(read_hands(path), ["yours"])

"""Hands: what they take, how they move it, what their pens leave; and the file they come from."""

import dataclasses

import cv2
import numpy as np
import pytest

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.resize import pad_white
from sketchforge.strokes.choosing import StrokeFeatures, choose_strokes, describe_strokes, weigh_strokes
from sketchforge.strokes.draw import draw_hands, trace_picture
from sketchforge.strokes.foreground import find_foreground
from sketchforge.strokes.hands import Hand, pick_hands, read_hands
from sketchforge.strokes.moving import FILL, draw_lines, fill_paper, move_strokes
from sketchforge.strokes.painting import paint_strokes
from sketchforge.strokes.strokes import StrokeSet
from sketchforge.strokes.tone import Tone, draw_tone, hatch, measure_tone

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


def features_of(**values) -> StrokeFeatures:
    """Of one stroke, a long one in a foreground that is not in doubt."""
    plain = dict(length=8.0, darkness=1.0, foreground=1.0, centre=1.0, frame=0.0, outline=0.0, forms=0.0)
    plain |= dict(contrast=1.0, face=0.0)
    columns = {name: np.array([value]) for name, value in (plain | values).items()}
    return StrokeFeatures(presence=np.array([[0.25, 0.75]]), **columns)


def weight(features: StrokeFeatures, hand: Hand, closed: bool = False) -> float:
    return float(weigh_strokes(features, np.array([closed]), hand, rng())[0])


def test_salience_by_hand():
    features = features_of(length=2.0, darkness=0.8, foreground=0.6, centre=0.5, frame=0.5)
    hand = Hand("h", long=2.0, foreground=0.5, frame=0.4, taste=0.0, own=0.0)
    inside = 2.0 * 0.5 * 0.6  # of the 1.2 that are enough
    strict = 0.5 * (1 - (1 - inside / 1.2) ** 2)
    wanted = 2.0**2 * 0.5 * 0.8 * (1 - strict + strict * 0.36) * (1 - 0.4 * 0.5) * (0.4 + 0.6 * 0.5)
    assert weight(features, hand) == pytest.approx(wanted)
    assert weight(features, hand, closed=True) == pytest.approx(1.5 * wanted)
    own = 0.25 * 0.5 + 0.75 * 0.25  # of the first sketch, a quarter
    assert weight(features, dataclasses.replace(hand, own=0.75)) == pytest.approx(own / 0.5 * wanted)


def test_a_short_line_of_a_dark_form_counts_as_a_long_one():
    hand = dataclasses.replace(PLAIN, long=1.2)
    eye, long, speck = (
        weight(features_of(length=length, forms=forms), hand)
        for length, forms in ((0.02, 1.0), (0.17, 0.0), (0.02, 0.0))
    )
    assert eye == pytest.approx(long)
    assert eye > 5 * speck


def test_contours_and_dark_forms_are_what_an_outline_is_of():
    hand = dataclasses.replace(PLAIN, contour=0.9)
    plain = weight(features_of(), PLAIN)
    assert weight(features_of(), hand) == pytest.approx(0.1 * plain)
    assert weight(features_of(outline=1.0), hand) == pytest.approx(plain)
    assert weight(features_of(outline=0.5), hand) == pytest.approx(0.55 * plain)
    assert weight(features_of(forms=1.0), hand) > plain


def test_lines_between_colours_count_more_than_those_within_one():
    hand = dataclasses.replace(PLAIN, contrast=0.5)
    plain = weight(features_of(), PLAIN)
    assert weight(features_of(), hand) == pytest.approx(plain)
    assert weight(features_of(contrast=0.5), hand) == pytest.approx((0.5 + 0.5 * 0.25) * plain)
    assert weight(features_of(contrast=0.0), PLAIN) == pytest.approx(plain), "without it all count alike"


def test_contrast_is_where_colours_meet_whatever_their_lightness():
    """Two halves of one lightness, fine stripes at the left edge: texture is no contrast."""
    colours = np.array([[[60, 30, 40], [60, 30, -40]]], np.float32)
    pixels = np.repeat(cv2.cvtColor(colours, cv2.COLOR_LAB2RGB) * 255, [64, 64], axis=1).repeat(128, 0)
    pixels[:, :16] += 60 * (np.arange(16) // 2 % 2)[:, None]
    contrast = measure_tone(pixels.round().astype(np.uint8), np.ones((128, 128), np.float32)).contrast
    assert contrast[:, 62:66].min() > 0.7
    assert contrast[8:-8, 24:48].max() < 0.05
    assert contrast[8:-8, 4:12].max() < 0.5


def test_surroundings_count_where_the_foreground_holds_hardly_a_line():
    """A mask that has found nothing of the subject must not leave the paper blank."""
    hand = dataclasses.replace(PLAIN, foreground=1.0)
    foreground = np.array([1.0, 0.0, 0.0])
    rest = {name: np.zeros(3) for name in ("frame", "outline", "forms", "face")}
    rest |= {name: np.ones(3) for name in ("centre", "contrast")}
    taken = {}
    for length in (0.1, 3.0):
        lengths = np.array([length, 1.0, 1.2])
        features = StrokeFeatures(lengths, np.ones(3), np.ones((3, 1)), foreground, **rest)
        salience = weigh_strokes(features, np.zeros(3, bool), hand, rng())
        taken[length] = choose_strokes(salience, 0.9).tolist()
    assert taken[3.0] == [0]
    assert {1, 2} <= set(taken[0.1])


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
    moved = fill_paper(lines(straight(10, 10, 60, 30)), SIDE)
    low, high = moved.points.min(0), moved.points.max(0)
    assert (high - low).max() == pytest.approx(FILL * SIDE, rel=1e-3)
    assert (low + high) / 2 == pytest.approx([127.5, 127.5], abs=0.01)


def test_straightened_lines_stay_within_their_tolerance_and_have_few_corners():
    turn = np.linspace(0, np.pi, 60)
    arc = np.stack([128 + 80 * np.cos(turn), 128 + 80 * np.sin(turn)], 1)
    drawn = draw_lines(lines(arc), dataclasses.replace(PLAIN, straighten=0.014), rng())
    assert 4 <= len(drawn.points) <= 12
    radii = np.hypot(*(drawn.points - 128).T)
    assert np.allclose(radii, 80, atol=0.014 * SIDE)


def circle(radius: float, count: int) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, count)
    return 128 + radius * np.stack([np.cos(turn), np.sin(turn)], 1)


@pytest.mark.parametrize("change", [{"smooth": 5.0}, {"straighten": 0.03}], ids=str)
def test_an_eye_is_an_eye_yet_after_smoothing_and_straightening(change):
    hand = dataclasses.replace(PLAIN, **change)
    strokes = StrokeSet.of([circle(6, 11)], np.array([True]), (SIDE, SIDE))
    eye = draw_lines(move_strokes(strokes, hand, rng()), hand, rng()).points
    assert len(eye) >= 5
    assert np.ptp(eye, axis=0).min() > 0.75 * 12


def test_long_lines_are_smoothed():
    x = np.linspace(20, 230, 60)
    wave = np.stack([x, 128 + 6 * np.cos(x / 2)], 1)
    moved = move_strokes(lines(wave), dataclasses.replace(PLAIN, smooth=5.0), rng())
    assert np.abs(moved.points[8:-8, 1] - 128).max() < 2


def test_a_ruler_draws_each_side_by_itself_and_beyond_its_ends():
    square = np.concatenate([
        straight(60, 60, 190, 60), straight(190, 60, 190, 190), straight(190, 190, 60, 190), straight(60, 190, 60, 60)
    ])  # fmt: skip
    ring = StrokeSet.of([square], np.array([True]), (SIDE, SIDE))
    sides = draw_lines(ring, dataclasses.replace(PLAIN, straighten=0.01, overshoot=0.04), rng())
    assert len(sides) == 4
    lengths = []
    for side in sides:
        corners = np.abs(np.diff(side, axis=0)).sum(1)
        lengths.append(corners.sum())
        assert 130 <= corners.sum() <= 130 + 2 * 0.04 * SIDE
        assert min(np.ptp(side, axis=0)) < 0.01, "straight"
    assert max(lengths) > 132


def test_overshoot_runs_on_in_the_same_direction():
    strokes = lines(straight(100, 50, 150, 50))
    strokes = StrokeSet.of([*strokes] * 40, np.zeros(40, bool), strokes.size)
    moved = draw_lines(strokes, dataclasses.replace(PLAIN, overshoot=0.05), rng())
    assert np.allclose(moved.points[:, 1], 50)
    assert 100 - 0.05 * SIDE <= moved.points[:, 0].min() < 100
    begins = moved.points[moved.offsets[:-1], 0]
    assert 10 < (begins < 100).sum() < 30, "about half of all ends"
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


def test_pressure_follows_the_darkness_where_a_stroke_comes_from():
    """A hand that fills the paper, straightens and runs on: the line that was dark stays the broad one."""
    greys = np.full((1, SIDE, SIDE), 255, np.uint8)
    cv2.line(greys[0], (20, 100), (110, 100), 0, 2)
    cv2.line(greys[0], (20, 120), (110, 120), 140, 2)
    pixels, everywhere = np.full((SIDE, SIDE, 3), 255, np.uint8), np.ones((SIDE, SIDE), np.float32)
    traced = trace_picture(greys, everywhere, pixels)
    hand = Hand("h", keep=1.0, taste=0.0, frame=0.0, fills_paper=True, straighten=0.01, lifts=0.2, overshoot=0.02,
                pen=0.02, pressure=0.9)  # fmt: skip
    drawing = draw_hands(traced, [hand], 0, "a", (SIDE, SIDE))[0]
    upper = drawing.lines.points[:, 1] < SIDE / 2
    assert drawing.widths[upper].min() > 1.3 * drawing.widths[~upper].max()
    assert (0.02 * SIDE * 0.1 < drawing.widths).all()


def test_gaps_leave_out_their_share():
    strokes = lines(*(straight(10, y, 240, y, 60) for y in range(20, 240, 10)))
    whole = paint_strokes(strokes, PLAIN, None, rng(), (SIDE, SIDE))
    gapped = paint_strokes(strokes, dataclasses.replace(PLAIN, gaps=0.2), None, rng(), (SIDE, SIDE))
    share = 1 - (255.0 - gapped).sum() / (255.0 - whole).sum()
    assert 0.08 < share < 0.3


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A red ball on grey ground, whose edge is a line far from it: (greys, pixels)."""
    pixels = np.full((SIDE, SIDE, 3), 120, np.uint8)
    pixels[240:] = 60
    cv2.circle(pixels, (128, 128), 60, (220, 30, 20), -1)
    grey = np.full((SIDE, SIDE), 255, np.uint8)
    cv2.circle(grey, (128, 128), 60, 0, 2)
    cv2.line(grey, (5, 240), (250, 240), 0, 2)
    return np.stack([grey] * 3), pixels


def test_the_foreground_is_what_differs_from_the_border():
    _, pixels = picture()
    mask = find_foreground(pixels)
    assert mask[128, 128] == 1
    assert mask[5, 5] == 0
    assert 0.15 < mask.mean() < 0.3, "the ball covers .17"


def test_a_picture_of_one_colour_is_all_foreground():
    assert (find_foreground(np.full((64, 80, 3), 90, np.uint8)) == 1).all()


def sketches_of(traced, hands, seed: int = 0, key: str = "a") -> np.ndarray:
    size = traced.darkness.shape
    return np.stack([drawing.sketch for drawing in draw_hands(traced, hands, seed, key, size)])


def test_it_is_known_which_sketches_have_a_stroke():
    greys, pixels = picture()
    greys[1:, 225:] = 255  # the line is in the first one alone
    traced = trace_picture(greys, find_foreground(pixels), pixels)
    line = [number for number, piece in enumerate(traced.strokes) if piece[:, 1].min() > 225]
    ball = [number for number in range(len(traced.strokes)) if number not in line]
    assert np.allclose(traced.features.presence[line], [1, 0, 0])
    assert np.allclose(traced.features.presence[ball], 1)


def test_lines_beside_the_foreground_count_as_lines_of_the_subject():
    """A mask may be too tight: what lies on its edge counts nearly as much, what is far from it nothing."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[:, :100] = 1
    strokes = lines(*(straight(x, 20, x, 230) for x in (50, 103, 115, 180)))
    blank = np.zeros((SIDE, SIDE), np.float32)
    features = describe_strokes(strokes, blank, blank[None], mask, blank, blank, blank)
    inside, edge, near, far = features.foreground
    assert inside == 1
    assert 0.6 < edge <= 0.7
    assert 0.05 < near < 0.3
    assert far < 1e-6


def test_surroundings_are_left_out_by_the_hands_that_do_so():
    greys, pixels = picture()
    traced = trace_picture(greys, find_foreground(pixels), pixels)
    outline, careful = pick_hands(read_hands(), ["outline", "careful"])
    sketches = sketches_of(traced, [outline, careful])
    assert (sketches[0, 225:] > 128).all()
    assert (sketches[1, 225:] < 128).any()
    assert (sketches[0, 50:200] < 128).any()


def test_a_padded_picture_is_drawn_over_the_whole_paper():
    """A low picture on square paper: those who fill the paper fill it, the others draw where `pad_white` puts it."""
    greys = np.full((1, SIDE // 2, SIDE), 255, np.uint8)
    cv2.rectangle(greys[0], (100, 40), (160, 90), 0, 2)
    pixels = np.full((SIDE // 2, SIDE, 3), 255, np.uint8)
    traced = trace_picture(greys, np.ones((SIDE // 2, SIDE), np.float32), pixels)
    filling = dataclasses.replace(PLAIN, fills_paper=True)
    hands, size, paper = [PLAIN, filling], (SIDE, 2 * SIDE), (2 * SIDE, 2 * SIDE)
    alone = draw_hands(traced, hands[:1], 0, "a", size)[0].sketch
    left, filled = (drawing.sketch for drawing in draw_hands(traced, hands, 0, "a", size, paper))
    assert left.shape == filled.shape == paper
    assert np.array_equal(left, pad_white(alone, *paper))
    rows, columns = np.nonzero(filled < 128)
    assert np.ptp(columns) == pytest.approx(FILL * 2 * SIDE, abs=6)
    assert rows.mean() == pytest.approx(SIDE, abs=3)
    assert columns.mean() == pytest.approx(SIDE, abs=3)


def face() -> tuple[np.ndarray, np.ndarray]:
    """A head before a wall, hair in many long lines, eyes and mouth small and dark: (greys, pixels)."""
    pixels = np.full((SIDE, SIDE, 3), (90, 120, 170), np.uint8)
    cv2.ellipse(pixels, (128, 128), (62, 84), 0, 0, 360, (225, 190, 165), -1)
    grey = np.full((SIDE, SIDE), 255, np.uint8)
    cv2.ellipse(grey, (128, 128), (62, 84), 0, 0, 360, 0, 2)
    for x in range(84, 176, 8):
        cv2.line(grey, (x, 58 + abs(x - 128) // 3), (x - 6, 100), 90, 2)
    for centre, size in FEATURES:
        cv2.ellipse(pixels, centre, size, 0, 0, 360, (40, 25, 20), -1)
        cv2.ellipse(grey, centre, size, 0, 0, 360, 70, 2)
    return np.stack([grey] * 3), pixels


FEATURES = (((103, 120), (9, 5)), ((153, 120), (9, 5)), ((128, 172), (16, 5)))


@pytest.mark.parametrize("number", range(10))
def test_every_hand_draws_eyes_and_mouth(number):
    greys, pixels = face()
    traced = trace_picture(greys, find_foreground(pixels), pixels)
    middles = np.array([piece.mean(0) for piece in traced.strokes])
    hand = read_hands()[number]
    for key in "abcd":
        taken = draw_hands(traced, [hand], 0, key, (SIDE, SIDE))[0].taken
        for centre, _ in FEATURES:
            away = np.linalg.norm(middles[taken] - centre, axis=1)
            assert away.min() < 8, f"{hand.name} leaves out what is at {centre}"


def shaded() -> tuple[np.ndarray, np.ndarray]:
    """A ball, white above and dark below, with a black spot in the white: (greys, pixels)."""
    pixels = np.full((SIDE, SIDE, 3), (30, 160, 60), np.uint8)
    cv2.circle(pixels, (128, 128), 80, (235, 235, 235), -1)
    below = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(below, (128, 128), 80, 255, -1)
    below[:128] = 0
    pixels[below > 0] = 40
    cv2.circle(pixels, (128, 90), 7, (10, 10, 10), -1)
    grey = np.full((SIDE, SIDE), 255, np.uint8)
    cv2.circle(grey, (128, 128), 80, 0, 2)
    return grey[None], pixels


def ink_in(hand: Hand, box: tuple[slice, slice]) -> float:
    greys, pixels = shaded()
    traced = trace_picture(greys, find_foreground(pixels), pixels)
    return float((draw_hands(traced, [hand], 0, "a", (SIDE, SIDE))[0].sketch[box] < 128).mean())


DARK, LIGHT, SPOT = np.s_[150:180, 100:156], np.s_[80:115, 80:110], np.s_[87:94, 125:132]


def test_hatching_covers_what_is_dark_and_nothing_else():
    hand = dataclasses.replace(PLAIN, hatching=0.5, spacing=0.03, tone_pen=0.006)
    assert 0.1 < ink_in(hand, DARK) < 0.4, "a pen of .006 every .03 covers a fifth"
    assert ink_in(hand, LIGHT) == 0
    assert ink_in(dataclasses.replace(hand, hatching=0.0), DARK) == 0


def test_blacks_fill_small_dark_forms():
    hand = dataclasses.replace(PLAIN, blacks=0.02)
    assert ink_in(hand, SPOT) > 0.9
    assert ink_in(hand, LIGHT) == 0
    assert ink_in(hand, DARK) == 0, "broad darkness is no form"


@pytest.mark.parametrize("slant", [0.0, 50.0, 90.0])
def test_hatching_has_its_slant_and_spacing(slant):
    even = np.ones((128, 128), np.float32)
    tone = Tone(even, np.zeros_like(even), even, even)
    hand = dataclasses.replace(PLAIN, hatching=1.0, spacing=0.05, slant=slant)
    hatching = draw_tone(tone, hand, (SIDE, SIDE), rng())
    steps = np.concatenate([np.diff(line, axis=0) for line in hatching])
    angles = np.rad2deg(np.arctan2(-steps[:, 1], steps[:, 0])) % 180
    angle = np.median(angles[(angles - slant) % 180 < 90] if slant == 0 else angles)
    assert abs(angle - slant) < 25, "about the hand's, with a std of 8 degrees"
    across = np.array([np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))])
    rows = np.sort(np.concatenate(hatching) @ across)
    distances = np.diff(rows[np.append(True, np.diff(rows) > 1)])
    assert distances.mean() == pytest.approx(0.05 * SIDE, rel=0.1)


def test_hatching_goes_back_and_forth_over_what_is_dark_alone():
    """Two dark squares: a line back and forth over each, none between them."""
    darkness = np.zeros((128, 128), np.float32)
    darkness[40:80, 10:50] = darkness[40:80, 70:110] = 1
    hatching = hatch(darkness, [0.5], 0.0, 0.03, (SIDE, SIDE), rng())
    assert len(hatching) == 2
    for line, left in zip(sorted(hatching, key=lambda line: line[0, 0]), (20, 140), strict=True):
        assert left - 3 <= line[:, 0].min()
        assert line[:, 0].max() <= left + 83
        turns = np.diff(np.sign(np.diff(line[:, 0])[np.abs(np.diff(line[:, 0])) > 2])) != 0
        assert turns.sum() + 1 == pytest.approx(80 / (0.03 * SIDE), abs=1), "as many rows as fit"


def test_the_pen_does_not_go_back_where_the_next_line_ends_far_away():
    darkness = np.zeros((128, 128), np.float32)
    darkness[20:60, 50:80] = darkness[60:100, 10:120] = 1
    short, long = sorted(
        hatch(darkness, [0.5], 0.0, 0.03, (SIDE, SIDE), rng()), key=lambda line: np.ptp(line[:, 0])
    )
    assert np.ptp(short[:, 0]) < 64 < 210 < np.ptp(long[:, 0])
    assert short[:, 1].max() < 2 * 60 < long[:, 1].min() + 0.03 * SIDE


def test_hatching_does_not_run_over_to_what_lies_beside_the_next_line():
    darkness = np.zeros((128, 128), np.float32)
    darkness[20:60, 20:80] = darkness[60:100, 12:18] = darkness[60:100, 83:88] = 1
    assert len(hatch(darkness, [0.5], 0.0, 0.03, (SIDE, SIDE), rng())) == 3


def test_the_darker_half_is_hatched_twice_as_densely():
    ramp = np.tile(np.linspace(0, 1, 128, dtype=np.float32), (128, 1))
    tone = Tone(ramp, np.zeros_like(ramp), np.ones_like(ramp), np.ones_like(ramp))
    hand = dataclasses.replace(PLAIN, hatching=0.5, spacing=0.02, slant=90.0)
    lengths: dict[bool, float] = {True: 0.0, False: 0.0}
    for line in draw_tone(tone, hand, (SIDE, SIDE), rng()):
        x = line[:, 0] / SIDE
        assert x.min() > 0.45, "the lighter half has none"
        for dark in (True, False):
            lengths[dark] += float(((x > 0.76) == dark).sum())
    assert 1.5 < lengths[True] / lengths[False] < 2.6


def test_equal_keys_give_equal_sketches_and_others_do_not():
    greys, pixels = picture()
    traced = trace_picture(greys, find_foreground(pixels), pixels)
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
    traced = trace_picture(greys, find_foreground(pixels), pixels)
    together = sketches_of(traced, read_hands())
    alone = sketches_of(traced, pick_hands(read_hands(), ["naive", "brush", "naive"]))
    assert np.array_equal(alone[0], together[4])
    assert np.array_equal(alone[1], together[3])
    assert (alone[2] != alone[0]).any(), "a name given twice is a second drawing"


def test_a_blank_picture_gives_blank_sketches():
    pixels = np.full((64, 64, 3), 255, np.uint8)
    traced = trace_picture(np.full((2, 64, 64), 255, np.uint8), np.ones((64, 64), np.float32), pixels)
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
        (HEAD + "[a]\nspacing = 0.0001\n", "spacing from .003"),
        (HEAD + "[a]\ntone_pen = 0\n", "tone_pen from .003"),
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

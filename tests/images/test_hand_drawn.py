"""Hand-drawn images: the ink that is found in "photographs" of the built-in drawings, and in real ones."""

import os
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from sketchforge.images.builtin.drawings import draw
from sketchforge.images.builtin.photos import load_photos
from sketchforge.images.decode import read_image
from sketchforge.images.drawing_check import ImageKind, measure_drawing
from sketchforge.images.hand_drawn import CROWDED, MAX_SIDE, fit_drawing, normalize_drawing

S = 256
# Broad, hatched, faint at the ends, in dashes, hairlines.
DRAWINGS = [
    draw(*name.split(), S)
    for name in ("owl marker", "street quill", "horse brush", "car broken", "church architect")
]


def coloured(drawing, ink, paper):
    """uint8 H×W -> float H×W×3: the drawing in this ink on this paper, RGB."""
    share = (255 - drawing.astype(float))[..., None] / 255
    return np.array(paper) * (1 - share) + np.array(ink) * share


def pixels(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def rgb(grey):
    return np.repeat(grey[..., None], 3, axis=2)


def jpeg(image, quality):
    _, data = cv2.imencode(".jpg", pixels(image)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def blurred(image, sigma):
    return cv2.GaussianBlur(image, (0, 0), sigma)


ROWS, COLUMNS = np.mgrid[0:S, 0:S] / S
VIGNETTE = (1 - 0.5 * ((COLUMNS - 0.3) ** 2 + (ROWS - 0.2) ** 2))[..., None]
SHADOW = blurred(np.where(COLUMNS > 0.5, 0.65, 1.0) * np.where(ROWS > 0.33, 0.8, 1.0), 2.5)[..., None]


def noise(std):
    return np.random.default_rng(1).normal(0, std, (S, S, 3))


def ruled(image, step, squared):
    printed = np.zeros((S, S), bool)
    printed[step // 2 :: step] = True
    if squared:
        printed[:, step // 2 :: step] = True
    return np.where(printed[..., None], image * (0.6, 0.72, 0.9), image)


BLACK, WHITE = (0, 0, 0), (255, 255, 255)
SEEN = {
    "clean": lambda d: coloured(d, BLACK, WHITE),
    "jpeg": lambda d: jpeg(rgb(d), 60),
    "vignette": lambda d: coloured(d, BLACK, WHITE) * VIGNETTE,
    "shadow": lambda d: coloured(d, (40, 40, 45), WHITE) * SHADOW,
    "phone": lambda d: jpeg(
        blurred(coloured(d, (50, 50, 60), (235, 222, 190)), 0.7) * VIGNETTE * SHADOW + noise(5), 80
    ),
    "noisy": lambda d: jpeg(coloured(d, (60, 60, 60), (200, 190, 170)) * VIGNETTE + noise(12), 80),
    "pencil": lambda d: coloured(d, (150, 150, 150), (225, 220, 205)) * VIGNETTE + noise(4),
    "red": lambda d: coloured(d, (220, 40, 50), WHITE),
    "yellow": lambda d: coloured(d, (250, 220, 40), WHITE) + noise(2),
    "blue on cream": lambda d: jpeg(coloured(d, (40, 60, 190), (240, 235, 220)) * VIGNETTE + noise(3), 85),
    "inverted": lambda d: 255.0 - coloured(d, BLACK, WHITE),
    "chalk": lambda d: jpeg(coloured(d, (215, 220, 215), (45, 70, 60)) * VIGNETTE + noise(6), 85),
    "yellow chalk": lambda d: coloured(d, (225, 210, 110), (45, 60, 50)) * VIGNETTE + noise(6),
    "ruled": lambda d: ruled(coloured(d, (30, 30, 60), (240, 240, 235)), 14, False) * VIGNETTE + noise(3),
    "squared": lambda d: ruled(coloured(d, (30, 30, 60), (240, 240, 235)), 12, True) * VIGNETTE + noise(3),
}
LIGHT_ON_DARK = ("inverted", "chalk", "yellow chalk")


def near(found, true, reach=1):
    """Share of the ink found that lies within `reach` pixels of the true ink, and the other way round."""
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    found, true = found < 128, true < 128
    precision = (found & (cv2.dilate(true.astype(np.uint8), kernel) > 0)).sum() / max(1, found.sum())
    return precision, (true & (cv2.dilate(found.astype(np.uint8), kernel) > 0)).sum() / max(1, true.sum())


@cache
def normalized(way, number):
    """What is made of a drawing that is seen in such a way."""
    return normalize_drawing(pixels(SEEN[way](DRAWINGS[number])))


@pytest.mark.parametrize("way", SEEN)
def test_the_drawing_is_found_whatever_it_was_drawn_with_and_on(way):
    for number, drawing in enumerate(DRAWINGS):
        made = normalized(way, number)
        assert made.sketch.shape == (S, S)
        assert set(np.unique(made.sketch)) == {0, 255}
        precision, recall = near(made.sketch, drawing)
        # Levels of the worst of all built-in drawings, docs/hand-drawn.md, less a little.
        assert precision > 0.88
        assert recall > (0.9 if way in ("ruled", "squared") else 0.95)
        assert made.inverted == (way in LIGHT_ON_DARK)
        assert any("ruled" in note for note in made.notes) == (way in ("ruled", "squared"))
        # Nor is it much fatter than it was drawn, which precision within a pixel would not see.
        thicker = (made.sketch == 0).mean() / (drawing < 128).mean()
        assert thicker < (1.7 if way in ("phone", "noisy") else 1.4)


@pytest.mark.parametrize("dark", [False, True])
def test_black_and_white_stays_as_it_is(dark):
    for drawing in DRAWINGS:
        binary = np.where(drawing < 128, np.uint8(0), np.uint8(255))
        assert np.array_equal(normalize_drawing(rgb(255 - binary if dark else binary)).sketch, binary)


@pytest.mark.parametrize("way", SEEN)
def test_twice_is_once(way):
    for number in range(2):
        once = normalized(way, number).sketch
        again = normalize_drawing(rgb(once))
        assert np.array_equal(again.sketch, once)
        assert again.notes == ()
        assert not again.inverted


def test_pale_colours_count_beside_black():
    sheet = np.full((S, S, 3), 255, np.uint8)
    sheet[60:63, 30:220], sheet[160:163, 30:220] = 0, (250, 235, 60)
    assert np.array_equal(normalize_drawing(sheet).sketch == 0, (sheet != 255).any(-1))


def test_a_line_may_fade_but_faint_marks_are_none():
    sheet = np.full((S, S), 255.0)
    sheet[60:63, 30:220] = np.interp(np.arange(190), (120, 189), (0, 182))
    sheet[160:163, 30:220] = 182  # darker than a fifth of the black, less than a third
    found = normalize_drawing(rgb(pixels(sheet))).sketch == 0
    assert found[61, 30:220].all()
    assert not found[150:170].any()


def test_specks_on_grained_paper_go_and_on_clean_paper_stay():
    sheet = np.full((S, S, 3), 240.0)
    sheet[60:63, 30:220] = 30
    sheet[150:200:7, 50:200:9] = 60
    clean, grained = pixels(sheet), pixels(sheet + noise(3))
    assert (normalize_drawing(clean).sketch[140:] == 0).sum() == 8 * 17
    assert not (normalize_drawing(grained).sketch[140:] == 0).any()


@pytest.mark.parametrize("tilt", [0.0, 0.05, 0.3, 0.7])
def test_hairlines_do_not_break(tilt):
    """Of half a pixel, drawn between pixels in places: a grey that wavers along the line."""
    fine = np.full((S * 8, S * 8), 255, np.uint8)
    cv2.line(fine, (200, 300), (1800, 300 + round(1600 * tilt)), 0, 3)
    hairline = cv2.resize(fine, (S, S), interpolation=cv2.INTER_AREA)
    made = normalize_drawing(rgb(hairline)).sketch
    assert cv2.connectedComponents((made == 0).astype(np.uint8))[0] == 2
    assert (made == 0).sum() < 2.5 * 200 * np.hypot(1, tilt)


def test_noise_is_not_taken_for_faint_ink():
    for drawing in DRAWINGS[1:4]:
        seen = pixels(coloured(drawing, (150, 150, 150), (200, 200, 200)) + noise(10))
        assert near(normalize_drawing(seen).sketch, drawing, 2)[0] > 0.93


def test_mirrored_and_turned_images_give_mirrored_and_turned_sketches():
    seen = pixels(SEEN["vignette"](DRAWINGS[0]))
    made = normalize_drawing(seen).sketch
    for turn in (np.fliplr, np.flipud, np.rot90):
        assert (normalize_drawing(np.ascontiguousarray(turn(seen))).sketch != turn(made)).mean() < 0.002


@pytest.mark.parametrize("tint", [WHITE, (210, 200, 150), (70, 90, 80)])
def test_a_blank_page_is_blank_and_said_to_be(tint):
    flat = pixels(np.ones((S, S, 1)) * tint)
    dithered = flat - rgb((np.indices((S, S)).sum(0) % 7 == 0).astype(np.uint8))
    for sheet in (flat, dithered, pixels(VIGNETTE * SHADOW * tint + noise(3))):
        made = normalize_drawing(sheet)
        assert (made.sketch == 255).all()
        assert made.notes[-1] == "no ink found: the sketch is blank"
    assert (normalize_drawing(np.zeros((S, S, 3), np.uint8)).sketch == 255).all()


def test_what_is_no_drawing_is_noted():
    """Some photos: others have not much more in them than a drawing."""
    noted = [normalize_drawing(photo).notes for _, photo in load_photos()[::5]]
    assert np.mean([any("is it a line drawing?" in note for note in notes) for notes in noted]) > 0.25
    full = rgb(np.where(np.random.default_rng(0).random((64, 64)) < CROWDED + 0.1, 0, 255).astype(np.uint8))
    assert "is it a line drawing?" in normalize_drawing(full).notes[-1]


@pytest.mark.parametrize("shape", [(8, 8), (1, 40), (40, 1), (9, 300), (1, 1)])
def test_odd_images_give_sketches_of_their_size(shape):
    speckle = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for image in (speckle, np.full_like(speckle, 90)):
        assert normalize_drawing(image).sketch.shape == shape


def test_large_images_are_reduced():
    """A phone's image: strokes of many pixels, and noise in each of them that averages out."""
    drawing = draw("owl", "marker", MAX_SIDE)
    large = cv2.resize(drawing, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)[: MAX_SIDE * 3 // 2]
    made = normalize_drawing(rgb(large)).sketch
    assert made.shape == (MAX_SIDE * 3 // 4, MAX_SIDE)
    assert min(near(made, drawing[: MAX_SIDE * 3 // 4])) > 0.99


def bars(width, side=256):
    """Black bars of this width on white: one level, one upright, one slanting; apart."""
    y, x = np.mgrid[0:side, 0:side]
    sheet = np.full((side, side), 255, np.uint8)
    sheet[40 : 40 + width, 30:220] = sheet[90:230, 40 : 40 + width] = 0
    slanting = (np.abs(x - 0.5 * y - 100) < width / 2 * np.hypot(1, 0.5)) & (y > 90) & (y < 230)
    sheet[slanting] = 0
    return sheet


@pytest.mark.parametrize(
    "width, line_width, expected", [(5, None, 5), (11, None, 3), (5, 2, 2), (11, 4, 4), (2, 3, 2)]
)
def test_line_width_bounds_strokes(width, line_width, expected):
    sheet = bars(width)
    made = normalize_drawing(rgb(sheet), line_width)
    across = [int((made.sketch[:, 120] == 0).sum()), int((made.sketch[160, 20:80] == 0).sum())]
    assert all(abs(found - expected) <= 1 for found in across)
    assert cv2.connectedComponents((made.sketch == 0).astype(np.uint8))[0] == 4  # the three bars, unbroken
    assert ((made.sketch == 0) <= (sheet == 0)).all()
    assert bool(made.notes) == (expected < width)


def test_the_unit_of_width_is_the_same_at_every_size():
    for side in (256, 512, 1024):
        large = cv2.resize(bars(11), (side, side), interpolation=cv2.INTER_NEAREST)
        made = normalize_drawing(rgb(large), 3).sketch
        assert abs((made[:, side * 120 // 256] == 0).sum() * 256 / side - 3) <= 1


@pytest.mark.parametrize("side", [100, 256, 777])
@pytest.mark.parametrize("size", [64, 100])
def test_thin_lines_stay_as_dark_as_they_were(side, size):
    for level in (0, 120):
        sketch = np.full((side, side), 255, np.uint8)
        sketch[side // 3], sketch[:, side // 2] = level, level
        fitted = fit_drawing(sketch, size)
        across = fitted[:, size // 4]
        assert abs(int(across.min()) - level) <= 2
        assert 1 <= (across < 200).sum() <= 2


def test_a_broad_line_keeps_its_width_and_faint_grey_stays_faint():
    sketch = np.full((256, 256), 255, np.uint8)
    sketch[96:128] = 0
    assert np.array_equal(fit_drawing(sketch, 64)[:, 0] == 0, np.arange(64) // 8 == 3)
    grain = np.random.default_rng(0).integers(248, 256, (256, 256), np.uint8)
    assert fit_drawing(grain, 64).min() >= 248


def test_drawings_keep_their_aspect_on_paper():
    sketch = np.zeros((40, 100), np.uint8)
    fitted = fit_drawing(sketch, 50)
    assert (fitted[15:35] == 0).all()
    assert (fitted[:15] == 255).all()
    assert (fitted[35:] == 255).all()
    assert fit_drawing(sketch, 200).shape == (200, 200)
    assert np.array_equal(fit_drawing(DRAWINGS[0], S), DRAWINGS[0])


def test_other_arrays_are_refused():
    good = np.zeros((9, 9, 3), np.uint8)
    for bad in (good[..., 0], good.astype(float), good[:0]):
        with pytest.raises(ValueError, match="expected uint8 H×W×3, found"):
            normalize_drawing(bad)
    for width in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="line_width"):
            normalize_drawing(good, width)
    for bad in (good, good[..., 0].astype(float)):
        with pytest.raises(ValueError, match="expected uint8 H×W, found"):
            fit_drawing(bad, 8)


@pytest.mark.skipif("SKETCHFORGE_TEST_DATA" not in os.environ, reason="SKETCHFORGE_TEST_DATA is not set")
@pytest.mark.parametrize("folder, every", [("style_set", 12), ("pacs", 80)])
def test_real_drawings_become_lines_on_white(folder, every):
    root = Path(os.environ["SKETCHFORGE_TEST_DATA"]) / "sketches" / folder
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".png", ".jpg"))[::every]
    assert paths
    for path in paths:
        image = read_image(path)
        made, turned = normalize_drawing(image), normalize_drawing(255 - image)
        assert 0.005 < (made.sketch == 0).mean() < 0.2
        assert made.notes == ()
        assert not made.inverted
        assert turned.inverted
        assert min(near(turned.sketch, made.sketch)) > 0.95


@pytest.mark.skipif("SKETCHFORGE_TEST_DATA" not in os.environ, reason="SKETCHFORGE_TEST_DATA is not set")
@pytest.mark.parametrize("folder, lines", [("sketches/style_set", True), ("sketches/pacs", True),
                                           ("photos/pacs", False), ("paintings/pacs", False)])  # fmt: skip
def test_real_drawings_are_told_from_photos(folder, lines):
    root = Path(os.environ["SKETCHFORGE_TEST_DATA"]) / folder
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".png", ".jpg"))[::40]
    kinds = [measure_drawing(read_image(path)).kind for path in paths]
    wrong = sum((kind is ImageKind.LINES) != lines for kind in kinds)
    assert kinds
    assert wrong <= (0 if lines else 0.1 * len(kinds))

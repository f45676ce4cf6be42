"""What an image looks like, and what tom-train says of photos and drawings that are not what they should be."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli.main import main
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.errors import UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.builtin.photos import load_photos
from sketchforge.images.drawing_check import ImageKind, measure_drawing
from sketchforge.images.hand_drawn import normalize_drawing
from sketchforge.options import TomTrainOptions
from sketchforge.utils.progress import Progress
from trainers.tom import input_check
from trainers.tom import plan as tom_plan
from trainers.tom.plan import plan_tom

S = 192
DRAWINGS = [draw(*name.split(), S) for name in ("owl marker", "car broken", "church architect")]
PHOTOS = [image for _, image in list(load_photos())[:3]]
ROWS, COLUMNS = np.mgrid[0:S, 0:S] / S
LIGHT = (1 - 0.4 * ((COLUMNS - 0.3) ** 2 + (ROWS - 0.2) ** 2))[..., None]


def on_paper(drawing, ink=(0, 0, 0), paper=(255, 255, 255)):
    share = (255 - drawing.astype(float))[..., None] / 255
    return np.array(paper) * (1 - share) + np.array(ink) * share


def grain(std):
    return np.random.default_rng(0).normal(0, std, (S, S, 3))


def pixels(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def shaded(drawing):
    """The drawing in broad soft tones, as of charcoal."""
    return pixels(cv2.GaussianBlur(on_paper(drawing), (0, 0), 8) * 3 - 510)


SHEETS = {
    "ink": lambda d: on_paper(d),
    "pencil under a lamp": lambda d: on_paper(d, (150, 150, 150), (235, 230, 220)) * LIGHT + grain(3),
    "yellowed": lambda d: on_paper(d, (70, 50, 30), (225, 205, 150)) + grain(3),
    "chalk": lambda d: on_paper(d, (215, 220, 215), (45, 70, 60)) * LIGHT + grain(5),
    "blueprint": lambda d: on_paper(d, (220, 230, 255), (30, 60, 150)),
}
DARK_GROUND = ("chalk", "blueprint")


@pytest.mark.parametrize("sheet", SHEETS)
def test_drawings_are_lines_whatever_they_are_drawn_with_and_on(sheet):
    for drawing in DRAWINGS:
        measures = measure_drawing(pixels(SHEETS[sheet](drawing)))
        assert measures.kind is ImageKind.LINES
        assert measures.inverted == (sheet in DARK_GROUND)


@pytest.mark.parametrize("sheet", ["ink", "yellowed"])
def test_a_negative_has_the_measures_of_the_drawing(sheet):
    image = pixels(SHEETS[sheet](DRAWINGS[0]))
    measures, negative = measure_drawing(image), measure_drawing(255 - image)
    assert negative.inverted
    assert replace(negative, inverted=False, colour=0) == replace(measures, colour=0)


def test_the_papers_level_is_measured():
    for level in (255, 200, 130):
        assert measure_drawing(pixels(on_paper(DRAWINGS[0], paper=(level,) * 3))).paper_level == level


def test_shares_of_a_black_square_on_white_are_its_area():
    image = np.full((256, 256, 3), 255, np.uint8)
    image[64:128, 64:128] = 0
    measures = measure_drawing(image)
    assert measures.area_share == pytest.approx(1 / 16, rel=0.05)
    assert measures.paper_share == pytest.approx(15 / 16, rel=0.01)
    assert measures.colour == 0


def test_photos_are_photos_and_grey_ones_are_shaded():
    for photo in PHOTOS:
        assert measure_drawing(photo).kind is ImageKind.PHOTO
        grey = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        assert measure_drawing(grey).kind is ImageKind.SHADED


def test_soft_tones_are_shaded():
    assert measure_drawing(shaded(DRAWINGS[0])).kind is ImageKind.SHADED


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_sheet_of_one_level_is_blank(level):
    assert measure_drawing(np.full((S, S, 3), level, np.uint8)).kind is ImageKind.BLANK


def test_grain_and_light_are_no_ink():
    for sheet in (230 + grain(8), 230 * LIGHT + grain(4)):
        for image in (pixels(sheet), 255 - pixels(sheet)):
            assert measure_drawing(image).kind is ImageKind.BLANK


def test_a_hairline_on_a_large_scan_is_not_blank():
    image = np.full((2400, 2400, 3), 255, np.uint8)
    image[1200, 300:2100] = 60
    assert measure_drawing(image).kind is ImageKind.LINES


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (8, 8), (3000, 20)])
def test_images_of_any_shape_are_measured(shape):
    assert measure_drawing(np.full((*shape, 3), 255, np.uint8)).kind is ImageKind.BLANK


def test_other_arrays_are_not_measured():
    for bad in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(ValueError, match="expected uint8 H×W×3"):
            measure_drawing(bad)


def test_synthesis_asks_of_photos_whether_they_are_line_drawings():
    for photo in PHOTOS:
        assert any("is it a line drawing?" in note for note in normalize_drawing(photo).notes)


def save(folder: Path, images) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("inputs")
    ink = [pixels(on_paper(drawing)) for drawing in DRAWINGS]
    blank = np.full((S, S, 3), 255, np.uint8)
    return {
        "ink": save(root / "ink", ink),
        "negatives": save(root / "negatives", [255 - image for image in ink]),
        "mixed": save(root / "mixed", [ink[0], 255 - ink[1], blank, ink[2], shaded(DRAWINGS[1])]),
        "photos": save(root / "photos", PHOTOS),
        "grey": save(root / "grey", [shaded(drawing) for drawing in DRAWINGS]),
        "blank": save(root / "blank", [blank, 0 * blank, ink[0]]),
        "one": save(root / "one", ink[:1]),
        "tiny": save(root / "tiny", [cv2.resize(image, (24, 24)) for image in ink]),
        "thumbnails": save(root / "thumbnails", [cv2.resize(image, (100, 100)) for image in PHOTOS]),
        "transparent": save(root / "transparent", [np.dstack([0 * image, 255 - image[..., :1]]) for image in ink]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("builtin")


@pytest.fixture(autouse=True)
def _same_encoder(encoder, monkeypatch):
    monkeypatch.setattr(tom_plan, "load_encoder", lambda _: encoder)


@pytest.fixture
def plan(folders, tmp_path):
    def plan(drawings, images="photos"):
        given = drawings if isinstance(drawings, Path) else folders[drawings]
        images = images if isinstance(images, Path) else folders[images]
        return plan_tom(
            TomTrainOptions(run=tmp_path / "run", drawings=given, images=images, threads=1, device="cpu")
        )

    return plan


def test_negatives_are_read_as_the_drawings_they_are_of(plan):
    ink, negatives = plan("ink"), plan("negatives")
    assert negatives.notes == ["3 of 3 drawings are light on dark: turned round"]
    assert ink.notes == []
    for drawing, negative in zip(ink.drawings, negatives.drawings, strict=True):
        assert np.array_equal(drawing(), negative())


def test_drawings_on_white_paper_keep_their_levels(plan):
    for read, drawing in zip(plan("ink").drawings, DRAWINGS, strict=True):
        assert np.array_equal(read()[..., 0], drawing)


@pytest.mark.parametrize("sheet", ["yellowed", "blueprint"])
def test_paper_of_any_colour_is_read_as_white(sheet, plan, tmp_path):
    folder = save(tmp_path / "in", [pixels(SHEETS[sheet](DRAWINGS[0]))])
    image = plan(folder).drawings[0]()
    assert np.median(image) > 250
    assert image[DRAWINGS[0] < 40].mean() < 100


def test_transparent_paper_is_white(plan):
    read = plan("transparent")
    assert read.notes == []
    assert [np.median(reader()) for reader in read.drawings] == [255] * 3


def test_every_drawing_is_judged_by_itself(plan):
    mixed = plan("mixed")
    assert mixed.notes == [
        "1 of 5 drawings is light on dark: turned round",
        "1 of 5 drawings is blank: left out",
        "1 of 5 drawings is shaded or filled: their tones are learnt, too",
    ]
    assert len(mixed.drawings) == 4
    assert mixed.record["drawings"] | {"measured": 5, "inverted": 1, "blank": 1} == mixed.record["drawings"]


def test_shaded_drawings_are_not_refused_and_not_inverted(plan):
    grey = plan("grey")
    assert grey.notes == ["3 of 3 drawings are shaded or filled: their tones are learnt, too"]
    for read, drawing in zip(grey.drawings, DRAWINGS, strict=True):
        assert np.array_equal(read(), shaded(drawing))


@pytest.mark.parametrize(
    "name, note",
    [
        ("one", "a single drawing: all snapshots imitate it; twenty will do"),
        ("tiny", "3 of 3 drawings are smaller than half of --size 192: their lines become soft"),
    ],
)
def test_few_and_tiny_drawings_get_a_note(plan, name, note):
    assert note in plan(name).notes


@pytest.mark.parametrize(
    "drawings, images, message",
    [
        ("photos", "photos", "--drawings .*photos: 3 of 3 drawings look like photos; expected thin strokes"),
        ("blank", "photos", "--drawings .*blank: 2 of 3 drawings are blank"),
        ("photos", "ink", "--images .*ink and --drawings .*photos seem swapped: 3 of 3 photos look like"),
        ("grey", "ink", "seem swapped"),
    ],
)
def test_what_is_no_drawing_is_refused_in_one_line(plan, tmp_path, drawings, images, message):
    with pytest.raises(UsageError, match=message) as refusal:
        plan(drawings, images)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_of_images_too_small_to_tell_nothing_is_refused(plan):
    assert plan("thumbnails").notes == []


def test_drawings_in_place_of_photos_get_a_note(plan):
    notes = plan("ink", "ink").notes
    assert notes == ["3 of 3 photos are like line drawings, not like photos"]


def test_some_blank_photos_get_a_note(plan, tmp_path):
    photos = save(tmp_path / "photos", [*PHOTOS, np.full((S, S, 3), 90, np.uint8)])
    assert plan("ink", photos).notes == ["1 of 4 photos is blank"]


def test_blank_photos_alone_are_refused(plan, tmp_path):
    blank = save(tmp_path / "blank", [np.full((S, S, 3), 90, np.uint8)] * 2)
    with pytest.raises(UsageError, match="--images .*blank: 2 of 2 photos are blank"):
        plan("ink", blank)


def test_of_many_drawings_a_sample_is_measured_and_blank_ones_beyond_it_are_passed_over(
    folders, tmp_path, monkeypatch
):
    monkeypatch.setattr(input_check, "MOST_MEASURED", 2)
    calls = []

    class Counting(Progress):
        def advance(self, **figures):
            calls.append(figures)

    options = TomTrainOptions(
        run=tmp_path / "run", drawings=folders["mixed"], images=folders["one"], threads=1, device="cpu"
    )
    sampled = plan_tom(options, progress=Counting())
    assert len(calls) == 2 + 1
    assert sampled.record["drawings"]["measured"] == 2
    assert plan_tom(options).record == sampled.record
    readable = [index for index, read in enumerate(sampled.drawings) if reads(read)]
    assert len(readable) == 4


def reads(read) -> bool:
    from sketchforge.images.decode import ImageError

    try:
        return read() is not None
    except ImageError:
        return False


@pytest.mark.parametrize("words", [["--dry-run"], []])
def test_the_command_says_what_it_turned_round(folders, tmp_path, monkeypatch, words):
    def plan_only(options, progress, announce):
        announce(plan_tom(options))
        return options.run

    monkeypatch.setattr("trainers.tom.run.train_tom", plan_only)
    result = CliRunner().invoke(
        main,
        ["tom-train", "--drawings", str(folders["negatives"]), "--images", str(folders["photos"])]
        + ["--run", str(tmp_path / "run"), *words],
    )
    assert result.exit_code == 0, result.output
    assert "\n3 of 3 drawings are light on dark: turned round\n" in result.stdout

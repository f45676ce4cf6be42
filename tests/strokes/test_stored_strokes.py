"""`KEY.strokes.json`: what is kept of strokes and hands, painted again, drawn anew, and checked."""

import dataclasses
import hashlib
import io
import json
import pickle
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cli.main import run
from sketchforge.data.augment import stored_pair
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.order import SampleOrder
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.line_art import SketchTone
from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.source import ByteSource
from sketchforge.options import AeTrainOptions, InspectOptions
from sketchforge.render.encode import DrawnPicture, SketchEncoding, encode_sample, encode_sketches
from sketchforge.render.hands import RenderHands
from sketchforge.render.prepare import prepare
from sketchforge.render.render import render
from sketchforge.report.gallery.inspect import inspect
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.sketchers.canny import CannySketcher
from sketchforge.storage.folder import folder_at
from sketchforge.strokes.draw import HandDrawing, draw_hands, trace_picture
from sketchforge.strokes.hands import Hand, read_hands
from sketchforge.strokes.moving import Placement
from sketchforge.strokes.redraw import drop_strokes, redraw_sketch
from sketchforge.strokes.stored import (
    PER_PIXEL,
    StoredStrokes,
    store_strokes,
    strokes_from_json,
    strokes_to_json,
)
from sketchforge.strokes.strokes import StrokeSet
from sketchforge.strokes.subject import decode_subject, encode_subject, place_subject
from tests.helpers.folders import contents, lines, members
from tests.helpers.photos import scene

BINARY = SketchTone(False, (0.6, 0.6), 8)

SIDE = 96
PLAIN_PICTURE = np.full((SIDE, SIDE, 3), 255, np.uint8)


def picture():
    """A large square and a small faint stroke, in two of three sketches."""
    greys = np.full((3, SIDE, SIDE), 255, np.uint8)
    greys[:, 20:23, 20:76] = greys[:, 20:76, 20:23] = greys[:, 73:76, 20:76] = greys[:, 20:76, 73:76] = 0
    greys[:2, 46:49, 40:54] = 60
    return trace_picture(greys, np.ones((SIDE, SIDE), np.float32), np.full((SIDE, SIDE, 3), 255, np.uint8))


@pytest.fixture(scope="module")
def stored() -> StoredStrokes:
    traced, hands = picture(), read_hands()
    drawings = draw_hands(traced, hands, 0, "key", (SIDE, SIDE))
    return store_strokes(traced, drawings, [hand.name for hand in hands], (SIDE, SIDE))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of the ink."""
    one, other = one < 128, other < 128
    return (one & other).sum() / max(1, (one | other).sum())


def samples_of(shards: Path) -> dict[str, dict[str, bytes]]:
    """Key -> the sample's members, by their endings."""
    samples: dict[str, dict[str, bytes]] = {}
    for path in sorted(shards.glob("*.tar")):
        for name, data in members(shards, int(path.stem)).items():
            key, _, ending = name.partition(".")
            samples.setdefault(key, {})[ending] = data
    return samples


def grey(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("L"))


# The file.


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_map_of_one_value_is_read_as_it_was_written(level):
    subject = place_subject(np.full((5, 7), level, np.float32), (60, 80), (60, 80))
    assert (subject.shape, subject.mean()) == ((96, 128), level)
    assert np.array_equal(decode_subject(encode_subject(subject), (60, 80)), subject)


def test_runs_by_hand():
    subject = np.zeros((128, 128), bool)
    subject[0, :3] = subject[127, 126:] = subject[4, 5] = True
    value = encode_subject(subject)
    assert value["runs"] == [0, 3, 4 * 128 + 5 - 3, 1, 127 * 128 + 126 - 4 * 128 - 6, 2]
    assert np.array_equal(decode_subject(value, (50, 50)), subject)


def test_on_larger_paper_the_subject_lies_in_the_middle():
    placed = place_subject(np.ones((64, 128), np.float32), (40, 80), (80, 80))
    assert placed[32:96].all()
    assert not placed[:32].any()
    assert not placed[96:].any()


def test_what_is_read_is_what_was_written(stored):
    data = strokes_to_json(stored)
    assert strokes_to_json(strokes_from_json(data)) == data
    assert strokes_from_json(data, hands=False).hands == ()


def test_lines_are_a_point_and_the_steps_from_there_by_hand():
    strokes = StrokeSet.of(
        [np.array([(10, 20), (12, 19.5)]), np.array([(1, 2), (1, 5), (1, 2)])], np.array([0, 1]), (30, 40)
    )
    traced = picture()
    traced = dataclasses.replace(
        traced,
        strokes=strokes,
        features=dataclasses.replace(
            traced.features,
            **{
                field.name: np.full((2, 3) if field.name == "presence" else 2, 0.5)
                for field in dataclasses.fields(traced.features)
            },
        ),
    )
    paper, widths = np.zeros((30, 40), np.uint8), np.array([2, 2, 1, 3, 1.5])
    drawing = HandDrawing(paper, np.array([1]), strokes, widths, Hand("mine"), Placement())
    value = json.loads(strokes_to_json(store_strokes(traced, [drawing], ["mine"], (30, 40))))
    assert value["size"] == [30, 40]
    assert PER_PIXEL == value["per_pixel"] == 48
    assert value["strokes"]["points"] == [[480, 960, 96, -24], [48, 96, 0, 144, 0, -144]]
    assert value["strokes"]["closed"] == [0, 1]
    assert value["strokes"]["presence"] == [[50, 50, 50]] * 2
    assert value["hands"]["lines"] == [value["strokes"]["points"]]
    assert value["hands"]["widths"] == [[[96], [48, 144, 72]]], "one width where all are equal"
    assert value["hands"]["taken"] == [[1]]


def test_a_larger_paper_has_the_picture_in_its_middle_and_larger():
    traced = picture()
    small = store_strokes(traced, [], [], (SIDE, SIDE))
    large = store_strokes(traced, [], [], (2 * SIDE, 2 * SIDE), (2 * SIDE, 3 * SIDE))
    assert large.size == (2 * SIDE, 3 * SIDE)
    assert np.allclose(large.strokes.points, 2 * small.strokes.points + 0.5 + [SIDE / 2, 0], atol=1e-3)
    assert np.allclose(large.width, 2 * small.width)


def test_salience_width_and_presence_are_those_of_the_picture(stored):
    lengths = stored.strokes.lengths()
    longest, faint = lengths.argmax(), lengths.argmin()
    assert stored.salience[longest] == 1.0 > 10 * stored.salience[faint] > 0
    assert stored.width[longest] == pytest.approx(3, abs=0.7)
    assert stored.darkness[longest] > 2 * stored.darkness[faint]
    assert stored.presence[longest].tolist() == [1.0, 1.0, 1.0]
    assert stored.presence[faint].tolist() == [1.0, 1.0, 0.0]
    assert stored.features().agreement[faint] == pytest.approx(2 / 3)


def prepared(fit: str):
    """An image, wider than high, as a worker reads it, and its sketch by Canny."""
    buffer = io.BytesIO()
    Image.fromarray(scene(5, 220, 320)).save(buffer, "PNG")
    source = ByteSource(len(buffer.getvalue()), data=buffer.getvalue())
    read = prepare(ImageSource("key", "key.png", source), 256, fit)
    return read, np.stack(list(next(iter(CannySketcher().draw(read.pixels[None]).images()))))


@pytest.mark.parametrize("fit", ["crop", "pad", "keep"])
def test_every_hand_can_be_painted_again(fit):
    image, sketches = prepared(fit)
    hands = RenderHands(read_hands(), 0, "builtin")
    picture = DrawnPicture("key", image.pixels, image.picture_size, image.stored_size)
    encoded = encode_sample(sketches, picture, SketchEncoding(hands, BINARY, keeps_strokes=True))
    kept = strokes_from_json(encoded.extras["strokes.json"])
    assert kept.size == image.stored_size
    assert [hand.name for hand in kept.hands] == list(hands.styles)
    for png, hand in zip(encoded.pngs, kept.hands, strict=True):
        assert (grey(png) < 128).sum() > 50
        # On the painter's own grid: only a width now and then is rounded the other way.
        assert overlap(hand.paint(), grey(png)) >= 0.98, hand.name
    without = encode_sample(sketches, picture, SketchEncoding(hands, BINARY, keeps_strokes=False))
    assert without.pngs == encoded.pngs, "and what is kept changes no sketch"


def test_without_hands_the_strokes_are_those_of_the_methods_sketches():
    image, sketches = prepared("pad")
    picture = DrawnPicture("key", image.pixels, image.picture_size, image.stored_size)
    encoded = encode_sample(sketches, picture, SketchEncoding(None, BINARY, keeps_strokes=True))
    assert encoded.pngs == encode_sketches(sketches, BINARY, image.stored_size).pngs
    kept = strokes_from_json(encoded.extras["strokes.json"])
    assert kept.hands == ()
    assert overlap(kept.traced().paint(), grey(encoded.pngs[0])) > 0.4


def spoilt(stored: StoredStrokes, *path, value) -> bytes:
    """The file with one entry changed; `value` may be a function of what is there."""
    document = json.loads(strokes_to_json(stored))
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    return json.dumps(document).encode()


FAULTS = [
    (("format",), "other", 'expected "format": "sketchforge-strokes"'),
    (("version",), 1, "version 1, but this sketchforge reads version 2"),
    (("subject",), None, "subject: expected size and runs"),
    (("subject", "runs"), [-1, 1], "subject: expected size and runs"),
    (("subject", "size"), [128, 127], "subject.size [128, 127]: expected [128, 128]"),
    (("subject", "runs"), [1 << 40], "subject.runs: expected lengths that add up to 16,384"),
    (("subject", "runs"), [0] * 20_000, "subject.runs: expected lengths that add up to 16,384"),
    (("size",), [96], "size [96]: expected height and width"),
    (("size",), [1 << 20, 1 << 20], "expected height and width, 1 to 16384 pixels"),
    (("per_pixel",), 0, "per_pixel 0: expected 1 to"),
    (("strokes",), [], "strokes: expected lists called points, closed"),
    (("hands", "lines"), {}, "hands: expected lists called name, taken"),
    (("strokes", "points", 0, 0), 1e300, "strokes.points: expected whole numbers alone"),
    (("strokes", "points", 0, 0), True, "strokes.points: expected whole numbers alone"),
    (("strokes", "points", 0, 0), "1", "strokes.points: expected whole numbers alone"),
    (("strokes", "points", 0, 0), [1], "strokes.points: expected whole numbers alone"),
    (("strokes", "points", 0, 0), 1 << 80, "strokes.points: a number is not within"),
    (("strokes", "points", 0, 0), 48 * 96 * 9, "a point lies more than 8 times the picture's side away"),
    (("strokes", "points", 0), lambda points: points[:3], "strokes.points: expected x and y of two points"),
    (("strokes", "points", 0), 7, "strokes.points: expected lists of whole numbers"),
    (("strokes", "width"), lambda widths: widths[1:], "strokes.width: 1 entries, but there are 2 strokes"),
    (("strokes", "darkness", 0), 101, "strokes.darkness: a number is not within 0 and 100"),
    (("strokes", "presence", 0), [1], "strokes.presence: expected as many snapshots for each stroke"),
    (("hands", "name", 0), 3, "hands.name: expected texts"),
    (("hands", "taken"), [], "hands.taken: 0 entries, but there are 10 hands"),
    (("hands", "taken", 0), [2], "hands.taken: a number is not within 0 and 1"),
    (("hands", "widths", 0), lambda widths: widths[1:], "hands.widths: expected one for each line"),
    (("hands", "widths", 0, 0, 0), -1, "hands.widths: a number is not within 0 and"),
    (("hands", "lines", 0), None, "hands.lines: expected a list for each hand"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"), FAULTS, ids=[f"{path}-{message[:40]}" for path, _, message in FAULTS]
)
def test_what_is_damaged_is_told_in_one_line(stored, path, value, message):
    assert len(stored.strokes) == 2
    with pytest.raises(ValueError) as caught:
        strokes_from_json(spoilt(stored, *path, value=value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"\xff", b'{"format": "sketchforge-strokes"}', b"[" * 100_000]
)
def test_what_is_no_such_file_is_told(data):
    with pytest.raises(ValueError):
        strokes_from_json(data)


# Rendering.


def test_all_samples_have_strokes_also_one_without_any_line(with_strokes):
    assert read_manifest(folder_at(with_strokes.shards))["extras"] == ["strokes.json"]
    samples = samples_of(with_strokes.shards)
    counts = {key: len(strokes_from_json(sample["strokes.json"]).strokes) for key, sample in samples.items()}
    assert len(counts) == 4
    assert counts.pop("a-white") == 0
    assert min(counts.values()) > 0
    assert verify(with_strokes.shards).problems == []


def test_workers_change_no_byte(with_strokes, tmp_path):
    render(dataclasses.replace(with_strokes, shards=tmp_path / "again", workers=2, batch_size=1))
    assert contents(tmp_path / "again") == contents(with_strokes.shards)


def test_a_folder_without_strokes_is_not_continued_with_them(with_strokes, tmp_path):
    shards = shutil.copytree(with_strokes.shards, tmp_path / "out")
    with pytest.raises(
        UsageError, match="was made with further members: strokes.json, now none; choose another folder"
    ):
        render(dataclasses.replace(with_strokes, shards=shards, strokes=False))


def test_a_folder_without_hands_may_have_strokes(with_strokes, tmp_path):
    render(dataclasses.replace(with_strokes, hands="none", shards=tmp_path / "out", limit=2))
    assert verify(tmp_path / "out").problems == []
    assert {sample.keys() >= {"strokes.json"} for sample in samples_of(tmp_path / "out").values()} == {True}


def change_member(shards: Path, ending: str, change) -> None:
    """Change a member of the last sample, in its tar alone."""
    path = sorted(shards.glob("*.tar"))[-1]
    with tarfile.open(path) as tar:
        kept = [(info, tar.extractfile(info).read()) for info in tar]
    last = [info.name for info, _ in kept if info.name.endswith(ending)][-1]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in kept:
            data = change(data) if info.name == last else data
            if data is not None:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data[:-9], "cannot be read (Expecting"),
        (
            lambda data: data.replace(b'"size":[64,64]', b'"size":[32,32]'),
            "of a picture of 32 x 32 pixels, expected 64 x 64",
        ),
        (lambda data: data.replace(b'"careful"', b'"another"'), "of the hands another, outline"),
        (lambda data: None, "missing"),
    ],
)
def test_verify_finds_strokes_that_are_damaged(with_strokes, tmp_path, change, problem):
    shards = shutil.copytree(with_strokes.shards, tmp_path / "out")
    change_member(shards, ".strokes.json", change)
    told = [line for line in verify(shards).problems if ".strokes.json: " in line]
    assert len(told) == 1
    assert problem in told[0]


def test_inspect_counts_strokes(with_strokes, rendered):
    counts = [
        len(strokes_from_json(sample["strokes.json"]).strokes)
        for sample in samples_of(with_strokes.shards).values()
    ]
    assert inspect(InspectOptions(with_strokes.shards)).num_strokes == sum(counts)
    assert inspect(InspectOptions(rendered.shards)).num_strokes is None


def test_inspect_says_how_many_strokes_an_image_has(with_strokes, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert run(["inspect", str(with_strokes.shards)]) == 0
    assert " traced in an image\n" in capsys.readouterr().out


# Drawn anew.


def test_a_drawing_anew_follows_from_seed_and_key_alone(stored):
    first = redraw_sketch(stored, PLAIN_PICTURE, 0, "key", 1)
    assert first.shape == (SIDE, SIDE)
    assert first.dtype == np.uint8
    assert (redraw_sketch(stored, PLAIN_PICTURE, 0, "key", 1) == first).all()
    assert (redraw_sketch(stored, PLAIN_PICTURE, 0, "key", 2) != first).any()
    assert (redraw_sketch(stored, PLAIN_PICTURE, 1, "key", 1) != first).any()


def dark_half() -> np.ndarray:
    """A picture that is dark on its left, and has a small black disc at the right."""
    pixels = np.full((SIDE, SIDE, 3), 235, np.uint8)
    pixels[:, : SIDE // 2] = 40
    cv2.circle(pixels, (75, 48), 3, (0, 0, 0), -1)
    return pixels


def ink_by(hands: str, stored, pixels, monkeypatch) -> np.ndarray:
    """The mean ink of 20 drawings anew by one of the hands that ship, without deformation."""
    (chosen,) = [hand for hand in read_hands() if hand.name == hands]
    still = dataclasses.replace(chosen, field=0.0, turn=0.0, scale=0.0, shift=0.0, anisotropy=0.0)
    monkeypatch.setattr("sketchforge.strokes.redraw._builtin_hands", lambda: (still,))
    return np.mean([redraw_sketch(stored, pixels, 0, number) < 128 for number in range(20)], axis=0)


def test_a_hand_that_hatches_does_so_anew_in_what_is_dark(stored, monkeypatch):
    whole = dataclasses.replace(stored, subject=np.ones_like(stored.subject))
    plain, toned = (ink_by("hatcher", whole, pixels, monkeypatch) for pixels in (PLAIN_PICTURE, dark_half()))
    added = toned - plain
    assert added[26:70, 26:44].mean() > 0.1 > 5 * abs(added[26:44, 52:70].mean())


def test_only_the_subject_is_hatched_anew(stored, monkeypatch):
    upper = np.zeros_like(stored.subject)
    upper[:64] = True
    above = dataclasses.replace(stored, subject=upper)
    added = ink_by("hatcher", above, dark_half(), monkeypatch) - ink_by(
        "hatcher", above, PLAIN_PICTURE, monkeypatch
    )
    assert added[26:44, 26:44].mean() > 0.1 > 5 * abs(added[54:70, 26:44].mean())


def test_a_stroke_around_a_small_dark_form_is_never_left_out(stored):
    """An eye: the least of strokes by length, beside long ones."""
    turn = np.linspace(0, 2 * np.pi, 12)
    eye = np.stack([75 + 4 * np.cos(turn), 48 + 4 * np.sin(turn)], 1)
    along = np.linspace(0, 1, 30)[:, None]
    pieces = [eye] + [np.array([[8, y]]) + along * [[80, 0]] for y in (8, 14, 80, 88)]
    strokes = StrokeSet.of(pieces, np.array([1, 0, 0, 0, 0]), (SIDE, SIDE))
    ones = np.ones(5)
    face = dataclasses.replace(
        stored, strokes=strokes, width=ones, foreground=ones, darkness=ones, presence=np.ones((5, 1)),
        subject=np.ones_like(stored.subject), hands=(),
    )  # fmt: skip
    pixels = dark_half()
    pixels[:, : SIDE // 2] = 235
    drawn = [(redraw_sketch(face, pixels, 0, number) < 128)[36:60, 60:90].any() for number in range(40)]
    assert all(drawn)


def test_a_drawing_anew_stays_in_its_place(stored):
    """Ink's middle and extent are the picture's, but for a tenth of its side."""
    for number in range(30):
        rows, columns = np.nonzero(redraw_sketch(stored, PLAIN_PICTURE, 0, number) < 128)
        assert abs(rows.mean() - 47.5) < 0.1 * SIDE
        assert abs(columns.mean() - 47.5) < 0.1 * SIDE
        assert abs(np.ptp(columns) - 55) < 0.2 * SIDE


def test_widths_differ_between_drawings(stored):
    ink = [(redraw_sketch(stored, PLAIN_PICTURE, 0, number) < 128).mean() for number in range(30)]
    assert max(ink) > 2 * min(ink)


def test_short_faint_strokes_are_left_out_more_often(stored):
    """Of three equal rows of strokes the long one is always there, the short ones are not."""
    along = np.linspace(0, 1, 20)[:, None]
    pieces = [np.array([[10, y]]) + along * [[length, 0]] for y, length in ((20, 70), (48, 6), (76, 6))]
    strokes = StrokeSet.of(pieces, np.zeros(3, bool), (SIDE, SIDE))
    halves = dict.fromkeys(("foreground", "width"), np.full(3, 1.0))
    rows = dataclasses.replace(
        stored,
        strokes=strokes,
        **halves,
        darkness=np.array([0.9, 0.9, 0.4]),
        presence=np.ones((3, 1)),
        hands=(),
    )
    seen = np.zeros(3)
    for number in range(100):
        sketch = redraw_sketch(rows, PLAIN_PICTURE, 0, number) < 128
        seen += [sketch[y - 12 : y + 13].any() for y in (20, 48, 76)]
    assert seen[0] == 100 > seen[1] > seen[2] > 5


def test_strokes_are_left_out_by_salience_and_length():
    taken, salience, length = (
        np.array([4, 6, 8, 9]),
        np.array([1.0, 0.1, 0.9, 0.1]),
        np.array([0.01, 0.01, 0.01, 0.4]),
    )
    counts = dict.fromkeys(taken.tolist(), 0)
    for seed in range(400):
        for number in drop_strokes(taken, salience, length, np.random.default_rng(seed)):
            counts[int(number)] += 1
    assert counts[4] == 400, "the most salient one"
    assert counts[8] > counts[6] + 50
    assert counts[9] > counts[6] + 50
    assert counts[6] == pytest.approx(400 * (1 - 0.3 * 0.9 * np.exp(-0.1)), abs=35)


def dataset(shards: Path, redraw: float, **more) -> ShardDataset:
    opened = open_shards(shards)
    return ShardDataset(opened, SampleOrder(opened.shard_sizes, 3), stored_pair, redraw=redraw, **more)


def ink_of(sample: dict) -> tuple[bytes, bytes]:
    return sample["sketch"].tobytes(), sample["variant"].tobytes()


def stored_sketches(shards: Path) -> set[bytes]:
    return {
        grey(data).tobytes()
        for sample in samples_of(shards).values()
        for name, data in sample.items()
        if name.startswith("sketch")
    }


def test_the_share_of_sketches_that_is_asked_for_is_drawn_anew(with_strokes):
    known = stored_sketches(with_strokes.shards)
    paper = bytes([255]) * 64 * 64
    plain, all_anew = dataset(with_strokes.shards, 0.0), dataset(with_strokes.shards, 1.0)
    for position in range(8):
        assert set(ink_of(plain[position])) <= known
        assert not set(ink_of(all_anew[position])) & (known - {paper})
    half = dataset(with_strokes.shards, 0.5)
    assert sum(len(half.redrawn_at(position)) for position in range(500)) == pytest.approx(500, abs=60)
    for position in range(12):
        for place, ink in enumerate(ink_of(half[position])):
            if place not in half.redrawn_at(position):
                assert ink == ink_of(plain[position])[place], "the others are those of a training without"


def test_black_and_white_sketches_stay_so(with_strokes):
    assert set(np.unique(dataset(with_strokes.shards, 1.0)[1]["sketch"])) <= {0, 255}


def test_another_position_draws_the_same_image_otherwise_and_another_process_the_same(with_strokes):
    anew = dataset(with_strokes.shards, 1.0)
    positions = [position for position in range(12) if anew.order.index_of(position) == 1]
    assert len({ink_of(anew[position]) for position in positions}) == len(positions) == 3
    elsewhere = pickle.loads(pickle.dumps(dataset(with_strokes.shards, 1.0)))
    assert ink_of(elsewhere[positions[2]]) == ink_of(anew[positions[2]])


def test_shards_without_strokes_are_refused(rendered, tmp_path):
    with pytest.raises(UsageError, match="keeps no strokes; render with --strokes into another folder"):
        ShardDataset(
            open_shards(rendered.shards),
            SampleOrder(open_shards(rendered.shards).shard_sizes, 0),
            stored_pair,
            num_sketches=1,
            redraw=0.5,
        )


def test_a_training_refuses_shards_without_strokes_and_records_the_share(
    ten_sketches, with_strokes, tmp_path
):
    from trainers.autoencoder.run import plan_ae

    small = {"steps": 2, "batch_size": 2, "size": 64, "threads": 1, "run": tmp_path / "run"}
    with pytest.raises(UsageError, match="keeps no strokes"):
        plan_ae(AeTrainOptions(shards=str(ten_sketches), redraw=0.5, **small))
    with pytest.raises(UsageError, match="--redraw 2: expected a share from 0 to 1"):
        plan_ae(AeTrainOptions(shards=str(with_strokes.shards), redraw=2, **small))
    plan = plan_ae(AeTrainOptions(shards=str(with_strokes.shards), redraw=0.5, **small))
    assert plan.record["options"]["redraw"] == 0.5


@pytest.mark.parametrize(
    ("entry", "other", "told"),
    [
        (b'"closed"', b'"clothed"', r"cannot be read \(strokes: expected"),
        (b'"size":[64,64]', b'"size":[32,32]', "of a picture of 32 x 32 pixels, expected 64 x 64"),
    ],
)
def test_damaged_strokes_are_named_or_passed_over(with_strokes, tmp_path, entry, other, told):
    shards = shutil.copytree(with_strokes.shards, tmp_path / "out")
    change_member(shards, ".strokes.json", lambda data: data.replace(entry, other))
    manifest = json.loads((shards / "manifest.json").read_text())
    path = sorted(shards.glob("*.tar"))[-1]
    manifest["shards"][-1] |= {
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    (shards / "manifest.json").write_text(json.dumps(manifest))
    last = [line["key"] for line in lines(shards)][-1]
    damaged = dataset(shards, 1.0)
    position = next(position for position in range(4) if damaged.order.index_of(position) == 3)
    with pytest.raises(SketchforgeError, match=rf"{last}\.strokes\.json: {told}"):
        damaged[position]
    assert dataset(shards, 1.0, skip_bad=True)[position]["skipped"] == 1
    assert dataset(shards, 0.0)[position]["skipped"] == 0, "they are read only where something is drawn anew"

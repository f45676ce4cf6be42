"""`sketchforge convert`: strokes in formats that others read, whole files, folders that are continued."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cli.main import run
from sketchforge.convert.convert import convert
from sketchforge.convert.drawings import PARTS, LineDrawing, part_of, simplify_lines
from sketchforge.convert.ndjson import open_ndjson
from sketchforge.convert.stroke3 import open_stroke3, to_stroke3
from sketchforge.convert.svg import draw_svg, open_svg_folder
from sketchforge.convert.targets import PAIR_TARGETS, TARGETS
from sketchforge.errors import UsageError
from sketchforge.options import ConvertOptions, RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.shard_set import open_folder
from sketchforge.shards.splits import parse_splits, split_of
from sketchforge.strokes.hands import read_hands
from sketchforge.strokes.painting import paint_lines
from sketchforge.strokes.stored import StoredHand, strokes_from_json
from sketchforge.strokes.strokes import StrokeSet
from tests.helpers.folders import contents
from tests.helpers.photos import make_photos

NAMES = [hand.name for hand in read_hands()]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def signals_stay(monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.fixture(scope="module")
def shards(with_strokes) -> Path:
    return with_strokes.shards


@pytest.fixture(scope="module")
def stored(shards) -> dict[str, StoredHand]:
    """(key, hand) as "KEY HAND" -> its lines."""
    folder = open_folder(shards)
    return {
        f"{sample.key} {hand.name}": hand
        for sample in raw_samples(folder, folder.keys)
        for hand in strokes_from_json(sample.extras["strokes.json"]).hands
    }


def hand(*pieces, widths=2.0, size=(64, 64)) -> StoredHand:
    lines = StrokeSet.of([np.array(piece, float) for piece in pieces], np.zeros(len(pieces), bool), size)
    widths = np.broadcast_to(np.asarray(widths, float), len(lines.points))
    return StoredHand("mine", np.zeros(0, np.int64), lines, widths)


def walk(path: ElementTree.Element) -> np.ndarray:
    """(n,2): points along an SVG path of M, L and C."""
    points: list[np.ndarray] = []
    for command, words in re.findall(r"([A-Z])([^A-Z]*)", path.get("d")):
        values = np.array([float(word) for word in re.findall(r"-?[\d.]+", words)]).reshape(-1, 2)
        if command in "ML":
            points.append(values[0])
            continue
        assert command == "C"
        begin, along = points[-1], np.linspace(0, 1, 6)[1:, None]
        points += list(
            (1 - along) ** 3 * begin
            + 3 * (1 - along) ** 2 * along * values[0]
            + 3 * (1 - along) * along**2 * values[1]
            + along**3 * values[2]
        )
    return np.array(points)


def paint_svg(data: bytes) -> np.ndarray:
    root = ElementTree.fromstring(data)
    size = int(root.get("height")), int(root.get("width"))
    paths = list(root.iter(f"{SVG}path"))
    pieces = [walk(path) - 0.5 for path in paths]
    lines = StrokeSet.of(pieces, np.zeros(len(pieces), bool), size)
    widths = [
        np.full(len(piece), float(path.get("stroke-width")))
        for piece, path in zip(pieces, paths, strict=True)
    ]
    return paint_lines(lines, np.concatenate([*widths, np.zeros(0)]), size)


# SVG.


def test_a_folder_has_a_drawing_of_every_sample_and_hand(shards, stored, tmp_path):
    done = convert(ConvertOptions(shards, "svg", tmp_path / "svg"))
    assert (done.num_images, done.num_kept, done.hands) == (4, 0, NAMES)
    found = {
        f"{path.stem} {path.parent.name}": path.read_bytes() for path in (tmp_path / "svg").glob("*/*.svg")
    }
    assert found.keys() == stored.keys()
    shares = []
    for name, data in found.items():
        ours, theirs = stored[name].paint() < 128, paint_svg(data) < 128
        shares.append((ours & theirs).sum() / max(1, (ours | theirs).sum()))
        assert shares[-1] >= 0.6 or not ours.any(), name
    assert np.median(shares) > 0.8


def test_lines_far_apart_are_straight_and_corners_stay_by_hand():
    (path,) = ElementTree.fromstring(draw_svg(hand([(4, 4), (40, 4), (40, 44)]))).iter(f"{SVG}path")
    assert path.get("d") == "M4.5,4.5L40.5,4.5L40.5,44.5"
    assert path.get("stroke-width") == "2"
    corner = hand([(4, 4), (5, 4), (6, 4), (6, 5), (6, 6)])
    (path,) = ElementTree.fromstring(draw_svg(corner)).iter(f"{SVG}path")
    walked = walk(path)
    assert np.allclose(walked.max(0), 6.5)
    assert [6.5, 4.5] in walked.tolist()


def test_a_curve_is_smooth_between_its_points():
    turn = np.linspace(0, np.pi, 60)
    arc = np.stack([32 + 20 * np.cos(turn), 32 + 20 * np.sin(turn)], 1)
    (path,) = ElementTree.fromstring(draw_svg(hand(arc[::2]))).iter(f"{SVG}path")
    assert np.hypot(*(walk(path) - 32.5).T) == pytest.approx(20, abs=0.02)


def test_a_line_that_tapers_is_a_group_of_paths():
    along = np.stack([np.linspace(4, 60, 15), np.full(15, 30)], 1)
    root = ElementTree.fromstring(draw_svg(hand(along, widths=np.linspace(1, 4, 15))))
    (group,) = root.iter(f"{SVG}g").__next__()
    widths = [float(path.get("stroke-width")) for path in group]
    assert widths == sorted(set(widths))
    assert len(widths) == 7
    ends = [walk(path)[[0, -1], 0] for path in group]
    assert all(ends[number][1] == ends[number + 1][0] for number in range(6)), "without gaps"


def test_a_picture_without_lines_is_an_empty_drawing():
    assert not list(ElementTree.fromstring(draw_svg(hand())).iter(f"{SVG}path"))


def test_names_become_folders_that_every_system_has(tmp_path):
    names = ["careful", "careful 2", "Äh/../x", "a b", "a-b"]
    with open_svg_folder(tmp_path, names) as writer:
        assert [path.relative_to(tmp_path).as_posix() for path in writer.folders.values()] == [
            "careful",
            "careful-2",
            "h-x",
            "a-b-4",
            "a-b-5",
        ]


def test_a_folder_is_continued_and_nothing_in_it_is_written_twice(shards, tmp_path):
    options = ConvertOptions(shards, "svg", tmp_path / "svg", ("careful", "ruler"))
    convert(options)
    before = contents(tmp_path / "svg")
    lost = next((tmp_path / "svg" / "ruler").iterdir())
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "svg" / "careful").iterdir()}
    lost.unlink()
    (times.pop(tmp_path / "svg" / "careful" / lost.name))
    assert convert(options).num_kept == 3
    assert contents(tmp_path / "svg") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert convert(options).num_kept == 4


def test_a_folder_of_something_else_is_refused(shards, tmp_path):
    out = tmp_path / "svg"
    convert(ConvertOptions(shards, "svg", out, ("careful",)))
    before = contents(out)
    with pytest.raises(UsageError, match="was made with other --hand; name another folder as --out"):
        convert(ConvertOptions(shards, "svg", out, ("ruler",)))
    assert contents(out) == before
    convert(ConvertOptions(shards, "svg", out, ("ruler",), overwrite=True))
    assert {path.parent.name for path in out.glob("*/*.svg")} == {"ruler"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds files that are not of this command"):
            convert(ConvertOptions(shards, "svg", tmp_path / "mine", overwrite=overwrite))
    assert (tmp_path / "mine" / "a.txt").read_text() == "precious"


# Quick, Draw!


def test_simplified_lines_by_hand():
    bent = [(10, 10), (20, 10.1), (30, 10), (30, 20), (30, 60)]
    lines = simplify_lines(hand(bent, [(10, 35), (12, 35)]))
    assert [line.tolist() for line in lines] == [[[0, 0], [102, 0], [102, 255]], [[0, 128], [10, 128]]]


def test_simplified_lines_stay_within_their_tolerance():
    turn = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([32 + 20 * np.cos(turn), 32 + 20 * np.sin(turn)], 1)
    (line,) = simplify_lines(hand(circle))
    assert line.min(0).tolist() == [0, 0]
    assert line.max() >= 253
    assert len(line) < 40
    assert np.hypot(*(line - 127.5).T) == pytest.approx(127.5, abs=3)


def test_ndjson_has_a_line_of_every_drawing(shards, stored, tmp_path):
    convert(ConvertOptions(shards, "ndjson", tmp_path / "all.ndjson"))
    entries = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert [f"{entry['key']} {entry['hand']}" for entry in entries] == list(stored)
    assert len({entry["key_id"] for entry in entries}) == len(entries)
    assert all(0 < int(entry["key_id"]) < 1 << 63 and entry["recognized"] is True for entry in entries)
    for entry in entries:
        for line in entry["drawing"]:
            xs, ys = line
            assert len(xs) == len(ys) >= 2
            assert all(type(value) is int and 0 <= value <= 255 for value in xs + ys)
    assert sum(bool(entry["drawing"]) for entry in entries) == 30, "the white image has none"


def test_the_word_is_the_images_class(tmp_path):
    with open_ndjson(tmp_path / "a.ndjson", ["mine"]) as writer:
        writer.add(LineDrawing("key", "horse", "train", hand([(0, 0), (9, 9)])))
    assert json.loads((tmp_path / "a.ndjson").read_text())["word"] == "horse"


# sketch-rnn.


def test_stroke3_by_hand():
    lines = [np.array([(2, 3), (5, 3)]), np.array([(1, 1), (1, 4), (0, 4)])]
    assert to_stroke3(lines).tolist() == [[2, 3, 0], [3, 0, 1], [-4, -2, 0], [0, 3, 0], [-1, 0, 1]]
    assert to_stroke3([]).shape == (0, 3)


def test_an_npz_holds_every_drawing_without_pickle(shards, stored, tmp_path):
    convert(ConvertOptions(shards, "stroke3", tmp_path / "a.npz"))
    read = {}
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}, "no time of day"
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        for part, _ in PARTS:
            assert data[part].dtype == np.int16
            pieces = np.split(data[part], data[f"{part}_offsets"][1:-1])[: len(data[f"{part}_keys"])]
            for key, name, piece in zip(data[f"{part}_keys"], data[f"{part}_hands"], pieces, strict=True):
                assert part_of(str(key)) == part
                read[f"{key} {name}"] = piece
    assert read.keys() == stored.keys()
    for name, piece in read.items():
        assert piece.tolist() == to_stroke3(simplify_lines(stored[name])).tolist()


def test_parts_have_their_shares():
    counts = [part_of(f"key{number}") for number in range(2000)]
    assert counts.count("train") == pytest.approx(1800, abs=60)
    assert counts.count("valid") == pytest.approx(100, abs=40)
    assert counts.count("test") == pytest.approx(100, abs=40)


@pytest.fixture(scope="module")
def split_shards(tmp_path_factory) -> Path:
    """Twelve images of two classes, drawn by one hand, in the splits train, val and dev."""
    folder = tmp_path_factory.mktemp("split")
    for name in ("cat", "dog"):
        make_photos(folder / "in" / name, 6)
    render(
        RenderOptions(
            folder / "out", folder / "in", method="canny", size=32, hands="builtin", styles=("careful",),
            strokes=True, workers=1, labels="folder", split="train=.5,val=.25,dev=.25",
        )
    )  # fmt: skip
    return folder / "out"


def parts_in(shards: Path) -> dict[str, str]:
    """Key -> its split, by the shares, "val" by the name that drawings have."""
    shares = parse_splits("train=.5,val=.25,dev=.25")
    return {key: split_of(key, shares).replace("val", "valid") for key in open_folder(shards).keys}


def test_ndjson_has_the_shards_own_splits_and_classes(split_shards, tmp_path):
    convert(ConvertOptions(split_shards, "ndjson", tmp_path / "all.ndjson"))
    entries = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert {entry["key"]: entry["split"] for entry in entries} == parts_in(split_shards)
    assert {(entry["key"][:3], entry["word"]) for entry in entries} == {("cat", "cat"), ("dog", "dog")}


def test_an_npz_has_the_shards_own_splits(split_shards, tmp_path):
    convert(ConvertOptions(split_shards, "stroke3", tmp_path / "a.npz"))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        parts = {name.removesuffix("_keys") for name in data.files if name.endswith("_keys")}
        assert parts == {"train", "valid", "test", "dev"}, "those that readers expect are always there"
        found = {str(key): part for part in parts for key in data[f"{part}_keys"]}
        assert len(data["test"]) == 0
    assert found == parts_in(split_shards)
    assert {"train", "valid", "dev"} == set(found.values())


def test_a_set_without_splits_is_parted_by_its_keys(shards, tmp_path):
    convert(ConvertOptions(shards, "ndjson", tmp_path / "all.ndjson"))
    entries = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert all(entry["split"] == part_of(entry["key"]) for entry in entries)


def test_a_split_with_the_name_of_an_array_is_refused(tmp_path):
    with (
        pytest.raises(UsageError, match="the split train_keys has a name that arrays of the file have"),
        open_stroke3(tmp_path / "a.npz", ["mine"]) as writer,
    ):
        writer.add(LineDrawing("key", "", "train_keys", hand([(0, 0), (9, 9)])))
    assert not any(tmp_path.iterdir())


# All of them.


@pytest.mark.parametrize("to", ["ndjson", "stroke3"])
def test_a_file_appears_whole_or_not_at_all_and_is_the_same_each_time(shards, tmp_path, monkeypatch, to):
    ending = TARGETS[to].ending
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    convert(ConvertOptions(shards, to, first))
    convert(ConvertOptions(shards, to, second))
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(UsageError, match="is there already; name another --out"):
        convert(ConvertOptions(shards, to, first))
    convert(ConvertOptions(shards, to, first, ("ruler",), overwrite=True))
    assert first.read_bytes() != second.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sketchforge.convert.convert.read_drawings", stop)
    with pytest.raises(KeyboardInterrupt):
        convert(ConvertOptions(shards, to, tmp_path / f"c{ending}"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.name, second.name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "svg", "--out", "svg", "--hand", "ruler,nobody"], "--hand nobody: no such hand in"),
        (["--to", "ndjson", "--out", "a.json"], "--out a.json: expected a file name that ends in .ndjson"),
        (["--to", "stroke3", "--out", "a.npy"], "--out a.npy: expected a file name that ends in .npz"),
        (["--to", "svg", "--out", "s3://bucket/x"], "URLs are neither read nor written here"),
        (["--to", "pdf", "--out", "a"], "'pdf' is not one of"),
        (["--out", "a"], "--to"),
    ],
)
def test_wrong_requests_are_one_line_and_write_nothing(shards, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert run(["convert", str(shards), *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_shards_without_strokes_are_refused(rendered, tmp_path, capsys):
    assert run(["convert", str(rendered.shards), "--to", "svg", "--out", str(tmp_path / "svg")]) == 2
    assert "keeps no strokes; render with --strokes into another folder" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_damaged_strokes_are_named(shards, tmp_path, monkeypatch, capsys):
    spoilt = shutil.copytree(shards, tmp_path / "out")
    path = spoilt / "00001.tar"
    path.write_bytes(path.read_bytes().replace(b'"closed"', b'"clothed'))
    assert run(["convert", str(spoilt), "--to", "ndjson", "--out", str(tmp_path / "a.ndjson")]) == 1
    told = capsys.readouterr().err
    assert re.search(r"00001\.tar: cannot be read \(.*\.strokes\.json: ", told)
    assert "sketchforge verify" in told
    assert not (tmp_path / "a.ndjson").exists()


def test_the_command_says_what_it_wrote(shards, tmp_path, capsys):
    words = ["convert", str(shards), "--to", "svg", "--out", str(tmp_path / "svg"), "--hand", "ruler"]
    assert run(words) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path / 'svg'}: 4 drawings of 4 images, 1 hand\n" in told
    assert f"next: sketchforge ae-train --shards {shards} --redraw 0.5\n" in told
    assert run(words) == 0
    assert "0 drawings of 0 images, 1 hand, 4 images there already\n" in capsys.readouterr().out


def test_every_target_can_be_asked_for():
    from cli.shards.convert import convert_command

    (to,) = (parameter for parameter in convert_command.params if parameter.name == "to")
    assert list(to.type.choices) == [*PAIR_TARGETS, *TARGETS]

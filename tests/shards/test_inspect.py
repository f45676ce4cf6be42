"""What `inspect` says of a folder, against shares and counts worked out by hand."""

import json
import os

import numpy as np
import pytest

from cli.main import run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.options import InspectOptions
from sketchforge.report.gallery.inspect import ink_share, inspect
from tests.helpers.recorded_progress import RecordedProgress
from tests.helpers.stored import png, store


def inked(share: float, side: int = 10) -> bytes:
    """A bilevel sketch with this share of black pixels."""
    pixels = np.full(side * side, 255, np.uint8)
    pixels[: round(share * side * side)] = 0
    return png(pixels.reshape(side, side))


def test_ink_of_bilevel_sketches_is_the_share_of_black():
    assert ink_share(inked(0.0)) == 0
    assert ink_share(inked(0.37)) == pytest.approx(0.37)
    assert ink_share(inked(1.0)) == 1


def test_ink_of_grey_sketches_is_their_mean_darkness():
    pixels = np.array([[0, 255], [204, 102]], np.uint8)
    assert ink_share(png(pixels, binary=False)) == pytest.approx((1 + 0 + 0.2 + 0.6) / 4)


@pytest.fixture
def folder(tmp_path):
    """Eleven samples in three shards: the first style has 0, 10, ... 100 % ink, the second always 20 %."""
    samples = [
        {"key": f"k{number:02d}", "sketches": [inked(number / 10), inked(0.2)], "size": (10, 10)}
        for number in range(11)
    ]
    samples[3]["caption"] = samples[10]["caption"] = "a caption"
    return store(tmp_path / "out", [samples[:4], samples[4:8], samples[8:]], ["growing", "steady"], size=10)


def test_counts_and_shares_of_all_samples(folder):
    progress = RecordedProgress()
    found = inspect(InspectOptions(folder), progress)
    assert (progress.begun, len(progress.figures), progress.open) == ([("sample", 11, 0)], 11, 0)
    assert (found.num_samples, found.num_read, found.num_finished, found.num_captions) == (11, 11, 3, 2)
    assert found.sizes == {(10, 10): 11}
    assert found.failed == {}
    assert found.num_bytes == sum(path.stat().st_size for path in folder.glob("*.tar"))
    growing, steady = found.styles
    assert (growing.style, steady.style) == ("growing", "steady")
    assert (growing.mean, growing.low, growing.high) == pytest.approx((0.5, 0.1, 0.9))
    assert (steady.mean, steady.low, steady.high) == pytest.approx((0.2, 0.2, 0.2))
    assert (growing.num_blank, steady.num_blank) == (1, 0)
    assert steady.mean_bytes == len(inked(0.2))


def test_samples_are_spread_evenly(folder):
    found = inspect(InspectOptions(folder, samples=3))
    assert (found.num_samples, found.num_read) == (11, 3)
    assert found.styles[0].mean == pytest.approx((0 + 0.5 + 1) / 3)
    assert inspect(InspectOptions(folder, samples=0)).num_read == 11


@pytest.fixture
def many(tmp_path, monkeypatch):
    """Nine shards of two samples, of which three are looked into: 0, 4 and 8. The sidecars of others are damaged."""
    monkeypatch.setattr("sketchforge.shards.selection.MAX_LOOKED_INTO", 3)
    shards = [
        [{"key": f"k{number}{half}", "sketches": [inked(number / 10)]} for half in "ab"]
        for number in range(9)
    ]
    folder = store(tmp_path / "many", shards, ["s"], size=10)
    for number in {*range(9)} - {0, 4, 8}:
        path = folder / f"{number:05d}.jsonl"
        path.write_bytes(b"?" * path.stat().st_size)
    return folder


def test_of_many_shards_some_are_looked_into_and_all_are_counted(many):
    found = inspect(InspectOptions(many, samples=6))
    assert (found.num_samples, found.num_finished) == (18, 9)
    assert (found.num_read, found.num_looked_into) == (6, 3)
    assert found.styles[0].mean == pytest.approx((0 + 0.4 + 0.8) / 3)


def test_all_samples_are_those_of_all_shards(many):
    with pytest.raises(SketchforgeError, match=r"00001\.jsonl: cannot be read"):
        inspect(InspectOptions(many, samples=0))


def test_what_was_not_looked_into_is_said(many, capsys):
    run(["inspect", str(many), "--samples", "3"])
    assert "those of 3 of 18 samples, spread evenly over 3 of 9 shards" in capsys.readouterr().out


def test_blank_is_below_a_thousandth(tmp_path):
    sketches = [inked(0.0009, 100), inked(0.001, 100)]
    assert [ink_share(sketch) for sketch in sketches] == pytest.approx([0.0009, 0.001])
    samples = [{"key": f"k{number}", "sketches": [sketch]} for number, sketch in enumerate(sketches)]
    assert inspect(InspectOptions(store(tmp_path / "out", [samples], ["s"]))).styles[0].num_blank == 1


def test_failures_are_counted_by_reason(folder):
    for number, outcomes in ((0, {"ok": 4, "empty": 1}), (1, {"ok": 4, "truncated": 2, "empty": 1})):
        path = folder / f"{number:05d}.stats.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"outcomes": outcomes}))
    assert inspect(InspectOptions(folder)).failed == {"empty": 2, "truncated": 2}


def printed(capsys, *words) -> dict[str, str]:
    """What the command prints: every line under its first word."""
    assert run(["inspect", *map(str, words)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return {line.split()[0]: line for line in captured.out.splitlines() if line}


@pytest.fixture
def told(capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return lambda *words: printed(capsys, *words)


def test_the_table_is_aligned(folder, told):
    said = told(folder)
    assert said["folder"] == f"folder    {folder}: complete, 3 shards"
    assert said["samples"] == "samples   11"
    assert said["captions"] == "captions  2"
    assert said["style"].split() == ["style", "ink", "%", "10th", "90th", "blank", "PNG", "bytes"]
    assert said["growing"].split()[:5] == ["growing", "50.00", "10.00", "90.00", "1"]
    assert said["steady"].split()[:5] == ["steady", "20.00", "20.00", "20.00", "0"]
    assert len(said["growing"]) == len(said["steady"]) == len(said["style"])
    assert "share of pixels darker than mid-grey" in said["ink:"]


def test_what_was_not_read_is_said(folder, told, capsys):
    run(["inspect", str(folder), "--samples", "4"])
    assert "those of 4 of 11 samples, spread evenly" in capsys.readouterr().out


def test_inspect_tells_grey_folders_and_mixed_sizes(tmp_path, told):
    sizes = [(40, 30), (40, 30), (30, 40)]
    samples = [
        {"key": f"k{number}", "size": size, "sketches": [png(np.full(size[::-1], 51, np.uint8), False)]}
        for number, size in enumerate(sizes)
    ]
    few = store(tmp_path / "few", [samples], ["s"], sketch_format="png", fit="keep")
    said = told(few)
    assert "mean darkness" in said["ink:"]
    assert said["s"].split()[1] == "80.00"
    assert said["geometry"] == "geometry  original sizes (fit keep)"
    assert "40 x 30 (67%), 30 x 40 (33%) pixels" in capture(few, told)
    many = [{"key": f"k{number}", "size": (10 + number, 50), "sketches": [inked(0.5)]} for number in range(5)]
    text = capture(store(tmp_path / "many", [many], ["s"], fit="keep"), told)
    assert "5 sizes; width 10 to 14, median 12, height 50 to 50, median 50 pixels" in text


def capture(folder, told) -> str:
    return "\n".join(told(folder).values())


def test_unfinished_folders_count_what_is_finished(tmp_path, told):
    samples = [{"key": key, "sketches": [inked(0.1)]} for key in "abc"]
    folder = store(tmp_path / "out", [samples[:2], samples[2:]], ["s"], num_shards=10)
    said = told(folder)
    assert said["folder"].endswith(": unfinished, 2 of 10 shards")
    assert said["samples"] == "samples   3"


def spoil_png(folder):
    path = folder / "00002.tar"
    data = path.read_bytes()
    sketch = inked(1.0)
    assert sketch in data
    path.write_bytes(data.replace(sketch, sketch[:20] + bytes(len(sketch) - 20)))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: os.truncate(folder / "00001.tar", 5000), "00001.tar: cannot be read (5,000 bytes"),
        (lambda folder: (folder / "00001.tar").unlink(), "00001.tar: cannot be read"),
        (lambda folder: (folder / "00001.jsonl").write_text("{"), "00001.jsonl: cannot be read"),
        (spoil_png, "00002.tar: cannot be read (a sketch is no sound PNG"),
    ],
)
def test_damage_is_one_line_that_points_to_verify(folder, capsys, monkeypatch, spoil, told):
    """Also in a shard of which no sample would have been read."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    spoil(folder)
    assert run(["inspect", str(folder), "--samples", "2"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert f"see `sketchforge verify {folder}`" in captured.err


def test_folders_without_samples_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        inspect(InspectOptions(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="holds no samples"):
        inspect(InspectOptions(store(tmp_path / "out", [], ["s"], num_shards=3)))
    (tmp_path / "out" / "manifest.json").write_text("[]")
    with pytest.raises(SketchforgeError, match="manifest.json"):
        inspect(InspectOptions(tmp_path / "out"))

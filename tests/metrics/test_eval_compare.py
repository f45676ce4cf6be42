"""`sketchforge eval compare`: folders, shards and models against a reference."""

import contextlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cli.main import run
from sketchforge.errors import UsageError
from sketchforge.metrics.images.compare import compare_images
from sketchforge.options import EvalCompareOptions
from tests.helpers.photos import make_photos, scene

BUILTIN = (("builtin", None),)
pytestmark = pytest.mark.usefixtures("quick_measures")


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """reference/ and halves of it, other/ of the same kind, alike/ of copies, blurred/ and very/ blurred."""
    folder = tmp_path_factory.mktemp("sets")
    for seed in range(24):
        image = scene(seed, 64, 64)
        kept = {"reference": image, f"half{seed % 2}": image, "other": scene(seed + 100, 64, 64)}
        kept |= {
            name: cv2.GaussianBlur(image, (0, 0), level) for name, level in (("blurred", 1), ("very", 3))
        }
        kept |= {f"{name}-half1": kept[name] for name in ("blurred", "very") if seed % 2}
        kept |= {"alike": scene(200, 64, 64)} if seed < 6 else {}
        for name, pixels in kept.items():
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{seed:02d}.png")
    return folder


def compared(folder: Path, *names: str, **changes):
    given = {"features": BUILTIN, "threads": 1, "device": "cpu"} | changes
    return compare_images(
        EvalCompareOptions(str(folder / "reference"), tuple(str(folder / n) for n in names), **given)
    )


def frechet(found) -> list[float]:
    return [row.figures["frechet"].value for row in found.rows]


def test_sets_are_ordered_by_what_was_done_to_them(sets):
    found = compared(sets, "reference", "half0", "blurred", "very")
    values = frechet(found)
    assert [row.name for row in found.rows] == ["reference", "half0", "blurred", "very"]
    assert values == sorted(values)
    assert abs(values[0]) < 1e-3 * values[1]
    kernel = [row.figures["kid"].value for row in found.rows[2:]]
    assert kernel == sorted(kernel)
    assert kernel[0] > 0


def test_two_halves_are_near_each_other(sets):
    options = {"features": BUILTIN, "threads": 1, "device": "cpu"}
    others = tuple(str(sets / name) for name in ("half1", "blurred-half1", "very-half1"))
    values = frechet(compare_images(EvalCompareOptions(str(sets / "half0"), others, **options)))
    assert values == sorted(values)
    assert 0 < values[0] < values[2] / 3


def test_it_is_the_sets_that_are_resampled_not_the_reference(sets):
    """Either way the distance is the same, the interval is not: copies of one image are always drawn alike."""
    (forth,), (back,) = (
        compare_images(EvalCompareOptions(str(sets / a), (str(sets / b),), features=BUILTIN, threads=1)).rows
        for a, b in (("other", "alike"), ("alike", "other"))
    )
    for name, figure in forth.figures.items():
        other = back.figures[name]
        assert figure.value == pytest.approx(other.value, rel=1e-6)
        assert (figure.images, other.images) == (6, 24)
        assert figure.high - figure.low < 1e-3 * figure.value < other.high - other.low, name


def test_grey_images_count_as_three_equal_channels(sets, tmp_path):
    for name, mode in (("grey", "L"), ("same", "RGB"), ("wide", "I;16")):
        (tmp_path / name).mkdir()
        for seed in range(6):
            grey = Image.fromarray(scene(seed, 64, 64)).convert("L")
            wide = Image.fromarray(np.asarray(grey, np.uint16) * 257)
            (wide if mode == "I;16" else grey.convert(mode)).save(tmp_path / name / f"{seed}.png")
    given = {"features": BUILTIN, "threads": 1, "device": "cpu"}
    others = (str(tmp_path / "same"), str(tmp_path / "wide"), str(sets / "half0"))
    found = compare_images(EvalCompareOptions(str(tmp_path / "grey"), others, **given))
    same, wide, coloured = frechet(found)
    assert max(abs(same), abs(wide)) < 1e-3 * coloured
    told = [one.row for one in found.warnings if "the very images of the reference" in one.reason]
    assert told == ["same", "wide"]


def test_images_that_are_in_the_reference_are_told(sets):
    warnings = {(one.row, one.reason) for one in compared(sets, "reference", "half0", "other").warnings}
    told = {row: reason for row, reason in warnings if "smaller" in reason}
    assert told["reference"].startswith("the very images of the reference")
    assert told["half0"].startswith("12 images in the reference, too")
    assert "other" not in told
    assert sum("fewer than 2,048" in reason for _, reason in warnings) == 3


def test_samples_are_taken_of_every_set(sets):
    found = compared(sets, "other", "half0", samples=6)
    assert [row.count for row in found.rows] == [6, 6]
    assert found.reference["count"] == 6
    assert found.reference["found"] == 24


def test_mixed_and_unlike_sizes_are_compared_and_told(sets, tmp_path):
    make_photos(tmp_path / "mixed", 6)
    (tmp_path / "mixed" / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    for seed in range(4):
        (tmp_path / "large").mkdir(exist_ok=True)
        Image.fromarray(scene(seed, 128, 128)).save(tmp_path / "large" / f"{seed}.png")
    found = compared(sets, str(tmp_path / "mixed"), str(tmp_path / "large"))
    reasons = [one.reason for one in found.warnings]
    assert any(reason.startswith("6 sizes") for reason in reasons)
    assert any(reason.startswith("128 x 128, the reference 64 x 64") for reason in reasons)
    assert [(gap.row, gap.reason) for gap in found.gaps] == [("mixed", "cannot be read: 1 of 7")]
    assert [row.count for row in found.rows] == [6, 4]


def test_models_draw_out_shards(ten_sketches, trained, sets):
    options = {"features": BUILTIN, "threads": 1, "device": "cpu", "samples": 15}
    found = compare_images(
        EvalCompareOptions(str(ten_sketches), (str(trained), str(sets / "other")), **options)
    )
    assert [(row.name, row.pairs, row.count) for row in found.rows] == [
        ("ae", "mismatched", 15),
        ("other", "", 15),
    ]
    assert found.rows[0].figures["frechet"].images == 10  # sketches, however many images
    assert found.models[0]["shards"] == str(ten_sketches)
    assert found.models[0]["size"] == 64
    given = EvalCompareOptions(str(sets / "other"), (str(trained),), **options)
    with pytest.raises(UsageError, match="a model, which needs sketches; name shards"):
        compare_images(given)
    with pytest.raises(UsageError, match="the reference must be images"):
        compare_images(EvalCompareOptions(str(trained), (str(sets / "other"),), **options))
    named = EvalCompareOptions(str(sets / "other"), (str(trained),), shards=str(ten_sketches), **options)
    assert compare_images(named).rows[0].count == 15


def test_sets_of_one_name_go_by_their_paths(sets, tmp_path):
    make_photos(tmp_path / "other", 3)
    found = compared(sets, "other", str(tmp_path / "other"))
    assert [row.name for row in found.rows] == [str(sets / "other"), str(tmp_path / "other")]


def test_the_command_tells_everything(sets, tmp_path):
    words = [
        "eval",
        "compare",
        sets / "reference",
        sets / "other",
        sets / "very",
        "--threads",
        1,
        "--device",
        "cpu",
    ]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert run([*map(str, words), "--json", str(tmp_path / "a.json")]) == 0
    told = out.getvalue()
    assert told.startswith("distances from reference (24 images, 64 x 64); lower is better\n")
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["command"] == "compare"
    assert [row["name"] for row in found["rows"]] == ["other", "very"]
    for row in found["rows"]:
        assert {"name", "count", "frechet", "kid", "features", "preprocessing"} <= set(row)
        assert row["count"] == 24
        assert row["features"] == "builtin relu3_1+relu4_1"
    assert "Fréchet (builtin relu3_1+relu4_1)" in told
    assert "missing: FID, KID: no weights of inception" in told
    assert "FID" not in told.split("note:")[0].split("\n\n")[0]


def test_nothing_to_compare_is_one_line(sets, tmp_path, capsys):
    words = ["eval", "compare", "--threads", "1", str(sets / "reference")]  # threads outlive a call
    assert run(words) == 2
    assert "SET" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run([*words, str(tmp_path / "empty")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "no images found" in error
    make_photos(tmp_path / "one", 1)
    assert run([*words, str(tmp_path / "one")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "1 image that can be read; sets to compare need two or more" in error
    (tmp_path / "empty" / "a.jpg").write_bytes(b"nothing")
    assert run([*words, str(tmp_path / "empty")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "none of its 1 image can be read" in error
    with pytest.raises(UsageError, match="nothing to compare"):
        compare_images(EvalCompareOptions(str(sets / "reference"), (), threads=1))

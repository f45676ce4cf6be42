"""What fails is counted, what is finished is kept, and what is not ours or was made otherwise is refused."""

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.render import job as render_job
from sketchforge.render.plan import plan_render
from sketchforge.render.render import preview, render
from sketchforge.render.summary import STAGES, reasons
from sketchforge.shards import lock
from sketchforge.shards.lock import FOLDER_LOCK
from sketchforge.shards.writer import write_shard
from sketchforge.storage.folder import folder_at
from sketchforge.utils import files
from tests.helpers.folders import contents, lines, members, render_again
from tests.helpers.photos import make_photos
from tests.helpers.recorded_progress import RecordedProgress


@pytest.fixture
def flawed(tmp_path) -> Path:
    """Five images, and one of each kind of failure."""
    folder = make_photos(tmp_path / "flawed", 5)
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no image")
    whole = (folder / "p000.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    return folder


def test_failures_are_counted_and_named(rendered, flawed, tmp_path):
    options = dataclasses.replace(rendered, images=flawed, shards=tmp_path / "out")
    summary = render(options)
    wanted = {
        "empty.jpg": "empty",
        "text.png": "not an image",
        "cut.jpg": "truncated",
        "dot.png": "too small",
    }
    failed = {line["source"]: line["reason"] for line in lines(options.shards) if line["status"] == "failed"}
    assert failed == wanted
    assert summary.outcomes == {"ok": 5, **dict.fromkeys(wanted.values(), 1)}
    assert reasons(summary.outcomes) == "1 empty, 1 not an image, 1 too small, 1 truncated"
    assert len(lines(options.shards)) == 9
    keys = {name.split(".")[0] for number in range(3) for name in members(options.shards, number)}
    assert keys == {line["key"] for line in lines(options.shards) if line["status"] == "ok"}
    assert render(options).outcomes == summary.outcomes  # a complete folder remembers


def test_max_failures_stops_the_run_and_keeps_what_is_finished(rendered, flawed, tmp_path):
    options = dataclasses.replace(
        rendered, images=flawed, shards=tmp_path / "out", samples_per_shard=2, max_failures=1
    )
    with pytest.raises(SketchforgeError, match="2 images failed .* more than --max-failures 1") as error:
        render(options)
    assert error.value.exit_code == 1
    assert not json.loads((options.shards / "manifest.json").read_text())["complete"]
    again = dataclasses.replace(options, max_failures=4)  # not an option that decides bytes: the run goes on
    render(again)
    assert contents(options.shards) == render_again(again, tmp_path / "straight")
    with pytest.raises(SketchforgeError, match="4 images failed"):
        render(options)


def test_nothing_but_failures_is_a_failure(rendered, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(b"no")
    options = dataclasses.replace(rendered, images=tmp_path / "in", shards=tmp_path / "out")
    for _ in range(2):
        with pytest.raises(SketchforgeError, match="no image could be drawn, of 3: 3 not an image"):
            render(options)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 64}, "--size 48, now 64"),
        ({"threshold": 0.5}, "--threshold 0.65, now 0.5"),
        ({"low_threshold": 0.3}, "--low-threshold none, now 0.3"),
        ({"sketch_format": "png"}, "--sketch-format png1, now png"),
        ({"samples_per_shard": 5}, "--samples-per-shard 4, now 5"),
        ({"canny_low": 3.0, "canny_high": 9.0}, "--canny-high none, now 9.0"),
        ({"images": None}, r"was made from 10 --images, now \d+: removed more/p003.jpg; "),
    ],
)
def test_other_options_are_refused_naming_both_values(rendered, change, told):
    before = contents(rendered.shards)
    with pytest.raises(UsageError, match=told) as error:
        render(dataclasses.replace(rendered, **change))
    assert "--overwrite" in str(error.value)
    assert "\n" not in str(error.value)
    assert contents(rendered.shards) == before


def test_other_inputs_are_refused(rendered, tmp_path):
    inputs = make_photos(tmp_path / "in", 3)
    options = dataclasses.replace(rendered, images=inputs, shards=tmp_path / "out")
    render(options)
    (inputs / "p000.jpg").rename(inputs / "q000.jpg")
    with pytest.raises(UsageError, match="was made from 3 --images, now 3: removed p000.jpg; "):
        render(options)


def test_captions_that_come_later_are_refused(rendered, tmp_path):
    """Every sample would get a text: the shards there would be others."""
    images = shutil.copytree(rendered.images, tmp_path / "in")
    options = dataclasses.replace(rendered, images=images, shards=tmp_path / "out", limit=4)
    render(options)
    before = contents(options.shards)
    (images / "p000.txt").write_text("a text")
    with pytest.raises(UsageError, match="was made with captions: none, now some; choose another folder"):
        render(options)
    assert contents(options.shards) == before


def test_shards_of_changed_inputs_are_drawn_anew_and_no_others(rendered, tmp_path):
    inputs = make_photos(tmp_path / "in", 6)  # p000 to p003 are in shard 0, by the order of their paths
    options = dataclasses.replace(rendered, images=inputs, shards=tmp_path / "out")
    render(options)
    before = contents(options.shards)
    (inputs / "p001.jpg").write_bytes((inputs / "p000.jpg").read_bytes())
    changed = preview(options).state.changed
    assert list(changed.values()) == ["p001.jpg"]
    summary = render(options)
    assert summary.num_images < 6
    assert summary.num_kept == 1
    after = contents(options.shards)
    assert {name[:5] for name in after if after[name] != before[name]} == {
        "manif",
        "READM",
        f"{next(iter(changed)):05d}",
    }
    assert render_again(options, tmp_path / "fresh") == after


def test_inputs_changed_in_content_only_are_found_by_digest(rendered, tmp_path):
    inputs = make_photos(tmp_path / "in", 6)
    options = dataclasses.replace(rendered, images=inputs, shards=tmp_path / "out")
    render(options)
    other = bytearray((inputs / "p001.jpg").read_bytes())
    other[-30] ^= 1
    (inputs / "p001.jpg").write_bytes(other)
    assert render(options).num_images == 0, "sizes do not tell"
    options = dataclasses.replace(options, check_digests=True)
    assert list(preview(options).state.changed.values()) == ["p001.jpg"]
    assert render(options).num_images > 0
    assert contents(options.shards) == render_again(options, tmp_path / "fresh")
    assert render(options).num_images == 0


def test_inputs_changed_in_content_only_are_not_read_for_it_in_an_unfinished_folder_either(
    rendered, tmp_path
):
    inputs = make_photos(tmp_path / "in", 9)
    options = dataclasses.replace(rendered, images=inputs, shards=tmp_path / "out", num_tasks=2)
    assert not render(options).complete
    other = bytearray((inputs / "p000.jpg").read_bytes())
    other[-30] ^= 1
    (inputs / "p000.jpg").write_bytes(other)
    assert render(options).num_images == 0


def test_an_unfinished_run_is_not_continued_by_other_libraries(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out")
    render(options)
    manifest = json.loads((options.shards / "manifest.json").read_text())
    manifest["libraries"]["pillow"] = "0.1"
    files.write_bytes(options.shards / "manifest.json", files.checksummed_json(manifest))
    assert render(options).num_images == 0
    (options.shards / "00001.tar").unlink()
    with pytest.raises(UsageError, match="libraries pillow 0.1, now"):
        render(options)


def test_complete_runs_do_nothing_and_lost_shards_are_made_again(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out")
    render(options)
    whole = contents(options.shards)
    stamps = {path: path.stat().st_mtime_ns for path in options.shards.iterdir()}
    assert render(options).num_images == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in options.shards.iterdir()}
    (options.shards / "00001.tar").unlink()
    (options.shards / "00002.jsonl").write_bytes(b"")
    summary = render(options)
    assert (summary.num_kept, summary.num_images) == (1, 6)
    assert contents(options.shards) == whole


def test_a_shard_that_is_made_anew_is_unfinished_until_its_end(tmp_path):
    (tmp_path / "00000.stats.json").write_text("{}")
    with write_shard(folder_at(tmp_path), 0, "fingerprint", "inputs"):
        (partial,) = contents(tmp_path)
        assert re.fullmatch(r"\.00000\.tar\.[0-9a-f]{16}\.part", partial)
    assert list(contents(tmp_path)) == ["00000.jsonl", "00000.stats.json", "00000.tar"]


def test_overwrite_replaces_ours_and_leaves_theirs(rendered, tmp_path):
    folder = tmp_path / "out"
    render_again(rendered, folder, samples_per_shard=1)
    (folder / "notes.txt").write_text("mine")
    (folder / "00099.tar").write_text("mine too")
    found = render_again(rendered, folder, overwrite=True)
    assert found.pop("notes.txt") == b"mine"
    assert found.pop("00099.tar") == b"mine too"
    assert found == contents(rendered.shards)


def test_overwrite_never_writes_over_untracked_files(rendered, tmp_path):
    folder = tmp_path / "out"
    render_again(rendered, folder)
    (folder / "00007.tar").write_text("mine")
    before = contents(folder)
    with pytest.raises(UsageError, match="00007.tar: is in the way"):
        render_again(rendered, folder, samples_per_shard=1, overwrite=True)
    assert contents(folder) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["photo.jpg", "manifest.json"])
def test_folders_of_others_are_refused(rendered, tmp_path, overwrite, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError) as error:
        render_again(rendered, tmp_path, overwrite=overwrite)
    assert error.value.exit_code == 2
    told = "format None, expected" if name == "manifest.json" else "holds files that are not sketchforge's"
    assert told in str(error.value)
    assert contents(tmp_path) == {name: b"{}"}


def test_a_file_in_place_of_the_folder_is_refused(rendered, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="needs a folder"):
        render_again(rendered, tmp_path / "out")


def test_newer_formats_are_refused(rendered, tmp_path):
    files.write_bytes(
        tmp_path / "manifest.json", files.checksummed_json({"format": "sketchforge-shards", "version": 6})
    )
    with pytest.raises(UsageError, match="version 6, but this sketchforge reads version 5"):
        render_again(rendered, tmp_path)


def test_planning_writes_nothing_and_guesses_the_size(rendered, tmp_path):
    job = preview(dataclasses.replace(rendered, shards=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert (len(job.plan.images), len(job.plan.shards), len(job.todo), job.num_sketches) == (10, 3, 3, 1)
    actual = sum(path.stat().st_size for path in rendered.shards.glob("*.tar"))
    assert actual / 4 < job.estimated_bytes() < actual * 4


def test_the_plan_looks_at_neither_weights_nor_folder(rendered, tmp_path, monkeypatch):
    (tmp_path / "somebody's").write_text("")
    monkeypatch.setattr(render_job, "open_sketcher", None)
    monkeypatch.setattr(render_job, "refresh_state", None)
    plan = plan_render(dataclasses.replace(rendered, shards=tmp_path))
    assert (len(plan.images), len(plan.shards)) == (10, 3)


def test_sketcher_and_folder_are_looked_at_once_when_the_folder_is_ours(rendered, tmp_path, monkeypatch):
    looked = []

    def count(name):
        real = getattr(render_job, name)

        def counted(*arguments):
            looked.append((name, (tmp_path / "out" / FOLDER_LOCK).exists()))
            return real(*arguments)

        monkeypatch.setattr(render_job, name, counted)

    count("open_sketcher")
    count("refresh_state")
    for _ in range(2):
        render(dataclasses.replace(rendered, shards=tmp_path / "out"))
        assert looked == [("open_sketcher", True), ("refresh_state", True)]
        looked.clear()


def test_a_run_that_fails_before_it_begins_leaves_no_folder(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "a" / "out", canny_low=3.0)
    with pytest.raises(UsageError, match="--canny-low and --canny-high go together"):
        render(options)
    assert list(tmp_path.iterdir()) == []


def test_a_complete_folder_need_not_be_writable(rendered, monkeypatch):
    monkeypatch.setattr(lock, "lock", None)
    monkeypatch.setattr(os, "access", lambda path, way: False)
    assert render(rendered).complete


def test_progress_hears_of_every_image(rendered, flawed, tmp_path):
    progress = RecordedProgress()
    summary = render(dataclasses.replace(rendered, images=flawed, shards=tmp_path / "out"), progress)
    assert progress.begun == [("file", 0, 0), ("image", 9, 0)]
    assert progress.open == 0
    drawn = [figures for figures in progress.figures if figures]  # those of files that were found have none
    assert len(drawn) == 9
    # A second after the first image there is a rate, too.
    assert all(re.fullmatch(r"(\d+(\.\d)? sketches/s)?", shown.get("rate", "")) for shown in drawn)
    assert {figures["stage"] for figures in drawn} <= {f"slowest: {stage}" for stage in STAGES}
    assert progress.notes == [f"9 images ({flawed}) x 1 sketch (canny) -> 3 shards in {tmp_path / 'out'}"]
    assert summary.slowest_stage in STAGES


def test_what_is_kept_and_what_is_made_again_is_told(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out")
    render(options)
    (options.shards / "00001.tar").unlink()
    progress = RecordedProgress()
    render(options, progress)
    assert progress.begun == [("file", 0, 0), ("image", 4, 0)]
    kept = "2 of 3 shards finished and kept"
    assert progress.notes[1:] == [kept, "1 shard missing or altered, to be made again"]


def test_another_method_is_named_before_what_comes_with_it(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out", canny_blur=3.0)
    render(options)
    manifest = json.loads((options.shards / "manifest.json").read_text())
    manifest["options"]["method"] = "tom"
    files.write_bytes(options.shards / "manifest.json", files.checksummed_json(manifest))
    with pytest.raises(UsageError, match="was made with --method tom, now canny"):
        preview(dataclasses.replace(options, canny_blur=1.0))

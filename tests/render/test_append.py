"""New images go into new shards of a finished folder; what is there stays, whatever happens on the way."""

import dataclasses
import json
import shutil
import sys
import types
from unittest import mock

import pytest
from PIL import Image

import sketchforge
from cli.main import run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.render import ray_engine
from sketchforge.render.render import preview, render
from sketchforge.shards import appending
from sketchforge.shards import manifest as manifests
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.splits import split_of
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from tests.helpers.folders import all_members, contents, lines
from tests.helpers.photos import make_photos
from tests.helpers.recorded_progress import RecordedProgress
from tests.helpers.tars import jpeg, write_tar

OURS = ("README.md", "manifest.json")  # which tell of all shards


def test_shards_that_are_there_stay_byte_for_byte(base, added):
    before, after = contents(base.shards), contents(added)
    assert {name: data for name, data in after.items() if name in before and name not in OURS} == {
        name: data for name, data in before.items() if name not in OURS
    }
    assert sorted(after.keys() - before.keys()) == ["00003.jsonl", "00003.stats.json", "00003.tar"]
    assert len(lines(base.shards)) == 10  # so the last of the old shards is partly filled, and stays so


def test_samples_are_those_of_one_rendering_of_all(base, grown, added, tmp_path):
    render(dataclasses.replace(base, images=grown, shards=tmp_path / "all"))
    assert all_members(added) == all_members(tmp_path / "all")


def test_manifest_and_readers_know_all_of_them(added):
    manifest = read_manifest(folder_at(added))
    assert manifest["outcomes"] == {"ok": 14}
    assert (manifest["num_shards"], [entry["num_shards"] for entry in manifest["appended"]]) == (4, [1])
    assert (manifest["inputs"]["count"], manifest["appended"][0]["inputs"]["count"]) == (10, 4)
    assert verify(added).problems == []
    assert len(open_shards(added).keys) == 14
    assert len(sketchforge.pairs(added)) == 14
    assert "| added to | 1 time, 4 images |" in (added / "README.md").read_text()


def test_the_same_again_does_nothing(adding, added):
    render(adding)
    assert contents(adding.shards) == contents(added)
    summary = render(adding)
    assert (summary.num_images, summary.complete, summary.outcomes["ok"]) == (0, True, 14)
    assert contents(adding.shards) == contents(added)


def test_images_alone_that_are_new_may_be_named(adding, grown, added, tmp_path):
    """Those that are there need not be: their samples stay."""
    for path in grown.rglob("*"):
        if path.is_file() and int(path.stem[1:]) >= 10:
            target = tmp_path / "new" / path.relative_to(grown)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    render(dataclasses.replace(adding, images=tmp_path / "new"))
    assert all_members(adding.shards) == all_members(added)


def test_more_may_be_added_again_and_again(adding, grown):
    for limit in (11, 13, 14, 14):
        render(dataclasses.replace(adding, limit=limit))
        assert verify(adding.shards).problems == []
    manifest = read_manifest(folder_at(adding.shards))
    assert [entry["inputs"]["count"] for entry in manifest["appended"]] == [1, 2, 1]
    assert [entry["options"] for entry in manifest["appended"]] == [{"limit": n} for n in (11, 13, 14)]
    assert len(open_shards(adding.shards).keys) == 14


# What cannot be added.


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 64}, "--size 48, now 64"),
        ({"samples_per_shard": 5}, "--samples-per-shard 4, now 5"),
        ({"sketch_format": "png"}, "--sketch-format png1, now png"),
        ({"drop_blank": True}, "--drop-blank none, now True"),
        ({"prefix_keys": True}, "--prefix-keys none, now True"),
        ({"split": "train=.5,test=.5"}, "--split none, now train=0.5,test=0.5"),
        ({"labels": "folder", "images": "labelled"}, "--labels none, now folder"),
        ({"masks": "colour"}, "--masks none, now colour"),
        ({"overwrite": True}, "does not go with --overwrite; leave --overwrite out"),
        ({"retry_failed": True}, "does not go with --retry-failed"),
        ({"num_tasks": 2}, "does not go with --num-tasks; one process adds to a folder"),
    ],
)
def test_other_options_are_refused_in_one_line(adding, grown, tmp_path, change, told):
    if change.get("images"):
        shutil.copytree(grown, tmp_path / "labelled" / "things")
        change = change | {"images": tmp_path / "labelled"}
    before = contents(adding.shards)
    with pytest.raises(UsageError, match=told) as error:
        render(dataclasses.replace(adding, **change))
    assert "\n" not in str(error.value)
    assert contents(adding.shards) == before


def test_a_folder_that_is_new_or_unfinished_is_refused(adding, tmp_path):
    with pytest.raises(UsageError, match="holds no shards yet; leave --append out"):
        render(dataclasses.replace(adding, shards=tmp_path / "new"))
    manifest = read_manifest(folder_at(adding.shards))
    manifests.write_manifest(
        folder_at(adding.shards), manifest | {"complete": False, "shards": [], "outcomes": {}}
    )
    with pytest.raises(UsageError, match="is unfinished; finish it by its own command"):
        render(adding)


@pytest.mark.parametrize("name", ["00001.tar", "00002.jsonl"])
def test_a_folder_with_damaged_shards_is_refused(adding, name):
    (adding.shards / name).unlink()
    with pytest.raises(SketchforgeError, match=f"{name}: missing or altered; .*sketchforge verify"):
        render(adding)


def test_of_a_damaged_folder_that_was_added_to_verify_promises_no_mending(adding, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    render(adding)
    (adding.shards / "00001.tar").unlink()
    assert run(["verify", str(adding.shards)]) == 1
    said = capsys.readouterr().err
    assert "no command makes its shards again: restore the files" in said
    assert "makes damaged shards again" not in said


def test_without_the_option_a_folder_that_was_added_to_is_left_alone(adding):
    render(adding)
    before = contents(adding.shards)
    with pytest.raises(UsageError, match="images were added to it since; add --append"):
        render(dataclasses.replace(adding, append=False))
    assert contents(adding.shards) == before


def test_captions_that_come_later_are_refused_and_missing_ones_are_empty(adding, base, grown, tmp_path):
    images = shutil.copytree(grown, tmp_path / "in")
    (images / "p012.txt").write_text("a text")
    with pytest.raises(UsageError, match="captions: none, now some"):
        render(dataclasses.replace(adding, images=images))
    (images / "p012.txt").rename(images / "p000.txt")
    first = dataclasses.replace(base, images=images, shards=tmp_path / "texts", limit=10)
    render(first)
    render(dataclasses.replace(first, append=True, limit=None))
    assert verify(first.shards).problems == []
    texts = {name: data for name, data in all_members(first.shards).items() if name.endswith(".txt")}
    assert (len(texts), {data for data in texts.values()}) == (14, {b"a text", b""})


# Keys.


def test_another_image_under_a_key_that_is_there_is_refused(adding, tmp_path):
    (tmp_path / "in").mkdir()
    sidecar = adding.shards / "00000.jsonl"
    key = json.loads(sidecar.read_text().splitlines()[0])["key"]
    write_tar(tmp_path / "in" / "a.tar", [(f"{key}.jpg", jpeg(1))])
    with pytest.raises(UsageError, match=f"a.tar/{key}.jpg: has the key {key}, which .* has in .* already"):
        render(dataclasses.replace(adding, images=tmp_path / "in" / "a.tar"))


@pytest.mark.parametrize("digests", [False, True])
def test_changed_images_are_named_and_their_samples_stay(adding, added, grown, tmp_path, digests):
    images = shutil.copytree(grown, tmp_path / "in")
    first = images / "p000.jpg"
    data = first.read_bytes()
    first.write_bytes(data[:-3] + b"x" + data[-2:] if digests else data + b"more")
    progress = RecordedProgress()
    render(dataclasses.replace(adding, images=images, check_digests=digests), progress)
    told = [note for note in progress.notes if "of other bytes" in note]
    assert len(told) == 1
    assert "1 image (p000.jpg)" in told[0]
    assert all_members(adding.shards) == all_members(added)


def test_an_image_that_failed_and_was_mended_is_new(adding, base, grown, tmp_path):
    images = shutil.copytree(base.images, tmp_path / "in")
    whole = (images / "p000.jpg").read_bytes()
    (images / "p000.jpg").write_bytes(whole[: len(whole) // 2])
    first = dataclasses.replace(base, images=images, shards=tmp_path / "flawed")
    assert render(first).num_failed == 1
    more = dataclasses.replace(first, append=True)
    assert render(more).num_images == 0  # it fails as it did
    (images / "p000.jpg").write_bytes(whole)
    assert render(more).num_images == 1
    assert render(more).num_images == 0
    assert verify(first.shards).problems == []
    assert all_members(first.shards) == all_members(base.shards)


# Splits and classes.


def test_each_split_gets_its_own_new_shards(base, grown, tmp_path):
    options = dataclasses.replace(
        base,
        images=grown,
        shards=tmp_path / "out",
        split="train=.6,val=.2,test=.2",
        limit=8,
        samples_per_shard=2,
    )
    render(options)
    render(dataclasses.replace(options, append=True, limit=None))
    assert verify(options.shards).problems == []
    whole = open_shards(options.shards)
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    for name in ("train", "val", "test"):
        part = whole.take_split(name, "train")
        assert set(part.keys) == {key for key in whole.keys if split_of(key, shares) == name}
        assert len(sketchforge.pairs(options.shards, split=name)) == len(part.keys)
    assert len(whole.keys) == 14
    card = (options.shards / "README.md").read_text()
    assert all(card.count(f'- "{path.name}"') == 1 for path in options.shards.glob("*.tar"))


def test_classes_keep_their_numbers_and_new_ones_are_refused(base, tmp_path):
    images = tmp_path / "in"
    for name in ("bird", "dog"):
        make_photos(images / name, 2)
    options = dataclasses.replace(base, images=images, shards=tmp_path / "out", labels="folder")
    render(options)
    Image.new("RGB", (40, 40), "red").save(images / "dog" / "new.png")
    more = dataclasses.replace(options, append=True)
    render(more)
    assert all_members(options.shards)["dog__new_png.cls"] == b"1"
    make_photos(images / "cat", 1)
    with pytest.raises(UsageError, match="cat/p000.jpg: is of the class cat, which is none of the 2 classes"):
        render(more)


# Other places and versions.


def test_a_folder_in_a_store_is_added_to(base, grown, added):
    place = "memory://added/out"
    render(dataclasses.replace(base, shards=place))
    render(dataclasses.replace(base, shards=place, images=grown, append=True))
    folder = folder_at(place)
    assert folder.read("manifest.json") == (added / "manifest.json").read_bytes()
    assert folder.read("00003.tar", 1 << 30) == (added / "00003.tar").read_bytes()
    assert not [name for name in folder.list() if name.startswith(".")]
    assert verify(place).problems == []


def test_a_preview_writes_nothing_and_counts_what_is_new(adding):
    before = contents(adding.shards)
    job = preview(adding)
    assert (len(job.todo), job.num_images, [shard.number for shard in job.todo]) == (1, 4, [3])
    assert contents(adding.shards) == before


def test_the_command_says_what_is_there_and_what_is_new(adding, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["render", "--images", adding.images, "--shards", adding.shards, "--append"]
    words += ["--method", "canny", "--size", "48", "--workers", "1", "--batch-size", "3"]
    assert run([str(word) for word in words]) == 0
    said = capsys.readouterr()
    assert f"10 of 14 images are in {adding.shards} already, 4 to be added" in said.err + said.out
    assert f"{adding.shards}: 14 samples in 4 shards now" in said.err + said.out
    assert run([str(word) for word in words]) == 0
    assert f"{adding.shards}: complete already, 14 samples in 4 shards" in capsys.readouterr().out


def test_an_actor_of_ray_finds_new_shards_by_their_numbers(adding, added, monkeypatch):
    """And makes them where they are not to be seen yet. Ray itself is not needed for it."""
    job = preview(adding)
    ray, tally = types.ModuleType("ray"), mock.MagicMock()
    ray.get = lambda plan: plan
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.chdir(adding.shards.parent)  # for an actor goes there itself
    renderer = ray_engine._ShardRenderer([job.plan], job.manifest, str(adding.shards.parent), tally)
    assert renderer.render_shard(3).outcomes["ok"] == 4
    made = adding.shards / appending.APPENDING / "00003.tar"
    assert made.read_bytes() == (added / "00003.tar").read_bytes()
    assert verify(adding.shards).num_samples == 10

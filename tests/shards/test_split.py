"""--split: parts of the images by their keys, each in shards of its own."""

import json
from collections import Counter

import pytest

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.source import ByteSource
from sketchforge.images.sources.table_builder import build_table
from sketchforge.options import InspectOptions, RenderOptions
from sketchforge.render.plan import plan_splits
from sketchforge.render.render import render
from sketchforge.report.gallery.inspect import inspect
from sketchforge.shards.manifest import read_manifest, write_manifest
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.splits import held_out_first, parse_splits, shards_by_split, split_of
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from tests.helpers.folders import members
from tests.helpers.forks import forked_cli
from tests.helpers.photos import make_photos

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
GOLDEN = ["train", "val", "train", "train", "train", "train", "val", "train"]
TEXT = "train=.6,val=.2,test=.2"


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"), 20)


def options(folder, images, **more) -> RenderOptions:
    usual = {"method": "canny", "size": 32, "samples_per_shard": 3, "workers": 1, "split": TEXT}
    return RenderOptions(folder, images, **(usual | more))


def test_images_of_a_split_stay_in_their_order():
    images = build_table(
        ImageSource(f"k{number:03}", f"k{number:03}.jpg", ByteSource(1, data=b"x")) for number in range(500)
    )
    ordered, shards, splits = plan_splits(images, 7, SHARES)
    keys = [key for name in SHARES for key, _ in images.names() if split_of(key, SHARES) == name]
    assert [key for key, _ in ordered.names()] == keys
    assert [image.key for shard in shards for image in shard.inputs] == keys
    assert [shard.number for shard in shards] == list(range(sum(entry["shards"] for entry in splits)))


@pytest.fixture(scope="module")
def out(twenty, tmp_path_factory):
    folder = tmp_path_factory.mktemp("split") / "out"
    render(options(folder, twenty))
    return folder


def test_a_text_is_parsed_in_its_order():
    assert list(parse_splits("train=.9, test=0.1").items()) == [("train", 0.9), ("test", 0.1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train=.9,test=.2", "the shares add up to 1.1"),
        ("train", "the share of train is '', expected a number between 0 and 1"),
        ("train=1", "the share of train is '1'"),
        ("train=.5,train=.5", "train stands there twice"),
        ("all=.5,test=.5", "'all' is no name of a split"),
        ("../x=.5,test=.5", "'../x' is no name of a split"),
        ("train=nan,test=.5", "the share of train is 'nan'"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        parse_splits(text)


def test_keys_are_shared_out_as_the_shares_say():
    counts = Counter(split_of(f"key{number}", SHARES) for number in range(20_000))
    for name, share in SHARES.items():
        assert abs(counts[name] / 20_000 - share) < 0.015, name


def test_a_larger_last_share_moves_keys_only_into_it():
    before, after = {"train": 0.6, "test": 0.4}, {"train": 0.5, "test": 0.5}
    moves = {(split_of(key, before), split_of(key, after)) for key in map(str, range(2000))}
    assert moves == {("train", "train"), ("train", "test"), ("test", "test")}


def test_splits_of_known_keys_never_change():
    keys = ("a", "b", "c", "cats__tom", "k1", "k2", "k3", "k4")
    assert [split_of(key, SHARES) for key in keys] == GOLDEN


def test_every_shard_holds_samples_of_one_split(out):
    manifest = read_manifest(folder_at(out))
    keys = {name: [] for name in SHARES}
    for name, numbers in shards_by_split(manifest["splits"]).items():
        for number in numbers:
            keys[name] += sorted({member.split(".")[0] for member in members(out, number)})
    assert sum(map(len, keys.values())) == 20
    assert all(split_of(key, SHARES) == name for name, chosen in keys.items() for key in chosen)


def test_images_that_are_added_move_no_other(out, tmp_path):
    more = make_photos(tmp_path / "more", 26)
    render(options(tmp_path / "out", more))
    for name in SHARES:
        before, after = (set(keys_of(folder, name)) for folder in (out, tmp_path / "out"))
        assert before <= after


def keys_of(folder, name: str) -> list[str]:
    return list(open_shards(folder).take_split(name, name).keys)


def test_a_split_is_a_set_of_its_own(out):
    whole = open_shards(out)
    parts = [whole.take_split(name, name) for name in SHARES]
    assert sum(part.num_samples for part in parts) == whole.num_samples == 20
    assert sorted(key for part in parts for key in part.keys) == sorted(whole.keys)
    assert [len(part.keys) for part in parts] == [part.num_samples for part in parts]


def test_the_usual_split_is_taken_where_there_is_one(out, rendered):
    whole = open_shards(out)
    assert whole.take_split(None, "test").num_samples == len(keys_of(out, "test"))
    assert whole.take_split("all", "test") is whole
    plain = open_shards(rendered.shards)
    assert plain.take_split(None, "test") is plain


def test_splits_that_are_not_there_are_refused(out, rendered):
    with pytest.raises(UsageError, match="has no split dev; it has train, val, test"):
        open_shards(out).take_split("dev", "test")
    with pytest.raises(UsageError, match="has no split test; it was rendered without --split"):
        open_shards(rendered.shards).take_split("test", "test")


def test_a_split_without_samples_is_refused(twenty, tmp_path):
    render(options(tmp_path / "out", twenty, limit=1))
    present = split_of(next(iter(open_shards(tmp_path / "out").keys)), SHARES)
    absent = next(name for name in SHARES if name != present)
    with pytest.raises(UsageError, match=f"its split {absent} holds no samples"):
        open_shards(tmp_path / "out").take_split(absent, absent)


def test_shards_read_what_their_tar_holds(out):
    from sketchforge.shards.open_shard import OpenShard

    part = open_shards(out).take_split("test", "test")
    read = [
        OpenShard(part, shard).read(place, [0]).key
        for shard, count in enumerate(part.shard_sizes)
        for place in range(count)
    ]
    assert read == list(part.keys)


def test_tasks_and_one_process_make_the_same_shards(twenty, out, tmp_path):
    for task in (1, 0):
        render(options(tmp_path / "out", twenty, num_tasks=2, task_id=task))
    for tar in sorted(out.glob("*.tar")):
        assert (tmp_path / "out" / tar.name).read_bytes() == tar.read_bytes()
    assert read_manifest(folder_at(tmp_path / "out")) == read_manifest(folder_at(out))


def test_verify_knows_where_a_key_belongs(out, tmp_path):
    assert verify(out).problems == []
    manifest = read_manifest(folder_at(out))
    first, *rest = manifest["splits"]
    moved = [
        {**first, "shards": first["shards"] - 1},
        {**rest[0], "shards": rest[0]["shards"] + 1},
        *rest[1:],
    ]
    for path in out.iterdir():
        if path.is_file() and not path.name.startswith("."):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    write_manifest(folder_at(tmp_path), {**manifest, "splits": moved})
    assert any("belongs to the split train" in problem for problem in verify(tmp_path).problems)


@pytest.mark.parametrize(
    "splits",
    [
        [{"name": "train", "shards": 1}],
        [{"name": "train", "shards": -1}, {"name": "val", "shards": 0}, {"name": "test", "shards": 9}],
        [],
    ],
)
def test_a_manifest_with_impossible_splits_is_refused(out, tmp_path, splits):
    manifest = json.loads((out / "manifest.json").read_text()) | {"splits": splits}
    write_manifest(folder_at(tmp_path), manifest)
    with pytest.raises(SketchforgeError, match="splits: missing or not as a manifest has it"):
        read_manifest(folder_at(tmp_path))


def test_inspect_counts_the_samples_of_each_split(out):
    assert inspect(InspectOptions(out)).splits == {name: len(keys_of(out, name)) for name in SHARES}


def test_other_shares_are_refused(twenty, out):
    with pytest.raises(
        UsageError, match=r"was made with --split train=0\.6,val=0\.2,test=0\.2, now train=0\.8"
    ):
        render(options(out, twenty, split="train=.8,test=.2"))


def test_a_training_takes_train_and_validates_on_val(twenty, tmp_path):
    render(options(tmp_path / "out", twenty, hands="builtin"))
    words = ("ae-train", "--shards", tmp_path / "out", "--run", tmp_path / "run", "--dry-run")
    counts = {name: len(keys_of(tmp_path / "out", name)) for name in SHARES}
    told = forked_cli(*words).stdout
    assert f"{counts['train']} images with 10 sketches each" in told
    assert f", {counts['val']} held out" in told
    assert "20 images with 10 sketches each" in forked_cli(*words, "--split", "all").stdout
    wrong = forked_cli(*words, "--split", "dev")
    assert wrong.returncode == 2
    assert "has no split dev; it has train, val, test" in wrong.stderr


def test_what_is_held_out_is_test_then_val_then_others_and_never_train():
    assert held_out_first(["b", "train", "val", "test", "a"]) == ["test", "val", "b", "a"]

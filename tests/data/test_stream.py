"""Shards become the same training samples whoever reads them, from where, from which step on."""

import errno
import functools
import http.server
import io
import json
import logging
import multiprocessing
import os
import pickle
import shlex
import shutil
import signal
import tarfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from torch.utils.data._utils.pin_memory import pin_memory

from sketchforge.data import dataset as stream
from sketchforge.data import loader as loader_module
from sketchforge.data.augment import pair_pixels, stored_pair, training_pair
from sketchforge.data.augment_gpu import PairBatches
from sketchforge.data.batch_memory import BatchPool, pack, packed_bytes
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.loader import batches
from sketchforge.data.order import SampleOrder
from sketchforge.data.prefetch import DevicePrefetch
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.shards import open_shard
from sketchforge.shards.checked import CheckedShards
from sketchforge.shards.reader import read_samples
from sketchforge.shards.shard_set import ShardSet, open_folder, open_shards
from sketchforge.storage.fetch import FetchPolicy
from sketchforge.utils import files
from tests.helpers.stored import png, store
from tests.helpers.stream import SIDE, STYLES, TARS, make_set

MAKE = functools.partial(training_pair, size=SIDE, seed=0)
HASTY = FetchPolicy(first_pause=0)
HANGING_AT = 3  # a position


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Fourteen samples of three sketches in four shards; no test changes them."""
    return make_set(tmp_path_factory.mktemp("stream") / "out")


@pytest.fixture
def own(folder, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return shutil.copytree(folder, tmp_path / "out")


def as_read(image, sketches, key):
    """What a sample was made from: the sketches' levels tell which they are."""
    levels = [int(sketch[0, 0]) for sketch in sketches]
    return {"image": torch.from_numpy(image), "levels": levels, "key": key}


def dataset(source, make=MAKE, num_sketches=2, skip_bad=False, cache=None, keep=8, **order) -> ShardDataset:
    shards = source if isinstance(source, ShardSet) else open_shards(source, cache, keep)
    options = {"seed": 1, "group": 5, "passes": 2, "pool": 2} | order
    return ShardDataset(shards, SampleOrder(shards.shard_sizes, **options), make, num_sketches, skip_bad)


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        equal = torch.equal if isinstance(value, torch.Tensor) else lambda a, b: a == b
        assert equal(value, other[name]), name


def test_samples_are_what_is_stored(folder):
    data = dataset(folder, as_read, num_sketches=3)
    shards = open_folder(folder)
    stored = list(read_samples(shards, shards.keys).values())
    for position in range(data.order.cycle):
        got = data[position]
        assert (got["position"], got["key"], got["skipped"]) == (position, position, 0)
        assert got["index"] == data.order.index_of(position)
        assert (got["group"], got["label"]) == data.order.group_of(position)
        expected = stored[got["index"]]
        np.testing.assert_array_equal(got["image"].numpy(), expected.image)
        assert sorted(got["levels"]) == [int(sketch[0, 0]) for sketch in expected.sketches]


def test_captions_and_metadata_change_no_sample(folder, tmp_path):
    captioned = dataset(make_set(tmp_path / "out", captions={2: "a red hat"}), as_read)
    plain = dataset(folder, as_read)
    assert "txt" in {name.partition(".")[2] for name in tar_names(tmp_path / "out")}
    for position in range(plain.order.cycle):
        assert_same(captioned[position], plain[position])


def tar_names(folder: Path) -> list[str]:
    return [name for path in folder.glob("*.tar") for name in tarfile.open(path).getnames()]


def test_sketches_are_drawn_without_repetition_and_all_have_their_turn(folder):
    data = dataset(folder, as_read)
    drawn = [tuple(level % 10 for level in data[position]["levels"]) for position in range(100)]
    assert set(drawn) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert [tuple(level % 10 for level in data[position]["levels"]) for position in range(100)] == drawn


def test_only_what_is_wanted_is_read_and_decoded(folder, monkeypatch):
    decoded, spans = [], []

    class Spy:
        def __init__(self, file):
            self._file = file

        def read(self, size):
            spans.append((self._file.tell(), size))
            return self._file.read(size)

        def __getattr__(self, name):
            return getattr(self._file, name)

    data = dataset(folder)
    data[0]  # headers are read once
    with tarfile.open(folder / f"{data.order[0][0]:05d}.tar") as tar:
        members = {(info.offset_data, info.size): info.name for info in tar}
    opened = data._open[data.order[0][0]]
    monkeypatch.setattr(opened, "_file", Spy(opened._file))
    imdecode = cv2.imdecode
    monkeypatch.setattr(
        open_shard.cv2, "imdecode", lambda data, how: decoded.append(how) or imdecode(data, how)
    )
    data[0]
    read = [members[span].split(".", 1)[1] for span in spans]
    assert read[0] == "jpg"
    assert len(read) == len(set(read)) == len(decoded) == 3
    assert all(name.startswith("sketch") for name in read[1:])


def test_few_files_are_open_and_each_is_opened_once_while_it_is(folder, monkeypatch):
    monkeypatch.setattr(stream, "OPEN_SHARDS", 2)
    opened, open_shard = [], ShardSet.open
    spy = lambda self, shard: opened.append(shard) or open_shard(self, shard)  # noqa: E731
    monkeypatch.setattr(ShardSet, "open", spy)
    data = dataset(folder, group=None)
    for position in range(data.order.num_samples):
        data[position]
        assert len(data._open) <= 2
    assert sorted(opened) == [0, 1, 2, 3], "a pool's shards stay open as long as it lasts"


def test_ranks_and_workers_lose_and_repeat_nothing(folder):
    data = dataset(folder, group=None, passes=1)
    loaders = [batches(data, 2, 0, 7, rank=rank, world=2, workers=3) for rank in range(2)]
    shared = [list(loader) for loader in loaders]
    # One cycle is 14 samples; 2 ranks, 7 steps, batches of 2 make two of them.
    seen = [(batch["position"].tolist(), batch["index"].tolist()) for run in shared for batch in run]
    by_position = dict(zip(sum((p for p, _ in seen), []), sum((i for _, i in seen), []), strict=True))
    assert sorted(by_position) == list(range(28))
    for cycle in range(2):
        assert sorted(by_position[p] for p in range(cycle * 14, cycle * 14 + 14)) == list(range(14))
    for step in range(7):
        for rank in range(2):
            first = (step * 2 + rank) * 2
            assert shared[rank][step]["position"].tolist() == [first, first + 1], "in order, whoever made it"


def test_workers_and_none_give_the_same_bits(folder):
    data = dataset(folder)
    alone, shared = (list(batches(data, 3, 2, 5, workers=workers)) for workers in (0, 2))
    assert len(alone) == len(shared) == 5
    for one, other in zip(alone, shared, strict=True):
        assert_same(one, other)
    batch = alone[0]
    assert batch["image"].shape == (3, 3, SIDE, SIDE)
    assert batch["image"].dtype == torch.float32
    numbers = ("index", "label", "group", "position", "skipped")
    assert all(batch[name].dtype == torch.int64 for name in numbers)


def of_many_kinds(image, sketches, key):
    odd = torch.full((3, 5), key, dtype=torch.uint8)
    return {"name": str(key), "odd": odd, "flag": torch.tensor(key % 2 == 0), "half": torch.tensor([key / 2]),
            "none": torch.empty(0), "image": torch.from_numpy(image).permute(2, 0, 1)}  # fmt: skip


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_is_what_torch_makes_of_its_samples_in_one_piece_of_memory(folder, workers):
    data = dataset(folder, of_many_kinds)
    (batch,) = batches(data, 4, 3, 1, workers=workers)
    assert_same(batch, default_collate([data[position] for position in range(12, 16)]))
    tensors = [batch[name] for name in ("odd", "flag", "half", "none", "image")]
    assert all(tensor.is_contiguous() for tensor in tensors)
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1


def test_a_blank_sample_has_the_shapes_of_all(folder, tmp_path):
    data = dataset(folder)
    blank, real = data.blank(), data[3]
    assert blank.keys() == real.keys()
    assert all(type(blank[name]) is type(value) for name, value in real.items())
    assert packed_bytes(blank, 3) == pack([data[position] for position in range(3)], 3).contents.numel()
    assert dataset(make_set(tmp_path / "kept", fit="keep")).blank() is None


@pytest.mark.skipif(not BatchPool.possible(), reason="needs memfd_create, which Linux has")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_the_same_memory_again_and_again(folder, workers, monkeypatch):
    taken, take = [], BatchPool.take
    monkeypatch.setattr(BatchPool, "take", lambda pool: taken.append(take(pool)) or taken[-1])
    addresses, read = set(), BatchPool.contents

    def spy(*arguments):
        contents = read(*arguments)
        addresses.add(contents.data_ptr())
        return contents

    monkeypatch.setattr(BatchPool, "contents", spy)
    data = dataset(folder, functools.partial(pair_pixels, size=SIDE, seed=0))
    for _ in DevicePrefetch(batches(data, 2, 0, 40, workers=workers), torch.device("cpu")):
        pass
    assert len(taken) == 40
    assert None not in taken
    assert len(addresses) <= (3 if workers == 0 else 11)


@pytest.mark.parametrize("workers", [0, 1])
def test_without_such_memory_batches_are_the_same(folder, workers, monkeypatch):
    expected = list(batches(dataset(folder), 2, 0, 3))

    def refused(name):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "memfd_create", refused, raising=False)
    for batch, again in zip(expected, batches(dataset(folder), 2, 0, 3, workers=workers), strict=True):
        assert_same(batch, again)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_may_be_kept(folder, workers):
    data = dataset(folder)
    kept = list(batches(data, 2, 0, 30, workers=workers))
    for batch, again in zip(kept, batches(data, 2, 0, 30, workers=workers), strict=True):
        assert_same(batch, again)


def test_a_batch_can_be_pinned_on_its_way(folder, monkeypatch):
    """By torch's own thread, which takes apart what it is given and puts it together again."""
    data = dataset(folder, of_many_kinds)
    samples = [data[position] for position in range(3)]
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *_: self.clone())  # needs no CUDA
    assert_same(pin_memory(pack(samples, 3)).batch(), default_collate(samples))


def test_taken_up_again_in_the_middle_it_goes_on_in_order(folder):
    whole = list(batches(dataset(folder), 3, 0, 12))
    for start in (1, 5, 11):
        resumed = list(batches(dataset(folder), 3, start, 12 - start))
        assert len(resumed) == 12 - start
        for one, other in zip(whole[start:], resumed, strict=True):
            assert_same(one, other)


def test_global_random_state_is_left_alone(folder):
    before = torch.get_rng_state()
    list(batches(dataset(folder), 2, 0, 3))
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_say_in_one_line_what_is_wrong(own):
    (own / "00002.tar").unlink()
    with pytest.raises(SketchforgeError) as error:
        list(batches(dataset(own), 2, 0, 14, workers=1))
    assert "00002.tar: cannot be read (No such file or directory)" in str(error.value)
    assert "\n" not in str(error.value)


# Other places than a folder here.


@pytest.fixture
def served(folder, tmp_path):
    """(URL of the folder, names of the files asked for so far), and the folder served may be spoilt."""
    asked = []
    root = shutil.copytree(folder, tmp_path / "served" / "out").parent

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=root)

        def log_message(self, *_):
            asked.append(self.path.rsplit("/", 1)[1])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/out", asked, root / "out"
    server.shutdown()
    server.server_close()


def test_a_url_gives_the_samples_of_the_folder(folder, served):
    url, asked, _ = served
    here, there = dataset(folder), dataset(url + "/")
    for position in range(28):
        assert_same(here[position], there[position])
    assert sorted(asked) == [*TARS, "manifest.json"], "each fetched once"


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
@pytest.mark.parametrize("source", ["pipe:cat '{}'", "{}", "file://{}"], ids=["pipe", "path", "file"])
def test_other_addresses_give_the_samples_of_the_folder(folder, source):
    here, there = dataset(folder), dataset(source.replace("{}", f"{folder}/{{}}"))
    for position in range(20):
        assert_same(here[position], there[position])


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
def test_workers_fetch_a_shard_once(folder, tmp_path):
    log = tmp_path / "log"
    source = f"pipe:echo {{}} >> {shlex.quote(str(log))}; sleep 0.1; cat {shlex.quote(str(folder))}/{{}}"
    data = dataset(source, cache=tmp_path / "cache", group=None, passes=1)
    alone = dataset(folder, group=None, passes=1)
    for one, other in zip(batches(data, 1, 0, 14, workers=3), batches(alone, 1, 0, 14), strict=True):
        assert_same(one, other)
    assert sorted(log.read_text().split()) == [*TARS, "manifest.json"]
    left = [path.name for path in (tmp_path / "cache").iterdir()]
    assert len(left) == 4
    assert all(name.endswith(".tar") for name in left)


def test_the_cache_drops_what_is_longest_unused_and_its_readers_read_on(folder, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "precious.tar").write_bytes(b"not ours")
    shards = open_shards(f"{folder}/{{}}", cache, keep=2)
    files_open = [shards.open(0), shards.open(1)]
    cached = {path.name[:5]: path for path in cache.glob("0*.tar")}
    os.utime(cached["00000"], (1, 1))
    os.utime(cached["00001"], (2, 2))
    files_open.append(shards.open(0))  # it was there, and now it was used last
    files_open.append(shards.open(2))
    assert sorted(path.name[:5] for path in cache.glob("0*.tar")) == ["00000", "00002"]
    for file, number in zip(files_open, (0, 1, 0, 2), strict=True):
        assert file.read() == (folder / f"0000{number}.tar").read_bytes()
    assert (cache / "precious.tar").read_bytes() == b"not ours"


def test_a_second_set_finds_what_the_first_fetched(folder, tmp_path):
    cache = tmp_path / "cache"
    dataset(f"{folder}/{{}}", cache=cache)[0]
    (fetched,) = cache.iterdir()
    before = fetched.stat().st_ino
    dataset(f"{folder}/./{{}}", cache=cache)[0]
    assert [path.stat().st_ino for path in cache.iterdir()] == [before]
    fetched.write_bytes(b"cut short")  # not the size it should have: fetched again
    assert_same(dataset(f"{folder}/{{}}", cache=cache)[0], dataset(folder)[0])


def test_downloads_of_the_dead_are_cleared_away_and_those_of_the_living_are_not(folder, tmp_path):
    name = f"00000-{'0' * 16}.tar"
    dead = tmp_path / f".{name}.{'1' * 16}.part"
    dead.write_bytes(b"half")
    with files.atomic_write(tmp_path / name):
        open_shards(f"{folder}/{{}}", tmp_path).open(0).close()
        assert not dead.exists()
        assert len(list(tmp_path.glob(".*.part"))) == 1
    assert not list(tmp_path.glob(".*.part"))


def test_the_temporary_cache_goes_with_the_set(folder):
    shards = open_shards(f"{folder}/{{}}")
    shards.open(0).close()
    cache = shards.cache.folder
    copy = pickle.loads(pickle.dumps(shards))
    assert len(list(cache.glob("*.tar"))) == 1
    del copy
    assert cache.exists(), "a worker's copy does not take it away"
    del shards
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["longer", "other"])
def test_a_corrupted_download_is_refused(own, tmp_path, damage):
    path = own / "00002.tar"
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data + b"x" if damage == "longer" else data)
    with pytest.raises(SketchforgeError) as error:
        open_shards(f"{own}/{{}}", tmp_path / "cache", policy=HASTY).open(2)
    longer = f"more than {len(data)} bytes, but the manifest says {len(data)}"
    found = str(error.value)
    assert (longer if damage == "longer" else "SHA-256") in found
    assert found.startswith(f"{path}: could not be fetched in 5 tries")
    assert "\n" not in found
    assert not list((tmp_path / "cache").iterdir())


# What is damaged.


def spoil(folder: Path, number: int, change) -> None:
    """Pass every (name, data) of a tar through `change` -> data or None, and make the manifest agree."""
    path = folder / f"{number:05d}.tar"
    with tarfile.open(path) as tar:
        found = [(info, tar.extractfile(info).read()) for info in tar]
    with tarfile.open(path, "w") as tar:
        for info, data in found:
            if (data := change(info.name, data)) is not None:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    agree(folder, number)


def agree(folder: Path, number: int) -> None:
    """Make the manifest say of a shard's file what it is."""
    path = folder / f"{number:05d}.tar"
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][number] |= {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}
    files.write_bytes(folder / "manifest.json", files.checksummed_json(manifest))


def of_first(end: str, put):
    """A change of the first sample's member with this ending."""
    return lambda name, data: put(data) if name == f"k00.{end}" else data


JPEG = cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
PNG = png(np.zeros((9, 8), np.uint8))
DAMAGES = {
    "no image": (of_first("jpg", lambda data: None), "00000.tar: k00.jpg: is missing"),
    "no sketch": (of_first("sketch1.png", lambda data: None), "00000.tar: k00.sketch1.png: is missing"),
    "empty": (of_first("jpg", lambda data: b""), "00000.tar: k00.jpg: cannot be decoded"),
    "garbage": (of_first("sketch0.png", lambda data: b"garbage" * 20), "k00.sketch0.png: cannot be decoded"),
    "other size": (of_first("jpg", lambda data: JPEG), "00000.tar: k00.jpg: 9 x 9 pixels, expected 16 x 16"),
    "small sketch": (
        of_first("sketch2.png", lambda data: PNG),
        "k00.sketch2.png: 8 x 9 pixels, expected 16 x 16",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_sample_is_an_error_or_counted(own, damage):
    change, message = DAMAGES[damage]
    spoil(own, 0, change)
    strict, lenient = (dataset(own, as_read, num_sketches=3, skip_bad=skip_bad) for skip_bad in (False, True))
    order = strict.order
    bad = [position for position in range(order.cycle) if order.index_of(position) == 0]
    with pytest.raises(SketchforgeError, match="sketchforge verify") as error:
        strict[bad[0]]
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert [position for position in range(order.cycle) if lenient[position]["skipped"]] == bad
    for position in bad:
        taken, following = lenient[position], position + 1
        while following in bad:
            following += 1
        assert (taken["index"], taken["position"]) == (order.index_of(following), position)
        assert (taken["group"], taken["label"]) == order.group_of(following)


def cut(folder):
    data = (folder / "00002.tar").read_bytes()
    (folder / "00002.tar").write_bytes(data[:3000])


def lose_samples(folder):
    spoil(folder, 2, lambda name, data: None if name.startswith("k05") else data)


def add_samples(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][2]["samples"] = 4
    files.write_bytes(folder / "manifest.json", files.checksummed_json(manifest))


def scramble(folder):
    path = folder / "00002.tar"
    path.write_bytes(b"\1" * path.stat().st_size)
    agree(folder, 2)


def flip_a_bit(folder):
    """In a place that nothing but the digest watches: the padding of the last sketch."""
    path = folder / "00002.tar"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "00002.tar").unlink(), "cannot be read (No such file or directory)"),
        (cut, "3000 bytes, but the manifest says"),
        (lose_samples, "5 samples, but the manifest says 6"),
        (add_samples, "more than 4 samples, but the manifest says 4"),
        (scramble, "cannot be read as a tar"),
        (flip_a_bit, "SHA-256 "),
    ],
)
def test_a_damaged_shard_is_an_error_or_all_its_uses_are_counted(own, change, message):
    change(own)
    strict, lenient = dataset(own), dataset(own, skip_bad=True)
    uses = [position for position in range(28) if strict.order[position][0] == 2]
    with pytest.raises(SketchforgeError, match="sketchforge verify") as error:
        strict[uses[0]]
    assert f"00002.tar: {message}" in str(error.value)
    assert "\n" not in str(error.value)
    loaded = [int(s) for batch in batches(lenient, 4, 0, 7, workers=1) for s in batch["skipped"]]
    assert loaded == [int(position in uses) for position in range(28)]


def test_a_shard_that_a_worker_has_checked_is_not_read_for_its_digest_again(folder, monkeypatch):
    data = dataset(folder, group=None)
    list(batches(data, 2, 0, 7, workers=1))  # all fourteen samples
    monkeypatch.setattr(CheckedShards, "_check", lambda *_: pytest.fail("read again"))
    data[0]


def test_a_damaged_shard_is_found_by_every_process(own):
    flip_a_bit(own)
    shards = open_shards(own)
    for _ in range(2):
        with pytest.raises(SketchforgeError, match="00002.tar: SHA-256 .*, but the manifest says .*verify"):
            shards.open(2)


def test_what_is_skipped_does_not_depend_on_who_met_it_first(own):
    """Of a sample that has lost a sketch the others can be used."""
    spoil(own, 2, lambda name, data: b"garbage" if name.endswith("sketch1.png") else data)
    alone = [dataset(own, skip_bad=True)[position] for position in range(40)]
    assert {alone[p]["skipped"] for p in range(40) if alone[p]["index"] in range(5, 11)} == {0}
    assert {alone[p]["index"] in range(5, 11) for p in range(40)} == {False, True}
    data = dataset(own, skip_bad=True)
    for position in reversed(range(40)):
        assert_same(data[position], alone[position])


def test_a_set_without_a_good_sample_is_an_error(own):
    for number in range(4):
        (own / f"0000{number}.tar").unlink()
    with pytest.raises(SketchforgeError, match="none of its 14 samples can be used") as error:
        dataset(own, skip_bad=True)[3]
    assert "\n" not in str(error.value)


# What is refused.


def unfinished(folder):
    make_set(folder, num_shards=9)


def without_samples(folder):
    store(folder, [[]], STYLES)


def newer(folder):
    make_set(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    files.write_bytes(folder / "manifest.json", files.checksummed_json(manifest | {"version": 6}))


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (unfinished, UsageError, "unfinished; continue it by the same `sketchforge render` again"),
        (without_samples, UsageError, "holds no samples"),
        (newer, SketchforgeError, "sketchforge-shards version 6, but this sketchforge reads version 5"),
        (lambda folder: folder.mkdir(), UsageError, "expected shards made by `sketchforge render`"),
        (lambda folder: None, UsageError, "expected shards made by `sketchforge render`"),
    ],
)
def test_sets_that_cannot_be_trained_on(tmp_path, make, error, message, remote):
    make(tmp_path / "out")
    with pytest.raises(error) as raised:
        open_shards(f"{tmp_path}/out/{{}}" if remote else tmp_path / "out")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path}/out"), "where it is, not where a copy was"


ALTERED = "for 00001.tar; it was altered, restore it"
IMPOSSIBLE = "manifest.json: shards: missing or not as a manifest has it"
FOREIGN = [
    ({"name": "00001.tar; touch hacked"}, ALTERED),
    ({"name": "a\nb"}, ALTERED),
    ({"name": "00000.tar"}, ALTERED),
    ({"name": "../00001.tar"}, ALTERED),
    ({"name": "/etc/passwd"}, ALTERED),
    ({"sha256": "../" * 5}, ALTERED),
    ({"sha256": "A" * 64}, ALTERED),
    ({"samples": -1}, IMPOSSIBLE),
    ({"samples": 10**12}, IMPOSSIBLE),
    ({"bytes": -1}, IMPOSSIBLE),
    ({"bytes": 0}, IMPOSSIBLE),
]


@pytest.mark.parametrize("source", ["{own}", "pipe:cat '{own}'/{{}}"], ids=["local", "remote"])
@pytest.mark.parametrize(("change", "message"), FOREIGN)
def test_a_manifest_has_no_say_in_paths_and_commands(own, change, message, source):
    manifest = json.loads((own / "manifest.json").read_text())
    manifest["shards"][1] |= change
    files.write_bytes(own / "manifest.json", files.checksummed_json(manifest))
    with pytest.raises(SketchforgeError) as error:
        open_shards(source.format(own=own))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_shard_listed_twice_is_one_too_many(own):
    manifest = json.loads((own / "manifest.json").read_text())
    manifest["shards"].append(manifest["shards"][0])
    files.write_bytes(own / "manifest.json", files.checksummed_json(manifest))
    with pytest.raises(SketchforgeError, match=IMPOSSIBLE):
        open_shards(own)


def test_a_set_of_many_sizes_or_too_few_sketches_is_refused(tmp_path):
    shards = open_shards(make_set(tmp_path / "keep", fit="keep"))
    assert shards.side is None
    with pytest.raises(UsageError, match="--fit keep, its images have many sizes; render with --fit crop"):
        shards.require(sketches=2)
    shards = open_shards(make_set(tmp_path / "out"))
    assert (shards.side, shards.styles, shards.num_samples) == (SIDE, STYLES, 14)
    assert shards.require(sketches=3) is shards
    for refusing in (lambda: shards.require(sketches=4), lambda: dataset(shards, num_sketches=4)):
        with pytest.raises(UsageError, match="3 sketches per image, needed are 4; render with more --check"):
            refusing()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("pipe:cat out/manifest.json", "does not say where the file name goes"),
        ("pipe:exit 7 # {}", "could not be fetched in 5 tries (its command ended with status 7)"),
        ("pipe:nowhere {}", "could not be fetched (its command ended with status 127: "),
        ("pipe:echo 'no such bucket' >&2; false {}", "(its command ended with status 1: no such bucket)"),
        ("s9://bucket/out", "no file system is known by s9:"),
        ("nowhere", "no such folder"),
    ],
)
def test_sources_that_lead_nowhere_are_told_in_one_line(source, message):
    with pytest.raises(UsageError) as error:
        open_shards(source, policy=HASTY)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_url_without_a_manifest_is_told_in_one_line(served):
    url, _, root = served
    (root / "manifest.json").unlink()
    with pytest.raises(UsageError, match="manifest.json: could not be fetched .HTTP 404 .*; try") as error:
        open_shards(url)
    assert str(error.value).startswith(url)


def test_a_cache_that_cannot_be(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: a file; the cache needs a folder"):
        open_shards(f"{folder}/{{}}", tmp_path / "file")
    with pytest.raises(UsageError, match="keeps 1 shard, but the order uses 2 at once"):
        dataset(f"{folder}/{{}}", keep=1)
    with pytest.raises(ValueError, match="keep=0"):
        open_shards(f"{folder}/{{}}", keep=0)


def test_numbers_that_make_no_sense(folder):
    data = dataset(folder)
    for wrong in ({"batch_size": 0}, {"start_step": -1}, {"num_steps": -1}, {"workers": -1}):
        with pytest.raises(ValueError, match="expected none below 0"):
            batches(data, **{"batch_size": 1, "start_step": 0, "num_steps": 1} | wrong)
    with pytest.raises(ValueError, match="rank=2: expected 0 to 1"):
        batches(data, 1, 0, 1, rank=2, world=2)
    with pytest.raises(ValueError, match="other shard sizes"):
        ShardDataset(data.shards, SampleOrder([3], 0), MAKE)


# On the way to the device.


def test_prefetch_passes_batches_on_and_normalises_pixels(folder):
    floats = dataset(folder)
    pixels = dataset(folder, functools.partial(pair_pixels, size=SIDE, seed=0))
    expected = list(batches(floats, 2, 0, 4))
    for data in (floats, pixels):
        prefetch = DevicePrefetch(batches(data, 2, 0, 4), torch.device("cpu"))
        assert len(prefetch) == 4
        for one, other in zip(expected, prefetch, strict=True):
            assert_same(one, other)


def test_pairs_made_on_the_device_are_those_that_workers_make(folder):
    """All else of the batch as well; `test_pairs.py` looks at the images more closely."""
    device = torch.device("cpu")
    by_workers = batches(dataset(folder, functools.partial(pair_pixels, size=12, seed=4)), 3, 2, 4)
    there = batches(dataset(folder, stored_pair), 3, 2, 4)
    for one, other in zip(
        DevicePrefetch(by_workers, device), DevicePrefetch(there, device, PairBatches(12, 4)), strict=True
    ):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert (value.dtype, value.shape) == (other[name].dtype, other[name].shape)
            assert other[name].is_contiguous()
            torch.testing.assert_close(other[name], value, rtol=0, atol=1.01 / 127.5)


def test_prefetch_knows_how_long_it_waited(monkeypatch):
    clock = iter([10.0, 12.5, 20.0, 20.5, 30.0, 30.0])
    monkeypatch.setattr("sketchforge.data.prefetch.time.perf_counter", lambda: next(clock))
    prefetch = DevicePrefetch([{"x": torch.ones(1)}, {"x": torch.ones(1), "name": "n"}], torch.device("cpu"))
    waits = [prefetch.waited for _ in prefetch]
    assert waits == [2.5, 0.5]
    assert prefetch.waited == 0


@pytest.mark.gpu
def test_prefetch_to_cuda_gives_what_the_loader_has(folder):
    data = dataset(folder, functools.partial(pair_pixels, size=SIDE, seed=0))
    device = torch.device("cuda")
    prefetch = DevicePrefetch(batches(data, 2, 0, 6), device)
    for one, other in zip(batches(dataset(folder), 2, 0, 6), prefetch, strict=True):
        assert all(value.is_cuda for value in other.values())
        for name, value in one.items():
            torch.testing.assert_close(other[name].cpu(), value)


@pytest.mark.gpu
@pytest.mark.parametrize("workers", [0, 2])
def test_pairs_made_on_a_gpu_are_those_of_a_cpu(folder, workers):
    device, move = torch.device("cuda"), PairBatches(12, 4)
    data = dataset(folder, stored_pair)
    here = DevicePrefetch(batches(data, 3, 0, 20), torch.device("cpu"), move)
    there = DevicePrefetch(batches(data, 3, 0, 20, workers=workers, pin_memory=True), device, move)
    for one, other in zip(here, there, strict=True):
        assert all(value.is_cuda for value in other.values())
        for name, value in one.items():
            torch.testing.assert_close(other[name].cpu(), value, rtol=0, atol=1.01 / 127.5)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_workers_neither_see_ctrl_c_nor_speak_of_it(folder, capfd):
    before = signal.getsignal(signal.SIGINT)
    loader = iter(batches(dataset(folder, _ignores_ctrl_c), 1, 0, 30, workers=2))
    assert next(loader)["ignores"]
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker.pid, signal.SIGINT)  # as the terminal does to all of the group
    assert len(list(loader)) == 29
    assert capfd.readouterr().err == ""
    assert signal.getsignal(signal.SIGINT) is before


def test_a_dead_worker_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(loader_module, "CHECK_SECONDS", 0.2)
    loader = iter(batches(dataset(folder, _deadly), 1, 0, 30, workers=1))
    with pytest.raises(SketchforgeError, match="a process that reads samples ended with status 3") as error:
        for _ in loader:
            pass
    assert "\n" not in str(error.value)


def test_a_worker_killed_is_one_line_that_says_what_to_lower(folder, monkeypatch):
    monkeypatch.setattr(loader_module, "CHECK_SECONDS", 0.2)
    with pytest.raises(SketchforgeError) as error:
        list(batches(dataset(folder, _killed), 1, 0, 30, workers=1))
    assert "was killed by signal 9, out of memory as a rule; lower --workers" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="POSIX signals")
def test_the_death_of_a_worker_interrupts_nothing_but_the_wait_for_a_batch(folder):
    before = signal.getsignal(signal.SIGCHLD)
    loader = iter(batches(dataset(folder), 1, 0, 30, workers=1))
    next(loader)
    assert signal.getsignal(signal.SIGCHLD) is before


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("_fails", "reading samples failed: KeyError: 'no such thing' ("),
        ("_out_of_memory", "no memory left to read samples; lower --workers or --batch-size"),
    ],
)
def test_whatever_fails_where_samples_are_read_is_one_line(folder, workers, make, message):
    with pytest.raises(SketchforgeError) as error:
        list(batches(dataset(folder, globals()[make]), 1, 0, 5, workers=workers))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_wait_is_told_of_and_can_be_ended(folder, tmp_path, monkeypatch):
    """A process that hangs, as on a mount that does not answer, and is waited for no longer."""
    monkeypatch.setattr(loader_module, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(loader_module, "PATIENCE", 0.3)
    data = dataset(folder, functools.partial(_hangs, note=tmp_path / "hanging"))
    loader = iter(batches(data, 1, 0, 30, workers=1))
    others = {*multiprocessing.active_children()}

    told = []

    def interrupt(record):
        if (tmp_path / "hanging").exists():  # not while the process starts
            told.append(record.getMessage())
            raise KeyboardInterrupt

    monkeypatch.setattr(logging.getLogger("sketchforge.data.loader"), "filters", [interrupt])
    with pytest.raises(KeyboardInterrupt):
        for _ in loader:
            pass
    assert not {*multiprocessing.active_children()} - others
    (text,) = told
    assert data.shards.address(data.order[HANGING_AT][0]) in text
    assert "Ctrl-C" in text


def test_warnings_of_workers_are_logged_here(folder, tmp_path, caplog):
    own, shards = shlex.quote(str(tmp_path)), shlex.quote(str(folder))
    source = f"pipe:cd {own}; test -e {{}} || {{ touch {{}}; exit 3; }}; cat {shards}/{{}}"
    data = dataset(open_shards(source, policy=FetchPolicy(first_pause=0)))
    assert len(caplog.messages) == 1, "of the manifest"
    assert len(list(batches(data, 2, 0, 7, workers=1))) == 7
    assert len(caplog.messages) == 1 + len({data.order[position][0] for position in range(14)})
    assert all("its command ended with status 3; try 2 of 5 in 0 s" in text for text in caplog.messages)


def _ignores_ctrl_c(image, sketches, key):
    return {"ignores": signal.getsignal(signal.SIGINT) is signal.SIG_IGN}


def _fails(image, sketches, key):
    if key == 3:
        raise KeyError("no such thing")
    return {}


def _out_of_memory(image, sketches, key):
    return {"huge": np.empty(1 << 60, np.uint8)} if key == 3 else {}


def _hangs(image, sketches, key, note):
    if key == HANGING_AT:
        note.touch()
        time.sleep(1000)
    return {}


def _killed(image, sketches, key):
    if key == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _deadly(image, sketches, key):
    if key == 3:
        os._exit(3)
    return {}

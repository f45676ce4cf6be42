"""From shards to training batches: samples by random access, in the order of `order.py`.

Of a sample only the members that are wanted are read and decoded. The same order, seed and options give the
same samples bit for bit, whatever the number of workers, and from any step on.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import tarfile
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.pairs import normalized
from sketchforge.seeding import numpy_generator, torch_generator
from sketchforge.shards import schema
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.order import OrderedBatches, SampleOrder
from sketchforge.shards.reader import StoredSample
from sketchforge.shards.remote import RemoteFolder, ShardCache, is_remote
from sketchforge.signals import held

OPEN_SHARDS = 64  # files that a process keeps open, with where their members lie
KEPT_SHARDS = 64  # of a remote set, on the local disk

Make = Callable[..., Mapping[str, Any]]


class DamagedError(SketchforgeError):
    """A shard or a sample that is not as the manifest says."""


@dataclass(frozen=True)
class ShardSet:
    """A finished set of shards; made by `open_shards`."""

    source: str  # as messages name it
    manifest: Mapping[str, Any]
    folder: Path | None = None  # where the shards lie; None: elsewhere
    remote: RemoteFolder | None = None
    cache: ShardCache | None = None

    @property
    def shard_sizes(self) -> list[int]:
        """Samples per shard."""
        return [entry["samples"] for entry in self.manifest["shards"]]

    @property
    def num_samples(self) -> int:
        return sum(self.shard_sizes)

    @property
    def styles(self) -> list[str]:
        """What the sketches of every sample are, in order."""
        return self.manifest["styles"]

    @property
    def size(self) -> int | None:
        """Side of the square pictures in pixels; None where every one has a size of its own."""
        options = self.manifest["options"]
        return None if options.get("fit") == "keep" else options.get("size")

    def require(self, sketches: int = 1, one_size: bool = True) -> ShardSet:
        """This set; UsageError where it has fewer sketches per image, or pictures of many sizes."""
        if len(self.styles) < sketches:
            raise UsageError(
                f"{self.source}: {len(self.styles)} sketches per image, needed are {sketches}; render with "
                "more --checkpoints"
            )
        if one_size and self.size is None:
            raise UsageError(
                f"{self.source}: was made with --fit keep, its pictures have many sizes; render with --fit "
                "crop or pad"
            )
        return self

    def address(self, shard: int) -> str:
        """Where a shard lies, for messages."""
        name = self.manifest["shards"][shard]["name"]
        return self.remote.address(name) if self.remote else str(self.folder / name)

    def open(self, shard: int) -> BinaryIO:
        """A shard's tar, in full size. Raises DamagedError where it is missing or another one."""
        entry = self.manifest["shards"][shard]
        if self.remote and self.cache:
            try:
                return self.cache.open(self.remote, entry["name"], entry["bytes"], entry["sha256"])
            except SketchforgeError as error:
                raise DamagedError(str(error)) from error
        try:
            # Unbuffered: members are read in one piece, and headers are all that is read of the others.
            file = open(self.address(shard), "rb", buffering=0)
        except OSError as error:
            raise self.damaged(shard, f"cannot be read ({error.strerror or error})") from error
        found = os.fstat(file.fileno()).st_size
        if found != entry["bytes"]:
            file.close()
            raise self.damaged(shard, f"{found} bytes, but the manifest says {entry['bytes']}")
        return file

    def damaged(self, shard: int, what: str, key: str | None = None) -> DamagedError:
        place = self.address(shard) if key is None else f"{self.address(shard)}: {key}"
        return DamagedError(f"{place}: {what}; `sketchforge verify` lists all that is wrong with the folder")


def open_shards(source: str | Path, cache: Path | None = None, keep: int = KEPT_SHARDS) -> ShardSet:
    """The shards that `sketchforge render` left in a folder, here or elsewhere.

    source: a folder, the URL of one, or a text with {} for the file name that webdataset's opener reads, such
    as `pipe:ssh host cat out/{}`. Shards from elsewhere are kept in `cache`, at most `keep` at a time; None:
    in a temporary folder that goes with the set, at the latest when this process ends.

    Raises UsageError when there is no manifest, the set is unfinished or holds no sample, SketchforgeError
    when the manifest is damaged or of a newer version.
    """
    if not is_remote(source):
        folder = Path(source)
        return _checked(ShardSet(str(folder), read_manifest(folder), folder))
    if keep < 1:
        raise ValueError(f"keep={keep}: expected 1 shard or more")
    remote = RemoteFolder(str(source))
    if cache is not None and cache.exists() and not cache.is_dir():
        raise UsageError(f"{cache}: a file; the cache needs a folder")
    shards = _checked(ShardSet(remote.source, _remote_manifest(remote), None, remote))
    folder = Path(tempfile.mkdtemp(prefix="sketchforge-")) if cache is None else cache
    shards = replace(shards, cache=ShardCache(folder, keep))
    if cache is None:
        weakref.finalize(shards, _remove, folder, os.getpid())
    return shards


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a forked child of it
        shutil.rmtree(folder, ignore_errors=True)


def _remote_manifest(remote: RemoteFolder) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sketchforge-") as name:
        path = Path(name) / schema.MANIFEST
        with open(path, "wb") as file:
            try:
                remote.fetch(schema.MANIFEST, file)
            except SketchforgeError as error:
                raise UsageError(f"{error}; expected shards made by `sketchforge render`") from error
        try:
            return read_manifest(path.parent)
        except SketchforgeError as error:
            raise type(error)(str(error).replace(str(path), remote.address(schema.MANIFEST))) from error


def _checked(shards: ShardSet) -> ShardSet:
    if not shards.manifest["complete"]:
        raise UsageError(f"{shards.source}: unfinished; continue it by the same `sketchforge render` again")
    for number, entry in enumerate(shards.manifest["shards"]):
        # Names become parts of paths, URLs and shell commands: a manifest from elsewhere has no say in them.
        name = f"{schema.shard_name(number)}.tar"
        if entry["name"] != name or not re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
            raise SketchforgeError(
                f"{shards.source}: its {schema.MANIFEST} has {entry['name']!r} with SHA-256 "
                f"{entry['sha256'][:64]!r} for {name}; it was altered, restore it"
            )
    if not shards.num_samples:
        raise UsageError(f"{shards.source}: holds no samples; see its outcomes with `sketchforge inspect`")
    return shards


class OpenShard:
    """A shard's file and where its members lie; the tar's headers are read once, by `__init__`.

    Raises DamagedError when the tar cannot be read or does not hold the samples that the manifest says.
    """

    def __init__(self, shards: ShardSet, number: int) -> None:
        self._shards, self._number = shards, number
        # Columns of the table below by the end of a member's name.
        members = schema.sample_members("", len(shards.styles), captioned=False)[:-1]
        self._columns = {end: column for column, end in enumerate(members)}
        self._file = shards.open(number)
        try:
            self._keys, self._spans = self._read_headers()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def read(self, place: int, sketches: Iterable[int]) -> StoredSample:
        """The sample at `place`, of its sketches only these, in this order; no other bytes are read.

        Raises DamagedError when one is missing, cannot be decoded, or has another size than the others.
        """
        key = self._keys[place]
        image = self._picture(place, schema.image_member(""), cv2.IMREAD_COLOR)
        names = [schema.sketch_member("", index) for index in sketches]
        drawn = [self._picture(place, name, cv2.IMREAD_GRAYSCALE) for name in names]
        height, width = image.shape[:2]
        size = self._shards.size
        if size is not None and (height, width) != (size, size):
            expected = f"expected {size} x {size}"
            raise self._shards.damaged(self._number, f"{width} x {height} pixels, {expected}", key)
        for sketch in drawn:
            if sketch.shape != (height, width):
                found = f"a sketch of {sketch.shape[1]} x {sketch.shape[0]} pixels"
                raise self._shards.damaged(self._number, f"{found}, the image has {width} x {height}", key)
        return StoredSample(key, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), tuple(drawn))

    def _picture(self, place: int, end: str, how: int) -> np.ndarray:
        name = f"{self._keys[place]}{end}"
        offset, size = (int(number) for number in self._spans[place, self._columns[end]])
        if offset < 0:
            raise self._shards.damaged(self._number, "is missing", name)
        try:
            self._file.seek(offset)
            data = self._file.read(size)
        except OSError as error:
            cause = error.strerror or error
            raise self._shards.damaged(self._number, f"cannot be read ({cause})", name) from error
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
        if picture is None:
            raise self._shards.damaged(self._number, "cannot be decoded", name)
        return picture

    def _read_headers(self) -> tuple[list[str], np.ndarray]:
        """The samples' keys, in order, and (offset, bytes) of their pictures as int64 (samples, columns, 2),
        -1 for none. Keys end at the first dot, as WebDataset has it."""
        expected = self._shards.shard_sizes[self._number]
        keys: list[str] = []
        spans = np.full((expected + 1, len(self._columns), 2), -1, np.int64)  # one more than there should be
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                while len(keys) <= expected and (info := tar.next()) is not None:
                    tar.members.clear()  # tarfile would keep every header
                    key, dot, end = info.name.partition(".")
                    if not keys or keys[-1] != key:
                        keys.append(key)
                    if (column := self._columns.get(dot + end)) is not None:
                        spans[len(keys) - 1, column] = info.offset_data, info.size
        except (OSError, tarfile.TarError) as error:
            raise self._shards.damaged(self._number, f"cannot be read as a tar ({error})") from error
        if len(keys) != expected:
            count = len(keys) if len(keys) < expected else f"more than {expected}"
            raise self._shards.damaged(self._number, f"{count} samples, but the manifest says {expected}")
        return keys, spans


class ShardDataset(Dataset):
    """Training samples by their position in the order: dataset[position] -> dict.

    make(image, sketches, key=position) turns an image (uint8 H×W×3 RGB) and its sketches (uint8 H×W) into
    tensors. It is a pure function, such as `functools.partial(training_pair, size=256, seed=0)`, and can be
    pickled where there are workers.
    num_sketches: how many of a sample's sketches it gets, drawn at random without repetition.

    A sample is what `make` returns and, as int, "index" (number of the image in the set), "label" and "group"
    (class label within the running number of the group, see SampleOrder), "position", and "skipped": 1 where
    the sample of this position could not be used and the next good one in the order stands in for it, else 0.

    skip_bad: do so; otherwise DamagedError names shard, key and what is wrong. A shard that could not be
    opened once counts as missing for the rest of this process. UsageError when the set has too few sketches,
    SketchforgeError when no sample is good.
    """

    def __init__(
        self, shards: ShardSet, order: SampleOrder, make: Make, num_sketches: int = 2, skip_bad: bool = False
    ) -> None:
        self.shards = shards.require(sketches=num_sketches, one_size=False)
        if list(order.shard_sizes) != shards.shard_sizes:
            raise ValueError("order: made for other shard sizes than this set's")
        pool = min(order.pool, len(shards.shard_sizes))
        if shards.cache and shards.cache.keep < pool:
            raise UsageError(
                f"the cache keeps {shards.cache.keep} shards, but the order uses {pool} at once; keep at "
                "least as many"
            )
        self.order, self.make, self.num_sketches, self.skip_bad = order, make, num_sketches, skip_bad
        self._open: dict[int, OpenShard] = {}
        self._damaged: dict[int, str] = {}  # shards that cannot be used at all, and why

    def __getitem__(self, position: int) -> dict[str, Any]:
        # What is drawn first is read: the other sketches stay on the disk.
        draw = numpy_generator(self.order.seed, "sample sketches", position)
        sketches = [int(sketch) for sketch in draw.permutation(len(self.shards.styles))[: self.num_sketches]]
        taken, bad = position, set[int]()
        while True:
            shard, place = self.order[taken]
            try:
                stored = self._opened(shard).read(place, sketches)
                break
            except DamagedError as error:
                if not self.skip_bad:
                    raise
                # Nothing is remembered of samples: with other sketches drawn, this one may do.
                bad.add(self.order.index_of(taken))
                if len(bad) == self.order.num_samples:
                    raise SketchforgeError(
                        f"{self.shards.source}: none of its {len(bad)} samples can be used; {error}"
                    ) from error
            taken += 1
        group, label = self.order.group_of(taken)
        about = {"index": self.order.index_of(taken), "label": label, "group": group, "position": position}
        made = self.make(stored.image, stored.sketches, key=position)
        return {**made, **about, "skipped": int(taken != position)}

    def _opened(self, shard: int) -> OpenShard:
        if (damage := self._damaged.get(shard)) is not None:
            raise DamagedError(damage)
        try:
            opened = self._open.pop(shard, None) or OpenShard(self.shards, shard)
        except DamagedError as error:
            self._damaged[shard] = str(error)  # not fetched again for every sample of it
            raise
        while len(self._open) >= OPEN_SHARDS:
            self._open.pop(next(iter(self._open))).close()  # the one longest unused
        self._open[shard] = opened
        return opened

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}  # files stay with their process


def batches(
    dataset: Dataset,
    batch_size: int,
    start_step: int,
    num_steps: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader:
    """The batches of steps start_step … start_step + num_steps - 1 for one rank, as dicts of stacked tensors.

    A position's sample is the same whatever `workers` is (processes; 0: none, read when asked for), and so
    are the batches. Workers do not see Ctrl-C, which is the main process's to handle, and what goes wrong in
    one is raised as the SketchforgeError it is, one line. ValueError for numbers that make no sense.
    """
    if batch_size < 1 or start_step < 0 or num_steps < 0 or workers < 0:
        found = f"{batch_size=}, {start_step=}, {num_steps=}, {workers=}"
        raise ValueError(f"{found}: expected none below 0, and batches of 1 or more")
    if not 0 <= rank < world:
        raise ValueError(f"rank={rank}: expected 0 to {world - 1}, for there are {world}")
    return _Loader(
        _Reporting(dataset),
        batch_sampler=OrderedBatches(batch_size, start_step, num_steps, rank, world),
        collate_fn=_collate,
        num_workers=workers,
        pin_memory=pin_memory,
        multiprocessing_context=_worker_context() if workers else None,
        worker_init_fn=_start_worker if workers else None,
        generator=torch_generator(0, "loader"),  # nobody uses what is drawn from it
    )


@dataclass(frozen=True)
class _Failure:
    """An error on its way out of a worker: torch would make a page of it."""

    error: SketchforgeError


class _Reporting(Dataset):
    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitems__(self, positions: list[int]) -> list[Any] | _Failure:
        try:
            return [self.dataset[position] for position in positions]
        except SketchforgeError as error:
            return _Failure(error)


def _collate(samples: list[Any] | _Failure) -> Any:
    return samples if isinstance(samples, _Failure) else default_collate(samples)


class _Loader(DataLoader):
    def __iter__(self) -> Iterator[Any]:
        if self.num_workers:
            # It lets signals through when it starts, which must not happen in the block below.
            resource_tracker.ensure_running()
        with held(signal.SIGINT):  # workers inherit that it is held, until they ignore it
            batches = super().__iter__()
        while True:
            try:
                batch = next(batches, None)
            except (RuntimeError, ConnectionError, EOFError) as error:
                # The loader's own word for it, or a broken line to the process that has the tensors.
                lost = not isinstance(error, RuntimeError) or str(error).startswith("DataLoader worker (pid")
                if not (self.num_workers and lost):
                    raise
                raise SketchforgeError(
                    "a process that reads samples died, out of memory (or of shared memory, /dev/shm) as a "
                    "rule; try fewer --workers, or 0"
                ) from error
            if batch is None:
                return
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch


def _worker_context() -> multiprocessing.context.BaseContext:
    """Never fork this process: threads of torch or cv2 may hold locks. A fork server imports them once and
    uses them not; where there is none, every worker imports them for itself."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start_worker(number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)  # the processes are the parallelism; torch's loader sees to its own threads
    torch.set_num_threads(1)


class DevicePrefetch:
    """Batches on a device, the next one on its way while one is trained on.

    loader: batches as dicts; tensors go to the device, of them uint8 ones become float32 in [-1, 1] there
    (pictures travel at a quarter of the size), anything else stays as it is. On CUDA, copies run on a stream
    of their own from pinned memory.
    """

    def __init__(self, loader: Iterable[Mapping[str, Any]], device: torch.device) -> None:
        self._loader, self._device = loader, torch.device(device)
        self._waited = 0.0

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    @property
    def waited(self) -> float:
        """Seconds spent waiting for the loader since this was last asked."""
        waited, self._waited = self._waited, 0.0
        return waited

    def __iter__(self) -> Iterator[dict[str, Any]]:
        loader = iter(self._loader)
        if self._device.type != "cuda":
            while (batch := self._next(loader)) is not None:
                yield {name: self._moved(value) for name, value in batch.items()}
            return
        stream = torch.cuda.Stream(self._device)
        ahead = self._copied(self._next(loader), stream)
        while ahead is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(stream)
            for value in ahead.values():
                if isinstance(value, Tensor):
                    value.record_stream(current)  # or its memory might be given away while it is in use
            batch, ahead = ahead, self._copied(self._next(loader), stream)
            yield batch

    def _next(self, loader: Iterator[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        start = time.perf_counter()
        batch = next(loader, None)
        self._waited += time.perf_counter() - start
        return batch

    def _copied(self, batch: Mapping[str, Any] | None, stream: torch.cuda.Stream) -> dict[str, Any] | None:
        if batch is None:
            return None
        with torch.cuda.stream(stream):
            return {name: self._moved(value) for name, value in batch.items()}

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if self._device.type == "cuda" and value.device.type == "cpu" and not value.is_pinned():
            value = value.pin_memory()
        value = value.to(self._device, non_blocking=self._device.type == "cuda")
        return normalized(value) if value.dtype == torch.uint8 else value

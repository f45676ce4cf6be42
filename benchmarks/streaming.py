"""How fast `ae-train` gets its samples, beside reading and decoding alone, and beside a folder of images.

    python benchmarks/streaming.py [--cores 2] [--workers 0 1 2] [--train 64 256] [--samples 1020]
                                   [--rounds 5] [--json FILE]

Every part is timed in every round, one after the other, and ratios are of the same round, so that other work
on the machine weighs on all alike; reported are medians, in samples a second. The shards hold the built-in
photos at 256 pixels with ten sketches each, again and again under other keys. A sample is a photo and two of
its sketches, so each part reads the same members and decodes the same bytes. Processes are started, and files
read once, before the clock.

Training on a GPU, which augments there: the stream's work is order, reading, decoding, batches.

bound     as many processes as the loader has, each of which seeks, reads and decodes, and does nothing else.
          This is what the disk's cache and the decoders allow.
stream    the stream as `ae-train` has it for a GPU: batches of uint8, ready to be copied there.
folder    the usual way: a torch Dataset over a folder of the very same files, read with PIL, and torch's own
          DataLoader.

Training on a CPU at so many pixels, whose workers augment as well:

work      as `bound`, and each sample is augmented (`pair_pixels`).
augmented the stream as `ae-train` has it on a CPU: augmented, and made float32 in [-1, 1] by this process.
augmented folder  as `folder`, augmented by its workers, and made float32 as well.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sketchforge.data.augment import pair_pixels, stored_pair  # noqa: E402
from sketchforge.data.dataset import ShardDataset  # noqa: E402
from sketchforge.data.loader import batches  # noqa: E402
from sketchforge.data.order import SampleOrder  # noqa: E402
from sketchforge.data.prefetch import DevicePrefetch  # noqa: E402
from sketchforge.report.provenance import hardware  # noqa: E402
from sketchforge.shards import manifest as manifests  # noqa: E402
from sketchforge.shards import schema  # noqa: E402
from sketchforge.shards.reader import raw_samples  # noqa: E402
from sketchforge.shards.shard_set import ShardSet, open_folder, open_shards  # noqa: E402
from sketchforge.shards.writer import Record, write_shard  # noqa: E402
from sketchforge.storage.folder import folder_at  # noqa: E402
from sketchforge.utils.seeding import numpy_generator, torch_generator  # noqa: E402

SIZE, SKETCHES = 256, 2
PER_SHARD = 500
WARM = 4  # batches before the clock starts
CPU = torch.device("cpu")


def make_shards(folder: Path, samples: int) -> Path:
    """Render the built-in photos once; write them under other keys until there are so many samples."""
    once, out = folder / "once", folder / "shards"
    command = [sys.executable, "-m", "sketchforge", "render", "--size", str(SIZE), "--shards", str(once)]
    subprocess.run(
        [*command, "--tom", "builtin"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rendered = open_folder(once)
    stored = list(raw_samples(rendered, rendered.keys))
    out.mkdir()
    stats = []
    for number, start in enumerate(range(0, samples, PER_SHARD)):
        with write_shard(folder_at(out), number, "", "") as writer:
            for at in range(start, min(start + PER_SHARD, samples)):
                one = stored[at % len(stored)]
                metadata = one.metadata | {"key": f"{one.key}-{at}"}
                writer.add(Record(f"{one.key}-{at}", one.metadata["source"], 0, image=one.image,
                                  sketches=one.sketches, metadata=metadata))  # fmt: skip
        stats.append(writer.stats(schema.shard_name(number), "", ""))
    manifest = {**rendered.manifest, "num_shards": len(stats), "inputs": {"count": samples, "sha256": ""}}
    manifests.write_manifest(folder_at(out), manifests.finished_manifest(manifest, stats))
    return out


def unpack(shards: Path, folder: Path) -> Path:
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            tar.extractall(folder, filter="data")
    return folder


Job = tuple[str, list[tuple[int, int]]]  # a tar, and where in it a photo and sketches lie, as (offset, bytes)


def jobs_of(data: ShardDataset, count: int) -> list[Job]:
    """What the stream reads for its first positions."""
    members: list[list[tuple[int, int]]] = []
    for number in range(len(data.shards.shard_sizes)):
        with tarfile.open(data.shards.address(number)) as tar:
            spans: dict[str, list[tuple[int, int]]] = {}
            for info in tar:
                if info.name.endswith((".jpg", ".png")):
                    spans.setdefault(info.name.split(".")[0], []).append((info.offset_data, info.size))
            members += spans.values()
    found = []
    for position in range(count):
        index = data.order.index_of(position)
        shard, _ = data.order.place_of(index)
        chosen = [members[index][1 + sketch] for sketch in data.sketches_of(position)]
        found.append((data.shards.address(shard), [members[index][0], *chosen]))
    return found


class Reading:
    """Read and decode, and augment where `train` says a size: what a process of `bound` and `work` does."""

    def __init__(self, jobs: list[Job], train: int | None) -> None:
        self.jobs, self.train = jobs, train
        self.files: dict[str, Any] = {}

    def __call__(self, positions: range) -> None:
        for position in positions:
            path, (photo, *sketches) = self.jobs[position]
            file = self.files.get(path) or self.files.setdefault(path, open(path, "rb", buffering=0))
            image = cv2.cvtColor(self._decoded(file, photo, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            drawn = [self._decoded(file, span, cv2.IMREAD_GRAYSCALE) for span in sketches]
            if self.train is not None:
                pair_pixels(image, drawn, self.train, 0, position)

    @staticmethod
    def _decoded(file: Any, span: tuple[int, int], how: int) -> np.ndarray:
        file.seek(span[0])
        return cv2.imdecode(np.frombuffer(file.read(span[1]), np.uint8), how)


def _serve(reading: Reading, line: Any) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    while (positions := line.recv()) is not None:
        reading(positions)
        line.send(None)


def read_by(processes: int, reading: Reading, count: int, warm: int) -> float:
    """Samples a second of so many processes (0: this one)."""
    if not processes:
        reading(range(warm))
        start = time.perf_counter()
        reading(range(warm, warm + count))
        return count / (time.perf_counter() - start)
    context = multiprocessing.get_context("forkserver")
    lines, started = [], []
    for _ in range(processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(reading, theirs))
        process.start()
        lines.append(ours)
        started.append(process)
    spent = 0.0
    for share in (warm, count // processes):
        start = time.perf_counter()
        for number, line in enumerate(lines):
            line.send(range(number * share, (number + 1) * share))
        for line in lines:
            line.recv()
        spent = time.perf_counter() - start
    for line, process in zip(lines, started, strict=True):
        line.send(None)
        process.join()
    return count // processes * processes / spent


def drained(loader: Iterable[Any], num_batches: int, batch_size: int) -> float:
    """Samples a second of a loader with more batches than are taken, so that it is at work all the time."""
    stream = iter(loader)
    for _ in islice(stream, WARM):
        pass
    start = time.perf_counter()
    for _ in islice(stream, num_batches):
        pass
    return num_batches * batch_size / (time.perf_counter() - start)


class ImageFolder(Dataset):
    """KEY.jpg with KEY.sketch0.png … in a folder, read with PIL."""

    def __init__(self, folder: Path, make: Callable[..., Any]) -> None:
        self.folder, self.make = folder, make
        self.images = sorted(path.name for path in folder.glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> dict[str, Any]:
        from PIL import Image

        key = self.images[number].removesuffix(".jpg")
        chosen = numpy_generator(0, "folder", number).permutation(10)[:SKETCHES]
        with Image.open(self.folder / f"{key}.jpg") as file:
            image = np.array(file.convert("RGB"))
        drawn = []
        for sketch in chosen:
            with Image.open(self.folder / f"{key}.sketch{sketch}.png") as file:
                drawn.append(np.array(file.convert("L")))
        return dict(self.make(image, drawn, key=number))


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)


def one_round(
    shards: ShardSet, folder: Path, workers: int, train: int | None, count: int, batch_size: int
) -> dict[str, float]:
    """Samples a second of every part, for training on a CPU at so many pixels or (None) on a GPU."""
    num_batches = count // batch_size
    steps = WARM + num_batches + 4 * max(workers, 1)
    make = stored_pair if train is None else partial(pair_pixels, size=train, seed=0)
    data = ShardDataset(shards, SampleOrder(shards.shard_sizes, 0), make, SKETCHES)
    stream = batches(data, batch_size, 0, steps, workers=workers)
    usual = DataLoader(
        ImageFolder(folder, make), batch_size, shuffle=True, num_workers=workers, drop_last=True,
        generator=torch_generator(0, "folder"), worker_init_fn=_one_thread,
        multiprocessing_context="forkserver" if workers else None,
    )  # fmt: skip
    fitting = min(num_batches, len(usual) - WARM - 4 * max(workers, 1))
    warm = WARM * batch_size
    reading = read_by(workers, Reading(jobs_of(data, max(workers, 1) * (warm + count)), train), count, warm)
    if train is None:
        return {
            "bound": reading,
            "stream": drained(stream, num_batches, batch_size),
            "folder": drained(usual, fitting, batch_size),
        }
    return {
        "work": reading,
        "augmented": drained(DevicePrefetch(stream, CPU), num_batches, batch_size),
        "augmented folder": drained(DevicePrefetch(usual, CPU), fitting, batch_size),
    }


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--train", type=int, nargs="*", default=[64, 256], help="sides that are trained on by a CPU"
    )
    parser.add_argument(
        "--samples", type=int, default=1020, help="in the shards; each measurement takes 0.8 of them"
    )
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    torch.set_num_threads(asked.cores)
    cv2.setNumThreads(1)
    count = asked.samples * 4 // 5 // asked.batch_size * asked.batch_size
    rounds: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        made = make_shards(Path(name), asked.samples)
        folder = unpack(made, Path(name) / "folder")
        shards = open_shards(made)
        for number in range(asked.rounds):
            for train in (None, *asked.train):
                for workers in asked.workers:
                    case = f"{'GPU' if train is None else f'CPU, {train} px'}, {workers} workers"
                    found = one_round(shards, folder, workers, train, count, asked.batch_size)
                    rounds.setdefault(case, []).append(found)
                    rates = json.dumps({name: round(rate) for name, rate in found.items()})
                    print(f"round {number + 1}, {case}: {rates}", file=sys.stderr, flush=True)
    found = {
        "cases": {case: summary(measured) for case, measured in rounds.items()},
        "stored_size": SIZE, "samples": asked.samples, "batch_size": asked.batch_size, "cores": asked.cores,
        "rounds": asked.rounds, "opencv": cv2.__version__,
        "machine": hardware(CPU),
    }  # fmt: skip
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over rounds: samples a second, and ratios within a round."""
    most, ours, usual = rounds[0]
    return {
        "samples_a_second": {
            name: round(statistics.median(one[name] for one in rounds)) for name in rounds[0]
        },
        "ratios": {
            f"{ours} / {other}": float(f"{statistics.median(one[ours] / one[other] for one in rounds):.3g}")
            for other in (most, usual)
        },
    }


if __name__ == "__main__":
    main()

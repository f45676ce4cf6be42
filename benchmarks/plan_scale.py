"""What planning costs where there are millions of images: index, plan, verify, inspect, gallery.

    python benchmarks/plan_scale.py [--tars 1000] [--images 1000] [--verified 100] [--synthetic 10000] [--work DIR]

Makes `--tars` tars of `--images` samples each (image, caption and metadata, a kilobyte a member) and measures, each
step in a process of its own:

plan, reading headers     `render --dry-run` of all of them without an index
index                     made with 1 and with 2 processes
plan, from the index      the same `--dry-run` with it; then shuffled with a split and a limit, and as one of 100 tasks
verify, inspect, gallery  of a shard folder of as many shards and samples (a sketch each); `verify` of `--verified` shards
manifest                  written and read, of 100,000 shards
plan, synthetic           from an index of `--synthetic` tars that hold nothing, 1,000 images each

seconds are wall-clock, CPU those of the process and its children, MB the highest resident memory (VmHWM) above that
of the same process after its imports; files that are mapped count. Needs about 8 GB of disk for a million images, more
than which has to be free; all is removed at the end. Linux only.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SPARE_BYTES = 8 << 30  # that stay free on the disk
SAMPLE_BYTES = 3 * 1024  # of three members with their headers, in a tar
BLOCK = 512
TASKS = 100


def write_tars(folder: Path, num_tars: int, num_images: int) -> None:
    """Tars as img2dataset writes them: KEY.jpg, KEY.txt and KEY.json, whose images are one of 16 x 16 pixels."""
    contents = {"jpg": tiny_jpeg(), "txt": b"a caption", "json": b"{}"}
    folder.mkdir()
    for tar in range(num_tars):
        with open(folder / f"{tar:05d}.tar", "wb") as file:
            for number in range(num_images):
                for ending, data in contents.items():
                    file.write(header(f"{tar:05d}{number:04d}.{ending}", len(data)))
                    file.write(data + b"\0" * (-len(data) % BLOCK))
            file.write(bytes(2 * BLOCK))


def header(name: str, size: int) -> bytes:
    """A member's USTAR header; tarfile's own take several times as long."""
    text = name.encode()
    start = b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"0" * 11 + b"\0"
    rest = b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
    checksum = sum(text) + sum(start) + 8 * 32 + sum(rest)
    return text + bytes(100 - len(text)) + start + b"%06o\0 " % checksum + rest


def tiny_jpeg() -> bytes:
    import numpy as np

    from sketchforge.images.encode import encode_jpeg

    return encode_jpeg(np.zeros((16, 16, 3), np.uint8))[: 2 * BLOCK]


def write_shards(folder: Path, num_shards: int, num_images: int) -> None:
    """A shard folder as `render` writes it, of samples that are all alike but for their keys."""
    import numpy as np
    from PIL import Image

    from sketchforge.images.encode import encode_jpeg
    from sketchforge.shards.card import write_card
    from sketchforge.shards.manifest import fingerprint_of, finished_manifest, new_manifest, write_manifest
    from sketchforge.shards.writer import Record, read_stats, write_shard

    png = io.BytesIO()
    Image.fromarray(np.full((16, 16), 255, np.uint8)).convert("1").save(png, "PNG")
    image = encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    options = {"method": "canny", "fit": "crop", "sketch_format": "png1", "size": 16}
    total = num_shards * num_images
    manifest = new_manifest(
        options, ["canny"], {}, {"count": total, "sha256": "0" * 64}, num_shards, ["numpy"]
    )
    sample = {name: 16 for name in ("width", "height", "original_width", "original_height")}
    sample |= {"sha256": "", "method": "canny", "styles": ["canny"], "hands": "[]", "meta": "{}"}
    for shard in range(num_shards):
        with write_shard(folder, shard, fingerprint_of(manifest), "") as writer:
            for number in range(num_images):
                key = f"{shard:05d}{number:04d}"
                metadata = sample | {"source": f"{key}.jpg"}
                writer.add(
                    Record(
                        key,
                        f"{key}.jpg",
                        len(image),
                        image=image,
                        sketches=[png.getvalue()],
                        metadata=metadata,
                    )
                )
    manifest = finished_manifest(manifest, (read_stats(folder, shard) for shard in range(num_shards)))
    write_card(folder, manifest)
    write_manifest(folder, manifest)


def write_synthetic_index(folder: Path, num_tars: int, num_images: int = 1000) -> None:
    """An index of tars that are but holes, as `sketchforge index` would write it if they were full."""
    import numpy as np

    from sketchforge.images.decode import REASONS
    from sketchforge.images.sources.index_file import TAR_ROWS, write_index
    from sketchforge.images.sources.keys import readable_extensions
    from sketchforge.images.sources.source import FileState

    folder.mkdir()
    names, states = [], []
    for tar in range(num_tars):
        path = folder / f"{tar:05d}.tar"
        with open(path, "wb") as file:
            file.truncate(num_images * SAMPLE_BYTES)
        states.append(FileState.now(str(path)))
        names.append(
            "".join(
                f"{tar:05d}{number:04d}\0{tar:05d}.tar/{tar:05d}{number:04d}.jpg\n"
                for number in range(num_images)
            ).encode()
        )
    total, width = num_tars * num_images, len(names[0]) // num_images
    columns = {
        "names.blob": np.frombuffer(b"".join(names), np.uint8),
        "names.ends": np.arange(total + 1) * width,
        "files.blob": np.frombuffer("".join(f"{tar:05d}.tar" for tar in range(num_tars)).encode(), np.uint8),
        "files.ends": np.arange(num_tars + 1) * len("00000.tar"),
        "files.sizes": np.array([state.size for state in states]),
        "files.modified": np.array([state.modified for state in states]),
        "files.gzipped": np.zeros(num_tars, np.uint8),
        TAR_ROWS: np.arange(num_tars + 1) * num_images,
    }
    number = np.repeat(np.arange(num_tars, dtype=np.int32), num_images)
    for place, kind in enumerate(("image", "caption", "metadata")):
        columns[f"{kind}.number"] = number
        columns[f"{kind}.offset"] = (
            np.arange(total) % num_images * SAMPLE_BYTES + BLOCK + place * SAMPLE_BYTES // 3
        )
        columns[f"{kind}.size"] = np.full(total, 400)
    record = {"folder": ".", "source": "*.tar", "is_folder": False, "prefix_keys": False, "listings": {}}
    record |= {"extensions": list(readable_extensions()), "reasons": list(REASONS)}
    write_index(folder / "sketchforge.index", columns, record | {"passed_over": [{}] * num_tars})


def write_manifest_of(folder: Path, num_shards: int) -> None:
    """A manifest of so many shards, none of which is there."""
    from sketchforge.shards.manifest import finished_manifest, new_manifest, write_manifest

    def all_stats() -> Iterator[dict[str, Any]]:
        for number in range(num_shards):
            file = {"bytes": 300_000_000 + number, "sha256": f"{number:064x}"}
            yield {"shard": f"{number:05d}", "outcomes": {"ok": 1000}, "tar": file, "sidecar": file}

    options = {"method": "canny", "fit": "crop", "sketch_format": "png1", "size": 256}
    inputs = {"count": 1000 * num_shards, "sha256": "0" * 64}
    manifest = new_manifest(options, ["canny"], {}, inputs, num_shards, ["numpy"])
    write_manifest(folder, finished_manifest(manifest, all_stats()))


def work(task: dict[str, Any]) -> None:
    """What a process of a step does; prints its seconds and memory as JSON."""
    import numpy  # noqa: F401  part of what every step imports

    from sketchforge.images.sources.make_index import make_index
    from sketchforge.options import GalleryOptions, InspectOptions, RenderOptions
    from sketchforge.render.render import preview
    from sketchforge.report.gallery.gallery import gallery
    from sketchforge.report.gallery.inspect import inspect
    from sketchforge.shards.manifest import read_manifest
    from sketchforge.shards.verify import verify
    from sketchforge.sketchers.canny import CannySketcher  # noqa: F401

    what, folder = task["what"], Path(task["folder"])
    before, start = peak(), time.perf_counter()
    cpu_before = cpu_seconds()
    if what == "plan":
        options = RenderOptions(
            folder / "none", images=f"{folder}/*.tar", method="canny", size=64, **task["options"]
        )
        job = preview(options)
        for shard in job.plan.mine[:1]:  # what a task opens first
            assert all(image.key for image in shard.inputs)
    elif what == "index":
        make_index(f"{folder}/*.tar", workers=task["workers"])
    elif what == "verify":
        assert not verify(folder, workers=task["workers"]).problems
    elif what == "inspect":
        inspect(InspectOptions(folder))
    elif what == "gallery":
        gallery(GalleryOptions(folder, html=folder.parent / "gallery.html"))
    elif what == "write manifest":
        write_manifest_of(folder, 100_000)
    elif what == "read manifest":
        read_manifest(folder)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "cpu": cpu_seconds() - cpu_before, "MB": peak() - before}))


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak() -> float:
    """The highest resident memory of this process so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(title: str, count: int, task: dict[str, Any]) -> None:
    """Print a row of the table."""
    command = [sys.executable, __file__, "--task", json.dumps({"options": {}} | task)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    cells = [title, f"{count:,}", f"{said['seconds']:.1f}", f"{said['cpu']:.1f}", f"{said['MB']:.0f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--tars", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1000, help="of each tar")
    parser.add_argument("--verified", type=int, default=100, help="shards that are verified")
    parser.add_argument("--synthetic", type=int, default=10_000, help="tars of the index without images")
    parser.add_argument("--work", type=Path, help="a folder for what is made, on a disk with room")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task:
        work(asked.task)
        return
    total = asked.tars * asked.images
    needed = max(total * SAMPLE_BYTES, asked.synthetic * 1000 * 130) * 12 // 10
    with tempfile.TemporaryDirectory(dir=asked.work) as name:
        if shutil.disk_usage(name).free < needed + SPARE_BYTES:
            raise SystemExit(
                f"error: {name}: needs {needed / 1e9:.0f} GB, and {SPARE_BYTES / 1e9:.0f} to spare"
            )
        print("| step | images | seconds | CPU | MB |\n|---|---|---|---|---|", flush=True)
        run_all(Path(name), asked, total)


def run_all(folder: Path, asked: argparse.Namespace, total: int) -> None:
    tars, shards = folder / "tars", folder / "shards"
    write_tars(tars, asked.tars, asked.images)
    plan = {"what": "plan", "folder": str(tars)}
    measure("plan, reading headers", total, plan)
    for workers in (1, 2):
        measure(
            f"index, {workers} processes", total, {"what": "index", "folder": str(tars), "workers": workers}
        )
    measure("plan, from the index", total, plan)
    sorted_out = {"shuffle_seed": 1, "split": "train=.9,test=.1", "limit": total * 9 // 10}
    measure("the same, shuffled, limited and split", total, plan | {"options": sorted_out})
    measure(f"the same, one of {TASKS} tasks", total, plan | {"options": {"num_tasks": TASKS, "task_id": 7}})
    shutil.rmtree(tars)
    write_shards(shards, asked.verified, asked.images)
    for workers in (1, 2):
        task = {"what": "verify", "folder": str(shards), "workers": workers}
        measure(f"verify, {workers} processes", asked.verified * asked.images, task)
    shutil.rmtree(shards)
    write_shards(shards, asked.tars, asked.images)
    for what in ("inspect", "gallery"):
        measure(what, total, {"what": what, "folder": str(shards)})
    shutil.rmtree(shards)
    for what in ("write manifest", "read manifest"):
        measure(f"{what}, 100,000 shards", 100_000_000, {"what": what, "folder": str(folder / "manifest")})
    write_synthetic_index(folder / "synthetic", asked.synthetic)
    many, plan = asked.synthetic * 1000, {"what": "plan", "folder": str(folder / "synthetic")}
    measure("plan, synthetic", many, plan)
    measure(f"the same, one of {TASKS} tasks", many, plan | {"options": {"num_tasks": TASKS, "task_id": 7}})


if __name__ == "__main__":
    main()

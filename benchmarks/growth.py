"""How time and memory of `render` grow: with the images, the workers, the size and the sketches of an image.

    python benchmarks/growth.py [--sweeps images workers size sketches plan] [--out growth] [--cores 2]
                                [--rounds 3] [--images 10 100 1000] [--method tom] [--size 256] [--count 64]

One sweep at a time, all else at its usual value; every point is a process of its own, which renders built-in
photos, repeated under other names, into a temporary folder. Points are run in every round one after the
other, and reported are medians.

images     as many as --images says. 10000 and 100000 take their time: --method canny --size 64 makes it
           bearable.
workers    1 to 4 processes, --count images.
size       128 to 1024 pixels, --count images.
sketches   1, 2, 5, 10, 20 and 40 of an image, --count images; beyond the ten built-in snapshots by a run
           folder in which they are repeated.
plan       finding and planning alone, 100 to 100000 images, nothing drawn.

seconds an image   by `render`'s own clock, from the start of the workers to the last file. With few images it
                   is mostly that start; the import of torch counts with canny, which needs no model, but not
                   with TOM.
process, worker    the highest resident memory (VmHWM) of the process that draws, and of the largest worker,
                   in MB.
together           the highest sum of the resident memory of all at one moment, looked at twenty times a
                   second. Pages that processes share count for each of them.

Prints tables in Markdown, and leaves growth.json, growth.md and an SVG image of every table in --out. Linux
only.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Workers import this module again: nothing heavy at its head.
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LINKS = 30_000  # to one file, at most: file systems have a limit
INTERVAL = 0.05  # seconds between two looks at the memory
WORKERS, SIZES = (1, 2, 3, 4), (128, 256, 512, 1024)
SKETCHES = (1, 2, 5, 10, 20, 40)
PLANNED = (100, 1_000, 10_000, 100_000)
SWEEPS = ("images", "workers", "size", "sketches", "plan")
MEMORY = ("process", "worker", "together")  # in MB


def store_photos(folder: Path, count: int) -> Path:
    """So many JPEG files: the built-in photos, by hard links under other names."""
    from sketchforge.images.builtin.photos import load_photos
    from sketchforge.images.encode import encode_jpeg

    photos = [encode_jpeg(image) for _, image in load_photos()]
    folder.mkdir()
    originals: dict[tuple[int, int], Path] = {}
    for number in range(count):
        which = number % len(photos)
        path = folder / f"{number:06}.jpg"
        original = originals.setdefault((which, number // len(photos) // LINKS), path)
        if original is path:
            path.write_bytes(photos[which])
        else:
            os.link(original, path)
    return folder


def repeated_run(folder: Path, count: int) -> Path:
    """A run of TOM with so many snapshots: the built-in ones, repeated under other names."""
    from sketchforge.checkpoints.tom import builtin_run, snapshot_path

    builtin = builtin_run()
    record = json.loads((builtin / "run.json").read_bytes())
    stored = record["snapshots"]
    repeated = [(stored[number % len(stored)], number // len(stored)) for number in range(count)]
    record["snapshots"] = [one | {"style": f"{one['style']}-{turn}"} for one, turn in repeated]
    (folder / "snapshots").mkdir(parents=True)
    for number in range(count):
        shutil.copyfile(snapshot_path(builtin, number % len(stored)), snapshot_path(folder, number))
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def work(task: dict[str, Any]) -> None:
    """What a process of a point does: render, or plan; prints its own seconds."""
    from sketchforge.options import RenderOptions
    from sketchforge.render.render import preview, render

    planned = task.pop("plan")
    options = RenderOptions(**{name: Path(value) if name in ("shards", "images", "tom") else value
                               for name, value in task.items()})  # fmt: skip
    if planned:
        start = time.perf_counter()
        preview(options)
        print(time.perf_counter() - start)
    else:
        print(render(options).seconds)


def measured(task: dict[str, Any]) -> dict[str, float]:
    """Seconds and MB of one process that does `task`, and of its workers."""
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    highest: dict[int, int] = {}
    together = 0
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stdout=said) as process:
        while process.poll() is None:
            family = [process.pid, *_descendants(process.pid)]
            found = {pid: _memory(pid) for pid in family}
            highest |= {pid: peak for pid, (_, peak) in found.items() if peak}
            together = max(together, sum(now for now, _ in found.values()))
            time.sleep(INTERVAL)
        if process.returncode:
            raise SystemExit(f"error: rendering failed with exit code {process.returncode}: {task}")
        said.seek(0)
        seconds = float(said.read().split()[-1])
    own = highest.pop(process.pid)
    return {"seconds": seconds} | {
        name: kilobytes / 1024
        for name, kilobytes in zip(MEMORY, (own, max(highest.values(), default=0), together), strict=True)
    }


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return
    for child in map(int, children):
        if _command(child) != _command(pid):  # between fork and exec it is its parent's image: no worker yet
            yield child
            yield from _descendants(child)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _memory(pid: int) -> tuple[int, int]:
    """(resident now, resident at most) in kB; 0 of what has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    values = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(values.get("VmRSS", 0)), int(values.get("VmHWM", 0))


def tasks(sweep: str, asked: argparse.Namespace, work: Path) -> dict[int, dict[str, Any]]:
    """What is rendered at each point of a sweep, by what varies."""
    usual = {"method": asked.method, "size": asked.size, "workers": asked.cores, "plan": False}
    if asked.method != "canny":
        usual |= {"threads": asked.cores}
    if asked.method == "tom":
        usual |= {"tom": "builtin", "hands": "none"}

    def photos(count: int) -> str:
        folder = work / f"photos-{count}"
        return str(folder if folder.exists() else store_photos(folder, count))

    if sweep == "images":
        return {count: usual | {"images": photos(count)} for count in asked.images}
    if sweep == "plan":
        planned = usual | {"method": "canny", "plan": True}
        planned.pop("tom", None)
        return {count: planned | {"images": photos(count)} for count in PLANNED if count <= asked.most}
    here = usual | {"images": photos(asked.count)}
    if sweep == "workers":
        return {count: here | {"workers": count} for count in WORKERS}
    if sweep == "size":
        return {size: here | {"size": size} for size in SIZES if size <= asked.largest}
    run = work / "run"
    run = str(run if run.exists() else repeated_run(run, max(SKETCHES)))
    return {
        count: here | {"method": "tom", "tom": run, "checkpoints": count, "hands": "none"}
        for count in SKETCHES
    }


def measure(sweep: str, asked: argparse.Namespace, work: Path) -> list[dict[str, float]]:
    """A row of medians for each point of a sweep."""
    points = tasks(sweep, asked, work)
    rounds: dict[int, list[dict[str, float]]] = {at: [] for at in points}
    for number in range(asked.rounds):
        for at, task in points.items():
            with tempfile.TemporaryDirectory(dir=work) as out:
                found = measured(task | {"shards": str(Path(out) / "shards")})
            count = {"images": at, "plan": at}.get(sweep, asked.count)
            found["seconds an image"] = found.pop("seconds") / count
            rounds[at].append(found)
            shown = json.dumps({name: float(f"{value:.4g}") for name, value in found.items()})
            print(f"round {number + 1}, {sweep} {at}: {shown}", file=sys.stderr, flush=True)
    return [
        {sweep: at, "seconds an image": _median(found, "seconds an image")}
        | {name: round(_median(found, name)) for name in MEMORY}
        for at, found in rounds.items()
    ]


def _median(found: list[dict[str, float]], name: str) -> float:
    return float(f"{statistics.median(one[name] for one in found):.3g}")


def table(sweep: str, rows: list[dict[str, float]]) -> str:
    heads = [sweep, "seconds an image", *(f"{name}, MB" for name in MEMORY)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [f"{row[sweep]}", f"{row['seconds an image']:.3g}", *(f"{row[name]:.0f}" for name in MEMORY)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(sweep: str, rows: list[dict[str, float]], out: Path) -> None:
    """Two SVG images of a table: seconds and memory."""
    from sketchforge.report.svg import curves_svg

    powers = sweep in ("images", "plan")
    label = f"{sweep}, powers of ten" if powers else sweep
    at = [math.log10(row[sweep]) if powers else row[sweep] for row in rows]
    for name, columns in (("seconds", ["seconds an image"]), ("memory", list(MEMORY))):
        series = {column: [list(zip(at, (row[column] for row in rows), strict=True))] for column in columns}
        title = "seconds an image" if name == "seconds" else "MB"
        (out / f"growth-{sweep}-{name}.svg").write_text(curves_svg(series, title, label), encoding="utf-8")


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--sweeps", nargs="+", choices=SWEEPS, default=list(SWEEPS))
    parser.add_argument("--out", type=Path, default=Path("growth"))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--method", choices=["tom", "canny"], default="tom")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=64, help="images where something else is varied")
    parser.add_argument("--largest", type=int, default=max(SIZES), help="of the sizes")
    parser.add_argument("--most", type=int, default=max(PLANNED), help="images that are planned")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task:
        work(asked.task)
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    asked.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    texts = []
    with tempfile.TemporaryDirectory() as name:
        for sweep in asked.sweeps:
            found[sweep] = measure(sweep, asked, Path(name))
            draw(sweep, found[sweep], asked.out)
            texts.append(table(sweep, found[sweep]))
            print(texts[-1], flush=True)
    (asked.out / "growth.md").write_text("\n".join(texts), encoding="utf-8")
    conditions = {name: getattr(asked, name) for name in ("cores", "rounds", "method", "size", "count")}
    text = json.dumps({"sweeps": found} | conditions | machine(), indent=1)
    (asked.out / "growth.json").write_text(text + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    import torch

    from sketchforge.report.provenance import hardware

    return {"machine": hardware(torch.device("cpu"))}


if __name__ == "__main__":
    main()

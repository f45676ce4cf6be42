"""What a rendering of any size takes: bytes, files, hours and money, from the measured cost of each stage.

    python benchmarks/scale.py                             # 100 million photos, ten hands, 256 pixels
    python benchmarks/scale.py --images 1e7 --size 512 --core-hour .03 --gpu-rate 400

Seconds are of one core of an AMD EPYC without AVX-512 (docs/benchmarks.md says by which command each was measured);
prices are arguments, for they differ by provider and week. No GPU was measured: --gpu-rate is yours, in images a second
that one GPU draws ten snapshots of, as `python benchmarks/rendering.py --device cuda` prints it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

SAMPLES_PER_SHARD = 1000


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one core and bytes of an image with ten sketches."""

    decode: float
    snapshots: float  # encoder, ten snapshots: what a GPU may do
    hands: float  # the head that finds subjects, tracing, ten hands
    encode: float  # and writing
    verify: float  # all of it read and decoded
    stored: int  # bytes in the tar
    read: int  # bytes of the source, a JPEG of some two megapixels where photos are larger

    @property
    def cpu(self) -> float:
        return self.decode + self.snapshots + self.hands + self.encode

    @property
    def beside_drawing(self) -> float:
        return self.cpu - self.snapshots


# docs/benchmarks.md: decode and encode by benchmarks/rendering.py, snapshots and hands by benchmarks/cpu_cost.py, headers by
# benchmarks/plan_scale.py. Bytes stored: the mean of 40 photos by `sketchforge render`; `verify --workers 1` of 640 and of 40.
COSTS = {
    256: Cost(0.0026, 0.184, 0.102, 0.0089, 0.0055, 64_300, 400_000),
    512: Cost(0.0077, 0.264, 0.112, 0.0286, 0.0175, 149_000, 400_000),
}
HEADER_SECONDS = 50e-6  # an image, where a plan reads the tars' headers itself


def describe(
    images: float, size: int, core_hour: float, gigabyte_month: float, gpu_hour: float, gpu_rate: float
) -> list[tuple[str, str]]:
    """(what, how much) of one rendering."""
    cost = COSTS[size]
    core_hours = images * cost.cpu / 3600
    lines = [
        (
            "shards of 1,000 images",
            f"{images / SAMPLES_PER_SHARD:,.0f}, {3 * images / SAMPLES_PER_SHARD:,.0f} files",
        ),
        ("read", f"{images * cost.read / 1e12:,.1f} TB at {cost.read / 1e3:,.0f} KB an image"),
        ("written", f"{images * cost.stored / 1e12:,.1f} TB at {cost.stored / 1e3:,.0f} KB an image"),
        ("kept for a month", f"{images * cost.stored / 1e9 * gigabyte_month:,.0f} at {gigabyte_month} a GB"),
        ("core hours, no GPU", f"{core_hours:,.0f}: {core_hours * core_hour:,.0f} at {core_hour} an hour"),
        ("on 1,000 cores", f"{core_hours / 1000:,.1f} hours, {1000 / cost.cpu:,.0f} images/s"),
    ]
    for name in ("decode", "snapshots", "hands", "encode"):
        seconds = getattr(cost, name)
        lines.append(
            (f"  of that, {name}", f"{seconds / cost.cpu:.0%}, {images * seconds / 3600:,.0f} core hours")
        )
    cores = gpu_rate * cost.beside_drawing
    hours = images / gpu_rate / 3600
    lines += [
        (f"a GPU that draws {gpu_rate:,.0f} images/s", f"is kept busy by {cores:,.0f} cores"),
        (
            "GPU hours, with their cores",
            f"{hours:,.0f}: {hours * (gpu_hour + cores * core_hour):,.0f} at {gpu_hour} a GPU hour",
        ),
        ("verify", f"{images * cost.verify / 3600:,.0f} core hours"),
        (
            "a plan without an index",
            f"{images * HEADER_SECONDS / 3600:,.1f} core hours in every task: make an index once",
        ),
    ]
    return lines


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--images", type=float, default=1e8)
    parser.add_argument("--size", type=int, choices=sorted(COSTS), default=256)
    parser.add_argument("--core-hour", type=float, default=0.03, help="price of a core for an hour")
    parser.add_argument(
        "--gigabyte-month", type=float, default=0.023, help="price of a stored GB for a month"
    )
    parser.add_argument(
        "--gpu-hour", type=float, default=1.0, help="price of a GPU for an hour, without cores"
    )
    parser.add_argument("--gpu-rate", type=float, default=200, help="images a second that a GPU draws")
    asked = parser.parse_args()
    print(f"{asked.images:,.0f} images, ten hands, {asked.size} pixels")
    lines = describe(
        asked.images, asked.size, asked.core_hour, asked.gigabyte_month, asked.gpu_hour, asked.gpu_rate
    )
    width = max(len(what) for what, _ in lines)
    for what, much in lines:
        print(f"{what:{width}}  {much}")


if __name__ == "__main__":
    main()

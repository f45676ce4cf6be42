"""Statistics of a shard folder: counts, bytes, image sizes, and the ink share of every style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import open_image
from sketchforge.images.sketch_quality import BLANK
from sketchforge.options import InspectOptions
from sketchforge.shards import schema
from sketchforge.shards.reader import raw_samples, read_errors
from sketchforge.shards.selection import look_into_some, spread_evenly
from sketchforge.shards.shard_set import ShardSet, open_folder
from sketchforge.shards.sidecars import begun_shards
from sketchforge.shards.writer import read_all_stats
from sketchforge.storage.folder import can_be_listed
from sketchforge.strokes.stored import strokes_from_json
from sketchforge.utils.progress import Progress


@dataclass(frozen=True)
class StyleInk:
    """The ink of one style over the samples that were read; ink shares in [0, 1]."""

    style: str
    mean: float
    low: float  # 10th percentile over images
    high: float  # 90th percentile
    num_blank: int  # sketches with an ink share below BLANK
    mean_bytes: float  # of the PNG


@dataclass(frozen=True)
class Inspection:
    """A folder's statistics.

    `num_captions`, `num_classes`, `coverage`, `sizes`, `num_strokes` and `styles` are of the `num_read` samples, which lie in
    `num_looked_into` shards; all else is of the whole folder, by its manifest and the stats of its shards.
    """

    manifest: Mapping[str, Any]
    num_finished: int  # shards
    num_samples: int
    failed: dict[str, int]  # reason -> inputs
    num_bytes: int  # of the finished shards' tars
    num_read: int
    num_looked_into: int
    num_captions: int  # among those read
    num_classes: dict[str, int]  # class -> samples among those read; {} where there are none
    splits: dict[str, int]  # split -> samples; {} where there are none
    coverage: float | None  # mean share of an image that is subject, by the masks; None where there are none
    sizes: dict[tuple[int, int], int]  # (width, height) -> samples among those read
    num_strokes: int | None  # of those read; None: the folder keeps none
    styles: tuple[StyleInk, ...]


def inspect(options: InspectOptions, progress: Progress | None = None) -> Inspection:
    """Read at most `options.samples` samples (0: all), spread evenly; `progress` counts them.

    They are those of at most MAX_LOOKED_INTO shards, spread evenly as well, unless all are wanted. Of an unfinished folder only the finished shards are read. Raises UsageError where there is no sample,
    SketchforgeError on damaged shards.
    """
    progress = progress or Progress()
    folder = options.shards
    shards = open_folder(folder)
    outcomes: Counter[str] = Counter()
    num_samples: dict[int, int] = {}  # of every finished shard
    num_bytes = 0
    listed = shards.folder.list() if can_be_listed(shards.folder) else None
    for number, stats in read_all_stats(shards.folder, begun_shards(shards.folder, shards.manifest)):
        tar = schema.shard_files(number).tar
        _check_size(shards, tar, shards.folder.find_size(tar) if listed is None else listed.get(tar), stats)
        num_samples[number] = stats["outcomes"].get(schema.OK, 0)
        outcomes.update(stats["outcomes"])
        num_bytes += stats["tar"]["bytes"]
    if not any(num_samples.values()):
        raise UsageError(f"{folder}: holds no samples")
    if options.samples:
        shards = look_into_some(shards, num_samples)
    keys = list(shards.keys)
    chosen = spread_evenly(keys, options.samples or len(keys))
    sizes: Counter[tuple[int, int]] = Counter()
    num_captions = num_strokes = 0
    labels: Counter[str] = Counter()
    coverage: list[float] = []
    classes = shards.manifest["classes"]
    ink: list[list[float]] = [[] for _ in shards.styles]
    num_png_bytes = [0] * len(ink)
    with progress.track("sample", len(chosen)):
        for sample in raw_samples(shards, chosen):
            sizes[sample.metadata["width"], sample.metadata["height"]] += 1
            num_captions += bool(sample.caption)
            with read_errors(folder, shards.tar(sample.key)):
                if schema.STROKES in sample.extras:
                    stored = strokes_from_json(sample.extras[schema.STROKES], hands=False)
                    num_strokes += len(stored.strokes)
                if (label := sample.extras.get(schema.CLASS)) is not None:
                    labels[classes[int(label)]] += 1
                if (mask := sample.extras.get(schema.MASK)) is not None:
                    coverage.append(1 - ink_share(mask))
                for index, png in enumerate(sample.sketches):
                    ink[index].append(ink_share(png))
                    num_png_bytes[index] += len(png)
            progress.advance()
    return Inspection(
        manifest=shards.manifest,
        num_finished=len(num_samples),
        num_samples=outcomes[schema.OK],
        failed={reason: count for reason, count in sorted(outcomes.items()) if reason != schema.OK},
        num_bytes=num_bytes,
        num_read=len(chosen),
        num_looked_into=len(shards.finished),
        num_captions=num_captions,
        num_classes=dict(sorted(labels.items())),
        splits={
            name: sum(count for number, count in num_samples.items() if number in numbers)
            for name, numbers in shards.splits.items()
        },
        coverage=sum(coverage) / len(coverage) if coverage else None,
        sizes=dict(sizes),
        num_strokes=num_strokes if schema.STROKES in shards.manifest["extras"] else None,
        styles=tuple(
            _measure_style(style, shares, total)
            for style, shares, total in zip(shards.styles, ink, num_png_bytes, strict=True)
        ),
    )


def _check_size(shards: ShardSet, name: str, num_bytes: int | None, stats: Mapping[str, Any]) -> None:
    """Raise SketchforgeError for a truncated shard, even where no sample of it is read.

    Other damage is left to `verify`.
    """
    with read_errors(shards.source, shards.folder.address(name)):
        expected = stats["tar"]["bytes"]
        if num_bytes is None:
            raise SketchforgeError("it is not there")
        if num_bytes != expected:
            raise SketchforgeError(f"{num_bytes:,} bytes, expected {expected:,}")


def ink_share(png: bytes) -> float:
    """The ink share of a sketch, in [0, 1], from the bytes of its PNG file.

    Of a bilevel file it is the share of pixels darker than mid-grey. Of an 8-bit file it is the mean
    darkness, where black is 1 and white 0: in a grey sketch any single threshold would be arbitrary.
    Raises SketchforgeError where the file cannot be read.
    """
    try:
        with open_image(png, ("PNG",)) as image:
            grey = image if image.mode in ("1", "L") else image.convert("L")
            counts = grey.histogram()
    except Exception as error:  # Pillow's decoders raise anything on damaged data
        raise SketchforgeError(f"a sketch is no sound PNG: {error}") from error
    # Where all pixels are 0 or 255 the mean darkness is the share of dark ones: one formula serves both.
    return sum(count * (255 - level) for level, count in enumerate(counts)) / (255 * sum(counts))


def _measure_style(style: str, shares: Sequence[float], num_bytes: int) -> StyleInk:
    import numpy as np

    low, high = np.percentile(shares, (10, 90))
    return StyleInk(
        style=style,
        mean=float(np.mean(shares)),
        low=float(low),
        high=float(high),
        num_blank=sum(share < BLANK for share in shares),
        mean_bytes=num_bytes / len(shares),
    )

"""Convert: a shard folder as a data set that others read, or its strokes in formats that others read.

A file appears when it is complete. A folder is continued by the same command; its record says what it is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchforge.convert.card import SHEET, write_set_card
from sketchforge.convert.drawings import pick_names, read_drawings
from sketchforge.convert.output_folder import begin_folder
from sketchforge.convert.pairs import pick_pairs
from sketchforge.convert.push import Upload
from sketchforge.convert.targets import PAIR_TARGETS, TARGETS, Target
from sketchforge.errors import UsageError
from sketchforge.options import ConvertOptions
from sketchforge.shards.schema import CARD
from sketchforge.shards.shard_set import open_shards, shards_digest
from sketchforge.utils.files import disk_errors
from sketchforge.utils.outputs import check_local, check_new_file
from sketchforge.utils.progress import Progress

# What the files of a folder are called that is replaced.
_PATTERNS = {
    "svg": ["*/*.svg"],
    **{name: [*target.files, CARD, SHEET] for name, target in PAIR_TARGETS.items()},
}


@dataclass(frozen=True)
class Conversion:
    """What was done."""

    out: Path
    hands: list[str]
    num_images: int
    num_kept: int  # of them, those whose drawings were there already
    pairs: dict[str, int] | None = None  # of a data set: how many pairs each split has
    keeps_card: bool = False  # whether a card that somebody has edited was left as it is
    address: str | None = None  # where it was uploaded to


def convert(options: ConvertOptions, progress: Progress | None = None) -> Conversion:
    """Write the pairs or the drawings of `options.shards` to `options.out`.

    Raises UsageError for shards that are missing, unfinished or keep no strokes, an unknown hand, and an output that
    is something else; SketchforgeError for damaged shards, and an upload that is refused.
    """
    progress = progress or Progress()
    if options.to in PAIR_TARGETS:
        return _convert_pairs(options, progress)
    for value, option in ((options.per_image, "--per-image"), (options.push, "--push")):
        if value is not None:
            raise UsageError(
                f"{option}: is of data sets, --to {', '.join(PAIR_TARGETS)}; not of --to {options.to}"
            )
    return _convert_drawings(options, TARGETS[options.to], progress)


def _convert_pairs(options: ConvertOptions, progress: Progress) -> Conversion:
    target = PAIR_TARGETS[options.to]
    _check_folder(options)
    target.check()
    upload = None if options.push is None else Upload(options.push)
    shards = open_shards(options.shards)
    source = pick_pairs(shards, options.hand, options.per_image)
    record: dict[str, Any] = {"to": options.to, "shards": shards_digest(shards), "hands": source.names}
    if options.per_image is not None:
        record["per_image"] = options.per_image
    begin_folder(options.out, record, options.overwrite, _PATTERNS)
    with disk_errors(options.out):
        num_kept = target.write(options.out, source, progress)
        keeps_card = not write_set_card(options.out, options.to, source)
    pairs = {name: source.count_images(name) * source.sketches_per_image for name in source.splits}
    address = None if upload is None else upload.send(options.out, progress)
    return Conversion(options.out, source.names, shards.num_samples, num_kept, pairs, keeps_card, address)


def _convert_drawings(options: ConvertOptions, target: Target, progress: Progress) -> Conversion:
    if target.ending is None:
        _check_folder(options)
    else:
        check_local(options.out, "--out")
        if options.out.suffix != target.ending:
            raise UsageError(f"--out {options.out}: expected a file name that ends in {target.ending}")
    shards = open_shards(options.shards).require_strokes()
    names = pick_names(shards, options.hand)
    if target.ending is None:
        record = {"to": options.to, "shards": shards_digest(shards), "hands": names}
        begin_folder(options.out, record, options.overwrite, _PATTERNS)
    else:
        check_new_file(options.out, "--out", options.overwrite)
    with disk_errors(options.out), target.open(options.out, names) as writer:
        todo = [key for key in shards.keys if not writer.has(key)]
        num_kept = len(shards.keys) - len(todo)
        with progress.track("image", len(shards.keys), num_kept):
            for drawings in read_drawings(shards, todo, names):
                for drawing in drawings:
                    writer.add(drawing)
                progress.advance()
    return Conversion(options.out, names, len(shards.keys), num_kept)


def _check_folder(options: ConvertOptions) -> None:
    check_local(options.out, "--out")
    if options.out.is_file():
        raise UsageError(f"--out {options.out}: is a file; --to {options.to} makes a folder")

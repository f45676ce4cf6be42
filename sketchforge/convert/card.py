"""The card of a data set that `convert` has made, README.md, and the sheet of some of its pairs that it shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.convert.pairs import ImagePairs, PairSource, sample_errors
from sketchforge.convert.parquet import FOLDER, list_columns, name_split, plan_files
from sketchforge.images.contact_sheet import contact_sheet
from sketchforge.images.decode import read_image
from sketchforge.images.encode import encode_jpeg
from sketchforge.shards.card import (
    describe_drawing,
    describe_failures,
    describe_size,
    describe_terms,
    short_digest,
    sign_card,
    size_category,
    write_signed_card,
)
from sketchforge.storage.folder import LocalFolder
from sketchforge.utils.files import write_bytes
from sketchforge.utils.markdown import Markdown, fill_markdown
from sketchforge.utils.text import count_noun

if TYPE_CHECKING:
    import numpy as np

SHEET = "contact-sheet.jpg"
SHEET_ROWS, SHEET_SKETCHES, CELL = 6, 10, 128
_MEANINGS = {
    "image": "the image, RGB",
    "conditioning_image": "a sketch of it, dark lines on white",
    "text": "the image's caption; empty where it has none",
    "style": "what drew the sketch",
    "key": "the image's key, the same for all sketches of it",
    "sketch": "the sketch's number, see below",
    "label": "the image's class",
    "mask": "where its subject is: white for the subject",
    "hand": "how the hand drew, as JSON text; `{}` where none did",
    "source": "where the image came from, relative to the input",
    "meta": "what came along with the image, as JSON text",
}


def write_set_card(out: Path, to: str, source: PairSource) -> bool:
    """Write the sheet and the card of a finished data set; False where a card that somebody has edited is kept.

    Raises OSError, and SketchforgeError for damaged shards.
    """
    write_bytes(out / SHEET, encode_jpeg(draw_sheet(source)))
    return write_signed_card(LocalFolder(out), set_card(to, source))


def set_card(to: str, source: PairSource) -> bytes:
    """The card, UTF-8: a function of the shards' manifest and of what is wanted of it."""
    manifest = source.shards.manifest
    images = {split: source.count_images(split) for split in source.splits}
    num_pairs = sum(images.values()) * source.sketches_per_image
    columns = list_columns(source)
    if to == "imagefolder":
        columns = {name: kind for name, kind in columns.items() if name not in ("hand", "meta")}
    filled = fill_markdown(
        Path(__file__).parent,
        "set_card.md.jinja",
        to=to,
        sheet=SHEET,
        captioned=manifest["captioned"],
        size_category=Markdown(size_category(num_pairs)),
        shards_digest=short_digest(manifest),
        data_files=[Markdown(line) for line in _write_data_files(to, source)],
        title=f"{count_noun(sum(images.values()), 'image')}, {count_noun(source.sketches_per_image, 'sketch')} of each",
        num_pairs=f"{num_pairs:,}",
        facts=[
            ("pairs", f"{num_pairs:,}"),
            ("images", f"{sum(images.values()):,}"),
            ("sketches of each image", _describe_choice(source)),
            ("size", describe_size(manifest)),
            ("captions", "some or all images have one" if manifest["captioned"] else "none: texts are empty"),
            *([("classes", f"{len(manifest['classes']):,}")] if manifest["classes"] else []),
            (
                "pairs by split",
                ", ".join(
                    f"{_name(to, split, source)} {count * source.sketches_per_image:,}"
                    for split, count in images.items()
                ),
            ),
            ("inputs left out", describe_failures(manifest)),
        ],
        columns=[(Markdown(f"`{name}`"), Markdown(_MEANINGS[name])) for name in columns],
        split=Markdown(_name(to, next(iter(images)), source)),
        has_splits=bool(source.shards.splits),
        of_one_size=source.shards.side is not None,
        has_classes=bool(source.shards.classes),
        drawing=describe_drawing(manifest),
        drawer=describe_terms(manifest),
    )
    return sign_card(filled)


def draw_sheet(source: PairSource) -> np.ndarray:
    """Some images, spread over the largest split, each beside its first sketches: uint8 HxWx3 RGB."""
    shown = replace(source, styles=list(source.styles)[:SHEET_SKETCHES], per_image=None)
    rows = []
    for pairs in _pick_images(shown):
        with sample_errors(source, pairs.key):
            sketches = (pairs.sample.sketches[number] for number in pairs.numbers)
            rows.append([read_image(data) for data in (pairs.sample.image, *sketches)])
    return contact_sheet(rows, ["image", *shown.names], CELL)


def _pick_images(source: PairSource) -> Iterator[ImagePairs]:
    split = max(source.splits, key=source.count_images)
    count = source.count_images(split)
    num_rows = min(SHEET_ROWS, count)
    for row in range(num_rows):
        start = row * count // num_rows
        yield from source.read(split, start, start + 1)


def _name(to: str, split: str, source: PairSource) -> str:
    """What the data set calls a split."""
    return name_split(split, source.splits) if to in ("parquet", "imagefolder") else split


def _describe_choice(source: PairSource) -> str:
    count, wanted = source.sketches_per_image, len(source.styles)
    return str(count) if count == wanted else f"{count} of {wanted}, chosen by the image's key"


def _write_data_files(to: str, source: PairSource) -> Iterator[str]:
    """Which files are which split, for the formats that Hugging Face's `datasets` reads."""
    if to == "parquet":
        # With their number: other files of an earlier upload may still be there.
        paths = {file.split: f"{FOLDER}/{file.pattern}" for file in plan_files(source)}
    elif to == "imagefolder":
        paths = {split: f"{name_split(split, source.splits)}/**" for split in source.splits}
    else:
        return
    for split, path in paths.items():
        yield f"  - split: {name_split(split, source.splits)}"
        yield f'    path: "{path}"'

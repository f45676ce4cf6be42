"""Parquet as Hugging Face's `datasets` reads it: data/SPLIT-NNNNN-of-NNNNN.parquet, a row for each image and sketch.

Images and sketches are the bytes that the shards have. The rows of an image lie in one row group, whose dictionary holds
its bytes once, so that ten sketches of an image do not make ten images of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.convert.pairs import ImagePairs, PairSource, clean_text, find_class, sample_errors
from sketchforge.errors import UsageError
from sketchforge.shards import schema
from sketchforge.utils.files import atomic_write, parse_json, remove_abandoned
from sketchforge.utils.progress import Progress

if TYPE_CHECKING:
    import pyarrow

FOLDER = "data"
FILE_BYTES = 256 << 20  # of a file, about: of its images and sketches, each once
GROUP_BYTES = 64 << 20  # of a row group's images and sketches as a reader gets them, the image in every row
GROUP_ROWS = 1000
_IMAGE = {"_type": "Image"}
_TEXT = {"dtype": "string", "_type": "Value"}
_NUMBER = {"dtype": "int64", "_type": "Value"}


def check_parquet() -> None:
    """Raise UsageError where pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--to parquet: pyarrow is not installed; pip install 'sketchforge[datasets]'"
        ) from error


def list_columns(source: PairSource) -> dict[str, dict[str, Any]]:
    """The columns of a row, in order, each with its type as `datasets` describes it."""
    classes = source.shards.classes
    return {
        "image": _IMAGE,
        "conditioning_image": _IMAGE,
        "text": _TEXT,
        "style": _TEXT,
        "key": _TEXT,
        "sketch": _NUMBER,
        **({"label": {"names": classes, "_type": "ClassLabel"}} if classes else {}),
        **({"mask": _IMAGE} if source.shards.has_masks else {}),
        "hand": _TEXT,
        "source": _TEXT,
        "meta": _TEXT,
    }


@dataclass(frozen=True)
class PlannedFile:
    """A file of a data set: images `start` to `stop` of a split.

    prefix, ending: of its name, before and after its number.
    """

    split: str
    prefix: str
    number: int
    ending: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"{self.prefix}{self.number:05d}{self.ending}"

    @property
    def pattern(self) -> str:
        """A pattern of the names of all files of the split."""
        return f"{self.prefix}*{self.ending}"


def write_parquet(out: Path, source: PairSource, progress: Progress) -> int:
    """Write the files that are not there yet; return how many images are in those that were.

    Each appears when it is complete. Raises OSError of the disk, SketchforgeError for damaged shards.
    """
    import pyarrow.parquet as pq

    folder = out / FOLDER
    remove_abandoned(folder)
    columns, file_plan = list_columns(source), plan_files(source)
    arrow_schema = _build_schema(columns)
    todo = [file for file in file_plan if not (folder / file.name).is_file()]
    num_images = sum(file.stop - file.start for file in file_plan)
    num_kept = num_images - sum(file.stop - file.start for file in todo)
    with progress.track("image", num_images, num_kept):
        for file in todo:
            with (
                atomic_write(folder / file.name, sweep=False) as target,
                pq.ParquetWriter(target, arrow_schema, **_writing_options(columns)) as writer,
            ):
                for rows in _group_rows(source, file, progress):
                    table = _build_table(rows, arrow_schema)
                    writer.write_table(table, row_group_size=len(rows))
    return num_kept


def name_split(split: str, splits: Mapping[str, Any]) -> str:
    """What Hugging Face calls a split: "val" is "validation", unless there is one of that name."""
    return "validation" if split == "val" and "validation" not in splits else split


def plan_files(source: PairSource) -> list[PlannedFile]:
    """The files of every split, by the manifest alone, so that the same command plans the same."""
    entries = source.shards.manifest["shards"]
    files = []
    for split, numbers in source.splits.items():
        num_images = source.count_images(split)
        num_bytes = sum(entries[number]["bytes"] for number in numbers)
        num_files = min(num_images, max(1, -(-num_bytes // FILE_BYTES)))
        for number in range(num_files):
            prefix, ending = f"{name_split(split, source.splits)}-", f"-of-{num_files:05d}.parquet"
            start, stop = (place * num_images // num_files for place in (number, number + 1))
            files.append(PlannedFile(split, prefix, number, ending, start, stop))
    return files


def _group_rows(source: PairSource, file: PlannedFile, progress: Progress) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each row group."""
    rows: list[dict[str, Any]] = []
    num_bytes = 0
    for pairs in source.read(file.split, file.start, file.stop):
        with sample_errors(source, pairs.key):
            of_image = list(_make_rows(source, pairs))
        more = sum(len(row["image"]["bytes"]) + len(row["conditioning_image"]["bytes"]) for row in of_image)
        if rows and (len(rows) + len(of_image) > GROUP_ROWS or num_bytes + more > GROUP_BYTES):
            yield rows
            rows, num_bytes = [], 0
        rows += of_image
        num_bytes += more
        progress.advance()
    yield rows


def _make_rows(source: PairSource, pairs: ImagePairs) -> Iterator[dict[str, Any]]:
    sample, stem = pairs.sample, pairs.stem
    hands = _read_hands(sample.metadata)
    row: dict[str, Any] = {
        "image": {"bytes": sample.image, "path": f"{stem}.jpg"},
        "text": sample.caption,
        "key": sample.key,
        "label": find_class(source.shards, sample),
        "source": clean_text(sample.metadata["source"]),
        "meta": clean_text(str(sample.metadata.get("meta", "{}"))),
    }
    if schema.MASK in sample.extras:
        row["mask"] = {"bytes": sample.extras[schema.MASK], "path": f"{stem}-mask.png"}
    for number in pairs.numbers:
        sketch = {"bytes": sample.sketches[number], "path": f"{pairs.sketch_stem(number)}.png"}
        yield row | {
            "conditioning_image": sketch,
            "style": clean_text(source.shards.styles[number]),
            "sketch": number,
            "hand": clean_text(json.dumps(hands[number], sort_keys=True, ensure_ascii=False))
            if number < len(hands)
            else "{}",
        }


def _read_hands(metadata: Mapping[str, Any]) -> list[Any]:
    """How each sketch's hand drew; [] where none did. Raises ValueError where it is no JSON."""
    hands = parse_json(str(metadata.get("hands", "[]")))
    return hands if isinstance(hands, list) else []


def _build_schema(columns: Mapping[str, Mapping[str, Any]]) -> pyarrow.Schema:
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    types = {"Image": image, "ClassLabel": pa.int64()}
    fields = [
        (name, types[kind["_type"]] if kind["_type"] in types else getattr(pa, kind["dtype"])())
        for name, kind in columns.items()
    ]
    metadata = {"huggingface": json.dumps({"info": {"features": columns}})}
    return pa.schema(fields, metadata)


def _build_table(rows: list[dict[str, Any]], arrow_schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow as pa

    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in arrow_schema]
    return pa.Table.from_arrays(arrays, schema=arrow_schema)


def _writing_options(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    images = [name for name, kind in columns.items() if kind["_type"] == "Image"]
    texts = [name for name in columns if name not in images]
    contents = [f"{name}.bytes" for name in images]
    paths = [f"{name}.path" for name in images]
    repeated = [name for name in contents if name != "conditioning_image.bytes"]
    return {
        "compression": dict.fromkeys(contents, "none") | dict.fromkeys(paths + texts, "zstd"),
        "use_dictionary": [*repeated, *paths, *texts],
        # Else a dictionary of more than a megabyte is given up, and every row holds its image again.
        "dictionary_pagesize_limit": 2 * GROUP_BYTES,
        "write_statistics": [name for name in ("style", "key", "sketch", "label") if name in columns],
    }

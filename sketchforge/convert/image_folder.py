"""Folders of images with a list beside them: Hugging Face's and torchvision's ImageFolder, ControlNet's, pix2pix's.

A file appears when it is complete; one that is there is left as it is. Lists appear when all of their files are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sketchforge.convert.file_names import name_folders
from sketchforge.convert.pairs import ImagePairs, PairSource, clean_text, find_class, sample_errors
from sketchforge.convert.parquet import name_split
from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import read_image
from sketchforge.images.encode import encode_jpeg
from sketchforge.shards import schema
from sketchforge.utils.files import atomic_write, remove_abandoned, write_bytes
from sketchforge.utils.progress import Progress

METADATA, PROMPTS = "metadata.jsonl", "prompt.json"


class Layout(Protocol):
    """Where the files of a split lie. list_name: of the file that has a line for each pair; None: there is none."""

    list_name: str | None

    def name_root(self, split: str) -> str:
        """The split's folder, relative to the output; "" for the output itself."""

    def list_files(self, pairs: ImagePairs) -> dict[str, Any]:
        """The files of an image, by their paths below the split's folder: contents, or a function that makes them."""

    def list_entries(self, pairs: ImagePairs) -> Iterator[dict[str, Any]]:
        """The lines of an image's pairs."""


class ImageFolder:
    """SPLIT/images/KEY.jpg, SPLIT/sketches/KEY-sketchN.png, in folders of their classes where there are any."""

    list_name = METADATA

    def __init__(self, source: PairSource) -> None:
        self.source = source
        self.folders = name_folders(source.shards.classes, "class")

    def name_root(self, split: str) -> str:
        return name_split(split, self.source.splits)

    def list_files(self, pairs: ImagePairs) -> dict[str, Any]:
        sample = pairs.sample
        files = {self._name("images", pairs, f"{pairs.stem}.jpg"): sample.image}
        if schema.MASK in sample.extras:
            files[self._name("masks", pairs, f"{pairs.stem}.png")] = sample.extras[schema.MASK]
        return files | {self._name_sketch(pairs, number): sample.sketches[number] for number in pairs.numbers}

    def list_entries(self, pairs: ImagePairs) -> Iterator[dict[str, Any]]:
        number = find_class(self.source.shards, pairs.sample)
        # First of all: `datasets` takes the first image of a line for that of `file_name`.
        entry = {
            "file_name": self._name("images", pairs, f"{pairs.stem}.jpg"),
            "text": pairs.sample.caption,
            "key": pairs.key,
            "source": clean_text(pairs.sample.metadata["source"]),
        }
        if self.source.shards.classes:
            entry["label"] = "" if number is None else clean_text(self.source.shards.classes[number])
        if schema.MASK in pairs.sample.extras:
            entry["mask_file_name"] = self._name("masks", pairs, f"{pairs.stem}.png")
        for number in pairs.numbers:
            yield entry | {
                "conditioning_image_file_name": self._name_sketch(pairs, number),
                "style": clean_text(self.source.shards.styles[number]),
                "sketch": number,
            }

    def _name_sketch(self, pairs: ImagePairs, number: int) -> str:
        return self._name("sketches", pairs, f"{pairs.sketch_stem(number)}.png")

    def _name(self, kind: str, pairs: ImagePairs, name: str) -> str:
        number = find_class(self.source.shards, pairs.sample)
        return f"{kind}/{name}" if number is None else f"{kind}/{self.folders[number]}/{name}"


class ControlNet:
    """source/ with the sketches, target/ with the images, prompt.json; in a folder for each split where there are any."""

    list_name = PROMPTS

    def __init__(self, source: PairSource) -> None:
        self.has_splits = bool(source.shards.splits)

    def name_root(self, split: str) -> str:
        return split if self.has_splits else ""

    def list_files(self, pairs: ImagePairs) -> dict[str, Any]:
        sketches = {
            f"source/{pairs.sketch_stem(number)}.png": pairs.sample.sketches[number]
            for number in pairs.numbers
        }
        return {f"target/{pairs.stem}.jpg": pairs.sample.image} | sketches

    def list_entries(self, pairs: ImagePairs) -> Iterator[dict[str, Any]]:
        for number in pairs.numbers:
            yield {
                "source": f"source/{pairs.sketch_stem(number)}.png",
                "target": f"target/{pairs.stem}.jpg",
                "prompt": pairs.sample.caption,
            }


class Pix2pix:
    """SPLIT/KEY-sketchN.jpg: the sketch at the left (A), its image at the right (B)."""

    list_name = None

    def __init__(self, source: PairSource) -> None:
        del source

    def name_root(self, split: str) -> str:
        return split

    def list_files(self, pairs: ImagePairs) -> dict[str, Any]:
        return {
            f"{pairs.sketch_stem(number)}.jpg": lambda number=number: _join(pairs, number)
            for number in pairs.numbers
        }

    def list_entries(self, pairs: ImagePairs) -> Iterator[dict[str, Any]]:
        return iter(())


def write_folders(out: Path, source: PairSource, layout: Layout, progress: Progress) -> int:
    """Write what is not there yet; return how many images had all of their files.

    Raises OSError of the disk, SketchforgeError for damaged shards.
    """
    num_kept, swept = 0, set[Path]()
    with progress.track("image", sum(map(source.count_images, source.splits))):
        for split in source.splits:
            root = out / layout.name_root(split)
            with _open_list(root, layout.list_name) as file:
                for pairs in source.read(split):
                    files = _list_missing(root, layout.list_files(pairs))
                    with sample_errors(source, pairs.key):
                        contents = {path: data() if callable(data) else data for path, data in files.items()}
                    _write_files(contents, swept)
                    num_kept += not files
                    if file is not None:
                        for entry in layout.list_entries(pairs):
                            file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
                    progress.advance()
    return num_kept


def _open_list(root: Path, name: str | None) -> AbstractContextManager[BinaryIO | None]:
    return nullcontext() if name is None else atomic_write(root / name)


def _list_missing(root: Path, files: dict[str, Any]) -> dict[Path, Any]:
    return {root / name: data for name, data in files.items() if not (root / name).is_file()}


def _write_files(contents: dict[Path, bytes], swept: set[Path]) -> None:
    """Write files. swept: the folders that hold no abandoned files any more."""
    for path, data in contents.items():
        if path.parent not in swept:
            remove_abandoned(path.parent)
            swept.add(path.parent)
        write_bytes(path, data, sweep=False)


def _join(pairs: ImagePairs, number: int) -> bytes:
    """A sketch and its image, side by side, as JPEG. Raises SketchforgeError where they do not fit together."""
    import numpy as np

    image, sketch = read_image(pairs.sample.image), read_image(pairs.sample.sketches[number])
    if image.shape != sketch.shape:
        raise SketchforgeError(
            f"{pairs.key}: its image is {image.shape[1]} × {image.shape[0]} pixels, its sketch {number} "
            f"{sketch.shape[1]} × {sketch.shape[0]}"
        )
    return encode_jpeg(np.hstack([sketch, image]))

"""Building a table of images, one at a time or a tar's at once; nothing is kept of an image but its columns."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Mapping

import numpy as np

from sketchforge.images.decode import REASONS
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource
from sketchforge.images.sources.table import (
    ABSENT,
    INLINE,
    UNUSABLE,
    Columns,
    FileTable,
    ImageTable,
    Places,
    TextColumn,
)

KINDS = ("image", "caption", "metadata")
_FLAGS = "B"


class TableBuilder:
    """Collects images. `columns`: name -> array; see `column_names` for what they hold."""

    def __init__(self) -> None:
        self.columns = {name: array(code) for name, code in column_names().items()}
        self.columns["names.ends"].append(0)
        self.columns["files.ends"].append(0)
        self.inline = bytearray()
        self._last: FileState | None = None

    def __len__(self) -> int:
        return len(self.columns["names.ends"]) - 1

    @property
    def num_files(self) -> int:
        return len(self.columns["files.sizes"])

    def add(self, image: ImageSource) -> None:
        self._append_text("names", f"{image.key}\0{image.source}\n".encode())
        for kind, content in zip(KINDS, (image.image, image.caption, image.metadata), strict=True):
            number, offset, size = self._place(content)
            self.columns[f"{kind}.number"].append(number)
            self.columns[f"{kind}.offset"].append(offset)
            self.columns[f"{kind}.size"].append(size)

    def add_file(self, file: FileState, gzipped: bool) -> int:
        """Return the number of a file, a new one unless it is the last that was added."""
        if file != self._last:
            self._append_text("files", os.fsencode(file.path))
            self.columns["files.sizes"].append(file.size)
            self.columns["files.modified"].append(file.modified)
            self.columns["files.gzipped"].append(gzipped)
            self._last = file
        return self.num_files - 1

    def extend(self, columns: dict[str, array[int]]) -> None:
        """Append the images and files of another builder's `columns` (none that are INLINE)."""
        num_files = self.num_files
        for name, column in columns.items():
            mine = self.columns[name]
            values: np.ndarray = np.frombuffer(column, dtype=column.typecode)
            if name.endswith(".ends"):
                values = values[1:] + mine[-1]
            elif name.endswith(".number"):
                values = np.where(values >= 0, values + num_files, values).astype(values.dtype)
            mine.frombytes(values.tobytes())
        self._last = None

    def build(self) -> ImageTable:
        """The table of all images; nothing can be added afterwards."""
        arrays = {name: np.frombuffer(column, column.typecode) for name, column in self.columns.items()}
        return ImageTable(columns_of(drop_absent(arrays), "", self.inline))

    def _place(self, content: ByteSource | None) -> tuple[int, int, int]:
        """The number of the file, the offset and the size of some content."""
        if content is None:
            return ABSENT, 0, 0
        if content.reason is not None:
            return UNUSABLE - REASONS.index(content.reason), 0, content.num_bytes
        if content.data is not None:
            self.inline += content.data
            return INLINE, len(self.inline) - len(content.data), content.num_bytes
        assert content.file is not None
        return self.add_file(content.file, content.gzipped), content.offset, content.num_bytes

    def _append_text(self, column: str, text: bytes) -> None:
        self.columns[f"{column}.blob"].frombytes(text)
        self.columns[f"{column}.ends"].append(len(self.columns[f"{column}.blob"]))


def column_names() -> dict[str, str]:
    """The names of the columns and the type codes of their values, as `array` and numpy have them.

    names, files: texts, see `TextColumn`: of each image key and source, of each file its path. KIND.number, .offset,
    .size: see `Places`. files.sizes, .modified (nanoseconds), .gzipped (0 or 1).
    """
    names = {"names.blob": _FLAGS, "names.ends": "q"}
    for kind in KINDS:
        names |= {f"{kind}.number": "i", f"{kind}.offset": "q", f"{kind}.size": "q"}
    return names | {
        "files.blob": _FLAGS,
        "files.ends": "q",
        "files.sizes": "q",
        "files.modified": "q",
        "files.gzipped": _FLAGS,
    }


def drop_absent(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns without those of captions or metadata that no image has."""
    absent = tuple(f"{kind}." for kind in KINDS[1:] if (arrays[f"{kind}.number"] == ABSENT).all())
    return {name: column for name, column in arrays.items() if not name.startswith(absent)}


def columns_of(
    arrays: Mapping[str, np.ndarray], folder: str, inline: bytes | bytearray | memoryview = b""
) -> Columns:
    """The columns of a table from the arrays of `column_names`; folder: that of files with relative paths."""
    files = FileTable(
        TextColumn(arrays["files.blob"], arrays["files.ends"]),
        arrays["files.sizes"],
        arrays["files.modified"],
        arrays["files.gzipped"],
        folder,
    )
    kinds = {
        kind: Places(
            files, arrays[f"{kind}.number"], arrays[f"{kind}.offset"], arrays[f"{kind}.size"], inline
        )
        for kind in KINDS
        if f"{kind}.number" in arrays
    }
    return Columns(
        TextColumn(arrays["names.blob"], arrays["names.ends"]),
        kinds["image"],
        kinds.get("caption"),
        kinds.get("metadata"),
    )


def build_table(images: Iterable[ImageSource]) -> ImageTable:
    builder = TableBuilder()
    for image in images:
        builder.add(image)
    return builder.build()

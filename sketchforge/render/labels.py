"""The class of every input: by the folder it lies in, or by a table."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources import ImageTable
from sketchforge.utils.text import count_noun

FOLDER = "folder"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_HEADS = ("image", "path", "file", "filename", "file_name", "key", "source")  # of a table's first column
MAX_CLASSES = 100_000
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Labels:
    """The classes' names, by number, and the number of each name that images are known by."""

    source: str  # folder, or the table's name and its digest
    classes: Sequence[str]
    numbers: Mapping[str, int]  # by the images' folders, or by the paths and keys of the table

    def number_of(self, key: str, source: str) -> int:
        """The number of an image's class, by its key and source."""
        if self.source == FOLDER:
            return self.numbers[_name_folder(source)]
        return self.numbers[source] if source in self.numbers else self.numbers[key]


def read_labels(source: str, images: ImageTable) -> Labels:
    """Read the classes of `images`: from their folders ("folder"), or from a table, FILE.csv or FILE.tsv.

    A folder's images are of the class of the topmost folder they lie in; classes are numbered by name, as torchvision's
    ImageFolder does. A table has two columns, the image's path relative to the input (or its key) and its class.
    Where all classes are numbers, they stay as they are.
    Raises UsageError for images without a class and for tables that do not say one clear thing of each,
    SketchforgeError where the table cannot be read.
    """
    # Name in the input -> class. Nothing is kept of an image: there may be millions.
    table = {} if source == FOLDER else _read_table(Path(source))
    known: set[str] = set()
    num_missing, first_missing = 0, ""
    for key, name in images.names():
        label = _name_folder(name) if source == FOLDER else table.get(name) or table.get(key) or ""
        known.add(label)
        if not label:
            num_missing, first_missing = num_missing + 1, first_missing or name
    if num_missing:
        where = "lie in no folder of their own" if source == FOLDER else "have no class"
        raise UsageError(
            f"--labels {source}: {num_missing} of {count_noun(len(images), 'image')} {where}, the first is "
            f"{first_missing}; " + _REMEDIES[source == FOLDER]
        )
    classes = _number_classes(known)
    if len(classes) > MAX_CLASSES:
        raise UsageError(f"--labels {source}: {len(classes):,} classes, expected {MAX_CLASSES:,} at most")
    number_of = {name: number for number, name in enumerate(classes)}
    if source == FOLDER:
        return Labels(FOLDER, classes, number_of)
    # Of the table's other rows classes may have no number.
    numbers = {name: number_of[label] for name, label in table.items() if label in number_of}
    labels = Labels("", classes, numbers)
    digest = hashlib.sha256()
    for key, name in images.names():
        digest.update(f"{key}\0{labels.number_of(key, name)}\n".encode())
    return replace(labels, source=f"{Path(source).name} {digest.hexdigest()[:16]}")


_REMEDIES = {
    True: "expected CLASS/IMAGE below --images, or a table: --labels FILE.csv",
    False: "expected a row of path (relative to --images) and class for every image",
}


def _name_folder(source: str) -> str:
    """The topmost folder that an image lies in; "" for none. A tar or a parquet file is no folder."""
    folder, slash, _ = source.partition("/")
    return folder if slash and not folder.lower().endswith((".tar", ".tar.gz", ".tgz", ".parquet")) else ""


def _read_table(path: Path) -> dict[str, str]:
    delimiter = _DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        raise UsageError(f"--labels {path}: expected {FOLDER}, or a table that ends in .csv or .tsv")
    if not path.is_file():
        raise UsageError(f"--labels {path}: no such file; expected a table of paths and classes, or {FOLDER}")
    table: dict[str, str] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SketchforgeError(f"{path}: larger than {MAX_BYTES >> 30} GiB, not read as a table")
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if not row or (reader.line_num == 1 and row[0].strip().lower() in _HEADS):
                    continue
                name, label = _check_row(path, reader.line_num, row)
                if table.setdefault(name, label) != label:
                    raise UsageError(
                        f"{path}: line {reader.line_num}: {name} is of class {label} here, of {table[name]} before"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SketchforgeError(f"{path}: cannot be read as a table ({error})") from error
    return table


def _check_row(path: Path, line: int, row: Sequence[str]) -> tuple[str, str]:
    cells = [cell.strip() for cell in row]
    if len(cells) != 2 or not all(cells):
        raise UsageError(f"{path}: line {line}: {count_noun(len(cells), 'column')}, expected path and class")
    return cells[0], cells[1]


def _number_classes(names: set[str]) -> list[str]:
    """The classes' names by number: sorted, or, where all are numbers, each in its own place."""
    if all(name.isascii() and name.isdigit() and len(name) < 7 for name in names):
        return [str(number) for number in range(max(map(int, names)) + 1)]
    return sorted(names)

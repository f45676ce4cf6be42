"""The class of every input: by the folder it lies in, or by a table."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources import ImageSource
from sketchforge.utils.text import count_noun

FOLDER = "folder"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_HEADS = ("image", "path", "file", "filename", "file_name", "key", "source")  # of a table's first column
MAX_CLASSES = 100_000
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Labels:
    """The number of each input's class, by key, and the classes' names, by number."""

    source: str  # folder, or the table's name and its digest
    classes: Sequence[str]
    numbers: Mapping[str, int]


def read_labels(source: str, images: Sequence[ImageSource]) -> Labels:
    """Read the classes of `images`: from their folders ("folder"), or from a table, FILE.csv or FILE.tsv.

    A folder's images are of the class of the topmost folder they lie in; classes are numbered by name, as torchvision's
    ImageFolder does. A table has two columns, the image's path relative to the input (or its key) and its class.
    Where all classes are numbers, they stay as they are.
    Raises UsageError for images without a class and for tables that do not say one clear thing of each,
    SketchforgeError where the table cannot be read.
    """
    if source == FOLDER:
        names = {image.key: _name_folder(image) for image in images}
    else:
        table = _read_table(Path(source))
        names = {image.key: table.get(image.source) or table.get(image.key) or "" for image in images}
    missing = [image.source for image in images if not names[image.key]]
    if missing:
        where = "lie in no folder of their own" if source == FOLDER else "have no class"
        raise UsageError(
            f"--labels {source}: {len(missing)} of {count_noun(len(images), 'image')} {where}, the first is "
            f"{missing[0]}; " + _REMEDIES[source == FOLDER]
        )
    classes = _number_classes({str(name) for name in names.values()})
    if len(classes) > MAX_CLASSES:
        raise UsageError(f"--labels {source}: {len(classes):,} classes, expected {MAX_CLASSES:,} at most")
    number_of = {name: number for number, name in enumerate(classes)}
    numbers = {key: number_of[str(name)] for key, name in names.items()}
    if source == FOLDER:
        return Labels(FOLDER, classes, numbers)
    digest = hashlib.sha256("".join(f"{key}\0{number}\n" for key, number in numbers.items()).encode())
    return Labels(f"{Path(source).name} {digest.hexdigest()[:16]}", classes, numbers)


_REMEDIES = {
    True: "expected CLASS/IMAGE below --images, or a table: --labels FILE.csv",
    False: "expected a row of path (relative to --images) and class for every image",
}


def _name_folder(image: ImageSource) -> str:
    """The topmost folder that an image lies in; "" for none. A tar is no folder."""
    folder, slash, _ = image.source.partition("/")
    return folder if slash and not folder.lower().endswith((".tar", ".tar.gz", ".tgz")) else ""


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

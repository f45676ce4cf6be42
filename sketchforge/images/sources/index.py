"""An index of images: what their folder or tars hold, found once by `sketchforge index` for all that plan with it.

It stands for what it was made of as long as that is unchanged. Where a file has changed, is new or is gone, nothing is
planned: neither with other images than there are, nor by reading all headers unasked.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.decode import REASONS
from sketchforge.images.sources.folder import INDEX, listing_digest
from sketchforge.images.sources.index_file import INLINE_TEXT, TAR_ROWS, read_index
from sketchforge.images.sources.keys import readable_extensions
from sketchforge.images.sources.passed_over import add_counts
from sketchforge.images.sources.patterns import is_meant
from sketchforge.images.sources.remote import find_states
from sketchforge.images.sources.source import FileState
from sketchforge.images.sources.table import Columns, FileTable, ImageTable
from sketchforge.images.sources.table_builder import columns_of
from sketchforge.storage.filesystems import is_url
from sketchforge.utils.text import count_noun

ENDING = ".index"


@dataclass(frozen=True)
class ImageIndex:
    """An index that was opened. `tar_rows`: int64 (tars + 1,), see `index_file.TAR_ROWS`; None of a folder tree."""

    path: str
    folder: str  # that its files' names are relative to
    record: Mapping[str, Any]  # see `index_file.RECORD_SHAPE`
    columns: Columns
    tar_rows: np.ndarray | None

    @property
    def source(self) -> str:
        """What it was made of, as `--images` names it."""
        return join_source(self.folder, self.record["source"])

    @property
    def files(self) -> FileTable:
        return self.columns.image.files

    def describe(self, images: ImageTable, num_tars: int) -> str:
        """Say in a line that images come from the index."""
        tars = f" in {count_noun(num_tars, 'tar')}" if num_tars else ""
        return f"{count_noun(len(images), 'image')}{tars} by the index {self.path}"

    def check_options(self, is_folder: bool, prefix_keys: bool) -> None:
        """Raise UsageError where its keys or images are not those that would be found here."""
        if self.record["is_folder"] != is_folder:
            raise self._outdated(self.source, "has become something else")
        if not is_folder and self.record["prefix_keys"] != prefix_keys:
            made, change = (
                ("with", "add it here") if self.record["prefix_keys"] else ("without", "leave it out")
            )
            raise UsageError(
                f"{self.path}: was made {made} --prefix-keys; {change}, or {self._remedy(prefix_keys)}"
            )
        if self.record["extensions"] != list(readable_extensions()):
            kind = "with" if ".heic" in map(".{}".format, self.record["extensions"]) else "without"
            raise UsageError(
                f"{self.path}: was made {kind} pillow-heif, here it is otherwise; {self._remedy()}"
            )
        if self.record["reasons"] != list(REASONS):
            raise UsageError(f"{self.path}: was made by another sketchforge; {self._remedy()}")

    def take_folder(self, passed_over: Counter[str]) -> ImageTable:
        """All images of a folder tree; what was passed over is counted in `passed_over`.

        Raises UsageError where anything in the tree has changed. All its folders are listed for that, and all its
        files looked at, but none is opened.
        """
        for folder, digest in self.record["listings"].items():
            path = os.path.join(self.folder, folder)
            if not os.path.isdir(path):
                raise self._outdated(path, "is gone")
            if listing_digest(path) != digest:
                raise self._outdated(path, "holds other files")
        for number in range(len(self.files)):
            state = self.files.state(number)
            if FileState.now(state.path) != state:
                raise self._outdated(state.path, "has changed")
        add_counts(passed_over, self.record["passed_over"][0])
        return ImageTable(self.columns)

    def take_tars(self, source: str, tars: Mapping[str, str], passed_over: Counter[str]) -> ImageTable:
        """The images of the tars that `source` means, path -> name relative to the index's folder, in their order.

        What was passed over in them is counted in `passed_over`. Raises UsageError where one of them has changed or is
        new, or one is gone from what the index was made of.
        """
        assert self.tar_rows is not None
        numbers = {self.files.name(number): number for number in range(len(self.files))}
        is_whole = os.path.abspath(source) == os.path.abspath(self.source)
        for name in sorted(numbers.keys() - tars.values()):
            path = os.path.join(self.folder, name)
            if is_whole or (not os.path.lexists(path) and is_meant(source, path)):
                raise self._outdated(path, "is gone")
        rows: list[range] = []
        states = find_states(tars)
        for path, name in tars.items():
            number = numbers.get(name)
            if number is None and is_whole:
                raise self._outdated(path, "is new")
            if number is None:
                command = shlex.join(["sketchforge", "index", source])
                raise UsageError(f"{path}: is not in {self.path}, made of {self.source}; run `{command}`")
            state = self.files.state(number)
            if states[path][1:] != state[1:]:
                raise self._outdated(path, "has changed")
            rows.append(range(int(self.tar_rows[number]), int(self.tar_rows[number + 1])))
            add_counts(passed_over, self.record["passed_over"][number])
        if all(this.stop == following.start for this, following in pairwise(rows)):
            return ImageTable(self.columns, range(rows[0].start, rows[-1].stop))
        return ImageTable(self.columns, np.concatenate([np.arange(part.start, part.stop) for part in rows]))

    def _outdated(self, path: str, what: str) -> UsageError:
        return UsageError(f"{path}: {what} since {self.path} was made; {self._remedy()}")

    def _remedy(self, prefix_keys: bool | None = None) -> str:
        if prefix_keys is None:
            prefix_keys = self.record["prefix_keys"]
        command = ["sketchforge", "index", self.source, *(["--prefix-keys"] if prefix_keys else [])]
        is_beside = os.path.abspath(self.path) == os.path.abspath(os.path.join(self.folder, INDEX))
        return f"run `{shlex.join([*command, *([] if is_beside else ['--out', self.path])])}` again"


def is_index(name: str) -> bool:
    """Whether what a user names is an index, by its ending."""
    return name.endswith(ENDING) and os.path.isfile(name)


def open_index(path: str) -> ImageIndex:
    """Raises SketchforgeError where it cannot be read, is damaged, or of another format or version."""
    record, columns = read_index(path)
    folder = record["folder"]
    if not is_url(folder):
        folder = os.path.normpath(os.path.join(os.path.dirname(path), folder))
    inline = columns.get(INLINE_TEXT)
    table = columns_of(columns, folder, b"" if inline is None else inline.data)
    return ImageIndex(path, folder, record, table, columns.get(TAR_ROWS))


def index_beside(folder: str, is_folder: bool) -> ImageIndex | None:
    """The index in a folder of images; None where there is none, or one of other things than is asked for.

    is_folder: a folder tree, else tars. Raises SketchforgeError as `open_index` does.
    """
    path = os.path.join(folder, INDEX)
    if not os.path.isfile(path):
        return None
    index = open_index(path)
    is_of_it = index.record["is_folder"] == is_folder and index.record["folder"] == "."
    return index if is_of_it else None


def join_source(folder: str, source: str) -> str:
    """What an index was made of; `source` is relative to `folder`."""
    return folder if source == "." else os.path.join(folder, source)

"""Making an index: every folder is listed, or every tar's headers are read, once and in several processes."""

from __future__ import annotations

import os
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import REASONS
from sketchforge.images.sources.find import check_usable, list_files, sort_files
from sketchforge.images.sources.folder import INDEX, images_in_folder
from sketchforge.images.sources.index import ENDING, is_index, join_source
from sketchforge.images.sources.index_file import INLINE_TEXT, TAR_ROWS, write_index
from sketchforge.images.sources.keys import check_keys, readable_extensions
from sketchforge.images.sources.passed_over import add_counts
from sketchforge.images.sources.remote import is_remote_folder
from sketchforge.images.sources.source import FileState
from sketchforge.images.sources.table import UNUSABLE
from sketchforge.images.sources.table_builder import TableBuilder, drop_absent
from sketchforge.images.sources.tar import images_in_tar, is_gzipped
from sketchforge.storage.filesystems import is_url
from sketchforge.utils.device import usable_cores
from sketchforge.utils.files import disk_errors
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun
from sketchforge.utils.worker_pool import Task, WorkerLost, worker_pool

TAR_SECONDS = 3600.0  # a tar that takes longer is on a disk that does not answer
WORTH_PROCESSES = 100  # tars, which take longer than processes to start

# A tar's columns, and what was passed over in it.
_TarContents = tuple[dict[str, "array[int]"], Counter[str]]


@dataclass(frozen=True)
class IndexSummary:
    """What an index holds."""

    path: Path
    num_images: int
    num_tars: int  # 0: a folder tree
    num_damaged: int  # tars that are not whole
    passed_over: dict[str, int]


def make_index(
    source: str | Path,
    out: Path | None = None,
    prefix_keys: bool = False,
    workers: int = 0,
    progress: Progress | None = None,
) -> IndexSummary:
    """Find the images of a folder tree or of tars, and write where they are.

    source: a folder, or tars by name, pattern or list, as `search_images` takes them. out: the file, NAME.index; None:
    `sketchforge.index` in the folder, or in that before the first wildcard. workers: processes that read a tar each; 0:
    as many as pay. The index is the same with any number. progress: counts tars, or files.
    Raises UsageError as `search_images` does, and for image files that no folder holds; SketchforgeError where a file
    cannot be read or the index cannot be written.
    """
    progress = progress or Progress()
    name = os.fspath(source)
    if out is not None and not out.name.endswith(ENDING):
        raise UsageError(f"--out {out}: expected a name that ends in {ENDING}")
    if is_index(name):
        raise UsageError(f"{name}: an index; name the folder or the tars that it is made of")
    passed_over: Counter[str] = Counter()
    builder, extra, tars = TableBuilder(), dict[str, np.ndarray](), dict[str, str]()
    record: dict[str, Any] = {"listings": {}}
    if os.path.isdir(name):
        folder = name = os.path.normpath(name)
        for image in images_in_folder(Path(name), passed_over, record["listings"], progress):
            builder.add(image)
        record["passed_over"] = [dict(passed_over)]
        names = [path[len(os.path.join(name, "")) :] for path in map(os.fsdecode, _list_paths(builder))]
    else:
        if is_url(name) and (is_remote_folder(name) or out is None):
            remedy = "sketchforge index 's3://bucket/*.tar' --out NAME.index"
            raise UsageError(
                f"{name}: of what lies elsewhere, tars are indexed, into a file here, as in {remedy}"
            )
        folder, files, _ = list_files(name, passed_over)
        tars, image_files, parquets = sort_files(name, files, passed_over)
        if parquets:
            raise UsageError(f"{name}: parquet files, which need no index: their footers say what they hold")
        if image_files:
            raise UsageError(f"{name}: image files; an index holds a folder or tars: name the folder")
        counts, rows = _read_tars_in_processes(tars, prefix_keys, workers, builder, progress)
        extra[TAR_ROWS] = np.array(rows, np.int64)
        record["passed_over"] = [dict(of_tar) for of_tar in counts]
        for of_tar in counts:
            add_counts(passed_over, of_tar)
        names = list(tars.values())
    images = builder.build()
    if tars:
        check_usable(name, images, "tar", len(tars), passed_over)
    check_keys(images)
    path = out or Path(folder) / INDEX
    is_beside = os.path.abspath(path.parent) == os.path.abspath(folder)
    record |= {
        "folder": folder if is_url(folder) else "." if is_beside else os.path.abspath(folder),
        "source": name[len(folder) :].lstrip("/") if is_url(folder) else os.path.relpath(name, folder or "."),
        "is_folder": not tars,
        "prefix_keys": prefix_keys and bool(tars),
        "extensions": list(readable_extensions()),
        "reasons": list(REASONS),
    }
    assert join_source(folder, record["source"])
    columns = {name: np.frombuffer(column, column.typecode) for name, column in builder.columns.items()}
    if builder.inline:
        extra[INLINE_TEXT] = np.frombuffer(builder.inline, np.uint8)
    with disk_errors(path):
        write_index(path, drop_absent(columns) | _store_names(names) | extra, record)
    num_damaged = int((columns["image.number"] <= UNUSABLE).sum()) if tars else 0
    return IndexSummary(path, len(images), len(tars), num_damaged, dict(sorted(passed_over.items())))


def read_tar(path: str, name: str, prefix_keys: bool) -> _TarContents:
    """Read the headers of a tar; it is the first file of its columns, whether it holds images or not.

    Raises SketchforgeError when it cannot be read at all, or changes meanwhile.
    """
    builder, passed_over = TableBuilder(), Counter[str]()
    builder.add_file(FileState.now(path), is_gzipped(path))
    for image in images_in_tar(path, name, prefix_keys, passed_over):
        builder.add(image)
    if builder.num_files != 1:
        raise SketchforgeError(f"{path}: has changed while it was read; run the same command again")
    return builder.columns, passed_over


def _read_tars_in_processes(
    tars: Mapping[str, str], prefix_keys: bool, workers: int, builder: TableBuilder, progress: Progress
) -> tuple[list[Counter[str]], list[int]]:
    """Add the images of all tars to `builder`; return what was passed over in each, and where its images begin."""
    if not workers:
        workers = usable_cores() if len(tars) >= WORTH_PROCESSES else 1
    counts, rows = [], [0]
    with progress.track("tar", len(tars)):
        for columns, passed_over in _read_each(tars, prefix_keys, min(workers, len(tars))):
            builder.extend(columns)
            counts.append(passed_over)
            rows.append(len(builder))
            progress.advance(found=count_noun(len(builder), "image"))
    return counts, rows


def _read_each(tars: Mapping[str, str], prefix_keys: bool, workers: int) -> Iterator[_TarContents]:
    """Yield the contents of every tar, in order."""
    if workers == 1:
        for path, name in tars.items():
            yield read_tar(path, name, prefix_keys)
        return
    with worker_pool(workers, TAR_SECONDS) as pool:
        waiting = iter(tars.items())
        begun: deque[tuple[str, Task]] = deque()

        def submit(count: int) -> None:
            for path, name in islice(waiting, count):
                begun.append((path, pool.submit(read_tar, path, name, prefix_keys)))

        submit(4 * workers)
        while begun:
            path, task = begun.popleft()
            try:
                contents = pool.result(task, path)
            except WorkerLost as lost:
                raise SketchforgeError(f"{path}: cannot be read ({lost.reason})") from lost
            submit(1)
            yield contents


def _list_paths(builder: TableBuilder) -> Iterator[bytes]:
    blob, ends = builder.columns["files.blob"].tobytes(), builder.columns["files.ends"]
    for start, end in pairwise(ends):
        yield blob[start:end]


def _store_names(names: list[str]) -> dict[str, np.ndarray]:
    """The columns of the files' names, relative to the index's folder."""
    encoded = [os.fsencode(name) for name in names]
    ends = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(name) for name in encoded], out=ends[1:])
    return {"files.blob": np.frombuffer(b"".join(encoded), np.uint8), "files.ends": ends}

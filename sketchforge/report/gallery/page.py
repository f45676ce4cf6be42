"""The gallery as a web page: a table of images and their sketches, with header and controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from sketchforge.report.html import asset, data_uri, fill_template, page
from sketchforge.shards.reader import RawSample
from sketchforge.shards.shard_set import ShardSet
from sketchforge.utils.text import count_noun


class _Column(NamedTuple):
    """A style; `folder` where its name alone would be ambiguous."""

    style: str
    folder: str

    @property
    def label(self) -> str:
        return f"{self.style} ({self.folder})" if self.folder else self.style


def gallery_page(
    folders: Sequence[ShardSet], rows: Sequence[Sequence[RawSample]], num_common: int
) -> Iterator[Markup]:
    """Yield the page in pieces.

    rows: each holds one image's sample of every folder; the first folder's photo is shown.
    num_common: the number of samples that the rows were chosen from.
    The images are the shards' own bytes.
    """
    columns = [
        _Column(style, folder.name if len(folders) > 1 else "")
        for folder in folders
        for style in folder.styles
    ]

    def sketches_of(samples: Sequence[RawSample]) -> Iterator[tuple[_Column, RawSample, bytes]]:
        sketches = [(sample, sketch) for sample in samples for sketch in sample.sketches]
        for column, (sample, sketch) in zip(columns, sketches, strict=True):
            yield column, sample, sketch

    body = fill_template(
        "gallery/gallery.html",
        folders=folders,
        rows=rows,
        columns=columns,
        sketches_of=sketches_of,
        facts=[describe_count(len(rows), num_common, len(folders)), *describe_folders(folders)],
        notes=[_describe_progress(folder) for folder in folders if not _is_finished(folder)],
        data_uri=data_uri,
    )
    title = " and ".join(folder.name for folder in folders)
    return page(f"{title} - sketches", asset("gallery/gallery.css"), asset("gallery/gallery.js"), body)


def describe_count(num_shown: int, num_common: int, num_folders: int) -> str:
    """How many images are shown, and of how many."""
    count = count_noun(num_common, "image")
    if num_shown < num_common:
        count = f"{num_shown:,} of {count} shown, spread evenly from the first to the last"
    return f"{count}, those that are in both folders" if num_folders > 1 else count


def describe_folders(folders: Sequence[ShardSet]) -> Iterator[str]:
    """Each folder's method, sketches per image, size and format; with its name where there are several."""
    for folder in folders:
        options = folder.options
        fit = options.get("fit")
        size = "original sizes" if fit == "keep" else f"{options.get('size')} px, {fit}"
        count = count_noun(len(folder.styles), "sketch")
        description = f"{folder.method}, {count} each, {size}, {options.get('sketch_format')}"
        yield f"{folder.name}: {description}" if len(folders) > 1 else description


def _is_finished(folder: ShardSet) -> bool:
    return len(folder.finished) >= folder.manifest["num_shards"]


def _describe_progress(folder: ShardSet) -> str:
    return (
        f"{folder.name} is unfinished: {len(folder.finished):,} of "
        f"{count_noun(folder.manifest['num_shards'], 'shard')}, {count_noun(len(folder.keys), 'image')} so far."
    )

"""The gallery as a web page: a table of images and their sketches, with header and controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sketchforge.report.html import data_uri, page, template, text
from sketchforge.shards.reader import RawSample
from sketchforge.shards.shard_set import ShardSet
from sketchforge.utils.text import count_noun


def gallery_page(
    folders: Sequence[ShardSet], rows: Sequence[Sequence[RawSample]], num_common: int
) -> Iterator[str]:
    """Yield the page in pieces.

    rows: each holds one image's sample of every folder; the first folder's photo is shown.
    num_common: the number of samples that the rows were chosen from.
    The images are the shards' own bytes.
    """
    title = " and ".join(folder.name for folder in folders)
    return page(
        f"{title} - sketches",
        template("gallery/gallery.css"),
        template("gallery/gallery.js"),
        _render_body(folders, rows, num_common),
    )


def _render_body(
    folders: Sequence[ShardSet], rows: Sequence[Sequence[RawSample]], num_common: int
) -> Iterator[str]:
    # With two folders a style's name alone would be ambiguous.
    columns = [
        (style, folder.name if len(folders) > 1 else "") for folder in folders for style in folder.styles
    ]
    yield '<header class="top">\n'
    yield from _render_summary(folders, len(rows), num_common)
    yield from _render_controls(columns)
    yield '</header>\n<main id="grid">\n'
    yield f'<table style="--columns: {1 + len(columns)}">\n'
    yield '<thead><tr><th scope="col" class="about">Image</th><th scope="col" class="photo">Photo</th>'
    for style, folder in columns:
        folder_span = f'<span class="folder">{text(folder)}</span>' if folder else ""
        yield f'<th scope="col">{text(style)}{folder_span}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for samples in rows:
        yield from _render_row(samples, columns)
    yield '</tbody>\n</table>\n<p id="nothing" hidden>No image matches the filter.</p>\n'
    yield f"{_PAGER}</main>\n{_LIGHTBOX}"


def _render_summary(folders: Sequence[ShardSet], num_shown: int, num_common: int) -> Iterator[str]:
    yield f"<h1>{' <small>and</small> '.join(text(folder.name) for folder in folders)}</h1>\n"
    count = f"{count_noun(num_common, 'image')}"
    if num_shown < num_common:
        count = f"{num_shown:,} of {count} shown"
    if len(folders) > 1:
        count += ", those that are in both folders"
    facts = [count, *(_describe_folder(folder, named=len(folders) > 1) for folder in folders)]
    spans = "".join(f'<span class="fact">{fact}</span> ' for fact in facts)
    yield f'<p class="faint">{spans}</p>\n'
    for folder in folders:
        if len(folder.finished) < folder.manifest["num_shards"]:
            yield (
                f'<p class="note">{text(folder.name)} is unfinished: {len(folder.finished):,} of '
                f"{count_noun(folder.manifest['num_shards'], 'shard')}, "
                f"{count_noun(len(folder.keys), 'image')} so far.</p>\n"
            )
    yield '<details class="options"><summary>Options</summary>\n'
    for folder in folders:
        pairs = sorted(folder.options.items())
        entries = "".join(
            f"<div><dt>{text(name)}</dt><dd>{text(_format_value(value))}</dd></div>" for name, value in pairs
        )
        yield f"<h2>{text(folder.name)}</h2><dl>{entries}</dl>\n"
    yield "</details>\n"


def _describe_folder(folder: ShardSet, named: bool) -> str:
    """The folder's method, sketches per image, size and format, as HTML text; named: with its name before."""
    options, styles = folder.options, folder.styles
    fit = options.get("fit")
    size = "original sizes" if fit == "keep" else f"{options.get('size')} px, {fit}"
    count = count_noun(len(styles), "sketch")
    description = f"{folder.method}, {count} each, {size}, {options.get('sketch_format')}"
    return text(f"{folder.name}: {description}" if named else description)


def _format_value(value: object) -> str:
    return "automatic" if value is None else str(value)


def _render_controls(columns: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield '<noscript><p class="note">Without JavaScript all images stand in one table.</p></noscript>\n'
    yield '<div class="controls" role="search">\n'
    yield (
        '<label>Filter <input type="search" id="filter" placeholder="key, source, caption" '
        'title="/ comes here" autocomplete="off" spellcheck="false"></label>\n'
        '<output id="matches" for="filter"></output>\n'
        '<label class="zoom">Zoom '
        '<input type="range" id="zoom" min="1" max="3" step="0.25" value="1"></label>\n'
    )
    yield f'{_PAGER}</div>\n<div class="controls" id="styles" role="group" aria-label="Styles shown">\n'
    for number, (style, folder) in enumerate(columns):
        name = f"{style} ({folder})" if folder else style
        box = f'<input type="checkbox" data-column="{number}" checked>'
        yield f'<label class="chip">{box} {text(name)}</label>\n'
    yield '<span><button type="button" id="all">all</button>'
    yield '<button type="button" id="none">none</button></span>\n</div>\n'


def _render_row(samples: Sequence[RawSample], columns: Sequence[tuple[str, str]]) -> Iterator[str]:
    first = samples[0]
    source = f'<bdi class="source">{text(first.metadata["source"])}</bdi>'
    caption = f'<bdi class="caption">{text(first.caption)}</bdi>' if first.caption else ""
    key = f'<span class="key">{text(first.key)}</span>'
    yield f'<tr><th scope="row" class="about">{key}{source}{caption}</th>'
    yield f'<td class="photo">{_render_image(first, "image/jpeg", first.image, f"{first.key}, photo")}</td>'
    sketches = [(sample, sketch) for sample in samples for sketch in sample.sketches]
    for (style, folder), (sample, sketch) in zip(columns, sketches, strict=True):
        label = f"{style} ({folder})" if folder else style
        button = _render_image(sample, "image/png", sketch, f"{first.key}, {label}")
        yield f'<td data-style="{text(label)}">{button}</td>'
    yield "</tr>\n"


def _render_image(sample: RawSample, media_type: str, data: bytes, alt: str) -> str:
    return (
        f'<button type="button" class="image"><img src="{data_uri(media_type, data)}" alt="{text(alt)}" '
        f'width="{sample.metadata["width"]}" height="{sample.metadata["height"]}" loading="lazy" decoding="async">'
        "</button>"
    )


_PAGER = """<nav class="pager" aria-label="Pages">
<button type="button" data-turn="-1" title="k or Page Up" aria-label="Previous page">&#8592;</button>
<span class="page"></span>
<button type="button" data-turn="1" title="j or Page Down" aria-label="Next page">&#8594;</button>
</nav>
"""

_LIGHTBOX = """<dialog id="lightbox" tabindex="-1" aria-labelledby="shown-key">
<div class="bar">
<div class="what"><strong id="shown-key"></strong> <span id="shown-style"></span>
<span id="shown-place" class="faint"></span>
<p id="shown-caption" class="faint"></p></div>
<label class="chip" title="o"><input type="checkbox" id="overlay"> overlay</label>
<span class="steps">
<button type="button" data-step="style -1" title="Left arrow" aria-label="Previous style">&#8592;</button>
<button type="button" data-step="style 1" title="Right arrow" aria-label="Next style">&#8594;</button>
<button type="button" data-step="image -1" title="Up arrow" aria-label="Previous image">&#8593;</button>
<button type="button" data-step="image 1" title="Down arrow" aria-label="Next image">&#8595;</button>
</span>
<button type="button" id="close" title="Esc" aria-label="Close">&#10005;</button>
</div>
<div class="pair"><img id="shown-photo" alt=""><img id="shown-sketch" alt=""></div>
</dialog>
"""

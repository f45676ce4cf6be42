"""The measurement of sketches as a web page: figures with their intervals, distributions, pictures, gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sketchforge import files
from sketchforge.images import ImageError, read_image
from sketchforge.metrics.lines import CONTENT, REALISM, STROKES, VARIETY, Evaluation, Figure, Row
from sketchforge.metrics.sketch_sets import DrawingSet, distinct_names, style_names
from sketchforge.pictures import encode_jpeg, encode_png
from sketchforge.report.page import data_uri, page, template, text
from sketchforge.report.selection import spread, whole_samples
from sketchforge.shards.writer import disk_errors

PICTURE_ROWS = 5
PICTURE_SIDE = 320  # pixels; larger pictures are reduced, for looking at them is the gallery's affair
BINS = 24


@dataclass(frozen=True)
class Column:
    """How one figure is shown: what it is multiplied by, how many decimals, and how it came about."""

    block: str
    name: str
    heading: str
    factor: float
    decimals: int
    explained: str
    bounds: tuple[float, float] | None = None  # of the scale; None: from zero to what there is


COLUMNS = (
    Column(
        CONTENT,
        "f_ods",
        "F (ODS)",
        1,
        3,
        "Harmonic mean of precision and recall, at the one threshold of darkness "
        "that is best for all images together (BSDS500's optimal dataset scale). Higher is better.",
        (0, 1),
    ),
    Column(
        CONTENT,
        "f_ois",
        "F (OIS)",
        1,
        3,
        "The same with the best threshold for each image (optimal image scale). "
        "A two-tone sketch has one threshold only. Higher is better.",
        (0, 1),
    ),
    Column(
        CONTENT,
        "precision",
        "precision",
        1,
        3,
        "Share of the sketch's line pixels, thinned, that lie on a boundary "
        "that some annotator drew, within 0.75 % of the diagonal. Higher is better.",
        (0, 1),
    ),
    Column(
        CONTENT,
        "recall",
        "recall",
        1,
        3,
        "Share of the annotators' boundary pixels that the sketch drew. Higher is better.",
        (0, 1),
    ),
    Column(
        REALISM,
        "auc",
        "AUC",
        1,
        3,
        "How well a classifier tells thinned stroke patches from those of the human "
        "drawings, images held out: 0.5 not at all, 1 always. Lower is better, down to the floor.",
        (0, 1),
    ),
    Column(
        REALISM,
        "kid",
        "KID",
        1,
        1,
        "Kernel distance from the human drawings in the built-in encoder's features; "
        "comparable within one report only. Lower is better, about 0 is none.",
    ),
    Column(
        VARIETY,
        "vendi",
        "Vendi score",
        1,
        2,
        "Effective number of different manners among the sketches of one "
        "image, mean over images; two people's drawings of one photo differ by one kernel width. "
        "Higher is better.",
    ),
    Column(STROKES, "ink", "ink, %", 100, 1, "Share of the pixels that is ink."),
    Column(
        STROKES,
        "width",
        "width, px",
        1,
        2,
        "Width of the lines in pixels of the sketch as stored, median over its skeleton.",
    ),
    Column(
        STROKES,
        "relative_width",
        "width, % of diagonal",
        100,
        2,
        "The same over the picture's diagonal: comparable between sketches of different size.",
    ),
    Column(
        STROKES,
        "straightness",
        "straightness",
        1,
        3,
        "Chord over arc length of the line's fragments, between branch points; closed loops are 0.",
    ),
    Column(
        STROKES, "fragments", "fragments", 1, 0, "Number of pieces of line between ends and branch points."
    ),
    Column(
        STROKES,
        "short_share",
        "short, %",
        100,
        1,
        "Share of the lines' length in fragments shorter than 2 % of the diagonal: dashes and specks.",
    ),
)
MEASURED = {
    CONTENT: "Does it show what people see?",
    REALISM: "Is it drawn as people draw?",
    VARIETY: "Are the styles different?",
    STROKES: "What are its strokes like?",
}
NEUTRAL = "Neither high nor low is better; what counts is the distance from the human drawings."


@dataclass(frozen=True)
class PictureRow:
    """One image: its name, and (heading, data URI or "" where there is none) for every column."""

    name: str
    cells: tuple[tuple[str, str], ...]


def write_sketch_page(path: Path, evaluation: Evaluation) -> None:
    """Write the page, whole or not at all. Raises SketchforgeError on damaged shards or a full disk."""
    rows = picture_rows(evaluation)
    with (
        disk_errors(path),
        files.appearing(path) as partial,
        open(partial, "w", encoding="utf-8", errors="replace", newline="\n") as file,
    ):
        file.writelines(sketch_page(evaluation, rows))


def sketch_page(evaluation: Evaluation, pictures: Sequence[PictureRow]) -> Iterator[str]:
    """The page in pieces; equal evaluations and pictures give equal bytes."""
    title = " and ".join(distinct_names([one.path for one in evaluation.shards]))
    return page(f"{title} - measured", template("sketch_page.css"), "", _body(title, evaluation, pictures))


def picture_rows(evaluation: Evaluation) -> list[PictureRow]:
    """A few images of the first folder: photo, annotations, the styles of every folder, drawings."""
    keys = spread(list(evaluation.shards[0].chosen), PICTURE_ROWS)
    columns: dict[str, dict[str, str]] = {key: {} for key in keys}
    names = style_names(evaluation.shards)
    for index, one in enumerate(evaluation.shards):
        here = [key for key in keys if key in one.keys]
        for sample in whole_samples(one.path, one.manifest, one.keys, here):
            cells = columns[sample.key]
            if not index:
                cells["photo"] = _picture(sample.image, photo=True)
                annotation = evaluation.annotations[0].get(sample.key)
                if evaluation.options.boundaries:
                    cells["people's boundaries"] = _annotation(annotation, one.frame) if annotation else ""
            for name, sketch in zip(names[index], sample.sketches, strict=True):
                cells[name] = _picture(sketch)
    for one, name in zip(
        evaluation.drawings, distinct_names([one.path for one in evaluation.drawings]), strict=True
    ):
        for key, uri in zip(
            keys, _drawings(one, [evaluation.shards[0].photos[key] for key in keys]), strict=True
        ):
            columns[key][f"{name} (drawings)"] = uri
    headings = list(dict.fromkeys(heading for cells in columns.values() for heading in cells))
    return [
        PictureRow(key, tuple((heading, cells.get(heading, "")) for heading in headings))
        for key, cells in columns.items()
    ]


def _drawings(one: DrawingSet, photos: Sequence[str]) -> list[str]:
    """A drawing for every photo: one made from it where there is one, else any."""
    of_photo = dict(zip(reversed(one.photos), reversed(one.drawings), strict=True))
    others = spread(one.drawings, len(photos))
    result = []
    for index, photo in enumerate(photos):
        drawing = of_photo.get(photo, others[index % len(others)])
        try:
            result.append(_picture(drawing.read()))
        except ImageError:
            result.append("")
    return result


def _picture(data: bytes, photo: bool = False) -> str:
    pixels = _reduced(read_image(data))
    return _uri(pixels if photo else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def _annotation(path: Path, frame: tuple[int, str]) -> str:
    """Boundaries over each other: the more annotators drew a pixel, the darker."""
    from sketchforge.metrics.boundaries import fit_boundaries, read_boundaries

    drawn = np.mean([fit_boundaries(annotation, *frame) for annotation in read_boundaries(path)], axis=0)
    return _uri(_reduced(np.rint(255 * (1 - drawn)).astype(np.uint8)))


def _reduced(picture: np.ndarray) -> np.ndarray:
    scale = PICTURE_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _uri(picture: np.ndarray) -> str:
    if picture.ndim == 3:
        return data_uri("image/jpeg", encode_jpeg(picture))
    return data_uri("image/png", encode_png(picture, bilevel=bool(np.isin(picture, (0, 255)).all())))


# --- the page


def _body(title: str, evaluation: Evaluation, pictures: Sequence[PictureRow]) -> Iterator[str]:
    yield f'<header>\n<h1>{text(title)} <small>measured</small></h1>\n<p class="faint">'
    looked_at = sum(len(one.chosen) * len(one.styles) for one in evaluation.shards)
    facts = [f"{looked_at:,} sketches", f"seed {evaluation.options.seed}"]
    facts += [f"{len(one.drawings):,} drawings of {one.path.resolve().name}" for one in evaluation.drawings]
    yield " &#183; ".join(map(text, facts))
    yield "</p>\n</header>\n<main>\n"
    yield from _gaps(evaluation)
    yield from _pictures(pictures)
    for block in MEASURED:
        yield from _block(block, evaluation)
    yield from _distributions(evaluation)
    yield from _notes(evaluation)
    yield "</main>\n"


def _gaps(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.gaps:
        return
    yield '<section>\n<h2>Not measured</h2>\n<ul class="gaps">\n'
    for gap in evaluation.gaps:
        where = ": ".join(part for part in (gap.row, gap.block) if part)
        yield f"<li><strong>{text(where)}</strong>: {text(gap.reason)}</li>\n"
    yield "</ul>\n</section>\n"


def _pictures(rows: Sequence[PictureRow]) -> Iterator[str]:
    yield '<section>\n<h2>Some of the images</h2>\n<div class="wide" tabindex="0" role="region" '
    yield 'aria-label="Some of the images">\n<table class="pictures">\n<thead><tr>'
    for heading, _ in rows[0].cells:
        yield f'<th scope="col">{text(heading)}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in rows:
        yield "<tr>"
        for heading, uri in row.cells:
            alt = text(f"{row.name}, {heading}")
            picture = f'<img src="{uri}" alt="{alt}" loading="lazy" decoding="async">' if uri else "none"
            yield f"<td>{picture}</td>"
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</div>\n"
    if any("(drawings)" in heading for heading, _ in rows[0].cells):
        yield '<p class="faint">Human drawings are of the photo beside them where there are such.</p>\n'
    yield "</section>\n"


def _block(block: str, evaluation: Evaluation) -> Iterator[str]:
    rows = [row for row in evaluation.rows if row.figures.get(block)]
    columns = [column for column in COLUMNS if column.block == block]
    yield f'<section id="{block}">\n<h2>{block.capitalize()} <small>{text(MEASURED[block])}</small></h2>\n'
    if not rows:
        yield '<p class="faint">Not measured, see above.</p>\n</section>\n'
        return
    floor = _floor(block, evaluation)
    yield from _table(columns, rows, floor)
    compared = [row for row in rows if any(name.startswith("distance") for name in row.figures[block])]
    if compared:
        yield "<h3>Distance from the human drawings</h3>\n"
        distances = [
            Column(block, f"distance_{column.name}", column.heading.split(",")[0], 1, 2, "")
            for column in columns
            if any(row.figure(block, f"distance_{column.name}") for row in compared)
        ]
        yield from _table(distances, compared, floor)
        yield (
            '<p class="faint">Wasserstein distance between the distributions over sketches, in standard '
            "deviations of the human drawings'. Lower is better, down to the floor.</p>\n"
        )
    if floor:
        mark = f'<svg class="key" viewBox="0 0 12 16" aria-hidden="true">{_line(6, "floor")}</svg>'
        yield f'<p class="faint">{mark} '
        yield {
            CONTENT: "what people reach, each against the others.",
            REALISM: "the floor: one half of the human drawings against the other, mean over 20 halvings.",
            STROKES: "the human drawings; under distance the floor, one half of them against the other.",
        }[block]
        yield "</p>\n"
    yield "<dl>\n"
    for column in columns:
        yield f"<div><dt>{text(column.heading)}</dt><dd>{text(column.explained)}</dd></div>\n"
    yield "</dl>\n"
    if block == STROKES:
        yield f'<p class="faint">Medians over sketches. {text(NEUTRAL)}</p>\n'
    yield "</section>\n"


def _floor(block: str, evaluation: Evaluation) -> Row | None:
    """The people whom a block's figures are marked with."""
    rows = evaluation.of_kind("people" if block == CONTENT else "reference")
    return rows[0] if rows and rows[0].figures.get(block) else None


def _table(columns: Sequence[Column], rows: Sequence[Row], floor: Row | None) -> Iterator[str]:
    yield '<div class="wide" tabindex="0" role="region" aria-label="Figures">\n<table class="figures">\n'
    yield '<thead><tr><th scope="col">set</th>'
    for column in columns:
        yield f'<th scope="col">{text(column.heading)}</th>'
    yield '<th scope="col">images</th></tr></thead>\n<tbody>\n'
    scales = [_scale(column, rows) for column in columns]
    for row in rows:
        yield f'<tr class="{row.kind}"><th scope="row">{text(row.name)}</th>'
        counts = []
        for column, scale in zip(columns, scales, strict=True):
            figure = row.figure(column.block, column.name)
            people = floor.figure(column.block, column.name) if floor else None
            yield f"<td>{_cell(figure, column, scale, people)}</td>"
            counts += [figure.images] if figure else []
        yield f"<td>{max(counts, default=0):,}</td></tr>\n"
    yield "</tbody>\n</table>\n</div>\n"


def _scale(column: Column, rows: Sequence[Row]) -> tuple[float, float]:
    if column.bounds:
        return column.bounds
    figures = [figure for row in rows if (figure := row.figure(column.block, column.name))]
    ends = [value for one in figures for value in (one.value, one.low, one.high) if value is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    return (low, high) if high > low else (low, low + 1)


def _cell(figure: Figure | None, column: Column, scale: tuple[float, float], floor: Figure | None) -> str:
    if figure is None:
        return '<span class="faint">&#8211;</span>'

    def number(value: float) -> str:
        return f"{column.factor * value:.{column.decimals}f}"

    def at(value: float) -> float:
        return round(4 + 112 * (value - scale[0]) / (scale[1] - scale[0]), 1)

    shapes = ['<line class="axis" x1="4" y1="12" x2="116" y2="12"/>']
    ends = ""
    if floor is not None:
        shapes.append(_line(at(floor.value), "floor"))
    if figure.low is not None and figure.high is not None:
        width = max(1, at(figure.high) - at(figure.low))
        shapes.append(f'<rect class="interval" x="{at(figure.low)}" y="5" width="{width:.1f}" height="6"/>')
        ends = f'<span class="ends">{number(figure.low)} to {number(figure.high)}</span>'
    shapes.append(f'<circle class="value" cx="{at(figure.value)}" cy="8" r="3"/>')
    drawn = f'<svg class="bar" viewBox="0 0 120 16" aria-hidden="true">{"".join(shapes)}</svg>'
    spread_of = ""
    if figure.p10 is not None and figure.p90 is not None:
        spread_of = f'<span class="ends">10th {number(figure.p10)}, 90th {number(figure.p90)}</span>'
    return f"<b>{number(figure.value)}</b> {ends}{drawn}{spread_of}"


def _line(x: float, name: str) -> str:
    return f'<line class="{name}" x1="{x}" y1="1" x2="{x}" y2="15"/>'


def _distributions(evaluation: Evaluation) -> Iterator[str]:
    """Of every style and measure a histogram over sketches, over that of the human drawings."""
    rows = [row for row in evaluation.rows if row.values]
    people = next(iter(evaluation.of_kind("reference")), None)
    columns = [column for column in COLUMNS if column.block == STROKES]
    yield '<section id="distributions">\n<h2>Strokes, sketch by sketch</h2>\n'
    yield '<div class="wide" tabindex="0" role="region" aria-label="Distributions">\n'
    yield '<table class="figures">\n'
    yield '<thead><tr><th scope="col">set</th>'
    ranges = []
    for column in columns:
        values = np.concatenate([np.asarray(row.values.get(column.name, ()), float) for row in rows])
        low, high = np.percentile(values, (0, 99)) if len(values) else (0.0, 1.0)
        low, high = (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)
        ranges.append((low, high))
        ends = " to ".join(f"{column.factor * end:.{column.decimals}f}" for end in (low, high))
        yield f'<th scope="col">{text(column.heading)}<span class="ends">{ends}</span></th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in rows:
        yield f'<tr class="{row.kind}"><th scope="row">{text(row.name)}</th>'
        for column, bounds in zip(columns, ranges, strict=True):
            shapes = []
            if people is not None:
                shapes.append(f'<path class="people" d="{_histogram(people.values, column.name, bounds)}z"/>')
            shapes.append(f'<path class="style" d="{_histogram(row.values, column.name, bounds)}"/>')
            label = text(f"{row.name}: distribution of {column.heading}")
            yield f'<td><svg class="plot" viewBox="0 0 120 40" role="img" aria-label="{label}">'
            yield f"{''.join(shapes)}</svg></td>"
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</div>\n<p class='faint'>Line: sketches of the set."
    if people is not None:
        yield f" Filled: {text(people.name)}."
    yield " What lies beyond the 99th percentile of all is put at the end of the scale.</p>\n</section>\n"


def _histogram(values: Mapping[str, Sequence[float]], name: str, bounds: tuple[float, float]) -> str:
    """The steps of a histogram as an SVG path over 120 x 40, its highest bin at the top."""
    found = np.clip(np.asarray(values.get(name, ()), float), *bounds)
    counts = np.histogram(found, bins=BINS, range=bounds)[0]
    heights = 39 - 36 * counts / max(1, counts.max())
    width = 120 / BINS
    steps = "".join(f"V{height:.1f}H{(index + 1) * width:.0f}" for index, height in enumerate(heights))
    return f"M0 39{steps}V39"


def _notes(evaluation: Evaluation) -> Iterator[str]:
    options = evaluation.options
    rows = [
        (
            "sketches",
            str(one.path),
            f"{len(one.chosen):,} of {len(one.keys):,} images, {len(one.styles)} styles",
        )
        for one in evaluation.shards
    ]
    rows += [
        ("human drawings", str(one.path), f"{len(one.drawings):,} of {one.num_found:,}")
        for one in evaluation.drawings
    ]
    if options.boundaries:
        found = ", ".join(f"{len(one):,}" for one in evaluation.annotations)
        rows.append(("boundaries", str(options.boundaries), f"{found} images"))
    yield "<section>\n<h2>What was measured</h2>\n<dl>\n"
    for what, path, count in rows:
        yield f"<div><dt>{what}</dt><dd>{text(path)}, {text(count)}</dd></div>\n"
    libraries = ", ".join(f"{name} {version}" for name, version in evaluation.libraries.items())
    yield f"<div><dt>libraries</dt><dd>{text(libraries)}</dd></div>\n"
    yield f"<div><dt>encoder</dt><dd>builtin, {text(evaluation.encoder)}</dd></div>\n</dl>\n"
    yield (
        '<p class="faint">Intervals hold the middle 95 % of 1,000 percentile-bootstrap resamplings over '
        "images; the human drawings that others are compared with stay as they are. Two sets whose intervals "
        "overlap may still differ: they were measured on the same images.</p>\n</section>\n"
    )

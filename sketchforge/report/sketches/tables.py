"""How the figures of sketches are shown on the page: headings, scales, and what each means."""

from __future__ import annotations

from dataclasses import dataclass

from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY


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
        "drawings, images held out: 0.5 not at all, 1 always; mean over five runs. Lower is better, down "
        "to the floor.",
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
        "Effective number of different styles among the sketches of one "
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
        "The same over the image's diagonal: comparable between sketches of different size.",
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

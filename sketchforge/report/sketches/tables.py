"""The columns of sketch figures on the page: headings, scales and explanations."""

from __future__ import annotations

from dataclasses import dataclass

from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY


@dataclass(frozen=True)
class Column:
    """A column of one figure: its heading, factor, decimals, explanation and scale."""

    block: str
    name: str
    heading: str
    factor: float
    decimals: int
    explained: str
    bounds: tuple[float, float] | None = None  # of the scale; None: fitted to the values, with 0 on it
    lower_is_better: bool = False


COLUMNS = (
    Column(
        block=CONTENT,
        name="f_ods",
        heading="F (ODS)",
        factor=1,
        decimals=3,
        explained="Harmonic mean of precision and recall, at the one threshold of darkness "
        "that is best for all images together (BSDS500's optimal dataset scale). Higher is better.",
        bounds=(0, 1),
    ),
    Column(
        block=CONTENT,
        name="f_ois",
        heading="F (OIS)",
        factor=1,
        decimals=3,
        explained="The same with the best threshold for each image (optimal image scale). "
        "A two-tone sketch has one threshold only. Higher is better.",
        bounds=(0, 1),
    ),
    Column(
        block=CONTENT,
        name="precision",
        heading="precision",
        factor=1,
        decimals=3,
        explained="Share of the sketch's line pixels, thinned, that lie on a boundary "
        "that some annotator drew, within 0.75 % of the diagonal. Higher is better.",
        bounds=(0, 1),
    ),
    Column(
        block=CONTENT,
        name="recall",
        heading="recall",
        factor=1,
        decimals=3,
        explained="Share of the annotators' boundary pixels that the sketch drew. Higher is better.",
        bounds=(0, 1),
    ),
    Column(
        block=REALISM,
        name="auc",
        heading="AUC",
        factor=1,
        decimals=3,
        explained="How well a classifier tells thinned stroke patches from those of the human "
        "drawings, images held out: 0.5 not at all, 1 always; mean over five runs. Lower is better, down "
        "to the floor.",
        bounds=(0, 1),
        lower_is_better=True,
    ),
    Column(
        block=REALISM,
        name="kid",
        heading="KID ×1000",
        factor=1000,
        decimals=1,
        explained="Kernel distance from the human drawings in the built-in encoder's features; "
        "times 1,000; comparable within one report only. Lower is better, about 0 is none.",
        lower_is_better=True,
    ),
    Column(
        block=VARIETY,
        name="vendi",
        heading="Vendi score",
        factor=1,
        decimals=2,
        explained="Effective number of different pens and amounts of ink among the sketches of one image, mean over "
        "images; two people's drawings of one photo differ by one kernel width. It does not see whether the lines "
        "are the same. Higher is better.",
    ),
    Column(
        block=VARIETY,
        name="shared",
        heading="shared lines",
        factor=1,
        decimals=3,
        explained="Share of their line pixels that two sketches of one image have in common, mean over pairs and "
        "images: of the sparser one, within 2 pixels of 256 of the other, at the best of small shifts and scales. "
        "The pen does not count. Lower is better, down to people's.",
        bounds=(0, 1),
        lower_is_better=True,
    ),
    Column(
        block=STROKES,
        name="ink",
        heading="ink, %",
        factor=100,
        decimals=1,
        explained="Share of the pixels that is ink.",
    ),
    Column(
        block=STROKES,
        name="width",
        heading="width, px",
        factor=1,
        decimals=2,
        explained="Width of the lines in pixels of the sketch as stored, median over its skeleton.",
    ),
    Column(
        block=STROKES,
        name="relative_width",
        heading="width, % of diagonal",
        factor=100,
        decimals=2,
        explained="The same over the image's diagonal: comparable between sketches of different size.",
    ),
    Column(
        block=STROKES,
        name="straightness",
        heading="straightness",
        factor=1,
        decimals=3,
        explained="Chord over arc length of the line's fragments, between branch points; closed loops are 0.",
    ),
    Column(
        block=STROKES,
        name="fragments",
        heading="fragments",
        factor=1,
        decimals=0,
        explained="Number of pieces of line between ends and branch points.",
    ),
    Column(
        block=STROKES,
        name="short_share",
        heading="short, %",
        factor=100,
        decimals=1,
        explained="Share of the lines' length in fragments shorter than 2 % of the diagonal: dashes and "
        "specks.",
    ),
)
MEASURED = {
    CONTENT: "Does it show what people see?",
    REALISM: "Is it drawn as people draw?",
    VARIETY: "Are the styles different?",
    STROKES: "What are its strokes like?",
}
IN_TRAINING_SET = (
    "Marked with *: the published weights learnt from BSDS500. Boundaries of its train and val photos are in the "
    "training set, and F on them is too high."
)
NEUTRAL = "Neither high nor low is better; what counts is the distance from the human drawings."

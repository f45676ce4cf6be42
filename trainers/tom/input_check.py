"""Are the photos photos and the drawings drawings? Measured on a sample before TOM is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError
from sketchforge.images.drawing_check import ImageKind, measure_drawing
from sketchforge.options import TomTrainOptions
from sketchforge.utils.progress import Progress
from sketchforge.utils.seeding import numpy_generator

LEAST_SIDE = 128  # pixels of the longer side; in smaller images strokes are not told from areas
MOST_MEASURED = 100  # images of either kind; a few seconds, and enough to tell which half outweighs the other


@dataclass(frozen=True)
class InputSurvey:
    """What the measured images of a source look like."""

    count: int  # images of the source
    kinds: dict[int, ImageKind | None]  # by index, of the images that could be read; None: too small to tell
    inverted: int  # line drawings, light on dark
    small: int  # shorter side below half the training crop's

    @property
    def measured(self) -> int:
        return len(self.kinds)

    @property
    def blank(self) -> list[int]:
        """Indices of the blank images."""
        return [index for index, kind in self.kinds.items() if kind is ImageKind.BLANK]

    def number(self, *kinds: ImageKind) -> int:
        """How many of the measured images are of one of these kinds."""
        return sum(kind in kinds for kind in self.kinds.values())

    def mostly(self, *kinds: ImageKind) -> bool:
        """Whether more than half of the images that are not blank are of one of these kinds."""
        return self.number(*kinds) > (self.measured - len(self.blank)) / 2

    def share(self, number: int, noun: str) -> str:
        """As in "3 of 40 drawings", or "3 of 100 measured drawings" where not all were measured."""
        return f"{number} of {self.measured} {'' if self.measured == self.count else 'measured '}{noun}"


def survey_inputs(
    readers: Sequence[Callable[[], np.ndarray]], options: TomTrainOptions, purpose: str, progress: Progress
) -> InputSurvey:
    """Measure up to MOST_MEASURED images, picked by the seed. readers: functions that return uint8 H×W×3 RGB."""
    count = len(readers)
    indices = np.arange(count)
    if count > MOST_MEASURED:
        rng = numpy_generator(options.seed, f"tom survey {purpose}", 0)
        indices = np.sort(rng.choice(count, MOST_MEASURED, replace=False))
    kinds: dict[int, ImageKind | None] = {}
    inverted = small = 0
    progress.stage(f"measuring {purpose}")
    with progress.track("image", len(indices)):
        for index in map(int, indices):
            try:
                image = readers[index]()
            except ImageError:  # the training counts and names these
                continue
            finally:
                progress.advance()
            measures = measure_drawing(image)
            is_clear = max(image.shape[:2]) >= LEAST_SIDE or measures.kind is ImageKind.BLANK
            kinds[index] = measures.kind if is_clear else None
            inverted += measures.inverted and measures.kind is ImageKind.LINES
            small += min(image.shape[:2]) < options.size / 2
    progress.stage("")
    return InputSurvey(count, kinds, inverted, small)


def check_inputs(
    options: TomTrainOptions, photos: InputSurvey | None, drawings: InputSurvey | None
) -> list[str]:
    """Lines to tell the user about the photos and drawings; None: the built-in ones.

    Raises UsageError where photos and drawings are swapped, where most of the drawings are blank or photos, and
    where all photos are blank.
    """
    if photos and drawings:
        _refuse_swapped(options, photos, drawings)
    notes = []
    if drawings:
        _refuse_drawings(options.drawings, drawings)
        notes += _describe_drawings(drawings, options.size)
    if photos:
        if photos.measured and photos.number(ImageKind.BLANK) == photos.measured:
            raise UsageError(
                f"--images {options.images}: {photos.share(photos.measured, 'photos')} are blank; name photos that "
                "show something"
            )
        notes += _describe_photos(photos)
    return notes


def _refuse_swapped(options: TomTrainOptions, photos: InputSurvey, drawings: InputSurvey) -> None:
    areas = ImageKind.PHOTO, ImageKind.SHADED
    if photos.mostly(ImageKind.LINES) and drawings.mostly(*areas):
        raise UsageError(
            f"--images {options.images} and --drawings {options.drawings} seem swapped: "
            f"{photos.share(photos.number(ImageKind.LINES), 'photos')} look like line drawings, and "
            f"{drawings.share(drawings.number(*areas), 'drawings')} do not"
        )


def _refuse_drawings(folder: str | Path | None, drawings: InputSurvey) -> None:
    blank = drawings.number(ImageKind.BLANK)
    if blank > drawings.measured / 2:
        raise UsageError(
            f"--drawings {folder}: {drawings.share(blank, 'drawings')} are blank (no ink to be seen; transparency "
            "counts as white); name a folder of line drawings"
        )
    if drawings.mostly(ImageKind.PHOTO):
        raise UsageError(
            f"--drawings {folder}: {drawings.share(drawings.number(ImageKind.PHOTO), 'drawings')} look like photos; "
            "expected thin strokes on paper that is mostly of one level. To train on them all the same, convert "
            "them to grey"
        )


def _describe_drawings(drawings: InputSurvey, size: int) -> list[str]:
    remarks = [
        (drawings.inverted, "light on dark: turned round"),
        (drawings.number(ImageKind.BLANK), "blank: left out"),
        (drawings.number(ImageKind.PHOTO), "like photos, not like line drawings"),
        (drawings.number(ImageKind.SHADED), "shaded or filled: their tones are learnt, too"),
        (drawings.small, f"smaller than half of --size {size}: their lines become soft"),
    ]
    notes = [_join(drawings.share(number, "drawings"), number, text) for number, text in remarks if number]
    if drawings.count - len(drawings.blank) == 1:
        notes.append("a single drawing: all snapshots imitate it; twenty will do")
    return notes


def _describe_photos(photos: InputSurvey) -> list[str]:
    notes = []
    if blank := photos.number(ImageKind.BLANK):
        notes.append(_join(photos.share(blank, "photos"), blank, "blank"))
    if photos.mostly(ImageKind.LINES):
        lines = photos.number(ImageKind.LINES)
        notes.append(_join(photos.share(lines, "photos"), lines, "like line drawings, not like photos"))
    return notes


def _join(subject: str, number: int, text: str) -> str:
    return f"{subject} {'is' if number == 1 else 'are'} {text}"

"""How often every hand keeps both eyes and the mouth of a face, by the size of the face: a table of docs/hands.md.

    python benchmarks/studies/faces_kept.py --data DATA [--half choose]

60 portraits of faces/stylegan2_256, in which eyes and mouths lie at the same places: whole (the face is half the picture
wide), and small, before another portrait blurred. Drawn as `render` does by default, at 256 pixels, but that the subject is
found by colour. An eye or a mouth is kept where the strokes that a hand takes have two points within it. `--half choose` has
the portraits by which the search for faces was chosen, the others, the default, are to report.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.resize import fit_square, shrink_to  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from sketchforge.sketchers.factory import open_sketcher  # noqa: E402
from sketchforge.strokes.draw import draw_hands, trace_picture  # noqa: E402
from sketchforge.strokes.faces import find_faces  # noqa: E402
from sketchforge.strokes.foreground import find_foreground  # noqa: E402
from sketchforge.strokes.hands import read_hands  # noqa: E402

SIDE = 256
HALVES = {"choose": slice(100, 160), "report": slice(160, 220)}
SHARES = (1.0, 0.5, 0.35)  # of the picture's side that a portrait takes
FEATURES = {  # x, y, half width and half height, in shares of a portrait
    "left eye": (0.385, 0.47, 0.085, 0.06),
    "right eye": (0.615, 0.47, 0.085, 0.06),
    "mouth": (0.5, 0.70, 0.12, 0.07),
}


def place_portrait(portrait: np.ndarray, other: np.ndarray, share: float) -> tuple[np.ndarray, int]:
    """A portrait in the middle of another, blurred one; and where it begins, in pixels."""
    side = round(SIDE * share)
    corner = (SIDE - side) // 2
    picture = cv2.GaussianBlur(np.roll(other, SIDE // 2, 1), (0, 0), 12)
    small = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    picture[corner : corner + side, corner : corner + side] = small
    return picture, corner


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", choices=HALVES, default="report")
    asked = parser.parse_args()
    paths = sorted((asked.data / "faces/stylegan2_256").iterdir())[HALVES[asked.half]]
    portraits = [fit_square(read_image(path), SIDE, "crop") for path in paths]
    options = RenderOptions(Path("unused"), tom=Path("builtin"))
    sketcher, hands = open_sketcher(options).sketcher, read_hands()
    print(
        "| face, px | found | "
        + " | ".join(FEATURES)
        + " | all three | the worst hand |\n"
        + "|---" * 7
        + "|"
    )
    for share in SHARES:
        kept = np.zeros((len(paths), len(hands), len(FEATURES)), bool)
        found = 0
        for number, portrait in enumerate(portraits):
            picture, corner = place_portrait(portrait, portraits[(number + 7) % len(portraits)], share)
            small = shrink_to(picture, options.drawn_side(SIDE))
            found += len(find_faces(small)) > 0
            (greys,) = sketcher.draw(small[None]).images()
            traced = trace_picture(np.array(greys), find_foreground(small).astype(np.float32), small)
            for hand, drawing in enumerate(draw_hands(traced, hands, 0, paths[number].name, (SIDE, SIDE))):
                points = (traced.strokes.select(drawing.taken).points + 0.5) * SIDE / small.shape[0] - corner
                points /= share * SIDE
                for feature, (x, y, width, height) in enumerate(FEATURES.values()):
                    inside = (abs(points[:, 0] - x) < width) & (abs(points[:, 1] - y) < height)
                    kept[number, hand, feature] = inside.sum() >= 2
        each, all_three = kept.mean((0, 1)), kept.all(2)
        cells = [f"{value:.3f}" for value in (*each, all_three.mean(), all_three.mean(0).min())]
        print(
            f"| {round(0.56 * share * SIDE)} | {found} of {len(paths)} | " + " | ".join(cells) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()

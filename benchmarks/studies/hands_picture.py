"""The picture of ten hands at the head of the README: seven built-in photos, as `render` draws them by default.

python benchmarks/studies/hands_picture.py --out docs/images/ten-hands.jpg

With --strips, the pictures of the gallery: a strip of four photos, and one of each hand's sketches of them.

python benchmarks/studies/hands_picture.py --strips docs/images/hands
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import sketchforge  # noqa: E402
from sketchforge.images.builtin.photos import load_photos  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402

SHOWN = ("astronaut", "cat", "coffee", "dahlia", "officer", "pagoda", "rocket")
IN_STRIPS = ("astronaut", "officer", "cat", "pagoda")
CELL, QUALITY = 112, 88  # pixels; of the JPEG
GAP = 24  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--out", type=Path)
    wanted.add_argument("--strips", type=Path)
    asked = parser.parse_args()
    photos = dict(load_photos())
    shown = SHOWN if asked.out else IN_STRIPS
    drawn = sketchforge.sketch([photos[f"{name}-s0-00"] for name in shown])
    if asked.out:
        rows = [[sketches.image, *sketches.values()] for sketches in drawn]
        Image.fromarray(contact_sheet(rows, ["photo", *drawn[0]], CELL)).save(asked.out, quality=QUALITY)
    else:
        write_strips(drawn, asked.strips)


def write_strips(drawn: list[sketchforge.Sketches], folder: Path) -> None:
    """photos.jpg and NAME.png, black and white: the images side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    side_by_side([sketches.image for sketches in drawn]).save(folder / "photos.jpg", quality=QUALITY)
    for name in drawn[0]:
        strip = side_by_side([sketches[name] for sketches in drawn])
        strip.convert("1").save(folder / f"{name}.png", optimize=True)


def side_by_side(images: list[np.ndarray]) -> Image.Image:
    gap = np.full_like(images[0][:, :GAP], 255)
    return Image.fromarray(np.hstack([part for image in images for part in (image, gap)][:-1]))


if __name__ == "__main__":
    main()

"""The picture of ten hands at the head of the README: seven built-in photos, as `render` draws them by default.

python benchmarks/studies/hands_picture.py --out docs/images/ten-hands.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import sketchforge  # noqa: E402
from sketchforge.images.builtin.photos import load_photos  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402

SHOWN = ("astronaut", "cat", "coffee", "dahlia", "officer", "pagoda", "rocket")
CELL, QUALITY = 112, 88  # pixels; of the JPEG


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    photos = dict(load_photos())
    drawn = sketchforge.sketch([photos[f"{name}-s0-00"] for name in SHOWN])
    rows = [[sketches.image, *sketches.values()] for sketches in drawn]
    Image.fromarray(contact_sheet(rows, ["photo", *drawn[0]], CELL)).save(asked.out, quality=QUALITY)


if __name__ == "__main__":
    main()

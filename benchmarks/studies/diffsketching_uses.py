"""What else DiffSketching is used for, on built-in drawings and photos, taken at random and not chosen.

    python benchmarks/studies/diffsketching_uses.py --run runs/diffsketching --out FILE.jpg [--count 2] [--seed 0]

For each style three rows: between two drawings (`synthesize --interpolate`), a photo that a drawing edits by growing strength
(`--strength`), and several images of one drawing (`--images-per-sketch`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from results_pictures import QUALITY, random_pairs  # noqa: E402

from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.options import SynthesizeOptions  # noqa: E402
from sketchforge.synthesis.job import run_job  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402

BETWEEN = 3
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
IMAGES = 5


def synthesize(run: Path, folder: Path, sketch: tuple[str, ...], **options: Any) -> list[np.ndarray]:
    """The images that `sketchforge synthesize` makes of sketches in the style of STYLE.png, in the order of its record."""
    paths = tuple(str(folder / f"{name}.png") for name in sketch)
    made = folder / f"made-{len(list(folder.iterdir()))}"
    run_job(
        SynthesizeOptions(
            model=run, sketch=paths, style=(str(folder / "STYLE.png"),), out=made, threads=1, device="cpu", **options
        )
    )  # fmt: skip
    names = sorted((path for path in made.glob("*--STYLE*.png")), key=lambda path: _place_of(path, sketch))
    return [read_image(path) for path in names]


def _place_of(path: Path, sketch: tuple[str, ...]) -> tuple[int, str]:
    """First the first sketch, then what is between, then the second; of one sketch by number."""
    name = path.stem.partition("--")[0]
    return (sketch.index(name) * len(sketch) if name in sketch else 1, path.stem)


def draw_uses(run: Path, count: int, seed: int) -> np.ndarray:
    """uint8 H×W×3: three rows for each of `count` styles."""
    rows: list[list[np.ndarray | None]] = []
    pairs = random_pairs(2 * count, seed)
    for at in range(count):
        (first, style), (second, _) = pairs[2 * at : 2 * at + 2]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, image in (("a", first), ("b", second), ("STYLE", style)):
                Image.fromarray(image).save(folder / f"{file}.png")
            between = synthesize(run, folder, ("a", "b"), interpolate=BETWEEN)
            edited = [synthesize(run, folder, ("a",), strength=strength)[0] for strength in STRENGTHS]
            several = synthesize(run, folder, ("a",), images_per_sketch=IMAGES)
        rows += [[first, *between, second], [first, style, *edited], [first, style, *several]]
    return contact_sheet(rows, [""] * len(rows[1]), 112)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2, help="styles; default: 2")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs; default: 0")
    asked = parser.parse_args()
    set_threads(1)
    Image.fromarray(draw_uses(asked.run, asked.count, asked.seed)).save(asked.out, quality=QUALITY)


if __name__ == "__main__":
    main()

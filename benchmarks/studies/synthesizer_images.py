"""The pictures that the shipped sketch-to-image model learns from: cutouts on plain grounds and before landscapes.

    python benchmarks/studies/synthesizer_images.py --data DATA --out DIR

DATA holds photos/cutouts and photos/free_backgrounds. Leaves DIR/train and DIR/held-out: every cutout
COMPOSITES times; in `train` also the built-in photos and crops of the backgrounds. Held out are whole kinds of
cutouts, so that no picture of `train` shows the same thing. The same bytes every time.

People draw one thing on an empty sheet. So one thing is in the picture, large and near the middle, half of the
times on a plain ground with a shadow, else before a landscape out of focus.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from foreground_material import held_out_kinds, kind_of  # noqa: E402
from free_tom_images import (  # noqa: E402
    NOT_PHOTOGRAPHED,
    SIDE,
    random_crop,
    read_cutout,
    shift_colours,
)

from sketchforge.images.builtin.photos import load_photos  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.encode import write_png  # noqa: E402
from sketchforge.utils.seeding import numpy_generator  # noqa: E402

COMPOSITES = 4  # of every cutout
BACKGROUND_CROPS = 4  # of every background
PLAIN = 0.5  # share of the composites on a plain ground
LARGEST, SMALLEST = 0.95, 0.55  # the thing's longer side over the picture's
OFF_CENTRE = 0.08  # std of its place, over the picture's side


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    write_images(asked.data, asked.out)


def write_images(data: Path, out: Path) -> None:
    builtin = load_photos()
    backgrounds = {
        path.stem: read_image(path.read_bytes())
        for path in sorted((data / "photos/free_backgrounds").glob("*.jpg"))
    }
    for key, pixels in builtin:
        write_png(out / "train" / f"builtin-{key}.png", pixels)
    for name, pixels in backgrounds.items():
        for number in range(BACKGROUND_CROPS):
            rng = numpy_generator(0, f"crop of {name}", number)
            write_png(out / "train" / f"background-{name}-{number}.png", random_crop(pixels, rng, 0.3, 1.0))
    paths = [
        path for path in sorted((data / "photos/cutouts").glob("*.png")) if path.stem not in NOT_PHOTOGRAPHED
    ]
    tests = held_out_kinds([path.stem for path in paths])
    behind = [*backgrounds.values(), *(pixels for _, pixels in builtin)]
    for path in paths:
        cutout = read_cutout(path)
        part = "held-out" if kind_of(path.stem) in tests else "train"
        for number in range(COMPOSITES):
            rng = numpy_generator(0, f"picture of {path.stem}", number)
            is_plain = number < PLAIN * COMPOSITES
            write_png(out / part / f"cutout-{path.stem}-{number}.png", compose(cutout, behind, is_plain, rng))


def compose(
    cutout: np.ndarray, backgrounds: Sequence[np.ndarray], is_plain: bool, rng: np.random.Generator
) -> np.ndarray:
    """uint8 H×W×4 RGBA -> uint8 SIDE×SIDE×3."""
    figure, alpha = place(cutout, rng)
    ground = make_plain_ground(rng)
    if not is_plain:
        pixels = backgrounds[int(rng.integers(len(backgrounds)))]
        ground = shift_colours(random_crop(pixels, rng, 0.4, 1.0).astype(np.float32), rng)
        ground = cv2.GaussianBlur(ground, (0, 0), rng.uniform(0.5, 8))
    shadow = cv2.GaussianBlur(np.roll(alpha, int(rng.integers(4, 14)), axis=0), (0, 0), rng.uniform(6, 14))
    ground = ground * (1 - rng.uniform(0, 0.5) * shadow[..., None])
    image = ground * (1 - alpha[..., None]) + figure
    image = shift_colours(image, rng)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def place(cutout: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(float32 SIDE×SIDE×3 with alpha multiplied in, alpha SIDE×SIDE in [0, 1]), turned and mirrored a little."""
    rows, columns = np.nonzero(cutout[..., 3] > 127)
    cutout = cutout[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = cutout.shape[:2]
    scale = rng.uniform(SMALLEST, LARGEST) * SIDE / max(height, width)
    turn = np.deg2rad(rng.normal(0, 6))
    mirror = -1 if rng.random() < 0.5 else 1
    matrix = (
        scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([mirror, 1])
    )
    centre = SIDE * (0.5 + rng.normal(0, OFF_CENTRE, 2))
    warp = np.hstack([matrix, (centre - matrix @ [width / 2, height / 2])[:, None]])
    alpha = cutout[..., 3:].astype(np.float32) / 255
    # Warped with alpha multiplied in: what colour transparent pixels have must not bleed into the rim.
    layers = np.concatenate([cutout[..., :3] * alpha, alpha], axis=2)
    if scale < 1:  # warping takes single pixels
        layers = cv2.GaussianBlur(layers, (0, 0), 0.4 / scale)
    layers = cv2.warpAffine(layers, warp, (SIDE, SIDE))
    return layers[..., :3], layers[..., 3].clip(0, 1)


def make_plain_ground(rng: np.random.Generator) -> np.ndarray:
    """float32 SIDE×SIDE×3: white, or a colour, mostly pale; lighter towards one side."""
    colour = np.full(3, 250.0) if rng.random() < 0.3 else rng.uniform(60, 255, 3) ** 0.6 * 255**0.4
    slope = np.linspace(-1, 1, SIDE)
    angle = rng.uniform(0, 2 * np.pi)
    light = np.cos(angle) * slope[:, None] + np.sin(angle) * slope[None]
    return (colour + rng.uniform(0, 25) * light[..., None]).astype(np.float32).clip(0, 255)


if __name__ == "__main__":
    main()

"""The bundled photographs, cut into square crops.  Origins and licences: ``photos/NOTICE.md``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FOLDER = Path(__file__).parent / "photos"
CROP_SIDE = 256
# Share of the photo's shorter side taken by a crop; crop positions along the shorter and the longer side.
SCALES: tuple[tuple[float, int, int], ...] = ((0.95, 1, 3), (0.55, 2, 3))
MIN_COVERAGE = 0.27


def load_photos() -> list[tuple[str, np.ndarray]]:
    """Square crops of the bundled photographs at two scales, about fifty.

    Returns a list of (key, image), the image uint8 RGB (256, 256, 3).  Keys read
    ``name-s<scale>-<position>``; a position keeps its number when others are left out.
    """
    crops = []
    for path in sorted(FOLDER.glob("*.jpg")):
        decoded = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None, path  # it came with the package
        photo = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
        for scale, (share, across_short, across_long) in enumerate(SCALES):
            for position, crop in enumerate(_cut_squares(photo, share, across_short, across_long)):
                if edge_coverage(crop) >= MIN_COVERAGE:
                    crops.append((f"{path.stem}-s{scale}-{position:02d}", crop))
    return crops


def edge_coverage(image: np.ndarray, cells: int = 8, threshold: float = 8.0) -> float:
    """Share of the `cells` x `cells` tiles of an RGB image that hold an edge, 0 to 1.

    An edge is a luminance gradient of at least `threshold` grey levels per pixel after smoothing, which
    keeps film grain and sensor noise from counting as content.  Counting tiles rather than averaging the
    gradient does not penalise dark photographs.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.5).astype(np.float32)
    gradient = np.hypot(np.gradient(grey, axis=0), np.gradient(grey, axis=1))
    tiles = [tile for band in np.array_split(gradient, cells) for tile in np.array_split(band, cells, axis=1)]
    return sum(float(tile.max()) >= threshold for tile in tiles) / len(tiles)


def _cut_squares(photo: np.ndarray, share: float, across_short: int, across_long: int) -> list[np.ndarray]:
    height, width = photo.shape[:2]
    side = int(min(height, width) * share)
    rows, columns = (across_long, across_short) if height > width else (across_short, across_long)
    squares = []
    for y in _spread_starts(height - side, rows, side):
        for x in _spread_starts(width - side, columns, side):
            square = photo[y : y + side, x : x + side]
            squares.append(
                cv2.resize(
                    square,
                    (CROP_SIDE, CROP_SIDE),
                    interpolation=cv2.INTER_AREA if side > CROP_SIDE else cv2.INTER_CUBIC,
                )
            )
    return squares


def _spread_starts(room: int, count: int, side: int) -> list[int]:
    """Spread up to `count` crop starts over `room` pixels, fewer where crops would be near duplicates."""
    count = min(count, 1 + int(room / (0.2 * side)))
    return [room // 2] if count == 1 else [round(room * k / (count - 1)) for k in range(count)]

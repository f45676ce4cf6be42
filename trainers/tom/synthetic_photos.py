"""Synthetic photos: drawings coloured in, so that of each one drawing is known to be right.

Departure from the paper, which has photos without drawings and drawings without photos. A drawing parts the paper into
regions; filled with colours, shading and texture from the photos and with its lines faint, dark or light, it is a
image whose right drawing is the one it was made from. Learning to find that again teaches G, in S's own style,
that an edge between two faint tones is a line, and that fur, bark and grass are none, nor a giraffe's patches.
"""

from __future__ import annotations

import cv2
import numpy as np

SMALLEST_PIECE = 20  # pixels of a photo that texture is made from
SHADING_SCALE = 24  # pixels: what varies more slowly is shading
LARGEST_GAP = 5  # pixels: wider gaps in a line let two regions be one
PATTERN_SCALES = (
    2.5,
    12.0,
)  # pixels: std of the blur that makes a pattern of noise; coarser than texture


def synthesize_photo(
    drawing: np.ndarray, photos: np.ndarray, contrast: float, rng: np.random.Generator
) -> np.ndarray:
    """uint8 H×W drawing (dark on light), uint8 K×H×W×3 RGB photos -> uint8 H×W×3 RGB image of the same layout.

    contrast: grey levels between the two tones of a pattern, at most; 0: no patterns.
    """
    ink = 1 - stretch_contrast(drawing)
    regions = _regions(ink, int(rng.integers(1, LARGEST_GAP + 1)))
    count = int(regions.max()) + 1
    photos = photos.astype(np.float32)

    # Each region takes its colour from a pixel of a photo and its texture from one of the photos.
    height, width = drawing.shape
    source = rng.integers(len(photos), size=count)
    colours = photos[source, rng.integers(height, size=count), rng.integers(width, size=count)]
    # Half of the images get colours close to each other: outlines of low contrast must be found, too.
    together = rng.uniform(0.1, 0.5) if rng.random() < 0.5 else 1.0
    colours = colours.mean(0) + together * (colours - colours.mean(0))
    roughness = (rng.uniform(0, 0.8, count) * (rng.random(count) < 0.8)).astype(np.float32)
    image = colours[regions]
    for number, photo in enumerate(photos):
        amount = np.where(source == number, roughness, 0).astype(np.float32)[regions]
        image += amount[..., None] * _texture(photo, rng)
    # Half of the regions get a pattern, too, which has clear edges and is not drawn.
    tones = rng.uniform(-contrast, contrast, count) * (rng.random(count) < 0.5)
    tint = rng.uniform(0.6, 1.0, 3).astype(np.float32)
    image += _pattern(height, width, rng)[..., None] * tones.astype(np.float32)[regions][..., None] * tint
    # One light over all regions: shading crosses outlines and is none.
    coarse = cv2.resize(
        photos[int(rng.integers(len(photos)))],
        (max(width // SHADING_SCALE, 2), max(height // SHADING_SCALE, 2)),
        interpolation=cv2.INTER_AREA,
    )
    coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image += rng.uniform(0, 0.5) * (coarse - coarse.mean((0, 1)))

    # Real outlines are steps between tones more often than lines, and where there is one it may be the lighter.
    strength = rng.uniform(0.15, 0.5) if rng.random() < 0.5 else rng.uniform(0.5, 1.0)
    tone = rng.uniform(0, 60) if rng.random() < 0.75 else rng.uniform(190, 255)
    line = (strength * ink)[..., None]
    image = (1 - line) * image + line * tone
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.0))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _texture(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 H×W×3 -> the same size, mean 0: a small piece of the photo, mirrored again and again.

    Fur, bark or wall if the piece shows some; pieces are too small to hold an outline that anyone would rng.
    """
    height, width = photo.shape[:2]
    side = min(int(rng.integers(SMALLEST_PIECE, 2 * SMALLEST_PIECE)), height, width)
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    piece = photo[top : top + side, left : left + side]
    piece = piece - cv2.GaussianBlur(piece, (0, 0), side / 4)
    return cv2.copyMakeBorder(piece, 0, height - side, 0, width - side, cv2.BORDER_REFLECT)


def _pattern(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """float32 H×W in [0, 1], two tones: blobs, stripes, or patches parted by narrow seams, as of a giraffe's hide."""
    across = rng.uniform(*PATTERN_SCALES)
    along = across * (4 if rng.random() < 0.3 else rng.uniform(0.4, 1))
    sigmas = (across, along) if rng.random() < 0.5 else (along, across)
    noise = rng.standard_normal((height, width)).astype(np.float32)
    field = cv2.GaussianBlur(noise, (0, 0), sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_REFLECT)
    if rng.random() < 0.5:
        field = np.abs(field - field.mean())
    pattern = (field > np.quantile(field, rng.uniform(0.3, 0.7))).astype(np.float32)
    return cv2.GaussianBlur(pattern, (0, 0), 0.7)


def stretch_contrast(drawing: np.ndarray) -> np.ndarray:
    """uint8 H×W -> float32 H×W in [0, 1] with the paper at 1 and the darkest ink at 0, however grey the scan."""
    low, high = np.percentile(drawing, (1, 90))
    return np.clip((drawing.astype(np.float32) - low) / max(high - low, 1.0), 0, 1)


def _regions(ink: np.ndarray, gap: int) -> np.ndarray:
    """int H×W: the number of the region each pixel is in; ink belongs to the nearest one."""
    closed = (ink > 0.5).astype(np.uint8)
    if gap > 1:
        closed = cv2.morphologyEx(
            closed, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
        )
    if closed.all():
        return np.zeros(ink.shape, np.int32)
    _, nearest = cv2.distanceTransformWithLabels(closed, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    return nearest


def denoise(photo: np.ndarray, side: int) -> np.ndarray:
    """uint8 H×W×3 -> the same without what is finer than `side` pixels (odd), edges kept: median filter, twice.

    Departure from Eq. 4, whose f_c is the photo's: all of its texture would have to be in the drawing.
    """
    return cv2.medianBlur(cv2.medianBlur(photo, side), side)

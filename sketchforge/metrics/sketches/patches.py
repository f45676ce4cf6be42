"""Stroke patches: small windows around the lines of a sketch, all at one scale and drawn with one pen.

Line width and stored size do not depend on whether a person drew a sketch, yet they would separate any two
sets. So every sketch is thinned, redrawn at one working size with one pen, and thinned again: only the course
of the lines is left. The windows are too small to show what is depicted.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from sketchforge.utils.seeding import numpy_generator

INK_BELOW = 128  # grey levels under it are ink
WORKING_SIDE = 160  # pixels, the longer side of every sketch that is looked at
PATCH_SIDE = 32  # pixels, a fifth of WORKING_SIDE
PEN_WIDTH = 3  # pixels at WORKING_SIDE; lines closer than that become one, at whatever width they were stored
_SUBPIXEL_BITS = 4  # cv2's fixed-point coordinates


def stroke_patches(sketch: np.ndarray, count: int, seed: int, *key: object) -> np.ndarray:
    """Up to `count` windows of a sketch, each centred on a point of a line chosen at random.

    sketch: uint8 HxW, 255 paper, 0 ink. Returns uint8 (K, PATCH_SIDE, PATCH_SIDE) of 0 and 255, lines one
    pixel wide. Blank windows and windows that reach over the sketch's edge are left out. So K is below
    `count` where there are fewer line points, and 0 for a blank sketch or one over five times as long as
    wide. The choice depends on (seed, key) only. Raises ValueError for another dtype or shape, or a negative
    count.
    """
    if count < 0:
        raise ValueError(f"count is {count}, expected 0 or more")
    lines = normalize_lines(sketch)
    half = PATCH_SIDE // 2
    rows, columns = np.nonzero(lines[half : lines.shape[0] - half, half : lines.shape[1] - half])
    rng = numpy_generator(seed, "stroke patches", *key)
    chosen = rng.permutation(len(rows))[:count]
    patches = np.empty((len(chosen), PATCH_SIDE, PATCH_SIDE), np.uint8)
    for patch, row, column in zip(patches, rows[chosen], columns[chosen], strict=True):
        patch[:] = np.where(lines[row : row + PATCH_SIDE, column : column + PATCH_SIDE], 0, 255)
    return patches


def normalize_lines(sketch: np.ndarray) -> np.ndarray:
    """The lines of a sketch, one pixel wide, at the working size.

    uint8 HxW, 255 paper -> bool (h, w), its longer side WORKING_SIDE. Ink is thinned (Zhang & Suen 1984), its
    links are drawn at the working size with a pen of PEN_WIDTH, and the result is thinned once more. Scaling
    links rather than pixels loses no hairline of a large sketch and opens no gap in a small one. Raises
    ValueError for another dtype or shape.
    """
    if sketch.dtype != np.uint8 or sketch.ndim != 2 or not sketch.size:
        raise ValueError(f"expected a sketch as uint8 HxW, found {sketch.dtype} of shape {sketch.shape}")
    height, width = sketch.shape
    scale = WORKING_SIDE / max(height, width)
    size = tuple(max(1, round(side * scale)) for side in (height, width))
    canvas = np.zeros(size, np.uint8)
    links = (_find_links(skeletonize(sketch < INK_BELOW)) + 0.5) * scale - 0.5  # pixel centres, not corners
    fixed = np.round(links * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.polylines(canvas, list(fixed), False, 255, PEN_WIDTH, cv2.LINE_AA, _SUBPIXEL_BITS)
    return skeletonize(canvas >= INK_BELOW)


def _find_links(lines: np.ndarray) -> np.ndarray:
    """bool HxW -> int (N, 2, 2): pairs (x, y) of neighbouring pixels, and every pixel paired with itself."""
    height, width = lines.shape
    links = []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1)):
        first = lines[: height - down, max(0, -right) : width - max(0, right)]
        second = lines[down:, max(0, right) : width - max(0, -right)]
        y, x = np.nonzero(first & second)
        x = x + max(0, -right)
        links.append(np.stack([np.stack([x, y], 1), np.stack([x + right, y + down], 1)], 1))
    return np.concatenate(links)


# The features of a stroke patch for the two-sample test: a dozen figures about the course of its lines.
#
# None changes where a patch is rotated by quarter turns or mirrored. All but the first are relative to the
# length of the lines in it.

# Standard deviations in pixels: of the smoothing before gradients are taken, and of the neighbourhood over
# which they are compared.
SCALES = ((0.7, 1.0), (1.0, 2.0), (1.5, 4.0), (2.0, 8.0))


FEATURES = (
    "ink",
    "ends",
    "junctions",
    "pieces",
    "holes",
    *(f"{name} {scale:g}" for _, scale in SCALES for name in ("coherence", "coherence spread")),
)

_NEIGHBOUR_KERNEL = np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]], np.float32)


_PATCH_CONNECTIVITY = np.zeros((3, 3, 3), bool)


_PATCH_CONNECTIVITY[1] = True


def describe_patches(patches: np.ndarray) -> np.ndarray:
    """uint8 (K,P,P) from `stroke_patches` -> float64 (K, len(FEATURES)).

    ink: the number of line pixels.
    Each per line pixel: ends and junctions, pixels with at most one and with at least three neighbours of
    eight, the patch's border left out; pieces, 8-connected components; holes, background enclosed by them.
    coherence s: (l1 - l2) / (l1 + l2) of the structure tensor's eigenvalues (Förstner & Gülch 1987; Weickert
    1999), averaged over the line pixels: 1 where the line keeps its direction within s pixels, 0 where
    directions are mixed. Its spread is the standard deviation over the line pixels.
    Raises ValueError for another dtype or shape, or a patch without ink.
    """
    if patches.dtype != np.uint8 or patches.ndim != 3:
        raise ValueError(f"expected patches as uint8 KxPxP, found {patches.dtype} of shape {patches.shape}")
    if not len(patches):
        return np.empty((0, len(FEATURES)))
    lines = patches < 128
    ink = lines.sum(axis=(1, 2))
    if not ink.all():
        raise ValueError(f"patch {int(np.argmin(ink))} is blank, which stroke_patches leaves out")
    weights = lines.astype(np.float32)
    neighbours = ndimage.convolve(weights, _NEIGHBOUR_KERNEL, mode="constant")
    # Every line that leaves the patch ends at its border, whoever drew it.
    inside = np.zeros(patches.shape[1:], bool)
    inside[1:-1, 1:-1] = True
    pieces = _count_pieces(lines)
    counts = (
        (lines & inside & (neighbours <= 1)).sum(axis=(1, 2)),
        (lines & inside & (neighbours >= 3)).sum(axis=(1, 2)),
        pieces,
        pieces - _compute_euler_number(lines),
    )
    columns = [ink, *(count / ink for count in counts)]
    for smoothing, scale in SCALES:
        coherence = _compute_coherence(weights, smoothing, scale) * weights
        mean = coherence.sum(axis=(1, 2), dtype=np.float64) / ink
        square = np.square(coherence, dtype=np.float64).sum(axis=(1, 2)) / ink
        columns += [mean, np.sqrt(np.maximum(square - mean**2, 0))]
    return np.stack(columns, axis=1).astype(np.float64)


def _count_pieces(lines: np.ndarray) -> np.ndarray:
    """(K,): 8-connected components of each of K masks."""
    labels, num_pieces = ndimage.label(lines, _PATCH_CONNECTIVITY)
    patch_of = np.zeros(num_pieces + 1, int)
    patch_of[labels.ravel()] = np.repeat(np.arange(len(lines)), lines[0].size)
    return np.bincount(patch_of[1:], minlength=len(lines))


def _compute_euler_number(lines: np.ndarray) -> np.ndarray:
    """(K,): 8-connected components minus holes, counted from 2x2 windows (Gray 1971)."""
    padded = np.pad(lines, ((0, 0), (1, 1), (1, 1))).astype(np.int8)
    a, b = padded[:, :-1, :-1], padded[:, :-1, 1:]
    c, d = padded[:, 1:, :-1], padded[:, 1:, 1:]
    total = a + b + c + d
    ones, threes, diagonals = (
        mask.sum(axis=(1, 2)) for mask in (total == 1, total == 3, (total == 2) & (a == d))
    )
    return (ones - threes - 2 * diagonals) // 4


def _compute_coherence(images: np.ndarray, smoothing: float, scale: float) -> np.ndarray:
    """float32 (K,P,P) -> (K,P,P) in [0, 1]."""
    sigma = (0, smoothing, smoothing)
    dx, dy = (ndimage.gaussian_filter(images, sigma, order) for order in ((0, 0, 1), (0, 1, 0)))
    products = (dx * dx, dy * dy, dx * dy)
    xx, yy, xy = (ndimage.gaussian_filter(product, (0, scale, scale)) for product in products)
    return np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-9)

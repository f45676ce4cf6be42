"""What the two-sample test sees of a stroke patch: a dozen figures about how its lines run.

None depends on how a patch is turned by quarters or mirrored, and all but the first are relative to the length
of line in it.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Standard deviations in pixels: of the smoothing before gradients are taken, and of the neighbourhood over which
# they are compared.
SCALES = ((0.7, 1.0), (1.0, 2.0), (1.5, 4.0), (2.0, 8.0))
FEATURES = (
    "ink",
    "ends",
    "junctions",
    "pieces",
    "holes",
    *(f"{name} {scale:g}" for _, scale in SCALES for name in ("coherence", "coherence spread")),
)

_NEIGHBOURS = np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]], np.float32)
_WITHIN_A_PATCH = np.zeros((3, 3, 3), bool)
_WITHIN_A_PATCH[1] = True


def describe_patches(patches: np.ndarray) -> np.ndarray:
    """uint8 (K,P,P) from `stroke_patches` -> float64 (K, len(FEATURES)).

    ink: the number of line pixels. ends, junctions: pixels with at most one and with at least three neighbours
    of eight, the patch's border left out, pieces: 8-connected components, and holes: background enclosed by
    them, each per line pixel. coherence s: (l1 - l2) / (l1 + l2) of the structure tensor's eigenvalues (Förstner
    & Gülch 1987; Weickert 1999), averaged over the line pixels, 1 where the line keeps its direction within s
    pixels and 0 where directions are mixed; its spread is the standard deviation over the line pixels.
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
    neighbours = ndimage.convolve(weights, _NEIGHBOURS, mode="constant")
    # Every line that leaves the patch ends at its border, drawn by whomever.
    inside = np.zeros(patches.shape[1:], bool)
    inside[1:-1, 1:-1] = True
    pieces = _pieces(lines)
    counts = (
        (lines & inside & (neighbours <= 1)).sum(axis=(1, 2)),
        (lines & inside & (neighbours >= 3)).sum(axis=(1, 2)),
        pieces,
        pieces - _euler_number(lines),
    )
    columns = [ink, *(count / ink for count in counts)]
    for smoothing, scale in SCALES:
        coherence = _coherence(weights, smoothing, scale) * weights
        mean = coherence.sum(axis=(1, 2), dtype=np.float64) / ink
        square = np.square(coherence, dtype=np.float64).sum(axis=(1, 2)) / ink
        columns += [mean, np.sqrt(np.maximum(square - mean**2, 0))]
    return np.stack(columns, axis=1).astype(np.float64)


def _pieces(lines: np.ndarray) -> np.ndarray:
    """(K,): 8-connected components of each of K masks."""
    labels, found = ndimage.label(lines, _WITHIN_A_PATCH)
    patch_of = np.zeros(found + 1, int)
    patch_of[labels.ravel()] = np.repeat(np.arange(len(lines)), lines[0].size)
    return np.bincount(patch_of[1:], minlength=len(lines))


def _euler_number(lines: np.ndarray) -> np.ndarray:
    """(K,): 8-connected components minus holes, counted from 2x2 windows (Gray 1971)."""
    padded = np.pad(lines, ((0, 0), (1, 1), (1, 1))).astype(np.int8)
    a, b = padded[:, :-1, :-1], padded[:, :-1, 1:]
    c, d = padded[:, 1:, :-1], padded[:, 1:, 1:]
    total = a + b + c + d
    ones, threes, diagonals = (
        mask.sum(axis=(1, 2)) for mask in (total == 1, total == 3, (total == 2) & (a == d))
    )
    return (ones - threes - 2 * diagonals) // 4


def _coherence(images: np.ndarray, smoothing: float, scale: float) -> np.ndarray:
    """float32 (K,P,P) -> (K,P,P) in [0, 1]."""
    sigma = (0, smoothing, smoothing)
    dx, dy = (ndimage.gaussian_filter(images, sigma, order) for order in ((0, 0, 1), (0, 1, 0)))
    xx, yy, xy = (ndimage.gaussian_filter(product, (0, scale, scale)) for product in (dx * dx, dy * dy, dx * dy))
    return np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-9)

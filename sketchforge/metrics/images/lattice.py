"""The lattice that a decoder leaves on even areas: the share of fine variation locked to the pixel grid.

Maps that are doubled by nearest neighbour leave a weave of two and four pixels. It shows where a picture is
even.

Shape letters: B batch, H, W height and width.
"""

from __future__ import annotations

import numpy as np

WINDOW = 8  # side in pixels of the windows that are looked at
MARGIN = 8  # pixels at the border that are left out: padding has a frame of its own there, six pixels wide
EVEN = 0.25  # of an image's windows, those in which the reference varies least
LOCKED = slice(
    0, WINDOW, 2
)  # frequencies 0, 1/4, 1/2, 3/4: those of a pattern that repeats every four pixels
WHITE = 15 / 63  # the share of white noise at these frequencies: of 63 without the mean
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def lattice_power(images: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
    """Power of the fine variation in the evenest windows, float64 (B,) each, in squared 8-bit levels.

    images, references: uint8 (B,H,W,3), H and W at least 24; a reference shows where the picture is even.
    "locked": at the frequencies of a pattern that repeats every four pixels in both directions. "fine": at
    all. "reference": at all, in the references. Raises ValueError where the shapes differ or are too small.
    """
    if images.shape != references.shape or min(images.shape[1:3]) < 2 * MARGIN + WINDOW:
        raise ValueError(f"images are {images.shape}, references {references.shape}: expected equal shapes")
    spectra, reference_spectra = _power_of_windows(images), _power_of_windows(references)
    variation = reference_spectra.sum((2, 3))
    count = max(round(EVEN * variation.shape[1]), 1)
    evenest = np.argsort(variation, axis=1, kind="stable")[:, :count]
    chosen = np.take_along_axis(spectra, evenest[:, :, None, None], axis=1)
    return {
        "locked": chosen[:, :, LOCKED, LOCKED].sum((1, 2, 3)),
        "fine": chosen.sum((1, 2, 3)),
        "reference": np.take_along_axis(variation, evenest, axis=1).sum(1),
    }


def locked_share(locked: float, fine: float, reference: float) -> float:
    """The power locked to the grid, beyond white noise's, over all fine power: 0: noise, 1: a lattice alone.

    The fine power is the images' or the references', whichever is more: of images that have hardly any, a
    share says nothing, for smooth slopes are not white. Below 0 where the variation has other frequencies; 0
    where there is none. Arguments: sums of what `lattice_power` gives.
    """
    most = max(fine, reference)
    return (locked - WHITE * fine) / ((1 - WHITE) * most) if most else 0.0


def _smooth(images: np.ndarray, axis: int) -> np.ndarray:
    """(B,H,W) smoothed along an axis; what is beyond the border counts as the image's other end."""
    return sum(
        weight * np.roll(images, shift, axis) for shift, weight in zip(range(-2, 3), BINOMIAL, strict=True)
    )


def _power_of_windows(images: np.ndarray) -> np.ndarray:
    """uint8 (B,H,W,3) -> (B,N,8,8): power spectra, less means, of windows of what a 5x5 binomial leaves."""
    luminance = images.astype(np.float64) @ LUMINANCE
    fine = (luminance - _smooth(_smooth(luminance, 1), 2))[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    rows, columns = (side // WINDOW for side in fine.shape[1:])
    fine = fine[:, : rows * WINDOW, : columns * WINDOW]
    windows = fine.reshape(len(fine), rows, WINDOW, columns, WINDOW).swapaxes(2, 3)
    windows = windows.reshape(len(fine), rows * columns, WINDOW, WINDOW)
    power = np.abs(np.fft.fft2(windows)) ** 2 / WINDOW**4
    power[:, :, 0, 0] = 0
    return power

"""The kernel distance (KID) of Bińkowski et al., ICLR 2018, between sets of sketches, in a named encoder.

KID proper is taken in Inception's features. Ours are an encoder's of `sketchforge.checkpoints.encoder`, so its figures
are comparable among themselves only, and bear the encoder's name (`kernel_distance_name`). Beside every
figure belong its floors: human drawings against human drawings.

Two departures. Sketches are redrawn with one pen first, and features are scaled to one length: otherwise the
cubed kernel follows little but how much ink a sketch has (benchmarks/realism_power.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from sketchforge.errors import UsageError
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.patches import WORKING_SIDE, normalized_lines
from sketchforge.models.encoder import Encoder

PEN_WIDTH = 2  # pixels at WORKING_SIDE; the encoder hardly sees hairlines
TAPS = ("relu3_1", "relu4_1")
BATCH = 16


def kernel_distance_name(encoder: str) -> str:
    """What the figure is to be called, such as `KID (builtin relu3_1+relu4_1)`."""
    return f"KID ({encoder} {'+'.join(TAPS)})"


@torch.no_grad()
def sketch_features(sketches: Sequence[np.ndarray], encoder: Encoder) -> np.ndarray:
    """uint8 HxW sketches of any size -> float64 (N, D): each channel of TAPS averaged over the whole sketch.

    Only the lines count (`normalized_lines`), drawn with a pen of PEN_WIDTH on a white square of
    WORKING_SIDE. Every row has length √D, so the kernel compares directions. Raises ValueError for another
    dtype or shape.
    """
    rows = [np.empty((0, sum(map(encoder.tap_channels, TAPS))))]
    for start in range(0, len(sketches), BATCH):
        squares = np.stack([_redrawn(sketch) for sketch in sketches[start : start + BATCH]])
        found = encoder(to_tensor(np.repeat(squares[..., None], 3, axis=3)), TAPS)
        rows.append(torch.cat([found[tap].mean(dim=(2, 3)) for tap in TAPS], dim=1).double().numpy())
    features = np.concatenate(rows)
    return features * features.shape[1] ** 0.5 / np.linalg.norm(features, axis=1, keepdims=True)


def _redrawn(sketch: np.ndarray) -> np.ndarray:
    """uint8 HxW -> uint8 (WORKING_SIDE, WORKING_SIDE)."""
    lines = cv2.dilate(normalized_lines(sketch).astype(np.uint8), np.ones((PEN_WIDTH, PEN_WIDTH), np.uint8))
    return fit_square(np.where(lines, 0, 255).astype(np.uint8), WORKING_SIDE, "pad")


@dataclass(frozen=True)
class KernelMatrices:
    """The kernel among and between two sets, computed once for any number of resamplings."""

    aa: np.ndarray  # float64 (M, M)
    bb: np.ndarray  # float64 (N, N)
    ab: np.ndarray  # float64 (M, N)

    def mmd2(self, weights_a: np.ndarray | None = None, weights_b: np.ndarray | None = None) -> float:
        """The unbiased squared maximum mean discrepancy (Gretton et al. 2012, Eq. 3) over whole sets.

        0 in expectation for sets of one distribution, and so negative about as often as positive. weights_a
        (M,), weights_b (N,): how often each sketch counts, such as a bootstrap has drawn it; default once.
        Pairs of a sketch with itself do not count, even where it was drawn twice: they would raise every
        replicate above the estimate. nan where a side has fewer than two sketches left.
        """
        a = np.ones(len(self.aa)) if weights_a is None else np.asarray(weights_a, np.float64)
        b = np.ones(len(self.bb)) if weights_b is None else np.asarray(weights_b, np.float64)
        return _within(self.aa, a) + _within(self.bb, b) - 2 * _between(self.ab, a, b)


def kernel_matrices(features_a: np.ndarray, features_b: np.ndarray) -> KernelMatrices:
    """The polynomial kernel of KID, (x·y / D + 1)³, over (M, D) and (N, D) from `sketch_features`.

    Raises UsageError for fewer than two sketches on a side, ValueError for other shapes.
    """
    if features_a.ndim != 2 or features_a.shape[1:] != features_b.shape[1:]:
        raise ValueError(f"expected features (M, D) and (N, D), found {features_a.shape}, {features_b.shape}")
    if min(len(features_a), len(features_b)) < 2:
        raise UsageError(
            f"kernel distance: found {len(features_a)} and {len(features_b)} sketches, expected at least two "
            "on each side; give more sketches"
        )
    a, b = features_a.astype(np.float64), features_b.astype(np.float64)
    return KernelMatrices(*((x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))))


def _within(kernel: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of the kernel over pairs of different sketches."""
    pairs = weights.sum() ** 2 - weights @ weights
    total = weights @ kernel @ weights - (weights**2) @ np.diagonal(kernel)
    return float(total / pairs) if pairs > 0 else float("nan")


def _between(kernel: np.ndarray, weights_a: np.ndarray, weights_b: np.ndarray) -> float:
    pairs = weights_a.sum() * weights_b.sum()
    return float(weights_a @ kernel @ weights_b / pairs) if pairs > 0 else float("nan")

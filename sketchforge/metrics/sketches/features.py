"""The kernel distance (KID) of Bińkowski et al., ICLR 2018, between sets of sketches, in a named encoder.

KID proper uses Inception's features. Here they come from an encoder of `sketchforge.checkpoints.encoder`, so
figures are comparable among themselves only, and bear the encoder's name (`kernel_distance_name`). Read every
figure beside the human baseline: human drawings against human drawings.

Two departures from the paper. Sketches are redrawn with one pen first, and features are scaled to one length:
otherwise the cubed kernel depends on little but the amount of ink (benchmarks/studies/realism_power.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.sketches.patches import WORKING_SIDE, normalize_lines
from sketchforge.models.encoder import Encoder

PEN_WIDTH = 2  # pixels at WORKING_SIDE; the encoder hardly responds to hairlines
TAPS = ("relu3_1", "relu4_1")
BATCH = 16


def kernel_distance_name(encoder: str) -> str:
    """The name of the figure, such as `KID (builtin relu3_1+relu4_1)`."""
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
        squares = np.stack([_redraw(sketch) for sketch in sketches[start : start + BATCH]])
        activations = encoder(to_tensor(np.repeat(squares[..., None], 3, axis=3)), TAPS)
        rows.append(torch.cat([activations[tap].mean(dim=(2, 3)) for tap in TAPS], dim=1).double().numpy())
    features = np.concatenate(rows)
    return features * features.shape[1] ** 0.5 / np.linalg.norm(features, axis=1, keepdims=True)


def _redraw(sketch: np.ndarray) -> np.ndarray:
    """uint8 HxW -> uint8 (WORKING_SIDE, WORKING_SIDE)."""
    lines = cv2.dilate(normalize_lines(sketch).astype(np.uint8), np.ones((PEN_WIDTH, PEN_WIDTH), np.uint8))
    return fit_square(np.where(lines, 0, 255).astype(np.uint8), WORKING_SIDE, "pad")

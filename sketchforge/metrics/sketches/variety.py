"""The effective number of different styles among N sketches of one image: their Vendi score.

The Vendi score (Friedman & Dieng 2023, The Vendi Score: A Diversity Evaluation Metric for Machine Learning)
is the effective number of distinct members of a set: 1 for N copies, N for N members without similarity. A
kernel defines the similarity. Here it is Gaussian in the distance between style vectors. Its width is the
distance between two people's drawings of one photo, so much smaller distances count for little.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.images.tensors import to_tensor
from sketchforge.models.encoder import Encoder

# With relu4_1 as well, noise weighed 1.7 times as much, and pens and broken lines no more.
TAPS = ("relu1_1", "relu2_1", "relu3_1")
SIDE = 256  # pixels; sketches are resized to the area of such a square, so that size does not count as style
MIN_SIDE = 16  # pixels; much less, and the encoder's reflected borders exceed its deepest layer
# Weaker signals count as nothing: activity in the encoder's units, in which photos vary by 1, and darkness.
FAINT = 0.1
FAINT_INK = 0.001

# Measured by benchmarks/studies/variety_width.py over 258 pairs of drawings of one photo by two people
# (Sketchy, 227 px, black and white): the medians of their distances in each part, and, with these as units,
# in the whole.
UNITS = {"relu1_1": 0.2231, "relu2_1": 0.3699, "relu3_1": 0.848, "ink": 0.2002}
WIDTH = 1.0467  # quartiles 0.7866 and 1.6048


def style_parts(sketch: np.ndarray) -> dict[str, np.ndarray]:
    """uint8 HxW, 255 = paper -> the lines' style, {tap: (C,)} for TAPS, and {"ink": (1,)}; float64.

    A tap's vector: each channel's root mean square difference, over the image, from the same channel of
    blank paper, as a logarithm, less the mean of these logarithms over channels. All differences grow with
    the amount of ink; subtracting the mean leaves the proportions between channels, which depend on the
    lines' width, ends, bends and spacing. Ink: the logarithm of the mean darkness, 0 to 1.

    With logarithms a change counts alike in sparse drawings and dense sketches: in channel means and standard
    deviations themselves, lines one pixel broader weigh twice as much at 17 % ink as at 5 %. Raises
    ValueError for other arrays.
    """
    if sketch.dtype != np.uint8 or sketch.ndim != 2 or 0 in sketch.shape:
        raise ValueError(f"expected uint8 HxW, found {sketch.dtype} of shape {sketch.shape}")
    sketch = _resize_sketch(sketch)
    parts = {}
    for tap, features in _compute_features(sketch).items():
        activity = (features - _compute_blank_features()[tap]).double().square().mean(dim=(2, 3))[0]
        logarithms = 0.5 * (activity + FAINT**2).log()
        parts[tap] = (logarithms - logarithms.mean()).numpy()
    return parts | {"ink": np.log([1 - sketch.mean() / 255 + FAINT_INK])}


def sketch_style_vectors(sketches: Sequence[np.ndarray]) -> np.ndarray:
    """Sketches, each uint8 HxW, -> (N,K) float64: the parts of each, in UNITS and with equal weight.

    Euclidean distances between vectors are root mean squares over the parts. The median distance of two
    people's drawings of one photo is WIDTH.
    """
    vectors = []
    for sketch in sketches:
        parts = style_parts(sketch)
        vectors.append(np.concatenate([parts[name] / unit for name, unit in UNITS.items()]))
    return np.stack(vectors) / len(UNITS) ** 0.5


def style_distances(vectors: np.ndarray) -> np.ndarray:
    """(N,K) -> (N,N) Euclidean distances."""
    from scipy.spatial.distance import pdist, squareform

    return squareform(pdist(vectors))


def vendi_score(distances: np.ndarray, width: float = WIDTH) -> float:
    """(N,N) Euclidean distances -> effective number of distinct members, between 1 and N.

    exp of the Shannon entropy of the eigenvalues of K/N (Friedman & Dieng 2023), with the Gaussian kernel
    K = exp(-d²/(2 width²)). Ten members at distance `width` from each other are 4.2, at twice that 9.4.
    Raises ValueError where the matrix holds no distances or the width is not positive.
    """
    distances = np.asarray(distances, float)
    if distances.ndim != 2 or not len(distances) or distances.shape[0] != distances.shape[1]:
        raise ValueError(f"expected distances of shape (N, N), found {distances.shape}")
    if not np.isfinite(distances).all() or (distances < 0).any() or np.diagonal(distances).any():
        raise ValueError("expected finite distances, none negative, zeros on the diagonal")
    if not np.allclose(distances, distances.T):
        raise ValueError("expected symmetric distances")
    if not width > 0:
        raise ValueError(f"width is {width}, expected a positive number")
    kernel = np.exp(-0.5 * np.square(distances / width))
    shares = np.linalg.eigvalsh(kernel / len(kernel))
    shares = shares[shares > 0]  # rounding makes some zeros negative
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _resize_sketch(sketch: np.ndarray) -> np.ndarray:
    scale = SIDE / (sketch.shape[0] * sketch.shape[1]) ** 0.5
    height, width = (max(MIN_SIDE, round(side * scale)) for side in sketch.shape)
    if (height, width) == sketch.shape:
        return sketch
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(sketch, (width, height), interpolation=interpolation)


@torch.no_grad()
def _compute_features(sketch: np.ndarray) -> dict[str, Tensor]:
    return _load_builtin_encoder()(to_tensor(np.repeat(sketch[..., None], 3, axis=2)), TAPS)


@lru_cache(maxsize=1)
def _load_builtin_encoder() -> Encoder:
    return load_encoder("builtin")


@lru_cache(maxsize=1)
def _compute_blank_features() -> dict[str, Tensor]:
    """{tap: (1,C,1,1)}: borders are reflected, so blank paper of any size looks the same everywhere."""
    return {
        tap: features[..., :1, :1]
        for tap, features in _compute_features(np.full((MIN_SIDE, MIN_SIDE), 255, np.uint8)).items()
    }

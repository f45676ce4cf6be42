"""Frozen networks that describe sketches, drawings and photos for the recognition study, and what they have said.

Shape letters: B batch, N images, S side, C channels, D features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from utility_retrieval import kept_array

from sketchforge.checkpoints.state_dicts import read_state
from sketchforge.images.tensors import to_unit
from sketchforge.metrics.images.feature_networks import features_state
from sketchforge.models.efficientnet_lite0 import EfficientNetLite0

CELLS = 3  # features are means over so many by so many places
BATCH = 32

Trunk = Callable[[Tensor], Tensor]  # uint8 (B,3,S,S) -> float32 (B,C,H,W)


def mobilenet(weights: Path) -> Trunk:
    """MobileNetV2 up to `features[:14]`: 96 channels at a sixteenth of the side."""
    from torchvision.models import mobilenet_v2

    path = weights / "mobilenet_v2/mobilenet_v2_tvkeys_fp16.safetensors"
    network = mobilenet_v2().features
    network.load_state_dict(
        features_state(path, "mobilenet_v2", network, read_state(path, "mobilenet_v2")[0])
    )
    trunk = network[:14].eval().requires_grad_(False)
    return lambda squares: trunk(to_unit(squares) * 2 - 1)


def efficientnet(weights: Path, block: int = 10) -> Trunk:
    """EfficientNet-Lite0 up to a block, counted from 0: behind block 10, 112 channels at a sixteenth of the side."""
    path = weights / "efficientnet_lite0/efficientnet_lite0_fp16.safetensors"
    network = EfficientNetLite0()
    state, _ = read_state(path, "efficientnet-lite0")
    network.load_state_dict(features_state(path, "efficientnet-lite0", network, state, prefix=""))
    stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
    trunk = nn.Sequential(stem, *network._blocks[: block + 1]).eval().requires_grad_(False)
    return lambda squares: trunk((squares.float() - 127) / 128)


@dataclass(frozen=True)
class Describer:
    """A network whose features are recognised by. Side and layer were chosen by the ceiling (docs/utility.md)."""

    title: str
    size: int  # S, pixels
    open: Callable[[Path], Trunk]


NETWORKS = {
    "mobilenet": Describer("MobileNetV2", 96, mobilenet),
    "efficientnet": Describer("EfficientNet-Lite0", 128, efficientnet),
}


def content_digest(images: np.ndarray) -> str:
    """16 hexadecimal digits, of the shape and all pixels."""
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()[:16]


def describe(name: str, images: np.ndarray, data: Path, work: Path) -> np.ndarray:
    """Features of a network of NETWORKS, float32 (N,D), kept in WORK by what the images hold.

    images: uint8 (N,S,S) in grey, 255 = paper, or (N,S,S,3) RGB.
    """

    @torch.no_grad()
    def run() -> np.ndarray:
        trunk = NETWORKS[name].open(data / "weights")
        parts = [pooled(trunk(as_rgb(images[at : at + BATCH]))) for at in range(0, len(images), BATCH)]
        return torch.cat(parts).numpy()

    return kept_array(work / "features" / f"{name}-{content_digest(images)}.npy", run)


def as_rgb(images: np.ndarray) -> Tensor:
    """uint8 (B,S,S) or (B,S,S,3) -> uint8 (B,3,S,S)."""
    squares = torch.from_numpy(np.ascontiguousarray(images))
    return squares[:, None].expand(-1, 3, -1, -1) if squares.ndim == 3 else squares.permute(0, 3, 1, 2)


def pooled(maps: Tensor) -> Tensor:
    """float32 (B,C,H,W) -> (B,D), means of CELLS × CELLS places."""
    return F.adaptive_avg_pool2d(maps, CELLS).flatten(1)


@dataclass(frozen=True)
class Scale:
    """Centres features, and divides all by one number."""

    centre: np.ndarray  # float32 (D,)
    deviation: float

    @staticmethod
    def of(features: np.ndarray) -> Scale:
        """features: float32 (N,D), of people's drawings for development: the same for every set."""
        centre = features.mean(0)
        return Scale(centre, max(float((features - centre).std()), 1e-6))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features - self.centre) / self.deviation

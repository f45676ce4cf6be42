"""Learned edge detectors as sketchers: HED, PiDiNet and TEED draw ink where they find an edge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sketchforge.checkpoints.edge_networks import load_edge_network
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.sketchers.base import Drawing
from sketchforge.sketchers.tensors import draw_on
from sketchforge.utils.device import place


class EdgeSketcher:
    """One style, named like the method; see `Sketcher` for the contract.

    network: in eval mode, (B,3,H,W) in [-1, 1] -> (B,1,H,W) edge probabilities. precision: the dtype it
    computes in.
    """

    def __init__(
        self, method: str, network: nn.Module, device: torch.device, precision: torch.dtype = torch.float32
    ) -> None:
        self.method = method
        self.styles: tuple[str, ...] = (method,)
        self.digests: Mapping[str, str] = {method: tensors_digest(network.state_dict())}
        # channels_last is up to three times as fast on a CPU.
        self.network = place(network, device, precision)
        self.device, self.precision = device, precision

    @classmethod
    def from_file(
        cls, method: str, path: Path, device: torch.device, precision: torch.dtype = torch.float32
    ) -> EdgeSketcher:
        """Load the weights in `path`. Raises SketchforgeError where they are not `method`'s."""
        return cls(method, load_edge_network(method, path), device, precision)

    def draw(self, pixels: np.ndarray) -> Drawing:
        return draw_on(self.device, self.sketches, pixels, self.method)

    @torch.inference_mode()
    def sketches(self, images: Tensor) -> Tensor:
        """float32 (B,3,H,W) in [-1, 1], any H and W -> float32 (B,1,1,H,W) in [0, 1], 1 = paper (no edge)."""
        edges = self.network(images.to(self.precision, memory_format=torch.channels_last))
        return (1 - edges.float())[:, None]

"""Where the subject of a picture is, by a learned head on the built-in encoder's features."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.checkpoints.foreground import read_foreground_head
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.images.tensors import to_tensor
from sketchforge.models.foreground_head import INPUT_SIDE, MASK_SIDE, foreground_features
from sketchforge.utils.device import place, thread_pool

_log = logging.getLogger(__name__)

CENTRE_FALL = 1.4  # the prior is exp(-CENTRE_FALL · power · r²), r = 1 at the middle of an edge
ON_GPU = 64  # pictures at once


class ForegroundFinder:
    """The head and its encoder, ready to find.

    path: a file of `checkpoints.foreground`; None is the built-in one. digest: hex SHA-256 of its weights. A head
    that belongs to another encoder than the built-in one, or a file that is none, raises SketchforgeError.
    """

    def __init__(self, device: torch.device, path: Path | None = None) -> None:
        encoder = load_encoder("builtin")
        head, power = read_foreground_head(path or KNOWN["foreground"].candidates()[0], encoder)
        self.digest = tensors_digest(head.state_dict())
        self.device = device
        self.encoder = place(encoder, device)
        self.head = place(head, device)
        self.prior = _centre_prior(power)
        # On a CPU each picture has a thread of its own: torch's would busy-wait beside those that draw.
        self._pool = thread_pool(torch.get_num_threads()) if device.type == "cpu" else None

    def find(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N,H,W,3) RGB, of any size -> float32 (N,MASK_SIDE,MASK_SIDE) in [0, 1].

        Pictures are squeezed to squares, and so is what is found. It is the probability that a place belongs to
        the subject, times a prior for the middle: a weight, not a contour. A picture's result does not depend on
        the others of its batch.
        """
        if not len(pixels):
            return np.zeros((0, MASK_SIDE, MASK_SIDE), np.float32)
        small = np.stack([_squeeze(picture) for picture in pixels])
        # On a CPU one picture at a time: no slower, and sums do not depend on the batch.
        step = 1 if self._pool else ON_GPU
        batches = [small[start : start + step] for start in range(0, len(small), step)]
        parts = list((self._pool.map if self._pool else map)(self._probabilities, batches))
        found = np.concatenate(parts) * self.prior
        coverage = found.mean((1, 2))
        _log.info(
            "foreground covers %.2f of the pictures (%.2f to %.2f)",
            coverage.mean(),
            coverage.min(),
            coverage.max(),
        )
        return found

    @torch.no_grad()
    def find_weights(self, images: torch.Tensor) -> torch.Tensor:
        """The same for a batch in training: (B,3,S,S) in [-1, 1], on the finder's device -> (B,1,S,S) in [0, 1].

        A picture's result may depend on the others of its batch in the last bit.
        """
        side, size = images.shape[2], (INPUT_SIDE, INPUT_SIDE)
        if side < INPUT_SIDE:
            small = F.interpolate(images, size, mode="bilinear", align_corners=False)
        else:
            small = F.adaptive_avg_pool2d(images, size)
        probabilities = self.head(foreground_features(self.encoder, small)).sigmoid()
        weights = probabilities * torch.from_numpy(self.prior).to(images.device)
        return F.interpolate(weights, (side, side), mode="bilinear", align_corners=False)

    @torch.inference_mode()
    def _probabilities(self, small: np.ndarray) -> np.ndarray:
        images = to_tensor(small).to(self.device, memory_format=torch.channels_last)
        return self.head(foreground_features(self.encoder, images))[:, 0].sigmoid().cpu().numpy()


def open_foreground_finder(path: Path) -> ForegroundFinder:
    """The head in `path`, on the CPU: how the catalogue checks a file."""
    return ForegroundFinder(torch.device("cpu"), path)


def _squeeze(picture: np.ndarray) -> np.ndarray:
    is_larger = min(picture.shape[:2]) >= INPUT_SIDE
    method = cv2.INTER_AREA if is_larger else cv2.INTER_LINEAR
    return cv2.resize(picture, (INPUT_SIDE, INPUT_SIDE), interpolation=method)


def _centre_prior(power: float) -> np.ndarray:
    """float32 (MASK_SIDE,MASK_SIDE), 1 in the middle."""
    steps = np.linspace(-1, 1, MASK_SIDE, dtype=np.float32)
    return np.exp(-CENTRE_FALL * power * (steps[:, None] ** 2 + steps[None] ** 2))

"""The foreground head on disk: its weights, the encoder that it belongs to, and what to do with its output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sketchforge.checkpoints.encoder import encoder_digest
from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError
from sketchforge.models.encoder import Encoder
from sketchforge.models.foreground_head import ForegroundHead

FORMAT, VERSION = "sketchforge-foreground-head", 1


def write_foreground_head(
    path: Path,
    head: ForegroundHead,
    encoder: Encoder,
    metadata: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a head, and the digest of the encoder whose features it was trained on.

    `metadata` (JSON) says where it comes from, and has `centre_power`, see `sketchers.foreground`.
    """
    description = dict(metadata) | {"tap_channels": head.tap_channels, "encoder": encoder_digest(encoder)}
    tensors = {name: tensor.to(dtype) for name, tensor in head.state_dict().items()}
    save_tensors(path, FORMAT, VERSION, tensors, description)


def read_foreground_head(path: Path, encoder: Encoder) -> tuple[ForegroundHead, float]:
    """Read (frozen head in eval mode and float32, centre_power).

    Raises SketchforgeError for a file that is missing, corrupt, foreign or newer, or whose head was trained on
    another encoder than `encoder`.
    """
    tensors, metadata = load_tensors(path, FORMAT, VERSION)
    try:
        head = ForegroundHead(metadata["tap_channels"])
        head.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        belongs_to, centre_power = str(metadata["encoder"]), float(metadata["centre_power"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SketchforgeError(
            f"{path}: not a usable foreground head ({str(error).splitlines()[0]})"
        ) from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise SketchforgeError(f"{path}: holds values that are not numbers; get an intact copy")
    given = encoder_digest(encoder)
    if belongs_to != given:
        raise SketchforgeError(
            f"{path}: belongs to the encoder {belongs_to[:12]}, found {given[:12]}; "
            "take the encoder that it was trained on, or train a head on this one"
        )
    return head.eval().requires_grad_(False), centre_power

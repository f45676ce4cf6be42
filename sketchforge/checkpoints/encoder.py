"""Where encoder weights come from: ours, torchvision's, a file, or a fixed seed.

The name alone decides which weights are used, never the files that happen to be cached.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sketchforge.checkpoints.catalog import KNOWN, AbsentError, find_weights
from sketchforge.checkpoints.state_dicts import read_state
from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors, tensors_digest
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.tensors import to_tensor
from sketchforge.models.encoder import (
    VGG16_BLOCKS,
    VGG19_BLOCKS,
    Encoder,
    calibrate,
    freeze,
    orthogonal_encoder,
)
from sketchforge.utils.seeding import torch_generator

_log = logging.getLogger(__name__)

ENCODER_FORMAT = "sketchforge-encoder"
ENCODER_VERSION = 2
ENCODER_SETTINGS = ("blocks", "input_range", "padding")  # arguments of Encoder
VGG_STATE = "a VGG16 or VGG19 state dict (.pth or .safetensors) or a sketchforge encoder"


def load_encoder(name: str) -> Encoder:
    """Load the frozen encoder `builtin`, `vgg16`, `vgg19` or `random`, or the one in the file `name`.

    A file may be ours, or a VGG16/VGG19 state dict in torchvision's key layout (`features.N.weight`) of any
    width, as .pth or .safetensors. Raises UsageError for an unknown name, SketchforgeError for weights that
    cannot be loaded.
    """
    if name == "builtin":
        return read_encoder(KNOWN["builtin"].candidates()[0])
    if name in ("vgg16", "vgg19"):
        return calibrate_on_photos(_load_torchvision_encoder(name, "--encoder"))
    if name == "random":
        return calibrate_on_photos(orthogonal_encoder(torch_generator(0, "random encoder")))
    if not Path(name).is_file():
        raise UsageError(f"--encoder {name}: neither builtin, vgg16, vgg19, random nor an existing file")
    encoder = _read_any_encoder(Path(name))
    return encoder if encoder.scales else calibrate_on_photos(encoder)


def load_teacher(name: str | Path) -> Encoder:
    """Load the frozen encoder to learn from, its taps unscaled: torchvision's `vgg19`, or the file `name`.

    Raises UsageError for an unknown name, SketchforgeError for weights that cannot be loaded.
    """
    if name == "vgg19":
        return freeze(_load_torchvision_encoder("vgg19", "--teacher"))
    if not Path(name).is_file():
        raise UsageError(f"--teacher {name}: neither vgg19 nor an existing file")
    teacher = _read_any_encoder(Path(name))
    teacher.scales = {}
    return freeze(teacher)


def read_encoder(path: Path) -> Encoder:
    """Read an encoder that `write_encoder` wrote, in float32 whatever precision the file has."""
    tensors, metadata = load_tensors(path, ENCODER_FORMAT, ENCODER_VERSION)
    try:
        encoder = build_encoder(metadata)
        encoder.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SketchforgeError(f"{path}: not a usable encoder ({str(error).splitlines()[0]})") from error
    return freeze(encoder)


def write_encoder(
    path: Path, encoder: Encoder, metadata: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write an encoder with its tap scales. `metadata` (JSON-serialisable) says where it comes from."""
    description = dict(metadata) | encoder_settings(encoder)
    tensors = {name: tensor.to(dtype) for name, tensor in encoder.state_dict().items()}
    save_tensors(path, ENCODER_FORMAT, ENCODER_VERSION, tensors, description)


def encoder_settings(encoder: Encoder) -> dict[str, Any]:
    """What `build_encoder` takes; JSON-serialisable."""
    return {name: getattr(encoder, name) for name in ENCODER_SETTINGS} | {"scales": encoder.scales}


def build_encoder(settings: Mapping[str, Any]) -> Encoder:
    """An encoder with random weights and these tap scales.

    Raises AttributeError, KeyError, TypeError or ValueError for settings that are none.
    """
    encoder = Encoder(**{name: settings[name] for name in ENCODER_SETTINGS})
    encoder.scales = {tap: float(scale) for tap, scale in settings["scales"].items()}
    return encoder


def truncate_encoder(encoder: Encoder, taps: list[str]) -> Encoder:
    """Copy an encoder up to the deepest of `taps`: all that a generator with these taps needs."""
    deepest = max(encoder.tap_names().index(tap) for tap in taps)
    conv_taps = [name for name in encoder.tap_names()[: deepest + 1] if name.startswith("relu")]
    blocks: list[list[int]] = []
    for name in conv_taps:
        if name.endswith("_1"):
            blocks.append([])
        blocks[-1].append(encoder.tap_channels(name))
    truncated = Encoder(blocks, encoder.input_range, encoder.padding)
    state = encoder.state_dict()
    truncated.load_state_dict({name: state[name] for name in truncated.state_dict()})
    truncated.scales = {tap: scale for tap, scale in encoder.scales.items() if tap in truncated.tap_names()}
    return freeze(truncated)


def encoder_digest(encoder: Encoder) -> str:
    """Hex SHA-256 over all that decides the encoder's output: weights, tap scales and preprocessing."""
    scales = torch.tensor([encoder.scales.get(tap, 1.0) for tap in encoder.tap_names()], dtype=torch.float64)
    kind = torch.tensor([encoder.input_range == "imagenet", encoder.padding == "zeros"])
    return tensors_digest(encoder.state_dict() | {"scales": scales, "kind": kind})


def calibration_images() -> Tensor:
    """The built-in photos at 128 px, (B,3,128,128) float32 in [-1, 1], which set all tap scales."""
    from sketchforge.images.builtin.photos import load_photos

    photos = to_tensor(np.stack([image for _, image in load_photos()]))
    return torch.nn.functional.interpolate(photos, size=(128, 128), mode="area")


def calibrate_on_photos(encoder: Encoder) -> Encoder:
    """Set the encoder's tap scales by `calibration_images`, and freeze it. Returns the same encoder."""
    calibrate(encoder, calibration_images())
    return freeze(encoder)


def _read_any_encoder(path: Path) -> Encoder:
    """Read an encoder of ours, with its tap scales, or a VGG state dict, without any."""
    return (
        read_encoder(path)
        if path.suffix == ".safetensors" and _has_encoder_format(path)
        else _read_vgg_encoder(path)
    )


def _load_torchvision_encoder(name: str, option: str) -> Encoder:
    """Load vgg16 or vgg19 from the catalogue's folder; torchvision downloads a missing file to it."""
    try:
        state, _ = read_state(find_weights(name, None, f"{option} FILE"), VGG_STATE)
    except AbsentError:
        state = _download_state(name, option)
    return _build_vgg_encoder(state, name)


def _download_state(name: str, option: str) -> dict[str, Any]:
    from urllib.error import URLError

    import torchvision

    weights = {
        "vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1,
        "vgg19": torchvision.models.VGG19_Weights.IMAGENET1K_V1,
    }[name]
    folder, file_name = KNOWN[name].folder(), KNOWN[name].file_names[0]
    _log.info("downloading torchvision's %s to %s", file_name, folder)
    try:
        with redirect_stderr(io.StringIO()):  # torch announces the address there
            return weights.get_state_dict(
                model_dir=str(folder),
                file_name=file_name,
                progress=False,
                check_hash=True,
                map_location="cpu",
                weights_only=True,
            )
    except (URLError, OSError, RuntimeError) as error:
        raise UsageError(
            f"{option} {name}: torchvision's {file_name} is neither in {folder} nor could it be downloaded "
            f"({type(error).__name__}); copy the file into that folder, or give its path as {option}"
        ) from None


def _read_vgg_encoder(path: Path) -> Encoder:
    state, metadata = read_state(path, VGG_STATE)
    return _build_vgg_encoder(state, str(path), metadata.get("input", ""))


def _build_vgg_encoder(state: Mapping[str, Tensor], source: str, note: str = "") -> Encoder:
    """Build an encoder from keys `features.N.weight|bias`; the numbers N tell VGG19 from VGG16.

    VGG19 is tried first, so keys that fit both layouts (a network cut short before they part) are VGG19's.
    """
    conv_numbers = sorted(
        int(key.split(".")[1])
        for key in state
        if key.startswith("features.") and key.endswith(".weight") and key.split(".")[1].isdigit()
    )
    for layout in (VGG19_BLOCKS, VGG16_BLOCKS):
        positions, position = [], 0
        for block in layout:
            for _ in block:
                positions.append(position)
                position += 2  # a convolution and its ReLU
            position += 1  # the pooling
        if conv_numbers and conv_numbers == positions[: len(conv_numbers)]:
            break
    else:
        raise UsageError(
            f"{source}: expected VGG16 or VGG19 keys (features.0.weight, features.2.weight, ...), "
            f"found {', '.join(sorted(state)[:3]) or 'nothing'}"
        )
    for number in conv_numbers:
        weight, bias = (state.get(f"features.{number}.{part}") for part in ("weight", "bias"))
        if getattr(weight, "ndim", 0) != 4 or getattr(bias, "ndim", 0) != 1:
            raise SketchforgeError(
                f"{source}: features.{number} is not a convolution's weight and bias, as in VGG it is"
            )
    widths = iter(int(state[f"features.{number}.weight"].shape[0]) for number in conv_numbers)
    blocks = [
        list(row)
        for row in ([width for _, width in zip(block, widths, strict=False)] for block in layout)
        if row
    ]
    # A file's own note on its input decides; files without one follow torchvision.
    is_unit_range = note.startswith("RGB in [0,1]")
    encoder = Encoder(
        blocks, "unit" if is_unit_range else "imagenet", "reflect" if "reflect" in note else "zeros"
    )
    tensors = {}
    for number, name in zip(conv_numbers, encoder.convs, strict=True):
        tensors[f"convs.{name}.weight"] = state[f"features.{number}.weight"].float()
        tensors[f"convs.{name}.bias"] = state[f"features.{number}.bias"].float()
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise SketchforgeError(f"{source}: {str(error).splitlines()[-1].strip()}") from None
    return encoder


def _has_encoder_format(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return (file.metadata() or {}).get("format") == ENCODER_FORMAT
    except (SafetensorError, OSError):
        return False

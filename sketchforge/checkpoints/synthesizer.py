"""A whole model on disk, from sketch to finished image: the auto-encoder, the refiner where there is one,
and where it was asked for one generator of TOM with the encoder layers that it needs.

A reader that knows of no generator finds all else in its place, so the version is the same with and without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints import autoencoder as autoencoder_files
from sketchforge.checkpoints.autoencoder import SETTINGS as AUTOENCODER_SETTINGS
from sketchforge.checkpoints.autoencoder import read_autoencoder
from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    from torch import nn

    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.encoder import Encoder
    from sketchforge.models.gan import Refiner


FORMAT, VERSION = "sketchforge-synthesizer", 2
REFINER_SETTINGS = ("size", "width", "style_dim", "noise")  # arguments of Refiner
ENCODER_SETTINGS = ("blocks", "input_range", "padding")  # arguments of Encoder
GENERATOR_SETTINGS = ("taps", "tap_channels", "widths")  # arguments of the generators


@dataclass(frozen=True)
class SketchPart:
    """One of TOM's generators, and a frozen encoder that has its taps."""

    style: str  # the snapshot's name
    encoder: Encoder
    generator: nn.Module


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds, all in eval mode without gradients, on the CPU."""

    autoencoder: AutoEncoder
    refiner: Refiner | None
    sketch_part: SketchPart | None
    metadata: Mapping[str, Any]


def write_synthesizer(
    path: Path,
    autoencoder: AutoEncoder,
    refiner: Refiner | None,
    metadata: Mapping[str, Any],
    sketch_part: SketchPart | None = None,
) -> None:
    """Write the model; `about` adds where it comes from."""
    tensors = _prefixed("autoencoder.", autoencoder)
    models: dict[str, Any] = {
        "autoencoder": {name: getattr(autoencoder, name) for name in AUTOENCODER_SETTINGS}
    }
    if refiner is not None:
        tensors |= _prefixed("refiner.", refiner)
        models["refiner"] = {name: getattr(refiner, name) for name in REFINER_SETTINGS}
    if sketch_part is not None:
        encoder, generator = sketch_part.encoder, sketch_part.generator
        tensors |= _prefixed("encoder.", encoder) | _prefixed("generator.", generator)
        models["encoder"] = {name: getattr(encoder, name) for name in ENCODER_SETTINGS} | {
            "scales": encoder.scales
        }
        models["generator"] = {name: getattr(generator, name) for name in GENERATOR_SETTINGS}
        models["generator"] |= {"kind": generator.kind, "style": sketch_part.style}
    save_tensors(path, FORMAT, VERSION, tensors, dict(metadata) | {"models": models})


def read_synthesizer(path: Path) -> tuple[AutoEncoder, Refiner | None, dict[str, Any]]:
    """(auto-encoder, refiner or None, about), in eval mode without gradients.

    Raises SketchforgeError for a corrupt, foreign or newer file.
    """
    found = _read(path)
    return found.autoencoder, found.refiner, dict(found.metadata)


def read_model(path: Path) -> StoredModel:
    """A model of this format, or an auto-encoder by itself (`autoencoder.py`).

    Raises SketchforgeError for a corrupt, foreign or newer file.
    """
    found = _format_of(path)
    if found == autoencoder_files.FORMAT:
        autoencoder, metadata = read_autoencoder(path)
        return StoredModel(autoencoder, None, None, metadata)
    if found not in (None, FORMAT):
        raise SketchforgeError(
            f"{path}: found format {found!r}, expected a model of `sketchforge export`, `gan-train` or "
            "`ae-train`"
        )
    return _read(path)


def _format_of(path: Path) -> str | None:
    """The format that a file names; None for a file that cannot be read, which is the reader's to explain."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return (file.metadata() or {}).get("format", "none at all")
    except (SafetensorError, OSError):
        return None


def _read(path: Path) -> StoredModel:
    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.gan import Refiner

    tensors, metadata = load_tensors(path, FORMAT, VERSION)
    try:
        settings = metadata["models"]
        autoencoder = AutoEncoder(**{name: settings["autoencoder"][name] for name in AUTOENCODER_SETTINGS})
        autoencoder.load_state_dict(_part(tensors, "autoencoder."))
        refiner = None
        if "refiner" in settings:
            refiner = Refiner(**{name: settings["refiner"][name] for name in REFINER_SETTINGS})
            refiner.load_state_dict(_part(tensors, "refiner."))
            refiner.eval().requires_grad_(False)
        sketch_part = _sketch_part(settings, tensors) if "generator" in settings else None
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SketchforgeError(f"{path}: not a usable model ({reason})") from error
    return StoredModel(autoencoder.eval().requires_grad_(False), refiner, sketch_part, metadata)


def _sketch_part(settings: Mapping[str, Any], tensors: Mapping[str, Any]) -> SketchPart:
    from sketchforge.models.encoder import Encoder, freeze
    from sketchforge.models.tom import GENERATORS

    encoder = Encoder(**{name: settings["encoder"][name] for name in ENCODER_SETTINGS})
    encoder.load_state_dict(_part(tensors, "encoder."))
    encoder.scales = {tap: float(scale) for tap, scale in settings["encoder"]["scales"].items()}
    metadata = settings["generator"]
    generator = GENERATORS[metadata["kind"]](**{name: metadata[name] for name in GENERATOR_SETTINGS})
    generator.load_state_dict(_part(tensors, "generator."))
    return SketchPart(str(metadata["style"]), freeze(encoder), generator.eval().requires_grad_(False))


def _prefixed(prefix: str, module: nn.Module) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in module.state_dict().items()}


def _part(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

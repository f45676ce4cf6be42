"""A whole model on disk, from sketch to finished image.

It holds the auto-encoder, Style2Paints, SEGIN or DiffSketching, optionally the refiner, and optionally one generator of TOM with the encoder layers
that it needs. A reader that ignores the generator can still read the rest, so the version is the same with
and without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints import autoencoder as autoencoder_files
from sketchforge.checkpoints import diffsketching as diffsketching_files
from sketchforge.checkpoints import segin as segin_files
from sketchforge.checkpoints import style2paints as style2paints_files
from sketchforge.checkpoints.autoencoder import SETTINGS as AUTOENCODER_SETTINGS
from sketchforge.checkpoints.autoencoder import build_autoencoder, read_autoencoder
from sketchforge.checkpoints.diffsketching import (
    build_diffsketching,
    describe_diffsketching,
    read_diffsketching,
)
from sketchforge.checkpoints.segin import build_segin, describe_segin, read_segin
from sketchforge.checkpoints.style2paints import build_style2paints, read_style2paints, settings_of
from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.diffsketching import DiffSketching
    from sketchforge.models.encoder import Encoder
    from sketchforge.models.gan import Refiner
    from sketchforge.models.segin import Segin
    from sketchforge.models.style2paints import Style2Paints
    from sketchforge.models.tom import TomGenerator

    System = AutoEncoder | Style2Paints | Segin | DiffSketching  # sketch, style image -> image


# Versions until 2 are not read: their maps were doubled by nearest neighbour. Of 3, all padding is zeros.
FORMAT, VERSION, OLDEST = "sketchforge-synthesizer", 4, 3
REFINER_SETTINGS = ("size", "width", "style_dim", "noise", "padding")  # arguments of Refiner
LATER_REFINER_SETTINGS = {"padding": "zeros"}  # what earlier files do not name
GENERATOR_SETTINGS = ("taps", "tap_channels", "widths")  # arguments of the generators


@dataclass(frozen=True)
class SketchPart:
    """A generator of TOM, and a frozen encoder that has the taps it needs."""

    style: str  # the snapshot's name
    encoder: Encoder
    generator: TomGenerator


@dataclass(frozen=True)
class StoredModel:
    """The contents of a model file, all in eval mode without gradients, on the CPU."""

    autoencoder: System
    refiner: Refiner | None
    sketch_part: SketchPart | None
    metadata: Mapping[str, Any]

    @property
    def system(self) -> str:
        """The name of the first part: autoencoder | style2paints | segin | diffsketching."""
        return name_system(self.autoencoder)

    @property
    def takes_grey(self) -> bool:
        """Whether its input is a photo's grey, which it colourises, in place of a sketch."""
        return getattr(self.autoencoder, "input", None) == "grey"


def name_system(model: System) -> str:
    """The name of a model's part in files and digests: autoencoder | style2paints | segin | diffsketching."""
    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.diffsketching import DiffSketching
    from sketchforge.models.style2paints import Style2Paints

    if isinstance(model, AutoEncoder):
        return "autoencoder"
    if isinstance(model, DiffSketching):
        return "diffsketching"
    return "style2paints" if isinstance(model, Style2Paints) else "segin"


def write_synthesizer(
    path: Path,
    autoencoder: System,
    refiner: Refiner | None,
    metadata: Mapping[str, Any],
    sketch_part: SketchPart | None = None,
) -> None:
    """Write the model. `metadata` (JSON-serialisable) says where it comes from."""
    from sketchforge.checkpoints.encoder import encoder_settings

    system = name_system(autoencoder)
    tensors = _add_prefix(f"{system}.", autoencoder)
    models: dict[str, Any] = {system: _describe_system(autoencoder)}
    if refiner is not None:
        tensors |= _add_prefix("refiner.", refiner)
        models["refiner"] = {name: getattr(refiner, name) for name in REFINER_SETTINGS}
    if sketch_part is not None:
        encoder, generator = sketch_part.encoder, sketch_part.generator
        tensors |= _add_prefix("encoder.", encoder) | _add_prefix("generator.", generator)
        models["encoder"] = encoder_settings(encoder)
        models["generator"] = {name: getattr(generator, name) for name in GENERATOR_SETTINGS}
        models["generator"] |= {"kind": generator.kind, "style": sketch_part.style}
    save_tensors(path, FORMAT, VERSION, tensors, dict(metadata) | {"models": models})


def _describe_system(model: System) -> dict[str, Any]:
    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.diffsketching import DiffSketching
    from sketchforge.models.style2paints import Style2Paints

    if isinstance(model, DiffSketching):
        return describe_diffsketching(model)
    if isinstance(model, AutoEncoder):
        return {name: getattr(model, name) for name in AUTOENCODER_SETTINGS}
    return settings_of(model) if isinstance(model, Style2Paints) else describe_segin(model)


def _build_system(settings: Mapping[str, Any]) -> System:

    if "style2paints" in settings:
        return build_style2paints(settings["style2paints"])
    if "segin" in settings:
        return build_segin(settings["segin"])
    if "diffsketching" in settings:
        return build_diffsketching(settings["diffsketching"])
    return build_autoencoder(settings["autoencoder"])


def read_synthesizer(path: Path) -> tuple[System, Refiner | None, dict[str, Any]]:
    """Read (auto-encoder, Style2Paints, SEGIN or DiffSketching, refiner or None, metadata), in eval mode without gradients.

    Raises UsageError for a file of another format, SketchforgeError for a corrupt or newer one.
    """
    model = _read_stored_model(path)
    return model.autoencoder, model.refiner, dict(model.metadata)


def read_model(path: Path) -> StoredModel:
    """Read a model of this format, or one of a training alone: `autoencoder.py`, `style2paints.py`, `segin.py`,
    `diffsketching.py`.

    Raises UsageError for a file of another format, SketchforgeError for a corrupt or newer one.
    """
    format_name = _read_format(path)
    if format_name == autoencoder_files.FORMAT:
        autoencoder, metadata = read_autoencoder(path)
        return StoredModel(autoencoder, None, None, metadata)
    if format_name == style2paints_files.FORMAT:
        style2paints, metadata = read_style2paints(path)
        return StoredModel(style2paints, None, None, metadata)
    if format_name == segin_files.FORMAT:
        segin, metadata = read_segin(path)
        return StoredModel(segin, None, None, metadata)
    if format_name == diffsketching_files.FORMAT:
        diffsketching, metadata = read_diffsketching(path)
        return StoredModel(diffsketching, None, None, metadata)
    if format_name not in (None, FORMAT):
        raise UsageError(
            f"{path}: found format {format_name!r}, expected a model of `sketchforge export`, `gan-train`, "
            "`ae-train`, `style2paints-train`, `segin-train` or `diffsketching-train`"
        )
    return _read_stored_model(path)


def _read_format(path: Path) -> str | None:
    """Read the format that a file names; None for an unreadable file, for which the reader raises."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return (file.metadata() or {}).get("format", "none at all")
    except (SafetensorError, OSError):
        return None


def _read_stored_model(path: Path) -> StoredModel:
    from sketchforge.models.gan import Refiner

    tensors, metadata = load_tensors(path, FORMAT, VERSION, OLDEST)
    try:
        settings = metadata["models"]
        autoencoder = _build_system(settings)
        autoencoder.load_state_dict(_select_by_prefix(tensors, f"{name_system(autoencoder)}."))
        refiner = None
        if "refiner" in settings:
            found = LATER_REFINER_SETTINGS | settings["refiner"]
            refiner = Refiner(**{name: found[name] for name in REFINER_SETTINGS})
            refiner.load_state_dict(_select_by_prefix(tensors, "refiner."))
            refiner.eval().requires_grad_(False)
        sketch_part = _build_sketch_part(settings, tensors) if "generator" in settings else None
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SketchforgeError(f"{path}: not a usable model ({reason})") from error
    return StoredModel(autoencoder.eval().requires_grad_(False), refiner, sketch_part, metadata)


def _build_sketch_part(settings: Mapping[str, Any], tensors: Mapping[str, Any]) -> SketchPart:
    from sketchforge.checkpoints.encoder import build_encoder
    from sketchforge.models.encoder import freeze
    from sketchforge.models.tom import GENERATORS

    encoder = build_encoder(settings["encoder"])
    encoder.load_state_dict(_select_by_prefix(tensors, "encoder."))
    generator_settings = settings["generator"]
    generator = GENERATORS[generator_settings["kind"]](
        **{name: generator_settings[name] for name in GENERATOR_SETTINGS}
    )
    generator.load_state_dict(_select_by_prefix(tensors, "generator."))
    return SketchPart(
        str(generator_settings["style"]), freeze(encoder), generator.eval().requires_grad_(False)
    )


def _add_prefix(prefix: str, module: nn.Module) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in module.state_dict().items()}


def _select_by_prefix(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

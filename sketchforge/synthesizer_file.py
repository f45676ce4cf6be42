"""A whole model on disk, from sketch to finished picture: the auto-encoder, and the refiner where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.autoencoder_file import SETTINGS as AUTOENCODER_SETTINGS
from sketchforge.checkpoint import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.gan import Refiner

FORMAT, VERSION = "sketchforge-synthesizer", 1
REFINER_SETTINGS = ("size", "width", "style_dim", "noise")  # arguments of Refiner


def write_synthesizer(
    path: Path, autoencoder: AutoEncoder, refiner: Refiner | None, about: Mapping[str, Any]
) -> None:
    """Write the model; `about` adds where it comes from."""
    tensors = {f"autoencoder.{name}": value for name, value in autoencoder.state_dict().items()}
    models: dict[str, Any] = {"autoencoder": {name: getattr(autoencoder, name) for name in AUTOENCODER_SETTINGS}}
    if refiner is not None:
        tensors |= {f"refiner.{name}": value for name, value in refiner.state_dict().items()}
        models["refiner"] = {name: getattr(refiner, name) for name in REFINER_SETTINGS}
    save_tensors(path, FORMAT, VERSION, tensors, dict(about) | {"models": models})


def read_synthesizer(path: Path) -> tuple[AutoEncoder, Refiner | None, dict[str, Any]]:
    """(auto-encoder, refiner or None, about), in eval mode without gradients.

    Raises SketchforgeError for a corrupt, foreign or newer file.
    """
    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.gan import Refiner

    tensors, about = load_tensors(path, FORMAT, VERSION)
    try:
        settings = about["models"]
        autoencoder = AutoEncoder(**{name: settings["autoencoder"][name] for name in AUTOENCODER_SETTINGS})
        autoencoder.load_state_dict(_part(tensors, "autoencoder."))
        refiner = None
        if "refiner" in settings:
            refiner = Refiner(**{name: settings["refiner"][name] for name in REFINER_SETTINGS})
            refiner.load_state_dict(_part(tensors, "refiner."))
            refiner.eval().requires_grad_(False)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SketchforgeError(f"{path}: not a usable model ({str(error).splitlines()[0]})") from error
    return autoencoder.eval().requires_grad_(False), refiner, about


def _part(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

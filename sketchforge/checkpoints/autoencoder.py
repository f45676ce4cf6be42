"""A trained auto-encoder on disk: its EMA weights and the arguments that build it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    from sketchforge.models.autoencoder import AutoEncoder

# Versions until 2 are not read: their maps were doubled by nearest neighbour. Of 3, all padding is zeros.
FORMAT, VERSION, OLDEST = "sketchforge-autoencoder", 4, 3
# Arguments of AutoEncoder, and what earlier files do not name.
SETTINGS = ("size", "width", "style_dim", "dmi", "style", "variational", "content_side", "padding")
LATER = {"variational": False, "content_side": None, "padding": "zeros"}


def write_autoencoder(path: Path, model: AutoEncoder, metadata: Mapping[str, Any]) -> None:
    """Write the model. `metadata` (JSON-serialisable) says where it comes from."""
    settings = {name: getattr(model, name) for name in SETTINGS}
    save_tensors(path, FORMAT, VERSION, model.state_dict(), dict(metadata) | {"model": settings})


def build_autoencoder(settings: Mapping[str, Any]) -> AutoEncoder:
    """The network with the arguments that a file names, untrained; raises KeyError, TypeError or ValueError."""
    from sketchforge.models.autoencoder import AutoEncoder

    settings = LATER | dict(settings)
    return AutoEncoder(**{name: settings[name] for name in SETTINGS})


def read_autoencoder(path: Path) -> tuple[AutoEncoder, dict[str, Any]]:
    """Return (model in eval mode without gradients, metadata).

    Raises SketchforgeError for a corrupt, foreign or newer file.
    """
    tensors, metadata = load_tensors(path, FORMAT, VERSION, OLDEST)
    try:
        model = build_autoencoder(metadata["model"])
        model.load_state_dict(tensors)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SketchforgeError(f"{path}: not a usable auto-encoder ({str(error).splitlines()[0]})") from error
    return model.eval().requires_grad_(False), metadata

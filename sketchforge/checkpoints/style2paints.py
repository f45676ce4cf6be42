"""A trained Style2Paints on disk: the U-net's EMA weights, the network of its hints, and what builds both again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    from sketchforge.models.style2paints import Style2Paints

FORMAT, VERSION = "sketchforge-style2paints", 1


def write_style2paints(path: Path, model: Style2Paints, metadata: Mapping[str, Any]) -> None:
    """Write the model. `metadata` (JSON-serialisable) says where it comes from."""
    settings = settings_of(model)
    save_tensors(path, FORMAT, VERSION, model.state_dict(), dict(metadata) | {"model": settings})


def read_style2paints(path: Path) -> tuple[Style2Paints, dict[str, Any]]:
    """Return (model in eval mode without gradients, metadata).

    Raises SketchforgeError for a corrupt, foreign or newer file.
    """
    tensors, metadata = load_tensors(path, FORMAT, VERSION)
    try:
        model = build_style2paints(metadata["model"])
        model.load_state_dict(tensors)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SketchforgeError(f"{path}: not a usable Style2Paints ({reason})") from error
    return model.eval().requires_grad_(False), metadata


def settings_of(model: Style2Paints) -> dict[str, Any]:
    """What `build_style2paints` takes; JSON-serialisable."""
    return {
        "size": model.size,
        "width": model.width,
        "hint": model.hint.network_name,
        "hint_size": model.hint.size,
    }


def build_style2paints(settings: Mapping[str, Any]) -> Style2Paints:
    """A model with random weights. Raises KeyError, TypeError or ValueError for settings that are none."""
    from sketchforge.models.style2paints import ResidualUnet, Style2Paints
    from sketchforge.models.style_hint import StyleHint

    hint = StyleHint(settings["hint"], settings["hint_size"])
    return Style2Paints(ResidualUnet(settings["size"], settings["width"], hint.size), hint)

"""A trained SEGIN on disk: the translator's EMA weights, the encoder that matches, and what builds both again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    from sketchforge.models.encoder import Encoder
    from sketchforge.models.patch_matcher import PatchMatcher
    from sketchforge.models.segin import Segin

FORMAT, VERSION = "sketchforge-segin", 1
TRANSLATOR_SETTINGS = ("size", "width", "non_local", "masks")  # arguments of Translator


def write_segin(path: Path, model: Segin, metadata: Mapping[str, Any]) -> None:
    """Write the model. `metadata` (JSON-serialisable) says where it comes from."""
    save_tensors(path, FORMAT, VERSION, model.state_dict(), dict(metadata) | {"model": describe_segin(model)})


def read_segin(path: Path) -> tuple[Segin, dict[str, Any]]:
    """Return (model in eval mode without gradients, metadata).

    Raises SketchforgeError for a corrupt, foreign or newer file.
    """
    tensors, metadata = load_tensors(path, FORMAT, VERSION)
    try:
        model = build_segin(metadata["model"])
        model.load_state_dict(tensors)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SketchforgeError(f"{path}: not a usable SEGIN ({reason})") from error
    return model.eval().requires_grad_(False), metadata


def describe_segin(model: Segin) -> dict[str, Any]:
    """What `build_segin` takes, and the digest of the encoder that matches; JSON-serialisable."""
    from sketchforge.checkpoints.encoder import encoder_digest, encoder_settings

    settings = {name: getattr(model.translator, name) for name in TRANSLATOR_SETTINGS}
    encoder = model.matcher.encoder
    return settings | {
        "input": model.input,
        "match": model.matcher.match,
        "encoder": encoder_settings(encoder) | {"digest": encoder_digest(encoder)},
    }


def build_segin(settings: Mapping[str, Any]) -> Segin:
    """A model with random weights.

    Raises AttributeError, KeyError, TypeError or ValueError for settings that are none.
    """
    from sketchforge.checkpoints.encoder import build_encoder
    from sketchforge.models.patch_matcher import PatchMatcher
    from sketchforge.models.segin import Segin, Translator

    matcher = PatchMatcher(build_encoder(settings["encoder"]), settings["size"], settings["match"])
    translator = Translator(**{name: settings[name] for name in TRANSLATOR_SETTINGS})
    return Segin(translator, matcher, settings["input"])


def build_matcher(encoder: Encoder, size: int, match: str) -> PatchMatcher:
    """A matcher by as many layers of an encoder as it needs. Raises ValueError where the encoder lacks them."""
    from sketchforge.checkpoints.encoder import truncate_encoder
    from sketchforge.models.patch_matcher import PatchMatcher, matching_tap

    return PatchMatcher(truncate_encoder(encoder, [matching_tap(size)]), size, match)

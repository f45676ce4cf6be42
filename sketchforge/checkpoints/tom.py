"""The run folder that a training of TOM writes, and that rendering reads.

    run.json              format, version, options, digests; once finished: the snapshots, most diverse first
    encoder.safetensors   the encoder layers that the generators need; in the built-in run those of the built-in encoder
    snapshots/NN.safetensors
    selection.json        scores of every candidate and how far the snapshots differ
    contact-sheet.png, previews/, log.jsonl
    state.pt, candidates/ only while training is unfinished

Drawing needs no file outside it and the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.runs import read_record
from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    from torch import nn

    from sketchforge.models.encoder import Encoder
    from sketchforge.models.tom import TomGenerator

RUN_FORMAT, RUN_VERSION = "sketchforge-tom-run", 2
SNAPSHOT_FORMAT, SNAPSHOT_VERSION = "sketchforge-tom-snapshot", 2
ENCODER_FILE = "encoder.safetensors"
OWN_RUN = Path("runs/tom")  # the default run folder of `tom-train`
BUILTIN = "builtin"


def find_tom_run(given: Path | None) -> Path:
    """Find the run to draw with.

    A path is that run, "builtin" the built-in snapshots, None OWN_RUN where it exists, else the built-in
    snapshots.
    """
    if given is None:
        return OWN_RUN if OWN_RUN.exists() else builtin_run()
    return builtin_run() if str(given) == BUILTIN else given


def builtin_run() -> Path:
    """The run whose snapshots are shipped; sketchforge/checkpoints/builtin/tom.md says how it was trained."""
    return KNOWN["tom"].folder()


def tom_run_name(run: Path) -> str:
    """The run as messages name it."""
    return "the built-in run" if run == builtin_run() else str(run)


def read_tom_run(run: Path) -> dict[str, Any] | None:
    """Read run.json; None where there is none, and errors, as for `runs.read_record`."""
    return read_record(run, RUN_FORMAT, RUN_VERSION)


def read_run_encoder(run: Path, record: Mapping[str, Any]) -> Encoder:
    """Read the encoder layers that the snapshots are fed.

    Where the run has no file of them and the recorded digest is the built-in encoder's, they are that encoder's: the
    built-in run does not store them a second time. Raises SketchforgeError for a missing, corrupt or foreign file.
    """
    from sketchforge.checkpoints.encoder import encoder_digest, load_encoder, read_encoder

    path = run / ENCODER_FILE
    if not path.exists():
        encoder = load_encoder("builtin")  # it ends at the deepest layer that generators are fed
        if encoder_digest(encoder) == record.get("encoder"):
            return encoder
    encoder = read_encoder(path)
    if encoder_digest(encoder) != record.get("encoder"):
        raise SketchforgeError(
            f"{path}: is not the encoder that this run was trained with; "
            "restore the file, or train a run in another folder"
        )
    return encoder


def snapshot_path(run: Path, number: int) -> Path:
    return run / "snapshots" / f"{number:02d}.safetensors"


def write_snapshot(path: Path, generator: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write a generator and the arguments that build it again. `metadata` adds its step and scores."""
    description = dict(metadata) | {
        "generator": generator.kind,
        "taps": generator.taps,
        "tap_channels": generator.tap_channels,
        "widths": generator.widths,
    }
    save_tensors(path, SNAPSHOT_FORMAT, SNAPSHOT_VERSION, generator.state_dict(), description)


def read_snapshot(path: Path) -> tuple[TomGenerator, dict[str, Any]]:
    """Read (generator in eval mode, metadata).

    Raises SketchforgeError for a corrupt, foreign or newer file.
    """
    from sketchforge.models.tom import GENERATORS

    tensors, metadata = load_tensors(path, SNAPSHOT_FORMAT, SNAPSHOT_VERSION)
    try:
        generator = GENERATORS[metadata["generator"]](
            metadata["taps"], metadata["tap_channels"], metadata["widths"]
        )
        generator.load_state_dict(
            {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in tensors.items()
            }
        )
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SketchforgeError(f"{path}: not a usable snapshot ({str(error).splitlines()[0]})") from error
    return generator.eval().requires_grad_(False), metadata

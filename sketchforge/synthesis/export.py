"""A finished run -> one file with everything that inference needs, and a model card beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sketchforge.checkpoints.encoder import encoder_digest, truncate_encoder
from sketchforge.checkpoints.runs import TrainedRun, find_trained_run
from sketchforge.checkpoints.synthesizer import SketchPart, StoredModel, read_model, write_synthesizer
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.checkpoints.tom import find_tom_run as find_tom
from sketchforge.checkpoints.tom import read_tom_run
from sketchforge.errors import UsageError
from sketchforge.options import ExportOptions
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.synthesis.model_card import model_card
from sketchforge.utils.files import sha256_of, write_bytes
from sketchforge.utils.outputs import check_new_file

ENDING = ".safetensors"
DEFAULT_RUN = Path("runs/gan")
BUILT_ON = "trained_with", "autoencoder", "drawn_by"  # entries of run.json: digests of a training's inputs


def export(options: ExportOptions) -> tuple[Path, Path]:
    """Write `options.out` and its model card; return both paths.

    Raises UsageError where the request cannot be carried out (a run of another kind, an unfinished run, a name
    that is taken, an unknown snapshot), SketchforgeError for damaged files. Nothing is written then.
    """
    out, card = options.out, options.out.with_suffix(".md")
    if out.suffix != ENDING:
        raise UsageError(f"--out {out}: expected a file name that ends in {ENDING} or .onnx")
    if options.snapshot is not None and options.tom is None:
        raise UsageError(f"--snapshot {options.snapshot}: of which run? add --tom RUN, or --tom builtin")
    run = find_trained_run(options.run or DEFAULT_RUN)
    for path in (out, card):
        check_new_file(path, "--out", options.overwrite)
    if out.absolute() == run.model.absolute() or (out.exists() and out.samefile(run.model)):
        raise UsageError(f"--out {out}: is the run's own model; name another file")
    stored = read_model(run.model)
    part, tom_name = (None, None) if options.tom is None else _load_sketch_part(options.tom, options.snapshot)
    metadata = _build_metadata(run, stored, part, tom_name)
    write_synthesizer(out, stored.autoencoder, stored.refiner, metadata, part)
    write_bytes(card, model_card(out.name, sha256_of(out), stored, part, metadata).encode())
    return out, card


def _build_metadata(
    run: TrainedRun, stored: StoredModel, part: SketchPart | None, tom_name: str | None
) -> dict[str, Any]:
    """The metadata of the run's model file, with digests of the weights and the run they come from."""
    metadata = {name: value for name, value in stored.metadata.items() if name not in ("model", "models")}
    digests = {stored.system: tensors_digest(stored.autoencoder.state_dict())}
    if stored.refiner is not None:
        digests["refiner"] = tensors_digest(stored.refiner.state_dict())
    if part is not None:
        digests |= {
            "encoder": encoder_digest(part.encoder),
            "generator": tensors_digest(part.generator.state_dict()),
        }
    # The folder's name alone: whoever gets the file need not know where it lay on the disk.
    source: dict[str, Any] = {"run": run.folder.absolute().name, "command": run.command}
    source |= {name: run.record[name] for name in BUILT_ON if run.record.get(name)}
    if part is not None:
        source["tom"] = {"run": tom_name, "snapshot": part.style}
    return metadata | {"digests": digests, "exported_from": source, "figures": dict(run.record["figures"])}


def _load_sketch_part(tom: Path, snapshot: str | None) -> tuple[SketchPart, str]:
    """(a snapshot of a run with the encoder layers that it needs, the run's name)."""
    run = find_tom(tom)
    number = find_snapshot(run, tom, snapshot)
    sketcher = TomSketcher.from_run(run, number + 1, _cpu_device())
    generator = sketcher.generators[number]
    encoder = truncate_encoder(sketcher.encoder, list(generator.taps))
    return SketchPart(sketcher.styles[number], encoder, generator), (
        str(tom) if run != tom else run.absolute().name
    )


def find_snapshot(run: Path, tom: Path, snapshot: str | None) -> int:
    """The index of a snapshot in its run; `snapshot` is its name or its number."""
    if snapshot is None:
        return 0
    try:
        record = read_tom_run(run) or {}
    except UsageError:
        record = {}
    names = [entry["style"] for entry in record.get("snapshots") or []]
    if snapshot in names:
        return names.index(snapshot)
    if not names:
        return 0  # `TomSketcher.from_run` says what is wrong with the run
    if snapshot.isdecimal() and int(snapshot) < len(names):
        return int(snapshot)
    raise UsageError(
        f"--snapshot {snapshot}: {tom} has {', '.join(names)}; name one of them, or its number from 0 to "
        f"{len(names) - 1}"
    )


def _cpu_device() -> Any:
    import torch

    return torch.device("cpu")

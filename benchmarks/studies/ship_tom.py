"""Make a finished run of `tom-train` the one that sketchforge ships: float16, nothing but what drawing needs.

The run has to be one with `--encoder builtin`, whose layers it leaves out: the package has them already.

python benchmarks/studies/ship_tom.py runs/tom sketchforge/checkpoints/builtin/tom
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder
from sketchforge.checkpoints.runs import RUN_FILE
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.checkpoints.tom import (
    read_snapshot,
    read_tom_run,
    snapshot_path,
    write_snapshot,
)
from sketchforge.utils.files import write_json


def main(run: Path, out: Path) -> None:
    record = read_tom_run(run)
    assert record and record.get("snapshots"), f"{run}: not finished"
    shutil.rmtree(out, ignore_errors=True)
    assert record["encoder"] == encoder_digest(load_encoder("builtin")), (
        f"{run}: trained with another encoder"
    )
    for number, snapshot in enumerate(record["snapshots"]):
        generator, metadata = read_snapshot(snapshot_path(run, number))
        generator.half()
        path = snapshot_path(out, number)
        write_snapshot(
            path, generator, {name: value for name, value in metadata.items() if name not in GENERATOR_FACTS}
        )
        snapshot["digest"] = tensors_digest(read_snapshot(path)[0].state_dict())
    write_json(out / RUN_FILE, record)
    total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {len(record['snapshots'])} snapshots, {total:,} bytes")


GENERATOR_FACTS = ("generator", "taps", "tap_channels", "widths")  # written anew with the generator

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

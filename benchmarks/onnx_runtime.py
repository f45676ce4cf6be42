"""What onnxruntime takes for what torch computes, with the files of `sketchforge export --out FILE.onnx`.

    python benchmarks/onnx_runtime.py [--threads 1] [--rounds 9] [--json FILE]

Both run in this process in turn, on the CPU, one image at a time, in float32; every round has each of them once, and a
ratio is of one round. Reported are medians of process time (of all threads), so that other work on the machine counts less.

greys 176    ten grey sketches of an image of 176 pixels, which `render` draws for one of 256: `TomSketcher.sketches`
greys 256    the same of 256 pixels
image        an image of 128 pixels by the model that comes with the package: `Synthesizer.synthesize_tensors`
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import onnxruntime  # noqa: E402
import torch  # noqa: E402

import sketchforge  # noqa: E402
from sketchforge.checkpoints.tom import builtin_run  # noqa: E402
from sketchforge.options import ExportOptions  # noqa: E402
from sketchforge.report.provenance import hardware  # noqa: E402
from sketchforge.sketchers.tom import TomSketcher  # noqa: E402
from sketchforge.synthesis.onnx.export import export_onnx  # noqa: E402

CPU = torch.device("cpu")


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def list_cases(folder: Path, threads: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """By name: (by torch, by onnxruntime)."""
    tom = export_onnx(ExportOptions(tom=Path("builtin"), out=folder / "tom.onnx"))
    model = export_onnx(ExportOptions(run=Path("builtin"), out=folder / "model.onnx"))
    print(f"differences: {tom.difference:.1e}, {model.difference:.1e}", file=sys.stderr)
    greys, images = open_session(tom.path, threads), open_session(model.path, threads)
    sketcher = TomSketcher.from_run(builtin_run(), 10, CPU)
    synthesizer = sketchforge.load("builtin", "cpu")
    rng = torch.Generator().manual_seed(0)

    def sample(channels: int, side: int) -> torch.Tensor:
        return torch.rand(1, channels, side, side, generator=rng) * 2 - 1

    cases: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {}
    for side in (176, 256):
        x = sample(3, side)
        cases[f"greys {side}"] = (
            lambda x=x: sketcher.sketches(x),
            lambda x=x: greys.run(None, {"image": x.numpy()}),
        )
    sketch, style = sample(1, synthesizer.size), sample(3, synthesizer.size)
    cases["image"] = (
        lambda: synthesizer.synthesize_tensors(sketch, style),
        lambda: images.run(None, {"sketch": sketch.numpy(), "style": style.numpy()}),
    )
    return cases


def process_seconds(compute: Callable[[], Any]) -> float:
    start = time.process_time()
    compute()
    return time.process_time() - start


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rounds: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        cases = list_cases(Path(folder), asked.threads)
        for number in range(asked.rounds + 1):  # one goes before, for memory and compiled kernels
            for name, (by_torch, by_onnx) in cases.items():
                seconds = process_seconds(by_torch), process_seconds(by_onnx)
                if number:
                    rounds.setdefault(name, []).append(seconds)
    found = {
        name: {
            "torch_seconds": round(statistics.median(one for one, _ in pairs), 4),
            "onnxruntime_seconds": round(statistics.median(other for _, other in pairs), 4),
            "ratio": round(statistics.median(other / one for one, other in pairs), 2),
            "lowest_ratio": round(min(other / one for one, other in pairs), 2),
            "highest_ratio": round(max(other / one for one, other in pairs), 2),
        }
        for name, pairs in rounds.items()
    }
    setting = {
        "threads": asked.threads,
        "rounds": asked.rounds,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "machine": hardware(CPU),
    }
    text = json.dumps(found | setting, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()

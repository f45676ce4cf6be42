"""How long commands take before they do anything, beside the imports they cannot do without.

    python benchmarks/startup.py [--cores 2] [--rounds 9] [--json FILE]

Every command is a process of its own, timed from its start to its end. All are run in every round, one after
the other, and ratios are of the same round; reported are medians. One round goes before, for the disk's
cache.

click          `import click`, beside which `sketchforge --help` is measured: it lists all commands.
help           `sketchforge --help`.
libraries      what `render` with TOM draws with: `import click, numpy, cv2, PIL.Image, torch,
               safetensors.torch`.
render         `sketchforge render` of one photo of 256 pixels, ten sketches, TOM's built-in snapshots.
render again   the same command on the finished folder: nothing is left to be drawn.
few libraries  the same imports without torch's: what `render` with Canny cannot do without.
canny          the same photo with `--method canny`.

Where something has become slow, `python -X importtime -m sketchforge --help` says which import it is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sketchforge.images.builtin.photos import load_photos  # noqa: E402
from sketchforge.images.encode import encode_jpeg  # noqa: E402

FEW_LIBRARIES = "import click, numpy, cv2, PIL.Image"
LIBRARIES = f"{FEW_LIBRARIES}, torch, safetensors.torch"
RATIOS = {
    "help / click": ("help", "click"),
    "render / libraries": ("render", "libraries"),
    "render again / libraries": ("render again", "libraries"),
    "canny / few libraries": ("canny", "few libraries"),
}


def timed(*words: str) -> float:
    """Seconds of `python WORDS`."""
    start = time.perf_counter()
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, **silent)
    return time.perf_counter() - start


def one_round(photo: Path, work: Path) -> dict[str, float]:
    """Seconds of every command."""
    sketchforge = ("-m", "sketchforge")
    drawing = (*sketchforge, "render", "--images", str(photo))
    render = (*drawing, "--tom", "builtin", "--shards", str(work / "tom"))
    canny = (*drawing, "--method", "canny", "--shards", str(work / "canny"))
    return {
        "click": timed("-c", "import click"),
        "help": timed(*sketchforge, "--help"),
        "libraries": timed("-c", LIBRARIES),
        "render": timed(*render),
        "render again": timed(*render),
        "few libraries": timed("-c", FEW_LIBRARIES),
        "canny": timed(*canny),
    }


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        photo = Path(name) / "photo.jpg"
        photo.write_bytes(encode_jpeg(next(iter(load_photos()))[1]))
        for number in range(asked.rounds + 1):
            with tempfile.TemporaryDirectory(dir=name) as work:
                found = one_round(photo, Path(work))
            if number:
                rounds.append(found)
                print(f"round {number}: {json.dumps({k: round(v, 3) for k, v in found.items()})}",
                      file=sys.stderr, flush=True)  # fmt: skip
    text = json.dumps(summary(rounds) | metadata(asked.cores, asked.rounds), indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over rounds: seconds, and ratios within a round."""
    return {
        "seconds": {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]},
        "ratios": {
            name: round(statistics.median(one[part] / one[whole] for one in rounds), 2)
            for name, (part, whole) in RATIOS.items()
        },
    }


def metadata(cores: int, rounds: int) -> dict[str, Any]:
    import torch

    from sketchforge.report.provenance import hardware

    return {"cores": cores, "rounds": rounds, "machine": hardware(torch.device("cpu"))}


if __name__ == "__main__":
    main()

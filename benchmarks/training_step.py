"""How long a step of `tom-train` takes, beside the authors' networks and losses in the same loop.

    python benchmarks/training_step.py [--cores 2] [--size 256] [--batch-size 4] [--rounds 3] [--json FILE]

Both learn from the built-in photos and drawings in the same process, by turns; subnormals are flushed on both sides.
Theirs: VGG16 (random weights, which take as long as trained ones), their generator and discriminator, content at pool3,
Gram matrices of pool2 to pool4. Loops, data and memory layout are ours, which is to their advantage.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tom_recipe import AS_CODED, PaperJudged  # noqa: E402

from sketchforge.device import set_threads  # noqa: E402
from sketchforge.models.encoder import VGG16_BLOCKS, Encoder, freeze  # noqa: E402
from sketchforge.options import TomTrainOptions  # noqa: E402
from sketchforge.weights import calibrated_on_photos, load_encoder  # noqa: E402
from trainers.tom import Tom  # noqa: E402
from trainers.tom_inputs import drawing_readers, photo_readers  # noqa: E402
from trainers.tom_recipe import RECIPES  # noqa: E402


def random_vgg16() -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(VGG16_BLOCKS, "imagenet", "zeros")
    for conv in encoder.convs.values():
        torch.nn.init.kaiming_normal_(conv.weight)
    return calibrated_on_photos(freeze(encoder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    set_threads(asked.cores)
    photos, drawings = photo_readers(None)[0], drawing_readers(None)[0]
    options = TomTrainOptions(size=asked.size, batch_size=asked.batch_size, threads=asked.cores, device="cpu")
    paper = replace(RECIPES["paper"], **AS_CODED | {"style_taps": ("pool2", "pool3", "pool4"), "pattern_contrast": 0.0})
    ours = Tom(options, RECIPES["lean"], load_encoder("builtin"), photos, drawings)
    theirs = PaperJudged(replace(options, generator="paper"), paper, random_vgg16(), photos, drawings)
    for tom in (ours, theirs):
        tom.step(tom.batch(0, None))
    rounds = []
    for number in range(1, asked.rounds + 1):
        spent = {}
        for name, tom, steps in (("ours", ours, 4), ("theirs", theirs, 1)):
            start = time.perf_counter()
            for step in range(steps):
                tom.step(tom.batch(number * steps + step, None))
            spent[name] = (time.perf_counter() - start) / steps
        rounds.append(spent)
        print(f"round {number}: {json.dumps(spent)}", file=sys.stderr, flush=True)
    found = {
        "seconds_a_step": {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]},
        "times as fast": round(statistics.median(one["theirs"] / one["ours"] for one in rounds), 1),
        "size": asked.size, "batch_size": asked.batch_size, "cores": asked.cores, "torch": torch.__version__,
    }  # fmt: skip
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()

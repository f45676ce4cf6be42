"""Multiply-adds of ten sketches of one image, of one HED map, and of the authors' way of drawing ten.

    python benchmarks/sketch_cost.py [--tom RUN] [--size 256]

Counted by torch.utils.flop_counter, which counts a multiplication and an addition as two; printed as JSON in units of
1e9 multiply-adds. Weights do not matter: HED's and the authors' networks are drawn at random.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from sketchforge.checkpoints.tom import find_tom_run
from sketchforge.models.encoder import VGG16_BLOCKS, Encoder
from sketchforge.models.hed import HED
from sketchforge.models.tom import PaperGenerator
from sketchforge.sketchers.tom import TomSketcher


def giga_multiply_adds(function, *arguments) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*arguments)
    return counter.get_total_flops() / 2e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tom", type=Path)
    parser.add_argument("--size", type=int, default=256)
    asked = parser.parse_args()
    image = torch.zeros(1, 3, asked.size, asked.size)
    sketcher = TomSketcher.from_run(find_tom_run(asked.tom), 10, torch.device("cpu"))
    sketches = TomSketcher.sketches.__wrapped__.__get__(sketcher)  # flops are not counted in inference mode
    vgg16 = Encoder(VGG16_BLOCKS, "imagenet", "zeros")
    generator = PaperGenerator().eval()
    pool3 = torch.zeros(1, 256, asked.size // 8, asked.size // 8)
    found = {
        "size": asked.size,
        "encoder": giga_multiply_adds(sketcher.encoder, image, sketcher.taps),
        "ten sketches": giga_multiply_adds(sketches, image),
        "one HED map": giga_multiply_adds(HED(), image),
        "the authors' ten": 10
        * (
            giga_multiply_adds(vgg16, image, [vgg16.tap_names()[-1]])
            + giga_multiply_adds(generator, {"pool3": pool3})
        ),
    }
    print(json.dumps({name: round(value, 2) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()

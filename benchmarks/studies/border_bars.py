"""The frame of a pixel and the bars that padding leaves along the border of images.

    python benchmarks/studies/border_bars.py --work DIR --row portraits-128-style-adain-0 [--row …]

DIR is that of ae_results.py, in which the rows were trained; their shards and models have to be there. COUNT sketches of images
held out are drawn out, each in the style of another. Looked at is luminance, in 8-bit levels, averaged over eighths of a side:
how much a line along the border differs from the mean of its neighbours (the second difference across it). Told are, for the
images made and for the real ones, the mean of its size one pixel from the border ("frame") and from there to DEPTH pixels
("fine"), and the size of its mean over all images ("bars", which whatever is drawn has in the same place). One thread.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.studies.ae_results import VARIANTS, networks_of, parse_trained_rows  # noqa: E402
from benchmarks.studies.diffsketching_rows import read_held_out  # noqa: E402
from sketchforge.checkpoints.synthesizer import read_model  # noqa: E402
from sketchforge.images.tensors import to_uint8  # noqa: E402
from sketchforge.metrics.images.lattice import LUMINANCE  # noqa: E402

COUNT, BATCH = 121, 11  # images held out
OTHER = 7  # the style is that of the image so many further on
PARTS = 8  # of a side
DEPTH = 20  # pixels


def measure_bars(images: np.ndarray) -> dict[str, float]:
    """The figures of uint8 images (B,S,S,3), S a multiple of PARTS and above 2·DEPTH."""
    luminance = images.astype(np.float64) @ LUMINANCE
    count, side = luminance.shape[:2]
    sides = []
    for turns in range(4):  # with each of the four borders at the left
        turned = np.rot90(luminance, turns, (1, 2))
        lines = turned.reshape(count, PARTS, side // PARTS, side).mean(2)
        sides.append(np.diff(lines, 2, axis=2)[:, :, :DEPTH])
    across = np.stack(sides)  # (4,B,PARTS,DEPTH); the first is of the pixels 0, 1 and 2
    sizes = np.abs(across).mean((0, 1, 2))
    shared = np.abs(across.mean((1, 2))).mean(0)
    return {"frame": sizes[0], "fine": sizes[1:].mean(), "bars": shared[1:].mean()}


def main() -> None:
    asked = parse_trained_rows(__doc__ or "")
    torch.set_num_threads(1)
    for row in asked.row:
        images, sketches, _ = read_held_out(asked.work / row.data, row.size, COUNT)
        styles = images.roll(-OTHER, 0)
        with torch.no_grad(), networks_of(VARIANTS[row.variant]):
            model = read_model(asked.work / "runs" / row.name / "model.safetensors").autoencoder
            made = torch.cat(
                [
                    model(sketches[start : start + BATCH], styles[start : start + BATCH])
                    for start in range(0, len(images), BATCH)
                ]
            )
        for name, shown in (("made", made), ("real", images)):
            figures = measure_bars(to_uint8(shown))
            print(
                row.name,
                name,
                {title: round(float(value), 2) for title, value in figures.items()},
                flush=True,
            )


if __name__ == "__main__":
    main()

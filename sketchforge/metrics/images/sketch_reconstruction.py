"""Skt-Rec: does the image, drawn again, give the sketch that it was made from? (paper section 5.2)

The paper prints the figure without a definition. Ours: the image is drawn by the very snapshot that drew
the sketch, at the size of the stored sketch and with its thresholds, and the two drawings are compared.

Shape letters: B batch, H, W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from sketchforge.checkpoints.catalog import AbsentError
from sketchforge.checkpoints.tom import OWN_RUN, builtin_run, find_tom_run, read_tom_run, tom_run_name
from sketchforge.errors import SketchforgeError
from sketchforge.images.line_art import binarize
from sketchforge.metrics.images.features import squared
from sketchforge.shards.shard_set import ShardSet
from sketchforge.sketchers.tom import TomSketcher

TOLERANCE = 1 / 256  # standard deviation of the blur, in sides of the sketch: a pixel at 256
LOW_THRESHOLD = 0.15  # where the shards do not say it


def sketch_distances(sketches: np.ndarray, others: np.ndarray) -> dict[str, np.ndarray]:
    """uint8 (B,H,W) twice, 255 = paper -> float64 (B,) of each pair.

    "absolute": mean |a − b| of the darkness, 0 paper to 1 ink, after a Gaussian blur. Lines a pixel away then
    overlap for the most part, while raw pixels would call them entirely different.
    "relative": the same by the ink of both, Σ|a − b| / Σ(a + b): 0 for equal drawings, 1 where no line meets
    another. The absolute one alone rewards images of which hardly anything is drawn.
    Two blank drawings are equal. Raises ValueError for another dtype and for different shapes.
    """
    for drawn in (sketches, others):
        if drawn.dtype != np.uint8 or drawn.ndim != 3:
            raise ValueError(f"expected sketches uint8 (B,H,W), found {drawn.dtype} of shape {drawn.shape}")
    if sketches.shape != others.shape:
        raise ValueError(f"sketches are of shapes {sketches.shape} and {others.shape}, expected equal ones")
    absolute, relative = [], []
    for a, b in zip(map(_darkness, sketches), map(_darkness, others), strict=True):
        difference, ink = np.abs(a - b).sum(), (a + b).sum()
        absolute.append(difference / a.size)
        relative.append(difference / ink if ink > 0 else 0.0)
    return {"absolute": np.array(absolute), "relative": np.array(relative)}


def _darkness(sketch: np.ndarray) -> np.ndarray:
    ink = 1 - sketch.astype(np.float64) / 255
    return cv2.GaussianBlur(ink, (0, 0), TOLERANCE * max(sketch.shape), borderType=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class Redrawing:
    """Draws images as the sketches of a shard set were drawn."""

    sketchers: tuple[TomSketcher, ...]  # of one style each, in the order of the set's styles
    size: int  # of the stored sketches, in pixels
    thresholds: tuple[float, float] | None  # as `bilevel` takes them; None for sketches in grey
    digest: str  # of the encoder and the snapshots

    def drawn(self, images: np.ndarray, styles: Sequence[int]) -> np.ndarray:
        """uint8 (B,S,S,3) and the number of a style for each -> uint8 (B,size,size), 255 = paper."""
        large = np.stack([squared(image, self.size) for image in images])
        result = np.empty((len(images), self.size, self.size), np.uint8)
        for style in sorted(set(styles)):
            places = [place for place, one in enumerate(styles) if one == style]
            drawn = self.sketchers[style].draw(large[places]).result()
            for place, grey in zip(places, drawn[:, 0], strict=True):
                result[place] = binarize(grey, *self.thresholds) if self.thresholds else grey
        return result


def redrawing_of(shards: ShardSet, run: Path | None, device: torch.device) -> Redrawing:
    """What draws as these shards were drawn.

    run: of tom-train, or "builtin"; None: runs/tom and the built-in one, whichever drew them.

    Raises AbsentError where the shards were drawn otherwise or by other snapshots, UsageError and
    SketchforgeError for a `run` that is none.
    """
    manifest, options = shards.manifest, shards.options
    if options.get("method") != "tom":
        raise AbsentError(f"{shards.source}: drawn by {options.get('method')}; only TOM draws again")
    if shards.side is None:
        raise AbsentError(f"{shards.source}: its sketches have many sizes; render with --fit crop or pad")
    runs = (
        [find_tom_run(run)] if run is not None else [one for one in (OWN_RUN, builtin_run()) if one.is_dir()]
    )
    wanted = [manifest["digests"].get(style) for style in shards.styles]
    for one in runs:
        try:
            record = read_tom_run(one)
        except SketchforgeError:
            if run is not None:
                raise
            continue
        there = {snapshot["digest"] for snapshot in (record or {}).get("snapshots") or []}
        if record and set(wanted) <= there and record.get("encoder") == manifest["digests"].get("encoder"):
            break
    else:
        tried = " or ".join(map(tom_run_name, runs))
        raise AbsentError(
            f"{shards.source}: not drawn by the snapshots of {tried}; name the run that drew it as --tom"
        )
    all_styles = TomSketcher.from_run(one, len(record["snapshots"]), device)
    by_digest = {all_styles.digests[style]: place for place, style in enumerate(all_styles.styles)}
    sketchers = []
    for style, digest in zip(shards.styles, wanted, strict=True):
        generator = all_styles.generators[by_digest[digest]]
        sketchers.append(TomSketcher(all_styles.encoder, [generator], [style], device))
    thresholds = None
    if options.get("sketch_format") == "png1":
        thresholds = float(options["threshold"]), float(options.get("low_threshold", LOW_THRESHOLD))
    digest = f"{record['encoder'][:16]}+{'+'.join(str(one)[:16] for one in wanted)}"
    return Redrawing(tuple(sketchers), shards.side, thresholds, digest)

"""Skt-Rec: the distance of the image's redrawing from the sketch it was made from (paper section 5.2).

The paper prints the figure without a definition. Here the snapshot that drew the sketch draws the image, at
the size of the stored sketch and with its thresholds, and the two drawings are compared.

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
from sketchforge.images.line_art import SketchTone, binarize, quantize_greys
from sketchforge.images.resize import resize_image, shrink_to
from sketchforge.metrics.images.features import crop_square
from sketchforge.shards.shard_set import ShardSet
from sketchforge.sketchers.tom import TomSketcher

TOLERANCE = 1 / 256  # standard deviation of the blur, in sides of the sketch: a pixel at 256
LOW_THRESHOLD = 0.15  # where the shards' options lack it


def sketch_distances(sketches: np.ndarray, others: np.ndarray) -> dict[str, np.ndarray]:
    """uint8 (B,H,W) twice, 255 = paper -> float64 (B,) of each pair.

    "absolute": mean |a − b| of the darkness, 0 paper to 1 ink, after a Gaussian blur. With it, lines a pixel
    apart mostly overlap; without it they would have no pixel in common.
    "relative": the same over the ink of both, Σ|a − b| / Σ(a + b): 0 for equal drawings, 1 where no lines
    overlap. The absolute distance alone rewards images with hardly any lines.
    Both are 0 for two blank drawings. Raises ValueError for another dtype and for different shapes.
    """
    for batch in (sketches, others):
        if batch.dtype != np.uint8 or batch.ndim != 3:
            raise ValueError(f"expected sketches uint8 (B,H,W), found {batch.dtype} of shape {batch.shape}")
    if sketches.shape != others.shape:
        raise ValueError(f"sketches are of shapes {sketches.shape} and {others.shape}, expected equal ones")
    absolute, relative = [], []
    for a, b in zip(map(_measure_darkness, sketches), map(_measure_darkness, others), strict=True):
        difference, ink = np.abs(a - b).sum(), (a + b).sum()
        absolute.append(difference / a.size)
        relative.append(difference / ink if ink > 0 else 0.0)
    return {"absolute": np.array(absolute), "relative": np.array(relative)}


def _measure_darkness(sketch: np.ndarray) -> np.ndarray:
    ink = 1 - sketch.astype(np.float64) / 255
    return cv2.GaussianBlur(ink, (0, 0), TOLERANCE * max(sketch.shape), borderType=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class Redrawing:
    """Draws images as the sketches of a shard set were drawn."""

    sketchers: tuple[TomSketcher, ...]  # of one style each, in the order of the set's styles
    size: int  # of the stored sketches, in pixels
    draw_size: int  # at which they were drawn, before they were enlarged
    tone: SketchTone  # of the stored sketches
    digest: str  # of the encoder and the snapshots

    def draw(self, images: np.ndarray, styles: Sequence[int]) -> np.ndarray:
        """uint8 (B,S,S,3) and the index of a style for each -> uint8 (B,size,size), 255 = paper."""
        drawn = np.stack([shrink_to(crop_square(image, self.size), self.draw_size) for image in images])
        result = np.empty((len(images), self.size, self.size), np.uint8)
        for style in sorted(set(styles)):
            indices = [index for index, image_style in enumerate(styles) if image_style == style]
            drawings = self.sketchers[style].draw(drawn[indices]).result()
            for index, small in zip(indices, drawings[:, 0], strict=True):
                grey = resize_image(small, self.size, self.size)
                thresholds, levels = self.tone.thresholds, self.tone.levels
                result[index] = binarize(grey, *thresholds) if thresholds else quantize_greys(grey, levels)
        return result


def redrawing_of(shards: ShardSet, run: Path | None, device: torch.device) -> Redrawing:
    """The Redrawing of a shard set: the snapshots that drew its sketches.

    run: a run of tom-train, or "builtin"; None: the one of runs/tom and the built-in run that drew them.

    Raises AbsentError where another method or other snapshots drew the shards, UsageError and
    SketchforgeError for a `run` that is not a run.
    """
    manifest, options = shards.manifest, shards.options
    if options.get("method") != "tom":
        raise AbsentError(f"{shards.source}: drawn by {options.get('method')}; only TOM draws again")
    if "hands" in options:
        raise AbsentError(
            f"{shards.source}: its sketches are drawn by hands, and a snapshot's drawing of the image is another; for "
            "Skt-Rec, render with --hands none into another folder"
        )
    if shards.side is None:
        raise AbsentError(f"{shards.source}: its sketches have many sizes; render with --fit crop or pad")
    runs = (
        [find_tom_run(run)]
        if run is not None
        else [folder for folder in (OWN_RUN, builtin_run()) if folder.is_dir()]
    )
    style_digests = [manifest["digests"].get(style) for style in shards.styles]
    for run_folder in runs:
        try:
            record = read_tom_run(run_folder)
        except SketchforgeError:
            if run is not None:
                raise
            continue
        run_digests = {snapshot["digest"] for snapshot in (record or {}).get("snapshots") or []}
        if (
            record
            and set(style_digests) <= run_digests
            and record.get("encoder") == manifest["digests"].get("encoder")
        ):
            break
    else:
        tried = " or ".join(map(tom_run_name, runs))
        raise AbsentError(
            f"{shards.source}: not drawn by the snapshots of {tried}; name the run that drew it as --tom"
        )
    all_styles = TomSketcher.from_run(run_folder, len(record["snapshots"]), device)
    by_digest = {all_styles.digests[style]: index for index, style in enumerate(all_styles.styles)}
    sketchers = []
    for style, digest in zip(shards.styles, style_digests, strict=True):
        generator = all_styles.generators[by_digest[digest]]
        sketchers.append(TomSketcher(all_styles.encoder, [generator], [style], device))
    thresholds = None
    if options.get("sketch_format") == "png1":
        thresholds = float(options["threshold"]), float(options.get("low_threshold", LOW_THRESHOLD))
    digest = f"{record['encoder'][:16]}+{'+'.join(str(style_digest)[:16] for style_digest in style_digests)}"
    draw_size = int(options.get("draw_size", shards.side))
    tone = SketchTone(False, thresholds, int(options.get("grey_levels", 256)))
    return Redrawing(tuple(sketchers), shards.side, draw_size, tone, digest)

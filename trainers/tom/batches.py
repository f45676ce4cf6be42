"""The batches of TOM's training: photos, drawings at random beside them, and synthetic photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sketchforge.images.tensors import to_tensor
from sketchforge.options import TomTrainOptions
from sketchforge.utils.seeding import numpy_generator
from trainers.crops import CropSampler
from trainers.distributed import Ranks
from trainers.tom.recipe import TomRecipe
from trainers.tom.synthetic_photos import denoise, synthesize_photo

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Batch:
    """A step's inputs, each (·,3,H,W) float32 in [-1, 1]; those that the recipe does not use are empty."""

    photos: Tensor
    denoised: Tensor  # the photos without their texture: the source of Eq. 4's content
    drawings: Tensor
    synthetic: Tensor  # photos made from drawings
    originals: Tensor  # those drawings


def make_batch(
    options: TomTrainOptions,
    recipe: TomRecipe,
    ranks: Ranks,
    photo_crops: CropSampler,
    drawing_crops: CropSampler,
    step: int,
    window: int | None,
    group: Sequence[int] | None,
) -> Batch:
    """This rank's rows of the random pairing of Eq. 4, on the CPU.

    group: of drawings, which a style window picks from; None, before the windows: from all drawings. Every row is a
    function of the seed and its place in the order: it is the same on whatever rank.
    """
    batch_size, first = options.batch_size, step * options.batch_size
    seed, rows = options.seed, ranks.rows_of(batch_size)
    photos = [photo_crops.crop(first + i) for i in rows]
    if group is None:
        drawings = [drawing_crops.crop(first + i) for i in rows]
    else:
        picks = numpy_generator(seed, "tom window", step).choice(group, batch_size)
        drawings = [drawing_crops.crop_of(int(picks[i]), first + i) for i in rows]
    denoising = _by_turns(recipe.window_denoising, window, recipe.denoising)
    pasted_share = _by_turns(recipe.window_pasted_shares, window, recipe.pasted_share)
    originals = drawings[: sum(i < count_synthetic(options, recipe) for i in rows)]
    # Colours come from all of the batch's photos, those of other ranks, too.
    palette = dict(zip(rows, photos, strict=True))
    if originals:
        palette |= {i: photo_crops.crop(first + i) for i in range(batch_size) if i not in palette}
    synthetic = []
    for i, original in zip(rows, originals, strict=False):
        rng = numpy_generator(seed, "tom coloured", first + i)
        all_photos = np.stack([palette[row] for row in range(batch_size)])
        synthetic.append(
            synthesize_photo(original[..., 0], all_photos, recipe.pattern_contrast, rng, pasted_share)
        )
    denoised = [denoise(photo, denoising) for photo in photos] if denoising else []
    return Batch(*(_stack(images) for images in (photos, denoised, drawings, synthetic, originals)))


def count_synthetic(options: TomTrainOptions, recipe: TomRecipe) -> int:
    """The synthetic photos of a step, on all ranks together: of the first rows of its batch."""
    return min(recipe.num_synthetic, options.batch_size) if recipe.synthetic_weight else 0


def _by_turns(values: Sequence[N], window: int | None, otherwise: N) -> N:
    """The value whose turn it is in a window; `otherwise` before the windows, and where there are none."""
    return otherwise if window is None or not values else values[window % len(values)]


def _stack(images: Sequence[np.ndarray]) -> Tensor:
    return to_tensor(np.stack(images)) if images else torch.empty(0, 3, 1, 1)

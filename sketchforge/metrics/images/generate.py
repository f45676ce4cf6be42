"""A trained model as measures see it: sketches and style images in, images out, the same every time.

Shape letters: B batch, S side of the images, D length of f_style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sketchforge.checkpoints.runs import MODEL_FILE
from sketchforge.data.augment import training_pair
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.tensors import to_uint8
from sketchforge.metrics.images.features import iterate_batches
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.shards.selection import spread_evenly
from sketchforge.synthesis.synthesizer import Synthesizer
from sketchforge.utils.seeding import numpy_generator

BATCH = 16


@dataclass(frozen=True)
class GeneratedImages:
    """A batch of images and what they were made from."""

    pairs: list[Pair]
    sketches: np.ndarray  # uint8 (B,H,W) as they are stored, 255 = paper
    contents: np.ndarray  # uint8 (B,S,S,3): the images that the sketches show
    styles: np.ndarray  # uint8 (B,S,S,3): the style images
    other_sketches: np.ndarray  # uint8 (B,H,W): of the style images, by the same snapshot
    images: np.ndarray  # uint8 (B,S,S,3): what the model made, as it would be saved


def is_model(source: str | Path) -> bool:
    """Whether a path means a model's file or the run folder that holds one."""
    path = Path(source)
    return (path / MODEL_FILE).is_file() or (path.is_file() and path.suffix == ".safetensors")


def generate_images(
    model: Synthesizer, reader: SampleReader, pairs: Sequence[Pair], name: str, batch: int = BATCH
) -> Iterator[GeneratedImages]:
    """The model's images of these pairs, batch by batch.

    Images are rounded to 8 bits: measured is what would be saved. Raises SketchforgeError for a model whose
    images are not numbers, and for damaged shards.
    """
    size = model.size
    for part in iterate_batches(pairs, batch):
        contents = [reader.read(pair.content, [pair.sketch]) for pair in part]
        styles = [reader.read(pair.style, [pair.sketch]) for pair in part]
        given = [training_pair(one.image, one.sketches, size, 0, one.key, None) for one in contents]
        images = torch.stack(
            [training_pair(one.image, one.sketches, size, 0, one.key, None)["image"] for one in styles]
        )
        pixel_arrays = model.synthesize_tensors(torch.stack([one["sketch"] for one in given]), images).cpu()
        if not bool(torch.isfinite(pixel_arrays).all()):
            raise SketchforgeError(f"{name}: makes images that are not numbers; train it anew")
        yield GeneratedImages(
            pairs=part,
            sketches=np.stack([one.sketches[0] for one in contents]),
            contents=to_uint8(torch.stack([one["image"] for one in given])),
            styles=to_uint8(images),
            other_sketches=np.stack([one.sketches[0] for one in styles]),
            images=to_uint8(pixel_arrays),
        )


# Which sketch is drawn out in which style, when a model is measured (paper section 5.2).
#
# Matched: sketch and style are of one image, so that the image ought to be that image. Mismatched: the style
# is another image's, which is what the model is for.


@dataclass(frozen=True)
class Pair:
    content: int  # number of the image whose sketch is taken
    style: int  # number of the image whose style is taken
    sketch: int  # which of the sketches


def matched_pairs(images: int, samples: int, sketches: int) -> list[Pair]:
    """At most `samples` images, spread evenly, each with its own sketch; sketches take turns."""
    return [Pair(index, index, index % sketches) for index in spread_evenly(range(images), samples)]


def mismatched_pairs(images: int, samples: int, sketches: int, seed: int) -> list[Pair]:
    """`samples` different pairs of two images each, random but for (images, samples, sketches, seed).

    In rounds: every image gives its sketch once a round and its style once, never both to one image, and
    no pair returns. A round's sketches are of the next number. There are images·(images − 1) pairs at most.
    Raises UsageError for fewer than two images.
    """
    if images < 2:
        raise UsageError(f"{images} image: styles of other images need two or more; render more images")
    draw = numpy_generator(seed, "mismatched pairs", images)
    order, steps = draw.permutation(images), draw.permutation(images - 1) + 1
    pairs = []
    for turn, step in enumerate(steps):
        for place in range(min(images, samples - len(pairs))):
            content, style = int(order[place]), int(order[(place + step) % images])
            pairs.append(Pair(content, style, (content + turn) % sketches))
    return pairs

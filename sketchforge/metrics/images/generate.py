"""Runs a trained model for the measurement: sketches and style images in, images out, deterministically.

Shape letters: B batch, S side of the images, D length of f_style.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sketchforge.checkpoints.runs import MODEL_FILE
from sketchforge.data.augment import training_pair
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.tensors import to_grey, to_uint8
from sketchforge.metrics.images.features import iterate_batches
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.shards.selection import spread_evenly
from sketchforge.synthesis.synthesizer import Synthesizer
from sketchforge.utils.seeding import numpy_generator

BATCH = 16


@dataclass(frozen=True)
class GeneratedImages:
    """A batch of images and the sketches and style images they were made from."""

    pairs: list[Pair]
    sketches: np.ndarray  # uint8 (B,H,W) as they are stored, 255 = paper
    contents: np.ndarray  # uint8 (B,S,S,3): the images that the sketches show
    styles: np.ndarray  # uint8 (B,S,S,3): the style images
    other_sketches: np.ndarray  # uint8 (B,H,W): of the style images, by the same snapshot
    images: np.ndarray  # uint8 (B,S,S,3): the model's outputs, as they would be saved


def is_model(source: str | Path) -> bool:
    """Whether a path means a model's file or the run folder that holds one."""
    path = Path(source)
    return (path / MODEL_FILE).is_file() or (path.is_file() and path.suffix == ".safetensors")


def generate_images(
    model: Synthesizer, reader: SampleReader, pairs: Sequence[Pair], name: str, batch: int = BATCH
) -> Iterator[GeneratedImages]:
    """The model's images of these pairs, batch by batch.

    Images are rounded to 8 bits, as in a saved file. Raises SketchforgeError for a model whose
    images are not numbers, and for damaged shards.
    """
    size = model.size
    for batch_pairs in iterate_batches(pairs, batch):
        contents = [reader.read(pair.content, [pair.sketch]) for pair in batch_pairs]
        styles = [reader.read(pair.style, [pair.sketch]) for pair in batch_pairs]
        content_tensors = [
            training_pair(sample.image, sample.sketches, size, 0, sample.key, None) for sample in contents
        ]
        style_images = torch.stack(
            [
                training_pair(sample.image, sample.sketches, size, 0, sample.key, None)["image"]
                for sample in styles
            ]
        )
        inputs = torch.stack([_input_of(tensors, model.takes_grey) for tensors in content_tensors])
        keys = [(pair.content, pair.style, pair.sketch) for pair in batch_pairs]  # of what begins as noise
        outputs = model.synthesize_tensors(inputs, style_images, keys).cpu()
        if not bool(torch.isfinite(outputs).all()):
            raise SketchforgeError(f"{name}: makes images that are not numbers; train it anew")
        yield GeneratedImages(
            pairs=batch_pairs,
            sketches=np.stack([sample.sketches[0] for sample in contents]),
            contents=to_uint8(torch.stack([tensors["image"] for tensors in content_tensors])),
            styles=to_uint8(style_images),
            other_sketches=np.stack([sample.sketches[0] for sample in styles]),
            images=to_uint8(outputs),
        )


def _input_of(tensors: Mapping[str, torch.Tensor], grey: bool) -> torch.Tensor:
    """What a model is given of a sample's `training_pair`, (1,S,S): its sketch, or its image's grey."""
    return to_grey(tensors["image"][None])[0] if grey else tensors["sketch"]


def read_matched(
    reader: SampleReader, pairs: Sequence[Pair], size: int, batch: int = BATCH, grey: bool = False
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Of matched pairs: sketches (B,1,size,size), their images and the next pairs' images (B,3,size,size).

    In [-1, 1]; the last pair's next is the first. grey: in place of the sketches, their images' greys.
    """
    indices = range(len(pairs))
    for batch_indices in iterate_batches(indices, batch):
        tensors = []
        for index in (*batch_indices, (batch_indices[-1] + 1) % len(pairs)):
            sample = reader.read(pairs[index].content, [pairs[index].sketch])
            tensors.append(training_pair(sample.image, sample.sketches, size, 0, sample.key, None))
        images = torch.stack([pair["image"] for pair in tensors])
        yield torch.stack([_input_of(pair, grey) for pair in tensors[:-1]]), images[:-1], images[1:]


# The pairs of sketch and style on which a model is measured (paper section 5.2).
#
# Matched: sketch and style come from one image, so the output should equal that image. Mismatched: the style
# comes from another image, as in the model's use.


@dataclass(frozen=True)
class Pair:
    content: int  # index of the image whose sketch is taken
    style: int  # index of the image whose style is taken
    sketch: int  # index among the image's sketches


def matched_pairs(images: int, samples: int, sketches: int) -> list[Pair]:
    """At most `samples` images, spread evenly, each with a sketch of its own; the sketch index cycles."""
    return [Pair(index, index, index % sketches) for index in spread_evenly(range(images), samples)]


def mismatched_pairs(images: int, samples: int, sketches: int, seed: int) -> list[Pair]:
    """`samples` different pairs of two images each, random by (images, samples, sketches, seed).

    In each round every image gives its sketch once and its style once, never both to one pair. No pair
    recurs. The index of an image's sketch grows by one each round, modulo `sketches`. There are
    images·(images − 1) pairs at most. Raises UsageError for fewer than two images.
    """
    if images < 2:
        raise UsageError(f"{images} image: styles of other images need two or more; render more images")
    rng = numpy_generator(seed, "mismatched pairs", images)
    order, steps = rng.permutation(images), rng.permutation(images - 1) + 1
    pairs: list[Pair] = []
    for round_index, step in enumerate(steps):
        for position in range(min(images, samples - len(pairs))):
            content, style = int(order[position]), int(order[(position + step) % images])
            pairs.append(Pair(content, style, (content + round_index) % sketches))
    return pairs

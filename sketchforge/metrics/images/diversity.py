"""How much a style changes (SEGIN, Table I): one sketch in many styles, compared by LPIPS.

Diversity: between the images of one sketch in two styles. LPIPS to the style: between an image and its style
image. A model that does not look at the style has a diversity of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.images.generate import Pair, generate_images
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.metrics.images.lpips import PREPROCESSING, PerceptualSimilarity
from sketchforge.metrics.images.result import MISMATCHED, ImageRow
from sketchforge.metrics.images.statistics import estimate_means
from sketchforge.shards.selection import spread_evenly
from sketchforge.synthesis.synthesizer import Synthesizer
from sketchforge.utils.progress import Progress
from sketchforge.utils.seeding import numpy_generator

STYLES = 20  # of each sketch, which make 19 pairs of neighbours


def many_styles(images: int, inputs: int, sketches: int, seed: int) -> list[list[Pair]]:
    """For each of at most `inputs` images, spread evenly: its pairs with STYLES other images, random by the seed.

    With fewer others, all of them. The index of the sketch cycles from image to image. Empty where there are
    not two others.
    """
    groups = []
    for number, index in enumerate(spread_evenly(range(images), inputs)) if images > 2 else ():
        others = np.array([other for other in range(images) if other != index])
        chosen = numpy_generator(seed, "many styles", index).permutation(others)[:STYLES]
        groups.append([Pair(index, int(style), number % sketches) for style in chosen])
    return groups


def measure_diversity(
    model: Synthesizer,
    reader: SampleReader,
    groups: Sequence[Sequence[Pair]],
    name: str,
    similarities: Sequence[PerceptualSimilarity],
    progress: Progress,
) -> dict[str, dict[str, np.ndarray]]:
    """{title of the similarity: {"diversity" and "lpips_style": (G,) means over pairs, a value per group}}.

    Diversity is between neighbours in the order of `many_styles`.
    """
    values: dict[str, dict[str, list[float]]] = {
        similarity.title: {"diversity": [], "lpips_style": []} for similarity in similarities
    }
    for group in groups:
        batches = list(generate_images(model, reader, group, name))
        images = torch.cat([to_tensor(batch.images) for batch in batches])
        styles = torch.cat([to_tensor(batch.styles) for batch in batches])
        for similarity in similarities:
            means = values[similarity.title]
            means["diversity"].append(similarity.distance(images[:-1], images[1:]).mean().item())
            means["lpips_style"].append(similarity.distance(images, styles).mean().item())
        for _ in group:
            progress.advance()
    return {
        title: {kind: np.array(means) for kind, means in by_kind.items()} for title, by_kind in values.items()
    }


def diversity_rows(
    metadata: dict[str, Any],
    groups: Sequence[Sequence[Pair]],
    values: dict[str, dict[str, np.ndarray]],
    similarities: Sequence[PerceptualSimilarity],
    seed: int,
) -> list[ImageRow]:
    """A row for each similarity; intervals over sketches. No rows where there are no groups."""
    contents = [group[0].content for group in groups]
    return [
        ImageRow(
            **metadata,
            pairs=MISMATCHED,
            count=sum(map(len, groups)),
            features=similarity.title,
            weights=similarity.weights,
            preprocessing=PREPROCESSING,
            figures=estimate_means(values[similarity.title], contents, seed),
            titles={
                "diversity": f"diversity, {similarity.title}",
                "lpips_style": f"{similarity.title} to the style",
            },
            note=similarity.note,
        )
        for similarity in (similarities if groups else ())
    ]

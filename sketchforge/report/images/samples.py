"""A model's images for the eye: a grid of sketches × styles, and its best and worst images.

Shape letters: N images, S side of the model's images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from markupsafe import Markup

from sketchforge.checkpoints.catalog import AbsentError
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.images.contact_sheet import describe_enlargement, labelled_grid
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import to_tensor
from sketchforge.losses.autoencoder import perceptual
from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.images.generate import Pair, generate_images, matched_pairs
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.metrics.images.lpips import PerceptualSimilarity, open_lpips
from sketchforge.metrics.images.statistics import estimate_means
from sketchforge.models.encoder import Encoder
from sketchforge.options import EvalImagesOptions
from sketchforge.report.html import fill_template, image_uri
from sketchforge.shards.selection import spread_evenly
from sketchforge.shards.shard_set import open_shards
from sketchforge.synthesis.synthesizer import Synthesizer, load_model
from sketchforge.utils.device import choose_device
from sketchforge.utils.text import count_noun

GRID_IMAGES = 6
GRID_CELL = 112  # pixels
RANKED = 4  # best images, and as many worst ones
STRIP_CELL = 144  # pixels
PERCEPTUAL_TAPS = ("relu1_2", "relu2_2", "relu3_2")  # as in training
PERCEPTUAL_TITLE = "perceptual error (builtin)"


@dataclass(frozen=True)
class ImageSampleError:
    """error(outputs, images): uint8 (B,S,S,3) twice -> (B,); 0 for equal images."""

    title: str
    error: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RankedImage:
    """The model's output for a sketch and the style of the sketch's own image."""

    key: str
    sketch: str  # its style
    value: float
    strip: np.ndarray  # uint8 H×W×3: sketch, output, image


@dataclass(frozen=True)
class Ranking:
    """The best and worst outputs of matched pairs, by their error."""

    title: str  # of the error
    figure: Estimate  # the mean
    count: int
    best: tuple[RankedImage, ...]  # best first
    worst: tuple[RankedImage, ...]  # worst first


@dataclass(frozen=True)
class ModelSamples:
    grid: np.ndarray  # uint8 H×W×3, from `styles_grid`
    ranking: Ranking


def model_samples(asked: EvalImagesOptions, name: str) -> ModelSamples:
    """Generate a model's grid and ranking from the shards that it is measured on; the same every time.

    name: the model's, for messages. Images are ranked by the first LPIPS whose weights are there.
    Raises the errors of `evaluate_images`.
    """
    model = load_model(asked.model, str(choose_device(asked.device)))
    shards = open_shards(asked.shards).require(sketches=1).take_held_out(asked.split)
    error = image_error(_open_first_lpips(asked, model.device), load_encoder("builtin").to(model.device))
    pairs = matched_pairs(shards.num_samples, asked.samples, len(shards.styles))
    reader = SampleReader(shards)
    try:
        ranking = rank_images(model, reader, pairs, name, error, asked.seed)
        return ModelSamples(styles_grid(model, reader, name), ranking)
    finally:
        reader.close()


def _open_first_lpips(options: EvalImagesOptions, device: torch.device) -> PerceptualSimilarity | None:
    for backbone, weights in options.lpips:
        try:
            return open_lpips(backbone, weights, device)
        except AbsentError:  # `evaluate_images` reports it
            continue
    return None


def image_error(similarity: PerceptualSimilarity | None, encoder: Encoder) -> ImageSampleError:
    """LPIPS where `similarity` is given, else the perceptual error in the built-in encoder's features."""
    if similarity is not None:
        return ImageSampleError(
            similarity.title, lambda a, b: similarity.distance(to_tensor(a), to_tensor(b)).cpu().numpy()
        )
    device = next(encoder.parameters()).device

    @torch.no_grad()
    def error(outputs: np.ndarray, images: np.ndarray) -> np.ndarray:
        a, b = (to_tensor(batch).to(device) for batch in (outputs, images))
        errors = [perceptual(encoder, a[i : i + 1], b[i : i + 1], PERCEPTUAL_TAPS) for i in range(len(a))]
        return np.array([float(value) for value in errors])

    return ImageSampleError(PERCEPTUAL_TITLE, error)


def rank_images(
    model: Synthesizer,
    reader: SampleReader,
    pairs: Sequence[Pair],
    name: str,
    error: ImageSampleError,
    seed: int,
) -> Ranking:
    """The best and the worst of the matched `pairs`. Raises the errors of `generate_images`."""
    values = np.concatenate(
        [error.error(batch.images, batch.contents) for batch in generate_images(model, reader, pairs, name)]
    ).astype(np.float64)
    order = [int(index) for index in np.argsort(values, kind="stable")]
    count = min(RANKED, max(1, len(order) // 2))  # no image is among both
    chosen = [order[:count], order[::-1][:count]] if len(order) > 1 else [order, []]
    best, worst = (
        tuple(_generate_ranked(model, reader, [pairs[index] for index in indices], name, values[indices]))
        for indices in chosen
    )
    figure = estimate_means({"error": values}, [pair.content for pair in pairs], seed)["error"]
    return Ranking(error.title, figure, len(pairs), best, worst)


def _generate_ranked(
    model: Synthesizer, reader: SampleReader, pairs: list[Pair], name: str, values: np.ndarray
) -> list[RankedImage]:
    styles = reader.shards.styles
    ranked: list[RankedImage] = []
    for batch in generate_images(model, reader, pairs, name):
        for pair, sketch, output, image in zip(
            batch.pairs, batch.sketches, batch.images, batch.contents, strict=True
        ):
            key = reader.read(pair.content, []).key
            strip = _join_strip([sketch, output, image])
            ranked.append(RankedImage(key, styles[pair.sketch], float(values[len(ranked)]), strip))
    return ranked


def _join_strip(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images side by side, uint8 H×W×3."""
    cells = [fit_square(image, STRIP_CELL, "pad") for image in images]
    cells = [cell if cell.ndim == 3 else np.repeat(cell[..., None], 3, axis=2) for cell in cells]
    gap = np.full((STRIP_CELL, 4, 3), 205, np.uint8)
    return np.concatenate([cells[0], *(part for cell in cells[1:] for part in (gap, cell))], axis=1)


def styles_grid(model: Synthesizer, reader: SampleReader, name: str) -> np.ndarray:
    """uint8 H×W×3: sketches at the left, styles above, both of the same images: the diagonal is matched."""
    shards = reader.shards
    chosen = spread_evenly(range(shards.num_samples), GRID_IMAGES)
    heads, rows, cells = [], [], []
    for row, content in enumerate(chosen):
        sketch = row % len(shards.styles)
        pairs = [Pair(content, style, sketch) for style in chosen]
        images = [image for batch in generate_images(model, reader, pairs, name) for image in batch.images]
        sample = reader.read(content, [sketch])
        heads.append((sample.key, sample.image))
        rows.append(("", sample.sketches[0]))  # of the same images, whose names stand above
        cells.append(images)
    return labelled_grid("sketch \\ style", heads, rows, cells, GRID_CELL)


# A model's images on a page: sketches × styles, and its best and worst images.

GRID_EXPLAINED = (
    "Sketches at the left, drawn out in the styles of the images above; the same images in the same order, "
    "so that on the diagonal sketch and style match and everywhere else they do not."
)


RANKED_EXPLAINED = "Sketch, output and image: what is made of sketches in the style of their own image."


def grid_html(name: str, size: int, detail: str, grid: np.ndarray) -> Iterator[Markup]:
    """Yield the figure. grid: uint8 H×W×3, from `styles_grid`; detail: stands beside the model's name.

    size: of the model's images, in pixels.
    """
    return fill_template(
        "images/grid.html", name=name, detail=detail, uri=image_uri(grid), alt=grid_alt(name, size)
    )


def grid_alt(name: str, size: int) -> str:
    return f"{name}, {size} pixels: sketches of some images, each drawn out in the styles of all of them"


def ranking_html(name: str, size: int, ranking: Ranking) -> Iterator[Markup]:
    """Yield the best and worst images under the model's name. size: of its images, in pixels."""
    return fill_template(
        "images/ranking.html",
        name=name,
        described=f"{describe_ranking(ranking)}; {describe_enlargement(size, STRIP_CELL)}",
        ranking=ranking,
        image_uri=image_uri,
        strip_alt=strip_alt,
    )


def describe_ranking(ranking: Ranking) -> str:
    return f"by {ranking.title}, mean {ranking.figure.value:.4f} over {count_noun(ranking.count, 'image')}"


def strip_alt(name: str, rank: str, one: RankedImage) -> str:
    return f"{one.key}: sketch, image by {name}, image; {rank}, {one.value:.4f}"

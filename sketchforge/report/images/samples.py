"""What a model makes of sketches, to be looked at: a grid of sketches × styles, best and worst pictures.

Shape letters: N pictures, S side of the model's pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sketchforge.checkpoints.catalog import AbsentError
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.images.contact_sheet import labelled_grid
from sketchforge.images.encode import encode_jpeg
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import to_tensor
from sketchforge.losses.autoencoder import perceptual
from sketchforge.metrics.estimates import Figure
from sketchforge.metrics.images.generate import Pair, made_of, matched_pairs
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.metrics.images.lpips import PerceptualSimilarity, open_lpips
from sketchforge.metrics.images.statistics import mean_figures
from sketchforge.models.encoder import Encoder
from sketchforge.options import EvalImagesOptions
from sketchforge.report.html import data_uri, text
from sketchforge.shards.selection import spread
from sketchforge.shards.shard_set import open_shards
from sketchforge.synthesis.synthesizer import Synthesizer, load_model
from sketchforge.utils.device import choose_device

GRID_IMAGES = 6
GRID_CELL = 112  # pixels
RANKED = 4  # best, and as many worst
STRIP_CELL = 144  # pixels
PERCEPTUAL_TAPS = ("relu1_2", "relu2_2", "relu3_2")  # as in training
PERCEPTUAL_TITLE = "perceptual error (builtin)"


@dataclass(frozen=True)
class PictureError:
    """error(pictures, images): uint8 (B,S,S,3) twice -> (B,), 0 for equal ones."""

    title: str
    error: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RankedPicture:
    """A picture made of a sketch and its own image's style."""

    key: str
    sketch: str  # its style
    value: float
    strip: np.ndarray  # uint8 H×W×3: sketch, picture, image


@dataclass(frozen=True)
class Ranking:
    """Matched pictures by their error."""

    title: str  # of the error
    figure: Figure  # the mean
    count: int
    best: tuple[RankedPicture, ...]  # best first
    worst: tuple[RankedPicture, ...]  # worst first


@dataclass(frozen=True)
class ModelSamples:
    grid: np.ndarray  # uint8 H×W×3, from `styles_grid`
    ranking: Ranking


def model_samples(asked: EvalImagesOptions, name: str) -> ModelSamples:
    """What a model makes of the shards that it is measured on, looked at the same every time.

    name: what it is called. Pictures are ranked by the first LPIPS that there is. Errors as `evaluate_images`
    has them.
    """
    model = load_model(asked.model, str(choose_device(asked.device)))
    shards = open_shards(asked.shards).require(sketches=1)
    error = picture_error(_first_lpips(asked, model.device), load_encoder("builtin").to(model.device))
    pairs = matched_pairs(shards.num_samples, asked.samples, len(shards.styles))
    reader = SampleReader(shards)
    try:
        ranking = ranked(model, reader, pairs, name, error, asked.seed)
        return ModelSamples(styles_grid(model, reader, name), ranking)
    finally:
        reader.close()


def _first_lpips(asked: EvalImagesOptions, device: torch.device) -> PerceptualSimilarity | None:
    for backbone, given in asked.lpips:
        try:
            return open_lpips(backbone, given, device)
        except AbsentError:  # told by `evaluate_images`
            continue
    return None


def picture_error(similarity: PerceptualSimilarity | None, encoder: Encoder) -> PictureError:
    """LPIPS where there is one, else the perceptual error in the built-in encoder's features."""
    if similarity is not None:
        return PictureError(
            similarity.title, lambda a, b: similarity.distance(to_tensor(a), to_tensor(b)).cpu().numpy()
        )
    here = next(encoder.parameters()).device

    @torch.no_grad()
    def error(pictures: np.ndarray, images: np.ndarray) -> np.ndarray:
        a, b = (to_tensor(one).to(here) for one in (pictures, images))
        each = [perceptual(encoder, a[i : i + 1], b[i : i + 1], PERCEPTUAL_TAPS) for i in range(len(a))]
        return np.array([float(one) for one in each])

    return PictureError(PERCEPTUAL_TITLE, error)


def ranked(
    model: Synthesizer, reader: SampleReader, pairs: Sequence[Pair], name: str, error: PictureError, seed: int
) -> Ranking:
    """The best and the worst of the matched `pairs`. Errors as `made_of` has them."""
    values = np.concatenate(
        [error.error(made.pictures, made.contents) for made in made_of(model, reader, pairs, name)]
    ).astype(np.float64)
    order = [int(place) for place in np.argsort(values, kind="stable")]
    count = min(RANKED, max(1, len(order) // 2))  # no picture is among both
    chosen = [order[:count], order[::-1][:count]] if len(order) > 1 else [order, []]
    best, worst = (
        tuple(_shown(model, reader, [pairs[at] for at in places], name, values[places])) for places in chosen
    )
    figure = mean_figures({"error": values}, [pair.content for pair in pairs], seed)["error"]
    return Ranking(error.title, figure, len(pairs), best, worst)


def _shown(
    model: Synthesizer, reader: SampleReader, pairs: list[Pair], name: str, values: np.ndarray
) -> list[RankedPicture]:
    styles = reader.shards.styles
    shown = []
    for made in made_of(model, reader, pairs, name):
        for pair, sketch, picture, image in zip(
            made.pairs, made.sketches, made.pictures, made.contents, strict=True
        ):
            key = reader.read(pair.content, []).key
            strip = _strip([sketch, picture, image])
            shown.append(RankedPicture(key, styles[pair.sketch], float(values[len(shown)]), strip))
    return shown


def _strip(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures side by side, uint8 H×W×3."""
    cells = [fit_square(picture, STRIP_CELL, "pad") for picture in pictures]
    cells = [cell if cell.ndim == 3 else np.repeat(cell[..., None], 3, axis=2) for cell in cells]
    gap = np.full((STRIP_CELL, 4, 3), 205, np.uint8)
    return np.concatenate([cells[0], *(part for cell in cells[1:] for part in (gap, cell))], axis=1)


def styles_grid(model: Synthesizer, reader: SampleReader, name: str) -> np.ndarray:
    """uint8 H×W×3: sketches at the left in the styles above, of the same images: the diagonal is matched."""
    shards = reader.shards
    chosen = spread(range(shards.num_samples), GRID_IMAGES)
    heads, rows, cells = [], [], []
    for place, content in enumerate(chosen):
        sketch = place % len(shards.styles)
        pairs = [Pair(content, style, sketch) for style in chosen]
        pictures = [picture for made in made_of(model, reader, pairs, name) for picture in made.pictures]
        stored = reader.read(content, [sketch])
        heads.append((stored.key, stored.image))
        rows.append(("", stored.sketches[0]))  # of the same images: their names stand above
        cells.append(pictures)
    return labelled_grid("sketch \\ style", heads, rows, cells, GRID_CELL)


# What a model made, on a page: sketches × styles, and its best and worst pictures.

GRID_EXPLAINED = (
    "Sketches at the left, drawn out in the styles of the images above; the same images in the same order, "
    "so that on the diagonal sketch and style match and everywhere else they do not."
)


RANKED_EXPLAINED = "Sketch, picture and image: what is made of sketches in the style of their own image."


def grid_html(name: str, about: str, grid: np.ndarray) -> Iterator[str]:
    """grid: uint8 H×W×3, from `styles_grid`; about: what is to be said of the model beside its name."""
    uri = data_uri("image/jpeg", encode_jpeg(grid))
    yield f'<figure>\n<figcaption><b>{text(name)}</b> <span class="faint">{text(about)}</span>'
    yield f'</figcaption>\n<img src="{uri}" alt="{text(grid_alt(name))}" loading="lazy" decoding="async">\n'
    yield "</figure>\n"


def grid_alt(name: str) -> str:
    return f"{name}: sketches of some images, each drawn out in the styles of all of them"


def ranked_html(name: str, ranking: Ranking) -> Iterator[str]:
    """Best and worst under the model's name."""
    yield f"<h3>{text(name)} <small>{text(ranking_told(ranking))}</small></h3>\n"
    for what, pictures in (("best", ranking.best), ("worst", ranking.worst)):
        yield f'<div class="strips" role="group" aria-label="{text(name)}, {what}">\n'
        for place, one in enumerate(pictures, start=1):
            yield _strip_html(name, f"{what} {place}", one)
        yield "</div>\n"


def ranking_told(ranking: Ranking) -> str:
    return f"by {ranking.title}, mean {ranking.figure.value:.4f} over {ranking.count:,} pictures"


def strip_alt(name: str, rank: str, one: RankedPicture) -> str:
    return f"{one.key}: sketch, picture by {name}, image; {rank}, {one.value:.4f}"


def _strip_html(name: str, rank: str, one: RankedPicture) -> str:
    uri = data_uri("image/jpeg", encode_jpeg(one.strip))
    height, width = one.strip.shape[:2]
    return (
        f'<figure><img src="{uri}" alt="{text(strip_alt(name, rank, one))}" width="{width}" '
        f'height="{height}" loading="lazy" decoding="async"><figcaption><span class="rank">{rank}</span> '
        f'<b>{one.value:.4f}</b> <span class="faint">{text(one.key)}, {text(one.sketch)}</span></figcaption>'
        "</figure>\n"
    )

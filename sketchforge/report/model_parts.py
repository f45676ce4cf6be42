"""What a model made, on a page: sketches × styles, and its best and worst pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sketchforge.images.encode import encode_jpeg
from sketchforge.report.model_samples import RankedPicture, Ranking
from sketchforge.report.page import data_uri, text

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
            yield _strip(name, f"{what} {place}", one)
        yield "</div>\n"


def ranking_told(ranking: Ranking) -> str:
    return f"by {ranking.title}, mean {ranking.figure.value:.4f} over {ranking.count:,} pictures"


def strip_alt(name: str, rank: str, one: RankedPicture) -> str:
    return f"{one.key}: sketch, picture by {name}, image; {rank}, {one.value:.4f}"


def _strip(name: str, rank: str, one: RankedPicture) -> str:
    uri = data_uri("image/jpeg", encode_jpeg(one.strip))
    height, width = one.strip.shape[:2]
    return (
        f'<figure><img src="{uri}" alt="{text(strip_alt(name, rank, one))}" width="{width}" '
        f'height="{height}" loading="lazy" decoding="async"><figcaption><span class="rank">{rank}</span> '
        f'<b>{one.value:.4f}</b> <span class="faint">{text(one.key)}, {text(one.sketch)}</span></figcaption>'
        "</figure>\n"
    )

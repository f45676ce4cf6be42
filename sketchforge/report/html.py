"""The shell that all pages share: one HTML file that fetches nothing, with shared colours and fonts.

A page adds its title, further CSS, a script and its body. Pages are templates, which escape whatever enters them;
only what templates have made is Markup. A page holds no JSON: its script reads the document.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sketchforge.images.encode import encode_jpeg, encode_png
from sketchforge.utils import files
from sketchforge.utils.files import disk_errors


def write_page(path: Path, pieces: Iterable[str]) -> None:
    """Write a page in pieces, whole or not at all. Raises SketchforgeError on a full disk."""
    with disk_errors(path), files.atomic_write(path) as file:
        # A file name that is not valid text shows as question marks; it does not stop the page.
        file.writelines(piece.encode("utf-8", errors="replace") for piece in pieces)


def page(title: str, style: str, script: str, body: Iterable[Markup]) -> Iterator[Markup]:
    """Yield the page in pieces, in order; `body` is consumed piece by piece.

    `title` is any text, `body` HTML. `style` and `script` come from this package and must not hold "</style"
    or "</script".
    """
    style = asset("page.css") + style
    return fill_template("page.html", title=title, style=Markup(style), script=Markup(script), body=body)


def fill_template(name: str, /, **values: Any) -> Iterator[Markup]:
    """Yield a template of this package, filled in, in pieces; `name` is its path relative to the package.

    Values are escaped, but for those that are Markup.
    """
    return map(Markup, _environment().get_template(name).generate(**values))


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def asset(name: str) -> str:
    """The text of a file of this package; `name` is its path relative to the package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


# Images in rows, for pages and documents: each with its column heading and an alternative text.

IMAGE_SIDE = 320  # pixels; larger images are reduced: the gallery shows them in full


@dataclass(frozen=True)
class PageImage:
    heading: str  # of its column
    alt: str
    pixels: np.ndarray | None  # uint8 H×W×3 RGB or H×W grey; None: no image


ImageRow = tuple[PageImage, ...]  # every row has the same headings


def reduce(image: np.ndarray, side: int = IMAGE_SIDE) -> np.ndarray:
    """uint8 H×W×3 or H×W -> the same with a longer side of at most `side` pixels."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def image_uri(image: np.ndarray) -> str:
    """uint8 H×W×3 -> data URI of a JPEG; uint8 H×W -> data URI of a PNG."""
    if image.ndim == 3:
        return data_uri("image/jpeg", encode_jpeg(image))
    return data_uri("image/png", encode_png(image, binary=bool(np.isin(image, (0, 255)).all())))

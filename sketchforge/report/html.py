"""The shell that pages share: one file that fetches nothing, with the house's colours and type.

What a page shows is its own affair: it gives a title, further CSS, a script and its body. Strings from
outside (keys, sources, captions, names of styles and folders) enter the body through `text`, and nothing
else: there is no JSON in a page, scripts read the document.
"""

from __future__ import annotations

import base64
import html
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from sketchforge.images.encode import encode_jpeg, encode_png
from sketchforge.utils import files
from sketchforge.utils.files import disk_errors


def write_page(path: Path, pieces: Iterable[str]) -> None:
    """Write a page in pieces, whole or not at all. Raises SketchforgeError on a full disk."""
    with disk_errors(path), files.atomic_write(path) as file:
        # A file name that is no valid text shows as question marks; it does not stop the page.
        file.writelines(piece.encode("utf-8", errors="replace") for piece in pieces)


def page(title: str, style: str, script: str, body: Iterable[str]) -> Iterator[str]:
    """The page in pieces, to be written one after the other; `body` is taken as the pieces come.

    `title` is any text, `body` HTML; `style` and `script` are ours and must not hold "</style" or "</script".
    """
    before, after = template("page.html").split("$body")
    values = {"title": text(title), "style": template("page.css") + style, "script": script}
    yield string.Template(before).substitute(values)
    yield from body
    yield string.Template(after).substitute(values)


def template(name: str) -> str:
    """The text of a file, by its path from this folder."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def text(value: object) -> str:
    """Any value as HTML text, good between tags and inside a quoted attribute."""
    return html.escape(str(value), quote=True)


def data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


# Images beside each other, for pages and documents: each with its heading and what it shows in words.

IMAGE_SIDE = 320  # pixels; larger images are reduced, for looking at them is the gallery's affair


@dataclass(frozen=True)
class PageImage:
    heading: str  # of its column
    alt: str
    pixels: np.ndarray | None  # uint8 H×W×3 RGB or H×W grey; None: there is none


ImageRow = tuple[PageImage, ...]  # of equal headings in every row


def reduce(image: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 or H×W, its longer side IMAGE_SIDE pixels at most."""
    scale = IMAGE_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def image_uri(image: np.ndarray) -> str:
    """uint8 H×W×3 or H×W as a data URI: JPEG in colour, PNG in grey."""
    if image.ndim == 3:
        return data_uri("image/jpeg", encode_jpeg(image))
    return data_uri("image/png", encode_png(image, binary=bool(np.isin(image, (0, 255)).all())))

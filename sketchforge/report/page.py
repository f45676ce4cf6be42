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
from importlib import resources
from pathlib import Path

from sketchforge.utils import files
from sketchforge.utils.files import disk_errors


def write_page(path: Path, pieces: Iterable[str]) -> None:
    """Write a page in pieces, whole or not at all. Raises SketchforgeError on a full disk."""
    with disk_errors(path), files.appearing(path) as file:
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
    """The text of a file beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def text(value: object) -> str:
    """Any value as HTML text, good between tags and inside a quoted attribute."""
    return html.escape(str(value), quote=True)


def data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"

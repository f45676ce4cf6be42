"""What pages save: zip files of which the same content gives the same bytes."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from sketchforge.utils.versions import installed_version

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can name
_LIBRARIES = ("sketchforge", "torch", "numpy", "opencv-python-headless", "pillow")


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """A zip file of these files, by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def encode_colour_png(image: np.ndarray) -> bytes:
    """uint8 H×W×3 RGB -> PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def record_origin(origin: Mapping[str, Any]) -> bytes:
    """made.json: what made the files beside it, and with which versions."""
    versions = {name: installed_version(name) for name in _LIBRARIES}
    record = {"format": "sketchforge-drawing", "version": 1, **origin, "versions": versions}
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def plain_name(text: str) -> str:
    """A text as part of a file name: letters, digits and hyphens, 40 at most."""
    return re.sub(r"[^\w]+", "-", text).strip("-_")[:40] or "image"

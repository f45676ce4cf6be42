"""Tars of images as input."""

from __future__ import annotations

import io
import tarfile

from PIL import Image

from sketchforge.options import RenderOptions
from tests.helpers.photos import scene


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene(seed, 40, 50)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def options_for(images, shards, **more):
    return RenderOptions(
        shards=shards, images=images, method="canny", size=32, samples_per_shard=4, workers=1, **more
    )

"""Render with the method's grey sketches kept: hands that are tried one after another need them drawn once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from sketchforge.options import RenderOptions
from sketchforge.render.draw_shards import render_shards
from sketchforge.render.engines import finish
from sketchforge.render.job import RenderJob, open_job
from sketchforge.render.plan import plan_render
from sketchforge.render.render import complete_manifest, prepare_folder
from sketchforge.render.summary import start_summary
from sketchforge.sketchers.base import Drawing, Sketcher
from sketchforge.sketchers.factory import ReadySketcher
from sketchforge.utils.files import atomic_write
from sketchforge.utils.progress import Progress


@dataclass(frozen=True)
class KeptSketcher:
    """Draws as `inner` does, each image once: afterwards its sketches are read from a folder."""

    inner: Sketcher
    folder: Path

    @property
    def method(self) -> str:
        return self.inner.method

    @property
    def styles(self) -> tuple[str, ...]:
        return self.inner.styles

    @property
    def digests(self) -> Mapping[str, str]:
        return self.inner.digests

    def draw(self, pixels: np.ndarray) -> Drawing:
        """uint8 (B,H,W,3) RGB -> sketches as `inner` draws them, uint8 (N,H,W) each."""
        paths = [self.folder / f"{pixels_digest(image)}.png" for image in pixels]
        missing = [at for at, path in enumerate(paths) if not path.is_file()]
        drawing = self.inner.draw(pixels[missing]) if missing else Drawing(tuple)

        def images() -> Iterable[np.ndarray]:
            drawn = iter(drawing.images())
            for at, path in enumerate(paths):
                if at in missing:
                    sketches = next(drawn)
                    write_tall(path, sketches)
                    yield sketches
                else:
                    yield read_tall(path, pixels.shape[1])

        return Drawing(images, drawing.cancel)


def pixels_digest(image: np.ndarray) -> str:
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:32]


def write_tall(path: Path, sketches: np.ndarray) -> None:
    """uint8 (N,H,W), one above the other in one file."""
    encoded = cv2.imencode(".png", sketches.reshape(-1, sketches.shape[2]), [cv2.IMWRITE_PNG_COMPRESSION, 1])[
        1
    ]
    with atomic_write(path, sweep=False) as file:
        file.write(encoded.tobytes())


def read_tall(path: Path, height: int) -> np.ndarray:
    tall = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return tall.reshape(-1, height, tall.shape[1])


def kept_folder(kept: Path, ready: ReadySketcher) -> Path:
    """A folder for each method, its weights and its options."""
    identity = [ready.sketcher.method, list(ready.sketcher.styles), dict(ready.sketcher.digests)]
    text = json.dumps([*identity, {name: str(value) for name, value in sorted(ready.options.items())}])
    return kept / f"{ready.sketcher.method}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def render_kept(options: RenderOptions, kept: Path) -> None:
    """`render`, with the method's grey sketches kept in a folder of `kept`; the same bytes.

    Raises what `render` does; the folder is not locked, for the study alone writes into it.
    """
    job = open_job(plan_render(options))
    if not job.is_done:
        job = with_kept_sketches(job, kept)
        summary = start_summary(job)
        prepare_folder(job)
        render_shards(job, summary, Progress())
        complete_manifest(job, summary, Progress())
        finish(job, summary)


def with_kept_sketches(job: RenderJob, kept: Path) -> RenderJob:
    sketcher = KeptSketcher(job.ready.sketcher, kept_folder(kept, job.ready))
    return replace(job, ready=replace(job.ready, sketcher=sketcher))

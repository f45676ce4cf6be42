"""A trained model as measures see it: sketches and style images in, pictures out, the same every time.

Shape letters: B batch, S side of the pictures, D length of f_style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sketchforge.autoencoder_file import FORMAT as AUTOENCODER
from sketchforge.autoencoder_file import read_autoencoder
from sketchforge.checkpoint import digest_of
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images import to_uint8
from sketchforge.metrics.image_features import batches
from sketchforge.metrics.image_pairs import Pair
from sketchforge.metrics.image_sets import SampleReader
from sketchforge.pairs import training_pair
from sketchforge.synthesizer_file import FORMAT as SYNTHESIZER
from sketchforge.synthesizer_file import read_synthesizer

if TYPE_CHECKING:
    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.gan import Refiner

MODEL_FILE = "model.safetensors"
BATCH = 16


@dataclass(frozen=True)
class ImageModel:
    """An auto-encoder, and the refiner where there is one, without noise: figures must not depend on it."""

    autoencoder: AutoEncoder
    refiner: Refiner | None
    digest: str
    device: torch.device

    @property
    def size(self) -> int:
        return self.autoencoder.size

    @torch.no_grad()
    def styles(self, images: Tensor) -> Tensor:
        """(B,3,S,S) float in [-1, 1] -> f_style (B,D)."""
        return self.autoencoder.encode_style(images.to(self.device))

    @torch.no_grad()
    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), 1 = paper, and style images (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1] on the CPU."""
        content = self.autoencoder.encode_content(sketches.to(self.device))
        style = self.styles(images)
        made = self.autoencoder.decode(content, style)
        return (made if self.refiner is None else self.refiner(made, style)).float().cpu()


@dataclass(frozen=True)
class Made:
    """A batch of pictures and what they were made from."""

    pairs: list[Pair]
    sketches: np.ndarray  # uint8 (B,H,W) as they are stored, 255 = paper
    contents: np.ndarray  # uint8 (B,S,S,3): the images that the sketches show
    styles: np.ndarray  # uint8 (B,S,S,3): the style images
    other_sketches: np.ndarray  # uint8 (B,H,W): of the style images, by the same snapshot
    pictures: np.ndarray  # uint8 (B,S,S,3): what the model made, as it would be saved


def is_model(source: str | Path) -> bool:
    """Whether a path means a model's file or the run folder that holds one."""
    path = Path(source)
    return (path / MODEL_FILE).is_file() or (path.is_file() and path.suffix == ".safetensors")


def read_model(path: Path, device: torch.device) -> ImageModel:
    """A run of `ae-train` or `gan-train`, or a model's file.

    Raises UsageError where there is none, SketchforgeError for a file that is corrupt, foreign or newer.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        what = f"holds no {MODEL_FILE}" if path.is_dir() else "no such file or folder"
        raise UsageError(
            f"{path}: {what}; expected a finished run of `sketchforge ae-train` or gan-train, or its model"
        )
    if _format(file) == SYNTHESIZER:
        autoencoder, refiner, _ = read_synthesizer(file)
    else:
        autoencoder, _ = read_autoencoder(file)
        refiner = None
    digest = digest_of(autoencoder.state_dict())
    if refiner is not None:
        digest = f"{digest[:32]}{digest_of(refiner.state_dict())[:32]}"
        refiner.to(device)
    return ImageModel(autoencoder.to(device), refiner, digest, device)


def made_of(
    model: ImageModel, reader: SampleReader, pairs: Sequence[Pair], name: str, batch: int = BATCH
) -> Iterator[Made]:
    """The model's pictures of these pairs, batch by batch.

    Pictures are rounded to 8 bits: measured is what would be saved. Raises SketchforgeError for a model whose
    pictures are not numbers, and for damaged shards.
    """
    size = model.size
    for part in batches(pairs, batch):
        contents = [reader.read(pair.content, [pair.sketch]) for pair in part]
        styles = [reader.read(pair.style, [pair.sketch]) for pair in part]
        given = [training_pair(one.image, one.sketches, size, 0, one.key, None) for one in contents]
        images = torch.stack(
            [training_pair(one.image, one.sketches, size, 0, one.key, None)["image"] for one in styles]
        )
        pictures = model.synthesize(torch.stack([one["sketch"] for one in given]), images)
        if not bool(torch.isfinite(pictures).all()):
            raise SketchforgeError(f"{name}: makes pictures that are not numbers; train it anew")
        yield Made(
            pairs=part,
            sketches=np.stack([one.sketches[0] for one in contents]),
            contents=to_uint8(torch.stack([one["image"] for one in given])),
            styles=to_uint8(images),
            other_sketches=np.stack([one.sketches[0] for one in styles]),
            pictures=to_uint8(pictures),
        )


def _format(file: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as opened:
            return (opened.metadata() or {}).get("format")
    except (SafetensorError, OSError):
        return AUTOENCODER  # whose reader says what is wrong

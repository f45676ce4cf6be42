"""The auto-encoder in the utility study: what it makes of people's drawings when trained on a set of sketches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from utility_data import people, read_drawing
from utility_sets import SETS, assemble

from sketchforge.checkpoints.synthesizer import read_autoencoder
from sketchforge.images.decode import read_image
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.images.lpips import open_lpips
from sketchforge.options import AeTrainOptions
from trainers.autoencoder.run import train_ae

AE_STEPS = 200


def auto_encoder(name: str, seed: int, data: Path, work: Path, steps: int) -> dict[str, Any]:
    """Train the demo recipe on a set; LPIPS of tested photos and what is made of drawings in their style.

    Of a drawing of this photo, and of one of another photo: what lies between them is what drawings tell.
    """
    options = AeTrainOptions(
        shards=str(assemble(work, name, SETS[name])),
        run=work / f"ae-{steps}" / f"{name}-{seed}",
        steps=steps,
        seed=seed,
        style="multiply",  # the defaults when the rows were made
        padding="zeros",
        workers=0,
        threads=1,
        device="cpu",
    )
    train_ae(options)
    model = read_autoencoder(options.run / "model.safetensors")[0]
    weights = data / "weights/squeezenet/squeezenet1_1_features_tvkeys.safetensors"
    perceive = open_lpips("squeeze", weights, torch.device("cpu")).distance
    given, photos = read_pairs_of_people(data, model.size)
    return {"set": name, "seed": seed, "steps": steps, **ae_distances(model, given, photos, perceive)}


def read_pairs_of_people(data: Path, size: int) -> tuple[list[Tensor], list[Tensor]]:
    """(drawings (1,1,S,S), the photo of each (1,3,S,S)), in [-1, 1]."""
    drawings = people(data)
    sketches = [
        to_tensor(read_drawing(data / drawing.sketch, size, False)[..., None]) for drawing in drawings
    ]
    photos = [to_tensor(fit_square(read_image(data / drawing.photo), size, "crop")) for drawing in drawings]
    return sketches, photos


@torch.no_grad()
def ae_distances(
    model: nn.Module,
    sketches: list[Tensor],
    photos: list[Tensor],
    perceive: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, list[float]]:
    """sketches (1,1,S,S) and photos (1,3,S,S) in [-1, 1], of one drawing each -> one distance per drawing."""
    half = len(sketches) // 2  # far beyond the other drawings of the same photo, which are next to each other
    found: dict[str, list[float]] = {"matched": [], "mismatched": []}
    for how, some in (("matched", sketches), ("mismatched", sketches[half:] + sketches[:half])):
        for at in range(0, len(some), 32):
            style = torch.cat(photos[at : at + 32])
            found[how] += perceive(model(torch.cat(some[at : at + 32]), style), style).tolist()
    return found

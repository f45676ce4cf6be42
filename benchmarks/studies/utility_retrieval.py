"""Retrieval in the utility study: a network that finds the photo a drawing was made from, trained and tested.

Shape letters: B batch, P photos, K sketches of each, S side, D features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from utility_data import gallery, people, read_drawing
from utility_sets import photos_of, sketches_of

from sketchforge.checkpoints.state_dicts import read_state
from sketchforge.data.augment import sketch_variant
from sketchforge.data.augment_params import LINE_WIDTHS
from sketchforge.images.decode import read_image
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import to_tensor, to_unit
from sketchforge.metrics.images.feature_networks import features_state
from sketchforge.utils.files import atomic_write
from sketchforge.utils.seeding import derive_seed, numpy_generator


@dataclass(frozen=True)
class RetrievalRecipe:
    """Chosen on the drawings for development."""

    size: int = 64  # S of sketches, in pixels
    cells: int = 3  # photos are described in so many by so many places: by pose, not by subject alone
    dim: int = 128  # of the common space
    steps: int = 300
    batch_size: int = 64  # photos, each with one sketch; the others of a batch are its negatives
    rate: float = 1e-3
    decay: float = 0.05  # of weights
    dropout: float = 0.5  # of photo features
    temperature: float = 0.07  # at first; it is learnt
    rotation: float = 15.0  # degrees, either way
    zoom: tuple[float, float] = (0.75, 1.25)
    shift: float = 0.1  # of the side, either way


RETRIEVAL = RetrievalRecipe()


class SketchTower(nn.Module):
    """(B,1,S,S) in [0, 1], 1 = ink -> (B,dim) of norm 1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        layers: list[nn.Module] = []
        for before, after in zip((1, *widths), widths, strict=False):
            # Normalised by sketch, not by batch: people draw with less ink than machines.
            side = 5 if before == 1 else 3
            layers += [nn.Conv2d(before, after, side, 2, side // 2), nn.GroupNorm(8, after), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.head = nn.Linear(9 * widths[-1], dim)

    def forward(self, sketches: Tensor) -> Tensor:
        return F.normalize(self.head(self.features(sketches)), dim=1)


class PhotoTower(nn.Module):
    """Features (B,D) of a frozen network -> (B,dim) of norm 1."""

    def __init__(self, num_features: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(num_features, dim))

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.head(features), dim=1)


def info_nce(sketches: Tensor, photos: Tensor, scale: Tensor | float) -> Tensor:
    """InfoNCE (van den Oord et al. 2018), both ways: (B,dim) of norm 1 twice, pairs in equal rows -> scalar.

    scale: one over the temperature.
    """
    logits = scale * sketches @ photos.T
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.no_grad()
def photo_features(weights: Path, images: Sequence[np.ndarray], cells: int) -> Tensor:
    """uint8 H×W×3 -> (P,2,D): cell means of MobileNetV2's last maps, of each image and its mirror image."""
    from torchvision.models import mobilenet_v2

    path = weights / "mobilenet_v2/mobilenet_v2_tvkeys_fp16.safetensors"
    network = mobilenet_v2().features
    network.load_state_dict(
        features_state(path, "mobilenet_v2", network, read_state(path, "mobilenet_v2")[0])
    )
    network.eval()

    def described(views: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(network(views), cells).flatten(1)

    found = []
    for image in images:
        view = to_tensor(fit_square(image, 224, "crop"))
        found.append(described(torch.cat([view, view.flip(3)])))
    return torch.stack(found)


def augmented(
    sketch: np.ndarray, flip: bool, draw: np.random.Generator, recipe: RetrievalRecipe
) -> np.ndarray:
    """uint8 S×S, 255 = paper: flipped, turned, zoomed and shifted, lines as they are, thinner or bolder."""
    side = sketch.shape[0]
    middle = (side - 1) / 2
    angle, zoom = draw.uniform(-recipe.rotation, recipe.rotation), draw.uniform(*recipe.zoom)
    turn = cv2.getRotationMatrix2D((middle, middle), angle, zoom)
    turn[:, 2] += draw.uniform(-recipe.shift, recipe.shift, 2) * side
    moved = cv2.warpAffine(
        np.ascontiguousarray(sketch[:, ::-1]) if flip else sketch, turn, (side, side), borderValue=255
    )
    return sketch_variant(moved, int(draw.integers(LINE_WIDTHS)), np.empty((0, 4), int))


def as_ink(sketches: Sequence[np.ndarray]) -> Tensor:
    """uint8 S×S, 255 = paper -> float32 (B,1,S,S), 1 = ink."""
    return 1 - to_unit(torch.from_numpy(np.stack(sketches))[:, None])


def train_retrieval(
    sketches: np.ndarray, features: Tensor, seed: int, recipe: RetrievalRecipe
) -> tuple[SketchTower, PhotoTower]:
    """sketches (P,K,S,S) of photos with features (P,2,D), as given and mirrored; both towers in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "retrieval weights"))
        towers = SketchTower(recipe.dim), PhotoTower(features.shape[2], recipe.dim, recipe.dropout)
        log_scale = nn.Parameter(torch.tensor(-math.log(recipe.temperature)))
        weights = [weight for tower in towers for weight in tower.parameters()]
        optimiser = torch.optim.AdamW([{"params": weights}, {"params": [log_scale], "weight_decay": 0.0}],
                                      recipe.rate, weight_decay=recipe.decay)  # fmt: skip
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
        for step in range(recipe.steps):
            # The same photos, flips and moves for every set: only the drawings differ.
            draw = numpy_generator(seed, "retrieval batch", step)
            photos = draw.choice(len(sketches), min(recipe.batch_size, len(sketches)), replace=False)
            which = (draw.random(len(photos)) * sketches.shape[1]).astype(int)
            flips = draw.random(len(photos)) < 0.5
            drawn = [
                augmented(sketches[photo, sketch], flip, draw, recipe)
                for photo, sketch, flip in zip(photos, which, flips, strict=True)
            ]
            described = features[torch.from_numpy(photos), torch.from_numpy(flips).long()]
            loss = info_nce(towers[0](as_ink(drawn)), towers[1](described), log_scale.exp().clamp(max=100))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return towers[0].eval(), towers[1].eval()


@torch.no_grad()
def similarities(
    towers: tuple[SketchTower, PhotoTower], sketches: Sequence[np.ndarray], photos: Tensor
) -> Tensor:
    """Cosines of sketches with photos (P,D): (B,P)."""
    return torch.cat([towers[0](part) for part in as_ink(sketches).split(64)]) @ towers[1](photos).T


def ranks(found: Tensor, true: Sequence[int]) -> list[int]:
    """found (B,P): how many photos are at least as similar as the true one, itself included; 1 is best."""
    wanted = found[torch.arange(len(found)), torch.tensor(true)]
    return (found >= wanted[:, None]).sum(1).tolist()


def retrieval(
    name: str, seed: int, data: Path, work: Path, recipe: RetrievalRecipe = RETRIEVAL
) -> dict[str, Any]:
    """Train on a set, then search the table's photos with people's drawings, as they are and normalised."""
    described = cached_features(data, work, recipe.cells)
    drawings = people(data)
    photos = gallery(drawings)
    sketches = kept_array(
        work / f"sketches-{name}-{recipe.size}.npy", lambda: sketches_of(work, name, recipe.size)
    )
    towers = train_retrieval(sketches, described["train"], seed, recipe)
    result: dict[str, Any] = {"set": name, "seed": seed, "steps": recipe.steps, "photos": len(sketches)}
    for how in ("as they are", "normalised"):
        given = cached_drawings(data, work, recipe.size, how == "normalised")
        found = similarities(towers, given, described["test"][:, 0])
        result[how] = {
            "ranks": ranks(found, [photos.index(drawing.photo) for drawing in drawings]),
            "first": found.topk(min(5, len(photos)), dim=1).indices.tolist(),
        }
    return result


def cached_drawings(data: Path, work: Path, size: int, normalise: bool) -> np.ndarray:
    """People's drawings, uint8 (B,S,S)."""
    return kept_array(
        work / f"people-{size}{'-normalised' * normalise}.npy",
        lambda: np.stack([read_drawing(data / drawing.sketch, size, normalise) for drawing in people(data)]),
    )


def kept_array(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What the file holds; made and written first where it is not there."""
    if not path.is_file():
        with atomic_write(path) as file:
            np.save(file, make())
    return np.load(path)


def cached_features(data: Path, work: Path, cells: int) -> dict[str, Tensor]:
    """Of the photos trained on and of the gallery, (P,2,D) each."""
    path = work / f"features-{cells}.pt"
    if not path.is_file():
        tested = [read_image(data / photo) for photo in gallery(people(data))]
        described = {"train": photos_of(work), "test": tested}
        torch.save({part: photo_features(data / "weights", p, cells) for part, p in described.items()}, path)
    return torch.load(path, weights_only=True)

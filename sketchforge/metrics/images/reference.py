"""The images that others are compared with, in every network's features; and what is odd about sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sketchforge.checkpoints.catalog import AbsentError
from sketchforge.metrics.estimates import MissingMetric
from sketchforge.metrics.images.feature_cache import cached_features
from sketchforge.metrics.images.feature_networks import open_features
from sketchforge.metrics.images.features import FeatureNetwork
from sketchforge.metrics.images.inputs import ImageSet, Inventory
from sketchforge.metrics.images.result import ENOUGH, ImageRow
from sketchforge.metrics.images.statistics import estimate_distances
from sketchforge.utils.progress import Progress
from sketchforge.utils.versions import installed_version

LIBRARIES = (
    "sketchforge",
    "numpy",
    "torch",
    "torchvision",
    "torch-fidelity",
    "lpips",
    "opencv-python-headless",
    "pillow",
)


@dataclass(frozen=True)
class Reference:
    images: ImageSet
    inventory: Inventory
    features: tuple[np.ndarray, ...]  # of each network, (N, D)

    def record(self) -> dict[str, Any]:
        images = self.images
        return {
            "name": images.name,
            "source": images.source,
            "found": images.num_found,
            "count": self.inventory.count,
            "sizes": sizes_text(self.inventory),
        }


def open_networks(
    asked: Sequence[tuple[str, Path | None]], device: torch.device, gaps: list[MissingMetric]
) -> list[FeatureNetwork]:
    """The networks asked for, by name and file; those that are not there become gaps.

    Raises what `open_features` raises, but for AbsentError.
    """
    networks = []
    for name, given in dict.fromkeys(asked):
        try:
            networks.append(open_features(name, given, device))
        except AbsentError as error:
            gaps.append(
                MissingMetric("", "FID, KID" if name == "inception" else f"Fréchet, KID ({name})", str(error))
            )
    return networks


def describe_reference(
    images: ImageSet,
    inventory: Inventory,
    networks: Sequence[FeatureNetwork],
    cache: Path | None,
    progress: Progress,
) -> Reference:
    """The reference's features, out of the cache where they are there."""
    found = [cached_features(images, inventory, network, cache, progress) for network in networks]
    return Reference(images, inventory, tuple(found))


def distance_rows(
    metadata: dict[str, Any],
    groups: Sequence[int],
    features: Sequence[np.ndarray],
    networks: Sequence[FeatureNetwork],
    reference: Reference,
    seed: int,
) -> list[ImageRow]:
    """A row per network; `about` holds its name, source and pairs, `features` (N, D) of each network."""
    rows = []
    for own, network, other in zip(features, networks, reference.features, strict=True):
        figures = estimate_distances(own, groups, other, seed)
        titles = {"frechet": network.frechet, "kid": network.kernel}
        rows.append(
            ImageRow(
                **metadata,
                count=len(own),
                features=network.features,
                weights=network.weights,
                preprocessing=network.preprocessing,
                figures=figures,
                titles=titles,
                note=network.note,
            )
        )
    return rows


def small_sample_warning(name: str, count: int, reference: Reference) -> list[MissingMetric]:
    """The warning that a Fréchet distance of so few images needs."""
    if min(count, reference.inventory.count) >= ENOUGH:
        return []
    side = "the reference has" if reference.inventory.count < ENOUGH else "it has"
    reason = (
        f"{side} fewer than {ENOUGH:,} images: the Fréchet distance depends on how many; compare sets of "
        "one count with one reference"
    )
    return [MissingMetric(name, "distances", reason)]


def data_warnings(images: ImageSet, inventory: Inventory) -> tuple[list[MissingMetric], list[MissingMetric]]:
    """(gaps, warnings) about what a set holds."""
    gaps, warnings = [], []
    if inventory.unreadable:
        gaps.append(
            MissingMetric(images.name, "images", f"cannot be read: {inventory.unreadable} of {images.count}")
        )
    if len(inventory.sizes) > 1:
        sizes = f"{len(inventory.sizes)} sizes, {sizes_text(inventory)}"
        warnings.append(
            MissingMetric(images.name, "images", f"{sizes}: larger ones are sharper, and that counts")
        )
    return gaps, warnings


def sizes_text(inventory: Inventory) -> str:
    """The sizes of a set's images, or their range."""
    small, large = min(inventory.sizes, key=np.prod), max(inventory.sizes, key=np.prod)
    shown = " x ".join(map(str, small))
    return shown if small == large else f"{shown} to {' x '.join(map(str, large))}"


def library_versions() -> dict[str, str]:
    """What this was computed with."""
    return {name: installed_version(name, missing="none") for name in LIBRARIES}

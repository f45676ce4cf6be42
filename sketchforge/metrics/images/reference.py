"""The reference set in every network's features, the distances from it, and warnings about sets of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from sketchforge.shards.shard_set import ShardSet, shards_digest
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


SEEN_IN_TRAINING = "holds images that it was trained on"


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
    """Open networks by name and file; those without weights or library become gaps.

    Raises what `open_features` raises, but for AbsentError.
    """
    networks = []
    for name, path in dict.fromkeys(asked):
        try:
            networks.append(open_features(name, path, device))
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
    """The reference with its features, from the cache where possible."""
    features = [cached_features(images, inventory, network, cache, progress) for network in networks]
    return Reference(images, inventory, tuple(features))


def distance_rows(
    metadata: dict[str, Any],
    groups: Sequence[int],
    features: Sequence[np.ndarray],
    networks: Sequence[FeatureNetwork],
    reference: Reference,
    seed: int,
) -> list[ImageRow]:
    """A row per network; `metadata` holds name, source and pairs, `features` (N, D) of each network."""
    rows = []
    for set_features, network, reference_features in zip(features, networks, reference.features, strict=True):
        figures = estimate_distances(set_features, groups, reference_features, seed)
        titles = {"frechet": network.frechet, "kid": network.kernel}
        rows.append(
            ImageRow(
                **metadata,
                count=len(set_features),
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
    """The warning for a Fréchet distance of fewer than ENOUGH images; empty for more."""
    if min(count, reference.inventory.count) >= ENOUGH:
        return []
    side = "the reference has" if reference.inventory.count < ENOUGH else "it has"
    reason = (
        f"{side} fewer than {ENOUGH:,} images: the Fréchet distance depends on how many; compare sets of "
        "one count with one reference"
    )
    return [MissingMetric(name, "distances", reason)]


def seen_warning(
    name: str, metadata: Mapping[str, Any], whole: ShardSet, shards: ShardSet
) -> list[MissingMetric]:
    """The warning for a model that was trained on what it is measured on; empty where nothing says so.

    metadata: of the model's file. shards: what it is measured on, `whole` or a split of it.
    """
    trained_on = metadata.get("shards")
    digest = trained_on.get("digest") if isinstance(trained_on, Mapping) else None
    # Splits do not overlap, the whole set overlaps all of them.
    parts = [
        whole,
        *(whole.take_split(split, split) for split in ([shards.split] if shards.split else _filled(whole))),
    ]
    if digest is None or digest not in map(shards_digest, parts):
        return []
    return [
        MissingMetric(name, "images", f"{shards.name}: {SEEN_IN_TRAINING}: figures are better than on others")
    ]


def _filled(shards: ShardSet) -> list[str]:
    """The names of the splits that hold samples."""
    entries = shards.manifest["shards"]
    return [
        name
        for name, numbers in shards.splits.items()
        if any(entries[number]["samples"] for number in numbers)
    ]


def data_warnings(images: ImageSet, inventory: Inventory) -> tuple[list[MissingMetric], list[MissingMetric]]:
    """(gaps, warnings) about a set: unreadable images, and images of several sizes."""
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
    small_text = " x ".join(map(str, small))
    return small_text if small == large else f"{small_text} to {' x '.join(map(str, large))}"


def library_versions() -> dict[str, str]:
    """The versions of LIBRARIES; "none" for one that is not installed."""
    return {name: installed_version(name, missing="none") for name in LIBRARIES}

"""Caches the features of references, because they do not change and Inception is slow.

The name of a file is a digest of all that determines its content: every image's pixels, in order, the
weights, the preprocessing and the libraries. So the cache needs no invalidation when any of these changes.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError
from sketchforge.metrics.images.features import FeatureNetwork, features_of
from sketchforge.metrics.images.inputs import ImageSet, Inventory
from sketchforge.utils.progress import Progress
from sketchforge.utils.versions import installed_version

FORMAT, VERSION = "sketchforge-image-features", 2
LIBRARIES = ("sketchforge", "torch", "torchvision", "torch-fidelity")


def features_folder() -> Path:
    """$XDG_CACHE_HOME/sketchforge/features, else ~/.cache/sketchforge/features."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sketchforge" / "features"


def cached_features(
    images: ImageSet,
    inventory: Inventory,
    network: FeatureNetwork,
    folder: Path | None,
    progress: Progress | None = None,
) -> np.ndarray:
    """`features_of` a set, (N, D), read from `folder` (None: `features_folder`), or computed and saved there.

    A damaged file is replaced. Where the folder cannot be written to, nothing is saved.
    """
    progress = progress or Progress()
    path = (folder or features_folder()) / f"{features_digest(inventory, network)}.safetensors"
    if path.is_file():
        with suppress(SketchforgeError, KeyError):
            features = load_tensors(path, FORMAT, VERSION)[0]["features"].numpy()
            if len(features) == inventory.count and np.isfinite(features).all():
                for _ in features:
                    progress.advance()
                return features
    features = features_of(images.readable(), network, progress)
    with suppress(OSError):
        import torch

        metadata = {
            "features": network.features,
            "preprocessing": network.preprocessing,
            "weights": network.weights,
        }
        save_tensors(path, FORMAT, VERSION, {"features": torch.from_numpy(features)}, metadata)
    return features


def features_digest(inventory: Inventory, network: FeatureNetwork) -> str:
    """Hex SHA-256 of all that determines a set's features."""
    parts = [network.features, network.preprocessing, network.weights]
    parts += [f"{name} {installed_version(name, missing='none')}" for name in LIBRARIES]
    return hashlib.sha256("\n".join([*parts, *inventory.digests]).encode()).hexdigest()

"""Sets of images against a reference: folders, tars, shards, and what models make of sketches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sketchforge.errors import UsageError
from sketchforge.metrics.estimates import MissingMetric
from sketchforge.metrics.images.features import FeatureNetwork, features_of
from sketchforge.metrics.images.generate import Pair, generate_images, is_model, mismatched_pairs
from sketchforge.metrics.images.inputs import (
    ImageSet,
    Inventory,
    SampleReader,
    is_shards,
    name_of,
    open_image_set,
    take_inventory,
)
from sketchforge.metrics.images.reference import (
    Reference,
    data_warnings,
    describe_reference,
    distance_rows,
    library_versions,
    open_networks,
    sizes_text,
    small_sample_warning,
)
from sketchforge.metrics.images.result import MISMATCHED, ImageEvaluation, ImageRow
from sketchforge.options import EvalCompareOptions
from sketchforge.shards.shard_set import ShardSet, open_shards
from sketchforge.synthesis.synthesizer import Synthesizer, load_model
from sketchforge.utils.device import choose_device, set_threads
from sketchforge.utils.progress import Progress


def compare_images(options: EvalCompareOptions, progress: Progress | None = None) -> ImageEvaluation:
    """The distances of every set from the reference; `progress` counts the images that are looked at.

    Images are compared as they are, each brought to the network's input. Raises UsageError for what cannot
    be compared at all, SketchforgeError for damaged data and weights.
    """
    progress = progress or Progress()
    device = choose_device(options.device)
    set_threads(options.threads)
    if not options.sets:
        raise UsageError(
            "eval compare: nothing to compare with the reference; name folders, shards or models"
        )
    if is_model(options.reference):
        raise UsageError(f"{options.reference}: a model; the reference must be images, folders or shards")
    names = set_names(options.sets)
    gaps: list[MissingMetric] = []
    networks = open_networks(options.features, device, gaps)
    images = open_image_set(options.reference, options.samples)
    inventory = take_inventory(images)
    new_gaps, warnings = data_warnings(images, inventory)
    gaps += new_gaps
    sets: list[_Images | _Model] = []
    for source, name in zip(options.sets, names, strict=True):
        opened = _Model(options, source, name, device) if is_model(source) else _Images(options, source, name)
        sets.append(opened)
    rows: list[ImageRow] = []
    with progress.track("image", (inventory.count + sum(one.count for one in sets)) * len(networks)):
        reference = describe_reference(images, inventory, networks, options.cache, progress)
        for one in sets:
            metadata = {"name": one.name, "source": one.source, "pairs": one.pairing}
            features = one.features(networks, progress)
            rows += distance_rows(metadata, one.groups, features, networks, reference, options.seed)
            new_gaps, new_warnings = one.data_warnings(reference)
            gaps += new_gaps
            warnings += new_warnings + (
                small_sample_warning(one.name, one.count, reference) if networks else []
            )
    return ImageEvaluation(
        "compare",
        _record(options),
        reference.record(),
        tuple(one.record() for one in sets if isinstance(one, _Model)),
        tuple(rows),
        tuple(gaps),
        tuple(warnings),
        library_versions(),
    )


class _Images:
    """A set that is there already."""

    pairing = ""

    def __init__(self, options: EvalCompareOptions, source: str, name: str) -> None:
        self.name, self.source = name, source
        self._images: ImageSet = open_image_set(source, options.samples)
        self._inventory: Inventory = take_inventory(self._images)
        self.count = self._inventory.count
        self.groups = range(self.count)

    def features(self, networks: list[FeatureNetwork], progress: Progress) -> list[np.ndarray]:
        return [features_of(self._images.readable(), network, progress) for network in networks]

    def data_warnings(self, reference: Reference) -> tuple[list[MissingMetric], list[MissingMetric]]:
        gaps, warnings = data_warnings(self._images, self._inventory)
        gaps = [MissingMetric(self.name, gap.block, gap.reason) for gap in gaps]
        warnings = [MissingMetric(self.name, warning.block, warning.reason) for warning in warnings]
        shared = len(set(self._inventory.digests) & set(reference.inventory.digests))
        if shared:
            whole = shared == len(set(self._inventory.digests)) == len(set(reference.inventory.digests))
            told = "the very images of the reference"
            told = told if whole else f"{shared} images are in the reference, too"
            warnings.append(
                MissingMetric(self.name, "images", f"{told}: distances are smaller than of others")
            )
        if len(self._inventory.sizes) == 1:
            warnings += _unlike(self.name, sizes_text(self._inventory), reference)
        return gaps, warnings


class _Model:
    """What a model makes of mismatched pairs of shards."""

    pairing = MISMATCHED

    def __init__(self, options: EvalCompareOptions, source: str, name: str, device: torch.device) -> None:
        self.name, self.source = name, source
        self._model: Synthesizer = load_model(source, str(device))
        self._shards: ShardSet = shards_for(options, source)
        styles = len(self._shards.styles)
        samples = options.samples or self._shards.num_samples
        self._pairs: list[Pair] = mismatched_pairs(self._shards.num_samples, samples, styles, options.seed)
        self.count = len(self._pairs)
        self.groups = [pair.content for pair in self._pairs]

    def features(self, networks: list[FeatureNetwork], progress: Progress) -> list[np.ndarray]:
        found: list[list[np.ndarray]] = [[] for _ in networks]
        reader = SampleReader(self._shards)
        try:
            for made in generate_images(self._model, reader, self._pairs, self.name):
                for network, parts in zip(networks, found, strict=True):
                    parts.append(features_of(made.images, network, progress))
        finally:
            reader.close()
        return [np.concatenate(parts) for parts in found]

    def data_warnings(self, reference: Reference) -> tuple[list[MissingMetric], list[MissingMetric]]:
        return [], _unlike(self.name, f"{self._model.size} x {self._model.size}", reference)

    def record(self) -> dict[str, Any]:
        model = self._model
        return {
            "name": self.name,
            "source": self.source,
            "size": model.size,
            "digest": model.digest,
            "refined": model.refines,
            "shards": self._shards.source,
        }


def _unlike(name: str, size: str, reference: Reference) -> list[MissingMetric]:
    other = sizes_text(reference.inventory)
    if size == other:
        return []
    return [
        MissingMetric(
            name, "images", f"{size}, the reference {other}: larger ones are sharper, and that counts"
        )
    ]


def shards_for(options: EvalCompareOptions, source: str) -> ShardSet:
    """The shards that the model at `source` draws out; UsageError where there are none."""
    named = options.shards or (options.reference if is_shards(options.reference) else None)
    if named is None:
        raise UsageError(
            f"{source}: a model, which needs sketches; name shards for it to draw out with --shards"
        )
    return open_shards(named).require(sketches=1)


def set_names(sources: Sequence[str]) -> list[str]:
    """Each set's own name, or the whole of its source where two have the same."""
    names = [name_of(source) for source in sources]
    return [name if names.count(name) == 1 else source for name, source in zip(names, sources, strict=True)]


def _record(options: EvalCompareOptions) -> dict[str, Any]:
    return {
        "reference": options.reference,
        "sets": list(options.sets),
        "shards": options.shards,
        "samples": options.samples,
        "features": [name if path is None else f"{name}={path}" for name, path in options.features],
        "seed": options.seed,
        "device": options.device,
        "threads": options.threads,
    }

"""Compares sets of images with a reference: folders, tars, shards, and the outputs of models."""

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
    seen_warning,
    sizes_text,
    small_sample_warning,
)
from sketchforge.metrics.images.result import MISMATCHED, ImageEvaluation, ImageRow
from sketchforge.options import EvalCompareOptions
from sketchforge.shards.shard_set import ShardSet, open_shards
from sketchforge.synthesis.synthesizer import Synthesizer, load_model
from sketchforge.utils.device import choose_device, set_threads
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun


def compare_images(options: EvalCompareOptions, progress: Progress | None = None) -> ImageEvaluation:
    """Measure the distance of every set from the reference; `progress` counts the images that are processed.

    Images are compared at their own sizes, each resized to the network's input only. Raises UsageError for
    what cannot be compared at all, SketchforgeError for damaged data and weights.
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
    _check_split(options)
    gaps: list[MissingMetric] = []
    networks = open_networks(options.features, device, gaps)
    images = open_image_set(options.reference, options.samples, options.split)
    inventory = take_inventory(images)
    new_gaps, warnings = data_warnings(images, inventory)
    gaps += new_gaps
    sets: list[_StoredSet | _ModelSet] = []
    for source, name in zip(options.sets, names, strict=True):
        opened = (
            _ModelSet(options, source, name, device)
            if is_model(source)
            else _StoredSet(options, source, name)
        )
        sets.append(opened)
    rows: list[ImageRow] = []
    with progress.track(
        "image", (inventory.count + sum(image_set.count for image_set in sets)) * len(networks)
    ):
        reference = describe_reference(images, inventory, networks, options.cache, progress)
        for image_set in sets:
            metadata = {"name": image_set.name, "source": image_set.source, "pairs": image_set.pairing}
            features = image_set.features(networks, progress)
            rows += distance_rows(metadata, image_set.groups, features, networks, reference, options.seed)
            new_gaps, new_warnings = image_set.data_warnings(reference)
            gaps += new_gaps
            warnings += new_warnings + (
                small_sample_warning(image_set.name, image_set.count, reference) if networks else []
            )
    return ImageEvaluation(
        command="compare",
        options=_record_options(options),
        reference=reference.record(),
        models=tuple(image_set.record() for image_set in sets if isinstance(image_set, _ModelSet)),
        rows=tuple(rows),
        gaps=tuple(gaps),
        warnings=tuple(warnings),
        libraries=library_versions(),
    )


class _StoredSet:
    """A set of stored images."""

    pairing = ""

    def __init__(self, options: EvalCompareOptions, source: str, name: str) -> None:
        self._images: ImageSet = open_image_set(source, options.samples, options.split)
        self.name, self.source = name, source
        if self._images.split:
            self.name += f", split {self._images.split}"
        self._inventory: Inventory = take_inventory(self._images)
        self.count = self._inventory.count
        self.groups = range(self.count)

    def features(self, networks: list[FeatureNetwork], progress: Progress) -> list[np.ndarray]:
        return [features_of(self._images.readable(), network, progress) for network in networks]

    def data_warnings(self, reference: Reference) -> tuple[list[MissingMetric], list[MissingMetric]]:
        gaps, warnings = data_warnings(self._images, self._inventory)
        gaps = [MissingMetric(self.name, gap.block, gap.reason) for gap in gaps]
        warnings = [MissingMetric(self.name, warning.block, warning.reason) for warning in warnings]
        num_shared = len(set(self._inventory.digests) & set(reference.inventory.digests))
        if num_shared:
            is_same_set = (
                num_shared == len(set(self._inventory.digests)) == len(set(reference.inventory.digests))
            )
            overlap = "the very images of the reference"
            overlap = overlap if is_same_set else f"{count_noun(num_shared, 'image')} in the reference, too"
            warnings.append(
                MissingMetric(self.name, "images", f"{overlap}: distances are smaller than of others")
            )
        if len(self._inventory.sizes) == 1:
            warnings += _warn_of_other_size(self.name, sizes_text(self._inventory), reference)
        return gaps, warnings


class _ModelSet:
    """The outputs of a model for mismatched pairs of shards."""

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
        features: list[list[np.ndarray]] = [[] for _ in networks]
        reader = SampleReader(self._shards)
        try:
            for batch in generate_images(self._model, reader, self._pairs, self.name):
                for network, rows in zip(networks, features, strict=True):
                    rows.append(features_of(batch.images, network, progress))
        finally:
            reader.close()
        return [np.concatenate(rows) for rows in features]

    def data_warnings(self, reference: Reference) -> tuple[list[MissingMetric], list[MissingMetric]]:
        warnings = seen_warning(
            self.name, self._model.metadata, open_shards(self._shards.source), self._shards
        )
        size = f"{self._model.size} x {self._model.size}"
        return [], warnings + _warn_of_other_size(self.name, size, reference)

    def record(self) -> dict[str, Any]:
        model = self._model
        return {
            "name": self.name,
            "source": self.source,
            "size": model.size,
            "digest": model.digest,
            "refined": model.refines,
            "shards": self._shards.source,
            "sketches": self._shards.name,
        }


def _warn_of_other_size(name: str, size: str, reference: Reference) -> list[MissingMetric]:
    reference_size = sizes_text(reference.inventory)
    if size == reference_size:
        return []
    return [
        MissingMetric(
            name,
            "images",
            f"{size}, the reference {reference_size}: larger ones are sharper, and that counts",
        )
    ]


def shards_for(options: EvalCompareOptions, source: str) -> ShardSet:
    """Open the shards whose sketches the model at `source` gets; UsageError where none are named."""
    shards = options.shards or (options.reference if is_shards(options.reference) else None)
    if shards is None:
        raise UsageError(
            f"{source}: a model, which needs sketches; name shards for it to draw out with --shards"
        )
    opened = open_shards(shards).require(sketches=1)
    return opened.take_held_out(options.split if opened.splits else None)


def _check_split(options: EvalCompareOptions) -> None:
    """Raise UsageError where --split means nothing."""
    sources = [options.reference, *options.sets, *([options.shards] if options.shards else [])]
    shards = [open_shards(source) for source in sources if options.split and is_shards(source)]
    if options.split and not any(opened.splits for opened in shards):
        raise UsageError(f"--split {options.split}: none of the sets was rendered with --split")


def set_names(sources: Sequence[str]) -> list[str]:
    """The name of each set, or its whole source where two have the same name."""
    names = [name_of(source) for source in sources]
    return [name if names.count(name) == 1 else source for name, source in zip(names, sources, strict=True)]


def _record_options(options: EvalCompareOptions) -> dict[str, Any]:
    return {
        "reference": options.reference,
        "sets": list(options.sets),
        "shards": options.shards,
        "split": options.split,
        "samples": options.samples,
        "features": [name if path is None else f"{name}={path}" for name, path in options.features],
        "seed": options.seed,
        "device": options.device,
        "threads": options.threads,
    }

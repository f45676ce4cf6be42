"""The measurement of a model's images: FID and KID, SR, LPIPS, Skt-Rec and Sty-Rec (paper section 5.2).

Of matched pairs the image ought to be the image: LPIPS. Of mismatched pairs it ought to look like one of
the reference (FID, KID), have the style of its style image (SR, Sty-Rec) and show the sketch (Skt-Rec).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sketchforge.checkpoints.catalog import AbsentError, find_weights, is_published
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.errors import SketchforgeError
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.estimates import MissingMetric
from sketchforge.metrics.images.features import FeatureNetwork, features_of
from sketchforge.metrics.images.generate import (
    GeneratedImages,
    Pair,
    generate_images,
    matched_pairs,
    mismatched_pairs,
)
from sketchforge.metrics.images.inputs import (
    SampleReader,
    name_of,
    open_image_set,
    shard_images,
    take_inventory,
)
from sketchforge.metrics.images.lpips import PerceptualSimilarity, open_lpips
from sketchforge.metrics.images.model_rows import redrawn_row, relevance_rows, similarity_rows, style_row
from sketchforge.metrics.images.reference import (
    data_warnings,
    describe_reference,
    distance_rows,
    library_versions,
    open_networks,
    small_sample_warning,
)
from sketchforge.metrics.images.result import CHANCE, MATCHED, MISMATCHED, ImageEvaluation
from sketchforge.metrics.images.sketch_reconstruction import Redrawing, redrawing_of, sketch_distances
from sketchforge.metrics.images.style_relevance import TAPS, style_relevance
from sketchforge.models.encoder import Encoder
from sketchforge.options import EvalImagesOptions
from sketchforge.shards.shard_set import ShardSet, open_shards
from sketchforge.synthesis.synthesizer import Synthesizer, load_model
from sketchforge.utils.device import choose_device, set_threads
from sketchforge.utils.progress import Progress

ENCODERS = ("builtin", "vgg16", "vgg19")  # of SR, by name


def evaluate_images(options: EvalImagesOptions, progress: Progress | None = None) -> ImageEvaluation:
    """Measure a model on shards; `progress` counts the images that are looked at.

    Raises UsageError for what cannot be measured at all, SketchforgeError for damaged data and weights. What
    merely lacks weights becomes a gap.
    """
    progress = progress or Progress()
    device = choose_device(options.device)
    set_threads(options.threads)
    model = load_model(options.model, str(device))
    shards = open_shards(options.shards).require(sketches=1)
    pairs = {
        MATCHED: matched_pairs(shards.num_samples, options.samples, len(shards.styles)),
        MISMATCHED: mismatched_pairs(shards.num_samples, options.samples, len(shards.styles), options.seed),
    }
    gaps: list[MissingMetric] = []
    networks = open_networks(options.features, device, gaps)
    encoders = _encoders(options.encoders, device, gaps)
    similarities = _similarities(options, device, gaps)
    redrawing = _redrawing(options, shards, device, gaps)

    given = options.reference is not None
    samples = options.samples
    images = open_image_set(options.reference, samples) if given else shard_images(shards, samples)
    gaps_of_it, warnings = data_warnings(images, take_inventory(images))
    gaps += gaps_of_it
    # A model cannot make more pixels than it has: the reference is shown as the model's training saw images.
    images = images.at(model.size)
    inventory = take_inventory(images)

    making = sum(len(found) for kind, found in pairs.items() if kind == MISMATCHED or similarities)
    name = name_of(options.model)
    metadata = {"name": name, "source": str(options.model)}
    with progress.track("image", making + inventory.count * len(networks)):
        reference = describe_reference(images, inventory, networks, options.cache, progress)
        with closing(SampleReader(shards)) as reader:
            made = generate_images(model, reader, pairs[MISMATCHED], name)
            measured, chance = _mismatched(model, made, networks, encoders, redrawing, progress)
            matched = _matched(model, reader, pairs[MATCHED], name, similarities, progress)
    groups = [pair.content for pair in pairs[MISMATCHED]]
    mixed = metadata | {"pairs": MISMATCHED}
    rows = distance_rows(mixed, groups, measured.features, networks, reference, options.seed)
    alike = [pair.content for pair in pairs[MATCHED]]
    rows += similarity_rows(metadata | {"pairs": MATCHED}, alike, matched, similarities, options.seed)
    by_chance = {"name": CHANCE, "source": str(options.shards), "pairs": MISMATCHED}
    for whose, values in ((mixed, measured.values), (by_chance, chance.values)):
        rows += relevance_rows(whose, groups, values, encoders, options.seed)
        if redrawing:
            rows.append(redrawn_row(whose, groups, values, redrawing, options.seed))
        rows.append(style_row(whose, groups, values, model, options.seed))
    if networks:
        warnings += small_sample_warning(name, len(groups), reference)
    if len(groups) < options.samples:
        found = f"{len(groups)} pairs of {shards.num_samples} images, asked for were {options.samples}"
        warnings.append(MissingMetric(name, "pairs", f"{found}; there are no more"))
    return ImageEvaluation(
        "images",
        _record(options),
        reference.record(),
        (metadata | {"size": model.size, "digest": model.digest, "refined": model.refines},),
        tuple(rows),
        tuple(gaps),
        tuple(warnings),
        library_versions(),
    )


class _Measured:
    """What is kept of images: features by network, and values by name, an entry per image."""

    def __init__(self, networks: int) -> None:
        self._features: list[list[np.ndarray]] = [[] for _ in range(networks)]
        self._values: dict[str, list[np.ndarray]] = defaultdict(list)

    def add_features(self, network: int, found: np.ndarray) -> None:
        self._features[network].append(found)

    def add(self, name: str, found: Tensor | np.ndarray) -> None:
        found = found.cpu().numpy() if isinstance(found, Tensor) else found
        self._values[name].append(found.astype(np.float64))

    @property
    def features(self) -> list[np.ndarray]:
        return [np.concatenate(parts) for parts in self._features]

    @property
    def values(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self._values.items()}


def _mismatched(
    model: Synthesizer,
    batches: Iterable[GeneratedImages],
    networks: Sequence[FeatureNetwork],
    encoders: Mapping[str, tuple[Encoder, str]],
    redrawing: Redrawing | None,
    progress: Progress,
) -> tuple[_Measured, _Measured]:
    """What the model's images are like, and what they would be like by chance."""
    measured, chance = _Measured(len(networks)), _Measured(0)
    for made in batches:
        for number, network in enumerate(networks):
            measured.add_features(number, features_of(made.images, network))
        styles = to_tensor(made.styles)
        for kept, images in ((measured, to_tensor(made.images)), (chance, to_tensor(made.contents))):
            for title, (encoder, _) in encoders.items():
                here = next(encoder.parameters()).device
                for part, found in style_relevance(encoder, images.to(here), styles.to(here)).items():
                    kept.add(f"{title} {part}", found)
            cosine = torch.nn.functional.cosine_similarity(
                model.style_vectors(images), model.style_vectors(styles), dim=1
            )
            kept.add("sty_rec", cosine)
        if redrawing:
            drawn = redrawing.drawn(made.images, [pair.sketch for pair in made.pairs])
            for kept, sketches in ((measured, drawn), (chance, made.other_sketches)):
                distances = sketch_distances(made.sketches, sketches)
                kept.add("skt_rec", distances["absolute"])
                kept.add("skt_rec_relative", distances["relative"])
        for _ in made.pairs:
            progress.advance()
    return measured, chance


def _matched(
    model: Synthesizer,
    reader: SampleReader,
    pairs: Sequence[Pair],
    name: str,
    similarities: Sequence[PerceptualSimilarity],
    progress: Progress,
) -> dict[str, np.ndarray]:
    """LPIPS between output and image, by its title."""
    measured = _Measured(0)
    for made in generate_images(model, reader, pairs, name) if similarities else ():
        for one in similarities:
            # Of a matched pair the style image is the image itself.
            measured.add(one.title, one.distance(to_tensor(made.images), to_tensor(made.styles)))
        for _ in made.pairs:
            progress.advance()
    return measured.values


def _encoders(
    names: Sequence[str], device: torch.device, gaps: list[MissingMetric]
) -> dict[str, tuple[Encoder, str]]:
    """Encoders for SR by what they are called, each with the note that its figures need.

    Raises UsageError for an unknown name, SketchforgeError for unfit weights.
    """
    found = {}
    for name in dict.fromkeys(names):
        try:
            # Known weights by their file: `load_encoder` would have torchvision download them.
            path = str(find_weights(name, None, "--encoder FILE")) if name in ENCODERS else name
            encoder = load_encoder(path)
        except AbsentError as error:
            gaps.append(MissingMetric("", f"SR ({name})", str(error)))
            continue
        missing = [tap for tap in TAPS if tap not in encoder.tap_names()]
        if missing:
            raise SketchforgeError(f"--encoder {name}: has no {missing[0]}, which SR needs; name another")
        title = name if name in ENCODERS else Path(name).stem
        published = name in ("vgg16", "vgg19") and is_published(name, Path(path))
        note = "" if published else "not torchvision's VGG: compares within one report only"
        found[title] = encoder.to(device), note
    return found


def _similarities(
    options: EvalImagesOptions, device: torch.device, gaps: list[MissingMetric]
) -> list[PerceptualSimilarity]:
    found = []
    for backbone, given in dict.fromkeys(options.lpips):
        try:
            found.append(open_lpips(backbone, given, device))
        except AbsentError as error:
            gaps.append(MissingMetric("", f"LPIPS ({backbone})", str(error)))
    return found


def _redrawing(
    options: EvalImagesOptions, shards: ShardSet, device: torch.device, gaps: list[MissingMetric]
) -> Redrawing | None:
    try:
        return redrawing_of(shards, options.tom, device)
    except AbsentError as error:
        gaps.append(MissingMetric("", "Skt-Rec", str(error)))
        return None


def _record(options: EvalImagesOptions) -> dict[str, Any]:
    return {
        "model": str(options.model),
        "shards": str(options.shards),
        "reference": options.reference and str(options.reference),
        "samples": options.samples,
        "features": [_named(*one) for one in options.features],
        "lpips": [_named(*one) for one in options.lpips],
        "encoders": list(options.encoders),
        "tom": options.tom and str(options.tom),
        "seed": options.seed,
        "device": options.device,
        "threads": options.threads,
    }


def _named(name: str, path: Any) -> str:
    return name if path is None else f"{name}={path}"

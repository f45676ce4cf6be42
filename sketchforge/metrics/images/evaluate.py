"""The measurement of a model's images: FID and KID, SR, LPIPS, Skt-Rec and Sty-Rec (paper section 5.2).

Matched pairs: the output should equal the image (LPIPS). Mismatched pairs: the output should look like the
reference's images (FID, KID), have the style of its style image (SR, Sty-Rec) and show the sketch (Skt-Rec),
without a lattice. A style image that is mirrored should change nothing (layout leak).
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
from sketchforge.errors import UsageError
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.estimates import MissingMetric
from sketchforge.metrics.images.diversity import diversity_rows, many_styles, measure_diversity
from sketchforge.metrics.images.features import FeatureNetwork, features_of
from sketchforge.metrics.images.generate import (
    GeneratedImages,
    Pair,
    generate_images,
    matched_pairs,
    mismatched_pairs,
    read_matched,
)
from sketchforge.metrics.images.inputs import (
    SampleReader,
    name_of,
    open_image_set,
    shard_images,
    take_inventory,
)
from sketchforge.metrics.images.lattice import lattice_power
from sketchforge.metrics.images.layout_leak import layout_changes, style_cosines
from sketchforge.metrics.images.lpips import PerceptualSimilarity, open_lpips
from sketchforge.metrics.images.model_rows import (
    lattice_row,
    layout_rows,
    redrawn_row,
    relevance_rows,
    similarity_rows,
    style_row,
)
from sketchforge.metrics.images.reference import (
    data_warnings,
    describe_reference,
    distance_rows,
    library_versions,
    open_networks,
    seen_warning,
    small_sample_warning,
)
from sketchforge.metrics.images.result import CHANCE, MATCHED, MISMATCHED, ImageEvaluation
from sketchforge.metrics.images.sketch_reconstruction import Redrawing, redrawing_of, sketch_distances
from sketchforge.metrics.images.style_relevance import TAPS, style_relevance
from sketchforge.models.encoder import Encoder
from sketchforge.options import EvalImagesOptions
from sketchforge.shards.selection import spread_evenly
from sketchforge.shards.shard_set import ShardSet, open_shards
from sketchforge.synthesis.synthesizer import Synthesizer, load_model
from sketchforge.utils.device import choose_device, set_threads
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun

NUM_LAYOUTS = 100  # matched pairs, at most, whose style images are mirrored, turned and exchanged
ENCODERS = ("builtin", "vgg16", "vgg19")  # of SR, by name


def evaluate_images(options: EvalImagesOptions, progress: Progress | None = None) -> ImageEvaluation:
    """Measure a model on shards; `progress` counts the images that are processed.

    Raises UsageError for what cannot be measured at all, SketchforgeError for damaged data and weights. A
    figure that only lacks weights becomes a gap.
    """
    progress = progress or Progress()
    device = choose_device(options.device)
    set_threads(options.threads)
    model = load_model(options.model, str(device))
    whole = open_shards(options.shards).require(sketches=1)
    shards = whole.take_held_out(options.split)
    pairs = {
        MATCHED: matched_pairs(shards.num_samples, options.samples, len(shards.styles)),
        MISMATCHED: mismatched_pairs(shards.num_samples, options.samples, len(shards.styles), options.seed),
    }
    gaps: list[MissingMetric] = []
    networks = open_networks(options.features, device, gaps)
    encoders = _open_encoders(options.encoders, device, gaps)
    similarities = _open_similarities(options, device, gaps)
    redrawing = _open_redrawing(options, shards, device, gaps)

    source, samples = options.reference, options.samples
    images = shard_images(shards, samples) if source is None else open_image_set(source, samples)
    data_gaps, warnings = data_warnings(images, take_inventory(images))
    gaps += data_gaps
    warnings += seen_warning(name_of(options.model), model.metadata, whole, shards)
    # A model cannot exceed its own resolution, so the reference is cropped and resized as in the model's
    # training.
    images = images.at(model.size)
    inventory = take_inventory(images)

    num_generated = sum(len(chosen) for kind, chosen in pairs.items() if kind == MISMATCHED or similarities)
    layout_pairs = spread_evenly(pairs[MATCHED], min(len(pairs[MATCHED]), NUM_LAYOUTS))
    styled_groups = []
    if similarities:
        styled_groups = many_styles(shards.num_samples, options.diversity, len(shards.styles), options.seed)
    num_generated += len(layout_pairs) + sum(map(len, styled_groups))
    name = name_of(options.model)
    metadata = {"name": name, "source": str(options.model)}
    with progress.track("image", num_generated + inventory.count * len(networks)):
        reference = describe_reference(images, inventory, networks, options.cache, progress)
        with closing(SampleReader(shards)) as reader:
            batches = generate_images(model, reader, pairs[MISMATCHED], name)
            measurements, chance = _measure_mismatched(
                model, batches, networks, encoders, redrawing, progress
            )
            lpips_values = _measure_matched(model, reader, pairs[MATCHED], name, similarities, progress)
            layout = _measure_layout(model, reader, layout_pairs, progress)
            diversity = measure_diversity(model, reader, styled_groups, name, similarities, progress)
    mismatched_groups = [pair.content for pair in pairs[MISMATCHED]]
    mismatched_metadata = metadata | {"pairs": MISMATCHED}
    rows = distance_rows(
        mismatched_metadata, mismatched_groups, measurements.features, networks, reference, options.seed
    )
    matched_groups = [pair.content for pair in pairs[MATCHED]]
    rows += similarity_rows(
        metadata | {"pairs": MATCHED}, matched_groups, lpips_values, similarities, options.seed
    )
    rows += diversity_rows(metadata, styled_groups, diversity, similarities, options.seed)
    chance_metadata = {"name": CHANCE, "source": str(options.shards), "pairs": MISMATCHED}
    for row_metadata, values in (
        (mismatched_metadata, measurements.values),
        (chance_metadata, chance.values),
    ):
        rows += relevance_rows(row_metadata, mismatched_groups, values, encoders, options.seed)
        if redrawing:
            rows.append(redrawn_row(row_metadata, mismatched_groups, values, redrawing, options.seed))
        rows.append(style_row(row_metadata, mismatched_groups, values, model, options.seed))
        rows.append(lattice_row(row_metadata, mismatched_groups, values, model.digest, options.seed))
    layout_groups = [pair.content for pair in layout_pairs]
    rows += layout_rows(metadata | {"pairs": MATCHED}, layout_groups, layout, model.digest, options.seed)
    if networks:
        warnings += small_sample_warning(name, len(mismatched_groups), reference)
    if len(mismatched_groups) < options.samples:
        reason = (
            f"{count_noun(len(mismatched_groups), 'pair')} of {count_noun(shards.num_samples, 'image')}, "
            f"asked for were {options.samples}"
        )
        warnings.append(MissingMetric(name, "pairs", f"{reason}; there are no more"))
    return ImageEvaluation(
        command="images",
        options=_record_options(options, shards.split),
        reference=reference.record(),
        models=(
            metadata
            | {"size": model.size, "digest": model.digest, "refined": model.refines, "sketches": shards.name},
        ),
        rows=tuple(rows),
        gaps=tuple(gaps),
        warnings=tuple(warnings),
        libraries=library_versions(),
    )


class _Measurements:
    """The measurements of images: features by network, and values by name, an entry per image."""

    def __init__(self, num_networks: int) -> None:
        self._features: list[list[np.ndarray]] = [[] for _ in range(num_networks)]
        self._values: dict[str, list[np.ndarray]] = defaultdict(list)

    def add_features(self, network_index: int, features: np.ndarray) -> None:
        self._features[network_index].append(features)

    def add(self, name: str, values: Tensor | np.ndarray) -> None:
        values = values.cpu().numpy() if isinstance(values, Tensor) else values
        self._values[name].append(values.astype(np.float64))

    @property
    def features(self) -> list[np.ndarray]:
        return [np.concatenate(parts) for parts in self._features]

    @property
    def values(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self._values.items()}


def _measure_mismatched(
    model: Synthesizer,
    batches: Iterable[GeneratedImages],
    networks: Sequence[FeatureNetwork],
    encoders: Mapping[str, tuple[Encoder, str]],
    redrawing: Redrawing | None,
    progress: Progress,
) -> tuple[_Measurements, _Measurements]:
    """The measurements of the model's images, and those of the CHANCE row."""
    measurements, chance = _Measurements(len(networks)), _Measurements(0)
    for batch in batches:
        for index, network in enumerate(networks):
            measurements.add_features(index, features_of(batch.images, network))
        styles = to_tensor(batch.styles)
        for target, images in ((measurements, to_tensor(batch.images)), (chance, to_tensor(batch.contents))):
            for title, (encoder, _) in encoders.items():
                device = next(encoder.parameters()).device
                for part, values in style_relevance(encoder, images.to(device), styles.to(device)).items():
                    target.add(f"{title} {part}", values)
            cosine = torch.nn.functional.cosine_similarity(
                model.style_vectors(images), model.style_vectors(styles), dim=1
            )
            target.add("sty_rec", cosine)
        for target, pixels in ((measurements, batch.images), (chance, batch.contents)):
            for name, power in lattice_power(pixels, batch.contents).items():
                target.add(name, power)
        if redrawing:
            redrawn = redrawing.draw(batch.images, [pair.sketch for pair in batch.pairs])
            for target, sketches in ((measurements, redrawn), (chance, batch.other_sketches)):
                distances = sketch_distances(batch.sketches, sketches)
                target.add("skt_rec", distances["absolute"])
                target.add("skt_rec_relative", distances["relative"])
        for _ in batch.pairs:
            progress.advance()
    return measurements, chance


def _measure_matched(
    model: Synthesizer,
    reader: SampleReader,
    pairs: Sequence[Pair],
    name: str,
    similarities: Sequence[PerceptualSimilarity],
    progress: Progress,
) -> dict[str, np.ndarray]:
    """LPIPS between output and image, by its title."""
    measurements = _Measurements(0)
    for batch in generate_images(model, reader, pairs, name) if similarities else ():
        for similarity in similarities:
            # In a matched pair the style image is the image itself.
            measurements.add(
                similarity.title, similarity.distance(to_tensor(batch.images), to_tensor(batch.styles))
            )
        for _ in batch.pairs:
            progress.advance()
    return measurements.values


def _measure_layout(
    model: Synthesizer, reader: SampleReader, pairs: Sequence[Pair], progress: Progress
) -> dict[str, np.ndarray]:
    """What mirrored, turned and other style images change, and the cosines of their f_style."""
    measurements = _Measurements(0)
    for sketches, images, others in read_matched(reader, pairs, model.size, grey=model.takes_grey):
        for name, values in layout_changes(model.synthesize_tensors, sketches, images, others).items():
            measurements.add(name, values)
        for name, values in style_cosines(model.style_vectors, images, others).items():
            measurements.add(f"style_{name}", values)
        for _ in sketches:
            progress.advance()
    return measurements.values


def _open_encoders(
    names: Sequence[str], device: torch.device, gaps: list[MissingMetric]
) -> dict[str, tuple[Encoder, str]]:
    """Open the encoders for SR, by title, each with the note of its figures ("" for none).

    Raises UsageError for an unknown name, SketchforgeError for unfit weights.
    """
    encoders = {}
    for name in dict.fromkeys(names):
        try:
            # The file, not the name: for a name `load_encoder` would let torchvision download the weights.
            path = str(find_weights(name, None, "--encoder FILE")) if name in ENCODERS else name
            encoder = load_encoder(path)
        except AbsentError as error:
            gaps.append(MissingMetric("", f"SR ({name})", str(error)))
            continue
        missing = [tap for tap in TAPS if tap not in encoder.tap_names()]
        if missing:
            raise UsageError(f"--encoder {name}: has no {missing[0]}, which SR needs; name another")
        title = name if name in ENCODERS else Path(name).stem
        published = name in ("vgg16", "vgg19") and is_published(name, Path(path))
        note = "" if published else "not torchvision's VGG: compares within one report only"
        encoders[title] = encoder.to(device), note
    return encoders


def _open_similarities(
    options: EvalImagesOptions, device: torch.device, gaps: list[MissingMetric]
) -> list[PerceptualSimilarity]:
    similarities = []
    for backbone, path in dict.fromkeys(options.lpips):
        try:
            similarities.append(open_lpips(backbone, path, device))
        except AbsentError as error:
            gaps.append(MissingMetric("", f"LPIPS ({backbone})", str(error)))
    return similarities


def _open_redrawing(
    options: EvalImagesOptions, shards: ShardSet, device: torch.device, gaps: list[MissingMetric]
) -> Redrawing | None:
    try:
        return redrawing_of(shards, options.tom, device)
    except AbsentError as error:
        gaps.append(MissingMetric("", "Skt-Rec", str(error)))
        return None


def _record_options(options: EvalImagesOptions, split: str | None) -> dict[str, Any]:
    return {
        "model": str(options.model),
        "shards": str(options.shards),
        "split": split,
        "reference": options.reference and str(options.reference),
        "samples": options.samples,
        "diversity": options.diversity,
        "features": [_format_path(*choice) for choice in options.features],
        "lpips": [_format_path(*choice) for choice in options.lpips],
        "encoders": list(options.encoders),
        "tom": options.tom and str(options.tom),
        "seed": options.seed,
        "device": options.device,
        "threads": options.threads,
    }


def _format_path(name: str, path: Any) -> str:
    return name if path is None else f"{name}={path}"

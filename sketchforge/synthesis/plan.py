"""The plan of a synthesis job: its sketches, styles and model, fixed before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.checkpoints.runs import BUILTIN, find_model, model_name
from sketchforge.checkpoints.tom import find_tom_run, tom_run_name
from sketchforge.errors import UsageError
from sketchforge.options import MixOptions, SynthesisOptions, SynthesizeOptions, TransferOptions
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.synthesis.fitting import FittedSketch, blend_sketches, prepare_sketch, prepare_style, stitch
from sketchforge.synthesis.inputs import (
    BUILTIN_PHOTOS,
    JOINT,
    ImageInput,
    builtin_drawings,
    builtin_photos,
    check_images,
    file_name,
    find_image_inputs,
)
from sketchforge.synthesis.record import LOCATION
from sketchforge.synthesis.sampling import choose_sampling
from sketchforge.synthesis.synthesizer import Synthesizer, draw_sketch, load_model
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun

STITCHES = (2, 4)  # how many style images `mix` takes
MIXED_NAME = 24  # characters of each style image's name in the name of a stitched one
KEPT_IN_MEMORY = 64  # the sketches read last
COMMANDS = {SynthesizeOptions: "synthesize", MixOptions: "mix", TransferOptions: "transfer"}


@dataclass(frozen=True)
class Style:
    """A style image, or several to be stitched."""

    name: str
    parts: tuple[ImageInput, ...]

    def read(self, size: int) -> np.ndarray:
        """uint8 size×size×3."""
        images = [part.read() for part in self.parts]
        return prepare_style(images[0], size) if len(images) == 1 else stitch(images, size)


@dataclass(frozen=True)
class Plan:
    """The images to generate and everything they depend on."""

    model: Synthesizer
    sketches: Sequence[ImageInput]  # drawings, or images to be sketched
    styles: Sequence[Style]
    cells: Sequence[tuple[int, int]]  # sketch and style of every image
    fit: Callable[[ImageInput], FittedSketch]
    drawn: bool  # whether the inputs are made of content images: sketches by TOM, or greys
    by: Mapping[str, Any]  # command, model and options, for the record
    noise_name: str | None = None  # in place of every sketch's own, where all begin from the same noise

    def name_of(self, cell: tuple[int, int]) -> str:
        return f"{self.key_of(cell)}.png"

    def describe_files(self) -> dict[str, dict[str, Any]]:
        """Every file that the job writes -> what it is made of."""
        subject = "content" if self.drawn else "sketch"
        files: dict[str, dict[str, Any]] = {}
        for style in self.styles:
            if len(style.parts) > 1:
                files[f"{style.name}.png"] = {"stitched": [_describe_input(part) for part in style.parts]}
        for cell in self.cells:
            sketch, style = self.sketches[cell[0]], self.styles[cell[1]]
            if self.drawn:
                files[f"{sketch.name}.sketch.png"] = {"content": _describe_input(sketch)}
            files[self.name_of(cell)] = {
                subject: _describe_input(sketch),
                "style": [_describe_input(part) for part in style.parts],
            }
        return files

    def describe_model(self) -> str:
        """The model that makes the images, its kind, size and steps; the same wherever its file lies."""
        steps = self.model.metadata.get("steps")
        trained = f", {count_noun(steps, 'step')}" if isinstance(steps, int) else ""
        return (
            f"{self.model.kind}, {self.model.size} pixels{trained}, SHA-256 {self.by['model']['sha256'][:12]}"
        )

    def describe(self, cell: tuple[int, int]) -> str:
        """What one image is, for its file."""
        sketch, style = self.sketches[cell[0]], self.styles[cell[1]]
        return f"{sketch.name} in the style of {style.name}; {self.describe_model()}"

    def key_of(self, cell: tuple[int, int]) -> str:
        return self.key(self.sketches[cell[0]], self.styles[cell[1]])

    @staticmethod
    def key(sketch: ImageInput, style: Style) -> str:
        """The image's name."""
        return f"{sketch.name}{JOINT}{style.name}"

    def noise_key(self, sketch: ImageInput, style: Style) -> str:
        """What the image's noise depends on, beside the seed."""
        return f"{self.noise_name or sketch.name}{JOINT}{style.name}"

    def noise_seed(self, options: SynthesisOptions) -> int | None:
        """The seed of the noise; None: no noise."""
        return options.seed if options.noise or self.model.needs_noise else None


def plan_job(options: SynthesisOptions, progress: Progress) -> Plan:
    """Find and read all inputs and open the model. Writes nothing.

    Raises UsageError where the request cannot be carried out, ImageError for an image that cannot be read,
    SketchforgeError for models that are damaged.
    """
    # The quick checks come first.
    path = find_model(options.model)
    model = load_model(path, options.device)
    if name := _describe_model(options, path, model):
        progress.note(name)
    if options.noise and not model.takes_noise:
        raise UsageError(f"--noise: {options.model or path.parent} was trained without noise; leave it out")
    by: dict[str, Any] = {
        "command": COMMANDS[type(options)],
        "model": {LOCATION: model_name(path), "sha256": model.digest},
        "options": {"seed": options.seed if options.noise or model.needs_noise else None}
        | choose_sampling(model, options),
    }
    fit: Callable[[ImageInput], FittedSketch]
    if isinstance(options, TransferOptions) and model.takes_grey:
        if options.tom is not None or options.checkpoint is not None:
            raise UsageError("--tom, --checkpoint: this model takes greys, not sketches; leave them out")

        def fit(image: ImageInput) -> FittedSketch:
            return model.fit_input(image.read())

    elif isinstance(options, TransferOptions):
        sketcher, sketcher_source = _open_sketcher(options, model, progress)
        by["tom"] = {LOCATION: sketcher_source, "snapshot": sketcher.styles[0]} | _read_digests(sketcher)

        def fit(image: ImageInput) -> FittedSketch:
            return prepare_sketch(draw_sketch(sketcher, image.read(), model.size), model.size)

    else:
        assert isinstance(options, SynthesizeOptions | MixOptions)
        raw = by["options"]["raw"] = options.raw

        def fit(drawing: ImageInput) -> FittedSketch:
            return model.fit_input(drawing.read(), raw)

    sketches, styles = _find_inputs(options, model, progress)
    noise_name = None
    if isinstance(options, SynthesizeOptions):
        if options.interpolate:
            noise_name = sketches[0].name if sketches else None
            sketches, fit = _interpolate(sketches, fit, options)
        styles = _repeat_styles(styles, options.images_per_sketch)
    cells = _pair_inputs(options, sketches, styles, progress)
    drawn = isinstance(options, TransferOptions)
    return Plan(
        model=model,
        sketches=sketches,
        styles=styles,
        cells=cells,
        fit=lru_cache(KEPT_IN_MEMORY)(fit),
        drawn=drawn,
        by=by,
        noise_name=noise_name,
    )


def _interpolate(
    sketches: Sequence[ImageInput], fit: Callable[[ImageInput], FittedSketch], options: SynthesizeOptions
) -> tuple[list[ImageInput], Callable[[ImageInput], FittedSketch]]:
    """(two sketches with places between them, what fits all of them). Raises UsageError for another number, and --pairs."""
    if options.pairs:
        raise UsageError(
            "--interpolate, --pairs: a place between two sketches has no style of its name; leave one out"
        )
    if len(sketches) != 2:
        raise UsageError(
            f"--interpolate: found {count_noun(len(sketches), 'sketch')}; expected two, to go between"
        )
    first, last = sketches
    weights: dict[str, float] = {}
    for number in range(1, options.interpolate + 1):
        weights[file_name(f"{first.name}+{last.name}-{number}")] = number / (options.interpolate + 1)
    between = [
        replace(first, name=name, source=f"{weight:.2f} of the way from {first.source} to {last.source}")
        for name, weight in weights.items()
    ]

    def fit_between(sketch: ImageInput) -> FittedSketch:
        if sketch.name not in weights:
            return fit(sketch)
        return blend_sketches(fit(first), fit(last), weights[sketch.name])

    return [first, *between, last], fit_between


def _repeat_styles(styles: Sequence[Style], count: int) -> list[Style]:
    """Every style `count` times, named apart: noise depends on the name. The first keeps its own.

    Raises UsageError where another style has such a name already.
    """
    repeated = [
        style if number == 1 else replace(style, name=f"{style.name}.{number}")
        for style in styles
        for number in range(1, count + 1)
    ]
    names = Counter(style.name for style in repeated)
    if taken := [name for name, number in names.items() if number > 1]:
        raise UsageError(f"--images-per-sketch: a style is called {taken[0]} already; rename its file")
    return repeated


def _describe_model(options: SynthesisOptions, path: Path, model: Synthesizer) -> str:
    """Say which model is used where none was named, and of the one that ships what to expect."""
    if model_name(path) == BUILTIN:
        return (
            f"{'' if options.model else 'no --model given and no finished one in runs/: '}using {BUILTIN}: "
            f"{model.size} pixels, learnt from photographed things cut out; colours and outlines, no detail"
        )
    return "" if options.model else f"no --model given: using {path.parent}"


def _find_inputs(
    options: SynthesisOptions, model: Synthesizer, progress: Progress
) -> tuple[list[ImageInput], list[Style]]:
    """(drawings or photos, styles), each read once."""
    is_mix = isinstance(options, MixOptions)
    is_transfer = isinstance(options, TransferOptions)
    takes_photos = is_transfer or model.takes_grey
    patterns = options.content if is_transfer else options.sketch  # type: ignore[attr-defined]
    option = "--content" if is_transfer else "--sketch"
    if patterns:
        sketches = find_image_inputs(patterns, progress=progress)
    else:
        sketches = builtin_photos() if takes_photos else builtin_drawings()
        progress.note(
            f"no {option} given: using "
            f"{count_noun(len(sketches), 'built-in photo' if takes_photos else 'built-in drawing')}"
        )
    if options.style:
        images = find_image_inputs(options.style, is_mix, progress)
    else:
        images = builtin_photos(BUILTIN_PHOTOS[-STITCHES[-1] :] if is_mix else BUILTIN_PHOTOS)
        progress.note(f"no --style given: using {count_noun(len(images), 'built-in photo')}")
    if is_mix and len(images) not in STITCHES:
        raise UsageError(
            f"--style: found {count_noun(len(images), 'image')}; expected 2, a half each, or 4, a quarter "
            "each"
        )
    with progress.track("input", len(sketches) + len(images)):
        sketches, images = check_images(sketches, progress), check_images(images, progress)
    if is_mix:
        name = "+".join(image.name[:MIXED_NAME].strip(". -") for image in images)
        return sketches, [Style(file_name(name), tuple(images))]
    return sketches, [Style(image.name, (image,)) for image in images]


def _pair_inputs(
    options: SynthesisOptions, sketches: Sequence[ImageInput], styles: Sequence[Style], progress: Progress
) -> list[tuple[int, int]]:
    """(sketch, style) indices: every sketch with every style, or with the style of its name (`pairs`)."""
    if not (isinstance(options, SynthesizeOptions) and options.pairs):
        return [(row, column) for row in range(len(sketches)) for column in range(len(styles))]
    copies = options.images_per_sketch
    column_of = {style.name: copies * number for number, style in enumerate(styles[::copies])}
    unpaired = [sketch for sketch in sketches if sketch.name not in column_of]
    if unpaired:
        raise UsageError(
            f"--pairs: {len(unpaired)} of {count_noun(len(sketches), 'sketch')} without a style of their "
            "name, the first is "
            f"{unpaired[0].source} ({unpaired[0].name}); "
            f"styles are called {', '.join(list(column_of)[:3])}, …"
        )
    if num_unused := len(column_of) - len(sketches):
        progress.note(
            f"--pairs: {num_unused} of {count_noun(len(column_of), 'style')} without a sketch of their name, "
            "left out"
        )
    return [
        (row, column_of[sketch.name] + number)
        for row, sketch in enumerate(sketches)
        for number in range(copies)
    ]


def _open_sketcher(
    options: TransferOptions, model: Synthesizer, progress: Progress
) -> tuple[TomSketcher, str]:
    """(the sketcher that draws the content photos, where its weights come from)."""
    if model.sketcher is not None and options.tom is None:
        if options.checkpoint is not None:
            raise UsageError(
                f"--checkpoint {options.checkpoint}: the model brings one snapshot of its own along; name a "
                "run beside it, as in --tom builtin"
            )
        progress.note(f"sketches are drawn by the model's own snapshot, {model.sketcher.styles[0]}")
        return model.sketcher, "the model's own"
    run, number = find_tom_run(options.tom), options.checkpoint or 0
    sketcher = _select_snapshot(TomSketcher.from_run(run, number + 1, model.device), number, model)
    progress.note(f"sketches are drawn by snapshot {number} of {tom_run_name(run)}, {sketcher.styles[0]}")
    return sketcher, tom_run_name(run)


def _select_snapshot(sketcher: TomSketcher, number: int, model: Synthesizer) -> TomSketcher:
    return TomSketcher(
        sketcher.encoder, [sketcher.generators[number]], [sketcher.styles[number]], model.device
    )


def _read_digests(sketcher: TomSketcher) -> dict[str, str]:
    return {
        "encoder sha256": sketcher.digests["encoder"],
        "generator sha256": sketcher.digests[sketcher.styles[0]],
    }


def _describe_input(image: ImageInput) -> dict[str, str]:
    return {"source": image.source, "sha256": image.sha256}

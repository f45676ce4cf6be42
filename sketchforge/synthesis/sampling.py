"""What `synthesize`, `mix` and `transfer` ask of a model that samples its images (DiffSketching)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.options import SynthesisOptions, SynthesizeOptions
from sketchforge.synthesis.synthesizer import Synthesizer
from sketchforge.utils.text import count_noun


def choose_sampling(model: Synthesizer, options: SynthesisOptions) -> dict[str, Any]:
    """Set how the model samples as the options say; returns what of it was asked for, by option, for the record.

    Raises UsageError where the model does not sample, knows no such class, or a number is out of range.
    """
    asked = {
        "class": options.class_name,
        "class-scale": options.class_scale,
        "sampling-steps": options.sampling_steps,
        "strength": options.strength,
        "sketch-scale": options.sketch_scale,
    }
    if isinstance(options, SynthesizeOptions):
        asked["interpolate"] = options.interpolate or None
    given = {name: value for name, value in asked.items() if value is not None}
    if isinstance(options, SynthesizeOptions) and options.images_per_sketch != 1:
        if options.images_per_sketch < 1:
            raise UsageError(f"--images-per-sketch {options.images_per_sketch}: expected 1 or more")
        if not (model.needs_noise or options.noise):
            raise UsageError(
                "--images-per-sketch: without noise this model makes one image of a sketch and a style; add "
                "--noise where it takes it"
            )
    if not given:
        return {}
    if model.sampling is None:
        raise UsageError(f"--{next(iter(given))}: is of models of diffsketching-train alone; leave it out")
    _check_ranges(options, model.num_times)
    sampling = model.sampling
    if options.class_name is not None:
        sampling = replace(sampling, label=_find_class(model, options.class_name))
    changes: dict[str, Any] = {
        "steps": options.sampling_steps,
        "strength": options.strength,
        "class_scale": options.class_scale,
        "sketch_scale": options.sketch_scale,
    }
    model.sampling = replace(
        sampling, **{name: value for name, value in changes.items() if value is not None}
    )
    return given


def _check_ranges(options: SynthesisOptions, num_times: int) -> None:
    """num_times: of the model's noise schedule."""
    if options.sampling_steps is not None and not 1 <= options.sampling_steps <= num_times:
        raise UsageError(f"--sampling-steps {options.sampling_steps}: expected 1 to {num_times}")
    if options.strength is not None and not 0 < options.strength <= 1:
        raise UsageError(f"--strength {options.strength}: expected a share above 0, at most 1")
    scales = {"--class-scale": options.class_scale, "--sketch-scale": options.sketch_scale}
    for name, scale in scales.items():
        if scale is not None and not 0 <= scale < float("inf"):
            raise UsageError(f"{name} {scale}: expected 0 or more")
    if options.class_scale is not None and options.class_name is None:
        raise UsageError("--class-scale: is of --class; name a class, too")


def _find_class(model: Synthesizer, name: str) -> int:
    if not model.classes:
        raise UsageError(
            f"--class {name}: this model knows no classes; train it on shards that have some (render --labels)"
        )
    if name not in model.classes:
        some = ", ".join(model.classes[:8]) + (", …" if len(model.classes) > 8 else "")
        raise UsageError(
            f"--class {name}: not one of the model's {count_noun(len(model.classes), 'class')}: {some}"
        )
    return model.classes.index(name)

"""A trained DiffSketching on disk: the U-net's EMA weights, classifier, TOM's snapshot, and what builds them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import read_json, write_json

if TYPE_CHECKING:
    from torch import nn

    from sketchforge.models.diffsketching import DiffSketching
    from sketchforge.models.sketch_view import SketchView

FORMAT, VERSION = "sketchforge-diffsketching", 1
GENERATOR_SETTINGS = ("taps", "tap_channels", "widths")  # arguments of the generators
UNET_FILES = (
    "config.json",
    "diffusion_pytorch_model.safetensors",
)  # as diffusers' save_pretrained names them
SCHEDULER_FILE = "scheduler_config.json"
# Of diffusers, those that noise images as ours does, by discrete variances; how they sample does not matter. Others (of
# stochastic differential equations, of flows) noise them in another way.
SCHEDULERS = (
    "DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler",
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
)  # fmt: skip
PATCHES = (1, 2, 4, 8)  # sides in pixels of what a U-net may take as one place
MOST_TIMES = 100_000  # of a schedule


def write_diffsketching(path: Path, model: DiffSketching, metadata: Mapping[str, Any]) -> None:
    """Write the model. `metadata` (JSON-serialisable) says where it comes from."""
    description = dict(metadata) | {"model": describe_diffsketching(model)}
    save_tensors(path, FORMAT, VERSION, model.state_dict(), description)


def read_diffsketching(path: Path) -> tuple[DiffSketching, dict[str, Any]]:
    """Return (model in eval mode without gradients, metadata).

    Raises SketchforgeError for a corrupt, foreign or newer file, UsageError without diffusers.
    """
    tensors, metadata = load_tensors(path, FORMAT, VERSION)
    try:
        model = build_diffsketching(metadata["model"])
        model.load_state_dict(tensors)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SketchforgeError(f"{path}: not a usable DiffSketching ({reason})") from error
    return model.eval().requires_grad_(False), metadata


def describe_diffsketching(model: DiffSketching) -> dict[str, Any]:
    """What `build_diffsketching` takes, and the digests of the frozen networks; JSON-serialisable."""
    from sketchforge.checkpoints.encoder import encoder_digest, encoder_settings
    from sketchforge.checkpoints.tensor_files import tensors_digest

    view, generator = model.view, model.view.generator
    classifier = None
    if model.classifier is not None:
        classifier = {"width": model.classifier.width, "classes": list(model.classes)}
    return {
        "condition": model.condition,
        "unet": describe_unet(model.unet),
        "schedule": model.schedule.settings,
        "sampling": asdict(model.sampling),
        "classifier": classifier,
        "view": {
            "size": view.size,
            "drawn_size": view.drawn_size,
            "encoder": encoder_settings(view.encoder) | {"digest": encoder_digest(view.encoder)},
            "generator": {name: getattr(generator, name) for name in GENERATOR_SETTINGS}
            | {"kind": generator.kind, "digest": tensors_digest(generator.state_dict())},
        },
    }


def build_diffsketching(settings: Mapping[str, Any]) -> DiffSketching:
    """A model with random weights.

    Raises UsageError without diffusers; AttributeError, KeyError, RuntimeError, TypeError or ValueError for settings that
    are none.
    """
    from sketchforge.models.diffsketching import DiffSketching, NoisedClassifier, Sampling
    from sketchforge.models.diffusion import NoiseSchedule, build_unet

    entry = settings["classifier"]
    classes = [] if entry is None else [str(name) for name in entry["classes"]]
    return DiffSketching(
        build_unet(settings["unet"]),
        NoiseSchedule(settings["schedule"]),
        _build_view(settings["view"]),
        settings["condition"],
        Sampling(**settings["sampling"]),
        None if entry is None else NoisedClassifier(len(classes), entry["width"]),
        classes,
    )


def _build_view(settings: Mapping[str, Any]) -> SketchView:
    from sketchforge.checkpoints.encoder import build_encoder
    from sketchforge.models.sketch_view import SketchView
    from sketchforge.models.tom import GENERATORS

    entry = settings["generator"]
    generator = GENERATORS[entry["kind"]](**{name: entry[name] for name in GENERATOR_SETTINGS})
    return SketchView(build_encoder(settings["encoder"]), generator, settings["size"], settings["drawn_size"])


def describe_unet(unet: nn.Module) -> dict[str, Any]:
    """The configuration of a UNet2DModel that `build_unet` takes; JSON-serialisable."""
    stored: Any = unet.config
    config = {name: value for name, value in dict(stored).items() if not name.startswith("_")}
    described: dict[str, Any] = json.loads(json.dumps(config))
    return described


def save_unet(folder: Path, model: DiffSketching) -> None:
    """Write U-net and noise schedule as diffusers does, for `load_unet` and for other programs."""
    unet: Any = model.unet
    unet.save_pretrained(folder)
    write_json(folder / SCHEDULER_FILE, {"_class_name": "DDIMScheduler", **model.schedule.settings})


def load_unet(folder: Path, size: int) -> tuple[nn.Module, dict[str, Any]]:
    """(a pretrained UNet2DModel, the settings of its noise schedule) from a folder that diffusers wrote.

    folder: of the U-net, or of a pipeline that has one in `unet/`. The schedule is that of `scheduler_config.json` beside it or in
    `scheduler/`; without one it is ours. Checked: that it is a UNet2DModel of three channels in and out (or of those of
    patches), without classes, for images of `size`; that its weights are a safetensors file of these shapes, all finite; that its schedule is one of
    ours. Raises UsageError for another kind of folder or network, SketchforgeError for damaged files.
    """
    from sketchforge.models.diffusion import SCHEDULE, require_diffusers

    require_diffusers()
    inner = folder / "unet" if (folder / "unet").is_dir() else folder
    config_file, weights_file = (inner / name for name in UNET_FILES)
    for path in (config_file, weights_file):
        if not path.is_file():
            raise UsageError(
                f"--unet {folder}: holds no {path.relative_to(folder)}; expected what diffusers' "
                "UNet2DModel.save_pretrained leaves, as safetensors"
            )
    config = _read_config(config_file)
    channels = config.get("out_channels")
    patch = next((side for side in PATCHES if channels == 3 * side**2), 1)
    channels = 3 * patch**2
    expected = {
        "_class_name": "UNet2DModel",
        "out_channels": channels,
        "in_channels": channels,
        "sample_size": size // patch,
    }
    absent = {"class_embed_type": None, "num_class_embeds": None}
    for name, value in (expected | absent).items():
        found = config.get(name)
        if name == "sample_size" and found is None:
            continue  # a network of any size
        if found != value:
            raise UsageError(f"--unet {folder}: its {name} is {str(found)[:80]}, expected {value}")
    unet = _read_unet(inner, weights_file)
    candidates = (inner / SCHEDULER_FILE, folder / "scheduler" / SCHEDULER_FILE)
    scheduler_file = next((path for path in candidates if path.is_file()), None)
    schedule: dict[str, Any] = dict(SCHEDULE)
    if scheduler_file is not None:
        # Where a file lacks a setting, it is diffusers' default, not ours.
        defaults = schedule | {"prediction_type": "epsilon", "rescale_betas_zero_snr": False}
        found_schedule = _read_config(scheduler_file)
        _check_scheduler(scheduler_file, found_schedule)
        schedule = {name: found_schedule.get(name, value) for name, value in defaults.items()}
        _check_schedule(scheduler_file, schedule)
    return unet, schedule


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise SketchforgeError(f"{path}: cannot be read as JSON ({error}); restore the file") from error
    if not isinstance(config, dict):
        raise SketchforgeError(f"{path}: found a {type(config).__name__}, expected diffusers' configuration")
    return config


def _read_unet(folder: Path, path: Path) -> nn.Module:
    """The network of a folder, by diffusers, which knows the names that weights had in earlier versions."""
    from diffusers import UNet2DModel
    from diffusers.utils import logging

    unet_type: Any = UNet2DModel
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what it would warn of is an error below
    try:
        unet, found = unet_type.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if found[what]:
                raise ValueError(f"{what.replace('_', ' ')}: {found[what][0]}")
    # A configuration that anybody may have written: no groups are a division by zero.
    except (ArithmeticError, AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SketchforgeError(
            f"{path}: cannot be read as the U-net of its config.json ({reason[:200]})"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    if not all(bool(tensor.isfinite().all()) for tensor in unet.state_dict().values()):
        raise SketchforgeError(f"{path}: has weights that are not finite; restore the file")
    network: nn.Module = unet
    return network


def _check_scheduler(path: Path, config: Mapping[str, Any]) -> None:
    """Raise UsageError for a scheduler of another kind, and for variances of its own."""
    kind = config.get("_class_name", SCHEDULERS[0])
    if kind not in SCHEDULERS:
        raise UsageError(
            f"{path}: is of a {str(kind)[:80]}, expected one of {', '.join(SCHEDULERS[:3])} and their like"
        )
    if config.get("trained_betas") is not None:
        raise UsageError(f"{path}: has trained_betas of its own, expected a beta_schedule by name")


def _check_schedule(path: Path, schedule: Mapping[str, Any]) -> None:
    from sketchforge.models.diffusion import NOISE, VELOCITY, NoiseSchedule

    if schedule["prediction_type"] not in (VELOCITY, NOISE):
        raise UsageError(
            f"{path}: its prediction_type is {schedule['prediction_type']}, expected {VELOCITY} or {NOISE}"
        )
    times = schedule["num_train_timesteps"]
    if not isinstance(times, int) or not 1 < times <= MOST_TIMES:
        raise UsageError(
            f"{path}: its num_train_timesteps is {str(times)[:80]}, expected a number from 2 to {MOST_TIMES}"
        )
    if schedule["prediction_type"] == NOISE and schedule["rescale_betas_zero_snr"]:
        raise UsageError(
            f"{path}: predicts noise and leaves nothing of the image at the last time step; no image can be read of that"
        )
    try:
        NoiseSchedule(schedule)
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{path}: no schedule that diffusers' DDIM has ({error})") from error

"""How long a step of `tom-train`, `ae-train` and `gan-train` takes, beside the authors' networks and losses.

    python benchmarks/training_step.py [--part tom ae gan] [--size 256] [--batch-size 4] [--recipe
    demo|large|paper]
                                       [--precision float32|bfloat16] [--device cpu|cuda] [--cores 2]
                                       [--rounds 3] [--json FILE]

Both in the same process, by turns, on batches that lie ready; subnormals are flushed on both sides.

tom: theirs are VGG16 (random weights, which take as long as trained ones), their generator and
discriminator, content at pool3, Gram matrices of pool2 to pool4; loop and memory layout are ours, which is
to their advantage.
ae, gan: theirs are benchmarks/authors_networks.py, authors_gan.py and authors_steps.py, in full width and
float32. Ours are what the commands do by default: the recipe "demo", a quarter (gan: an eighth) as wide, on a
GPU in bfloat16. What is due to that shows in --recipe large, as wide as theirs, and --precision float32;
--recipe paper takes two optimiser steps, as theirs does, and has no perceptual term. For
images below 512 pixels theirs go without the finest levels, as ours do; how their code treats such is not
known.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from authors_networks import LARGEST_AE, NUM_CLASSES  # noqa: E402
from authors_steps import (  # noqa: E402
    CONTIGUOUS,
    VARIANTS,
    AuthorsAutoEncoding,
    AuthorsRefining,
    random_lpips,
)
from authors_tom import AS_CODED, PaperJudged  # noqa: E402

from sketchforge.checkpoints.encoder import calibrate_on_photos, load_encoder  # noqa: E402
from sketchforge.data.dataset import NUMBERS  # noqa: E402
from sketchforge.models.encoder import VGG16_BLOCKS, Encoder, freeze  # noqa: E402
from sketchforge.models.layers import count_parameters  # noqa: E402
from sketchforge.options import AeTrainOptions, GanTrainOptions, TomTrainOptions  # noqa: E402
from sketchforge.utils.device import choose_device, set_threads  # noqa: E402
from trainers.autoencoder import recipe as ae_recipe  # noqa: E402
from trainers.autoencoder.step import AutoEncoderTrainer  # noqa: E402
from trainers.gan import recipe as gan_recipe  # noqa: E402
from trainers.gan.step import R1_EVERY, GanTrainer  # noqa: E402
from trainers.tom.inputs import drawing_readers, photo_readers  # noqa: E402
from trainers.tom.recipe import RECIPES  # noqa: E402
from trainers.tom.step import Batch, TomTrainer  # noqa: E402

# (side, batch) by kind of device. On a CPU a step of theirs on 16 images of 256² would take minutes.
LAYOUTS = {
    "tom": {"cpu": (256, 4), "cuda": (256, 4)},
    "ae": {"cpu": (128, 4), "cuda": (256, 16)},
    "gan": {"cpu": (128, 4), "cuda": (256, 16)},
}
# Steps a round by kind of device: of ours always whole cycles of the R1 penalty, which not every step has.
STEPS = {"cpu": {"ours": R1_EVERY, "theirs": 1}, "cuda": {"ours": 10 * R1_EVERY, "theirs": 20}}


@dataclass(frozen=True)
class Layout:
    """What both sides of a part share, and how wide and precise ours are."""

    size: int
    batch_size: int
    cores: int
    device: torch.device
    recipe: str  # of ours
    precision: torch.dtype  # of ours


@dataclass(frozen=True)
class Side:
    """Ours or theirs: a step, by number, and the networks that it goes through, for their size."""

    step: Callable[[int], object]
    networks: dict[str, nn.Module]


def tom_sides(layout: Layout) -> dict[str, Side]:
    photos, drawings = photo_readers(None)[0], drawing_readers(None)[0]
    options = TomTrainOptions(
        size=layout.size, batch_size=layout.batch_size, threads=layout.cores, device=layout.device.type
    )
    as_coded = AS_CODED | {
        "style_taps": ("pool2", "pool3", "pool4"),
        "pattern_contrast": 0.0,
        "pasted_share": 0.0,
    }
    paper = replace(RECIPES["paper"], **as_coded)
    trainers = {
        "ours": TomTrainer(options, RECIPES["lean"], load_encoder("builtin"), photos, drawings),
        "theirs": PaperJudged(replace(options, generator="paper"), paper, random_vgg16(), photos, drawings),
    }
    sides = {}
    for name, tom in trainers.items():
        batches = [tom.batch(number, None) for number in range(R1_EVERY)]
        networks = {"generator": tom.networks.generator, "discriminator": tom.networks.discriminator}
        sides[name] = Side(partial(tom_step, tom, batches), networks)
    return sides


def tom_step(tom: TomTrainer, batches: list[Batch], number: int) -> None:
    tom.step(number, batches[number % len(batches)])


def random_vgg16() -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(VGG16_BLOCKS, "imagenet", "zeros")
    for conv in encoder.convs.values():
        torch.nn.init.kaiming_normal_(conv.weight)
    return calibrate_on_photos(freeze(encoder))


def ae_sides(layout: Layout) -> dict[str, Side]:
    options = AeTrainOptions(recipe=layout.recipe, size=layout.size, batch_size=layout.batch_size)
    recipe = ae_recipe.ae_recipe_of(options)
    ours = AutoEncoderTrainer(
        recipe, load_encoder("builtin"), NUM_CLASSES, 0, layout.device, layout.precision
    )
    batch = random_batch(layout)
    theirs = in_quicker_memory_format(AuthorsAutoEncoding, layout, batch)
    return {
        "ours": Side(partial(ours.step, batch=[batch]), dict(ours.networks.model.named_children())),
        "theirs": Side(partial(theirs.step, batch=batch), dict(theirs.model.named_children())),
    }


def gan_sides(layout: Layout) -> dict[str, Side]:
    options = GanTrainOptions(recipe=layout.recipe, size=layout.size, batch_size=layout.batch_size)
    recipe = gan_recipe.gan_recipe_of(options)
    before = ae_recipe.RECIPES[layout.recipe]  # the auto-encoder that is refined is of the same recipe
    autoencoder = replace(before, size=layout.size).build_model()
    encoder = load_encoder("builtin") if recipe.perceptual else None
    ours = GanTrainer(recipe, autoencoder, encoder, 0, layout.device, layout.precision)
    batch = random_batch(layout)
    theirs = in_quicker_memory_format(AuthorsRefining, layout, batch)

    sides = {}
    for name, step, owner in (
        ("ours", partial(ours.step, batch=[batch]), ours.networks),
        ("theirs", partial(theirs.step, batch=batch), theirs),
    ):
        sides[name] = Side(step, {"refiner": owner.refiner, "discriminator": owner.discriminator})
    return sides


PARTS = {"tom": tom_sides, "ae": ae_sides, "gan": gan_sides}


def random_batch(layout: Layout) -> dict[str, Tensor]:
    """As the stream gives it, on the device, with what either side asks for; images in [-1, 1]."""
    draw = torch.Generator().manual_seed(0)
    channels = {"image": 3, "style_view": 3, "sketch": 1, "variant": 1} | dict.fromkeys(VARIANTS, 1)
    shape = layout.size, layout.size
    made = {
        name: torch.rand(layout.batch_size, count, *shape, generator=draw) * 2 - 1
        for name, count in channels.items()
    }
    numbers = torch.arange(layout.batch_size)
    made |= {"index": numbers, "label": numbers, "group": torch.zeros_like(numbers), "position": numbers}
    return {name: value if name in NUMBERS else value.to(layout.device) for name, value in made.items()}


def seconds_a_step(side: Side, first: int, count: int, device: torch.device) -> float:
    """Mean over steps first .. first + count - 1."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    for number in range(first, first + count):
        side.step(number)
    wait()
    return (time.perf_counter() - start) / count


def in_quicker_memory_format(trainer: Callable[..., Any], layout: Layout, batch: dict[str, Tensor]) -> Any:
    """Theirs in the memory format that suits the device: of a CPU it is known which, a GPU is asked."""
    new = partial(trainer, layout.size, random_lpips(layout.device), layout.device)
    if layout.device.type == "cpu":
        return new(CONTIGUOUS)
    seconds = {}
    for memory_format in (CONTIGUOUS, torch.channels_last):
        side = Side(partial(new(memory_format).step, batch=batch), {})
        seconds_a_step(side, 0, 3, layout.device)
        seconds[memory_format] = seconds_a_step(side, 3, 3, layout.device)
        del side  # its memory is for the next one
    return new(min(seconds, key=seconds.__getitem__))


def measured(sides: dict[str, Side], rounds: int, device: torch.device) -> dict[str, Any]:
    """Medians over the rounds after a first one that does not count; sides take turns in going first."""
    counts = STEPS[device.type]
    # Before anything steps, for a network is frozen while another one learns.
    parameters = {
        name: {part: count_parameters(network) for part, network in side.networks.items()}
        for name, side in sides.items()
    }
    found = []
    for number in range(rounds + 1):
        order = list(sides) if number % 2 else list(sides)[::-1]
        spent = {
            name: seconds_a_step(sides[name], number * counts[name], counts[name], device) for name in order
        }
        which = f"round {number}" if number else "warm-up"
        print(f"{which}: {json.dumps(spent)}", file=sys.stderr, flush=True)
        found.append(spent)
    found = found[1:]
    return {
        "seconds_a_step": {name: round(statistics.median(one[name] for one in found), 4) for name in sides},
        "times as fast": round(statistics.median(one["theirs"] / one["ours"] for one in found), 2),
        "parameters": parameters,
    }


def main(arguments: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--size", type=int, choices=(64, 128, 256, 512, 1024), help="of images, in pixels")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--recipe", choices=list(ae_recipe.RECIPES), default="demo", help="of ours; ae, gan")
    parser.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of ours; ae, gan"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    if "ae" in asked.part and (asked.size or 0) > LARGEST_AE:
        parser.error(f"--size {asked.size}: the authors' auto-encoder goes up to {LARGEST_AE}; leave out ae")
    device = choose_device(asked.device)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    set_threads(asked.cores)
    reduced = asked.precision == "bfloat16" or (asked.precision == "auto" and asked.device == "cuda")
    precision = torch.bfloat16 if reduced else torch.float32
    metadata = {
        "device": torch.cuda.get_device_name() if asked.device == "cuda" else "cpu",
        "cores": asked.cores, "torch": torch.__version__,
    }  # fmt: skip
    found: dict[str, Any] = metadata | {"parts": {}}
    for part in asked.part:
        usual_size, usual_batch = LAYOUTS[part][asked.device]
        size, batch_size = asked.size or usual_size, asked.batch_size or usual_batch
        layout = Layout(size, batch_size, asked.cores, device, asked.recipe, precision)
        print(f"{part}, {size} pixels, batches of {batch_size}", file=sys.stderr, flush=True)
        shared = {"size": size, "batch_size": batch_size}
        if part != "tom":
            shared |= {"recipe": asked.recipe, "precision": str(precision).removeprefix("torch.")}
        found["parts"][part] = shared | measured(PARTS[part](layout), asked.rounds, device)
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()

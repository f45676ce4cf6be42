"""One run of `encoder-train`: check options, read folders and teacher, train, calibrate, write one file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sketchforge.checkpoints.encoder import (
    calibrate_on_photos,
    encoder_digest,
    load_teacher,
    truncate_encoder,
    write_encoder,
)
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.sources import ImageSource, describe_passed_over, search_images
from sketchforge.models.encoder import COMPACT_BLOCKS, Encoder
from sketchforge.options import EncoderTrainOptions
from sketchforge.utils.device import choose_device, set_threads
from sketchforge.utils.outputs import check_new_file
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun
from trainers.encoder.distill import train_encoder

DEEPEST = "relu4_1"  # the last layer of COMPACT_BLOCKS
MIN_STEPS = sum(map(len, COMPACT_BLOCKS))  # one for each layer
MIN_SIZE = 16  # pixels; below it the deepest map is 1 pixel wide, which cannot be padded by reflection


@dataclass(frozen=True)
class EncoderSummary:
    """The file that `distil` wrote. errors: mean squared error over variance per tap, on images held out."""

    errors: dict[str, float]
    digest: str
    num_bytes: int
    num_images: int
    unreadable: dict[str, int]  # images left out, by reason


class ImageReader:
    """Decodes its image when called, uint8 H×W×3 RGB, and stores why it could not (`failure`)."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self.failure: str | None = None

    def __call__(self) -> np.ndarray:
        try:
            return decode_image(self.source.read()).pixels
        except ImageError as error:
            self.failure = error.reason
            raise


def distil(options: EncoderTrainOptions, progress: Progress) -> EncoderSummary:
    """Distil the teacher into the compact encoder, calibrate it on built-in photos and write it in float16.

    The file's metadata record its origin without any path of this machine. Faults of the options, the folders
    or the teacher raise UsageError or SketchforgeError before training begins. Unreadable images are skipped
    and counted. On any error nothing is written.
    """
    from sketchforge.images.builtin.drawings import load_drawings

    check_options(options)
    device = choose_device(options.device)
    threads = set_threads(options.threads)
    inputs = [search_images(folder) for folder in options.images]
    folders = [[ImageReader(source) for source in images] for images, _ in inputs]
    readers = [reader for folder in folders for reader in folder]
    if len(readers) < 2:
        raise UsageError(
            f"--images {options.images[0]}: found 1 image, expected 2 or more, since one is held out"
        )
    teacher = load_teacher(options.teacher)
    if missing := [tap for tap in Encoder(COMPACT_BLOCKS).tap_names() if tap not in teacher.tap_names()]:
        raise UsageError(
            f"--teacher {options.teacher}: has no layer {missing[0]}, expected all of VGG19's up to {DEEPEST}"
        )
    teacher = truncate_encoder(teacher, [DEEPEST])
    drawings = [np.repeat(drawing[:, :, None], 3, axis=2) for _, drawing in load_drawings(256)]
    name = options.teacher if options.teacher == "vgg19" else Path(options.teacher).name
    progress.note(
        f"{count_noun(len(readers), 'image')} in {count_noun(len(folders), 'folder')}, {len(drawings)} "
        "built-in drawings, "
        f"teacher {name}, {count_noun(options.steps, 'step')} on {device} with "
        f"{count_noun(threads, 'thread')}"
    )
    if line := describe_passed_over(sum((Counter(counts) for _, counts in inputs), Counter())):
        progress.note(line)
    progress.begin("step", options.steps)
    try:
        encoder, errors = train_encoder(
            teacher,
            readers,
            [lambda drawing=drawing: drawing for drawing in drawings],
            steps=options.steps,
            batch_size=options.batch_size,
            size=options.size,
            seed=options.seed,
            device=device,
            progress=progress,
        )
    finally:
        progress.end()
    encoder = calibrate_on_photos(encoder.cpu())
    settings = {key: asdict(options)[key] for key in ("steps", "batch_size", "size", "seed")}
    metadata: dict[str, Any] = settings | {
        "teacher": {"name": name, "sha256": tensors_digest(teacher.state_dict())},
        "images": [
            {
                "folder": label,
                "found": len(folder),
                "unreadable": sum(reader.failure is not None for reader in folder),
            }
            for label, folder in zip(folder_labels(options.images), folders)
        ],
        "drawings": len(drawings),
        "errors": errors,
        "device": device.type,
        "threads": threads,
    }
    write_encoder(options.out, encoder, metadata, torch.float16)
    return EncoderSummary(
        errors,
        encoder_digest(encoder),
        options.out.stat().st_size,
        len(readers),
        dict(Counter(reader.failure for reader in readers if reader.failure)),
    )


def check_options(options: EncoderTrainOptions) -> None:
    """Raise UsageError for impossible values and for an output file that cannot be created."""
    if not options.images:
        raise UsageError("--images: none given, expected one folder or more")
    for flag, value, minimum in (
        ("--steps", options.steps, MIN_STEPS),
        ("--batch-size", options.batch_size, 2),
        ("--size", options.size, MIN_SIZE),
    ):
        if value < minimum:
            raise UsageError(f"{flag} {value}: expected {minimum} or more")
    check_new_file(options.out, "--out", options.overwrite)
    parent = next(folder for folder in options.out.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"--out {options.out}: {parent} is not a folder that can be written to")


def folder_labels(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as many names of parents as make them different.

    Example: a/x/photos, a/y/photos, a/faces -> x/photos, y/photos, faces.
    """
    parts = [folder.resolve().parts for folder in folders]
    names = []
    for folder_parts in parts:
        length = 1
        while (
            length < len(folder_parts)
            and sum(other_parts[-length:] == folder_parts[-length:] for other_parts in set(parts)) > 1
        ):
            length += 1
        names.append("/".join(folder_parts[-length:]))
    return names

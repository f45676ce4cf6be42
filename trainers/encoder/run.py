"""One run of `encoder-train`: check the request, read folders and teacher, train, calibrate, write one file."""

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
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.sources import ImageSource, find_images
from sketchforge.models.encoder import COMPACT_BLOCKS, Encoder
from sketchforge.options import EncoderTrainOptions
from sketchforge.utils.device import choose_device, set_threads
from sketchforge.utils.outputs import check_new_file
from sketchforge.utils.progress import Progress
from trainers.encoder.distill import train_encoder

DEEPEST = "relu4_1"  # the last layer of COMPACT_BLOCKS
MIN_STEPS = sum(map(len, COMPACT_BLOCKS))  # one for every layer
MIN_SIZE = 16  # pixels; below it the deepest layer has a side of 1, which cannot be padded by reflection


@dataclass(frozen=True)
class EncoderSummary:
    """What `distil` wrote. errors: mean squared error over variance per tap, on images held out."""

    errors: dict[str, float]
    digest: str
    num_bytes: int
    num_images: int
    unreadable: dict[str, int]  # images left out, by reason


class ImageReader:
    """Decodes its image when called, uint8 H×W×3 RGB, and remembers why it could not (`failure`)."""

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
    """Train the compact encoder after the teacher and write it, scaled over the built-in photos, in float16.

    The file says where it comes from without naming any path of this machine. Whatever is wrong with the
    options, the folders or the teacher is raised before training begins, as UsageError or SketchforgeError;
    unreadable images are left out and counted. On any error nothing is written.
    """
    from sketchforge.images.builtin.drawings import load_drawings

    check_options(options)
    device = choose_device(options.device)
    threads = set_threads(options.threads)
    folders = [[ImageReader(source) for source in find_images(folder)] for folder in options.images]
    readers = [reader for folder in folders for reader in folder]
    if len(readers) < 2:
        raise UsageError(
            f"--images {options.images[0]}: found 1 image, expected 2 or more, since one is held out"
        )
    teacher = load_teacher(options.teacher)
    if missing := [tap for tap in Encoder(COMPACT_BLOCKS).tap_names() if tap not in teacher.tap_names()]:
        raise SketchforgeError(
            f"--teacher {options.teacher}: has no layer {missing[0]}, expected all of VGG19's up to {DEEPEST}"
        )
    teacher = truncate_encoder(teacher, [DEEPEST])
    drawings = [np.repeat(drawing[:, :, None], 3, axis=2) for _, drawing in load_drawings(256)]
    name = options.teacher if options.teacher == "vgg19" else Path(options.teacher).name
    progress.note(
        f"{len(readers)} images in {len(folders)} folders, {len(drawings)} built-in drawings, "
        f"teacher {name}, {options.steps} steps on {device} with {threads} threads"
    )
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
    """Raise UsageError for values that cannot work, among them an output file that cannot be created."""
    if not options.images:
        raise UsageError("--images: none given, expected one folder or more")
    for flag, value, least in (
        ("--steps", options.steps, MIN_STEPS),
        ("--batch-size", options.batch_size, 2),
        ("--size", options.size, MIN_SIZE),
    ):
        if value < least:
            raise UsageError(f"{flag} {value}: expected {least} or more")
    check_new_file(options.out, "--out", options.overwrite)
    above = next(folder for folder in options.out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"--out {options.out}: {above} is not a folder that can be written to")


def folder_labels(folders: Sequence[Path]) -> list[str]:
    """The folders by their own names, with as many of the names above as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    names = []
    for own in parts:
        length = 1
        while length < len(own) and sum(other[-length:] == own[-length:] for other in set(parts)) > 1:
            length += 1
        names.append("/".join(own[-length:]))
    return names

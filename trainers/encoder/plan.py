"""The plan of the encoder's distillation, made before anything is written."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sketchforge.checkpoints.encoder import load_teacher, truncate_encoder
from sketchforge.checkpoints.runs import check_continues, read_record, read_record_or_empty
from sketchforge.checkpoints.tensor_files import read_metadata, tensors_digest
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.sources import ImageSource, search_images
from sketchforge.models.encoder import COMPACT_BLOCKS, Encoder
from sketchforge.options import EncoderTrainOptions
from sketchforge.utils.files import has_shape
from sketchforge.utils.outputs import check_local, check_new_file
from trainers.changed_ranks import check_shares, keep_ranks_of, note_change
from trainers.distributed import Ranks
from trainers.run_folder import check_state_is_there

RUN_FORMAT, RUN_VERSION = "sketchforge-encoder-run", 1
DEEPEST = "relu4_1"  # the last layer of COMPACT_BLOCKS
MIN_STEPS = sum(map(len, COMPACT_BLOCKS))  # one for each layer
MIN_SIZE = 16  # pixels; below it the deepest map is 1 pixel wide, which cannot be padded by reflection
SETTINGS = ("steps", "batch_size", "size", "seed")  # options that the encoder's file records


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


@dataclass(frozen=True)
class EncoderPlan:
    """The checked inputs of a training, known before anything is written.

    folders: the readers of each folder of --images.
    """

    options: EncoderTrainOptions
    folders: Sequence[Sequence[ImageReader]]
    teacher: Encoder
    device: torch.device
    ranks: Ranks
    record: Mapping[str, Any]  # run.json at the start of training
    found: Mapping[str, Any] | None  # the run.json of an earlier training in `run`
    passed_over: Mapping[str, int]  # what was found beside the images and is not read: kind -> count
    notes: Sequence[str] = ()  # for the user

    @property
    def readers(self) -> list[ImageReader]:
        return [reader for folder in self.folders for reader in folder]

    @property
    def finished(self) -> bool:
        """Whether the file is written, and nothing is left to do but to remove the run folder."""
        is_over = self.found is None or self.steps_done == self.options.steps
        return (
            is_over and not self.options.overwrite and is_written(self.options.out, self.record, self.folders)
        )

    @property
    def steps_done(self) -> int:
        """The steps done according to run.json; 0 where --overwrite discards them."""
        return 0 if self.options.overwrite or not self.found else self.found.get("steps_done", 0)


def run_folder_of(options: EncoderTrainOptions) -> Path:
    """The folder that holds the unfinished training."""
    return options.run or options.out.with_name(f"{options.out.name}.run")


def plan_encoder(options: EncoderTrainOptions) -> EncoderPlan:
    """Check images, teacher, output file and run folder. Writes nothing.

    Raises UsageError or SketchforgeError for whatever is wrong with them.
    """
    run = run_folder_of(options)
    found = (read_record_or_empty if options.overwrite else read_record)(run, RUN_FORMAT, RUN_VERSION)
    ranks = Ranks.from_environment()
    check_shares(options.batch_size, ranks)
    device = ranks.claim_device(options.device)
    threads = ranks.claim_threads(options.threads)
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
    record = {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "options": {
            **{name: asdict(options)[name] for name in SETTINGS},
            "teacher": options.teacher if options.teacher == "vgg19" else Path(options.teacher).name,
            "threads": threads,
            "device": device.type,
        },
        "teacher": tensors_digest(teacher.state_dict()),
        "images": _identify_images(readers),
        # Not compared: a file that may be replaced when a training begins may be replaced when it ends.
        "replaces": options.overwrite or bool((found or {}).get("replaces")),
        "world_size": ranks.world_size,
    }
    begun, notes = None if options.overwrite else found, list[str]()
    if begun:
        record, notes = keep_ranks_of(begun, record), note_change(begun, ranks)
    passed_over = sum((Counter(counts) for _, counts in inputs), Counter())
    plan = EncoderPlan(options, folders, teacher, device, ranks, record, found, passed_over, notes)
    if begun:
        check_continues(run, begun, record)
    if not plan.finished:
        check_new_file(options.out, "--out", bool(record["replaces"]))
        if not options.overwrite:
            check_state_is_there(run, found)
    return plan


def is_written(out: Path, record: Mapping[str, Any], folders: Sequence[Sequence[ImageReader]]) -> bool:
    """Whether the file `out` is the encoder that the run of `record` makes of so many images in each folder."""
    try:
        metadata = read_metadata(out)
    except SketchforgeError:
        return False
    names = (*SETTINGS, "threads", "device")
    teacher = {"name": record["options"]["teacher"], "sha256": record["teacher"]}
    images = metadata.get("images")
    found = [entry["found"] for entry in images or ()] if has_shape(images, [{"found": int}]) else None
    return (
        metadata.get("teacher") == teacher
        and found == [len(readers) for readers in folders]
        and all(metadata.get(name) == record["options"][name] for name in names)
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
    check_local(options.out, "--out")
    if options.out.is_dir():
        raise UsageError(f"{options.out}: is a folder; name a file as --out")
    parent = next(folder for folder in options.out.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"--out {options.out}: {parent} is not a folder that can be written to")


def _identify_images(readers: Sequence[ImageReader]) -> dict[str, Any]:
    """The entry of run.json that identifies the images by their keys and sizes."""
    lines = [f"{reader.source.key} {reader.source.image.num_bytes}" for reader in readers]
    return {"count": len(lines), "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def folder_labels(folders: Sequence[str | Path]) -> list[str]:
    """The folders' names, with as many names of parents as make them different.

    Example: a/x/photos, a/y/photos, a/faces -> x/photos, y/photos, faces.
    """
    parts = [Path(folder).resolve().parts for folder in folders]
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

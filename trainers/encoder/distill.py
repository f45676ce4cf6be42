"""Distil a VGG-shaped teacher into the compact encoder (Hinton et al. 2015; hints after Romero et al. 2015).

Plain gradient descent barely moves the first layers: neighbouring pixels are so alike that the regression of
a VGG layer's output on its 3x3 patches has a condition number in the thousands, and all later layers magnify
an error in one layer. Two measures help; both are exact and folded into plain weights at the end:
1. Each layer's patches are whitened, W = V·P with P the inverse square root of the patch covariance, so that
   Adam on V sees a well-conditioned problem.
2. The layers are trained in depth order, each from random weights on its finished predecessors, before all
   are trained together.

The student can match a teacher of its own widths, padding and input exactly, and nearly does: it then
computes the teacher's function. It approximates a wider teacher.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.checkpoints.run_log import RunLog
from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import ImageError
from sketchforge.images.tensors import to_tensor
from sketchforge.models.encoder import Encoder
from sketchforge.utils.files import has_shape
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun
from trainers.agreement import check_start, lost_ranks_explained
from trainers.crops import CropSampler, Prefetch
from trainers.distributed import Ranks
from trainers.encoder.step import DistillTrainer
from trainers.encoder.student import preactivations
from trainers.loop import Progressed, train
from trainers.run_folder import LOG_FILE, RunFolder
from trainers.state import broadcast_modules

HELD_OUT = 20  # one image in 20 is held out
MEASURED_CROPS = 512  # of held-out images, at most


def train_encoder(
    teacher: Encoder,
    readers: Sequence[Callable[[], np.ndarray]],
    drawings: Sequence[Callable[[], np.ndarray]],
    *,
    steps: int,
    batch_size: int,
    size: int,
    seed: int,
    device: torch.device,
    progress: Progress,
    folder: RunFolder | None = None,
    ranks: Ranks = Ranks(),
) -> tuple[Encoder, dict[str, float]] | None:
    """Train the compact encoder; return it with the error per tap on held-out images.

    readers, drawings: functions that return uint8 H×W×3 RGB, or raise ImageError. One crop in eight is a
    drawing, for TOM compares drawings. One image in twenty is held out.
    progress: shows the loss of every step, and which layer learns.
    folder: where the state is kept and a log is written; training goes on from the state there. None: nowhere.
    ranks: share every batch, which they divide evenly; rank 0 returns the encoder, the others None.
    Errors are mean squared error over variance, in the teacher's features where the widths agree, else after
    a linear map. float16 holds the encoder's float32 weights exactly. Raises SketchforgeError when no image
    can be read, FloatingPointError when the loss is not finite.
    """
    train_readers, held_out_crops = split(readers, size, seed)
    photos = CropSampler(train_readers, size, seed, "encoder photos", zoom=2.0)
    line_drawings = CropSampler(drawings, size, seed, "encoder drawings", zoom=2.0)
    num_drawings = max(batch_size // 8, 1)

    num_photos = batch_size - num_drawings

    def make_rows(step: int, rows: Iterable[int]) -> Tensor:
        """These rows of a batch, whose last ones are drawings."""
        crops = [
            photos.crop(step * num_photos + row)
            if row < num_photos
            else line_drawings.crop(step * num_drawings + row - num_photos)
            for row in rows
        ]
        return torch.cat([to_tensor(crop) for crop in crops])

    def make_batch(step: int) -> Tensor:
        return make_rows(step, ranks.rows_of(batch_size))

    # Crops of later steps, which training never takes.
    probe = torch.cat([make_rows(steps + i, range(batch_size)) for i in range(8)])
    trainer = DistillTrainer(teacher, probe, steps, seed, device, ranks)
    layer_progress = _LayerProgress(progress, trainer)
    if folder is None:
        with closing(_prefetch_batches(make_batch, 0, steps)) as batches:
            train(trainer, batches, Progressed(), steps, progress=layer_progress)
    else:
        _train_in_folder(trainer, make_batch, steps, photos, folder, layer_progress)
    if not ranks.is_main_process:
        return None
    encoder = trainer.student.fold()
    if not all(tensor.isfinite().all() for tensor in encoder.state_dict().values()):
        raise SketchforgeError(
            "encoder-train: a weight exceeds what float16 holds; nothing was written; try another --seed"
        )
    return encoder, tap_errors(encoder, trainer.teacher, trainer.heads, held_out_crops)


def _train_in_folder(
    trainer: DistillTrainer,
    make_batch: Callable[[int], Tensor],
    steps: int,
    photos: CropSampler,
    folder: RunFolder,
    progress: Progress,
) -> None:
    def load_extra(extra: Mapping[str, Any]) -> None:
        trainer.load_extra(extra)
        if not has_shape(extra["unreadable"], [int]):
            raise ValueError("its unreadable images are none")
        note_unreadable(extra["unreadable"])

    def note_unreadable(indices: Iterable[int]) -> None:
        for index in indices:  # tried again, so that their readers know why
            try:
                photos.readers[index]()
            except ImageError:
                photos.unreadable.add(index)

    def save(done: Progressed) -> None:
        folder.save(
            done, trainer.stateful(), trainer.extra() | {"unreadable": sorted(photos.unreadable.copy())}
        )

    ranks, run = trainer.ranks, folder.path
    with lost_ranks_explained(run):
        ranks.barrier(trainer.device)
        if ranks.is_main_process:
            folder.begin()
        ranks.barrier(trainer.device)
        start = folder.restore(trainer.stateful(), trainer.device, steps, load_extra)
        check_start(ranks, run, start)
        broadcast_modules(ranks, trainer.stateful())
        with closing(_prefetch_batches(make_batch, start.step, steps)) as batches:
            take_steps = partial(train, trainer, batches, start, steps, meet=ranks.meet, progress=progress)
            if ranks.is_main_process:
                with closing(RunLog(run / LOG_FILE, start.step, start.evaluation_due)) as log:
                    take_steps(log=log.write, save=save)
            else:
                take_steps()
        everywhere = ranks.union(photos.unreadable, len(photos.readers))
        ranks.shutdown()
    note_unreadable(everywhere - photos.unreadable)


def _prefetch_batches(
    make_batch: Callable[[int], Tensor], start: int, steps: int
) -> Generator[Tensor, None, None]:
    """The batches of the steps from `start` on; each is prepared during the step before."""
    prefetch = Prefetch(make_batch)
    try:
        for step in range(start, steps):
            yield prefetch.get((step,), (step + 1,))
    finally:
        prefetch.close()


class _LayerProgress(Progress):
    """Shows beside a step's loss which layer learns."""

    def __init__(self, progress: Progress, trainer: DistillTrainer) -> None:
        self._progress, self._trainer = progress, trainer
        self.begin, self.note, self.end = progress.begin, progress.note, progress.end  # type: ignore[method-assign]

    def advance(self, **figures: float | str) -> None:
        self._progress.advance(**figures, layer=f"layer {self._trainer.phase}")


def split(readers: Sequence[Callable[[], np.ndarray]], size: int, seed: int) -> tuple[list[Any], Tensor]:
    """(readers to train on, crops of the held-out ones): every HELD_OUT-th image is held out.

    The first such series that can be read is used: two crops of each image, 16 to MEASURED_CROPS in all.
    Raises SketchforgeError when no image can be read.
    """
    for first in range(min(HELD_OUT, len(readers))):
        held_out = readers[first::HELD_OUT]
        crops = CropSampler(held_out, size, seed, "encoder held out", zoom=2.0)
        try:
            held_out_crops = crops.batch(0, min(max(2 * len(held_out), 16), MEASURED_CROPS))
        except SketchforgeError:
            continue
        return [reader for i, reader in enumerate(readers) if i % HELD_OUT != first], held_out_crops
    raise SketchforgeError(f"--images: none of {count_noun(len(readers), 'image')} can be read")


@torch.no_grad()
def tap_errors(encoder: Encoder, teacher: Encoder, heads: nn.ModuleDict, images: Tensor) -> dict[str, float]:
    """Mean squared error over variance of every ReLU tap (0: perfect, 1: as a constant); images (B,3,H,W)."""
    device = next(teacher.parameters()).device
    encoder = encoder.to(device)
    layers = list(encoder.convs)
    count = 0
    error, total, square = (
        defaultdict[str, Any](float),
        defaultdict[str, Any](float),
        defaultdict[str, Any](float),
    )
    for batch in images.split(32):
        teacher_outputs = preactivations(teacher, batch.to(device), layers[-1])
        student_outputs = preactivations(encoder, batch.to(device))
        for name in layers:
            target = F.relu(teacher_outputs[name]).cpu().double()  # Apple's GPUs have no float64
            # Every image has the same weight at every tap, so the number of pixels cancels.
            error[name] += (
                (heads[name](F.relu(student_outputs[name])).cpu() - target).square().mean(dim=(2, 3)).sum(0)
            )
            total[name] += target.mean(dim=(2, 3)).sum(0)
            square[name] += target.square().mean(dim=(2, 3)).sum(0)
        count += len(batch)
    variance = {name: (square[name] / count - (total[name] / count).square()).sum() for name in layers}
    return {
        name.replace("conv", "relu"): float(error[name].sum() / count / variance[name]) for name in layers
    }

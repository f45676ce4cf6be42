"""Distil a VGG-shaped teacher into the compact encoder (Hinton et al. 2015; hints after Romero et al. 2015).

Order of this file: training (data, student, layer by layer, all layers together, report), then its parts.

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

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.errors import SketchforgeError
from sketchforge.models.encoder import COMPACT_BLOCKS, Encoder, freeze
from sketchforge.utils.progress import Progress
from sketchforge.utils.seeding import torch_generator
from sketchforge.utils.text import count_noun
from trainers.crops import CropSampler, Prefetch
from trainers.encoder.whitening import Head, WhitenedConv
from trainers.optimization import cosine_decay, set_learning_rate, total_of

LAYERWISE_SHARE = 0.5  # of the steps; the rest trains all layers together
HELD_OUT = 20  # one image in 20 is held out
MEASURED_CROPS = 512  # of held-out images, at most
LEARNING_RATE = 2e-2  # of Adam, while one layer is trained
TOGETHER_LEARNING_RATE = 1e-3  # of Adam, while all layers are trained


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
) -> tuple[Encoder, dict[str, float]]:
    """Train the compact encoder; return it with the error per tap on held-out images.

    readers, drawings: functions that return uint8 H×W×3 RGB, or raise ImageError. One crop in eight is a
    drawing, for TOM compares drawings. One image in twenty is held out.
    progress: shows the loss of every step, and which layer learns.
    Errors are mean squared error over variance, in the teacher's features where the widths agree, else after
    a linear map. float16 holds the encoder's float32 weights exactly. Raises SketchforgeError when no image
    can be read or the loss is not finite.
    """
    train_readers, held_out_crops = split(readers, size, seed)
    photos = CropSampler(train_readers, size, seed, "encoder photos", zoom=2.0)
    line_drawings = CropSampler(drawings, size, seed, "encoder drawings", zoom=2.0)
    num_drawings = max(batch_size // 8, 1)

    def make_batch(step: int) -> Tensor:
        return torch.cat(
            [photos.batch(step, batch_size - num_drawings), line_drawings.batch(step, num_drawings)]
        )

    teacher = freeze(teacher).to(device)
    student = _Student(torch_generator(seed, "encoder init")).to(device)
    layers = list(student.convs)
    # Crops of later steps, which training never takes.
    probe = torch.cat([make_batch(steps + i) for i in range(8)]).to(device)
    with torch.no_grad():
        reference = preactivations(teacher, probe, layers[-1])
    variances, heads = {}, nn.ModuleDict()
    for name, target in reference.items():
        conv = student.convs[name]
        same_width = conv.b.numel() == target.shape[1]
        target_values = target if same_width else F.relu(target)
        heads[name] = nn.Identity() if same_width else Head(conv.b.numel(), target_values)
        variances[name] = target_values.var(dim=(0, 2, 3), keepdim=True)
    heads.to(device)

    def layer_loss(name: str, student_output: Tensor, teacher_output: Tensor) -> Tensor:
        """Squared error over variance per channel; the variance has a floor, for the sake of faint channels.

        Equal widths are compared before the ReLU, where the problem is convex and no channel can die. A wider
        teacher is compared after the ReLU, through the 1x1 head, for the student's taps offer the values
        there.
        """
        if isinstance(heads[name], nn.Identity):
            difference = student_output - teacher_output
        else:
            difference = heads[name](F.relu(student_output)) - F.relu(teacher_output)
        variance = variances[name]
        return (difference.square() / (variance + 0.01 * variance.mean())).mean()

    batches = Prefetch(make_batch)
    steps_per_layer = max(int(steps * LAYERWISE_SHARE) // len(layers), 1)
    step = 0

    def update(loss: Tensor, optimizer: torch.optim.Optimizer, lr: float, phase: str) -> None:
        nonlocal step
        if not torch.isfinite(loss):
            raise SketchforgeError(
                f"encoder-train: the loss became {loss.item()} at step {step} ({phase}); "
                "nothing was written; try another --seed or fewer --steps"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        set_learning_rate(optimizer, lr)
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
        optimizer.step()
        step += 1
        progress.advance(loss=float(loss.detach()), layer=f"layer {phase}")

    rng = torch_generator(seed, "whitening")
    try:
        for name in layers:
            same_width = isinstance(heads[name], nn.Identity)
            inputs, target = student.inputs_of(name, probe), reference.pop(name)
            student.convs[name].start(inputs, target if same_width else None, rng)
            if not same_width:
                with torch.no_grad():
                    heads[name].start(F.relu(student.convs[name](inputs)), F.relu(target))
            parameters = [*student.convs[name].parameters(), *heads[name].parameters()]
            optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99))
            for i in range(steps_per_layer):
                images = batches.get((step,), (step + 1,)).to(device)
                with torch.no_grad():
                    inputs = student.inputs_of(name, images)
                    target = preactivations(teacher, images, name)[name]
                loss = layer_loss(name, student.convs[name](inputs), target)
                update(loss, optimizer, LEARNING_RATE * cosine_decay(i, steps_per_layer), name)
        optimizer = torch.optim.Adam(
            [*student.parameters(), *heads.parameters()], lr=TOGETHER_LEARNING_RATE, betas=(0.9, 0.99)
        )
        steps_left = max(steps - step, 0)
        for i in range(steps_left):
            images = batches.get((step,), (step + 1,)).to(device)
            with torch.no_grad():
                targets = preactivations(teacher, images, layers[-1])
            outputs = student(images)
            loss = total_of(layer_loss(name, outputs[name], targets[name]) for name in layers)
            warm_up = min(1.0, (i + 1) / 50)
            update(loss, optimizer, TOGETHER_LEARNING_RATE * warm_up * cosine_decay(i, steps_left), "all")
    finally:
        batches.close()

    encoder = student.fold()
    if not all(tensor.isfinite().all() for tensor in encoder.state_dict().values()):
        raise SketchforgeError(
            "encoder-train: a weight exceeds what float16 holds; nothing was written; try another --seed"
        )
    return encoder, tap_errors(encoder, teacher, heads, held_out_crops)


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


class _Student(nn.Module):
    """The compact encoder during training: the same convolutions in whitened coordinates."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.convs = nn.ModuleDict()
        channels = 3
        for name, conv in Encoder(COMPACT_BLOCKS).convs.items():
            self.convs[name] = WhitenedConv(channels, conv.out_channels, rng)
            channels = conv.out_channels

    def forward(self, images: Tensor, until: str | None = None) -> dict[str, Tensor]:
        """Outputs of every convolution before its ReLU, up to `until`."""
        outputs, x = {}, (images + 1) / 2
        for name in self.convs:
            if name.endswith("_1") and outputs:
                x = F.max_pool2d(x, 2)
            outputs[name] = self.convs[name](x)
            if name == until:
                break
            x = F.relu(outputs[name])
        return outputs

    @torch.no_grad()
    def inputs_of(self, name: str, images: Tensor) -> Tensor:
        """The inputs of the convolution `name`, for images (B,3,H,W) in [-1, 1]."""
        x = (images + 1) / 2
        for conv_name, conv in self.convs.items():
            if conv_name.endswith("_1") and conv_name != "conv1_1":
                x = F.max_pool2d(x, 2)
            if conv_name == name:
                return x
            x = F.relu(conv(x))
        raise ValueError(f"no convolution {name!r}")

    @torch.no_grad()
    def fold(self) -> Encoder:
        """The plain encoder, rounded to float16 values, so that the measured and written weights agree."""
        encoder = Encoder(COMPACT_BLOCKS)
        for name, conv in encoder.convs.items():
            weight, bias = self.convs[name].fold()
            conv.weight.copy_(weight.half())
            conv.bias.copy_(bias.half())
        return freeze(encoder)


def preactivations(encoder: Encoder, images: Tensor, until: str | None = None) -> dict[str, Tensor]:
    """(B,3,H,W) in [-1, 1] -> {conv name: (B,C,h,w) before the ReLU} of a plain encoder, up to `until`."""
    x = (images + 1) / 2
    if encoder.input_range == "imagenet":
        x = (x - encoder.mean) / encoder.std
    outputs: dict[str, Tensor] = {}
    for name, conv in encoder.convs.items():
        if name.endswith("_1") and outputs:
            x = F.max_pool2d(x, 2)
        outputs[name] = conv(x)
        if name == until:
            break
        x = F.relu(outputs[name])
    return outputs


@torch.no_grad()
def tap_errors(encoder: Encoder, teacher: Encoder, heads: nn.ModuleDict, images: Tensor) -> dict[str, float]:
    """Mean squared error over variance of every ReLU tap (0: perfect, 1: as a constant); images (B,3,H,W)."""
    device = next(teacher.parameters()).device
    encoder = encoder.to(device)
    layers = list(encoder.convs)
    count, error, total, square = 0, Counter(), Counter(), Counter()
    for batch in images.split(32):
        teacher_outputs = preactivations(teacher, batch.to(device), layers[-1])
        student_outputs = preactivations(encoder, batch.to(device))
        for name in layers:
            target = F.relu(teacher_outputs[name]).double()
            # Every image has the same weight at every tap, so the number of pixels cancels.
            error[name] += (
                (heads[name](F.relu(student_outputs[name])) - target).square().mean(dim=(2, 3)).sum(0)
            )
            total[name] += target.mean(dim=(2, 3)).sum(0)
            square[name] += target.square().mean(dim=(2, 3)).sum(0)
        count += len(batch)
    variance = {name: (square[name] / count - (total[name] / count).square()).sum() for name in layers}
    return {
        name.replace("conv", "relu"): float(error[name].sum() / count / variance[name]) for name in layers
    }

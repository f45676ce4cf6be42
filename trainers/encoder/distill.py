"""Distil a VGG-shaped teacher into the compact encoder (Hinton et al. 2015; hints after Romero et al. 2015).

Read top to bottom: data, student, layer by layer, all layers together, report.

Plain gradient descent barely moves the first layers: neighbouring pixels are so alike that the regression of
a VGG layer's output on its 3x3 patches has a condition number in the thousands, and an error in one layer is
magnified by all that follow. Two measures, both exact and folded away at the end: each layer's patches are
whitened, W = V·P with P the inverse square root of the patch covariance, so that Adam on V sees a
well-conditioned problem; and the layers are trained in depth order, each from random weights on its finished
predecessors, before all are trained together.

A teacher of the student's own widths, padding and input can be matched exactly, and nearly is: the student
then comes to compute the teacher's function. A wider teacher is approximated.
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
from trainers.crops import CropSampler, Prefetch
from trainers.encoder.whitening import Head, WhitenedConv
from trainers.optimization import cosine_decay, set_learning_rate, total_of

LAYERWISE_SHARE = 0.5  # of the steps; the rest trains all layers together
HELD_OUT = 20  # one image in so many
MEASURED_CROPS = 512  # of held-out images, at most
LEARNING_RATE = 2e-2  # Adam's, while one layer is trained; all together:
TOGETHER_LEARNING_RATE = 1e-3


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
    """Train the compact encoder and return it with the error per tap on images it never saw.

    readers, drawings: functions giving uint8 H×W×3 RGB, or raising ImageError; one crop in eight is a
    drawing, for TOM judges drawings. One image in twenty is held out. Errors are mean squared error over
    variance, in the teacher's features where the widths agree, else after a linear map. The encoder's float32
    weights are values that float16 holds. progress is told the loss of every step, and which layer learns. Raises SketchforgeError
    when no image can be read or the loss is not finite.
    """
    seen, unseen = split(readers, size, seed)
    photos = CropSampler(seen, size, seed, "encoder photos", zoom=2.0)
    lines = CropSampler(drawings, size, seed, "encoder drawings", zoom=2.0)
    num_lines = max(batch_size // 8, 1)

    def make(step: int) -> Tensor:
        return torch.cat([photos.batch(step, batch_size - num_lines), lines.batch(step, num_lines)])

    teacher = freeze(teacher).to(device)
    student = _Student(torch_generator(seed, "encoder init")).to(device)
    layers = list(student.convs)
    # Crops that training itself never takes.
    probe = torch.cat([make(steps + i) for i in range(8)]).to(device)
    with torch.no_grad():
        reference = preactivations(teacher, probe, layers[-1])
    variances, heads = {}, nn.ModuleDict()
    for name, target in reference.items():
        conv = student.convs[name]
        same_width = conv.b.numel() == target.shape[1]
        compared = target if same_width else F.relu(target)
        heads[name] = nn.Identity() if same_width else Head(conv.b.numel(), compared)
        variances[name] = compared.var(dim=(0, 2, 3), keepdim=True)
    heads.to(device)

    def layer_loss(name: str, ours: Tensor, theirs: Tensor) -> Tensor:
        """Squared error over variance per channel; faint channels are not blown up without bound.

        Equal widths are compared before the ReLU, where the problem is convex and no channel can die; a wider
        teacher is compared after it, through the 1x1 head, for that is what the student's taps will offer.
        """
        if isinstance(heads[name], nn.Identity):
            difference = ours - theirs
        else:
            difference = heads[name](F.relu(ours)) - F.relu(theirs)
        variance = variances[name]
        return (difference.square() / (variance + 0.01 * variance.mean())).mean()

    batches = Prefetch(make)
    per_layer = max(int(steps * LAYERWISE_SHARE) // len(layers), 1)
    step = 0

    def take(loss: Tensor, optimizer: torch.optim.Optimizer, lr: float, phase: str) -> None:
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

    generator = torch_generator(seed, "whitening")
    try:
        for name in layers:
            same_width = isinstance(heads[name], nn.Identity)
            inputs, target = student.inputs_of(name, probe), reference.pop(name)
            student.convs[name].start(inputs, target if same_width else None, generator)
            if not same_width:
                with torch.no_grad():
                    heads[name].start(F.relu(student.convs[name](inputs)), F.relu(target))
            trained = [*student.convs[name].parameters(), *heads[name].parameters()]
            optimizer = torch.optim.Adam(trained, betas=(0.9, 0.99))
            for i in range(per_layer):
                images = batches.get((step,), (step + 1,)).to(device)
                with torch.no_grad():
                    inputs = student.inputs_of(name, images)
                    target = preactivations(teacher, images, name)[name]
                loss = layer_loss(name, student.convs[name](inputs), target)
                take(loss, optimizer, LEARNING_RATE * cosine_decay(i, per_layer), name)
        optimizer = torch.optim.Adam(
            [*student.parameters(), *heads.parameters()], lr=TOGETHER_LEARNING_RATE, betas=(0.9, 0.99)
        )
        together = max(steps - step, 0)
        for i in range(together):
            images = batches.get((step,), (step + 1,)).to(device)
            with torch.no_grad():
                targets = preactivations(teacher, images, layers[-1])
            outputs = student(images)
            loss = total_of(layer_loss(name, outputs[name], targets[name]) for name in layers)
            warmed_up = min(1.0, (i + 1) / 50)
            take(loss, optimizer, TOGETHER_LEARNING_RATE * warmed_up * cosine_decay(i, together), "all")
    finally:
        batches.close()

    encoder = student.folded()
    if not all(tensor.isfinite().all() for tensor in encoder.state_dict().values()):
        raise SketchforgeError(
            "encoder-train: a weight exceeds what float16 holds; nothing was written; try another --seed"
        )
    return encoder, tap_errors(encoder, teacher, heads, unseen)


def split(readers: Sequence[Callable[[], np.ndarray]], size: int, seed: int) -> tuple[list[Any], Tensor]:
    """(readers to train on, crops of the held-out ones): every HELD_OUT-th image is held out.

    Two crops of each are taken, 16 to MEASURED_CROPS in all, of the first such series that can be read.
    """
    for first in range(min(HELD_OUT, len(readers))):
        held_out = readers[first::HELD_OUT]
        crops = CropSampler(held_out, size, seed, "encoder held out", zoom=2.0)
        try:
            unseen = crops.batch(0, min(max(2 * len(held_out), 16), MEASURED_CROPS))
        except SketchforgeError:
            continue
        return [reader for i, reader in enumerate(readers) if i % HELD_OUT != first], unseen
    raise SketchforgeError(f"--images: none of the {len(readers)} images can be read")


class _Student(nn.Module):
    """The compact encoder while it is being trained: the same convolutions in whitened coordinates."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.convs = nn.ModuleDict()
        channels = 3
        for name, conv in Encoder(COMPACT_BLOCKS).convs.items():
            self.convs[name] = WhitenedConv(channels, conv.out_channels, generator)
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
        """What the convolution `name` is fed."""
        x = (images + 1) / 2
        for other, conv in self.convs.items():
            if other.endswith("_1") and other != "conv1_1":
                x = F.max_pool2d(x, 2)
            if other == name:
                return x
            x = F.relu(conv(x))
        raise ValueError(f"no convolution {name!r}")

    @torch.no_grad()
    def folded(self) -> Encoder:
        """The plain encoder, rounded to what float16 holds: what is measured is what is written."""
        encoder = Encoder(COMPACT_BLOCKS)
        for name, conv in encoder.convs.items():
            weight, bias = self.convs[name].folded()
            conv.weight.copy_(weight.half())
            conv.bias.copy_(bias.half())
        return freeze(encoder)


def preactivations(encoder: Encoder, images: Tensor, until: str | None = None) -> dict[str, Tensor]:
    """{conv name: (B,C,h,w) before the ReLU} up to `until`, of an ordinary encoder."""
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
    """Mean squared error over variance of every ReLU tap (0 perfect, 1 a constant's); images (B,3,H,W)."""
    device = next(teacher.parameters()).device
    encoder = encoder.to(device)
    layers = list(encoder.convs)
    count, error, total, square = 0, Counter(), Counter(), Counter()
    for batch in images.split(32):
        theirs = preactivations(teacher, batch.to(device), layers[-1])
        ours = preactivations(encoder, batch.to(device))
        for name in layers:
            target = F.relu(theirs[name]).double()
            # Every image weighs the same at every tap, so the number of pixels cancels.
            error[name] += (heads[name](F.relu(ours[name])) - target).square().mean(dim=(2, 3)).sum(0)
            total[name] += target.mean(dim=(2, 3)).sum(0)
            square[name] += target.square().mean(dim=(2, 3)).sum(0)
        count += len(batch)
    variance = {name: (square[name] / count - (total[name] / count).square()).sum() for name in layers}
    return {
        name.replace("conv", "relu"): float(error[name].sum() / count / variance[name]) for name in layers
    }

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

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.checkpoint import digest_of
from sketchforge.device import choose_device, set_threads
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images import ImageError, decode_image
from sketchforge.models.encoder import COMPACT_BLOCKS, Encoder, freeze
from sketchforge.options import EncoderTrainOptions
from sketchforge.seeding import torch_generator
from sketchforge.sources import ImageSource, find_images
from sketchforge.weights import calibrated_on_photos, encoder_digest, load_teacher, truncated, write_encoder
from trainers.crops import CropSampler, Prefetch

DEEPEST = "relu4_1"  # the last layer of COMPACT_BLOCKS
MIN_STEPS = sum(map(len, COMPACT_BLOCKS))  # one for every layer
MIN_SIZE = 16  # pixels; below it the deepest layer has a side of 1, which cannot be padded by reflection
LAYERWISE_SHARE = 0.5  # of the steps; the rest trains all layers together
HELD_OUT = 20  # one image in so many
MEASURED_CROPS = 512  # of held-out images, at most
RATE = 2e-2  # Adam's, while one layer is trained
RIDGE = 0.1  # of least squares, times weights per sample
FITTED_SAMPLES = 50_000  # patches, or positions, for statistics and for a head's least squares
WHITENING_FLOOR = 1e-3  # smallest eigenvalue kept, as a share of the mean one


class Progress(Protocol):
    """Who wants to know how the training goes."""

    def begin(self, description: str, steps: int) -> None: ...

    def step(self, loss: float, phase: str) -> None: ...

    def end(self) -> None: ...


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
    from sketchforge.samples.drawings import load_drawings

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
    teacher = truncated(teacher, [DEEPEST])
    drawings = [np.repeat(drawing[:, :, None], 3, axis=2) for _, drawing in load_drawings(256)]
    name = options.teacher if options.teacher == "vgg19" else Path(options.teacher).name
    progress.begin(
        f"{len(readers)} images in {len(folders)} folders, {len(drawings)} built-in drawings, "
        f"teacher {name}, {options.steps} steps on {device} with {threads} threads",
        options.steps,
    )
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
            on_step=lambda _, loss, phase: progress.step(loss, phase),
        )
    finally:
        progress.end()
    encoder = calibrated_on_photos(encoder.cpu())
    settings = {key: asdict(options)[key] for key in ("steps", "batch_size", "size", "seed")}
    about: dict[str, Any] = settings | {
        "teacher": {"name": name, "sha256": digest_of(teacher.state_dict())},
        "images": [
            {
                "folder": label,
                "found": len(folder),
                "unreadable": sum(reader.failure is not None for reader in folder),
            }
            for label, folder in zip(short_names(options.images), folders)
        ],
        "drawings": len(drawings),
        "errors": errors,
        "device": device.type,
        "threads": threads,
    }
    write_encoder(options.out, encoder, about, torch.float16)
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
    if options.out.is_dir():
        raise UsageError(f"--out {options.out}: is a folder, expected a file to write")
    above = next(folder for folder in options.out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"--out {options.out}: {above} is not a folder that can be written to")


def short_names(folders: Sequence[Path]) -> list[str]:
    """The folders by their own names, with as many of the names above as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    names = []
    for own in parts:
        length = 1
        while length < len(own) and sum(other[-length:] == own[-length:] for other in set(parts)) > 1:
            length += 1
        names.append("/".join(own[-length:]))
    return names


def least_squares(inputs: Tensor, targets: Tensor) -> Tensor:
    """(N,P) and (N,K), centred, float64 -> the (K,P) that maps the ones to the others.

    Few samples for many weights would be fitted exactly, noise and all; the ridge grows with that risk.
    """
    count, width = inputs.shape
    ridge = RIDGE * width / count * torch.eye(width, dtype=inputs.dtype)
    return torch.linalg.solve(inputs.T @ inputs / count + ridge, inputs.T @ targets / count).T


class WhitenedConv(nn.Module):
    """Reflect-padded 3x3 convolution (B,C,H,W) -> (B,K,H,W), its weights learned in whitened coordinates."""

    def __init__(self, in_channels: int, out_channels: int, generator: torch.Generator) -> None:
        super().__init__()
        patch = in_channels * 9
        self.in_channels = in_channels
        self.v = nn.Parameter(torch.randn(out_channels, patch, generator=generator) / patch**0.5)
        self.b = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("gain", torch.ones(out_channels, 1))
        self.register_buffer("whitener", torch.eye(patch))
        self.register_buffer("centre", torch.zeros(patch))

    def folded(self) -> tuple[Tensor, Tensor]:
        """The plain convolution's weight (K,C,3,3) and bias (K)."""
        weight = self.gain * (self.v @ self.whitener)
        return weight.view(-1, self.in_channels, 3, 3), self.gain[:, 0] * self.b - weight @ self.centre

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.folded()
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias)

    @torch.no_grad()
    def start(self, x: Tensor, target: Tensor | None, generator: torch.Generator) -> None:
        """Take the patch statistics of x (B,C,H,W), the finished features this layer will be fed; done once.

        Where a target (B,K,H,W) of equal width is known, begin at its channel means and measure in its channel
        deviations, so that one learning rate suits channels whose sizes differ a hundredfold.
        """
        count, _, height, width = x.shape
        chosen = torch.randperm(count * height * width, generator=generator)[:FITTED_SAMPLES].to(x.device)
        image, top, left = chosen // (height * width), chosen // width % height, chosen % width
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        pixels = [padded[image, :, top + row, left + column] for row in range(3) for column in range(3)]
        patches = torch.stack(pixels, dim=2).flatten(1).double().cpu()  # (N, C*9), in the weights' order
        centre = patches.mean(0)
        patches -= centre
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        values = values.clamp_min(0) + WHITENING_FLOOR * values.mean() + 1e-12
        self.whitener.copy_((vectors * values.rsqrt()) @ vectors.T)
        self.centre.copy_(centre)
        if target is not None:
            wanted = target[image, :, top, left].double().cpu()
            mean, deviation = wanted.mean(0), wanted.std(0).clamp_min(1e-6)
            self.gain.copy_(deviation[:, None])
            self.b.copy_(mean / deviation)


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
    on_step: Callable[[int, float, str], None],
) -> tuple[Encoder, dict[str, float]]:
    """Train the compact encoder and return it with the error per tap on images it never saw.

    readers, drawings: functions giving uint8 H×W×3 RGB, or raising ImageError; one crop in eight is a
    drawing, for TOM judges drawings. One image in twenty is held out. Errors are mean squared error over
    variance, in the teacher's features where the widths agree, else after a linear map. The encoder's float32
    weights are values that float16 holds. on_step(step, loss, phase) is called after every step. Raises
    SketchforgeError when no image can be read or the loss is not finite.
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
        heads[name] = nn.Identity() if same_width else _Head(conv.b.numel(), compared)
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

    def take(loss: Tensor, optimizer: torch.optim.Optimizer, rate: float, phase: str) -> None:
        nonlocal step
        if not torch.isfinite(loss):
            raise SketchforgeError(
                f"encoder-train: the loss became {loss.item()} at step {step} ({phase}); "
                "nothing was written; try another --seed or fewer --steps"
            )
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
        optimizer.step()
        step += 1
        on_step(step, float(loss.detach()), phase)

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
                take(loss, optimizer, RATE * _cosine(i, per_layer), name)
        optimizer = torch.optim.Adam([*student.parameters(), *heads.parameters()], lr=1e-3, betas=(0.9, 0.99))
        together = max(steps - step, 0)
        for i in range(together):
            images = batches.get((step,), (step + 1,)).to(device)
            with torch.no_grad():
                targets = preactivations(teacher, images, layers[-1])
            outputs = student(images)
            loss = sum(layer_loss(name, outputs[name], targets[name]) for name in layers)
            take(loss, optimizer, 1e-3 * min(1.0, (i + 1) / 50) * _cosine(i, together), "all")
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


class _Head(nn.Module):
    """The linear map from our channels (B,C,H,W) to a teacher's of another number, needed in training only.

    It measures in the target's channel deviations, as `WhitenedConv` does.
    """

    def __init__(self, channels: int, target: Tensor) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.zeros(target.shape[1], channels))
        self.b = nn.Parameter(torch.zeros(target.shape[1]))
        self.register_buffer("deviation", target.std(dim=(0, 2, 3))[:, None, None])
        self.register_buffer("mean", target.mean(dim=(0, 2, 3))[:, None, None])
        self.register_buffer("centre", torch.zeros(channels, 1, 1))
        self.register_buffer("size", torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        normalised = F.conv2d((x - self.centre) / self.size, self.v[:, :, None, None], self.b)
        return self.deviation * normalised + self.mean

    @torch.no_grad()
    def start(self, x: Tensor, target: Tensor) -> None:
        """Begin with the least-squares map from x (B,C,H,W) to the target (B,K,H,W)."""
        self.centre.copy_(x.mean(dim=(0, 2, 3))[:, None, None])
        self.size.copy_(x.std(dim=(0, 2, 3)).clamp_min(1e-6)[:, None, None])
        every = -(-x[:, 0].numel() // FITTED_SAMPLES)
        inputs, targets = (
            normalised.transpose(0, 1).flatten(1)[:, ::every].T.double().cpu()
            for normalised in (
                (x - self.centre) / self.size,
                (target - self.mean) / self.deviation.clamp_min(1e-6),
            )
        )
        self.v.copy_(least_squares(inputs, targets))


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


def _cosine(step: int, steps: int) -> float:
    return 0.5 * (1 + float(np.cos(np.pi * step / max(steps, 1))))

"""DiffAugment (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training").

Departure: not in the paper, whose data sets have 11,000 images and more. A discriminator soon memorises a few
hundred images. Here it sees real and generated images only after random augmentations that it cannot undo.
They are differentiable, so the generator learns through them.

torchvision's transforms change all images of a batch alike and kornia's use torch's global generator, hence
this implementation. Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchforge.utils.device import to_device

# Strengths as published.
BRIGHTNESS = 0.5  # added, either way
SATURATION = (0.0, 2.0)  # factor of the distance from a pixel's grey
CONTRAST = (0.5, 1.5)  # factor of the distance from an image's mean
TRANSLATION = 0.125  # of the side, at most, either way
CUTOUT = 0.5  # of the side


def diff_augment(images: Tensor, policy: str, generator: torch.Generator) -> Tensor:
    """images (B,C,H,W) float -> the same shape and dtype, each image augmented with its own parameters.

    policy: any of "color", "translation" and "cutout", separated by commas, applied in that order; "" returns
    the images as they are and samples nothing. generator: of the CPU, whatever device the images are on, so
    that every device gets the same numbers. Pixels that are cut out or moved in from outside are 0, which is
    grey in [-1, 1]; colours may leave that range. Raises ValueError for an unknown name, before anything is
    sampled.
    """
    names = policy.split(",") if policy else []
    if unknown := [name for name in names if name not in _AUGMENTATIONS]:
        raise ValueError(
            f"policy {policy!r}: no {unknown[0]!r}, expected some of {', '.join(_AUGMENTATIONS)}"
        )
    for name in names:
        images = _AUGMENTATIONS[name](images, generator)
    return images


def _jitter_color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, then saturation, then contrast."""
    images = images + _sample_uniform(images, -BRIGHTNESS, BRIGHTNESS, generator)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * _sample_uniform(images, *SATURATION, generator)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _sample_uniform(images, *CONTRAST, generator)


def _translate(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by whole pixels down or up and right or left."""
    height, width = images.shape[2:]
    down, right = (round(side * TRANSLATION) for side in (height, width))
    tops = _sample_integers(images, 2 * down + 1, generator).tolist()
    lefts = _sample_integers(images, 2 * right + 1, generator).tolist()
    padded = F.pad(images, (right, right, down, down))
    translated = [
        image[:, top : top + height, left : left + width]
        for image, top, left in zip(padded, tops, lefts, strict=True)
    ]
    return torch.stack(translated)


def _cut_out(images: Tensor, generator: torch.Generator) -> Tensor:
    """Cut out a square whose centre is anywhere in the image; at the border only a part of it is cut."""
    rows, columns = (_sample_strip(images, side, generator) for side in images.shape[2:])
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return images.masked_fill(to_device(hole, images.device), 0)


def _sample_strip(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """bool (B,side): True for the rows, or columns, of each image that the square covers."""
    length = round(side * CUTOUT)
    first = _sample_integers(images, side + 1 - length % 2, generator) - length // 2
    position = torch.arange(side)
    return (position >= first[:, None]) & (position < first[:, None] + length)


_AUGMENTATIONS = {"color": _jitter_color, "translation": _translate, "cutout": _cut_out}
POLICIES = tuple(_AUGMENTATIONS)  # the names that a policy may hold


def _sample_uniform(images: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(B,1,1,1) in [low, high), of the images' device and dtype."""
    samples = torch.rand(len(images), 1, 1, 1, generator=generator) * (high - low) + low
    moved: Tensor = to_device(samples, images.device)
    return moved.to(images.dtype)


def _sample_integers(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """int64 (B,) in 0..count-1, on the CPU."""
    return torch.randint(count, (len(images),), generator=generator)

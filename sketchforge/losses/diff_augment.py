"""DiffAugment (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training").

Not in the paper, whose sets have 11,000 images and more: of a few hundred a discriminator soon knows every
one by heart. Shown real and made images only through changes that it cannot undo, it has to judge what
remains, and the generator learns through the same changes, for they have gradients.

torchvision's transforms change all images of a batch alike and kornia's draw from torch's global generator,
so these few lines are ours. Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Strengths as published.
BRIGHTNESS = 0.5  # added, either way
SATURATION = (0.0, 2.0)  # factor of the distance from a pixel's grey
CONTRAST = (0.5, 1.5)  # factor of the distance from an image's mean
TRANSLATION = 0.125  # of the side, at most, either way
CUTOUT = 0.5  # of the side


def diff_augment(images: Tensor, policy: str, generator: torch.Generator) -> Tensor:
    """images (B,C,H,W) float -> the same shape and dtype, each image changed in its own way.

    policy: any of "color", "translation" and "cutout", with commas between, applied in the order given; ""
    leaves the images as they are and draws nothing. generator: of the CPU, whatever device the images are on,
    so that the same numbers are drawn everywhere. What leaves the frame or is cut out becomes 0, which is
    grey in [-1, 1]; colours may leave that range. Raises ValueError for an unknown name, before anything is
    drawn.
    """
    names = policy.split(",") if policy else []
    if unknown := [name for name in names if name not in _CHANGES]:
        raise ValueError(f"policy {policy!r}: no {unknown[0]!r}, expected some of {', '.join(_CHANGES)}")
    for name in names:
        images = _CHANGES[name](images, generator)
    return images


def _color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness, then saturation, then contrast."""
    images = images + _uniform(images, -BRIGHTNESS, BRIGHTNESS, generator)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * _uniform(images, *SATURATION, generator)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _uniform(images, *CONTRAST, generator)


def _translation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Moved by whole pixels down or up and right or left."""
    height, width = images.shape[2:]
    down, right = (round(side * TRANSLATION) for side in (height, width))
    tops = _integers(images, 2 * down + 1, generator).tolist()
    lefts = _integers(images, 2 * right + 1, generator).tolist()
    padded = F.pad(images, (right, right, down, down))
    moved = [
        image[:, top : top + height, left : left + width] for image, top, left in zip(padded, tops, lefts)
    ]
    return torch.stack(moved)


def _cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """A square, its centre anywhere in the image: at the border less than all of it is cut."""
    rows, columns = (_strip(images, side, generator) for side in images.shape[2:])
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return images.masked_fill(hole.to(images.device), 0)


def _strip(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """bool (B,side): which of an image's rows, or columns, the square meets."""
    length = round(side * CUTOUT)
    first = _integers(images, side + 1 - length % 2, generator) - length // 2
    place = torch.arange(side)
    return (place >= first[:, None]) & (place < first[:, None] + length)


_CHANGES = {"color": _color, "translation": _translation, "cutout": _cutout}
POLICIES = tuple(_CHANGES)  # the names that a policy is made of


def _uniform(images: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(B,1,1,1), of the images' device and dtype."""
    drawn = torch.rand(len(images), 1, 1, 1, generator=generator) * (high - low) + low
    return drawn.to(images)


def _integers(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(B,) of 0..count-1, on the CPU."""
    return torch.randint(count, (len(images),), generator=generator)

"""Adversarial losses of all GANs on logits of any shape: TOM (Eqs. 5 and 6), the refiner (Eq. 13), and R1."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def r1_weight(size: int, batch_size: int) -> float:
    """γ for images of size² pixels: 2e-4·size²/batch (Karras et al. 2020b, "auto" of StyleGAN2-ADA)."""
    return 2e-4 * size**2 / batch_size


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018, eq. 9, without its γ/2): mean of ‖∇D(x)‖² at real images, a scalar.

    real: (B,C,H,W). D(x) is the mean of its logits (B,1,h,w), as in the hinge losses. The logits of an image
    must not depend on the rest of the batch (no BatchNorm in D), or its gradient would mix images. Computed
    in float32 under autocast, too, for small squares are lost in bfloat16. The result can be back-propagated
    through; no gradient reaches `real`.

    Departure: not in the paper; it replaces the spectral norm of the authors' D (see `Discriminator`).
    """
    with torch.enable_grad(), torch.autocast(real.device.type, enabled=False):
        real = real.detach()
        images = (real if real.dtype == torch.float64 else real.float()).requires_grad_()
        score = discriminator(images).flatten(1).mean(1).sum()
        (gradient,) = torch.autograd.grad(score, images, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean max(0, 1 − D(real)) + mean max(0, 1 + D(fake)); logits of any shape.

    Departure from Eq. 5, which prints log losses: the authors trained with the hinge loss, which is the
    default here, too.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """−mean D(fake): the generator's part of the hinge loss (departure from Eq. 6, as above)."""
    return -fake.mean()


def log_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Eq. 5 on logits: −E log D(S) − E log(1 − D(G))."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def log_generator(fake: Tensor) -> Tensor:
    """The adversarial part of Eq. 6 on logits, −E log D(G)."""
    return F.softplus(-fake).mean()


ADVERSARIAL = {"hinge": (hinge_discriminator, hinge_generator), "log": (log_discriminator, log_generator)}

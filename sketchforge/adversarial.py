"""What keeps a discriminator in bounds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def r1_weight(size: int, batch_size: int) -> float:
    """γ for images of size² pixels: 2e-4·size²/batch (Karras et al. 2020b, "auto" setting of StyleGAN2-ADA)."""
    return 2e-4 * size**2 / batch_size


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018, eq. 9, without its γ/2): mean of ‖∇D(x)‖² at real images, a scalar.

    real (B,C,H,W). Of logits (B,1,h,w), D(x) is the mean, which is also what the hinge losses look at. An
    image's gradient is its own only where its logits do not depend on the rest of the batch: no BatchNorm in
    D. Computed in float32 under autocast, too, for small squares are lost in bfloat16. The result has a graph
    to back-propagate through; nothing of it reaches `real`.

    Departure: not in the paper; it stands where the authors' D has spectral norm (see `Discriminator`).
    """
    with torch.enable_grad(), torch.autocast(real.device.type, enabled=False):
        real = real.detach()
        images = (real if real.dtype == torch.float64 else real.float()).requires_grad_()
        score = discriminator(images).flatten(1).mean(1).sum()
        (slope,) = torch.autograd.grad(score, images, create_graph=True)
        return slope.square().sum(dim=(1, 2, 3)).mean()

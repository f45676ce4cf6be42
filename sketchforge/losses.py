"""Losses as pure functions of tensors, named by the paper's equations."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from sketchforge.features import adain, gram


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean max(0, 1 − D(real)) + mean max(0, 1 + D(fake)); logits of any shape.

    Departure from Eq. 5, which prints log losses: the authors trained with the hinge, and so do we by default.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """−mean D(fake): the generator's part of the hinge loss (departure from Eq. 6, as above)."""
    return -fake.mean()


def log_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Eq. 5 on logits: −E log D(S) − E log(1 − D(G))."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def log_generator(fake: Tensor) -> Tensor:
    """The adversarial part of Eq. 6 on logits in its non-saturating form, −E log D(G).

    Departure: printed is E log(1 − D(G)), whose gradient vanishes just when the discriminator wins
    (Goodfellow et al. 2014, section 3).
    """
    return F.softplus(-fake).mean()


ADVERSARIAL = {"hinge": (hinge_discriminator, hinge_generator), "log": (log_discriminator, log_generator)}


def content_loss(sketch: Tensor, photo: Tensor, drawing: Tensor) -> Tensor:
    """Eq. 6's ‖f_target − f̂‖² with Eq. 4's target, as a mean over elements.

    sketch: E(G(photo)), photo: E(photo), drawing: E(drawing), all (B,C,H,W) at one tap.
    """
    return F.mse_loss(sketch, adain(photo, drawing))


def gram_loss(sketches: Mapping[str, Tensor], drawings: Mapping[str, Tensor]) -> Tensor:
    """Squared difference between the batches' mean Gram matrices, relative to the drawings', averaged over taps.

    {tap: (B,C,H,W)}. Departure: not in the paper; the authors' code adds a Gram term (weight 2000 on matrices
    normalised by the element count). Dividing by the drawings' own size makes one weight fit every tap and encoder,
    and comparing batch means leaves each drawing its own style.
    """
    total = 0.0
    for tap, features in sketches.items():
        target = gram(drawings[tap]).mean(0)
        total = total + (gram(features).mean(0) - target).square().sum() / target.square().sum()
    return total / len(sketches)

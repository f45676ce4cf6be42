"""Losses of Style2Paints V1 beside `absolute_error`: what the guides are compared with (Eqs. 1 and 2), auxiliary classifier.

Pure functions of tensors that return scalars, means over the batch. Shape letters: B batch, N length of the style
hint, H, W height and width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sketchforge.images.tensors import to_grey

GUIDE_TARGETS = ("grey", "colour")  # of the guide at the entry: Eq. 2, Eq. 1


def entry_target(image: Tensor, kind: str) -> Tensor:
    """What the guide at the entry of the middle is to give back of an image (B,3,H,W).

    "grey" (Eq. 2): its luma, (B,1,H,W), for the entry has seen no style and cannot know a colour. "colour" (Eq. 1): the
    image itself. Raises ValueError for another kind.
    """
    if kind not in GUIDE_TARGETS:
        raise ValueError(f"kind is {kind!r}, expected {' or '.join(GUIDE_TARGETS)}")
    if kind == "colour":
        return image
    return to_grey(image)


def hint_divergence(logits: Tensor, hint: Tensor) -> Tensor:
    """How far N logits (B,N) are from a style hint (B,N): mean KL divergence of N Bernoulli variables.

    Of the probabilities sigmoid(hint), which are the target, and sigmoid(logits). Zero where the logits are the hint. No
    gradient reaches the hint. Raises ValueError where the shapes differ.

    Departure: the paper gives the target of the auxiliary classifier for a real image, its feature of VGG19. How a
    feature becomes a target of a log loss is ours.
    """
    if logits.shape != hint.shape:
        shapes = (",".join(map(str, tensor.shape)) for tensor in (logits, hint))
        raise ValueError("logits are ({}), hint ({}), expected equal shapes".format(*shapes))
    hint = hint.detach()
    target = hint.sigmoid()
    # Less the entropy of the target, which is no error.
    return F.binary_cross_entropy_with_logits(logits, target) - F.binary_cross_entropy_with_logits(
        hint, target
    )


def auxiliary_discriminator(real: Tensor, fake: Tensor, hint: Tensor) -> Tensor:
    """D's loss as auxiliary classifier: of real images the hint, of fake ones 0; logits and hints (B,N)."""
    return hint_divergence(real, hint) + F.softplus(fake).mean()


def auxiliary_generator(fake: Tensor, hint: Tensor) -> Tensor:
    """The generator's: D is to find the hint, which it gives real images only, in the fake ones."""
    return hint_divergence(fake, hint)

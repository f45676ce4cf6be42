"""Losses of DiffSketching: of denoising, of the sketch, of the image's identity.

Pure functions of tensors that return scalars, means over the batch. Shape letters: B batch, S side of the images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchforge.models.encoder import Encoder
from sketchforge.models.sketch_view import SketchView

IDENTITY_TAP = "relu3_2"  # F_i: the deepest layer that every encoder of ours has


def denoising_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of what the network predicts, v or ε, (B,3,S,S) each."""
    return F.mse_loss(output, target)


def sketch_perceptual(view: SketchView, images: Tensor, sketches: Tensor) -> Tensor:
    """L_p: how far P(x̂_0) is from the given sketch s_0; images (B,3,S,S), sketches (B,1,S,S) in [-1, 1]."""
    return view.distances(images, sketches).mean()


def image_identity(encoder: Encoder, images: Tensor, originals: Tensor) -> Tensor:
    """L_i: 1 − cos of the features of x̂_0 and x_0, (B,3,S,S) each; gradients reach x̂_0 alone.

    The paper prints the cosine itself, which a minimiser would make as small as it can. Its features are those of a
    ResNet-50 fine-tuned; these are the frozen encoder's IDENTITY_TAP.
    """
    with torch.no_grad():
        wanted = encoder(originals, [IDENTITY_TAP])[IDENTITY_TAP].flatten(1)
    features = encoder(images, [IDENTITY_TAP])[IDENTITY_TAP].flatten(1)
    return (1 - F.cosine_similarity(features, wanted, dim=1)).mean()


def weigh_tuning(identity: Tensor, sketch: Tensor, share: float) -> Tensor:
    """L = λ·L_i + (1−λ)·L_p. share: λ, 0 to 1."""
    return share * identity + (1 - share) * sketch

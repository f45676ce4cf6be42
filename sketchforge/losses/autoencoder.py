"""Losses of the auto-encoder (paper section 4.1): Eqs. 7-10 separate style and content, Eq. 12 joins them.

Pure functions of tensors that return scalars, means over the batch. Shape letters: B batch, D length of a
vector, k classes, H, W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from sketchforge.models.encoder import Encoder

SHIFT = 4  # pixels, what the deepest layer of the perceptual term is pooled by


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Eqs. 7 and 10: mean max(cos(anchor, negative) − cos(anchor, positive) + margin, 0); (B,...), flattened.

    Zero once every anchor's cosine similarity to its positive exceeds that to its negative by the margin.
    Style (L_s_tri): the vectors of an image, of a translation of it, and of another image. Content (L_c_tri):
    the features of two sketches of one image, and of a sketch of another image.

    Departure from Eq. 7, which prints the two cosines the other way round: that would reward images unlike
    their own translations. Raises ValueError where the shapes differ.
    """
    _check_equal_shapes("anchor", anchor, "positive", positive)
    _check_equal_shapes("anchor", anchor, "negative", negative)
    anchor, positive, negative = anchor.flatten(1), positive.flatten(1), negative.flatten(1)
    negative_similarity = F.cosine_similarity(anchor, negative, dim=1)
    positive_similarity = F.cosine_similarity(anchor, positive, dim=1)
    return F.relu(negative_similarity - positive_similarity + margin).mean()


def style_classification(logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. 8, L_s_cls: mean of −log softmax(logits)[label]; logits (B,k), labels (B,) int64 in 0..k-1.

    Every image is a class of its own, which its translations share. Raises ValueError for other shapes.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits are {_format_shape(logits)}, labels {_format_shape(labels)}, expected (B,k) and (B,)"
        )
    return F.cross_entropy(logits, labels)


def content_confusion(head: nn.Module, pooled: Tensor) -> Tensor:
    """Eq. 9, L_c_cls: the mean over the batch of ‖softmax(head(pooled)) − 1/k‖².

    head: the style classifier of Eq. 8, (B,D) -> (B,k). pooled (B,D): the content features, averaged over
    positions. Zero when the head finds every class equally likely: the content does not identify its image.
    The head's weights get no gradient, for the content has to change; the head would only unlearn what Eq. 8
    teaches it. Raises ValueError where pooled is not (B,D).
    """
    if pooled.ndim != 2:
        raise ValueError(f"pooled is {_format_shape(pooled)}, expected (B,D): average over positions first")
    weights = {name: weight.detach() for name, weight in head.named_parameters()}
    probabilities: Tensor = functional_call(head, weights, (pooled,)).softmax(dim=1)
    return (probabilities - 1 / probabilities.shape[1]).square().sum(dim=1).mean()


def sample_style(distribution: Tensor, generator: torch.Generator) -> Tensor:
    """A vector (B,D) of each normal distribution (B,2D), D means and D logarithms of variances.

    The reparameterisation of Kingma & Welling 2014, section 2.4. generator: of the CPU.
    """
    mean, log_variance = distribution.chunk(2, dim=1)
    noise = torch.randn(mean.shape, generator=generator).to(mean.device, mean.dtype)
    return mean + (log_variance / 2).exp() * noise


def style_prior(distribution: Tensor) -> Tensor:
    """The divergence of normal distributions (B,2D) from N(0, 1) (Kingma & Welling 2014, appendix B), for A.3.

    A mean over the D dimensions, too, as the other terms are means: ½(μ² + σ² − 1 − log σ²). Zero where every
    mean is 0 and every variance 1.
    """
    mean, log_variance = distribution.chunk(2, dim=1)
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


def reconstruction(output: Tensor, target: Tensor) -> Tensor:
    """Eq. 12: the squared distance of two images (B,3,H,W), as a mean over elements.

    Raises ValueError where the shapes differ.
    """
    _check_equal_shapes("output", output, "target", target)
    return F.mse_loss(output, target)


def perceptual(encoder: Encoder, output: Tensor, target: Tensor, taps: Sequence[str]) -> Tensor:
    """Mean squared distance of an encoder's features of two images (B,3,H,W) in [-1, 1], averaged over taps.

    Departure: not in the paper; the authors' code adds LPIPS on VGG. Each tap of the encoder has std 1 over
    photos, so that all taps count alike without weights. Gradients reach `output` only.
    Raises ValueError where the shapes differ, no tap is given or the encoder has no such layer.
    """
    _check_equal_shapes("output", output, "target", target)
    if not taps:
        raise ValueError(f"no taps given, expected some of {', '.join(encoder.tap_names())}")
    with torch.no_grad():
        target_features = encoder(target, taps)
    output_features = encoder(output, taps)
    return torch.stack([F.mse_loss(output_features[tap], target_features[tap]) for tap in taps]).mean()


def shift_alike(output: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both images (B,3,H,W) shifted by the same random -SHIFT..SHIFT pixels in each direction, mirrored at the border.

    For `perceptual`: the encoder's pooling looks at every second or fourth pixel, always the same ones, and what it
    rewards there shows on even areas as a weave. generator: of the CPU.
    """
    top, left = torch.randint(2 * SHIFT + 1, (2,), generator=generator).tolist()
    height, width = output.shape[-2:]

    def shift(x: Tensor) -> Tensor:
        padded = F.pad(x, (SHIFT,) * 4, mode="reflect")
        return padded[..., top : top + height, left : left + width]

    return shift(output), shift(target)


def _check_equal_shapes(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    # torch would broadcast and return a number.
    if tensor.shape != other.shape:
        raise ValueError(
            f"{name} is {_format_shape(tensor)}, {other_name} {_format_shape(other)}, expected equal shapes"
        )


def _format_shape(tensor: Tensor) -> str:
    return f"({','.join(map(str, tensor.shape))})"


# Derangements of a batch: the negatives of Eqs. 7 and 10.


def derange(indices: Tensor, generator: torch.Generator) -> Tensor:
    """A random permutation p, int64 (B,), with indices[p[i]] != indices[i] for every i.

    It gives true negatives for Eqs. 7 and 10.
    indices: the images' numbers, int64 (B,), repetitions allowed; generator: of the CPU. Among distinct
    images each is equally likely as a partner. Raises ValueError when there is no such permutation: one image
    fills more than half.
    """
    cpu_indices = indices.cpu()
    if not len(cpu_indices):
        return indices.new_empty(0, dtype=torch.int64)
    _, group, counts = cpu_indices.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]  # torch's
    largest = int(counts.max())
    if 2 * largest > len(cpu_indices):
        raise ValueError(
            f"image {int(cpu_indices[group == counts.argmax()][0])} is {largest} of the {len(cpu_indices)}"
            " in the batch: no mismatch for each of them; use larger batches or more images"
        )
    # Order at random with equal images side by side; then shift by so much that none meets its equal.
    shuffled = torch.randperm(len(cpu_indices), generator=generator)
    group_rank = torch.randperm(len(counts), generator=generator)[group]
    ordered = shuffled[group_rank[shuffled].argsort(stable=True)]
    partner = torch.empty_like(ordered)
    partner[ordered] = ordered.roll(-largest)
    return partner.to(indices.device)

"""What the auto-encoder learns from (paper section 4.1): Eqs. 7-10 part style and content, Eq. 12 joins them.

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


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Eqs. 7 and 10: mean max(cos(anchor, negative) − cos(anchor, positive) + margin, 0); (B,...), flattened.

    Zero once every anchor is nearer to its positive than to its negative, by the margin, in cosine. Style
    (L_s_tri): an image's vector, that of a translation of it, that of another image. Content (L_c_tri): the
    features of two sketches of one image, those of another image's.

    Departure from Eq. 7, which prints the two cosines the other way round: that would pay for images unlike
    their own translations. Raises ValueError where the shapes differ.
    """
    _check_equal("anchor", anchor, "positive", positive)
    _check_equal("anchor", anchor, "negative", negative)
    anchor, positive, negative = anchor.flatten(1), positive.flatten(1), negative.flatten(1)
    negative_similarity = F.cosine_similarity(anchor, negative, dim=1)
    positive_similarity = F.cosine_similarity(anchor, positive, dim=1)
    return F.relu(negative_similarity - positive_similarity + margin).mean()


def style_classification(logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. 8, L_s_cls: mean of −log softmax(logits)[label]; logits (B,k), labels (B,) int64 in 0..k-1.

    Every image is a class of its own, whatever it was translated to. Raises ValueError for other shapes.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits are {_shape(logits)}, labels {_shape(labels)}, expected (B,k) and (B,)")
    return F.cross_entropy(logits, labels)


def content_confusion(head: nn.Module, pooled: Tensor) -> Tensor:
    """Eq. 9, L_c_cls: the mean over the batch of ‖softmax(head(pooled)) − 1/k‖².

    head: the style classifier of Eq. 8, (B,D) -> (B,k). pooled (B,D): the content features, averaged over
    positions. Zero when the head finds every class equally likely: the content does not tell whose it is. The
    head's own weights get no gradient, for it is the content that has to change; the head would only unlearn
    what Eq. 8 teaches it. Raises ValueError where pooled is not (B,D).
    """
    if pooled.ndim != 2:
        raise ValueError(f"pooled is {_shape(pooled)}, expected (B,D): average over positions first")
    weights = {name: weight.detach() for name, weight in head.named_parameters()}
    likely = functional_call(head, weights, (pooled,)).softmax(dim=1)
    return (likely - 1 / likely.shape[1]).square().sum(dim=1).mean()


def reconstruction(output: Tensor, target: Tensor) -> Tensor:
    """Eq. 12: the squared distance of two images (B,3,H,W), as a mean over elements.

    Raises ValueError where the shapes differ.
    """
    _check_equal("output", output, "target", target)
    return F.mse_loss(output, target)


def perceptual(encoder: Encoder, output: Tensor, target: Tensor, taps: Sequence[str]) -> Tensor:
    """Mean squared distance of an encoder's features of two images (B,3,H,W) in [-1, 1], averaged over taps.

    Departure: not in the paper; the authors' code adds LPIPS on VGG. Each tap of ours has deviation 1 over
    photos, so that all count alike without weights of their own. Gradients reach `output` only.
    Raises ValueError where the shapes differ, no tap is given or the encoder has no such layer.
    """
    _check_equal("output", output, "target", target)
    if not taps:
        raise ValueError(f"no taps given, expected some of {', '.join(encoder.tap_names())}")
    with torch.no_grad():
        wanted = encoder(target, taps)
    found = encoder(output, taps)
    return torch.stack([F.mse_loss(found[tap], wanted[tap]) for tap in taps]).mean()


def _check_equal(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    # torch would broadcast and return a number.
    if tensor.shape != other.shape:
        raise ValueError(f"{name} is {_shape(tensor)}, {other_name} {_shape(other)}, expected equal shapes")


def _shape(tensor: Tensor) -> str:
    return f"({','.join(map(str, tensor.shape))})"


# Which image of a batch stands against which: the negatives of Eqs. 7 and 10.


def derange(indices: Tensor, generator: torch.Generator) -> Tensor:
    """A random permutation p, int64 (B,), with indices[p[i]] != indices[i] for every i: true negatives for
    Eqs. 7 and 10.

    indices: the images' numbers, int64 (B,), repetitions allowed; generator: of the CPU. Of distinct images
    each is as likely as any other. Raises ValueError when there is no such permutation: one image fills more
    than half.
    """
    here = indices.cpu()
    if not len(here):
        return indices.new_empty(0, dtype=torch.int64)
    _, number, counts = here.unique(return_inverse=True, return_counts=True)
    most = int(counts.max())
    if 2 * most > len(here):
        raise ValueError(
            f"image {int(here[number == counts.argmax()][0])} is {most} of the {len(here)} in the batch: no "
            "mismatch for each of them; use larger batches or more images"
        )
    # Equal ones side by side, all else at random; then a step so wide that none meets its equal.
    shuffled = torch.randperm(len(here), generator=generator)
    rank = torch.randperm(len(counts), generator=generator)[number]
    ordered = shuffled[rank[shuffled].argsort(stable=True)]
    partner = torch.empty_like(ordered)
    partner[ordered] = ordered.roll(-most)
    return partner.to(indices.device)

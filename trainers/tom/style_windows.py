"""Groups of similar drawings; a generator that trains on one group for a while adopts one style.

Departure from Eq. 4, which pairs every photo with a random drawing. Training begins like that, but it gives
generators that all draw in the average style of S and differ by chance. After the content score has
plateaued, the drawings of the steps in a window (some tens of steps) come from one neighbourhood in style
space, and those of the next window from another one far away. So the snapshot at the end of each window has
its own style. Within a window, pairing stays random.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sketchforge.models.features import gram, upper_triangle

NEIGHBOURS = 4  # drawings in a window; G would memorise fewer, and average over many


def style_vectors(features: Mapping[str, Tensor]) -> Tensor:
    """{tap: (M,C,h,w)} -> (M,K): signed square roots of M drawings' Gram entries, standardised over M."""
    entries = torch.cat([upper_triangle(gram(x)) for x in features.values()], dim=1)
    entries = entries.sign() * entries.abs().sqrt()
    centred = entries - entries.mean(0)
    # The floor keeps entries that hardly differ between drawings, and so show no style, from being magnified.
    std = centred.square().mean(0).sqrt()
    return centred / (std + 0.1 * std.mean() + 1e-12)


def neighbourhoods(vectors: Tensor, size: int = NEIGHBOURS) -> list[list[int]]:
    """(M,K) -> M groups of at most `size` indices, each a drawing and those nearest to it.

    The groups are in farthest-first order: the most typical drawing is first, each next one is the farthest
    from all before, so that the first groups differ most. Ties go to the lower index.
    """
    vectors = vectors.cpu().double()  # in this order: Apple's GPUs have no float64
    distance = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    order = [int(distance.mean(1).argmin())]
    while len(order) < len(vectors):
        nearest = distance[:, order].min(1).values
        nearest[order] = -1
        order.append(int(nearest.argmax()))
    return [distance[index].argsort(stable=True)[:size].tolist() for index in order]

"""Which drawings are taken together, so that a generator trained on them for a while takes on one style.

Departure from Eq. 4's pairing of every photo with any drawing at random: that is how training begins, and it gives
generators that all draw in the average style of S, differing by chance. Once the content score has plateaued, the
drawings of a step come from one neighbourhood in style space for some tens of steps, then from another one far away,
and the snapshot at the end of each such window has a style of its own. Within the window, pairing stays random.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sketchforge.models.features import gram, upper_triangle

NEIGHBOURS = 4  # drawings in a window; fewer would be learned by heart, many average out


def style_vectors(features: Mapping[str, Tensor]) -> Tensor:
    """{tap: (M,C,h,w)} of M drawings -> (M,K): Gram entries, signed square root, standardised over the drawings."""
    entries = torch.cat([upper_triangle(gram(x)) for x in features.values()], dim=1)
    entries = entries.sign() * entries.abs().sqrt()
    centred = entries - entries.mean(0)
    # Entries that hardly differ between drawings say nothing of style and must not be blown up.
    std = centred.square().mean(0).sqrt()
    return centred / (std + 0.1 * std.mean() + 1e-12)


def neighbourhoods(vectors: Tensor, size: int = NEIGHBOURS) -> list[list[int]]:
    """(M,K) -> M groups of at most `size` indices, each a drawing and those nearest to it.

    In farthest-first order: the most typical drawing, then always the one farthest from all before, so that the
    groups that come first are the most different. Ties go to the lower index.
    """
    distance = torch.cdist(vectors.double(), vectors.double(), compute_mode="donot_use_mm_for_euclid_dist")
    order = [int(distance.mean(1).argmin())]
    while len(order) < len(vectors):
        reach = distance[:, order].min(1).values
        reach[order] = -1
        order.append(int(reach.argmax()))
    return [distance[index].argsort(stable=True)[:size].tolist() for index in order]

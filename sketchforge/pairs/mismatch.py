"""Which image of a batch stands against which: the negatives of Eqs. 7 and 10."""

from __future__ import annotations

import torch
from torch import Tensor


def mismatched(indices: Tensor, generator: torch.Generator) -> Tensor:
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

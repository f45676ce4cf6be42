"""Retrieval with the features of frozen networks: two linear maps, trained on pairs of a photo and a sketch of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from utility_retrieval import RETRIEVAL, PhotoTower, info_nce, ranks

from sketchforge.utils.seeding import derive_seed, numpy_generator

STEPS = 300


def retrieved_ranks(
    sketches: np.ndarray,
    photos: np.ndarray,
    drawings: np.ndarray,
    gallery: np.ndarray,
    true: list[int],
    seed: int,
    steps: int = STEPS,
) -> list[int]:
    """The rank of each drawing's photo among the gallery's; 1 is best.

    Features, float32: of sketches (P,K,D) and their photos (P,D), trained on; of drawings (M,D) and the photos that
    are searched (G,D). true: the number of each drawing's photo.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "recognition maps"))
        maps = train_maps(torch.from_numpy(sketches), torch.from_numpy(photos), seed, steps)
    with torch.no_grad():
        found = maps[0](torch.from_numpy(drawings)) @ maps[1](torch.from_numpy(gallery)).T
    return ranks(found, true)


def train_maps(sketches: Tensor, photos: Tensor, seed: int, steps: int) -> nn.ModuleList:
    """The map of sketches and the one of photos, in eval mode."""
    maps = nn.ModuleList(
        PhotoTower(part.shape[-1], RETRIEVAL.dim, RETRIEVAL.dropout) for part in (sketches, photos)
    )
    optimiser = torch.optim.AdamW(maps.parameters(), RETRIEVAL.rate, weight_decay=RETRIEVAL.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    for step in range(steps):
        draw = numpy_generator(seed, "recognition pairs", step)
        batch = draw.choice(len(photos), min(RETRIEVAL.batch_size, len(photos)), replace=False)
        which = (draw.random(len(batch)) * sketches.shape[1]).astype(int)
        loss = info_nce(maps[0](sketches[batch, which]), maps[1](photos[batch]), 1 / RETRIEVAL.temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return maps.eval()

"""Functions that the training steps of all systems share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from sketchforge.utils.seeding import derive_seed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@contextmanager
def seed_torch(seed: int, purpose: str) -> Iterator[None]:
    """Seed torch's global generator, from which layers sample initial weights, and restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, purpose))
        yield


def channels_last(module: ModuleT, device: torch.device) -> ModuleT:
    """Move a module to the device in channels-last layout: steps take a fifth less time on AVX-512 CPUs."""
    return module.to(device).to(memory_format=torch.channels_last)


def total_of(terms: Iterable[Tensor]) -> Tensor:
    """The sum of at least one loss."""
    return cast(Tensor, sum(terms))


def check_finite(loss: Tensor, what: str = "the loss", terms: Mapping[str, Tensor] | None = None) -> None:
    """Raise FloatingPointError, which names `what` and the terms, for a loss that is not finite."""
    if not torch.isfinite(loss):
        values = ", ".join(f"{name} {term.item():.3g}" for name, term in (terms or {}).items())
        raise FloatingPointError(f"{what} became {loss.item()}" + (f" ({values})" if values else ""))


class LossSums:
    """The sums of losses over a step's micro-batches, and how many of them had each.

    They stay on their device: to read each would make it wait for the host as often. `Ranks.all_reduce_mean`
    reads them together.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: Counter[str] = Counter()

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add one micro-batch's losses, scalars."""
        for name, loss in losses.items():
            value = loss.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts.update(losses.keys())


def check_finite_means(means: Mapping[str, float]) -> None:
    """Raise FloatingPointError, which names the losses, where one of them is not finite."""
    total = sum(means.values())
    if not math.isfinite(total):
        values = ", ".join(f"{name} {value:.3g}" for name, value in means.items())
        raise FloatingPointError(f"the loss became {total} ({values})")


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float | Mapping[str, float]) -> None:
    """Set one learning rate for all parameter groups, or one for each group by its name."""
    for group in optimizer.param_groups:
        group["lr"] = lr[group["name"]] if isinstance(lr, Mapping) else lr


def cosine_decay(step: int, steps: int) -> float:
    """The factor of the learning rate at a step: from 1 to 0 along half a cosine."""
    return 0.5 * (1 + float(np.cos(np.pi * step / max(steps, 1))))


def recipe_record(recipe: DataclassInstance) -> dict[str, Any]:
    """The recipe's fields as JSON returns them: lists in place of tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(recipe).items()
    }

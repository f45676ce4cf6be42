"""What the steps of all trainings with a discriminator share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import nn


class AdversarialRecipe(Protocol):
    """The fields of a recipe that its two optimisers take."""

    @property
    def learning_rate(self) -> float: ...

    @property
    def discriminator_learning_rate(self) -> float: ...

    @property
    def betas(self) -> tuple[float, float]: ...


def build_optimizers(
    recipe: AdversarialRecipe, generator: Iterable[nn.Parameter], discriminator: Iterable[nn.Parameter]
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Adam for the parameters of the generator and for those of the discriminator, each at its learning rate."""
    return (
        torch.optim.Adam(generator, recipe.learning_rate, recipe.betas, fused=True),
        torch.optim.Adam(discriminator, recipe.discriminator_learning_rate, recipe.betas, fused=True),
    )


@contextmanager
def frozen(discriminator: nn.Module) -> Iterator[None]:
    """For the generator's loss: its gradient goes through the discriminator and leaves nothing there."""
    discriminator.requires_grad_(False)
    try:
        yield
    finally:
        discriminator.requires_grad_(True)

"""What an image model has to bring along to be trained by `train.py`: a recipe, and a training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from sketchforge.models.encoder import Encoder

PERCEPTUAL_TAPS = (
    "relu1_2",
    "relu2_2",
    "relu3_2",
)  # of the frozen encoder: colour and texture more than objects


class Recipe(Protocol):
    """What every recipe has."""

    size: int
    steps: int
    batch_size: int

    def record(self) -> dict[str, Any]: ...


class Procedure(Protocol):
    """What is trained: a step, and pictures of where it stands."""

    networks: Any  # a dataclass of what a saved state holds
    encoder: Encoder | None

    def step(self, number: int, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """FloatingPointError before anything is changed when a loss is not finite."""

    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor: ...

    def extra(self) -> dict[str, Any]:
        """Plain values that belong to the state."""

    def resume(self, extra: Mapping[str, Any]) -> None: ...

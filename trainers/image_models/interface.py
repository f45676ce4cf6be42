"""What an image model has to bring along to be trained by `train.py`: a recipe, and a trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from sketchforge.models.encoder import Encoder
from trainers.loop import TrainingStep
from trainers.state import Stateful

PERCEPTUAL_TAPS = (
    "relu1_2",
    "relu2_2",
    "relu3_2",
)  # of the frozen encoder: colour and texture more than objects

MicroBatch = Mapping[str, Tensor]  # see `sketchforge.data.augment`; a step accumulates gradients over some


class Recipe(Protocol):
    """What every recipe has; it is a frozen dataclass of numbers."""

    @property
    def size(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    def record(self) -> dict[str, Any]:
        """For run.json."""


class ImageTrainer(TrainingStep[Sequence[MicroBatch]], Protocol):
    """The step, images that show where it stands, and what is kept of it."""

    @property
    def encoder(self) -> Encoder | None:
        """The frozen one of the perceptual loss, where that is on."""

    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the averaged weights."""

    def write_model(self, path: Path, metadata: Mapping[str, Any]) -> None:
        """The averaged weights, self-contained."""

    def stateful(self) -> dict[str, Stateful]:
        """What a saved state holds: networks and optimisers by name."""

    def extra(self) -> dict[str, Any]:
        """Plain values that belong to the state."""

    def load_extra(self, extra: Mapping[str, Any]) -> None: ...

"""The interfaces that `train.py` requires of an image model: a recipe and a trainer."""

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
)  # of the frozen encoder; these taps show colour and texture rather than objects

MicroBatch = Mapping[str, Tensor]  # see `sketchforge.data.augment`; a step accumulates gradients over several


class Recipe(Protocol):
    """The fields that every recipe has; a recipe is a frozen dataclass of hyper-parameters."""

    @property
    def size(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    def record(self) -> dict[str, Any]:
        """The recipe as run.json stores it."""


class ImageTrainer(TrainingStep[Sequence[MicroBatch]], Protocol):
    """The training step, synthesis for previews, and the state and model to save."""

    @property
    def encoder(self) -> Encoder | None:
        """The frozen encoder of the perceptual loss; None where that loss is off."""

    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the EMA weights."""

    def encode_style(self, images: Tensor) -> Tensor:
        """(B,3,S,S) in [-1, 1] -> f_style, or what stands in for it, (B,D), by the EMA weights."""

    def write_model(self, path: Path, metadata: Mapping[str, Any]) -> None:
        """Write the EMA weights to a self-contained file."""

    def stateful(self) -> dict[str, Stateful]:
        """The networks and optimisers of a saved state, by name."""

    def extra(self) -> dict[str, Any]:
        """The plain values of a saved state."""

    def load_extra(self, extra: Mapping[str, Any]) -> None: ...

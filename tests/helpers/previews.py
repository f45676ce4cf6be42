"""Trainings of image models that stop seldom to look at themselves: in tests most of the time would be that."""

from __future__ import annotations

import pytest


def few_previews(patch: pytest.MonkeyPatch, count: int = 1) -> None:
    """`count` evaluations a run; each measures the layout of two pairs and shows a grid of two by two."""
    patch.setattr("trainers.image_models.train.NUM_PREVIEWS", count)
    patch.setattr("trainers.image_models.validation.NUM_LAYOUTS", 2)
    patch.setattr("trainers.image_models.validation.NUM_SHOWN", 2)

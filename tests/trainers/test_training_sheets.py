"""The images that trainings leave: they show what `render` gives, and tell model, step and size."""

from pathlib import Path

import numpy as np
import torch

from sketchforge.images.line_art import binarize
from sketchforge.options import RenderOptions
from trainers.image_models.validation import Validation
from trainers.tom.candidates import AS_RENDERED, grey_levels, rendered_levels


def test_snapshots_are_shown_in_renders_black_and_white():
    sketch = np.random.default_rng(0).random((40, 40), np.float32)
    thresholds = RenderOptions(Path("out"), method="tom", hands="none").thresholds
    shown = rendered_levels(sketch)
    assert np.array_equal(shown, binarize(grey_levels(sketch), *thresholds))
    assert set(np.unique(shown)) == {0, 255}
    assert "`render --hands none`" in AS_RENDERED


def test_a_grid_tells_model_step_and_size():
    validation = Validation.__new__(Validation)
    validation.prefix, validation.images = "seen", torch.zeros(2, 3, 64, 64)
    told = validation.describe_grid("ae-train, demo recipe", 1000, 2000)
    assert told == "ae-train, demo recipe: step 1,000 of 2,000; 64 pixels, shown at 128; training images"
    validation.prefix, validation.images = "held_out", torch.zeros(2, 3, 256, 256)
    assert validation.describe_grid("gan-train", 1, 1).endswith("; 256 pixels; images held out")

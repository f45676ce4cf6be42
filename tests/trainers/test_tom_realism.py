"""How real a window's sketches are is measured against the drawings that it imitates."""

import numpy as np
import pytest
import torch

from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.images.builtin.drawings import draw
from sketchforge.models.features import gram
from sketchforge.options import TomTrainOptions
from tests.helpers.photos import scene
from trainers.tom.recipe import RECIPES
from trainers.tom.step import TomTrainer

SUBJECTS = ("woman-quill", "woman-brush", "child-cartoon", "cat-quill", "cat-brush", "oak-cartoon")


def test_realism_of_a_window_is_against_its_own_drawings():
    drawings = [draw(*key.rsplit("-", 1), 48) for key in SUBJECTS]
    readers = [lambda image=image: np.repeat(image[..., None], 3, 2) for image in drawings]
    options = TomTrainOptions(size=32, batch_size=2, threads=1, device="cpu")
    encoder, photos = load_encoder("builtin"), [lambda: scene(0, 48, 48)]
    tom = TomTrainer(options, RECIPES["lean"], encoder, photos, readers)
    for window in (0, None):
        evaluation = tom.evaluate(window)
        with torch.no_grad():
            sketches = torch.from_numpy(evaluation.sketches)[:, None].expand(-1, 3, -1, -1) * 2 - 1
            features = encoder(sketches, tom.recipe.style_taps)
        rows = tom.group(window) if window is not None else range(len(SUBJECTS))
        assert len(rows) == (4 if window is not None else 6)
        distances = []
        for tap, grams in tom.reference_grams.items():
            imitated = grams[list(rows)].mean(0)
            distances.append(float((gram(features[tap]).mean(0) - imitated).norm() / imitated.norm()))
        assert evaluation.realism == pytest.approx(np.mean(distances), rel=1e-3)

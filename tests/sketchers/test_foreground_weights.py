"""The foreground of images in training is that of the finder."""

import numpy as np
import pytest
import torch

from sketchforge.images.tensors import to_tensor
from sketchforge.sketchers.foreground import ForegroundFinder
from tests.helpers.photos import scene


@pytest.fixture(scope="module")
def finder():
    return ForegroundFinder(torch.device("cpu"))


def test_weights_are_those_of_the_finder(finder):
    images = np.stack([scene(seed, 128, 128) for seed in range(2)])
    weights = finder.find_weights(to_tensor(images))
    assert weights.shape == (2, 1, 128, 128)
    halved = torch.nn.functional.avg_pool2d(weights, 2)[:, 0]
    # Bilinear doubling and halving blur a little.
    assert abs(halved.numpy() - finder.find(images)).mean() < 0.01


@pytest.mark.parametrize("side", [64, 256])
def test_weights_are_found_at_every_size(finder, side):
    large = to_tensor(scene(1, 128, 128))
    images = torch.nn.functional.interpolate(large, (side, side), mode="bilinear", antialias=True)
    weights = finder.find_weights(images)
    assert weights.shape == (1, 1, side, side)
    assert 0 <= weights.min()
    assert weights.max() <= 1
    reference = torch.nn.functional.interpolate(finder.find_weights(large), (side, side), mode="area")
    assert abs(weights - reference).mean() < 0.1


def test_gradients_end_at_the_weights(finder):
    images = to_tensor(scene(1, 64, 64)).requires_grad_()
    assert not finder.find_weights(images).requires_grad

"""The grey of images in tensors."""

import cv2
import numpy as np
import torch

from sketchforge.images.tensors import to_grey, to_tensor, to_uint8
from tests.helpers.photos import scene


def test_grey_is_that_of_cv2():
    image = scene(1, 40, 30)
    grey = to_uint8(to_grey(to_tensor(image)))[0, ..., 0]
    assert abs(grey.astype(int) - cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).max() <= 1


def test_what_is_grey_stays_as_it_is():
    sketch = torch.rand(2, 1, 8, 8)
    assert to_grey(sketch) is sketch


def test_colours_without_difference_have_their_own_level():
    level = torch.linspace(-1, 1, 8).view(8, 1, 1, 1).expand(8, 3, 2, 2)
    np.testing.assert_allclose(to_grey(level), level[:, :1], atol=1e-6)

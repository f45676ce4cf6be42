"""DiffSketching's losses: against values computed by hand, their optima, their gradients."""

import pytest
import torch
from torch.autograd import gradcheck

from sketchforge.losses.diffsketching import (
    denoising_error,
    image_identity,
    sketch_perceptual,
    weigh_tuning,
)
from sketchforge.models.encoder import Encoder
from sketchforge.models.sketch_view import SKETCH_TAPS, SketchView
from sketchforge.models.tom import LeanGenerator


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def view():
    torch.manual_seed(0)
    encoder, generator = (
        Encoder(((2, 2), (2, 3), (3, 4))),
        LeanGenerator(("relu2_1", "relu1_1"), (2, 2), (3, 2)),
    )
    return SketchView(encoder, generator, 8, 16).double().eval().requires_grad_(False)


def test_the_denoising_error_by_hand():
    assert denoising_error(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).item() == 2.5


def test_the_distance_of_sketches_by_hand(view):
    """Σ over taps of the mean over positions of Σ_c w_c·(f_c − g_c)², by loops."""
    weights = {tap: random(len(view.weight_of(tap)), seed=3).abs() for tap in SKETCH_TAPS}
    for tap, weight in weights.items():
        view.weight_of(tap).copy_(weight)
    images, sketches = random(2, 3, 8, 8), random(2, 1, 8, 8, seed=1)
    expected = 0.0
    for row in range(2):
        pair = (view.draw(images[row : row + 1]), sketches[row : row + 1])
        drawn, given = (view.encoder(x.expand(-1, 3, -1, -1), list(SKETCH_TAPS)) for x in pair)
        for tap in SKETCH_TAPS:
            _, channels, height, width = drawn[tap].shape
            for channel in range(channels):
                difference = drawn[tap][0, channel] - given[tap][0, channel]
                expected += (weights[tap][channel] * difference.square().sum() / (height * width)).item()
    assert sketch_perceptual(view, images, sketches).item() == pytest.approx(expected / 2)


def test_the_distance_is_nothing_at_its_optimum(view):
    images = random(2, 3, 8, 8)
    assert sketch_perceptual(view, images, view.draw(images)).item() == pytest.approx(0, abs=1e-12)


def test_the_distances_gradient_reaches_the_image_alone(view):
    images, sketches = random(1, 3, 8, 8).requires_grad_(), random(1, 1, 8, 8, seed=1).requires_grad_()
    sketch_perceptual(view, images, sketches).backward()
    assert images.grad.abs().sum() > 0
    assert sketches.grad is None


def test_the_distances_gradient_is_right(view):
    sketches = random(1, 1, 8, 8, seed=1)
    assert gradcheck(
        lambda x: sketch_perceptual(view, x, sketches), random(1, 3, 8, 8).requires_grad_(), fast_mode=True
    )


def test_identity_is_one_minus_the_cosine_of_the_features(view):
    images, originals = random(2, 3, 8, 8), random(2, 3, 8, 8, seed=1)
    features = [view.encoder(x, ["relu3_2"])["relu3_2"].flatten(1) for x in (images, originals)]
    cosines = [(a @ b / (a.norm() * b.norm())).item() for a, b in zip(*features, strict=True)]
    assert image_identity(view.encoder, images, originals).item() == pytest.approx(1 - sum(cosines) / 2)


def test_an_image_is_identical_with_itself(view):
    images = random(2, 3, 8, 8)
    assert image_identity(view.encoder, images, images).item() == pytest.approx(0, abs=1e-12)


def test_identitys_gradient_is_right_and_reaches_the_image_alone(view):
    originals = random(1, 3, 8, 8, seed=1).requires_grad_()
    images = random(1, 3, 8, 8).requires_grad_()
    image_identity(view.encoder, images, originals).backward()
    assert originals.grad is None
    assert gradcheck(lambda x: image_identity(view.encoder, x, originals.detach()), images, fast_mode=True)


def test_lambda_weighs_identity_against_the_sketch():
    identity, sketch = torch.tensor(2.0), torch.tensor(10.0)
    assert weigh_tuning(identity, sketch, 0.25).item() == 8
    assert weigh_tuning(identity, sketch, 0).item() == 10
    assert weigh_tuning(identity, sketch, 1).item() == 2

"""SEGIN's losses: against values computed by hand, their optima, their gradients."""

import pytest
import torch
from torch.autograd import gradcheck

from sketchforge.losses.segin import (
    PUBLISHED_WEIGHTS,
    feature_error,
    mask_error,
    masked_error,
    total_variation,
)
from sketchforge.models.encoder import Encoder


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(((4,), (4,), (4, 6))).double()


def test_the_features_are_those_of_relu3_2(encoder):
    output, target = random(1, 3, 16, 16), random(1, 3, 16, 16, seed=1)
    difference = (encoder(output, ["relu3_2"])["relu3_2"] - encoder(target, ["relu3_2"])["relu3_2"]).abs()
    assert feature_error(encoder, output, target).item() == pytest.approx(difference.mean().item())


def test_the_features_of_an_image_are_its_own(encoder):
    assert feature_error(encoder, random(1, 3, 16, 16), random(1, 3, 16, 16)).item() == 0


def test_features_give_the_target_no_gradient(encoder):
    output, target = random(1, 3, 16, 16).requires_grad_(), random(1, 3, 16, 16, seed=1).requires_grad_()
    feature_error(encoder, output, target).backward()
    assert target.grad is None
    assert output.grad.any()


def test_features_of_other_shapes_are_refused(encoder):
    with pytest.raises(ValueError, match="expected equal shapes"):
        feature_error(encoder, random(1, 3, 16, 16), random(2, 3, 16, 16))


def test_the_mask_by_hand():
    # sigmoid(0) = .5 beside 1, and sigmoid(log 3) = .75 beside .25: mean of .5 and .5
    logits = torch.tensor([0.0, 3.0]).log().nan_to_num(neginf=-30).view(1, 1, 1, 2)
    logits[..., 0] = 0
    assert mask_error(logits, torch.tensor([1.0, 0.25]).view(1, 1, 1, 2)).item() == pytest.approx(0.5)


def test_the_masked_image_counts_where_the_mask_is():
    output, target = torch.ones(1, 3, 1, 4), torch.zeros(1, 3, 1, 4)
    mask = torch.tensor([0.0, 0.5, 1.0, 0.0]).view(1, 1, 1, 4)
    assert masked_error(output, target, mask).item() == pytest.approx((0.5 + 1) / 4)


def test_the_masked_image_is_free_outside_of_the_mask():
    target = random(1, 3, 2, 2)
    mask = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).view(1, 1, 2, 2)
    assert masked_error(target + 5 * (1 - mask), target, mask).item() == 0


def test_total_variation_by_hand():
    # Rows differ by 2 and 2, mean 2; columns by 1 and 1, mean 1.
    image = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).view(1, 1, 2, 2)
    assert total_variation(image).item() == pytest.approx(3)


def test_an_even_image_has_no_variation():
    assert total_variation(torch.full((2, 3, 4, 4), 0.3)).item() == 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: mask_error(x, random(1, 1, 2, 3, seed=9)),
        lambda x: masked_error(x, random(1, 1, 2, 3, seed=9), random(1, 1, 2, 3, seed=8).abs()),
        total_variation,
    ],
)
def test_gradients_are_those_of_the_values(loss):
    assert gradcheck(loss, (random(1, 1, 2, 3).requires_grad_(),))


def test_the_weights_are_as_published_in_the_first_reading():
    """w1=100, w2=5e-6, w3=1, w4=100, w5=w6=10: the index that is misprinted is that of 1.0."""
    assert PUBLISHED_WEIGHTS == (100, 5e-6, 1, 100, 10, 10)

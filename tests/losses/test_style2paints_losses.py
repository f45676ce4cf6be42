"""Style2Paints' losses: against values computed by hand, their optima, their gradients."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from sketchforge.losses.absolute_error import absolute_error
from sketchforge.losses.style2paints import (
    auxiliary_discriminator,
    auxiliary_generator,
    entry_target,
    hint_divergence,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logit(probability):
    return math.log(probability / (1 - probability))


def vector(*probabilities):
    """Logits (1,N) of these probabilities."""
    return torch.tensor([[logit(probability) for probability in probabilities]], dtype=torch.float64)


def test_absolute_error_is_the_mean_over_elements():
    output = torch.tensor([1.0, -1.0, 0.5, 0.0]).view(1, 1, 2, 2)
    assert absolute_error(output, torch.zeros(1, 1, 2, 2)).item() == pytest.approx((1 + 1 + 0.5 + 0) / 4)


def test_absolute_error_of_an_image_to_itself_is_zero():
    assert absolute_error(random(2, 3, 4, 4), random(2, 3, 4, 4)).item() == 0


def test_images_of_other_shapes_are_refused_where_torch_would_broadcast():
    with pytest.raises(ValueError, match=r"output is \(2,1,4,4\), target \(2,3,4,4\)"):
        absolute_error(random(2, 1, 4, 4), random(2, 3, 4, 4))


def test_the_grey_target_is_the_luma():
    image = torch.tensor([1.0, 0.5, -1.0]).view(1, 3, 1, 1)
    assert entry_target(image, "grey").item() == pytest.approx(0.299 * 1 + 0.587 * 0.5 - 0.114)


@pytest.mark.parametrize("level", [-1.0, 0.25, 1.0])
def test_the_grey_target_of_a_grey_image_is_the_image(level):
    grey = entry_target(torch.full((2, 3, 4, 4), level, dtype=torch.float64), "grey")
    torch.testing.assert_close(grey, torch.full((2, 1, 4, 4), level, dtype=torch.float64))


def test_the_colour_target_is_the_image():
    assert torch.equal(entry_target(random(2, 3, 4, 4), "colour"), random(2, 3, 4, 4))


def test_another_target_is_refused():
    with pytest.raises(ValueError, match="kind is 'gray', expected grey or colour"):
        entry_target(random(1, 3, 2, 2), "gray")


def test_the_divergence_by_hand():
    # Target .8 and found .5: .8·log(.8/.5) + .2·log(.2/.5). Target and found .3: 0. Mean of the two.
    first = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert hint_divergence(vector(0.5, 0.3), vector(0.8, 0.3)).item() == pytest.approx(first / 2)


def test_the_divergence_is_zero_where_the_logits_are_the_hint():
    assert hint_divergence(random(3, 5), random(3, 5)).item() == pytest.approx(0, abs=1e-12)


def test_the_divergence_grows_away_from_the_hint_on_either_side():
    hint = random(3, 5)
    values = [hint_divergence(hint + shift, hint).item() for shift in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    assert values[0] > values[1] > values[2] < values[3] < values[4]


def test_the_divergence_gives_the_hint_no_gradient():
    hint, logits = random(3, 5).requires_grad_(), random(3, 5, seed=1).requires_grad_()
    hint_divergence(logits, hint).backward()
    assert hint.grad is None
    assert logits.grad.any()


def test_a_hint_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"logits are \(3,1\), hint \(3,5\)"):
        hint_divergence(random(3, 1), random(3, 5))


def test_the_auxiliary_discriminator_by_hand():
    # Real as wanted: 0. Fake .25, wanted 0: -log(1 - .25).
    hint = vector(0.8, 0.3)
    loss = auxiliary_discriminator(hint, vector(0.25, 0.25), hint)
    assert loss.item() == pytest.approx(-math.log(0.75))


def test_the_auxiliary_discriminator_is_zero_at_its_optimum():
    """The hint for a real image, 0 for a fake one."""
    hint = random(3, 5)
    assert auxiliary_discriminator(hint, torch.full_like(hint, -40), hint).item() == pytest.approx(
        0, abs=1e-12
    )


def test_the_auxiliary_generator_is_zero_where_the_hint_is_found_in_its_image():
    hint = random(3, 5)
    assert auxiliary_generator(hint.clone(), hint).item() == pytest.approx(0, abs=1e-12)


def test_generator_and_discriminator_pull_apart():
    """Where the hint is found in a fake image, the one has what it wants, the other does not."""
    fake, hint = random(3, 5, seed=1).requires_grad_(), random(3, 5)
    (towards_hint,) = torch.autograd.grad(auxiliary_generator(fake, hint), fake)
    (towards_zero,) = torch.autograd.grad(auxiliary_discriminator(hint, fake, hint), fake)
    assert (towards_zero > 0).all()
    assert torch.equal(towards_hint < 0, fake < hint)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: absolute_error(x, random(2, 3, seed=9)),
        lambda x: hint_divergence(x, random(2, 3, seed=9)),
        lambda x: auxiliary_discriminator(x, 2 * x, random(2, 3, seed=9)),
        lambda x: auxiliary_generator(x, random(2, 3, seed=9)),
    ],
)
def test_gradients_are_those_of_the_values(loss):
    assert gradcheck(loss, (random(2, 3).requires_grad_(),))


def test_the_grey_target_passes_gradients():
    assert gradcheck(lambda x: entry_target(x, "grey"), (random(1, 3, 2, 2).requires_grad_(),))

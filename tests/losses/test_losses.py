"""The losses against values computed by hand, and that they reward what they should."""

import math

import pytest
import torch

from sketchforge.losses.adversarial import (
    ADVERSARIAL,
    hinge_discriminator,
    hinge_generator,
    log_discriminator,
    log_generator,
    r1_weight,
)
from sketchforge.losses.tom import content_loss, gram_loss
from sketchforge.models.features import adain, gram


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1)


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_hinge_discriminator_by_hand():
    # real: max(0, 1-2) = 0 and max(0, 1+1) = 2, mean 1
    # fake: max(0, 1-3) = 0 and max(0, 1+0.5) = 1.5, mean 0.75
    assert hinge_discriminator(logits(2, -1), logits(-3, 0.5)).item() == pytest.approx(1.75)


def test_hinge_generator_by_hand():
    assert hinge_generator(logits(2, -1)).item() == pytest.approx(-0.5)


def test_log_discriminator_by_hand():
    # Equation 5 with D = sigmoid(logit): -log .8 for the real one, -log(1 - .25) for the fake one
    real, fake = logits(math.log(0.8 / 0.2)), logits(math.log(0.25 / 0.75))
    assert log_discriminator(real, fake).item() == pytest.approx(-math.log(0.8) - math.log(0.75))


def test_log_generator_by_hand():
    assert log_generator(logits(math.log(0.25 / 0.75))).item() == pytest.approx(-math.log(0.25))


def test_log_losses_stay_finite_where_the_logarithm_would_not():
    assert log_discriminator(logits(-500), logits(500)).item() == pytest.approx(1000)
    assert log_generator(logits(-500)).item() == pytest.approx(500)


def test_hinge_is_content_beyond_its_margin_and_log_never_is():
    """What sets the two apart: a discriminator that is right by more than 1 gets no hinge gradient."""
    for loss, moves in ((hinge_discriminator, False), (log_discriminator, True)):
        real, fake = logits(2.0).requires_grad_(), logits(-2.0).requires_grad_()
        loss(real, fake).backward()
        assert (real.grad.abs().item() > 0) is moves
        assert (fake.grad.abs().item() > 0) is moves


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_better_fakes_help_the_generator_and_hurt_the_discriminator(name):
    discriminator, generator = ADVERSARIAL[name]
    poor, good, real = logits(-0.5, -0.2), logits(0.3, 0.4), logits(0.5, 0.9)
    assert generator(good) < generator(poor)
    assert discriminator(real, good) > discriminator(real, poor)
    assert discriminator(good, real) > discriminator(real, good)  # taking the one for the other costs


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_losses_are_means(name):
    """Losses do not grow with the batch."""
    discriminator, generator = ADVERSARIAL[name]
    real, fake = logits(0.3, -0.4), logits(0.1, -2)
    torch.testing.assert_close(discriminator(real.repeat(3, 1), fake.repeat(3, 1)), discriminator(real, fake))
    torch.testing.assert_close(generator(fake.repeat(3, 1)), generator(fake))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_gradients(name):
    discriminator, generator = ADVERSARIAL[name]
    real, fake = logits(0.3, -0.4).requires_grad_(), logits(0.1, -2).requires_grad_()
    assert torch.autograd.gradcheck(discriminator, (real, fake))
    assert torch.autograd.gradcheck(generator, (fake,))


def test_content_loss_is_zero_at_the_target_of_equation_4():
    photo, drawing = maps(2, 3, 4, 4, seed=1), maps(2, 3, 5, 5, seed=2)
    assert content_loss(adain(photo, drawing), photo, drawing).item() == 0


def test_content_loss_by_hand():
    # The drawing's channel has mean 2 and unbiased variance 4/3; the photo's normalised map is +-sqrt(3)/2.
    photo = torch.tensor([0.0, 0.0, 2.0, 2.0], dtype=torch.float64).view(1, 1, 2, 2)
    drawing = torch.tensor([1.0, 3.0, 1.0, 3.0], dtype=torch.float64).view(1, 1, 2, 2)
    # So the target is 2 +- 1, and a sketch of zeros is off by 1, 1, 3, 3: mean square (1 + 1 + 9 + 9) / 4.
    assert content_loss(torch.zeros_like(photo), photo, drawing).item() == pytest.approx(5, rel=1e-4)


def test_content_loss_gradients():
    tensors = [maps(1, 2, 3, 3, seed=seed).requires_grad_() for seed in (1, 2, 3)]
    assert torch.autograd.gradcheck(content_loss, tensors)


def test_gram_loss_is_zero_on_the_drawings_themselves_in_any_order():
    drawings = {"relu1_1": maps(3, 2, 4, 4), "relu2_1": maps(3, 4, 2, 2)}
    assert gram_loss(drawings, drawings).item() == 0
    assert gram_loss({tap: x.flip(0) for tap, x in drawings.items()}, drawings).item() < 1e-25


def test_gram_loss_by_hand():
    one, two = torch.ones(1, 1, 2, 2), 2 * torch.ones(1, 1, 2, 2)  # Gram matrices 1 and 4
    assert gram_loss({"a": one}, {"a": two}).item() == pytest.approx(9 / 16)
    # Averaged over taps: (9/16 + 9/1) / 2
    assert gram_loss({"a": one, "b": two}, {"a": two, "b": one}).item() == pytest.approx((9 / 16 + 9) / 2)


def test_gram_loss_compares_batch_means_and_leaves_each_drawing_its_style():
    drawings = {
        "a": torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 7.0**0.5)])
    }  # 1 and 7, mean 4
    sketches = {"a": torch.full((2, 1, 2, 2), 2.0)}  # 4 and 4
    assert gram_loss(sketches, drawings).item() == pytest.approx(0, abs=1e-10)


def test_gram_loss_does_not_depend_on_the_encoders_scale():
    sketches, drawings = maps(2, 3, 4, 4, seed=1), maps(2, 3, 4, 4, seed=2)
    torch.testing.assert_close(
        gram_loss({"a": 10 * sketches}, {"a": 10 * drawings}), gram_loss({"a": sketches}, {"a": drawings})
    )


def test_gram_loss_equals_its_definition():
    sketches, drawings = maps(2, 3, 4, 4, seed=1), maps(2, 3, 4, 4, seed=2)
    ours, theirs = gram(sketches).mean(0), gram(drawings).mean(0)
    expected = sum((a - b) ** 2 for a, b in zip(ours.flatten().tolist(), theirs.flatten().tolist()))
    expected /= sum(b**2 for b in theirs.flatten().tolist())
    assert gram_loss({"a": sketches}, {"a": drawings}).item() == pytest.approx(expected)


def test_gram_loss_gradients():
    sketches, drawings = maps(2, 2, 3, 3, seed=1).requires_grad_(), maps(2, 2, 3, 3, seed=2)
    assert torch.autograd.gradcheck(lambda x: gram_loss({"a": x}, {"a": drawings}), (sketches,))


def test_the_weight_of_r1_grows_with_the_area_and_falls_with_the_batch():
    assert r1_weight(64, 8) == pytest.approx(2e-4 * 4096 / 8)
    assert r1_weight(128, 8) == pytest.approx(4 * r1_weight(64, 8))
    assert r1_weight(64, 16) == pytest.approx(r1_weight(64, 8) / 2)

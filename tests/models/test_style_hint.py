"""The style hint: normalised, frozen, independent of the batch, and told by the photos that it is calibrated on."""

import pytest
import torch

from sketchforge.models.style_hint import LITE0, NUM_FEATURES, StyleHint


def images(count, side=64, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def hint():
    torch.manual_seed(0)
    hint = StyleHint("builtin")
    hint.calibrate(images(4, seed=1) * torch.linspace(0.2, 1, 4).view(4, 1, 1, 1))
    return hint


@pytest.mark.parametrize(("network", "size"), [("builtin", 480), ("builtin", 7), (LITE0, 1280), (LITE0, 20)])
def test_a_hint_has_the_length_that_is_asked_for(network, size):
    asked = None if size == NUM_FEATURES[network] else size
    assert StyleHint(network, asked)(images(1)).shape == (1, size)


def test_a_hint_is_globally_normalised(hint):
    for values in hint(images(3) * 0.3):
        assert values.mean().item() == pytest.approx(0, abs=1e-5)
        assert values.std(unbiased=False).item() == pytest.approx(1, abs=1e-2)


def test_a_hint_does_not_depend_on_its_batch(hint):
    batch = images(3)
    torch.testing.assert_close(hint(batch)[1:2], hint(batch[1:2]), rtol=1e-4, atol=1e-4)


def test_a_hint_tells_colours_and_textures_apart(hint):
    grey = torch.zeros(1, 3, 64, 64)
    red = grey + torch.tensor([0.8, -0.5, -0.5]).view(1, 3, 1, 1)
    noisy = grey + 0.5 * images(1)
    vectors = [hint(image) for image in (grey, red, noisy)]
    for first in range(3):
        for second in range(first):
            assert (vectors[first] - vectors[second]).abs().mean() > 0.1


def test_calibration_takes_the_mean_hint_away():
    """By hand, before the global normalisation: the photos' features have mean 0, and deviation 1 where they vary."""
    torch.manual_seed(0)
    hint = StyleHint("builtin")
    photos = images(5, seed=3) * torch.linspace(0.1, 1, 5).view(5, 1, 1, 1)
    hint.calibrate(photos)
    standardised = (hint._pool_features(photos) - hint.mean) * hint.scale
    torch.testing.assert_close(standardised.mean(0), torch.zeros(480), atol=1e-4, rtol=0)
    deviations = standardised.std(0, unbiased=False)
    assert deviations.max().item() == pytest.approx(1, abs=1e-3)
    assert (deviations > 0.99).float().mean() > 0.3


def test_a_feature_that_no_photo_varies_counts_as_nothing():
    hint = StyleHint("builtin")
    hint.calibrate(torch.full((2, 3, 64, 64), 0.3))
    assert not hint.scale.any()
    assert not hint(images(2)).any()


def test_a_feature_that_hardly_varies_is_not_enlarged_without_bound():
    """Photos that differ by a thousandth: a feature is told by a tenth of its mean, not by its deviation."""
    torch.manual_seed(0)
    hint = StyleHint("builtin")
    photos = torch.full((2, 3, 64, 64), 0.5)
    photos[1] += 1e-3
    hint.calibrate(photos)
    varies = hint.scale > 0
    assert varies.any()
    assert (hint.scale * hint.mean.abs())[varies].max() < 10.01


def test_a_short_hint_is_a_projection_that_does_not_change():
    first, second = (StyleHint("builtin", 9).projection for _ in range(2))
    assert torch.equal(first, second)
    assert (first.abs() > 0).all()


def test_a_hint_is_frozen_and_stays_in_eval_mode():
    hint = StyleHint(LITE0, 8)
    assert not any(parameter.requires_grad for parameter in hint.parameters())
    assert not any(module.training for module in torch.nn.ModuleList([hint]).train().modules() if module is not hint
                   and not isinstance(module, torch.nn.ModuleList))  # fmt: skip
    image = images(1).requires_grad_()
    assert not hint(image).requires_grad


@pytest.mark.parametrize(
    ("network", "size", "message"),
    [
        ("vgg16", None, "network is 'vgg16', expected builtin, efficientnet-lite0, vgg19"),
        ("builtin", 481, "size is 481, expected 1 to 480"),
        ("builtin", 0, "size is 0, expected 1 to 480"),
    ],
)
def test_what_is_no_hint_is_refused(network, size, message):
    with pytest.raises(ValueError, match=message):
        StyleHint(network, size)

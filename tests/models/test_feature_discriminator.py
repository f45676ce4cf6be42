"""The discriminator of features: what it looks at, how far a logit sees, and what it does not own."""

import pytest
import torch

from sketchforge.models.encoder import Encoder, freeze, orthogonal_encoder
from sketchforge.models.feature_discriminator import TAPS, FeatureDiscriminator


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return orthogonal_encoder(torch.Generator().manual_seed(0))


def judge_of(encoder: Encoder) -> FeatureDiscriminator:
    torch.manual_seed(1)
    return FeatureDiscriminator(encoder, 0.0625).eval()


def images(count: int = 2, size: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("size", [64, 128])
def test_every_layer_has_logits_of_an_eighth_of_the_side(encoder, size):
    assert judge_of(encoder)(images(size=size)).shape == (2, len(TAPS), size // 8, size // 8)


def test_the_encoder_belongs_to_somebody_else(encoder):
    judge = judge_of(encoder)
    owned = {id(parameter) for parameter in judge.parameters()}
    assert not owned & {id(parameter) for parameter in encoder.parameters()}
    assert all(name.startswith("heads.") for name in judge.state_dict())


def test_logits_are_of_the_features_of_their_layer_alone(encoder):
    """Head by head, as by hand from what the encoder gives."""
    judge, image = judge_of(encoder), images()
    features = encoder(image, list(TAPS))
    logits = judge(image)
    for channel, (tap, head) in enumerate(judge.heads.items()):
        torch.testing.assert_close(logits[:, channel : channel + 1], head(features[tap]))


def test_logits_of_an_image_do_not_depend_on_its_batch(encoder):
    judge, image = judge_of(encoder), images(3)
    together = judge(image)
    for i in range(3):
        torch.testing.assert_close(judge(image[i : i + 1]), together[i : i + 1], atol=1e-5, rtol=1e-4)


def test_gradients_go_back_through_the_encoder_to_the_image(encoder):
    image = images().requires_grad_()
    judge_of(encoder)(image).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().amax(dim=(1, 2, 3)).min() > 0


def test_an_encoder_that_lacks_a_layer_is_refused():
    with pytest.raises(ValueError, match="no layer 'relu4_1'"):
        FeatureDiscriminator(freeze(Encoder(((8, 8), (8, 8), (8, 8)))), 0.125)

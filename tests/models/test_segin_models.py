"""SEGIN's networks: shapes, what each part sees, the non-local layer against a double loop."""

import math

import pytest
import torch
from torch import nn

from sketchforge.models.segin import (
    ConvReluNorm,
    NonLocal,
    PairDiscriminator,
    Translator,
    side_of_bottleneck,
)

WIDTH = 0.0625


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def translator():
    torch.manual_seed(0)
    return Translator(64, WIDTH).eval()


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_images_and_masks_of_every_size_come_out_of_the_translator(size):
    with torch.device("meta"):
        made = Translator(size, WIDTH)(torch.empty(2, 1, size, size), torch.empty(2, 3, size, size))
        logits = PairDiscriminator(size, WIDTH)(torch.empty(2, 1, size, size), made.image)
    assert made.image.shape == (2, 3, size, size)
    assert made.mask_logits.shape == (2, 1, size, size)
    assert logits.shape == (2, 1, size // 16, size // 16)
    assert side_of_bottleneck(size) == 16


def test_there_are_six_blocks_and_three_non_local_layers_with_residual_blocks_between(translator):
    assert [type(block) for block in translator.downs] == [ConvReluNorm] * 6
    assert [type(layer).__name__ for layer in translator.bottleneck] == [
        "NonLocal", "PlainResidual", "NonLocal", "PlainResidual", "NonLocal",
    ]  # fmt: skip
    assert [type(layer) for layer in translator.downs[0]] == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]


def test_the_rows_of_table_2_leave_layers_out():
    plain = Translator(64, WIDTH, non_local=False, masks=False).eval()
    assert not any(isinstance(module, NonLocal) for module in plain.modules())
    made = plain(random(1, 1, 64, 64), random(1, 3, 64, 64))
    assert not made.mask_logits.any()
    assert made.image.shape == (1, 3, 64, 64)


@torch.no_grad()
def test_a_non_local_layer_is_the_double_loop():
    torch.manual_seed(0)
    layer = NonLocal(4).double()
    nn.init.normal_(layer.output.weight)
    x = random(1, 4, 2, 3).double()
    theta, phi, value = (conv(x)[0].flatten(1).T for conv in (layer.theta, layer.phi, layer.value))
    means = []
    for i in range(6):
        weights = [math.exp(float(theta[i] @ phi[j])) for j in range(6)]
        means.append(sum(weight * value[j] for j, weight in enumerate(weights)) / sum(weights))
    expected = x + layer.output(torch.stack(means).T.reshape(1, 2, 2, 3))
    torch.testing.assert_close(layer(x), expected)


def test_a_non_local_layer_begins_as_the_identity():
    x = random(2, 8, 4, 4)
    assert torch.equal(NonLocal(8)(x), x)


def test_sketch_and_auxiliary_image_both_count(translator):
    sketch, auxiliary = random(1, 1, 64, 64), random(1, 3, 64, 64)
    image = translator(sketch, auxiliary).image
    assert not torch.equal(translator(-sketch, auxiliary).image, image)
    assert not torch.equal(translator(sketch, -auxiliary).image, image)


def test_images_are_in_their_range(translator):
    assert translator(random(2, 1, 64, 64), random(2, 3, 64, 64)).image.abs().max() <= 1


def test_the_discriminator_sees_sketch_and_image():
    judge = PairDiscriminator(64, WIDTH).eval()
    sketch, image = random(1, 1, 64, 64), random(1, 3, 64, 64)
    assert not torch.equal(judge(sketch, image), judge(-sketch, image))
    assert not torch.equal(judge(sketch, image), judge(sketch, -image))


def test_every_convolution_of_the_discriminator_has_spectral_norm():
    judge = PairDiscriminator(64, WIDTH)
    convs = [module for module in judge.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 5
    assert all(hasattr(conv, "parametrizations") for conv in convs)


def test_no_image_depends_on_its_batch(translator):
    sketch, auxiliary = random(3, 1, 64, 64), random(3, 3, 64, 64)
    whole, alone = translator(sketch, auxiliary), translator(sketch[1:2], auxiliary[1:2])
    for first, second in zip(whole, alone, strict=True):
        torch.testing.assert_close(first[1:2], second, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    translator, judge = Translator(64, WIDTH), PairDiscriminator(64, WIDTH)
    for layer in translator.bottleneck:
        if isinstance(layer, NonLocal):
            nn.init.normal_(layer.output.weight)  # else nothing before it would get any
    sketch = random(2, 1, 64, 64)
    made = translator(sketch, random(2, 3, 64, 64))
    (judge(sketch, made.image).square().sum() + made.mask_logits.square().sum()).backward()
    dead = [name for module in (translator, judge) for name, x in module.named_parameters() if x.grad is None]
    assert dead == []


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Translator(1024, WIDTH), "size is 1024, expected one of 64, 128, 256, 512"),
        (lambda: PairDiscriminator(64, 0), "width is 0, expected a factor above 0"),
        (
            lambda: Translator(64, WIDTH)(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)),
            r"sketch is \(1,3,",
        ),
        (
            lambda: Translator(64, WIDTH)(torch.zeros(2, 1, 64, 64), torch.zeros(1, 3, 64, 64)),
            r"auxiliary is \(1,",
        ),
        (
            lambda: PairDiscriminator(64, WIDTH)(torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)),
            "image is",
        ),
    ],
)
def test_what_is_none_of_its_inputs_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()

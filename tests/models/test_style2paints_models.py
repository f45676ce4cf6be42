"""Style2Paints' networks: published widths, what each part sees, and that no image depends on its batch."""

import pytest
import torch
from torch import nn

from sketchforge.models.style2paints import (
    GuideDecoder,
    ResidualUnet,
    Style2Paints,
    VectorDiscriminator,
)
from sketchforge.models.style_hint import StyleHint

WIDTH, HINT = 0.0625, 12


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return ResidualUnet(64, WIDTH, HINT)


def test_the_encoder_has_the_published_widths():
    with torch.device("meta"):
        unet = ResidualUnet(256, 1.0, 4096)
        maps = unet(torch.empty(1, 1, 256, 256), torch.empty(1, 4096))
        widths = {side: tuple(x.shape[1:]) for side, x in unet.encode(torch.empty(1, 1, 256, 256)).items()}
    published = {256: 16, 128: 32, 64: 64, 32: 128, 16: 256}
    assert widths == {side: (width, side, side) for side, width in published.items()}
    assert maps.entry.shape[1:] == (256, 16, 16)
    assert maps.exit.shape[1:] == (512, 16, 16)


def test_the_middle_and_the_decoder_have_the_published_widths():
    with torch.device("meta"):
        unet = ResidualUnet(256, 1.0, 4096)
    assert unet.middle.dense.weight.shape == (2048, 4096)
    assert unet.middle.second.weight.shape[:2] == (
        2048,
        2048,
    )
    assert {side: up.weight.shape[0] for side, up in unet.ups.items()} == {
        "16": 512, "32": 128, "64": 64, "128": 32, "256": 64,
    }  # fmt: skip


def test_the_guides_have_the_published_widths():
    with torch.device("meta"):
        guide = GuideDecoder(256, 1.0, 256, 1)
    assert [guide.first.weight.shape[0], *(up.weight.shape[0] for up in guide.ups)] == [512, 256, 128, 64, 32]


def test_every_decoder_map_gets_the_encoder_map_of_its_side():
    """Ours, where the figure's widths do not match: all five."""
    with torch.device("meta"):
        unet = ResidualUnet(256, 1.0, 4096)
    inputs = [up.weight.shape[1] for up in unet.ups.values()] + [unet.to_rgb.weight.shape[1]]
    assert inputs == [2048, 512 + 256, 128 + 128, 64 + 64, 32 + 32, 64 + 16]


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_images_of_every_size_come_out_of_u_net_guide_and_discriminator(size):
    with torch.device("meta"):
        maps = ResidualUnet(size, WIDTH, HINT)(torch.empty(2, 1, size, size), torch.empty(2, HINT))
        entry = GuideDecoder(size, WIDTH, maps.entry.shape[1], 1)(maps.entry)
        colour = GuideDecoder(size, WIDTH, maps.exit.shape[1], 3)(maps.exit)
        logits = VectorDiscriminator(size, WIDTH, HINT)(maps.image)
    assert maps.image.shape == colour.shape == (2, 3, size, size)
    assert entry.shape == (2, 1, size, size)
    assert logits.shape == (2, HINT)


def test_images_are_in_their_range(unet):
    image = unet(random(2, 1, 64, 64), 10 * random(2, HINT)).image
    assert image.abs().max() <= 1


def test_the_hint_changes_the_image_and_the_exit_but_not_the_entry(unet):
    sketch = random(1, 1, 64, 64)
    first, second = (unet(sketch, random(1, HINT, seed=seed)) for seed in (1, 2))
    assert torch.equal(first.entry, second.entry)
    assert not torch.allclose(first.exit, second.exit, atol=1e-3)
    assert not torch.allclose(first.image, second.image, atol=1e-3)


def test_the_sketch_reaches_the_image_past_the_middle(unet):
    """A skip at the full resolution: without the maps of the middle a pixel still counts."""
    maps = unet.encode(random(1, 1, 64, 64))
    exit_map = torch.zeros_like(unet.join(maps, random(1, HINT)))
    other = {side: x + (side == 64) * 0.1 for side, x in maps.items()}
    assert not torch.equal(unet.decode(maps, exit_map), unet.decode(other, exit_map))


def test_forward_is_its_three_parts(unet):
    sketch, hint = random(2, 1, 64, 64), random(2, HINT)
    maps = unet.encode(sketch)
    assert torch.equal(unet(sketch, hint).image, unet.decode(maps, unet.join(maps, hint)))


@pytest.mark.parametrize("training", [True, False])
def test_no_image_depends_on_its_batch(unet, training):
    unet.train(training)
    sketch, hint = random(3, 1, 64, 64), random(3, HINT)
    torch.testing.assert_close(
        unet(sketch, hint).image[1:2], unet(sketch[1:2], hint[1:2]).image, rtol=1e-4, atol=1e-5
    )


def test_no_verdict_depends_on_its_batch():
    judge, images = VectorDiscriminator(64, WIDTH, 5), random(3, 3, 64, 64)
    torch.testing.assert_close(judge(images)[2:], judge(images[2:]), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(unet):
    maps = unet(random(2, 1, 64, 64), random(2, HINT))
    guides = [GuideDecoder(64, WIDTH, x.shape[1], 1) for x in (maps.entry, maps.exit)]
    judge = VectorDiscriminator(64, WIDTH, 3)
    outputs = [judge(maps.image), guides[0](maps.entry), guides[1](maps.exit)]
    sum(x.square().sum() for x in outputs).backward()
    for module in (unet, *guides, judge):
        assert [name for name, x in module.named_parameters() if x.grad is None or not x.grad.any()] == []


def test_the_middle_is_what_lies_between_entry_and_exit(unet):
    unet.zero_grad(set_to_none=True)
    maps = unet(random(2, 1, 64, 64), random(2, HINT))
    maps.exit.square().sum().backward()
    middle = {id(parameter) for parameter in unet.middle_parameters()}
    after_entry = {
        id(parameter)
        for name, parameter in unet.named_parameters()
        if parameter.grad is not None and not name.startswith("downs.")
    }
    assert middle == after_entry


def test_the_whole_model_is_its_hint_and_its_unet():
    torch.manual_seed(0)
    hint = StyleHint("builtin", HINT)
    model = Style2Paints(ResidualUnet(64, WIDTH, HINT), hint)
    sketch, style = random(2, 1, 64, 64), random(2, 3, 64, 64)
    assert torch.equal(model(sketch, style), model.unet(sketch, hint(style)).image)
    assert (model.size, model.style_dim) == (64, HINT)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ResidualUnet(96, WIDTH, HINT), "size is 96, expected one of 64, 128"),
        (lambda: GuideDecoder(64, 0, 8, 1), "width is 0, expected a factor above 0"),
        (lambda: VectorDiscriminator(32, WIDTH, 1), "size is 32"),
        (
            lambda: Style2Paints(ResidualUnet(64, WIDTH, 4), StyleHint("builtin", 5)),
            "hints of 4 numbers, they have 5",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("sketch", "hint", "message"),
    [
        ((2, 3, 64, 64), (2, HINT), r"sketch is \(2,3,64,64\), expected \(2,1,64,64\)"),
        ((2, 1, 64, 64), (1, HINT), r"hint is \(1,12\), expected \(2,12\)"),
        ((2, 1, 64, 64), (2, 7), r"hint is \(2,7\), expected \(2,12\)"),
    ],
)
def test_other_shapes_are_refused(unet, sketch, hint, message):
    with pytest.raises(ValueError, match=message):
        unet(torch.zeros(sketch), torch.zeros(hint))


def test_a_narrow_network_keeps_the_mean_of_a_channel():
    """In which the hint enters: no group of GroupNorm is a channel by itself."""
    for module in ResidualUnet(64, 0.02, HINT).modules():
        if isinstance(module, nn.GroupNorm):
            assert module.num_channels // module.num_groups >= 8

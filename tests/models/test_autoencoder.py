"""The auto-encoder: shapes at every size, what each switch changes, and that content and style both count."""

import itertools

import pytest
import torch
from torch import nn

from sketchforge.models.autoencoder import (
    DECODER_CHANNELS,
    DMI,
    ENCODER_CHANNELS,
    SIZES,
    AutoEncoder,
    ContentFeatures,
    channels_at,
)
from sketchforge.models.layers import PADDINGS, SLOPE, SqueezeExcitation, count_parameters
from sketchforge.models.modulation import STYLES, Multiplication

SWITCHES = list(itertools.product(DMI, STYLES))
NARROW = 0.125


def model(size: int = 64, width: float = NARROW, **switches) -> AutoEncoder:
    torch.manual_seed(0)
    return AutoEncoder(size, width, **switches)


def plateaued(**switches) -> AutoEncoder:
    """For evaluation: BatchNorm knows the images, as after a training."""
    made = model(**switches)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    made(sketches(4), images(4))
    return made.eval()


def test_squeeze_and_excitation_is_torchvisions():
    """To the bit, initial values included, so that models of either can be exchanged."""
    from torchvision import ops

    def leaky() -> nn.Module:
        return nn.LeakyReLU(SLOPE)

    torch.manual_seed(0)
    ours = SqueezeExcitation(16, 2)
    torch.manual_seed(0)
    theirs = ops.SqueezeExcitation(16, 2, leaky)
    maps = torch.randn(2, 16, 8, 8)
    assert torch.equal(ours(maps), theirs(maps))
    assert list(ours.state_dict()) == list(theirs.state_dict())


def images(count: int = 2, channels: int = 3, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Blocks of 8 pixels in random colours, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.rand(count, channels, size // 8, size // 8, generator=generator) * 2 - 1
    return nn.functional.interpolate(blocks, size=size)


def sketches(count: int = 2, size: int = 64, seed: int = 0) -> torch.Tensor:
    return images(count, 1, size, seed).sign()


@pytest.mark.parametrize("size", SIZES)
def test_the_auto_encoder_takes_images_of_every_size(size):
    with torch.device("meta"):
        made = AutoEncoder(size, 0.0625)
        sketch, image = torch.empty(2, 1, size, size), torch.empty(2, 3, size, size)
    content, style = made.encode_content(sketch), made.encode_style(image)
    expected = {side: (2, channels_at(ENCODER_CHANNELS, side, 0.0625), side, side) for side in (8, 16, 32)}
    assert {side: tuple(x.shape) for side, x in content.maps.items()} == expected
    assert {side: tuple(x.shape) for side, x in content.masks.items()} == expected
    assert content.bottleneck is content.maps[8]
    assert content.pooled.shape == (2, 32)
    assert style.shape == (2, 32)
    assert made.style_dim == 32
    assert made.decode(content, style).shape == made(sketch, image).shape == (2, 3, size, size)


@pytest.mark.parametrize(
    ("size", "fine"),
    [
        (64, [16, 32, 64]),
        (128, [32, 64, 128]),
        (256, [64, 128, 256]),
        (512, [64, 128, 256, 512]),
        (1024, [64, 128, 256, 512]),
    ],
)
def test_style_enters_at_the_coarsest_and_at_the_fine_maps(size, fine):
    with torch.device("meta"):
        entered = AutoEncoder(size, NARROW).decoder.modulations
    assert [int(side) for side in entered] == [8, *fine]


def test_f_content_is_8_by_8_at_any_size_and_levels_halve():
    for size in SIZES:
        with torch.device("meta"):
            sides = [int(side) for side in AutoEncoder(size, NARROW).content_encoder.levels]
        assert sides == [size >> i for i in range(1, size.bit_length() - 3)]
        assert sides[-1] == 8


@pytest.mark.parametrize(
    ("size", "content_side", "sides"),
    [(256, 64, [8, 16, 32, 64]), (1024, 256, [8, 16, 32, 64, 128, 256]), (1024, 64, [8, 16, 32, 64])],
)
def test_the_sketch_can_enter_at_finer_maps(size, content_side, sides):
    """At full width, too, where masks and what they mask must have as many channels."""
    with torch.device("meta"):
        made = AutoEncoder(size, content_side=content_side)
        sketch, image = torch.empty(1, 1, size, size), torch.empty(1, 3, size, size)
    content = made.encode_content(sketch)
    assert sorted(content.maps) == sorted(content.masks) == sides
    assert [int(side) for side in made.decoder.injections] == sides
    assert made.style_encoder.trunk.finest == 32  # nothing of the kind is asked of styles
    assert made(sketch, image).shape == image.shape


def test_lines_are_kept_by_a_finer_map():
    """A line that moves by four pixels of 256 stays where it is for a mask of 32, and not for one of 64."""
    sketch = torch.ones(1, 1, 256, 256)
    sketch[..., 96:98] = -1
    moved = sketch.roll(4, dims=3)
    made = AutoEncoder(256, NARROW, dmi="sketch", content_side=64)
    masks, others = made.encode_content(sketch).masks, made.encode_content(moved).masks
    assert torch.equal(masks[32], others[32])
    assert not torch.equal(masks[64], others[64])


def test_widths_are_multiples_of_8():
    assert [channels_at(ENCODER_CHANNELS, side, 0.3) for side in (8, 16, 32, 64, 512)] == [152, 80, 40, 16, 8]
    assert channels_at(DECODER_CHANNELS, 1024, 1.0) == 8
    assert channels_at(DECODER_CHANNELS, 8, 0.001) == 8


def test_full_size_is_of_the_published_order():
    """The authors' code at 512²: style 14.5 million, content 9.0, decoder 19.0."""
    with torch.device("meta"):
        made = AutoEncoder(512)
    parts = (made.style_encoder, made.content_encoder, made.decoder)
    assert [count_parameters(part) / 1e6 for part in parts] == pytest.approx([13.3, 9.1, 12.0], abs=0.1)


def test_output_lies_within_the_range_of_images():
    output = model()(sketches(), 3 * images())
    assert output.abs().max() <= 1
    assert output.std() > 0.01


@pytest.mark.parametrize(
    ("size", "dmi", "style"),
    [
        *((64, *switches) for switches in SWITCHES),
        (128, *SWITCHES[0]),
        # Layers of one size more, switched as those below are.
        *(pytest.param(128, *switches, marks=pytest.mark.slow) for switches in SWITCHES[1:]),
    ],
)
def test_every_parameter_gets_a_gradient(size, dmi, style):
    made, image = model(size, dmi=dmi, style=style), images(4, size=size)
    output = made(sketches(4, size), image)
    assert output.shape == image.shape
    (output - image).square().mean().backward()
    idle = [name for name, p in made.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not idle


@pytest.mark.parametrize(("dmi", "style"), SWITCHES)
def test_output_follows_sketch_and_style_whatever_the_switches(dmi, style):
    made = plateaued(dmi=dmi, style=style)
    sketch, image = sketches(), images()
    output = made(sketch, image)
    assert (made(sketch.flip(0), image) - output).abs().mean() > 0.01
    assert (made(sketch, image.flip(0)) - output).abs().mean() > 0.001


def test_a_variational_style_is_the_mean_of_its_distribution():
    made = model(variational=True)
    distribution = made.encode_style_distribution(images())
    assert distribution.shape == (len(images()), 2 * made.style_dim)
    assert torch.equal(made.encode_style(images()), distribution[:, : made.style_dim])


def test_switches_change_what_is_there():
    parts = {}
    for dmi, style in SWITCHES:
        decoder = model(dmi=dmi, style=style).decoder
        parts[dmi, style] = [list(decoder.injections), [type(m) for m in decoder.modulations.values()]]
    for (dmi, style), (injected, modulated) in parts.items():
        assert injected == ([] if dmi == "none" else ["8", "16", "32"])
        assert modulated == [Multiplication] + ([] if style == "none" else [STYLES[style]] * 3)


@pytest.mark.parametrize("dmi", ["sketch", "spade"])
def test_mask_of_dmi_by_sketch_is_the_share_of_ink(dmi):
    sketch = torch.ones(1, 1, 64, 64)
    sketch[..., :12, :8] = -1
    masks = model(dmi=dmi).encode_content(sketch).masks
    assert {side: tuple(mask.shape[1:]) for side, mask in masks.items()} == {
        side: (1, side, side) for side in (8, 16, 32)
    }
    assert masks[8][0, 0, :3, 0].tolist() == [1, 0.5, 0]
    assert masks[8].sum() == 1.5
    assert masks[32].sum() == 24


def test_masks_of_feature_dmi_are_the_content_itself():
    content = model().encode_content(sketches())
    for side, mask in content.masks.items():
        assert mask is content.maps[side]
        assert mask.grad_fn is not None
    assert model(dmi="none").encode_content(sketches()).masks == {}


def test_pooled_content_is_the_average_over_places():
    x = torch.arange(2 * 64.0).view(1, 2, 8, 8)
    assert ContentFeatures({8: x}, {}).pooled.tolist() == [[31.5, 95.5]]


@pytest.mark.parametrize("side", [8, 16, 32])
def test_content_enters_by_every_mask(side):
    made = plateaued()
    content, style = made.encode_content(sketches()), made.encode_style(images())
    output = made.decode(content, style)
    (slope,) = torch.autograd.grad(output.square().sum(), content.masks[side])
    assert slope.abs().amax(dim=(2, 3)).min() > 0  # of every image and channel
    blank = ContentFeatures(content.maps, content.masks | {side: torch.zeros_like(content.masks[side])})
    assert (made.decode(blank, style) - output).abs().mean() > 0.001


def test_style_knows_nothing_of_the_sketch_and_content_nothing_of_the_image():
    """Each by its own encoder: another partner changes neither."""
    made = plateaued()
    style, content = made.encode_style(images()), made.encode_content(sketches())
    mixed = made(sketches(), images().flip(0))
    torch.testing.assert_close(mixed, made.decode(content, style.flip(0)))


@pytest.mark.parametrize(("dmi", "style"), SWITCHES)
def test_an_image_comes_out_the_same_whatever_else_is_in_the_batch(dmi, style):
    made = plateaued(dmi=dmi, style=style)
    together = made(sketches(4), images(4))
    for i in range(4):
        alone = made(sketches(4)[i : i + 1], images(4)[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=1e-4)


def test_channels_last_gives_the_same_numbers():
    made = plateaued()
    expected = made(sketches(), images())
    made.to(memory_format=torch.channels_last)
    found = made(*(x.contiguous(memory_format=torch.channels_last) for x in (sketches(), images())))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("style", ["adain", "multiply"])
def test_bfloat16_autocast_trains_and_stays_near(style):
    made = model(style=style).to(memory_format=torch.channels_last)
    sketch, image = sketches(4), images(4)
    expected = made(sketch, image)
    with torch.autocast("cpu", torch.bfloat16):
        output = made(sketch, image)
        (output.float() - image).square().mean().backward()
    assert output.dtype == torch.bfloat16
    assert (output - expected).abs().mean() < 0.05 * expected.abs().mean()
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


def test_four_images_are_learnt():
    """Mean squared error falls to a seventh: content and style get through, and no gate is dead.

    The images are blocks, whose edges are harder than bilinear doubling likes.
    """
    made, image, sketch = model(), images(4), sketches(4, seed=1)
    optimizer = torch.optim.Adam(made.parameters(), 2e-3, (0.5, 0.999))
    losses = []
    for _ in range(40):
        loss = (made(sketch, image) - image).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < losses[0] / 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 96}, "size is 96, expected one of 64, 128, 256, 512, 1024"),
        ({"size": 32}, "size is 32, expected one of"),
        ({"width": 0}, "width is 0, expected a factor above 0"),
        ({"dmi": "edges"}, "dmi is 'edges', expected one of none, sketch, feature, spade"),
        ({"padding": "reflect"}, "padding is 'reflect', expected one of zeros, replicate"),
        ({"content_side": 16}, "content_side is 16, expected one of 32, 64 for a size of 256"),
        ({"size": 128, "content_side": 64}, "content_side is 64, expected one of 32 for a size of 128"),
        ({"style": "sum"}, "style is 'sum', expected one of none, adain, add, multiply"),
    ],
)
def test_unknown_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AutoEncoder(**arguments)


def test_other_shapes_are_refused():
    made = model()
    with pytest.raises(ValueError, match=r"sketch is \(2,3,64,64\), expected \(B,1,64,64\)"):
        made(images(), images())
    with pytest.raises(ValueError, match=r"image is \(2,3,128,128\), expected \(B,3,64,64\)"):
        made(sketches(), images(size=128))


@pytest.mark.parametrize("padding", PADDINGS)
def test_only_with_repeated_borders_does_an_even_picture_have_none(padding):
    """Blank paper and a style of one colour look the same everywhere, along the border, too; so does what is made of even maps."""
    torch.manual_seed(0)
    made = AutoEncoder(64, NARROW, padding=padding).eval()
    with torch.no_grad():
        made.decoder.base.copy_(made.decoder.base.mean((2, 3), keepdim=True).expand_as(made.decoder.base))
        content = made.encode_content(torch.ones(1, 1, 64, 64))
        trunk = made.style_encoder.trunk(torch.full((1, 3, 64, 64), 0.5))
        maps = [*content.maps.values(), *trunk.values()]
        even = content.apply(lambda x: x.mean((2, 3), keepdim=True).expand_as(x))
        maps.append(made.decode(even, torch.randn(1, made.style_dim)))
    spreads = [(x.amax((2, 3)) - x.amin((2, 3))).max().item() for x in maps]
    if padding == "replicate":
        assert max(spreads) < 1e-5
    else:
        assert min(spreads) > 1e-4


def test_repeated_borders_change_nothing_far_from_the_border():
    """The same weights: of the finest map the outermost pixels alone differ."""
    zeros, repeated = AutoEncoder(256, NARROW), AutoEncoder(256, NARROW, padding="replicate")
    repeated.load_state_dict(zeros.state_dict())
    x = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    level = [made.eval().content_encoder.levels["128"](x) for made in (zeros, repeated)]
    assert torch.equal(level[0][..., 1:-1, 1:-1], level[1][..., 1:-1, 1:-1])
    assert not torch.equal(*level)

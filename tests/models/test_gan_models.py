"""Refiner and discriminator: shapes at every size, what the output depends on, and R1."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from sketchforge.losses.adversarial import hinge_discriminator, r1_penalty
from sketchforge.models.autoencoder import SIZES
from sketchforge.models.gan import Discriminator, Excitation, NoisyUp, Refiner, VectorMap
from sketchforge.models.layers import PADDINGS, Up, count_parameters
from sketchforge.models.noise import NOISE_DIM, Noise, draw_noise

NARROW = 0.0625
STYLE_DIM = 24


def refiner(size: int = 64, width: float = NARROW, **settings) -> Refiner:
    torch.manual_seed(0)
    return Refiner(size, width, STYLE_DIM, **settings)


def discriminator(size: int = 64, width: float = NARROW) -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(size, width)


def random_images(count: int = 2, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Blocks of 8 pixels in random colours, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.rand(count, 3, size // 8, size // 8, generator=generator) * 2 - 1
    return nn.functional.interpolate(blocks, size=size)


def styles(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, STYLE_DIM, generator=torch.Generator().manual_seed(seed))


def drawn(made: Refiner, count: int = 2, seed: int = 0) -> Noise:
    return draw_noise(made.noise_sides, range(count), seed)


def noisy(made: Refiner) -> Refiner:
    """With noise let in, as after a training."""
    with torch.no_grad():
        for up in made.ups.values():
            up.noise_scale.normal_(generator=torch.Generator().manual_seed(2))
    return made


def settle(made: Refiner, *arguments) -> None:
    """For evaluation: BatchNorm knows the images, as after a training."""
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    made(*arguments)
    made.eval()


def plateaued(made: Refiner) -> Refiner:
    settle(made, random_images(4), styles(4), drawn(made, 4))
    return made


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("noise", [True, False])
def test_refiner_and_discriminator_take_images_of_every_size(size, noise):
    made, judge = refiner(size, noise=noise).to("meta").eval(), discriminator(size).to("meta").eval()
    with torch.device("meta"):
        image, style = torch.empty(2, 3, size, size), torch.empty(2, STYLE_DIM)
        maps = {side: torch.empty(2, 1, side, side) for side in made.noise_sides}
        output = made(image, style, Noise(torch.empty(2, NOISE_DIM), maps) if noise else None)
    assert output.shape == image.shape
    assert judge(output).shape == (2, 1, 5, 5)
    assert made.noise_sides == (tuple(32 << i for i in range(size.bit_length() - 5)) if noise else ())


@pytest.mark.parametrize(
    ("size", "styled", "gated"),
    [
        (64, [16, 32, 64], [8]),
        (128, [32, 64, 128], [16, 8]),
        (256, [64, 128, 256], [32, 16, 8]),
        (1024, [64, 128, 256, 512], [32, 16, 8]),
    ],
)
def test_levels_halve_and_style_and_gates_are_where_published(size, styled, gated):
    made, judge = refiner(size), discriminator(size)
    halves = [size >> i for i in range(1, size.bit_length() - 3)]  # size/2 .. 8
    assert [int(side) for side in made.downs] == halves[:-1]
    assert [int(side) for side in made.ups] == [size, *halves[:-2]][::-1]
    assert [int(side) for side in made.modulations] == styled
    assert [int(side) for side in judge.downs] == halves
    assert [int(side) for side in judge.gates] == gated


@pytest.mark.parametrize("padding", PADDINGS)
def test_only_with_repeated_borders_is_an_even_image_refined_evenly(padding):
    """By every kind of layer that has a border."""
    made = refiner(padding=padding).eval()
    entering = {
        made.downs["32"]: 3,
        made.blocks[0].change[0]: None,
        made.blocks[1].change[3]: None,
        made.to_rgb: None,
    }
    with torch.no_grad():
        maps = [x(torch.full((1, n or x.in_channels, 16, 16), 0.5)) for x, n in entering.items()]
    spreads = [(x.amax((2, 3)) - x.amin((2, 3))).max().item() for x in maps]
    assert max(spreads) < 1e-5 if padding == "replicate" else min(spreads) > 1e-3


def test_full_size_is_of_the_published_order():
    """The authors' code at 1024²: generator 49.8 million, discriminator 16.9."""
    with torch.device("meta"):
        parts = Refiner(1024, 1.0, 512), Discriminator(1024, 1.0)
    assert [count_parameters(part) / 1e6 for part in parts] == pytest.approx([47.0, 15.6], abs=0.1)


@pytest.mark.parametrize("size", [64, 128])
def test_every_parameter_gets_a_gradient(size):
    made, judge = refiner(size), discriminator(size)
    output = made(random_images(4, size), styles(4), drawn(made, 4))
    judge(output).square().mean().backward()
    for model in (made, judge):
        idle = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
        assert not idle


def test_first_images_are_near_those_given_and_within_their_range():
    for image in (random_images(4), random_images(4).sign(), torch.ones(4, 3, 64, 64)):
        made = refiner()
        output = made(image, styles(4), drawn(made, 4))
        assert output.abs().max() <= 1
        assert 0.001 < (output - image).abs().mean() < 0.2
    assert refiner()(random_images(), 100 * styles()).abs().max() <= 1


@pytest.mark.parametrize(("share", "colour"), [(-30.0, None), (30.0, 1.0), (30.0, -1.0)])
def test_output_is_the_image_where_the_share_is_nothing_and_the_colour_where_it_is_all(share, colour):
    made, image = refiner(), random_images()
    with torch.no_grad():
        made.to_rgb.weight.zero_()
        made.to_rgb.bias[:3] = 30 * (colour or 1.0)
        made.to_rgb.bias[3:] = share
    expected = image if colour is None else torch.full_like(image, colour)
    torch.testing.assert_close(made(image, styles()), expected)


@pytest.mark.parametrize("size", [64, 128])
def test_output_follows_image_style_and_noise(size):
    made = noisy(refiner(size))
    image, style, noise = random_images(4, size), styles(4), drawn(made, 4)
    settle(made, image, style, noise)
    output, other = made(image, style, noise), drawn(made, 4, seed=1)

    def change(*arguments):
        return (made(*arguments) - output).abs().mean()

    assert change(image.flip(0), style, noise) > 0.1
    assert change(image, style.flip(0), noise) > 0.001
    assert change(image, style, dataclasses.replace(noise, vector=other.vector)) > 0.001
    for side in made.noise_sides:
        mixed = dataclasses.replace(noise, maps=noise.maps | {side: other.maps[side]})
        assert change(image, style, mixed) > 0.001


def test_every_finer_map_of_the_image_skips_the_bottleneck():
    made = refiner(256)
    made.blocks.register_forward_hook(lambda block, arguments, output: output.detach())
    made(random_images(2, 256), styles(), drawn(made)).square().mean().backward()
    reached = {side: sum(p.grad is not None for p in down.parameters()) for side, down in made.downs.items()}
    assert reached == {"128": 3, "64": 3, "32": 3, "16": 0}


def test_style_joins_the_coarsest_map_the_same_in_all_four_quarters():
    made, entered = plateaued(refiner()), []
    made.blocks.register_forward_pre_hook(lambda block, arguments: entered.append(arguments[0]))
    made(random_images(), styles())
    said = entered[0][:, -16:]
    assert torch.equal(said[..., :8, :8], made.style_map(styles()))
    assert all(torch.equal(said, said.roll(8, axis)) for axis in (2, 3))
    assert said.std((2, 3)).mean() > 0.01, "but not everywhere"


def test_first_maps_of_noise_do_nothing_until_their_weights_move():
    made, noise = plateaued(refiner()), drawn(refiner())
    other = dataclasses.replace(noise, maps=drawn(made, seed=1).maps)
    assert torch.equal(made(random_images(), styles(), noise), made(random_images(), styles(), other))
    assert not torch.equal(
        noisy(made)(random_images(), styles(), noise), made(random_images(), styles(), other)
    )


def test_noise_off_is_exactly_zero_noise():
    made = plateaued(noisy(refiner()))
    maps = {side: torch.zeros(2, 1, side, side) for side in made.noise_sides}
    zeros = Noise(torch.zeros(2, NOISE_DIM), maps)
    off = made(random_images(), styles())
    assert torch.equal(off, made(random_images(), styles(), None))
    torch.testing.assert_close(off, made(random_images(), styles(), zeros), atol=0, rtol=0)
    assert not torch.equal(off, made(random_images(), styles(), drawn(made)))


def test_a_refiner_made_without_noise_has_no_weights_for_it():
    plain = refiner(noise=False)
    assert not [name for name, _ in plain.named_parameters() if "noise" in name]
    assert count_parameters(plain) < count_parameters(refiner())
    assert plain(random_images(), styles()).shape == (2, 3, 64, 64)


def test_a_image_comes_out_the_same_whatever_else_is_in_the_batch():
    made, judge = plateaued(noisy(refiner())), discriminator().eval()
    image, style = random_images(4), styles(4)
    together = made(image, style, drawn(made, 4))
    for i in range(4):
        alone = made(image[i : i + 1], style[i : i + 1], draw_noise(made.noise_sides, [i], 0))
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(judge(alone), judge(together)[i : i + 1], atol=1e-5, rtol=1e-4)


def test_a_logit_depends_on_its_own_image_alone_in_training_too():
    judge, images = discriminator(), random_images(3).requires_grad_()
    judge(images)[1].sum().backward()
    reached = images.grad.abs().sum((1, 2, 3))
    assert reached[1] > 0
    assert reached[[0, 2]].sum() == 0


def test_logits_are_of_patches():
    """A corner of the image says more about the logit of its own corner than about that across."""
    judge, images = discriminator(256), random_images(2, 256)
    changed = images.clone()
    changed[:, :, :40, :40] *= -1
    moved = (judge.eval()(changed) - judge(images)).abs()[:, 0]
    assert (moved[:, 0, 0] > 3 * moved[:, -1, -1]).all()


def test_the_scale_of_the_refiners_convolutions_does_not_matter():
    """Why it needs no spectral norm."""
    made = refiner()
    expected = made(random_images(4), styles(4))
    with torch.no_grad():
        for down, up in zip(made.downs.values(), made.ups.values()):
            down[0].weight.mul_(3)
            up.weight.mul_(3)
    torch.testing.assert_close(made(random_images(4), styles(4)), expected, atol=2e-3, rtol=0)


def test_signal_does_not_fade_on_its_way_through_the_discriminator():
    stds = [discriminator(size, 0.125)(random_images(8, size)).std().item() for size in (64, 256)]
    assert all(0.2 < std < 2 for std in stds), stds


def test_discriminator_learns_to_tell_flat_from_patterned():
    judge = discriminator()
    optimizer = torch.optim.Adam(judge.parameters(), 2e-3, (0.5, 0.999))
    real, fake = random_images(4), random_images(4).mean((2, 3), keepdim=True).expand(-1, -1, 64, 64)
    losses = []
    for _ in range(30):
        loss = hinge_discriminator(judge(real), judge(fake))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.8
    assert losses[-1] < 1


def test_refiner_learns_to_repair_four_images():
    """From grey copies to the colours of the originals, which style and what is left of the image tell."""
    made, image, style = refiner(), random_images(4), styles(4)
    poor, noise = image.mean(1, keepdim=True).expand(-1, 3, -1, -1), drawn(refiner(), 4)
    optimizer = torch.optim.Adam(made.parameters(), 3e-3, (0.5, 0.999))
    losses = [(poor - image).square().mean().item()]
    for _ in range(25):
        loss = (made(poor, style, noise) - image).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < losses[0] / 3.5


def test_what_norms_remember_survives_in_a_state_dict():
    """Averages and saved runs carry what evaluation needs: the same numbers come out, to the bit."""
    made, judge = plateaued(noisy(refiner())), discriminator()
    judge(random_images())
    for model in (made, judge):
        torch.manual_seed(7)
        fresh = Refiner(64, NARROW, STYLE_DIM) if model is made else Discriminator(64, NARROW)
        fresh.load_state_dict(model.state_dict())
        duplicate = copy.deepcopy(model)
        arguments = (random_images(), styles(), drawn(made)) if model is made else (random_images(),)
        expected = model.eval()(*arguments)
        assert torch.equal(fresh.eval()(*arguments), expected)
        assert torch.equal(duplicate.eval()(*arguments), expected)
    buffers = set(dict(made.named_buffers()))
    norms = [name for name, m in made.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all({f"{name}.running_mean", f"{name}.running_var"} <= buffers for name in norms)
    assert not [m for m in judge.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def test_channels_last_gives_the_same_numbers():
    made, judge = plateaued(noisy(refiner())), discriminator().eval()
    expected = made(random_images(), styles(), drawn(made))
    logits = judge(expected)
    made.to(memory_format=torch.channels_last), judge.to(memory_format=torch.channels_last)
    found = made(random_images().contiguous(memory_format=torch.channels_last), styles(), drawn(made))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(judge(found), logits, atol=1e-5, rtol=1e-4)


def test_bfloat16_autocast_trains_and_stays_near():
    made, judge = refiner(), discriminator()
    made.to(memory_format=torch.channels_last), judge.to(memory_format=torch.channels_last)
    image, style, noise = random_images(4), styles(4), drawn(made, 4)
    expected = made(image, style, noise)
    with torch.autocast("cpu", torch.bfloat16):
        output = made(image, style, noise)
        logits = judge(output)
        (logits.float().mean() + (output - image).square().mean()).backward()
    assert output.dtype == torch.float32
    assert logits.dtype == torch.bfloat16
    assert (output - expected).abs().mean() < 0.05 * (expected - image).abs().mean()
    assert all(p.grad.isfinite().all() for model in (made, judge) for p in model.parameters())


def test_noise_is_added_before_the_gate_by_hand():
    torch.manual_seed(0)
    up, x = NoisyUp(2, 1, noise=True), torch.randn(1, 2, 2, 2)
    plain = Up(2, 1)
    plain.load_state_dict({name: value for name, value in up.state_dict().items() if name != "noise_scale"})
    assert torch.equal(up(x), plain(x))
    with torch.no_grad():
        up.norm.weight.zero_()
        up.norm.bias.copy_(torch.tensor([3.0, 0.0]))
        up.noise_scale.copy_(torch.tensor([2.0, 0.0]).view(1, 2, 1, 1))
    noise = torch.arange(16.0).view(1, 1, 4, 4)
    # (3 + 2·noise)·sigmoid(0)
    torch.testing.assert_close(up(x, noise), (3 + 2 * noise) / 2)


@pytest.mark.parametrize("side", [8, 32])
def test_vectors_spread_to_maps(side):
    torch.manual_seed(0)
    spread = VectorMap(6, 4, side)
    maps = spread(torch.randn(5, 6))
    assert maps.shape == (5, 4, side, side)
    assert maps.std(0).mean() > 0.05
    assert maps.std((2, 3)).mean() > 0.05


def test_excitation_begins_near_one_and_knows_no_places():
    torch.manual_seed(0)
    gate, x, finer = Excitation(3, 8), torch.randn(2, 8, 4, 4), torch.randn(2, 3, 16, 16)
    factors = gate(x, finer) / x
    torch.testing.assert_close(factors, factors[:, :, :1, :1].expand_as(x))
    assert factors.min() > 0.3
    assert factors.max() < 1.7
    assert factors.std() > 0.001


def test_r1_by_hand():
    """D(x) = w·x, so its gradient is w for every image: ‖(1, -2, 2)‖² = 9."""
    judge = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        judge.weight.copy_(torch.tensor([1.0, -2.0, 2.0]).view(1, 3, 1, 1))
    images = torch.randn(5, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    penalty = r1_penalty(judge, images)
    assert penalty.item() == pytest.approx(9)
    assert penalty.ndim == 0
    penalty.backward()
    assert judge.weight.grad.flatten().tolist() == pytest.approx([2, -4, 4])
    # Of four patches the logit is the mean: (w/4) at each of four places, 4·9/16.
    assert r1_penalty(judge, torch.randn(5, 3, 2, 2)).item() == pytest.approx(9 / 4)


def test_r1_of_a_square_by_hand():
    """D(x) = Σx²/2 has the gradient x: the penalty is the mean of ‖x‖²."""
    images = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    penalty = r1_penalty(lambda x: x.square().sum((1, 2, 3), keepdim=True) / 2, images)
    assert penalty.item() == pytest.approx(images.square().sum().item() / 4, rel=1e-5)


def test_r1_gradients():
    """Of a discriminator's weight, through the gradient that is penalised."""
    draw = torch.Generator().manual_seed(0)
    real, weight = (torch.randn(2, 3, 4, 4, generator=draw, dtype=torch.float64) for _ in range(2))

    def penalty(weight):
        return r1_penalty(lambda images: (images * weight).sin().sum((1, 2, 3)).reshape(-1, 1, 1, 1), real)

    assert torch.autograd.gradcheck(penalty, (weight[:1].requires_grad_(),))


def test_r1_trains_the_discriminator_and_leaves_the_images():
    judge, images = discriminator(), random_images().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        penalty = r1_penalty(judge, images)
    assert penalty > 0, "in float32 under autocast, too"
    assert torch.equal(penalty, r1_penalty(judge, images)), "in float32 under autocast, too"
    penalty.backward()
    assert images.grad is None
    slopes = [p.grad for name, p in judge.named_parameters() if name.endswith("weight")]
    assert slopes
    assert all(slope is not None and slope.isfinite().all() for slope in slopes)
    assert all(slope.abs().sum() > 0 for slope in slopes)


@pytest.mark.parametrize("make", [lambda size, width: Refiner(size, width, 8), Discriminator])
def test_unknown_sizes_and_widths_are_refused(make):
    with pytest.raises(ValueError, match="size is 96, expected one of 64, 128, 256, 512, 1024"):
        make(96, 1.0)
    with pytest.raises(ValueError, match="width is 0, expected a factor above 0"):
        make(64, 0)


def test_other_shapes_are_refused():
    made, image, style = refiner(), random_images(), styles()
    noise = drawn(made)
    few = draw_noise((32,), range(2), 0)
    one = draw_noise(made.noise_sides, [0], 0)
    cases = [
        ((random_images(size=128), style), r"image is \(2,3,128,128\), expected \(2,3,64,64\)"),
        ((image, style[:1]), r"style is \(1,24\), expected \(2,24\)"),
        ((image, style, few), r"noise has maps of sides \[32\], expected \[32, 64\]"),
        ((image, style, one), r"noise.vector is \(1,512\), expected \(2,512\)"),
        ((image, style, Noise(noise.vector, one.maps)), r"noise.maps\[32\] is \(1,1,32,32\), expected"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            made(*arguments)
    with pytest.raises(ValueError, match="given to a refiner that was made without; expected None"):
        refiner(noise=False)(image, style, noise)
    with pytest.raises(ValueError, match=r"image is \(2,1,64,64\), expected \(2,3,64,64\)"):
        discriminator()(image[:, :1])

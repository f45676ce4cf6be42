"""TOM's networks: shapes, ranges, sizes, and what the discriminator cannot see."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sketchforge.models.encoder import COMPACT_BLOCKS, orthogonal_encoder
from sketchforge.models.tom import GENERATORS, GramDiscriminator, LeanGenerator, PaperGenerator

TAPS = ("relu3_1", "relu2_1", "relu1_1")
CHANNELS = (64, 32, 16)


def lean() -> LeanGenerator:
    torch.manual_seed(0)
    return LeanGenerator(TAPS, CHANNELS)


def paper(widths=(16, 12, 8), channels: int = 10) -> PaperGenerator:
    torch.manual_seed(0)
    return PaperGenerator(("pool3",), (channels,), widths)


def discriminator(channels: dict[str, int]) -> GramDiscriminator:
    torch.manual_seed(0)
    return GramDiscriminator(channels)


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def num_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def assert_every_parameter_gets_a_gradient(model: nn.Module, output: torch.Tensor) -> None:
    output.square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not idle


@pytest.mark.parametrize("size", [(64, 64), (63, 50), (37, 61), (8, 129)])
def test_lean_sketch_has_the_size_of_the_image(size):
    encoder = orthogonal_encoder(torch.Generator().manual_seed(0), COMPACT_BLOCKS)
    generator = lean()
    assert tuple(encoder.tap_channels(tap) for tap in TAPS) == CHANNELS
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sketches = generator(encoder(images, TAPS))
    assert sketches.shape == (2, 1, *size)
    assert sketches.abs().max() <= 1


def features(size: int = 16, count: int = 2) -> dict[str, torch.Tensor]:
    return {
        tap: maps(count, c, size >> (2 - i), size >> (2 - i), seed=i)
        for i, (tap, c) in enumerate(zip(TAPS, CHANNELS))
    }


def test_lean_size_is_as_documented():
    # The three stages see 64, 48 + 32 and 32 + 16 channels, the last convolution 16.
    by_hand = (64 * 9 + 1) * 48 + ((48 + 32) * 9 + 1) * 32 + ((32 + 16) * 9 + 1) * 16 + (16 * 9 + 1)
    assert num_parameters(lean()) == by_hand
    assert 56_000 < by_hand < 60_000


def test_lean_uses_every_tap_and_every_parameter():
    generator, inputs = lean(), {tap: x.requires_grad_() for tap, x in features().items()}
    assert_every_parameter_gets_a_gradient(generator, generator(inputs))
    assert all(x.grad.abs().sum() > 0 for x in inputs.values())


def test_lean_draws_each_image_by_itself():
    generator, inputs = lean(), features(count=3)
    together = generator(inputs)
    for i in range(3):
        alone = generator({tap: x[i : i + 1] for tap, x in inputs.items()})
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=1e-4)


def test_lean_moves_with_the_image():
    """Fully convolutional: away from the borders, features shifted by whole cells give a shifted sketch."""
    generator = lean()
    whole = features(96, count=1)
    shifted = {tap: x.roll(2 * (1 << i), dims=3) for i, (tap, x) in enumerate(whole.items())}  # by 8 pixels
    expected, found = generator(whole).roll(8, dims=3), generator(shifted)
    torch.testing.assert_close(
        found[..., 32:-32, 32:-32], expected[..., 32:-32, 32:-32], atol=1e-5, rtol=1e-4
    )


def test_lean_refuses_tables_of_different_length():
    with pytest.raises(ValueError, match="3 taps, 2 tap channels and 3 widths"):
        LeanGenerator(TAPS, CHANNELS[:2])


def test_paper_size_is_as_published():
    generator = PaperGenerator(("pool3",), (256,))
    convs = [m for m in generator.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convs] == [(256, 512), (512, 512), (512, 256), (256, 1)]
    assert num_parameters(generator) == pytest.approx(4.73e6, rel=0.005)


def test_paper_sketch_is_eight_times_its_input():
    sketches = paper()({"pool3": maps(2, 10, 4, 6)})
    assert sketches.shape == (2, 1, 32, 48)
    assert sketches.abs().max() <= 1


def test_paper_uses_every_parameter():
    generator = paper()
    assert_every_parameter_gets_a_gradient(generator, generator({"pool3": maps(2, 10, 4, 4)}))


def test_paper_layers_by_hand():
    """Nearest x2, reflect-pad, convolution, batch norm, LeakyReLU .01, three times; convolution, tanh."""
    generator = paper().eval()
    x = inputs = maps(1, 10, 4, 4)
    convs = [m for m in generator.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
    for conv, norm in zip(convs, norms):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), conv.weight, conv.bias)
        x = (x - norm.running_mean.view(1, -1, 1, 1)) / (norm.running_var.view(1, -1, 1, 1) + norm.eps).sqrt()
        x = F.leaky_relu(x * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1), 0.01)
    expected = torch.tanh(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), convs[-1].weight, convs[-1].bias))
    torch.testing.assert_close(generator({"pool3": inputs}), expected)


def test_generators_are_named():
    assert GENERATORS == {cls.kind: cls for cls in (LeanGenerator, PaperGenerator)}


JUDGED = {"relu2_1": 6, "relu3_1": 4}


def judged(count: int = 3) -> dict[str, torch.Tensor]:
    return {tap: maps(count, c, 6, 5, seed=c) for tap, c in JUDGED.items()}


def test_discriminator_gives_one_logit_per_image():
    judge, inputs = discriminator(JUDGED).eval(), judged()
    logits = judge(inputs)
    assert logits.shape == (3, 1)
    for i in range(3):
        torch.testing.assert_close(judge({tap: x[i : i + 1] for tap, x in inputs.items()}), logits[i : i + 1])


def test_discriminator_never_sees_where():
    """Every tap's positions may be permuted, each tap by an order of its own, and sizes may differ."""
    judge, inputs = discriminator(JUDGED).eval(), judged()
    generator = torch.Generator().manual_seed(0)
    moved = {
        tap: x.flatten(2)[:, :, torch.randperm(30, generator=generator)].view_as(x)
        for tap, x in inputs.items()
    }
    tiled = {tap: x.repeat(1, 1, 2, 3) for tap, x in inputs.items()}
    torch.testing.assert_close(judge(moved), judge(inputs))
    torch.testing.assert_close(judge(tiled), judge(inputs))


@pytest.mark.parametrize("tap", JUDGED)
def test_discriminator_sees_how_channels_go_together(tap):
    """Channels permuted by different orders keep their own statistics but not their products."""
    judge, inputs = discriminator(JUDGED).eval(), judged()
    generator = torch.Generator().manual_seed(0)
    x = inputs[tap].flatten(2)
    apart = torch.stack([x[:, c, torch.randperm(30, generator=generator)] for c in range(x.shape[1])], dim=1)
    assert (judge(inputs | {tap: apart.view_as(inputs[tap])}) - judge(inputs)).abs().min() > 1e-5


def test_discriminator_uses_every_parameter_and_tap():
    judge, inputs = discriminator(JUDGED), {tap: x.requires_grad_() for tap, x in judged().items()}
    assert_every_parameter_gets_a_gradient(judge, judge(inputs))
    assert all(x.grad.abs().sum() > 0 for x in inputs.values())


def test_discriminator_stays_finite_on_blank_paper():
    """Where channels are zero everywhere, the signed square root must not give an infinite gradient."""
    judge = discriminator(JUDGED)
    blank = {tap: torch.zeros_like(x).requires_grad_() for tap, x in judged().items()}
    judge(blank).sum().backward()
    assert all(x.grad.isfinite().all() for x in blank.values())

"""How content and style enter the decoder: equations by hand, identities, what each way can and cannot do."""

import math

import pytest
import torch
import torch.nn.functional as F

from sketchforge.models.features import channel_mean_std
from sketchforge.models.layers import Down, ResidualBlock, Up, count_parameters
from sketchforge.models.modulation import (
    STYLES,
    AdaptiveNormalization,
    Addition,
    DualMaskInjection,
    Multiplication,
    SpatialNormalization,
)

WAYS = [way for way in STYLES.values() if way is not None]


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def injection(channels: int = 3) -> DualMaskInjection:
    made = DualMaskInjection(channels)
    with torch.no_grad():
        for seed, parameter in enumerate(made.parameters()):
            parameter.copy_(maps(*parameter.shape, seed=10 + seed))
    return made


def modulation(way, style_dim: int = 5, channels: int = 3):
    """With weights that say something: fresh ones hardly do."""
    torch.manual_seed(0)
    made = way(style_dim, channels)
    with torch.no_grad():
        made.mlp[-1].weight.mul_(2)
        made.mlp[-1].bias.zero_()
    return made


def test_dmi_by_hand():
    made = DualMaskInjection(1)
    with torch.no_grad():
        made.scale_a.fill_(2)
        made.scale_b.fill_(3)
        made.shift_a.fill_(0.5)
        made.shift_b.fill_(-1)
    features = torch.tensor([4.0, 4, 4]).view(1, 1, 1, 3)
    mask = torch.tensor([1.0, 0, 0.25]).view(1, 1, 1, 3)
    # 2·4·1 + .5 - 1, then .5 + 3·4·1 - 1, then 2·4/4 + .5 + 3·4·3/4 - 1
    assert made(features, mask).flatten().tolist() == pytest.approx([7.5, 11.5, 10.5])


def test_dmi_ignores_the_mask_when_both_branches_agree():
    made, features = injection(), maps(2, 3, 4, 4)
    with torch.no_grad():
        made.scale_b.copy_(made.scale_a)
    expected = made.scale_a * features + (made.shift_a + made.shift_b)
    for seed in (1, 2):
        torch.testing.assert_close(made(features, maps(2, 3, 4, 4, seed=seed).sigmoid()), expected)


def test_dmi_takes_one_mask_for_all_channels():
    made, features, mask = injection(), maps(2, 3, 4, 4), maps(2, 1, 4, 4, seed=1).sigmoid()
    torch.testing.assert_close(made(features, mask), made(features, mask.expand(-1, 3, -1, -1)))


def test_dmi_begins_as_the_identity_half_way_and_sees_the_mask():
    made, features = DualMaskInjection(3), maps(2, 3, 4, 4)
    for value, factor in ((0.0, 0.5), (0.5, 1.0), (1.0, 1.5)):
        torch.testing.assert_close(made(features, torch.full((2, 3, 4, 4), value)), factor * features)


def test_dmi_masks_by_channel_and_place():
    """A change of the mask at one place of one channel changes the output there and nowhere else."""
    made, features, mask = injection(), maps(1, 3, 4, 4), maps(1, 3, 4, 4, seed=1).sigmoid()
    other = mask.clone()
    other[0, 1, 2, 3] = 1 - other[0, 1, 2, 3]
    changed = (made(features, other) != made(features, mask)).nonzero().tolist()
    assert changed == [[0, 1, 2, 3]]


def test_spade_by_hand():
    """One channel: the mask doubled, then γ twice that and β three times; features have mean 2 and deviation 2."""
    made = SpatialNormalization(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.hidden.weight[..., 1, 1] = 2
        made.modulate.weight[..., 1, 1] = torch.tensor([[2.0], [3.0]])
    features = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    mask = torch.tensor([0.5, 1.0]).view(1, 1, 1, 2)
    # -1·(1 + 2) + 3, then 1·(1 + 4) + 6
    assert made(features, mask).flatten().tolist() == pytest.approx([0, 11], abs=1e-4)


def test_spade_forgets_scale_and_level_of_features_and_sees_the_mask_where_it_is():
    torch.manual_seed(0)
    made, features, mask = SpatialNormalization(3), maps(4, 3, 8, 8), maps(4, 1, 8, 8, seed=1).sigmoid()
    output = made(features, mask)
    torch.testing.assert_close(made(5 * features + 2, mask), output, atol=1e-4, rtol=1e-4)
    other = mask.clone()
    other[1, 0, 0, 0] = 1 - other[1, 0, 0, 0]
    changed = (made(features, other) != output).nonzero()
    assert changed[:, 0].unique().tolist() == [1]
    assert changed[:, 2:].max() == 2  # two convolutions of 3 × 3


def test_multiplication_keeps_zeros_and_signs():
    """What the paper asks of it: style puts nothing where the content has put nothing."""
    made, x = modulation(Multiplication), maps(4, 3, 6, 6)
    x[:, :, ::2] = 0
    output = made(x, 10 * maps(4, 5, seed=1))
    assert torch.equal(output.sign(), x.sign())


def test_multiplication_by_hand():
    made = modulation(Multiplication, 2, 1)
    with torch.no_grad():
        made.mlp[0].weight.copy_(torch.eye(2))
        made.mlp[0].bias.zero_()
        made.mlp[2].weight.copy_(torch.tensor([[1.0, 1.0]]))
    # LeakyReLU of (log 3 + .2, -1) is (log 3 + .2, -.2), sum log 3, so the factor is 2·3/4
    style = torch.tensor([[math.log(3) + 0.2, -1.0]])
    assert made(torch.tensor([4.0]).view(1, 1, 1, 1), style).item() == pytest.approx(6)


def test_addition_moves_all_places_alike():
    made, x, style = modulation(Addition), maps(2, 3, 6, 6), maps(2, 5, seed=1)
    moved = made(x, style) - x
    assert moved.abs().max() > 0.1
    torch.testing.assert_close(moved, moved[:, :, :1, :1].expand_as(moved))


def test_adain_replaces_means_and_deviations():
    made, x, style = modulation(AdaptiveNormalization), 3 * maps(2, 3, 8, 8) + 5, maps(2, 5, seed=1)
    scale, shift = made.mlp(style).chunk(2, dim=1)
    mean, std = channel_mean_std(made(x, style))
    torch.testing.assert_close(mean.flatten(1), shift, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(std.flatten(1), (1 + scale).abs(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_style_begins_quietly_and_trains_both_what_it_says_and_who_says_it(way):
    torch.manual_seed(0)
    made, x = way(64, 3), F.instance_norm(maps(4, 3, 16, 16))
    style = (0.3 * maps(4, 64, seed=1)).requires_grad_()  # as large as fresh encoders make it
    output = made(x, style)
    assert (output - x).square().mean().sqrt() < 0.2
    (output * maps(4, 3, 16, 16, seed=2)).sum().backward()
    assert style.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in made.parameters())


@pytest.mark.parametrize("way", WAYS)
def test_each_image_gets_its_own_style(way):
    made, x, style = modulation(way), maps(3, 3, 6, 6), maps(3, 5, seed=1)
    together = made(x, style)
    for i in range(3):
        torch.testing.assert_close(made(x[i : i + 1], style[i : i + 1]), together[i : i + 1])
    assert (made(x, style.roll(1, 0)) - together).abs().amax((1, 2, 3)).min() > 0.01


def test_blocks_change_sides_as_they_say():
    x = maps(2, 4, 8, 6)
    assert Down(4, 10)(x).shape == (2, 10, 4, 3)
    assert Up(4, 10)(x).shape == (2, 10, 16, 12)
    assert ResidualBlock(4)(x).shape == x.shape


def test_up_keeps_images_of_a_batch_apart():
    """What instance normalisation would undo: one image's features twice another's."""
    torch.manual_seed(0)
    up, x = Up(4, 6), maps(1, 4, 8, 8)
    faint, strong = up(torch.cat([x, 2 * x]))
    assert strong.square().mean() > 1.5 * faint.square().mean()


def test_residual_block_adds_to_its_input():
    block, x = ResidualBlock(4), maps(2, 4, 8, 6)
    with torch.no_grad():
        block.change[4].weight.zero_()  # of the last BatchNorm: the change is nothing
    torch.testing.assert_close(block(x), F.leaky_relu(x, 0.2))


def test_narrowest_residual_block_still_learns():
    """Its squeeze-and-excitation is one channel wide; a dead one would cut the gradient."""
    for seed in range(20):
        torch.manual_seed(seed)
        block = ResidualBlock(8)
        block(maps(2, 8, 4, 4, seed=seed)).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())


def test_parameters_are_counted_by_hand():
    assert count_parameters(Down(3, 8)) == 3 * 8 * 16 + 2 * 8
    frozen = Down(3, 8)
    frozen[0].requires_grad_(False)
    assert count_parameters(frozen) == 2 * 8

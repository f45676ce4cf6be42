"""Feature statistics: what AdaIN, Gram matrices and the content score keep, and what they do not see."""

import pytest
import torch

from sketchforge.models.features import (
    EPSILON,
    adain,
    channel_mean_std,
    content_correlation,
    gram,
    instance_norm,
    upper_triangle,
)


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    """float64, so that tolerances are those of rounding; channels of different size and offset."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    channels = torch.arange(1, shape[1] + 1, dtype=torch.float64).view(1, -1, 1, 1)
    return x * channels + channels.square()


def test_channel_mean_std_by_hand():
    x = torch.tensor([1.0, 3.0, 5.0, 7.0], dtype=torch.float64).view(1, 1, 2, 2)
    mean, std = channel_mean_std(x)
    assert mean.item() == 4
    assert std.item() == pytest.approx((20 / 3 + EPSILON) ** 0.5, rel=1e-12)  # 9 + 1 + 1 + 9 over n - 1


def test_instance_normalization_leaves_mean_0_and_deviation_1():
    y = instance_norm(maps(2, 3, 5, 7))
    assert y.mean(dim=(2, 3)).abs().max() < 1e-12
    assert (y.std(dim=(2, 3)) - 1).abs().max() < 1e-5  # EPSILON


def test_instance_normalization_of_a_constant_is_zero():
    assert instance_norm(torch.full((1, 2, 4, 4), 3.0)).abs().max() == 0


def test_adain_has_the_statistics_of_the_style():
    content, style = maps(2, 3, 6, 5, seed=1), maps(2, 3, 9, 4, seed=2)
    result = adain(content, style)
    assert result.shape == content.shape
    torch.testing.assert_close(result.mean(dim=(2, 3)), style.mean(dim=(2, 3)))
    torch.testing.assert_close(result.std(dim=(2, 3)), style.std(dim=(2, 3)), rtol=1e-4, atol=0)  # EPSILON


def test_adain_keeps_the_layout_of_the_content():
    content, style = maps(2, 3, 6, 5, seed=1), maps(2, 3, 6, 5, seed=2)
    assert content_correlation(adain(content, style), content).min() > 1 - 1e-4


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 5)])
def test_gram_equals_its_definition(shape):
    x = maps(*shape)
    count, channels, height, width = shape
    expected = torch.zeros(count, channels, channels, dtype=torch.float64)
    for b in range(count):
        for i in range(channels):
            for j in range(channels):
                for row in range(height):
                    for column in range(width):
                        expected[b, i, j] += x[b, i, row, column] * x[b, j, row, column] / (height * width)
    torch.testing.assert_close(gram(x), expected)


def test_gram_is_symmetric_and_positive_semidefinite():
    matrices = gram(maps(3, 6, 2, 2))  # four positions, six channels: rank-deficient
    torch.testing.assert_close(matrices, matrices.transpose(1, 2))
    eigenvalues = torch.linalg.eigvalsh(matrices)
    assert eigenvalues.min() > -1e-9 * eigenvalues.max()


def test_statistics_do_not_depend_on_size():
    """A pattern and the same pattern tiled look the same to Gram matrices and channel means."""
    pattern = maps(2, 3, 4, 4)
    tiled = pattern.repeat(1, 1, 3, 2)
    torch.testing.assert_close(gram(tiled), gram(pattern))
    torch.testing.assert_close(channel_mean_std(tiled)[0], channel_mean_std(pattern)[0])


def test_gram_does_not_see_positions():
    x = maps(2, 3, 4, 4)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gram(x.flatten(2)[:, :, order].view_as(x)), gram(x))


def test_upper_triangle_holds_every_entry_once():
    matrices = torch.tensor([[[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]]])
    assert sorted(upper_triangle(matrices)[0].tolist()) == [1, 2, 3, 4, 5, 6]


def test_content_correlation_is_one_on_itself_and_blind_to_contrast_and_brightness():
    x = maps(3, 4, 8, 8)
    contrast = torch.tensor([0.5, 2.0, 3.0, 10.0], dtype=torch.float64).view(1, 4, 1, 1)
    assert (content_correlation(x, x) - 1).abs().max() < 1e-4
    assert (content_correlation(contrast * x + 7, x) - 1).abs().max() < 1e-4


def test_content_correlation_is_minus_one_on_the_negative():
    x = maps(2, 4, 8, 8)
    assert (content_correlation(-x, x) + 1).abs().max() < 1e-4


def test_content_correlation_is_near_zero_on_unrelated_maps():
    # Each of 4096 positions x 8 channels is an independent draw, so the deviation is 1/sqrt(32768) = .0055.
    assert content_correlation(maps(2, 8, 64, 64, seed=1), maps(2, 8, 64, 64, seed=2)).abs().max() < 0.03


def test_content_correlation_is_one_number_per_image():
    x, other = maps(1, 4, 8, 8, seed=1), maps(1, 4, 8, 8, seed=2)
    scores = content_correlation(torch.cat([x, other]), torch.cat([x, x]))
    assert scores[0] > 0.999
    assert scores[1] < 0.9


@pytest.mark.parametrize(
    "function",
    [instance_norm, gram, lambda x: upper_triangle(gram(x)), lambda x: channel_mean_std(x)[1]],
)
def test_gradients(function):
    assert torch.autograd.gradcheck(function, maps(2, 2, 3, 3).requires_grad_())


@pytest.mark.parametrize("function", [adain, content_correlation])
def test_gradients_of_both_arguments(function):
    pair = [maps(1, 2, 3, 3, seed=seed).requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradcheck(function, pair)

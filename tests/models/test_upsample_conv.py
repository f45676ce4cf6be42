"""A 3x3 convolution of an enlarged map, without enlarging it: as in training, and as in inference."""

import pytest
import torch
import torch.nn.functional as F

from sketchforge.models.upsample_conv import (
    PolyphaseConv,
    pad,
    polyphase_weight,
    repeat_padding,
    unpad,
    upsample_conv,
)


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (2, 4, 3, 5), (2, 4, 8, 8)])
def test_upsample_conv_is_the_convolution_of_the_large_map(shape):
    x, weight = maps(*shape).double(), maps(6, 4, 3, 3, seed=1).double()
    large = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    expected = F.conv2d(F.pad(large, (1, 1, 1, 1), mode="replicate"), weight)
    torch.testing.assert_close(upsample_conv(x, weight), expected)


def test_upsample_conv_gradients():
    x, weight = maps(1, 2, 2, 3).double().requires_grad_(), maps(2, 2, 3, 3, seed=1).double().requires_grad_()
    assert torch.autograd.gradcheck(upsample_conv, (x, weight))


def test_phases_are_right_whatever_the_layout_of_the_map():
    small, weight, before = maps(2, 3, 5, 4), maps(4, 3, 3, 3, seed=1), maps(2, 4, 12, 10, seed=2)
    assert before.is_contiguous()
    found = PolyphaseConv(weight).add_to(before, pad(small))
    expected = PolyphaseConv(weight).add_to(last(before), pad(small))
    assert torch.equal(found, expected)


def enlarged_convolution(small: torch.Tensor, weight: torch.Tensor, size, mode: str) -> torch.Tensor:
    return F.conv2d(F.pad(F.interpolate(small, size=size, mode="nearest"), (1, 1, 1, 1), mode=mode), weight)


@pytest.mark.parametrize("mode", ["replicate", "reflect"])
@pytest.mark.parametrize("height, width", [(1, 1), (1, 4), (5, 3), (8, 8)])
def test_phases_are_the_convolution_of_the_large_map(height, width, mode):
    small, weight = maps(2, 3, height, width), maps(4, 3, 3, 3, seed=1)
    before = last(maps(2, 4, 2 * height + 2, 2 * width + 2, seed=2))
    expected = unpad(before) + enlarged_convolution(small, weight, (2 * height, 2 * width), mode)
    found = PolyphaseConv(weight).add_to(before.clone(), pad(small))
    assert torch.allclose(unpad(found), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(7, 6), (9, 13), (6, 7)])
def test_sizes_that_are_not_twice_as_large(size):
    small, weight = maps(1, 3, 3, 3), maps(2, 3, 3, 3, seed=1)
    found = PolyphaseConv(weight).add_to(last(torch.zeros(1, 2, size[0] + 2, size[1] + 2)), pad(small))
    assert torch.allclose(unpad(found), enlarged_convolution(small, weight, size, "replicate"), atol=1e-5)


def test_kernels_of_the_phases_by_hand():
    """Rows of an even phase see the one above once and their own twice: [a, b + c]; odd ones [a + b, c]."""
    weight = torch.arange(1.0, 10).view(1, 1, 3, 3)
    assert polyphase_weight(weight)[:, 0].tolist() == [
        [[12, 9], [15, 9]], [[5, 16], [7, 17]], [[3, 3], [24, 15]], [[1, 5], [11, 28]],
    ]  # fmt: skip


@pytest.mark.parametrize("height, width", [(1, 1), (1, 4), (5, 3)])
def test_the_padding_repeats_the_outermost_pixels(height, width):
    small = maps(2, 3, height, width)
    padded = torch.full((2, 3, height + 2, width + 2), torch.nan)
    unpad(padded).copy_(small)
    assert torch.equal(repeat_padding(padded), F.pad(small, (1, 1, 1, 1), mode="replicate"))
    assert torch.equal(pad(small, 2), F.pad(small, (2, 2, 2, 2), mode="replicate"))

"""The auto-encoder's losses against values computed by hand, and that they reward what they should."""

import math

import pytest
import torch
from torch import nn

from sketchforge.losses.autoencoder import (
    content_confusion,
    perceptual,
    reconstruction,
    sample_style,
    shift_alike,
    style_classification,
    style_prior,
    triplet,
)
from sketchforge.models.autoencoder import StyleHead
from sketchforge.models.encoder import calibrate, orthogonal_encoder

TAPS = ("relu1_1", "relu2_1")


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def head(dim: int = 3, classes: int = 4) -> StyleHead:
    made = StyleHead(dim, classes).double()
    made.reset(0, 0)
    return made


def encoder():
    made = orthogonal_encoder(torch.Generator().manual_seed(0), ((4, 4), (6, 6))).double()
    calibrate(made, maps(2, 3, 16, 16))
    return made


def test_triplet_by_hand():
    anchor = rows([1, 0], [1, 0])
    positive = rows([3, 4], [0, 2])  # cosines .6 and 0
    negative = rows([5, 0], [-1, 0])  # cosines 1 and -1
    # max(1 - .6 + .5, 0) = .9 and max(-1 - 0 + .5, 0) = 0
    assert triplet(anchor, positive, negative, margin=0.5).item() == pytest.approx(0.45)


def test_triplet_pays_for_likeness_to_the_positive():
    """Equation 7 as printed would reward the opposite."""
    anchor, negative = maps(4, 5, seed=1), maps(4, 5, seed=2)
    far, near = -anchor, anchor + 0.1 * maps(4, 5, seed=3)
    assert triplet(anchor, near, negative, 1.0) < triplet(anchor, far, negative, 1.0)
    assert triplet(anchor, near, far, 1.0) < triplet(anchor, near, near, 1.0)


def test_a_step_down_the_triplet_brings_the_positive_nearer():
    anchor, negative = maps(3, 6, seed=1), maps(3, 6, seed=2)
    positive = maps(3, 6, seed=3).requires_grad_()
    (slope,) = torch.autograd.grad(triplet(anchor, positive, negative, 2.0), positive)
    before = torch.cosine_similarity(anchor, positive).mean()
    assert torch.cosine_similarity(anchor, positive - 0.1 * slope).mean() > before


def test_triplet_is_zero_beyond_the_margin_and_only_there():
    anchor = rows([1, 0])
    assert triplet(anchor, anchor, rows([0, 1]), margin=1.0).item() == 0
    assert triplet(anchor, anchor, rows([0, 1]), margin=1.1).item() == pytest.approx(0.1)


def test_triplet_looks_at_directions_of_whole_maps():
    """Neither length nor the shape of the features matters, and every image counts for itself."""
    anchor, positive, negative = (maps(3, 2, 4, 4, seed=seed) for seed in (1, 2, 3))
    expected = triplet(anchor, positive, negative, 0.5)
    torch.testing.assert_close(triplet(5 * anchor, 0.2 * positive, 3 * negative, 0.5), expected)
    torch.testing.assert_close(triplet(*(x.flatten(1) for x in (anchor, positive, negative)), 0.5), expected)
    each = [triplet(anchor[i : i + 1], positive[i : i + 1], negative[i : i + 1], 0.5) for i in range(3)]
    torch.testing.assert_close(torch.stack(each).mean(), expected)


def test_triplet_gradients():
    tensors = [maps(3, 4, seed=seed).requires_grad_() for seed in (1, 2, 3)]
    assert torch.autograd.gradcheck(lambda a, p, n: triplet(a, p, n, 2.5), tensors)


@pytest.mark.parametrize("which", [1, 2])
def test_triplet_refuses_shapes_that_torch_would_broadcast(which):
    shapes = [(4, 6)] * 3
    shapes[which] = (1, 6)
    with pytest.raises(ValueError, match=r"anchor is \(4,6\), (positive|negative) \(1,6\), expected equal"):
        triplet(*(maps(*shape) for shape in shapes), margin=1.0)


def test_style_classification_by_hand():
    # Probabilities .5, .25, .25 for the first image and .2, .2, .6 for the second
    logits = rows([0.5, 0.25, 0.25], [0.2, 0.2, 0.6]).log()
    expected = -(math.log(0.5) + math.log(0.6)) / 2
    assert style_classification(logits, torch.tensor([0, 2])).item() == pytest.approx(expected)


def test_style_classification_pays_for_the_right_class_down_to_zero():
    labels = torch.tensor([1, 0])
    right = torch.nn.functional.one_hot(labels, 3).double()
    losses = [style_classification(sure * right, labels).item() for sure in (-1, 0, 1, 50)]
    assert losses == sorted(losses, reverse=True)
    assert losses[1] == pytest.approx(math.log(3))
    assert losses[-1] == pytest.approx(0, abs=1e-12)


def test_style_classification_gradients():
    assert torch.autograd.gradcheck(
        lambda x: style_classification(x, torch.tensor([2, 0])), (maps(2, 3).requires_grad_(),)
    )


@pytest.mark.parametrize(("logits", "labels"), [((4, 3, 2), (4,)), ((4, 3), (5,)), ((4, 3), (4, 3))])
def test_style_classification_refuses_other_shapes(logits, labels):
    with pytest.raises(ValueError, match=r"expected \(B,k\) and \(B,\)"):
        style_classification(maps(*logits), torch.zeros(labels, dtype=torch.int64))


def test_content_confusion_by_hand():
    judge = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        judge.weight.copy_(torch.eye(2))
    # Probabilities (3/4, 1/4): squared distance 1/16 + 1/16 from (1/2, 1/2); the second image is undecided.
    pooled = rows([math.log(3), 0], [7, 7])
    assert content_confusion(judge, pooled).item() == pytest.approx((1 / 8 + 0) / 2)


def test_content_confusion_is_zero_exactly_where_all_classes_are_equally_likely():
    judge, pooled = head(), maps(5, 3)
    assert content_confusion(judge, pooled) > 1e-4
    with torch.no_grad():
        judge.weight.zero_()
        judge.bias.fill_(2.5)
    assert content_confusion(judge, pooled).item() == 0


def test_content_confusion_grows_with_what_the_head_finds_out():
    """At worst the head is certain: 1 - 1/k."""
    judge, pooled = head(), maps(5, 3)
    losses = [content_confusion(judge, sure * pooled).item() for sure in (0.1, 1, 10, 1e6)]
    assert losses == sorted(losses)
    assert losses[-1] == pytest.approx(1 - 1 / 4)


@pytest.mark.parametrize("make", [head, lambda: nn.Sequential(nn.LeakyReLU(0.1), head())])
def test_content_confusion_trains_the_content_and_never_the_head(make):
    judge, pooled = make(), maps(2, 3).requires_grad_()
    content_confusion(judge, pooled).backward()
    assert pooled.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in judge.parameters())
    assert all(weight.requires_grad for weight in judge.parameters())  # and leaves it free for Eq. 8
    style_classification(judge(maps(2, 3)), torch.tensor([0, 1])).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in judge.parameters())


def test_a_step_down_the_confusion_makes_the_head_less_certain():
    judge, pooled = head(), maps(6, 3).requires_grad_()
    (slope,) = torch.autograd.grad(content_confusion(judge, pooled), pooled)
    before = judge(pooled).softmax(1).amax(1).mean()
    assert judge(pooled - 5 * slope).softmax(1).amax(1).mean() < before


def test_content_confusion_gradients():
    judge = head()
    assert torch.autograd.gradcheck(lambda x: content_confusion(judge, x), (maps(3, 3).requires_grad_(),))


def test_content_confusion_refuses_maps():
    with pytest.raises(ValueError, match=r"pooled is \(2,3,8,8\), expected \(B,D\)"):
        content_confusion(head(), maps(2, 3, 8, 8))


def test_reconstruction_by_hand():
    output = torch.tensor([0.5, -1.0]).view(1, 1, 1, 2)
    assert reconstruction(output, torch.zeros_like(output)).item() == pytest.approx((0.25 + 1) / 2)


def test_reconstruction_is_zero_at_the_target_and_does_not_grow_with_the_batch():
    output, target = maps(2, 3, 4, 4, seed=1), maps(2, 3, 4, 4, seed=2)
    assert reconstruction(target, target).item() == 0
    torch.testing.assert_close(
        reconstruction(output.repeat(3, 1, 1, 1), target.repeat(3, 1, 1, 1)), reconstruction(output, target)
    )


def test_reconstruction_gradients():
    tensors = [maps(1, 3, 2, 2, seed=seed).requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradcheck(reconstruction, tensors)


@pytest.mark.parametrize("loss", [reconstruction, lambda a, b: perceptual(encoder(), a, b, TAPS)])
def test_images_of_different_shape_are_refused(loss):
    with pytest.raises(ValueError, match=r"output is \(2,3,8,8\), target \(1,3,8,8\), expected equal"):
        loss(maps(2, 3, 8, 8), maps(1, 3, 8, 8))


def test_perceptual_is_the_taps_mean_squared_distance_by_its_definition():
    output, target, judge = maps(2, 3, 8, 8, seed=1), maps(2, 3, 8, 8, seed=2), encoder()
    ours, theirs = judge(output, TAPS), judge(target, TAPS)
    expected = sum(((ours[tap] - theirs[tap]) ** 2).mean().item() for tap in TAPS) / 2
    assert expected > 0.1
    assert perceptual(judge, output, target, TAPS).item() == pytest.approx(expected)


def test_perceptual_is_zero_at_the_target_and_smaller_nearer_to_it():
    output, target, judge = maps(2, 3, 8, 8, seed=1), maps(2, 3, 8, 8, seed=2), encoder()
    losses = [perceptual(judge, output.lerp(target, share), target, TAPS).item() for share in (0, 0.5, 1)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0


def test_perceptual_trains_the_output_alone():
    output, target, judge = maps(1, 3, 8, 8, seed=1), maps(1, 3, 8, 8, seed=2), encoder()
    output.requires_grad_(), target.requires_grad_()
    perceptual(judge, output, target, TAPS).backward()
    assert output.grad.abs().sum() > 0
    assert target.grad is None
    assert all(weight.grad is None for weight in judge.parameters())


def test_perceptual_gradients():
    target, judge = maps(1, 3, 4, 4, seed=2), encoder()
    assert torch.autograd.gradcheck(
        lambda x: perceptual(judge, x, target, TAPS), (maps(1, 3, 4, 4).requires_grad_(),)
    )


def test_perceptual_refuses_no_taps_and_unknown_ones():
    output = maps(1, 3, 8, 8)
    with pytest.raises(ValueError, match="no taps given, expected some of relu1_1"):
        perceptual(encoder(), output, output, ())
    with pytest.raises(ValueError, match="no layer 'relu9_1'"):
        perceptual(encoder(), output, output, ("relu9_1",))


def test_style_head_begins_anew_for_every_group():
    first, second = StyleHead(16, 5), StyleHead(16, 5)
    first.reset(3, 7)
    torch.manual_seed(1)
    torch.rand(5)
    second.reset(3, 7)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
    for seed, group in ((3, 8), (4, 7)):
        second.reset(seed, group)
        assert not torch.equal(first.weight, second.weight)
        assert not torch.equal(first.bias, second.bias)


def test_style_head_draws_within_the_bound_of_a_linear_layer():
    made = StyleHead(16, 500)
    made.reset(0, 0)
    assert made(torch.zeros(2, 16)).shape == (2, 500)
    for parameter in (made.weight, made.bias):
        assert 0.24 < parameter.abs().max() <= 0.25  # 1 / sqrt(16)
        assert parameter.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.1)


def test_output_and_target_are_shifted_alike():
    image = maps(1, 3, 24, 24)
    output, target = shift_alike(image, image + 1, torch.Generator().manual_seed(0))
    assert torch.allclose(output + 1, target)


def test_shifts_reach_four_pixels_each_way_and_mirror_the_border():
    """A picture that counts its rows and columns tells where its middle has gone."""
    count = torch.arange(24.0)
    image = (100 * count[:, None] + count).expand(1, 3, 24, 24)
    generator, offsets = torch.Generator().manual_seed(0), set()
    for _ in range(400):
        shifted = shift_alike(image, image, generator)[0]
        assert shifted.shape == image.shape
        row, column = divmod(int(shifted[0, 0, 12, 12]), 100)
        offsets.add((row - 12, column - 12))
        rows = (torch.arange(24) + row - 12).abs()
        assert torch.equal(shifted[0, 0, :, 12], image[0, 0, 23 - (23 - rows).abs(), column])
    assert {row for row, _ in offsets} == {column for _, column in offsets} == set(range(-4, 5))


def test_the_prior_by_hand():
    """½(μ² + σ² − 1 − log σ²), a mean: of (μ, σ²) = (2, 1) and (0, e) it is 2 and (e − 2)/2."""
    assert style_prior(rows([2.0, 0.0, 0.0, 1.0])).item() == pytest.approx((2 + (math.e - 2) / 2) / 2)


def test_the_prior_is_zero_at_the_standard_normal_distribution_alone():
    assert style_prior(rows([0.0, 0.0, 0.0, 0.0])) == 0
    for other in ([0.1, 0, 0, 0], [0, 0, 0.1, 0], [0, 0, 0, -0.1]):
        assert style_prior(rows(other)) > 0


def test_the_prior_is_the_divergence_of_normal_distributions():
    normal = torch.distributions.Normal
    mean, log_variance = maps(3, 5), maps(3, 5, seed=1)
    expected = torch.distributions.kl_divergence(
        normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)
    ).mean()
    torch.testing.assert_close(style_prior(torch.cat([mean, log_variance], 1)), expected)


def test_styles_are_drawn_about_their_means_as_widely_as_the_variances_say():
    wanted = rows([3.0, -1.0, math.log(4.0), math.log(0.25)])
    drawn = sample_style(wanted.repeat(20_000, 1), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), wanted[0, :2], atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.std(0), rows([2.0, 0.5])[0], atol=0.03, rtol=0)


@pytest.mark.parametrize("loss", [style_prior, lambda x: sample_style(x, torch.Generator().manual_seed(0))])
def test_gradients_of_distributions(loss):
    assert torch.autograd.gradcheck(loss, maps(2, 6).requires_grad_())

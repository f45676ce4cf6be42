"""What guides DiffSketching, against finite differences; sampling by seed and key; P and the classifier."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

from sketchforge.models.diffsketching import (
    CONCATENATION,
    GUIDANCE,
    DiffSketching,
    NoisedClassifier,
    SketchBlend,
    _encode_times,
    class_slope,
    to_noise_norm,
)
from sketchforge.models.noise import sample_maps
from tests.helpers.tiny_diffusion import rows, tiny_model, tiny_view

TIMES = torch.tensor([400, 150])


def slopes_by_differences(function, x, count=6, step=1e-5):
    """(flat index, slope) of some numbers of x, by central differences of a function that returns a scalar."""
    flat = x.flatten()
    found = []
    for index in torch.linspace(0, flat.numel() - 1, count).long().tolist():
        ends = []
        for sign in (1, -1):
            moved = flat.clone()
            moved[index] += sign * step
            ends.append(function(moved.view_as(x)).item())
        found.append((index, (ends[0] - ends[1]) / (2 * step)))
    return found


@pytest.fixture(scope="module")
def guided():
    return tiny_model(classes=("cat", "dog")).double()


def test_the_classifiers_slope_is_that_of_log_p_of_each_rows_own_label(guided):
    _, x, _ = (each.double() for each in rows())
    labels = torch.tensor([1, 0])
    slope = class_slope(guided.classifier, x, TIMES, labels).flatten()

    def log_p(noisy):
        return guided.classifier(noisy, TIMES).log_softmax(1).gather(1, labels[:, None]).sum()

    for index, expected in slopes_by_differences(log_p, x):
        assert slope[index].item() == pytest.approx(expected, rel=1e-4, abs=1e-8)


def test_classifier_guidance_is_the_papers_formula(guided):
    """ε̂ − √(1−ᾱ_t)·scale·∇ log p(y | x_t), and x̂_0 by that."""
    sketches, x, _ = (each.double() for each in rows())
    labels = torch.tensor([1, 0])
    sampling = replace(guided.sampling, sketch_scale=0.0, class_scale=3.0)
    plain, moved = guided.predict(x, TIMES, sketches), guided.guide(x, TIMES, sketches, sampling, labels)
    b = (1 - guided.schedule.share_at(TIMES)).sqrt()
    expected = plain.noise - 3 * b * class_slope(guided.classifier, x, TIMES, labels)
    assert torch.allclose(moved.noise, expected)
    a = guided.schedule.share_at(TIMES).sqrt()
    assert torch.allclose(moved.image, (x - b * expected) / a, atol=1e-5)


def test_the_sketchs_guidance_goes_down_its_distance_by_finite_differences(guided):
    """By x_t, through the U-net, x̂_0 and P; x̂_0 moves by the scale, times the share of noise."""
    sketches, x, _ = (each.double() for each in rows())
    plain = guided.predict(x, TIMES, sketches)
    moved = guided.guide(x, TIMES, sketches, guided.sampling, None)
    share = guided.schedule.share_at(TIMES)
    move = moved.noise - plain.noise
    count = x[0].numel()
    by = (moved.image - plain.image).flatten(1).norm(dim=1) / count**0.5
    assert by.tolist() == pytest.approx((0.3 * (1 - share)).flatten().tolist())

    def distance(noisy):
        return guided.view.distances(guided.predict(noisy, TIMES, sketches).image, sketches)[0]

    found = slopes_by_differences(distance, x, count=12)
    own = [(index, slope) for index, slope in found if index < count]
    ratio = {round(slope / move.flatten()[index].item(), 6) for index, slope in own}
    assert max(ratio) == pytest.approx(min(ratio), rel=1e-3)
    assert min(ratio) > 0


def test_class_and_sketch_guide_together_each_by_its_own(guided):
    """What both move is what each moves by itself, added up."""
    sketches, x, _ = (each.double() for each in rows())
    labels, plain = torch.tensor([1, 0]), guided.predict(x, TIMES, sketches).noise
    both = replace(guided.sampling, class_scale=3.0)
    by_class = guided.guide(x, TIMES, sketches, replace(both, sketch_scale=0.0), labels).noise - plain
    by_sketch = guided.guide(x, TIMES, sketches, both, None).noise - plain
    assert by_class.abs().max() > 0
    assert by_sketch.abs().max() > 0
    assert torch.allclose(guided.guide(x, TIMES, sketches, both, labels).noise, plain + by_class + by_sketch)


def test_guidance_that_is_off_changes_nothing(guided):
    sketches, x, _ = (each.double() for each in rows())
    off = replace(guided.sampling, sketch_scale=0.0)
    assert torch.equal(
        guided.guide(x, TIMES, sketches, off, None).noise, guided.predict(x, TIMES, sketches).noise
    )


def test_of_the_sketch_a_step_down_is_nearer(guided):
    """x̂_0 after a small step along the guidance has a sketch that is nearer to the one asked for."""
    sketches, x, _ = (each.double() for each in rows())
    little = replace(guided.sampling, sketch_scale=1e-3)
    plain = guided.predict(x, TIMES, sketches).image
    noise = guided.guide(x, TIMES, sketches, little, None).noise - guided.predict(x, TIMES, sketches).noise
    stepped = guided.predict(x - noise, TIMES, sketches).image
    distances = [guided.view.distances(image, sketches) for image in (plain, stepped)]
    assert (distances[1] < distances[0]).all()


def test_slopes_have_the_norm_of_noise_row_by_row():
    slope = torch.stack([torch.ones(3, 2, 2), 5 * torch.ones(3, 2, 2), torch.zeros(3, 2, 2)])
    expected = torch.stack([torch.ones(3, 2, 2), torch.ones(3, 2, 2), torch.zeros(3, 2, 2)])
    assert torch.allclose(to_noise_norm(slope), expected)


def test_what_stands_in_for_a_style_are_means_and_deviations_of_channels():
    model = tiny_model()
    _, images, _ = rows()
    features = model.view.encoder(images, ["relu3_1"])["relu3_1"].double().numpy()
    expected = np.concatenate([features.mean((2, 3)), features.std((2, 3), ddof=1)], axis=1)
    assert model.encode_style(images).numpy() == pytest.approx(expected, abs=1e-5)


def test_times_are_sines_and_cosines_of_two_frequencies():
    angles = np.array([[0, 0], [7, 0.07]])
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    assert _encode_times(torch.tensor([0, 7]), 4).numpy() == pytest.approx(expected)


def test_the_time_scales_and_shifts_what_the_classifier_normalises():
    """Where images have no effect the shift alone is left, and the scale where there is no shift."""
    model = tiny_model(classes=("cat", "dog"))
    _, images, _ = rows()
    for part in ("scale", "shift"):
        classifier = copy.deepcopy(model.classifier)
        with torch.no_grad():
            for conv, shift in zip(classifier.convs, classifier.shifts, strict=True):
                count = len(conv.weight)
                if part == "shift":
                    conv.weight.zero_()
                kept = slice(0, count) if part == "scale" else slice(count, None)
                weight = shift.weight[kept].clone()
                shift.weight.zero_()
                shift.weight[kept] = weight
            logits = [classifier(images, torch.full((2,), time)) for time in (10, 900)]
        assert not torch.allclose(*logits, atol=1e-4)


# Sampling.


@pytest.mark.parametrize("condition", [GUIDANCE, CONCATENATION])
def test_the_same_seed_and_key_give_the_same_image(condition):
    model = tiny_model(condition)
    sketches, styles, _ = rows()
    noise = sample_maps((3, 16, 16), ["a", "b"], 0)
    first = model(sketches, styles, noise)
    assert torch.equal(model(sketches, styles, sample_maps((3, 16, 16), ["a", "b"], 0)), first)
    others = model(sketches, styles, sample_maps((3, 16, 16), ["a", "c"], 0))
    assert torch.allclose(others[0], first[0], atol=1e-5)
    assert not torch.allclose(others[1], first[1], atol=1e-3)
    assert not torch.allclose(
        model(sketches, styles, sample_maps((3, 16, 16), ["a", "b"], 1)), first, atol=1e-3
    )


@pytest.mark.parametrize("condition", [GUIDANCE, CONCATENATION])
def test_an_image_depends_on_no_other_of_its_batch(condition):
    model = tiny_model(condition, ("cat", "dog"), label=1)
    sketches, styles, noise = rows(3)
    together = model(sketches, styles, noise)
    for row in range(3):
        alone = model(sketches[row : row + 1], styles[row : row + 1], noise[row : row + 1])
        assert torch.allclose(together[row : row + 1], alone, atol=1e-4)


@pytest.mark.parametrize("condition", [GUIDANCE, CONCATENATION])
def test_images_depend_on_the_sketch_and_on_the_style(condition):
    model = tiny_model(condition)
    sketches, styles, noise = rows()
    made = model(sketches, styles, noise)
    assert not torch.allclose(model(-sketches, styles, noise), made, atol=1e-3)
    assert not torch.allclose(model(sketches, -styles, noise), made, atol=1e-3)


def test_at_full_strength_nothing_is_left_of_the_style():
    model = tiny_model(CONCATENATION, strength=1.0)
    sketches, styles, noise = rows()
    assert torch.equal(model(sketches, -styles, noise), model(sketches, styles, noise))


def test_the_class_asked_for_matters():
    model = tiny_model(classes=("cat", "dog"), class_scale=50.0)
    sketches, styles, noise = rows()
    cat, dog = (
        model.sample(sketches, styles, noise, replace(model.sampling, label=label)) for label in (0, 1)
    )
    assert not torch.allclose(cat, dog, atol=1e-3)


@pytest.mark.parametrize("condition", [GUIDANCE, CONCATENATION])
def test_between_two_sketches_the_ends_are_their_own_images(condition):
    model = tiny_model(condition)
    sketches, styles, noise = rows(1)
    second = -sketches

    def between(weight):
        blend = SketchBlend(second, torch.tensor([weight]))
        return model.sample(sketches, styles, noise, model.sampling, blend)

    assert torch.allclose(between(0.0), model(sketches, styles, noise), atol=1e-4)
    assert torch.allclose(between(1.0), model(second, styles, noise), atol=1e-4)
    ends = between(0.0), between(1.0)
    assert not any(torch.allclose(between(0.5), end, atol=1e-3) for end in ends)


def test_sampling_in_inference_mode_is_guided_all_the_same():
    model = tiny_model()
    sketches, styles, noise = rows()
    with torch.inference_mode():
        made = model(*(each.clone() for each in (sketches, styles, noise)))
    assert torch.equal(made, model(sketches, styles, noise))


# Gradients.


def steps_of(model):
    return model.schedule.list_times(model.sampling.steps, model.sampling.strength)


def test_sampling_without_gradients_teaches_nothing():
    """The published way: what is sampled has no path to the U-net, so that fine-tuning by it moves nothing."""
    model = tiny_model()
    model.unet.requires_grad_(True)
    sketches, _, noise = rows()
    made = model.denoise(noise, sketches, steps_of(model), model.sampling)
    loss = model.view.distances(made, sketches).sum()
    assert not loss.requires_grad
    assert all(parameter.grad is None for parameter in model.unet.parameters())


@pytest.mark.parametrize("through", [1, 2])
def test_through_the_last_steps_gradients_reach_the_unet(through):
    model = tiny_model(classes=("cat", "dog"))
    model.unet.requires_grad_(True)
    sketches, _, noise = rows()
    labels = torch.tensor([0, 1])
    made = model.denoise(noise, sketches, steps_of(model), model.sampling, through, labels)
    model.view.distances(made, sketches).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.unet.parameters())
    assert all(parameter.grad is None for parameter in model.classifier.parameters())
    assert all(parameter.grad is None for parameter in model.view.parameters())


def test_through_all_steps_the_gradient_is_that_of_the_whole_sampling():
    """By finite differences of one weight; without guidance, whose own slope is left out."""
    model = tiny_model(sketch_scale=0.0, steps=3).double()
    model.unet.requires_grad_(True)
    sketches, _, noise = (each.double() for each in rows())
    times, weight = steps_of(model), model.unet.conv_out.bias

    def loss(through=0):
        return model.denoise(noise, sketches, times, model.sampling, through).square().mean()

    (slope,) = torch.autograd.grad(loss(len(times)), weight)
    (last,) = torch.autograd.grad(loss(1), weight)
    step = 1e-5
    with torch.no_grad():
        weight[0] += step
        above = loss()
        weight[0] -= 2 * step
        below = loss()
        weight[0] += step
    expected = ((above - below) / (2 * step)).item()
    assert slope[0].item() == pytest.approx(expected, rel=1e-3)
    assert last[0].item() != pytest.approx(expected, rel=1e-2)


def test_what_guides_the_last_step_is_not_gone_through_itself():
    """By hand: its slope moves the noise as a number that the U-net does not change."""
    model = tiny_model(steps=3, strength=1.0).double()
    model.unet.requires_grad_(True)
    sketches, _, noisy = (each.double() for each in rows())
    times, weights = steps_of(model), list(model.unet.parameters())
    made = model.denoise(noisy, sketches, times, model.sampling, through=1)
    found = torch.autograd.grad(made.square().mean(), weights)
    for index, time in enumerate(times):
        now = torch.full((2,), time)
        guided = model.guide(noisy, now, sketches, model.sampling, None)
        if index + 1 < len(times):
            noisy = model.schedule.step(guided, times[index + 1]).detach()
    plain = model.predict(noisy, now, sketches)
    noise = plain.noise + (guided.noise - plain.noise).detach()
    made = model.schedule.step(model.schedule.replace_noise(plain, noise, now), None)
    for one, expected in zip(found, torch.autograd.grad(made.square().mean(), weights), strict=True):
        assert torch.allclose(one, expected, rtol=1e-6)


def test_through_more_steps_the_guided_gradient_goes_farther_back():
    """Of two last steps it is not that of the last alone: what guides keeps the chain."""
    model = tiny_model(steps=3, strength=1.0).double()
    model.unet.requires_grad_(True)
    sketches, _, noise = (each.double() for each in rows())
    times = steps_of(model)
    slopes = []
    for through in (1, 2, 3):
        loss = model.denoise(noise, sketches, times, model.sampling, through).square().mean()
        slopes.append(torch.autograd.grad(loss, model.unet.conv_out.weight)[0])
    assert all((slopes[b] - slopes[a]).norm() > 1e-3 * slopes[a].norm() for a, b in ((0, 1), (1, 2), (0, 2)))


def test_images_are_in_range():
    model = tiny_model()
    sketches, styles, noise = rows()
    made = model(sketches, 3 * styles, noise)
    assert made.abs().max() == 1


# P, and what it compares.


def test_a_sketch_has_the_models_size_and_depends_on_the_image():
    view = tiny_view()
    _, images, _ = rows()
    drawn = view.draw(images)
    assert drawn.shape == (2, 1, 16, 16)
    assert drawn.abs().max() <= 1
    assert not torch.allclose(drawn[0], drawn[1])


def test_of_large_images_every_pixel_counts_and_sketches_are_enlarged():
    """D below S, as of 256 pixels and more: no pixel is passed over, and lines are no staircases of squares."""
    view = tiny_view(size=32, drawn_size=14)
    _, images, _ = rows(size=32)
    images.requires_grad_(True)
    drawn = view.draw(images)
    assert drawn.shape == (2, 1, 32, 32)
    (slope,) = torch.autograd.grad(drawn.square().sum(), images)
    assert slope[:, :, 2:-2, 2:-2].abs().sum(1).min() > 0
    steps = drawn.detach().diff(dim=3)
    assert (steps.abs() < 1e-7).float().mean() < 0.1  # enlarged by repetition half of them would be 0


def test_an_images_own_sketch_is_at_no_distance():
    view = tiny_view()
    _, images, _ = rows()
    own, others = (view.distances(images, view.draw(x)) for x in (images, images.flip(0)))
    assert own.max() < 1e-6 * others.min()


def test_channels_are_weighed_by_one_over_their_variance():
    """Of taps with one even channel each: its weight is nearly 0, and of others all say as much."""
    view = tiny_view()
    sketches, _, _ = rows(8)
    view.calibrate(sketches)
    features = view.encoder(sketches.expand(-1, 3, -1, -1), ["relu1_2"])["relu1_2"]
    variance = features.var(dim=(0, 2, 3), unbiased=False)
    expected = variance / (variance + 0.01 * variance.mean()).square() / len(variance)
    assert torch.allclose(view.weight_of("relu1_2"), expected)
    assert ((variance * expected)[variance > variance.mean()] > 0.97 / len(variance)).all()


def test_the_classifier_tells_noised_images_apart_by_their_time_too():
    classifier = NoisedClassifier(3, 8)
    _, images, _ = rows()
    logits = classifier(images, torch.tensor([10, 10]))
    assert logits.shape == (2, 3)
    assert not torch.allclose(classifier(images, torch.tensor([900, 900])), logits)


def test_the_style_is_the_statistics_of_a_layer():
    model = tiny_model()
    _, images, _ = rows()
    assert model.encode_style(images).shape == (2, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"condition": "both"}, "condition is 'both'"), ({"classes": ("cat",)}, "does not know 1 classes")],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    model = tiny_model()
    parts = {"condition": GUIDANCE, "classes": ()} | changes
    with pytest.raises(ValueError, match=message):
        DiffSketching(
            model.unet, model.schedule, model.view, parts["condition"], model.sampling, None, parts["classes"]
        )

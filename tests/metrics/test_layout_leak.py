"""How much of a style image's layout comes out."""

import pytest
import torch

from sketchforge.metrics.images.layout_leak import layout_changes, leak_ratio, style_cosines


def random_images(count=3, channels=3, seed=0):
    return torch.rand(count, channels, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def by_mean_colour(sketches, styles):
    """A model that takes nothing but the mean colour of a style."""
    return sketches * styles.mean((2, 3), keepdim=True)


def by_copying(sketches, styles):
    """A model that gives its style image back."""
    return styles


def ratio_of(synthesize):
    images = random_images()
    found = layout_changes(synthesize, random_images(channels=1), images, images.roll(1, 0))
    return leak_ratio(float(found["change_mirrored"].sum()), float(found["change_other"].sum()))


def test_a_model_that_takes_colour_alone_leaks_nothing():
    assert ratio_of(by_mean_colour) == pytest.approx(0, abs=1e-10)


def test_a_model_that_copies_its_style_leaks_all():
    assert ratio_of(by_copying) > 0.5


def test_half_of_a_copy_leaks_a_quarter_of_its_change():
    """Changes are squared; by hand: half the copy beside a whole one."""
    images, sketches = random_images(), random_images(channels=1)
    whole, half = (
        layout_changes(lambda _, styles, share=share: share * styles, sketches, images, images.roll(1, 0))
        for share in (1.0, 0.5)
    )
    torch.testing.assert_close(half["change_mirrored"], whole["change_mirrored"] / 4)


def test_changes_and_errors_are_what_their_names_say():
    images, others = random_images(), random_images(seed=1)
    found = layout_changes(by_copying, random_images(channels=1), images, others)

    def distance(one, another):
        return (one - another).square().flatten(1).mean(1)

    expected = {
        "error": torch.zeros(3),
        "error_mirrored": distance(images.flip(3), images),
        "error_turned": distance(images.flip(2).flip(3), images),
        "change_mirrored": distance(images.flip(3), images),
        "change_other": distance(others, images),
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values)


def test_what_no_style_changes_leaks_nothing():
    assert ratio_of(lambda sketches, styles: sketches.expand(-1, 3, -1, -1)) == 0


def test_cosines_of_the_layout_s_vector_and_of_the_colour_s():
    images = random_images() + 0.5
    by_colour = style_cosines(lambda x: x.mean((2, 3)), images, images.roll(1, 0))
    torch.testing.assert_close(by_colour["mirrored"], torch.ones(3))
    torch.testing.assert_close(by_colour["turned"], torch.ones(3))
    by_layout = style_cosines(lambda x: x.flatten(1), images, images.roll(1, 0))
    expected = torch.cosine_similarity(images.flatten(1), images.flip(2, 3).flatten(1))
    torch.testing.assert_close(by_layout["turned"], expected)
    assert (by_layout["other"] < 0.99).all()


def test_the_leak_is_the_mirrored_change_in_units_of_the_other():
    assert leak_ratio(0.02, 0.4) == pytest.approx(0.05)
    assert leak_ratio(0.3, 0.3) == 1
    assert leak_ratio(0.3, 0.0) == 0

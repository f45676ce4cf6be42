"""The lattice that doubling leaves, measured; and that bilinear doubling leaves none."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sketchforge.metrics.images.lattice import lattice_power, locked_share
from sketchforge.models.upsample_conv import upsample_conv


def grey(values):
    """(B,H,W) -> uint8 (B,H,W,3)."""
    return np.repeat(np.clip(np.rint(values), 0, 255).astype(np.uint8)[..., None], 3, axis=3)


def flat(count=4, side=64):
    return np.full((count, side, side), 128.0)


def noise(count=4, side=64, std=8.0, seed=0):
    return np.random.default_rng(seed).normal(0, std, (count, side, side))


def weave(side=64, height=8.0):
    """A pattern that repeats every four pixels."""
    return height * np.tile(noise(1, 4, 1.0, 5)[0], (side // 4, side // 4))


def share_of(images, references=None):
    power = lattice_power(
        grey(images), grey(flat(*np.shape(images)[:2]) if references is None else references)
    )
    return locked_share(*(power[name].sum() for name in ("locked", "fine", "reference")))


def test_a_lattice_alone_is_locked():
    assert share_of(flat() + weave()) == pytest.approx(1, abs=0.02)


def test_white_noise_is_not():
    assert share_of(flat(40) + noise(40)) == pytest.approx(0, abs=0.05)


def test_a_lattice_under_noise_has_its_share_of_the_power():
    pattern = weave()
    power = lattice_power(grey(flat(40) + noise(40)), grey(flat(40)))["fine"].sum()
    own = lattice_power(grey(flat(40) + pattern), grey(flat(40)))["fine"].sum()
    assert share_of(flat(40) + noise(40) + pattern) == pytest.approx(own / (own + power), abs=0.05)


def test_a_lattice_too_weak_to_be_seen_beside_a_picture_s_own_variation_hardly_counts():
    """A tenth of the amplitude, a hundredth of the power; as strong as the picture's own, it counts whole."""
    reference = flat(40) + noise(40, std=8.0)
    weak, strong = (share_of(flat(40) + weave(height=height), reference) for height in (0.8, 8.0))
    assert weak < 0.03
    assert strong > 0.5


def test_an_even_picture_has_no_share():
    assert share_of(flat()) == 0


def test_only_the_evenest_quarter_of_the_reference_is_looked_at():
    """A weave where the picture is busy does not count."""
    reference = flat(side=80)
    reference[:, 8:56] += noise(4, 80, 30.0)[:, 8:56]
    images = flat(side=80) + noise(4, 80)
    images[:, 8:56] += weave(80)[8:56]
    assert share_of(images, reference) < 0.1 < share_of(images)


def test_six_pixels_at_the_border_are_left_out():
    images = flat() + noise()
    images[:, :6] += 100
    assert share_of(images) == pytest.approx(share_of(flat() + noise()), abs=0.05)


def test_the_power_is_that_of_parseval():
    """The sum over frequencies is the mean square over pixels, summed over windows: of a weave, by hand."""
    pattern = weave(height=20.0)
    one = flat(1) + pattern
    found = lattice_power(grey(one), grey(flat(1)))["fine"][0]
    smooth = one[0].copy()
    for axis in (0, 1):
        smooth = sum(w * np.roll(smooth, k, axis) for k, w in zip(range(-2, 3), (1, 4, 6, 4, 1))) / 16
    residual = (one[0] - smooth)[8:16, 8:16]
    assert found == pytest.approx(9 * residual.var(), rel=0.02)  # a quarter of 36 windows


@pytest.mark.parametrize(("mode", "locked"), [("nearest", True), ("bilinear", False)])
def test_bilinear_doubling_leaves_no_lattice(mode, locked):
    """Two doublings of a smooth map, random kernels: nearest neighbour's steps show, bilinear's do not."""
    rng = torch.Generator().manual_seed(0)
    x = F.interpolate(torch.randn(16, 8, 6, 6, generator=rng), size=24, mode="bicubic")
    for channels in (8, 3):
        weight = torch.randn(channels, x.shape[1], 3, 3, generator=rng) / 8
        if mode == "bilinear":
            x = upsample_conv(x, weight)
        else:
            x = F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)
    images = (x.movedim(1, 3) / x.std() * 20 + 128).clamp(0, 255).round().byte().numpy()
    power = lattice_power(images, np.full_like(images, 128))
    share = locked_share(*(power[name].sum() for name in ("locked", "fine", "reference")))
    assert (share > 0.1) if locked else (share < 0.03)


def test_unequal_and_small_images_are_refused():
    with pytest.raises(ValueError, match="expected equal shapes"):
        lattice_power(grey(flat(side=64)), grey(flat(side=32)))
    with pytest.raises(ValueError, match="expected equal shapes"):
        lattice_power(grey(flat(side=16)), grey(flat(side=16)))

"""SR: colour by means, texture by variances, of two taps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.images.style_relevance import TAPS, style_relevance
from sketchforge.models.encoder import Encoder
from tests.helpers.photos import scene


@pytest.fixture(scope="module")
def encoder():
    torch.set_num_threads(1)
    return load_encoder("builtin")


def images(*seeds: int) -> torch.Tensor:
    return torch.cat([to_tensor(scene(seed, 64, 64)) for seed in seeds])


def values(encoder, a, b) -> dict[str, list[float]]:
    return {name: found.tolist() for name, found in style_relevance(encoder, a, b).items()}


def test_equals_its_definition(encoder):
    a, b = images(0), images(1)
    with torch.no_grad():
        made, wanted = encoder(a, TAPS), encoder(b, TAPS)
    colour, texture = [], []
    for tap in TAPS:
        x, y = (
            np.asarray(found[tap][0], np.float64).reshape(found[tap].shape[1], -1) for found in (made, wanted)
        )
        for kept, one, other in ((colour, x.mean(1), y.mean(1)), (texture, x.var(1), y.var(1))):
            kept.append(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    found = values(encoder, a, b)
    assert found["colour"] == pytest.approx([np.mean(colour)], rel=1e-4)
    assert found["texture"] == pytest.approx([np.mean(texture)], rel=1e-4)
    assert found["relevance"] == pytest.approx([(np.mean(colour) + np.mean(texture)) / 2], rel=1e-4)


def test_one_for_equal_images_and_whatever_is_in_their_places(encoder):
    a = images(0, 1)
    for same in (a, a.flip(3)):
        for found in values(encoder, a, same).values():
            assert found == pytest.approx([1, 1], abs=0.01)


def test_sizes_may_differ(encoder):
    a = images(0)
    for found in values(encoder, a, F.interpolate(a, size=128, mode="bicubic")).values():
        assert found[0] > 0.9


def test_colour_falls_with_other_colours_and_texture_with_other_textures(encoder):
    """A flat red image in place of a flat blue one; then noise in place of a gradient of the same mean."""
    red, blue = torch.full((1, 3, 64, 64), -1.0), torch.full((1, 3, 64, 64), -1.0)
    red[:, 0], blue[:, 2] = 1, 1
    assert values(encoder, red, blue)["colour"][0] < values(encoder, red, 0.9 * red)["colour"][0] - 0.1
    smooth = torch.linspace(-0.5, 0.5, 64).expand(1, 3, 64, 64)
    rough = smooth[..., torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    assert (
        values(encoder, rough, smooth)["texture"][0]
        < values(encoder, smooth.flip(3), smooth)["texture"][0] - 0.05
    )


def test_flat_images_have_the_same_texture_none(encoder):
    flat = torch.zeros(1, 3, 32, 32)
    assert values(encoder, flat, flat)["texture"] == [1]
    assert values(encoder, flat, images(0))["texture"][0] < 0.5


def test_pairs_are_in_order(encoder):
    a, b = images(0, 1, 2), images(3, 4, 5)
    alone = [values(encoder, a[i : i + 1], b[i : i + 1])["relevance"][0] for i in range(3)]
    assert values(encoder, a, b)["relevance"] == pytest.approx(alone, rel=1e-4)
    assert len(set(alone)) == 3


def test_what_cannot_be_compared_is_refused(encoder):
    with pytest.raises(ValueError, match="2 outputs and 1 style images"):
        style_relevance(encoder, images(0, 1), images(0))
    with pytest.raises(ValueError, match="relu2_2"):
        style_relevance(Encoder([[4, 4]]), images(0), images(0))

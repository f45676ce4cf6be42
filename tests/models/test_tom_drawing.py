"""TOM's generators as they draw: equal to the generators as they are trained."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sketchforge.models import tom_inference
from sketchforge.models.tom import LeanGenerator, PaperGenerator
from sketchforge.models.tom_inference import (
    LeanInference,
    PaperInference,
    for_inference,
    one_channel_convolution,
)

CHANNELS = {"relu3_1": 6, "relu2_1": 5, "relu1_1": 4}


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 4), (5, 3)])
def test_the_convolution_to_one_channel_is_torchs(height, width):
    x, weight, bias = maps(2, 3, height + 2, width + 2), maps(1, 3, 3, 3, seed=1), maps(1, seed=2)
    for stored in (x, last(x)):
        assert torch.allclose(
            one_channel_convolution(stored, weight, bias), F.conv2d(x, weight, bias), atol=1e-5
        )


def lean() -> LeanGenerator:
    torch.manual_seed(0)
    return LeanGenerator(tuple(CHANNELS), tuple(CHANNELS.values()), (6, 5, 3)).eval()


def features(height: int, width: int, batch: int = 2) -> dict[str, torch.Tensor]:
    sizes = [(height // 4, width // 4), (height // 2, width // 2), (height, width)]
    return {
        tap: 3 * maps(batch, channels, *size, seed=at) + at
        for at, ((tap, channels), size) in enumerate(zip(CHANNELS.items(), sizes, strict=True))
    }


@torch.no_grad()
@pytest.mark.parametrize("height, width", [(32, 32), (24, 40), (33, 35), (30, 31)])
def test_a_lean_generator_draws_the_same(height, width):
    generator, seen = lean(), features(height, width)
    drawing = for_inference(generator)
    assert isinstance(drawing, LeanInference)
    expected = generator(generator.prepare(seen))
    assert expected.std() > 0.01
    assert torch.allclose(drawing(drawing.prepare(seen)), expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    "height, width, pixels", [(32, 32, 64), (24, 40, 1), (40, 24, 24 * 7), (32, 32, 32 * 31)]
)
def test_row_tiles_are_the_whole(height, width, pixels, monkeypatch):
    """Of two rows, of six, of all but the last two."""
    generator, seen = lean(), features(height, width, 1)
    drawing = for_inference(generator)
    whole = drawing(drawing.prepare(seen))
    tiles = []
    original = LeanInference._draw_row_tile
    monkeypatch.setattr(tom_inference, "TILE_PIXELS", pixels)
    monkeypatch.setattr(
        LeanInference, "_draw_row_tile", lambda *given: tiles.append(given) or original(*given)
    )
    assert torch.allclose(drawing(drawing.prepare(seen)), whole, atol=1e-6)
    assert len(tiles) == -(-height // max(2, pixels // width // 2 * 2)) > 1


@torch.no_grad()
def test_flat_and_faint_taps_are_drawn_the_same():
    generator, seen = lean(), features(16, 16, 1)
    seen = {
        tap: x.mean() + factor * x for factor, (tap, x) in zip((0.0, 1e-4, 1.0), seen.items(), strict=True)
    }
    drawing = for_inference(generator)
    assert torch.allclose(drawing(drawing.prepare(seen)), generator(generator.prepare(seen)), atol=1e-5)


@torch.no_grad()
def test_the_papers_generator_draws_the_same():
    """Norms with statistics and weights that are not 0 and 1, so that folding them in matters."""
    torch.manual_seed(0)
    generator = PaperGenerator(("pool3",), (6,), (8, 7, 5)).eval()
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.weight, module.bias):
                values.normal_()
            module.running_var.uniform_(0.5, 2)
    seen = {"pool3": maps(2, 6, 5, 4)}
    drawing = for_inference(generator)
    assert isinstance(drawing, PaperInference)
    expected = generator(seen)
    assert expected.shape == (2, 1, 40, 32)
    assert expected.std() > 0.01
    assert torch.allclose(drawing(drawing.prepare(seen)), expected, atol=1e-5)


@torch.no_grad()
def test_what_is_prepared_serves_every_generator():
    """Drawing changes nothing of it."""
    drawing = for_inference(lean())
    prepared = drawing.prepare(features(16, 16))
    first = drawing(prepared)
    assert torch.equal(drawing(prepared), first)


@torch.no_grad()
def test_features_are_left_as_they_are():
    seen = features(16, 16)
    before = {tap: x.clone() for tap, x in seen.items()}
    LeanInference.prepare(seen)
    assert all(torch.equal(seen[tap], before[tap]) for tap in seen)

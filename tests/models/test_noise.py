"""The refiner's noise: a sample's own, whatever comes before it, beside it or after it."""

import pytest
import torch

from sketchforge.models.noise import NOISE_DIM, Noise, draw_noise

SIDES = (32, 64)


def parts(noise: Noise) -> dict[object, torch.Tensor]:
    return {"vector": noise.vector, **noise.maps}


def test_noise_has_a_vector_and_a_map_for_each_side():
    noise = draw_noise(SIDES, ["a", "b", "c"], 0)
    assert {name: tuple(x.shape) for name, x in parts(noise).items()} == {
        "vector": (3, NOISE_DIM), 32: (3, 1, 32, 32), 64: (3, 1, 64, 64)
    }  # fmt: skip
    assert all(x.dtype == torch.float32 and x.device.type == "cpu" for x in parts(noise).values())


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_a_sample_has_the_same_noise_bit_for_bit_in_batches_of_any_size(batch):
    keys = [f"image{i}" for i in range(7)]
    whole = parts(draw_noise(SIDES, keys, 5))
    pieces = [parts(draw_noise(SIDES, keys[at : at + batch], 5)) for at in range(0, 7, batch)]
    for name, x in whole.items():
        assert torch.equal(torch.cat([piece[name] for piece in pieces]), x)


def test_order_and_what_was_drawn_before_do_not_matter():
    first = parts(draw_noise(SIDES, [1, 2], 0))
    torch.manual_seed(9)
    torch.randn(7)
    again = parts(draw_noise(SIDES, [2, 1], 0))
    for name, x in first.items():
        assert torch.equal(again[name].flip(0), x)


def test_nothing_is_taken_from_the_global_generator():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    draw_noise(SIDES, [0], 0)
    assert torch.equal(torch.rand(4), expected)


def test_every_seed_key_and_side_has_numbers_of_its_own():
    noises = [draw_noise(SIDES, ["a", "b"], seed) for seed in (0, 1)]
    streams = [x[i].flatten()[:16] for noise in noises for x in parts(noise).values() for i in (0, 1)]
    assert len({tuple(stream.tolist()) for stream in streams}) == 2 * 3 * 2


def test_a_map_is_the_same_whatever_other_sides_are_drawn():
    """So that a model of 128 pixels is given the noise of one of 64, and a finer map beside."""
    few, many = draw_noise((32,), [0], 0), draw_noise((32, 64, 128), [0], 0)
    assert torch.equal(few.maps[32], many.maps[32])
    assert torch.equal(few.vector, many.vector)
    assert draw_noise((), [0], 0).maps == {}


def test_numbers_are_standard_normal():
    """Within five standard errors of mean 0, variance 1, and a sixth of all beyond ±1 on each side."""
    noise = draw_noise((64,), range(40), 0)
    for x in parts(noise).values():
        count = x.numel()
        assert abs(x.mean()) < 5 * count**-0.5
        assert abs(x.var() - 1) < 5 * (2 / count) ** 0.5
        for tail in (x > 1, x < -1):
            assert abs(tail.float().mean() - 0.1587) < 5 * (0.1587 * 0.8413 / count) ** 0.5
    flat = noise.maps[64].flatten(1)
    assert (torch.corrcoef(flat) - torch.eye(40)).abs().max() < 5 / 64, "samples are independent"


def test_moved_noise_is_the_same_noise():
    noise = draw_noise(SIDES, [0, 1], 0)
    moved = noise.to("meta")
    assert {name: (x.device.type, x.shape) for name, x in parts(moved).items()} == {
        name: ("meta", x.shape) for name, x in parts(noise).items()
    }
    assert all(torch.equal(x, parts(noise)[name]) for name, x in parts(noise.to("cpu")).items())


def test_no_keys_are_refused():
    with pytest.raises(ValueError, match="no keys given, expected one for each sample"):
        draw_noise(SIDES, [], 0)

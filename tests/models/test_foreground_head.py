"""The foreground head: what it finds, its file, and what it refuses."""

import cv2
import numpy as np
import pytest
import torch

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.encoder import encoder_digest, load_encoder
from sketchforge.checkpoints.foreground import read_foreground_head, write_foreground_head
from sketchforge.checkpoints.tensor_files import read_metadata
from sketchforge.errors import SketchforgeError
from sketchforge.models.encoder import orthogonal_encoder
from sketchforge.models.foreground_head import (
    BORDER_HEADS,
    COLOUR_CHANNELS,
    COLOUR_SIDE,
    INPUT_SIDE,
    MASK_SIDE,
    NEAREST,
    TAPS,
    ForegroundHead,
    colour_distance,
    foreground_features,
)
from sketchforge.sketchers.foreground import ForegroundFinder
from sketchforge.utils.seeding import numpy_generator, torch_generator

CPU = torch.device("cpu")
SHIPPED = KNOWN["foreground"].candidates()[0]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("builtin")


@pytest.fixture(scope="module")
def finder():
    return ForegroundFinder(CPU)


@pytest.fixture
def head(encoder):
    return ForegroundHead({tap: encoder.tap_channels(tap) for tap in TAPS}).eval()


def object_on_plain_ground(place: tuple[int, int], side: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """(picture, bool mask): a striped brown body with a head before a pale wall."""
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, place, (side // 5, side // 8), 0, 0, 360, 1, -1)
    cv2.circle(mask, (place[0] + side // 6, place[1] - side // 8), side // 14, 1, -1)
    stripes = 90 + 40 * (np.arange(side) // 6 % 2)
    texture = numpy_generator(0, "texture").normal(0, 6, (side, side, 3))
    body = stripes[None, :, None] * np.array([1.0, 0.7, 0.5]) + texture
    wall = np.array([205, 212, 220]) + texture / 3
    picture = np.where(mask[..., None] > 0, body, wall)
    return cv2.GaussianBlur(picture.clip(0, 255).astype(np.uint8), (0, 0), 0.7), mask > 0


def shrink(mask: np.ndarray) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA) > 0.5


@pytest.mark.parametrize("place", [(100, 100), (75, 120), (125, 85)])
def test_an_object_on_plain_ground_is_found_where_it_is(finder, place):
    picture, mask = object_on_plain_ground(place)
    found = finder.find(picture[None])[0] > 0.3
    subject = shrink(mask)
    assert (found & subject).sum() / (found | subject).sum() > 0.5


def test_what_is_found_moves_with_the_object(finder):
    left, right = (finder.find(object_on_plain_ground((x, 100))[0][None])[0] for x in (70, 130))
    columns = np.arange(MASK_SIDE)
    assert (left.sum(0) @ columns) / left.sum() < 30 < 34 < (right.sum(0) @ columns) / right.sum()


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (128, 128), (40, 33)])
def test_any_size_gives_a_map_of_one_size(finder, size):
    pixels = numpy_generator(0, "pixels").integers(0, 256, (2, *size, 3), np.uint8)
    found = finder.find(pixels)
    assert found.shape == (2, MASK_SIDE, MASK_SIDE)
    assert found.dtype == np.float32
    assert 0 <= found.min()
    assert found.max() <= 1


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture_is_no_error(finder, level):
    found = finder.find(np.full((1, 64, 64, 3), level, np.uint8))
    assert np.isfinite(found).all()


def test_no_pictures_give_no_maps(finder):
    assert finder.find(np.zeros((0, 64, 64, 3), np.uint8)).shape == (0, MASK_SIDE, MASK_SIDE)


def test_a_picture_is_found_the_same_alone_and_in_a_batch(finder):
    pixels = np.stack([object_on_plain_ground((x, 100))[0] for x in (70, 100, 130)])
    together = finder.find(pixels)
    for picture, found in zip(pixels, together, strict=True):
        assert np.array_equal(finder.find(picture[None])[0], found)


def test_two_finders_find_the_same_bytes(finder):
    picture, _ = object_on_plain_ground((90, 110))
    assert np.array_equal(ForegroundFinder(CPU).find(picture[None]), finder.find(picture[None]))


def test_the_shipped_file_is_small_and_names_its_encoder(encoder):
    assert SHIPPED.stat().st_size <= 300_000
    metadata = read_metadata(SHIPPED)
    assert metadata["encoder"] == encoder_digest(encoder)
    assert (SHIPPED.parent / "foreground.md").read_text(encoding="utf-8").count(metadata["digest"]) == 1


def test_a_head_keeps_its_output_through_its_file(tmp_path, encoder, head):
    path = tmp_path / "head.safetensors"
    write_foreground_head(path, head, encoder, {"centre_power": 0.25}, torch.float32)
    again, power = read_foreground_head(path, encoder)
    images = torch.rand(2, 3, INPUT_SIDE, INPUT_SIDE, generator=torch_generator(0, "x"))
    features = foreground_features(encoder, images)
    assert power == 0.25
    assert torch.equal(again(features), head(features))
    assert not again.training


def test_the_head_of_another_encoder_is_refused_in_one_line(tmp_path, encoder, head):
    path = tmp_path / "head.safetensors"
    other = orthogonal_encoder(torch_generator(0, "other"))
    write_foreground_head(path, head, other, {"centre_power": 1.0})
    with pytest.raises(SketchforgeError) as refusal:
        ForegroundFinder(CPU, path)
    message = str(refusal.value)
    assert str(path) in message
    assert encoder_digest(encoder)[:12] in message
    assert encoder_digest(other)[:12] in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "damage",
    [
        {"tap_channels": {"relu2_1": 8}},
        {"tap_channels": None},
        {"centre_power": "much"},
        {"encoder_of": "nobody"},
    ],
    ids=str,
)
def test_a_file_with_other_metadata_is_no_traceback(tmp_path, encoder, head, damage, monkeypatch):
    path = tmp_path / "head.safetensors"
    metadata = {"centre_power": 1.0, "encoder": encoder_digest(encoder), "tap_channels": head.tap_channels}
    metadata |= damage
    if "encoder_of" in damage:
        del metadata["encoder"]
    from sketchforge.checkpoints import foreground
    from sketchforge.checkpoints.tensor_files import save_tensors

    save_tensors(path, foreground.FORMAT, foreground.VERSION, head.state_dict(), metadata)
    with pytest.raises(SketchforgeError, match="not a usable foreground head") as refusal:
        read_foreground_head(path, encoder)
    assert "\n" not in str(refusal.value)


def test_weights_that_are_no_numbers_are_refused(tmp_path, encoder, head):
    path = tmp_path / "head.safetensors"
    with torch.no_grad():
        head.leave.weight.fill_(float("nan"))
    write_foreground_head(path, head, encoder, {"centre_power": 1.0})
    with pytest.raises(SketchforgeError, match="not numbers"):
        read_foreground_head(path, encoder)


def test_border_similarity_is_one_along_the_border_and_where_the_picture_is_like_it(head):
    """The border and one place within have the same features, all else has others."""
    channels = sum(head.tap_channels.values()) + COLOUR_CHANNELS
    generator = torch_generator(0, "features")
    ground, figure = (torch.rand(channels, generator=generator) * 4 for _ in range(2))
    seen = ground[None, :, None, None].repeat(1, 1, 16, 16)
    seen[0, :, 1:-1, 1:-1] = figure[:, None, None]
    seen[0, :, 3, 3] = ground
    greatest, mean = head.border_similarity(seen).split(BORDER_HEADS, 1)
    assert torch.allclose(mean[..., 0, :], torch.ones(1), atol=1e-5)
    assert torch.allclose(mean[..., 3, 3], torch.ones(1), atol=1e-5)
    assert torch.allclose(mean, greatest, atol=1e-5)  # all of the border is alike
    assert greatest[..., 8, 8].max() < 0.999


def test_colour_distance_is_that_to_the_colours_of_the_border():
    """A border of black and white halves, grey within: brightness 0 lies 1 from both, other colours nowhere."""
    images = torch.zeros(1, 3, INPUT_SIDE, INPUT_SIDE)
    cell = INPUT_SIDE // COLOUR_SIDE
    frame = torch.ones(COLOUR_SIDE, COLOUR_SIDE, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    frame = frame.repeat_interleave(cell, 0).repeat_interleave(cell, 1)
    images[:, :, frame] = 1.0
    images[:, :, INPUT_SIDE // 2 :][:, :, frame[INPUT_SIDE // 2 :]] = -1.0
    nearest, near, mean = colour_distance(images)[0]
    assert NEAREST < 2 * COLOUR_SIDE
    assert torch.allclose(nearest[1:-1, 1:-1], torch.ones(1), atol=1e-5)
    assert torch.allclose(near[1:-1, 1:-1], torch.ones(1), atol=1e-5)
    assert torch.allclose(mean[1:-1, 1:-1], torch.ones(1), atol=1e-5)
    assert nearest[0].abs().max() < 1e-5  # the border is like itself
    assert torch.allclose(mean[0], torch.ones(1), atol=1e-5)  # half of the border is 2 away

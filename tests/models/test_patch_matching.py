"""Patch matching: against brute force, and what pasting gives back."""

import math

import pytest
import torch

from sketchforge.models import patch_matching
from sketchforge.models.patch_matching import (
    RANDOM_SHARE,
    corrupt_matches,
    match_patches,
    paste_patches,
    paste_softly,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brute_force(features, reference, patch):
    """The best match of each cell, by loops over cells, patches and channels."""

    def vector(maps, row, column):
        height, width = maps.shape[1:]
        margin = patch // 2
        values = [
            maps[channel, min(max(row + y, 0), height - 1), min(max(column + x, 0), width - 1)].item()
            for channel in range(len(maps))
            for y in range(-margin, margin + 1)
            for x in range(-margin, margin + 1)
        ]
        length = math.sqrt(sum(value * value for value in values))
        return [value / length for value in values]

    height, width = reference.shape[1:]
    candidates = [vector(reference, row, column) for row in range(height) for column in range(width)]
    matches = []
    for row in range(features.shape[1]):
        for column in range(features.shape[2]):
            query = vector(features, row, column)
            cosines = [sum(a * b for a, b in zip(query, key, strict=True)) for key in candidates]
            matches.append(cosines.index(max(cosines)))
    return torch.tensor(matches).view(features.shape[1:])


def identity(count, height, width):
    return torch.arange(height * width).view(1, height, width).repeat(count, 1, 1)


@pytest.mark.parametrize("patch", [1, 3, 5])
def test_matches_are_those_of_brute_force(patch):
    features, reference = random(2, 3, 4, 5), random(2, 3, 5, 6, seed=1)
    expected = torch.stack([brute_force(*pair, patch) for pair in zip(features, reference, strict=True)])
    assert torch.equal(match_patches(features, reference, patch), expected)


def test_chunks_change_nothing():
    features, reference = random(2, 3, 4, 5), random(2, 3, 5, 6, seed=1)
    assert torch.equal(match_patches(features, reference, chunk=3), match_patches(features, reference))


def test_a_map_is_matched_to_itself_whatever_its_scale():
    features = random(2, 4, 6, 6)
    assert torch.equal(match_patches(3 * features, features), identity(2, 6, 6))


def test_a_shifted_map_is_found_where_it_has_gone():
    reference = random(1, 4, 8, 8)
    matches = match_patches(reference[:, :, 2:7, 1:6], reference)
    inner = identity(1, 8, 8)[:, 2:7, 1:6]
    assert torch.equal(matches[:, 1:-1, 1:-1], inner[:, 1:-1, 1:-1])


@pytest.mark.parametrize("patch", [1, 3])
def test_an_image_is_pasted_from_itself(patch):
    pixels = random(2, 3, 16, 16)
    torch.testing.assert_close(paste_patches(pixels, identity(2, 4, 4), (4, 4), patch), pixels)


def test_a_single_cell_is_pasted_without_its_neighbours():
    pixels = random(1, 3, 6, 4)  # cells of two pixels: 3×2
    matches = torch.tensor([[[5, 0]]])
    pasted = paste_patches(pixels, matches, (3, 2), 1)
    torch.testing.assert_close(pasted, torch.cat([pixels[:, :, 4:6, 2:4], pixels[:, :, 0:2, 0:2]], dim=3))


def test_overlapping_patches_are_averaged():
    """Two neighbouring cells, matched to an even dark and an even light place."""
    pixels = torch.zeros(1, 1, 3, 9, dtype=torch.float64)
    pixels[..., 6:] = 1
    matches = torch.tensor([[10, 16]])  # centres at columns 1 and 7 of the middle row of 3×9 cells
    pasted = paste_patches(pixels, matches.view(1, 1, 2), (3, 9), 3)
    torch.testing.assert_close(pasted, torch.full((1, 1, 1, 2), 0.5, dtype=torch.float64))


def test_soft_matches_at_a_low_temperature_are_the_best_ones():
    pixels, features, reference = random(2, 3, 12, 12), random(2, 4, 4, 4), random(2, 4, 6, 6, seed=1)
    hard = paste_patches(pixels, match_patches(features, reference), (6, 6))
    torch.testing.assert_close(
        paste_softly(pixels, features, reference, temperature=1e-4), hard, atol=1e-3, rtol=0
    )


def test_soft_matches_at_a_high_temperature_are_the_mean_patch():
    pixels, features, reference = random(1, 3, 12, 12), random(1, 4, 4, 4), random(1, 4, 6, 6, seed=1)
    pasted = paste_softly(pixels, features, reference, patch=1, temperature=1e6)
    mean = pixels.view(1, 3, 6, 2, 6, 2).mean((2, 4))
    torch.testing.assert_close(pasted, mean.repeat(1, 1, 4, 4), atol=1e-5, rtol=0)


def test_soft_matches_pass_gradients_and_need_no_more_memory_than_a_chunk():
    tensors = [random(1, 3, 12, 12), random(1, 4, 4, 4), random(1, 4, 6, 6, seed=1)]
    whole = paste_softly(*tensors)
    torch.testing.assert_close(paste_softly(*tensors, chunk=5), whole)
    for tensor in tensors:
        tensor.requires_grad_()
    paste_softly(*tensors, temperature=0.5).square().sum().backward()
    assert all(tensor.grad.any() for tensor in tensors)


@pytest.mark.parametrize("seed", range(20))
def test_corrupted_matches_are_matches_and_mostly_as_they_were(seed):
    matches = identity(1, 16, 16)[0]
    corrupted = corrupt_matches(matches, (16, 16), torch.Generator().manual_seed(seed))
    assert corrupted.shape == matches.shape
    assert 0 <= corrupted.min()
    assert corrupted.max() < 256
    # Two blocks of at most a quarter of the map each, and single cells.
    assert 0 < (corrupted != matches).float().mean() < 0.5 + 3 * RANDOM_SHARE


def test_corruption_depends_on_the_seed_alone_and_leaves_its_input():
    matches = identity(1, 8, 8)[0]
    first, second, other = (
        corrupt_matches(matches, (8, 8), torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(matches, identity(1, 8, 8)[0])


@pytest.fixture
def only(monkeypatch):
    """Leaves one kind of corruption; a tile as large as a block repeats nothing."""

    def leave(kind):
        off = {"shift": ("LARGEST_SHIFT", 0), "repeat": ("TILE", 99), "random": ("RANDOM_SHARE", 0)}
        for name, (setting, value) in off.items():
            if name != kind:
                monkeypatch.setattr(patch_matching, setting, value)

    return leave


@pytest.mark.parametrize("seed", range(8))
def test_a_shifted_block_is_matched_beside_its_place(only, seed):
    only("shift")
    matches = identity(1, 16, 16)[0]
    corrupted = corrupt_matches(matches, (16, 16), torch.Generator().manual_seed(seed))
    for now, before in ((corrupted // 16, matches // 16), (corrupted % 16, matches % 16)):
        offsets = (now - before)[(corrupted != matches) & (now > 0) & (now < 15)].unique()
        # but at the reference's border one for all
        assert len(offsets) <= 1
        assert (offsets.abs() <= 4).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_repeated_block_has_the_matches_of_its_first_cells(only, seed):
    only("repeat")
    matches = identity(1, 16, 16)[0]
    corrupted = corrupt_matches(matches, (16, 16), torch.Generator().manual_seed(seed))
    moved = (matches - corrupted)[corrupted != matches]
    rows, columns = moved // 16, moved % 16
    assert (rows % 2 == 0).all()
    assert (columns % 2 == 0).all()
    assert (moved > 0).all()
    assert len(corrupted[corrupted != matches].unique()) <= 4


def test_single_cells_are_matched_anywhere(only):
    only("random")
    matches = torch.zeros(64, 64, dtype=torch.int64)
    corrupted = corrupt_matches(matches, (16, 16), torch.Generator().manual_seed(0))
    scattered = corrupted[corrupted > 0]
    assert len(scattered) / 64**2 == pytest.approx(RANDOM_SHARE, abs=0.015)
    assert len(scattered.unique()) > 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: match_patches(random(1, 3, 4, 4), random(1, 3, 4, 4), patch=2),
            "patch is 2, expected an odd",
        ),
        (
            lambda: match_patches(random(1, 3, 4, 4), random(1, 2, 4, 4)),
            r"features are \(1,3,4,4\), reference",
        ),
        (
            lambda: paste_patches(random(1, 3, 9, 8), identity(1, 4, 4), (4, 4)),
            r"pixels are \(9,8\), expected a",
        ),
    ],
)
def test_what_cannot_be_matched_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

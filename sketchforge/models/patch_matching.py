"""SEGIN's auxiliary image: for each patch of a sketch, the pixels of the reference's most similar patch.

Patches are compared by the cosine of a frozen encoder's features; the pixels under the reference's patches are pasted
in their places (argmax), or all its patches by their similarity (soft, as in CoCosNet). For training, matches are
corrupted as they are wrong in use.

Shape letters: B batch, C channels, h, w cells of the input's feature map, H, W of the reference's, k cells on a
patch's side, δ pixels on a cell's side.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 3  # k; not published
TEMPERATURE = 0.01  # of the soft match, on cosines; as in CoCosNet
CHUNK = 1024  # cells of the input compared at a time: memory is bounded by CHUNK·H·W numbers an image

# Of `corrupt_matches`; not published.
LARGEST_BLOCK = 0.5  # of the map's side
LARGEST_SHIFT = 0.25  # of the reference's side
TILE = 2  # cells on the side of what is repeated
RANDOM_SHARE = 0.05  # of all cells


def match_patches(features: Tensor, reference: Tensor, patch: int = PATCH, chunk: int = CHUNK) -> Tensor:
    """The reference's patch of the highest cosine for every patch: (B,C,h,w), (B,C,H,W) -> int64 (B,h,w).

    Patches are numbered by their central cell, row by row: row·W + column. Beyond a map's border its last cells are
    repeated. Raises ValueError for maps of other batches or channels, and an even `patch`.
    """
    best = [similarity.argmax(dim=2) for similarity in _compare(features, reference, patch, chunk)]
    return torch.cat(best, dim=1).view(len(features), *features.shape[2:])


def paste_patches(pixels: Tensor, matches: Tensor, grid: tuple[int, int], patch: int = PATCH) -> Tensor:
    """The auxiliary image W(x, r): patches of the reference's pixels where their matches are; means where they overlap.

    pixels (B,3,δH,δW), matches (B,h,w) as from `match_patches`, grid (H, W) -> (B,3,δh,δw). Raises ValueError where the
    pixels are no multiple of the grid.
    """
    patches = _cut_patches(pixels, grid, patch)
    index = matches.flatten(1)[:, None].expand(-1, patches.shape[1], -1)
    return _join_patches(patches.gather(2, index), matches.shape[1:], pixels.shape[2] // grid[0], patch)


def paste_softly(
    pixels: Tensor,
    features: Tensor,
    reference: Tensor,
    patch: int = PATCH,
    temperature: float = TEMPERATURE,
    chunk: int = CHUNK,
) -> Tensor:
    """The auxiliary image of soft matches: each patch is the mean of all the reference's, by softmax(cosine / temperature).

    pixels (B,3,δH,δW), features (B,C,h,w), reference (B,C,H,W) -> (B,3,δh,δw), differentiable in all three.
    """
    height, width = reference.shape[2:]
    patches = _cut_patches(pixels, (height, width), patch)
    means = [
        patches @ (similarity / temperature).softmax(dim=2).transpose(1, 2)
        for similarity in _compare(features, reference, patch, chunk)
    ]
    return _join_patches(torch.cat(means, dim=2), features.shape[2:], pixels.shape[2] // height, patch)


def corrupt_matches(matches: Tensor, grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Matches (h,w) of one image, on the CPU, as they are wrong in use: shifted, repeated, at random; the same shape.

    A block is matched beside where it should be, another repeats a few matches over and over, and single cells are
    matched anywhere. The size of blocks and the number of cells are ours: not published.
    """
    height, width = grid
    corrupted = matches.clone()

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    def draw_block() -> tuple[slice, slice]:
        slices = []
        for side in matches.shape:
            length = draw(1, max(1, int(LARGEST_BLOCK * side)))
            start = draw(0, side - length)
            slices.append(slice(start, start + length))
        return slices[0], slices[1]

    shifted = draw_block()
    rows, columns = corrupted[shifted] // width, corrupted[shifted] % width
    offsets = [draw(-int(LARGEST_SHIFT * side), int(LARGEST_SHIFT * side)) for side in grid]
    rows, columns = (rows + offsets[0]).clamp(0, height - 1), (columns + offsets[1]).clamp(0, width - 1)
    corrupted[shifted] = rows * width + columns
    repeated = draw_block()
    block = corrupted[repeated]
    tile = block[:TILE, :TILE]
    times = [-(-side // tile_side) for side, tile_side in zip(block.shape, tile.shape, strict=True)]
    corrupted[repeated] = tile.repeat(*times)[: block.shape[0], : block.shape[1]]
    anywhere = torch.rand(matches.shape, generator=generator) < RANDOM_SHARE
    drawn = torch.randint(0, height * width, matches.shape, generator=generator)
    return torch.where(anywhere, drawn, corrupted)


def _compare(features: Tensor, reference: Tensor, patch: int, chunk: int) -> Iterator[Tensor]:
    """Cosines (B, up to `chunk` of h·w, H·W), chunk by chunk."""
    if patch < 1 or patch % 2 == 0:
        raise ValueError(f"patch is {patch}, expected an odd number of cells, for a patch has a central one")
    if features.shape[:2] != reference.shape[:2]:
        shapes = (",".join(map(str, tensor.shape)) for tensor in (features, reference))
        raise ValueError("features are ({}), reference ({}), expected equal B and C".format(*shapes))
    queries, keys = (_unit_patches(x, patch) for x in (features, reference))
    for start in range(0, queries.shape[2], chunk):
        yield queries[:, :, start : start + chunk].transpose(1, 2) @ keys


def _unit_patches(features: Tensor, patch: int) -> Tensor:
    """(B,C,h,w) -> (B,C·k²,h·w), every patch of length 1, or 0 where it is empty."""
    margin = patch // 2
    return F.normalize(F.unfold(F.pad(features, [margin] * 4, mode="replicate"), patch), dim=1)


def _cut_patches(pixels: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """(B,3,δH,δW) -> the pixels of a patch around each cell, (B,3·(δk)²,H·W)."""
    cell = pixels.shape[2] // grid[0]
    if not cell or tuple(pixels.shape[2:]) != (cell * grid[0], cell * grid[1]):
        size = ",".join(map(str, pixels.shape[2:]))
        raise ValueError(f"pixels are ({size}), expected a multiple of the grid {grid}")
    margin = cell * (patch // 2)
    return F.unfold(F.pad(pixels, [margin] * 4, mode="replicate"), cell * patch, stride=cell)


def _join_patches(patches: Tensor, size: torch.Size, cell: int, patch: int) -> Tensor:
    """(B,3·(δk)²,h·w) -> (B,3,δh,δw), the mean where patches overlap."""
    margin = cell * (patch // 2)
    height, width = (cell * side for side in size)
    padded = (height + 2 * margin, width + 2 * margin)
    sums = F.fold(patches, padded, cell * patch, stride=cell)
    counts = F.fold(torch.ones_like(patches[:1]), padded, cell * patch, stride=cell)
    mean = sums / counts
    return mean[:, :, margin : margin + height, margin : margin + width]

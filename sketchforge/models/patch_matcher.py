"""Which patches of a reference SEGIN pastes: by features of a frozen encoder, or SIFT's, at the cells of a grid.

Shape letters: B batch, S side of the images, C channels, G cells on a side.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sketchforge.images.dense_sift import dense_sift
from sketchforge.images.tensors import to_grey, to_uint8
from sketchforge.models.encoder import Encoder
from sketchforge.models.patch_matching import match_patches, paste_patches, paste_softly

MATCHES = ("argmax", "soft", "sift")  # by the highest cosine, by all, by the highest of SIFT's descriptors
FINE_TAP, COARSE_TAP = "relu3_1", "relu4_1"  # of 4 pixels a cell, and of 8 for images from COARSE_FROM pixels
COARSE_FROM = 256
NEARNESS = (
    0.05  # of a cell's place beside its descriptor of SIFT: even cells, which have none, are matched by it
)


def matching_tap(size: int) -> str:
    """The encoder's layer that is matched in images of this side."""
    return COARSE_TAP if size >= COARSE_FROM else FINE_TAP


class PatchMatcher(nn.Module):
    """Sketches and references -> matches, and the auxiliary images that they paste.

    encoder: frozen, with `matching_tap(size)`; of no weight in `sift`. size: S. match: one of MATCHES. Raises
    ValueError for another.
    """

    def __init__(self, encoder: Encoder, size: int, match: str) -> None:
        super().__init__()
        if match not in MATCHES:
            raise ValueError(f"match is {match!r}, expected one of {', '.join(MATCHES)}")
        self.encoder, self.size, self.match = encoder, size, match
        self.cell = 8 if size >= COARSE_FROM else 4
        self.grid = (size // self.cell, size // self.cell)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """(B,3,S,S), or of one channel, in [-1, 1] -> features of its cells, (B,C,G,G)."""
        if self.match == "sift":
            descriptors = [
                torch.from_numpy(dense_sift(grey[..., 0], self.cell)) for grey in to_uint8(to_grey(images))
            ]
            return _join_places(torch.stack(descriptors)).to(images.device)
        return self.encode_by_network(images)

    @torch.no_grad()
    def encode_by_network(self, images: Tensor) -> Tensor:
        """As `encode`, whatever is matched: the encoder's features."""
        tap = matching_tap(self.size)
        return self.encoder(images.expand(-1, 3, -1, -1), [tap])[tap]

    @torch.no_grad()
    def find_matches(self, inputs: Tensor, references: Tensor) -> Tensor:
        """(B,1 or 3,S,S), (B,3,S,S) -> the number of the reference's cell for each, int64 (B,G,G).

        One image after the other, so that memory does not grow with their number.
        """
        features, keys = self.encode(inputs), self.encode(references)
        return torch.cat([match_patches(query, key) for query, key in _singly(features, keys)])

    @torch.no_grad()
    def paste(self, inputs: Tensor, references: Tensor) -> Tensor:
        """The auxiliary images: (B,1 or 3,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1]."""
        if self.match != "soft":
            return self.paste_matches(references, self.find_matches(inputs, references))
        features, keys = self.encode(inputs), self.encode(references)
        singles = _singly(references, features, keys)
        return torch.cat([paste_softly(pixels, query, key) for pixels, query, key in singles])

    def paste_matches(self, references: Tensor, matches: Tensor) -> Tensor:
        """The auxiliary images of given matches: (B,3,S,S), int64 (B,G,G) -> (B,3,S,S)."""
        return torch.cat(
            [paste_patches(pixels, cells, self.grid) for pixels, cells in _singly(references, matches)]
        )


def _join_places(descriptors: Tensor) -> Tensor:
    """(B,C,G,G) -> (B,C+4,G,G): with the place of each cell, whose cosine to another's falls with their distance."""
    grid = descriptors.shape[2]
    angle = math.pi / 2 * torch.arange(grid) / max(grid - 1, 1)
    waves = torch.stack([angle.cos(), angle.sin()])  # (2,G)
    rows, columns = waves[:, :, None].expand(-1, -1, grid), waves[:, None].expand(-1, grid, -1)
    places = NEARNESS / math.sqrt(2) * torch.cat([rows, columns])
    return torch.cat([descriptors, places.expand(len(descriptors), -1, -1, -1)], dim=1)


def _singly(*batches: Tensor) -> list[tuple[Tensor, ...]]:
    return list(zip(*(batch.split(1) for batch in batches), strict=True))

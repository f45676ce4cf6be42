"""A small network that says where the subject of a picture is, from an encoder's features.

Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.encoder import Encoder

TAPS = ("relu2_1", "relu3_1", "relu4_1")
INPUT_SIDE = 128  # pixels of the picture that the encoder is given
MASK_SIDE = 64

COARSE_SIDE = INPUT_SIDE // 8  # of relu4_1
WIDTH, FINE_WIDTH, FINEST_WIDTH = 64, 32, 16
BORDER_HEADS, BORDER_CHANNELS = 4, 8
COLOUR = "colour distance"  # the name of `colour_distance` among the features
COLOUR_SIDE, COLOUR_CHANNELS = INPUT_SIDE // 4, 3
NEAREST = 8  # of the border's colours


def foreground_features(encoder: Encoder, images: Tensor) -> dict[str, Tensor]:
    """What a ForegroundHead looks at, of images (B,3,INPUT_SIDE,INPUT_SIDE) float in [-1, 1]."""
    return encoder(images, TAPS) | {COLOUR: colour_distance(images)}


def colour_distance(images: Tensor) -> Tensor:
    """(B,3,INPUT_SIDE,INPUT_SIDE) in [-1, 1] -> (B,COLOUR_CHANNELS,COLOUR_SIDE,COLOUR_SIDE).

    How far each place is from the colours along the picture's border: from the nearest, from the NEAREST nearest in
    the mean, from all. Colours are brightness and two opponents, of equal weight.
    """
    red, green, blue = F.avg_pool2d(images, INPUT_SIDE // COLOUR_SIDE).flatten(2).unbind(1)
    colours = torch.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], 2)
    distance = torch.cdist(colours, colours[:, _border_of(COLOUR_SIDE).to(images.device)])
    nearest = distance.topk(NEAREST, dim=2, largest=False).values
    summary = torch.stack([nearest.amin(2), nearest.mean(2), distance.mean(2)], 1)
    return summary.unflatten(2, (COLOUR_SIDE, COLOUR_SIDE))


class ForegroundHead(nn.Module):
    """Features of a picture of INPUT_SIDE -> logits of its subject, MASK_SIDE a side.

    What is like the picture's own border is rarely its subject: `colour_distance`, and cosine similarities of every
    place to the places along the border, in BORDER_HEADS learned spaces, come beside the features. They tell figure
    from ground in textures that no training picture had.

    tap_channels: channels of each of TAPS.
    """

    places: Tensor
    border: Tensor

    def __init__(self, tap_channels: Mapping[str, int]) -> None:
        super().__init__()
        self.tap_channels = {tap: int(tap_channels[tap]) for tap in TAPS}
        fine, middle, coarse = self.tap_channels.values()
        seen = fine + middle + coarse + COLOUR_CHANNELS
        self.embed = nn.Conv2d(seen, BORDER_HEADS * BORDER_CHANNELS, 1)
        self.enter = nn.Conv2d(seen + 3 + 2 * BORDER_HEADS, WIDTH, 1)
        self.down8 = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.down4 = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.overall = nn.Linear(WIDTH, WIDTH)
        self.up8, self.mix8 = nn.Conv2d(WIDTH, WIDTH, 1), _separable(WIDTH)
        self.up16, self.mix16 = nn.Conv2d(WIDTH, WIDTH, 1), _separable(WIDTH)
        self.side32, self.up32 = (
            nn.Conv2d(middle + COLOUR_CHANNELS, FINE_WIDTH, 1),
            nn.Conv2d(WIDTH, FINE_WIDTH, 1),
        )
        self.mix32 = nn.Conv2d(FINE_WIDTH, FINE_WIDTH, 3, padding=1)
        self.side64, self.up64 = nn.Conv2d(fine, FINEST_WIDTH, 1), nn.Conv2d(FINE_WIDTH, FINEST_WIDTH, 1)
        self.mix64 = nn.Conv2d(FINEST_WIDTH, FINEST_WIDTH, 3, padding=1)
        self.leave = nn.Conv2d(FINEST_WIDTH, 1, 1)
        self.dropout = nn.Dropout2d(0.1)
        self.register_buffer("places", _places(COARSE_SIDE), persistent=False)
        self.register_buffer("border", _border_of(COARSE_SIDE), persistent=False)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """`foreground_features` -> logits (B, 1, MASK_SIDE, MASK_SIDE)."""
        fine, middle, coarse = (features[tap] for tap in TAPS)
        middle = torch.cat([middle, features[COLOUR]], 1)
        seen = self.dropout(torch.cat([F.avg_pool2d(fine, 4), F.avg_pool2d(middle, 2), coarse], 1))
        places = self.places.expand(len(seen), -1, -1, -1)
        x16 = F.relu(self.enter(torch.cat([seen, places, self.border_similarity(seen)], 1)))
        x8 = F.relu(self.down8(x16))
        x4 = F.relu(self.down4(x8))
        x4 = F.relu(x4 + self.overall(x4.mean((2, 3)))[:, :, None, None])
        x8 = self.mix8(F.relu(x8 + self.up8(_double(x4))))
        x16 = self.mix16(F.relu(x16 + self.up16(_double(x8))))
        x32 = F.relu(self.side32(middle) + _double(self.up32(x16)))
        x32 = F.relu(self.mix32(x32))
        x64 = F.relu(self.side64(fine) + _double(self.up64(x32)))
        return self.leave(F.relu(self.mix64(x64)))

    def border_similarity(self, seen: Tensor) -> Tensor:
        """(B,C,S,S) -> (B,2*BORDER_HEADS,S,S): the greatest and the mean cosine to the border's places."""
        batch, _, height, width = seen.shape
        shape = batch, BORDER_HEADS, BORDER_CHANNELS, height * width
        embedded = F.normalize(self.embed(seen).reshape(shape), dim=2, eps=1e-3)
        similarity = embedded.transpose(2, 3) @ embedded[..., self.border]  # (B, heads, places, border)
        summary = torch.cat([similarity.amax(3), similarity.mean(3)], 1)
        return summary.reshape(batch, 2 * BORDER_HEADS, height, width)


def _separable(channels: int) -> nn.Sequential:
    depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
    return nn.Sequential(depthwise, nn.Conv2d(channels, channels, 1), nn.ReLU())


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _places(side: int) -> Tensor:
    """(1,3,side,side): x and y in [-1, 1], and the distance to the middle."""
    steps = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y, torch.hypot(x, y)])[None]


def _border_of(side: int) -> Tensor:
    """Indices, in reading order, of the places along the border."""
    inner = torch.zeros(side, side, dtype=torch.bool)
    inner[1:-1, 1:-1] = True
    return torch.nonzero(~inner.flatten())[:, 0]

"""P, an image seen as a sketch by a frozen generator of TOM, and how far its sketch is from a given one.

Differentiable, so that a sketch can guide and train what makes images. Shape letters: B batch, C channels, S side of the
images, D side at which TOM draws them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.encoder import Encoder
from sketchforge.models.tom import TomGenerator

SKETCH_TAPS = ("relu1_2", "relu2_2", "relu3_2")  # F_s; of fine lines, their surroundings, and strokes
FLOOR = 0.01  # of a channel's weight: variance over drawings below which it counts as one that says nothing


class SketchView(nn.Module):
    """P and F_s.

    encoder: frozen, TOM's own, whose features compare sketches, too. generator: frozen. size: S. drawn_size: D.
    The weights of channels are buffers; `calibrate` sets them.
    """

    def __init__(self, encoder: Encoder, generator: TomGenerator, size: int, drawn_size: int) -> None:
        super().__init__()
        self.encoder, self.generator = encoder, generator
        self.size, self.drawn_size = size, drawn_size
        for tap in SKETCH_TAPS:
            channels = encoder.tap_channels(tap)
            self.register_buffer(f"weight_{tap}", torch.full((channels,), 1 / channels))

    def draw(self, images: Tensor) -> Tensor:
        """P: images (B,3,S,S) in [-1, 1] -> grey sketches (B,1,S,S) in [-1, 1], 1 = paper.

        Drawn at D, as sketches in shards are: more than a small model's size, whose sketches are means of areas, and less than a
        large one's, whose sketches are enlarged.
        """
        if self.drawn_size != images.shape[-1]:
            images = self._resize(images, self.drawn_size)
        features = self.encoder(images, list(self.generator.taps))
        sketches = self.generator(self.generator.prepare(features))
        if self.size > self.drawn_size:
            return self._resize(sketches, self.size)
        return F.adaptive_avg_pool2d(sketches, self.size)

    @staticmethod
    def _resize(images: Tensor, size: int) -> Tensor:
        """Bilinear; where it reduces, every pixel counts, and so has a gradient."""
        reduces = size < images.shape[-1]
        return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=reduces)

    def distances(self, images: Tensor, sketches: Tensor) -> Tensor:
        """L_p of each, (B,): channel-weighted squared distance of F_s of P(images) and of sketches (B,1,S,S).

        Gradients reach the images alone.
        """
        with torch.no_grad():
            wanted = self._encode(sketches)
        return self.compare(self._encode(self.draw(images)), wanted)

    def compare(self, features: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        """Features {tap: (B,C,h,w)} twice -> (B,): Σ over taps of the mean over positions of Σ_c w_c·(f_c − g_c)²."""
        total = torch.zeros((), device=next(iter(features.values())).device)
        for tap in SKETCH_TAPS:
            error = (features[tap] - wanted[tap]).square().mean(dim=(2, 3))
            total = total + error @ self.weight_of(tap)
        return total

    def weight_of(self, tap: str) -> Tensor:
        """(C,): the weight of each channel."""
        weight = getattr(self, f"weight_{tap}")
        assert isinstance(weight, Tensor)
        return weight

    @torch.no_grad()
    def calibrate(self, sketches: Tensor) -> None:
        """Weigh each channel by one over its variance on sketches (B,1,S,S), so that all say as much; taps alike."""
        for tap, x in self._encode(sketches).items():
            variance = x.var(dim=(0, 2, 3), unbiased=False)
            weight = variance / (variance + FLOOR * variance.mean()).square()
            self.weight_of(tap).copy_(weight / len(weight))

    def _encode(self, sketches: Tensor) -> dict[str, Tensor]:
        return self.encoder(sketches.expand(-1, 3, -1, -1), list(SKETCH_TAPS))

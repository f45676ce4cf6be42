"""D on the features of a frozen encoder (Sauer et al. 2021, "Projected GANs Converge Faster").

Shape letters: B batch, C channels, S side of the image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sketchforge.models.encoder import Encoder
from sketchforge.models.layers import SLOPE

# Layers that are looked at, each by how often its side halves that of the image.
TAPS = {"relu1_2": 0, "relu2_2": 1, "relu3_2": 2, "relu4_1": 3}
CHANNELS = 256  # of every head at width 1
COARSEST = 3  # how often the logits' side halves that of the image


class FeatureDiscriminator(nn.Module):
    """D: image (B,3,S,S) -> logits (B,4,S/8,S/8), a channel from each of four layers of a frozen encoder.

    What a picture of the collection looks like need not be learnt from pixels: features that were learnt from
    many other images tell it in few steps. Convolutions have spectral norm, for R1 would go back through the
    encoder twice.

    Departure from Sauer et al.: features are not mixed by random projections before the heads see them.

    encoder: frozen, with TAPS; it is no part of the module, so that neither optimiser nor state holds it.
    width: factor of the heads' channels. Raises ValueError for an encoder that lacks a layer.
    """

    def __init__(self, encoder: Encoder, width: float) -> None:
        super().__init__()
        self._encoder = (encoder,)
        channels = max(8, 8 * round(CHANNELS * width / 8))
        self.heads = nn.ModuleDict()
        for tap, halvings in TAPS.items():
            layers: list[nn.Module] = [_conv(encoder.tap_channels(tap), channels, 3), nn.LeakyReLU(SLOPE)]
            for _ in range(COARSEST - halvings):
                layers += [_conv(channels, channels, 4), nn.LeakyReLU(SLOPE)]
            self.heads[tap] = nn.Sequential(*layers, _conv(channels, 1, 3))

    def forward(self, image: Tensor) -> Tensor:
        """(B,3,S,S) float in [-1, 1] -> (B,4,S/8,S/8) logits."""
        features = self._encoder[0](image, list(TAPS))
        return torch.cat([head(features[tap]) for tap, head in self.heads.items()], dim=1)


def _conv(channels: int, width: int, kernel: int) -> nn.Module:
    """Keep the side with a kernel of 3, halve it with one of 4."""
    conv = nn.Conv2d(channels, width, kernel, stride=1 if kernel == 3 else 2, padding=1)
    return spectral_norm(conv)

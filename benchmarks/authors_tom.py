"""The authors' discriminator and settings of stage TOM, to train and to time beside ours."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sketchforge.models.features import gram
from trainers.tom.step import TomTrainer


class PaperDiscriminator(nn.Module):
    """The authors' D: Gram matrices over C·H·W, pooled to 128x256, seen as 128 channels of 16x16."""

    def __init__(self, taps: list[str]) -> None:
        super().__init__()
        self.taps = taps
        n = 128 * len(taps)
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(n, n // 2, 3)), nn.BatchNorm2d(n // 2), nn.LeakyReLU(0.1),
            spectral_norm(nn.Conv2d(n // 2, n // 4, 3)), nn.BatchNorm2d(n // 4), nn.LeakyReLU(0.1),
            nn.AvgPool2d(2), spectral_norm(nn.Conv2d(n // 4, 1, 4, stride=2, padding=1)),
        )  # fmt: skip

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        parts = []
        for tap in self.taps:
            matrix = gram(features[tap]) / features[tap].shape[1]
            parts.append(F.adaptive_avg_pool2d(matrix[:, None], (128, 256))[:, 0].view(-1, 128, 16, 16))
        return self.layers(torch.cat(parts, 1))


class PaperJudged(TomTrainer):
    """The authors' discriminator in place of ours."""

    def _build_networks(self) -> Any:
        networks = super()._build_networks()
        torch.manual_seed(0)
        networks.discriminator = PaperDiscriminator(list(self.recipe.style_taps)).to(self.device)
        networks.optimizer_d = torch.optim.Adam(
            networks.discriminator.parameters(), self.recipe.discriminator_learning_rate, self.recipe.betas
        )
        return networks


# As far as our terms go: the Gram term stays ours, relative to the drawings' matrices, at weight 1, for their 2000
# belongs to raw taps divided by C·H·W.
AS_CODED = {
    "content_taps": ("pool3",),
    "content_weight": 0.2,
    "style_taps": ("pool2", "pool3", "relu4_1"),  # pool4 lies below the built-in encoder
    "synthetic_weight": 0.0,
    "denoising": 0,
    "window_denoising": (),
    "window_pasted_shares": (),
    "discriminator_learning_rate": 2e-4,
}

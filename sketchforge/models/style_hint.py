"""The style hint of Style2Paints: what a frozen network says of a whole image, as one vector.

Style2Paints V1 takes the first fully connected layer of VGG19 (4096 numbers, before the ReLU), whose weights
are half a gigabyte and have to be installed. Departure where they are not: pooled features of a smaller network.

Shape letters: B batch, D features of the network, N length of the hint, H, W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.efficientnet_lite0 import FEATURES as LITE0_FEATURES
from sketchforge.models.efficientnet_lite0 import EfficientNetLite0
from sketchforge.models.encoder import COMPACT_BLOCKS, Encoder
from sketchforge.models.vgg19_fc1 import Vgg19Fc1
from sketchforge.utils.seeding import torch_generator

BUILTIN, LITE0, VGG19 = "builtin", "efficientnet-lite0", "vgg19"
NETWORKS = {BUILTIN: lambda: Encoder(COMPACT_BLOCKS), LITE0: EfficientNetLite0, VGG19: Vgg19Fc1}
HINT_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")  # of the built-in encoder: colour, then texture
# Side in pixels of what each network is shown, whatever the size of the images.
SIDES = {BUILTIN: 128, LITE0: 224, VGG19: 224}
# Features of each network: of the encoder, mean and deviation of every channel of its taps.
NUM_FEATURES = {BUILTIN: 2 * (16 + 32 + 64 + 128), LITE0: LITE0_FEATURES, VGG19: 4096}

# A feature that hardly varies over the photos of `calibrate` would else be enlarged without bound elsewhere.
LEAST_DEVIATION = 0.1  # of the feature's mean
CONSTANT = 1e-4  # a feature whose deviation is below this part of its mean says nothing, and counts as 0


class StyleHint(nn.Module):
    """Images -> hints of N numbers, globally normalised: each hint has mean 0 and standard deviation 1.

    network: BUILTIN, LITE0 or VGG19. size: N; None: all D features. Fewer are made of all by a fixed random
    projection, so that a hint of any length tells of every feature. Frozen; its weights and the statistics of
    `calibrate` are part of its state. Raises ValueError for another network, and for N outside of 1..D.
    """

    mean: Tensor
    scale: Tensor
    projection: Tensor | None

    def __init__(self, network: str, size: int | None = None) -> None:
        super().__init__()
        if network not in NUM_FEATURES:
            raise ValueError(f"network is {network!r}, expected {', '.join(NUM_FEATURES)}")
        num_features = NUM_FEATURES[network]
        if size is not None and not 1 <= size <= num_features:
            raise ValueError(f"size is {size}, expected 1 to {num_features}, the features of {network}")
        self.network_name, self.size = network, size or num_features
        self.network: nn.Module = NETWORKS[network]()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))  # 1 / deviation
        projection = None
        if self.size < num_features:
            rng = torch_generator(0, "style hint", network, self.size)
            projection = torch.randn(self.size, num_features, generator=rng)
        self.register_buffer("projection", projection)
        self.requires_grad_(False).train(False)

    def train(self, mode: bool = True) -> StyleHint:
        """Stay in eval mode, whatever is asked for: the network is frozen, BatchNorm's statistics, too."""
        super().train(False)
        return self

    @torch.no_grad()
    def calibrate(self, photos: Tensor) -> None:
        """Measure every feature's mean and deviation over photos (B,3,H,W) in [-1, 1]; later hints are told by them.

        Without it hints would be much alike: most of a pooled feature is the same in all images.
        """
        features = self._pool_features(photos)
        mean, deviation = features.mean(dim=0), features.std(dim=0, unbiased=False)
        scale = 1 / torch.maximum(deviation, LEAST_DEVIATION * mean.abs())
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > CONSTANT * mean.abs(), scale, 0))

    def forward(self, images: Tensor) -> Tensor:
        """(B,3,H,W) float in [-1, 1] -> (B,N), no gradient."""
        with torch.no_grad():
            hint = (self._pool_features(images) - self.mean) * self.scale
            if self.projection is not None:
                hint = hint @ self.projection.T
            return F.layer_norm(hint, (self.size,))

    def _pool_features(self, images: Tensor) -> Tensor:
        """(B,3,H,W) -> (B,D)."""
        side = SIDES[self.network_name]
        images = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
        if self.network_name == LITE0:
            levels = (images + 1) * 127.5
            return self.network((levels - 127) / 128).mean((2, 3))
        if self.network_name == VGG19:
            vectors: Tensor = self.network(images)
            return vectors
        taps = self.network(images, HINT_TAPS)
        means = [taps[tap].mean((2, 3)) for tap in HINT_TAPS]
        # torch.std takes three times as long on a CPU.
        squares = [taps[tap].square().mean((2, 3)) for tap in HINT_TAPS]
        deviations = [
            (square - mean.square()).clamp_min(0).sqrt() for square, mean in zip(squares, means, strict=True)
        ]
        return torch.cat([*means, *deviations], dim=1)

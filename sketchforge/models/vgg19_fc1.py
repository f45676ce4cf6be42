"""VGG19 up to its first fully connected layer (Simonyan & Zisserman 2015), which Style2Paints takes its hints from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.encoder import VGG19_BLOCKS, Encoder

POOLED = 7  # side of the last map that the layer was trained on, of images of 224 pixels


class Vgg19Fc1(nn.Module):
    """(B,3,224,224) float in [-1, 1] -> (B,size), before the ReLU.

    Half a gigabyte at full size. The layer's weights are not initialised, for they are to be loaded.
    blocks: output channels of each convolution. size: N.
    """

    def __init__(self, blocks: Sequence[Sequence[int]] = VGG19_BLOCKS, size: int = 4096) -> None:
        super().__init__()
        self.encoder = Encoder(blocks, "imagenet", "zeros")
        self.layer = nn.utils.skip_init(nn.Linear, blocks[-1][-1] * POOLED**2, size)

    def forward(self, images: Tensor) -> Tensor:
        pooled = f"pool{len(self.encoder.blocks)}"
        maps = F.adaptive_avg_pool2d(self.encoder(images, [pooled])[pooled], POOLED)
        vectors: Tensor = self.layer(maps.flatten(1))
        return vectors

    def load_torchvision_state(self, state: Mapping[str, Tensor]) -> None:
        """Load torchvision's `features.N.*` and `classifier.0.*`.

        Raises KeyError for what is missing, and RuntimeError for tensors of other shapes.
        """
        ours: dict[str, Tensor] = {}
        position = 0
        for number, block in enumerate(self.encoder.blocks, start=1):
            for index in range(1, len(block) + 1):
                for part in ("weight", "bias"):
                    ours[f"encoder.convs.conv{number}_{index}.{part}"] = state[f"features.{position}.{part}"]
                position += 2  # a ReLU follows
            position += 1  # the pooling
        for part in ("weight", "bias"):
            ours[f"layer.{part}"] = state[f"classifier.0.{part}"]
        self.load_state_dict({name: tensor.to(torch.float32) for name, tensor in ours.items()})

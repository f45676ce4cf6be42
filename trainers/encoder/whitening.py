"""Linear layers that learn in well-conditioned coordinates and are folded into plain layers afterwards."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RIDGE = 0.1  # of least squares, times weights per sample
FITTED_SAMPLES = 50_000  # patches, or positions, for statistics and for a head's least squares
WHITENING_FLOOR = 1e-3  # smallest eigenvalue kept, as a share of the mean one


def least_squares(inputs: Tensor, targets: Tensor) -> Tensor:
    """(N,P) and (N,K), centred, float64 -> the (K,P) that maps inputs to targets.

    Few samples for many weights would be fitted exactly, with their noise; the ridge grows with that risk.
    """
    count, width = inputs.shape
    ridge = RIDGE * width / count * torch.eye(width, dtype=inputs.dtype)
    return torch.linalg.solve(inputs.T @ inputs / count + ridge, inputs.T @ targets / count).T


class WhitenedConv(nn.Module):
    """Reflect-padded 3x3 convolution (B,C,H,W) -> (B,K,H,W), its weights learned in whitened coordinates."""

    gain: Tensor
    whitener: Tensor
    centre: Tensor

    def __init__(self, in_channels: int, out_channels: int, generator: torch.Generator) -> None:
        super().__init__()
        patch_size = in_channels * 9
        self.in_channels = in_channels
        self.v = nn.Parameter(torch.randn(out_channels, patch_size, generator=generator) / patch_size**0.5)
        self.b = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("gain", torch.ones(out_channels, 1))
        self.register_buffer("whitener", torch.eye(patch_size))
        self.register_buffer("centre", torch.zeros(patch_size))

    def fold(self) -> tuple[Tensor, Tensor]:
        """The plain convolution's weight (K,C,3,3) and bias (K)."""
        weight = self.gain * (self.v @ self.whitener)
        return weight.view(-1, self.in_channels, 3, 3), self.gain[:, 0] * self.b - weight @ self.centre

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.fold()
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias)

    @torch.no_grad()
    def start(self, x: Tensor, target: Tensor | None, generator: torch.Generator) -> None:
        """Set the whitening from the patch statistics of x (B,C,H,W), this layer's inputs. Called once.

        With a target (B,K,H,W) of equal width, the layer starts at the target's channel means and scales its
        outputs by the target's channel stds, so that one learning rate suits channels whose scales differ a
        hundredfold.
        """
        count, _, height, width = x.shape
        chosen = torch.randperm(count * height * width, generator=generator)[:FITTED_SAMPLES].to(x.device)
        image, top, left = chosen // (height * width), chosen // width % height, chosen % width
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        pixels = [padded[image, :, top + row, left + column] for row in range(3) for column in range(3)]
        patches = torch.stack(pixels, dim=2).flatten(1).cpu().double()  # (N, C*9), in the weights' order
        centre = patches.mean(0)
        patches -= centre
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        values = values.clamp_min(0) + WHITENING_FLOOR * values.mean() + 1e-12
        self.whitener.copy_((vectors * values.rsqrt()) @ vectors.T)
        self.centre.copy_(centre)
        if target is not None:
            target_values = target[image, :, top, left].cpu().double()
            mean, std = target_values.mean(0), target_values.std(0).clamp_min(1e-6)
            self.gain.copy_(std[:, None])
            self.b.copy_(mean / std)


class Head(nn.Module):
    """The linear map from the student's channels (B,C,H,W) to a teacher's of another width; training only.

    It scales its outputs by the target's channel stds, as `WhitenedConv` does.
    """

    std: Tensor
    mean: Tensor
    centre: Tensor
    size: Tensor

    def __init__(self, channels: int, target: Tensor) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.zeros(target.shape[1], channels))
        self.b = nn.Parameter(torch.zeros(target.shape[1]))
        self.register_buffer("std", target.std(dim=(0, 2, 3))[:, None, None])
        self.register_buffer("mean", target.mean(dim=(0, 2, 3))[:, None, None])
        self.register_buffer("centre", torch.zeros(channels, 1, 1))
        self.register_buffer("size", torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        normalised = F.conv2d((x - self.centre) / self.size, self.v[:, :, None, None], self.b)
        return self.std * normalised + self.mean

    @torch.no_grad()
    def start(self, x: Tensor, target: Tensor) -> None:
        """Begin with the least-squares map from x (B,C,H,W) to the target (B,K,H,W)."""
        self.centre.copy_(x.mean(dim=(0, 2, 3))[:, None, None])
        self.size.copy_(x.std(dim=(0, 2, 3)).clamp_min(1e-6)[:, None, None])
        stride = -(-x[:, 0].numel() // FITTED_SAMPLES)
        inputs, targets = (
            normalised.transpose(0, 1).flatten(1)[:, ::stride].T.cpu().double()
            for normalised in (
                (x - self.centre) / self.size,
                (target - self.mean) / self.std.clamp_min(1e-6),
            )
        )
        self.v.copy_(least_squares(inputs, targets))

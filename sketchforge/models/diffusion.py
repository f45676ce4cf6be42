"""Diffusion: the noise schedule with its closed forms, one step of DDIM, and U-nets, all of diffusers.

diffusers is the extra `diffusion`; it is imported where something is built, for that takes seconds.

Notation: ᾱ_t is the share of the image in x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε (Ho et al. 2020), v = √ᾱ_t·ε − √(1−ᾱ_t)·x_0
(Salimans and Ho 2022). Shape letters: B batch, S side of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import ceil, isqrt
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.errors import UsageError

VELOCITY, NOISE = "v_prediction", "epsilon"  # what a network predicts, in diffusers' words
# Linear variances, rescaled so that nothing of the image is left at the last time step (Lin et al. 2024): without that, and
# with diffusers' clipping, a model makes no dark and no white images.
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "prediction_type": VELOCITY,
    "rescale_betas_zero_snr": True,
}


def require_diffusers() -> None:
    """Raise UsageError where diffusers is not installed."""
    if find_spec("diffusers") is None:
        raise UsageError("diffusers is not installed: pip install 'sketchforge[diffusion]'")


class Prediction(NamedTuple):
    """What a network says of x_t."""

    image: Tensor  # x̂_0, (B,3,S,S)
    noise: Tensor  # ε̂, the same shape


class NoiseSchedule:
    """diffusers' DDIMScheduler with the closed forms that guidance and gradients need.

    settings: as SCHEDULE. Raises UsageError without diffusers, ValueError for a prediction of another kind.

    The step is ours: diffusers' own takes what the network has predicted, which cannot be recovered from a guided ε̂ where
    ᾱ_t is 0, and ends short of the image wherever the number of steps does not divide that of time steps.
    """

    def __init__(self, settings: Mapping[str, Any] = SCHEDULE) -> None:
        require_diffusers()
        from diffusers import DDIMScheduler

        self.settings = {name: settings[name] for name in SCHEDULE}
        if settings["prediction_type"] not in (VELOCITY, NOISE):
            raise ValueError(
                f"prediction_type is {settings['prediction_type']!r}, expected {VELOCITY} or {NOISE}"
            )
        scheduler_type: Any = DDIMScheduler  # whose attributes mypy does not see
        self._scheduler = scheduler_type(
            **self.settings, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing"
        )
        self.num_times = int(self.settings["num_train_timesteps"])
        self.image_share: Tensor = self._scheduler.alphas_cumprod  # ᾱ_t, (num_times,) float32

    def list_times(self, steps: int, strength: float = 1.0) -> list[int]:
        """The time steps of a sampling, from the noisiest: those of `steps` trailing ones that are within `strength`.

        strength: 0 to 1, the share of all time steps that is gone through. Where no trailing step is within it, the last
        time step that is. Raises ValueError for numbers out of range.
        """
        if not 1 <= steps <= self.num_times or not 0 < strength <= 1:
            raise ValueError(f"{steps=}, {strength=}: expected 1 to {self.num_times} steps, and above 0 to 1")
        self._scheduler.set_timesteps(steps)
        times: list[int] = self._scheduler.timesteps.tolist()
        return [time for time in times if time < strength * self.num_times] or [
            ceil(strength * self.num_times) - 1
        ]

    def add_noise(self, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """x_t of images x_0 and ε, (B,3,S,S) each, at times (B,): a sample of q(x_t | x_0)."""
        return self._scheduler.add_noise(images, noise, times)

    def target_of(self, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network has to predict of x_t: v, or ε."""
        if self.settings["prediction_type"] == NOISE:
            return noise
        return self._scheduler.get_velocity(images, noise, times)

    def share_at(self, times: Tensor) -> Tensor:
        """ᾱ_t of times (B,), as (B,1,1,1) on their device."""
        return self.image_share.to(times.device)[times].view(-1, 1, 1, 1)

    def read_output(self, output: Tensor, noisy: Tensor, times: Tensor) -> Prediction:
        """The network's output of x_t -> x̂_0 and ε̂."""
        share = self.share_at(times)
        a, b = share.sqrt(), (1 - share).sqrt()
        if self.settings["prediction_type"] == NOISE:
            return Prediction((noisy - b * output) / a, output)
        return Prediction(a * noisy - b * output, a * output + b * noisy)

    def replace_noise(self, predicted: Prediction, noise: Tensor, times: Tensor) -> Prediction:
        """The prediction with a guided ε̂ in place of its own, and the x̂_0 that belongs to it.

        Where ᾱ_t is 0, x_t says nothing of x̂_0, and the prediction stays.
        """
        share = self.share_at(times)
        safe = share.clamp_min(torch.finfo(share.dtype).tiny)
        image = predicted.image - ((1 - share) / safe).sqrt() * (noise - predicted.noise)
        blind = share == 0
        return Prediction(
            torch.where(blind, predicted.image, image), torch.where(blind, predicted.noise, noise)
        )

    def step(self, predicted: Prediction, next_time: int | None) -> Tensor:
        """DDIM without noise of its own: x at the next time step; None: x_0 (Song et al. 2021, Eq. 12, σ = 0)."""
        if next_time is None:
            return predicted.image
        share = self.image_share[next_time].to(predicted.image)
        return share.sqrt() * predicted.image + (1 - share).sqrt() * predicted.noise


def unet_settings(
    size: int,
    in_channels: int,
    channels: Sequence[int],
    layers: int,
    attention: Sequence[int] = (),
    groups: int = 32,
    patch: int = 1,
) -> dict[str, Any]:
    """The configuration of a UNet2DModel.

    size: side of the images. channels: of each level, whose side is half that of the one before. layers: residual blocks a
    level. attention: the sides that have it. groups: of group norm; divides all channels. patch: side of the squares of
    pixels that are one place of the first level. Raises ValueError where levels, groups or patches do not fit.
    """
    if size % (patch * 2 ** (len(channels) - 1)):
        raise ValueError(f"size is {size}, which {len(channels)} levels of patches of {patch} do not divide")
    if any(width % groups for width in channels):
        raise ValueError(f"channels are {tuple(channels)}, expected multiples of {groups}, the groups")
    attends = [(size // patch) >> level in attention for level in range(len(channels))]
    return {
        "sample_size": size // patch,
        "in_channels": in_channels * patch**2,
        "out_channels": 3 * patch**2,
        "block_out_channels": list(channels),
        "layers_per_block": layers,
        "norm_num_groups": groups,
        "down_block_types": ["AttnDownBlock2D" if x else "DownBlock2D" for x in attends],
        "up_block_types": ["AttnUpBlock2D" if x else "UpBlock2D" for x in reversed(attends)],
        "add_attention": any(attends),
        "attention_head_dim": 8,
    }


def build_unet(settings: Mapping[str, Any]) -> nn.Module:
    """A UNet2DModel with random weights. Raises UsageError without diffusers, and its errors for other settings."""
    require_diffusers()
    from diffusers import UNet2DModel

    unet: Any = UNet2DModel(**settings)
    assert isinstance(unet, nn.Module)
    return unet


def apply_unet(unet: nn.Module, inputs: Tensor, times: Tensor) -> Tensor:
    """inputs (B,C,S,S), times (B,) -> (B,3,S,S), in patches where the U-net has them."""
    patch = patch_of(unet)
    output: Tensor = unet(F.pixel_unshuffle(inputs, patch), times, return_dict=False)[0]
    return F.pixel_shuffle(output, patch)


def patch_of(unet: nn.Module) -> int:
    """The side in pixels of what is one place of a U-net's first level: 1, unless its images have more than three channels."""
    config: Any = getattr(unet, "config", None)
    return 1 if config is None else isqrt(config.out_channels // 3)

"""DiffSketching: a diffusion model that a sketch guides, or is an input of; its noised classifier.

Wang et al., *DiffSketching: Sketch Control Image Synthesis with Diffusion Models*, 2022. What is not published is ours;
docs/diffsketching.md says why.

Shape letters: B batch, S side of the images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.diffusion import NoiseSchedule, Prediction, apply_unet
from sketchforge.models.sketch_view import SketchView

GUIDANCE, CONCATENATION = "guidance", "concatenation"
CONDITIONS = (GUIDANCE, CONCATENATION)  # how a sketch has an effect
STYLE_TAP = "relu3_1"  # whose means and deviations stand in for a style vector
CLASSIFIER_LEVELS = 4  # each half the side of the one before


@dataclass(frozen=True)
class Sampling:
    """How images are sampled; the same numbers for a whole batch."""

    steps: int  # of DDIM over all time steps; `strength` of them are taken
    strength: float  # share of the time steps by which the style image is noised, above 0 to 1; at 1 nothing is left of it
    sketch_scale: float  # of the sketch's gradient: how far x̂_0 moves at a step, at most; with GUIDANCE alone
    class_scale: float  # of the classifier's gradient
    label: int | None = None  # the class asked for; None: no classifier guidance


@dataclass(frozen=True)
class SketchBlend:
    """A batch of second sketches, and how much they count."""

    sketches: Tensor  # (B,1,S,S) in [-1, 1]
    weights: Tensor  # (B,): 0 is the first sketch alone, 1 the second alone


class NoisedClassifier(nn.Module):
    """p(y | x_t): x_t (B,3,S,S) and times (B,) -> logits (B,K).

    Convolutions of stride 2, each with group norm whose scale and shift the time sets. width: channels of the first
    level, doubled by each, a multiple of 8. The paper's is half a U-net of width 256; this one is enough for 64 pixels.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.num_classes, self.width = num_classes, width
        self.times = nn.Sequential(nn.Linear(2 * width, 4 * width), nn.SiLU())
        self.convs, self.norms, self.shifts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = 3
        for level in range(CLASSIFIER_LEVELS):
            level_channels = width * min(2**level, 4)
            self.convs.append(nn.Conv2d(channels, level_channels, 3, stride=2, padding=1))
            self.norms.append(nn.GroupNorm(8, level_channels))
            self.shifts.append(nn.Linear(4 * width, 2 * level_channels))
            channels = level_channels
        self.head = nn.Linear(channels, num_classes)

    def forward(self, noisy: Tensor, times: Tensor) -> Tensor:
        time = self.times(_encode_times(times, 2 * self.width).to(noisy.dtype))
        x = noisy
        for conv, norm, shift in zip(self.convs, self.norms, self.shifts, strict=True):
            scale, offset = shift(time)[:, :, None, None].chunk(2, dim=1)
            x = F.silu(norm(conv(x)) * (1 + scale) + offset)
        return self.head(x.mean(dim=(2, 3)))


class DiffSketching(nn.Module):
    """The trained system.

    unet: a UNet2DModel; of x_t with the sketch as a fourth channel where the condition is CONCATENATION. view: P and F_s.
    classifier: None where no classes were learnt, whose names are `classes`. sampling: what is done where nothing
    else is asked for. Raises ValueError for another condition, and for a view of another size.
    """

    def __init__(
        self,
        unet: nn.Module,
        schedule: NoiseSchedule,
        view: SketchView,
        condition: str,
        sampling: Sampling,
        classifier: NoisedClassifier | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if condition not in CONDITIONS:
            raise ValueError(f"condition is {condition!r}, expected {' or '.join(CONDITIONS)}")
        if (0 if classifier is None else classifier.num_classes) != len(classes):
            raise ValueError(f"the classifier does not know {len(classes)} classes")
        self.unet, self.view, self.classifier = unet, view, classifier
        self.schedule, self.condition, self.sampling = schedule, condition, sampling
        self.classes = tuple(classes)
        self.size = view.size

    def forward(self, sketches: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
        """sketches (B,1,S,S), styles and noise (B,3,S,S) -> (B,3,S,S) in [-1, 1], by `sampling`."""
        return self.sample(sketches, styles, noise, self.sampling)

    def sample(
        self,
        sketches: Tensor,
        styles: Tensor,
        noise: Tensor,
        sampling: Sampling,
        blend: SketchBlend | None = None,
    ) -> Tensor:
        """Images by DDIM from noised style images, without gradients for what comes after.

        sketches (B,1,S,S), styles (B,3,S,S) in [-1, 1], noise (B,3,S,S) standard normal -> (B,3,S,S) in [-1, 1]. An image
        depends on its own row alone. blend: second sketches, towards which each goes.
        """
        times = self.schedule.list_times(sampling.steps, sampling.strength)
        # Gradients guide, so that what comes from inference mode, where nothing has any, is copied.
        with torch.inference_mode(False):
            sketches, styles, noise = (tensor.clone() for tensor in (sketches, styles, noise))
            if blend is not None:
                blend = SketchBlend(blend.sketches.clone(), blend.weights.clone())
            start = torch.full((len(styles),), times[0], device=styles.device)
            noisy = self.schedule.add_noise(styles, noise, start).to(memory_format=torch.channels_last)
            return self.denoise(noisy, sketches, times, sampling, blend=blend).clamp(-1, 1)

    def denoise(
        self,
        noisy: Tensor,
        sketches: Tensor,
        times: Sequence[int],
        sampling: Sampling,
        through: int = 0,
        labels: Tensor | None = None,
        blend: SketchBlend | None = None,
    ) -> Tensor:
        """DDIM from x at times[0] along the others to x_0.

        through: how many of the last steps keep their gradients, for training; of what guides, none. labels: the class of
        each, (B,); None: the sampling's, where it has one.
        """
        if labels is None and sampling.label is not None:
            labels = torch.full((len(noisy),), sampling.label, device=noisy.device)
        for index, time in enumerate(times):
            keeps = len(times) - index <= through
            with torch.set_grad_enabled(keeps):
                now = torch.full((len(noisy),), time, device=noisy.device)
                predicted = self.guide(noisy, now, sketches, sampling, labels, keeps, blend)
                noisy = self.schedule.step(predicted, times[index + 1] if index + 1 < len(times) else None)
        return noisy

    def predict(
        self, noisy: Tensor, times: Tensor, sketches: Tensor, blend: SketchBlend | None = None
    ) -> Prediction:
        """x̂_0 and ε̂ of x_t (B,3,S,S) at times (B,), without guidance."""
        output = self._run_unet(noisy, times, sketches)
        if blend is not None and self.condition == CONCATENATION:
            second = self._run_unet(noisy, times, blend.sketches)
            output = torch.lerp(output, second, blend.weights.view(-1, 1, 1, 1))
        return self.schedule.read_output(output, noisy, times)

    def _run_unet(self, noisy: Tensor, times: Tensor, sketches: Tensor) -> Tensor:
        inputs = torch.cat([noisy, sketches], dim=1) if self.condition == CONCATENATION else noisy
        return apply_unet(self.unet, inputs, times)

    def guide(
        self,
        noisy: Tensor,
        times: Tensor,
        sketches: Tensor,
        sampling: Sampling,
        labels: Tensor | None,
        keeps: bool = False,
        blend: SketchBlend | None = None,
    ) -> Prediction:
        """`predict` with ε̂ moved by what guides: ε̂ − √(1−ᾱ_t)·scale·∇ log p(y | x_t), and the sketch's in the same way,
        of unit size and times √ᾱ_t.

        keeps: whether the prediction keeps its graph, for training.
        """
        by_sketch = self.condition == GUIDANCE and sampling.sketch_scale > 0
        by_class = labels is not None and self.classifier is not None and sampling.class_scale > 0
        if not by_sketch and not by_class:
            return self.predict(noisy, times, sketches, blend)
        with torch.enable_grad():
            if not (keeps and noisy.requires_grad):
                noisy = noisy.detach().requires_grad_()
            predicted = self.predict(noisy, times, sketches, blend)
            move = torch.zeros_like(noisy)
            if by_sketch:
                distance = self.view.distances(predicted.image, sketches)
                if blend is not None:
                    second = self.view.distances(predicted.image, blend.sketches)
                    distance = torch.lerp(distance, second, blend.weights)
                (slope,) = torch.autograd.grad(distance.sum(), noisy, retain_graph=keeps)
                # √ᾱ: x̂_0 moves by (1−ᾱ)·scale, however noisy x_t is. Without it, x̂_0 would move by 1/√ᾱ times as much,
                # where little of the image is left by all that there is.
                share = self.schedule.share_at(times)
                move = move + sampling.sketch_scale * share.sqrt() * to_noise_norm(slope)
        if by_class:
            assert self.classifier is not None and labels is not None
            move = move - sampling.class_scale * class_slope(self.classifier, noisy, times, labels)
        if not keeps:
            predicted = Prediction(*(tensor.detach() for tensor in predicted))
        noise = predicted.noise + (1 - self.schedule.share_at(times)).sqrt() * move
        return self.schedule.replace_noise(predicted, noise, times)

    def encode_style(self, image: Tensor) -> Tensor:
        """(B,3,S,S) in [-1, 1] -> mean and deviation of the channels of STYLE_TAP, (B,2C): for figures alone."""
        features = self.view.encoder(image, [STYLE_TAP])[STYLE_TAP].flatten(2)
        return torch.cat([features.mean(2), features.std(2)], dim=1)


def class_slope(classifier: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor) -> Tensor:
    """∇ log p(y | x_t) by x_t, (B,3,S,S): each row of its own label (Dhariwal and Nichol 2021)."""
    with torch.enable_grad():
        noisy = noisy.detach().requires_grad_()
        chosen = classifier(noisy, times).log_softmax(dim=1).gather(1, labels[:, None]).sum()
        return torch.autograd.grad(chosen, noisy)[0]


def to_noise_norm(slope: Tensor) -> Tensor:
    """Each row of (B,…) with the norm that noise of its shape has; rows of zeros stay.

    The sketch's gradient has another size at every noise level and of every network; so its scale means the same.
    """
    norms = slope.flatten(1).norm(dim=1).view(-1, *[1] * (slope.dim() - 1))
    return slope * (slope[0].numel() ** 0.5 / norms.clamp_min(1e-12))


def _encode_times(times: Tensor, dim: int) -> Tensor:
    """(B,) -> (B,dim): sines and cosines of `dim / 2` frequencies."""
    half = dim // 2
    frequencies = 10_000 ** (-torch.arange(half, device=times.device, dtype=torch.float32) / half)
    angles = times.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)

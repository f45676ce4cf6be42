"""The authors' losses and the order of their steps in stages 1 and 2, on their networks.

Both are given what their data loaders make: batches as mappings, images (B,·,S,S) float32 in [-1, 1]. A
step saves what can be saved without changing it, whether or not their code does: fused Adam, the quicker
memory layout, no gradients of D's weights while G2 learns, fakes made once for both.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from itertools import chain

import torch
import torch.nn.functional as F
from authors_gan import Discriminator, Refiner
from authors_networks import LARGEST_AE, AutoEncoder
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sketchforge.losses.adversarial import hinge_discriminator, hinge_generator

VARIANTS = ("bold", "erased", "bold_erased")  # of one sketch
PERCEPTUAL_WEIGHT = 10.0  # of LPIPS in stage 2
# On a CPU quicker for these networks than channels_last (128 pixels, two images, one thread: by a tenth in
# stage 1, by a third in stage 2): spectral norm and InstanceNorm would copy.
CONTIGUOUS = torch.contiguous_format

# Two batches (B,3,S,S) -> a distance for each pair.
Distance = Callable[[Tensor, Tensor], Tensor]


def random_lpips(device: torch.device) -> nn.Module:
    """LPIPS on VGG16 with random weights, which take as long as trained ones."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's remarks on how the package calls it
        network = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
    # A tenth less time than contiguous ones on a CPU, whatever the layout of the images.
    return network.requires_grad_(False).to(device, memory_format=torch.channels_last)


def adam(*modules: nn.Module) -> torch.optim.Optimizer:
    parameters = chain.from_iterable(module.parameters() for module in modules)
    return torch.optim.Adam(parameters, 2e-4, (0.5, 0.999), fused=True)


class AuthorsAutoEncoding:
    """Stage 1: two optimiser steps an iteration, all weights 1."""

    def __init__(
        self, size: int, distance: Distance, device: torch.device, layout: torch.memory_format = CONTIGUOUS
    ) -> None:
        self.model = AutoEncoder(size).to(device, memory_format=layout).train()
        self.distance = distance
        self.optimizer = adam(self.model)

    def step(self, number: int, batch: Mapping[str, Tensor]) -> None:
        """batch: "image", "style_view" (B,3,S,S), "sketch" and its VARIANTS (B,1,S,S), "label" int64 (B,)."""
        self._update(self._self_supervised(batch, VARIANTS[number % 3]))
        # Of the second step is known that a plain auto-encoder learns from one of three sketches, not the loss:
        # here the paper's, a squared error. LPIPS would take more time, so this is to their advantage.
        model, image = self.model, batch["image"]
        self._update(F.mse_loss(model(batch[VARIANTS[number % 3]], image), image))

    def _self_supervised(self, batch: Mapping[str, Tensor], decoded: str) -> Tensor:
        """The losses on both views; reconstruction (section 4.1) from the style view and one variant."""
        model, image = self.model, batch["image"]
        # Their negatives: the batch shuffled, even where an image is its own then.
        others = torch.randperm(len(image), device=image.device)
        styles, views = model.style_encoder(image), model.style_encoder(batch["style_view"])
        loss = sum(F.cross_entropy(model.classify(found), batch["label"]) for found in (styles, views))
        for dim, view in views.items():
            own = styles[dim].detach()
            right, wrong = F.cosine_similarity(view, own), F.cosine_similarity(view, own[others])
            loss = loss + (wrong - right).mean()
        content = model.content_encoder(batch["sketch"])
        plain = content[8]  # the coarsest map alone, f_content; at which maps they compare is not known
        for name in VARIANTS:
            variants = model.content_encoder(batch[name])
            variant = variants[8]
            loss = loss + F.relu(2 + F.mse_loss(variant, plain) - F.mse_loss(variant[others], plain))
            if name == decoded:
                content = variants
        output = model.decoder(content, views)
        return loss + F.mse_loss(output, image) + self.distance(output, image).sum()

    def _update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


class AuthorsRefining:
    """Stage 2: the auto-encoder is run, frozen; D learns, then G2; an average of G2's weights follows."""

    def __init__(
        self, size: int, distance: Distance, device: torch.device, layout: torch.memory_format = CONTIGUOUS
    ) -> None:
        here = {"device": device, "memory_format": layout}
        self.autoencoder = AutoEncoder(min(size, LARGEST_AE)).to(**here).eval().requires_grad_(False)
        self.refiner = Refiner(size).to(**here).train()
        self.discriminator = Discriminator(size).to(**here).train()
        self.average = AveragedModel(self.refiner, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        self.distance = distance
        self.optimizer_g, self.optimizer_d = adam(self.refiner), adam(self.discriminator)

    def step(self, number: int, batch: Mapping[str, Tensor]) -> None:
        """batch: "image" (B,3,S,S) and "sketch" (B,1,S,S)."""
        real, judge = batch["image"], self.discriminator
        with torch.no_grad():
            image, sketch = self._fitting(real), self._fitting(batch["sketch"])
            styles = self.autoencoder.style_encoder(image)
            made = self.autoencoder.decoder(self.autoencoder.content_encoder(sketch), styles)
        fake = self.refiner(made, styles)

        judge.requires_grad_(True)
        self.optimizer_d.zero_grad(set_to_none=True)
        hinge_discriminator(judge(real), judge(fake.detach())).backward()
        self.optimizer_d.step()

        judge.requires_grad_(False)
        loss = hinge_generator(judge(fake)) + PERCEPTUAL_WEIGHT * self.distance(fake, real).sum()
        self.optimizer_g.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer_g.step()
        self.average.update_parameters(self.refiner)

    def _fitting(self, images: Tensor) -> Tensor:
        """At the side that the auto-encoder takes; how they make images of 1024² smaller is not known."""
        return F.avg_pool2d(images, 2) if images.shape[-1] > LARGEST_AE else images

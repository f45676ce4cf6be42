"""Whether a discriminator wins: counted by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import benchmarks.studies.gan_discriminator as study


class Mean(nn.Module):
    def forward(self, images):
        return images.mean(1)[:, ::4, ::4]


def test_what_is_told_are_means_sides_and_the_hinge():
    """Of four images two real ones are taken for made, all made ones for what they are."""
    images = torch.tensor([0.5, 0.5, -0.5, -0.5]).view(4, 1, 1, 1).expand(4, 3, 8, 8)
    trainer = SimpleNamespace(
        networks=SimpleNamespace(discriminator=Mean(), refiner=nn.Identity()),
        _refine=lambda batch: torch.full_like(batch["image"], -2.0),
    )
    figures = study.judge(trainer, images, images[:, :1])
    assert figures == pytest.approx(
        {"mean logit, real": 0, "mean logit, made": -2, "real above 0": 0.5, "made below 0": 1, "hinge": 1}
    )

"""Auto-encoder and GAN trained together: who learns from what, and that a training goes on where it was cut off."""

from dataclasses import replace

import pytest
import torch

import benchmarks.studies.ae_joint as study
from sketchforge.checkpoints.synthesizer import read_synthesizer
from sketchforge.options import GanTrainOptions
from tests.helpers.previews import few_previews
from trainers.autoencoder import recipe as ae_recipe
from trainers.gan import recipe as gan_recipe

AE = replace(ae_recipe.RECIPES["demo"], width=0.0625, style_dim=32, batch_size=4, steps=2)
GAN = replace(gan_recipe.RECIPES["demo"], width=0.02, batch_size=4, steps=2, r1=1.0)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    few_previews(monkeypatch)
    monkeypatch.setitem(ae_recipe.RECIPES, "demo", AE)
    monkeypatch.setitem(gan_recipe.RECIPES, "demo", GAN)


def sample_batch():
    draw = torch.Generator().manual_seed(0)
    channels = {"image": 3, "sketch": 1, "variant": 1, "style_view": 3}
    batch = {name: torch.rand(4, count, 64, 64, generator=draw) * 2 - 1 for name, count in channels.items()}
    numbers = torch.arange(4)
    return [batch | dict.fromkeys(("index", "label", "position"), numbers) | {"group": numbers * 0}]


def values_of(module):
    return torch.cat([value.flatten().float() for value in module.state_dict().values()])


@pytest.fixture
def trainer():
    return study.JointTrainer(AE, GAN, None, 4, 0, torch.device("cpu"))


def test_a_step_moves_both_and_reports_the_losses_of_both(trainer):
    parts = (
        trainer.autoencoder.networks.model,
        trainer.gan.networks.refiner,
        trainer.gan.networks.discriminator,
    )
    before = [values_of(part) for part in parts]
    losses = trainer.step(0, sample_batch())
    assert all(not torch.equal(values_of(part), old) for part, old in zip(parts, before, strict=True))
    assert {"reconstruction", "style_class", "gan_reconstruction", "gan_discriminator"} <= set(losses)


def test_the_auto_encoder_learns_as_it_does_alone(trainer):
    alone = study.AutoEncoderTrainer(AE, None, 4, 0, torch.device("cpu"))
    for number in range(2):
        trainer.step(number, sample_batch())
        alone.step(number, sample_batch())
    assert torch.equal(values_of(trainer.autoencoder.networks.model), values_of(alone.networks.model))


def test_the_gan_refines_what_the_average_makes_by_now(trainer):
    assert trainer.gan.autoencoder is trainer.autoencoder.networks.ema
    before = values_of(trainer.gan.autoencoder)
    trainer.step(0, sample_batch())
    assert not torch.equal(values_of(trainer.gan.autoencoder), before)


def test_a_training_goes_on_where_it_was(ten_sketches, tmp_path):
    options = GanTrainOptions(
        shards=str(ten_sketches), run=tmp_path / "whole", steps=2, threads=1, workers=0, device="cpu"
    )
    study.train_joint(options)
    parts = replace(options, run=tmp_path / "parts", steps=1)
    study.train_joint(parts)
    study.train_joint(replace(parts, steps=2))
    whole, resumed = (read_synthesizer(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    for network, again in zip(whole[:2], resumed[:2], strict=True):
        assert torch.equal(values_of(network), values_of(again))

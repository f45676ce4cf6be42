"""One step of DiffSketching: two stages, whose gradient is whose, and that it learns."""

import copy
from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

from sketchforge.losses.diffsketching import image_identity, sketch_perceptual
from sketchforge.models.diffsketching import CONCATENATION
from sketchforge.models.diffusion import apply_unet
from tests.helpers.tiny_diffusion import SIZE, TINY, TUNED, tiny_encoder, tiny_view
from trainers.diffsketching.recipe import RECIPES
from trainers.diffsketching.step import DiffSketchingTrainer, blur_lattice, widen_input
from trainers.state import load_part

CPU = torch.device("cpu")
SMALL = replace(TINY, size=SIZE)
TUNING = replace(TUNED, size=SIZE, denoising_steps=0)


def micro_batch(count=2, seed=0, classes=False):
    rng = torch.Generator().manual_seed(seed)
    batch = {
        name: torch.rand(count, channels, SIZE, SIZE, generator=rng) * 2 - 1
        for name, channels in (("image", 3), ("sketch", 1))
    }
    return batch | {"position": torch.arange(count)} | ({"class": torch.arange(count) % 2} if classes else {})


def new_trainer(recipe=SMALL, **settings):
    return DiffSketchingTrainer(recipe, tiny_encoder(), tiny_view(), 0, CPU, **settings)


def values_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module, before):
    return any(not torch.equal(value, before[name]) for name, value in module.state_dict().items())


def gradients(trainer):
    return [parameter.grad for parameter in trainer.networks.unet.parameters()]


# The first stage.


def test_the_first_stage_denoises_by_v():
    """The loss that is told is that of the U-net's output for v of each position's own noise and time."""
    trainer, batch = new_trainer(), micro_batch()
    noisy, noise, times = trainer._noised(batch, 999)
    output = apply_unet(trainer.networks.unet, noisy, times)
    share = trainer.schedule.share_at(times)
    v = share.sqrt() * noise - (1 - share).sqrt() * batch["image"]
    expected = (output - v).square().mean().item()
    assert trainer.step(0, [batch]) == {"denoising": pytest.approx(expected, rel=1e-5)}


def test_noise_is_of_the_position_alone():
    trainer, batch = new_trainer(), micro_batch(3)
    first, second = trainer._noised(batch, 999), trainer._noised({k: v[1:] for k, v in batch.items()}, 999)
    assert all(torch.equal(a[1:], b) for a, b in zip(first, second, strict=True))
    assert len(set(first[2].tolist())) == 3


def test_micro_batches_are_one_batch():
    whole, parts = new_trainer(), new_trainer()
    batch = micro_batch(4)
    halves = [{name: value[rows] for name, value in batch.items()} for rows in (slice(0, 2), slice(2, 4))]
    assert whole.step(0, [batch])["denoising"] == pytest.approx(parts.step(0, halves)["denoising"], rel=1e-5)
    for one, other in zip(gradients(whole), gradients(parts), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_the_ema_moves_towards_the_unet():
    trainer = new_trainer()
    before = values_of(trainer.networks.unet)
    trainer.step(0, [micro_batch()])  # decay (0 + 1) / (0 + 10)
    for name, mean in trainer.networks.ema.state_dict().items():
        expected = 0.1 * before[name] + 0.9 * trainer.networks.unet.state_dict()[name]
        assert torch.allclose(mean, expected, atol=1e-6)


def test_the_classifier_learns_beside_it():
    trainer = new_trainer(replace(SMALL, classifier_learning_rate=1e-2), classes=("dark", "light"))
    batch = micro_batch(8, classes=True)
    batch["image"] = (batch["class"].float() * 1.6 - 0.8).view(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE).clone()
    losses = []
    for number in range(35):
        batch["position"] = torch.arange(8) + 8 * number
        losses.append(trainer.step(number, [batch])["class"])
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])
    assert "class" not in new_trainer().step(0, [micro_batch()])


def test_the_classifier_changes_nothing_of_the_unet():
    with_classes, without = new_trainer(classes=("a", "b")), new_trainer()
    with_classes.step(0, [micro_batch(classes=True)])
    without.step(0, [micro_batch()])
    assert not changed(with_classes.networks.unet, values_of(without.networks.unet))


def test_a_loss_that_is_not_finite_changes_nothing():
    trainer, batch = new_trainer(), micro_batch()
    before = values_of(trainer.networks.unet)
    batch["image"][0, 0, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="denoising nan"):
        trainer.step(0, [batch])
    assert not trainer.changing
    assert not changed(trainer.networks.unet, before)


def test_the_sketch_as_an_input_is_learnt_from():
    trainer = new_trainer(replace(SMALL, condition=CONCATENATION))
    batch = micro_batch()
    trainer.step(0, [batch])
    assert trainer.networks.unet.conv_in.weight.grad[:, 3].abs().sum() > 0
    other = new_trainer(replace(SMALL, condition=CONCATENATION))
    assert other.step(0, [batch | {"sketch": -batch["sketch"]}]) != trainer.step(0, [batch])


# Fine-tuning.


def test_the_second_stage_begins_with_what_would_be_used():
    trainer = new_trainer(replace(TUNED, size=SIZE, denoising_steps=1))
    trainer.step(0, [micro_batch()])
    assert not changed(trainer.networks.unet, values_of(trainer.networks.ema))
    assert set(trainer.step(1, [micro_batch()])) == {"denoising", "sketch", "identity"}


def test_one_step_is_lambda_of_the_clones_image():
    """L and the anchor by hand: x̂_0 of the image's own noised clone, within the strength."""
    trainer, batch = new_trainer(replace(TUNING, identity=0.25, anchor=3.0)), micro_batch()
    net = copy.deepcopy(trainer.networks.unet)
    told = trainer.step(0, [batch])
    noisy, noise, times = trainer._noised(batch, 499)  # 2 steps: 999 and 499, of which .8 leaves the second
    output = apply_unet(net, noisy, times)
    made = trainer.schedule.read_output(output, noisy, times).image
    sketch = sketch_perceptual(trainer.view, made, batch["sketch"])
    identity = image_identity(trainer.encoder, made, batch["image"])
    denoising = (output - trainer.schedule.target_of(batch["image"], noise, times)).square().mean()
    (0.25 * identity + 0.75 * sketch + 3 * denoising).backward()
    assert told == {
        "denoising": pytest.approx(denoising.item(), rel=1e-5),
        "sketch": pytest.approx(sketch.item(), rel=1e-5),
        "identity": pytest.approx(identity.item(), rel=1e-5, abs=1e-7),
    }
    for one, parameter in zip(gradients(trainer), net.parameters(), strict=True):
        assert torch.allclose(one, parameter.grad, atol=1e-5)


def test_a_lattice_of_pixels_is_blurred_away_and_even_areas_stay():
    rows = torch.arange(16).view(1, 1, -1, 1).expand(2, 3, 16, 16)
    assert torch.allclose(blur_lattice(1.0 - 2.0 * (rows % 2)), torch.zeros(2, 3, 16, 16))
    ramp = rows.float()
    assert torch.allclose(blur_lattice(ramp)[:, :, 1:-1], ramp[:, :, 1:-1])


def test_of_patches_the_sketch_is_of_the_blurred_image():
    trainer, batch = new_trainer(replace(TUNING, patch=2)), micro_batch()
    net = copy.deepcopy(trainer.networks.unet)
    told = trainer.step(0, [batch])
    noisy, _, times = trainer._noised(batch, 499)
    made = trainer.schedule.read_output(apply_unet(net, noisy, times), noisy, times).image
    expected = sketch_perceptual(trainer.view, blur_lattice(made), batch["sketch"])
    assert told["sketch"] == pytest.approx(expected.item(), rel=1e-5)
    identity = image_identity(trainer.encoder, made, batch["image"])  # of all that is there
    assert told["identity"] == pytest.approx(identity.item(), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("through", [1, 2])
def test_through_the_last_steps_it_is_of_the_guided_sampling_of_the_clone(through):
    """By hand: from the first time within the strength, guided by the image's own sketch, with so many steps' gradients."""
    recipe = replace(TUNING, identity=0.0, anchor=0.0, through=through, sampling_steps=5, sketch_scale=0.5)
    trainer, batch = new_trainer(recipe), micro_batch()
    net = copy.deepcopy(trainer.networks.unet)
    told = trainer.step(0, [batch])
    times = [799, 599, 399, 199]
    _, noise, _ = trainer._noised(batch, times[0])
    clone = trainer.schedule.add_noise(batch["image"], noise, torch.full((2,), times[0]))
    made = trainer._model_of(net).denoise(clone, batch["sketch"], times, recipe.sampling, through)
    expected = sketch_perceptual(trainer.view, made, batch["sketch"])
    expected.backward()
    assert told["sketch"] == pytest.approx(expected.item(), rel=1e-5)
    for found, parameter in zip(gradients(trainer), net.parameters(), strict=True):
        assert (found - parameter.grad).norm() <= 1e-3 * parameter.grad.norm()


@pytest.mark.parametrize("through", [0, 1, 2])
def test_gradients_of_the_sketch_reach_the_unet(through):
    """Without λ and anchor, so that nothing else moves it."""
    trainer = new_trainer(replace(TUNING, identity=0.0, anchor=0.0, through=through, strength=1.0))
    before = values_of(trainer.networks.unet)
    assert "sketch" in trainer.step(0, [micro_batch()])
    assert all(gradient.abs().sum() > 0 for gradient in gradients(trainer))
    assert changed(trainer.networks.unet, before)
    assert all(parameter.grad is None for parameter in trainer.view.parameters())


def test_fine_tuning_guides_by_the_images_class():
    trainer = new_trainer(replace(TUNING, through=1, class_scale=30.0), classes=("a", "b"))
    batch = micro_batch(classes=True)
    before = values_of(trainer.networks.classifier)
    told = trainer.step(0, [batch])
    assert not changed(trainer.networks.classifier, before)
    other = new_trainer(replace(TUNING, through=1, class_scale=30.0), classes=("a", "b"))
    assert other.step(0, [batch | {"class": 1 - batch["class"]}])["sketch"] != told["sketch"]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_either_stage_has_its_own_learning_rate(kind):
    recipe = replace(TUNING, tuning_optimizer=kind, learning_rate=1e-3, tuning_learning_rate=1e-5)
    net = new_trainer(recipe).networks
    rates = [group["lr"] for each in (net.optimizer, net.tuning_optimizer) for group in each.param_groups]
    assert rates == [1e-3, 1e-5]


def test_the_average_of_the_second_stage_begins_anew():
    """What is averaged is of fine-tuning alone: its first step counts for nine tenths, whenever it comes."""
    trainer = new_trainer(replace(TUNED, size=SIZE, denoising_steps=30, ema_decay=0.999))
    before = values_of(trainer.networks.unet)
    trainer.step(30, [micro_batch()])
    for name, mean in trainer.networks.ema.state_dict().items():
        expected = 0.1 * before[name] + 0.9 * trainer.networks.unet.state_dict()[name]
        assert torch.allclose(mean, expected, atol=1e-6)


def test_the_recipes_schedule_is_the_one_that_is_learnt():
    trainer = new_trainer(replace(SMALL, schedule="squaredcos_cap_v2"))
    assert trainer.schedule.settings["beta_schedule"] == "squaredcos_cap_v2"
    assert trainer.model.schedule is trainer.schedule


def test_the_papers_fine_tuning_is_by_momentum():
    trainer = new_trainer(replace(TUNING, tuning_optimizer="sgd"))
    assert isinstance(trainer.networks.tuning_optimizer, torch.optim.SGD)
    assert trainer.networks.tuning_optimizer.defaults["momentum"] == 0.9
    trainer.step(0, [micro_batch()])
    saved = trainer.networks.tuning_optimizer.state_dict()
    other = new_trainer(replace(TUNING, tuning_optimizer="sgd")).networks.tuning_optimizer
    load_part(other, saved)
    assert all("momentum_buffer" in moments for moments in other.state.values())
    assert RECIPES["paper"].tuning_optimizer == "sgd"


# Using it.


def test_images_are_made_by_the_average_and_without_gradients():
    trainer, batch = new_trainer(), micro_batch()
    made = trainer.synthesize(batch["sketch"], batch["image"])
    assert made.shape == (2, 3, SIZE, SIZE)
    assert not made.requires_grad
    with torch.no_grad():
        next(trainer.networks.ema.parameters()).add_(0.1)
    assert not torch.allclose(trainer.synthesize(batch["sketch"], batch["image"]), made)


@pytest.mark.parametrize("patch", [1, 2])
def test_a_pretrained_unet_takes_a_sketch_and_does_what_it_did(patch):
    unet = new_trainer(replace(SMALL, patch=patch)).networks.unet
    wide, x, times = widen_input(unet), torch.randn(2, 3, SIZE, SIZE), torch.tensor([3, 900])
    inputs = torch.cat([x, torch.randn(2, 1, SIZE, SIZE)], dim=1)
    assert torch.allclose(apply_unet(wide, inputs, times), apply_unet(unet, x, times), atol=1e-5)


@pytest.mark.parametrize("through", [0, 1])
def test_fine_tuning_brings_its_loss_down(through):
    """Of the same noised clones in every step, so that nothing else changes it."""
    recipe = replace(TUNING, identity=0.0, anchor=0.0, through=through, tuning_learning_rate=3e-3)
    trainer, batch = new_trainer(recipe), micro_batch()
    losses = [trainer.step(number, [batch])["sketch"] for number in range(30)]
    assert losses[-1] < 0.8 * losses[0]


def test_two_images_are_told_apart_by_what_is_left_of_them():
    """Without a sketch: each noised clone comes back as its own image, and not as the other."""
    images = torch.stack([torch.full((3, SIZE, SIZE), level) for level in (-0.7, 0.7)])
    images[:, :, 4:12, 4:12] *= -1
    recipe = replace(
        SMALL, denoising_steps=None, channels=(8, 16), learning_rate=5e-3, sketch_scale=0.0, strength=0.5,
        sampling_steps=10, ema_decay=0.9,
    )  # fmt: skip
    trainer = new_trainer(recipe)
    sketches = torch.ones(2, 1, SIZE, SIZE)
    for number in range(40):
        batch = {"image": images.repeat(4, 1, 1, 1), "sketch": sketches.repeat(4, 1, 1, 1)}
        trainer.step(number, [batch | {"position": torch.arange(8) + 8 * number}])
    made = trainer.synthesize(sketches, images)
    errors = [(made - each).square().mean() for each in (images, images.flip(0))]
    assert errors[0] < 0.25 * errors[1]
    assert (made - images).square().mean() < 0.7 * images.square().mean()  # that of grey


@pytest.mark.slow
def test_four_images_are_learnt_by_heart():
    """From pure noise, each by its sketch: far nearer than the mean of all is."""
    images = torch.stack([torch.full((3, SIZE, SIZE), level) for level in (-0.9, -0.3, 0.3, 0.9)])
    images[:, :, 4:12, 4:12] *= -1
    sketches = (torch.eye(4) * 2 - 1).view(4, 1, 2, 2).repeat_interleave(8, 2).repeat_interleave(8, 3)
    recipe = replace(
        SMALL, condition=CONCATENATION, channels=(16, 32), learning_rate=3e-3, strength=1.0, sampling_steps=5,
        ema_decay=0.95,
    )  # fmt: skip
    trainer = new_trainer(recipe)
    for number in range(200):
        batch = {"image": images, "sketch": sketches, "position": torch.arange(4) + 4 * number}
        trainer.step(number, [batch])
    made = trainer.synthesize(sketches, images.flip(0))
    error = (made - images).square().mean()
    assert error < 0.25 * (images.mean(0) - images).square().mean()

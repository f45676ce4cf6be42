"""One step of SEGIN: whose gradient is whose, which terms there are, and that it learns."""

import copy
from dataclasses import replace

import pytest
import torch

from sketchforge.checkpoints.segin import read_segin
from sketchforge.images.tensors import to_grey
from sketchforge.losses.absolute_error import absolute_error
from sketchforge.losses.adversarial import log_discriminator, log_generator
from sketchforge.losses.segin import feature_error, mask_error, masked_error, total_variation
from sketchforge.models import patch_matcher
from sketchforge.models.encoder import Encoder
from sketchforge.models.patch_matching import match_patches, paste_patches, paste_softly
from trainers.segin.recipe import TERMS, SeginRecipe
from trainers.segin.step import SeginTrainer

TINY = SeginRecipe(size=64, steps=5, batch_size=2, width=0.03, learning_rate=1e-3, ema_decay=0.5)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(((4, 4), (6, 6), (8, 8), (8,)))


def micro_batch(count=2, seed=0, masks=True):
    rng = torch.Generator().manual_seed(seed)
    batch = {
        name: torch.rand(count, channels, 64, 64, generator=rng) * 2 - 1
        for name, channels in (("image", 3), ("sketch", 1))
    }
    batch["position"] = torch.arange(count)
    return batch | ({"mask": torch.rand(count, 1, 64, 64, generator=rng).round()} if masks else {})


def held_back(trainer):
    trainer.networks.optimizer_d.step = trainer.networks.optimizer_g.step = lambda: None
    return trainer


def values_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_each_player_gets_the_gradient_of_its_own_loss(encoder):
    """By hand, on a copy: spectral norm and BatchNorm keep state from pass to pass."""
    weights = {"reconstruction": 2, "feature": 3, "adversarial": 5, "mask": 7, "masked": 11, "variation": 13}
    trainer, batch = held_back(SeginTrainer(replace(TINY, **weights), encoder, 0, CPU)), micro_batch()
    translator, judge = (
        copy.deepcopy(x) for x in (trainer.networks.translator, trainer.networks.discriminator)
    )
    trainer.step(0, [batch])
    sketch, real, mask = (batch[name] for name in ("sketch", "image", "mask"))
    made = translator.train()(sketch, trainer._corrupted_auxiliary(batch))
    loss_d = log_discriminator(judge(sketch, real), judge(sketch, made.image.detach()))
    loss_g = 2 * absolute_error(made.image, real) + 3 * feature_error(encoder, made.image, real)
    loss_g = loss_g + 5 * log_generator(judge(sketch, made.image)) + 7 * mask_error(made.mask_logits, mask)
    loss_g = loss_g + 11 * masked_error(made.image, real, mask) + 13 * total_variation(made.image)
    for loss, module, stepped in (
        (loss_d, judge, trainer.networks.discriminator),
        (loss_g, translator, trainer.networks.translator),
    ):
        expected = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True, retain_graph=True)
        for parameter, wanted in zip(stepped.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-3, atol=1e-5)


def test_without_masks_their_terms_are_left_out(encoder):
    trainer = SeginTrainer(TINY, encoder, 0, CPU)
    assert set(trainer.step(0, [micro_batch()])) == {"discriminator", *TERMS}
    assert set(trainer.step(1, [micro_batch(masks=False)])) == {"discriminator", *TERMS} - {"mask", "masked"}


class HalfFinder:
    """In place of the foreground head: the left half is the subject."""

    def find_weights(self, images):
        weights = torch.zeros(len(images), 1, *images.shape[2:])
        weights[..., :32] = 1
        return weights


def test_images_without_masks_have_the_foreground_head_s(encoder):
    batch = micro_batch(masks=False)
    found = batch | {"mask": HalfFinder().find_weights(batch["image"])}
    by_head = SeginTrainer(TINY, encoder, 0, CPU, HalfFinder()).step(0, [batch])
    assert by_head == SeginTrainer(TINY, encoder, 0, CPU).step(0, [found])


def test_masks_of_the_shards_are_before_the_foreground_head_s(encoder):
    with_head = SeginTrainer(TINY, encoder, 0, CPU, HalfFinder()).step(0, [micro_batch()])
    assert with_head == SeginTrainer(TINY, encoder, 0, CPU).step(0, [micro_batch()])


@pytest.mark.parametrize("off", ["mask", "masked"])
def test_a_single_loss_of_masks_has_the_head_s_too(encoder, off):
    losses = SeginTrainer(replace(TINY, **{off: 0.0}), encoder, 0, CPU, HalfFinder()).step(
        0, [micro_batch(masks=False)]
    )
    assert {"mask", "masked"} & set(losses) == {"mask", "masked"} - {off}


def test_without_losses_of_masks_the_head_is_not_asked(encoder):
    trainer = SeginTrainer(replace(TINY, mask=0.0, masked=0.0), encoder, 0, CPU, None)
    trainer.finder = object()
    assert not {"mask", "masked"} & set(trainer.step(0, [micro_batch(masks=False)]))


def test_there_is_a_decoder_of_masks_only_where_they_are_learnt(encoder):
    without = SeginTrainer(replace(TINY, mask=0.0), encoder, 0, CPU).networks.translator
    assert without.to_mask is None
    assert SeginTrainer(TINY, encoder, 0, CPU).networks.translator.to_mask


def test_without_an_adversarial_loss_the_discriminator_stands_still(encoder):
    trainer = SeginTrainer(replace(TINY, adversarial=0.0), encoder, 0, CPU)
    before = values_of(trainer.networks.discriminator)
    losses = trainer.step(0, [micro_batch()])
    assert not {"adversarial", "discriminator"} & set(losses)
    after = trainer.networks.discriminator.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_greys_take_the_places_of_sketches(encoder):
    """What the sketches are makes no difference then; a grey sketch is the same as no colour."""
    batch = micro_batch()
    grey = to_grey(batch["image"])
    expected = SeginTrainer(TINY, encoder, 0, CPU).step(0, [batch | {"sketch": grey}])
    trainer = SeginTrainer(replace(TINY, input="grey"), encoder, 0, CPU)
    assert trainer.step(0, [batch | {"sketch": -batch["sketch"]}]) == expected


@pytest.mark.parametrize("match", ["soft", "sift"])
def test_training_pastes_single_patches_whatever_the_match(encoder, match, monkeypatch):
    """Which can be corrupted; soft ones cannot."""
    monkeypatch.setattr(patch_matcher, "paste_softly", lambda *_: pytest.fail("pasted softly"))
    trainer, batch = SeginTrainer(replace(TINY, match=match), encoder, 0, CPU), micro_batch()
    by_features = SeginTrainer(TINY, encoder, 0, CPU)._corrupted_auxiliary(batch)
    assert torch.equal(trainer._corrupted_auxiliary(batch), by_features) == (match == "soft")


def test_the_written_model_is_the_average(encoder, tmp_path):
    trainer = SeginTrainer(replace(TINY, match="soft"), encoder, 0, CPU)
    trainer.step(0, [micro_batch()])
    trainer.write_model(tmp_path / "m.safetensors", {})
    model, _ = read_segin(tmp_path / "m.safetensors")
    sketch, image = micro_batch(1)["sketch"], micro_batch(1)["image"]
    torch.testing.assert_close(model(sketch, image), trainer.synthesize(sketch, image))


@pytest.mark.parametrize("term", ["feature", "adversarial", "variation"])
def test_a_term_of_weight_0_is_left_out(encoder, term):
    assert term not in SeginTrainer(replace(TINY, **{term: 0.0}), encoder, 0, CPU).step(0, [micro_batch()])


def test_the_encoder_is_frozen_and_both_players_move(encoder):
    trainer, before = SeginTrainer(TINY, encoder, 0, CPU), values_of(encoder)
    net = trainer.networks
    players = {id(x): values_of(x) for x in (net.translator, net.discriminator)}
    trainer.step(0, [micro_batch()])
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    for player in (net.translator, net.discriminator):
        assert any(not torch.equal(x, players[id(player)][name]) for name, x in player.named_parameters())


def test_corruption_is_a_function_of_seed_and_position(encoder, monkeypatch):
    """Of true matches: those of random features are as close to others as rounding is."""
    matches = torch.arange(16 * 16).view(1, 16, 16)
    monkeypatch.setattr(patch_matcher, "match_patches", lambda features, _: matches)
    trainer, batch = SeginTrainer(TINY, encoder, 0, CPU), micro_batch()
    first = trainer._corrupted_auxiliary(batch)
    assert torch.equal(trainer._corrupted_auxiliary(batch), first)
    alone = {name: x[1:] for name, x in batch.items()}
    torch.testing.assert_close(trainer._corrupted_auxiliary(alone), first[1:])
    moved = batch | {"position": batch["position"] + 7}
    assert not torch.equal(trainer._corrupted_auxiliary(moved), first)
    assert not torch.equal(SeginTrainer(TINY, encoder, 1, CPU)._corrupted_auxiliary(batch), first)


@pytest.mark.parametrize("match", ["argmax", "soft"])
def test_the_auxiliary_image_has_the_reference_s_colours(encoder, match):
    trainer = SeginTrainer(replace(TINY, match=match), encoder, 0, CPU)
    red = torch.tensor([0.8, -0.5, -0.5]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    auxiliary = trainer.matcher.paste(micro_batch(1)["sketch"], red)
    torch.testing.assert_close(auxiliary, red, atol=1e-4, rtol=0)


def test_the_auxiliary_image_is_pasted_by_the_recipe_s_matches(encoder):
    sketch, reference = (micro_batch(1)[name] for name in ("sketch", "image"))
    # As the trainer has it, to the last bit: which of two patches is nearer may hang on that.
    matcher = SeginTrainer(TINY, encoder, 0, CPU).matcher
    features, keys = (
        matcher.encoder(x, ["relu3_1"])["relu3_1"] for x in (sketch.expand(-1, 3, -1, -1), reference)
    )
    expected = {
        "argmax": paste_patches(reference, match_patches(features, keys), (16, 16)),
        "soft": paste_softly(reference, features, keys),
    }
    assert not torch.allclose(expected["argmax"], expected["soft"], atol=0.01)
    for match, wanted in expected.items():
        trainer = SeginTrainer(replace(TINY, match=match), encoder, 0, CPU)
        torch.testing.assert_close(trainer.matcher.paste(sketch, reference), wanted)


def test_micro_batches_count_as_their_mean(encoder):
    """Two of the same are one; the vectors of spectral norm are held, which every pass would move."""
    gradients = []
    for count in (1, 2):
        trainer = held_back(SeginTrainer(TINY, encoder, 0, CPU))
        trainer.networks.discriminator.eval()
        trainer.step(0, [micro_batch()] * count)
        net = trainer.networks
        gradients.append(
            [x.grad for player in (net.translator, net.discriminator) for x in player.parameters()]
        )
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_a_step_on_a_cpu_may_be_abandoned_and_the_average_has_no_gradient(encoder):
    trainer = SeginTrainer(TINY, encoder, 0, CPU)
    assert trainer.interruptible
    assert not trainer.changing
    assert not any(parameter.requires_grad for parameter in trainer.networks.ema.parameters())


def test_a_step_that_is_done_may_be_followed_by_a_signal(encoder):
    trainer = SeginTrainer(TINY, encoder, 0, CPU)
    trainer.step(0, [micro_batch()])
    assert not trainer.changing


@pytest.mark.parametrize("compiled", [True, False])
def test_compiled_are_both_players_and_such_a_step_is_never_abandoned(encoder, compiled, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: seen.append(module))
    trainer = SeginTrainer(TINY, encoder, 0, CPU, compiled=compiled)
    net = trainer.networks
    assert seen == [net.translator, net.discriminator] * compiled
    assert trainer.interruptible != compiled


def test_in_bfloat16_losses_are_near_those_of_float32(encoder):
    """And of float32 themselves: images and logits leave the networks so."""
    exact = SeginTrainer(TINY, encoder, 0, CPU).step(0, [micro_batch()])
    coarse = SeginTrainer(TINY, encoder, 0, CPU, precision=torch.bfloat16).step(0, [micro_batch()])
    assert coarse != exact
    assert coarse == pytest.approx(exact, rel=0.05)


def test_the_average_stands_still_when_the_model_is_used(encoder):
    trainer = SeginTrainer(TINY, encoder, 0, CPU)
    before, batch = values_of(trainer.networks.ema), micro_batch()
    trainer.synthesize(batch["sketch"], batch["image"])
    assert all(torch.equal(x, before[name]) for name, x in trainer.networks.ema.state_dict().items())


def test_a_loss_that_is_not_finite_changes_nothing(encoder):
    trainer, batch = SeginTrainer(TINY, encoder, 0, CPU), micro_batch()
    net = trainer.networks
    before = [values_of(x) for x in (net.translator, net.discriminator, net.ema)]
    batch["image"][0] = float("nan")
    with pytest.raises(FloatingPointError, match="the loss became nan"):
        trainer.step(0, [batch])
    assert not trainer.changing
    for module, values in zip((net.translator, net.discriminator, net.ema), before, strict=True):
        assert all(torch.equal(value, values[name]) for name, value in module.state_dict().items())


@pytest.mark.slow  # that it learns; what from, the tests above
def test_four_images_of_one_sketch_are_learnt_by_their_references(encoder):
    colours = torch.tensor([[0.8, -0.6, -0.6], [-0.6, 0.7, -0.5], [-0.7, -0.5, 0.8], [0.7, 0.7, -0.6]])
    image = colours.view(4, 3, 1, 1).expand(4, 3, 64, 64).clone()
    sketch = torch.ones(4, 1, 64, 64)
    sketch[:, :, 16:48, 16:18] = -1
    trainer = SeginTrainer(replace(TINY, learning_rate=5e-3, ema_decay=0.8), encoder, 0, CPU)
    batch = {"image": image, "sketch": sketch}
    for number in range(30):
        trainer.step(number, [batch | {"position": torch.arange(4) + 4 * number}])
    error = absolute_error(trainer.synthesize(sketch, image), image).item()
    mismatched = absolute_error(trainer.synthesize(sketch, image.roll(1, 0)), image).item()
    assert error < 0.3
    assert mismatched > 0.7

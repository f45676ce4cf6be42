"""One step of the auto-encoder, line by line: what is decoded against what, and which loss compares which."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sketchforge.checkpoints.autoencoder import read_autoencoder
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.losses.autoencoder import sample_style, style_prior
from trainers.autoencoder.recipe import LOSSES, AeRecipe
from trainers.autoencoder.step import AutoEncoderTrainer, is_translated
from trainers.distributed import Ranks

TINY = AeRecipe(
    size=64, steps=6, batch_size=8, width=0.0625, style_dim=32, subset=8, subset_passes=2, learning_rate=1e-3
)
OFF = dict.fromkeys(LOSSES, 0.0)
CPU = torch.device("cpu")
TRANSLATED = torch.tensor([False, False, True, True] * 2)  # of positions 0 to 7, where half is


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("builtin")


def eight_samples(**given):
    """Of a micro-batch; index, label and position count up from 0 unless given."""
    rng = torch.Generator().manual_seed(0)
    channels = {"image": 3, "sketch": 1, "variant": 1, "style_view": 3}
    made = {name: torch.rand(8, count, 64, 64, generator=rng) * 2 - 1 for name, count in channels.items()}
    numbers = torch.arange(8)
    made |= dict.fromkeys(("index", "label", "position"), numbers)
    return made | {"group": torch.zeros_like(numbers)} | given


def trainer_of(encoder=None, **changes):
    """In eval mode, so that a sample does not depend on its batch; statistics let samples through."""
    trainer = AutoEncoderTrainer(replace(TINY, **changes), encoder, num_images=8, seed=0, device=CPU)
    model, batch = trainer.networks.model, eight_samples()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(batch["sketch"], batch["image"])
    model.eval()
    return trainer


def losses_of(trainer, batch):
    with torch.no_grad():
        return trainer.losses(batch, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 1])
def test_a_share_of_every_eight_positions_is_translated_in_pairs(share):
    for first in (0, 8, 2**40):
        translated = is_translated(torch.arange(first, first + 8), share)
        assert translated.sum() == 8 * share
        assert torch.equal(translated[::2], translated[1::2])  # of the subset as many as of all images


def test_which_samples_are_translated_does_not_depend_on_the_batch():
    whole = is_translated(torch.arange(16), 0.3)
    assert torch.equal(whole, torch.cat([is_translated(part, 0.3) for part in torch.arange(16).split(5)]))


@pytest.mark.parametrize(
    "on", [{}, {"style_triplet": 1.0}, {"content_triplet": 1.0}, dict.fromkeys(LOSSES, 1.0)]
)
@pytest.mark.parametrize(("share", "translated"), [(0.0, []), (0.5, [2, 3, 6, 7]), (1.0, list(range(8)))])
def test_translated_style_and_transformed_sketch_are_decoded_against_the_original(
    encoder, on, share, translated
):
    trainer, batch = (
        trainer_of(encoder, **OFF | {"reconstruction": 1.0} | on, translated=share),
        eight_samples(),
    )
    sketches, styles = batch["sketch"].clone(), batch["image"].clone()
    sketches[translated], styles[translated] = batch["variant"][translated], batch["style_view"][translated]
    with torch.no_grad():
        expected = F.mse_loss(trainer.networks.model(sketches, styles), batch["image"])
        plain = F.mse_loss(trainer.networks.model(batch["sketch"], batch["image"]), batch["image"])
    assert share == 0 or abs(plain / expected - 1) > 1e-3  # it is told apart
    torch.testing.assert_close(losses_of(trainer, batch)["reconstruction"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dmi", ["feature", "sketch", "none"])
def test_masks_go_with_their_sketches(dmi):
    """Of plain and transformed sketches in one pass, every image gets the masks of its own."""
    changes = OFF | {"reconstruction": 1.0, "content_triplet": 1.0}
    trainer, batch = trainer_of(dmi=dmi, **changes), eight_samples()
    chosen = TRANSLATED[:, None, None, None]
    sketches = torch.where(chosen, batch["variant"], batch["sketch"])
    styles = torch.where(chosen, batch["style_view"], batch["image"])
    with torch.no_grad():
        expected = F.mse_loss(trainer.networks.model(sketches, styles), batch["image"])
    torch.testing.assert_close(losses_of(trainer, batch)["reconstruction"], expected, rtol=1e-4, atol=1e-6)


def test_style_classes_are_those_of_images_and_of_their_views():
    """Eq. 8 by its definition: each label belongs to the image and to the view of the same number."""
    batch = eight_samples(label=torch.tensor([3, 1, 4, 0, 5, 7, 2, 6]))
    batch["index"] = batch["label"]
    trainer = trainer_of(**OFF | {"reconstruction": 1.0, "style_class": 1.0})
    net, total = trainer.networks, 0.0
    with torch.no_grad():
        for name in ("image", "style_view"):
            logits = net.head(net.model.encode_style(batch[name]))
            total -= logits.log_softmax(1)[range(8), batch["label"]].sum()
    torch.testing.assert_close(losses_of(trainer, batch)["style_class"], total / 16, rtol=1e-4, atol=1e-6)


def test_images_of_no_subset_have_no_class():
    """Half of a batch of many images is of all of them: -1 is no label, and no loss."""
    changes = OFF | {"reconstruction": 1.0, "style_class": 1.0, "subset": 4}
    trainer = trainer_of(**changes)
    mixed = eight_samples(label=torch.tensor([0, -1, 1, -1, 2, -1, 3, -1]), group=torch.tensor([0, -1] * 4))
    labelled = {name: value[::2] for name, value in mixed.items()}
    found, expected = (losses_of(trainer, batch)["style_class"] for batch in (mixed, labelled))
    torch.testing.assert_close(found, expected)


def test_a_batch_of_all_images_alone_keeps_the_subset():
    trainer = trainer_of(**OFF | {"reconstruction": 1.0, "style_class": 1.0, "subset": 4})
    trainer._change_subset(2)
    without = eight_samples(group=torch.full((8,), -1), label=torch.full((8,), -1))
    assert trainer._find_subset([without]) == 2
    assert "style_class" not in losses_of(trainer, without)


def test_triplets_compare_view_and_variant_with_the_plain_ones():
    """Eqs. 7 and 10: own translation, own, and another's own, by hand from the encoders."""
    on = {"reconstruction": 1.0, "style_triplet": 1.0, "content_triplet": 1.0}
    batch = eight_samples()
    trainer = trainer_of(**OFF | on, style_margin=0.3, content_margin=0.7)
    model = trainer.networks.model
    negatives = trainer._choose_negatives(batch["index"], torch.Generator().manual_seed(0))
    found = losses_of(trainer, batch)
    with torch.no_grad():
        vectors = {
            "style_triplet": (0.3, [model.encode_style(batch[name]) for name in ("style_view", "image")]),
            "content_triplet": (
                0.7,
                [model.encode_content(batch[name]).bottleneck.flatten(1) for name in ("variant", "sketch")],
            ),
        }
    for name, (margin, (anchor, own)) in vectors.items():
        right, wrong = F.cosine_similarity(anchor, own), F.cosine_similarity(anchor, own[negatives])
        expected = (wrong - right + margin).clamp(min=0).mean()
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5)


def test_the_perceptual_term_sees_images_shifted_anew_in_every_step(encoder, monkeypatch):
    """At fixed places the encoder's pooling would look at the same pixels always, and they would show."""
    seen = []
    monkeypatch.setattr(
        "trainers.autoencoder.step.perceptual",
        lambda _, output, target, taps: seen.append(target) or torch.zeros(()),
    )
    trainer, batch = trainer_of(encoder, **OFF | {"reconstruction": 1.0, "perceptual": 1.0}), eight_samples()
    for seed in (0, 1, 0):
        with torch.no_grad():
            trainer.losses(batch, torch.Generator().manual_seed(seed))
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
    assert not any(torch.equal(target, batch["image"]) for target in seen)


def test_the_perceptual_term_teaches_the_decoder(encoder):
    """Its gradient goes through what is decoded, not through the image."""
    trainer = trainer_of(encoder, **OFF | {"perceptual": 1.0, "reconstruction": 0.0})
    losses = trainer.losses(eight_samples(), torch.Generator().manual_seed(0))
    assert set(losses) == {"perceptual"}
    losses["perceptual"].backward()
    assert trainer.networks.model.decoder.to_rgb.weight.grad.abs().sum() > 0


def test_a_variational_style_is_drawn_for_what_is_decoded_and_compared_by_its_mean():
    """A.3, by hand: the first draw of the step's random numbers decodes; the triplet and the class see means."""
    trainer, batch = (
        trainer_of(**OFF | {"reconstruction": 1.0, "style_class": 1.0, "style_prior": 1.0}, variational=True),
        eight_samples(),
    )
    model, found = trainer.networks.model, losses_of(trainer, batch)
    with torch.no_grad():
        plain, view = (model.encode_style_distribution(batch[name]) for name in ("image", "style_view"))
        drawn = sample_style(torch.where(TRANSLATED[:, None], view, plain), torch.Generator().manual_seed(0))
        sketches = torch.where(TRANSLATED[:, None, None, None], batch["variant"], batch["sketch"])
        output = model.decode(model.encode_content(sketches), drawn)
        logits = trainer.networks.head(torch.cat([plain, view])[:, : model.style_dim])
    expected = {
        "reconstruction": F.mse_loss(output, batch["image"]),
        "style_class": F.cross_entropy(logits, batch["label"].repeat(2)),
        "style_prior": style_prior(torch.cat([plain, view])),
    }
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_prior_reaches_means_and_variances():
    trainer = trainer_of(**OFF | {"reconstruction": 1.0, "style_prior": 1.0}, variational=True)
    trainer.losses(eight_samples(), torch.Generator().manual_seed(0))["style_prior"].backward()
    gradient = trainer.networks.model.style_encoder.head.weight.grad.flatten(1).abs().sum(1)
    assert (gradient > 0).all()


@pytest.mark.parametrize(("compiled", "plain_step"), [(False, False), (True, False), (False, True)])
def test_a_signal_may_end_a_step_but_within_compiled_code_and_between_two_steps_of_the_optimiser(
    compiled, plain_step, monkeypatch
):
    monkeypatch.setattr(nn.Module, "compile", lambda module: None)
    trainer = AutoEncoderTrainer(
        replace(TINY, plain_step=plain_step), None, num_images=8, seed=0, device=CPU, compiled=compiled
    )
    assert trainer.interruptible is not (compiled or plain_step)


def test_the_state_is_whole_before_and_after_a_step_and_not_while_the_optimiser_steps():
    trainer = trainer_of(**OFF | {"reconstruction": 1.0})
    whole = [trainer.changing]
    trainer.networks.optimizer.step = lambda: whole.append(trainer.changing)
    trainer.step(0, [eight_samples()])
    assert [*whole, trainer.changing] == [False, True, False]


def test_the_plain_step_has_the_gradient_of_plain_inputs_times_the_weight():
    """The last that the optimiser steps along, by hand."""
    trainer, batch = trainer_of(**OFF | {"reconstruction": 3.0}, plain_step=True), eight_samples()
    trainer.networks.optimizer.step = lambda: None
    model = trainer.networks.model
    trainer.step(0, [batch])
    loss = 3 * F.mse_loss(model(batch["sketch"], batch["image"]), batch["image"])
    (expected,) = torch.autograd.grad(loss, [model.decoder.to_rgb.weight])
    torch.testing.assert_close(model.decoder.to_rgb.weight.grad, expected, rtol=1e-3, atol=1e-6)


def halves_of(batch):
    return [{name: value[rows] for name, value in batch.items()} for rows in (slice(0, 4), slice(4, 8))]


def test_the_plain_step_of_two_micro_batches_is_that_of_both():
    """Their mean, so that an accumulated batch counts as much as a whole one."""
    batch, gradients = eight_samples(), []
    for parts in ([batch], halves_of(batch)):
        trainer = trainer_of(**OFF | {"reconstruction": 3.0}, plain_step=True)
        trainer.networks.optimizer.step = lambda: None
        trainer.step(0, parts)
        gradients.append(trainer.networks.model.decoder.to_rgb.weight.grad)
    whole, parts = gradients
    assert (parts - whole).norm() < 0.3 * whole.norm()  # of statistics of halves


def test_the_plain_step_is_one_of_the_optimiser_and_enters_the_average():
    trainer = trainer_of(**OFF | {"reconstruction": 1.0}, plain_step=True, ema_decay=0.0)
    net, weights = trainer.networks, []
    step = net.optimizer.step
    net.optimizer.step = lambda: (step(), weights.append(net.model.decoder.to_rgb.weight.clone()))
    told = trainer.step(0, [eight_samples()])
    assert set(told) == {"reconstruction", "plain_reconstruction"}
    assert len(weights) == 2
    assert not torch.equal(*weights)
    assert torch.equal(net.ema.decoder.to_rgb.weight, weights[1])


class RecordedRanks(Ranks):
    """One rank that notes what it is asked to average."""

    def average_gradients(self, parameters):
        noted.append(("gradients", len(list(parameters))))

    def average_buffers(self, module):
        noted.append(("buffers", type(module).__name__))


noted = []


def test_all_ranks_share_both_steps_of_the_optimiser():
    """Gradients and statistics of the plain step, too: else the ranks' networks would part."""
    noted.clear()
    recipe = replace(TINY, **OFF | {"reconstruction": 1.0}, plain_step=True)
    trainer = AutoEncoderTrainer(recipe, None, num_images=8, seed=0, device=CPU, ranks=RecordedRanks())
    trainer.step(0, [eight_samples()])
    count = len(list(trainer.networks.model.parameters()))
    assert noted == [("gradients", count), ("buffers", "AutoEncoder")] * 2


def test_a_plain_step_that_is_not_finite_changes_no_weight(monkeypatch):
    trainer = trainer_of(**OFF | {"reconstruction": 1.0}, plain_step=True)
    calls = []
    monkeypatch.setattr(
        "trainers.autoencoder.step.reconstruction",
        lambda output, image: (
            calls.append(0) or F.mse_loss(output, image) * (1 if len(calls) == 1 else torch.nan)
        ),
    )
    trainer.networks.optimizer.step = lambda: calls.append("stepped")
    with pytest.raises(FloatingPointError, match="plain_reconstruction nan"):
        trainer.step(0, [eight_samples()])
    assert calls.count("stepped") == 1  # that of the first


def test_the_later_learning_rate_is_there_when_the_optimiser_steps():
    trainer = trainer_of(
        **OFF | {"reconstruction": 1.0}, learning_rate=1e-3, later_learning_rate=1e-4, subset=4
    )
    optimizer, seen = trainer.networks.optimizer, []
    optimizer.step = lambda: seen.append({group["name"]: group["lr"] for group in optimizer.param_groups})
    for group in (0, 1):
        trainer.step(group, [eight_samples(group=torch.full((8,), group))])
    assert seen == [
        {"style_encoder": 1e-3, "content_encoder": 1e-3, "decoder": 1e-3},
        {"style_encoder": 1e-4, "content_encoder": 1e-3, "decoder": 1e-4},
    ]


def test_the_optimisers_have_the_recipes_betas():
    net = trainer_of(betas=(0.3, 0.7)).networks
    groups = [*net.optimizer.param_groups, *net.head_optimizer.param_groups]
    assert {group["betas"] for group in groups} == {(0.3, 0.7)}


def test_what_is_compiled_are_the_parts_of_the_model(monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    trainer = AutoEncoderTrainer(TINY, None, num_images=8, seed=0, device=CPU, compiled=True)
    assert compiled == list(trainer.networks.model.children())


@pytest.mark.parametrize(  # seconds of torch's tracing each
    "part",
    [
        "decoder",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("style_encoder", "content_encoder")),
    ],
)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # by torch.compile
def test_a_step_of_a_compiled_part_is_what_it_is_without(part):
    """Inductor's own code is left out: a minute on a CPU."""
    plain, compiled = trainer_of(), trainer_of()
    getattr(compiled.networks.model, part).compile(backend="aot_eager")
    for number in range(2):
        losses = [trainer.step(number, [eight_samples()]) for trainer in (plain, compiled)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    gradients = [[each.grad for each in trainer.networks.model.parameters()] for trainer in (plain, compiled)]
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_what_is_kept_and_used_is_the_average(tmp_path):
    trainer = trainer_of()
    with torch.no_grad():
        trainer.networks.ema.decoder.to_rgb.bias.fill_(0.5)
    trainer.write_model(tmp_path / "m.safetensors", {})
    kept, _ = read_autoencoder(tmp_path / "m.safetensors")
    batch = eight_samples()
    assert torch.equal(kept.decoder.to_rgb.bias, torch.full((3,), 0.5))
    with torch.no_grad():
        style = trainer.networks.ema.eval().encode_style(batch["image"])
    torch.testing.assert_close(trainer.encode_style(batch["image"]), style)
    torch.testing.assert_close(
        trainer.synthesize(batch["sketch"], batch["image"]), kept(batch["sketch"], batch["image"])
    )


def test_a_batch_that_spans_two_subsets_belongs_to_the_later():
    trainer = trainer_of(**OFF | {"reconstruction": 1.0, "subset": 4})
    assert trainer._find_subset([eight_samples(group=torch.tensor([0, 1] * 4))]) == 1


def test_content_is_not_to_be_told_apart_by_its_mean_over_positions():
    """Eq. 9 by hand: of the plain sketches where Eq. 10 has them encoded anyway, else of what is decoded."""
    batch = eight_samples()
    decoded = torch.where(TRANSLATED[:, None, None, None], batch["variant"], batch["sketch"])
    for compared, sketches in ((1.0, batch["sketch"]), (0.0, decoded)):
        changes = OFF | {"reconstruction": 1.0, "content_class": 1.0, "content_triplet": compared}
        trainer = trainer_of(**changes)
        net = trainer.networks
        with torch.no_grad():
            net.head.weight.mul_(30)  # so that chances differ
            chances = net.head(net.model.encode_content(sketches).pooled).softmax(1)
        expected = (chances - 1 / 8).square().sum(1).mean()
        torch.testing.assert_close(losses_of(trainer, batch)["content_class"], expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("group", [-1, 1.0, "1", None])
def test_a_subset_that_is_none_is_refused_in_a_state(group):
    with pytest.raises(ValueError, match="subset of classes"):
        trainer_of(**OFF | {"reconstruction": 1.0}).load_extra({"group": group})

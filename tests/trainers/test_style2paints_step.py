"""One step of Style2Paints: whose gradient is whose, whose turn it is, and that it learns."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sketchforge.losses.absolute_error import absolute_error
from sketchforge.losses.adversarial import log_discriminator, log_generator
from sketchforge.losses.style2paints import auxiliary_discriminator, auxiliary_generator, entry_target
from sketchforge.models.style_hint import SIDES, StyleHint
from trainers.distributed import Ranks
from trainers.style2paints.recipe import Style2PaintsRecipe
from trainers.style2paints.step import MIDDLE_SHARE, SHARE_EVERY, Style2PaintsTrainer, gradient_share

TINY = Style2PaintsRecipe(
    size=64, steps=5, batch_size=4, width=0.03, hint="builtin", hint_size=6, ema_decay=0.5
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small_hints(monkeypatch):
    """The hint's network would take a third of the time."""
    monkeypatch.setitem(SIDES, "builtin", 32)


def micro_batch(count=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(count, channels, 64, 64, generator=rng) * 2 - 1
        for name, channels in (("image", 3), ("sketch", 1))
    }


def new_trainer(**changes):
    torch.manual_seed(0)
    recipe = replace(TINY, **changes)
    return Style2PaintsTrainer(recipe, StyleHint("builtin", recipe.hint_size), seed=0, device=CPU)


def held_back(trainer):
    """Gradients are computed, and nothing steps."""
    trainer.networks.optimizer_d.step = trainer.networks.optimizer_g.step = lambda: None
    return trainer


def gradients_of(module):
    return [parameter.grad for parameter in module.parameters()]


def values_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def is_unchanged(module, before):
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def assert_gradients(module, loss):
    expected = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)
    for gradient, wanted in zip(gradients_of(module), expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("number", [0, 1])
def test_each_player_gets_the_gradient_of_its_own_loss(number):
    """λ·[L1 + .3·L1(entry, grey) + .9·L1(exit)] + adversarial for U-net and guides; for D its own alone."""
    trainer, batch = held_back(new_trainer(reconstruction=7.0)), micro_batch()
    net, real = trainer.networks, batch["image"]
    trainer.step(number, [batch])
    hint = trainer.hint(real)
    maps = net.unet(batch["sketch"], hint)
    judge = net.discriminators["auxiliary" if number == 0 else "plain"]
    real_logits, fake_logits, detached = judge(real), judge(maps.image), judge(maps.image.detach())
    if number == 0:
        loss_d, adversarial = (
            auxiliary_discriminator(real_logits, detached, hint),
            auxiliary_generator(fake_logits, hint),
        )
    else:
        loss_d, adversarial = log_discriminator(real_logits, detached), log_generator(fake_logits)
    errors = absolute_error(maps.image, real)
    errors = errors + 0.3 * absolute_error(net.guides["entry"](maps.entry), entry_target(real, "grey"))
    errors = errors + 0.9 * absolute_error(net.guides["exit"](maps.exit), real)
    assert_gradients(judge, loss_d)
    for module in (net.unet, net.guides):
        assert_gradients(module, 7.0 * errors + adversarial)


@pytest.mark.parametrize(
    ("discriminator", "turns"),
    [
        ("both", ["auxiliary", "plain", "auxiliary", "plain"]),
        ("auxiliary", ["auxiliary"] * 3),
        ("plain", ["plain"] * 3),
    ],
)
def test_discriminators_take_turns(discriminator, turns):
    trainer = new_trainer(discriminator=discriminator)
    for number, turn in enumerate(turns):
        before = {name: values_of(judge) for name, judge in trainer.networks.discriminators.items()}
        losses = trainer.step(number, [micro_batch()])
        moved = [
            name
            for name, judge in trainer.networks.discriminators.items()
            if not is_unchanged(judge, before[name])
        ]
        assert moved == [turn]
        assert {name for name in losses if "_discriminator" in name} == {f"{turn}_discriminator"}


def test_the_guide_before_the_hint_learns_luma_or_colour():
    assert new_trainer().networks.guides["entry"].to_image.out_channels == 1
    colour = new_trainer(guide_target="colour")
    assert colour.networks.guides["entry"].to_image.out_channels == 3
    assert colour.step(0, [micro_batch()])["entry_guide"] > 0


def test_without_guides_there_is_neither_their_loss_nor_their_gradient():
    trainer, batch = held_back(new_trainer(guides=False, reconstruction=7.0)), micro_batch()
    losses = trainer.step(1, [batch])
    net = trainer.networks
    assert not {"entry_guide", "exit_guide"} & set(losses)
    assert len(net.guides) == 0
    image = net.unet(batch["sketch"], trainer.hint(batch["image"])).image
    loss = 7.0 * absolute_error(image, batch["image"]) + log_generator(net.discriminators["plain"](image))
    assert_gradients(net.unet, loss)


def test_the_hint_is_of_the_image_and_stays_frozen():
    trainer, batch = new_trainer(), micro_batch()
    before, other = values_of(trainer.hint), batch | {"image": -batch["image"]}
    trainer.step(0, [batch])
    assert is_unchanged(trainer.hint, before)
    assert not torch.equal(
        trainer.synthesize(batch["sketch"], batch["image"]),
        trainer.synthesize(batch["sketch"], other["image"]),
    )


def test_micro_batches_add_up_to_the_batch():
    """No image depends on its batch, so that two halves are the whole."""
    whole, halves = held_back(new_trainer()), held_back(new_trainer())
    batch = micro_batch(4)
    losses = whole.step(0, [batch])
    parts = [{name: x[rows] for name, x in batch.items()} for rows in (slice(0, 2), slice(2, 4))]
    assert halves.step(0, parts) == pytest.approx(losses, rel=1e-4)
    for part in ("unet", "guides", "discriminators"):
        for first, second in zip(
            gradients_of(getattr(whole.networks, part)),
            gradients_of(getattr(halves.networks, part)),
            strict=True,
        ):
            assert (first is None) is (second is None)
            if first is not None:
                torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


def test_a_step_on_a_cpu_may_be_abandoned_and_the_average_has_no_gradient():
    trainer = new_trainer()
    assert trainer.interruptible
    assert not trainer.changing
    assert not any(parameter.requires_grad for parameter in trainer.networks.ema.parameters())


@pytest.mark.parametrize("guides", [True, False])
def test_ranks_exchange_all_gradients_of_a_step_in_one_message(guides):
    """A list of no parameters, as where there are no guides, could not be exchanged."""
    trainer, exchanged = held_back(new_trainer(guides=guides)), []
    ranks = SimpleNamespace(average_gradients=exchanged.append, all_reduce_mean=Ranks().all_reduce_mean)
    trainer.ranks = ranks
    trainer.step(0, [micro_batch()])
    net = trainer.networks
    modules = (net.unet, net.guides, net.discriminators["auxiliary"])
    expected = {id(parameter) for module in modules for parameter in module.parameters()}
    assert len(exchanged) == 1
    assert {id(parameter) for parameter in exchanged[0]} == expected


def test_the_share_of_a_gradient_by_hand():
    part, rest, unused = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    part.grad, rest.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert gradient_share([part], [part, rest, unused]).item() == pytest.approx(3 / 5)
    part.grad.zero_()
    rest.grad.zero_()
    assert gradient_share([part], [part, rest]).item() == 0


def test_the_share_of_the_middle_is_logged_every_so_often():
    trainer = held_back(new_trainer())
    logged = [MIDDLE_SHARE in trainer.step(number, [micro_batch()]) for number in (0, 1, SHARE_EVERY)]
    assert logged == [True, False, True]


def test_guides_bring_gradient_to_the_middle():
    shares = [
        held_back(new_trainer(guides=guides)).step(0, [micro_batch()])[MIDDLE_SHARE]
        for guides in (True, False)
    ]
    assert 1 > shares[0] > shares[1] > 0


def test_the_average_follows_the_unet():
    trainer = new_trainer()
    net = trainer.networks
    before = values_of(net.ema)
    trainer.step(1000, [micro_batch()])
    for name, value in net.ema.state_dict().items():
        torch.testing.assert_close(value, (before[name] + net.unet.state_dict()[name]) / 2)


def test_a_loss_that_is_not_finite_changes_nothing():
    trainer, batch = new_trainer(), micro_batch()
    net = trainer.networks
    before = [values_of(module) for module in (net.unet, net.guides, net.discriminators, net.ema)]
    batch["image"][0] = float("nan")
    with pytest.raises(FloatingPointError, match="the loss became nan"):
        trainer.step(0, [batch])
    assert not trainer.changing
    for module, values in zip((net.unet, net.guides, net.discriminators, net.ema), before, strict=True):
        assert is_unchanged(module, values)


def test_four_images_of_one_sketch_are_learnt_by_their_hints():
    """Nothing but the hint says which of four colours an image has."""
    colours = torch.tensor([[0.8, -0.6, -0.6], [-0.6, 0.7, -0.5], [-0.7, -0.5, 0.8], [0.7, 0.7, -0.6]])
    sketch = torch.ones(4, 1, 64, 64)
    sketch[:, :, 16:48, 16:18] = -1
    image = colours.view(4, 3, 1, 1).expand(4, 3, 64, 64).clone()
    trainer = new_trainer(learning_rate=3e-3, ema_decay=0.8)
    trainer.hint.calibrate(image)
    for number in range(30):
        trainer.step(number, [{"image": image, "sketch": sketch}])
    error = absolute_error(trainer.synthesize(sketch, image), image).item()
    mismatched = absolute_error(trainer.synthesize(sketch, image.roll(1, 0)), image).item()
    # One image for all four would be off by .56 at best: the mean distance from each channel's median.
    best_without_hint = (colours - colours.median(0).values).abs().mean().item()
    assert best_without_hint > 0.5
    assert error < 0.4
    assert mismatched > 0.7


def test_the_state_is_whole_before_and_after_a_step_and_not_while_optimisers_step():
    trainer = held_back(new_trainer())
    whole = [trainer.changing]
    trainer.networks.optimizer_d.step = lambda: whole.append(trainer.changing)
    trainer.step(0, [micro_batch()])
    assert [*whole, trainer.changing] == [False, True, False]

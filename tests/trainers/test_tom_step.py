"""One step of TOM, term by term: which features each loss compares, by hand from Eqs. 4 to 6."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.images.builtin.drawings import draw
from sketchforge.losses.adversarial import hinge_discriminator, hinge_generator
from sketchforge.losses.tom import content_loss, gram_loss
from sketchforge.options import TomTrainOptions
from tests.helpers.photos import scene
from trainers.tom.recipe import RECIPES
from trainers.tom.step import TomTrainer

OPTIONS = TomTrainOptions(size=32, batch_size=2, threads=1, device="cpu")
WEIGHTS = {"adversarial_weight": 0.3, "content_weight": 0.5, "gram_weight": 0.7, "synthetic_weight": 1.1}
RECIPE = replace(RECIPES["lean"], **WEIGHTS, ema_decay=0.75)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("builtin")


def new_trainer(encoder, recipe=RECIPE, **changes):
    drawings = [draw(*name.rsplit("-", 1), 48) for name in ("woman-quill", "child-cartoon")]
    readers = [lambda image=image: np.repeat(image[..., None], 3, 2) for image in drawings]
    photos = [lambda seed=seed: scene(seed, 48, 48) for seed in range(2)]
    return TomTrainer(replace(OPTIONS, **changes), recipe, encoder, photos, readers)


def test_each_player_gets_the_gradient_of_its_own_loss(encoder):
    """D that of Eq. 5; G, against D as it is after its step, that of the weighted sum of all terms."""
    trainer = new_trainer(encoder)
    net, batch = trainer.networks, trainer.batch(0, None)
    net.optimizer_g.step = lambda: None
    judge, generator = copy.deepcopy(net.discriminator).train(), copy.deepcopy(net.generator).train()
    losses = trainer.step(0, batch)

    def encode(images):
        return encoder(images.expand(-1, 3, -1, -1), encoder.tap_names())

    def generate(photos):
        return generator(generator.prepare({tap: encode(photos)[tap] for tap in generator.taps}))

    drawings, content = encode(batch.drawings), encode(batch.denoised)
    sketches = encode(generate(batch.photos))
    fixed = {tap: x.detach() for tap, x in sketches.items()}
    loss_d = hinge_discriminator(judge(drawings), judge(fixed))
    wanted = torch.autograd.grad(loss_d, list(judge.parameters()))
    for parameter, gradient in zip(net.discriminator.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)
    terms = {
        "adversarial": hinge_generator(net.discriminator.train()(sketches)),
        "content": sum(
            content_loss(sketches[tap], content[tap], drawings[tap]) for tap in RECIPE.content_taps
        )
        / len(RECIPE.content_taps),
        "gram": gram_loss({tap: sketches[tap] for tap in RECIPE.style_taps}, drawings),
        "synthetic": (generate(batch.synthetic) - batch.originals[:, :1]).square().mean(),
    }
    total = sum(WEIGHTS[f"{name}_weight"] * loss for name, loss in terms.items())
    for parameter, gradient in zip(
        net.generator.parameters(), torch.autograd.grad(total, list(generator.parameters())), strict=True
    ):
        # Spectral norm's vectors have gone on by a pass.
        assert (parameter.grad - gradient).norm() < 0.01 * gradient.norm()
    for name, loss in (terms | {"discriminator": loss_d}).items():
        tolerance = 0.05 if name == "adversarial" else 1e-3  # of spectral norm's vectors, as above
        assert losses[name] == pytest.approx(loss.item(), rel=tolerance, abs=1e-4), name


def test_the_average_is_of_the_weights_after_the_step(encoder):
    trainer = new_trainer(encoder)
    before = [x.clone() for x in trainer.networks.ema.parameters()]
    trainer.step(0, trainer.batch(0, None))
    for average, old, new in zip(
        trainer.networks.ema.parameters(), before, trainer.networks.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(average, 0.75 * old + 0.25 * new)


def test_the_state_is_whole_but_while_optimisers_step(encoder):
    trainer = new_trainer(encoder)
    whole = [trainer.changing]
    step_d = trainer.networks.optimizer_d.step
    for optimizer, step in (
        (trainer.networks.optimizer_d, step_d),
        (trainer.networks.optimizer_g, lambda: None),
    ):
        optimizer.step = lambda step=step: (whole.append(trainer.changing), step())
    trainer.step(0, trainer.batch(0, None))
    assert [*whole, trainer.changing] == [False, True, True, False]


def test_an_error_between_the_players_puts_the_discriminator_back(encoder):
    trainer = new_trainer(encoder)
    net, batch = trainer.networks, trainer.batch(0, None)
    trainer.step(0, batch)
    before = copy.deepcopy((net.discriminator.state_dict(), net.optimizer_d.state_dict()))
    trainer._compute_generator_losses = None
    with pytest.raises(TypeError):
        trainer.step(1, batch)
    after = (net.discriminator.state_dict(), net.optimizer_d.state_dict())
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert not trainer.changing


def test_bfloat16_is_nearly_the_same_step(encoder):
    losses = []
    for precision in ("float32", "bfloat16"):
        trainer = new_trainer(encoder, precision=precision)
        losses.append(trainer.step(0, trainer.batch(0, None)))
        assert all(
            x.grad.isfinite().all() and x.dtype == torch.float32
            for x in trainer.networks.generator.parameters()
        )
    assert losses[1] == pytest.approx(losses[0], rel=0.1, abs=0.02)
    assert losses[1] != losses[0]


def test_a_step_has_the_photos_and_drawings_of_its_number(encoder):
    """Two a step, in the order of the samplers; synthetic photos are of the step's own drawings."""
    trainer = new_trainer(encoder)
    batch = trainer.batch(3, None)
    expected = [trainer.photos.crop(position) for position in (6, 7)]
    shown = ((batch.photos + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(shown, np.stack(expected))
    assert torch.equal(batch.originals, batch.drawings[: RECIPE.num_synthetic])
    assert len(batch.synthetic) == len(batch.originals) > 0

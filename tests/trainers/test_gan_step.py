"""One step of the GAN, line by line: what D and G2 are shown, and which terms move them."""

from dataclasses import replace

import pytest
import torch

from sketchforge.checkpoints.synthesizer import read_model
from sketchforge.losses.adversarial import hinge_discriminator, hinge_generator, r1_penalty
from sketchforge.losses.autoencoder import reconstruction
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.models.encoder import orthogonal_encoder
from sketchforge.models.layers import PADDINGS
from trainers.gan import step as gan_step
from trainers.gan.recipe import GanRecipe
from trainers.gan.step import R1_EVERY, GanTrainer

TINY = GanRecipe(size=64, steps=5, batch_size=2, width=0.02, noise=False, r1=0.0, learning_rate=1e-3)
CPU = torch.device("cpu")


def two_samples():
    rng = torch.Generator().manual_seed(0)
    made = {
        name: torch.rand(2, count, 64, 64, generator=rng) * 2 - 1
        for name, count in (("image", 3), ("sketch", 1))
    }
    return made | {"position": torch.arange(2)}


def trainer_of(**changes):
    """A trainer whose optimisers leave the weights as they are."""
    torch.manual_seed(0)
    autoencoder = AutoEncoder(64, 0.0625).eval().requires_grad_(False)
    trainer = GanTrainer(replace(TINY, **changes), autoencoder, None, seed=0, device=CPU)
    trainer.networks.optimizer_d.step = trainer.networks.optimizer_g.step = lambda: None
    return trainer


def gradients_of(network):
    return [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_refiner_sees_beyond_the_border_what_its_auto_encoder_does(padding):
    trainer = GanTrainer(TINY, AutoEncoder(64, 0.0625, padding=padding), None, seed=0, device=CPU)
    assert trainer.networks.refiner.padding == trainer.networks.ema.padding == padding


@pytest.mark.parametrize("number", [0, 1, R1_EVERY])
def test_r1_is_of_real_images_and_as_large_as_it_is_rare(number):
    """Every fourth step, four times γ/2 of it; by hand from Eq. 13 and the penalty at the real images."""
    trainer, batch = trainer_of(r1=3.0), two_samples()
    judge = trainer.networks.discriminator
    with torch.no_grad():
        fake = trainer._refine(batch)
    loss = hinge_discriminator(judge(batch["image"]), judge(fake))
    if number % R1_EVERY == 0:
        loss = loss + 4 * 3.0 / 2 * r1_penalty(judge, batch["image"])
    expected = torch.autograd.grad(loss, list(judge.parameters()), allow_unused=True)
    trainer.step(number, [batch])
    for found, wanted in zip(gradients_of(judge), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)


def test_r1_is_of_images_as_they_are(monkeypatch):
    """At the data's own points, whatever D is otherwise shown."""
    monkeypatch.setattr(gan_step, "diff_augment", lambda images, policy, rng: images * 0)
    trainer, batch = trainer_of(r1=3.0, augment="color"), two_samples()
    judge = trainer.networks.discriminator
    blank = torch.zeros_like(batch["image"])
    loss = hinge_discriminator(judge(blank), judge(blank)) + 6.0 * r1_penalty(judge, batch["image"])
    expected = torch.autograd.grad(loss, list(judge.parameters()), allow_unused=True)
    trainer.step(0, [batch])
    for found, wanted in zip(gradients_of(judge), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)


def test_the_discriminator_sees_real_and_fake_images_augmented_alike(monkeypatch):
    """Whoever sees a fake sees it augmented: D's two kinds of images, and what G2 learns from."""
    seen = []
    monkeypatch.setattr(gan_step, "diff_augment", lambda images, policy, rng: seen.append(policy) or images)
    trainer_of(augment="color").step(0, [two_samples()])
    assert seen == ["color"] * 3


def test_the_refiner_learns_through_the_augmentation(monkeypatch):
    """An augmentation that leaves nothing of an image leaves nothing to learn from D."""
    monkeypatch.setattr(gan_step, "diff_augment", lambda images, policy, rng: images * 0)
    trainer = trainer_of(augment="color", reconstruction=0.0)
    trainer.step(0, [two_samples()])
    assert all(grad is None or not grad.any() for grad in gradients_of(trainer.networks.refiner))


def test_each_player_gets_the_gradient_of_its_own_loss():
    """By hand from Eqs. 13 and 14: D's loss leaves G2 alone, and G2's leaves D."""
    trainer, batch = trainer_of(), two_samples()
    judge, refiner, real = trainer.networks.discriminator, trainer.networks.refiner, batch["image"]
    refiner.train()
    fake = trainer._refine(batch)
    loss_d = hinge_discriminator(judge(real), judge(fake.detach()))
    loss_g = hinge_generator(judge(fake)) + trainer.recipe.reconstruction * reconstruction(fake, real)
    for loss, network in ((loss_d, judge), (loss_g, refiner)):
        wanted = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        trainer.step(1, [batch])
        for found, gradient in zip(gradients_of(network), wanted, strict=True):
            torch.testing.assert_close(found, gradient, rtol=1e-6, atol=1e-6)


def test_a_discriminator_of_features_plays_and_leaves_the_encoder_as_it_is():
    torch.manual_seed(0)
    autoencoder = AutoEncoder(64, 0.0625).eval().requires_grad_(False)
    encoder = orthogonal_encoder(torch.Generator().manual_seed(0))
    weights = [parameter.clone() for parameter in encoder.parameters()]
    recipe = replace(TINY, discriminator="features")
    trainer = GanTrainer(recipe, autoencoder, encoder, seed=0, device=CPU)
    trainer.step(0, [two_samples()])
    # But for the last biases, whose gradient of real images is that of fakes.
    moved = [grad.any() for grad in gradients_of(trainer.networks.discriminator) if grad.ndim > 1]
    assert all(moved) and len(moved) == 4 + 6 + 4
    assert any(grad is not None and grad.any() for grad in gradients_of(trainer.networks.refiner))
    assert all(torch.equal(a, b) for a, b in zip(weights, encoder.parameters(), strict=True))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.slow  # --compile as a whole: seconds of torch's tracing
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # by torch.compile
def test_a_step_works_with_a_compiled_discriminator():
    """A compiled graph can be gone through once only, so D sees the fakes once for each player."""
    trainer = trainer_of(r1=1.0)
    trainer.networks.discriminator.compile(backend="aot_eager")
    trainer.step(0, [two_samples()])
    assert all(
        grad.isfinite().all() for grad in gradients_of(trainer.networks.discriminator) if grad is not None
    )


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # by torch.compile
def test_a_step_of_a_compiled_refiner_is_what_it_is_without():
    plain, compiled = trainer_of(), trainer_of()
    compiled.networks.refiner.compile(backend="aot_eager")
    losses = [trainer.step(0, [two_samples()]) for trainer in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    gradients = [gradients_of(trainer.networks.refiner) for trainer in (plain, compiled)]
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_r1_works_beside_a_compiled_discriminator():
    """torch.compile has no gradient of a gradient. Inductor's own code is left out: a minute on a CPU."""
    trainer, batch = trainer_of(r1=1.0), two_samples()
    trainer.networks.discriminator.compile(backend="aot_eager")
    rng = torch.Generator().manual_seed(0)
    loss, _ = trainer._compute_discriminator_loss(batch["image"], -batch["image"], rng, True)
    loss.backward()
    assert all(
        grad.isfinite().all() for grad in gradients_of(trainer.networks.discriminator) if grad is not None
    )


def test_spectral_norm_bounds_the_discriminator():
    judge = trainer_of(spectral_norm=True).networks.discriminator
    judge.eval()
    for conv in judge.downs.values():
        assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2) < 1.5
    assert hasattr(judge.head[0], "parametrizations")
    assert not hasattr(judge.head[1], "parametrizations")


def test_gradients_are_means_over_micro_batches():
    """As an accumulated batch is to count as much as one that is whole."""
    first = two_samples()
    second = first | {name: first[name].flip(2) for name in ("image", "sketch")}
    gradients = []
    for batch in ([first, second], [first], [second]):
        trainer = trainer_of()
        trainer.step(1, batch)
        networks = (trainer.networks.discriminator, trainer.networks.refiner)
        gradients.append([grad for network in networks for grad in gradients_of(network)])
    for both, one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(both, (one + other) / 2, rtol=1e-3, atol=1e-6)


def test_the_perceptual_term_counts_as_often_as_its_weight():
    """What it adds to the loss of Eq. 14, by hand."""
    added = []
    for weight in (0.0, 2.0, 6.0):
        trainer = trainer_of(perceptual=weight)
        trainer.encoder = orthogonal_encoder(torch.Generator().manual_seed(0), ((4, 4), (6, 6), (8, 8)))
        batch, rng = two_samples(), torch.Generator().manual_seed(0)
        with torch.no_grad():
            loss, terms = trainer._compute_generator_loss(batch["image"], -batch["image"], rng)
        assert ("perceptual" in terms) == (weight > 0)
        added.append(loss - terms["adversarial"] - trainer.recipe.reconstruction * terms["reconstruction"])
    torch.testing.assert_close(added[1], 2 * terms["perceptual"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(added[2], 6 * terms["perceptual"], rtol=1e-3, atol=1e-4)
    assert abs(added[0]) < 1e-4


def test_the_perceptual_term_teaches_the_refiner():
    """Its gradient goes through what is refined, not through the image."""
    slopes = []
    for weight in (0.0, 1000.0):
        trainer = trainer_of(perceptual=weight)
        trainer.encoder = orthogonal_encoder(torch.Generator().manual_seed(0), ((4, 4), (6, 6), (8, 8)))
        trainer.step(1, [two_samples()])
        slopes.append(
            torch.cat([grad.flatten() for grad in gradients_of(trainer.networks.refiner) if grad is not None])
        )
    assert (slopes[1] - slopes[0]).norm() > slopes[0].norm()


def test_in_bfloat16_the_step_is_nearly_the_same():
    """Autocast reaches every network: what comes of it differs, and little."""
    told = []
    for precision in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        autoencoder = AutoEncoder(64, 0.0625).eval().requires_grad_(False)
        trainer = GanTrainer(
            replace(TINY, r1=1.0), autoencoder, None, seed=0, device=CPU, precision=precision
        )
        trainer.encoder = orthogonal_encoder(torch.Generator().manual_seed(0), ((4, 4), (6, 6), (8, 8)))
        trainer.recipe = replace(trainer.recipe, perceptual=1.0)
        inside = {}
        networks = {
            "judge": trainer.networks.discriminator, "refiner": trainer.networks.refiner, "encoder": trainer.encoder,
            "autoencoder": trainer.autoencoder.decoder,
        }  # fmt: skip
        for name, network in networks.items():
            convolution = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
            convolution.register_forward_hook(
                lambda _, inputs, output, name=name, inside=inside: inside.update({name: output.dtype})
            )
        told.append(trainer.step(0, [two_samples()]))
        assert inside == dict.fromkeys(networks, precision)
    for name, value in told[0].items():
        assert told[1][name] == pytest.approx(value, rel=0.1, abs=0.02), name
    assert told[0] != told[1]


def test_the_optimisers_have_the_recipes_betas_and_rates():
    recipe = replace(TINY, betas=(0.3, 0.7), learning_rate=1e-3, discriminator_learning_rate=2e-3)
    trainer = GanTrainer(recipe, AutoEncoder(64, 0.0625), None, seed=0, device=CPU)
    groups = [each.param_groups[0] for each in (trainer.networks.optimizer_g, trainer.networks.optimizer_d)]
    assert [(group["betas"], group["lr"]) for group in groups] == [((0.3, 0.7), 1e-3), ((0.3, 0.7), 2e-3)]


def test_what_is_compiled_are_both_players_and_the_parts_of_the_auto_encoder(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    autoencoder = AutoEncoder(64, 0.0625).eval().requires_grad_(False)
    trainer = GanTrainer(TINY, autoencoder, None, seed=0, device=CPU, compiled=True)
    players = [trainer.networks.refiner, trainer.networks.discriminator]
    assert compiled == [*trainer.autoencoder.children(), *players]


def test_what_is_kept_is_the_average_and_the_auto_encoder(tmp_path):
    trainer, batch = trainer_of(), two_samples()
    with torch.no_grad():
        for parameter in trainer.networks.ema.parameters():
            parameter.add_(0.05)
    trainer.write_model(tmp_path / "m.safetensors", {})
    kept = read_model(tmp_path / "m.safetensors")
    averages = trainer.networks.ema.state_dict()
    assert all(torch.equal(value, averages[name]) for name, value in kept.refiner.state_dict().items())
    torch.testing.assert_close(
        kept.autoencoder.encode_style(batch["image"]),
        trainer.encode_style(batch["image"]),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_a_signal_may_end_a_step_but_within_compiled_code(compiled, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)
    recipe = replace(TINY, width=0.01)
    autoencoder = AutoEncoder(64, 0.0625).eval().requires_grad_(False)
    trainer = GanTrainer(recipe, autoencoder, None, seed=0, device=CPU, compiled=compiled)
    assert trainer.interruptible is not compiled


def test_the_state_is_whole_before_and_after_a_step_and_not_while_optimisers_step():
    trainer = trainer_of()
    whole = [trainer.changing]
    trainer.networks.optimizer_d.step = lambda: whole.append(trainer.changing)
    trainer.step(0, [two_samples()])
    assert [*whole, trainer.changing] == [False, True, False]

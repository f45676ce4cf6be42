"""One step of the GAN and what it may touch; whole trainings, interrupted and not."""

import json
from dataclasses import replace

import pytest
import torch

from cli.main import run as command_line
from sketchforge.checkpoints.autoencoder import write_autoencoder
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.checkpoints.run_log import read_log
from sketchforge.checkpoints.synthesizer import read_synthesizer, write_synthesizer
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.losses.adversarial import hinge_discriminator
from sketchforge.metrics.images import feature_networks
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.options import GanTrainOptions
from sketchforge.utils.progress import Progress
from tests.helpers.previews import few_previews
from trainers.gan import recipe as gan_recipe
from trainers.gan.recipe import GanRecipe
from trainers.gan.run import train_gan
from trainers.gan.step import GanTrainer
from trainers.image_models import validation as previews

TINY = GanRecipe(size=64, steps=5, batch_size=4, width=0.02, learning_rate=1e-3, ema_decay=0.5)
CPU = torch.device("cpu")


def new_autoencoder(size=64):
    torch.manual_seed(0)
    return AutoEncoder(size, 0.0625).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("builtin")


@pytest.fixture(scope="module")
def finished(ten_sketches, tmp_path_factory):
    """Options of a finished run that no test changes: tiny, and its auto-encoder has learnt nothing."""
    folder = tmp_path_factory.mktemp("gan")
    write_autoencoder(folder / "ae.safetensors", new_autoencoder(), {})
    options = GanTrainOptions(
        shards=str(ten_sketches),
        ae=folder / "ae.safetensors",
        run=folder / "run",
        threads=1,
        workers=0,
        device="cpu",
    )
    with pytest.MonkeyPatch.context() as patch:
        few_previews(patch, 2)
        patch.setitem(gan_recipe.RECIPES, "demo", replace(TINY, augment="color", r1=1.0))
        assert train_gan(options) == options.run / "grid.png"
        yield options


@pytest.fixture
def options(finished, tmp_path):
    """The same, for a run of the test's own."""
    return replace(finished, run=tmp_path / "run")


def micro_batch(count=4, seed=0, **given):
    """A micro-batch, random."""
    draw = torch.Generator().manual_seed(seed)
    made = {"image": torch.rand(count, 3, 64, 64, generator=draw) * 2 - 1}
    made["sketch"] = torch.rand(count, 1, 64, 64, generator=draw) * 2 - 1
    return made | {"position": torch.arange(count)} | given


def new_trainer(encoder=None, autoencoder=None, **changes):
    return GanTrainer(replace(TINY, **changes), autoencoder or new_autoencoder(), encoder, seed=0, device=CPU)


def values_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def gradients(module):
    return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


def held_back(found):
    """Gradients are computed, and nothing steps."""
    found.networks.optimizer_d.step = found.networks.optimizer_g.step = lambda: None
    return found


def test_the_discriminator_learns_from_its_own_loss_alone():
    """Its gradient is that of Eq. 13; what the refiner wants of it leaves no trace."""
    found = held_back(new_trainer(noise=False))
    net, batch = found.networks, micro_batch()
    judge = [parameter for parameter in net.discriminator.parameters()]
    with torch.no_grad():
        style = found.autoencoder.encode_style(batch["image"])
        made = found.autoencoder.decode(found.autoencoder.encode_content(batch["sketch"]), style)
        fake = net.refiner.train()(made, style)
    # In eval mode spectral norm's vectors stay as they are, so that both ways see the same network.
    net.discriminator.eval()
    loss = hinge_discriminator(net.discriminator(batch["image"]), net.discriminator(fake))
    expected = torch.autograd.grad(loss, judge)
    found.step(0, [batch])
    for parameter, gradient in zip(judge, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)


def test_the_refiner_learns_from_its_own_loss_alone():
    """Beside a discriminator that says nothing, the refiner's gradient is that of λ times the reconstruction."""
    refined = []
    for weight in (10.0, 20.0):
        found = held_back(new_trainer(noise=False, reconstruction=weight))
        judge = found.networks.discriminator
        judge.forward = lambda images, bias=next(judge.parameters()): (
            0 * (images.mean((1, 2, 3)) + bias.mean())
        )
        found.step(0, [micro_batch()])
        refined.append(gradients(found.networks.refiner))
    for one, two in zip(*refined, strict=True):
        torch.testing.assert_close(2 * one, two, rtol=1e-4, atol=1e-7)


def test_autoencoder_and_encoder_are_frozen(encoder):
    found = new_trainer(encoder, perceptual=1.0)
    before = values_of(found.autoencoder), values_of(encoder)
    found.step(0, [micro_batch()])
    for module, kept in zip((found.autoencoder, encoder), before, strict=True):
        assert all(torch.equal(kept[name], value) for name, value in module.state_dict().items())
        assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(("number", "decay"), [(0, 0.1), (8, 0.5), (1000, 0.5)])
def test_both_players_move_and_the_average_follows_buffers_too(number, decay):
    """As (n + 1) / (n + 10) at first, later as the recipe says, which is .5 here."""
    found = new_trainer()
    net = found.networks
    before = {name: values_of(getattr(net, name)) for name in ("refiner", "discriminator", "ema")}
    found.step(number, [micro_batch()])
    for name in ("refiner", "discriminator"):
        assert any(
            (before[name][key] != value).any() for key, value in getattr(net, name).state_dict().items()
        )
    now = net.refiner.state_dict()
    for key, value in net.ema.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, decay * before["ema"][key] + (1 - decay) * now[key])
    assert any(
        "running_mean" in key and (before["ema"][key] != value).any()
        for key, value in net.ema.state_dict().items()
    )


def test_noise_is_a_function_of_seed_and_position():
    """The same step twice is the same step; other positions draw other noise."""
    first, second, elsewhere = new_trainer(), new_trainer(), new_trainer()
    for found in (first, second, elsewhere):
        for name, parameter in found.networks.refiner.named_parameters():
            if "noise_scale" in name:
                torch.nn.init.ones_(parameter)
    losses = first.step(0, [micro_batch()])
    assert losses == second.step(0, [micro_batch()])
    assert losses != elsewhere.step(0, [micro_batch(position=torch.arange(4) + 7)])


def test_augmentation_and_r1_are_switches():
    plain = new_trainer().step(0, [micro_batch()])
    assert "r1" not in plain
    assert new_trainer(augment="color").step(0, [micro_batch()])["discriminator"] != plain["discriminator"]
    assert new_trainer(r1=1.0).step(0, [micro_batch()])["r1"] >= 0


@pytest.mark.slow  # that G2 learns, models/test_gan_models.py shows; what each player learns from, the tests above
def test_the_refiner_learns_four_images():
    """G2 learns what the auto-encoder, which has learnt nothing, cannot tell.

    Seen as it trains, normalised by the batch: running statistics lag behind weights that move this fast.
    """
    images = torch.nn.functional.interpolate(micro_batch()["image"][:, :, :6, :6], size=64, mode="bilinear")
    found = new_trainer(width=0.0625, learning_rate=2e-3, noise=False, reconstruction=100.0, r1=0.1)
    errors = [found.step(number, [micro_batch(image=images)])["reconstruction"] for number in range(50)]
    assert errors[0] > 0.8 * images.var()
    assert errors[-1] < 0.1 * images.var()


def test_non_finite_losses_stop_before_anything_steps():
    found = new_trainer()
    before = {name: value.clone() for name, value in found.networks.refiner.named_parameters()}
    judge = {name: value.clone() for name, value in found.networks.discriminator.named_parameters()}
    with pytest.raises(FloatingPointError, match="the loss became nan"):
        found.step(0, [micro_batch(image=micro_batch()["image"] * float("nan"))])
    for kept, module in ((before, found.networks.refiner), (judge, found.networks.discriminator)):
        assert all(torch.equal(kept[name], value) for name, value in module.named_parameters())


class StopAt(Progress):
    def __init__(self, step):
        self.at = step

    def begin(self, unit, total, done=0):
        self.done = done

    def advance(self, **losses):
        self.done += 1
        if self.done == self.at:
            raise KeyboardInterrupt


def files_of(run):
    """All that a run leaves, but for TensorBoard's files, which hold times of day, and torch's own state."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and "tensorboard" not in path.parts and path.name != "state.pt"
    }


def test_training_leaves_a_whole_model(finished):
    autoencoder, refiner, metadata = read_synthesizer(finished.run / "model.safetensors")
    assert (finished.run / "grid.png").is_file()
    assert metadata["steps"] == 5
    assert refiner.size == autoencoder.size == 64
    expected = new_autoencoder().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in autoencoder.state_dict().items())
    assert [r["step"] for r in read_log(finished.run / "log.jsonl") if "adversarial" in r] == [1, 2, 3, 4, 5]


def test_resumed_ends_with_the_same_bytes(finished, options):
    train_gan(replace(options, steps=3))
    train_gan(replace(options, steps=5))
    same = {
        name: data
        for name, data in files_of(options.run).items()
        if name in ("model.safetensors", "grid.png")
    }
    expected = files_of(finished.run)
    assert same == {name: expected[name] for name in same}
    assert len(same) == 2


def test_the_best_model_is_of_the_step_with_the_lowest_figure(options, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_networks, "BUILTIN_SIDE", 64)
    monkeypatch.setattr(previews, "NUM_MISMATCHED", 12)
    options = replace(options, eval_every=2)
    train_gan(options)
    record = json.loads((options.run / "run.json").read_text())
    found = {
        each["step"]: each["seen_frechet"]
        for each in read_log(options.run / "log.jsonl")
        if "seen_frechet" in each
    }
    assert list(found) == [2, 4, 5]
    assert min(found.values()) > 0
    step = min(found, key=found.get)
    assert record["best"] == {"file": "best.safetensors", "step": step, "seen_frechet": found[step]}
    best = read_synthesizer(options.run / "best.safetensors")
    assert best[2]["step"] == step
    assert best[2]["seen_frechet"] == found[step]
    if step == 5:
        last = read_synthesizer(options.run / "model.safetensors")[1].state_dict()
        assert all(torch.equal(value, last[name]) for name, value in best[1].state_dict().items())

    with pytest.raises(KeyboardInterrupt):
        train_gan(replace(options, run=tmp_path / "other"), StopAt(4))
    train_gan(replace(options, run=tmp_path / "other"))
    for name in ("best.safetensors", "model.safetensors", "log.jsonl"):
        assert (tmp_path / "other" / name).read_bytes() == (options.run / name).read_bytes()


def test_best_by_a_figure_that_is_not_measured_is_refused(options):
    with pytest.raises(UsageError, match="--best-by perceptual: this training has no perceptual loss"):
        train_gan(replace(options, eval_every=2, best_by="perceptual"))


def test_an_autoencoder_that_will_not_do_is_named(options, tmp_path):
    write_autoencoder(tmp_path / "other.safetensors", new_autoencoder(128), {})
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    for ae, kind, message in (
        ("other.safetensors", UsageError, "for 128 pixels, asked for are 64: use --size 128"),
        ("broken.safetensors", SketchforgeError, "cannot be read as a sketchforge-autoencoder file"),
        ("empty", UsageError, "holds no finished auto-encoder; train one with `sketchforge ae-train"),
        ("nowhere", UsageError, "no such file or folder; train one"),
    ):
        with pytest.raises(kind, match=message):
            train_gan(replace(options, ae=tmp_path / ae))
    assert not options.run.exists()


def test_another_autoencoder_is_another_run(finished, tmp_path):
    before = files_of(finished.run)
    other = new_autoencoder()
    with torch.no_grad():
        other.decoder.to_rgb.bias += 1
    write_autoencoder(tmp_path / "other.safetensors", other, {})
    with pytest.raises(UsageError, match="was begun with --ae of weights [0-9a-f]{8}, now asked for --ae of"):
        train_gan(replace(finished, ae=tmp_path / "other.safetensors"))
    assert files_of(finished.run) == before


def test_model_files_come_back_bit_for_bit(tmp_path):
    found = new_trainer()
    for refiner in (None, found.networks.ema):
        write_synthesizer(tmp_path / "m.safetensors", found.autoencoder, refiner, {"steps": 1})
        autoencoder, read, _ = read_synthesizer(tmp_path / "m.safetensors")
        assert (read is None) is (refiner is None)
        for module, same in ((found.autoencoder, autoencoder), (refiner, read)):
            if module is not None:
                assert all(
                    torch.equal(value, same.state_dict()[name]) for name, value in module.state_dict().items()
                )


def test_the_command_tells_what_it_trains_on_and_what_it_left(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = [
        "gan-train",
        "--shards",
        options.shards,
        "--ae",
        str(options.ae),
        "--steps",
        "2",
        "--batch-size",
        "2",
    ]
    assert command_line([*words, "--threads", "1", "--workers", "0", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "10 images with 10 sketches each" in printed
    assert "runs/gan/grid.png" in printed
    assert json.loads((tmp_path / "runs/gan/run.json").read_text())["steps_done"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--augment", "rain"], "--augment rain: no such change; there are color, translation, cutout"),
        (["--r1", "-1"], "--r1"),
        (["--size", "96"], "--size 96: expected 64"),
        (["--ae", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_bad_usage_is_one_line(arguments, message, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    model = [] if "--ae" in arguments else ["--ae", str(options.ae)]
    assert command_line(["gan-train", "--shards", options.shards, *model, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_the_perceptual_term_sees_images_shifted_anew_in_every_step(encoder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "trainers.gan.step.perceptual",
        lambda _, output, target, taps: seen.append(target) or output.mean(),
    )
    found, batch = new_trainer(encoder, perceptual=1.0), micro_batch()
    for number in (0, 1):
        found.step(number, [batch])
    assert not torch.equal(*seen)
    assert not any(torch.equal(target, batch["image"]) for target in seen)

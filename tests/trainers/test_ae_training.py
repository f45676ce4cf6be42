"""The auto-encoder's losses in one step, and whole trainings, interrupted and not."""

import json
import shlex
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from cli.main import run as command_line
from sketchforge.checkpoints.autoencoder import read_autoencoder
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.checkpoints.run_log import read_log
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.options import AeTrainOptions
from sketchforge.shards.shard_set import open_shards, shards_digest
from sketchforge.utils.progress import Progress
from tests.helpers.forks import forked_cli
from tests.helpers.previews import few_previews
from tests.helpers.stored import png, store
from trainers.autoencoder import recipe as ae_recipe
from trainers.autoencoder.recipe import LOSSES, AeRecipe, ae_recipe_of
from trainers.autoencoder.run import train_ae
from trainers.autoencoder.step import AutoEncoderTrainer
from trainers.image_models.interface import PERCEPTUAL_TAPS
from trainers.image_models.validation import Validation

TINY = AeRecipe(
    size=64, steps=4, batch_size=4, width=0.0625, style_dim=32, subset=4, subset_passes=2, learning_rate=1e-3
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("builtin")


@pytest.fixture(scope="module")
def tiny():
    """The demo recipe at test size, with two small previews."""
    with pytest.MonkeyPatch.context() as patch:
        few_previews(patch, 2)
        patch.setitem(ae_recipe.RECIPES, "demo", TINY)
        yield


@pytest.fixture
def options(ten_sketches, tmp_path, tiny):
    return AeTrainOptions(shards=str(ten_sketches), run=tmp_path / "run", threads=1, workers=0, device="cpu")


@pytest.fixture(scope="module")
def finished(ten_sketches, tmp_path_factory, tiny):
    """The run that the `options` make, never written to."""
    run = tmp_path_factory.mktemp("ae") / "run"
    train_ae(AeTrainOptions(shards=str(ten_sketches), run=run, threads=1, workers=0, device="cpu"))
    return run


@pytest.fixture
def trained(options, finished):
    """The options of a finished run that a test may change."""
    shutil.copytree(finished, options.run)
    return options


def micro_batch(count=4, seed=0, **given):
    """A micro-batch, random; index, label and group count up from 0 unless given."""
    draw = torch.Generator().manual_seed(seed)

    def image(channels):
        return torch.rand(count, channels, 64, 64, generator=draw) * 2 - 1

    made = {"image": image(3), "sketch": image(1), "variant": image(1), "style_view": image(3)}
    numbers = torch.arange(count)
    numbered = dict.fromkeys(("index", "label", "position"), numbers)
    return made | numbered | {"group": torch.zeros_like(numbers)} | given


def new_trainer(encoder, num_images=4, **changes):
    return AutoEncoderTrainer(replace(TINY, **changes), encoder, num_images, seed=0, device=CPU)


def weights_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_every_loss_has_its_own_switch(encoder):
    """Alone beside the reconstruction each one is computed, and moves something that the others leave."""
    off = dict.fromkeys(LOSSES, 0.0)
    for name in LOSSES:
        on = off | {"reconstruction": 1.0, name: 1.0}
        losses = new_trainer(encoder, **on, variational=name == "style_prior").losses(
            micro_batch(), torch.Generator().manual_seed(0)
        )
        assert set(losses) == {"reconstruction", name}


def test_weights_scale_what_they_name(encoder):
    """Twice the weight of the reconstruction and nothing else: twice the gradient."""
    off = dict.fromkeys(LOSSES, 0.0)
    norms = []
    for weight in (1.0, 2.0):
        found = new_trainer(encoder, **off | {"reconstruction": weight})
        found.networks.optimizer.step = lambda: None
        found.step(0, [micro_batch()])
        norms.append(found.networks.model.decoder.to_rgb.weight.grad.norm().item())
    assert norms[1] == pytest.approx(2 * norms[0], rel=1e-5)


def test_a_batch_in_micro_batches_has_the_mean_gradient(encoder):
    """Without normalisation by batches, two halves and the whole are the same step."""
    off = dict.fromkeys(LOSSES, 0.0) | {"reconstruction": 1.0}
    gradients = []
    whole = micro_batch()
    halves = [{name: value[at : at + 2] for name, value in whole.items()} for at in (0, 2)]
    for batch in ([whole], halves):
        found = new_trainer(encoder, **off)
        found.networks.optimizer.step = lambda: None
        model = found.networks.model.eval()  # and it stays so: no statistics of batches
        model.train = lambda *_: model
        found.step(0, batch)
        gradients.append(found.networks.model.decoder.to_rgb.weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-7)


def test_the_head_learns_from_styles_only(encoder):
    """Eq. 9 shows the head to the content, but must not teach it."""
    off = dict.fromkeys(LOSSES, 0.0) | {"reconstruction": 1.0}
    for name, moves in (("content_class", False), ("style_class", True)):
        found = new_trainer(encoder, **off | {name: 1.0})
        before = weights_of(found.networks.head)
        found.step(0, [micro_batch()])
        assert (
            any((before[key] != value).any() for key, value in found.networks.head.state_dict().items())
            is moves
        )


def test_frozen_encoder_stays_frozen(encoder):
    before = weights_of(encoder)
    new_trainer(encoder).step(0, [micro_batch()])
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_a_new_subset_begins_with_a_new_head_and_a_fresh_optimizer(encoder):
    found = new_trainer(encoder, num_images=8)  # two subsets of four classes
    for number in range(3):
        found.step(number, [micro_batch()])
    first = weights_of(found.networks.head)
    old = found.networks.head_optimizer
    assert {settings["lr"] for settings in found.networks.optimizer.param_groups} == {TINY.learning_rate}
    found.step(3, [micro_batch(group=torch.full((4,), 1))])
    assert found.networks.head_optimizer is not old
    assert all(int(state["step"]) == 1 for state in found.networks.head_optimizer.state.values())
    fresh = new_trainer(encoder, num_images=8)
    fresh.networks.head.reset(0, 1)
    moved = (found.networks.head.weight - fresh.networks.head.weight).abs().max()
    assert moved < 2 * TINY.learning_rate  # one step of Adam away from the new start
    assert (found.networks.head.weight - first["weight"]).abs().max() > 10 * TINY.learning_rate
    rates = {settings["name"]: settings["lr"] for settings in found.networks.optimizer.param_groups}
    later = TINY.later_learning_rate
    assert rates == {"style_encoder": later, "decoder": later, "content_encoder": TINY.learning_rate}


def test_images_of_the_subset_before_have_no_class(encoder):
    """A batch may straddle two subsets: only the new one's labels count."""
    found = new_trainer(encoder, num_images=8)
    mixed = micro_batch(group=torch.tensor([0, 0, 1, 1]), label=torch.tensor([2, 3, 0, 1]))
    found._change_subset(1)
    rows, labels = found._get_labels(mixed)
    assert rows.tolist() == [2, 3]
    assert labels.tolist() == [0, 1]


def test_few_images_are_classes_for_ever(encoder):
    found = new_trainer(encoder, num_images=3)
    head = found.networks.head
    found.step(0, [micro_batch(3, group=torch.full((3,), 5))])
    assert head.weight.shape[0] == 3
    assert found.group == 0


def test_batches_of_one_image_leave_the_triplets_out(encoder):
    """At the turn of an epoch a small batch may hold an image twice: it is no negative of itself."""
    twice = micro_batch(2, index=torch.zeros(2, dtype=torch.int64), label=torch.zeros(2, dtype=torch.int64))
    assert not {"style_triplet", "content_triplet"} & set(new_trainer(encoder).step(0, [twice]))


@pytest.mark.parametrize("bad", ["image", "sketch", "variant"])
def test_non_finite_losses_stop_before_the_step(encoder, bad):
    found = new_trainer(encoder)
    broken = micro_batch()
    broken[bad] = broken[bad] * float("nan")
    before = {
        name: value for name, value in weights_of(found.networks.model).items() if "running" not in name
    }
    with pytest.raises(FloatingPointError, match="the loss became nan"):
        found.step(0, [broken])
    after = found.networks.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items() if value.is_floating_point())


def test_average_follows_the_weights(encoder):
    found = new_trainer(encoder, ema_decay=0.75)
    name = "decoder.to_rgb.weight"
    start = found.networks.ema.state_dict()[name].clone()
    found.step(0, [micro_batch()])
    now = found.networks.model.state_dict()[name]
    torch.testing.assert_close(found.networks.ema.state_dict()[name], 0.75 * start + 0.25 * now)


def test_bfloat16_is_nearly_the_same_step(encoder):
    exact, rough = (
        AutoEncoderTrainer(TINY, encoder, 4, seed=0, device=CPU, precision=precision)
        for precision in (torch.float32, torch.bfloat16)
    )
    expected, found = exact.step(0, [micro_batch()]), rough.step(0, [micro_batch()])
    assert found == pytest.approx(expected, rel=0.05, abs=0.02)
    assert found != expected
    weight = rough.networks.model.decoder.to_rgb.weight
    assert weight.dtype == torch.float32
    assert weight.grad.isfinite().all()


@pytest.mark.slow  # that the networks learn, models/test_autoencoder.py shows; what from, the tests above
def test_four_images_are_learnt_with_all_losses_on(encoder):
    """A tenth of the variance is left after some steps, with all losses on: they do not stand in its way."""
    draw = torch.Generator().manual_seed(3)
    coarse = torch.rand(4, 3, 8, 8, generator=draw) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")
    sketches = (images.mean(1, keepdim=True) > 0).float() * 2 - 1
    batch = micro_batch() | {
        "image": images,
        "sketch": sketches,
        "variant": sketches,
        "style_view": images.flip(3),
    }
    found = new_trainer(encoder, learning_rate=1e-2, ema_decay=0.9)
    for number in range(80):
        found.step(number, [batch])
    error = (found.synthesize(sketches, images) - images).square().mean()
    assert error < 0.1 * images.var(), error / images.var()


class StopAt(Progress):
    """Ctrl-C after so many steps."""

    def __init__(self, step):
        self.at = step

    def begin(self, unit, total, done=0):
        self.done = done

    def advance(self, **losses):
        self.done += 1
        if self.done == self.at:
            signal.raise_signal(signal.SIGINT)


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def shards_of(folder, count, styles=2, fit="crop", size=64, planned=None):
    """A set made by hand: `count` images of so many styles."""
    blank = png(np.full((size, size), 255, np.uint8))
    samples = [
        {"key": f"k{number}", "sketches": [blank] * styles, "size": (size, size)} for number in range(count)
    ]
    return store(folder, [samples], [f"s{style}" for style in range(styles)], planned, fit=fit, size=size)


def files_of(run):
    """All that a run leaves, but for TensorBoard's files, which hold times of day, and the state: torch's own bytes.

    What is in the state shows in the files of a run that goes on from it.
    """
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and "tensorboard" not in path.parts and path.name != "state.pt"
    }


def test_training_leaves_a_model_a_grid_and_a_log(finished):
    run, grid = finished, finished / "grid.png"
    assert {path.name for path in run.iterdir()} >= {
        "run.json",
        "model.safetensors",
        "grid.png",
        "log.jsonl",
        "state.pt",
    }
    assert grid.stat().st_size > 1000
    model, metadata = read_autoencoder(run / "model.safetensors")
    assert model.size == 64
    assert metadata["steps"] == 4
    assert metadata["shards"]["count"] == 10
    steps = [record["step"] for record in read_log(run / "log.jsonl") if "reconstruction" in record]
    assert steps == [1, 2, 3, 4]
    assert json.loads((run / "run.json").read_text())["steps_done"] == 4


def test_interrupted_and_resumed_ends_with_the_same_bytes(options, finished):
    with pytest.raises(KeyboardInterrupt):
        train_ae(options, StopAt(3))
    assert not (options.run / "model.safetensors").exists()
    assert [record["step"] for record in read_log(options.run / "log.jsonl") if "reconstruction" in record][
        -1
    ] == 3
    begun = []

    class Begins(Progress):
        def begin(self, unit, total, done=0):
            begun.append(done)

    assert train_ae(options, Begins()) == options.run / "grid.png"
    assert begun == [3]
    assert files_of(options.run) == files_of(finished)


def test_the_record_says_what_drew_the_sketches(trained):
    manifest = open_shards(trained.shards).manifest
    record = json.loads((trained.run / "run.json").read_text())
    assert record["drawn_by"] == {"method": manifest["options"]["method"], "digests": manifest["digests"]}


def test_a_run_whose_record_says_nothing_of_validation_goes_on(options, tmp_path):
    """As versions before left it; nor need it be the same shards to the end."""
    validation = str(shards_of(tmp_path / "white", 3))
    with pytest.raises(KeyboardInterrupt):
        train_ae(options, StopAt(3))
    record = json.loads((options.run / "run.json").read_text())
    del record["validation"]
    (options.run / "run.json").write_text(json.dumps(record))
    train_ae(replace(options, validation=validation))
    found = json.loads((options.run / "run.json").read_text())
    assert found["steps_done"] == 4
    assert found["validation"]["count"] == 3


def test_the_number_of_workers_changes_nothing(options, finished):
    train_ae(replace(options, workers=2))
    assert files_of(options.run) == files_of(finished)


def test_shards_from_elsewhere_give_the_same_model(options, finished, ten_sketches, tmp_path):
    cache = tmp_path / "cache"
    train_ae(replace(options, shards=f"pipe:cat {shlex.quote(str(ten_sketches))}/{{}}", cache=cache))
    assert files_of(options.run) == files_of(finished)
    assert len([path for path in cache.rglob("*.tar") if path.is_file()]) == 3


def test_images_held_out_are_measured_and_shown(options, finished, tmp_path):
    held_out = replace(options, validation=str(shards_of(tmp_path / "white", 3)))
    notes = Notes()
    train_ae(held_out, notes)
    found = json.loads((held_out.run / "run.json").read_text())["figures"]
    names = (
        "reconstruction",
        "perceptual",
        "reconstruction_mirrored",
        "reconstruction_turned",
        "leak",
        "lattice",
    )
    names += ("style_mirrored", "style_turned", "style_other")
    assert set(found) == {f"held_out_{name}" for name in names}
    assert any("on 3 images held out" in note for note in notes.notes)
    assert (held_out.run / "grid.png").read_bytes() != (finished / "grid.png").read_bytes()
    recorded = json.loads((held_out.run / "run.json").read_text())["validation"]
    assert recorded == {"count": 3, "digest": shards_digest(open_shards(held_out.validation))}
    assert json.loads((finished / "run.json").read_text())["validation"] is None
    # They are looked at and not learned from.
    models = [read_autoencoder(run / "model.safetensors")[0].state_dict() for run in (finished, held_out.run)]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_figures_are_of_matched_pairs_and_the_grid_of_all(ten_sketches, encoder, monkeypatch):
    """A model that gives its style image back has no error; its grid has the styles in every row."""
    monkeypatch.setattr("trainers.image_models.validation.NUM_LAYOUTS", 16)
    monkeypatch.setattr("trainers.image_models.validation.NUM_SHOWN", 6)
    validation = Validation(open_shards(ten_sketches), 64, held_out=False)
    found = new_trainer(encoder)
    found.synthesize = lambda sketches, images: images
    found.encode_style = lambda images: images.flatten(1)
    figures = validation.figures(found)
    assert (figures["seen_reconstruction"], figures["seen_perceptual"]) == (0, 0)
    # All of the style's layout comes out; the ratio is that of the images themselves.
    images = validation.images
    mirrored, other = ((images - changed).square().mean() for changed in (images.flip(3), images.roll(-1, 0)))
    assert figures["seen_reconstruction_mirrored"] == pytest.approx(float(mirrored), rel=1e-4)
    assert figures["seen_leak"] == pytest.approx(float(mirrored / other), rel=1e-4)
    turned = (images - images.flip(2, 3)).square().mean()
    assert figures["seen_reconstruction_turned"] == pytest.approx(float(turned), rel=1e-4)
    for name, changed in {
        "mirrored": images.flip(3),
        "turned": images.flip(2, 3),
        "other": images.roll(-1, 0),
    }.items():
        cosine = torch.cosine_similarity(images.flatten(1), changed.flatten(1)).mean()
        assert figures[f"seen_style_{name}"] == pytest.approx(float(cosine), rel=1e-3)
    assert len(validation.images) == 10
    assert validation.images.shape[1:] == (3, 64, 64)
    sheet = validation.grid(found)
    pitch = 128 + 4
    top = sheet[20 : 20 + 128, 4 + pitch :]  # the row of styles, without the corner
    for row in range(1, 7):
        np.testing.assert_array_equal(sheet[20 + row * pitch : 20 + row * pitch + 128, 4 + pitch :], top)


def test_a_run_that_is_done_goes_on_when_asked_for_more(trained, tmp_path):
    train_ae(replace(trained, steps=5))
    straight = replace(trained, run=tmp_path / "straight", steps=5)
    train_ae(straight)
    assert read_autoencoder(trained.run / "model.safetensors")[1]["steps"] == 5
    model, same = (read_autoencoder(run / "model.safetensors")[0] for run in (trained.run, straight.run))
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in model.state_dict().items())


def test_other_options_are_refused_and_fresh_begins_anew(trained):
    before = files_of(trained.run)
    for changes, message in (
        ({"seed": 1}, "--seed 0, now asked for --seed 1"),
        ({"dmi": "none"}, "recipe"),
        ({"losses": (("style_class", 0.0),)}, "recipe"),
        ({"recipe": "paper"}, "--recipe demo, now asked for --recipe paper"),
    ):
        with pytest.raises(UsageError, match=message):
            train_ae(replace(trained, **changes))
    assert files_of(trained.run) == before
    train_ae(replace(trained, seed=1, overwrite=True))
    assert json.loads((trained.run / "run.json").read_text())["options"]["seed"] == 1


def test_a_run_goes_on_with_the_style_that_it_began_with(trained, tmp_path):
    """Defaults change: recipes multiplied until 0.2.0, where they use AdaIN now. Here it is the other way round."""
    earlier = replace(trained, run=tmp_path / "earlier", style="adain")
    train_ae(earlier)
    train_ae(replace(earlier, style=None, steps=5))
    assert read_autoencoder(earlier.run / "model.safetensors")[0].style == "adain"
    with pytest.raises(UsageError, match="recipe"):
        train_ae(replace(earlier, style="multiply", steps=6))
    train_ae(replace(earlier, style=None, overwrite=True))
    assert read_autoencoder(earlier.run / "model.safetensors")[0].style == TINY.style == "multiply"


@pytest.mark.parametrize("recipe", ["multiply", {"style": ["multiply"]}, {"style": "sum"}])
def test_a_recipe_that_is_none_is_refused_as_another(trained, recipe):
    path = trained.run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": recipe}))
    with pytest.raises(SketchforgeError):
        train_ae(replace(trained, steps=8))


def test_damaged_state_is_named(trained):
    (trained.run / "state.pt").write_bytes(b"nothing")
    with pytest.raises(
        SketchforgeError, match="state.pt: cannot be read as a training state .*restore the file"
    ):
        train_ae(replace(trained, steps=8))


def test_weights_and_sizes_that_cannot_be(tiny):
    for changes, message in (
        ({"losses": (("beauty", 1.0),)}, "--loss beauty: no such loss; there are reconstruction"),
        ({"losses": (("style_class", -1.0),)}, "expected a weight of 0"),
        ({"losses": (("reconstruction", 0.0), ("perceptual", 0.0))}, "both 0"),
        ({"size": 96}, "--size 96: expected 64, 128"),
        ({"losses": (("style_prior", 1.0),)}, "--loss style-prior: a loss of --variational alone"),
        ({"translated": 1.5}, "--translated 1.5: expected a share from 0 to 1"),
        ({"content_side": 64}, "--content-side 64: expected 32 for --size 64"),
        ({"size": 256, "content_side": 48}, "--content-side 48: expected 32 or 64 for --size 256"),
        (
            {"size": 256, "content_side": 64, "dmi": "none"},
            "--content-side: by --dmi none the sketch enters at 8",
        ),
        ({"subset": 1}, "--subset 1: expected 2 images or more"),
        ({"subset_passes": 0}, "--subset-passes 0: expected 1 pass or more"),
        ({"style_margin": -0.1}, "--style-margin -0.1: expected a difference of cosines from 0 to 2"),
        (
            {"content_margin": float("nan")},
            "--content-margin nan: expected a difference of cosines from 0 to 2",
        ),
        ({"accumulate": 3}, "--accumulate 3: does not divide"),
        ({"accumulate": 4}, "two images in each"),
    ):
        with pytest.raises(UsageError, match=message):
            ae_recipe_of(AeTrainOptions(**changes))


def test_paper_recipe_dry_run(ten_sketches, tmp_path):
    done = forked_cli("ae-train", "--shards", ten_sketches, "--recipe", "paper", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "100,000 steps of 16 at 1024 pixels" in done.stdout
    assert not list(tmp_path.iterdir())
    assert "demonstration" not in done.stdout


def test_the_command_tells_what_it_trains_on_and_what_it_left_and_trains_once(
    ten_sketches, tmp_path, tiny, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["ae-train", "--shards", str(ten_sketches), "--steps", "2", "--batch-size", "2", "--threads", "1"]
    words += ["--loss", "style-class=0.5", "--device", "cpu"]
    assert command_line([*words, "--workers", "0"]) == 0
    printed = capsys.readouterr().out
    assert "10 images with 10 sketches each" in printed
    assert "runs/ae/grid.png" in printed
    assert "64 pixels: a demonstration; --size 128 takes" in printed
    assert json.loads((tmp_path / "runs/ae/run.json").read_text())["recipe"]["style_class"] == 0.5
    assert command_line(words) == 0
    assert "finished already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shards", "nowhere"], "nowhere: no such folder; expected shards made by `sketchforge render`"),
        (["--loss", "style-class"], "expected NAME=WEIGHT"),
        (["--loss", "beauty=1"], "--loss beauty: no such loss"),
        (["--size", "100"], "--size 100: expected 64"),
        (["--steps", "0"], "--steps"),
        (["--device", "abacus"], "--device abacus"),
        (["--encoder", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_bad_usage_is_one_line(arguments, message, ten_sketches, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    shards = [] if "--shards" in arguments else ["--shards", str(ten_sketches)]
    assert command_line(["ae-train", *shards, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 1}, "1 image; style_triplet and content_triplet tell images apart and need two or more"),
        ({"count": 4, "styles": 1}, "1 sketch per image, needed are 2"),
        ({"count": 4, "fit": "keep"}, "--fit keep"),
        ({"count": 4, "planned": 3}, "unfinished; continue it by the same `sketchforge render`"),
    ],
)
def test_shards_that_cannot_be_trained_on(given, message, options, tmp_path):
    with pytest.raises(UsageError, match=message):
        train_ae(replace(options, shards=str(shards_of(tmp_path / "shards", **given))))
    assert not options.run.exists()


def test_shards_of_a_newer_version_are_refused(options, tmp_path):
    folder = shards_of(tmp_path / "shards", 4)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(SketchforgeError, match="version 99, but this sketchforge reads version 5"):
        train_ae(replace(options, shards=str(folder)))


def test_a_missing_shard_is_fatal_or_passed_over_and_counted(options, ten_sketches, tmp_path):
    shards = tmp_path / "shards"
    shutil.copytree(ten_sketches, shards)
    (shards / "00001.tar").unlink()
    asked = replace(options, shards=str(shards))
    with pytest.raises(SketchforgeError, match="00001.tar: cannot be read .*verify"):
        train_ae(asked)
    notes = Notes()
    train_ae(replace(asked, skip_bad_shards=True), notes)
    assert any("samples could not be read; others took their place" in note for note in notes.notes)
    assert (options.run / "model.safetensors").is_file()


def test_a_shard_that_goes_missing_on_the_way_costs_no_step_that_was_done(options, ten_sketches, tmp_path):
    shards = tmp_path / "shards"
    shutil.copytree(ten_sketches, shards)

    class Loses(Progress):
        done = 0

        def advance(self, **losses):
            self.done += 1
            if self.done == 1:  # files that are open stay readable: put something else in their place
                for path in shards.glob("*.tar"):
                    path.write_bytes(bytes(path.stat().st_size))

    asked = replace(options, shards=str(shards), batch_size=2)
    with pytest.raises(SketchforgeError, match="expected|says|cannot be"):
        train_ae(asked, Loses())
    for path in ten_sketches.glob("*.tar"):
        shutil.copy(path, shards)
    train_ae(asked)
    straight = replace(asked, run=tmp_path / "straight")
    train_ae(straight)
    assert files_of(asked.run) == files_of(straight.run)


def test_perceptual_taps_are_in_the_builtin_encoder(encoder):
    assert set(PERCEPTUAL_TAPS) <= set(encoder.tap_names())


def test_a_variational_model_is_read_as_one(ten_sketches, tmp_path):
    options = AeTrainOptions(
        shards=str(ten_sketches),
        run=tmp_path / "run",
        steps=1,
        batch_size=2,
        workers=0,
        device="cpu",
        variational=True,
    )
    train_ae(options)
    model, _ = read_autoencoder(tmp_path / "run" / "model.safetensors")
    assert model.variational
    assert read_log(tmp_path / "run" / "log.jsonl")[0]["style_prior"] > 0

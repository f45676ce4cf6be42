"""Whole trainings of Style2Paints, interrupted and not, and what is made of the models."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import sketchforge
from cli.main import run as command_line
from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.run_log import read_log
from sketchforge.checkpoints.runs import TRAINED_BY, find_trained_run
from sketchforge.checkpoints.style2paints import read_style2paints
from sketchforge.checkpoints.synthesizer import read_model
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.models.style_hint import SIDES
from sketchforge.options import ExportOptions, Style2PaintsTrainOptions
from sketchforge.synthesis.export import export
from sketchforge.utils.progress import Progress
from tests.helpers.photos import scene
from tests.helpers.previews import few_previews
from trainers.style2paints import recipe as style2paints_recipe
from trainers.style2paints.recipe import Style2PaintsRecipe, style2paints_recipe_of
from trainers.style2paints.run import RUN_FORMAT, train_style2paints

TINY = Style2PaintsRecipe(
    size=64, steps=4, batch_size=4, width=0.03, hint_size=6, learning_rate=1e-3, ema_decay=0.5
)
SKETCH, STYLE = draw("cat", "marker", 96), scene(1, 80, 80)


class StopAt(Progress):
    """Ctrl-C after a step."""

    def __init__(self, step):
        self.step, self.done = step, 0

    def advance(self, *_, **__):
        self.done += 1
        if self.done == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(ten_sketches, tmp_path_factory):
    """Options of a finished run that no test changes."""
    options = Style2PaintsTrainOptions(
        shards=str(ten_sketches),
        run=tmp_path_factory.mktemp("style2paints") / "run",
        hint="builtin",
        threads=1,
        workers=0,
        device="cpu",
    )
    with pytest.MonkeyPatch.context() as patch:
        # Of ten previews and fifty photos, most of the time would be theirs.
        few_previews(patch, 2)
        patch.setitem(SIDES, "builtin", 32)
        photos = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
        patch.setattr("trainers.style2paints.hint.calibration_images", lambda: photos)
        patch.setitem(style2paints_recipe.RECIPES, "demo", TINY)
        assert train_style2paints(options) == options.run / "grid.png"
        yield options


@pytest.fixture
def options(finished, tmp_path):
    """The same, for a run of the test's own."""
    return replace(finished, run=tmp_path / "run")


def results_of(run):
    return {name: (run / name).read_bytes() for name in ("model.safetensors", "grid.png")}


def test_training_leaves_a_model_that_opens(finished):
    model, metadata = read_style2paints(finished.run / "model.safetensors")
    assert (model.size, model.style_dim, metadata["steps"]) == (64, 6, 4)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    losses = [each for each in read_log(finished.run / "log.jsonl") if "reconstruction" in each]
    assert [each["step"] for each in losses] == [1, 2, 3, 4]
    assert ["middle_gradient_share" in each for each in losses] == [True, False, False, False]


def test_an_interrupted_run_ends_with_the_same_bytes(finished, options):
    """After one step, so that the next is the other discriminator's."""
    with pytest.raises(KeyboardInterrupt):
        train_style2paints(options, StopAt(1))
    assert json.loads((options.run / "run.json").read_text())["steps_done"] == 1
    train_style2paints(options)
    assert results_of(options.run) == results_of(finished.run)


def test_the_run_is_known_by_its_format(finished):
    assert TRAINED_BY[RUN_FORMAT] == find_trained_run(finished.run).command == "style2paints-train"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hint_size": 7}, "the recipe's hint_size 6, now asked for the recipe's hint_size 7"),
        ({"guides": False}, "the recipe's guides True, now asked for the recipe's guides False"),
        (
            {"reconstruction": 5.0},
            "the recipe's reconstruction 100.0, now asked for the recipe's reconstruction 5.0",
        ),
    ],
)
def test_a_run_goes_on_with_its_own_settings_only(finished, changes, message):
    with pytest.raises(UsageError, match=f"was begun with {re.escape(message)}"):
        train_style2paints(replace(finished, **changes))


def test_a_hint_of_other_weights_is_another_run(finished):
    record = json.loads((finished.run / "run.json").read_text())
    (finished.run / "run.json").write_text(json.dumps(record | {"hint": "0" * 64}))
    try:
        with pytest.raises(
            UsageError, match="was begun with --hint of weights 00000000, now asked for --hint of"
        ):
            train_style2paints(finished)
    finally:
        (finished.run / "run.json").write_text(json.dumps(record))


def test_the_model_synthesizes_as_the_others_do(finished):
    model = sketchforge.load(finished.run, "cpu")
    image = model.synthesize(SKETCH, STYLE)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert (model.size, model.refines, model.takes_noise) == (64, False, False)
    assert repr(model) == "<Synthesizer: 64 pixels, style2paints, on cpu>"
    assert model.style_vectors(torch.zeros(2, 3, 64, 64)).shape == (2, 6)


def test_an_exported_file_makes_the_same_image(finished, tmp_path):
    out, card = export(ExportOptions(run=finished.run, out=tmp_path / "m.safetensors"))
    run, exported = (sketchforge.load(path, "cpu") for path in (finished.run, out))
    assert np.array_equal(exported.synthesize(SKETCH, STYLE), run.synthesize(SKETCH, STYLE))
    assert exported.digest == run.digest
    assert read_model(out).system == "style2paints"
    text = card.read_text(encoding="utf-8")
    assert "Style2Paints V1" in text
    assert "`sketchforge style2paints-train`" in text
    assert "auto-encoder" not in text


@pytest.mark.parametrize(
    ("command", "made"),
    [
        (["synthesize", "--sketch", "sketch.png", "--style", "style.png"], 1),
        (["mix", "--sketch", "sketch.png", "--style", "style.png", "other.png"], 2),  # and the mixed style
        (["transfer", "--content", "other.png", "--style", "style.png"], 2),  # and the sketch
    ],
)
def test_commands_take_the_model(finished, tmp_path, monkeypatch, command, made):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name, image in (("sketch", SKETCH), ("style", STYLE), ("other", scene(2, 70, 70))):
        Image.fromarray(image).save(f"{name}.png")
    assert command_line([*command, "--model", str(finished.run), "--out", "made", "--device", "cpu"]) == 0
    assert len(list((tmp_path / "made").glob("*.png"))) == made + 1  # and the grid


def test_a_damaged_model_is_named(finished, tmp_path):
    data = (finished.run / "model.safetensors").read_bytes()
    path = tmp_path / "m.safetensors"
    path.write_bytes(data.replace(b"builtin", b"nothing", 3))
    with pytest.raises(SketchforgeError, match="not a usable Style2Paints"):
        sketchforge.load(path, "cpu")


def test_the_command_trains_and_tells_of_it(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["style2paints-train", "--shards", options.shards, "--steps", "1", "--batch-size", "2"]
    words += ["--threads", "1", "--workers", "0", "--device", "cpu", "--hint", "builtin"]
    assert command_line(words) == 0
    output = capsys.readouterr().out
    assert "10 images with 10 sketches each" in output
    assert "style hint: 6 numbers by builtin" in output
    assert "sketchforge synthesize --model runs/style2paints" in output
    assert json.loads((tmp_path / "runs/style2paints/run.json").read_text())["steps_done"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "96"], "--size 96: expected 64"),
        (["--hint", "vgg16"], "--hint"),
        (["--hint-size", "481"], "--hint-size 481: expected 1 to 480, the features of --hint builtin"),
        (["--lambda", "0"], "--lambda"),
        (["--recipe", "large"], "--recipe"),
        (["--guide-target", "blue"], "--guide-target"),
        (["--hint", "efficientnet-lite0"], "--hint efficientnet-lite0: no weights of efficientnet-lite0"),
        (["--shards", "nowhere"], "nowhere"),
    ],
)
def test_bad_usage_is_one_line(arguments, message, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKETCHFORGE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    shards = [] if "--shards" in arguments else ["--shards", options.shards]
    hint = [] if "--hint" in arguments else ["--hint", "builtin"]
    assert command_line(["style2paints-train", *shards, *hint, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hint": "vgg16"},
            "--hint vgg16: no such network; there are auto, builtin, efficientnet-lite0, vgg19",
        ),
        ({"recipe": "large"}, "--recipe large: no such recipe; there are demo, paper"),
        ({"guide_target": "blue"}, "--guide-target blue: expected grey, colour"),
        ({"discriminator": "none"}, "--discriminator none: expected both, auxiliary, plain"),
        ({"reconstruction": float("inf")}, "--lambda inf: expected a weight above 0"),
    ],
)
def test_from_python_bad_usage_is_one_line_too(changes, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        style2paints_recipe_of(Style2PaintsTrainOptions(**changes))


@pytest.mark.parametrize(("installed", "network"), [(True, "efficientnet-lite0"), (False, "builtin")])
def test_the_hint_is_by_the_better_network_where_it_is_installed(tmp_path, monkeypatch, installed, network):
    monkeypatch.setenv("SKETCHFORGE_WEIGHTS", str(tmp_path))
    if installed:
        (tmp_path / KNOWN["efficientnet-lite0"].file_names[0]).write_bytes(b"")
    assert style2paints_recipe_of(Style2PaintsTrainOptions()).hint == network

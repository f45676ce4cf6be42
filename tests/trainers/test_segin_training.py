"""Whole trainings of SEGIN, interrupted and not, and what is made of the models."""

import json
import re
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import sketchforge
from cli.main import run as command_line
from sketchforge.checkpoints import segin as files
from sketchforge.checkpoints.encoder import encoder_digest, load_encoder, truncate_encoder
from sketchforge.checkpoints.run_log import read_log
from sketchforge.checkpoints.runs import TRAINED_BY, find_trained_run
from sketchforge.checkpoints.segin import read_segin, write_segin
from sketchforge.checkpoints.synthesizer import read_model
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.tensors import to_grey, to_tensor, to_uint8
from sketchforge.metrics.images.generate import Pair, generate_images, read_matched
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.options import ExportOptions, RenderOptions, SeginTrainOptions
from sketchforge.render.render import render
from sketchforge.shards.shard_set import open_shards
from sketchforge.sketchers.foreground import ForegroundFinder
from sketchforge.synthesis.export import export
from sketchforge.utils.progress import Progress
from tests.helpers.photos import make_photos, scene
from tests.helpers.previews import few_previews
from trainers.image_models.validation import read_pairs
from trainers.segin import recipe as segin_recipe
from trainers.segin.recipe import TERMS, SeginRecipe, segin_recipe_of
from trainers.segin.run import RUN_FORMAT, plan_segin, train_segin

TINY = SeginRecipe(size=64, steps=4, batch_size=4, width=0.03, learning_rate=1e-3, ema_decay=0.5)
SKETCH, STYLE = draw("cat", "marker", 96), scene(1, 80, 80)


class StopAt(Progress):
    """Ctrl-C after a step."""

    def __init__(self, step):
        self.step, self.done = step, 0

    def advance(self, *_, **__):
        self.done += 1
        if self.done == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        few_previews(patch)
        patch.setitem(segin_recipe.RECIPES, "demo", TINY)
        yield


@pytest.fixture(scope="module")
def finished(ten_sketches, tmp_path_factory):
    """Options of a finished run that no test changes."""
    options = SeginTrainOptions(
        shards=str(ten_sketches),
        run=tmp_path_factory.mktemp("segin") / "run",
        threads=1,
        workers=0,
        device="cpu",
    )
    assert train_segin(options) == options.run / "grid.png"
    return options


@pytest.fixture
def options(finished, tmp_path):
    """The same, for a run of the test's own."""
    return replace(finished, run=tmp_path / "run")


@pytest.fixture(scope="module")
def masked_shards(tmp_path_factory):
    """Three photos, with two sketches and a mask each."""
    folder = tmp_path_factory.mktemp("masked")
    make_photos(folder / "photos", 3)
    out = folder / "out"
    render(
        RenderOptions(
            out,
            str(folder / "photos"),
            checkpoints=2,
            size=64,
            hands="none",
            masks="head",
            workers=1,
            threads=1,
        )
    )
    return str(out)


def results_of(run):
    return {name: (run / name).read_bytes() for name in ("model.safetensors", "grid.png")}


def test_training_leaves_a_model_that_opens(finished):
    model, metadata = read_segin(finished.run / "model.safetensors")
    assert (model.size, model.input, model.matcher.match, metadata["steps"]) == (64, "sketch", "argmax", 4)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_every_step_logs_every_term(finished):
    losses = [each for each in read_log(finished.run / "log.jsonl") if "reconstruction" in each]
    assert [each["step"] for each in losses] == [1, 2, 3, 4]
    assert all(set(each) == {"step", "discriminator", *TERMS} for each in losses)


def test_the_file_says_which_encoder_matches(finished):
    _, metadata = read_segin(finished.run / "model.safetensors")
    matching = truncate_encoder(load_encoder("builtin"), ["relu3_1"])
    assert metadata["model"]["encoder"]["digest"] == encoder_digest(matching)


def test_an_interrupted_run_ends_with_the_same_bytes(finished, options):
    with pytest.raises(KeyboardInterrupt):
        train_segin(options, StopAt(2))
    assert json.loads((options.run / "run.json").read_text())["steps_done"] == 2
    train_segin(options)
    assert results_of(options.run) == results_of(finished.run)


def test_the_run_is_known_by_its_format(finished):
    assert TRAINED_BY[RUN_FORMAT] == find_trained_run(finished.run).command == "segin-train"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"match": "sift"}, "the recipe's match argmax, now asked for the recipe's match sift"),
        ({"input": "grey"}, "the recipe's input sketch, now asked for the recipe's input grey"),
        ({"non_local": False}, "the recipe's non_local True, now asked for the recipe's non_local False"),
        ({"losses": (("masked", 0.0),)}, "the recipe's masked 10.0, now asked for the recipe's masked 0.0"),
    ],
)
def test_a_run_goes_on_with_its_own_settings_only(finished, changes, message):
    with pytest.raises(UsageError, match=f"was begun with {re.escape(message)}"):
        train_segin(replace(finished, **changes))


def test_without_masks_in_the_shards_the_foreground_head_makes_them(finished):
    record = json.loads((finished.run / "run.json").read_text())
    assert record["masks"] == {"by": "head", "images": 10}
    assert record["foreground"] == ForegroundFinder(torch.device("cpu")).digest


def test_a_run_goes_on_with_the_same_foreground_head_only(finished, monkeypatch):
    begin = ForegroundFinder.__init__

    def other(self, device):
        begin(self, device)
        self.digest = "0" * 64

    monkeypatch.setattr(ForegroundFinder, "__init__", other)
    with pytest.raises(UsageError, match="now asked for masks by the foreground head of weights 00000000"):
        train_segin(finished)


def test_masks_of_the_shards_come_first(masked_shards, options):
    plan = plan_segin(replace(options, shards=masked_shards))
    assert plan.finder is None
    assert plan.images.record["masks"] == {"by": "shards", "images": 3}


def test_masks_of_the_shards_are_what_is_learnt_from(masked_shards, options, monkeypatch):
    """An error of the head would show; the logged losses are those of masks."""
    monkeypatch.setattr(ForegroundFinder, "find_weights", lambda *_: pytest.fail("the head was asked"))
    asked = replace(options, shards=masked_shards, steps=1, batch_size=2, eval_every=5)
    train_segin(asked)
    first = next(read for read in read_log(asked.run / "log.jsonl") if "reconstruction" in read)
    assert {"mask", "masked"} <= set(first)


def test_without_losses_of_masks_there_are_none(options):
    plan = plan_segin(replace(options, losses=(("mask", 0.0), ("masked", 0.0))))
    assert plan.finder is None
    assert plan.images.record["masks"] == {"by": "none"}


def test_the_model_synthesizes_as_the_others_do(finished):
    model = sketchforge.load(finished.run, "cpu")
    image = model.synthesize(SKETCH, STYLE)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert (model.size, model.refines, model.takes_noise, model.takes_grey) == (64, False, False, False)
    assert repr(model) == "<Synthesizer: 64 pixels, segin, on cpu>"
    assert model.style_vectors(torch.zeros(2, 3, 64, 64)).shape == (2, 128)


def test_an_image_does_not_depend_on_the_others_of_its_list(finished):
    model = sketchforge.load(finished.run, "cpu")
    alone = model.synthesize(SKETCH, STYLE)
    assert np.array_equal(model.synthesize([SKETCH[::-1].copy(), SKETCH], STYLE)[1], alone)


def test_an_exported_file_makes_the_same_image(finished, tmp_path):
    out, card = export(ExportOptions(run=finished.run, out=tmp_path / "m.safetensors"))
    run, exported = (sketchforge.load(path, "cpu") for path in (finished.run, out))
    assert np.array_equal(exported.synthesize(SKETCH, STYLE), run.synthesize(SKETCH, STYLE))
    assert exported.digest == run.digest
    assert read_model(out).system == "segin"
    text = card.read_text(encoding="utf-8")
    assert "(SEGIN)" in text
    assert "`sketchforge segin-train`" in text
    assert "auto-encoder" not in text
    assert "the encoder that matches" in text


@pytest.mark.parametrize(
    ("command", "made"),
    [
        (["synthesize", "--sketch", "sketch.png", "--style", "style.png"], 1),
        (["mix", "--sketch", "sketch.png", "--style", "style.png", "other.png"], 2),  # and the mixed style
        (["transfer", "--content", "other.png", "--style", "style.png"], 2),  # and the sketch
    ],
)
def test_commands_take_the_model(finished, tmp_path, monkeypatch, command, made):
    _write_inputs(tmp_path, monkeypatch)
    assert command_line([*command, "--model", str(finished.run), "--out", "made", "--device", "cpu"]) == 0
    assert len(list((tmp_path / "made").glob("*.png"))) == made + 1  # and the grid


def _write_inputs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name, image in (("sketch", SKETCH), ("style", STYLE), ("other", scene(2, 70, 50))):
        Image.fromarray(image).save(f"{name}.png")


# A grey photo in place of the sketch.


@pytest.fixture(scope="module")
def colouring(finished, tmp_path_factory):
    """A run that has learnt from greys."""
    options = replace(finished, run=tmp_path_factory.mktemp("grey") / "run", input="grey", steps=1)
    train_segin(options)
    return options


def test_a_model_of_greys_says_so(colouring):
    model, _ = read_segin(colouring.run / "model.safetensors")
    assert model.input == "grey"
    assert sketchforge.load(colouring.run, "cpu").takes_grey


def test_a_model_of_greys_takes_photos_as_they_are(colouring):
    """Its input is their grey, whatever their colours, and no drawing is looked for."""
    model, photo = sketchforge.load(colouring.run, "cpu"), scene(2, 64, 64)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(model.fit_input(photo).square, grey)
    assert model.synthesize(scene(2, 70, 50), STYLE).shape == (64, 46, 3)


def test_a_model_of_greys_is_validated_on_greys(colouring):
    """The reconstruction in the log is that of the greys of the shards' images."""
    record = json.loads((colouring.run / "run.json").read_text())
    images, _ = read_pairs(open_shards(colouring.shards), 64)
    model, _ = read_segin(colouring.run / "model.safetensors")
    expected = (model(to_grey(images), images) - images).square().mean().item()
    assert record["figures"]["seen_reconstruction"] == pytest.approx(expected, rel=1e-4)


def test_beyond_a_photo_its_border_is_repeated(colouring):
    fitted = sketchforge.load(colouring.run, "cpu").fit_input(scene(2, 70, 50))
    assert (fitted.square[:, 0] == fitted.square[:, 9]).all()
    assert fitted.cut(fitted.square).shape == (64, 46)


@pytest.mark.parametrize("words", [["synthesize"], ["transfer"]])
def test_commands_take_photos_for_a_model_of_greys(colouring, tmp_path, monkeypatch, words):
    _write_inputs(tmp_path, monkeypatch)
    given = "--content" if words == ["transfer"] else "--sketch"
    words += [given, "other.png", "--style", "style.png", "--model", str(colouring.run), "--out", "made"]
    assert command_line([*words, "--device", "cpu"]) == 0
    expected = sketchforge.load(colouring.run, "cpu").synthesize("other.png", "style.png")
    with Image.open("made/other--style.png") as image:
        assert np.array_equal(np.asarray(image), expected)


def test_a_model_of_greys_needs_no_tom(colouring, tmp_path, monkeypatch, capsys):
    _write_inputs(tmp_path, monkeypatch)
    words = ["transfer", "--content", "other.png", "--style", "style.png", "--model", str(colouring.run)]
    assert command_line([*words, "--tom", "builtin", "--out", "made", "--device", "cpu"]) == 2
    assert "this model takes greys, not sketches; leave them out" in capsys.readouterr().err


def test_what_the_machine_options_say_reaches_the_step(options, monkeypatch):
    given = {}

    def note(*_, **settings):
        given.update(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("trainers.segin.run.SeginTrainer", note)
    with pytest.raises(KeyboardInterrupt):
        train_segin(replace(options, precision="bfloat16", compile=True, seed=7))
    assert (given["precision"], given["compiled"], given["seed"]) == (torch.bfloat16, True, 7)


# Bad input.


def test_a_damaged_model_is_named(finished, tmp_path):
    data = (finished.run / "model.safetensors").read_bytes()
    path = tmp_path / "m.safetensors"
    path.write_bytes(data.replace(b"argmax", b"argmin", 3))
    with pytest.raises(SketchforgeError, match="not a usable SEGIN"):
        sketchforge.load(path, "cpu")


@pytest.mark.parametrize("missing", ["encoder", "match", "non_local"])
def test_a_file_that_lacks_a_setting_is_named(finished, tmp_path, monkeypatch, missing):
    model, metadata = read_segin(finished.run / "model.safetensors")
    whole = files.describe_segin(model)
    del whole[missing]
    monkeypatch.setattr(files, "describe_segin", lambda _: whole)
    write_segin(tmp_path / "m.safetensors", model, metadata)
    with pytest.raises(SketchforgeError, match=f"not a usable SEGIN .*{missing}"):
        sketchforge.load(tmp_path / "m.safetensors", "cpu")


def test_the_command_trains_and_tells_what_and_where(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = [
        "segin-train",
        "--shards",
        options.shards,
        "--steps",
        "1",
        "--batch-size",
        "2",
        "--match",
        "soft",
    ]
    words += ["--loss", "variation=0", "--loss", "mask=3", "--no-non-local"]
    assert command_line([*words, "--threads", "1", "--workers", "0", "--device", "cpu"]) == 0
    output = capsys.readouterr().out
    assert "masks: of 10 images, by the foreground head" in output
    assert "matches: soft" in output
    assert "sketchforge synthesize --model runs/segin" in output
    record = json.loads((tmp_path / "runs/segin/run.json").read_text())
    asked = {"match": "soft", "variation": 0.0, "mask": 3.0, "non_local": False, "masked": 10.0}
    assert {name: record["recipe"][name] for name in asked} == asked


def test_a_dry_run_writes_nothing(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line(["segin-train", "--shards", options.shards, "--dry-run", "--device", "cpu"]) == 0
    assert "10 images with 10 sketches each" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "96"], "--size 96: expected 64"),
        (["--size", "1024"], "--size 1024: expected 64, 128, 256 or 512"),
        (["--match", "best"], "--match"),
        (["--input", "photo"], "--input"),
        (["--recipe", "large"], "--recipe"),
        (["--loss", "style=1"], "--loss style: no such loss; there are reconstruction, feature, adversarial"),
        (["--loss", "mask=-1"], "--loss mask=-1.0: expected a weight of 0 (off) or more"),
        (["--loss", "reconstruction=0", "--loss", "feature=0"], "one of them must make images"),
        (["--shards", "nowhere"], "nowhere"),
    ],
)
def test_bad_usage_is_one_line(arguments, message, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    shards = [] if "--shards" in arguments else ["--shards", options.shards]
    assert command_line(["segin-train", *shards, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "large"}, "--recipe large: no such recipe; there are demo, paper"),
        ({"match": "best"}, "--match best: expected argmax, soft, sift"),
        ({"input": "photo"}, "--input photo: expected sketch, grey"),
    ],
)
def test_from_python_bad_usage_is_one_line_too(changes, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        segin_recipe_of(SeginTrainOptions(**changes))


# Measuring.


@pytest.fixture
def reader(ten_sketches):
    with closing(SampleReader(open_shards(str(ten_sketches)))) as opened:
        yield opened


def test_what_is_measured_of_a_model_of_greys_is_made_of_greys(colouring, reader):
    model, pair = sketchforge.load(colouring.run, "cpu"), Pair(content=3, style=5, sketch=2)
    batch = next(iter(generate_images(model, reader, [pair], "grey")))
    contents, styles = (to_tensor(images) for images in (batch.contents, batch.styles))
    expected = model.synthesize_tensors(to_grey(contents), styles)
    assert np.array_equal(batch.images, to_uint8(expected))


@pytest.mark.parametrize("grey", [True, False])
def test_matched_pairs_are_of_greys_where_they_are_asked_for(reader, grey):
    inputs, images, _ = next(read_matched(reader, [Pair(0, 0, 0), Pair(1, 1, 1)], 64, grey=grey))
    assert torch.equal(inputs, to_grey(images)) == grey

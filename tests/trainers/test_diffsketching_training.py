"""Whole trainings of DiffSketching, interrupted and not, and what is made of the models."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

import sketchforge
from cli.main import run as command_line
from sketchforge.checkpoints import diffsketching as files
from sketchforge.checkpoints.diffsketching import (
    load_unet,
    read_diffsketching,
    save_unet,
    write_diffsketching,
)
from sketchforge.checkpoints.run_log import read_log
from sketchforge.checkpoints.runs import TRAINED_BY, find_trained_run
from sketchforge.checkpoints.synthesizer import read_model
from sketchforge.checkpoints.tom import builtin_run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.tensors import to_tensor, to_uint8
from sketchforge.models.diffusion import SCHEDULE, NoiseSchedule, build_unet, patch_of, unet_settings
from sketchforge.options import DiffSketchingTrainOptions, ExportOptions, RenderOptions, SynthesizeOptions
from sketchforge.render.render import render
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.synthesis.export import export
from sketchforge.synthesis.job import run_job
from sketchforge.utils.progress import Progress
from tests.helpers.photos import scene
from tests.helpers.previews import few_previews
from tests.helpers.tiny_diffusion import TINY, tiny_model
from trainers.diffsketching import recipe as recipes
from trainers.diffsketching.recipe import diffsketching_recipe_of
from trainers.diffsketching.run import RUN_FORMAT, plan_diffsketching, train_diffsketching
from trainers.diffsketching.step import DiffSketchingTrainer
from trainers.diffsketching.view import drawn_size_of, open_view

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
        patch.setattr("trainers.image_models.validation.NUM_IMAGES", 4)
        patch.setitem(recipes.RECIPES, "demo", TINY)
        patch.setattr("trainers.diffsketching.run.open_view", cache(open_view))  # it draws for a second
        patch.setattr("trainers.diffsketching.view.drawn_size_of", lambda size: size)
        yield


@pytest.fixture(scope="module")
def finished(ten_sketches, tmp_path_factory):
    """Options of a finished run that no test changes: two steps of each stage."""
    options = DiffSketchingTrainOptions(
        shards=str(ten_sketches),
        run=tmp_path_factory.mktemp("diffsketching") / "run",
        threads=1,
        workers=0,
        device="cpu",
    )
    assert train_diffsketching(options) == options.run / "grid.png"
    return options


@pytest.fixture
def options(finished, tmp_path):
    """The same, for a run of the test's own."""
    return replace(finished, run=tmp_path / "run")


@pytest.fixture(scope="module")
def with_classes(finished, tmp_path_factory):
    """A run, two steps, of three photos in two classes."""
    folder = tmp_path_factory.mktemp("classes")
    for number, name in enumerate(("cats", "cats", "dogs")):
        (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(number, 64, 64)).save(folder / "photos" / name / f"{number}.png")
    render(
        RenderOptions(
            folder / "out",
            str(folder / "photos"),
            checkpoints=2,
            size=64,
            hands="none",
            labels="folder",
            workers=1,
            threads=1,
        )
    )
    options = replace(
        finished,
        shards=str(folder / "out"),
        run=folder / "run",
        steps=2,
        batch_size=2,
        condition="concatenation",
    )
    train_diffsketching(options)
    return options


def results_of(run):
    return {name: (run / name).read_bytes() for name in ("model.safetensors", "grid.png")}


def test_training_leaves_a_model_that_opens(finished):
    model, metadata = read_diffsketching(finished.run / "model.safetensors")
    assert (model.size, model.condition, model.classes, metadata["steps"]) == (64, "guidance", (), 4)
    assert model.sampling == TINY.sampling
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_log_has_both_stages(finished):
    losses = [each for each in read_log(finished.run / "log.jsonl") if "denoising" in each]
    assert [set(each) - {"step"} for each in losses] == [{"denoising"}] * 2 + [
        {"denoising", "sketch", "identity"}
    ] * 2


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_an_interrupted_run_ends_with_the_same_bytes(finished, options, step):
    """In either stage: two steps each."""
    with pytest.raises(KeyboardInterrupt):
        train_diffsketching(options, StopAt(step))
    assert json.loads((options.run / "run.json").read_text())["steps_done"] == step
    train_diffsketching(options)
    assert results_of(options.run) == results_of(finished.run)


def test_a_run_with_a_classifier_and_the_sketch_as_an_input_ends_with_the_same_bytes(with_classes, tmp_path):
    options = replace(with_classes, run=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_diffsketching(options, StopAt(1))
    train_diffsketching(options)
    assert results_of(options.run) == results_of(with_classes.run)


def test_a_run_through_the_last_steps_of_sampling_ends_with_the_same_bytes(with_classes, tmp_path):
    """Of both stages, with a class that guides, interrupted within the second."""
    whole, halves = (
        replace(
            with_classes, run=tmp_path / name, condition="guidance", through=1, denoising_steps=1, steps=3
        )
        for name in ("whole", "halves")
    )
    train_diffsketching(whole)
    with pytest.raises(KeyboardInterrupt):
        train_diffsketching(halves, StopAt(2))
    train_diffsketching(halves)
    assert results_of(halves.run) == results_of(whole.run)


def test_a_run_that_was_begun_with_another_scale_of_classes_keeps_it(with_classes, tmp_path, monkeypatch):
    """As those of 0.2.0 were; anew it has today's."""
    options = replace(with_classes, run=tmp_path / "run", steps=1)
    with monkeypatch.context() as patch:
        patch.setitem(recipes.RECIPES, "demo", replace(TINY, class_scale=2.0))
        train_diffsketching(options)
    recipe = plan_diffsketching(replace(options, steps=2)).images.recipe
    assert recipe.class_scale == 2.0
    assert plan_diffsketching(replace(options, overwrite=True)).images.recipe.class_scale == 30.0


def test_more_steps_are_of_the_second_stage(finished):
    assert plan_diffsketching(replace(finished, steps=6)).images.recipe.denoising_steps == 2


@pytest.mark.slow
def test_more_steps_make_the_second_stage_longer(options):
    train_diffsketching(replace(options, steps=2))
    train_diffsketching(replace(options, steps=3))
    record = json.loads((options.run / "run.json").read_text())
    assert (record["steps_done"], record["recipe"]["denoising_steps"]) == (3, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"denoising_steps": 3},
            "the recipe's denoising_steps 2, now asked for the recipe's denoising_steps 3",
        ),
        ({"through": 1}, "the recipe's through 0, now asked for the recipe's through 1"),
        ({"identity": 0.1}, "the recipe's identity 0.5, now asked for the recipe's identity 0.1"),
    ],
)
def test_a_run_goes_on_with_its_own_settings_only(finished, changes, message):
    with pytest.raises(UsageError, match=f"was begun with {re.escape(message)}"):
        train_diffsketching(replace(finished, **changes))


def test_a_run_goes_on_with_the_same_snapshot_only(finished, monkeypatch):
    from trainers.diffsketching import run

    open_view = run.open_view

    def other(tom, size):
        view, digests = open_view(tom, size)
        return view, digests | {"encoder": "0" * 64}

    monkeypatch.setattr(run, "open_view", other)
    with pytest.raises(UsageError, match="now asked for --tom of weights 00000000"):
        train_diffsketching(finished)


def test_the_run_is_known_by_its_format(finished):
    assert TRAINED_BY[RUN_FORMAT] == find_trained_run(finished.run).command == "diffsketching-train"


def test_shards_with_classes_train_a_classifier(with_classes):
    losses = [each for each in read_log(with_classes.run / "log.jsonl") if "denoising" in each]
    assert all(set(each) == {"step", "denoising", "class"} for each in losses)
    model, _ = read_diffsketching(with_classes.run / "model.safetensors")
    assert model.classes == ("cats", "dogs")
    assert model.classifier.num_classes == 2


def test_a_classifier_that_nothing_teaches_is_left_out(with_classes, tmp_path):
    """Fine-tuning alone trains none: it would guide by chance."""
    options = replace(with_classes, run=tmp_path / "run", condition=None, denoising_steps=0)
    assert plan_diffsketching(options).classes == ()
    assert plan_diffsketching(options).images.record["classes"] == []
    assert plan_diffsketching(replace(options, denoising_steps=1)).classes == ("cats", "dogs")


def test_channels_are_weighed_when_the_view_is_opened():
    """By drawings: a channel that says nothing counts less than one that tells them apart."""
    view, _ = open_view(None, 64)
    for tap in ("relu1_2", "relu2_2", "relu3_2"):
        assert len(set(view.weight_of(tap).tolist())) > 4


def test_tom_draws_at_what_it_draws_shards_at_but_no_more_than_twice():
    assert [drawn_size_of(size) for size in (64, 128, 256, 512)] == [128, 176, 176, 240]


# Using it.


def test_p_draws_what_the_snapshot_draws_for_shards():
    """Black on white, of the same pixels; by tensors with gradients, so not to the last grey."""
    view, _ = open_view(None, 64)
    drawn = TomSketcher.from_run(builtin_run(), 1, torch.device("cpu")).draw(STYLE[None, :64, :64]).result()
    with torch.no_grad():
        found = to_uint8(view.draw(to_tensor(STYLE[None, :64, :64])))[0, ..., 0]
    assert np.abs(found.astype(float) - drawn[0, 0]).mean() < 2
    assert found.min() < 64 < 192 < np.median(found)


def test_the_model_synthesizes_as_the_others_do(finished):
    model = sketchforge.load(finished.run, "cpu")
    image = model.synthesize(SKETCH, STYLE)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert (model.size, model.refines, model.takes_noise, model.needs_noise) == (64, False, True, True)
    assert repr(model) == "<Synthesizer: 64 pixels, diffsketching, on cpu>"
    assert model.style_vectors(torch.zeros(2, 3, 64, 64)).shape == (2, 128)


def test_an_image_is_of_its_seed_and_key_whatever_else_is_in_the_list(finished):
    model = sketchforge.load(finished.run, "cpu")
    alone = model.synthesize([SKETCH], STYLE, ["k"], 3)[0]
    assert np.array_equal(model.synthesize([SKETCH[::-1].copy(), SKETCH], STYLE, ["x", "k"], 3)[1], alone)
    assert not np.array_equal(model.synthesize([SKETCH], STYLE, ["other"], 3)[0], alone)
    assert not np.array_equal(model.synthesize([SKETCH], STYLE, ["k"], 4)[0], alone)


def test_an_exported_file_makes_the_same_image(with_classes, tmp_path):
    out, card = export(ExportOptions(run=with_classes.run, out=tmp_path / "m.safetensors"))
    run, exported = (sketchforge.load(path, "cpu") for path in (with_classes.run, out))
    assert np.array_equal(exported.synthesize(SKETCH, STYLE), run.synthesize(SKETCH, STYLE))
    assert exported.digest == run.digest
    assert exported.classes == ("cats", "dogs")
    assert read_model(out).system == "diffsketching"
    text = card.read_text(encoding="utf-8")
    assert "(DiffSketching)" in text
    assert "`sketchforge diffsketching-train`" in text
    assert "the classifier of noised images" in text
    assert "auto-encoder" not in text


@pytest.mark.parametrize(
    ("command", "made"),
    [
        (["synthesize", "--sketch", "sketch.png", "--style", "style.png"], 1),
        (["synthesize", "--sketch", "sketch.png", "--style", "style.png", "--images-per-sketch", "3"], 3),
        (["mix", "--sketch", "sketch.png", "--style", "style.png", "other.png"], 2),  # and the mixed style
        (["transfer", "--content", "other.png", "--style", "style.png"], 2),  # and the sketch
    ],
)
def test_commands_take_the_model(finished, tmp_path, monkeypatch, command, made):
    write_inputs(tmp_path, monkeypatch)
    words = [*command, "--sampling-steps", "1", "--model", str(finished.run), "--out", "made"]
    assert command_line([*words, "--device", "cpu"]) == 0
    assert len(list((tmp_path / "made").glob("*.png"))) == made + 1  # and the grid


def write_inputs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    inputs = {
        "sketch": SKETCH,
        "second": draw("owl", "marker", 96),
        "style": STYLE,
        "other": scene(2, 70, 50),
    }
    for name, image in inputs.items():
        Image.fromarray(image).save(f"{name}.png")


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def synthesize(run, out, **changes):
    options = {"sketch": ("sketch.png",), "style": ("style.png",), "device": "cpu", "sampling_steps": 2}
    return run_job(SynthesizeOptions(model=run, out=out, **options | changes))


def test_several_images_of_a_sketch_differ_and_the_first_is_the_one_that_would_be_alone(
    finished, tmp_path, monkeypatch
):
    write_inputs(tmp_path, monkeypatch)
    synthesize(finished.run, tmp_path / "one")
    synthesize(finished.run, tmp_path / "two", images_per_sketch=2)
    first, second = (pixels_of(f"two/sketch--style{end}.png") for end in ("", ".2"))
    assert np.array_equal(first, pixels_of("one/sketch--style.png"))
    assert not np.array_equal(first, second)


def test_between_two_sketches_images_go_from_one_to_the_other(with_classes, tmp_path, monkeypatch):
    write_inputs(tmp_path, monkeypatch)
    made = synthesize(with_classes.run, tmp_path / "made", sketch=("sketch.png", "second.png"), interpolate=1)
    assert made.num_made == 3
    first, between, last = (
        pixels_of(f"made/{name}--style.png") for name in ("sketch", "sketch+second-1", "second")
    )
    distances = [np.abs(a - b).mean() for a, b in ((first, between), (between, last), (first, last))]
    assert 0 < max(distances[:2]) < distances[2]


def test_a_class_is_guided_to_by_its_name(with_classes, tmp_path, monkeypatch):
    write_inputs(tmp_path, monkeypatch)
    images = []
    for name in (None, "cats", "dogs"):
        out = tmp_path / str(name)
        synthesize(with_classes.run, out, class_name=name)
        images.append(pixels_of(out / "sketch--style.png"))
        options = json.loads((out / "outputs.json").read_text())["options"]
        assert options.get("class") == name
    assert not np.array_equal(images[1], images[2])
    assert not np.array_equal(images[0], images[2])


def test_the_scale_of_a_class_says_how_far_it_moves(with_classes, tmp_path, monkeypatch):
    """At 0 to what there is without a class."""
    write_inputs(tmp_path, monkeypatch)
    synthesize(with_classes.run, tmp_path / "without")
    without, moves = pixels_of("without/sketch--style.png"), []
    for scale in (0.0, 10.0, 100.0):
        out = tmp_path / str(scale)
        synthesize(with_classes.run, out, class_name="dogs", class_scale=scale)
        moves.append(np.abs(pixels_of(out / "sketch--style.png") - without).mean())
    assert moves[0] == 0 < moves[1] < moves[2]


def test_the_seed_counts_without_noise_being_asked_for(finished, tmp_path, monkeypatch):
    write_inputs(tmp_path, monkeypatch)
    for seed in (0, 1):
        synthesize(finished.run, tmp_path / str(seed), seed=seed)
    assert not np.array_equal(pixels_of("0/sketch--style.png"), pixels_of("1/sketch--style.png"))


def test_an_image_is_edited_by_little_strength(finished, tmp_path, monkeypatch):
    """The less the style image is noised, the nearer to it the output stays."""
    write_inputs(tmp_path, monkeypatch)
    truth = np.asarray(Image.fromarray(STYLE).resize((64, 64), Image.Resampling.BOX)).astype(float)
    errors = []
    for strength in (0.1, 1.0):
        out = tmp_path / str(strength)
        synthesize(finished.run, out, strength=strength, sampling_steps=8)
        errors.append(np.square(pixels_of(out / "sketch--style.png") - truth).mean())
    assert errors[0] < 0.2 * errors[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_name": "cats"}, "--class cats: this model knows no classes"),
        ({"sampling_steps": 0}, "--sampling-steps 0: expected 1 to 1000"),
        ({"strength": 1.5}, "--strength 1.5: expected a share above 0"),
        ({"sketch_scale": -1.0}, "--sketch-scale -1.0: expected 0 or more"),
        ({"class_scale": float("inf")}, "--class-scale inf: expected 0 or more"),
        ({"class_scale": 3.0}, "--class-scale: is of --class; name a class, too"),
        ({"images_per_sketch": 0}, "--images-per-sketch 0: expected 1 or more"),
        ({"interpolate": 2}, "--interpolate: found 1 sketch; expected two"),
        ({"interpolate": 2, "pairs": True}, "--interpolate, --pairs"),
    ],
)
def test_what_cannot_be_sampled_is_one_line(finished, tmp_path, monkeypatch, changes, message):
    write_inputs(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=re.escape(message)):
        synthesize(finished.run, tmp_path / "made", **changes)
    assert not (tmp_path / "made").exists()


def test_a_class_that_the_model_does_not_know_is_named_with_those_it_does(
    with_classes, tmp_path, monkeypatch
):
    write_inputs(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="--class cow: not one of the model's 2 classes: cats, dogs"):
        synthesize(with_classes.run, tmp_path / "made", class_name="cow")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 0.5}, "--strength: is of models of diffsketching-train alone"),
        ({"images_per_sketch": 2}, "without noise this model makes one image"),
    ],
)
def test_other_models_do_not_sample(tmp_path, monkeypatch, changes, message):
    write_inputs(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=message):
        synthesize("builtin", tmp_path / "made", **({"sampling_steps": None} | changes))


# A pretrained U-net.


@pytest.fixture
def pretrained(tmp_path):
    """A folder as diffusers leaves it, of a U-net that predicts noise."""
    torch.manual_seed(5)
    unet = build_unet(unet_settings(64, 3, (4, 8), 1, (), 4))
    unet.save_pretrained(tmp_path / "pipe" / "unet")
    (tmp_path / "pipe" / "scheduler").mkdir()
    (tmp_path / "pipe" / "scheduler" / "scheduler_config.json").write_text('{"num_train_timesteps": 1000}')
    return tmp_path / "pipe", unet


def test_a_pretrained_unet_is_begun_with_and_its_schedule_kept(pretrained, options):
    folder, unet = pretrained
    plan = plan_diffsketching(replace(options, unet=folder))
    trainer = DiffSketchingTrainer(
        plan.images.recipe, plan.images.encoder, plan.view, 0, torch.device("cpu"), pretrained=plan.pretrained
    )
    begun = trainer.networks.unet.state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in unet.state_dict().items())
    assert trainer.schedule.settings["prediction_type"] == "epsilon"
    assert trainer.schedule.settings["rescale_betas_zero_snr"] is False
    assert len(plan.images.record["unet"]) == 64


def test_a_pretrained_unet_is_noised_as_much_as_the_recipe_asks_and_learns_gently(
    pretrained, options, monkeypatch
):
    """Its linear schedule leaves at half of the steps nearly what the demo's cosine leaves at .8, and there is one of the ten
    steps of sampling; a strength that is named stays."""
    folder, _ = pretrained
    demo = replace(TINY, schedule="squaredcos_cap_v2", learning_rate=2e-3, sampling_steps=10)
    monkeypatch.setitem(recipes.RECIPES, "demo", demo)
    recipe = plan_diffsketching(replace(options, unet=folder)).images.recipe
    theirs = NoiseSchedule(SCHEDULE | {"rescale_betas_zero_snr": False})
    wanted = NoiseSchedule(SCHEDULE | {"beta_schedule": "squaredcos_cap_v2"}).image_share[799]
    times = theirs.list_times(10)
    begun = theirs.list_times(10, recipe.strength)[0]
    assert begun == 499
    assert all(
        abs(theirs.image_share[begun] - wanted) <= abs(theirs.image_share[time] - wanted) for time in times
    )
    assert (recipe.schedule, recipe.learning_rate) == ("linear", 1e-4)
    named = plan_diffsketching(replace(options, unet=folder, strength=0.7)).images.recipe
    assert named.strength == 0.7


def test_a_run_that_begins_with_our_own_unet_keeps_strength_and_schedule(tmp_path, options):
    model = tiny_model(unet=build_unet(unet_settings(64, 3, (4, 8), 1, (), 4)))
    save_unet(tmp_path / "unet", model)
    recipe = plan_diffsketching(replace(options, unet=tmp_path / "unet")).images.recipe
    assert (recipe.strength, recipe.schedule) == (TINY.strength, TINY.schedule)


def test_a_run_from_before_these_were_changed_goes_on_as_it_was(pretrained, options):
    """With a pretrained U-net 0.2.0 kept the recipe's strength and learning rate."""
    folder, _ = pretrained
    asked = replace(options, unet=folder)
    plan = plan_diffsketching(asked)
    record = dict(plan.images.record)
    record["recipe"] = record["recipe"] | {"strength": 0.8, "learning_rate": 2e-3, "schedule": "linear"}
    options.run.mkdir()
    (options.run / "run.json").write_text(json.dumps(record | {"steps_done": 0}))
    recipe = plan_diffsketching(asked).images.recipe
    assert (recipe.strength, recipe.learning_rate) == (0.8, 2e-3)
    with pytest.raises(UsageError, match="strength 0.8, now asked for the recipe's strength 0.7"):
        plan_diffsketching(replace(asked, strength=0.7))


def test_more_steps_of_sampling_than_times_are_one_line(pretrained, options):
    folder, _ = pretrained
    (folder / "scheduler" / "scheduler_config.json").write_text('{"num_train_timesteps": 50}')
    with pytest.raises(UsageError, match="60 steps of sampling are more than the 50 time steps of --unet"):
        plan_diffsketching(replace(options, unet=folder, sampling_steps=60))


def test_weights_with_the_names_of_earlier_versions_are_read(tmp_path):
    """Attention once had query, key, value and proj_attn."""
    torch.manual_seed(0)
    unet = build_unet(unet_settings(16, 3, (4, 8), 1, (8,), 4))
    unet.save_pretrained(tmp_path)
    earlier = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    state = {}
    for name, value in unet.state_dict().items():
        for new, old in earlier.items():
            name = name.replace(new, old)
        state[name] = value
    assert state.keys() != unet.state_dict().keys()
    save_file(state, tmp_path / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    found, _ = load_unet(tmp_path, 16)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in unet.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv_out.bias"), "missing keys: conv_out.bias"),
        (lambda state: state.update(more=torch.zeros(1)), "unexpected keys: more"),
        (lambda state: state["conv_out.bias"].fill_(torch.nan), "has weights that are not finite"),
    ],
)
def test_weights_that_are_not_those_of_the_unet_are_one_line(pretrained, change, message, capsys):
    folder, unet = pretrained
    state = dict(unet.state_dict())
    change(state)
    save_file(state, folder / "unet" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    with pytest.raises(SketchforgeError, match=message):
        load_unet(folder, 64)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"_class_name": "ScoreSdeVeScheduler"},
            "is of a ScoreSdeVeScheduler, expected one of DDIMScheduler",
        ),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "is of a FlowMatchEulerDiscreteScheduler"),
        ({"trained_betas": [0.1, 0.2]}, "has trained_betas of its own"),
    ],
)
def test_a_schedule_of_another_kind_is_one_line(pretrained, config, message):
    folder, _ = pretrained
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=message):
        load_unet(folder, 64)


def test_a_models_unet_is_kept_as_diffusers_does_and_begun_with(tmp_path):
    """With its patches, and its schedule."""
    schedule = NoiseSchedule(SCHEDULE | {"beta_schedule": "squaredcos_cap_v2"})
    unet = build_unet(unet_settings(16, 3, (4, 8), 1, (), 4, 2))
    model = tiny_model(unet=unet)
    model.schedule = schedule
    save_unet(tmp_path / "unet", model)
    found, settings = load_unet(tmp_path / "unet", 16)
    assert settings == schedule.settings
    assert patch_of(found) == 2
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in unet.state_dict().items())
    with pytest.raises(UsageError, match="its sample_size is 8, expected 16"):
        load_unet(tmp_path / "unet", 32)


def change_config(folder, **values):
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample_size": 32}, "its sample_size is 32, expected 64"),
        (
            {"_class_name": "UNet2DConditionModel"},
            "its _class_name is UNet2DConditionModel, expected UNet2DModel",
        ),
        ({"out_channels": 6}, "its out_channels is 6, expected 3"),
        ({"out_channels": 3 * 10**20}, "its out_channels is 300000000000000000000, expected 3"),
        ({"out_channels": "x"}, "its out_channels is x, expected 3"),
        ({"num_class_embeds": 10}, "its num_class_embeds is 10, expected None"),
        ({"block_out_channels": [8, 8]}, "cannot be read as the U-net of its config.json"),
        ({"norm_num_groups": 0}, "cannot be read as the U-net of its config.json"),
    ],
)
def test_a_unet_of_another_kind_is_one_line(pretrained, values, message):
    folder, _ = pretrained
    change_config(folder, **values)
    with pytest.raises(SketchforgeError, match=re.escape(message)) as caught:
        load_unet(folder, 64)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_without_weights_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"holds no config.json; expected what diffusers'"):
        load_unet(tmp_path, 64)


def test_a_schedule_of_which_no_image_can_be_read_is_one_line(pretrained):
    folder, _ = pretrained
    (folder / "scheduler" / "scheduler_config.json").write_text('{"rescale_betas_zero_snr": true}')
    with pytest.raises(UsageError, match="predicts noise and leaves nothing of the image"):
        load_unet(folder, 64)


@pytest.mark.parametrize("times", [0, -5, 10**12, "many", None])
def test_a_schedule_of_no_or_too_many_times_is_one_line(pretrained, times):
    folder, _ = pretrained
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"num_train_timesteps": times}))
    with pytest.raises(UsageError, match=f"its num_train_timesteps is {times}, expected a number from 2"):
        load_unet(folder, 64)


# Bad input.


@pytest.mark.parametrize("missing", ["unet", "sampling", "view"])
def test_a_file_that_lacks_a_setting_is_named(finished, tmp_path, monkeypatch, missing):
    model, metadata = read_diffsketching(finished.run / "model.safetensors")
    whole = files.describe_diffsketching(model)
    del whole[missing]
    monkeypatch.setattr(files, "describe_diffsketching", lambda _: whole)
    write_diffsketching(tmp_path / "m.safetensors", model, metadata)
    with pytest.raises(SketchforgeError, match=f"not a usable DiffSketching .*{missing}"):
        sketchforge.load(tmp_path / "m.safetensors", "cpu")


def test_without_diffusers_the_command_says_what_to_install(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sketchforge.models.diffusion.find_spec", lambda name: None)
    assert command_line(["diffsketching-train", "--shards", options.shards, "--device", "cpu"]) == 2
    expected = "error: diffusers is not installed: pip install 'sketchforge[diffusion]'\n"
    assert capsys.readouterr().err == expected


def test_the_command_trains_and_tells_what_and_where(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["diffsketching-train", "--shards", options.shards, "--steps", "2", "--batch-size", "2"]
    words += ["--denoising-steps", "1", "--through", "1", "--identity", "0.3", "--strength", "0.9"]
    assert command_line([*words, "--threads", "1", "--workers", "0", "--device", "cpu"]) == 0
    output = capsys.readouterr().out
    assert "1 step of denoising, 1 of fine-tuning through the last 1 step, λ 0.3" in output
    assert "no classifier: the shards have no classes" in output
    assert "sketchforge synthesize --model runs/diffsketching" in output
    record = json.loads((tmp_path / "runs/diffsketching/run.json").read_text())
    asked = {"through": 1, "identity": 0.3, "strength": 0.9, "denoising_steps": 1, "condition": "guidance"}
    assert {name: record["recipe"][name] for name in asked} == asked


def test_a_dry_run_writes_nothing(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["diffsketching-train", "--shards", options.shards, "--condition", "concatenation", "--dry-run"]
    assert command_line([*words, "--device", "cpu"]) == 0
    assert "the sketch is an input of the U-net; no fine-tuning" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "96"], "--size 96: expected 64"),
        (["--size", "1024"], "--size 1024: expected 64, 128, 256 or 512"),
        (["--condition", "both"], "--condition"),
        (["--through", "none"], "expected one-step, or a number of steps"),
        (
            ["--through", "9", "--sampling-steps", "4"],
            "--through 9: expected one-step, or 1 to --sampling-steps 4",
        ),
        (
            ["--condition", "concatenation", "--through", "1"],
            "concatenation is not fine-tuned; leave them out",
        ),
        (["--identity", "2"], "--identity"),
        (["--strength", "0"], "--strength"),
        (["--unet", "nowhere"], "--unet nowhere: holds no config.json"),
        (["--tom", "nowhere"], "nowhere"),
        (["--shards", "nowhere"], "nowhere"),
    ],
)
def test_bad_usage_is_one_line(arguments, message, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    shards = [] if "--shards" in arguments else ["--shards", options.shards]
    assert command_line(["diffsketching-train", *shards, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "large"}, "--recipe large: no such recipe; there are demo, paper"),
        ({"condition": "both"}, "--condition both: expected guidance, concatenation"),
        ({"identity": 2.0}, "--identity 2.0: expected λ from 0 to 1"),
        ({"strength": 0.0}, "--strength 0.0: expected a share above 0"),
        ({"sampling_steps": 0}, "--sampling-steps 0: expected 1 to 1000"),
    ],
)
def test_from_python_bad_usage_is_one_line_too(changes, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        diffsketching_recipe_of(DiffSketchingTrainOptions(**changes))

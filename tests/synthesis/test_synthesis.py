"""The Python interface: a loaded model makes what the trained one makes, of anything that is an image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sketchforge
from sketchforge.checkpoints.runs import TRAINED_BY, builtin_model, find_model
from sketchforge.checkpoints.synthesizer import write_synthesizer
from sketchforge.errors import SketchforgeError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.decode import ImageError
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import to_tensor, to_uint8
from sketchforge.synthesis.fitting import DRAWN_SIDE, ink_area, prepare_drawing, prepare_sketch
from tests.helpers.commands import run_python
from tests.helpers.photos import scene
from tests.helpers.synthesis_models import ABOUT, SIZE, ae_run, gan_run, new_autoencoder, new_refiner
from trainers.autoencoder.recipe import AeRecipe
from trainers.autoencoder.run import RUN_FORMAT as AE_RUN_FORMAT
from trainers.autoencoder.step import AutoEncoderTrainer
from trainers.diffsketching.run import RUN_FORMAT as DIFFSKETCHING_RUN_FORMAT
from trainers.gan.recipe import GanRecipe
from trainers.gan.run import RUN_FORMAT as GAN_RUN_FORMAT
from trainers.gan.step import GanTrainer
from trainers.segin.run import RUN_FORMAT as SEGIN_RUN_FORMAT
from trainers.style2paints.run import RUN_FORMAT as STYLE2PAINTS_RUN_FORMAT

CPU = torch.device("cpu")
STYLES = [scene(number, 70, 90) for number in range(4)]
DRAWINGS = [draw(subject, "marker", 96) for subject in ("cat", "owl", "keys", "car")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """gan/, ae/: finished runs."""
    folder = tmp_path_factory.mktemp("runs")
    gan_run(folder / "gan")
    ae_run(folder / "ae")
    return folder


@pytest.fixture(scope="module")
def model(runs):
    return sketchforge.load(runs / "gan", "cpu")


def batch(count=4, seed=0):
    """(sketches, images), random, float32 in [-1, 1]."""
    noise = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 1, SIZE, SIZE, generator=noise) * 2 - 1,
            torch.rand(count, 3, SIZE, SIZE, generator=noise) * 2 - 1)  # fmt: skip


def test_importing_the_package_loads_nothing_heavy():
    done = run_python(
        "import sys, sketchforge; sketchforge.load; print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert done.stdout == "False False\n", done.stderr


def test_equal_to_the_refining_trainer_bit_for_bit(model):
    trained = GanTrainer(GanRecipe(SIZE, 5, 4, 0.02), new_autoencoder(), None, seed=0, device=CPU)
    trained.networks.ema.load_state_dict(new_refiner().state_dict())
    for count in (1, 4):
        sketches, images = batch(count)
        made = model.synthesize_tensors(sketches, images)
        assert torch.equal(made, trained.synthesize(sketches, images))
        assert made.std() > 0.02  # something is there to be compared


def test_equal_to_the_auto_encoding_trainer_bit_for_bit(runs):
    made = new_autoencoder()
    recipe = AeRecipe(
        size=SIZE, steps=5, batch_size=4, width=0.0625, style_dim=made.style_dim, padding=made.padding
    )
    trained = AutoEncoderTrainer(recipe, None, 4, seed=0, device=CPU)
    trained.networks.ema.load_state_dict(new_autoencoder().state_dict())
    loaded = sketchforge.load(runs / "ae" / "model.safetensors", "cpu")
    assert not loaded.refines
    assert not loaded.takes_noise
    sketches, images = batch()
    assert torch.equal(loaded.synthesize_tensors(sketches, images), trained.synthesize(sketches, images))


def test_a_image_depends_on_nothing_else_in_the_list(model):
    """Exactly so on a CPU; where batches are asked for, to the rounding of sums."""
    whole = model.synthesize(DRAWINGS, STYLES, noise=1, keys="abcd")
    back = model.synthesize(DRAWINGS[::-1], STYLES[::-1], noise=1, keys="dcba")[::-1]
    for place in range(4):
        alone = model.synthesize([DRAWINGS[place]], [STYLES[place]], noise=1, keys=["abcd"[place]])
        assert np.array_equal(whole[place], alone[0])
        assert np.array_equal(whole[place], back[place])
    together = model.synthesize(DRAWINGS, STYLES, noise=1, keys="abcd", batch_size=4)
    assert all(np.abs(one.astype(int) - other).max() <= 1 for one, other in zip(whole, together, strict=True))
    sketches, images = batch()
    one_by_one = torch.cat(
        [model.synthesize_tensors(sketches[n : n + 1], images[n : n + 1]) for n in range(4)]
    )
    torch.testing.assert_close(model.synthesize_tensors(sketches, images), one_by_one, rtol=0, atol=1e-5)


def test_on_a_cpu_images_are_made_one_by_one(model, monkeypatch):
    """Rounding to 255 levels hides what batches do to sums, as a rule: so count."""
    sizes, whole = [], model.synthesize_tensors
    monkeypatch.setattr(
        model, "synthesize_tensors", lambda *given: sizes.append(len(given[0])) or whole(*given)
    )
    model.synthesize(DRAWINGS, STYLES)
    model.synthesize(DRAWINGS, STYLES, batch_size=3)
    assert sizes == [1, 1, 1, 1, 3, 1]


def test_noise_is_off_unless_a_seed_is_given_and_then_a_function_of_seed_and_key(model):
    one, style = DRAWINGS[0], STYLES[0]
    plain = model.synthesize(one, style)
    assert np.array_equal(plain, model.synthesize(one, style))
    noisy = model.synthesize(one, style, ["a"], 0)
    assert not np.array_equal(plain, noisy)
    assert np.array_equal(noisy, model.synthesize([one, one], style, ["b", "a"], noise=0)[1])
    assert not np.array_equal(noisy, model.synthesize(one, style, ["b"], noise=0))
    assert not np.array_equal(noisy, model.synthesize(one, style, ["a"], noise=1))


def test_whatever_is_a_image_makes_the_same(model, tmp_path):
    """Arrays of three channels or one, PIL images, paths as text or not."""
    Image.fromarray(DRAWINGS[0]).save(tmp_path / "d.png")
    Image.fromarray(STYLES[0]).save(tmp_path / "s.png")
    first = model.synthesize(DRAWINGS[0], STYLES[0])
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    colour = np.repeat(DRAWINGS[0][..., None], 3, axis=2)
    see_through = Image.fromarray(STYLES[0]).convert("RGBA")
    for sketch, style in (
        (colour, Image.fromarray(STYLES[0])),
        (Image.fromarray(DRAWINGS[0]), see_through),
        (Image.fromarray(DRAWINGS[0]).convert("RGB"), tmp_path / "s.png"),
        (str(tmp_path / "d.png"), STYLES[0]),
    ):
        assert np.array_equal(first, model.synthesize(sketch, style))


def test_one_gives_one_and_a_list_gives_a_list(model):
    two = model.synthesize(DRAWINGS[:2], STYLES[0])
    assert isinstance(two, list)
    assert len(two) == 2
    assert np.array_equal(two[1], model.synthesize(DRAWINGS[1], STYLES[0]))
    assert len(model.synthesize(DRAWINGS[0], STYLES[:3])) == 3
    assert len(model.synthesize([DRAWINGS[0]], [STYLES[0]])) == 1
    assert model.synthesize([], []) == []


def test_made_by_hand(model):
    """The public way is: fit, to [-1, 1], through the model, to uint8."""
    sketch = to_tensor(prepare_drawing(np.repeat(DRAWINGS[0][..., None], 3, axis=2), SIZE).square[..., None])
    expected = to_uint8(model.synthesize_tensors(sketch, to_tensor(fit_square(STYLES[0], SIZE, "crop"))))[0]
    assert np.array_equal(model.synthesize(DRAWINGS[0], STYLES[0]), expected)


@pytest.mark.parametrize("shape", [(90, 30), (30, 90), (61, 64), (7, 300), (200, 201), (1, 1), (1, 500)])
def test_results_have_the_aspect_of_the_sketch(model, shape):
    """What is cut away is the padding that `fit_square` put there, all of it and no more."""
    for size in (SIZE, 128, 256):
        padded = fit_square(np.zeros(shape, np.uint8), size, "pad")
        area = np.zeros((size, size), bool)
        area[ink_area(*shape, size)] = True
        assert np.array_equal(area, padded == 0)
    made = model.synthesize(np.full(shape, 255, np.uint8), STYLES[0], raw=True)
    assert max(made.shape) == SIZE
    assert made.shape[:2] == tuple(max(1, round(side * SIZE / max(shape))) for side in shape)


def test_small_models_see_sketches_as_training_shows_them():
    """A sketch of the size that shards have is averaged down, as `pairs` does, and not made black again."""
    sketch = np.where(draw("owl", "quill", DRAWN_SIDE) < 128, np.uint8(0), np.uint8(255))
    assert np.array_equal(prepare_sketch(sketch, SIZE).square, fit_square(sketch, SIZE, "crop"))
    assert np.array_equal(prepare_sketch(sketch, DRAWN_SIDE).square, sketch)


def test_polarity_is_seen_to_unless_raw(model):
    dark = 255 - DRAWINGS[0]
    assert np.array_equal(model.synthesize(dark, STYLES[0]), model.synthesize(DRAWINGS[0], STYLES[0]))
    assert not np.array_equal(model.synthesize(dark, STYLES[0], raw=True), model.synthesize(dark, STYLES[0]))
    assert prepare_drawing(np.dstack([dark] * 3), SIZE).notes == ("light lines on a dark ground: inverted",)
    assert prepare_drawing(np.dstack([dark] * 3), SIZE, raw=True).notes != ()
    grey = np.dstack([draw("cat", "pencil", 96)] * 3)
    assert np.array_equal(prepare_drawing(grey, SIZE, raw=True).drawing, grey[..., 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DRAWINGS[:2], STYLES[:3]), "2 sketches and 3 styles"),
        (
            (DRAWINGS[0].astype(float), STYLES[0]),
            r"expected uint8 H×W×3 or H×W, found float64 of shape \(96, 96\)",
        ),
        ((DRAWINGS[0], STYLES[0][:0]), "found uint8 of shape"),
        (
            (DRAWINGS[0], torch.zeros(3, 8, 8)),
            "found a Tensor, expected a path, a PIL image or a uint8 array",
        ),
        ((DRAWINGS[0], STYLES[0], ["a", "b"]), "1 sketches, 1 styles, 2 keys"),
    ],
)
def test_other_input_is_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.synthesize(*arguments)


def test_what_a_model_cannot_do_it_says(runs, model):
    plain = sketchforge.load(runs / "ae", "cpu")
    with pytest.raises(ValueError, match="trained without"):
        plain.synthesize(DRAWINGS[0], STYLES[0], noise=0)
    with pytest.raises(SketchforgeError, match="cannot draw sketches; export it with a snapshot"):
        model.sketch(STYLES[0])
    with pytest.raises(ImageError, match="nowhere.png"):
        model.synthesize("nowhere.png", STYLES[0])


def test_a_model_is_found_by_file_run_or_habit(runs, tmp_path, monkeypatch):
    file = runs / "gan" / "model.safetensors"
    assert find_model(file) == find_model(runs / "gan") == file
    monkeypatch.chdir(tmp_path)
    assert find_model(None) == find_model(Path("builtin")) == builtin_model()
    ae_run(tmp_path / "runs" / "ae")
    gan = gan_run(tmp_path / "runs" / "gan", finished=False)
    assert find_model(None).parent.name == "ae"
    with pytest.raises(
        SketchforgeError, match="stands at step 3 of its training; run its `sketchforge gan-train`"
    ):
        find_model(gan)


def test_formats_of_runs_are_those_of_the_trainers():
    formats = {
        AE_RUN_FORMAT,
        GAN_RUN_FORMAT,
        STYLE2PAINTS_RUN_FORMAT,
        SEGIN_RUN_FORMAT,
        DIFFSKETCHING_RUN_FORMAT,
    }
    assert set(TRAINED_BY) == formats


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("nowhere", None, "no such file or folder"),
        ("text", b"hello", "cannot be read as a sketchforge-synthesizer file"),
        (
            "other",
            {"format": "sketchforge-tom-snapshot"},
            "found format 'sketchforge-tom-snapshot', expected a model",
        ),
        ("newer", {"version": "9"}, "version 9, but this sketchforge reads version 4"),
        ("cut", 5000, "cannot be read as"),
        ("emptied", {"metadata": "{}"}, "not a usable model"),
    ],
)
def test_bad_files_are_named_in_one_line(runs, tmp_path, name, data, message):
    from safetensors.torch import load_file, save_file

    path, good = tmp_path / name, runs / "gan" / "model.safetensors"
    if isinstance(data, dict):
        usual = {"format": "sketchforge-synthesizer", "version": "3", "metadata": "{}"}
        save_file(load_file(good), path, usual | data)
    elif data is not None:
        path.write_bytes(good.read_bytes()[:data] if isinstance(data, int) else data)
    with pytest.raises(SketchforgeError, match=message) as caught:
        sketchforge.load(path, "cpu")
    assert len(str(caught.value).splitlines()) == 1
    assert name in str(caught.value)


def test_about_tells_what_the_file_told(model):
    assert {name: model.metadata[name] for name in ABOUT} == ABOUT
    assert model.size == SIZE


def test_settings_survive(tmp_path):
    """A refiner without noise is one after loading, too."""
    write_synthesizer(tmp_path / "m.safetensors", new_autoencoder(), new_refiner(noise=False), {})
    loaded = sketchforge.load(tmp_path / "m.safetensors", "cpu")
    assert loaded.refines
    assert not loaded.takes_noise

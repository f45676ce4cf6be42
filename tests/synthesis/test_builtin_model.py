"""The model that comes with sketchforge: works at once, small, told what it is, and does what it is for."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

import sketchforge
from cli.main import run as command_line
from sketchforge.checkpoints.catalog import KNOWN, builtin_folder
from sketchforge.checkpoints.runs import builtin_model
from sketchforge.checkpoints.tensor_files import load_tensors
from sketchforge.images.builtin.drawings import draw
from tests.helpers.photos import scene

SIZE = 128


@pytest.fixture(scope="module")
def model():
    return sketchforge.load("builtin", "cpu")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder with a drawing and a painting: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    Image.fromarray(draw("cat", "marker", 96)[:60]).save("drawing.png")
    Image.fromarray(scene(1, 60, 80)).save("painting.png")

    def call(*words):
        code = command_line([*words, "--threads", "1", "--device", "cpu"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


SYNTHESIZE = ["synthesize", "--sketch", "drawing.png", "--style", "painting.png", "--out"]


def test_without_training_one_image_is_made_and_the_model_told(call, model, tmp_path):
    code, out, err = call(*SYNTHESIZE, "made.png")
    assert code == 0, err
    told = out.splitlines()[0]
    assert told.startswith("no --model given and no finished one in runs/: using builtin: 128 pixels, ")
    made = np.asarray(Image.open(tmp_path / "made.png"))
    assert made.shape == (SIZE * 60 // 96, SIZE, 3)
    assert np.array_equal(made, model.synthesize("drawing.png", "painting.png"))


def test_the_same_command_gives_the_same_bytes_wherever_the_package_lies(call, tmp_path):
    for folder in ("one", "other"):
        code, _, err = call(*SYNTHESIZE, folder, "--model", "builtin")
        assert code == 0, err
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()
    record = json.loads((tmp_path / "one" / "outputs.json").read_text())
    assert record["model"]["file"] == "builtin"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("synthesize", ["--sketch", "drawing.png", "--style", "painting.png"]),
        ("transfer", ["--content", "painting.png", "--style", "painting.png"]),
    ],
)
def test_without_a_folder_named_images_go_to_made(call, tmp_path, command, words):
    code, printed, _ = call(command, *words)
    assert code == 0
    assert "made: 1 image" in printed
    assert (tmp_path / "made" / "outputs.json").is_file()


def test_named_it_is_told_in_one_line(call):
    _, out, _ = call(*SYNTHESIZE, "made.png", "--model", "builtin")
    assert out.splitlines()[0].startswith("using builtin: 128 pixels, ")


@pytest.mark.parametrize("command", ["synthesize", "mix", "transfer"])
def test_help_names_it(call, command):
    _, out, _ = call(command, "--help")
    assert "--model builtin|FILE|DIR" in out
    assert "runs/gan, else runs/ae, else builtin" in " ".join(out.split())


def test_it_is_small():
    assert builtin_model().stat().st_size <= 8_000_000


def test_its_weights_are_stored_in_half_precision():
    tensors, _ = load_tensors(builtin_model(), "sketchforge-synthesizer", 4)
    assert {str(x.dtype) for x in tensors.values() if x.is_floating_point()} == {"torch.float16"}


def test_its_card_is_of_this_file(model):
    card = (builtin_folder() / "synthesizer.md").read_text(encoding="utf-8")
    assert hashlib.sha256(builtin_model().read_bytes()).hexdigest() in card
    assert model.digest in card


@pytest.mark.parametrize("source", ["Tux Paint", "GPL-2", "MATE", "CC BY-SA", "NOTICE.md"])
def test_its_card_and_its_licence_name_what_it_learnt_from(source):
    card = (builtin_folder() / "synthesizer.md").read_text(encoding="utf-8")
    assert source in card
    assert source in KNOWN["synthesizer"].licence


def test_the_notice_has_it():
    notice = (builtin_folder() / "NOTICE.md").read_text(encoding="utf-8")
    assert notice.count("`synthesizer.safetensors`") == 2


def test_colours_follow_the_style(model):
    sketch = draw("teapot", "marker", 128)
    styles = {}
    for name, colour in (("red", (200, 40, 40)), ("blue", (40, 60, 200))):
        styles[name] = np.tile(np.array(colour, np.uint8), (128, 128, 1))
    red, blue = (model.synthesize(sketch, styles[name]).mean((0, 1)) for name in ("red", "blue"))
    assert red[0] - red[2] > blue[0] - blue[2] + 40


def test_shapes_follow_the_sketch(model):
    """The picture changes where the drawing does: inside the box that holds one of two things, above all."""
    sketch = np.full((128, 128), 255, np.uint8)
    drawn = sketch.copy()
    drawn[70:118, 70:118] = draw("sunflower", "marker", 48)
    style = scene(1, 128, 128)
    change = np.abs(model.synthesize(sketch, style).astype(int) - model.synthesize(drawn, style)).mean(2)
    assert change[70:118, 70:118].mean() > 2 * change[:58, :58].mean()


def test_a_package_without_its_model_says_how_to_get_it_back(call, monkeypatch, tmp_path):
    monkeypatch.setattr("sketchforge.checkpoints.catalog.WeightFile.found", lambda entry: None)
    code, _, err = call(*SYNTHESIZE, "made.png")
    assert code == 2
    assert err.startswith("error: --model builtin: no weights of synthesizer")
    assert "install sketchforge again" in err
    assert not (tmp_path / "made.png").exists()

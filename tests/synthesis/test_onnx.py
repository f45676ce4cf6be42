"""An ONNX file computes what torch does, of any number of images, and of TOM of any size; or there is no file."""

import contextlib
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sketchforge
from cli.main import run as command_line
from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.synthesizer import StoredModel
from sketchforge.checkpoints.tom import builtin_run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.tensors import to_tensor
from sketchforge.models.encoder import orthogonal_encoder
from sketchforge.models.style2paints import ResidualUnet, Style2Paints
from sketchforge.models.style_hint import StyleHint
from sketchforge.models.tom import LeanGenerator, PaperGenerator
from sketchforge.options import ExportOptions
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.synthesis.onnx import export as exports
from sketchforge.synthesis.onnx.convert import TensorSpec, convert_network, measure_difference
from sketchforge.synthesis.onnx.export import export_onnx
from sketchforge.synthesis.onnx.networks import GreysNetwork, ImageNetwork
from sketchforge.synthesis.synthesizer import Synthesizer
from sketchforge.utils.files import sha256_of
from tests.helpers.commands import ROOT
from tests.helpers.photos import scene
from tests.helpers.synthesis_models import SIZE, gan_run, new_autoencoder, new_refiner

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CPU = torch.device("cpu")
BUILTIN = Path("builtin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    gan_run(folder / "gan")
    return folder


@pytest.fixture(scope="module")
def tom(folder) -> tuple[Path, str]:
    """(the file of the ten built-in snapshots, what the command said); two tiny ones take as long to convert."""
    return export_by_command(folder / "tom.onnx", "--tom", "builtin")


@pytest.fixture(scope="module")
def gan(folder) -> Path:
    """The file of an auto-encoder with a refiner: some ten seconds, so what asks for it is slow."""
    path, _ = export_by_command(folder / "gan.onnx", "--run", str(folder / "gan"))
    return path


def export_by_command(out: Path, *words: str) -> tuple[Path, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr("signal.signal", lambda *_: None)
        assert command_line(["export", *words, "--out", str(out)]) == 0
    return out, said.getvalue()


def compute(path: Path, **inputs: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {name: x.numpy() for name, x in inputs.items()})
    return result


def metadata_of(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 23, 40), (1, 97, 18), (3, 64, 64)])
def test_greys_are_what_render_draws(tom, shape):
    """To half a level of 255, which is where `draw` rounds."""
    count, height, width = shape
    pixels = np.stack([scene(seed, height, width) for seed in range(count)])
    greys = compute(tom[0], image=to_tensor(pixels))
    drawn = TomSketcher.from_run(builtin_run(), 10, CPU).draw(pixels).result()
    assert greys.shape == (count, 10, height, width)
    assert np.abs(greys * 255 - drawn).max() < 0.51
    assert drawn.std() > 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 5])
def test_images_are_what_the_model_makes(folder, gan, count):
    rng = torch.Generator().manual_seed(count)
    sketch, style = (torch.rand(count, channels, SIZE, SIZE, generator=rng) * 2 - 1 for channels in (1, 3))
    expected = sketchforge.load(folder / "gan", "cpu").synthesize_tensors(sketch, style)
    found = compute(gan, sketch=sketch, style=style)
    assert np.abs(found - expected.numpy()).max() < 1e-4
    assert found.std() > 0.01


def test_the_command_says_the_difference_and_the_card(tom):
    path, said = tom
    assert said.startswith(f"{path}: ")
    assert "differs from torch by at most " in said
    assert said.endswith(f"card: {path}.md\n")
    assert f"`{sha256_of(path)}`" in Path(f"{path}.md").read_text(encoding="utf-8")


def test_the_file_describes_itself(tom):
    metadata = metadata_of(tom[0])
    sketcher = TomSketcher.from_run(builtin_run(), 10, CPU)
    assert (metadata["format"], metadata["version"]) == ("sketchforge-onnx", "1")
    assert metadata["network"] == "tom"
    assert KNOWN["tom"].licence in metadata["licence"]
    assert json.loads(metadata["styles"]) == list(sketcher.styles)
    assert json.loads(metadata["digests"]) == dict(sketcher.digests)
    (image,), (greys,) = (json.loads(metadata[name]) for name in ("inputs", "outputs"))
    assert (image["name"], image["shape"], image["low"], image["high"]) == (
        "image", ["batch", 3, "height", "width"], -1, 1,
    )  # fmt: skip
    assert (greys["name"], greys["shape"], greys["low"], greys["high"]) == (
        "greys", ["batch", 10, "height", "width"], 0, 1,
    )  # fmt: skip


@pytest.mark.slow
def test_a_models_file_names_its_weights_as_synthesis_does(folder, gan):
    metadata = metadata_of(gan)
    assert json.loads(metadata["digests"]) == {"images": sketchforge.load(folder / "gan", "cpu").digest}
    assert metadata["network"] == "gan"
    assert "whoever trained them" in metadata["licence"]


def test_no_path_of_this_machine_is_in_a_file(folder, tom):
    data = tom[0].read_bytes()
    for text in (str(folder), str(ROOT), "site-packages", "torch/"):
        assert text.encode() not in data, text


def run_card(file: Path) -> None:
    """The card's program, with the file here."""
    shutil.copy(file, file.name)
    card = Path(f"{file}.md").read_text(encoding="utf-8")
    exec(card.split("```python\n")[1].split("```")[0], {})


def test_the_cards_program_draws_as_it_stands(tom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(1, 40, 56)).save("photo.jpg")
    run_card(tom[0])
    assert Image.open("sketch.png").size == (56, 40)


@pytest.mark.slow
def test_the_cards_program_paints_as_it_stands(gan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(2, 64, 64)).save("painting.jpg")
    Image.fromarray(scene(3, 70, 70)).convert("L").save("drawing.png")
    run_card(gan)
    assert Image.open("image.png").size == (SIZE, SIZE)


@pytest.mark.parametrize("offset", [0.5e-4, 2e-4])
def test_a_file_that_computes_something_else_is_not_written(tom, tmp_path, monkeypatch, offset):
    """The comparison is onnxruntime's own; what torch draws is moved a little."""
    draw = exports._draw_greys
    monkeypatch.setattr(exports, "_draw_greys", lambda *arguments: draw(*arguments) + np.float32(offset))
    monkeypatch.setattr(exports, "convert_network", lambda *_: tom[0].read_bytes())
    options = ExportOptions(tom=BUILTIN, out=tmp_path / "m.onnx")
    if offset < 1e-4:
        assert export_onnx(options).difference == pytest.approx(offset, rel=0.2)
        return
    with pytest.raises(SketchforgeError, match=r"not written, for onnxruntime computes otherwise than torch"):
        export_onnx(options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("system", ["auto-encoder", "refined", "style2paints"])
def test_the_network_that_is_converted_is_the_model(system):
    """In torch, which is quick: what ONNX makes of it is compared by the command."""
    torch.manual_seed(0)
    model, refiner = new_autoencoder(), new_refiner() if system == "refined" else None
    if system == "style2paints":
        model = Style2Paints(ResidualUnet(SIZE, 0.03, 6), StyleHint("builtin", 6)).eval()
    stored = StoredModel(model, refiner, None, {})
    images = [torch.rand(2, channels, SIZE, SIZE) * 2 - 1 for channels in (1, 3)]
    with torch.inference_mode():
        found = ImageNetwork(stored).eval()(*images)
    torch.testing.assert_close(found, Synthesizer(stored, CPU).synthesize_tensors(*images), atol=1e-4, rtol=0)


def test_patches_that_are_chosen_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "read_model", lambda _: SimpleNamespace(system="segin"))
    (tmp_path / "segin.safetensors").touch()
    with pytest.raises(UsageError, match="SEGIN is not exportable to ONNX: "):
        export_onnx(ExportOptions(run=tmp_path / "segin.safetensors", out=tmp_path / "m.onnx"))


class _Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


@pytest.fixture(scope="module")
def doubling() -> bytes:
    return convert_scaled(2.0)


def convert_scaled(factor: float) -> bytes:
    x, y = (TensorSpec(name, ("batch", 2), -1, 1, "numbers") for name in "xy")
    return convert_network(_Scaled(factor), [torch.zeros(2, 2)], [x], y, {"licence": "none"})


def test_equal_networks_are_equal_bytes(doubling):
    assert convert_scaled(2.0) == doubling


def test_the_largest_difference_of_all_cases_counts(doubling):
    x = np.array([[0.25, -0.5]], np.float32)
    right, wrong = 2 * x, 2 * x + np.array([[0, 0.125]], np.float32)
    assert measure_difference(doubling, [({"x": x}, right)]) == 0
    assert measure_difference(doubling, [({"x": x}, wrong), ({"x": x}, right)]) == 0.125


def test_no_number_and_another_shape_are_no_match(doubling):
    x = np.array([[0.25, np.nan]], np.float32)
    assert measure_difference(doubling, [({"x": x}, 2 * x)]) == float("inf")
    assert measure_difference(doubling, [({"x": np.ones((3, 2), np.float32)}, 2 * x)]) == float("inf")


def test_what_onnxruntime_refuses_is_one_line(doubling):
    with pytest.raises(SketchforgeError, match="does not run this network") as raised:
        measure_difference(doubling[:20], [])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["lean", "uneven", "paper"])
def test_generators_joined_draw_as_each_alone(kind):
    """Before it is an ONNX file: of one shape in groups, of several shapes and the paper's side by side."""
    torch.manual_seed(3)
    encoder = orthogonal_encoder(torch.Generator().manual_seed(0), ((4,), (6,), (8,), (8,)))
    taps, channels = ("relu4_1", "relu3_1", "relu2_1", "relu1_1"), (8, 8, 6, 4)
    if kind == "paper":
        generators = [PaperGenerator(("pool3",), (8,), (8, 6, 4)) for _ in range(2)]
    else:
        last = 5 if kind == "uneven" else 4
        generators = [LeanGenerator(taps, channels, (8, 6, 4, width)) for width in (4, last, 4)]
    generators = [generator.eval().requires_grad_(False) for generator in generators]
    images = to_tensor(np.stack([scene(seed, 40, 56) for seed in range(2)]))
    expected = TomSketcher(encoder, generators, [f"s{n}" for n in range(len(generators))], CPU)
    with torch.inference_mode():
        greys = GreysNetwork(encoder, generators).eval()(images)
    torch.testing.assert_close(greys, expected.sketches(images)[:, :, 0], atol=2e-5, rtol=0)
    assert greys.std() > 1e-3


def test_one_snapshot_by_name(tmp_path, monkeypatch):
    """Its own name, weights and greys are what is converted."""
    converted = []
    monkeypatch.setattr(exports, "convert_network", lambda *arguments: converted.append(arguments) or b"")
    monkeypatch.setattr(exports, "measure_difference", lambda *_: 0.0)
    style = TomSketcher.from_run(builtin_run(), 3, CPU).styles[2]
    export_onnx(ExportOptions(tom=BUILTIN, snapshot=style, out=tmp_path / "one.onnx"))
    (network, _, _, greys, metadata) = converted[0]
    assert metadata["styles"] == [style]
    assert greys.shape[1] == 1
    image = to_tensor(scene(0, 32, 32))
    with torch.inference_mode():
        found = network(image)[:, 0]
    expected = TomSketcher.from_run(builtin_run(), 3, CPU).sketches(image)[:, 2, 0]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": Path("gan"), "tom": BUILTIN}, "--run gan and --tom builtin: an ONNX file holds one of them"),
        ({"snapshot": "1"}, "--snapshot 1: of which run?"),
        ({"tom": BUILTIN, "snapshot": "77"}, "its number from 0 to 9"),
        ({"run": Path("nowhere")}, "nowhere: no such file or folder"),
        ({}, "runs/gan: no such file or folder"),
        ({"out": Path("taken.onnx")}, r"taken\.onnx\.md: is there already; name another --out"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_is_one_line(folder, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.onnx.md").write_text("mine")
    with pytest.raises(UsageError, match=message) as raised:
        export_onnx(ExportOptions(**{"out": Path("m.onnx"), **options}))
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.onnx.md"]


def test_without_the_packages_one_line_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(SketchforgeError) as raised:
        export_onnx(ExportOptions(tom=BUILTIN, out=tmp_path / "m.onnx"))
    assert str(raised.value) == (
        "an ONNX file needs onnxruntime, not installed: pip install 'sketchforge[onnx]'"
    )

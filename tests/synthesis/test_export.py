"""An exported file makes and draws what its run does, whatever it lies beside; and its card tells of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import sketchforge
from cli.main import run as command_line
from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.synthesizer import read_model, read_synthesizer
from sketchforge.checkpoints.tom import builtin_run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.line_art import binarize
from sketchforge.images.resize import resize_image, shrink_to
from sketchforge.options import ExportOptions, default_draw_size
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.synthesis.export import export
from sketchforge.utils.files import sha256_of
from tests.helpers.photos import scene
from tests.helpers.synthesis_models import ABOUT, SIZE, new_autoencoder, new_refiner

CPU = torch.device("cpu")
BUILTIN = Path("builtin")
SKETCH, STYLE = draw("cat", "marker", 96), scene(1, 80, 80)
STYLES = [each["style"] for each in json.loads((builtin_run() / "run.json").read_text())["snapshots"]]


@pytest.fixture
def runs(trained, tmp_path):
    """A folder with a run of each training, that a test may change."""
    for name in ("gan", "ae"):
        shutil.copytree(trained.parent / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", ["gan", "ae"])
def test_an_exported_file_makes_the_same_image_by_itself(runs, name):
    before = sketchforge.load(runs / name, "cpu")
    image = before.synthesize(SKETCH, STYLE)
    out, card = export(ExportOptions(run=runs / name, out=runs / "there" / "m.safetensors"))
    shutil.rmtree(runs / name)
    loaded = sketchforge.load(out, "cpu")
    assert np.array_equal(loaded.synthesize(SKETCH, STYLE), image)
    assert loaded.digest == before.digest
    assert loaded.refines == (name == "gan")
    assert card == out.with_suffix(".md")
    assert sha256_of(out) in card.read_text(encoding="utf-8")


@pytest.mark.parametrize("snapshot", [None, "0", "2", STYLES[2]])
def test_the_snapshot_draws_as_its_run_does(runs, snapshot):
    """On an odd-sized image at the size of `render`, drawn small as there, by the same two thresholds."""
    number = {None: 0, "0": 0}.get(snapshot, 2)
    out, _ = export(ExportOptions(runs / "gan", runs / "m.safetensors", BUILTIN, snapshot))
    image = scene(3, 256, 191)
    sketch = sketchforge.load(out, "cpu").sketch(image)
    small = shrink_to(image, default_draw_size(256))
    drawn = TomSketcher.from_run(builtin_run(), 3, CPU).draw(small[None]).result()[0, number]
    expected = binarize(resize_image(drawn, 256, 191), 0.65, 0.15)
    assert np.array_equal(sketch, expected)
    assert 0 < (sketch == 0).mean() < 0.5


@pytest.mark.parametrize("shape", [(8, 700), (300, 8), (9, 9), (700, 500)])
def test_sketches_keep_the_aspect(runs, shape):
    out, _ = export(ExportOptions(runs / "gan", runs / "m.safetensors", BUILTIN))
    model = sketchforge.load(out, "cpu")
    sketch = model.sketch(scene(1, *shape))
    assert max(sketch.shape) == 256
    assert set(np.unique(sketch)) <= {0, 255}
    assert sketch.shape == tuple(max(1, round(side * 256 / max(shape))) for side in shape)


def test_the_file_reads_as_a_runs_model_does(runs):
    """The one reader for all: with a snapshot on board it finds the rest, and says where it came from."""
    out, _ = export(ExportOptions(runs / "gan", runs / "m.safetensors", BUILTIN))
    autoencoder, refiner, metadata = read_synthesizer(out)
    for module, expected in ((autoencoder, new_autoencoder()), (refiner, new_refiner())):
        state = expected.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert {name: metadata[name] for name in ABOUT} == ABOUT
    source = metadata["exported_from"]
    assert source == {"run": "gan", "command": "gan-train", "tom": {"run": "builtin", "snapshot": STYLES[0]}}
    with safe_open(str(out), framework="pt") as file:
        assert file.metadata()["format"] == "sketchforge-synthesizer"
        assert file.metadata()["version"] == "4"
        assert str(runs) not in json.dumps(file.metadata())  # where it lay is nobody's business
    assert read_model(runs / "gan" / "model.safetensors").sketch_part is None


def test_equal_exports_are_equal_bytes(runs):
    for name in ("one", "two"):
        export(ExportOptions(runs / "gan", runs / name / "m.safetensors", BUILTIN))
    for ending in ("safetensors", "md"):
        assert (runs / f"one/m.{ending}").read_bytes() == (runs / f"two/m.{ending}").read_bytes()


def test_the_card_tells_what_was_measured_and_on_what(runs):
    _, card = export(ExportOptions(runs / "gan", runs / "m.safetensors"))
    text = card.read_text(encoding="utf-8")
    parts = [
        f"{SIZE} px",
        "| steps | 5 |",
        "| images | 7,",
        "reconstruction 0.2500",
        "images it was trained on",
    ]
    parts += ["measured on images that it has not seen", "--model m.safetensors", "Licence"]
    for part in parts:
        assert part in text, part
    assert "model.sketch" not in text
    _, card = export(ExportOptions(runs / "ae", runs / "ae.safetensors", BUILTIN))
    text = card.read_text(encoding="utf-8")
    assert "auto-encoder alone" in text
    assert "model.sketch" in text
    assert "builtin/tom.md" in text


def licence_of(runs: Path, tom: Path | None = None, **entries) -> str:
    """The card's part on licences, of a run whose run.json has these entries, too."""
    path = runs / "gan" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    _, card = export(ExportOptions(runs / "gan", runs / "m.safetensors", tom, overwrite=True))
    return card.read_text(encoding="utf-8").partition("## Licence")[2]


def test_the_card_blames_no_shipped_weights_that_had_no_part_in_it(runs):
    own = {"method": "tom", "digests": {"encoder": "ab" * 32, "tom-1": "cd" * 32}}
    assert "BSDS500" not in licence_of(runs, drawn_by=own, trained_with="ef" * 32)


def test_the_card_says_what_drew_the_sketches_that_it_learnt_from(runs):
    (first, *_), encoder = builtin_digests()
    drawn_by = {"method": "tom", "digests": {"encoder": encoder, STYLES[0]: first}}
    assert KNOWN["tom"].licence in licence_of(runs, drawn_by=drawn_by)


def test_the_card_says_of_edge_networks_sketches_what_their_licence_is(runs):
    assert KNOWN["hed"].licence in licence_of(runs, drawn_by={"method": "hed", "digests": {"hed": "ab" * 32}})


def test_the_card_says_what_the_encoder_of_the_losses_learnt_from(runs):
    assert KNOWN["builtin"].licence in licence_of(runs, trained_with=builtin_digests()[1])


def test_the_card_says_what_the_snapshot_in_the_file_learnt_from(runs):
    """Wherever it comes from: a copy of the built-in run is the same weights."""
    shutil.copytree(builtin_run(), runs / "copy")
    for tom in (BUILTIN, runs / "copy"):
        assert KNOWN["tom"].licence in licence_of(runs, tom)


def builtin_digests() -> tuple[list[str], str]:
    record = json.loads((builtin_run() / "run.json").read_text())
    return [snapshot["digest"] for snapshot in record["snapshots"]], record["encoder"]


def test_nothing_is_overwritten_unless_asked_for(runs):
    out = runs / "m.safetensors"
    for taken in (out, out.with_suffix(".md")):
        taken.write_text("mine")
        with pytest.raises(UsageError, match="is there already; name another --out"):
            export(ExportOptions(runs / "gan", out))
        assert taken.read_text() == "mine"
        taken.unlink()
    export(ExportOptions(runs / "gan", out))
    export(ExportOptions(runs / "ae", out, overwrite=True))
    assert not sketchforge.load(out, "cpu").refines
    own = runs / "gan" / "model.safetensors"
    before = own.read_bytes()
    with pytest.raises(UsageError, match="is the run's own model"):
        export(ExportOptions(runs / "gan", own, overwrite=True))
    assert own.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--run", "nowhere"], 2, "nowhere: no such folder; expected the run folder"),
        (["--run", "empty"], 2, "empty: holds no run.json"),
        (["--run", "begun"], 2, "begun: stands at step 3 of its training; run its `sketchforge gan-train`"),
        (["--run", "odd"], 2, "odd: a run of format 'sketchforge-tom-run'"),
        (["--run", "torn"], 1, "cannot be read as the record of a training"),
        (["--run", "gan", "--out", "m.pt"], 2, "--out m.pt: expected a file name that ends in .safetensors"),
        (["--run", "gan", "--out", "folder.safetensors"], 2, "folder.safetensors: is a folder"),
        (["--run", "gan", "--snapshot", "1"], 2, "--snapshot 1: of which run?"),
        (["--run", "gan", "--tom", "builtin", "--snapshot", "10"], 2, "its number from 0 to 9"),
        (["--run", "gan", "--tom", "builtin", "--snapshot", "best"], 2, f"snapshot best: builtin has {STYLES[0]},"),
        (["--run", "gan", "--tom", "gan"], 2, "--tom gan: not a run of `sketchforge tom-train`"),
        (["--run", "gan", "--tom", "nowhere"], 2, "nowhere: no trained generators there"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line(runs, monkeypatch, capsys, words, code, message):
    monkeypatch.chdir(runs)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    begun = shutil.copytree(runs / "gan", runs / "begun") / "run.json"
    record = json.loads(begun.read_text())
    del record["figures"]
    begun.write_text(json.dumps(record | {"steps_done": 3}))
    (runs / "empty").mkdir()
    (runs / "folder.safetensors").mkdir()
    for name, text in (("odd", '{"format": "sketchforge-tom-run"}'), ("torn", "{")):
        (runs / name).mkdir()
        (runs / name / "run.json").write_text(text)
    before = sorted(runs.rglob("*"))
    assert command_line(["export", *words]) == code
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(runs.rglob("*")) == before


def test_a_damaged_model_is_refused(runs):
    path = runs / "gan" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SketchforgeError, match="cannot be read as"):
        export(ExportOptions(runs / "gan", runs / "m.safetensors"))
    path.unlink()
    with pytest.raises(SketchforgeError, match="has lost its model.safetensors"):
        export(ExportOptions(runs / "gan", runs / "m.safetensors"))


def test_the_command_tells_what_it_wrote(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert command_line(["export", "--run", "gan", "--tom", "builtin"]) == 0
    assert capsys.readouterr().out.startswith("model.safetensors: ")
    assert Path("model.md").is_file()

"""`synthesize`, `mix` and `transfer`: what they write, keep, refuse and print, with untrained models."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import sketchforge
from cli.main import run as command_line
from sketchforge.checkpoints.tom import builtin_run
from sketchforge.images.builtin.photos import load_photos
from sketchforge.synthesis.fitting import prepare_drawing, stitch
from sketchforge.synthesis.inputs import find_image_inputs
from sketchforge.synthesis.record import RECORD_FILE
from tests.helpers.captions import without_caption
from tests.helpers.photos import scene
from tests.helpers.synthesis_models import SIZE, ae_run, drawing, gan_run

CPU = ["--device", "cpu", "--threads", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with models, drawings, paintings, and much that is wrong; never written to."""
    folder = tmp_path_factory.mktemp("place")
    gan_run(folder / "runs" / "gan")
    gan_run(folder / "begun", finished=False)
    ae_run(folder / "ae")
    drawing(folder / "drawings", "cat.png")
    drawing(folder / "drawings", "wide.png", box=(0, 20, 96, 60))
    drawing(folder / "a", "x.png")
    drawing(folder / "other" / "a", "x.png")
    cut = drawing(folder / "broken", "cut.png")
    cut.write_bytes(cut.read_bytes()[:-300])
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "text.txt").write_text("nowhere.png\n")
    (folder / "empty").mkdir()
    (folder / "paintings").mkdir()
    for name, number in (("monet", 1), ("hokusai", 2), ("klee", 3), ("dürer", 4)):
        Image.fromarray(scene(number, 60, 80)).save(folder / "paintings" / f"{name}.png")
    return folder


@pytest.fixture
def call(place, tmp_path, monkeypatch, capsys):
    """Run a command in a copy of that folder: (exit code, stdout, stderr)."""
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(command, *words):
        usual = ["--threads", "1"] if "--device" in words else CPU
        code = command_line([command, "--out", "out", *usual, *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pixels(path):
    return np.asarray(Image.open(path))


def record(folder):
    return json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))


EVERY = ["--sketch", "drawings", "--style", "paintings/monet.png", "paintings/klee.png"]


def test_every_sketch_is_made_in_every_style(call, tmp_path):
    """What the files hold is what the Python interface makes."""
    code, out, err = call("synthesize", *EVERY)
    assert code == 0, err
    assert out.splitlines() == [
        "no --model given: using runs/gan",
        "out: 4 images; side by side: out/grid.png",
    ]
    made = {f"{sketch}--{style}.png" for sketch in ("cat", "wide") for style in ("monet", "klee")}
    assert set(files(tmp_path / "out")) == made | {"grid.png", "outputs.json"}
    model = sketchforge.load("runs/gan", "cpu")
    for name in made:
        sketch, style = name.removesuffix(".png").split("--")
        expected = model.synthesize(f"drawings/{sketch}.png", f"paintings/{style}.png")
        assert np.array_equal(pixels(tmp_path / "out" / name), expected)
    assert pixels(tmp_path / "out" / "wide--klee.png").shape == (round(40 * SIZE / 96), SIZE, 3)
    told = record(tmp_path / "out")
    assert (told["format"], told["command"], told["model"]["sha256"]) == (
        "sketchforge-outputs",
        "synthesize",
        model.digest,
    )
    assert set(told["files"]) == made
    assert told["files"]["cat--monet.png"]["sketch"]["source"].endswith("drawings/cat.png")


def test_the_same_again_keeps_everything_and_more_adds_to_it(call, tmp_path):
    call("synthesize", *EVERY)
    before = files(tmp_path / "out")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*--*")}
    code, out, _ = call("synthesize", *EVERY)
    assert code == 0
    assert "out: complete already, 4 images" in out
    assert files(tmp_path / "out") == before
    (tmp_path / "out" / "cat--klee.png").unlink()
    code, out, _ = call("synthesize", *EVERY, "--style", "paintings/dürer.png")
    assert "3 of 6 images there already and kept" in out
    assert "out: 3 images, 3 kept" in out
    after = files(tmp_path / "out")
    assert {name: after[name] for name in before if "--" in name} == {
        n: d for n, d in before.items() if "--" in n
    }
    assert times == times | {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*--monet.png")}


def test_what_has_changed_is_made_anew(call, tmp_path):
    call("synthesize", *EVERY)
    before = files(tmp_path / "out")
    Image.fromarray(scene(9, 60, 80)).save(tmp_path / "paintings" / "klee.png")
    code, out, _ = call("synthesize", *EVERY)
    after = files(tmp_path / "out")
    assert code == 0
    assert "2 files of an earlier run replaced" in out
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"cat--klee.png", "wide--klee.png", "grid.png", "outputs.json"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--raw"], "out: its images were made with --raw False, now asked for True"),
        (["--noise", "--seed", "3"], "--seed None, now asked for 3"),
        (["--model", "ae"], "--model runs/gan/model.safetensors (sha256 "),
        (["--model", "ae"], "), now asked for ae/model.safetensors (sha256 "),
    ],
)
def test_other_options_are_refused_unless_overwritten(call, tmp_path, words, message):
    call("synthesize", *EVERY)
    before = files(tmp_path / "out")
    code, _, err = call("synthesize", *EVERY[:-1], *words)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert files(tmp_path / "out") == before
    (tmp_path / "out" / "mine.txt").write_text("mine")
    code, _, err = call("synthesize", *EVERY[:-1], *words, "--overwrite")
    assert code == 0, err
    assert set(files(tmp_path / "out")) == {
        "cat--monet.png",
        "wide--monet.png",
        "grid.png",
        "outputs.json",
        "mine.txt",
    }


def test_interrupted_anywhere_the_rest_is_made(call, tmp_path, monkeypatch):
    """Ctrl-C while the third image is written: two are kept, nothing is half there, the end is the same."""
    call("synthesize", *EVERY)
    straight = files(tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    from sketchforge.synthesis import job as making

    written, write = [], making.write_png

    def struck(path, image, description):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, image, description)

    with monkeypatch.context() as patched:
        patched.setattr(making, "write_png", struck)
        code, _, err = call("synthesize", *EVERY)
    assert code == 130
    assert "2 of 4 images were made and are kept in out" in err
    assert len(list((tmp_path / "out").glob("*--*"))) == 2
    assert not list((tmp_path / "out").glob(".*"))
    code, out, _ = call("synthesize", *EVERY)
    assert "2 of 4 images there already and kept" in out
    assert files(tmp_path / "out") == straight


def test_noise_depends_on_the_seed_and_the_name_and_not_on_the_batch(call, tmp_path):
    """Noise goes by names, not by places: the same image among others."""
    call("synthesize", *EVERY, "--noise", "--seed", "5")
    model = sketchforge.load("runs/gan", "cpu")
    expected = model.synthesize("drawings/wide.png", "paintings/klee.png", ["wide--klee"], 5)
    assert np.array_equal(pixels(tmp_path / "out" / "wide--klee.png"), expected)
    call("synthesize", *EVERY, "--noise", "--seed", "5", "--batch-size", "3", "--overwrite")
    assert np.abs(pixels(tmp_path / "out" / "wide--klee.png").astype(int) - expected).max() <= 1


def test_pairs_go_by_name(call, tmp_path):
    for name in ("cat", "wide", "more"):
        (tmp_path / "paired").mkdir(exist_ok=True)
        Image.fromarray(scene(len(name), 60, 60)).save(tmp_path / "paired" / f"{name}.jpg")
    code, out, err = call("synthesize", "--sketch", "drawings", "--style", "paired", "--pairs")
    assert code == 0, err
    assert "1 of 3 styles without a sketch of their name" in out
    assert set(files(tmp_path / "out")) == {"cat--cat.png", "wide--wide.png", "grid.png", "outputs.json"}
    code, _, err = call("synthesize", "--sketch", "drawings", "--style", "paintings", "--pairs")
    assert code == 2
    assert "2 of 2 sketches without a style of their name, the first is drawings/cat.png" in err


def test_notes_on_drawings_are_printed_and_kept(call, tmp_path):
    drawing(tmp_path / "chalk", "board.png", inverted=True)
    words = ["--sketch", "chalk", "--style", "paintings/monet.png"]
    _, out, _ = call("synthesize", *words)
    assert "chalk/board.png: light lines on a dark ground: inverted" in out
    told = record(tmp_path / "out")["files"]["board--monet.png"]["notes"]
    assert told == ["light lines on a dark ground: inverted"]
    _, out, _ = call("synthesize", *words, "--raw", "--overwrite")
    assert "chalk/board.png: light lines on a dark ground, and taken as it is" in out
    call("synthesize", *words, "--raw", "--style", "paintings/klee.png")
    assert record(tmp_path / "out")["files"]["board--monet.png"]["notes"]  # kept with the image
    Image.fromarray(dict(load_photos())["astronaut-s0-00"]).save("photo.png")
    _, out, _ = call("synthesize", "--sketch", "photo.png", "--style", "paintings/klee.png", "--overwrite")
    assert "photo.png: ink covers 43% of the image: is it a line drawing?" in out


def test_in_a_fresh_clone_it_works_as_typed(call, tmp_path):
    """Built-in samples, the only model there is, and a line on each."""
    shutil.rmtree(tmp_path / "runs" / "gan")
    (tmp_path / "ae").rename(tmp_path / "runs" / "ae")
    code, out, err = call("mix")
    assert code == 0, err
    assert out.splitlines()[:3] == [
        "no --model given: using runs/ae",
        "no --sketch given: using 6 built-in drawings",
        "no --style given: using 4 built-in photos",
    ]
    assert len(list((tmp_path / "out").glob("*--*"))) == 6


@pytest.mark.parametrize(
    "names", [("monet", "klee"), ("monet", "klee", "hokusai", "dürer"), ("klee", "klee")]
)
def test_mix_stitches_and_keeps_the_stitched_image(call, tmp_path, names):
    code, out, err = call(
        "mix", "--sketch", "drawings/cat.png", "--style", *[f"paintings/{name}.png" for name in names]
    )
    assert code == 0, err
    style = "+".join(names)
    assert set(files(tmp_path / "out")) == {f"{style}.png", f"cat--{style}.png", "grid.png", "outputs.json"}
    images = [pixels(tmp_path / "paintings" / f"{name}.png") for name in names]
    expected = stitch(images, SIZE)
    assert np.array_equal(pixels(tmp_path / "out" / f"{style}.png"), expected)
    made = sketchforge.load("runs/gan", "cpu").synthesize("drawings/cat.png", expected)
    assert np.array_equal(pixels(tmp_path / "out" / f"cat--{style}.png"), made)


def builtin_style(number: int) -> str:
    return json.loads((builtin_run() / "run.json").read_text())["snapshots"][number]["style"]


def test_transfer_draws_with_tom_and_keeps_the_sketch(call, tmp_path):
    words = ["--content", "paintings/monet.png", "--style", "paintings/klee.png"]
    code, out, err = call("transfer", *words)
    assert code == 0, err
    assert f"sketches are drawn by snapshot 0 of the built-in run, {builtin_style(0)}" in out
    assert set(files(tmp_path / "out")) == {"monet.sketch.png", "monet--klee.png", "grid.png", "outputs.json"}
    sketch = pixels(tmp_path / "out" / "monet.sketch.png")
    assert sketch.shape == (192, 256)
    assert set(np.unique(sketch)) == {0, 255}
    made = sketchforge.load("runs/gan", "cpu").synthesize(sketch, "paintings/klee.png", raw=True)
    assert np.array_equal(pixels(tmp_path / "out" / "monet--klee.png"), made)
    code, _, err = call("transfer", *words, "--tom", "builtin", "--checkpoint", "3")
    assert code == 2
    assert "made with --tom the built-in run (generator sha256 " in err
    code, out, _ = call("transfer", *words, "--tom", "builtin", "--checkpoint", "3", "--overwrite")
    assert code == 0
    assert "snapshot 3 of the built-in run" in out
    assert not np.array_equal(pixels(tmp_path / "out" / "monet.sketch.png"), sketch)


def test_a_models_own_snapshot_comes_first(call, tmp_path):
    command_line(["export", "--tom", "builtin", "--snapshot", "2", "--out", "m.safetensors"])
    words = ["--content", "paintings/monet.png", "--style", "paintings/klee.png", "--model", "m.safetensors"]
    code, out, _ = call("transfer", *words)
    assert code == 0
    assert f"the model's own snapshot, {builtin_style(2)}" in out
    own = pixels(tmp_path / "out" / "monet.sketch.png")
    code, out, _ = call("transfer", *words, "--tom", "builtin", "--checkpoint", "2", "--overwrite")
    assert np.array_equal(own, pixels(tmp_path / "out" / "monet.sketch.png"))
    code, _, err = call("transfer", *words, "--checkpoint", "1")
    assert code == 2
    assert "--checkpoint 1: the model brings one snapshot of its own" in err


BAD = [
    ("synthesize", ["--model", "nowhere"], 2, "nowhere: no such file or folder; expected a model file"),
    ("synthesize", ["--model", "begun"], 2, "begun: stands at step 3 of its training"),
    ("synthesize", ["--model", "paintings"], 2, "paintings: holds no run.json"),
    ("synthesize", ["--model", "paintings/monet.png"], 1, "cannot be read as a sketchforge-synthesizer file"),
    ("synthesize", ["--model", "ae", "--noise"], 2, "--noise: ae was trained without noise"),
    ("synthesize", ["--sketch", "nowhere.png"], 2, "nowhere.png: no such folder or file"),
    ("synthesize", ["--sketch", "empty"], 2, "empty: no images found"),
    ("synthesize", ["--sketch", "text.txt"], 1, "no such file: nowhere.png"),
    ("synthesize", ["--style", "broken.png"], 1, "not an image: broken.png"),
    ("synthesize", ["--sketch", "broken"], 1, "truncated: broken/cut.png"),
    ("synthesize", ["--sketch", "a/x.png", "other/a/x.png"], 2, "both would be called a_x"),
    ("synthesize", ["--device", "tpu"], 2, "--device tpu"),
    ("synthesize", ["--batch-size", "0"], 2, "--batch-size"),
    ("synthesize", ["--raw", "drawings"], 2, "unexpected argument drawings"),
    (
        "mix",
        ["--style", "paintings/monet.png"],
        2,
        "--style: found 1 image; expected 2, a half each, or 4",
    ),
    (
        "mix",
        ["--style", "paintings/monet.png", "paintings/klee.png", "paintings/hokusai.png"],
        2,
        "found 3 images",
    ),
    ("transfer", ["--tom", "nowhere"], 2, "nowhere: no trained generators there"),
    ("transfer", ["--checkpoint", "10"], 2, "--checkpoints 11: the built-in run has 10 snapshots"),
    ("transfer", ["--sketch", "drawings"], 2, "No such option"),
]


@pytest.mark.parametrize(("command", "words", "code", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_usage_is_one_line_and_writes_nothing(call, tmp_path, command, words, code, message):
    subject = "--content" if command == "transfer" else "--sketch"
    for option, usual in ((subject, "drawings/cat.png"), ("--style", "paintings/monet.png")):
        if option not in words:
            words = [option, usual, *words]
    before = sorted(tmp_path.rglob("*"))
    found, _, err = call(command, *words)
    assert (found, len(err.splitlines())) == (code, 1), err
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


def test_the_output_folder_is_looked_at_first(call, tmp_path):
    (tmp_path / "out").mkdir()
    theirs = tmp_path / "out" / "cat--monet.png"
    theirs.write_bytes(b"theirs")
    code, _, err = call("synthesize", *EVERY)
    assert code == 2
    assert "out/cat--monet.png: is there already and not of our making" in err
    assert files(tmp_path / "out") == {"cat--monet.png": b"theirs"}
    for text, expected, message in (
        ("{", 1, "cannot be read as JSON"),
        ('{"format": "other"}', 2, "found format 'other'"),
        ('{"format": "sketchforge-outputs", "version": 9}', 1, "version 9"),
    ):
        (tmp_path / "out" / RECORD_FILE).write_text(text)
        code, _, err = call("synthesize", *EVERY)
        assert code == expected
        assert message in err
    code = command_line(["synthesize", "--out", "out/outputs.json", *CPU])
    assert code == 2


def test_names_from_a_record_lead_nowhere_else(call, tmp_path):
    """A outputs.json of a stranger must not have files elsewhere removed."""
    (tmp_path / "out").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    told = {"format": "sketchforge-outputs", "version": 1, "files": {"../mine.txt": {}, "x": 3}}
    (tmp_path / "out" / RECORD_FILE).write_text(json.dumps(told))
    code, _, err = call("synthesize", *EVERY, "--overwrite")
    assert code == 0, err
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_names_are_told_apart(tmp_path, monkeypatch):
    """By ending, else by folder; what is named twice counts once; names never hold what joins them."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.png", "a/x.jpg", "b/y.png", "a/y.png", "a/deep/z.png", "a/o--o.png", "a/Ünï cödé.png"):
        drawing(tmp_path / name.rsplit("/", 1)[0], name.rsplit("/", 1)[1])
    names = [image.name for image in find_image_inputs(["a", "b/y.png", "a/x.png"])]
    assert names == ["deep_z", "o-o", "x_jpg", "x_png", "a_y_png", "Ünï cödé", "b_y_png"]
    assert len(find_image_inputs(["a/x.png", "a/x.png"], repeats=True)) == 2


def test_many_are_capped_in_the_grid(call, tmp_path):
    for number in range(14):
        drawing(tmp_path / "many", f"{number:02d}.png", 64)
    code, out, err = call("synthesize", "--sketch", "many", "--style", "paintings/monet.png")
    assert code == 0, err
    assert "out/grid.png shows the first 12 of 14 sketches" in out
    assert len(list((tmp_path / "out").glob("*--*"))) == 14


def test_images_tell_the_model_its_size_and_its_steps(call, tmp_path):
    call("synthesize", *EVERY)
    with Image.open(tmp_path / "out" / "grid.png") as image:
        grid = image.text["Description"]
    with Image.open(tmp_path / "out" / "cat--klee.png") as image:
        made = image.text["Description"]
    record = json.loads((tmp_path / "out" / "outputs.json").read_text())
    model = f"refined, {SIZE} pixels, 5 steps, SHA-256 {record['model']['sha256'][:12]}"
    assert grid == f"synthesize by gan: {model}; shown at 128 pixels"
    assert made == f"cat in the style of klee; {model}"


def test_the_grid_shows_results_beneath_their_style_and_beside_their_sketch(call, tmp_path):
    call("synthesize", *EVERY)
    grid = without_caption(tmp_path / "out" / "grid.png")
    result = Image.open(tmp_path / "out" / "cat--klee.png")
    from sketchforge.images.resize import fit_square

    shown = fit_square(np.asarray(result), 128, "pad")
    right, top = grid.shape[1] - 4 - 128, grid.shape[0] - 2 * (128 + 4)
    assert np.array_equal(grid[top : top + 128, right : right + 128], shown)
    sketch = fit_square(
        prepare_drawing(np.dstack([pixels(tmp_path / "drawings/cat.png")] * 3), SIZE).drawing, 128, "pad"
    )
    left = right - 2 * (128 + 4)
    assert np.array_equal(grid[top : top + 128, left : left + 128, 0], sketch)

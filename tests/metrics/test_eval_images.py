"""`sketchforge eval images`: a model's images measured, with models whose answers are known."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cli.main import run
from sketchforge.data.augment import training_pair
from sketchforge.errors import SketchforgeError
from sketchforge.metrics.images import evaluate as model_images
from sketchforge.metrics.images.generate import is_model
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.metrics.images.result import BETTER
from sketchforge.options import EvalImagesOptions
from sketchforge.shards.shard_set import open_shards
from sketchforge.synthesis.synthesizer import load_model
from tests.helpers.copying_models import Copies
from tests.helpers.stored import png, store

BUILTIN = (("builtin", None),)
pytestmark = pytest.mark.usefixtures("quick_measures")


def measured(monkeypatch, drawn, model=None, **changes) -> dict:
    """Figures by their titles."""
    if model is not None:
        monkeypatch.setattr(model_images, "load_model", lambda path, device: model)
    options = {
        "features": BUILTIN,
        "lpips": (),
        "encoders": ("builtin",),
        "samples": 16,
        "threads": 1,
        "device": "cpu",
    }
    found = model_images.evaluate_images(EvalImagesOptions(Path("model"), str(drawn), **(options | changes)))
    return {
        ("chance: " if row.name == "chance" else "") + row.titles[name]: figure.value
        for row in found.rows
        for name, figure in row.figures.items()
    }


def test_figures_follow_style_and_sketch_as_their_names_say(monkeypatch, drawn, squeeze):
    """One who copies the style image is perfect in style, one who copies the sketch is in content: were the
    two mixed up anywhere on the way, this would tell."""
    given = {"lpips": (("squeeze", squeeze),)}
    style = measured(monkeypatch, drawn, Copies("style"), **given)
    sketch = measured(monkeypatch, drawn, Copies("sketch"), **given)
    for title in ("SR (builtin)", "SR colour (builtin)", "SR texture (builtin)", "Sty-Rec"):
        assert style[title] == pytest.approx(1, abs=1e-5), title
        assert sketch[title] < 0.99, title
    assert style["LPIPS (squeeze, other weights)"] == pytest.approx(0, abs=1e-6)
    assert sketch["LPIPS (squeeze, other weights)"] > 0.01
    assert sketch["Skt-Rec by ink"] < style["Skt-Rec by ink"] - 0.1
    # Whatever style it has: the images are those of the reference, each as often as every other.
    assert style["Fréchet (builtin relu3_1+relu4_1)"] < sketch["Fréchet (builtin relu3_1+relu4_1)"] / 50
    assert style["KID (builtin relu3_1+relu4_1)"] < sketch["KID (builtin relu3_1+relu4_1)"] / 10


def test_what_matched_pairs_are_measured_with_is_the_image(monkeypatch, drawn, squeeze):
    """A model that turns images upside down: LPIPS sees it, colours do not."""

    class Turned(Copies):
        def synthesize_tensors(self, sketches, images, keys=None):
            return images.flip(2)

    found = measured(monkeypatch, drawn, Turned("style"), lpips=(("squeeze", squeeze),))
    assert found["LPIPS (squeeze, other weights)"] > 0.01
    assert found["Sty-Rec"] == pytest.approx(1, abs=1e-4)


def test_chance_is_what_pairs_have_without_a_model(monkeypatch, drawn):
    """A model that gives the sketch's own image back has the style that chance has, and the sketch by heart;
    what has the style image's sketch has that of chance."""
    shards = open_shards(drawn)
    reader = SampleReader(shards)
    stored = [reader.read(index, [0, 1]) for index in range(shards.num_samples)]
    reader.close()

    class Knows(Copies):
        """It finds the image by the sketch."""

        def synthesize_tensors(self, sketches, images, keys=None):
            found = []
            for sketch in sketches:
                levels = ((sketch[0] + 1) * 127.5).round().byte().numpy()
                own = next(
                    one for one in stored if any(np.array_equal(levels, other) for other in one.sketches)
                )
                found.append(training_pair(own.image, own.sketches, 64, 0, 0, None)["image"])
            return torch.stack(found)

    found = measured(monkeypatch, drawn, Knows("content"))
    for title in ("SR (builtin)", "SR colour (builtin)", "SR texture (builtin)", "Sty-Rec"):
        assert found[title] == pytest.approx(found[f"chance: {title}"], rel=1e-5)
        assert found[title] < 0.999
    for title in ("Skt-Rec", "Skt-Rec by ink"):
        assert found[title] < found[f"chance: {title}"] / 2
    copies = measured(monkeypatch, drawn, Copies("style"))
    assert copies["Skt-Rec"] == pytest.approx(found["chance: Skt-Rec"], rel=0.15)


def test_batches_do_not_matter(monkeypatch, drawn, trained):
    whole = measured(monkeypatch, drawn, load_model(trained, "cpu"))
    made_of = model_images.generate_images
    monkeypatch.setattr(model_images, "generate_images", lambda *given: made_of(*given, batch=3))
    for title, value in measured(monkeypatch, drawn).items():
        assert value == pytest.approx(whole[title], rel=1e-3, abs=1e-4), title


def test_another_reference_is_another_distance_and_nothing_else(monkeypatch, drawn, photos):
    own = measured(monkeypatch, drawn, Copies("style"))
    other = measured(monkeypatch, drawn, reference=str(photos))
    differ = {title for title in own if own[title] != other[title]}
    assert differ == {"Fréchet (builtin relu3_1+relu4_1)", "KID (builtin relu3_1+relu4_1)"}


def test_the_models_of_both_stages_are_read(trained, drawn):
    gan = trained.parent / "gan"
    assert is_model(trained)
    assert is_model(gan / "model.safetensors")
    assert not is_model(drawn)
    plain, refined = load_model(trained, "cpu"), load_model(gan / "model.safetensors", "cpu")
    assert not plain.refines
    assert refined.refines
    assert plain.digest != refined.digest
    reader = SampleReader(open_shards(drawn))
    stored = reader.read(0, [0])
    reader.close()
    pair = training_pair(stored.image, stored.sketches, 64, 0, 0, None)
    sketches, images = pair["sketch"][None], pair["image"][None]
    assert torch.equal(refined.style_vectors(images), plain.style_vectors(images))
    assert not torch.equal(
        refined.synthesize_tensors(sketches, images), plain.synthesize_tensors(sketches, images)
    )


def test_images_that_are_not_numbers_are_refused(monkeypatch, drawn):
    class Broken(Copies):
        def synthesize_tensors(self, sketches, images, keys=None):
            return images * float("nan")

    with pytest.raises(SketchforgeError, match="model: makes images that are not numbers"):
        measured(monkeypatch, drawn, Broken("style"))


def words(drawn: Path, trained: Path, *more: object) -> list[str]:
    samples = [] if "--samples" in more else ["--samples", 12]
    given = ["--model", trained, "--shards", drawn, *samples, "--threads", 1, "--device", "cpu", *more]
    return ["eval", "images", *map(str, given)]


def test_the_command_tells_everything(drawn, trained, squeeze, tmp_path):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words(drawn, trained, "--json", tmp_path / "a.json", "--lpips", f"squeeze={squeeze}"))
    # on a slow machine there is a bar
    assert code == 0
    assert "error" not in err.getvalue()
    told = out.getvalue()
    assert told.startswith("ae, 64 x 64, sketches of out, against out (8 images, 64 x 64)\n")
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["format"], found["version"], found["command"]) == (
        "sketchforge-image-evaluation",
        2,
        "images",
    )
    assert found["options"]["seed"] == 0
    assert found["options"]["lpips"] == [f"squeeze={squeeze}"]
    assert found["reference"] == {
        "name": "out",
        "source": str(drawn),
        "found": 8,
        "count": 8,
        "sizes": "64 x 64",
    }
    by_chance = [row for row in found["rows"] if row["name"] == "chance"]
    assert [set(row) & set(BETTER) for row in found["rows"] if row not in by_chance] == [
        {"frechet", "kid"},
        {"lpips"},
        {"diversity", "lpips_style"},
        {"sr", "sr_colour", "sr_texture"},
        {"skt_rec", "skt_rec_relative"},
        {"sty_rec"},
        {"lattice"},
        {"leak", "error", "error_mirrored", "error_turned"},
        {"style_mirrored", "style_turned", "style_other"},
    ]
    for row in found["rows"]:
        of_pairs = 8 if row["pairs"] == "matched" else 12
        assert row["count"] == (8 * 7 if "diversity" in row else of_pairs)
        assert row["features"]
        assert row["preprocessing"]
        assert row["weights"]
        for name, title in row["titles"].items():
            figure = row[name]
            assert title in told
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert figure["images"] == 8
    assert {gap["figure"] for gap in found["gaps"]} == {"FID, KID", "SR (vgg19)"}
    for gap in found["gaps"] + found["warnings"]:
        assert gap["reason"] in told
    assert "the reference has fewer than 2,048 images" in told
    table = [line for line in told.splitlines() if "mismatched  " in line or "matched  " in line]
    assert len(table) == 19
    assert max(map(len, table)) <= 110
    chance = {row["titles"][name]: row[name] for row in by_chance for name in row["titles"]}
    assert set(chance) == {
        *(f"SR{part} (builtin)" for part in ("", " colour", " texture")),
        "Sty-Rec",
        "lattice",
        "Skt-Rec",
        "Skt-Rec by ink",
    }
    line = next(line for line in table if line.startswith("Sty-Rec"))
    assert line.split()[-4] == f"{chance['Sty-Rec']['value']:.3f}"


def test_equal_calls_give_equal_bytes(drawn, trained, tmp_path):
    written = []
    for cache in ("a", "a", "b"):  # features of the reference computed, kept, and computed again
        more = ("--features", "builtin", "--lpips", "alex", "--cache", tmp_path / cache)
        assert run(words(drawn, trained, "--json", tmp_path / "a.json", *more)) == 0
        written.append((tmp_path / "a.json").read_bytes())
    assert written[0] == written[1] == written[2]
    assert run(words(drawn, trained, "--json", tmp_path / "a.json", *more, "--seed", 1)) == 0
    assert (tmp_path / "a.json").read_bytes() != written[0]


def test_more_pairs_than_there_are_is_a_warning(monkeypatch, drawn):
    monkeypatch.setattr(model_images, "load_model", lambda path, device: Copies("style"))
    options = EvalImagesOptions(
        Path("m"), str(drawn), samples=100, features=(), lpips=(), encoders=(), threads=1, device="cpu"
    )
    found = model_images.evaluate_images(options)
    assert [warning.reason for warning in found.warnings] == [
        "56 pairs of 8 images, asked for were 100; there are no more"
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--features", "resnet"), "--features resnet: no such features; there are inception, builtin"),
        (("--features", "inception="), "names no file; expected NAME or NAME=FILE"),
        (("--features", "inception=/absent.pth"), "/absent.pth: no such file"),
        (("--lpips", "vgg=/absent.pth"), "/absent.pth: no such file"),
        (("--encoder", "/absent.pth"), "--encoder /absent.pth: neither builtin"),
        (("--encoder", "inception"), "--encoder inception: neither builtin"),
        (("--samples", "1"), "--samples"),
        (("--reference", "/absent"), "/absent: no such folder or file"),
    ],
)
def test_wrong_usage_is_one_line(drawn, trained, capsys, more, told):
    assert run(words(drawn, trained, *more)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error


@pytest.mark.parametrize(
    ("option", "name", "known", "told"),
    [
        ("--features", "squeezenet", False, "cannot be read as weights"),
        ("--features", "mobilenet_v2", True, "not the weights of"),
        ("--lpips", "squeeze", False, "cannot be read as weights"),
        ("--lpips", "alex", True, "not the weights of"),
    ],
)
def test_a_file_of_other_weights_is_one_line(
    drawn, trained, squeeze, tmp_path, capsys, option, name, known, told
):
    (tmp_path / "w.pth").write_bytes(b"nonsense")
    path = squeeze if known else tmp_path / "w.pth"
    assert run(words(drawn, trained, option, f"{name}={path}")) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error
    assert path.name in error


def test_a_single_image_is_one_line(trained, tmp_path, capsys):
    blank = png(np.full((64, 64), 255, np.uint8))
    shards = store(tmp_path / "out", [[{"key": "a", "sketches": [blank], "size": (64, 64)}]], ["s"], size=64)
    assert run(words(shards, trained)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "1 image: styles of other images need two or more" in error


def test_a_reference_of_many_sizes_is_shown_at_the_models_and_told(monkeypatch, drawn, photos):
    monkeypatch.setattr(model_images, "load_model", lambda path, device: Copies("style"))
    given = {"features": BUILTIN, "lpips": (), "encoders": (), "threads": 1, "device": "cpu", "samples": 4}
    found = model_images.evaluate_images(EvalImagesOptions(Path("m"), str(drawn), str(photos), **given))
    assert found.reference["sizes"] == "64 x 64"
    assert found.reference["count"] == 4
    assert any(one.row == photos.name and "4 sizes" in one.reason for one in found.warnings)


def test_shards_drawn_otherwise_leave_a_gap(ten_sketches, trained, capsys):
    assert run(words(ten_sketches, trained, "--features", "builtin")) == 0
    told = capsys.readouterr().out
    assert "missing: Skt-Rec: " in told
    assert "drawn by canny" in told
    assert "Skt-Rec by ink" not in told
    assert np.all([title in told for title in ("Sty-Rec", "SR (builtin)")])

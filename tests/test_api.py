"""The public names: complete, lazy and typed; what they do is what the command line does."""

import configparser
import dataclasses
import inspect
import pickle
import re
import typing
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import sketchforge
from cli.shards.render import render_command
from sketchforge.images.decode import ImageError
from sketchforge.options import ExportOptions, RenderOptions
from sketchforge.render.keywords import LIMITS, RenderKeywords
from sketchforge.storage.folder import folder_at
from sketchforge.synthesis.export import export
from tests.helpers.commands import ROOT, run_python
from tests.helpers.folders import contents, stored_sketches
from tests.helpers.photos import make_photos, scene
from tests.helpers.synthesis_models import drawing, gan_run

SMALL = {"tom": "builtin", "checkpoints": 2, "size": 64, "threads": 1}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A PNG, whose pixels an array has, too."""
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    Image.fromarray(scene(3, 70, 90)).save(path)
    return path


def test_every_public_name_is_there():
    assert [name for name in sketchforge.__all__ if not hasattr(sketchforge, name)] == []


def test_every_name_without_an_underscore_is_public_or_a_folder():
    code = "import sketchforge, types; print(*(n for n, v in vars(sketchforge).items() if not isinstance(v, types.ModuleType)))"
    names = {name for name in run_python(code).stdout.split() if not name.startswith("_")}
    assert names - {"annotations", "TYPE_CHECKING", "Any", "import_module"} <= set(sketchforge.__all__)


def test_dir_lists_the_public_names():
    assert set(sketchforge.__all__) <= set(dir(sketchforge))


@pytest.mark.parametrize("name", [name for name in sketchforge.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name):
    assert len(inspect.getdoc(getattr(sketchforge, name))) > 40


@pytest.mark.parametrize("name", sketchforge.__all__)
def test_every_public_name_stands_in_the_document(name):
    assert name in (ROOT / "docs/api.md").read_text(encoding="utf-8")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'skech'"):
        sketchforge.skech  # noqa: B018


def test_the_marker_of_types_is_packed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert (ROOT / "sketchforge/py.typed").exists()
    assert "py.typed" in setup["options.package_data"]["sketchforge"].split()


def test_looking_at_the_errors_and_sketch_loads_no_torch():
    code = "import sys, sketchforge as s; s.sketch, s.render, s.UsageError, s.Sketches; print('torch' in sys.modules)"
    assert run_python(code).stdout == "False\n"


def test_the_package_stays_callable_once_its_modules_are_imported():
    code = "import sketchforge, sketchforge.render.render as r; print(callable(sketchforge.render), r.render.__name__)"
    assert run_python(code).stdout == "True render\n"


# Keywords


def test_keywords_of_render_are_the_options():
    fields = {field.name for field in dataclasses.fields(RenderOptions)}
    assert set(RenderKeywords.__annotations__) == fields - {"images", "shards"}


PARAMETERS = {parameter.name: parameter for parameter in render_command.params}


@pytest.mark.parametrize("name", sorted(RenderKeywords.__annotations__))
def test_a_keyword_takes_what_the_option_takes(name):
    kind = PARAMETERS[name].type
    hint = typing.get_type_hints(RenderKeywords)[name]
    if isinstance(kind, click.Choice):
        assert list(typing.get_args(hint)) == list(kind.choices)
    elif isinstance(kind, click.IntRange | click.FloatRange):
        assert LIMITS[name] == (kind.min, kind.max, (kind.min_open, kind.max_open))
    else:
        assert name not in LIMITS


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"fit": "stretch"}, "fit='stretch': expected 'crop' or 'pad' or 'keep'"),
        ({"size": 8}, "size=8: expected at least 16 and at most 4096"),
        ({"size": "256"}, "size='256': expected a whole number"),
        ({"size": True}, "size=True: expected a whole number"),
        ({"threshold": 1}, "threshold=1: expected at least 0 and less than 1"),
        ({"threshold": float("nan")}, "threshold=nan: expected at least 0 and less than 1"),
        ({"styles": "outline"}, "styles='outline': expected a tuple of names or a list of names or None"),
        ({"hands": "none", "styles": ["outline"]}, "--styles: names hands, and there are none"),
        ({"masks": "nowhere"}, "--masks nowhere: no such folder"),
        ({"masks": str(ROOT)}, "`render` takes folders"),
        ({"method": "canny", "tom": "builtin"}, "--tom: has no meaning with --method canny"),
    ],
)
def test_a_value_that_cannot_be_is_one_line(photo, option, message):
    with pytest.raises(sketchforge.UsageError) as raised:
        sketchforge.sketch(photo, **option)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_keyword_that_is_misspelt_is_answered_with_the_right_one(photo):
    with pytest.raises(TypeError, match=r"sketch\(\) has no option 'draw_sise'; did you mean draw_size\?"):
        sketchforge.sketch(photo, draw_sise=64)


def test_keywords_of_shards_are_none_of_a_sketch(photo):
    with pytest.raises(TypeError, match="no option 'overwrite'"):
        sketchforge.sketch(photo, overwrite=True)


# One image


@pytest.mark.parametrize("more", [{}, {"fit": "pad"}, {"hands": "none"}], ids=str)
def test_a_file_is_drawn_as_render_stores_it(photo, tmp_path, more):
    sketches = sketchforge.sketch(photo, **SMALL, **more)
    sketchforge.render(photo, tmp_path / "out", workers=1, **SMALL, **more)
    stored = stored_sketches(tmp_path / "out")
    assert list(stored) == ["cat_png.sketch0.png", "cat_png.sketch1.png"]
    for sketch, expected in zip(sketches.values(), stored.values(), strict=True):
        np.testing.assert_array_equal(sketch, expected.astype(np.uint8) * 255)


def test_the_image_is_the_stored_one(photo, tmp_path):
    sketches = sketchforge.sketch(photo, method="canny", size=64)
    sketchforge.render(photo, tmp_path / "out", workers=1, method="canny", size=64)
    stored = next(iter(sketchforge.pairs(tmp_path / "out")))["image"]
    np.testing.assert_allclose((stored.permute(1, 2, 0).numpy() + 1) * 127.5, sketches.image, atol=0.01)


@pytest.mark.parametrize("form", ["path", "text", "pil", "array"])
def test_images_may_be_files_pil_images_or_arrays(photo, form):
    pixels = scene(3, 70, 90)
    forms = {"path": photo, "text": str(photo), "pil": Image.fromarray(pixels), "array": pixels}
    sketches = sketchforge.sketch(forms[form], method="canny", fit="keep")
    expected = sketchforge.sketch(photo, method="canny", fit="keep")
    np.testing.assert_array_equal(sketches["canny"], expected["canny"])


def test_a_list_gives_each_what_it_gives_alone(photo):
    pixels = scene(4, 40, 60)
    together = sketchforge.sketch([photo, pixels], method="canny", fit="keep")
    alone = [sketchforge.sketch(image, method="canny", fit="keep") for image in (photo, pixels)]
    for sketches, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(sketches["canny"], expected["canny"])


def test_another_seed_is_another_drawing(photo):
    first, second = (sketchforge.sketch(photo, **SMALL, hands_seed=seed)["outline"] for seed in (0, 1))
    assert (first != second).any()


def test_sketches_are_a_mapping_in_order(photo):
    sketches = sketchforge.sketch(photo, **SMALL | {"styles": ["brush", "outline"]})
    assert list(sketches) == ["brush", "outline"]
    assert sketches.to_array().shape == (2, 64, 64)
    assert set(np.unique(sketches.to_array())) == {0, 255}
    np.testing.assert_array_equal(np.asarray(sketches.to_pil("outline")), sketches["outline"])
    assert repr(sketches) == "<Sketches: 2 of 64 x 64 pixels: brush, outline>"
    with pytest.raises(KeyError, match="no such sketch; there are brush, outline"):
        sketches["chalk"]


def test_a_folder_is_for_render(photo):
    with pytest.raises(sketchforge.UsageError, match=r"a folder; expected an image \(`sketchforge.render`"):
        sketchforge.sketch(photo.parent)


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "not.jpg").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"not an image: .*not\.jpg"):
        sketchforge.sketch(tmp_path / "not.jpg", method="canny")
    with pytest.raises(ImageError, match=r"no such file: .*none\.jpg"):
        sketchforge.sketch(str(tmp_path / "none.jpg"), method="canny")


def test_an_array_of_another_kind_is_a_value_error():
    with pytest.raises(ValueError, match="expected uint8"):
        sketchforge.sketch(np.zeros((40, 40, 3)), method="canny")


# Many images


def test_render_writes_what_the_command_writes(photos, rendered, tmp_path):
    summary = sketchforge.render(
        photos,
        tmp_path / "out",
        method="canny",
        size=np.int64(48),
        samples_per_shard=4,
        batch_size=3,
        workers=1,
    )
    assert (summary.num_images, summary.complete) == (10, True)
    assert contents(tmp_path / "out") == contents(rendered.shards)


def test_render_writes_to_the_url_of_a_folder(photos, rendered, tmp_path):
    sketchforge.render(
        photos, "memory://api/out", method="canny", size=48, samples_per_shard=4, batch_size=3, workers=1
    )
    names = {path.name for path in rendered.shards.iterdir()}
    assert set(folder_at("memory://api/out").list()) == names


@pytest.mark.parametrize("styles", [None, ["outline", "brush"]], ids=str)
def test_every_image_is_paired_with_each_of_its_sketches(with_strokes, styles):
    dataset = sketchforge.pairs(with_strokes.shards, styles=styles)
    names = styles or dataset.shards.styles
    seen = [(item["key"], item["style"]) for item in dataset]
    keys = list(dict.fromkeys(key for key, _ in seen))
    assert seen == [(key, name) for key in keys for name in names]
    assert len(keys) == 4
    assert len(dataset) == len(seen)


def test_a_pair_is_what_is_stored(with_strokes):
    stored = stored_sketches(with_strokes.shards)
    dataset = sketchforge.pairs(with_strokes.shards)
    for index in (0, 13, -1):
        item = dataset[index]
        expected = stored[f"{item['key']}.sketch{dataset.styles.index(item['style'])}.png"]
        assert item["image"].shape == (3, 64, 64)
        assert item["sketch"].dtype == torch.float32
        np.testing.assert_array_equal(item["sketch"][0].numpy(), expected * 2.0 - 1)


def test_an_index_beyond_the_last_ends_the_dataset(with_strokes):
    with pytest.raises(IndexError, match="pair 40 of 40"):
        sketchforge.pairs(with_strokes.shards)[40]


def test_lines_cover_the_ink_of_their_sketch(with_strokes):
    dataset = sketchforge.pairs(with_strokes.shards, strokes=True, styles=["outline"])
    inked = [item for item in dataset if (item["sketch"] < 0).any()]
    assert inked
    for item in inked:
        points = torch.cat(item["strokes"])
        on_paper = points[(points[:, :2] >= 0).all(1) & (points[:, :2] <= 63).all(1)]
        x, y = on_paper[:, :2].round().long().T
        near = torch.nn.functional.max_pool2d(-item["sketch"][None], 3, 1, 1)[0, 0]
        assert (near[y, x] > 0).float().mean() > 0.9
        assert (points[:, 2] > 0).all()


def test_batches_of_lines_stay_lists(with_strokes):
    dataset = sketchforge.pairs(with_strokes.shards, strokes=True, styles=["outline"])
    batch = next(iter(DataLoader(dataset, batch_size=3, collate_fn=dataset.collate)))
    assert batch["image"].shape == (3, 3, 64, 64)
    assert [len(lines) for lines in batch["strokes"]] == [len(dataset[i]["strokes"]) for i in range(3)]


def test_a_dataset_goes_to_other_processes_without_its_files(with_strokes):
    dataset = sketchforge.pairs(with_strokes.shards)
    expected = dataset[5]
    copy = pickle.loads(pickle.dumps(dataset))
    torch.testing.assert_close(copy[5]["sketch"], expected["sketch"])


def test_a_split_is_a_dataset_of_its_own(photos, tmp_path):
    sketchforge.render(photos, tmp_path / "out", method="canny", size=32, workers=1, split="train=.5,test=.5")
    parts = [sketchforge.pairs(tmp_path / "out", split=name) for name in ("train", "test")]
    keys = [{item["key"] for item in part} for part in parts]
    assert not keys[0] & keys[1]
    assert keys[0] | keys[1] == {item["key"] for item in sketchforge.pairs(tmp_path / "out")}


def test_pairs_tell_what_they_are(with_strokes):
    expected = f"<PairDataset: {with_strokes.shards}, 4 images x 10 sketches of 64 x 64 pixels>"
    assert repr(sketchforge.pairs(with_strokes.shards)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"styles": ["quill"]}, "styles='quill': no such style in .*; there are canny"),
        ({"styles": "canny"}, "styles='canny': expected a list of names"),
        ({"styles": []}, r"styles=\[\]: expected a list of names"),
        ({"strokes": True}, "keeps no strokes; render with --strokes"),
        ({"split": "train"}, "has no split train"),
    ],
)
def test_pairs_that_are_not_there_are_one_line(rendered, options, message):
    with pytest.raises(sketchforge.UsageError, match=message):
        sketchforge.pairs(rendered.shards, **options)


def test_the_document_runs_as_it_stands(tmp_path, monkeypatch):
    """docs/api.md, on small images."""
    gan_run(tmp_path / "gan")
    monkeypatch.chdir(tmp_path)
    export(ExportOptions(run=Path("gan"), out=Path("model.safetensors"), tom=Path("builtin")))
    drawing(tmp_path, "drawing.png")
    make_photos(tmp_path / "photos", 2)
    Image.fromarray(scene(0, 48, 64)).save("painting.jpg")
    Image.fromarray(scene(1, 48, 64)).save("photo.jpg")
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    names = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.S | re.M):
        exec(compile(block, "docs/api.md", "exec"), names)
    assert Image.open("outline.png").size == (256, 256)
    assert Image.open("made.png").width == names["model"].size
    assert len(names["batch"]["strokes"]) == 4
    assert repr(names["plain"]) == "<Sketches: 1 of 64 x 48 pixels: canny>"

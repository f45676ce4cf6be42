"""`render --draw-size`: sketches drawn small, enlarged in grey, then made black and white, padded or drawn anew."""

import dataclasses
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cli.main import run
from sketchforge.checkpoints.tom import builtin_run
from sketchforge.errors import UsageError
from sketchforge.images.builtin.photos import load_photos
from sketchforge.images.line_art import SketchTone, binarize
from sketchforge.images.resize import fit_square, resize_image, shrink_to
from sketchforge.metrics.images.sketch_reconstruction import redrawing_of, sketch_distances
from sketchforge.options import RenderOptions, default_draw_size
from sketchforge.render.encode import encode_sketches
from sketchforge.render.render import render
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.sketchers.canny import CannySketcher
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.storage.folder import folder_at
from sketchforge.strokes.stored import strokes_from_json
from tests.helpers.photos import make_photos, scene

BUILTIN = {"tom": Path("builtin"), "checkpoints": 1, "workers": 1, "threads": 1}


def first_sketches(shards: Path) -> dict[str, np.ndarray]:
    images = {}
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".sketch0.png"):
                    data = tar.extractfile(member).read()
                    images[member.name.split(".")[0]] = np.array(Image.open(io.BytesIO(data)).convert("L"))
    return images


def render_canny(photos: Path, folder: Path, **options) -> dict[str, np.ndarray]:
    render(RenderOptions(folder, photos, method="canny", limit=4, workers=1, **options))
    return first_sketches(folder)


def test_a_picture_is_drawn_at_the_size_and_enlarged_in_grey(tmp_path):
    image = scene(3, 96, 96)
    (tmp_path / "photos").mkdir()
    Image.fromarray(image).save(tmp_path / "photos" / "a.png")
    drawn = render_canny(tmp_path / "photos", tmp_path / "out", size=96, draw_size=48)
    small = CannySketcher().draw(shrink_to(image, 48)[None]).result()[0, 0]
    expected = binarize(resize_image(small, 96, 96), 0.65, 0.65)
    assert np.array_equal(drawn["a_png"], expected)
    assert read_manifest(folder_at(tmp_path / "out"))["options"]["draw_size"] == 48


def test_padding_stays_around_the_enlarged_sketch(photos, tmp_path):
    drawn = render_canny(photos, tmp_path / "out", size=96, fit="pad", draw_size=48)
    assert all(sketch.shape == (96, 96) for sketch in drawn.values())
    assert all((sketch < 128).any() for sketch in drawn.values())
    for sketch in drawn.values():
        border = np.concatenate([sketch[0], sketch[-1], sketch[:, 0], sketch[:, -1]])
        assert (border == 255).mean() > 0.45, "two of the sides are padding"


@pytest.mark.parametrize("hands", ["none", "builtin"])
def test_pictures_kept_as_they_are_have_sketches_of_their_size(photos, tmp_path, hands):
    drawn = render_canny(photos, tmp_path / "out", fit="keep", draw_size=40, hands=hands)
    with tarfile.open(next(iter(sorted((tmp_path / "out").glob("*.tar"))))) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    for key, sketch in drawn.items():
        if f"{key}.jpg" in members:
            assert Image.open(io.BytesIO(members[f"{key}.jpg"])).size == sketch.shape[::-1]
    assert len({sketch.shape for sketch in drawn.values()}) > 1
    assert verify(tmp_path / "out").problems == []


def test_no_picture_is_enlarged_to_be_drawn(photos, tmp_path):
    own = render_canny(photos, tmp_path / "own", fit="keep")
    large = render_canny(photos, tmp_path / "large", fit="keep", draw_size=2000)
    assert all(np.array_equal(own[key], large[key]) for key in own)


def test_a_size_above_the_outputs_is_refused(photos, tmp_path):
    with pytest.raises(UsageError, match="--draw-size 96: is larger than --size 64"):
        render(RenderOptions(tmp_path / "out", photos, method="canny", size=64, draw_size=96))


def test_another_draw_size_is_refused_in_the_same_folder(photos, tmp_path):
    render_canny(photos, tmp_path / "out", size=64, draw_size=48)
    with pytest.raises(UsageError, match="was made with --draw-size 48, now 32"):
        render_canny(photos, tmp_path / "out", size=64, draw_size=32)


def test_a_size_that_follows_from_another_is_not_what_a_refusal_names(photos, tmp_path):
    render_canny(photos, tmp_path / "out", size=64)
    with pytest.raises(UsageError, match="was made with --size 64, now 48"):
        render_canny(photos, tmp_path / "out", size=48)


def test_the_command_takes_it(photos, tmp_path):
    words = ["render", "--images", str(photos), "--method", "canny", "--limit", "1", "--size", "64"]
    assert run([*words, "--draw-size", "32", "--shards", str(tmp_path / "out")]) == 0
    assert read_manifest(folder_at(tmp_path / "out"))["options"]["draw_size"] == 32


def test_by_default_only_tom_draws_small():
    for method, side in (("canny", 512), ("pidinet", 512), ("tom", default_draw_size(512))):
        assert RenderOptions(Path("out"), method=method).drawn_side(512) == side


@pytest.mark.parametrize("side", [16, 64, 200, 256, 481, 512, 1024, 4096])
def test_the_default_never_exceeds_the_picture_and_grows_with_it(side):
    assert 0 < default_draw_size(side) <= side
    assert default_draw_size(side) <= default_draw_size(side + 1)


def test_the_default_is_what_the_manifest_records(photos, tmp_path):
    options = RenderOptions(tmp_path / "out", photos, size=320, limit=1, **BUILTIN)
    render(options)
    assert read_manifest(folder_at(tmp_path / "out"))["options"]["draw_size"] == default_draw_size(320) < 320


def test_a_picture_drawn_again_is_drawn_at_the_same_size(tmp_path):
    photos = make_photos(tmp_path / "photos", 2)
    options = RenderOptions(tmp_path / "out", photos, size=96, draw_size=48, hands="none", **BUILTIN)
    render(options)
    shards = open_shards(tmp_path / "out")
    redrawing = redrawing_of(shards, Path("builtin"), torch.device("cpu"))
    stored = first_sketches(tmp_path / "out")
    with tarfile.open(sorted((tmp_path / "out").glob("*.tar"))[0]) as tar:
        image = np.array(Image.open(io.BytesIO(tar.extractfile("p000.jpg").read())))
    sketches = stored["p000"][None]
    same = sketch_distances(sketches, redrawing.draw(image[None], [0]))["relative"][0]
    large = dataclasses.replace(redrawing, draw_size=96)
    other = sketch_distances(sketches, large.draw(image[None], [0]))["relative"][0]
    assert same < 0.1 < other


@pytest.mark.parametrize("hands", ["none", "builtin"])
def test_strokes_are_kept_at_the_size_of_the_sketches(tmp_path, hands):
    image = np.full((96, 64, 3), 200, np.uint8)
    image[24:72, 16:48] = 20
    (tmp_path / "photos").mkdir()
    Image.fromarray(image).save(tmp_path / "photos" / "a.png")
    options = {"fit": "keep", "draw_size": 48, "hands": hands, "strokes": True}
    drawn = render_canny(tmp_path / "photos", tmp_path / "out", **options)
    with tarfile.open(next((tmp_path / "out").glob("*.tar"))) as tar:
        stored = strokes_from_json(tar.extractfile("a_png.strokes.json").read())
    assert stored.strokes.size == drawn["a_png"].shape == (96, 64)
    x, y = np.abs(stored.strokes.points - [31.5, 47.5]).T
    distance = np.maximum(x - 16, y - 24)
    assert np.abs(distance).max() < 4, "on the square's edge, but for its corners"


def test_lines_stand_where_they_are_at_any_size():
    """The encoder's poolings round odd sizes down: 187 = 4 · 46 + 3 pixels would stretch the coarse map over three more."""
    sketcher = TomSketcher.from_run(builtin_run(), 1, torch.device("cpu"))
    picture = fit_square(load_photos()[0][1], 192, "crop")
    whole = sketcher.draw(picture[None]).result()[0, 0].astype(float)
    part = sketcher.draw(picture[None, :187, :187]).result()[0, 0].astype(float)
    assert part.shape == (187, 187)
    assert np.abs(whole[:180, :180] - part[:180, :180]).mean() < 0.02 * 255


def test_sketches_are_enlarged_before_they_are_padded():
    grey = np.zeros((8, 4), np.uint8)
    png = encode_sketches(
        [grey], SketchTone(False, (0.5, 0.5), 8), stored_size=(16, 16), picture_size=(16, 8)
    ).pngs[0]
    ink = ~np.array(Image.open(io.BytesIO(png)))
    assert ink.sum() == 16 * 8
    assert ink[:, 4:12].all()


def test_hands_trace_small_and_paint_large(tmp_path):
    """The pen has its width at the size of the sketch: its edges are as sharp as those of one drawn large."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(fit_square(scene(5, 256, 256), 256, "crop")).save(tmp_path / "photos" / "a.png")
    options = RenderOptions(
        tmp_path / "out",
        tmp_path / "photos",
        method="canny",
        size=256,
        draw_size=64,
        hands="builtin",
        workers=1,
    )
    render(dataclasses.replace(options, sketch_format="png", grey_levels=256))
    grey = first_sketches(tmp_path / "out")["a_png"]
    between = ((grey > 32) & (grey < 224)).mean() / (grey < 128).mean()
    assert (grey < 128).any()
    assert between < 0.7, "enlarged by four, edges would be wider than lines"

"""`--fit pad`: the picture alone is drawn, photo and sketches get white borders alike, and borders are no lines."""

import io
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sketchforge.images.decode import read_image
from sketchforge.images.resize import fit_longer_side, fit_square, pad_white
from sketchforge.models.hed import HED
from sketchforge.models.pidinet import PiDiNet
from sketchforge.models.teed import TEED
from sketchforge.options import RenderOptions
from sketchforge.render.render import preview, render
from tests.helpers.folders import members
from tests.helpers.photos import scene

METHODS = ["tom", "canny", "hed", "pidinet", "teed"]
SIZE = 64


@pytest.fixture(scope="module")
def edge_weights(tmp_path_factory):
    """A file of weights for each edge network, made up: random ones see an edge at every border."""
    folder = tmp_path_factory.mktemp("weights")
    networks = {
        "hed": lambda: HED([[4, 4], [4, 4], [6, 6, 6], [6, 6, 6], [6, 6, 6]]),
        "pidinet": lambda: PiDiNet([4, 8, 12, 12], 4),
        "teed": lambda: TEED([4, 6, 8], 4, 6),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for method, build in networks.items():
            save_file(build().state_dict(), folder / f"{method}.safetensors")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Dark pictures, whose borders would be edges: wide, high twice, square, and two that shrink to a line."""
    folder = tmp_path_factory.mktemp("in")
    sizes = {
        "wide": (60, 90),
        "high": (90, 50),
        "square": (64, 64),
        "line": (8, 640),
        "post": (500, 8),
        "tall": (90, 50),
    }
    for seed, (name, (height, width)) in enumerate(sizes.items()):
        Image.fromarray(scene(seed, height, width) // 3).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module", params=METHODS)
def padded(request, edge_weights, photos, tmp_path_factory):
    """The options of a padded rendering in grey, and its samples by name: (photo, sketch, metadata)."""
    method = request.param
    more = {"tom": {"tom": "builtin", "checkpoints": 1, "hands": "none"}, "canny": {}}
    options = RenderOptions(
        tmp_path_factory.mktemp(method) / "out",
        photos,
        method=method,
        size=SIZE,
        fit="pad",
        sketch_format="png",
        grey_levels=256,
        device="cpu",
        threads=1,
        workers=1,
        samples_per_shard=9,
        **more.get(method, {"edge_weights": edge_weights / f"{method}.safetensors"}),
    )
    assert render(options).outcomes == {"ok": 6}
    files = members(options.shards)
    samples = {}
    for key in {name.split(".")[0] for name in files}:
        photo, sketch = (read_image(files[f"{key}.{ending}"]) for ending in ("jpg", "sketch0.png"))
        samples[key.removesuffix("_png")] = photo, sketch[..., 0], json.loads(files[f"{key}.json"])
    return options, samples


def place(name: str, photos) -> tuple[np.ndarray, tuple[slice, slice]]:
    """A photo without borders, and where it lies within them."""
    picture = fit_longer_side(read_image(photos / f"{name}.png"), SIZE)
    top, left = ((SIZE - side) // 2 for side in picture.shape[:2])
    return picture, (slice(top, top + picture.shape[0]), slice(left, left + picture.shape[1]))


def test_photo_and_sketch_are_squares_of_the_size_asked_for(padded):
    for photo, sketch, metadata in padded[1].values():
        assert photo.shape == (SIZE, SIZE, 3)
        assert sketch.shape == (SIZE, SIZE)
        assert (metadata["width"], metadata["height"]) == (SIZE, SIZE)


def test_there_is_no_ink_in_the_borders(padded, photos):
    for name, (_, sketch, _) in padded[1].items():
        borders = sketch.copy()
        borders[place(name, photos)[1]] = 255
        assert (borders == 255).all(), name


def test_the_sketch_is_that_of_the_picture_without_borders(padded, photos):
    options, samples = padded
    sketcher = preview(options).ready.sketcher
    for name in ("wide", "high", "square"):
        picture, inside = place(name, photos)
        assert (samples[name][1][inside] == sketcher.draw(picture[None]).result()[0, 0]).all(), name


def test_a_picture_that_shrinks_to_a_line_is_drawn_as_if_it_went_on_beside_it(padded, photos):
    options, samples = padded
    sketcher = preview(options).ready.sketcher
    for name, missing in (("line", (15, 0)), ("post", (0, 15))):
        picture, inside = place(name, photos)
        assert min(picture.shape[:2]) == 1
        longer = np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        if options.method == "canny":  # needs no more than there is
            longer = picture
        drawn = sketcher.draw(longer[None]).result()[0, 0, : picture.shape[0], : picture.shape[1]]
        assert (samples[name][1][inside] == drawn).all(), name


def test_the_photo_lies_in_the_middle_of_white(padded, photos):
    for name, (photo, _, _) in padded[1].items():
        picture, inside = place(name, photos)
        expected = np.full((SIZE, SIZE, 3), 255, np.uint8)
        expected[inside] = picture
        assert np.abs(photo.astype(int) - expected).mean() < 4, name  # JPEG


def test_a_jpeg_of_the_right_size_is_stored_as_it_is(tmp_path):
    (tmp_path / "in").mkdir()
    buffer = io.BytesIO()
    Image.fromarray(scene(1, SIZE, SIZE)).save(buffer, "JPEG")
    (tmp_path / "in" / "a.jpg").write_bytes(buffer.getvalue())
    render(RenderOptions(tmp_path / "out", tmp_path / "in", method="canny", size=SIZE, fit="pad", workers=1))
    assert members(tmp_path / "out")["a.jpg"] == buffer.getvalue()


@pytest.mark.parametrize("form", ["png", "png1"])
def test_pictures_of_many_shapes_come_out_in_input_order(photos, tmp_path, form):
    options = {"method": "canny", "size": SIZE, "fit": "pad", "sketch_format": form, "batch_size": 6}
    for workers in (1, 2):
        render(
            RenderOptions(tmp_path / str(workers), photos, workers=workers, samples_per_shard=9, **options)
        )
    first, second = (members(tmp_path / name) for name in "12")
    assert list(first.items()) == list(second.items())
    keys = list(dict.fromkeys(name.split(".")[0] for name in first))
    assert keys == ["high_png", "line_png", "post_png", "square_png", "tall_png", "wide_png"]


def test_padding_by_hand():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (pad_white(image, 4, 3) == [[255] * 3, [0, 1, 2], [3, 4, 5], [255] * 3]).all()
    assert (pad_white(image, 3, 3) == [[0, 1, 2], [3, 4, 5], [255] * 3]).all()
    assert pad_white(image, 2, 3) is image
    assert (fit_square(image, 3, "pad") == pad_white(image, 3, 3)).all()


def test_resizing_to_the_longer_side():
    for (height, width), expected in {(60, 30): (20, 10), (30, 60): (10, 20), (1, 999): (1, 20)}.items():
        assert fit_longer_side(np.zeros((height, width), np.uint8), 20).shape == expected
    assert cv2.countNonZero(fit_longer_side(np.full((40, 20), 7, np.uint8), 20) - 7) == 0


@pytest.mark.parametrize("method", METHODS)
def test_small_images_that_are_kept_are_drawn(method, edge_weights, tmp_path):
    """The smallest that are taken have eight pixels a side."""
    (tmp_path / "in").mkdir()
    for height, width in ((8, 8), (8, 40), (15, 9)):
        Image.fromarray(scene(1, height, width)).save(tmp_path / "in" / f"{height}-{width}.png")
    weights = {"edge_weights": edge_weights / f"{method}.safetensors"}
    more = {"tom": {"tom": "builtin", "checkpoints": 1, "hands": "none"}, "canny": {}}.get(method, weights)
    options = RenderOptions(
        tmp_path / "out",
        tmp_path / "in",
        method=method,
        fit="keep",
        workers=1,
        threads=1,
        device="cpu",
        **more,
    )
    assert render(options).outcomes == {"ok": 3}

"""Image, sketch, variant and style view: aligned where they must be, changed where they may be."""

import cv2
import numpy as np
import pytest
import torch

from sketchforge.data import augment as images
from sketchforge.data.augment import pair_pixels, stored_pair, training_pair
from sketchforge.data.augment_gpu import PairBatches, _style_views
from sketchforge.data.augment_params import PairAugmentation, PairParams, sample_pairs
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import normalize_pixels
from tests.helpers.photos import scene

PLAIN = PairAugmentation(erased=0)


def byte_sources(seed: int, side: int = 96) -> np.ndarray:
    """uint8 HxWx3: smooth dark and light regions, the same in every channel."""
    noise = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    grey = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def threshold_of(image: np.ndarray) -> np.ndarray:
    return np.where(image[..., 0] > 128, 255, 0).astype(np.uint8)


def white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def drawn(
    key: int, image: np.ndarray, size: int, augment: PairAugmentation = PairAugmentation()
) -> PairParams:
    return sample_pairs(0, [key], *image.shape[:2], size, augment)


def style_view(image: np.ndarray, size: int, key: int) -> np.ndarray:
    params = drawn(key, image, size)
    return images.style_view(image, size, params.shrunk[0], params.view[0])


def sketch_variant(
    sketch: np.ndarray, key: int, augment: PairAugmentation = PairAugmentation()
) -> np.ndarray:
    params = drawn(key, sketch, sketch.shape[0], augment)
    return images.sketch_variant(sketch, params.line_width[0], params.erased[0])


@pytest.mark.parametrize("side", [40, 64, 90, 200])
@pytest.mark.parametrize("augment", [PairAugmentation(), None])
def test_a_pair_has_the_shapes_types_and_ranges_that_are_told(side, augment):
    image = scene(1, side, side)
    pair = training_pair(image, [threshold_of(image), image[..., 1]], 64, 0, 0, augment)
    assert {name: tuple(tensor.shape) for name, tensor in pair.items()} == {
        "image": (3, 64, 64), "sketch": (1, 64, 64), "variant": (1, 64, 64), "style_view": (3, 64, 64)
    }  # fmt: skip
    for tensor in pair.values():
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        assert -1 <= tensor.min()
        assert tensor.max() <= 1
    assert pair["sketch"].max() == 1, "paper is 1"


@pytest.mark.parametrize("side", [60, 64, 128])
def test_image_and_sketches_stay_aligned(side):
    image = byte_sources(side, side)
    moved = set()
    for key in range(12):
        pair = training_pair(image, [threshold_of(image), threshold_of(image)], 64, 0, key, PLAIN)
        inside = pair["image"][0].abs() > 0.25  # resampling may go either way near the threshold
        assert inside.float().mean() > 0.2
        assert torch.equal(pair["sketch"][0][inside] > 0, pair["image"][0][inside] > 0)
        assert ((pair["variant"] > 0) == (pair["sketch"] > 0)).float().mean() > 0.85  # but for its boldness
        moved.add(pair["sketch"].numpy().tobytes())
    assert len(moved) > 8, "the crop changes from key to key"


def test_crops_and_flips_are_of_both_kinds_and_span_the_margin():
    rows, columns = np.mgrid[0:110, 0:110].astype(np.uint8)
    image = np.stack([columns, rows, 0 * rows], axis=2)
    corners, flips = set(), 0
    for key in range(300):
        crop = pair_pixels(image, [rows], 100, 0, key)["image"]  # 110 = 1.1 · 100: cut, not resampled
        flipped = crop[0, 0, 0] > crop[0, 0, -1]
        flips += int(flipped)
        left = crop[0, 0, -1 if flipped else 0]
        corners.add((int(left), int(crop[1, 0, 0])))
        assert torch.equal(crop[0, 0].sort().values, torch.arange(left, left + 100, dtype=torch.uint8))
    lefts, tops = zip(*corners)
    assert (min(lefts), max(lefts), min(tops), max(tops)) == (0, 10, 0, 10)
    assert 110 < flips < 190


def test_a_pair_depends_on_seed_and_key_only():
    image = byte_sources(1)
    sketches = [threshold_of(image), image[..., 0]]

    def pair(seed, key):
        return training_pair(image, sketches, 64, seed, key)

    first = pair(0, 5)
    pair(0, 6)
    assert all(torch.equal(first[name], again) for name, again in pair(0, 5).items())
    for other in (pair(1, 5), pair(0, 6)):
        assert not any(torch.equal(first[name], changed) for name, changed in other.items())


def test_the_variant_is_of_the_other_sketch():
    image = byte_sources(1)
    paper, ink = np.full((96, 96), 255, np.uint8), np.zeros((96, 96), np.uint8)
    pair = training_pair(image, [paper, ink], 64, 0, 0, PLAIN)
    assert (pair["sketch"] == 1).all()
    assert (pair["variant"] == -1).all()
    alone = training_pair(image, [ink], 64, 0, 0, PLAIN)
    assert (alone["sketch"] == -1).all()
    assert (alone["variant"] == -1).all()


def test_without_augmentation_nothing_is_left_to_chance():
    image = byte_sources(2, 64)
    sketches = [threshold_of(image), 255 - threshold_of(image)]
    pair = training_pair(image, sketches, 64, 0, 0, None)
    expected = torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1
    torch.testing.assert_close(pair["image"], expected)
    assert torch.equal(pair["style_view"], pair["image"])
    assert torch.equal(pair["variant"], -pair["sketch"])
    again = training_pair(image, sketches, 64, 9, "another", None)
    assert all(torch.equal(again[name], tensor) for name, tensor in pair.items())


def test_of_other_shapes_the_centre_is_taken():
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 30:70] = 255
    pair = training_pair(image, [image[..., 0]], 40, 0, 0, None)
    assert (pair["image"] == 1).all()
    assert (pair["sketch"] == 1).all()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (50, 90), (300, 200), (9, 9)])
def test_white_images_stay_white(height, width):
    image = white(height, width)
    for key in range(40):
        pair = pair_pixels(image, [image[..., 0]], 64, 0, key)
        assert all((tensor == 255).all() for tensor in pair.values())


def test_the_style_view_shows_nothing_from_beyond_the_border():
    """Red says the column, green the row: within the image, not mirrored at its edge, both are linear."""
    side, size = 120, 48
    rows, columns = np.mgrid[0:side, 0:side].astype(np.uint8)
    image = np.stack([columns, rows, 0 * rows], axis=2)
    grid = np.stack([*np.mgrid[0:size, 0:size], np.ones((size, size))]).reshape(3, -1).T
    angles, sides, flips = [], [], 0
    for key in range(200):
        view = style_view(image, size, key).reshape(-1, 3).astype(float)
        fitted, *_ = np.linalg.lstsq(grid, view[:, :2], rcond=None)
        assert np.abs(grid @ fitted - view[:, :2]).max() < 1.6, "one affine map, rounded"
        (x_down, y_down), (x_right, y_right) = fitted[:2]
        flipped = x_right * y_down - x_down * y_right < 0
        flips += flipped
        angles.append(np.degrees(np.arctan2(-x_down, y_down)))
        sides.append(np.hypot(x_right, y_right) * size / side)
        np.testing.assert_allclose(np.hypot(x_down, y_down), np.hypot(x_right, y_right), rtol=0.02)
    assert -30.5 < min(angles) < -25
    assert 25 < max(angles) < 30.5
    assert 0.65 < min(sides) < 0.7
    assert 0.9 < max(sides) <= 1.01
    assert 70 < flips < 130


def test_style_views_of_large_images_do_not_alias():
    """A fine checkerboard is grey from afar."""
    image = np.repeat((np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    for key in range(10):
        view = style_view(image, 64, key)
        assert abs(view.astype(int) - 127).max() < 20


def test_variants_are_bolder_or_thinner_but_the_same_drawing():
    sketch = np.full((64, 64), 255, np.uint8)
    sketch[30, 10:50] = 0  # a line of one pixel
    inks = set()
    for key in range(60):
        variant = sketch_variant(sketch, key, PLAIN)
        assert variant[30, 30] < 200, "no line is lost"
        assert (np.delete(variant, [29, 30, 31], axis=0) == 255).all()
        inks.add(round((255 - variant).sum() / 255))
    assert inks == {40 // 2, 40, 40 + 2 * 40 + 2, 3 * 42}  # half of it, as it was, by a cross, by a square
    assert (sketch[30, 10:50] == 0).all(), "the sketch itself is untouched"


def test_erased_regions_are_white_and_of_the_share_asked_for():
    ink = np.zeros((200, 200), np.uint8)
    once, shares, tried = PairAugmentation(erased=1), [], 300
    for key in range(tried):
        variant = sketch_variant(ink, key, once)
        rows, columns = np.nonzero(variant)
        if len(rows):
            shares.append(len(rows) / ink.size)
            assert set(np.unique(variant)) == {0, 255}
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1), "one rectangle"
    assert 0.73 < len(shares) / tried < 0.87
    assert 0.0195 < min(shares) < 0.025
    assert 0.095 < max(shares) < 0.1005
    variants = [sketch_variant(ink, key) for key in range(50)]
    assert {cv2.connectedComponents(variant)[0] - 1 for variant in variants} == {0, 1, 2}


def test_pixels_are_the_pair_before_normalisation():
    image = byte_sources(3)
    pixels = pair_pixels(image, [threshold_of(image)], 64, 0, 0)
    pair = training_pair(image, [threshold_of(image)], 64, 0, 0)
    for name, tensor in pixels.items():
        assert tensor.dtype == torch.uint8
        assert torch.equal(normalize_pixels(tensor), pair[name])
    interval = normalize_pixels(torch.tensor([0, 255], dtype=torch.uint8))
    assert interval.tolist() == [-1, 1]
    assert interval.dtype == torch.float32


@pytest.mark.parametrize("shape", [(256,), (1, 256), (2, 3, 5, 7), (0, 3)])
def test_normalised_are_the_numbers_of_the_formula(shape):
    pixels = (torch.arange(int(np.prod(shape))) % 256).to(torch.uint8).reshape(shape)
    expected = pixels.float().div(127.5).sub(1)
    found = normalize_pixels(pixels)
    assert found.shape == pixels.shape
    assert torch.equal(found, expected)
    turned = normalize_pixels(pixels.movedim(0, -1))  # not contiguous, where there is more than one axis
    assert torch.equal(turned.movedim(-1, 0), expected)


@pytest.mark.parametrize(("stored", "size"), [(96, 16), (96, 50), (96, 88), (96, 96), (96, 128)])
@pytest.mark.parametrize("augment", [PairAugmentation(), None])
def test_the_quick_way_has_the_bytes_of_the_plain_one(stored, size, augment):
    """Every image by itself, cut, mirrored and transposed by indexing."""
    image = scene(7, stored, stored + 9)
    sketches = [cv2.Canny(image, low, 3 * low) for low in (20, 60)]
    for key in range(12):
        zoomed, top, left, flip = size, 0, 0, False
        if augment is not None:
            params = sample_pairs(3, [key], stored, stored + 9, size, augment)
            zoomed, (top, left), flip = augment.zoomed(size), params.corner[0], params.flip[0]
        cut = [
            fit_square(pixels, zoomed, "crop")[top : top + size, left : left + size][:, :: -1 if flip else 1]
            for pixels in (image, *sketches)
        ]
        expected = {"image": cut[0].transpose(2, 0, 1), "sketch": cut[1][None]}
        if augment is None:
            expected |= {"variant": cut[2][None], "style_view": expected["image"]}
        else:
            variant = images.sketch_variant(cut[2], params.line_width[0], params.erased[0])
            height, width = params.shrunk[0].tolist()
            smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            view = cv2.warpAffine(  # of bytes
                smaller, params.view[0], (size, size), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            )  # fmt: skip
            expected |= {"variant": variant[None], "style_view": view.transpose(2, 0, 1)}
        found = pair_pixels(image, sketches, size, 3, key, augment)
        assert found.keys() == expected.keys()
        for name, tensor in found.items():
            np.testing.assert_array_equal(tensor.numpy(), expected[name], name)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(96, 96, 96), (96, 96, 24), (96, 105, 96), (64, 64, 90), (150, 110, 100), (40, 60, 16), (9, 9, 9)],
)
def test_made_on_the_device_they_are_the_same(height, width, size):
    """But for rounding, once each time that an image is resampled."""
    count, device = 12, torch.device("cpu")
    images = [scene(key, height, width) for key in range(count)]
    sketches = [[255 - cv2.Canny(image, low, 3 * low) for low in (20, 60)] for image in images]
    stored = [stored_pair(image, drawn, key) for key, (image, drawn) in enumerate(zip(images, sketches))]
    batch = {name: torch.from_numpy(np.stack([one[name] for one in stored])) for name in stored[0]}
    batch |= {"position": torch.arange(count), "index": torch.arange(count) + 5, "names": ["x"] * count}
    found = PairBatches(size, 3)(batch, device)
    assert torch.equal(found["index"], batch["index"])
    assert found["names"] is batch["names"]
    for name in ("image", "sketch", "variant", "style_view"):
        pairs = [training_pair(image, sketches[key], size, 3, key) for key, image in enumerate(images)]
        expected = torch.stack([pair[name] for pair in pairs])
        assert found[name].dtype == torch.float32
        assert found[name].is_contiguous()
        assert found[name].shape == expected.shape
        off = (found[name] - expected).abs() * 127.5
        # Before version 5, cv2's warp knew 32 positions between two pixels.
        most, share = (1.01, 0.05) if int(cv2.__version__.split(".")[0]) >= 5 else (40, 0.2)
        assert off.max() < most, name
        assert (off > 0.5).float().mean() < share, name


def test_beyond_the_border_each_image_is_reflected_whatever_the_size_of_the_others():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    shrunk = np.array([[20, 20], [31, 31], [32, 32], [33, 33]])
    view = np.tile(np.array([[1.0, 0, 0], [0, 1, 0]]), (4, 1, 1))
    view[:, :, 2] = shrunk - 7.6  # the last column and row lie at the very border
    none = np.zeros((4, 0, 4), np.int64)
    params = PairParams(np.zeros((4, 2), int), np.zeros(4, bool), np.zeros(4, int), none, shrunk, view)
    found = _style_views(torch.from_numpy(image).permute(2, 0, 1).float().expand(4, -1, -1, -1), params, 8)
    for row in range(4):
        expected = images.style_view(image, 8, shrunk[row], view[row])
        assert abs(found[row].permute(1, 2, 0).numpy() - expected).max() <= 1


def test_on_the_device_pairs_do_not_depend_on_the_batch():
    images = np.stack([scene(key, 40, 50) for key in range(4)])
    batch = {"image": torch.from_numpy(images), "sketch": torch.from_numpy(images[..., 0].copy()),
             "variant": torch.from_numpy(images[..., 1].copy()), "position": torch.arange(10, 14)}  # fmt: skip
    together = PairBatches(16, 0)(batch, torch.device("cpu"))
    for row in range(4):
        alone = PairBatches(16, 0)(
            {name: value[row : row + 1] for name, value in batch.items()}, torch.device("cpu")
        )
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][row], rtol=0, atol=1.01 / 127.5)


IMAGE, SKETCH = np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)


@pytest.mark.parametrize(
    ("image", "sketches", "message"),
    [
        (IMAGE.astype(np.float32), [SKETCH], "image: expected uint8 H×W×3, found float32"),
        (SKETCH, [SKETCH], "image: expected uint8 H×W×3"),
        (IMAGE, [], "0 sketches: expected two"),
        (IMAGE, [SKETCH] * 3, "3 sketches: expected two"),
        (IMAGE, [SKETCH, SKETCH[:8]], r"of the image's \(9, 9\), found uint8 of shape \(8, 9\)"),
        (IMAGE, [IMAGE], "sketch: expected uint8"),
    ],
)
def test_what_is_no_pair(image, sketches, message):
    with pytest.raises(ValueError, match=message) as error:
        training_pair(image, sketches, 8, 0, 0)
    assert "\n" not in str(error.value)

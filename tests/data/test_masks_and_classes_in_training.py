"""Masks and classes in the training stream: with their images, whoever reads them, from whichever step on."""

import functools
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sketchforge.data.augment import pair_pixels, stored_pair, training_pair
from sketchforge.data.augment_gpu import PairBatches
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.loader import batches
from sketchforge.data.order import SampleOrder
from sketchforge.data.prefetch import move_to_device
from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.shard_set import DamagedError, open_shards
from tests.helpers.folders import members
from tests.helpers.photos import scene

SIDE = 24
PAIR = functools.partial(training_pair, size=SIDE, seed=0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Seven cutouts, black discs on white, of the classes ant and cat, three a shard."""
    folder = tmp_path_factory.mktemp("extras")
    for number in range(7):
        rows, columns = np.mgrid[:48, :60]
        disc = (rows - 16 - 2 * number) ** 2 + (columns - 42 + 3 * number) ** 2 < 180
        alpha = np.where(disc, 255, 0).astype(np.uint8)
        pixels = np.stack([255 - alpha, 255 - alpha, 255 - alpha, alpha], axis=2)
        inside = folder / "in" / ("ant" if number < 3 else "cat")
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(inside / f"{number}.png")
    out = folder / "out"
    render(
        RenderOptions(
            out, folder / "in", method="canny", size=48, workers=1, samples_per_shard=3,
            masks="alpha", labels="folder",
        )
    )  # fmt: skip
    return out


def dataset(shards, make=PAIR, **more) -> ShardDataset:
    opened = open_shards(shards)
    asked = {"masks": True, "classes": True, "num_sketches": 1} | more
    return ShardDataset(opened, SampleOrder(opened.shard_sizes, 5), make, **asked)


@pytest.mark.parametrize("size", [20, 50, 96, 128])
@pytest.mark.parametrize("height_and_width", [(96, 105), (80, 64)])
def test_a_mask_is_cut_mirrored_and_resized_as_its_image_is(size, height_and_width):
    image = scene(3, *height_and_width)
    for key in range(10):
        pair = pair_pixels(image, [image[..., 0].copy()], size, 1, key, mask=image[..., 1].copy())
        assert np.array_equal(pair["mask"][0], pair["image"][1])


def test_without_augmentation_a_mask_is_the_centred_square():
    image = scene(3, 64, 80)
    pair = pair_pixels(image, [image[..., 0].copy()], 32, 1, 0, augment=None, mask=image[..., 1].copy())
    assert np.array_equal(pair["mask"][0], pair["image"][1])


def test_a_mask_changes_nothing_else():
    image, sketches = scene(3, 64, 80), [scene(4, 64, 80)[..., 0].copy()]
    with_mask = pair_pixels(image, sketches, 32, 1, 0, mask=sketches[0])
    for name, pixels in pair_pixels(image, sketches, 32, 1, 0).items():
        assert torch.equal(pixels, with_mask[name]), name


@pytest.mark.parametrize("size", [20, 64, 90])
def test_made_on_the_device_masks_are_the_same(size):
    images = [scene(key, 64, 70) for key in range(6)]
    drawn = [[scene(key + 9, 64, 70)[..., 0].copy()] for key in range(6)]
    stored = [stored_pair(image, drawn[key], key, image[..., 2].copy()) for key, image in enumerate(images)]
    batch = {name: torch.from_numpy(np.stack([entry[name] for entry in stored])) for name in stored[0]}
    masks = PairBatches(size, 3)(batch | {"position": torch.arange(6)}, torch.device("cpu"))["mask"]
    assert (masks.dtype, masks.shape) == (torch.float32, (6, 1, size, size))
    expected = [
        training_pair(image, drawn[key], size, 3, key, mask=image[..., 2].copy())["mask"]
        for key, image in enumerate(images)
    ]
    assert (masks - torch.stack(expected)).abs().max() * 255 < 1.01  # rounding


@pytest.mark.parametrize(
    "mask", [np.zeros((64, 79), np.uint8), np.zeros((64, 80), bool)], ids=["shape", "dtype"]
)
def test_what_is_no_mask_of_the_image_is_refused(mask):
    image = scene(3, 64, 80)
    with pytest.raises(ValueError, match="mask: expected uint8 of the image's"):
        pair_pixels(image, [image[..., 0].copy()], 32, 1, 0, mask=mask)


def test_masks_are_between_0_and_1_and_lie_where_the_subject_does(shards):
    data = dataset(shards)
    for position in range(7):
        sample = data[position]
        assert (sample["mask"].dtype, sample["mask"].shape) == (torch.float32, (1, SIDE, SIDE))
        assert 0 <= sample["mask"].min()
        assert sample["mask"].max() == 1
        darkness = (1 - sample["image"].mean(0)) / 2
        assert (darkness - sample["mask"][0]).abs().mean() < 0.02  # JPEG's own


def test_classes_are_those_of_the_images(shards):
    data = dataset(shards)
    assert data.shards.classes == ["ant", "cat"]
    found = {data[position]["index"]: data[position]["class"] for position in range(7)}
    assert found == {0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 1}


def test_what_is_not_asked_for_is_not_there(shards):
    sample = dataset(shards, masks=False, classes=False)[0]
    assert not {"mask", "class"} & sample.keys()


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("make", [PAIR, functools.partial(pair_pixels, size=SIDE, seed=0)])
def test_workers_and_a_later_start_give_the_same_bits(shards, make):
    data = dataset(shards, make)
    alone, resumed = list(batches(data, 3, 0, 4)), list(batches(data, 3, 2, 2, workers=2))
    assert alone[0]["class"].dtype == torch.int64
    assert alone[0]["class"].shape == (3,)
    for one, other in zip(alone[2:], resumed, strict=True):
        assert_same(one, other)


def test_the_batch_that_a_sample_is_in_does_not_matter(shards):
    data = dataset(shards)
    (together,) = batches(data, 6, 0, 1)
    for row, alone in enumerate(batches(data, 1, 0, 6)):
        assert torch.equal(alone["mask"][0], together["mask"][row])
        assert alone["class"][0] == together["class"][row]


def test_on_the_device_masks_are_between_0_and_1_and_images_are_not(shards):
    data = dataset(shards, functools.partial(pair_pixels, size=SIDE, seed=0))
    (batch,) = batches(data, 4, 0, 1)
    moved = move_to_device(batch, torch.device("cpu"))
    assert (moved["mask"].min(), moved["mask"].max()) == (0, 1)
    assert (moved["image"].min(), moved["image"].max()) == (-1, 1)
    assert torch.equal(moved["mask"], next(iter(batches(dataset(shards), 4, 0, 1)))["mask"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"masks": True, "classes": False}, "keeps no masks; render with --masks head into another folder"),
        ({"masks": False}, "its images have no classes; render with --labels folder into another folder"),
    ],
)
def test_shards_without_them_are_refused(rendered, asked, message):
    with pytest.raises(UsageError, match=message):
        dataset(rendered.shards, **asked)


@pytest.mark.parametrize(
    ("member", "data", "message"),
    [
        ("ant__0_png.cls", b"2", r"ant__0_png.cls: b'2', expected a class, 0 to 1"),
        ("ant__0_png.cls", b"-1", "expected a class, 0 to 1"),
        ("ant__0_png.cls", "٣".encode(), "expected a class, 0 to 1"),
        ("ant__0_png.mask.png", b"\x89PNG", "ant__0_png.mask.png: cannot be decoded"),
        ("ant__0_png.mask.png", None, "ant__0_png.mask.png: is missing"),
        ("ant__0_png.cls", None, "ant__0_png.cls: is missing"),
    ],
)
def test_damaged_ones_are_named_or_passed_over(shards, tmp_path, member, data, message):
    own = shutil.copytree(shards, tmp_path / "out")
    replace_member(own, member, data)
    damaged = dataset(own)
    position = next(number for number in range(7) if damaged.order.index_of(number) == 0)
    with pytest.raises(DamagedError, match=message):
        damaged[position]
    assert dataset(own, skip_bad=True)[position]["skipped"] == 1
    assert dataset(own, masks=False, classes=False)[position]["skipped"] == 0


def replace_member(shards: Path, name: str, data: bytes | None) -> None:
    """Replace a member of the first tar, or leave it out, and let the manifest agree."""
    path = shards / "00000.tar"
    kept = members(shards) | {name: data}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for each, content in kept.items():
            if content is not None:
                info = tarfile.TarInfo(each)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    manifest = json.loads((shards / "manifest.json").read_text())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["shards"][0] |= {"bytes": path.stat().st_size, "sha256": digest}
    (shards / "manifest.json").write_text(json.dumps(manifest))

"""Sets of images: what is read, in which order; pairs of sketch and style; features that are kept."""

from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.metrics.images.feature_cache import cached_features, features_digest, features_folder
from sketchforge.metrics.images.features import FeatureNetwork
from sketchforge.metrics.images.generate import matched_pairs, mismatched_pairs
from sketchforge.metrics.images.inputs import (
    SampleReader,
    name_of,
    open_image_set,
    shard_images,
    take_inventory,
)
from sketchforge.shards.shard_set import open_shards
from tests.helpers.photos import make_photos, scene
from tests.helpers.recorded_progress import RecordedProgress


def test_a_folder_is_read_in_order_and_spread(photos):
    whole = open_image_set(photos, 0)
    found = list(whole.images())
    assert (whole.name, whole.num_found, whole.count) == (photos.name, 10, 10)
    assert [key for key, _ in found] == [key for key, _ in whole.images()]
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for _, image in found)
    few = open_image_set(str(photos), 4)
    assert (few.num_found, few.count) == (10, 4)
    assert [key for key, _ in few.images()] == [found[place][0] for place in (0, 3, 6, 9)]


def test_shards_are_read_like_a_folder_of_their_images(ten_sketches):
    shards = open_image_set(str(ten_sketches), 0)
    found = dict(shards.images())
    assert shards.count == len(found) == 10
    reader = SampleReader(open_shards(ten_sketches))
    for index, key in enumerate(found):
        stored = reader.read(index, [3])
        assert stored.key == key
        assert np.array_equal(stored.image, found[key])
    reader.close()
    assert shard_images(open_shards(ten_sketches), 3).count == 3


def test_many_shards_do_not_stay_open(ten_sketches, monkeypatch):
    monkeypatch.setattr("sketchforge.metrics.images.inputs.OPEN_SHARDS", 1)
    reader = SampleReader(open_shards(ten_sketches))
    keys = [reader.read(index, []).key for index in (0, 9, 4, 0)]
    assert len(reader._open) == 1
    assert keys[0] == keys[3] != keys[1]
    reader.close()


def test_images_are_fitted_as_a_model_sees_them(tmp_path):
    Image.fromarray(scene(0, 60, 90)).save(tmp_path / "a.png")
    (image,) = open_image_set(tmp_path, 0).at(30).readable()
    wanted = cv2.resize(scene(0, 60, 90)[:, 15:75], (30, 30), interpolation=cv2.INTER_AREA)
    assert np.array_equal(image, wanted)


def test_grey_images_have_three_equal_channels_and_damaged_ones_are_counted(tmp_path):
    make_photos(tmp_path, 2)
    Image.fromarray(scene(0, 40, 40)[..., 0]).save(tmp_path / "grey.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    images = open_image_set(tmp_path, 0)
    found = take_inventory(images)
    assert (found.count, found.unreadable) == (3, 1)
    assert len(found.sizes) == 3
    (grey,) = (image for key, image in images.images() if key.startswith("grey"))
    assert np.array_equal(grey[..., 0], grey[..., 2])


def test_sets_of_nothing_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such folder or file"):
        open_image_set(tmp_path / "absent", 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no images found"):
        open_image_set(tmp_path / "empty", 0)
    make_photos(tmp_path / "one", 1)
    with pytest.raises(UsageError, match="1 image that can be read; sets to compare need two"):
        take_inventory(open_image_set(tmp_path / "one", 0))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(SketchforgeError, match="none of its 1 image can be read"):
        take_inventory(open_image_set(tmp_path / "bad", 0))


def test_equal_pixels_are_known_whatever_they_are_called(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    for number in range(3):
        Image.fromarray(scene(number, 40, 40)).save(tmp_path / "a" / f"x{number}.png")
        Image.fromarray(scene(number, 40, 40)).save(tmp_path / "b" / f"y{number}.bmp")
        Image.fromarray(scene(number + 1, 40, 40)).save(tmp_path / "c" / f"x{number}.png")
    a, b, c = (set(take_inventory(open_image_set(tmp_path / name, 0)).digests) for name in "abc")
    assert a == b
    assert len(a & c) == 2


def test_names_of_sources(tmp_path):
    assert name_of("out/held-out/") == "held-out"
    assert name_of("runs/ae/model.safetensors") == "ae"
    assert name_of("photos/*.png") == "*.png"


@pytest.mark.parametrize(
    ("images", "samples"), [(2, 1), (2, 5), (7, 7), (7, 20), (7, 42), (7, 100), (30, 10)]
)
def test_mismatched_pairs_are_all_different_and_never_of_one_image(images, samples):
    pairs = mismatched_pairs(images, samples, 3, seed=0)
    assert len(pairs) == min(samples, images * (images - 1))
    assert all(pair.content != pair.style and 0 <= pair.sketch < 3 for pair in pairs)
    assert len({(pair.content, pair.style) for pair in pairs}) == len(pairs)
    for part in ("content", "style"):
        counts = Counter(getattr(pair, part) for pair in pairs)
        assert max(counts.values()) - min(counts[image] for image in range(images)) <= 1


def test_mismatched_pairs_depend_on_the_seed_alone():
    assert mismatched_pairs(20, 50, 3, 1) == mismatched_pairs(20, 50, 3, 1) != mismatched_pairs(20, 50, 3, 2)
    assert mismatched_pairs(20, 50, 3, 1)[:30] == mismatched_pairs(20, 30, 3, 1)
    with pytest.raises(UsageError, match="two or more"):
        mismatched_pairs(1, 5, 3, 0)


def test_every_sketch_of_an_image_takes_its_turn():
    pairs = mismatched_pairs(6, 24, 4, 0)
    assert Counter((pair.content, pair.sketch) for pair in pairs) == Counter(
        {(image, sketch): 1 for image in range(6) for sketch in range(4)}
    )


def test_matched_pairs_are_of_one_image_each():
    pairs = matched_pairs(10, 4, 3)
    assert [(pair.content, pair.style, pair.sketch) for pair in pairs] == [
        (0, 0, 0),
        (3, 3, 0),
        (6, 6, 0),
        (9, 9, 0),
    ]
    assert len(matched_pairs(10, 40, 3)) == 10


def means(weights: str = "w", calls: list | None = None) -> FeatureNetwork:
    """Features that are the mean colours."""

    def describe(squares):
        if calls is not None:
            calls.append(len(squares))
        return squares.float().mean((2, 3))

    return FeatureNetwork(
        "means", "Fréchet (means)", "KID (means)", 8, "levels as they are", weights, "", describe
    )


def test_features_are_computed_once_and_again_when_anything_has_changed(photos, tmp_path):
    calls: list[int] = []
    images, progress = open_image_set(photos, 0), RecordedProgress()
    progress.begin("image", 10)
    inventory = take_inventory(images)

    def features(images=images, inventory=inventory, network=means(calls=calls)):
        return cached_features(images, inventory, network, tmp_path / "kept", progress)

    first = features()
    assert first.shape == (10, 3)
    assert sum(calls) == 10
    assert len(progress.figures) == 10
    assert np.array_equal(features(), first)
    assert sum(calls) == 10
    assert len(progress.figures) == 20
    assert features(network=means("other", calls)).shape == (10, 3)
    assert sum(calls) == 20
    few = open_image_set(photos, 4)
    assert features(few, take_inventory(few)).shape == (4, 3)
    assert sum(calls) == 24
    small = images.at(16)
    features(small, take_inventory(small))
    assert sum(calls) == 34
    assert len(list((tmp_path / "kept").iterdir())) == 4


def test_a_damaged_file_is_written_anew(photos, tmp_path):
    images = open_image_set(photos, 0)
    inventory = take_inventory(images)
    first = cached_features(images, inventory, means(), tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damage in (b"", b"nothing", whole[:-20]):
        path.write_bytes(damage)
        assert np.array_equal(cached_features(images, inventory, means(), tmp_path), first)
        assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_to_is_no_matter(photos, tmp_path, monkeypatch):
    images = open_image_set(photos, 0)
    (tmp_path / "file").write_text("")
    assert cached_features(images, take_inventory(images), means(), tmp_path / "file" / "x").shape == (10, 3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert features_folder() == tmp_path / "xdg" / "sketchforge" / "features"


def test_the_digest_depends_on_images_order_and_network(photos):
    inventory = take_inventory(open_image_set(photos, 0))
    turned = type(inventory)(inventory.digests[::-1], inventory.unreadable, inventory.sizes)
    digests = [
        features_digest(inventory, means()),
        features_digest(turned, means()),
        features_digest(inventory, means("v")),
    ]
    assert len(set(digests)) == 3
    assert digests[0] == features_digest(inventory, means())

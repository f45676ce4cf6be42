"""The table of images: what was put into it comes out, in any order, and what is said of all is true of each."""

import hashlib
import random

import numpy as np
import pytest

from sketchforge.errors import UsageError
from sketchforge.images.decode import REASONS
from sketchforge.images.sources import ImageSource, keys
from sketchforge.images.sources.keys import check_keys
from sketchforge.images.sources.source import ByteSource, FileState
from sketchforge.images.sources.table import Places
from sketchforge.images.sources.table_builder import TableBuilder, build_table
from sketchforge.shards.manifest import describe_inputs, sizes_digest


def some_images(count: int, seed: int = 0) -> list[ImageSource]:
    """Images of every kind: in tars, in files, in memory, unusable; with and without caption and metadata."""
    draw = random.Random(seed)
    tars = [FileState(f"t/{number}.tar{'.gz' * (number % 2)}", 999 + number, number) for number in range(3)]

    def content(number: int) -> ByteSource:
        if draw.random() < 0.5:
            tar = tars[number * 3 // count]
            return ByteSource(draw.randrange(99), tar, draw.randrange(1 << 40), tar.path.endswith("gz"))
        if draw.random() < 0.5:
            return ByteSource.of_file(
                FileState(f"d/é\udcff{number}", draw.randrange(-1, 1 << 40), draw.randrange(1 << 62))
            )
        if draw.random() < 0.5:
            return ByteSource(5, data=b"%05d" % number)
        return ByteSource(draw.randrange(9), reason=draw.choice(REASONS))

    def maybe(number: int) -> ByteSource | None:
        return content(number) if draw.random() < 0.5 else None

    return [
        ImageSource(f"k{number}", f"é\n{number}.jpg", content(number), maybe(number), maybe(number))
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def images() -> list[ImageSource]:
    return some_images(5000)  # more than are looked at together


def test_a_table_holds_the_images_it_was_built_of(images):
    assert list(build_table(images)) == images


def test_each_image_is_found_by_its_place(images):
    table = build_table(images)
    assert [table[place] for place in (0, 1, 4999, -1)] == [images[place] for place in (0, 1, 4999, -1)]


def test_a_place_beyond_the_end_is_refused(images):
    with pytest.raises(IndexError):
        build_table(images[:3])[3]


@pytest.mark.parametrize("part", [slice(3), slice(4090, 4100), slice(None, None, 7), slice(9, 9)])
def test_a_slice_holds_the_images_of_its_places(images, part):
    assert list(build_table(images)[part]) == images[part]


@pytest.mark.parametrize("start", [0, 100])
def test_images_are_taken_in_any_order(images, start):
    order = np.random.default_rng(0).permutation(900)
    assert list(build_table(images)[start:].take(order)) == [images[start + place] for place in order]


def test_a_slice_of_what_was_taken_keeps_its_order(images):
    assert list(build_table(images).take(np.array([5, 3, 9]))[1:]) == [images[3], images[9]]


def test_images_are_taken_of_what_was_taken(images):
    table = build_table(images).take(np.array([5, 3, 9, 4]))
    assert list(table.take(np.array([3, 0]))) == [images[4], images[5]]


def test_two_tables_one_after_another_are_one(images):
    builder, halves = TableBuilder(), (TableBuilder(), TableBuilder())
    stored = [image for image in images if all(c is None or c.data is None for c in contents_of(image))]
    for number, image in enumerate(stored):
        halves[number >= 1000].add(image)
    for half in halves:
        builder.extend(half.columns)
    assert list(builder.build()) == stored


def contents_of(image: ImageSource) -> list[ByteSource | None]:
    return [image.image, image.caption, image.metadata, image.mask]


def test_names_are_those_of_the_images(images):
    assert list(build_table(images).names()) == [(image.key, image.source) for image in images]


@pytest.mark.parametrize("shuffled", [False, True])
def test_inputs_are_digested_as_key_and_source_of_each(images, shuffled, monkeypatch):
    monkeypatch.setattr("sketchforge.images.sources.table._DIGESTED", 1000)  # bytes, of many more
    table, order = build_table(images), np.arange(len(images))
    if shuffled:
        order = order[::-1]
        table = table.take(order)
    text = "".join(f"{images[place].key}\0{images[place].source}\n" for place in order)
    expected = {"count": len(images), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert describe_inputs(table) == expected


def test_sizes_are_digested_with_minus_one_for_what_is_absent(images):
    lines = (
        f"{image.key}\0{' '.join(str(-1 if content is None else content.num_bytes) for content in contents_of(image))}\n"
        for image in images
    )
    assert sizes_digest(build_table(images)) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_bytes_of_all_images_leave_out_those_that_are_missing(images):
    link_to_nothing = ImageSource("k", "k.jpg", ByteSource.of_file(FileState("k.jpg", -1, 0)))
    expected = sum(max(image.image.num_bytes, 0) for image in images)
    assert build_table([*images, link_to_nothing]).total_bytes() == expected


def test_a_table_is_captioned_where_any_of_its_images_is(images):
    place = next(place for place, image in enumerate(images) if image.caption is not None)
    table = build_table(images)
    assert (table[: place + 1].captioned, table[:place].captioned) == (True, False)


def test_masks_are_those_of_their_rows(images):
    table = build_table(images[:3]).take(np.array([2, 0]))
    files = TableBuilder()
    files.add_file(FileState("m.png", 7, 8), gzipped=False)
    numbers = np.array([0, -1, -1], np.int32)
    nothing = np.zeros(3, np.int64)
    masks = Places(files.build().columns.image.files, numbers, nothing, nothing + 7)
    assert [image.mask for image in table.with_masks(masks)] == [
        None,
        ByteSource.of_file(FileState("m.png", 7, 8)),
    ]


def named(*names: str) -> list[ImageSource]:
    return [ImageSource(name, f"{name}.jpg", ByteSource(1, data=b"x")) for name in names]


def test_keys_that_differ_pass():
    check_keys(build_table(named("a", "b", "c")))


@pytest.mark.parametrize("second", ["b", "B"])
def test_a_key_that_repeats_in_any_case_is_refused_with_both_sources(second):
    with pytest.raises(UsageError, match=rf"^{second}\.jpg: has the same key as b\.jpg \({second}\)"):
        check_keys(build_table(named("a", "b", "c", second)))


def test_keys_are_told_apart_where_their_hashes_are_equal(monkeypatch):
    monkeypatch.setattr(keys, "hash", lambda text: 7, raising=False)
    check_keys(build_table(named("a", "b")))
    with pytest.raises(UsageError, match=r"^a\.jpg: has the same key as a\.jpg"):
        check_keys(build_table(named("a", "b", "a")))

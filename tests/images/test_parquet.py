"""Images in parquet files: as Hugging Face's data sets have them, as others do, and damaged ones."""

import json

import numpy as np
import pytest

from cli.main import run
from sketchforge.convert.convert import convert
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import ImageError
from sketchforge.images.sources import find_images, parquet_rows, search_images
from sketchforge.images.sources.make_index import make_index
from sketchforge.images.sources.parquet_rows import find_columns
from sketchforge.options import ConvertOptions, RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.storage.filesystems import connect
from tests.helpers.folders import contents, lines
from tests.helpers.tars import jpeg

pa = pytest.importorskip("pyarrow", reason="needs pyarrow (the extra `datasets`)")
pq = pytest.importorskip("pyarrow.parquet")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def image(seed: int, path: str = "x.jpg") -> dict:
    return {"bytes": jpeg(seed), "path": path}


def write(path, columns, row_group_size=3, image_type=IMAGE, metadata=None, **options):
    """A file with these columns, by name; images under "image"."""
    arrays = [pa.array(values, image_type if name == "image" else None) for name, values in columns.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(name, array.type) for name, array in zip(columns, arrays, strict=True)], metadata)
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=schema), path, row_group_size=row_group_size, **options
    )
    return path


def read(images) -> list[bytes | str]:
    """Of each image its bytes, or why it has none."""
    found = []
    for one in images:
        try:
            found.append(one.read())
        except ImageError as error:
            found.append(error.reason)
    return found


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zstd"}, {"use_dictionary": False, "compression": "none"}]
)
@pytest.mark.parametrize("image_type", [IMAGE, pa.binary(), pa.large_binary()])
def test_every_row_is_an_image_in_any_order(tmp_path, image_type, options):
    rows = [image(seed) for seed in range(8)]
    values = rows if image_type == IMAGE else [row["bytes"] for row in rows]
    path = write(tmp_path / "a.parquet", {"image": values}, image_type=image_type, **options)
    images = find_images(path)
    assert read(images) == [row["bytes"] for row in rows]
    order = [5, 1, 7, 0, 0, 6]
    assert read(images[place] for place in order) == [rows[place]["bytes"] for place in order]


def test_a_row_before_those_in_memory_is_read_again(tmp_path):
    rows = [{"bytes": f"row {number}".encode(), "path": None} for number in range(50)]
    images = find_images(write(tmp_path / "a.parquet", {"image": rows}, row_group_size=50))
    order = [40, 3, 49, 18, 17, 0]
    assert read(images[place] for place in order) == [rows[place]["bytes"] for place in order]


def test_keys_come_of_the_files_name_and_the_rows_number(tmp_path):
    for name in ("data/train-00000-of-00002", "data/train-00001-of-00002"):
        write(tmp_path / f"{name}.parquet", {"image": [image(0), image(1)]})
    images = find_images(str(tmp_path / "data" / "*.parquet"))
    assert [one.key for one in images] == [
        f"train-0000{file}-of-00002__0000000{row}" for file in (0, 1) for row in (0, 1)
    ]
    assert images[3].source == "train-00001-of-00002.parquet/1"


def test_keys_captions_and_repeated_rows(tmp_path):
    columns = {
        "text": ["a", "a", None, "é", ""],
        "key": ["one", "one", "two/Three", None, None],
        "image": [image(seed) for seed in (1, 1, 2, 3, 4)],
    }
    path = write(tmp_path / "a.parquet", columns)
    found = search_images(path)
    assert [one.key for one in found.images] == [
        "one", found.images[1].key, "a__00000003", "a__00000004"
    ]  # fmt: skip
    assert found.images[1].key.startswith("two__Three-")
    assert [one.caption and one.caption.read().decode() for one in found.images] == ["a", None, "é", None]
    assert read(found.images) == [jpeg(seed) for seed in (1, 2, 3, 4)]
    assert found.passed_over == {"further rows of images": 1}
    assert find_images(path, prefix_keys=True)[0].key == "a__one"


def test_keys_that_repeat_apart_are_refused(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.parquet", {"key": ["one"], "image": [image(1)]})
    with pytest.raises(UsageError, match="has the same key as a.parquet/0"):
        find_images(str(tmp_path / "*.parquet"))
    assert [one.key for one in find_images(str(tmp_path / "*.parquet"), prefix_keys=True)] == [
        "a__one",
        "b__one",
    ]


def columns_of(metadata=None, **types):
    found = find_columns(pa.schema(list(types.items()), metadata))
    return found and (found.image, found.caption, found.key)


def test_which_columns_are_read():
    text = pa.string()
    assert columns_of(jpg=pa.binary(), __key__=text) == ("jpg", None, "__key__")
    assert columns_of(mask=IMAGE, image=IMAGE, prompt=text, caption=text) == ("image", "caption", None)
    assert columns_of(drawing=IMAGE) == ("drawing", None, None)
    assert columns_of(blob=pa.binary()) is None, "bytes of any kind"
    assert columns_of(image=text, text=pa.int64()) is None
    assert columns_of(image=pa.list_(IMAGE)) is None
    declared = {
        "huggingface": json.dumps({"info": {"features": {"b": {"_type": "Image"}, "c": {"dtype": "string"}}}})
    }
    assert columns_of(declared, a=IMAGE, b=IMAGE) == ("b", None, None)
    for text in ("[]", "{", "[" * 10_000, '{"info": {"features": {"b": 1}}}'):
        assert columns_of({"huggingface": text}, a=IMAGE) == ("a", None, None)


def test_rows_without_bytes_are_empty_and_paths_are_never_followed(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(jpeg(9))
    rows = [
        None,
        {"bytes": None, "path": str(tmp_path / "secret.jpg")},
        image(1),
        {"bytes": b"", "path": None},
    ]
    assert read(find_images(write(tmp_path / "a.parquet", {"image": rows}))) == [b"", b"", jpeg(1), b""]


# Damage.


def test_a_file_that_is_none_is_one_unusable_image(tmp_path):
    good = write(tmp_path / "a.parquet", {"image": [image(1)]})
    data = good.read_bytes()
    for number, bad in enumerate([b"", b"no parquet", data[:-20], data[: len(data) // 2], b"PAR1" * 20]):
        (tmp_path / f"b{number}.parquet").write_bytes(bad)
    images = find_images(str(tmp_path / "*.parquet"))
    assert read(images) == [jpeg(1), *["unreadable"] * 5]
    assert [one.source for one in images][1:] == [f"b{number}.parquet" for number in range(5)]
    with pytest.raises(
        UsageError, match="no images found in 1 parquet file, 1 of them damaged; expected rows"
    ):
        find_images(tmp_path / "b1.parquet")


def test_damaged_pages_cost_the_images_in_them_alone(tmp_path):
    rows = [image(seed) for seed in range(6)]
    path = write(
        tmp_path / "a.parquet", {"image": rows}, row_group_size=2, use_dictionary=False, compression="none"
    )
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data[start : start + 30] = b"\xff" * 30
    path.write_bytes(data)
    expected = [row["bytes"] for row in rows]
    assert read(find_images(path)) == [*expected[:2], "unreadable", "unreadable", *expected[4:]]


def test_rows_that_only_the_footer_has_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", {"image": [None] * 50_000}, row_group_size=50_000)
    assert path.stat().st_size < 50_000
    with pytest.raises(UsageError, match="1 of them damaged"):
        find_images(path)


def test_flipped_bits_never_end_in_a_traceback(tmp_path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "a.parquet", {"image": [image(seed) for seed in range(4)], "text": list("abcd")})
    data = path.read_bytes()
    for _ in range(150):
        spoilt = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        parquet_rows._open_rows.cache_clear()
        try:
            read(find_images(path))
        except SketchforgeError as error:
            assert "\n" not in str(error)


def test_a_file_that_has_changed_is_not_read(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": [image(1)]})
    images = find_images(path)
    write(path, {"image": [image(2), image(3)]})
    assert read(images) == ["changed"]
    path.unlink()
    parquet_rows._open_rows.cache_clear()
    assert read(images) == ["gone"]


# Wrong requests.


@pytest.mark.parametrize("columns", [{"label": [1]}, {"image": [1]}])
def test_a_file_without_images_names_its_columns(tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=f"no column of images; .*found {next(iter(columns))}"):
        find_images(tmp_path / "a.parquet")


def test_kinds_are_not_mixed_and_a_folder_says_how(tmp_path):
    write(tmp_path / "in" / "a.parquet", {"image": [image(1)]})
    with pytest.raises(
        UsageError, match=r"there are parquet files: name them as --images '.*/\*\*/\*.parquet'"
    ):
        find_images(tmp_path / "in")
    with pytest.raises(UsageError, match="parquet files, which need no index"):
        make_index(tmp_path / "in" / "a.parquet")
    (tmp_path / "in" / "b.jpg").write_bytes(jpeg(1))
    with pytest.raises(UsageError, match="means images and parquet files"):
        find_images(str(tmp_path / "in" / "*"))
    assert search_images(tmp_path / "in").passed_over == {".parquet": 1}


def test_without_its_library_a_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    path = write(tmp_path / "a.parquet", {"image": [image(1)]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["render", "--images", str(path), "--method", "canny", "--shards", str(tmp_path / "out")]
    assert run(words) == 2
    assert "pip install 'sketchforge[datasets]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# Rendering.


def test_a_rendering_is_the_same_by_any_number_of_workers_and_tells_of_each_row(tmp_path, worker_processes):
    rows = [image(seed) for seed in range(5)] + [{"bytes": b"no image", "path": None}]
    write(tmp_path / "in" / "a.parquet", {"image": rows, "text": list("abcdef")}, row_group_size=2)
    usual = {"method": "canny", "size": 16, "samples_per_shard": 4}
    source = str(tmp_path / "in" / "*.parquet")
    for name, workers in (("out", 1), ("other", 2)):
        render(RenderOptions(tmp_path / name, source, workers=workers, **usual))
    assert contents(tmp_path / "out") == contents(tmp_path / "other")
    assert verify(tmp_path / "out").problems == []
    assert [(line["source"], line["reason"]) for line in lines(tmp_path / "out")] == [
        *((f"a.parquet/{row}", None) for row in range(5)), ("a.parquet/5", "not an image")
    ]  # fmt: skip
    shards = open_shards(tmp_path / "out")
    assert [sample.caption for sample in raw_samples(shards, shards.keys)] == list("abcde")


def test_what_convert_writes_is_read_again(rendered, tmp_path):
    convert(ConvertOptions(rendered.shards, "parquet", tmp_path / "set"))
    shards = open_shards(rendered.shards)
    stored = {sample.key: sample.image for sample in raw_samples(shards, shards.keys)}
    images = find_images(str(tmp_path / "set" / "data" / "*.parquet"))
    assert {one.key: one.read() for one in images} == stored


def test_files_in_a_store_are_read_like_those_here(tmp_path):
    path = write(
        tmp_path / "a.parquet", {"image": [image(seed) for seed in range(3)], "text": ["a", "b", "c"]}
    )
    filesystem, _ = connect("memory://")
    filesystem.pipe_file("/parquet/a.parquet", path.read_bytes())
    try:
        images = find_images("memory://parquet/*.parquet")
        assert read(images) == [jpeg(seed) for seed in range(3)]
        assert [one.key for one in images] == [one.key for one in find_images(path)]
    finally:
        filesystem.rm("/parquet", recursive=True)


def test_sixteen_images_are_in_memory_at_a_time(tmp_path, monkeypatch):
    path = write(
        tmp_path / "a.parquet", {"image": [image(seed % 3) for seed in range(100)]}, row_group_size=100
    )
    sizes = []
    real = pq.ParquetFile.iter_batches

    def iter_batches(self, *words, **options):
        for batch in real(self, *words, **options):
            sizes.append(len(batch))
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    images = find_images(path)
    read(images)
    assert sum(sizes) == 100, "each row group once"
    assert max(sizes) == parquet_rows.BATCH

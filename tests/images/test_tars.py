"""Tars, patterns and lists as input: what is found, under which keys, and what comes along."""

import dataclasses
import gzip
import io
import json
import tarfile

import pytest

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError
from sketchforge.images.sources import arrange, find_images
from sketchforge.render.render import render
from sketchforge.shards.verify import verify
from tests.helpers.folders import lines, members
from tests.helpers.photos import make_photos
from tests.helpers.tars import jpeg, options_for, write_tar


def img2dataset(folder, num_shards=2, per_shard=3):
    """The layout of `img2dataset --output_format webdataset`: keys of shard and place, some places empty."""
    folder.mkdir()
    for shard in range(num_shards):
        files = []
        for place in range(per_shard):
            key = f"{shard:05d}{place:04d}"
            metadata = {
                "caption": f"an image of {place} things", "url": f"https://example.com/{key}", "key": key,
                "status": "success", "error_message": None, "width": 50, "height": 40, "original_width": 640,
                "original_height": 480, "exif": "{}", "sha256": "00", "similarity": float("nan"),
                "aesthetic": float("-inf"), "pwatermark": 0.25,
            }  # fmt: skip
            files += [
                (f"{key}.jpg", jpeg(shard * 10 + place)),
                (f"{key}.json", json.dumps(metadata).encode()),
            ]
            files += [(f"{key}.txt", metadata["caption"].encode())]
        write_tar(folder / f"{shard:05d}.tar", files)
        (folder / f"{shard:05d}.parquet").write_bytes(b"PAR1")
        (folder / f"{shard:05d}_stats.json").write_text("{}")
    return folder


def test_an_img2dataset_run_keeps_its_keys_captions_and_metadata(tmp_path):
    laion = img2dataset(tmp_path / "laion")
    options = options_for(f"{laion}/{{00000..00001}}.tar", tmp_path / "out")
    summary = render(options)
    assert summary.outcomes == {"ok": 6}
    found = members(options.shards, 1)
    assert [name for name in found if name.startswith("000010001.")] == [
        "000010001.jpg", "000010001.sketch0.png", "000010001.txt", "000010001.json",
    ]  # fmt: skip
    assert found["000010001.txt"] == b"an image of 1 things"
    metadata = json.loads(found["000010001.json"])
    assert metadata["source"] == "00001.tar/000010001.jpg"
    meta = json.loads(metadata["meta"])
    assert meta["url"] == "https://example.com/000010001"
    assert meta["original_width"] == 640
    assert meta["similarity"] is None, "NaN is no JSON"
    assert meta["aesthetic"] is None
    assert meta["pwatermark"] == 0.25
    assert verify(options.shards).problems == []


def test_the_shards_read_back_with_captions_in_webdataset(tmp_path):
    import webdataset

    options = options_for(f"{img2dataset(tmp_path / 'laion')}/*.tar", tmp_path / "out")
    render(options)
    urls = sorted(str(path) for path in options.shards.glob("*.tar"))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert [sample["txt"] for sample in samples] == [f"an image of {place} things" for place in (0, 1, 2)] * 2


def test_gzipped_tars_give_the_same_bytes(tmp_path):
    laion = img2dataset(tmp_path / "laion")
    render(options_for(f"{laion}/*.tar", tmp_path / "plain"))
    packed = tmp_path / "packed"
    packed.mkdir()
    for path in laion.glob("*.tar"):
        ending = "tar.gz" if path.stem == "00000" else "tgz"
        (packed / f"{path.stem}.{ending}").write_bytes(gzip.compress(path.read_bytes()))
    seeds = (None, 3)  # in order, and jumping back and forth
    for seed in seeds:
        plain = {image.key: image.read() for image in find_images(f"{laion}/*.tar")}
        images = arrange(find_images(f"{packed}/*.t*gz"), seed, None)
        assert {image.key: image.read() for image in images} == plain
    render(options_for(f"{packed}/*.t*gz", tmp_path / "out"))
    same = {name: data for name, data in members(tmp_path / "plain").items() if not name.endswith(".json")}
    found = members(tmp_path / "out")
    assert {name: found[name] for name in same} == same


def test_rendered_shards_can_be_rendered_again_under_the_same_keys(rendered, tmp_path):
    options = dataclasses.replace(
        rendered, images=f"{rendered.shards}/*.tar", shards=tmp_path / "out", canny_blur=1.0
    )
    render(options)
    keys = {name.split(".")[0] for name in members(rendered.shards)}
    assert {name.split(".")[0] for name in members(options.shards)} == keys
    metadata = json.loads(
        next(data for name, data in members(options.shards).items() if name.endswith(".json"))
    )
    assert json.loads(metadata["meta"])["method"] == "canny"


def test_captions_and_metadata_beside_files_are_read(tmp_path):
    folder = make_photos(tmp_path / "in", 3)
    (folder / "p000.txt").write_text("\ufeffa café", encoding="utf-8")
    (folder / "p000.json").write_text('{"author": "x"}')
    (folder / "p001.txt").write_bytes(b"caf\xe9")
    (folder / "p001.json").write_text("[1]")
    (folder / "notes.txt").write_text("no image of that name")
    render(options_for(folder, tmp_path / "out"))
    found = members(tmp_path / "out")
    assert found["p000.txt"].decode() == "a café"
    assert json.loads(found["p000.json"])["meta"] == '{"author":"x"}'
    assert found["p001.txt"] == b"", "damaged: left out, but all samples have the same members"
    assert json.loads(found["p001.json"])["meta"] == "{}"
    notes = {line["key"]: line.get("note") for line in lines(tmp_path / "out")}
    assert notes["p001"] == "caption left out: not UTF-8 text; metadata left out: not a JSON object"
    assert notes["p000"] is None


def test_odd_members_are_passed_over(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:

        def add(name, data=b"", **more):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in more.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))

        add("folder", type=tarfile.DIRTYPE)
        add("/etc/absolute.jpg", jpeg(1))
        add("../../parent.jpg", jpeg(2))
        add("link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add("hard.jpg", type=tarfile.LNKTYPE, linkname="../../parent.jpg")
        add("pipe.jpg", type=tarfile.FIFOTYPE)
        add(".jpg", jpeg(3))
        add("mask.sketch0.png", jpeg(4))
        add("readme.md", b"text")
        add("both.png", jpeg(5))
        add("both.jpg", jpeg(6))
        add("upper.JPG", jpeg(7))
        add("d.ir/dotted.jpg", jpeg(8))
    images = find_images(path)
    assert [image.source.removeprefix("a.tar/") for image in images] == [
        "/etc/absolute.jpg", "../../parent.jpg", "both.jpg", "upper.JPG", "d.ir/dotted.jpg",
    ]  # fmt: skip
    assert [image.read() for image in images] == [jpeg(seed) for seed in (1, 2, 6, 7, 8)]
    assert all(set(image.key) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for image in images)
    before = sorted(tmp_path.parent.rglob("*"))
    render(options_for(path, tmp_path / "out"))
    outside = [
        found
        for found in sorted(tmp_path.parent.rglob("*"))
        if tmp_path / "out" not in (found, *found.parents)
    ]
    assert outside == before, "nothing is unpacked to disk"


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_tar_gives_what_can_be_read_and_is_counted(tmp_path, packed):
    whole = write_tar(
        tmp_path / "x.tar", [(f"k{number}.jpg", jpeg(number)) for number in range(4)]
    ).read_bytes()
    ending = "tar.gz" if packed else "tar"
    damages = {
        "in data": whole[: 3 * 512 + len(whole) // 2],
        "in a header": whole[: whole.index(b"k2.jpg") + 300],
        "bad header": whole.replace(b"k2.jpg\0", b"kk.jpg\0", 1),
    }
    for name, data in damages.items():
        path = tmp_path / f"{name}.{ending}"
        path.write_bytes(gzip.compress(data) if packed else data)
        images = find_images(path)
        keys = [image.key for image in images]
        assert keys[:1] == ["k0"]
        assert 2 <= len(keys) <= 4
        assert keys[-1].startswith(f"{name.replace(' ', '_')}_tar")
        assert [image.read() for image in images[:-1]] == [jpeg(number) for number in range(len(keys) - 1)]
        with pytest.raises(ImageError) as error:
            images[-1].read()
        assert error.value.reason == "truncated"
    if packed:
        cut = tmp_path / "cut.tgz"
        cut.write_bytes(gzip.compress(whole)[: len(gzip.compress(whole)) * 3 // 4])
        assert find_images(cut)[-1].image.reason is not None
    render(options_for(f"{tmp_path}/*.{ending}", tmp_path / "out", prefix_keys=True))
    failed = [line["source"] for line in lines(tmp_path / "out") if line["status"] == "failed"]
    assert failed == [f"{name}.{ending}" for name in sorted(damages)]


def test_keys_that_repeat_are_refused_and_prefixed_on_request(tmp_path):
    for name in ("a", "b"):
        write_tar(tmp_path / f"{name}.tar", [("0.jpg", jpeg(0)), ("1.jpg", jpeg(1))])
    with pytest.raises(UsageError, match=r"b.tar/0.jpg: has the same key as a.tar/0.jpg .*--prefix-keys"):
        find_images(f"{tmp_path}/*.tar")
    keys = [image.key for image in find_images(f"{tmp_path}/*.tar", prefix_keys=True)]
    assert keys == ["a__0", "a__1", "b__0", "b__1"]


def test_lists_and_patterns_of_images(tmp_path):
    folder = make_photos(tmp_path / "in", 6)
    (tmp_path / "some.txt").write_text("in/p002.png\n\nin/more/p003.jpg\nin/p000.jpg\n")
    images = find_images(tmp_path / "some.txt")
    assert [image.source for image in images] == ["in/p002.png", "in/more/p003.jpg", "in/p000.jpg"]
    assert images[2].read() == (folder / "p000.jpg").read_bytes()
    assert [image.key for image in find_images(f"{folder}/p*.jpg")] == ["p000", "p001", "p004"]
    assert [image.key for image in find_images(f"{folder}/**/*.jpg")] == [
        "more__p003",
        "p000",
        "p001",
        "p004",
    ]
    assert [image.key for image in find_images(folder / "p001.jpg")] == ["p001"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("none.tar", "none.tar: no such folder or file"),
        ("{0..2}.tar", "1.tar: no such folder or file, from"),
        ("{0..2.tar", "its braces do not match|no such folder or file"),
        ("*.tgz", "^\\*.tgz: no file matches"),
        ("{0,x}*.tgz", "^0\\*.tgz: no file matches, from {0,x}"),
        ("fold*", "only folders match.*'fold\\*/\\*.jpg'"),
        ("mixed*", "tars and images"),
        ("empty.txt", "lists no images"),
        ("twice.txt", "lists 0.jpg more than once"),
        ("missing.txt", "no such folder or file"),
        ("text.tar", "no images found in 1 tar;"),
        ("0.md", "not a folder, a tar"),
        (".", "no images found.*name them as --images './\\*.tar'|no images"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, source, said):
    monkeypatch.chdir(tmp_path)
    write_tar(tmp_path / "0.tar", [("0.jpg", jpeg(0))])
    write_tar(tmp_path / "text.tar", [("0.txt", b"x")])
    write_tar(tmp_path / "mixed.tar", [("0.jpg", jpeg(0))])
    (tmp_path / "0.md").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "twice.txt").write_text("0.jpg\n0.jpg\n")
    if source != ".":
        (tmp_path / "mixed.jpg").write_bytes(jpeg(0))
    with pytest.raises(UsageError, match=said) as error:
        find_images(source)
    assert "\n" not in str(error.value)


def test_the_order_is_the_seeds_and_a_limit_cuts_it(tmp_path):
    images = find_images(make_photos(tmp_path / "in", 9))
    one, again, other = (list(arrange(images, seed, None)) for seed in (5, 5, 6))
    assert one == again
    assert one != other != images
    assert {*one} == {*images}
    assert list(arrange(images, 5, 4)) == one[:4]
    assert list(arrange(images, None, 4)) == list(images[:4])
    render(options_for(tmp_path / "in", tmp_path / "out", shuffle_seed=5, limit=4))
    assert [line["key"] for line in lines(tmp_path / "out")] == [image.key for image in one[:4]]
    with pytest.raises(UsageError, match="was made with --limit 4, now 5"):
        render(options_for(tmp_path / "in", tmp_path / "out", shuffle_seed=5, limit=5))


def test_a_tar_that_changes_under_our_hands_is_noticed(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("0.jpg", jpeg(0)), ("1.jpg", jpeg(1))])
    images = find_images(path)
    write_tar(path, [("0.jpg", jpeg(2)), ("1.jpg", jpeg(1)), ("2.jpg", jpeg(1))])
    with pytest.raises(ImageError) as error:
        images[0].read()
    assert error.value.reason == "changed"
    path.unlink()
    with pytest.raises(ImageError) as error:
        images[1].read()
    assert error.value.reason == "gone"


def test_tom_trains_from_tars_too(few_drawings, tmp_path):
    from sketchforge.options import TomTrainOptions
    from trainers.tom.plan import plan_tom

    laion = img2dataset(tmp_path / "laion")
    plan = plan_tom(TomTrainOptions(images=f"{laion}/*.tar", run=tmp_path / "run", steps=20, snapshots=1))
    assert plan.record["photos"]["count"] == 6

"""What is refused because it differs from what is there: the message names the option and both values."""

import dataclasses
import json
from pathlib import Path

import pytest

from sketchforge.checkpoints.runs import check_continues
from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions
from sketchforge.render.render import preview, render
from sketchforge.utils import files
from tests.helpers.photos import make_photos


@pytest.fixture
def folder(tmp_path):
    """Shards of five photos of the test's own."""
    options = RenderOptions(
        shards=tmp_path / "out",
        images=make_photos(tmp_path / "photos", 5),
        method="canny",
        size=48,
        workers=1,
    )
    render(options)
    return options


def refusal(options) -> str:
    with pytest.raises(UsageError) as refused:
        preview(options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def photo_paths(options) -> list[Path]:
    return sorted(path for path in options.images.rglob("*") if path.is_file())


def test_an_added_image_is_named(folder):
    first = photo_paths(folder)[0]
    (folder.images / "zebra.jpg").write_bytes(first.read_bytes())
    assert "out: was made from 5 --images, now 6: added zebra.jpg; " in refusal(folder)


def test_a_removed_image_is_named(folder):
    (folder.images / "p001.jpg").unlink()
    assert "out: was made from 5 --images, now 4: removed p001.jpg; " in refusal(folder)


def test_an_image_of_another_name_is_named(folder):
    first = photo_paths(folder)[-1]
    first.rename(first.with_name("zoo.jpg"))
    assert f"from 5 --images, now 5: removed {first.relative_to(folder.images)}; " in refusal(folder)


def test_of_an_unfinished_folder_no_added_image_is_guessed(folder):
    (folder.shards / "00000.jsonl").unlink()
    (folder.images / "zebra.jpg").write_bytes(photo_paths(folder)[0].read_bytes())
    assert "out: was made from 5 --images, now 6; " in refusal(folder)


def alter_manifest(shards, entries):
    path = shards / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("checksum", None)
    files.write_bytes(path, files.checksummed_json(manifest | entries))


def test_an_option_is_named_with_both_values(folder):
    assert "was made with --size 48, now 64; " in refusal(dataclasses.replace(folder, size=64))


@pytest.fixture(scope="module")
def drawn_by_tom(tmp_path_factory):
    """Shards by two built-in snapshots."""
    root = tmp_path_factory.mktemp("drawn")
    options = RenderOptions(
        root / "out", make_photos(root / "photos", 2), tom=Path("builtin"), checkpoints=2, size=64, workers=1,
        threads=1, hands="none",
    )  # fmt: skip
    render(options)
    return options


@pytest.mark.parametrize("entry", ["styles", "digests"])
def test_other_snapshots_are_told_in_words_with_option_and_both_values(drawn_by_tom, tmp_path, entry):
    manifest = json.loads((drawn_by_tom.shards / "manifest.json").read_text())
    styles, digests = manifest["styles"], manifest["digests"]
    if entry == "styles":
        altered = {"styles": ["tom-1", "tom-2"]}
        values = f"styles tom-1, tom-2, now {', '.join(styles)}"
    else:
        altered = {"digests": digests | {styles[0]: "f" * 64}}
        values = f"digest of {styles[0]} ffffffff, now {digests[styles[0]][:8]}"
    alter_manifest(drawn_by_tom.shards, altered)
    text = refusal(drawn_by_tom)
    alter_manifest(drawn_by_tom.shards, manifest)
    assert f"--tom the built-in run holds other snapshots than those it was drawn with: {values}; " in text


RECORD = {
    "options": {"encoder": "builtin", "seed": 0},
    "recipe": {"content_weight": 1.0, "taps": ["relu1_1"]},
    "trained_with": "a" * 64,
    "autoencoder": "b" * 64,
    "shards": {"count": 40, "digest": "c" * 64},
    "photos": {"source": "photos", "count": 435, "digest": "d" * 64},
    "drawings": {"source": "mine", "count": 20, "digest": "e" * 64, "measured": 20, "inverted": 3, "blank": 0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "before", "now"),
    [
        ({"options": {"encoder": "builtin", "seed": 1}}, "--seed 0", "--seed 1"),
        ({"options": {"encoder": "vgg16", "seed": 0}}, "--encoder builtin", "--encoder vgg16"),
        (
            {"recipe": {"content_weight": 2.0, "taps": ["relu1_1"]}},
            "the recipe's content_weight 1.0",
            "the recipe's content_weight 2.0",
        ),
        (
            {"trained_with": "0" * 64},
            "--encoder builtin of weights aaaaaaaa",
            "--encoder builtin of weights 00000000",
        ),
        ({"autoencoder": "0" * 64}, "--ae of weights bbbbbbbb", "--ae of weights 00000000"),
        (
            {"shards": {"count": 41, "digest": "0" * 64}},
            "--shards 40 images, contents cccccccc",
            "--shards 41 images, contents 00000000",
        ),
        (
            {"photos": {"source": "more", "count": 436, "digest": "0" * 64}},
            "--images photos, 435 images, contents dddddddd",
            "--images more, 436 images, contents 00000000",
        ),
        (
            {"drawings": RECORD["drawings"] | {"inverted": 4}},
            "--drawings mine, 20 images, measured 20, inverted 3, blank 0, contents eeeeeeee",
            "--drawings mine, 20 images, measured 20, inverted 4, blank 0, contents eeeeeeee",
        ),
    ],
)
def test_another_training_is_told_with_option_and_both_values(change, before, now):
    check_continues(Path("run"), RECORD, dict(RECORD))
    with pytest.raises(UsageError) as refused:
        check_continues(Path("run"), RECORD, RECORD | change)
    assert f"run: was begun with {before}, now asked for {now}; " in str(refused.value)


def test_other_images_are_named_before_what_follows_from_their_number(folder, tmp_path):
    """Without --samples-per-shard, the number of images decides how many are in a shard."""
    more = dataclasses.replace(folder, images=make_photos(tmp_path / "more", 40))
    assert "out: was made from 5 --images, now 40" in refusal(more)
    assert "was made with --samples-per-shard 1, now 2" in refusal(
        dataclasses.replace(folder, samples_per_shard=2)
    )


@pytest.mark.parametrize(("option", "value"), [("tom", Path("builtin")), ("checkpoints", 3)])
def test_options_of_tom_are_refused_with_other_methods(folder, option, value):
    text = refusal(dataclasses.replace(folder, **{option: value}))
    assert text == f"--{option}: has no meaning with --method canny"

"""Which split figures are of: what models learn from is never measured as if it were held out."""

import contextlib
import io
import json
from dataclasses import replace

import pytest
from conftest import make_photos

from cli.main import run
from sketchforge.errors import UsageError
from sketchforge.metrics.images.compare import compare_images
from sketchforge.metrics.images.inputs import open_image_set
from sketchforge.metrics.images.reference import seen_warning
from sketchforge.options import AeTrainOptions, EvalCompareOptions, RenderOptions
from sketchforge.render.render import render
from sketchforge.report.summary.held_out import HELD_OUT, SEEN, UNKNOWN, choose_evaluation_set
from sketchforge.report.summary.inputs import find_folders
from sketchforge.shards.shard_set import ShardSet, open_shards, shards_digest
from trainers.autoencoder.run import plan_ae

pytestmark = pytest.mark.usefixtures("quick_measures")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """split/ in train, val and test; odd/, the same images in train and dev; whole/, other images in one part."""
    place = tmp_path_factory.mktemp("splits")
    make_photos(place / "photos", 16)
    make_photos(place / "others" / "below", 3)
    common = {"method": "canny", "size": 64, "samples_per_shard": 4, "workers": 1}
    for name, images, split in (
        ("split", "photos", "train=.5,val=.25,test=.25"),
        ("odd", "photos", "train=.5,dev=.5"),
        ("whole", "others", None),
    ):
        render(RenderOptions(place / name, place / images, split=split, **common))
    return place


def part(folders, name: str, split: str) -> ShardSet:
    return open_shards(folders / name).take_split(split, split)


def trained_on(shards: ShardSet, validation: ShardSet | None = None) -> dict:
    """run.json, as far as it names shards."""
    entries = {"shards": shards, "validation": validation}
    return {name: {"digest": shards_digest(entry)} for name, entry in entries.items() if entry is not None}


# The choice of a split.


@pytest.mark.parametrize(
    ("name", "asked", "split"),
    [
        ("split", None, "test"),
        ("split", "val", "val"),
        ("split", "train", "train"),
        ("split", "all", None),
        ("odd", None, "dev"),
        ("whole", None, None),
    ],
)
def test_what_is_measured_is_never_train_unless_it_is_named(folders, name, asked, split):
    assert open_shards(folders / name).take_held_out(asked).split == split


def test_an_empty_split_is_passed_over(folders):
    whole = open_shards(folders / "split")
    test = whole.splits["test"]
    entries = [
        entry | {"samples": 0} if number in test else entry
        for number, entry in enumerate(whole.manifest["shards"])
    ]
    assert replace(whole, manifest={**whole.manifest, "shards": entries}).take_held_out().split == "val"


def test_where_only_train_holds_samples_nothing_is_measured(folders):
    whole = open_shards(folders / "split")
    entries = [
        entry if number in whole.splits["train"] else entry | {"samples": 0}
        for number, entry in enumerate(whole.manifest["shards"])
    ]
    only_train = replace(whole, manifest={**whole.manifest, "shards": entries})
    with pytest.raises(UsageError, match="only train holds samples; --split train measures on"):
        only_train.take_held_out()


# eval report.


@pytest.fixture
def found(folders, monkeypatch) -> dict[str, ShardSet]:
    monkeypatch.chdir(folders)
    names = ("split", "odd", "whole")
    return dict(zip(names, find_folders([folders / name for name in names], []), strict=True))


def chosen(record: dict, *folders: ShardSet, named: bool = False) -> tuple[str, str | None, str]:
    evaluation_set = choose_evaluation_set(record, folders, named)
    folder = evaluation_set.folder
    return folder.path.name, folder.split, evaluation_set.images


def test_a_model_of_train_is_measured_on_test_also_where_it_was_validated_on_val(folders, found):
    train, val = part(folders, "split", "train"), part(folders, "split", "val")
    assert chosen(trained_on(train), found["split"]) == ("split", "test", HELD_OUT)
    assert chosen(trained_on(train, val), found["split"]) == ("split", "test", HELD_OUT)
    assert chosen(trained_on(train), found["whole"], found["split"]) == ("split", "test", HELD_OUT)


def test_without_test_another_split_is_held_out(folders, found):
    assert chosen(trained_on(part(folders, "odd", "train")), found["odd"]) == ("odd", "dev", HELD_OUT)


def test_a_model_of_all_splits_has_seen_every_one(folders, found):
    whole = open_shards(folders / "split")
    assert chosen(trained_on(whole), found["split"]) == ("split", None, SEEN)
    assert chosen(trained_on(whole), found["split"], found["whole"]) == ("whole", None, HELD_OUT)


def test_a_model_of_test_is_not_measured_on_it_nor_on_train(folders, found):
    assert chosen(trained_on(part(folders, "split", "test")), found["split"]) == ("split", "val", HELD_OUT)


def test_a_model_of_unknown_shards_is_measured_on_test(found):
    assert chosen({}, found["split"]) == ("split", "test", UNKNOWN)
    assert chosen({}, found["split"], named=True) == ("split", "test", HELD_OUT)


def test_the_description_names_the_split(folders, found):
    evaluation_set = choose_evaluation_set(
        trained_on(part(folders, "split", "train")), [found["split"]], False
    )
    assert evaluation_set.description == "split, split test, images held out"


# eval images and eval compare.


def told_by(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*map(str, words)])
    return code, out.getvalue(), err.getvalue()


MEASURES = ("--features", "builtin", "--threads", 1, "--device", "cpu", "--samples", 8)


@pytest.mark.parametrize(("more", "split"), [((), "test"), (("--split", "val"), "val")])
def test_eval_images_says_which_split_it_measured(folders, trained, tmp_path, more, split):
    count = part(folders, "split", split).num_samples
    words = ("--encoder", "builtin", "--lpips", "squeeze", "--json", tmp_path / "a.json", *MEASURES, *more)
    code, told, errors = told_by("eval", "images", "--model", trained, "--shards", folders / "split", *words)
    assert code == 0, errors
    assert told.startswith(
        f"ae, 64 x 64, sketches of split, split {split}, against split, split {split} ({count} "
    )
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["options"]["split"] == split
    assert written["reference"]["found"] == count


def test_eval_compare_takes_one_split_of_all(folders, trained):
    options = EvalCompareOptions(
        str(folders / "split"), (str(trained), str(folders / "odd"), str(folders / "whole")), samples=0,
        features=(("builtin", None),), threads=1, device="cpu",
    )  # fmt: skip
    found = compare_images(options)
    assert found.reference["name"] == "split, split test"
    assert [row.name for row in found.rows] == ["ae", "odd, split dev", "whole"]
    assert found.models[0]["sketches"] == "split, split test"
    assert found.rows[1].count == part(folders, "odd", "dev").num_samples
    everything = compare_images(replace(options, split="all"))
    assert (everything.reference["name"], everything.reference["count"]) == ("split", 16)


def test_a_split_that_no_set_has_is_refused(folders, trained):
    code, _, told = told_by("eval", "compare", folders / "whole", trained, "--split", "test", *MEASURES)
    assert (code, "--split test: none of the sets was rendered with --split" in told) == (2, True)


def test_an_image_set_of_shards_with_splits_is_what_is_held_out(folders):
    keys = {key for key, _ in open_image_set(folders / "split", 0).images()}
    assert keys == set(part(folders, "split", "test").keys)


@pytest.mark.parametrize(
    ("trained_split", "measured", "warned"),
    [
        ("train", "test", False),
        ("train", "train", True),
        ("train", "all", True),
        ("all", "test", True),
        ("all", "all", True),
        ("val", "test", False),
    ],
)
def test_images_that_a_model_was_trained_on_are_told(folders, trained_split, measured, warned):
    whole = open_shards(folders / "split")
    metadata = {"shards": {"digest": shards_digest(whole.take_split(trained_split, "all")), "count": 1}}
    warnings = seen_warning("ae", metadata, whole, whole.take_split(measured, "all"))
    assert [warning.block for warning in warnings] == ["images"] * warned
    assert not seen_warning("ae", {}, whole, whole)


# Trainings.


def plan(folders, **more):
    usual = {
        "shards": str(folders / "split"),
        "run": folders / "run",
        "size": 64,
        "batch_size": 4,
        "device": "cpu",
    }
    return plan_ae(AeTrainOptions(**(usual | more)))


@pytest.fixture
def one_sketch(monkeypatch):
    """A training is content with the one sketch that Canny draws."""
    monkeypatch.setattr("trainers.image_models.plan.NUM_SKETCHES", 1)


@pytest.mark.parametrize(
    ("split", "validation", "expected"),
    [
        (None, None, "val"),
        ("train", None, "val"),
        ("test", None, "val"),
        ("val", None, None),
        ("all", None, None),
        (None, "split", "val"),
        (None, "odd", "dev"),
        (None, "whole", None),
    ],
)
def test_a_training_validates_on_what_it_does_not_learn_from(
    folders, one_sketch, split, validation, expected
):
    given = None if validation is None else str(folders / validation)
    chosen = plan(folders, split=split, validation=given).validation
    assert (chosen and chosen.split) == expected


def test_a_training_is_not_validated_on_what_it_learns_from(folders, one_sketch):
    for shards, more in (("whole", {}), ("split", {"split": "val"})):
        given = str(folders / shards)
        with pytest.raises(UsageError, match="the very images that are trained on; name others"):
            plan(folders, shards=given, validation=given, **more)

"""`render --hands`: ten sketches by ten hands, whatever the method, recorded and repeatable."""

import dataclasses
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from cli.main import run
from sketchforge.checkpoints.catalog import AbsentError
from sketchforge.errors import UsageError
from sketchforge.metrics.images.sketch_reconstruction import redrawing_of
from sketchforge.options import RenderOptions
from sketchforge.render.hands import open_hands
from sketchforge.render.render import preview, render
from sketchforge.render.summary import describe_rendering
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from sketchforge.strokes.hands import read_hands
from tests.helpers.folders import contents, stored_sketches

NAMES = [
    "careful",
    "outline",
    "scribble",
    "brush",
    "naive",
    "ruler",
    "hatcher",
    "chalk",
    "memory",
    "gesture",
]


@pytest.fixture(scope="module")
def by_hands(photos, tmp_path_factory) -> RenderOptions:
    shards = tmp_path_factory.mktemp("hands") / "out"
    options = RenderOptions(shards, photos, method="canny", size=128, hands="builtin", limit=4, workers=1)
    render(options)
    return options


def test_every_image_has_a_sketch_of_each_hand(by_hands):
    manifest = read_manifest(folder_at(by_hands.shards))
    assert manifest["styles"] == NAMES
    assert len(stored_sketches(by_hands.shards)) == 4 * 10
    assert verify(by_hands.shards).problems == []


def test_the_sketches_differ_and_are_black_and_white(by_hands):
    drawn = stored_sketches(by_hands.shards)
    first = [image for name, image in drawn.items() if name.startswith("p001.")]
    assert all(image.dtype == bool for image in first)
    assert len({image.tobytes() for image in first}) == 10
    assert all(0 < 1 - image.mean() < 0.4 for image in first)


def test_workers_and_interruptions_change_nothing(by_hands, tmp_path):
    again = dataclasses.replace(by_hands, shards=tmp_path / "out", workers=2, batch_size=3)
    render(again)
    assert contents(again.shards) == contents(by_hands.shards)


def test_another_seed_draws_otherwise_and_is_refused_in_the_same_folder(by_hands, tmp_path):
    other = dataclasses.replace(by_hands, hands_seed=1)
    with pytest.raises(UsageError, match="was made with --hands-seed 0, now 1"):
        render(other)
    other = dataclasses.replace(other, shards=tmp_path / "out")
    render(other)
    ours, theirs = stored_sketches(by_hands.shards), stored_sketches(other.shards)
    assert (ours["p001.sketch0.png"] == theirs["p001.sketch0.png"]).all(), (
        "the careful hand has no chance in it"
    )
    assert (ours["p001.sketch4.png"] != theirs["p001.sketch4.png"]).any()


def test_without_hands_the_manifest_says_nothing_of_them(rendered):
    assert "hands" not in read_manifest(folder_at(rendered.shards))["options"]


def test_hands_draw_again_where_more_sketches_are_asked_for():
    hands = open_hands(RenderOptions("out", method="tom", checkpoints=12, hands="builtin"))
    assert hands.styles == (*NAMES, "outline 2", "scribble 2")
    hands = open_hands(RenderOptions("out", method="tom", checkpoints=1, hands="builtin"))
    assert hands.styles == ("careful",)


def test_a_hand_without_chance_does_not_draw_again():
    hands = open_hands(RenderOptions("out", method="tom", checkpoints=40, hands="builtin"))
    assert len(set(hands.styles)) == 40
    assert [name for name in hands.styles if name.startswith("careful")] == ["careful"]


def test_a_hand_that_draws_again_draws_otherwise(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text('format = "sketchforge-hands"\nversion = 1\n[mine]\nfield = 0.03\n')
    grey = np.full((2, 64, 64), 255, np.uint8)
    grey[:, 20:22, 10:50] = 0
    from sketchforge.strokes.draw import draw_hands, trace_picture

    options = RenderOptions("out", method="tom", checkpoints=2, hands=str(path))
    hands = open_hands(options).hands
    picture = trace_picture(grey, np.ones((64, 64), np.float32), np.full((64, 64, 3), 255, np.uint8))
    first, second = draw_hands(picture, hands, 0, "key", (64, 64))
    assert (first.sketch != second.sketch).any()


def descriptions(shards) -> dict[str, list[dict]]:
    described = {}
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    metadata = json.loads(tar.extractfile(member).read())
                    described[member.name.split(".")[0]] = json.loads(metadata["hands"])
    return described


def test_each_sample_says_who_drew_its_sketches_and_how(by_hands):
    hands = read_hands()
    for drawings in descriptions(by_hands.shards).values():
        assert [drawing["hand"] for drawing in drawings] == NAMES
        assert [drawing["number"] for drawing in drawings] == list(range(10))
        for drawing, hand in zip(drawings, hands, strict=True):
            parameters = dataclasses.asdict(hand)
            assert drawing["parameters"] == {
                name: value for name, value in parameters.items() if value and name not in ("name", "number")
            }
        assert all(0 <= drawing["foreground"] <= 1 and drawing["strokes"] >= 0 for drawing in drawings)
        assert (
            json.dumps([drawings[0][name] for name in ("turn", "scale", "shift")])
            == "[0.0, [1.0, 1.0], [0.0, 0.0]]"
        )


def test_what_was_sampled_for_a_hand_stands_in_the_description(by_hands):
    turns = {key: drawings[4]["turn"] for key, drawings in descriptions(by_hands.shards).items()}
    assert len(set(turns.values())) == len(turns), "every picture has a turn of its own"
    assert max(map(abs, turns.values())) > 0.5


def test_without_hands_the_description_is_an_empty_list(rendered):
    assert set(map(str, descriptions(rendered.shards).values())) == {"[]"}


def test_named_hands_draw_in_their_order_what_they_draw_among_all(by_hands, tmp_path):
    chosen = dataclasses.replace(by_hands, shards=tmp_path / "out", styles=("chalk", "outline"))
    render(chosen)
    assert read_manifest(folder_at(chosen.shards))["styles"] == ["chalk", "outline"]
    few, many = stored_sketches(chosen.shards), stored_sketches(by_hands.shards)
    assert (few["p001.sketch0.png"] == many["p001.sketch7.png"]).all()
    assert (few["p001.sketch1.png"] == many["p001.sketch1.png"]).all()


def test_other_names_are_refused_in_the_same_folder(by_hands, tmp_path):
    chosen = dataclasses.replace(by_hands, shards=tmp_path / "out", styles=("chalk",), limit=1)
    render(chosen)
    with pytest.raises(UsageError, match="was made with --styles chalk, now brush"):
        render(dataclasses.replace(chosen, styles=("brush",)))


def test_named_hands_leave_the_number_of_snapshots_alone():
    hands = open_hands(RenderOptions("out", checkpoints=3, hands="builtin", styles=("brush", "brush")))
    assert hands.styles == ("brush", "brush 2")


def test_hands_draw_more_sketches_than_there_are_snapshots(photos, tmp_path):
    options = RenderOptions(
        tmp_path / "out", photos, tom=Path("builtin"), checkpoints=12, hands="builtin", limit=1, size=64,
        workers=1, threads=1,
    )  # fmt: skip
    render(options)
    drawn = stored_sketches(options.shards)
    assert len({image.tobytes() for image in drawn.values()}) == 12
    assert len(read_manifest(folder_at(options.shards))["digests"]) == 2 + 10, (
        "encoder, head and all ten snapshots"
    )


def test_hands_are_not_drawn_again_by_a_snapshot(photos, tmp_path):
    options = RenderOptions(
        tmp_path / "out", photos, tom=Path("builtin"), checkpoints=1, hands="builtin", limit=1, size=64,
        workers=1, threads=1,
    )  # fmt: skip
    render(options)
    with pytest.raises(AbsentError, match="drawn by hands.*render with --hands none into another folder"):
        redrawing_of(open_shards(options.shards), None, torch.device("cpu"))


@pytest.mark.parametrize(
    ("method", "hands", "source"),
    [
        ("tom", None, "builtin"),
        ("canny", None, "none"),
        ("hed", None, "none"),
        ("tom", "none", "none"),
        ("canny", "builtin", "builtin"),
        ("tom", "mine.toml", "mine.toml"),
    ],
)
def test_tom_has_hands_by_default_and_edge_detectors_stay_as_they_are(method, hands, source):
    assert RenderOptions("out", method=method, hands=hands).hands_source == source


def test_ten_hands_are_what_tom_draws_by_default(photos, tmp_path):
    words = [
        "render",
        "--images",
        str(photos),
        "--limit",
        "1",
        "--size",
        "64",
        "--threads",
        "1",
        "--workers",
        "1",
    ]
    assert run([*words, "--tom", "builtin", "--shards", str(tmp_path / "out")]) == 0
    assert read_manifest(folder_at(tmp_path / "out"))["styles"] == NAMES


def test_progress_says_who_draws(by_hands, tmp_path):
    job = preview(dataclasses.replace(by_hands, shards=tmp_path / "out"))
    assert "(canny; drawn anew by 10 hands)" in describe_rendering(job)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--hands", "none.toml"],
            "none.toml: no such file; expected a TOML file with a table for each hand",
        ),
        (["--hands", "builtin", "--low-threshold", "0.1"], "--low-threshold: has no meaning with --hands"),
        (
            ["--hands", "none", "--styles", "brush"],
            "--styles: names hands, and there are none with --hands none; add --hands builtin",
        ),
        (
            ["--hands", "builtin", "--styles", "brush,pencil"],
            "--styles pencil: no such hand; there are careful, outline",
        ),
        (["--hands", "builtin", "--threshold", "0.5"], "--threshold: has no meaning with --hands builtin"),
        (["--hands", "builtin", "--styles", "brush,,naive"], "'brush,,naive' has an empty name in it"),
    ],
)
def test_wrong_requests_are_one_line(tmp_path, capsys, photos, words, message):
    arguments = ["render", "--images", str(photos), "--method", "canny", "--shards", str(tmp_path / "out")]
    assert run([*arguments, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_grey_sketches_keep_the_pens_soft_edges(photos, tmp_path):
    options = RenderOptions(
        tmp_path / "out", photos, method="canny", size=64, hands="builtin", limit=1, sketch_format="png"
    )
    render(options)
    levels = np.unique(next(iter(stored_sketches(options.shards).values())))
    assert len(levels) > 2
    assert levels.max() == 255

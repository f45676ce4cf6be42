"""`render --hands`: ten sketches by ten hands, whatever the method, recorded and repeatable."""

import dataclasses

import numpy as np
import pytest
from conftest import contents, stored_sketches

from cli.main import run
from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions
from sketchforge.render.hands import open_hands
from sketchforge.render.render import render
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.verify import verify

NAMES = [
    "careful",
    "outline",
    "scribble",
    "brush",
    "naive",
    "ruler",
    "detailer",
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
    manifest = read_manifest(by_hands.shards)
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
    assert "hands" not in read_manifest(rendered.shards)["options"]


def test_hands_draw_again_where_more_sketches_are_asked_for():
    hands = open_hands(RenderOptions("out", method="tom", checkpoints=12, hands="builtin"))
    assert hands.styles == (*NAMES, "careful 2", "outline 2")
    hands = open_hands(RenderOptions("out", method="tom", checkpoints=1, hands="builtin"))
    assert hands.styles == ("careful",)


def test_a_hand_that_draws_again_draws_otherwise(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text('format = "sketchforge-hands"\nversion = 1\n[mine]\nfield = 0.03\n')
    grey = np.full((2, 64, 64), 255, np.uint8)
    grey[:, 20:22, 10:50] = 0
    from sketchforge.strokes.draw import draw_hands, trace_picture

    options = RenderOptions("out", method="tom", checkpoints=2, hands=str(path))
    hands = open_hands(options).hands
    picture = trace_picture(grey, np.repeat(grey[0][..., None], 3, 2))
    first, second = draw_hands(picture, hands, 0, "key", (64, 64))
    assert (first != second).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--hands", "none.toml"],
            "none.toml: no such file; expected a TOML file with a table for each hand",
        ),
        (["--hands", "builtin", "--low-threshold", "0.1"], "--low-threshold: has no meaning with --hands"),
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
    assert len(levels) > 2 and levels.max() == 255

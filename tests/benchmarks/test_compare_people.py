"""People's drawings in the place of the sketches of images held out."""

import importlib
import sys

import numpy as np
import pytest
from PIL import Image

from sketchforge.images.builtin.drawings import draw
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.shard_set import open_shards
from tests.helpers.commands import ROOT
from tests.helpers.photos import scene

KINDS = ("dog", "horse")


@pytest.fixture
def people(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks/studies"), *sys.path])
    return importlib.import_module("compare_people")


def test_every_image_has_a_drawing_of_its_own_kind_which_no_other_has(people, tmp_path):
    for kind in (*KINDS, "person"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        (tmp_path / "data/sketches/pacs" / kind).mkdir(parents=True)
    for number, kind in enumerate(KINDS * 3):
        Image.fromarray(scene(number, 96, 96)).save(tmp_path / "photos" / kind / f"{number}.png")
    subjects = {"dog": ("cat", "fish"), "horse": ("cottage", "oak")}
    for kind, names in subjects.items():
        for name in names:
            path = tmp_path / "data/sketches/pacs" / kind / f"{name}.png"
            Image.fromarray(draw(name, "marker", 96)).save(path)
    render(
        RenderOptions(
            tmp_path / "out", str(tmp_path / "photos"), size=256, checkpoints=2, hands="none",
            split="train=.01,val=.99", workers=1, threads=1,
        )
    )  # fmt: skip
    drawn = open_shards(str(people.people_shards("paintings", tmp_path / "out", tmp_path / "data", tmp_path)))
    assert list(drawn.styles) == list(open_shards(str(tmp_path / "out")).styles[:1])
    reader = SampleReader(drawn)
    found = {key: reader.read(index, [0]).sketches[0] for index, key in enumerate(drawn.keys)}
    reader.close()
    assert sorted(key.split("__")[0] for key in found) == ["dog", "dog", "horse", "horse"]
    read_drawing = importlib.import_module("utility_data").read_drawing
    for kind, names in subjects.items():
        folder = tmp_path / "data/sketches/pacs" / kind
        wanted = {
            read_drawing(folder / f"{name}.png", people.SIDE, normalise=True).tobytes() for name in names
        }
        assert {
            np.asarray(sketch).tobytes() for key, sketch in found.items() if key.startswith(kind)
        } == wanted

"""The benchmarks of rendering still measure what they say."""

import json
import sys

import pytest

from tests.helpers.commands import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import growth
import rendering
import sketch_cost

from sketchforge.options import RenderOptions


@pytest.fixture
def options(tmp_path):
    photos = growth.store_photos(tmp_path / "photos", 2)
    return RenderOptions(
        tmp_path / "unused", photos, tom="builtin", checkpoints=2, size=32, threads=1, workers=1
    )


@pytest.mark.parametrize("part", ["decode", "draw", "encode"])
def test_parts_run_and_take_time(part, options, tmp_path):
    assert rendering.PARTS[part](options, tmp_path, 1) > 0


def test_a_rendering_is_measured_in_its_own_process(options, tmp_path):
    assert rendering.rendered("canny", options, tmp_path) > 0


def test_ratios_by_hand():
    one = {
        "authors": 20.0,
        "hed": 0.5,
        "decode": 0.01,
        "draw": 0.16,
        "encode": 0.02,
        "render": 0.2,
        "canny": 0.05,
    }
    two = one | {"render": 0.4, "hed": 0.4}
    found = rendering.summary([one, two, one])
    assert found["seconds_an_image"]["render"] == 0.2
    assert found["ratios"] == {
        "faster than the authors' way": 100.0,
        "ten sketches, of one HED map": 0.32,
        "share of the slowest stage's speed": 0.8,
        "slower than Canny": 4.0,
    }


def test_the_profile_is_of_what_draws(options):
    """However little of the time: on a busy machine any operation may take most of it."""
    assert "| aten::mkldnn_convolution |" in rendering.profile(options, rounds=1, least=0)


def test_multiply_adds_counted(monkeypatch, capsys):
    """Phase convolutions and all: eight tenths of a GMAC a sketch at 256², so a sixteenth of it at 64²."""
    monkeypatch.setattr(sys, "argv", ["sketch_cost.py", "--tom", "builtin", "--size", "64"])
    sketch_cost.main()
    found = json.loads(capsys.readouterr().out)
    assert 16 * found["ten sketches"] == pytest.approx(8.3, rel=0.15)
    assert found["the authors' ten"] > 100 * found["ten sketches"]

"""The benchmarks of rendering still measure what they say."""

import json
import sys

import pytest

from tests.helpers.commands import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import cpu_cost
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


def test_cpu_costs_are_medians_and_their_ratios_of_one_round():
    first = {"authors": 40.0, "hed": 1.0, "canny": 0.01, "snapshots": 0.2, "hands": 0.25}
    second = first | {"snapshots": 0.1, "hed": 0.4}
    found = cpu_cost.summarize([first, second, first])
    assert found["cpu_ms"] == {"authors": 40000, "hed": 1000, "canny": 10, "snapshots": 200, "hands": 250}
    assert found["ratios"] == {
        "snapshots: times as fast as the authors' way": 200,
        "hands": 160,
        "snapshots, in HED maps": 0.2,
        "hands, in HED maps": 0.25,
    }


def test_cpu_costs_have_a_row_for_each_size():
    found = [{"size": 256, "draw_size": 176, "cpu_ms": {"authors": 47680.2, "hed": 1042.0}}]
    assert cpu_cost.format_table(found, "cpu_ms").splitlines()[2] == "| 256, 176 | 47,680 | 1,042 |"


def test_the_cost_of_hands_has_the_foreground_head_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "Authors", lambda size: None)
    photos = growth.store_photos(tmp_path / "photos", 2)
    costs = cpu_cost.Costs(48, None, photos, tmp_path)
    seen = []
    find = costs.finder.find
    monkeypatch.setattr(costs.finder, "find", lambda pixels: seen.append(len(pixels)) or find(pixels))
    found = costs.with_hands()
    assert seen == [1]
    assert found["hands"] >= found["head"] + found["drawing"]
    assert min(found.values()) > 0
    costs.snapshots()
    assert seen == [1], "snapshots alone need no foreground"

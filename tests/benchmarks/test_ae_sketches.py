"""The study of which sketches teach the auto-encoder: its rows, its figures, and that one is made once."""

import argparse
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.commands import ROOT

STUDIES = ROOT / "benchmarks/studies"


@pytest.fixture(scope="module")
def study():
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDIES))
        yield importlib.import_module("ae_sketches")
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == STUDIES:
            del sys.modules[name]


@pytest.fixture
def people(study, monkeypatch):
    """Four photos with two drawings each; the first is for choosing."""
    drawings = [study.Drawing(f"{name}{which}", name) for name in "abcd" for which in (1, 2)]
    monkeypatch.setattr(study, "people", lambda data: drawings)
    monkeypatch.setattr(study, "development", lambda photos: {"a"})
    return drawings


def store_row(folder, name, seed, matched, mismatched):
    row = {"set": name, "seed": seed, "steps": 7}
    row |= {"matched": " ".join(map(str, matched)), "mismatched": " ".join(map(str, mismatched))}
    (folder / f"{name}-{seed}.json").write_text(json.dumps(row))


@pytest.mark.parametrize("name", ["tom-3", "canny-0", "tom"])
def test_other_rows_are_refused(study, name):
    with pytest.raises(argparse.ArgumentTypeError, match="no such row"):
        study.parse_row(name)


def test_every_planned_row_is_a_set_with_a_seed(study):
    assert [study.parse_row(row) for row in study.planned_rows()][:4] == [
        ("tom", 0), ("careful", 0), ("hands", 0), ("tom", 1),
    ]  # fmt: skip


def test_figures_are_means_of_a_photo_s_drawings(study, people):
    result = {"matched": "1 3 10 20 0 0 0 0"}
    assert study.figures_by_photo([result], "matched", people, ["a", "b"]).tolist() == [[2.0, 15.0]]


def test_halves_have_tables_of_their_own_and_differences_are_signed(
    study, people, tmp_path, monkeypatch, capsys
):
    """The careful hand is .01 better than ten hands on the photo for choosing, .02 worse on the others."""
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    base = np.full(8, 0.5)
    careful = base + np.array([-0.01] * 2 + [0.02] * 6)
    for name, matched in (("tom", base), ("careful", careful), ("hands", base)):
        store_row(tmp_path, name, 0, matched, base + 0.04)
    store_row(tmp_path, "tom", 1, base, base)  # a seed that the other sets lack
    study.print_tables(Path("unused"))
    development, test = capsys.readouterr().out.split("\ntest:")
    assert "1 photos, 1 seeds, 7 steps" in development
    assert "3 photos, 1 seeds" in test
    row = "| the careful hand | 49.00 [49.00 49.00] | -1.00 [-1.00 -1.00] | 5.00 [5.00 5.00] | +1.00 [+1.00 +1.00] |"
    assert row in development
    assert "| the careful hand | 52.00 [52.00 52.00] | +2.00 [+2.00 +2.00] |" in test


def test_a_row_is_trained_once(study, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    monkeypatch.setattr(study, "render_photos", lambda *_: pytest.fail("is rendered again"))
    store_row(tmp_path, "tom", 0, [1], [1])
    path = study.run_row("tom", 0, tmp_path, tmp_path, 1)
    assert path == tmp_path / "tom-0.json"


def test_the_careful_hand_is_the_first_of_the_ten_hands_rendering(study):
    assert study.SETS["careful"].folders == (("hands", 1),)
    assert study.FOLDERS == {"tom": "none", "hands": "builtin"}

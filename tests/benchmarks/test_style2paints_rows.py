"""The study of Style2Paints: its rows, and the share of the middle in parts of a training."""

import json

import pytest

import benchmarks.studies.style2paints_rows as study
from trainers.style2paints.step import MIDDLE_SHARE


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_rows_are_named_after_what_they_are(variant):
    row = study.Style2PaintsRow("portraits", 64, variant, 3)
    assert study.Style2PaintsRow.parse(row.name) == row


@pytest.mark.parametrize("name", ["portraits-64-none-0", "cats-64-guides-0", "portraits-96-guides-0"])
def test_other_rows_are_refused(name):
    with pytest.raises(ValueError, match="no such row"):
        study.Style2PaintsRow.parse(name)


def test_shares_are_averaged_over_parts_of_the_training():
    log = [{"step": step, MIDDLE_SHARE: share} for step, share in [(1, 0.5), (2, 0.3), (3, 0.2), (10, 0.1)]]
    log.insert(1, {"step": 2, "reconstruction": 7.0})
    assert study.middle_shares(log, 10) == pytest.approx([0.4, 0.2, 0.1])  # of the five parts two have none


def test_the_table_has_figures_and_shares(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    figure = {"value": 250.0, "low": 240.0, "high": 260.0}
    result = {
        "data": "portraits", "size": 64, "variant": "guides", "seed": 0, "steps": 1000, "middle_shares": [0.2, 0.3],
        "rows": [{"name": "run", "titles": {"frechet": "Fréchet"}, "frechet": figure}],
    }  # fmt: skip
    (tmp_path / "portraits-64-guides-0.json").write_text(json.dumps(result))
    study.print_table()
    assert "| portraits 64 guides 0 | 1,000 | 250 | 0.20, 0.30 |" in capsys.readouterr().out

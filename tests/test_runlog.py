"""The training log: continued, cut where a resumed run will come by again, and never half a line."""

import json

import pytest

from sketchforge.checkpoints.run_log import RunLog, read_log


def write(path, resume_at, steps):
    log = RunLog(path, resume_at)
    for step in steps:
        log.write(step, {"loss": step / 2})
    log.close()


def test_continued_log_equals_uninterrupted_one(tmp_path):
    write(tmp_path / "a" / "log.jsonl", 0, range(1, 9))
    write(tmp_path / "b" / "log.jsonl", 0, range(1, 7))
    write(tmp_path / "b" / "log.jsonl", 4, range(5, 9))
    assert (tmp_path / "a" / "log.jsonl").read_bytes() == (tmp_path / "b" / "log.jsonl").read_bytes()


def test_half_a_line_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": 0.5}) + '\n{"step": 2, "lo')
    write(path, 2, [2])
    assert read_log(path) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 1.0}]
    assert read_log(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("value", ["null", '"0.5"', "[1]", "true", "9" * 400])
def test_a_log_ends_before_a_value_that_is_no_number(tmp_path, value):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": ' + value + '}\n{"step": 3}\n')
    assert read_log(path) == [{"step": 1, "loss": 0.5}]

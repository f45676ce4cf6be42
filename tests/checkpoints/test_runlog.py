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


@pytest.mark.parametrize(
    "tail", ['{"step": 3, "loss": 1.0}\n{"step": 4}\n', '{"step": 3, "lo', "\0\xff\n", "[" * 9999]
)
def test_a_log_that_is_longer_than_the_state_or_damaged_at_its_end_is_mended(tmp_path, tail):
    write(tmp_path / "whole.jsonl", 0, range(1, 4))
    path = tmp_path / "log.jsonl"
    write(path, 0, [1, 2])
    with open(path, "a", encoding="latin-1") as file:
        file.write(tail)
    log = RunLog(path, 2)
    log.write(3, {"loss": 1.5})
    log.close()
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("value", ["null", '"0.5"', "[1]", "true", "9" * 400])
def test_a_log_ends_before_a_value_that_is_no_number(tmp_path, value):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": ' + value + '}\n{"step": 3}\n')
    assert read_log(path) == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize(("due", "kept"), [(True, [1, 2]), (False, [1, 2, 2])])
def test_an_evaluation_that_is_made_again_is_not_logged_twice(tmp_path, due, kept):
    """A run that was killed after an evaluation was logged, and before the state knew of it."""
    path = tmp_path / "log.jsonl"
    lines = [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.4},
        {"step": 2, "frechet": 9.0},
        {"step": 3, "loss": 0.3},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    RunLog(path, 2, evaluation_due=due).close()
    assert [record["step"] for record in read_log(path)] == kept
    assert read_log(path)[1] == lines[1]

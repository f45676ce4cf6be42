"""The comparison of systems: each has the same time, whatever a step takes, and interruptions cost no more."""

import json

import pytest

import benchmarks.studies.compare_systems as study


class Training:
    """Steps that take so many seconds each, of a clock of its own."""

    def __init__(self, step_seconds, done=0, fails_after=None):
        self.step_seconds, self.done, self.seconds = step_seconds, done, 0.0
        self.fails_after = fails_after

    def __call__(self, steps):
        if self.fails_after is not None and steps > self.fails_after:
            raise KeyboardInterrupt
        self.seconds += 2 + (steps - self.done) * self.step_seconds  # 2 to begin
        self.done = steps

    def now(self):
        return self.seconds


@pytest.mark.parametrize("step_seconds", [0.05, 0.4, 3.0])
def test_a_system_has_the_seconds_that_are_asked_for(tmp_path, step_seconds):
    training = Training(step_seconds)
    done = study.train_for(600, training, tmp_path / "clock.json", training.now)
    assert 0.95 * 600 <= done["seconds"] <= 1.05 * 600
    assert done["steps"] == training.done
    assert done["seconds"] == pytest.approx(training.seconds)


def test_an_interrupted_training_goes_on_with_the_time_that_is_left(tmp_path):
    clock = tmp_path / "clock.json"
    first = Training(0.5, fails_after=800)
    with pytest.raises(KeyboardInterrupt):
        study.train_for(600, first, clock, first.now)
    assert json.loads(clock.read_text())["steps"] == first.done > 0
    second = Training(0.5, done=first.done)
    done = study.train_for(600, second, clock, second.now)
    assert first.seconds + second.seconds == pytest.approx(done["seconds"])
    assert done["seconds"] == pytest.approx(600, rel=0.06)


def test_a_training_that_has_had_its_time_is_left_alone(tmp_path):
    (tmp_path / "clock.json").write_text('{"steps": 90, "seconds": 599.0}')
    done = study.train_for(600, lambda steps: pytest.fail("trained"), tmp_path / "clock.json")
    assert done["steps"] == 90


def test_stages_share_the_time_and_the_second_has_the_first_ones_model(tmp_path, monkeypatch):
    trained, budgets = [], []
    monkeypatch.setattr(
        study, "train_for", lambda seconds, train, clock: budgets.append(seconds) or train(7) or {"steps": 7}
    )
    stages = tuple(study.Stage(name, trained.append, lambda **given: given) for name in ("ae", "gan"))
    monkeypatch.setitem(study.SYSTEMS, "gan", ("both", stages))
    run, spent = study.train_system(study.SystemRow("gan", "portraits", 64, 1), tmp_path, tmp_path, 600)
    assert budgets == [300, 300]
    assert [options.get("ae") for options in trained] == [None, trained[0]["run"]]
    assert run == trained[1]["run"]
    assert set(spent) == {"ae", "gan"}


@pytest.mark.parametrize("system", study.SYSTEMS)
def test_rows_are_named_after_what_they_are(system):
    row = study.SystemRow(system, "paintings", 128, 2)
    assert study.SystemRow.parse(row.name) == row


@pytest.mark.parametrize("name", ["cyclegan-portraits-64-0", "ae-cats-64-0", "ae-portraits-96-0"])
def test_other_rows_are_refused(name):
    with pytest.raises(ValueError, match="no such row"):
        study.SystemRow.parse(name)


def test_the_table_has_sizes_and_speeds_beside_the_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    figure = {"value": 250.0, "low": 240.0, "high": 260.0}
    result = {
        "system": "gan", "data": "portraits", "size": 64, "seed": 0, "seconds": 600.0,
        "stages": {"ae": {"steps": 1000, "seconds": 300.0}, "gan": {"steps": 500, "seconds": 310.0}},
        "sizes": {"parameters": 1_234_567, "giga_multiply_adds": 0.1234, "seconds_image": 0.0123},
        "rows": [{"name": "run", "titles": {"frechet": "Fréchet (mobilenet_v2)"}, "frechet": figure}],
    }  # fmt: skip
    (tmp_path / "gan-portraits-64-0.json").write_text(json.dumps(result))
    study.print_tables()
    printed = capsys.readouterr().out
    assert "portraits, 64 pixels, 600 seconds of a processor" in printed
    row = "| auto-encoder and GAN | 1 | 1,000 + 500 | 250 [240 260] | 1.23 | 0.123 | 12.3 | 300 + 620 |"
    assert row in printed

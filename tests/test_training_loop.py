"""The loop of all trainings: what is logged, evaluated and saved when, and what an interruption leaves."""

import signal

import pytest

from sketchforge.errors import SketchforgeError
from sketchforge.utils.progress import Progress
from trainers import loop
from trainers.loop import train


class Trainer:
    """Learns nothing; `at` is called in every step."""

    def __init__(self, at=lambda step: None):
        self.at = at

    def step(self, number, batch):
        assert number == batch
        self.at(number)
        return {"loss": number / 2}


class Told(Progress):
    def __init__(self):
        self.told = []

    def begin(self, unit, total, done=0):
        self.told.append((unit, total, done))

    def advance(self, **figures):
        self.told.append(figures)

    def note(self, text):
        self.told.append(text)

    def end(self):
        self.told.append("end")


def failing_at(number, error):
    def at(step):
        if step == number:
            raise error

    return Trainer(at)


def test_every_step_is_logged_and_evaluations_where_they_are_due():
    logged = []
    train(
        Trainer(), iter(range(5)), 0, 5,
        log=lambda step, values: logged.append((step, values)),
        evaluate=lambda step: {"score": step}, evaluate_at={2, 5},
    )  # fmt: skip
    assert logged == [
        (1, {"loss": 0.0}),
        (2, {"loss": 0.5}),
        (2, {"score": 2}),
        (3, {"loss": 1.0}),
        (4, {"loss": 1.5}),
        (5, {"loss": 2.0}),
        (5, {"score": 5}),
    ]


def test_progress_is_told_where_a_run_goes_on():
    progress = Told()
    train(Trainer(), iter(range(3, 5)), 3, 5, progress=progress)
    assert progress.told == ["continuing after step 3", ("step", 5, 3), {"loss": 1.5}, {"loss": 2.0}, "end"]


def test_the_end_is_saved():
    saved = []
    train(Trainer(), iter(range(5)), 0, 5, save=saved.append)
    assert saved == [5]


def test_nothing_is_done_and_saved_where_all_steps_are_done():
    saved = []
    train(Trainer(), iter(()), 5, 5, save=saved.append)
    assert saved == []


def test_saves_after_so_many_steps():
    saved = []
    train(Trainer(), iter(range(5)), 0, 5, save=saved.append, save_every=2)
    assert saved == [2, 4, 5]


def test_saves_after_so_much_time(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    saved = []
    train(Trainer(), iter(range(3)), 0, 3, save=saved.append)
    assert saved == [1, 2, 3]


def test_an_error_in_a_step_saves_nothing():
    saved, progress = [], Told()
    with pytest.raises(RuntimeError, match="within"):
        train(
            failing_at(2, RuntimeError("within")), iter(range(5)), 0, 5, save=saved.append, progress=progress
        )
    assert saved == []
    assert progress.told[-1] == "end"


def test_progress_ends_also_where_saving_fails():
    def full(step):
        raise OSError("no space left")

    progress = Told()
    with pytest.raises(OSError, match="no space left"):
        train(Trainer(), iter(range(5)), 0, 5, save=full, progress=progress)
    assert progress.told[-1] == "end"


def test_an_error_between_steps_loses_none():
    def short():
        yield from range(3)
        raise SketchforgeError("no more data")

    saved = []
    with pytest.raises(SketchforgeError):
        train(Trainer(), short(), 0, 5, save=saved.append)
    assert saved == [3]


def test_an_interruption_in_a_step_waits_until_the_step_is_done():
    def interrupt(step):
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    logged, saved = [], []
    with pytest.raises(KeyboardInterrupt):
        train(
            Trainer(interrupt), iter(range(5)), 0, 5,
            log=lambda step, values: logged.append(step), save=saved.append,
        )  # fmt: skip
    assert (logged, saved) == ([1, 2, 3], [3])


def test_a_loss_that_is_not_finite_names_the_step_and_the_state_that_is_kept():
    with pytest.raises(
        FloatingPointError, match="^the loss became nan at step 3; the state of step 2 is kept$"
    ):
        train(
            failing_at(3, FloatingPointError("the loss became nan")), iter(range(5)), 0, 5, save_every=2,
        )  # fmt: skip

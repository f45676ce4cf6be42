"""The loop of all trainings: what is logged, evaluated and saved when, and what an interruption leaves."""

import errno
import signal

import pytest
import torch

from sketchforge.errors import SketchforgeError
from sketchforge.utils.progress import Progress
from sketchforge.utils.signals import raise_deferred
from trainers import loop
from trainers.distributed import LostRankError
from trainers.loop import Progressed, train
from trainers.safe_points import buffers_kept_on_error


class Trainer:
    """Learns nothing; `at` is called in every step, as long as nothing has changed or `changing`."""

    interruptible = False

    def __init__(self, at=lambda step: None, changing=False):
        self.at, self.changes, self.changing = at, changing, False

    def step(self, number, batch):
        assert number == batch
        self.changing = self.changes
        self.at(number)
        self.changing = False
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


def failing_at(number, error, changing=False):
    def at(step):
        if step == number:
            raise error

    return Trainer(at, changing)


def test_every_step_is_logged_and_evaluations_where_they_are_due():
    logged = []
    train(
        Trainer(), iter(range(5)), Progressed(), 5,
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
    train(Trainer(), iter(range(3, 5)), Progressed(3), 5, progress=progress)
    assert progress.told == ["continuing after step 3", ("step", 5, 3), {"loss": 1.5}, {"loss": 2.0}, "end"]


def test_the_end_is_saved():
    saved = []
    train(Trainer(), iter(range(5)), Progressed(), 5, save=saved.append)
    assert saved == [(5, False)]


def test_nothing_is_done_and_saved_where_all_steps_are_done():
    saved = []
    train(Trainer(), iter(()), Progressed(5), 5, save=saved.append)
    assert saved == []


def test_saves_after_so_many_steps():
    saved = []
    train(Trainer(), iter(range(5)), Progressed(), 5, save=saved.append, save_every=2)
    assert saved == [(2, False), (4, False), (5, False)]


def test_saves_after_so_much_time(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    saved = []
    train(Trainer(), iter(range(3)), Progressed(), 3, save=saved.append)
    assert saved == [(1, False), (2, False), (3, False)]


def test_after_a_long_step_all_is_saved_before_anything_else_that_may_be_cut_off(monkeypatch):
    monkeypatch.setattr(loop, "LONG_SECONDS", -1)
    saved, seen = [], []
    train(
        Trainer(lambda step: seen.append((step, saved[-1:]))), iter(range(3)), Progressed(), 3,
        evaluate=lambda step: seen.append(("evaluation", saved[-1:])) or {}, evaluate_at={2}, save=saved.append,
    )  # fmt: skip
    assert seen == [(0, []), (1, [(1, False)]), ("evaluation", [(2, True)]), (2, [(2, False)])]


def test_the_state_is_saved_before_the_first_evaluation_and_not_before_others_that_are_quick():
    saved = []
    train(Trainer(), iter(range(5)), Progressed(), 5, evaluate_at={2, 3, 4}, save=saved.append)
    assert saved == [(2, True), (5, False)]


def test_an_error_while_a_step_changes_the_state_saves_nothing():
    saved, progress = [], Told()
    trainer = failing_at(2, RuntimeError("within"), changing=True)
    with pytest.raises(RuntimeError, match="within"):
        train(trainer, iter(range(5)), Progressed(), 5, save=saved.append, progress=progress)
    assert saved == []
    assert progress.told[-1] == "end"


def test_an_error_before_a_step_changes_anything_saves_the_step_before():
    saved = []
    with pytest.raises(RuntimeError, match="within"):
        train(
            failing_at(2, RuntimeError("within")), iter(range(5)), Progressed(), 5, save=saved.append
        )  # fmt: skip
    assert saved == [(2, False)]


def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "runs/x/state.pt")


def test_progress_ends_also_where_saving_fails():
    progress = Told()
    with pytest.raises(SketchforgeError):
        train(Trainer(), iter(range(5)), Progressed(), 5, save=refuse, progress=progress)
    assert progress.told[-1] == "end"


def test_a_disk_that_refuses_names_the_file_the_step_and_the_state_that_is_kept():
    saved = []

    def save(done):
        if done.step > 2:
            refuse()
        saved.append(done.step)

    message = "^runs/x/state.pt: No space left on device at step 4; the state of step 2 is kept$"
    with pytest.raises(SketchforgeError, match=message):
        train(Trainer(), iter(range(5)), Progressed(), 5, save=save, save_every=2)
    assert saved == [2]


def test_a_log_that_cannot_be_written_saves_no_step_that_it_lacks():
    saved = []
    with pytest.raises(SketchforgeError, match="No space left on device at step 0"):
        train(Trainer(), iter(range(5)), Progressed(), 5, log=refuse, save=saved.append)
    assert saved == []


def test_an_evaluation_that_is_interrupted_is_made_up_for():
    """Its step is saved with the note that it is due; then it comes first, and is logged once."""
    saved, logged, tried = [], [], []

    def evaluate(step):
        tried.append(step)
        if len(tried) == 1:
            signal.raise_signal(signal.SIGINT)
            raise_deferred()
            pytest.fail("there is no safe point")
        return {"score": step}

    more = {"evaluate": evaluate, "evaluate_at": {2}, "save": saved.append}
    more["log"] = lambda step, values: logged.append((step, *values))
    with pytest.raises(KeyboardInterrupt):
        train(Trainer(), iter(range(3)), Progressed(), 3, **more)
    assert saved == [(2, True)]
    train(Trainer(), iter(range(2, 3)), saved[0], 3, **more)
    assert saved == [(2, True), (3, False)]
    assert logged == [(1, "loss"), (2, "loss"), (2, "score"), (3, "loss")]


def test_an_interruption_after_an_evaluation_was_made_up_for_says_so():
    saved = []

    def no_more():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        train(Trainer(), no_more(), Progressed(2, True), 3, evaluate_at={2}, save=saved.append)
    assert saved == [(2, False)]


def test_a_rank_that_is_missed_before_a_step_loses_none():
    saved, met = [], []

    def meet():
        met.append(None)
        if len(met) == 3:
            raise LostRankError("rank 1 of 2 went away")

    message = "^rank 1 of 2 went away at step 2; the state of step 2 is kept$"
    with pytest.raises(LostRankError, match=message):
        train(Trainer(), iter(range(5)), Progressed(), 5, meet=meet, save=saved.append)
    assert saved == [(2, False)]


def test_an_error_between_steps_loses_none():
    def short():
        yield from range(3)
        raise SketchforgeError("no more data")

    saved = []
    with pytest.raises(SketchforgeError):
        train(Trainer(), short(), Progressed(), 5, save=saved.append)
    assert saved == [(3, False)]


def test_an_interruption_in_a_step_waits_until_the_step_is_done():
    def interrupt(step):
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    logged, saved = [], []
    with pytest.raises(KeyboardInterrupt):
        train(
            Trainer(interrupt), iter(range(5)), Progressed(), 5,
            log=lambda step, values: logged.append(step), save=saved.append,
        )  # fmt: skip
    assert (logged, saved) == ([1, 2, 3], [(3, False)])


def test_a_loss_that_is_not_finite_names_the_step_and_the_state_that_is_kept():
    with pytest.raises(
        FloatingPointError, match="^the loss became nan at step 3; the state of step 2 is kept$"
    ):
        train(
            failing_at(3, FloatingPointError("the loss became nan"), changing=True),
            iter(range(5)), Progressed(), 5, save_every=2, save=lambda done: None,
        )  # fmt: skip


class Layers(Trainer):
    """A real network, whose step takes a signal at a moment of its own: in the forward or the backward pass."""

    interruptible = True

    def __init__(self, moment):
        super().__init__()
        self.moment = moment
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(
            torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1)
        )

    def step(self, number, batch):
        with buffers_kept_on_error(self.network):
            value = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
            for layer in self.network:
                value = layer(value)
                if self.moment == "forward" and layer is self.network[1] and number == 2:
                    signal.raise_signal(signal.SIGINT)
            if self.moment == "backward" and number == 2:
                value.register_hook(lambda gradient: signal.raise_signal(signal.SIGINT))
            value.sum().backward()
        return {"loss": 0.0}


@pytest.mark.parametrize("moment", ["forward", "backward"])
def test_a_long_step_is_abandoned_at_the_next_layer_and_leaves_no_trace(moment):
    saved, trainer = [], Layers(moment)
    with pytest.raises(KeyboardInterrupt):
        train(trainer, iter(range(5)), Progressed(), 5, save=saved.append)
    assert saved == [(2, False)]
    two_steps = Layers(None)
    train(two_steps, iter(range(2)), Progressed(), 2)
    for name, buffer in trainer.network.named_buffers():
        assert torch.equal(buffer, dict(two_steps.network.named_buffers())[name]), name


def test_a_signal_that_is_ignored_ends_no_step():
    def interrupt(step):
        signal.raise_signal(signal.SIGINT)
        raise_deferred()

    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        train(Trainer(interrupt), iter(range(2)), Progressed(), 2)
    finally:
        signal.signal(signal.SIGINT, previous)

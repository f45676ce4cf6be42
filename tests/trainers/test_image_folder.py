"""What every training of an image model does about its run folder."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from sketchforge.errors import SketchforgeError
from sketchforge.utils.progress import Progress
from trainers.distributed import Ranks
from trainers.image_models.folder import train_in_folder
from trainers.image_models.train import GRID_FILE
from trainers.run_folder import hold_run


@dataclass
class Plan:
    finished: bool
    # What ranks compare; there is one only.
    images: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(ranks=Ranks(), record={}, steps_done=0)
    )


def calls_of(run, finished, progress=None):
    """What was called with what, in order, of a training with this plan."""
    plan, calls = Plan(finished), []
    grid = train_in_folder(
        run,
        lambda: calls.append("plan") or plan,
        lambda *given: calls.append(("train", *given)),
        progress,
        lambda given: calls.append(("announce", given)),
    )
    assert grid == run / GRID_FILE
    return plan, calls


def test_a_run_is_planned_then_announced_then_trained(tmp_path):
    progress = Progress()
    plan, calls = calls_of(tmp_path / "run", False, progress)
    assert calls == ["plan", ("announce", plan), ("train", plan, progress)]


def test_a_finished_run_is_announced_and_left_alone(tmp_path):
    plan, calls = calls_of(tmp_path / "run", True)
    assert calls == ["plan", ("announce", plan)]


def test_a_folder_that_another_training_holds_is_not_even_planned_in(tmp_path):
    with hold_run(tmp_path / "run"), pytest.raises(SketchforgeError, match="at work"):
        train_in_folder(tmp_path / "run", lambda: pytest.fail("planned"), lambda *_: None, None, None)

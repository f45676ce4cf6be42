"""What every training of an image model does about its run folder: hold it, plan, train unless that was done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sketchforge.utils.progress import Progress
from trainers.agreement import check_agreement
from trainers.image_models.plan import ImagePlan
from trainers.image_models.train import GRID_FILE
from trainers.run_folder import hold_run


class Planned(Protocol):
    @property
    def images(self) -> ImagePlan[Any]: ...

    @property
    def finished(self) -> bool: ...


PlanT = TypeVar("PlanT", bound=Planned)


def train_in_folder(
    run: Path,
    plan_training: Callable[[], PlanT],
    train: Callable[[PlanT, Progress], None],
    progress: Progress | None,
    announce: Callable[[PlanT], None] | None,
) -> Path:
    """Train or resume training, and return the path of the grid of sketches × styles; see `train_images`.

    announce: called with the plan before training. Raises as `plan_training` does, too, and SketchforgeError
    when another training is at work in the run folder.
    """
    with hold_run(run):
        plan = plan_training()
        images = plan.images
        check_agreement(images.ranks, run, images.record, images.steps_done, plan.finished)
        if announce:
            announce(plan)
        if not plan.finished:
            train(plan, progress or Progress())
    return run / GRID_FILE

"""Do all ranks of a training mean the same run? Each node plans by its own disks, from its own command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.runs import find_difference, identity_of
from sketchforge.errors import SketchforgeError
from trainers.distributed import LostRankError, Ranks
from trainers.loop import Progressed


def check_agreement(
    ranks: Ranks, run: Path, record: Mapping[str, Any], steps_done: int, finished: bool
) -> None:
    """Wait until all ranks have planned, and compare their plans. A single process has nothing to compare.

    record: run.json as the training begins. Raises SketchforgeError, on all ranks, where a rank has failed, has
    other options or inputs than rank 0, or finds another run in the run folder.
    """
    if ranks.world_size == 1:
        return
    identity = identity_of(record)
    identity.pop("--threads", None)  # the cores of a machine may be others than those of the next
    plan = {"identity": identity, "found": [steps_done, finished]}
    with lost_ranks_explained(run):
        texts = ranks.collect("plan", json.dumps(plan))
    plans = [json.loads(text) for text in texts]
    for rank, other in enumerate(plans):
        if difference := find_difference(plans[0]["identity"], other["identity"]):
            raise SketchforgeError(
                f"{run}: rank {rank} has {difference[1]}, rank 0 {difference[0]}; start all ranks with the same "
                "options and the same inputs"
            )
        if other["found"] != plans[0]["found"]:
            _refuse_folder(run, rank, other["found"][0], plans[0]["found"][0])


def check_start(ranks: Ranks, run: Path, start: Progressed) -> None:
    """Raise SketchforgeError, on all ranks, where they have restored states of different steps."""
    if ranks.world_size > 1:
        starts = [json.loads(text) for text in ranks.collect("start", json.dumps(start))]
        for rank, other in enumerate(starts):
            if other != starts[0]:
                _refuse_folder(run, rank, other[0], starts[0][0])


def _refuse_folder(run: Path, rank: int, steps: int, expected: int) -> None:
    raise SketchforgeError(
        f"{run}: rank {rank} finds {steps} steps done there, rank 0 {expected}; the run folder has to be on a disk "
        "that all nodes share"
    )


@contextmanager
def lost_ranks_explained(run: Path) -> Iterator[None]:
    """Raise SketchforgeError, which says how to go on, where a rank is lost in the block."""
    try:
        yield
    except LostRankError as error:
        raise SketchforgeError(f"{run}: {error}; run the same command again to continue") from error

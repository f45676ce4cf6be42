"""The folder of a training: held by one training at a time, and what is read and written to go on in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sketchforge.checkpoints.runs import RUN_FILE, RUN_LOCK, identity_of
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import disk_errors, write_json
from sketchforge.utils.lock import created_folder, is_read_only, lock
from trainers.distributed import Ranks
from trainers.loop import Progressed
from trainers.state import STATE_FILE, Stateful, restore_state, save_state

LOG_FILE = "log.jsonl"


@contextmanager
def hold_run(run: Path) -> Iterator[None]:
    """Hold a run folder for this training alone; all ranks of a training count as one, and rank 0 holds it.

    A missing folder is created, and removed at the end if it is still empty. Raises SketchforgeError when
    another training is at work in the folder, or the disk refuses.
    """
    ranks = Ranks.from_environment()
    if not ranks.is_main_process:
        try:
            refused = ranks.roll_call.wait_for_main("held", "refused") == "refused"
        except RuntimeError as error:
            raise SketchforgeError(f"{run}: {error}") from None
        if refused:
            raise SketchforgeError(f"{run}: another training is at work there; wait for it")
        yield
        return
    if run.exists() and not run.is_dir():
        raise UsageError(f"{run}: is a file; name a folder with --run")
    with ExitStack() as held:
        try:
            held.enter_context(created_folder(run))
            if not is_read_only(run, RUN_FILE):
                with disk_errors(run):
                    held.enter_context(lock(run / RUN_LOCK, user="training"))
        except BaseException:
            ranks.say("refused")
            raise
        ranks.say("held")
        yield


@dataclass(frozen=True)
class RunFolder:
    """What a training reads and writes to go on later.

    record: run.json as the training begins. steps_done: as run.json had it.
    """

    path: Path
    record: Mapping[str, Any]
    steps_done: int

    def begin(self) -> None:
        """Write run.json, before anything else of a new run."""
        write_json(self.path / RUN_FILE, {**self.record, "steps_done": self.steps_done})

    def restore(
        self,
        parts: Mapping[str, Stateful],
        device: torch.device,
        steps: int,
        load_extra: Callable[[Mapping[str, Any]], None],
    ) -> Progressed:
        """Load the saved state and return how far it is; see `state.restore_state`."""
        return restore_state(self.path, parts, device, identity_of(self.record), steps, load_extra)

    def save(self, done: Progressed, parts: Mapping[str, Stateful], extra: Mapping[str, Any]) -> None:
        """Write the state, then in run.json how far it is: so a state that goes missing is missed."""
        save_state(self.path, done, parts, extra, identity_of(self.record))
        write_json(self.path / RUN_FILE, {**self.record, "steps_done": done.step})


def check_state_is_there(run: Path, found: Mapping[str, Any] | None) -> None:
    """Raise SketchforgeError where run.json tells of steps whose state is gone: they would be overwritten.

    found: run.json; None or {}: there is none that can be read.
    """
    steps_done = (found or {}).get("steps_done", 0)
    if steps_done and not (run / STATE_FILE).is_file():
        raise SketchforgeError(
            f"{run / STATE_FILE}: is missing, and {steps_done} steps with it, which run.json says were done; "
            "restore the file, or begin another --run (only --overwrite discards this one)"
        )

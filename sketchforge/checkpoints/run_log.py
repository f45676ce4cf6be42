"""A run's log, one JSON object a line: it can be read during the run, and a resumed run continues it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sketchforge.utils.files import has_shape, write_bytes
from sketchforge.utils.signals import deferred_signals


class RunLog:
    """Appends records that hold a "step"; TensorBoard gets the same numbers where it is installed.

    A killed run may have logged steps after its last saved state. Resuming removes them, because the run
    takes and logs these steps again.
    """

    def __init__(self, path: Path, resume_at: int, evaluation_due: bool = False) -> None:
        """Keep the records of `path` up to step `resume_at`; drop later ones and an incomplete last line.

        evaluation_due: that step is evaluated again, so what an evaluation has logged of it is dropped, too: all
        but its first record, which has its losses.
        """
        self.path = path
        records = [record for record in read_log(path) if record["step"] <= resume_at]
        if evaluation_due:
            of_step = [index for index, record in enumerate(records) if record["step"] == resume_at]
            records = records[: of_step[0] + 1] if of_step else records
        write_bytes(path, "".join(json.dumps(record) + "\n" for record in records).encode())
        self._file = open(path, "a", encoding="utf-8")
        self._board = _open_tensorboard(path.parent, resume_at)
        # Ctrl-C interrupts the main thread anywhere, also inside TensorBoard's queue, which then never
        # empties, so that closing it waits for ever. A thread of its own is never interrupted.
        self._board_thread = ThreadPoolExecutor(1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            self._submit(self._write_scalars, step, dict(values))

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._submit(self._board.close)
        self._board_thread.shutdown()

    def _submit(self, function: Callable[..., None], *arguments: Any) -> None:
        # A signal must not interrupt the hand-over to the thread, either.
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            self._board_thread.submit(function, *arguments)

    def _write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._board.add_scalar(name, value, step)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log's records, numbers by name, oldest first; what follows a damaged line is left out.

    Empty where there is no log.
    """
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not has_shape(record, {...: float}) or not has_shape(record.get("step"), int):
            break
        records.append(record)
    return records


def _open_tensorboard(folder: Path, resume_at: int) -> Any:
    """Open a TensorBoard writer; None where TensorBoard is not installed (extra `train`)."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=resume_at + 1)

"""A worker pool without processes: they take longer to start than most of the tests to render."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

from sketchforge.render.job import RenderJob
from sketchforge.utils import worker_pool as workers
from sketchforge.utils.worker_pool import Task


class InlinePool:
    """Runs a task as it is submitted; it and its answer are pickled, as on their way to a process."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Task:
        future: Future[Any] = Future()
        called, given = _sent((function, arguments))
        try:
            future.set_result(_sent(called(*given)))
        except Exception as error:
            future.set_exception(error)
        return Task(function, arguments, future)

    def result(self, task: Task, name: str = "") -> Any:
        return task.future.result()


def _sent(value: Any) -> Any:
    return pickle.loads(ForkingPickler.dumps(value))


@contextmanager
def inline_pool(
    num_workers: int, timeout: float, probe: tuple[Any, ...] | None = None
) -> Iterator[InlinePool]:
    """In place of `worker_pool`."""
    yield InlinePool()


REAL_WORKERS = [
    (workers, "worker_pool", workers.worker_pool),
    (RenderJob, "num_workers", RenderJob.num_workers),
]


def replace_single_workers(patch: pytest.MonkeyPatch) -> None:
    """Let a pool of one process be an InlinePool, and one the number that nobody has asked for."""
    (_, _, real), _ = REAL_WORKERS

    @contextmanager
    def worker_pool(num_workers: int, timeout: float, probe: tuple[Any, ...] | None = None) -> Iterator[Any]:
        with (real if num_workers > 1 else inline_pool)(num_workers, timeout, probe) as pool:
            yield pool

    patch.setattr(workers, "worker_pool", worker_pool)
    asked = property(lambda job: max(1, min(job.options.workers or 1, job.num_images)))
    patch.setattr(RenderJob, "num_workers", asked)

"""Rendering by Ray: the shards still to do, shared among actors on one machine or on a cluster.

A task is one shard, made by `render_shards` as everywhere: idempotent, so that Ray may try the shard of a lost worker
again, and of the same bytes whoever makes it. What is planned, locked and completed stays in this process. Ray Data's
own writer is not used: its names are random, and it leaves empty tars where it fails.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.options import RenderOptions
from sketchforge.render.draw_shards import check_failures, render_shards
from sketchforge.render.hands import open_hands
from sketchforge.render.job import RenderJob, open_finder
from sketchforge.render.plan import PlannedShard, RenderPlan
from sketchforge.render.resume import FolderState
from sketchforge.render.summary import RenderSummary
from sketchforge.sketchers.factory import open_sketcher
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun
from sketchforge.utils.versions import installed_version

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TRIES = 3  # of a shard whose workers are lost
LOOK_SECONDS = 0.5  # between looks at what workers have drawn
CONNECT_SECONDS = 10.0


class _Tally:
    """Images drawn of each shard at work; an actor, so that all see it."""

    def __init__(self) -> None:
        self._drawn: dict[int, int] = {}

    def set(self, shard: int, drawn: int) -> None:
        self._drawn[shard] = drawn

    def total(self) -> int:
        return sum(self._drawn.values())


class _TallyProgress(Progress):
    """Counts images for the tally, some at a time."""

    def __init__(self, tell: Callable[[int], None], every: int = 5) -> None:
        self._tell, self._every, self._drawn = tell, every, 0

    def advance(self, **_: float | str) -> None:
        self._drawn += 1
        if self._drawn % self._every == 0:
            self._tell(self._drawn)


class _ShardRenderer:
    """An actor: opens the sketcher once, then renders shard after shard."""

    def __init__(self, place: Sequence[Any], manifest: Mapping[str, Any], folder: str, tally: Any) -> None:
        """place: where Ray's store has the plan, of one task. folder: where the paths that users give begin."""
        import ray

        plan: RenderPlan = ray.get(place[0])
        with suppress(OSError):
            os.chdir(folder)
        check_same_libraries(manifest["libraries"])
        ready = open_sketcher(plan.options)
        finder = open_finder(plan.options, ready)
        self._job = RenderJob(plan, ready, open_hands(plan.options), finder, manifest, FolderState())
        self._shards = {shard.number: shard for shard in plan.shards}
        self._tally = tally

    def render_shard(self, number: int) -> RenderSummary:
        shard = self._shards[number]
        plan = replace(self._job.plan, shards=[shard])
        summary = RenderSummary()
        progress = _TallyProgress(lambda drawn: self._tally.set.remote(shard.number, drawn))
        render_shards(replace(self._job, plan=plan), summary, progress)
        self._tally.set.remote(shard.number, len(shard.inputs))
        return summary


def check_same_libraries(wanted: Mapping[str, str]) -> None:
    """Raise SketchforgeError where this machine has other versions of what decides about the shards' bytes."""
    for name, version in wanted.items():
        if (found := installed_version(name)) != version:
            raise SketchforgeError(
                f"{name} {found} on {os.uname().nodename}, but {version} where the rendering was begun; install the same "
                "on every machine"
            )


def render_by_ray(job: RenderJob, summary: RenderSummary, progress: Progress) -> None:
    """Render what is still to do by actors of Ray; `summary` counts the outcomes, as `render_shards` does.

    Raises UsageError where Ray is not installed or cannot be reached, SketchforgeError where a shard fails or its workers
    are lost MAX_TRIES times. Finished shards are kept in every case.
    """
    todo, options = job.todo, job.options
    if not todo:
        return
    with _cluster(options) as ray:
        count = _choose_actors(ray, options, len(todo))
        progress.note(
            f"ray: {count_noun(count, 'worker')} of {options.cpus_per_worker:g} CPU"
            f"{f' and {options.gpus_per_worker:g} GPU' if options.gpus_per_worker else ''} each, on "
            f"{count_noun(len(ray.nodes()), 'node')}"
        )
        tally = ray.remote(_Tally).options(num_cpus=0).remote()
        resources = {"num_cpus": options.cpus_per_worker, "num_gpus": options.gpus_per_worker}
        renderer = ray.remote(_ShardRenderer).options(
            **resources, max_restarts=-1, max_task_retries=MAX_TRIES - 1
        )
        single = replace(options, task_id=0, num_tasks=1, engine="local")
        plan = ray.put(replace(job.plan, options=single))  # once for each node, in memory that actors share
        actors = [renderer.remote([plan], job.manifest, os.getcwd(), tally) for _ in range(count)]
        with progress.track("image", job.num_images):
            _gather(ray, actors, todo, tally, summary, progress, job)


def _gather(
    ray: Any, actors: list[Any], todo: list[PlannedShard], tally: Any, summary: RenderSummary, progress: Progress,
    job: RenderJob,
) -> None:  # fmt: skip
    """Hand shards to idle actors, one each, and add up what comes back."""
    waiting, running = iter(todo), dict[Any, tuple[Any, PlannedShard]]()
    shown = 0
    for actor, shard in zip(actors, waiting, strict=False):
        running[actor.render_shard.remote(shard.number)] = actor, shard
    while running:
        done, _ = ray.wait(list(running), num_returns=1, timeout=LOOK_SECONDS)
        for reference in done:
            actor, shard = running.pop(reference)
            summary.merge(_result(ray, reference, shard))
            check_failures(job.options, summary)
            if (following := next(waiting, None)) is not None:
                running[actor.render_shard.remote(following.number)] = actor, following
        drawn = summary.num_images if not running else ray.get(tally.total.remote())
        for _ in range(drawn - shown):
            progress.advance(stage=f"at work: {count_noun(len(running), 'shard')}")
        shown = max(shown, drawn)


def _result(ray: Any, reference: Any, shard: PlannedShard) -> RenderSummary:
    try:
        summary: RenderSummary = ray.get(reference)
        return summary
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, SketchforgeError) else None
        raise cause or SketchforgeError(
            f"shard {shard.number:05d}: its worker failed ({type(error.cause or error).__name__}: "
            f"{str(error.cause or error).splitlines()[0][:200]}); finished shards are kept"
        ) from error
    except ray.exceptions.RayError as error:
        if (line := _cause_of_start(error)) is not None:
            raise SketchforgeError(line) from error
        raise SketchforgeError(
            f"shard {shard.number:05d}: its workers were lost {MAX_TRIES} times (killed, out of memory, or their machine "
            "went); finished shards are kept: the same command goes on"
        ) from error


def _cause_of_start(error: Exception) -> str | None:
    """What an actor said that could not begin, where it is a line of ours."""
    text = str(error)
    start = text.rfind("SketchforgeError: ") if "SketchforgeError: " in text else text.rfind("UsageError: ")
    return text[start:].partition(": ")[2].splitlines()[0] if start >= 0 else None


def _choose_actors(ray: Any, options: RenderOptions, num_shards: int) -> int:
    """As many workers as are asked for, else as many as the cluster has CPUs and GPUs for, but never more than shards.

    One CPU is left free where there are several: a pool as large as the machine waits for itself.
    """
    resources = ray.cluster_resources()
    cpus = resources.get("CPU", 1)
    usual = (
        max(1, int((cpus - (1 if cpus > 1 else 0)) / options.cpus_per_worker))
        if options.cpus_per_worker
        else 1
    )
    if options.gpus_per_worker:
        usual = min(usual, int(resources.get("GPU", 0) / options.gpus_per_worker))
        if usual < 1:
            raise UsageError(
                f"--gpus-per-worker {options.gpus_per_worker:g}: the cluster has {resources.get('GPU', 0):g} GPUs"
            )
    return min(options.engine_workers or usual, num_shards)


def _check_answer(address: str | None) -> None:
    """Raise OSError where nobody answers at HOST:PORT: Ray itself waits for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


@contextmanager
def _cluster(options: RenderOptions) -> Iterator[Any]:
    """Ray, connected to --address, or begun on this machine; left as it was."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray: Ray is not installed; pip install 'sketchforge[ray]'") from error
    begun = not ray.is_initialized()
    if begun:
        local: dict[str, Any] = {} if options.address else {"include_dashboard": False}
        try:
            _check_answer(options.address)
            ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR, **local)
        except (OSError, ValueError, RuntimeError) as error:
            where = f"--address {options.address}" if options.address else "--engine ray"
            raise UsageError(
                f"{where}: no Ray cluster could be reached there ({str(error).splitlines()[0][:200]}); start one by `ray "
                "start --head`, or leave --address out"
            ) from error
    try:
        yield ray
    finally:
        if begun:
            ray.shutdown()  # the actors go with it, and the processes that they have started

"""Render: draw N sketches of every image and write them as shards.

The same command again continues where it stopped: shards that are finished are kept, the others made. What
decides the bytes is the plan and the options in the manifest, never the number of workers or where a run was
interrupted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render.plan import RenderPlan, plan_render, surveyed
from sketchforge.render.summary import STAGES, RenderSummary, reasons
from sketchforge.shards import manifest as manifests
from sketchforge.shards import schema
from sketchforge.shards.lock import FOLDER_LOCK, MANIFEST_LOCK, locked, remove_stale_locks, task_lock
from sketchforge.shards.writer import finished_stats, writing_shard
from sketchforge.utils.files import disk_errors, remove_abandoned


class Progress:
    """What a rendering tells on its way; the command line overrides it to show a bar."""

    def begin(self, plan: RenderPlan) -> None:
        """The plan stands; nothing has been written yet."""

    def image(self, failed: bool, stage_seconds: Mapping[str, float]) -> None:
        """One more image is done; `stage_seconds` as in RenderSummary, so far."""

    def end(self) -> None:
        """Nothing more comes, be it for success, failure or Ctrl-C."""


def render(options: RenderOptions, progress: Progress | None = None) -> RenderSummary:
    """Carry out `plan_render(options)`, or what is left of it.

    Starts worker processes, so a script that calls it needs the usual `if __name__ == "__main__":`. Raises
    UsageError as `plan_render` does, and SketchforgeError when another rendering is at work in the folder, when
    more images failed than `max_failures`, when none came out well, or when the disk refuses; finished shards are
    kept in every case.
    """
    progress = progress or Progress()
    plan = plan_render(options)
    if plan.is_done:
        remove_stale_locks(options.shards)  # of a run that was killed in its last moment
        progress.begin(plan)
        return _concluded(plan, _begun(plan))
    with disk_errors(options.shards):
        options.shards.mkdir(parents=True, exist_ok=True)
    with _locked(options):
        remove_abandoned(options.shards)
        plan = surveyed(plan)  # what the folder holds may have changed until it was ours
        progress.begin(plan)
        summary = _begun(plan)
        try:
            _carry_out(plan, summary, progress)
        finally:
            progress.end()
    return _concluded(plan, summary)


@contextmanager
def _locked(options: RenderOptions) -> Iterator[None]:
    """The folder for ourselves; or, as one of several tasks, this task's part of it."""
    several = options.num_tasks > 1
    with ExitStack() as locks:
        with disk_errors(options.shards):
            locks.enter_context(locked(options.shards / FOLDER_LOCK, shared=several))
            if several:
                task = task_lock(options.task_id, options.num_tasks)
                locks.enter_context(locked(options.shards / task))
        yield


def _begun(plan: RenderPlan) -> RenderSummary:
    summary = RenderSummary(num_shards=len(plan.mine), num_kept=len(plan.state.kept), complete=plan.is_done)
    for stats in plan.state.kept.values():
        summary.outcomes.update(stats["outcomes"])
    return summary


def _concluded(plan: RenderPlan, summary: RenderSummary) -> RenderSummary:
    _check_failures(plan.options, summary)
    if plan.mine and not summary.outcomes[schema.OK]:
        raise SketchforgeError(
            f"{plan.options.shards}: all {summary.num_failed} images failed: {reasons(summary.outcomes)}"
        )
    return summary


def _carry_out(plan: RenderPlan, summary: RenderSummary, progress: Progress) -> None:
    folder, found = plan.options.shards, plan.state.manifest
    fingerprint = manifests.fingerprint_of(plan.manifest)
    begun = found is not None and not plan.options.overwrite
    anew = bool(plan.todo) or not begun
    if anew:
        with disk_errors(folder):
            if found is not None and plan.options.overwrite:
                manifests.remove_shards(folder, found)
        _write_manifest(plan, plan.manifest)
    if plan.todo:
        _check_failures(plan.options, summary)
        _render_shards(plan, fingerprint, summary, progress)
    # Whichever task finishes last completes the manifest: nothing is left to be merged.
    stats = [finished_stats(folder, shard.number, fingerprint) for shard in plan.shards]
    summary.complete = None not in stats
    if summary.complete:
        finished = manifests.completed(plan.manifest, stats)
        if anew or not (found and found["complete"]):
            _write_manifest(plan, finished)
        remove_stale_locks(folder)


def _write_manifest(plan: RenderPlan, manifest: Mapping[str, Any]) -> None:
    folder = plan.options.shards
    with ExitStack() as locks, disk_errors(folder / schema.MANIFEST):
        if plan.options.num_tasks > 1:  # else the folder is ours alone
            locks.enter_context(locked(folder / MANIFEST_LOCK, wait=True))
        manifests.write_manifest(folder, manifest)


def _render_shards(plan: RenderPlan, fingerprint: str, summary: RenderSummary, progress: Progress) -> None:
    import cv2  # noqa: F401  a broken installation shows here, not as workers that die

    from sketchforge.render.pipeline import records
    from sketchforge.utils.worker_pool import worker_pool

    start = time.perf_counter()
    spent: Counter[str] = Counter()
    with (
        worker_pool(plan.num_workers, plan.options.timeout) as pool,
        closing(records(plan.todo, plan.ready, plan.options, pool, plan.num_workers)) as stream,
    ):
        for shard in plan.todo:
            sizes = manifests.sizes_digest(shard.inputs)
            with writing_shard(plan.options.shards, shard.number, fingerprint, sizes) as writer:
                for record in islice(stream, len(shard.inputs)):
                    writer.add(record)
                    summary.num_images += 1
                    summary.outcomes[record.reason or schema.OK] += 1
                    if record.reason is not None and len(summary.some_failed) < 3:
                        summary.some_failed.append(record.source)
                    progress.image(
                        record.reason is not None, _per_stage(spent + writer.seconds, plan.num_workers)
                    )
                    _check_failures(plan.options, summary)
            spent += writer.seconds
    summary.seconds = time.perf_counter() - start
    summary.stage_seconds = _per_stage(spent, plan.num_workers)


def _per_stage(spent: Mapping[str, float], num_workers: int) -> dict[str, float]:
    """Stage -> seconds of the clock: decoding and encoding are shared by the workers."""
    shared = {"decode": num_workers, "encode": num_workers}
    return {stage: spent.get(stage, 0.0) / shared.get(stage, 1) for stage in STAGES}


def _check_failures(options: RenderOptions, summary: RenderSummary) -> None:
    if options.max_failures is not None and summary.num_failed > options.max_failures:
        raise SketchforgeError(
            f"{options.shards}: {summary.num_failed} images failed ({reasons(summary.outcomes)}), more than "
            f"--max-failures {options.max_failures}; finished shards are kept, see their .jsonl files"
        )

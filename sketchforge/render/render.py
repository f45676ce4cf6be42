"""Render: draw N sketches of every image and write them as shards.

The same command again continues where it stopped: finished shards are kept, the others are made. The plan and
the options in the manifest determine the bytes, never the number of workers or the point where a run was
interrupted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from itertools import islice
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render.job import RenderJob, open_job
from sketchforge.render.plan import plan_render
from sketchforge.render.summary import (
    STAGES,
    RenderSummary,
    describe_rendering,
    describe_resume,
    reasons,
    slowest,
)
from sketchforge.shards import manifest as manifests
from sketchforge.shards import schema
from sketchforge.shards.lock import MANIFEST_LOCK, hold_folder, remove_stale_locks
from sketchforge.shards.writer import finished_stats, write_shard
from sketchforge.utils.files import disk_errors, remove_abandoned
from sketchforge.utils.lock import lock
from sketchforge.utils.progress import Progress


def render(options: RenderOptions, progress: Progress | None = None) -> RenderSummary:
    """Draw the sketches that `options` request, or those that are still missing.

    Starts worker processes, so a script that calls it needs the usual `if __name__ == "__main__":`.

    Raises UsageError as `preview` does, and SketchforgeError when another `render` is at work in the folder,
    when more images failed than `max_failures`, when all images failed, or when the disk refuses. Finished
    shards are kept in every case.
    """
    progress = progress or Progress()
    manifests.output_state(options.shards)  # a folder of other files is refused before anything slow
    plan = plan_render(options)
    with hold_folder(options.shards, options.task_id, options.num_tasks):
        job = open_job(plan)  # the sketcher, and the state of the folder now that it is locked
        for line in (describe_rendering(job), *describe_resume(job)):
            progress.note(line)
        summary = start_summary(job)
        if job.is_done:
            remove_stale_locks(options.shards)  # left by a run that was killed at its very end
        else:
            prepare_folder(job)
            render_shards(job, summary, progress)
            complete_manifest(job, summary)
    finish(job, summary)
    return summary


def preview(options: RenderOptions) -> RenderJob:
    """The job that `render` would carry out, without a lock and without writing anything.

    Raises UsageError where the request cannot be carried out: no images, or an output folder that holds other
    files or was made with other options.
    """
    manifests.output_state(options.shards)
    return open_job(plan_render(options))


def start_summary(job: RenderJob) -> RenderSummary:
    """The summary before anything is drawn: the counts of the kept shards."""
    kept_stats = job.state.kept
    summary = RenderSummary(num_shards=len(job.plan.mine), num_kept=len(kept_stats), complete=job.is_done)
    for stats in kept_stats.values():
        summary.outcomes.update(stats["outcomes"])
    return summary


def prepare_folder(job: RenderJob) -> None:
    """Remove leftovers of killed runs and shards to overwrite; write an unfinished folder's manifest."""
    folder, previous = job.options.shards, job.state.manifest
    remove_abandoned(folder)
    if previous is not None and job.options.overwrite:
        with disk_errors(folder):
            manifests.remove_shards(folder, previous)
    if job.todo or previous is None or job.options.overwrite:
        _write_manifest(job, job.manifest)


def render_shards(job: RenderJob, summary: RenderSummary, progress: Progress) -> None:
    """Draw, encode and write the shards still to do, one after another; `summary` counts the outcomes."""
    todo, options, num_workers = job.todo, job.options, job.num_workers
    if not todo:
        return
    check_failures(options, summary)
    import cv2  # noqa: F401  a broken installation shows here, not as workers that die

    from sketchforge.render.pipeline import records
    from sketchforge.utils.worker_pool import worker_pool

    start = time.perf_counter()
    stage_seconds: Counter[str] = Counter()
    with (
        progress.track("image", job.num_images),
        worker_pool(num_workers, options.timeout) as pool,
        closing(records(todo, job.ready, options, pool, num_workers)) as stream,
    ):
        for shard in todo:
            sizes = manifests.sizes_digest(shard.inputs)
            with write_shard(options.shards, shard.number, job.fingerprint, sizes) as writer:
                for record in islice(stream, len(shard.inputs)):
                    writer.add(record)
                    summary.add(record.source, record.reason)
                    rate = summary.num_images * job.num_sketches / (time.perf_counter() - start)
                    stage = slowest(_to_clock_seconds(stage_seconds + writer.seconds, num_workers))
                    progress.advance(rate=f"{rate:.0f} sketches/s", stage=f"slowest: {stage}")
                    check_failures(options, summary)
            stage_seconds += writer.seconds
    summary.seconds = time.perf_counter() - start
    summary.stage_seconds = _to_clock_seconds(stage_seconds, num_workers)


def complete_manifest(job: RenderJob, summary: RenderSummary) -> None:
    """Write the final manifest where all shards of the folder are finished.

    The task that finishes last does so: nothing is left to be merged.
    """
    folder = job.options.shards
    all_stats = [finished_stats(folder, shard.number, job.fingerprint) for shard in job.plan.shards]
    summary.complete = None not in all_stats
    if summary.complete:
        _write_manifest(job, manifests.finished_manifest(job.manifest, all_stats))
        remove_stale_locks(folder)


def finish(job: RenderJob, summary: RenderSummary) -> None:
    """Raise SketchforgeError if too many images failed, or all of them."""
    check_failures(job.options, summary)
    if job.plan.mine and not summary.outcomes[schema.OK]:
        raise SketchforgeError(
            f"{job.options.shards}: all {summary.num_failed} images failed: {reasons(summary.outcomes)}"
        )


def check_failures(options: RenderOptions, summary: RenderSummary) -> None:
    if options.max_failures is not None and summary.num_failed > options.max_failures:
        raise SketchforgeError(
            f"{options.shards}: {summary.num_failed} images failed ({reasons(summary.outcomes)}), more than "
            f"--max-failures {options.max_failures}; finished shards are kept, see their .jsonl files"
        )


def _write_manifest(job: RenderJob, manifest: Mapping[str, Any]) -> None:
    folder = job.options.shards
    with ExitStack() as locks, disk_errors(folder / schema.MANIFEST):
        if job.options.num_tasks > 1:  # else this process holds the folder alone
            locks.enter_context(lock(folder / MANIFEST_LOCK, wait=True))
        manifests.write_manifest(folder, manifest)


def _to_clock_seconds(stage_seconds: Mapping[str, float], num_workers: int) -> dict[str, float]:
    """Stage -> seconds of wall-clock time: those of decoding and encoding are divided among the workers."""
    num_sharing = {"decode": num_workers, "encode": num_workers}
    return {stage: stage_seconds.get(stage, 0.0) / num_sharing.get(stage, 1) for stage in STAGES}

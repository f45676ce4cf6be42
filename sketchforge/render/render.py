"""Render: draw N sketches of every image and write them as shards.

The same command again continues where it stopped: shards that are finished are kept, the others made. What
decides the bytes is the plan and the options in the manifest, never the number of workers or where a run was
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
from sketchforge.shards.lock import MANIFEST_LOCK, hold_folder, lock, remove_stale_locks
from sketchforge.shards.writer import finished_stats, write_shard
from sketchforge.utils.files import disk_errors, remove_abandoned
from sketchforge.utils.progress import Progress


def render(options: RenderOptions, progress: Progress | None = None) -> RenderSummary:
    """Draw what `options` ask for, or what is left of it.

    Starts worker processes, so a script that calls it needs the usual `if __name__ == "__main__":`. Raises
    UsageError as `preview` does, and SketchforgeError when another rendering is at work in the folder, when
    more images failed than `max_failures`, when none came out well, or when the disk refuses; finished shards are
    kept in every case.
    """
    progress = progress or Progress()
    manifests.output_state(options.shards)  # somebody else's folder is refused before anything slow
    plan = plan_render(options)
    with hold_folder(options.shards, options.task_id, options.num_tasks):
        job = open_job(plan)  # the sketcher, and what the folder holds now that it is ours
        for line in (describe_rendering(job), *describe_resume(job)):
            progress.note(line)
        summary = start_summary(job)
        if job.is_done:
            remove_stale_locks(options.shards)  # of a run that was killed in its last moment
        else:
            prepare_folder(job)
            render_shards(job, summary, progress)
            complete_manifest(job, summary)
    finish(job, summary)
    return summary


def preview(options: RenderOptions) -> RenderJob:
    """What `render` would do, without a lock and without writing anything.

    Raises UsageError where the request cannot be carried out: no images, an output folder that holds something
    else or was made with other options.
    """
    manifests.output_state(options.shards)
    return open_job(plan_render(options))


def start_summary(job: RenderJob) -> RenderSummary:
    """The summary before anything is drawn: what is kept."""
    kept = job.state.kept
    summary = RenderSummary(num_shards=len(job.plan.mine), num_kept=len(kept), complete=job.is_done)
    for stats in kept.values():
        summary.outcomes.update(stats["outcomes"])
    return summary


def prepare_folder(job: RenderJob) -> None:
    """Remove what killed runs, or a run to be replaced, have left; and write the manifest of an unfinished folder."""
    folder, found = job.options.shards, job.state.manifest
    remove_abandoned(folder)
    if found is not None and job.options.overwrite:
        with disk_errors(folder):
            manifests.remove_shards(folder, found)
    if job.todo or found is None or job.options.overwrite:
        _write_manifest(job, job.manifest)


def render_shards(job: RenderJob, summary: RenderSummary, progress: Progress) -> None:
    """Draw, encode and write the shards that are to do, one after another; `summary` counts what comes of it."""
    todo, options, num_workers = job.todo, job.options, job.num_workers
    if not todo:
        return
    check_failures(options, summary)
    import cv2  # noqa: F401  a broken installation shows here, not as workers that die

    from sketchforge.render.pipeline import records
    from sketchforge.utils.worker_pool import worker_pool

    start = time.perf_counter()
    spent: Counter[str] = Counter()
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
                    stage = slowest(_per_stage(spent + writer.seconds, num_workers))
                    progress.advance(rate=f"{rate:.0f} sketches/s", stage=f"slowest: {stage}")
                    check_failures(options, summary)
            spent += writer.seconds
    summary.seconds = time.perf_counter() - start
    summary.stage_seconds = _per_stage(spent, num_workers)


def complete_manifest(job: RenderJob, summary: RenderSummary) -> None:
    """Write the manifest of the finished folder, where it is finished.

    Whichever task finishes last completes the manifest: nothing is left to be merged.
    """
    folder = job.options.shards
    stats = [finished_stats(folder, shard.number, job.fingerprint) for shard in job.plan.shards]
    summary.complete = None not in stats
    if summary.complete:
        _write_manifest(job, manifests.finished_manifest(job.manifest, stats))
        remove_stale_locks(folder)


def finish(job: RenderJob, summary: RenderSummary) -> None:
    """Raise SketchforgeError where too many images failed, or all of them."""
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
        if job.options.num_tasks > 1:  # else the folder is ours alone
            locks.enter_context(lock(folder / MANIFEST_LOCK, wait=True))
        manifests.write_manifest(folder, manifest)


def _per_stage(spent: Mapping[str, float], num_workers: int) -> dict[str, float]:
    """Stage -> seconds of the clock: decoding and encoding are shared by the workers."""
    shared = {"decode": num_workers, "encode": num_workers}
    return {stage: spent.get(stage, 0.0) / shared.get(stage, 1) for stage in STAGES}

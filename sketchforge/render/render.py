"""Render: draw N sketches of every image and write them as shards.

The same command again continues where it stopped: finished shards are kept, the others are made. The plan and
the options in the manifest determine the bytes, never the number of workers or the point where a run was
interrupted.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import islice
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.images.sources import describe_passed_over
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
from sketchforge.shards.card import remove_card, write_card
from sketchforge.shards.lock import MANIFEST_LOCK, hold_folder, remove_stale_locks
from sketchforge.shards.writer import finished_stats, write_shard
from sketchforge.utils.files import disk_errors, remove_abandoned
from sketchforge.utils.lock import lock
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun

_log = logging.getLogger(__name__)


def render(options: RenderOptions, progress: Progress | None = None) -> RenderSummary:
    """Draw the sketches that `options` request, or those that are still missing.

    Starts worker processes, so a script that calls it needs the usual `if __name__ == "__main__":`.

    Raises UsageError as `preview` does, and SketchforgeError when another `render` is at work in the folder,
    when more images failed than `max_failures`, when all images failed, or when the disk refuses. Finished
    shards are kept in every case.
    """
    progress = progress or Progress()
    manifests.output_state(options.shards)  # a folder of other files is refused before anything slow
    plan = plan_render(options, progress)
    with hold_folder(options.shards, options.task_id, options.num_tasks):
        job = open_job(plan)  # the sketcher, and the state of the folder now that it is locked
        lines = (describe_rendering(job), describe_passed_over(plan.passed_over), *describe_resume(job))
        for line in filter(None, lines):
            progress.note(line)
        summary = start_summary(job)
        if job.is_done and job.state.manifest is not None:
            if not (options.shards / schema.CARD).exists():
                _write_card(job, job.state.manifest)
            remove_stale_locks(options.shards)  # left by a run that was killed at its very end
        else:
            prepare_folder(job)
            render_shards(job, summary, progress)
            complete_manifest(job, summary, progress)
    finish(job, summary)
    return summary


def preview(options: RenderOptions, progress: Progress | None = None) -> RenderJob:
    """The job that `render` would carry out, without a lock and without writing anything.

    progress: counts the files that are read to find the images.

    Raises UsageError where the request cannot be carried out: no images, or an output folder that holds other
    files or was made with other options.
    """
    manifests.output_state(options.shards)
    return open_job(plan_render(options, progress))


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
        with disk_errors(folder / schema.CARD):
            remove_card(folder)  # the folder is not what it describes


def render_shards(job: RenderJob, summary: RenderSummary, progress: Progress) -> None:
    """Draw, encode and write the shards still to do, one after another; `summary` counts the outcomes."""
    todo, options, num_workers = job.todo, job.options, job.num_workers
    if not todo:
        return
    check_failures(options, summary)
    import cv2  # noqa: F401  a broken installation shows here, not as workers that die

    from sketchforge.render.pipeline import records
    from sketchforge.render.prepare import known_good_task
    from sketchforge.utils.worker_pool import worker_pool

    start = time.perf_counter()
    stage_seconds: Counter[str] = Counter()
    first_at = 0.0  # when the first image was finished: the start of processes is no part of the rate
    with (
        progress.track("image", job.num_images),
        worker_pool(num_workers, options.timeout, known_good_task(options)) as pool,
        closing(records(todo, job, pool, num_workers)) as stream,
    ):
        for shard in todo:
            sizes = manifests.sizes_digest(shard.inputs)
            captioned, extras = job.manifest["captioned"], job.manifest["extras"]
            with write_shard(
                options.shards, shard.number, job.fingerprint, sizes, captioned, extras
            ) as writer:
                for record in islice(stream, len(shard.inputs)):
                    writer.add(record)
                    summary.add(record)
                    first_at = first_at or time.perf_counter()
                    num_since = (summary.num_images - 1) * job.num_sketches
                    figures = _describe_rate(num_since, time.perf_counter() - first_at)
                    stage = slowest(_to_clock_seconds(stage_seconds + writer.seconds, num_workers))
                    progress.advance(**figures, stage=f"slowest: {stage}")
                    check_failures(options, summary)
            stage_seconds += writer.seconds
    summary.seconds = time.perf_counter() - start
    summary.stage_seconds = _to_clock_seconds(stage_seconds, num_workers)
    _log.info(
        "seconds by stage: %s",
        ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in summary.stage_seconds.items()),
    )


def _describe_rate(num_sketches: int, seconds: float) -> dict[str, str]:
    """The figure "rate" for the progress bar; none in the first second, where it would mean little."""
    if seconds < 1:
        return {}
    rate = num_sketches / seconds
    return {"rate": f"{rate:.0f} sketches/s" if rate >= 10 else f"{rate:.1f} sketches/s"}


def complete_manifest(job: RenderJob, summary: RenderSummary, progress: Progress) -> None:
    """Write the dataset card and the final manifest where all shards of the folder are finished.

    The task that finishes last does so: nothing is left to be merged.
    """
    folder, shards = job.options.shards, job.plan.shards
    # A listing tells all tasks but the last that others are not done: else each would read the stats of all shards.
    if len(schema.begun_shards(folder, len(shards))) < len(shards):
        summary.complete = False
        return
    manifest = manifests.finished_manifest(job.manifest, _read_all_stats(job))
    summary.complete = len(manifest["shards"]) == len(shards)
    if summary.complete:
        if not _write_card(job, manifest):
            progress.note(f"{folder / schema.CARD}: was edited, left as it is")
        _write_manifest(job, manifest)  # after the card: a complete folder has one
        remove_stale_locks(folder)


def _read_all_stats(job: RenderJob) -> Iterator[Mapping[str, Any]]:
    """Yield the stats of all shards of the folder, in order, up to the first that is not finished."""
    fingerprint = job.fingerprint
    for shard in job.plan.shards:
        if (stats := finished_stats(job.options.shards, shard.number, fingerprint)) is None:
            return
        yield stats


def finish(job: RenderJob, summary: RenderSummary) -> None:
    """Raise SketchforgeError if too many images failed, or all of them."""
    check_failures(job.options, summary)
    if job.plan.mine and not summary.outcomes[schema.OK]:
        raise SketchforgeError(
            f"{job.options.shards}: no image could be drawn, of {summary.num_failed:,}: "
            f"{reasons(summary.outcomes)}"
        )


def check_failures(options: RenderOptions, summary: RenderSummary) -> None:
    if options.max_failures is not None and summary.num_failed > options.max_failures:
        raise SketchforgeError(
            f"{options.shards}: {count_noun(summary.num_failed, 'image')} failed "
            f"({reasons(summary.outcomes)}), more than "
            f"--max-failures {options.max_failures}; finished shards are kept, see their .jsonl files"
        )


def _write_card(job: RenderJob, manifest: Mapping[str, Any]) -> bool:
    """Write the card of a complete folder; False where an edited one is kept."""
    with disk_errors(job.options.shards / schema.CARD):
        return write_card(job.options.shards, manifest)


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

"""Render: draw N sketches of every image and write them as shards.

The same command again continues where it stopped: finished shards are kept, the others are made. The plan and
the options in the manifest determine the bytes, never the number of workers or the point where a run was
interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from sketchforge.images.sources import describe_passed_over
from sketchforge.options import RenderOptions
from sketchforge.render.append import append_images, preview_append
from sketchforge.render.engines import finish, render_by_engine
from sketchforge.render.job import RenderJob, open_job
from sketchforge.render.plan import plan_render
from sketchforge.render.summary import (
    RenderSummary,
    describe_rendering,
    describe_resume,
    start_summary,
)
from sketchforge.shards import manifest as manifests
from sketchforge.shards import schema
from sketchforge.shards.appending import remove_appending
from sketchforge.shards.card import remove_card, write_card
from sketchforge.shards.lock import hold_folder, hold_manifest, remove_stale_locks
from sketchforge.shards.writer import finished_stats
from sketchforge.storage.folder import folder_at
from sketchforge.utils.files import disk_errors
from sketchforge.utils.progress import Progress

_log = logging.getLogger(__name__)


def render(options: RenderOptions, progress: Progress | None = None) -> RenderSummary:
    """Draw the sketches that `options` request, or those that are still missing.

    Starts worker processes, so a script that calls it needs the usual `if __name__ == "__main__":`.

    Raises UsageError as `preview` does, and SketchforgeError when another `render` is at work in the folder,
    when more images failed than `max_failures`, when all images failed, or when the disk refuses. Finished
    shards are kept in every case.
    """
    progress = progress or Progress()
    if options.append:
        return append_images(options, progress)
    folder = folder_at(options.shards)
    manifests.output_state(folder)  # a folder of other files is refused before anything slow
    plan = plan_render(options, progress)
    with hold_folder(folder, options.task_id, options.num_tasks):
        job = open_job(plan)  # the sketcher, and the state of the folder now that it is locked
        lines = (describe_rendering(job), describe_passed_over(plan.passed_over), *describe_resume(job))
        for line in filter(None, lines):
            progress.note(line)
        summary = start_summary(job)
        if job.is_done and job.state.manifest is not None:
            if folder.find_size(schema.CARD) is None:
                _write_card(job, job.state.manifest)
            remove_stale_locks(folder)  # left by a run that was killed at its very end
        else:
            prepare_folder(job)
            render_by_engine(job, summary, progress)
            complete_manifest(job, summary, progress)
    finish(job, summary)
    return summary


def preview(options: RenderOptions, progress: Progress | None = None) -> RenderJob:
    """The job that `render` would carry out, without a lock and without writing anything.

    progress: counts the files that are read to find the images.

    Raises UsageError where the request cannot be carried out: no images, or an output folder that holds other
    files or was made with other options.
    """
    if options.append:
        return preview_append(options, progress)
    manifests.output_state(folder_at(options.shards))
    return open_job(plan_render(options, progress))


def prepare_folder(job: RenderJob) -> None:
    """Remove leftovers of killed runs and shards to overwrite; write an unfinished folder's manifest."""
    folder, previous = job.folder, job.state.manifest
    folder.sweep()
    if previous is not None and job.options.overwrite:
        with disk_errors(job.options.shards):
            manifests.remove_shards(folder, previous)
            remove_appending(folder)
    if job.todo or previous is None or job.options.overwrite:
        _write_manifest(job, job.manifest)
        with disk_errors(folder.address(schema.CARD)):
            remove_card(folder)  # the folder is not what it describes


def complete_manifest(job: RenderJob, summary: RenderSummary, progress: Progress) -> None:
    """Write the dataset card and the final manifest where all shards of the folder are finished.

    The task that finishes last does so: nothing is left to be merged.
    """
    folder, shards = job.folder, job.plan.shards
    # A listing tells all tasks but the last that others are not done: else each would read the stats of all shards.
    if len(schema.numbers_of_stats(folder.list(), len(shards))) < len(shards):
        summary.complete = False
        return
    numbers = (shard.number for shard in shards)
    finished = (stats for _, stats in finished_stats(folder, numbers, job.fingerprint))
    manifest = manifests.finished_manifest(job.manifest, finished)
    summary.complete = len(manifest["shards"]) == len(shards)
    if summary.complete:
        if not _write_card(job, manifest):
            progress.note(f"{folder.address(schema.CARD)}: was edited, left as it is")
        _write_manifest(job, manifest)  # after the card: a complete folder has one
        remove_stale_locks(folder)


def _write_card(job: RenderJob, manifest: Mapping[str, Any]) -> bool:
    """Write the card of a complete folder; False where an edited one is kept."""
    with disk_errors(job.folder.address(schema.CARD)):
        return write_card(job.folder, manifest)


def _write_manifest(job: RenderJob, manifest: Mapping[str, Any]) -> None:
    with ExitStack() as locks, disk_errors(job.folder.address(schema.MANIFEST)):
        if job.options.num_tasks > 1:  # else this process holds the folder alone
            locks.enter_context(hold_manifest(job.folder))
        manifests.write_manifest(job.folder, manifest)

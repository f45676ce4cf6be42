"""What makes the shards of a job: this process and its workers, or Ray."""

from __future__ import annotations

import time

from sketchforge.errors import SketchforgeError
from sketchforge.render.draw_shards import check_failures, render_shards
from sketchforge.render.job import RenderJob
from sketchforge.render.summary import RenderSummary, reasons
from sketchforge.shards import schema
from sketchforge.utils.progress import Progress


def render_by_engine(job: RenderJob, summary: RenderSummary, progress: Progress) -> None:
    """Make the shards still to do by `--engine`; `summary` counts the outcomes."""
    if job.options.engine == "local":
        render_shards(job, summary, progress)
        return
    from sketchforge.render.ray_engine import render_by_ray

    start = time.perf_counter()
    try:
        render_by_ray(job, summary, progress)
    finally:
        job.folder.sweep()  # after workers that were killed, or ended with the cluster
    summary.seconds = time.perf_counter() - start


def finish(job: RenderJob, summary: RenderSummary) -> None:
    """Raise SketchforgeError if too many images failed, or all of them."""
    check_failures(job.options, summary)
    if job.plan.mine and not summary.outcomes[schema.OK]:
        raise SketchforgeError(
            f"{job.options.shards}: no image could be drawn, of {sum(summary.outcomes.values()):,}: "
            f"{reasons(summary.outcomes) or 'all sketches are blank'}"
        )

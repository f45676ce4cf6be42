"""Making shards: their images decoded, drawn, encoded and written, one shard after another."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from itertools import islice

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render.job import RenderJob
from sketchforge.render.summary import STAGES, RenderSummary, reasons, slowest
from sketchforge.shards import manifest as manifests
from sketchforge.shards.writer import write_shard
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun

_log = logging.getLogger(__name__)


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
            with write_shard(job.folder, shard.number, job.fingerprint, sizes, captioned, extras) as writer:
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


def check_failures(options: RenderOptions, summary: RenderSummary) -> None:
    if options.max_failures is not None and summary.num_failed > options.max_failures:
        raise SketchforgeError(
            f"{options.shards}: {count_noun(summary.num_failed, 'image')} failed "
            f"({reasons(summary.outcomes)}), more than "
            f"--max-failures {options.max_failures}; finished shards are kept, see their .jsonl files"
        )


def _to_clock_seconds(stage_seconds: Mapping[str, float], num_workers: int) -> dict[str, float]:
    """Stage -> seconds of wall-clock time: those of decoding and encoding are divided among the workers."""
    num_sharing = {"decode": num_workers, "encode": num_workers}
    return {stage: stage_seconds.get(stage, 0.0) / num_sharing.get(stage, 1) for stage in STAGES}

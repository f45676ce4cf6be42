"""The summary of a rendering: its inputs, counts, stages and failures, and their descriptions as text."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sketchforge.shards import schema
from sketchforge.utils.text import count_noun

if TYPE_CHECKING:
    from sketchforge.options import RenderOptions
    from sketchforge.render.job import RenderJob
    from sketchforge.shards.writer import Record

_log = logging.getLogger(__name__)

NAMED_FAILURES = 10  # images that the summary names
STAGES = ("decode", "draw", "encode", "write")


@dataclass
class RenderSummary:
    """The results of a rendering.

    `outcomes` covers all shards of the task, the other counts this run only.
    """

    outcomes: Counter[str] = field(default_factory=Counter)  # "ok" or a reason -> images
    num_shards: int = 0  # of this task
    num_kept: int = 0  # shards that an earlier run finished
    complete: bool = False  # whether the whole folder is finished, the shards of other tasks included
    num_images: int = 0  # processed in this run
    num_blank: int = 0  # images of this run with no ink in any sketch
    # The first failures of this run: source and reason.
    some_failed: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)  # by STAGES, worker time divided by workers

    def add(self, record: Record) -> None:
        """Count one more processed input."""
        self.num_images += 1
        self.outcomes[record.reason or schema.OK] += 1
        self.num_blank += record.is_blank
        if record.reason is not None:
            _log.info("%s: %s", record.source, record.reason)
        has_failed = record.reason not in (None, schema.BLANK)
        if record.reason is not None and has_failed and len(self.some_failed) < NAMED_FAILURES:
            self.some_failed.append((record.source, record.reason))

    def merge(self, other: RenderSummary) -> None:
        """Add what another process has counted. Seconds of a stage are added up over processes."""
        self.outcomes.update(other.outcomes)
        self.num_images += other.num_images
        self.num_blank += other.num_blank
        self.some_failed = (self.some_failed + other.some_failed)[:NAMED_FAILURES]
        for stage, seconds in other.stage_seconds.items():
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds

    @property
    def num_failed(self) -> int:
        return schema.num_failed(self.outcomes)

    @property
    def slowest_stage(self) -> str | None:
        return slowest(self.stage_seconds)


def start_summary(job: RenderJob) -> RenderSummary:
    """The summary before anything is drawn: the counts of the kept shards."""
    kept_stats = job.state.kept
    summary = RenderSummary(num_shards=len(job.plan.mine), num_kept=len(kept_stats), complete=job.is_done)
    for stats in kept_stats.values():
        summary.outcomes.update(stats["outcomes"])
    return summary


def slowest(stage_seconds: Mapping[str, float]) -> str | None:
    """The stage that takes most wall-clock time: the one to speed up. None before anything was measured."""
    return max(stage_seconds, key=lambda stage: stage_seconds[stage]) if any(stage_seconds.values()) else None


def reasons(outcomes: Mapping[str, int]) -> str:
    """The failures among `outcomes` as text, the most frequent first: "3 truncated, 1 too small"."""
    failed = [
        (count, reason)
        for reason, count in outcomes.items()
        if reason not in (schema.OK, schema.BLANK) and count
    ]
    return ", ".join(
        f"{count} {reason}" for count, reason in sorted(failed, key=lambda pair: (-pair[0], pair[1]))
    )


def describe_rendering(job: RenderJob) -> str:
    """Describe the inputs, the sketcher and the output in one line."""
    options, plan, sketcher = job.options, job.plan, job.ready.sketcher
    sketcher_text = options.method
    if options.method == "tom":
        from sketchforge.checkpoints.tom import find_tom_run, tom_run_name

        name, digest = next(iter(sketcher.digests.items()), ("no", "digest"))
        weights = (
            f"{count_noun(len(sketcher.styles), 'snapshot')} of {tom_run_name(find_tom_run(options.tom))} "
            f"({name} {digest[:8]})"
        )
        sketcher_text = f"tom, {weights}, on {job.ready.device}"
    elif sketcher.digests:
        sketcher_text += f", weights {sketcher.digests[options.method][:8]}, on {job.ready.device}"
    if job.hands is not None:
        sketcher_text += (
            f"; drawn anew by {count_noun(len({hand.number for hand in job.hands.hands}), 'hand')}"
        )
    num_tasks = options.num_tasks
    task_text = (
        f"; task {options.task_id} of 0..{num_tasks - 1}: {len(plan.mine)} of them" if num_tasks > 1 else ""
    )
    return (
        f"{count_noun(len(plan.images), 'image')} ({options.images or 'built-in'}) x "
        f"{count_noun(job.num_sketches, 'sketch')} "
        f"({sketcher_text}) -> {count_noun(len(plan.shards), 'shard')} in {options.shards}{task_text}"
    )


def describe_resume(job: RenderJob) -> list[str]:
    """Describe, in lines, which shards of the folder are kept and which are made again."""
    options, state, todo = job.options, job.state, job.todo
    lines = []
    if options.images is None:
        lines.append("no --images given: using the photos built in")
    if state.kept and todo:
        lines.append(f"{len(state.kept)} of {count_noun(len(job.plan.mine), 'shard')} finished and kept")
    num_lost = len(todo) - len(state.changed)
    is_requested = options.retry_failed or options.overwrite
    if state.manifest and state.manifest["complete"] and num_lost > 0 and not is_requested:
        lines.append(f"{count_noun(num_lost, 'shard')} missing or altered, to be made again")
    if state.changed:
        changed_input = next(filter(None, state.changed.values()), "an input")
        lines.append(
            f"{count_noun(len(state.changed), 'shard')} to be drawn anew: {changed_input} has changed since"
        )
    return lines


def describe_outcomes(options: RenderOptions, summary: RenderSummary) -> list[str]:
    """Say, in lines, which images failed and why, and how many have blank sketches only."""
    lines = []
    if summary.num_failed:
        hint = "" if options.retry_failed else ", and --retry-failed tries them again"
        count = count_noun(summary.num_failed, "image")
        lines.append(f"{count} failed: {reasons(summary.outcomes)}; the .jsonl files name them{hint}")
        lines += [f"  {source}: {reason}" for source, reason in summary.some_failed]
        if summary.some_failed and summary.num_failed > len(summary.some_failed):
            lines.append("  ...")
    if dropped := summary.outcomes[schema.BLANK]:
        lines.append(
            f"{count_noun(dropped, 'image')} left out by --drop-blank: all sketches blank; the .jsonl files name them"
        )
    elif summary.num_blank:
        images = "1 image has" if summary.num_blank == 1 else f"{summary.num_blank} images have"
        lines.append(
            f"{images} blank sketches only; `sketchforge inspect {options.shards}` counts them by style"
        )
    return lines

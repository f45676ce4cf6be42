"""What a rendering did: counts, stages and failures, and how they are put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sketchforge.shards import schema

STAGES = ("decode", "draw", "encode", "write")


@dataclass
class RenderSummary:
    """What a rendering did. Counts of outcomes cover all shards of the task, the rest this run only."""

    outcomes: Counter[str] = field(default_factory=Counter)  # "ok" or a reason -> images
    num_shards: int = 0  # of this task
    num_kept: int = 0  # shards that were finished before
    complete: bool = False  # the whole folder: other tasks have finished, too
    num_images: int = 0  # processed now
    some_failed: list[str] = field(default_factory=list)  # the first three that failed now, by source
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)  # by STAGES, worker time divided by workers

    @property
    def num_failed(self) -> int:
        return sum(self.outcomes.values()) - self.outcomes[schema.OK]

    @property
    def slowest_stage(self) -> str | None:
        return slowest(self.stage_seconds)


def slowest(stage_seconds: Mapping[str, float]) -> str | None:
    """The stage that takes most of the clock: the one to speed up. None before anything was measured."""
    return max(stage_seconds, key=lambda stage: stage_seconds[stage]) if any(stage_seconds.values()) else None


def reasons(outcomes: Mapping[str, int]) -> str:
    """The failures among `outcomes` as text, the most frequent first: "3 truncated, 1 too small"."""
    failed = [(count, reason) for reason, count in outcomes.items() if reason != schema.OK and count]
    return ", ".join(
        f"{count} {reason}" for count, reason in sorted(failed, key=lambda pair: (-pair[0], pair[1]))
    )


def failed_of(stats: Mapping[str, Any]) -> int:
    """How many inputs of a finished shard failed."""
    return sum(count for outcome, count in stats["outcomes"].items() if outcome != schema.OK)

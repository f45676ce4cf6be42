"""Render: draw N sketches of every image and write them as shards.

The same command again continues where it stopped: shards that are finished are kept, the others made. What
decides the bytes is the plan and the options in the manifest, never the number of workers or where a run was
interrupted.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sketchforge.device import usable_cores
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.files import parse_json
from sketchforge.images import ImageError
from sketchforge.options import RenderOptions
from sketchforge.shards import manifest as manifests
from sketchforge.shards import schema
from sketchforge.shards.lock import FOLDER_LOCK, MANIFEST_LOCK, locked, remove_stale_locks, task_lock
from sketchforge.shards.plan import PlannedShard, plan_shards, task_range
from sketchforge.shards.writer import disk_errors, finished_stats, writing_shard
from sketchforge.sketchers.factory import ReadySketcher, open_sketcher
from sketchforge.sources import ImageSource, arranged, builtin_images, find_images

STAGES = ("decode", "draw", "encode", "write")


@dataclass(frozen=True)
class FolderState:
    """The output folder as it is found."""

    manifest: Mapping[str, Any] | None  # its manifest, None for a new folder
    kept: Mapping[int, Mapping[str, Any]]  # stats of this task's finished shards, by number
    changed: Mapping[int, str]  # shards to be drawn anew as an input has changed: number -> which


@dataclass(frozen=True)
class RenderPlan:
    """What a rendering will do, known before anything is written."""

    options: RenderOptions
    images: Sequence[ImageSource]
    shards: Sequence[PlannedShard]
    ready: ReadySketcher
    manifest: Mapping[str, Any]  # as it stands at the beginning of the run
    state: FolderState  # what the output folder holds already

    @property
    def mine(self) -> Sequence[PlannedShard]:
        """The shards that are this task's to make: all of them where there is one task only."""
        numbers = task_range(len(self.shards), self.options.task_id, self.options.num_tasks)
        return self.shards[numbers.start : numbers.stop]

    @property
    def todo(self) -> list[PlannedShard]:
        return [shard for shard in self.mine if shard.number not in self.state.kept]

    @property
    def is_done(self) -> bool:
        """Whether the folder is complete and stays as it is."""
        found = self.state.manifest
        return not (self.todo or self.options.overwrite) and found is not None and bool(found["complete"])

    @property
    def num_sketches(self) -> int:
        """Sketches per image."""
        return len(self.ready.sketcher.styles)

    @property
    def num_workers(self) -> int:
        images = sum(len(shard.inputs) for shard in self.todo)
        # A network that draws on these same cores needs most of them; each process takes a second to start.
        shared = self.options.method != "canny" and self.ready.device == "cpu"
        usual = usable_cores() // 2 if shared else usable_cores()
        return max(1, min(self.options.workers or usual, images))

    def estimated_bytes(self) -> int:
        """Roughly what the whole folder will take, from averages over photos."""
        pixels = self.options.size**2
        picture = 0.55 * pixels  # JPEG quality 95, 4:4:4
        sketch = (0.05 if self.options.sketch_format == "png1" else 0.5) * pixels
        members = self.num_sketches + 2
        if self.options.fit == "keep":
            stored = sum(max(image.picture.num_bytes, 0) for image in self.images)
            # About a byte for two pixels is what photos come in.
            return round(
                stored + 2 * stored * self.num_sketches * sketch / pixels + len(self.images) * members * 800
            )
        return round(len(self.images) * (picture + self.num_sketches * sketch + members * 800))


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


class Progress:
    """What a rendering tells on its way; the command line overrides it to show a bar."""

    def begin(self, plan: RenderPlan) -> None:
        """The plan stands; nothing has been written yet."""

    def image(self, failed: bool, stage_seconds: Mapping[str, float]) -> None:
        """One more image is done; `stage_seconds` as in RenderSummary, so far."""

    def end(self) -> None:
        """Nothing more comes, be it for success, failure or Ctrl-C."""


def plan_render(options: RenderOptions) -> RenderPlan:
    """Look at inputs, output folder and weights and settle what is to be done. Writes nothing.

    Raises UsageError where the request cannot be carried out: no images, an output folder that holds
    something else or was made with other options.
    """
    if not 0 <= options.task_id < options.num_tasks:
        raise UsageError(
            f"--task-id {options.task_id}: with --num-tasks {options.num_tasks} expected 0 to {options.num_tasks - 1}"
        )
    if options.overwrite and options.num_tasks > 1:
        raise UsageError(
            "--overwrite would remove what other tasks have made; choose a new folder, or run once without "
            "--num-tasks"
        )
    manifests.output_state(options.shards)  # before anything slow
    found = builtin_images() if options.images is None else find_images(options.images, options.prefix_keys)
    images = arranged(found, options.shuffle_seed, options.limit)
    shards = plan_shards(images, options.samples_per_shard)
    ready = open_sketcher(options)
    manifest = manifests.new_manifest(
        _recorded_options(options, ready),
        ready.sketcher.styles,
        ready.sketcher.digests,
        manifests.describe_inputs(images),
        len(shards),
        _libraries(options),
    )
    plan = RenderPlan(options, images, shards, ready, manifest, FolderState(None, {}, {}))
    return _surveyed(plan)


def _surveyed(plan: RenderPlan) -> RenderPlan:
    """The plan with the folder's state as it is now."""
    options = plan.options
    found = manifests.output_state(options.shards)
    kept: dict[int, Mapping[str, Any]] = {}
    changed: dict[int, str] = {}
    if found is not None and not options.overwrite:
        manifests.check_same(options.shards, found, plan.manifest, manifests.IDENTITY)
        fingerprint = manifests.fingerprint_of(plan.manifest)
        for shard in plan.mine:
            stats = finished_stats(options.shards, shard.number, fingerprint)
            if stats is None:
                continue
            differs = stats["inputs"] != manifests.sizes_digest(shard.inputs)
            which = _first_changed(options, shard) if differs or options.check_digests else ""
            if differs or which:
                changed[shard.number] = which
            elif not (options.retry_failed and failed_of(stats)):
                kept[shard.number] = stats
        if len(kept) < len(plan.mine):  # other versions may look at finished shards, not make their neighbours
            manifests.check_same(options.shards, found, plan.manifest, ["libraries"])
    if found is not None and options.overwrite:
        _check_no_strangers(options.shards, plan.shards[found["num_shards"] :])
    return replace(plan, state=FolderState(found, kept, changed))


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
        plan = _surveyed(plan)  # what the folder holds may have changed until it was ours
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

    from sketchforge.pipeline import records
    from sketchforge.workers import worker_pool

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


def slowest(stage_seconds: Mapping[str, float]) -> str | None:
    """The stage that takes most of the clock: the one to speed up. None before anything was measured."""
    return max(stage_seconds, key=lambda stage: stage_seconds[stage]) if any(stage_seconds.values()) else None


def reasons(outcomes: Mapping[str, int]) -> str:
    """The failures among `outcomes` as text, the most frequent first: "3 truncated, 1 too small"."""
    failed = [(count, reason) for reason, count in outcomes.items() if reason != schema.OK and count]
    return ", ".join(
        f"{count} {reason}" for count, reason in sorted(failed, key=lambda pair: (-pair[0], pair[1]))
    )


def _check_failures(options: RenderOptions, summary: RenderSummary) -> None:
    if options.max_failures is not None and summary.num_failed > options.max_failures:
        raise SketchforgeError(
            f"{options.shards}: {summary.num_failed} images failed ({reasons(summary.outcomes)}), more than "
            f"--max-failures {options.max_failures}; finished shards are kept, see their .jsonl files"
        )


def failed_of(stats: Mapping[str, Any]) -> int:
    """How many inputs of a finished shard failed."""
    return sum(count for outcome, count in stats["outcomes"].items() if outcome != schema.OK)


def _first_changed(options: RenderOptions, shard: PlannedShard) -> str:
    """The first input whose picture is not the one its shard was drawn from; "" where there is none to be found.

    By its size; with `check_digests` by its SHA-256, too.
    """
    try:
        lines = schema.shard_files(options.shards, shard.number).sidecar.read_bytes().splitlines()
        drawn = {line["key"]: (line["bytes"], line.get("sha256")) for line in map(parse_json, lines)}
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    for image in shard.inputs:
        num_bytes, sha256 = drawn.get(image.key, (None, None))
        if num_bytes != image.picture.num_bytes:
            return image.source
        if options.check_digests and sha256 is not None and not _has_digest(image, sha256):
            return image.source
    return ""


def _has_digest(image: ImageSource, sha256: str) -> bool:
    try:
        return hashlib.sha256(image.read()).hexdigest() == sha256
    except ImageError:
        return False


def _check_no_strangers(folder: Path, added: Sequence[PlannedShard]) -> None:
    """Refuse to write over files where shards go that the folder's manifest does not speak of."""
    for shard in added:
        for path in schema.shard_files(folder, shard.number):
            if path.exists():
                raise UsageError(
                    f"{path}: is in the way and not in the manifest; move it, or choose another folder"
                )


def _recorded_options(options: RenderOptions, ready: ReadySketcher) -> dict[str, object]:
    """The options that decide the shards' bytes."""
    recorded: dict[str, object] = {
        "method": options.method,
        "fit": options.fit,
        "sketch_format": options.sketch_format,
        "samples_per_shard": options.samples_per_shard,
    }
    for name in ("shuffle_seed", "limit"):
        if getattr(options, name) is not None:
            recorded[name] = getattr(options, name)
    if options.prefix_keys:
        recorded["prefix_keys"] = True
    if options.fit != "keep":
        recorded["size"] = options.size
    if options.thresholds is not None:
        recorded["threshold"], core = options.thresholds
        if core < options.threshold:
            recorded["core"] = core
    return {**recorded, **ready.options}


def _libraries(options: RenderOptions) -> list[str]:
    """The distributions whose versions can change a shard's bytes."""
    drawn_by = [] if options.method == "canny" else ["torch"]
    return ["sketchforge", "numpy", "pillow", "opencv-python-headless", *drawn_by]

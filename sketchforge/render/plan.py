"""What a rendering will do, known before anything is written: inputs, shards, sketcher, and what the folder holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError
from sketchforge.images.sources import ImageSource, arranged, builtin_images, find_images
from sketchforge.options import RenderOptions
from sketchforge.render.summary import failed_of
from sketchforge.shards import manifest as manifests
from sketchforge.shards import schema
from sketchforge.shards.writer import finished_stats
from sketchforge.sketchers.factory import ReadySketcher, open_sketcher
from sketchforge.utils.device import usable_cores
from sketchforge.utils.files import parse_json


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
    return surveyed(plan)


def surveyed(plan: RenderPlan) -> RenderPlan:
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
        if len(kept) < len(
            plan.mine
        ):  # other versions may look at finished shards, not make their neighbours
            manifests.check_same(options.shards, found, plan.manifest, ["libraries"])
    if found is not None and options.overwrite:
        _check_no_strangers(options.shards, plan.shards[found["num_shards"] :])
    return replace(plan, state=FolderState(found, kept, changed))


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


# The plan: which inputs go into which shard and batch. A pure function of the inputs and two numbers.


@dataclass(frozen=True)
class PlannedShard:
    """One shard's number and its inputs, in order."""

    number: int
    inputs: Sequence[ImageSource]


def plan_shards(images: Sequence[ImageSource], samples_per_shard: int) -> list[PlannedShard]:
    """Consecutive runs of `samples_per_shard` inputs, the last one shorter.

    Inputs that fail leave a gap in their shard and shift nothing, so the plan does not depend on outcomes.
    """
    starts = range(0, len(images), samples_per_shard)
    return [
        PlannedShard(number, images[start : start + samples_per_shard]) for number, start in enumerate(starts)
    ]


def plan_batches(shard: PlannedShard, batch_size: int) -> Iterator[Sequence[ImageSource]]:
    """A shard's inputs by the batches they are drawn in; a batch never crosses into the next shard."""
    for start in range(0, len(shard.inputs), batch_size):
        yield shard.inputs[start : start + batch_size]


def task_range(num_shards: int, task_id: int, num_tasks: int) -> range:
    """The numbers of the shards that task `task_id` of 0..num_tasks-1 makes: one after another, evenly shared."""
    return range(task_id * num_shards // num_tasks, (task_id + 1) * num_shards // num_tasks)

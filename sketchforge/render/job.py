"""A render job: a plan, its sketcher and the state of its output folder, each loaded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sketchforge.options import RenderOptions
from sketchforge.render.hands import NONE, RenderHands, open_hands
from sketchforge.render.masks import FOREGROUND, HEAD, mask_folder
from sketchforge.render.plan import PlannedShard, RenderPlan
from sketchforge.render.resume import FolderState, refresh_state
from sketchforge.shards import manifest as manifests
from sketchforge.shards.appending import appending_folder
from sketchforge.shards.schema import CLASS, MASK, STROKES
from sketchforge.shards.splits import format_splits, parse_splits
from sketchforge.sketchers.factory import ReadySketcher, open_sketcher
from sketchforge.storage.folder import Folder, folder_at
from sketchforge.utils.device import default_threads

STROKES_BYTES = (
    4500  # of a hand's lines, or of the traced strokes, in a photo: the same for pictures of any size
)


if TYPE_CHECKING:
    from sketchforge.sketchers.foreground import ForegroundFinder


@dataclass(frozen=True)
class RenderJob:
    """Everything that a run will do, known before anything is written."""

    plan: RenderPlan
    ready: ReadySketcher
    hands: RenderHands | None  # who draws anew what the sketcher has drawn
    finder: ForegroundFinder | None  # of subjects; None: they are found by colour, or read, or not wanted
    manifest: Mapping[str, Any]  # as it stands at the beginning of the run
    state: FolderState  # of the output folder before the run

    @property
    def options(self) -> RenderOptions:
        return self.plan.options

    @property
    def folder(self) -> Folder:
        """Where the shards go."""
        folder = folder_at(self.options.shards)
        return appending_folder(folder) if self.options.append else folder

    @property
    def todo(self) -> list[PlannedShard]:
        return [shard for shard in self.plan.mine if shard.number not in self.state.kept]

    @property
    def is_done(self) -> bool:
        """Whether the folder is complete and the run will change nothing."""
        manifest = self.state.manifest
        return (
            not (self.todo or self.options.overwrite) and manifest is not None and bool(manifest["complete"])
        )

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over everything that determines the bytes of the shards."""
        return manifests.fingerprint_of(self.manifest)

    @property
    def num_images(self) -> int:
        """Images still to be drawn."""
        return sum(len(shard.inputs) for shard in self.todo)

    @property
    def num_sketches(self) -> int:
        """Sketches per image."""
        return len(self.styles)

    @property
    def styles(self) -> Sequence[str]:
        """The names of an image's sketches, in order."""
        return self.ready.sketcher.styles if self.hands is None else self.hands.styles

    @property
    def num_workers(self) -> int:
        # A network that draws on these same cores needs most of them; each process takes a second to start.
        shares_cores = self.options.method != "canny" and self.ready.device == "cpu"
        default_workers = default_threads() // 2 if shares_cores else default_threads()
        return max(1, min(self.options.workers or default_workers, self.num_images))

    def estimated_bytes(self) -> int:
        """Estimate the bytes of the whole finished folder, from averages over photos."""
        options, images = self.options, self.plan.images
        num_pixels = options.size**2
        image_bytes = 0.55 * num_pixels  # JPEG quality 95, 4:4:4
        sketch_bytes = (0.05 if options.sketch_format == "png1" else 0.5) * num_pixels
        num_members = self.num_sketches + 2
        strokes_bytes = STROKES_BYTES * (1 + len(self.hands.hands if self.hands else ())) * options.strokes
        if options.fit == "keep":
            source_bytes = images.total_bytes()
            # Photos take about a byte for two pixels.
            return round(
                source_bytes
                + 2 * source_bytes * self.num_sketches * sketch_bytes / num_pixels
                + len(images) * (strokes_bytes + num_members * 800)
            )
        sketches_bytes = self.num_sketches * sketch_bytes
        return round(len(images) * (image_bytes + sketches_bytes + strokes_bytes + num_members * 800))


def open_job(plan: RenderPlan) -> RenderJob:
    """Open the sketcher and read the state of the output folder. Writes nothing.

    Raises UsageError and SketchforgeError as `open_sketcher` and `refresh_state` do.
    """
    previous = manifests.output_state(folder_at(plan.options.shards))
    # A folder of an older format is continued as it was begun: all of its samples have one schema.
    quality = previous is None or plan.options.overwrite or previous["quality"]
    job = begin_job(plan, quality)
    return replace(job, state=refresh_state(plan, job.manifest, previous))


def begin_job(plan: RenderPlan, quality: bool) -> RenderJob:
    """Open the sketcher for a job that begins in a new folder; quality: whether samples tell that of their sketches."""
    hands = open_hands(plan.options)
    ready = open_sketcher(plan.options)
    finder = open_finder(plan.options, ready)
    manifest = manifests.new_manifest(
        options={**_collect_options(plan, ready), **(hands.options if hands else {})},
        styles=hands.styles if hands else ready.sketcher.styles,
        digests={**ready.sketcher.digests} | ({"foreground": finder.digest} if finder else {}),
        inputs=manifests.describe_inputs(plan.images),
        num_shards=len(plan.shards),
        libraries=_list_libraries(plan.options, finder is not None),
        captioned=plan.captioned,
        passed_over=plan.passed_over,
        extras=_list_extras(plan.options),
        classes=plan.labels.classes if plan.labels else (),
        splits=plan.splits,
        quality=quality,
    )
    return RenderJob(plan, ready, hands, finder, manifest, FolderState())


def _collect_options(plan: RenderPlan, ready: ReadySketcher) -> dict[str, object]:
    """Collect the options that determine the shards' bytes."""
    options = plan.options
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
    if options.frames is not None:
        recorded["frames"] = options.frames
    if options.masks is not None:
        recorded["masks"] = options.masks if mask_folder(options.masks) is None else "files"
    if plan.labels is not None:
        recorded["labels"] = plan.labels.source
    if options.split is not None:
        recorded["split"] = format_splits(parse_splits(options.split))
    if options.fit != "keep":
        recorded["size"] = options.size
        recorded["draw_size"] = options.drawn_side(options.size)
    elif options.draw_size is not None:
        recorded["draw_size"] = options.draw_size
    if options.thresholds is not None and options.hands_source == NONE:
        recorded["threshold"], low_threshold = options.thresholds
        if low_threshold < options.threshold:
            recorded["low_threshold"] = low_threshold
    if options.sketch_format == "png":
        recorded["grey_levels"] = options.grey_levels
    if options.thin:
        recorded["thin"] = True
    if options.drop_blank:
        recorded["drop_blank"] = True
    return {**recorded, **ready.options}


def open_finder(options: RenderOptions, ready: ReadySketcher) -> ForegroundFinder | None:
    """The learned head, where masks are to be its own, or hands draw and have no other masks to go by."""
    traces = options.hands_source != NONE or options.strokes
    if (options.masks or (FOREGROUND if traces else None)) != HEAD:
        return None
    import torch

    from sketchforge.sketchers.foreground import ForegroundFinder

    return ForegroundFinder(torch.device(ready.device))


def _list_extras(options: RenderOptions) -> list[str]:
    wanted = {CLASS: options.labels, MASK: options.masks, STROKES: options.strokes or None}
    return [extra for extra, value in wanted.items() if value is not None]


def _list_libraries(options: RenderOptions, finds: bool) -> list[str]:
    """List the distributions whose versions can change a shard's bytes."""
    libraries = ["sketchforge", "numpy", "pillow", "opencv-python-headless"]
    libraries += [] if options.method == "canny" and not finds else ["torch"]
    libraries += ["scikit-image"] if options.thin else []
    traces = options.hands_source != NONE or options.strokes
    return libraries + (["scikit-image", "scipy"] if traces else [])

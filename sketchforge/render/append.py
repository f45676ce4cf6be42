"""`render --append`: images that a finished folder does not have go into new shards of it.

Shards that are there stay as they are, byte for byte, a last one that is partly filled, too. The new ones are made
beside them, unseen (`shards/appending.py`), by the folder's own options, and appear with the new manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.sources import ImageTable, describe_passed_over
from sketchforge.options import RenderOptions
from sketchforge.render.engines import finish, render_by_engine
from sketchforge.render.job import RenderJob, begin_job
from sketchforge.render.known_images import KnownImages, find_known_images
from sketchforge.render.labels import Labels
from sketchforge.render.plan import RenderPlan, plan_render, plan_shards, plan_splits
from sketchforge.render.resume import FolderState, find_kept_shards
from sketchforge.render.summary import RenderSummary, describe_rendering, describe_resume, start_summary
from sketchforge.shards import manifest as manifests
from sketchforge.shards.appending import (
    CHOICES,
    appending_folder,
    finish_appending,
    read_appending,
)
from sketchforge.shards.lock import hold_folder, remove_stale_locks
from sketchforge.shards.schema import CARD
from sketchforge.shards.splits import parse_splits
from sketchforge.shards.writer import finished_stats
from sketchforge.storage.folder import Folder, folder_at
from sketchforge.utils.files import disk_errors
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun


def append_images(options: RenderOptions, progress: Progress) -> RenderSummary:
    """Draw the images that the folder does not have, and add their shards to it.

    The same call again does nothing; one that was interrupted goes on. Raises UsageError for a folder that is not
    finished or was made with other options, and as `plan_render` does; SketchforgeError as `render` does. The folder
    is as before then, and what was drawn is kept for the next call.
    """
    folder = folder_at(options.shards)
    _open_base(options, folder)  # a folder that cannot be added to is refused before anything slow
    found = plan_render(options, progress)
    with hold_folder(folder):
        base, _ = finish_appending(folder, _open_base(options, folder))
        job, known = _open_job(options, found, folder, base)
        for line in _describe(job, known, base, len(found.images)):
            progress.note(line)
        if not job.plan.shards:
            remove_stale_locks(folder)
            return RenderSummary(
                outcomes=Counter(base["outcomes"]),
                num_shards=base["num_shards"],
                num_kept=base["num_shards"],
                complete=True,
            )
        summary = start_summary(job)
        folder.sweep()
        job.folder.sweep()
        if job.todo:
            with disk_errors(options.shards):
                manifests.write_manifest(job.folder, job.manifest)
        render_by_engine(job, summary, progress)
        _complete(job, folder, base, progress)
        summary.complete = True
    finish(job, summary)
    return summary


def preview_append(options: RenderOptions, progress: Progress | None = None) -> RenderJob:
    """The job that `append_images` would carry out, without a lock and without writing anything."""
    folder = folder_at(options.shards)
    base = _open_base(options, folder)
    return _open_job(options, plan_render(options, progress), folder, base)[0]


def plan_append(plan: RenderPlan, new: np.ndarray, base: Mapping[str, Any]) -> RenderPlan:
    """The plan of those images of `plan` at the positions `new`, in shards after the last of the manifest `base`."""
    samples_per_shard = base["options"]["samples_per_shard"]
    options = replace(plan.options, samples_per_shard=samples_per_shard)
    images = plan.images.take(new)
    shards, splits = plan_shards(images, samples_per_shard), list[dict[str, object]]()
    if options.split is not None:
        images, shards, splits = plan_splits(images, samples_per_shard, parse_splits(options.split))
    shards = [replace(shard, number=base["num_shards"] + shard.number) for shard in shards]
    labels = plan.labels
    if labels is not None and "labels" in base["options"]:
        labels = _renumber(labels, images, base)
    return replace(plan, options=options, images=images, shards=shards, splits=splits, labels=labels)


def _renumber(labels: Labels, images: ImageTable, base: Mapping[str, Any]) -> Labels:
    """The classes as the folder numbers them. Raises UsageError where an image is of none of them."""
    numbers = {name: number for number, name in enumerate(base["classes"])}
    for key, source in images.names():
        name = labels.classes[labels.number_of(key, source)]
        if name not in numbers:
            raise UsageError(
                f"{source}: is of the class {name}, which is none of the {count_noun(len(numbers), 'class')} that the "
                "samples there are numbered by; images of new classes go into a folder of their own"
            )
    known = {name: numbers.get(labels.classes[number], 0) for name, number in labels.numbers.items()}
    return Labels(labels.source, base["classes"], known)


def _open_base(options: RenderOptions, folder: Folder) -> dict[str, Any]:
    """The manifest of the folder that is to be added to. Raises UsageError where that is not possible."""
    excluded = {
        "--overwrite": options.overwrite,
        "--retry-failed": options.retry_failed,
        "--num-tasks": options.num_tasks > 1,
    }
    for name, is_given in excluded.items():
        if is_given:
            remedy = "one process adds to a folder, add --num-tasks 1 (--engine ray shares the work)"
            raise UsageError(
                f"--append: does not go with {name}; {remedy if options.num_tasks > 1 else f'leave {name} out'}"
            )
    base = manifests.output_state(folder)
    if base is None:
        raise UsageError(f"--append: {folder} holds no shards yet; leave --append out the first time")
    if not base["complete"]:
        raise UsageError(f"--append: {folder} is unfinished; finish it by its own command, without --append")
    return base


def _open_job(
    options: RenderOptions, found: RenderPlan, folder: Folder, base: Mapping[str, Any]
) -> tuple[RenderJob, KnownImages]:
    known = find_known_images(found.images, folder, base, options.check_digests)
    job = begin_job(plan_append(found, known.new, base), base["quality"])
    given = {} if options.samples_per_shard is None else {"samples_per_shard": options.samples_per_shard}
    _check_options(options, base, {**job.manifest, "options": job.manifest["options"] | given})
    # Where samples have a caption, those of images without one are empty.
    job = replace(job, manifest={**job.manifest, "captioned": base["captioned"]})
    return replace(job, state=_find_state(job)), known


def _check_options(options: RenderOptions, base: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise UsageError, naming the option, where other samples are wanted than the folder has."""
    before, now = (
        {name: value for name, value in manifest["options"].items() if name not in CHOICES}
        for manifest in (base, wanted)
    )
    kinds = [manifest["options"].get("labels", "none").partition(" ")[0] for manifest in (base, wanted)]
    if "labels" in base["options"] or "labels" in wanted["options"]:
        # A table's digest is that of the images it was read for.
        before["labels"], now["labels"] = (
            kinds if "folder" in kinds or "none" in kinds else ("table", "table")
        )
    derived = {"draw_size"}  # of the size of sketches, which is what has been chosen
    chosen = [
        {name: value for name, value in given.items() if name not in derived} for given in (before, now)
    ]
    for first, second in (chosen, (before, now)):
        manifests.check_same(options.shards, {"options": first}, {"options": second}, ["options"])
    manifests.check_same(options.shards, base, wanted, ["styles", "digests", "extras"])
    if wanted["captioned"] and not base["captioned"]:
        manifests.check_same(options.shards, base, wanted, ["captioned"])


def _find_state(job: RenderJob) -> FolderState:
    """The state of the new shards. Raises UsageError where others were begun there."""
    folder = folder_at(job.options.shards)
    previous = read_appending(folder)
    if previous is None:
        return FolderState()
    names = [name for name in manifests.IDENTITY if previous[name] != job.manifest[name]]
    if names:
        before, now = (
            count_noun(manifest["inputs"]["count"], "image") for manifest in (previous, job.manifest)
        )
        raise UsageError(
            f"{folder}: {before} are being added by a run that was interrupted, now {now} or other ones; give the same "
            f"again, or remove {appending_folder(folder)} and begin anew"
        )
    state = find_kept_shards(job.folder, job.plan, job.manifest, previous)
    if len(state.kept) < len(job.plan.shards) and (others := _compare_libraries(previous, job.manifest)):
        raise UsageError(
            f"{folder}: shards that are being added were begun by other versions ({others}); install those, or remove "
            f"{appending_folder(folder)} and begin anew"
        )
    return state


def _compare_libraries(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The libraries whose versions differ between two manifests, as text."""
    return ", ".join(
        f"{name} {before['libraries'].get(name)} → {version}"
        for name, version in now["libraries"].items()
        if before["libraries"].get(name) != version
    )


def _complete(job: RenderJob, folder: Folder, base: Mapping[str, Any], progress: Progress) -> None:
    numbers = [shard.number for shard in job.plan.shards]
    finished = [stats for _, stats in finished_stats(job.folder, numbers, job.fingerprint)]
    with disk_errors(job.options.shards):
        manifests.write_manifest(job.folder, manifests.finished_manifest(job.manifest, finished))
    manifest, card_is_ours = finish_appending(folder, base)
    if not card_is_ours:
        progress.note(f"{folder.address(CARD)}: was edited, left as it is")
    remove_stale_locks(folder)
    samples = sum(entry["samples"] for entry in manifest["shards"])
    progress.note(
        f"{folder}: {count_noun(samples, 'sample')} in {count_noun(manifest['num_shards'], 'shard')} now"
    )


def _describe(job: RenderJob, known: KnownImages, base: Mapping[str, Any], num_found: int) -> list[str]:
    """Say, in lines, what is there, what is new, and what has changed."""
    folder, num_new = job.options.shards, len(known.new)
    lines = [
        f"{num_found - num_new:,} of {count_noun(num_found, 'image')} are in {folder} already, {num_new:,} to be added"
    ]
    if known.num_changed:
        names = ", ".join(known.changed) + (", …" if known.num_changed > len(known.changed) else "")
        lines.append(
            f"of other bytes than what was drawn under the same key: {count_noun(known.num_changed, 'image')} ({names}); "
            "samples stay as they are, so rename images that are new ones"
        )
    if job.plan.shards:
        lines += [describe_rendering(job), *describe_resume(job)]
        if others := _compare_libraries([base, *base["appended"]][-1], job.manifest):
            lines.append(f"the new shards are made by other versions, which the manifest tells: {others}")
    return list(filter(None, [*lines, describe_passed_over(job.plan.passed_over)]))

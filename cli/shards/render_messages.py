"""What `sketchforge render` says before, after and when it is interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sketchforge.utils.text import count_noun

if TYPE_CHECKING:
    from cli.progress import Bar
    from sketchforge.options import RenderOptions


def describe_estimate(job: Any) -> str:
    """Say of a RenderJob what is left to do, with what, and how large the folder becomes."""
    return (
        f"to do: {count_noun(job.num_images, 'image')}, "
        f"{count_noun(job.num_images * job.num_sketches, 'sketch')}, "
        f"{count_noun(len(job.todo), 'shard')}; "
        f"device {job.ready.device}; {count_noun(job.num_workers, 'worker')}; "
        f"about {job.estimated_bytes() / 1e6:,.1f} MB in all"
    )


def print_render_summary(options: RenderOptions, summary: Any) -> None:
    """Print the counts of a RenderSummary, the rate, the failures."""
    from sketchforge.render.summary import describe_outcomes

    folder = options.shards
    of_task = f" of task {options.task_id}" if options.num_tasks > 1 else ""
    samples = (
        f"{count_noun(summary.outcomes['ok'], 'sample')} in "
        f"{count_noun(summary.num_shards, 'shard')}{of_task}"
    )
    if summary.num_shards == 0:
        click.echo(
            f"{folder}: nothing to do for task {options.task_id}: more tasks than shards; lower --samples-per-shard"
        )
    elif summary.num_images == 0:
        click.echo(f"{folder}: complete already, {samples}")
    else:
        rate = summary.num_images / summary.seconds
        click.echo(
            f"{folder}: {samples}; {count_noun(summary.num_images, 'image')} in {summary.seconds:.1f} s "
            f"({rate:.1f} images/s), "
            f"slowest stage: {summary.slowest_stage}"
        )
    if options.num_tasks > 1:
        state = "all tasks are done" if summary.complete else "other tasks have shards to make still"
        click.echo(f"{folder}: {state}")
    for line in describe_outcomes(options, summary):
        click.echo(line)


def describe_kept(options: RenderOptions, progress: Bar) -> str:
    """Say of an interrupted run what is kept and how to go on."""
    from sketchforge.shards.appending import appending_folder
    from sketchforge.shards.manifest import read_manifest
    from sketchforge.shards.schema import numbers_of_stats
    from sketchforge.storage.folder import folder_at

    if "image" not in progress.units:
        return "nothing was begun yet, what was finished before is kept"
    command = "run the same command again"
    if options.overwrite:
        command += " without --overwrite"
    folder = folder_at(options.shards)
    if options.append:
        folder = appending_folder(folder)
    num_shards = read_manifest(folder)["num_shards"]
    num_finished = len(numbers_of_stats(folder.list()))
    finished = f"{num_finished} of {count_noun(num_shards, 'new shard' if options.append else 'shard')}"
    return f"{finished} in {options.shards} are finished and kept; {command} to continue"

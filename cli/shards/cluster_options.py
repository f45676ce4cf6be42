"""The options of `render` that share its work among processes and machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.options import defaults_of, option, stack_options
from sketchforge.options import RenderOptions

DEFAULTS = defaults_of(RenderOptions)


def cluster_options() -> Callable[[Any], Any]:
    """Add --num-tasks, --task-id, and what --engine takes."""
    return stack_options(
        option(
            "--num-tasks",
            group="Cluster",
            type=click.IntRange(min=1),
            default=DEFAULTS["num_tasks"],
            show_default=True,
            metavar="N",
            help="Share the shards among N runs of this command, on any machines with one folder. [a SLURM array's own]",
        ),
        option(
            "--task-id",
            group="Cluster",
            type=click.IntRange(min=0),
            default=DEFAULTS["task_id"],
            show_default=True,
            metavar="I",
            help="Which of them this is, from 0 to N-1. [the own of a SLURM array or an indexed Kubernetes Job]",
        ),
        option(
            "--engine",
            group="Cluster",
            type=click.Choice(["local", "ray"]),
            default=DEFAULTS["engine"],
            show_default=True,
            help="ray: share the shards among workers of a Ray cluster (pip install 'sketchforge[ray]').",
        ),
        option(
            "--address",
            group="Cluster",
            metavar="ADDRESS",
            help="ray: of the cluster, or `auto` for the one that this machine is in. [default: one on this machine, for this run]",
        ),
        option(
            "--engine-workers",
            group="Cluster",
            type=click.IntRange(min=0),
            default=DEFAULTS["engine_workers"],
            show_default=True,
            metavar="N",
            help="ray: workers, which make a shard each at a time; 0: as many as the cluster has room for.",
        ),
        option(
            "--cpus-per-worker",
            group="Cluster",
            type=click.FloatRange(min=0),
            default=DEFAULTS["cpus_per_worker"],
            show_default=True,
            metavar="N",
            help="ray: CPUs that a worker takes; its own processes are those of --workers.",
        ),
        option(
            "--gpus-per-worker",
            group="Cluster",
            type=click.FloatRange(min=0),
            default=DEFAULTS["gpus_per_worker"],
            show_default=True,
            metavar="N",
            help="ray: GPUs that a worker takes; a part of one is possible.",
        ),
    )

"""Which task of a job array this process is, where a scheduler says so in the environment.

SLURM names task and count by itself (`sbatch --array=0-9`); a Kubernetes Job with `completionMode: Indexed` names
the task alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from cli.verbosity import print_note
from sketchforge.errors import UsageError

SLURM, KUBERNETES = "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"


def task_of_job_array(context: click.Context, environ: Mapping[str, str] = os.environ) -> dict[str, int]:
    """The values of --task-id and --num-tasks that the environment gives, where they were not given; else {}.

    Kubernetes' index counts beside --num-tasks alone. Prints a note of what was taken. Raises UsageError for an
    array whose tasks are not evenly numbered.
    """
    given = {
        name: context.get_parameter_source(name) is not ParameterSource.DEFAULT
        for name in ("task_id", "num_tasks")
    }
    if given["task_id"] or (given["num_tasks"] and context.params["num_tasks"] == 1):
        return {}
    found: dict[str, int] = {}
    variable = SLURM if environ.get(SLURM) else KUBERNETES
    if variable == SLURM:
        found = _read_slurm(environ)
    elif given["num_tasks"] and environ.get(KUBERNETES):
        found = {"task_id": _read_number(environ, KUBERNETES)}
    if found:
        if given["num_tasks"]:
            found["num_tasks"] = context.params["num_tasks"]
        print_note(
            f"task {found['task_id']} of 0 to {found['num_tasks'] - 1}, by {variable}; --num-tasks 1 does all at once"
        )
    return found


def _read_slurm(environ: Mapping[str, str]) -> dict[str, Any]:
    count = _read_number(environ, "SLURM_ARRAY_TASK_COUNT")
    numbers = {name: _read_number(environ, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX")}
    step = _read_number(environ, "SLURM_ARRAY_TASK_STEP") if "SLURM_ARRAY_TASK_STEP" in environ else 1
    task_id, remainder = divmod(numbers["ID"] - numbers["MIN"], max(step, 1))
    if remainder or numbers["MAX"] != numbers["MIN"] + (count - 1) * step:
        raise UsageError(
            f"{SLURM}: the array's {count} tasks are not numbered evenly from {numbers['MIN']} to {numbers['MAX']}; submit "
            f"with --array=0-{count - 1}, or give --task-id and --num-tasks"
        )
    return {"task_id": task_id, "num_tasks": count}


def _read_number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not text.isdecimal():
        raise UsageError(f"{name}: found {text!r}, expected a number; give --task-id and --num-tasks")
    return int(text)

"""The inputs of a report: shard folders and runs, named or found where commands leave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sketchforge.checkpoints.runs import RUN_FILE, TrainedRun, find_trained_run
from sketchforge.checkpoints.tom import read_tom_run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.metrics.estimates import MissingMetric
from sketchforge.metrics.sketches.inputs import check_measurable
from sketchforge.shards import schema
from sketchforge.shards.shard_set import ShardSet, open_folder
from sketchforge.utils.text import count_noun

OWN_SHARDS, OWN_RUNS = "out", "runs"
COMPARED = "systems"  # in a folder of runs/: where a comparison of systems leaves their runs
LEARNED_EDGES = ("hed", "pidinet", "teed")  # methods of `render`


@dataclass(frozen=True)
class ReportInputs:
    shards: tuple[ShardSet, ...]  # some may be unfinished
    models: dict[str, TrainedRun]  # finished, by name
    tom_runs: dict[str, Path]  # of tom-train, by name: the report shows only their curves
    gaps: tuple[MissingMetric, ...]


def find_inputs(shards: Sequence[Path], models: Sequence[Path]) -> ReportInputs:
    """Open the shard folders and runs; by default, (), out/ and out-*/, and the folders in runs/, those of a comparison too.

    What exists and cannot be used becomes a gap, as does what is missing of a full report (TOM's, Canny's and
    learned edges' sketches, an auto-encoder, a GAN). Raises UsageError for a path that is named and does not
    exist.
    """
    gaps: list[MissingMetric] = []
    default_folders = [Path(OWN_SHARDS), *sorted(Path().glob(f"{OWN_SHARDS}-*"))]
    folders = find_folders(
        shards or [path for path in default_folders if (path / schema.MANIFEST).is_file()], gaps
    )
    _check_exist("--model", models)
    models_by_name, tom_runs = _find_runs(models, gaps)
    _note_missing(folders, models_by_name, bool(models), gaps)
    return ReportInputs(tuple(folders), models_by_name, tom_runs, tuple(gaps))


def find_folders(
    given: Sequence[Path], gaps: list[MissingMetric], option: str = "--shards"
) -> list[ShardSet]:
    """Open the folders that hold samples, each once; damaged, empty and unfinished ones become gaps.

    An unfinished folder is also returned. Raises UsageError for one that does not exist.
    """
    _check_exist(option, given)
    paths = _deduplicate(given)
    folders = []
    for path, name in zip(paths, short_names(paths), strict=True):
        try:
            folder = open_folder(path, name)
            check_measurable(folder)
        except SketchforgeError as error:
            gaps.append(MissingMetric(name, "sketches", str(error)))
            continue
        num_finished, num_shards = len(folder.finished), folder.manifest["num_shards"]
        if num_finished < num_shards:
            gaps.append(
                MissingMetric(
                    name,
                    "sketches",
                    f"unfinished, {num_finished} of {count_noun(num_shards, 'shard')}: run its `render` "
                    "again",
                )
            )
        folders.append(folder)
    return folders


def _find_runs(
    named_runs: Sequence[Path], gaps: list[MissingMetric]
) -> tuple[dict[str, TrainedRun], dict[str, Path]]:
    paths = _deduplicate([path.parent if path.is_file() else path for path in named_runs]) or _own_runs()
    finished, tom_runs = {}, {}
    for path, name in zip(paths, short_names(paths), strict=True):
        if _is_tom_run(path):
            tom_runs[name] = path
            continue
        try:
            finished[name] = find_trained_run(path)
        except SketchforgeError as error:
            gaps.append(MissingMetric(name, "images", str(error)))
    return finished, tom_runs


def _own_runs() -> list[Path]:
    """The folders in runs/, and in place of that of a comparison those of its systems."""
    found: list[Path] = []
    for path in _folders_in(Path(OWN_RUNS)):
        compared = [] if (path / RUN_FILE).exists() else _folders_in(path / COMPARED)
        found += compared or [path]
    return found


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and path.name[0] != ".")


def _is_tom_run(path: Path) -> bool:
    try:
        return (path / RUN_FILE).is_file() and read_tom_run(path) is not None
    except SketchforgeError:
        return False


def _note_missing(
    folders: Sequence[ShardSet], models: dict[str, TrainedRun], named: bool, gaps: list[MissingMetric]
) -> None:
    if not folders:
        problem = f"{OWN_SHARDS}/ and {OWN_SHARDS}-*/ hold no shards"
        reason = f"{problem}; `sketchforge render --shards {OWN_SHARDS}/` makes some"
        gaps.append(MissingMetric("", "sketches", reason))
    methods = {folder.method for folder in folders}
    render = "`sketchforge render --method {0} --shards out-{0}/`".format
    wanted: list[tuple[str, Callable[[str], bool], str]] = [
        ("TOM", lambda method: method == "tom", f"`sketchforge render --shards {OWN_SHARDS}/`"),
        ("Canny", lambda method: method == "canny", render("canny")),
        (
            "learned edges",
            lambda method: method in LEARNED_EDGES,
            f"{render(LEARNED_EDGES[0])}, or {' or '.join(LEARNED_EDGES[1:])}, with weights of yours "
            "(`sketchforge weights list`)",
        ),
    ]
    for sketcher, fits, command in wanted:
        if not any(map(fits, methods)):
            gaps.append(MissingMetric("", f"sketches by {sketcher}", f"none to compare with; {command}"))
    trained = {run.command for run in models.values()}
    problem = "none of the runs named is one" if named else f"no finished run in {OWN_RUNS}/"
    for command, system, target in (
        ("ae-train", "the auto-encoder", f"sketchforge ae-train --shards {OWN_SHARDS}/"),
        ("gan-train", "the GAN", f"sketchforge gan-train --shards {OWN_SHARDS}/"),
    ):
        if command not in trained:
            gaps.append(
                MissingMetric("", f"images of {system}", f"{problem}; `{target}` trains one in minutes")
            )


def _check_exist(option: str, paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise UsageError(f"{option} {path}: no such folder; see `sketchforge eval report --help`")


def _deduplicate(paths: Sequence[Path]) -> list[Path]:
    """Each folder once, however often and by whatever path it is named."""
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]


# Names of folders that are shown beside each other.


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last part of every path, with as many parts before it as make it unique.

        a/out, b/runs  -> out, runs
        a/out, b/out   -> a/out, b/out

    Two paths to the same folder both get its whole path.
    """
    path_parts = [path.resolve().parts for path in paths]
    names = [""] * len(path_parts)
    for depth in range(1, max(map(len, path_parts), default=0) + 1):
        tails = [parts[-depth:] for parts in path_parts]
        counts = Counter(tails)
        for index, tail in enumerate(tails):
            if not names[index] and (counts[tail] == 1 or depth >= len(path_parts[index])):
                names[index] = str(Path(*tail))
    return names

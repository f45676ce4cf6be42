"""What there is to report on: shard folders and runs, named or found where commands leave them."""

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

OWN_SHARDS, OWN_RUNS = "out", "runs"
LEARNED_EDGES = ("hed", "pidinet", "teed")  # methods of `render`


@dataclass(frozen=True)
class ReportInputs:
    shards: tuple[ShardSet, ...]  # some may be unfinished
    models: dict[str, TrainedRun]  # finished, by name
    tom_runs: dict[str, Path]  # of tom-train, by name: they have curves only
    gaps: tuple[MissingMetric, ...]


def find_inputs(shards: Sequence[Path], models: Sequence[Path]) -> ReportInputs:
    """The shard folders and runs; (): out/ and out-*/, and what is in runs/.

    What is there and cannot be used is a gap, as is whatever else a report shows. Raises UsageError for a
    path that is named and does not exist.
    """
    gaps: list[MissingMetric] = []
    own = [Path(OWN_SHARDS), *sorted(Path().glob(f"{OWN_SHARDS}-*"))]
    folders = find_folders(shards or [path for path in own if (path / schema.MANIFEST).is_file()], gaps)
    _check_there("--model", models)
    finished, tom_runs = _runs(models, gaps)
    _tell_missing(folders, finished, bool(models), gaps)
    return ReportInputs(tuple(folders), finished, tom_runs, tuple(gaps))


def find_folders(
    given: Sequence[Path], gaps: list[MissingMetric], option: str = "--shards"
) -> list[ShardSet]:
    """The folders that hold samples, each once; damaged, empty and unfinished ones become gaps.

    Raises UsageError for one that does not exist.
    """
    _check_there(option, given)
    paths = _once(given)
    found = []
    for path, name in zip(paths, short_names(paths), strict=True):
        try:
            folder = open_folder(path, name)
            check_measurable(folder)
        except SketchforgeError as error:
            gaps.append(MissingMetric(name, "sketches", str(error)))
            continue
        done, planned = len(folder.finished), folder.manifest["num_shards"]
        if done < planned:
            gaps.append(
                MissingMetric(
                    name, "sketches", f"unfinished, {done} of {planned} shards: run its `render` again"
                )
            )
        found.append(folder)
    return found


def _runs(given: Sequence[Path], gaps: list[MissingMetric]) -> tuple[dict[str, TrainedRun], dict[str, Path]]:
    own = sorted(path for path in Path(OWN_RUNS).glob("*") if path.is_dir() and path.name[0] != ".")
    paths = _once([path.parent if path.is_file() else path for path in given]) or own
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


def _is_tom_run(path: Path) -> bool:
    try:
        return (path / RUN_FILE).is_file() and read_tom_run(path) is not None
    except SketchforgeError:
        return False


def _tell_missing(
    folders: Sequence[ShardSet], models: dict[str, TrainedRun], named: bool, gaps: list[MissingMetric]
) -> None:
    if not folders:
        where = f"{OWN_SHARDS}/ and {OWN_SHARDS}-*/ hold no shards"
        reason = f"{where}; `make demo` makes some, or `sketchforge render --shards {OWN_SHARDS}/`"
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
            "(docs/weights.md)",
        ),
    ]
    for what, fits, command in wanted:
        if not any(map(fits, methods)):
            gaps.append(MissingMetric("", f"sketches by {what}", f"none to compare with; {command}"))
    trained = {run.command for run in models.values()}
    where = "none of the runs named is one" if named else f"no finished run in {OWN_RUNS}/"
    for command, what, target in (
        ("ae-train", "the auto-encoder", "make train-ae"),
        ("gan-train", "the GAN", "make train-gan"),
    ):
        if command not in trained:
            gaps.append(MissingMetric("", f"images of {what}", f"{where}; `{target}` trains one in minutes"))


def _check_there(option: str, paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise UsageError(f"{option} {path}: no such folder; see `sketchforge eval report --help`")


def _once(paths: Sequence[Path]) -> list[Path]:
    """Each folder once, however often and however it is named."""
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]


# What folders are called beside each other.


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last part of every path, with as many before it as tell it from the others.

    Of two paths to one folder both have the whole of it.
    """
    parts = [path.resolve().parts for path in paths]
    names = [""] * len(parts)
    for depth in range(1, max(map(len, parts), default=0) + 1):
        tails = [one[-depth:] for one in parts]
        count = Counter(tails)
        for place, tail in enumerate(tails):
            if not names[place] and (count[tail] == 1 or depth >= len(parts[place])):
                names[place] = str(Path(*tail))
    return names

"""Verify: read a shard folder back and list everything that differs from its manifest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sketchforge.shards import schema
from sketchforge.shards.appending import APPENDING, count_inputs, read_appending
from sketchforge.shards.card import dataset_card, is_edited, read_card
from sketchforge.shards.check_shard import Finding, find_problems, list_problems
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.sidecars import begun_shards
from sketchforge.shards.splits import parse_splits, shards_by_split, split_of
from sketchforge.shards.writer import read_all_stats
from sketchforge.storage.folder import Folder, can_be_listed, folder_at
from sketchforge.utils.device import usable_cores
from sketchforge.utils.files import checksum_holds
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun
from sketchforge.utils.worker_pool import Task, WorkerLost, worker_pool

FORMAT, VERSION = "sketchforge-verification", 1
SHARD_SECONDS = 3600.0  # a shard that takes longer is on a disk that does not answer
WORTH_PROCESSES = 2000  # samples, which take longer than processes to start


@dataclass
class VerifyReport:
    """The counts of what was read, and one line for each problem."""

    num_shards: int = 0
    num_samples: int = 0
    num_sketches: int = 0
    num_bytes: int = 0
    num_failed: int = 0  # inputs that have no sample, by the manifest, but for those left out
    num_left_out: int = 0  # by --drop-blank
    grown: bool = False  # images were added to the folder, so that no command makes all of its shards again
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what is no problem


def verification_json(place: str, report: VerifyReport | None, error: str | None) -> dict[str, Any]:
    """A folder's entry in a document of FORMAT; a folder that could not be verified has no report but an error."""
    counts = ("shards", "samples", "sketches", "bytes", "failed")
    return {
        "folder": place,
        "error": error,
        "intact": report is not None and not report.problems,
        "problems": [] if report is None else list(report.problems),
        **{name: None if report is None else getattr(report, f"num_{name}") for name in counts},
    }


def verify(place: str | Path, progress: Progress | None = None, workers: int = 1) -> VerifyReport:
    """Check every file, sample and image of a shard folder; `progress` counts samples.

    place: the folder, or the URL of one; of one that cannot be listed, by HTTP, files that should not be there go unseen.
    workers: processes that check a shard each; 0: as many as pay. The report is the same with any number.

    Raises UsageError or SketchforgeError where there is no manifest to check against.
    """
    progress = progress or Progress()
    folder = folder_at(place)
    manifest = read_manifest(folder)
    report = VerifyReport(grown=bool(manifest["appended"]))
    if not checksum_holds(folder.read(schema.MANIFEST)):
        report.problems.append(f"{schema.MANIFEST}: altered, its digest of itself does not hold")
    if manifest["complete"]:
        expected = dict(enumerate(manifest["shards"]))
    else:
        begun = begun_shards(folder, manifest)
        expected = {number: _make_entry(stats) for number, stats in read_all_stats(folder, begun)}
        report.problems.append(
            f"{folder}: unfinished, {len(expected)} of {count_noun(manifest['num_shards'], 'shard')}; "
            "run the same `sketchforge render` again"
        )
    names = folder.list() if can_be_listed(folder) else {}
    appending = read_appending(folder) if APPENDING in names and manifest["complete"] else None
    is_arriving = appending is not None and appending["complete"]  # files of it may be in the folder already
    if appending is not None:
        report.notes.append(
            f"{folder}: {count_noun(appending['num_shards'], 'shard')} that are being added are not in it yet; the same "
            "`sketchforge render --append` again goes on"
        )
    if manifest["complete"] and not is_arriving:
        report.problems.extend(_check_card(folder, manifest))
    num_known = manifest["num_shards"] + (appending["num_shards"] if appending and is_arriving else 0)
    for name in sorted(names):
        stem, ending = name[:-4], name[-4:]
        if ending == ".tar" and not schema.is_shard(stem, num_known):
            report.problems.append(f"{name}: foreign, the manifest does not know it")
    with progress.track("sample", sum(entry["samples"] for entry in expected.values())):
        _check_shards(folder, manifest, expected, report, progress, _choose_workers(workers, expected))
    report.num_left_out = manifest["outcomes"].get(schema.BLANK, 0)
    report.num_failed -= report.num_left_out
    num_inputs = sum(entry["samples"] + entry["failed"] for entry in expected.values())
    report.num_bytes = sum(entry["bytes"] for entry in expected.values())
    if manifest["complete"] and num_inputs != (count := count_inputs(manifest)):
        report.problems.append(
            f"{schema.MANIFEST}: {count_noun(count, 'input')}, but its shards have {num_inputs}"
        )
    return report


def _check_shards(
    folder: Folder,
    manifest: Mapping[str, Any],
    expected: Mapping[int, Mapping[str, Any]],
    report: VerifyReport,
    progress: Progress,
    workers: int,
) -> None:
    """Check the files and samples of `expected`, shard number -> manifest entry, and add to `report`."""
    tar_of_key: dict[str, str] = {}
    shares = parse_splits(manifest["options"]["split"]) if manifest["splits"] else {}
    split_of_shard = {
        number: name for name, numbers in shards_by_split(manifest["splits"]).items() for number in numbers
    }
    # Workers need all of it but what it says of other shards, which may be thousands.
    shared = {name: value for name, value in manifest.items() if name != "shards"}
    for number, findings in _find_problems(folder, shared, expected, workers):
        report.num_shards += 1
        report.num_failed += expected[number]["failed"]
        tar = schema.shard_files(number).tar
        for key, problems in findings:
            report.problems.extend(problems)
            if key is not None:
                if shares and (split := split_of(key, shares)) != split_of_shard.get(number):
                    report.problems.append(f"{tar}: {key}: belongs to the split {split}")
                if key in tar_of_key:
                    report.problems.append(f"{tar}: {key}: in {tar_of_key[key]} already, keys must be unique")
                tar_of_key.setdefault(key, tar)
                report.num_samples += 1
                report.num_sketches += len(manifest["styles"])
                progress.advance()


def _find_problems(
    folder: Folder, manifest: Mapping[str, Any], expected: Mapping[int, Mapping[str, Any]], workers: int
) -> Iterator[tuple[int, Iterable[Finding]]]:
    """Yield (number, findings) of every shard, in order."""
    if workers == 1:
        for number, entry in expected.items():
            yield number, find_problems(folder, number, entry, manifest)
        return
    with worker_pool(workers, SHARD_SECONDS) as pool:
        begun: deque[tuple[int, Task]] = deque()
        waiting = iter(expected.items())
        for number, entry in islice(waiting, 2 * workers):
            begun.append((number, pool.submit(list_problems, folder, number, entry, manifest)))
        while begun:
            number, task = begun.popleft()
            try:
                findings = pool.result(task, schema.shard_files(number).tar)
            except WorkerLost as lost:
                tar = schema.shard_files(number).tar
                findings = [(None, [f"{tar}: could not be checked ({lost.reason})"])]
            for other, entry in islice(waiting, 1):
                begun.append((other, pool.submit(list_problems, folder, other, entry, manifest)))
            yield number, findings


def _choose_workers(workers: int, expected: Mapping[int, Mapping[str, Any]]) -> int:
    """As many as are asked for; 0: as many as pay. No more than shards."""
    if not workers:
        samples = sum(entry["samples"] for entry in expected.values())
        workers = usable_cores() if samples >= WORTH_PROCESSES else 1
    return max(min(workers, len(expected)), 1)


def _make_entry(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Make a shard's manifest entry from its stats, for a run that is not finished."""
    samples = stats["outcomes"].get(schema.OK, 0)
    failed = sum(stats["outcomes"].values()) - samples
    return {"samples": samples, "failed": failed, "sidecar": stats["sidecar"], **stats["tar"]}


def _check_card(folder: Folder, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Check the dataset card: one that was edited may say whatever its editor likes."""
    try:
        card = read_card(folder)
    except OSError as error:
        yield f"{schema.CARD}: cannot be read ({error.strerror or error})"
        return
    if card is None:
        yield f"{schema.CARD}: missing; the same `sketchforge render` again writes it"
    elif not is_edited(card) and card != dataset_card(manifest):
        yield f"{schema.CARD}: not of this manifest; where it is removed, the same `sketchforge render` writes it"

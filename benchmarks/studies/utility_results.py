"""What the trainings of the utility study leave, and the figures made of it: means with their intervals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from utility_data import Drawing
from utility_sets import SETS

from sketchforge.errors import UsageError
from sketchforge.utils.seeding import numpy_generator

SEEDS = {"retrieval": 5, "ae": 3}


@contextmanager
def claimed(result: Path) -> Iterator[bool]:
    """Whether this is ours to make: not there yet, and nobody at it. So several commands share the work."""
    claim = result.with_suffix(".claimed")
    result.parent.mkdir(parents=True, exist_ok=True)
    if result.is_file():
        yield False
        return
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        yield False
        return
    try:
        yield True
    finally:
        claim.unlink()


def result_path(work: Path, command: str, steps: int, name: str, seed: int) -> Path:
    return work / f"{command}-{steps}" / f"{name}-{seed}.json"


def results_of(work: Path, command: str, steps: int) -> dict[str, list[dict[str, Any]]]:
    """What `retrieval` or `ae` has left, by set, of seeds that all sets have; empty where there is none."""
    found = {}
    for name in SETS:
        paths = {seed: result_path(work, command, steps, name, seed) for seed in range(SEEDS[command])}
        found[name] = {seed: path for seed, path in paths.items() if path.is_file()}
    found = {name: paths for name, paths in found.items() if paths}
    common = sorted(set.intersection(*(set(paths) for paths in found.values()))) if found else []
    if not common:
        return {}
    return {name: [json.loads(paths[seed].read_text()) for seed in common] for name, paths in found.items()}


def retrieved(work: Path, steps: int) -> dict[str, list[dict[str, Any]]]:
    found = results_of(work, "retrieval", steps)
    if not found:
        raise UsageError(f"{work}: no seed that every set was trained with; run `retrieval` first")
    return found


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float


def resample(shape: tuple[int, ...], count: int = 2000) -> list[np.ndarray]:
    """Bootstrap weights of each axis, (count, length) with rows of sum 1: how often each of as many is drawn.

    They depend on the shape alone, so that sets are compared draw by draw.
    """
    draw = numpy_generator(0, "utility", *shape)
    return [draw.multinomial(length, [1 / length] * length, count) / length for length in shape]


def estimate(values: np.ndarray, count: int = 2000) -> Estimate:
    """The mean of (seeds, photos), and percentiles of its bootstrap over both: other trainings, other photos."""
    seeds, photos = resample(values.shape, count)
    low, high = np.quantile(np.einsum("cs,sp,cp->c", seeds, values, photos, optimize=True), (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high))


def by_photo(values: np.ndarray, drawings: Sequence[Drawing], photos: Sequence[str]) -> np.ndarray:
    """(seeds, drawings) -> (seeds, photos): means, for drawings of one photo are no independent tests."""
    columns = [[at for at, drawing in enumerate(drawings) if drawing.photo == photo] for photo in photos]
    return np.stack([values[:, column].mean(1) for column in columns], axis=1)


def recalls(
    found: Sequence[dict[str, Any]], how: str, k: int, drawings: list[Drawing], photos: Sequence[str]
) -> np.ndarray:
    """(seeds, photos): the share of each photo's drawings by which it is among the first k."""
    hits = np.array([one[how]["ranks"] for one in found]) <= k
    return by_photo(hits.astype(float), drawings, photos)


def right_kind(
    found: Sequence[dict[str, Any]], drawings: list[Drawing], photos: Sequence[str], test: Sequence[str]
) -> np.ndarray:
    """(seeds, photos): the share of each photo's drawings whose first photo found is of the same kind."""
    kinds = np.array([str(Path(photo).parent) for photo in photos])
    first = np.array([[some[0] for some in one["as they are"]["first"]] for one in found])
    wanted = np.array([str(Path(drawing.photo).parent) for drawing in drawings])
    return by_photo((kinds[first] == wanted).astype(float), drawings, test)

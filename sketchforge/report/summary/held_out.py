"""Which shards a model is measured on, and whether it has seen their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.shards.shard_set import ShardSet, open_shards, shards_digest

HELD_OUT, SEEN, UNKNOWN = "images held out", "images seen in training", "not its training shards"


@dataclass(frozen=True)
class EvaluationSet:
    """What a model is measured on."""

    folder: ShardSet
    images: str  # HELD_OUT | SEEN | UNKNOWN

    @property
    def described(self) -> str:
        return f"{self.folder.name}, {self.images}"


def choose_evaluation_set(
    record: Mapping[str, Any], folders: Sequence[ShardSet], named: bool
) -> EvaluationSet | None:
    """Of `folders` the training's own --validation, else the first that it did not read, else the one it
    read; None: none will.

    record: run.json, which knows both by their digests, wherever they lie; of validation only where there was
    one, and not in runs of older versions. A folder with images of the training shards counts as seen where
    these are among `folders`; where they are not, only the training (its validation holds other images) or
    `named` (the user says so) tells that its images are others: UNKNOWN.
    TOM's sketches come before others', for it is they that models are trained on.
    """
    usable = [(folder, opened) for folder in folders if (opened := _usable(folder)) is not None]
    usable.sort(key=lambda one: one[0].method != "tom")  # stable
    own, validation = (
        [folder for folder, opened in usable if shards_digest(opened) == _recorded_digest(record, part)]
        for part in ("shards", "validation")
    )
    seen = {key for folder in own for key in folder.keys}
    others = [folder for folder, _ in usable if folder not in own and seen.isdisjoint(folder.keys)]
    for folder in others:
        if folder in validation:
            return EvaluationSet(folder, HELD_OUT)
    if others:
        return EvaluationSet(others[0], HELD_OUT if own or named else UNKNOWN)
    return EvaluationSet((own or [usable[0][0]])[0], SEEN) if usable else None


def _recorded_digest(record: Mapping[str, Any], part: str) -> str | None:
    found = record.get(part)
    return found.get("digest") if isinstance(found, Mapping) else None


def _usable(folder: ShardSet) -> ShardSet | None:
    """The folder's shards where a model can be measured on them."""
    try:
        opened = open_shards(folder.path).require(sketches=1)
    except SketchforgeError:
        return None
    return opened if opened.num_samples > 1 else None  # styles of other images need two

"""The choice of the shards that a model is evaluated on: held out, seen in training, or unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.shards.shard_set import ShardSet, open_shards, shards_digest

HELD_OUT, SEEN, UNKNOWN = "images held out", "images seen in training", "not its training shards"


@dataclass(frozen=True)
class EvaluationSet:
    """The shards that a model is evaluated on, and whether it has seen their images."""

    folder: ShardSet
    images: str  # HELD_OUT | SEEN | UNKNOWN

    @property
    def description(self) -> str:
        return f"{self.folder.name}, {self.images}"


def choose_evaluation_set(
    record: Mapping[str, Any], folders: Sequence[ShardSet], named: bool
) -> EvaluationSet | None:
    """The folder to evaluate a model on; None where no folder is usable.

    The first of these that is among `folders`:

        the training's --validation shards, if they share no image with its shards  -> HELD_OUT
        other shards that share no image with the training's                        -> HELD_OUT or UNKNOWN
        the training's shards                                                       -> SEEN

    record: run.json. It names both the training's shards by their digests, so that they are found wherever
    they lie. It has no validation where the training had none, and in runs of older versions.
    named: whether the user says that `folders` are held out. Where the training's shards are not among
    `folders`, shared images cannot be found: then the second case is HELD_OUT if `named`, else UNKNOWN.
    Folders with TOM's sketches come first, for models are trained on those.
    """
    usable = [(folder, opened) for folder in folders if (opened := _open_usable(folder)) is not None]
    usable.sort(key=lambda pair: pair[0].method != "tom")  # stable
    training_folders, validation_folders = (
        [folder for folder, opened in usable if shards_digest(opened) == _read_digest(record, part)]
        for part in ("shards", "validation")
    )
    seen = {key for folder in training_folders for key in folder.keys}
    other_folders = [
        folder for folder, _ in usable if folder not in training_folders and seen.isdisjoint(folder.keys)
    ]
    for folder in other_folders:
        if folder in validation_folders:
            return EvaluationSet(folder, HELD_OUT)
    if other_folders:
        return EvaluationSet(other_folders[0], HELD_OUT if training_folders or named else UNKNOWN)
    return EvaluationSet((training_folders or [usable[0][0]])[0], SEEN) if usable else None


def _read_digest(record: Mapping[str, Any], part: str) -> str | None:
    entry = record.get(part)
    return entry.get("digest") if isinstance(entry, Mapping) else None


def _open_usable(folder: ShardSet) -> ShardSet | None:
    """Open the folder's shards; None where a model cannot be evaluated on them."""
    try:
        opened = open_shards(folder.path).require(sketches=1)
    except SketchforgeError:
        return None
    return opened if opened.num_samples > 1 else None  # mismatched styles need two images

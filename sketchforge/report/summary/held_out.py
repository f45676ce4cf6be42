"""The choice of the shards that a model is evaluated on: held out, seen in training, or unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.shards.shard_set import ShardSet, open_shards, shards_digest
from sketchforge.shards.splits import HELD_OUT as HELD_OUT_SPLITS
from sketchforge.shards.splits import TRAIN, held_out_first

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
    """The folder, or the split of one, to evaluate a model on; None where none is usable.

    The first of these that is among `folders`:

        the test split of the folder whose train split the training had                 -> HELD_OUT
        the training's validation shards, if they share no image with its shards        -> HELD_OUT
        other shards that share no image with the training's; of a folder with splits
        test, val or another, never train                                               -> HELD_OUT or UNKNOWN
        the training's shards                                                           -> SEEN

    record: run.json. It names both the training's shards by their digests, so that they are found wherever
    they lie. It has no validation where the training had none, and in runs of older versions.
    named: whether the user says that `folders` are held out. Where the training's shards are not among
    `folders`, shared images cannot be found: then the third case is HELD_OUT if `named`, else UNKNOWN.
    Folders with TOM's sketches come first, for models are trained on those.
    """
    parts = [part for folder in folders if _is_usable(folder) for part in _list_parts(folder)]
    parts.sort(key=lambda part: part.method != "tom")  # stable
    trained, validated = (
        [part for part in parts if shards_digest(part) == _read_digest(record, name)]
        for name in ("shards", "validation")
    )
    seen = {key for part in trained for key in part.keys}
    others = [
        part
        for part in parts
        if _may_be_held_out(part) and part not in trained and seen.isdisjoint(part.keys)
    ]
    for preferred in (_find_tests(others, trained), [part for part in others if part in validated]):
        if preferred:
            return EvaluationSet(preferred[0], HELD_OUT)
    if others:
        return EvaluationSet(others[0], HELD_OUT if trained or named else UNKNOWN)
    return EvaluationSet((trained or parts)[0], SEEN) if parts else None


def _list_parts(folder: ShardSet) -> list[ShardSet]:
    """What of a folder models may be evaluated on: its splits, those held out first, and the whole of it."""
    splits = [*held_out_first(folder.splits), *(name for name in folder.splits if name == TRAIN)]
    entries = folder.manifest["shards"]
    sizes = {name: sum(entries[number]["samples"] for number in folder.splits[name]) for name in splits}
    return [*(folder.take_split(name, name) for name in splits if sizes[name] > 1), folder]


def _may_be_held_out(part: ShardSet) -> bool:
    """Whether trainings leave a part out as a rule: not a split that they take, nor a whole folder with such a split."""
    return part.split != TRAIN if part.split else not part.splits


def _find_tests(others: Sequence[ShardSet], trained: Sequence[ShardSet]) -> list[ShardSet]:
    """The test splits of the folders of which another split was trained on."""
    folders = {part.path for part in trained if part.split}
    return [part for part in others if part.split == HELD_OUT_SPLITS[0] and part.path in folders]


def _read_digest(record: Mapping[str, Any], part: str) -> str | None:
    entry = record.get(part)
    return entry.get("digest") if isinstance(entry, Mapping) else None


def _is_usable(folder: ShardSet) -> bool:
    """Whether a model can be evaluated on a folder's shards: finished, with sketches, and of two images or more."""
    try:
        opened = open_shards(folder.path).require(sketches=1)
    except SketchforgeError:
        return False
    return opened.num_samples > 1  # mismatched styles need two images

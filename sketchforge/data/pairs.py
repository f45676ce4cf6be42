"""`sketchforge.pairs`: shards as a torch dataset, an image and one of its sketches at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from sketchforge.errors import UsageError
from sketchforge.images.tensors import to_tensor
from sketchforge.shards.open_shard import OpenShard
from sketchforge.shards.shard_set import ShardSet, open_shards
from sketchforge.strokes.stored import StoredHand, StoredStrokes
from sketchforge.utils.text import count_noun

KEPT_OPEN = 64  # shards whose files a process keeps open


def pairs(
    shards: str | Path,
    *,
    styles: Sequence[str] | None = None,
    split: str | None = None,
    strokes: bool = False,
) -> PairDataset:
    """The pairs of a folder that `render` has finished, or of the URL of one, as a `torch.utils.data.Dataset`.

    styles: which sketches of every image; None: all. split: one of the set's splits (`render(split=…)`); None: the
    whole set. strokes: each sketch's lines, too; the set must have been rendered with `strokes=True`.

    Raises UsageError for a folder that is no finished set of shards, and for styles, splits and strokes that it does
    not have; SketchforgeError for a damaged manifest.
    """
    opened = open_shards(shards).take_split(split, "all")
    return PairDataset(opened.require_strokes() if strokes else opened, styles, strokes)


class PairDataset(Dataset[dict[str, Any]]):
    """Every image with each of its sketches: item i is of image i // S and style i % S, for S styles.

    An item is a dict:

        key      str: of the image
        style    str: the name of the sketch
        image    float32 (3,H,W) in [-1, 1]
        sketch   float32 (1,H,W) in [-1, 1], 1 = paper, -1 = ink
        strokes  list of float32 (n,3): the x and y of a line's points and the width there, in pixels; if asked for

    A shard's file is opened, and its digest checked, when a process first reads of it. An item raises DamagedError
    where the shard is not as the manifest says.
    """

    def __init__(self, shards: ShardSet, styles: Sequence[str] | None = None, strokes: bool = False) -> None:
        self.shards, self.with_strokes = shards, strokes
        self.styles = tuple(shards.styles if styles is None else styles)
        if isinstance(styles, str) or not self.styles:
            raise UsageError(f"styles={styles!r}: expected a list of names, one at least")
        if unknown := [style for style in self.styles if style not in shards.styles]:
            raise UsageError(
                f"styles={unknown[0]!r}: no such style in {shards.source}; there are {', '.join(shards.styles)}"
            )
        self._starts = np.cumsum([0, *shards.shard_sizes])
        self._open: dict[int, OpenShard] = {}

    def __len__(self) -> int:
        return self.shards.num_samples * len(self.styles)

    def __repr__(self) -> str:
        side = self.shards.side
        sizes = "many sizes" if side is None else f"{side} x {side} pixels"
        counts = f"{count_noun(self.shards.num_samples, 'image')} x {count_noun(len(self.styles), 'sketch')}"
        return f"<PairDataset: {self.shards.source}, {counts} of {sizes}>"

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        image, number = divmod(index % len(self), len(self.styles))
        shard = int(np.searchsorted(self._starts, image, side="right")) - 1
        place, style = image - int(self._starts[shard]), self.styles[number]
        stored = self._open_shard(shard)
        sample = stored.read(place, [self.shards.styles.index(style)])
        item = {
            "key": sample.key,
            "style": style,
            "image": to_tensor(sample.image)[0],
            "sketch": to_tensor(sample.sketches[0][..., None])[0],
        }
        if self.with_strokes:
            strokes = stored.read_strokes(place, sample.image.shape[:2], hands=True)
            item["strokes"] = list_lines(_find_hand(strokes, style))
        return item

    @staticmethod
    def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch of items that have strokes, which differ in length: the lists of lines stay lists.

        For `DataLoader(collate_fn=…)`; all else becomes what `default_collate` makes of it.
        """
        rest = [{name: value for name, value in item.items() if name != "strokes"} for item in items]
        lines = {"strokes": [item["strokes"] for item in items]} if "strokes" in items[0] else {}
        return {**default_collate(rest), **lines}

    def _open_shard(self, number: int) -> OpenShard:
        shard = self._open.pop(number, None) or OpenShard(self.shards, number)
        while len(self._open) >= KEPT_OPEN:
            self._open.pop(next(iter(self._open))).close()  # the one longest unused
        self._open[number] = shard
        return shard

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}  # files stay with their process


def list_lines(hand: StoredHand) -> list[torch.Tensor]:
    """The lines of a drawing, float32 (n,3) each: x, y and width in pixels."""
    rows = np.column_stack([hand.lines.points, hand.widths]).astype(np.float32)
    return (
        [torch.from_numpy(line.copy()) for line in np.split(rows, hand.lines.offsets[1:-1])]
        if len(rows)
        else []
    )


def _find_hand(strokes: StoredStrokes, style: str) -> StoredHand:
    """The drawing of this name; what was traced where no hand has drawn."""
    return next((hand for hand in strokes.hands if hand.name == style), strokes.traced())

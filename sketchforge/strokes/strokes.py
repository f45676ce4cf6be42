"""Strokes as flat arrays: all points one after another, and where each stroke begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class StrokeSet:
    """The lines of one picture.

    points: float32 (P,2), x and y in pixels, the centre of the first pixel at 0. offsets: int64 (S+1,), stroke s
    has points[offsets[s]:offsets[s+1]], two at least. closed: bool (S,), rings, whose last point is their first.
    size: (height, width) of the picture. darkness: float32 (P,) in [0, 1], of the picture where the points come
    from; it goes with them wherever they are moved. None where it is not known.
    """

    points: np.ndarray
    offsets: np.ndarray
    closed: np.ndarray
    size: tuple[int, int]
    darkness: np.ndarray | None = None

    @classmethod
    def of(cls, pieces: Sequence[np.ndarray], closed: np.ndarray, size: tuple[int, int]) -> StrokeSet:
        """StrokeSet from a list of (n,2) arrays, or of (n,3) ones, whose third column is the darkness."""
        offsets = np.cumsum([0, *(len(piece) for piece in pieces)])
        rows = np.concatenate(pieces).astype(np.float32) if len(pieces) else np.zeros((0, 2), np.float32)
        darkness = rows[:, 2] if rows.shape[1] == 3 else None
        return cls(rows[:, :2], offsets, np.asarray(closed, bool), size, darkness)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (
            self.points[begin:end] for begin, end in zip(self.offsets[:-1], self.offsets[1:], strict=True)
        )

    def rows(self) -> list[np.ndarray]:
        """The strokes as `of` takes them: (n,2), or (n,3) where their darkness is known."""
        darkness = self.darkness
        rows = self.points if darkness is None else np.column_stack([self.points, darkness])
        return [rows[begin:end] for begin, end in pairwise(self.offsets.tolist())]

    @property
    def side(self) -> int:
        """The longer side of the picture in pixels: lengths are given in shares of it."""
        return max(self.size)

    @property
    def owner(self) -> np.ndarray:
        """int64 (P,): the number of the stroke that each point belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def lengths(self) -> np.ndarray:
        """float64 (S,): the length of each stroke in pixels."""
        steps = np.linalg.norm(np.diff(self.points.astype(np.float64), axis=0), axis=1)
        if len(self) == 0:
            return np.zeros(0)
        steps = np.append(steps, 0.0)
        steps[self.offsets[1:] - 1] = 0.0  # from one stroke's end to the next one's start
        return np.add.reduceat(steps, self.offsets[:-1])

    def means(self, values: np.ndarray) -> np.ndarray:
        """float64 (S,): the mean over each stroke's points of `values` (P,)."""
        if len(self) == 0:
            return np.zeros(0)
        return np.add.reduceat(values.astype(np.float64), self.offsets[:-1]) / np.diff(self.offsets)

    def sample(self, image: np.ndarray) -> np.ndarray:
        """float32 (P,): a picture, HxW, at the strokes' points, bilinear; beyond its edge as at the edge."""
        import cv2

        if not len(self.points):
            return np.zeros(0, np.float32)
        maps = (np.ascontiguousarray(self.points[:, axis]).reshape(-1, 1) for axis in (0, 1))
        # cv2.remap takes at most 32,767 rows.
        x, y = maps
        chunks = [
            cv2.remap(
                image.astype(np.float32),
                x[begin : begin + 30_000],
                y[begin : begin + 30_000],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for begin in range(0, len(x), 30_000)
        ]
        return np.concatenate(chunks)[:, 0]

    def select(self, numbers: np.ndarray) -> StrokeSet:
        """Only these strokes, in this order."""
        numbers = np.asarray(numbers, np.int64)
        counts = np.diff(self.offsets)[numbers]
        offsets = np.append(0, np.cumsum(counts))
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[numbers] - offsets[:-1], counts)
        darkness = None if self.darkness is None else self.darkness[places]
        return StrokeSet(self.points[places], offsets, self.closed[numbers], self.size, darkness)

    def followed_by(self, pieces: Sequence[np.ndarray]) -> StrokeSet:
        """These strokes, and after them open ones, (n,2) each, whose darkness is 1."""
        if not len(pieces):
            return self
        if self.darkness is not None:
            pieces = [np.column_stack([piece, np.ones(len(piece))]) for piece in pieces]
        return StrokeSet.of(
            [*self.rows(), *pieces], np.append(self.closed, np.zeros(len(pieces), bool)), self.size
        )

    def moved(self, points: np.ndarray) -> StrokeSet:
        """The same strokes at other points, (P,2)."""
        return replace(self, points=points.astype(np.float32))


def smooth_paths(points: np.ndarray, offsets: np.ndarray, closed: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth paths by a Gaussian along them; the ends of open ones stay where they are.

    points: (P,2). offsets, closed: as in a StrokeSet. sigma: in points. Returns float64 (P,2).
    """
    radius = int(3 * sigma) + 1
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    counts = np.diff(offsets)
    # Each path with `radius` points more at either end: a ring goes on, another is mirrored through its end, so that
    # ends do not draw in.
    padded_begins = offsets[:-1] + 2 * radius * np.arange(len(counts))
    owner = np.repeat(np.arange(len(counts)), counts + 2 * radius)
    place = np.arange(len(owner)) - padded_begins[owner] - radius
    last = (counts - 1)[owner]
    around = place % np.maximum(last, 1)  # a ring's last point is its first
    mirrored = np.clip(np.where(place > last, 2 * last - place, np.abs(place)), 0, last)
    source = offsets[:-1][owner] + np.where(closed[owner], around, mirrored)
    end = offsets[:-1][owner] + np.where(place < 0, 0, last)
    beyond = ((place < 0) | (place > last)) & ~closed[owner]
    points = points.astype(np.float64)
    padded = np.where(beyond[:, None], 2 * points[end] - points[source], points[source])
    inside = (place >= 0) & (place <= last)
    smooth = np.stack([np.convolve(padded[:, axis], weights, "same")[inside] for axis in (0, 1)], 1)
    ends = np.stack([offsets[:-1], offsets[1:] - 1])[:, ~closed]
    smooth[ends] = points[ends]
    return smooth

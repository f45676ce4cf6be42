"""Strokes as flat arrays: all points one after another, and where each stroke begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StrokeSet:
    """The lines of one picture.

    points: float32 (P,2), x and y in pixels, the centre of the first pixel at 0. offsets: int64 (S+1,), stroke s
    has points[offsets[s]:offsets[s+1]], two at least. closed: bool (S,), rings, whose last point is their first.
    size: (height, width) of the picture.
    """

    points: np.ndarray
    offsets: np.ndarray
    closed: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(cls, pieces: Sequence[np.ndarray], closed: np.ndarray, size: tuple[int, int]) -> StrokeSet:
        """StrokeSet from a list of (n,2) arrays."""
        offsets = np.cumsum([0, *(len(piece) for piece in pieces)])
        points = np.concatenate(pieces) if len(pieces) else np.zeros((0, 2))
        return cls(points.astype(np.float32), offsets, np.asarray(closed, bool), size)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (
            self.points[begin:end] for begin, end in zip(self.offsets[:-1], self.offsets[1:], strict=True)
        )

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
        pieces = [self.points[self.offsets[number] : self.offsets[number + 1]] for number in numbers]
        return StrokeSet.of(pieces, self.closed[numbers], self.size)

    def moved(self, points: np.ndarray) -> StrokeSet:
        """The same strokes at other points, (P,2)."""
        return StrokeSet(points.astype(np.float32), self.offsets, self.closed, self.size)


def smooth_path(piece: np.ndarray, sigma: float, ring: bool) -> np.ndarray:
    """Smooth a path, (n,2) of two points at least, by a Gaussian along it; its ends stay where they are.

    sigma: in points. ring: whether its last point is its first.
    """
    radius = min(int(3 * sigma) + 1, len(piece) - 1)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    if ring:
        padded = np.concatenate([piece[-radius - 1 : -1], piece, piece[1 : radius + 1]])
    else:  # mirrored through the end points, so that the ends do not draw in
        padded = np.concatenate(
            [2 * piece[0] - piece[radius:0:-1], piece, 2 * piece[-1] - piece[-2 : -radius - 2 : -1]]
        )
    weights /= weights.sum()
    return np.stack([np.convolve(padded[:, axis], weights, "valid") for axis in (0, 1)], 1)

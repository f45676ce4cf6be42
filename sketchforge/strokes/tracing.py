"""From a darkness map to strokes: threshold, thin, cut at junctions, order, join.

Lengths are given in shares of the longer side, for pictures of any size. Nothing here is random.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from sketchforge.strokes.strokes import StrokeSet, smooth_paths

THRESHOLD = 0.30  # darkness that counts as ink
PEAK = 1.35 * THRESHOLD  # of the darkest pixel of a line that is kept
MIN_AREA = 12 / 256  # pixels of a line that is kept, in shares of the side
JOIN = 5 / 256  # the widest gap between two ends that are joined
MAX_TURN = np.cos(np.deg2rad(50))
TANGENT = 6  # points over which the direction of an end is taken
KNOTS = 4 / 256  # distance of the points of a stroke
SMOOTH = 1.0  # pixels; a thinned line walks in steps of one


def trace(darkness: np.ndarray) -> StrokeSet:
    """Trace the lines of `darkness`, float32 HxW in [0, 1], 0 = paper. Strokes in reading order of their starts."""
    height, width = darkness.shape
    side = max(height, width)
    pieces, closed = order_pixels(thin_lines(darkness, side))
    pieces, closed = join_pieces(pieces, closed, JOIN * side)
    pieces = [
        np.append(piece, piece[:1], 0) if ring else piece for piece, ring in zip(pieces, closed, strict=True)
    ]
    return space_points(StrokeSet.of(pieces, np.array(closed, bool), (height, width)), KNOTS * side)


def thin_lines(darkness: np.ndarray, side: int) -> np.ndarray:
    """Lines one pixel wide, bool HxW: each pixel of them touches two others, or one, or is a junction."""
    from skimage.morphology import skeletonize

    ink = (darkness > THRESHOLD).astype(np.uint8)
    num_labels, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    peaks = np.zeros(num_labels, np.float32)
    np.maximum.at(peaks, np.asarray(labels, np.int32).ravel(), darkness.ravel())
    kept = (stats[:, cv2.CC_STAT_AREA] >= MIN_AREA * side) & (peaks >= PEAK)
    kept[0] = False
    return remove_corners(skeletonize(kept[labels]))


def remove_corners(lines: np.ndarray) -> np.ndarray:
    """Take away the inner pixels of stairs: those without which their neighbours are still connected."""
    lines = lines.astype(np.uint8)
    removable = _removable_neighbourhoods()
    height, width = lines.shape
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    for turn in range(4):  # no two neighbours in one turn, so that a line is never cut
        field = (rows % 2 == turn // 2) & (columns % 2 == turn % 2)
        lines[field & (lines > 0) & removable[_neighbourhoods(lines)]] = 0
    return lines > 0


_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))  # row, column


def _neighbourhoods(lines: np.ndarray) -> np.ndarray:
    """uint8 HxW: bit k is set where neighbour k of _RING is."""
    kernel = np.zeros((3, 3), np.float32)
    for bit, (row, column) in enumerate(_RING):
        kernel[1 + row, 1 + column] = 1 << bit
    return cv2.filter2D(lines, cv2.CV_8U, kernel, borderType=cv2.BORDER_CONSTANT)


@lru_cache(maxsize=1)
def _removable_neighbourhoods() -> np.ndarray:
    """bool 256: two neighbours at least, all connected with one another, two of them across a stair's corner."""
    table = np.zeros(256, bool)
    for code in range(256):
        places = [place for bit, place in enumerate(_RING) if code >> bit & 1]
        if len(places) < 2 or not any(
            abs(a[0]) + abs(a[1]) == 1 and abs(b[0]) + abs(b[1]) == 1 and a[0] * b[0] + a[1] * b[1] == 0
            for a in places
            for b in places
        ):
            continue
        group, rest = [places[0]], places[1:]
        while near := [p for p in rest if any(max(abs(p[0] - q[0]), abs(p[1] - q[1])) == 1 for q in group)]:
            group += near
            rest = [place for place in rest if place not in near]
        table[code] = not rest
    return table


def order_pixels(lines: np.ndarray) -> tuple[list[np.ndarray], list[bool]]:
    """Cut the lines at their junctions and put each piece's pixels into order.

    Returns the pieces, float32 (n,2) as x, y, of at least two pixels, and whether each is a ring. All pieces are
    tied end to start, so that a single breadth-first walk orders all pixels.
    """
    degree = (
        cv2.filter2D(lines.astype(np.uint8), cv2.CV_8U, np.ones((3, 3), np.float32), borderType=0) - lines
    )
    paths = lines & (degree <= 2)
    ys, xs = np.nonzero(paths)
    number = np.full((lines.shape[0] + 2, lines.shape[1] + 2), -1, np.int32)
    number[ys + 1, xs + 1] = np.arange(len(xs))
    edges = []
    for row, column in ((0, 1), (1, -1), (1, 0), (1, 1)):
        other = number[ys + 1 + row, xs + 1 + column]
        begin = np.flatnonzero(other >= 0)
        edges.append(np.stack([begin, other[begin]], 1))
    edge = np.concatenate(edges)
    if not len(edge):
        return [], []
    count = len(xs)
    _, piece = connected_components(_graph(edge, count), directed=False)
    degrees = np.bincount(edge.ravel(), minlength=count)
    # A ring has no end: it is cut at one of its edges.
    open_pieces = np.zeros(piece.max() + 1, bool)
    open_pieces[piece[degrees == 1]] = True
    ring_edges = np.flatnonzero(~open_pieces[piece[edge[:, 0]]])
    rings, first = np.unique(piece[edge[ring_edges, 0]], return_index=True)
    cut = ring_edges[first]
    ends = np.concatenate([np.flatnonzero(degrees == 1), edge[cut].ravel()])
    edge = np.delete(edge, cut, 0)
    ends = ends[np.argsort(piece[ends], kind="stable")].reshape(-1, 2)
    ties = np.stack([ends[:-1, 1], ends[1:, 0]], 1)
    order = breadth_first_order(
        _graph(np.concatenate([edge, ties]), count), ends[0, 0], directed=False, return_predecessors=False
    )
    walk = np.stack([xs, ys], 1).astype(np.float32)[order]
    breaks = np.flatnonzero(np.diff(piece[order])) + 1
    is_ring = np.isin(piece[order][np.r_[0, breaks]], rings)
    return np.split(walk, breaks), is_ring.tolist()


def _graph(edge: np.ndarray, count: int) -> coo_matrix:
    return coo_matrix((np.ones(len(edge), np.int8), (edge[:, 0], edge[:, 1])), (count, count)).tocsr()


def join_pieces(
    pieces: list[np.ndarray], closed: list[bool], gap: float
) -> tuple[list[np.ndarray], list[bool]]:
    """Join ends that lie at most `gap` pixels apart, one ahead of the other, the nearest and straightest first."""
    open_numbers = [number for number, ring in enumerate(closed) if not ring]
    if len(open_numbers) < 1:
        return pieces, closed
    places, directions = [], []
    for number in open_numbers:
        piece = pieces[number]
        reach = min(TANGENT, len(piece) - 1)
        places += [piece[0], piece[-1]]
        directions += [piece[0] - piece[reach], piece[-1] - piece[-1 - reach]]
    place, direction = np.array(places), np.array(directions)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    pairs = cKDTree(place).query_pairs(gap, output_type="ndarray")
    partner = np.full(len(place), -1)
    if len(pairs):
        a, b = pairs.T
        between = place[b] - place[a]
        distance = np.linalg.norm(between, axis=1)
        ahead = between / np.maximum(distance, 1e-6)[:, None]
        turn = -(direction[a] * direction[b]).sum(1)
        leaves, arrives = (direction[a] * ahead).sum(1), -(direction[b] * ahead).sum(1)
        near = distance <= 1.5  # neighbouring pixels: the step between them says nothing of the direction
        fits = (turn > MAX_TURN) & ((np.minimum(leaves, arrives) > MAX_TURN) | near) & (a // 2 != b // 2)
        cost = distance / gap + 1 - turn
        for index in np.flatnonzero(fits)[np.argsort(cost[fits], kind="stable")]:
            if partner[a[index]] < 0 and partner[b[index]] < 0:
                partner[a[index]], partner[b[index]] = b[index], a[index]
    joined, rings, done = [], [], np.zeros(len(open_numbers), bool)
    starts = [end for end in range(len(place)) if partner[end] < 0] + list(range(len(place)))
    for start in starts:
        if done[start // 2]:
            continue
        chain, end, is_ring = [], start, False
        while True:
            done[end // 2] = True
            piece = pieces[open_numbers[end // 2]]
            chain.append(piece if end % 2 == 0 else piece[::-1])
            end = partner[end ^ 1]
            if end < 0 or done[end // 2]:
                is_ring = bool(end >= 0)
                break
        joined.append(np.concatenate(chain))
        rings.append(is_ring)
    for number, ring in enumerate(closed):
        if ring:
            joined.append(pieces[number])
            rings.append(True)
    order = sorted(range(len(joined)), key=lambda number: tuple(joined[number][0, ::-1]))
    return [joined[number] for number in order], [rings[number] for number in order]


def space_points(strokes: StrokeSet, step: float) -> StrokeSet:
    """Smooth walks over pixels and take a point of each every `step` pixels, ends included."""
    if not len(strokes):
        return strokes
    smooth = smooth_paths(strokes.points, strokes.offsets, strokes.closed, SMOOTH)
    steps = np.linalg.norm(np.diff(smooth, axis=0, prepend=smooth[:1]), axis=1)
    steps[strokes.offsets[1:-1]] = 1.0  # from one walk to the next: any length will do
    along = np.cumsum(steps)
    begins, ends = along[strokes.offsets[:-1]], along[strokes.offsets[1:] - 1]
    counts = np.maximum(2, np.round((ends - begins) / step).astype(int) + 1)
    offsets = np.append(0, np.cumsum(counts))
    share = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    at = np.repeat(begins, counts) + share * np.repeat((ends - begins) / (counts - 1), counts)
    at = np.minimum(at, np.repeat(ends, counts))
    points = np.stack([np.interp(at, along, smooth[:, axis]) for axis in (0, 1)], 1)
    return StrokeSet(points.astype(np.float32), offsets, strokes.closed, strokes.size)

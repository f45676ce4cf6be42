"""Boundary precision, recall and F of sketches against human annotations, by the protocol of BSDS500.

The protocol is that of Martin, Fowlkes & Malik, "Learning to Detect Natural Image Boundaries Using Local
Brightness, Color, and Texture Cues" (PAMI 2004), counted as in the benchmark of Arbeláez, Maire, Fowlkes &
Malik, "Contour Detection and Hierarchical Image Segmentation" (PAMI 2011). The ink is thinned to lines of one
pixel and matched one-to-one with every annotator's boundaries. A line pixel is correct where it matches a
pixel of any annotator. Recall counts the pixels of all annotators.

Departures from the benchmark: 15 thresholds instead of 99; the best one is a measured one, without
interpolation; and the matching is the optimum of the problem that the benchmark solves with random outlier
edges.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchforge.errors import SketchforgeError

TOLERANCE = 0.0075  # of the image's diagonal: the benchmark's `maxDist`
THRESHOLDS = tuple(step / 16 for step in range(1, 16))  # of darkness; the benchmark's are the hundredths

Slices = tuple[slice, slice]


@dataclass(frozen=True)
class BoundaryCounts:
    """Pixels counted at each of T thresholds; precision is matched_predicted / predicted, recall likewise."""

    thresholds: np.ndarray  # float64 (T,), ascending: ink has at least this darkness
    matched_predicted: np.ndarray  # int64 (T,): pixels of thinned ink that match a pixel of some annotator
    predicted: np.ndarray  # int64 (T,): pixels of thinned ink
    matched_truth: np.ndarray  # int64 (T,): annotated pixels that match, added up over annotators
    truth: np.ndarray  # int64 (T,): annotated pixels, added up over annotators


@dataclass(frozen=True)
class BoundaryScore:
    """Scores of a set of images, all in 0..1."""

    threshold: float  # the one at which F over the whole set is best (optimal dataset scale, ODS)
    precision: float  # at this threshold, as is recall
    recall: float
    f_ods: float
    f_ois: float  # F where each image has the threshold that is best for it (optimal image scale, OIS)


def read_boundaries(path: Path | str) -> list[np.ndarray]:
    """The annotators' boundaries in a BSDS500 ground-truth file (.mat), each bool HxW, all of one size.

    Raises SketchforgeError when the file cannot be read or holds something else.
    """
    from scipy.io import loadmat

    try:
        data = Path(path).read_bytes()  # SciPy would not say why it cannot open a file
    except OSError as error:
        raise SketchforgeError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        cells = loadmat(io.BytesIO(data), variable_names=["groundTruth"])["groundTruth"].ravel()
        annotations = [np.asarray(cell["Boundaries"][0, 0]) != 0 for cell in cells]
    except MemoryError:
        raise
    except Exception as error:  # damaged data makes SciPy raise anything from struct.error to TypeError
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SketchforgeError(
            f"{path}: not a ground-truth file of BSDS500, a .mat with groundTruth{{k}}.Boundaries ({reason})"
        ) from error
    shapes = {annotation.shape for annotation in annotations}
    if len(shapes) != 1 or len(annotations[0].shape) != 2:
        sizes = ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes)) or "none"
        raise SketchforgeError(f"{path}: expected boundaries of one height x width, found {sizes}")
    return annotations


def fit_boundaries(annotation: np.ndarray, size: int, fit: str) -> np.ndarray:
    """An annotation, bool HxW, in the frame that `images.resize.fit_square` gives its photo.

    `size` and `fit` are those of the photo. Boundaries are moved, not resampled: the centre of each pixel
    goes where the resize takes it, a straight line joins pixels that touched, and the result is thinned. So
    lines stay one pixel wide. Returns bool size x size; with "keep" the annotation as it is.
    """
    if annotation.dtype != bool or annotation.ndim != 2:
        raise ValueError(
            f"expected an annotation of bool HxW, found {annotation.dtype} of shape {annotation.shape}"
        )
    height, width = annotation.shape
    if fit == "keep":
        return annotation
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resize_annotation(annotation[top : top + side, left : left + side], size, size)
    if fit != "pad":
        raise ValueError(f"fit={fit!r}: expected crop, pad or keep")
    scale = size / max(height, width)
    resized = _resize_annotation(annotation, max(1, round(height * scale)), max(1, round(width * scale)))
    square = np.zeros((size, size), bool)
    top, left = (size - resized.shape[0]) // 2, (size - resized.shape[1]) // 2
    square[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return square


def _resize_annotation(annotation: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    if annotation.shape == (height, width):
        return annotation.copy()
    rows, columns = np.nonzero(annotation)
    rows = ((rows + 0.5) * height / annotation.shape[0]).astype(int)
    columns = ((columns + 0.5) * width / annotation.shape[1]).astype(int)
    resized = np.zeros((height, width), np.uint8)
    resized[rows, columns] = 1
    targets = np.zeros((*annotation.shape, 2), np.int32)  # where each pixel went, x before y as OpenCV has it
    targets[annotation] = np.stack([columns, rows], axis=1)
    for joined, first, second in _find_neighbours(annotation):
        ends = np.stack([targets[first][joined], targets[second][joined]], axis=1)
        cv2.polylines(resized, list(ends), False, 1)
    return _thin_lines(resized > 0)


def _find_neighbours(mask: np.ndarray) -> Iterator[tuple[np.ndarray, Slices, Slices]]:
    """The pairs of touching pixels by direction: a mask of pairs, and the image slices of either pixel.

    Pixels that touch at a corner are no pair where another pixel touches both by an edge, so that no link
    cuts a corner.
    """
    low, high, whole = slice(None, -1), slice(1, None), slice(None)
    upper, lower, left, right = (low, whole), (high, whole), (whole, low), (whole, high)
    for first, second in ((upper, lower), (left, right)):
        yield mask[first] & mask[second], first, second
    first, second, third, fourth = (low, low), (high, high), (low, high), (high, low)
    yield mask[first] & mask[second] & ~mask[third] & ~mask[fourth], first, second
    yield mask[third] & mask[fourth] & ~mask[first] & ~mask[second], third, fourth


def match(predicted: np.ndarray, truth: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pair pixels of two masks, bool HxW, one-to-one, as many as possible, at most `radius` pixels apart.

    Among all such pairings it is one whose distances, to a hundredth of a pixel, have the smallest sum.
    Returns a mask of the paired pixels of either side, two bool HxW with equally many set. Raises ValueError
    for masks of other types or unequal sizes.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    comparable = predicted.dtype == truth.dtype == bool and predicted.shape == truth.shape
    if not comparable or predicted.ndim != 2:
        raise ValueError(
            f"expected two masks of bool HxW, one size, found {predicted.dtype} of {predicted.shape}"
            f" and {truth.dtype} of {truth.shape}"
        )
    if not 0 <= radius < np.inf:
        raise ValueError(f"radius={radius}: expected a number of pixels, 0 or more")
    paired = np.zeros(predicted.shape, bool), np.zeros(truth.shape, bool)
    pairs = _find_near_pairs(predicted, truth, radius)
    if not len(pairs):
        return paired
    # An assignment with outliers, as in the benchmark: a pair costs its distance, a pixel left alone more
    # than all pairs together, so their number is the largest there is. For recall only this number counts.
    # For precision it also matters which pixels are paired, as any annotator's will do: a matching that is
    # merely the largest takes other pixels for every annotator and raises precision by about 0.002.
    predicted_pixels, truth_pixels = (np.unravel_index(flat, truth.shape) for flat in pairs.T)
    # Whole numbers add up exactly; from 1, because a sparse graph takes a zero for no edge.
    costs = np.rint(np.hypot(*np.subtract(predicted_pixels, truth_pixels)) * 100) + 1
    # The side with fewer pixels gives the rows. Each row has one further column: its pixel stays unpaired.
    sides = [
        (*np.unique(flat, return_inverse=True), mask) for flat, mask in zip(pairs.T, paired, strict=True)
    ]
    (rows, row, row_mask), (columns, column, column_mask) = sorted(sides, key=lambda side: len(side[0]))
    row_indices = np.arange(len(rows))
    graph = csr_array(
        (
            np.concatenate([costs, np.full(len(rows), costs.max() * len(rows) + 1)]),
            (np.concatenate([row, row_indices]), np.concatenate([column, len(columns) + row_indices])),
        ),
        shape=(len(rows), len(columns) + len(rows)),
    )
    row, column = min_weight_full_bipartite_matching(graph)
    is_paired = column < len(columns)
    row_mask.flat[rows[row[is_paired]]] = True
    column_mask.flat[columns[column[is_paired]]] = True
    return paired


def _find_near_pairs(predicted: np.ndarray, truth: np.ndarray, radius: float) -> np.ndarray:
    """int64 (P, 2): flat indices of a predicted and a true pixel, for every two at most `radius` apart."""
    reach = int(min(radius, max(truth.shape)))
    index = np.where(truth, np.arange(truth.size).reshape(truth.shape), -1)
    index = np.pad(index, reach, constant_values=-1)
    rows, columns = np.nonzero(predicted)
    flat = np.flatnonzero(predicted)
    pairs = [np.empty((0, 2), np.int64)]
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down**2 + right**2 <= radius**2:
                partner = index[rows + (reach + down), columns + (reach + right)]
                pairs.append(np.stack([flat, partner], axis=1)[partner >= 0])
    return np.concatenate(pairs)


def boundary_counts(
    sketch: np.ndarray,
    annotations: Sequence[np.ndarray],
    thresholds: Sequence[float] | None = None,
    tolerance: float = TOLERANCE,
) -> BoundaryCounts:
    """Count the matched pixels of one sketch, uint8 HxW, 255 = paper, and of its annotations, bool HxW.

    At a threshold t in (0, 1] ink has a darkness of (255 - value) / 255 >= t: at 0.5, values below 128. None
    stands for THRESHOLDS. Neighbouring thresholds with equal ink are matched once, so a bilevel sketch needs
    one matching. Pixels match up to `tolerance` times the diagonal apart. A blank sketch has no matches.
    Raises SketchforgeError for an annotation of another size.
    """
    levels = np.array(THRESHOLDS if thresholds is None else thresholds, np.float64)
    ascending = levels.ndim == 1 and len(levels) and (np.diff(levels, prepend=0) > 0).all()
    if not ascending or levels[-1] > 1:
        raise ValueError(f"thresholds={levels.tolist()}: expected numbers in (0, 1], ascending")
    if sketch.dtype != np.uint8 or sketch.ndim != 2:
        raise ValueError(f"expected a sketch of uint8 HxW, found {sketch.dtype} of shape {sketch.shape}")
    if not len(annotations):
        raise ValueError("expected the boundaries of at least one annotator, found none")
    for annotation in annotations:
        if annotation.shape != sketch.shape:
            raise SketchforgeError(
                f"the sketch has {_format_size(sketch)} pixels, the annotation {_format_size(annotation)}:"
                " fit it as the photo was fitted, or render with --fit keep"
            )
    radius = tolerance * float(np.hypot(*sketch.shape))
    counts: list[tuple[int, int, int, int]] = []
    previous_ink = None
    for level in levels:
        ink = 255 - sketch >= 255 * level
        if previous_ink is not None and np.array_equal(ink, previous_ink):
            counts.append(counts[-1])
        else:
            counts.append(_count_matches(_thin_lines(ink), annotations, radius))
        previous_ink = ink
    return BoundaryCounts(levels, *np.array(counts, np.int64).T)


def _count_matches(
    lines: np.ndarray, annotations: Sequence[np.ndarray], radius: float
) -> tuple[int, int, int, int]:
    correct = np.zeros(lines.shape, bool)
    num_matched = 0
    for annotation in annotations:
        paired_lines, paired_truth = match(lines, annotation, radius)
        correct |= paired_lines
        num_matched += int(paired_truth.sum())
    return (
        int(correct.sum()),
        int(lines.sum()),
        num_matched,
        sum(int(annotation.sum()) for annotation in annotations),
    )


def _thin_lines(mask: np.ndarray) -> np.ndarray:
    """Lines of one pixel as the benchmark makes them: Guo & Hall 1989, `bwmorph(mask, "thin", Inf)`."""
    from skimage.morphology import thin

    return thin(mask)


def _format_size(image: np.ndarray) -> str:
    return " x ".join(str(side) for side in image.shape[::-1])


def human_agreement(annotations: Sequence[np.ndarray], tolerance: float = TOLERANCE) -> BoundaryCounts:
    """The agreement of annotators on one image: each annotation as a sketch against the others, added up.

    Its one threshold is 0.5. Raises ValueError for fewer than two annotators.
    """
    if len(annotations) < 2:
        raise ValueError(f"expected the boundaries of two annotators or more, found {len(annotations)}")
    counts = []
    for index, annotation in enumerate(annotations):
        other_annotations = [other for other_index, other in enumerate(annotations) if other_index != index]
        sketch = np.where(annotation, 0, 255).astype(np.uint8)
        counts.append(boundary_counts(sketch, other_annotations, (0.5,), tolerance))
    return BoundaryCounts(counts[0].thresholds, *_stack_counts(counts).sum(axis=0))


def summarize_boundaries(counts: Sequence[BoundaryCounts]) -> BoundaryScore:
    """Precision, recall and F of a set of images, from the counts of each at the same thresholds.

    ODS: counts are added up over images, then the threshold of the best F is taken; of equally good ones the
    one nearest 0.5. OIS: of each image the counts at its own best threshold are added up. As in the
    benchmark, images weigh by their pixels, and 0 of 0 pixels is 0. Raises ValueError for none or
    differing thresholds.
    """
    if not counts:
        raise ValueError("expected the counts of at least one image, found none")
    thresholds = counts[0].thresholds
    if not all(np.array_equal(image_counts.thresholds, thresholds) for image_counts in counts):
        raise ValueError("expected counts at the same thresholds for all images")
    table = _stack_counts(counts)
    precision, recall, f = _compute_scores(table.sum(axis=0))
    best = max(range(len(thresholds)), key=lambda index: (f[index], -abs(thresholds[index] - 0.5)))
    best_per_image = _compute_scores(table.swapaxes(0, 1))[2].argmax(axis=1)
    f_ois = _compute_scores(table[np.arange(len(table)), :, best_per_image].sum(axis=0))[2]
    return BoundaryScore(
        float(thresholds[best]), float(precision[best]), float(recall[best]), float(f[best]), float(f_ois)
    )


def _stack_counts(counts: Sequence[BoundaryCounts]) -> np.ndarray:
    """int64 (images, 4, T), the four counts in the order of the fields."""
    return np.array(
        [
            [
                image_counts.matched_predicted,
                image_counts.predicted,
                image_counts.matched_truth,
                image_counts.truth,
            ]
            for image_counts in counts
        ],
        np.int64,
    )


def _compute_scores(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(4, ...) -> precision, recall and F, each of shape (...)."""
    matched_predicted, predicted, matched_truth, truth = table
    precision, recall = matched_predicted / np.maximum(predicted, 1), matched_truth / np.maximum(truth, 1)
    total = precision + recall
    return precision, recall, 2 * precision * recall / np.where(total == 0, 1, total)

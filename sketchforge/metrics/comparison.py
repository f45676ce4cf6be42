"""Sets of sketches against the references: realism and strokes, and the floor, people against people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from sketchforge.metrics.evaluation import (
    AUC_RUNS,
    HALVINGS,
    LEVEL,
    REALISM,
    STROKES,
    Figure,
    Gap,
)
from sketchforge.metrics.measuring import Measured
from sketchforge.metrics.realism_figures import auc_figures, kid_figures
from sketchforge.metrics.stroke_figures import stroke_distances, stroke_figures
from sketchforge.utils.seeding import numpy_generator


def against(
    measured: Measured, reference: Measured | None, name: str, seed: int, gaps: list[Gap]
) -> dict[str, dict[str, Figure]]:
    """Strokes, and where there is a reference realism and the distances of the strokes."""
    figures = _compared(measured, reference, name, seed, gaps) if reference else {}
    return figures | {STROKES: stroke_figures(measured, name, seed, gaps) | figures.get(STROKES, {})}


def floor(measured: Measured, name: str, seed: int, gaps: list[Gap]) -> dict[str, dict[str, Figure]]:
    """People against people: one half of the photos against the other. The strokes are those of all drawings.

    A single halving says little: with a hundred drawings its AUC may be 0.4 or 0.6. So HALVINGS are made, and
    a figure is their mean, its interval their middle LEVEL. Beside that, the luck of a single run of the
    two-sample test counts for little, so each halving has one.
    """
    result = {STROKES: stroke_figures(measured, name, seed, gaps)}
    photos = len(set(measured.photos))
    if photos < 2:
        gaps.append(Gap(name, REALISM, "no floor: all drawings are of one photo"))
        return result
    found = defaultdict(list)
    for turn in range(HALVINGS):
        first, second = (measured.part(indices) for indices in halves(measured.photos, seed, turn))
        for block, figures in _compared(first, second, name, seed, gaps, resampled=False, auc_runs=1).items():
            for part, figure in figures.items():
                found[block, part].append(figure.value)
    for (block, part), values in found.items():
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        result.setdefault(block, {})[part] = Figure(float(np.mean(values)), float(low), float(high), photos)
    return result


def halves(photos: Sequence[str], seed: int, turn: int) -> tuple[list[int], list[int]]:
    """The indices of two parts with equally many photos (the second may have one more), chosen by seed and
    turn.

    Drawings of one photo stay together.
    """
    names = sorted(set(photos))
    order = numpy_generator(seed, "halves of the references", turn).permutation(len(names))
    first = {names[place] for place in order[: len(names) // 2]}
    inside = [index for index, photo in enumerate(photos) if photo in first]
    return inside, [index for index, photo in enumerate(photos) if photo not in first]


def _compared(
    measured: Measured,
    reference: Measured,
    name: str,
    seed: int,
    gaps: list[Gap],
    resampled: bool = True,
    auc_runs: int = AUC_RUNS,
) -> dict[str, dict[str, Figure]]:
    """Realism and the distances of the strokes; intervals where `resampled`."""
    with_whom = (measured, reference, name, seed, gaps, resampled)
    blocks = {
        REALISM: auc_figures(*with_whom, auc_runs) | kid_figures(*with_whom),
        STROKES: stroke_distances(*with_whom),
    }
    return {block: figures for block, figures in blocks.items() if figures}

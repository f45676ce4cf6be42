"""Whether a classifier can separate two sets of strokes: the two-sample test of Lopez-Paz & Oquab, ICLR 2017.

A classifier trained on other images scores stroke patches of two sets. The area under its ROC curve, AUC, is
the probability that a patch of the first set scores higher than one of the second. 0.5: the classifier cannot
separate the sets; 1: it always can. Departure from the paper, which takes the accuracy: AUC needs no
threshold and no sets of equal size. Every figure has to be read beside the human baseline, human drawings
against human drawings. It changes a little with the seed: average over a few seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.utils.seeding import derive_seed, numpy_generator

FOLDS = 5
INK_STRATA = 16


@dataclass(frozen=True)
class TwoSampleResult:
    """The classifier's score of every patch, from a fold in which the patch's source image was held out.

    All arrays have one entry per patch, N in total. Scores of different folds come from different classifiers
    and are not compared.
    """

    scores: np.ndarray  # float64 (N,): log odds of the first set
    labels: np.ndarray  # bool (N,): whether the patch is of the first set
    groups: np.ndarray  # str (N,): its source image
    folds: np.ndarray  # int (N,)

    @property
    def auc(self) -> float:
        """The AUC over all pairs of patches of one fold; may fall a little below 0.5 by chance."""
        return self.resampled_auc({})

    def resampled_auc(self, weights: Mapping[str, float]) -> float:
        """The AUC with every patch weighted by its source image's weight, 1 where there is none.

        Ties count a half. nan where no pair is left. Weights that count how often a bootstrap has sampled
        each image give that replicate's AUC. The classifiers are not trained anew: the interval covers the
        choice of the images tested, not of those trained on.
        """
        names, image, level, fold = self._ranks
        weight = np.array([float(weights.get(name, 1.0)) for name in names])[image]
        first = np.bincount(level, weight * self.labels)
        second = np.bincount(level, weight * ~self.labels)
        totals = np.bincount(fold, second)
        # The weight of the second set in the same fold below each score.
        lower = np.cumsum(second) - second - (np.cumsum(totals) - totals)[fold]
        pairs = np.bincount(fold, first) @ totals
        return float(first @ (lower + second / 2) / pairs) if pairs else float("nan")

    @cached_property
    def _ranks(self) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """What weights do not change.

        Image names, the image of each patch, the rank of each patch among the distinct pairs (fold, score),
        and the fold of each rank.
        """
        names, image = np.unique(self.groups, return_inverse=True)
        fold_scores, level = np.unique(np.stack([self.folds, self.scores]), axis=1, return_inverse=True)
        return names.tolist(), image, level.ravel(), fold_scores[0].astype(int)


def two_sample_test(
    features_a: np.ndarray,
    groups_a: Sequence[str],
    features_b: np.ndarray,
    groups_b: Sequence[str],
    seed: int,
) -> TwoSampleResult:
    """Test whether patches a and b, float (K, D) and (L, D) from `describe_patches`, can be told apart.

    Column 0 is the patch's ink. groups_a, groups_b: the source image of every patch. All patches of one group
    are held out together, so the same name on both sides keeps drawings of one photo in one fold. Either side
    gives equally many patches, at random, in each of INK_STRATA strata of ink, and the classifier does not
    see the ink: otherwise ink alone would separate dense sketches from sparse ones. The classifier is a
    logistic regression with L2 penalty 1 on standardised features, FOLDS-fold (fewer for fewer groups).
    Raises UsageError for fewer than two source images on a side or no ink in common, ValueError for other
    shapes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for features, groups in ((features_a, groups_a), (features_b, groups_b)):
        if features.ndim != 2 or features.shape != (len(groups), features_a.shape[1]):
            raise ValueError(
                f"expected features ({len(groups)}, {features_a.shape[-1]}), found {features.shape}"
            )
    _count_groups(groups_a, groups_b)
    rows_a, rows_b = match_by_ink(features_a[:, 0], features_b[:, 0], seed)
    matched = np.concatenate([np.asarray(groups_a, str)[rows_a], np.asarray(groups_b, str)[rows_b]])
    labels = np.repeat([True, False], [len(rows_a), len(rows_b)])
    num_groups = _count_groups(matched[labels], matched[~labels])
    features = np.concatenate([features_a[rows_a], features_b[rows_b]])[:, 1:]
    shuffle_seed = derive_seed(seed, "folds of the two-sample test") % 2**32
    splitter = StratifiedGroupKFold(min(FOLDS, num_groups), shuffle=True, random_state=shuffle_seed)
    scores, folds = np.zeros(len(labels)), np.zeros(len(labels), int)
    for fold, (train, test) in enumerate(splitter.split(features, labels, matched)):
        if labels[train].all() or not labels[train].any():
            raise UsageError(_explain_shortage(*(len(set(matched[side])) for side in (labels, ~labels))))
        regression = LogisticRegression(class_weight="balanced", max_iter=1000)
        classifier = make_pipeline(StandardScaler(), regression)
        classifier.fit(features[train], labels[train])
        scores[test], folds[test] = classifier.decision_function(features[test]), fold
    return TwoSampleResult(scores, labels, matched, folds)


def match_by_ink(ink_a: np.ndarray, ink_b: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a and rows of b, equally many in each of INK_STRATA strata of ink, chosen at random.

    ink_a, ink_b: (K,), (L,) line pixels per patch. The strata are quantiles of both sides together, each side
    counted for half.
    """
    ink = np.concatenate([ink_a, ink_b])
    weights = np.repeat([1 / max(1, len(ink_a)), 1 / max(1, len(ink_b))], [len(ink_a), len(ink_b)])
    order = np.argsort(ink, kind="stable")
    below = np.cumsum(weights[order]) / max(weights.sum(), 1e-12)
    edges = [ink[order][np.searchsorted(below, step / INK_STRATA)] for step in range(1, INK_STRATA)]
    strata = [np.digitize(side, edges) for side in (ink_a, ink_b)]
    chosen: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for stratum in range(INK_STRATA):
        rows = [np.flatnonzero(side == stratum) for side in strata]
        count = min(map(len, rows))
        for side, chosen_rows in enumerate(chosen):
            # Each side draws by itself, so that swapping the sides swaps the choice and nothing else.
            chosen_rows.append(numpy_generator(seed, "ink strata", stratum).permutation(rows[side])[:count])
    return np.concatenate(chosen[0]), np.concatenate(chosen[1])


def _count_groups(groups_a: Sequence[str], groups_b: Sequence[str]) -> int:
    """The number of source images on the smaller side; UsageError under two."""
    counts = len(set(groups_a)), len(set(groups_b))
    if min(counts) < 2:
        raise UsageError(_explain_shortage(*counts))
    return min(counts)


def _explain_shortage(count_a: int, count_b: int) -> str:
    return (
        f"two-sample test: found {count_a} and {count_b} source images with strokes of like density, "
        "expected at least two on each side and better fifty; give more sketches"
    )

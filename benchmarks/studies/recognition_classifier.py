"""The classifiers of the recognition study, and AUC.

Shape letters: N sketches, M drawings, D features, J kinds, S side, P photos, K sketches of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from utility_retrieval import RETRIEVAL, SketchTower, as_ink, augmented

from sketchforge.utils.seeding import derive_seed, numpy_generator

STRENGTHS = (1e-4, 1e-3, 1e-2)  # C · K
CNN_SIZE = RETRIEVAL.size  # S, pixels
CNN_STEPS = 150
CNN_BATCH = 32


@dataclass(frozen=True)
class Fitted:
    """Logistic regression: float64 (D,J) and (J,)."""

    weights: np.ndarray
    bias: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """float (M,D) -> float64 (M,J)."""
        logits = features @ self.weights + self.bias
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return exponentials / exponentials.sum(1, keepdims=True)


def fit_logistic(features: np.ndarray, labels: np.ndarray, c: float) -> Fitted:
    """Multinomial logistic regression; c: one over the weight of the squared norm, as in scikit-learn.

    labels: int (N,), 0 to J - 1, J at least 3, none missing.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=1000, tol=1e-4).fit(features, labels)
    return Fitted(model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64))


def logistic_answers(
    features: np.ndarray, labels: np.ndarray, num_sketches: int, asked: np.ndarray
) -> np.ndarray:
    """Probabilities for `asked`, float64 (M,J): the mean of the classifiers of all STRENGTHS.

    C is the strength divided by K, the sketches of a photo. None is chosen: by AUC strengths can be equal to the
    hundredth of a point whose accuracies are ten points apart.
    """
    fitted = (fit_logistic(features, labels, strength / num_sketches) for strength in STRENGTHS)
    return np.mean([classifier.probabilities(asked) for classifier in fitted], axis=0)


def mean_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The mean over kinds of the AUC of each against the rest; scores (M,J)."""
    kinds = range(scores.shape[1])
    return float(np.mean([auc(scores[labels == kind, kind], scores[labels != kind, kind]) for kind in kinds]))


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """How often a positive's score lies above a negative's; equal ones count half."""
    return float(wins(positive, negative).mean())


def wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """float64 (positives, negatives): 1 where the positive's score is higher, .5 where they are equal."""
    difference = positive[:, None].astype(float) - negative[None, :]
    return (np.sign(difference) + 1) / 2


def cross_validated(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, num_sketches: int
) -> np.ndarray:
    """As `logistic_answers`, each fold asked of classifiers that were trained on the others; (N,J)."""
    scores = np.zeros((len(labels), labels.max() + 1))
    for fold in np.unique(folds):
        others = folds != fold
        scores[~others] = logistic_answers(features[others], labels[others], num_sketches, features[~others])
    return scores


def folds_of(photos: Sequence[str], labels: np.ndarray, count: int) -> np.ndarray:
    """int (M,): a fold for every drawing; those of a photo are together, and every kind is in every fold."""
    folds = np.zeros(len(photos), int)
    for kind in np.unique(labels):
        numbers = {
            photo: number
            for number, photo in enumerate(sorted({photos[at] for at in np.flatnonzero(labels == kind)}))
        }
        for at in np.flatnonzero(labels == kind):
            folds[at] = numbers[photos[at]] % count
    return folds


def cnn_answers(
    sketches: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int, steps: int = CNN_STEPS
) -> np.ndarray:
    """Train a CNN from scratch and ask it: float64 (M,J).

    sketches: uint8 (P,K,S,S), 255 = paper, of photos with these labels (P,); asked: uint8 (M,S,S).
    """
    num_kinds = int(labels.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "recognition weights"))
        trunk = SketchTower(1).features
        network = nn.Sequential(trunk, nn.Dropout(RETRIEVAL.dropout), nn.LazyLinear(num_kinds))
        network(as_ink(asked[:1]))  # gives the last layer its shape
        optimiser = torch.optim.AdamW(network.parameters(), RETRIEVAL.rate, weight_decay=RETRIEVAL.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
        for step in range(steps):
            # The same photos, flips and moves for every set with as many photos: only the drawings differ.
            draw = numpy_generator(seed, "recognition batch", step)
            photos = draw.integers(0, len(sketches), CNN_BATCH)
            which = (draw.random(CNN_BATCH) * sketches.shape[1]).astype(int)
            flips = draw.random(CNN_BATCH) < 0.5
            batch = [
                augmented(sketches[photo, sketch], flip, draw, RETRIEVAL)
                for photo, sketch, flip in zip(photos, which, flips, strict=True)
            ]
            loss = F.cross_entropy(network(as_ink(batch)), torch.from_numpy(labels[photos]).long())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        logits = [network.eval()(part) for part in as_ink(asked).split(64)]
    return torch.cat(logits).double().softmax(1).numpy()

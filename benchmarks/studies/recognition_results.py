"""What recognition leaves, in files small enough to keep; and figures made of it, with their intervals.

Shape letters: S seeds, M drawings, P photos, J kinds, R resamples and, before them, the sample itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from recognition_classifier import wins
from scipy.stats import rankdata
from utility_results import Estimate, by_photo, resample

SEEDS = 5
RESULTS = Path(__file__).resolve().parent / "recognition"


@dataclass(frozen=True)
class Answers:
    """What a classifier says of each drawing. scores order drawings by how much they are of a kind, no more."""

    predicted: np.ndarray  # int (M,)
    scores: np.ndarray  # uint8 (M,J)

    @staticmethod
    def of(probabilities: np.ndarray) -> Answers:
        """probabilities: float (M,J). Ranks take one byte: of over 256 drawings, two neighbours may be equal."""
        ranks = rankdata(probabilities, method="average", axis=0) - 1
        most = max(len(probabilities) - 1, 1)
        return Answers(probabilities.argmax(1), np.rint(ranks * min(255 / most, 1)).astype(np.uint8))

    def to_json(self) -> dict[str, Any]:
        """One digit for each drawing, and two hexadecimal ones for each score."""
        digits = "".join(map(str, self.predicted.tolist()))
        return {"predicted": digits, "scores": self.scores.tobytes().hex()}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Answers:
        predicted = np.array([int(digit) for digit in stored["predicted"]])
        scores = np.frombuffer(bytes.fromhex(stored["scores"]), np.uint8)
        return Answers(predicted, scores.reshape(len(predicted), -1))


def result_file(results: Path, name: str, seed: int) -> Path:
    return results / f"{name}-{seed}.json"


def read_results(results: Path, name: str) -> dict[int, dict[str, Any]]:
    """What `run` has left of a set, by seed."""
    paths = {seed: result_file(results, name, seed) for seed in range(SEEDS)}
    return {seed: json.loads(path.read_text()) for seed, path in paths.items() if path.is_file()}


@dataclass(frozen=True)
class Question:
    """Drawings that are asked about, and who answers: numbers into all drawings, and into the answers."""

    task: str  # "three" or "four": kinds that the classifier knows
    at: np.ndarray  # int (M,), into the answers of that task
    labels: np.ndarray  # int (M,)
    photos: tuple[str, ...]  # of each drawing

    def answers(self, results: Sequence[Mapping[str, Any]], network: str) -> tuple[np.ndarray, np.ndarray]:
        """predicted (S,M) and scores (S,M,J) of results of several seeds."""
        found = [Answers.from_json(result[network][self.task]) for result in results]
        return np.stack([one.predicted[self.at] for one in found]), np.stack(
            [one.scores[self.at] for one in found]
        )

    def only(self, wanted: np.ndarray) -> Question:
        """The question about some of its drawings, bool (M,)."""
        photos = tuple(photo for photo, asked in zip(self.photos, wanted, strict=True) if asked)
        return Question(self.task, self.at[wanted], self.labels[wanted], photos)


@cache
def weights_of(num_seeds: int, num_photos: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of seeds (R,S) and photos (R,P); the first row is the sample itself."""
    shape = num_seeds, num_photos
    drawn = resample(shape)
    whole = (np.full((1, length), 1 / length) for length in shape)
    seeds, photos = (np.concatenate(pair) for pair in zip(whole, drawn, strict=True))
    return seeds, photos


def accuracies(predicted: np.ndarray, question: Question) -> np.ndarray:
    """(R,): the share of drawings that are recognised; predicted (S,M)."""
    correct = (predicted == question.labels).astype(float)
    return photo_means(correct, question)


def photo_means(values: np.ndarray, question: Question) -> np.ndarray:
    """(R,): the mean over seeds and photos of (S,M), which is a figure for each drawing."""
    photos = sorted(set(question.photos))
    means = by_photo(values, [_Asked(photo) for photo in question.photos], photos)
    seeds, weights = weights_of(*means.shape)
    return np.einsum("rs,sp,rp->r", seeds, means, weights, optimize=True)


@dataclass(frozen=True)
class _Asked:
    photo: str


def mean_aucs(scores: np.ndarray, question: Question, kinds: Sequence[int] | None = None) -> np.ndarray:
    """(R,): AUC of kinds against the rest, their mean; scores (S,M,J). kinds: all by default."""
    kinds = range(scores.shape[2]) if kinds is None else kinds
    return np.mean([aucs(scores[..., kind], question, kind) for kind in kinds], axis=0)


def aucs(scores: np.ndarray, question: Question, kind: int) -> np.ndarray:
    """(R,): AUC of one kind against the rest, scores (S,M); a photo that is drawn twice counts twice."""
    photos = sorted(set(question.photos))
    owner = (np.array(photos)[:, None] == np.array(question.photos)).astype(float)  # (P,M)
    is_kind = question.labels == kind
    seeds, weights = weights_of(len(scores), len(photos))
    of_kind, of_others = owner[:, is_kind], owner[:, ~is_kind]
    pairs = (weights @ of_kind.sum(1)) * (weights @ of_others.sum(1))
    total = np.zeros(len(weights))
    for seed, row in enumerate(scores):
        won = of_kind @ wins(row[is_kind], row[~is_kind]) @ of_others.T  # (P,P)
        total += seeds[:, seed] * ((weights @ won) * weights).sum(1)
    with np.errstate(invalid="ignore"):  # a resample without any photo of the kind has no AUC
        return total / pairs


def interval(figures: np.ndarray) -> Estimate:
    """(R,) -> the sample's own figure, and the middle 95 % of the others."""
    low, high = np.nanquantile(figures[1:], (0.025, 0.975))
    return Estimate(float(figures[0]), float(low), float(high))

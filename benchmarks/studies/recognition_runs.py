"""From a set's sketches to what classifiers say of people's drawings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from recognition_classifier import (
    CNN_SIZE,
    cnn_answers,
    cross_validated,
    folds_of,
    logistic_answers,
)
from recognition_data import (
    FOLDS,
    UNSEEN,
    Tested,
    kept_photos,
    labelled_photos,
    read_drawings,
    tested_drawings,
)
from recognition_features import NETWORKS, Scale, content_digest, describe
from recognition_results import Answers, Question
from recognition_retrieval import retrieved_ranks
from recognition_sets import SETS, Drawn, hands_digest, picked_squares, sketches_for
from utility_data import gallery
from utility_retrieval import kept_array

from sketchforge.images.decode import read_image
from sketchforge.images.resize import fit_square

PEOPLE = "people"  # the set that gives the ceiling


@dataclass(frozen=True)
class Described:
    """Features of one network, scaled: of people's drawings, float32 (M,D); and how sketches' are scaled."""

    drawings: np.ndarray
    scale: Scale


@cache
def described_drawings(network: str, data: Path, work: Path) -> Described:
    tested = tested_drawings(data)
    features = describe(network, prepared_drawings(NETWORKS[network].size, data, work), data, work)
    scale = Scale.of(features[tested.tuning])
    return Described(scale(features), scale)


def prepared_drawings(size: int, data: Path, work: Path) -> np.ndarray:
    """uint8 (M,size,size)."""
    drawings = tested_drawings(data).drawings
    return kept_array(work / f"drawings-{size}.npy", lambda: read_drawings(data, drawings, size))


def developed(network: str, parts: Sequence[Drawn], kinds: np.ndarray, data: Path, work: Path) -> np.ndarray:
    """Probabilities (M,3) of sketches' classifier, whose photos show `kinds`, (P,).

    Only the kinds that are tuned on take part; asked are the drawings that may be looked at.
    """
    tested, described = tested_drawings(data), described_drawings(network, data, work)
    features, seen = sketch_features(network, parts, described, data, work), kinds != UNSEEN
    return answers_of(features[seen], kinds[seen], described.drawings[tested.tuning], tested)


def sketch_features(
    network: str, parts: Sequence[Drawn], described: Described, data: Path, work: Path
) -> np.ndarray:
    """float32 (P,K,D), scaled."""
    found = []
    for part in parts:
        count = part.squares.shape[:2]
        features = describe(network, part.squares.reshape(-1, *part.squares.shape[2:]), data, work)
        found.append(part.pick(described.scale(features).reshape(*count, -1)))
    return np.concatenate(found, axis=1)


def answers_of(features: np.ndarray, kinds: np.ndarray, asked: np.ndarray, tested: Tested) -> np.ndarray:
    """Probabilities for features `asked` (M,D), of a classifier of sketches' (P,K,D) whose photos show `kinds`."""
    count = features.shape[1]
    labels = labels_of(kinds, tested).repeat(count)
    return logistic_answers(features.reshape(-1, features.shape[2]), labels, count, asked)


def labels_of(kinds: Sequence[str] | np.ndarray, tested: Tested) -> np.ndarray:
    return np.array([tested.kinds.index(kind) for kind in kinds])


def recognition(name: str, seed: int, data: Path, work: Path, hands: str = "builtin") -> dict[str, Any]:
    """Everything that is asked of a set with one seed, as a result file holds it; both halves."""
    tested = tested_drawings(data)
    result: dict[str, Any] = {"set": name, "seed": seed, "sketches": SETS[name].num_sketches}
    if SETS[name].has_hands:
        result["hands"] = hands_digest(hands)
    photos = kept_photos(labelled_photos(data), seed)
    for network, describer in NETWORKS.items():
        parts, kinds = sketches_for(name, seed, describer.size, data, work, hands)
        described = described_drawings(network, data, work)
        features = sketch_features(network, parts, described, data, work)
        seen = kinds != UNSEEN
        three = answers_of(features[seen], kinds[seen], described.drawings[tested.tuning], tested)
        four = answers_of(features, kinds, described.drawings, tested)
        searched = gallery(tested.drawings)
        coloured = [
            described.scale(photo_features(network, tuple(found), data, work)) for found in (photos, searched)
        ]
        true = [searched.index(photo) for photo in tested.photos]
        ranks = retrieved_ranks(features, coloured[0], described.drawings, coloured[1], true, seed)
        result[network] = {
            "three": Answers.of(three).to_json(),
            "four": Answers.of(four).to_json(),
            "ranks": " ".join(map(str, ranks)),
        }
    parts, kinds = sketches_for(name, seed, CNN_SIZE, data, work, hands)
    squares = picked_squares(parts)
    result |= {"photos": len(squares), "content": content_digest(squares)}
    asked = prepared_drawings(CNN_SIZE, data, work)
    seen, labels = kinds != UNSEEN, labels_of(kinds, tested)
    three = cnn_answers(squares[seen], labels[seen], asked[tested.tuning], seed)
    four = cnn_answers(squares, labels, asked, seed)
    return result | {"cnn": {"three": Answers.of(three).to_json(), "four": Answers.of(four).to_json()}}


@lru_cache(maxsize=16)
def photo_features(network: str, photos: tuple[Path | str, ...], data: Path, work: Path) -> np.ndarray:
    """float32 (P,D), of photos in colour; paths relative to DATA, or whole."""
    size = NETWORKS[network].size
    squares = np.stack([fit_square(read_image(data / photo), size, "crop") for photo in photos])
    return describe(network, squares, data, work)


def ceiling(data: Path, work: Path) -> dict[str, Any]:
    """As `recognition`, trained on people's drawings for development: asked of each other, and of the test half."""
    tested = tested_drawings(data)
    tuning, halves = tested.tuning, tested.is_development
    folds = folds_of([tested.photos[at] for at in tuning], tested.labels[tuning], FOLDS)
    result: dict[str, Any] = {"set": PEOPLE, "seed": 0, "sketches": 2, "photos": int(halves.sum()) // 2}
    for network in NETWORKS:
        features = described_drawings(network, data, work).drawings
        three = cross_validated(features[tuning], tested.labels[tuning], folds, 2)
        four = logistic_answers(features[halves], tested.labels[halves], 2, features)
        result[network] = {"three": Answers.of(three).to_json(), "four": Answers.of(four).to_json()}
    squares = prepared_drawings(CNN_SIZE, data, work)
    three = np.zeros((len(tuning), tested.labels[tuning].max() + 1))
    for fold in range(FOLDS):
        others = tuning[folds != fold]
        asked = squares[tuning[folds == fold]]
        three[folds == fold] = cnn_answers(squares[others][:, None], tested.labels[others], asked, fold)
    four = cnn_answers(squares[halves][:, None], tested.labels[halves], squares, 0)
    return result | {"cnn": {"three": Answers.of(three).to_json(), "four": Answers.of(four).to_json()}}


def tuning_question(data: Path) -> Question:
    """The drawings that may be looked at before the end."""
    tested = tested_drawings(data)
    at = tested.tuning
    return Question("three", np.arange(len(at)), tested.labels[at], tuple(tested.photos[one] for one in at))


def test_question(data: Path) -> Question:
    tested = tested_drawings(data)
    return _four(tested, ~tested.is_development)


def unseen_question(data: Path) -> Question:
    """All drawings of the unseen kind, and the test half's others."""
    tested = tested_drawings(data)
    return _four(tested, tested.is_unseen | ~tested.is_development)


def _four(tested: Tested, asked: np.ndarray) -> Question:
    at = np.flatnonzero(asked)
    return Question("four", at, tested.labels[at], tuple(tested.photos[one] for one in at))

"""The tables of the recognition study, made of its result files alone and the list of drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recognition_data import FOLDS, UNSEEN, tested_drawings
from recognition_features import NETWORKS
from recognition_results import (
    Question,
    accuracies,
    interval,
    mean_aucs,
    photo_means,
    read_results,
)
from recognition_runs import PEOPLE, test_question, tuning_question, unseen_question
from recognition_sets import FIRST, OURS, SETS
from utility_tables import percent, print_rows

from sketchforge.errors import UsageError

CLASSIFIERS = {**{name: network.title for name, network in NETWORKS.items()}, "cnn": "CNN"}
Results = Mapping[int, Mapping[str, Any]]  # by seed


def print_tables(data: Path, results: Path, is_final: bool) -> None:
    """The tables for development; where they are final, those of the test half instead."""
    found = {name: read_results(results, name) for name in (*SETS, PEOPLE)}
    found = {name: by_seed for name, by_seed in found.items() if by_seed}
    if not found:
        raise UsageError(f"{results}: no results; run `recognition.py run` first")
    print(describe_results(found))
    question = test_question(data) if is_final else tuning_question(data)
    half = "test half, four kinds" if is_final else "drawings for development, three kinds"
    for classifier, title in CLASSIFIERS.items():
        print(f"\n{title}, {half}: {len(question.at)} drawings of {len(set(question.photos))} photos\n")
        print_rows(*recognition_table(found, question, classifier))
    for network, describer in NETWORKS.items():
        print(f"\nRetrieval, {describer.title}, {half.split(',')[0]}\n")
        print_rows(*retrieval_table(found, question, network, data))
    if is_final:
        question = unseen_question(data)
        print(f"\nThe unseen kind, {UNSEEN}\n")
        print_rows(*unseen_table(found, question, data))


def describe_results(found: Mapping[str, Results]) -> str:
    """Which seeds there are, and whether all hands are the same."""
    seeds = ", ".join(
        f"{len(by_seed)} of {name}"
        for name, by_seed in found.items()
        if name != PEOPLE and len(by_seed) < FOLDS
    )
    hands = {
        result["hands"] for by_seed in found.values() for result in by_seed.values() if "hands" in result
    }
    lines = [f"{FOLDS} seeds" + (f", but {seeds}" if seeds else "")]
    lines += (
        [f"hands {', '.join(sorted(hands))}" + (": NOT THE SAME" if len(hands) > 1 else "")] if hands else []
    )
    return "; ".join(lines)


def recognition_table(
    found: Mapping[str, Results], question: Question, classifier: str
) -> tuple[list[str], list[list[str]]]:
    others = [name for name in (OURS, FIRST) if name in found]
    heads = ["trained on", "sketches", "accuracy", "AUC"]
    heads += [f"beyond {SETS[name].title}{what}" for name in others for what in ("", ", AUC")]
    rows = []
    for name, by_seed in found.items():
        figures = recognised(by_seed, question, classifier, sorted(by_seed))
        row = [title_of(name), str(next(iter(by_seed.values()))["sketches"])]
        row += [percent(interval(figure)) for figure in figures]
        for other in others:
            common = sorted(set(by_seed) & set(found[other]))
            if other == name or name == PEOPLE or not common:
                row += ["", ""]
                continue
            pairs = zip(
                recognised(by_seed, question, classifier, common),
                recognised(found[other], question, classifier, common),
                strict=True,
            )
            row += [percent(interval(ours - theirs), "+") for ours, theirs in pairs]
        rows.append(row)
    return heads, rows


def recognised(
    by_seed: Results, question: Question, classifier: str, seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and AUC of these seeds, (R,) each."""
    predicted, scores = question.answers([by_seed[seed] for seed in seeds], classifier)
    return accuracies(predicted, question), mean_aucs(scores, question)


def retrieval_table(
    found: Mapping[str, Results], question: Question, network: str, data: Path
) -> tuple[list[str], list[list[str]]]:
    """Recall in percent; the results hold ranks of all drawings."""
    at = tested_drawings(data).tuning[question.at] if question.task == "three" else question.at
    rows = []
    for name, by_seed in found.items():
        if name != PEOPLE:
            ranks = np.array([by_seed[seed][network]["ranks"].split() for seed in sorted(by_seed)], int)[
                :, at
            ]
            recalls = (photo_means((ranks <= k).astype(float), question) for k in (1, 10))
            rows.append([title_of(name), *(percent(interval(recall)) for recall in recalls)])
    return ["trained on", "recall@1", "recall@10"], rows


def unseen_table(
    found: Mapping[str, Results], question: Question, data: Path
) -> tuple[list[str], list[list[str]]]:
    """Every classifier's AUC of the unseen kind against the others, and how many of it are recognised.

    People's drawings for development hold some of those asked about: they have no row.
    """
    kind = tested_drawings(data).kinds.index(UNSEEN)
    rows = []
    for name, by_seed in found.items():
        if name == PEOPLE:
            continue
        row = [title_of(name)]
        for classifier in CLASSIFIERS:
            results = [by_seed[seed] for seed in sorted(by_seed)]
            predicted, scores = question.answers(results, classifier)
            is_kind = question.labels == kind
            row += [
                percent(interval(mean_aucs(scores, question, [kind]))),
                percent(interval(accuracies(predicted[:, is_kind], question.only(is_kind)))),
            ]
        rows.append(row)
    heads = [f"{title}: {what}" for title in CLASSIFIERS.values() for what in ("AUC", "recognised")]
    return ["trained on", *heads], rows


def title_of(name: str) -> str:
    return "people's drawings (the ceiling)" if name == PEOPLE else SETS[name].title

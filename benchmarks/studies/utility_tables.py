"""The tables of the utility study, as docs/utility.md has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from utility_autoencoder import AE_STEPS
from utility_data import Drawing, development, gallery, people
from utility_images import intervals_svg
from utility_results import Estimate, by_photo, estimate, recalls, results_of, retrieved, right_kind
from utility_retrieval import (
    RETRIEVAL,
    RetrievalRecipe,
    cached_features,
    ranks,
    similarities,
    train_retrieval,
)
from utility_sets import FIRST, SETS, methods_at_hand, sketches_in, sketches_of

from sketchforge.options import RenderOptions
from sketchforge.render.render import render


def table(data: Path, work: Path, steps: int = RETRIEVAL.steps) -> None:
    drawings = people(data)
    photos = gallery(drawings)
    found = retrieved(work, steps)
    seen = development(photos)
    test = [photo for photo in photos if photo not in seen]
    counts = len(found[FIRST]), found[FIRST][0]["photos"], len(photos), len(test)
    print(
        f"{steps} steps, "
        + "{} seeds, {} photos trained on, {} searched for people's drawings of {}\n".format(*counts)
    )
    first = recalls(found[FIRST], "as they are", 10, drawings, test)
    rows, bars = [], {}
    for name, results in found.items():
        title = SETS[name].title
        at = {k: recalls(results, "as they are", k, drawings, test) for k in (1, 10)}
        other = recalls(results, "normalised", 10, drawings, test)
        before = recalls(results, "as they are", 10, drawings, sorted(seen))
        bars[title] = estimate(at[10])
        beyond = "" if name == FIRST else percent(estimate(at[10] - first), "+")
        rows.append(
            [title, str(SETS[name].num_sketches), percent(estimate(at[1])), percent(bars[title]), beyond]
        )
        kind = percent(estimate(right_kind(results, drawings, photos, test)))
        rows[-1] += [kind, percent(estimate(other)), f"{100 * before.mean():.1f}"]
    once, ten = (min(1.0, k / len(photos)) for k in (1, 10))
    sizes = Counter(Path(photo).parent for photo in photos)
    kind = sum(sizes[Path(photo).parent] for photo in test) / len(test) / len(photos)
    rows.append(["chance", "", *(f"{100 * share:.1f}" for share in (once, ten)), ""])
    rows[-1] += [f"{100 * share:.1f}" for share in (kind, ten, ten)]
    heads = ["trained on", "sketches", "recall@1", "recall@10", "beyond TOM × 10", "right animal first"]
    print_rows([*heads, "normalised: recall@10", "development: recall@10"], rows)
    title = "Recall@10 of the photo that a drawing was made from"
    (work / f"retrieval-{steps}.svg").write_text(intervals_svg(bars, ten, title), encoding="utf-8")
    kinds_table(found, drawings, test)
    ae_table(work, drawings, test)


def kinds_table(found: dict[str, list[dict[str, Any]]], drawings: list[Drawing], test: list[str]) -> None:
    """Recall@10 by what the photos show."""
    of_kind: dict[str, list[str]] = {}
    for photo in test:
        of_kind.setdefault(Path(photo).parent.name, []).append(photo)
    rows = []
    for name, results in found.items():
        shares = [recalls(results, "as they are", 10, drawings, photos) for photos in of_kind.values()]
        rows.append([SETS[name].title, *(percent(estimate(share)) for share in shares)])
    print()
    print_rows(["recall@10", *(f"{kind} ({len(photos)})" for kind, photos in of_kind.items())], rows)


def ae_table(work: Path, drawings: list[Drawing], test: list[str]) -> None:
    found = results_of(work, "ae", AE_STEPS)
    if FIRST not in found:
        return

    def distances(name: str, how: str) -> np.ndarray:
        return by_photo(np.array([one[how] for one in found[name]]), drawings, test)

    told = {name: distances(name, "mismatched") - distances(name, "matched") for name in found}
    rows = []
    for name in found:
        matched = distances(name, "matched")
        beyond = ["", ""]
        if name != FIRST:
            others = matched - distances(FIRST, "matched"), told[name] - told[FIRST]
            beyond = [percent(estimate(other), "+", 2) for other in others]
        figures = percent(estimate(matched), "", 2), percent(estimate(told[name]), "", 2)
        rows.append([SETS[name].title, figures[0], beyond[0], figures[1], beyond[1]])
    print(f"\n{AE_STEPS} steps, {len(found[FIRST])} seeds\n")
    heads = [
        "trained on",
        "LPIPS × 100",
        "beyond TOM × 10",
        "more with another photo's drawing",
        "beyond TOM × 10",
    ]
    print_rows(heads, rows)


def machines(data: Path, work: Path, recipe: RetrievalRecipe = RETRIEVAL) -> None:
    """Search with TOM's and Canny's drawings of the tested photos: as far as networks get without people."""
    photos = gallery(people(data))
    test = [at for at, photo in enumerate(photos) if photo not in development(photos)]
    listed = work / "tested.txt"
    listed.write_text("\n".join(str(data / photo) for photo in photos) + "\n")
    given = {}
    for name in ("tom", "canny"):
        drawn = methods_at_hand(data)[name] | ({"checkpoints": 1} if name == "tom" else {})
        render(RenderOptions(work / "tested" / name, str(listed), workers=1, threads=1, **drawn))
        given[name] = sketches_in(work / "tested" / name, 1, recipe.size)[:, 0]
    described = cached_features(data, work, recipe.cells)
    rows = []
    for name in (FIRST, "tom1", "canny"):
        sketches = sketches_of(work, name, recipe.size)
        towers = train_retrieval(sketches, described["train"], 0, recipe)
        found = [
            ranks(similarities(towers, one, described["test"][:, 0]), range(len(photos)))
            for one in given.values()
        ]
        shares = [np.mean([one[at] <= k for at in test]) for one in found for k in (1, 10)]
        rows.append([SETS[name].title, *(f"{100 * share:.1f}" for share in shares)])
    print_rows(
        ["trained on", *(f"{title}: recall@{k}" for title in ("TOM × 1", "Canny") for k in (1, 10))], rows
    )


def print_rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for cells in (heads, ["---"] * len(heads), *rows):
        print("| " + " | ".join(cells) + " |")


def percent(found: Estimate, sign: str = "", digits: int = 1) -> str:
    value, low, high = (f"{100 * number:{sign}.{digits}f}" for number in (found.value, found.low, found.high))
    return f"{value} [{low} {high}]"

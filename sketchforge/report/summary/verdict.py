"""The verdict of a report: a few sentences that follow from its figures by rule.

Two figures are told apart only where their 95 % intervals do not overlap: nothing is called better or worse on less.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sketchforge.images.sketch_quality import BLANK
from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.images.result import BETTER, ENOUGH
from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY, Row, SketchEvaluation
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.held_out import HELD_OUT, SEEN
from sketchforge.utils.text import count_noun, join_words

MEASURED, GOOD, WEAK, CARE, NEXT = "measured", "good", "weak", "care", "next"
# Figures that a model should have beyond chance; of the others chance says nothing about how good they are.
BEYOND_CHANCE = ("sr_colour", "sr_texture", "sr", "skt_rec", "skt_rec_relative", "sty_rec")
MOST_NAMES = 3  # that a sentence lists; of more it gives the number


class Remark(NamedTuple):
    """A sentence, and whether it says what was measured, is good, is weak, needs care, or comes next."""

    kind: str
    text: str


def verdict(report: Report) -> list[Remark]:
    """Two to five sentences, in the order of their kinds; equal reports give equal ones."""
    if not report.sketches and not report.models:
        text = "Nothing: there are no finished shards of sketches here, and no finished trainings."
        return [Remark(MEASURED, text), Remark(NEXT, _name_next_steps(report))]
    good, weak = _compare(report)
    if not good and not weak:
        weak = [_describe_want_of_comparison(report)]
    remarks = [
        (MEASURED, _describe_measured(report)),
        (GOOD, _join_clauses(good)),
        (WEAK, _join_clauses(weak)),
        (CARE, _describe_care(report)),
        (NEXT, _name_next_steps(report)),
    ]
    return [Remark(kind, text) for kind, text in remarks if text]


def is_better(figure: Estimate, other: Estimate, lower_is_better: bool) -> bool | None:
    """Whether one figure is better than another; None where their intervals overlap, or one has none."""
    if None in (figure.low, figure.high, other.low, other.high):
        return None
    assert figure.low is not None and figure.high is not None  # for mypy
    assert other.low is not None and other.high is not None
    if figure.high < other.low:
        return lower_is_better
    return not lower_is_better if figure.low > other.high else None


def _compare(report: Report) -> tuple[list[str], list[str]]:
    """What is good and what is weak, in clauses, of sketches and then of models."""
    good: list[str] = []
    weak: list[str] = []
    for evaluation in report.sketches:
        for clauses, more in zip((good, weak), _compare_sketches(evaluation), strict=True):
            clauses += more
    beyond, level, below = _compare_with_chance(report.models)
    good += _list_by_model(beyond, "{0} {1} beyond chance in {2}")
    weak += _list_by_model(below, "{0} {1} worse than chance in {2}")
    weak += _list_by_model(level, "{0} {1} not told apart from chance in {2}")
    if names := [model.name for model in report.models if _has_lattice(model)]:
        weak.append(
            f"{_name_some(names, 'model')} {_have(names)} more of a lattice than the images themselves"
        )
    return good, weak


def _compare_sketches(evaluation: SketchEvaluation) -> tuple[list[str], list[str]]:
    """Styles beside people: their lines, and what styles of one folder share."""
    good: list[str] = []
    weak: list[str] = []
    people = next(iter(evaluation.of_kind("people")), None)
    reference = next(iter(evaluation.of_kind("reference")), None)
    styles = [row for row in evaluation.of_kind("style") if not row.is_marked]
    above, level, below = _split(styles, people, CONTENT, "f_ods", lower_is_better=False)
    if above or level:
        names = _name_some([*above, *level], "style")
        good.append(
            f"{names} {_agree([*above, *level])} with people's boundaries no less than people do (F, ODS)"
        )
    if below:
        names = _name_some(below, "style")
        weak.append(f"{names} {_agree(below)} with people's boundaries less than people do (F, ODS)")
    above, level, below = _split(styles, reference, REALISM, "auc", lower_is_better=True)
    if above or level:
        names = _name_some([*above, *level], "style")
        good.append(f"the lines of {names} cannot be told from people's (AUC at its floor)")
    if below:
        weak.append(
            f"the lines of {_name_some(below, 'style')} can be told from people's (AUC above its floor)"
        )
    pairs = next(iter(evaluation.of_kind("pairs")), None)
    above, level, below = _split(evaluation.of_kind("folder"), pairs, VARIETY, "shared", lower_is_better=True)
    if above or level:
        names = join_words([*above, *level])
        good.append(f"two sketches of an image in {names} share no more lines than two people's drawings")
    if below:
        weak.append(
            f"two sketches of an image in {join_words(below)} share more lines than two people's drawings"
        )
    blank = [row.name for row in styles if (ink := row.figure(STROKES, "ink")) and ink.value < BLANK]
    if blank:
        weak.append(f"most sketches of {_name_some(blank, 'style')} are blank")
    return good, weak


def _split(
    rows: Sequence[Row], baseline: Row | None, block: str, name: str, lower_is_better: bool
) -> tuple[list[str], list[str], list[str]]:
    """Names of the rows that are better than the baseline, not told apart from it, and worse."""
    better: list[str] = []
    level: list[str] = []
    worse: list[str] = []
    other = baseline.figure(block, name) if baseline else None
    for row in rows if other else ():
        figure = row.figure(block, name)
        if figure is None or figure.low is None or other is None or other.low is None:
            continue
        found = is_better(figure, other, lower_is_better)
        (level if found is None else better if found else worse).append(row.name)
    return better, level, worse


ByModel = dict[str, list[str]]  # name of a model -> titles of figures


def _compare_with_chance(models: Sequence[ModelFindings]) -> tuple[ByModel, ByModel, ByModel]:
    """Figures that are beyond chance, not told apart from it, and worse."""
    beyond: ByModel = {}
    level: ByModel = {}
    below: ByModel = {}
    for model in models:
        for name, title, figure, other in _list_with_chance(model):
            if name in BEYOND_CHANCE and figure.low is not None and other.low is not None:
                found = is_better(figure, other, BETTER[name] == "lower")
                group = level if found is None else beyond if found else below
                group.setdefault(model.name, []).append(title)
    return beyond, level, below


def _list_with_chance(model: ModelFindings) -> Iterator[tuple[str, str, Estimate, Estimate]]:
    """Yield (name, title, figure, chance's) of every figure that chance has, too."""
    chance = {
        row.titles[name]: figure for row in model.rows(chance=True) for name, figure in row.figures.items()
    }
    for row in model.rows():
        for name, figure in row.figures.items():
            if (title := row.titles[name]) in chance:
                yield name, title, figure, chance[title]


def _has_lattice(model: ModelFindings) -> bool:
    return any(
        name == "lattice" and is_better(figure, other, lower_is_better=True) is False
        for name, _, figure, other in _list_with_chance(model)
    )


def _list_by_model(found: Mapping[str, Sequence[str]], clause: str) -> list[str]:
    """A clause for all models that have the same figures; of more than MOST_NAMES clauses, their number."""
    models: dict[tuple[str, ...], list[str]] = {}
    for name, titles in found.items():
        models.setdefault(tuple(dict.fromkeys(titles)), []).append(name)
    clauses = [
        clause.format(
            _name_some(names, "model"), "is" if len(names) == 1 else "are", _name_some(titles, "figure")
        )
        for titles, names in models.items()
    ]
    return clauses if len(clauses) <= MOST_NAMES else [
        clause.format(count_noun(len(found), "model"), "are", "some figures (see Every figure)")
    ]  # fmt: skip


def _describe_want_of_comparison(report: Report) -> str:
    """Why nothing is called good or weak."""
    if report.models:
        has_chance = any(
            name in BEYOND_CHANCE for model in report.models for name, *_ in _list_with_chance(model)
        )
        return (
            "too few images for intervals, so that nothing is told apart from chance"
            if has_chance
            else "nothing was measured that chance has, too (see What is missing)"
        )
    if any(evaluation.drawings or evaluation.options.boundaries for evaluation in report.sketches):
        return "nothing is told apart from people's"
    return (
        "nothing says yet how good the lines are, for there was nothing of people's to compare them with: "
        "neither boundaries (--boundaries) nor drawings (--drawings)"
    )


def _describe_measured(report: Report) -> str:
    clauses = []
    for evaluation in report.sketches:
        for sketch_input in evaluation.shards:
            folder = sketch_input.shards
            styles = count_noun(len(sketch_input.styles), "style")
            images = f"{len(sketch_input.chosen):,} of {count_noun(len(folder.keys), 'image')}"
            score = _describe_variety(evaluation, str(sketch_input.path))
            clauses.append(f"{styles} in {folder.name}, on {images}{score}")
    groups: dict[tuple[str, str], list[str]] = {}
    for model in report.models:
        groups.setdefault((_count_pairs(model), model.evaluation_set.description), []).append(model.name)
    for (pairs, description), names in groups.items():
        each = "" if len(names) == 1 else " each"
        clauses.append(f"{_name_some(names, 'model')}, on {pairs} of sketch and style{each} ({description})")
    if len(clauses) > 2 * MOST_NAMES:
        folders = sum(len(evaluation.shards) for evaluation in report.sketches)
        counts = [(folders, "folder of sketches", "folders of sketches"), (len(report.models), "model", None)]
        clauses = [count_noun(*count) for count in counts if count[0]]
    return _join_clauses(clauses)


def _describe_variety(evaluation: SketchEvaluation, source: str) -> str:
    for row in evaluation.of_kind("folder"):
        score = row.figure(VARIETY, "vendi")
        if row.source == source and score and score.low is not None and score.high is not None:
            interval = f"{score.low:.1f} to {score.high:.1f}"
            return f", which in pen and ink count as {score.value:.1f} ({interval}) wholly different ones"
    return ""


def _count_pairs(model: ModelFindings) -> str:
    counts = [row.count for row in model.rows() if row.pairs == "mismatched"]
    return count_noun(max(counts, default=0), "mismatched pair")


def _describe_care(report: Report) -> str:
    seen = [model.name for model in report.models if model.evaluation_set.images == SEEN]
    unknown = [model.name for model in report.models if model.evaluation_set.images not in (HELD_OUT, SEEN)]
    if seen:
        return f"{_name_some(seen, 'model')} {_have(seen)} seen these images in training: on others figures are worse."
    if unknown:
        return f"Whether {_name_some(unknown, 'model')} {_have(unknown)} seen these images in training is not known."
    few = [model.name for model in report.models if model.evaluation.reference["count"] < ENOUGH]
    if few and any(model.figures("frechet") for model in report.models):
        return (
            f"Fréchet distances of fewer than {ENOUGH:,} images depend on their number: compare them within this "
            "report only."
        )
    return ""


def _name_next_steps(report: Report) -> str:
    """What would add most: one thing, or two."""
    return _join_clauses(list(_list_next_steps(report))[:2], "; then ")


def _list_next_steps(report: Report) -> Iterator[str]:
    """Yield what there is to do, what adds most first."""
    damaged = [gap.row for gap in report.gaps if gap.row and gap.block in ("sketches", "images")]
    if damaged:
        yield f"see to {_name_some(list(dict.fromkeys(damaged)), 'folder')}, which could not be measured"
    if not report.sketches:
        yield "`sketchforge render --shards out/` draws the photos that come along, `--images DIR` your own"
    elif not report.models:
        yield f"`sketchforge ae-train --shards {_find_training_shards(report)}` trains a model on these sketches"
    if any(model.evaluation_set.images != HELD_OUT for model in report.models):
        yield "render images that no model has seen, and name them as --held-out"
    _, level, below = _compare_with_chance(report.models)
    if names := [model.name for model in report.models if model.name in level | below]:
        yield f"train {_name_some(names, 'model')} for longer: the same command with more --steps goes on"
    autoencoders = [model for model in report.models if model.run.command == "ae-train"]
    if autoencoders and all(model.run.command != "gan-train" for model in report.models):
        run = shlex.quote(str(autoencoders[0].run.folder))
        yield f"`sketchforge gan-train --shards {_find_training_shards(report)} --ae {run}` refines its images"
    if report.sketches and not report.options.drawings:
        yield "--drawings DIR compares the sketches with people's"
    if any("inception" in gap.reason for gap in report.gaps):
        yield "--features inception=FILE measures FID"


def _find_training_shards(report: Report) -> str:
    """The folder that trainings are for: the first of TOM's, else the first."""
    folders = [source.shards for evaluation in report.sketches for source in evaluation.shards]
    folders.sort(key=lambda folder: folder.method != "tom")  # stable
    return shlex.quote(str(folders[0].path)) if folders else "out/"


def _join_clauses(clauses: Sequence[str], joint: str = "; ") -> str:
    """One sentence of clauses: its first letter is a capital where the clause begins with a word of ours."""
    text = joint.join(clauses)
    if not text:
        return ""
    first = text.split(" ", 1)[0]
    if first in ("the", "two", "most", "nothing", "too", "see", "render", "train"):
        text = text[0].upper() + text[1:]
    return f"{text}."


def _name_some(names: Sequence[str], noun: str) -> str:
    """The names, or how many there are where these are more than MOST_NAMES."""
    return join_words(names) if len(names) <= MOST_NAMES else count_noun(len(names), noun)


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _agree(names: Sequence[str]) -> str:
    return "agrees" if len(names) == 1 else "agree"

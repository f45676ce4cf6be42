"""The verdict of a report: nothing is called better or worse than its intervals allow."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sketchforge.metrics.estimates import Estimate, MissingMetric
from sketchforge.metrics.images.result import CHANCE, ImageEvaluation, ImageRow
from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY, Row, SketchEvaluation
from sketchforge.options import EvalReportOptions
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.held_out import HELD_OUT, SEEN, UNKNOWN
from sketchforge.report.summary.verdict import CARE, GOOD, MEASURED, NEXT, WEAK, is_better, verdict


def estimate(low: float, high: float, images: int = 9) -> Estimate:
    return Estimate((low + high) / 2, low, high, images)


def image_row(name: str, kind: str, low: float, high: float) -> ImageRow:
    titles = {kind: kind.upper()}
    return ImageRow(name, "s", "mismatched", 30, "f", "w", "p", {kind: estimate(low, high)}, titles)


def model(name: str, *rows: ImageRow, images: str = HELD_OUT, command: str = "ae-train") -> ModelFindings:
    evaluation = ImageEvaluation("images", {}, {"count": 30}, ({"size": 64},), rows, (), (), {})
    run = SimpleNamespace(command=command, folder=Path("runs", name), record={})
    evaluation_set = SimpleNamespace(images=images, description=f"out, {images}", folder=None)
    return ModelFindings(name, run, evaluation_set, evaluation, None, None)


def sketches(*rows: Row, **options) -> SketchEvaluation:
    folder = SimpleNamespace(name="out", path=Path("out"), keys=range(50), method="tom")
    source = SimpleNamespace(path=Path("out"), shards=folder, chosen=range(20), styles=("a", "b"))
    asked = SimpleNamespace(boundaries=options.get("boundaries"))
    return SketchEvaluation(asked, rows, (), "", {}, (source,), ({},), options.get("drawings", ()))


def row(kind: str, name: str, block: str, figure: str, low: float, high: float) -> Row:
    return Row(kind, name, "out", 20, {block: {figure: estimate(low, high)}})


def report(*, models=(), evaluations=(), gaps=(), **options) -> Report:
    asked = EvalReportOptions(**options)
    return Report(asked, tuple(evaluations), tuple(models), (), tuple(gaps), (), (), {}, {})


def found(**content) -> dict[str, str]:
    remarks = verdict(report(**content))
    assert 2 <= len(remarks) <= 5
    assert all(remark.text.endswith(".") for remark in remarks)
    kinds = [remark.kind for remark in remarks]
    assert kinds == sorted(kinds, key=[MEASURED, GOOD, WEAK, CARE, NEXT].index)
    assert len(set(kinds)) == len(kinds)
    return dict(remarks)


@pytest.mark.parametrize(
    ("own", "other", "lower_is_better", "answer"),
    [
        ((1, 2), (3, 4), True, True),
        ((1, 2), (3, 4), False, False),
        ((3, 4), (1, 2), False, True),
        ((3, 4), (1, 2), True, False),
        ((1, 3), (2, 4), True, None),
        ((1, 2), (2, 3), True, None),  # they touch
    ],
)
def test_figures_are_apart_only_where_their_intervals_are(own, other, lower_is_better, answer):
    assert is_better(estimate(*own), estimate(*other), lower_is_better) is answer
    bare = Estimate(100, None, None, 1)
    assert is_better(bare, estimate(*other), lower_is_better) is None
    assert is_better(estimate(*own), bare, lower_is_better) is None


def test_of_nothing_it_says_so_and_what_to_do():
    remarks = found()
    assert set(remarks) == {MEASURED, NEXT}
    assert "`sketchforge render --shards out/`" in remarks[NEXT]


def test_models_stand_beside_chance():
    chance = [image_row(CHANCE, "sr", 0.4, 0.5), image_row(CHANCE, "skt_rec", 0.2, 0.3)]
    beyond = model("a", image_row("a", "sr", 0.6, 0.7), image_row("a", "skt_rec", 0.1, 0.15), *chance)
    level = model("b", image_row("b", "sr", 0.45, 0.7), image_row("b", "skt_rec", 0.4, 0.5), *chance)
    remarks = found(models=[beyond, level])
    assert remarks[GOOD] == "a is beyond chance in SR and SKT_REC."
    assert remarks[WEAK] == "b is worse than chance in SKT_REC; b is not told apart from chance in SR."
    assert "train b for longer" in remarks[NEXT]
    assert (
        "a and b, on 30 mismatched pairs of sketch and style each (out, images held out)" in remarks[MEASURED]
    )


def test_figures_whose_chance_says_nothing_about_quality_are_left_out():
    lattice = [image_row("a", "lattice", 0.1, 0.2), image_row(CHANCE, "lattice", 0.1, 0.2)]
    assert GOOD not in found(models=[model("a", *lattice)])
    worse = [image_row("a", "lattice", 0.5, 0.6), image_row(CHANCE, "lattice", 0.1, 0.2)]
    assert "a has more of a lattice than the images themselves" in found(models=[model("a", *worse)])[WEAK]


def test_many_models_are_counted_not_listed():
    many = [
        model(f"m{number}", image_row("m", f"sr{'_colour' * (number % 2)}", 0.6, 0.7 + number), *chance)
        for number in range(5)
        for chance in [[image_row(CHANCE, "sr", 0.1, 0.2), image_row(CHANCE, "sr_colour", 0.1, 0.2)]]
    ]
    assert (
        found(models=many)[GOOD]
        == "m0, m2 and m4 are beyond chance in SR; m1 and m3 are beyond chance in SR_COLOUR."
    )


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (SEEN, "a has seen these images in training"),
        (UNKNOWN, "Whether a has seen these images in training is not known."),
    ],
)
def test_images_seen_in_training_are_told_first(images, told):
    remarks = found(models=[model("a", image_row("a", "frechet", 1, 2), images=images)])
    assert told in remarks[CARE]
    assert "--held-out" in remarks[NEXT]
    held_out = found(models=[model("a", image_row("a", "frechet", 1, 2))])
    assert "fewer than 2,048 images" in held_out[CARE]
    assert "--held-out" not in held_out[NEXT]


def test_it_says_why_nothing_is_called_good_or_weak():
    alone = found(models=[model("a", image_row("a", "frechet", 1, 2))])
    assert alone[WEAK] == "Nothing was measured that chance has, too (see What is missing)."
    bare = {"sr": Estimate(0.5, None, None, 1)}
    rows = [ImageRow(name, "s", "mismatched", 1, "f", "w", "p", bare, {"sr": "SR"}) for name in ("a", CHANCE)]
    assert found(models=[model("a", *rows)])[WEAK].startswith("Too few images for intervals")


def test_sketches_stand_beside_people():
    people = row("people", "people", CONTENT, "f_ods", 0.7, 0.8)
    floor = row("reference", "drawings", REALISM, "auc", 0.45, 0.55)
    pairs = row("pairs", "pairs", VARIETY, "shared", 0.3, 0.4)
    rows = [
        row("style", "a", CONTENT, "f_ods", 0.75, 0.78),
        row("style", "b", CONTENT, "f_ods", 0.5, 0.6),
        row("style", "a", REALISM, "auc", 0.5, 0.6),
        row("style", "b", REALISM, "auc", 0.8, 0.9),
        row("folder", "out", VARIETY, "shared", 0.6, 0.7),
        row("style", "c", STROKES, "ink", 0.0, 0.0002),
    ]
    remarks = found(evaluations=[sketches(people, floor, pairs, *rows)])
    good, weak = remarks[GOOD], remarks[WEAK]
    assert "a agrees with people's boundaries no less than people do" in good
    assert "he lines of a cannot be told from people's" in good
    assert "b agrees with people's boundaries less than people do" in weak
    assert "the lines of b can be told from people's" in weak
    assert "two sketches of an image in out share more lines than two people's drawings" in weak
    assert "most sketches of c are blank" in weak


def test_what_learnt_from_the_boundaries_is_not_praised_for_them():
    people = row("people", "people", CONTENT, "f_ods", 0.7, 0.8)
    marked = Row("style", "hed", "out", 20, {CONTENT: {"f_ods": estimate(0.9, 0.95)}}, trained_on="BSDS500")
    assert GOOD not in found(evaluations=[sketches(people, marked, boundaries=Path("b"))])


def test_without_people_it_says_that_nothing_can_be_said():
    remarks = found(evaluations=[sketches(row("folder", "out", VARIETY, "vendi", 4.2, 5.0))])
    assert "2 styles in out, on 20 of 50 images" in remarks[MEASURED]
    assert "count as 4.6 (4.2 to 5.0) wholly different ones" in remarks[MEASURED]
    assert GOOD not in remarks
    assert "--boundaries" in remarks[WEAK]
    assert "`sketchforge ae-train --shards out` trains a model" in remarks[NEXT]


def test_what_is_damaged_comes_before_all_else():
    gaps = [MissingMetric("out-2", "sketches", "damaged")]
    remarks = found(evaluations=[sketches(row("folder", "out", VARIETY, "vendi", 4, 5))], gaps=gaps)
    assert remarks[NEXT].startswith("See to out-2, which could not be measured; then ")

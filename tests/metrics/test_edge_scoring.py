"""How `eval sketches` scores edge networks' maps, marks what they learnt from, and compares the lines of styles."""

import cv2
import numpy as np
import pytest
from PIL import Image

from cli.eval.sketch_tables import tables
from sketchforge.images.edge_thinning import suppress_non_maxima
from sketchforge.metrics.sketches.boundaries import boundary_counts
from sketchforge.metrics.sketches.result import PAIRS, SketchEvaluation, as_json
from sketchforge.report.sketches.page import sketch_page
from sketchforge.report.summary.tables import sketch_tables
from tests.helpers.annotations import (
    SIDE,
    annotate,
    columns,
    fewer_resamplings,
    measured,
    reasons,
    row_of,
    shards_of,
)

GREY = {"sketch_format": "png", "grey_levels": 256}


@pytest.fixture(autouse=True)
def _few_resamplings():
    with fewer_resamplings():
        yield


def broad(column: int) -> np.ndarray:
    """An edge's probabilities, darkest at a column and broad beside it, with a faint bank on one side."""
    soft = cv2.GaussianBlur(255 - columns(column), (0, 0), 3).astype(float)
    soft = 220 * soft / soft.max()
    soft[:, column + 2 : column + 12] += (
        60 * np.sin(np.arange(SIDE))[:, None] ** 2
    )  # its threshold set is ragged
    return (255 - np.clip(soft, 0, 255)).astype(np.uint8)


def content_of(tmp_path, method: str, **options) -> tuple[SketchEvaluation, tuple[np.ndarray, np.ndarray]]:
    """The evaluation of one broad sketch, and its matched and line pixels as stored and after suppression."""
    sketch, truth = broad(15), columns(15) == 0
    folder = shards_of(tmp_path / method, {"a": [sketch]}, [method], method=method, **options)
    annotate(tmp_path / "truth" / "a.mat", truth, truth)
    evaluation = measured(folder, boundaries=tmp_path / "truth")
    return evaluation, tuple(
        boundary_counts(image, [truth, truth]) for image in (sketch, suppress_non_maxima(sketch))
    )


def precision(counts) -> np.ndarray:
    return counts.matched_predicted / np.maximum(counts.predicted, 1)


@pytest.mark.parametrize("method", ["hed", "pidinet", "teed"])
def test_maps_of_edge_networks_are_scored_after_suppression(tmp_path, method):
    evaluation, (_, thinned) = content_of(tmp_path, method, **GREY)
    row = row_of(evaluation, method)
    index = thinned.thresholds.tolist().index(row.threshold)
    assert row.figures["content"]["precision"].value == pytest.approx(precision(thinned)[index])
    assert as_json(evaluation)["thresholds"]["suppressed"] == [str(tmp_path / method)]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("tom", GREY),
        ("hed", {**GREY, "hands": "builtin 0"}),
        ("hed", {**GREY, "thin": True}),
        ("hed", {"sketch_format": "png", "grey_levels": 8}),
    ],
)
def test_other_sketches_are_scored_as_drawn(tmp_path, method, options):
    evaluation, (stored, thinned) = content_of(tmp_path, method, **options)
    row = row_of(evaluation, method)
    index = stored.thresholds.tolist().index(row.threshold)
    assert row.figures["content"]["precision"].value == pytest.approx(precision(stored)[index])
    assert precision(stored)[index] != pytest.approx(precision(thinned)[index])
    assert as_json(evaluation)["thresholds"]["suppressed"] == []


def test_few_greys_of_an_edge_network_are_a_gap(tmp_path):
    evaluation, _ = content_of(tmp_path, "hed", sketch_format="png", grey_levels=8)
    assert [reason for reason in reasons(evaluation, "hed", "content") if "--grey-levels 256" in reason]


@pytest.mark.parametrize(
    ("method", "is_marked"), [("hed", True), ("pidinet", True), ("teed", False), ("tom", False)]
)
def test_what_learnt_from_bsds500_is_marked_everywhere(tmp_path, method, is_marked):
    evaluation, _ = content_of(tmp_path, method, **GREY)
    printed = "\n".join(tables(evaluation))
    page = "".join(sketch_page(evaluation, [[]]))
    report = sketch_tables(evaluation)[0]
    assert (f"{method} *" in printed, "in their training set" in printed) == (is_marked, is_marked)
    assert (f">{method} *<" in page, "Marked with *" in page) == (is_marked, is_marked)
    assert (report.rows[0].name == f"{method} *") == is_marked
    assert any("Marked with *" in note for note in report.notes) == is_marked
    trained_on = as_json(evaluation)["rows"][0].get("trained_on", "")
    assert ("BSDS500" in trained_on) == is_marked


def test_styles_are_compared_line_by_line_and_beside_people(tmp_path):
    """Half of the lines in one image, all in the other; two people agree on one photo and not on the other."""
    sketches = {"a": [columns(5, 20), columns(5, 33)], "b": [columns(8), columns(8)]}
    folder = shards_of(tmp_path / "out", sketches, ["s", "t"])
    people = tmp_path / "people"
    people.mkdir()
    for name, sketch in {"x-1": columns(5), "x-2": columns(5), "y-1": columns(5), "y-2": columns(30)}.items():
        Image.fromarray(sketch).save(people / f"{name}.png")
    evaluation = measured(folder, references=(people,))
    shared = row_of(evaluation, "out").figures["variety"]["shared"]
    assert (shared.value, shared.images) == (pytest.approx(0.75, abs=0.01), 2)
    pairs = row_of(evaluation, PAIRS).figures["variety"]["shared"]
    assert (pairs.value, pairs.images) == (pytest.approx(0.5), 2)
    printed = "\n".join(tables(evaluation))
    assert "shared lines" in printed
    assert PAIRS in printed
    titles = [heading.title for heading in sketch_tables(evaluation)[1].headings]
    assert "Vendi score ↑" in titles
    assert "shared lines ↓" in titles
    assert PAIRS in "".join(sketch_page(evaluation, [[]]))
    assert as_json(evaluation)["methods"]["shared_tolerance"] == 2 / 256


def test_drawings_of_one_photo_in_two_folders_are_a_pair(tmp_path):
    folder = shards_of(tmp_path / "out", {"a": [columns(5)]}, ["s"])
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        Image.fromarray(columns(5, 20)).save(tmp_path / name / f"x-{name}.png")
    evaluation = measured(folder, references=(tmp_path / "first", tmp_path / "second"))
    assert row_of(evaluation, PAIRS).figures["variety"]["shared"].value == 1


def test_without_two_drawings_of_a_photo_people_are_a_gap(tmp_path):
    folder = shards_of(tmp_path / "out", {"a": [columns(5)]}, ["s"])
    (tmp_path / "people").mkdir()
    Image.fromarray(columns(5)).save(tmp_path / "people" / "x-1.png")
    evaluation = measured(folder, references=(tmp_path / "people",))
    assert reasons(evaluation, PAIRS, "variety") == ["no two drawings of one photo among the references"]

"""Figures as they are shown and intervals of few images: no nan, no negative zero, no distance below 0."""

import io
import math

import numpy as np
import pytest

from cli.eval.image_tables import format_cell
from cli.eval.sketch_tables import COLUMNS, _format_interval
from cli.progress import Bar
from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.images.statistics import estimate_distances
from sketchforge.report.tables import figure_cell, format_decimals


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.04, 1, "0.0"), (-0.0, 0, "0"), (-0.06, 1, "-0.1"), (0.04, 1, "0.0"), (1234.56, 2, "1234.56")],
)
def test_what_rounds_to_zero_has_no_sign(value, decimals, text):
    assert format_decimals(value, decimals) == text


def test_no_table_shows_a_negative_zero():
    figure = Estimate(-0.00001, -0.00002, 0.00001, 3)
    assert format_cell(figure) == "0.0000 [0.0000 0.0000]"
    assert _format_interval(figure, 1, 2) == "0.00 [0.00 0.00]"
    cell = figure_cell(figure)
    assert (cell.value, cell.interval) == ("0.0000", "0.0000 to 0.0000")


def test_kernel_distances_of_sketches_are_shown_times_a_thousand():
    (kid,) = [column for column in COLUMNS["realism"] if column[0] == "kid"]
    assert _format_interval(Estimate(0.0421, 0.0381, 0.0463, 100), *kid[2:]) == "42.1 [38.1 46.3]"


@pytest.mark.parametrize("count", [2, 3, 4, 30])
def test_few_images_have_no_interval_rather_than_nan(count):
    rng = np.random.default_rng(0)
    features, reference = rng.normal(size=(count, 6)), rng.normal(size=(40, 6))
    for name, figure in estimate_distances(features, range(count), reference, 0).items():
        assert math.isfinite(figure.value)
        bounds = (figure.low, figure.high)
        assert bounds == (None, None) or (np.isfinite(bounds).all() and figure.low <= figure.value)
        if name == "frechet" and figure.low is not None:
            assert figure.low >= 0


def test_of_two_images_the_kernel_distance_has_no_interval():
    """Half of the resamplings are of one image twice, which has no pair of different images."""
    rng = np.random.default_rng(0)
    figures = estimate_distances(rng.normal(size=(2, 6)), range(2), rng.normal(size=(40, 6)), 0)
    assert figures["kid"].low is None
    assert format_cell(figures["kid"]).count("[") == 0


def test_a_bar_bears_the_name_of_its_stage(monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    bar = Bar(delay=0)
    bar.stage("2 of 5: images of gan")
    with bar.track("image", 3):
        bar.advance()
    assert "2 of 5: images of gan: " in stderr.getvalue()

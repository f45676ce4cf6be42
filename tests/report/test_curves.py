"""Curves: where points come to lie, and what cannot be drawn."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from sketchforge.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, curves_svg, ticks


def lines(svg):
    """The points of every line."""
    return [
        [tuple(map(float, point.split(","))) for point in found.split()]
        for found in re.findall(r'<polyline points="([^"]*)"', svg)
    ]


def test_points_lie_where_the_axes_say():
    (line,) = lines(curves_svg({"a": [[(0, 0), (50, 2), (100, 4)]]}, "loss", "steps"))
    right, low, high = WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    assert line[0] == (LEFT, low)
    assert line[2] == (right, high)
    assert line[1] == pytest.approx(((LEFT + right) / 2, (low + high) / 2))


def test_every_run_is_a_line_and_every_name_is_told_once():
    svg = curves_svg({"all": [[(1, 1)], [(1, 2)]], "<none>": [[(2, 3)]]}, "a & b", "steps")
    ElementTree.fromstring(svg)  # well-formed
    assert len(lines(svg)) == 3
    assert svg.count("<circle ") == 3  # of one point a line shows nothing
    assert "<circle " not in curves_svg({"a": [[(1, 1), (2, 1)]]}, "", "")
    assert svg.count(">all<") == 1
    assert svg.count("&lt;none&gt;") == 1


def test_what_is_not_finite_is_left_out():
    (line,) = lines(curves_svg({"a": [[(0, 1), (1, math.nan), (2, 1)]]}, "t", "x"))
    assert len(line) == 2
    with pytest.raises(ValueError, match="at least one point"):
        curves_svg({"a": [[(0, math.inf)]]}, "t", "x")


@pytest.mark.parametrize("largest", [0.0007, 0.1, 0.35, 1, 7, 99, 100, 1000, 12345])
def test_ticks_are_round_few_and_reach_the_largest(largest):
    found = ticks(largest)
    steps = {round((b - a) / (found[1] - found[0]), 6) for a, b in zip(found, found[1:])}
    assert found[0] == 0
    assert steps == {1}
    assert 3 <= len(found) <= 7
    assert found[-2] < largest <= found[-1] * (1 + 1e-9)
    mantissa = found[1] / 10 ** math.floor(math.log10(found[1]) + 1e-9)
    assert round(mantissa, 6) in (1, 2, 2.5, 5)


def test_long_names_stay_within_the_drawing():
    name = "auto-encoder and GAN, together (A.4)"
    drawn = curves_svg({name: [[(0, 1.0), (10, 2.0)]]}, "", "")
    at = float(re.search(rf'<text x="([\d.]+)" y="[\d.]+">{re.escape(name)}', drawn)[1])
    assert at + 5.5 * len(name) <= WIDTH
    right = max(float(x) for x in re.search('points="([^"]+)', drawn)[1].replace(",", " ").split()[::2])
    assert right < at

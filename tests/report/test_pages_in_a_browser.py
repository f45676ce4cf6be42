"""The pages on a narrow screen: nothing but tables moves sideways, and those show that they do."""

import re

import pytest

from sketchforge.report.components import Section, provenance_html, sections_page, table_html
from sketchforge.report.html import asset
from sketchforge.report.tables import Cell, Heading, Table, TableRow
from tests.helpers.browser import needs_browser, seen_at_width

LOOK = """
const shade = (region) => Number(getComputedStyle(region, "::after").opacity);
return {
  moves: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  regions: [...document.querySelectorAll(".wide")].map((region) => (
    [region.getAttribute("aria-label"), region.scrollWidth > region.clientWidth, shade(region), region.tabIndex]
  )),
  closed: [...document.querySelectorAll("details")].map((folded) => !folded.open),
};
"""


def table(title: str, columns: int, folded: Table | None = None) -> Table:
    headings = tuple(Heading(f"figure {number} of many") for number in range(columns))
    row = TableRow("run", (Cell("0.123", "0.100 to 0.200"),) * columns, "beside AE")
    return Table(title, "set", headings, (row,), ("a note",), folded)


@pytest.fixture(scope="module")
def page() -> str:
    tables = [table("wide", 12, table("folded", 2)), table("narrow", 1)]
    commands = ["sketchforge eval images --model " + "x" * 90]
    sections = [
        Section("tables", "Tables", (piece for one in tables for piece in table_html(one))),
        Section("made", "Made", provenance_html([("Settings", {"digest": "ab" * 60})], commands)),
    ]
    return "".join(sections_page("a " * 60 + "t" * 90, ["fact " * 30], sections))


@needs_browser
def test_only_tables_move_sideways_and_a_shade_says_so(page, tmp_path):
    seen = seen_at_width(page, 390, LOOK, tmp_path)
    assert not seen["moves"]
    assert seen["closed"] == [True]
    regions = {label: (moves, shade, focus) for label, moves, shade, focus in seen["regions"]}
    assert regions["wide"] == (True, 1, 0)
    assert regions["narrow"] == (False, 0, 0)
    assert regions["Commands"] == (True, 1, 0)


def test_every_region_that_moves_can_be_reached_and_has_a_name(page):
    regions = re.findall(r'<\w+ class="wide"([^>]*)>', page)
    assert len(regions) == 4
    for attributes in regions:
        assert 'tabindex="0"' in attributes
        assert 'role="region"' in attributes
        assert re.search(r'aria-label="[^"]+"', attributes)


def test_on_paper_nothing_is_folded_or_moved(page):
    assert asset("print.css") in page
    rules = dict(re.findall(r"^  ([^{}@]+?) \{ ([^}]*) \}", asset("print.css"), re.MULTILINE))
    assert "overflow: visible" in rules[".wide"]
    assert "content-visibility: visible" in rules["details::details-content"]
    assert 'loading="lazy"' not in page  # what was not scrolled to would be missing on paper

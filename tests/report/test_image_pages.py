"""The pages of `eval images` and `eval compare`: every figure, image, warning and gap in one file."""

import contextlib
import html
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from cli.main import run
from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.images.result import BETTER, ImageEvaluation, ImageRow
from sketchforge.report.components import table_html
from sketchforge.report.images.tables import distance_tables, model_figures
from sketchforge.report.tables import figure_cell
from tests.helpers.pages import EVIL, POLICY, Nesting, Page, fetched
from tests.helpers.photos import make_photos
from tests.helpers.synthesis_models import ae_run

pytestmark = pytest.mark.usefixtures("quick_measures")
NAME = EVIL.replace("/", "")  # a name that a folder may have
QUICK = ("--features", "builtin", "--features", "inception", "--threads", "1", "--device", "cpu")


def measured(folder: Path, *words: object) -> tuple[Page, dict, str]:
    """Page, JSON and output of an `eval` command."""
    out = io.StringIO()
    files = ("--html", folder / "a.html", "--json", folder / "a.json", "--cache", folder / "cache")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert run(["eval", *map(str, (*words, *QUICK, *files))]) == 0
    assert out.getvalue().splitlines()[-2:] == [str(folder / "a.json"), str(folder / "a.html")]
    return Page(folder / "a.html"), json.loads((folder / "a.json").read_text()), out.getvalue()


@pytest.fixture(scope="module")
def model(quick_measures, drawn, squeeze, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    ae_run(folder / NAME)
    words = ["images", "--model", folder / NAME, "--shards", drawn, "--samples", 12]
    words += ["--encoder", "builtin", "--encoder", "vgg19", "--lpips", f"squeeze={squeeze}"]
    return *measured(folder, *words), folder, words


@pytest.fixture(scope="module")
def comparison(quick_measures, trained, ten_sketches, tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    photos = make_photos(folder / NAME, 7)
    (photos / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    make_photos(folder / "few", 3)
    return measured(folder, "compare", ten_sketches, trained, photos, folder / "few", "--samples", 9)


@pytest.fixture(params=["model", "comparison"])
def written(request):
    return request.getfixturevalue(request.param)[:3]


def test_figures_gaps_and_warnings_are_those_of_the_json(written):
    page, found, _ = written
    plain = html.unescape(page.source)
    for row in found["rows"]:
        for name in set(row) & set(BETTER):
            figure = row[name]
            shown = figure_cell(Estimate(figure["value"], figure["low"], figure["high"], figure["images"]))
            if row["name"] == "chance":
                assert f"<b>{shown.value[:4]}" in page.source, row["titles"][name]
            else:
                assert f'<b>{shown.value}</b> <span class="ends">{shown.interval}</span>' in page.source, name
            assert row["titles"][name] in plain
            assert row["preprocessing"] in plain
    assert found["gaps"]
    assert found["warnings"]
    for gap in found["gaps"] + found["warnings"]:
        assert gap["reason"] in page.texts or f": {gap['reason']}" in page.texts
    for name, version in found["libraries"].items():
        assert version in plain, name


def test_every_image_has_a_text_and_nothing_is_fetched(written):
    page = written[0]
    images = [shown for tag, shown in page.elements if tag == "img"]
    assert all(shown["alt"] and shown["src"].startswith("data:image/") for shown in images)
    drawn = [shown for tag, shown in page.elements if tag == "svg"]
    assert drawn
    assert all("aria-label" in shown or shown.get("aria-hidden") == "true" for shown in drawn)
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in page.elements
    assert not fetched(page)
    links = {shown["href"] for tag, shown in page.elements if tag == "a"}
    assert links <= {f"#{shown['id']}" for _, shown in page.elements if "id" in shown} and len(links) >= 5


def test_the_page_is_whole_and_names_stay_text(written):
    page = written[0]
    nesting = Nesting(page.source)
    assert nesting.outside == nesting.wrong == []
    assert not nesting.open
    assert "<img src=x" not in page.source
    assert any(NAME in piece for piece in page.texts)
    assert "@media print" in page.source


def test_a_models_page_shows_what_it_makes(model):
    page, found = model[:2]
    alts = [shown["alt"] for tag, shown in page.elements if tag == "img"]
    # The grid; of eight matched images the four best and the four worst.
    assert len(alts) == 1 + 8
    assert "in the styles of all of them" in alts[0]
    assert [re.search(r"(best|worst) \d", alt)[0] for alt in alts[1:]] == [
        f"{what} {place}" for what in ("best", "worst") for place in (1, 2, 3, 4)
    ]
    lpips = next(row["lpips"]["value"] for row in found["rows"] if "lpips" in row)
    ranked = [float(alt.rpartition(" ")[2]) for alt in alts[1:]]
    assert ranked[:4] == sorted(ranked[:4])
    assert ranked[4:] == sorted(ranked[4:])[::-1]
    assert sum(ranked) / 8 == pytest.approx(lpips, abs=1e-4)
    assert f"by LPIPS (squeeze, other weights), mean {lpips:.4f} over 8 images" in page.source
    command = next(text for text in page.texts if text.startswith("sketchforge eval images"))
    assert "--samples 12" in command
    assert "--lpips squeeze=" in command


def test_equal_calls_give_equal_pages(model):
    page, _, _, folder, words = model
    (folder / "again").mkdir()
    assert measured(folder / "again", *words)[0].source == page.source


def test_sets_stand_beside_each_other(comparison):
    page, found, _ = comparison
    heads = re.findall(r'<table class="images even">\n<thead><tr>(.*?)</tr>', page.source)[0]
    columns = [html.unescape(one) for one in re.findall(r'<th scope="col">(.*?)</th>', heads)]
    assert columns == ["out (reference)", "ae (64 pixels)", NAME, "few"]
    alts = [shown["alt"] for tag, shown in page.elements if tag == "img"]
    names = [column.removesuffix(" (64 pixels)") for column in columns]
    counts = [sum(alt.startswith(f"{name}: ") for alt in alts) for name in names]
    assert counts == [6, 6, 5, 3]  # of the eight files the first cannot be read, few/ has no more
    assert page.source.count("<td>none</td>") == 24 - sum(counts)
    made = [alt for alt in alts if alt.startswith("ae: ")]
    assert all(re.fullmatch(r"ae: the sketch of k(x*) in the style of k(?!\1$)x*", alt) for alt in made)
    sizes = [max(Image.open(io.BytesIO(data)).size) for data in page.images()]
    assert len(sizes) == len(alts)
    assert max(sizes) <= 320
    command = next(text for text in page.texts if text.startswith("sketchforge eval compare"))
    assert "--samples 9" in command
    assert found["options"]["samples"] == 9


def row(name: str, value: float, low: float, high: float, kind: str = "frechet") -> ImageRow:
    figures = {kind: Estimate(value, low, high, 5)}
    return ImageRow(name, "s", "mismatched", 5, "f", "w" * 64, "p", figures, {kind: kind.upper()}, "beware")


def evaluation(*rows: ImageRow) -> ImageEvaluation:
    return ImageEvaluation("compare", {}, {}, (), rows, (), (), {})


def drawn_bars(table) -> list[tuple[float, float, float, float | None]]:
    """(left end, value, right end, mark) of each bar, 0 to 1 of its scale."""
    found = []
    for svg in re.findall(r'<svg class="bar".*?</svg>', "".join(table_html(table))):
        interval = re.search(r'class="interval" x="([\d.]+)".* width="([\d.]+)"', svg)
        left, width = map(float, interval.groups())
        value = float(re.search(r'cx="([\d.]+)"', svg)[1])
        mark = re.search(r'class="floor" x1="([\d.]+)"', svg)
        places = [(place - 4) / 112 for place in (left, value, left + width)]
        found.append((*places, (float(mark[1]) - 4) / 112 if mark else None))
    return found


def test_bars_of_a_column_have_one_scale():
    (table,) = distance_tables(evaluation(row("a", 2, 1, 3), row("b", 6, 5, 10)))
    (a, b) = drawn_bars(table)
    assert a == pytest.approx((0.1, 0.2, 0.3, None), abs=2e-3)
    assert b == pytest.approx((0.5, 0.6, 1, None), abs=2e-3)
    assert [one.name for one in table.rows] == ["a", "b"]
    assert "beware" in table.notes
    assert [heading.title for heading in table.headings] == ["FRECHET ↓", "images"]
    assert len(distance_tables(evaluation())) == 0


def test_what_chance_has_is_marked():
    own, chance = row("ae", 0.6, 0.5, 0.7, "sr"), row("chance", 0.3, 0.2, 0.4, "sr")
    table = model_figures(evaluation(own, chance), "t")
    assert drawn_bars(table) == [pytest.approx((0.5, 0.6, 0.7, 0.3), abs=2e-3)]
    (shown,) = table.rows
    assert [cell.value for cell in shown.cells[:3]] == [
        "0.600",
        "0.300",
        "higher",
    ]
    assert shown.detail == "beware"
    table = model_figures(evaluation(own), "t")
    assert drawn_bars(table) == []
    assert table.rows[0].cells[1].value == ""

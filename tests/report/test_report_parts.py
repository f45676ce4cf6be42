"""What a report is made of: which shards a model is measured on, the paper's rows, curves, names, tables."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sketchforge.metrics.estimates import Estimate
from sketchforge.report.summary.collect import group_alike
from sketchforge.report.summary.curves import run_curves, thin
from sketchforge.report.summary.held_out import HELD_OUT, SEEN, UNKNOWN, choose_evaluation_set
from sketchforge.report.summary.inputs import find_inputs, short_names
from sketchforge.report.summary.published import (
    SELF_SUPERVISED,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    in_table_1,
    in_table_2,
    in_table_3,
    in_table_4,
    losses_of,
)
from sketchforge.report.summary.tables import paper_tables
from sketchforge.report.svg import BOTTOM, HEIGHT, TOP, curves_svg, ticks_between
from sketchforge.report.tables import Cell, Heading, Table, TableRow, figure_cell
from sketchforge.shards.shard_set import open_shards, shards_digest
from sketchforge.utils.markdown import escape
from tests.helpers.stored import png, store


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """out/ of a and b, out-canny/ of the same, out-else/ of c and d; what is found there."""
    monkeypatch.chdir(tmp_path)
    for name, keys, method, level in (
        ("out", "ab", "tom", 255),
        ("out-canny", "ab", "canny", 0),
        ("out-else", "cd", "canny", 0),
    ):
        sketches = [png(np.full((8, 8), level, np.uint8))]
        store(Path(name), [[{"key": key, "sketches": sketches} for key in keys]], ["s"], method=method)
    return {folder.name: folder for folder in find_inputs([], []).shards}


def recorded(folder) -> dict:
    return {"shards": {"digest": shards_digest(open_shards(folder.path))}}


def test_models_are_measured_on_what_they_have_not_seen(folders):
    out, canny, other = folders["out"], folders["out-canny"], folders["out-else"]
    for given, named, name, images in (
        ([out, canny, other], False, "out-else", HELD_OUT),
        ([out, canny], False, "out", SEEN),  # Canny's are of the same images
        ([out], False, "out", SEEN),
        ([other], False, "out-else", UNKNOWN),
        ([other], True, "out-else", HELD_OUT),
        ([out], True, "out", SEEN),  # whatever the user says
    ):
        ground = choose_evaluation_set(recorded(out), given, named)
        assert (ground.folder.name, ground.images) == (name, images)
    assert choose_evaluation_set({}, [canny, out], False).folder is out  # TOM's before others'
    assert choose_evaluation_set({"shards": "none"}, [], False) is None


def test_what_a_training_held_out_comes_first(folders):
    out, canny, other = folders["out"], folders["out-canny"], folders["out-else"]
    own = recorded(out)

    def held_out(folder):
        return own | {"validation": recorded(folder)["shards"]}

    for record, given, name, images in (
        (held_out(other), [out, canny, other], "out-else", HELD_OUT),
        (held_out(other), [canny, other], "out-else", HELD_OUT),  # the training says so
        (own, [canny, other], "out-canny", UNKNOWN),
        (own | {"validation": None}, [canny, other], "out-canny", UNKNOWN),
        (held_out(canny), [out, canny, other], "out-else", HELD_OUT),  # it was not held out
        (held_out(out), [out, canny], "out", SEEN),
    ):
        ground = choose_evaluation_set(record, given, False)
        assert (ground.folder.name, ground.images) == (name, images)


def test_a_model_is_not_measured_on_a_single_image_or_unfinished_shards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blank = [png(np.full((8, 8), 255, np.uint8))]
    store(Path("out"), [[{"key": "a", "sketches": blank}]], ["s"])
    store(
        Path("out-half"),
        [[{"key": "c", "sketches": blank}, {"key": "d", "sketches": blank}]],
        ["s"],
        num_shards=2,
    )
    store(Path("out-none"), [[]], ["s"])
    (tmp_path / "out-damaged").mkdir()
    (tmp_path / "out-damaged" / "manifest.json").write_text("{")
    found = find_inputs([], [])
    assert [folder.name for folder in found.shards] == ["out", "out-half"]
    assert choose_evaluation_set({}, found.shards, False) is None
    gaps = {gap.row: gap.reason for gap in found.gaps if gap.row}
    assert set(gaps) == {"out-half", "out-none", "out-damaged"}
    assert gaps["out-half"].startswith("unfinished, 1 of 2 shards")
    assert "holds no samples" in gaps["out-none"]


def test_folders_of_the_same_images_are_measured_together(folders):
    groups = [[folder.name for folder in group] for group in group_alike(list(folders.values()))]
    assert groups == [["out", "out-canny"], ["out-else"]]


def test_a_folder_named_twice_counts_once(folders):
    found = find_inputs([Path("out"), Path("out-else/../out"), Path("out-else")], [])
    assert [str(folder.path) for folder in found.shards] == ["out", "out-else"]


def test_systems_of_a_comparison_are_found_as_runs_are(tmp_path, monkeypatch):
    """In place of the folder that holds them; what the systems are built on is not, nor what is no folder."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "ae",
        "comparison/systems/gan-own",
        "comparison/systems/.half",
        "comparison/stages/gan-own-ae",
    ):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs/comparison/systems/gan-own.clock.json").write_text("{}")
    gaps = {gap.row: gap.reason for gap in find_inputs([], []).gaps if gap.row}
    assert set(gaps) == {"ae", "gan-own"}
    assert gaps["gan-own"].startswith("runs/comparison/systems/gan-own: holds no run.json")


def test_systems_that_the_paper_has_no_row_of_stand_below_those_it_has():
    def model(name, command):
        return SimpleNamespace(
            name=name,
            run=SimpleNamespace(command=command),
            recipe={},
            figures=lambda *_: {},
            matched=lambda: {},
            rows=lambda: [],
            evaluation_set=SimpleNamespace(description="out"),
        )

    commands = ("segin-train", "gan-train", "style2paints-train", "diffsketching-train")
    models = [model(command.removesuffix("-train"), command) for command in commands]
    (table,) = paper_tables(models)
    assert [row.name for row in table.rows] == ["gan", "segin", "style2paints", "diffsketching"]
    assert [bool(row.cells[-1].value) for row in table.rows] == [True, False, False, False]


def test_recipes_find_their_rows_in_the_paper():
    def recipe(*names, dmi="feature", style="multiply"):
        return {name: 0.1 if name in names else 0.0 for name in SELF_SUPERVISED} | {
            "dmi": dmi,
            "style": style,
        }

    full = recipe(*SELF_SUPERVISED)
    assert in_table_2(recipe()) == "vanilla"
    assert in_table_2(full) == "all"
    assert in_table_2(recipe("content_triplet")) == "vanilla + L_c_tri"
    assert in_table_2(recipe("style_triplet")) == "vanilla + L_s_tri"
    assert in_table_2(recipe("style_class")) == "vanilla + L_s_cls"
    assert in_table_2(recipe("style_class", "content_class")) == "vanilla + L_s_cls + L_c_cls"
    assert in_table_2(recipe("content_class")) is None
    assert in_table_2(recipe(dmi="none")) is None
    assert [in_table_2(recipe(style=style)) for style in ("adain", "add", "none")] == ["vanilla", None, None]
    assert [in_table_1(*one) for one in (("ae-train", full), ("gan-train", {}), ("ae-train", recipe()))] == [
        "AE", "AE + GAN", None,
    ]  # fmt: skip
    assert [in_table_3(recipe(dmi=dmi)) for dmi in ("none", "sketch", "feature")] == list(TABLE_3)
    assert [in_table_4(recipe(style=style)) for style in ("none", "adain", "add", "multiply")] == list(
        TABLE_4
    )
    assert in_table_3({}) is None
    assert in_table_4({}) is None
    assert losses_of(full) == "all"
    assert losses_of(recipe()) == "none"
    assert losses_of(recipe("style_triplet", "content_class")) == "L_s_tri + L_c_cls"
    assert {len(row) for row in TABLE_1.values()} == {4}
    assert TABLE_2["all"] == TABLE_1["AE"][:1] + ("11.7",)
    others = ({"dmi": "spade", "style": "none"}, {"dmi": "sketch", "style": "adain"}, {"dmi": "sketch"})
    assert [in_table_1("ae-train", full | one) for one in others] == ["SPADE", "Sketch2art", None]
    assert in_table_1("segin-train", {"dmi": "spade"}) is None


def test_thinned_curves_keep_their_mean_and_their_end():
    points = [(step, float(value)) for step, value in enumerate(np.random.default_rng(0).random(1000), 1)]
    found = thin(points, 100)
    assert len(found) == 100
    assert found[-1][0] == 1000
    assert np.mean([y for _, y in found]) == pytest.approx(np.mean([y for _, y in points]))
    assert found[0] == (10, pytest.approx(np.mean([y for _, y in points[:10]])))
    assert thin(points[:7], 100) == points[:7]
    assert thin([], 100) == []


def test_a_run_has_one_colour_in_all_curves(tmp_path):
    for name, line in (("a", '{"step": 1, "x": 1}'), ("b", '{"step": 1, "x": 1, "y": 1}'), ("c", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text(line + "\n")
    x, y = run_curves({name: ("ae-train", tmp_path / name) for name in "abc"})
    assert (x.name, y.name) == ("x", "y")
    assert x.runs == y.runs == ("a", "b")
    colours = re.findall(r'<polyline [^>]*stroke="(#\w+)"', x.svg())
    assert len(set(colours)) == 2 and re.findall(r'<polyline [^>]*stroke="(#\w+)"', y.svg()) == colours[1:]
    assert ">a<" not in y.svg()
    assert ">b<" in y.svg()


@pytest.mark.parametrize(("smallest", "largest"), [(-1, 1), (-0.3, 7), (-40, 0), (-5, -1), (-1e-3, 1e-3)])
def test_negative_values_have_their_place_on_the_axis(smallest, largest):
    found = ticks_between(smallest, largest)
    assert found[0] <= smallest
    assert found[-1] >= max(largest, 0)
    assert 0 in found
    assert len(found) <= 12
    svg = curves_svg({"a": [[(0, smallest), (1, largest)]]}, "t", "x")
    heights = [float(y) for y in re.findall(r"[\d.]+,([\d.-]+)", re.search(r'points="([^"]*)"', svg)[1])]
    assert all(TOP <= y <= HEIGHT - BOTTOM for y in heights)
    assert f'y="{HEIGHT - BOTTOM + 15:.1f}" text-anchor="middle">0<' in svg  # steps stay below the curves


def test_names_are_as_short_as_tells_them_apart():
    assert short_names([Path("/a/x"), Path("/b/y")]) == ["x", "y"]
    assert short_names([Path("/a/b/x"), Path("/c/b/x"), Path("/b/y")]) == ["a/b/x", "c/b/x", "y"]
    assert short_names([]) == []


def test_cells_show_three_digits_and_their_interval():
    assert figure_cell(Estimate(0.12345, 0.1, 0.2, 9)) == Cell("0.123", "0.100 to 0.200")
    assert figure_cell(Estimate(0.12345, None, None, 1), 100) == Cell("12.3", "")
    assert figure_cell(Estimate(123.4, 100.0, 150.0, 9)) == Cell("123", "100 to 150")
    assert figure_cell(Estimate(0.0, 0.0, 0.0, 9)) == Cell("0.0000", "0.0000 to 0.0000")
    assert figure_cell(None) == Cell()
    with pytest.raises(ValueError, match="r: 2 cells, but 1 headings"):
        Table("t", "c", (Heading("h"),), (TableRow("r", (Cell(), Cell())),))


def test_markdown_takes_no_name_for_markup():
    assert escape("a|b *c*\n<d> [e](f) `g` \\") == "a\\|b \\*c\\* \\<d\\> \\[e\\](f) \\`g\\` \\\\"

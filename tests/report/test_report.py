"""`sketchforge eval report`: everything there is on one page, and every gap named."""

import contextlib
import html
import io
import json
import os
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from cli.main import run
from sketchforge.metrics.estimates import Estimate
from sketchforge.options import EvalReportOptions, RenderOptions
from sketchforge.render.render import render
from sketchforge.report.summary.collect import make_report
from sketchforge.report.summary.write import write_report
from sketchforge.report.tables import figure_cell
from sketchforge.shards.shard_set import open_shards, shards_digest
from sketchforge.utils.markdown import escape
from tests.helpers.folders import contents
from tests.helpers.pages import POLICY, Nesting, Page, fetched
from tests.helpers.photos import make_photos
from tests.helpers.synthesis_models import ae_run, gan_run

EVIL = 'run"><img src=x onerror=alert(1)>&|*b*'  # a name that a folder may have
QUICK = ("--threads", "1", "--workers", "1", "--device", "cpu")
RECIPE = {name: 0.1 for name in ("style_triplet", "style_class", "content_triplet", "content_class")}
pytestmark = pytest.mark.usefixtures("quick_measures")


def reported(folder: Path, *more: object) -> tuple[int, str]:
    """Run the command in a folder: (exit code, what it printed)."""
    out, before = io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = run(["eval", "report", *QUICK, *map(str, more)])
    finally:
        os.chdir(before)
    return code, out.getvalue()


def record(folder: Path, log: str = "", **changes) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (folder / "log.jsonl").write_text(log)


@pytest.fixture(scope="module")
def place(quick_measures, tmp_path_factory) -> Path:
    """What a user has: sketches by two snapshots and by Canny, an auto-encoder trained on them, a GAN with an
    odd name, a training that is not finished and a folder of something else; and the report of it all."""
    folder = tmp_path_factory.mktemp("place")
    photos = make_photos(folder / "photos", 6)
    common = {"size": 64, "workers": 1, "threads": 1}
    render(RenderOptions(folder / "out", photos, tom=Path("builtin"), checkpoints=2, hands="none", **common))
    render(RenderOptions(folder / "out-canny", photos, method="canny", **common))
    digest = shards_digest(open_shards(folder / "out"))
    runs = folder / "runs"
    with torch.random.fork_rng(devices=[]):
        ae_run(runs / "ae")
        gan_run(runs / EVIL)
        ae_run(runs / "half", finished=False)
    steps = "".join(
        f'{{"step": {n}, "reconstruction": {1 / n}, "seen_reconstruction": 0.5}}\n' for n in (1, 2, 3)
    )
    recipe = RECIPE | {"dmi": "feature", "style": "multiply"}
    record(runs / "ae", steps, recipe=recipe, shards={"count": 6, "digest": digest})
    record(runs / EVIL, '{"step": 1, "adversarial": -0.5}\n{"step": 2, "adversarial": NaN}\n{"st')
    (runs / "other").mkdir()
    (runs / "other" / "run.json").write_text('{"format": "someone-elses-run", "version": 9}')
    code, told = reported(folder, "--samples", 6, "--sketches", 2)
    assert code == 0, told
    (folder / "told.txt").write_text(told)
    return folder


@pytest.fixture(scope="module")
def written(place) -> tuple[str, Page, str, dict]:
    """(what was printed, page, Markdown, JSON)"""
    files = place / "eval"
    found = json.loads((files / "report.json").read_text())
    return (
        (place / "told.txt").read_text(),
        Page(files / "report.html"),
        (files / "report.md").read_text(),
        found,
    )


def test_an_empty_folder_has_every_gap_named(tmp_path):
    code, told = reported(tmp_path, "--html", "a.html", "--markdown", "a.md", "--json", "a.json")
    assert code == 0
    assert told.splitlines()[-3:] == ["a.html", "a.md", "a.json"]
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["format"] == "sketchforge-report"
    assert found["tables"] == found["models"] == []
    named = {gap["figure"]: gap["reason"] for gap in found["gaps"]}
    for what, command in {
        "sketches": "`sketchforge render --shards out/`",
        "sketches by TOM": "`sketchforge render --shards out/`",
        "sketches by Canny": "`sketchforge render --method canny --shards out-canny/`",
        "sketches by learned edges": "--method hed",
        "images of the auto-encoder": "`sketchforge ae-train --shards out/`",
        "images of the GAN": "`sketchforge gan-train --shards out/`",
        "FID, KID": "--features inception=FILE",
        "LPIPS (alex)": "--lpips alex=FILE",
        "SR (vgg19)": "--encoder FILE",
    }.items():
        assert command in named.pop(what), what
    assert not named
    page, markdown = html.unescape((tmp_path / "a.html").read_text()), (tmp_path / "a.md").read_text()
    for gap in found["gaps"]:
        assert gap["reason"] in told
        assert gap["reason"] in page
        assert escape(gap["reason"]) in markdown
    assert f"What is missing ({len(found['gaps'])})" in page


def test_page_markdown_and_json_have_the_same_figures(written):
    _, page, markdown, found = written
    plain = html.unescape(page.source)
    titles = [table["title"] for table in found["tables"]]
    assert titles[:4] == [
        "Table 1: all methods",
        "Table 2: the auto-encoder's losses",
        "Table 3: dual mask injection",
        "Table 4: how style joins in",
    ]
    assert {"Lines", "Variety", "ae: out, images seen in training", "What was trained"} < set(titles)
    for table in found["tables"]:
        for row in table["rows"]:
            line = next(line for line in markdown.splitlines() if line.startswith(f"| {escape(row['name'])}"))
            assert line
            for value in filter(None, row["values"]):
                assert value in plain, (table["title"], row["name"], value)
                assert escape(value) in markdown, (table["title"], row["name"], value)
    model = next(model for model in found["models"] if model["name"] == "ae")
    frechet = next(row["frechet"] for row in model["evaluation"]["rows"] if "frechet" in row)
    shown = figure_cell(Estimate(frechet["value"], frechet["low"], frechet["high"], 6))
    assert f"<b>{shown.value}</b>" in page.source
    assert f"{shown.value} ({shown.interval})" in markdown
    assert found["tables"][0]["rows"][0]["name"] == "ae"
    row = found["tables"][0]["rows"][0]
    assert row["values"][0] == shown.value
    assert row["values"][-4:] == ["25.9", ".959", "74.2", ".902"]


def test_own_rows_come_first_and_the_papers_are_folded(written):
    _, page, markdown, found = written
    tables = {table["title"][:7]: table for table in found["tables"] if table["folded"]}
    rows = {title: [row["name"] for row in table["rows"]] for title, table in tables.items()}
    assert rows == {"Table 1": ["ae", EVIL], "Table 2": ["ae"], "Table 3": ["ae"], "Table 4": ["ae"]}
    assert tables["Table 2"]["rows"][0]["values"][-2:] == ["25.9", "11.7"]
    assert tables["Table 3"]["rows"][0]["values"][-2:] == ["18.6", ".075"]
    assert tables["Table 4"]["rows"][0]["values"][-2:] == ["21.6", ".923"]
    folded = {title: table["folded"] for title, table in tables.items()}
    assert [len(table["rows"]) for table in folded.values()] == [9, 6, 3, 4]  # as the paper prints them
    assert folded["Table 2"]["rows"][0] == {"name": "vanilla", "detail": "", "values": ["44.3", "18.7"]}
    assert page.source.count("<details><summary>The paper") == 4
    assert "<details open" not in page.source
    own, published = markdown.index("## Beside the paper"), markdown.index("## The paper's figures")
    assert own < markdown.index("## Every figure") < published < markdown.index("| vanilla |")


def test_it_opens_with_a_verdict(written):
    told, page, markdown, found = written
    assert [remark["kind"] for remark in found["verdict"]][0] == "measured"
    assert 2 <= len(found["verdict"]) <= 5
    sections = [shown["id"] for tag, shown in page.elements if tag == "section"]
    assert sections[0] == "verdict"
    for remark in found["verdict"]:
        assert remark["text"] in page.texts
        assert escape(remark["text"]) in markdown
        assert remark["text"] in told
    assert markdown.index("## Verdict") < markdown.index("## What the models make")


def test_it_says_what_models_were_measured_on(written):
    told, page, _, found = written
    measured_on = {model["name"]: model["measured_on"]["images"] for model in found["models"]}
    assert measured_on == {"ae": "images seen in training", EVIL: "not its training shards"}
    assert "ae (out, images seen in training): " in told
    assert "out, images seen in training" in page.source
    reasons = [warning["reason"] for warning in found["warnings"] if warning["row"] == "ae"]
    assert any("it was trained on" in reason for reason in reasons)


def test_what_cannot_be_used_is_a_gap(written):
    gaps = {gap["row"]: gap["reason"] for gap in written[3]["gaps"] if gap["row"] in ("half", "other")}
    assert "stands at step 3 of its training" in gaps["half"]
    assert "a run of format 'someone-elses-run'" in gaps["other"]
    assert [model["name"] for model in written[3]["models"]] == ["ae", EVIL]


def test_best_and_worst_have_keys_and_order(written):
    _, page, markdown, found = written
    for model in found["models"]:
        ranking = model["ranking"]
        best, worst = ([one["error"] for one in ranking[which]] for which in ("best", "worst"))
        assert ranking["error"] == "perceptual error (builtin)"
        assert ranking["images"] == 6
        assert best == sorted(best)
        assert worst == sorted(worst, reverse=True)
        assert best[-1] <= worst[-1]
        keys = [one["key"] for which in ("best", "worst") for one in ranking[which]]
        assert len(set(keys)) == len(keys) == 6
        for key in keys:
            assert f">{key}, tom-" in page.source
            assert f"| {escape(key)} " in markdown
    shown = re.findall(r'<span class="rank">(\w+ \d)</span> <b>([\d.]+)</b>', page.source)
    assert shown[0] == ("best 1", f"{found['models'][0]['ranking']['best'][0]['error']:.4f}")


def test_every_image_has_a_text(written):
    page = written[1]
    images = [shown for tag, shown in page.elements if tag == "img"]
    # Two grids; six ranked images of each model; two photos with two and one sketches.
    assert len(images) == 2 + 2 * 6 + 2 * (1 + 3)
    assert all(shown["alt"] and shown["src"].startswith("data:image/") for shown in images)
    drawn = [shown for tag, shown in page.elements if tag == "svg"]
    assert drawn
    assert all("aria-label" in shown or shown.get("aria-hidden") == "true" for shown in drawn)


def test_the_report_fetches_nothing(written):
    page = written[1]
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in page.elements
    assert not fetched(page)
    assert {shown["href"][0] for tag, shown in page.elements if tag == "a"} == {"#"}
    targets = {shown["id"] for _, shown in page.elements if "id" in shown}
    assert {shown["href"][1:] for tag, shown in page.elements if tag == "a"} <= targets


def test_what_is_wide_moves_within_itself(written):
    nesting = Nesting(written[1].source)
    assert nesting.outside == nesting.wrong == []
    assert not nesting.open
    assert re.search(r"\.wide \{[^}]* overflow-x: auto", written[1].source)


def test_names_stay_text(written):
    _, page, markdown, _ = written
    assert "<img src=x" not in page.source
    assert any(EVIL in text for text in page.texts)
    assert any(EVIL in piece for piece in page.texts)
    assert escape(EVIL) in markdown
    prose = re.sub("(?s)```.*?```", "", markdown)  # in a fence everything is text
    assert len(prose) < len(markdown)
    assert "<img" not in prose.replace("\\<img", "")


def test_curves_show_losses_and_figures(written):
    _, page, markdown, found = written
    logged = {(one["command"], one["name"]): one["lines"] for one in found["curves"]}
    assert logged["ae-train", "seen_reconstruction"] == {"ae": [[1, 0.5], [2, 0.5], [3, 0.5]]}
    assert logged["gan-train", "adversarial"] == {EVIL: [[1, -0.5]]}  # NaN and what is cut short are left out
    labels = [shown.get("aria-label") for tag, shown in page.elements if tag == "svg"]
    assert "ae-train: reconstruction, training images" in labels
    assert "gan-train: adversarial loss" in labels
    assert "ae-train: reconstruction loss: ae 0.3333" in markdown


def test_hardware_commands_and_counts_are_told(written):
    _, page, markdown, found = written
    plain = html.unescape(page.source)
    assert {"device", "processor", "cores", "torch"} <= set(found["hardware"])
    for value in found["hardware"].values():
        assert value in plain
        assert escape(value) in markdown
    assert len(found["commands"]) == 3
    for command in found["commands"]:
        assert command in plain
        assert command in markdown
    sketches, *models = found["commands"]
    assert sketches == "sketchforge eval sketches --shards out --shards out-canny --samples 2 --seed 0"
    assert models[0].startswith("sketchforge eval images --model runs/ae --shards out --features inception")
    assert found["sketches"][0]["seed"] == 0
    assert found["models"][0]["evaluation"]["options"]["samples"] == 6


def test_markdown_shows_the_images_that_lie_beside_it(place, written):
    _, page, markdown, found = written
    shown = re.findall(r"!\[((?:[^\]\\]|\\.)*)\]\(report\.files/([^)]*)\)", markdown)
    files = {path.name: path for path in (place / "eval" / "report.files").iterdir()}
    assert markdown.count("![") == len(shown)
    assert sorted(name for _, name in shown) == sorted(files)
    # A grid and six ranked images of each model, sketches of one group of folders, and every curve.
    assert len(shown) == 2 + 2 * 6 + 1 + len(found["curves"])
    assert all(alt for alt, _ in shown)
    alts = {shown["alt"] for tag, shown in page.elements if tag == "img"}
    for alt, name in shown:
        if name.endswith(".svg"):
            assert files[name].read_text().startswith("<svg xmlns=")
        else:
            with Image.open(files[name]) as image:
                # Lines do not bear JPEG.
                assert image.format == ("PNG" if name.startswith("sketches") else "JPEG")
                assert min(image.size) > 100
        if name.startswith(("made", "best", "worst")):
            assert re.sub(r"\\(.)", r"\1", alt) in alts


def test_images_of_an_earlier_report_go_and_nothing_else(tmp_path):
    """A report of nothing has no images."""
    folder = tmp_path / "my report.files"
    folder.mkdir()
    ours = (
        "made-1.jpg",
        "best-2-13.jpg",
        "worst-1-1.jpg",
        "curve-10.svg",
        "sketches-3.jpg",
        "sketches-4.png",
    )
    others = ("made-1.png", "made.jpg", "a-made-1.jpg", "best-1.jpg", "sketches-3.jpg.txt")
    for name in (*ours, *others):
        (folder / name).write_text("")
    given = ("--markdown", "my report.md")
    assert reported(tmp_path, *given)[0] == 2, "nothing tells whose they are"
    assert len(list(folder.iterdir())) == len(ours + others)
    (tmp_path / "my report.md").write_text("# sketchforge report\n")
    assert reported(tmp_path, *given)[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(others)
    for name in others:
        (folder / name).unlink()
    (folder / ours[0]).write_text("")
    assert reported(tmp_path, *given)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["my report.md"]


def test_images_are_replaced(place, tmp_path):
    given = {"shards": (place / "out-canny",), "models": (place / "runs" / "ae",)}
    quick = {"samples": 2, "sketches": 1} | {
        "features": (),
        "encoders": (),
        "threads": 1,
        "workers": 1,
        "device": "cpu",
    }
    report = make_report(EvalReportOptions(**given, **quick, markdown=tmp_path / "a b.md"))
    write_report(report)
    first = contents(tmp_path)
    assert "a b.files/made-1.jpg" in first
    assert b"](a%20b.files/made-1.jpg)" in first["a b.md"]
    for name in ("made-1.jpg", "made-2.jpg"):
        (tmp_path / "a b.files" / name).write_bytes(b"of another report")
    write_report(report)
    assert contents(tmp_path) == first


def test_a_named_path_that_is_not_there_is_one_line(tmp_path, capsys):
    for option in ("--shards", "--model", "--held-out"):
        assert (
            run(["eval", "report", option, str(tmp_path / "absent"), "--html", str(tmp_path / "a.html")]) == 2
        )
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert option in error
        assert "absent: no such folder" in error
    assert list(tmp_path.iterdir()) == []

"""`sketchforge eval sketches`: what it prints and writes, and how it refuses."""

import contextlib
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from cli.main import run
from sketchforge.metrics.sketches import evaluate as lines_module
from tests.helpers.annotations import (
    SIDE,
    annotate,
    columns,
    drawings_in,
    fewer_resamplings,
    samples,
    shards_of,
)
from tests.helpers.commands import run_python
from tests.helpers.folders import contents
from tests.helpers.inline_pool import inline_pool
from tests.helpers.pages import EVIL, POLICY, Page
from tests.helpers.stored import store


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """out/ with two styles, canny/ with one, truth/, people/; never written to."""
    folder = tmp_path_factory.mktemp("folders")
    rng = np.random.default_rng(0)
    keys = [f"k{number}" for number in range(4)]
    shards_of(
        folder / "out",
        {key: [columns(5, *rng.integers(0, SIDE, 3)) for _ in "st"] for key in keys},
        ["s", "t"],
    )
    shards_of(folder / "canny", {key: [columns(5, *rng.integers(0, SIDE, 9))] for key in keys}, ["canny"])
    for key in keys[:3]:
        annotate(folder / "truth" / f"{key}.mat", columns(5, 9) == 0, columns(5) == 0)
    drawings_in(folder / "people", subjects=("woman", "cat", "oak", "car"))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _few_resamplings():
    """They say as much about tables, JSON and page."""
    with fewer_resamplings():
        yield


@pytest.fixture(autouse=True)
def _signals_stay(monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)


def words(folders: Path, *more: object) -> list[str]:
    return [
        "eval",
        "sketches",
        "--shards",
        str(folders / "out"),
        "--shards",
        str(folders / "canny"),
        *([] if "--workers" in more else ["--workers", "1"]),
        *map(str, more),
    ]


def everything(folders: Path, *more: object) -> list[str]:
    return words(folders, "--boundaries", folders / "truth", "--references", folders / "people", *more)


@pytest.fixture(scope="module")
def written(folders, tmp_path_factory) -> Path:
    """What the command writes with all that can be measured; beside it what it prints, told.txt."""
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signal.signal", lambda *_: None)
        files = ("--json", folder / "new" / "a.json", "--html", folder / "new" / "a.html")
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            assert run(everything(folders, *files)) == 0
    assert "error" not in err.getvalue()  # a slow machine has a bar there
    (folder / "told.txt").write_text(out.getvalue())
    return folder / "new"


@pytest.mark.parametrize(
    "inline",
    [True, pytest.param(False, marks=pytest.mark.slow)],  # two processes import all there is: five seconds
    ids=["as if by processes", "by processes"],
)
def test_equal_inputs_give_equal_bytes(folders, written, tmp_path, monkeypatch, inline):
    """Whatever the number of processes; the quick test sends the tasks, pickled, to itself."""
    if inline:
        monkeypatch.setattr("sketchforge.metrics.sketches.measure_sets.worker_pool", inline_pool)
    files = ("--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    assert run(everything(folders, *files, "--workers", 2)) == 0
    assert contents(tmp_path) == contents(written)


def test_the_json_says_what_was_measured_with_what(folders, written):
    found = json.loads((written / "a.json").read_text())
    assert (found["format"], found["version"], found["seed"]) == ("sketchforge-sketch-evaluation", 3, 0)
    assert found["options"]["shards"] == [str(folders / "out"), str(folders / "canny")]
    assert [one["annotated"] for one in found["counts"]["shards"]] == [3, 3]
    assert [one["measured"] for one in found["counts"]["references"]] == [4]
    assert len(found["encoder"]) == 64
    assert found["libraries"]["scikit-image"] != "unknown"
    assert [row["name"] for row in found["rows"]] == [
        "s",
        "t",
        "canny",
        "out",
        "people (drawings)",
        "people (each against the others)",
    ]
    for row in found["rows"]:
        for block in ("content", "realism", "variety", "strokes"):
            for figure in row.get(block, {}).values():
                assert {"value", "low", "high", "images"} <= set(figure)
                assert figure["images"] > 0
    reason = {"row": "s", "block": "content", "reason": "no annotation for this key: 1 of 4"}
    assert reason in found["gaps"]


def test_tables_fit_a_terminal(written):
    told = (written.parent / "told.txt").read_text().splitlines()
    assert told[-2:] == [str(written / "a.json"), str(written / "a.html")]
    del told[-2:]
    assert max(len(line) for line in told if not line.startswith("missing: ")) <= 110
    for block in ("content", "realism", "variety", "strokes"):
        assert any(line.startswith(f"{block}: ") for line in told)
    head = next(line for line in told if "F (ODS)" in line)
    row = told[told.index(head) + 1]
    assert row.startswith("s ")
    assert len(row) == len(head)
    assert re.fullmatch(r"s +(\d\.\d{3} \[\d\.\d{3} \d\.\d{3}\] +){4}3", row)
    assert "missing: canny: variety: one style only" in told


def test_what_is_missing_is_said_everywhere(folders, tmp_path, capsys):
    assert (
        run(words(folders, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html", "--samples", 3)) == 0
    )
    told = capsys.readouterr().out
    page = Page(tmp_path / "a.html").source
    gaps = json.loads((tmp_path / "a.json").read_text())["gaps"]
    assert {gap["reason"] for gap in gaps} >= {"no --boundaries", "no --references", "one style only"}
    for gap in gaps:
        assert gap["reason"] in told
        assert gap["reason"] in page
    assert "content: agreement" not in told
    assert "Not measured, see above." in page


def test_the_page_shows_figures_distributions_and_images(written):
    page = Page(written / "a.html")
    headings = re.findall(r"<h2>([^<]*)<?", page.source)
    assert [heading.strip() for heading in headings] == [
        "Not measured",
        "Some of the images",
        "Content",
        "Realism",
        "Variety",
        "Strokes",
        "Strokes, sketch by sketch",
        "What was measured",
    ]
    alts = [shown["alt"] for tag, shown in page.elements if tag == "img"]
    assert alts[:6] == [
        f"k0, {name}" for name in ("photo", "people's boundaries", "s", "t", "canny", "people (drawings)")
    ]
    assert len(page.images()) == 4 * 6 - 1  # one image has no annotation
    plots = [shown for tag, shown in page.elements if tag == "svg" and shown.get("class") == "plot"]
    assert len(plots) == 4 * 6  # three styles and the drawings, six measures
    found = json.loads((written / "a.json").read_text())["rows"][0]["content"]["f_ods"]
    assert f"<b>{found['value']:.3f}</b>" in page.source
    assert f"{found['low']:.3f} to {found['high']:.3f}" in page.source


def test_intervals_and_floors_are_drawn_to_one_scale(written):
    """Of the first cell, F of the first style: dot, bar and mark lie where 0..1 is 4..116."""
    rows = {row["name"]: row for row in json.loads((written / "a.json").read_text())["rows"]}
    figure = rows["s"]["content"]["f_ods"]
    people = rows["people (each against the others)"]["content"]["f_ods"]
    cell = re.search(r'<section id="content">.*?<td>(.*?)</td>', Page(written / "a.html").source, re.DOTALL)[
        1
    ]
    drawn = {
        "value": re.search(r'class="value" cx="([\d.]+)"', cell)[1],
        "low": re.search(r'class="interval" x="([\d.]+)"', cell)[1],
        "people": re.search(r'class="floor" x1="([\d.]+)"', cell)[1],
    }
    for name, number in (("value", figure["value"]), ("low", figure["low"]), ("people", people["value"])):
        assert float(drawn[name]) == pytest.approx(4 + 112 * number, abs=0.06)


def test_nothing_is_fetched_and_no_name_is_trusted(tmp_path):
    name = EVIL.replace("/", "")
    sketches = samples({"k": [columns(5), columns(6)]}, source=EVIL)
    folder = store(tmp_path / name, [sketches], [EVIL, "t"], fit="keep")
    assert (
        run(
            [
                "eval",
                "sketches",
                "--shards",
                str(folder),
                "--workers",
                "1",
                "--html",
                str(tmp_path / "a.html"),
            ]
        )
        == 0
    )
    page = Page(tmp_path / "a.html")
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in page.elements
    assert "<img src=x" not in page.source
    assert page.texts.count(EVIL) == 3
    assert all(shown["src"].startswith("data:") for tag, shown in page.elements if tag == "img")
    rest = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*", "", page.source)
    assert not re.search(r"https?:|url\(|@import|fetch\(", rest)


# --- refusals


def empty(folders: Path, tmp_path: Path) -> list[str]:
    return ["eval", "sketches", "--shards", str(store(tmp_path / "none", [], ["s"], num_shards=3))]


def no_drawings(folders: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "notes").mkdir()
    return words(folders, "--references", tmp_path / "notes")


def other_names(folders: Path, tmp_path: Path) -> list[str]:
    annotate(tmp_path / "truth" / "z.mat", columns(5) == 0)
    return words(folders, "--boundaries", tmp_path / "truth")


def damaged(folders: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "k1.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    return words(folders, "--boundaries", tmp_path / "truth")


def spoilt(folders: Path, tmp_path: Path) -> list[str]:
    sketches = [{"key": "k", "sketches": [b"\x89PNG\r\n\x1a\n no more"]}]
    return ["eval", "sketches", "--shards", str(store(tmp_path / "out", [sketches], ["s"])), "--workers", "1"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (lambda *_: ["eval", "sketches"], 2, "Missing option '--shards'"),
        (
            lambda *_: ["eval", "sketches", "--shards", "nowhere"],
            2,
            "nowhere: no such folder; expected shards",
        ),
        (
            lambda folders, _: ["eval", "sketches", "--shards", str(folders / "people")],
            2,
            "holds no manifest.json",
        ),
        (empty, 2, "none: holds no samples"),
        (
            lambda folders, _: words(folders, "--boundaries", folders / "none"),
            2,
            "no such folder; expected annotations",
        ),
        (other_names, 2, "no annotation for any of 4 samples"),
        (damaged, 1, "k1.mat: not a ground-truth file of BSDS500"),
        (
            lambda folders, _: words(folders, "--references", folders / "none"),
            2,
            "no such folder; expected human",
        ),
        (no_drawings, 2, "notes: no images found"),
        (spoilt, 1, "00000.tar: cannot be read (truncated"),
    ],
)
def test_refusals_are_one_line(folders, tmp_path, capsys, arguments, code, told):
    output = tmp_path / "written"
    found = arguments(folders, tmp_path)
    assert run([*found, "--json", str(output / "a.json"), "--html", str(output / "a.html")]) == code
    printed = capsys.readouterr()
    assert printed.out == "", printed.err
    assert printed.err.count("\n") == 1, printed.err
    assert told in printed.err, printed.err
    assert not output.exists()


def test_missing_libraries_are_named(folders, monkeypatch, capsys):
    found = lines_module.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sklearn" else found(name))
    assert run(words(folders)) == 1
    said = capsys.readouterr().err
    assert said == "error: measuring sketches needs scikit-learn: pip install 'sketchforge[eval]'\n"


def test_interrupted_it_leaves_nothing(folders, tmp_path, monkeypatch, capsys):
    calls = []

    def strike(*_):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(*_)

    from sketchforge.metrics.sketches import measure_sketch as one_sketch

    measure = one_sketch.measure_strokes
    monkeypatch.setattr(one_sketch, "measure_strokes", strike)
    assert run(words(folders, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")) == 130
    assert os.listdir(tmp_path) == []
    assert "interrupted: nothing was written" in capsys.readouterr().err


def test_help_needs_no_heavy_library():
    """Nor does a module be imported that only the measurement needs, before it is known to be there."""
    done = run_python(
        "import sys\nfrom cli.main import run\ncode = run(['eval', 'sketches', '--help'])\n"
        "print(code, sorted({'torch', 'cv2', 'numpy', 'skimage', 'sklearn'} & set(sys.modules)))\n"
        "import sketchforge.metrics.sketches.evaluate\nprint(sorted({'skimage', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    assert done.stdout.splitlines()[-2:] == ["0 []", "[]"], done.stderr
    assert "Example: sketchforge eval sketches" in done.stdout


def test_options_come_from_a_file_or_variables(folders, tmp_path, monkeypatch, capsys):
    config = tmp_path / "c.toml"
    config.write_text(f'[eval.sketches]\nshards = ["{folders / "canny"}"]\nsamples = 2\nworkers = 1\n')
    assert run(["--config", str(config), "eval", "sketches", "--json", str(tmp_path / "a.json")]) == 0
    assert json.loads((tmp_path / "a.json").read_text())["options"]["samples"] == 2
    config.write_text("[eval.sketches]\nsample = 2\n")
    capsys.readouterr()
    assert run(["--config", str(config), "eval", "sketches"]) == 2
    assert "unknown key 'sample' in [eval.sketches]" in capsys.readouterr().err
    monkeypatch.setenv("SKETCHFORGE_EVAL_SKETCHES_SAMPLES", "x")
    assert run(words(folders)) == 2

"""`--json`: one document with format and version, and a stdout that holds nothing else."""

import json
import shutil
from functools import cache

import pytest

from cli.main import run
from sketchforge.metrics.sketches import evaluate
from tests.helpers.photos import make_photos

pytestmark = pytest.mark.usefixtures("quick_measures")
CANNY = ["--method", "canny", "--size", "32", "--workers", "1"]


@pytest.fixture
def call(capfd, monkeypatch, tmp_path):
    """Run the command line in a folder with shards in `a` and `b`: (exit code, stdout, stderr)."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    photos = make_photos(tmp_path / "in", 2)
    for folder in "ab":
        assert run(["render", "--images", str(photos), *CANNY, "--shards", folder]) == 0
    capfd.readouterr()

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return call


def test_verify_says_in_json_what_it_prints(call, tmp_path):
    (tmp_path / "b" / "00000.tar").write_bytes(b"")
    code, out, err = call("verify", "a", "b", "nowhere", "--json")
    found = json.loads(out)
    assert code == 2
    assert (found["format"], found["version"]) == ("sketchforge-verification", 1)
    a, b, nowhere = found["folders"]
    assert [entry["intact"] for entry in found["folders"]] == [True, False, False]
    assert a == {
        "folder": "a", "error": None, "intact": True, "problems": [],
        "shards": 2, "samples": 2, "sketches": 2, "failed": 0, "bytes": a["bytes"],
    }  # fmt: skip
    assert set(b) == set(nowhere) == set(a)
    assert b["problems"]
    assert all(problem in err for problem in b["problems"])
    assert (b["error"], nowhere["samples"]) == (None, None)
    assert f"error: {nowhere['error']}\n" in err
    assert "a: intact, 2 samples" in err


def test_a_single_folder_that_cannot_be_read_has_its_document_too(call):
    code, out, err = call("inspect", "nowhere", "--json")
    assert code == 2
    (entry,) = json.loads(out)["folders"]
    assert entry == {"folder": "nowhere", "error": entry["error"], "contents": None}
    assert err == f"error: {entry['error']}\n"


def test_inspect_says_in_json_what_it_prints(call):
    code, out, err = call("inspect", "a", "b", "--json", "-")
    assert code == 0
    found = json.loads(out)
    assert (found["format"], found["version"]) == ("sketchforge-inspection", 1)
    assert [entry["folder"] for entry in found["folders"]] == ["a", "b"]
    contents = found["folders"][0]["contents"]
    assert contents["samples"] == contents["read"]["samples"] == 2
    assert contents["shards"] == {"finished": 2, "count": 2}
    assert contents["read"]["sizes"] == [{"width": 32, "height": 32, "samples": 2}]
    (style,) = contents["read"]["styles"]
    assert style["name"] == "canny"
    assert 0 < style["ink"]["p10"] <= style["ink"]["mean"] <= style["ink"]["p90"] < 1
    assert f" {100 * style['ink']['mean']:.2f} " in err
    assert "samples   2" in err


def test_eval_puts_its_document_on_stdout(call, monkeypatch):
    measure = evaluate.evaluate_sketches
    monkeypatch.setattr(evaluate, "evaluate_sketches", cache(lambda options, _: measure(options)))
    words = ("eval", "sketches", "--shards", "a", "--samples", 1, "--workers", 1)
    code, out, err = call(*words, "--json")
    assert code == 0
    assert json.loads(out)["format"] == "sketchforge-sketch-evaluation"
    assert "strokes" in err
    code, quiet, err = call(*words, "--json", "-q")
    assert (code, quiet, err) == (0, out, "")
    code, told, _ = call(*words, "--json", "a.json")
    assert code == 0
    assert told.splitlines()[-1] == "a.json"
    with open("a.json") as file:
        assert file.read() == out


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_file_of_somebody_else_stays(call, tmp_path, command):
    (tmp_path / "mine.json").write_text("{}")
    code, _, err = call(command, "a", "--json", "mine.json")
    assert code == 2
    assert "not of sketchforge's making" in err
    assert (tmp_path / "mine.json").read_text() == "{}"
    for _ in range(2):  # its own is replaced
        assert call(command, "a", "--json", "new/ours.json")[0] == 0


def test_a_folder_is_no_file_for_json(call):
    code, _, err = call("verify", "--json", "a")
    assert code == 2
    assert "--json for stdout comes last, or is `--json -`" in err


def test_names_that_are_not_text_are_no_obstacle(call, tmp_path):
    name = b"out\xff".decode(errors="surrogateescape")
    shutil.copytree(tmp_path / "a", tmp_path / name)
    code, out, _ = call("verify", name, "--json")
    assert code == 0
    assert json.loads(out)["folders"][0]["folder"] == "out\ufffd"

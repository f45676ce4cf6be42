"""manifest.json and run.json from anybody: whatever stands in them, one line or a result, and soon."""

import copy
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from sketchforge.checkpoints.run_log import read_log
from sketchforge.checkpoints.runs import check_continues, find_model, read_record
from sketchforge.data.augment import stored_pair
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.order import SampleOrder
from sketchforge.errors import SketchforgeError
from sketchforge.metrics.sketches.inputs import find_shards
from sketchforge.options import ExportOptions, GalleryOptions, InspectOptions, RenderOptions
from sketchforge.render.render import render
from sketchforge.report.gallery.gallery import gallery
from sketchforge.report.gallery.inspect import inspect
from sketchforge.report.summary.inputs import find_inputs
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.synthesis.export import export
from sketchforge.utils import files
from sketchforge.utils.markdown import escape, fence
from tests.helpers.folders import contents
from tests.helpers.photos import make_photos
from tests.helpers.stored import png, store
from tests.helpers.synthesis_models import ae_run

HOSTILE = [None, [1], {"a": 1}, "x" * 300, -1, 10**12, 10**30, 1.5, True, "\0", "../../x", [], {}, [[]] * 3]
# Every place takes a third of the values in the quick tests, and neighbours take others.
EVERY = pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
SECONDS = 20  # of one reader, far more than it takes and far less than a hostile number would cost


def places(value, path=()):
    """Every place in JSON, by the keys that lead there."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def replaced(value, path, other):
    if not path:
        return other
    value = copy.copy(value)
    value[path[0]] = replaced(value[path[0]], path[1:], other)
    return value


def variants(record, every=1):
    """The record with each place taken by hostile values, all or every so many by turns, and without it."""
    for number, path in enumerate(places(record)):
        for other in HOSTILE[number % every :: every]:
            yield f"{'.'.join(map(str, path))}={other!r:.20}", replaced(record, path, other)
        if path and isinstance(path[-1], str):
            parent = copy.deepcopy(record)
            inner = parent
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            yield f"without {'.'.join(map(str, path))}", parent


def survives(what, reader):
    start = time.perf_counter()
    try:
        reader()
    except SketchforgeError as error:
        assert "\n" not in str(error), what
        assert len(str(error)) < 1500, what
    except Exception as error:
        pytest.fail(f"{what}: {type(error).__name__}: {error}")
    assert time.perf_counter() - start < SECONDS, what


def sample(key):
    return {"key": key, "sketches": [png(np.full((8, 8), 255, np.uint8))] * 2}


@EVERY
@pytest.mark.parametrize("unfinished", [0, 1])
def test_any_manifest_is_read_or_refused_in_one_line(tmp_path, unfinished, every):
    folder = store(
        tmp_path / "out", [[sample("a"), sample("b")], [sample("c")]], ["x", "y"], num_shards=2 + unfinished
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    page, sheet = tmp_path / "page.html", tmp_path / "sheet.png"

    def first_sample():
        shards = open_shards(folder).require(2, one_size=False)
        ShardDataset(shards, SampleOrder(shards.shard_sizes, 0), stored_pair, 2, True)[0]

    readers = [
        lambda: verify(folder),
        lambda: inspect(InspectOptions(folder)),
        lambda: gallery(GalleryOptions(folder, sheet, page)),
        first_sample,
        lambda: find_shards([folder], 1),
        lambda: find_inputs([folder], []),
    ]
    whole = contents(folder)
    for what, changed in variants(manifest, every):
        files.write_json(folder / "manifest.json", changed)
        for number, reader in enumerate(readers):
            survives(f"{what}, reader {number}", reader)
    assert {name for name in contents(folder)} == set(whole), "and nothing was added or removed"


@EVERY
def test_a_rendering_goes_on_from_any_manifest_or_refuses_it_in_one_line(tmp_path, every):
    photos = make_photos(tmp_path / "in", 2)
    options = RenderOptions(tmp_path / "out", photos, method="canny", size=16, workers=1)
    render(options)
    manifest = json.loads((options.shards / "manifest.json").read_text())
    whole = contents(options.shards)
    for what, changed in variants(manifest, every):
        if changed == manifest:
            continue
        files.write_json(options.shards / "manifest.json", changed)
        survives(what, lambda: render(options))
        left = contents(options.shards)
        assert {name: left[name] for name in whole if name != "manifest.json"} == {
            name: data for name, data in whole.items() if name != "manifest.json"
        }, what


@EVERY
def test_any_record_of_a_training_is_read_or_refused_in_one_line(tmp_path, monkeypatch, every):
    monkeypatch.chdir(tmp_path)
    ae_run(tmp_path / "runs" / "ae")
    path = tmp_path / "runs" / "ae" / "run.json"
    record = json.loads(path.read_text()) | {
        "options": {"seed": 1, "device": "cpu", "recipe": "demo"},
        "recipe": {"steps": 4},
        "steps_done": 3,
        "shards": {"count": 3, "digest": "ab" * 32},
        "trained_with": "cd" * 32,
    }
    run = path.parent

    def goes_on():
        found = read_record(run, record["format"], record["version"])
        done = found.get("steps_done", 0) >= 5
        check_continues(run, found, record | {"options": {"seed": 2}})
        return done

    out = tmp_path / "m.safetensors"
    readers = [
        lambda: find_model(run),
        lambda: export(ExportOptions(run, out, overwrite=True)),
        goes_on,
        lambda: find_inputs([], [run]),
    ]
    for what, changed in variants(record, every):
        files.write_json(path, changed)
        for number, reader in enumerate(readers):
            survives(f"{what}, reader {number}", reader)


def test_records_without_end_are_refused(tmp_path):
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(SketchforgeError, match="cannot be read as a manifest"):
        verify(tmp_path)
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(SketchforgeError, match="cannot be read as JSON"):
        read_record(tmp_path, "x", 1)
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n' + "[" * 100_000 + "\n" + "9" * 5000 + "\n")
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1}]


def test_a_record_larger_than_any_of_ours_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 1000)
    (tmp_path / "manifest.json").write_text(json.dumps({"x": "y" * 2000}))
    with pytest.raises(SketchforgeError, match="more than 1,000 bytes"):
        verify(tmp_path)


EVIL = "a`|b\n# c <img src=x onerror=alert(1)> [click](javascript:alert(1)) **bold** ```\n| d |"


def test_text_of_others_stays_text_in_a_model_card(tmp_path):
    run = ae_run(tmp_path / "ae")
    evil = tmp_path / "evil ` <b> | [x](javascript:y)"
    shutil.copytree(run, evil)
    record = json.loads((evil / "run.json").read_text())
    (evil / "run.json").write_text(
        json.dumps(record | {"figures": {f"seen_{EVIL}": 1.0}, "trained_with": EVIL})
    )
    _rewrite(
        evil / "model.safetensors",
        {
            "recipe": {EVIL: [EVIL]},
            "options": {"recipe": EVIL, "seed": EVIL},
            "steps": EVIL,
            "shards": {"count": EVIL, "digest": EVIL},
        },
    )
    _, card = export(ExportOptions(evil, tmp_path / "m.safetensors"))
    text = card.read_text(encoding="utf-8")
    assert escape(EVIL)[:40] in text
    for markup in ("<img", "](javascript", "**bold**", "\n# c", "\n| d |"):
        assert markup not in text.replace("\\", "\\\\").replace("\\\\<", "").replace("\\\\]", "").replace(
            "\\\\*\\\\*", ""
        ), markup
    table = [line for line in text.splitlines() if line.startswith("|")]
    for line in table:
        assert line.replace("\\|", "").count("|") == 3, line


def _rewrite(path: Path, changes: dict) -> None:
    from sketchforge.checkpoints.autoencoder import FORMAT, VERSION
    from sketchforge.checkpoints.tensor_files import load_tensors, save_tensors

    tensors, metadata = load_tensors(path, FORMAT, VERSION)
    save_tensors(path, FORMAT, VERSION, tensors, metadata | changes)


def test_no_line_ends_a_block_of_code():
    lines = ["a ``` b", "````"]
    block = fence(lines)
    assert block[0] == block[-1] == "`````"
    assert block[1:-1] == lines
    assert fence(["plain"]) == ["```", "plain", "```"]

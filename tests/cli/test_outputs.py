"""Where commands write: nothing that is not ours is replaced, no URL becomes a folder, no link is followed."""

import os
import re
import stat
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cli.main import COMMANDS, main, run
from cli.usage_errors import DESTRUCTIVE
from sketchforge.errors import UsageError
from sketchforge.images.encode import write_png
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.utils import files
from sketchforge.utils.files import atomic_write, remove_abandoned
from sketchforge.utils.lock import lock
from sketchforge.utils.outputs import check_output, is_ours
from tests.helpers.commands import environment
from tests.helpers.folders import contents
from tests.helpers.photos import make_photos
from tests.helpers.synthesis_models import ae_run, drawing


@pytest.fixture(autouse=True)
def signals_stay(monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    photos = make_photos(folder / "in", 3)
    render(RenderOptions(folder / "out", photos, method="canny", size=32, workers=1))
    return folder


# Pages, sheets, tables of figures.


def test_a_photo_is_not_replaced_by_a_page(rendered, tmp_path, capsys):
    photo = tmp_path / "p.jpg"
    Image.new("RGB", (9, 9)).save(photo)
    before = photo.read_bytes()
    for option in ("--html", "--png"):
        assert run(["gallery", str(rendered / "out"), option, str(photo)]) == 2
        assert f"expected a name that ends in .{option[2:]}" in capsys.readouterr().err
    assert contents(tmp_path) == {"p.jpg": before}


@pytest.mark.parametrize(("option", "name"), [("--html", "page.html"), ("--png", "sheet.png")])
def test_what_is_ours_is_replaced_and_what_is_not_is_refused(rendered, tmp_path, capsys, option, name):
    path = tmp_path / name
    arguments = ["gallery", str(rendered / "out"), option, str(path), "--rows", "1"]
    assert run(arguments) == 0
    assert is_ours(path)
    first = path.read_bytes()
    assert run(arguments) == 0, "the same command again"
    assert path.read_bytes() == first, "the same command again"
    Image.new("RGB", (9, 9)).save(path, "PNG")
    mine = path.read_bytes()
    assert run(arguments) == 2
    assert path.read_bytes() == mine
    told = capsys.readouterr().err
    assert f"{name}: is there already and not of sketchforge's making; name another {option}" in told
    assert run([*arguments, "--overwrite"]) == 0
    assert path.read_bytes() == first


EVALUATIONS = {
    "sketches": ["eval", "sketches", "--shards", "out"],
    "images": ["eval", "images", "--model", "runs/ae", "--shards", "out"],
    "compare": ["eval", "compare", "in", "in"],
    "report": ["eval", "report"],
}


@pytest.mark.parametrize("name", EVALUATIONS)
@pytest.mark.parametrize("option", ["--html", "--json"])
def test_evaluations_refuse_before_they_measure(rendered, tmp_path, capsys, monkeypatch, name, option):
    monkeypatch.chdir(rendered)
    path = tmp_path / f"mine.{option[2:]}"
    path.write_text("{}")
    assert run([*EVALUATIONS[name], option, str(path)]) == 2
    assert "is there already and not of sketchforge's making" in capsys.readouterr().err
    assert path.read_text() == "{}"
    assert run([*EVALUATIONS[name], option, str(tmp_path / "figures.txt")]) == 2
    assert f"expected a name that ends in .{option[2:]}" in capsys.readouterr().err


def test_our_own_records_are_no_tables_of_figures(rendered):
    """A manifest has a format of ours, too; it is nothing that a command may write over."""
    for name in ("manifest.json", "00000.stats.json"):
        with pytest.raises(UsageError, match="is there already"):
            check_output(rendered / "out" / name, "--json", overwrite=False)


def test_a_grid_of_somebody_else_is_not_replaced(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ae_run(tmp_path / "runs" / "ae")
    drawing(tmp_path / "in", "d.png")
    Image.new("RGB", (40, 40), "red").save(tmp_path / "s.png")
    (tmp_path / "made").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "made" / "grid.png")
    before = contents(tmp_path / "made")
    arguments = ["synthesize", "--sketch", "in/d.png", "--style", "s.png", "--out", "made", "--device", "cpu"]
    for more in ([], ["--overwrite"]):
        assert run([*arguments, *more]) == 2
        assert "grid.png: is there already and not of our making" in capsys.readouterr().err
        assert contents(tmp_path / "made") == before
    (tmp_path / "made" / "grid.png").unlink()
    assert run(arguments) == 0
    assert run(arguments) == 0


# URLs.


URL_OPTIONS = [
    ["gallery", "out", "--png", "s3://bucket/a.png"],
    ["tom-train", "--run", "s3://bucket/run"],
    ["ae-train", "--run", "gs://bucket/run"],
    ["gan-train", "--run", "gs://bucket/run"],
    ["style2paints-train", "--run", "gs://bucket/run"],
    ["segin-train", "--run", "gs://bucket/run"],
    ["diffsketching-train", "--run", "gs://bucket/run"],
    ["synthesize", "--out", "s3://bucket/made"],
    ["export", "--out", "s3://bucket/m.safetensors"],
    ["encoder-train", "--images", ".", "--out", "s3://bucket/e.safetensors"],
    ["eval", "report", "--html", "s3://bucket/r.html"],
    ["eval", "sketches", "--shards", "out", "--json", "s3://bucket/r.json"],
]


@pytest.mark.parametrize("arguments", URL_OPTIONS, ids=" ".join)
def test_a_url_never_becomes_a_folder(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert "URLs" in told
    assert list(tmp_path.iterdir()) == []


def test_python_refuses_the_same_outputs(tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="URLs are neither read nor written"):
        render(RenderOptions(Path("s3://bucket/out"), method="canny"))
    assert list(tmp_path.iterdir()) == []


# What errors suggest.


def every_command(group=main, path=()):
    import click

    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name), command


def test_no_option_that_throws_something_away_is_ever_proposed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = 0
    for path, command in every_command():
        names = {option for parameter in command.params for option in parameter.opts}
        if not names & {*DESTRUCTIVE}:
            continue
        for typo in (
            "--over",
            "--overridden",
            "--overwrit",
            "--overwrites",
            "--force",
            "--fresh",
            "--owerwrite",
        ):
            assert run([*path, typo]) == 2
            told = capsys.readouterr().err
            assert "No such option" in told, told
            assert "--overwrite" not in told.partition("id you mean")[2], told
            asked += 1
    assert asked > 50
    assert len(COMMANDS) > 10


# Temporary files.


@pytest.mark.skipif(os.name != "posix", reason="POSIX links and locks")
def test_no_link_that_was_planted_is_followed(tmp_path):
    """Not under the name that files used to have while they were written, and none can be foreseen."""
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".a.json.part").symlink_to(theirs)
    names = set()
    for _ in range(3):
        with atomic_write(out / "a.json") as file:
            file.write(b"{}")
            (partial,) = (
                path for path in out.iterdir() if re.fullmatch(r"\.a\.json\.[0-9a-f]{16}\.part", path.name)
            )
            assert stat.S_ISREG(partial.lstat().st_mode)
            names.add(partial.name)
    assert len(names) == 3
    assert theirs.read_text() == "precious"
    assert (out / "a.json").read_bytes() == b"{}"


@pytest.mark.skipif(os.name != "posix", reason="POSIX links and locks")
def test_a_name_that_is_taken_is_not_written_through(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0" * 16)
    (tmp_path / f".a.json.{'0' * 16}.part").symlink_to(theirs)
    with pytest.raises(FileExistsError):
        files.write_bytes(tmp_path / "a.json", b"{}")
    assert theirs.read_text() == "precious"
    assert not (tmp_path / "a.json").exists()


@pytest.mark.skipif(os.name != "posix", reason="POSIX links and locks")
def test_a_lock_is_not_written_through_a_link(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    (tmp_path / ".render.lock").symlink_to(theirs)
    with pytest.raises(OSError), lock(tmp_path / ".render.lock"):
        pass
    assert theirs.read_text() == "precious"


@pytest.mark.skipif(os.name != "posix", reason="POSIX links and locks")
def test_what_the_dead_have_left_is_removed_and_what_the_living_write_is_not(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from sketchforge.utils.files import atomic_write
with atomic_write(Path(sys.argv[1])) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.json")], env=environment(), check=False)
    (dead,) = tmp_path.iterdir()
    (tmp_path / ".mine.part").write_text("mine")
    with atomic_write(tmp_path / "b.json") as file:
        file.write(b"living")
        remove_abandoned(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
        assert dead.name not in left, left
        assert len(left) == 2, left
    assert {path.name for path in tmp_path.iterdir()} == {"b.json", ".mine.part"}


@pytest.mark.skipif(os.name != "posix", reason="POSIX links and locks")
def test_writing_a_file_again_clears_what_was_left_of_it(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / f".{name}.{'1' * 16}.part").write_text("half")
    files.write_bytes(tmp_path / "a.json", b"{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".b.json.{'1' * 16}.part", "a.json"]


def test_long_names_have_room(tmp_path):
    name = "n" * 240 + ".png"
    write_png(tmp_path / name, np.zeros((9, 9), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == [name]

"""`doctor` says what is there, what does not work and what to do next, whatever is broken."""

import configparser
import json
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from cli.main import run
from sketchforge.checkpoints.catalog import KNOWN, WeightFile
from sketchforge.doctor import drawing, installation, machine
from sketchforge.doctor.checkup import CHECKS, check_health
from sketchforge.doctor.finding import ABSENT, FAIL, OK, WARN, Finding, describe_bytes, hide_home
from sketchforge.errors import SketchforgeError
from tests.helpers.commands import ROOT

Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command in process: (exit code, stdout, stderr)."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(*words):
        code = run(["doctor", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def without_drawing(monkeypatch, *more):
    """The checks that take no time, and `more`."""
    quick = [(name, check) for name, check in CHECKS if name not in ("drawing", "workers", "weights")]
    monkeypatch.setattr(check_health, "__defaults__", ([*quick, *more],))


def test_a_sound_installation_is_called_so(call, monkeypatch):
    code, stdout, stderr = call()
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert not [line for line in lines if line.startswith(FAIL)]
    assert lines[-1].startswith("all that must work does")
    drawn = next(line for line in lines if line.startswith("ok      drawing"))
    assert "10 sketches of a built-in photo in" in drawn
    for name in ("builtin", "tom", "foreground", "synthesizer"):
        assert f"ok      weights {name}" in stdout
    for line in lines[:-1]:
        assert line.split()[0] in (OK, WARN, ABSENT, "->")


def test_json_has_what_the_lines_have(call, monkeypatch):
    without_drawing(monkeypatch)
    _, lines, _ = call()
    code, stdout, _ = call("--json")
    report = json.loads(stdout)
    assert (code, report["format"], report["version"], report["healthy"]) == (
        0,
        "sketchforge-doctor",
        1,
        True,
    )
    assert all(set(check) == {"status", "name", "text", "next"} for check in report["checks"])
    assert [line.split()[1] for line in lines.splitlines()[:-1] if not line.startswith(" ")] == [
        check["name"].split()[0] for check in report["checks"]
    ]


def test_a_check_that_breaks_is_a_failure_and_the_others_go_on(call, monkeypatch):
    def broken():
        raise OSError(f"{Path.home()}/secret is gone")
        yield

    def later():
        yield Finding(OK, "later", "was looked at")

    without_drawing(monkeypatch, ("broken", broken), ("later", later))
    code, stdout, _ = call()
    assert code == 1
    assert "fail    broken              OSError: ~/secret is gone" in stdout
    assert "ok      later               was looked at" in stdout
    assert stdout.splitlines()[-1].startswith("not in good health: 1 of")
    assert str(Path.home()) not in stdout
    assert json.loads(call("--json")[1])["healthy"] is False


def test_nothing_tells_where_somebody_works(call, monkeypatch, tmp_path):
    (tmp_path / "very private").mkdir()
    monkeypatch.chdir(tmp_path / "very private")
    monkeypatch.setenv("SKETCHFORGE_RENDER_TOM", "private run")
    without_drawing(monkeypatch)
    stdout = call()[1]
    assert "SKETCHFORGE_RENDER_TOM" in stdout
    assert "private" not in stdout


def test_every_extra_that_users_install_is_looked_for():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = set(setup["options.extras_require"])
    assert set(installation.EXTRAS) == extras - {"test", "dev", "docs"}


def test_what_is_needed_and_what_is_optional_is_told_apart(monkeypatch):
    requirements = [
        "torch>=2.4",
        "click",
        "pillow-heif>=0.22; extra == 'heic'",
        'moto[server]; extra == "test"',
    ]
    monkeypatch.setattr(installation.metadata, "requires", lambda _: requirements)
    assert installation.list_requirements() == (
        ["torch", "click"],
        {"heic": ["pillow-heif"], "test": ["moto"]},
    )
    monkeypatch.setattr(
        installation, "installed_version", lambda name, missing="": "" if name != "torch" else "2.4"
    )
    (missing, _) = list(installation.check_packages())[:2]
    assert missing == Finding(FAIL, "packages", "missing: click", "pip install click")
    heic = next(each for each in installation.check_extras() if each.name == "extra heic")
    assert (heic.status, heic.next_step) == (ABSENT, "pip install 'sketchforge[heic]'")


def test_a_library_that_cannot_be_loaded_is_a_failure(monkeypatch):
    def broken(name):
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(installation, "import_module", broken)
    failed = {each.name: each for each in installation.check_packages() if each.status == FAIL}
    assert set(failed) == {distribution for distribution, _ in installation.COMPILED}
    assert "apt-get install libglib2.0-0 libgl1" in failed["opencv-python-headless"].next_step


def test_weights_of_the_package_have_to_be_sound_and_others_need_not(monkeypatch, tmp_path):
    def damaged(self, path):
        raise SketchforgeError(f"{path}: damaged")

    monkeypatch.setenv("SKETCHFORGE_WEIGHTS", str(tmp_path))
    (tmp_path / KNOWN["hed"].file_names[0]).write_bytes(b"no weights")
    monkeypatch.setattr(WeightFile, "check", damaged)
    found = {each.name: each.status for each in installation.check_weights()}
    assert found["weights tom"] == found["weights builtin"] == FAIL
    assert found["weights hed"] == WARN
    assert found["weights"] == ABSENT
    monkeypatch.setattr(WeightFile, "found", lambda self: None)
    assert [each.status for each in installation.check_weights()].count(FAIL) == 4


@pytest.mark.parametrize(("free", "status"), [(1 << 20, WARN), (1 << 40, OK)])
def test_little_room_is_warned_of(monkeypatch, free, status):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Usage(free, 0, free))
    monkeypatch.setattr(machine, "read_memory", lambda: (free, free))
    found = [*machine.check_disks(), *machine.check_cores()]
    looked_at = {each.name: each.status for each in found if each.name != "cores"}
    assert set(looked_at.values()) == {status}
    assert {"disk here", "disk cache", "disk temp", "memory"} <= set(looked_at)
    assert all(each.next_step for each in found if each.status == WARN)


def test_memory_is_what_the_system_says(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:  300 kB\n")
    assert machine.read_memory(tmp_path / "meminfo") == (1024000, 307200)
    assert machine.read_memory(tmp_path / "absent") is None


def test_a_processor_that_computes_wrongly_is_a_failure(monkeypatch):
    import torch

    assert [each.status for each in machine.check_devices()][-1] == OK
    right = torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *arguments: 2 * right(*arguments))
    wrong = next(each for each in machine.check_devices() if each.name == "cpu")
    assert (wrong.status, wrong.text) == (FAIL, "the processor: does not compute: a gradient comes out wrong")


def test_blank_sketches_are_a_failure(monkeypatch):
    white = np.full((32, 32), 255, np.uint8)
    lines = np.zeros((32, 32), np.uint8)
    monkeypatch.setattr("sketchforge.render.sketch.sketch", lambda _: {"outline": white, "brush": lines})
    (found,) = drawing.check_drawing()
    assert found.status == FAIL
    assert found.text.endswith("blank by outline")


def test_sizes_and_homes():
    assert (describe_bytes(1.5e9), describe_bytes(2.4e7)) == ("1.5 GB", "24 MB")
    assert hide_home(Path.home() / "a") == "~/a"

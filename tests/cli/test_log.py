"""`--log`: what a command says, with times, at the end of a file."""

import logging
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from cli.log import LogFile
from cli.main import run
from tests.helpers.commands import environment
from tests.helpers.photos import make_photos

CANNY = ["--method", "canny", "--size", "32", "--workers", "1"]
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 \[(\d+)\] (DEBUG|INFO|WARNING|ERROR) (.+)")


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


def lines_of(path) -> list[tuple[str, str]]:
    """(level, text) of every line; each has its time and process."""
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    assert all(found), path.read_text()
    return [(match[2], match[3]) for match in found]


def test_a_log_has_the_command_what_it_said_and_how_it_ended(call, tmp_path):
    photos = make_photos(tmp_path / "in", 12)
    (photos / "x.jpg").write_text("no image")
    words = ["render", "--images", photos, *CANNY, "--shards"]
    code, out, _ = call(*words, "b", "--log", "logs/all.log")
    lines = lines_of(tmp_path / "logs" / "all.log")
    assert code == 0
    assert lines[0][1].endswith("--shards b --log logs/all.log")
    assert "sketchforge render --images" in lines[0][1]
    texts = [text for _, text in lines]
    assert out.splitlines()[-1] in texts  # the next step
    assert any("x.jpg: not an image" in text for text in texts)  # as --verbose has it
    assert re.fullmatch(r"ended after [\d.]+ s, exit code 0", texts[-1])
    counts = [text for text in texts if re.match(r"image: \d+ of 13", text)]
    assert len(counts) == 10  # tenths in place of the bar
    assert not any(char in "".join(texts) for char in "\r█\x1b")


def test_a_log_grows_and_has_errors_of_quiet_commands_too(call, tmp_path):
    for _ in range(2):
        assert call("verify", "nowhere", "-q", "--log", "a.log")[0] == 2
    lines = lines_of(tmp_path / "a.log")
    assert [level for level, _ in lines] == ["INFO", "ERROR", "INFO"] * 2
    assert lines[1][1].startswith("nowhere: no such folder")
    assert lines[2][1].endswith("exit code 2")


def test_a_fault_of_the_program_leaves_where_it_was(call, monkeypatch, tmp_path):
    def fail(*_):
        raise RuntimeError("some fault")

    monkeypatch.setattr("sketchforge.shards.verify.verify", fail)
    assert call("--log", "a.log", "verify", "out")[0] == 1
    text = (tmp_path / "a.log").read_text()
    assert "ERROR unexpected RuntimeError: some fault" in text
    assert "in fail" in text
    lines_of(tmp_path / "a.log")


@pytest.mark.parametrize("words", [["--help"], ["render", "--help"]])
def test_help_leaves_no_log(call, tmp_path, words):
    assert call("--log", "a.log", *words)[0] == 0
    assert not (tmp_path / "a.log").exists()


def test_files_that_are_no_logs_stay_as_they_are(call, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    code, _, err = call("verify", "nowhere", "--log", "photo.jpg")
    assert (code, err.count("\n")) == (2, 1)
    assert "no log of sketchforge's" in err
    assert (tmp_path / "photo.jpg").read_bytes() == b"\xff\xd8\xff"
    code, _, err = call("verify", "nowhere", "--log", "photo.jpg/a.log")
    assert (code, err.count("\n")) == (2, 1)
    assert "--log photo.jpg/a.log: cannot be written" in err
    assert call("verify", "nowhere", "--log", "s3://bucket/a.log")[0] == 2
    assert not (tmp_path / "s3:").exists()


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(call, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    code, _, err = call("verify", "nowhere", "--log", "pipe")
    assert (code, err.count("\n")) == (2, 1)
    assert "--log pipe: cannot be written" in err


def test_lines_hold_neither_passwords_nor_control_characters(tmp_path):
    log = LogFile(tmp_path / "a.log")
    log.write("INFO", "from https://me:secret@host/x\nand \x1b[2Jname\r\n")
    assert [text for _, text in lines_of(tmp_path / "a.log")] == [
        "from https://***@host/x",
        "and \\x1b[2Jname",
    ]


def test_a_disk_that_is_full_ends_the_log_and_not_the_work(tmp_path, monkeypatch, capsys):
    log = LogFile(tmp_path / "a.log")
    log.write("INFO", "first")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.write("INFO", "second")
    log.write("INFO", "third")
    monkeypatch.undo()
    assert capsys.readouterr().err == (
        f"warning: --log {tmp_path / 'a.log'}: No space left on device; not logged further\n"
    )
    assert lines_of(tmp_path / "a.log") == [("INFO", "first")]


def test_warnings_are_logged_and_handlers_removed(call, monkeypatch):
    def warn(*_):
        logging.getLogger("sketchforge.shards").warning("beware")
        raise KeyboardInterrupt

    monkeypatch.setattr("sketchforge.shards.verify.verify", warn)
    assert call("verify", "out", "--log", "a.log")[0] == 130
    level = logging.getLogger("sketchforge").level
    assert level == logging.NOTSET  # and what was attached is gone
    assert not logging.getLogger("cli").handlers
    text = open("a.log").read()
    assert "WARNING sketchforge.shards: beware" in text
    assert "exit code 130" in text


def test_an_interruption_is_logged_with_what_is_kept(tmp_path):
    """A real process with a worker process, struck while it draws."""
    photos = make_photos(tmp_path / "in", 40)
    log = tmp_path / "a.log"
    words = [
        "render",
        "--images",
        photos,
        "--shards",
        tmp_path / "out",
        "--method",
        "canny",
        "--workers",
        "1",
    ]
    command = [sys.executable, "-m", "sketchforge", *map(str, words), "--log", str(log)]
    started = subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while started.poll() is None and not (log.exists() and " of 40" in log.read_text()):
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    lines = lines_of(log)
    assert lines[-2][0] == "ERROR"
    assert lines[-2][1].startswith("interrupted: ")
    assert lines[-2][1] in err
    assert lines[-1][1].endswith("exit code 130")

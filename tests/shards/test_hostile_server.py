"""Whatever a server does, a fetch ends soon: with the right bytes or with one line. `make soak` tries more."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import resource
import shlex
import signal
import socket
import tempfile
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch

from sketchforge.checkpoints.run_log import read_log
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.shards.cache import ShardCache
from sketchforge.shards.shard_set import open_shards
from sketchforge.storage.fetch import FetchPolicy
from sketchforge.storage.folder import RemoteFolder
from sketchforge.storage.temporary_folder import TemporaryFolder
from sketchforge.utils import files
from tests.helpers import hostile_server as hostile
from tests.helpers.commands import run_python
from tests.helpers.folders import contents
from tests.helpers.forks import COMMAND_LINE, Forked
from tests.helpers.hostile_server import hostile_server, in_turn, name_of
from tests.helpers.stream import make_set

SHARD = random.Random(0).randbytes(40_960)
SHA256 = hashlib.sha256(SHARD).hexdigest()
NAME = "00000.tar"
SECONDS = 20  # far more than any trial takes
SOCKET_BYTES = 16 << 20  # that the system takes from a server before it notices that nobody reads on
HASTY = FetchPolicy(stall_seconds=0.4, tries=3, first_pause=0)


def open_shard(server, folder: Path, policy: FetchPolicy = HASTY) -> bytes:
    with ShardCache(folder, 4).open(RemoteFolder(server.url, policy), NAME, len(SHARD), SHA256) as file:
        return file.read()


def refusal(server, folder: Path, policy: FetchPolicy = HASTY) -> str:
    with pytest.raises(SketchforgeError) as error:
        open_shard(server, folder, policy)
    assert not folder.exists() or not list(folder.iterdir()), "nothing is left"
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(f"{server.url}/{NAME}: could not be fetched")
    return text


@pytest.mark.parametrize("behaviour", hostile.BENIGN, ids=name_of)
def test_servers_answer_in_different_ways(tmp_path, behaviour):
    with hostile_server({NAME: SHARD}, in_turn(behaviour)) as server:
        assert open_shard(server, tmp_path) == SHARD


@pytest.mark.parametrize("behaviour", hostile.PASSING, ids=name_of)
def test_what_may_pass_is_tried_again(tmp_path, caplog, behaviour):
    with hostile_server({NAME: SHARD}, in_turn(behaviour, hostile.good)) as server:
        assert open_shard(server, tmp_path) == SHARD
        assert server.requests[NAME] == 2
        (warning,) = caplog.messages
        assert warning.startswith(f"{server.url}/{NAME}: ")
        assert warning.endswith("; try 2 of 3 in 0 s")
        assert "\n" not in warning
        assert server.sent <= 2 * len(SHARD) + SOCKET_BYTES


@pytest.mark.parametrize("behaviour", [hostile.endless_trailers, hostile.endless_continues], ids=name_of)
def test_lines_without_end_are_given_up_at_once(tmp_path, behaviour):
    """Not as late as a stall would be: it would read for a minute whatever comes."""
    patient = FetchPolicy(stall_seconds=SECONDS, tries=1)
    start = time.monotonic()
    with hostile_server({NAME: SHARD}, in_turn(behaviour)) as server:
        assert "no valid HTTP answer" in refusal(server, tmp_path, patient)
    assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("behaviour", hostile.LASTING, ids=name_of)
def test_what_lasts_is_not_tried_again(tmp_path, behaviour):
    with hostile_server({NAME: SHARD}, in_turn(behaviour)) as server:
        refusal(server, tmp_path)
        assert server.requests[NAME] == 1
        assert server.requests.total() <= 6, "five redirections at most"


CAUSES = {
    hostile.cut: "cut off after 20,480 of 40,960 bytes",
    hostile.short: "20480 bytes, but the manifest says 40960",
    hostile.endless: "more than 40960 bytes, but the manifest says 40960",
    hostile.other_contents: "SHA-256 ",
    hostile.stall: "stalled: fewer than 1,024 bytes in 0.8 s",
    hostile.drip: "stalled",
    hostile.drip_headers: "stalled",
    hostile.mute: "stalled",
    hostile.garbage: "no valid HTTP answer",
    hostile.refuse: "HTTP 500 Internal Server Error",
    hostile.redirect: "redirected more than 5 times, or in a circle",
}


@pytest.mark.parametrize("behaviour", CAUSES, ids=name_of)
def test_the_last_line_says_how_often_it_was_tried_and_why_it_failed(tmp_path, behaviour):
    tries = 1 if behaviour is hostile.redirect else 2
    policy = FetchPolicy(
        stall_seconds=0.8, tries=2, first_pause=0
    )  # a busy machine takes a while to answer at all
    with hostile_server({NAME: SHARD}, in_turn(behaviour)) as server:
        text = refusal(server, tmp_path, policy)
        assert CAUSES[behaviour] in text
        assert ("in 2 tries" in text) == (tries == 2)
        assert server.requests[NAME] == tries


def test_redirections_are_followed(tmp_path):
    with hostile_server({NAME: SHARD}, in_turn(hostile.good)) as other:
        moved = partial(hostile.redirect, to=f"{other.url}/{NAME}")
        with hostile_server({NAME: SHARD}, in_turn(moved)) as server:
            assert open_shard(server, tmp_path) == SHARD


def test_a_refused_connection_is_tried_again(tmp_path, caplog):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(SketchforgeError, match=r"in 3 tries \(Connection refused\)"):
            ShardCache(tmp_path, 1).open(RemoteFolder(url, HASTY), NAME, len(SHARD), SHA256)
    assert len(caplog.messages) == 2


def test_pauses_between_tries_double(tmp_path):
    pauses = []
    policy = FetchPolicy(sleep=pauses.append)
    with hostile_server({NAME: SHARD}, in_turn(hostile.refuse)) as server:
        refusal(server, tmp_path, policy)
    assert pauses == [1, 2, 4, 8]


def test_a_password_in_the_url_becomes_a_header(tmp_path):
    seen = []

    def behave(exchange, data):
        seen.append(exchange.headers["Authorization"])
        hostile.good(exchange, data)

    with hostile_server({NAME: SHARD}, in_turn(behave)) as server:
        server.url = server.url.replace("127", "me:se%63ret@127")
        assert open_shard(server, tmp_path) == SHARD
    assert seen == ["Basic bWU6c2VjcmV0"]


def test_a_shard_that_the_disk_has_no_room_for_is_not_begun(tmp_path):
    with hostile_server({NAME: SHARD}, in_turn(hostile.good)) as server:
        with pytest.raises(SketchforgeError, match=f"{NAME[:5]}.*cannot be cached .*bytes, but .* are free"):
            ShardCache(tmp_path, 1).open(RemoteFolder(server.url, HASTY), NAME, 1 << 60, SHA256)
        assert server.requests.total() == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line_and_is_not_tried_again(tmp_path, monkeypatch):
    class Full:
        def seek(self, *_): ...
        def truncate(self): ...
        def fileno(self): ...
        def write(self, data):
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr("sketchforge.shards.cache.atomic_write", lambda path: _context(Full()))
    with hostile_server({NAME: SHARD}, in_turn(hostile.good)) as server:
        with pytest.raises(SketchforgeError, match=r"\.tar: cannot be cached \(No space left on device\)"):
            open_shard(server, tmp_path)
        assert server.requests.total() == 1


class _context:
    def __init__(self, value):
        self.value = value

    def __enter__(self):
        return self.value

    def __exit__(self, *_): ...


# Commands.


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
@pytest.mark.parametrize("command", ["sleep 1000", "echo x; sleep 1000 & sleep 1000", "exec >&-; sleep 1000"])
def test_a_command_that_stalls_is_killed_with_all_it_has_started(tmp_path, command):
    note = tmp_path / "pid"
    remote = RemoteFolder(
        f"pipe:echo $$ > {shlex.quote(str(note))}; {command} # {{}}", FetchPolicy(stall_seconds=0.3, tries=1)
    )
    with pytest.raises(SketchforgeError, match="stalled|status -9"):
        ShardCache(tmp_path / "cache", 1).open(remote, NAME, len(SHARD), SHA256)
    assert_no_group(int(note.read_text()))


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
def test_of_an_endless_command_no_more_is_taken_than_wanted(tmp_path):
    remote = RemoteFolder("pipe:cat /dev/zero # {}", FetchPolicy(tries=1))
    with pytest.raises(SketchforgeError, match="more than 40960 bytes, but the manifest says 40960"):
        ShardCache(tmp_path, 1).open(remote, NAME, len(SHARD), SHA256)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_command_does_not_outlive_a_process_that_is_killed(tmp_path):
    note = tmp_path / "pid"
    code = """
import os, shlex, signal, sys, threading, time
from pathlib import Path
from sketchforge.shards.cache import ShardCache
from sketchforge.storage.folder import RemoteFolder
def kill_when_it_runs():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill_when_it_runs).start()
note = shlex.quote(sys.argv[1])
remote = RemoteFolder(f"pipe:echo $$ > {note}x; mv {note}x {note}; sleep 1000 # {{}}")
ShardCache(Path(sys.argv[2]), 1).open(remote, "00000.tar", 1, "0" * 64)
"""
    assert run_python(code, note, tmp_path / "cache").returncode == -signal.SIGKILL
    assert_no_group(int(note.read_text()))


def assert_no_group(group: int) -> None:
    """No process of the group runs any more, or soon none does."""
    deadline = time.monotonic() + SECONDS
    while any(running_group == group for _, running_group in running_processes()):
        assert time.monotonic() < deadline, f"group {group} still runs"
        time.sleep(0.01)


def running_processes() -> list[tuple[int, int]]:
    """(process, its group) of all that run; what was killed and waits for its parent does not."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            state, _, group = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:3]
            if state != "Z":
                found.append((int(entry), int(group)))
    return found


# The manifest.


@pytest.fixture(scope="module")
def served_files(tmp_path_factory) -> dict[str, bytes]:
    return contents(make_set(tmp_path_factory.mktemp("served") / "out"))


def only_manifest(*behaviours):
    behave = in_turn(*behaviours)
    return lambda name, number: behave(name, number) if name == "manifest.json" else hostile.good


@pytest.mark.parametrize(
    "behaviour", [hostile.cut, hostile.short, hostile.stall, hostile.hang_up, hostile.refuse], ids=name_of
)
def test_a_manifest_is_tried_again(served_files, behaviour):
    with hostile_server(served_files, only_manifest(behaviour, hostile.good)) as server:
        shards = open_shards(server.url, policy=HASTY)
        with shards.open(0) as file:
            assert file.read() == served_files["00000.tar"]


def test_a_manifest_without_end_is_given_up(served_files, monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 1 << 16)
    with hostile_server(served_files, only_manifest(hostile.endless)) as server:
        with pytest.raises(UsageError, match=r"manifest.json: could not be fetched \(more than 65,536 bytes"):
            open_shards(server.url, policy=HASTY)
        assert server.requests.total() == 1
        assert server.sent < SOCKET_BYTES


@pytest.mark.parametrize("text", [b"<html>Log in</html>", b'{"format": "another"}', b'{"format": 1}'])
def test_a_foreign_manifest_is_asked_for_once(text, caplog):
    with hostile_server({"manifest.json": text}, in_turn(hostile.good)) as server:
        with pytest.raises(SketchforgeError) as error:
            open_shards(server.url, policy=HASTY)
        assert str(error.value).startswith(f"{server.url}/manifest.json: ")
        assert server.requests.total() == 1


def test_shards_of_another_set_than_the_manifest_are_noticed(served_files, tmp_path):
    other = contents(make_set(tmp_path / "other", sizes=[3, 3, 3, 3]))

    def behave(name, number):
        return lambda exchange, data: hostile.good(exchange, data if name == "manifest.json" else other[name])

    with hostile_server(served_files, behave) as server:
        with pytest.raises(SketchforgeError, match=r"00000.tar: .* but the manifest says"):
            open_shards(server.url, policy=HASTY).open(0)


# The temporary folder.


@pytest.fixture
def own_temporary(tmp_path, monkeypatch) -> Path:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def test_folders_of_killed_processes_are_removed_and_those_of_the_living_are_not(own_temporary):
    code = """
import os, signal, sys, tempfile
from sketchforge.storage.temporary_folder import TemporaryFolder
tempfile.tempdir = sys.argv[1]
(TemporaryFolder().path / "00000-0.tar").write_bytes(b"x")
os.kill(os.getpid(), signal.SIGKILL)
"""
    living = TemporaryFolder()
    (living.path / "00001.tar").write_bytes(b"y")
    run_python(code, own_temporary)
    assert len(list(own_temporary.iterdir())) == 2
    mine = TemporaryFolder()
    assert {*own_temporary.iterdir()} == {living.path, mine.path}
    assert (living.path / "00001.tar").exists()
    for folder in (living, mine):
        folder.remove()
    assert not list(own_temporary.iterdir())


def test_links_and_files_of_others_with_such_names_stay(own_temporary, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / ".owner.lock").write_text("")
    (own_temporary / "sketchforge-files-a").symlink_to(precious)
    (own_temporary / "sketchforge-files-b").write_text("a file")
    TemporaryFolder().remove()
    assert (precious / ".owner.lock").exists()
    assert len(list(own_temporary.iterdir())) == 2


# Trainings.

SMALL = """
from dataclasses import replace
import trainers.autoencoder.recipe as ae
ae.RECIPES["demo"] = replace(ae.RECIPES["demo"], width=0.0625, style_dim=32)
"""


def working_in(folder: Path) -> list[int]:
    found = []
    for process, _ in running_processes():
        with suppress(OSError):
            if os.readlink(f"/proc/{process}/cwd") == str(folder):
                found.append(process)
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize(
    ("kind", "workers", "sent", "code"),
    [("http", 0, signal.SIGINT, 130), ("pipe", 1, signal.SIGTERM, 143)],
)
def test_a_signal_while_a_shard_stalls_ends_a_training_saved_and_leaves_nothing(
    tmp_path, tmp_path_factory, kind, workers, sent, code
):
    temporary = tmp_path_factory.mktemp(
        "t"
    )  # short: sockets of processes lie in it, whose paths have a limit
    served = make_set(tmp_path / "out", sizes=[1] * 16)
    held_out = make_set(tmp_path / "held", sizes=[2])
    for name in ("cwd", "seen"):
        (tmp_path / name).mkdir()
    stalled = tmp_path / "stalled"

    def behave(name, number):
        if len(server.requests) <= 9:  # the manifest and the first pool of shards
            return hostile.good
        stalled.touch()
        return hostile.stall

    with hostile_server(contents(served), behave) as server:
        source = server.url if kind == "http" else (
            f"pipe:cd {shlex.quote(str(tmp_path))}; touch seen/{{}}; "
            "test $(ls seen | wc -l) -le 9 || { touch stalled; sleep 1000; }; cat out/{}"
        )  # fmt: skip
        training = Forked(
            SMALL + COMMAND_LINE, "ae-train", "--shards", source, "--validation", held_out, "--run", tmp_path / "run",
            "--steps", 100_000, "--batch-size", 2, "--workers", workers, "--threads", 1, "--device", "cpu",
            cwd=tmp_path / "cwd", TMPDIR=str(temporary),
        )  # fmt: skip
        log = tmp_path / "run" / "log.jsonl"
        training.until(lambda: stalled.exists() and log.exists() and len(read_log(log)) >= 3)
        assert training.poll() is None, training.wait().stderr
        # With workers, batches may be ready still; all are trained on before the process waits.
        training.send_signal(sent)
        start = time.monotonic()
        training.wait()
        assert time.monotonic() - start < 10
        assert training.returncode == code
    assert "interrupted: " in training.stderr
    assert "Traceback" not in training.stderr
    steps = read_log(log)[-1]["step"]
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == steps
    deadline = time.monotonic() + SECONDS
    # The server that forks workers takes a moment to see that it is alone.
    while working_in(tmp_path / "cwd"):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.01)
    assert not list(temporary.iterdir())


def test_trials_at_random_end_with_the_right_bytes_or_one_line(tmp_path, pytestconfig, capsys, caplog):
    caplog.set_level(logging.CRITICAL)
    trials, seed = pytestconfig.getoption("--server"), pytestconfig.getoption("--campaign-seed")
    seen: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(trials):
        rng = random.Random(f"{seed} server {number}")
        chosen = [hostile.random_behaviour(rng) for _ in range(HASTY.tries)]
        folder, start = tmp_path / str(number), time.monotonic()
        what = f"trial {number} of seed {seed}: {', '.join(map(name_of, chosen))}"
        with hostile_server({NAME: SHARD}, in_turn(*chosen)) as server:
            try:
                assert open_shard(server, folder) == SHARD, what
                seen["fetched" if server.requests[NAME] == 1 else "fetched after other tries"] += 1
            except SketchforgeError as error:
                assert "\n" not in str(error), what
                assert all(
                    behaviour not in hostile.BENIGN for behaviour in chosen[: server.requests[NAME]]
                ), what
                seen["refused"] += 1
            assert server.sent < HASTY.tries * (len(SHARD) + SOCKET_BYTES), what
        assert time.monotonic() - start < SECONDS, what
        assert all(
            path.suffix == ".tar" and path.stat().st_size == len(SHARD) for path in folder.iterdir()
        ), what
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 500, "mebibytes; most of it is the server's own"
    assert seen.total() == trials
    assert len(seen) == 3
    with capsys.disabled():
        print(f"\n{trials} servers, {grown:.0f} MiB more: {dict(seen)}")

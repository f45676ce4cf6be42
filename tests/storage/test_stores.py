"""Shards and images in a store are what they are in a folder, whatever the store does."""

from __future__ import annotations

import dataclasses
import gc
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from cli.main import run
from sketchforge.data.pairs import pairs
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources import find_images
from sketchforge.images.sources.make_index import make_index
from sketchforge.render.render import render
from sketchforge.shards.verify import verify
from sketchforge.shards.writer import ShardWriter
from sketchforge.storage import filesystems
from sketchforge.storage import lease as leases
from sketchforge.storage.fetch import FetchPolicy, fetch_bytes
from sketchforge.storage.filesystems import connect
from sketchforge.storage.folder import LocalFolder, RemoteFolder, folder_at
from sketchforge.storage.lease import lease
from tests.helpers import hostile_server as hostile
from tests.helpers.captions import without_caption
from tests.helpers.folders import contents
from tests.helpers.hostile_server import hostile_server, in_turn
from tests.helpers.s3_server import CUT, LOSE, REFUSE, STALL

HASTY = FetchPolicy(stall_seconds=2, tries=3, first_pause=0)


def download(url: str, folder: Path) -> Path:
    """Everything below a URL, hidden files included."""
    filesystem, path = connect(url)
    for file in filesystem.find(path):
        target = folder / file.removeprefix(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(filesystem.cat_file(file))
    return folder


def upload(folder: Path, url: str) -> str:
    filesystem, path = connect(url)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            filesystem.pipe_file(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return url


def test_a_folder_in_a_store_has_the_bytes_of_one_here_and_no_other_files(store, rendered, tmp_path):
    render(dataclasses.replace(rendered, shards=store))
    assert contents(download(store, tmp_path / "out")) == contents(rendered.shards)


def test_an_interrupted_rendering_leaves_whole_shards_and_the_same_command_makes_the_rest(
    store, rendered, tmp_path, monkeypatch
):
    options, add = dataclasses.replace(rendered, shards=store), ShardWriter.add

    def interrupted(self, record):
        if self._address.endswith("00001.tar"):
            raise KeyboardInterrupt
        add(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render(options)
    assert set(folder_at(store).list()) == {"00000.jsonl", "00000.tar", "00000.stats.json", "manifest.json"}
    assert render(options).num_kept == 1
    assert contents(download(store, tmp_path / "out")) == contents(rendered.shards)


def test_a_shard_whose_object_is_shorter_is_made_again(store, rendered, tmp_path):
    upload(rendered.shards, store)
    folder_at(store).write("00001.tar", b"cut")
    render(dataclasses.replace(rendered, shards=store))
    assert contents(download(store, tmp_path / "out")) == contents(rendered.shards)


def test_tasks_in_a_store_make_what_one_run_makes(store, rendered, tmp_path):
    for task in (2, 0, 1):
        summary = render(dataclasses.replace(rendered, shards=store, task_id=task, num_tasks=3))
    assert summary.complete
    assert contents(download(store, tmp_path / "out")) == contents(rendered.shards)


def test_other_options_and_foreign_files_are_refused(store, rendered):
    folder_at(store).write("thesis.txt", b"x")
    with pytest.raises(UsageError, match="holds files that are not sketchforge's"):
        render(dataclasses.replace(rendered, shards=store))
    folder_at(store).remove("thesis.txt")
    upload(rendered.shards, store)
    with pytest.raises(UsageError, match="was made with --size 48, now 40"):
        render(dataclasses.replace(rendered, shards=store, size=40))


def test_verify_reads_a_store_as_it_reads_a_folder(store, rendered):
    upload(rendered.shards, store)
    assert dataclasses.astuple(verify(store)) == dataclasses.astuple(verify(rendered.shards))


def test_verify_names_what_a_store_lacks_or_has_altered(store, rendered):
    upload(rendered.shards, store)
    folder = folder_at(store)
    folder.remove("00000.jsonl")
    folder.write("00001.tar", b"x" + folder.read("00001.tar")[1:])
    folder.write("7.tar", b"")
    problems = verify(store).problems
    assert "7.tar: foreign, the manifest does not know it" in problems
    assert "00000.jsonl: missing" in problems
    assert "00001.tar: altered, its SHA-256 is not the one in the manifest" in problems


def test_inspect_and_gallery_show_what_they_show_of_a_folder(store, rendered, tmp_path, capsys):
    upload(rendered.shards, store)
    assert run(["inspect", str(rendered.shards)]) == 0
    local = capsys.readouterr().out.replace(str(rendered.shards), "FOLDER")
    assert run(["inspect", store]) == 0
    assert capsys.readouterr().out.replace(store, "FOLDER") == local
    for name, folder in (("here", str(rendered.shards)), ("there", store)):
        assert run(["gallery", folder, "--png", str(tmp_path / f"{name}.png")]) == 0
    there, here = (without_caption(tmp_path / f"{name}.png") for name in ("there", "here"))
    np.testing.assert_array_equal(there, here)  # the caption names the folder


def test_trainings_read_the_samples_of_a_store(store, rendered):
    upload(rendered.shards, store)
    here, there = (list(pairs(place)) for place in (rendered.shards, store))
    assert [repr(pair) for pair in there] == [repr(pair) for pair in here]


def test_what_was_fetched_is_gone_with_whoever_fetched_it(store, rendered, tmp_path, monkeypatch):
    """Also where a part of a set is read, which outlives the set."""
    upload(rendered.shards, store)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(["inspect", store]) == 0
    assert run(["verify", store]) == 0
    assert len(list(pairs(store))) == 10
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "source",
    ["", "/*.png", "/{scene0,scene1}.png", "/list.txt"],
    ids=["folder", "wildcard", "braces", "list"],
)
def test_images_of_a_store_have_the_keys_and_bytes_of_those_here(store, photos, tmp_path, source):
    names = sorted(path.name for path in photos.iterdir())
    pngs = [name for name in names if name.endswith(".png")]
    here = tmp_path / "in"
    here.mkdir()
    for number, name in enumerate(pngs[:4]):
        (here / f"scene{number}.png").write_bytes((photos / name).read_bytes())
    if source == "/list.txt":
        (here / "list.txt").write_text("# mine\nscene1.png\nscene0.png\n")
    upload(here, store)
    expected, images = find_images(f"{here}{source}"), find_images(f"{store}{source}")
    assert [(image.key, image.source) for image in images] == [
        (image.key, image.source) for image in expected
    ]
    assert [image.read() for image in images] == [image.read() for image in expected]


def test_tars_of_a_store_give_the_same_shards(store, rendered, tmp_path):
    upload(rendered.shards, store)
    options = dataclasses.replace(rendered, images=f"{rendered.shards}/*.tar", shards=tmp_path / "here")
    render(options)
    render(dataclasses.replace(options, images=f"{store}/*.tar", shards=tmp_path / "there"))
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_an_index_of_tars_in_a_store_gives_the_plan_that_their_headers_give(store, rendered, tmp_path):
    upload(rendered.shards, store)
    expected = list(find_images(f"{store}/*.tar"))
    make_index(f"{store}/*.tar", tmp_path / "tars.index")
    folder = folder_at(store)
    assert list(find_images(tmp_path / "tars.index")) == expected
    folder.write("00001.tar", folder.read("00001.tar") + bytes(512))
    with pytest.raises(
        UsageError, match=r"00001.tar: has changed since .*tars.index was made; run `sketchforge index"
    ):
        find_images(tmp_path / "tars.index")
    folder.remove("00001.tar")
    with pytest.raises(UsageError, match="00001.tar: is gone since"):
        find_images(tmp_path / "tars.index")


def test_a_folder_of_shards_is_no_folder_of_images(store, rendered):
    upload(rendered.shards, store)
    with pytest.raises(UsageError, match="holds shards made by sketchforge"):
        find_images(store)


@pytest.mark.parametrize("fault", [REFUSE, CUT, STALL])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_fault_of_the_server_is_tried_again(s3, caplog, fault, method):
    folder = RemoteFolder(f"{s3.url}/out", HASTY)
    folder.write("a.bin", bytes(5000))
    s3.fail_once(fault, method, "a.bin")
    before = s3.requests[method]
    folder.write("a.bin", b"7" * 5000) if method == "PUT" else None
    assert folder.read("a.bin") == (b"7" if method == "PUT" else b"\0") * 5000
    assert s3.requests[method] - before >= 2
    assert all(text.startswith(f"{s3.url}/out/a.bin: ") for text in caplog.messages)


@pytest.mark.parametrize("fault", [REFUSE, CUT])
def test_a_rendering_under_faults_has_the_same_bytes(s3, rendered, tmp_path, fault):
    count = [0]

    def every_fifth(*_):
        count[0] += 1
        return fault if count[0] % 5 == 0 else None

    s3.faults = every_fifth
    render(dataclasses.replace(rendered, shards=f"{s3.url}/out"))
    s3.faults = lambda *_: None
    assert count[0] > 20
    assert contents(download(f"{s3.url}/out", tmp_path / "out")) == contents(rendered.shards)


def test_a_server_that_is_down_is_one_line_and_keeps_what_is_finished(s3, rendered, caplog):
    options = dataclasses.replace(rendered, shards=f"{s3.url}/out")
    s3.faults = lambda method, path: REFUSE if method == "PUT" and path.endswith("00001.tar") else None
    with pytest.raises(
        SketchforgeError, match=r"out/00001.tar: could not be written in 5 tries \(.*; try it"
    ):
        render(options)
    s3.faults = lambda *_: None
    assert render(options).num_kept == 1


def test_a_second_rendering_is_refused_while_the_first_is_at_work(store, rendered):
    with lease(folder_at(store), ".render.lock"):
        with pytest.raises(SketchforgeError, match=f"at work there .process {os.getpid()} on"):
            render(dataclasses.replace(rendered, shards=store))
        with pytest.raises(SketchforgeError, match="at work there"):
            render(dataclasses.replace(rendered, shards=store, num_tasks=2))
    with lease(folder_at(store), ".task-1-of-2.lock"), pytest.raises(SketchforgeError, match="at work there"):
        render(dataclasses.replace(rendered, shards=store))
    assert folder_at(store).list() == {}


@pytest.mark.parametrize("holder", [f"process 4194305 on {socket.gethostname()}", "process 7 on elsewhere"])
def test_a_lock_that_a_killed_process_left_is_taken(store, rendered, monkeypatch, holder):
    if "elsewhere" in holder:
        monkeypatch.setattr(leases, "LEASE_SECONDS", -1.0)
    folder_at(store).write(".render.lock", f"{holder}\ntoken\n".encode())
    assert render(dataclasses.replace(rendered, shards=store)).complete
    assert ".render.lock" not in folder_at(store).list()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_a_lock_of_a_killed_process_that_nobody_has_waited_for_is_taken(store, rendered):
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    killed.kill()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    text = f"process {killed.pid} on {socket.gethostname()}\ntoken\n"
    folder_at(store).write(".render.lock", text.encode())
    assert render(dataclasses.replace(rendered, shards=store)).complete
    killed.communicate()


def test_a_lock_is_renewed_as_long_as_it_is_held(store, monkeypatch, caplog):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    folder = folder_at(store)
    with lease(folder, ".render.lock"):
        text = folder.read(".render.lock")
        folder.remove(".render.lock")  # as one that took it for abandoned does
        for _ in range(1000):
            if caplog.messages:
                break
            folder.remove(".render.lock")
            time.sleep(0.01)
    assert "could not be renewed" in caplog.messages[0]
    assert text.startswith(b"process ")


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_web_server_is_read_without_a_list_of_its_files(rendered, capsys, command):
    names = {path.name: path.read_bytes() for path in rendered.shards.iterdir()}
    with hostile_server(names, in_turn(hostile.good)) as server:
        assert run([command, server.url]) == 0
        assert run([command, str(rendered.shards)]) == 0
        there, here = capsys.readouterr().out.rstrip().rsplit(str(rendered.shards), 1)
        assert here.strip() in there


def test_tars_of_a_web_server_give_the_same_shards(rendered, tmp_path):
    names = {path.name: path.read_bytes() for path in rendered.shards.glob("*.tar")}
    options = dataclasses.replace(
        rendered, images=f"{rendered.shards}/{{00000..00002}}.tar", shards=tmp_path / "here"
    )
    render(options)
    with hostile_server(names, in_turn(hostile.ranged)) as server:
        url = f"{server.url}/{{00000..00002}}.tar"
        render(dataclasses.replace(options, images=url, shards=tmp_path / "there"))
    with hostile_server(names, in_turn(hostile.good)) as server:  # which knows no ranges
        url = f"{server.url}/{{00000..00002}}.tar"
        render(dataclasses.replace(options, images=url, shards=tmp_path / "third"))
    assert contents(tmp_path / "there") == contents(tmp_path / "third") == contents(tmp_path / "here")


def test_a_lock_whose_answer_was_lost_is_held(s3):
    """The first PUT arrives, its answer does not: made again, it finds a lock, which is its own."""
    folder = RemoteFolder(f"{s3.url}/out", HASTY)
    s3.fail_once(LOSE, "PUT", ".render.lock")
    with lease(folder, ".render.lock"):
        assert ".render.lock" in folder.list()
    assert folder.list() == {}


def test_another_part_than_was_asked_for_is_not_taken_for_it(tmp_path):
    """A server that answers 206 with whatever part it likes: an image has no digest that would tell."""
    with hostile_server({"a.bin": bytes(range(200))}, in_turn(hostile.other_part)) as server:
        with pytest.raises(
            SketchforgeError, match=r"another part was sent than asked for \(bytes 7-16/200\)"
        ):
            fetch_bytes(f"{server.url}/a.bin", 10, HASTY, offset=50)


def test_a_folder_that_cannot_be_listed_is_one_line(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SketchforgeError, match="cannot be listed .Permission denied"):
        LocalFolder(tmp_path).list()


def test_what_did_not_arrive_whole_is_sent_again(caplog, monkeypatch):
    filesystem, _ = connect("memory://")
    send, half = filesystem.pipe_file, [True]

    def lossy(path, data, *_, **__):
        send(path, data[: len(data) // 2] if half and half.pop() else data)

    monkeypatch.setattr(filesystem, "pipe_file", lossy)
    folder = RemoteFolder("memory://lossy/out", HASTY)
    folder.write("a.bin", bytes(100))
    assert folder.find_size("a.bin") == 100
    assert "50 bytes came to be there, of 100; try 2 of 3" in caplog.messages[0]


def test_where_stores_show_what_is_half_sent_it_has_another_name_until_it_is_whole(monkeypatch):
    monkeypatch.setattr(filesystems, "_ATOMIC", set())
    filesystem, _ = connect("memory://")
    sent, send = [], filesystem.pipe_file
    monkeypatch.setattr(filesystem, "pipe_file", lambda path, data: (sent.append(path), send(path, data)))
    folder = RemoteFolder("memory://slow/out", HASTY)
    folder.write("a.bin", b"1")
    folder.write("a.bin", b"22")
    assert sent == ["/slow/out/.a.bin.part"] * 2
    assert folder.list() == {"a.bin": 2}


def test_only_one_of_two_claims_a_file(store):
    folder = folder_at(store)
    assert [folder.claim("a", b"1"), folder.claim("a", b"2")] == [True, False]
    assert folder.read("a") == b"1"


def test_a_file_url_is_a_folder_here(tmp_path):
    assert folder_at(f"file://{tmp_path}/a%20b") == LocalFolder(tmp_path / "a b")


def test_a_client_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UsageError, match=r"gs://b: the client for gs:// is not installed; pip install"):
        connect("gs://b")


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["render", "--shards", "s9://b/out"], "no file system is known by s9://"),
        (["render", "--images", "s9://b/in", "--shards", "out"], "no file system is known by s9://"),
        (["render", "--images", "http://h/*.tar", "--shards", "out"], "does not list its files"),
        (["render", "--shards", "http://h/out"], "can only be read from"),
        (["render", "--shards", "simplecache::s3://b/out"], "one file system within another is not taken"),
        (["verify", "memory://nothing"], "manifest.json: could not be fetched"),
        (["inspect", "memory://nothing"], "manifest.json: could not be fetched"),
        (["render", "--images", "memory://nothing", "--shards", "out"], "no such folder or file"),
    ],
)
def test_places_that_cannot_be_are_told_in_one_line(command, problem, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(command) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

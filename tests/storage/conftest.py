"""Stores: in memory, and an S3 server of this machine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sketchforge.storage import fetch
from sketchforge.storage.filesystems import connect


@pytest.fixture(scope="session")
def _s3_server():
    pytest.importorskip("s3fs", reason="needs s3fs (the extra `remote`)")
    pytest.importorskip("moto.server", reason="needs moto's server")
    from tests.helpers.s3_server import s3_server

    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as server:
        yield server


@pytest.fixture
def s3(_s3_server, request, monkeypatch):
    """The server, with a bucket of the test's own at `url`; pauses between tries take no time."""
    monkeypatch.setattr(fetch, "time", SimpleNamespace(sleep=lambda _: None))
    bucket = f"b{abs(hash(request.node.nodeid)) % 10**12}"
    _s3_server.faults = lambda *_: None
    filesystem, _ = connect(f"s3://{bucket}")
    filesystem.mkdir(bucket)
    _s3_server.url = f"s3://{bucket}"
    yield _s3_server
    _s3_server.faults = lambda *_: None
    filesystem.rm(bucket, recursive=True)


@pytest.fixture(params=["memory", "s3"])
def store(request):
    """The URL of an empty folder in a store."""
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3').url}/in"
        return
    filesystem, _ = connect("memory://")
    yield "memory://test/in"
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]

"""`sketchforge app`: what it refuses, where it listens, how it ends."""

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

pytest.importorskip("starlette", reason="the page's server: pip install 'sketchforge[app]'")
pytest.importorskip("uvicorn", reason="the page's server: pip install 'sketchforge[app]'")

from cli.main import run
from tests.helpers.app_server import image_file, line_drawing
from tests.helpers.commands import environment


def refusal(capsys, *arguments):
    code = run(["app", "--no-browser", *map(str, arguments)])
    return code, capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, message = refusal(capsys, "--port", other.getsockname()[1])
    assert code == 2
    assert "--port 0 takes any that is free" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("option", ["--model", "--style"])
def test_what_is_not_there_is_named_before_anything_is_served(capsys, tmp_path, option):
    code, message = refusal(capsys, "--port", 0, option, tmp_path / "absent.bin")
    assert code == 2
    assert "absent.bin" in message
    assert message.count("\n") == 1


def test_a_model_file_that_is_damaged_ends_the_command(capsys, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    code, message = refusal(capsys, "--port", 0, "--model", broken)
    assert code in (1, 2)
    assert "broken.safetensors" in message
    assert message.count("\n") == 1


def test_without_the_extra_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "sketchforge.app.serve", raising=False)
    code, message = refusal(capsys)
    assert code == 2
    assert "pip install 'sketchforge[app]'" in message


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """A server of its own, and the address that it printed."""
    command = [
        sys.executable,
        "-m",
        "sketchforge",
        "app",
        "--no-browser",
        "--port",
        "0",
        "--model",
        "builtin",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    cwd = tmp_path_factory.mktemp("app")
    with subprocess.Popen(command, cwd=cwd, env=environment(), **pipes) as process:
        try:
            lines = [process.stdout.readline(), process.stdout.readline()]
            yield process, re.search(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", lines[1])[0]
        finally:
            process.kill()


def test_the_printed_address_alone_is_answered_and_ctrl_c_ends_it_at_once(process):
    server, address = process
    with urllib.request.urlopen(address, timeout=60) as page:
        assert b"sketchforge" in page.read()
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(address.rsplit("/", 2)[0] + "/", timeout=60)
    refused.value.close()
    # A browser keeps its connections open, and something is being computed for it.
    host, port, token = re.match(r"http://(.*):(\d+)/(.*)/", address).groups()
    photo = image_file(line_drawing(400))
    request = f"POST /{token}/photo?size=512 HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(photo)}\r\n\r\n"
    with (
        socket.create_connection((host, int(port))) as idle,
        socket.create_connection((host, int(port))) as busy,
    ):
        idle.sendall(b"GET ")
        busy.sendall(request.encode() + photo)
        with urllib.request.urlopen(f"{address}state", timeout=60):  # by now the photo has arrived, too
            server.send_signal(signal.SIGINT)
        assert server.wait(60) == 130
    message = server.stderr.read()
    assert "interrupted: the page is closed" in message
    assert "Traceback" not in message
    assert len(message.strip().splitlines()) == 1

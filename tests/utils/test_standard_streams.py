"""Commands begin well where a daemon or cron job has closed standard input, output or error."""

import subprocess
import sys

import pytest

from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from tests.helpers.commands import environment
from tests.helpers.folders import contents
from tests.helpers.forks import COMMAND_LINE
from tests.helpers.photos import make_photos

# An interpreter as it starts where these were closed.
CLOSED = """
import os, sys
for number in map(int, sys.argv.pop(1).split(",")):
    os.close(number)
    setattr(sys, ("stdin", "stdout", "stderr")[number], None)
"""

POOL = """
import multiprocessing, os, sys
from sketchforge.utils.worker_pool import worker_pool
pipe = multiprocessing.Pipe
multiprocessing.Pipe = lambda: pipe()[::-1]  # the worker's end has the lower number: 0, if that is free
with worker_pool(1, 60) as pool:
    for number in map(int, sys.argv[1].split(",")):
        status = pool.result(pool.submit(os.fstat, number))
        assert os.path.samestat(status, os.stat(os.devnull)), f"{number} is none of the pool's pipes"
    assert pool.result(pool.submit(abs, -1)) == 1
"""

STREAMS_OPENED = """
import fcntl
from sketchforge.utils.standard_streams import open_standard_streams
kept = sys.stdout
open_standard_streams()
assert kept is sys.stdout, "what is open stays"
with open(sys.argv[1]) as file:
    assert file.fileno() > 2, "no file takes the number of a stream"
for number, stream in enumerate((sys.stdin, sys.stderr)):
    assert not fcntl.fcntl(stream.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC, "children have it, too"
assert sys.stdin.read() == ""
print("für niemand", file=sys.stderr, flush=True)
"""


def start(closed: str, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `code` where these streams are closed, and the others are a file or pipe."""
    command = [sys.executable, "-c", CLOSED + code, closed, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment())


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Two photos, and what is rendered of them."""
    folder = tmp_path_factory.mktemp("expected")
    options = RenderOptions(folder / "out", make_photos(folder / "in", 2), method="canny", size=32, workers=1)
    render(options)
    return folder


@pytest.mark.parametrize("closed", ["0", "1", "2", "0,1,2"])
def test_render_goes_on_without_a_standard_stream(expected, tmp_path, closed):
    words = ("render", "--images", expected / "in", "--method", "canny", "--size", 32, "--workers", 1)
    done = start(closed, COMMAND_LINE, *words, "--shards", tmp_path / "out")
    assert done.returncode == 0, done
    assert contents(tmp_path / "out") == contents(expected / "out")


@pytest.mark.parametrize("closed", ["0", "2", "0,1,2"])
def test_workers_have_standard_streams_where_their_program_has_none(closed):
    done = start(closed, POOL, closed)
    assert done.returncode == 0, done


def test_a_wrong_option_is_told_by_the_exit_code_alone_where_stderr_is_closed(tmp_path):
    assert start("2", COMMAND_LINE, "render", "--no-such-option").returncode == 2


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    (tmp_path / "file").write_text("")
    done = start("0,2", STREAMS_OPENED, tmp_path / "file")
    assert done.returncode == 0, done

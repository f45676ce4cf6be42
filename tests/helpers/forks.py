"""Real processes that need not import torch and its like anew: forked from one that has.

To import them takes some seconds of a processor, the command itself often a tenth of one. The server has
imported libraries only: every process imports sketchforge itself, in whatever order its command asks for. Where
it is the start that is tested, use `commands.run_python`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.helpers.commands import environment

# The child leaves the loop and becomes the program. It ends as an interpreter does, threads and exit functions
# first, but does not take apart the thousands of modules that the libraries are: that is half a second.
SERVER = """
import atexit, cv2, json, os, signal, sys, tempfile, threading, traceback
import PIL.Image, safetensors.torch, scipy, torch, torch._dynamo, torch.distributed.run
import torch.utils.tensorboard, torchvision
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        ended, status = os.waitpid(order["wait"], order["options"])
        print(json.dumps(os.waitstatus_to_exitcode(status) if ended else None), flush=True)
    elif child := os.fork():
        print(child, flush=True)
    else:
        break
else:
    os._exit(0)
os.setsid()
for number, path in enumerate([os.devnull, *order["output"]]):
    os.dup2(os.open(path, os.O_WRONLY if number else os.O_RDONLY), number)
os.environ.clear()
os.environ.update(order["environment"])
tempfile.tempdir = None  # or TMPDIR would count for nothing: libraries have asked for the folder already
os.chdir(order["cwd"])
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["-c", *order["arguments"]]
code = 0
try:
    exec(compile(order["code"], "<string>", "exec"), {"__name__": "__main__"})
except SystemExit as ended:
    code = ended.code or 0
except BaseException:
    traceback.print_exc()
    code = 1
threading._shutdown()
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""

COMMAND_LINE = "import runpy; runpy.run_module('sketchforge', run_name='__main__', alter_sys=True)"


@functools.cache
def _server() -> subprocess.Popen[str]:
    """One for all tests; ends with them."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment(), start_new_session=True,
    )  # fmt: skip
    atexit.register(server.communicate)
    return server


def _ask(**order: object) -> int | None:
    server = _server()
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


class Forked:
    """`python -c code arguments` in a session of its own, on its way; `more` are variables of its environment.

    `returncode` is that of `subprocess.Popen`; `stdout` and `stderr` are what was printed, once `wait` is over.
    """

    def __init__(self, code: str, *arguments: object, cwd: Path | None = None, **more: str) -> None:
        self._output = [tempfile.NamedTemporaryFile("r") for _ in range(2)]
        self.returncode: int | None = None
        self.pid = _ask(
            code=code, arguments=[*map(str, arguments)], cwd=str(cwd or Path.cwd()),
            environment=environment(**more), output=[file.name for file in self._output],
        )  # fmt: skip

    def poll(self, options: int = os.WNOHANG) -> int | None:
        if self.returncode is None:
            self.returncode = _ask(wait=self.pid, options=options)
        return self.returncode

    def until(self, reached: Callable[[], object], seconds: float = 120) -> None:
        """Return as soon as `reached`, or once the process is over. It must not take `seconds`."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and not reached():
            assert time.monotonic() < deadline, f"process {self.pid} goes nowhere"
            time.sleep(0.005)

    def wait(self) -> Forked:
        self.poll(0)
        self.stdout, self.stderr = (file.read() for file in self._output)
        return self

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)


def forked(code: str, *arguments: object, cwd: Path | None = None, **more: str) -> Forked:
    """Run `code` to its end in a process and session of its own."""
    return Forked(code, *arguments, cwd=cwd, **more).wait()


def forked_cli(*arguments: object, cwd: Path | None = None, **more: str) -> Forked:
    """Run `python -m sketchforge` with these arguments to its end."""
    return forked(COMMAND_LINE, *arguments, cwd=cwd, **more)

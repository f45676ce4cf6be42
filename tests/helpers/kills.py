"""Campaigns of kills: renderings and trainings stopped at random moments, and what is left of them.

A server process imports everything once and forks for every command, so that hundreds of them are quick. Half of
the moments are counted in audited events of the interpreter (files opened, renamed, removed, locked, processes
started), half are drawn from the time a command takes: the former hit the delicate places, the latter anything.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.commands import environment
from tests.helpers.folders import contents

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
EXIT_CODES = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130}

SERVER = r"""
import json, os, signal, sys, time
import cv2, torch, PIL.Image, tqdm
import cli.main
exec(sys.argv[1])
from sketchforge.__main__ import main

HELD = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM}  # until a command begins
signal.pthread_sigmask(signal.SIG_BLOCK, HELD)

def run(order):
    os.setsid()
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["sketchforge", *order["arguments"]]
    count = 0
    def strike(event, arguments):
        nonlocal count
        if event in ("object.__getattr__", "compile", "exec", "import", "marshal.loads"):
            return
        count += 1
        if count == order.get("event"):
            strike_at(os.getpid())
    def strike_at(pid):
        (os.killpg if order["group"] else os.kill)(pid, order["signal"])
    sys.addaudithook(strike)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        main()
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:  # on the way into main
        code = 130
    sys.stderr.flush()
    sys.stdout.flush()
    if "counted" in order:
        with open(order["counted"], "w") as file:
            file.write(str(count))
    os._exit(code)

if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            run(order)
        if "delay" in order and signal.sigtimedwait({signal.SIGCHLD}, order["delay"]) is None:
            try:
                (os.killpg if order["group"] else os.kill)(child, order["signal"])
            except ProcessLookupError:
                pass  # not yet a group: it has only just been born
        _, status = os.waitpid(child, 0)
        signal.sigtimedwait({signal.SIGCHLD}, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "seconds": time.perf_counter() - start}), flush=True)
"""


class Server:
    """Runs commands on demand, with or without a strike; ends with its `with` block.

    preload: Python that it runs at its start: imports that every command needs.
    """

    def __init__(
        self, preload: str = "import sketchforge.render.pipeline, sketchforge.render.render"
    ) -> None:
        self._preload = preload

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, self._preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, arguments: list[str], output: Path, **strike: object) -> dict[str, float]:
        order = {
            "arguments": arguments,
            "output": str(output),
            "group": 0,
            "signal": 0,
            **strike,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@dataclass
class Tally:
    """What a campaign saw."""

    trials: int = 0
    strikes: Counter[str] = None  # type: ignore[assignment]
    too_late: int = 0  # renderings that had finished before the moment came
    kept: int = 0  # finished shards found after a strike, and never touched again

    def __post_init__(self) -> None:
        self.strikes = Counter()


def campaign(images: Path, folder: Path, trials: int, seed: int) -> Tally:
    """Strike at `trials` renderings of `images` at random moments, each again and again at random, then complete it.

    First strikes are spread evenly over a rendering and the signals, so that few trials leave no part of it out.
    Asserts after every strike that nothing under a final name is partial, and at the end that the bytes are those
    of an uninterrupted run, no temporary file is left, and no finished shard was touched again.
    """
    rng = random.Random(seed)
    tally = Tally()
    common = [
        "render",
        "--images",
        str(images),
        "--method",
        "canny",
        "--size",
        "40",
        "--samples-per-shard",
        "3",
    ]
    common += ["--batch-size", "2"]
    with Server() as server:
        straight, counted = folder / "straight", folder / "counted"
        first = server.run(
            [*common, "--workers", "2", "--shards", str(straight)], folder / "log", counted=str(counted)
        )
        assert first["code"] == 0, (folder / "log").read_text()
        whole, num_events, seconds = contents(straight), int(counted.read_text()), first["seconds"]
        for trial in range(trials):
            out = folder / f"out{trial}"
            arguments = [*common, "--shards", str(out)]
            finished: dict[Path, tuple[int, int]] = {}
            killed = False
            for again in range(1 + int(rng.random() * 3)):
                name = rng.choice(list(SIGNALS)) if again else list(SIGNALS)[trial // 2 % len(SIGNALS)]
                share = rng.random() if again else (trial // 2 + rng.random()) / -(-trials // 2)
                moment = {"event": 1 + int(share * num_events)} if trial % 2 else {"delay": share * seconds}
                strike = {"signal": int(SIGNALS[name]), "group": int(name == "SIGINT" or rng.random() < 0.3)}
                log = folder / "log"
                code = server.run([*arguments, "--workers", "2"], log, **moment, **strike)["code"]
                said = log.read_text()
                assert code in (0, EXIT_CODES[name], -strike["signal"]), (trial, name, moment, code, said)
                assert "Traceback" not in said, f"{trial} {name} {moment}\n{said}"
                tally.strikes[name] += code != 0
                tally.too_late += code == 0
                killed |= code == -signal.SIGKILL or code == -strike["signal"]
                _assert_nothing_partial(out, whole, killed)
                assert finished.items() <= _finished(out).items(), "a finished shard was touched again"
                finished = _finished(out)
                tally.kept += len(finished)
            last = server.run([*arguments, "--workers", "1"], folder / "log")
            assert last["code"] == 0, (folder / "log").read_text()
            assert contents(out) == whole, trial
            assert finished.items() <= _finished(out).items(), "a finished shard was touched again"
            tally.trials += 1
    return tally


def _assert_nothing_partial(out: Path, whole: dict[str, bytes], killed: bool) -> None:
    left = contents(out) if out.exists() else {}
    final = {
        file: data for file, data in left.items() if not file.startswith(".") and file != "manifest.json"
    }
    assert final.items() <= whole.items()
    if "manifest.json" in left:
        assert left["manifest.json"].endswith(b"}\n")
    # A lock that nobody holds blocks nobody; it may stay where a signal comes while it is being let go.
    hidden = [file for file in left if file.startswith(".") and not file.endswith(".lock")]
    assert killed or not hidden, hidden


def _finished(out: Path) -> dict[Path, tuple[int, int]]:
    """The files of finished shards, with what changes when a file is written or replaced."""
    found = {}
    for stats in out.glob("*.stats.json"):
        number = stats.name[:5]
        for path in (stats, out / f"{number}.tar", out / f"{number}.jsonl"):
            found[path] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found

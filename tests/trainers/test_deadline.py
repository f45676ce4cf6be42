"""A signal ends a training in time where the main thread cannot: within C, which runs no handler of Python's."""

import signal
import time

import pytest
import torch

from tests.helpers.forks import COMMAND_LINE, Forked, forked
from tests.helpers.training_kills import PRELOAD, assert_equal, command_of, list_results, write_inputs

HANG = 60  # seconds: nothing but the deadline ends what hangs
START = f"""
import ctypes, os, pathlib, signal, sys, threading, time
import trainers.deadline as deadline
deadline.SECONDS = 0.5
def hang(seconds={HANG}):
    pathlib.Path("ready").touch()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:  # a signal that this thread takes ends it early
        ctypes.CDLL(None).usleep(int(left * 1e6))
"""
# Long steps, of which the third hangs in a layer's pass; no other save is due.
HANGING_TRAINING = f"""{PRELOAD}
import trainers.tom.step
tom.SAVE_EVERY, loop.LONG_SECONDS = 100, -1
take_step = trainers.tom.step.TomTrainer.step
def step(self, number, batch):
    if number == 2:
        self.networks.generator.register_forward_pre_hook(lambda *_: hang())
    return take_step(self, number, batch)
trainers.tom.step.TomTrainer.step = step
"""
BLOCK = """
from sketchforge.utils.signals import deferred_signals
end = lambda number: os._exit(128 + number)
"""


def signalled(code, folder, number, *arguments):
    """Run `code` until it hangs, send it a signal, and return its end, long before it would hang no more."""
    child = Forked(START + code, *arguments, cwd=folder)
    child.until((folder / "ready").exists)
    assert child.poll() is None, child.wait().stderr
    sent = time.monotonic()
    child.send_signal(number)
    child.wait()
    assert time.monotonic() - sent < HANG / 2
    return child


@pytest.mark.slow
def test_a_training_whose_step_hangs_ends_with_every_step_and_goes_on_to_the_same_end(tmp_path):
    write_inputs(tmp_path)
    twin, run = tmp_path / "twin", tmp_path / "run"
    command = command_of("tom-train", tmp_path, tmp_path, run)
    training = signalled(HANGING_TRAINING + COMMAND_LINE, tmp_path, signal.SIGTERM, *command)
    assert training.returncode == 143, training.stderr
    kept = f"interrupted: {run} keeps the first 2 steps; run the same command again to continue\n"
    assert training.stderr.endswith(kept), training.stderr
    assert torch.load(run / "state.pt", weights_only=True)["step"] == 2
    for folder in (run, twin):
        done = forked(PRELOAD + COMMAND_LINE, *command_of("tom-train", tmp_path, tmp_path, folder))
        assert done.returncode == 0, done.stderr
    assert_equal(list_results(run), list_results(twin), "")


def test_the_end_waits_for_a_state_that_is_being_written(tmp_path):
    code = """
with deadline.ended_in_time(end), deferred_signals(signal.SIGINT, signal.SIGTERM):
    with deadline.written_whole():
        hang(1)
        pathlib.Path("written").touch()
    hang()
"""
    assert signalled(BLOCK + code, tmp_path, signal.SIGTERM).returncode == 143
    assert (tmp_path / "written").exists()


def test_an_ending_that_hangs_after_the_interruption_is_cut_off_too(tmp_path):
    code = """
try:
    with deadline.ended_in_time(end):
        threading.Thread(target=hang).start()  # Python waits for it
        time.sleep(60)
except KeyboardInterrupt:
    pass
"""
    assert signalled(BLOCK + code, tmp_path, signal.SIGINT).returncode == 130


def test_a_signal_that_is_ignored_sets_no_deadline(tmp_path):
    """Though it has a handler while signals are deferred."""
    code = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
with deadline.ended_in_time(end), deferred_signals(signal.SIGINT, signal.SIGTERM):
    hang(1)
"""
    assert signalled(BLOCK + code, tmp_path, signal.SIGINT).returncode == 0


def test_a_block_that_ends_by_itself_in_time_is_let_be(tmp_path):
    code = """
signal.signal(signal.SIGINT, lambda *_: None)
with deadline.ended_in_time(end):
    hang(0.2)
hang(1)
"""
    assert signalled(BLOCK + code, tmp_path, signal.SIGINT).returncode == 0

"""Training by several processes: they learn what one learns alone from the same batches, and end together."""

import re
import signal
import tempfile
import time

import pytest
import torch
from safetensors.torch import load_file

from sketchforge.checkpoints.run_log import read_log
from tests.helpers.forks import COMMAND_LINE, forked, forked_cli

WORDS = ["--steps", "2", "--batch-size", "4", "--threads", "1", "--workers", "0", "--device", "cpu"]

# The demo recipe's losses on networks of next to nothing.
SMALL = """
from dataclasses import replace
import trainers.autoencoder.recipe as ae
ae.RECIPES["demo"] = replace(ae.RECIPES["demo"], width=0.0625, style_dim=32)
"""

# What `torchrun` runs, but that it forks the ranks where that would start interpreters.
TORCHRUN = """
import runpy, sys
from torch.distributed import run
from torch.distributed.launcher import api
def rank(unbuffered, by_name, module, *words):
    assert (unbuffered, by_name) == ("-u", "-m")
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
def forking(config, entrypoint):
    config.start_method = "fork"
    return api.elastic_launch(config, rank)
run.elastic_launch = forking
run.main(["--standalone", *sys.argv[1:]])
"""


def torchrun(count, *words, cwd, before=""):
    ranks = [f"--nproc-per-node={count}", "-m", "--", "sketchforge", *words]
    with tempfile.TemporaryDirectory() as logs:  # which torchrun leaves behind
        return forked(SMALL + before + TORCHRUN, *ranks, cwd=cwd, TMPDIR=logs)


# Before the training of torchrun's children: rank {rank} does something to itself or its parent in step {step}.
STRIKE = """
import os, signal
from trainers.autoencoder.step import AutoEncoderTrainer
step = AutoEncoderTrainer.step
def struck(self, number, batch):
    if os.environ["RANK"] == "{rank}" and number == {step}:
        os.kill({whom}, {signal})
    return step(self, number, batch)
AutoEncoderTrainer.step = struck
"""


def said(done):
    """What our processes wrote to stderr, without torchrun's own lines."""
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "interrupted: "))]
    assert "gloo" not in done.stderr.split("Root Cause")[0].lower(), done.stderr
    return lines


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "line"), [
    (1, "error: runs/ae: rank 1 of 2 went away at step 1; the state of step 1 is kept; run the same command again to continue"),
    (0, "error: rank 1: runs/ae: rank 0 of 2 went away at step 1; run the same command again to continue"),
])  # fmt: skip
def test_a_rank_that_is_lost_is_one_line_and_no_step_is_lost_with_another(ten_sketches, tmp_path, lost, line):
    words = ["ae-train", "--shards", ten_sketches, *WORDS]
    strike = STRIKE.format(rank=lost, step=1, whom="os.getpid()", signal=int(signal.SIGKILL))
    done = torchrun(2, *words, cwd=tmp_path, before=strike)
    assert done.returncode == 1
    assert said(done) == [line]
    again = torchrun(2, *words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "continuing after step 1" in again.stdout


def test_ranks_that_are_stopped_say_once_what_is_kept(ten_sketches, tmp_path):
    words = ["ae-train", "--shards", ten_sketches, *WORDS]
    strike = STRIKE.format(rank=1, step=1, whom="os.getppid()", signal=int(signal.SIGTERM))
    done = torchrun(2, *words, cwd=tmp_path, before=strike)
    assert done.returncode != 0
    assert said(done) == [
        "interrupted: runs/ae keeps every step that was done; run the same command again to continue"
    ]
    again = torchrun(2, *words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "continuing after step" in again.stdout, again.stderr


def test_a_rank_that_hangs_is_ended_by_a_signal_in_time_and_the_others_with_it(ten_sketches, tmp_path):
    words = ["ae-train", "--shards", ten_sketches, *WORDS]
    hanging = """
import ctypes, pathlib, trainers.deadline
trainers.deadline.SECONDS = 0.5
def hang():
    pathlib.Path("hanging").touch()
    os.kill(os.getppid(), signal.SIGTERM)
    while True:  # in C, where no handler of Python's runs
        ctypes.CDLL(None).sleep(60)
"""
    strike = STRIKE.replace("os.kill({whom}, {signal})", "hang()").format(rank=1, step=1)
    done = torchrun(2, *words, cwd=tmp_path, before=hanging + strike)
    assert time.time() - (tmp_path / "hanging").stat().st_mtime < 30  # after which torchrun kills
    assert done.returncode != 0
    (line,) = said(done)
    assert re.match("interrupted: runs/ae keeps (the first 1 step|every step that was done);", line)


@pytest.mark.parametrize(
    "words", [["tom-train"], ["encoder-train", "--images", "photos"]], ids=lambda words: words[0]
)
def test_what_trains_in_one_process_refuses_torchrun_in_one_line(tmp_path, words):
    done = torchrun(2, *words, cwd=tmp_path)
    assert said(done) == [
        f"error: {words[0]}: trains in one process, found WORLD_SIZE 2; run it without torchrun"
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_at_work_refuses_all_ranks_in_one_line(ten_sketches, tmp_path):
    from trainers.run_folder import hold_run

    with hold_run(tmp_path / "runs" / "ae"):
        done = torchrun(2, "ae-train", "--shards", ten_sketches, *WORDS, cwd=tmp_path)
    (line,) = said(done)
    assert "runs/ae: another training is at work there" in line


def test_ranks_that_cannot_meet_are_told_of_torchrun(ten_sketches, tmp_path):
    done = forked_cli("ae-train", "--shards", ten_sketches, *WORDS, cwd=tmp_path, WORLD_SIZE="2", RANK="0")
    assert done.returncode == 2
    assert "WORLD_SIZE is 2, but the ranks cannot meet" in done.stderr
    assert "start them by torchrun" in done.stderr


def test_two_ranks_learn_what_one_learns_in_two_parts(ten_sketches, tmp_path):
    words = ["ae-train", "--shards", ten_sketches, *WORDS]
    done = torchrun(2, *words, "--run", "two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sketches × styles") == 1  # one of them speaks
    alone = forked(SMALL + COMMAND_LINE, *words, "--run", "one", "--accumulate", "2", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    two, one = (load_file(tmp_path / run / "model.safetensors") for run in ("two", "one"))
    for name, value in one.items():
        if value.is_floating_point():  # running statistics, too
            torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)
    logs = [
        [
            each["reconstruction"]
            for each in read_log(tmp_path / run / "log.jsonl")
            if "reconstruction" in each
        ]
        for run in ("two", "one")
    ]
    torch.testing.assert_close(*map(torch.tensor, logs), rtol=1e-4, atol=1e-5)


def test_batches_are_divided_among_ranks(ten_sketches, tmp_path):
    words = ["ae-train", "--shards", ten_sketches, "--dry-run", "--batch-size", "6"]
    found = forked_cli(*words, cwd=tmp_path, WORLD_SIZE="4")
    assert found.returncode == 2
    assert "on 4 ranks: does not divide --batch-size 6" in found.stderr

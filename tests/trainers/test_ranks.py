"""Training by several processes: they learn what one learns alone from the same batches, and end together."""

import re
import signal
import socket
import tempfile
import time

import pytest
import torch
from safetensors.torch import load_file

from sketchforge.checkpoints.run_log import read_log
from tests.helpers.forks import COMMAND_LINE, Forked, forked, forked_cli

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
run.main(sys.argv[1:])
"""


def torchrun(count, *words, cwd, before="", options=("--standalone",)):
    ranks = [*options, f"--nproc-per-node={count}", "-m", "--", "sketchforge", *words]
    with tempfile.TemporaryDirectory() as logs:  # which torchrun leaves behind
        return forked(SMALL + before + TORCHRUN, *ranks, cwd=cwd, TMPDIR=logs)


def nodes(*folders, words, before=""):
    """Two torchruns, as on two machines, of one rank each; each in its folder. What they said, by node."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as logs:
        torchruns = [
            Forked(
                SMALL + before + TORCHRUN, "--nnodes=2", f"--node-rank={node}", "--rdzv-backend=c10d",
                f"--rdzv-endpoint=localhost:{port}", "--local-addr=localhost", f"--rdzv-conf=is_host={1 - node}",
                "--nproc-per-node=1", "-m", "--", "sketchforge", *words, cwd=folder, TMPDIR=logs,
            )
            for node, folder in enumerate(folders)
        ]  # fmt: skip
        return [each.wait() for each in torchruns]


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


def test_a_rank_that_fails_is_one_line_that_says_why(ten_sketches, tmp_path):
    failing = """
from sketchforge.errors import SketchforgeError
def fail():
    raise SketchforgeError("no sample is good")
"""
    strike = STRIKE.replace("os.kill({whom}, {signal})", "fail()").format(rank=1, step=1)
    done = torchrun(2, "ae-train", "--shards", ten_sketches, *WORDS, cwd=tmp_path, before=failing + strike)
    assert done.returncode == 1
    assert said(done) == [
        "error: runs/ae: rank 1 of 2 failed (no sample is good) at step 1; the state of step 1 is kept; run the same "
        "command again to continue"
    ]


@pytest.mark.slow
def test_ranks_that_torchrun_starts_again_go_on(ten_sketches, tmp_path):
    """What the ranks before them said counts no more."""
    strike = STRIKE.format(rank=1, step=1, whom="os.getpid()", signal=int(signal.SIGKILL))
    strike = strike.replace("if os", 'if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os')
    options = ("--standalone", "--max-restarts=1")
    done = torchrun(
        2, "ae-train", "--shards", ten_sketches, *WORDS, cwd=tmp_path, before=strike, options=options
    )
    assert done.returncode == 0, done.stderr
    assert "continuing after step 1" in done.stdout


def test_ranks_that_were_given_other_inputs_are_told_in_one_line(ten_sketches, tmp_path):
    other = """
import dataclasses, os
import trainers.autoencoder.run as ae_run
plan = ae_run.plan_ae
ae_run.plan_ae = lambda options: plan(dataclasses.replace(options, seed=int(os.environ["RANK"])))
"""
    done = torchrun(2, "ae-train", "--shards", ten_sketches, *WORDS, cwd=tmp_path, before=other)
    assert said(done) == [
        "error: runs/ae: rank 1 has --seed 1, rank 0 --seed 0; start all ranks with the same options and the same inputs"
    ]


@pytest.mark.slow
def test_two_nodes_learn_what_two_ranks_of_one_learn(ten_sketches, tmp_path):
    words = ["ae-train", "--shards", ten_sketches, *WORDS]
    two = nodes(tmp_path, tmp_path, words=[*words, "--run", "two"])
    assert [done.returncode for done in two] == [0, 0], [done.stderr for done in two]
    assert sum(done.stdout.count("sketches × styles") for done in two) == 1
    one = torchrun(2, *words, "--run", "one", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    models = [load_file(tmp_path / run / "model.safetensors") for run in ("two", "one")]
    assert all(torch.equal(models[0][name], value) for name, value in models[1].items())


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_rank_lost_on_one_node_ends_both_with_one_line(ten_sketches, tmp_path, lost):
    strike = STRIKE.format(rank=lost, step=1, whom="os.getpid()", signal=int(signal.SIGKILL))
    both = nodes(tmp_path, tmp_path, words=["ae-train", "--shards", ten_sketches, *WORDS], before=strike)
    assert [done.returncode for done in both] == [1, 1]
    lines = [line for done in both for line in said(done)]
    assert len(lines) == 1
    assert f"rank {lost} of 2 went away at step 1" in lines[0]


def test_a_run_folder_that_nodes_do_not_share_is_told_in_one_line(ten_sketches, tmp_path):
    words = ["ae-train", "--shards", ten_sketches, *WORDS]
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
    begun = torchrun(2, *words, cwd=folders[0])
    assert begun.returncode == 0, begun.stderr
    more = nodes(*folders, words=[*words[:3], "--steps", "3", *WORDS[2:]])
    assert [done.returncode for done in more] == [1, 1]
    assert [line for done in more for line in said(done)] == [
        "error: runs/ae: rank 1 finds 0 steps done there, rank 0 2; the run folder has to be on a disk that all nodes share"
    ]


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0)])
def test_one_rank_tells_of_a_dry_run(ten_sketches, tmp_path, rank, lines):
    words = ["ae-train", "--shards", ten_sketches, "--dry-run", "--batch-size", "8", "--device", "cpu"]
    told = forked_cli(*words, cwd=tmp_path, WORLD_SIZE="2", RANK=rank)
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("million parameters") == lines

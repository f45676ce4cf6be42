"""Training by several processes: what they learn together is what one learns alone from the same batches."""

import torch
from forks import forked, forked_cli
from safetensors.torch import load_file

from sketchforge.checkpoints.run_log import read_log

WORDS = ["--steps", "2", "--batch-size", "4", "--threads", "1", "--workers", "0", "--device", "cpu"]

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


def torchrun(count, *words, cwd):
    return forked(TORCHRUN, f"--nproc-per-node={count}", "-m", "--", "sketchforge", *words, cwd=cwd)


def test_two_ranks_learn_what_one_learns_in_two_parts(ten_sketches, tmp_path):
    words = ["ae-train", "--shards", ten_sketches, *WORDS]
    done = torchrun(2, *words, "--run", "two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sketches × styles") == 1  # one of them speaks
    alone = forked_cli(*words, "--run", "one", "--accumulate", "2", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    two, one = (load_file(tmp_path / run / "model.safetensors") for run in ("two", "one"))
    for name, value in one.items():
        if value.is_floating_point() and "running" not in name:  # a rank has only its own part's statistics
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
    assert found.returncode == 2 and "on 4 ranks: does not divide --batch-size 6" in found.stderr

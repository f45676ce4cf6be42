"""Every training takes its steps on a GPU, ends with a model, and goes on where it was stopped."""

import pytest

from tests.helpers.forks import COMMAND_LINE, forked
from tests.helpers.training_kills import PRELOAD, TRAININGS, command_of, list_results, write_inputs


def on_gpu(command: list[str]) -> list[str]:
    return ["cuda" if word == "cpu" else word for word in command]


@pytest.mark.gpu
@pytest.mark.parametrize("training", TRAININGS)
def test_a_training_on_a_gpu_ends_with_a_model(ten_sketches, tmp_path, training):
    write_inputs(tmp_path)
    first = ["ae-train"] if training == "gan-train" else []
    for name in [*first, training]:
        run = tmp_path / "twins" / name
        done = forked(PRELOAD + COMMAND_LINE, *on_gpu(command_of(name, tmp_path, ten_sketches, run)))
        assert done.returncode == 0, done.stderr
    assert any(name.endswith(".safetensors") for name in list_results(run))


@pytest.mark.gpu
def test_a_training_that_is_done_goes_on_with_more_steps(ten_sketches, tmp_path):
    command = on_gpu(command_of("ae-train", tmp_path, ten_sketches, tmp_path / "run"))
    assert forked(PRELOAD + COMMAND_LINE, *command).returncode == 0
    steps = command.index("--steps") + 1
    more = [*command[:steps], "5", *command[steps + 1 :]]
    done = forked(PRELOAD + COMMAND_LINE, *more)
    assert done.returncode == 0, done.stderr
    assert "continuing after step 3" in done.stdout

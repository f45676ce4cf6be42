"""The run folder of a training: held by one training, continued by its own state alone, never overwritten."""

import dataclasses
import functools
import json
import re
import shutil
import signal
import sys

import pytest
import torch

from sketchforge.checkpoints.autoencoder import read_autoencoder
from sketchforge.checkpoints.runs import RUN_LOCK
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.encode import encode_png
from sketchforge.options import AeTrainOptions, TomTrainOptions
from tests.helpers.commands import run_python
from tests.helpers.forks import forked
from tests.helpers.photos import make_photos
from tests.helpers.previews import few_previews
from tests.helpers.recorded_progress import RecordedProgress
from trainers.autoencoder import recipe as ae_recipe
from trainers.autoencoder.recipe import AeRecipe
from trainers.autoencoder.run import plan_ae, train_ae
from trainers.autoencoder.step import AutoEncoderTrainer
from trainers.run_folder import RunFolder, hold_run
from trainers.tom.run import train_tom

TINY = AeRecipe(
    size=64, steps=3, batch_size=2, width=0.03, style_dim=8, subset=4, subset_passes=2, learning_rate=1e-3,
    reconstruction=1.0, perceptual=0.0, style_triplet=0.0, content_triplet=0.0, content_class=0.0,
)  # fmt: skip


class StopAt(RecordedProgress):
    """Ctrl-C after so many steps."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def begin(self, unit, total, done=0):
        super().begin(unit, total, done)
        self.unit = unit

    def advance(self, **figures):
        self.left -= self.unit == "step"
        if not self.left:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        few_previews(patch, TINY.steps)
        patch.setitem(ae_recipe.RECIPES, "demo", TINY)
        yield


@pytest.fixture(scope="module")
def stopped(ten_sketches, tmp_path_factory, tiny):
    """Options of a run of three steps that was stopped after two; never written to."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    options = AeTrainOptions(shards=str(ten_sketches), run=run, threads=1, workers=0, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train_ae(options, StopAt(2))
    return options


@pytest.fixture
def options(stopped, tmp_path):
    """The same run, for a test to change."""
    shutil.copytree(stopped.run, tmp_path / "run")
    return dataclasses.replace(stopped, run=tmp_path / "run")


@pytest.fixture(scope="module")
def finished(stopped, tmp_path_factory):
    """The same run, completed; never written to."""
    run = tmp_path_factory.mktemp("finished") / "run"
    shutil.copytree(stopped.run, run)
    train_ae(dataclasses.replace(stopped, run=run))
    return dataclasses.replace(stopped, run=run)


def files_of(run):
    """Every file but TensorBoard's."""
    paths = [path for path in sorted(run.rglob("*")) if path.is_file() and "tensorboard" not in path.parts]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in paths}


def refusal(options, kind=SketchforgeError, train=train_ae):
    """The one line by which a training is refused; nothing in its folder has changed."""
    before = files_of(options.run)
    with pytest.raises(SketchforgeError) as caught:
        train(options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert files_of(options.run) == before
    return str(caught.value)


@functools.cache
def state_of(run):
    """The state of a run that is never written to."""
    return torch.load(run / "state.pt", weights_only=True)


@pytest.fixture
def state(stopped):
    """The state of `options`, for a test to change; tensors in it may be replaced and changed, too."""
    return torch.load(stopped.run / "state.pt", weights_only=True)


@pytest.fixture(scope="module")
def trainer():
    """What the states of these runs are restored into."""
    return AutoEncoderTrainer(TINY, None, 10, seed=0, device=torch.device("cpu"))


@pytest.fixture
def restore(stopped, trainer, tmp_path):
    """Restore a state as a training does that goes on: how far it is."""
    record = json.loads((stopped.run / "run.json").read_text())
    folder = RunFolder(tmp_path, record, record.pop("steps_done"))

    def restore(state):
        torch.save(state, tmp_path / "state.pt")
        return folder.restore(trainer.stateful(), trainer.device, TINY.steps, trainer.load_extra)

    return restore


def test_a_second_training_is_refused_and_names_the_first(options):
    with hold_run(options.run):
        said = refusal(options)
    assert re.fullmatch(
        r".*run: another training is at work there \(process \d+ on \S+\); wait for it.*", said
    )


def test_a_second_training_is_refused_also_where_it_would_overwrite(options):
    with hold_run(options.run):
        assert "another training is at work" in refusal(dataclasses.replace(options, overwrite=True))


def test_a_training_that_was_killed_blocks_nobody(options):
    code = "import os, sys; from pathlib import Path; from trainers.run_folder import hold_run\n"
    code += "with hold_run(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    assert forked(code, options.run).returncode == -signal.SIGKILL
    assert (options.run / RUN_LOCK).exists()
    with hold_run(options.run):
        pass
    assert not (options.run / RUN_LOCK).exists()


def test_a_training_killed_before_it_wrote_anything_leaves_an_empty_folder_to_the_next(stopped, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in (RUN_LOCK, f".run.json.{'a' * 16}.part"):
        (run / name).touch()
    train_ae(dataclasses.replace(stopped, run=run))
    assert sorted(path.name for path in run.iterdir() if path.name.startswith(".")) == []


def test_a_training_that_is_refused_leaves_no_folder(stopped, tmp_path):
    with pytest.raises(SketchforgeError):
        train_ae(dataclasses.replace(stopped, run=tmp_path / "a" / "run", shards="nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UsageError, match="is a file; name a folder with --run"), hold_run(tmp_path / "run"):
        pass


def test_a_state_that_is_lost_is_missed(options):
    (options.run / "state.pt").unlink()
    said = refusal(options)
    assert "state.pt: is missing, and 2 steps with it" in said
    assert "only --overwrite discards" in said


def test_a_finished_run_that_has_lost_its_state_is_not_overwritten_by_more_steps(finished, tmp_path):
    options = dataclasses.replace(finished, run=tmp_path / "run", steps=4)
    shutil.copytree(finished.run, options.run)
    (options.run / "state.pt").unlink()
    assert "state.pt: is missing, and 3 steps with it" in refusal(options)


def test_a_finished_run_that_has_lost_its_model_writes_it_again(finished, tmp_path):
    options = dataclasses.replace(finished, run=tmp_path / "run")
    shutil.copytree(finished.run, options.run)
    whole = files_of(options.run)
    (options.run / "model.safetensors").unlink()
    train_ae(options)
    assert files_of(options.run) == whole | {"state.pt": (options.run / "state.pt").read_bytes()}


def test_fewer_steps_than_are_done_are_refused(options):
    said = refusal(dataclasses.replace(options, steps=1), UsageError)
    assert "run: stands at step 2, --steps 1 asked; ask for 2 or more" in said


def test_fewer_steps_than_the_state_has_are_refused_whatever_the_record_says(options):
    path = options.run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps_done": 1}))
    with pytest.raises(UsageError, match="stands at step 2, --steps 1 asked"):
        train_ae(dataclasses.replace(options, steps=1))


def test_the_state_of_another_seed_is_refused_with_both_values(options):
    other = dataclasses.replace(options, run=options.run.with_name("other"), seed=7)
    with pytest.raises(KeyboardInterrupt):
        train_ae(other, StopAt(1))
    shutil.copy(other.run / "state.pt", options.run)
    with pytest.raises(
        SketchforgeError, match="another run, begun with --seed 7, where run.json has --seed 0"
    ):
        train_ae(options)
    shutil.copytree(other.run, options.run, dirs_exist_ok=True)  # and a folder that is wholly another's
    assert "was begun with --seed 7, now asked for --seed 0" in refusal(options, UsageError)


def test_a_run_from_before_a_setting_was_there_goes_on(finished, options):
    """0.2.0 knew no content_side, which is None where nothing is asked."""
    entries = json.loads((options.run / "run.json").read_text())
    assert entries["recipe"].pop("content_side", "none") is None
    (options.run / "run.json").write_text(json.dumps(entries))
    state = torch.load(options.run / "state.pt", weights_only=True)
    identity = json.loads(state["identity"])
    del identity["recipe"]["content_side"]
    torch.save(state | {"identity": json.dumps(identity)}, options.run / "state.pt")
    told = refusal(dataclasses.replace(options, dmi="sketch"), UsageError)
    assert "the recipe's dmi feature, now asked for the recipe's dmi sketch" in told
    train_ae(dataclasses.replace(options, content_side=32))  # which is what None means
    made, same = (read_autoencoder(run / "model.safetensors")[0] for run in (options.run, finished.run))
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in made.state_dict().items())


def test_a_run_from_before_padding_was_a_setting_goes_on_with_zeros(options, monkeypatch):
    """Until 0.2.0 there were zeros beyond the border, and none named them."""
    begun = dataclasses.replace(options, run=options.run.with_name("zeros"), padding="zeros")
    train_ae(begun)
    entries = json.loads((begun.run / "run.json").read_text())
    assert entries["recipe"].pop("padding", "none") is None
    (begun.run / "run.json").write_text(json.dumps(entries))
    plain = dataclasses.replace(begun, padding=None)
    monkeypatch.setitem(ae_recipe.RECIPES, "demo", dataclasses.replace(TINY, padding="replicate"))
    assert plan_ae(plain).recipe.padding is None
    assert plan_ae(dataclasses.replace(plain, overwrite=True)).recipe.padding == "replicate"
    told = refusal(dataclasses.replace(begun, padding="replicate"), UsageError)
    assert "the recipe's padding None, now asked for the recipe's padding replicate" in told
    train_ae(plain)
    assert read_autoencoder(begun.run / "model.safetensors")[0].padding == "zeros"


def test_the_model_of_another_run_is_refused_and_not_overwritten(finished, options):
    other = dataclasses.replace(options, run=options.run.with_name("other"), seed=7)
    train_ae(other)
    shutil.copy(other.run / "model.safetensors", options.run)
    said = refusal(options)
    assert (
        "model.safetensors: is the model of another run, trained with --seed 7, where run.json has --seed 0"
        in said
    )


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": [3]}, {"identity": "{}"}, {"identity": "[1"}, {"identity": "[]"}, {"identity": 3},
        {"step": -1}, {"step": "2"}, {"step": True}, {"step": 10**30}, {"evaluation_due": 1}, {"extra": []},
        {"extra": {"group": -1}}, {"extra": {"group": "x"}}, {"parts": {}}, {"parts": [1]}, {"parts": None},
    ],
    ids=str,
)  # fmt: skip
def test_any_value_in_a_state_is_refused_in_one_line(stopped, restore, change):
    with pytest.raises(SketchforgeError) as caught:
        restore(state_of(stopped.run) | change)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_the_state_as_it_was_saved_is_restored(stopped, restore):
    assert restore(state_of(stopped.run)) == (2, True)


def without_a_key(parts):
    del parts["model"][next(iter(parts["model"]))]


def of_another_shape(parts):
    parts["model"][next(iter(parts["model"]))] = torch.zeros(3)


def not_finite(parts):
    next(iter(parts["model"].values()))[0] = float("nan")


def moment_of_another_shape(parts):
    parts["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)


def moment_not_finite(parts):
    parts["optimizer"]["state"][0]["exp_avg"][0] = float("inf")


def rate_below_zero(parts):
    parts["optimizer"]["param_groups"][0]["lr"] = -1.0


def other_betas(parts):
    parts["optimizer"]["param_groups"][0]["betas"] = (2.0, "x")


@pytest.mark.parametrize(
    "damage",
    [
        without_a_key, of_another_shape, not_finite, moment_of_another_shape, moment_not_finite, rate_below_zero,
        other_betas,
    ],
)  # fmt: skip
def test_networks_and_optimisers_of_no_training_are_refused(restore, state, damage):
    damage(state["parts"])
    with pytest.raises(
        SketchforgeError, match=r"state.pt: cannot be read as a training state \(\w+\); restore"
    ):
        restore(state)


@pytest.mark.parametrize("size", [0, 1, 100, 0.5, 0.999])
def test_a_state_that_is_cut_short_is_refused(options, size):
    path = options.run / "state.pt"
    data = path.read_bytes()
    path.write_bytes(data[: size if isinstance(size, int) else int(size * len(data))])
    assert "state.pt: cannot be read as a training state" in refusal_after_begin(options)


def refusal_after_begin(options):
    with pytest.raises(SketchforgeError) as caught:
        train_ae(options)
    return str(caught.value)


def test_a_log_that_is_longer_than_the_state_and_torn_at_its_end_is_mended(options, finished):
    with open(options.run / "log.jsonl", "a", encoding="latin-1") as file:
        file.write('{"step": 3, "loss": 1.0}\n{"step": 4, "lo')
    train_ae(options)
    assert (options.run / "log.jsonl").read_bytes() == (finished.run / "log.jsonl").read_bytes()


def test_a_log_that_is_gone_costs_its_lines_alone(options, finished):
    (options.run / "log.jsonl").unlink()
    train_ae(options)
    assert (options.run / "model.safetensors").read_bytes() == (
        finished.run / "model.safetensors"
    ).read_bytes()
    steps = [json.loads(line)["step"] for line in (options.run / "log.jsonl").read_text().splitlines()]
    assert set(steps) == {2, 3}  # the evaluation of step 2 was due


@pytest.fixture(scope="module")
def tom_options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tom")
    (folder / "drawings").mkdir()
    for number, key in enumerate((("woman", "quill"), ("child", "cartoon"))):
        (folder / "drawings" / f"{number}.png").write_bytes(encode_png(draw(*key, 64), binary=False))
    return TomTrainOptions(
        size=32, steps=3, batch_size=1, snapshots=2, threads=1, device="cpu", drawings=folder / "drawings",
        images=make_photos(folder / "photos", 2), run=folder / "run",
    )  # fmt: skip


def test_toms_state_is_missed_too_and_so_is_a_candidate_of_another_run(tom_options):
    with pytest.raises(KeyboardInterrupt):
        train_tom(tom_options, StopAt(3))
    state = tom_options.run / "state.pt"
    kept = state.read_bytes()
    state.unlink()
    assert "state.pt: is missing, and 3 steps with it" in refusal(tom_options, train=train_tom)
    state.write_bytes(kept)
    candidates = sorted((tom_options.run / "candidates").iterdir())
    other = dataclasses.replace(tom_options, run=tom_options.run.with_name("other"), seed=5)
    with pytest.raises(KeyboardInterrupt):
        train_tom(other, StopAt(3))
    shutil.copy(other.run / "candidates" / candidates[0].name, candidates[0])
    with pytest.raises(SketchforgeError, match="is the candidate of another run; restore the file"):
        train_tom(tom_options)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_tests_pass_where_sigint_is_ignored():
    """As in a background job of a shell: with conftest.py, an interruption is one again."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code += "import tests.conftest; signal.raise_signal(signal.SIGINT)"
    done = run_python(code)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"

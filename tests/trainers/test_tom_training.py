"""One step of TOM and what it may touch; whole trainings, interrupted and not."""

import errno
import json
import os
import signal
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.checkpoints.run_log import read_log
from sketchforge.checkpoints.tom import read_snapshot, snapshot_path
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.encode import encode_png
from sketchforge.options import TomTrainOptions
from sketchforge.utils.progress import Progress
from tests.helpers.forks import COMMAND_LINE, Forked, forked
from tests.helpers.photos import make_photos, scene
from trainers import state
from trainers.tom import run as tom_run
from trainers.tom.recipe import RECIPES
from trainers.tom.run import train_tom
from trainers.tom.step import TomTrainer

pytestmark = pytest.mark.usefixtures("few_calibration_images")

RECIPE = RECIPES["lean"]
# The paper's layers, a sixteenth as wide: its widths are most of the work and none of what is tested here.
PAPER = replace(RECIPES["paper"], widths=(32, 32, 16))
STEPS = 5  # two before the style windows, three in them, which are the candidates
WORDS = f"--size 32 --steps {STEPS} --batch-size 2 --snapshots 2 --threads 1 --device cpu".split()


@cache
def some_drawings(size):
    return [
        draw(*key.rsplit("-", 1), size)
        for key in ("woman-quill", "woman-brush", "bearded-man-calligraphic", "child-cartoon")
    ]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A training of a second; few photos and drawings, for what is built in takes longer than the steps."""
    folder = tmp_path_factory.mktemp("drawings")
    for number, image in enumerate(some_drawings(96)):
        (folder / f"{number}.png").write_bytes(encode_png(image, binary=False))
    return TomTrainOptions(
        images=make_photos(tmp_path_factory.mktemp("photos"), 4), drawings=folder,
        size=32, steps=STEPS, batch_size=2, snapshots=2, threads=1, device="cpu",
    )  # fmt: skip


def command(run, tiny):
    """The words of the same training as `tiny`."""
    inputs = ["--images", str(tiny.images), "--drawings", str(tiny.drawings)]
    return ["tom-train", "--run", str(run), *inputs, *WORDS]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("builtin")


def photo_readers(count):
    return [lambda seed=seed: scene(seed, 96, 96) for seed in range(count)]


def drawing_readers(count):
    return [lambda image=image: np.repeat(image[..., None], 3, 2) for image in some_drawings(96)[:count]]


def files_of(run: Path) -> dict[str, bytes]:
    """All that a run leaves, but for TensorBoard's files, which hold times of day."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and "tensorboard" not in path.parts
    }


class StopAt(Progress):
    """Ctrl-C after so many steps."""

    def __init__(self, step):
        self.at = step

    def begin(self, unit, total, done=0):
        self.unit, self.done = unit, done

    def advance(self, **losses):
        self.done += 1
        if self.unit == "step" and self.done == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny):
    run = tmp_path_factory.mktemp("tom") / "run"
    train_tom(replace(tiny, run=run))
    return run


def test_each_player_is_moved_by_its_own_loss_alone(encoder, tiny):
    tom = TomTrainer(tiny, RECIPE, encoder, photo_readers(4), drawing_readers(4))
    net = tom.networks
    moved = {}
    for player, optimizer in (("generator", net.optimizer_g), ("discriminator", net.optimizer_d)):
        step = optimizer.step

        def watched(player=player, step=step):
            other = net.discriminator if player == "generator" else net.generator
            if player == "generator":
                # D was updated a moment ago: what G's loss would add on top of that must be nothing.
                moved["d in g's step"] = [p.grad.clone() for p in other.parameters()]
            else:
                moved["g in d's step"] = [p.grad for p in other.parameters()]
            step()

        optimizer.step = watched
    before = {}
    original = net.discriminator.requires_grad_

    def switch(on=True):
        if not on:
            before["d"] = [p.grad.clone() for p in net.discriminator.parameters()]
        return original(on)

    net.discriminator.requires_grad_ = switch
    tom.step(0, tom.batch(0, None))
    assert all(grad is None for grad in moved["g in d's step"])
    assert all(torch.equal(a, b) for a, b in zip(before["d"], moved["d in g's step"], strict=True))
    assert all(p.grad is None for p in tom.encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for p in net.generator.parameters())


@pytest.mark.parametrize("recipe", [RECIPE, PAPER], ids=["lean", "paper"])
@pytest.mark.parametrize("adversarial", ["hinge", "log"])
def test_every_variant_takes_steps(encoder, recipe, adversarial, tiny):
    options = replace(tiny, generator=recipe.generator, adversarial=adversarial)
    tom = TomTrainer(options, recipe, encoder, photo_readers(2), drawing_readers(2))
    before = [p.clone() for p in tom.networks.generator.parameters()]
    losses = [tom.step(i, tom.batch(i, None)) for i in range(2)]
    assert all(np.isfinite(list(found.values())).all() for found in losses)
    assert any(not torch.equal(a, b) for a, b in zip(before, tom.networks.generator.parameters()))


def test_evaluation_changes_nothing(encoder, tiny):
    tom = TomTrainer(tiny, RECIPE, encoder, photo_readers(3), drawing_readers(3))
    first, second = tom.evaluate(), tom.evaluate()
    assert (first.content, first.realism) == (second.content, second.realism)
    assert np.array_equal(first.sketches, second.sketches)
    assert first.sketches.min() >= 0
    assert first.sketches.max() <= 1


def test_sketches_come_to_have_the_drawings_statistics(encoder, tiny):
    recipe = replace(RECIPE, denoising=0, synthetic_weight=0.0)
    tom = TomTrainer(replace(tiny, batch_size=4), recipe, encoder, photo_readers(4), drawing_readers(4))
    before = tom.evaluate()
    for step in range(14):
        tom.step(step, tom.batch(step, None))
    assert tom.evaluate().realism < 0.5 * before.realism


@pytest.mark.slow  # the same, and that content comes back, which takes three times as many steps
def test_four_photos_get_their_layout_and_the_drawings_statistics(encoder, tiny):
    """Four photos, four drawings: within sixty steps the sketches have their layout and the drawings' statistics."""
    options = replace(tiny, size=64, batch_size=4)
    recipe = replace(
        RECIPE, denoising=0, synthetic_weight=0.0
    )  # they take photo and sketch apart, on purpose
    tom = TomTrainer(options, recipe, encoder, photo_readers(4), drawing_readers(4))
    before = tom.evaluate()
    for step in range(60):
        tom.step(step, tom.batch(step, None))
    after = tom.evaluate()
    assert after.realism < 0.5 * before.realism
    assert after.content > before.content + 0.01
    assert np.median(after.sketches) > 0.75  # light paper
    assert after.sketches.min() < 0.3  # dark ink


def test_drawings_are_found_again_in_synthetic_photos(encoder, tiny):
    """Two drawings, made into images in ever new ways: G learns to draw them better than a blank sheet would be."""
    recipe = replace(RECIPE, adversarial_weight=0.0, content_weight=0.0, gram_weight=0.0)
    tom = TomTrainer(tiny, recipe, encoder, photo_readers(4), drawing_readers(2))
    lost = [tom.step(step, tom.batch(step, None))["synthetic"] for step in range(16)]
    blank = np.mean([(tom.batch(step, None).originals - 1).square().mean().item() for step in range(10)])
    assert np.mean(lost[-8:]) < 0.8 * blank
    assert np.mean(lost[:3]) > 0.8 * blank


def test_content_is_taken_from_the_denoised_photo(encoder, tiny):
    """With denoising that leaves nothing, the photo itself no longer matters for the content loss."""
    tom = TomTrainer(tiny, RECIPE, encoder, photo_readers(2), drawing_readers(2))
    batch = tom.batch(0, None)
    assert batch.denoised.shape == batch.photos.shape
    assert not torch.equal(batch.denoised, batch.photos)
    losses = []
    for denoised in (batch.photos, torch.zeros_like(batch.photos)):
        fresh = TomTrainer(tiny, RECIPE, encoder, photo_readers(2), drawing_readers(2))
        losses.append(fresh.step(0, replace(batch, denoised=denoised)))
    assert losses[0]["content"] != losses[1]["content"]
    assert losses[0]["gram"] == losses[1]["gram"]


def test_windows_take_turns_in_how_much_they_leave_out(encoder, tiny):
    """Only the content's source and the synthetic photos change, and windows of the same turn are alike."""
    recipe = replace(
        RECIPE,
        denoising=5,
        window_denoising=(5, 13),
        window_pasted_shares=(0.0, 1.0),
        pasted_share=0.0,
    )
    tom = TomTrainer(replace(tiny, size=64), recipe, encoder, photo_readers(2), drawing_readers(2))
    tom.groups = [[0, 1]]  # of all windows, so that nothing else differs
    before, first, second, third = (tom.batch(0, window) for window in (None, 0, 1, 2))
    assert torch.equal(first.photos, second.photos)
    assert torch.equal(first.drawings, second.drawings)
    assert torch.equal(first.denoised, before.denoised)
    assert not torch.equal(first.denoised, second.denoised)
    assert torch.equal(first.denoised, third.denoised)
    assert torch.equal(first.synthetic, third.synthetic)


def test_snapshots_are_the_average_of_the_last_steps(encoder, tiny):
    tom = TomTrainer(tiny, replace(RECIPE, ema_decay=0.5), encoder, photo_readers(2), drawing_readers(2))
    expected = [p.clone() for p in tom.networks.ema.parameters()]
    for step in range(3):
        tom.step(step, tom.batch(step, None))
        present = tom.networks.generator.parameters()
        expected = [0.5 * old + 0.5 * new.detach() for old, new in zip(expected, present, strict=True)]
    for mean, p in zip(expected, tom.networks.ema.parameters(), strict=True):
        assert torch.allclose(mean, p, atol=1e-6)
        assert not p.requires_grad


def test_a_finished_run_has_its_record_snapshots_selection_and_log_alone(finished):
    record = json.loads((finished / "run.json").read_text())
    assert (record["format"], record["version"]) == ("sketchforge-tom-run", 2)
    assert len(record["snapshots"]) == 2
    assert sorted(path.name for path in (finished / "snapshots").iterdir()) == [
        f"0{n}.safetensors" for n in range(2)
    ]
    for number, entry in enumerate(record["snapshots"]):
        _, metadata = read_snapshot(snapshot_path(finished, number))
        assert metadata["options"] == record["options"]
        assert metadata["encoder"] == record["encoder"]
        assert (metadata["content"], metadata["realism"]) == (entry["content"], entry["realism"])
    selection = json.loads((finished / "selection.json").read_text())
    assert [f"tom-{step}" for step in selection["chosen"]] == [each["style"] for each in record["snapshots"]]
    difference = np.array(selection["difference"])
    assert np.allclose(difference, difference.T, atol=1e-6)
    assert (np.diag(difference) == 0).all()
    assert [entry["step"] for entry in read_log(finished / "log.jsonl") if "discriminator" in entry] == list(
        range(1, STEPS + 1)
    )
    assert not list(finished.rglob("*.part"))
    assert not (finished / "state.pt").exists()


def test_the_same_command_twice_gives_the_same_bytes(finished, tmp_path, tiny):
    train_tom(replace(tiny, run=tmp_path / "run"))
    assert files_of(tmp_path / "run") == files_of(finished)


def test_another_seed_gives_another_result(finished, tmp_path, tiny):
    train_tom(replace(tiny, run=tmp_path / "run", seed=1))
    assert (
        files_of(tmp_path / "run")["snapshots/00.safetensors"]
        != files_of(finished)["snapshots/00.safetensors"]
    )


@pytest.mark.parametrize("stops", [[1], [2, 4], [STEPS]])
def test_interrupted_and_resumed_equals_uninterrupted(finished, tmp_path, monkeypatch, stops, tiny):
    monkeypatch.setattr(tom_run, "SAVE_EVERY", 2)
    options = replace(tiny, run=tmp_path / "run")
    for step in stops:
        with pytest.raises(KeyboardInterrupt):
            train_tom(options, StopAt(step))
        assert not list(options.run.rglob("*.part"))
    train_tom(options)
    assert files_of(options.run) == files_of(finished)


def test_killed_at_any_moment_and_resumed_equals_uninterrupted(finished, tmp_path, tiny):
    """SIGKILL when the log has reached a line drawn at random: what is on disk then is all that is left."""
    code = f"""
from trainers.tom import run as tom_run
tom_run.SAVE_EVERY = 2
{COMMAND_LINE}"""
    run, log = tmp_path / "run", tmp_path / "run" / "log.jsonl"
    for lines in np.random.default_rng(0).integers(1, 9, 3):
        process = Forked(code, *command(run, tiny))
        process.until(lambda: log.exists() and log.read_bytes().count(b"\n") >= lines)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert forked(code, *command(run, tiny)).returncode == 0
    assert files_of(run) == files_of(finished)


def test_finished_run_is_left_alone(finished, tiny):
    before = files_of(finished)
    train_tom(replace(tiny, run=finished))
    assert files_of(finished) == before


def test_a_loss_that_is_not_finite_stops_before_the_optimizer_and_the_run_can_go_on(
    finished, tmp_path, monkeypatch, tiny
):
    monkeypatch.setattr(tom_run, "SAVE_EVERY", 2)
    options = replace(tiny, run=tmp_path / "run")
    seen, original = [], TomTrainer.step

    def poisoned(self, number, batch):
        if len(seen) == 3:
            batch = replace(batch, photos=batch.photos * float("nan"))
        seen.append([p.clone() for p in self.networks.generator.parameters()])
        try:
            return original(self, number, batch)
        except FloatingPointError:
            unchanged = zip(seen[-1], self.networks.generator.parameters())
            seen.append(all(torch.equal(a, b) for a, b in unchanged))
            raise

    monkeypatch.setattr(TomTrainer, "step", poisoned)
    with pytest.raises(SketchforgeError, match="loss became nan at step 3; the state of step 3 is kept"):
        train_tom(options)
    assert seen[-1] is True
    monkeypatch.setattr(TomTrainer, "step", original)
    train_tom(options)
    assert files_of(options.run) == files_of(finished)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"steps": 16}, "was begun with --steps 5, now asked for --steps 16"),
        ({"seed": 3}, "was begun with --seed 0, now asked for --seed 3"),
        ({"encoder": "random"}, "was begun with --encoder builtin, now asked for --encoder random"),
    ],
)
def test_changed_options_are_refused_with_both_values(finished, change, message, tiny):
    before = files_of(finished)
    with pytest.raises(UsageError, match=message):
        train_tom(replace(tiny, run=finished, **change))
    assert files_of(finished) == before


def test_fresh_replaces_our_files_and_no_others(finished, tmp_path, tiny):
    run = tmp_path / "run"
    train_tom(replace(tiny, run=run, seed=5, steps=3))
    (run / "notes.txt").write_text("mine")
    train_tom(replace(tiny, run=run, overwrite=True))
    found = files_of(run)
    assert found.pop("notes.txt") == b"mine"
    assert found == files_of(finished)


def test_foreign_folder_is_refused(tmp_path, tiny):
    (tmp_path / "thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds no run.json of ours"):
            train_tom(replace(tiny, run=tmp_path, overwrite=overwrite))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"steps": 1}, UsageError, "--steps 1: at least as many as --snapshots 2"),
        ({"size": 100}, UsageError, "--size 100: expected a multiple of 8"),
        ({"images": Path("no/such/folder")}, UsageError, "no such folder"),
        ({"drawings": Path("no/such/folder")}, UsageError, "no such folder"),
        ({"encoder": "no/such/file"}, UsageError, "neither builtin"),
        ({"device": "cuda"}, UsageError, "no CUDA device"),
        ({"device": "toaster"}, UsageError, "not a device name"),
    ],
)
def test_bad_requests_leave_nothing_behind(tmp_path, change, error, message, tiny):
    if change.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(error, match=message):
        train_tom(replace(tiny, run=tmp_path / "run", **change))
    assert not (tmp_path / "run").exists()


def test_damaged_state_is_named_and_fresh_is_the_way_out(finished, tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(tom_run, "SAVE_EVERY", 2)
    options = replace(tiny, run=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_tom(options, StopAt(3))
    (options.run / "state.pt").write_bytes(b"rubbish")
    with pytest.raises(SketchforgeError, match="state.pt: cannot be read .*restore the file"):
        train_tom(options)
    train_tom(replace(options, overwrite=True))
    assert files_of(options.run) == files_of(finished)


def test_full_disk_is_one_line_and_the_run_can_go_on(finished, tmp_path, monkeypatch, capsys, tiny):
    from cli.main import run as command_line

    run, saved, original = tmp_path / "run", [], state.write_bytes

    def full(path, data):
        saved.append(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(state, "write_bytes", full)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = command(run, tiny)
    assert command_line(words) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert error == [f"error: {saved[0]}: No space left on device at step 1; the state of step 0 is kept"]
    assert not list(run.rglob("*.part"))
    monkeypatch.setattr(state, "write_bytes", original)
    assert command_line(words) == 0
    assert files_of(run) == files_of(finished)


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_unreadable_photos_are_replaced_and_told(tmp_path, tiny):
    make_photos(tmp_path / "photos", 4)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    progress = Notes()
    train_tom(replace(tiny, run=tmp_path / "run", images=tmp_path / "photos"), progress)
    assert "1 of 5 photos could not be read; others took their place" in progress.notes


def test_no_readable_photo_at_all_is_an_error(tmp_path, tiny):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(SketchforgeError, match="none of 1 image can be read"):
        train_tom(replace(tiny, run=tmp_path / "run", images=tmp_path / "photos"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sent, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_polite_interruption_says_what_is_kept(finished, tmp_path, sent, code, tiny):
    run = tmp_path / "run"
    process = Forked(COMMAND_LINE, *command(run, tiny))
    log = run / "log.jsonl"
    process.until(lambda: log.exists() and log.stat().st_size)
    process.send_signal(sent)
    errors = process.wait().stderr
    assert process.returncode == code, errors
    assert (
        f"interrupted: {run} keeps every step that was done; run the same command again to continue" in errors
    )
    assert "Traceback" not in errors
    assert not list(run.rglob("*.part"))
    train_tom(replace(tiny, run=run))
    assert files_of(run) == files_of(finished)

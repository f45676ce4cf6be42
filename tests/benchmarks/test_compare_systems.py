"""The comparison of systems: each has the same time, whatever a step takes, and interruptions cost no more."""

import json
from functools import cache

import pytest
import torch

import benchmarks.studies.compare_page as pages
import benchmarks.studies.compare_systems as study
import benchmarks.studies.compare_training as training_study
from sketchforge.metrics.images import diversity, evaluate
from tests.helpers.previews import few_previews
from tests.helpers.tiny_diffusion import TINY
from trainers.diffsketching import recipe as diffsketching_recipe
from trainers.diffsketching import run as diffsketching_run
from trainers.image_models import validation


class Training:
    """Steps that take so many seconds each, of a clock of its own."""

    def __init__(self, step_seconds, done=0, fails_after=None):
        self.step_seconds, self.done, self.seconds = step_seconds, done, 0.0
        self.fails_after = fails_after

    def __call__(self, steps):
        if self.fails_after is not None and steps > self.fails_after:
            raise KeyboardInterrupt
        self.seconds += 2 + (steps - self.done) * self.step_seconds  # 2 to begin
        self.done = steps

    def now(self):
        return self.seconds


@pytest.mark.parametrize("step_seconds", [0.05, 0.4, 3.0])
def test_a_system_has_the_seconds_that_are_asked_for(tmp_path, step_seconds):
    training = Training(step_seconds)
    done = training_study.train_for(600, training, tmp_path / "clock.json", training.now)
    assert 0.95 * 600 <= done["seconds"] <= 1.05 * 600
    assert done["steps"] == training.done
    assert done["seconds"] == pytest.approx(training.seconds)


def test_an_interrupted_training_goes_on_with_the_time_that_is_left(tmp_path):
    clock = tmp_path / "clock.json"
    first = Training(0.5, fails_after=800)
    with pytest.raises(KeyboardInterrupt):
        training_study.train_for(600, first, clock, first.now)
    assert json.loads(clock.read_text())["steps"] == first.done > 0
    second = Training(0.5, done=first.done)
    done = training_study.train_for(600, second, clock, second.now)
    assert first.seconds + second.seconds == pytest.approx(done["seconds"])
    assert done["seconds"] == pytest.approx(600, rel=0.06)


def test_a_training_that_has_had_its_time_is_left_alone(tmp_path):
    (tmp_path / "clock.json").write_text('{"steps": 90, "seconds": 599.0}')
    done = training_study.train_for(600, lambda steps: pytest.fail("trained"), tmp_path / "clock.json")
    assert done["steps"] == 90


class Straight:
    """A training of two seconds a step that asks after each whether to go on, and looks at itself at its end."""

    def __init__(self, fails_after=None):
        self.done, self.seconds, self.looked_at, self.fails_after = 0, 0.0, [], fails_after

    def __call__(self, steps, progress):
        while self.done < steps:
            self.done, self.seconds = self.done + 1, self.seconds + 2
            if self.done == self.fails_after:
                raise KeyboardInterrupt
            progress.advance()
        self.looked_at.append(self.done)

    def now(self):
        return self.seconds


def test_a_training_without_looks_has_its_seconds_and_ends_there(tmp_path):
    training = Straight()
    done = training_study.train_straight(
        600, training, lambda: training.done, tmp_path / "clock.json", training.now
    )
    assert done == {"steps": 300, "seconds": 600}
    assert training.looked_at == [300]


def test_a_training_without_looks_goes_on_with_the_time_that_is_left(tmp_path):
    first, clock = Straight(fails_after=100), tmp_path / "clock.json"
    with pytest.raises(KeyboardInterrupt):
        training_study.train_straight(600, first, lambda: first.done, clock, first.now)
    first.fails_after = None
    done = training_study.train_straight(600, first, lambda: first.done, clock, first.now)
    assert done == {"steps": 300, "seconds": 600}
    training_study.train_straight(600, first, lambda: first.done, clock, first.now)
    assert first.done == 300


def test_of_a_training_that_is_killed_the_time_of_what_was_saved_counts(tmp_path):
    """It goes on from the step that was saved, with the time that this one had taken."""

    class Killed(BaseException):
        pass

    def kill(steps, progress):
        while training.done < 200:
            training.done, training.seconds = training.done + 1, training.seconds + 2
            progress.advance()
        raise Killed

    def saved():
        return training.done // 60 * 60

    training, clock = Straight(), tmp_path / "clock.json"
    with pytest.raises(Killed):
        training_study.train_straight(600, kill, saved, clock, training.now)
    told = json.loads(clock.read_text())
    assert told == {"steps": 180, "seconds": pytest.approx(360, abs=2 + training_study.CLOCK_SECONDS)}
    training.done = 180
    done = training_study.train_straight(600, training, lambda: training.done, clock, training.now)
    assert done["steps"] == pytest.approx(300, abs=4)


@pytest.mark.parametrize(("shares", "seconds"), [((1, 1), [300, 300]), ((0.85, 0.15), [510, 90])])
def test_stages_share_the_time_and_the_second_has_what_the_first_leaves(
    tmp_path, monkeypatch, shares, seconds
):
    trained, budgets = [], []
    monkeypatch.setattr(
        training_study,
        "train_for",
        lambda seconds, train, clock: budgets.append(seconds) or train(7) or {"steps": 7},
    )
    stages = tuple(
        training_study.Stage(
            name, trained.append, lambda **given: given, share=share, leaves=lambda folder: {"ae": folder}
        )
        for name, share in zip(("ae", "gan"), shares, strict=True)
    )
    monkeypatch.setitem(training_study.SYSTEMS, "gan", ("both", stages))
    run, spent = training_study.train_system("gan", tmp_path / "runs/x", tmp_path, 64, 1, 600)
    assert budgets == pytest.approx(seconds)
    assert [options.get("ae") for options in trained] == [None, trained[0]["run"]]
    assert run == trained[1]["run"] == tmp_path / "runs/x"
    assert trained[0]["run"] == tmp_path / "stages/x-ae"
    assert set(spent) == {"ae", "gan"}


@pytest.mark.parametrize("system", study.SYSTEMS)
def test_rows_are_named_after_what_they_are(system):
    row = study.SystemRow(system, "paintings", 128, 2)
    assert study.SystemRow.parse(row.name) == row


@pytest.mark.parametrize("name", ["cyclegan-portraits-64-0", "ae-cats-64-0", "ae-portraits-96-0"])
def test_other_rows_are_refused(name):
    with pytest.raises(ValueError, match="no such row"):
        study.SystemRow.parse(name)


def row_of(directory, **changes):
    figure = {"value": 250.0, "low": 240.0, "high": 260.0}
    result = {
        "system": "gan", "data": "portraits", "size": 64, "seed": 0, "seconds": 600.0, "version": study.VERSION,
        "stages": {"ae": {"steps": 1000, "seconds": 300.0}, "gan": {"steps": 500, "seconds": 310.0}},
        "sizes": {"parameters": 1_234_567, "giga_multiply_adds": 0.1234, "seconds_image": 0.0123},
        "rows": [{"name": "run", "titles": {"frechet": "Fréchet (mobilenet_v2)"}, "frechet": figure}],
    } | changes  # fmt: skip
    path = directory / f"{result['system']}-{result['data']}-64-{result['seed']}.json"
    path.write_text(json.dumps(result))
    return path


def test_the_page_has_figures_of_machines_and_people_and_costs_and_keeps_what_is_around_them(tmp_path):
    people = {"value": 300.0, "low": 290.0, "high": 310.0}
    rows = [{"name": "run", "titles": {"frechet": "Fréchet (mobilenet_v2)"}, "frechet": people}]
    row_of(tmp_path, people=rows)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{pages.BEGIN}\nold\n{pages.END}\nafter\n")
    for _ in range(2):
        pages.write_page(page, tmp_path)
        written = page.read_text()
        assert written.startswith("before\n") and written.endswith(f"{pages.END}\nafter\n")
        assert "old" not in written
        assert written.count("### Portraits, 64 pixels, 600 seconds of a processor each") == 1
        assert "| auto-encoder and GAN | 1 | 250 [240 260] |" in written
        assert "| auto-encoder and GAN | 1 | 300 [290 310] |" in written
        assert "| auto-encoder and GAN | 1,000 + 500 | 1.23 | 0.123 | 12.3 | 300 + 620 |" in written


def test_a_page_without_marks_is_left_alone(tmp_path):
    row_of(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("mine")
    with pytest.raises(SystemExit, match="found no"):
        pages.write_page(page, tmp_path)
    assert page.read_text() == "mine"


def figures_row(directory, system, frechet, found_again, seed=0):
    """A row with a distance, of which less is better, and Sty-Rec, of which more is; each with a width of .2."""
    figures = {"name": "run", "titles": {"frechet": "Fréchet (mobilenet_v2)", "style": "Sty-Rec"}}
    for name, value in (("frechet", frechet), ("style", found_again)):
        figures[name] = {"value": value, "low": value - 0.1, "high": value + 0.1}
    row_of(directory, system=system, rows=[figures], seed=seed)


def test_the_best_is_named_with_those_that_cannot_be_told_from_it(tmp_path):
    figures_row(tmp_path, "ae", 2.0, 0.5)
    figures_row(tmp_path, "segin", 1.85, 0.9)
    figures_row(tmp_path, "style2paints", 1.6, 0.1)
    (table,) = pages.read_tables(tmp_path).values()
    lines = pages.best_table(table).splitlines()[2:]
    assert lines == [
        "| Fréchet (MobileNetV2) (less is better) | Style2Paints V1 |  |",
        "| Sty-Rec (more is better) | SEGIN |  |",
    ]
    figures_row(tmp_path, "segin", 1.75, 0.65)
    (table,) = pages.read_tables(tmp_path).values()
    lines = pages.best_table(table).splitlines()[2:]
    assert lines == [
        "| Fréchet (MobileNetV2) (less is better) | Style2Paints V1 | SEGIN |",
        "| Sty-Rec (more is better) | SEGIN | auto-encoder |",
    ]


def test_rows_of_other_shards_or_another_time_are_not_shown_for_them(tmp_path, monkeypatch, ten_sketches):
    """Of whichever system; and rows that do not say what they are of."""
    monkeypatch.setattr(study, "train_system", lambda *_: pytest.fail("trained"))
    (tmp_path / "rows").mkdir()
    words = ["all", "--shards", str(ten_sketches), "--work", str(tmp_path), "--system", "ae", "--pairs", "8"]
    digest = study.shards_digest(study.open_shards(str(ten_sketches)))
    own = {"system": "segin", "data": study.OWN, "shards": digest, "pairs": 8, "seconds": 600.0}
    for changes, message in (
        ({"seconds": 900.0}, "is of seconds 900.0, asked for 600.0; take another --work"),
        ({"shards": "0" * 64}, "is of shards 000000000000, asked for"),
        ({"pairs": None}, "is of pairs None, asked for 8"),
    ):
        row_of(tmp_path / "rows", **own | changes)
        with pytest.raises(SystemExit, match=message):
            study.main([*words, "--seconds", "600"])
    row_of(tmp_path / "rows", **own)
    study.check_rows(tmp_path / "rows", {"seconds": 600.0, "shards": digest, "pairs": 8})


def test_of_several_seeds_the_lowest_and_the_highest_are_the_interval(tmp_path):
    figures_row(tmp_path, "ae", 1.0, 0.5)
    figures_row(tmp_path, "ae", 3.0, 0.5, seed=1)
    figures_row(tmp_path, "segin", 2.9, 0.5)
    (table,) = pages.read_tables(tmp_path).values()
    (line, *_) = pages.best_table(table).splitlines()[2:]
    assert line == "| Fréchet (MobileNetV2) (less is better) | auto-encoder | SEGIN |"


def test_ones_own_page_has_tables_the_best_curves_and_the_grids_that_are_there(tmp_path):
    results = tmp_path / "rows"
    results.mkdir()
    for system, frechet in (("ae", 1.0), ("segin", 2.0)):
        figures_row(results, system, frechet, 0.5)
        path = next(results.glob(f"{system}-*.json"))
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"curve": [[1, 2]], "gaps": {"LPIPS": "no weights"}})
        )
    (tmp_path / "segin-portraits-64-0.png").write_bytes(b"")
    page = pages.write_own_page(tmp_path, results).read_text()
    assert (
        page.index("| auto-encoder | 1 |")
        < page.index("## Which is best at what")
        < page.index("## What they make")
    )
    assert "](segin-portraits-64-0.png)" in page and "](ae-portraits-64-0.png)" not in page
    assert "](systems-portraits-64.svg)" in page
    assert "Not measured: LPIPS (no weights)." in page


def test_the_one_point_of_trainings_that_did_not_look_is_after_all_their_stages(tmp_path):
    (tmp_path / "run.json").write_text('{"figures": {"held_out_reconstruction": 0.2}}')
    (tmp_path / "log.jsonl").write_text('{"step": 1, "denoising": 0.5}\n')
    stages = {"denoising": {"steps": 90, "seconds": 340.0}, "tuning": {"steps": 7, "seconds": 60.0}}
    assert study.error_curve(tmp_path, stages) == [[400, 0.2]]


def test_a_curve_is_told_by_the_clock_of_the_last_stage(tmp_path):
    (tmp_path / "run.json").write_text('{"figures": {}}')
    looks = "".join(
        json.dumps({"step": step, "held_out_reconstruction": error}) + "\n"
        for step, error in ((10, 0.5), (30, 0.2))
    )
    (tmp_path / "log.jsonl").write_text('{"step": 1, "reconstruction": 0.9}\n' + looks)
    stages = {"ae": {"steps": 7, "seconds": 10.0}, "gan": {"steps": 30, "seconds": 60.0}}
    assert study.error_curve(tmp_path, stages) == [[20, 0.5], [60, 0.2]]


def test_multiplications_and_seconds_are_those_of_one_image(tmp_path, monkeypatch):
    class Lines:
        """Each image: 64 rows by a matrix of 64 × 32, in two seconds."""

        size, num_parameters, clock = 64, 5, 0.0

        def synthesize_tensors(self, sketches, images):
            Lines.clock += 2.0 * len(sketches)
            return sketches.view(-1, 64) @ torch.ones(64, 32)

    monkeypatch.setattr(study, "load_model", lambda *_: Lines())
    monkeypatch.setattr(study.time, "process_time", lambda: Lines.clock)
    found = study.measure_size(tmp_path)
    assert found == {"parameters": 5, "giga_multiply_adds": 64 * 64 * 32 / 1e9, "seconds_image": 2.0}


def test_rows_that_are_there_are_left_alone(tmp_path, monkeypatch):
    path = row_of(tmp_path, system="segin")
    monkeypatch.setattr(study, "train_system", lambda *_: pytest.fail("trained"))
    row = study.SystemRow("segin", "portraits", 64, 0)
    assert study.run_system_row(row, tmp_path, None, tmp_path, 600, tmp_path) == path
    with pytest.raises(SystemExit, match="has 600 seconds, asked for 1200; remove it"):
        study.run_system_row(row, tmp_path, None, tmp_path, 1200, tmp_path)


@pytest.mark.parametrize("held_out", [True, False])
def test_ones_own_page_says_whether_images_were_learnt_from(tmp_path, held_out):
    results = tmp_path / "rows"
    results.mkdir()
    figures_row(results, "ae", 1.0, 0.5)
    path = next(results.glob("*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"held_out": held_out}))
    page = pages.write_own_page(tmp_path, results).read_text()
    assert ("Measured on the images that they learnt from" in page) is not held_out


@pytest.mark.parametrize("system", study.SYSTEMS)
def test_every_system_is_trained_and_measured_on_ones_own_shards(
    tmp_path, monkeypatch, ten_sketches, quick_measures, system
):
    """The smoke run: a step of each, measured by two pairs."""
    monkeypatch.setattr(training_study, "FIRST_STEPS", 1)
    few_previews(monkeypatch)
    monkeypatch.setattr(diversity, "STYLES", 2)
    monkeypatch.setattr(evaluate, "NUM_LAYOUTS", 2)
    monkeypatch.setattr(study, "TIMED", 1)
    monkeypatch.setattr(
        "trainers.diffsketching.view.drawn_size_of", lambda size: size
    )  # a quarter of the time
    monkeypatch.setitem(diffsketching_recipe.RECIPES, "demo", TINY)
    monkeypatch.setattr(diffsketching_run, "open_view", cache(diffsketching_run.open_view))  # a second each
    monkeypatch.setattr(validation, "NUM_IMAGES", 2)
    words = ["all", "--shards", str(ten_sketches), "--work", str(tmp_path / "work"), "--seconds", "0.01"]
    study.main([*words, "--pairs", "2", "--system", system])
    (path,) = (tmp_path / "work/rows").glob("*.json")
    row = json.loads(path.read_text())
    assert row["curve"][-1][1] > 0
    assert row["held_out"] is False  # these shards have no part `val`
    assert all(stage["steps"] == 1 for stage in row["stages"].values())
    page = (tmp_path / "work/comparison.md").read_text()
    assert f"| {study.SYSTEMS[system][0]} | 1 |" in page
    assert (tmp_path / "work/systems-own-64.svg").is_file()
    assert f"]({system}-own-64-0.png)" in page

"""A run goes on with another number of ranks: with the same batches in the same parts, or it is refused."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from sketchforge.data.order import batch_positions
from sketchforge.errors import UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.encode import encode_png
from sketchforge.options import TomTrainOptions
from tests.helpers.photos import make_photos
from trainers.batch_statistics import MeanStatistics
from trainers.changed_ranks import check_shares, choose_accumulate, keep_ranks_of, note_change
from trainers.distributed import Ranks
from trainers.optimization import LossSums
from trainers.tom import plan as tom_plan
from trainers.tom.plan import plan_tom


def found(world_size, accumulate=1):
    return {"world_size": world_size, "options": {"accumulate": accumulate, "threads": 2, "seed": 0}}


@pytest.mark.parametrize(
    ("begun", "asked", "ranks", "taken"),
    [
        (found(4), 1, 2, 2), (found(4), 1, 1, 4), (found(4, 2), 2, 2, 4), (found(4), 2, 2, 2), (found(2, 3), 3, 3, 2),
        (found(1, 4), 4, 4, 1), (found(4), 1, 4, 1),
        (found(4), 3, 2, 3), (found(4), 2, 4, 2),  # refused by its difference
    ],
)  # fmt: skip
def test_ranks_take_as_many_micro_batches_as_there_were(begun, asked, ranks, taken):
    assert choose_accumulate(begun, asked, Ranks(world_size=ranks), "runs/ae") == taken


def test_ranks_that_cannot_share_the_parts_of_a_batch_are_told_how_many_can():
    with pytest.raises(UsageError, match="in 4 parts, which 3 ranks cannot share evenly; start 1 or 2 or 4"):
        choose_accumulate(found(4), 1, Ranks(world_size=3), "runs/ae")


def test_a_record_keeps_what_the_run_was_begun_with():
    now = {"world_size": 2, "options": {"accumulate": 2, "threads": 4, "seed": 1}}
    kept = keep_ranks_of(found(4), now)
    assert kept == {"world_size": 4, "options": {"accumulate": 1, "threads": 2, "seed": 1}}


def test_threads_are_not_forgiven_where_the_ranks_are_as_many():
    now = {"world_size": 4, "options": {"accumulate": 1, "threads": 4, "seed": 0}}
    assert keep_ranks_of(found(4), now) == now


def test_nothing_is_said_where_nothing_changes():
    assert note_change(found(2), Ranks(world_size=2)) == []


def test_a_batch_that_ranks_cannot_divide_is_refused():
    check_shares(4, Ranks(world_size=2))
    with pytest.raises(UsageError, match="--batch-size 4: cannot be divided among 3 ranks"):
        check_shares(4, Ranks(world_size=3))


@pytest.mark.parametrize(("world_size", "micro_batches"), [(1, 4), (2, 2), (4, 1)])
def test_the_number_of_a_micro_batch_says_which_positions_it_has(world_size, micro_batches):
    """Random numbers go by it: they have to be the same however a batch is divided."""
    step, size = 3, 2
    positions = {}
    for rank in range(world_size):
        for micro_batch in range(micro_batches):
            number = Ranks(rank, world_size).number_of(micro_batch)
            positions[number] = batch_positions(step * micro_batches + micro_batch, size, rank, world_size)
    assert positions == {number: range(24 + 2 * number, 26 + 2 * number) for number in range(4)}


def test_a_loss_that_few_micro_batches_have_is_their_mean():
    sums = LossSums()
    for losses in ({"all": 1.0, "few": 5.0}, {"all": 3.0}):
        sums.add({name: torch.tensor(value) for name, value in losses.items()})
    assert Ranks().all_reduce_mean(sums, ("all", "few")) == {"all": 2.0, "few": 5.0}


def test_a_spectral_norm_is_the_same_for_any_number_of_micro_batches():
    vectors = []
    for count in (1, 3):
        torch.manual_seed(0)
        layer = spectral_norm(nn.Linear(6, 5))
        statistics = MeanStatistics(count, layer)
        for _ in range(count):
            layer(torch.ones(2, 6))
            statistics.note()
        statistics.finish(Ranks())
        vectors.append(torch.cat(list(layer.buffers())))
    torch.testing.assert_close(*vectors)


def test_passes_are_counted_once_a_step():
    norm = nn.BatchNorm2d(2)
    statistics = MeanStatistics(3, norm)
    for _ in range(3):
        norm(torch.rand(2, 2, 4, 4))
        statistics.note()
    statistics.finish(Ranks())
    assert norm.num_batches_tracked == 1


@pytest.fixture
def begun_with_two(tmp_path, monkeypatch):
    """A function: plans a training by one process in a folder that two ranks have begun."""
    monkeypatch.setattr(tom_plan, "check_state_is_there", lambda run, record: None)
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings" / "d.png").write_bytes(encode_png(draw("woman", "quill", 96), binary=False))
    options = TomTrainOptions(
        images=make_photos(tmp_path / "photos", 2), drawings=tmp_path / "drawings", run=tmp_path / "run", size=32, steps=4, batch_size=2,
        snapshots=2, threads=1, device="cpu",
    )  # fmt: skip

    def plan(generator):
        asked = replace(options, generator=generator)
        record = plan_tom(asked).record
        options.run.mkdir()
        (options.run / "run.json").write_text(json.dumps({**record, "world_size": 2, "steps_done": 1}))
        return plan_tom(asked)

    return plan


def test_tom_goes_on_with_other_ranks_and_says_so(begun_with_two):
    note = begun_with_two("lean").notes[0]
    assert note.startswith("begun with 2 ranks, goes on with 1 process: the same batches; ")


def test_the_published_generator_needs_the_ranks_that_it_was_begun_with(begun_with_two):
    """Its BatchNorm normalises each rank's part of a batch."""
    with pytest.raises(UsageError, match="begun with 2 ranks, now asked for 1 process"):
        begun_with_two("paper")

"""Every training by several ranks: they take the rows that one process takes, and become what it becomes."""

import json

import pytest
import torch

from tests.helpers.ranks import TRAININGS, Ranks, launch


@pytest.fixture(scope="module")
def one(ten_sketches, tmp_path_factory):
    """One process, whose batches have as many micro-batches as the two ranks together."""
    return Ranks(_new(tmp_path_factory, "one"), ten_sketches, 1, 2)


@pytest.fixture(scope="module")
def two(one, ten_sketches):
    return Ranks(_beside(one, "two"), ten_sketches, 2, 1, ae=one.folder / "ae-train")


def _new(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("ranks") / name
    folder.mkdir()
    return folder


def _beside(other, name):
    folder = other.folder.with_name(name)
    folder.mkdir()
    return folder


def assert_equal_ranks(several, training):
    noted = several.notes(training)
    for step, rank in noted:
        first, own = noted[step, 0][0], noted[step, rank][0]
        assert first.keys() == own.keys()
        for name in own:
            torch.testing.assert_close(
                own[name], first[name], rtol=0, atol=0, msg=f"{name} of rank {rank} in step {step}"
            )


def assert_same_rows(several, alone, training):
    ranks, process = several.notes(training), alone.notes(training)
    steps = {step for step, _ in process}
    assert {step for step, _ in ranks} == steps
    for step in steps:
        rows = [row for rank in range(several.count) for row in ranks[step, rank][1]["rows"]]
        assert sorted(rows) == sorted(process[step, 0][1]["rows"])


def assert_same_networks(several, alone, training):
    ranks, process = several.notes(training), alone.notes(training)
    last = max(step for step, _ in process)
    tensors, alone_tensors = ranks[last, 0][0], process[last, 0][0]
    assert tensors.keys() == alone_tensors.keys()
    for name, value in alone_tensors.items():
        # As a whole: of a whitening, single elements magnify the last digits.
        difference = (tensors[name] - value).float().norm()
        assert difference <= 1e-3 * value.float().norm() + 1e-3, name


def losses_of(noted, training):
    return [noted.notes(training)[key][1]["losses"] for key in sorted(noted.notes(training)) if key[1] == 0]


def assert_same_losses(several, alone, training):
    torch.testing.assert_close(losses_of(several, training), losses_of(alone, training), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("training", TRAININGS)
def test_two_ranks_have_the_same_parameters_and_buffers_after_every_step(two, training):
    assert_equal_ranks(two, training)


@pytest.mark.parametrize("training", TRAININGS)
def test_two_ranks_take_every_row_of_a_batch_once(two, one, training):
    assert_same_rows(two, one, training)


@pytest.mark.parametrize("training", TRAININGS)
def test_two_ranks_become_what_one_process_becomes(two, one, training):
    assert_same_networks(two, one, training)


@pytest.mark.parametrize("training", TRAININGS)
def test_two_ranks_have_the_losses_of_one_process(two, one, training):
    assert_same_losses(two, one, training)


@pytest.fixture(scope="module")
def gone_on(one, ten_sketches):
    """Begun by two ranks, stopped after a step, and continued by the same command in one process."""
    folder, ae = _beside(one, "gone-on"), one.folder / "ae-train"
    trainings = ("ae-train", "tom-train")
    Ranks(folder, ten_sketches, 2, 1, ae, trainings, expected=1, STOP="1")
    return Ranks(folder, ten_sketches, 1, 1, ae, trainings)


@pytest.mark.parametrize("training", ["ae-train", "tom-train"])
def test_another_number_of_ranks_goes_on_to_the_same_networks(gone_on, one, training):
    assert_same_networks(gone_on, one, training)


def test_another_number_of_ranks_is_told(gone_on):
    said = gone_on.done.stdout + gone_on.done.stderr
    same = "sums are made in another order, so the last digits may differ"
    assert (
        f"begun with 2 ranks, goes on with 1 process: the same batches in the same parts, 2 for each rank; {same}"
        in said
    )
    assert f"begun with 2 ranks, goes on with 1 process: the same batches; {same}" in said


@pytest.fixture(scope="module")
def one_of_four(ten_sketches, tmp_path_factory):
    """One process, whose batches have as many micro-batches as four ranks together."""
    return Ranks(_new(tmp_path_factory, "one"), ten_sketches, 1, 4, batch=8)


@pytest.fixture(scope="module")
def four(one_of_four, ten_sketches):
    ae = one_of_four.folder / "ae-train"
    return Ranks(_beside(one_of_four, "four"), ten_sketches, 4, 1, ae, batch=8)


@pytest.fixture(scope="module")
def fewer(one_of_four, ten_sketches):
    """Begun by four ranks, stopped after a step, and continued by the same command with two."""
    folder, ae = _beside(one_of_four, "fewer"), one_of_four.folder / "ae-train"
    Ranks(folder, ten_sketches, 4, 1, ae, batch=8, expected=1, STOP="1")
    return Ranks(folder, ten_sketches, 2, 1, ae, batch=8)


@pytest.fixture(scope="module")
def two_of_four(one_of_four, ten_sketches):
    ae = one_of_four.folder / "ae-train"
    return Ranks(_beside(one_of_four, "two-of-four"), ten_sketches, 2, 2, ae, batch=8)


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("name", ["four", "two_of_four"])
def test_four_parts_of_a_batch_are_the_same_on_any_ranks(request, one_of_four, name, training):
    several = request.getfixturevalue(name)
    assert_equal_ranks(several, training)
    assert_same_rows(several, one_of_four, training)
    assert_same_networks(several, one_of_four, training)
    assert_same_losses(several, one_of_four, training)


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAININGS)
def test_two_ranks_go_on_where_four_were(fewer, one_of_four, training):
    assert_same_networks(fewer, one_of_four, training)


@pytest.mark.parametrize("training", ["ae-train", "style2paints-train", "segin-train"])
def test_an_order_of_samples_loses_and_repeats_none(one, two, training):
    """Ten images: positions follow each other through the steps, whoever takes them."""
    noted = two.notes(training)
    positions = sorted(position for _, about in noted.values() for position, _ in about["rows"])
    assert positions == list(range(len(positions)))


def test_the_subset_of_classes_is_the_same_on_all_ranks(two):
    noted = two.notes("ae-train")
    for step in {step for step, _ in noted}:
        assert len({noted[step, rank][1]["group"] for rank in range(2)}) == 1
    assert {noted[step, 0][1]["group"] for step in (0, 1)} == {"0", "1"}  # it changes


@pytest.mark.parametrize(
    "training",
    [name if name == "tom-train" else pytest.param(name, marks=pytest.mark.slow) for name in TRAININGS],
)
def test_a_killed_rank_is_one_line_and_the_same_command_goes_on_to_the_same_bytes(
    one, two, ten_sketches, training
):
    folder, ae = _beside(one, f"killed-{training}"), one.folder / "ae-train"
    struck = Ranks(folder, ten_sketches, 2, 1, ae, (training,), expected=9, KILL="1")
    (line,) = [line for line in struck.done.stderr.splitlines() if line.startswith("error: ")]
    assert line.endswith(
        "rank 1 of 2 went away at step 1; the state of step 1 is kept; run the same command again to continue"
    )
    again = Ranks(folder, ten_sketches, 2, 1, ae, (training,))
    ended, expected = again.notes(training), two.notes(training)
    last = max(expected)
    assert all(torch.equal(ended[last][0][name], value) for name, value in expected[last][0].items())


@pytest.mark.slow  # every process imports diffusers, which takes as long as all the other trainings
def test_two_ranks_train_diffsketching_as_one_process_does(ten_sketches, tmp_path_factory):
    pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")
    trainings = ("diffsketching-train",)
    alone = Ranks(_new(tmp_path_factory, "one"), ten_sketches, 1, 2, trainings=trainings)
    several = Ranks(_beside(alone, "two"), ten_sketches, 2, 1, trainings=trainings)
    assert_equal_ranks(several, *trainings)
    assert_same_rows(several, alone, *trainings)
    assert_same_networks(several, alone, *trainings)


EXCHANGE = """
import torch
def work(rank):
    join(rank, ports[0])
    from trainers.distributed import Ranks
    ranks, own = Ranks.from_environment(), torch.tensor([1.0 + rank], requires_grad=True)
    ranks.barrier(torch.device("cpu"))
    layer, mean = torch.nn.Linear(1, 1), ranks.mean(own)
    mean.square().sum().backward()
    ranks.average_gradients([own])
    torch.nn.init.constant_(layer.weight, rank)
    ranks.broadcast_module(layer)
    results = {
        "union": sorted(ranks.union({rank, 2 + rank}, 5)), "sum": ranks.all_reduce_sum(rank + 1),
        "max": ranks.all_reduce_max(rank), "first": ranks.broadcast([rank + 0.1]), "mean": mean.item(),
        "gradient": own.grad.item(), "weight": layer.weight.item(), "texts": ranks.collect("text", str(rank)),
    }
    ranks.shutdown()
    with open(f"{rank}.json", "w") as file:
        json.dump(results, file)
    return 0
"""


def test_what_ranks_exchange(tmp_path):
    done = launch(EXCHANGE, 2, [None], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    # The mean of 1 and 2, squared: its derivative by the mean is 3, which the averaging of gradients keeps.
    expected = {
        "union": [0, 1, 2, 3], "sum": 3, "max": 1, "first": [0.1], "mean": 1.5, "gradient": 3.0, "weight": 0.0,
        "texts": ["0", "1"],
    }  # fmt: skip
    assert results == [expected] * 2

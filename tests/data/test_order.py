"""The order visits every sample as often as it should, group by group, whoever asks and whenever."""

from collections import Counter

import pytest

from sketchforge.data.order import NO_GROUP, OrderedBatches, SampleOrder, SubsetOrder, batch_positions

SIZES = {
    "one sample": [1],
    "one shard": [9],
    "empty shards": [0, 4, 0, 0, 3, 0],
    "uneven": [1, 13, 2, 7, 1, 5],
    "many": [3] * 21,
}
GROUPS = [None, 1, 4, 7, 10_000]


def indices(order: SampleOrder, positions) -> list[int]:
    return [order.index_of(position) for position in positions]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("passes", "pool"), [(1, 1), (3, 2), (2, 100)])
def test_every_sample_has_its_passes_in_every_cycle(sizes, group, passes, pool):
    order = SampleOrder(sizes, 5, group, passes, pool)
    assert order.cycle == sum(sizes) * passes
    for cycle in range(2):
        seen = Counter(order[cycle * order.cycle + place] for place in range(order.cycle))
        assert seen == {(shard, place): passes for shard, size in enumerate(sizes) for place in range(size)}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("group", GROUPS)
def test_each_group_is_gone_through_before_the_next_and_labels_hold(sizes, group):
    passes, count = 3, sum(sizes)
    order = SampleOrder(sizes, 5, group, passes, 2)
    num_groups = 1 if group is None else -(-count // group)
    position, indices_of_group = 0, {}
    for number in range(2 * num_groups):
        running = number if num_groups > 1 else 0
        size = (number % num_groups + 1) * count // num_groups - number % num_groups * count // num_groups
        assert group is None or size <= max(group, 1)
        labelled = set()
        for _ in range(passes):
            here = range(position, position + size)
            assert {order.group_of(at)[0] for at in here} == {running}
            assert sorted(order.group_of(at)[1] for at in here) == list(range(size))
            labelled |= {(order.index_of(at), order.group_of(at)[1]) for at in here}
            position += size
        assert len(labelled) == size, "an image has one label as long as its group lasts"
        indices_of_group[number] = {index for index, _ in labelled}
    for cycle in range(2):
        groups = [indices_of_group[cycle * num_groups + g] for g in range(num_groups)]
        assert sorted(index for members in groups for index in members) == list(range(count))
        assert max(map(len, groups)) - min(map(len, groups)) <= 1


def test_groups_are_put_together_anew_in_every_cycle():
    order = SampleOrder([8] * 8, 0, group=8)
    groups = [frozenset(indices(order, range(first, first + 8))) for first in range(0, 128, 8)]
    assert not set(groups[:8]) & set(groups[8:])


def test_the_one_group_of_all_never_changes():
    order = SampleOrder([3, 4], 0, group=7, passes=2)
    assert all(order.group_of(position) == (0, order.index_of(position)) for position in range(60))


@pytest.mark.parametrize("group", [None, 5])
def test_every_pass_is_permuted_anew(group):
    order = SampleOrder([10, 10], 0, group, passes=4)
    size = 20 // order.num_groups
    runs = {tuple(indices(order, range(turn * size, turn * size + size))) for turn in range(4)}
    assert len(runs) == 4


def test_a_position_does_not_depend_on_what_was_asked_before():
    def order() -> SampleOrder:
        return SampleOrder([5, 0, 9, 2, 6], 3, group=4, passes=2, pool=2)

    forwards, jumping = order(), order()
    expected = [(forwards[p], forwards.group_of(p)) for p in range(200)]
    for position in (position * 77 % 200 for position in range(200)):
        assert (jumping[position], jumping.group_of(position)) == expected[position]


@pytest.mark.parametrize("change", [{"seed": 4}, {"pool": 1}, {"group": 9}])
def test_seed_pool_and_group_change_the_order(change):
    options = {"seed": 3, "pool": 4, "group": None}
    one, other = (SampleOrder([9] * 6, **chosen) for chosen in (options, options | change))
    assert indices(one, range(54)) != indices(other, range(54))


@pytest.mark.parametrize(("num_shards", "pool"), [(12, 1), (12, 4), (13, 4), (5, 8)])
def test_few_shards_are_in_use_at_once(num_shards, pool):
    order = SampleOrder([20] * num_shards, 1, pool=pool)
    # First and last use of a shard lie no further apart than the samples of a pool.
    uses = {}
    for position in range(order.cycle):
        uses.setdefault(order[position][0], []).append(position)
    assert max(max(found) - min(found) for found in uses.values()) < 20 * pool
    if 1 < pool < num_shards:
        assert len({order[position][0] for position in range(20)}) > 1, "shards of a pool are mixed"


def test_no_shard_is_left_to_itself():
    """Nine shards in pools of up to eight: five and four, not eight and one that nothing is mixed with."""
    order = SampleOrder([50] * 9, 0, pool=8)
    assert len({order[position][0] for position in range(order.cycle - 50, order.cycle)}) > 1


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_what_one_would_do_alone(world):
    alone = [list(batch_positions(step, 4)) for step in range(6 * world)]
    shared = [list(batch_positions(step, 4, rank, world)) for step in range(6) for rank in range(world)]
    assert shared == alone


def test_batches_begin_where_they_are_told():
    batches = OrderedBatches(batch_size=2, start_step=3, num_steps=2, rank=1, world=2)
    assert list(batches) == [[14, 15], [18, 19]]
    assert len(batches) == 2


def test_the_order_is_that_of_version_1():
    order = SampleOrder([2, 0, 3], 0, group=2, passes=2)
    assert [order.group_of(position)[0] for position in range(12)] == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    assert indices(order, range(10)) == [4, 4, 0, 2, 0, 2, 3, 1, 3, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 0), "with a sample somewhere"),
        (([0, 0], 0), "with a sample somewhere"),
        (([3, -1], 0), "with a sample somewhere"),
        (([3], 0, 0), "group=0: expected 1 or more"),
        (([3], 0, None, 0), "passes=0: expected 1 or more"),
        (([3], 0, None, 1, 0), "pool=0: expected 1 or more"),
    ],
)
def test_numbers_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        SampleOrder(*arguments)


def test_positions_and_samples_that_are_not():
    order = SampleOrder([3], 0)
    with pytest.raises(IndexError, match="position -1"):
        order[-1]
    with pytest.raises(IndexError, match="sample 3 of 3"):
        order.place_of(3)


def subset_order(**changes):
    return SubsetOrder(**{"shard_sizes": [9] * 6, "seed": 3, "size": 10, "passes": 2, "pool": 2} | changes)


@pytest.mark.parametrize("batch_size", [2, 6, 16])
def test_half_of_every_batch_is_of_the_subset_and_half_of_all(batch_size):
    order = subset_order()
    for step in range(40):
        groups = [order.group_of(position)[0] for position in batch_positions(step, batch_size)]
        assert groups.count(NO_GROUP) == batch_size / 2


@pytest.mark.parametrize(("count", "size"), [(97, 10), (501, 500), (1100, 50)])
def test_no_image_waits_for_the_subset_it_is_in(count, size):
    """Every image is in every 2N/B steps, counted from the first, whatever the subset."""
    batch_size = 16
    order = SubsetOrder([count], 0, size)
    for turn in range(2):
        steps = range(turn * 2 * count // batch_size, -(-(turn + 1) * 2 * count // batch_size))
        seen = {
            order.index_of(position)
            for step in steps
            for position in batch_positions(step, batch_size)
            if order.group_of(position) == (NO_GROUP, NO_GROUP)
        }
        assert seen == set(range(count))


def test_the_subset_lasts_for_its_passes_and_its_labels_hold():
    order = subset_order()  # 54 images in six subsets of nine
    for number in range(12):
        positions = range(number * 36, (number + 1) * 36, 2)
        assert {order.group_of(position)[0] for position in positions} == {number}
        members = Counter(order.index_of(position) for position in positions)
        assert len(members) == 9
        assert set(members.values()) == {2}
        labels = {(order.index_of(position), order.group_of(position)[1]) for position in positions}
        assert sorted(label for _, label in labels) == list(range(9))


def test_the_subset_and_all_images_come_in_orders_of_their_own():
    """The subsets are cut from one permutation of all images; the other half passes through another."""
    alone = SampleOrder([9] * 6, 3, pool=2)
    assert indices(subset_order(), range(1, 108, 2)) != indices(alone, range(54))


def test_few_images_are_the_subset_for_ever():
    order, alone = subset_order(size=54), SampleOrder([9] * 6, 3, 54, 2, 2)
    assert [order[position] for position in range(200)] == [alone[position] for position in range(200)]
    assert all(order.group_of(position) == (0, order.index_of(position)) for position in range(200))


def test_both_halves_keep_their_shards_in_use():
    assert (subset_order().pool, subset_order(size=54).pool) == (4, 2)


def test_a_subset_of_none_is_refused():
    with pytest.raises(ValueError, match="group=0: expected 1 or more"):
        subset_order(size=0)
    with pytest.raises(IndexError, match="position -1"):
        subset_order().index_of(-1)


def test_passes_through_a_single_group_are_the_passes_of_any_other_number():
    """Nothing but the length of a cycle depends on how many passes it has."""
    orders = [SampleOrder([3, 0, 4, 2], 7, passes=passes, pool=2) for passes in (1, 3)]
    first, third = ([order[position] for position in range(63)] for order in orders)
    assert first == third
    assert len({tuple(first[start : start + 9]) for start in range(0, 63, 9)}) > 1


def test_a_cycle_is_one_pass_and_a_pool_eight_shards_unless_told_otherwise():
    sizes = [5] * 30
    assert SampleOrder(sizes, 0).cycle == 150
    for build in (SampleOrder, SubsetOrder):
        given = {"size": 10} if build is SubsetOrder else {}
        plain, told = build(sizes, 0, **given), build(sizes, 0, **given, pool=8)
        assert [plain[position] for position in range(300)] == [told[position] for position in range(300)]


def test_one_rank_alone_has_all_batches():
    assert list(OrderedBatches(2, 1, 2)) == [[2, 3], [4, 5]]

"""Derangements of a batch: the negatives of Eqs. 7 and 10."""

import pytest
import torch

from sketchforge.losses.autoencoder import derange


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [2, 3, 8, 33])
def test_distinct_images_are_deranged(count):
    indices = torch.randperm(1000, generator=generator(1))[:count]
    for seed in range(30):
        partner = derange(indices, generator(seed))
        assert partner.dtype == torch.int64
        assert sorted(partner.tolist()) == list(range(count))
        assert (indices[partner] != indices).all()


REPEATED = [[7, 7, 1, 2], [7, 7, 7, 1, 2, 3], [1, 1, 2, 2], [1, 2, 1, 2, 3], [5, 5, 5, 6, 6, 6]]


@pytest.mark.parametrize("indices", REPEATED)
def test_repeated_images_never_meet_themselves(indices):
    indices = torch.tensor(indices)
    for seed in range(50):
        partner = derange(indices, generator(seed))
        assert sorted(partner.tolist()) == list(range(len(indices)))
        assert (indices[partner] != indices).all()


def test_every_other_image_is_as_likely():
    counts = torch.zeros(5, 5)
    params = generator()
    for _ in range(2000):
        counts[torch.arange(5), derange(torch.arange(5) * 3, params)] += 1
    assert (counts.diagonal() == 0).all()
    assert (counts[~torch.eye(5, dtype=bool)] - 500).abs().max() < 100  # five standard deviations


def test_mismatches_depend_on_the_generator_only():
    indices = torch.arange(20)
    assert torch.equal(derange(indices, generator(3)), derange(indices, generator(3)))
    assert not torch.equal(derange(indices, generator(3)), derange(indices, generator(4)))
    assert len(derange(indices[:0], generator())) == 0


def test_mismatches_of_repeated_images_depend_on_the_generator_only():
    indices = torch.arange(20) // 4
    assert all(torch.equal(derange(indices, generator(3)), derange(indices, generator(3))) for _ in range(3))


@pytest.mark.parametrize(
    ("indices", "message"), [([4], "image 4 is 1 of the 1"), ([1, 9, 9], "image 9 is 2 of the 3")]
)
def test_no_mismatch_is_an_error(indices, message):
    with pytest.raises(ValueError, match=message) as error:
        derange(torch.tensor(indices), generator())
    assert "\n" not in str(error.value)

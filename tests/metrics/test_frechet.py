"""Distances between sets in given features: Fréchet and kernel, by definition, by hand, and resampled."""

import numpy as np
import pytest
import scipy.linalg

from sketchforge.errors import UsageError
from sketchforge.metrics import kid as kernel_inception_distance
from sketchforge.metrics.frechet import fit_gaussian, frechet_distance, resampled_distances
from sketchforge.metrics.images.statistics import estimate_distances, estimate_means
from sketchforge.metrics.kid import kernel_distances, kernel_matrices


def points(count: int, seed: int, shift: float = 0.0, width: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((count, width)) @ np.random.default_rng(99).standard_normal((width, width))
        + shift
    )


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return frechet_distance(fit_gaussian(a), fit_gaussian(b))


def by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """With a matrix square root, which needs full rank."""
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * np.real(root))


@pytest.mark.parametrize("counts", [(40, 50), (8, 7), (300, 20)])
def test_frechet_equals_its_definition(counts):
    a, b = points(counts[0], 0), points(counts[1], 1, 0.4)
    assert distance(a, b) == pytest.approx(by_definition(a, b), rel=1e-8)


def test_frechet_by_hand():
    """Variances 2 and 8, means 1 apart: 1 + (√2 − √8)² = 3; the second axis is flat in both."""
    a = np.array([[-1.0, 5], [1, 5]])
    b = np.array([[-1.0, 5], [3, 5]])
    assert distance(a, b) == pytest.approx(1 + 2)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_frechet_of_a_set_with_itself_is_nothing(count):
    """With fewer images than features, too, where square roots of matrices come out complex."""
    a, b = points(count, 0, width=30), points(count, 1, width=30)
    assert abs(distance(a, a)) < 1e-3 * 1e-6 * distance(a, b)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-9)


def test_frechet_of_halves_is_small_beside_another_set():
    whole = points(4000, 0)
    assert distance(whole[::2], whole[1::2]) < distance(whole, points(4000, 1, 1.0)) / 30


def test_frechet_is_real_and_not_negative_for_few_images():
    found = [distance(points(3, seed, width=50), points(4, seed + 100, width=50)) for seed in range(20)]
    assert min(found) > 0
    assert all(isinstance(one, float) for one in found)


def test_frechet_agrees_with_torch_fidelity():
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    import torch

    a, b = points(60, 0, width=20), points(15, 1, 0.2, width=20)  # 15 images of 20 features: no full rank
    stats = [fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    theirs = fid.fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert distance(a, b) == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("counts", [(30, 12), (5, 12), (40, 4)])
def test_resampling_by_counts_is_measuring_the_set_drawn(counts):
    a, b = points(counts[0], 0), points(counts[1], 1, 0.4)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(counts[0], np.full(counts[0], 1 / counts[0]), size=3)
    found = resampled_distances(a, drawn, fit_gaussian(b))
    for one, value in zip(drawn, found, strict=True):
        assert value == pytest.approx(distance(np.repeat(a, one, axis=0), b), rel=1e-5, abs=1e-5)
    assert np.isnan(resampled_distances(a, np.eye(1, counts[0]), fit_gaussian(b)))


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_kernel_distance_is_that_of_whole_matrices_whatever_the_blocks(monkeypatch, block):
    monkeypatch.setattr(kernel_inception_distance, "BLOCK", block)
    a, b = points(20, 0), points(13, 1, 0.3)
    counts = np.random.default_rng(0).integers(0, 3, (4, 20))
    matrices = kernel_matrices(a, b)
    assert kernel_distances(a, b) == pytest.approx([matrices.mmd2()])
    assert kernel_distances(a, b, counts) == pytest.approx([matrices.mmd2(one) for one in counts])


def test_kernel_distance_agrees_with_torch_fidelity():
    """Whose subsets are the whole sets here, so that nothing is left to chance."""
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    import torch

    a, b = points(25, 0), points(25, 1, 0.3)
    theirs = kid.kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=1, kid_subset_size=25, verbose=False
    )
    assert kernel_distances(a, b)[0] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)


def test_sets_that_cannot_be_compared_are_refused():
    for call in (lambda a, b: distance(a, b), kernel_distances):
        with pytest.raises(UsageError, match="found 1, expected at least two"):
            call(points(1, 0), points(5, 1))
        with pytest.raises(ValueError, match="image 1 are not finite"):
            call(np.array([[0.0, 1], [np.nan, 1]]), points(5, 1, width=2))
        with pytest.raises(ValueError, match="6 and 5"):
            call(points(5, 0), points(5, 0)[:, :5])
        with pytest.raises(ValueError, match=r"expected \(N, D\)"):
            call(np.zeros(4), points(5, 0))


def test_intervals_of_distances_hold_the_figure_and_narrow_with_more_images():
    reference = points(400, 9)
    widths = []
    for count in (40, 400):
        found = estimate_distances(points(count, 0, 0.3), range(count), reference, seed=0)
        for figure in found.values():
            assert figure.low < figure.value < figure.high
            assert figure.images == count
        widths.append(found["frechet"].high - found["frechet"].low)
    assert widths[1] < widths[0] / 2


def test_the_width_of_an_interval_is_that_of_new_sets():
    """95 % of sets of the same kind lie about as far apart as the interval is wide."""
    reference = points(300, 9)
    figures = [estimate_distances(points(60, seed, 0.5), range(60), reference, 0) for seed in range(60)]
    for name in ("frechet", "kid"):
        values = [found[name].value for found in figures]
        widths = [found[name].high - found[name].low for found in figures]
        assert np.median(widths) == pytest.approx(2 * 1.96 * np.std(values), rel=0.35)


def test_images_of_one_sketch_are_drawn_together():
    """Ten copies of every image are no more images than one: the interval stays as wide."""
    reference, a = points(200, 9), points(30, 0, 0.3)
    once = estimate_distances(a, range(30), reference, 0)["frechet"]
    told_apart = estimate_distances(np.repeat(a, 10, axis=0), range(300), reference, 0)["frechet"]
    together = estimate_distances(np.repeat(a, 10, axis=0), np.repeat(np.arange(30), 10), reference, 0)[
        "frechet"
    ]
    width = once.high - once.low
    assert together.images == 30
    assert together.high - together.low == pytest.approx(width, rel=0.2)
    assert told_apart.high - told_apart.low < width / 2
    means = estimate_means({"x": np.repeat(a[:, 0], 10)}, np.repeat(np.arange(30), 10), 0)["x"]
    alone = estimate_means({"x": a[:, 0]}, range(30), 0)["x"]
    assert (means.value, means.low, means.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_one_sketch_has_no_interval():
    found = estimate_distances(points(5, 0), [3] * 5, points(9, 1), 0)["frechet"]
    assert found.low is None
    assert found.high is None
    assert found.images == 1


def test_a_resampled_set_of_two_images_has_a_distance_and_one_of_a_single_image_none():
    images, reference = points(5, 0), points(30, 1)
    counts = np.array([[0, 1, 0, 1, 0], [0, 1, 0, 0, 0]])
    two, single = resampled_distances(images, counts, fit_gaussian(reference))
    assert two == pytest.approx(distance(images[[1, 3]], reference), rel=1e-5)
    assert np.isnan(single)

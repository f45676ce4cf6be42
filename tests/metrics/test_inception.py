"""Inception's features by torch-fidelity's port, with random weights: FID's own are not ours to ship."""

import dataclasses
import json
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sketchforge.errors import SketchforgeError
from sketchforge.metrics.frechet import fit_gaussian, frechet_distance
from sketchforge.metrics.images.feature_networks import open_features
from sketchforge.metrics.images.features import crop_square, features_of
from sketchforge.metrics.kid import kernel_distances
from tests.helpers.photos import scene

fidelity = pytest.importorskip("torch_fidelity.fidelity")
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """torchvision's Inception has the same names; its head is another."""
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, aux_logits=False, init_weights=False, num_classes=1008)
    generator = torch.Generator().manual_seed(0)
    state = network.state_dict()
    for value in state.values():
        if value.ndim == 4:
            value.normal_(std=(2 / value[0].numel()) ** 0.5, generator=generator)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def network(weights):
    torch.set_num_threads(1)
    return open_features("inception", weights, CPU)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two folders of PNG at 299 pixels, where torch-fidelity does not resize, and what is in them."""
    folders = []
    for number in range(2):
        folder = tmp_path_factory.mktemp(f"set{number}")
        images = [scene(10 * number + seed, 299, 299) for seed in range(2)]
        for place, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{place}.png")
        folders.append((folder, images))
    return folders


@pytest.fixture(scope="module")
def features(network, sets):
    return [features_of(images, network) for _, images in sets]


def test_fid_and_kid_agree_with_torch_fidelitys(weights, network, sets, features, monkeypatch, capsys):
    """FID in Inception's 192 features of an early layer: of its 2048 the root of a matrix, which the command
    takes, would be ten seconds' work. KID is in all of them."""
    words = ["fidelity", "--input1", sets[0][0], "--input2", sets[1][0]]
    words += ["--cpu", "--json", "--silent", "--no-cache"]
    words += ["--fid", "--feature-layer-fid", "192", "--kid", "--kid-subsets", 1, "--kid-subset-size", 2]
    words += ["--feature-extractor-weights-path", weights, "--save-cpu-ram"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    fidelity.main()
    theirs = json.loads(capsys.readouterr().out)
    found = kernel_distances(*features)[0]
    # A small difference of large sums: how far they agree depends on the processor.
    assert found == pytest.approx(theirs["kernel_inception_distance_mean"], rel=5e-3)
    assert found != 0
    early = FeatureExtractorInceptionV3("early", ["192"], str(weights))
    network = dataclasses.replace(network, describe=lambda squares: early(squares)[0])
    a, b = (fit_gaussian(features_of(images, network)) for _, images in sets)
    found = frechet_distance(a, b)
    assert a.mean.shape == (192,)
    assert found > 0
    assert found == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)


def test_fid_of_a_set_with_itself_is_nothing(features):
    a, b = map(fit_gaussian, features)
    assert abs(frechet_distance(a, a)) < 1e-3 * 1e-3 * frechet_distance(a, b)


def test_smaller_images_are_enlarged_by_our_recipe_not_the_ports(network):
    small = scene(0, 64, 64)
    np.testing.assert_array_equal(
        features_of([small], network), features_of([crop_square(small, 299)], network)
    )


def test_weights_that_are_not_fids_are_named_so(network):
    assert (network.frechet, network.kernel) == ("FID (other weights)", "KID (other weights)")
    assert "not comparable" in network.note
    assert network.features == "inception pool3"


class Attack:
    def __reduce__(self):
        return open, ("attacked", "w")


def test_a_file_cannot_run_code(tmp_path, monkeypatch):
    """torch-fidelity itself would unpickle it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"x": Attack()}))
    with pytest.raises(SketchforgeError, match="cannot be read as weights"):
        open_features("inception", tmp_path / "w.pth", CPU)
    assert not (tmp_path / "attacked").exists()

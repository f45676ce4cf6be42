"""Inception's features by torch-fidelity's port, with random weights: FID's own are not ours to ship."""

import pickle

import numpy as np
import pytest
import torch
from conftest import scene
from PIL import Image

from sketchforge.errors import SketchforgeError
from sketchforge.metrics.feature_networks import open_features
from sketchforge.metrics.image_features import features_of, squared
from sketchforge.metrics.kernel_inception_distance import kernel_distances

torch_fidelity = pytest.importorskip("torch_fidelity")
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
        pictures = [scene(10 * number + seed, 299, 299) for seed in range(3)]
        for place, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"{place}.png")
        folders.append((folder, pictures))
    return folders


def test_kid_agrees_with_torch_fidelity(weights, network, sets):
    theirs = torch_fidelity.calculate_metrics(
        input1=str(sets[0][0]),
        input2=str(sets[1][0]),
        kid=True,
        kid_subsets=1,
        kid_subset_size=3,
        cuda=False,
        feature_extractor_weights_path=str(weights),
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    a, b = (features_of(pictures, network) for _, pictures in sets)
    found = kernel_distances(a, b)[0]
    assert found == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3) and found != 0


def test_smaller_pictures_are_enlarged_by_our_recipe_not_the_ports(network):
    small = scene(0, 64, 64)
    np.testing.assert_array_equal(features_of([small], network), features_of([squared(small, 299)], network))


def test_weights_that_are_not_fids_are_named_so(network):
    assert (network.frechet, network.kernel) == ("FID (other weights)", "KID (other weights)")
    assert "not comparable" in network.caution and network.features == "inception pool3"


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

"""LPIPS with backbones from local files."""

import cv2
import pytest
import torch
from torchvision.models import alexnet, squeezenet1_1

from sketchforge.checkpoints import catalog
from sketchforge.checkpoints.catalog import AbsentError
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.images.lpips import open_lpips
from tests.helpers.photos import scene

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """SqueezeNet with random weights."""
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = squeezenet1_1()
    path = tmp_path_factory.mktemp("lpips") / "squeezenet.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def squeeze(path):
    return open_lpips("squeeze", path, CPU)


def blurred(level: float) -> torch.Tensor:
    return to_tensor(cv2.GaussianBlur(scene(0, 64, 64), (0, 0), level))


@pytest.mark.filterwarnings("ignore")
def test_is_the_packages_own_figure(path, squeeze):
    """With the backbone where the package would put it."""
    import lpips

    with torch.random.fork_rng(devices=[]):
        wanted = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).eval()
    layers = iter([module for part in wanted.net.children() for module in part.children()])
    given = squeezenet1_1()
    given.load_state_dict(torch.load(path))
    for layer, own in zip(layers, given.features, strict=False):
        layer.load_state_dict(own.state_dict())
    a, b = to_tensor(scene(0, 64, 64)), to_tensor(scene(1, 64, 64))
    with torch.no_grad():
        assert squeeze.distance(a, b).tolist() == pytest.approx(wanted(a, b).flatten().tolist(), rel=1e-5)


def test_none_between_equal_images_and_more_the_more_they_differ(squeeze):
    sharp = to_tensor(scene(0, 64, 64))
    found = [float(squeeze.distance(sharp, other)) for other in (sharp, *map(blurred, (0.5, 1, 2, 4)))]
    assert found[0] == 0
    assert found == sorted(found)
    assert float(squeeze.distance(sharp, to_tensor(scene(1, 64, 64)))) > found[1]


def test_images_of_a_batch_are_measured_by_themselves(squeeze):
    a = torch.cat([to_tensor(scene(seed, 64, 64)) for seed in range(3)])
    b = torch.cat([to_tensor(scene(seed + 5, 64, 64)) for seed in range(3)])
    alone = [float(squeeze.distance(a[i : i + 1], b[i : i + 1])) for i in range(3)]
    assert squeeze.distance(a, b).tolist() == pytest.approx(alone, rel=1e-5)
    with pytest.raises(ValueError, match="expected equal shapes"):
        squeeze.distance(a, b[:1])


def test_other_weights_than_the_heads_were_fitted_to_are_named(path, squeeze, monkeypatch):
    assert squeeze.title == "LPIPS (squeeze, other weights)"
    assert "heads were fitted" in squeeze.note
    monkeypatch.setattr("sketchforge.metrics.images.lpips.is_published", lambda name, path: True)
    published = open_lpips("squeeze", path, CPU)
    assert (published.title, published.note) == ("LPIPS (squeeze)", "")


def test_a_published_file_is_known_by_its_digest(tmp_path, monkeypatch):
    (tmp_path / "w.pth").write_bytes(b"anything")
    assert not catalog.is_published("squeezenet", tmp_path / "w.pth")
    monkeypatch.setattr(catalog, "sha256_of", lambda path: "b8a52dc0" + 56 * "0")
    assert catalog.is_published("squeezenet", tmp_path / "w.pth")
    assert not catalog.is_published("alexnet", tmp_path / "w.pth")


def test_what_cannot_be_loaded_is_told(path, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(AbsentError, match="no weights of alexnet: looked for alexnet-owt-7be5be79.pth"):
        open_lpips("alex", None, CPU)
    with pytest.raises(UsageError, match="no such backbone of LPIPS; there are alex, vgg, squeeze"):
        open_lpips("resnet", path, CPU)
    with pytest.raises(SketchforgeError, match="not the weights of alexnet"):
        open_lpips("alex", path, CPU)


def test_the_order_of_draws_is_left_alone(path):
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    open_lpips("squeeze", path, CPU)
    assert torch.rand(1) == wanted


def test_alex_is_read_too(tmp_path):
    small = {key: value for key, value in alexnet().state_dict().items() if key.startswith("features")}
    torch.save(small, tmp_path / "alex.pth")
    a = to_tensor(scene(0, 64, 64))
    assert float(open_lpips("alex", tmp_path / "alex.pth", CPU).distance(a, a)) == 0

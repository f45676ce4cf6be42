"""VGG19 up to its first fully connected layer: torchvision's numbers from torchvision's weights, as the style hint."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.vgg import make_layers

from sketchforge.errors import SketchforgeError
from sketchforge.models import style_hint
from sketchforge.models.encoder import IMAGENET_MEAN, IMAGENET_STD
from sketchforge.models.vgg19_fc1 import Vgg19Fc1
from trainers.style2paints import hint as hints

BLOCKS = ((2, 2), (3, 3), (4,) * 4, (5,) * 4, (6,) * 4)  # VGG19's layers, narrow


@pytest.fixture(scope="module")
def theirs():
    """torchvision's network of these widths, (features, first layer)."""
    torch.manual_seed(0)
    layers = [width for block in BLOCKS for width in (*block, "M")]
    return make_layers(layers).eval(), torch.nn.Linear(6 * 49, 7).eval()


@pytest.fixture(scope="module")
def state(theirs):
    features, layer = theirs
    named = {f"features.{name}": value for name, value in features.state_dict().items()}
    named |= {f"classifier.0.{name}": value for name, value in layer.state_dict().items()}
    return named | {"classifier.3.weight": torch.zeros(1)}


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setitem(style_hint.NETWORKS, "vgg19", lambda: Vgg19Fc1(BLOCKS, 7))
    monkeypatch.setitem(style_hint.NUM_FEATURES, "vgg19", 7)


def images(side=224):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_it_computes_what_torchvisions_network_computes(theirs, state):
    ours = Vgg19Fc1(BLOCKS, 7).eval()
    ours.load_torchvision_state(state)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        maps = theirs[0](((images() + 1) / 2 - mean) / std)
        torch.testing.assert_close(ours(images()), theirs[1](maps.flatten(1)), rtol=1e-4, atol=1e-6)


def test_a_hint_of_it_is_the_layer_normalised_and_nothing_else(narrow, state, tmp_path, monkeypatch):
    save_file(state, tmp_path / "vgg19.safetensors")
    monkeypatch.setattr(hints, "find_weights", lambda *given, **named: tmp_path / "vgg19.safetensors")
    hint = hints.open_hint("vgg19", None)
    values = hint.network(images())
    expected = (values - values.mean(1, keepdim=True)) / values.std(1, keepdim=True, unbiased=False)
    torch.testing.assert_close(hint(images()), expected, rtol=1e-2, atol=1e-2)


def test_a_file_without_the_classifier_is_told(narrow, state, tmp_path, monkeypatch):
    path = tmp_path / "features.safetensors"
    save_file({name: value for name, value in state.items() if "classifier" not in name}, path)
    monkeypatch.setattr(hints, "find_weights", lambda *given, **named: path)
    with pytest.raises(
        SketchforgeError, match="features.safetensors: not torchvision's VGG19 .*classifier.0.weight"
    ):
        hints.open_hint("vgg19", None)

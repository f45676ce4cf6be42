"""Files of models of sketches and styles: what their versions mean, and that padding comes back."""

import pytest
import torch

from sketchforge.checkpoints import autoencoder as autoencoder_files
from sketchforge.checkpoints import synthesizer as synthesizer_files
from sketchforge.checkpoints.autoencoder import SETTINGS, read_autoencoder, write_autoencoder
from sketchforge.checkpoints.synthesizer import REFINER_SETTINGS, read_synthesizer, write_synthesizer
from sketchforge.checkpoints.tensor_files import save_tensors
from sketchforge.errors import SketchforgeError
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.models.gan import Refiner
from sketchforge.models.layers import PADDINGS

NARROW = 0.0625


def new_models(padding):
    torch.manual_seed(0)
    autoencoder = AutoEncoder(64, NARROW, padding=padding).eval()
    return autoencoder, Refiner(64, 0.02, autoencoder.style_dim, padding=padding).eval()


def settings_of(model, names):
    return {name: getattr(model, name) for name in names if name != "padding"}


@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_comes_back(tmp_path, padding):
    autoencoder, refiner = new_models(padding)
    write_autoencoder(tmp_path / "ae.safetensors", autoencoder, {})
    write_synthesizer(tmp_path / "model.safetensors", autoencoder, refiner, {})
    alone = read_autoencoder(tmp_path / "ae.safetensors")[0]
    found, refining, _ = read_synthesizer(tmp_path / "model.safetensors")
    assert (alone.padding, found.padding, refining.padding) == (padding,) * 3
    sketch, image = torch.ones(1, 1, 64, 64), torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        made = autoencoder(sketch, image)
        style = autoencoder.encode_style(image)
        assert torch.equal(alone(sketch, image), made)
        assert torch.equal(refining(made, style), refiner(made, style))


def test_files_of_version_3_had_zeros_beyond_the_border(tmp_path):
    """0.2.0 wrote them, without naming it. Of newer and older ones the version is told."""
    autoencoder, refiner = new_models("zeros")
    described = settings_of(autoencoder, SETTINGS)
    path = tmp_path / "ae.safetensors"
    for version in (2, 3, 5):
        save_tensors(path, autoencoder_files.FORMAT, version, autoencoder.state_dict(), {"model": described})
        if version == 3:
            assert read_autoencoder(path)[0].padding == "zeros"
        else:
            with pytest.raises(SketchforgeError, match=f"version {version}"):
                read_autoencoder(path)
    tensors = {f"autoencoder.{name}": x for name, x in autoencoder.state_dict().items()}
    tensors |= {f"refiner.{name}": x for name, x in refiner.state_dict().items()}
    models = {"autoencoder": described, "refiner": settings_of(refiner, REFINER_SETTINGS)}
    save_tensors(path, synthesizer_files.FORMAT, 3, tensors, {"models": models})
    found, refining, _ = read_synthesizer(path)
    assert found.padding == refining.padding == "zeros"

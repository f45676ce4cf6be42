"""EfficientNet-Lite0: sizes, padding and blocks against plain computations; its weights as features."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from sketchforge.errors import SketchforgeError
from sketchforge.metrics.images.feature_networks import open_features
from sketchforge.models.efficientnet_lite0 import EfficientNetLite0, InvertedResidual, SameConv

DATA = Path(os.environ.get("SKETCHFORGE_TEST_DATA", "none"))
WEIGHTS = DATA / "weights/efficientnet_lite0/efficientnet_lite0_fp16.safetensors"


@pytest.mark.parametrize(("size", "stride"), [(8, 2), (7, 2), (8, 1), (5, 2), (1, 2)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_is_tensorflows(size, stride, kernel):
    """Output i is the sum over the window that begins at i·stride - total // 2, zeros outside."""
    conv = SameConv(1, 1, kernel, stride)
    conv.weight.data.fill_(1.0)
    values = torch.arange(1.0, size + 1)
    found = conv(values.view(1, 1, 1, -1).expand(1, 1, size, size))[0, 0]
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)

    def window_sum(i: int, line: list[float]) -> float:
        begin = i * stride - total // 2
        return sum(line[at] for at in range(begin, begin + kernel) if 0 <= at < size)

    across = [window_sum(i, values.tolist()) for i in range(outputs)]
    down = [window_sum(i, [1.0] * size) for i in range(outputs)]
    assert found.tolist() == [[a * d for a in across] for d in down]


def test_a_block_by_hand():
    """Two channels, expanded fourfold would hide errors; here each step is written out."""
    torch.manual_seed(0)
    block = InvertedResidual(2, 2, 3, 1, 6).eval()
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 2, 5, 5)

    def norm(value, bn):
        return (value - bn.running_mean.view(1, -1, 1, 1)) / (bn.running_var.view(1, -1, 1, 1) + 1e-3).sqrt()

    wide = norm(F.conv2d(x, block._expand_conv.weight), block._bn0).clamp(0, 6)
    filtered = norm(F.conv2d(wide, block._depthwise_conv.weight, padding=1, groups=12), block._bn1).clamp(
        0, 6
    )
    projected = norm(F.conv2d(filtered, block._project_conv.weight), block._bn2)
    assert torch.allclose(block(x), projected + x, atol=1e-5)


def test_the_trunk_has_sixteen_blocks_and_a_32nd_of_the_size():
    network = EfficientNetLite0().eval()
    assert len(network._blocks) == 16
    assert network(torch.zeros(1, 3, 97, 64)).shape == (1, 1280, 4, 2)
    assert sum(tensor.numel() for tensor in network.parameters()) == 4_652_008 - 1_281_000


def test_features_come_from_any_file_of_its_state(tmp_path):
    torch.manual_seed(1)
    network = EfficientNetLite0().eval()
    save_file(network.state_dict(), str(tmp_path / "w.safetensors"))
    features = open_features("efficientnet-lite0", tmp_path / "w.safetensors")
    squares = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    wanted = network((squares.float() - 127) / 128).mean((2, 3))
    assert torch.allclose(features.describe(squares), wanted, atol=1e-5)
    assert features.frechet == "Fréchet (efficientnet-lite0)"


def test_weights_of_another_network_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, str(tmp_path / "w.safetensors"))
    with pytest.raises(SketchforgeError, match="not the weights of EfficientNet-Lite0"):
        open_features("efficientnet-lite0", tmp_path / "w.safetensors")


@pytest.mark.skipif(
    not WEIGHTS.is_file(), reason="SKETCHFORGE_TEST_DATA names no weights of EfficientNet-Lite0"
)
def test_the_published_weights_know_dogs():
    """ImageNet's classes 151 to 268 are dogs; nine of ten photos of dogs are named one."""
    from safetensors.torch import load_file

    from sketchforge.images.decode import decode_image
    from sketchforge.images.resize import fit_square
    from sketchforge.images.sources import find_images

    state = {name: tensor.float() for name, tensor in load_file(str(WEIGHTS)).items()}
    network = EfficientNetLite0().eval()
    names = set(network.state_dict())
    network.load_state_dict({name: tensor for name, tensor in state.items() if name in names})
    photos = find_images(DATA / "photos/pacs/dog")[:20]
    pixels = np.stack([fit_square(decode_image(photo.read()).pixels, 224, "crop") for photo in photos])
    with torch.inference_mode():
        features = network((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128).mean((2, 3))
    classes = F.linear(features, state["_fc.weight"], state["_fc.bias"]).argmax(1)
    assert ((classes >= 151) & (classes <= 268)).float().mean() >= 0.8

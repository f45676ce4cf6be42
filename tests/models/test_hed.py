"""HED against a plain implementation in loops, against values by hand, and in every layout of its files."""

import math
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sketchforge.checkpoints.edge_networks import load_edge_network
from sketchforge.checkpoints.tensor_files import save_tensors, tensors_digest
from sketchforge.errors import SketchforgeError
from sketchforge.models.hed import HED, bilinear_kernel

TINY = ((2, 3), (3, 2), (2, 3, 2), (3, 2, 3), (2, 2, 3))
LAYERS = [f"conv{s}_{i}" for s, stage in enumerate(TINY, 1) for i in range(1, len(stage) + 1)]
LAYERS += [f"score-dsn{s}" for s in range(1, 6)] + ["new-score-weighting"]


def tiny_hed(seed: int = 0) -> HED:
    """Random weights, more of them positive so that ReLU leaves something; sides that vary by about 1."""
    generator = torch.Generator().manual_seed(seed)
    network = HED(TINY).eval().requires_grad_(False)
    for tensor in network.state_dict().values():
        spread = 1 / math.sqrt(tensor[0].numel() if tensor.ndim > 1 else 1)
        tensor.copy_((torch.randn(tensor.shape, generator=generator) + 0.4) * spread)
    for s in range(1, 6):
        score = network.get_submodule(f"score-dsn{s}")
        seen = []
        hook = score.register_forward_hook(lambda _, __, out: seen.append(out))
        network(random_image(32, 32, seed))
        hook.remove()
        border = 35 >> (s - 1)
        inside = seen[0][..., border:-border, border:-border]
        mean, std = inside.mean(), inside.std()
        score.weight.div_(std)
        score.bias.sub_(mean).div_(std)
    return network


def random_image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, padding: int) -> np.ndarray:
    side = weight.shape[-1]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    height, width = x.shape[1] - side + 1, x.shape[2] - side + 1
    out = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for dy in range(side):
        for dx in range(side):
            window = x[:, dy : dy + height, dx : dx + width]
            for o in range(len(weight)):
                for c in range(len(x)):
                    out[o] += weight[o, c, dy, dx] * window[c]
    return out


def pooled(x: np.ndarray) -> np.ndarray:
    """2x2, stride 2, sizes rounded up: a window at the border holds what is left."""
    height, width = math.ceil(x.shape[1] / 2), math.ceil(x.shape[2] / 2)
    out = np.empty((len(x), height, width))
    for i in range(height):
        for j in range(width):
            out[:, i, j] = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((1, 2))
    return out


def deconvolved(x: np.ndarray, stride: int) -> np.ndarray:
    """Every value is added to the output as a small tent around its place."""
    tent = [min(k + 0.5, 2 * stride - k - 0.5) / stride for k in range(2 * stride)]
    out = np.zeros(((x.shape[0] + 1) * stride, (x.shape[1] + 1) * stride))
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i * stride : (i + 2) * stride, j * stride : (j + 2) * stride] += x[i, j] * np.outer(
                tent, tent
            )
    return out


def resized(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear; pixel centres lie at halves, and what lies beyond the outermost centre has its value."""

    def places(size: int, count: int) -> list[tuple[int, int, float]]:
        found = []
        for i in range(count):
            at = min(max((i + 0.5) * size / count - 0.5, 0), size - 1)
            found.append((int(at), min(int(at) + 1, size - 1), at - int(at)))
        return found

    out = np.empty((height, width))
    for i, (y0, y1, v) in enumerate(places(x.shape[0], height)):
        for j, (x0, x1, u) in enumerate(places(x.shape[1], width)):
            out[i, j] = (1 - v) * ((1 - u) * x[y0, x0] + u * x[y0, x1]) + v * (
                (1 - u) * x[y1, x0] + u * x[y1, x1]
            )
    return out


def plain_hed(state: dict[str, torch.Tensor], image: torch.Tensor, geometry: str = "cropped") -> np.ndarray:
    """(3,H,W) RGB in [-1, 1] -> HxW, float64, one step at a time."""
    border = 35 if geometry == "cropped" else 1
    w = {name: tensor.double().numpy() for name, tensor in state.items()}
    height, width = image.shape[1:]
    rgb = (image.double().numpy() + 1) / 2 * 255
    x = np.stack([rgb[2] - 104.00698793, rgb[1] - 116.66876762, rgb[0] - 122.67891434])
    fused = np.full((height, width), w["new-score-weighting.bias"][0])
    for s, (stage, offset) in enumerate(zip(TINY, (34, 35, 36, 38, 42), strict=True), start=1):
        if s > 1:
            x = pooled(x)
        for i in range(1, len(stage) + 1):
            name = f"conv{s}_{i}"
            x = np.maximum(
                convolved(x, w[f"{name}.weight"], w[f"{name}.bias"], border if name == "conv1_1" else 1), 0
            )
        side = convolved(x, w[f"score-dsn{s}.weight"], w[f"score-dsn{s}.bias"], 0)[0]
        if geometry == "resized":
            side, offset = resized(side, height, width), 0
        elif s > 1:
            side = deconvolved(side, 2 ** (s - 1))
        fused += (
            w["new-score-weighting.weight"][0, s - 1, 0, 0]
            * side[offset : offset + height, offset : offset + width]
        )
    return 1 / (1 + np.exp(-fused))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (17, 31), (1, 5), (40, 23)])
def test_the_network_is_the_plain_one(height, width):
    network, image = tiny_hed(), random_image(height, width)
    found, wanted = network(image)[0, 0].numpy(), plain_hed(network.state_dict(), image[0])
    assert found.shape == (height, width)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert found.std() > 0.01 or height == 1  # the weights do look at the image


@pytest.mark.parametrize(("height", "width"), [(8, 8), (17, 31), (1, 5), (40, 23)])
def test_the_resized_geometry_is_the_plain_one(height, width):
    network = HED(TINY, "resized").eval().requires_grad_(False)
    network.load_state_dict(tiny_hed().state_dict())
    image = random_image(height, width)
    wanted = plain_hed(network.state_dict(), image[0], "resized")
    np.testing.assert_allclose(network(image)[0, 0].numpy(), wanted, atol=1e-5)
    assert np.abs(wanted - plain_hed(network.state_dict(), image[0])).max() > 0.003, "another geometry"


def test_the_file_decides_the_geometry(tmp_path):
    state = caffe(tiny_hed().state_dict())
    for geometry in ("resized", "cropped"):
        path = tmp_path / f"{geometry}.safetensors"
        save_tensors(path, "sketchforge-edge-network", 1, state, {"geometry": geometry})
        assert load_edge_network("hed", path).geometry == geometry
    saved(state, tmp_path / "authors.safetensors")
    assert load_edge_network("hed", tmp_path / "authors.safetensors").geometry == "cropped"
    save_tensors(path, "sketchforge-edge-network", 1, state, {"geometry": "bent"})
    with pytest.raises(SketchforgeError, match="geometry 'bent', expected cropped or resized"):
        load_edge_network("hed", path)


@pytest.mark.parametrize("side", range(1, 6))
def test_each_side_output_counts(side):
    """With all other sides silenced, too, so that no side hides behind another."""
    network = tiny_hed(side)
    weight = network.state_dict()["new-score-weighting.weight"]
    weight.copy_(torch.where(torch.arange(5).view(1, 5, 1, 1) == side - 1, 3.0, 0.0))
    image = random_image(21, 18)
    found = network(image)[0, 0].numpy()
    np.testing.assert_allclose(found, plain_hed(network.state_dict(), image[0]), atol=1e-5)
    assert found.std() > 0.01


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
def test_deconvolution_of_a_flat_map_is_flat(stride):
    """But for the outermost pixels, the tents add up to one."""
    flat = torch.ones(1, 1, 3, 4)
    out = torch.nn.functional.conv_transpose2d(flat, bilinear_kernel(stride), stride=stride)[0, 0]
    assert torch.allclose(out[stride:-stride, stride:-stride], torch.ones(2 * stride, 3 * stride))
    assert bilinear_kernel(stride)[0, 0, 0, 0] == pytest.approx((0.5 / stride) ** 2)


def test_a_side_output_by_hand():
    """All weights 0 but for the sides' biases: 2 everywhere, weighted 0.05 to 0.25, and a bias of 0.1."""
    network = tiny_hed()
    state = network.state_dict()
    for tensor in state.values():
        tensor.zero_()
    for s in range(1, 6):
        state[f"score-dsn{s}.bias"].fill_(2.0)
    state["new-score-weighting.weight"].copy_(torch.arange(1.0, 6.0).view(1, 5, 1, 1) * 0.05)
    state["new-score-weighting.bias"].fill_(0.1)
    wanted = 1 / (1 + math.exp(-(0.05 * 15 * 2 + 0.1)))
    assert torch.allclose(network(random_image(19, 33)), torch.tensor(wanted), atol=1e-6)


def test_the_first_side_looks_at_its_own_pixel_in_bgr_without_means():
    """Blue is passed on through stage 1: the sigmoid of blue - 104.00698793, not shifted by the padding."""
    network = tiny_hed()
    state = network.state_dict()
    for tensor in state.values():
        tensor.zero_()
    state["conv1_1.weight"][0, 0, 1, 1] = 1.0
    state["conv1_2.weight"][0, 0, 1, 1] = 1.0
    state["score-dsn1.weight"][0, 0] = 1.0
    state["new-score-weighting.weight"][0, 0] = 1.0
    image = torch.full((1, 3, 5, 6), -1.0)
    image[0, 2, 3, 4] = 105 / 127.5 - 1  # blue 105, red and green 0
    out = network(image)[0, 0]
    assert out[3, 4] == pytest.approx(1 / (1 + math.exp(-(105 - 104.00698793))), abs=1e-5)
    out[3, 4] = 0.5
    assert torch.equal(out, torch.full((5, 6), 0.5))


def caffe(
    state: dict[str, torch.Tensor], weight: str = ".weight", bias: str = ".bias"
) -> dict[str, torch.Tensor]:
    named = {}
    for layer in LAYERS:
        named[layer + weight] = state[f"{layer}.weight"].clone()
        named[layer + bias] = state[f"{layer}.bias"].clone()
    return named


def pytorch(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """As in the widely used port: layers numbered by stage, poolings counted."""
    named = {}
    for s, word in enumerate(("One", "Two", "Thr", "Fou", "Fiv"), start=1):
        for i, position in zip(range(1, 4), (0, 2) if s == 1 else (1, 3) if s == 2 else (1, 3, 5)):
            named[f"{prefix}Vgg{word}.{position}"] = f"conv{s}_{i}"
        named[f"{prefix}Score{word}"] = f"score-dsn{s}"
    named[f"{prefix}Combine.0"] = "new-score-weighting"
    assert sorted(named.values()) == sorted(LAYERS)
    return {
        f"{new}.{part}": state[f"{old}.{part}"].clone()
        for new, old in named.items()
        for part in ("weight", "bias")
    }


def saved(tensors: dict[str, torch.Tensor], path) -> None:
    if path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    elif path.suffix == ".safetensors":
        save_file(tensors, str(path))
    else:
        torch.save(tensors, path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
@pytest.mark.parametrize(
    "layout",
    [
        caffe,
        lambda state: caffe(state, "/weight", "/bias"),
        lambda state: caffe(state, "_weights", "_biases"),
        lambda state: caffe(state, ".0", ".1"),
        lambda state: caffe(state, "-0", "-1"),
        lambda state: pytorch(state, "module"),
        lambda state: pytorch(state, "net"),
    ],
    ids=["dot", "slash", "plural", "blobs", "hyphen", "module", "net"],
)
def test_every_layout_gives_the_same_network(tmp_path, layout, suffix):
    state = tiny_hed().state_dict()
    saved(layout(state), tmp_path / f"hed{suffix}")
    assert tensors_digest(load_edge_network("hed", tmp_path / f"hed{suffix}").state_dict()) == tensors_digest(
        state
    )


def test_old_biases_and_the_fixed_deconvolutions_are_understood(tmp_path):
    state = tiny_hed().state_dict()
    tensors = caffe(state) | {f"upsample_{s}.weight": bilinear_kernel(s) for s in (2, 4, 8, 16)}
    tensors["conv1_1.bias"] = tensors["conv1_1.bias"].view(1, 1, 1, -1)
    saved(tensors, tmp_path / "hed.npz")
    assert tensors_digest(load_edge_network("hed", tmp_path / "hed.npz").state_dict()) == tensors_digest(
        state
    )
    saved(tensors | {"upsample_4.weight": torch.ones(1, 1, 8, 8)}, tmp_path / "hed.npz")
    with pytest.raises(SketchforgeError, match="upsample_4.weight is not the fixed bilinear kernel"):
        load_edge_network("hed", tmp_path / "hed.npz")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"conv3_1.weight": None}, "1 of hed's 38 tensors missing: conv3_1.weight"),
        (
            {"new-score-weighting.bias": None, "conv1_1.bias": None},
            "2 of hed's 38 tensors missing: conv1_1.bias",
        ),
        ({"conv6_1.weight": torch.zeros(2)}, "no place for: conv6_1.weight"),
        (
            {"conv2_1/weight": torch.zeros(3, 3, 3, 3)},
            "conv2_1.weight and conv2_1/weight are the same tensor",
        ),
        ({"conv2_1.weight": torch.zeros(3, 3, 5, 5)}, "conv2_1.weight has shape 3x3x5x5, expected 3x3x3x3"),
        ({"conv2_1.weight": torch.zeros(3, 9, 3, 3)}, "conv2_1.weight has shape 3x9x3x3, expected 3x3x3x3"),
        ({"conv2_1.weight": torch.zeros(3)}, "conv2_1.weight has shape 3, expected 4 dimensions"),
        ({"conv2_1.weight": torch.zeros(0, 3, 3, 3)}, "conv2_1.weight has shape 0x3x3x3"),
        ({"conv2_1.bias": torch.zeros(7)}, "conv2_1.bias has shape 7, expected 3"),
        (
            {"score-dsn2.weight": torch.zeros(2, 2, 1, 1)},
            "score-dsn2.weight has shape 2x2x1x1, expected 1x2x1x1",
        ),
        ({"conv2_1.bias": torch.full((3,), math.nan)}, "conv2_1.bias holds values that are not numbers"),
        ({"conv2_1.bias": torch.zeros(3, dtype=torch.int8)}, "conv2_1.bias holds torch.int8"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".pth"])
def test_what_does_not_fit_is_told_in_one_line(tmp_path, change, told, suffix):
    tensors = {
        name: value for name, value in (caffe(tiny_hed().state_dict()) | change).items() if value is not None
    }
    path = tmp_path / f"hed{suffix}"
    saved(tensors, path)
    with pytest.raises(SketchforgeError) as caught:
        load_edge_network("hed", path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert told in message
    assert "\n" not in message


def test_other_networks_are_told_by_their_keys(tmp_path):
    saved({"features.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "vgg.pth")
    with pytest.raises(
        SketchforgeError, match="not hed's weights: expected conv1_1.weight, .* found features.0.weight$"
    ):
        load_edge_network("hed", tmp_path / "vgg.pth")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
def test_truncated_and_foreign_bytes_are_told(tmp_path, suffix):
    path = tmp_path / f"hed{suffix}"
    saved(caffe(tiny_hed().state_dict()), path)
    whole = path.read_bytes()
    for data in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(
            SketchforgeError, match=f"{path}: cannot be read as weights .*; expected hed's weights"
        ):
            load_edge_network("hed", path)


class Attack:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return self.path.mkdir, ()


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pth", ".pkl"])
def test_code_in_a_file_does_not_run(tmp_path, suffix):
    trap, path = tmp_path / "trap", tmp_path / f"hed{suffix}"
    if suffix in (".npz", ".npy"):
        value = np.array([Attack(trap)], dtype=object)
        np.savez(path, **{"conv1_1.weight": value}) if suffix == ".npz" else np.save(path, value)
    elif suffix == ".pth":
        torch.save({"conv1_1.weight": Attack(trap)}, path)
    else:
        path.write_bytes(pickle.dumps(Attack(trap)))
    with pytest.raises(SketchforgeError, match="cannot be read as weights"):
        load_edge_network("hed", path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Attack(trap)))
    assert trap.exists()  # the trap would have sprung

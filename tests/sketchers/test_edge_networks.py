"""PiDiNet and TEED by hand, all three networks as sketchers, and real photos where those are at hand."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sketchforge.checkpoints.edge_networks import NETWORKS, load_edge_network
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import read_image
from sketchforge.images.tensors import to_tensor
from sketchforge.models.hed import HED
from sketchforge.models.pidinet import PiDiNet
from sketchforge.models.teed import FLOOR, TEED, smish
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.verify import verify
from sketchforge.sketchers import tensors
from sketchforge.sketchers.edge_networks import EdgeSketcher
from tests.helpers.commands import run_python
from tests.helpers.folders import contents
from tests.helpers.photos import scene

METHODS = list(NETWORKS)
CPU = torch.device("cpu")
DATA = Path(os.environ.get("SKETCHFORGE_TEST_DATA", ""))
needs_data = pytest.mark.skipif(
    "SKETCHFORGE_TEST_DATA" not in os.environ, reason="SKETCHFORGE_TEST_DATA is not set"
)


def tiny(method: str) -> torch.nn.Module:
    torch.manual_seed(0)
    network = {
        "hed": lambda: HED([[4, 4], [4, 4], [6, 6, 6], [6, 6, 6], [6, 6, 6]]),
        "pidinet": lambda: PiDiNet([4, 8, 12, 12], 4),
        "teed": lambda: TEED([4, 6, 8], 4, 6),
    }[method]()
    return network.eval().requires_grad_(False)


def zeroed(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The network's own tensors, all 0."""
    state = network.state_dict()
    for tensor in state.values():
        tensor.zero_()
    return state


@pytest.fixture(params=METHODS)
def method(request) -> str:
    return request.param


@pytest.fixture
def weights(method, tmp_path) -> Path:
    path = tmp_path / f"{method}.safetensors"
    save_file(tiny(method).state_dict(), str(path))
    return path


def random_images(count: int, height: int = 40, width: int = 56) -> torch.Tensor:
    return torch.cat([to_tensor(scene(seed, height, width)) for seed in range(count)])


def test_widths_come_from_the_shapes(method, weights):
    network = load_edge_network(method, weights)
    assert tensors_digest(network.state_dict()) == tensors_digest(tiny(method).state_dict())
    assert torch.equal(network(random_images(1)), tiny(method)(random_images(1)))
    assert not network.training
    assert all(not p.requires_grad for p in network.parameters())


def test_half_precision_files_are_used_in_float32(method, tmp_path):
    save_file(
        {name: tensor.half() for name, tensor in tiny(method).state_dict().items()},
        str(tmp_path / "w.safetensors"),
    )
    network = load_edge_network(method, tmp_path / "w.safetensors")
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 9), (8, 8), (33, 50), (64, 48)])
def test_images_of_any_size_give_maps_of_their_size(method, weights, height, width):
    image = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sketches = EdgeSketcher.from_file(method, weights, CPU).sketches(image)
    assert sketches.shape == (2, 1, 1, height, width)
    assert sketches.dtype == torch.float32
    assert sketches.min() >= 0
    assert sketches.max() <= 1


def test_an_image_is_drawn_the_same_in_any_batch(method, weights):
    sketcher = EdgeSketcher.from_file(method, weights, CPU)
    images = random_images(5)
    together = sketcher.sketches(images)
    for order in ([0], [1, 0], [4, 2, 3], [3, 3, 3, 3, 3, 3, 3, 1]):
        assert torch.allclose(sketcher.sketches(images[order]), together[order], atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-4)


def test_ink_is_where_the_edges_are(method, weights):
    sketcher = EdgeSketcher.from_file(method, weights, CPU)
    assert sketcher.method == method
    assert sketcher.styles == (method,)
    assert torch.equal(
        sketcher.sketches(random_images(2))[:, 0],
        1 - sketcher.network(random_images(2).contiguous(memory_format=torch.channels_last)),
    )


def test_the_digest_is_that_of_the_weights_whatever_file_holds_them(method, weights, tmp_path):
    sketcher = EdgeSketcher.from_file(method, weights, CPU)
    state = load_file(weights)
    torch.save(state, tmp_path / "other.pth")
    np.savez(tmp_path / "other.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    for name in ("other.pth", "other.npz"):
        assert EdgeSketcher.from_file(method, tmp_path / name, CPU).digests == sketcher.digests
    next(iter(state.values())).view(-1)[0] += 1e-3
    torch.save(state, tmp_path / "other.pth")
    assert EdgeSketcher.from_file(method, tmp_path / "other.pth", CPU).digests != sketcher.digests
    assert list(sketcher.digests) == [method]


def test_pidinet_by_hand():
    """One path only: red at half size through stage 2, ReLU, the gate, and back to full size."""
    network = tiny("pidinet")
    state = zeroed(network)
    state["init_block.weight"][0, 0, 1, 1] = 1.0
    state["block2_1.shortcut.weight"][5, 0] = 1.0
    state["dilations.1.conv1.weight"][2, 5] = 1.0
    state["dilations.1.conv1.bias"][2] = 0.5
    state["dilations.1.conv2_3.weight"][1, 2, 1, 1] = 2.0
    state["attentions.1.conv2.weight"].zero_()  # the gate is sigmoid(0), a half
    state["conv_reduces.1.conv.weight"][0, 1] = 1.0
    state["classifier.weight"][0, 1] = 3.0
    state["classifier.bias"][0] = -1.0
    red = torch.tensor([[0.0, 0.2], [1.0, 0.4]]).repeat_interleave(4, 0).repeat_interleave(4, 1)
    image = torch.zeros(1, 3, 8, 8) - 1
    image[0, 0] = 2 * red - 1
    level = torch.relu((red - 0.485) / 0.229)[::2, ::2]  # the 2x2 pooling, on blocks of four
    half = (level + 0.5) * 2 * 0.5
    full = torch.nn.functional.interpolate(half[None, None], scale_factor=2, mode="bilinear")[0, 0]
    assert torch.allclose(network(image)[0, 0], (3 * full - 1).sigmoid(), atol=1e-6)


def test_pidinets_blocks_add_their_input():
    """Depthwise, ReLU, 1x1, plus what came in; 5x5 in every fourth layer, reaching two pixels far."""
    network = tiny("pidinet")
    state = zeroed(network)
    block = network.get_submodule("block1_2")
    state["block1_2.conv1.weight"][1, 0, 0, 4] = -1.0  # two up, two to the right
    state["block1_2.conv2.weight"][3, 1] = 2.0
    x = torch.randn(1, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    wanted = x.clone()
    wanted[:, 3, 2:, :-2] += 2 * torch.relu(-x[:, 1, :-2, 2:])
    assert torch.allclose(block(x), wanted)


def test_pidinets_dilations_reach_5_7_9_and_11_pixels():
    network = tiny("pidinet")
    state = zeroed(network)
    state["dilations.0.conv1.weight"][0, 0] = 1.0
    for n in range(1, 5):
        state[f"dilations.0.conv2_{n}.weight"][1, 0, 1, 2] = float(n)  # the pixel to the right
    x = torch.zeros(1, 4, 3, 30)
    x[0, 0, 1, 20] = 1.0
    x[0, 0, 1, 2] = -1.0  # below 0 nothing passes
    out = network.dilations[0](x)
    wanted = torch.zeros_like(out)
    for n, reach in enumerate((5, 7, 9, 11), start=1):
        wanted[0, 1, 1, 20 - reach] = n
    assert torch.equal(out, wanted)


def test_pidinet_pads_tiny_images_with_what_is_there():
    image = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    around = torch.cat([image, image[..., -1:], image[..., -1:]], 3)
    around = torch.cat([around] + [around[..., -1:, :]] * 3, 2)
    network = tiny("pidinet")
    assert torch.equal(network(image), network(around)[..., :5, :6])


def test_checkpoints_of_pidinet_as_trained_are_refused_with_a_hint(tmp_path):
    """Their radial layers still have 3x3 weights; computed as plain convolutions they would draw nonsense."""
    state = tiny("pidinet").state_dict()
    state["block1_2.conv1.weight"] = torch.zeros(4, 1, 3, 3)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        SketchforgeError, match="4x1x3x3, expected 4x1x5x5; a checkpoint as trained has to be converted"
    ):
        load_edge_network("pidinet", tmp_path / "w.pth")
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    with pytest.raises(
        SketchforgeError, match="found state_dict; a checkpoint as trained has to be converted"
    ):
        load_edge_network("pidinet", tmp_path / "w.pth")


def test_smish_is_its_formula_and_has_its_floor():
    assert smish(torch.tensor(0.0)) == 0
    assert smish(torch.tensor(1.0)) == pytest.approx(math.tanh(math.log(1 + 1 / (1 + math.exp(-1)))))
    lowest = smish(torch.linspace(-6, 6, 100001, dtype=torch.float64)).min()
    assert FLOOR == pytest.approx(float(lowest.sigmoid()), abs=1e-6)


def test_teed_by_hand():
    """One path only: blue through block 1, doubled, fused; at one level, so that borders do not matter."""
    network = tiny("teed")
    state = zeroed(network)
    state["block_1.conv1.weight"][0, 0, 1, 1] = 0.01
    state["block_1.conv2.weight"][3, 0, 1, 1] = 2.0
    state["up_block_1.features.0.weight"][0, 3] = 1.5
    state["up_block_1.features.2.weight"].fill_(0.7)
    state["up_block_1.features.2.bias"].fill_(0.1)
    state["block_cat.DWconv1.weight"][1, 0, 1, 1] = 1.2  # the first two of six channels see the first map
    state["block_cat.DWconv2.weight"][1, 0, 1, 1] = 0.5
    image = torch.zeros(1, 3, 10, 12)
    image[0, 2] = 0.5
    blue = (0.5 + 1) * 127.5 - 103.939
    one = smish(2 * smish(torch.tensor(0.01 * blue)))
    up = 0.7 * smish(1.5 * one) + 0.1
    once = 1.2 * smish(up)
    edges = smish(once + 0.5 * smish(once)).sigmoid()
    assert torch.allclose(network(image), (edges - FLOOR) / (1 - FLOOR), atol=1e-6)


def test_teeds_deeper_blocks_by_hand():
    """Blocks 2 and 3: no activation after block 2, shortcuts added, the third map doubled twice."""
    network = tiny("teed")
    state = zeroed(network)
    state["block_1.conv2.bias"][0] = 1.0
    state["block_2.conv2.bias"][1] = -0.5
    state["side_1.conv.weight"][1, 0] = 0.3
    state["pre_dense_3.conv.weight"][2, 1] = 2.0
    state["dblock_3.denselayer1.conv1.weight"][4, 1, 1, 1] = 1.1
    state["dblock_3.denselayer1.conv2.weight"][2, 4, 1, 1] = 0.9
    state["up_block_3.features.0.weight"][1, 2] = 1.3
    state["up_block_3.features.2.bias"][1] = (
        0.4  # its weights 0: only what the last doubling sees is left ...
    )
    state["up_block_3.features.0.bias"].fill_(0.2)
    state["up_block_3.features.2.weight"][1, 1] = torch.full(
        (4, 4), 0.25
    )  # ... and each pixel has four neighbours
    state["up_block_3.features.3.weight"][0, 1] = 1.7
    state["up_block_3.features.5.weight"][0, 0] = torch.full((4, 4), 0.25)
    state["block_cat.DWconv1.weight"][4, 0, 1, 1] = 1.0
    one, two = smish(torch.tensor(1.0)), torch.tensor(-0.5)
    added = two + 0.3 * one
    three = (0.9 * smish(1.1 * smish(added)) + 2.0 * two) / 2
    doubled = smish(1.3 * three + 0.2) + 0.4
    third = smish(1.7 * doubled)
    edges = smish(smish(third)).sigmoid()
    inside = network(torch.zeros(1, 3, 48, 48))[0, 0, 16:-16, 16:-16]
    assert torch.allclose(inside, (edges - FLOOR) / (1 - FLOOR), atol=1e-6)


def test_teed_pads_with_what_is_there():
    """A flat image has no edge at its padded border; zeros would make one."""
    image = torch.full((1, 3, 48, 45), 0.8)
    network = tiny("teed")
    padded = torch.nn.functional.pad(image, (0, 3, 0, 0), value=0.8)
    assert torch.equal(network(image), network(padded)[..., :45])


def options_for(method: str, weights: Path, photos: Path, shards: Path) -> RenderOptions:
    return RenderOptions(
        shards,
        photos,
        method=method,
        edge_weights=weights,
        size=32,
        samples_per_shard=4,
        threads=1,
        workers=1,
        device="cpu",
    )


def test_render_gives_the_same_bytes_for_any_number_of_workers(method, weights, photos, tmp_path):
    options = options_for(method, weights, photos, tmp_path / "a")
    render(replace(options, sketch_format="png"))
    render(replace(options, sketch_format="png", shards=tmp_path / "b", workers=2))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert verify(tmp_path / "a").problems == []
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["styles"] == [method]
    assert list(manifest["digests"]) == [method]
    assert (
        manifest["options"].items()
        >= {"batch_size": 8, "threads": 1, "device": "cpu", "method": method}.items()
    )
    assert "edge_weights" not in manifest["options"]
    assert "torch" in manifest["libraries"]


def test_weights_may_move_but_not_change(weights, photos, tmp_path):
    method = weights.stem
    options = options_for(method, weights, photos, tmp_path / "out")
    render(options)
    moved = weights.rename(tmp_path / "elsewhere.safetensors")
    assert render(replace(options, edge_weights=moved)).num_images == 0
    state = load_file(moved)
    next(iter(state.values())).view(-1)[0] += 1e-3
    save_file(state, str(moved))
    with pytest.raises(UsageError, match="--overwrite"):
        render(replace(options, edge_weights=moved))


def test_canny_and_help_need_no_torch():
    code = """
import sys
from pathlib import Path
from sketchforge.options import RenderOptions
from sketchforge.sketchers.factory import open_sketcher
open_sketcher(RenderOptions(Path("out"), method="canny"))
import sketchforge.checkpoints.catalog
assert not {"torch", "safetensors", "sketchforge.checkpoints.tom", "sketchforge.metrics"} & set(sys.modules)
"""
    done = run_python("import cv2, numpy\n" + code)
    assert done.returncode == 0, done.stderr


REAL = {
    "pidinet": "weights/pidinet/pidinet_bsds_vanilla_fp32.safetensors",
    "pidinet-tiny": "weights/pidinet/pidinet_tiny_bsds_vanilla_fp32.safetensors",
    "teed": "weights/teed/teed_biped_7.safetensors",
}


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("name", REAL)
def test_edges_agree_with_people(name):
    """F of a loose matching, lines thinned, 3 pixels allowed: over .6 with people's boundaries of the image
    itself, under .4 with those of another.
    """
    from scipy.io import loadmat
    from scipy.ndimage import maximum_filter
    from skimage.morphology import skeletonize

    sketcher = EdgeSketcher.from_file(name.split("-")[0], DATA / REAL[name], CPU)
    folder = DATA / "photos" / "bsds500"
    wide = [
        path for path in sorted((folder / "val").glob("*.jpg")) if read_image(path).shape == (321, 481, 3)
    ][:24:6]
    lines = [
        skeletonize(sketcher.sketches(to_tensor(read_image(path)))[0, 0, 0].numpy() < 0.5) for path in wide
    ]
    people = []
    for path in wide:
        truth = loadmat(folder / "boundaries_val" / f"{path.stem}.mat")["groundTruth"][0]
        people.append(np.max([person["Boundaries"][0, 0] for person in truth], axis=0) > 0)

    def agreement(shift: int) -> float:
        pairs = [(lines[n], people[(n + shift) % len(people)]) for n in range(len(lines))]
        precision = sum((line & maximum_filter(truth, 7)).sum() for line, truth in pairs) / sum(
            line.sum() for line in lines
        )
        recall = sum((truth & maximum_filter(line, 7)).sum() for line, truth in pairs) / sum(
            truth.sum() for truth in people
        )
        return 2 * precision * recall / (precision + recall)

    assert agreement(0) > 0.6
    assert agreement(1) < 0.4


def test_bfloat16_finds_nearly_the_same_edges(method, weights):
    full, half = (EdgeSketcher.from_file(method, weights, CPU, precision).sketches(random_images(2))
                  for precision in (torch.float32, torch.bfloat16))  # fmt: skip
    assert half.dtype == torch.float32
    assert 0 < (full - half).abs().mean() < 0.01


def test_on_a_cpu_large_images_are_drawn_one_by_one(monkeypatch):
    """An interruption comes between two convolutions, and one over many large images takes many seconds."""
    monkeypatch.setattr(tensors, "CPU_PIXELS", 2 * 24 * 32)
    sizes = []

    def draw(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return images[:, :1, None] * 0 + torch.linspace(0, 1, len(images)).reshape(-1, 1, 1, 1, 1)

    small, large = np.zeros((5, 24, 32, 3), np.uint8), np.zeros((3, 48, 64, 3), np.uint8)
    assert tensors.draw_on(CPU, draw, small, "hed").result().shape == (5, 1, 24, 32)
    assert tensors.draw_on(CPU, draw, large, "hed").result().shape == (3, 1, 48, 64)
    assert sizes == [2, 2, 1, 1, 1, 1]

"""Weights from files and from names: what is read, what is refused, and that nothing in a file can run."""

import os
import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.encoder import (
    ENCODER_FORMAT,
    ENCODER_VERSION,
    encoder_digest,
    load_encoder,
    load_teacher,
    read_encoder,
    write_encoder,
)
from sketchforge.checkpoints.tensor_files import save_tensors
from sketchforge.errors import SketchforgeError, UsageError, WrongFormatError
from sketchforge.models.encoder import VGG16_BLOCKS, VGG19_BLOCKS, Encoder

pytestmark = pytest.mark.usefixtures("few_calibration_images")

UNIT_NOTE = {"input": "RGB in [0,1]; reflect pad 1"}
BLOCKS = {"vgg16": VGG16_BLOCKS, "vgg19": VGG19_BLOCKS}


def vgg(name: str, width: int = 4) -> nn.Sequential:
    """torchvision's `features` with few channels: convolutions, ReLUs, a pooling after each block."""
    torch.manual_seed(0)
    layers, channels = [], 3
    for b, block in enumerate(BLOCKS[name]):
        for _ in block:
            layers += [nn.Conv2d(channels, width + b, 3, padding=1), nn.ReLU()]
            channels = width + b
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def state_of(features: nn.Sequential) -> dict[str, torch.Tensor]:
    """As torchvision names it, with a part of the classifier, which is none of our business."""
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    return state | {"classifier.0.weight": torch.zeros(2, 2)}


def save(state: dict[str, torch.Tensor], path: Path, note: dict[str, str] | None = None) -> str:
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, str(path), metadata=note)
    return str(path)


def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def refusal(call, *arguments: object, kind: type[SketchforgeError] = SketchforgeError) -> str:
    """The message of the error raised, which must be one line."""
    with pytest.raises(SketchforgeError) as caught:
        call(*arguments)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_torchvisions_layout_is_read_in_any_width(tmp_path, name, suffix):
    """The features are those of the plain sequence, fed as torchvision feeds it, up to a factor per tap."""
    features = vgg(name)
    encoder = load_encoder(save(state_of(features), tmp_path / f"weights{suffix}"))
    assert (encoder.input_range, encoder.padding) == ("imagenet", "zeros")
    x = torch.stack(
        [
            ((images()[:, c] + 1) / 2 - m) / s
            for c, m, s in zip(range(3), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        ],
        1,
    )
    found = encoder(images(), encoder.tap_names())
    after = [layer for layer in features if not isinstance(layer, nn.Conv2d)]  # ReLUs and poolings, in order
    assert len(after) == len(encoder.tap_names())
    with torch.no_grad():
        for layer in features:
            x = layer(x)
            if not isinstance(layer, nn.Conv2d):
                tap = encoder.tap_names()[after.index(layer)]
                torch.testing.assert_close(
                    found[tap] * encoder.scales[tap], x, msg=lambda m, tap=tap: f"{tap}: {m}"
                )


def test_a_file_that_says_how_it_wants_its_input_is_believed(tmp_path):
    encoder = load_encoder(save(state_of(vgg("vgg19")), tmp_path / "w.safetensors", UNIT_NOTE))
    assert (encoder.input_range, encoder.padding) == ("unit", "reflect")


def test_a_network_cut_short_is_read_as_far_as_it_goes(tmp_path):
    state = {key: value for key, value in state_of(vgg("vgg19")[:20]).items() if key.startswith("features")}
    encoder = load_encoder(save(state, tmp_path / "w.pth"))
    assert encoder.tap_names()[-2] == "relu4_1"
    assert "relu3_4" in encoder.tap_names()


def test_taps_of_foreign_weights_are_scaled_over_the_built_in_photos(tmp_path):
    encoder = load_encoder(save(state_of(vgg("vgg16")), tmp_path / "w.pth"))
    assert set(encoder.scales) == set(encoder.tap_names())
    assert all(not p.requires_grad for p in encoder.parameters())


def test_our_own_files_are_read_with_their_scales(tmp_path):
    encoder = Encoder([[4, 4], [5]])
    encoder.scales = {"relu1_1": 2.5}
    write_encoder(tmp_path / "e.safetensors", encoder, {})
    assert load_encoder(str(tmp_path / "e.safetensors")).scales == {"relu1_1": 2.5}


def test_random_is_repeatable_and_independent_of_torchs_state():
    torch.manual_seed(1)
    first = encoder_digest(load_encoder("random"))
    torch.manual_seed(2)
    assert encoder_digest(load_encoder("random")) == first


def test_teachers_come_without_scales(tmp_path):
    encoder = Encoder([[4, 4], [5]])
    encoder.scales = {"relu1_1": 2.5}
    write_encoder(tmp_path / "e.safetensors", encoder, {})
    for path in (str(tmp_path / "e.safetensors"), save(state_of(vgg("vgg19")), tmp_path / "w.pth")):
        teacher = load_teacher(path)
        assert teacher.scales == {}
        assert all(not p.requires_grad for p in teacher.parameters())


def test_names_that_mean_nothing_are_usage_errors(tmp_path):
    absent = str(tmp_path / "absent.pth")
    for name in (absent, str(tmp_path), "VGG16", ""):
        assert name in refusal(load_encoder, name, kind=UsageError)
    for name in (absent, str(tmp_path), "builtin", "vgg16"):
        assert "neither vgg19 nor an existing file" in refusal(load_teacher, name, kind=UsageError)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02", b"\xff" * 100, b"PK\x03\x04 torn"])
def test_corrupt_files_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    for load in (load_encoder, load_teacher):
        assert str(path) in refusal(load, str(path))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = Path(save(state_of(vgg("vgg16")), tmp_path / f"weights{suffix}"))
    path.write_bytes(path.read_bytes()[:-1000])
    assert str(path) in refusal(load_encoder, str(path))


def test_other_networks_are_refused_with_what_was_found(tmp_path):
    resnet = {"conv1.weight": torch.zeros(4, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(4, 4, 3, 3)}
    message = refusal(load_encoder, save(resnet, tmp_path / "w.pth"), kind=UsageError)
    assert "conv1.weight" in message
    assert "features.0.weight" in message
    assert "nothing" in refusal(load_encoder, save({}, tmp_path / "empty.pth"), kind=UsageError)


@pytest.mark.parametrize(
    "change",
    [
        {"features.2.weight": torch.zeros(4, 9, 3, 3)},  # channels that do not follow from the layer before
        {"features.2.weight": torch.zeros(4, 4, 5, 5)},  # not 3x3
        {"features.2.weight": torch.zeros(4)},
        {"features.2.weight": torch.tensor(1.0)},
        {"features.2.bias": torch.zeros(9)},
        {"features.2.bias": None},  # missing
        {"features.2.weight": "not a tensor"},
    ],
    ids=["channels", "kernel", "vector", "scalar", "bias", "missing", "text"],
)
def test_layers_of_other_shape_are_refused_by_name(tmp_path, change):
    state = {key: value for key, value in (state_of(vgg("vgg16")) | change).items() if value is not None}
    path = tmp_path / "w.pth"
    torch.save(state, path)
    message = refusal(load_encoder, str(path))
    assert str(path) in message
    assert "conv1_2" in message or "features.2" in message


def test_a_pth_that_holds_no_weights_is_refused(tmp_path):
    torch.save([torch.zeros(3)], tmp_path / "w.pth")
    assert "list" in refusal(load_encoder, str(tmp_path / "w.pth"))


class Attack:
    """Unpickled the careless way, this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pt", ""])
@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_does_not_run(tmp_path, suffix, write):
    trap, path = tmp_path / "trap", tmp_path / f"weights{suffix}"
    write({**state_of(vgg("vgg16")), "extra": Attack(trap)}, path)
    for load in (load_encoder, load_teacher):
        assert str(path) in refusal(load, str(path))
    assert "cannot be read" in refusal(read_encoder, path)
    assert not trap.exists()
    bait = path.rename(tmp_path / "bait")  # torch.load goes by the suffix
    torch.load(bait, weights_only=False) if write is torch.save else pickle.loads(bait.read_bytes())
    assert trap.exists()  # the file was a real danger


def test_newer_versions_are_refused(tmp_path):
    path = tmp_path / "e.safetensors"
    save_tensors(path, ENCODER_FORMAT, ENCODER_VERSION + 1, {"x": torch.zeros(1)}, {})
    for load in (load_encoder, load_teacher):
        message = refusal(load, str(path))
        assert f"version {ENCODER_VERSION + 1}" in message
        assert f"reads version {ENCODER_VERSION}" in message


def test_other_formats_of_ours_are_refused(tmp_path):
    path = tmp_path / "e.safetensors"
    save_tensors(path, "sketchforge-generator", 1, {"x": torch.zeros(1)}, {})
    message = refusal(read_encoder, path, kind=WrongFormatError)
    assert "'sketchforge-generator'" in message
    assert f"'{ENCODER_FORMAT}'" in message


GOOD = {"blocks": [[4]], "input_range": "unit", "padding": "reflect", "scales": {}}


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        GOOD | {"blocks": [[5]]},
        GOOD | {"blocks": 7},
        GOOD | {"blocks": [["x"]]},
        GOOD | {"padding": "none"},
        GOOD | {"scales": {"relu1_1": "wide"}},
        GOOD | {"scales": None},
    ],
)
def test_encoders_that_contradict_themselves_are_refused(tmp_path, metadata):
    path = tmp_path / "e.safetensors"
    save_tensors(path, ENCODER_FORMAT, ENCODER_VERSION, Encoder([[4]]).state_dict(), metadata)
    assert str(path) in refusal(load_encoder, str(path))


def test_missing_torchvision_weights_are_explained(tmp_path, monkeypatch):
    """Without the network: what is missing, where it belongs, and what else would do."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(url: str, *_: object, **__: object) -> None:
        raise URLError("no network in tests")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    for load, name, option in (
        (load_encoder, "vgg16", "--encoder"),
        (load_encoder, "vgg19", "--encoder"),
        (load_teacher, "vgg19", "--teacher"),
    ):
        message = refusal(load, name, kind=UsageError)
        assert message.startswith(f"{option} {name}: torchvision's {name}-")
        assert str(tmp_path) in message
        assert f"give its path as {option}" in message


def test_torchvision_weights_at_hand_are_used(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    features, path = vgg("vgg19"), KNOWN["vgg19"].candidates()[0]
    path.parent.mkdir(parents=True)
    save(state_of(features), path)
    for load in (load_encoder, load_teacher):
        encoder = load("vgg19")
        assert torch.equal(encoder.convs["conv1_1"].weight, features[0].weight)
        assert torch.equal(encoder.convs["conv5_4"].weight, features[34].weight)
    path.write_bytes(b"noise")
    for load in (load_encoder, load_teacher):
        assert f"{path}: cannot be read as weights" in refusal(load, "vgg19")


def test_torchvision_downloads_to_where_its_weights_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    features = vgg("vgg19")

    def download(url: str, path: str, *_: object, **__: object) -> None:
        torch.save(state_of(features), path)

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    encoder = load_encoder("vgg19")
    assert KNOWN["vgg19"].found() is not None
    assert torch.equal(encoder.convs["conv1_1"].weight, features[0].weight)
    assert torch.equal(encoder.convs["conv5_4"].weight, features[34].weight)

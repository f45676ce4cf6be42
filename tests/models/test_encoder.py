"""The encoder: its layers, what it computes and what it leaves out, and the weights we ship."""

from importlib.resources import files

import pytest
import torch
from torch import nn

from sketchforge.checkpoints.encoder import (
    calibration_images,
    encoder_digest,
    load_encoder,
    read_encoder,
    truncate_encoder,
    write_encoder,
)
from sketchforge.models.encoder import (
    COMPACT_BLOCKS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    VGG16_BLOCKS,
    VGG19_BLOCKS,
    Encoder,
    calibrate,
    freeze,
    orthogonal_encoder,
)
from sketchforge.models.features import channel_mean_std

ASSET = files("sketchforge") / "checkpoints" / "builtin" / "encoder.safetensors"


def narrow(blocks, width: int = 4) -> list[list[int]]:
    """The same layers with few channels: `width` in the first block, one more in each that follows."""
    return [[width + b] * len(block) for b, block in enumerate(blocks)]


def images(count: int = 2, height: int = 24, width: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def random_encoder(blocks, seed: int = 0, **options: str) -> Encoder:
    encoder = Encoder(blocks, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return freeze(encoder)


@pytest.mark.parametrize("blocks", [COMPACT_BLOCKS, narrow(VGG16_BLOCKS), narrow(VGG19_BLOCKS)])
def test_every_tap_has_the_channels_and_stride_it_says(blocks):
    encoder = random_encoder(blocks)
    features = encoder(images(2, 32, 64), encoder.tap_names())
    assert list(features) == encoder.tap_names()
    for tap, x in features.items():
        # 1 for relu1_x, 2 for pool1 and relu2_x, ...
        stride = 2 ** (int(tap[4]) - (not tap.startswith("pool")))
        assert x.shape == (2, encoder.tap_channels(tap), 32 // stride, 64 // stride), tap


def test_tap_names_are_vggs():
    assert Encoder(COMPACT_BLOCKS).tap_names() == [
        "relu1_1", "relu1_2", "pool1", "relu2_1", "relu2_2", "pool2",
        "relu3_1", "relu3_2", "relu3_3", "relu3_4", "pool3", "relu4_1", "pool4",
    ]  # fmt: skip


def test_order_and_repetition_of_taps_do_not_matter():
    encoder = random_encoder(narrow(VGG16_BLOCKS))
    asked = encoder(images(), ["relu3_1", "relu1_1", "relu3_1"])
    assert set(asked) == {"relu1_1", "relu3_1"}
    for tap, x in asked.items():
        assert torch.equal(x, encoder(images(), [tap])[tap])


@pytest.mark.parametrize("tap", ["relu1_1", "relu2_2", "pool2", "relu3_4"])
def test_nothing_past_the_deepest_tap_is_computed(tap):
    encoder = random_encoder(COMPACT_BLOCKS)
    ran = []
    for name, conv in encoder.convs.items():
        conv.register_forward_hook(lambda *_, name=name: ran.append(name))
    encoder(images(), ["relu1_1", tap])
    names = encoder.tap_names()
    expected = [name for name in names[: names.index(tap) + 1] if name.startswith("relu")]
    assert ran == [name.replace("relu", "conv") for name in expected]


def test_unknown_taps_are_refused_by_name():
    encoder = Encoder(COMPACT_BLOCKS)
    for call in (lambda: encoder(images(), ["relu4_2"]), lambda: encoder.tap_channels("relu4_2")):
        with pytest.raises(ValueError, match="relu4_2.*relu4_1"):
            call()


@pytest.mark.parametrize("options", [{"input_range": "bytes"}, {"padding": "replicate"}])
def test_unknown_preprocessing_is_refused(options):
    with pytest.raises(ValueError, match="expected"):
        Encoder(COMPACT_BLOCKS, **options)


@pytest.mark.parametrize("blocks", [VGG16_BLOCKS, VGG19_BLOCKS])
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("input_range", ["unit", "imagenet"])
def test_computes_what_the_plain_sequence_of_layers_computes(blocks, padding, input_range):
    """Against torchvision's arrangement, an nn.Sequential, with its own padding and normalisation layers."""
    blocks = narrow(blocks)
    encoder = random_encoder(blocks, padding=padding, input_range=input_range)
    x = (images() + 1) / 2
    if input_range == "imagenet":
        x = torch.stack([(x[:, c] - IMAGENET_MEAN[c]) / IMAGENET_STD[c] for c in range(3)], dim=1)
    expected = {}
    for b, block in enumerate(blocks, start=1):
        for i in range(1, len(block) + 1):
            conv = encoder.convs[f"conv{b}_{i}"]
            pad = nn.ReflectionPad2d(1) if padding == "reflect" else nn.ZeroPad2d(1)
            plain = nn.Conv2d(conv.in_channels, conv.out_channels, 3)
            plain.load_state_dict({"weight": conv.weight, "bias": conv.bias})
            x = expected[f"relu{b}_{i}"] = nn.Sequential(pad, plain, nn.ReLU())(x)
        x = expected[f"pool{b}"] = nn.MaxPool2d(2)(x)
        if b == 4:  # in block 5 these images are one pixel high, which reflection cannot pad
            break
    found = encoder(images(), list(expected))
    for tap, features in expected.items():
        torch.testing.assert_close(found[tap], features, msg=lambda text, tap=tap: f"{tap}: {text}")


def test_scales_divide_their_taps_and_nothing_below():
    encoder = random_encoder(COMPACT_BLOCKS)
    plain = encoder(images(), ["relu1_1", "relu2_1"])
    encoder.scales = {"relu1_1": 4.0}
    scaled = encoder(images(), ["relu1_1", "relu2_1"])
    torch.testing.assert_close(scaled["relu1_1"], plain["relu1_1"] / 4)
    assert torch.equal(scaled["relu2_1"], plain["relu2_1"])


def test_calibration_brings_every_tap_to_deviation_1():
    encoder = random_encoder(COMPACT_BLOCKS)
    encoder.scales = {"relu1_1": 123.0}  # an earlier calibration must not enter the new one
    calibrate(encoder, images(4))
    for tap, x in encoder(images(4), encoder.tap_names()).items():
        assert (x - x.mean(dim=(0, 2, 3), keepdim=True)).square().mean().sqrt().item() == pytest.approx(
            1, rel=1e-4
        ), tap


def test_frozen_weights_get_no_gradient_but_images_do():
    encoder = random_encoder(COMPACT_BLOCKS)
    x = images().requires_grad_()
    encoder(x, ["relu4_1"])["relu4_1"].square().mean().backward()
    assert x.grad.abs().sum() > 0
    assert all(not p.requires_grad and p.grad is None for p in encoder.parameters())
    assert not encoder.training


@pytest.mark.parametrize(
    "taps",
    [["relu1_1"], ["relu3_1", "relu1_1"], ["relu1_2", "relu3_2"], ["pool2"], ["relu3_2", "pool1"], ["pool3"]],
)
def test_truncated_gives_equal_features_with_fewer_layers(taps):
    encoder = random_encoder(COMPACT_BLOCKS, input_range="imagenet", padding="zeros")
    calibrate(encoder, images(4))
    short = truncate_encoder(encoder, taps)
    expected, found = encoder(images(), taps), short(images(), taps)
    assert list(found) == list(expected)
    assert all(torch.equal(found[tap], expected[tap]) for tap in taps)
    deepest = max(taps, key=encoder.tap_names().index)
    assert [name for name in short.tap_names() if name.startswith("relu")] == [
        name
        for name in encoder.tap_names()[: encoder.tap_names().index(deepest) + 1]
        if name.startswith("relu")
    ]
    assert all(not p.requires_grad for p in short.parameters())


def test_truncated_is_a_copy():
    encoder = random_encoder(COMPACT_BLOCKS)
    before = encoder(images(), ["relu1_1"])["relu1_1"]
    with torch.no_grad():
        truncate_encoder(encoder, ["relu1_1"]).convs["conv1_1"].weight.zero_()
    assert torch.equal(encoder(images(), ["relu1_1"])["relu1_1"], before)


def test_orthogonal_encoder_is_orthogonal_and_repeatable():
    first, second, other = (orthogonal_encoder(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert encoder_digest(first) == encoder_digest(second) != encoder_digest(other)
    weight = first.convs["conv2_1"].weight.flatten(1)  # 32 rows of 16*9 entries, gain sqrt 2
    torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(32))


def test_digest_follows_everything_that_changes_the_features():
    def changed(change) -> str:
        encoder = random_encoder(COMPACT_BLOCKS)
        change(encoder)
        return encoder_digest(encoder)

    digests = [
        changed(lambda _: None),
        changed(lambda encoder: encoder.convs["conv4_1"].bias.data.add_(1)),
        changed(lambda encoder: encoder.scales.update(relu1_1=2.0)),
        encoder_digest(random_encoder(COMPACT_BLOCKS, padding="zeros")),
        encoder_digest(random_encoder(COMPACT_BLOCKS, input_range="imagenet")),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == changed(lambda _: None)


def test_written_and_read_back_equal(tmp_path):
    encoder = random_encoder(COMPACT_BLOCKS, input_range="imagenet", padding="zeros")
    calibrate(encoder, images(4))
    write_encoder(tmp_path / "encoder.safetensors", encoder, {"teacher": "nobody"})
    again = read_encoder(tmp_path / "encoder.safetensors")
    assert encoder_digest(again) == encoder_digest(encoder)
    taps = encoder.tap_names()
    for tap, x in encoder(images(), taps).items():
        assert torch.equal(again(images(), taps)[tap], x)
    assert all(not p.requires_grad for p in again.parameters())


def test_written_in_half_precision_and_read_in_single(tmp_path):
    write_encoder(tmp_path / "half", random_encoder(COMPACT_BLOCKS), {}, torch.float16)
    write_encoder(tmp_path / "full", random_encoder(COMPACT_BLOCKS), {})
    assert (tmp_path / "half").stat().st_size < 0.55 * (tmp_path / "full").stat().st_size
    assert {p.dtype for p in read_encoder(tmp_path / "half").parameters()} == {torch.float32}


class TestTheOneWeShip:
    def test_is_small(self):
        assert ASSET.stat().st_size <= 700_000

    def test_loads_in_single_precision_and_frozen(self):
        encoder = load_encoder("builtin")
        assert encoder.blocks == COMPACT_BLOCKS
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in encoder.parameters())
        assert encoder_digest(encoder) == encoder_digest(load_encoder("builtin"))

    def test_taps_have_deviation_1_over_the_built_in_photos(self):
        encoder = load_encoder("builtin")
        assert set(encoder.scales) == set(encoder.tap_names())
        for tap, x in encoder(calibration_images(), encoder.tap_names()).items():
            std = (x - x.mean(dim=(0, 2, 3), keepdim=True)).square().mean().sqrt().item()
            assert std == pytest.approx(1, rel=1e-3), tap

    def test_sees_more_than_untrained_weights_do(self, few_calibration_images):
        """Training shows: the same photo under other light stays closer to itself than to other photos."""
        photos = calibration_images()[::4]
        darker = (photos + 1) * 0.7 - 1

        def hits(encoder: Encoder) -> float:
            a, b = (encoder(x, ["relu4_1"])["relu4_1"] for x in (photos, darker))
            a, b = (torch.cat(channel_mean_std(x), dim=1).flatten(1) for x in (a, b))
            return (torch.cdist(a, b).argmin(1) == torch.arange(len(photos))).float().mean().item()

        assert hits(load_encoder("builtin")) >= max(hits(load_encoder("random")), 0.5)

"""From images to features: the resize recipe, the networks, distances that grow as images get worse."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import mobilenet_v2, squeezenet1_1

from sketchforge.checkpoints.catalog import AbsentError
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.metrics.frechet import fit_gaussian, frechet_distance
from sketchforge.metrics.images import feature_networks
from sketchforge.metrics.images.feature_networks import NETWORKS, open_features
from sketchforge.metrics.images.features import crop_square, features_of
from sketchforge.metrics.kid import kernel_distances
from tests.helpers.photos import scene

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def builtin():
    """At a smaller input, which is quicker."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_networks, "BUILTIN_SIDE", 96)
        return open_features("builtin", None, CPU)


@pytest.fixture(scope="module")
def photos():
    return [scene(seed, 96, 96) for seed in range(16)]


@pytest.fixture(scope="module")
def clean(builtin, photos):
    return features_of(photos, builtin)


def test_images_of_the_right_size_are_left_alone():
    image = scene(0, 40, 40)
    assert np.array_equal(crop_square(image, 40), image)
    assert np.array_equal(crop_square(scene(0, 40, 60), 40), scene(0, 40, 60)[:, 10:50])


@pytest.mark.parametrize("side", [20, 33, 150])
def test_resizing_is_pillows_antialiased_bicubic(side):
    image = scene(1, 64, 64)
    for channel in range(3):
        # In floating point: with 8 bits Pillow would round and clip between rows and columns, too.
        levels = Image.fromarray(image[..., channel].astype(np.float32))
        wanted = np.asarray(levels.resize((side, side), Image.Resampling.BICUBIC)).clip(0, 255)
        assert np.abs(crop_square(image, side)[..., channel] - wanted).max() <= 0.51


def test_shrinking_does_not_alias():
    """Stripes of one pixel become grey, not stripes."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = crop_square(stripes, 24)[4:-4, 4:-4].astype(int)
    assert np.abs(inner - 127).max() < 20


def test_other_arrays_are_refused(builtin):
    for wrong in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))):
        with pytest.raises(ValueError, match="expected an image uint8 HxWx3"):
            crop_square(wrong, 8)


def test_features_do_not_depend_on_batches(builtin, photos, clean):
    for batch in (1, 7):
        np.testing.assert_allclose(
            features_of(photos[:9], builtin, batch=batch), clean[:9], rtol=1e-4, atol=1e-5
        )


def test_features_that_are_not_numbers_are_refused(builtin, photos):
    broken = dataclasses.replace(builtin, describe=lambda squares: builtin.describe(squares) * float("nan"))
    with pytest.raises(SketchforgeError, match="gives features that are not numbers; get intact weights"):
        features_of(photos[:2], broken)


def test_sizes_may_be_mixed(builtin, photos):
    larger = [cv2.resize(photo, (200, 200), interpolation=cv2.INTER_CUBIC) for photo in photos[:4]]
    own, other = features_of(photos[:4], builtin), features_of([*photos[:2], *larger[2:]], builtin)
    assert np.abs(own - other).max() < 0.1 * np.abs(own).max()


def worse(how: str, level: float):
    def blurred(image):
        return cv2.GaussianBlur(image, (0, 0), level)

    def noisy(image):
        noise = np.random.default_rng(int(image.sum())).standard_normal(image.shape) * level
        return (image + noise).round().clip(0, 255).astype(np.uint8)

    def jpeg(image):
        return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(level)])[1], 1)

    return {"blur": blurred, "noise": noisy, "jpeg": jpeg}[how]


@pytest.mark.parametrize(
    ("how", "levels"), [("blur", (0.6, 1.2, 2.4)), ("noise", (6, 18, 54)), ("jpeg", (60, 25, 6))]
)
def test_the_worse_the_images_the_larger_the_distances(builtin, photos, clean, how, levels):
    changed = [features_of(map(worse(how, level), photos), builtin) for level in levels]
    frechet = [frechet_distance(fit_gaussian(one), fit_gaussian(clean)) for one in [clean, *changed]]
    kernel = [kernel_distances(one, clean)[0] for one in changed]
    assert frechet == sorted(frechet)
    assert kernel == sorted(kernel)
    assert abs(frechet[0]) < 1e-3 * frechet[1]


def test_figures_bear_the_name_of_their_features(builtin):
    assert builtin.frechet == "Fréchet (builtin relu3_1+relu4_1)"
    assert "not FID" in builtin.note
    assert builtin.kernel == "KID (builtin relu3_1+relu4_1)"
    assert "bicubic with antialiasing to 96 x 96" in builtin.preprocessing


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of both torchvision networks, in halves, as exports often are."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, network in (("mobilenet_v2", mobilenet_v2()), ("squeezenet", squeezenet1_1())):
            state = {key: value.half() for key, value in network.state_dict().items() if "tracked" not in key}
            save_file(state, folder / f"{name}.safetensors")
    return folder


@pytest.mark.parametrize(
    ("name", "width", "norm"), [("mobilenet_v2", 1280, False), ("squeezenet", 512, True)]
)
def test_pooled_features_are_those_of_torchvisions_network(weights, photos, name, width, norm):
    from safetensors.torch import load_file

    path = weights / f"{name}.safetensors"
    found = features_of(photos[:2], open_features(name, path, CPU))
    network = {"mobilenet_v2": mobilenet_v2, "squeezenet": squeezenet1_1}[name]().eval()
    network.load_state_dict({key: value.float() for key, value in load_file(path).items()}, strict=False)
    squares = (
        torch.from_numpy(np.stack([crop_square(photo, 224) for photo in photos[:2]])).permute(0, 3, 1, 2)
        / 255
    )
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    levels = (squares - mean.view(3, 1, 1)) / std.view(3, 1, 1) if norm else squares * 2 - 1
    with torch.no_grad():
        wanted = network.features(levels).mean((2, 3)).numpy()
    assert found.shape == (2, width)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_absent_weights_are_told_apart_from_wrong_ones(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(AbsentError, match="--features mobilenet_v2=FILE"):
        open_features("mobilenet_v2", None, CPU)
    with pytest.raises(AbsentError, match=r"looked for weights-inception.*sketchforge weights list"):
        open_features("inception", None, CPU)
    with pytest.raises(UsageError, match=r"inception=.*absent.pth: no such file"):
        open_features("inception", tmp_path / "absent.pth", CPU)
    with pytest.raises(UsageError, match="no such features; there are inception, builtin"):
        open_features("resnet", None, CPU)
    with pytest.raises(UsageError, match="has weights of its own"):
        open_features("builtin", weights / "squeezenet.safetensors", CPU)
    for name in set(NETWORKS) - {"builtin"}:
        other = "squeezenet" if name != "squeezenet" else "mobilenet_v2"
        with pytest.raises(SketchforgeError, match="not the weights of") as caught:
            open_features(name, weights / f"{other}.safetensors", CPU)
        assert "\n" not in str(caught.value)
        assert f"{other}.safetensors" in str(caught.value)
    broken = tmp_path / "w.pth"
    broken.write_bytes(b"nonsense")
    for name in set(NETWORKS) - {"builtin"}:
        with pytest.raises(SketchforgeError, match="cannot be read as weights"):
            open_features(name, broken, CPU)


def test_weights_that_are_not_numbers_are_refused(weights, tmp_path):
    from safetensors.torch import load_file

    state = load_file(weights / "squeezenet.safetensors")
    state["features.0.bias"][3] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(SketchforgeError, match="features.0.bias holds values that are not numbers"):
        open_features("squeezenet", tmp_path / "w.safetensors", CPU)

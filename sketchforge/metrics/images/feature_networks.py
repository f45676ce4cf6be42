"""The networks in whose features sets of images are compared: Inception, for FID and KID, and others.

Figures in features other than Inception's bear their network's name. They rank sets within one report and are
not comparable to any published FID.

Shape letters: B batch, D features, S side of the input.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sketchforge.checkpoints.catalog import KNOWN, AbsentError, find_weights, is_published
from sketchforge.checkpoints.state_dicts import read_state
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.tensors import normalize_pixels, to_unit
from sketchforge.metrics.images.features import FeatureNetwork
from sketchforge.models.efficientnet_lite0 import EfficientNetLite0
from sketchforge.models.encoder import IMAGENET_MEAN, IMAGENET_STD

OPTION = "--features"
CPU = torch.device("cpu")
NOT_FID = "not FID: compares within one report only"
FOREIGN = "weights other than the published ones: not comparable to published figures"
BUILTIN_TAPS = ("relu3_1", "relu4_1")
BUILTIN_SIDE = 256
POOLED_SIDE = 224  # what MobileNetV2 and SqueezeNet were trained on
SYMMETRIC = "levels to [-1, 1]"
IMAGENET = "levels to [0, 1], ImageNet's mean and deviation"


def open_features(name: str, given: Path | None, device: torch.device = CPU) -> FeatureNetwork:
    """The network called `name`, one of NETWORKS, with the weights in `given`, else where they belong.

    Raises UsageError for another name and a file that does not exist, AbsentError where there are no weights
    or a library is missing, SketchforgeError for a file that is damaged or of another network.
    """
    if name not in NETWORKS:
        raise UsageError(f"{OPTION} {name}: no such features; there are {', '.join(NETWORKS)}")
    if name == "builtin" and given is not None:
        raise UsageError(
            f"{OPTION} builtin={given}: the built-in encoder has weights of its own; leave out the file"
        )
    return NETWORKS[name](given, device)


def inception(given: Path | None, device: torch.device) -> FeatureNetwork:
    """The 2048 pooled features of FID's InceptionV3, by torch-fidelity's port of the TensorFlow graph.

    Images come at the network's own 299 pixels, so the port's resizing, which aliases, changes nothing.
    """
    path = _find_weights("inception", given)
    if importlib.util.find_spec("torch_fidelity") is None:
        raise AbsentError("inception needs torch-fidelity: pip install 'sketchforge[eval]'")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    state, _ = read_state(path, f"FID's Inception weights ({KNOWN['inception'].file_names[0]})")
    # The port would unpickle the file. So it gets the tensors that `read_state` has read safely.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception", ["2048"], buffer)
    except Exception as error:
        raise _build_misfit_error(path, "FID's InceptionV3", "Conv2d_1a_3x3.conv.weight", state) from error
    network.to(device)
    published = is_published("inception", path)
    suffix = "" if published else " (other weights)"
    return FeatureNetwork(
        features="inception pool3",
        frechet=f"FID{suffix}",
        kernel=f"KID{suffix}",
        side=network.INPUT_IMAGE_SIZE,
        recipe="(level - 128) / 128",
        weights=tensors_digest(network.state_dict()),
        note="" if published else FOREIGN,
        describe=lambda squares: network(squares.to(device))[0],
    )


def builtin(given: Path | None, device: torch.device) -> FeatureNetwork:
    """Channel means of the built-in encoder's BUILTIN_TAPS, each with standard deviation 1 over photos."""
    from sketchforge.checkpoints.encoder import encoder_digest, load_encoder

    encoder = load_encoder("builtin").to(device)

    def describe(squares: Tensor) -> Tensor:
        taps = encoder(normalize_pixels(squares.to(device)), BUILTIN_TAPS)
        return torch.cat([taps[tap].mean((2, 3)) for tap in BUILTIN_TAPS], dim=1)

    title = f"builtin {'+'.join(BUILTIN_TAPS)}"
    return _build_network(title, BUILTIN_SIDE, SYMMETRIC, encoder_digest(encoder), describe)


def mobilenet_v2(given: Path | None, device: torch.device) -> FeatureNetwork:
    """The 1280 pooled features of MobileNetV2, with torchvision's key layout.

    torchvision's weights need inputs by ImageNet's mean and standard deviation, the authors' converted ones
    need [-1, 1]. A file does not say which, but torchvision's files are known by their digests.
    """
    from torchvision.models import mobilenet_v2 as build

    path = _find_weights("mobilenet_v2", given)
    network = _load_network(build().features, path, "torchvision's mobilenet_v2", device)
    recipe = IMAGENET if is_published("mobilenet_v2", path) else SYMMETRIC
    return _build_pooled_network("mobilenet_v2", network, recipe, device)


def squeezenet(given: Path | None, device: torch.device) -> FeatureNetwork:
    """The 512 pooled features of SqueezeNet 1.1, with torchvision's key layout."""
    from torchvision.models import squeezenet1_1 as build

    path = _find_weights("squeezenet", given)
    return _build_pooled_network(
        "squeezenet", _load_network(build().features, path, "squeezenet1_1", device), IMAGENET, device
    )


def efficientnet_lite0(given: Path | None, device: torch.device) -> FeatureNetwork:
    """The 1280 pooled features of EfficientNet-Lite0."""
    path = _find_weights("efficientnet-lite0", given)
    what = "EfficientNet-Lite0"
    state, _ = read_state(path, f"{what} weights (.safetensors, .npz or a PyTorch state dict)")
    network = EfficientNetLite0()
    network.load_state_dict(features_state(path, what, network, state, prefix=""))
    network = network.to(device).eval().requires_grad_(False)

    def describe(squares: Tensor) -> Tensor:
        return network((squares.to(device, torch.float32) - 127) / 128).mean((2, 3))

    digest = tensors_digest(network.state_dict())
    return _build_network("efficientnet-lite0", POOLED_SIDE, "(level - 127) / 128", digest, describe)


NETWORKS: Mapping[str, Callable[[Path | None, torch.device], FeatureNetwork]] = {
    "inception": inception,
    "builtin": builtin,
    "mobilenet_v2": mobilenet_v2,
    "squeezenet": squeezenet,
    "efficientnet-lite0": efficientnet_lite0,
}


def _find_weights(name: str, path: Path | None) -> Path:
    return find_weights(name, path, f"{OPTION} {name}=FILE")


def _build_pooled_network(
    features: str, network: nn.Module, recipe: str, device: torch.device
) -> FeatureNetwork:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))

    def describe(squares: Tensor) -> Tensor:
        levels = (to_unit(squares) - mean) / std if recipe == IMAGENET else normalize_pixels(squares)
        return network(levels.to(device)).mean((2, 3))

    return _build_network(features, POOLED_SIDE, recipe, tensors_digest(network.state_dict()), describe)


def _build_network(
    features: str, side: int, recipe: str, digest: str, describe: Callable[[Tensor], Tensor]
) -> FeatureNetwork:
    kernel = f"KID ({features})"
    return FeatureNetwork(
        features=features,
        frechet=f"Fréchet ({features})",
        kernel=kernel,
        side=side,
        recipe=recipe,
        weights=digest,
        note=NOT_FID,
        describe=describe,
    )


def _load_network(network: nn.Module, path: Path, description: str, device: torch.device) -> nn.Module:
    """Load the weights `features.*` of a file into a torchvision `features`; other tensors are ignored."""
    state, _ = read_state(path, f"{description} weights (.safetensors, .npz or a PyTorch state dict)")
    network.load_state_dict(features_state(path, description, network, state))
    return network.to(device).eval().requires_grad_(False)


def features_state(
    path: Path, what: str, network: nn.Module, state: Mapping[str, Any], prefix: str = "features."
) -> dict[str, Tensor]:
    """The state of `network` from a file's `features.*`; counters, which only training needs, may be missing.

    Raises SketchforgeError where a tensor is missing, of another shape or not finite.
    """
    loaded = {}
    for name, expected in network.state_dict().items():
        tensor = state.get(prefix + name)
        if tensor is None and name.endswith("num_batches_tracked"):
            loaded[name] = expected
            continue
        if not isinstance(tensor, Tensor) or tensor.shape != expected.shape:
            raise _build_misfit_error(path, what, prefix + name, state)
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise SketchforgeError(
                f"{path}: {prefix + name} holds values that are not numbers; get an intact copy"
            )
        loaded[name] = tensor.to(expected.dtype)
    return loaded


def _build_misfit_error(
    path: Path, description: str, name: str, state: Mapping[str, Any]
) -> SketchforgeError:
    tensor = state.get(name)
    if isinstance(tensor, Tensor):
        return SketchforgeError(f"{path}: not the weights of {description}: shapes differ, such as of {name}")
    examples = ", ".join(sorted(state)[:3]) or "nothing"
    return SketchforgeError(
        f"{path}: not the weights of {description}: expected {name} and so on, found {examples}"
    )

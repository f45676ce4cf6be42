"""LPIPS (Zhang et al., CVPR 2018) by the lpips package, whose backbones come from local files alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from sketchforge.checkpoints.catalog import find_weights, is_published
from sketchforge.checkpoints.state_dicts import read_state
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.errors import UsageError
from sketchforge.metrics.images.feature_networks import features_state

OPTION = "--lpips"
CPU = torch.device("cpu")
# the lpips package's name of a backbone -> the catalogue's name of its weights
BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
PREPROCESSING = "at the images' own size, levels to [-1, 1]"


@dataclass(frozen=True)
class PerceptualSimilarity:
    """distance(a, b): (B,3,S,S) float in [-1, 1] twice -> (B,), 0 for equal images."""

    title: str
    weights: str  # digest of backbone and heads
    note: str  # "" for nothing
    distance: Callable[[Tensor, Tensor], Tensor]


def open_lpips(backbone: str, given: Path | None, device: torch.device = CPU) -> PerceptualSimilarity:
    """LPIPS (v0.1) on alex, vgg or squeeze, with the weights in `given`, else where torchvision keeps them.

    The package's linear heads were fitted to torchvision's weights. With other weights the title says so.
    Raises UsageError for another backbone and a file that does not exist, AbsentError where
    there are no weights, SketchforgeError for a file that is damaged or of another network.
    """
    if backbone not in BACKBONES:
        raise UsageError(f"{OPTION} {backbone}: no such backbone of LPIPS; there are {', '.join(BACKBONES)}")
    name = BACKBONES[backbone]
    path = find_weights(name, given, f"{OPTION} {backbone}=FILE")
    state, _ = read_state(path, f"torchvision's {name} (.pth, .safetensors or .npz)")
    network = _build_without_backbone(backbone)
    # The package cuts the network into slices: slice1.0.weight is torchvision's features.0.weight.
    layers = torch.nn.ModuleDict(
        {
            layer_name: module
            for block in cast(torch.nn.Module, network.net).children()
            for layer_name, module in block.named_children()
        }
    )
    layers.load_state_dict(features_state(path, name, layers, state))
    network.to(device).eval().requires_grad_(False)
    published = is_published(name, path)
    note = "" if published else "its heads were fitted to torchvision's weights, and these are others"
    title = f"LPIPS ({backbone})" if published else f"LPIPS ({backbone}, other weights)"

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        if a.shape != b.shape:
            # torch would broadcast and return a number.
            raise ValueError(f"images are {tuple(a.shape)} and {tuple(b.shape)}, expected equal shapes")
        return network(a.to(device), b.to(device)).flatten()

    return PerceptualSimilarity(title, tensors_digest(network.state_dict()), note, distance)


def _build_without_backbone(backbone: str) -> torch.nn.Module:
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torchvision warns of arguments that the package passes
        return lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)

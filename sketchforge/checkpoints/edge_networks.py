"""From a weights file to an edge network: key layouts, widths from shapes, errors for misfits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sketchforge.checkpoints.state_dicts import read_state
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.models.encoder import VGG16_BLOCKS
from sketchforge.models.hed import FUSION, GEOMETRIES, HED, bilinear_kernel
from sketchforge.models.pidinet import PiDiNet
from sketchforge.models.teed import TEED
from sketchforge.utils.files import check_format, parse_json

NETWORKS: dict[str, type[HED | PiDiNet | TEED]] = {"hed": HED, "pidinet": PiDiNet, "teed": TEED}

# A file that `weights install` has converted: a safetensors file whose metadata says what the tensors do not.
FORMAT, VERSION = "sketchforge-edge-network", 1

# The names of Caffe's blobs depend on the exporter: `conv1_1.weight`, `conv1_1/0`, `conv1_1_biases`.
_BLOB = re.compile(r"(?P<layer>.+?)[./:_-](?P<blob>weights?|bias(es)?|[01])")
# The widely used PyTorch state dict numbers the layers of each stage; all but the first begin with a pooling.
_STAGES = ("One", "Two", "Thr", "Fou", "Fiv")


def load_edge_network(method: str, path: Path) -> nn.Module:
    """Load the frozen network of `method` (hed, pidinet, teed) with the weights in `path`.

    The shapes of the weights set its widths, the file's metadata HED's geometry. Raises SketchforgeError where
    the file is corrupt, of another network, incomplete, or has other shapes.
    """
    network_type = NETWORKS[method]
    state, header = read_state(path, f"{method}'s weights (.safetensors, .npz or a PyTorch state dict)")
    with torch.device("meta"):
        template = network_type().state_dict()  # names and dimensions, which no width changes
    keys = hed_keys(path, state) if method == "hed" else {key: key for key in state}
    _check_names(path, method, template, keys, state)
    tensors = {}
    for name, reference in template.items():
        tensors[name] = _convert_to_float(path, keys[name], state[keys[name]], reference.ndim)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        with torch.device("meta"):
            expected = network_type(**network_type.arguments_for(shapes)).state_dict()
    except ValueError as error:  # channels that cannot be divided into their groups
        raise UsageError(f"{path}: {method} cannot have layers of these shapes ({error})") from None
    for name, reference in expected.items():
        if shapes[name] != tuple(reference.shape):
            raise UsageError(
                f"{path}: {keys[name]} has shape {_format_shape(shapes[name])}, "
                f"expected {_format_shape(reference.shape)}" + _format_hint(method, name)
            )
    arguments = network_type.arguments_for(shapes)
    if method == "hed":
        arguments |= {"geometry": read_geometry(path, header)}
    network = network_type(**arguments)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def read_geometry(path: Path, header: Mapping[str, str]) -> str:
    """HED's geometry, by the metadata of a weights file; the authors' own where the file says nothing."""
    if header.get("format") != FORMAT:
        return GEOMETRIES[0]
    check_format(path, header, FORMAT, VERSION)
    try:
        metadata = parse_json(header.get("metadata", ""))
        geometry = metadata["geometry"]
    except (ValueError, KeyError, TypeError):
        geometry = None
    if geometry not in GEOMETRIES:
        raise SketchforgeError(
            f"{path}: its metadata has geometry {str(geometry)[:40]!r}, expected {' or '.join(GEOMETRIES)}; "
            "install it again"
        )
    return geometry


def hed_keys(path: Path, state: Mapping[str, Any]) -> dict[str, str]:
    """Map the names of our HED to the keys of the file, in either layout; unknown keys map to themselves.

    Example: {"conv1_1.weight": "moduleVggOne.0.weight"}. The authors' bilinear deconvolutions (`upsample_2`
    ... or `upscore-dsn2` ...) are checked and left out.
    """
    layers = {
        f"conv{s}_{i}": f"conv{s}_{i}"
        for s, block in enumerate(VGG16_BLOCKS, 1)
        for i in range(1, len(block) + 1)
    }
    layers |= {f"score-dsn{s}": f"score-dsn{s}" for s in range(1, 6)} | {FUSION: FUSION}
    for prefix in ("module", "net"):
        for s, (stage, block) in enumerate(zip(_STAGES, VGG16_BLOCKS, strict=True), start=1):
            for i in range(1, len(block) + 1):
                layers[f"{prefix}Vgg{stage}.{2 * i - (2 if s == 1 else 1)}"] = f"conv{s}_{i}"
            layers[f"{prefix}Score{stage}"] = f"score-dsn{s}"
        layers[f"{prefix}Combine.0"] = FUSION
    keys: dict[str, str] = {}
    for key, value in state.items():
        match = _BLOB.fullmatch(key)
        layer = match["layer"] if match else ""
        if layer.startswith(("upsample", "upscore")):
            _check_bilinear(path, key, value)
            continue
        name = key
        if match and layer in layers:
            name = f"{layers[layer]}.{'weight' if match['blob'][0] in 'w0' else 'bias'}"
        if name in keys:
            raise SketchforgeError(
                f"{path}: {keys[name]} and {key} are the same tensor of HED; keep one layout"
            )
        keys[name] = key
    return keys


def _check_names(
    path: Path, method: str, template: Mapping[str, Tensor], keys: Mapping[str, str], state: Mapping[str, Any]
) -> None:
    missing = [name for name in template if name not in keys]
    foreign = [key for name, key in keys.items() if name not in template]
    if len(missing) > len(template) / 2:
        raise UsageError(
            f"{path}: not {method}'s weights: expected {_list_first(template)}, "
            f"found {_list_first(state) or 'nothing'}" + _format_hint(method, "")
        )
    if missing:
        raise SketchforgeError(
            f"{path}: {len(missing)} of {method}'s {len(template)} tensors missing: {_list_first(missing)}"
        )
    if foreign:
        raise UsageError(f"{path}: holds what {method} has no place for: {_list_first(foreign)}")


def _convert_to_float(path: Path, key: str, value: Any, ndim: int) -> Tensor:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise SketchforgeError(f"{path}: {key} holds {kind}, expected a tensor of floating point numbers")
    if ndim == 1 and value.ndim == 4 and value.shape[:3] == (1, 1, 1):
        value = value.flatten()  # old Caffe stores biases as 1x1x1xN
    if value.ndim != ndim or not value.numel():
        raise SketchforgeError(
            f"{path}: {key} has shape {_format_shape(value.shape)}, expected {ndim} dimensions, none of 0"
        )
    if not bool(value.isfinite().all()):
        raise SketchforgeError(f"{path}: {key} holds values that are not numbers; get an intact copy")
    return value.float()


def _check_bilinear(path: Path, key: str, value: Any) -> None:
    """Refuse a deconvolution other than the authors' fixed one: such a file is of another network."""
    side = value.shape[-1] if isinstance(value, Tensor) and value.ndim == 4 else 0
    kernel = bilinear_kernel(side // 2) if side in (4, 8, 16, 32) else None
    if kernel is None or value.shape != kernel.shape or not torch.allclose(value.float(), kernel, atol=1e-3):
        raise SketchforgeError(f"{path}: {key} is not the fixed bilinear kernel that HED has there")


def _format_hint(method: str, name: str) -> str:
    if method == "pidinet" and (not name or name.endswith("conv1.weight")):
        return (
            "; a checkpoint as trained has to be converted to plain convolutions first (`sketchforge "
            "weights list` says more)"
        )
    return ""


def _list_first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _format_shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "()"

"""Weights from elsewhere: tensors by name out of .safetensors, .npz and PyTorch files; nothing can run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    import torch


def read_state(path: Path, expected: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(what a weights file holds by name, its metadata); what is no tensor is the caller's to refuse.

    .safetensors and .npz go by their endings, anything else is taken for a PyTorch file. Raises
    SketchforgeError, with `expected` (what the file ought to be) in its message, where it cannot be read as
    that or holds no names.
    """
    try:
        if path.suffix == ".safetensors":
            return _from_safetensors(path)
        state = _from_npz(path) if path.suffix == ".npz" else _from_torch(path)
    except Exception as error:  # readers raise whatever the bytes provoke
        raise SketchforgeError(
            f"{path}: cannot be read as weights ({type(error).__name__}); expected {expected}"
        ) from None
    if not isinstance(state, Mapping):
        raise SketchforgeError(f"{path}: holds a {type(state).__name__}, expected {expected}")
    return {str(name): value for name, value in state.items()}, {}


def _from_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def _from_npz(path: Path) -> object:
    import numpy as np
    import torch

    found = np.load(path, allow_pickle=False)
    if not isinstance(found, np.lib.npyio.NpzFile):
        return found
    with found as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _from_torch(path: Path) -> object:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remarks on old or odd pickles are not the user's concern
        return torch.load(path, map_location="cpu", weights_only=True)

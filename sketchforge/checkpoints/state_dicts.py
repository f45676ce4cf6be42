"""Weights of other projects: tensors by name from .safetensors, .npz and PyTorch files; runs no code."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)


def read_state(path: Path, expected: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Read (the values of a weights file by name, its metadata).

    The caller refuses values that are no tensors.

    The ending decides the format: .safetensors, .npz, and anything else is read as a PyTorch file. `expected`
    says in messages what the file should be. Raises SketchforgeError where the file cannot be read or maps no
    names to values.
    """
    _log.info("reading %s", path)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        state = _read_npz(path) if path.suffix == ".npz" else _read_torch(path)
    except Exception as error:  # corrupt bytes make the readers raise errors of any type
        raise SketchforgeError(
            f"{path}: cannot be read as weights ({type(error).__name__}); expected {expected}"
        ) from None
    if not isinstance(state, Mapping):
        raise SketchforgeError(f"{path}: holds a {type(state).__name__}, expected {expected}")
    return {str(name): value for name, value in state.items()}, {}


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def _read_npz(path: Path) -> object:
    import numpy as np
    import torch

    loaded = np.load(path, allow_pickle=False)
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        return loaded
    with loaded as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _read_torch(path: Path) -> object:
    import torch

    with warnings.catch_warnings():
        # torch warns of old and unusual pickles, which does not concern the user.
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)

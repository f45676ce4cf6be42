"""Tensors on disk: safetensors with a format name, a version and a JSON description in the metadata.

No pickle is ever read, so an untrusted file can fail to load but cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.utils.files import check_format, parse_json, write_bytes

_log = logging.getLogger(__name__)


def save_tensors(
    path: Path, format_name: str, version: int, tensors: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    """Write `tensors` (name -> torch.Tensor, any shape and dtype) and `metadata` (JSON), by rename.

    Equal contents give equal bytes: no time stamps, keys sorted.
    """
    from safetensors.torch import save

    # safetensors refuses shared and non-contiguous storage (channels_last weights are the usual case).
    contiguous = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    header = {
        "format": format_name,
        "version": str(version),
        "metadata": json.dumps(dict(metadata), sort_keys=True),
    }
    write_bytes(Path(path), _sort_header(save(contiguous, metadata=header)))


def _sort_header(data: bytes) -> bytes:
    """Sort the header of a safetensors file: the library's own order changes from call to call.

    Layout: 8 bytes length, JSON header, tensor bytes, which should begin at a multiple of 8.
    """
    header_end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:header_end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[header_end:]


def read_metadata(path: Path) -> dict[str, Any]:
    """The description in a file that `save_tensors` wrote, of whatever format; its tensors stay unread.

    Raises SketchforgeError when the file is corrupt or has none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = parse_json((file.metadata() or {})["metadata"])
        if not isinstance(metadata, dict):
            raise ValueError("its description is no JSON object")
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SketchforgeError(f"{path}: cannot be read ({reason}); put it elsewhere") from error
    return metadata


def load_tensors(
    path: Path, format_name: str, version: int, oldest: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read (tensors, metadata) from a file that `save_tensors` wrote, of `version`, or of `oldest` and later.

    Raises WrongFormatError for another format, SketchforgeError for a file that is missing, corrupt or of another
    version.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    _log.info("reading %s", path)
    if not path.is_file():
        raise SketchforgeError(f"{path}: no such file (expected a {format_name} file)")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            check_format(path, header, format_name, version, oldest)
            metadata = parse_json(header["metadata"])
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        if not isinstance(metadata, dict):
            raise ValueError("its description is no JSON object")
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SketchforgeError(
            f"{path}: cannot be read as a {format_name} file ({reason}); remove it or point to an intact copy"
        ) from error
    return tensors, metadata


def tensors_digest(tensors: Mapping[str, Any]) -> str:
    """Hex SHA-256 over names, dtypes, shapes and values: it identifies weights, whatever file holds them."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()

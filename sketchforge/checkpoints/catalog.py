"""Every weights file that sketchforge knows: its content, its users, its folder, its licence and its loader.

No other module says where a weights file is looked for; all who need one call `find_weights`. The module does
not import torch, so that listing is quick: a loader is named as text, and imported when it is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import sha256_of

CACHE_VARIABLE = "SKETCHFORGE_WEIGHTS"
SUFFIXES = (".safetensors", ".npz", ".pth")
INSTALLABLE = ("hed", "efficientnet-lite0")  # by `sketchforge weights install`; see checkpoints/install.py


class AbsentError(UsageError):
    """Weights that are not there: an evaluation reports a missing metric, other commands refuse."""


def cache_folder() -> Path:
    """$SKETCHFORGE_WEIGHTS, else $XDG_CACHE_HOME/sketchforge/weights, else ~/.cache/sketchforge/weights."""
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sketchforge" / "weights"


def torch_hub_folder() -> Path:
    """Where torchvision keeps its weights: $TORCH_HOME, else $XDG_CACHE_HOME/torch, else ~/.cache/torch."""
    # torch takes an empty variable as set, so we do, too.
    home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def builtin_folder() -> Path:
    """The package's own folder of weights."""
    return Path(str(files("sketchforge") / "checkpoints" / "builtin"))


@dataclass(frozen=True)
class WeightFile:
    """One entry of KNOWN: a weights file."""

    name: str
    what: str
    used_by: str
    file_names: tuple[str, ...]  # any of them will do
    folder: Callable[[], Path]
    licence: str
    placing: str  # how to get it where there is no network
    loader: str  # "module:function", called with `loader_arguments` and the path, as the file's users do
    loader_arguments: tuple[str, ...] = ()
    sha256_starts: tuple[str, ...] = ()  # of the published files, where their names hold it
    is_folder: bool = False  # the file stands for all that lies in its folder

    def candidates(self) -> list[Path]:
        return [self.folder() / name for name in self.file_names]

    def found(self) -> Path | None:
        """The file that is used, or None where there is none. Raises SketchforgeError where there are two."""
        present = [path for path in self.candidates() if path.is_file()]
        if len(present) > 1:
            raise SketchforgeError(
                f"{self.name}: both {present[0]} and {present[1]} are there; "
                "remove all but the one to be used"
            )
        return present[0] if present else None

    def num_bytes(self, path: Path) -> int:
        """The size of the weights whose file is `path`: of the whole folder where the file stands for it."""
        paths = path.parent.rglob("*") if self.is_folder else [path]
        return sum(each.stat().st_size for each in paths if each.is_file())

    def looked_for(self) -> str:
        """The file names and their folder, for messages."""
        names = ", ".join(self.file_names[:-1])
        return f"{names + ' or ' if names else ''}{self.file_names[-1]} in {self.folder()}"

    def is_published(self, path: Path) -> bool:
        """Whether the file has the digest that its publisher names."""
        return bool(self.sha256_starts) and sha256_of(path).startswith(self.sha256_starts)

    def check(self, path: Path) -> None:
        """Load `path` as its users do. Raises SketchforgeError, with a message of one line, if that fails."""
        if self.sha256_starts and not self.is_published(path):
            raise SketchforgeError(
                f"{path}: its sha256 begins with {sha256_of(path)[:8]}, expected "
                f"{' or '.join(self.sha256_starts)} as in its name; remove it and copy it anew"
            )
        module_name, function_name = self.loader.split(":")
        getattr(import_module(module_name), function_name)(*self.loader_arguments, path)


# What the shipped weights learnt from is listed in their model cards, encoder.md and tom.md of `builtin/`.
ENCODER_LICENCE = (
    "MIT for sketchforge's part and its teacher's (NOTICE.md); unsettled beyond that: learnt from BSDS500 "
    "(non-commercial research), PACS (research) and synthetic portraits of OMI (CC BY-NC-SA), by a teacher that "
    "descends from VGG19 (ImageNet; non-commercial research); weigh this before commercial use"
)
_THROUGH_ENCODER = (
    "the encoder `builtin`, which learnt from BSDS500 (non-commercial research), PACS (research), synthetic portraits "
    "of OMI (CC BY-NC-SA) and a teacher that descends from VGG19 (ImageNet; non-commercial research); weigh this "
    "before commercial use"
)
TOM_LICENCE = (
    "MIT for sketchforge's part; learnt from cutouts of Tux Paint's stamps (GPL-2) before backgrounds of MATE (GPL-2+ "
    "and CC BY-SA), the built-in photos and drawings, with notice in NOTICE.md; unsettled beyond that: they see through "
    + _THROUGH_ENCODER
)
FOREGROUND_LICENCE = (
    "MIT for sketchforge's part; learnt from cutouts of Tux Paint's stamps (GPL-2) before the built-in photos and "
    "backgrounds of MATE (GPL-2+ and CC BY-SA), with notice in NOTICE.md; unsettled beyond that: it sees through "
    + _THROUGH_ENCODER
)
SYNTHESIZER_LICENCE = (
    "MIT for sketchforge's part; learnt from cutouts of Tux Paint's stamps (GPL-2) before the built-in photos and "
    "backgrounds of MATE (GPL-2+ and CC BY-SA), with notice in NOTICE.md; unsettled beyond that: it learnt by the "
    "features of, and from sketches drawn through, " + _THROUGH_ENCODER
)
SHIPPED = "it comes with the package: install sketchforge again"
TORCHVISION = "BSD 3-Clause (torchvision); trained on ImageNet"
TORCHVISIONS_FILE = "copy torchvision's file into that folder under its own name, or give any path as "

READ_ENCODER = "sketchforge.checkpoints.encoder:read_encoder"
LOAD_TEACHER = "sketchforge.checkpoints.encoder:load_teacher"
LOAD_EDGE_NETWORK = "sketchforge.checkpoints.edge_networks:load_edge_network"
OPEN_FOREGROUND = "sketchforge.sketchers.foreground:open_foreground_finder"
OPEN_SNAPSHOTS = "sketchforge.sketchers.tom:open_all_snapshots"
READ_MODEL = "sketchforge.checkpoints.synthesizer:read_model"
OPEN_FEATURES = "sketchforge.metrics.images.feature_networks:open_features"
OPEN_LPIPS = "sketchforge.metrics.images.lpips:open_lpips"


def _describe_edge_network(name: str, what: str, licence: str, state: str) -> WeightFile:
    """The entry of an edge network. state: whose weights and in what layout, for `placing`."""
    command = f"`sketchforge weights install {name}`, or " if name in INSTALLABLE else ""
    return WeightFile(
        name=name,
        what=what,
        used_by=f"render --method {name}",
        file_names=tuple(name + suffix for suffix in SUFFIXES),
        folder=cache_folder,
        licence=licence,
        placing=f"{command}copy {state} into that folder, or give any path as --edge-weights",
        loader=LOAD_EDGE_NETWORK,
        loader_arguments=(name,),
    )


KNOWN = {
    entry.name: entry
    for entry in (
        WeightFile(
            name="builtin",
            what="VGG19's layers up to relu4_1, a quarter as wide",
            used_by="tom-train --encoder builtin (the default)",
            file_names=("encoder.safetensors",),
            folder=builtin_folder,
            licence=ENCODER_LICENCE,
            placing=SHIPPED,
            loader=READ_ENCODER,
        ),
        WeightFile(
            name="tom",
            what="ten snapshots of TOM's generator, which see through the built-in encoder",
            used_by="render --tom builtin (the default where there is no runs/tom)",
            file_names=("run.json",),  # with the snapshots that it names beside it
            folder=lambda: builtin_folder() / "tom",
            is_folder=True,
            licence=TOM_LICENCE,
            placing=SHIPPED,
            loader=OPEN_SNAPSHOTS,
        ),
        WeightFile(
            name="foreground",
            what="a head on `builtin` that finds the subject of a picture",
            used_by="render: the hands, and --masks head; segin-train, where shards have no masks",
            file_names=("foreground.safetensors",),
            folder=builtin_folder,
            licence=FOREGROUND_LICENCE,
            placing=SHIPPED,
            loader=OPEN_FOREGROUND,
        ),
        WeightFile(
            name="synthesizer",
            what="a model that draws sketches out in the style of images, at 128 pixels",
            used_by="synthesize, mix, transfer: --model builtin (the default where runs/ has no finished model)",
            file_names=("synthesizer.safetensors",),
            folder=builtin_folder,
            licence=SYNTHESIZER_LICENCE,
            placing=SHIPPED,
            loader=READ_MODEL,
        ),
        WeightFile(
            name="vgg16",
            what="VGG16 (Simonyan & Zisserman 2015)",
            used_by="tom-train --encoder vgg16, eval images --lpips vgg",
            file_names=("vgg16-397923af.pth",),
            folder=torch_hub_folder,
            licence=TORCHVISION,
            placing=TORCHVISIONS_FILE + "--encoder",
            loader=LOAD_TEACHER,
            sha256_starts=("397923af",),
        ),
        WeightFile(
            name="vgg19",
            what="VGG19 (Simonyan & Zisserman 2015)",
            used_by="tom-train --encoder vgg19, encoder-train --teacher vgg19, style2paints-train --hint vgg19, eval images: SR",
            file_names=("vgg19-dcbb9e9d.pth",),
            folder=torch_hub_folder,
            licence=TORCHVISION,
            placing=TORCHVISIONS_FILE + "--encoder or --teacher",
            loader=LOAD_TEACHER,
            sha256_starts=("dcbb9e9d",),
        ),
        _describe_edge_network(
            "hed",
            "holistically-nested edge detection (Xie & Tu 2015)",
            "none stated with the weights; trained on BSDS500 (non-commercial research)",
            "HED's weights, by the authors' layer names (conv1_1.weight, score-dsn1.weight, ...) or as "
            "the PyTorch state dict (moduleVggOne.0.weight, ...),",
        ),
        _describe_edge_network(
            "pidinet",
            "pixel difference networks (Su et al. 2021)",
            "research only",
            "PiDiNet's state dict, converted to plain convolutions (init_block.weight, ...),",
        ),
        _describe_edge_network(
            "teed",
            "tiny and efficient edge detector (Soria et al. 2023)",
            "none stated",
            "TEED's state dict (block_1.conv1.weight, ...)",
        ),
        WeightFile(
            name="inception",
            what="FID's InceptionV3, ported from TensorFlow",
            used_by="eval images and eval compare: FID, KID",
            file_names=("weights-inception-2015-12-05-6726825d.pth",),
            folder=torch_hub_folder,
            licence="Apache 2.0 (TensorFlow models); trained on ImageNet",
            placing="copy torch-fidelity's file into that folder under its own name (pytorch-fid's "
            "pt_inception-2015-12-05-6726825d.pth is the same), or give any path as "
            "--features inception=FILE",
            loader=OPEN_FEATURES,
            loader_arguments=("inception",),
            sha256_starts=("6726825d",),
        ),
        WeightFile(
            name="alexnet",
            what="AlexNet (Krizhevsky 2014)",
            used_by="eval images: LPIPS (the default backbone)",
            file_names=("alexnet-owt-7be5be79.pth",),
            folder=torch_hub_folder,
            licence=TORCHVISION,
            placing=TORCHVISIONS_FILE + "--lpips alex=FILE",
            loader=OPEN_LPIPS,
            loader_arguments=("alex",),
            sha256_starts=("7be5be79",),
        ),
        WeightFile(
            name="squeezenet",
            what="SqueezeNet 1.1 (Iandola et al. 2016)",
            used_by="eval images --lpips squeeze, eval images and eval compare --features squeezenet",
            file_names=("squeezenet1_1-b8a52dc0.pth",),
            folder=torch_hub_folder,
            licence=TORCHVISION,
            placing=TORCHVISIONS_FILE + "--lpips squeeze=FILE or --features squeezenet=FILE",
            loader=OPEN_FEATURES,
            loader_arguments=("squeezenet",),
            sha256_starts=("b8a52dc0",),
        ),
        WeightFile(
            name="mobilenet_v2",
            what="MobileNetV2 (Sandler et al. 2018)",
            used_by="eval images and eval compare --features mobilenet_v2",
            file_names=("mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth"),
            folder=torch_hub_folder,
            licence=TORCHVISION,
            placing=TORCHVISIONS_FILE + "--features mobilenet_v2=FILE",
            loader=OPEN_FEATURES,
            loader_arguments=("mobilenet_v2",),
            sha256_starts=("b0353104", "7ebf99e0"),
        ),
        WeightFile(
            name="efficientnet-lite0",
            what="EfficientNet-Lite0 (Tan & Le 2019)",
            used_by="eval images and eval compare --features efficientnet-lite0, style2paints-train --hint",
            file_names=("efficientnet-lite0.safetensors", "efficientnet-lite0-57934424.pth"),
            folder=cache_folder,
            licence="Apache 2.0; trained on ImageNet",
            placing="`sketchforge weights install efficientnet-lite0`, or copy its state dict into that folder, "
            "or give any path as --features efficientnet-lite0=FILE",
            loader=OPEN_FEATURES,
            loader_arguments=("efficientnet-lite0",),
        ),
    )
}


def find_weights(name: str, given: Path | None, option: str, asked_by: str = "") -> Path:
    """Return the weights file of `name`: `given`, else the one in the catalogue's folder.

    Nothing is downloaded.

    option: the option that names a file, with FILE for its path: "--edge-weights FILE", "--lpips alex=FILE".
    asked_by: the option that needs these weights and no others, such as "--method hed". Where the file is
    absent, the error begins with it and says how to get the file.

    Raises UsageError where `given` does not exist, AbsentError where the folder holds no file of `name`,
    SketchforgeError where it holds two.
    """
    if given is not None:
        if not given.is_file():
            expected = f"; expected weights of {name}" if option.endswith("=FILE") else ""
            raise UsageError(f"{option.removesuffix('FILE')}{given}: no such file{expected}")
        return given
    entry = KNOWN[name]
    path = entry.found()
    if path is None and asked_by:
        raise AbsentError(
            f"{asked_by}: no weights of {name}: looked for {entry.looked_for()}; {entry.placing} "
            "(`sketchforge weights list` says more)"
        )
    if path is None:
        raise AbsentError(
            f"no weights of {name}: looked for {entry.looked_for()}; place them there or name a file, "
            f"{option}; `sketchforge weights list` says more"
        )
    return path


def is_published(name: str, path: Path) -> bool:
    """Whether the file has the digest that the publisher of `name` names."""
    return KNOWN[name].is_published(path)

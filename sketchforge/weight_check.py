"""Whether a weights file can really be used: it is loaded as the command that wants it would load it."""

from __future__ import annotations

from pathlib import Path

from sketchforge.checkpoints.catalog import WeightFile
from sketchforge.errors import SketchforgeError
from sketchforge.utils.files import sha256_of


def check_weights(file: WeightFile, path: Path) -> None:
    """Load `path` as `file` says. Raises SketchforgeError, one line, where it is not sound."""
    if file.sha256_start:
        digest = sha256_of(path)
        if not digest.startswith(file.sha256_start):
            raise SketchforgeError(
                f"{path}: its sha256 begins with {digest[:8]}, expected {file.sha256_start} as in its name; "
                "remove it and copy it anew"
            )
    if file.name == "builtin":
        from sketchforge.checkpoints.encoder import read_encoder

        read_encoder(path)
    elif file.name == "tom":
        import torch

        from sketchforge.checkpoints.tom import read_run
        from sketchforge.sketchers.tom import TomSketcher

        record = read_run(path.parent)
        TomSketcher.from_run(path.parent, len((record or {}).get("snapshots") or [None]), torch.device("cpu"))
    elif file.name in ("vgg16", "vgg19"):
        from sketchforge.checkpoints.encoder import load_teacher

        load_teacher(str(path))
    elif file.name in ("inception", "squeezenet"):
        import torch

        from sketchforge.metrics.images.feature_networks import open_features

        open_features(file.name, path, torch.device("cpu"))
    elif file.name == "alexnet":
        import torch

        from sketchforge.metrics.images.lpips import open_lpips

        open_lpips("alex", path, torch.device("cpu"))
    else:
        from sketchforge.checkpoints.edge_networks import load_edge_network

        load_edge_network(file.name, path)

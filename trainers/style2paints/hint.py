"""The frozen network of the style hint, with its weights."""

from __future__ import annotations

from sketchforge.checkpoints.catalog import find_weights
from sketchforge.checkpoints.encoder import calibration_images, load_encoder
from sketchforge.checkpoints.state_dicts import read_state
from sketchforge.errors import SketchforgeError
from sketchforge.metrics.images.feature_networks import features_state
from sketchforge.models.style_hint import LITE0, VGG19, StyleHint

VGG19_WEIGHTS = "torchvision's VGG19 (.pth or .safetensors)"


def open_hint(network: str, size: int | None) -> StyleHint:
    """The style hint by a network of `models.style_hint`; pooled features are calibrated on the built-in photos.

    Raises AbsentError where the network's weights are not installed, SketchforgeError where they are damaged.
    """
    hint = StyleHint(network, size)
    if network == VGG19:
        path = find_weights(VGG19, None, "", asked_by=f"--hint {VGG19}")
        state, _ = read_state(path, VGG19_WEIGHTS)
        try:
            hint.network.load_torchvision_state(state)  # type: ignore[operator]  # of Vgg19Fc1
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise SketchforgeError(f"{path}: not {VGG19_WEIGHTS}, classifier included ({reason})") from error
        return hint  # as published: normalised, and by nothing else
    if network == LITE0:
        path = find_weights(LITE0, None, "", asked_by=f"--hint {LITE0}")
        what = "EfficientNet-Lite0"
        state, _ = read_state(path, f"{what} weights")
        hint.network.load_state_dict(features_state(path, what, hint.network, state, prefix=""))
    else:
        hint.network.load_state_dict(load_encoder(network).state_dict())
    hint.calibrate(calibration_images())
    return hint

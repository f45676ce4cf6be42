"""Turn any collection of RGB images into sketch-image pairs, and train on them.

The way of the data, module by module:

1. find and read images     `sources`, `images`       folder, tars, list or built-in photos -> (key, uint8 H×W×3 RGB)
2. encoder features         `models.encoder`, `weights`, `features`   (B,3,H,W) in [-1, 1] -> frozen VGG taps; Gram, AdaIN
3. train TOM                `models.tom`, `losses`; trainers.tom.step      photos + drawings -> N generator snapshots (`tom_run`)
4. draw                     `sketchers`, `edge_weights`   (B,3,H,W) -> (B,N,1,H,W) in [0, 1], 1 = paper, 0 = ink
5. shard                    `render`, `shards`        images + N sketches -> tar shards + manifest
6. look, measure            `report`, `metrics`       shards -> contact sheet, web page, numbers
7. stream                   `shards.stream`, `shards.order`, `pairs`  shards -> image, sketch, variant, style view
8. auto-encoder             `models.autoencoder`, `self_supervision`; trainers.autoencoder.step   sketch + style image -> image
9. refiner                  `models.gan`, `noise`; trainers.gan.step     the auto-encoder's image -> an image with detail
10. use                     `synthesis`, `export`, `making`; `sketchforge.load`     drawings + style images -> images

Imports run cli -> trainers -> sketchforge, never back. This package needs no GPU, no network and no weights to be
imported; it never prints, exits, or touches global random state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sketchforge.synthesis.synthesizer import Synthesizer


def load(path: str | Path, device: str = "auto") -> Synthesizer:
    """Open a trained model: an exported file, or the run folder of `gan-train` or `ae-train`.

    See `sketchforge.synthesis.synthesizer.load_model` for what it raises, `Synthesizer` for what can be done with it.
    """
    from sketchforge.synthesis.synthesizer import load_model

    return load_model(path, device)

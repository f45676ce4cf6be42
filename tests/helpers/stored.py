"""Shard folders made by hand."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from sketchforge.storage.folder import folder_at
from tests.helpers.photos import scene


def png(pixels: np.ndarray, binary: bool = True) -> bytes:
    """A sketch as it is stored, from uint8 HxW."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert("1", dither=Image.Dither.NONE) if binary else image).save(buffer, "PNG")
    return buffer.getvalue()


def store(
    folder: Path, shards: list[list[dict]], styles: list[str], num_shards: int | None = None, **options
) -> Path:
    """A shard folder made by hand, without the writer and what it would refuse.

    A sample is a dict of `key`, `sketches` (PNG bytes) and perhaps `source`, `caption`, `size` and
    `original_size` (width, height). With more `num_shards` than there are shards the folder counts as unfinished.
    """
    from sketchforge.shards.card import write_card
    from sketchforge.shards.manifest import finished_manifest, new_manifest, write_manifest
    from sketchforge.shards.schema import VERSION

    folder.mkdir(parents=True)
    captioned = any("caption" in sample for samples in shards for sample in samples)
    for number, samples in enumerate(shards):
        lines = []
        with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
            for sample in samples:
                key, source = sample["key"], sample.get("source", f"{sample['key']}.jpg")
                width, height = sample.get("size", (8, 8))
                image = io.BytesIO()
                Image.fromarray(scene(len(key), height, width)).save(image, "JPEG")
                metadata = {
                    "source": source,
                    "width": width,
                    "height": height,
                    "styles": styles,
                    "hands": "[]",
                    "meta": "{}",
                }
                wide, high = sample.get("original_size", (width, height))
                metadata |= {"sha256": "", "method": "canny", "original_width": wide, "original_height": high}
                found = {"jpg": image.getvalue()}
                found |= {f"sketch{index}.png": data for index, data in enumerate(sample["sketches"])}
                if captioned:
                    found["txt"] = sample.get("caption", "").encode()
                found["json"] = json.dumps(metadata).encode()
                for ending, data in found.items():
                    info = tarfile.TarInfo(f"{key}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                line = {"key": key, "source": source, "status": "ok", "reason": None}
                lines.append(json.dumps(line) + "\n")
        (folder / f"{number:05d}.jsonl").write_text("".join(lines))
        stats = {
            "format": "sketchforge-shards-stats",
            "version": VERSION,
            "shard": f"{number:05d}",
            "fingerprint": "",
            "inputs": "",
            "outcomes": {"ok": len(samples)},
            "seconds": {},
            "tar": _described(folder / f"{number:05d}.tar"),
            "sidecar": _described(folder / f"{number:05d}.jsonl"),
        }
        (folder / f"{number:05d}.stats.json").write_text(json.dumps(stats))
    usual = {"method": "canny", "size": 8, "fit": "crop", "sketch_format": "png1", "threshold": 0.7}
    planned = num_shards or len(shards)
    manifest = new_manifest(usual | options, styles, {}, {"count": 0, "sha256": ""}, planned, [], captioned)
    if planned == len(shards):
        stats = [json.loads(path.read_text()) for path in sorted(folder.glob("*.stats.json"))]
        manifest = finished_manifest(manifest, stats)
        write_card(folder_at(folder), manifest)
    write_manifest(folder_at(folder), manifest)
    return folder


def _described(path: Path) -> dict:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

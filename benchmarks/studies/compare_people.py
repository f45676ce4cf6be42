"""People's drawings as a shard set: what the systems that are compared make of them."""

from __future__ import annotations

from pathlib import Path

from utility_data import read_drawing

from sketchforge.images.encode import encode_png
from sketchforge.shards import manifest as manifests
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.writer import Record, read_stats, write_shard
from sketchforge.storage.folder import folder_at

KINDS = {"portraits": ("person",), "paintings": ("dog", "horse", "person")}
SIDE = 256  # of the drawings, in pixels: that of the sets' sketches


def people_shards(name: str, shards: Path, data: Path, work: Path) -> Path:
    """People's drawings beside the images held out, in a folder of its own, made where it is not.

    An image has a drawing of its own kind, where the set has kinds (the folder that its key begins with), not of itself:
    only what is made of mismatched pairs can be measured. The style bears the name of the set's first snapshot, for
    that is who draws again what is made of a drawing (Skt-Rec).
    """
    folder = work / f"people-{name}"
    if (folder / "manifest.json").is_file():
        return folder
    held_out = open_shards(str(shards)).take_held_out("val")
    kinds, styles = KINDS[name], [held_out.styles[0]]
    drawings = {kind: sorted((data / "sketches/pacs" / kind).iterdir()) for kind in kinds}
    plan = dict(held_out.manifest) | {
        "styles": styles,
        "splits": [],
        "options": {name: value for name, value in held_out.options.items() if name != "split"},
        "captioned": False,
        "num_shards": 1,
        "complete": False,
        "shards": [],
        "outcomes": {},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with write_shard(folder_at(folder), 0, "", "") as writer:
        for raw in raw_samples(held_out, held_out.keys):
            kind = raw.key.split("__")[0] if len(kinds) > 1 else kinds[0]
            if not drawings[kind]:
                continue
            drawing = read_drawing(drawings[kind].pop(0), SIDE, normalise=True)
            sketch = encode_png(drawing, binary=False)
            metadata = raw.metadata | {"styles": styles}
            writer.add(
                Record(raw.key, raw.key, len(raw.image), None, None, raw.image, [sketch], None, metadata)
            )
    manifests.write_manifest(
        folder_at(folder), manifests.finished_manifest(plan, [read_stats(folder_at(folder), 0)])
    )
    return folder

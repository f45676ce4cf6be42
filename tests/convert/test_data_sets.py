"""Hugging Face's `datasets` reads what `convert` writes: every row, decoded, by the folder alone."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from sketchforge.convert.convert import convert
from sketchforge.options import ConvertOptions
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.shard_set import open_shards
from tests.convert.conftest import HANDS
from tests.helpers.commands import run_python

pytest.importorskip("datasets", reason="needs datasets (the extra `test`)")

LOAD = """
import contextlib, hashlib, io, json, os, sys
import numpy
from datasets import load_dataset

def describe(image):
    return hashlib.sha256(numpy.asarray(image.convert("RGB")).tobytes()).hexdigest()[:16], list(image.size)

def rows_of(dataset):
    return [
        [row["key"], row["style"], row["text"], row["sketch"], describe(row["image"]), describe(row["conditioning_image"]),
         describe(row["mask"])]
        for row in dataset
    ]

base, *names = sys.argv[1:]
loaded, printed = {}, {}
for name in ("parquet", "imagefolder"):
    dataset = load_dataset(os.path.join(base, name))
    loaded[name] = {split: rows_of(rows) for split, rows in dataset.items()}
    streamed = load_dataset(os.path.join(base, name), split="validation", streaming=True)
    loaded[f"{name} streamed"] = {"validation": rows_of(streamed)}
files = load_dataset("parquet", data_files={"train": f"{base}/parquet/data/train-*"}, split="train")
loaded["parquet files"] = {"train": rows_of(files)}
label = files.features["label"]
for name in names:
    os.chdir(os.path.join(base, "cards", name))
    with contextlib.redirect_stdout(io.StringIO()) as text:
        exec(compile(open("blocks.py").read(), name, "exec"), {})
    printed[name] = text.getvalue()
print(json.dumps({"loaded": loaded, "printed": printed, "label": [label.num_classes, label.names]}))
"""
TARGETS = ("parquet", "imagefolder", "pix2pix", "controlnet")


@pytest.fixture(scope="module")
def read(pair_shards, tmp_path_factory) -> dict:
    """What one process reads, for it takes seconds to import `datasets`."""
    base = tmp_path_factory.mktemp("sets")
    for to in TARGETS:
        convert(ConvertOptions(pair_shards, to, base / to))
        shutil.copytree(base / to, base / "cards" / to / "set")
        card = (base / to / "README.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE)
        # Torchvision, which one of them uses, takes long to import.
        text = "\n".join(block for block in blocks if "torchvision" not in block)
        (base / "cards" / to / "blocks.py").write_text(text, encoding="utf-8")
    offline = {"HF_HOME": str(base / "cache"), "HOME": str(base), "HF_HUB_OFFLINE": "1"}
    done = run_python(LOAD, base, *TARGETS, **offline)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected(pair_shards) -> dict[str, list]:
    """The rows of each split, by the shards."""

    def describe(data: bytes) -> list:
        image = Image.open(io.BytesIO(data))
        return [hashlib.sha256(np.asarray(image.convert("RGB")).tobytes()).hexdigest()[:16], list(image.size)]

    shards = open_shards(pair_shards)
    rows: dict[str, list] = {"train": [], "validation": []}
    for sample in raw_samples(shards, shards.keys):
        split = "train" if shards.keys[sample.key] in shards.splits["train"] else "validation"
        rows[split] += [
            [
                sample.key,
                style,
                sample.caption,
                number,
                *map(describe, (sample.image, sketch, sample.extras["mask.png"])),
            ]
            for number, (style, sketch) in enumerate(zip(HANDS, sample.sketches, strict=True))
        ]
    return rows


@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_every_pair_is_a_row_of_its_split(read, expected, name):
    assert read["loaded"][name] == expected


@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_a_stream_is_the_same(read, expected, name):
    assert read["loaded"][f"{name} streamed"]["validation"] == expected["validation"]


def test_parquet_files_say_themselves_what_their_columns_are(read, expected):
    assert read["loaded"]["parquet files"]["train"] == expected["train"]
    assert read["label"] == [2, ["Wild dög", "cat"]]


def test_the_cards_programs_run_as_they_stand(read, expected):
    train = expected["train"]
    count, caption = len(train), train[0][2]
    row = f"{count} (32, 32) (32, 32) careful {caption}\n"
    assert read["printed"]["parquet"] == row
    assert read["printed"]["imagefolder"] == row
    assert read["printed"]["pix2pix"] == f"{count} (32, 32) (32, 32)\n"
    assert read["printed"]["controlnet"] == f"{count} (32, 32) (32, 32) {caption}\n"

"""Others read our shards unchanged, and `verify` sees whatever happens to them."""

import dataclasses
import gc
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.contact_sheet import MARGIN, contact_sheet
from sketchforge.options import GalleryOptions, RenderOptions
from sketchforge.render.plan import plan_render
from sketchforge.render.render import render
from sketchforge.report.gallery.gallery import gallery
from sketchforge.shards.card import write_card
from sketchforge.shards.reader import path_samples, read_samples
from sketchforge.shards.shard_set import open_folder
from sketchforge.shards.verify import verify
from sketchforge.shards.writer import Record, write_shard
from sketchforge.storage.folder import folder_at
from sketchforge.utils import files
from tests.helpers.captions import without_caption
from tests.helpers.commands import environment
from tests.helpers.folders import contents
from tests.helpers.photos import make_photos
from tests.helpers.recorded_progress import RecordedProgress


@pytest.fixture(scope="module")
def options(photos, tmp_path_factory) -> RenderOptions:
    folder = tmp_path_factory.mktemp("shards") / "out"
    options = RenderOptions(
        shards=folder, images=photos, method="canny", size=48, samples_per_shard=4, workers=1
    )
    render(options)
    return options


@pytest.fixture
def shards(options, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return shutil.copytree(options.shards, tmp_path / "out")


def keys_of(options: RenderOptions) -> list[str]:
    return [image.key for image in plan_render(options).images]


def test_webdataset_reads_them(options):
    import webdataset

    urls = [str(path) for path in sorted(options.shards.glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == keys_of(options)
    for sample in samples:
        assert sample["jpg"].shape == (48, 48, 3)
        assert sample["sketch0.png"].shape[:2] == (48, 48)
        assert set(np.unique(sample["sketch0.png"])) <= {0, 255}
        assert sample["json"]["method"] == "canny"


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs the tar program")
def test_tar_reads_them(options):
    listed = []
    for path in sorted(options.shards.glob("*.tar")):
        done = subprocess.run(
            ["tar", "tf", path], capture_output=True, text=True, check=True, env=environment()
        )
        assert done.stderr == ""
        listed += done.stdout.split()
    assert listed == [f"{key}{end}" for key in keys_of(options) for end in (".jpg", ".sketch0.png", ".json")]


def test_intact_shards_have_no_problems(options):
    progress = RecordedProgress()
    report = verify(options.shards, progress)
    assert report.problems == []
    assert (report.num_shards, report.num_samples, report.num_sketches, report.num_failed) == (3, 10, 10, 0)
    assert (progress.begun, len(progress.figures), progress.open) == ([("sample", 10, 0)], 10, 0)


def retell(shards: Path, number: int) -> None:
    """Make the manifest agree with a tar that was changed: only its contents can give it away."""
    tar = shards / f"{number:05d}.tar"
    manifest = json.loads((shards / "manifest.json").read_text())
    manifest["shards"][number] |= {"bytes": tar.stat().st_size, "sha256": files.sha256_of(tar)}
    files.write_bytes(shards / "manifest.json", files.checksummed_json(manifest))
    write_card(folder_at(shards), manifest)


def rewrite(shards: Path, number: int, change) -> None:
    """Pass every (name, data) of a tar through `change`, which returns what to put in its place."""
    path = shards / f"{number:05d}.tar"
    with tarfile.open(path) as tar:
        found = [(info.name, tar.extractfile(info).read()) for info in tar]
    with tarfile.open(path, "w") as tar:
        for member in found:
            for name, data in change(*member):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    retell(shards, number)


def png(width: int, height: int, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def flip_byte(shards):
    data = bytearray((shards / "00001.tar").read_bytes())
    data[len(data) // 3] ^= 1
    (shards / "00001.tar").write_bytes(data)


def lose_sketch(shards):
    rewrite(shards, 1, lambda name, data: [] if name == "p004.sketch0.png" else [(name, data)])


def duplicate(shards):
    rewrite(shards, 2, lambda name, data: [(name.replace("p009", "p000"), data)])


def replacing(end, replacement):
    def change(shards):
        rewrite(
            shards, 0, lambda name, data: [(name, replacement(data) if name == f"more__p003{end}" else data)]
        )

    return change


CORRUPTIONS = {
    "flipped byte": (flip_byte, ["00001.tar: altered"]),
    "truncated tar": (
        lambda s: os.truncate(s / "00001.tar", 5000),
        ["00001.tar: truncated, 5000 bytes", "cannot be read"],
    ),
    "emptied tar": (lambda s: os.truncate(s / "00001.tar", 0), ["00001.tar: truncated, 0 bytes"]),
    "deleted tar": (lambda s: (s / "00001.tar").unlink(), ["00001.tar: missing"]),
    "deleted sidecar": (lambda s: (s / "00002.jsonl").unlink(), ["00002.jsonl: missing"]),
    "altered sidecar": (
        lambda s: (s / "00002.jsonl").write_text("x"),
        ["00002.jsonl: truncated", "00002.jsonl: cannot be read"],
    ),
    "deleted stats": (lambda s: (s / "00002.stats.json").unlink(), ["00002.stats.json: missing"]),
    "foreign tar": (lambda s: shutil.copy(s / "00000.tar", s / "00009.tar"), ["00009.tar: foreign"]),
    "swapped tars": (
        lambda s: (
            os.rename(s / "00000.tar", s / "x"),
            os.rename(s / "00001.tar", s / "00000.tar"),
            os.rename(s / "x", s / "00001.tar"),
        ),
        ["00000.tar", "00001.tar", "00000.jsonl: disagrees"],
    ),
    "missing sketch": (lose_sketch, ["00001.tar: p004.sketch0.png: missing"]),
    "duplicate key": (duplicate, ["00002.tar: p000: in 00000.tar already", "00002.jsonl: disagrees"]),
    "sketch of another size": (
        replacing(".sketch0.png", lambda data: png(47, 48)),
        ["more__p003.sketch0.png: 47 x 48 pixels"],
    ),
    "sketch in colour": (
        replacing(".sketch0.png", lambda data: png(48, 48, "RGB")),
        ["more__p003.sketch0.png: more than one"],
    ),
    "damaged image": (replacing(".jpg", lambda data: data[:-300]), ["more__p003.jpg: truncated"]),
    "object for a text in a description": (
        replacing(".json", lambda data: data.replace(b'"meta":"{}"', b'"meta":{}')),
        ["more__p003.json: cannot be read (expected source, "],
    ),
    "text that is no object in a description": (
        replacing(".json", lambda data: data.replace(b'"meta":"{}"', b'"meta":"[1]"')),
        ["more__p003.json: cannot be read (meta: "],
    ),
    "further entry in a description": (
        replacing(".json", lambda data: data.replace(b'"meta"', b'"more":1,"meta"')),
        ["more__p003.json: cannot be read (expected source, "],
    ),
    "caption where there are none": (
        lambda s: rewrite(
            s,
            0,
            lambda name, data: [("p000.txt", b"x"), (name, data)] if name == "p000.json" else [(name, data)],
        ),
        ["00000.tar: p000.txt: unexpected"],
    ),
    "damaged description": (replacing(".json", lambda data: b"{"), ["more__p003.json: cannot be read"]),
    "unexpected member": (
        lambda s: rewrite(
            s,
            0,
            lambda name, data: [(name, data), ("p000.npy", b"")] if name == "p000.json" else [(name, data)],
        ),
        ["00000.tar: p000.npy: unexpected"],
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_verify_finds(shards, name):
    spoil, told = CORRUPTIONS[name]
    spoil(shards)
    problems = verify(shards).problems
    for text in told:
        assert any(text in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)
    # Nothing else is accused: every line names a file that was spoilt, or its partner.
    numbers = {text[:5] for text in told if text[0] == "0"} or {"00000"}
    assert all(problem[:5] in numbers for problem in problems), problems


def test_every_sample_of_a_captioned_folder_needs_a_text(shards):
    manifest = json.loads((shards / "manifest.json").read_text()) | {"captioned": True}
    files.write_bytes(shards / "manifest.json", files.checksummed_json(manifest))
    write_card(folder_at(shards), manifest)
    problems = verify(shards).problems
    assert "00000.tar: p000.txt: missing" in problems
    assert len(problems) == 10, "one for each sample"


def test_verify_tells_an_unfinished_run(options, tmp_path):
    stopped = dataclasses.replace(
        options, shards=tmp_path / "out", max_failures=0, images=make_photos(tmp_path / "in", 6)
    )
    (tmp_path / "in" / "z.jpg").touch()
    with pytest.raises(SketchforgeError):
        render(dataclasses.replace(stopped, samples_per_shard=3))
    (problem,) = verify(tmp_path / "out").problems
    assert "unfinished, 2 of 3 shards" in problem


def test_folders_without_a_manifest_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        verify(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no manifest.json"):
        verify(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "streaming"}')
    with pytest.raises(SketchforgeError, match="found format 'streaming', expected 'sketchforge-shards'"):
        verify(tmp_path)


def test_sheet_lays_images_out_in_equal_cells():
    rng = np.random.default_rng(0)
    colour, grey = rng.integers(0, 256, (32, 32, 3), np.uint8), rng.integers(0, 256, (32, 32), np.uint8)
    sheet = contact_sheet([[colour, grey], [None, colour]], ["a", "b"])
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 2 * 32 + 3 * MARGIN
    top = sheet.shape[0] - 2 * (32 + MARGIN)
    assert (sheet[top : top + 32, MARGIN : MARGIN + 32] == colour).all()
    assert (sheet[top : top + 32, 2 * MARGIN + 32 : -MARGIN] == grey[..., None]).all()
    assert (sheet[top + 32 + MARGIN : -MARGIN, 2 * MARGIN + 32 : -MARGIN] == colour).all()
    assert np.ptp(sheet[top + 32 :, : MARGIN + 32]) == 0  # the gap


def test_labels_are_written_over_their_own_column_and_stay_there():
    cells = [np.zeros((128, 128), np.uint8)] * 2
    bare = contact_sheet([cells], ["", ""])
    for column, labels in enumerate(
        (["photo", ""], ["", "a label that is far too long for one column of a sheet"])
    ):
        changed = np.nonzero((contact_sheet([cells], labels) != bare).any((0, 2)))[0]
        left = MARGIN + column * (128 + MARGIN)
        assert len(changed)
        assert left - 1 <= changed.min()
        assert changed.max() <= left + 128


def test_sheet_refuses_rows_that_do_not_fit_their_labels():
    with pytest.raises(ValueError, match="1"):
        contact_sheet([[np.zeros((8, 8), np.uint8)]], ["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], ["a"])


def test_gallery_shows_samples_from_end_to_end(options, tmp_path):
    (written,) = gallery(GalleryOptions(options.shards, tmp_path / "new" / "sheet.png", rows=3))
    sheet = without_caption(written)
    assert sheet.shape[1] > 2 * 48 + 3 * MARGIN  # keys at the left
    assert 0 < sheet.shape[0] - 3 * (48 + MARGIN) < 48  # three rows and the labels
    with Image.open(written) as image:
        told = image.text["Description"]
    assert "3 of 10 images shown, spread evenly from the first to the last; canny" in told
    assert told.endswith("sketches as in the shards, pixel for pixel")
    sketch = read_samples(open_folder(options.shards), [*open_folder(options.shards).keys][-1:])
    (last,) = sketch.values()
    assert np.array_equal(sheet[-48 - MARGIN : -MARGIN, -48 - MARGIN : -MARGIN, 0], last.sketches[0])
    assert [path.name for path in written.parent.iterdir()] == ["sheet.png"]


def test_gallery_compares_the_same_images(options, tmp_path):
    other = dataclasses.replace(options, shards=tmp_path / "other", canny_blur=1.0, samples_per_shard=7)
    render(other)
    alone = GalleryOptions(options.shards, tmp_path / "a.png", rows=2)
    both = dataclasses.replace(alone, png=tmp_path / "b.png", compare=other.shards)
    sheets = [without_caption(*gallery(each)) for each in (alone, both)]
    width = sheets[0].shape[1]
    below = slice(20, None)
    assert sheets[1].shape[1] == width + 48 + MARGIN
    assert (sheets[1][below, :width] == sheets[0][below]).all()
    assert (sheets[1][below, width:] != sheets[0][below, -48 - 2 * MARGIN : -MARGIN]).any()


def test_gallery_without_common_samples_is_a_usage_error(options, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (48, 48)).save(tmp_path / "in" / "other.png")
    other = dataclasses.replace(options, shards=tmp_path / "other", images=tmp_path / "in")
    render(other)
    with pytest.raises(UsageError, match="no samples in common"):
        gallery(GalleryOptions(options.shards, tmp_path / "a.png", compare=other.shards))


def test_gallery_of_damaged_shards_points_to_verify(shards, tmp_path):
    os.truncate(shards / "00000.tar", 700)
    with pytest.raises(SketchforgeError, match="00000.tar: cannot be read .* see `sketchforge verify"):
        gallery(GalleryOptions(shards, tmp_path / "a.png"))
    assert "a.png" not in contents(tmp_path)


def test_headers_of_tars_are_not_kept(tmp_path, request):
    """tarfile would remember every member: memory that grows with --samples-per-shard."""
    gc.collect()
    gc.freeze()  # what is there already, which takes long to look through, counts no more
    request.addfinalizer(gc.unfreeze)

    def headers() -> int:
        gc.collect()
        return sum(type(thing) is tarfile.TarInfo for thing in gc.get_objects())

    with write_shard(folder_at(tmp_path), 0, "", "") as writer:
        for number in range(20):
            writer.add(Record(f"k{number}", "k.jpg", 1, image=b"jpeg", sketches=[b"png"] * 3))
            assert headers() <= 1
    keys = []
    for key, members in path_samples(tmp_path / "00000.tar", 1 << 20):
        keys.append((key, len(members)))
        assert headers() <= 3
    assert keys == [(f"k{number}", 5) for number in range(20)]

"""The same inputs and options give the same bytes, however often and by however many workers."""

import json
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import read_image
from sketchforge.images.resize import fit_square
from sketchforge.options import RenderOptions
from sketchforge.render import draw_shards, pipeline
from sketchforge.render import job as render_job
from sketchforge.render.plan import default_samples_per_shard, plan_render, plan_shards
from sketchforge.render.render import preview, render
from sketchforge.sketchers.base import Drawing
from sketchforge.sketchers.canny import CannySketcher
from sketchforge.sketchers.factory import ReadySketcher
from sketchforge.sketchers.tensors import draw_on
from sketchforge.utils import files
from tests.helpers.folders import contents, members, render_again
from tests.helpers.photos import make_photos, scene


def test_twice_gives_the_same_bytes(rendered, tmp_path):
    assert render_again(rendered, tmp_path / "out") == contents(rendered.shards)


def test_workers_do_not_change_the_bytes(rendered, tmp_path):
    assert render_again(rendered, tmp_path / "out", workers=3) == contents(rendered.shards)


def test_canny_does_not_depend_on_batches(rendered, tmp_path):
    assert render_again(rendered, tmp_path / "out", batch_size=1) == contents(rendered.shards)


def test_folder_holds_three_files_a_shard_a_manifest_and_a_card(rendered):
    names = [f"{number:05d}{end}" for number in range(3) for end in (".jsonl", ".stats.json", ".tar")]
    assert list(contents(rendered.shards)) == sorted([*names, "manifest.json", "README.md"])


@pytest.mark.parametrize(
    ("per_shard", "sizes"), [(1, [1] * 10), (5, [5, 5]), (9, [9, 1]), (10, [10]), (99, [10])]
)
def test_shards_are_filled_in_input_order(rendered, tmp_path, per_shard, sizes):
    render_again(rendered, tmp_path / "out", samples_per_shard=per_shard)
    keys = [
        list(dict.fromkeys(name.split(".")[0] for name in members(tmp_path / "out", n)))
        for n in range(len(sizes))
    ]
    assert [len(shard) for shard in keys] == sizes
    assert sum(keys, []) == [image.key for image in plan_render(rendered).images]


def test_a_sample_holds_the_image_the_sketch_and_its_description(rendered, photos):
    found = members(rendered.shards)
    image = plan_render(rendered).images[1]
    pixels = fit_square(read_image(photos / image.source), rendered.size, rendered.fit)
    stored = read_image(found[f"{image.key}.jpg"])
    assert np.abs(stored.astype(int) - pixels).mean() < 4
    sketch = cv2.imdecode(np.frombuffer(found[f"{image.key}.sketch0.png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert (sketch == np.where(CannySketcher().edges(pixels), 0, 255)).all()
    metadata = json.loads(found[f"{image.key}.json"])
    assert metadata["source"] == image.source
    assert metadata["method"] == "canny"
    assert metadata["styles"] == ["canny"]
    assert metadata["sha256"] == files.sha256_of(photos / image.source)
    assert (metadata["width"], metadata["height"]) == (48, 48)
    original = read_image(photos / image.source).shape
    assert (metadata["original_height"], metadata["original_width"]) == original[:2]
    assert metadata["meta"] == "{}"


def test_tar_members_are_free_of_time_and_owner(rendered):
    with tarfile.open(rendered.shards / "00000.tar") as tar:
        for info in tar:
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (
                0,
                0,
                0,
                "",
                "",
                0o644,
            )
            assert not info.pax_headers


def test_manifest_and_stats_describe_the_files(rendered):
    manifest = json.loads((rendered.shards / "manifest.json").read_text())
    assert manifest["format"] == "sketchforge-shards"
    assert manifest["version"] == 5
    assert manifest["complete"]
    assert manifest["outcomes"] == {"ok": 10}
    assert manifest["inputs"]["count"] == 10
    for entry in manifest["shards"]:
        assert entry["sha256"] == files.sha256_of(rendered.shards / entry["name"])
        stats = json.loads((rendered.shards / entry["name"].replace(".tar", ".stats.json")).read_text())
        assert stats["tar"] == {"bytes": entry["bytes"], "sha256": entry["sha256"]}


def test_untouched_jpegs_are_stored_as_they_are(rendered, photos, tmp_path):
    render_again(rendered, tmp_path / "out", fit="keep", samples_per_shard=99)
    found = members(tmp_path / "out")
    for image in plan_render(rendered).images:
        same = found[f"{image.key}.jpg"] == (photos / image.source).read_bytes()
        assert same == image.source.endswith(".jpg")


def test_what_we_encode_keeps_colour_at_full_resolution(rendered):
    for name, data in members(rendered.shards).items():
        if name.endswith(".jpg"):
            (tmp := rendered.shards.parent / "x.jpg").write_bytes(data)
            with Image.open(tmp) as image:
                assert [part[1:3] for part in image.layer] == [(1, 1)] * 3


def test_keep_draws_every_image_at_its_own_size(rendered, photos, tmp_path):
    render_again(rendered, tmp_path / "out", fit="keep", samples_per_shard=99)
    found = members(tmp_path / "out")
    for image in plan_render(rendered).images:
        shape = read_image(photos / image.source).shape[:2]
        assert read_image(found[f"{image.key}.sketch0.png"]).shape[:2] == shape


def test_grey_sketches_have_eight_bits_and_bilevel_ones_one(rendered, tmp_path):
    render_again(rendered, tmp_path / "out", sketch_format="png")
    for folder, depth in ((rendered.shards, 1), (tmp_path / "out", 8)):
        for name, data in members(folder).items():
            if name.endswith(".png"):
                # IHDR: bit depth; colour type grey
                assert data[24] == depth
                assert data[25] == 0


class Shades:
    """Draws two sketches of known tones, to see what becomes of them."""

    method, styles, digests = "tom", ("light", "dark"), {"generator": "0" * 64}
    batches: list[tuple[int, ...]] = []

    def draw(self, pixels):
        self.batches.append(pixels.shape)
        tones = np.array([204, 153], np.uint8)[:, None, None]
        drawn = np.broadcast_to(tones, (len(pixels), 2, *pixels.shape[1:3])).copy()
        return Drawing(lambda: drawn)


@pytest.fixture
def shades(monkeypatch):
    Shades.batches = []
    monkeypatch.setattr(render_job, "open_sketcher", lambda options: ReadySketcher(Shades(), "cpu", {}))


@pytest.mark.parametrize(("form", "tones"), [("png1", (255, 0)), ("png", (204, 153))])
def test_threshold_parts_ink_from_paper(rendered, tmp_path, shades, form, tones):
    thresholds = {"threshold": 0.7, "low_threshold": 0.65}
    render_again(
        rendered,
        tmp_path / "out",
        method="tom",
        hands="none",
        sketch_format=form,
        grey_levels=256 if form == "png" else 8,
        **thresholds,
    )
    found = members(tmp_path / "out")
    for name, data in found.items():
        for index, tone in enumerate(tones):
            if name.endswith(f"sketch{index}.png"):
                assert (read_image(data) == tone).all()


def test_batches_follow_the_plan_and_end_with_the_shard(rendered, tmp_path, shades):
    render_again(rendered, tmp_path / "out", method="tom")
    assert Shades.batches == [(n, 48, 48, 3) for n in (3, 1, 3, 1, 2)]


def test_failures_shift_no_batch(rendered, tmp_path, shades):
    make_photos(tmp_path / "in", 6)
    (tmp_path / "in" / "p001.jpg").write_bytes(b"")
    render_again(rendered, tmp_path / "out", images=tmp_path / "in", method="tom", samples_per_shard=6)
    assert [batch[0] for batch in Shades.batches] == [2, 3]


def test_kept_sizes_are_drawn_together_only_where_equal(rendered, tmp_path, shades):
    (tmp_path / "in").mkdir()
    for name, height in (("a", 20), ("b", 20), ("c", 30), ("d", 20), ("e", 20)):
        Image.fromarray(scene(1, height, 24)).save(tmp_path / "in" / f"{name}.png")
    render_again(
        rendered,
        tmp_path / "out",
        images=tmp_path / "in",
        method="tom",
        fit="keep",
        batch_size=5,
        samples_per_shard=9,
    )
    assert Shades.batches == [(4, 20, 24, 3), (1, 30, 24, 3)]


def test_a_sketcher_gone_mad_is_an_error(rendered, tmp_path, shades, monkeypatch):
    def nothing(images):
        return torch.full((len(images), 2, 1, 48, 48), torch.nan)

    monkeypatch.setattr(
        Shades, "draw", lambda self, pixels: draw_on(torch.device("cpu"), nothing, pixels, "tom")
    )
    with pytest.raises(SketchforgeError, match="not numbers"):
        render_again(rendered, tmp_path / "out", method="tom")
    assert list(contents(tmp_path / "out")) == ["manifest.json"]


@pytest.mark.parametrize(
    ("method", "device", "workers", "expected"),
    [
        ("canny", "cpu", 0, 6),
        ("tom", "cpu", 0, 3),
        ("tom", "cuda:0", 0, 6),
        ("tom", "cpu", 5, 5),
        ("tom", "cpu", 12, 10),
    ],
)
def test_networks_on_the_cpu_share_its_cores_with_the_workers(
    photos, tmp_path, monkeypatch, worker_processes, method, device, workers, expected
):
    monkeypatch.setattr(render_job, "default_threads", lambda: 6)
    job = preview(RenderOptions(tmp_path / "out", photos, method="canny", workers=workers))
    plan = replace(job.plan, options=replace(job.options, method=method))
    assert replace(job, plan=plan, ready=replace(job.ready, device=device)).num_workers == expected


def test_what_is_done_between_two_images_is_not_time_of_drawing(monkeypatch):
    """Or drawing would be called the slowest stage whatever is."""
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: float(next(ticks)))
    drawing = Drawing(lambda: np.zeros((3, 1, 8, 8), np.uint8))
    monkeypatch.setattr(pipeline, "_start_record", lambda image, prepared: SimpleNamespace())
    monkeypatch.setattr(pipeline, "replace", lambda record, **values: values["seconds"]["draw"])
    monkeypatch.setattr(pipeline, "_build_metadata", lambda *_: {})
    monkeypatch.setattr(pipeline, "_build_extras", lambda *_: {})
    pool, prepared = (
        SimpleNamespace(submit=lambda *_: None),
        SimpleNamespace(
            jpeg=b"",
            caption=None,
            seconds=0.0,
            stored_size=(8, 8),
            foreground=None,
            pixels=np.zeros((8, 8, 3), np.uint8),
            picture_size=(8, 8),
        ),
    )
    images = [(0, SimpleNamespace(key="a"), prepared)] * 3
    spent = []
    for _, seconds, _ in pipeline.dispatch_encode(
        (images, drawing, 6.0),
        SimpleNamespace(options=RenderOptions("out"), hands=None),
        pool,
    ):
        spent.append(seconds)
        [next(ticks) for _ in range(100)]
    assert spent == [3.0, 3.0, 3.0]  # a third of the beginning, and one tick


@pytest.mark.parametrize(
    ("num_images", "per_shard", "num_shards"),
    [
        (1, 1, 1),
        (15, 1, 15),
        (20, 1, 20),
        (31, 1, 31),
        (32, 2, 16),
        (435, 27, 17),
        (16_000, 1000, 16),
        (10**6, 1000, 1000),
    ],
)
def test_small_sets_have_sixteen_shards_and_large_ones_a_thousand_images_in_each(
    num_images, per_shard, num_shards
):
    assert default_samples_per_shard(num_images) == per_shard
    assert len(plan_shards(range(num_images), per_shard)) == num_shards


def test_the_manifest_keeps_the_number_that_is_used(rendered, tmp_path):
    render_again(rendered, tmp_path / "a", samples_per_shard=None)
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["options"]["samples_per_shard"] == 1
    assert contents(tmp_path / "a") == render_again(rendered, tmp_path / "b", samples_per_shard=1)


def test_blank_images_are_counted(tmp_path):
    (tmp_path / "in").mkdir()
    for name, image in (("a", np.full((40, 40, 3), 200, np.uint8)), ("b", scene(1, 40, 40))):
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")
    for form in ("png", "png1"):
        options = RenderOptions(
            tmp_path / form, tmp_path / "in", method="canny", size=40, sketch_format=form, workers=1
        )
        assert render(options).num_blank == 1


@pytest.mark.parametrize(
    ("num_sketches", "seconds", "figures"),
    [
        (0, 0.0, {}),
        (500, 0.9, {}),
        (500, 2.0, {"rate": "250 sketches/s"}),
        (1, 4.0, {"rate": "0.2 sketches/s"}),
    ],
)
def test_a_rate_is_shown_once_it_means_something(num_sketches, seconds, figures):
    assert draw_shards._describe_rate(num_sketches, seconds) == figures

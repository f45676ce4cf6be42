"""TOM as a sketcher, and render drawing with it."""

import json
import shutil
import weakref
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch

from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.checkpoints.tom import builtin_run, read_snapshot, snapshot_path, write_snapshot
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.builtin.photos import load_photos
from sketchforge.images.encode import encode_png
from sketchforge.images.tensors import to_tensor, to_uint8
from sketchforge.options import RenderOptions, TomTrainOptions
from sketchforge.render.render import render
from sketchforge.shards.verify import verify
from sketchforge.sketchers.tom import TomSketcher
from tests.helpers.folders import contents
from tests.helpers.photos import make_photos
from trainers.tom.run import train_tom

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Four snapshots in a few steps, on three drawings: to draw all that are built in takes longer than the steps."""
    folder = tmp_path_factory.mktemp("tom")
    (folder / "drawings").mkdir()
    for pen in ("quill", "brush", "cartoon"):
        image = encode_png(draw("woman", pen, 64), binary=False)
        (folder / "drawings" / f"{pen}.png").write_bytes(image)
    return TomTrainOptions(
        run=folder / "run", images=make_photos(folder / "photos", 4), drawings=folder / "drawings", size=32, steps=6,
        batch_size=2, snapshots=4, threads=1, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(training):
    train_tom(training)
    return training.run


@pytest.fixture
def own_run(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


@pytest.fixture(scope="module")
def images():
    return torch.cat([to_tensor(image[::2, ::2].copy()) for _, image in load_photos()[:6]])


def test_sketches_have_the_images_shape_and_a_style_for_each_snapshot(run, images):
    sketcher = TomSketcher.from_run(run, 4, CPU)
    sketches = sketcher.sketches(images)
    assert sketches.shape == (6, 4, 1, 128, 128)
    assert sketches.min() >= 0
    assert sketches.max() <= 1
    assert len(set(sketcher.styles)) == 4
    assert all(not torch.equal(sketches[:, 0], sketches[:, n]) for n in range(1, 4))


def test_the_encoder_looks_once_at_an_image_whatever_the_number_of_generators(run, images, monkeypatch):
    for count in (1, 4):
        sketcher = TomSketcher.from_run(run, count, CPU)
        calls = []
        sketcher.encoder.register_forward_hook(lambda *_: calls.append(1))
        sketcher.draw(to_uint8(images)).result()
        assert len(calls) == len(images)


def test_batch_size_does_not_matter(run, images):
    """On a CPU images are drawn one by one."""
    sketcher = TomSketcher.from_run(run, 4, CPU)
    together = sketcher.draw(to_uint8(images)).result()
    alone = [sketcher.draw(image[None]).result()[0] for image in to_uint8(images)]
    assert np.array_equal(together, alone)


def test_fewer_snapshots_are_the_first_of_more(run, images):
    few, all_of_them = TomSketcher.from_run(run, 2, CPU), TomSketcher.from_run(run, 4, CPU)
    assert few.styles == all_of_them.styles[:2]
    pixels = to_uint8(images)
    assert np.array_equal(few.draw(pixels).result(), all_of_them.draw(pixels).result()[:, :2])


@pytest.mark.parametrize("height, width", [(64, 64), (65, 127), (33, 90)])
def test_images_of_any_size_give_sketches_of_their_size(run, height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    assert TomSketcher.from_run(run, 2, CPU).draw(pixels).result().shape == (1, 2, height, width)


def test_sketches_are_those_of_the_generators(run, images):
    """As they were trained, all images at once."""
    sketcher = TomSketcher.from_run(run, 4, CPU)
    with torch.inference_mode():
        features = sketcher.generators[0].prepare(sketcher.encoder(images, sketcher.taps))
        expected = torch.stack([generator(features) for generator in sketcher.generators], dim=1)
    assert torch.allclose(sketcher.sketches(images), (expected + 1) / 2, atol=1e-5)


def test_more_checkpoints_than_the_run_has(run):
    with pytest.raises(UsageError, match="--checkpoints 5: .* has 4 snapshots"):
        TomSketcher.from_run(run, 5, CPU)


def test_no_run_says_what_to_do(tmp_path):
    with pytest.raises(SketchforgeError, match="run `sketchforge tom-train"):
        TomSketcher.from_run(tmp_path / "none", 1, CPU)


def test_unfinished_run_says_what_to_do(own_run):
    record = json.loads((own_run / "run.json").read_text())
    del record["snapshots"]
    (own_run / "run.json").write_text(json.dumps(record))
    with pytest.raises(SketchforgeError, match="has not finished"):
        TomSketcher.from_run(own_run, 1, CPU)


@pytest.mark.parametrize("name", ["encoder.safetensors", "snapshots/00.safetensors"])
def test_damaged_foreign_and_missing_files_are_named(own_run, name):
    path, other = own_run / name, own_run / "snapshots" / "01.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SketchforgeError, match=f"{path}: cannot be read"):
        TomSketcher.from_run(own_run, 1, CPU)
    path.write_bytes(other.read_bytes())
    with pytest.raises(SketchforgeError, match=str(path)):
        TomSketcher.from_run(own_run, 1, CPU)


def test_a_missing_snapshot_is_named(own_run):
    path = own_run / "snapshots" / "00.safetensors"
    path.unlink()
    with pytest.raises(SketchforgeError, match=f"{path}: no such file"):
        TomSketcher.from_run(own_run, 1, CPU)


def test_one_altered_weight_is_noticed(own_run):
    path = own_run / "snapshots" / "00.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(SketchforgeError, match="differs from what"):
        TomSketcher.from_run(own_run, 1, CPU)


def test_newer_run_is_refused(own_run):
    record = json.loads((own_run / "run.json").read_text()) | {"version": 3}
    (own_run / "run.json").write_text(json.dumps(record))
    with pytest.raises(SketchforgeError, match="version 3, but this sketchforge reads version 2"):
        TomSketcher.from_run(own_run, 1, CPU)


def test_render_with_tom_gives_the_same_bytes_for_any_number_of_workers_and_threads(run, photos, tmp_path):
    options = RenderOptions(
        tmp_path / "a", photos, tom=run, checkpoints=4, size=64, samples_per_shard=4, threads=1
    )
    render(replace(options, workers=1))
    render(replace(options, shards=tmp_path / "b", workers=2, threads=3, batch_size=3, device="cpu"))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert verify(tmp_path / "a").problems == []


def test_render_refuses_other_generators_in_the_same_folder(run, photos, own_run, tmp_path):
    """Even such as bear the same names: what tells them apart is the digest of their weights."""
    options = RenderOptions(tmp_path / "out", photos, tom=run, checkpoints=2, size=64, threads=1, workers=1)
    render(options)
    path = snapshot_path(own_run, 1)
    generator, metadata = read_snapshot(path)
    generator.to_sketch.bias.add_(0.25)
    write_snapshot(path, generator, metadata)
    record = json.loads((own_run / "run.json").read_text())
    record["snapshots"][1]["digest"] = tensors_digest(read_snapshot(path)[0].state_dict())
    (own_run / "run.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="--overwrite"):
        render(replace(options, tom=own_run))


def test_bfloat16_draws_nearly_the_same():
    photos = np.stack([image[::4, ::4] for _, image in load_photos()[:3]])
    full, half = (TomSketcher.from_run(builtin_run(), 2, CPU, precision).draw(photos).result()
                  for precision in (torch.float32, torch.bfloat16))  # fmt: skip
    assert full.dtype == half.dtype == np.uint8
    assert full.shape == (3, 2, 64, 64)
    differences = np.abs(full.astype(int) - half)
    assert 0 < differences.mean() < 2
    assert differences.max() < 80
    assert ((full > 165) != (half > 165)).mean() < 0.01


def test_precision_is_part_of_what_a_folder_was_drawn_with(run, photos, tmp_path):
    options = RenderOptions(
        tmp_path / "out", photos, tom=run, checkpoints=1, size=32, threads=1, workers=1, limit=1
    )
    render(options)
    with pytest.raises(UsageError, match="precision"):
        render(replace(options, precision="bfloat16"))
    with pytest.raises(UsageError, match="--precision float8: expected float32 or bfloat16"):
        render(replace(options, precision="float8"))
    assert render(replace(options, precision="auto")).num_kept == 1, "on a CPU that is float32"


def test_a_batch_is_begun_while_another_is_not_done(run, images):
    """And comes out as it does alone; what is cancelled is not drawn any more."""
    sketcher = TomSketcher.from_run(run, 4, CPU)
    pixels = to_uint8(images)
    expected = [sketcher.draw(pixels[at : at + 2]).result() for at in (0, 2, 4)]
    begun = [sketcher.draw(pixels[at : at + 2]) for at in (0, 2, 4)]
    for drawing, alone in reversed(list(zip(begun, expected, strict=True))):
        assert np.array_equal(drawing.result(), alone)
    looked = []
    sketcher.encoder.register_forward_hook(lambda *_: looked.append(1))
    given_up = [sketcher.draw(pixels) for _ in range(5)]
    for drawing in given_up:
        drawing.cancel()
    with pytest.raises(CancelledError):
        given_up[-1].result()
    for drawing in begun:  # the pool's threads have come to the end of what was left
        sketcher.draw(pixels[:1]).result()
    assert len(looked) < 5 * len(pixels)
    assert np.array_equal(sketcher.draw(pixels[:2]).result(), expected[0])


def test_whole_batches_as_on_a_gpu_draw_the_same(run, images):
    sketcher = TomSketcher.from_run(run, 3, CPU)
    one_by_one = sketcher.draw(to_uint8(images)).result()
    sketcher._pool = None
    together = sketcher.draw(to_uint8(images)).result()
    assert together.shape == one_by_one.shape
    assert np.abs(together.astype(int) - one_by_one).max() <= 1


def test_no_more_images_are_prepared_than_threads_wait_for(run, images, monkeypatch):
    """Their maps are what takes memory: it must not grow with the batch."""
    sketcher = TomSketcher.from_run(run, 2, CPU)
    alive, most = weakref.WeakSet(), []
    prepare = TomSketcher._prepare

    def prepared(self, image):
        found = Maps(prepare(self, image))
        alive.add(found)
        most.append(len(alive))
        return found

    monkeypatch.setattr(TomSketcher, "_prepare", prepared)
    sketcher.draw(np.repeat(to_uint8(images), 4, axis=0)).result()
    assert len(most) == 24
    assert max(most) <= 2 * sketcher._threads + 1


class Maps(dict):
    """A dict that can be referred to weakly."""

    __hash__ = object.__hash__


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_gpu_draws_nearly_the_same(run, images, precision):
    pixels = to_uint8(images)
    expected = TomSketcher.from_run(run, 3, CPU).draw(pixels).result()
    sketcher = TomSketcher.from_run(run, 3, torch.device("cuda"), precision)
    begun = [sketcher.draw(pixels) for _ in range(3)]
    for drawing in begun:
        assert np.abs(drawing.result().astype(int) - expected).mean() < 2

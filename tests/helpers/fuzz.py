"""Damaged inputs by the thousand: whatever comes in, the answer is a result or one line, soon, in bounded memory."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import pickle
import random
import shutil
import signal
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from sketchforge.checkpoints.edge_networks import load_edge_network
from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.checkpoints.run_log import read_log
from sketchforge.checkpoints.runs import check_continues, find_model, identity_of, read_record
from sketchforge.checkpoints.tensor_files import save_tensors
from sketchforge.data.augment import stored_pair
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.order import SampleOrder
from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import REASONS, ImageError, decode_image
from sketchforge.images.sources import find_images
from sketchforge.metrics.images.inputs import open_image_set, take_inventory
from sketchforge.models.teed import TEED
from sketchforge.options import GalleryOptions, InspectOptions, RenderOptions
from sketchforge.render.render import preview
from sketchforge.report.gallery.gallery import gallery
from sketchforge.report.gallery.inspect import inspect
from sketchforge.report.summary.inputs import find_inputs
from sketchforge.shards.schema import CARD
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.synthesis.record import OutputRecord, begin_record, remove_stale
from sketchforge.utils.files import checksummed_json, sha256_of, write_bytes
from tests.helpers.icc import ADOBE_RGB, cmyk_profile, grey_profile, rgb_profile
from tests.helpers.image_files import chunk, gif_of, png_of, tiff
from tests.helpers.photos import scene
from tests.helpers.synthesis_models import ae_run
from trainers.image_models.validation import BestModel
from trainers.loop import Progressed
from trainers.state import STATE_FILE, restore_state, save_state

SECONDS = 30  # any one input takes milliseconds


def damaged(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """`data` after one to four random injuries."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data)) if data else 0
        # Headers decide most, so half of the injuries are near the beginning.
        at = min(at, rng.randrange(200)) if rng.random() < 0.5 else at
        length = rng.choice((1, 2, 4, 8, 30, 300))
        match rng.randrange(8):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + length] = rng.randbytes(length)
            case 2:
                del data[at:]
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = rng.randbytes(length)
            case 5:
                data[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\1\0"))
            case 6:
                data[at:at] = data[at // 2 : at // 2 + length] * rng.choice((1, 50))
            case 7 if other:
                begin = rng.randrange(len(other))
                data[at : at + length] = other[begin : begin + length]
    return bytes(data)


_ODD_TEXT = (
    "null",
    "-1",
    "1e999",
    "NaN",
    "9" * 400,
    '"\\ud800"',
    "[" * 3000,
    "{}",
    "true",
    '"../../x"',
    '""',
    "0.5",
)


def damaged_text(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """As `damaged`; or with one value of a JSON text replaced by an odd one."""
    if rng.random() < 0.4:
        return damaged(data, rng, other)
    text = data.decode("utf-8", "replace")
    colons = [at for at, letter in enumerate(text) if letter == ":"]
    if not colons:
        return damaged(data, rng, other)
    at = rng.choice(colons) + 1
    end = min((found for mark in ",}\n]" if (found := text.find(mark, at)) > 0), default=len(text))
    return (text[:at] + " " + rng.choice(_ODD_TEXT) + text[end:]).encode("utf-8", "surrogatepass")


def random_images() -> list[bytes]:
    pixels = Image.fromarray(scene(1, 40, 50))
    grey = pixels.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    made = [
        (pixels, "JPEG", {"exif": exif, "icc_profile": rgb_profile(ADOBE_RGB, 2.2)}),
        (pixels, "JPEG", {"progressive": True}),
        (pixels.convert("CMYK"), "JPEG", {"icc_profile": cmyk_profile({(0, 0, 0, 0): (100, 0, 0)})}),
        (pixels, "PNG", {"exif": exif}),
        (pixels.convert("RGBA"), "PNG", {"icc_profile": rgb_profile(ADOBE_RGB, 2.2)}),
        (grey, "PNG", {"icc_profile": grey_profile(1.8)}),
        (pixels.quantize(), "PNG", {"transparency": 3}),
        (pixels.quantize(), "GIF", {"save_all": True, "append_images": [grey.quantize()]}),
        (pixels, "WEBP", {}),
        (pixels.convert("RGBA"), "WEBP", {"lossless": True}),
        (pixels, "TIFF", {"compression": "tiff_lzw"}),
        (pixels.convert("CMYK"), "TIFF", {}),
        (pixels.convert("LAB") if False else grey, "TIFF", {"compression": "tiff_deflate"}),
        (pixels, "BMP", {}),
        (pixels, "PPM", {}),
    ]
    files = []
    for image, kind, more in made:
        buffer = io.BytesIO()
        image.save(buffer, kind, **more)
        files.append(buffer.getvalue())
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        buffer = io.BytesIO()
        pixels.save(buffer, "HEIF", exif=exif.tobytes())
        files.append(buffer.getvalue())
    wide = scene(2, 40, 50).astype(np.uint16) * 257
    files += [
        tiff(wide, 2, planar=True),
        tiff(wide[..., 0], 0, deflate=True),
        tiff(wide[..., 0], T281=[4095]),
    ]
    texts = [
        chunk(b"tRNS", bytes(6)),
        chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(2 << 20))),
        chunk(b"eXIf", b"II*\0"),
    ]
    files += [png_of(wide, 2, 16, texts), gif_of(np.asarray(grey), (7, 5), (64, 64), 3)]
    return files + [cv2.imencode(kind, wide)[1].tobytes() for kind in (".png", ".tif")]


def tar_of(files: list[tuple[str, bytes]], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Targets:
    """Each method takes a damaged something to where a user would bring it."""

    def __init__(self, folder: Path, shards: Path, images: Path) -> None:
        self.folder, self.shards, self.images = folder, shards, images
        self.encoded_images = random_images()
        small = [(f"{'d/' * n}k{n}.{end}", data) for n, data in enumerate(self.encoded_images[:4])
                 for end in ("jpg", "txt", "json")]  # fmt: skip
        self.tars = [
            tar_of(small, form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
        ]
        self.tars.append(tar_of([("n" * 150 + ".jpg", self.encoded_images[1])], tarfile.GNU_FORMAT))
        self.weights = self._weights()
        self.records = self._records()

    def _weights(self) -> list[tuple[str, bytes, Callable[[Path], object]]]:
        from sketchforge.checkpoints.encoder import read_encoder

        ours = self.folder / "ours.safetensors"
        save_tensors(ours, "sketchforge-encoder", 1, {"convs.conv1_1.weight": torch.zeros(2, 3, 3, 3),
                     "convs.conv1_1.bias": torch.zeros(2)},
                     {"blocks": [[2]], "input_range": "unit", "padding": "zeros", "scales": {"relu1_1": 1.0}})  # fmt: skip
        state = {"features.0.weight": torch.zeros(2, 3, 3, 3), "features.0.bias": torch.zeros(2)}
        pth = self.folder / "a.pth"
        torch.save(state, pth)
        legacy = self.folder / "b.pth"
        torch.save(state, legacy, _use_new_zipfile_serialization=False)
        npz = self.folder / "a.npz"
        np.savez(npz, **{name: tensor.numpy() for name, tensor in TEED().state_dict().items()})
        return [
            (".safetensors", ours.read_bytes(), read_encoder),
            (".safetensors", ours.read_bytes(), lambda path: load_encoder(str(path))),
            (".pth", pth.read_bytes(), lambda path: load_encoder(str(path))),
            (".pth", legacy.read_bytes(), lambda path: load_encoder(str(path))),
            (".npz", npz.read_bytes(), lambda path: load_edge_network("teed", path)),
            (".pth", pickle.dumps(_Exploding()), lambda path: load_edge_network("hed", path)),
        ]

    def image(self, rng: random.Random) -> str:
        try:
            decode_image(damaged(rng.choice(self.encoded_images), rng, rng.choice(self.encoded_images)))
        except ImageError as error:
            assert error.reason in REASONS
            return error.reason
        return "decoded"

    def tar(self, rng: random.Random) -> str:
        data = damaged(rng.choice(self.tars), rng, rng.choice(self.tars))
        packed = rng.random() < 0.3
        path = self.folder / f"x.tar{'.gz' if packed else ''}"
        path.write_bytes(damaged(gzip.compress(data, 1), rng, data) if packed and rng.random() < 0.5
                         else gzip.compress(data, 1) if packed else data)  # fmt: skip
        outcome = "read"
        for image in find_images(path):
            for byte_source in filter(None, (image.image, image.caption, image.metadata)):
                try:
                    byte_source.read()
                except ImageError as error:
                    assert error.reason in REASONS
                    outcome = error.reason
        return outcome

    def weight_file(self, rng: random.Random) -> str:
        ending, data, load = rng.choice(self.weights)
        path = self.folder / f"weights{ending}"
        path.write_bytes(damaged(data, rng, data) if rng.random() < 0.95 else data)
        load(path)
        return "loaded"

    def shard_folder(self, rng: random.Random) -> str:
        """Sidecar, stats, manifest or tar of a finished folder; then every command that reads such a folder."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.shards, copy)
        path = rng.choice(sorted(copy.iterdir()))
        before = path.read_bytes()
        hurt = damaged if path.suffix == ".tar" else damaged_text
        path.write_bytes(hurt(before, rng, before))
        outcomes = []
        if path.read_bytes() != before and path.name != CARD:  # whoever likes may edit the card
            try:
                assert verify(copy).problems, f"verify did not notice the damage to {path.name}"
            except SketchforgeError:
                pass
        options = RenderOptions(shards=copy, images=self.images, method="canny", size=40, samples_per_shard=3)
        commands = (
            lambda: inspect(InspectOptions(copy)),
            lambda: gallery(GalleryOptions(copy, html=self.folder / "page.html")),
            lambda: preview(options),
        )
        for command in commands:
            try:
                command()
                outcomes.append("read")
            except SketchforgeError as error:
                _assert_one_line(error)
                outcomes.append("refused")
        return " ".join(outcomes)

    def training_shard(self, rng: random.Random) -> str:
        """A tar and a manifest that agrees with it, so that what decodes is reached; or a damaged manifest.

        Then what trainings and evaluations read them by.
        """
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.shards, copy)
        manifest = json.loads((copy / "manifest.json").read_bytes())
        number = rng.randrange(len(manifest["shards"]))
        path = copy / f"{number:05d}.tar"
        before = path.read_bytes()
        path.write_bytes(damaged(before, rng, before))
        manifest["shards"][number] |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        write_bytes(copy / "manifest.json", checksummed_json(manifest))
        if rng.random() < 0.2:
            text = (copy / "manifest.json").read_bytes()
            (copy / "manifest.json").write_bytes(damaged_text(text, rng, text))
        return " ".join(
            _outcome(reader)
            for reader in (
                lambda: self._train(copy, skip_bad=False),
                lambda: self._train(copy, skip_bad=True),
                lambda: take_inventory(open_image_set(copy, 0)),
            )
        )

    def _train(self, folder: Path, skip_bad: bool) -> None:
        shards = open_shards(folder)
        order = SampleOrder(shards.shard_sizes, 0)
        data = ShardDataset(shards, order, stored_pair, 1, skip_bad)
        for position in range(min(order.cycle, 20)):
            data[position]

    def record(self, rng: random.Random) -> str:
        """What a training or a synthesis has written of itself; then what goes on from it."""
        name, text, reader = rng.choice(self.records)
        hurt = damaged if name == STATE_FILE else damaged_text
        path = self.folder / "run" / name
        path.write_bytes(hurt(text, rng, text))
        try:
            return f"{name} {_outcome(reader)}"
        finally:
            path.write_bytes(text)

    def _records(self) -> list[tuple[str, bytes, Callable[[], object]]]:
        run = ae_run(self.folder / "run")
        network, by = torch.nn.Linear(2, 2), {"command": "mix", "options": {"seed": 1}}
        identity = identity_of({"options": {"seed": 1}})
        save_state(run, Progressed(3, False), {"network": network}, {"figure": 0.5}, identity)
        OutputRecord(run, by, {"a.png": {"sketch": "a", "notes": [1]}}).write()
        (run / "log.jsonl").write_text(
            "".join(
                json.dumps({"step": step, "loss": 1 / step, "frechet": 2.0}) + "\n" for step in range(1, 9)
            )
        )

        def go_on() -> None:
            record = read_record(run, "sketchforge-ae-run", 2) or {}
            record.get("steps_done", 0) >= 5
            check_continues(run, record, {"options": {}, "recipe": {}, "shards": {}})

        def outputs() -> None:
            record, done = begin_record(run, by, {"b.png": {"sketch": "b"}}, False)
            remove_stale(run, record, done)

        def restore() -> None:
            restore_state(run, {"network": network}, torch.device("cpu"), identity, 9, dict)

        readers = {
            "run.json": [go_on, lambda: find_model(run), lambda: find_inputs([], [run])],
            STATE_FILE: [restore],
            "log.jsonl": [lambda: read_log(run / "log.jsonl"), lambda: BestModel(run, "frechet", {})],
            "outputs.json": [outputs],
        }
        return [
            (name, (run / name).read_bytes(), reader)
            for name, several in readers.items()
            for reader in several
        ]


def _outcome(reader: Callable[[], object]) -> str:
    try:
        reader()
        return "read"
    except SketchforgeError as error:
        _assert_one_line(error)
        return "refused"


class _Exploding:
    def __reduce__(self):
        return (_exploded, ())


def _exploded() -> None:
    raise AssertionError("a pickle was executed")


@contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise AssertionError(f"took more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _assert_one_line(error: SketchforgeError) -> None:
    assert str(error) and "\n" not in str(error).strip() and error.exit_code in (1, 2), repr(str(error))


def fuzz(targets: Targets, count: int, seed: int) -> Counter[str]:
    """Bring `count` damaged inputs, two fifths of them images; returns how often each outcome was seen."""
    kinds = [targets.image] * 8 + [targets.tar] * 4 + [targets.weight_file] * 2 + [targets.record] * 2
    kinds += [targets.training_shard] * 3 + [targets.shard_folder]
    seen: Counter[str] = Counter()
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        target = kinds[number % len(kinds)]
        try:
            with _in_time():
                outcome = target(rng)
        except SketchforgeError as error:
            _assert_one_line(error)
            outcome = "refused"
        except Exception as error:
            raise AssertionError(f"input {number} of seed {seed}, {target.__name__}: {error!r}") from error
        seen[f"{target.__name__}: {outcome}"] += 1
    return seen


def corrupt(folder: Path, rng: random.Random) -> str:
    """Damage one file of a shard folder so that its bytes change, or take, add or swap files; says what was done."""
    files = sorted(
        path for path in folder.iterdir() if path.name != CARD
    )  # it may be edited, but not be gone
    path = rng.choice(files)
    data = path.read_bytes()
    match rng.randrange(6):
        case 0:
            path = rng.choice([*files, folder / CARD])
            path.unlink()
            return f"{path.name} removed"
        case 1:
            other = rng.choice(
                [file for file in files if file.suffix == path.suffix and file != path] or [files[-1]]
            )
            if other == path or other.read_bytes() == data:
                return ""
            path.write_bytes(other.read_bytes())
            return f"{path.name} replaced by {other.name}"
        case 2:
            tar = rng.choice([file for file in files if file.suffix == ".tar"])
            shutil.copy(tar, folder / f"{rng.randrange(50, 99999):05d}.tar")
            return f"{tar.name} doubled"
        case 3:
            at = rng.randrange(len(data))
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :])
            return f"bit {at} of {path.name}"
        case 4:
            path.write_bytes(data[: rng.randrange(len(data))])
            return f"{path.name} cut"
        case _:
            hurt = damaged(data, rng, data)
            path.write_bytes(hurt)
            return f"{path.name} damaged" if hurt != data else ""

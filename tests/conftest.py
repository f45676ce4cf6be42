"""What the tests share: images made by code, and ways of running the command line and comparing folders."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

# One thread: what tests compute is small, and threads that wait for each other on a busy machine are many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shells start background jobs with SIGINT ignored, which every child would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402

from sketchforge.options import RenderOptions  # noqa: E402

# Shells start background jobs with SIGINT ignored, and children inherit it: here nobody ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    """How long the campaigns of test_kills.py, test_fuzz.py and test_hostile_server.py are; for `make soak`."""
    parser.addoption("--kills", type=int, default=10, help="renderings to be struck by signals")
    parser.addoption(
        "--training-kills", type=int, default=1, help="of each training, to be struck by signals"
    )
    parser.addoption("--fuzz", type=int, default=500, help="damaged inputs, and corruptions of shards")
    parser.addoption("--server", type=int, default=20, help="shards fetched from a server that misbehaves")
    parser.addoption("--campaign-seed", type=int, default=0, help="another seed, other moments and damages")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in os.environ:
        if name.startswith("SKETCHFORGE_") and name != "SKETCHFORGE_TEST_DATA":
            monkeypatch.delenv(name)


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 HxWx3: a shaded ground with a few filled shapes; different for every seed."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    shade = (rows * rng.uniform(0.1, 0.6) + columns * rng.uniform(0.1, 0.6)) % 256
    image = np.repeat(shade[..., None], 3, axis=2).astype(np.uint8)
    for _ in range(5):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        cv2.circle(image, centre, int(rng.integers(3, max(4, min(height, width) // 3))), colour, -1)
    return image


def make_photos(folder: Path, count: int) -> Path:
    """`count` images, JPEG and PNG, of various sizes, some in a sub-folder."""
    rng = np.random.default_rng(count)
    for number in range(count):
        height, width = (int(side) for side in rng.integers(40, 90, 2))
        inside = folder / "more" if number % 4 == 3 else folder
        inside.mkdir(parents=True, exist_ok=True)
        name = f"p{number:03d}.{'png' if number % 3 == 2 else 'jpg'}"
        Image.fromarray(scene(number, height, width)).save(inside / name, quality=90)
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of ten good images; never written to."""
    return make_photos(tmp_path_factory.mktemp("photos"), 10)


@pytest.fixture(scope="session")
def rendered(photos, tmp_path_factory) -> RenderOptions:
    """Canny on the shared images, four a shard, one worker, into a folder that no test changes."""
    shards = tmp_path_factory.mktemp("rendered") / "out"
    options = RenderOptions(
        shards=shards, images=photos, method="canny", size=48, samples_per_shard=4, batch_size=3, workers=1
    )
    from sketchforge.render.render import render

    render(options)
    return options


@pytest.fixture(scope="session")
def with_strokes(tmp_path_factory) -> RenderOptions:
    """Four images, one of them white, two a shard, drawn by hands whose strokes are kept; never written to."""
    from sketchforge.render.render import render

    folder = tmp_path_factory.mktemp("strokes")
    photos = make_photos(folder / "in", 3)
    Image.new("RGB", (70, 50), "white").save(photos / "a-white.jpg")
    options = RenderOptions(
        folder / "out", photos, method="canny", size=64, hands="builtin", strokes=True,
        samples_per_shard=2, workers=1,
    )  # fmt: skip
    render(options)
    return options


@pytest.fixture(scope="session")
def ten_sketches(tmp_path_factory) -> Path:
    """A shard folder of ten images of 64 pixels in three shards, ten sketches each; never written to."""
    samples = []
    for number in range(10):
        grey = cv2.cvtColor(scene(number, 64, 64), cv2.COLOR_RGB2GRAY)
        sketches = [
            png(np.where(cv2.Canny(grey, 20 + 10 * style, 60 + 10 * style) > 0, 0, 255).astype(np.uint8))
            for style in range(10)
        ]
        samples.append({"key": f"k{'x' * number}", "sketches": sketches, "size": (64, 64)})
    shards = [samples[:4], samples[4:8], samples[8:]]
    return store(
        tmp_path_factory.mktemp("ten") / "out", shards, [f"s{style}" for style in range(10)], size=64
    )


@pytest.fixture(scope="module")
def quick_measures():
    """Fewer resamplings and smaller inputs of the built-in features: quicker, and as good for what is tested.

    And signals stay as they are, for `run` would change them for all the tests that follow.
    """
    import torch

    from sketchforge.metrics import estimates as figures
    from sketchforge.metrics.images import feature_networks
    from sketchforge.metrics.images import statistics as image_figures
    from sketchforge.metrics.sketches import result as evaluation

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for module in (evaluation, figures):
            patch.setattr(module, "RESAMPLINGS", 20)
        patch.setattr(image_figures, "DISTANCE_RESAMPLINGS", 5)
        patch.setattr(feature_networks, "BUILTIN_SIDE", 64)
        patch.setattr("signal.signal", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def no_weights_from_outside(tmp_path_factory):
    """Whatever weights and features this machine keeps, a module's tests begin without any."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder / "torch"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """Shards of eight photos by two built-in snapshots, 64 pixels; never written to."""
    from sketchforge.render.render import render

    folder = tmp_path_factory.mktemp("drawn")
    photos = make_photos(folder / "photos", 8)
    small = {"checkpoints": 2, "size": 64, "workers": 1, "threads": 1}
    render(RenderOptions(folder / "out", photos, tom=Path("builtin"), **small))
    return folder / "out"


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run of an auto-encoder that has learnt nothing; beside it gan/, the same with a refiner."""
    import torch
    from synthesis_models import ae_run, gan_run

    folder = tmp_path_factory.mktemp("runs")
    with torch.random.fork_rng(devices=[]):
        gan_run(folder / "gan")
        ae_run(folder / "ae")
    return folder / "ae"


@pytest.fixture(scope="session")
def squeeze(tmp_path_factory) -> Path:
    """A file of SqueezeNet's weights, random ones."""
    import torch
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    path = tmp_path_factory.mktemp("weights") / "squeeze.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(squeezenet1_1().state_dict(), path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a shard folder by name, hidden ones included, but for the seconds in the stats."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name.endswith(".stats.json"):
                stats = json.loads(data)
                assert set(stats.pop("seconds")) <= {"decode", "draw", "encode", "write"}
                stats.pop("checksum", None)  # covers the seconds, too
                data = json.dumps(stats).encode()
            found[path.relative_to(folder).as_posix()] = data
    return found


def environment(**more: str) -> dict[str, str]:
    """For subprocesses: this checkout first, one thread each."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SKETCHFORGE_")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def run_python(code: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process and group of its own. Waits until every process holding its output is gone."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(**more),
        start_new_session=True,
    )


@pytest.fixture(autouse=True)
def _one_thread():
    """What one test sets torch to, the next one does not inherit."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def run_cli(*arguments: object, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m sketchforge` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "sketchforge", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=environment(**more),
    )


def render_again(base: RenderOptions, folder: Path, **changes) -> dict[str, bytes]:
    from sketchforge.render.render import render

    render(dataclasses.replace(base, shards=folder, **changes))
    return contents(folder)


def members(folder: Path, number: int = 0) -> dict[str, bytes]:
    with tarfile.open(folder / f"{number:05d}.tar") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def lines(folder: Path) -> list[dict]:
    return [
        json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()
    ]


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
        write_card(folder, manifest)
    write_manifest(folder, manifest)
    return folder


def _described(path: Path) -> dict:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

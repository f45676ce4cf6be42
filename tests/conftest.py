"""The fixtures of several tests, and options of the campaigns."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from pathlib import Path

# One thread: what tests compute is small, and threads that wait for each other on a busy machine are many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402

from sketchforge.images.builtin.drawings import draw  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from tests.helpers.inline_pool import REAL_WORKERS, replace_single_workers  # noqa: E402
from tests.helpers.photos import make_photos, scene  # noqa: E402
from tests.helpers.stored import png, store  # noqa: E402

# What is collected is kept: to look for garbage in it takes seconds. Seldom is enough later, too.
gc.disable()
gc.set_threshold(7000)

# Shells start background jobs with SIGINT ignored, and children inherit it: here nobody ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    """How long the campaigns of test_kills.py, test_fuzz.py and test_hostile_server.py are; for `make soak`."""
    parser.addoption("--kills", type=int, default=10, help="renderings to be struck by signals")
    parser.addoption(
        "--training-kills", type=int, default=1, help="of each training, to be struck by signals"
    )
    parser.addoption("--fuzz", type=int, default=300, help="damaged inputs, and corruptions of shards")
    parser.addoption("--server", type=int, default=20, help="shards fetched from a server that misbehaves")
    parser.addoption("--campaign-seed", type=int, default=0, help="another seed, other moments and damages")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu:
        import torch

        if not torch.cuda.is_available():
            for item in on_gpu:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish() -> None:
    """What is there by now stays to the end: the garbage collector need not go through it again and again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """Processes of `-n auto`: one a core that this process may use, and one more, for tests wait now and then.

    Beyond eight, imports outweigh the tests.
    """
    from sketchforge.utils.device import usable_cores

    return min(8, usable_cores() + 1)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in os.environ:
        if name.startswith("SKETCHFORGE_") and name != "SKETCHFORGE_TEST_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _no_flushing():
    """Nobody cuts the power of these tests: what is written need not reach the disk while they wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _inline_workers():
    """One worker is no process; two or more are, and one where a test asks for `worker_processes`."""
    with pytest.MonkeyPatch.context() as patch:
        replace_single_workers(patch)
        yield


@pytest.fixture
def worker_processes(monkeypatch):
    """Workers are processes, and as many as `render` takes by itself."""
    for target, name, real in REAL_WORKERS:
        monkeypatch.setattr(target, name, real)


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


@pytest.fixture
def few_drawings(monkeypatch):
    """Two built-in drawings: to draw all takes longer than most of what is done with them."""
    drawings = [("woman-quill", draw("woman", "quill", 64)), ("woman-brush", draw("woman", "brush", 64))]
    monkeypatch.setattr("sketchforge.images.builtin.drawings.load_drawings", lambda size=64: drawings)


@pytest.fixture(scope="module")
def few_calibration_images():
    """An eighth of the photos that scales of foreign encoders are set by: all take a second and more."""
    from sketchforge.checkpoints import encoder

    photos = encoder.calibration_images()[::8]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "calibration_images", lambda: photos)
        yield


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

    Networks that draw the images again are read once.

    And signals stay as they are, for `run` would change them for all the tests that follow.
    """
    import torch

    from sketchforge.metrics import estimates as figures
    from sketchforge.metrics.images import feature_networks
    from sketchforge.metrics.images import statistics as image_figures
    from sketchforge.metrics.sketches import result as evaluation
    from sketchforge.sketchers.tom import TomSketcher

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for module in (evaluation, figures):
            patch.setattr(module, "RESAMPLINGS", 20)
        patch.setattr(image_figures, "DISTANCE_RESAMPLINGS", 5)
        patch.setattr(feature_networks, "BUILTIN_SIDE", 64)
        patch.setattr(TomSketcher, "from_run", functools.cache(TomSketcher.from_run))
        patch.setattr("signal.signal", lambda *_: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def own_caches(tmp_path_factory):
    """Whatever weights and features this machine keeps, a module's tests begin without any and leave it none."""
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
    small = {"checkpoints": 2, "hands": "none", "size": 64, "workers": 1, "threads": 1}
    render(RenderOptions(folder / "out", photos, tom=Path("builtin"), **small))
    return folder / "out"


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run of an auto-encoder that has learnt nothing; beside it gan/, the same with a refiner."""
    import torch

    from tests.helpers.synthesis_models import ae_run, gan_run

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


@pytest.fixture(autouse=True)
def _one_thread():
    """What one test sets torch to, the next one does not inherit."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)

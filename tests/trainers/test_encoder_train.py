"""Distilling the encoder: it learns, repeats itself to the byte, and says what is wrong before it begins."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from cli.main import run
from sketchforge.checkpoints.encoder import (
    ENCODER_FORMAT,
    ENCODER_VERSION,
    calibrate_on_photos,
    encoder_digest,
    read_encoder,
    write_encoder,
)
from sketchforge.checkpoints.tensor_files import load_tensors
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import ImageError
from sketchforge.models.encoder import COMPACT_BLOCKS, VGG16_BLOCKS, Encoder, freeze
from sketchforge.options import EncoderTrainOptions
from sketchforge.utils.progress import Progress
from tests.helpers.photos import scene
from trainers.encoder.distill import HELD_OUT, preactivations, split, tap_errors, train_encoder
from trainers.encoder.plan import run_folder_of
from trainers.encoder.run import distil, folder_labels
from trainers.encoder.whitening import Head, WhitenedConv

WIDER = [[20, 20], [40, 40], [72, 72, 72, 72], [136]]
# Of the student, and of teachers as wide as it: whitening takes the third power of a width.
NARROW = ((8, 8), (12, 12), (20,) * 4, (24,))
BROADER = [[12, 12], [20, 20], [28, 28, 28, 28], [36]]


@pytest.fixture(autouse=True, scope="module")
def _quick_samples(few_calibration_images):
    """Fewer and smaller photos and drawings, made once."""
    drawings = [
        (f"d{i}", np.where(scene(i, 48, 48)[:, :, 0] > 128, 255, 0).astype(np.uint8)) for i in range(3)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sketchforge.images.builtin.drawings.load_drawings", lambda size: drawings)
        patch.setattr("trainers.encoder.student.COMPACT_BLOCKS", NARROW)
        yield


@pytest.fixture
def full_width(monkeypatch):
    """The student as it ships, for what depends on how much it can hold."""
    monkeypatch.setattr("trainers.encoder.student.COMPACT_BLOCKS", COMPACT_BLOCKS)


@pytest.fixture
def threads():
    """Leave torch's thread count as it was found."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def teacher_of(blocks, seed: int = 0, **options: str) -> Encoder:
    """Random weights that keep the size of what passes through, with biases, so that every layer matters."""
    encoder, generator = Encoder(blocks, **options), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for conv in encoder.convs.values():
            torch.nn.init.kaiming_normal_(conv.weight, generator=generator)
            conv.bias.normal_(std=0.1, generator=generator)
    return freeze(encoder)


TEACHERS = {
    "equal": lambda: teacher_of(NARROW),
    "wider": lambda: teacher_of(BROADER, input_range="imagenet", padding="zeros"),
}


def save_teacher(path: Path, encoder: Encoder) -> Path:
    """As a VGG19 state dict that says it wants RGB in [0, 1] and reflected borders."""
    at = [0, 2, 5, 7, 10, 12, 14, 16, 19]
    state = {}
    for n, conv in zip(at, encoder.convs.values()):
        state |= {f"features.{n}.weight": conv.weight.detach(), f"features.{n}.bias": conv.bias.detach()}
    save_file(state, str(path), metadata={"input": "RGB in [0,1]; reflect pad 1"})
    return path


def texture(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """uint8 HxWx3 noise whose amplitude falls with frequency as in photos; flat scenes teach little."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / width
    layers = [
        np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / frequency, (height, width))
        for _ in "rgb"
    ]
    grey = layers[0]
    layers = np.stack([grey + 0.5 * layer for layer in layers], axis=2)
    return np.clip(128 + 60 * layers / layers.std(), 0, 255).astype(np.uint8)


def readers(count: int = 24):
    return [lambda seed=seed: texture(seed) for seed in range(count)]


def train(teacher: Encoder, steps: int, seed: int = 0, progress=Progress(), size: int = 32):
    drawings = [
        lambda: np.repeat(np.where(scene(9, 48, 48)[:, :, :1] > 128, 255, 0).astype(np.uint8), 3, axis=2)
    ]
    return train_encoder(
        teacher, readers(), drawings, steps=steps, batch_size=8, size=size, seed=seed,
        device=torch.device("cpu"), progress=progress,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "photos"
    inside.mkdir()
    for number in range(5):
        Image.fromarray(scene(number, 40, 50)).save(inside / f"p{number}.png")
    return inside


@pytest.fixture
def options(tmp_path, folder):
    teacher = save_teacher(tmp_path / "teacher.safetensors", teacher_of(NARROW))
    return EncoderTrainOptions(
        (folder,),
        str(teacher),
        tmp_path / "out" / "encoder.safetensors",
        steps=18,
        batch_size=4,
        size=16,
        threads=1,
    )


class Recorder(Progress):
    """The progress of a training, kept; `at` is called in every step."""

    def __init__(self, at=lambda step: None) -> None:
        self.notes, self.begun, self.losses, self.phases, self.ended, self.at = [], [], [], [], 0, at

    def note(self, text: str) -> None:
        self.notes.append(text)

    def begin(self, unit: str, total: int, done: int = 0) -> None:
        self.begun.append(total)

    def advance(self, *, loss: float, layer: str) -> None:
        self.losses.append(loss)
        self.phases.append(layer.removeprefix("layer "))
        self.at(len(self.losses))

    def end(self) -> None:
        self.ended += 1


@pytest.mark.slow
def test_a_student_of_equal_widths_comes_to_compute_the_teachers_function(full_width, threads):
    torch.set_num_threads(1)
    teacher = teacher_of(COMPACT_BLOCKS)
    (_, few), (encoder, many) = (train(teacher, steps) for steps in (9, 324))
    assert list(many) == [tap for tap in teacher.tap_names() if tap.startswith("relu")]
    assert all(many[tap] < min(few[tap], 1.5) for tap in many)
    assert many["relu1_2"] < 0.4
    assert many["relu2_1"] < 0.6
    assert all(not p.requires_grad for p in encoder.parameters())


@pytest.mark.slow
def test_a_teacher_of_other_widths_is_learned_through_linear_maps(full_width, threads):
    torch.set_num_threads(1)
    (_, few), (encoder, many) = (
        train(teacher_of(WIDER, input_range="imagenet", padding="zeros"), steps) for steps in (9, 90)
    )
    assert encoder.blocks == COMPACT_BLOCKS
    assert (encoder.input_range, encoder.padding) == ("unit", "reflect")
    assert all(many[tap] < few[tap] for tap in list(many)[:5])  # the deeper ones take longer
    assert many["relu1_1"] < 0.9


@pytest.mark.slow
def test_a_narrower_teacher_serves_too(full_width, threads):
    torch.set_num_threads(1)
    teacher = teacher_of([[6, 6], [16, 6], [6, 6, 64, 6], [6]])
    few, many = (train(teacher, steps)[1] for steps in (9, 36))
    assert many["relu1_1"] < min(few["relu1_1"], 0.9)
    assert many["relu1_2"] < few["relu1_2"]


@pytest.mark.parametrize("kind", TEACHERS)
def test_faint_and_strong_teachers_are_learned_alike(threads, kind):
    """Real VGG features run into the hundreds: neither rates nor fits may depend on the size."""
    torch.set_num_threads(1)
    strong = TEACHERS[kind]()
    with torch.no_grad():
        strong.convs["conv1_1"].weight.mul_(100)
        for conv in strong.convs.values():
            conv.bias.mul_(100)  # all features are now a hundred times as large, and otherwise the same
    weak, loud = (train(teacher, steps=9, size=16)[1] for teacher in (TEACHERS[kind](), strong))
    for tap in list(weak)[:6]:  # beyond, rounding decides in a training this short
        assert loud[tap] == pytest.approx(weak[tap], rel=0.1), tap


def test_torchs_own_random_state_and_earlier_work_change_nothing(threads):
    """Heads included: a wider teacher draws no number from the global generator."""
    torch.set_num_threads(1)
    digests = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        digests.add(encoder_digest(train(teacher_of(BROADER), steps=9, size=16)[0]))
    assert len(digests) == 1


def test_another_seed_is_another_encoder(threads):
    torch.set_num_threads(1)
    first, other = (train(teacher_of(NARROW), steps=9, size=16, seed=seed)[0] for seed in (0, 1))
    assert encoder_digest(first) != encoder_digest(other)


def test_the_weights_are_what_float16_holds(threads):
    encoder, _ = train(teacher_of(NARROW), steps=9, size=16)
    for tensor in encoder.state_dict().values():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, tensor.half().float())


@pytest.mark.parametrize("steps", [9, 10, 18])
def test_every_step_is_reported_layers_first_then_all(threads, steps):
    progress = Recorder()
    train(teacher_of(NARROW), steps, size=16, progress=progress)
    assert len(progress.losses) == steps
    order = list(dict.fromkeys(progress.phases))
    assert order[:9] == list(Encoder(COMPACT_BLOCKS).convs)
    assert order[9:] == (["all"] if steps > 9 else [])


def test_a_loss_that_is_not_finite_stops_before_the_optimiser_steps(threads):
    teacher = teacher_of(NARROW)
    with torch.no_grad():
        teacher.convs["conv3_2"].bias[0] = float("nan")
    progress = Recorder()
    with pytest.raises(FloatingPointError, match=r"the loss \(conv3_2\) became nan at step 5"):
        train(teacher, steps=9, size=16, progress=progress)
    assert len(progress.losses) == 5


def test_held_out_images_are_not_trained_on():
    images = [lambda level=level: np.full((20, 20, 3), level, np.uint8) for level in range(50)]
    seen, unseen = split(images, 16, 0)
    levels = set(((unseen[:, 0, 0, 0] + 1) * 127.5).round().int().tolist())
    assert levels == set(range(0, 50, HELD_OUT))
    assert sorted(int(reader()[0, 0, 0]) for reader in seen) == [n for n in range(50) if n not in levels]


def test_held_out_are_images_that_can_be_read():
    def broken() -> np.ndarray:
        raise ImageError("truncated")

    good = [lambda level=level: np.full((20, 20, 3), level, np.uint8) for level in (100, 200)]
    seen, unseen = split([broken, *good], 16, 0)
    assert seen == [broken, good[1]]
    assert len(unseen) == 16
    with pytest.raises(SketchforgeError, match="none of 2 images can be read"):
        split([broken, broken], 16, 0)


def test_errors_are_relative_to_the_teachers_variance():
    teacher = teacher_of(COMPACT_BLOCKS)
    identity = torch.nn.ModuleDict({name: torch.nn.Identity() for name in teacher.convs})
    images = torch.rand(40, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert max(tap_errors(teacher, teacher, identity, images).values()) == 0
    other = teacher_of(COMPACT_BLOCKS, seed=1)
    errors = tap_errors(other, teacher, identity, images)
    taps = list(errors)
    ours, theirs = (encoder(images, taps) for encoder in (other, teacher))
    for tap in taps:
        expected = (ours[tap] - theirs[tap]).square().mean() / theirs[tap].var(
            dim=(0, 2, 3), correction=0
        ).mean()
        assert errors[tap] == pytest.approx(expected.item(), rel=1e-4), tap


def test_preactivations_are_the_taps_before_the_relu():
    encoder = teacher_of(WIDER, input_range="imagenet", padding="zeros")
    images = torch.rand(2, 3, 24, 40) * 2 - 1
    found = preactivations(encoder, images)
    taps = encoder(images, [tap for tap in encoder.tap_names() if tap.startswith("relu")])
    assert [name.replace("conv", "relu") for name in found] == list(taps)
    for (name, x), tap in zip(found.items(), taps.values()):
        assert torch.equal(F.relu(x), tap), name
        assert x.min() < 0
    assert list(preactivations(encoder, images, "conv2_1"))[-1] == "conv2_1"


def test_whitened_coordinates_are_folded_away_exactly():
    generator = torch.Generator().manual_seed(0)
    conv = WhitenedConv(5, 4, generator)
    x = torch.rand(2, 5, 12, 14, generator=generator).cumsum(dim=3)  # neighbours alike, as in photos
    conv.start(x, None, generator)
    patches = F.unfold(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3)  # (B, 45, 168)
    white = torch.einsum("pq,bqn->bpn", conv.whitener, patches - conv.centre[:, None])
    covariance = torch.einsum("bpn,bqn->pq", white, white) / (white.shape[0] * white.shape[2])
    values = torch.linalg.eigvalsh(covariance)
    # at most 1: the floor keeps faint directions down
    assert values.max() < 1.01
    assert values[-5:].min() > 0.9
    weight, bias = conv.fold()
    by_coordinates = (conv.v @ white + conv.b[:, None]).view(2, 4, 12, 14)
    plain = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias)
    torch.testing.assert_close(plain, by_coordinates, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(conv(x), plain)


def test_a_layer_of_known_target_starts_in_the_targets_range():
    """Channels from a thousandth to a thousand: each begins at its mean, about as strong as it is to become."""
    generator = torch.Generator().manual_seed(0)
    conv = WhitenedConv(3, 4, generator)
    x = torch.rand(8, 3, 40, 40, generator=generator)
    target = (
        torch.randn(8, 4, 40, 40, generator=generator) * torch.tensor([1e-3, 1, 10, 1e3]).view(1, 4, 1, 1) + 5
    )
    conv.start(x, target, generator)
    std = target.std(dim=(0, 2, 3))
    offset = conv(x).mean(dim=(0, 2, 3)) - target.mean(dim=(0, 2, 3))
    assert (offset.abs() < 0.1 * std).all()
    assert (conv(x).std(dim=(0, 2, 3)) / std).log().abs().max() < 0.7


def test_a_head_starts_as_the_best_linear_map():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, 3, 20, 20, generator=generator)
    target = torch.einsum("kc,bchw->bkhw", torch.randn(5, 3, generator=generator) * 100, x) + 7
    head = Head(3, target)
    torch.testing.assert_close(
        head(x), target.mean(dim=(0, 2, 3), keepdim=True).expand_as(target), atol=1e-2, rtol=1e-4
    )
    head.start(x, target)
    assert ((head(x) - target).square().mean() / target.var(dim=(0, 2, 3)).mean()) < 1e-4


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["a/photos"], ["photos"]),
        (["a/photos", "a/faces"], ["photos", "faces"]),
        (["a/x/photos", "a/y/photos", "a/faces"], ["x/photos", "y/photos", "faces"]),
        (["a/x", "a/x"], ["x", "x"]),
        (["a/x", "a/y/../x"], ["x", "x"]),
    ],
)
def test_folders_go_by_as_little_of_their_path_as_tells_them_apart(folders, names):
    assert folder_labels([Path("/top") / folder for folder in folders]) == names


def test_the_same_command_twice_gives_the_same_bytes(options, tmp_path, threads):
    distil(options, Recorder())
    first = options.out.read_bytes()
    options.out.unlink()
    torch.manual_seed(99)
    distil(options, Recorder())
    assert options.out.read_bytes() == first
    assert [path.name for path in options.out.parent.iterdir()] == ["encoder.safetensors"]


def test_the_file_says_where_it_comes_from_and_nothing_of_this_machine(options, tmp_path, folder, threads):
    (folder / "torn.png").write_bytes((folder / "p0.png").read_bytes()[:-200])
    (folder / "page.jpg").write_bytes(b"<html>")
    progress = Recorder()
    summary = distil(options, progress)
    _, metadata = load_tensors(options.out, ENCODER_FORMAT, ENCODER_VERSION)
    assert metadata["teacher"]["name"] == "teacher.safetensors"
    assert len(metadata["teacher"]["sha256"]) == 64
    assert metadata["images"] == [{"folder": "photos", "found": 7, "unreadable": 2}]
    settings = {"steps": 18, "batch_size": 4, "size": 16, "seed": 0, "device": "cpu", "threads": 1}
    assert metadata.items() >= (settings | {"drawings": 3}).items()
    assert metadata["errors"] == summary.errors
    assert summary.unreadable == {"truncated": 1, "not an image": 1}
    assert summary.num_images == 7
    assert os.fsencode(tmp_path) not in options.out.read_bytes()
    assert summary.num_bytes == options.out.stat().st_size < 100_000
    assert summary.digest == encoder_digest(read_encoder(options.out))
    assert progress.begun == [len(progress.losses)] == [18]
    assert progress.ended == 1


def test_scales_are_those_of_the_weights_in_the_file(options, threads):
    distil(options, Recorder())
    torch.set_num_threads(1)
    written = read_encoder(options.out)
    stored = dict(written.scales)
    assert calibrate_on_photos(written).scales == stored  # of the rounded weights, so equal to the last bit


def refused(options: EncoderTrainOptions, tmp_path: Path, kind: type[SketchforgeError]) -> str:
    """The one line of an error raised before training began, with nothing written."""
    before = sorted(tmp_path.rglob("*"))
    progress = Recorder()
    with pytest.raises(SketchforgeError) as caught:
        distil(options, progress)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert progress.losses == []
    assert sorted(tmp_path.rglob("*")) == before
    return str(caught.value)


def changed(options: EncoderTrainOptions, **changes) -> EncoderTrainOptions:
    return EncoderTrainOptions(
        **({name: getattr(options, name) for name in options.__dataclass_fields__} | changes)
    )


def test_bad_values_are_refused_before_training(options, tmp_path, folder):
    def refusal(**changes) -> str:
        return refused(changed(options, **changes), tmp_path, UsageError)

    assert "--images" in refusal(images=())
    assert str(tmp_path / "absent") in refusal(images=(folder, tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    assert "no images found" in refusal(images=(tmp_path / "empty",))
    (tmp_path / "one").mkdir()
    Image.fromarray(scene(0, 30, 30)).save(tmp_path / "one" / "p.png")
    assert "2 or more" in refusal(images=(tmp_path / "one",))
    assert "--steps 8" in refusal(steps=8)
    assert "--batch-size 1" in refusal(batch_size=1)
    assert "--size 15" in refusal(size=15)
    assert "--device" in refusal(device="abacus")
    assert "is a folder" in refusal(out=folder)
    assert "is not a folder" in refusal(out=folder / "p0.png" / "encoder.safetensors")
    assert "--teacher" in refusal(teacher=str(tmp_path / "absent.pth"))


def test_bad_teachers_are_refused_before_training(options, tmp_path):
    def refusal(path: Path, kind: type[SketchforgeError] = UsageError) -> str:
        return refused(changed(options, teacher=str(path)), tmp_path, kind)

    (tmp_path / "noise.pth").write_bytes(b"noise")
    assert "noise.pth" in refusal(tmp_path / "noise.pth", SketchforgeError)
    save_file({"conv.weight": torch.zeros(3)}, str(tmp_path / "foreign.safetensors"))
    assert "features.0.weight" in refusal(tmp_path / "foreign.safetensors")
    sixteen = [[4] * len(block) for block in VGG16_BLOCKS]
    write_encoder(tmp_path / "vgg16.safetensors", teacher_of(sixteen), {})
    assert "no layer relu3_4" in refusal(tmp_path / "vgg16.safetensors")
    write_encoder(tmp_path / "short.safetensors", teacher_of(COMPACT_BLOCKS[:3]), {})
    assert "no layer relu4_1" in refusal(tmp_path / "short.safetensors")


def test_no_readable_image_is_an_error_before_training(options, tmp_path, folder):
    for path in folder.iterdir():
        path.write_bytes(b"<html>")
    assert "none of 5 images can be read" in refused(options, tmp_path, SketchforgeError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SketchforgeError("the disk is full")])
def test_an_interrupted_training_leaves_the_old_file_and_ends_its_bar(options, error, threads):
    options.out.parent.mkdir()
    options.out.write_bytes(b"an older encoder")
    with pytest.raises(UsageError, match="is there already; name another --out"):
        distil(options, Recorder(lambda step: None))
    options = dataclasses.replace(options, overwrite=True)

    def at(step: int) -> None:
        if step == 5:
            raise error

    progress = Recorder(at)
    with pytest.raises((KeyboardInterrupt, SketchforgeError)):
        distil(options, progress)
    assert progress.ended == 1
    assert options.out.read_bytes() == b"an older encoder"
    distil(
        dataclasses.replace(options, overwrite=False), Recorder()
    )  # it may be replaced, as was said at first
    assert [path.name for path in options.out.parent.iterdir()] == ["encoder.safetensors"]
    distil(dataclasses.replace(options, out=options.out.with_name("straight")), Recorder())
    assert options.out.read_bytes() == options.out.with_name("straight").read_bytes()


@pytest.fixture
def call(capfd, monkeypatch):
    """Run the command line in process: (exit code, stdout, stderr)."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(*arguments):
        code = run(["encoder-train", *map(str, arguments)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def words(options: EncoderTrainOptions, **changes: object) -> list[str]:
    values = {
        "teacher": options.teacher,
        "out": options.out,
        "steps": 18,
        "batch-size": 4,
        "size": 16,
        "threads": 1,
    }
    return [word for name, value in (values | changes).items() for word in (f"--{name}", str(value))]


def test_the_command_prints_what_it_did(options, call, folder, threads):
    (folder / "page.jpg").write_bytes(b"<html>")
    code, out, err = call("--images", folder, "--images", folder, *words(options))
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith(
        "12 images in 2 folders, 3 built-in drawings, teacher teacher.safetensors, 18 steps on cpu"
    )
    assert lines[1] == "2 of 12 images left out: 2 not an image"
    errors = load_tensors(options.out, ENCODER_FORMAT, ENCODER_VERSION)[1]["errors"]
    assert lines[3:12] == [f"{tap:8} {error:.2e}" for tap, error in errors.items()]
    assert lines[12].startswith(f"{options.out}: 0.0")
    assert "18/18" in err
    assert "loss" in err
    assert "layer all" in err


def test_the_command_needs_images_and_refuses_nonsense(options, call, folder, tmp_path):
    for arguments, text in (
        (words(options), "--images"),
        (["--images", folder, *words(options, steps=8)], "--steps"),
        (["--images", folder, *words(options, size="big")], "--size"),
        (["--images", folder, *words(options, seed=-1)], "--seed"),
        (["--images", folder / "p0.png", *words(options)], "--images"),
        (["--images", tmp_path / "absent", *words(options)], "no such folder"),
        (["--images", folder, *words(options, teacher="vgg16")], "neither vgg19 nor an existing file"),
        (["--images", folder, *words(options, out=folder)], "--out"),
    ):
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert text in err
    assert not options.out.parent.exists()


def test_a_corrupt_teacher_is_a_failure_in_one_line(options, call, folder):
    Path(options.teacher).write_bytes(b"noise")
    code, out, err = call("--images", folder, *words(options))
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert options.teacher in err


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("plan.load_teacher", "no step was trained yet"),
        (
            "run.calibrate_on_photos",
            "encoder.safetensors.run keeps every step that was done; run the same command",
        ),
    ],
)
def test_ctrl_c_says_what_is_kept(options, call, folder, monkeypatch, threads, place, said):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"trainers.encoder.{place}", interrupt)
        code, _, err = call("--images", folder, *words(options))
    assert code == 130
    assert said in err
    assert not options.out.exists()


def test_the_same_command_on_a_finished_encoder_changes_nothing_and_another_is_refused(options, folder):
    first = distil(options, Progress())
    written = options.out.read_bytes()
    again = Recorder(lambda step: None)
    assert distil(options, again).digest == first.digest
    assert options.out.read_bytes() == written
    assert not run_folder_of(options).exists()
    with pytest.raises(UsageError, match="is there already; name another --out"):
        distil(dataclasses.replace(options, seed=options.seed + 1), Progress())
    (folder / "one-more.jpg").write_bytes(next(folder.glob("*.*")).read_bytes())
    with pytest.raises(UsageError, match="is there already; name another --out"):
        distil(options, Progress())

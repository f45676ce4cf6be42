"""What a training step is timed beside: the authors' networks have the known sizes, their steps train all."""

import importlib
import json
import sys

import pytest
import torch
import torch.nn.functional as F

from tests.helpers.commands import ROOT

CPU = torch.device("cpu")
MODULES = ("authors_networks", "authors_gan", "authors_steps", "authors_tom", "training_step")


@pytest.fixture(scope="module")
def modules():
    """The benchmark's modules, imported as the benchmark itself imports them."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield {name: importlib.import_module(name) for name in MODULES}
    for name in {*MODULES, "tom_recipe"} - before:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def networks(modules):
    return modules["authors_networks"]


@pytest.fixture(scope="module")
def gan_networks(modules):
    return modules["authors_gan"]


@pytest.fixture(scope="module")
def published(networks, gan_networks):
    """The auto-encoder for 512², G2 and D for 1024²: shapes, and no memory."""
    with torch.device("meta"):
        return networks.AutoEncoder(512), gan_networks.Refiner(1024), gan_networks.Discriminator(1024)


@pytest.fixture(scope="module")
def steps(modules):
    return modules["authors_steps"]


@pytest.fixture(scope="module")
def batch(modules):
    layout = modules["training_step"].Layout(64, 2, 1, CPU, "demo", torch.float32)
    return modules["training_step"].random_batch(layout)


def squares(a, b):
    """In place of LPIPS, which takes seconds to make: a distance for each pair."""
    return (a - b).square().mean((1, 2, 3))


def millions(module):
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def values_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def unchanged(before, module):
    return [name for name, value in module.named_parameters() if torch.equal(before[name], value)]


@pytest.fixture
def thin(networks, gan_networks, monkeypatch):
    """An eighth of the channels, for what has to be computed."""
    for module, names in ((networks, ("ENCODER", "DECODER")), (gan_networks, ("REFINER", "DISCRIMINATOR"))):
        for name in names:
            table = getattr(module, f"{name}_CHANNELS")
            thinner = {side: width // 8 for side, width in table.items()}
            monkeypatch.setattr(module, f"{name}_CHANNELS", thinner)
        monkeypatch.setattr(module, "STYLE_DIMS", (64, 32, 16))
    for name in ("STYLE_CHANNELS", "NOISE_DIM", "NOISE_CHANNELS"):
        monkeypatch.setattr(gan_networks, name, getattr(gan_networks, name) // 8)
    monkeypatch.setattr(networks, "REDUCTION", 2)
    torch.manual_seed(0)


def test_parameters_are_as_many_as_is_known(published):
    """In millions."""
    model, refiner, discriminator = published
    assert millions(model.style_encoder) == pytest.approx(14.5, rel=0.02)
    assert millions(model.content_encoder) == pytest.approx(9.0, rel=0.02)
    assert millions(model.decoder) == pytest.approx(19.0, rel=0.03)
    assert millions(model) == pytest.approx(42.6, rel=0.02)
    assert millions(refiner) == pytest.approx(49.8, rel=0.02)
    assert millions(discriminator) == pytest.approx(16.9, rel=0.03)


def test_the_published_layout_has_its_shapes(published):
    """Images of 1024² are made of the auto-encoder's 512²."""
    model, refiner, discriminator = published
    with torch.device("meta"):
        sketch, image = torch.zeros(2, 1, 512, 512), torch.zeros(2, 3, 512, 512)
        content, styles = model.content_encoder(sketch), model.style_encoder(image)
        assert {side: tuple(x.shape) for side, x in content.items()} == {
            8: (2, 512, 8, 8), 16: (2, 256, 16, 16), 32: (2, 128, 32, 32),
        }  # fmt: skip
        assert {dim: x.shape for dim, x in styles.items()} == {dim: (2, dim) for dim in (512, 256, 128)}
        assert model.classify(styles).shape == (2, 500)
        made = model.decoder(content, styles)
        assert made.shape == (2, 3, 512, 512)
        refined = refiner(made, styles)
        assert refined.shape == (2, 3, 1024, 1024)
        assert discriminator(refined).shape == (2, 1, 5, 5)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_smaller_images_pass_the_authors_networks(networks, gan_networks, thin, size):
    model, refiner = networks.AutoEncoder(size).eval(), gan_networks.Refiner(size).eval()
    sketches, images = torch.rand(2, 1, size, size), torch.rand(2, 3, size, size)
    with torch.no_grad():
        made = model(sketches, images)
        assert made.shape == (2, 3, size, size)
        # Both sketch and style image reach the image.
        assert (made[0] - model(sketches.flip(0), images)[0]).abs().max() > 1e-5
        assert (made[0] - model(sketches, images.flip(0))[0]).abs().max() > 1e-5
        styles = model.style_encoder(images)
        refined = refiner(made, styles)
        assert refined.shape == (2, 3, size, size)
        assert (refined - refiner(made, {dim: x.flip(0) for dim, x in styles.items()})).abs().max() > 1e-5
        assert gan_networks.Discriminator(size).eval()(refined).shape == (2, 1, 5, 5)


def test_sizes_that_they_do_not_have(networks, gan_networks):
    for new, size in (
        (networks.AutoEncoder, 1024),
        (gan_networks.Refiner, 96),
        (gan_networks.Discriminator, 2048),
    ):
        with pytest.raises(ValueError, match=f"size is {size}, expected a power of two"):
            new(size)


def test_a_step_of_stage_1_changes_every_weight(steps, thin, batch):
    trainer = steps.AuthorsAutoEncoding(64, squares, CPU)
    model, before = trainer.model, values_of(trainer.model)
    trainer.step(0, batch)
    assert unchanged(before, model) == []
    # The second of its two optimiser steps leaves the head alone.
    assert trainer.optimizer.state[model.decoder.to_rgb.weight]["step"] == 2
    assert trainer.optimizer.state[model.head[1].weight]["step"] == 1


def test_self_supervision_of_stage_1_by_hand(steps, thin, batch):
    """Encoders that say the same of everything: ln 500 of each view, 0 of styles, 2 of each variant."""
    trainer = steps.AuthorsAutoEncoding(64, lambda a, b: torch.full((len(a),), 100.0), CPU)
    model = trainer.model.eval()
    torch.nn.init.zeros_(model.head[1].weight)
    torch.nn.init.zeros_(model.head[1].bias)
    model.style_encoder.forward = lambda image: {dim: torch.ones(len(image), dim) for dim in (64, 32, 16)}
    model.content_encoder.forward = lambda sketch: {
        side: torch.ones(len(sketch), width, side, side) for side, width in ((8, 64), (16, 32), (32, 16))
    }
    loss = trainer._self_supervised(batch, "bold")
    error = F.mse_loss(model(batch["sketch"], batch["image"]), batch["image"])
    # LPIPS is added up over the two images.
    torch.testing.assert_close(loss, 2 * torch.log(torch.tensor(500.0)) + 3 * 2 + error + 200)


@pytest.mark.parametrize(("number", "variant"), [(0, "bold"), (1, "erased"), (5, "bold_erased")])
def test_stage_1_decodes_the_view_s_style_and_a_variant(steps, thin, batch, number, variant):
    """Section 4.1: the reconstruction is from the translated inputs, against the original."""
    trainer = steps.AuthorsAutoEncoding(64, lambda a, b: torch.zeros(len(a)), CPU)
    model, decoded = trainer.model, []
    model.style_encoder.forward = lambda image: {
        dim: image.mean((2, 3)).repeat(1, dim)[:, :dim] for dim in (64, 32, 16)
    }
    model.content_encoder.forward = lambda sketch: {
        side: F.adaptive_avg_pool2d(sketch, side).expand(-1, width, -1, -1)
        for side, width in ((8, 64), (16, 32), (32, 16))
    }
    model.decoder.forward = lambda content, styles: decoded.append((content, styles)) or batch["image"]
    trainer._update = lambda loss: None
    trainer.step(number, batch)
    content, styles = decoded[0]
    assert torch.equal(content[8], model.content_encoder(batch[variant])[8])
    assert torch.equal(styles[64], model.style_encoder(batch["style_view"])[64])


def test_a_step_of_stage_2_changes_all_but_the_auto_encoder(steps, thin, batch):
    trainer = steps.AuthorsRefining(64, squares, CPU)
    named = {name: getattr(trainer, name) for name in ("autoencoder", "refiner", "discriminator")}
    before = {name: values_of(module) for name, module in named.items()}
    trainer.step(0, batch)
    assert unchanged(before["refiner"], trainer.refiner) == []
    assert unchanged(before["discriminator"], trainer.discriminator) == []
    for name, value in trainer.autoencoder.state_dict().items():
        assert torch.equal(value, before["autoencoder"][name])  # running statistics, too
    assert not any(parameter.requires_grad for parameter in trainer.autoencoder.parameters())


def test_the_average_follows_slowly(steps, thin, batch):
    """It begins as the weights after the first step, and then takes a thousandth of each step."""
    trainer = steps.AuthorsRefining(64, squares, CPU)
    average, weight = trainer.average.module.to_rgb.weight, trainer.refiner.to_rgb.weight
    trainer.step(0, batch)
    first = weight.detach().clone()
    torch.testing.assert_close(average, first)
    trainer.step(1, batch)
    torch.testing.assert_close(average, 0.999 * first + 0.001 * weight, rtol=0, atol=1e-8)


def test_both_sides_are_timed_by_turns(modules, monkeypatch, tmp_path, capsys):
    """The whole command, with sides that count."""
    command, calls = modules["training_step"], []

    def sides(layout):
        assert (layout.size, layout.batch_size) == (64, 2)
        networks = {"one": torch.nn.Linear(2, 3)}
        return {
            name: command.Side(lambda number, name=name: calls.append((name, number)), networks)
            for name in ("ours", "theirs")
        }

    monkeypatch.setitem(command.PARTS, "ae", sides)
    monkeypatch.setattr(command.os, "sched_setaffinity", lambda *_: None)
    arguments = "--part ae --size 64 --batch-size 2 --cores 1 --rounds 2".split()
    command.main([*arguments, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == json.loads(capsys.readouterr().out)
    part = found["parts"]["ae"]
    assert (part["size"], part["batch_size"], part["recipe"], part["precision"]) == (64, 2, "demo", "float32")
    assert part["parameters"] == {"ours": {"one": 9}, "theirs": {"one": 9}}
    assert set(part["seconds_a_step"]) == {"ours", "theirs"}
    assert part["times as fast"] > 0
    # Three rounds with the warm-up, each a whole cycle of ours and a step of theirs; who goes first changes.
    assert [name for name, _ in calls if name == "theirs"] == 3 * ["theirs"]
    assert [number for name, number in calls if name == "ours"] == list(range(3 * 4))
    assert [name for name, _ in calls][:5] == ["theirs", *4 * ["ours"]]
    assert calls[5] == ("ours", 4)


def test_the_medians_are_of_seconds_and_of_the_ratios_of_each_round(modules, monkeypatch):
    command = modules["training_step"]
    spent = {"ours": [9, 1, 2, 4], "theirs": [9, 8, 6, 4]}  # the first round does not count
    monkeypatch.setattr(
        command, "seconds_a_step", lambda side, first, count, device: spent[side.networks["name"].text].pop(0)
    )

    def named(name):
        module = torch.nn.Identity()
        module.text = name
        return command.Side(lambda number: None, {"name": module})

    found = command.measured({name: named(name) for name in spent}, 3, CPU)
    assert found["seconds_a_step"] == {"ours": 2, "theirs": 6}
    assert found["times as fast"] == 3  # of 8, 3 and 1


def test_theirs_get_the_memory_format_that_is_quicker(modules, monkeypatch):
    """Elsewhere than on a CPU both are tried."""
    command = modules["training_step"]
    quicker = torch.channels_last

    class Trainer:
        def __init__(self, size, distance, device, memory_format):
            self.memory_format = memory_format

        def step(self, number, batch): ...

    def seconds(side, first, count, device):
        return 1.0 if side.step.func.__self__.memory_format == quicker else 2.0

    monkeypatch.setattr(command, "random_lpips", lambda device: None)
    monkeypatch.setattr(command, "seconds_a_step", seconds)
    for device, expected in (("meta", quicker), ("cpu", torch.contiguous_format)):
        layout = command.Layout(64, 2, 1, torch.device(device), "demo", torch.float32)
        assert command.in_quicker_memory_format(Trainer, layout, {}).memory_format == expected

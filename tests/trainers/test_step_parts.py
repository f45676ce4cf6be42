"""What the steps of auto-encoder and GAN share: statistics of batches, means of losses, averages, devices."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import trainers
from sketchforge.models.autoencoder import AutoEncoder
from trainers import distributed
from trainers.autoencoder.recipe import AeRecipe
from trainers.autoencoder.step import AutoEncoderTrainer
from trainers.batch_statistics import MeanStatistics
from trainers.distributed import Ranks
from trainers.ema import ema_update
from trainers.gan.recipe import GanRecipe
from trainers.gan.step import GanTrainer
from trainers.optimization import LossSums, check_finite_means

CPU = torch.device("cpu")


def samples(count=4):
    rng = torch.Generator().manual_seed(0)
    channels = {"image": 3, "sketch": 1, "variant": 1, "style_view": 3}
    made = {name: torch.rand(count, c, 64, 64, generator=rng) * 2 - 1 for name, c in channels.items()}
    numbers = torch.arange(count)
    made |= dict.fromkeys(("index", "label", "position"), numbers)
    return made | {"group": torch.zeros_like(numbers)}


def test_statistics_are_the_mean_over_micro_batches():
    """As torch updates them once from the mean of the micro-batches' means: .9·before + .1·mean."""
    norm = nn.BatchNorm2d(3)
    nn.init.constant_(norm.running_mean, 5.0)
    parts = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 2
    statistics = MeanStatistics(2, norm)
    for part in parts:
        norm(part)
        statistics.note()
    statistics.finish(Ranks())
    torch.testing.assert_close(norm.running_mean, 0.9 * 5 + 0.1 * parts.mean((0, 1, 3, 4)))


def test_statistics_of_a_single_micro_batch_are_its_own():
    norm, same = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    statistics = MeanStatistics(1, norm)
    for module in (norm, same):
        module(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    statistics.note()
    statistics.finish(Ranks())
    assert torch.equal(norm.running_mean, same.running_mean)


def test_losses_are_means_over_micro_batches_in_the_order_of_their_names():
    sums = LossSums()
    for value in (1.0, 2.0):
        sums.add({"b": torch.tensor(value), "a": torch.tensor(10 * value)})
    assert list(Ranks().all_reduce_mean(sums, ("a", "b", "c")).items()) == [("a", 15), ("b", 1.5)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named(bad):
    check_finite_means({"a": 1.0, "b": -2.0})
    with pytest.raises(FloatingPointError, match=rf"the loss became {bad} \(a 1, b {bad}\)"):
        check_finite_means({"a": 1.0, "b": bad})


def test_the_average_moves_floats_and_copies_counters():
    model = nn.BatchNorm2d(2)
    average = copy.deepcopy(model)
    with torch.no_grad():
        model.weight.fill_(3)
        model.running_mean.fill_(8)
        model.num_batches_tracked.fill_(7)
    ema_update(average, model, 0.75)
    assert (average.weight == 1.5).all()
    assert (average.running_mean == 2).all()
    assert average.num_batches_tracked == 7


def test_the_average_of_another_network_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        ema_update(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), 0.5)


class ReadsOfFloats(TorchDispatchMode):
    """Counts the floats that are read from tensors one by one: on a GPU each makes the host wait."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default and args[0].is_floating_point():
            self.count += 1
        return function(*args, **(kwargs or {}))


def ae_trainer():
    recipe = AeRecipe(
        size=64, steps=6, batch_size=4, width=0.0625, style_dim=32, subset=4, perceptual=0.0, plain_step=True
    )
    return AutoEncoderTrainer(recipe, None, num_images=4, seed=0, device=CPU)


def gan_trainer():
    torch.manual_seed(0)
    recipe = GanRecipe(size=64, steps=5, batch_size=4, width=0.02, r1=1.0, augment="color,translation,cutout")
    return GanTrainer(recipe, AutoEncoder(64, 0.0625), None, seed=0, device=CPU)


@pytest.mark.parametrize("build", [ae_trainer, gan_trainer])
def test_a_step_reads_no_loss_before_its_end(build):
    trainer = build()
    with ReadsOfFloats() as reads:
        losses = trainer.step(0, [samples()])
    assert reads.count == 0
    assert all(type(value) is float for value in losses.values())


def test_every_rank_claims_a_gpu_of_its_own(monkeypatch):
    claimed = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", claimed.append)
    device = Ranks(rank=6, world_size=8, local_rank=2, local_world_size=4).claim_device("auto")
    assert device == torch.device("cuda:2")
    assert claimed == [device]
    assert Ranks().claim_device("cpu") == CPU
    assert claimed == [device]
    assert not hasattr(distributed, "all_gather_object")


def test_no_float64_is_made_on_a_device():
    """Apple's GPUs have none: what is computed in it is moved first."""
    for path in sorted(Path(trainers.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<!\.cpu\(\))\.double\(\)|\.double\(\)\.cpu\(\)", text), path

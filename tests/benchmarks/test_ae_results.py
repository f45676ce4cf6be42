"""The study of auto-encoder and GAN: its rows, and that one is trained and measured once."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import benchmarks.studies.ae_results as study
from sketchforge.images.encode import write_png
from sketchforge.images.sources.find import find_images
from sketchforge.models import layers
from sketchforge.models.autoencoder import AutoEncoder
from tests.helpers.previews import few_previews
from trainers.autoencoder import recipe as ae_recipe
from trainers.gan import recipe as gan_recipe


def test_what_is_planned_is_there_and_nothing_else():
    there = [path.stem for path in study.RESULTS.glob("*.json")]
    assert sorted(there) == sorted(row.name for row in study.planned_rows())


def test_rows_are_named_after_what_they_are():
    for row in study.planned_rows():
        assert study.Row.parse(row.name) == row


@pytest.mark.parametrize("name", ["portraits-128-none-0", "cats-128-all-0", "portraits-96-all-0"])
def test_other_rows_are_refused(name):
    with pytest.raises(ValueError, match="no such row"):
        study.Row.parse(name)


def test_vanilla_has_none_of_the_self_supervised_losses_and_all_has_all():
    assert set(study.VARIANTS["vanilla"].off) == set(study.OFF)
    assert study.VARIANTS["all"].off == ()
    assert study.VARIANTS["style-class"].off == ("style_triplet", "content_triplet", "content_class")


def test_a_refined_row_leaves_its_figures_once(tmp_path, monkeypatch, capsys):
    """With tiny networks, two steps, and the built-in encoder alone, on small images."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data/faces"
    folder.mkdir(parents=True)
    for number in range(12):
        blocks = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        write_png(folder / f"{number}.png", np.kron(blocks, np.ones((8, 8, 1), np.uint8)))
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    monkeypatch.setattr(study, "IMAGES", {"portraits": ("faces",)})
    monkeypatch.setattr(study, "PAIRS", 4)
    real = study.EvalImagesOptions
    monkeypatch.setattr(
        study, "EvalImagesOptions",
        lambda **given: real(**given | {"features": (("builtin", None),), "lpips": ()}),
    )  # fmt: skip
    real_render = study.RenderOptions
    monkeypatch.setattr(
        study, "RenderOptions",
        lambda *words, **given: real_render(*words, **given | {"size": 64, "split": "train=.5,val=.5"}),
    )  # fmt: skip
    few_previews(monkeypatch)
    monkeypatch.setattr("trainers.image_models.validation.NUM_MISMATCHED", 12)
    monkeypatch.setattr("sketchforge.metrics.images.feature_networks.BUILTIN_SIDE", 64)
    for recipes, changes in (
        (ae_recipe.RECIPES, {"width": 0.0625, "style_dim": 32, "batch_size": 4}),
        (gan_recipe.RECIPES, {"width": 0.02, "batch_size": 4}),
    ):
        monkeypatch.setitem(recipes, "demo", replace(recipes["demo"], **changes))
    row = study.Row("portraits", 64, "gan", 0)
    path = study.run_row(row, tmp_path / "data", tmp_path / "work", steps=2)
    assert path.name == "portraits-64-gan-0-2.json"
    result = json.loads(path.read_text())
    assert (result["variant"], result["steps"], len(result["curve"])) == ("gan", 2, 2)
    assert {"layout leak", "lattice", "Sty-Rec", "Skt-Rec"} <= set(study.figures_of(result))
    assert str(tmp_path) not in path.read_text()

    monkeypatch.setattr(study, "train_row", lambda *_: pytest.fail("is trained again"))
    assert study.run_row(row, tmp_path / "data", tmp_path / "work", steps=2) == path
    study.print_tables()
    assert "| all losses, GAN | 1 |" in capsys.readouterr().out


def store_row(folder, variant, seed, frechet, curve=()):
    """Of portraits at 64 pixels; frechet: (value, low, high)."""
    figures = dict(zip(("value", "low", "high"), frechet, strict=True))
    titles = {"frechet": "Fréchet (mobilenet_v2)"}
    rows = [{"name": "model", "titles": titles, "frechet": figures}]
    rows += [{"name": "chance", "titles": titles, "frechet": {"value": 9.0, "low": 9.0, "high": 9.0}}]
    row = {"data": "portraits", "size": 64, "steps": 7, "variant": variant, "seed": seed, "rows": rows}
    row["curve"] = [{"step": step, "held_out_frechet": value} for step, value in curve]
    (folder / f"portraits-64-{variant}-{seed}.json").write_text(json.dumps(row))


def test_intervals_are_over_images_with_one_seed_and_over_both_with_several(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    store_row(tmp_path, "vanilla", 0, (250, 240, 260))
    for seed, value in enumerate((210, 240, 225)):
        store_row(tmp_path, "all", seed, (value, value - 90, value + 90))
    study.print_tables()
    printed = capsys.readouterr().out
    assert "portraits, 64 pixels, 7 steps" in printed
    assert "| vanilla | 1 | 250 [240 260] | FID 44.3, LPIPS 18.7 |" in printed
    assert "| all losses | 3 | 225 [120 330] |" in printed


def test_nearest_neighbour_is_of_its_rows_alone():
    """Each pixel four times, then the kernel; bilinear again afterwards."""
    x, weight = torch.arange(4.0).view(1, 1, 2, 2), torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 1] = 2.0
    expected = 2 * x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with study.networks_of(study.VARIANTS["nearest"]):
        assert torch.equal(layers.upsample_conv(x, weight), expected)
    with study.networks_of(study.VARIANTS["all"]):
        assert not torch.equal(layers.upsample_conv(x, weight), expected)


def test_borders_of_sketches_and_images_are_repeated_for_their_row_alone():
    for variant, ends in (
        ("adain-replicate-ends", "replicate"),
        ("adain-replicate", "zeros"),
        ("all", "zeros"),
    ):
        with study.networks_of(study.VARIANTS[variant]):
            made = AutoEncoder(64, 0.0625)
        levels = made.content_encoder.levels, made.style_encoder.trunk.levels
        found = [level["32"][0][0].padding_mode for level in levels] + [made.decoder.to_rgb.padding_mode]
        assert found == [ends] * 3
        assert levels[0]["16"][0][0].padding_mode == made.decoder.enter.padding_mode == "zeros"
    assert torch.nn.Conv2d(1, 1, 3).padding_mode == "zeros"


def test_rows_are_as_published_but_for_what_they_name(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(study, "render_shards", lambda *_: tmp_path)
    monkeypatch.setattr(study, "train_ae", asked.append)
    for variant in ("all", "style-adain", "adain-replicate"):
        study.train_row(study.Row("portraits", 64, variant, 0), tmp_path, tmp_path, 600)
    assert [(x.style, x.padding) for x in asked] == [
        ("multiply", "zeros"), ("adain", "zeros"), ("adain", "replicate"),
    ]  # fmt: skip


def test_a_mixture_lists_all_folders_under_the_same_keys_everywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "IMAGES", {"mixture": ("faces", "photos/dogs"), "portraits": ("faces",)})
    keys = []
    for machine in (tmp_path / "a", tmp_path / "b/c"):
        for name in ("faces/1.png", "faces/table.tsv", "photos/dogs/1.jpg", "photos/cats/1.jpg"):
            (machine / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            write_png(machine / "data" / name, np.zeros((8, 8, 3), np.uint8))
        (machine / "work").mkdir()
        listed = study.list_images("mixture", machine / "data", machine / "work")
        assert study.list_images("mixture", machine / "data", machine / "work") == listed
        keys.append([image.key for image in find_images(listed)])
    assert keys[0] == keys[1]
    assert len(keys[0]) == 2
    assert study.list_images("portraits", tmp_path / "a/data", tmp_path) == tmp_path / "a/data/faces"


def test_rows_of_other_steps_than_the_tables_are_of_their_own():
    row = study.Row("portraits", 128, "all", 2)
    assert study.named_by_steps(row, study.STEPS[128]) == "portraits-128-all-2"
    assert study.named_by_steps(row, 1800) == "portraits-128-all-2-1800"


def test_a_discriminator_of_features_has_as_much_time_by_fewer_steps_of_its_own(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(study, "render_shards", lambda *_: tmp_path)
    monkeypatch.setattr(study, "train_ae", asked.append)
    monkeypatch.setattr(study, "train_gan", asked.append)
    study.train_row(study.Row("portraits", 64, "gan-features-400", 0), tmp_path, tmp_path, 600)
    below, refining = asked
    assert (below.steps, below.run.name) == (600, "portraits-64-all-0")
    assert (refining.steps, refining.discriminator, refining.ae) == (400, "features", below.run)


def test_curves_have_a_line_for_every_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    for seed in (0, 1):
        store_row(tmp_path, "all", seed, (1, 0, 2), [(10, 4.0), (20, 3.0 + seed)])
    study.draw_curves(tmp_path)
    drawn = (tmp_path / "frechet-portraits-64-7.svg").read_text()
    assert drawn.count("<polyline") == 2
    assert ">all losses<" in drawn
    assert ">vanilla<" not in drawn


def test_figures_without_an_interval_are_values_and_those_without_a_value_nothing():
    assert study.format_figures([{"value": 0.5, "low": None, "high": None}]) == "0.500"
    assert study.format_figures([{"value": None, "low": None, "high": None}]) == ""
    assert study.format_figures([{"value": 1.0, "low": 0.5, "high": 2.0}]) == "1.00 [0.500 2.00]"

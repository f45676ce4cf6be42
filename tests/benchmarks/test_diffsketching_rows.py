"""The study of DiffSketching: its rows, what they compare, and the published way, which moves nothing."""

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

import benchmarks.studies.diffsketching_rows as study
from sketchforge.utils.files import write_json
from tests.helpers.tiny_diffusion import rows, tiny_model


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_rows_are_named_after_what_they_are(variant):
    row = study.DiffSketchingRow("portraits", 64, variant, 3)
    assert study.DiffSketchingRow.parse(row.name) == row


@pytest.mark.parametrize("name", ["portraits-64-none-0", "cats-64-one-step-0", "portraits-96-one-step-0"])
def test_other_rows_are_refused(name):
    with pytest.raises(ValueError, match="no such row"):
        study.DiffSketchingRow.parse(name)


def test_own_and_others_sketches_are_told_apart():
    """Of images whose own sketches are given, these are at no distance, by either measure."""
    model = tiny_model()
    _, images, _ = rows(4)
    own = model.view.draw(images)
    values = study.compare_sketches(model, images, own, own.roll(1, 0))
    assert np.abs(values["L_p, own"]).max() < 1e-6 * values["L_p, other"].min()
    assert np.array_equal(values["ink, own"], np.zeros(4))
    assert (values["ink, other"] > 0).all()


def test_a_row_of_an_earlier_version_has_what_it_has_in_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    figures = {"L_p, own": [1.0, 0.5, 2.0], "ink, own": [0.25, 0.125, 0.5]}
    row = {"data": "portraits", "size": 64, "variant": "last-2", "seed": 0, "steps": 2500, "tuning_steps": 60}
    write_json(tmp_path / "row.json", row | {"figures": {"after": figures}})
    study.print_table()
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(
        "| portraits 64 last-2 0 | 2,500 + 60 | after | 1 [0.5 2] |  |  | 0.25 [0.125 0.5] |"
    )


def test_what_sketches_are_compared_with_is_of_neither_the_style_nor_themselves(monkeypatch):
    """Sampling begins at the style image, whose own sketch is therefore no third one."""
    indices = [number % 121 for number in range(200)]
    pairs = torch.arange(200.0).view(-1, 1, 1, 1).expand(-1, 3, 8, 8), torch.arange(200.0).view(-1, 1, 1, 1)
    monkeypatch.setattr(study, "read_held_out", lambda *_: (*pairs, indices))
    monkeypatch.setattr(study, "draw_edges", lambda edges, images: np.zeros(len(images)))
    held_out = study.HeldOut(None, 64, 200, 0, None)
    for number in range(200):
        style, other = int(held_out.styles[number, 0, 0, 0]), int(held_out.others[number, 0, 0, 0])
        assert len({indices[number], indices[style], indices[other]}) == 3


def test_what_is_told_are_means_and_their_difference():
    values = {
        f"{measure}, {of}": np.array([0.0, 2.0]) + 3 * (of == "other")
        for measure in ("L_p", "ink")
        for of in ("own", "other")
    }
    told = study.estimate_distances(values, [0, 1], 0)
    assert told["L_p, own"][0] == 1
    assert told["ink, other − own"] == [3, 3, 3]


def test_an_image_of_the_study_is_of_its_own_number():
    model = tiny_model()
    sketches, styles, _ = rows(3)
    made = study.sample_all(model, sketches, styles, 0)
    assert torch.allclose(study.sample_all(model, sketches[:2], styles[:2], 0), made[:2], atol=1e-4)


def test_the_published_way_moves_no_weight():
    model = tiny_model()
    sketches, images, _ = rows(6)
    told = study.tune_as_published(model, images, sketches)
    assert (told["weights that moved"], told["weights with a gradient"]) == (0, 0)
    assert told["weights"] > 10
    assert len(told["losses"]) == 2
    assert min(told["losses"]) > 0

"""Neighbourhoods of drawings in style space."""

import numpy as np
import torch

from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.images.builtin.drawings import PENS, draw
from sketchforge.models.encoder import Encoder
from trainers.tom.step import FINE_TAPS
from trainers.tom.style_windows import neighbourhoods, style_vectors


def test_groups_by_hand():
    """Points 0, 1, 10, 11, 50 on a line: 10 is the most typical, 50 the farthest from it, 0 from both."""
    vectors = torch.tensor([[0.0], [1.0], [10.0], [11.0], [50.0]])
    groups = neighbourhoods(vectors, 2)
    assert groups[:3] == [[2, 3], [4, 3], [0, 1]]
    assert sorted(group[0] for group in groups) == list(range(5))


def test_every_drawing_heads_one_group_and_groups_hold_distinct_members():
    vectors = torch.randn(17, 6, generator=torch.Generator().manual_seed(0))
    groups = neighbourhoods(vectors, 4)
    assert sorted(group[0] for group in groups) == list(range(17))
    assert all(len(set(group)) == 4 for group in groups)


def test_fewer_drawings_than_a_group_holds():
    assert neighbourhoods(torch.zeros(1, 3)) == [[0]]
    assert [sorted(group) for group in neighbourhoods(torch.eye(2))] == [[0, 1], [0, 1]]


def test_identical_drawings_are_no_reason_to_fail():
    features = {"a": torch.ones(3, 2, 4, 4)}
    assert torch.isfinite(style_vectors(features)).all()


def test_neighbours_share_the_pen_more_often_than_chance():
    """Six subjects, each with six pens: the drawing nearest in style is by the same pen more than twice as often."""
    encoder: Encoder = load_encoder("builtin")
    subjects, pens = ("cat", "teapot", "woman", "car", "oak", "boot"), PENS[::2]
    pixel_arrays = np.stack([draw(subject, pen, 128) for pen in pens for subject in subjects])
    images = torch.from_numpy(pixel_arrays)[:, None].float().div(127.5).sub(1).expand(-1, 3, -1, -1)
    with torch.no_grad():
        groups = neighbourhoods(style_vectors(encoder(images, FINE_TAPS)), 2)
    same = np.mean([group[0] // len(subjects) == group[1] // len(subjects) for group in groups])
    assert same > 2 * 5 / 35

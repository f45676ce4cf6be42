"""What is matched: the encoder's layer of a size, SIFT, one image after the other."""

import pytest
import torch

from sketchforge.models import patch_matching
from sketchforge.models.encoder import Encoder
from sketchforge.models.patch_matcher import MATCHES, PatchMatcher, matching_tap
from sketchforge.models.patch_matching import CHUNK, _compare
from sketchforge.models.segin import Segin, Translator


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(((4, 4), (6, 6), (8, 8), (8,)))


def images(count=2, channels=3, size=64, seed=0):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(
    ("size", "tap", "cells"),
    [(64, "relu3_1", 16), (128, "relu3_1", 32), (256, "relu4_1", 32), (512, "relu4_1", 64)],
)
def test_the_layer_and_the_grid_are_those_of_the_size(encoder, size, tap, cells):
    matcher = PatchMatcher(encoder, size, "argmax")
    assert matching_tap(size) == tap
    assert matcher.grid == (cells, cells)
    assert matcher.encode(images(1, size=size)).shape[2:] == matcher.grid


@pytest.mark.parametrize("match", MATCHES)
def test_an_image_s_auxiliary_image_does_not_depend_on_its_batch(encoder, match):
    """Of given features, which a batch may change in the last bit."""
    matcher = PatchMatcher(encoder, 64, match)
    features, keys = matcher.encode(images(3, 1)), matcher.encode(images(3, seed=1))
    matcher.encode = lambda x: (features if x.shape[1] == 1 else keys)[x[:, 0, 0, 0].long()]
    numbered = [torch.zeros(3, channels, 64, 64) for channels in (1, 3)]
    for each in numbered:
        each[:, :, 0, 0] = torch.arange(3.0)[:, None]
    together = matcher.paste(*numbered)
    assert torch.equal(matcher.paste(*(each[1:2] for each in numbered)), together[1:2])


@pytest.mark.parametrize("match", ["argmax", "sift"])
def test_an_image_matched_with_itself_is_pasted_whole(encoder, match):
    """Its grey with itself: every cell is its own best match."""
    photo = images(1, 1).expand(-1, 3, -1, -1)
    pasted = PatchMatcher(encoder, 64, match).paste(photo[:, :1], photo)
    torch.testing.assert_close(pasted, photo, atol=0.02, rtol=0)


def test_even_cells_are_matched_by_their_places_in_sift(encoder):
    paper = torch.ones(1, 1, 64, 64)
    matches = PatchMatcher(encoder, 64, "sift").find_matches(paper, torch.ones(1, 3, 64, 64))
    assert torch.equal(matches.flatten(), torch.arange(16 * 16))


def test_a_place_counts_a_twentieth_of_a_descriptor(encoder):
    encoded = PatchMatcher(encoder, 64, "sift").encode(images(1, 1))
    places = encoded[0, -4:].flatten(1).norm(dim=0)
    torch.testing.assert_close(places, torch.full_like(places, 0.05))


def test_sift_goes_by_lines_and_not_by_places_where_there_are_lines(encoder):
    drawing = torch.ones(1, 1, 64, 64)
    drawing[..., 20:44, 14:16] = -1
    reference = drawing.roll(24, 3).expand(-1, 3, -1, -1)
    matches = PatchMatcher(encoder, 64, "sift").find_matches(drawing, reference)[0]
    assert (matches[8, 3] % 16, matches[8, 3] // 16) == (9, 8)


def test_memory_is_bounded_at_512_pixels(encoder, monkeypatch):
    """Of the 4,096 × 4,096 cosines of 64 × 64 cells, CHUNK rows of one image are there at a time."""
    compared = []

    def compare(*asked):
        for similarity in _compare(*asked):
            compared.append(similarity.shape)
            yield similarity

    monkeypatch.setattr(patch_matching, "_compare", compare)
    small = Encoder(((2,), (2,), (2,), (2,)))
    PatchMatcher(small, 512, "argmax").find_matches(images(2, 1, 512), images(2, 3, 512))
    assert compared == [(1, CHUNK, 4096)] * 8


def test_another_match_is_refused(encoder):
    with pytest.raises(ValueError, match="match is 'best', expected one of argmax, soft, sift"):
        PatchMatcher(encoder, 64, "best")


# The whole system.


def test_the_system_is_the_translator_on_what_the_matcher_pastes(encoder):
    torch.manual_seed(0)
    translator, matcher = Translator(64, 0.03).eval(), PatchMatcher(encoder, 64, "argmax")
    sketch, style = images(1, 1), images(1, seed=1)
    expected = translator(sketch, matcher.paste(sketch, style)).image
    assert torch.equal(Segin(translator, matcher)(sketch, style), expected)


def test_styles_are_means_and_deviations_of_what_is_matched(encoder):
    model = Segin(Translator(64, 0.03).eval(), PatchMatcher(encoder, 64, "sift"))
    features = encoder(images(), ["relu3_1"])["relu3_1"]
    expected = torch.cat([features.mean((2, 3)), features.flatten(2).std(2)], dim=1)
    torch.testing.assert_close(model.encode_style(images()), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda encoder: Segin(Translator(64, 0.03), PatchMatcher(encoder, 128, "soft")), "size is 64, the matcher's 128"),
        (lambda encoder: Segin(Translator(64, 0.03), PatchMatcher(encoder, 64, "soft"), "photo"), "input is 'photo'"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(encoder, make, message):
    with pytest.raises(ValueError, match=message):
        make(encoder)


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (1, 3, 32, 64)])
def test_other_style_images_are_refused(encoder, shape):
    model = Segin(Translator(64, 0.03).eval(), PatchMatcher(encoder, 64, "argmax"))
    with pytest.raises(ValueError, match=r"style image is .*, expected \(1,3,64,64\)"):
        model(torch.zeros(1, 1, 64, 64), torch.zeros(shape))

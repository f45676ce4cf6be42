"""Counts in sentences."""

import pytest

from sketchforge.utils.text import count_noun


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (2, "image", "2 images"),
        (1200, "shard", "1,200 shards"),
        (1, "sketch", "1 sketch"),
        (10, "sketch", "10 sketches"),
        (2, "copy", "2 copies"),
        (2, "key", "2 keys"),
        (2, "worker process", "2 worker processes"),
        (2, "built-in photo", "2 built-in photos"),
    ],
)
def test_nouns_follow_their_counts(count, noun, text):
    assert count_noun(count, noun) == text


def test_an_irregular_plural_is_given():
    assert count_noun(3, "child", "children") == "3 children"
    assert count_noun(1, "child", "children") == "1 child"

"""Where images come from: folder trees, tar shards, lists of files, or the built-in photos."""

from sketchforge.images.sources.find import FoundImages, arrange, builtin_images, find_images, search_images
from sketchforge.images.sources.keys import EXTENSIONS, MAX_KEY, image_key
from sketchforge.images.sources.passed_over import describe_passed_over
from sketchforge.images.sources.source import ImageSource
from sketchforge.images.sources.table import ImageTable

__all__ = [
    "EXTENSIONS",
    "MAX_KEY",
    "FoundImages",
    "ImageSource",
    "ImageTable",
    "arrange",
    "builtin_images",
    "describe_passed_over",
    "find_images",
    "image_key",
    "search_images",
]

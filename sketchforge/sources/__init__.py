"""Where images come from: folder trees, tar shards, lists of files, or the photos built in."""

from sketchforge.sources.find import arranged, builtin_images, find_images
from sketchforge.sources.image_source import ImageSource
from sketchforge.sources.keys import EXTENSIONS, MAX_KEY, image_key

__all__ = ["EXTENSIONS", "MAX_KEY", "ImageSource", "arranged", "builtin_images", "find_images", "image_key"]

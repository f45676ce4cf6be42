"""Where images come from: folder trees, tar shards, lists of files, or the built-in photos."""

from sketchforge.images.sources.find import arrange, builtin_images, find_images
from sketchforge.images.sources.keys import EXTENSIONS, MAX_KEY, image_key
from sketchforge.images.sources.source import ImageSource

__all__ = ["EXTENSIONS", "MAX_KEY", "ImageSource", "arrange", "builtin_images", "find_images", "image_key"]

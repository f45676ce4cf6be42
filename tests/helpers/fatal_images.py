"""For worker processes: imports little, so that they start soon."""

import os
import time


def prepare_unless_fatal(image, *arguments):
    """`prepare`, but an image called fatal ends the process, as a crashing decoder does."""
    if "fatal" in image.source:
        os._exit(3)
    from sketchforge.render.prepare import prepare

    return prepare(image, *arguments)


def hang(*_):
    """A decoder that never comes to an end."""
    time.sleep(60)

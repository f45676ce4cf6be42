"""Frames of animated images and videos -> pixels, uint8 HWC RGB.

Videos come from anybody, and FFmpeg knows hundreds of formats, some of which name other files and addresses to be
opened. So the first bytes have to be those of one of four containers, only their demuxers are allowed, and nothing but
the file itself is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sketchforge.images.decode import (
    EMPTY,
    MAX_PIXELS,
    MIN_SIDE,
    NOT_AN_IMAGE,
    TOO_LARGE,
    TOO_SMALL,
    TRUNCATED,
    UNREADABLE,
    ImageError,
    open_image,
)
from sketchforge.utils.files import open_file

if TYPE_CHECKING:
    import numpy as np

ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")
ANIMATED_EXTENSIONS = ("gif", "png", "apng", "webp", "avif")  # under which such files are looked for
VIDEO_EXTENSIONS = ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg")
MAX_FRAMES = 1 << 24  # of a file: more are a damaged header

# Where the bytes stand by which a container is known.
_CONTAINERS = (
    (4, (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),  # MP4, QuickTime
    (0, (b"\x1a\x45\xdf\xa3",)),  # Matroska, WebM
    (8, (b"AVI ",)),
    (0, (b"\0\0\1\xba",)),  # MPEG program streams
)
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg"
_SETTING = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_CHUNK = 1 << 20


def is_video(name: str) -> bool:
    """Whether a file's name has a video's ending."""
    return name.rpartition(".")[2].lower() in VIDEO_EXTENSIONS


def choose_frames(num_frames: int, most: int) -> list[int]:
    """At most `most` of `num_frames` frames, from 0: the middle ones of as many equal parts.

    Of 10 frames and 2: 2 and 7. Which ones they are does not depend on chance, nor on other files.
    """
    count = min(num_frames, most)
    return [(2 * number + 1) * num_frames // (2 * count) for number in range(count)]


def count_animation(data: bytes) -> int:
    """The frames of an image; 1 for a still one, and for what is no image or damaged: reading it says why."""
    with suppress(Exception):  # Pillow's decoders raise anything on damaged data
        return max(1, min(int(getattr(open_image(data, ANIMATED_FORMATS), "n_frames", 1)), MAX_FRAMES))
    return 1


def count_video(path: str) -> int:
    """The frames of a video, by its header or, where that does not say, by going through it. Raises ImageError."""
    import cv2

    with _opened(path) as video:
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        if not 0 < count <= MAX_FRAMES:
            count = 0
            while count < MAX_FRAMES and video.grab():
                count += 1
    if not count:
        raise ImageError(TRUNCATED, path)
    return count


def read_video_frame(path: str, frame: int) -> np.ndarray:
    """A frame of a video, from 0, upright: uint8 HxWx3 RGB. Raises ImageError."""
    import cv2
    import numpy as np

    with _opened(path) as video:
        video.set(cv2.CAP_PROP_POS_FRAMES, frame)
        succeeded, pixels = video.read()
    if not succeeded or pixels is None:
        raise ImageError(TRUNCATED, f"{path}: frame {frame + 1}")
    if min(pixels.shape[:2]) < MIN_SIDE:
        raise ImageError(TOO_SMALL, path)
    return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


@lru_cache(maxsize=8)  # the frames of a file follow one another
def digest_file(path: str, size: int, modified: int) -> str:
    """The SHA-256 of a file that is too large for memory; size and time of change: of the file that is meant."""
    digest = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    import cv2

    with open_file(path) as file:
        head = file.read(16)
    if not head:
        raise ImageError(EMPTY, path)
    if not any(head.startswith(names, start) for start, names in _CONTAINERS):
        raise ImageError(NOT_AN_IMAGE, path)
    kept = os.environ.get(_SETTING)
    os.environ[_SETTING] = f"protocol_whitelist;file|format_whitelist;{_DEMUXERS}"
    try:
        # One thread: workers are as many as there are cores.
        video = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    finally:
        if kept is None:
            del os.environ[_SETTING]
        else:
            os.environ[_SETTING] = kept
    try:
        if not video.isOpened():
            raise ImageError(UNREADABLE, path)
        width, height = (video.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MAX_PIXELS:
            raise ImageError(TOO_LARGE, f"{path}: {width:g} x {height:g}")
        yield video
    finally:
        video.release()

"""Worker processes that import no OpenCV, which is most of their start: for tasks that decode nothing."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from types import ModuleType

from sketchforge.utils import worker_pool

WORK = worker_pool._work


def work_without_cv2(connection: Connection) -> None:
    """What a worker process runs, in place of `worker_pool._work`."""
    sys.modules["cv2"] = cv2 = ModuleType("cv2")
    cv2.setNumThreads = lambda _: None
    WORK(connection)

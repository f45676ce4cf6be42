"""Many small computations side by side, each on one thread of torch.

Parting every convolution among threads makes them wait for each other some hundred times an image, and for whatever
else runs on the machine each time; and how sums are parted decides their last bits. Parting the work among threads
waits once, and gives the same numbers for any number of threads.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Barrier


def thread_pool(threads: int) -> Executor:
    """Calls in the order of their submission, on so many threads; on each of them torch computes with one thread."""
    import torch

    ready = Barrier(threads + 1)

    def begin() -> None:
        torch.set_flush_denormal(True)  # a setting of each thread
        torch.get_num_threads()  # the first time a thread uses the number it takes over the process's
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, "torch")
    for _ in range(threads):
        pool.submit(begin)
    ready.wait()
    torch.set_num_threads(threads)  # of this thread, and of libraries that know one number only
    return pool

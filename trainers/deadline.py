"""A signal ends a training in time, also while the main thread cannot handle it: within one layer's pass, an
evaluation on a GPU, a read that hangs.

The kernel hands every signal that the main thread blocks to a thread of ours, which ends the process where the
main thread has not done so within SECONDS. State, log and record appear whole or line by line, so what is cut
off is no more than a kill would leave; and the loop saves before anything that takes long (`loop.LONG_SECONDS`).
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

SECONDS = 6.0  # from the first signal

_writing = threading.Lock()


@contextmanager
def written_whole() -> Iterator[None]:
    """The end that `ended_in_time` makes waits for the block: a state is being written."""
    with _writing:
        yield


@contextmanager
def ended_in_time(end: Callable[[int], None]) -> Iterator[None]:
    """Call `end`, in a thread, with the number of a signal that has come in the block SECONDS ago.

    Not where the signal is ignored or the block was left before, unless by KeyboardInterrupt: then the process
    is about to end, and must not hang on the way. `end` has to end the process. Does nothing outside the main
    thread, or where the system cannot block signals.
    """
    both = (signal.SIGINT, signal.SIGTERM)
    watched = {number for number in both if signal.getsignal(number) is not signal.SIG_IGN}
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    left = threading.Event()
    previous = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiver, watched, left, end), daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        left.set()
        raise
    else:
        left.set()
    finally:
        signal.set_wakeup_fd(previous)
        sender.close()


def _watch(
    receiver: socket.socket, watched: Container[int], left: threading.Event, end: Callable[[int], None]
) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    with receiver:
        while numbers := receiver.recv(64):  # nothing: the block was left
            if received := [number for number in numbers if number in watched]:
                if not left.wait(SECONDS):
                    with _writing:
                        end(received[0])
                return

"""What the ranks of a training say of themselves, in the store that torchrun's own process keeps for them.

A connection that breaks does not tell why. So each rank says when it is ready, stopped by a signal, failed,
or still there after a connection broke; whoever says nothing is lost.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from torch import distributed
from torch.distributed.rendezvous import rendezvous

from sketchforge.errors import UsageError

ANSWER_SECONDS = 2.0  # within which every living rank notices a broken connection, or an error of its own
_POLL_SECONDS = 0.05


def open_store(name: str, rank: int, world_size: int) -> distributed.Store:
    """A connection of its own to the store that torchrun keeps, with keys of its own.

    Where torchrun starts the ranks again, those of before have left their keys; they are not seen. Raises
    UsageError where torchrun's variables are incomplete.
    """
    try:
        store, _, _ = next(iter(rendezvous("env://", rank, world_size, timeout=timedelta(seconds=60))))
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            f"WORLD_SIZE is {world_size}, but the ranks cannot meet ({str(error).splitlines()[0][:200]}); "
            "start them by torchrun, or unset WORLD_SIZE"
        ) from None
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return distributed.PrefixStore(f"sketchforge/{attempt}/{name}", store)


class RollCall:
    """Words of each rank: "ready", "held", "refused", "stopped", "failed", "there"; "failed" comes with why."""

    def __init__(self, store: distributed.Store, rank: int, world_size: int) -> None:
        self._store, self._rank, self._world_size = store, rank, world_size

    @classmethod
    @functools.cache
    def of(cls, rank: int, world_size: int) -> RollCall:
        """The roll call of the training that this process belongs to.

        Raises UsageError where torchrun's variables are incomplete.
        """
        return cls(open_store("words", rank, world_size), rank, world_size)

    def say(self, word: str, text: str = "") -> None:
        with suppress(RuntimeError):  # torchrun is gone, and its store with it
            self._store.set(f"{word}/{self._rank}", text)

    def has_said(self, rank: int, *words: str) -> bool:
        try:
            return any(self._store.check([f"{word}/{rank}"]) for word in words)
        except RuntimeError:
            return False

    def read_failure(self, rank: int) -> str:
        """Why a rank has failed, in one line; empty where it has not said so."""
        if not self.has_said(rank, "failed"):
            return ""
        with suppress(RuntimeError):
            return self._store.get(f"failed/{rank}").decode()
        return ""

    def wait_for_all(self, word: str, text: str = "") -> None:
        """Say `word`, and wait until every rank has. Raises RuntimeError when one has failed or stopped."""
        self.say(word, text)
        self._wait(lambda: all(self.has_said(rank, word) for rank in range(self._world_size)))

    def collect(self, word: str, text: str) -> list[str]:
        """Say `word` with a text, and return those of all ranks. Raises as `wait_for_all` does."""
        self.wait_for_all(word, text)
        return [self._store.get(f"{word}/{rank}").decode() for rank in range(self._world_size)]

    def wait_for_main(self, *words: str) -> str:
        """Wait until rank 0 has said one of `words`, and return it. Raises RuntimeError when it has failed."""
        self._wait(lambda: self.has_said(0, *words))
        return next(word for word in words if self.has_said(0, word))

    def lower_rank_ends(self) -> bool:
        """Whether a rank below this one fails or stops, too, now or within ANSWER_SECONDS."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            if any(self.has_said(rank, "failed", "stopped") for rank in range(self._rank)):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def find_missing(self) -> list[int] | None:
        """The ranks that are lost, after a connection broke; None where all others were stopped or are there.

        Waits up to ANSWER_SECONDS for those that live to notice, but not for those that have said why they fail.
        """
        self.say("there")
        deadline = time.monotonic() + ANSWER_SECONDS
        others = [rank for rank in range(self._world_size) if rank != self._rank]
        while True:
            missing = [rank for rank in others if not self.has_said(rank, "there", "stopped")]
            if not missing and any(self.has_said(rank, "stopped") for rank in others):
                return None
            have_failed = all(self.has_said(rank, "failed") for rank in missing)  # and need no time to answer
            if have_failed or time.monotonic() > deadline:
                return missing
            time.sleep(_POLL_SECONDS)

    def _wait(self, condition: Callable[[], bool]) -> None:
        while not condition():
            for rank in range(self._world_size):
                if rank != self._rank and self.has_said(rank, "failed", "stopped"):
                    reason = self.read_failure(rank)
                    raise RuntimeError(f"rank {rank} {f'failed ({reason})' if reason else 'has ended'}")
            time.sleep(_POLL_SECONDS)

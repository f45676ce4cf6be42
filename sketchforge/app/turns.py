"""Who computes when: a thread that carries out one call at a time, and the order in which pages get it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class ReplacedError(Exception):
    """A request that waited, until the same page asked for something newer."""


class CallThread:
    """A thread for calls, one at a time. A daemon: the program ends without waiting for it."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, call: Callable[[], T]) -> T:
        """Carry out a call; its result, or what it raises."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            future, call = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del future, call  # images are large, and the next call may be long in coming


class Turns:
    """One request at a time, the others in the order in which they came.

    Of each page only the newest waits: it takes the place of the page's older one, which ends with ReplacedError. For
    one event loop.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: dict[str, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def take(self, page: str) -> AsyncIterator[None]:
        """Wait for the turn of a page's request. Raises ReplacedError."""
        await self._wait(page)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, page: str) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        older = self._waiting.get(page)
        self._waiting[page] = turn  # a key that is there keeps its place
        if older is not None and not older.done():
            older.set_exception(ReplacedError())
        try:
            await turn
        except asyncio.CancelledError:
            if self._waiting.get(page) is turn:
                del self._waiting[page]
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on()  # it had come, too late
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.pop(next(iter(self._waiting)))
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False

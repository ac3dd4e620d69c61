"""One at a time does what many want at once: threads, and the tasks of an event loop.

Each gets a value of its own, packed before anybody may have changed the one that was made.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from ._core import dumps, loads


def _pack(value: Any) -> bytes:
    return dumps(value, max_depth=None, max_bytes=None, max_items=None)


def _unpack(packed: bytes) -> Any:
    return loads(packed, max_depth=None, max_bytes=None, max_items=None)


# ---- Threads --------------------------------------------------------------------------------


class Flight:
    """A value that one thread makes, and that others wait for."""

    __slots__ = ("_awaited", "_done", "_error", "_packed", "_process", "_thread")

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._process = os.getpid()
        self._done = threading.Event()
        self._awaited = False
        self._packed: bytes | None = None
        self._error: Exception | None = None

    def is_ours(self) -> bool:
        """This thread makes it; or one that a fork has left behind, and then this one has to."""
        return self._thread == threading.get_ident() or self._process != os.getpid()

    def land(self, value: Any) -> None:
        if self._awaited:
            self._packed = _pack(value)
        self._done.set()

    def crash(self, error: BaseException) -> None:
        # What is to end a thread, or the program, is for nobody else: the others try themselves.
        self._error = error if isinstance(error, Exception) else None
        self._done.set()

    def wait(self, seconds: float) -> tuple[Any] | None:
        """The value, or what was raised; None: look again whether it is there, or ours to make."""
        self._awaited = True
        if not self._done.wait(seconds):
            return None
        if self._error is not None:
            raise self._error
        return None if self._packed is None else (_unpack(self._packed),)


class Flights:
    """Those of one cache, by key. Without a lock, which a fork might find taken."""

    def __init__(self) -> None:
        self._under_way: dict[str, Flight] = {}

    def join(self, key: str) -> Flight:
        """The one that is under way, to be waited for, or one that is ours, to be run."""
        mine = Flight()
        flight = self._under_way.setdefault(key, mine)
        if flight is not mine and flight.is_ours():
            flight = self._under_way[key] = mine
        return flight

    def run(self, key: str, flight: Flight, make: Callable[[], Any]) -> Any:
        """What is made, for those who have joined as well."""
        try:
            value = make()
            flight.land(value)
            return value
        except BaseException as error:
            flight.crash(error)
            raise
        finally:
            if self._under_way.get(key) is flight:
                del self._under_way[key]


# ---- Tasks ----------------------------------------------------------------------------------


class SharedTask:
    """A value that a task makes, and that others wait for; it is cancelled when none is left."""

    __slots__ = ("_packed", "_taken", "_task", "_waiting")

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._waiting = 0
        self._taken = False
        self._packed: bytes | None = None
        self._task = asyncio.get_running_loop().create_task(self._work(make))

    async def _work(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        value = await make()
        if self._waiting > 1:
            self._packed = _pack(value)
        return value

    def when_done(self, then: Callable[[], object]) -> None:
        def done(task: asyncio.Task[Any]) -> None:
            then()
            # Where nobody waits any more, nobody need know.
            _ = task.cancelled() or task.exception()

        self._task.add_done_callback(done)

    async def wait(self, seconds: float) -> tuple[Any] | None:
        """The value, or what was raised; None: look again whether it is there, or ours to make."""
        self._waiting += 1
        try:
            await asyncio.wait((self._task,), timeout=seconds)
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self._task.cancel()
        if not self._task.done() or self._task.cancelled():
            return None
        return self._copy(self._task.result())

    def _copy(self, value: Any) -> tuple[Any] | None:
        if not self._taken:
            self._taken = True
            return (value,)
        return None if self._packed is None else (_unpack(self._packed),)


class SharedTasks:
    """Those of one cache, by event loop and key."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[asyncio.AbstractEventLoop, str], SharedTask] = {}

    def find(self, key: str) -> SharedTask | None:
        return self._under_way.get((asyncio.get_running_loop(), key))

    def start(self, key: str, make: Callable[[], Coroutine[Any, Any, Any]]) -> SharedTask:
        place = (asyncio.get_running_loop(), key)
        shared = self._under_way[place] = SharedTask(make)
        shared.when_done(lambda: self._forget(place, shared))
        return shared

    def _forget(self, place: tuple[asyncio.AbstractEventLoop, str], shared: SharedTask) -> None:
        if self._under_way.get(place) is shared:
            del self._under_way[place]

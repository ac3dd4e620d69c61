"""One task at a time does what many of an event loop want at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..flight import pack, unpack


class SharedTask:
    """A value that a task makes, and that others wait for; it is cancelled when none is left."""

    __slots__ = ("_awaited", "_packed", "_task", "_waiting", "place")

    def __init__(self, make: Callable[[SharedTask], Coroutine[Any, Any, Any]]) -> None:
        self.place = ""
        self._waiting = 0
        self._awaited = False
        self._packed: bytes | None = None
        self._task = asyncio.get_running_loop().create_task(make(self))

    def land(self, value: Any) -> None:
        """It was stored after all who wait had come, so it is for them as well."""
        if self._awaited:
            self._packed = pack(value)

    def when_done(self, then: Callable[[], object]) -> None:
        def done(task: asyncio.Task[Any]) -> None:
            then()
            # Where nobody waits any more, nobody need know.
            _ = task.cancelled() or task.exception()

        self._task.add_done_callback(done)

    def is_over(self) -> bool:
        return self._task.done()

    async def wait(self, seconds: float | None) -> tuple[Any] | None:
        """The value, or what was raised; None: look again whether it is there, or ours to make.
        Who has started it waits as long as it takes, and gets what it returns."""
        self._waiting += 1
        self._awaited |= seconds is not None
        try:
            await asyncio.wait((self._task,), timeout=seconds)
        except asyncio.CancelledError:
            if self._waiting == 1:  # the last one sees the work end, which gives its lock back
                self._task.cancel()
                await asyncio.wait((self._task,))
            raise
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self._task.cancel()
        if not self._task.done() or self._task.cancelled():
            return None
        value = self._task.result()
        if seconds is None:
            return (value,)
        return None if self._packed is None else (unpack(self._packed),)


class SharedTasks:
    """Those of one cache, by event loop and key."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[asyncio.AbstractEventLoop, str], SharedTask] = {}

    def find(self, key: str) -> SharedTask | None:
        return self._under_way.get((asyncio.get_running_loop(), key))

    def start(self, key: str, make: Callable[[SharedTask], Coroutine[Any, Any, Any]]) -> SharedTask:
        place = (asyncio.get_running_loop(), key)
        shared = self._under_way[place] = SharedTask(make)
        shared.place = key
        shared.when_done(lambda: self._forget(place, shared))
        return shared

    def close(self, key: str, shared: SharedTask) -> None:
        """Nobody joins any more: who comes after a value was stored may come after its delete."""
        self._forget((asyncio.get_running_loop(), key), shared)

    def _forget(self, place: tuple[asyncio.AbstractEventLoop, str], shared: SharedTask) -> None:
        if self._under_way.get(place) is shared:
            del self._under_way[place]

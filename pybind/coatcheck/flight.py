"""One thread at a time does what many want at once; for tasks there is `aio.shared_task`.

Each gets a value of its own, packed before anybody may have changed the one that was made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from ._core import dumps, loads


def pack(value: Any) -> bytes:
    return dumps(value, max_depth=None, max_bytes=None, max_items=None)


def unpack(packed: bytes) -> Any:
    return loads(packed, max_depth=None, max_bytes=None, max_items=None)


class Flight:
    """A value that one thread makes, and that others wait for."""

    __slots__ = ("_awaited", "_done", "_error", "_packed", "_process", "_thread", "place")

    def __init__(self, place: str = "") -> None:
        self.place = place
        self._thread = threading.get_ident()
        self._process = os.getpid()
        self._done = threading.Event()
        self._awaited = False
        self._packed: bytes | None = None
        self._error: Exception | None = None

    def is_ours(self) -> bool:
        """This thread makes it; or one that a fork has left behind, and then this one has to."""
        return self._thread == threading.get_ident() or self._process != os.getpid()

    def is_over(self) -> bool:
        return self._done.is_set()

    def land(self, value: Any) -> None:
        """It was stored after all who wait had come, so it is for them as well."""
        if self._awaited:
            self._packed = pack(value)

    def crash(self, error: BaseException) -> None:
        # What is to end a thread, or the program, is for nobody else: the others try themselves.
        self._error = error if isinstance(error, Exception) else None

    def end(self) -> None:
        self._done.set()

    def wait(self, seconds: float) -> tuple[Any] | None:
        """The value, or what was raised; None: look again whether it is there, or ours to make."""
        self._awaited = True
        if not self._done.wait(seconds):
            return None
        if self._error is not None:
            raise self._error
        return None if self._packed is None else (unpack(self._packed),)


class Flights:
    """Those of one cache, by place: a key, in a view with its generations before it. Without a
    lock, which a fork might find taken."""

    def __init__(self) -> None:
        self._under_way: dict[str, Flight] = {}

    def find(self, place: str) -> Flight | None:
        """One that is worth waiting for."""
        flight = self._under_way.get(place)
        return None if flight is None or flight.is_ours() else flight

    def join(self, place: str) -> Flight:
        """The one that is under way, to be waited for, or one that is ours, to be run."""
        mine = Flight(place)
        flight = self._under_way.setdefault(place, mine)
        if flight is not mine and flight.is_ours():
            flight = self._under_way[place] = mine
        return flight

    def run(self, place: str, flight: Flight, make: Callable[[Flight], Any]) -> Any:
        """What is made; for those who have joined as well, if it lands."""
        try:
            return make(flight)
        except BaseException as error:
            flight.crash(error)
            raise
        finally:
            self.close(place, flight)
            flight.end()

    def close(self, place: str, flight: Flight) -> None:
        """Nobody joins any more: who comes after a value was stored may come after its delete."""
        if self._under_way.get(place) is flight:
            del self._under_way[place]

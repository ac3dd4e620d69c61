"""What is the same for everybody who makes the value of an entry, with and without ``await``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

log = logging.getLogger("coatcheck")

# What the fetch of a _core.Fill answers: enum coat_fetch.
BUSY: Final = 0
FOUND: Final = 1
MAKE: Final = 2
MAKE_AGAIN: Final = 3

# What is being made here, as (id of the cache, key): it would wait for itself.
_making: ContextVar[frozenset[tuple[int, str]]] = ContextVar("_making", default=frozenset())


def is_being_made(cache: object, key: str) -> bool:
    return (id(cache), key) in _making.get()


@contextmanager
def being_made(cache: object, key: str) -> Iterator[None]:
    token = _making.set(_making.get() | {(id(cache), key)})
    try:
        yield
    finally:
        _making.reset(token)


def pauses() -> Iterator[float]:
    """Between looking whether another process is done: seconds, growing to a tenth of one."""
    pause = 0.002
    while True:
        yield pause
        pause = min(pause * 1.5, 0.1)


def told(key: str) -> None:
    """In an ``except``: what was cached is served once more."""
    log.warning(
        "the value of an entry could not be made anew, and the one that is cached is served: %r",
        key,
        exc_info=True,
    )

"""The cookie jars of some browsers, in memory that the processes of a run share."""

from __future__ import annotations

import mmap
from multiprocessing import Lock

ID = 43
KEPT = 4  # the cookie, and those that it had before: somebody may have kept them


class Jars:
    """To be made before the processes that share it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._lock = Lock()
        self._bytes = mmap.mmap(-1, count * KEPT * ID)

    def get(self, browser: int, age: int = 0) -> str | None:
        """The cookie; or that before it, where age is 1, and so on."""
        with self._lock:
            start = (browser * KEPT + age) * ID
            text = self._bytes[start : start + ID]
        return None if text[0] == 0 else text.decode()

    def put(self, browser: int, id: str | None) -> None:
        start = browser * KEPT * ID
        kept = b"\0" * ID if id is None else id.encode()
        with self._lock:
            older = self._bytes[start : start + (KEPT - 1) * ID]
            self._bytes[start : start + KEPT * ID] = kept + older

    def all(self) -> set[str]:
        ids = (self.get(browser, age) for browser in range(self.count) for age in range(KEPT))
        return {id for id in ids if id is not None}

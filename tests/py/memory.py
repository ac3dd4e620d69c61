"""How much memory Python needs for something."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


class Peak:
    """How many bytes there were at once that were not there before; known afterwards."""

    bytes = 0


@contextmanager
def peak() -> Iterator[Peak]:
    measured = Peak()
    tracemalloc.start()
    try:
        yield measured
        measured.bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

"""A million keys: what it takes to walk over them, to clear them and to invalidate a namespace.

    PYTHONPATH=build/python python tests/py/many_keys.py [KEYS]

prints time and memory on a server, and on a cluster of three, that it starts. `make check-long`
runs the test of the same name with a million keys, and `make check` with fewer.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coatcheck import Cache, Store, aio
from conftest import RedisClient, RedisError, RedisServer, a_redis_server
from topologies import cluster

AT_ONCE = 1000
NEIGHBOURS = 100


@dataclass
class Figures:
    """Of one call, or one walk."""

    what: str
    seconds: float = 0.0
    peak_bytes: int = 0  # resident, on top of what was there before
    others_ms: float = 0.0  # the longest that another client waited for a GET meanwhile
    found: Any = None

    def __str__(self) -> str:
        return (
            f"{self.what:<40} {self.seconds:9.3f} s {self.peak_bytes / 2**20:8.2f} MiB more"
            f" {self.others_ms:8.2f} ms for another's GET"
        )


# ---- Measuring ------------------------------------------------------------------------------


def resident(field: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


class Other:
    """Another client, in a process of its own, that asks one server for one key all the time."""

    def __init__(self, path: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--other", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.longest_ms()

    def longest_ms(self) -> float:
        """Since it was asked last."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()


def be_the_other(path: str) -> None:
    import select

    client = RedisClient(path)
    key = next(key for key in map(str, range(100)) if serves(client, key))
    longest = 0.0
    while True:
        begun = time.perf_counter()
        client("GET", key)
        longest = max(longest, time.perf_counter() - begun)
        if select.select([sys.stdin], [], [], 0.0005)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps(longest * 1000), flush=True)
            longest = 0.0


def serves(client: RedisClient, key: str) -> bool:
    try:
        client("GET", key)
    except RedisError:  # MOVED
        return False
    return True


# ---- What is measured -------------------------------------------------------------------------


class Million:
    """So many keys in one cache, and neighbours that nothing of this is about."""

    def __init__(self, url: str, path: str, keys: int, awaits: bool) -> None:
        self.count = keys
        self._loop = asyncio.new_event_loop()
        self._call: Callable[[Any], Any] = (
            self._loop.run_until_complete if awaits else lambda result: result
        )
        kind: Any = aio.Cache if awaits else Cache
        self.cache = kind(url, prefix="million:", timeout=30)
        self.namespace = self.cache.namespace("n")
        self.other = Other(path)
        self._neighbour = Cache(url, prefix="million", timeout=30)  # almost the same prefix
        self._store = Store(url, prefix="million:", timeout=30)
        self._neighbour.set_many({f"k{n}": n for n in range(NEIGHBOURS)}, None)
        session = self._store.new()
        session["n"] = 1
        self._session_id = session.save() or ""

    def fill(self, cache: Any) -> Any:
        for n in range(0, self.count, AT_ONCE):
            part = range(n, min(n + AT_ONCE, self.count))
            self._call(cache.set_many({f"key:{i}": i for i in part}, None))
        return self.count

    def walk(self, cache: Any, pattern: str = "*") -> Any:
        """How many keys came; a server that grows or shrinks may bring one twice."""
        keys = cache.keys(pattern)
        if isinstance(keys, AsyncIterator):
            return self._call(_counted(keys))
        return sum(1 for _ in keys)

    def call(self, result: Any) -> Any:
        return self._call(result) if inspect.isawaitable(result) else result

    def measured(self, what: str, work: Callable[[], Any]) -> Figures:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        before, _ = resident("VmRSS"), self.other.longest_ms()
        begun = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - begun
        peak = resident("VmHWM") - before
        return Figures(what, seconds, max(peak, 0), self.other.longest_ms(), found)

    def all_figures(self) -> Iterator[Figures]:
        cache, view = self.cache, self.namespace
        yield self.measured("set_many, a thousand each", lambda: self.fill(cache))
        yield self.measured("keys()", lambda: self.walk(cache))
        yield self.measured("keys('key:77*')", lambda: self.walk(cache, "key:77*"))
        yield self.measured("set_many in a namespace", lambda: self.fill(view))
        yield self.measured("keys() of the namespace", lambda: self.walk(view))
        yield self.measured("invalidate() of it", lambda: self.call(view.invalidate()))
        yield self.measured("keys() of it afterwards", lambda: self.walk(view))
        yield self.measured("clear(), with what was invalidated", lambda: self.call(cache.clear()))
        yield self.measured("keys() afterwards", lambda: self.walk(cache))

    def neighbours_are_there(self) -> bool:
        session = self._store.load(self._session_id)
        found = set(self._neighbour.keys())
        return session is not None and session["n"] == 1 and len(found) == NEIGHBOURS

    def close(self) -> None:
        self.other.close()
        self.call(self.cache.close())
        self._neighbour.close()
        self._store.close()
        self._loop.close()


async def _counted(keys: AsyncIterator[str]) -> int:
    count = 0
    async for _ in keys:
        count += 1
    return count


@contextmanager
def million(url: str, path: str, keys: int, awaits: bool) -> Iterator[Million]:
    made = Million(url, path, keys, awaits)
    try:
        yield made
    finally:
        made.close()


# ---- As a program -----------------------------------------------------------------------------


def show(where: str, url: str, server: RedisServer, keys: int) -> None:
    for awaits in (False, True):
        print(f"\n{where}, {'asyncio' if awaits else 'blocking'}, {keys} keys", flush=True)
        with million(url, server.path, keys, awaits) as measured:
            for figures in measured.all_figures():
                print(f"{figures}   -> {figures.found}", flush=True)
            assert measured.neighbours_are_there()


def main() -> None:
    if sys.argv[1:2] == ["--other"]:
        be_the_other(sys.argv[2])
        return
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with a_redis_server() as server:
        show("one server", server.url, server, keys)
    with cluster(replicas=False) as topology:
        show("a cluster of three", topology.url, topology.servers[0], keys)


if __name__ == "__main__":
    main()

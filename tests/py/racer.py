"""One of several processes that use a cache at once; run by test_cache_races.py.

    python racer.py NAME blocking|asyncio URL [NAMESPACE [OPERATION,...]]

Those operations are left out. A line of input is a program with its arguments, as JSON; the line
that answers it is what its workers have brought. Moments are those of the machine's monotonic
clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from coatcheck import Cache, aio

WORKERS = 3
KEYS = ["a", "b", "{c}"]


async def got(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


async def every(keys: Any) -> AsyncIterator[str]:
    if isinstance(keys, AsyncIterator):
        async for key in keys:
            yield key
    else:
        for key in keys:
            yield key


class Worker:
    """A thread or a task. What it does is recorded as (key, name, start, end, given, answer)."""

    def __init__(self, racer: Racer, number: int) -> None:
        self.cache = racer.cache
        self.racer = racer
        self.name = f"{racer.name}{number}"
        self.random = random.Random(self.name)
        self.record: list[tuple[str, str, int, int, Any, Any]] = []
        self.versions: dict[str, tuple[Any, str | None]] = {}
        self.count = 0

    def new(self) -> str:
        self.count += 1
        return f"{self.name}.{self.count}"

    def note(
        self, key: str, name: str, start: int, given: Any = None, answer: Any = None, end: int = 0
    ) -> None:
        self.record.append((key, name, start, end or time.monotonic_ns(), given, answer))

    async def pause(self, most_s: float) -> None:
        seconds = self.random.random() * most_s
        if self.racer.awaits:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)

    # ---- One operation on one key ----

    async def get(self, key: str) -> None:
        start = time.monotonic_ns()
        self.note(key, "get", start, None, await got(self.cache.get(key)))

    async def get_versioned(self, key: str) -> None:
        start = time.monotonic_ns()
        self.versions[key] = value, _ = await got(self.cache.get_versioned(key))
        self.note(key, "get", start, None, value)

    async def compare_and_set(self, key: str) -> None:
        expected, version = self.versions.pop(key, (None, None))
        value, start = self.new(), time.monotonic_ns()
        done = await got(self.cache.compare_and_set(key, value, version, None))
        self.note(key, "swap", start, (expected, value), done)

    async def set(self, key: str) -> None:
        value: Any = self.random.choice([self.new(), self.new(), self.random.randrange(100)])
        start = time.monotonic_ns()
        assert await got(self.cache.set(key, value, None))
        self.note(key, "set", start, value)

    async def add(self, key: str) -> None:
        value, start = self.new(), time.monotonic_ns()
        self.note(key, "add", start, value, await got(self.cache.add(key, value, None)))

    async def replace(self, key: str) -> None:
        value, start = self.new(), time.monotonic_ns()
        done = await got(self.cache.set(key, value, None, only_if="present"))
        self.note(key, "replace", start, value, done)

    async def has(self, key: str) -> None:
        start = time.monotonic_ns()
        self.note(key, "has", start, None, await got(self.cache.has(key)))

    async def ttl(self, key: str) -> None:
        start = time.monotonic_ns()
        self.note(key, "has", start, None, await got(self.cache.ttl(key)) is not None)

    async def touch(self, key: str) -> None:
        start, ttl = time.monotonic_ns(), self.random.choice([None, 5000])
        self.note(key, "has", start, None, await got(self.cache.touch(key, ttl)))

    async def pop(self, key: str) -> None:
        start = time.monotonic_ns()
        value = await got(self.cache.pop(key))
        self.note(key, "pop", start, None, value)
        self.note(key, "stop makers", start)

    async def delete(self, key: str) -> None:
        start = time.monotonic_ns()
        there = await got(self.cache.delete(key))
        self.note(key, "delete", start, None, there)
        self.note(key, "stop makers", start)

    async def incr(self, key: str) -> None:
        by, initial = self.random.randrange(-9, 10), self.random.choice([None, 0, 50])
        start = time.monotonic_ns()
        try:
            answer = await got(
                self.cache.incr(key, by, initial=initial, ttl=None)
                if by % 2
                else self.cache.decr(key, -by, initial=initial, ttl=None)
            )
        except KeyError:
            answer = None
        except ValueError:
            answer = "refused"
        self.note(key, "incr", start, (by, initial), answer)

    async def get_or_set(self, key: str) -> None:
        fills: list[tuple[int, int]] = []
        value = self.new()

        async def make() -> str:
            begun = time.monotonic_ns()
            await self.pause(0.004)
            fills.append((begun, time.monotonic_ns()))
            return value

        start = time.monotonic_ns()
        answer = await got(self.cache.get_or_set(key, self.racer.function(make), None))
        self.filled(key, start, value, answer, fills)

    def filled(
        self, key: str, start: int, value: str, answer: Any, fills: list[tuple[int, int]]
    ) -> None:
        """Who has made it has not read it."""
        end = time.monotonic_ns()
        for begun, made in fills:
            self.note(key, "claim", start, value, end=begun)
            self.note(key, "fill", made, value, value, end=end)
        if answer != value:
            self.note(key, self.racer.wait, start, None, answer, end=end)

    async def memoized(self, key: str) -> None:
        """A call of a function whose result lies under this key."""
        fills: list[tuple[int, int]] = []
        value = self.new()

        async def make() -> str:
            begun = time.monotonic_ns()
            await self.pause(0.004)
            fills.append((begun, time.monotonic_ns()))
            return value

        memoized = self.cache.memoize(self.racer.function(make), ttl=None, name="made")
        key = memoized.key()
        what, start = self.random.randrange(4), time.monotonic_ns()
        if what == 0:
            there = await got(memoized.invalidate())
            self.note(key, "delete", start, None, there)
            self.note(key, "stop makers", start)
        elif what == 1:
            await got(memoized.refresh())
            self.note(key, "set", start, value)
        else:
            self.filled(key, start, value, await got(memoized()), fills)

    # ---- On many, or on all ----

    async def get_many(self, _: str) -> None:
        start = time.monotonic_ns()
        found = await got(self.cache.get_many(KEYS))
        for key in KEYS:
            self.note(key, "get", start, None, found.get(key))

    async def set_many(self, _: str) -> None:
        entries, start = {key: self.new() for key in KEYS[1:]}, time.monotonic_ns()
        await got(self.cache.set_many(entries, None))
        for key, value in entries.items():
            self.note(key, "set", start, value)

    async def delete_many(self, _: str) -> None:
        start = time.monotonic_ns()
        await got(self.cache.delete_many(KEYS[:2]))
        for key in KEYS[:2]:
            self.note(key, "delete", start)
            self.note(key, "stop makers", start)

    async def keys(self, _: str) -> None:
        start = time.monotonic_ns()
        there = {key async for key in every(self.cache.keys())}
        for key in KEYS:
            self.note(key, "has", start, None, key in there)

    async def clear(self, _: str) -> None:
        """A walk may meet a key twice."""
        start = time.monotonic_ns()
        await got(self.cache.clear())
        for key in [*KEYS, self.cache.memoize(lambda: 0, name="made").key()]:
            for name in ("delete", "stop makers", "delete perhaps"):
                self.note(key, name, start)

    OPERATIONS = (
        *(get, get_versioned, compare_and_set, compare_and_set, set, add, replace, has, ttl, touch),
        *(pop, delete, incr, incr, get_or_set, get_or_set, memoized, get_many, set_many),
        *(delete_many, keys, clear),
    )

    # ---- Programs ----

    async def mixed(self, seconds: float) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self.random.choice(self.racer.operations)(self, self.random.choice(KEYS))
        return self.record

    async def sums(self, times: int) -> Any:
        for _ in range(times):
            await got(self.cache.incr("sum", 3, initial=100, ttl=None))
            await got(self.cache.decr("sum", 1, ttl=None))
        return []

    async def pops(self, times: int) -> Any:
        """Each puts its own, and takes whatever is there."""
        found = []
        for n in range(times):
            await got(self.cache.add(f"pop {n % 3}", f"{self.name}.{n}", None))
            value = await got(self.cache.pop(f"pop {n % 3}"))
            found += [value] if value is not None else []
        return found

    async def adds(self, times: int) -> Any:
        return [n for n in range(times) if await got(self.cache.add(f"add {n}", self.name, None))]

    async def swaps(self, times: int) -> Any:
        """A counter without incr."""
        done = 0
        while done < times:
            value, version = await got(self.cache.get_versioned("swap", 0))
            done += await got(self.cache.compare_and_set("swap", value + 1, version, None))
        return []

    async def deletes(self, count: int) -> Any:
        keys = [f"delete {n}" for n in range(count)]
        self.random.shuffle(keys)
        return [await got(self.cache.delete_many(keys[n : n + 10])) for n in range(0, count, 10)]

    async def fills(self, times: int) -> Any:
        """All want the same ones in the same order."""
        made, brought = [], []

        async def make(n: int) -> str:
            await self.pause(0.004)
            made.append(n)
            return f"{n} by {self.name}"

        for n in range(times):
            function = self.racer.function(partial(make, n))
            brought.append(await got(self.cache.get_or_set(f"fill {n}", function, None)))
        return [made, brought]

    async def own_deletes(self, times: int) -> Any:
        """What is asked for after a delete was made after it began; those that were not."""
        late = []

        async def make() -> int:
            begun = time.monotonic_ns()
            await self.pause(0.002)
            return begun

        for _ in range(times):
            before = time.monotonic_ns()
            await got(self.cache.delete("own"))
            made = await got(self.cache.get_or_set("own", self.racer.function(make), None))
            late += [before - made] if made < before else []
        return late


class Racer:
    def __init__(self, name: str, face: str, url: str, namespace: str = "", but: str = "") -> None:
        self.name = name
        self.operations = [o for o in Worker.OPERATIONS if o.__name__ not in but.split(",")]
        self.awaits = face == "asyncio"
        kind: Any = aio.Cache if self.awaits else Cache
        cache = kind(url, prefix="race:", ttl_jitter=0, timeout=20)
        self.cache = cache.namespace(namespace) if namespace else cache
        # What is made for many when a namespace ends is for those who came before that.
        self.wait = "wait" if namespace else "get"

    def function(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], Any]:
        return make if self.awaits else lambda: finished(make())

    def run(self, program: str, *given: Any) -> list[Any]:
        workers = [Worker(self, n) for n in range(WORKERS)]
        if self.awaits:
            return asyncio.run(self._together(workers, program, given))
        start = threading.Barrier(WORKERS)

        def work(worker: Worker) -> Any:
            start.wait()
            return finished(getattr(worker, program)(*given))

        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(work, workers))

    async def _together(self, workers: list[Worker], program: str, given: Any) -> list[Any]:
        return await asyncio.gather(*(getattr(worker, program)(*given) for worker in workers))


def finished(work: Coroutine[Any, Any, Any]) -> Any:
    """Its result; it waits for nothing that is not there."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for an event loop")


def main() -> None:
    racer = Racer(*sys.argv[1:])
    print(flush=True)  # ready
    with suppress(KeyboardInterrupt):
        for line in sys.stdin:
            print(json.dumps(racer.run(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

"""
A hot key that ends, and is expensive to make: how often is it made, and how long does who wants
it wait? Eight processes of eight threads, or tasks, ask for it all the time, by each cache's own
way to have a value made.

    python -m coatcheck.bench.stampede CONTENDER PORT SECONDS        is one of the processes
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from coatcheck import Cache, aio

from .cache_peers import PREFIX
from .figures import Cell, Spread, Table, percentile, spread
from .frame import Asked
from .record import Found
from .redis_client import Client
from .redis_server import Server, a_server

PROCESSES, EACH = 8, 8
TTL_S = 1.0
MAKING_S = 0.1
PAUSE_S = 0.005  # between two questions of one client
ROUNDS = 3
SECONDS = 6.0

Make = Callable[[], Any]
AMake = Callable[[], Awaitable[Any]]

VALUE = {"rates": {"EUR": 1.0, "USD": 1.08}, "at": (2026, 11)}


# ---- The contenders ------------------------------------------------------------------------------


def ours(port: int, make: Make) -> Callable[[], Any]:
    cache = Cache(f"redis://127.0.0.1:{port}", prefix=PREFIX)
    return lambda: cache.get_or_set("hot", make, ttl=TTL_S)


def django_redis(port: int, make: Make) -> Callable[[], Any]:
    from django.conf import settings

    settings.configure()
    from django_redis.cache import RedisCache

    cache = RedisCache(f"redis://127.0.0.1:{port}", {})
    return lambda: cache.get_or_set("hot", make, timeout=TTL_S)


def dogpile(port: int, make: Make) -> Callable[[], Any]:
    from dogpile.cache import make_region

    where = {
        "url": f"redis://127.0.0.1:{port}",
        "distributed_lock": True,
        "thread_local_lock": False,
        "lock_timeout": 10,
    }
    region = make_region().configure("dogpile.cache.redis", arguments=where)
    return lambda: region.get_or_create("hot", make, expiration_time=TTL_S)


def ours_aio(port: int, make: AMake) -> Callable[[], Awaitable[Any]]:
    cache = aio.Cache(f"redis://127.0.0.1:{port}", prefix=PREFIX)
    return lambda: cache.get_or_set("hot", make, ttl=TTL_S)


def cashews(port: int, make: AMake) -> Callable[[], Awaitable[Any]]:
    from cashews import Cache as Cashews

    cache = Cashews()
    cache.setup(f"redis://127.0.0.1:{port}", client_side=False)
    memoized: Callable[[], Awaitable[Any]] = cache(ttl=TTL_S, key="hot", lock=True)(make)
    return memoized


def cashews_early(port: int, make: AMake) -> Callable[[], Awaitable[Any]]:
    from cashews import Cache as Cashews

    cache = Cashews()
    cache.setup(f"redis://127.0.0.1:{port}", client_side=False)
    memoized: Callable[[], Awaitable[Any]] = cache.early(
        ttl=TTL_S, early_ttl=TTL_S * 0.7, key="hot"
    )(make)
    return memoized


def aiocache(port: int, make: AMake) -> Callable[[], Awaitable[Any]]:
    from aiocache import RedisCache, cached_stampede
    from aiocache.serializers import PickleSerializer

    where = {"endpoint": "127.0.0.1", "port": port, "serializer": PickleSerializer()}
    memoized: Callable[[], Awaitable[Any]] = cached_stampede(
        lease=10, ttl=TTL_S, key="hot", cache=RedisCache, **where
    )(make)
    return memoized


BLOCKING: dict[str, Callable[[int, Make], Callable[[], Any]]] = {
    "coatcheck": ours,
    "django-redis": django_redis,
    "dogpile.cache": dogpile,
}
AWAITED: dict[str, Callable[[int, AMake], Callable[[], Awaitable[Any]]]] = {
    "coatcheck, asyncio": ours_aio,
    "cashews, lock": cashews,
    "cashews, early": cashews_early,
    "aiocache": aiocache,
}


# ---- One of the processes ------------------------------------------------------------------------


@dataclass
class Seen:
    """Of one process."""

    fills: int
    waits: list[float]
    wrong: int


def _in_threads(contender: str, port: int, seconds: float) -> Seen:
    seen = Seen(0, [], 0)

    def make() -> Any:
        seen.fills += 1
        time.sleep(MAKING_S)
        return VALUE

    ask = BLOCKING[contender](port, make)
    end = time.monotonic() + seconds

    def client() -> None:
        while (begun := time.monotonic()) < end:
            try:
                seen.wrong += ask() != VALUE
            except Exception:
                seen.wrong += 1
            seen.waits.append(time.monotonic() - begun)
            time.sleep(PAUSE_S)

    threads = [threading.Thread(target=client) for _ in range(EACH)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


async def _in_tasks(contender: str, port: int, seconds: float) -> Seen:
    seen = Seen(0, [], 0)

    async def make() -> Any:
        seen.fills += 1
        await asyncio.sleep(MAKING_S)
        return VALUE

    ask = AWAITED[contender](port, make)
    end = time.monotonic() + seconds

    async def client() -> None:
        while (begun := time.monotonic()) < end:
            try:
                seen.wrong += await ask() != VALUE
            except Exception:
                seen.wrong += 1
            seen.waits.append(time.monotonic() - begun)
            await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(client() for _ in range(EACH)))
    return seen


def _process(contender: str, port: int, seconds: float) -> Seen:
    if contender in BLOCKING:
        return _in_threads(contender, port, seconds)
    return asyncio.run(_in_tasks(contender, port, seconds))


# ---- All of them ---------------------------------------------------------------------------------


def round_of(contender: str, server: Server, seconds: float) -> Seen:
    command = [sys.executable, "-m", "coatcheck.bench.stampede", contender, str(server.port)]
    processes = [
        subprocess.Popen([*command, str(seconds)], stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    every = Seen(0, [], 0)
    for process in processes:
        said, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{contender} has failed")
        one = Seen(**json.loads(said))
        every.fills += one.fills
        every.wrong += one.wrong
        every.waits += one.waits
    return every


def _ms(rounds: list[Seen], part: float) -> Spread:
    return spread(percentile(seen.waits, part) * 1000 for seen in rounds)


PARTS = ("blocking", "asyncio")
OURS = ("coatcheck", "coatcheck, asyncio")
NEEDS = {"cashews, lock": "cashews", "cashews, early": "cashews"}


def _contenders(asked: Asked) -> list[str]:
    names = [name for part, of in zip(PARTS, (BLOCKING, AWAITED), strict=True)
             if asked.wants(part) for name in of]  # fmt: skip
    return [name for name in names if name in OURS or asked.has(NEEDS.get(name, name))]


def measure(asked: Asked) -> Found:
    """Rounds in turn, each on an empty server."""
    seen: dict[str, list[Seen]] = {name: [] for name in _contenders(asked)}
    seconds, rounds = SECONDS * max(asked.effort, 0.34), asked.rounds or ROUNDS
    for _ in range(rounds):
        for name, found in seen.items():
            with a_server() as server:
                found.append(round_of(name, server, seconds))
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            spread(one.fills for one in found),
            *(_ms(found, part) for part in (0.5, 0.99, 1.0)),
            spread(len(one.waits) for one in found),
            spread(one.wrong for one in found),
        )
        for name, found in seen.items()
    ]
    columns = ("cache", "made", "wait, ms", "p99, ms", "longest, ms", "asked", "failed")
    title = (
        f"A hot key that ends: {PROCESSES * EACH} clients in {PROCESSES} processes ask for it for"
        f" {seconds:.0f} s; it lives for {TTL_S:.0f} s, and takes {MAKING_S * 1000:.0f} ms to make;"
        f" {rounds} rounds"
    )
    with a_server() as server, Client(server.port) as client:
        versions = {"server": client.server()}
    return Found([Table(title, columns, rows, "stampede")], versions)


if __name__ == "__main__":
    result = _process(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    print(json.dumps(vars(result)))
